//! Changes to a machine of the model, each refused where the replication would be refused it.

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::ModelHost;
use crate::host::Change;
use crate::host::Host;
use crate::host::HostError;
use crate::host::PropertySource;
use crate::marks;
use crate::model::machine::Refused;

impl ModelHost {
    /// Does it, whatever a fence says.
    pub(super) fn change(&self, change: &Change) -> Result<(), HostError> {
        if self.world.lock().faults.denied(&self.machine, change.kind()) {
            return Err(self.error(Refused::new(operation(change), change, ErrorKind::PermissionDenied)));
        }
        let name = || change.to_string();
        match change {
            Change::CreateFilesystem { dataset, set } => {
                self.effect(name, |machine| match machine.create(dataset, DatasetKind::Filesystem, set) {
                    Err(refused) if refused.kind == ErrorKind::Exists => Ok(()),
                    other => other,
                })
            }
            Change::Bookmark { bookmarks } => self.bookmark(bookmarks),
            Change::DestroyBookmarks { bookmarks } => self.destroy_bookmarks(bookmarks),
            Change::Rename { from, guid, to } => {
                let found = self.look(|machine| Ok(machine.dataset(from).map(|dataset| dataset.guid)))?;
                self.need_guid(from.as_str(), *guid, found)?;
                self.effect(name, |machine| machine.rename(from, to))
            }
            Change::Clone { snapshot, guid, to, set } => {
                let found = self.look(|machine| Ok(machine.find(snapshot).map(|snap| snap.guid)))?;
                self.need_guid(snapshot.as_str(), *guid, found)?;
                self.effect(name, |machine| machine.clone_snapshot(snapshot, to, set))
            }
            Change::Promote { dataset } => self.effect(name, |machine| machine.promote(dataset)),
            Change::SetProperties { dataset, set } => {
                self.effect(name, |machine| machine.set_properties(dataset, set))
            }
            Change::UnsetProperties { dataset, names } => self.effect(name, |machine| {
                names.iter().try_for_each(|name| machine.inherit_property(dataset, name))
            }),
            Change::DestroySnapshots { dataset, newest, snapshots } => {
                if !self.is_marked(dataset)? {
                    return Ok(());
                }
                let there = self.look(|machine| {
                    Ok(machine
                        .dataset(dataset)
                        .map(|found| crate::model::states::snapshots(dataset, found))
                        .unwrap_or_default())
                })?;
                if let Some(last) = there.last() {
                    self.need_guid(last.name.as_str(), *newest, Some(last.guid))?;
                }
                let doomed: Vec<_> = snapshots
                    .iter()
                    .filter(|(name, guid)| there.iter().any(|s| s.name == *name && s.guid == *guid))
                    .collect();
                self.effect(name, |machine| {
                    let mut tried = machine.clone();
                    doomed.iter().try_for_each(|(name, _)| tried.destroy_snapshot(name))?;
                    *machine = tried;
                    Ok(())
                })
            }
            Change::PruneSnapshots { dataset, snapshots } => {
                let there = self.look(|machine| {
                    let found = machine.dataset(dataset);
                    Ok(found.map(|found| crate::model::states::snapshots(dataset, found)).unwrap_or_default())
                })?;
                for (name, guid) in snapshots {
                    if let Some(found) = there.iter().find(|one| one.name == *name) {
                        self.need_guid(name.as_str(), *guid, Some(found.guid))?;
                    }
                    if there.last().is_some_and(|newest| newest.name == *name) {
                        let host = self.label().to_string();
                        return Err(HostError::Newest { host, snapshot: name.clone() });
                    }
                }
                let is_there = |name: &&SnapshotName| there.iter().any(|one| one.name == **name);
                let doomed: Vec<_> = snapshots.iter().map(|(name, _)| name).filter(is_there).collect();
                self.effect(name, |machine| {
                    let mut tried = machine.clone();
                    doomed.iter().try_for_each(|name| tried.destroy_snapshot(name))?;
                    *machine = tried;
                    Ok(())
                })
            }
            Change::Destroy { dataset, guid, .. } => {
                if !self.is_marked(dataset)? {
                    return Ok(());
                }
                let found = self.look(|machine| Ok(machine.dataset(dataset).map(|dataset| dataset.guid)))?;
                self.need_guid(dataset.as_str(), *guid, found)?;
                self.effect(name, |machine| machine.destroy(dataset))
            }
            Change::DiscardPartial { dataset, .. } => {
                self.effect(name, |machine| machine.abort_receive(dataset).map(drop))
            }
        }
    }

