//! Which snapshots are taken and when: the preferred time of each period, in a time zone.

use std::fmt;
use std::str::FromStr;

use super::parse::ParseError;
use super::parse::Problem;
use super::parse::number;
use super::period::Period;
use super::zone::Zone;

macro_rules! bounded {
    ($(#[$doc:meta])* $Type:ident, $number:ident, $kind:literal, $least:literal to $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Type(u16);

        impl $Type {
            #[doc = concat!("`None` outside of ", $least, " to ", $most, ".")]
            #[must_use]
            pub const fn new(number: u16) -> Option<Self> {
                // Not `contains`, which is not const; the least may be 0.
                #[allow(unused_comparisons, clippy::absurd_extreme_comparisons, clippy::manual_range_contains)]
                if number >= $least && number <= $most { Some(Self(number)) } else { None }
            }

            /// The number.
            #[must_use]
            pub const fn $number(self) -> u16 {
                self.0
            }
        }

        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $Type {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok(Self(number($kind, text, $least, $most)? as u16))
            }
        }
    };
}

bounded! {
    /// How often `frequently` is, in minutes. Slots count from the midnight of each day.
    Every, minutes, "number of minutes", 1 to 1440
}
bounded! {
    /// A minute of an hour.
    Minute, minute, "minute", 0 to 59
}
bounded! {
    /// A day of a month. In a month that is shorter, its last day is meant.
    MonthDay, day, "day of the month", 1 to 31
}
bounded! {
    /// A month, January is 1.
    Month, month, "month", 1 to 12
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weekday(jiff::civil::Weekday);

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl Weekday {
    /// By its number from Sunday, which is 0 as in sanoid and cron; 7 is Sunday as well.
    #[must_use]
    pub fn from_sunday(number: u8) -> Option<Self> {
        let number = if number == 7 { 0 } else { i8::try_from(number).ok()? };
        jiff::civil::Weekday::from_sunday_zero_offset(number).ok().map(Self)
    }

    /// Days since Sunday, 0 to 6.
    #[must_use]
    pub fn from_sunday_offset(self) -> u8 {
        self.0.to_sunday_zero_offset().unsigned_abs()
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WEEKDAYS[usize::from(self.from_sunday_offset())])
    }
}

impl FromStr for Weekday {
    type Err = ParseError;

    /// The English name, or its first three letters, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let expected = "a day of the week, such as monday or mon";
        let found = WEEKDAYS.iter().position(|name| *name == lower || name[..3] == lower);
        let day = found.and_then(|number| Self::from_sunday(number as u8));
        day.ok_or_else(|| ParseError::new("day of the week", text, 0, Problem::Unexpected { expected }))
    }
}

/// A time of day, `23:59`. One that a change of the clocks skips is moved by as much as was skipped; of one that comes
/// twice, the first is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

impl TimeOfDay {
    /// 00:00.
    pub const MIDNIGHT: Self = Self { hour: 0, minute: 0 };

    /// `None` after 23:59.
    #[must_use]
    pub const fn new(hour: u8, minute: u8) -> Option<Self> {
        if hour < 24 && minute < 60 { Some(Self { hour, minute }) } else { None }
    }

    /// 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        self.minute
    }

    pub(super) fn civil(self) -> jiff::civil::Time {
        jiff::civil::time(self.hour as i8, self.minute as i8, 0, 0)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl FromStr for TimeOfDay {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const KIND: &str = "time of day";
        let Some((hour, minute)) = text.split_once(':') else {
            let expected = "hours and minutes, such as 23:59";
            return Err(ParseError::new(KIND, text, 0, Problem::Unexpected { expected }));
        };
        let after = hour.len() + 1;
        let hour = number(KIND, hour, 0, 23).map_err(|error| error.within(KIND, text, 0))?;
        let minute = number(KIND, minute, 0, 59).map_err(|error| error.within(KIND, text, after))?;
        Ok(Self { hour: hour as u8, minute: minute as u8 })
    }
}

/// When the weekly snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weekly {
    /// The day.
    pub day: Weekday,
    /// The time of that day.
    pub time: TimeOfDay,
}

