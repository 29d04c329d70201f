//! What follows the streams of a dataset: holds, bookmarks, and the end of snapshots that nothing needs any more.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::dataset::One;
use super::dataset::Turn;
use super::log::Log;
use super::plan;
use super::plan::Kind;
use super::plan::Work;
use super::run::End;
use super::run::Run;
use super::run::Side;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Deed;
use crate::host::Depth;
use crate::host::HostError;
use crate::inspect::holds::Owner;

/// How many snapshots go at once.
const AT_ONCE: usize = 50;

impl Run<'_> {
    /// After the last stream.
    pub(super) fn after(&mut self, one: &mut One, work: &Work) -> Result<Turn, End> {
        if self.options.use_hold {
            self.hold(one, work)?;
        }
        if self.options.no_sync_snap {
            if self.options.create_bookmark && !self.bookmark(one, work)? {
                return Ok(Turn::Done);
            }
        } else if !self.options.keep_sync_snap {
            let stays = work.newest.name.short();
            let filter = &self.options.snapshots;
            let ours = plan::obsolete(&one.source, &self.owner, filter, stays);
            // What this run has brought is looked at by the next one.
            let target = one.before.as_ref();
            let theirs =
                target.map(|target| plan::obsolete(target, &self.owner, filter, stays)).unwrap_or_default();
            let log = self.log;
            prune(&mut self.source, &one.source.name, &ours, log)?;
            prune(&mut self.target, &one.name, &theirs, log)?;
        }
        if self.options.delete_target_snapshots && one.before.is_some() {
            self.delete_there(one)?;
        }
        Ok(Turn::Done)
    }

    /// Places the holds of what was sent on what has arrived, as `zfs send -h` has it. Those that end with a process of
    /// this program stay where they are.
    pub(super) fn carry_holds(&mut self, one: &One, work: &Work) -> Result<(), End> {
        if !self.options.send.holds || self.options.receive.no_holds {
            return Ok(());
        }
        let source = &one.source.name;
        let held = match self.source.host.holds(source, Depth::One) {
            Ok(held) => held,
            Err(error) if error.is_cancelled() => return Err(End::Interrupted),
            Err(error) => {
                self.log.loud(format!("the holds of {source} were not sent: {error}"));
                return Ok(());
            }
        };
        // As there, those of a stream from a bookmark stay.
        let series = work.series.iter().filter(|series| series.kind != Kind::Bookmark);
        let sent: Vec<_> = series.flat_map(|series| &series.to).map(|one| &one.name).collect();
        for hold in held.iter().filter(|hold| hold.owner == Owner::Other && sent.contains(&&hold.snapshot)) {
            let Ok(snapshot) = one.name.snapshot(hold.snapshot.short()) else { continue };
            let deed = Deed::Hold { snapshot, tag: hold.tag.clone() };
            match self.target.host.deed(&deed) {
                Ok(()) => {}
                Err(error) if error.is_cancelled() => return Err(End::Interrupted),
                Err(error) => self.log.loud(format!("{} failed: {error}", hold_of(&deed))),
            }
        }
        Ok(())
    }

    /// Holds what was sent, and releases what was held before.
    fn hold(&mut self, one: &One, work: &Work) -> Result<(), End> {
        let Ok(tag) = HoldTag::try_from(self.owner.tag()) else {
            self.log.loud(format!("{} cannot be the tag of a hold", self.owner.tag()));
            return Ok(());
        };
        let newest = work.newest.name.short();
        let log = self.log;
        let base = work.base.as_ref();
        let sides = [
            (&mut self.source, Some(&one.source), &one.source.name, base.map(|base| base.source.as_str())),
            (&mut self.target, one.target.as_ref(), &one.name, base.map(|base| base.target.as_str())),
        ];
        for (side, state, dataset, base) in sides {
            let new = dataset.snapshot(newest).map(|snapshot| Deed::Hold { snapshot, tag: tag.clone() });
            let there = |short: &str| {
                state.is_some_and(|state: &DatasetState| {
                    state.snapshots.iter().any(|one| one.name.short() == short)
                })
            };
            let old = base.filter(|short| there(short));
            let old = old.and_then(|short| dataset.snapshot(short).ok());
            let old = old.map(|snapshot| Deed::Release { snapshot, tag: tag.clone() });
            for deed in new.into_iter().chain(old) {
                match side.host.deed(&deed) {
                    Ok(()) => {}
                    Err(error) if error.is_cancelled() => return Err(End::Interrupted),
                    Err(error) => log.loud(format!("{} failed: {error}", hold_of(&deed))),
                }
            }
        }
        Ok(())
    }

    /// Makes the bookmark of what was sent. Whether there is one.
    fn bookmark(&mut self, one: &One, work: &Work) -> Result<bool, End> {
        let found = plan::bookmark(&one.source, &work.newest);
        if found.as_ref().is_none_or(|(_, second)| *second) {
            self.log.info(format!(
                "bookmark creation failed, retrying with guid based suffix ({})...",
                plan::suffix(work.newest.guid)
            ));
        }
        let name = found.and_then(|(short, _)| one.source.name.bookmark(&short).ok());
        let Some(name) = name else {
            self.log
                .critical(format!("no bookmark of {} can be made: its names are taken", work.newest.name));
            self.at_least(2);
            return Ok(false);
        };
        let bookmarks = vec![(name, work.newest.name.clone(), work.newest.guid)];
        match self.source.host.apply(&Change::Bookmark { bookmarks }) {
            Ok(()) => Ok(true),
            Err(error) => self.failed(&error).map(|()| false),
        }
    }

    /// Destroys what only the target has.
    fn delete_there(&mut self, one: &One) -> Result<(), End> {
        let sides = (self.source.look(&one.source.name), self.target.look(&one.name));
        let (source, target) = match sides {
            (Ok(Some(source)), Ok(Some(target))) => (source, target),
            (Err(error), _) | (_, Err(error)) => return self.failed(&error),
            _ => return Ok(()),
        };
        let gone = plan::only_there(&source, &target, &self.options.snapshots);
        for (snapshot, _) in &gone {
            self.log.info(format!("destroying {} (--delete-target-snapshots)", self.target.name(snapshot)));
        }
        for some in gone.chunks(AT_ONCE) {
            let change = Change::PruneSnapshots { dataset: one.name.clone(), snapshots: some.to_vec() };
            match self.target.host.apply(&change) {
                Ok(()) => {}
                Err(error) if error.is_cancelled() => return Err(End::Interrupted),
                Err(error) => self.log.warn(format!("destroying snapshots of {} failed: {error}", one.name)),
            }
        }
        Ok(())
    }
}

