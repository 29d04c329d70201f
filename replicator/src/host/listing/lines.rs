//! The lines of an answer, which arrives in pieces: bounded in length and number, and whole only with the end mark.

use super::Misunderstood;
use crate::transport::printable;
use crate::transport::quote::END;

/// The longest line: a name, a few numbers and a resume token.
const LINE_LIMIT: usize = 64 * 1024;

/// The largest number of lines: more snapshots than a pool can be worked with.
const LINES_LIMIT: usize = 2_000_000;

/// Splits what arrives in pieces into lines, within bounds, and insists on the end mark.
#[derive(Debug)]
pub struct Lines {
    partial: Vec<u8>,
    count: usize,
    limit: usize,
    ended: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_limit(LINES_LIMIT)
    }
}

impl Lines {
    /// With another bound on the number of lines than the usual one.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { partial: Vec::new(), count: 0, limit, ended: false }
    }

    /// Takes a piece, and gives each complete line to `take`.
    ///
    /// # Errors
    /// When a bound is passed, a line is not UTF-8 or comes after the end mark, or `take` does not understand it.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), Misunderstood> {
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            self.line(take)?;
        }
        if self.partial.len() + bytes.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>) -> Result<(), Misunderstood> {
        let line = std::mem::take(&mut self.partial);
        if line.len() > LINE_LIMIT {
            return Err(format!("a line is longer than {LINE_LIMIT} bytes"));
        }
        self.count += 1;
        if self.count > self.limit {
            return Err(format!("there are more than {} lines", self.limit));
        }
        if self.ended {
            return Err("there are lines after the last one".to_string());
        }
        let text = std::str::from_utf8(&line).map_err(|_| "a line is not UTF-8".to_string())?;
        if text == END {
            self.ended = true;
            return Ok(());
        }
        take(text).map_err(|why| format!("{why} in line {}: {:?}", self.count, printable(&line, 200)))
    }

    /// To be called at the end of the answer.
    ///
    /// # Errors
    /// When the end mark is missing: the answer was cut.
    pub fn finish(&self) -> Result<(), Misunderstood> {
        if self.ended && self.partial.is_empty() { Ok(()) } else { Err("it ends in the middle".to_string()) }
    }
}
