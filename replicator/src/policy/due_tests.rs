//! What is due, one case at a time: late runs, wrong clocks, and what is peculiar to sanoid.

use jiff::Timestamp;
use zfs_core::Guid;
use zfs_core::Txg;

use super::*;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const DAY: i64 = 86_400;

fn text<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is valid"))
}

fn at(time: &str) -> Timestamp {
    text(time)
}

fn snapshot(txg: u64, created: &str, period: &str) -> Snapshot {
    let name = format!("tank/a@autosnap_2026-01-01_00:00:{:02}_{period}", txg % 60);
    Snapshot { name: text(&name), guid: Guid(txg), createtxg: Txg(txg), creation: at(created).as_second() }
}

fn hourly() -> Schedule {
    Schedule { hourly: Some(Minute::default()), ..Schedule::default() }
}

/// The answers for these snapshots at that time.
fn ask(schedule: &Schedule, style: Style, snapshots: &[Snapshot], now: &str) -> Vec<Due> {
    due(schedule, style, &Naming::default(), snapshots, at(now))
}

fn is_due(schedule: &Schedule, style: Style, snapshots: &[Snapshot], now: &str) -> bool {
    let answers = ask(schedule, style, snapshots, now);
    assert_eq!(answers.len(), 1);
    answers[0].due
}

#[test]
fn each_answer_says_why() {
    let schedule = hourly();
    let says = |snapshots: &[Snapshot], now| ask(&schedule, Style::Ours, snapshots, now)[0].to_string();
    assert_eq!(says(&[], "2026-05-01T10:20:00Z"), "hourly: due, there is none yet");
    let one = [snapshot(7, "2026-05-01T10:00:00Z", "hourly")];
    assert_eq!(
        says(&one, "2026-05-01T10:59:59Z"),
        "hourly: not due, autosnap_2026-01-01_00:00:07_hourly was taken since 2026-05-01T10:00:00Z"
    );
    assert_eq!(
        says(&one, "2026-05-01T11:00:00Z"),
        "hourly: due since 2026-05-01T11:00:00Z, the newest is of 2026-05-01T10:00:00Z"
    );
    let wrong = [snapshot(7, "2026-05-01T12:30:00Z", "hourly")];
    assert_eq!(
        says(&wrong, "2026-05-01T11:00:00Z"),
        "hourly: due since 2026-05-01T11:00:00Z; autosnap_2026-01-01_00:00:07_hourly is dated \
         2026-05-01T12:30:00Z, which cannot be right"
    );
    let json = serde_json::to_value(&ask(&schedule, Style::Ours, &one, "2026-05-01T11:00:00Z")[0]);
    assert_eq!(json.expect("JSON")["reason"]["kind"], "began");
}

#[test]
fn only_what_is_scheduled_is_asked_about_longest_first() {
    assert!(ask(&Schedule::default(), Style::Ours, &[], "2026-05-01T10:20:00Z").is_empty());
    let schedule = Schedule {
        frequently: Some(Every::default()),
        yearly: Some(Yearly::default()),
        daily: Some(TimeOfDay::default()),
        ..Schedule::default()
    };
    for style in [Style::Ours, Style::Sanoid] {
        let answers = ask(&schedule, style, &[], "2026-05-01T10:20:00Z");
        let periods: Vec<_> = answers.iter().map(|one| one.period).collect();
        assert_eq!(periods, [Period::Yearly, Period::Daily, Period::Frequently]);
    }
}

/// Snapshots of others, and of other periods, are not taken for the one that is due.
#[test]
fn a_slot_is_only_taken_by_its_own_period() {
    let mut others = vec![snapshot(1, "2026-05-01T10:00:00Z", "daily")];
    others.push(Snapshot { name: text("tank/a@manual"), ..snapshot(2, "2026-05-01T10:01:00Z", "hourly") });
    for style in [Style::Ours, Style::Sanoid] {
        assert!(is_due(&hourly(), style, &others, "2026-05-01T10:02:00Z"));
    }
}

/// A clock that steps back a little makes no second snapshot of a slot.
#[test]
fn a_snapshot_a_little_ahead_counts_for_its_slot() {
    let one = [snapshot(1, "2026-05-01T10:30:30Z", "hourly")];
    for style in [Style::Ours, Style::Sanoid] {
        assert!(!is_due(&hourly(), style, &one, "2026-05-01T10:30:00Z"));
        assert!(!is_due(&hourly(), style, &one, "2026-05-01T10:00:00Z"));
        // The slot before is another one.
        assert!(is_due(&hourly(), style, &one, "2026-05-01T09:00:00Z"));
        assert!(is_due(&hourly(), style, &one, "2026-05-01T11:00:00Z"));
    }
}

