//! Where a path lies: in which filesystem of ZFS, mounted where, and below that by which way. The path itself need not exist
//! any more; what of it exists is followed to where it really is, so that a link on the way leads to no other place.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use zfs_core::name::DatasetName;

use super::RestoreError;

/// Where a path lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path, absolute and without links on the way to it.
    pub path: PathBuf,
    /// The filesystem.
    pub dataset: DatasetName,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// The path below the root of the filesystem; empty for that itself.
    pub relative: PathBuf,
    /// Whether the root of the filesystem is what is mounted there: only then it has a `.zfs`.
    pub whole: bool,
}

/// What is mounted somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mounted {
    /// What of the filesystem: `/`, or a folder of it that was bound there.
    root: PathBuf,
    at: PathBuf,
    kind: String,
    source: Vec<u8>,
}

/// Finds a path of this machine.
///
/// # Errors
/// When it is in no filesystem of ZFS, or in a snapshot already.
pub fn find(path: &Path) -> Result<Place, RestoreError> {
    let failed = |why: String| RestoreError::Path { path: path.display().to_string(), why };
    let table = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| failed(format!("cannot be looked for: /proc/self/mountinfo: {error}")))?;
    let path = real(path).map_err(|error| failed(format!("cannot be looked for: {error}")))?;
    in_table(&table, &path).map_err(failed)
}

/// The path with all links on the way followed, as far as it exists; the last part itself is not.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    // A `..` behind something that does not exist leads nowhere.
    let mut rest: Vec<OsString> = Vec::new();
    let mut above = path.as_path();
    let ends_above = path.components().next_back() == Some(Component::ParentDir);
    if !ends_above && let (Some(name), Some(parent)) = (path.file_name(), path.parent()) {
        rest.push(name.to_os_string());
        above = parent;
    }
    loop {
        match std::fs::canonicalize(above) {
            Ok(mut found) => {
                found.extend(rest.iter().rev());
                return Ok(found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (Some(name), Some(parent)) = (above.file_name(), above.parent()) else {
                    return Err(error);
                };
                rest.push(name.to_os_string());
                above = parent;
            }
            Err(error) => return Err(error),
        }
    }
}

fn in_table(table: &[u8], path: &Path) -> Result<Place, String> {
    // Of several at one place the last is on top; of those above each other the longest counts.
    let mut best: Option<Mounted> = None;
    for mounted in table.split(|byte| *byte == b'\n').filter_map(read) {
        let longer = |best: &Mounted| mounted.at.as_os_str().len() >= best.at.as_os_str().len();
        if path.starts_with(&mounted.at) && best.as_ref().is_none_or(longer) {
            best = Some(mounted);
        }
    }
    let best = best.ok_or("is in no filesystem")?;
    let at = best.at.display();
    if best.kind != "zfs" {
        return Err(format!("is in no filesystem of ZFS: on {at} there is {}", best.kind));
    }
    let source = String::from_utf8_lossy(&best.source).into_owned();
    if source.contains('@') {
        return Err(format!("is in the snapshot {source} already"));
    }
    let dataset =
        source.parse().map_err(|error| format!("is on {at}, and {source:?} is no dataset: {error}"))?;
    let below = path.strip_prefix(&best.at).unwrap_or(Path::new(""));
    if below.components().next().is_some_and(|first| first.as_os_str().as_bytes() == b".zfs") {
        return Err(
            "is in .zfs, where the snapshots are themselves: name the file where it belongs".to_string()
        );
    }
    let root = best.root.strip_prefix("/").unwrap_or(&best.root);
    Ok(Place {
        path: path.to_path_buf(),
        dataset,
        relative: root.join(below),
        whole: root.as_os_str().is_empty(),
        mountpoint: best.at,
    })
}

/// A line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
fn read(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, at) = (fields.nth(3)?, fields.next()?);
    // Any number of optional fields, and a dash.
    fields.find(|field| *field == b"-")?;
    let (kind, source) = (fields.next()?, fields.next()?);
    let path = |field| PathBuf::from(OsString::from_vec(unescaped(field)));
    Some(Mounted {
        root: path(root),
        at: path(at),
        kind: String::from_utf8_lossy(kind).into_owned(),
        source: unescaped(source),
    })
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /tank rw,noatime shared:2 - zfs tank rw,xattr,posixacl
31 30 0:31 / /tank/a\\040b rw - zfs tank/a\\040b rw,xattr
32 22 0:31 /sub/x /srv rw shared:3 master:1 - zfs tank/a\\040b rw,xattr
33 31 0:33 / /tank/a\\040b/.zfs/snapshot/one ro - zfs tank/a\\040b@one ro,xattr
34 30 0:34 / /tank/tmp rw - tmpfs tmpfs rw
35 30 0:35 / /tank/over rw - tmpfs tmpfs rw
36 35 0:36 / /tank/over rw - zfs tank/over rw
garbage
";

    fn found(path: &str) -> Result<(String, String, bool), String> {
        let place = in_table(TABLE, Path::new(path))?;
        Ok((place.dataset.to_string(), place.relative.display().to_string(), place.whole))
    }

    #[test]
    fn the_filesystem_that_is_on_top_counts() {
        let ok =
            |dataset: &str, relative: &str, whole| Ok((dataset.to_string(), relative.to_string(), whole));
        assert_eq!(found("/tank/x/y"), ok("tank", "x/y", true));
        assert_eq!(found("/tank/a b/y"), ok("tank/a b", "y", true));
        assert_eq!(found("/tank/a b"), ok("tank/a b", "", true));
        assert_eq!(found("/tank/a bc"), ok("tank", "a bc", true));
        assert_eq!(found("/srv/y"), ok("tank/a b", "sub/x/y", false));
        assert_eq!(found("/tank/over/z"), ok("tank/over", "z", true));
    }

    #[test]
    fn what_is_no_file_of_zfs_is_told() {
        for (path, word) in [
            ("/home/x", "ext4"),
            ("/tank/tmp/x", "tmpfs"),
            ("/tank/a b/.zfs/snapshot/one/y", "tank/a b@one"),
            ("/tank/a b/.zfs/snapshot/two/y", ".zfs"),
        ] {
            let error = found(path).expect_err(path);
            assert!(error.contains(word), "{path}: {error}");
        }
        assert_eq!(in_table(b"", Path::new("/x")), Err("is in no filesystem".to_string()));
    }

    #[test]
    fn links_on_the_way_are_followed_and_the_last_part_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = std::fs::canonicalize(folder.path()).expect("it is there");
        std::fs::create_dir(root.join("real")).expect("made");
        std::os::unix::fs::symlink("real", root.join("link")).expect("made");
        let path = |text: &str| real(&root.join(text)).expect("found");
        assert_eq!(path("link/file"), root.join("real/file"));
        assert_eq!(path("link"), root.join("link"));
        assert_eq!(path("link/gone/deep/file"), root.join("real/gone/deep/file"));
        assert_eq!(path("link/.."), root);
    }
}
