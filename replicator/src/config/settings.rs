//! Settings with where each came from, and how they lie over each other: defaults, templates, the entry of a dataset,
//! what a parent hands down.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::key::Key;
use super::key::Point;
use super::place::Place;
use super::value::OnFailure;
use super::value::Value;
use crate::policy::Every;
use crate::policy::Monthly;
use crate::policy::Period;
use crate::policy::Style;
use crate::policy::TimeOfDay;
use crate::policy::Weekly;
use crate::policy::Yearly;
use crate::policy::Zone;

/// By which part of a configuration something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// By none: the default of this program.
    Builtin,
    /// By the defaults in a file.
    Defaults,
    /// By a template.
    Template(Arc<str>),
    /// By the entry of the dataset itself.
    Entry,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The part that says so.
    pub part: Part,
    /// Where; `None` for the defaults of this program.
    pub place: Option<Place>,
    /// The dataset above that handed it down.
    pub from: Option<DatasetName>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Builtin => f.write_str("default")?,
            Part::Defaults => f.write_str("defaults")?,
            Part::Template(name) => write!(f, "template {name}")?,
            Part::Entry => f.write_str("own")?,
        }
        if let Some(place) = &self.place {
            write!(f, ", {}:{}", place.file.display(), place.line)?;
        }
        if let Some(from) = &self.from {
            write!(f, ", inherited from {from}")?;
        }
        Ok(())
    }
}

impl Origin {
    pub(super) fn to_json(&self) -> serde_json::Value {
        let (part, template) = match &self.part {
            Part::Builtin => ("default", None),
            Part::Defaults => ("defaults", None),
            Part::Template(name) => ("template", Some(name.to_string())),
            Part::Entry => ("own", None),
        };
        json!({
            "part": part,
            "template": template,
            "file": self.place.as_ref().map(|place| place.file.display().to_string()),
            "line": self.place.as_ref().map(|place| place.line),
            "inherited_from": self.from.as_ref().map(DatasetName::as_str),
        })
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The value.
    pub value: Value,
    /// Its origin.
    pub origin: Origin,
}

/// Some settings, each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<Key, Given>);

impl Settings {
    /// What holds where nothing is said. In our own files nothing is taken then; a sanoid.conf has counts of its own.
    #[must_use]
    pub fn builtin(style: Style) -> Self {
        let mut all = Self::default();
        let mut set = |key, value| {
            let origin = Origin { part: Part::Builtin, place: None, from: None };
            all.0.insert(key, Given { value, origin });
        };
        for key in [Key::Snapshot, Key::Prune, Key::Monitor, Key::MonitorWarn, Key::MonitorCritical] {
            set(key, Value::Bool(true));
        }
        for key in [Key::ChildrenOnly, Key::SkipUnwritten, Key::Always] {
            set(key, Value::Bool(false));
        }
        // Where a preferred time stands in no zone, sanoid reads it on the clock of the machine.
        let zone = match style {
            Style::Ours => Zone::utc(),
            Style::Sanoid => Zone::system().unwrap_or_default(),
        };
        set(Key::Timezone, Value::Zone(zone.clone()));
        set(Key::NameTimezone, Value::Zone(zone));
        set(Key::Prefix, Value::Prefix(crate::policy::Prefix::default()));
        set(Key::Every, Value::Every(Every::default()));
        set(Key::Minute(Period::Hourly), Value::Number(0));
        let mut time = |period, time: TimeOfDay| {
            set(Key::Hour(period), Value::Number(u32::from(time.hour())));
            set(Key::Minute(period), Value::Number(u32::from(time.minute())));
        };
        time(Period::Daily, TimeOfDay::default());
        time(Period::Weekly, Weekly::default().time);
        time(Period::Monthly, Monthly::default().time);
        time(Period::Yearly, Yearly::default().time);
        set(Key::Weekday, Value::Weekday(Weekly::default().day));
        set(Key::Day(Period::Monthly), Value::Number(u32::from(Monthly::default().day.day())));
        set(Key::Day(Period::Yearly), Value::Number(u32::from(Yearly::default().day.day())));
        set(Key::Month, Value::Number(u32::from(Yearly::default().month.month())));
        const HOUR: u64 = 3600;
        for (period, warn, critical) in [
            (Period::Frequently, 0, 0),
            (Period::Hourly, 90 * 60, 360 * 60),
            (Period::Daily, 28 * HOUR, 32 * HOUR),
            (Period::Weekly, 0, 0),
            (Period::Monthly, 32 * 24 * HOUR, 40 * 24 * HOUR),
            (Period::Yearly, 0, 0),
        ] {
            set(Key::Warn(period), Value::Age(warn));
            set(Key::Critical(period), Value::Age(critical));
        }
        set(Key::KeepNewest, Value::Number(0));
        set(Key::PruneAbove, Value::Number(0));
        set(Key::CapacityWarn, Value::Number(80));
        set(Key::CapacityCritical, Value::Number(95));
        for point in Point::ALL {
            set(Key::Timeout(point), Value::Age(5));
            let stop = point == Point::PrePrune;
            set(
                Key::OnFailure(point),
                Value::OnFailure(if stop { OnFailure::Stop } else { OnFailure::Continue }),
            );
        }
        if style == Style::Sanoid {
            for (period, count) in [
                (Period::Frequently, 0),
                (Period::Hourly, 48),
                (Period::Daily, 90),
                (Period::Weekly, 0),
                (Period::Monthly, 6),
                (Period::Yearly, 0),
            ] {
                set(Key::Keep(period), Value::Number(count));
            }
        }
        all
    }

    /// The value of a setting, if it has one.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Given> {
        self.0.get(&key)
    }

    /// All that have a value, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Given)> {
        self.0.iter().map(|(key, given)| (*key, given))
    }

    pub(super) fn set(&mut self, key: Key, value: Value, part: Part, place: Place) {
        self.0.insert(key, Given { value, origin: Origin { part, place: Some(place), from: None } });
    }

    pub(super) fn put(&mut self, key: Key, given: Given) {
        self.0.insert(key, given);
    }

    /// Takes a setting out.
    pub(super) fn remove(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// Lays others over these.
    pub(super) fn overlay(&mut self, over: &Self) {
        for (key, given) in over.iter() {
            self.0.insert(key, given.clone());
        }
    }

    /// Changes a value and leaves its origin.
    pub(super) fn force(&mut self, key: Key, value: Value) {
        if let Some(given) = self.0.get_mut(&key) {
            given.value = value;
        }
    }

    /// Puts what a dataset hands down in the place of these: all of it but what the filter keeps back. What it has no
    /// value for has none here either.
    pub(super) fn inherit(&mut self, parent: &Self, from: &DatasetName, passes: impl Fn(Key) -> bool) {
        self.0.retain(|key, _| !key.is_inherited() || !passes(*key));
        for (key, given) in parent.iter().filter(|(key, _)| key.is_inherited() && passes(*key)) {
            let mut given = given.clone();
            // The defaults of this program are the same everywhere.
            if given.origin.part != Part::Builtin {
                given.origin.from.get_or_insert_with(|| from.clone());
            }
            self.0.insert(key, given);
        }
    }
}
