//! The text is read back by the rules of the format: each family told once, with its kind, and its samples together.

use std::collections::BTreeSet;

use super::*;
use crate::config::dataset::Freshness;
use crate::config::dataset::Monitor;
use crate::monitor::health::Device;
use crate::monitor::health::Status;
use crate::monitor::lag::Replicated;
use crate::monitor::snapshots::Seen;
use crate::pair::paused::Cause;
use crate::policy::PerPeriod;
use crate::policy::Period;

/// A name, its labels and its value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads the format strictly.
fn parse(text: &str) -> Vec<Sample> {
    let (mut samples, mut told, mut current) = (Vec::new(), BTreeSet::new(), String::new());
    let mut lines = text.lines();
    assert!(text.ends_with('\n'), "the last line has an end");
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(told.insert(name.to_string()), "{name} is told twice");
            assert!(!help.is_empty() && !help.contains('\\'));
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            current = name.to_string();
            continue;
        }
        let sample = sample(line);
        assert_eq!(sample.0, current, "a sample outside of its family");
        samples.push(sample);
    }
    let keys: BTreeSet<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(keys.len(), samples.len(), "a sample comes twice");
    samples
}

fn sample(line: &str) -> Sample {
    let name: String = line.chars().take_while(|c| c.is_ascii_lowercase() || "_:".contains(*c)).collect();
    let mut rest = &line[name.len()..];
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").expect("a label");
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().expect("the end of a value") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("something escaped").1 {
                        'n' => text.push('\n'),
                        c @ ('\\' | '"') => text.push(c),
                        c => panic!("{c} is escaped"),
                    },
                    (_, c) => text.push(c),
                }
            };
            labels.push((label.to_string(), text));
            rest = value[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("a blank before the value");
    (name, labels, value.parse().expect("a number"))
}

fn checked() -> Checked {
    Checked {
        job: "data".to_string(),
        to: "nas:back/a".to_string(),
        source: "tank/a b".to_string(),
        target: "back/a".to_string(),
        at: 1700,
        snapshot: None,
        share: None,
        compared: 5,
        differences: 2,
        first: Vec::new(),
        failed: None,
        closed: None,
        drill: Some(Drill::Good),
    }
}

/// A file in which every family has a sample.
fn whole() -> String {
    let mut periods = PerPeriod::default();
    periods[Period::Daily] = Some(Freshness { warn: Some(100), critical: None });
    let monitor =
        Monitor { on: true, warn: true, critical: true, periods, capacity_warn: 80, capacity_critical: 95 };
    let mut seen = PerPeriod::<Seen>::default();
    seen[Period::Daily].add(1000, 2000);
    seen[Period::Daily].add(1500, 2000);
    let datasets = [Watched { dataset: "tank/a b".to_string(), exists: true, monitor, seen }];
    let device = Device {
        depth: 1,
        name: "odd\\\"disk\n".to_string(),
        health: "ONLINE".to_string(),
        read: 1,
        write: 2,
        checksum: 3,
    };
    let status = Status {
        health: "DEGRADED".to_string(),
        size: 1 << 60,
        free: 5,
        capacity: 42,
        devices: vec![device],
    };
    let pools = [
        ("tank".to_string(), Pool::Known(status)),
        ("old".to_string(), Pool::State { state: Some("SUSPENDED".to_string()), why: "late".to_string() }),
        ("gone".to_string(), Pool::Missing),
    ];
    let replicated = Replicated {
        source: "tank/a b".to_string(),
        target: "back/a".to_string(),
        common: Some(1500),
        behind: Some(true),
        conflict: None,
    };
    let way = |target: &str, look| Way {
        job: "data".to_string(),
        target: target.to_string(),
        optional: false,
        limits: Freshness { warn: None, critical: None },
        look,
    };
    let ways =
        [way("nas", Look::Both(vec![replicated])), way("usb", Look::Nothing { why: "away".to_string() })];
    let runs = [LastRun { part: "replicate".to_string(), ended: 1999, seconds: 1.5, success: true }];
    let checked = checked();
    let checks = [("health", Level::Critical), ("capacity", Level::Unknown)];
    let paused = [Paused {
        pair: "nfs".to_string(),
        dataset: "tank/a b".to_string(),
        cause: Cause::NoSizes,
        why: String::new(),
        hint: String::new(),
    }];
    render(&Facts {
        datasets: &datasets,
        pools: &pools,
        ways: &ways,
        checks: &checks,
        runs: &runs,
        verified: &[("nas", &checked)],
        paused: &paused,
        now: 2000,
    })
}

