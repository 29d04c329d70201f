//! A year and more of runs in zones whose clocks change, some of the runs left out, compared with what the rules say:
//! the expected slots are found by walking through every minute with a clock on the wall, not by calculating.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::date;
use zfs_core::Guid;
use zfs_core::Txg;

use super::*;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";
/// Clocks change by half an hour.
const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
/// Clocks change at midnight: one day of the year begins at 01:00, and one ends twice.
const MIDNIGHT: &str = "<-03>3<-02>,M10.3.0/0,M2.3.0/0";

/// From June 2027 to July 2028, with both changes of the clocks and a 29th of February.
const START: &str = "2027-06-15T06:00:00Z";
const DAYS: i64 = 400;

fn text<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is valid"))
}

fn schedule(zone: &str, odd: bool) -> Schedule {
    let zone = text(zone);
    if !odd {
        return Schedule {
            zone,
            frequently: Some(Every::default()),
            hourly: Some(Minute::default()),
            daily: Some(TimeOfDay::default()),
            weekly: Some(Weekly::default()),
            monthly: Some(Monthly::default()),
            yearly: Some(Yearly::default()),
        };
    }
    // Times that are skipped and that come twice, days that months lack, and a period that divides no hour.
    Schedule {
        zone,
        frequently: Some(text("50")),
        hourly: Some(text("45")),
        daily: Some(text("02:10")),
        weekly: Some(Weekly { day: text("sunday"), time: text("01:45") }),
        monthly: Some(Monthly { day: text("31"), time: text("02:30") }),
        yearly: Some(Yearly { month: text("2"), day: text("29"), time: text("12:00") }),
    }
}

/// The slots of a schedule, in seconds since 1970, by looking at a clock on the wall each minute.
struct Wall<'a> {
    schedule: &'a Schedule,
    slots: PerPeriod<Vec<i64>>,
    /// Minutes since 1970, each with a time that the clock showed or skipped over then, for the first time.
    shown: BTreeMap<i64, Vec<i64>>,
}

impl<'a> Wall<'a> {
    fn watch(schedule: &'a Schedule, from: Timestamp, days: i64) -> PerPeriod<Vec<i64>> {
        let mut wall = Self { schedule, slots: PerPeriod::default(), shown: BTreeMap::new() };
        let begin = from.as_second() / 60;
        let mut offset = 0;
        let mut before = None;
        let mut most = i64::MIN;
        for minute in begin..begin + days * 1440 {
            if minute % 15 == 0 || before.is_none() {
                let at = Timestamp::from_second(minute * 60).expect("a time");
                offset = i64::from(schedule.zone.jiff().to_offset(at).seconds()) / 60;
            }
            let clock = minute + offset;
            let last = before.replace(clock).unwrap_or(clock - 1);
            // A clock set forward skips times: they come as if it had not been.
            for skipped in last + 1..clock {
                wall.shown.entry(minute + skipped - last - 1).or_default().push(skipped);
            }
            // A clock set back shows times again: they do not count again.
            if clock > most {
                wall.shown.entry(minute).or_default().push(clock);
            }
            most = most.max(clock);
        }
        wall.calendar();
        wall.steps(Period::Frequently, schedule.frequently.map(|every| (0, every.minutes().into())));
        wall.steps(Period::Hourly, schedule.hourly.map(|minute| (minute.minute().into(), 60)));
        wall.slots
    }

    fn calendar(&mut self) {
        let mut day: (i64, Date) = (0, date(1970, 1, 1));
        for (minute, clocks) in &self.shown {
            for clock in clocks {
                while day.0 < clock.div_euclid(1440) {
                    day = (day.0 + 1, day.1.tomorrow().expect("a day"));
                }
                let (date, clock) = (day.1, clock.rem_euclid(1440));
                let last = date.tomorrow().expect("a day").month() != date.month();
                let at = |time: TimeOfDay| clock == i64::from(time.hour()) * 60 + i64::from(time.minute());
                let of_month = |day: MonthDay| {
                    let day = i64::from(day.day());
                    i64::from(date.day()) == day || (last && i64::from(date.day()) < day)
                };
                let weekday = |day: Weekday| {
                    i64::from(day.from_sunday_offset()) == i64::from(date.weekday().to_sunday_zero_offset())
                };
                let hits = [
                    (Period::Daily, self.schedule.daily.is_some_and(at)),
                    (Period::Weekly, self.schedule.weekly.is_some_and(|w| at(w.time) && weekday(w.day))),
                    (Period::Monthly, self.schedule.monthly.is_some_and(|m| at(m.time) && of_month(m.day))),
                    (
                        Period::Yearly,
                        self.schedule.yearly.is_some_and(|y| {
                            let month = i64::from(date.month()) == i64::from(y.month.month());
                            at(y.time) && month && of_month(y.day)
                        }),
                    ),
                ];
                for (period, _) in hits.into_iter().filter(|(_, hit)| *hit) {
                    self.slots[period].push(minute * 60);
                }
            }
        }
    }

