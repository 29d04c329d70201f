//! `replicator prune`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::fenced;
use super::fenced::FencedPools;
use super::fenced::Standing;
use super::roles::Roles;
use super::roles::with_pairs;
use super::snapshot::PATIENCE;
use super::snapshot::Spent;
use super::snapshot::known;
use super::snapshot::named;
use super::snapshot::tell;
use super::snapshot::tell_asides;
use crate::cancel::Cancel;
use crate::clock;
use crate::codes::Code;
use crate::codes::Coded;
use crate::config::Config;
use crate::jobs::Connect;
use crate::jobs::Network;
use crate::jobs::bases;
use crate::jobs::bases::Found;
use crate::jobs::memory::Memory;
use crate::jobs::retain::Retained;
use crate::jobs::retain::retain;
use crate::lock::PolicyLock;
use crate::pair::aside;
use crate::pair::guards::Told;
use crate::pair::handovers;
use crate::pair::paused::Paused;
use crate::pair::rules;
use crate::pair::sizes;
use crate::pools::Pools;
use crate::prune;
use crate::prune::Plan;
use crate::prune::Protection;
use crate::prune::Protections;
use crate::role::Role;
use crate::survey::Survey;

/// Destroy the snapshots that no rule of the configuration keeps and that nobody needs.
///
/// Only snapshots that a policy took are looked at, and in a pair the last ones of demotions (handover-EPOCH), of which three
/// stay. The newest one stays in any case, and so do the newest one that each target of a replication job has as well, those
/// with a hold or a clone, and those dated in the future. A target that cannot be asked keeps what it is known to have; while
/// nothing at all is known of it, nothing goes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only these datasets.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Print for every snapshot whether it stays, and why. Changes nothing.
    #[arg(long)]
    explain: bool,

    /// Only print what would go, and why; a run does exactly that.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print every decision and what was done as JSON on standard output.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator prune --explain tank/data
  replicator prune --dry-run
  replicator prune";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let wanted = named(&arguments.datasets)?;
    let (config, _) = arguments.from.usable()?;
    let zfs = Zfs::open()?;
    let only_looks = arguments.dry_run || arguments.explain;
    let _lock = if only_looks { None } else { Some(PolicyLock::take(PATIENCE, &|| cancel.is_cancelled())?) };
    let roles = Roles::look(&config, !only_looks, cancel)?;
    roles.tell();
    let mut spent = Spent::default();
    let mut survey = spent.looking(|| Survey::new(&zfs, &config))?;
    roles.restrict(&mut survey);
    super::config::tell(&survey.resolved.problems);
    known(&survey, &wanted, |effective| effective.policy.prune, "is not pruned")?;
    let troubles = tell(&survey, &wanted);
    tell_asides(&survey);
    let network = Network { zfs: zfs.clone(), cancel: cancel.clone() };
    let config = with_pairs(&config);
    let mut prepared = Prepared::new(&config, &survey, &wanted, &zfs, &network, clock::now());
    prepared.guard(&roles, &mut survey, &zfs);
    prepared.tell();
    let plan = spent.deciding(|| prepared.plan(&survey, &wanted));
    if only_looks {
        let targets = if wanted.is_empty() {
            Targets::prune(&config, &survey, &network, true)
        } else {
            Targets::default()
        };
        if arguments.json {
            let (targets, at_targets) = (prepared.to_json(), &targets.json);
            super::print_json(&Looked {
                dry_run: true,
                plan: &plan,
                targets,
                at_targets,
                troubles: &troubles,
                seconds: spent.to_json(),
            })?;
        } else {
            super::print(&(describe(&plan, arguments.explain) + &targets.text))?;
        }
        let well = troubles.is_empty() && targets.failures.is_empty();
        let changed = prepared.changed().unwrap_or(Outcome::Success);
        return Ok(if well { changed } else { Outcome::Failed });
    }
    prepared.remember(&config);
    let (report, fenced) = carry_out(&plan, &FencedPools::new(&zfs, &roles), cancel);
    let targets = if wanted.is_empty() {
        Targets::prune(&config, &survey, &network, false)
    } else {
        Targets::default()
    };
    if arguments.json {
        let (targets, at_targets) = (prepared.to_json(), &targets.json);
        super::print_json(&Done {
            plan: &plan,
            targets,
            result: report.to_json(),
            at_targets,
            troubles: &troubles,
        })?;
    } else {
        let own = match report.destroyed.len() {
            0 => "nothing was destroyed\n".to_string(),
            1 => format!("destroyed {}\n", report.destroyed[0]),
            many => format!("destroyed {many} snapshots\n"),
        };
        super::print(&(own + &targets.text))?;
    }
    if report.interrupted {
        return Ok(Outcome::Interrupted);
    }
    let well = report.is_success() && troubles.is_empty() && targets.failures.is_empty();
    Ok(match (well, fenced) {
        (false, _) => Outcome::Failed,
        (true, true) => Outcome::NoRole,
        (true, false) => prepared.changed().unwrap_or(Outcome::Success),
    })
}

