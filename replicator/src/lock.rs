//! One run at a time for each pair of source and target: a lock on a file of this machine, which the kernel releases
//! when the process ends, however it ends. It says nothing about runs that were started on other machines; those meet
//! at the target, which takes one receive at a time.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest;
use sha2::Sha256;

use crate::endpoint::Endpoint;

/// The longest process id that is read from a lock file.
const PID_BYTES: u64 = 16;

/// A run's lock, released when this value is dropped or the process ends. The file stays.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another run from {from} to {to} is going on{}",
        .process.map_or_else(String::new, |process| format!(", process {process}"))
    )]
    Busy {
        /// The source.
        from: String,
        /// The target.
        to: String,
        /// The process, where it has written down who it is.
        process: Option<u32>,
    },
    /// The file cannot be opened or locked.
    #[error("cannot lock {}: {cause}", .path.display())]
    File {
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl LockError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Busy { .. } => "wait until it has ended; it may be sending what this run would".to_string(),
            Self::File { path, .. } => {
                format!("check who owns {} and that it can be written", path.display())
            }
        }
    }
}

impl RunLock {
    /// Takes the lock of a pair.
    ///
    /// # Errors
    /// [`LockError::Busy`] at once when another process has it.
    pub fn take(from: &Endpoint, to: &Endpoint) -> Result<Self, LockError> {
        Self::take_in(&folder()?, from, to)
    }

    fn take_in(folder: &Path, from: &Endpoint, to: &Endpoint) -> Result<Self, LockError> {
        let path = folder.join(file_name(from, to));
        let failed = |error: std::io::Error| LockError::File { path: path.clone(), cause: error.to_string() };
        // NOFOLLOW: where others may write to the folder, a link must not lead us to another file.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
        let mut file = File::from(fd);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let (from, to) = (from.to_string(), to.to_string());
                return Err(LockError::Busy { from, to, process: holder(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process that has the lock. It may be about to write that, so that there is none for a moment.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The first of these that can be had. The same for each run of a user, in a login session or not, wherever there is a
/// `/run/lock` that all may use.
fn folder() -> Result<PathBuf, LockError> {
    let user = rustix::process::geteuid();
    let name =
        if user.is_root() { "replicator".to_string() } else { format!("replicator-{}", user.as_raw()) };
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut tried = own_folder(&Path::new("/run/lock").join(&name));
    for parent in session.into_iter().chain([std::env::temp_dir()]) {
        tried = tried.or_else(|_| own_folder(&parent.join(&name)));
    }
    tried
}

/// Makes the folder, or checks that the one that is there is really a folder and ours.
fn own_folder(folder: &Path) -> Result<PathBuf, LockError> {
    let failed = |cause: String| LockError::File { path: folder.to_path_buf(), cause };
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(std::io::Error::from(errno).to_string())),
    }
    let found = std::fs::symlink_metadata(folder).map_err(|error| failed(error.to_string()))?;
    if !found.is_dir() {
        return Err(failed("it is not a folder".to_string()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(failed("it belongs to somebody else".to_string()));
    }
    Ok(folder.to_path_buf())
}

/// `replicate-<hash of both ends>.lock`.
fn file_name(from: &Endpoint, to: &Endpoint) -> String {
    let mut hash = Sha256::new();
    for end in [from, to] {
        // No endpoint holds a NUL, so no two pairs are the same text.
        hash.update(end.to_string().as_bytes());
        hash.update(b"\0");
    }
    let digest = hash.finalize();
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("replicate-{hex}.lock")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn end(text: &str) -> Endpoint {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn the_same_pair_is_locked_once_and_other_pairs_are_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = own_folder(&folder.path().join("locks")).expect("made");
        assert_eq!(own_folder(&folder).expect("there already"), folder);
        let first = RunLock::take_in(&folder, &end("tank/a"), &end("nas:back/a")).expect("free");
        match RunLock::take_in(&folder, &end("tank/a"), &end("nas:back/a")) {
            Err(error @ LockError::Busy { process, .. }) => {
                assert_eq!(process, Some(std::process::id()));
                let said = error.to_string();
                assert!(said.contains("tank/a") && said.contains("nas:back/a"), "{said}");
            }
            other => panic!("{other:?}"),
        }
        for (from, to) in [("tank/a", "back/a"), ("nas:back/a", "tank/a"), ("tank/a", "nas:back/b")] {
            RunLock::take_in(&folder, &end(from), &end(to)).expect("another pair");
        }
        drop(first);
        RunLock::take_in(&folder, &end("tank/a"), &end("nas:back/a")).expect("free again");
    }

    #[test]
    fn only_its_user_can_read_the_file_and_no_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (end("tank/a"), end("tank/b"));
        let path = folder.path().join(file_name(&from, &to));
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).expect("linked");
        assert!(matches!(RunLock::take_in(folder.path(), &from, &to), Err(LockError::File { .. })));
        assert!(!folder.path().join("elsewhere").exists());
        std::fs::remove_file(&path).expect("removed");
        let _lock = RunLock::take_in(folder.path(), &from, &to).expect("free");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).expect("linked");
        assert!(matches!(own_folder(&link), Err(LockError::File { .. })));
        assert!(matches!(own_folder(&folder.path().join("no/parent")), Err(LockError::File { .. })));
    }

    /// Programs of two versions must meet at the same file.
    #[test]
    fn the_name_of_the_file_stays_as_it_is() {
        assert_eq!(file_name(&end("tank/a"), &end("nas:back/a")), "replicate-80506f90a59b3800.lock");
    }
}
