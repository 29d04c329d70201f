//! How long snapshots are kept. A snapshot stays as long as any rule keeps it.

use std::fmt;
use std::str::FromStr;

use super::grid::Grid;
use super::parse::ParseError;
use super::parse::number;
use super::period::PerPeriod;
use super::period::Period;
use super::schedule::Every;

/// How long the snapshots of one period are kept: those among the newest `count`, and those that are younger than
/// `age`. With neither, all of them may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keep {
    /// The newest so many of the period.
    pub count: u32,
    /// In seconds.
    pub age: u64,
}

impl Keep {
    /// None of them.
    pub const NONE: Self = Self { count: 0, age: 0 };

    /// At least so many, and at least for so many periods, which is sanoid's rule for a count. A count alone would
    /// let a flood of snapshots push out the old ones; an age alone would let a clock that is ahead do it.
    #[must_use]
    pub fn times(count: u32, period: Period, frequently: Every) -> Self {
        Self { count, age: u64::from(count) * period.seconds(frequently) }
    }
}

/// When pruning is put off because the pool has room: as long as no more than so many percent of it are in use.
/// 0 puts nothing off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Defer(u8);

impl Defer {
    /// `None` above 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// 0 to 100; 0 stands for never.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Defer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Defer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(number("percentage", text, 0, 100)? as u8))
    }
}

/// How long the snapshots of a dataset are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The snapshots of each period. `None` says nothing about the period: its snapshots stay, unless there is a grid
    /// to thin them out.
    pub periods: PerPeriod<Option<Keep>>,
    /// Thins out what was taken, whatever it was taken for.
    pub grid: Option<Grid>,
    /// The newest so many of all. The newest one stays in any case.
    pub newest: u32,
    /// Until when pruning is put off.
    pub defer: Defer,
}

impl Retention {
    /// The counts of a sanoid.conf: each stands for as many snapshots and as many periods, and 0 lets all of a period
    /// go.
    #[must_use]
    pub fn sanoid(counts: PerPeriod<u32>, frequently: Every, defer: Defer) -> Self {
        let periods = PerPeriod::new(|period| Some(Keep::times(counts[period], period, frequently)));
        Self { periods, grid: None, newest: 0, defer }
    }
}
