//! The phases of a run: each does its part, tells what it does and what goes wrong, and sums it up.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::Context;
use super::Ended;
use super::Failure;
use super::Outcome;
use super::lags;
use crate::cli;
use crate::cli::fenced::FencedPools;
use crate::cli::format;
use crate::cli::outcome::of_run;
use crate::cli::progress;
use crate::cli::prune::Prepared;
use crate::cli::roles::with_pairs;
use crate::cli::snapshot::PATIENCE;
use crate::clock;
use crate::codes::Coded;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::RunError;
use crate::jobs;
use crate::jobs::Done;
use crate::jobs::JobError;
use crate::jobs::memory::Memory;
use crate::lock::PolicyLock;
use crate::monitor::transfers::Board;
use crate::monitor::transfers::Transfer;
use crate::plan::Step;
use crate::survey::Survey;
use crate::take;
use crate::transfer::Moved;

/// How many names of one kind a record holds.
const NAMES: usize = 1000;

fn survey(context: &Context<'_>) -> Result<(Survey, Vec<serde_json::Value>), Failure> {
    let mut survey = Survey::new(context.zfs, context.config)?;
    context.roles.restrict(&mut survey);
    cli::config::tell(&survey.resolved.problems);
    let troubles = cli::snapshot::tell(&survey, &BTreeSet::new());
    // Once is enough for all phases.
    if context.asides_told.set(()).is_ok() {
        cli::snapshot::tell_asides(&survey);
    }
    Ok((survey, troubles))
}

fn lock(context: &Context<'_>) -> Result<Option<PolicyLock>, Failure> {
    if context.dry_run {
        return Ok(None);
    }
    Ok(Some(PolicyLock::take(PATIENCE, &|| context.cancel.is_cancelled())?))
}

fn some<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().take(NAMES).map(ToString::to_string).collect()
}

fn failures(troubles: &[serde_json::Value], well: bool, interrupted: bool) -> Vec<Outcome> {
    let mut failures = vec![Outcome::Failed; troubles.len()];
    if interrupted {
        failures.push(Outcome::Interrupted);
    } else if !well {
        failures.push(Outcome::Failed);
    }
    failures
}

pub(super) fn snapshot(context: &Context<'_>) -> Result<Ended, Failure> {
    let _lock = lock(context)?;
    let (survey, troubles) = survey(context)?;
    let plan = take::plan(&survey, &BTreeSet::new(), clock::now());
    if context.dry_run {
        context.show(&cli::snapshot::describe(&plan));
        let failures = failures(&troubles, true, false);
        let json = json!({ "plan": plan.to_json(), "troubles": troubles });
        return Ok(Ended { summary: format!("{} due", plan.count()), failures, json });
    }
    let pools = FencedPools::new(context.zfs, context.roles);
    let mut report = take::carry_out(&plan, &pools, context.cancel, &|happening| {
        cli::say(&format!("{}: {}", happening.dataset, happening.text));
    });
    let fenced = pools.told(&mut report.failed, "taken");
    fenced.iter().for_each(cli::complain);
    for (name, fault) in &report.failed {
        let failure = Failure::new(fault.kind.code(), format!("{name} was not taken: {fault}"));
        cli::complain(&failure.hinted(fault.hint.clone()));
    }
    let json = json!({
        "taken": report.taken.len(),
        "names": some(&report.taken),
        "existing": report.existing.len(),
        "not_taken": report.failed.iter().take(NAMES).map(|(name, fault)| {
            json!({ "snapshot": name.as_str(), "message": fault.text })
        }).collect::<Vec<_>>(),
        "passed_over": report.passed_over.iter().take(NAMES).map(DatasetName::as_str).collect::<Vec<_>>(),
        "happenings": report.happenings.iter().take(NAMES).map(take::Happening::to_json).collect::<Vec<_>>(),
        "calls": report.calls,
        "troubles": troubles,
    });
    let not = report.failed.len();
    let summary = match not {
        0 => format!("{} taken", report.taken.len()),
        _ => format!("{} taken, {not} not", report.taken.len()),
    };
    let mut failures = failures(&troubles, report.is_success(), report.interrupted);
    failures.extend(fenced.iter().map(|failure| failure.outcome));
    Ok(Ended { summary, failures, json })
}

