//! Carries out a plan: hooks before, the calls, hooks after. A name that makes a call fail is left out and told, and the
//! others are taken. A name that exists by then is done: somebody else took the same snapshot.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::json;
use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::plan::Plan;
use super::plan::Unit;
use crate::cancel::Cancel;
use crate::config::dataset::Hook;
use crate::config::value::OnFailure;
use crate::hook;
use crate::hook::Environment;
use crate::policy::Style;
use crate::pools::Fault;
use crate::pools::Pools;

/// Something that somebody should hear of while it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// About what.
    pub dataset: DatasetName,
    /// What.
    pub text: String,
    /// Whether it makes the run a failure.
    pub failure: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was taken.
    pub taken: Vec<SnapshotName>,
    /// What existed by then.
    pub existing: Vec<SnapshotName>,
    /// What could not be taken, each with why.
    pub failed: Vec<(SnapshotName, Fault)>,
    /// Datasets that were passed over because their hook failed, or the run was to stop.
    pub passed_over: BTreeSet<DatasetName>,
    /// How many calls to the kernel it took.
    pub calls: usize,
    /// What else happened, failures among it.
    pub happenings: Vec<Happening>,
    /// The run was asked to stop before all was done.
    pub interrupted: bool,
}

impl Report {
    /// Whether everything went well.
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
            "taken": names(&self.taken),
            "existing": names(&self.existing),
            "failed": failed.collect::<Vec<_>>(),
            "passed_over": self.passed_over.iter().map(DatasetName::as_str).collect::<Vec<_>>(),
            "calls": self.calls,
            "happenings": self.happenings.iter().map(Happening::to_json).collect::<Vec<_>>(),
            "interrupted": self.interrupted,
        })
    }
}

impl Happening {
    /// For JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({ "dataset": self.dataset.as_str(), "text": self.text, "failure": self.failure })
    }
}

/// Takes what the plan says. `tell` hears of each thing that happens beside what is taken.
#[must_use]
pub fn carry_out(plan: &Plan, pools: &dyn Pools, cancel: &Cancel, tell: &dyn Fn(&Happening)) -> Report {
    let mut work = Work { plan, pools, cancel, tell, report: Report::default(), before: BTreeMap::new() };
    for (at, why) in &plan.impossible {
        work.happened(&plan.units[*at], why.clone(), true);
    }
    work.hooks_before();
    for call in &plan.calls {
        if cancel.is_cancelled() {
            work.report.interrupted = true;
            break;
        }
        let passed_over = &work.report.passed_over;
        let goes = |at: usize| !passed_over.contains(&plan.units[at].dataset);
        let names = call.snapshots.iter().filter(|(at, _)| goes(*at)).map(|(_, name)| name.clone()).collect();
        work.call(names);
    }
    work.hooks_after();
    work.report
}

struct Work<'w> {
    plan: &'w Plan,
    pools: &'w dyn Pools,
    cancel: &'w Cancel,
    tell: &'w dyn Fn(&Happening),
    report: Report,
    /// The units whose hooks before were run, and whether those failed.
    before: BTreeMap<usize, bool>,
}

impl<'w> Work<'w> {
    fn happened(&mut self, unit: &Unit, text: String, failure: bool) {
        let happening = Happening { dataset: unit.dataset.clone(), text, failure };
        (self.tell)(&happening);
        self.report.happenings.push(happening);
    }

