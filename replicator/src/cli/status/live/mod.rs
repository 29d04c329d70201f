//! `replicator status --watch`: the screen stays on the terminal, and is looked at anew. Who looks is a thread of its own, so
//! that a machine that does not answer keeps no key from being read.

use std::io::IsTerminal;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::bounded;
use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyEventKind;
use ratatui::crossterm::event::KeyModifiers;

use super::screen::Screen;
use crate::cancel::Cancel;
use crate::cli::Failure;
use crate::cli::Outcome;
use crate::cli::signals;
use view::Move;
use view::View;

#[cfg(test)]
mod tests;
mod view;

/// How long a key is waited for before it is drawn anew: the age of what is shown counts on.
const TICK: Duration = Duration::from_millis(250);

/// Looks again and again until somebody ends it.
pub(super) fn watch(
    look: impl Fn() -> Result<Screen, Failure> + Send + 'static,
    every: Duration,
) -> Result<Outcome, Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let hint = "leave out --watch, or take --json for a program";
        return Err(Failure::new(Outcome::Usage, "--watch is for a terminal, and this is none")
            .hinted(hint.to_string()));
    }
    let cancel = Cancel::new();
    let inner = cancel.clone();
    // A signal ends it as `q` does: the terminal is given back as it was.
    signals::run(&cancel, move || {
        let looks = looking(look, every);
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut terminal = ratatui::try_init()?;
        let ended = show(&mut terminal, &looks, View::new(TimeZone::system(), colours), &inner);
        ratatui::restore();
        ended.map(|()| Outcome::Success).map_err(Failure::from)
    })
}

/// What each look comes to. The thread ends with its reader, or with the process while it looks.
fn looking(
    look: impl Fn() -> Result<Screen, Failure> + Send + 'static,
    every: Duration,
) -> Receiver<Result<Screen, Failure>> {
    let (sender, receiver) = bounded(1);
    std::thread::spawn(move || {
        while sender.send(look()).is_ok() {
            std::thread::sleep(every);
        }
    });
    receiver
}

fn show(
    terminal: &mut DefaultTerminal,
    looks: &Receiver<Result<Screen, Failure>>,
    mut view: View,
    cancel: &Cancel,
) -> std::io::Result<()> {
    let mut seen = Instant::now();
    while !cancel.is_cancelled() {
        if let Ok(look) = looks.try_recv() {
            if look.is_ok() {
                seen = Instant::now();
            }
            view.seen(look.as_ref().map_err(|failure| failure.message().to_string()));
        }
        terminal.draw(|frame| view.draw(frame, seen.elapsed()))?;
        if !event::poll(TICK)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match meaning(key) {
                Some(Key::End) => break,
                Some(Key::Go(to)) => view.go(to),
                None => {}
            },
            // It is drawn anew in the new size.
            _ => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    End,
    Go(Move),
}

fn meaning(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Key::End,
        KeyCode::Char('q') | KeyCode::Esc => Key::End,
        KeyCode::Up | KeyCode::Char('k') => Key::Go(Move::Lines(-1)),
        KeyCode::Down | KeyCode::Char('j') => Key::Go(Move::Lines(1)),
        KeyCode::PageUp => Key::Go(Move::Pages(-1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Key::Go(Move::Pages(1)),
        KeyCode::Left | KeyCode::Char('h') => Key::Go(Move::Columns(-1)),
        KeyCode::Right | KeyCode::Char('l') => Key::Go(Move::Columns(1)),
        KeyCode::Home | KeyCode::Char('g') => Key::Go(Move::Top),
        KeyCode::End | KeyCode::Char('G') => Key::Go(Move::Bottom),
        _ => return None,
    })
}
