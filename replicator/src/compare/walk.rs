//! Reading the files of a snapshot of this machine: it is mounted read-only where nobody else sees it, read, and unmounted
//! again, also when reading failed. Nothing of it goes through a shell, and no symbolic link is followed.

use std::ffi::OsString;
use std::fs::File;
use std::fs::Metadata;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::FsMountFlags;
use rustix::mount::FsOpenFlags;
use rustix::mount::MountAttrFlags;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::content::Entry;
use super::content::FILES_LIMIT;
use super::content::Piece;
use super::content::Share;
use super::content::Sum;
use super::content::Take;
use crate::host::HostError;
use crate::transport::printable;

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
    #[error("cannot read {}: {cause}", printable(.path.as_os_str().as_bytes(), 1000))]
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
}

impl WalkError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mount { cause, snapshot } if cause.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
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
pub(crate) enum Mounted {
    /// In no place: nobody else finds it, and it ends with this process, however that ends.
    Apart(OwnedFd),
    /// In a private folder, where the kernel is older than such mounts (5.2).
    At(Option<tempfile::TempDir>),
}

impl Mounted {
    pub(crate) fn new(snapshot: &SnapshotName) -> Result<Self, WalkError> {
        Self::of(snapshot.as_str(), snapshot)
    }

    /// A snapshot, or a clone of it.
    fn of(source: &str, snapshot: &SnapshotName) -> Result<Self, WalkError> {
        let failed = |errno: Errno| WalkError::Mount { snapshot: snapshot.clone(), cause: errno.into() };
        match configured(source) {
            Ok(context) => apart(&context).map(Self::Apart).map_err(failed),
            Err(_) => Self::in_a_folder(source, snapshot),
        }
    }

    fn in_a_folder(source: &str, snapshot: &SnapshotName) -> Result<Self, WalkError> {
        let failed = |cause| WalkError::Mount { snapshot: snapshot.clone(), cause };
        let folder = tempfile::Builder::new().prefix("replicator-").tempdir().map_err(failed)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount(source, folder.path(), "zfs", flags, None)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self::At(Some(folder)))
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            // The link itself is no folder; what it leads to is.
            Self::Apart(root) => PathBuf::from(format!("/proc/self/fd/{}/.", root.as_raw_fd())),
            Self::At(folder) => {
                folder.as_ref().map_or(Path::new("/nonexistent"), tempfile::TempDir::path).to_path_buf()
            }
        }
    }

    fn unmount(&mut self) -> Result<(), WalkError> {
        let Self::At(folder) = self else { return Ok(()) };
        let Some(folder) = folder.take() else { return Ok(()) };
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

/// What is to be mounted; nothing of it has been looked at.
fn configured(source: &str) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("zfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", source)?;
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    Ok(context)
}

fn apart(context: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::mount::fsconfig_create(context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Gives the files of a snapshot of this machine, by path; of regular files those that belong to the share.
///
/// # Errors
/// When it cannot be mounted, or anything in it cannot be read, and what `take` fails with.
pub fn files(snapshot: &SnapshotName, share: Share, take: &mut Take<'_>) -> Result<(), HostError> {
    read(Mounted::new(snapshot)?, snapshot, share, take)
}

/// The same of a clone of a snapshot, as it is now.
///
/// # Errors
/// As [`files`].
pub fn files_of_clone(
    clone: &DatasetName,
    snapshot: &SnapshotName,
    share: Share,
    take: &mut Take<'_>,
) -> Result<(), HostError> {
    read(Mounted::of(clone.as_str(), snapshot)?, snapshot, share, take)
}

fn read(
    mut mounted: Mounted,
    snapshot: &SnapshotName,
    share: Share,
    take: &mut Take<'_>,
) -> Result<(), HostError> {
    let walked = walk(&mounted.path(), snapshot, share, take);
    let unmounted = mounted.unmount();
    walked?;
    Ok(unmounted?)
}

fn walk(root: &Path, snapshot: &SnapshotName, share: Share, take: &mut Take<'_>) -> Result<(), HostError> {
    let mut given = 0;
    // Relative paths; the empty one is the root itself.
    let mut waiting = vec![OsString::new()];
    while let Some(relative) = waiting.pop() {
        let path = if relative.is_empty() { root.to_path_buf() } else { root.join(&relative) };
        let failed = |cause| WalkError::Read { path: path.clone(), cause };
        let about = std::fs::symlink_metadata(&path).map_err(failed)?;
        if kind(about.mode()) == b'f' && !share.has(relative.as_bytes()) {
            continue;
        }
        let entry = entry(&path, &about, take)?;
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
        if given + waiting.len() > FILES_LIMIT {
            return Err(WalkError::TooMany { snapshot: snapshot.clone() }.into());
        }
        take(Piece::File(relative.into_vec(), entry))?;
        given += 1;
    }
    Ok(())
}

fn entry(path: &Path, found: &Metadata, take: &mut Take<'_>) -> Result<Entry, HostError> {
    let failed = |cause| WalkError::Read { path: path.to_path_buf(), cause };
    let kind = kind(found.mode());
    let link = match kind {
        b'l' => std::fs::read_link(path).map_err(failed)?.into_os_string().into_vec(),
        _ => Vec::new(),
    };
    let sum = if kind == b'f' { Some(sum(path, take)?) } else { None };
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
pub(crate) fn kind(mode: u32) -> u8 {
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

fn sum(path: &Path, take: &mut Take<'_>) -> Result<Sum, HostError> {
    let failed = |cause| WalkError::Read { path: path.to_path_buf(), cause };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(fd);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => {
                hash.update(&buffer[..count]);
                take(Piece::Bytes(count as u64))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error).into()),
        }
    }
}

#[cfg(test)]
pub(super) fn folder(root: &Path) -> super::content::Content {
    let mut all = super::content::Gathered::new(zfs_core::DatasetKind::Filesystem);
    let snapshot = "tank/a@b".parse().expect("a name");
    walk(root, &snapshot, Share::ALL, &mut |piece| {
        all.add(piece).expect("a file of it");
        Ok(())
    })
    .expect("it can be read");
    all.finish().expect("a whole tree")
}
