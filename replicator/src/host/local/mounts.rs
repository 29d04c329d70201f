//! What this process sees mounted.

use crate::host::HostError;
use crate::transport::TransportError;

/// Whether a filesystem is mounted where this process sees it.
pub(super) fn is_mounted(dataset: &str) -> Result<bool, HostError> {
    Ok(mounts()?.lines().any(|line| is_mount_of(line, dataset)))
}

/// Whether it is mounted somewhere where it can be written to.
pub(super) fn is_mounted_writable(dataset: &str) -> Result<bool, HostError> {
    Ok(mounts()?.lines().any(|line| is_mount_of(line, dataset) && is_writable(line)))
}

fn mounts() -> Result<String, HostError> {
    std::fs::read_to_string("/proc/self/mounts").map_err(|error| {
        let what = "cannot read /proc/self/mounts".to_string();
        TransportError::Local { what, cause: error.to_string() }.into()
    })
}

/// Whether the options in a line of /proc/self/mounts say so. The property `readonly` shows there, too.
fn is_writable(line: &str) -> bool {
    line.split(' ').nth(3).is_none_or(|options| !options.split(',').any(|option| option == "ro"))
}

/// Whether a line of /proc/self/mounts is of this dataset: it writes spaces and the like as backslash and octal digits.
fn is_mount_of(line: &str, dataset: &str) -> bool {
    let mut fields = line.split(' ');
    let (source, kind) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
    kind == "zfs" && source.replace("\\040", " ") == dataset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_whatever_its_name() {
        let line = "tank/a\\040b /mnt/x\\040y zfs rw,relatime,xattr 0 0";
        assert!(is_mount_of(line, "tank/a b"));
        assert!(!is_mount_of(line, "tank/a"));
        assert!(!is_mount_of("tank/a /mnt tmpfs rw 0 0", "tank/a"));
        assert!(!is_mount_of("tank/a@s /mnt zfs ro 0 0", "tank/a"));
        assert!(!is_mount_of("", ""));
        assert!(is_writable(line) && is_writable("tank/a /ro zfs rw,xattr,nor 0 0"));
        assert!(!is_writable("tank/a /mnt zfs ro,relatime 0 0"));
        assert!(is_writable(""), "what is not understood may be written to");
    }
}