/// What `--json` tells of a look.
#[derive(Serialize)]
struct Looked<'a> {
    dry_run: bool,
    plan: &'a Plan<'a>,
    targets: serde_json::Value,
    at_targets: &'a [serde_json::Value],
    troubles: &'a [serde_json::Value],
    seconds: serde_json::Value,
}

/// What it tells of what was done.
#[derive(Serialize)]
struct Done<'a> {
    plan: &'a Plan<'a>,
    targets: serde_json::Value,
    result: serde_json::Value,
    at_targets: &'a [serde_json::Value],
    troubles: &'a [serde_json::Value],
}

/// What became of the targets that are pruned from here.
#[derive(Default)]
pub(super) struct Targets {
    /// A line for each at which something went, or would go.
    pub(super) text: String,
    pub(super) failures: Vec<Outcome>,
    pub(super) json: Vec<serde_json::Value>,
}

impl Targets {
    /// Prunes every target whose job says that the sender does it.
    pub(super) fn prune(config: &Config, survey: &Survey, network: &Network, dry_run: bool) -> Self {
        let mut all = Self::default();
        for job in &config.jobs {
            for target in &job.targets {
                if network.cancel.is_cancelled() {
                    all.failures.push(Outcome::Interrupted);
                    return all;
                }
                let title = format!("{} to {}", job.name, target.name);
                match retain(job, target, survey, network, clock::now(), dry_run) {
                    Ok(None) => {}
                    Ok(Some(retained)) => all.retained(&title, &retained, dry_run),
                    Err(error) if error.is_away() => {
                        // Whoever replicates has told what that means.
                        super::say(&format!("{title}: not pruned there: {error}"));
                        all.json.push(json!({ "target": title, "message": error.to_string() }));
                    }
                    Err(error) => {
                        let message = format!("{title}: not pruned there: {error}");
                        super::complain(&Failure::new(error.code(), message.clone()).hinted(error.hint()));
                        all.json.push(json!({ "target": title, "code": error.code(), "message": message }));
                        all.failures.push(error.code().into());
                    }
                }
            }
        }
        all
    }

    fn retained(&mut self, title: &str, retained: &Retained, dry_run: bool) {
        let going: Vec<_> = retained.decided.iter().filter(|one| !one.keep).collect();
        if dry_run {
            for one in &going {
                self.text.push_str(&format!("{title}: destroy {}: {}\n", one.name, one.reason));
            }
        } else if !retained.destroyed.is_empty() {
            self.text.push_str(&format!("{title}: destroyed {} there\n", retained.destroyed.len()));
        }
        for (name, error) in &retained.failed {
            let message = format!("{title}: {name} was not destroyed: {error}");
            super::complain(&Failure::new(error.code(), message).hinted(error.hint()));
            self.failures.push(Outcome::Failed);
        }
        let names = going
            .iter()
            .take(1000)
            .map(|one| json!({ "snapshot": one.name.as_str(), "why": one.reason.to_string() }));
        self.json.push(json!({
            "target": title,
            "goes": names.collect::<Vec<_>>(),
            "destroyed": retained.destroyed.len(),
            "failed": retained.failed.len(),
        }));
    }
}

/// Destroys what the plan says, and tells what becomes of it. Whether something of a pair was left as it is, because the role
/// of this node changed meanwhile.
pub(super) fn carry_out(plan: &Plan<'_>, pools: &FencedPools<'_>, cancel: &Cancel) -> (prune::Report, bool) {
    for dataset in &plan.datasets {
        for one in dataset.in_use() {
            super::say(&format!("{} stays: {}", one.snapshot.name, one.reason));
        }
    }
    let mut report = prune::carry_out(plan, pools, cancel, &|happening| {
        super::say(&format!("{}: {}", happening.dataset, happening.text));
    });
    let fenced = pools.told(&mut report.failed, "destroyed");
    fenced.iter().for_each(super::complain);
    for (name, fault) in &report.failed {
        let failure = Failure::new(fault.kind.code(), format!("{name} was not destroyed: {fault}"));
        super::complain(&failure.hinted(fault.hint.clone()));
    }
    (report, !fenced.is_empty())
}

