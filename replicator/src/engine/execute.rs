//! Carrying out a plan: the changes before, the datasets side by side as far as they do not wait for each other, the
//! changes after. A dataset that fails keeps none of the others from going on.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use zfs_core::name::DatasetName;

use super::DatasetReport;
use super::Observer;
use super::Place;
use super::Report;
use super::Run;
use super::RunError;
use super::schedule::Next;
use super::schedule::Schedule;
use super::stream::Hosts;
use super::stream::Stream;
use super::stream::not_set;
use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::lock::DatasetLock;
use crate::plan;
use crate::plan::Action;
use crate::plan::DatasetPlan;
use crate::plan::Divergence;
use crate::plan::Options;
use crate::plan::Patterns;
use crate::plan::Side;
use crate::plan::Sides;
use crate::plan::Step;
use crate::plan::TreePlan;
use crate::transfer::Moved;
use crate::transfer::retry::Attempts;
use crate::transfer::retry::Class;
use crate::transfer::retry::NextTry;
use crate::transfer::retry::Operator;

/// Carries out a plan. `options` are those that the plan was made with: a step that failed with something that may
/// pass is planned again with what the target kept of it.
///
/// # Errors
/// When a change before the datasets fails, or the run was asked to stop before them. What became of each dataset is
/// in the report.
pub fn execute(
    plan: &TreePlan,
    options: &Options,
    source: &mut dyn Host,
    target: &mut dyn Host,
    run: &Run,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Report, RunError> {
    let work = Work { plan, options, run, observer, cancel, reports: Mutex::new(Vec::new()) };
    for note in &plan.notes {
        observer.note(note);
    }
    let unmarked = work.before(source, target)?;
    if let Some(lock) = &run.lock {
        lock.share()?;
    }
    let schedule = Schedule::new(plan.datasets.iter().map(|dataset| dataset.after.clone()).collect());
    let busy = plan.datasets.iter().filter(|dataset| dataset.streams().next().is_some()).count();
    std::thread::scope(|scope| {
        for _ in 1..run.jobs.min(busy) {
            match (source.another(), target.another()) {
                (Ok(mut source), Ok(mut target)) => {
                    let (work, schedule) = (&work, &schedule);
                    let thread = std::thread::Builder::new().name("dataset".to_string());
                    let spawned = thread.spawn_scoped(scope, move || {
                        work.datasets(schedule, Hosts { source: source.as_mut(), target: target.as_mut() });
                    });
                    if let Err(error) = spawned {
                        observer.note(&format!("goes on with fewer datasets at the same time: {error}"));
                    }
                }
                (Err(error), _) | (_, Err(error)) => {
                    observer.note(&format!("goes on with fewer datasets at the same time: {error}"));
                }
            }
        }
        work.datasets(&schedule, Hosts { source: &mut *source, target: &mut *target });
    });
    let mut reports = std::mem::take(&mut *work.reports.lock().unwrap_or_else(PoisonError::into_inner));
    reports.sort_by_key(|(at, _)| *at);
    let datasets = reports.into_iter().map(|(_, report)| report).collect();
    let mut report = Report { datasets, ..Report::default() };
    work.after(source, target, &unmarked, &mut report);
    Ok(report)
}

/// How many streams these steps are.
fn streams(steps: &[Step]) -> usize {
    steps.iter().filter_map(Step::stream).count()
}

/// A stream that is no larger is sent anew in a moment.
const SHORT: u64 = 1 << 20;

/// Whether what these steps send has to be kept from others. The kernel keeps a snapshot only until it has read it, which is
/// long before a slow line has carried it; but each hold costs the pool two transaction groups.
fn takes_long(steps: &[Step]) -> bool {
    let mut all = steps.iter().filter(|step| step.stream().is_some());
    streams(steps) > 1 || all.any(|step| step.estimated_bytes.is_none_or(|bytes| bytes > SHORT))
}

/// Keeps what these steps send from being destroyed until it is dropped. Without the right to, it goes on without.
fn protect(source: &mut dyn Host, steps: &[Step]) -> Option<Box<dyn Send>> {
    let sent: Vec<_> = steps.iter().filter_map(Step::stream).map(|spec| spec.to.name.clone()).collect();
    if sent.is_empty() { None } else { source.protect(&sent).unwrap_or_default() }
}

pub(super) struct Work<'w> {
    pub(super) plan: &'w TreePlan,
    options: &'w Options,
    pub(super) run: &'w Run,
    pub(super) observer: &'w dyn Observer,
    pub(super) cancel: &'w Cancel,
    reports: Mutex<Vec<(usize, DatasetReport)>>,
}