pub(super) fn prune(context: &Context<'_>) -> Result<Ended, Failure> {
    let _lock = lock(context)?;
    let (mut survey, troubles) = survey(context)?;
    let all = BTreeSet::new();
    let (config, network) = (&with_pairs(context.config), context.network);
    let mut prepared = Prepared::new(config, &survey, &all, context.zfs, network, clock::now());
    prepared.guard(context.roles, &mut survey, context.zfs);
    prepared.tell();
    let plan = prepared.plan(&survey, &all);
    if context.dry_run {
        context.show(&cli::prune::describe(&plan, false));
        let targets = cli::prune::Targets::prune(config, &survey, network, true);
        context.show(&targets.text);
        let partials = super::partials::clear(context);
        context.show(&partials.text);
        let mut failures = failures(&troubles, true, false);
        failures.extend(prepared.changed());
        failures.extend(targets.failures);
        let json = json!({
            "plan": plan,
            "targets": prepared.to_json(),
            "at_targets": targets.json,
            "partial_receives": partials.to_json(),
            "troubles": troubles,
        });
        let summary = format!("{} would go{}", plan.count(), partials.summary());
        failures.extend(partials.failures);
        return Ok(Ended { summary, failures, json });
    }
    prepared.remember(config);
    let pools = FencedPools::new(context.zfs, context.roles);
    let (report, fenced) = cli::prune::carry_out(&plan, &pools, context.cancel);
    let targets = cli::prune::Targets::prune(config, &survey, network, false);
    context.show(&targets.text);
    let partials = super::partials::clear(context);
    let json = json!({
        "destroyed": report.destroyed.len(),
        "names": some(&report.destroyed),
        "not_destroyed": report.failed.iter().take(NAMES).map(|(name, fault)| {
            json!({ "snapshot": name.as_str(), "message": fault.text })
        }).collect::<Vec<_>>(),
        "kept_by_hook": some(&report.kept_by_hook),
        "in_use": plan.datasets.iter().flat_map(crate::prune::DatasetPlan::in_use).take(NAMES).map(|one| {
            json!({ "snapshot": one.snapshot.name.as_str(), "why": one.reason.to_string() })
        }).collect::<Vec<_>>(),
        "happenings": report.happenings.iter().take(NAMES).map(take::Happening::to_json).collect::<Vec<_>>(),
        "targets": prepared.to_json(),
        "at_targets": targets.json,
        "partial_receives": partials.to_json(),
        "calls": report.calls,
        "troubles": troubles,
    });
    let not = report.failed.len();
    let summary = match not {
        0 => format!("{} destroyed{}", report.destroyed.len(), partials.summary()),
        _ => format!("{} destroyed, {not} not{}", report.destroyed.len(), partials.summary()),
    };
    let mut failures = failures(&troubles, report.is_success(), report.interrupted);
    failures.extend(prepared.changed());
    failures.extend(fenced.then_some(Outcome::NoRole));
    failures.extend(targets.failures);
    failures.extend(partials.failures);
    Ok(Ended { summary, failures, json })
}

/// What should have been done and is not: datasets that are not there, pools that cannot be listed, snapshots that are due
/// still.
pub(super) fn check(context: &Context<'_>) -> Result<Ended, Failure> {
    let mut survey = Survey::new(context.zfs, context.config)?;
    context.roles.restrict(&mut survey);
    let missing: Vec<_> = survey.missing().map(|effective| effective.dataset.to_string()).collect();
    let troubles: Vec<_> = survey.troubles.iter().map(|trouble| trouble.error.to_string()).collect();
    let plan = take::plan(&survey, &BTreeSet::new(), clock::now());
    let due: Vec<_> =
        plan.calls.iter().flat_map(|call| &call.snapshots).map(|(_, name)| name.clone()).collect();
    for name in due.iter().take(NAMES) {
        cli::say(&format!("{} has no {} although it is due", name.dataset(), name.short()));
    }
    for name in &missing {
        cli::say(&format!("{name} is in the configuration and does not exist"));
    }
    let undone = due.len() + missing.len() + troubles.len();
    // A dry run has taken none of them.
    let failures = if undone > 0 && !context.dry_run { vec![Outcome::Failed] } else { Vec::new() };
    let summary = match undone {
        0 => "nothing is left undone".to_string(),
        _ => format!("{} due, {} missing, {} not known", due.len(), missing.len(), troubles.len()),
    };
    // Without memory nothing is known of targets here; whoever prunes tells why.
    let memory = Memory::read(&context.config.folders.state).unwrap_or_default();
    let lags = lags::lags(&with_pairs(context.config), &memory, &survey, clock::now().as_second());
    let json = json!({
        "due": some(&due),
        "missing": some(&missing),
        "troubles": troubles,
        "lags": lags,
        "pools": lags::pools(context.zfs, &survey),
    });
    Ok(Ended { summary, failures, json })
}

