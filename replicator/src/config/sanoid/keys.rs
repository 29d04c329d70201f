//! The keys of a sanoid.conf: which settings of ours each one stands for, and how its value is read. What sanoid would
//! take for something else without a word (a boolean with a typing error counts as true there) is an error here.

use super::super::key::Key;
use super::super::key::Point;
use super::super::problem::shown;
use super::super::problem::suggest;
use super::super::value::Command;
use super::super::value::OnFailure;
use super::super::value::Value;
use super::super::value::Wrong;
use crate::policy::Every;
use crate::policy::Period;
use crate::policy::Weekday;

/// Words for true.
const TRUE: [&str; 10] = ["1", "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"];
/// Words for false. Nothing at all is false as well.
const FALSE: [&str; 10] = ["0", "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"];

/// The keys that say how a section is read, instead of setting something.
pub(super) const STRUCTURE: [&str; 4] = ["path", "recursive", "use_template", "skip_children"];

/// Everything that can stand in a section.
pub(super) const KEYS: [&str; 52] = [
    "path",
    "recursive",
    "use_template",
    "process_children_only",
    "skip_children",
    "pre_snapshot_script",
    "post_snapshot_script",
    "pre_pruning_script",
    "pruning_script",
    "script_timeout",
    "no_inconsistent_snapshot",
    "force_post_snapshot_script",
    "frequent_period",
    "autoprune",
    "frequently",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "prune_defer",
    "autosnap",
    "hourly_min",
    "daily_hour",
    "daily_min",
    "weekly_wday",
    "weekly_hour",
    "weekly_min",
    "monthly_mday",
    "monthly_hour",
    "monthly_min",
    "yearly_mon",
    "yearly_mday",
    "yearly_hour",
    "yearly_min",
    "monitor",
    "monitor_dont_warn",
    "monitor_dont_crit",
    "frequently_warn",
    "frequently_crit",
    "hourly_warn",
    "hourly_crit",
    "daily_warn",
    "daily_crit",
    "weekly_warn",
    "weekly_crit",
    "monthly_warn",
    "monthly_crit",
    "yearly_warn",
    "yearly_crit",
    "capacity_warn",
    "capacity_crit",
];

/// Reads a boolean.
pub(super) fn bool(text: &str) -> Result<bool, Wrong> {
    if TRUE.contains(&text) {
        return Ok(true);
    }
    if text.is_empty() || FALSE.contains(&text) {
        return Ok(false);
    }
    let words = TRUE.iter().chain(&FALSE).copied();
    let why = format!("\"{}\" is neither yes nor no, and sanoid would take it for yes", shown(text));
    Err(Wrong::new(why, suggest(text, words)))
}

/// The settings that a key stands for, with its value. Nothing for the keys of [`STRUCTURE`] and for those that do not
/// exist.
pub(super) fn settings(key: &str, text: &str) -> Result<Vec<(Key, Value)>, Wrong> {
    let one = |key, value| Ok(vec![(key, value)]);
    match key {
        "autosnap" => one(Key::Snapshot, Value::Bool(bool(text)?)),
        "autoprune" => one(Key::Prune, Value::Bool(bool(text)?)),
        "monitor" => one(Key::Monitor, Value::Bool(bool(text)?)),
        "monitor_dont_warn" => one(Key::MonitorWarn, Value::Bool(!bool(text)?)),
        "monitor_dont_crit" => one(Key::MonitorCritical, Value::Bool(!bool(text)?)),
        "process_children_only" => one(Key::ChildrenOnly, Value::Bool(bool(text)?)),
        "force_post_snapshot_script" => one(Key::Always, Value::Bool(bool(text)?)),
        "no_inconsistent_snapshot" => {
            let meaning = if bool(text)? { OnFailure::Stop } else { OnFailure::Continue };
            one(Key::OnFailure(Point::PreSnapshot), Value::OnFailure(meaning))
        }
        "pre_snapshot_script" => one(Key::Run(Point::PreSnapshot), script(text)?),
        "post_snapshot_script" => one(Key::Run(Point::PostSnapshot), script(text)?),
        "pre_pruning_script" => one(Key::Run(Point::PrePrune), script(text)?),
        "pruning_script" => one(Key::Run(Point::PostPrune), script(text)?),
        "script_timeout" => {
            // Nothing and less stand for no limit.
            let seconds = match text.strip_prefix('-') {
                Some(digits) => number(digits, 0, u32::MAX).map(|_| 0)?,
                None => number(text, 0, 1_000_000_000)?,
            };
            Ok(Point::ALL.map(|point| (Key::Timeout(point), Value::Age(u64::from(seconds)))).into())
        }
        "frequent_period" => {
            let minutes = number(text, 1, 60)?;
            let every = u16::try_from(minutes).ok().and_then(Every::new).unwrap_or_default();
            one(Key::Every, Value::Every(every))
        }
        "prune_defer" => percent(Key::PruneAbove, text),
        "capacity_warn" => percent(Key::CapacityWarn, text),
        "capacity_crit" => percent(Key::CapacityCritical, text),
        "weekly_wday" => {
            let number = number(text, 0, 6)?;
            let day = u8::try_from(number).ok().and_then(Weekday::from_sunday);
            match day {
                Some(day) => one(Key::Weekday, Value::Weekday(day)),
                None => Ok(Vec::new()),
            }
        }
        "yearly_mon" => one(Key::Month, Value::Number(number(text, 1, 12)?)),
        _ => of_period(key, text),
    }
}

