//! `replicator config`: look at the configuration, without doing anything that it says.

use std::path::PathBuf;

use super::Failure;
use super::Outcome;
use crate::config::Config;
use crate::config::load;
use crate::config::load::Location;
use crate::config::problem::Problems;

mod check;
mod import;
mod show;

pub(in crate::cli) use show::in_full;

/// Check, show or import a configuration.
///
/// It is read from /etc/replicator/replicator.toml and the *.toml files in conf.d beside it; where there is none, from
/// /etc/sanoid/sanoid.conf. Files that somebody else could have written are refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Arguments),
    Show(show::Arguments),
    Import(import::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Import(arguments) => import::run(arguments),
    }
}

/// Which configuration to read.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct From {
    /// The configuration, instead of that of this machine; one that ends in .conf is sanoid's.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From {
    /// Where that is.
    pub(in crate::cli) fn location(&self) -> Location {
        self.config.as_deref().map_or_else(Location::of_machine, Location::of)
    }

    /// Whether one was named, or this machine has one.
    pub(in crate::cli) fn is_there(&self) -> bool {
        let (Location::Native(file) | Location::Sanoid(file)) = self.location();
        self.config.is_some() || !matches!(file.try_exists(), Ok(false))
    }

    /// The configuration, if it can be used. Everything that is wrong with it goes to standard error.
    pub(in crate::cli) fn usable(&self) -> Result<(Config, Problems), Failure> {
        usable(&self.location())
    }
}

/// The configuration there, if it can be used. Everything that is wrong with it goes to standard error.
pub(in crate::cli) fn usable(location: &Location) -> Result<(Config, Problems), Failure> {
    let (config, problems) = load::read(location);
    tell(&problems);
    match config {
        Some(config) if problems.errors() == 0 => Ok((config, problems)),
        _ => Err(broken(&problems)),
    }
}

/// What sanoid and syncoid do on the machine whose files are below a folder, as a configuration of ours.
pub(in crate::cli) fn read_machine(
    root: &std::path::Path,
) -> Result<super::moving::imported::Imported, Failure> {
    import::read(root, None, false)
}

/// On standard error, where it does not mix with what was asked for.
pub(in crate::cli) fn tell(problems: &Problems) {
    use std::io::Write;
    // Without a reader there is nobody to tell.
    let _ = std::io::stderr().write_all(problems.render().as_bytes());
}

fn broken(problems: &Problems) -> Failure {
    let count = problems.errors();
    let s = if count == 1 { "" } else { "s" };
    Failure::new(Outcome::Configuration, format!("the configuration has {count} error{s}; nothing was done"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    #[test]
    fn a_configuration_that_is_not_there_cannot_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let failure = usable(&Location::of(&folder.path().join("none.toml"))).expect_err("nothing there");
        assert_eq!((failure.code, failure.outcome), (Code::Configuration, Outcome::Configuration));
    }
}
