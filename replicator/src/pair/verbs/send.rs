//! From the active node to the other one: what a replication does, with the epoch presented, and whether all of it is
//! there afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Refused;
use super::VerbError;
use super::far::Far;
use super::look::Side;
use crate::cancel::Cancel;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Request;
use crate::engine::Run;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::jobs::Done;
use crate::lock::RunLock;
use crate::marks::FirstCopy;
use crate::pair::aside;
use crate::pair::epoch::NodeName;
use crate::pair::fence::Claim;
use crate::pair::fence::Kind;
use crate::pair::fence::LEFT_OUT;
use crate::pair::fence::first_copy;
use crate::plan::Divergence;
use crate::plan::Options;
use crate::plan::Patterns;

/// How roots are sent.
pub struct Sending<'s> {
    /// What the planner needs to know.
    pub options: &'s Options,
    /// Memory, rate and patience.
    pub run: &'s Run,
    /// The locks of the roots on the target, where it is another machine.
    pub locks: &'s BTreeMap<DatasetName, Arc<RunLock>>,
    /// Is told what happens.
    pub observer: &'s dyn Observer,
    /// Ends it.
    pub cancel: &'s Cancel,
    /// The time in seconds since 1970.
    pub now: i64,
}

/// Sends a root with everything below it.
///
/// # Errors
/// When any of its datasets did not reach its end, or this node may not send.
pub fn send(
    source: &mut dyn Host,
    target: &mut dyn Host,
    root: &DatasetName,
    (epoch, holder, receiver): (u64, &NodeName, &NodeName),
    how: &Sending<'_>,
) -> Result<Done, VerbError> {
    let (holder, receiver) = (holder.clone(), receiver.clone());
    let claim = Claim { root: root.clone(), epoch, holder, receiver };
    enter(source, target, &claim, &how.options.datasets)?;
    let first = count(source, target, &claim, &how.options.datasets)?;
    let request = Request {
        source: root.clone(),
        target: root.clone(),
        // What differs is a matter of a rejoin, and of nothing else. After one the clone of a snapshot that was taken while
        // it was mounted says that it was written to.
        options: Options {
            recursive: true,
            divergence: Divergence::Stop,
            try_written: true,
            pair: true,
            ..how.options.clone()
        },
        estimate: true,
        ignore_space: false,
        now: how.now,
    };
    let plan = engine::prepare(source, target, &request)?;
    let run = Run { lock: how.locks.get(root).cloned(), ..how.run.clone() };
    let mut report =
        engine::execute(&plan, &request.options, source, target, &run, how.observer, how.cancel)?;
    let failed = report.datasets.iter_mut().find_map(|dataset| dataset.error.take());
    if let Some(error) = failed.or_else(|| report.errors_after.pop()) {
        return Err(error.into());
    }
    if first {
        count(source, target, &claim, &how.options.datasets)?;
    }
    Ok(Done { plan, report, pool: None })
}

/// Presents an epoch to the other node. One that held the root itself, and has nothing of its own, lets go of it.
///
/// # Errors
/// When the other node does not let this one in, or cannot be asked.
pub fn enter(
    source: &mut dyn Host,
    target: &mut dyn Host,
    claim: &Claim,
    selected: &Patterns,
) -> Result<(), HostError> {
    match target.present(claim) {
        // The service has left it, as after a planned move, and it has not looked since.
        Err(HostError::Fenced { kind: Kind::Active, .. }) => {
            let both = in_both(source, target, &claim.root, selected)?;
            target.overtake(claim, &both)?;
            target.present(claim)
        }
        presented => presented,
    }
}

/// Has the other node take down how much of a root is there, as long as it has not been there as a whole: whether that is so
/// still.
fn count(
    source: &mut dyn Host,
    target: &mut dyn Host,
    claim: &Claim,
    selected: &Patterns,
) -> Result<bool, HostError> {
    let root = &claim.root;
    match first_copy(target, root) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(false),
        // Nothing has come yet.
        Err(error) if error.zfs_kind() == Some(ErrorKind::NotFound) => return Ok(true),
        Err(error) => return Err(error),
    }
    let sides = (source.inventory(root, Depth::All)?, target.inventory(root, Depth::All)?);
    let (Inventory::Present(ours), Inventory::Present(theirs)) = sides else { return Ok(true) };
    let wanted = |state: &&DatasetState| {
        !aside::holds(root, &state.name) && selected.select_dataset(&state.name, root)
    };
    let (mut there, mut of) = (0, 0);
    for state in ours.datasets().iter().filter(wanted) {
        of += 1;
        let newest = state.snapshots.last().map(|newest| newest.guid);
        let found = theirs.get(&state.name).map(|found| &found.snapshots);
        let has = found.is_some_and(|found| found.iter().any(|one| Some(one.guid) == newest));
        there += u64::from(has);
    }
    match target.count_first(claim, FirstCopy { there, of }) {
        // It does not go by the count either, then.
        Ok(()) | Err(HostError::Cannot { .. }) => Ok(there < of),
        Err(error) => Err(error),
    }
}

/// The newest snapshot of each dataset of the target that the source has, too; of those that the pair leaves out that they
/// are.
fn in_both(
    source: &mut dyn Host,
    target: &mut dyn Host,
    root: &DatasetName,
    selected: &Patterns,
) -> Result<Vec<(DatasetName, Guid)>, HostError> {
    let sides = (source.inventory(root, Depth::All)?, target.inventory(root, Depth::All)?);
    let (Inventory::Present(ours), Inventory::Present(theirs)) = sides else { return Ok(Vec::new()) };
    let both = theirs.datasets().iter().filter_map(|state| {
        if !selected.select_dataset(&state.name, root) {
            return Some((state.name.clone(), LEFT_OUT));
        }
        let newest = state.snapshots.last()?.guid;
        let has = ours.get(&state.name)?.snapshots.iter().any(|one| one.guid == newest);
        has.then(|| (state.name.clone(), newest))
    });
    Ok(both.collect())
}

/// Whether the other side has the newest snapshot of every dataset that the pair replicates, and nothing was written since.
///
/// # Errors
/// With the first dataset that differs.
pub fn all_there(here: &Side, there: &Far, selected: &Patterns) -> Result<(), Refused> {
    for root in &here.roots {
        let theirs = there.root(&root.name).and_then(|root| root.tree.as_ref());
        for state in root.replicated(selected) {
            let refused =
                |why: &str| Err(Refused::NotSent { dataset: state.name.clone(), why: why.to_string() });
            if state.written > 0 {
                return refused("it was written to since its newest snapshot");
            }
            let Some(newest) = state.snapshots.last() else { return refused("it has no snapshot") };
            let found = theirs.and_then(|tree| tree.get(&state.name));
            if !found.is_some_and(|there| there.snapshots.iter().any(|one| one.guid == newest.guid)) {
                return refused(&format!("{} is missing there", newest.name));
            }
        }
    }
    Ok(())
}