impl Work<'_> {
    /// Works on datasets until there are none left.
    fn datasets(&self, schedule: &Schedule, mut hosts: Hosts<'_>) {
        loop {
            let (at, report) = match schedule.next() {
                Next::Finished => return,
                Next::Refuse(at, failed) => {
                    let waits_for = self.plan.datasets[failed].source.clone();
                    let mut report = empty(&self.plan.datasets[at]);
                    report.error = Some(match &self.plan.datasets[at].steps {
                        Err(conflict) => conflict.clone().into(),
                        Ok(_) => RunError::Dependency { waits_for },
                    });
                    (at, report)
                }
                Next::Run(at) => {
                    let report = self.dataset(at, &mut hosts);
                    schedule.done(at, report.error.is_none());
                    (at, report)
                }
            };
            self.reports.lock().unwrap_or_else(PoisonError::into_inner).push((at, report));
        }
    }

    fn dataset(&self, at: usize, hosts: &mut Hosts<'_>) -> DatasetReport {
        let planned = &self.plan.datasets[at];
        let mut report = empty(planned);
        let mut steps = match &planned.steps {
            Ok(steps) => Cow::Borrowed(steps.as_slice()),
            Err(conflict) => {
                report.error = Some(conflict.clone().into());
                return report;
            }
        };
        let _lock = match self.enter(planned, &mut steps, hosts) {
            Ok(lock) => lock,
            Err(error) => {
                report.error = Some(error);
                return report;
            }
        };
        let mut attempts = Attempts::new(self.run.backoff);
        // While this process lives, nobody prunes what it is about to send.
        let mut held = if takes_long(&steps) { protect(hosts.source, &steps) } else { None };
        loop {
            let done = report.steps;
            let Err(error) = self.steps(at, &steps, hosts, &mut report) else { return report };
            let kept = if matches!(error, RunError::Cancelled) { None } else { kept(hosts.target, planned) };
            let class = classify(&error, kept);
            // A clone's first stream starts at another dataset, which only the whole tree's plan knows.
            let is_clone = steps[report.steps - done..].first().is_some_and(makes_clone);
            let after = match attempts.failed(class, kept, &mut random) {
                NextTry::Again { after } | NextTry::PlanAgain { after } if !is_clone => after,
                _ => {
                    report.error = Some(error);
                    return report;
                }
            };
            self.observer.retry(&planned.source, &error, after);
            if held.is_none() {
                held = protect(hosts.source, &steps[report.steps - done..]);
            }
            if self.pause(after) {
                report.error = Some(RunError::Cancelled);
                return report;
            }
            let left = &steps[report.steps - done..];
            match self.plan_again(planned, left, hosts) {
                Ok(again) => steps = Cow::Owned(again),
                // Nobody knows more than before: the next round fails in the same way, or does not.
                Err(RunError::Host(again)) if matches!(Class::of_host(&again, None), Class::Transient(_)) => {
                    steps.to_mut().drain(..report.steps - done);
                }
                Err(again) => {
                    report.error = Some(again);
                    return report;
                }
            }
        }
    }

    /// Takes a dataset in hand that there is something to do with. Where others came into the tree since this run looked,
    /// it looks again: they may have sent what this one would.
    fn enter(
        &self,
        planned: &DatasetPlan,
        steps: &mut Cow<'_, [Step]>,
        hosts: &mut Hosts<'_>,
    ) -> Result<Option<DatasetLock>, RunError> {
        let Some(lock) = self.run.lock.as_ref().filter(|_| !steps.is_empty()) else { return Ok(None) };
        let held = lock.dataset(&planned.target)?;
        // A clone's first stream starts at another dataset, which only the whole tree's plan knows.
        if lock.had_company() && !steps.first().is_some_and(makes_clone) {
            *steps = Cow::Owned(self.plan_again(planned, steps, hosts)?);
        }
        Ok(Some(held))
    }

    /// Waits; true when the run was asked to stop.
    fn pause(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            if self.cancel.is_cancelled() {
                return true;
            }
            match end.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return false,
                Some(left) => std::thread::sleep(left.min(TICK)),
            }
        }
    }

    fn steps(
        &self,
        at: usize,
        steps: &[Step],
        hosts: &mut Hosts<'_>,
        report: &mut DatasetReport,
    ) -> Result<(), RunError> {
        for (number, step) in steps.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let place = Place { dataset: Some(at), number: number + 1, of: steps.len() };
            self.observer.step_started(place, step);
            let moved = match &step.action {
                Action::Change { side: Side::Source, change } => {
                    hosts.source.apply(change)?;
                    Moved::default()
                }
                Action::Change { side: Side::Target, change: Change::SetProperties { dataset, set } } => {
                    self.set_properties(hosts.target, dataset, set)?;
                    Moved::default()
                }
                Action::Change {
                    side: Side::Target,
                    change: change @ Change::DiscardPartial { dataset, .. },
                } => {
                    discard(hosts.target, dataset, change)?;
                    Moved::default()
                }
                Action::Change { side: Side::Target, change } => {
                    hosts.target.apply(change)?;
                    Moved::default()
                }
                Action::Send { spec, into, creates, origin } => {
                    let stream = Stream { spec, into, creates: creates.as_deref(), origin: origin.as_ref() };
                    let progress = |moved| self.observer.progress(place, moved);
                    let (moved, missing) = stream.send(hosts, &self.run.transfer, self.cancel, &progress)?;
                    self.missing(hosts.target, into.dataset(), missing)?;
                    moved
                }
            };
            report.steps += 1;
            report.moved.plain = report.moved.plain.saturating_add(moved.plain);
            report.moved.wire = report.moved.wire.saturating_add(moved.wire);
            self.observer.step_finished(place, step, moved);
        }
        Ok(())
    }

    /// Sets properties and reads them back.
    fn set_properties(
        &self,
        target: &mut dyn Host,
        dataset: &DatasetName,
        set: &[(String, String)],
    ) -> Result<(), RunError> {
        let change = Change::SetProperties { dataset: dataset.clone(), set: set.to_vec() };
        match target.apply(&change) {
            Ok(()) => {}
            Err(error)
                if Class::of_host(&error, None) == Class::Operator(Operator::Permission)
                    && set.iter().all(|(name, _)| self.options.properties.is_optional(name)) =>
            {
                self.observer.note(&format!("{dataset} keeps its properties as they are ({error})"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let missing = not_set(target, dataset, set, true)?;
        self.missing(target, dataset, missing)
    }

    /// Properties that were to be set and are not. Those that nobody asked for by name are told, and no more.
    fn missing(
        &self,
        target: &mut dyn Host,
        dataset: &DatasetName,
        missing: Vec<String>,
    ) -> Result<(), RunError> {
        let (optional, asked): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|name| self.options.properties.is_optional(name));
        if !optional.is_empty() {
            self.observer.note(&format!(
                "{dataset} does not have {} as the source has: the receiving user may not set that there",
                optional.join(", ")
            ));
        }
        if asked.is_empty() {
            return Ok(());
        }
        let host = target.label().to_string();
        Err(RunError::PropertiesNotSet { host, dataset: dataset.clone(), missing: asked })
    }

    /// The steps that are left for one dataset, with what is there now. Properties stay as they were planned.
    fn plan_again(
        &self,
        planned: &DatasetPlan,
        left: &[Step],
        hosts: &mut Hosts<'_>,
    ) -> Result<Vec<Step>, RunError> {
        let source = match hosts.source.inventory(&planned.source, Depth::One)? {
            Inventory::Present(tree) => tree,
            Inventory::Absent { .. } => {
                let (host, dataset) = (hosts.source.label().to_string(), planned.source.clone());
                return Err(RunError::NoSource { host, dataset });
            }
        };
        let target = hosts.target.inventory(&planned.target, Depth::One)?;
        let sides = Sides::new(&source, &target, &planned.target, 0);
        let options = Options {
            recursive: false,
            datasets: Patterns::default(),
            divergence: Divergence::Stop,
            follow_renames: false,
            remove_gone_after: None,
            ..self.options.clone()
        };
        let again = plan::plan(sides, &options).datasets.into_iter().next();
        let mut again = again.map_or(Ok(Vec::new()), |again| again.steps)?;
        if let Some(set) = planned.steps.iter().flatten().find_map(creates) {
            for step in &mut again {
                if let Action::Send { creates: Some(other), .. } = &mut step.action {
                    other.clone_from(set);
                }
            }
        }
        let sets = |step: &&Step| {
            matches!(&step.action, Action::Change { change: Change::SetProperties { .. }, .. })
        };
        again.extend(left.iter().filter(sets).cloned());
        Ok(again)
    }
}

/// The properties with which a step makes the target's dataset.
fn creates(step: &Step) -> Option<&Vec<(String, String)>> {
    match &step.action {
        Action::Send { creates, .. } => creates.as_ref(),
        Action::Change { .. } => None,
    }
}

/// Throws away what a receive that broke off has kept. Who may only add there may not: the target's machine has to do it.
fn discard(target: &mut dyn Host, dataset: &DatasetName, change: &Change) -> Result<(), RunError> {
    match target.apply(change) {
        Err(error) if Class::of_host(&error, None) == Class::Operator(Operator::Permission) => {
            Err(RunError::NotDiscarded { dataset: dataset.clone(), error: Box::new(error) })
        }
        done => Ok(done?),
    }
}

fn makes_clone(step: &Step) -> bool {
    matches!(&step.action, Action::Send { origin: Some(_), .. })
}

fn empty(planned: &DatasetPlan) -> DatasetReport {
    DatasetReport {
        source: planned.source.clone(),
        target: planned.target.clone(),
        steps: 0,
        moved: Moved::default(),
        error: None,
    }
}

/// What the target kept of a receive that broke off, in bytes, where it can be asked.
fn kept(target: &mut dyn Host, planned: &DatasetPlan) -> Option<u64> {
    match target.inventory(&planned.target, Depth::One) {
        Ok(Inventory::Present(tree)) => Some(tree.root().partial.as_ref()?.content.as_ref().ok()?.bytes),
        _ => None,
    }
}

fn classify(error: &RunError, kept: Option<u64>) -> Class {
    match error {
        RunError::Host(error) => Class::of_host(error, kept),
        RunError::Transfer { error, .. } => Class::of_transfer(error, kept),
        RunError::Cancelled => Class::Cancelled,
        _ => Class::Operator(Operator::Other),
    }
}

/// From 0 to 1, different in each process: several that wait for the same machine shall not come back together.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}
