//! The periods a snapshot can be taken for. The period is the last word of a snapshot's name.

use std::fmt;
use std::ops::Index;
use std::ops::IndexMut;
use std::str::FromStr;

use serde::Serialize;

use super::parse::ParseError;
use super::parse::Problem;
use super::schedule::Every;

/// What a snapshot is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Once a year.
    Yearly,
    /// Once a month.
    Monthly,
    /// Once a week.
    Weekly,
    /// Once a day.
    Daily,
    /// Once an hour.
    Hourly,
    /// Every so many minutes, as [`Every`] says.
    Frequently,
}

impl Period {
    /// All of them, the longest first. This is the order in which sanoid takes those due at the same time.
    pub const ALL: [Self; 6] =
        [Self::Yearly, Self::Monthly, Self::Weekly, Self::Daily, Self::Hourly, Self::Frequently];

    /// The word in names.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Yearly => "yearly",
            Self::Monthly => "monthly",
            Self::Weekly => "weekly",
            Self::Daily => "daily",
            Self::Hourly => "hourly",
            Self::Frequently => "frequently",
        }
    }

    /// Its length in seconds, to make an age of a count: a month is 31 days and a year 365.25 days, as in sanoid.
    #[must_use]
    pub fn seconds(self, frequently: Every) -> u64 {
        const DAY: u64 = 86_400;
        match self {
            Self::Yearly => DAY * 1461 / 4,
            Self::Monthly => DAY * 31,
            Self::Weekly => DAY * 7,
            Self::Daily => DAY,
            Self::Hourly => 3600,
            Self::Frequently => u64::from(frequently.minutes()) * 60,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Period {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "frequently, hourly, daily, weekly, monthly or yearly";
        let found = Self::ALL.into_iter().find(|period| period.word() == text);
        found.ok_or_else(|| ParseError::new("period", text, 0, Problem::Unexpected { expected }))
    }
}

/// A value for each period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PerPeriod<T>([T; 6]);

impl<T> PerPeriod<T> {
    /// The value that the function gives for each period.
    pub fn new(value: impl FnMut(Period) -> T) -> Self {
        Self(Period::ALL.map(value))
    }

    /// All periods with their values, the longest first.
    pub fn iter(&self) -> impl Iterator<Item = (Period, &T)> {
        Period::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Period> for PerPeriod<T> {
    type Output = T;

    fn index(&self, period: Period) -> &T {
        &self.0[period as usize]
    }
}

impl<T> IndexMut<Period> for PerPeriod<T> {
    fn index_mut(&mut self, period: Period) -> &mut T {
        &mut self.0[period as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_reads_back_and_has_its_own_place() {
        let mut numbers = PerPeriod::new(|period| period.word().len());
        for period in Period::ALL {
            assert_eq!(period.word().parse(), Ok(period));
            assert_eq!(numbers[period], period.word().len());
            numbers[period] = 1000;
            assert_eq!(numbers.iter().find(|(_, number)| **number == 1000), Some((period, &1000)));
            numbers[period] = 0;
        }
        assert!("Hourly".parse::<Period>().is_err());
        assert!("".parse::<Period>().is_err());
    }
}
