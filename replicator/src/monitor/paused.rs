//! Datasets of pairs whose pruning stands still because data may be lost, as the records of runs tell. Pure.

use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::partials::worse;
use crate::pair::paused::Paused;

/// The most that are told one by one.
const TOLD: usize = 3;

/// What all of them are called together.
const ALL: &str = "pairs";

/// Adds them to the check of replications. What may be lost is critical: somebody has to say whether that was meant.
pub fn add(report: &mut Report, paused: &[&Paused]) {
    let mut order = paused.to_vec();
    order.sort_by_key(|one| std::cmp::Reverse(level(one)));
    let Some(worst) = order.first().map(|one| level(one)) else { return };
    let mut told: Vec<String> = order.iter().take(TOLD).map(|one| message(one)).collect();
    let more = order.len().saturating_sub(TOLD);
    told.extend((more > 0).then(|| format!("and {more} more that are not pruned")));
    let subject = |one: &&Paused| {
        let why = one.why.replace(char::is_control, " ");
        Subject::seen(format!("{ALL}: {}: {}", one.pair, one.dataset), level(one), why)
    };
    report.subjects.extend(order.iter().map(subject));
    worse(report, worst, &told.join(", "));
    report.json["paused"] = json!(order);
}

/// The records of runs could not be read.
pub fn not_known(report: &mut Report, why: &str) {
    let text = format!("UNKNOWN: whether data of a pair were lost: {}", why.replace(char::is_control, " "));
    report.subjects.push(Subject::hidden(ALL, Level::Unknown, text.clone()));
    worse(report, Level::Unknown, &text);
}

fn level(one: &Paused) -> Level {
    if one.cause.is_grave() { Level::Critical } else { Level::Warning }
}

fn message(one: &Paused) -> String {
    let word = if one.cause.is_grave() { "CRIT" } else { "WARN" };
    format!("{word}: pair {}: {} ({})", one.pair, one.why, one.hint).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::lag;
    use crate::pair::paused::Cause;

    fn paused(dataset: &str, cause: Cause) -> Paused {
        Paused {
            pair: "nfs".to_string(),
            dataset: dataset.to_string(),
            cause,
            why: format!("{dataset} lost\nmost"),
            hint: "accept it".to_string(),
        }
    }

    #[test]
    fn what_may_be_lost_is_critical_and_told_with_what_to_do() {
        let mut report = lag::judge(&[], 0);
        add(&mut report, &[]);
        assert_eq!((report.level, report.subjects.len()), (Level::Ok, 0));
        let (lost, unknown) = (paused("tank/a", Cause::Lost), paused("tank/b", Cause::NoSizes));
        add(&mut report, &[&unknown]);
        assert_eq!(report.level, Level::Warning);
        let mut report = lag::judge(&[], 0);
        add(&mut report, &[&unknown, &lost]);
        assert_eq!(report.level, Level::Critical);
        let said =
            "CRIT: pair nfs: tank/a lost most (accept it), WARN: pair nfs: tank/b lost most (accept it)";
        assert_eq!(report.text, said);
        assert_eq!((&report.json["text"], &report.json["level"]), (&said.into(), &"critical".into()));
        assert_eq!(report.json["paused"][0]["cause"], "lost");
        let named: Vec<_> = report.subjects.iter().map(|one| (one.name.as_str(), one.level)).collect();
        let expected = [("pairs: nfs: tank/a", Level::Critical), ("pairs: nfs: tank/b", Level::Warning)];
        assert_eq!(named, expected);
    }

    #[test]
    fn of_many_some_are_told_and_what_cannot_be_read_is_not_well() {
        let all: Vec<_> = (0..5).map(|n| paused(&format!("tank/{n}"), Cause::Missing)).collect();
        let mut report = lag::judge(&[], 0);
        add(&mut report, &all.iter().collect::<Vec<_>>());
        assert!(report.text.ends_with("and 2 more that are not pruned"), "{}", report.text);
        assert_eq!(report.subjects.len(), 5);
        let mut report = lag::judge(&[], 0);
        not_known(&mut report, "no right");
        assert_eq!(report.level, Level::Unknown);
        assert!(report.text.ends_with("no right"), "{}", report.text);
        assert!(report.subjects[0].holds("pairs: nfs: tank/a"));
    }
}
