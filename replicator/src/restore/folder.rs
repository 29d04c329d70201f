//! Looking into a snapshot of this machine: its root is opened, and everything below by a path that leads out of it by no
//! link. Root mounts the snapshot where nobody else sees it; everybody else goes through the `.zfs` of the filesystem.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Dir;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::name::SnapshotName;

use super::RestoreError;
use super::place::Place;
use crate::cancel::Cancel;
use crate::compare::content::FILES_LIMIT;
use crate::compare::walk::Mounted;
use crate::compare::walk::kind;

/// What a path names in a snapshot. Two that are equal are taken for the same version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// `f`, `d`, `l` and so on, as find(1) has them.
    pub kind: u8,
    /// Bytes of a file, or of all files below a folder.
    pub size: u64,
    /// When it was modified, or the newest of what is in a folder: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// How many there are, a folder itself among them.
    pub entries: u64,
    /// SHA-256: of the paths, kinds, sizes and times of everything in a folder, of where a link leads, and of the content of
    /// files where that was asked for.
    pub sum: Option<[u8; 32]>,
}

/// The root of a snapshot. While it lives the snapshot stays mounted.
pub struct Folder {
    pub(super) root: OwnedFd,
    snapshot: SnapshotName,
    /// Ended when this is dropped, after the root was closed.
    _mounted: Option<Mounted>,
}

impl Folder {
    /// Opens the root of a snapshot of the filesystem that a path lies in.
    ///
    /// # Errors
    /// When neither way leads into it.
    pub fn open(place: &Place, snapshot: &SnapshotName) -> Result<Self, RestoreError> {
        let failed = |cause: String| RestoreError::Snapshot { snapshot: snapshot.clone(), cause };
        let mounts = rustix::process::geteuid().is_root();
        let first = if mounts { Self::mount(snapshot) } else { Self::by_zfs(place, snapshot) };
        first.or_else(|why| {
            let second = if mounts { Self::by_zfs(place, snapshot) } else { Self::mount(snapshot) };
            // The way that should have worked says why not.
            second.map_err(|_| failed(why))
        })
    }

