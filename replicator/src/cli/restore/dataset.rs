//! `replicator restore dataset DATASET --from TARGET`.

use std::sync::Arc;

use serde_json::json;
use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::candidates::any;
use super::candidates::counterpart;
use super::candidates::targets;
use super::confirmed;
use super::ended;
use super::rollback::node;
use super::rollback::not_in_a_pair;
use super::rollback::now;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::cli::connect::SshArguments;
use crate::cli::format;
use crate::cli::outcome::of_run;
use crate::cli::plan_text;
use crate::cli::progress::Progress;
use crate::codes::Code;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::engine;
use crate::engine::Request;
use crate::engine::Run;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::Tree;
use crate::lock::RunLock;
use crate::pair::verbs::Node;
use crate::pair::verbs::node::LocalNode;
use crate::plan::Initial;
use crate::plan::Options;
use crate::plan::Patterns;
use crate::restore::carry::Exchanged;
use crate::restore::carry::carry_out;
use crate::restore::carry::look;
use crate::restore::carry::open_new;
use crate::restore::exchange::Facts;
use crate::restore::exchange::Wish;

/// Bring a dataset back from a target: as a new one beside the old one, or in its place.
///
/// It is a replication in the other direction, through the same checks: what was cut off goes on with the same command.
/// All snapshots of the target come along, or the one that --at names. The new dataset is read-only and not mounted. Where
/// DATASET does not exist (any more) it is restored under that name, else as DATASET_restored.
///
/// With --swap it then takes the place of DATASET: that is renamed to DATASET_diverged_TIME with all it has, the new one
/// takes its name, its properties and its place, and is mounted. Nothing is destroyed. After a crash the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The dataset of this machine that is to come back.
    #[arg(value_name = "DATASET")]
    dataset: String,

    /// Where from: a target of the configuration by its name, or the dataset there as [USER@]HOST:POOL/DATASET.
    #[arg(long = "from", value_name = "TARGET")]
    target: String,

    /// Only this snapshot, by its name.
    #[arg(long, value_name = "SNAPSHOT")]
    at: Option<String>,

    /// Another name for the new dataset.
    #[arg(long = "as", value_name = "NAME")]
    new: Option<String>,

    /// Everything below it as well.
    #[arg(short, long)]
    recursive: bool,

    /// Put it in the place of DATASET.
    #[arg(long)]
    swap: bool,

    /// Only print what would be done.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Ask no questions before the swap. Needed where nobody can be asked.
    #[arg(long)]
    yes: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    /// Print nothing but errors.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    config: From,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator restore dataset tank/data --from nas
  replicator restore dataset tank/data --from nas --at autosnap_2026-11-27_00:00:00_daily --as tank/data-friday
  replicator restore dataset -r tank/data --from root@nas:backup/data --swap";

/// What the names of datasets that are restored beside another one end in.
const RESTORED: &str = "_restored";

