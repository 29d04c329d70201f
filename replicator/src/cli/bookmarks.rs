//! `replicator bookmarks`.

use std::collections::HashMap;

use serde_json::json;
use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::connect::SshArguments;
use super::format;
use super::places::Place;
use super::places::left_out;
use super::places::places;
use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Inventory;
use crate::inspect::bookmarks;
use crate::inspect::bookmarks::OfDataset;
use crate::inspect::bookmarks::Target;

/// Show the bookmarks that `replicate` keeps on a source.
///
/// Each is kept for one target, from which the next run goes on when the snapshot itself is gone. With --target it
/// says which are kept for that target and which of them nothing starts at any more. Bookmarks of other programs are
/// counted and never touched.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Sources, here or as HOST:POOL/DATASET; all pools of this machine when none is given.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Also everything below them.
    #[arg(short, long)]
    recursive: bool,

    /// A target to look at as well; needs exactly one DATASET, its source.
    #[arg(long, value_name = "DST")]
    target: Option<String>,

    /// A name that the target had before it was renamed: bookmarks kept under it are the target's as well. Nothing may
    /// have this name now.
    #[arg(long, value_name = "POOL/DATASET", requires = "target")]
    formerly: Option<DatasetName>,

    /// Remove the bookmarks of ours that are kept for that target and older than its newest base in common. Those
    /// under an earlier name (--formerly) go only where one under the name of today keeps that base.
    #[arg(long, requires = "target", requires = "yes")]
    release_stale: bool,

    /// Yes, remove them.
    #[arg(long, requires = "release_stale")]
    yes: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator bookmarks
  replicator bookmarks -r tank/data --target root@nas:backup/data
  replicator bookmarks -r tank/data --target root@nas:backup/data --release-stale --yes
  replicator bookmarks tank/new --target root@nas:backup/new --formerly backup/old --release-stale --yes";

/// When bookmarks were made, by name, where that is known.
type Ages = HashMap<String, u64>;

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut places = places(&arguments.datasets, arguments.recursive, &arguments.ssh, cancel)?;
    let left_out = left_out(&arguments.datasets, arguments.recursive);
    let Some(target) = &arguments.target else {
        let mut shown = Vec::new();
        for place in &mut places {
            let found = bookmarks::of_tree(&place.tree()?);
            shown.push((place.endpoint.clone(), ages(place, &found)?, found));
        }
        print(&shown, left_out, arguments.json, 0)?;
        return Ok(Outcome::Success);
    };
    let [source] = places.as_mut_slice() else {
        return Err(Failure::new(Outcome::Usage, "--target needs exactly one DATASET"));
    };
    let mut target = Place::new(target.parse()?, arguments.recursive, &arguments.ssh, cancel)?;
    let tree = source.tree()?;
    let there = target.inventory()?;
    let root = target.endpoint.dataset.clone();
    if let Some(former) = &arguments.formerly {
        nobody_has(&mut target, former)?;
    }
    let pool = target.host.about(root.pool())?.guid;
    let target = Target { found: &there, root: &root, formerly: arguments.formerly.as_ref(), pool };
    let found = bookmarks::against(&tree, target, arguments.recursive);
    let stale: Vec<_> = found.iter().flat_map(OfDataset::stale).collect();
    let ages = ages(source, &found)?;
    let removed = if arguments.release_stale && !stale.is_empty() {
        source.host.apply(&Change::DestroyBookmarks { bookmarks: stale.clone() })?;
        stale.len()
    } else {
        0
    };
    print(&[(source.endpoint.clone(), ages, found)], left_out, arguments.json, removed)?;
    Ok(Outcome::Success)
}

/// An earlier name of the target: whoever has it now is another target, with bookmarks of its own.
fn nobody_has(target: &mut Place, former: &DatasetName) -> Result<(), Failure> {
    if former.pool() != target.endpoint.dataset.pool() {
        let message = format!("{former} is in another pool than {}", target.endpoint.dataset);
        let failure = Failure::new(Outcome::Usage, message);
        return Err(failure.hinted(
            "--formerly takes a name from before a rename, and none leads to another pool".to_string(),
        ));
    }
    match target.host.inventory(former, Depth::One)? {
        Inventory::Absent { .. } => Ok(()),
        Inventory::Present(_) => {
            let message = format!("{}: {former} exists, and may be a target itself", target.host.label());
            Err(Failure::new(Outcome::Usage, message)
                .hinted("bookmarks under its name are kept for it: look at it with --target".to_string()))
        }
    }
}

/// Only this machine tells when a bookmark was made.
fn ages(place: &Place, found: &[OfDataset]) -> Result<Ages, Failure> {
    let mut ages = Ages::new();
    if place.endpoint.machine.is_some() {
        return Ok(ages);
    }
    let zfs = Zfs::open()?;
    for one in found.iter().filter(|one| !one.ours.is_empty()) {
        let bookmarks = zfs.bookmarks(&one.dataset)?;
        ages.extend(bookmarks.into_iter().map(|one| (one.name.to_string(), one.creation)));
    }
    Ok(ages)
}

fn print(
    shown: &[(Endpoint, Ages, Vec<OfDataset>)],
    left_out: &str,
    as_json: bool,
    removed: usize,
) -> Result<(), Failure> {
    if as_json {
        let places: Vec<_> = shown
            .iter()
            .map(|(endpoint, _, found)| {
                json!({
                    "place": endpoint.to_string(),
                    "datasets": found.iter().map(OfDataset::to_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        return super::print(&format!("{:#}\n", json!({ "places": places, "removed": removed })));
    }
    let mut rows = Vec::new();
    let mut foreign = 0;
    let mut ids = String::new();
    for (_, ages, found) in shown {
        for one in found {
            foreign += one.foreign;
            if let Some((id, base)) = one.target {
                ids.push_str(&format!("{}: the id of its target is {id}, {}\n", one.dataset, common(base)));
            }
            rows.extend(one.ours.iter().map(|mark| {
                let mut notes = Vec::new();
                notes.extend(mark.standing.map(|standing| standing.word().to_string()));
                notes.extend(mark.superseded.then(|| "superseded".to_string()));
                vec![
                    mark.name.to_string(),
                    mark.mark.target.to_string(),
                    ages.get(mark.name.as_str()).map_or_else(|| "-".to_string(), |time| format::time(*time)),
                    if mark.has_snapshot { "yes" } else { "gone" }.to_string(),
                    notes.join(", "),
                ]
            }));
        }
    }
    let mut text = ids;
    if rows.is_empty() {
        text.push_str(&format!("no bookmarks of ours{left_out}\n"));
    } else {
        text.push_str(&format::table(&["BOOKMARK", "TARGET", "CREATED", "SNAPSHOT", ""], rows));
    }
    if foreign > 0 {
        text.push_str(&format!("{foreign} of others, which are never touched\n"));
    }
    if removed > 0 {
        text.push_str(&format!("{removed} stale removed\n"));
    }
    super::print(&text)
}

fn common(base: Option<Guid>) -> String {
    base.map_or_else(
        || "with no base in common that a run would start from".to_string(),
        |guid| format!("the newest base in common has GUID {guid}"),
    )
}
