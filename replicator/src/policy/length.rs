//! A length of time as people write it: `15m`, `24h`, `30d`, `8w`, `6mo`, `2y`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::parse::ParseError;
use super::parse::Problem;
use super::parse::number;

const KIND: &str = "length of time";

/// The longest of each unit. A thousand years are more than any policy needs, and no sum of them overflows.
const MOST: u32 = 525_960_000;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `w`
    Week,
    /// `mo`
    Month,
    /// `y`
    Year,
}

impl Unit {
    const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// How it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Week => "w",
            Self::Month => "mo",
            Self::Year => "y",
        }
    }

    /// Seconds in one: a month is 31 days and a year 365.25 days, as for [`super::Period::seconds`].
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 31 * 86_400,
            Self::Year => 86_400 * 1461 / 4,
        }
    }
}

/// So many of a unit; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Length {
    number: NonZeroU32,
    unit: Unit,
}

impl Length {
    /// So many of that unit. `None` for zero and for more than a thousand years.
    #[must_use]
    pub fn new(number: u32, unit: Unit) -> Option<Self> {
        let most = u64::from(MOST) * Unit::Minute.seconds();
        let number = NonZeroU32::new(number)?;
        (u64::from(number.get()) * unit.seconds() <= most).then_some(Self { number, unit })
    }

    /// How many of the unit.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number.get()
    }

    /// The unit.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// The whole in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        u64::from(self.number.get()) * self.unit.seconds()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit.symbol())
    }
}

impl FromStr for Length {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, symbol) = text.split_at(end);
        if digits.is_empty() {
            let expected = "a number and a unit, such as 15m, 24h, 30d, 8w, 6mo or 2y";
            return Err(ParseError::new(KIND, text, 0, Problem::Unexpected { expected }));
        }
        let expected = "a unit (m, h, d, w, mo or y)";
        let Some(unit) = Unit::ALL.into_iter().find(|unit| unit.symbol() == symbol) else {
            let problem = if symbol.is_empty() {
                Problem::Missing { expected }
            } else {
                Problem::Unexpected { expected }
            };
            return Err(ParseError::new(KIND, text, end, problem));
        };
        let most = (u64::from(MOST) * Unit::Minute.seconds() / unit.seconds()) as u32;
        let number = number(KIND, digits, 1, most).map_err(|error| error.within(KIND, text, 0))?;
        Self::new(number, unit)
            .ok_or_else(|| ParseError::new(KIND, text, 0, Problem::Range { least: 1, most }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_as_written() {
        for (text, seconds) in [
            ("15m", 900),
            ("24h", 86_400),
            ("30d", 2_592_000),
            ("8w", 4_838_400),
            ("6mo", 16_070_400),
            ("2y", 63_115_200),
            ("1000y", 31_557_600_000),
        ] {
            let length: Length = text.parse().expect("a length");
            assert_eq!(length.seconds(), seconds, "{text}");
            assert_eq!(length.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_length_is_refused_with_its_place() {
        for (text, position) in [
            ("", 0),
            ("h", 0),
            ("1", 1),
            ("1H", 1),
            ("10 d", 2),
            ("0d", 0),
            ("1001y", 0),
            ("99999999999999999999d", 0),
            ("-1d", 0),
            ("1h ", 1),
            ("1ä", 1),
        ] {
            let error = text.parse::<Length>().expect_err(text);
            assert_eq!((error.text.as_str(), error.position), (text, position), "{error}");
        }
    }
}
