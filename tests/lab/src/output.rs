//! What a command in a node left behind: how it ended and what it wrote.

use crate::error::{LabError, Result};
use std::fmt;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Status {
    pub(crate) fn from_wire(code: i32) -> Self {
        if code < 0 { Self::Signal(-code) } else { Self::Code(code) }
    }

    /// Exit code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// As a shell reports it: 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A finished command.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    pub(crate) node: String,
    pub(crate) command: String,
}

impl Output {
    /// Exit code 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The exit code; 128 + n for signal n.
    pub fn code(&self) -> i32 {
        self.status.shell_code()
    }

    /// Standard output as text, without the end of its last line.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// Standard error as text, without the end of its last line.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end_matches('\n').to_owned()
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<String> {
        self.out().lines().map(str::to_owned).collect()
    }

    /// An error, with what it wrote, unless it succeeded.
    pub fn ok(self) -> Result<Self> {
        if self.success() {
            return Ok(self);
        }
        let said = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(4000)..]).into_owned();
        Err(LabError::Failed {
            node: self.node,
            command: self.command,
            status: self.status.to_string(),
            stderr: said,
        })
    }
}
