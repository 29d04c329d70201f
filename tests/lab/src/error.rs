//! What can go wrong in the lab. A message always says what was tried and where to look further (a log file,
//! the tail of a console); deciding what to do about it is left to the caller.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A result of the lab.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Everything the lab can fail with.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Something this machine lacks or does not allow; the text says what to do.
    #[error("{0}")]
    Unfit(String),
    /// An operating system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A step of `cargo lab build` failed.
    #[error("{step} failed ({status}); the log is {}\n{tail}", log.display())]
    Build {
        /// The step.
        step: String,
        /// How its program ended.
        status: String,
        /// The whole log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A command in a node ran past its limit and was killed.
    #[error("{node}: `{command}` was killed after its limit of {limit:?}\n{console}")]
    Timeout {
        /// The node.
        node: String,
        /// The command.
        command: String,
        /// Its limit.
        limit: Duration,
        /// The tail of the node's console.
        console: String,
    },
    /// The node ended (panic, power off, power cut) while something was asked of it.
    #[error("{node}: the node is not running any more ({during})\n{console}")]
    NodeDied {
        /// The node.
        node: String,
        /// What was being done.
        during: String,
        /// The tail of the node's console.
        console: String,
    },
    /// A command could not be started in the node.
    #[error("{node}: cannot start `{command}`: {reason}")]
    Spawn {
        /// The node.
        node: String,
        /// The command.
        command: String,
        /// Why.
        reason: String,
    },
    /// A command that had to succeed did not.
    #[error("{node}: `{command}` ended with {status}\n{stderr}")]
    Failed {
        /// The node.
        node: String,
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to standard error (and the end of its output, if that was empty).
        stderr: String,
    },
}

/// Adds what was being done to an I/O error.
pub trait Context<T> {
    /// Names what was tried.
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
    /// Names what was tried on a file.
    fn on(self, verb: &str, path: &Path) -> Result<T>
    where
        Self: Sized,
    {
        self.context(|| format!("{verb} {}", path.display()))
    }
}

impl<T, E: Into<std::io::Error>> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| LabError::Io { what: what().into(), source: e.into() })
    }
}

/// A [`LabError::Unfit`] as a failed result.
pub fn unfit<T>(text: impl Into<String>) -> Result<T> {
    Err(LabError::Unfit(text.into()))
}
