//! Each mistake of sanoid that is mended: that it makes it, and what happens here instead. `docs/migration.md` lists them.

use std::collections::BTreeSet;

use jiff::Zoned;
use replicator::policy::Period;
use replicator::policy::Snapshot;
use zfs_core::Txg;

use super::case::Case;
use super::case::snapshots;
use super::ours;
use super::real;
use super::real::Real;

/// Snapshots of `tank` with their times, by date.
fn taken(list: &[(&str, &str)]) -> Vec<Snapshot> {
    let date = |time: &str| time.parse::<Zoned>().expect("a time with its zone").timestamp().as_second();
    let named = |(at, (word, time)): (usize, &(&str, &str))| (format!("autosnap_{at}_{word}"), date(time));
    snapshots(&"tank".parse().expect("a valid name"), &list.iter().enumerate().map(named).collect::<Vec<_>>())
}

fn due_here(case: &Case) -> BTreeSet<Period> {
    let tank = "tank".parse().expect("a valid name");
    let due = ours::due_of(case, &tank, &case.snapshots[&tank]);
    due.iter().filter(|due| due.due).map(|due| due.period).collect()
}

fn due_there(real: &Real) -> BTreeSet<Period> {
    let word = |(name, _): &(String, bool)| name.rsplit('_').next().and_then(|word| word.parse().ok());
    real.takes.iter().map(|one| word(one).expect("a period")).collect()
}

/// What goes here and what in sanoid, by the times of the snapshots.
fn goes(case: &Case) -> [Vec<i64>; 2] {
    let all = &case.snapshots["tank"];
    let here: BTreeSet<_> = ours::prunes(case, &case.policies["tank"].policy, all).into_iter().collect();
    let there = real::run(case, true);
    assert_eq!(there.status, Some(0), "{}", there.errors);
    [here, there.prunes].map(|names| {
        let gone = all.iter().filter(|one| names.contains(&one.name.to_string()));
        gone.map(|one| one.creation - case.now).collect()
    })
}

#[track_caller]
fn differ(case: &Case, here: &[Period], there: &[Period]) {
    let real = real::run(case, true);
    assert_eq!(real.status, Some(0), "{}", real.errors);
    assert_eq!(due_here(case), here.iter().copied().collect(), "here\n{case}");
    assert_eq!(due_there(&real), there.iter().copied().collect(), "in sanoid\n{case}");
}

