//! What must hold after every effect of a replication, whatever happens before the next one:
//!
//! * I1: whatever was there is still there, with its data, holds, properties and bookmarks. Only what a first receive
//!   left may go, where the option allows it or the run itself made it. Each effect belongs to a step that was begun,
//!   and so was printed.
//! * I5: a base that source and target have in common stays one, and so does one that a bookmark of ours keeps.
//! * I6: on the source nothing changes but bookmarks of ours that are kept for this very target.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use replicator::host::Bookmark;
use replicator::host::Change;
use replicator::marks::Mark;
use replicator::marks::TargetId;
use replicator::model::Content;
use replicator::model::Dataset;
use replicator::model::Effect;
use replicator::model::Machine;
use replicator::model::Snap;
use replicator::plan::Action;
use replicator::plan::Side;
use replicator::plan::TreePlan;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use crate::run::Besides;
use crate::run::Machines;
use crate::run::Setup;

/// Looks at every effect of one run.
pub(crate) struct Guard {
    before: Machines,
    /// Datasets that were there when the run began.
    old: BTreeSet<Guid>,
    discard: bool,
    /// Several steps can be under way.
    several: bool,
    /// The targets that bookmarks may be kept for.
    ids: BTreeSet<TargetId>,
    sources: Vec<DatasetName>,
    bases: Vec<Common>,
    begun: Arc<Mutex<Vec<Action>>>,
    keep_states: bool,
    pub(crate) states: Vec<Machines>,
    /// The first thing that went wrong.
    pub(crate) violation: Option<String>,
}

/// What a dataset of the source has in common with the target.
struct Common {
    dataset: DatasetName,
    newest: Txg,
    /// The newest that is kept by a bookmark of ours.
    marked: Option<Txg>,
}

impl Guard {
    pub(crate) fn new(
        before: Machines,
        setup: &Setup,
        plan: &TreePlan,
        begun: Arc<Mutex<Vec<Action>>>,
        besides: &Besides<'_>,
    ) -> Self {
        let there = &before["there"];
        let pool = there.pool_guid(setup.target.pool());
        // Renamed datasets have bookmarks under their old names as well.
        let renamed = plan.before.iter().filter_map(|step| match &step.action {
            Action::Change { change: Change::Rename { from, .. }, .. } => Some(from.clone()),
            _ => None,
        });
        let names = there.datasets().map(|(name, _)| name.clone()).chain(renamed);
        let names = names.chain(plan.datasets.iter().map(|dataset| dataset.target.clone()));
        let ids =
            names.filter(|name| name.pool() == setup.target.pool()).map(|name| TargetId::new(pool, &name));
        let mut guard = Self {
            old: there.datasets().map(|(_, dataset)| dataset.guid).collect(),
            ids: ids.collect(),
            sources: plan.datasets.iter().map(|dataset| dataset.source.clone()).collect(),
            before,
            discard: setup.options.discard_partial,
            several: setup.jobs > 1,
            bases: Vec::new(),
            begun,
            keep_states: besides.keep_states,
            states: Vec::new(),
            violation: None,
        };
        guard.find_bases(false);
        guard
    }

    /// Somebody else changed a machine: that is not for this run to answer for.
    pub(crate) fn excuse(&mut self, name: &str, machine: &Machine) {
        self.before.insert(name.to_string(), machine.clone());
        if name == "there" {
            self.old.extend(machine.datasets().map(|(_, dataset)| dataset.guid));
        }
        // Between the last look at the target and the change on the source there is always a moment in which somebody
        // can destroy the newer base. Before that step began, none.
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let removes = |action: &Action| {
            matches!(action, Action::Change { change: Change::DestroyBookmarks { .. }, .. })
        };
        let too_late = name == "there" && begun.last().is_some_and(removes);
        drop(begun);
        self.find_bases(too_late);
    }

    /// `too_late`: what bookmarks of ours keep does not count.
    fn find_bases(&mut self, too_late: bool) {
        let (here, there) = (&self.before["here"], guids(&self.before["there"]));
        let common = |name: &DatasetName| {
            let dataset = here.dataset(name)?;
            if too_late {
                let mut without = dataset.clone();
                without.bookmarks.retain(|short, mark| ours(name, short, mark).is_none());
                let newest = newest_common(name, &without, &there).0?;
                return Some(Common { dataset: name.clone(), newest, marked: None });
            }
            let (newest, marked) = newest_common(name, dataset, &there);
            Some(Common { dataset: name.clone(), newest: newest?, marked })
        };
        self.bases = self.sources.iter().filter_map(common).collect();
    }

