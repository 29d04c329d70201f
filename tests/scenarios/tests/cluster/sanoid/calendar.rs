//! Days and years of runs on a real pool, with the clock of the node set before each, some runs left out: the snapshots
//! that are there are exactly those of the rules, none twice and none missing. What the rules say is found by looking at
//! a clock on the wall each minute.
//!
//! Starting a process for each of so many runs would take hours in a node. So the test starts itself in the node, and the
//! process there sets the clock and goes through what a run of `sanoid --take-snapshots` goes through.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use replicator::cancel::Cancel;
use replicator::config::Config;
use replicator::config::place::Source;
use replicator::model::Random;
use replicator::policy::Period;
use replicator::survey::Survey;
use replicator::take;
use rustix::time::ClockId;
use rustix::time::Timespec;
use rustix::time::clock_settime;
use zfs_core::Zfs;
use zfs_core::name::SnapshotName;
use zfs_core::snapshot::WhenInUse;

use super::*;

/// Set in the process in the node.
const INSIDE: &str = "LAB_CALENDAR_INSIDE";

/// Times that are skipped and that come twice, days that months lack.
const CONFIG: &str = "
[tank/a]
use_template = all
recursive = zfs
[tank/c]
use_template = all
frequent_period = 30
hourly_min = 45
daily_hour = 2
daily_min = 30
weekly_wday = 0
weekly_hour = 2
weekly_min = 15
monthly_mday = 31
monthly_hour = 2
yearly_mon = 2
yearly_mday = 29
[template_all]
frequently = 5
hourly = 5
daily = 5
weekly = 5
monthly = 5
yearly = 5
";

/// When each is due: minute of hours, minutes of frequent ones, and time of the others.
struct Rules {
    dataset: &'static str,
    frequently: i8,
    hourly: i8,
    daily: (i8, i8),
    weekly: (i8, i8, i8),
    monthly: (i8, i8),
    yearly: (i8, i8),
}

const RULES: [Rules; 3] = [
    Rules { dataset: "tank/a", ..PLAIN },
    Rules { dataset: "tank/a/b", ..PLAIN },
    Rules {
        dataset: "tank/c",
        frequently: 30,
        hourly: 45,
        daily: (2, 30),
        weekly: (0, 2, 15),
        monthly: (31, 2),
        yearly: (2, 29),
    },
];
const PLAIN: Rules = Rules {
    dataset: "",
    frequently: 15,
    hourly: 0,
    daily: (23, 59),
    weekly: (1, 23, 30),
    monthly: (1, 0),
    yearly: (1, 1),
};

#[test]
fn the_days_in_which_clocks_change_and_a_year_ends() {
    const NAME: &str = "sanoid::calendar::the_days_in_which_clocks_change_and_a_year_ends";
    if std::env::var_os(INSIDE).is_none() {
        return in_a_node(NAME, "Europe/Berlin");
    }
    for (start, days) in [((2025, 3, 29), 3), ((2025, 10, 25), 3), ((2025, 12, 30), 3)] {
        live(jiff::civil::date(start.0, start.1, start.2), days, 900, true);
    }
}

#[test]
fn a_year_in_three_zones() {
    const NAME: &str = "sanoid::calendar::a_year_in_three_zones";
    if !crate::support::long() {
        return println!("only in the long set");
    }
    if std::env::var_os(INSIDE).is_none() {
        // Side by side, as far as there are processors: most of it is computing.
        return std::thread::scope(|scope| {
            for zone in ["Europe/Berlin", "America/New_York", "Australia/Sydney"] {
                scope.spawn(move || in_a_node(NAME, zone));
            }
        });
    }
    let start = jiff::civil::date(2025, 6, 15);
    for (step, skipping) in [(3600, false), (3600, true), (900, true)] {
        live(start, 370, step, skipping);
    }
}

/// Runs the same test in a node, with the clock of that zone.
fn in_a_node(name: &str, zone: &str) {
    let program = std::env::current_exe().expect("this program");
    let folder = program.parent().expect("a folder");
    let cluster = Cluster::builder().mount(folder, folder, false).boot().expect("a node boots");
    let node = cluster.node(1);
    sh(
        node,
        "truncate -s 1G /tmp/disk && zpool create -O mountpoint=none tank /tmp/disk && zfs create tank/a && zfs create tank/a/b && zfs create tank/c",
    );
    let command =
        node.command(&program).args([name, "--exact", "--nocapture"]).env(INSIDE, "1").env("TZ", zone);
    let command = if crate::support::long() { command.env("LAB_LONG", "1") } else { command };
    let done = command.limit(Duration::from_secs(4 * 3600)).run().expect("it runs");
    print!("{}", done.out());
    assert!(done.success() && done.out().contains("1 passed"), "{zone}: {}\n{}", done.out(), done.err());
}

