//! Screens of machines that are tables in memory.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::json;

use super::gather::elapses;
use super::screen::Facts;
use super::screen::Screen;
use super::screen::State;
use super::screen::screen;
use super::text::text;
use crate::cli::finding::Level;
use crate::config::dataset::Freshness;
use crate::config::dataset::Monitor;
use crate::monitor::Level as Nagios;
use crate::monitor::Unread;
use crate::monitor::health::Device;
use crate::monitor::health::Pool;
use crate::monitor::health::Status;
use crate::monitor::history::History;
use crate::monitor::history::of_record;
use crate::monitor::lag::Look;
use crate::monitor::lag::Replicated;
use crate::monitor::lag::Way;
use crate::monitor::snapshots::Seen;
use crate::monitor::snapshots::Watched;
use crate::monitor::transfers::Running;
use crate::monitor::transfers::Transfer;
use crate::policy::PerPeriod;
use crate::policy::Period;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring.md");

/// 2026-11-28 14:07 UTC.
pub(in crate::cli) const NOW: i64 = 1_795_874_820;
const HOUR: i64 = 3600;

fn limits(warn: i64, critical: i64) -> Freshness {
    Freshness { warn: u64::try_from(warn).ok(), critical: u64::try_from(critical).ok() }
}

pub(super) fn watched(dataset: &str, age: i64) -> Watched {
    let mut seen = PerPeriod::<Seen>::default();
    seen[Period::Hourly] = Seen { count: 48, newest: Some(NOW - age), future: 0 };
    let mut periods = PerPeriod::default();
    periods[Period::Hourly] = Some(limits(5400, 6 * HOUR));
    let monitor =
        Monitor { on: true, warn: true, critical: true, periods, capacity_warn: 80, capacity_critical: 95 };
    Watched { dataset: dataset.to_string(), exists: true, monitor, seen }
}

pub(super) fn replicated(dataset: &str, age: Option<i64>) -> Replicated {
    Replicated {
        source: dataset.to_string(),
        target: format!("backup/{dataset}"),
        common: age.map(|age| NOW - age),
        behind: Some(false),
        conflict: None,
    }
}

pub(super) fn way(target: &str, look: Look) -> Way {
    Way {
        job: "data".to_string(),
        target: target.to_string(),
        optional: false,
        limits: limits(3 * HOUR, 12 * HOUR),
        look,
    }
}

fn pool(capacity: u8) -> (String, Pool) {
    let status =
        Status { health: "ONLINE".to_string(), size: 4 << 40, free: 1 << 40, capacity, devices: Vec::new() };
    ("tank".to_string(), Pool::Known(status))
}

fn history(records: &[serde_json::Value]) -> History {
    History { runs: records.iter().filter_map(of_record).collect(), unread: 0 }
}

fn good_runs() -> History {
    history(&[
        json!({ "started": NOW - 300, "ended": NOW - 259, "status": 0, "phases": {
            "replicate": { "summary": "2 of 2 targets up to date, 1.2 GiB sent", "failures": 0 } } }),
        json!({ "started": NOW - 420, "ended": NOW - 418, "status": 0, "phases": {
            "snapshot": { "summary": "2 taken", "failures": 0 },
            "prune": { "summary": "1 destroyed", "failures": 0 },
            "check": { "summary": "nothing is left undone", "failures": 0 } } }),
    ])
}

/// All is well.
pub(super) fn well() -> Facts {
    Facts {
        host: "store".to_string(),
        now: NOW,
        datasets: vec![watched("tank/data", 420), watched("tank/home", 420)],
        pools: vec![pool(42)],
        unread: Vec::new(),
        ways: vec![way(
            "nas",
            Look::Both(vec![replicated("tank/data", Some(420)), replicated("tank/home", Some(420))]),
        )],
        history: good_runs(),
        running: Vec::new(),
        next: BTreeMap::from([
            ("snapshot", NOW + 480),
            ("prune", NOW + 480),
            ("check", NOW + 480),
            ("replicate", NOW + 600),
        ]),
        pairs: Vec::new(),
        unknown: Vec::new(),
    }
}

/// What stands in docs/monitoring.md.
pub(in crate::cli) fn documented() -> Facts {
    let mut facts = well();
    facts.datasets.push(watched("tank/vm", 3 * HOUR + 420));
    let away = "cannot connect to usb: no route to host".to_string();
    let optional = Way {
        optional: true,
        limits: Freshness { warn: None, critical: None },
        ..way(
            "usb",
            Look::Bookmarks { why: away, datasets: vec![replicated("tank/data", Some(8 * 24 * HOUR))] },
        )
    };
    facts.ways[0].look = Look::Both(vec![
        replicated("tank/data", Some(1320)),
        replicated("tank/home", Some(1320)),
        Replicated {
            conflict: Some("the target has a newer snapshot, @manual".to_string()),
            ..replicated("tank/vm", Some(26 * HOUR))
        },
    ]);
    facts.ways.push(optional);
    facts.pools = vec![pool(83)];
    facts.history.runs[0].parts[0].failures = 1;
    facts.history.runs[0].parts[0].summary = "1 of 2 targets up to date, 1 GiB sent".to_string();
    let transfer = Transfer {
        title: "data to nas".to_string(),
        dataset: "tank/data".to_string(),
        snapshot: "replicator_2026-11-28_14:00:00_hourly".to_string(),
        bytes: 3 << 30,
        total: Some(8 << 30),
        started: NOW - 32,
        moved: NOW,
    };
    facts.running = vec![Running {
        process: 4711,
        started: NOW - 60,
        phase: "replicate".to_string(),
        transfers: vec![transfer],
    }];
    facts
}

