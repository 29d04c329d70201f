//! Moving over from sanoid and syncoid: where this machine calls them ([`machine`], out of crontabs, units and the
//! scripts that those call), the configuration that takes their place ([`imported`]), and both beside each other ([`report`]). Everything
//! is read, nothing is run or changed.

use std::path::PathBuf;

pub(super) mod crontab;
pub(in crate::cli) mod globs;
pub(in crate::cli) mod imported;
pub(in crate::cli) mod machine;
pub(in crate::cli) mod report;
pub(super) mod unit;
pub(super) mod words;

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Takes and prunes.
    Sanoid,
    /// Replicates.
    Syncoid,
}

impl Program {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sanoid => "sanoid",
            Self::Syncoid => "syncoid",
        }
    }
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The file, as this machine names it.
    pub(super) file: PathBuf,
    /// The line, from 1.
    pub(super) line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A line that is run at times, or by something that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it stands.
    pub(super) origin: Origin,
    /// When it runs, in the words of the file.
    pub(super) when: String,
    /// As whom, where that is said.
    pub(super) user: Option<String>,
    /// The line, as a shell reads it.
    pub(super) text: String,
}

/// A call of one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The line that makes it.
    pub(super) line: Line,
    /// Which one.
    pub(super) program: Program,
    /// What it is given.
    pub(super) arguments: Vec<String>,
}

/// A line that has to do with one of the two and cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclear {
    /// The line.
    pub(super) line: Line,
    /// Why not.
    pub(super) why: String,
}