/// The names of numbers in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c));
    words
        .filter(|name| {
            name.starts_with("replicator_")
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .collect()
}

/// A file of the project.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).expect(name)
}

#[test]
fn what_is_shipped_for_grafana_and_prometheus_names_numbers_that_there_are() {
    let (text, rules_file) = (whole(), file("packaging/monitoring/replicator.rules.yml"));
    let samples = parse(&text);
    let there: BTreeSet<_> = samples.iter().map(|(name, _, _)| name.as_str()).collect();
    let rules = named(&rules_file);
    let strange: Vec<_> = rules.difference(&there).collect();
    assert!(strange.is_empty() && rules.len() >= 10, "{strange:?} of {rules:?}");
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("packaging/monitoring/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut shown = BTreeSet::new();
    for panel in panels {
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        for target in panel["targets"].as_array().expect("targets") {
            let found = named(target["expr"].as_str().expect("an expression"));
            assert!(!found.is_empty(), "{target}");
            shown.extend(found);
        }
    }
    let strange: Vec<_> = shown.difference(&there).collect();
    assert!(strange.is_empty(), "{strange:?}");
    // Two say the same as another one does, by the clock of who wrote the file.
    let left: Vec<_> = there.difference(&shown).copied().collect();
    assert_eq!(left, ["replicator_replication_lag_seconds", "replicator_snapshot_age_seconds"]);
    // Labels that are told of or compared are there.
    let labels: BTreeSet<_> =
        samples.iter().flat_map(|(_, labels, _)| labels.iter().map(|(label, _)| label.as_str())).collect();
    for part in rules_file.split("$labels.").skip(1) {
        let label = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().expect("a label");
        assert!(labels.contains(label), "{label}");
    }
    let manual_file = file("docs/monitoring.md");
    let manual = named(&manual_file);
    let untold: Vec<_> = there.iter().filter(|name| !manual.contains(*name)).collect();
    assert!(untold.is_empty(), "{untold:?} is not in docs/monitoring.md");
    assert!(manual.difference(&there).next().is_none(), "{:?}", manual.difference(&there));
}

#[test]
fn everything_is_there_and_reads_back() {
    let text = whole();
    let samples = parse(&text);
    let find = |name: &str, labels: &[(&str, &str)]| {
        let labels: Vec<_> = labels.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect();
        let found = samples.iter().find(|(n, l, _)| *n == format!("replicator_{name}") && *l == labels);
        found.unwrap_or_else(|| panic!("{name} {labels:?} is not in\n{text}")).2
    };
    let daily = [("dataset", "tank/a b"), ("period", "daily")];
    let copy = [("replication", "data"), ("target", "nas"), ("dataset", "tank/a b")];
    for (name, labels, value) in [
        ("snapshots", &daily[..], 2.0),
        ("snapshot_newest_timestamp_seconds", &daily, 1500.0),
        ("snapshot_age_seconds", &daily, 500.0),
        ("snapshot_limit_seconds", &[daily[0], daily[1], ("level", "warning")], 100.0),
        ("pool_state", &[("pool", "tank"), ("state", "DEGRADED")], 1.0),
        ("pool_state", &[("pool", "old"), ("state", "SUSPENDED")], 1.0),
        ("pool_state", &[("pool", "gone"), ("state", "MISSING")], 1.0),
        ("pool_size_bytes", &[("pool", "tank")], 1_152_921_504_606_846_976.0),
        ("pool_capacity_ratio", &[("pool", "tank")], 0.42),
        ("pool_device_errors", &[("pool", "tank"), ("device", "odd\\\"disk\n"), ("kind", "checksum")], 3.0),
        ("replication_reached", &[("replication", "data"), ("target", "usb")], 0.0),
        (
            "replication_lag_seconds",
            &[("replication", "data"), ("target", "nas"), ("dataset", "tank/a b")],
            500.0,
        ),
        ("verified_timestamp_seconds", &copy, 1700.0),
        ("verified_good", &copy, 0.0),
        ("verified_differences", &copy, 2.0),
        ("drill_good", &copy, 1.0),
        ("pair_prune_paused", &[("pair", "nfs"), ("dataset", "tank/a b"), ("cause", "no-sizes")], 1.0),
        ("check_status", &[("check", "capacity")], 3.0),
        ("last_run_duration_seconds", &[("part", "replicate")], 1.5),
        ("last_run_success", &[("part", "replicate")], 1.0),
        ("metrics_timestamp_seconds", &[], 2000.0),
    ] {
        assert!((find(name, labels) - value).abs() <= f64::EPSILON * value.abs(), "{name}\n{text}");
    }
    // A period that nobody asked for and that has nothing has no number.
    assert!(!text.contains("yearly"), "{text}");
}

/// An alert rule: what it asks, and how grave it is.
fn rule(rules: &str, alert: &str) -> (String, String) {
    let rule = rules.split("\n  - alert: ").find(|rule| rule.starts_with(&format!("{alert}\n")));
    let rule = rule.unwrap_or_else(|| panic!("there is no alert {alert}"));
    let line = |name: &str| {
        let found = rule.lines().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("{alert} has no {name}")).trim().to_string()
    };
    (line("expr:"), line("labels:"))
}

