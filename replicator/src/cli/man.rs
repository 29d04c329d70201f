//! `replicator man`.

use std::path::Path;
use std::path::PathBuf;

use super::Failure;
use super::Outcome;
use crate::codes::Code;

/// Print the manual page of this command, or of one of its subcommands.
///
/// Read it with: replicator man replicate | man -l -
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator man replicate | man -l -\n  replicator man pair promote | man -l -\n  replicator man --into /usr/local/share/man/man8"
)]
pub(super) struct Arguments {
    /// A subcommand, and one of its own.
    #[arg(value_name = "SUBCOMMAND")]
    subcommand: Vec<String>,

    /// Write the pages of all commands into this folder, which exists.
    #[arg(long, value_name = "FOLDER", conflicts_with = "subcommand")]
    into: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut command = super::command();
    command.build();
    if let Some(folder) = &arguments.into {
        write_all(&command, folder)?;
        return Ok(Outcome::Success);
    }
    for name in &arguments.subcommand {
        let Some(found) = command.find_subcommand(name) else {
            return Err(Failure::new(Outcome::Usage, format!("there is no subcommand {name:?}")));
        };
        command = found.clone();
    }
    let (_, text) = page(&command)?;
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Success)
}

/// The name of a page's file and its text. Section 8 is that of commands for administrators.
fn page(command: &clap::Command) -> Result<(String, Vec<u8>), Failure> {
    let man = clap_mangen::Man::new(command.clone()).section("8");
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((man.get_filename(), text))
}

fn write_all(command: &clap::Command, folder: &Path) -> Result<(), Failure> {
    let (name, text) = page(command)?;
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| {
        Failure::new(Code::Output, format!("cannot write {}: {error}", path.display()))
            .hinted("the folder must exist".to_string())
    })?;
    let shown = |one: &&clap::Command| !one.is_hide_set() && one.get_name() != "help";
    command.get_subcommands().filter(shown).try_for_each(|one| write_all(one, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_under_a_name_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = crate::cli::command();
        command.build();
        write_all(&command, folder.path()).expect("written");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(read("replicator.8").contains(".TH replicator 8"));
        assert!(read("replicator-replicate.8").contains("divergence"));
        assert!(read("replicator-pair-promote.8").contains("force"));
        assert!(!folder.path().join("replicator-help.8").exists());
    }
}
