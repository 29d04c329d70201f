//! What becomes of a dataset whose streams did not arrive.

use zfs_core::name::SnapshotName;

use super::dataset::Failed;
use super::dataset::One;
use super::dataset::Turn;
use super::run::End;
use super::run::Run;
use super::send;
use crate::engine::RunError;
use crate::host::Change;
use crate::host::Deed;

/// How often a dataset whose plan was no longer so is looked at anew.
const OUTDATED: usize = 3;

impl Run<'_> {
    /// Tells why streams did not arrive, and says what becomes of the dataset.
    pub(super) fn lost(&mut self, one: &mut One, failed: &Failed, status: u8) -> Result<Turn, End> {
        match failed {
            Failed::End(End::Interrupted) => return Err(End::Interrupted),
            Failed::End(End::Dead(text)) => return Err(End::Dead(text.clone())),
            Failed::Told => self.at_least(status),
            Failed::Look(error) => self.failed(error)?,
            Failed::Collision(snapshot) => {
                self.collision(snapshot);
                self.at_least(status);
            }
            Failed::Stream(error) => return self.broken(one, error, status),
        }
        Ok(Turn::Done)
    }

    fn broken(&mut self, one: &mut One, error: &RunError, status: u8) -> Result<Turn, End> {
        if send::is_outdated(error) && one.outdated < OUTDATED {
            // It was planned when the run began, and others work on both sides meanwhile.
            one.outdated += 1;
            self.log.debug(format!("looking at {} again: {error}", one.source.name));
            return Ok(Turn::Again);
        }
        if send::is_busy(error) {
            let name = &one.name;
            self.log.warn(format!("Cannot sync now: {name} is already target of a zfs receive process."));
            self.at_least(1);
            return Ok(Turn::Done);
        }
        let names = (self.source.name(&one.source.name), self.target.name(&one.name));
        self.log.critical(format!("zfs send {} | zfs receive {} failed: {error}", names.0, names.1));
        self.at_least(status);
        if self.options.no_resume {
            self.forget(one);
        }
        Ok(Turn::Done)
    }

    /// Tells that the name of a snapshot is taken on the target.
    pub(super) fn collision(&self, snapshot: &SnapshotName) {
        let name = self.target.name(snapshot);
        self.log.critical(format!("cannot restore to {name}: destination already exists"));
    }

    /// Throws away what a receive kept that nobody is to resume.
    fn forget(&mut self, one: &mut One) {
        let kept = self.target.look(&one.name).ok().flatten().and_then(|state| state.partial);
        if let Some(partial) = kept {
            let discard = Change::DiscardPartial { dataset: one.name.clone(), partial };
            if let Err(error) = self.target.host.apply(&discard) {
                self.log.warn(format!("the partial receive of {} stays: {error}", one.name));
            }
        }
    }

    /// Removes the one snapshot of the target that is in the way of another of its name.
    pub(super) fn remove(&mut self, one: &mut One, snapshot: &SnapshotName) -> Result<Turn, End> {
        self.log.loud(format!("removing existing destination: {}", self.target.name(snapshot)));
        let there = one.target.iter().flat_map(|target| &target.snapshots).find(|one| one.name == *snapshot);
        let Some(guid) = there.map(|one| one.guid) else { return Ok(Turn::Again) };
        let snapshots = vec![(snapshot.clone(), guid)];
        match self.target.host.deed(&Deed::DestroySnapshots { dataset: one.name.clone(), snapshots }) {
            Ok(()) => Ok(Turn::Again),
            Err(error) => self.failed(&error).map(|()| Turn::Done),
        }
    }
}
