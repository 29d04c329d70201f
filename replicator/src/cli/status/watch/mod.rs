//! `replicator status --watch`: the screen stays on a terminal and is kept up to date. Where news come from is in
//! [`sources`], what they make of the screen in [`state`], its lines in [`lines`], where they stand in [`draw`], and the
//! terminal in [`terminal`].

use std::io::IsTerminal;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use jiff::tz::TimeZone;

use super::gather;
use crate::cli::Failure;
use crate::cli::Outcome;
use crate::cli::config;
use crate::config::load::Location;
use lines::Palette;
use sources::Event;
use state::State;
use state::Then;
use terminal::Terminal;

mod draw;
mod lines;
mod sources;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

/// What to watch, and how often.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) location: Location,
    /// How long lies between two looks at what runs have written.
    pub(super) every: Duration,
    /// How long pools and targets have to answer.
    pub(super) timeout: Duration,
}

/// The screen is drawn at least as often: it says how old it is.
const TICK: Duration = Duration::from_secs(1);

/// Stays until it is left or ended.
pub(super) fn run(plan: &Plan) -> Result<Outcome, Failure> {
    if !std::io::stdout().is_terminal() {
        let hint = "without --watch the screen is printed once; --json is for programs".to_string();
        return Err(Failure::new(Outcome::Usage, "--watch needs a terminal to draw on").hinted(hint));
    }
    // What is wrong with it is told while there still is a place for it.
    let (config, _) = config::usable(&plan.location)?;
    let (news, events) = crossbeam_channel::unbounded();
    let (again, wanted) = crossbeam_channel::bounded(1);
    sources::signals(news.clone())?;
    let mut terminal = Terminal::enter()?;
    sources::keys(news.clone())?;
    sources::recorded(config.folders.state, plan.every, news.clone())?;
    sources::asked(plan.clone(), wanted, news)?;
    let state = State::new(gather::host(), TimeZone::system(), Palette::of_environment());
    watch(&mut terminal, state, &events, &again)
}

fn watch(
    terminal: &mut Terminal,
    mut state: State,
    events: &Receiver<Event>,
    again: &Sender<()>,
) -> Result<Outcome, Failure> {
    loop {
        terminal.draw(|area, buffer| {
            let page = state.page(area.as_size(), Instant::now());
            draw::draw(&page, area, buffer);
        })?;
        // What has come until now is taken up before it is drawn again: keys that repeat do not pile up.
        let mut next = events.recv_timeout(TICK).ok();
        while let Some(event) = next {
            match state.take(event)? {
                Then::GoOn => {}
                // One that waits already is enough.
                Then::AskAgain => drop(again.try_send(())),
                Then::End(outcome) => return Ok(outcome),
            }
            next = events.try_recv().ok();
        }
    }
}
