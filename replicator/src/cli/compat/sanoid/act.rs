//! Taking and pruning by a sanoid.conf, with the lines of sanoid.

use std::collections::BTreeSet;

use zfs_core::Zfs;

use super::text;
use crate::cancel::Cancel;
use crate::cli::complain;
use crate::cli::outcome::Failure;
use crate::cli::outcome::Outcome;
use crate::cli::print;
use crate::cli::prune::Prepared;
use crate::cli::say;
use crate::cli::snapshot::PATIENCE;
use crate::clock;
use crate::codes::Coded;
use crate::config::Config;
use crate::jobs::Network;
use crate::lock::PolicyLock;
use crate::prune;
use crate::survey::Survey;
use crate::take;

/// What is to be done.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) take: bool,
    pub(super) prune: bool,
    pub(super) readonly: bool,
    pub(super) verbose: bool,
}

impl Asked {
    fn say(self, text: &str) -> Result<(), Failure> {
        if self.verbose { print(text) } else { Ok(()) }
    }
}

/// Does it.
pub(super) fn run(asked: Asked, config: &Config, cancel: &Cancel) -> Result<Outcome, Failure> {
    let zfs = Zfs::open()?;
    let wait = || PolicyLock::take(PATIENCE, &|| cancel.is_cancelled());
    let _lock = if asked.readonly { None } else { Some(wait()?) };
    // Both decide by what there was before either did anything, as in sanoid: what was just taken pushes nothing out.
    let survey = Survey::new(&zfs, config)?;
    crate::cli::config::tell(&survey.resolved.problems);
    crate::cli::snapshot::tell_asides(&survey);
    let mut well = survey.troubles.is_empty();
    for trouble in &survey.troubles {
        complain(&Failure::new(trouble.error.code(), trouble.error.to_string()).hinted(trouble.error.hint()));
    }
    if asked.take {
        well &= take(asked, &survey, &zfs, cancel)?;
    }
    if asked.prune && !cancel.is_cancelled() {
        well &= prune(asked, config, &survey, &zfs, cancel)?;
    }
    Ok(match (cancel.is_cancelled(), well) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Success,
        (false, false) => Outcome::Failed,
    })
}

/// Whether all that is due was taken.
fn take(asked: Asked, survey: &Survey, zfs: &Zfs, cancel: &Cancel) -> Result<bool, Failure> {
    let plan = take::plan(survey, &BTreeSet::new(), clock::now());
    asked.say("INFO: taking snapshots...\n")?;
    let mut well = true;
    for effective in survey.missing().filter(|effective| effective.policy.snapshot) {
        well = false;
        say(&format!("CRITICAL ERROR: no snapshot of {} can be taken: it does not exist", effective.dataset));
    }
    for unit in &plan.units {
        asked.say(&text::taking(unit))?;
    }
    if asked.readonly {
        plan.units.iter().try_for_each(|unit| asked.say(&text::taken(unit)))?;
        return Ok(well && plan.impossible.is_empty());
    }
    let report = take::carry_out(&plan, zfs, cancel, &|happening| {
        say(&format!("WARN: {}: {}", happening.dataset, happening.text));
    });
    for unit in plan.units.iter().filter(|unit| !report.passed_over.contains(&unit.dataset)) {
        asked.say(&text::taken(unit))?;
    }
    for (name, fault) in &report.failed {
        say(&format!("CRITICAL ERROR: taking snapshot {name} failed: {fault}"));
    }
    Ok(well && report.is_success())
}

/// Whether all that may go is gone.
fn prune(
    asked: Asked,
    config: &Config,
    survey: &Survey,
    zfs: &Zfs,
    cancel: &Cancel,
) -> Result<bool, Failure> {
    asked.say("INFO: pruning snapshots...\n")?;
    let all = BTreeSet::new();
    let network = Network { zfs: zfs.clone(), cancel: cancel.clone() };
    let prepared = Prepared::new(config, survey, &all, zfs, &network, clock::now());
    prepared.tell();
    let plan = prepared.plan(survey, &all);
    for dataset in &plan.datasets {
        if text::is_deferred(dataset) {
            asked.say(&format!("INFO: deferring snapshot pruning ({})...\n", dataset.dataset))?;
        }
        for one in dataset.in_use() {
            asked.say(&format!("INFO: keeping {}: {}\n", one.snapshot.name, one.reason))?;
        }
        for one in dataset.going() {
            asked.say(&text::pruning(dataset, &one.snapshot.name, asked.readonly))?;
        }
    }
    if asked.readonly {
        return Ok(true);
    }
    prepared.remember(config);
    let report = prune::carry_out(&plan, zfs, cancel, &|happening| {
        say(&format!("WARN: {}: {}", happening.dataset, happening.text));
    });
    for (name, fault) in &report.failed {
        say(&format!("could not remove {name} : {fault}"));
    }
    Ok(report.is_success())
}

/// What each dataset has and should have.
pub(super) fn debug(config: &Config) -> Result<String, Failure> {
    let survey = Survey::new(&Zfs::open()?, config)?;
    let now = clock::now().as_second();
    let mut all = "****** CONFIGS ******\n".to_string();
    for effective in survey.resolved.datasets.values() {
        all.push_str(&crate::cli::config::in_full(effective));
    }
    all.push('\n');
    for effective in survey.resolved.datasets.values() {
        let found = survey.datasets.get(&effective.dataset);
        let snapshots = found.map(|seen| seen.snapshots.as_slice()).unwrap_or_default();
        all.push_str(&text::filesystem(effective, snapshots, now));
    }
    Ok(all)
}