/// When the monthly snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Monthly {
    /// The day.
    pub day: MonthDay,
    /// The time of that day.
    pub time: TimeOfDay,
}

/// When the yearly snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Yearly {
    /// The month.
    pub month: Month,
    /// The day; the 29th of February is the 28th in most years.
    pub day: MonthDay,
    /// The time of that day.
    pub time: TimeOfDay,
}

/// Which snapshots are taken of a dataset. `None` stands for a period that is not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Where the clock is that the times are read on.
    pub zone: Zone,
    /// Every so many minutes.
    pub frequently: Option<Every>,
    /// Each hour at this minute.
    pub hourly: Option<Minute>,
    /// Each day at this time.
    pub daily: Option<TimeOfDay>,
    /// Each week.
    pub weekly: Option<Weekly>,
    /// Each month.
    pub monthly: Option<Monthly>,
    /// Each year.
    pub yearly: Option<Yearly>,
}

impl Schedule {
    /// Whether this period is taken at all.
    #[must_use]
    pub fn takes(&self, period: Period) -> bool {
        match period {
            Period::Frequently => self.frequently.is_some(),
            Period::Hourly => self.hourly.is_some(),
            Period::Daily => self.daily.is_some(),
            Period::Weekly => self.weekly.is_some(),
            Period::Monthly => self.monthly.is_some(),
            Period::Yearly => self.yearly.is_some(),
        }
    }
}

/// A quarter of an hour, as in sanoid.
impl Default for Every {
    fn default() -> Self {
        Self(15)
    }
}

/// The full hour, as in sanoid.
impl Default for Minute {
    fn default() -> Self {
        Self(0)
    }
}

/// 23:59, as in sanoid for the daily snapshot.
impl Default for TimeOfDay {
    fn default() -> Self {
        Self { hour: 23, minute: 59 }
    }
}

/// Monday at 23:30, as in sanoid.
impl Default for Weekly {
    fn default() -> Self {
        Self { day: Weekday(jiff::civil::Weekday::Monday), time: TimeOfDay { hour: 23, minute: 30 } }
    }
}

/// The first at midnight, as in sanoid.
impl Default for Monthly {
    fn default() -> Self {
        Self { day: MonthDay(1), time: TimeOfDay::MIDNIGHT }
    }
}

/// The first of January at midnight, as in sanoid.
impl Default for Yearly {
    fn default() -> Self {
        Self { month: Month(1), day: MonthDay(1), time: TimeOfDay::MIDNIGHT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_and_know_their_bounds() {
        for text in ["00:00", "23:59", "07:05"] {
            assert_eq!(text.parse::<TimeOfDay>().expect("a time").to_string(), text);
        }
        for (text, position) in [("24:00", 0), ("12:60", 3), ("12", 0), ("12:", 3), ("1x:00", 1), ("", 0)] {
            let error = text.parse::<TimeOfDay>().expect_err(text);
            assert_eq!(error.position, position, "{error}");
        }
        assert_eq!("1440".parse::<Every>().ok(), Every::new(1440));
        assert!("0".parse::<Every>().is_err() && "1441".parse::<Every>().is_err());
        assert_eq!("0".parse::<Minute>().ok(), Minute::new(0));
        assert!("60".parse::<Minute>().is_err() && Minute::new(60).is_none());
        assert!("32".parse::<MonthDay>().is_err() && MonthDay::new(0).is_none());
        assert!("13".parse::<Month>().is_err());
    }

    #[test]
    fn weekdays_count_from_sunday() {
        assert_eq!("Mon".parse::<Weekday>().ok(), Weekday::from_sunday(1));
        assert_eq!(Weekday::from_sunday(7), Weekday::from_sunday(0));
        assert_eq!(Weekday::from_sunday(8), None);
        for number in 0..7 {
            let day = Weekday::from_sunday(number).expect("a day");
            assert_eq!(day.from_sunday_offset(), number);
            assert_eq!(day.to_string().parse(), Ok(day));
        }
        assert!("mo".parse::<Weekday>().is_err());
    }
}
