//! The deeds of the syncoid front end, by a `zfs` command.

use super::ZfsCli;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::deed;
use crate::host::deed::Deed;
use crate::host::deed::Doomed;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

impl ZfsCli {
    pub(super) fn do_deed(&mut self, deed: &Deed) -> Result<(), HostError> {
        match deed {
            Deed::Snapshot { snapshot } => {
                let script = self.script(["snapshot", snapshot.as_str()])?;
                self.run("take the snapshot", snapshot.as_str(), script)
            }
            Deed::Hold { snapshot, tag } => {
                let script = self.script(["hold", "--", self.tag(tag)?, snapshot.as_str()])?;
                self.run("hold", snapshot.as_str(), script)
            }
            Deed::Release { snapshot, tag } => {
                let script = self.script(["release", "--", self.tag(tag)?, snapshot.as_str()])?;
                self.run("release", snapshot.as_str(), script)
            }
            Deed::RollBack { to, guid, newer } => self.roll_back(to, *guid, newer),
            Deed::DestroySnapshots { dataset, snapshots } => {
                let (there, _) = self.snapshots_of(dataset)?;
                self.destroy_together(dataset, &there, snapshots)
            }
            Deed::DestroyTree { dataset, doomed } => self.destroy_tree(dataset, doomed),
            Deed::Mount { dataset } => {
                let script = self.script(["mount", dataset.as_str()])?;
                self.run("mount", dataset.as_str(), script)
            }
        }
    }

    fn tag<'t>(&self, tag: &'t HoldTag) -> Result<&'t str, HostError> {
        tag.to_str().ok_or_else(|| HostError::Cannot {
            host: self.label.clone(),
            has: "a zfs command".to_string(),
            what: "take a tag that is not UTF-8",
        })
    }

    fn roll_back(
        &mut self,
        to: &SnapshotName,
        guid: Guid,
        newer: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        let state = match self.inventory(to.dataset(), Depth::One)? {
            Inventory::Present(tree) => tree.root().clone(),
            Inventory::Absent { .. } => return self.need_guid(to.as_str(), guid, None),
        };
        let place = state.snapshots.iter().position(|one| one.name == *to);
        self.need_guid(to.as_str(), guid, place.map(|at| state.snapshots[at].guid))?;
        let above = &state.snapshots[place.map_or(state.snapshots.len(), |at| at + 1)..];
        let mut there = std::collections::HashMap::new();
        for one in above {
            let expected = newer.iter().find(|(name, _)| *name == one.name).map(|(_, guid)| *guid);
            // One that was not named has no GUID that it could have.
            self.need_guid(one.name.as_str(), expected.unwrap_or(Guid(0)), Some(one.guid))?;
            there.insert(one.name.to_string(), one.guid);
        }
        self.destroy_together(to.dataset(), &there, newer)?;
        // Without -r, zfs refuses where there is a newer one after all.
        let script = self.script(["rollback", to.as_str()])?;
        self.run("roll back to", to.as_str(), script)
    }

    fn destroy_tree(&mut self, dataset: &DatasetName, doomed: &[Doomed]) -> Result<(), HostError> {
        let tree = match self.inventory(dataset, Depth::All)? {
            Inventory::Present(tree) => tree,
            Inventory::Absent { .. } => return Ok(()),
        };
        if let Some(name) = deed::unexpected(&tree, doomed) {
            let found = tree.root().guid;
            let host = self.label.clone();
            return Err(HostError::Changed { host, name, expected: Guid(0), found: Some(found) });
        }
        let script = self.script(["destroy", "-r", dataset.as_str()])?;
        self.run("destroy", dataset.as_str(), script)
    }
}
