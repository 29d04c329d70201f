//! The screen of `replicator status`. Pure: what was found out goes in, rows and findings come out. Their text is in
//! [`super::text`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use super::gather::Asked;
use super::gather::Recorded;
use crate::cli::finding;
use crate::cli::finding::Finding;
use crate::cli::finding::Level;
use crate::cli::finding::names;
use crate::cli::finding::word;
use crate::cli::format;
use crate::cli::monitor::Copies;
use crate::config::dataset::Freshness;
use crate::monitor::Level as Nagios;
use crate::monitor::Unread;
use crate::monitor::capacity;
use crate::monitor::health::Pool;
use crate::monitor::history::History;
use crate::monitor::history::Part;
use crate::monitor::history::Past;
use crate::monitor::history::Trouble;
use crate::monitor::lag::Look;
use crate::monitor::lag::Replicated;
use crate::monitor::lag::Way;
use crate::monitor::snapshots::Watched;
use crate::monitor::transfers::Running;
use crate::receiver::partials::Lying;
use crate::verify::memory::Ran;

/// The parts of a run, in their order.
const PARTS: [&str; 5] = ["snapshot", "replicate", "prune", "check", VERIFY];

/// The part that reads copies.
const VERIFY: &str = "verify";

/// Everything that the screen is made of.
#[derive(Default)]
pub(in crate::cli) struct Facts {
    pub(in crate::cli) host: String,
    /// In seconds since 1970.
    pub(in crate::cli) now: i64,
    pub(in crate::cli) datasets: Vec<Watched>,
    pub(in crate::cli) pools: Vec<(String, Pool)>,
    /// Pools that did not say all.
    pub(in crate::cli) unread: Vec<Unread>,
    pub(in crate::cli) ways: Vec<Way>,
    /// What is wrong with copies, and when some were read.
    pub(in crate::cli) copies: Copies,
    pub(in crate::cli) history: History,
    pub(in crate::cli) running: Vec<Running>,
    /// Receives into this machine that broke off.
    pub(in crate::cli) lying: Vec<Lying>,
    /// When a timer starts which parts next; none of those that are not known.
    pub(in crate::cli) next: BTreeMap<&'static str, i64>,
    /// The pairs of the configuration.
    pub(in crate::cli) pairs: Vec<String>,
    /// What else could not be found out.
    pub(in crate::cli) unknown: Vec<String>,
}

impl Facts {
    /// Takes up what pools, targets and systemd have answered.
    pub(super) fn hear(&mut self, asked: Asked) {
        let Asked { datasets, pools, unread, ways, copies, next, pairs } = asked;
        (self.datasets, self.pools, self.unread) = (datasets, pools, unread);
        (self.ways, self.copies, self.next, self.pairs) = (ways, copies, next, pairs);
    }

    /// Takes up what runs have written.
    pub(super) fn read(&mut self, recorded: Recorded) {
        let Recorded { now, history, running, lying, unknown } = recorded;
        (self.now, self.history) = (now, history);
        (self.running, self.lying, self.unknown) = (running, lying, unknown);
    }
}

/// All that is shown.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Screen {
    pub(in crate::cli) host: String,
    pub(in crate::cli) now: i64,
    pub(in crate::cli) level: Level,
    pub(in crate::cli) datasets: Vec<Row>,
    pub(in crate::cli) running: Vec<Running>,
    pub(in crate::cli) runs: Vec<RunRow>,
    pub(in crate::cli) findings: Vec<Finding>,
}

/// A dataset, here or at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Row {
    pub(in crate::cli) dataset: String,
    /// `JOB to TARGET`; none for the dataset itself.
    pub(in crate::cli) target: Option<String>,
    pub(in crate::cli) snapshots: Option<u64>,
    /// When the newest snapshot was taken: here, or of those that are at the target as well.
    pub(in crate::cli) newest: Option<i64>,
    pub(in crate::cli) age_seconds: Option<u64>,
    pub(in crate::cli) goal_seconds: Option<u64>,
    pub(in crate::cli) state: State,
}

/// How it is with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum State {
    Ok,
    /// It is known from what was kept here.
    Away,
    Unknown,
    Late,
    Conflict,
    Missing,
    /// The copy was read, and is not what the source is.
    Differs,
}