    /// Looks at what an effect did.
    pub(crate) fn look(&mut self, effect: &Effect<'_>) {
        if self.violation.is_none() {
            let found = self.check(effect);
            let at = || format!("effect {} on {}: {}", effect.number, effect.machine, effect.name);
            self.violation = found.err().map(|what| format!("{what}\n  after {}", at()));
        }
        self.before.clone_from(effect.machines);
        if self.keep_states {
            self.states.push(effect.machines.clone());
        }
    }

    fn check(&self, effect: &Effect<'_>) -> Result<(), String> {
        self.check_step(effect)?;
        for (machine, now) in effect.machines {
            let changed = now.changed(&self.before[machine]);
            if changed.is_empty() {
                continue;
            }
            match machine.as_str() {
                "here" => {
                    changed.iter().try_for_each(|(name, was, is)| self.check_source(name, *was, *is))?;
                    self.check_bases(effect.machines)?;
                }
                _ => self.check_target(&changed, now)?,
            }
        }
        Ok(())
    }

    /// I1: nothing is done that is not a step.
    fn check_step(&self, effect: &Effect<'_>) -> Result<(), String> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = if self.several { begun.as_slice() } else { &begun[begun.len().saturating_sub(1)..] };
        let fits = |action: &Action| match action {
            Action::Change { side, change } => {
                let machine = if *side == Side::Source { "here" } else { "there" };
                let name = match change {
                    Change::Bookmark { .. } => effect.name.starts_with("bookmark "),
                    Change::DestroyBookmarks { .. } => effect.name.starts_with("destroy "),
                    change => effect.name == change.to_string(),
                };
                machine == effect.machine && name
            }
            Action::Send { into, .. } => {
                effect.machine == "there" && effect.name.starts_with(&format!("receive {into} up to byte "))
            }
        };
        if under_way.iter().any(fits) { Ok(()) } else { Err("I1: this belongs to no step".to_string()) }
    }

    /// I6, and I1 on the source.
    fn check_source(
        &self,
        name: &DatasetName,
        was: Option<&Dataset>,
        is: Option<&Dataset>,
    ) -> Result<(), String> {
        let (Some(was), Some(is)) = (was, is) else {
            return Err(format!("I6: {name} of the source came or went"));
        };
        let without = |dataset: &Dataset| {
            let mut dataset = dataset.clone();
            dataset.bookmarks.clear();
            dataset
        };
        if without(was) != without(is) {
            return Err(format!("I6: {name} of the source changed: it was {was:?}\nand is {is:?}"));
        }
        let ours = |short: &String, guid: Guid, createtxg: Txg| {
            let bookmark = Bookmark { name: name.bookmark(short).ok()?, guid, createtxg, ivset: None };
            Mark::of(&bookmark).filter(|mark| self.ids.contains(&mark.target))
        };
        for (short, mark) in &was.bookmarks {
            if is.bookmarks.get(short) != Some(mark) && ours(short, mark.guid, mark.createtxg).is_none() {
                return Err(format!("I1: the bookmark {name}#{short} is not for this target, and is gone"));
            }
        }
        for (short, mark) in is.bookmarks.iter().filter(|(short, _)| !was.bookmarks.contains_key(*short)) {
            let of = is.snapshots.iter().any(|snap| snap.guid == mark.guid);
            if !of || ours(short, mark.guid, mark.createtxg).is_none() {
                return Err(format!("I6: the bookmark {name}#{short} was made on the source"));
            }
        }
        Ok(())
    }

    /// I5: what was a base is one, or a newer one is.
    fn check_bases(&self, machines: &Machines) -> Result<(), String> {
        let (here, there) = (&machines["here"], guids(&machines["there"]));
        for common in &self.bases {
            let Some(dataset) = here.dataset(&common.dataset) else { continue };
            let (newest, marked) = newest_common(&common.dataset, dataset, &there);
            if newest < Some(common.newest) {
                return Err(format!(
                    "I5: the newest common base of {} was of {} and is of {newest:?}",
                    common.dataset, common.newest
                ));
            }
            if marked < common.marked {
                return Err(format!(
                    "I5: a bookmark of ours kept {} from {:?} on, and now from {marked:?}",
                    common.dataset, common.marked
                ));
            }
        }
        Ok(())
    }

