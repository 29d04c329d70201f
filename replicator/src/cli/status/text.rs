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

/// How many datasets are shown, those first with which something is wrong. All of them are in the JSON.
const SHOWN: usize = 12;

/// How many characters are shown of what a run came to.
const RESULT: usize = 46;

/// How many transfers are shown.
const TRANSFERS: usize = 10;

/// How long nothing may have moved before it is told.
const STILL: i64 = 60;

/// The text of it. Times are in this zone.
pub(super) fn text(screen: &Screen, zone: &TimeZone) -> String {
    let clock = |seconds| format::clock(seconds, zone, "%m-%d %H:%M");
    let mut text = format!("{} at {}\n\n", screen.host, format::clock(screen.now, zone, "%Y-%m-%d %H:%M"));
    text.push_str(&match screen.level {
        Level::Risk => format!("AT RISK: {} to do below.\n", finding::things(&screen.findings, Level::Risk)),
        Level::Look => {
            format!("WELL, and {} to look at below.\n", finding::things(&screen.findings, Level::Look))
        }
        Level::Note => "WELL: nothing to do.\n".to_string(),
    });
    text.push('\n');
    text.push_str(&table(screen, &clock));
    if !screen.running.is_empty() {
        text.push_str("\nNOW\n");
        text.push_str(&now(screen, &clock));
    }
    text.push('\n');
    let run = |row: &RunRow| {
        let dash = || "-".to_string();
        let failed = if row.failed { "FAILED: " } else { "" };
        vec![
            row.part.to_string(),
            row.ended
                .map_or_else(dash, |ended| format!("{} ago", format::length(screen::age(screen.now, ended)))),
            row.seconds.map_or_else(dash, format::length),
            row.next
                .map_or_else(dash, |next| format!("in {}", format::length(screen::age(next, screen.now)))),
            cut(&format!("{failed}{}", row.summary)),
        ]
    };
    text.push_str(&format::table(&["RUN", "LAST", "TOOK", "NEXT", "RESULT"], screen.runs.iter().map(run)));
    text.push_str(&finding::to_do(&screen.findings));
    text
}

/// As much of a summary as fits behind the other columns.
fn cut(summary: &str) -> String {
    match summary.char_indices().nth(RESULT) {
        None => summary.to_string(),
        Some((at, _)) => format!("{}…", summary[..at].trim_end()),
    }
}

fn table(screen: &Screen, clock: &dyn Fn(i64) -> String) -> String {
    if screen.datasets.is_empty() {
        return "No dataset has a policy or a job, or none could be looked at.\n".to_string();
    }
    let or_dash = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_string(), format::length);
    let row = |row: &Row| {
        vec![
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
    };
    // Whole datasets, with their targets.
    let mut shown: Vec<&[Row]> = screen.datasets.chunk_by(|a, b| a.dataset == b.dataset).collect();
    let rest = shown.split_off(shown.len().min(SHOWN));
    let rows = shown.into_iter().flatten().map(row);
    let mut text = format::table(&["DATASET", "SNAPSHOTS", "NEWEST", "AGE", "AT MOST", ""], rows);
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
        let phase = if run.phase.is_empty() { "starting" } else { &run.phase };
        let since = format!("a run since {} (process {}): {phase}", clock(run.started), run.process);
        text.push_str(&format::wrapped(&since, "  ", "    "));
        for one in run.transfers.iter().take(TRANSFERS) {
            let mut line =
                format!("{}: {}@{}: {}", one.title, one.dataset, one.snapshot, format::bytes(one.bytes));
            if let Some(total) = one.total.filter(|total| *total > 0) {
                let percent = u128::from(one.bytes) * 100 / u128::from(total);
                line.push_str(&format!(" of about {} ({} %)", format::bytes(total), percent.min(100)));
            }
            let still = screen.now.saturating_sub(one.moved);
            if still > STILL {
                line.push_str(&format!(
                    ", nothing has moved for {}",
                    format::length(screen::age(screen.now, one.moved))
                ));
            } else if let Some(rate) = one.rate() {
                line.push_str(&format!(", {}/s", format::bytes(rate)));
                if let Some(left) = one.seconds_left() {
                    line.push_str(&format!(", {} left", format::length(left)));
                }
            }
            text.push_str(&format::wrapped(&line, "    ", "      "));
        }
        let more = run.transfers.len().saturating_sub(TRANSFERS);
        if more > 0 {
            text.push_str(&format!("    and {more} more\n"));
        }
    }
    text
}
