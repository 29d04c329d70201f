//! What is on the screen, and what keys and news make of it. Knows no terminal and no clock but those it is given.

use std::io;
use std::time::Instant;

use jiff::tz::TimeZone;
use ratatui::crossterm::event;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;
use ratatui::layout::Size;
use ratatui::text::Line;

use super::draw::Page;
use super::lines;
use super::lines::Palette;
use super::sources::Event;
use crate::cli::Outcome;
use crate::cli::format;
use crate::cli::status::screen::Facts;
use crate::cli::status::screen::Screen;
use crate::cli::status::screen::screen;

/// The most lines that an error has.
const ERROR_LINES: usize = 3;

/// What to do about something new.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// Pools and targets have more to say than they said.
    AskAgain,
    End(Outcome),
}

/// All of it.
pub(super) struct State {
    facts: Facts,
    screen: Screen,
    zone: TimeZone,
    palette: Palette,
    asked: Source,
    recorded: Source,
    /// The lines that scroll, and the width they were made for; none when they are to be made anew.
    body: Option<(u16, Vec<Line<'static>>)>,
    /// The first of the lines that are seen.
    top: usize,
    /// How many lines there were when it was drawn, and how many were seen.
    seen: (usize, usize),
}

/// How it stands with a source of news.
#[derive(Default)]
struct Source {
    /// When it was asked for what is shown.
    good: Option<Instant>,
    /// When it was asked since without success, and why.
    bad: Option<(Instant, String)>,
}

impl Source {
    /// Takes up an answer, and gives what is new.
    fn took<T>(&mut self, began: Instant, found: Result<T, String>) -> Option<T> {
        match found {
            Ok(found) => {
                (self.good, self.bad) = (Some(began), None);
                Some(found)
            }
            Err(why) => {
                self.bad = Some((began, why));
                None
            }
        }
    }
}

impl State {
    /// Of a machine of which nothing is known yet.
    pub(super) fn new(host: String, zone: TimeZone, palette: Palette) -> Self {
        let facts = Facts { host, ..Facts::default() };
        let screen = screen(&facts);
        let (asked, recorded) = (Source::default(), Source::default());
        Self { facts, screen, zone, palette, asked, recorded, body: None, top: 0, seen: (0, 0) }
    }

    /// Takes something up.
    ///
    /// # Errors
    /// When nothing can be pressed any more.
    pub(super) fn take(&mut self, event: Event) -> io::Result<Then> {
        match event {
            Event::Input(event::Event::Key(key)) => return Ok(self.press(key)),
            // The terminal knows its size.
            Event::Input(_) => {}
            Event::NoInput(error) => return Err(error),
            Event::Signal => return Ok(Then::End(Outcome::Interrupted)),
            Event::Asked(began, found) => {
                if let Some(asked) = self.asked.took(began, found) {
                    self.facts.hear(asked);
                    self.renew();
                }
            }
            Event::Recorded(began, found) => {
                let (first, before) = (self.recorded.good.is_none(), self.newest());
                if let Some(recorded) = self.recorded.took(began, found) {
                    self.facts.read(recorded);
                    self.renew();
                    if !first && self.newest() != before {
                        return Ok(Then::AskAgain);
                    }
                }
            }
        }
        Ok(Then::GoOn)
    }

    /// When the newest run ended.
    fn newest(&self) -> Option<i64> {
        self.facts.history.runs.iter().map(|run| run.ended).max()
    }

    fn renew(&mut self) {
        self.screen = screen(&self.facts);
        self.body = None;
    }

    fn press(&mut self, key: KeyEvent) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::GoOn;
        }
        let (count, room) = self.seen;
        // A line stays where it is read on.
        let page = room.saturating_sub(1).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.top = match key.code {
            KeyCode::Char('c') if control => return Then::End(Outcome::Success),
            KeyCode::Char('q') | KeyCode::Esc => return Then::End(Outcome::Success),
            KeyCode::Up | KeyCode::Char('k') => self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.top.saturating_add(1),
            KeyCode::PageUp => self.top.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.top.saturating_add(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => count,
            _ => self.top,
        };
        self.top = self.top.min(count.saturating_sub(room));
        Then::GoOn
    }

    /// What there is to draw on a screen of this size.
    pub(super) fn page(&mut self, size: Size, now: Instant) -> Page<'_> {
        let width = usize::from(size.width);
        if self.body.as_ref().is_none_or(|(made_for, _)| *made_for != size.width) {
            let known = (self.asked.good.is_some(), self.recorded.good.is_some());
            let made = lines::body(&self.screen, known, &self.zone, width, self.palette);
            self.body = Some((size.width, made));
        }
        let asked = self.asked.good.is_some();
        let head = lines::head(&self.screen, asked, &self.zone, width, self.palette);
        let foot = self.foot(width, now);
        let body = self.body.as_ref().map_or(&[][..], |(_, lines)| lines);
        let mut page = Page { head, body, foot, top: self.top, keys: self.palette.dim() };
        let (count, room) = page.seen(usize::from(size.height));
        page.top = self.top.min(count.saturating_sub(room));
        (self.top, self.seen) = (page.top, (count, room));
        page
    }

    /// How old it is, and what stood in the way of newer.
    fn foot(&self, width: usize, now: Instant) -> Vec<Line<'static>> {
        let ago = |then: Instant| format::length(now.saturating_duration_since(then).as_secs());
        let mut foot = Vec::new();
        for (what, source) in [("read runs", &self.recorded), ("ask pools and targets", &self.asked)] {
            if let Some((at, why)) = &source.bad {
                let text = format!("Could not {what} {} ago: {why}.", ago(*at));
                let mut text = lines::folded(&format::wrapped_to(width, &text, "", "  "), width);
                if text.len() > ERROR_LINES {
                    text.truncate(ERROR_LINES);
                    text[ERROR_LINES - 1] = "  …".to_string();
                }
                foot.extend(text.into_iter().map(|line| Line::styled(line, self.palette.risk())));
            }
        }
        let age = |source: &Source| {
            source.good.map_or_else(|| "not known yet".to_string(), |at| format!("as of {} ago", ago(at)))
        };
        let ages = format!("Runs {}, pools and targets {}.", age(&self.recorded), age(&self.asked));
        let ages = lines::folded(&format::wrapped_to(width, &ages, "", ""), width);
        foot.extend(ages.into_iter().map(|line| Line::styled(line, self.palette.dim())));
        foot
    }
}
