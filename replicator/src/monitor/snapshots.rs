//! Whether each dataset has fresh snapshots of each period: the texts and levels of `sanoid --monitor-snapshots`.
//! Two things are not as there: a limit for a warning holds also where there is none for an alarm, and a snapshot that
//! is dated in the future does not hide that none was taken lately.

use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::Unread;
use super::elapsed;
use crate::config::dataset::Freshness;
use crate::config::dataset::Monitor;
use crate::policy::PerPeriod;
use crate::policy::Period;
use crate::policy::Style;

/// The clocks of two machines differ, and a snapshot that was received may be dated a little ahead.
const FUTURE: i64 = 60;

/// The snapshots of a dataset that were taken for one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// How many.
    pub count: u64,
    /// When the newest was taken, in seconds since 1970, of those that are not dated in the future.
    pub newest: Option<i64>,
    /// How many are dated in the future.
    pub future: u64,
}

impl Seen {
    /// Counts one that was taken at that time.
    pub fn add(&mut self, created: i64, now: i64) {
        self.count += 1;
        if created > now.saturating_add(FUTURE) {
            self.future += 1;
        } else {
            self.newest = self.newest.max(Some(created));
        }
    }
}

/// A dataset that is watched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Watched {
    /// The dataset.
    pub dataset: String,
    /// Whether it exists.
    pub exists: bool,
    /// What is asked of it.
    pub monitor: Monitor,
    /// What it has.
    pub seen: PerPeriod<Seen>,
}

/// Judges datasets. Those whose policy says that they are not watched are passed over; what is unread is told.
#[must_use]
pub fn judge(watched: &[Watched], unread: &[Unread], style: Style, now: i64) -> Report {
    let mut level = Level::Ok;
    let mut messages = Vec::new();
    let mut datasets = Vec::new();
    let mut names = Vec::new();
    let mut subjects = Vec::new();
    for one in watched.iter().filter(|one| one.monitor.on) {
        names.push(one.dataset.clone());
        let mut worst = Level::Ok;
        let before = messages.len();
        let mut periods = serde_json::Map::new();
        if !one.exists && style == Style::Ours {
            worst = Level::Critical;
            messages.push(format!("CRIT: {} does not exist", one.dataset));
        }
        for period in Period::ALL {
            let Some(limits) = one.monitor.periods[period] else { continue };
            let seen = one.seen[period];
            let age = seen.newest.map(|newest| u64::try_from(now.saturating_sub(newest)).unwrap_or(0));
            let found = exceeded(limits, age).filter(|_| one.exists || style == Style::Sanoid);
            let counted = found.map_or(Level::Ok, |(found, _)| match found {
                Level::Critical if one.monitor.critical => found,
                Level::Warning if one.monitor.warn => found,
                _ => Level::Ok,
            });
            worst = worst.max(counted);
            if let Some((found, limit)) = found {
                messages.push(message(&one.dataset, period, found, seen, age, limit));
            }
            let value = json!({
                "level": counted,
                "count": seen.count,
                "newest": seen.newest,
                "age_seconds": age,
                "warn_seconds": limits.warn,
                "critical_seconds": limits.critical,
                "dated_in_the_future": seen.future,
            });
            periods.insert(period.word().to_string(), value);
        }
        level = level.max(worst);
        // Beside what could not be looked at, also what is in order is named: it was looked at.
        if worst > Level::Ok || !unread.is_empty() {
            subjects.push(Subject::seen(&one.dataset, worst, messages[before..].join(", ")));
        }
        datasets.push(
            json!({ "dataset": one.dataset, "exists": one.exists, "level": worst, "periods": periods }),
        );
    }
    for one in unread {
        level = level.max(one.level);
        let word = if one.level == Level::Critical { "CRIT" } else { one.level.word() };
        messages.push(format!("{word}: {}: {}", one.what, one.why));
        subjects.push(Subject::hidden(&one.what, one.level, &one.why));
    }
    messages.sort_by_key(|message| message.to_lowercase());
    names.sort_by_key(|name| name.to_lowercase());
    let text = if messages.is_empty() {
        format!("OK: all monitored datasets ({}) have fresh snapshots", names.join(", "))
    } else {
        messages.join(", ")
    };
    Report::new(level, &text, json!({ "datasets": datasets, "unread": unread }), subjects)
}

