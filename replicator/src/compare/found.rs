//! What find(1) and sha256sum(1) of another machine say about a snapshot, read strictly. Paths are arbitrary bytes, so
//! all fields end with a NUL, which no path holds; the other machine is not trusted, so whatever is not exactly what
//! was asked for is an error and never a shorter list.

use std::collections::BTreeMap;

use super::content::BYTES_LIMIT;
use super::content::Entry;
use super::content::FILES_LIMIT;
use super::content::PATH_LIMIT;
use super::content::sum_of;
use crate::transport::printable;

/// What find(1) prints for each entry: see [`crate::transport::quote::file_list`].
const FIELDS: usize = 8;

/// The field between the entries and the sums, and the one behind the last sum.
pub const BETWEEN: &[u8] = b"replicator: sums";
/// The last field.
pub const LAST: &[u8] = b"replicator: end";

/// Reads the answer piece by piece.
#[derive(Debug, Default)]
pub struct Found {
    field: Vec<u8>,
    entry: Vec<Vec<u8>>,
    files: BTreeMap<Vec<u8>, Entry>,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Entries,
    Sums,
    Ended,
}

impl Found {
    /// Takes a piece.
    ///
    /// # Errors
    /// When it is not understood, or a bound is passed.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some(at) = bytes.iter().position(|b| *b == 0) {
            self.extend(&bytes[..at])?;
            bytes = &bytes[at + 1..];
            let field = std::mem::take(&mut self.field);
            let shown = printable(&field, 200);
            self.take(field).map_err(|why| format!("{why} in {shown:?}"))?;
        }
        self.extend(bytes)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.field.len() + bytes.len() > PATH_LIMIT {
            return Err(format!("a path is longer than {PATH_LIMIT} bytes"));
        }
        self.field.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self, field: Vec<u8>) -> Result<(), String> {
        match self.state {
            State::Ended => Err("there is more after the end".to_string()),
            State::Entries if self.entry.is_empty() && field == BETWEEN => {
                self.state = State::Sums;
                Ok(())
            }
            State::Entries => {
                self.entry.push(field);
                if self.entry.len() == FIELDS { self.add() } else { Ok(()) }
            }
            State::Sums if field == LAST => {
                self.state = State::Ended;
                Ok(())
            }
            State::Sums => self.sum(&field),
        }
    }

    fn add(&mut self) -> Result<(), String> {
        let fields = std::mem::take(&mut self.entry);
        let [kind, size, mode, user, group, modified, path, link] =
            <[Vec<u8>; FIELDS]>::try_from(fields).map_err(|_| "a field is missing".to_string())?;
        let [kind] = kind[..] else { return Err("the kind is not one letter".to_string()) };
        let regular = kind == b'f';
        let path = relative(&path)?;
        self.bytes = self.bytes.saturating_add(path.len() + link.len());
        if self.files.len() >= FILES_LIMIT || self.bytes > BYTES_LIMIT {
            return Err(format!("more than {FILES_LIMIT} files, or 1 GiB of paths"));
        }
        let entry = Entry {
            kind,
            size: if regular { number(&size, 10)? } else { 0 },
            mode: small(number(&mode, 8)?)?,
            owner: (small(number(&user, 10)?)?, small(number(&group, 10)?)?),
            modified: time(&modified)?,
            link: if kind == b'l' { link } else { Vec::new() },
            sum: None,
        };
        match self.files.insert(path, entry) {
            None => Ok(()),
            Some(_) => Err("a path comes twice".to_string()),
        }
    }

    /// `<64 hexadecimal digits>  <path>`.
    fn sum(&mut self, field: &[u8]) -> Result<(), String> {
        let (hex, path) = field.split_at_checked(64).ok_or("a sum is too short")?;
        let path = path.strip_prefix(b"  ").ok_or("a sum without a path")?;
        let path = relative(path)?;
        let sum = sum_of(hex)?;
        match self.files.get_mut(&path) {
            Some(entry) if entry.kind == b'f' && entry.sum.is_none() => {
                entry.sum = Some(sum);
                Ok(())
            }
            _ => Err("a sum that was not asked for".to_string()),
        }
    }

    /// The files.
    ///
    /// # Errors
    /// When the end is missing, or the sum of a file.
    pub fn finish(self) -> Result<BTreeMap<Vec<u8>, Entry>, String> {
        if self.state != State::Ended || !self.field.is_empty() {
            return Err("it ends in the middle".to_string());
        }
        if let Some((path, _)) = self.files.iter().find(|(_, one)| one.kind == b'f' && one.sum.is_none()) {
            return Err(format!("{} has no sum", printable(path, 200)));
        }
        if !self.files.contains_key(&[][..]) {
            return Err("the root is missing".to_string());
        }
        Ok(self.files)
    }
}

/// `.` and `./a/b` become an empty path and `a/b`.
fn relative(path: &[u8]) -> Result<Vec<u8>, String> {
    match path {
        b"." => Ok(Vec::new()),
        path => match path.strip_prefix(b"./") {
            Some(rest) if !rest.is_empty() => Ok(rest.to_vec()),
            _ => Err("a path that is not below the snapshot".to_string()),
        },
    }
}

fn number(text: &[u8], radix: u32) -> Result<u64, String> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| u64::from_str_radix(text, radix).ok())
        .ok_or_else(|| "a number is not a number".to_string())
}

fn small(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| "a number is too large".to_string())
}

/// `1795371300.1234567890`: the digits behind the first nine are none.
fn time(text: &[u8]) -> Result<(i64, u32), String> {
    let wrong = || "a time is not a time".to_string();
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let (seconds, fraction) = text.split_once('.').ok_or_else(wrong)?;
    let nanoseconds = fraction.get(..9).ok_or_else(wrong)?;
    let nanoseconds = number(nanoseconds.as_bytes(), 10)?;
    Ok((seconds.parse().map_err(|_| wrong())?, small(nanoseconds)?))
}