/// All that a decision depends on beside the survey.
pub(super) struct Prepared {
    now: Timestamp,
    /// The datasets of which something would go by the rules.
    concerned: BTreeSet<DatasetName>,
    /// Of these, those of pairs with more last snapshots of demotions than stay in any case.
    handovers: BTreeSet<DatasetName>,
    protections: Protections,
    pub(super) found: Found,
    memory_problem: Option<String>,
    /// What guards of pairs say.
    guards: Vec<Told>,
    /// Of which datasets that keeps all or some snapshots.
    paused: Vec<Paused>,
    /// The pairs of which nothing goes, because the role of this node changed since it was looked at, each with what it is
    /// now.
    fenced: Vec<(String, String)>,
}

impl Prepared {
    /// Asks the targets of jobs that have to do with what would go, and for the tags of holds.
    pub(super) fn new(
        config: &Config,
        survey: &Survey,
        wanted: &BTreeSet<DatasetName>,
        pools: &dyn Pools,
        connect: &dyn Connect,
        now: Timestamp,
    ) -> Self {
        let (memory, memory_problem) = match Memory::read(&config.folders.state) {
            Ok(memory) => (memory, None),
            Err(problem) => (Memory::default(), Some(problem)),
        };
        let nothing = Protections::new();
        let handovers = with_handovers(config, survey, wanted);
        let mut concerned: BTreeSet<DatasetName> = prune::plan(survey, wanted, &nothing, now)
            .datasets
            .iter()
            .filter(|one| one.going().next().is_some())
            .map(|one| one.dataset.clone())
            .collect();
        concerned.extend(handovers.iter().cloned());
        let mut found = bases::find(config, survey, &concerned, connect, &memory, now.as_second());
        let mut protections = std::mem::take(&mut found.protections);
        let mut tags = BTreeMap::new();
        for seen in concerned.iter().filter_map(|name| survey.datasets.get(name)) {
            for snapshot in seen.snapshots.iter().filter(|one| seen.held.contains(&one.guid)) {
                // Without its tag a hold is still a hold.
                if let Ok(holds) = pools.holds(&snapshot.name) {
                    tags.insert((seen.name.clone(), snapshot.guid), holds.join(", "));
                }
            }
        }
        prune::own_needs(survey, &tags, &mut protections);
        Self {
            now,
            concerned,
            handovers,
            protections,
            found,
            memory_problem,
            guards: Vec::new(),
            paused: Vec::new(),
            fenced: Vec::new(),
        }
    }

    /// Keeps what the guards of pairs say of the datasets of which something would go. Where this node is not any more what
    /// it was when the survey was made, nothing of the pair goes: the guards do not know what to look at then.
    pub(super) fn guard(&mut self, roles: &Roles<'_>, survey: &mut Survey, zfs: &Zfs) {
        for one in &roles.pairs {
            let of_pair = |dataset: &&DatasetName| one.pair.roots.iter().any(|root| dataset.is_within(root));
            let concerned: BTreeSet<_> = self.concerned.iter().filter(of_pair).cloned().collect();
            if concerned.is_empty() {
                continue;
            }
            let is_standby = match (one.still(&[Role::Standby]), one.still(&[Role::Active])) {
                (Ok(()), _) => true,
                (Err(_), Ok(())) => false,
                (Err(_), Err(why)) => {
                    rules::restrict(survey, &one.pair.roots, Role::Unknown);
                    self.fenced.push((one.pair.name.clone(), why));
                    continue;
                }
            };
            let jobs = one.pair.jobs();
            let found = jobs.iter().filter_map(|job| self.found.sizes.get(&job.name)).flatten();
            let there: BTreeMap<_, _> =
                found.filter(|_| is_standby).map(|(dataset, sizes)| (dataset.clone(), *sizes)).collect();
            let list = |dataset: &DatasetName| sizes::list(zfs, dataset);
            let protections = &mut self.protections;
            let told = sizes::protect(survey, &concerned, &list, &there, &one.pair.guards, protections);
            self.paused.extend(told.iter().filter_map(|told| Paused::of(&one.pair.name, told)));
            self.guards.extend(told);
        }
    }

