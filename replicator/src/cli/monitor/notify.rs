//! `replicator monitor notify`.

use std::time::Duration;

use super::Check;
use super::DAYS;
use super::Failure;
use super::From;
use super::Gatherer;
use super::Outcome;
use crate::cancel::Cancel;
use crate::cli;
use crate::monitor::Level;
use crate::notify::News;
use crate::notify::State;
use crate::notify::Told;
use crate::notify::send::Sender;
use crate::verify::memory::Verified;

/// Run all checks, and tell those whom the configuration names what has changed since they were told last.
///
/// What has become worse is told at once, what has become better after the cool-down; what is the same is not told again.
/// replicator-notify.timer calls it every five minutes. Without [notify] in the configuration it does nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator monitor notify\n  replicator monitor notify --dry-run\n  replicator monitor notify --test"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    from: From,

    /// How many seconds each check may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    /// Only print what would be told.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Send a message that says it is a test, and do nothing else.
    #[arg(long, conflicts_with = "dry_run")]
    test: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let Some(notify) = &config.notify else {
        cli::say("nobody is told: the configuration has no [notify]");
        return Ok(Outcome::Success);
    };
    let (clock, cancel) = (jiff::Timestamp::now().as_second(), Cancel::new());
    let sender = Sender::here(clock);
    if arguments.test {
        let text = "This is a test: nothing has changed.".to_string();
        let news = News { check: "health".to_string(), was: Level::Ok, level: Level::Ok, text };
        return ended(&sender.send(&news, notify, &cancel));
    }
    let location = arguments.from.location();
    let gatherer = Gatherer::new(&config, &location, Duration::from_secs(arguments.timeout))?;
    let mut checks =
        vec![("snapshots", Check::Snapshots), ("health", Check::Health), ("capacity", Check::Capacity)];
    if !config.jobs.is_empty() {
        checks.push(("replication", Check::Replication));
        // Who never verifies wants to hear nothing of it.
        if Verified::read(&config.folders.state).map_or(true, |memory| !memory.datasets.is_empty()) {
            checks.push(("verified", Check::Verified(DAYS)));
        }
    }
    let state = |(name, check): (&str, Check)| {
        let report = gatherer.report(check);
        State { check: name.to_string(), level: report.level, text: report.text }
    };
    let now: Vec<State> = checks.into_iter().map(state).collect();
    // Who cannot know what was told tells it again rather than never.
    let mut told = Told::read(&config.folders.state).unwrap_or_else(|why| {
        cli::say(&format!("warning: {why}; everything counts as not told yet"));
        Told::default()
    });
    let news = told.news(&now, notify.cooldown, clock);
    let mut failed = Vec::new();
    for one in &news {
        let line = format!("{}: {} (was {}): {}", one.check, one.level.word(), one.was.word(), one.text);
        cli::print(&format!("{line}\n"))?;
        if arguments.dry_run {
            continue;
        }
        let ways = usize::from(notify.command.is_some())
            + usize::from(!notify.mail.is_empty())
            + usize::from(notify.webhook.is_some());
        let without = sender.send(one, notify, &cancel);
        // One way that works is enough; else it is told another time.
        if without.len() < ways {
            told.remember(std::slice::from_ref(one), clock);
        }
        failed.extend(without);
    }
    if !arguments.dry_run && !news.is_empty() {
        told.write(&config.folders.state).map_err(|error| {
            let message = format!("what was told is not remembered, and will be told again: {error}");
            let hint = format!("check that {} can be written", config.folders.state.display());
            Failure::new(Outcome::Failed, message).hinted(hint)
        })?;
    }
    ended(&failed)
}

fn ended(failed: &[String]) -> Result<Outcome, Failure> {
    match failed {
        [] => Ok(Outcome::Success),
        failed => {
            let hint = "`replicator monitor notify --test` tries all ways".to_string();
            Err(Failure::new(Outcome::Failed, format!("not told by {}", failed.join("; "))).hinted(hint))
        }
    }
}