impl State {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::Away => "away",
            Self::Unknown => "NOT KNOWN",
            Self::Late => "LATE",
            Self::Conflict => "CONFLICT",
            Self::Missing => "MISSING",
            Self::Differs => "DIFFERS",
        }
    }
}

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct RunRow {
    pub(in crate::cli) part: &'static str,
    pub(in crate::cli) ended: Option<i64>,
    pub(in crate::cli) seconds: Option<u64>,
    pub(in crate::cli) summary: String,
    pub(in crate::cli) failed: bool,
    pub(in crate::cli) next: Option<i64>,
}

/// Draws it.
pub(in crate::cli) fn screen(facts: &Facts) -> Screen {
    let datasets = rows(facts);
    let mut findings = Vec::new();
    late(facts, &datasets, &mut findings);
    targets(facts, &mut findings);
    copies(facts, &mut findings);
    pools(facts, &mut findings);
    runs(facts, &mut findings);
    received(facts, &mut findings);
    findings.extend(facts.unknown.iter().map(|line| Finding::new(Level::Look, line, [])));
    findings.sort_by_key(|one| std::cmp::Reverse(one.level));
    Screen {
        host: facts.host.clone(),
        now: facts.now,
        level: finding::worst(&findings),
        datasets,
        running: facts.running.clone(),
        runs: PARTS.into_iter().map(|part| run_row(facts, part)).collect(),
        findings,
    }
}

/// How many seconds ago something was; none of what is to come.
pub(super) fn age(now: i64, then: i64) -> u64 {
    u64::try_from(now.saturating_sub(then)).unwrap_or(0)
}

