//! What has to be done next in a tree that is to follow: a pure function of what is there. One step at a time, and the
//! next from a new look, so that it does not matter where a crash came.

use std::collections::BTreeMap;

use zfs_core::name::DatasetName;

use super::super::Refused;
use crate::host::DatasetState;
use crate::host::Snapshot;
use crate::pair::aside;

/// What is there of a root and of what was set aside for it.
#[derive(Debug)]
pub(super) struct Facts {
    /// All datasets, by name.
    pub(super) datasets: BTreeMap<DatasetName, DatasetState>,
    /// Those of the active node's root.
    pub(super) theirs: BTreeMap<DatasetName, DatasetState>,
    /// The epoch that this node was active in.
    pub(super) epoch: u64,
    /// Whether a dataset without a common snapshot is set aside, too.
    pub(super) full: bool,
}

/// The next thing to do in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Rename it aside. What is lost of sight is `from` the common snapshot on, where there is one.
    SetAside {
        /// The dataset.
        dataset: DatasetName,
        /// What it will be called.
        aside: DatasetName,
        /// The newest common snapshot.
        base: Option<Snapshot>,
    },
    /// Clone the common snapshot of what was set aside.
    Clone {
        /// Whose name the clone gets.
        dataset: DatasetName,
        /// What was set aside.
        aside: DatasetName,
        /// The newest common snapshot.
        base: Snapshot,
    },
    /// Promote the clone.
    Promote(DatasetName),
    /// Move a child back.
    MoveBack {
        /// Where it is.
        from: DatasetName,
        /// Where it belongs.
        to: DatasetName,
    },
    /// Throw away what a receive has kept, which would stand in the way.
    Discard(DatasetName),
}

/// What is to be done next with a root, if anything.
///
/// # Errors
/// When something has no way out that loses nothing.
pub(super) fn next(root: &DatasetName, facts: &Facts) -> Result<Option<Next>, Refused> {
    // Parents first: what lies below moves back before it is looked at.
    for (dataset, theirs) in facts.theirs.iter().filter(|(dataset, _)| dataset.is_within(root)) {
        let gone = newest_aside(dataset, facts)?;
        let free = |count| beside(dataset, facts.epoch, count);
        let next = match (facts.datasets.get(dataset), gone) {
            // Not here, or never received.
            (None, None) => None,
            (None, Some((_, gone))) => common(gone, theirs).map(|base| Next::Clone {
                dataset: dataset.clone(),
                aside: gone.name.clone(),
                base: base.clone(),
            }),
            (Some(ours), None) => diverged(ours, theirs, free(1)?, facts.full)?,
            (Some(ours), Some((_, gone))) if is_unpromoted(ours, gone) => {
                Some(Next::Promote(dataset.clone()))
            }
            (Some(ours), Some((count, gone))) => match move_back(ours, gone, facts)? {
                Some(next) => Some(next),
                // Of a snapshot that was taken while it was mounted a clone says that it was written to.
                None if is_as_cloned(ours, gone) => None,
                None => diverged(ours, theirs, free(count + 1)?, facts.full)?,
            },
        };
        if next.is_some() {
            return Ok(next);
        }
    }
    Ok(None)
}

/// The name under which a dataset is set aside.
///
/// # Errors
/// When it would be too long.
pub(super) fn beside(dataset: &DatasetName, epoch: u64, count: u64) -> Result<DatasetName, Refused> {
    aside::name(dataset, epoch, count)
        .map_err(|error| Refused::Aside { dataset: dataset.clone(), why: error.to_string() })
}

/// What was set aside for a dataset last, in this epoch.
fn newest_aside<'f>(
    dataset: &DatasetName,
    facts: &'f Facts,
) -> Result<Option<(u64, &'f DatasetState)>, Refused> {
    let mut newest = None;
    for count in 1.. {
        match facts.datasets.get(&beside(dataset, facts.epoch, count)?) {
            Some(found) => newest = Some((count, found)),
            None => break,
        }
    }
    Ok(newest)
}

/// A child of what was set aside that belongs to what has its name now.
fn move_back(ours: &DatasetState, gone: &DatasetState, facts: &Facts) -> Result<Option<Next>, Refused> {
    // Where nothing was common, its children are as much its own as it is.
    if !is_origin(ours, gone) {
        return Ok(None);
    }
    // One that was set aside itself, in this epoch or before, is no dataset of its own any more.
    let below =
        |name: &&DatasetName| name.parent().as_ref() == Some(&gone.name) && !aside::is_name(name.last());
    for from in facts.datasets.keys().filter(below) {
        let to = ours.name.child(from.last());
        let to = to.map_err(|error| Refused::Aside { dataset: from.clone(), why: error.to_string() })?;
        if !facts.datasets.contains_key(&to) {
            return Ok(Some(Next::MoveBack { from: from.clone(), to }));
        }
    }
    Ok(None)
}

/// Whether what was set aside is a clone of what has its name now, as after the promotion.
fn is_origin(ours: &DatasetState, gone: &DatasetState) -> bool {
    gone.origin.as_ref().is_some_and(|origin| *origin.dataset() == ours.name)
}

/// Whether nothing was received since it was cloned and promoted.
fn is_as_cloned(ours: &DatasetState, gone: &DatasetState) -> bool {
    let newest = ours.snapshots.last().map(|newest| &newest.name);
    newest.is_some() && gone.origin.as_ref() == newest
}

fn is_unpromoted(ours: &DatasetState, gone: &DatasetState) -> bool {
    ours.snapshots.is_empty() && ours.origin.as_ref().is_some_and(|origin| *origin.dataset() == gone.name)
}

fn diverged(
    ours: &DatasetState,
    theirs: &DatasetState,
    aside: DatasetName,
    full: bool,
) -> Result<Option<Next>, Refused> {
    let dataset = &ours.name;
    let base = common(ours, theirs);
    if ours.written == 0
        && base.is_some()
        && base.map(|one| one.guid) == ours.snapshots.last().map(|one| one.guid)
    {
        return Ok(None);
    }
    if ours.partial.is_some() {
        return Ok(Some(Next::Discard(dataset.clone())));
    }
    if dataset.depth() == 1 {
        return Err(Refused::PoolRoot(dataset.clone()));
    }
    if base.is_none() && !full {
        return Err(Refused::NoBase(dataset.clone()));
    }
    Ok(Some(Next::SetAside { dataset: dataset.clone(), aside, base: base.cloned() }))
}

/// The newest snapshot of ours that is on the other node, too. Where both say so, with the same initialisation vectors.
fn common<'o>(ours: &'o DatasetState, theirs: &DatasetState) -> Option<&'o Snapshot> {
    let same = |one: &Snapshot| {
        let fits = |other: &Snapshot| {
            other.guid == one.guid
                && (one.ivset.is_none() || other.ivset.is_none() || one.ivset == other.ivset)
        };
        theirs.snapshots.iter().any(fits)
    };
    ours.snapshots.iter().rev().find(|one| same(one))
}
