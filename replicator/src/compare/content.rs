//! What is in a snapshot, as a list that can be compared: each file with its kind, size, mode, owner, time and sum, or
//! the sums of a volume's segments. Where the lists come from is in [`super::read`].

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

use crate::transport::printable;

/// The SHA-256 of something.
pub type Sum = [u8; 32];

/// The most files that are compared at a time; each costs a few hundred bytes of memory on both sides.
pub const FILES_LIMIT: usize = 4_000_000;

/// The longest path.
pub const PATH_LIMIT: usize = 64 * 1024;

/// How many bytes of a volume one sum is for.
pub const SEGMENT: u64 = 4 << 20;

/// One file, folder, link or anything else with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `f`, `d`, `l` and so on, as find(1) has them.
    pub kind: u8,
    /// Its size in bytes; 0 for what is no regular file.
    pub size: u64,
    /// The lower twelve bits of its mode.
    pub mode: u32,
    /// Its user and group.
    pub owner: (u32, u32),
    /// When it was modified: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// Where a symbolic link leads.
    pub link: Vec<u8>,
    /// The sum of its content, for a regular file.
    pub sum: Option<Sum>,
}

/// The content of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The entries by path, without the leading `./`; the root is empty.
    Files(BTreeMap<Vec<u8>, Entry>),
    /// The sums of a volume's segments, by number; those that hold only zeros are left out.
    Blocks(BTreeMap<u64, Sum>),
}

impl Content {
    /// How many files or segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Blocks(blocks) => blocks.len(),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is counted.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Blocks(_) => "segments of 4 MiB",
        }
    }
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path, made printable, or the range of bytes.
    pub what: String,
    /// In which way: `only on the source`, `content, size`.
    pub how: String,
}

impl Difference {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "what": self.what, "how": self.how })
    }
}

const ONLY_SOURCE: &str = "only on the source";
const ONLY_TARGET: &str = "only on the target";

/// All that differs, in the order of the paths.
#[must_use]
pub fn differences(source: &Content, target: &Content) -> Vec<Difference> {
    match (source, target) {
        (Content::Files(source), Content::Files(target)) => {
            both(source, target, |path| path_text(path), fields)
        }
        (Content::Blocks(source), Content::Blocks(target)) => both(
            source,
            target,
            |segment| {
                let from = segment.saturating_mul(SEGMENT);
                format!("bytes {from} to {}", from.saturating_add(SEGMENT - 1))
            },
            |_, _| "content".to_string(),
        ),
        _ => vec![Difference {
            what: "the dataset itself".to_string(),
            how: "a filesystem on one side, a volume on the other".to_string(),
        }],
    }
}

fn path_text(path: &[u8]) -> String {
    if path.is_empty() { ".".to_string() } else { printable(path, 4096) }
}

/// Walks two sorted maps beside each other.
fn both<K: Ord, V: PartialEq>(
    source: &BTreeMap<K, V>,
    target: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    how: impl Fn(&V, &V) -> String,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |key: &K, how: String| found.push(Difference { what: name(key), how });
    let (mut here, mut there) = (source.iter().peekable(), target.iter().peekable());
    loop {
        let order = match (here.peek(), there.peek()) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        match order {
            std::cmp::Ordering::Less => {
                if let Some((key, _)) = here.next() {
                    note(key, ONLY_SOURCE.to_string());
                }
            }
            std::cmp::Ordering::Greater => {
                if let Some((key, _)) = there.next() {
                    note(key, ONLY_TARGET.to_string());
                }
            }
            std::cmp::Ordering::Equal => {
                if let (Some((key, one)), Some((_, other))) = (here.next(), there.next())
                    && one != other
                {
                    note(key, how(one, other));
                }
            }
        }
    }
}

/// The fields in which two entries differ.
fn fields(one: &Entry, other: &Entry) -> String {
    let all = [
        ("kind", one.kind != other.kind),
        ("content", one.sum != other.sum),
        ("size", one.size != other.size),
        ("link target", one.link != other.link),
        ("mode", one.mode != other.mode),
        ("owner", one.owner != other.owner),
        ("time", one.modified != other.modified),
    ];
    let differing: Vec<_> = all.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    differing.join(", ")
}