#[test]
fn the_hour_that_comes_twice_has_its_frequent_ones() {
    let before = taken(&[("frequently", "2025-10-26T02:45:01+02:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "frequently=5", before.clone());
    differ(&at("2025-10-26T02:00:05+01:00[Europe/Berlin]"), &[Period::Frequently], &[]);
    differ(&at("2025-10-26T02:45:05+01:00[Europe/Berlin]"), &[Period::Frequently], &[]);
    differ(&at("2025-10-26T03:00:05+01:00[Europe/Berlin]"), &[Period::Frequently], &[Period::Frequently]);
}

#[test]
fn a_day_that_a_month_lacks_is_its_last_and_ends_nothing() {
    for (settings, now, message) in [
        (
            "hourly=3\nmonthly=2\nmonthly_mday=31",
            "2025-11-30T12:00:00+00:00[UTC]",
            "Day '31' out of range 1..30",
        ),
        (
            "hourly=3\nyearly=2\nyearly_mon=2\nyearly_mday=29",
            "2025-02-28T12:00:00+00:00[UTC]",
            "Day '29' out of range 1..28",
        ),
    ] {
        let case = Case::of(now, settings, taken(&[("monthly", "2025-10-31T00:00:05+00:00[UTC]")]));
        let real = real::run(&case, true);
        assert!(real.status != Some(0) && real.errors.contains(message), "{:?} {}", real.status, real.errors);
        assert!(real.takes.is_empty(), "{:?}", real.takes);
        let longest = if settings.contains("yearly=") { Period::Yearly } else { Period::Monthly };
        assert_eq!(due_here(&case), BTreeSet::from([longest, Period::Hourly]));
    }
    // And not before.
    let case = Case::of(
        "2025-11-29T23:59:59+00:00[UTC]",
        "monthly=2\nmonthly_mday=31",
        taken(&[("monthly", "2025-10-31T00:00:05+00:00[UTC]")]),
    );
    assert_eq!(due_here(&case), BTreeSet::new());
}

#[test]
fn a_daily_one_is_taken_once_and_in_time_when_clocks_are_set_back() {
    let before = taken(&[("daily", "2025-10-26T00:00:05+02:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "daily=5\ndaily_hour=0\ndaily_min=0", before.clone());
    differ(&at("2025-10-26T02:59:59+02:00[Europe/Berlin]"), &[], &[]);
    differ(&at("2025-10-26T09:00:00+01:00[Europe/Berlin]"), &[], &[Period::Daily]);
    let before = taken(&[("daily", "2025-10-25T12:00:05+02:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "daily=5\ndaily_hour=12\ndaily_min=0", before.clone());
    differ(&at("2025-10-26T12:00:00+01:00[Europe/Berlin]"), &[Period::Daily], &[]);
    differ(&at("2025-10-26T13:00:00+01:00[Europe/Berlin]"), &[Period::Daily], &[Period::Daily]);
}

#[test]
fn a_weekly_one_is_taken_once_when_clocks_are_set_back() {
    let before = taken(&[("weekly", "2025-10-20T23:30:05+02:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "weekly=5", before.clone());
    differ(&at("2025-10-25T23:59:59+02:00[Europe/Berlin]"), &[], &[]);
    differ(&at("2025-10-26T00:00:00+02:00[Europe/Berlin]"), &[], &[Period::Weekly]);
    differ(&at("2025-10-27T23:30:00+01:00[Europe/Berlin]"), &[Period::Weekly], &[Period::Weekly]);
}

#[test]
fn a_monthly_one_is_taken_once_and_none_is_missed_before_its_day() {
    let before = taken(&[("monthly", "2025-10-15T00:00:05+02:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "monthly=5\nmonthly_mday=15", before.clone());
    differ(&at("2025-10-31T23:59:59+01:00[Europe/Berlin]"), &[], &[]);
    differ(&at("2025-11-01T00:00:00+01:00[Europe/Berlin]"), &[], &[Period::Monthly]);
    differ(&at("2025-11-15T00:00:00+01:00[Europe/Berlin]"), &[Period::Monthly], &[Period::Monthly]);
    // That of January, a month late.
    let before = taken(&[("monthly", "2026-02-13T00:00:00+00:00[UTC]")]);
    let at = |now| Case::of(now, "monthly=5\nmonthly_mday=15", before.clone());
    differ(&at("2026-02-15T00:00:00+00:00[UTC]"), &[Period::Monthly], &[Period::Monthly]);
    differ(&at("2026-03-05T00:00:00+00:00[UTC]"), &[Period::Monthly], &[]);
}

#[test]
fn a_yearly_one_that_was_missed_is_taken_before_the_next() {
    let before = taken(&[("yearly", "2024-12-01T00:00:05+00:00[UTC]")]);
    let at = |now| Case::of(now, "yearly=3\nyearly_mon=12", before.clone());
    differ(&at("2025-12-31T23:59:59+00:00[UTC]"), &[Period::Yearly], &[Period::Yearly]);
    differ(&at("2026-01-01T00:00:00+00:00[UTC]"), &[Period::Yearly], &[]);
    differ(&at("2026-11-30T23:59:59+00:00[UTC]"), &[Period::Yearly], &[]);
}

#[test]
fn no_hour_begins_before_its_minute_when_clocks_are_set_back() {
    let before = taken(&[("hourly", "2025-10-26T04:30:02+01:00[Europe/Berlin]")]);
    let at = |now| Case::of(now, "hourly=5\nhourly_min=30", before.clone());
    differ(&at("2025-10-26T05:10:00+01:00[Europe/Berlin]"), &[], &[Period::Hourly]);
    differ(&at("2025-10-26T05:30:00+01:00[Europe/Berlin]"), &[Period::Hourly], &[Period::Hourly]);
}

#[test]
fn one_dated_in_the_future_suppresses_no_other() {
    let before =
        taken(&[("hourly", "2025-06-01T11:00:02+00:00[UTC]"), ("hourly", "2025-06-09T00:00:00+00:00[UTC]")]);
    let case = Case::of("2025-06-01T13:05:00+00:00[UTC]", "hourly=5", before);
    differ(&case, &[Period::Hourly], &[]);
}

#[test]
fn the_newest_stays_although_none_of_its_period_are_kept() {
    let all = [
        ("daily", "2025-06-01T00:00:00+00:00[UTC]"),
        ("daily", "2025-06-02T00:00:00+00:00[UTC]"),
        ("daily", "2025-06-03T00:00:00+00:00[UTC]"),
    ];
    let case = Case::of("2025-06-03T01:00:00+00:00[UTC]", "daily=0", taken(&all));
    let day = |days: i64| -3600 - days * 86_400;
    assert_eq!(goes(&case), [vec![day(2), day(1)], vec![day(2), day(1), day(0)]]);
}

#[test]
fn dates_in_the_future_take_no_place() {
    let all = [
        ("hourly", "2025-06-01T00:00:00+00:00[UTC]"),
        ("hourly", "2025-06-01T01:00:00+00:00[UTC]"),
        ("hourly", "2025-07-01T00:00:00+00:00[UTC]"),
        ("hourly", "2025-07-01T01:00:00+00:00[UTC]"),
    ];
    let case = Case::of("2025-06-02T00:00:00+00:00[UTC]", "hourly=2", taken(&all));
    assert_eq!(goes(&case), [vec![], vec![-24 * 3600, -23 * 3600]]);
}

#[test]
fn newer_and_older_are_not_decided_by_dates() {
    let mut all =
        taken(&[("hourly", "2025-06-01T00:00:00+00:00[UTC]"), ("hourly", "2025-06-01T01:00:00+00:00[UTC]")]);
    // The clock was a day late when the second was taken.
    all[0].createtxg = Txg(100);
    let case = Case::of("2025-06-02T00:00:00+00:00[UTC]", "hourly=1", all);
    assert_eq!(goes(&case), [vec![-23 * 3600], vec![-24 * 3600]]);
}
