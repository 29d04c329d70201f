//! Receives into this machine that broke off and have lain for long, as runs remember them. Pure.

use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::elapsed;
use crate::receiver::partials::Lying;

/// The most that are told one by one.
const TOLD: usize = 3;

/// What all of them are called together.
const ALL: &str = "receive";

/// Adds them to the check of replications. One of which half of the time is over is a warning.
pub fn add(report: &mut Report, partials: &[Lying]) {
    let stale: Vec<&Lying> = partials.iter().filter(|one| one.is_stale()).collect();
    let mut told: Vec<String> =
        stale.iter().take(TOLD).map(|one| format!("WARN: {}", describe(one))).collect();
    let more = stale.len().saturating_sub(TOLD);
    told.extend((more > 0).then(|| format!("and {more} more that broke off")));
    report.subjects.extend(
        stale
            .iter()
            .map(|one| Subject::seen(format!("{ALL}: {}", one.dataset), Level::Warning, describe(one))),
    );
    let list: Vec<_> = partials.iter().map(Lying::to_json).collect();
    if !told.is_empty() {
        worse(report, Level::Warning, &told.join(", "));
    }
    report.json["partial_receives"] = json!(list);
}

/// What runs remember could not be read.
pub fn not_known(report: &mut Report, why: &str) {
    let text = format!("UNKNOWN: receives that broke off: {}", one_line(why));
    report.subjects.push(Subject::hidden(ALL, Level::Unknown, text.clone()));
    worse(report, Level::Unknown, &text);
}

/// Adds something to a report that is not well.
pub(super) fn worse(report: &mut Report, level: Level, text: &str) {
    // What is well is not told beside what is not.
    report.text =
        if report.level == Level::Ok { text.to_string() } else { format!("{}, {text}", report.text) };
    report.level = report.level.max(level);
    report.json["level"] = json!(report.level);
    report.json["text"] = json!(report.text);
}

fn describe(one: &Lying) -> String {
    let rest = match (&one.stays, one.limit) {
        (Some(why), _) => format!("; it stays: {}", one_line(why)),
        (None, Some(limit)) => format!(" (thrown away after {})", elapsed(limit)),
        (None, None) => String::new(),
    };
    format!(
        "{} keeps a receive that broke off: {} and nothing more for {}{rest}",
        one.dataset,
        one.size(),
        elapsed(one.idle)
    )
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::lag;

    const DAY: u64 = 86_400;

    fn lying(dataset: &str, idle: u64, limit: Option<u64>) -> Lying {
        Lying {
            dataset: dataset.to_string(),
            token: "1-a".to_string(),
            bytes: Some(3 << 30),
            seen: 1_800_000_000,
            idle,
            limit,
            stays: None,
        }
    }

    #[test]
    fn half_of_the_time_is_a_warning_and_what_is_younger_is_only_in_the_json() {
        let mut report = lag::judge(&[], 0);
        add(&mut report, &[lying("back/a", 3 * DAY, Some(7 * DAY))]);
        assert_eq!((report.level, report.text.as_str()), (Level::Ok, "OK: no replication is configured"));
        assert_eq!(report.json["partial_receives"][0]["idle_seconds"], 3 * DAY);
        add(&mut report, &[lying("back/a", 4 * DAY, Some(7 * DAY))]);
        assert_eq!(report.level, Level::Warning);
        assert_eq!(
            report.text,
            "WARN: back/a keeps a receive that broke off: 3.0 GiB and nothing more for 4d 0h 0m 0s (thrown away after 7d 0h 0m 0s)"
        );
        assert_eq!(report.json["text"], report.text);
        assert_eq!(report.subjects.len(), 1);
    }

    #[test]
    fn why_one_stays_is_told_and_of_many_some() {
        let mut report = lag::judge(&[], 0);
        let stays = Lying { stays: Some("no\nright".to_string()), ..lying("back/a", 9 * DAY, Some(DAY)) };
        let mut all = vec![stays];
        all.extend((0..5).map(|n| lying(&format!("back/{n}"), 30 * DAY, None)));
        add(&mut report, &all);
        assert!(
            report.text.contains("; it stays: no right")
                && report.text.ends_with("and 3 more that broke off")
        );
        assert_eq!(report.subjects.len(), 6);
        not_known(&mut report, "it is not to be believed");
        assert_eq!(report.level, Level::Unknown);
        assert!(report.text.ends_with("UNKNOWN: receives that broke off: it is not to be believed"));
        assert!(report.subjects[6].holds("receive: back/a"));
    }
}
