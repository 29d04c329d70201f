//! What must hold when a replication has ended, well or not:
//!
//! * I2: the run after a disturbance brings what an undisturbed one brings, what the target kept of a stream is gone on
//!   with, and nothing is sent in full that the target has.
//! * I3: after a listing that failed nothing is thrown away, and nothing is sent in full that was not planned before.
//! * I4: what is printed is what is done.
//! * I7: what is reported to have arrived has, with its GUIDs and its data.
//! * I8: a plan is not longer than what it is made of.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use replicator::host::Change;
use replicator::model::Dataset;
use replicator::plan::Action;
use replicator::plan::Conflict;
use replicator::plan::TreePlan;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::run::Machines;
use crate::run::Outcome;
use crate::run::Setup;

/// What has the same GUID has the same data, wherever it is; and each dataset has what it grew out of.
pub(crate) fn check_world(machines: &Machines) -> Result<(), String> {
    let mut known = BTreeMap::new();
    for (name, machine) in machines {
        for (dataset, state) in machine.datasets() {
            for snap in &state.snapshots {
                if *known.entry(snap.guid).or_insert(&snap.content) != &snap.content {
                    return Err(format!("I7: {dataset}@{} on {name} has the GUID of other data", snap.short));
                }
            }
            if state.is_clone() && machine.origin(dataset).is_none() {
                return Err(format!("the origin of {dataset} on {name} is gone"));
            }
        }
    }
    Ok(())
}

/// What every run must keep to.
pub(crate) fn check(
    start: &Machines,
    end: &Machines,
    setup: &Setup,
    outcome: &Outcome,
    crashed: bool,
    meddled: bool,
) -> Result<(), String> {
    check_world(end)?;
    let Some(plan) = &outcome.plan else {
        return if outcome.effects == 0 || crashed {
            Ok(())
        } else {
            Err("something was done without a plan".to_string())
        };
    };
    check_length(start, plan)?;
    check_no_full_resend(start, plan)?;
    // What has arrived may have been destroyed by somebody else since.
    if !meddled {
        check_reached(end, plan, outcome)?;
    }
    if !crashed {
        check_begun(plan, outcome, setup)?;
    }
    Ok(())
}

/// I8.
fn check_length(start: &Machines, plan: &TreePlan) -> Result<(), String> {
    let count = |machine: &str| {
        let all = start[machine]
            .datasets()
            .map(|(_, dataset)| 1 + dataset.snapshots.len() + dataset.bookmarks.len());
        all.sum::<usize>()
    };
    // Meddling happens between, so that the start is not exactly what was planned with: hence some room.
    let (bound, steps) = (4 * (count("here") + count("there")) + 16, plan.steps().count());
    if steps > bound { Err(format!("I8: {steps} steps for {bound} things")) } else { Ok(()) }
}

/// The bases that a dataset of the source offers, with their sets of initialisation vectors.
fn offers(dataset: &Dataset) -> BTreeSet<(Guid, Option<Guid>)> {
    let snapshots = dataset.snapshots.iter().map(|snap| (snap.guid, snap.ivset));
    snapshots.chain(dataset.bookmarks.values().map(|mark| (mark.guid, mark.ivset))).collect()
}

/// I2: nothing is sent in full for which the target has a base, under whatever name. (Not so where the base is that of
/// another dataset of the source: a promotion moved it.)
fn check_no_full_resend(start: &Machines, plan: &TreePlan) -> Result<(), String> {
    let (here, there) = (&start["here"], &start["there"]);
    let mapped: BTreeSet<&DatasetName> = plan.datasets.iter().map(|dataset| &dataset.target).collect();
    for dataset in &plan.datasets {
        let mut full = dataset.streams().filter(|spec| spec.from.is_none() && spec.resume.is_none());
        let (Some(spec), Some(source)) = (full.next(), here.dataset(&dataset.source)) else { continue };
        let offered = offers(source);
        for (name, target) in there.datasets().filter(|(name, _)| name.is_within(&plan.target)) {
            // A raw stream goes on only from what was received raw.
            let has = target.snapshots.iter().any(|snap| {
                let same = |(guid, ivset): &(Guid, Option<Guid>)| {
                    *guid == snap.guid && (!spec.raw || *ivset == snap.ivset)
                };
                offered.iter().any(same)
            });
            let below = name.strip_prefix(&plan.target).unwrap_or_default();
            let name_here = if below.is_empty() { Ok(plan.source.clone()) } else { plan.source.child(below) };
            let namesake = name_here.is_ok_and(|name| here.dataset(&name).is_some());
            if has && (*name == dataset.target || !mapped.contains(name) && !namesake) {
                return Err(format!("I2: {} is sent in full although {name} has a base", dataset.source));
            }
        }
    }
    Ok(())
}

/// I7.
fn check_reached(end: &Machines, plan: &TreePlan, outcome: &Outcome) -> Result<(), String> {
    for dataset in &plan.datasets {
        let Some(Some(newest)) = outcome.reached.get(&dataset.target) else { continue };
        let Some(there) = end["there"].dataset(&dataset.target) else {
            return Err(format!("I7: {} was reported to be complete, and does not exist", dataset.target));
        };
        let has = |guid: Guid| there.snapshots.iter().any(|snap| snap.guid == guid);
        if !has(*newest) {
            return Err(format!("I7: {} was reported to be complete, and lacks {newest}", dataset.target));
        }
    }
    Ok(())
}

/// What throws something away, or begins anew.
fn is_grave(action: &Action) -> bool {
    match action {
        Action::Change { change: Change::DiscardPartial { .. }, .. } => true,
        Action::Change { .. } => false,
        Action::Send { spec, .. } => spec.from.is_none() && spec.resume.is_none(),
    }
}