fn hold_of(deed: &Deed) -> String {
    match deed {
        Deed::Hold { snapshot, .. } => format!("zfs hold {snapshot}"),
        Deed::Release { snapshot, .. } => format!("zfs release {snapshot}"),
        other => other.what().to_string(),
    }
}

/// Destroys together what can go together, and else one by one: a hold on one keeps no other.
fn prune(
    side: &mut Side,
    dataset: &DatasetName,
    snapshots: &[(SnapshotName, Guid)],
    log: &Log,
) -> Result<(), End> {
    if snapshots.is_empty() {
        return Ok(());
    }
    for (snapshot, _) in snapshots {
        log.debug(format!("pruning {}: a newer one is on both sides", side.name(snapshot)));
    }
    let change = |some: &[(SnapshotName, Guid)]| Change::PruneSnapshots {
        dataset: dataset.clone(),
        snapshots: some.to_vec(),
    };
    let stop = |error: &HostError| error.is_cancelled().then_some(End::Interrupted);
    match side.host.apply(&change(snapshots)) {
        Ok(()) => return Ok(()),
        Err(error) => {
            if let Some(end) = stop(&error) {
                return Err(end);
            }
        }
    }
    for one in snapshots {
        if let Err(error) = side.host.apply(&change(std::slice::from_ref(one))) {
            if let Some(end) = stop(&error) {
                return Err(end);
            }
            log.warn(format!("zfs destroy {} failed: {error}", side.name(&one.0)));
        }
    }
    Ok(())
}