pub(super) fn replicate(context: &Context<'_>) -> Result<Ended, Failure> {
    let mut all = Replication::default();
    for job in &context.config.jobs {
        for target in &job.targets {
            if context.cancel.is_cancelled() {
                all.failures.push(Outcome::Interrupted);
                return Ok(all.ended(context));
            }
            all.one(context, job, target);
        }
    }
    super::pairs::replicate(context, &mut all);
    Ok(all.ended(context))
}

/// What the jobs of a run came to.
#[derive(Default)]
pub(super) struct Replication {
    pub(super) jobs: usize,
    pub(super) up_to_date: usize,
    passed_over: usize,
    /// Of targets that were not.
    datasets_passed_over: usize,
    pub(super) moved: Moved,
    pub(super) failures: Vec<Outcome>,
    pub(super) json: Vec<serde_json::Value>,
}

impl Replication {
    fn ended(self, context: &Context<'_>) -> Ended {
        let mut summary = format!("{} of {} targets up to date", self.up_to_date, self.jobs);
        if context.dry_run {
            summary = format!("{} targets looked at", self.jobs);
        } else if self.moved.plain > 0 {
            summary.push_str(&format!(", {} sent", format::bytes(self.moved.plain)));
        }
        if self.passed_over > 0 {
            summary.push_str(&format!(", {} passed over", self.passed_over));
        }
        match self.datasets_passed_over {
            0 => {}
            1 => summary.push_str(", 1 dataset is being sent by another run"),
            more => summary.push_str(&format!(", {more} datasets are being sent by another run")),
        }
        Ended { summary, failures: self.failures, json: json!({ "jobs": self.json }) }
    }

    fn one(&mut self, context: &Context<'_>, job: &Job, target: &Target) {
        self.jobs += 1;
        let title = format!("{} to {}", job.name, target.name);
        let now = jiff::Timestamp::now().as_second();
        if context.dry_run {
            match jobs::plan(job, target, context.network, now) {
                Ok(plan) => {
                    context.show(&cli::plan_text::describe(&plan, &job.source, &target.endpoint));
                    if plan.conflicts().next().is_some() {
                        self.failures.push(Outcome::Conflict);
                    }
                    self.json.push(json!({ "job": job.name, "target": target.name, "plan": plan.to_json() }));
                }
                Err(error) => self.failed(&title, job, target, &error),
            }
            return;
        }
        let state = &context.config.folders.state;
        // What cannot be read is told by whoever prunes.
        let known = Memory::read(state).unwrap_or_default();
        let with_pool =
            known.of(&job.name, &target.endpoint.to_string()).is_none_or(|one| one.pool.is_none());
        let lines = Lines { title: &title, board: context.board };
        match jobs::replicate(job, target, context.network, &lines, with_pool, now, context.cancel) {
            Ok(done) => {
                let seen = done.seen(job, target, now);
                if let Err(problem) = Memory::remember(state, &with_pairs(context.config), vec![seen]) {
                    cli::say(&format!("warning: {problem}"));
                }
                self.done(&title, job, target, &done);
            }
            Err(error) => self.failed(&title, job, target, &error),
        }
    }

