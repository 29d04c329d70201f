//! `replicator monitor`: checks for Nagios and its like, and numbers for Prometheus.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::Outcome;
use super::config;
use super::config::From;
use crate::codes::Code;
use crate::monitor::Level;
use crate::monitor::Report;

mod gather;
mod metrics;
mod notify;
mod probe;

pub(super) use gather::Check;
pub(super) use gather::Copies;
pub(super) use gather::Gatherer;
pub(super) use metrics::refresh;

/// Check snapshots, pools and replications, in the way that Nagios, Icinga and their like expect.
///
/// Each check prints one line and answers within its timeout, also when a pool hangs: what did not answer is UNKNOWN or
/// CRITICAL then, with the reason. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Snapshots(Snapshots),
    Health(Health),
    Capacity(Capacity),
    Replication(Replication),
    Verified(Verified),
    Metrics(metrics::Arguments),
    Notify(notify::Arguments),
    Probe(probe::Arguments),
}

const HELP: &str = "\
Exit status of the checks, which is not that of the other commands:
  0  OK
  1  WARNING
  2  CRITICAL (also when the command line is wrong)
  3  UNKNOWN: it could not be found out, or the configuration is broken
`monitor metrics` and `monitor notify` end with the usual statuses.

Examples:
  replicator monitor snapshots
  replicator monitor health --timeout 5
  replicator monitor replication --json
  replicator monitor verified
  replicator monitor metrics --output /var/lib/prometheus/node-exporter/replicator.prom";

/// Whether each dataset has fresh snapshots of each period that is kept or taken.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator monitor snapshots\n  replicator monitor snapshots --json --timeout 30"
)]
struct Snapshots {
    #[command(flatten)]
    how: How,
}

/// How the pools are that the configuration is about: state, errors, devices.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator monitor health\n  replicator monitor health --timeout 5")]
struct Health {
    #[command(flatten)]
    how: How,
}

/// How full these pools are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator monitor capacity\n  replicator monitor capacity --json")]
struct Capacity {
    #[command(flatten)]
    how: How,
}

/// How far each target of a replication is behind: the age of the newest snapshot that both sides have.
///
/// A target that cannot be reached is judged by what it had when it was seen last, and by the bookmarks that are kept for
/// it on the source. Of a pair it tells which datasets are not pruned because data may be lost, as the runs of this node say.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator monitor replication\n  replicator monitor replication --json --timeout 60"
)]
struct Replication {
    #[command(flatten)]
    how: How,
}

/// Whether the copies were found good by `replicator verify`, and when.
///
/// What differs is critical. What cannot be read, or was not read in time, is a warning: each dataset of a target has to be
/// read within so many days, and where one run does not read all of them, a day more for each run that this takes. A target
/// that is optional may be away, and one with `verify = false` is not judged.
///
/// It reads what `replicator verify` has left in the state folder, which root may.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator monitor verified\n  replicator monitor verified --longest 14"
)]
struct Verified {
    #[command(flatten)]
    how: How,

    /// After how many days without a look at a dataset there is a warning.
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    longest: u32,
}

/// How many days a dataset may not be looked at where nothing else is said.
const DAYS: u32 = 8;

#[derive(Debug, clap::Args)]
struct How {
    #[command(flatten)]
    from: From,

    /// As JSON.
    #[arg(long)]
    json: bool,

    /// How many seconds the answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Runs the command. A check has statuses of its own, also where it fails.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (check, how) = match &arguments.command {
        Command::Snapshots(arguments) => (Check::Snapshots, &arguments.how),
        Command::Health(arguments) => (Check::Health, &arguments.how),
        Command::Capacity(arguments) => (Check::Capacity, &arguments.how),
        Command::Replication(arguments) => (Check::Replication, &arguments.how),
        Command::Verified(arguments) => (Check::Verified(arguments.longest), &arguments.how),
        Command::Metrics(arguments) => return super::ended(metrics::run(arguments)),
        Command::Notify(arguments) => return super::ended(notify::run(arguments)),
        Command::Probe(arguments) => return super::ended(probe::run(arguments)),
    };
    let location = how.from.location();
    let report = config::usable_or_first(&location).and_then(|(config, _)| {
        let gatherer = Gatherer::new(&config, &location, Duration::from_secs(how.timeout))?;
        Ok(gatherer.report(check))
    });
    let report = report.unwrap_or_else(|failure| unknown(&failure));
    match print(&report, how.json) {
        Ok(()) => ExitCode::from(report.level.status()),
        Err(failure) => {
            super::complain(&failure);
            ExitCode::from(Level::Unknown.status())
        }
    }
}

/// What a monitor is told when a check could not even begin.
pub(super) fn unknown(failure: &Failure) -> Report {
    let hint = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    Report::unknown(&format!("{}{hint}", failure.message()))
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        super::print(&format!("{:#}\n", report.json))
    } else {
        super::print(&format!("{}\n", report.text))
    }
}

/// This program, for questions that may hang.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(Code::Local, format!("cannot find out where this program is: {error}")))
}
