//! Carries out a plan in batches of one pool. A snapshot that cannot go is told and keeps no other; nothing is ever
//! destroyed later by the kernel, and nothing that has another GUID than it had when it was decided.

use std::collections::BTreeMap;

use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::plan::DatasetPlan;
use super::plan::Plan;
use crate::cancel::Cancel;
use crate::config::dataset::Hook;
use crate::config::value::OnFailure;
use crate::hook;
use crate::hook::Environment;
use crate::hook::HookError;
use crate::pools::Fault;
use crate::pools::Pools;
use crate::take::Happening;
use crate::take::said;

/// How many snapshots one call destroys at most: each holds up the pool for one transaction group.
pub const BATCH: usize = 1000;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is gone.
    pub destroyed: Vec<SnapshotName>,
    /// What could not go, each with why.
    pub failed: Vec<(SnapshotName, Fault)>,
    /// What a hook has kept.
    pub kept_by_hook: Vec<SnapshotName>,
    /// How many calls to the kernel it took.
    pub calls: usize,
    /// What else happened, failures among it.
    pub happenings: Vec<Happening>,
    /// The run was asked to stop before all was done.
    pub interrupted: bool,
}

impl Report {
    /// Whether everything went well. One that somebody began to hold or to clone meanwhile is no failure of ours, but
    /// it did not go as it was decided.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && !self.interrupted && !self.happenings.iter().any(|one| one.failure)
    }

    /// For JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let names = |list: &[SnapshotName]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let failed = self.failed.iter().map(|(name, fault)| fault.to_json(name));
        json!({
            "destroyed": names(&self.destroyed),
            "failed": failed.collect::<Vec<_>>(),
            "kept_by_hook": names(&self.kept_by_hook),
            "calls": self.calls,
            "happenings": self.happenings.iter().map(Happening::to_json).collect::<Vec<_>>(),
            "interrupted": self.interrupted,
        })
    }
}

/// Destroys what the plan says. `tell` hears of each thing that happens beside what is destroyed.
#[must_use]
pub fn carry_out(plan: &Plan<'_>, pools: &dyn Pools, cancel: &Cancel, tell: &dyn Fn(&Happening)) -> Report {
    let mut work = Work { pools, cancel, tell, report: Report::default() };
    // The datasets of a pool, so that one call is about one.
    let mut by_pool: BTreeMap<&str, Vec<&DatasetPlan<'_>>> = BTreeMap::new();
    for dataset in &plan.datasets {
        by_pool.entry(dataset.dataset.pool()).or_default().push(dataset);
    }
    for datasets in by_pool.into_values() {
        let mut batch = Vec::new();
        for dataset in datasets {
            for one in dataset.going() {
                if batch.len() >= BATCH {
                    work.destroy(&std::mem::take(&mut batch));
                }
                if cancel.is_cancelled() {
                    work.report.interrupted = true;
                    break;
                }
                if work.hook_before(dataset, &one.snapshot.name) {
                    batch.push((dataset, one.snapshot.name.clone(), one.snapshot.guid));
                }
            }
        }
        work.destroy(&batch);
    }
    work.report
}

struct Work<'w> {
    pools: &'w dyn Pools,
    cancel: &'w Cancel,
    tell: &'w dyn Fn(&Happening),
    report: Report,
}

type Doomed<'p> = (&'p DatasetPlan<'p>, SnapshotName, Guid);

impl Work<'_> {
    fn destroy(&mut self, batch: &[Doomed<'_>]) {
        if batch.is_empty() {
            return;
        }
        if self.cancel.is_cancelled() {
            self.report.interrupted = true;
            return;
        }
        self.report.calls += 1;
        let names: Vec<_> = batch.iter().map(|(_, name, guid)| (name.clone(), *guid)).collect();
        let destroyed = self.pools.destroy(&names);
        let owners: BTreeMap<&SnapshotName, &DatasetPlan<'_>> =
            batch.iter().map(|(dataset, name, _)| (name, *dataset)).collect();
        for name in &destroyed.gone {
            if let Some(dataset) = owners.get(name) {
                self.hook_after(dataset, name);
            }
        }
        self.report.destroyed.extend(destroyed.gone);
        self.report.failed.extend(destroyed.failed);
    }

    /// Whether a snapshot goes.
    fn hook_before(&mut self, dataset: &DatasetPlan<'_>, name: &SnapshotName) -> bool {
        let Some(hook) = &dataset.hooks.pre_prune else { return true };
        let goes_well = self.hook(dataset, name, hook, "pre_prune", self.cancel);
        if !goes_well && hook.on_failure == OnFailure::Stop {
            self.report.kept_by_hook.push(name.clone());
            return false;
        }
        true
    }

    fn hook_after(&mut self, dataset: &DatasetPlan<'_>, name: &SnapshotName) {
        if let Some(hook) = &dataset.hooks.post_prune {
            self.hook(dataset, name, hook, "post_prune", &Cancel::new());
        }
    }

    fn hook(
        &mut self,
        dataset: &DatasetPlan<'_>,
        name: &SnapshotName,
        hook: &Hook,
        point: &str,
        cancel: &Cancel,
    ) -> bool {
        let period = dataset.naming.period(name.short());
        let names: Vec<_> = period.map(|period| (name.short().to_string(), period)).into_iter().collect();
        let ran = hook::run(hook, &Environment::new("prune", &[dataset.dataset], &names), cancel);
        let said = said(&ran);
        let (text, failure, went_well) = match ran.result {
            Ok(()) if said.is_empty() => return true,
            Ok(()) => (format!("{point} of @{}{said}", name.short()), false, true),
            Err(error) => {
                // By its status a hook says that the snapshot is to stay, which is its right.
                let veto = point == "pre_prune" && matches!(error, HookError::Failed(_));
                let failure = hook.on_failure == OnFailure::Stop && !veto;
                (format!("{point} of @{} {error}{said}", name.short()), failure, false)
            }
        };
        let happening = Happening { dataset: DatasetName::clone(dataset.dataset), text, failure };
        (self.tell)(&happening);
        self.report.happenings.push(happening);
        went_well
    }
}