    fn bookmark(&self, bookmarks: &[(BookmarkName, SnapshotName, Guid)]) -> Result<(), HostError> {
        let mut missing = Vec::new();
        for (name, snapshot, guid) in bookmarks {
            match self.mark(name)? {
                Some(found) => self.need_guid(name.as_str(), *guid, Some(found))?,
                None => missing.push((name.clone(), snapshot.clone().into())),
            }
        }
        let Some((first, _)) = missing.first() else { return Ok(()) };
        if self.world.lock().faults.no_bookmarks(&self.machine) {
            return Err(self.error(Refused::new(Operation::Bookmark, first, ErrorKind::PermissionDenied)));
        }
        let at_once = if self.plain { 1 } else { missing.len() };
        for batch in missing.chunks(at_once) {
            let names = || {
                format!("bookmark {}", batch.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(" "))
            };
            self.effect(names, |machine| machine.bookmark(batch))?;
        }
        Ok(())
    }

    fn destroy_bookmarks(&self, bookmarks: &[(BookmarkName, Guid)]) -> Result<(), HostError> {
        let mut doomed = Vec::new();
        for (name, guid) in bookmarks {
            if self.mark(name)? == Some(*guid) {
                doomed.push(name.clone());
            }
        }
        let at_once = if self.plain { 1 } else { doomed.len().max(1) };
        for batch in doomed.chunks(at_once) {
            let names = || {
                format!("destroy {}", batch.iter().map(BookmarkName::as_str).collect::<Vec<_>>().join(" "))
            };
            self.effect(names, |machine| {
                machine.destroy_bookmarks(batch);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Whether a dataset exists; one that does and is not marked as gone is an error.
    fn is_marked(&self, dataset: &DatasetName) -> Result<bool, HostError> {
        self.look(|machine| {
            if machine.dataset(dataset).is_none() {
                return Ok(false);
            }
            let mark = machine.property(dataset, marks::GONE);
            let mark = mark.filter(|mark| mark.source == PropertySource::Local);
            match mark.and_then(|mark| marks::Gone::read(&mark.value)) {
                Some(_) => Ok(true),
                None => Err(HostError::NotMarked { host: self.machine.clone(), dataset: dataset.clone() }),
            }
        })
    }

    /// The GUID of a bookmark; its dataset must exist.
    fn mark(&self, name: &BookmarkName) -> Result<Option<Guid>, HostError> {
        self.look(|machine| {
            let missing =
                || self.error(Refused::new(Operation::ListBookmarks, name.dataset(), ErrorKind::NotFound));
            machine.dataset(name.dataset()).ok_or_else(missing)?;
            Ok(machine.mark(name).map(|mark| mark.guid))
        })
    }
}

fn operation(change: &Change) -> Operation {
    match change {
        Change::CreateFilesystem { .. } => Operation::Create,
        Change::Bookmark { .. } => Operation::Bookmark,
        Change::DestroyBookmarks { .. } => Operation::DestroyBookmarks,
        Change::Rename { .. } => Operation::Rename,
        Change::Clone { .. } => Operation::Clone,
        Change::Promote { .. } => Operation::Promote,
        Change::SetProperties { .. } | Change::UnsetProperties { .. } => Operation::SetProperty,
        Change::DestroySnapshots { .. } | Change::PruneSnapshots { .. } => Operation::DestroySnapshots,
        Change::Destroy { .. } => Operation::Destroy,
        Change::DiscardPartial { .. } => Operation::AbortReceive,
    }
}
