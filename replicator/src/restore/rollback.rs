//! What a rollback would take out of sight: everything of a dataset that is newer than one of its snapshots. It is told
//! before anything is done; none of it is destroyed, it stays with the dataset that is set aside. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;
use zfs_core::DatasetKind;
use zfs_core::name::BookmarkName;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::SendSpec;
use crate::host::Snapshot;

/// What else is known of the snapshots, by name; what nobody asked for is left out.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// When each was taken, in seconds since 1970.
    pub dates: BTreeMap<SnapshotName, i64>,
    /// The tags of holds.
    pub holds: BTreeMap<SnapshotName, Vec<String>>,
    /// How many clones there are.
    pub clones: BTreeMap<SnapshotName, u64>,
}

/// A snapshot that is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Its name.
    pub name: SnapshotName,
    /// When it was taken.
    pub created: Option<i64>,
    /// The tags of its holds.
    pub holds: Vec<String>,
    /// How many clones it has.
    pub clones: u64,
}

/// All that would be out of sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The snapshot that is gone back to.
    pub to: Snapshot,
    /// Snapshots that are newer, oldest first.
    pub snapshots: Vec<Newer>,
    /// Bookmarks of newer snapshots.
    pub bookmarks: Vec<BookmarkName>,
    /// Bytes written since the newest snapshot, which are in none.
    pub written: u64,
    /// Bytes between the snapshot and the newest one, as ZFS estimates their stream; `None` where it cannot tell.
    pub between: Option<u64>,
    /// It is a volume: who has it open writes on into the one that is set aside.
    pub volume: bool,
}

impl Loss {
    /// Whether there is nothing to go back from.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.snapshots.is_empty() && self.bookmarks.is_empty() && self.written == 0
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let snapshots: Vec<_> = self
            .snapshots
            .iter()
            .map(|one| {
                json!({ "name": one.name.as_str(), "created": one.created, "holds": one.holds, "clones": one.clones })
            })
            .collect();
        json!({
            "to": self.to.name.as_str(),
            "guid": self.to.guid.0.to_string(),
            "snapshots": snapshots,
            "bookmarks": self.bookmarks.iter().map(BookmarkName::as_str).collect::<Vec<_>>(),
            "written_bytes": self.written,
            "between_bytes": self.between,
            "volume": self.volume,
        })
    }
}

/// The stream whose size tells how much was written between a snapshot and the newest one; none where it is the newest.
#[must_use]
pub fn stream(state: &DatasetState, to: &Snapshot) -> Option<SendSpec> {
    let newest = state.snapshots.last().filter(|newest| newest.guid != to.guid)?;
    Some(SendSpec {
        to: newest.clone(),
        from: Some(Base::Snapshot(to.name.clone(), to.guid)),
        raw: state.encrypted(),
        flags: None,
        resume: None,
        compress: false,
    })
}

/// What would be out of sight, or `None` where the dataset has no snapshot of this name.
#[must_use]
pub fn preview(
    state: &DatasetState,
    to: &SnapshotName,
    details: &Details,
    between: Option<u64>,
) -> Option<Loss> {
    let to = state.snapshots.iter().find(|one| one.name == *to)?;
    let newer = state.snapshots.iter().filter(|one| one.createtxg > to.createtxg);
    let snapshots = newer.map(|one| Newer {
        name: one.name.clone(),
        created: details.dates.get(&one.name).copied(),
        holds: details.holds.get(&one.name).cloned().unwrap_or_default(),
        clones: details.clones.get(&one.name).copied().unwrap_or(0),
    });
    let bookmarks = state.bookmarks.iter().filter(|one| one.createtxg > to.createtxg);
    Some(Loss {
        to: to.clone(),
        snapshots: snapshots.collect(),
        bookmarks: bookmarks.map(|one| one.name.clone()).collect(),
        written: state.written,
        between: if state.snapshots.last().is_some_and(|newest| newest.guid == to.guid) {
            Some(0)
        } else {
            between
        },
        volume: state.kind == DatasetKind::Volume,
    })
}
