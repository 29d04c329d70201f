//! One run at a time into each dataset: locks on files of this machine, which the kernel releases when the process
//! ends, however it ends. They are about the target, by the name of its machine; an agent takes one for the runs of all
//! machines that ask it. What a run only reads is not locked: any number may read it, also while it is received.
//!
//! A run into a whole tree has the tree's root alone, and a share of everything above it, so that it meets each run
//! into something above or below, and no other.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::name::DatasetName;

use crate::host::Depth;

/// The longest process id that is read from a lock file.
const PID_BYTES: u64 = 16;

/// How long another process may be about to take or to leave its locks, which is a matter of a few system calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lock of a run, released when this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    folder: PathBuf,
    held: Vec<Held>,
}

/// A file that is locked.
#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
}

/// The lock of those who take and destroy snapshots by the policies of this machine: one at a time. Released when this
/// value is dropped or the process ends.
#[derive(Debug)]
pub struct PolicyLock {
    _file: File,
}

impl PolicyLock {
    /// Takes the lock, and waits a while for another process to leave it.
    ///
    /// # Errors
    /// [`LockError::Policies`] when another process still has it after `patience`, or the wait was `cancelled`.
    pub fn take(patience: Duration, cancelled: &dyn Fn() -> bool) -> Result<Self, LockError> {
        Self::take_in(&folder()?, "policies.lock", patience, cancelled)
    }

    /// The lock of what is remembered of targets, for the moment in which it is changed.
    ///
    /// # Errors
    /// When another process has it for longer than that takes.
    pub fn of_memory() -> Result<Self, LockError> {
        Self::take_in(&folder()?, "memory.lock", PATIENCE, &|| false)
    }

    fn take_in(
        folder: &Path,
        name: &str,
        patience: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, LockError> {
        let path = folder.join(name);
        let deadline = Instant::now() + patience;
        loop {
            match lock_file(&path, FlockOperation::NonBlockingLockExclusive)? {
                Ok(file) => return Ok(Self { _file: file }),
                Err(process) if cancelled() || Instant::now() >= deadline => {
                    return Err(LockError::Policies { process });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process takes or destroys snapshots.
    #[error(
        "another run takes or prunes snapshots on this machine{}",
        .process.map_or_else(String::new, |process| format!(", process {process}"))
    )]
    Policies {
        /// The process, where it has written down who it is.
        process: Option<u32>,
    },
    /// Another process has it.
    #[error(
        "another run into {target}, or into what is above or below it, is going on{}",
        .process.map_or_else(String::new, |process| format!(", process {process}"))
    )]
    Busy {
        /// The dataset, with its machine.
        target: String,
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
            Self::Busy { .. } => BUSY.to_string(),
            Self::Policies { .. } => "wait until it has ended; it does what this run would".to_string(),
            Self::File { path, .. } => {
                format!("check who owns {} and that it can be written", path.display())
            }
        }
    }
}

/// What to do about another run.
pub(crate) const BUSY: &str = "wait until it has ended; it may be sending what this run would";

/// What one file stands for.
#[derive(Clone, Copy)]
enum Part {
    /// A dataset alone.
    Alone,
    /// A dataset and everything below it.
    Tree,
}

impl RunLock {
    /// Takes the lock of a dataset, alone or with everything below it. `machine` is how the machine was named; none
    /// is this one.
    ///
    /// # Errors
    /// [`LockError::Busy`] at once when another process has it.
    pub fn take(machine: Option<&str>, root: &DatasetName, depth: Depth) -> Result<Self, LockError> {
        Self::take_in(folder()?, machine, root, depth)
    }

    fn take_in(
        folder: PathBuf,
        machine: Option<&str>,
        root: &DatasetName,
        depth: Depth,
    ) -> Result<Self, LockError> {
        use FlockOperation::NonBlockingLockExclusive as Exclusive;
        use FlockOperation::NonBlockingLockShared as Shared;
        let mut wanted = Vec::new();
        let mut above = root.parent();
        while let Some(dataset) = above {
            above = dataset.parent();
            wanted.push((Part::Tree, dataset, Shared));
        }
        match depth {
            Depth::All => wanted.push((Part::Tree, root.clone(), Exclusive)),
            Depth::One => {
                wanted.push((Part::Tree, root.clone(), Shared));
                wanted.push((Part::Alone, root.clone(), Exclusive));
            }
        }
        let _turn = turn(&folder)?;
        let mut lock = Self { held: Vec::new(), folder };
        for (part, dataset, how) in wanted {
            let path = lock.folder.join(file_name(part, machine, &dataset));
            match lock_file(&path, how) {
                Ok(Ok(file)) => lock.held.push(Held { file, path }),
                Ok(Err(process)) => {
                    lock.leave();
                    let target = machine.map_or_else(|| root.to_string(), |host| format!("{host}:{root}"));
                    return Err(LockError::Busy { target, process });
                }
                Err(error) => {
                    lock.leave();
                    return Err(error);
                }
            }
        }
        Ok(lock)
    }

    /// Removes the files that nobody else holds, and releases all. To be called in [`turn`], so that nobody opens a
    /// file that is about to go.
    fn leave(&mut self) {
        for Held { file, path } in self.held.drain(..).rev() {
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                // A file that stays does no harm: the next run takes it.
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if !self.held.is_empty()
            && let Ok(_turn) = turn(&self.folder)
        {
            self.leave();
        }
    }
}

/// Locks are taken and left by one process at a time. Held only for that moment.
fn turn(folder: &Path) -> Result<File, LockError> {
    let path = folder.join("turn.lock");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock_file(&path, FlockOperation::NonBlockingLockExclusive)? {
            Ok(file) => return Ok(file),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Err(process) => {
                let who = process.map_or_else(String::new, |process| format!(" {process}"));
                let cause = format!("process{who} has it for more than {} s", PATIENCE.as_secs());
                return Err(LockError::File { path, cause });
            }
        }
    }
}

/// Opens and locks a file; or the process that has it, where it says so.
fn lock_file(path: &Path, how: FlockOperation) -> Result<Result<File, Option<u32>>, LockError> {
    let failed =
        |error: std::io::Error| LockError::File { path: path.to_path_buf(), cause: error.to_string() };
    // NOFOLLOW: where others may write to the folder, a link must not lead us to another file.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(fd);
    match rustix::fs::flock(&file, how) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Err(holder(&mut file))),
        Err(errno) => return Err(failed(errno.into())),
    }
    // Of a file that several hold, the last one stands in it.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(Ok(file))
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

/// `tree-<hash of machine and dataset>.lock`.
fn file_name(part: Part, machine: Option<&str>, dataset: &DatasetName) -> String {
    let mut hash = Sha256::new();
    // Neither holds a NUL, so no two pairs are the same text.
    hash.update(machine.unwrap_or_default().as_bytes());
    hash.update(b"\0");
    hash.update(dataset.as_str().as_bytes());
    let digest = hash.finalize();
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    match part {
        Part::Alone => format!("alone-{hex}.lock"),
        Part::Tree => format!("tree-{hex}.lock"),
    }
}

#[cfg(test)]
mod tests;
