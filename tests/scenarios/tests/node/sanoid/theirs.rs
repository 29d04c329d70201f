//! What sanoid 2.3 takes for the last preferred time of a period, its mistakes included, and which of them it is.

use jiff::Zoned;
use jiff::civil::Time;
use jiff::civil::time;
use jiff::tz::AmbiguousOffset;
use replicator::policy::Period;
use replicator::policy::Schedule;

use super::case::Case;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// In seconds since 1970.
pub(super) fn preferred(case: &Case, schedule: &Schedule, period: Period) -> i64 {
    let (zone, now) = (case.tz(), case.now);
    let local = case.timestamp().to_zoned(zone.clone());
    let today = local.date();
    let at = |date: jiff::civil::Date, time: Time| {
        date.to_datetime(time).to_zoned(zone.clone()).expect("a time").timestamp().as_second()
    };
    let summer = |second: i64| {
        let second = jiff::Timestamp::from_second(second).expect("a time");
        zone.to_offset_info(second).dst().is_dst()
    };
    let set_back = if summer(at(today, Time::midnight())) && !summer(now) { HOUR } else { 0 };
    let clock = |time: replicator::policy::TimeOfDay| civil(time.hour(), time.minute());
    let earlier = |start: i64, by: i64| if start > now { start - by } else { start };
    match period {
        Period::Frequently => {
            let width = schedule.frequently.expect("taken").minutes() as i8;
            earlier(
                at(today, time(local.hour(), local.minute() / width * width, 0, 0)),
                i64::from(width) * 60,
            )
        }
        Period::Hourly => {
            let minute = schedule.hourly.expect("taken").minute() as i8;
            earlier(at(today, time(local.hour(), minute, 0, 0)) + set_back, HOUR)
        }
        Period::Daily => {
            let start = at(today, clock(schedule.daily.expect("taken"))) + set_back;
            let start = if summer(now) && !summer(start) { start - HOUR } else { start };
            earlier(start, DAY + 2 * set_back)
        }
        Period::Weekly => {
            let weekly = schedule.weekly.expect("taken");
            let today_is = i64::from(today.weekday().to_sunday_zero_offset());
            let ahead = (i64::from(weekly.day.from_sunday_offset()) - today_is).rem_euclid(7);
            earlier(at(today, clock(weekly.time)) + ahead * DAY, 7 * DAY)
        }
        Period::Monthly => {
            let monthly = schedule.monthly.expect("taken");
            let date = today.with().day(monthly.day.day() as i8).build().expect("a day that all months have");
            earlier(at(date, clock(monthly.time)), 31 * DAY)
        }
        Period::Yearly => {
            let yearly = schedule.yearly.expect("taken");
            let date = today.with().day(yearly.day.day() as i8).month(yearly.month.month() as i8);
            earlier(
                at(date.build().expect("a day that all months have"), clock(yearly.time)),
                31 * (365 * DAY + DAY / 4),
            )
        }
    }
}

/// Which mistake makes that another time than the beginning of our slot.
pub(super) fn mistake(case: &Case, period: Period, slot: i64) -> Option<&'static str> {
    let zone = case.tz();
    let local = case.timestamp().to_zoned(zone.clone());
    let offset = |days: i64| {
        let at = jiff::Timestamp::from_second(case.now + days * DAY).expect("a time");
        zone.to_offset(at)
    };
    let began = jiff::Timestamp::from_second(slot).expect("a time").to_zoned(zone.clone());
    let later_in = |same: fn(&Zoned) -> i16| same(&began) != same(&local);
    let found = match period {
        Period::Frequently => match zone.to_ambiguous_timestamp(local.datetime()).offset() {
            AmbiguousOffset::Fold { after, .. } => (local.offset() == after, "the hour comes again"),
            _ => return None,
        },
        Period::Hourly => (offset(-1) > offset(0), "the minute of an hour when clocks are set back"),
        // Before a change, too: a day is taken from the time of today, which is on the other side of it.
        Period::Daily => {
            (offset(-2) != offset(0) || offset(1) != offset(0), "daily round a change of the clocks")
        }
        Period::Weekly => {
            let changes = offset(-8) != offset(1) || offset(-8) != offset(0);
            (changes, "weekly round a change of the clocks")
        }
        Period::Monthly => (later_in(|one| i16::from(one.month())), "31 days before the monthly time"),
        Period::Yearly => (later_in(Zoned::year), "31 years before the yearly time"),
    };
    found.0.then_some(found.1)
}

fn civil(hour: u8, minute: u8) -> Time {
    time(hour as i8, minute as i8, 0, 0)
}
