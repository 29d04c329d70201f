//! `replicator compare SRC DST`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::connect::SshArguments;
use super::format;
use super::places::Place;
use crate::cancel::Cancel;
use crate::compare;
use crate::compare::Comparison;
use crate::compare::Pair;
use crate::compare::Verdict;
use crate::compare::content;
use crate::compare::content::Difference;
use crate::host::Base;
use crate::host::Inventory;
use crate::host::Snapshot;
use crate::host::Tree;

/// Compare a dataset with its replica. Changes nothing.
///
/// Snapshots are compared by GUID: what both sides have, what only one has, which have the same name and are not the
/// same, and what was written since the newest. The exit status is 0 when the target has the newest snapshot of the
/// source, or lacks some that a replication would bring, and 3 when a replication would stop.
///
/// With --content, the newest snapshot that both sides have is read on both and compared file by file (kind, size,
/// mode, owner, time, link target, SHA-256 of the content), or for a volume in segments of 4 MiB. Each side mounts the
/// snapshot read-only where nobody else sees it, which needs root. Another machine needs GNU find and sha256sum, or an
/// agent that was started with --allow read (--far-end agent). Differences are listed and the exit status is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The source.
    #[arg(value_name = "SRC")]
    source: String,

    /// Its replica.
    #[arg(value_name = "DST")]
    target: String,

    /// Everything below it as well.
    #[arg(short, long)]
    recursive: bool,

    /// Read both sides and compare what is in them.
    #[arg(long)]
    content: bool,

    /// Read the snapshots of this name instead, also where they are not the same snapshot.
    #[arg(long, value_name = "NAME", requires = "content")]
    snapshot: Option<String>,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator compare tank/data root@nas:backup/data
  replicator compare -r tank/data backup/data --content
  replicator compare tank/data root@nas:backup/data --content --far-end agent
  replicator compare tank/data backup/data --content --snapshot monday";

/// How many differences of a dataset are printed; all are in the JSON.
const SHOWN: usize = 100;

/// What reading two snapshots came to.
struct Read {
    source: String,
    target: String,
    compared: usize,
    unit: &'static str,
    differences: Vec<Difference>,
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (source, target) = (arguments.source.parse()?, arguments.target.parse()?);
    let mut source = Place::new(source, arguments.recursive, &arguments.ssh, cancel)?;
    let mut target = Place::new(target, arguments.recursive, &arguments.ssh, cancel)?;
    let (here, there) = (source.tree()?, target.inventory()?);
    let compared = compare::compare(&here, &there, &target.endpoint.dataset, arguments.recursive);
    let contents = if arguments.content {
        let name = arguments.snapshot.as_deref();
        Some(read_all(&mut source, &mut target, (&here, &there), &compared, name)?)
    } else {
        None
    };
    let text = if arguments.json {
        format!("{:#}\n", to_json(&compared, contents.as_deref()))
    } else {
        describe(&compared, contents.as_deref(), (&source, &target))
    };
    super::print(&text)?;
    let stops = compared.pairs.iter().any(|pair| matches!(pair.verdict, Verdict::Stops(_)));
    // What could not be read was not found to be equal.
    let differs = contents.iter().flatten().any(|read| match read {
        None => true,
        Some(read) => !read.differences.is_empty(),
    });
    Ok(if stops || differs { Outcome::Conflict } else { Outcome::Success })
}

/// Reads each pair, `None` where both have no such snapshot.
fn read_all(
    source: &mut Place,
    target: &mut Place,
    (here, there): (&Tree, &Inventory),
    compared: &Comparison,
    name: Option<&str>,
) -> Result<Vec<Option<Read>>, Failure> {
    let mut all = Vec::new();
    for pair in &compared.pairs {
        let kinds = match there {
            Inventory::Absent { .. } => None,
            Inventory::Present(there) => here.get(&pair.source).zip(there.get(&pair.target)),
        };
        let Some((kinds, (mine, theirs))) = kinds.zip(pair.to_read(name)) else {
            all.push(None);
            continue;
        };
        let one = source.content(&mine, kinds.0.kind)?;
        let other = target.content(&theirs, kinds.1.kind)?;
        all.push(Some(Read {
            source: mine.to_string(),
            target: theirs.to_string(),
            compared: one.len(),
            unit: one.unit(),
            differences: content::differences(&one, &other),
        }));
    }
    Ok(all)
}

