//! The typed policy of one dataset, made of its settings: what the decisions of [`crate::policy`] and those who carry
//! them out need. Where a value came from is in the [`Settings`] beside it.

use zfs_core::name::DatasetName;

use super::key::Key;
use super::key::Point;
use super::settings::Settings;
use super::value::Command;
use super::value::OnFailure;
use super::value::Value;
use crate::policy::Defer;
use crate::policy::Every;
use crate::policy::Keep;
use crate::policy::Minute;
use crate::policy::Month;
use crate::policy::MonthDay;
use crate::policy::Monthly;
use crate::policy::Naming;
use crate::policy::PerPeriod;
use crate::policy::Period;
use crate::policy::Retention;
use crate::policy::Schedule;
use crate::policy::Style;
use crate::policy::TimeOfDay;
use crate::policy::Weekly;
use crate::policy::Yearly;
use crate::policy::Zone;

/// A command that runs at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What it runs.
    pub command: Command,
    /// In how many seconds it is ended; `None` waits for it without end.
    pub timeout: Option<u64>,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// The commands round snapshots and prunes of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Before the snapshots are taken.
    pub pre_snapshot: Option<Hook>,
    /// After they were taken.
    pub post_snapshot: Option<Hook>,
    /// Whether that one also runs when the one before failed.
    pub post_snapshot_always: bool,
    /// Before each snapshot that is destroyed.
    pub pre_prune: Option<Hook>,
    /// After it was destroyed.
    pub post_prune: Option<Hook>,
}

/// How old the newest snapshot of a period may be, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Freshness {
    /// Above this there is a warning; `None`: never.
    pub warn: Option<u64>,
    /// Above this there is an alarm; `None`: never.
    pub critical: Option<u64>,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Monitor {
    /// Anything at all.
    pub on: bool,
    /// Whether an old snapshot counts as a warning; else it is only told.
    pub warn: bool,
    /// Whether a very old one counts as an alarm; else it is only told.
    pub critical: bool,
    /// For each period that is kept or taken.
    pub periods: PerPeriod<Option<Freshness>>,
    /// Percent of the pool in use; 0 is never.
    pub capacity_warn: u8,
    /// Percent of the pool in use; 0 is never.
    pub capacity_critical: u8,
}

/// What is done with a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether snapshots of it are taken for its own sake. Some may be taken all the same together with those of a
    /// dataset above: see [`super::resolve::Effective`].
    pub snapshot: bool,
    /// Whether its snapshots are destroyed when they may go.
    pub prune: bool,
    /// Which snapshots are taken, and when.
    pub schedule: Schedule,
    /// How they are named, and which count as taken by a policy.
    pub naming: Naming,
    /// Whether a snapshot is left out when nothing was written since the newest one.
    pub skip_unwritten: bool,
    /// How long they are kept.
    pub retention: Retention,
    /// What is watched.
    pub monitor: Monitor,
    /// What runs before and after.
    pub hooks: Hooks,
}

impl Policy {
    /// Of settings that lie over [`Settings::builtin`]; where those are missing, the least is done.
    #[must_use]
    pub fn new(settings: &Settings, style: Style) -> Self {
        let itself = !settings.bool(Key::ChildrenOnly);
        Self {
            snapshot: itself && settings.bool(Key::Snapshot),
            prune: itself && settings.bool(Key::Prune),
            schedule: settings.schedule(),
            naming: Naming {
                prefix: match settings.value(Key::Prefix) {
                    Some(Value::Prefix(prefix)) => prefix.clone(),
                    _ => crate::policy::Prefix::default(),
                },
                zone: settings.zone(Key::NameTimezone),
                style,
            },
            skip_unwritten: settings.bool(Key::SkipUnwritten),
            retention: settings.retention(),
            monitor: settings.monitor(itself),
            hooks: Hooks {
                pre_snapshot: settings.hook(Point::PreSnapshot),
                post_snapshot: settings.hook(Point::PostSnapshot),
                post_snapshot_always: settings.bool(Key::Always),
                pre_prune: settings.hook(Point::PrePrune),
                post_prune: settings.hook(Point::PostPrune),
            },
        }
    }
}

impl Settings {
    fn value(&self, key: Key) -> Option<&Value> {
        self.get(key).map(|given| &given.value)
    }

    pub(super) fn bool(&self, key: Key) -> bool {
        matches!(self.value(key), Some(Value::Bool(true)))
    }

