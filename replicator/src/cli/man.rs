//! `replicator man`.

use super::Failure;
use super::Outcome;

/// Print the manual page of this command, or of one of its subcommands.
///
/// Read it with: replicator man replicate | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A subcommand.
    subcommand: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut command = super::command();
    command.build();
    if let Some(name) = &arguments.subcommand {
        let Some(found) = command.find_subcommand(name) else {
            return Err(Failure::new(Outcome::Usage, format!("there is no subcommand {name:?}")));
        };
        command = found.clone();
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Success)
}
