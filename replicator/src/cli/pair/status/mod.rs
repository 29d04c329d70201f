//! `replicator pair status`: one screen about both nodes. What is asked is in [`gather`], what is known in [`facts`], what
//! follows from it in [`picture`] and [`findings`], how it looks in [`text`].

mod facts;
mod findings;
mod gather;
mod picture;
#[cfg(test)]
mod tests;
mod text;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use super::setup::named;
use crate::cancel::Cancel;
use crate::cli;
use facts::Facts;
use facts::Holder;

/// Show both nodes of a pair on one screen: what is safe, what would be lost now, and what to do.
///
/// For each dataset: up to when both nodes have it, how old that is, how often it should be renewed, and what only the
/// active node has. That is what a failure of this node would cost. Then what stands out, the gravest first, each with the
/// commands that settle it. Who decides where the service is is asked once; pair role asks as often as a run does.
///
/// The agent of the other node shows what lies below the roots: what a rejoin has set aside beside a root shows on that
/// node. What was not sent is estimated only where its agent may send.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair status
  replicator pair status nfs --json

The exit status is 0 when both nodes could be asked and agree on who is active, 3 when they do not, 4 when the other one
could not be asked. What stands out does not show in it.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.common.from.usable()?;
    let pair = named(&config, arguments.common.pair.as_deref())?.clone();
    let mut setup = Setup::of(config.folders.state.clone(), pair, cancel)?;
    let facts = gather::gather(&mut setup, &config, cancel);
    let picture = picture::picture(&facts);
    if arguments.common.json {
        cli::print_json(&picture)?;
    } else {
        cli::print(&text::text(&picture, &jiff::tz::TimeZone::system()))?;
    }
    Ok(outcome(&facts))
}

fn outcome(facts: &Facts) -> Outcome {
    let holders: Vec<_> = facts.roots.iter().map(|root| root.holder(&facts.names)).collect();
    if holders.iter().any(|holder| matches!(holder, Holder::Doubt { .. } | Holder::Two { .. })) {
        Outcome::Conflict
    } else if facts.away.is_some() {
        Outcome::Connection
    } else if facts.roots.iter().any(|root| root.here.is_err() || root.there.is_err()) {
        Outcome::Failed
    } else {
        Outcome::Success
    }
}
