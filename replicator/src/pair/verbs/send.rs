//! From the active node to the other one: what a replication does, with the epoch presented, and whether all of it is
//! there afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use zfs_core::name::DatasetName;

use super::Refused;
use super::VerbError;
use super::look::Far;
use super::look::Side;
use crate::cancel::Cancel;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Request;
use crate::engine::Run;
use crate::host::Host;
use crate::jobs::Done;
use crate::lock::RunLock;
use crate::pair::epoch::NodeName;
use crate::pair::fence::Claim;
use crate::plan::Divergence;
use crate::plan::Options;

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
    (epoch, holder): (u64, &NodeName),
    how: &Sending<'_>,
) -> Result<Done, VerbError> {
    target.present(&Claim { root: root.clone(), epoch, holder: holder.clone() })?;
    let request = Request {
        source: root.clone(),
        target: root.clone(),
        // What differs is a matter of a rejoin, and of nothing else. After one the clone of a snapshot that was taken while
        // it was mounted says that it was written to.
        options: Options {
            recursive: true,
            divergence: Divergence::Stop,
            try_written: true,
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
    match failed.or_else(|| report.errors_after.pop()) {
        Some(error) => Err(error.into()),
        None => Ok(Done { plan, report, pool: None }),
    }
}

/// Whether the other side has the newest snapshot of every dataset, and nothing was written since.
///
/// # Errors
/// With the first dataset that differs.
pub fn all_there(here: &Side, there: &Far) -> Result<(), Refused> {
    for root in &here.roots {
        let theirs = there.root(&root.name).and_then(|root| root.tree.as_ref());
        for state in root.datasets() {
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
