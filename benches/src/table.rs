//! Results as Markdown: the machine, a table and a chart for each case, and the goals with their verdicts.

use std::fmt::Write;

use crate::chart;
use crate::chart::seconds;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::machine::Machine;
use crate::result::Case;
use crate::result::Results;
use crate::result::Sample;
use crate::result::Series;
use crate::stats;

/// Everything. The charts lie beside it under the names of [`chart::file_name`].
pub fn markdown(results: &Results) -> String {
    let mut text = String::from(
        "# Results\n\nMade by `cargo lab bench` out of `results.json`; [docs/performance.md](../../docs/performance.md) tells what is\n\
         measured and how. Times are medians of all rounds, with the fastest and the slowest. The ratio is that of the first\n\
         program of a table in the same round. CPU is that of the program and all it started here, then that of all machines\n\
         that took part, kernels included. Ratios hold for this machine.\n",
    );
    goals(&mut text, results);
    for run in &results.runs {
        machine(&mut text, &run.machine);
        for why in &run.left_out {
            let _ = writeln!(text, "- {why}");
        }
        for (at, case) in run.cases.iter().enumerate() {
            table(&mut text, case, at_in_suite(&run.cases, at));
        }
    }
    text
}

/// The number of a case within its suite.
pub fn at_in_suite(cases: &[Case], at: usize) -> usize {
    cases[..at].iter().filter(|other| other.suite == cases[at].suite).count()
}

fn goals(text: &mut String, results: &Results) {
    let rows: Vec<(&Case, &Goal)> = results
        .runs
        .iter()
        .flat_map(|run| &run.cases)
        .flat_map(|case| case.goals.iter().map(move |goal| (case, goal)))
        .collect();
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "\n## Goals\n\n| case | what | goal | median | 90 % interval | verdict |\n|---|---|---|---|---|---|\n",
    );
    for (case, goal) in rows {
        let against = goal.against.as_ref().map_or(String::new(), |name| format!(" / {}", cell(name)));
        let (median, interval, verdict) = match goal.judge(case) {
            Some(judged) => {
                let (low, high) = judged.interval;
                let show = |value| figure(goal, value);
                (show(judged.median), format!("{} to {}", show(low), show(high)), judged.verdict.name())
            }
            None => ("-".into(), "-".into(), "not measured"),
        };
        let _ = writeln!(
            text,
            "| {} | {}, {}{} | ≤ {} | {median} | {interval} | {verdict} |",
            cell(&case.title),
            goal.figure.name(),
            cell(&goal.ours),
            against,
            figure(goal, goal.at_most)
        );
    }
}

/// A text in a cell: a pipe between two programs is none between two cells.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A ratio, or a figure in its unit.
fn figure(goal: &Goal, value: f64) -> String {
    match (goal.against.is_some(), goal.figure) {
        (true, _) => format!("{value:.3}"),
        (false, Figure::Peak) => format!("{:.0} MB", value / 1e6),
        (false, _) => seconds(value),
    }
}

fn machine(text: &mut String, machine: &Machine) {
    let place = if machine.node { "Two nodes of the lab" } else { "This machine itself" };
    let _ = writeln!(text, "\n## {place}\n");
    let _ = writeln!(
        text,
        "{}, {} processors, {} MB of memory, Linux {}. ZFS: {}. {}. Commit {}, {}, load before {}.",
        machine.cpu,
        machine.cpus,
        machine.memory,
        machine.kernel,
        machine.zfs,
        machine.ssh,
        machine.commit,
        machine.date,
        machine.load
    );
    let _ = writeln!(
        text,
        "Starting a process costs {:.2} ms here, a system call {:.2} µs{}.\n",
        machine.fork_exec_ms,
        machine.system_call_us,
        if machine.node {
            ", far more than on a real kernel: programs made of many processes look worse than they are"
        } else {
            ""
        }
    );
    if let Some(host) = &machine.host {
        let _ = writeln!(text, "The nodes are processes of one machine: {host}.\n");
    }
    for (name, version) in &machine.programs {
        let _ = writeln!(text, "- {name}: {version}");
    }
}

fn table(text: &mut String, case: &Case, at: usize) {
    let _ = writeln!(
        text,
        "\n### {}: {}\n\n![{}]({})\n",
        case.suite,
        case.title,
        case.title,
        chart::file_name(case, at)
    );
    let per = if case.bytes.is_some() { "s/GB" } else { "s" };
    let _ = writeln!(
        text,
        "| program | time | spread | ratio | own CPU, {per} | all CPU, {per} | peak MB | started here, there | connections | wire MB |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for series in &case.series {
        row(text, case, series);
    }
}