    fn done(&mut self, title: &str, job: &Job, target: &Target, done: &Done) {
        let moved = done.report.moved();
        self.moved.plain = self.moved.plain.saturating_add(moved.plain);
        self.moved.wire = self.moved.wire.saturating_add(moved.wire);
        let mut failed = Vec::new();
        let mut passed_over = Vec::new();
        let mut fail = |what: &str, error: &RunError| {
            // What waits for another says nothing of its own.
            if !matches!(error, RunError::Dependency { .. }) {
                self.failures.push(of_run(error));
            }
            let message = format!("{title}: {what}: {error}");
            cli::complain(&Failure::new(error.code(), message).hinted(error.hint()));
            if failed.len() < NAMES {
                failed.push(json!({
                    "dataset": what,
                    "code": error.code(),
                    "message": error.to_string(),
                    "hint": error.hint(),
                }));
            }
        };
        for (dataset, error) in done.report.failures() {
            if error.is_busy() {
                // The run that has it in hand tells what becomes of it.
                cli::say(&format!("{title}: {}: passed over: {error}", dataset.source));
                passed_over.push(dataset.source.to_string());
            } else {
                fail(dataset.source.as_str(), error);
            }
        }
        for error in &done.report.errors_after {
            fail(target.endpoint.dataset.as_str(), error);
        }
        if failed.is_empty() && passed_over.is_empty() {
            self.up_to_date += 1;
        }
        self.datasets_passed_over += passed_over.len();
        self.json.push(json!({
            "job": job.name,
            "target": target.name,
            "to": target.endpoint.to_string(),
            "datasets": done.report.datasets.len(),
            "steps": done.report.steps(),
            "bytes": moved.plain,
            "bytes_on_the_wire": moved.wire,
            "failed": failed,
            "passed_over": some(&passed_over),
        }));
    }

    fn failed(&mut self, title: &str, job: &Job, target: &Target, error: &JobError) {
        let (busy, away) = (error.is_busy(), error.is_away());
        let (code, message, hint) = (error.code(), error.to_string(), error.hint());
        let state = if busy {
            cli::say(&format!("{title}: passed over: {message}"));
            self.passed_over += 1;
            "busy"
        } else if away && target.optional {
            cli::say(&format!("{title}: passed over, it is away: {message}"));
            self.passed_over += 1;
            "away"
        } else {
            cli::complain(&Failure::new(code, format!("{title}: {message}")).hinted(hint.clone()));
            self.failures.push(code.into());
            "failed"
        };
        self.json.push(json!({
            "job": job.name,
            "target": target.name,
            "to": target.endpoint.to_string(),
            "state": state,
            "code": code,
            "message": message,
            "hint": hint,
        }));
    }
}

/// A line for each stream that arrived, for a journal; what is on its way is told where people look for it.
pub(super) struct Lines<'l> {
    pub(super) title: &'l str,
    pub(super) board: Option<&'l Board>,
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        if let Some(board) = self.board {
            board.is_over(self.title);
        }
    }
}

impl Observer for Lines<'_> {
    fn step_started(&self, place: Place, step: &Step) {
        let (Some(board), Some(spec)) = (self.board, step.stream()) else { return };
        let now = jiff::Timestamp::now().as_second();
        let transfer = Transfer {
            title: self.title.to_string(),
            dataset: spec.to.name.dataset().to_string(),
            snapshot: spec.to.name.short().to_string(),
            bytes: 0,
            total: step.estimated_bytes,
            started: now,
            moved: now,
        };
        board.begins(place.dataset, transfer);
    }

    fn progress(&self, place: Place, moved: Moved) {
        if let Some(board) = self.board {
            board.moves(self.title, place.dataset, moved.plain, jiff::Timestamp::now().as_second());
        }
    }

    fn step_finished(&self, place: Place, step: &Step, moved: Moved) {
        let Some(spec) = step.stream() else { return };
        if let Some(board) = self.board {
            board.ends(self.title, place.dataset);
        }
        let dataset = spec.to.name.dataset();
        cli::say(&format!(
            "{}: {dataset}: {}, {}",
            self.title,
            progress::title(step),
            format::bytes(moved.plain)
        ));
    }

    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        cli::say(&format!("{}: {dataset}: {error}; tries again in {}", self.title, format::duration(after)));
    }

    fn note(&self, text: &str) {
        cli::say(&format!("{}: {text}", self.title));
    }
}
