//! How far the targets of replications are behind: by the age of the newest snapshot that both sides have, and not by
//! how runs ended. The facts come from [`look`](super::look).

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::elapsed;
use crate::config::dataset::Freshness;

/// The most datasets of a target that are told one by one.
const TOLD: usize = 3;

/// One dataset of a replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicated {
    /// The dataset of the source.
    pub source: String,
    /// Where it goes.
    pub target: String,
    /// When the newest snapshot was taken that both sides have, in seconds since 1970.
    pub common: Option<i64>,
    /// Whether the source has something newer that is to be sent; not known without the target.
    pub behind: Option<bool>,
    /// What keeps it from being sent.
    pub conflict: Option<String>,
}

/// What is known about a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Both sides were looked at. Datasets without any snapshot at the source are left out.
    Both(Vec<Replicated>),
    /// The target could not be looked at, and the dates are those of the newest bookmarks that are kept for it on the
    /// source: from these on at the latest it needs what is sent, and it may not have all of that.
    Bookmarks {
        /// Why.
        why: String,
        /// The datasets.
        datasets: Vec<Replicated>,
    },
    /// Nothing is known.
    Nothing {
        /// Why.
        why: String,
    },
}

/// A target of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The name of the job.
    pub job: String,
    /// The name of the target.
    pub target: String,
    /// It may be away.
    pub optional: bool,
    /// The limits, in seconds.
    pub limits: Freshness,
    /// What is known.
    pub look: Look,
}

/// Judges targets.
#[must_use]
pub fn judge(ways: &[Way], now: i64) -> Report {
    let mut level = Level::Ok;
    let (mut messages, mut fine, mut list) = (Vec::new(), Vec::new(), Vec::new());
    let mut subjects = Vec::new();
    for way in ways {
        let name = format!("{} to {}", way.job, way.target);
        let found = one(way, &name, now);
        level = level.max(found.level);
        subjects.extend(found.subjects);
        let age = found.oldest.map_or_else(|| "nothing known".to_string(), elapsed);
        let note = found.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        if found.messages.is_empty() {
            fine.push(format!("{name}: {age}{note}"));
        } else {
            let more = found.messages.len().saturating_sub(TOLD);
            let mut told: Vec<_> = found.messages.into_iter().take(TOLD).collect();
            told.extend((more > 0).then(|| format!("and {more} datasets more")));
            let word = if found.level == Level::Critical { "CRIT" } else { found.level.word() };
            let word = if found.level == Level::Warning { "WARN" } else { word };
            messages.push(format!("{word}: {name}: {}{note}", told.join(", ")));
        }
        list.push(json!({
            "job": way.job,
            "target": way.target,
            "optional": way.optional,
            "level": found.level,
            "lag_seconds": found.oldest,
            "warn_seconds": way.limits.warn,
            "critical_seconds": way.limits.critical,
            "look": way.look,
        }));
    }
    let text = if ways.is_empty() {
        "OK: no replication is configured".to_string()
    } else if messages.is_empty() {
        format!("OK: no target is too far behind ({})", fine.join(", "))
    } else {
        messages.join(", ")
    };
    Report::new(level, &text, json!({ "targets": list }), subjects)
}

/// What there is to say of a target.
struct Found {
    level: Level,
    messages: Vec<String>,
    note: Option<String>,
    /// The age of the oldest of the newest common snapshots.
    oldest: Option<u64>,
    /// The target, where nothing is known of it, or its datasets that are not in order.
    subjects: Vec<Subject>,
}

/// How many seconds a target is behind: the age of the newest common snapshot of the dataset where that is oldest.
/// `None` where there is a dataset without one, or nothing is known.
#[must_use]
pub fn lag(look: &Look, now: i64) -> Option<u64> {
    let datasets = match look {
        Look::Both(datasets) | Look::Bookmarks { datasets, .. } => datasets,
        Look::Nothing { .. } => return None,
    };
    let ages: Option<Vec<u64>> = datasets.iter().map(|one| one.common.map(|date| age(date, now))).collect();
    ages?.into_iter().max()
}

fn age(date: i64, now: i64) -> u64 {
    u64::try_from(now.saturating_sub(date)).unwrap_or(0)
}

