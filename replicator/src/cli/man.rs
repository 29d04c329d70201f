//! `replicator man`.

use std::path::Path;
use std::path::PathBuf;

use clap_mangen::roff::Roff;
use clap_mangen::roff::roman;

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

/// The name of a page's file and its text. Section 8 is that of commands for administrators. What stands below the options
/// gets sections of the names that pages have.
fn page(command: &clap::Command) -> Result<(String, Vec<u8>), Failure> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = clap_mangen::Man::new(command.clone().after_help(None::<&'static str>)).section("8");
    let mut text = Vec::new();
    man.render(&mut text)?;
    below(&help).to_writer(&mut text)?;
    Ok((man.get_filename(), text))
}

const NOTHING: [&str; 0] = [];

/// These sections, in the order of man-pages(7).
fn below(help: &str) -> Roff {
    let mut roff = Roff::new();
    for section in [EXIT_STATUS, NOTES, EXAMPLES] {
        let paragraphs = help.split("\n\n").filter(|text| !text.is_empty() && section_of(text) == section);
        for (number, paragraph) in paragraphs.enumerate() {
            if number == 0 {
                roff.control("SH", [section]);
            } else {
                roff.control("PP", NOTHING);
            }
            let lines = paragraph.lines().filter(|line| !matches!(*line, "Examples:" | "Exit status:"));
            // Command lines are not to be filled.
            if section == EXAMPLES {
                roff.control("nf", NOTHING);
            }
            for line in lines {
                roff.text([roman(line)]);
            }
            if section == EXAMPLES {
                roff.control("fi", NOTHING);
            }
        }
    }
    roff
}

const EXIT_STATUS: &str = "EXIT STATUS";
const NOTES: &str = "NOTES";
const EXAMPLES: &str = "EXAMPLES";

/// Where a paragraph belongs.
fn section_of(paragraph: &str) -> &'static str {
    let begins = |with: &str| paragraph.starts_with(with);
    if begins("Examples:") {
        EXAMPLES
    } else if begins("Exit status") || begins("The exit status") {
        EXIT_STATUS
    } else {
        NOTES
    }
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

    #[test]
    fn what_stands_below_the_options_has_the_sections_of_a_page() {
        let help = "One makes it so:\n\n  a command\n\nExit status:\n  0  done\n\nExamples:\n  replicator run\n  .x\n\n\
                    The exit status is 3 when it differs.";
        let text = below(help).to_roff();
        let expected = ".SH \"EXIT STATUS\"\n  0  done\n.PP\nThe exit status is 3 when it differs.\n\
                        .SH NOTES\nOne makes it so:\n.PP\n  a command\n\
                        .SH EXAMPLES\n.nf\n  replicator run\n  .x\n.fi\n";
        assert_eq!(text, expected);
        assert_eq!(below(""), Roff::new());
        let mut command = crate::cli::command();
        command.build();
        let (_, page) = page(&command).expect("a page");
        let page = String::from_utf8(page).expect("text");
        let places = ["\n.SH OPTIONS\n", "\n.SH \"EXIT STATUS\"\n", "\n.SH EXAMPLES\n"]
            .map(|section| page.find(section).expect(section));
        assert!(places.is_sorted() && !page.contains(".SH EXTRA"), "{page}");
    }
}
