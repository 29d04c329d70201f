//! `replicator restore rollback DATASET@SNAPSHOT`.

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Failure;
use super::Outcome;
use super::candidates::any;
use super::candidates::targets;
use super::confirmed;
use super::ended;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::cli::format;
use crate::cli::snapshot::PATIENCE;
use crate::codes::Code;
use crate::host::Depth;
use crate::host::Host;
use crate::lock::PolicyLock;
use crate::lock::RunLock;
use crate::marks;
use crate::pair::NodeName;
use crate::pair::verbs::Node;
use crate::pair::verbs::node::LocalNode;
use crate::restore::carry::carry_out;
use crate::restore::carry::look;
use crate::restore::exchange::Facts;
use crate::restore::exchange::Wish;
use crate::restore::rollback;
use crate::restore::rollback::Details;
use crate::restore::rollback::Loss;
use crate::transport::printable;

/// Bring a dataset back to one of its snapshots, without destroying what is newer.
///
/// First everything is listed that is newer than the snapshot. Then the dataset is unmounted and renamed to
/// NAME_diverged_TIME with all that is newer, a clone of the snapshot takes its name and is promoted, and is mounted again.
/// Datasets below it are not rolled back and stay where they are. Older snapshots, their holds and bookmarks go over to it.
/// When the newer state is not needed any more, `zfs destroy -r` of the dataset that was set aside frees its room.
///
/// A dataset that is in use cannot be unmounted, and stops this before anything is changed. After a crash the same command
/// goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The snapshot to go back to.
    #[arg(value_name = "DATASET@SNAPSHOT")]
    snapshot: String,

    /// Only list what would be out of sight.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Ask no questions. Needed where nobody can be asked.
    #[arg(long)]
    yes: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator restore rollback tank/data@before-upgrade --dry-run
  replicator restore rollback tank/data@before-upgrade
  replicator restore rollback tank/data@before-upgrade --yes --json";

/// How many names of one kind are printed; all are in the JSON.
const SHOWN: usize = 10;

/// This machine, for what is exchanged on it.
pub(super) fn node(zfs: Zfs, cancel: &Cancel) -> Result<LocalNode, Failure> {
    // Only said in messages of pairs.
    let name = NodeName::of_this_machine().or_else(|_| "localhost".parse());
    let name = name.map_err(|error| Failure::new(Code::NodeName, error.to_string()))?;
    Ok(LocalNode::new(name, zfs, cancel.clone()))
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let to = SnapshotName::try_from(arguments.snapshot.as_str());
    let to = to.map_err(|error| {
        let hint = "write it as DATASET@SNAPSHOT".to_string();
        let text = &arguments.snapshot;
        Failure::new(Code::Endpoint, format!("{text:?}: {error}")).hinted(hint)
    })?;
    let zfs = Zfs::open()?;
    let mut node = node(zfs.clone(), cancel)?;
    let _lock = match arguments.dry_run {
        true => None,
        false => {
            let others = PolicyLock::take(PATIENCE, &|| cancel.is_cancelled())?;
            Some((others, RunLock::take(None, to.dataset(), Depth::All)?))
        }
    };
    let facts = look(node.host(), to.dataset(), None, now())?;
    not_in_a_pair(&facts, to.dataset())?;
    if let Some(wish) = begun(&facts, &to) {
        cli::say(&format!("goes on with what was begun for {}", to.dataset()));
        if arguments.dry_run {
            return Ok(Outcome::Success);
        }
        return carry(&mut node, arguments, to.dataset(), wish.as_ref());
    }
    let loss = loss(&zfs, node.host(), &facts, &to)?;
    if arguments.json && arguments.dry_run {
        cli::print(&format!("{:#}\n", loss.to_json()))?;
    }
    let text = describe(to.dataset(), &loss) + &behind(arguments, to.dataset());
    if loss.is_nothing() {
        cli::say(&format!("{} is at {} already: nothing is newer", to.dataset(), to));
        return Ok(Outcome::Success);
    }
    if arguments.dry_run {
        if !arguments.json {
            cli::print(&text)?;
        }
        return Ok(Outcome::Success);
    }
    if !arguments.json {
        cli::print(&text)?;
    }
    confirmed(arguments.yes, &format!("Bring {} back to {}?", to.dataset(), to))?;
    carry(&mut node, arguments, to.dataset(), Some(&Wish::Snapshot(loss.to.guid)))
}

fn carry(
    node: &mut LocalNode,
    arguments: &Arguments,
    dataset: &DatasetName,
    wish: Option<&Wish>,
) -> Result<Outcome, Failure> {
    let done = carry_out(node, dataset, wish, now(), &mut |line| cli::say(line))?;
    cli::print(&if arguments.json {
        let aside = done.aside.as_ref().map(DatasetName::as_str);
        format!("{:#}\n", json!({ "dataset": dataset.as_str(), "aside": aside, "steps": done.steps }))
    } else {
        ended(dataset, &done)
    })?;
    Ok(Outcome::Success)
}

