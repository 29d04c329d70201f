//! What is in a snapshot, as a list that can be compared: each file with its kind, size, mode, owner, time and sum, or
//! the sums of a volume's segments. [`crate::host::Host::read`] gives it piece by piece; nothing is known here of where
//! the pieces come from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::num::NonZeroU32;

use serde_json::Value;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::DatasetKind;

use crate::host::HostError;
use crate::transport::printable;

/// The SHA-256 of something.
pub type Sum = [u8; 32];

/// The most files that are compared at a time; each costs a few hundred bytes of memory on both sides.
pub const FILES_LIMIT: usize = 4_000_000;

/// The longest path.
pub const PATH_LIMIT: usize = 64 * 1024;

/// The most bytes that all paths and link targets may have together.
pub const BYTES_LIMIT: usize = 1 << 30;

/// The most segments: 64 TiB of data.
pub const SEGMENTS_LIMIT: usize = 16 << 20;

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

/// What the reading of a snapshot gives, piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A file by its path, without the leading `./`; the root is empty.
    File(Vec<u8>, Entry),
    /// The sum of a volume's segment, by number.
    Segment(u64, Sum),
    /// So many bytes were read since the piece before: it goes on.
    Bytes(u64),
}

/// A part of the files of a snapshot, found by their paths, so that it is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u32,
    of: NonZeroU32,
}

impl Share {
    /// All files.
    pub const ALL: Self = Self { part: 0, of: NonZeroU32::MIN };

    /// One of so many parts, from 0 on; what is beyond them begins anew.
    #[must_use]
    pub fn new(part: u32, of: NonZeroU32) -> Self {
        Self { part: part % of, of }
    }

    /// Which part.
    #[must_use]
    pub fn part(self) -> u32 {
        self.part
    }

    /// Of how many.
    #[must_use]
    pub fn of(self) -> NonZeroU32 {
        self.of
    }

    /// Whether a file belongs to it.
    #[must_use]
    pub fn has(self, path: &[u8]) -> bool {
        if self.of == NonZeroU32::MIN {
            return true;
        }
        let digest = Sha256::digest(path);
        let mut first = [0; 4];
        first.copy_from_slice(&digest[..4]);
        u32::from_be_bytes(first) % self.of == self.part
    }
}

/// Takes the pieces. An error ends the reading.
pub type Take<'t> = dyn FnMut(Piece) -> Result<(), HostError> + 't;

/// Puts a [`Content`] together from its pieces. The other machine is not trusted: what cannot be of one snapshot is an
/// error, and never a shorter list.
#[derive(Debug)]
pub struct Gathered {
    content: Content,
    bytes: usize,
}

impl Gathered {
    /// Of a dataset of this kind.
    #[must_use]
    pub fn new(kind: DatasetKind) -> Self {
        let content = match kind {
            DatasetKind::Filesystem => Content::Files(BTreeMap::new()),
            DatasetKind::Volume => Content::Blocks(BTreeMap::new()),
        };
        Self { content, bytes: 0 }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// When it does not belong there, was there before, or a bound is passed.
    pub fn add(&mut self, piece: Piece) -> Result<(), String> {
        match (piece, &mut self.content) {
            (Piece::Bytes(_), _) => Ok(()),
            (Piece::File(path, entry), Content::Files(files)) => {
                check(&path, &entry)?;
                self.bytes = self.bytes.saturating_add(path.len() + entry.link.len());
                if files.len() >= FILES_LIMIT || self.bytes > BYTES_LIMIT {
                    return Err(format!("more than {FILES_LIMIT} files, or 1 GiB of paths"));
                }
                once(files.entry(path), entry, "a path comes twice")
            }
            (Piece::Segment(number, sum), Content::Blocks(blocks)) => {
                if blocks.len() >= SEGMENTS_LIMIT || number > u64::MAX / SEGMENT {
                    return Err("the volume has more than 64 TiB of data".to_string());
                }
                once(blocks.entry(number), sum, "a segment comes twice")
            }
            (Piece::File(..), Content::Blocks(_)) => Err("files of a volume".to_string()),
            (Piece::Segment(..), Content::Files(_)) => Err("segments of a filesystem".to_string()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// When the root of a filesystem is missing, or the folder that something is in.
    pub fn finish(self) -> Result<Content, String> {
        let Content::Files(files) = &self.content else { return Ok(self.content) };
        for path in files.keys() {
            let above = match path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => &path[..slash],
                None => &[][..],
            };
            if files.get(above).is_none_or(|above| above.kind != b'd') {
                return Err(format!("{} is in no folder", printable(path, 200)));
            }
        }
        if files.contains_key(&[][..]) { Ok(self.content) } else { Err("the root is missing".to_string()) }
    }
}

fn once<K: Ord, V>(place: Place<'_, K, V>, value: V, twice: &str) -> Result<(), String> {
    match place {
        Place::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Place::Occupied(_) => Err(twice.to_string()),
    }
}

/// Whether it can be a file of a snapshot.
fn check(path: &[u8], entry: &Entry) -> Result<(), String> {
    let inside = path.is_empty()
        || path
            .split(|byte| *byte == b'/')
            .all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0));
    if !inside || path.len().max(entry.link.len()) > PATH_LIMIT {
        return Err("a path that is not below the snapshot, or longer than any".to_string());
    }
    let regular = entry.kind == b'f';
    if entry.sum.is_some() != regular || (!regular && entry.size != 0) {
        return Err(format!("{} has no sum, or one that it cannot have", printable(path, 200)));
    }
    if entry.kind != b'l' && !entry.link.is_empty() {
        return Err(format!("{} leads somewhere and is no link", printable(path, 200)));
    }
    Ok(())
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

/// A sum from its hexadecimal digits.
pub(crate) fn sum_of(hex: &[u8]) -> Result<Sum, String> {
    let mut sum: Sum = [0; 32];
    if hex.len() != 2 * sum.len() || !hex.iter().all(u8::is_ascii_hexdigit) {
        return Err("a sum is not 64 hexadecimal digits".to_string());
    }
    for (byte, digits) in sum.iter_mut().zip(hex.chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|error| error.to_string())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
    }
    Ok(sum)
}

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
