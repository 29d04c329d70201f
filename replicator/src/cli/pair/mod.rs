//! `replicator pair`: two nodes with the same datasets, of which one has the service.

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;

mod role;

/// Two nodes with the same datasets, of which one at a time has the service.
///
/// A pair is a [pair.NAME] of the configuration, on both nodes. The one that has the service takes snapshots and sends
/// them, the other one receives.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Role(role::Arguments),
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Role(arguments) => role::run(arguments, cancel),
    }
}