/// Each dataset followed by its targets; those with which something is wrong come first.
fn rows(facts: &Facts) -> Vec<Row> {
    let mut groups: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for one in &facts.datasets {
        groups.insert(&one.dataset, vec![own(one, facts.now)]);
    }
    let bad = facts.copies.found.iter().filter(|found| found.level == Nagios::Critical);
    let bad: BTreeSet<(&str, Option<&str>)> =
        bad.map(|found| (found.title.as_str(), found.dataset.as_deref())).collect();
    for way in &facts.ways {
        let (datasets, seen) = match &way.look {
            Look::Both(datasets) => (datasets.as_slice(), true),
            Look::Bookmarks { datasets, .. } => (datasets.as_slice(), false),
            Look::Nothing { .. } => (&[][..], false),
        };
        let title = format!("{} to {}", way.job, way.target);
        for one in datasets {
            let mut row = at_target(way, one, seen, facts.now);
            if bad.contains(&(title.as_str(), Some(one.source.as_str()))) {
                row.state = State::Differs;
            }
            groups.entry(&one.source).or_default().push(row);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    let worst = |rows: &[Row]| rows.iter().map(|row| row.state).max();
    groups.sort_by_key(|rows| std::cmp::Reverse(worst(rows)));
    groups.into_iter().flatten().collect()
}

fn own(one: &Watched, now: i64) -> Row {
    let newest = one.seen.iter().filter_map(|(_, seen)| seen.newest).max();
    let limits =
        |period| one.monitor.periods[period].and_then(|limits: Freshness| limits.warn.or(limits.critical));
    let late = one.monitor.on
        && one.seen.iter().any(|(period, seen)| {
            limits(period).is_some_and(|limit| seen.newest.is_none_or(|newest| age(now, newest) > limit))
        });
    let state = match (one.exists, late) {
        (false, _) => State::Missing,
        (true, true) => State::Late,
        (true, false) => State::Ok,
    };
    Row {
        dataset: one.dataset.clone(),
        target: None,
        snapshots: Some(one.seen.iter().map(|(_, seen)| seen.count).sum()),
        newest,
        age_seconds: newest.map(|newest| age(now, newest)),
        goal_seconds: one.seen.iter().filter_map(|(period, _)| limits(period)).min(),
        state,
    }
}

fn at_target(way: &Way, one: &Replicated, seen: bool, now: i64) -> Row {
    let goal = way.limits.warn.or(way.limits.critical);
    let behind = one.common.map(|common| age(now, common));
    let state = match (&one.conflict, goal) {
        (Some(_), _) => State::Conflict,
        (None, Some(goal)) if behind.is_some_and(|age| age > goal) => State::Late,
        (None, Some(_)) if behind.is_none() && seen => State::Late,
        (None, _) if !seen && behind.is_none() => State::Unknown,
        (None, _) if !seen => State::Away,
        (None, _) => State::Ok,
    };
    Row {
        dataset: one.source.clone(),
        target: Some(format!("{} to {}", way.job, way.target)),
        snapshots: None,
        newest: one.common,
        age_seconds: behind,
        goal_seconds: goal,
        state,
    }
}

fn here(facts: &Facts, command: &str) -> [(String, String); 1] {
    [(facts.host.clone(), command.to_string())]
}

fn late(facts: &Facts, rows: &[Row], findings: &mut Vec<Finding>) {
    let of = |state: State, target: bool| -> Vec<&str> {
        let found = rows.iter().filter(|row| row.state == state && row.target.is_some() == target);
        found.map(|row| row.dataset.as_str()).collect()
    };
    let missing = of(State::Missing, false);
    if !missing.is_empty() {
        let text = format!(
            "{} in the configuration and {} not exist.",
            finding::is(&names(missing.iter()), missing.len()),
            if missing.len() == 1 { "does" } else { "do" }
        );
        findings.push(Finding::new(Level::Risk, text, here(facts, "replicator config show")));
    }
    let late = of(State::Late, false);
    if !late.is_empty() {
        let text = format!("{} no fresh snapshots.", finding::has(&names(late.iter()), late.len()));
        findings.push(Finding::new(Level::Risk, text, here(facts, "replicator snapshot")));
    }
    let mut by_target: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state == State::Late) {
        if let Some(target) = &row.target {
            by_target.entry(target).or_default().push(row);
        }
    }
    for (target, rows) in by_target {
        let oldest =
            rows.iter().map(|row| row.age_seconds).max_by_key(|age| age.unwrap_or(u64::MAX)).flatten();
        let how = match oldest {
            Some(age) if rows.iter().all(|row| row.age_seconds.is_some()) => {
                format!("too far behind: up to {}", format::length(age))
            }
            _ => "too far behind, or was never sent".to_string(),
        };
        let subject = finding::is(&names(rows.iter().map(|row| &row.dataset)), rows.len());
        let text = format!("{target}: {subject} {how}.");
        findings.push(Finding::new(Level::Risk, text, here(facts, "replicator run --only replicate")));
    }
}

fn targets(facts: &Facts, findings: &mut Vec<Finding>) {
    for way in &facts.ways {
        let title = format!("{} to {}", way.job, way.target);
        let (datasets, away) = match &way.look {
            Look::Both(datasets) => (datasets.as_slice(), None),
            Look::Bookmarks { why, datasets } => (datasets.as_slice(), Some(why)),
            Look::Nothing { why } => (&[][..], Some(why)),
        };
        let conflicts: Vec<_> = datasets.iter().filter(|one| one.conflict.is_some()).collect();
        if let Some(why) = conflicts.first().and_then(|one| one.conflict.as_ref()) {
            let subject = finding::is(&names(conflicts.iter().map(|one| &one.source)), conflicts.len());
            let text = format!("{title}: {subject} not sent: {why}.");
            findings.push(Finding::new(Level::Risk, text, here(facts, "replicator check")));
        }
        if let Some(why) = away {
            let watched = way.limits.warn.is_some() || way.limits.critical.is_some();
            let level = match (&way.look, way.optional) {
                (_, true) => Level::Note,
                (Look::Nothing { .. }, false) if watched => Level::Risk,
                _ => Level::Look,
            };
            let text = format!("{title}: the target could not be looked at: {why}.");
            let check = if way.optional { None } else { Some(here(facts, "replicator check")) };
            findings.push(Finding::new(level, text, check.into_iter().flatten()));
        }
    }
}

/// What is wrong with copies that were read, or were not.
fn copies(facts: &Facts, findings: &mut Vec<Finding>) {
    for one in &facts.copies.found {
        let (level, text) = match (&one.dataset, one.level) {
            (Some(dataset), Nagios::Critical) => {
                let text = format!("{}: the copy of {dataset} is not what its source is", one.title);
                (Level::Risk, format!("{text}: {}. Either of the two may be the bad one.", one.text))
            }
            (_, Nagios::Critical) => (Level::Risk, format!("{}.", one.message())),
            _ => (Level::Look, format!("{}.", one.message())),
        };
        let command = match (&one.differ, &one.way_out) {
            (Some((source, copy)), _) => {
                Some(format!("replicator compare --content {} {}", word(source), word(copy)))
            }
            // What is to be done is in the text, and may be for another machine.
            (None, Some(_)) => None,
            (None, None) => Some("replicator verify".to_string()),
        };
        let command = command.map(|command| here(facts, &command));
        findings.push(Finding::new(level, text, command.into_iter().flatten()));
    }
    if let Some(why) = &facts.copies.unknown {
        let text = format!("What `replicator verify` has found cannot be read: {why}.");
        findings.push(Finding::new(Level::Look, text, []));
    }
}

fn pools(facts: &Facts, findings: &mut Vec<Finding>) {
    let limits = capacity::limits(facts.datasets.iter().map(|one| (one.dataset.as_str(), &one.monitor)));
    for (name, pool) in &facts.pools {
        let shown = word(name);
        let status = here(facts, &format!("zpool status {shown}"));
        let status = match pool {
            Pool::Missing => {
                let text = format!("The pool {name} is not imported.");
                findings.push(Finding::new(Level::Risk, text, here(facts, &format!("zpool import {shown}"))));
                continue;
            }
            Pool::State { state, why } => {
                let known = state.as_ref().map_or_else(String::new, |state| format!(" (it is {state})"));
                let text = format!("How the pool {name} is could not be found out: {why}{known}.");
                findings.push(Finding::new(Level::Risk, text, status));
                continue;
            }
            Pool::Known(known) => {
                if known.health != "ONLINE" {
                    let text = format!("The pool {name} is {}.", known.health);
                    findings.push(Finding::new(Level::Risk, text, status.clone()));
                }
                let wrong = |device: &&crate::monitor::health::Device| {
                    device.read.saturating_add(device.write).saturating_add(device.checksum) > 0
                };
                let devices: Vec<_> = known.devices.iter().filter(wrong).collect();
                if !devices.is_empty() {
                    let devices = finding::has(&names(devices.iter().map(|one| &one.name)), devices.len());
                    let text = format!("{devices} had errors in the pool {name}.");
                    findings.push(Finding::new(Level::Look, text, status));
                }
                known
            }
        };
        let Some(limits) = limits.get(name) else { continue };
        let reached = |limit: u8| limit > 0 && status.capacity >= limit;
        let level = match (reached(limits.critical), reached(limits.warn)) {
            (true, _) => Level::Risk,
            (false, true) => Level::Look,
            (false, false) => continue,
        };
        let text = format!(
            "{} % of the pool {name} are in use, {} are free.",
            status.capacity,
            format::bytes(status.free)
        );
        findings.push(Finding::new(level, text, here(facts, "replicator prune --explain")));
    }
    for one in &facts.unread {
        let told =
            facts.pools.iter().any(|(name, pool)| *name == one.what && !matches!(pool, Pool::Known(_)));
        if !told {
            let text = format!("{} could not be looked at in full: {}.", one.what, one.why);
            findings.push(Finding::new(Level::Risk, text, []));
        }
    }
}

/// What others send into: receives that broke off and have lain for long.
fn received(facts: &Facts, findings: &mut Vec<Finding>) {
    for one in facts.lying.iter().filter(|one| one.is_stale()) {
        let mut text = format!(
            "{} keeps a receive that broke off: {}, and nothing more for {}.",
            one.dataset,
            one.size(),
            format::length(one.idle)
        );
        match (&one.stays, one.limit) {
            (Some(why), _) => text.push_str(&format!(" It stays: {why}.")),
            (None, Some(limit)) => {
                text.push_str(&format!(" A run throws it away after {}.", format::length(limit)));
            }
            (None, None) => {}
        }
        let show = here(facts, &format!("replicator tokens {}", word(&one.dataset)));
        findings.push(Finding::new(Level::Look, text, show));
    }
}

/// The newest run that had this part.
fn last<'f>(facts: &'f Facts, name: &str) -> Option<(&'f Past, &'f Part)> {
    facts.history.runs.iter().find_map(|run| Some((run, run.parts.iter().find(|part| part.name == name)?)))
}

