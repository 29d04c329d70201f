//! The changes that a plan may ask for, each only where things are as the plan saw them.

use std::collections::HashMap;
use std::collections::HashSet;

use zfs_core::Dataset;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::LABEL;
use super::Local;
use crate::host::Change;
use crate::host::HostError;
use crate::marks;

impl Local {
    /// Makes one change.
    pub(super) fn change(&self, change: &Change) -> Result<(), HostError> {
        match change {
            Change::CreateFilesystem { dataset, set: properties } => {
                match self.zfs.create_filesystem(dataset, &set(properties)) {
                    Err(error) if exists(&error) && self.zfs.find_dataset(dataset)?.is_some() => {}
                    made => made.map(drop)?,
                }
            }
            Change::Bookmark { bookmarks } => self.bookmark(bookmarks)?,
            Change::DestroyBookmarks { bookmarks } => self.destroy_bookmarks(bookmarks)?,
            Change::Rename { from, guid, to } => {
                let found = self.zfs.find_dataset(from)?.map(|found| found.guid);
                self.need_guid(from.as_str(), *guid, found)?;
                self.zfs.rename(from, to)?;
            }
            Change::Clone { snapshot, guid, to, set: properties } => {
                let found = self.zfs.find_snapshot(snapshot)?.map(|found| found.guid);
                self.need_guid(snapshot.as_str(), *guid, found)?;
                self.zfs.clone_snapshot(snapshot, to, &set(properties))?;
            }
            Change::Promote { dataset } => self.zfs.promote(dataset)?,
            Change::SetProperties { dataset, set: properties } => {
                self.zfs.set_properties(dataset, &set(properties))?;
            }
            Change::UnsetProperties { dataset, names } => {
                for name in names {
                    self.zfs.inherit_property(dataset, name)?;
                }
            }
            Change::DestroySnapshots { dataset, newest, snapshots } => {
                self.destroy_snapshots(dataset, *newest, snapshots)?;
            }
            Change::PruneSnapshots { dataset, snapshots } => self.prune_snapshots(dataset, snapshots)?,
            Change::Destroy { dataset, guid, .. } => {
                let Some(found) = self.zfs.find_dataset(dataset)? else { return Ok(()) };
                self.need_guid(dataset.as_str(), *guid, Some(found.guid))?;
                need_mark(&found)?;
                self.zfs.destroy(dataset)?;
            }
            Change::DiscardPartial { dataset, .. } => drop(self.zfs.abort_receive(dataset)?),
        }
        Ok(())
    }

    /// Refuses to go on with something that is not what the plan was made for.
    pub(super) fn need_guid(&self, name: &str, expected: Guid, found: Option<Guid>) -> Result<(), HostError> {
        if found == Some(expected) {
            return Ok(());
        }
        Err(HostError::Changed { host: LABEL.to_string(), name: name.to_string(), expected, found })
    }

    fn bookmark(&self, bookmarks: &[(BookmarkName, SnapshotName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, ..)| name))?;
        let mut missing = Vec::new();
        for (name, snapshot, guid) in bookmarks {
            match there.get(name) {
                Some(found) => self.need_guid(name.as_str(), *guid, Some(*found))?,
                None => missing.push((name.clone(), snapshot.clone().into())),
            }
        }
        Ok(self.zfs.bookmark(&missing)?)
    }

    fn destroy_bookmarks(&self, bookmarks: &[(BookmarkName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, _)| name))?;
        let doomed = bookmarks.iter().filter(|(name, guid)| there.get(name) == Some(guid));
        Ok(self.zfs.destroy_bookmarks(&doomed.map(|(name, _)| name.clone()).collect::<Vec<_>>())?)
    }

    fn destroy_snapshots(
        &self,
        dataset: &DatasetName,
        newest: Guid,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        let Some(found) = self.zfs.find_dataset(dataset)? else { return Ok(()) };
        need_mark(&found)?;
        let there = self.zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = there.iter().max_by_key(|one| one.createtxg) {
            self.need_guid(last.name.as_str(), newest, Some(last.guid))?;
        }
        let there: HashMap<&SnapshotName, Guid> = there.iter().map(|one| (&one.name, one.guid)).collect();
        for (name, guid) in snapshots {
            if let Some(found) = there.get(name) {
                self.need_guid(name.as_str(), *guid, Some(*found))?;
            }
        }
        let names: Vec<SnapshotName> = snapshots.iter().map(|(name, _)| name.clone()).collect();
        Ok(self.zfs.destroy_snapshots_together(&names)?)
    }

    fn prune_snapshots(
        &self,
        dataset: &DatasetName,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        if self.zfs.find_dataset(dataset)?.is_none() {
            return Ok(());
        }
        let there = self.zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
        let newest = there.iter().max_by_key(|one| one.createtxg).map(|one| &one.name);
        let there: HashMap<&SnapshotName, Guid> = there.iter().map(|one| (&one.name, one.guid)).collect();
        for (name, guid) in snapshots {
            if let Some(found) = there.get(name) {
                self.need_guid(name.as_str(), *guid, Some(*found))?;
            }
            if newest == Some(name) {
                return Err(HostError::Newest { host: LABEL.to_string(), snapshot: name.clone() });
            }
        }
        let names: Vec<SnapshotName> = snapshots.iter().map(|(name, _)| name.clone()).collect();
        Ok(self.zfs.destroy_snapshots_together(&names)?)
    }

    /// All bookmarks of the datasets in question.
    fn bookmark_guids<'n>(
        &self,
        names: impl Iterator<Item = &'n BookmarkName>,
    ) -> Result<HashMap<BookmarkName, Guid>, HostError> {
        let datasets: HashSet<&DatasetName> = names.map(BookmarkName::dataset).collect();
        let mut there = HashMap::new();
        for dataset in datasets {
            there.extend(self.zfs.bookmarks(dataset)?.into_iter().map(|found| (found.name, found.guid)));
        }
        Ok(there)
    }
}

pub(super) fn set(properties: &[(String, String)]) -> PropertySet {
    properties.iter().fold(PropertySet::new(), |set, (name, value)| set.text(name, value))
}

/// Whether a change failed because what it makes is there already.
fn exists(error: &zfs_core::Error) -> bool {
    error.kind() == ErrorKind::Exists
}

/// Nothing is destroyed that is not marked as gone at the source, whoever asks.
fn need_mark(dataset: &Dataset) -> Result<(), HostError> {
    let mark = dataset.properties.get(marks::GONE);
    let mark = mark.filter(|mark| mark.source == zfs_core::Source::Local);
    match mark.and_then(|mark| marks::Gone::read(&mark.text())) {
        Some(_) => Ok(()),
        None => Err(HostError::NotMarked { host: LABEL.to_string(), dataset: dataset.name.clone() }),
    }
}
