//! The retention of a target that the sender sees to: its snapshots go by the rules that the job gives, through the far
//! end. What both sides have in common as the newest stays there as a snapshot in any case; a dataset that has nothing in
//! common with its source loses nothing, and neither does one that no dataset of the source leads to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Connect;
use super::JobError;
use crate::config::job::Job;
use crate::config::job::Pruner;
use crate::config::job::Target;
use crate::engine::RunError;
use crate::host::Base as HostBase;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::plan::Common;
use crate::plan::Sides;
use crate::plan::commons;
use crate::policy::Base;
use crate::policy::Naming;
use crate::policy::Pruning;
use crate::policy::Reason;
use crate::policy::Retention;
use crate::policy::Snapshot;
use crate::policy::Target as PolicyTarget;
use crate::policy::Zone;
use crate::policy::prune;
use crate::survey::Survey;

/// How many snapshots one call destroys at most.
const BATCH: usize = 200;

/// A snapshot of a target, and what is decided about it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Its name there.
    pub name: SnapshotName,
    /// Its GUID.
    pub guid: Guid,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: Reason,
}

/// What became of the snapshots of a target.
#[derive(Debug, Default)]
pub struct Retained {
    /// What was decided, dataset by dataset.
    pub decided: Vec<Decided>,
    /// What is gone.
    pub destroyed: Vec<SnapshotName>,
    /// What could not go, each with why.
    pub failed: Vec<(SnapshotName, HostError)>,
}

/// Decides what goes at a target whose pruner is the sender, and destroys it unless this is a dry run. `None` when it is
/// somebody else's business.
///
/// # Errors
/// When a side cannot be looked at.
pub fn retain(
    job: &Job,
    target: &Target,
    survey: &Survey,
    connect: &dyn Connect,
    now: Timestamp,
    dry_run: bool,
) -> Result<Option<Retained>, JobError> {
    let Some(retention) = target.retention.as_ref().filter(|_| target.pruner == Pruner::Sender) else {
        return Ok(None);
    };
    let mut from = connect.host(&job.link, &job.source)?;
    let mut to = connect.host(&target.link, &target.endpoint)?;
    let depth = if job.options.recursive { Depth::All } else { Depth::One };
    let (root, there) = (&job.source.dataset, &target.endpoint.dataset);
    let Inventory::Present(source) = from.inventory(root, depth).map_err(RunError::from)? else {
        let (host, dataset) = (from.label().to_string(), root.clone());
        return Err(RunError::NoSource { host, dataset }.into());
    };
    let copies = to.inventory(there, depth).map_err(RunError::from)?;
    let Inventory::Present(tree) = &copies else { return Ok(Some(Retained::default())) };
    let dates: BTreeMap<SnapshotName, i64> =
        to.dates(there, depth).map_err(RunError::from)?.into_iter().collect();
    let mut retained = Retained::default();
    for common in commons(Sides::new(&source, &copies, there, now.as_second()), &job.options) {
        let Some(state) = tree.get(&common.target) else { continue };
        let naming = naming(survey, job, &common.source);
        let decided = decide(&common, state, &dates, retention, &naming, now);
        if !dry_run {
            let doomed: Vec<_> =
                decided.iter().filter(|one| !one.keep).map(|one| (one.name.clone(), one.guid)).collect();
            destroy(to.as_mut(), &common.target, &doomed, &mut retained);
        }
        retained.decided.extend(decided);
    }
    Ok(Some(retained))
}

/// How the snapshots of a copy are recognised: as those of its source, where that has a policy here.
fn naming(survey: &Survey, job: &Job, source: &DatasetName) -> Naming {
    let effective = survey.resolved.datasets.get(source).filter(|_| job.source.machine.is_none());
    effective.map(|effective| effective.policy.naming.clone()).unwrap_or_default()
}

/// What goes of one copy.
fn decide(
    common: &Common,
    state: &DatasetState,
    dates: &BTreeMap<SnapshotName, i64>,
    retention: &Retention,
    naming: &Naming,
    now: Timestamp,
) -> Vec<Decided> {
    // One without a date came since, and is newer than all of these: it is nobody's to destroy now.
    let snapshots: Vec<Snapshot> = state
        .snapshots
        .iter()
        .filter_map(|one| {
            let creation = *dates.get(&one.name)?;
            Some(Snapshot { name: one.name.clone(), guid: one.guid, createtxg: one.createtxg, creation })
        })
        .collect();
    let name = common.source.to_string();
    let mut targets: Vec<_> = common
        .bases
        .iter()
        .map(|base| PolicyTarget { name: name.clone(), base: Base::Snapshot(HostBase::guid(base)) })
        .collect();
    if targets.is_empty() {
        targets.push(PolicyTarget { name, base: Base::Unknown });
    }
    let zone = Zone::utc();
    let decisions = prune(Pruning {
        snapshots: &snapshots,
        retention,
        naming,
        zone: &zone,
        needed: &[],
        targets: &targets,
        capacity: None,
        now,
    });
    let decided = decisions.into_iter().map(|one| Decided {
        name: one.snapshot.name.clone(),
        guid: one.snapshot.guid,
        keep: one.keep,
        reason: one.reason,
    });
    decided.collect()
}

/// Destroys snapshots of one dataset, in batches, and one by one where a batch is refused.
fn destroy(
    to: &mut dyn Host,
    dataset: &DatasetName,
    doomed: &[(SnapshotName, Guid)],
    retained: &mut Retained,
) {
    for batch in doomed.chunks(BATCH) {
        let change = |some: &[(SnapshotName, Guid)]| Change::PruneSnapshots {
            dataset: dataset.clone(),
            snapshots: some.to_vec(),
        };
        let names = || batch.iter().map(|(name, _)| name.clone());
        match to.apply(&change(batch)) {
            Ok(()) => retained.destroyed.extend(names()),
            // The other end is gone, or lets nobody do this: for the rest it is the same.
            Err(error @ (HostError::Transport(_) | HostError::Refused { .. } | HostError::Cancelled)) => {
                retained.failed.extend(batch.first().map(|(name, _)| (name.clone(), error)));
                return;
            }
            Err(_) => {
                for one in batch {
                    match to.apply(&change(std::slice::from_ref(one))) {
                        Ok(()) => retained.destroyed.push(one.0.clone()),
                        Err(error) => retained.failed.push((one.0.clone(), error)),
                    }
                }
            }
        }
    }
}
