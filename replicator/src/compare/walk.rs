//! Reading the files of a snapshot of this machine: it is mounted read-only in a private folder, read, and unmounted
//! again, also when reading failed. Nothing of it goes through a shell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::name::SnapshotName;

use super::content::Entry;
use super::content::FILES_LIMIT;
use super::content::Sum;
use crate::cancel::Cancel;

/// Why a snapshot of this machine could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// It cannot be mounted.
    #[error("cannot mount {snapshot}: {cause}")]
    Mount {
        /// The snapshot.
        snapshot: SnapshotName,
        /// Why.
        cause: std::io::Error,
    },
    /// It is still mounted.
    #[error("cannot unmount {}: {cause}", .at.display())]
    Unmount {
        /// Where it is.
        at: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path:?}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// There is too much of it.
    #[error("{snapshot} has more than {FILES_LIMIT} files")]
    TooMany {
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl WalkError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mount { cause, snapshot }
                if cause.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error()) =>
            {
                Some(format!("load its key with `zfs load-key {}`", snapshot.dataset()))
            }
            Self::Mount { cause, .. } if cause.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run it as root: mounting needs that".to_string())
            }
            Self::Unmount { at, .. } => Some(format!("unmount it with `umount {}`", at.display())),
            _ => None,
        }
    }
}

/// A snapshot, mounted. Dropping it unmounts it.
struct Mounted {
    folder: Option<tempfile::TempDir>,
}

impl Mounted {
    fn new(snapshot: &SnapshotName) -> Result<Self, WalkError> {
        let failed = |cause| WalkError::Mount { snapshot: snapshot.clone(), cause };
        let folder = tempfile::Builder::new().prefix("replicator-").tempdir().map_err(failed)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount(snapshot.as_str(), folder.path(), "zfs", flags, None)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self { folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("/nonexistent"), tempfile::TempDir::path)
    }

    fn unmount(&mut self) -> Result<(), WalkError> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        if let Err(errno) = rustix::mount::unmount(folder.path(), UnmountFlags::NOFOLLOW) {
            // A folder with something mounted on it is left alone: removing what is in it is not ours.
            let at = folder.keep();
            return Err(WalkError::Unmount { at, cause: errno.into() });
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

/// The files of a snapshot of this machine, by path.
///
/// # Errors
/// When it cannot be mounted, or anything in it cannot be read.
pub fn files(snapshot: &SnapshotName, cancel: &Cancel) -> Result<BTreeMap<Vec<u8>, Entry>, WalkError> {
    let mut mounted = Mounted::new(snapshot)?;
    let files = walk(mounted.path(), snapshot, cancel);
    let unmounted = mounted.unmount();
    let files = files?;
    unmounted?;
    Ok(files)
}

fn walk(
    root: &Path,
    snapshot: &SnapshotName,
    cancel: &Cancel,
) -> Result<BTreeMap<Vec<u8>, Entry>, WalkError> {
    let mut files = BTreeMap::new();
    // Relative paths; the empty one is the root itself.
    let mut waiting = vec![OsString::new()];
    while let Some(relative) = waiting.pop() {
        if cancel.is_cancelled() {
            return Err(WalkError::Cancelled);
        }
        let path = if relative.is_empty() { root.to_path_buf() } else { root.join(&relative) };
        let failed = |cause| WalkError::Read { path: path.clone(), cause };
        let entry = entry(&path, cancel)?;
        if entry.kind == b'd' {
            for child in std::fs::read_dir(&path).map_err(failed)? {
                let name = child.map_err(failed)?.file_name();
                let mut below = relative.clone();
                if !below.is_empty() {
                    below.push("/");
                }
                below.push(name);
                waiting.push(below);
            }
        }
        if files.len() + waiting.len() > FILES_LIMIT {
            return Err(WalkError::TooMany { snapshot: snapshot.clone() });
        }
        files.insert(relative.as_bytes().to_vec(), entry);
    }
    Ok(files)
}

fn entry(path: &Path, cancel: &Cancel) -> Result<Entry, WalkError> {
    let failed = |cause| WalkError::Read { path: path.to_path_buf(), cause };
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    let kind = kind(found.mode());
    let link = match kind {
        b'l' => std::fs::read_link(path).map_err(failed)?.as_os_str().as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let sum = if kind == b'f' { Some(sum(path, cancel)?) } else { None };
    Ok(Entry {
        kind,
        size: if kind == b'f' { found.size() } else { 0 },
        mode: found.mode() & 0o7777,
        owner: (found.uid(), found.gid()),
        // Between 0 and 999,999,999, as the kernel has it.
        modified: (found.mtime(), u32::try_from(found.mtime_nsec()).unwrap_or(0)),
        link,
        sum,
    })
}

/// The letter that find(1) has for the kind of a file.
fn kind(mode: u32) -> u8 {
    match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::RegularFile => b'f',
        rustix::fs::FileType::Directory => b'd',
        rustix::fs::FileType::Symlink => b'l',
        rustix::fs::FileType::Fifo => b'p',
        rustix::fs::FileType::Socket => b's',
        rustix::fs::FileType::CharacterDevice => b'c',
        rustix::fs::FileType::BlockDevice => b'b',
        rustix::fs::FileType::Unknown => b'U',
    }
}

fn sum(path: &Path, cancel: &Cancel) -> Result<Sum, WalkError> {
    let failed = |cause| WalkError::Read { path: path.to_path_buf(), cause };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(fd);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(WalkError::Cancelled);
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
pub(super) fn folder(root: &Path) -> BTreeMap<Vec<u8>, Entry> {
    let snapshot = "tank/a@b".parse().expect("a name");
    walk(root, &snapshot, &Cancel::new()).expect("it can be read")
}