/// `daily`, `daily_hour`, `daily_warn` and the like.
fn of_period(key: &str, text: &str) -> Result<Vec<(Key, Value)>, Wrong> {
    let (word, rest) = key.split_once('_').unwrap_or((key, ""));
    let Ok(period) = word.parse::<Period>() else { return Ok(Vec::new()) };
    let (key, least, most) = match rest {
        "" if word == key => (Key::Keep(period), 0, 1_000_000),
        "min" => (Key::Minute(period), 0, 59),
        "hour" => (Key::Hour(period), 0, 23),
        "mday" => (Key::Day(period), 1, 31),
        "warn" => return Ok(vec![(Key::Warn(period), Value::Age(age(period, text)?))]),
        "crit" => return Ok(vec![(Key::Critical(period), Value::Age(age(period, text)?))]),
        _ => return Ok(Vec::new()),
    };
    // `hourly_hour` is no key.
    if !Key::of_period(period).any(|known| known == key) {
        return Ok(Vec::new());
    }
    Ok(vec![(key, Value::Number(number(text, least, most)?))])
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, Wrong> {
    let fix = format!("write a whole number from {least} to {most}");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::new(format!("\"{}\" is not a number", shown(text)), fix));
    }
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Wrong::new(format!("{} is out of range", shown(text)), fix)),
    }
}

fn percent(key: Key, text: &str) -> Result<Vec<(Key, Value)>, Wrong> {
    Ok(vec![(key, Value::Number(number(text, 0, 100)?))])
}

/// A line for the shell, as sanoid runs it.
fn script(text: &str) -> Result<Value, Wrong> {
    if text.contains('\0') {
        return Err(Wrong::new("the command holds a NUL byte", "remove it"));
    }
    let command = if text.is_empty() { Command::Nothing } else { Command::Shell(text.to_string()) };
    Ok(Value::Command(command))
}

/// A threshold in seconds. Without a unit it is in the unit below its period.
fn age(period: Period, text: &str) -> Result<u64, Wrong> {
    const DAY: u64 = 86_400;
    let last = text.chars().last().map(|last| last.to_ascii_lowercase());
    let unit = match last {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => DAY,
        Some('w') => 7 * DAY,
        // sanoid has 31 times as much, by mistake.
        Some('y') => 365 * DAY,
        _ => match period {
            Period::Frequently => 1,
            Period::Hourly => 60,
            Period::Daily => 3600,
            Period::Weekly => DAY,
            Period::Monthly => 7 * DAY,
            Period::Yearly => 31 * DAY,
        },
    };
    let digits =
        if last.is_some_and(|last| last.is_ascii_alphabetic()) { &text[..text.len() - 1] } else { text };
    let fix = "write a number and a unit (s, m, h, d, w or y), such as 28h";
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let why =
            format!("\"{}\" is not a length of time, and sanoid would take it for one second", shown(text));
        return Err(Wrong::new(why, fix));
    }
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds.filter(|seconds| *seconds <= super::super::age::LONGEST) {
        Some(seconds) => Ok(seconds),
        None => Err(Wrong::new(format!("{} is longer than a thousand years", shown(text)), fix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, text: &str) -> Option<Vec<(Key, Value)>> {
        settings(key, text).ok()
    }

    #[test]
    fn every_key_sets_something_or_is_of_the_structure() {
        for key in KEYS {
            let good = ["yes", "12", "1"]
                .into_iter()
                .any(|text| value(key, text).is_some_and(|all| !all.is_empty()));
            assert_ne!(good, STRUCTURE.contains(&key), "{key}");
        }
        for key in ["hourly_hour", "daily_wday", "minutely", "frequently_min", "daily_", "Hourly"] {
            assert_eq!(value(key, "1").map(|all| all.len()), Some(0), "{key}");
        }
    }

    #[test]
    fn booleans_are_these_words_and_no_others() {
        for word in TRUE {
            assert_eq!(value("autosnap", word), Some(vec![(Key::Snapshot, Value::Bool(true))]), "{word}");
            assert_eq!(value("monitor_dont_warn", word), Some(vec![(Key::MonitorWarn, Value::Bool(false))]));
        }
        for word in FALSE.into_iter().chain([""]) {
            assert_eq!(value("autosnap", word), Some(vec![(Key::Snapshot, Value::Bool(false))]), "{word}");
        }
        for word in ["tRUE", "y", "2", "yes!", "00"] {
            assert_eq!(value("autosnap", word), None, "{word}");
        }
    }

    #[test]
    fn thresholds_without_a_unit_are_in_the_one_below_the_period() {
        for (key, text, seconds) in [
            ("frequently_warn", "90", 90),
            ("hourly_warn", "90", 5400),
            ("daily_crit", "32", 32 * 3600),
            ("weekly_warn", "9", 9 * 86_400),
            ("monthly_warn", "5", 35 * 86_400),
            ("yearly_crit", "2", 62 * 86_400),
            ("daily_crit", "2D", 2 * 86_400),
            ("daily_crit", "2w", 14 * 86_400),
            ("daily_crit", "1y", 365 * 86_400),
            ("daily_crit", "0", 0),
        ] {
            let found = value(key, text).and_then(|mut all| all.pop()).map(|(_, value)| value);
            assert_eq!(found, Some(Value::Age(seconds)), "{key} = {text}");
        }
        for text in ["", "h", "1.5h", "2 h", "-1", "1mo", "ü", "999999999999999y"] {
            assert_eq!(value("daily_warn", text), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_would_end_sanoid_are_refused() {
        for (key, text) in [
            ("prune_defer", "101"),
            ("capacity_warn", "many"),
            ("frequent_period", "0"),
            ("monthly_mday", "32"),
            ("weekly_wday", "7"),
            ("hourly", "-1"),
            ("hourly", ""),
            ("script_timeout", "soon"),
        ] {
            assert_eq!(value(key, text), None, "{key} = {text}");
        }
        assert_eq!(value("script_timeout", "-1").map(|all| all[0].1.clone()), Some(Value::Age(0)));
    }
}
