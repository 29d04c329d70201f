//! When sanoid 2.3 takes a snapshot of a period to be due: its "last preferred time" for each period, which is the
//! start of a [`Slot`] here. For those who keep its configuration and expect its snapshots at its times.
//!
//! Changed, because there snapshots were missed or taken twice, or a run failed:
//! - `frequently` has its slots also in the hour that comes twice. There, that hour got none, a gap of 75 minutes with
//!   a period of 15.
//! - A day that a month lacks (`monthly_mday = 31`, `yearly_mday = 29` in February) is its last day. There, every run
//!   of such a month ended before it took anything.
//! - Before the yearly time, the time of the year before counts. There, 31 years were subtracted, so that a missed
//!   yearly snapshot was not taken until the next one was due.
//! - No slot begins in the future. There, on the day when clocks are set back, that of `hourly` did until its minute came
//!   (unless that is 0), and each run took one more.
//! - A snapshot dated in the future ([`super::due`]) does not suppress others for longer than one slot.
//!
//! Kept, although odd:
//! - `frequently` counts from the full hour, so that a period that does not divide 60 begins anew each hour, and one
//!   above 60 is an hour.
//! - On the day when clocks are set back, the daily snapshot is due one hour late, counted on the clock. The weekly
//!   and monthly times may be an hour off near a change, and a day before the weekly time one more may be taken.
//! - Before the monthly time, the time 31 days earlier counts.
//! - A change of the clocks is taken to be one hour.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::civil::time;

use super::period::Period;
use super::schedule::Schedule;
use super::slots::Slot;
use super::slots::clipped;
use super::slots::instant;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The slot that sanoid sees at that time. It ends one period later, which only matters for snapshots dated in the
/// future.
pub(super) fn slot(schedule: &Schedule, period: Period, now: Timestamp) -> Option<Slot> {
    let zone = schedule.zone.jiff();
    let local = now.to_zoned(zone.clone());
    let (today, at) = (local.date(), now.as_second());
    let summer = |second| Some(zone.to_offset_info(Timestamp::from_second(second).ok()?).dst().is_dst());
    let is_summer = summer(at)?;
    let began_in_summer = summer(instant(zone, today, Time::midnight())?)?;
    let set_back = if began_in_summer && !is_summer { HOUR } else { 0 };
    let or_before = |mut start: i64, length: i64| {
        while start > at {
            start -= length;
        }
        start
    };

    let (start, length) = match period {
        Period::Frequently => {
            let width = i64::from(schedule.frequently?.minutes());
            let past = i64::from(local.minute()) % width;
            (at - past * 60 - i64::from(local.second()), width * 60)
        }
        Period::Hourly => {
            let minute = i8::try_from(schedule.hourly?.minute()).ok()?;
            let start = instant(zone, today, time(local.hour(), minute, 0, 0))? + set_back;
            (or_before(start, HOUR), HOUR)
        }
        Period::Daily => {
            let mut start = instant(zone, today, schedule.daily?.civil())? + set_back;
            if is_summer && !summer(start)? {
                start -= HOUR;
            }
            (or_before(start, DAY + 2 * set_back), DAY)
        }
        Period::Weekly => {
            let weekly = schedule.weekly?;
            let wanted = i64::from(weekly.day.from_sunday_offset());
            let ahead = (wanted - i64::from(today.weekday().to_sunday_zero_offset())).rem_euclid(7);
            let start = instant(zone, today, weekly.time.civil())? + ahead * DAY;
            (or_before(start, 7 * DAY), 7 * DAY)
        }
        Period::Monthly => {
            let monthly = schedule.monthly?;
            let date = clipped(today.year(), today.month(), monthly.day)?;
            (or_before(instant(zone, date, monthly.time.civil())?, 31 * DAY), 31 * DAY)
        }
        Period::Yearly => {
            let yearly = schedule.yearly?;
            let month = i8::try_from(yearly.month.month()).ok()?;
            let of = |year| instant(zone, clipped(year, month, yearly.day)?, yearly.time.civil());
            let this = of(today.year())?;
            (if this > at { of(today.year() - 1)? } else { this }, 366 * DAY)
        }
    };
    Some(Slot { start, next: start + length })
}
