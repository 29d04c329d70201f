//! What the screen of `replicator status` is made of, in two parts: what pools, targets and systemd are asked for, by
//! processes of their own, and what runs have written on this machine, which is only read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::screen::Facts;
use crate::cli::Failure;
use crate::cli::monitor::Copies;
use crate::cli::monitor::Gatherer;
use crate::config::Config;
use crate::config::load::Location;
use crate::lock;
use crate::monitor::Unread;
use crate::monitor::ask;
use crate::monitor::health::Pool;
use crate::monitor::history;
use crate::monitor::history::History;
use crate::monitor::lag::Way;
use crate::monitor::snapshots::Watched;
use crate::monitor::transfers;
use crate::monitor::transfers::Running;
use crate::receiver::partials::Lying;
use crate::receiver::partials::Memory;

/// How many records are read: two timers that never do the same leave all parts in a few.
const RECORDS: usize = 64;

/// What was answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) datasets: Vec<Watched>,
    pub(super) pools: Vec<(String, Pool)>,
    pub(super) unread: Vec<Unread>,
    pub(super) ways: Vec<Way>,
    pub(super) copies: Copies,
    pub(super) next: BTreeMap<&'static str, i64>,
    pub(super) pairs: Vec<String>,
}

/// What runs have written.
#[derive(Debug)]
pub(super) struct Recorded {
    /// When it was read, in seconds since 1970.
    pub(super) now: i64,
    pub(super) history: History,
    pub(super) running: Vec<Running>,
    /// Receives into this machine that broke off.
    pub(super) lying: Vec<Lying>,
    /// What could not be read.
    pub(super) unknown: Vec<String>,
}

/// Asks everybody, and reads what runs have written.
pub(in crate::cli) fn facts(
    config: &Config,
    location: &Location,
    timeout: Duration,
) -> Result<Facts, Failure> {
    let mut facts = Facts { host: host(), ..Facts::default() };
    facts.hear(asked(config, location, timeout)?);
    facts.read(recorded(&config.folders.state));
    Ok(facts)
}

/// The name of this machine.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Asks pools, targets and systemd.
pub(super) fn asked(config: &Config, location: &Location, timeout: Duration) -> Result<Asked, Failure> {
    let gatherer = Gatherer::new(config, location, timeout)?;
    let (pools, ways) = gatherer.everything()?;
    Ok(Asked {
        datasets: pools.iter().flat_map(|one| one.datasets.iter().cloned()).collect(),
        unread: pools.iter().flat_map(|one| one.unread.iter().cloned()).collect(),
        pools: pools.into_iter().map(|one| (one.name, one.pool)).collect(),
        ways,
        copies: gatherer.copies(),
        next: next_runs(),
        pairs: config.pairs.iter().map(|pair| pair.name.clone()).collect(),
    })
}

/// Reads the records in the folder of the state, and what is being sent.
pub(super) fn recorded(state: &Path) -> Recorded {
    let mut unknown = Vec::new();
    let history = history::read(state, RECORDS).unwrap_or_else(|error| {
        unknown.push(format!("The records of runs cannot be read: {error}. Run this as root."));
        History::default()
    });
    let sending = lock::folder().map_err(|error| error.to_string());
    let running = sending.and_then(|folder| transfers::running(&folder).map_err(|error| error.to_string()));
    let running = running.unwrap_or_else(|why| {
        unknown.push(format!("What is being sent cannot be found out: {why}."));
        Vec::new()
    });
    // What cannot be read is told by whoever prunes.
    let lying = Memory::read(state).unwrap_or_default().partials;
    Recorded { now: jiff::Timestamp::now().as_second(), history, running, lying, unknown }
}

/// The timers of this program, and the parts of a run that each starts.
pub(super) const TIMERS: [(&str, &[&str]); 3] = [
    ("replicator.timer", &["snapshot", "prune", "check"]),
    ("replicator-replicate.timer", &["replicate"]),
    ("replicator-verify.timer", &["verify"]),
];

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
pub(super) fn elapses(line: &str, zone: &TimeZone) -> Option<i64> {
    let mut words = line.split_whitespace().skip(1);
    let (date, time) = (words.next()?, words.next()?);
    let at: DateTime = format!("{date}T{time}").parse().ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}
