//! The rules for snapshots, bookmarks, holds and going back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::Txg;
use zfs_core::bookmark::BookmarkSource;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::machine::Machine;
use super::machine::Mark;
use super::machine::Refused;
use super::machine::Snap;

impl Machine {
    /// Takes snapshots at one moment: all or none.
    ///
    /// # Errors
    /// As the kernel.
    pub fn snapshot(&mut self, names: &[SnapshotName]) -> Result<(), Refused> {
        let refused = |name, kind| Err(Refused::new(Operation::Snapshot, name, kind));
        let mut datasets = BTreeSet::new();
        for name in names {
            if name.pool() != names[0].pool() || !datasets.insert(name.dataset()) {
                return refused(name, ErrorKind::CrossesPools);
            }
        }
        if let Some(name) = names.iter().find(|name| !self.datasets.contains_key(name.dataset())) {
            return refused(name, ErrorKind::NotFound);
        }
        let mut kinds = BTreeMap::new();
        for name in names {
            match self.datasets.get(name.dataset()) {
                Some(dataset) if dataset.snapshot(name.short()).is_some() => {
                    kinds.insert(name, ErrorKind::Exists);
                }
                Some(dataset) if dataset.inconsistent => drop(kinds.insert(name, ErrorKind::Busy)),
                _ => {}
            }
        }
        if let Some((name, kind)) = kinds.first_key_value() {
            let alike = kinds.values().all(|other| other == kind);
            return refused(name, if alike { *kind } else { ErrorKind::Several });
        }
        let Some(first) = names.first() else { return Ok(()) };
        let txg = self.txg(first.pool());
        for name in names {
            let (id, guid, ivset) = (self.id(), self.guid(), self.guid());
            let Some(dataset) = self.datasets.get_mut(name.dataset()) else { continue };
            dataset.snapshots.push(Snap {
                id,
                short: name.short().to_string(),
                guid,
                createtxg: txg,
                ivset: dataset.is_encrypted().then_some(ivset),
                content: dataset.content.clone(),
                holds: BTreeSet::new(),
                log: dataset.log,
                reset: dataset.reset,
                modified: dataset.modified,
            });
        }
        Ok(())
    }