    /// Counts minutes from `first` minutes after each midnight.
    fn steps(&mut self, period: Period, taken: Option<(i64, i64)>) {
        let Some((first, width)) = taken else { return };
        let midnights = self.shown.iter().filter(|(_, clocks)| clocks.iter().any(|clock| clock % 1440 == 0));
        let begins: Vec<_> = midnights.map(|(minute, _)| minute + first).collect();
        for pair in begins.windows(2) {
            self.slots[period].extend((pair[0]..pair[1]).step_by(width as usize).map(|minute| minute * 60));
        }
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit) as i64
    }
}

/// The times of runs every `step` seconds, some left out, and now and then all of some days.
fn runs(step: i64, skipping: bool, random: &mut Random) -> Vec<i64> {
    let start = text::<Timestamp>(START).as_second();
    let mut runs = Vec::new();
    let mut away_until = start;
    for at in (start..start + DAYS * 86_400).step_by(step as usize) {
        if skipping && random.below(2000) == 0 {
            away_until = at + random.below(5 * 86_400);
        }
        if !skipping || (at >= away_until && random.below(8) != 0) {
            runs.push(at + random.below(50));
        }
    }
    runs
}

/// Which runs take a snapshot of each period: the first of all, and the first run of each slot that has any.
fn expected(slots: &[i64], runs: &[i64]) -> Vec<i64> {
    let mut expected = vec![runs[0]];
    for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot > runs[0]) {
        let next = slots.get(at + 1).copied().unwrap_or(i64::MAX);
        let first = runs.partition_point(|run| run < slot);
        expected.extend(runs.get(first).filter(|run| **run < next));
    }
    expected
}

fn counts() -> PerPeriod<u32> {
    PerPeriod::new(|period| match period {
        Period::Yearly => 1,
        Period::Monthly => 3,
        Period::Weekly => 2,
        Period::Daily => 5,
        Period::Hourly => 10,
        Period::Frequently => 6,
    })
}

/// What was taken at each period, by the runs, and what is left of it at the end.
struct Year {
    taken: PerPeriod<Vec<i64>>,
    left: PerPeriod<Vec<i64>>,
}

fn live(schedule: &Schedule, style: Style, runs: &[i64], random: &mut Random) -> Year {
    let naming = Naming { style, ..Naming::default() };
    let retention = Retention::sanoid(counts(), schedule.frequently.unwrap_or_default(), Defer::default());
    let dataset: zfs_core::name::DatasetName = text("tank/a");
    let mut taken = PerPeriod::<Vec<i64>>::default();
    let (mut snapshots, mut number) = (Vec::<Snapshot>::new(), 0);
    let mut run_of = BTreeMap::new();
    for (nth, run) in runs.iter().enumerate() {
        let now = Timestamp::new(*run, 700_000_000).expect("a time");
        for due in due(schedule, style, &naming, &snapshots, now).into_iter().filter(|due| due.due) {
            number += 1;
            let exists = |name: &str| snapshots.iter().any(|one| one.name.short() == name);
            let name = dataset.snapshot(&naming.name(now, due.period, exists)).expect("a name");
            let creation = run + random.below(4);
            taken[due.period].push(*run);
            run_of.insert(Guid(number), *run);
            snapshots.push(Snapshot { name, guid: Guid(number), createtxg: Txg(number), creation });
        }
        if nth % 8 == 0 || nth + 1 == runs.len() {
            let pruning = Pruning {
                snapshots: &snapshots,
                retention: &retention,
                naming: &naming,
                zone: &schedule.zone,
                needed: &[],
                targets: &[],
                capacity: None,
                now: Timestamp::from_second(run + 5).expect("a time"),
            };
            let kept: Vec<_> = prune(pruning).iter().map(|one| one.keep).collect();
            let mut kept = kept.into_iter();
            snapshots.retain(|_| kept.next() == Some(true));
        }
    }
    let mut left = PerPeriod::<Vec<i64>>::default();
    for one in &snapshots {
        left[naming.period(one.name.short()).expect("one of ours")].push(run_of[&one.guid]);
    }
    Year { taken, left }
}