fn run_row(facts: &Facts, part: &'static str) -> RunRow {
    let found = last(facts, part);
    // It is rare among the others, so that its record may be older than those that are read.
    let newer = |ran: &&Ran| found.is_none_or(|(run, _)| run.ended < ran.ended);
    if let Some(ran) = facts.copies.ran.as_ref().filter(|_| part == VERIFY).filter(newer) {
        return RunRow {
            part,
            ended: Some(ran.ended),
            seconds: Some(age(ran.ended, ran.started)),
            summary: ran.summary.clone(),
            failed: ran.failures > 0,
            next: facts.next.get(part).copied(),
        };
    }
    RunRow {
        part,
        ended: found.map(|(run, _)| run.ended),
        seconds: found.map(|(run, _)| age(run.ended, run.started)),
        summary: found
            .map_or_else(|| "never, as far as records go".to_string(), |(_, part)| part.summary.clone()),
        failed: found.is_some_and(|(_, part)| part.failures > 0),
        next: facts.next.get(part).copied(),
    }
}

fn runs(facts: &Facts, findings: &mut Vec<Finding>) {
    for name in PARTS {
        let Some((run, part)) = last(facts, name).filter(|(_, part)| part.failures > 0) else { continue };
        // What is wrong with each copy is told by itself; here it is what could not be looked at as a whole.
        let of_a_copy = |one: &Trouble| facts.copies.found.iter().any(|found| found.is(&one.about));
        let errors: Vec<&Trouble> =
            part.errors.iter().filter(|one| name != VERIFY || !of_a_copy(one)).collect();
        if errors.is_empty() && !part.errors.is_empty() {
            continue;
        }
        let mut text = format!(
            "The last run that had to {name} failed {} ago",
            format::length(age(facts.now, run.ended))
        );
        match errors.as_slice() {
            [] => text.push_str(&format!(": {}.", part.summary)),
            [first, rest @ ..] => {
                let about = if first.about.is_empty() { String::new() } else { format!("{}: ", first.about) };
                text.push_str(&format!(": {about}{}", first.message));
                if let Some(hint) = &first.hint {
                    text.push_str(&format!(" ({hint})"));
                }
                text.push('.');
                if !rest.is_empty() {
                    text.push_str(&format!(" And {} more.", rest.len()));
                }
            }
        }
        let (level, again) = match name {
            "check" => (Level::Risk, "replicator run".to_string()),
            VERIFY => (Level::Look, "replicator verify".to_string()),
            _ => (Level::Risk, format!("replicator run --only {name}")),
        };
        findings.push(Finding::new(level, text, here(facts, &again)));
    }
    if facts.history.unread > 0 {
        let text = format!("{} records of runs cannot be read.", facts.history.unread);
        findings.push(Finding::new(Level::Note, text, []));
    }
    if facts.history.runs.is_empty() {
        let text = "No run has left a record yet, or they may not be read: run this as root.";
        let timers = "systemctl list-timers 'replicator*'";
        findings.push(Finding::new(Level::Look, text, here(facts, timers)));
    }
    for pair in &facts.pairs {
        let newest = facts.history.runs.iter().flat_map(|run| &run.pairs).find(|(name, _)| name == pair);
        let settled = newest.is_some_and(|(_, role)| role == "active" || role == "standby");
        let role = newest.map_or("not known", |(_, role)| role.as_str());
        let command = format!("replicator pair status {}", word(pair));
        let text = format!(
            "In the pair {pair} this node was {role} in the last run; `{command}` shows its datasets and the other node."
        );
        let level = if settled { Level::Note } else { Level::Look };
        findings.push(Finding::new(level, text, []));
        for one in facts.history.paused(pair) {
            let level = if one.cause.is_grave() { Level::Risk } else { Level::Look };
            let text = format!("Pair {pair}: {}. What to do: {}.", one.why, one.hint);
            findings.push(Finding::new(level, text, here(facts, &command)));
        }
    }
}
