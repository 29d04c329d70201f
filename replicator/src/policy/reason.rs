//! Why a snapshot stays or goes.

use std::fmt;

use serde::Serialize;
use serde::Serializer;

use super::due::Utc;
use super::grid::Step;
use super::period::Period;
use super::protect::Need;

/// Why a snapshot stays or goes. Ages are in seconds, times in seconds since 1970; places count from the newest,
/// which is 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Reason {
    /// Stays: it is the newest.
    Newest,
    /// Stays: it is dated in the future.
    Future {
        /// Its date.
        creation: i64,
    },
    /// Stays: nothing says how long its period is kept.
    NoRule {
        /// The period.
        period: Period,
    },
    /// Stays: it is among the newest of its period.
    Count {
        /// The period.
        period: Period,
        /// Its place.
        place: u32,
        /// How many are kept.
        count: u32,
    },
    /// Stays: it is young.
    Age {
        /// The period.
        period: Period,
        /// Its age.
        age: u64,
        /// The age to which its period is kept.
        limit: u64,
    },
    /// Stays: it is among the newest of all.
    Among {
        /// Its place.
        place: u32,
        /// How many are kept.
        newest: u32,
    },
    /// Stays: it is the first of its place in the grid.
    Grid {
        /// The step of the grid.
        #[serde(serialize_with = "as_text")]
        step: Step,
    },
    /// Stays: somebody needs it.
    Needed {
        /// Who.
        by: Need,
    },
    /// Stays: it might be what a target needs.
    BaseUnknown {
        /// The target.
        target: String,
    },
    /// Stays for now: the pool has room.
    Deferred {
        /// Percent of the pool in use.
        capacity: u8,
        /// Up to which nothing goes.
        limit: u8,
    },
    /// Stays for now: nobody knows whether the pool has room.
    CapacityUnknown {
        /// Percent of the pool in use up to which nothing goes.
        limit: u8,
    },
    /// Goes: it is one of the last snapshots of demotions, of which there are newer ones.
    Handover {
        /// Its place.
        place: u32,
        /// How many are kept.
        newest: u32,
    },
    /// Goes: no rule keeps it and nobody needs it.
    Expired {
        /// The period.
        period: Period,
        /// Its place.
        place: u32,
        /// How many are kept.
        count: u32,
        /// Its age.
        age: u64,
        /// The age to which its period is kept.
        limit: u64,
    },
}

fn as_text<S: Serializer>(step: &Step, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(step)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest always stays"),
            Self::Future { creation } => write!(f, "dated in the future, {}", Utc(*creation)),
            Self::NoRule { period } => write!(f, "nothing says how long {period} ones are kept"),
            Self::Count { period, place, count } => write!(f, "number {place} of {count} {period}"),
            Self::Age { period, age, limit } => {
                write!(f, "{} old, {period} ones are kept for {}", Seconds(*age), Seconds(*limit))
            }
            Self::Among { place, newest } => write!(f, "number {place} of the newest {newest}"),
            Self::Grid { step } => write!(f, "the first of its place in the grid, {step}"),
            Self::Needed { by } => by.fmt(f),
            Self::BaseUnknown { target } => write!(f, "it is not known what target {target} has"),
            Self::Deferred { capacity, limit } => {
                write!(f, "put off: {capacity}% of the pool are in use, pruning begins above {limit}%")
            }
            Self::CapacityUnknown { limit } => {
                write!(f, "put off: it is not known whether more than {limit}% of the pool are in use")
            }
            Self::Handover { place, newest } => {
                write!(f, "number {place} of the last snapshots of demotions, {newest} are kept")
            }
            Self::Expired { period, place, count, age, limit } => {
                write!(f, "number {place} of {count} {period} and {} old, ", Seconds(*age))?;
                write!(f, "kept for {}", Seconds(*limit))
            }
        }
    }
}

/// A length of time in the two largest units that it has.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
        let at = UNITS.iter().position(|(unit, _)| self.0 >= *unit).unwrap_or(UNITS.len() - 1);
        let (unit, symbol) = UNITS[at];
        write!(f, "{}{symbol}", self.0 / unit)?;
        match UNITS.get(at + 1) {
            Some((small, symbol)) if self.0 % unit / small > 0 => {
                write!(f, " {}{symbol}", self.0 % unit / small)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short_to_read() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3601, "1h"),
            (5400, "1h 30m"),
            (90_000, "1d 1h"),
            (86_400, "1d"),
        ] {
            assert_eq!(Seconds(seconds).to_string(), text);
        }
    }
}
