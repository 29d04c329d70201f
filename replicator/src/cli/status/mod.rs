//! `replicator status`: this machine on one screen. What is asked is here, what is shown in [`screen`], how it looks
//! in [`text`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::monitor::Gatherer;
use crate::config::Config;
use crate::config::load::Location;
use crate::lock;
use crate::monitor::ask;
use crate::monitor::history;
use crate::monitor::transfers;
use screen::Facts;

mod live;
pub(in crate::cli) mod screen;
#[cfg(test)]
pub(in crate::cli) mod tests;
mod text;

/// Show how it is on one screen: datasets and their targets, what is being sent, the last runs, and what to do.
///
/// For each dataset: its snapshots and the newest of them, here and at each target, with its age and how old it may be. What
/// is not well comes first. Nothing is changed, and a pool that hangs keeps nothing else from being shown.
///
/// What is being sent is known of `replicator run`. When the next runs start is asked of systemd.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// As JSON.
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    /// Keep it on the terminal, anew every few seconds, with all datasets: arrows scroll, q ends it.
    #[arg(long)]
    watch: bool,

    /// How many seconds lie between two looks with --watch.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,

    /// How many seconds pools and targets have to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator status
  replicator status --watch
  replicator status --json --timeout 60

The exit status is 0 whatever is shown; `replicator monitor` has one for monitors.";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let timeout = Duration::from_secs(arguments.timeout);
    if arguments.watch {
        let location = arguments.from.location();
        let look = move || Ok(screen::screen(&facts(&config, &location, timeout)?));
        return live::watch(look, Duration::from_secs(arguments.every));
    }
    let facts = facts(&config, &arguments.from.location(), timeout)?;
    let screen = screen::screen(&facts);
    if arguments.json {
        super::print_json(&screen)?;
    } else {
        super::print(&text::text(&screen, &TimeZone::system()))?;
    }
    Ok(Outcome::Success)
}

/// Asks everybody.
pub(in crate::cli) fn facts(
    config: &Config,
    location: &Location,
    timeout: Duration,
) -> Result<Facts, Failure> {
    let gatherer = Gatherer::new(config, location, timeout)?;
    let (pools, ways) = gatherer.everything().map_err(|why| Failure::new(Outcome::NoZfs, why))?;
    let mut unknown = Vec::new();
    let history = history::read(&config.folders.state, RECORDS).unwrap_or_else(|error| {
        unknown.push(format!("The records of runs cannot be read: {error}. Run this as root."));
        history::History::default()
    });
    let sending = lock::folder().map_err(|error| error.to_string());
    let running = sending.and_then(|folder| transfers::running(&folder).map_err(|error| error.to_string()));
    let running = running.unwrap_or_else(|why| {
        unknown.push(format!("What is being sent cannot be found out: {why}."));
        Vec::new()
    });
    Ok(Facts {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        now: gatherer.now(),
        datasets: pools.iter().flat_map(|one| one.datasets.iter().cloned()).collect(),
        unread: pools.iter().flat_map(|one| one.unread.iter().cloned()).collect(),
        pools: pools.into_iter().map(|one| (one.name, one.pool)).collect(),
        ways,
        history,
        running,
        next: next_runs(),
        pairs: config.pairs.iter().map(|pair| pair.name.clone()).collect(),
        unknown,
    })
}

/// How many records are read: two timers that never do the same leave all parts in a few.
const RECORDS: usize = 64;

/// The timers of this program, and the parts of a run that each starts.
const TIMERS: [(&str, &[&str]); 2] =
    [("replicator.timer", &["snapshot", "prune", "check"]), ("replicator-replicate.timer", &["replicate"])];

/// When each part of a run starts next, by systemd. Where that is not known, nothing is said.
fn next_runs() -> BTreeMap<&'static str, i64> {
    let question = |timer: &str| -> Vec<OsString> {
        ["show", "--property=NextElapseUSecRealtime", "--value", timer].map(OsString::from).to_vec()
    };
    let questions: Vec<_> = TIMERS.iter().map(|(timer, _)| question(timer)).collect();
    let answers = ask::ask(Path::new("systemctl"), &questions, Duration::from_secs(3));
    let mut next = BTreeMap::new();
    for ((_, parts), answer) in TIMERS.iter().zip(answers) {
        let found = answer.lines.first().and_then(|line| elapses(line, &TimeZone::system()));
        next.extend(found.into_iter().flat_map(|at| parts.iter().map(move |part| (*part, at))));
    }
    next
}

/// Reads `Sat 2026-11-28 14:15:00 CET`, as systemd prints it in the time zone of the machine. A timer that is off has nothing
/// or `n/a` there.
fn elapses(line: &str, zone: &TimeZone) -> Option<i64> {
    let mut words = line.split_whitespace().skip(1);
    let (date, time) = (words.next()?, words.next()?);
    let at: DateTime = format!("{date}T{time}").parse().ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}