/// I4, for every run: what is grave was printed before it was done, or follows from a new plan after a retry.
fn check_begun(plan: &TreePlan, outcome: &Outcome, setup: &Setup) -> Result<(), String> {
    let printed: Vec<&Action> = plan.steps().map(|step| &step.action).collect();
    for action in &outcome.begun {
        if !printed.contains(&action) && outcome.retries == 0 {
            return Err(format!("I4: this was not printed: {action:?}"));
        }
        if is_grave(action) && !setup.options.discard_partial && matches!(action, Action::Change { .. }) {
            return Err(format!("I1: this is not allowed: {action:?}"));
        }
    }
    Ok(())
}

/// I4, for a run to which nothing happened.
pub(crate) fn check_printed(outcome: &Outcome) -> Result<(), String> {
    let (Some(plan), true) = (&outcome.plan, outcome.errors.is_empty()) else { return Ok(()) };
    // Datasets wait for each other: their order is the schedule's, that within each is the plan's.
    let mut printed: Vec<_> = plan.steps().map(|step| step.action.clone()).collect();
    let mut begun = outcome.begun.clone();
    printed.sort_by_key(dataset_of);
    begun.sort_by_key(dataset_of);
    if printed == begun { Ok(()) } else { Err(format!("I4: printed {printed:#?}\nand did {begun:#?}")) }
}

/// The dataset in whose turn a step is made; nothing for those before and after the datasets.
fn dataset_of(action: &Action) -> Option<DatasetName> {
    match action {
        Action::Send { into, .. } => Some(into.dataset().clone()),
        Action::Change {
            change: Change::DiscardPartial { dataset, .. } | Change::SetProperties { dataset, .. },
            ..
        } => Some(dataset.clone()),
        Action::Change { .. } => None,
    }
}

/// I3.
pub(crate) fn check_listing_failed(outcome: &Outcome) -> Result<(), String> {
    let Some(plan) = &outcome.plan else {
        return if outcome.effects == 0 && !outcome.errors.is_empty() {
            Ok(())
        } else {
            Err("I3: a listing failed while planning, and something was done".to_string())
        };
    };
    let printed: Vec<&Action> = plan.steps().map(|step| &step.action).collect();
    match outcome.begun.iter().find(|action| is_grave(action) && !printed.contains(action)) {
        Some(action) => Err(format!("I3: a listing failed, and this followed: {action:?}")),
        None => Ok(()),
    }
}

/// I2: the run after a disturbance.
pub(crate) fn check_mended(
    before: &Machines,
    after: &Machines,
    whole: &Outcome,
    next: &Outcome,
) -> Result<(), String> {
    // A dataset may have got its new name only now, and may have snapshots of its own that are newer.
    let newest = |guid: Guid| {
        let mut all = after["there"].datasets().filter_map(|(_, dataset)| dataset.snapshots.last());
        all.any(|snap| snap.guid == guid) || next.reached.values().any(|reached| *reached == Some(guid))
    };
    for (target, guid) in whole.reached.iter().filter_map(|(target, guid)| Some((target, (*guid)?))) {
        if next.reached.get(target) != Some(&Some(guid)) && !newest(guid) {
            return Err(format!("I2: {target} is not where the undisturbed run brought it"));
        }
    }
    let (Some(plan), Some(planned)) = (&next.plan, &whole.plan) else { return Ok(()) };
    // What the first run had no room for beside the rest may have it once the rest has arrived.
    let no_room = planned.conflicts().any(|(_, conflict)| matches!(conflict, Conflict::NoSpace { .. }));
    // What the target kept is gone on with: what has come once does not come again.
    for dataset in &plan.datasets {
        let there_before = before["there"].dataset(&dataset.target);
        let kept = there_before.and_then(Dataset::partial_guid);
        let aside = plan.before.iter().any(|step| {
            matches!(&step.action, Action::Change { change: Change::Rename { from, .. }, .. } if dataset.target.is_within(from))
        });
        let discarded = aside
            || dataset.steps.iter().flatten().any(|step| is_grave(&step.action) && step.stream().is_none());
        for spec in dataset.streams() {
            if kept == Some(spec.to.guid) && spec.resume.is_none() && !discarded {
                return Err(format!("I2: what {} kept of {} is sent again", dataset.target, spec.to.name));
            }
            let planned_full = planned.streams().any(|one| one.from.is_none() && one.to.guid == spec.to.guid);
            let full = spec.from.is_none() && spec.resume.is_none();
            let has = there_before
                .is_some_and(|there| there.snapshots.iter().any(|snap| snap.guid == spec.to.guid));
            let late = no_room
                && planned
                    .datasets
                    .iter()
                    .any(|one| one.source == *spec.to.name.dataset() && one.steps.is_err());
            if full && (!planned_full && !late || has) {
                return Err(format!("I2: {} is sent in full in the second run", spec.to.name));
            }
        }
    }
    Ok(())
}

/// Where everything has arrived, there is nothing to do.
pub(crate) fn check_idle(plan: &TreePlan, before: &Outcome) -> Result<(), String> {
    for dataset in plan.datasets.iter().filter(|dataset| before.reached.contains_key(&dataset.target)) {
        if let Some(spec) = dataset.streams().next() {
            return Err(format!("I2: {} is still to be sent", spec.to.name));
        }
    }
    // Where the parent was missing, a renamed dataset goes on under its old name, and is moved by the run after.
    let moves = |action: &Action| matches!(action, Action::Change { change: Change::Rename { .. }, .. });
    if plan.steps().any(|step| moves(&step.action)) {
        return Ok(());
    }
    match plan.steps().next() {
        Some(step) if before.errors.is_empty() => Err(format!("I2: there is still to do: {step:?}")),
        _ => Ok(()),
    }
}
