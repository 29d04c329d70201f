//! What is in snapshots and what holds them, as it goes over the connection. Paths and tags are any bytes: each byte
//! travels as the character of its number, which JSON can carry and which reads back in one way only.

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::message::Text;
use crate::compare::content::Entry;
use crate::compare::content::Sum;
use crate::inspect::holds::Held;
use crate::inspect::holds::Owner;

/// Any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.iter().map(|byte| char::from(*byte)).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.chars().map(|one| u8::try_from(u32::from(one)));
        bytes.collect::<Result<_, _>>().map(Self).map_err(|_| serde::de::Error::custom("no byte"))
    }
}

/// A sum, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireSum(pub(crate) Sum);

impl Serialize for WireSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for WireSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::compare::content::sum_of(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A file and its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireFile {
    path: Raw,
    kind: u8,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, u32),
    link: Raw,
    sum: Option<WireSum>,
}

impl WireFile {
    pub(crate) fn new(path: Vec<u8>, entry: Entry) -> Self {
        Self {
            path: Raw(path),
            kind: entry.kind,
            size: entry.size,
            mode: entry.mode,
            owner: entry.owner,
            modified: entry.modified,
            link: Raw(entry.link),
            sum: entry.sum.map(WireSum),
        }
    }

    pub(crate) fn entry(self) -> (Vec<u8>, Entry) {
        let entry = Entry {
            kind: self.kind,
            size: self.size,
            mode: self.mode,
            owner: self.owner,
            modified: self.modified,
            link: self.link.0,
            sum: self.sum.map(|sum| sum.0),
        };
        (self.path.0, entry)
    }

    /// How many bytes of any value it has.
    pub(crate) fn bytes(&self) -> usize {
        self.path.0.len() + self.link.0.len()
    }
}

/// A hold. Whether the process of one of ours runs is known only where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireHold {
    snapshot: Text<SnapshotName>,
    tag: Raw,
    created: Option<u64>,
    runs: bool,
}

impl From<Held> for WireHold {
    fn from(held: Held) -> Self {
        Self {
            snapshot: Text(held.snapshot),
            tag: Raw(held.tag.as_bytes().to_vec()),
            created: held.created,
            runs: matches!(held.owner, Owner::Running(_)),
        }
    }
}

impl WireHold {
    pub(crate) fn held(self) -> Result<Held, String> {
        let tag = HoldTag::try_from(self.tag.0.as_slice()).map_err(|error| error.to_string())?;
        Ok(Held::new(self.snapshot.0, tag, self.created, |_| Some(self.runs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_and_nothing_else_is_read() {
        let all: Vec<u8> = (0..=255).collect();
        let text = serde_json::to_string(&Raw(all.clone())).expect("JSON");
        assert_eq!(serde_json::from_str::<Raw>(&text).expect("bytes"), Raw(all));
        assert!(serde_json::from_str::<Raw>("\"a\u{100}\"").is_err());
        let sum = WireSum(std::array::from_fn(|at| at as u8 * 8));
        let text = serde_json::to_string(&sum).expect("JSON");
        assert_eq!(serde_json::from_str::<WireSum>(&text).expect("a sum"), sum);
        for other in ["", "00", &"+1".repeat(32), &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)] {
            assert!(serde_json::from_str::<WireSum>(&format!("\"{other}\"")).is_err(), "{other}");
        }
    }

    #[test]
    fn the_largest_file_fits_into_a_frame() {
        let long = vec![1u8; crate::compare::content::PATH_LIMIT];
        let entry = Entry {
            kind: b'l',
            size: u64::MAX,
            mode: 0o7777,
            owner: (u32::MAX, u32::MAX),
            modified: (i64::MIN, u32::MAX),
            link: long.clone(),
            sum: Some([255; 32]),
        };
        let part = super::super::Part::Files(vec![WireFile::new(long, entry)]);
        let text = serde_json::to_vec(&part).expect("JSON");
        assert!(super::super::whole(super::super::Kind::Part, 1, &text).is_some(), "{}", text.len());
    }
}
