//! Copies a file or folder out of a snapshot. It is made in a private folder beside its place and takes its name in one
//! step, which fails where that name is taken: nothing is written over, and nobody sees a half of it. Mode, owner, times,
//! extended attributes (with them ACLs), links and holes are kept; what could not be kept is told.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::fs::FileTimes;
use std::fs::Metadata;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::fs::SeekFrom;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::process::Gid;
use rustix::process::Uid;

use super::RestoreError;
use super::folder::Folder;
use super::folder::INSIDE;
use super::folder::dot;
use super::folder::folder;
use super::folder::link;
use super::folder::names;
use super::folder::open;
use super::folder::peek;
use super::place::Place;
use crate::cancel::Cancel;
use crate::compare::content::FILES_LIMIT;
use crate::compare::walk::kind;

/// What the private folder is called, before letters that nobody has.
const PRIVATE: &str = ".replicator-restore-";

/// The name in it.
const INNER: &str = "it";

/// How many troubles are told one by one.
const TOLD: usize = 50;

/// How much is copied at once.
const CHUNK: usize = 1 << 20;

/// Where a copy goes: a folder that is open, and a name in it.
pub struct Destination {
    folder: OwnedFd,
    name: std::ffi::OsString,
    path: PathBuf,
}

impl Destination {
    /// A path that a person named: links on the way to it are theirs.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn named(path: &Path) -> Result<Self, RestoreError> {
        let path = std::path::absolute(path).map_err(failed(format!("write {}", path.display())))?;
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(RestoreError::Exists(path.display().to_string()));
        };
        let opened =
            folder(above).map_err(|error| failed(format!("open {}", above.display()))(error.into()))?;
        Ok(Self { folder: opened, name: name.to_os_string(), path: path.clone() })
    }

    /// Beside a path, under its name and this end. Whoever owns folders on the way may change them meanwhile, so that no link
    /// is followed below the mountpoint.
    ///
    /// # Errors
    /// When its folder is not there any more.
    pub fn beside(place: &Place, end: &str) -> Result<Self, RestoreError> {
        let mut name = place.path.file_name().unwrap_or(OsStr::new("root")).to_os_string();
        name.push(end);
        let below = place.path.strip_prefix(&place.mountpoint).unwrap_or(Path::new(""));
        let inside = below.parent().unwrap_or(Path::new(""));
        let above = place.mountpoint.join(inside);
        let what = || {
            format!("open {} (if it is not there any more, name another place with --to)", above.display())
        };
        let root = folder(&place.mountpoint).map_err(|error| failed(what())(error.into()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat2(&root, dot(inside), flags, Mode::empty(), INSIDE);
        let opened = opened.map_err(|error| failed(what())(error.into()))?;
        Ok(Self { folder: opened, path: above.join(&name), name })
    }

    /// The path, for people.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// What could not be kept, or not be copied: the first of them.
    pub troubles: Vec<String>,
    /// How many more there were.
    pub more: u64,
}

impl Copied {
    fn trouble(&mut self, text: String) {
        if self.troubles.len() < TOLD {
            self.troubles.push(text);
        } else {
            self.more += 1;
        }
    }
}

fn failed(what: String) -> impl FnOnce(std::io::Error) -> RestoreError {
    move |cause| RestoreError::Copy { what, cause }
}

/// Copies what a path names in a snapshot. `tell` gets the bytes written since the call before.
///
/// # Errors
/// When the snapshot does not have it, the name is taken, or something of it cannot be read or written. Then nothing of it is
/// there.
pub fn copy(
    from: &Folder,
    path: &Path,
    to: &Destination,
    tell: &mut dyn FnMut(u64),
    cancel: &Cancel,
) -> Result<Copied, RestoreError> {
    let target = to.path.display().to_string();
    let taken = rustix::fs::statat(&to.folder, &to.name, AtFlags::SYMLINK_NOFOLLOW);
    if taken.is_ok() {
        return Err(RestoreError::Exists(target));
    }
    let private = tempfile::Builder::new()
        .prefix(PRIVATE)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(format!("/proc/self/fd/{}/.", to.folder.as_raw_fd()))
        .map_err(failed(format!("make a folder for {target}")))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(private.path(), flags, Mode::empty());
    let into = opened.map_err(|error| failed(format!("open a folder for {target}"))(error.into()))?;
    let mut copying =
        Copying { from, path, into, done: Copied::default(), links: HashMap::new(), buffer: vec![0; CHUNK] };
    copying.all(tell, cancel)?;
    // What a crash after this leaves is whole.
    let synced = rustix::fs::syncfs(&copying.into);
    synced.map_err(|error| failed(format!("write {target}"))(error.into()))?;
    place(&copying.into, to)?;
    Ok(copying.done)
}

/// Gives what was copied its name, which nobody else may have.
fn place(from: &OwnedFd, to: &Destination) -> Result<(), RestoreError> {
    let target = to.path.display().to_string();
    let fail = |error: Errno| match error {
        Errno::EXIST | Errno::NOTEMPTY => RestoreError::Exists(target.clone()),
        error => RestoreError::Copy { what: format!("write {target}"), cause: error.into() },
    };
    match rustix::fs::renameat_with(from, INNER, &to.folder, &to.name, RenameFlags::NOREPLACE) {
        // OpenZFS before 2.2 knows no such flag.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        renamed => return renamed.map_err(fail),
    }
    let about = rustix::fs::statat(from, INNER, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    if kind(about.st_mode) != b'd' {
        // A second name, which fails where it is taken; the first goes with the private folder.
        return rustix::fs::linkat(from, INNER, &to.folder, &to.name, AtFlags::empty()).map_err(fail);
    }
    // A folder takes the place of an empty one, which is made here and fails where the name is taken.
    rustix::fs::mkdirat(&to.folder, &to.name, Mode::RWXU).map_err(fail)?;
    rustix::fs::renameat(from, INNER, &to.folder, &to.name).map_err(|error| {
        // Only where it is still empty.
        let _ = rustix::fs::unlinkat(&to.folder, &to.name, AtFlags::REMOVEDIR);
        fail(error)
    })
}

struct Copying<'f> {
    from: &'f Folder,
    /// In the snapshot.
    path: &'f Path,
    into: OwnedFd,
    done: Copied,
    /// Files with several names that were copied already, by their number.
    links: HashMap<u64, PathBuf>,
    buffer: Vec<u8>,
}

impl Copying<'_> {
    fn all(&mut self, tell: &mut dyn FnMut(u64), cancel: &Cancel) -> Result<(), RestoreError> {
        let mut folders = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(below) = waiting.pop() {
            if cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            let is_folder = self.one(&below, tell, cancel)?;
            self.done.entries += 1;
            if self.done.entries > FILES_LIMIT as u64 {
                let cause = std::io::Error::other(format!("more than {FILES_LIMIT} files"));
                return Err(RestoreError::Copy { what: format!("copy {}", self.path.display()), cause });
            }
            if is_folder {
                let source = self.source(&below);
                let names =
                    names(&self.from.root, &source).map_err(|error| self.read(&source)(error.into()))?;
                waiting.extend(names.into_iter().map(|name| below.join(name)));
                folders.push(below);
            }
        }
        // Their times change while something is made in them: the innermost last made comes first.
        for below in folders.iter().rev() {
            let source = self.source(below);
            let from = open(&self.from.root, &source).map_err(|error| self.read(&source)(error.into()))?;
            let inner = inner(below);
            let to = open(&self.into, &inner).map_err(|error| self.write(&source)(error.into()))?;
            let about = from.metadata().map_err(self.read(&source))?;
            self.keep(&source, &from, &to, &about);
        }
        Ok(())
    }

    fn source(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.path.to_path_buf() } else { self.path.join(below) }
    }

    fn read(&self, path: &Path) -> impl FnOnce(std::io::Error) -> RestoreError + use<> {
        let what = format!("read {}", path.display());
        move |cause| RestoreError::Copy { what, cause }
    }

    fn write(&self, path: &Path) -> impl FnOnce(std::io::Error) -> RestoreError + use<> {
        let what = format!("write the copy of {}", path.display());
        move |cause| RestoreError::Copy { what, cause }
    }

    /// Copies one entry; whether it is a folder.
    fn one(
        &mut self,
        below: &Path,
        tell: &mut dyn FnMut(u64),
        cancel: &Cancel,
    ) -> Result<bool, RestoreError> {
        let (source, inner) = (self.source(below), inner(below));
        let found = peek(&self.from.root, &source).map_err(|error| self.read(&source)(error.into()))?;
        let found = found.ok_or_else(|| self.read(&source)(Errno::NOENT.into()))?;
        let about = found.metadata().map_err(self.read(&source))?;
        match kind(about.mode()) {
            b'd' => {
                let made = rustix::fs::mkdirat(&self.into, &inner, Mode::RWXU);
                made.map_err(|error| self.write(&source)(error.into()))?;
                return Ok(true);
            }
            b'l' => self.link(&source, &inner, &found, &about)?,
            b'f' => self.file(&source, &inner, &about, tell, cancel)?,
            other => {
                let what = match other {
                    b's' => "a socket",
                    b'p' => "a pipe",
                    b'b' | b'c' => "a device",
                    _ => "of an unknown kind",
                };
                if below.as_os_str().is_empty() {
                    return Err(self.read(&source)(std::io::Error::other(format!("it is {what}"))));
                }
                self.done.trouble(format!("{} is {what}, and was not copied", source.display()));
            }
        }
        Ok(false)
    }

    fn link(
        &mut self,
        source: &Path,
        inner: &Path,
        found: &File,
        about: &Metadata,
    ) -> Result<(), RestoreError> {
        let leads = link(found).map_err(|error| self.read(source)(error.into()))?;
        rustix::fs::symlinkat(&leads, &self.into, inner).map_err(|error| self.write(source)(error.into()))?;
        let (user, group) = (Uid::from_raw(about.uid()), Gid::from_raw(about.gid()));
        let owned =
            rustix::fs::chownat(&self.into, inner, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
        if let Err(error) = owned {
            self.done.trouble(format!("{}: its owner was not kept: {error}", source.display()));
        }
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(about.atime(), about.atime_nsec()),
            last_modification: time(about.mtime(), about.mtime_nsec()),
        };
        if let Err(error) = rustix::fs::utimensat(&self.into, inner, &times, AtFlags::SYMLINK_NOFOLLOW) {
            self.done.trouble(format!("{}: its times were not kept: {error}", source.display()));
        }
        Ok(())
    }

    fn file(
        &mut self,
        source: &Path,
        inner: &Path,
        about: &Metadata,
        tell: &mut dyn FnMut(u64),
        cancel: &Cancel,
    ) -> Result<(), RestoreError> {
        if about.nlink() > 1 {
            if let Some(first) = self.links.get(&about.ino()) {
                let linked = rustix::fs::linkat(&self.into, first, &self.into, inner, AtFlags::empty());
                return linked.map_err(|error| self.write(source)(error.into()));
            }
            self.links.insert(about.ino(), inner.to_path_buf());
        }
        let from = open(&self.from.root, source).map_err(|error| self.read(source)(error.into()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat2(&self.into, inner, flags, Mode::RUSR | Mode::WUSR, INSIDE);
        let to = File::from(made.map_err(|error| self.write(source)(error.into()))?);
        let size = about.size();
        let mut at = 0;
        while at < size {
            let (start, end) = data(&from, at, size).map_err(|error| self.read(source)(error.into()))?;
            at = start;
            while at < end {
                if cancel.is_cancelled() {
                    return Err(RestoreError::Cancelled);
                }
                let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let count = match from.read_at(&mut self.buffer[..most], at) {
                    Ok(0) => return Err(self.read(source)(ErrorKind::UnexpectedEof.into())),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(self.read(source)(error)),
                };
                to.write_all_at(&self.buffer[..count], at).map_err(self.write(source))?;
                at += count as u64;
                self.done.bytes += count as u64;
                tell(count as u64);
            }
        }
        // With a hole at its end, too.
        to.set_len(size).map_err(self.write(source))?;
        self.keep(source, &from, &to, about);
        Ok(())
    }

    /// Keeps what belongs to a file beside its content. What the user may not keep is told.
    fn keep(&mut self, source: &Path, from: &File, to: &File, about: &Metadata) {
        let name = source.display();
        // Before the mode: a change of owner takes away what lets others act as it.
        if let Err(error) = std::os::unix::fs::fchown(to, Some(about.uid()), Some(about.gid())) {
            self.done.trouble(format!("{name}: its owner was not kept: {error}"));
        }
        for text in attributes(from, to) {
            self.done.trouble(format!("{name}: {text}"));
        }
        let owned = to.metadata().is_ok_and(|now| (now.uid(), now.gid()) == (about.uid(), about.gid()));
        // A program that acts as its owner must not act as another one.
        let mode = if owned { about.mode() & 0o7777 } else { about.mode() & 0o777 };
        if let Err(error) = to.set_permissions(Permissions::from_mode(mode)) {
            self.done.trouble(format!("{name}: its mode was not kept: {error}"));
        }
        let mut times = FileTimes::new();
        if let Ok(time) = about.modified() {
            times = times.set_modified(time);
        }
        if let Ok(time) = about.accessed() {
            times = times.set_accessed(time);
        }
        if let Err(error) = to.set_times(times) {
            self.done.trouble(format!("{name}: its times were not kept: {error}"));
        }
    }
}

/// The path in the private folder.
fn inner(below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { PathBuf::from(INNER) } else { Path::new(INNER).join(below) }
}

/// The next part of a file that is no hole, from `at` on; the end of the file, twice, where there is none.
fn data(file: &File, at: u64, size: u64) -> Result<(u64, u64), Errno> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok((size, size)),
        // A filesystem that does not tell.
        Err(Errno::INVAL) => return Ok((at, size)),
        Err(error) => return Err(error),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok((start.min(size), end.min(size)))
}

/// Copies the extended attributes; what went wrong with them.
fn attributes(from: &File, to: &File) -> Vec<String> {
    // The kernel has none that are longer, neither list nor value.
    let mut list = vec![0u8; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Vec::new(),
        Err(error) => return vec![format!("its extended attributes were not kept: {error}")],
    };
    let mut value = vec![0u8; 64 << 10];
    let mut troubles = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let copied = rustix::fs::fgetxattr(from, name, &mut value[..])
            .and_then(|length| rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()));
        if let Err(error) = copied {
            troubles.push(format!("its attribute {} was not kept: {error}", String::from_utf8_lossy(name)));
        }
    }
    troubles
}

#[cfg(test)]
mod tests;
