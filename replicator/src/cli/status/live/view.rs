//! What the live view shows: pure, from what was seen last and where the reader is.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::text::Span;
use ratatui::widgets::Paragraph;

use crate::cli::format;
use crate::cli::status::screen::Screen;
use crate::cli::status::text;
use crate::cli::status::text::Tone;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Lines(isize),
    Pages(isize),
    Columns(isize),
    Top,
    Bottom,
}

/// What was seen last, and which part of it is shown.
pub(super) struct View {
    zone: TimeZone,
    colours: bool,
    lines: Vec<text::Line>,
    /// Why the last look came to nothing.
    failed: Option<String>,
    top: usize,
    left: usize,
    /// Lines that had room when it was last drawn.
    page: usize,
}

/// How many columns a key moves by.
const STEP: isize = 8;

impl View {
    pub(super) fn new(zone: TimeZone, colours: bool) -> Self {
        Self { zone, colours, lines: Vec::new(), failed: None, top: 0, left: 0, page: 1 }
    }

    /// Takes what a look came to. What was seen before stays where there is nothing newer.
    pub(super) fn seen(&mut self, look: Result<&Screen, String>) {
        match look {
            Ok(screen) => {
                self.lines = text::lines(screen, &self.zone, usize::MAX);
                self.failed = None;
            }
            Err(why) => self.failed = Some(why),
        }
    }

    pub(super) fn go(&mut self, to: Move) {
        let by = |at: usize, by: isize| at.saturating_add_signed(by);
        match to {
            Move::Lines(lines) => self.top = by(self.top, lines),
            Move::Pages(pages) => {
                let page = isize::try_from(self.page.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
                self.top = by(self.top, pages.saturating_mul(page));
            }
            Move::Columns(columns) => self.left = by(self.left, columns.saturating_mul(STEP)),
            Move::Top => (self.top, self.left) = (0, 0),
            Move::Bottom => self.top = usize::MAX,
        }
    }

    /// Draws it, `age` after it was seen.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, age: Duration) {
        let [body, foot] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
        self.page = usize::from(body.height);
        self.top = self.top.min(self.lines.len().saturating_sub(self.page));
        let widest = self.lines.iter().map(|line| line.text.chars().count()).max().unwrap_or(0);
        self.left = self.left.min(widest.saturating_sub(usize::from(body.width)));
        let shown = self.lines.iter().skip(self.top).take(self.page);
        let shown = shown.map(|line| Line::styled(line.text.as_str(), self.style(line.tone)));
        let left = u16::try_from(self.left).unwrap_or(u16::MAX);
        frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()).scroll((0, left)), body);
        frame.render_widget(self.foot(age), foot);
    }

    fn foot(&self, age: Duration) -> Line<'static> {
        let bar = Style::new().add_modifier(Modifier::REVERSED);
        if let Some(why) = &self.failed {
            let style = self.style(Tone::Risk).add_modifier(Modifier::REVERSED);
            return Line::from(Span::styled(format!(" q ends it  {why} "), style));
        }
        if self.lines.is_empty() {
            return Line::from(Span::styled(" q ends it  looking … ", bar));
        }
        let last = self.lines.len().min(self.top + self.page);
        let place = format!("{}-{last} of {}", self.top + 1, self.lines.len());
        let age = format::length(age.as_secs());
        Line::from(Span::styled(format!(" q ends it  {place}  seen {age} ago "), bar))
    }

    fn style(&self, tone: Tone) -> Style {
        let colour = |colour| if self.colours { Style::new().fg(colour) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Heading => Style::new().add_modifier(Modifier::BOLD),
            Tone::Well => colour(Color::Green),
            Tone::Look => colour(Color::Yellow),
            Tone::Risk => colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}
