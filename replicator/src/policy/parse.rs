//! Why a value of a policy was not understood, and where in its text.

use std::fmt;

/// A text that is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: at character {}: {problem}", .position + 1)]
pub struct ParseError {
    /// What it was meant to be, such as `retention grid`.
    pub kind: &'static str,
    /// The whole text as given.
    pub text: String,
    /// Where the trouble begins: characters from the start of the text.
    pub position: usize,
    /// What is wrong there.
    pub problem: Problem,
}

impl ParseError {
    pub(super) fn new(kind: &'static str, text: &str, position: usize, problem: Problem) -> Self {
        Self { kind, text: text.to_string(), position, problem }
    }

    /// The same trouble in a part of a longer text, which begins at that byte of it.
    pub(super) fn within(self, kind: &'static str, whole: &str, start: usize) -> Self {
        let before = whole.get(..start).map_or(0, |before| before.chars().count());
        Self { kind, text: whole.to_string(), position: before + self.position, problem: self.problem }
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is nothing where a value belongs.
    Missing {
        /// What belongs there.
        expected: &'static str,
    },
    /// Something else stands there.
    Unexpected {
        /// What belongs there.
        expected: &'static str,
    },
    /// A number outside of its range.
    Range {
        /// The smallest that is valid.
        least: u32,
        /// The largest that is valid.
        most: u32,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { expected } => write!(f, "{expected} is missing"),
            Self::Unexpected { expected } => write!(f, "expected {expected}"),
            Self::Range { least, most } => write!(f, "the number must be from {least} to {most}"),
        }
    }
}

/// Reads a number of decimal digits that is from `least` to `most`.
pub(super) fn number(kind: &'static str, text: &str, least: u32, most: u32) -> Result<u32, ParseError> {
    let expected = "a number";
    if text.is_empty() {
        return Err(ParseError::new(kind, text, 0, Problem::Missing { expected }));
    }
    if let Some(position) = text.chars().position(|c| !c.is_ascii_digit()) {
        return Err(ParseError::new(kind, text, position, Problem::Unexpected { expected }));
    }
    let range = || ParseError::new(kind, text, 0, Problem::Range { least, most });
    let number = text.parse().map_err(|_| range())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(range()) }
}