/// Runs every `step` seconds for so many days, and compares.
fn live(start: Date, days: i64, step: usize, skipping: bool) {
    let zone = TimeZone::system();
    let began = Instant::now();
    let start = start.to_zoned(zone.clone()).expect("a time").timestamp().as_second();
    let mut random = Random::new(step as u64);
    let mut runs = Vec::new();
    let mut away_until = start;
    for at in (start..start + days * 86_400).step_by(step) {
        if skipping && random.once_in(300) {
            away_until = at + random.below(2 * 86_400) as i64;
        }
        if !skipping || (at >= away_until && !random.once_in(8)) {
            runs.push(at + random.below(40) as i64);
        }
    }
    let zfs = Zfs::open().expect("a node has ZFS");
    let (config, problems) = Config::parse_sanoid(&Source::new(Path::new("/sanoid.conf"), CONFIG), None);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    remove(&zfs, &config, true);
    let mut taken = BTreeMap::<(String, Period), Vec<i64>>::new();
    for (nth, run) in runs.iter().enumerate() {
        clock_settime(ClockId::Realtime, Timespec { tv_sec: *run, tv_nsec: 300_000_000 }).expect("root may");
        let survey = Survey::new(&zfs, &config).expect("a survey");
        let plan = take::plan(&survey, &BTreeSet::new(), Timestamp::now());
        let report = take::carry_out(&plan, &zfs, &Cancel::new(), &|_| ());
        assert!(
            report.is_success() && report.existing.is_empty() && survey.troubles.is_empty(),
            "{report:?}"
        );
        if nth % 12 == 11 || nth + 1 == runs.len() {
            // What is there, by the dates of the kernel.
            for (dataset, period, creation) in remove(&zfs, &config, false) {
                let run = runs[runs.partition_point(|run| *run <= creation) - 1];
                assert!(creation - run < 60, "{dataset} has one of {creation}, and there was no run");
                taken.entry((dataset, period)).or_default().push(run);
            }
        }
    }
    let mut count = 0;
    for rules in &RULES {
        for (period, slots) in rules.slots(&zone, start, start + days * 86_400) {
            let mut found = taken.remove(&(rules.dataset.to_string(), period)).unwrap_or_default();
            // The newest are seen each time.
            found.sort_unstable();
            found.dedup();
            let expected = expected(&slots, &runs);
            assert_eq!(found, expected, "{} {period}", rules.dataset);
            count += expected.len();
        }
    }
    assert!(taken.is_empty(), "{taken:?}");
    println!("{days} days, {} runs, {count} snapshots, {:?}", runs.len(), began.elapsed());
}

/// Which runs take one: the first of all, and the first of each slot that has any.
fn expected(slots: &[i64], runs: &[i64]) -> Vec<i64> {
    let mut expected = vec![runs[0]];
    for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot > runs[0]) {
        let next = slots.get(at + 1).copied().unwrap_or(i64::MAX);
        let first = runs.partition_point(|run| run < slot);
        expected.extend(runs.get(first).filter(|run| **run < next));
    }
    expected
}

/// All snapshots with their dates. They are destroyed, but for the newest of each period, unless all of them are to go.
fn remove(zfs: &Zfs, config: &Config, all: bool) -> Vec<(String, Period, i64)> {
    let survey = Survey::new(zfs, config).expect("a survey");
    let (mut found, mut doomed) = (Vec::new(), Vec::<SnapshotName>::new());
    for (seen, effective) in survey.each() {
        let mut newest = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for one in seen.snapshots.iter().rev() {
            let period = effective.policy.naming.period(one.name.short()).expect("all are of the policy");
            assert!(all || twice.insert((period, one.creation)), "{} was taken twice", one.name);
            found.push((seen.name.to_string(), period, one.creation));
            if all || !newest.insert(period) {
                doomed.push(one.name.clone());
            }
        }
    }
    if !doomed.is_empty() {
        let gone = zfs.destroy_snapshots(&doomed, WhenInUse::Keep).expect("destroyed");
        assert!(gone.failed.is_empty(), "{gone:?}");
    }
    found
}

impl Rules {
    /// When each is due, in seconds since 1970, by looking at the clock each minute.
    fn slots(&self, zone: &TimeZone, start: i64, end: i64) -> Vec<(Period, Vec<i64>)> {
        let mut shown = BTreeMap::<DateTime, i64>::new();
        let (mut frequently, mut hourly) = (Vec::new(), Vec::new());
        for at in (start - 86_400..end + 86_400).step_by(60) {
            let local = zone.to_datetime(Timestamp::from_second(at).expect("a time"));
            shown.entry(local).or_insert(at);
            if local.minute() % self.frequently == 0 {
                frequently.push(at);
            }
            if local.minute() == self.hourly {
                hourly.push(at);
            }
        }
        let dates: BTreeSet<Date> = shown.keys().map(|local| local.date()).collect();
        let of = |fits: &dyn Fn(Date) -> bool, hour: i8, minute: i8| -> Vec<i64> {
            let at = dates.iter().filter(|date| fits(**date)).filter_map(|date| {
                let time = date.at(hour, minute, 0, 0);
                // A time that is skipped comes as much later as was skipped.
                shown.get(&time).or_else(|| shown.get(&(time + 1.hour()))).copied()
            });
            at.filter(|at| *at < end).collect()
        };
        let day = |date: Date, day: i8| date.day() == day.min(date.days_in_month());
        let (weekday, hour, minute) = self.weekly;
        vec![
            (Period::Frequently, frequently),
            (Period::Hourly, hourly),
            (Period::Daily, of(&|_| true, self.daily.0, self.daily.1)),
            (Period::Weekly, of(&|date| date.weekday().to_sunday_zero_offset() == weekday, hour, minute)),
            (Period::Monthly, of(&|date| day(date, self.monthly.0), self.monthly.1, 0)),
            (Period::Yearly, of(&|date| date.month() == self.yearly.0 && day(date, self.yearly.1), 0, 0)),
        ]
    }
}