fn to_json(compared: &Comparison, contents: Option<&[Option<Read>]>) -> serde_json::Value {
    let pairs: Vec<_> = compared
        .pairs
        .iter()
        .enumerate()
        .map(|(at, pair)| {
            let mut value = pair.to_json();
            if let Some(contents) = contents {
                value["content"] = match contents.get(at) {
                    Some(Some(read)) => json!({
                        "source": read.source,
                        "target": read.target,
                        "compared": read.compared,
                        "differences": read.differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
                    }),
                    _ => json!(null),
                };
            }
            value
        })
        .collect();
    let only_target: Vec<_> = compared.only_target.iter().map(zfs_core::name::DatasetName::as_str).collect();
    json!({ "datasets": pairs, "only_target": only_target })
}

fn describe(
    compared: &Comparison,
    contents: Option<&[Option<Read>]>,
    (source, target): (&Place, &Place),
) -> String {
    let mut text = String::new();
    for (at, pair) in compared.pairs.iter().enumerate() {
        text.push_str(&format!("{} → {}\n", source.name(&pair.source), target.name(&pair.target)));
        text.push_str(&pair_text(pair));
        if let Some(contents) = contents {
            match contents.get(at) {
                Some(Some(read)) => text.push_str(&read_text(read)),
                _ => text.push_str("  content: NOT COMPARED, there is no such snapshot on both sides\n"),
            }
        }
    }
    for name in &compared.only_target {
        text.push_str(&format!("{}: only on the target\n", target.name(name)));
    }
    text
}

fn pair_text(pair: &Pair) -> String {
    let newest = pair.common.last().map(|(here, _)| format!("@{}", here.name.short()));
    let newest = newest.unwrap_or_else(|| "none".to_string());
    let mut text = match &pair.verdict {
        Verdict::Equal => format!("  equal: both have {newest} as their newest snapshot\n"),
        Verdict::Behind => {
            let base = pair.base.as_ref().map_or(newest, Base::short);
            format!("  behind, and consistent: a replication would go on from {base}\n")
        }
        Verdict::Missing => "  the target does not exist; a replication would make it\n".to_string(),
        Verdict::Stops(conflict) => {
            format!("  A REPLICATION WOULD STOP: {conflict}\n  hint: {}\n", conflict.hint())
        }
    };
    let s = if pair.common.len() == 1 { "" } else { "s" };
    text.push_str(&format!("  {} snapshot{s} in common", pair.common.len()));
    text.push_str(&some(", only on the source", &pair.source_only));
    text.push_str(&some(", only on the target", &pair.target_only));
    text.push('\n');
    let clashing: Vec<Snapshot> = pair.same_name.iter().map(|(here, _)| here.clone()).collect();
    if !clashing.is_empty() {
        text.push_str(&some("  the same name and another GUID", &clashing));
        text.push('\n');
    }
    if pair.source_written > 0 || pair.target_written > 0 {
        text.push_str(&format!(
            "  written since the newest snapshot: {} on the source, {} on the target\n",
            format::bytes(pair.source_written),
            format::bytes(pair.target_written)
        ));
    }
    if pair.partial {
        text.push_str("  the target waits for the rest of a stream: see `replicator tokens`\n");
    }
    text
}

/// `: 3 (@a … @c)`, or nothing.
fn some(title: &str, snapshots: &[Snapshot]) -> String {
    match snapshots {
        [] => String::new(),
        [one] => format!("{title}: 1 (@{})", one.name.short()),
        [first, .., last] => {
            format!("{title}: {} (@{} … @{})", snapshots.len(), first.name.short(), last.name.short())
        }
    }
}

fn read_text(read: &Read) -> String {
    let Read { source, target, compared, unit, differences } = read;
    if differences.is_empty() {
        return format!("  content: {compared} {unit} of {source} and {target} are equal\n");
    }
    let mut text = format!("  content: {source} and {target} DIFFER in {} of {unit}\n", differences.len());
    for one in differences.iter().take(SHOWN) {
        text.push_str(&format!("    {}: {}\n", one.what, one.how));
    }
    if differences.len() > SHOWN {
        text.push_str(&format!("    … and {} more (all with --json)\n", differences.len() - SHOWN));
    }
    text
}