fn drawn(facts: &Facts) -> (Screen, String) {
    let screen = screen(facts);
    let text = text(&screen, &TimeZone::UTC);
    (screen, text)
}

/// The text without the breaks of its lines.
fn words(facts: &Facts) -> String {
    drawn(facts).1.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The findings of a level, with their first command.
fn found(facts: &Facts, level: Level) -> Vec<(String, String)> {
    let findings = screen(facts).findings;
    let of_level = findings.into_iter().filter(|one| one.level == level);
    of_level
        .map(|one| (one.text, one.commands.first().map_or_else(String::new, |command| command.run.clone())))
        .collect()
}

#[test]
fn the_screen_is_the_one_in_the_documentation() {
    let (_, screen) = drawn(&documented());
    let docs = std::fs::read_to_string(DOCS).expect("docs/monitoring.md");
    let shown = docs.split("\n```text\n").find(|part| part.starts_with("store at "));
    let shown = shown.and_then(|part| part.split_once("```")).map(|(screen, _)| screen);
    assert_eq!(shown, Some(screen.as_str()), "docs/monitoring.md should show this:\n{screen}");
    for line in screen.lines().filter(|line| !line.contains("#  ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn all_is_well() {
    let (seen, text) = drawn(&well());
    assert_eq!((seen.level, seen.findings.len()), (Level::Note, 0), "{:?}", seen.findings);
    assert!(text.contains("WELL: nothing to do.") && text.contains("TO DO\n  nothing\n"), "{text}");
    assert!(!text.contains("NOW\n"), "{text}");
    let order: Vec<_> =
        seen.datasets.iter().map(|row| (row.dataset.as_str(), row.target.is_some())).collect();
    assert_eq!(order, [("tank/data", false), ("tank/data", true), ("tank/home", false), ("tank/home", true)]);
    assert_eq!(
        seen.runs.iter().map(|run| run.next).collect::<Vec<_>>(),
        [480, 600, 480, 480].map(|s| Some(NOW + s))
    );
}

#[test]
fn ages_count_against_their_limits_and_no_earlier() {
    let mut facts = well();
    facts.datasets[0] = watched("tank/data", 5400);
    facts.ways[0].look = Look::Both(vec![replicated("tank/data", Some(3 * HOUR))]);
    assert_eq!(screen(&facts).findings, []);
    facts.datasets[0] = watched("tank/data", 5401);
    facts.ways[0].look = Look::Both(vec![replicated("tank/data", Some(3 * HOUR + 1))]);
    let risks = found(&facts, Level::Risk);
    assert_eq!(
        risks[0],
        ("tank/data has no fresh snapshots.".to_string(), "replicator snapshot".to_string())
    );
    assert_eq!(risks[1].0, "data to nas: tank/data is too far behind: up to 3h.");
    assert_eq!(risks[1].1, "replicator run --only replicate");
    // Nobody looks after it.
    facts.datasets[0].monitor.on = false;
    assert_eq!(found(&facts, Level::Risk).len(), 1);
    facts.ways[0].limits = Freshness { warn: None, critical: None };
    assert_eq!(screen(&facts).findings, []);
    // Never sent is later than late.
    facts.ways[0].limits = limits(3 * HOUR, 12 * HOUR);
    facts.ways[0].look = Look::Both(vec![replicated("tank/data", None), replicated("tank/home", Some(60))]);
    assert_eq!(
        found(&facts, Level::Risk)[0].0,
        "data to nas: tank/data is too far behind, or was never sent."
    );
}

#[test]
fn a_target_that_is_away_is_told_and_nothing_is_made_up() {
    let mut facts = well();
    facts.ways[0].look = Look::Nothing { why: "no route".to_string() };
    assert_eq!(
        found(&facts, Level::Risk),
        [(
            "data to nas: the target could not be looked at: no route.".to_string(),
            "replicator check".to_string()
        )]
    );
    facts.ways[0].look = Look::Bookmarks {
        why: "no route".to_string(),
        datasets: vec![replicated("tank/data", Some(60)), replicated("tank/home", None)],
    };
    let (seen, _) = drawn(&facts);
    assert_eq!(seen.level, Level::Look);
    let state = |dataset: &str| {
        seen.datasets.iter().find(|row| row.dataset == dataset && row.target.is_some()).map(|row| row.state)
    };
    assert_eq!((state("tank/data"), state("tank/home")), (Some(State::Away), Some(State::Unknown)));
    facts.ways[0].optional = true;
    assert_eq!(screen(&facts).level, Level::Note);
}

#[test]
fn pools_are_told_with_what_to_do() {
    let with = |pool: Pool| {
        let mut facts = well();
        facts.pools = vec![("tank".to_string(), pool)];
        facts
    };
    let risk = |facts: &Facts| found(facts, Level::Risk).remove(0);
    assert_eq!(risk(&with(Pool::Missing)).1, "zpool import tank");
    let hangs = with(Pool::State { state: Some("SUSPENDED".to_string()), why: "no answer".to_string() });
    assert!(risk(&hangs).0.contains("no answer (it is SUSPENDED)"));
    let Pool::Known(status) = pool(42).1 else { unreachable!() };
    let ill = with(Pool::Known(Status { health: "DEGRADED".to_string(), ..status.clone() }));
    assert_eq!(risk(&ill), ("The pool tank is DEGRADED.".to_string(), "zpool status tank".to_string()));
    assert_eq!(found(&with(pool(79).1), Level::Look), []);
    assert!(
        found(&with(pool(80).1), Level::Look)[0]
            .0
            .contains("80 % of the pool tank are in use, 1.0 TiB are free")
    );
    assert_eq!(risk(&with(pool(95).1)).1, "replicator prune --explain");
    let device = Device {
        depth: 1,
        name: "sdb".to_string(),
        health: "ONLINE".to_string(),
        read: 0,
        write: 0,
        checksum: 3,
    };
    let noisy = with(Pool::Known(Status { devices: vec![device], ..status }));
    assert_eq!(found(&noisy, Level::Look)[0].0, "sdb has had errors in the pool tank.");
    let mut cut = well();
    cut.unread =
        vec![Unread { what: "tank".to_string(), level: Nagios::Unknown, why: "cut short".to_string() }];
    assert!(risk(&cut).0.contains("tank could not be looked at in full: cut short."));
}

#[test]
fn a_run_that_failed_says_why_until_a_later_one_does_not() {
    let mut facts = well();
    let failed = json!({ "started": NOW - 60, "ended": NOW - 59, "status": 1, "pairs": [{ "pair": "nfs", "role": "unknown" }], "phases": {
        "replicate": { "summary": "0 of 2", "failures": 2, "jobs": [
            { "job": "data", "target": "nas", "state": "failed", "message": "refused", "hint": "look at sshd" },
            { "job": "data", "target": "usb", "state": "failed", "message": "gone" } ] } } });
    let good = facts.history.clone();
    facts.history = history(&[failed]);
    facts.history.runs.extend(good.runs.clone());
    let risks = found(&facts, Level::Risk);
    assert_eq!(
        risks[0].0,
        "The last run that had to replicate failed 59s ago: data to nas: refused (look at sshd). And 1 more."
    );
    assert_eq!(risks[0].1, "replicator run --only replicate");
    let (_, text) = drawn(&facts);
    assert!(text.contains("FAILED: 0 of 2"), "{text}");
    facts.pairs.push("nfs".to_string());
    assert!(found(&facts, Level::Look)[0].0.contains("this node was unknown in the last run"));
    facts.history.runs.rotate_left(1);
    assert_eq!(found(&facts, Level::Risk), []);
    facts.history = History { runs: Vec::new(), unread: 2 };
    let (seen, text) = drawn(&facts);
    assert!(
        text.contains("never, as far as records go") && text.contains("2 records of runs cannot be read"),
        "{text}"
    );
    assert_eq!(seen.level, Level::Look);
}

#[test]
fn what_stands_still_has_no_rate() {
    let mut facts = documented();
    let text = words(&facts);
    assert!(text.contains("3.0 GiB of about 8.0 GiB (37 %), 96.0 MiB/s, 54s left"), "{text}");
    facts.running[0].transfers[0].moved = NOW - 90;
    let text = words(&facts);
    assert!(text.contains("nothing has moved for 1m") && !text.contains("/s"), "{text}");
}

#[test]
fn of_very_many_datasets_those_that_are_not_well_are_shown() {
    let mut facts = well();
    facts.datasets =
        (0..300).map(|n| watched(&format!("tank/{n:03}"), if n == 299 { 2 * HOUR } else { 60 })).collect();
    facts.ways.clear();
    let (seen, text) = drawn(&facts);
    assert_eq!(seen.datasets[0].dataset, "tank/299");
    assert!(text.contains("and 288 more, all well (--json has all)"), "{text}");
    assert!(text.lines().count() < 40, "{text}");
}

#[test]
fn the_time_of_a_timer_is_read_as_systemd_prints_it() {
    let zone = TimeZone::get("Europe/Berlin").expect("it is built in");
    assert_eq!(elapses("Sat 2026-11-28 15:07:00 CET", &zone), Some(NOW));
    assert_eq!(elapses("Sat 2026-11-28 14:07:00 UTC", &TimeZone::UTC), Some(NOW));
    for nothing in ["", "n/a", "Sat", "Sat 2026-11-28", "Sat 2026-13-28 14:07:00 UTC"] {
        assert_eq!(elapses(nothing, &zone), None, "{nothing}");
    }
}
