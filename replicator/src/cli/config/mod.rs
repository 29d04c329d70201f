//! `replicator config`: look at the configuration, without doing anything that it says.

use std::path::PathBuf;

use super::Failure;
use super::Outcome;
use crate::codes::Code;
use crate::config::Config;
use crate::config::load;
use crate::config::load::Location;
use crate::config::problem::Problems;
use crate::config::problem::Severity;

mod check;
mod import;
mod show;

pub(in crate::cli) use show::in_full;

/// Check, show or import a configuration.
///
/// It is read from /etc/replicator/replicator.toml and the *.toml files in conf.d beside it; where there is none, from
/// /etc/sanoid/sanoid.conf. Files that somebody else could have written are refused.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  replicator config check
  replicator config show tank/data
  replicator config import --report";

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
    or_why(location, broken)
}

/// The same for who shows one line of it, as a monitor does: that has the first thing that is wrong.
pub(in crate::cli) fn usable_or_first(location: &Location) -> Result<(Config, Problems), Failure> {
    or_why(location, first)
}

fn or_why(location: &Location, why: fn(&Problems) -> Failure) -> Result<(Config, Problems), Failure> {
    let (config, problems) = load::read(location);
    if let Some(failure) = missing(location, &problems) {
        return Err(failure);
    }
    tell(&problems);
    match config {
        Some(config) if problems.errors() == 0 => Ok((config, problems)),
        _ => Err(why(&problems)),
    }
}

/// That there is none is one message, and not an error and the count of it.
fn missing(location: &Location, problems: &Problems) -> Option<Failure> {
    let (Location::Native(file) | Location::Sanoid(file)) = location;
    let mut all = problems.iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    let is_not_there = only.place.is_none() && matches!(file.try_exists(), Ok(false));
    is_not_there.then(|| {
        let message = format!("there is no configuration: {}", only.message);
        Failure::new(Code::NoConfiguration, message).hinted(only.fix.clone())
    })
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

/// The first thing that is wrong, and how many more there are.
fn first(problems: &Problems) -> Failure {
    let Some(first) = problems.iter().find(|one| one.severity == Severity::Error) else {
        return broken(problems);
    };
    let place = first.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let more = match problems.errors().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let message = format!("the configuration is broken: {place}{}{more}", first.message);
    Failure::new(Code::Configuration, message).hinted(first.fix.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_not_there_cannot_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("none.toml");
        for judged in [usable, usable_or_first] {
            let failure = judged(&Location::of(&file)).expect_err("nothing there");
            assert_eq!((failure.code, failure.outcome), (Code::NoConfiguration, Outcome::Configuration));
            let missing = format!("there is no configuration: {} does not exist", file.display());
            assert_eq!(failure.message(), missing);
            assert!(
                failure.hint().is_some_and(|hint| hint.contains("config import")),
                "{:?}",
                failure.hint()
            );
        }
    }

    #[test]
    fn one_that_is_broken_is_counted_or_told_in_a_line() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("replicator.toml");
        std::fs::write(&file, "[template.a]\ndayly = 1\nhourli = 2\n").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
        let location = Location::of(&file);
        let failure = usable(&location).expect_err("broken");
        assert_eq!(failure.code, Code::Configuration);
        assert_eq!(failure.message(), "the configuration has 2 errors; nothing was done");
        let failure = usable_or_first(&location).expect_err("broken");
        assert_eq!(failure.code, Code::Configuration);
        let line = format!("{}:2:1: unknown key `dayly` in [template.a], and 1 more", file.display());
        assert_eq!(failure.message(), format!("the configuration is broken: {line}"));
        assert_eq!(failure.hint(), Some("did you mean `daily`?"));
    }
}