fn dataset(text: &str) -> Result<DatasetName, Failure> {
    text.parse().map_err(|error: zfs_core::name::NameError| Failure::new(Code::Endpoint, error.to_string()))
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let old = dataset(&arguments.dataset)?;
    let zfs = Zfs::open()?;
    let mut node = node(zfs.clone(), cancel)?;
    let facts = look(node.host(), &old, None, now())?;
    not_in_a_pair(&facts, &old)?;
    let exists = facts.datasets.contains_key(&old) || facts.aside.is_some();
    let new = match &arguments.new {
        Some(name) => dataset(name)?,
        None if exists => dataset(&format!("{old}{RESTORED}"))?,
        None => old.clone(),
    };
    if new == old && exists {
        let hint = "leave --as out, and add --swap to put it in its place".to_string();
        return Err(Failure::new(Outcome::Usage, format!("{old} exists")).hinted(hint));
    }
    let depth = if arguments.recursive { Depth::All } else { Depth::One };
    let locks = match arguments.dry_run {
        true => None,
        false => Some((Arc::new(RunLock::take(None, &new, Depth::All)?), lock_old(&old, &new)?)),
    };
    let was_begun = facts.mark(&old).is_some() || facts.aside.is_some();
    let mut moved = 0;
    let Some(source) = source(arguments, &old, &zfs, cancel)? else {
        let hint = "name a target of the configuration, or [USER@]HOST:POOL/DATASET".to_string();
        let message = format!("there is no target {} for {old}", arguments.target);
        return Err(Failure::new(Outcome::Usage, message).hinted(hint));
    };
    let (endpoint, mut far) = source;
    // An exchange that was begun has all it needs: the new dataset may have the old one's name by now.
    if !was_begun {
        let wanted = wanted(far.as_mut(), &endpoint, depth, arguments.at.as_deref())?;
        if arguments.swap && is_there(&facts, &old, wanted) {
            cli::say(&format!("{old} has exactly that already; nothing was done"));
            return Ok(Outcome::Success);
        }
        let lock = locks.as_ref().map(|(lock, _)| lock.clone());
        let ends = Ends { endpoint: &endpoint, new: &new, lock };
        match receive(arguments, &ends, far.as_mut(), node.host(), cancel)? {
            Received::Planned(outcome) => return Ok(outcome),
            Received::Done(bytes) => moved = bytes,
        }
    } else if arguments.dry_run {
        cli::print(&format!("would go on with what was begun for {old}\n"))?;
        return Ok(Outcome::Success);
    }
    let mut swapped = None;
    if arguments.swap {
        if exists {
            confirmed(arguments.yes, &format!("Set {old} aside and put {new} in its place?"))?;
        }
        swapped = Some(swap(&mut node, &old, &new, exists)?);
    } else if was_begun {
        let hint = "add --swap".to_string();
        let message = format!("{old} was to be swapped, and that is not finished");
        return Err(Failure::new(Code::RestoreRefused, message).hinted(hint));
    }
    tell(arguments, &old, &new, moved, swapped.as_ref())?;
    Ok(Outcome::Success)
}

/// Keeps others out of what is set aside; one lock is enough where it lies above or below.
fn lock_old(old: &DatasetName, new: &DatasetName) -> Result<Option<RunLock>, Failure> {
    if old.is_within(new) || new.is_within(old) {
        return Ok(None);
    }
    Ok(Some(RunLock::take(None, old, Depth::All)?))
}

/// The dataset of the target, and who answers there.
type Far = (Endpoint, Box<dyn Host>);

/// Finds it; nothing where there is no such target.
fn source(
    arguments: &Arguments,
    old: &DatasetName,
    zfs: &Zfs,
    cancel: &Cancel,
) -> Result<Option<Far>, Failure> {
    if let Some(config) = any(&arguments.config) {
        let named: Vec<_> =
            targets(&config, old).filter(|(_, target)| target.name == arguments.target).collect();
        if let [(first, _), (second, _), ..] = named.as_slice() {
            let message =
                format!("{} is a target of the jobs {} and {}", arguments.target, first.name, second.name);
            return Err(Failure::new(Outcome::Usage, message).hinted("name the dataset there".to_string()));
        }
        if let [(job, target)] = named.as_slice() {
            let endpoint = counterpart(job, target, old)?;
            let host = connect::host(&target.link, &endpoint, Some(zfs), cancel)?;
            return Ok(Some((endpoint, host)));
        }
    }
    // A word alone is no dataset that anything could be restored from: it was meant for a target.
    if !arguments.target.contains(['/', ':']) {
        return Ok(None);
    }
    let endpoint: Endpoint = arguments.target.parse()?;
    let host = arguments.ssh.host(&endpoint, Some(zfs), cancel)?;
    Ok(Some((endpoint, host)))
}

/// The snapshot that is wanted of the dataset there.
fn wanted(far: &mut dyn Host, endpoint: &Endpoint, depth: Depth, at: Option<&str>) -> Result<Guid, Failure> {
    let Inventory::Present(tree) = far.inventory(&endpoint.dataset, depth)? else {
        return Err(Failure::new(Code::NoDataset, format!("there is no {endpoint}")));
    };
    let all = &Tree::root(&tree).snapshots;
    let found = match at {
        None => all.last(),
        Some(at) => all.iter().find(|one| one.name.short() == short(at)),
    };
    found.map(|one| one.guid).ok_or_else(|| {
        let newest = all.iter().rev().take(5).map(|one| format!("@{}", one.name.short()));
        let newest: Vec<_> = newest.collect();
        let hint = (!newest.is_empty()).then(|| format!("the newest are {}", newest.join(", ")));
        let message = match at {
            Some(at) => format!("{endpoint} has no snapshot @{}", short(at)),
            None => format!("{endpoint} has no snapshots"),
        };
        Failure::new(Code::NothingToRestore, message).hinted(hint)
    })
}

