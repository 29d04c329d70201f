//! Finding what both sides have: identity is the GUID (and for raw streams the set of initialisation vectors), order
//! is createtxg, names mean nothing.

use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Snapshot;

/// A base with its place in the order of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) base: Base,
    pub(super) createtxg: Txg,
    ivset: Option<Guid>,
}

impl Found {
    pub(super) fn snapshot(name: SnapshotName, guid: Guid, createtxg: Txg) -> Self {
        Self { base: Base::Snapshot(name, guid), createtxg, ivset: None }
    }

    pub(super) fn guid(&self) -> Guid {
        self.base.guid()
    }
}

/// What a source can start an incremental stream from, by GUID.
pub(super) struct Bases(HashMap<Guid, Found>);

impl Bases {
    pub(super) fn of(source: &DatasetState) -> Self {
        let mut all = HashMap::with_capacity(source.snapshots.len() + source.bookmarks.len());
        for one in &source.bookmarks {
            let base = Base::Bookmark(one.name.clone(), one.guid);
            all.insert(one.guid, Found { base, createtxg: one.createtxg, ivset: one.ivset });
        }
        // Snapshots last: where both exist, the snapshot is the better source (openzfs #18491 for raw streams).
        for one in &source.snapshots {
            let base = Base::Snapshot(one.name.clone(), one.guid);
            all.insert(one.guid, Found { base, createtxg: one.createtxg, ivset: one.ivset });
        }
        Self(all)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Found> {
        self.0.values()
    }

    pub(super) fn get(&self, guid: Guid) -> Option<&Found> {
        self.0.get(&guid)
    }

    /// The newest snapshot of the target that the source knows, as a snapshot or a bookmark. For a raw stream it must
    /// depend on the same initialisation vectors on both sides.
    pub(super) fn newest_common(&self, target: &DatasetState, raw: bool) -> Option<&Found> {
        target.snapshots.iter().rev().find_map(|there| {
            let here = self.get(there.guid)?;
            (!raw || joins_raw(here, there)).then_some(here)
        })
    }

    /// Whether the newest snapshot that both sides have shows that the target was received raw. `None` when there is
    /// no common snapshot, or nothing is known of its initialisation vectors.
    pub(super) fn was_raw(&self, target: &DatasetState) -> Option<bool> {
        let there = target.snapshots.iter().rev().find(|there| self.0.contains_key(&there.guid))?;
        let here = self.get(there.guid)?;
        Some(here.ivset? == there.ivset?)
    }
}

fn joins_raw(here: &Found, there: &Snapshot) -> bool {
    match (here.ivset, there.ivset) {
        (Some(here), Some(there)) => here == there,
        // Bookmarks of old pools lack it, and the kernel refuses a raw stream from them.
        (None, _) => matches!(here.base, Base::Snapshot(..)),
        (Some(_), None) => true,
    }
}
