//! `replicator status`: this machine on one screen. What is asked and read is in [`gather`], what is shown in
//! [`screen`], how it looks in [`text`], and how it stays on a terminal in [`watch`].

use std::time::Duration;

use jiff::tz::TimeZone;

use super::Failure;
use super::Outcome;
use super::config::From;
pub(super) use gather::facts;

mod gather;
pub(in crate::cli) mod screen;
#[cfg(test)]
pub(in crate::cli) mod tests;
mod text;
mod watch;

/// Show how it is on one screen: datasets and their targets, what is being sent, the last runs, and what to do.
///
/// For each dataset: its snapshots and the newest of them, here and at each target, with its age and how old it may be. What
/// is not well comes first. Nothing is changed, and a pool that hangs keeps nothing else from being shown.
///
/// What is being sent is known of `replicator run`. When the next runs start is asked of systemd.
///
/// With --watch it stays on the terminal and is kept up to date, all datasets included: arrows, Page Up and Page Down, Home
/// and End move in it, and q leaves it. What is being sent and the records of runs are read every two seconds, or as --every
/// says. Pools and targets are asked again when a run has ended, and otherwise half a minute after they answered, as a
/// target may be far away. NO_COLOR turns colours off.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// As JSON.
    #[arg(long)]
    json: bool,

    /// Stay on the terminal and keep it up to date.
    #[arg(short, long, conflicts_with = "json")]
    watch: bool,

    /// How many seconds lie between two looks at what is being sent.
    #[arg(long, value_name = "SECONDS", requires = "watch", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,

    /// How many seconds pools and targets have to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator status
  replicator status --json --timeout 60
  replicator status --watch
  replicator status --watch --every 10

The exit status is 0 whatever is shown; `replicator monitor` has one for monitors.";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    if arguments.watch {
        return watch::run(&watch::Plan {
            location: arguments.from.location(),
            every: Duration::from_secs(arguments.every),
            timeout: Duration::from_secs(arguments.timeout),
        });
    }
    let (config, _) = arguments.from.usable()?;
    let timeout = Duration::from_secs(arguments.timeout);
    let facts = facts(&config, &arguments.from.location(), timeout)?;
    let screen = screen::screen(&facts);
    if arguments.json {
        super::print_json(&screen)?;
    } else {
        super::print(&text::text(&screen, &TimeZone::system()))?;
    }
    Ok(Outcome::Success)
}
