//! The screen as lines for a terminal of any width. What stands in columns where there is room stands in sentences where
//! there is not; nothing is cut off. Pure.

use jiff::tz::TimeZone;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::text::Span;

use crate::cli::colour;
use crate::cli::finding;
use crate::cli::finding::Kind;
use crate::cli::finding::Level;
use crate::cli::format;
use crate::cli::status::screen::Row;
use crate::cli::status::screen::RunRow;
use crate::cli::status::screen::Screen;
use crate::cli::status::screen::State;
use crate::cli::status::text;

/// The least columns that what runs came to may have beside the other columns.
const RESULT: usize = 24;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) colours: bool,
}

impl Palette {
    /// As the environment wants it: NO_COLOR with anything in it turns colours off.
    pub(super) fn of_environment() -> Self {
        Self { colours: colour::wanted(&std::io::stdout()) }
    }

    fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn risk(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn look(self) -> Style {
        self.coloured(Color::Yellow)
    }

    fn well(self) -> Style {
        self.coloured(Color::Green)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn of_row(self, state: State) -> Style {
        match state {
            State::Ok => Style::new(),
            State::Away => self.dim(),
            State::Unknown => self.look(),
            State::Late | State::Conflict | State::Missing | State::Differs => self.risk(),
        }
    }

    fn of_finding(self, kind: Kind) -> Style {
        match kind {
            Kind::Heading => self.heading(),
            Kind::Text(Level::Risk) => self.risk(),
            Kind::Text(Level::Look) => self.look(),
            Kind::Text(Level::Note) | Kind::Command => Style::new(),
        }
    }
}

/// The lines of a text, none of them wider than this: what is wider goes on in the next line.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let (mut part, mut used) = (String::new(), 0);
        for c in line.chars() {
            let wide = Span::raw(c.to_string()).width();
            if used + wide > width.max(1) && !part.is_empty() {
                lines.push(std::mem::take(&mut part));
                used = 0;
            }
            part.push(c);
            used += wide;
        }
        lines.push(part);
    }
    lines
}

/// What is written, line by line.
struct Sheet {
    width: usize,
    palette: Palette,
    lines: Vec<Line<'static>>,
}

impl Sheet {
    fn put(&mut self, text: &str, style: Style) {
        self.lines.extend(folded(text, self.width).into_iter().map(|line| Line::styled(line, style)));
    }

    /// A paragraph that is set in by so many columns, from its second line on by two more.
    fn paragraph(&mut self, text: &str, set_in: usize, style: Style) {
        let (first, other) = (" ".repeat(set_in), " ".repeat(set_in + 2));
        self.put(&format::wrapped_to(self.width, text, &first, &other), style);
    }

    fn heading(&mut self, text: &str) {
        self.put(text, self.palette.heading());
    }

    /// Whether a table has room, which it has when its widest line does.
    fn fits(&self, table: &str) -> bool {
        table.lines().all(|line| Span::raw(line).width() <= self.width)
    }
}

/// Whose screen it is, and the answer in a sentence.
pub(super) fn head(
    screen: &Screen,
    asked: bool,
    zone: &TimeZone,
    width: usize,
    palette: Palette,
) -> Vec<Line<'static>> {
    let mut sheet = Sheet { width, palette, lines: Vec::new() };
    let at = format::clock(screen.now, zone, "%Y-%m-%d %H:%M:%S");
    let title = if screen.now == 0 { screen.host.clone() } else { format!("{} at {at}", screen.host) };
    sheet.put(&title, palette.heading());
    let (verdict, style) = match (asked, screen.level) {
        (false, _) => ("Pools and targets are being asked…".to_string(), palette.dim()),
        (true, Level::Risk) => (text::verdict(screen), palette.risk()),
        (true, Level::Look) => (text::verdict(screen), palette.look()),
        (true, Level::Note) => (text::verdict(screen), palette.well()),
    };
    sheet.paragraph(&verdict, 0, style);
    sheet.lines
}