/// Which limit is exceeded, and which it is. That there is no snapshot exceeds every limit.
fn exceeded(limits: Freshness, age: Option<u64>) -> Option<(Level, u64)> {
    let over = |limit: &u64| age.is_none_or(|age| age > *limit);
    let critical = limits.critical.filter(over).map(|limit| (Level::Critical, limit));
    critical.or_else(|| limits.warn.filter(over).map(|limit| (Level::Warning, limit)))
}

fn message(dataset: &str, period: Period, level: Level, seen: Seen, age: Option<u64>, limit: u64) -> String {
    let word = if level == Level::Critical { "CRIT" } else { "WARN" };
    match age {
        None if seen.future > 0 => {
            format!("{word}: {dataset} has no {period} snapshots but {} dated in the future!", seen.future)
        }
        None => format!("{word}: {dataset} has no {period} snapshots at all!"),
        Some(age) => format!(
            "{word}: {dataset} newest {period} snapshot is {} old (should be < {})",
            elapsed(age),
            elapsed(limit)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    fn monitor() -> Monitor {
        let mut periods = PerPeriod::default();
        periods[Period::Hourly] = Some(Freshness { warn: Some(90 * 60), critical: Some(6 * HOUR) });
        periods[Period::Daily] = Some(Freshness { warn: Some(28 * HOUR), critical: Some(32 * HOUR) });
        Monitor { on: true, warn: true, critical: true, periods, capacity_warn: 80, capacity_critical: 95 }
    }

    /// With the ages of the newest hourly and daily snapshot.
    fn watched(dataset: &str, hourly: Option<u64>, daily: Option<u64>) -> Watched {
        let mut seen = PerPeriod::<Seen>::default();
        for (period, age) in [(Period::Hourly, hourly), (Period::Daily, daily)] {
            if let Some(age) = age {
                seen[period].add(NOW - i64::try_from(age).expect("small"), NOW);
            }
        }
        Watched { dataset: dataset.to_string(), exists: true, monitor: monitor(), seen }
    }

    fn text(watched: &[Watched]) -> (u8, String) {
        let report = judge(watched, &[], Style::Sanoid, NOW);
        (report.level.status(), report.text)
    }

    #[test]
    fn fresh_ones_are_named_in_order() {
        let all = [watched("b/B", Some(60), Some(60)), watched("b/a", Some(5400), Some(28 * HOUR))];
        assert_eq!(text(&all), (0, "OK: all monitored datasets (b/a, b/B) have fresh snapshots".to_string()));
        assert_eq!(text(&[]), (0, "OK: all monitored datasets () have fresh snapshots".to_string()));
    }

    #[test]
    fn late_and_missing_ones_have_the_words_of_sanoid() {
        let late = "WARN: a newest hourly snapshot is 1h 30m 1s old (should be < 1h 30m 0s)";
        assert_eq!(text(&[watched("a", Some(5401), Some(1))]), (1, late.to_string()));
        let (code, said) = text(&[watched("a", Some(93_784), None)]);
        assert_eq!(code, 2);
        let hourly = "CRIT: a newest hourly snapshot is 1d 2h 3m 4s old (should be < 6h 0m 0s)";
        assert_eq!(said, format!("CRIT: a has no daily snapshots at all!, {hourly}"));
    }

    #[test]
    fn a_level_that_does_not_count_is_told_all_the_same() {
        let mut one = watched("a", Some(7 * HOUR), Some(29 * HOUR));
        one.monitor.critical = false;
        let (code, said) = text(&[one.clone()]);
        assert!(code == 1 && said.contains("CRIT: ") && said.contains("WARN: "), "{code} {said}");
        one.monitor.warn = false;
        assert_eq!(text(&[one.clone()]).0, 0);
        one.monitor.on = false;
        assert_eq!(text(&[one]).1, "OK: all monitored datasets () have fresh snapshots");
    }

    #[test]
    fn a_warning_needs_no_limit_for_an_alarm() {
        let mut one = watched("a", Some(60), Some(29 * HOUR));
        one.monitor.periods[Period::Daily] = Some(Freshness { warn: Some(28 * HOUR), critical: None });
        assert_eq!(text(&[one.clone()]).0, 1);
        one.seen[Period::Daily] = Seen::default();
        assert_eq!(text(&[one.clone()]), (1, "WARN: a has no daily snapshots at all!".to_string()));
        one.monitor.periods[Period::Daily] = Some(Freshness { warn: None, critical: None });
        assert_eq!(text(&[one]).0, 0);
    }

    #[test]
    fn the_future_hides_nothing() {
        let mut one = watched("a", Some(7 * HOUR), Some(60));
        one.seen[Period::Hourly].add(NOW + 86_400, NOW);
        assert_eq!(text(&[one.clone()]).0, 2);
        one.seen[Period::Hourly] = Seen::default();
        one.seen[Period::Hourly].add(NOW + 86_400, NOW);
        let said = text(&[one.clone()]).1;
        assert_eq!(said, "CRIT: a has no hourly snapshots but 1 dated in the future!");
        // Clocks that differ a little are no such thing.
        one.seen[Period::Hourly].add(NOW + 30, NOW);
        assert_eq!(text(&[one]).0, 0);
    }

    #[test]
    fn what_does_not_exist_or_cannot_be_read_is_never_fine() {
        let mut one = watched("a", None, None);
        one.exists = false;
        one.monitor.periods = PerPeriod::default();
        let report = judge(&[one], &[], Style::Ours, NOW);
        assert_eq!((report.level.status(), report.text.as_str()), (2, "CRIT: a does not exist"));
        let why = "no answer within 10 s".to_string();
        let unread = Unread { what: "tank".to_string(), level: Level::Unknown, why };
        let report = judge(&[watched("a", Some(1), Some(1))], &[unread], Style::Ours, NOW);
        assert_eq!(
            (report.level.status(), report.text.as_str()),
            (3, "UNKNOWN: tank: no answer within 10 s")
        );
        assert_eq!(report.json["datasets"][0]["periods"]["hourly"]["age_seconds"], 1);
    }

    #[test]
    fn each_dataset_that_is_late_is_a_subject_of_its_own() {
        let late = |name: &str| watched(name, Some(2 * HOUR), Some(1));
        let all = [late("tank/a"), watched("tank/b", Some(1), Some(1)), late("tank/c")];
        let report = judge(&all, &[], Style::Ours, NOW);
        let names: Vec<_> = report.subjects.iter().map(|one| (one.name.as_str(), one.level)).collect();
        assert_eq!(names, [("tank/a", Level::Warning), ("tank/c", Level::Warning)]);
        assert!(report.subjects[1].text.contains("tank/c newest hourly snapshot"), "{report:?}");
        // Of a pool that is not known in full, what was seen is told apart from what was not.
        let why = "cut short".to_string();
        let unread = Unread { what: "tank".to_string(), level: Level::Unknown, why };
        let report = judge(&all, &[unread], Style::Ours, NOW);
        let named = |name: &str| report.subjects.iter().find(|one| one.name == name);
        assert_eq!(named("tank/b").map(|one| (one.level, one.hides)), Some((Level::Ok, false)));
        assert_eq!(named("tank").map(|one| (one.level, one.hides)), Some((Level::Unknown, true)));
    }
}