    /// The kind of failure that it is when the role of this node changed since it was looked at.
    pub(super) fn changed(&self) -> Option<Outcome> {
        (!self.fenced.is_empty()).then_some(Outcome::NoRole)
    }

    /// The decisions.
    pub(super) fn plan<'a>(&'a self, survey: &'a Survey, wanted: &BTreeSet<DatasetName>) -> Plan<'a> {
        let mut plan = prune::plan(survey, wanted, &self.protections, self.now);
        let nothing = Protection::default();
        for one in plan.datasets.iter_mut().filter(|one| self.handovers.contains(one.dataset)) {
            let Some(seen) = survey.datasets.get(one.dataset) else { continue };
            let protection = self.protections.get(one.dataset).unwrap_or(&nothing);
            one.decisions.extend(handovers::decide(&seen.snapshots, protection));
        }
        plan
    }

    /// Tells who could not be asked, and which targets are away for long.
    pub(super) fn tell(&self) {
        if let Some(problem) = &self.memory_problem {
            super::say(&format!("warning: {problem}; what targets had is not known without asking them"));
        }
        for one in &self.found.unasked {
            super::say(&format!("job {}: {} cannot be asked: {}", one.job, one.what, one.why));
        }
        for (dataset, away) in &self.found.away {
            super::say(&format!("warning: {dataset}: {away}"));
        }
        for told in &self.guards {
            super::say(&format!("warning: {told}"));
        }
        for (pair, why) in &self.fenced {
            let failure = Failure::new(Code::NoRole, format!("pair {pair}: nothing of it is pruned: {why}"));
            super::complain(&failure.hinted(fenced::HINT.to_string()));
        }
    }

    /// Keeps what was seen for the time when targets cannot be asked.
    pub(super) fn remember(&self, config: &Config) {
        if let Err(problem) = Memory::remember(&config.folders.state, config, self.found.seen.clone()) {
            super::say(&format!("warning: {problem}"));
        }
    }

    /// For JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let away = self.found.away.iter().map(|(dataset, away)| {
            json!({
                "dataset": dataset.as_str(),
                "target": away.target,
                "away_seconds": away.away,
                "limit_seconds": away.limit,
            })
        });
        let guards: Vec<_> = self.guards.iter().map(ToString::to_string).collect();
        // Where a pair was left alone, what it would have come to is not known.
        let paused = self.fenced.is_empty().then(|| self.paused.iter().take(1000).collect::<Vec<_>>());
        json!({
            "not_asked": self.found.unasked,
            "away": away.collect::<Vec<_>>(),
            "guards": guards,
            "paused": paused,
        })
    }
}

/// The datasets within roots of pairs that are pruned, and have more last snapshots of demotions than stay in any case.
fn with_handovers(config: &Config, survey: &Survey, wanted: &BTreeSet<DatasetName>) -> BTreeSet<DatasetName> {
    let within =
        |root: &DatasetName, dataset: &DatasetName| dataset.is_within(root) && !aside::holds(root, dataset);
    let of_pair = |dataset: &DatasetName| {
        config.pairs.iter().flat_map(|pair| &pair.roots).any(|root| within(root, dataset))
    };
    let is_wanted = |dataset: &DatasetName| wanted.is_empty() || wanted.contains(dataset);
    let found = survey.each().filter(|(seen, effective)| {
        effective.policy.prune
            && is_wanted(&seen.name)
            && of_pair(&seen.name)
            && handovers::are_many(&seen.snapshots)
    });
    found.map(|(seen, _)| seen.name.clone()).collect()
}

/// What goes, and with `all` what stays as well, for people.
pub(super) fn describe(plan: &Plan<'_>, all: bool) -> String {
    let mut text = String::new();
    for dataset in &plan.datasets {
        let mut shown = dataset.decisions.iter().filter(|one| all || !one.keep).peekable();
        if shown.peek().is_some() {
            text.push_str(&format!("{}\n", dataset.dataset));
        }
        for one in shown {
            let verdict = if one.keep { "keep" } else { "destroy" };
            text.push_str(&format!("  {verdict:7} @{}: {}\n", one.snapshot.name.short(), one.reason));
        }
    }
    text.push_str(&match plan.count() {
        0 => "nothing would be destroyed\n".to_string(),
        1 => "1 snapshot would be destroyed\n".to_string(),
        many => format!("{many} snapshots would be destroyed\n"),
    });
    text
}
