//! What a listing tells of the datasets of the model.

use std::collections::BTreeMap;

use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::machine::Dataset;
use super::machine::Machine;
use super::machine::Snap;
use crate::host::Bookmark;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Snapshot;
use crate::host::listing;

impl Machine {
    /// A dataset as a listing tells of it.
    pub(super) fn state(&self, name: &DatasetName, with_snapshots: bool) -> Option<DatasetState> {
        let dataset = self.dataset(name)?;
        let root = self.encryption_root(name);
        let bytes = dataset.content.len() as u64 * 8;
        let mut state = DatasetState {
            name: name.clone(),
            kind: dataset.kind,
            guid: dataset.guid,
            encryption: root.map(|(root, key_loaded)| Encryption { root, key_loaded }),
            origin: self.origin(name),
            written: if self.has_written(name) { bytes + 1 } else { 0 },
            referenced: bytes + 1,
            available: self.pools.get(name.pool()).map_or(0, |pool| pool.available),
            partial: self.token(name).and_then(|token| listing::partial(&token)),
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
        };
        if with_snapshots {
            state.snapshots = snapshots(name, dataset);
            state.bookmarks = bookmarks(name, dataset);
        }
        Some(state)
    }
}

pub(super) fn snapshots(name: &DatasetName, dataset: &Dataset) -> Vec<Snapshot> {
    let snapshot = |snap: &Snap| {
        let name = name.snapshot(&snap.short).ok()?;
        Some(Snapshot { name, guid: snap.guid, createtxg: snap.createtxg, ivset: snap.ivset })
    };
    dataset.snapshots.iter().filter_map(snapshot).collect()
}

fn bookmarks(name: &DatasetName, dataset: &Dataset) -> Vec<Bookmark> {
    let mut by_txg: BTreeMap<Txg, Vec<Bookmark>> = BTreeMap::new();
    for (short, mark) in &dataset.bookmarks {
        let Ok(name) = name.bookmark(short) else { continue };
        let bookmark = Bookmark { name, guid: mark.guid, createtxg: mark.createtxg, ivset: mark.ivset };
        by_txg.entry(mark.createtxg).or_default().push(bookmark);
    }
    by_txg.into_values().flatten().collect()
}
