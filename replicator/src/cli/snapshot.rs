//! `replicator snapshot`.

use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::fenced::FencedPools;
use super::roles::Roles;
use crate::cancel::Cancel;
use crate::clock;
use crate::codes::Code;
use crate::codes::Coded;
use crate::lock::PolicyLock;
use crate::survey::Survey;
use crate::survey::Trouble;
use crate::take;
use crate::take::Plan;

/// Take the snapshots that are due by the configuration.
///
/// All that are due of a pool are taken in as few calls to the kernel as it allows, each of them atomic. A dataset that
/// cannot have its snapshot keeps no other from it, and shows in the exit status.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only these datasets, each with those whose snapshots are taken in one with its own.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Only print what would be taken, and why; a run does exactly that.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print what is due and what was done as JSON on standard output.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator snapshot
  replicator snapshot --dry-run
  replicator snapshot tank/data --json";

/// How long another run that takes or prunes snapshots is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let wanted = named(&arguments.datasets)?;
    let (config, _) = arguments.from.usable()?;
    let zfs = Zfs::open()?;
    let _lock =
        if arguments.dry_run { None } else { Some(PolicyLock::take(PATIENCE, &|| cancel.is_cancelled())?) };
    let roles = Roles::look(&config, !arguments.dry_run, cancel)?;
    roles.tell();
    let mut spent = Spent::default();
    let mut survey = spent.looking(|| Survey::new(&zfs, &config))?;
    roles.restrict(&mut survey);
    super::config::tell(&survey.resolved.problems);
    known(&survey, &wanted, |effective| effective.policy.snapshot, "takes no snapshots")?;
    let troubles = tell(&survey, &wanted);
    tell_asides(&survey);
    let plan = spent.deciding(|| take::plan(&survey, &wanted, clock::now()));
    if arguments.dry_run {
        let text = if arguments.json {
            let value = json!({
                "dry_run": true,
                "plan": plan.to_json(),
                "troubles": troubles,
                "seconds": spent.to_json(),
            });
            format!("{value:#}\n")
        } else {
            describe(&plan)
        };
        super::print(&text)?;
        return Ok(if troubles.is_empty() { Outcome::Success } else { Outcome::Failed });
    }
    let pools = FencedPools::new(&zfs, &roles);
    let mut report = take::carry_out(&plan, &pools, cancel, &|happening| {
        super::say(&format!("{}: {}", happening.dataset, happening.text));
    });
    let fenced = pools.told(&mut report.failed, "taken");
    fenced.iter().for_each(super::complain);
    for (name, fault) in &report.failed {
        super::complain(
            &Failure::new(fault.kind.code(), format!("{name} was not taken: {fault}"))
                .hinted(fault.hint.clone()),
        );
    }
    let text = if arguments.json {
        let value = json!({ "plan": plan.to_json(), "result": report.to_json(), "troubles": troubles });
        format!("{value:#}\n")
    } else {
        let mut text: String = report.taken.iter().map(|name| format!("took {name}\n")).collect();
        text.extend(report.existing.iter().map(|name| format!("{name} exists\n")));
        let nothing = text.is_empty() && report.failed.is_empty() && fenced.is_empty();
        if nothing { "nothing is due\n".to_string() } else { text }
    };
    super::print(&text)?;
    if report.interrupted {
        return Ok(Outcome::Interrupted);
    }
    Ok(match (report.is_success() && troubles.is_empty(), fenced.first()) {
        (false, _) => Outcome::Failed,
        (true, Some(failure)) => failure.outcome,
        (true, None) => Outcome::Success,
    })
}

/// Where the time of a dry run went.
#[derive(Default)]
pub(super) struct Spent {
    looking: Duration,
    deciding: Duration,
}

impl Spent {
    /// Looks at what is there.
    pub(super) fn looking<T>(&mut self, work: impl FnOnce() -> T) -> T {
        measured(&mut self.looking, work)
    }

    /// Decides what is to be done.
    pub(super) fn deciding<T>(&mut self, work: impl FnOnce() -> T) -> T {
        measured(&mut self.deciding, work)
    }