#[test]
fn what_runs_once_a_day_is_not_late_after_two_hours() {
    let rules = file("packaging/monitoring/replicator.rules.yml");
    let (often, _) = rule(&rules, "ReplicatorNoRun");
    assert_eq!(often, "time() - replicator_last_run_timestamp_seconds{part!=\"verify\"} > 2 * 3600");
    let (daily, grave) = rule(&rules, "ReplicatorNoVerify");
    assert_eq!(daily, "time() - replicator_last_run_timestamp_seconds{part=\"verify\"} > 8 * 86400");
    assert!(grave.contains("warning"), "{grave}");
}

#[test]
fn alerts_are_as_grave_as_the_check_of_what_they_tell() {
    let rules = file("packaging/monitoring/replicator.rules.yml");
    let (differs, grave) = rule(&rules, "ReplicatorCopyDiffers");
    assert!(differs == "replicator_verified_differences > 0" && grave.contains("critical"), "{differs}");
    let (unread, grave) = rule(&rules, "ReplicatorCopyNotGood");
    assert_eq!(unread, "replicator_verified_good == 0 and replicator_verified_differences == 0");
    assert!(grave.contains("warning"), "{grave}");
    // What each looks at, in the words of the check.
    let numbers = |checked: &Checked| {
        let samples = parse(&render(&Facts { verified: &[("nas", checked)], ..Facts::default() }));
        let of = |name: &str| samples.iter().find(|(n, _, _)| n == name).map(|(_, _, value)| *value > 0.0);
        (of("replicator_verified_good"), of("replicator_verified_differences"))
    };
    let good = Checked { differences: 0, ..checked() };
    assert_eq!(numbers(&good), (Some(true), Some(false)));
    for (found, level) in [
        (checked(), Level::Critical),
        (Checked { drill: Some(Drill::Differs(1)), ..good.clone() }, Level::Critical),
        (Checked { drill: Some(Drill::Failed("no room".to_string())), ..good.clone() }, Level::Warning),
        (Checked { failed: Some("no key".to_string()), ..good }, Level::Warning),
    ] {
        let differs = level == Level::Critical;
        assert_eq!(numbers(&found), (Some(false), Some(differs)), "{found:?}");
        let said = crate::monitor::verified::trouble(&found).map(|(level, _)| level);
        assert_eq!(said, Some(level), "{found:?}");
    }
}

#[test]
fn nothing_known_is_a_file_as_well() {
    let samples = parse(&render(&Facts { now: 5, ..Facts::default() }));
    assert_eq!(samples.len(), 2);
}
