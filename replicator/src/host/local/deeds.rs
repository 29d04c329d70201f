//! The deeds of the syncoid front end, by the kernel. Those that need mounts are for the `zfs` command.

use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::LABEL;
use super::Local;
use crate::host::HostError;
use crate::host::deed::Deed;

impl Local {
    pub(super) fn do_deed(&self, deed: &Deed) -> Result<(), HostError> {
        match deed {
            Deed::Snapshot { snapshot } => {
                Ok(self.zfs.snapshot(std::slice::from_ref(snapshot), &PropertySet::new())?)
            }
            Deed::Hold { snapshot, tag } => Ok(self.zfs.hold(&[(snapshot.clone(), tag.clone())])?),
            Deed::Release { snapshot, tag } => Ok(self.zfs.release(&[(snapshot.clone(), tag.clone())])?),
            Deed::RollBack { to, guid, newer } => self.roll_back(to, *guid, newer),
            Deed::DestroySnapshots { dataset, snapshots } => {
                let there = self.in_order(dataset)?;
                for (name, guid) in snapshots {
                    if let Some((_, found)) = there.iter().find(|(one, _)| one == name) {
                        self.need_guid(name.as_str(), *guid, Some(*found))?;
                    }
                }
                let names: Vec<_> = snapshots.iter().map(|(name, _)| name.clone()).collect();
                Ok(self.zfs.destroy_snapshots_together(&names)?)
            }
            Deed::DestroyTree { .. } | Deed::Mount { .. } => Err(HostError::Cannot {
                host: LABEL.to_string(),
                has: "no zfs command in use".to_string(),
                what: deed.what(),
            }),
        }
    }

    fn roll_back(
        &self,
        to: &SnapshotName,
        guid: Guid,
        newer: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        let there = self.in_order(to.dataset())?;
        let place = there.iter().position(|(name, _)| name == to);
        self.need_guid(to.as_str(), guid, place.map(|at| there[at].1))?;
        let above = &there[place.map_or(there.len(), |at| at + 1)..];
        for (name, found) in above {
            let expected = newer.iter().find(|(one, _)| one == name).map(|(_, guid)| *guid);
            // One that was not named has no GUID that it could have.
            self.need_guid(name.as_str(), expected.unwrap_or(Guid(0)), Some(*found))?;
        }
        let names: Vec<_> = above.iter().map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            self.zfs.destroy_snapshots_together(&names)?;
        }
        Ok(self.zfs.rollback(to)?)
    }

    /// The snapshots of a dataset, oldest first.
    fn in_order(&self, dataset: &DatasetName) -> Result<Vec<(SnapshotName, Guid)>, HostError> {
        let mut there = self.zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
        there.sort_by_key(|one| one.createtxg);
        Ok(there.into_iter().map(|one| (one.name, one.guid)).collect())
    }
}
