//! A short code for each way in which this program fails, such as `R301`: what it means and what to do, in more words than
//! fit into a message. The first digit is the exit status. This table is the only place where they are written down:
//! `replicator explain` prints it, `docs/errors.md` is made of it, and the exit status follows from it. Which error has
//! which code is in `of`.

use std::fmt;
use std::fmt::Write;
use std::str::FromStr;

mod of;
mod table;
#[cfg(test)]
mod tests;

pub use of::Coded;
pub use table::Code;

/// What is known about a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// A few words.
    pub title: &'static str,
    /// What has happened, and what has not.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The headings of the statuses, by the first digit of the codes.
const STATUSES: [&str; 9] = [
    "Something failed",
    "The command line is wrong",
    "Stopped for safety: a decision is needed",
    "The other machine, or its agent",
    "ZFS is missing",
    "Interrupted",
    "Another run is at work",
    "The configuration",
    "Pairs: no role",
];

impl Code {
    /// The exit status that goes with it.
    #[must_use]
    pub fn status(self) -> u8 {
        u8::try_from(self as u16 / 100).unwrap_or(1)
    }

    /// For a terminal.
    #[must_use]
    pub fn explanation(self) -> String {
        let Entry { title, meaning, remedy } = self.entry();
        format!("{self}  {title} (exit status {})\n\n{meaning}\n\nWhat to do: {remedy}\n", self.status())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{:03}", *self as u16)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was given is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no code {0:?}")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    /// With or without the brackets of a message, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
        let found = Self::ALL.iter().find(|code| code.to_string().eq_ignore_ascii_case(bare));
        found.copied().ok_or_else(|| UnknownCode(text.to_string()))
    }
}

/// All of them, a line each.
#[must_use]
pub fn list() -> String {
    let mut text = String::new();
    for code in Code::ALL {
        let _ = writeln!(text, "{code}  {}", code.entry().title);
    }
    text
}

/// All of them as `docs/errors.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Errors by their codes\n\n\
         Each message of a failure carries a code in brackets. `replicator explain CODE` prints what is written here about it.\n\
         The first digit is the exit status of a command that fails with it, so that a script can go by the status and a person\n\
         by the code. Codes keep their meaning; one that is not used any more is not given to anything else.\n\n\
         This page is made by `replicator explain --markdown`; a test holds it against the program.\n",
    );
    let mut status = 0;
    for code in Code::ALL {
        if code.status() != status {
            status = code.status();
            let title = STATUSES.get(usize::from(status).saturating_sub(1)).copied().unwrap_or_default();
            let _ = write!(text, "\n## {title} (exit status {status})\n");
        }
        let Entry { title, meaning, remedy } = code.entry();
        let _ = write!(text, "\n### {code}: {title}\n\n{meaning}\n\n*What to do:* {remedy}\n");
    }
    text
}