    /// In seconds.
    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({ "looking": self.looking.as_secs_f64(), "deciding": self.deciding.as_secs_f64() })
    }
}

fn measured<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    *spent += began.elapsed();
    done
}

/// Names of datasets from the command line.
pub(super) fn named(names: &[String]) -> Result<BTreeSet<DatasetName>, Failure> {
    let parse = |name: &String| {
        DatasetName::try_from(name.as_str()).map_err(|error| Failure::new(Code::Endpoint, error.to_string()))
    };
    names.iter().map(parse).collect()
}

/// Every dataset that was named has a policy that does what was asked for.
pub(super) fn known(
    survey: &Survey,
    wanted: &BTreeSet<DatasetName>,
    does: impl Fn(&crate::config::resolve::Effective) -> bool,
    does_not: &str,
) -> Result<(), Failure> {
    for name in wanted {
        if let Some(trouble) = survey.trouble(name) {
            return Err(
                Failure::new(trouble.error.code(), trouble.error.to_string()).hinted(trouble.error.hint())
            );
        }
        let hint = format!("see `replicator config show {name}`");
        let effective = survey.resolved.datasets.get(name);
        let exists = effective.is_none_or(|effective| effective.exists);
        let code = if exists { Code::NotConfigured } else { Code::NoDataset };
        let message = match effective {
            None if survey.resolved.asides.iter().any(|aside| name.is_within(aside)) => {
                format!("{name} was set aside, and no policy is for it")
            }
            None => format!("{name} has no policy"),
            Some(_) if !exists => format!("{name} does not exist"),
            Some(effective) if !does(effective) => {
                let above = survey.resolved.datasets.values().find(|one| one.together.contains(name));
                match above {
                    Some(above) => {
                        format!("{name} {does_not} of its own; those of {} hold it", above.dataset)
                    }
                    None => format!("{name} {does_not} by its policy"),
                }
            }
            Some(_) => continue,
        };
        return Err(Failure::new(code, message).hinted(hint));
    }
    Ok(())
}

/// Tells what could not be looked at, as far as it matters, and what is named and does not exist; gives it for JSON.
pub(super) fn tell(survey: &Survey, wanted: &BTreeSet<DatasetName>) -> Vec<serde_json::Value> {
    let matters =
        |trouble: &&Trouble| wanted.is_empty() || wanted.iter().any(|name| name.is_within(&trouble.subject));
    for effective in survey.missing().filter(|_| wanted.is_empty()) {
        super::say(&format!("warning: {} is in the configuration and does not exist", effective.dataset));
    }
    let troubles = survey.troubles.iter().filter(matters).map(|trouble| {
        let failure =
            Failure::new(trouble.error.code(), trouble.error.to_string()).hinted(trouble.error.hint());
        super::complain(&failure);
        json!({ "subject": trouble.subject.as_str(), "message": failure.message(), "hint": failure.hint() })
    });
    troubles.collect()
}

/// Tells which datasets no policy is applied to, although the configuration would, as they were set aside.
pub(super) fn tell_asides(survey: &Survey) {
    for aside in &survey.resolved.asides {
        super::say(&format!(
            "{aside} was set aside and is left alone: no snapshots of it are taken, and none goes. An entry with this name in the configuration changes that"
        ));
    }
}

/// A dry run for people.
pub(super) fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    for unit in &plan.units {
        text.push_str(&format!("{}\n", unit.dataset));
        for due in &unit.periods {
            text.push_str(&format!("  {due}\n"));
        }
        if let Some(skipped) = unit.skipped {
            text.push_str(&format!("  passed over: {skipped}\n"));
        }
        let with = match unit.together.len() {
            0 => String::new(),
            1 => " and of 1 dataset below it".to_string(),
            many => format!(" and of {many} datasets below it"),
        };
        for name in &unit.names {
            text.push_str(&format!("  would take @{}{with}\n", name.short));
        }
    }
    let (count, calls) = (plan.count(), plan.calls.len());
    let s = |count| if count == 1 { "" } else { "s" };
    text.push_str(&match count {
        0 => "nothing is due\n".to_string(),
        _ => format!("{count} snapshot{} in {calls} call{}\n", s(count), s(calls)),
    });
    text
}
