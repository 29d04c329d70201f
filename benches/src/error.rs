//! Why there is no result.

use std::io;
use std::path::Path;

/// A result of the harness.
pub type Result<T, E = BenchError> = std::result::Result<T, E>;

/// Everything a benchmark can fail with.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Something this machine lacks, or an argument that means nothing; the text says what to do.
    #[error("{0}")]
    Unfit(String),
    /// An operating system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A command that had to succeed did not.
    #[error("{what} ended with {status}:\n{said}")]
    Failed {
        /// The command, or who it stands for.
        what: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },
    /// A run that did not do what it was measured for. Its time would mean nothing.
    #[error("{who} did not do what is measured: {why}")]
    Void {
        /// Whose run.
        who: String,
        /// What is missing.
        why: String,
    },
}

/// Adds what was being done to an I/O error.
pub trait Context<T> {
    /// Names what was tried.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;

    /// Names what was tried on a file.
    fn on(self, verb: &str, path: &Path) -> Result<T>
    where
        Self: Sized,
    {
        self.context(|| format!("{verb} {}", path.display()))
    }
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| BenchError::Io { what: what(), source: error.into() })
    }
}

/// A [`BenchError::Unfit`] as a failed result.
pub fn unfit<T>(text: impl Into<String>) -> Result<T> {
    Err(BenchError::Unfit(text.into()))
}