fn one(way: &Way, name: &str, now: i64) -> Found {
    let mut found = Found {
        level: Level::Ok,
        messages: Vec::new(),
        note: None,
        oldest: lag(&way.look, now),
        subjects: Vec::new(),
    };
    let watched = way.limits.warn.is_some() || way.limits.critical.is_some();
    let (datasets, seen) = match &way.look {
        Look::Both(datasets) => (datasets.as_slice(), true),
        Look::Bookmarks { why, datasets } => {
            found.note = Some(format!("by the bookmarks kept for it, because {why}"));
            (datasets.as_slice(), false)
        }
        Look::Nothing { why } => {
            if watched {
                found.level = Level::Unknown;
                found.messages.push(why.clone());
            } else {
                found.note = Some(format!("{why}, and it has no limit"));
            }
            found.subjects.push(Subject::hidden(name, found.level, why));
            return found;
        }
    };
    for one in datasets {
        let (before, mut worst) = (found.messages.len(), Level::Ok);
        let age = one.common.map(|date| age(date, now));
        let over = |limit: &u64| age.is_none_or(|age| age > *limit);
        let critical = way.limits.critical.filter(over).map(|limit| (Level::Critical, limit));
        let exceeded = critical.or_else(|| way.limits.warn.filter(over).map(|limit| (Level::Warning, limit)));
        if let Some((level, limit)) = exceeded {
            // That a bookmark is missing proves nothing about the target.
            let level = if age.is_none() && !seen { Level::Unknown } else { level };
            worst = worst.max(level);
            found.messages.push(match age {
                Some(age) => format!(
                    "newest common snapshot of {} is {} old (should be < {})",
                    one.source,
                    elapsed(age),
                    elapsed(limit)
                ),
                None if seen => format!("{} has no common snapshot with {}", one.source, one.target),
                None => format!("nothing tells how far {} is behind", one.target),
            });
        }
        if let Some(conflict) = &one.conflict {
            worst = worst.max(Level::Warning);
            found.messages.push(format!("{} is not sent: {conflict}", one.source));
        }
        found.level = found.level.max(worst);
        if worst > Level::Ok {
            let text = found.messages[before..].join(", ");
            found.subjects.push(Subject::seen(format!("{name}: {}", one.source), worst, text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    fn dataset(name: &str, age: Option<i64>) -> Replicated {
        Replicated {
            source: format!("tank/{name}"),
            target: format!("back/{name}"),
            common: age.map(|age| NOW - age),
            behind: Some(false),
            conflict: None,
        }
    }

    fn way(look: Look) -> Way {
        Way {
            job: "data".to_string(),
            target: "nas".to_string(),
            optional: false,
            limits: Freshness { warn: Some(3 * HOUR), critical: Some(12 * HOUR) },
            look,
        }
    }

    fn text(ways: &[Way]) -> (u8, String) {
        let report = judge(ways, NOW);
        (report.level.status(), report.text)
    }

    #[test]
    fn the_oldest_of_the_newest_common_snapshots_counts() {
        let both = |list: &[Replicated]| way(Look::Both(list.to_vec()));
        let good = both(&[dataset("a", Some(60)), dataset("b", Some(7200))]);
        assert_eq!(text(&[good]), (0, "OK: no target is too far behind (data to nas: 2h 0m 0s)".to_string()));
        let late = both(&[dataset("a", Some(60)), dataset("b", Some(4 * 3600))]);
        let said =
            "WARN: data to nas: newest common snapshot of tank/b is 4h 0m 0s old (should be < 3h 0m 0s)";
        assert_eq!(text(&[late]), (1, said.to_string()));
        let (code, said) = text(&[both(&[dataset("a", Some(86_400))])]);
        assert!(code == 2 && said.contains("should be < 12h 0m 0s"), "{said}");
        let (code, said) = text(&[both(&[dataset("a", None)])]);
        assert!(code == 2 && said.contains("tank/a has no common snapshot with back/a"), "{said}");
    }

    #[test]
    fn what_cannot_be_sent_is_a_warning_before_it_is_late() {
        let mut one = dataset("a", Some(60));
        one.conflict = Some("it has changed".to_string());
        let (code, said) = text(&[way(Look::Both(vec![one]))]);
        assert_eq!((code, said.as_str()), (1, "WARN: data to nas: tank/a is not sent: it has changed"));
    }

    #[test]
    fn a_target_that_is_away_is_judged_by_its_bookmarks() {
        let away = |age| {
            let why = "nas cannot be reached".to_string();
            way(Look::Bookmarks { why, datasets: vec![dataset("a", age)] })
        };
        let (code, said) = text(&[away(Some(60))]);
        assert_eq!(code, 0);
        assert!(
            said.contains("1m 0s; by the bookmarks kept for it, because nas cannot be reached"),
            "{said}"
        );
        assert_eq!(text(&[away(Some(86_400))]).0, 2);
        // No bookmark is no proof of anything.
        let (code, said) = text(&[away(None)]);
        assert!(code == 3 && said.contains("nothing tells how far back/a is behind"), "{said}");
        let (code, said) = text(&[way(Look::Nothing { why: "no answer within 10 s".to_string() })]);
        assert_eq!((code, said.as_str()), (3, "UNKNOWN: data to nas: no answer within 10 s"));
    }

    #[test]
    fn an_optional_target_has_its_own_limits_or_none() {
        let mut one = way(Look::Nothing { why: "it is away".to_string() });
        one.optional = true;
        one.limits = Freshness { warn: None, critical: None };
        let (code, said) = text(&[one.clone()]);
        assert!(code == 0 && said.contains("it is away, and it has no limit"), "{said}");
        one.look = Look::Both(vec![dataset("a", Some(90 * 86_400))]);
        assert_eq!(text(&[one.clone()]).0, 0);
        one.limits.critical = Some(30 * 86_400);
        assert_eq!(text(&[one]).0, 2);
    }

    #[test]
    fn each_target_and_each_dataset_that_is_late_is_a_subject_of_its_own() {
        let late = way(Look::Both(vec![dataset("a", Some(86_400)), dataset("b", Some(60))]));
        let mut away = way(Look::Nothing { why: "away".to_string() });
        away.target = "usb".to_string();
        let report = judge(&[late, away.clone()], NOW);
        let named: Vec<_> =
            report.subjects.iter().map(|one| (one.name.as_str(), one.level, one.hides)).collect();
        assert_eq!(
            named,
            [("data to nas: tank/a", Level::Critical, false), ("data to usb", Level::Unknown, true)]
        );
        // Without a limit nothing is wrong, and what is in it is not known all the same.
        away.limits = Freshness { warn: None, critical: None };
        let report = judge(&[away], NOW);
        assert_eq!((report.level, report.subjects[0].hides), (Level::Ok, true));
    }

    #[test]
    fn nothing_to_replicate_is_fine() {
        assert_eq!(text(&[]), (0, "OK: no replication is configured".to_string()));
    }

    #[test]
    fn of_many_datasets_some_are_told() {
        let many: Vec<_> = (0..50).map(|n| dataset(&n.to_string(), None)).collect();
        let (code, said) = text(&[way(Look::Both(many))]);
        assert!(code == 2 && said.ends_with("and 47 datasets more"), "{said}");
    }
}