/// One that was dated in the future does not suppress the snapshot of its slot when that comes.
#[test]
fn a_snapshot_that_is_older_than_its_date_counts_for_nothing() {
    let ahead = snapshot(1, "2026-08-01T10:05:00Z", "hourly");
    let later = snapshot(2, "2026-05-01T10:00:00Z", "daily");
    for style in [Style::Ours, Style::Sanoid] {
        let only = [ahead.clone()];
        assert!(is_due(&hourly(), style, &only, "2026-05-01T10:06:00Z"));
        assert!(!is_due(&hourly(), style, &only, "2026-08-01T10:06:00Z"), "nothing speaks against it");
        let both = [later.clone(), ahead.clone()];
        assert!(is_due(&hourly(), style, &both, "2026-08-01T10:06:00Z"), "it was there in May");
    }
}

/// A clock that is set right by less than it was wrong for: the snapshots of the wrong time lie all around.
#[test]
fn snapshots_taken_by_a_clock_that_was_ahead_count_as_older() {
    // Each hour, by a clock that was an hour and a half ahead; now it is 11:30.
    let wrong = |hour: u64| snapshot(hour, &format!("2026-05-01T{hour:02}:00:00Z"), "hourly");
    let mut all: Vec<_> = (6..=13).map(wrong).collect();
    for style in [Style::Ours, Style::Sanoid] {
        assert!(is_due(&hourly(), style, &all, "2026-05-01T11:30:00Z"));
        // The clock may have gone wrong after 11:00, if nothing was taken between.
        let jump: Vec<_> = all.iter().filter(|one| one.guid != Guid(12)).cloned().collect();
        assert!(!is_due(&hourly(), style, &jump, "2026-05-01T11:30:00Z"));
    }
    all.push(snapshot(14, "2026-05-01T11:30:01Z", "hourly"));
    for style in [Style::Ours, Style::Sanoid] {
        assert!(!is_due(&hourly(), style, &all, "2026-05-01T11:31:00Z"));
        assert!(is_due(&hourly(), style, &all, "2026-05-01T12:00:00Z"));
        assert!(is_due(&hourly(), style, &all, "2026-05-01T13:00:00Z"));
    }
}

/// A machine whose clock was wrong for two days, by so many days; it runs each half hour.
fn wrong_clock(style: Style, wrong_by: i64) {
    let schedule = Schedule {
        frequently: None,
        hourly: Some(text("0")),
        daily: Some(text("12:00")),
        weekly: Some(Weekly::default()),
        monthly: Some(Monthly::default()),
        yearly: Some(Yearly::default()),
        ..Schedule::default()
    };
    let naming = Naming { style, ..Naming::default() };
    let start = at("2026-05-01T10:00:00Z").as_second();
    let (right_again, end) = (start + 12 * DAY, start + 60 * DAY);
    let mut snapshots = Vec::<Snapshot>::new();
    // What was taken of each period, by the right time.
    let mut taken = PerPeriod::<Vec<i64>>::default();
    for (run, right) in (start..end).step_by(1800).enumerate() {
        let wrong = right >= start + 10 * DAY && right < right_again;
        let now = Timestamp::from_second(right + if wrong { wrong_by * DAY } else { 0 }).expect("a time");
        for due in due(&schedule, style, &naming, &snapshots, now).into_iter().filter(|due| due.due) {
            let txg = run as u64 * 10 + due.period as u64;
            let name = text(&format!("tank/a@{}", naming.name(now, due.period, |_| false)));
            let creation = now.as_second() + 1;
            snapshots.push(Snapshot { name, guid: Guid(txg), createtxg: Txg(txg), creation });
            taken[due.period].push(right);
        }
        // Of each period some of the newest are enough, and everything from the wrong days.
        let mut newer = PerPeriod::<u32>::default();
        snapshots.reverse();
        snapshots.retain(|one| {
            let newer = &mut newer[naming.period(one.name.short()).expect("one of ours")];
            *newer += 1;
            let taken = start + one.createtxg.0 as i64 / 10 * 1800;
            *newer <= 3 || (start + 10 * DAY..right_again + DAY).contains(&taken)
        });
        snapshots.reverse();
    }
    for (period, taken) in taken.iter().filter(|(period, _)| schedule.takes(*period)) {
        let slot = |right: i64| {
            let right = Timestamp::from_second(right).expect("a time");
            match style {
                Style::Ours => schedule.slot(period, right),
                Style::Sanoid => super::sanoid::slot(&schedule, period, right),
            }
        };
        let mut missed = Vec::new();
        let mut right = right_again;
        while right < end {
            let slot = slot(right).expect("a slot");
            let here = taken.iter().filter(|taken| (right..slot.next).contains(*taken)).count();
            if here == 0 && right > right_again {
                missed.push(right);
            }
            // The slot in which the clock was set right may have been taken before.
            assert!(here <= 1 + usize::from(right == right_again), "{period}: {here} at {right}");
            right = slot.next.max(right + 1);
        }
        assert!(missed.is_empty(), "{wrong_by} {period}: {missed:?}");
        // Twice the wrong time makes one more: when the clock goes wrong and when it is right again.
        if period == Period::Yearly {
            assert!(taken.len() <= 3, "{wrong_by} {taken:?}");
        }
    }
}