    /// Destroys one snapshot. One that does not exist counts as destroyed.
    ///
    /// # Errors
    /// As the kernel.
    pub fn destroy_snapshot(&mut self, name: &SnapshotName) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(Operation::DestroySnapshots, name, kind));
        let Some(snap) = self.find(name) else { return Ok(()) };
        if !snap.holds.is_empty() {
            return refused(ErrorKind::Held);
        }
        let id = snap.id;
        if self.clones_of(id) > 0 {
            return refused(ErrorKind::HasClones);
        }
        self.txg(name.pool());
        if let Some(dataset) = self.datasets.get_mut(name.dataset()) {
            dataset.snapshots.retain(|snap| snap.id != id);
        }
        Ok(())
    }

    /// Renames a snapshot within its dataset.
    ///
    /// # Errors
    /// As the kernel.
    pub fn rename_snapshot(&mut self, from: &SnapshotName, to: &SnapshotName) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(Operation::Rename, from, kind));
        if from.dataset() != to.dataset() {
            return refused(ErrorKind::InvalidArgument);
        }
        if self.find(from).is_none() {
            return refused(ErrorKind::NotFound);
        }
        if self.find(to).is_some() {
            return refused(ErrorKind::Exists);
        }
        self.txg(from.pool());
        let snapshots = self.datasets.get_mut(from.dataset()).map(|dataset| &mut dataset.snapshots);
        for snap in snapshots.into_iter().flatten().filter(|snap| snap.short == from.short()) {
            snap.short = to.short().to_string();
        }
        Ok(())
    }

    /// Makes bookmarks: all or none.
    ///
    /// # Errors
    /// As the kernel.
    pub fn bookmark(&mut self, bookmarks: &[(BookmarkName, BookmarkSource)]) -> Result<(), Refused> {
        let mut made = Vec::new();
        for (name, source) in bookmarks {
            let refused = |kind| Refused::new(Operation::Bookmark, name, kind);
            let dataset = self.datasets.get(name.dataset()).ok_or_else(|| refused(ErrorKind::NotFound))?;
            if dataset.bookmarks.contains_key(name.short()) {
                return Err(refused(ErrorKind::Exists));
            }
            let source_pool = match source {
                BookmarkSource::Snapshot(from) => from.pool(),
                BookmarkSource::Bookmark(from) => from.pool(),
            };
            if source_pool != name.pool() {
                return Err(refused(ErrorKind::NotAnAncestor));
            }
            let (from, mark) = match source {
                BookmarkSource::Snapshot(from) => (from.dataset(), self.find(from).map(Mark::of)),
                BookmarkSource::Bookmark(from) => (from.dataset(), self.mark(from).cloned()),
            };
            let mark = mark.ok_or_else(|| refused(ErrorKind::NotFound))?;
            if !self.comes_before(name.dataset(), None, from, mark.createtxg) {
                return Err(refused(ErrorKind::NotAnAncestor));
            }
            made.push((name, mark));
        }
        if let Some((first, _)) = bookmarks.first() {
            self.txg(first.pool());
        }
        for (name, mark) in made {
            if let Some(dataset) = self.datasets.get_mut(name.dataset()) {
                dataset.bookmarks.insert(name.short().to_string(), mark);
            }
        }
        Ok(())
    }

    /// Destroys bookmarks. Those that do not exist count as destroyed.
    pub fn destroy_bookmarks(&mut self, bookmarks: &[BookmarkName]) {
        for name in bookmarks {
            if let Some(dataset) = self.datasets.get_mut(name.dataset()) {
                dataset.bookmarks.remove(name.short());
            }
        }
    }

    /// The bookmark of that name.
    #[must_use]
    pub fn mark(&self, name: &BookmarkName) -> Option<&Mark> {
        self.datasets.get(name.dataset())?.bookmarks.get(name.short())
    }

    /// Places a hold.
    ///
    /// # Errors
    /// As the kernel.
    pub fn hold(&mut self, name: &SnapshotName, tag: &str) -> Result<(), Refused> {
        let refused = |kind| Refused::new(Operation::Hold, name, kind);
        let snap = self.find_mut(name).ok_or_else(|| refused(ErrorKind::NotFound))?;
        if snap.holds.insert(tag.to_string()) { Ok(()) } else { Err(refused(ErrorKind::BadTag)) }
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// As the kernel.
    pub fn release(&mut self, name: &SnapshotName, tag: &str) -> Result<(), Refused> {
        let refused = || Refused::new(Operation::Release, name, ErrorKind::NotFound);
        let snap = self.find_mut(name).ok_or_else(refused)?;
        if snap.holds.remove(tag) { Ok(()) } else { Err(refused()) }
    }

    /// Goes back to the newest snapshot.
    ///
    /// # Errors
    /// As the kernel.
    pub fn rollback(&mut self, to: &SnapshotName) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(Operation::Rollback, to, kind));
        let Some(snap) = self.find(to).cloned() else { return refused(ErrorKind::NotFound) };
        let Some(dataset) = self.datasets.get(to.dataset()) else { return refused(ErrorKind::NotFound) };
        let newest = dataset.snapshots.last().is_some_and(|newest| newest.id == snap.id);
        let marked = dataset.bookmarks.values().any(|mark| mark.createtxg > snap.createtxg);
        if !newest || marked {
            return refused(ErrorKind::NotNewest);
        }
        let txg = self.txg(to.pool());
        if let Some(dataset) = self.datasets.get_mut(to.dataset()) {
            dataset.reset = snap.reset_in(txg);
            dataset.content = snap.content;
            dataset.modified = snap.modified;
            dataset.log = false;
        }
        Ok(())
    }

    /// Has a disk give something else for a block of a snapshot than was written: no rule of ZFS knows of it.
    pub fn rot(&mut self, name: &SnapshotName, block: u64, value: u64) {
        if let Some(snap) = self.find_mut(name) {
            Arc::make_mut(&mut snap.content).insert(block, value);
        }
    }

    fn find_mut(&mut self, name: &SnapshotName) -> Option<&mut Snap> {
        let dataset = self.datasets.get_mut(name.dataset())?;
        dataset.snapshots.iter_mut().find(|snap| snap.short == name.short())
    }

    /// Whether what was taken of `earlier` at `txg` is a past state of `later`, or of its snapshot of `before`.
    pub(super) fn comes_before(
        &self,
        later: &DatasetName,
        before: Option<Txg>,
        earlier: &DatasetName,
        txg: Txg,
    ) -> bool {
        if before.is_some_and(|before| txg >= before) {
            return false;
        }
        let mut at = later;
        loop {
            if at == earlier {
                return true;
            }
            let origin = self.datasets.get(at).and_then(|dataset| dataset.origin);
            let Some((dataset, snap)) = origin.and_then(|id| self.by_id(id)) else { return false };
            if dataset == earlier && snap.createtxg == txg {
                return true;
            }
            if snap.createtxg <= txg {
                return false;
            }
            at = dataset;
        }
    }
}

impl Mark {
    fn of(snap: &Snap) -> Self {
        Self { guid: snap.guid, createtxg: snap.createtxg, ivset: snap.ivset, content: snap.content.clone() }
    }
}