fn check(zone: &str, step: i64, odd: bool, skipping: bool) {
    let schedule = schedule(zone, odd);
    let mut random = Random(step as u64 + u64::from(odd));
    let runs = runs(step, skipping, &mut random);
    let year = live(&schedule, Style::Ours, &runs, &mut random);
    // From days before, so that each step has a midnight to count from.
    let from = Timestamp::from_second(text::<Timestamp>(START).as_second() - 3 * 86_400).expect("a time");
    let slots = Wall::watch(&schedule, from, DAYS + 5);
    let end = *runs.last().expect("runs");
    for (period, slots) in slots.iter() {
        let expected = expected(slots, &runs);
        assert!(expected.len() as i64 >= [2, 13, 57, 300][(period as usize).min(3)], "{zone} {period}");
        assert_eq!(year.taken[period], expected, "taken: {zone} {period}, every {step} s, odd: {odd}");
        let count = counts()[period];
        let age = i64::from(count) * period.seconds(schedule.frequently.unwrap_or_default()) as i64;
        let first = expected.len().saturating_sub(count as usize);
        let stays = |(at, run): &(usize, &i64)| *at >= first || end - **run <= age;
        let left: Vec<i64> = expected.iter().enumerate().filter(stays).map(|(_, run)| *run).collect();
        assert_eq!(year.left[period], left, "left: {zone} {period}, every {step} s, odd: {odd}");
    }
}

#[test]
fn a_year_in_berlin_has_each_snapshot_once() {
    check(BERLIN, 900, false, true);
    check(BERLIN, 3600, true, true);
}

#[test]
fn a_year_in_new_york_has_each_snapshot_once() {
    check(NEW_YORK, 900, true, true);
    check(NEW_YORK, 3600, false, true);
}

#[test]
fn a_year_on_lord_howe_island_has_each_snapshot_once() {
    check(LORD_HOWE, 900, true, true);
    check(LORD_HOWE, 3600, false, true);
}

#[test]
fn a_year_with_changes_at_midnight_has_each_snapshot_once() {
    check(MIDNIGHT, 3600, false, true);
    check(MIDNIGHT, 3600, true, false);
}

/// Slots follow each other without a gap, whatever the schedule.
#[test]
fn each_instant_lies_in_one_slot() {
    let mut random = Random(8);
    for zone in [BERLIN, NEW_YORK, LORD_HOWE, MIDNIGHT] {
        for odd in [false, true] {
            let schedule = schedule(zone, odd);
            for at in (0..500).map(|_| random.below(1 << 31)) {
                for period in Period::ALL {
                    let of = |at| {
                        let at = Timestamp::from_second(at).expect("a time");
                        schedule.slot(period, at).expect("a slot")
                    };
                    let slot = of(at);
                    assert!(slot.start <= at && at < slot.next, "{zone} {period} {at}: {slot:?}");
                    assert_eq!((of(slot.start), of(slot.next - 1)), (slot, slot), "{zone} {period} {at}");
                    assert_eq!(of(slot.next).start, slot.next, "{zone} {period} {at}");
                }
            }
        }
    }
}

/// Two slots of an hour are never further apart than one, and both changes of the clocks have their hours.
#[test]
fn no_hour_is_missing_on_days_when_clocks_change() {
    for (zone, longest) in [(BERLIN, 25), (NEW_YORK, 25), (LORD_HOWE, 25)] {
        let schedule = schedule(zone, false);
        let mut of_days = BTreeMap::<_, u32>::new();
        let mut at = text::<Timestamp>(START);
        let end = at.as_second() + DAYS * 86_400;
        while at.as_second() < end {
            let slot = schedule.slot(Period::Hourly, at).expect("a slot");
            assert!(slot.start <= at.as_second() && at.as_second() < slot.next, "{zone} {at}");
            assert!(slot.next - slot.start <= 3600, "{zone} {at}");
            let start = Timestamp::from_second(slot.start).expect("a time");
            *of_days.entry(start.to_zoned(schedule.zone.jiff().clone()).date()).or_default() += 1;
            at = Timestamp::from_second(slot.next).expect("a time");
        }
        let days: Vec<_> = of_days.values().skip(1).rev().skip(1).copied().collect();
        assert_eq!(days.iter().max(), Some(&longest), "{zone}");
        assert_eq!(days.iter().filter(|hours| **hours == longest).count(), 1, "{zone}");
        let shortest = if zone == LORD_HOWE { 24 } else { 23 };
        assert_eq!(days.iter().min(), Some(&shortest), "{zone}");
    }
}

/// Where clocks do not change, sanoid's rule gives the same year as ours.
#[test]
fn a_year_of_sanoid_in_utc_is_the_same_as_ours() {
    let schedule = schedule("UTC", false);
    let of = |style| {
        let mut random = Random(4711);
        let runs = runs(900, true, &mut random);
        live(&schedule, style, &runs, &mut random).taken
    };
    assert_eq!(of(Style::Sanoid), of(Style::Ours));
}

/// With its bugs mended, sanoid's rule takes each snapshot once, also when clocks change.
#[test]
fn a_year_of_sanoid_in_berlin_has_each_snapshot_once() {
    let schedule = schedule(BERLIN, false);
    let of = |style| {
        let mut random = Random(3);
        let runs = runs(900, true, &mut random);
        live(&schedule, style, &runs, &mut random).taken
    };
    assert_eq!(of(Style::Sanoid), of(Style::Ours));
}
