//! `replicator pair`: two nodes with the same datasets, of which one has the service.

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;

mod accept;
pub(super) mod check;
mod demote;
mod handover;
mod hook;
mod owner;
mod promote;
mod rejoin;
mod resource_agent;
mod role;
mod send;
pub(super) mod setup;
mod status;
pub(super) mod watched;

/// Two nodes with the same datasets, of which one at a time has the service.
///
/// A pair is a [pair.NAME] of the configuration, on both nodes. The one that has the service takes snapshots and sends
/// them, the other one receives.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair status
  replicator pair check
  replicator pair role nfs
  replicator pair handover nfs
  replicator pair promote nfs";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Role(role::Arguments),
    Status(status::Arguments),
    Check(check::Arguments),
    Promote(promote::Arguments),
    Send(send::Arguments),
    Demote(demote::Arguments),
    Rejoin(rejoin::Arguments),
    Handover(handover::Arguments),
    Hook(hook::Arguments),
    ResourceAgent(resource_agent::Arguments),
    Accept(accept::Arguments),
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Role(arguments) => role::run(arguments, cancel),
        Command::Status(arguments) => status::run(arguments, cancel),
        Command::Check(arguments) => check::run(arguments, cancel),
        Command::Promote(arguments) => promote::run(arguments, cancel),
        Command::Send(arguments) => send::run(arguments, cancel),
        Command::Demote(arguments) => demote::run(arguments, cancel),
        Command::Rejoin(arguments) => rejoin::run(arguments, cancel),
        Command::Handover(arguments) => handover::run(arguments, cancel),
        Command::Hook(arguments) => hook::run(arguments, cancel),
        Command::ResourceAgent(arguments) => resource_agent::run(arguments, cancel),
        Command::Accept(arguments) => accept::run(arguments, cancel),
    }
}