    fn busy_units(&self) -> impl Iterator<Item = (usize, &'w Unit)> + use<'w> {
        self.plan.units.iter().enumerate().filter(|(_, unit)| !unit.names.is_empty())
    }

    fn hooks_before(&mut self) {
        for (at, unit) in self.busy_units() {
            if self.cancel.is_cancelled() {
                self.report.interrupted = true;
                self.report.passed_over.insert(unit.dataset.clone());
                continue;
            }
            let failed = match &unit.hooks.pre_snapshot {
                None => false,
                Some(hook) => {
                    let went_well =
                        self.hook(unit, hook, "pre_snapshot", &environment("pre", unit), self.cancel);
                    if !went_well && (hook.on_failure == OnFailure::Stop || self.cancel.is_cancelled()) {
                        self.report.passed_over.insert(unit.dataset.clone());
                    }
                    !went_well
                }
            };
            self.before.insert(at, failed);
        }
    }

    /// Also those of a run that was interrupted: what a hook before has stopped has to go on.
    fn hooks_after(&mut self) {
        for (at, unit) in self.busy_units() {
            let (Some(hook), Some(pre_failed)) = (&unit.hooks.post_snapshot, self.before.get(&at)) else {
                continue;
            };
            let passed_over = self.report.passed_over.contains(&unit.dataset);
            let wanted = match (*pre_failed, unit.style) {
                (false, _) => true,
                // sanoid leaves the dataset alone at once.
                (true, Style::Sanoid) => unit.hooks.post_snapshot_always && !passed_over,
                (true, Style::Ours) => unit.hooks.post_snapshot_always,
            };
            if wanted {
                let environment = environment("post", unit).pre_failed(*pre_failed);
                self.hook(unit, hook, "post_snapshot", &environment, &Cancel::new());
            }
        }
    }

    /// Runs a hook and tells of it; whether it went well.
    fn hook(
        &mut self,
        unit: &Unit,
        hook: &Hook,
        point: &str,
        environment: &Environment,
        cancel: &Cancel,
    ) -> bool {
        let ran = hook::run(hook, environment, cancel);
        let said = said(&ran);
        match ran.result {
            Ok(()) => {
                if !said.is_empty() {
                    self.happened(unit, format!("{point}{said}"), false);
                }
                true
            }
            Err(error) => {
                self.happened(unit, format!("{point} {error}{said}"), hook.on_failure == OnFailure::Stop);
                false
            }
        }
    }

    /// One call, again without the names that are refused, until the rest is taken.
    fn call(&mut self, mut names: Vec<SnapshotName>) {
        while !names.is_empty() {
            self.report.calls += 1;
            let Err(refused) = self.pools.take(&names) else {
                self.report.taken.append(&mut names);
                return;
            };
            let mut faults: BTreeMap<String, Fault> = refused.names.into_iter().collect();
            let before = names.len();
            names.retain(|name| match faults.remove(name.as_str()) {
                None => true,
                Some(fault) => {
                    self.report.refused(name, fault);
                    false
                }
            });
            if names.len() < before {
                continue;
            }
            // The kernel names nobody. What is wrong with the pool is wrong with all of them; else halves find who it is.
            let all = matches!(refused.whole.kind, ErrorKind::NoSpace | ErrorKind::ReadOnly);
            if all || names.len() == 1 || self.cancel.is_cancelled() {
                for name in names {
                    self.report.refused(&name, refused.whole.clone());
                }
                return;
            }
            let rest = names.split_off(names.len() / 2);
            self.call(names);
            names = rest;
        }
    }
}

impl Report {
    fn refused(&mut self, name: &SnapshotName, fault: Fault) {
        if fault.kind == ErrorKind::Exists {
            self.existing.push(name.clone());
        } else {
            self.failed.push((name.clone(), fault));
        }
    }
}

fn environment(script: &'static str, unit: &Unit) -> Environment {
    let datasets: Vec<&DatasetName> = unit.datasets().collect();
    let names: Vec<_> = unit.names.iter().map(|name| (name.short.clone(), name.period)).collect();
    Environment::new(script, &datasets, &names)
}

/// What a hook printed, for a message.
pub(crate) fn said(ran: &hook::Ran) -> String {
    match (ran.output.is_empty(), ran.dropped) {
        (true, 0) => String::new(),
        (_, 0) => format!(": {}", ran.output),
        (_, dropped) => format!(": {} ({dropped} bytes more)", ran.output),
    }
}