    /// I1 on the target. Datasets may get other names, and snapshots go over to clones.
    fn check_target(
        &self,
        changed: &[(&DatasetName, Option<&Dataset>, Option<&Dataset>)],
        now: &Machine,
    ) -> Result<(), String> {
        let after: BTreeMap<Guid, &Dataset> =
            changed.iter().filter_map(|(_, _, is)| is.map(|is| (is.guid, is))).collect();
        let snapshots: BTreeMap<(Guid, Txg), &Snap> = after
            .values()
            .flat_map(|dataset| dataset.snapshots.iter().map(|snap| ((snap.guid, snap.createtxg), snap)))
            .collect();
        let bookmarks: BTreeSet<(&String, Guid, Txg)> =
            after.values().flat_map(|dataset| marks(dataset)).collect();
        for (name, was) in changed.iter().filter_map(|(name, was, _)| was.map(|was| (name, was))) {
            let Some(is) = after.get(&was.guid) else {
                let rest = was.inconsistent && was.snapshots.is_empty();
                if rest && (self.discard || !self.old.contains(&was.guid)) {
                    continue;
                }
                return Err(format!("I1: the dataset {name} is gone from the target"));
            };
            for snap in &was.snapshots {
                if snapshots.get(&(snap.guid, snap.createtxg)) != Some(&snap) {
                    return Err(format!(
                        "I1: the snapshot {name}@{} of the target is lost or changed",
                        snap.short
                    ));
                }
            }
            if let Some((short, ..)) = marks(was).find(|mark| !bookmarks.contains(mark)) {
                return Err(format!("I1: the bookmark {name}#{short} of the target is lost"));
            }
            if was.kind != is.kind || was.is_encrypted() != is.is_encrypted() {
                return Err(format!("I1: {name} of the target is of another kind"));
            }
            // The one property that the source of a history sets.
            let own = was.set.iter().filter(|(property, _)| *property != "compression");
            if own.into_iter().any(|(property, value)| is.set.get(property) != Some(value)) {
                return Err(format!("I1: a property of {name} changed from {:?} to {:?}", was.set, is.set));
            }
            let kept = |content: &Content| {
                now.datasets().flat_map(|(_, one)| &one.snapshots).any(|snap| snap.content == *content)
            };
            if was.content != is.content && !was.inconsistent && !kept(&was.content) {
                return Err(format!(
                    "I1: what was written into {name} of the target is in no snapshot and lost"
                ));
            }
        }
        Ok(())
    }
}

fn marks(dataset: &Dataset) -> impl Iterator<Item = (&String, Guid, Txg)> {
    dataset.bookmarks.iter().map(|(short, mark)| (short, mark.guid, mark.createtxg))
}

/// The GUIDs of all snapshots of a machine.
pub(crate) fn guids(machine: &Machine) -> BTreeSet<Guid> {
    machine.datasets().flat_map(|(_, dataset)| &dataset.snapshots).map(|snap| snap.guid).collect()
}

/// How new the newest snapshot or bookmark of a dataset is that is among those of the target; and how new the newest
/// bookmark of ours among these.
fn newest_common(
    name: &DatasetName,
    dataset: &Dataset,
    there: &BTreeSet<Guid>,
) -> (Option<Txg>, Option<Txg>) {
    let snapshots = dataset.snapshots.iter().map(|snap| (snap.guid, snap.createtxg));
    let marks = dataset.bookmarks.values().map(|mark| (mark.guid, mark.createtxg));
    let common = snapshots.chain(marks).filter(|(guid, _)| there.contains(guid));
    let ours = dataset
        .bookmarks
        .iter()
        .filter(|(short, mark)| there.contains(&mark.guid) && ours(name, short, mark).is_some());
    (common.map(|(_, txg)| txg).max(), ours.map(|(_, mark)| mark.createtxg).max())
}

/// What a bookmark of ours is for.
fn ours(dataset: &DatasetName, short: &str, mark: &replicator::model::Mark) -> Option<Mark> {
    let name = dataset.bookmark(short).ok()?;
    Mark::of(&Bookmark { name, guid: mark.guid, createtxg: mark.createtxg, ivset: mark.ivset })
}
