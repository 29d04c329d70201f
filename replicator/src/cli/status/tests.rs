//! Screens of machines that are tables in memory.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::json;

use super::gather::TIMERS;
use super::gather::elapses;
use super::screen::Facts;
use super::screen::Screen;
use super::screen::State;
use super::screen::screen;
use super::text::text;
use crate::cli::finding::Level;
use crate::cli::monitor::Copies;
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
use crate::monitor::verified::Found;
use crate::policy::PerPeriod;
use crate::policy::Period;
use crate::receiver::partials::Lying;
use crate::verify::memory::Ran;

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

/// The run that read copies, longer ago than the records of the others go back.
fn ran() -> Ran {
    Ran {
        started: NOW - 10 * HOUR - 540,
        ended: NOW - 10 * HOUR,
        failures: 0,
        summary: "2 of 2 datasets good, 1204 files compared".to_string(),
    }
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
        copies: Copies { ran: Some(ran()), ..Copies::default() },
        history: good_runs(),
        running: Vec::new(),
        lying: Vec::new(),
        next: BTreeMap::from([
            ("snapshot", NOW + 480),
            ("prune", NOW + 480),
            ("check", NOW + 480),
            ("replicate", NOW + 600),
            ("verify", NOW + 14 * HOUR),
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
        [480, 600, 480, 480, 14 * HOUR].map(|s| Some(NOW + s))
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
fn a_dataset_of_a_pair_that_is_not_pruned_is_told_until_a_run_says_otherwise() {
    let run = |at: i64, paused: serde_json::Value| {
        json!({ "started": at, "ended": at, "status": 0, "pairs": [{ "pair": "nfs", "role": "standby" }], "phases": {
            "prune": { "summary": "0 destroyed", "failures": 0, "targets": { "paused": paused } } } })
    };
    let lost = json!([{ "pair": "nfs", "dataset": "t/a", "cause": "lost", "why": "t/a lost most", "hint": "accept it" }]);
    let mut facts = well();
    facts.pairs.push("nfs".to_string());
    facts.history.runs.splice(0..0, history(&[run(NOW - 60, lost)]).runs);
    let told = ("Pair nfs: t/a lost most. What to do: accept it.", "replicator pair status nfs");
    assert_eq!(found(&facts, Level::Risk), [(told.0.to_string(), told.1.to_string())]);
    facts.history.runs.splice(0..0, history(&[run(NOW - 30, json!([]))]).runs);
    assert_eq!(found(&facts, Level::Risk), []);
}

#[test]
fn a_receive_that_broke_off_is_told_when_half_of_its_time_is_over() {
    let day = 86_400;
    let mut facts = well();
    facts.lying.push(Lying {
        dataset: "tank/in/part".to_string(),
        token: "1-a".to_string(),
        bytes: Some(3 << 30),
        seen: NOW,
        idle: 3 * day,
        limit: Some(7 * day),
        stays: None,
    });
    assert_eq!(found(&facts, Level::Look), []);
    facts.lying[0].idle = 4 * day;
    let told = "tank/in/part keeps a receive that broke off: 3.0 GiB, and nothing more for 4d00h. A run throws it away after 7d00h.";
    assert_eq!(
        found(&facts, Level::Look),
        [(told.to_string(), "replicator tokens tank/in/part".to_string())]
    );
    facts.lying[0].stays = Some("permission denied".to_string());
    assert!(found(&facts, Level::Look)[0].0.ends_with("It stays: permission denied."));
}

/// What is wrong with a copy, or with a target where no dataset is named.
fn wrong(level: Nagios, dataset: Option<&str>, text: &str) -> Found {
    let both = |dataset: &str| (dataset.to_string(), format!("root@nas:backup/{dataset}"));
    Found {
        level,
        title: "data to nas".to_string(),
        dataset: dataset.map(str::to_string),
        sources: Vec::new(),
        subject: "data to nas".to_string(),
        text: text.to_string(),
        way_out: None,
        differ: dataset.filter(|_| level == Nagios::Critical).map(both),
    }
}

#[test]
fn a_copy_that_differs_is_at_risk_wherever_it_is_shown() {
    let mut facts = well();
    facts.copies.found = vec![wrong(Nagios::Critical, Some("tank/home"), "1 file or segment differ")];
    let (seen, text) = drawn(&facts);
    assert_eq!(seen.level, Level::Risk);
    assert_eq!(
        found(&facts, Level::Risk),
        [(
            "data to nas: the copy of tank/home is not what its source is: 1 file or segment differ. Either of the two may be the bad one.".to_string(),
            "replicator compare --content tank/home root@nas:backup/tank/home".to_string()
        )]
    );
    let copy = |dataset: &str| {
        let rows = seen.datasets.iter();
        let rows = rows.filter(|row| row.dataset == dataset && row.target.is_some());
        rows.map(|row| row.state).collect::<Vec<_>>()
    };
    assert_eq!((copy("tank/home"), copy("tank/data")), (vec![State::Differs], vec![State::Ok]));
    assert!(text.contains("DIFFERS") && text.contains("AT RISK"), "{text}");
    let json = serde_json::to_value(&seen).expect("JSON");
    assert_eq!(json["findings"][0]["level"], "risk");
    assert_eq!(json["datasets"][1]["state"], "differs");
}

#[test]
fn what_could_not_be_verified_is_to_be_looked_at_and_no_more() {
    let mut facts = well();
    facts.copies.found = vec![
        wrong(Nagios::Warning, None, "last verified 12d ago"),
        Found {
            way_out: Some("load it there".to_string()),
            sources: vec!["tank/data".to_string(), "tank/home".to_string()],
            ..wrong(Nagios::Warning, None, "tank/data, tank/home cannot be read here: no key")
        },
    ];
    assert_eq!(screen(&facts).level, Level::Look);
    assert_eq!(
        found(&facts, Level::Look),
        [
            ("data to nas: last verified 12d ago.".to_string(), "replicator verify".to_string()),
            (
                "data to nas: tank/data, tank/home cannot be read here: no key (load it there).".to_string(),
                String::new()
            ),
        ]
    );
    facts.copies = Copies { unknown: Some("no right".to_string()), ..Copies::default() };
    let told = found(&facts, Level::Look).remove(0).0;
    assert_eq!(told, "What `replicator verify` has found cannot be read: no right.");
}

#[test]
fn a_run_that_verified_has_a_row_and_tells_nothing_twice() {
    let row = |facts: &Facts| screen(facts).runs.into_iter().find(|row| row.part == "verify").expect("a row");
    let mut facts = well();
    let seen = row(&facts);
    assert_eq!((seen.ended, seen.seconds, seen.failed), (Some(NOW - 10 * HOUR), Some(540), false));
    assert_eq!(seen.summary, "2 of 2 datasets good, 1204 files compared");
    // A newer record counts for more.
    let bad = json!({ "job": "data", "to": "nas:backup", "source": "tank/home", "target": "backup/tank/home",
        "at": 1, "compared": 3, "differences": 1, "first": [] });
    let record = json!({ "started": NOW - 60, "ended": NOW - 50, "status": 3, "phases": { "verify": {
        "summary": "0 of 1 datasets good", "failures": 2, "targets": [
            { "job": "data", "target": "nas", "datasets": [bad] },
            { "job": "data", "target": "far", "state": "failed", "message": "refused" } ] } } });
    let good = facts.history.runs.clone();
    facts.history = history(&[record]);
    facts.history.runs.extend(good);
    facts.copies.found = vec![wrong(Nagios::Critical, Some("tank/home"), "1 file or segment differ")];
    let seen = row(&facts);
    assert_eq!((seen.ended, seen.failed), (Some(NOW - 50), true));
    assert_eq!(found(&facts, Level::Risk).len(), 1);
    assert_eq!(
        found(&facts, Level::Look),
        [(
            "The last run that had to verify failed 50s ago: data to far: refused.".to_string(),
            "replicator verify".to_string()
        )]
    );
    // Nobody has read anything, ever.
    facts = well();
    facts.copies = Copies::default();
    assert_eq!(row(&facts).summary, "never, as far as records go");
    assert_eq!(screen(&facts).findings, []);
}

#[test]
fn each_part_of_a_run_is_started_by_a_timer_that_there_is() {
    let units = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    for row in screen(&well()).runs {
        let timer = TIMERS.iter().find(|(_, parts)| parts.contains(&row.part)).map(|(timer, _)| *timer);
        let timer = timer.unwrap_or_else(|| panic!("nothing starts {}", row.part));
        assert!(units.join(timer).is_file(), "{timer}");
    }
}

#[test]
fn a_result_has_the_room_that_the_other_columns_leave() {
    let mut facts = well();
    facts.copies.ran = Some(Ran {
        started: NOW - 11 * HOUR - 120,
        ended: NOW - 10 * HOUR - 2820,
        summary: "word ".repeat(40),
        ..ran()
    });
    let (_, text) = drawn(&facts);
    let line = text.lines().find(|line| line.starts_with("verify")).expect("a row");
    assert!(line.contains("10h47m ago") && line.ends_with('…'), "{line}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
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
