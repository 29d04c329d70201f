//! Looking at both sides of a replication to find how far the target is behind, or at the source alone, where the
//! target cannot be reached. Asks hosts, decides nothing, changes nothing.

use std::collections::BTreeSet;
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
    let plan = plan::plan(Sides::new(tree, &found, root, now), options);
    let mut datasets = Vec::new();
    let (mut bases, mut places) = (Vec::new(), Vec::new());
    for planned in &plan.datasets {
        let Some(state) = tree.get(&planned.source) else { continue };
        if state.snapshots.is_empty() {
            continue;
        }
        if let Some(common) = &planned.common {
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

/// The source alone, by the newest bookmark that is kept there for the target. The name of a bookmark has its target
/// in a form that tells nothing without the target's pool, so that only the last one left over can be taken for it:
/// `others` are those that belong to other targets, and `alone` says that there is no other whose pool is not known.
///
/// # Errors
/// When the source cannot be looked at.
pub fn bookmarks(
    host: &mut dyn Host,
    tree: &Tree,
    root: &DatasetName,
    others: &dyn Fn(&DatasetName) -> BTreeSet<TargetId>,
    alone: bool,
    why: String,
) -> Result<Look, LookError> {
    let below = |state: &DatasetState| state.name.strip_prefix(&tree.root().name).map(str::to_string);
    let mut datasets = Vec::new();
    let (mut bases, mut places) = (Vec::new(), Vec::new());
    for state in tree.datasets().iter().filter(|state| !state.snapshots.is_empty()) {
        if let Some(base) = newest_mark(state, &others(&state.name)).filter(|_| alone) {
            places.push(datasets.len());
            bases.push(base);
        }
        let target = match below(state) {
            Some(below) if !below.is_empty() => format!("{root}/{below}"),
            _ => root.to_string(),
        };
        datasets.push(Replicated {
            source: state.name.to_string(),
            target,
            common: None,
            behind: None,
            conflict: None,
        });
    }
    for (place, date) in places.into_iter().zip(host.creation(&bases)?) {
        datasets[place].common = date;
    }
    Ok(Look::Bookmarks { why, datasets })
}

/// The newest bookmark for the one target that is not among the others.
fn newest_mark(state: &DatasetState, others: &BTreeSet<TargetId>) -> Option<Base> {
    let marks = state.bookmarks.iter().filter_map(|one| Some((Mark::of(one)?, one)));
    let left: Vec<_> = marks.filter(|(mark, _)| !others.contains(&mark.target)).collect();
    let targets: BTreeSet<_> = left.iter().map(|(mark, _)| mark.target).collect();
    if targets.len() != 1 {
        return None;
    }
    let (mark, newest) = left.into_iter().max_by_key(|(_, one)| one.createtxg)?;
    Some(Base::Bookmark(newest.name.clone(), mark.guid))
}

#[cfg(test)]
mod tests;
