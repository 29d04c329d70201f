//! Whether copies were found good, out of what `replicator verify` remembers. Pure.

use serde_json::json;

use super::Level;
use super::Report;
use super::elapsed;
use crate::verify::memory::Checked;
use crate::verify::memory::Drill;

/// A target of a job, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The name of the job.
    pub job: &'a str,
    /// The name of the target.
    pub target: &'a str,
    /// Its datasets, as far as they were looked at.
    pub checked: Vec<&'a Checked>,
}

/// Judges what was found. A target that nobody has looked at for `longest` seconds, or never, is a warning.
#[must_use]
pub fn judge(targets: &[Target<'_>], longest: u64, now: i64) -> Report {
    let mut bad: Vec<(Level, String)> = Vec::new();
    let mut well = Vec::new();
    for one in targets {
        let title = format!("{} to {}", one.job, one.target);
        let Some(last) = one.checked.iter().map(|checked| checked.at).max() else {
            bad.push((Level::Warning, format!("{title}: never verified")));
            continue;
        };
        let before = bad.len();
        for checked in &one.checked {
            if let Some((level, text)) = trouble(checked) {
                bad.push((level, format!("{title}: {}: {text}", checked.source)));
            }
        }
        let age = u64::try_from(now.saturating_sub(last)).unwrap_or(0);
        if age > longest {
            let text = format!("{title}: last verified {} ago", elapsed(age));
            bad.push((Level::Warning, format!("{text} (should be < {})", elapsed(longest))));
        }
        if bad.len() == before {
            well.push(format!("{title}: {} ago", elapsed(age)));
        }
    }
    let level = bad.iter().map(|(level, _)| *level).max().unwrap_or_default();
    let text = match (targets.is_empty(), bad.is_empty()) {
        (true, _) => "OK: there is nothing to verify".to_string(),
        (false, true) => format!("OK: all copies were found good ({})", well.join(", ")),
        (false, false) => {
            let word = |level: Level| if level == Level::Critical { "CRIT" } else { "WARN" };
            let texts: Vec<_> = bad.iter().map(|(level, text)| format!("{}: {text}", word(*level))).collect();
            texts.join(", ")
        }
    };
    let json: Vec<_> = targets
        .iter()
        .map(|one| json!({ "replication": one.job, "target": one.target, "datasets": one.checked }))
        .collect();
    Report::new(level, &text, json!({ "targets": json }))
}

fn trouble(checked: &Checked) -> Option<(Level, String)> {
    if checked.differences > 0 {
        let first = checked.first.first().map(|first| format!(" ({first})")).unwrap_or_default();
        return Some((Level::Critical, format!("{} differ{first}", of_files(checked.differences))));
    }
    match &checked.drill {
        Some(Drill::Differs(count)) => {
            Some((Level::Critical, format!("of a restore drill {} differ", of_files(*count))))
        }
        _ if checked.failed.is_some() => {
            let why = checked.failed.clone().unwrap_or_default();
            Some((Level::Warning, format!("not verified: {why}")))
        }
        Some(Drill::Failed(why)) => Some((Level::Warning, format!("no restore drill: {why}"))),
        Some(Drill::Good) | None => None,
    }
}

fn of_files(count: u64) -> String {
    if count == 1 { "1 file or segment".to_string() } else { format!("{count} files or segments") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(at: i64) -> Checked {
        Checked {
            job: "data".to_string(),
            to: "nas:back/data".to_string(),
            source: "tank/data".to_string(),
            target: "back/data".to_string(),
            at,
            snapshot: None,
            share: None,
            compared: 1,
            differences: 0,
            first: Vec::new(),
            failed: None,
            drill: None,
        }
    }

    fn judged(all: &[Checked]) -> (Level, String) {
        let report =
            judge(&[Target { job: "data", target: "nas", checked: all.iter().collect() }], 100, 1000);
        (report.level, report.text)
    }

    #[test]
    fn what_differs_is_critical_and_what_is_not_known_a_warning() {
        assert_eq!(judged(&[checked(950)]).0, Level::Ok);
        assert_eq!(judged(&[]).0, Level::Warning);
        assert_eq!(judged(&[checked(800)]).0, Level::Warning);
        // The target was looked at; of each dataset it is the turn in time.
        assert_eq!(judged(&[checked(800), checked(950)]).0, Level::Ok);
        let failed = Checked { failed: Some("no key".to_string()), ..checked(950) };
        assert_eq!(judged(std::slice::from_ref(&failed)).0, Level::Warning);
        let differs = Checked { differences: 2, first: vec!["a: content".to_string()], ..checked(950) };
        let (level, text) = judged(&[failed, differs]);
        assert_eq!(level, Level::Critical);
        assert!(text.contains("a: content") && text.contains("no key"), "{text}");
        for (drill, level) in
            [(Drill::Differs(1), Level::Critical), (Drill::Failed("x".to_string()), Level::Warning)]
        {
            assert_eq!(judged(&[Checked { drill: Some(drill), ..checked(950) }]).0, level);
        }
        assert_eq!(judge(&[], 100, 1000).level, Level::Ok);
    }
}
