//! `replicator replicate SRC DST` and `replicator plan SRC DST`: the same plan, carried out or only printed.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::connect::SshArguments;
use super::format;
use super::of_no_pair::of_no_pair;
use super::outcome::of_run;
use super::plan_text::describe;
use super::progress::Progress;
use crate::cancel::Cancel;
use crate::codes::Coded;
use crate::endpoint::Endpoint;
use crate::engine;
use crate::engine::Report;
use crate::engine::Request;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Depth;
use crate::jobs::keep_others_out;
use crate::jobs::may_not_rename;
use crate::lock::RunLock;
use crate::plan::Divergence;
use crate::plan::Initial;
use crate::plan::Options;
use crate::plan::Patterns;
use crate::plan::PropertyList;
use crate::plan::TreePlan;
use crate::transfer::Budget;
use crate::transfer::Compression;
use crate::transfer::Limiter;
use crate::transfer::Patience;
use crate::transfer::Settings;
use crate::transfer::retry::Backoff;

/// Bring the snapshots of a dataset to another pool or another machine.
///
/// The first run sends the oldest snapshot in full and then every later one; each further run sends what is new,
/// starting at the newest snapshot that both sides have, recognised by its GUID. A run that was cut off is continued
/// by the next one. A new target is made read-only and is not mounted.
///
/// When the target has snapshots or changes of its own, nothing is sent and both sides' extra snapshots are printed;
/// with --divergence preserve the target's dataset is set aside under another name, with all it has, and the replica
/// goes on. This command never rolls back and never overwrites. It destroys nothing but copies of datasets that the
/// source does not have any more, and those only with --remove-gone-after.
///
/// On the source it keeps bookmarks, named replicator_1_…, from which the next run goes on even when the snapshots
/// are gone by then.
///
/// SRC and DST are names of datasets here, or HOST:POOL/DATASET or USER@HOST:POOL/DATASET on another machine, which
/// needs only sshd and the zfs command. A colon before the first slash ends the name of a machine; where a local pool
/// has a colon in its name, put another one in front.
///
/// SSH keys come from the agent and from ~/.ssh; the host key must be in known_hosts. No password is ever asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    what: What,

    /// Only print what would be done; a run does exactly that.
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    how: How,

    /// Print the plan and the result as JSON on standard output.
    #[arg(long)]
    json: bool,

    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator replicate tank/data backup/data
  replicator replicate tank/data root@nas:backup/data --dry-run
  replicator replicate -r tank/data root@nas:backup/data --exclude tmp --jobs 4 --rate 50M
  replicator replicate root@nas:tank/data backup/data --port 2222 --identity ~/.ssh/backup";

/// Print what `replicate` would do with the same arguments, and why. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replicator plan -r tank/data root@nas:backup/data")]
pub(super) struct PlanArguments {
    #[command(flatten)]
    what: What,

    /// As JSON on standard output.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

/// What is replicated.
#[derive(Debug, clap::Args)]
struct What {
    /// The dataset to replicate.
    #[arg(value_name = "SRC")]
    source: String,

    /// Where it goes. Parents that are missing are made, not mounted.
    #[arg(value_name = "DST")]
    target: String,

    /// Everything below it as well.
    #[arg(short, long)]
    recursive: bool,

    /// Only these datasets and what is below them: patterns of paths below SRC, which itself is `.`.
    #[arg(long, value_name = "PATTERN", requires = "recursive")]
    include: Vec<String>,

    /// Not these datasets nor what is below them.
    #[arg(long, value_name = "PATTERN", requires = "recursive")]
    exclude: Vec<String>,

    /// Send only snapshots with these names.
    #[arg(long, value_name = "PATTERN")]
    include_snapshots: Vec<String>,

    /// Never send snapshots with these names.
    #[arg(long, value_name = "PATTERN")]
    exclude_snapshots: Vec<String>,

    /// Send only the newest snapshot, not those between.
    #[arg(long)]
    newest_only: bool,

    /// Which snapshots a first replication sends.
    #[arg(long, value_enum, default_value_t)]
    initial: Initial,

    /// What to do when the target has changed since the newest common snapshot.
    #[arg(long, value_enum, default_value_t)]
    divergence: Divergence,

    /// Throw away a partial receive on the target that cannot be continued. Snapshots are never touched.
    #[arg(long)]
    discard_partial: bool,

