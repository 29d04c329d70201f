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
use crate::codes::Code;
use crate::monitor::Level;
use crate::notify::News;
use crate::notify::State;
use crate::notify::Told;
use crate::notify::send::Sender;
use crate::verify::memory::Verified;

/// Run all checks, and tell those whom the configuration names what has changed since they were told last.
///
/// What has become worse is told at once, what has become better after the cool-down; what is the same is not told again. Each
/// pool, dataset and target counts for itself, and what has changed at the same time is one message for each check.
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
        let (check, changes) = ("health".to_string(), Vec::new());
        let news = News { check, was: Level::Ok, level: Level::Ok, text, changes };
        return ended(&sender.send(&news, notify, &cancel));
    }
    let location = arguments.from.location();
    let gatherer = Gatherer::new(&config, &location, Duration::from_secs(arguments.timeout))?;
    let mut checks =
        vec![("snapshots", Check::Snapshots), ("health", Check::Health), ("capacity", Check::Capacity)];
    if !(config.jobs.is_empty() && config.receives.is_empty() && config.pairs.is_empty()) {
        checks.push(("replication", Check::Replication));
    }
    // Who never verifies wants to hear nothing of it.
    if config.jobs.iter().flat_map(|job| &job.targets).any(|target| target.verify)
        && Verified::read(&config.folders.state).map_or(true, |memory| !memory.datasets.is_empty())
    {
        checks.push(("verified", Check::Verified(DAYS)));
    }
    let state = |(name, check): (&str, Check)| {
        let report = gatherer.report(check);
        State { check: name.to_string(), level: report.level, text: report.text, subjects: report.subjects }
    };
    let now: Vec<State> = checks.into_iter().map(state).collect();
    // Who cannot know what was told tells it again rather than never.
    let mut told = Told::read(&config.folders.state).unwrap_or_else(|why| {
        cli::say(&format!("warning: {why}; everything counts as not told yet"));
        Told::default()
    });
    // What an earlier version has told, it has told of a check as a whole.
    let taken_over = told.take_over(&now);
    let news = told.news(&now, notify.cooldown, clock);
    let (mut failed, mut lines) = (Vec::new(), String::new());
    for one in &news {
        let (level, was) = (one.level.word(), one.was.word());
        lines.push_str(&format!("{}: {level} (was {was}): {}\n", one.check, one.text));
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
    let kept = match arguments.dry_run || (news.is_empty() && !taken_over) {
        true => Ok(()),
        false => told.write(&config.folders.state).map_err(|error| {
            let message = format!("what was told is not remembered, and will be told again: {error}");
            let hint = format!("check that {} can be written", config.folders.state.display());
            Failure::new(Code::Local, message).hinted(hint)
        }),
    };
    // Last: that nobody reads this keeps nobody from being told.
    let printed = cli::print(&lines);
    kept?;
    let outcome = ended(&failed)?;
    printed?;
    Ok(outcome)
}

fn ended(failed: &[String]) -> Result<Outcome, Failure> {
    match failed {
        [] => Ok(Outcome::Success),
        failed => {
            let hint = "`replicator monitor notify --test` tries all ways".to_string();
            Err(Failure::new(Code::NotTold, format!("not told by {}", failed.join("; "))).hinted(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_failed_is_named_with_how_to_try_it() {
        assert_eq!(ended(&[]).expect("all told"), Outcome::Success);
        let failure = ended(&["the mail to ann: no".to_string()]).expect_err("not told");
        assert_eq!((failure.code, failure.outcome), (Code::NotTold, Outcome::Failed));
        assert!(failure.message().contains("the mail to ann"), "{}", failure.message());
        assert!(failure.hint().is_some_and(|hint| hint.contains("--test")));
    }
}
