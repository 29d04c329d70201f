//! Public keys of OpenSSH, and the lines of authorized_keys that hold one (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Wanted;
use crate::agent::Class;
use crate::agent::DEFAULT_CLASSES;
use crate::transport::quote;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: String,
    blob: String,
    comment: String,
}

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKey {
    /// It must not leave its machine.
    #[error("this is a private key, which must not leave its machine")]
    Private,
    /// One key is wanted.
    #[error("it holds {0} keys, and one is wanted")]
    Many(usize),
    /// It is something else.
    #[error("it is no public key of OpenSSH")]
    NoKey,
    /// It cannot be read.
    #[error("{0}")]
    Io(String),
}

impl FromStr for PublicKey {
    type Err = BadKey;

    /// The text of a `.pub` file.
    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.contains("PRIVATE KEY-----") {
            return Err(BadKey::Private);
        }
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| is_entry(line)).collect();
        let [line] = lines.as_slice() else {
            return Err(if lines.is_empty() { BadKey::NoKey } else { BadKey::Many(lines.len()) });
        };
        let (kind, rest) = line.split_once(' ').ok_or(BadKey::NoKey)?;
        let (blob, comment) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        if !is_key(kind, blob) {
            return Err(BadKey::NoKey);
        }
        // The comment is for people; nothing in it may look like more than one line.
        let comment = crate::transport::printable(comment.trim().as_bytes(), 100);
        Ok(Self { kind: kind.to_string(), blob: blob.to_string(), comment })
    }
}

/// A line that holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which line, from 1.
    pub line: usize,
    /// What stands before the key.
    pub options: String,
    /// All of it.
    pub text: String,
}

/// The line that lets a key start the agent for these roots, and nothing else.
#[must_use]
pub fn line(wanted: &Wanted) -> String {
    let mut command = format!("{} agent", quote::sh(&wanted.program));
    for root in &wanted.roots {
        command.push_str(" --root ");
        command.push_str(&quote::sh(root.as_str()));
    }
    // Beside what an agent allows by itself: what is set on the source later follows to the copy. Only properties that can do
    // no harm are set by it, and only those for which the user was given the right.
    let allowed = DEFAULT_CLASSES.iter().chain(&[Class::SetProperties]);
    let allowed: Vec<String> = allowed.map(ToString::to_string).collect();
    command.push_str(" --allow ");
    command.push_str(&allowed.join(","));
    // In the file only a double quote has to be marked.
    let command = command.replace('"', "\\\"");
    let PublicKey { kind, blob, comment } = &wanted.key;
    let text = format!("restrict,command=\"{command}\" {kind} {blob} {comment}");
    text.trim_end().to_string()
}

/// The lines of a file that hold this key.
#[must_use]
pub fn entries(file: &str, key: &PublicKey) -> Vec<Entry> {
    let mut found = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let text = line.trim();
        if !is_entry(text) {
            continue;
        }
        if let Some((options, blob)) = split(text)
            && blob == key.blob
        {
            found.push(Entry { line: number + 1, options: options.to_string(), text: text.to_string() });
        }
    }
    found
}

fn is_entry(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// Options and key of a line.
fn split(line: &str) -> Option<(&str, &str)> {
    let of_key = |rest: &'_ str| -> Option<(usize, usize)> {
        let mut words = rest.split_ascii_whitespace();
        let (kind, blob) = (words.next()?, words.next()?);
        let start = rest.find(kind)? + kind.len();
        let at = start + rest[start..].find(blob)?;
        is_key(kind, blob).then_some((at, at + blob.len()))
    };
    if let Some((from, to)) = of_key(line) {
        return Some(("", &line[from..to]));
    }
    // Options end at the first space outside of quotes.
    let (mut quoted, mut marked) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !marked => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let rest = &line[at..];
                return of_key(rest).map(|(from, to)| (&line[..at], &rest[from..to]));
            }
            _ => {}
        }
        marked = c == '\\' && !marked;
    }
    None
}

/// Whether these two words are a key: the data names its own kind.
fn is_key(kind: &str, blob: &str) -> bool {
    let known = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start));
    let Some(data) = STANDARD.decode(blob).ok().filter(|_| known) else { return false };
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return false };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length) == Some(kind.as_bytes())
}
