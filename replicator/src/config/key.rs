//! Every setting that a policy for datasets can have: its name, what kind of value it takes, and in which tables of a
//! TOML file it stands. The one list that reading, showing and importing go through.

use std::fmt;

use crate::policy::Period;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Before the snapshots of a dataset are taken.
    PreSnapshot,
    /// After they were taken.
    PostSnapshot,
    /// Before a snapshot is destroyed.
    PrePrune,
    /// After it was destroyed.
    PostPrune,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::PreSnapshot, Self::PostSnapshot, Self::PrePrune, Self::PostPrune];

    /// The name of its table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PreSnapshot => "pre_snapshot",
            Self::PostSnapshot => "post_snapshot",
            Self::PrePrune => "pre_prune",
            Self::PostPrune => "post_prune",
        }
    }
}

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Take snapshots.
    Snapshot,
    /// Destroy those that may go.
    Prune,
    /// Watch that there are fresh ones.
    Monitor,
    /// Whether an old snapshot raises a warning.
    MonitorWarn,
    /// Whether an old snapshot raises an alarm.
    MonitorCritical,
    /// Only a parent for what is below: neither taken, pruned nor watched itself. Never inherited.
    ChildrenOnly,
    /// Take none where nothing was written since the newest one.
    SkipUnwritten,
    /// The zone in which times of the schedule are read.
    Timezone,
    /// The zone of the times in names.
    NameTimezone,
    /// What names begin with.
    Prefix,
    /// A period is taken.
    Take(Period),
    /// How many of a period are kept.
    Keep(Period),
    /// How long those of a period are kept.
    KeepFor(Period),
    /// Minutes between two of `frequently`.
    Every,
    /// The month of the yearly one.
    Month,
    /// The day of the month.
    Day(Period),
    /// The day of the week.
    Weekday,
    /// The hour.
    Hour(Period),
    /// The minute.
    Minute(Period),
    /// The age of the newest one above which there is a warning.
    Warn(Period),
    /// The age of the newest one above which there is an alarm.
    Critical(Period),
    /// A grid that thins out everything.
    Grid,
    /// How many of the newest stay in any case.
    KeepNewest,
    /// Pruning waits until so much of the pool is in use.
    PruneAbove,
    /// How full a pool may be without a warning.
    CapacityWarn,
    /// How full a pool may be without an alarm.
    CapacityCritical,
    /// What a hook runs.
    Run(Point),
    /// How long it may take.
    Timeout(Point),
    /// What its failure means.
    OnFailure(Point),
    /// Run the hook after snapshots also when the one before them failed.
    Always,
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Number(u32, u32),
    /// 0 to 100.
    Percent,
    /// A length of time.
    Age,
    /// A length of time in whole minutes, up to a day.
    Every,
    /// A day of the week.
    Weekday,
    /// A time zone.
    Zone,
    /// The beginning of names.
    Prefix,
    /// A grid of retention.
    Grid,
    /// A command.
    Command,
    /// `stop` or `continue`.
    OnFailure,
}

/// The most that a count can be.
const MOST: u32 = 1_000_000;

impl Key {
    /// Every setting, in the order in which it is shown.
    pub fn all() -> impl Iterator<Item = Self> {
        let general = [
            Self::Snapshot,
            Self::Prune,
            Self::Monitor,
            Self::ChildrenOnly,
            Self::SkipUnwritten,
            Self::Timezone,
            Self::NameTimezone,
            Self::Prefix,
        ];
        // The shortest period first, as people list them.
        let periods = Period::ALL.into_iter().rev().flat_map(Self::of_period);
        let rest = [
            Self::Grid,
            Self::KeepNewest,
            Self::PruneAbove,
            Self::MonitorWarn,
            Self::MonitorCritical,
            Self::CapacityWarn,
            Self::CapacityCritical,
        ];
        let hooks = Point::ALL.into_iter().flat_map(Self::of_hook);
        general.into_iter().chain(periods).chain(rest).chain(hooks)
    }

    /// The settings in the table of a period.
    pub fn of_period(period: Period) -> impl Iterator<Item = Self> {
        let every = (period == Period::Frequently).then_some(Self::Every);
        let month = (period == Period::Yearly).then_some(Self::Month);
        let day = matches!(period, Period::Yearly | Period::Monthly).then_some(Self::Day(period));
        let weekday = (period == Period::Weekly).then_some(Self::Weekday);
        let hour = !matches!(period, Period::Hourly | Period::Frequently);
        let minute = period != Period::Frequently;
        [
            Some(Self::Take(period)),
            Some(Self::Keep(period)),
            Some(Self::KeepFor(period)),
            every,
            month,
            day,
            weekday,
            hour.then_some(Self::Hour(period)),
            minute.then_some(Self::Minute(period)),
            Some(Self::Warn(period)),
            Some(Self::Critical(period)),
        ]
        .into_iter()
        .flatten()
    }