    /// Send encrypted datasets decrypted to targets that do not exist yet, instead of raw.
    #[arg(long)]
    decrypt: bool,

    /// Set a property on each dataset that is made on the target, beside readonly=on and canmount=noauto.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    set: Vec<(String, String)>,

    /// Properties that the target gets as SRC has them, where they are set on its datasets themselves: names of ZFS or
    /// of users, patterns of user properties such as `org.example:*`, `default`, or `none`.
    ///
    /// They are set with the stream that makes a dataset, and later where they differ: in every run between machines
    /// with replicator, and in runs that send something where one has only the zfs command. `default` is aclinherit,
    /// aclmode, acltype, atime, compression, dnodesize, logbias, primarycache, recordsize, relatime, secondarycache
    /// and xattr. What SRC does not set stays on the target as it is. Quotas and reservations are set behind the data.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "default")]
    properties: Vec<String>,

    /// Properties that the target does not get, by name or pattern.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    exclude_properties: Vec<String>,

    /// Remove a dataset of the target that SRC does not have any more, when it was found so for this long: 30d, 12w.
    /// Without this they stay for ever.
    ///
    /// Only datasets that a run with this option has marked as copies of SRC, while SRC had them; never one that was
    /// written to, set aside, held, cloned, mounted, or that has something below it that stays. SRC itself must be
    /// there, and the same as before.
    #[arg(long, value_name = "TIME", value_parser = period, requires = "recursive")]
    remove_gone_after: Option<Duration>,

    /// Send encrypted datasets only; others are a conflict.
    #[arg(long, conflicts_with = "decrypt")]
    require_encrypted: bool,

    /// Keep no bookmarks on the source.
    #[arg(long)]
    no_bookmarks: bool,

    /// Send although the target seems to have too little room.
    #[arg(long)]
    ignore_space: bool,
}

/// How it is sent.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Transfer")]
struct How {
    /// How many datasets at the same time, each over a connection of its own.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,

    /// The most bytes per second over the line, all datasets together: 50M, 1G.
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    rate: Option<NonZeroU64>,

    /// Memory for blocks on their way, all datasets together.
    #[arg(long, value_name = "BYTES", default_value = "128MiB", value_parser = format::parsed_bytes)]
    buffer: u64,

    /// Compress with zstd on the way, where the other machine has it.
    #[arg(long, value_enum, default_value_t)]
    compress: Compress,

    /// Give a transfer up and try again when no byte moved for so many seconds; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    stall_timeout: u64,

    /// How often to try again, without progress in between, after a failure that may pass by itself.
    #[arg(long, value_name = "COUNT", default_value_t = Backoff::default().attempts - 1)]
    retries: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Compress {
    /// Where the beginning of a stream shows that it is worth it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_string(), value.to_string()))
}

/// A time in days and the like; a day has 24 hours.
fn period(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time, such as 30d, 12w or 36h".to_string();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| "it must not be negative".to_string())
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(format::parsed_bytes(text)?).ok_or_else(|| "it must be more than nothing".to_string())
}

impl What {
    fn endpoints(&self) -> Result<(Endpoint, Endpoint), Failure> {
        let source: Endpoint = self.source.parse()?;
        let target: Endpoint = self.target.parse()?;
        let same_machine = source.machine == target.machine;
        let (from, to) = (&source.dataset, &target.dataset);
        if same_machine && (from == to || self.recursive && (from.is_within(to) || to.is_within(from))) {
            return Err(RunError::Overlap { source_name: from.clone(), target: to.clone() }.into());
        }
        Ok((source, target))
    }

