//! The slots of a schedule: the instants at which a snapshot of a period is due, on a clock that is set forward and
//! back. Every instant lies in exactly one slot of each period, which begins at or before it and ends where the next
//! one begins.
//!
//! - `frequently` and `hourly` count real time from the midnight of each day (for `hourly`, from so many minutes past
//!   it) and begin anew at the next. An hour that comes twice has its own slots, one that is skipped has none, and two
//!   slots are never further apart than the period, also where clocks change by half an hour.
//! - The others are a time of day on certain dates. Each date has one slot: when the time is skipped, it moves by as
//!   much as was skipped (02:30 becomes 03:30); when it comes twice, the first counts.
//! - A day that a month lacks is its last day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::Time;
use jiff::civil::date;
use jiff::tz::TimeZone;

use super::period::Period;
use super::schedule::MonthDay;
use super::schedule::Schedule;

/// One slot, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it begins.
    pub start: i64,
    /// When the next one begins.
    pub next: i64,
}

impl Schedule {
    /// The slot of a period that an instant lies in. `None` when the period is not taken, and at the ends of what a
    /// calendar can say.
    #[must_use]
    pub fn slot(&self, period: Period, at: Timestamp) -> Option<Slot> {
        let zone = self.zone.jiff();
        let today = at.to_zoned(zone.clone()).date();
        let at = at.as_second();
        match period {
            Period::Frequently => {
                let width = i64::from(self.frequently?.minutes()) * 60;
                steps(zone, today, at, 0, width)
            }
            Period::Hourly => steps(zone, today, at, i64::from(self.hourly?.minute()) * 60, 3600),
            Period::Daily => {
                let time = self.daily?.civil();
                around(day_number(today)?, at, |day| instant(zone, numbered_day(day)?, time))
            }
            Period::Weekly => {
                let weekly = self.weekly?;
                let time = weekly.time.civil();
                // 1970 began on a Thursday: week 0 is the one whose Sunday was four days before.
                let offset = i64::from(weekly.day.from_sunday_offset()) - 4;
                let week = (day_number(today)? + 4).div_euclid(7);
                around(week, at, |week| instant(zone, numbered_day(week * 7 + offset)?, time))
            }
            Period::Monthly => {
                let monthly = self.monthly?;
                let month = i64::from(today.year()) * 12 + i64::from(today.month()) - 1;
                around(month, at, |month| {
                    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
                    let date = clipped(i16::try_from(year).ok()?, i8::try_from(month).ok()?, monthly.day)?;
                    instant(zone, date, monthly.time.civil())
                })
            }
            Period::Yearly => {
                let yearly = self.yearly?;
                around(i64::from(today.year()), at, |year| {
                    let month = i8::try_from(yearly.month.month()).ok()?;
                    let date = clipped(i16::try_from(year).ok()?, month, yearly.day)?;
                    instant(zone, date, yearly.time.civil())
                })
            }
        }
    }
}

/// The last slot that began by then, of slots that are numbered, where that of `guess` is not far away. A slot that
/// begins together with the next one (its date was skipped when a zone moved over the date line) is passed over.
fn around(guess: i64, at: i64, start: impl Fn(i64) -> Option<i64>) -> Option<Slot> {
    const FAR: i64 = 3;
    let mut next = None;
    for number in (guess - FAR..=guess + FAR).rev() {
        let start = start(number)?;
        if start <= at {
            return Some(Slot { start, next: next? });
        }
        next = Some(start);
    }
    None
}

/// Slots `width` seconds apart, the first of each day so many seconds after its midnight.
fn steps(zone: &TimeZone, today: Date, at: i64, after_midnight: i64, width: i64) -> Option<Slot> {
    let first = |day| Some(instant(zone, numbered_day(day)?, Time::midnight())? + after_midnight);
    let day = around(day_number(today)?, at, first)?;
    let start = day.start + (at - day.start).div_euclid(width) * width;
    Some(Slot { start, next: day.next.min(start + width) })
}

const EPOCH: Date = date(1970, 1, 1);

/// Days since 1970 began.
pub(super) fn day_number(date: Date) -> Option<i64> {
    Some(i64::from(EPOCH.until(date).ok()?.get_days()))
}

fn numbered_day(number: i64) -> Option<Date> {
    EPOCH.checked_add(jiff::Span::new().try_days(number).ok()?).ok()
}

/// That day of a month, or its last.
fn clipped(year: i16, month: i8, day: MonthDay) -> Option<Date> {
    let last = Date::new(year, month, 1).ok()?.days_in_month();
    Date::new(year, month, i8::try_from(day.day()).ok()?.min(last)).ok()
}

/// When a clock of that zone shows that time, in seconds since 1970.
pub(super) fn instant(zone: &TimeZone, date: Date, time: Time) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()?.as_second())
}