    /// The settings in the table of a hook.
    pub fn of_hook(point: Point) -> impl Iterator<Item = Self> {
        let always = (point == Point::PostSnapshot).then_some(Self::Always);
        [Self::Run(point), Self::Timeout(point), Self::OnFailure(point)].into_iter().chain(always)
    }

    /// The table that it stands in, inside that of its template or dataset.
    #[must_use]
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Take(period)
            | Self::Keep(period)
            | Self::KeepFor(period)
            | Self::Day(period)
            | Self::Hour(period)
            | Self::Minute(period)
            | Self::Warn(period)
            | Self::Critical(period) => Some(period.word()),
            Self::Every => Some(Period::Frequently.word()),
            Self::Month => Some(Period::Yearly.word()),
            Self::Weekday => Some(Period::Weekly.word()),
            Self::Run(point) | Self::Timeout(point) | Self::OnFailure(point) => Some(point.word()),
            Self::Always => Some(Point::PostSnapshot.word()),
            _ => None,
        }
    }

    /// Its name in that table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Prune => "prune",
            Self::Monitor => "monitor",
            Self::MonitorWarn => "monitor_warn",
            Self::MonitorCritical => "monitor_critical",
            Self::ChildrenOnly => "children_only",
            Self::SkipUnwritten => "skip_unwritten",
            Self::Timezone => "timezone",
            Self::NameTimezone => "name_timezone",
            Self::Prefix => "prefix",
            Self::Take(_) => "take",
            Self::Keep(_) => "keep",
            Self::KeepFor(_) => "keep_for",
            Self::Every => "every",
            Self::Month => "month",
            Self::Day(_) => "day",
            Self::Weekday => "weekday",
            Self::Hour(_) => "hour",
            Self::Minute(_) => "minute",
            Self::Warn(_) => "warn",
            Self::Critical(_) => "critical",
            Self::Grid => "grid",
            Self::KeepNewest => "keep_newest",
            Self::PruneAbove => "prune_above",
            Self::CapacityWarn => "capacity_warn",
            Self::CapacityCritical => "capacity_critical",
            Self::Run(_) => "run",
            Self::Timeout(_) => "timeout",
            Self::OnFailure(_) => "on_failure",
            Self::Always => "always",
        }
    }

    /// What kind of value it takes.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Snapshot
            | Self::Prune
            | Self::Monitor
            | Self::MonitorWarn
            | Self::MonitorCritical
            | Self::ChildrenOnly
            | Self::SkipUnwritten
            | Self::Take(_)
            | Self::Always => Kind::Bool,
            Self::Timezone | Self::NameTimezone => Kind::Zone,
            Self::Prefix => Kind::Prefix,
            Self::Keep(_) | Self::KeepNewest => Kind::Number(0, MOST),
            Self::KeepFor(_) | Self::Warn(_) | Self::Critical(_) | Self::Timeout(_) => Kind::Age,
            Self::Every => Kind::Every,
            Self::Month => Kind::Number(1, 12),
            Self::Day(_) => Kind::Number(1, 31),
            Self::Weekday => Kind::Weekday,
            Self::Hour(_) => Kind::Number(0, 23),
            Self::Minute(_) => Kind::Number(0, 59),
            Self::Grid => Kind::Grid,
            Self::PruneAbove | Self::CapacityWarn | Self::CapacityCritical => Kind::Percent,
            Self::Run(_) => Kind::Command,
            Self::OnFailure(_) => Kind::OnFailure,
        }
    }

    /// Whether what is below a dataset gets it from there.
    #[must_use]
    pub fn is_inherited(self) -> bool {
        self != Self::ChildrenOnly
    }

    /// Whether it tells how long snapshots are kept, and so can stand in the retention of a target.
    #[must_use]
    pub fn is_retention(self) -> bool {
        matches!(self, Self::Keep(_) | Self::KeepFor(_) | Self::Every | Self::Grid | Self::KeepNewest)
    }
}

/// The longest that a month ever is, by its number.
pub(super) fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// As it is written with a dot: `daily.keep`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table() {
            Some(table) => write!(f, "{table}.{}", self.word()),
            None => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_is_listed_once_under_its_own_name() {
        let keys: Vec<_> = Key::all().collect();
        let unique: BTreeSet<_> = keys.iter().copied().collect();
        let names: BTreeSet<_> = keys.iter().map(ToString::to_string).collect();
        assert_eq!((unique.len(), names.len()), (keys.len(), keys.len()));
        for name in
            ["daily.keep", "frequently.every", "post_snapshot.always", "yearly.month", "weekly.weekday"]
        {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("frequently.minute") && !names.contains("hourly.hour"));
    }
}
