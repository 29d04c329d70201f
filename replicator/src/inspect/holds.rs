//! Holds: which are ours and whether the process that placed each still runs. Ours end with their process, so a list
//! without running transfers is normally empty; one whose process is gone was left by a fault.

use serde_json::Value;
use serde_json::json;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use crate::marks;

/// Whose a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours, of a process that runs.
    Running(u32),
    /// Ours, of a process that is gone.
    Gone(u32),
    /// Ours, of a process of a machine that does not tell whether it runs; never released.
    Unseen(u32),
    /// It begins like ours and does not say which process it belongs to; never released.
    Unknown,
    /// Somebody else's.
    Other,
}

impl Owner {
    /// A word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running(_) => "running",
            Self::Gone(_) => "gone",
            Self::Unseen(_) => "unseen",
            Self::Unknown => "unknown",
            Self::Other => "other",
        }
    }

    /// The process.
    #[must_use]
    pub fn process(self) -> Option<u32> {
        match self {
            Self::Running(process) | Self::Gone(process) | Self::Unseen(process) => Some(process),
            Self::Unknown | Self::Other => None,
        }
    }
}

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// The tag.
    pub tag: HoldTag,
    /// When it was placed, in seconds since 1970, where that is known.
    pub created: Option<u64>,
    /// Whose it is.
    pub owner: Owner,
}

impl Held {
    /// Reads a hold. `runs` tells whether a process of its machine is still there, if that is known.
    pub fn new(
        snapshot: SnapshotName,
        tag: HoldTag,
        created: Option<u64>,
        runs: impl FnOnce(u32) -> Option<bool>,
    ) -> Self {
        let owner = match marks::hold_process(&tag) {
            Some(process) => match runs(process) {
                Some(true) => Owner::Running(process),
                Some(false) => Owner::Gone(process),
                None => Owner::Unseen(process),
            },
            None if marks::is_our_hold(&tag) => Owner::Unknown,
            None => Owner::Other,
        };
        Self { snapshot, tag, created, owner }
    }

    /// The tag as text that is safe to print.
    #[must_use]
    pub fn tag_text(&self) -> String {
        crate::transport::printable(self.tag.as_bytes(), 256)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "snapshot": self.snapshot.as_str(),
            "tag": self.tag_text(),
            "created": self.created,
            "owner": self.owner.word(),
            "process": self.owner.process(),
        })
    }
}
