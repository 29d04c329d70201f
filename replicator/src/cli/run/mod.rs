//! `replicator run`: everything that the configuration asks for, in one go. Each phase is in [`phases`], what stays of a
//! run in [`record`].

use std::cell::OnceCell;

use jiff::Timestamp;
use serde_json::json;
use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::roles::Roles;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::config::Config;
use crate::jobs::Network;
use crate::lock;
use crate::monitor::transfers::Board;

mod lags;
mod pairs;
mod partials;
mod phases;
pub(in crate::cli) mod record;

/// Do what the configuration says: take snapshots, replicate, prune, check.
///
/// A phase or a dataset that fails keeps the others from nothing, and shows in the exit status. What another run has in
/// hand is passed over. The units of this program call it twice, so that a first replication of days never delays a
/// snapshot: with --only snapshot,prune,check and with --only replicate.
///
/// Each run leaves a record in the state folder, /var/lib/replicator/runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only these phases, in this order whatever is given: snapshot, replicate, prune, check.
    #[arg(long, value_name = "PHASES", value_enum, value_delimiter = ',')]
    only: Vec<Phase>,

    /// Only print what would be done.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print the record of the run as JSON on standard output, instead of a summary.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator run
  replicator run --dry-run
  replicator run --only snapshot,prune,check
  replicator run --only replicate --json";

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Phase {
    /// Take the snapshots that are due.
    Snapshot,
    /// Bring datasets to the targets of all jobs.
    Replicate,
    /// Destroy snapshots that may go.
    Prune,
    /// See whether anything is left undone.
    Check,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Snapshot, Self::Replicate, Self::Prune, Self::Check];

    fn word(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Replicate => "replicate",
            Self::Prune => "prune",
            Self::Check => "check",
        }
    }
}

/// What all phases need.
struct Context<'c> {
    config: &'c Config,
    roles: &'c Roles<'c>,
    zfs: &'c Zfs,
    network: &'c Network,
    cancel: &'c Cancel,
    dry_run: bool,
    json: bool,
    /// Where it is told what is being sent.
    board: Option<&'c Board>,
    /// Set once it was told what was set aside and is left alone.
    asides_told: OnceCell<()>,
}

impl Context<'_> {
    /// A part of a dry run, for people. In the record it is there anyway.
    fn show(&self, text: &str) {
        if !self.json {
            // A reader that went away has seen enough.
            let _ = super::print(text);
        }
    }
}

/// How a phase ended.
struct Ended {
    /// In a few words: `12 taken`.
    summary: String,
    /// What went wrong, each with its kind. They have been told already.
    failures: Vec<Outcome>,
    /// For the record.
    json: serde_json::Value,
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let zfs = Zfs::open()?;
    let network = Network { zfs: zfs.clone(), cancel: cancel.clone() };
    let started = Timestamp::now();
    let mut roles = Roles::look(&config, !arguments.dry_run, cancel)?;
    if !arguments.dry_run {
        pairs::follow(&config, &mut roles, cancel)?;
    }
    roles.tell();
    // Nothing depends on it: without it a run is only not seen.
    let board = if arguments.dry_run { None } else { board(started) };
    let context = Context {
        config: &config,
        roles: &roles,
        zfs: &zfs,
        network: &network,
        cancel,
        dry_run: arguments.dry_run,
        json: arguments.json,
        board: board.as_ref(),
        asides_told: OnceCell::new(),
    };
    let mut failures = Vec::new();
    if !roles.are_settled() {
        failures.push(Outcome::NoRole);
    }
    let mut parts = serde_json::Map::new();
    let mut lines = Vec::new();
    let wanted = |phase: &Phase| arguments.only.is_empty() || arguments.only.contains(phase);
    for phase in Phase::ALL.into_iter().filter(wanted) {
        if cancel.is_cancelled() {
            failures.push(Outcome::Interrupted);
            break;
        }
        let began = std::time::Instant::now();
        if let Some(board) = &board {
            board.phase(phase.word());
        }
        let ended = match phase {
            Phase::Snapshot => phases::snapshot(&context),
            Phase::Replicate => phases::replicate(&context),
            Phase::Prune => phases::prune(&context),
            Phase::Check => phases::check(&context),
        };
        let ended = ended.unwrap_or_else(|failure| {
            super::complain(&failure);
            Ended {
                summary: failure.message().to_string(),
                failures: vec![failure.outcome],
                json: json!({ "error": { "message": failure.message(), "hint": failure.hint() } }),
            }
        });
        let took = super::format::duration(began.elapsed());
        let verdict = if ended.failures.is_empty() { "" } else { ", with failures" };
        lines.push(format!("{}: {} in {took}{verdict}\n", phase.word(), ended.summary));
        let mut json = ended.json;
        json["summary"] = json!(ended.summary);
        json["failures"] = json!(ended.failures.len());
        parts.insert(phase.word().to_string(), json);
        failures.extend(ended.failures);
    }
    drop(board);
    let outcome = overall(&failures);
    let record = json!({
        "version": 1,
        "started": started.as_second(),
        "ended": Timestamp::now().as_second(),
        "process": std::process::id(),
        "dry_run": arguments.dry_run,
        "pairs": roles.to_json(),
        "status": outcome as u8,
        "phases": parts,
    });
    if !arguments.dry_run
        && let Err(error) = record::write(&config.folders.state, started, &record)
    {
        // What was done is done; that nobody can read of it later is a failure all the same.
        let message = format!("the record of this run is not kept: {error}");
        let hint = format!("check that {} can be written", config.folders.state.display());
        super::complain(&Failure::new(Code::Local, message).hinted(hint));
        failures.push(Outcome::Failed);
    }
    if !arguments.dry_run
        && let Err(failure) = super::monitor::refresh(&config, &arguments.from.location())
    {
        super::complain(&failure);
        failures.push(failure.outcome);
    }
    super::print(&if arguments.json { format!("{record:#}\n") } else { lines.concat() })?;
    Ok(overall(&failures))
}

fn board(started: Timestamp) -> Option<Board> {
    Board::open(&lock::folder().ok()?, started.as_second()).ok()
}

/// The kind that all failures share, or the general one; an interruption goes before all.
fn overall(failures: &[Outcome]) -> Outcome {
    let Some(first) = failures.first() else { return Outcome::Success };
    if failures.contains(&Outcome::Interrupted) {
        return Outcome::Interrupted;
    }
    if failures.iter().all(|one| one == first) { *first } else { Outcome::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_all_failures_or_the_general_one() {
        use Outcome::*;
        assert_eq!(overall(&[]), Success);
        assert_eq!(overall(&[Connection, Connection]), Connection);
        assert_eq!(overall(&[Connection, Conflict]), Failed);
        assert_eq!(overall(&[Failed, Interrupted]), Interrupted);
    }
}
