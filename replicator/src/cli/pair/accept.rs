//! `replicator pair accept`.

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::format;
use crate::pair::sizes;
use crate::pair::verbs::accept::Asked;
use crate::pair::verbs::accept::accept;

/// Say that datasets of a pair were meant to lose most of their data.
///
/// A dataset that has less than half (source_below) of what it had up to a day before, or at the snapshot before, keeps all
/// snapshots from before, on both nodes and whatever the policies say, until this is called. It takes a snapshot
/// accepted-EPOCH, which the other node gets with the next run. Run it on the active node.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Only this dataset; may be given several times.
    #[arg(long = "dataset", value_name = "DATASET")]
    datasets: Vec<DatasetName>,

    /// Only print what would be accepted.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair accept nfs --dry-run
  replicator pair accept nfs --dataset zpool1/data-nfs-share

The exit status is 0, also where there is nothing to accept, and 3 where this node is not the active one.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    let zfs = Zfs::open()?;
    let (roots, dry_run) = (setup.pair.roots.clone(), arguments.dry_run);
    let asked = Asked { only: arguments.datasets.clone(), dry_run, guards: setup.pair.guards };
    let list = |dataset: &DatasetName| sizes::list(&zfs, dataset);
    let found = accept(&mut setup.node, &roots, &list, &asked, &mut |line| cli::say(line))?;
    let pair = &setup.pair.name;
    cli::print(&if arguments.common.json {
        let one = |(dataset, loss): &(DatasetName, sizes::Loss)| {
            json!({
                "dataset": dataset.as_str(),
                "before": { "snapshot": loss.before.short, "bytes": loss.before.bytes },
                "after": { "snapshot": loss.after.short, "bytes": loss.after.bytes },
                "kept_until_now": loss.older.len(),
            })
        };
        let list: Vec<_> = found.iter().map(one).collect();
        format!("{:#}\n", json!({ "pair": pair, "dry_run": dry_run, "accepted": list }))
    } else if found.is_empty() {
        format!("{pair}: there is nothing to accept\n")
    } else {
        let word = if dry_run { "would be accepted" } else { "accepted" };
        let line = |(dataset, loss): &(DatasetName, sizes::Loss)| {
            let (before, after) = (format::bytes(loss.before.bytes), format::bytes(loss.after.bytes));
            let (from, to) = (&loss.before.short, &loss.after.short);
            format!("{pair}: {word}: {dataset} from {before} at @{from} to {after} at @{to}\n")
        };
        found.iter().map(line).collect::<String>()
    })?;
    Ok(Outcome::Success)
}
