//! Where news come from, each on a thread of its own, so that none waits for another and keys wait for nobody. The
//! threads go on until the process ends.

use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use ratatui::crossterm::event;
use ratatui::crossterm::terminal::disable_raw_mode;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::Plan;
use crate::cli::Outcome;
use crate::cli::status::gather;
use crate::cli::status::gather::Asked;
use crate::cli::status::gather::Recorded;
use crate::config::load;

/// How long pools and targets are left alone after they have answered: each question is a process, and one about a target
/// a connection to it.
const PAUSE: Duration = Duration::from_secs(30);

/// Something new.
#[derive(Debug)]
pub(super) enum Event {
    /// A key, or another size.
    Input(event::Event),
    /// There are no keys any more.
    NoInput(io::Error),
    /// Somebody wants this to end.
    Signal,
    /// What was asked at that time.
    Asked(Instant, Result<Asked, String>),
    /// What was read at that time.
    Recorded(Instant, Result<Recorded, String>),
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_string()).spawn(work).map(drop)
}

/// Keys and sizes of the terminal.
pub(super) fn keys(news: Sender<Event>) -> io::Result<()> {
    thread("keys", move || {
        loop {
            let (event, last) = match event::read() {
                Ok(event) => (Event::Input(event), false),
                Err(error) => (Event::NoInput(error), true),
            };
            if news.send(event).is_err() || last {
                return;
            }
        }
    })
}

/// SIGINT, SIGTERM and SIGHUP, from when this returns. A second one ends the process at once, as it may hang in writing to a
/// terminal that takes nothing.
pub(super) fn signals(news: Sender<Event>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(inside);
    thread("signals", move || {
        runtime.block_on(async {
            for _ in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                // Whoever listened may have ended already.
                let _ = news.send(Event::Signal);
            }
        });
        let _ = disable_raw_mode();
        std::process::exit(i32::from(Outcome::Interrupted as u8));
    })
}

/// Reads what runs have written in the folder of the state, again and again.
pub(super) fn recorded(state: PathBuf, every: Duration, news: Sender<Event>) -> io::Result<()> {
    thread("records", move || {
        loop {
            let began = Instant::now();
            let found = without_panic(|| Ok(gather::recorded(&state)));
            if news.send(Event::Recorded(began, found)).is_err() {
                return;
            }
            std::thread::sleep(every);
        }
    })
}

/// Asks pools, targets and systemd, again after a pause, or at once when that is wanted.
pub(super) fn asked(plan: Plan, wanted: Receiver<()>, news: Sender<Event>) -> io::Result<()> {
    thread("questions", move || {
        loop {
            let began = Instant::now();
            let found = without_panic(|| ask(&plan));
            if news.send(Event::Asked(began, found)).is_err() {
                return;
            }
            let pause = wanted.recv_timeout(pause(plan.every, began.elapsed()));
            if pause == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    })
}

/// How long to leave those alone who needed so long for their answers: asking them takes a fifth of the time at most.
pub(super) fn pause(every: Duration, took: Duration) -> Duration {
    PAUSE.max(every).max(took.saturating_mul(4))
}

/// Asks once, with the configuration as it is now.
fn ask(plan: &Plan) -> Result<Asked, String> {
    let (config, problems) = load::read(&plan.location);
    let config = config.filter(|_| problems.errors() == 0);
    let config = config.ok_or("the configuration has errors; `replicator config check` shows them")?;
    gather::asked(&config, &plan.location, plan.timeout).map_err(|failure| match failure.hint() {
        Some(hint) => format!("{} ({hint})", failure.message()),
        None => failure.message().to_string(),
    })
}

/// A panic as an error: the screen goes on.
pub(super) fn without_panic<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("a defect of this program: {}", text.unwrap_or_default()))
    })
}