    pub(super) fn number(&self, key: Key) -> Option<u32> {
        match self.value(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn small(&self, key: Key) -> u8 {
        self.number(key).and_then(|number| u8::try_from(number).ok()).unwrap_or(0)
    }

    /// A length of time that is not nothing, in seconds.
    pub(super) fn age(&self, key: Key) -> Option<u64> {
        match self.value(key) {
            Some(Value::Age(seconds)) if *seconds > 0 => Some(*seconds),
            _ => None,
        }
    }

    fn zone(&self, key: Key) -> Zone {
        match self.value(key) {
            Some(Value::Zone(zone)) => zone.clone(),
            _ => Zone::utc(),
        }
    }

    fn every(&self) -> Every {
        match self.value(Key::Every) {
            Some(Value::Every(every)) => *every,
            _ => Every::default(),
        }
    }

    fn time(&self, period: Period) -> TimeOfDay {
        let (hour, minute) = (self.small(Key::Hour(period)), self.small(Key::Minute(period)));
        TimeOfDay::new(hour, minute).unwrap_or_default()
    }

    fn day(&self, period: Period) -> Option<MonthDay> {
        MonthDay::new(u16::from(self.small(Key::Day(period))))
    }

    /// Whether a period is taken: as it is said, else when some of it are kept.
    fn takes(&self, period: Period) -> bool {
        match self.value(Key::Take(period)) {
            Some(Value::Bool(take)) => *take,
            _ => {
                self.number(Key::Keep(period)).is_some_and(|count| count > 0)
                    || self.age(Key::KeepFor(period)).is_some()
            }
        }
    }

    fn schedule(&self) -> Schedule {
        let weekday = match self.value(Key::Weekday) {
            Some(Value::Weekday(day)) => *day,
            _ => Weekly::default().day,
        };
        let month = Month::new(u16::from(self.small(Key::Month))).unwrap_or(Yearly::default().month);
        let (monthly, yearly) = (Monthly::default().day, Yearly::default().day);
        let day = |period, default| self.day(period).unwrap_or(default);
        Schedule {
            zone: self.zone(Key::Timezone),
            frequently: self.takes(Period::Frequently).then(|| self.every()),
            hourly: self
                .takes(Period::Hourly)
                .then(|| Minute::new(u16::from(self.small(Key::Minute(Period::Hourly)))).unwrap_or_default()),
            daily: self.takes(Period::Daily).then(|| self.time(Period::Daily)),
            weekly: self
                .takes(Period::Weekly)
                .then(|| Weekly { day: weekday, time: self.time(Period::Weekly) }),
            monthly: self
                .takes(Period::Monthly)
                .then(|| Monthly { day: day(Period::Monthly, monthly), time: self.time(Period::Monthly) }),
            yearly: self.takes(Period::Yearly).then(|| Yearly {
                month,
                day: day(Period::Yearly, yearly),
                time: self.time(Period::Yearly),
            }),
        }
    }

    /// How long the snapshots of a period are kept; `None` where nothing is said about it.
    fn keep(&self, period: Period) -> Option<Keep> {
        let said = |key| self.value(key).is_some();
        match (self.number(Key::Keep(period)), said(Key::KeepFor(period))) {
            (None, false) => None,
            (Some(count), false) => Some(Keep::times(count, period, self.every())),
            (count, true) => {
                Some(Keep { count: count.unwrap_or(0), age: self.age(Key::KeepFor(period)).unwrap_or(0) })
            }
        }
    }

    pub(super) fn retention(&self) -> Retention {
        Retention {
            periods: PerPeriod::new(|period| self.keep(period)),
            grid: match self.value(Key::Grid) {
                Some(Value::Grid(grid)) => Some(grid.clone()),
                _ => None,
            },
            newest: self.number(Key::KeepNewest).unwrap_or(0),
            defer: Defer::new(self.small(Key::PruneAbove)).unwrap_or_default(),
        }
    }

    fn monitor(&self, itself: bool) -> Monitor {
        let wanted = |period| self.takes(period) || self.keep(period).is_some_and(|keep| keep != Keep::NONE);
        Monitor {
            on: itself && self.bool(Key::Monitor),
            warn: self.bool(Key::MonitorWarn),
            critical: self.bool(Key::MonitorCritical),
            periods: PerPeriod::new(|period| {
                wanted(period).then(|| Freshness {
                    warn: self.age(Key::Warn(period)),
                    critical: self.age(Key::Critical(period)),
                })
            }),
            capacity_warn: self.small(Key::CapacityWarn),
            capacity_critical: self.small(Key::CapacityCritical),
        }
    }

    fn hook(&self, point: Point) -> Option<Hook> {
        let Some(Value::Command(command)) = self.value(Key::Run(point)) else { return None };
        let on_failure = match self.value(Key::OnFailure(point)) {
            Some(Value::OnFailure(meaning)) => *meaning,
            _ => OnFailure::Stop,
        };
        if *command == Command::Nothing {
            return None;
        }
        Some(Hook { command: command.clone(), timeout: self.age(Key::Timeout(point)), on_failure })
    }
}

/// What has to be known of a dataset to find its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: DatasetName,
    /// Its user properties that entries ask for, with their values, inherited ones as well.
    pub properties: std::collections::BTreeMap<String, String>,
}

impl Known {
    /// Without user properties.
    #[must_use]
    pub fn new(name: DatasetName) -> Self {
        Self { name, properties: std::collections::BTreeMap::new() }
    }
}