fn row(text: &mut String, case: &Case, series: &Series) {
    let Some(time) = stats::spread(&series.values(|sample| sample.seconds)) else {
        let _ = writeln!(text, "| {} | no result | | | | | | | | |", series.name);
        return;
    };
    let median = |figure: &dyn Fn(&Sample) -> f64| stats::median(&series.values(figure)).unwrap_or(f64::NAN);
    let first = case.series.first().map(|first| first.values(|sample| sample.seconds)).unwrap_or_default();
    let ratios: Vec<f64> =
        series.values(|sample| sample.seconds).iter().zip(&first).map(|(own, first)| own / first).collect();
    let gigabytes = case.bytes.map_or(1.0, |bytes| bytes as f64 / 1e9);
    let name = if series.ours { format!("**{}**", cell(&series.name)) } else { cell(&series.name) };
    let there = series.samples.iter().all(|sample| sample.tasks_far.is_some());
    let tasks = match there {
        true => format!(
            "{:.0}, {:.0}",
            median(&|sample| sample.tasks_here as f64),
            median(&|sample| sample.tasks_far.unwrap_or(0) as f64)
        ),
        false => format!("{:.0}", median(&|sample| sample.tasks_here as f64)),
    };
    let _ = writeln!(
        text,
        "| {name} | {} | {} to {} | {:.3} | {:.2} | {:.2} | {:.1} | {tasks} | {:.0} | {:.3} |",
        seconds(time.median),
        seconds(time.min),
        seconds(time.max),
        stats::median(&ratios).unwrap_or(f64::NAN),
        median(&|sample| sample.cpu) / gigabytes,
        median(&|sample| Figure::Cpu.of(sample)) / gigabytes,
        median(&|sample| sample.peak as f64) / 1e6,
        median(&|sample| sample.connections as f64),
        median(&|sample| sample.wire as f64) / 1e6,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Run;

    fn results() -> Results {
        let series = |name: &str, ours: bool, time: f64| Series {
            name: name.into(),
            ours,
            command: String::new(),
            samples: (0..5)
                .map(|_| Sample {
                    seconds: time,
                    cpu: 1.0,
                    cpu_here: 2.0,
                    cpu_far: Some(3.0),
                    peak: 5_000_000,
                    tasks_here: 7,
                    tasks_far: Some(9),
                    connections: 1,
                    wire: 1_000_000,
                })
                .collect(),
        };
        let case = Case {
            suite: "ssh".into(),
            title: "a stream".into(),
            bytes: Some(2_000_000_000),
            series: vec![series("zfs send | ssh", false, 2.0), series("ours", true, 1.0)],
            goals: vec![
                Goal::ratio("ours", "zfs send | ssh", Figure::Seconds, 1.0),
                Goal::ratio("ours", "zfs send | ssh", Figure::Seconds, 0.4),
                Goal::ratio("ours", "absent", Figure::Seconds, 1.0),
                Goal::limit("ours", Figure::Peak, 64e6),
            ],
        };
        let machine = Machine {
            node: true,
            host: Some("a big machine".into()),
            cpu: "a processor".into(),
            cpus: 2,
            memory: 1,
            kernel: "7.2".into(),
            zfs: "zfs-2.4".into(),
            ssh: "OpenSSH".into(),
            commit: "abc".into(),
            date: "today".into(),
            load: "0".into(),
            fork_exec_ms: 13.0,
            system_call_us: 2.0,
            programs: vec![("syncoid".into(), "2.3".into())],
        };
        Results { runs: vec![Run { machine, cases: vec![case], left_out: vec!["bzfs is left out".into()] }] }
    }

    #[test]
    fn a_table_has_a_row_for_each_program_and_each_goal() {
        let text = markdown(&results());
        for line in [
            "| zfs send \\| ssh | 2.00 s | 2.00 s to 2.00 s | 1.000 | 0.50 | 2.50 | 5.0 | 7, 9 | 1 | 1.000 |",
            "| **ours** | 1.00 s | 1.00 s to 1.00 s | 0.500 | 0.50 | 2.50 | 5.0 | 7, 9 | 1 | 1.000 |",
            "| a stream | time, ours / zfs send \\| ssh | ≤ 1.000 | 0.500 | 0.500 to 0.500 | met |",
            "| a stream | time, ours / zfs send \\| ssh | ≤ 0.400 | 0.500 | 0.500 to 0.500 | not met |",
            "| a stream | time, ours / absent | ≤ 1.000 | - | - | not measured |",
            "| a stream | peak memory, ours | ≤ 64 MB | 5 MB | 5 MB to 5 MB | met |",
            "![a stream](ssh-1.svg)",
            "- bzfs is left out",
            "- syncoid: 2.3",
            "The nodes are processes of one machine: a big machine.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("Starting a process costs 13.00 ms"));
    }

    #[test]
    fn results_are_read_back_as_they_were_written() {
        let text = serde_json::to_string(&results()).expect("written");
        let again: Results = serde_json::from_str(&text).expect("read");
        assert_eq!(markdown(&again), markdown(&results()));
    }
}
