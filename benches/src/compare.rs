//! Two runs beside each other: which goals have another verdict now. A goal that was met and is not any more is what one looks
//! for; the machine's noise must not do that ([`crate::goal`]).

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::goal::Goal;
use crate::goal::Judged;
use crate::goal::Verdict;
use crate::result::Case;
use crate::result::Results;

/// What a goal is known by in both.
type Key = (String, String);

/// A goal with what became of it; nothing where it was not measured.
type Found = (Goal, Option<Judged>);

/// What differs between two results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// A line for each goal with another verdict, and for each that only one of the two has.
    pub lines: Vec<String>,
    /// How many goals both have.
    pub both: usize,
    /// How many of them were met before and are not met now.
    pub worse: usize,
}

/// Compares the verdicts of two results.
pub fn compare(old: &Results, new: &Results) -> Difference {
    let (old, new) = (all(old), all(new));
    let mut found = Difference::default();
    for (key, (goal, before)) in &old {
        let Some((now_goal, now)) = new.get(key) else {
            found.lines.push(format!("{}: only in the first ({})", named(key), verdict(before.as_ref())));
            continue;
        };
        found.both += 1;
        if goal.limit.to_bits() != now_goal.limit.to_bits() {
            let (was, is) = (goal.limit, now_goal.limit);
            found.lines.push(format!("{}: the limit itself was {was} and is {is}", named(key)));
        }
        let (was, is) = (before.map(|judged| judged.verdict), now.map(|judged| judged.verdict));
        if was == is {
            continue;
        }
        let mut line = format!("{}: {} -> {}", named(key), verdict(before.as_ref()), verdict(now.as_ref()));
        if (was, is) == (Some(Verdict::Met), Some(Verdict::NotMet)) {
            found.worse += 1;
            line += " (!)";
        }
        found.lines.push(line);
    }
    for (key, (_, now)) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        found.lines.push(format!("{}: only in the second ({})", named(key), verdict(now.as_ref())));
    }
    found
}

/// The lines, and a last one that counts.
pub fn text(found: &Difference) -> String {
    let mut text = String::new();
    for line in &found.lines {
        let _ = writeln!(text, "{line}");
    }
    let Difference { both, worse, .. } = found;
    let _ = writeln!(text, "{both} goals in both; {worse} of them were met and are not any more");
    text
}

/// All goals. Those of nodes and those of a machine itself are never the same.
fn all(results: &Results) -> BTreeMap<Key, Found> {
    let mut all = BTreeMap::new();
    for run in &results.runs {
        let place = if run.machine.node { "nodes" } else { "machine" };
        for case in &run.cases {
            for goal in &case.goals {
                all.insert(key(place, case, goal), (goal.clone(), goal.judge(case)));
            }
        }
    }
    all
}

fn key(place: &str, case: &Case, goal: &Goal) -> Key {
    let against = goal.against.as_ref().map_or(String::new(), |name| format!(" / {name}"));
    let what = format!("{}, {}{against}", goal.figure.name(), goal.ours);
    (format!("{} ({place}), {}", case.suite, case.title), what)
}

fn named((case, what): &Key) -> String {
    format!("{case}: {what}")
}

fn verdict(judged: Option<&Judged>) -> String {
    match judged {
        None => "not measured".to_string(),
        Some(judged) => format!("{}, {:.4}", judged.verdict.name(), judged.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::Figure;
    use crate::machine::Machine;
    use crate::result::Run;
    use crate::result::Sample;
    use crate::result::Series;

    /// A run in which ours took so long in each round, and the other program a second.
    fn results(node: bool, seconds: &[f64], goals: Vec<Goal>) -> Results {
        let series = |name: &str, times: Vec<f64>| Series {
            name: name.into(),
            ours: name == "ours",
            command: String::new(),
            samples: times.into_iter().map(|seconds| Sample { seconds, ..Sample::default() }).collect(),
        };
        let case = Case {
            suite: "local".into(),
            title: "a stream".into(),
            bytes: None,
            notes: Vec::new(),
            series: vec![series("ours", seconds.to_vec()), series("pipe", vec![1.0; seconds.len()])],
            goals,
        };
        let machine = Machine {
            node,
            host: None,
            cpu: String::new(),
            cpus: 1,
            memory: 1,
            kernel: String::new(),
            zfs: String::new(),
            ssh: String::new(),
            commit: String::new(),
            date: String::new(),
            load: String::new(),
            fork_exec_ms: 1.0,
            system_call_us: 1.0,
            programs: Vec::new(),
        };
        Results { runs: vec![Run { machine, cases: vec![case], left_out: Vec::new(), failed: Vec::new() }] }
    }

    fn goals() -> Vec<Goal> {
        vec![
            Goal::ratio("ours", "pipe", Figure::Seconds, 1.0),
            Goal::limit("ours", Figure::Seconds, 2.0),
            Goal::ratio("ours", "absent", Figure::Seconds, 1.0),
        ]
    }

    #[test]
    fn the_same_run_differs_in_nothing() {
        let run = results(true, &[0.9; 5], goals());
        let found = compare(&run, &run);
        assert_eq!(found, Difference { lines: Vec::new(), both: 3, worse: 0 });
        assert_eq!(text(&found), "3 goals in both; 0 of them were met and are not any more\n");
    }

    #[test]
    fn what_was_met_and_is_not_any_more_is_marked() {
        let found = compare(&results(true, &[0.9; 5], goals()), &results(true, &[1.5; 5], goals()));
        assert_eq!(found.worse, 1);
        assert_eq!(
            found.lines,
            ["local (nodes), a stream: time, ours / pipe: met, 0.9000 -> not met, 1.5000 (!)"]
        );
        // What became undecided, or better, is told and no more.
        let unsure = results(true, &[0.9, 0.9, 1.1, 1.1, 1.1], goals());
        let found = compare(&results(true, &[0.9; 5], goals()), &unsure);
        assert_eq!((found.worse, found.lines.len()), (0, 1));
        assert!(found.lines[0].contains("met, 0.9000 -> undecided"), "{:?}", found.lines);
        assert_eq!(compare(&results(true, &[1.5; 5], goals()), &results(true, &[0.9; 5], goals())).worse, 0);
    }

    #[test]
    fn goals_of_one_run_alone_and_other_limits_are_told() {
        let old = results(true, &[0.9; 5], goals());
        let mut fewer = goals();
        fewer.remove(1);
        fewer[0].limit = 0.95;
        let found = compare(&old, &results(true, &[0.9; 5], fewer));
        assert_eq!((found.both, found.worse, found.lines.len()), (2, 0, 2));
        assert!(found.lines.iter().any(|line| line.contains("the limit itself was 1 and is 0.95")));
        assert!(found.lines.iter().any(|line| line.ends_with("time, ours: only in the first (met, 0.9000)")));
        // The same on another kind of machine is something else.
        let found = compare(&old, &results(false, &[0.9; 5], goals()));
        assert_eq!((found.both, found.lines.len()), (0, 6));
    }
}
