//! When sanoid 2.3 takes a snapshot of a period to be due: its "last preferred time" for each period, which is the
//! start of a [`Slot`] here. For those who keep its configuration and expect its snapshots at its times.
//!
//! Changed, because there snapshots were missed or taken twice, or a run failed:
//! - `frequently` has its slots also in the hour that comes twice. There, that hour got none, a gap of 75 minutes with
//!   a period of 15.
//! - No hour begins in the future. There, on the day when clocks are set back, that of `hourly` did until its minute came
//!   (unless that is 0), and each run took one more.
//! - The daily time is the same on the days round a change of the clocks. There, when they are set back, it was an hour
//!   late, and a daily snapshot of before the change was taken twice.
//! - The weekly time is the same before and after a change of the clocks. There, it was an hour off until it came again,
//!   and from the day on when clocks are set back one more was taken.
//! - Before the monthly time, that of the month before counts. There, it was 31 days earlier: after a month of 31 days in
//!   which clocks were set back, one more was taken, and after a shorter one a snapshot that was missed was not made up
//!   for when the one before it had been late.
//! - Before the yearly time, that of the year before counts. There, 31 years were subtracted, so that a missed yearly
//!   snapshot was not taken until the next one was due.
//! - A day that a month lacks (`monthly_mday = 31`, `yearly_mday = 29` in February) is its last day. There, every run
//!   of such a month ended before it took anything.
//! - A snapshot dated in the future ([`super::due`]) does not suppress others for longer than one slot.
//!
//! Kept, although odd:
//! - `frequently` counts from the full hour, so that a period that does not divide 60 begins anew each hour.
//! - A change of the clocks is taken to be one hour.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::civil::time;

use super::period::Period;
use super::schedule::Schedule;
use super::slots::Slot;
use super::slots::instant;

const HOUR: i64 = 3600;

/// The slot that sanoid sees at that time. It ends one period later, which only matters for snapshots dated in the
/// future.
pub(super) fn slot(schedule: &Schedule, period: Period, now: Timestamp) -> Option<Slot> {
    let zone = schedule.zone.jiff();
    let local = now.to_zoned(zone.clone());
    let at = now.as_second();
    let (start, length) = match period {
        Period::Frequently => {
            let width = i64::from(schedule.frequently?.minutes());
            let past = i64::from(local.minute()) % width;
            (at - past * 60 - i64::from(local.second()), width * 60)
        }
        Period::Hourly => {
            let minute = i8::try_from(schedule.hourly?.minute()).ok()?;
            let summer = |second| {
                let at = Timestamp::from_second(second).ok()?;
                Some(zone.to_offset_info(at).dst().is_dst())
            };
            let set_back = summer(instant(zone, local.date(), Time::midnight())?)? && !summer(at)?;
            let mut start = instant(zone, local.date(), time(local.hour(), minute, 0, 0))?;
            start += if set_back { HOUR } else { 0 };
            while start > at {
                start -= HOUR;
            }
            (start, HOUR)
        }
        // A date has one such time.
        Period::Daily | Period::Weekly | Period::Monthly | Period::Yearly => {
            return schedule.slot(period, now);
        }
    };
    Some(Slot { start, next: start + length })
}
