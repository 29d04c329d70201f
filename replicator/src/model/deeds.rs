//! The deeds of the syncoid front end on a machine of the model.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::host::ModelHost;
use crate::host::HostError;
use crate::host::Snapshot;
use crate::host::deed::Deed;
use crate::host::deed::Doomed;

impl ModelHost {
    pub(super) fn do_deed(&self, deed: &Deed) -> Result<(), HostError> {
        let name = || format!("{deed:?}");
        match deed {
            Deed::Snapshot { snapshot } => {
                self.effect(name, |machine| machine.snapshot(std::slice::from_ref(snapshot)))
            }
            Deed::Hold { snapshot, tag } => {
                self.effect(name, |machine| machine.hold(snapshot, tag.to_str().unwrap_or_default()))
            }
            Deed::Release { snapshot, tag } => {
                self.effect(name, |machine| machine.release(snapshot, tag.to_str().unwrap_or_default()))
            }
            Deed::RollBack { to, guid, newer } => {
                let there = self.snapshots_of(to.dataset())?;
                let place = there.iter().position(|one| one.name == *to);
                self.need_guid(to.as_str(), *guid, place.map(|at| there[at].guid))?;
                for one in &there[place.map_or(there.len(), |at| at + 1)..] {
                    let expected = newer.iter().find(|(name, _)| *name == one.name).map(|(_, guid)| *guid);
                    self.need_guid(one.name.as_str(), expected.unwrap_or(Guid(0)), Some(one.guid))?;
                }
                self.destroy(deed, newer)?;
                self.effect(name, |machine| machine.rollback(to))
            }
            Deed::DestroySnapshots { dataset, snapshots } => {
                let there = self.snapshots_of(dataset)?;
                for (name, guid) in snapshots {
                    if let Some(found) = there.iter().find(|one| one.name == *name) {
                        self.need_guid(name.as_str(), *guid, Some(found.guid))?;
                    }
                }
                self.destroy(deed, snapshots)
            }
            Deed::DestroyTree { dataset, doomed } => self.destroy_tree(deed, dataset, doomed),
            // Nothing is ever mounted here.
            Deed::Mount { .. } => Ok(()),
        }
    }

    fn snapshots_of(&self, dataset: &DatasetName) -> Result<Vec<Snapshot>, HostError> {
        self.look(|machine| {
            let found = machine.dataset(dataset);
            Ok(found.map(|found| super::states::snapshots(dataset, found)).unwrap_or_default())
        })
    }

    /// All or none.
    fn destroy(&self, deed: &Deed, snapshots: &[(SnapshotName, Guid)]) -> Result<(), HostError> {
        if snapshots.is_empty() {
            return Ok(());
        }
        self.effect(
            || format!("destroy for {deed:?}"),
            |machine| {
                let mut tried = machine.clone();
                snapshots.iter().try_for_each(|(name, _)| tried.destroy_snapshot(name))?;
                *machine = tried;
                Ok(())
            },
        )
    }

    fn destroy_tree(&self, deed: &Deed, dataset: &DatasetName, doomed: &[Doomed]) -> Result<(), HostError> {
        let below: Vec<DatasetName> = self.look(|machine| {
            let all = machine.datasets().map(|(name, _)| name);
            Ok(all.filter(|name| name.is_within(dataset)).cloned().collect())
        })?;
        for name in below.iter().rev() {
            let found = self.look(|machine| Ok(machine.dataset(name).map(|one| one.guid)))?;
            let Some(named) = doomed.iter().find(|one| one.name == *name) else {
                return self.need_guid(name.as_str(), Guid(0), found);
            };
            self.need_guid(name.as_str(), named.guid, found)?;
            for one in self.snapshots_of(name)? {
                let expected = named.snapshots.iter().find(|(name, _)| *name == one.name);
                self.need_guid(
                    one.name.as_str(),
                    expected.map_or(Guid(0), |(_, guid)| *guid),
                    Some(one.guid),
                )?;
            }
        }
        self.effect(
            || format!("{deed:?}"),
            |machine| {
                // Clones within the tree go before what they are made of: whatever cannot go yet waits a turn.
                let mut tried = machine.clone();
                let mut left: Vec<&Doomed> = doomed.iter().collect();
                while !left.is_empty() {
                    let mut refused = None;
                    let before = left.len();
                    left.retain(|one| {
                        let mut turn = tried.clone();
                        let gone = one
                            .snapshots
                            .iter()
                            .try_for_each(|(name, _)| turn.destroy_snapshot(name))
                            .and_then(|()| turn.destroy(&one.name));
                        match gone {
                            Ok(()) => {
                                tried = turn;
                                false
                            }
                            Err(error) => {
                                refused = Some(error);
                                true
                            }
                        }
                    });
                    if let (Some(error), true) = (refused, left.len() == before) {
                        return Err(error);
                    }
                }
                *machine = tried;
                Ok(())
            },
        )
    }
}
