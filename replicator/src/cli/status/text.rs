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

/// How a line is meant, where colours can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Well,
    Look,
    Risk,
}

/// A line of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The text of it. Times are in this zone.
pub(super) fn text(screen: &Screen, zone: &TimeZone) -> String {
    lines(screen, zone, SHOWN).iter().map(|line| format!("{}\n", line.text)).collect()
}

/// Its lines, with so many datasets at most.
pub(super) fn lines(screen: &Screen, zone: &TimeZone, shown: usize) -> Vec<Line> {
    let clock = |seconds| format::clock(seconds, zone, "%m-%d %H:%M");
    let mut lines = Lines::default();
    let now_is = format::clock(screen.now, zone, "%Y-%m-%d %H:%M");
    lines.add(Tone::Plain, &format!("{} at {now_is}\n\n", screen.host));
    match screen.level {
        Level::Risk => {
            let things = finding::things(&screen.findings, Level::Risk);
            lines.add(Tone::Risk, &format!("AT RISK: {things} to do below.\n"));
        }
        Level::Look => {
            let things = finding::things(&screen.findings, Level::Look);
            lines.add(Tone::Look, &format!("WELL, and {things} to look at below.\n"));
        }
        Level::Note => lines.add(Tone::Well, "WELL: nothing to do.\n"),
    }
    lines.add(Tone::Plain, "\n");
    datasets(screen, &clock, shown, &mut lines);
    if !screen.running.is_empty() {
        lines.add(Tone::Heading, "\nNOW\n");
        lines.add(Tone::Plain, &now(screen, &clock));
    }
    lines.add(Tone::Plain, "\n");
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
    let table = format::table(&["RUN", "LAST", "TOOK", "NEXT", "RESULT"], screen.runs.iter().map(run));
    let tones = screen.runs.iter().map(|row| if row.failed { Tone::Risk } else { Tone::Plain });
    lines.table(&table, tones);
    for line in finding::to_do(&screen.findings).lines() {
        let tone = match line {
            "TO DO" | "GOOD TO KNOW" => Tone::Heading,
            _ => Tone::Plain,
        };
        lines.add(tone, &format!("{line}\n"));
    }
    lines.0
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    /// Whole lines of one kind.
    fn add(&mut self, tone: Tone, text: &str) {
        self.0.extend(text.lines().map(|text| Line { tone, text: text.to_string() }));
    }

    /// A table, whose first line is its heading; what a row means is in `tones`.
    fn table(&mut self, table: &str, tones: impl Iterator<Item = Tone>) {
        let tones = std::iter::once(Tone::Heading).chain(tones);
        self.0.extend(table.lines().zip(tones).map(|(text, tone)| Line { tone, text: text.to_string() }));
    }
}

/// As much of a summary as fits behind the other columns.
fn cut(summary: &str) -> String {
    match summary.char_indices().nth(RESULT) {
        None => summary.to_string(),
        Some((at, _)) => format!("{}…", summary[..at].trim_end()),
    }
}

fn datasets(screen: &Screen, clock: &dyn Fn(i64) -> String, shown: usize, lines: &mut Lines) {
    if screen.datasets.is_empty() {
        return lines.add(Tone::Look, "No dataset has a policy or a job, or none could be looked at.\n");
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
    let tone = |row: &Row| match row.state {
        State::Ok | State::Away => Tone::Plain,
        State::Unknown => Tone::Look,
        State::Late | State::Conflict | State::Missing => Tone::Risk,
    };
    // Whole datasets, with their targets.
    let mut all: Vec<&[Row]> = screen.datasets.chunk_by(|a, b| a.dataset == b.dataset).collect();
    let rest = all.split_off(all.len().min(shown));
    let rows: Vec<&Row> = all.into_iter().flatten().collect();
    let table = format::table(
        &["DATASET", "SNAPSHOTS", "NEWEST", "AGE", "AT MOST", ""],
        rows.iter().map(|one| row(one)),
    );
    lines.table(&table, rows.iter().map(|one| tone(one)));
    if !rest.is_empty() {
        let wrong = rest.iter().filter(|rows| rows.iter().any(|row| row.state > State::Away)).count();
        let wrong = if wrong == 0 { "all well".to_string() } else { format!("{wrong} of them not well") };
        lines.add(Tone::Plain, &format!("and {} more, {wrong} (--json has all)\n", rest.len()));
    }
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