fn short(at: &str) -> &str {
    at.rsplit('@').next().unwrap_or(at)
}

fn is_there(facts: &Facts, old: &DatasetName, wanted: Guid) -> bool {
    let newest = |state: &crate::host::DatasetState| state.snapshots.last().map(|one| one.guid);
    facts.datasets.get(old).is_some_and(|state| state.written == 0 && newest(state) == Some(wanted))
}

/// From where to where.
struct Ends<'e> {
    endpoint: &'e Endpoint,
    new: &'e DatasetName,
    lock: Option<Arc<RunLock>>,
}

enum Received {
    /// A dry run, which ends so.
    Planned(Outcome),
    /// So many bytes came.
    Done(u64),
}

fn receive(
    arguments: &Arguments,
    ends: &Ends<'_>,
    far: &mut dyn Host,
    here: &mut dyn Host,
    cancel: &Cancel,
) -> Result<Received, Failure> {
    let patterns = |names: &[String]| {
        Patterns::new(names, &[]).map_err(|error| Failure::new(Outcome::Usage, error.to_string()))
    };
    let at: Vec<_> = arguments.at.iter().map(|at| short(at).to_string()).collect();
    let options = Options {
        recursive: arguments.recursive,
        snapshots: patterns(&at)?,
        initial: if at.is_empty() { Initial::All } else { Initial::Newest },
        follow_renames: false,
        // A target that is read from is not written to.
        bookmarks: false,
        ..Options::default()
    };
    let request = Request {
        source: ends.endpoint.dataset.clone(),
        target: ends.new.clone(),
        options,
        estimate: true,
        ignore_space: false,
        now: now(),
    };
    let plan = engine::prepare(far, here, &request)?;
    if arguments.dry_run {
        let to = Endpoint { machine: None, dataset: ends.new.clone() };
        let text = if arguments.json {
            format!("{:#}\n", json!({ "dry_run": true, "plan": plan.to_json() }))
        } else {
            plan_text::describe(&plan, ends.endpoint, &to)
        };
        cli::print(&text)?;
        let stops = plan.conflicts().next().is_some();
        return Ok(Received::Planned(if stops { Outcome::Conflict } else { Outcome::Success }));
    }
    let progress = Progress::new(arguments.quiet, &plan);
    let run = Run { lock: ends.lock.clone(), ..Run::default() };
    let report = engine::execute(&plan, &request.options, far, here, &run, &progress, cancel);
    progress.clear();
    let report = report?;
    let mut failed = None;
    for (dataset, error) in report.failures() {
        let failure =
            Failure::new(of_run(error), format!("{}: {error}", dataset.target)).hinted(error.hint());
        cli::complain(&failure);
        failed = failed.or(Some(failure.outcome));
    }
    match failed {
        Some(outcome) => {
            let message =
                "not everything came back, and nothing was swapped; the same command goes on from there";
            Err(Failure::new(outcome, message))
        }
        None => Ok(Received::Done(report.moved().plain)),
    }
}

fn swap(
    node: &mut LocalNode,
    old: &DatasetName,
    new: &DatasetName,
    exists: bool,
) -> Result<Exchanged, Failure> {
    let mut tell = |line: &str| cli::say(line);
    Ok(match exists {
        true => carry_out(node, old, Some(&Wish::Dataset(new.clone())), now(), &mut tell)?,
        false => open_new(node, new, &mut tell)?,
    })
}

fn tell(
    arguments: &Arguments,
    old: &DatasetName,
    new: &DatasetName,
    bytes: u64,
    swapped: Option<&Exchanged>,
) -> Result<(), Failure> {
    let aside = swapped.and_then(|done| done.aside.as_ref()).map(DatasetName::as_str);
    if arguments.json {
        let value = json!({
            "dataset": old.as_str(),
            "restored_as": if swapped.is_some() { old.as_str() } else { new.as_str() },
            "swapped": swapped.is_some(),
            "aside": aside,
            "bytes": bytes,
        });
        return cli::print(&format!("{value:#}\n"));
    }
    if arguments.quiet {
        return Ok(());
    }
    cli::print(&match swapped {
        Some(done) => ended(old, done),
        None => format!(
            "{new} is restored, {}; it is read-only and not mounted (`zfs mount` with a mountpoint of its own shows what is in it)\n",
            format::bytes(bytes)
        ),
    })
}
