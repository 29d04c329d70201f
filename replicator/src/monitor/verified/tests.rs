//! Copies that were found good, or not, or not in time.

use super::*;
use crate::verify::memory::TooLarge;
use crate::verify::memory::Waiting;

const NOW: i64 = 100 * 86_400;
const WEEK: u64 = 7 * 86_400;

fn checked(source: &str, days_ago: i64) -> Checked {
    Checked {
        job: "data".to_string(),
        to: "nas:back/data".to_string(),
        source: source.to_string(),
        target: "back/data".to_string(),
        at: NOW - days_ago * 86_400,
        snapshot: None,
        share: None,
        compared: 1,
        differences: 0,
        first: Vec::new(),
        failed: None,
        closed: None,
        drill: None,
    }
}

fn overview(rounds: u64) -> Overview {
    Overview { at: NOW - 86_400, bytes: 10 << 30, datasets: 20, rounds, ..Overview::default() }
}

fn target<'a>(overview: Option<&'a Overview>, all: &'a [Checked]) -> Target<'a> {
    let machines = (None, Some("root@nas".to_string()));
    Target { job: "data", target: "nas", optional: false, machines, overview, checked: all.iter().collect() }
}

fn judged(overview: Option<&Overview>, all: &[Checked]) -> (Level, String) {
    let report = judge(&[target(overview, all)], WEEK, NOW);
    (report.level, report.text)
}

#[test]
fn what_differs_is_critical_and_what_is_not_known_a_warning() {
    let good = || checked("tank/data", 1);
    assert_eq!(judged(None, &[good()]).0, Level::Ok);
    assert_eq!(judged(None, &[]).0, Level::Warning);
    assert_eq!(judged(None, &[checked("tank/data", 8)]).0, Level::Warning);
    let failed = Checked { failed: Some("no key".to_string()), ..good() };
    assert_eq!(judged(None, std::slice::from_ref(&failed)).0, Level::Warning);
    let differs = Checked { differences: 2, first: vec!["a: content".to_string()], ..checked("tank/x", 1) };
    let (level, text) = judged(None, &[failed, differs]);
    assert_eq!(level, Level::Critical);
    // The gravest comes first.
    assert!(text.starts_with("CRIT: data to nas: tank/x: 2 files or segments differ (a: content)"), "{text}");
    assert!(text.contains("WARN: data to nas: tank/data: not verified: no key"), "{text}");
    for (drill, level) in
        [(Drill::Differs(1), Level::Critical), (Drill::Failed("x".to_string()), Level::Warning)]
    {
        assert_eq!(judged(None, &[Checked { drill: Some(drill), ..good() }]).0, level);
    }
    let report = judge(&[], WEEK, NOW);
    assert_eq!((report.level, report.text.as_str()), (Level::Ok, "OK: there is nothing to verify"));
}

#[test]
fn each_dataset_has_to_be_read_in_time_and_not_only_one_of_them() {
    let all = [checked("tank/old", 9), checked("tank/new", 1)];
    // What was written before there were overviews says nothing about whether a dataset still exists.
    assert_eq!(judged(None, &all).0, Level::Ok);
    let (level, text) = judged(Some(&overview(1)), &all);
    assert_eq!(level, Level::Warning);
    assert_eq!(text, "WARN: data to nas: tank/old: not read for 9d 0h 0m 0s (should be < 7d 0h 0m 0s)");
    // Where it takes three looks to come through all of them, two days more are fine.
    assert_eq!(judged(Some(&overview(3)), &all).0, Level::Ok);
    let (level, text) = judged(Some(&overview(2)), &all);
    assert_eq!(level, Level::Warning);
    assert!(text.contains("(should be < 8d 0h 0m 0s, 20 datasets take about 2 looks)"), "{text}");
}

#[test]
fn a_dataset_that_never_comes_up_is_told() {
    let waiting = |days: i64| Overview {
        waiting: vec![Waiting { source: "tank/never".to_string(), since: NOW - days * 86_400 }],
        ..overview(1)
    };
    let all = [checked("tank/new", 1)];
    assert_eq!(judged(Some(&waiting(6)), &all).0, Level::Ok);
    let (level, text) = judged(Some(&waiting(8)), &all);
    assert_eq!(level, Level::Warning);
    assert!(text.contains("tank/never: never read, and known for 8d 0h 0m 0s"), "{text}");
}

#[test]
fn a_volume_that_is_too_large_is_told_unless_somebody_reads_it() {
    let large = Overview {
        too_large: vec![TooLarge { source: "tank/vm".to_string(), bytes: 32 << 30 }],
        ..overview(1)
    };
    let (level, text) = judged(Some(&large), &[checked("tank/new", 1)]);
    assert_eq!(level, Level::Warning);
    assert!(text.contains("tank/vm: not read: it has 32G, and a look reads 10G"), "{text}");
    assert!(text.contains("more --bytes") && text.contains("`verify = false`"), "{text}");
    assert_eq!(judged(Some(&large), &[checked("tank/vm", 5)]).0, Level::Ok);
    // Told once, and as what it is.
    let (_, text) = judged(Some(&large), &[checked("tank/new", 1), checked("tank/vm", 50)]);
    assert!(text.matches("tank/vm").count() == 1 && text.contains("32G"), "{text}");
}

#[test]
fn what_cannot_be_read_as_things_are_is_told_once_with_the_way_out() {
    let closed = |source: &str| Checked {
        failed: Some("the key of back/a is not loaded on nas".to_string()),
        closed: Some("load it there with `zfs load-key back/a`".to_string()),
        ..checked(source, 1)
    };
    let all: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| closed(&format!("tank/{name}"))).to_vec();
    let found = find(&target(None, &all), WEEK, NOW);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].message(),
        "data to nas: tank/a, tank/b, tank/c and 2 more cannot be read here: the key of back/a is not loaded \
         on nas (load it there with `zfs load-key back/a`, or set `verify = false` for the target)"
    );
    assert_eq!(found[0].level, Level::Warning);
    // What was known to differ stays what it is.
    let mut known = all.clone();
    known[0].differences = 1;
    let found = find(&target(None, &known), WEEK, NOW);
    assert_eq!(found.iter().map(|one| one.level).collect::<Vec<_>>(), [Level::Critical, Level::Warning]);
    let both = ("tank/a".to_string(), "root@nas:back/data".to_string());
    assert_eq!(found.iter().map(|one| one.differ.clone()).collect::<Vec<_>>(), [Some(both), None]);
}

#[test]
fn an_optional_target_may_be_away_and_may_not_differ() {
    let optional = |all: &[Checked]| {
        let report = judge(&[Target { optional: true, ..target(None, all) }], WEEK, NOW);
        (report.level, report.text)
    };
    let (level, text) = optional(&[]);
    assert_eq!(level, Level::Ok);
    assert!(text.contains("data to nas: never, and it may be away"), "{text}");
    assert_eq!(optional(&[checked("tank/data", 90)]).0, Level::Ok);
    assert_eq!(optional(&[Checked { differences: 1, ..checked("tank/data", 90) }]).0, Level::Critical);
}

#[test]
fn of_many_some_are_told_and_all_are_subjects() {
    let all: Vec<_> =
        (0..10).map(|n| Checked { differences: 1, ..checked(&format!("tank/{n}"), 1) }).collect();
    let report = judge(&[target(None, &all)], WEEK, NOW);
    assert_eq!(report.subjects.len(), 10);
    assert_eq!(report.subjects[9].name, "data to nas: tank/9");
    assert!(report.text.ends_with("CRIT: data to nas: and 7 more"), "{}", report.text);
}
