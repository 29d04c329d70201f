//! The screen of `replicator status` as text: 80 columns, the answer first, then the numbers, then what to do.

use jiff::tz::TimeZone;

use super::screen;
use super::screen::Row;
use super::screen::RunRow;
use super::screen::Screen;
use super::screen::State;
use crate::cli::finding;
use crate::cli::finding::Level;
use crate::cli::format;
use crate::monitor::transfers::Running;
use crate::monitor::transfers::Transfer;

/// How many datasets are shown, those first with which something is wrong. All of them are in the JSON.
const SHOWN: usize = 12;

/// The least characters that are shown of what a run came to.
const RESULT: usize = 24;

/// How many transfers are shown.
const TRANSFERS: usize = 10;

/// How long nothing may have moved before it is told.
const STILL: i64 = 60;

/// The text of it. Times are in this zone.
pub(super) fn text(screen: &Screen, zone: &TimeZone) -> String {
    let clock = |seconds| format::clock(seconds, zone, "%m-%d %H:%M");
    let mut text = format!("{} at {}\n\n", screen.host, format::clock(screen.now, zone, "%Y-%m-%d %H:%M"));
    text.push_str(&verdict(screen));
    text.push_str("\n\n");
    text.push_str(&table(screen, &clock));
    if !screen.running.is_empty() {
        text.push_str("\nNOW\n");
        text.push_str(&now(screen, &clock));
    }
    text.push('\n');
    let rows = screen.runs.iter().map(|row| run_cells(row, screen.now).to_vec());
    let left = format::table(&RUNS, rows).lines().map(|line| line.chars().count()).max().unwrap_or(0) + 2;
    let room = format::WIDTH.saturating_sub(left).max(RESULT);
    let run = |row: &RunRow| {
        let mut cells = run_cells(row, screen.now).to_vec();
        cells.push(cut(&result(row), room));
        cells
    };
    let header: Vec<_> = RUNS.into_iter().chain(["RESULT"]).collect();
    text.push_str(&format::table(&header, screen.runs.iter().map(run)));
    text.push_str(&finding::to_do(&screen.findings));
    text
}

/// The answer, in a sentence.
pub(super) fn verdict(screen: &Screen) -> String {
    let things = finding::things(&screen.findings, screen.level);
    match screen.level {
        Level::Risk => format!("AT RISK: {things} to do below."),
        Level::Look => format!("WELL, and {things} to look at below."),
        Level::Note => "WELL: nothing to do.".to_string(),
    }
}

/// The columns of runs, before their results.
pub(super) const RUNS: [&str; 4] = ["RUN", "LAST", "TOOK", "NEXT"];

/// A row of them.
pub(super) fn run_cells(row: &RunRow, now: i64) -> [String; 4] {
    let dash = || "-".to_string();
    [
        row.part.to_string(),
        row.ended.map_or_else(dash, |ended| format!("{} ago", format::length(screen::age(now, ended)))),
        row.seconds.map_or_else(dash, format::length),
        row.next.map_or_else(dash, |next| format!("in {}", format::length(screen::age(next, now)))),
    ]
}

/// What a run came to.
pub(super) fn result(row: &RunRow) -> String {
    format!("{}{}", if row.failed { "FAILED: " } else { "" }, row.summary)
}

/// As much of a summary as fits behind the other columns.
fn cut(summary: &str, room: usize) -> String {
    if summary.chars().count() <= room {
        return summary.to_string();
    }
    let shown: String = summary.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", shown.trim_end())
}

/// What stands there in place of datasets.
pub(super) const NO_DATASETS: &str = "No dataset has a policy or a job, or none could be looked at.";

/// The columns of datasets.
pub(super) const DATASETS: [&str; 6] = ["DATASET", "SNAPSHOTS", "NEWEST", "AGE", "AT MOST", ""];

/// A row of them.
pub(super) fn dataset_cells(row: &Row, clock: &dyn Fn(i64) -> String) -> [String; 6] {
    let or_dash = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_string(), format::length);
    [
        match &row.target {
            None => row.dataset.clone(),
            Some(target) => format!("  {target}"),
        },
        row.snapshots.map_or_else(String::new, |count| count.to_string()),
        row.newest.map_or_else(|| "never".to_string(), clock),
        or_dash(row.age_seconds),
        or_dash(row.goal_seconds),
        row.state.word().to_string(),
    ]
}

fn table(screen: &Screen, clock: &dyn Fn(i64) -> String) -> String {
    if screen.datasets.is_empty() {
        return format!("{NO_DATASETS}\n");
    }
    // Whole datasets, with their targets.
    let mut shown: Vec<&[Row]> = screen.datasets.chunk_by(|a, b| a.dataset == b.dataset).collect();
    let rest = shown.split_off(shown.len().min(SHOWN));
    let rows = shown.into_iter().flatten().map(|row| dataset_cells(row, clock).to_vec());
    let mut text = format::table(&DATASETS, rows);
    if !rest.is_empty() {
        let wrong = rest.iter().filter(|rows| rows.iter().any(|row| row.state > State::Away)).count();
        let wrong = if wrong == 0 { "all well".to_string() } else { format!("{wrong} of them not well") };
        text.push_str(&format!("and {} more, {wrong} (--json has all)\n", rest.len()));
    }
    text
}

fn now(screen: &Screen, clock: &dyn Fn(i64) -> String) -> String {
    let mut text = String::new();
    for run in &screen.running {
        text.push_str(&format::wrapped(&running(run, clock), "  ", "    "));
        for one in run.transfers.iter().take(TRANSFERS) {
            text.push_str(&format::wrapped(&transfer(one, screen.now), "    ", "      "));
        }
        let more = run.transfers.len().saturating_sub(TRANSFERS);
        if more > 0 {
            text.push_str(&format!("    and {more} more\n"));
        }
    }
    text
}

/// A run that is going on, in a sentence.
pub(super) fn running(run: &Running, clock: &dyn Fn(i64) -> String) -> String {
    let phase = if run.phase.is_empty() { "starting" } else { &run.phase };
    format!("a run since {} (process {}): {phase}", clock(run.started), run.process)
}

/// A stream on its way, in a sentence.
pub(super) fn transfer(one: &Transfer, now: i64) -> String {
    let mut line = format!("{}: {}@{}: {}", one.title, one.dataset, one.snapshot, format::bytes(one.bytes));
    if let Some(total) = one.total.filter(|total| *total > 0) {
        let percent = u128::from(one.bytes) * 100 / u128::from(total);
        line.push_str(&format!(" of about {} ({} %)", format::bytes(total), percent.min(100)));
    }
    if now.saturating_sub(one.moved) > STILL {
        let still = format::length(screen::age(now, one.moved));
        line.push_str(&format!(", nothing has moved for {still}"));
    } else if let Some(rate) = one.rate() {
        line.push_str(&format!(", {}/s", format::bytes(rate)));
        if let Some(left) = one.seconds_left() {
            line.push_str(&format!(", {} left", format::length(left)));
        }
    }
    line
}
