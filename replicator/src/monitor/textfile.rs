//! Writes a file as a whole: under another name first, so that who reads it never sees a half one.

use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file by one with this text, which everybody may read. Its folder must exist.
///
/// # Errors
/// When the folder cannot be written to. The file is as it was then.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The collector takes files that end in .prom, and this one does not until it is whole.
    let mut file = tempfile::Builder::new().prefix(".replicator-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("replicator.prom");
        for text in ["a 1\n", "b 2\nc 3\n"] {
            write(&path, text).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert!(write(&folder.path().join("no/such/file"), "").is_err());
    }
}
