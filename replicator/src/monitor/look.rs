//! Looking at both sides of a replication to find how far the target is behind, or at the source alone, where the
//! target cannot be reached. Asks hosts, decides nothing, changes nothing.

use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::lag::Look;
use super::lag::Replicated;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Tree;
use crate::jobs::memory::BaseMemory;
use crate::jobs::memory::TargetMemory;
use crate::marks::Mark;
use crate::marks::TargetId;
use crate::plan;
use crate::plan::Options;
use crate::plan::Sides;

/// The source of a replication.
///
/// # Errors
/// When it cannot be looked at, or does not exist.
pub fn source(host: &mut dyn Host, root: &DatasetName, options: &Options) -> Result<Tree, LookError> {
    match host.inventory(root, depth(options))? {
        Inventory::Present(tree) => Ok(tree),
        Inventory::Absent { .. } => {
            Err(LookError::NoSource { host: host.label().to_string(), dataset: root.clone() })
        }
    }
}

/// Why a replication could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is nothing to replicate.
    #[error("{host} has no dataset {dataset} to replicate")]
    NoSource {
        /// The machine.
        host: String,
        /// What was looked for.
        dataset: DatasetName,
    },
    /// A machine does not answer, or refuses.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn depth(options: &Options) -> Depth {
    if options.recursive { Depth::All } else { Depth::One }
}

/// Both sides.
///
/// # Errors
/// When the target cannot be looked at, or neither side tells dates.
pub fn both(
    source: (&mut dyn Host, &Tree),
    target: (&mut dyn Host, &DatasetName),
    options: &Options,
    now: i64,
) -> Result<Look, LookError> {
    let (here, tree) = source;
    let (there, root) = target;
    let found = there.inventory(root, depth(options))?;
    // What would be done, with nothing changed and nothing asked about pools: only what is common is looked at.
    let sides = Sides::new(tree, &found, root, now);
    let (plan, common) = (plan::plan(sides, options), plan::commons(sides, options));
    let common: HashMap<_, _> = common.iter().map(|one| (&one.source, one)).collect();
    let mut datasets = Vec::new();
    let (mut bases, mut places) = (Vec::new(), Vec::new());
    for planned in &plan.datasets {
        let Some(state) = tree.get(&planned.source) else { continue };
        if state.snapshots.is_empty() {
            continue;
        }
        // Also where a conflict keeps it from being sent.
        if let Some(common) = common.get(&planned.source).and_then(|one| one.bases.first()) {
            places.push(datasets.len());
            bases.push(common.clone());
        }
        datasets.push(Replicated {
            source: planned.source.to_string(),
            target: planned.target.to_string(),
            common: None,
            behind: planned.steps.is_ok().then(|| planned.streams().next().is_some()),
            conflict: planned.steps.as_ref().err().map(ToString::to_string),
        });
    }
    let dates = dates(here, there, &found, &bases)?;
    for (place, date) in places.into_iter().zip(dates) {
        datasets[place].common = date;
    }
    Ok(Look::Both(datasets))
}

/// When bases were taken, asked of the side that is here, where there is one: dates are the same on both.
fn dates(
    source: &mut dyn Host,
    target: &mut dyn Host,
    found: &Inventory,
    bases: &[Base],
) -> Result<Vec<Option<i64>>, LookError> {
    let mut dates = vec![None; bases.len()];
    if source.is_far() && !target.is_far() {
        fill(target, &on_target(found, bases), &mut dates)?;
    } else {
        fill(source, &bases.iter().cloned().map(Some).collect::<Vec<_>>(), &mut dates)?;
        if dates.contains(&None) {
            // An agent does not tell dates.
            fill(target, &on_target(found, bases), &mut dates)?;
        }
    }
    if dates.contains(&None) {
        return Err(LookError::Host(HostError::BadAnswer {
            host: source.label().to_string(),
            operation: "the question for the dates of snapshots",
            why: "neither side tells them; `far_end = \"zfs\"` does".to_string(),
        }));
    }
    Ok(dates)
}

/// The snapshots of the target that are the same as these.
fn on_target(found: &Inventory, bases: &[Base]) -> Vec<Option<Base>> {
    let Inventory::Present(tree) = found else { return vec![None; bases.len()] };
    let snapshots = tree.datasets().iter().flat_map(|dataset| &dataset.snapshots);
    let by_guid: HashMap<Guid, _> = snapshots.map(|one| (one.guid, &one.name)).collect();
    let there = |base: &Base| Some(Base::Snapshot((*by_guid.get(&base.guid())?).clone(), base.guid()));
    bases.iter().map(there).collect()
}

fn fill(host: &mut dyn Host, of: &[Option<Base>], dates: &mut [Option<i64>]) -> Result<(), LookError> {
    let wanted: Vec<_> = of
        .iter()
        .zip(dates.iter())
        .enumerate()
        .filter_map(|(place, (base, date))| Some((place, base.clone().filter(|_| date.is_none())?)))
        .collect();
    let names: Vec<_> = wanted.iter().map(|(_, base)| base.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    for ((place, _), date) in wanted.into_iter().zip(host.creation(&names)?) {
        dates[place] = date;
    }
    Ok(())
}

/// The source alone, by what is known of the target without it: what both had in common when it was seen last, and
/// the newest bookmark that was made for it since.
///
/// # Errors
/// When the source cannot be looked at.
pub fn bookmarks(
    host: &mut dyn Host,
    tree: &Tree,
    root: &DatasetName,
    seen: Option<&TargetMemory>,
    why: String,
) -> Result<Look, LookError> {
    let mut datasets = Vec::new();
    let (mut bases, mut places) = (Vec::new(), Vec::new());
    for state in tree.datasets().iter().filter(|state| !state.snapshots.is_empty()) {
        let memory = seen.and_then(|seen| seen.of_source(&state.name));
        let below = state.name.strip_prefix(&tree.root().name).unwrap_or_default();
        let target = match memory {
            Some(memory) => memory.target.clone(),
            None if below.is_empty() => root.to_string(),
            None => format!("{root}/{below}"),
        };
        if let Some(base) = last_known(state, &target, seen.and_then(|seen| seen.pool), memory) {
            places.push(datasets.len());
            bases.push(base);
        }
        let source = state.name.to_string();
        datasets.push(Replicated { source, target, common: None, behind: None, conflict: None });
    }
    for (place, date) in places.into_iter().zip(host.creation(&bases)?) {
        datasets[place].common = date;
    }
    Ok(Look::Bookmarks { why, datasets })
}

/// The newest of what a target is known to have, and of what a run was about to send it.
fn last_known(
    state: &DatasetState,
    target: &str,
    pool: Option<u64>,
    memory: Option<&BaseMemory>,
) -> Option<Base> {
    let id = pool.zip(target.parse().ok()).map(|(pool, name)| TargetId::new(Guid(pool), &name));
    let base = memory.and_then(|memory| memory.base).map(Guid);
    let snapshots = state.snapshots.iter().filter(|one| Some(one.guid) == base);
    let snapshots = snapshots.map(|one| (one.createtxg, Base::Snapshot(one.name.clone(), one.guid)));
    let marks = state
        .bookmarks
        .iter()
        .filter(|one| Some(one.guid) == base || id.is_some() && Mark::of(one).map(|mark| mark.target) == id);
    let marks = marks.map(|one| (one.createtxg, Base::Bookmark(one.name.clone(), one.guid)));
    snapshots.chain(marks).max_by_key(|(createtxg, _)| *createtxg).map(|(_, base)| base)
}

#[cfg(test)]
mod tests;
