//! The command line: one file for each subcommand, each with its arguments (whose comments are the help) and one
//! function that runs it. Everything that could be wanted by another program is in the other modules of this library.

use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;

use crate::cancel::Cancel;

mod agent;
mod bookmarks;
mod check;
mod compare;
mod compat;
mod completion;
mod config;
mod connect;
mod format;
mod holds;
mod list;
mod man;
mod monitor;
mod moving;
pub mod outcome;
mod pair;
mod places;
mod plan_text;
mod progress;
mod prune;
mod replicate;
mod roles;
mod run;
mod shadow;
mod signals;
mod snapshot;
mod tokens;

use outcome::Failure;
use outcome::Outcome;

/// Native ZFS snapshots, retention and replication.
///
/// Takes snapshots by a policy, prunes those that no rule keeps, and replicates datasets to another pool or another
/// machine, straight through the kernel on this machine and over SSH to others, where only the zfs command is needed.
/// Nothing on a target is ever rolled back or overwritten, and nothing is destroyed that no policy took.
#[derive(Debug, Parser)]
#[command(name = "replicator", version, after_help = outcome::HELP, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Plan(replicate::PlanArguments),
    Replicate(replicate::Arguments),
    Compare(compare::Arguments),
    Tokens(tokens::Arguments),
    Bookmarks(bookmarks::Arguments),
    Holds(holds::Arguments),
    Run(run::Arguments),
    Snapshot(snapshot::Arguments),
    Prune(prune::Arguments),
    Pair(pair::Arguments),
    Config(config::Arguments),
    Shadow(shadow::Arguments),
    Monitor(monitor::Arguments),
    Check(check::Arguments),
    Sanoid(compat::sanoid::Arguments),
    Syncoid(compat::syncoid::Arguments),
    Agent(agent::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(ended) = compat::run_by_name(&arguments) {
        return ended;
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let outcome = if error.use_stderr() { Outcome::Usage } else { Outcome::Success };
            // A reader that went away is no failure.
            let _ = error.print();
            return outcome.into();
        }
    };
    crate::transport::tls::notes_to(say);
    let cancel = Cancel::new();
    let result = match arguments.command {
        // These write text and have nothing to abandon: a signal ends them as it ends any program.
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        // Its reader goes away when it is not wanted any more, and that ends it.
        Command::Agent(arguments) => agent::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        // With statuses of its own. It changes nothing, and a signal ends it as it ends any program.
        Command::Monitor(arguments) => return monitor::run(&arguments),
        Command::Sanoid(arguments) => return compat::sanoid::run(arguments),
        Command::Syncoid(arguments) => return compat::syncoid::run(&arguments),
        Command::Holds(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || holds::run(&arguments, &inner))
        }
        Command::Compare(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || compare::run(&arguments, &inner))
        }
        Command::Check(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || check::run(&arguments, &inner))
        }
        Command::Tokens(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || tokens::run(&arguments, &inner))
        }
        Command::Bookmarks(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || bookmarks::run(&arguments, &inner))
        }
        Command::Run(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || run::run(&arguments, &inner))
        }
        Command::Shadow(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || shadow::run(&arguments, &inner))
        }
        Command::Pair(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || pair::run(&arguments, &inner))
        }
        Command::Prune(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || prune::run(&arguments, &inner))
        }
        Command::Snapshot(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || snapshot::run(&arguments, &inner))
        }
        Command::Plan(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || replicate::plan(&arguments, &inner))
        }
        Command::Replicate(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || replicate::run(&arguments, &inner))
        }
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) if failure.is_broken_pipe() => Outcome::Success.into(),
        Err(failure) => {
            complain(&failure);
            failure.outcome.into()
        }
    }
}

/// The whole command, for completions and manual pages.
fn command() -> clap::Command {
    Arguments::command()
}

/// Tells a failure on standard error.
fn complain(failure: &Failure) {
    let mut err = std::io::stderr();
    let _ = write!(err, "{}", failure.render(err.is_terminal()));
}

/// A line on standard error that is no failure of the whole command.
fn say(line: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints JSON for people and programs, as it is made.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    out.flush().map_err(Failure::from)
}

/// Standard output, whose errors become failures instead of panics.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
