//! `replicator config show`.

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::From;
use super::Outcome;
use crate::cli::format;
use crate::codes::Code;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::key::Key;
use crate::config::pair::Pair;
use crate::config::receive::Receive;
use crate::config::resolve::Effective;
use crate::policy::Keep;
use crate::policy::Period;
use crate::survey;

/// Show the policy that each dataset ends up with, and where each value came from.
///
/// Without a name: a line for each dataset that has a policy, the replication jobs, the pairs and what others send into. With
/// names: every setting of these datasets with the file and line that says so.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Datasets to show in full.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    #[command(flatten)]
    from: From,

    /// As JSON, always in full.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator config show
  replicator config show tank/data
  replicator config show --json --config new.toml";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut wanted = Vec::new();
    for name in &arguments.datasets {
        let name = DatasetName::try_from(name.as_str());
        wanted.push(name.map_err(|error| Failure::new(Code::Endpoint, error.to_string()))?);
    }
    let (config, _) = arguments.from.usable()?;
    let (known, troubles) = survey::datasets(&Zfs::open()?, &config)?;
    for trouble in troubles {
        crate::cli::complain(&trouble.error.into());
    }
    let resolved = config.policies.resolve(&known);
    super::tell(&resolved.problems);
    for name in &wanted {
        if !resolved.datasets.contains_key(name) {
            let exists = known.iter().any(|dataset| dataset.name == *name);
            let message = if exists { "has no policy" } else { "does not exist, and has no policy" };
            let hint = "see `replicator config show` for those that have one".to_string();
            return Err(Failure::new(Code::NotConfigured, format!("{name} {message}")).hinted(hint));
        }
    }
    let shown: Vec<_> = resolved
        .datasets
        .values()
        .filter(|effective| wanted.is_empty() || wanted.contains(&effective.dataset))
        .collect();
    let text = if arguments.json {
        let list: Vec<_> = shown.iter().map(|effective| effective.to_json()).collect();
        let jobs: Vec<_> = config.jobs.iter().map(Job::to_json).collect();
        let pairs: Vec<_> = config.pairs.iter().map(Pair::to_json).collect();
        let receives: Vec<_> = config.receives.iter().map(Receive::to_json).collect();
        let files: Vec<_> = config.files.iter().map(|file| file.display().to_string()).collect();
        let all = json!({
            "files": files,
            "datasets": list,
            "replication": jobs,
            "pairs": pairs,
            "receive": receives,
        });
        format!("{all:#}\n")
    } else if wanted.is_empty() {
        summary(&config, &shown)
    } else {
        shown.iter().map(|effective| in_full(effective)).collect::<Vec<_>>().join("\n")
    };
    crate::cli::print(&text)?;
    Ok(Outcome::Success)
}

fn summary(config: &Config, shown: &[&Effective]) -> String {
    let mut text = String::new();
    if shown.is_empty() {
        text.push_str("no dataset has a policy\n");
    } else {
        let rows = shown.iter().map(|effective| row(effective, shown));
        text.push_str(&format::table(
            &["DATASET", "TAKES", "KEEPS", "PRUNES", "WATCHED", "LAST SAID AT"],
            rows,
        ));
    }
    if !config.jobs.is_empty() {
        let rows = config.jobs.iter().flat_map(|job| {
            job.targets.iter().map(|target| {
                let to = if target.optional {
                    format!("{} (optional)", target.endpoint)
                } else {
                    target.endpoint.to_string()
                };
                vec![
                    job.name.clone(),
                    job.source.to_string(),
                    to,
                    target.pruner.word().to_string(),
                    target.place.to_string(),
                ]
            })
        });
        text.push('\n');
        text.push_str(&format::table(&["JOB", "SOURCE", "TARGET", "PRUNED BY", "SAID AT"], rows));
    }
    if !config.pairs.is_empty() {
        let rows = config.pairs.iter().flat_map(|pair| {
            pair.roots.iter().map(|root| {
                let peer = format!("{} ({})", pair.peer.node, pair.peer.machine);
                vec![pair.name.clone(), root.to_string(), peer, pair.decider.text(), pair.place.to_string()]
            })
        });
        text.push('\n');
        text.push_str(&format::table(&["PAIR", "ROOT", "OTHER NODE", "DECIDES", "SAID AT"], rows));
    }
    if !config.receives.is_empty() {
        let rows = config.receives.iter().flat_map(|receive| {
            let lies = receive.partial_for.map_or_else(|| "for ever".to_string(), format::length);
            let row =
                move |root: &DatasetName| vec![root.to_string(), lies.clone(), receive.place.to_string()];
            receive.roots.iter().map(row)
        });
        text.push('\n');
        text.push_str(&format::table(&["RECEIVED INTO", "PARTIAL RECEIVES LIE", "SAID AT"], rows));
    }
    text
}

fn row(effective: &Effective, all: &[&Effective]) -> Vec<String> {
    let policy = &effective.policy;
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_string();
    let name = &effective.dataset;
    let name = if effective.exists { name.to_string() } else { format!("{name} (does not exist)") };
    let place = effective.said_by.last().map(ToString::to_string).unwrap_or_default();
    vec![
        name,
        takes(effective, all),
        keeps(effective),
        yes_no(policy.prune),
        yes_no(policy.monitor.on),
        place,
    ]
}

/// Which periods are taken, or with which dataset.
fn takes(effective: &Effective, all: &[&Effective]) -> String {
    if !effective.policy.snapshot {
        let above = all.iter().find(|other| other.together.contains(&effective.dataset));
        return above.map_or_else(|| "no".to_string(), |above| format!("with {}", above.dataset));
    }
    let taken = Period::ALL.into_iter().rev().filter(|period| effective.policy.schedule.takes(*period));
    let words: Vec<_> = taken.map(Period::word).collect();
    if words.is_empty() { "nothing".to_string() } else { words.join(" ") }
}

/// `48 hourly, 30 daily`.
fn keeps(effective: &Effective) -> String {
    let retention = &effective.policy.retention;
    let mut parts = Vec::new();
    for period in Period::ALL.into_iter().rev() {
        match retention.periods[period] {
            None | Some(Keep::NONE) => {}
            Some(Keep { count: 0, age }) => parts.push(format!("{period} for {}", days(age))),
            Some(Keep { count, .. }) => parts.push(format!("{count} {period}")),
        }
    }
    parts.extend(retention.grid.as_ref().map(|grid| format!("grid {grid}")));
    if parts.is_empty() { "-".to_string() } else { parts.join(", ") }
}

fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => format!("{} h", seconds / 3600),
        days => format!("{days} d"),
    }
}

/// Every setting of a dataset, and what says so.
pub(in crate::cli) fn in_full(effective: &Effective) -> String {
    let mut text =
        format!("{}{}\n", effective.dataset, if effective.exists { "" } else { " (does not exist)" });
    let together: Vec<_> = effective.together.iter().map(DatasetName::as_str).collect();
    if !together.is_empty() {
        text.push_str(&format!("its snapshots are taken in one with those of: {}\n", together.join(", ")));
    }
    let rows = Key::all().filter_map(|key| {
        let given = effective.settings.get(key)?;
        Some(vec![key.to_string(), given.value.to_string(), given.origin.to_string()])
    });
    text.push_str(&format::table(&["SETTING", "VALUE", "FROM"], rows));
    text
}
