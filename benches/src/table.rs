//! Results as Markdown: the machine, a table and charts for each case, and the goals with their verdicts.

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
         measured and how. Times are medians of all rounds, with the fastest and the slowest. The ratio is that to the first\n\
         program of a table in the same round. CPU is that of the program and all it started here, then that of all machines\n\
         that took part, kernels included. Where a time from the first MiB on is given, it is that of the line: what every program\n\
         spends on connecting and looking before is left out of it. Ratios hold for this machine.\n",
    );
    for failed in results.runs.iter().flat_map(|run| &run.failed) {
        let _ = writeln!(
            text,
            "\n**The suite {} failed**, and what it would have measured after that is missing: {}",
            failed.suite,
            beginning(&failed.why)
        );
    }
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

/// The beginning of what a failure says, as one line.
fn beginning(why: &str) -> String {
    let lines: Vec<&str> = why.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    lines.join("; ")
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
            "| {} | {}, {}{} | {} {} | {median} | {interval} | {verdict} |",
            cell(&case.title),
            goal.figure.name(),
            cell(&goal.ours),
            against,
            goal.bound.sign(),
            figure(goal, goal.limit)
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
        (false, Figure::Peak | Figure::PeakFar) => format!("{:.0} MB", value / 1e6),
        (false, Figure::Throughput) => format!("{:.0} MB/s", value / 1e6),
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
    if case.bytes.is_some() {
        let _ = writeln!(text, "![CPU time a GB]({})\n", chart::cpu_file_name(case, at));
    }
    for note in &case.notes {
        let _ = writeln!(text, "{note}\n");
    }
    let columns = columns(case);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let _ = writeln!(text, "| program | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for series in &case.series {
        let name = if series.ours { format!("**{}**", cell(&series.name)) } else { cell(&series.name) };
        let cells: Vec<String> = match series.samples.is_empty() {
            true => names.iter().map(|_| "no result".to_string()).collect(),
            false => columns.iter().map(|column| (column.show)(series)).collect(),
        };
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
}

/// What stands below each other.
struct Column {
    name: String,
    show: Box<dyn Fn(&Series) -> String>,
}

impl Column {
    fn new(name: impl Into<String>, show: impl Fn(&Series) -> String + 'static) -> Self {
        Self { name: name.into(), show: Box::new(show) }
    }
}

/// The columns of a case: those of every case, and those of what was looked at in this one.
fn columns(case: &Case) -> Vec<Column> {
    let time = |series: &Series| stats::spread(&series.values(|sample| sample.seconds));
    let first = case.series.first().map(|first| first.values(|sample| sample.seconds)).unwrap_or_default();
    let gigabytes = case.bytes.map_or(1.0, |bytes| bytes as f64 / 1e9);
    let per = if case.bytes.is_some() { "s/GB" } else { "s" };
    let mut columns = vec![
        Column::new("time", move |series| time(series).map_or(String::new(), |time| seconds(time.median))),
        Column::new("spread", move |series| {
            time(series)
                .map_or(String::new(), |time| format!("{} to {}", seconds(time.min), seconds(time.max)))
        }),
        Column::new("ratio", move |series| {
            let own = series.values(|sample| sample.seconds);
            let ratios: Vec<f64> = own.iter().zip(&first).map(|(own, first)| own / first).collect();
            format!("{:.3}", stats::median(&ratios).unwrap_or(f64::NAN))
        }),
        Column::new(format!("own CPU, {per}"), move |series| {
            format!("{:.2}", median(series, |sample| sample.cpu) / gigabytes)
        }),
        Column::new(format!("all CPU, {per}"), move |series| {
            format!("{:.2}", median(series, |sample| Figure::Cpu.of(sample, None)) / gigabytes)
        }),
        Column::new("peak MB", |series| format!("{:.1}", median(series, |sample| sample.peak as f64) / 1e6)),
        Column::new("started here, there", |series| {
            both(series, |sample| sample.tasks_here, |sample| sample.tasks_far)
        }),
        Column::new("connections here, there", |series| {
            both(series, |sample| sample.connections, |sample| sample.connections_far)
        }),
        Column::new("wire MB", |series| format!("{:.3}", median(series, |sample| sample.wire as f64) / 1e6)),
    ];
    if let Some(bytes) = case.bytes {
        columns.push(Column::new("MB a CPU second", move |series| {
            let figure = |sample: &Sample| Figure::Throughput.of(sample, Some(bytes));
            format!("{:.0}", median(series, figure) / 1e6)
        }));
    }
    if any(case, |sample| sample.flow.is_some()) {
        columns
            .push(Column::new("from the first MiB on", |series| where_taken(series, Figure::Flow, seconds)));
    }
    if any(case, |sample| sample.peak_far.is_some()) {
        columns.push(Column::new("peak MB there", |series| {
            where_taken(series, Figure::PeakFar, |peak| format!("{:.1}", peak / 1e6))
        }));
    }
    columns
}

fn any(case: &Case, has: fn(&Sample) -> bool) -> bool {
    case.series.iter().flat_map(|series| &series.samples).any(has)
}

fn median(series: &Series, figure: impl Fn(&Sample) -> f64) -> f64 {
    stats::median(&series.values(figure)).unwrap_or(f64::NAN)
}

/// A number of this machine, and of the other one where there is one.
fn both(series: &Series, here: fn(&Sample) -> u64, there: fn(&Sample) -> Option<u64>) -> String {
    let own = median(series, |sample| here(sample) as f64);
    if series.samples.iter().any(|sample| there(sample).is_none()) {
        return format!("{own:.0}");
    }
    format!("{own:.0}, {:.0}", median(series, |sample| there(sample).unwrap_or(0) as f64))
}

/// A figure that may not have been taken of all runs.
fn where_taken(series: &Series, figure: Figure, show: impl Fn(f64) -> String) -> String {
    let median = median(series, |sample| figure.of(sample, None));
    if median.is_finite() { show(median) } else { "-".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Failed;
    use crate::result::Run;

    fn results() -> Results {
        let series = |name: &str, ours: bool, time: f64| Series {
            name: name.into(),
            ours,
            command: String::new(),
            samples: (0..5)
                .map(|_| Sample {
                    seconds: time,
                    flow: None,
                    cpu: 1.0,
                    cpu_here: 2.0,
                    cpu_far: Some(3.0),
                    peak: 5_000_000,
                    peak_far: None,
                    tasks_here: 7,
                    tasks_far: Some(9),
                    connections: 1,
                    connections_far: Some(2),
                    wire: 1_000_000,
                })
                .collect(),
        };
        let case = Case {
            suite: "ssh".into(),
            title: "a stream".into(),
            bytes: Some(2_000_000_000),
            notes: vec!["`zstd -3` makes 17.0 % of it.".into()],
            series: vec![series("zfs send | ssh", false, 2.0), series("ours", true, 1.0)],
            goals: vec![
                Goal::ratio("ours", "zfs send | ssh", Figure::Seconds, 1.0),
                Goal::ratio("ours", "zfs send | ssh", Figure::Seconds, 0.4),
                Goal::ratio("ours", "absent", Figure::Seconds, 1.0),
                Goal::limit("ours", Figure::Peak, 64e6),
                Goal::ratio_at_least("ours", "zfs send | ssh", Figure::Throughput, 2.0),
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
        let failed = Failed { suite: "local".into(), why: "it ended\nwith exit code 1:\n".into() };
        let left_out = vec!["bzfs is left out".into()];
        Results { runs: vec![Run { machine, cases: vec![case], left_out, failed: vec![failed] }] }
    }

    #[test]
    fn a_table_has_a_row_for_each_program_and_each_goal() {
        let text = markdown(&results());
        for line in [
            "| program | time | spread | ratio | own CPU, s/GB | all CPU, s/GB | peak MB | started here, there | connections here, there | wire MB | MB a CPU second |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            "| zfs send \\| ssh | 2.00 s | 2.00 s to 2.00 s | 1.000 | 0.50 | 2.50 | 5.0 | 7, 9 | 1, 2 | 1.000 | 400 |",
            "| **ours** | 1.00 s | 1.00 s to 1.00 s | 0.500 | 0.50 | 2.50 | 5.0 | 7, 9 | 1, 2 | 1.000 | 400 |",
            "| a stream | time, ours / zfs send \\| ssh | ≤ 1.000 | 0.500 | 0.500 to 0.500 | met |",
            "| a stream | time, ours / zfs send \\| ssh | ≤ 0.400 | 0.500 | 0.500 to 0.500 | not met |",
            "| a stream | time, ours / absent | ≤ 1.000 | - | - | not measured |",
            "| a stream | peak memory, ours | ≤ 64 MB | 5 MB | 5 MB to 5 MB | met |",
            "| a stream | throughput per CPU second, ours / zfs send \\| ssh | ≥ 2.000 | 1.000 | 1.000 to 1.000 | not met |",
            "![a stream](ssh-1.svg)",
            "![CPU time a GB](ssh-1-cpu.svg)",
            "`zstd -3` makes 17.0 % of it.",
            "**The suite local failed**, and what it would have measured after that is missing: it ended; with exit code 1:",
            "- bzfs is left out",
            "- syncoid: 2.3",
            "The nodes are processes of one machine: a big machine.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("Starting a process costs 13.00 ms"));
    }

    #[test]
    fn what_was_looked_at_has_columns_of_its_own() {
        let mut results = results();
        let case = &mut results.runs[0].cases[0];
        case.bytes = None;
        case.series[1].samples.iter_mut().for_each(|sample| {
            sample.flow = Some(0.5);
            sample.peak_far = Some(7_000_000);
            sample.tasks_far = None;
        });
        case.series[0].samples.iter_mut().for_each(|sample| sample.tasks_far = None);
        let text = markdown(&results);
        for line in [
            "| program | time | spread | ratio | own CPU, s | all CPU, s | peak MB | started here, there | connections here, there | wire MB | from the first MiB on | peak MB there |",
            "| zfs send \\| ssh | 2.00 s | 2.00 s to 2.00 s | 1.000 | 1.00 | 5.00 | 5.0 | 7 | 1, 2 | 1.000 | - | - |",
            "| **ours** | 1.00 s | 1.00 s to 1.00 s | 0.500 | 1.00 | 5.00 | 5.0 | 7 | 1, 2 | 1.000 | 500.0 ms | 7.0 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("-cpu.svg"));
    }

    #[test]
    fn results_are_read_back_as_they_were_written() {
        let text = serde_json::to_string(&results()).expect("written");
        let again: Results = serde_json::from_str(&text).expect("read");
        assert_eq!(markdown(&again), markdown(&results()));
    }
}