    fn request(&self, source: &Endpoint, target: &Endpoint) -> Result<Request, Failure> {
        let patterns = |include, exclude| {
            Patterns::new(include, exclude).map_err(|error| Failure::new(Outcome::Usage, error.to_string()))
        };
        let options = Options {
            recursive: self.recursive,
            datasets: patterns(&self.include, &self.exclude)?,
            snapshots: patterns(&self.include_snapshots, &self.exclude_snapshots)?,
            initial: self.initial,
            intermediates: !self.newest_only,
            divergence: self.divergence,
            discard_partial: self.discard_partial,
            decrypt: self.decrypt,
            follow_renames: true,
            bookmarks: !self.no_bookmarks,
            set: self.set.clone(),
            properties: PropertyList::new(&self.properties, &self.exclude_properties, &self.set)
                .map_err(|error| Failure::new(Outcome::Usage, error.to_string()))?,
            remove_gone_after: self.remove_gone_after,
            require_encrypted: self.require_encrypted,
            try_written: false,
            pair: false,
        };
        Ok(Request {
            source: source.dataset.clone(),
            target: target.dataset.clone(),
            options,
            estimate: true,
            ignore_space: self.ignore_space,
            now: jiff::Timestamp::now().as_second(),
        })
    }
}

impl How {
    fn run(&self) -> Run {
        let bytes = (self.stall_timeout > 0).then(|| Duration::from_secs(self.stall_timeout));
        let patience = Patience { bytes, ..Patience::default() };
        let transfer = Settings {
            budget: Budget::new(self.buffer),
            limiter: self.rate.map_or_else(Limiter::none, Limiter::new),
            patience,
            compression: match self.compress {
                Compress::Auto => Compression::Auto,
                Compress::On => Compression::On,
                Compress::Off => Compression::Off,
            },
            ..Settings::default()
        };
        let backoff = Backoff { attempts: self.retries.saturating_add(1), ..Backoff::default() };
        Run { transfer, jobs: usize::try_from(self.jobs).unwrap_or(1), backoff, lock: None }
    }
}

pub(super) fn plan(arguments: &PlanArguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (source, target) = arguments.what.endpoints()?;
    let request = arguments.what.request(&source, &target)?;
    let (mut from, mut to) = arguments.ssh.hosts(&source, &target, cancel)?;
    let _admitted = of_no_pair(to.as_mut(), &target.dataset, target.machine.is_none())?;
    let plan = engine::prepare(from.as_mut(), to.as_mut(), &request)?;
    print_plan(&plan, &source, &target, arguments.json)
}

/// A dry run. A conflict is the status of the run that it foretells.
fn print_plan(
    plan: &TreePlan,
    source: &Endpoint,
    target: &Endpoint,
    as_json: bool,
) -> Result<Outcome, Failure> {
    let text = if as_json {
        format!("{:#}\n", json!({ "dry_run": true, "plan": plan.to_json() }))
    } else {
        describe(plan, source, target)
    };
    super::print(&text)?;
    Ok(if plan.conflicts().next().is_some() { Outcome::Conflict } else { Outcome::Success })
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (source, target) = arguments.what.endpoints()?;
    // A target that is set aside or renamed takes along what is below it.
    let alone = !arguments.what.recursive && arguments.what.divergence == Divergence::Stop;
    let depth = if alone { Depth::One } else { Depth::All };
    let machine = target.machine.as_ref().map(|machine| machine.host.as_str());
    let lock = match arguments.dry_run {
        true => None,
        false => Some(Arc::new(RunLock::take(machine, &target.dataset, depth)?)),
    };
    let mut request = arguments.what.request(&source, &target)?;
    let (mut from, mut to) = arguments.ssh.hosts(&source, &target, cancel)?;
    let _admitted = of_no_pair(to.as_mut(), &target.dataset, target.machine.is_none())?;
    if let Some(lock) = lock.as_ref().filter(|_| target.machine.is_some()) {
        // Runs from other machines, where there is an agent. The zfs command cannot hold a lock; there the kernel
        // takes one receive at a time.
        keep_others_out(to.as_mut(), &target.dataset, depth, lock, cancel)?;
    }
    let plan = engine::prepare(from.as_mut(), to.as_mut(), &request)?;
    if arguments.dry_run {
        return print_plan(&plan, &source, &target, arguments.json);
    }
    let progress = Progress::new(arguments.quiet, &plan);
    let run = Run { lock, ..arguments.how.run() };
    let done = engine::execute(&plan, &request.options, from.as_mut(), to.as_mut(), &run, &progress, cancel);
    let (plan, report) = match done {
        Err(RunError::Host(error)) if request.options.follow_renames && may_not_rename(&plan, &error) => {
            // Without the right to rename there, the old names go on.
            request.options.follow_renames = false;
            let plan = engine::prepare(from.as_mut(), to.as_mut(), &request)?;
            let (options, from, to) = (&request.options, from.as_mut(), to.as_mut());
            let report = engine::execute(&plan, options, from, to, &run, &progress, cancel);
            (plan, report)
        }
        done => (plan, done),
    };
    progress.clear();
    finished(arguments, &plan, report?, &target)
}

fn finished(
    arguments: &Arguments,
    plan: &TreePlan,
    report: Report,
    target: &Endpoint,
) -> Result<Outcome, Failure> {
    let (steps, moved) = (report.steps(), report.moved());
    if arguments.json {
        let failures: Vec<_> = report
            .failures()
            .map(|(dataset, error)| {
                let mut value = json!({
                    "source": dataset.source.as_str(),
                    "target": dataset.target.as_str(),
                    "code": error.code(),
                    "message": error.to_string(),
                    "hint": error.hint(),
                });
                if let RunError::Conflict(conflict) = error {
                    value["conflict"] = conflict.to_json();
                }
                value
            })
            .chain(report.errors_after.iter().map(|error| {
                json!({
                    "target": arguments.what.target,
                    "code": error.code(),
                    "message": error.to_string(),
                    "hint": error.hint(),
                })
            }))
            .collect();
        let result = json!({
            "steps": steps,
            "bytes": moved.plain,
            "bytes_on_the_wire": moved.wire,
            "failures": failures,
        });
        super::print(&format!("{:#}\n", json!({ "plan": plan.to_json(), "result": result })))?;
    }
    let all = report.datasets.len();
    let mut failures: Vec<RunError> =
        report.datasets.into_iter().filter_map(|dataset| dataset.error).collect();
    for error in &report.errors_after {
        super::complain(&Failure::new(error.code(), error.to_string()).hinted(error.hint()));
    }
    if let (true, Some(first)) = (failures.is_empty(), report.errors_after.first()) {
        let message = "what is gone at the source was not all removed";
        return Err(Failure::new(first.code(), message));
    }
    if failures.is_empty() {
        if !arguments.json && !arguments.quiet {
            super::print(&success(steps, moved.plain, target))?;
        }
        return Ok(Outcome::Success);
    }
    if all == 1
        && let Some(only) = failures.pop()
    {
        return Err(only.into());
    }
    let together = in_all(&failures, all);
    for error in failures {
        let failure = Failure::from(error);
        super::complain(&failure);
    }
    Err(together)
}

/// What several failures come to, each of which was told.
fn in_all(failures: &[RunError], all: usize) -> Failure {
    let message = format!("{} of {all} datasets did not reach their end", failures.len());
    Failure::new(common_outcome(failures), message)
}

/// The kind that all failures share, or the general one; an interruption goes before all.
fn common_outcome(failures: &[RunError]) -> Outcome {
    // Those that only waited for another say nothing of their own.
    let mut kinds = failures.iter().filter(|error| !matches!(error, RunError::Dependency { .. })).map(of_run);
    let Some(first) = kinds.next() else { return Outcome::Failed };
    kinds.fold(first, |all, one| match (all, one) {
        (all, one) if all == one => all,
        (Outcome::Interrupted, _) | (_, Outcome::Interrupted) => Outcome::Interrupted,
        _ => Outcome::Failed,
    })
}

fn success(steps: usize, bytes: u64, target: &Endpoint) -> String {
    if steps == 0 {
        return format!("{target} is up to date\n");
    }
    let s = if steps == 1 { "" } else { "s" };
    format!("{target} is up to date now: {steps} step{s}, {}\n", format::bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;
    use crate::plan::Conflict;

    #[test]
    fn several_failures_have_the_code_of_their_kind_or_the_general_one() {
        let name = |text: &str| text.parse::<zfs_core::name::DatasetName>().expect("a name");
        let gone = || RunError::NoSource { host: "nas".to_string(), dataset: name("tank/a") };
        let stops = || RunError::Conflict(Conflict::NoSourceSnapshots { from: name("tank/a") });
        let waits = || RunError::Dependency { waits_for: name("tank/a") };
        for (failures, code) in [
            (vec![gone(), stops()], Code::Failed),
            (vec![stops(), stops()], Code::Stopped),
            (vec![stops(), waits()], Code::Stopped),
            (vec![gone(), RunError::Cancelled], Code::Interrupted),
        ] {
            let failure = in_all(&failures, 5);
            assert_eq!(failure.code, code, "{failures:?}");
            assert_eq!(failure.message(), "2 of 5 datasets did not reach their end");
        }
    }

    #[test]
    fn times_are_read_and_nonsense_gets_examples() {
        assert_eq!(period("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for text in ["", "x", "30"] {
            let why = period(text).expect_err(text);
            assert!(why.contains("30d") && !why.contains("friendly"), "{text}: {why}");
        }
    }
}
