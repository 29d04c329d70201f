//! Which runs may work at the same time: locks on files of this machine, which the kernel releases when the process ends,
//! however it ends. They are about the target, by the name of its machine. What a run only reads is not locked: any number
//! may read it, also while it is received. Runs into datasets are in `lock/run.rs`, who
//! promotes against who receives in `lock/gate.rs`, the files in `lock/files.rs`.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FlockOperation;
use zfs_core::name::DatasetName;

mod files;
mod gate;
mod run;

use files::PATIENCE;
pub(crate) use files::folder;
use files::lock_file;
pub use gate::Gate;
pub use gate::Pass;
pub use run::DatasetLock;
pub use run::RunLock;

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
    /// It is being promoted on this machine, or given away.
    #[error(
        "{dataset} is just being promoted on this machine, or given away{}",
        .process.map_or_else(String::new, |process| format!(", by process {process}"))
    )]
    Closed {
        /// The root that is being promoted.
        dataset: String,
        /// The process, where it is known.
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
    fn busy(machine: Option<&str>, dataset: &DatasetName, process: Option<u32>) -> Self {
        let target = machine.map_or_else(|| dataset.to_string(), |host| format!("{host}:{dataset}"));
        Self::Busy { target, process }
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Busy { .. } => BUSY.to_string(),
            Self::Closed { .. } => CLOSED.to_string(),
            Self::Policies { .. } => "wait until it has ended; it does what this run would".to_string(),
            Self::File { path, .. } => {
                format!("check who owns {} and that it can be written", path.display())
            }
        }
    }
}

/// What to do about another run.
pub(crate) const BUSY: &str = "wait until it has ended; it may be sending what this run would";

/// What to do where a gate is closed.
pub(crate) const CLOSED: &str =
    "nothing is received there meanwhile; `replicator pair status` shows who has the service afterwards";

#[cfg(test)]
mod tests;