    /// Opens the root of any snapshot of this machine by mounting it, which needs root.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mounted(snapshot: &SnapshotName) -> Result<Self, RestoreError> {
        Self::mount(snapshot).map_err(|cause| RestoreError::Snapshot { snapshot: snapshot.clone(), cause })
    }

    fn mount(snapshot: &SnapshotName) -> Result<Self, String> {
        let mounted = Mounted::new(snapshot).map_err(|error| error.to_string())?;
        let root = folder(&mounted.path()).map_err(|error| error.to_string())?;
        Ok(Self { root, snapshot: snapshot.clone(), _mounted: Some(mounted) })
    }

    fn by_zfs(place: &Place, snapshot: &SnapshotName) -> Result<Self, String> {
        if !place.whole {
            return Err("only a folder of the filesystem is mounted there, without its .zfs".to_string());
        }
        let all = place.mountpoint.join(".zfs/snapshot");
        let text = |error: Errno| format!("{}: {error}", all.display());
        let above = folder(&all).map_err(text)?;
        let root = folder(&all.join(snapshot.short())).map_err(text)?;
        let device = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|found| found.st_dev).map_err(text);
        // Where the kernel did not mount it, there is an empty folder that says nothing about the snapshot.
        if device(&above)? == device(&root)? {
            return Err(format!("{} was not mounted by the kernel", all.join(snapshot.short()).display()));
        }
        Ok(Self { root, snapshot: snapshot.clone(), _mounted: None })
    }

    #[cfg(test)]
    pub(super) fn of(path: &Path) -> Self {
        let snapshot = "tank/a@b".parse().expect("a name");
        Self { root: folder(path).expect("a folder"), snapshot, _mounted: None }
    }

    fn failed(&self, path: &Path, error: impl std::fmt::Display) -> RestoreError {
        let cause = format!("{}: {error}", path.display());
        RestoreError::Snapshot { snapshot: self.snapshot.clone(), cause }
    }

    /// What a path names, with the content of files where `content` says so; `None` where the snapshot does not have it.
    ///
    /// # Errors
    /// When it cannot be found out, or a link is on the way.
    pub fn look(&self, path: &Path, content: bool, cancel: &Cancel) -> Result<Option<Found>, RestoreError> {
        let Some(first) = self.peek(path)? else { return Ok(None) };
        let mut found = self.found(path, &first, content, cancel)?;
        if found.kind != b'd' {
            return Ok(Some(found));
        }
        let mut hash = Sha256::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(below) = waiting.pop() {
            if cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            let mut names =
                names(&self.root, &path.join(&below)).map_err(|error| self.failed(path, error))?;
            // Equal folders give equal sums, whatever the order on disk.
            names.sort_unstable();
            for name in names {
                let relative = below.join(&name);
                let whole = path.join(&relative);
                let Some(file) = self.peek(&whole)? else { continue };
                let one = self.found(&whole, &file, content, cancel)?;
                hash.update(relative.as_os_str().as_bytes());
                hash.update([0, one.kind]);
                for number in [one.size, one.modified.0.cast_unsigned(), one.modified.1.into()] {
                    hash.update(number.to_be_bytes());
                }
                hash.update(one.sum.unwrap_or_default());
                found.size = found.size.saturating_add(one.size);
                found.modified = found.modified.max(one.modified);
                found.entries += 1;
                if found.entries > FILES_LIMIT as u64 {
                    return Err(self.failed(path, format!("more than {FILES_LIMIT} files")));
                }
                if one.kind == b'd' {
                    waiting.push(relative);
                }
            }
        }
        found.sum = Some(hash.finalize().into());
        Ok(Some(found))
    }

    /// Opens anything, links too, without reading it.
    fn peek(&self, path: &Path) -> Result<Option<File>, RestoreError> {
        peek(&self.root, path).map_err(|error| match error {
            Errno::LOOP => self.failed(path, "a link is on the way there"),
            error => self.failed(path, error),
        })
    }

    fn found(&self, path: &Path, file: &File, content: bool, cancel: &Cancel) -> Result<Found, RestoreError> {
        let about = file.metadata().map_err(|error| self.failed(path, error))?;
        let kind = kind(about.mode());
        let sum = match kind {
            b'l' => {
                let link = link(file).map_err(|error| self.failed(path, error))?;
                Some(Sha256::digest(link.as_bytes()).into())
            }
            b'f' if content => Some(self.sum(path, cancel)?),
            _ => None,
        };
        Ok(Found {
            kind,
            size: if kind == b'f' { about.size() } else { 0 },
            // Between 0 and 999,999,999, as the kernel has it.
            modified: (about.mtime(), u32::try_from(about.mtime_nsec()).unwrap_or(0)),
            entries: 1,
            sum,
        })
    }

    fn sum(&self, path: &Path, cancel: &Cancel) -> Result<[u8; 32], RestoreError> {
        let mut file = open(&self.root, path).map_err(|error| self.failed(path, error))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            if cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hash.finalize().into()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(path, error)),
            }
        }
    }
}

/// Opens a folder by its path.
pub(super) fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Nothing below a root leads out of it: neither a link nor `..` nor another mount.
pub(super) const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// The root itself has no path.
pub(super) fn dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Opens anything below a root without reading it, links too; `None` where it is not there.
pub(super) fn peek(root: &OwnedFd, path: &Path) -> Result<Option<File>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(root, dot(path), flags, Mode::empty(), INSIDE) {
        Ok(fd) => Ok(Some(fd.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a file or folder below a root for reading.
pub(super) fn open(root: &OwnedFd, path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat2(root, dot(path), flags, Mode::empty(), INSIDE).map(File::from)
}

/// The names in a folder below a root.
pub(super) fn names(root: &OwnedFd, path: &Path) -> Result<Vec<OsString>, Errno> {
    let folder = open(root, path)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
        if names.len() > FILES_LIMIT {
            return Err(Errno::OVERFLOW);
        }
    }
    Ok(names)
}

/// Where a link that was opened leads.
pub(super) fn link(file: &File) -> Result<OsString, Errno> {
    let target = rustix::fs::readlinkat(file, "", Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}