#[test]
fn a_clock_that_was_ahead_suppresses_nothing_and_repeats_nothing() {
    for days in [1, 20, 400] {
        wrong_clock(Style::Ours, days);
    }
}

#[test]
fn a_clock_that_was_behind_suppresses_nothing_and_repeats_nothing() {
    for days in [-1, -20, -20_000] {
        wrong_clock(Style::Ours, days);
    }
}

/// The start of the slot, for schedules of one period.
fn slot(schedule: &Schedule, style: Style, now: &str) -> String {
    let answers = ask(schedule, style, &[], now);
    assert_eq!(answers.len(), 1);
    Timestamp::from_second(answers[0].slot).expect("a time").to_string()
}

#[test]
fn a_day_that_a_month_lacks_is_its_last() {
    let monthly = |day: &str| Schedule {
        monthly: Some(Monthly { day: text(day), time: TimeOfDay::MIDNIGHT }),
        ..Schedule::default()
    };
    for (day, now, ours) in [
        ("31", "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("31", "2026-02-27T23:59:59Z", "2026-01-31T00:00:00Z"),
        ("31", "2028-02-29T05:00:00Z", "2028-02-29T00:00:00Z"),
        ("30", "2026-03-29T05:00:00Z", "2026-02-28T00:00:00Z"),
        ("31", "2026-05-01T00:00:00Z", "2026-04-30T00:00:00Z"),
    ] {
        assert_eq!(slot(&monthly(day), Style::Ours, now), ours, "{day} {now}");
    }
    let yearly = Schedule {
        yearly: Some(Yearly { month: text("2"), day: text("29"), time: TimeOfDay::MIDNIGHT }),
        ..Schedule::default()
    };
    assert_eq!(slot(&yearly, Style::Ours, "2028-02-28T12:00:00Z"), "2027-02-28T00:00:00Z");
    assert_eq!(slot(&yearly, Style::Ours, "2028-02-29T12:00:00Z"), "2028-02-29T00:00:00Z");
    // Real sanoid ends here before it takes anything.
    assert_eq!(slot(&monthly("31"), Style::Sanoid, "2026-02-28T12:00:00Z"), "2026-02-28T00:00:00Z");
    assert_eq!(slot(&yearly, Style::Sanoid, "2027-03-01T12:00:00Z"), "2027-02-28T00:00:00Z");
}

#[test]
fn a_date_that_a_zone_skipped_is_no_gap() {
    // Samoa had no 30th of December 2011.
    let zone: Result<Zone, _> = "Pacific/Apia".parse();
    let Ok(zone) = zone else { panic!("this test needs the zone database (package tzdata)") };
    let schedule = Schedule { zone, daily: Some(text("12:00")), ..Schedule::default() };
    assert_eq!(slot(&schedule, Style::Ours, "2011-12-30T23:00:00Z"), "2011-12-30T22:00:00Z");
    assert_eq!(slot(&schedule, Style::Ours, "2011-12-30T21:59:59Z"), "2011-12-29T22:00:00Z");
}

/// Sanoid's preferred times for a clock in Berlin.
#[test]
fn sanoid_finds_its_last_preferred_times() {
    let zone = || text::<Zone>(BERLIN);
    let frequently = Schedule { zone: zone(), frequently: Some(Every::default()), ..Schedule::default() };
    let hourly = Schedule { zone: zone(), hourly: Some(Minute::default()), ..Schedule::default() };
    let half = Schedule { zone: zone(), hourly: Some(text("30")), ..Schedule::default() };
    let noon = Schedule { zone: zone(), daily: Some(text("12:00")), ..Schedule::default() };
    let gap = Schedule { zone: zone(), daily: Some(text("02:30")), ..Schedule::default() };
    let weekly = Schedule { zone: zone(), weekly: Some(Weekly::default()), ..Schedule::default() };
    let monthly = Schedule {
        zone: zone(),
        monthly: Some(Monthly { day: text("15"), time: TimeOfDay::MIDNIGHT }),
        ..Schedule::default()
    };
    let yearly = Schedule {
        zone: zone(),
        yearly: Some(Yearly { month: text("12"), day: text("31"), time: text("23:00") }),
        ..Schedule::default()
    };
    for (schedule, now, expected) in [
        // Both times of 02:40 on the day when clocks are set back; without the fix, the first of both.
        (&frequently, "2026-10-25T00:40:00Z", "2026-10-25T00:30:00Z"),
        (&frequently, "2026-10-25T01:40:00Z", "2026-10-25T01:30:00Z"),
        (&hourly, "2026-10-25T00:40:00Z", "2026-10-25T00:00:00Z"),
        (&hourly, "2026-10-25T01:40:00Z", "2026-10-25T01:00:00Z"),
        (&hourly, "2026-10-25T14:40:00Z", "2026-10-25T14:00:00Z"),
        (&half, "2026-06-01T10:29:59Z", "2026-06-01T09:30:00Z"),
        (&half, "2026-06-01T10:30:00Z", "2026-06-01T10:30:00Z"),
        // Without the fix, 14:30, which is still to come.
        (&half, "2026-10-25T14:10:00Z", "2026-10-25T13:30:00Z"),
        (&noon, "2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z"),
        (&noon, "2026-06-01T09:59:59Z", "2026-05-31T10:00:00Z"),
        // Without the fix, an hour late on that day.
        (&noon, "2026-10-25T10:59:59Z", "2026-10-24T10:00:00Z"),
        (&noon, "2026-10-25T11:00:00Z", "2026-10-25T11:00:00Z"),
        // 02:30 is skipped.
        (&gap, "2026-03-29T01:29:00Z", "2026-03-28T01:30:00Z"),
        (&gap, "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z"),
        (&weekly, "2026-06-02T00:00:00Z", "2026-06-01T21:30:00Z"),
        (&weekly, "2026-06-01T21:00:00Z", "2026-05-25T21:30:00Z"),
        (&weekly, "2026-06-07T12:00:00Z", "2026-06-01T21:30:00Z"),
        // Without the fix, 22:30.
        (&weekly, "2026-10-25T12:00:00Z", "2026-10-19T21:30:00Z"),
        (&monthly, "2026-05-16T00:00:00Z", "2026-05-14T22:00:00Z"),
        // Without the fix, 31 days before the 15th: the 14th of April and, by the other clock, 01:00 of the 15th of October.
        (&monthly, "2026-05-10T00:00:00Z", "2026-04-14T22:00:00Z"),
        (&monthly, "2026-11-10T00:00:00Z", "2026-10-14T22:00:00Z"),
        (&yearly, "2026-12-31T21:59:59Z", "2025-12-31T22:00:00Z"),
        (&yearly, "2026-12-31T22:00:00Z", "2026-12-31T22:00:00Z"),
    ] {
        assert_eq!(slot(schedule, Style::Sanoid, now), expected, "{now} {schedule:?}");
    }
}

/// A yearly snapshot that was missed is made up for, also before the next one is due.
#[test]
fn sanoid_makes_up_for_a_missed_year() {
    let yearly = Schedule {
        yearly: Some(Yearly { month: text("11"), day: text("1"), time: TimeOfDay::MIDNIGHT }),
        ..Schedule::default()
    };
    let old = [snapshot(1, "2024-11-01T00:00:00Z", "yearly")];
    assert!(is_due(&yearly, Style::Sanoid, &old, "2026-03-01T00:00:00Z"));
    let made_up = [snapshot(1, "2025-11-03T00:00:00Z", "yearly")];
    assert!(!is_due(&yearly, Style::Sanoid, &made_up, "2026-03-01T00:00:00Z"));
}

#[test]
fn times_outside_of_any_calendar_are_never_due_and_never_a_panic() {
    let mut schedule = hourly();
    schedule.frequently = Some(Every::default());
    schedule.daily = Some(TimeOfDay::default());
    schedule.weekly = Some(Weekly::default());
    schedule.monthly = Some(Monthly::default());
    schedule.yearly = Some(Yearly::default());
    let mut odd = snapshot(1, "2026-05-01T10:00:00Z", "hourly");
    for style in [Style::Ours, Style::Sanoid] {
        for now in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            for creation in [i64::MIN, -1, 0, i64::MAX] {
                odd.creation = creation;
                let _ = due(&schedule, style, &Naming::default(), std::slice::from_ref(&odd), now)
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>();
            }
        }
    }
}