/// What goes on where something was begun: this snapshot where it is known, which is compared with what was begun.
fn begun(facts: &Facts, to: &SnapshotName) -> Option<Option<Wish>> {
    let dataset = to.dataset();
    let mark = facts.mark(dataset).or_else(|| facts.mark(facts.aside.as_ref()?));
    mark?;
    let of = [Some(dataset), facts.aside.as_ref()].into_iter().flatten();
    let mut all = of.filter_map(|name| facts.datasets.get(name)).flat_map(|state| &state.snapshots);
    let found = all.find(|one| one.name.short() == to.short());
    Some(found.map(|one| Wish::Snapshot(one.guid)))
}

/// A dataset of a pair belongs to two nodes.
pub(super) fn not_in_a_pair(facts: &Facts, dataset: &DatasetName) -> Result<(), Failure> {
    let has = facts.properties.get(dataset).is_some_and(|all| all.contains_key(marks::EPOCH));
    if !has {
        return Ok(());
    }
    let hint = "`replicator pair status` shows the pair; a file is got back with `replicator restore get`";
    let message = format!("{dataset} is in a pair, whose other node would not follow it");
    Err(Failure::new(Code::RestoreRefused, message).hinted(hint.to_string()))
}

fn loss(zfs: &Zfs, host: &mut dyn Host, facts: &Facts, to: &SnapshotName) -> Result<Loss, Failure> {
    let dataset = to.dataset();
    let missing = |code: Code, what: &str| {
        let hint = format!("see what there is with `zfs list -r -t snapshot {}`", dataset.pool());
        Failure::new(code, format!("there is no {what}")).hinted(hint)
    };
    let state = facts.datasets.get(dataset).ok_or_else(|| missing(Code::NoDataset, dataset.as_str()))?;
    let mut details = Details::default();
    details.dates.extend(host.dates(dataset, Depth::One)?);
    for held in host.holds(dataset, Depth::One)? {
        details.holds.entry(held.snapshot.clone()).or_default().push(printable(held.tag.as_bytes(), 100));
    }
    for found in zfs.snapshots(dataset)? {
        let found = found?;
        details.clones.insert(found.name.clone(), found.clones);
    }
    let snapshot = state.snapshots.iter().find(|one| one.name == *to);
    let no_snapshot = || missing(Code::NothingToRestore, to.as_str());
    let snapshot = snapshot.ok_or_else(no_snapshot)?;
    let between = match rollback::stream(state, snapshot) {
        Some(spec) => host.estimate(&[spec])?.into_iter().next().flatten(),
        None => None,
    };
    rollback::preview(state, to, &details, between).ok_or_else(no_snapshot)
}

fn describe(dataset: &DatasetName, loss: &Loss) -> String {
    let mut text =
        format!("{dataset} goes back to @{}. Out of sight then, and kept:\n", loss.to.name.short());
    let mut line = |what: &str, of: String| text.push_str(&format!("  {what:<28}{of}\n"));
    if loss.written > 0 {
        line("written, in no snapshot", format::bytes(loss.written));
    }
    if loss.between != Some(0) {
        line("written in newer snapshots", format::maybe_bytes(loss.between));
    }
    let names = |names: Vec<String>| {
        let more = names.len().saturating_sub(SHOWN);
        let shown: Vec<_> = names.iter().take(SHOWN).cloned().collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}: {}{more}", names.len(), shown.join(", "))
    };
    let dated = |one: &rollback::Newer| {
        let date = one.created.and_then(|at| u64::try_from(at).ok()).map(format::time);
        format!("@{}{}", one.name.short(), date.map(|date| format!(" ({date})")).unwrap_or_default())
    };
    if !loss.snapshots.is_empty() {
        line("newer snapshots", names(loss.snapshots.iter().map(dated).collect()));
    }
    let held = loss.snapshots.iter().filter(|one| !one.holds.is_empty());
    let held: Vec<_> = held.map(|one| format!("@{} ({})", one.name.short(), one.holds.join(" "))).collect();
    if !held.is_empty() {
        line("held ones among them", names(held));
    }
    let cloned = loss.snapshots.iter().filter(|one| one.clones > 0);
    let cloned: Vec<_> = cloned.map(|one| format!("@{} ({})", one.name.short(), one.clones)).collect();
    if !cloned.is_empty() {
        line("with clones, which stay", names(cloned));
    }
    if !loss.bookmarks.is_empty() {
        line(
            "newer bookmarks",
            names(loss.bookmarks.iter().map(|one| format!("#{}", one.short())).collect()),
        );
    }
    if loss.volume {
        text.push_str("Who has the volume open writes on into the one that is set aside: end that first.\n");
    }
    text.push_str("Nothing of it is destroyed.\n");
    text
}

/// What becomes of copies.
fn behind(arguments: &Arguments, dataset: &DatasetName) -> String {
    let Some(config) = any(&arguments.from) else { return String::new() };
    let names: Vec<_> =
        targets(&config, dataset).map(|(job, target)| format!("{} to {}", job.name, target.name)).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "Copies that have newer snapshots have gone another way then: {} stop{} for this dataset, or set{} the copy aside (divergence).\n",
        names.join(", "),
        if names.len() == 1 { "s" } else { "" },
        if names.len() == 1 { "s" } else { "" }
    )
}
