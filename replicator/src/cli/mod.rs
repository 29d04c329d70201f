//! The command line: one file for each subcommand, each with its arguments (whose comments are the help) and one
//! function that runs it. Everything that could be wanted by another program is in the other modules of this library.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;

use crate::cancel::Cancel;

mod agent;
mod bookmarks;
mod check;
mod colour;
mod compare;
mod compat;
mod completion;
mod config;
mod connect;
mod explain;
mod fenced;
mod finding;
mod format;
mod holds;
mod list;
mod man;
#[cfg(test)]
mod messages_tests;
mod monitor;
mod moving;
mod of_no_pair;
pub mod outcome;
mod pair;
mod places;
mod plan_text;
mod progress;
mod prune;
mod replicate;
mod report;
mod restore;
mod roles;
mod run;
mod setup;
mod shadow;
mod signals;
mod snapshot;
#[cfg(test)]
pub(crate) mod sources;
mod status;
mod tokens;
mod usage;
mod verify;
mod version;

use outcome::Failure;
use outcome::Outcome;

/// Native ZFS snapshots, retention and replication.
///
/// Takes snapshots by a policy, prunes those that no rule keeps, and replicates datasets to another pool or another
/// machine, straight through the kernel on this machine and over SSH to others, where only the zfs command is needed.
/// Nothing on a target is ever rolled back or overwritten. What it destroys are snapshots that a policy took and that no
/// rule keeps any more, bookmarks of its own, in a pair the old ones of the snapshots that its handovers took, and, only where
/// that is asked for, copies of datasets that the source does not have any more (--remove-gone-after) and what has arrived
/// of a receive that broke off (`tokens --discard`, or the configuration of the machine that receives). Only
/// `replicator syncoid` does what syncoid does, and names what it destroys.
#[derive(Debug, Parser)]
#[command(name = "replicator", version, after_help = after_help(), max_term_width = 100)]
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
    Restore(restore::Arguments),
    Run(run::Arguments),
    Snapshot(snapshot::Arguments),
    Prune(prune::Arguments),
    Pair(pair::Arguments),
    Config(config::Arguments),
    Shadow(shadow::Arguments),
    Status(status::Arguments),
    Report(report::Arguments),
    Monitor(monitor::Arguments),
    Check(check::Arguments),
    Verify(verify::Arguments),
    Sanoid(compat::sanoid::Arguments),
    Syncoid(compat::syncoid::Arguments),
    Agent(agent::Arguments),
    Setup(setup::Arguments),
    Explain(explain::Arguments),
    Version(version::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  replicator replicate tank/data root@nas:backup/data --dry-run
  replicator status
  replicator run
  replicator restore get /tank/data/report.odt --at '2 days ago'
  replicator explain R315";

fn after_help() -> String {
    format!("{}\n\n{EXAMPLES}", outcome::HELP)
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
        Err(error) => return usage::ended(&error),
    };
    crate::transport::tls::notes_to(say);
    let cancel = Cancel::new();
    let result = match arguments.command {
        // These write text and have nothing to abandon: a signal ends them as it ends any program.
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        // Its reader goes away when it is not wanted any more, and that ends it.
        Command::Agent(arguments) => agent::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
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
        Command::Report(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || report::run(&arguments, &inner))
        }
        Command::Tokens(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || tokens::run(&arguments, &inner))
        }
        Command::Bookmarks(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || bookmarks::run(&arguments, &inner))
        }
        Command::Restore(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || restore::run(&arguments, &inner))
        }
        Command::Verify(arguments) => {
            let inner = cancel.clone();
            signals::run(&cancel, move || verify::run(&arguments, &inner))
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
    ended(result)
}

/// How the program ends. That the reader of an output that goes on and on went away, as `head` does, is no failure.
fn ended(result: Result<Outcome, Failure>) -> ExitCode {
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
    let _ = write!(err, "{}", failure.render(colour::wanted(&err)));
}

/// A line on standard error that is no failure of the whole command.
fn say(line: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints JSON for people and programs, as it is made. As for [`print`], a reader may go away.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from);
    unless_nobody_reads(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()))
}

