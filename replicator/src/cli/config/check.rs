//! `replicator config check`.

use serde_json::json;

use super::Failure;
use super::From;
use super::Outcome;
use crate::config::load;
use crate::config::problem::Problem;
use crate::config::problem::Severity;

/// Tell everything that is wrong with the configuration, with file, line and what to write instead.
///
/// The exit status is 0 when it can be used, also with warnings, and 8 when it is broken: then nothing else runs on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator config check\n  replicator config check --config new.toml")]
pub(super) struct Arguments {
    #[command(flatten)]
    from: From,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let location = arguments.from.location();
    let (config, problems) = load::read(&location);
    let good = config.is_some() && problems.errors() == 0;
    if arguments.json {
        let list: Vec<_> = problems.iter().map(to_json).collect();
        let value = json!({ "usable": good, "problems": list, "more_problems": problems.dropped() });
        crate::cli::print(&format!("{value:#}\n"))?;
        return Ok(if good { Outcome::Success } else { Outcome::Configuration });
    }
    if let Some(failure) = super::missing(&location, &problems) {
        return Err(failure);
    }
    super::tell(&problems);
    let Some(config) = config.filter(|_| good) else {
        return Err(super::broken(&problems));
    };
    let files: Vec<_> = config.files.iter().map(|file| file.display().to_string()).collect();
    let (entries, jobs) = (config.policies.entries.len(), config.jobs.len());
    let s = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    crate::cli::print(&format!(
        "good: {} with {} for datasets and {}\n",
        files.join(", "),
        s(entries, "entry", "entries"),
        s(jobs, "replication job", "replication jobs"),
    ))?;
    Ok(Outcome::Success)
}

fn to_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "file": problem.place.as_ref().map(|place| place.file.display().to_string()),
        "line": problem.place.as_ref().map(|place| place.line),
        "column": problem.place.as_ref().map(|place| place.column),
        "message": problem.message,
        "fix": problem.fix,
    })
}