/// What scrolls. What nobody has answered or read yet is not there.
pub(super) fn body(
    screen: &Screen,
    (asked, recorded): (bool, bool),
    zone: &TimeZone,
    width: usize,
    palette: Palette,
) -> Vec<Line<'static>> {
    let clock = |seconds| format::clock(seconds, zone, "%m-%d %H:%M");
    let mut sheet = Sheet { width, palette, lines: Vec::new() };
    if asked {
        datasets(screen, &clock, &mut sheet);
    }
    if recorded {
        if !screen.running.is_empty() {
            sheet.heading("\nNOW");
        }
        for run in &screen.running {
            sheet.paragraph(&text::running(run, &clock), 2, Style::new());
            for one in &run.transfers {
                sheet.paragraph(&text::transfer(one, screen.now), 4, Style::new());
            }
        }
        sheet.put("\n", Style::new());
        runs(screen, &mut sheet);
    }
    if asked && recorded {
        for (kind, text) in finding::to_do_parts(&screen.findings, width) {
            sheet.put(&text, palette.of_finding(kind));
        }
    }
    sheet.lines
}

fn datasets(screen: &Screen, clock: &dyn Fn(i64) -> String, sheet: &mut Sheet) {
    if screen.datasets.is_empty() {
        sheet.paragraph(text::NO_DATASETS, 0, Style::new());
        return;
    }
    let rows = screen.datasets.iter().map(|row| text::dataset_cells(row, clock).to_vec());
    let table = format::table(&text::DATASETS, rows);
    if !sheet.fits(&table) {
        screen.datasets.iter().for_each(|row| dataset(row, clock, sheet));
        return;
    }
    let mut lines = table.lines();
    sheet.heading(lines.next().unwrap_or_default());
    for (line, row) in lines.zip(&screen.datasets) {
        sheet.put(line, sheet.palette.of_row(row.state));
    }
}

/// A dataset where there is no room for columns.
fn dataset(row: &Row, clock: &dyn Fn(i64) -> String, sheet: &mut Sheet) {
    let style = sheet.palette.of_row(row.state);
    let [name, ..] = text::dataset_cells(row, clock);
    sheet.put(format!("{name}  {}", row.state.word()).trim_end(), style);
    let snapshots = row.snapshots.map(|count| format!("snapshots: {count}"));
    let newest = format!("newest: {}", row.newest.map_or_else(|| "never".to_string(), clock));
    let age = row.age_seconds.map(|age| format!("age: {}", format::length(age)));
    let goal = row.goal_seconds.map(|goal| format!("at most: {}", format::length(goal)));
    let known: Vec<_> = snapshots.into_iter().chain([newest]).chain(age).chain(goal).collect();
    sheet.paragraph(&known.join(", "), if row.target.is_some() { 4 } else { 2 }, style);
}

fn runs(screen: &Screen, sheet: &mut Sheet) {
    let rows = screen.runs.iter().map(|row| text::run_cells(row, screen.now).to_vec());
    let table = format::table(&text::RUNS, rows);
    let left = table.lines().map(|line| line.chars().count()).max().unwrap_or(0) + 2;
    if left + RESULT > sheet.width {
        screen.runs.iter().for_each(|row| run(row, screen.now, sheet));
        return;
    }
    let mut lines = table.lines();
    sheet.heading(&format!("{:<left$}RESULT", lines.next().unwrap_or_default()));
    for (line, row) in lines.zip(&screen.runs) {
        let (first, other) = (format!("{line:<left$}"), " ".repeat(left));
        let text = format::wrapped_to(sheet.width, &text::result(row), &first, &other);
        sheet.put(&text, of_run(row, sheet.palette));
    }
}

/// A part of a run where there is no room for columns.
fn run(row: &RunRow, now: i64, sheet: &mut Sheet) {
    let style = of_run(row, sheet.palette);
    let [part, last, took, next] = text::run_cells(row, now);
    sheet.put(&part, style);
    sheet.paragraph(&format!("last: {last}, took: {took}, next: {next}"), 2, style);
    sheet.paragraph(&text::result(row), 2, style);
}

fn of_run(row: &RunRow, palette: Palette) -> Style {
    if row.failed { palette.risk() } else { Style::new() }
}
