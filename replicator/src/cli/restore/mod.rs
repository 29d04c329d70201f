//! `replicator restore`: get data back. What is found and done is in [`crate::restore`].

use std::io::BufRead;
use std::io::IsTerminal;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::codes::Coded;
use crate::restore::RestoreError;
use crate::restore::carry;

mod candidates;
mod dataset;
mod get;
mod rollback;
mod versions;

/// Get data back: a version of a file, a dataset from a target, an earlier state of a dataset.
///
/// Nothing is written over and nothing is destroyed by any of these.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replicator restore versions /tank/data/report.odt
  replicator restore get /tank/data/report.odt --at '2 days ago'
  replicator restore rollback tank/data@2026-11-27
  replicator restore dataset tank/data --from nas --swap";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Versions(versions::Arguments),
    Get(get::Arguments),
    Dataset(dataset::Arguments),
    Rollback(rollback::Arguments),
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Versions(arguments) => versions::run(arguments, cancel),
        Command::Get(arguments) => get::run(arguments, cancel),
        Command::Dataset(arguments) => dataset::run(arguments, cancel),
        Command::Rollback(arguments) => rollback::run(arguments, cancel),
    }
}

/// Asks a person before something is changed. Where there is none to ask, `--yes` has to say so.
fn confirmed(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() || !std::io::stderr().is_terminal() {
        let message = "nothing was changed: this needs somebody who agrees";
        return Err(Failure::new(Code::Declined, message).hinted("add --yes".to_string()));
    }
    super::say(&format!("{question} [yes/no]"));
    let mut answer = String::new();
    // More than a word is no answer.
    std::io::Read::take(input.lock(), 16).read_line(&mut answer).map_err(Failure::from)?;
    agreed(&answer)
}

/// What the answer means.
fn agreed(answer: &str) -> Result<(), Failure> {
    match answer.trim() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::new(Code::Declined, "nothing was changed: the answer was not yes")),
    }
}

/// How an exchange is told when it is over.
fn ended(dataset: &zfs_core::name::DatasetName, done: &carry::Exchanged) -> String {
    match &done.aside {
        Some(aside) => {
            format!("{dataset} is in place; what it was before is {aside}, read-only and not mounted\n")
        }
        None => format!("{dataset} is in place; nothing was left to do\n"),
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        Failure::new(error.code(), error.to_string()).hinted(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_agreed_to() {
        for answer in ["yes\n", "y\n", " yes"] {
            assert!(agreed(answer).is_ok(), "{answer:?}");
        }
        for answer in ["", "\n", "no\n", "yes and no\n", "Y\n"] {
            let failure = agreed(answer).expect_err(answer);
            assert_eq!((failure.code, failure.outcome), (Code::Declined, Outcome::Conflict), "{answer:?}");
        }
        assert!(confirmed(true, "Really?").is_ok());
    }
}
