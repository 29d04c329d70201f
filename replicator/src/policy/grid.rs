//! A grid of retention, which thins out whatever was taken: `1h:24,1d:30,1w:8` keeps one snapshot of each hour for 24
//! hours, one of each day for 30 days and one of each week for 8 weeks.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use jiff::Timestamp;

use super::length::Length;
use super::length::Unit;
use super::parse::ParseError;
use super::parse::Problem;
use super::parse::number;
use super::slots::day_number;
use super::zone::Zone;

const KIND: &str = "retention grid";

/// The most of one step.
const MOST: u32 = 1_000_000;

/// One snapshot for each length of time, so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// How wide each place of the grid is.
    pub width: Length,
    /// How many places there are.
    pub count: NonZeroU32,
}

impl Step {
    /// The number of the place that a time, in seconds since 1970, lies in; a later place has a higher number.
    /// Minutes and hours count in real time, days and more on the calendar of the zone, weeks from Monday.
    pub(super) fn place(&self, at: i64, zone: &Zone) -> i64 {
        let (number, unit) = (i64::from(self.width.number()), self.width.unit());
        let date = || Some(Timestamp::from_second(at).ok()?.to_zoned(zone.jiff().clone()).date());
        let units = match unit {
            Unit::Minute | Unit::Hour => None,
            Unit::Day => date().and_then(day_number),
            // The first Monday of 1970 was its fifth day.
            Unit::Week => date().and_then(day_number).map(|day| (day - 4).div_euclid(7)),
            Unit::Month => date().map(|date| i64::from(date.year()) * 12 + i64::from(date.month()) - 1),
            Unit::Year => date().map(|date| i64::from(date.year())),
        };
        // A date that no calendar has is still earlier or later than others.
        units.unwrap_or_else(|| at.div_euclid(unit.seconds() as i64)).div_euclid(number)
    }
}

/// Steps, each of which counts from now on its own. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grid(Vec<Step>);

impl Grid {
    /// Of these steps. `None` when there are none.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        if steps.is_empty() { None } else { Some(Self(steps)) }
    }

    /// Its steps, as they were written.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.width, self.count)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(colon) = text.find(':') else {
            let expected = "a length, a colon and a number, such as 1h:24";
            let problem = if text.is_empty() {
                Problem::Missing { expected }
            } else {
                Problem::Unexpected { expected }
            };
            return Err(ParseError::new(KIND, text, 0, problem));
        };
        let width = text[..colon].parse::<Length>().map_err(|error| error.within(KIND, text, 0))?;
        let after = colon + 1;
        let count = number(KIND, &text[after..], 1, MOST).map_err(|error| error.within(KIND, text, after))?;
        let range = || ParseError::new(KIND, text, after, Problem::Range { least: 1, most: MOST });
        Ok(Self { width, count: NonZeroU32::new(count).ok_or_else(range)? })
    }
}

impl FromStr for Grid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut steps = Vec::new();
        let mut start = 0;
        for part in text.split(',') {
            let spaces = part.len() - part.trim_start().len();
            let step = part.trim().parse::<Step>();
            steps.push(step.map_err(|error| error.within(KIND, text, start + spaces))?);
            start += part.len() + 1;
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_reads_back_as_written() {
        for text in ["1h:24,1d:30,1w:8", "15m:96", "6mo:1000000"] {
            assert_eq!(text.parse::<Grid>().expect("a grid").to_string(), text);
        }
        assert_eq!("1h:24 , 1d:30".parse::<Grid>().expect("a grid").to_string(), "1h:24,1d:30");
    }

    #[test]
    fn what_is_no_grid_is_refused_with_its_place() {
        for (text, position) in [
            ("", 0),
            ("1h:24,", 6),
            (",1h:24", 0),
            ("1h", 0),
            ("1h:24,1x:30", 7),
            ("1h:24, 1d:x", 10),
            ("1h:24,1d:0", 9),
            ("1h:24,0d:1", 6),
            ("1h:1000001", 3),
            ("1h:", 3),
            ("ä:1,1h:2", 0),
            ("1h:2,1d:ä", 8),
        ] {
            let error = text.parse::<Grid>().expect_err(text);
            assert_eq!((error.text.as_str(), error.position), (text, position), "{error}");
        }
    }
}