/// Standard output, whose errors become failures instead of panics. That its reader went away is none: it wanted no more,
/// which keeps nothing from being done and changes nothing of the status.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    unless_nobody_reads(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn unless_nobody_reads(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let of = |kind: std::io::ErrorKind| super::unless_nobody_reads(Err(kind.into()));
        assert!(of(std::io::ErrorKind::BrokenPipe).is_ok() && super::unless_nobody_reads(Ok(())).is_ok());
        let failure = of(std::io::ErrorKind::StorageFull).expect_err("it is full");
        assert_eq!(failure.code, crate::codes::Code::Output);
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }

    /// The words of a shell command, as far as the documentation has such; none where it is not finished in its line.
    fn words(line: &str) -> Option<Vec<String>> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                // What follows is no part of the command.
                (None, '#' | '|' | '>' | '&' | ';') if word.is_none() => return Some(words),
                (None, '|' | '>' | '&' | ';') => break,
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        quote.is_none().then_some(words)
    }

    /// The lines of code blocks: fenced ones for a shell, and those that are set in by four.
    fn commands(page: &str) -> Vec<String> {
        let (mut found, mut fenced, mut shell) = (Vec::new(), false, false);
        for line in page.lines() {
            if let Some(kind) = line.trim_start().strip_prefix("```") {
                shell = !fenced && (kind == "sh" || kind == "bash");
                fenced = !fenced;
            } else if (fenced && shell) || (!fenced && line.starts_with("    ")) {
                found.extend(line.split("&&").map(|part| part.trim().to_string()));
            }
        }
        found.retain(|line| line.starts_with("replicator ") && !line.contains('…'));
        found
    }

    #[test]
    fn every_command_of_the_documentation_is_one() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut pages = vec![root.join("README.md")];
        let docs = std::fs::read_dir(root.join("docs")).expect("docs");
        pages.extend(docs.map(|entry| entry.expect("a page").path()));
        let mut tried = 0;
        for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
            let text = std::fs::read_to_string(page).expect("text");
            for line in commands(&text) {
                let Some(words) = words(&line) else { panic!("{}: {line}", page.display()) };
                if let Err(error) = super::Arguments::try_parse_from(words) {
                    assert!(!error.use_stderr(), "{}: {line}\n{error}", page.display());
                }
                tried += 1;
            }
        }
        assert!(tried > 30, "{tried} commands");
    }

    /// A command and all below it, each as it is called.
    fn below<'c>(command: &'c clap::Command, above: &str, all: &mut Vec<(String, &'c clap::Command)>) {
        let path = format!("{above}{}", command.get_name());
        let above = format!("{path} ");
        all.push((path, command));
        command.get_subcommands().for_each(|one| below(one, &above, all));
    }

    /// The lines of the examples below the options of a command.
    fn examples(help: &str) -> Vec<&str> {
        let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
    }

    /// What examples call beside this program, to show where it is called from.
    const OTHERS: [&str; 4] = ["mkdir", "chmod", "pcs", "pct"];

    /// Whether a command line is one, by the parser of the program that it calls.
    fn judged(line: &str) -> Result<(), String> {
        let words = words(line).ok_or("it is not finished")?;
        let (program, rest) = words.split_first().ok_or("it is empty")?;
        let parsed = |words: &[String]| match super::Arguments::try_parse_from(words) {
            Err(error) if error.use_stderr() => Err(error.to_string()),
            _ => Ok(()),
        };
        match program.as_str() {
            "replicator" => parsed(&words),
            "sanoid" => {
                let mut all = vec!["replicator".to_string()];
                all.extend_from_slice(&words);
                parsed(&all)
            }
            "syncoid" => super::compat::syncoid::carry_over(rest, |_| false).map(drop),
            other if OTHERS.contains(&other) => Ok(()),
            other => Err(format!("{other} is no program that an example should call")),
        }
    }

    #[test]
    fn every_command_has_examples_and_each_of_their_lines_is_a_command() {
        let command = super::command();
        let mut all = Vec::new();
        below(&command, "", &mut all);
        assert!(all.len() > 45, "{} commands", all.len());
        for (path, command) in all {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = examples(&help);
            // Of the command itself, which for two of them goes by its own name.
            let own = |line: &&str| line.starts_with(&path) || line.starts_with(command.get_name());
            assert!(lines.iter().any(own), "{path} has no example");
            for line in lines {
                if let Err(why) = judged(line) {
                    panic!("{path}: {line}\n{why}");
                }
            }
        }
    }

    #[test]
    fn examples_that_are_wrong_are_seen() {
        assert_eq!(examples("x\nExamples:\n  a b\n  c\n\n  d"), ["a b", "c"]);
        assert!(examples("Example:\n  a").is_empty());
        for line in
            ["replicator lst", "replicator list 'a", "sanoid --nonsense", "syncoid a/b", "rm -rf x", ""]
        {
            assert!(judged(line).is_err(), "{line:?}");
        }
        for line in ["replicator list > x", "sanoid --cron", "syncoid a/b c/d", "mkdir -p x"] {
            assert_eq!(judged(line), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        let split = |line: &str| words(line).map(|words| words.join("|"));
        assert_eq!(split("replicator list 'a b' \"c\"  # d").as_deref(), Some("replicator|list|a b|c"));
        assert_eq!(split("replicator list > x").as_deref(), Some("replicator|list"));
        assert_eq!(split("replicator list a | b").as_deref(), Some("replicator|list|a"));
        assert_eq!(split("replicator list 'a"), None);
    }
}
