//! `replicator tokens`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::connect::SshArguments;
use super::format;
use super::places::Place;
use super::places::left_out;
use super::places::places;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::host::Change;
use crate::inspect::tokens;
use crate::inspect::tokens::Waiting;

/// Show partial receives: transfers that broke off and wait to go on.
///
/// For each, what its resume token says: the snapshot, how many bytes have arrived, whether the stream was raw. With
/// --source, also whether that source still has what it takes to go on, by the rules of `replicate`; then, or when a
/// token cannot be read, the exit status is 3.
///
/// `replicate` goes on with a partial receive by itself. Nothing needs to be done here unless it says that it cannot.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Datasets that may have one, here or as HOST:POOL/DATASET; all pools of this machine when none is given.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Also everything below them.
    #[arg(short, long)]
    recursive: bool,

    /// Where the stream came from; needs exactly one DATASET, its replica.
    #[arg(long, value_name = "SRC")]
    source: Option<String>,

    /// Throw the partial receive of this dataset away, after showing it. Snapshots are never touched.
    #[arg(long, value_name = "DATASET", conflicts_with_all = ["datasets", "recursive", "source"])]
    discard: Option<String>,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator tokens
  replicator tokens -r root@nas:backup/data --source tank/data
  replicator tokens --discard backup/data";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    if let Some(dataset) = &arguments.discard {
        return discard(arguments, dataset, cancel);
    }
    let mut places = places(&arguments.datasets, arguments.recursive, &arguments.ssh, cancel)?;
    let mut all = Vec::new();
    match (&arguments.source, places.as_mut_slice()) {
        (None, places) => {
            for place in places {
                let tree = place.tree()?;
                all.extend(tokens::waiting(&tree).into_iter().map(|one| (place.name(&one.dataset), one)));
            }
        }
        (Some(source), [place]) => {
            let mut source = Place::new(source.parse()?, arguments.recursive, &arguments.ssh, cancel)?;
            let (source, tree) = (source.tree()?, place.tree()?);
            let waiting = tokens::against(&source, &tree, arguments.recursive);
            all.extend(waiting.into_iter().map(|one| (place.name(&one.dataset), one)));
        }
        (Some(_), _) => {
            return Err(Failure::new(Outcome::Usage, "--source needs exactly one DATASET"));
        }
    }
    print(&all, left_out(&arguments.datasets, arguments.recursive), arguments.json)?;
    let stuck = all.iter().any(|(_, one)| one.is_stuck());
    Ok(if stuck { Outcome::Conflict } else { Outcome::Success })
}

fn print(all: &[(String, Waiting)], left_out: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<_> = all
            .iter()
            .map(|(name, one)| {
                let mut value = one.to_json();
                value["dataset"] = json!(name);
                value
            })
            .collect();
        return super::print(&format!("{:#}\n", json!({ "partial_receives": list })));
    }
    if all.is_empty() {
        return super::print(&format!("no partial receives{left_out}\n"));
    }
    super::print(&all.iter().map(|(name, one)| describe(name, one)).collect::<String>())
}

fn describe(name: &str, one: &Waiting) -> String {
    let mut text = format!("{name}\n");
    match &one.partial.content {
        Ok(content) => {
            let from = content.from_guid.map_or_else(
                || "a full stream".to_string(),
                |guid| format!("a stream from the snapshot with GUID {guid}"),
            );
            let raw = if content.raw { ", raw" } else { "" };
            text.push_str(&format!(
                "  waits for the rest of {from} to the one with GUID {}{raw}; {} have arrived\n",
                content.to_guid,
                format::bytes(content.bytes)
            ));
            if content.foreign {
                text.push_str("  it is redacted, or asks for something this program does not know: it is never resumed by it\n");
            }
        }
        Err(why) => text.push_str(&format!("  its token cannot be read: {why}\n")),
    }
    match &one.resumable {
        None => {}
        Some(Ok(stream)) => text.push_str(&format!("  the source can go on with it: {stream}\n")),
        Some(Err(why)) => text.push_str(&format!("  the source cannot go on with it: {why}\n")),
    }
    text
}

fn discard(arguments: &Arguments, dataset: &str, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut place = Place::new(dataset.parse()?, false, &arguments.ssh, cancel)?;
    let tree = place.tree()?;
    let Some(waiting) = tokens::waiting(&tree).pop() else {
        let message = format!("{} has no partial receive", place.endpoint);
        return Err(Failure::new(Code::NoPartial, message));
    };
    let (name, dataset, partial) =
        (place.name(&waiting.dataset), waiting.dataset.clone(), waiting.partial.clone());
    print(&[(name, waiting)], "", arguments.json)?;
    place.host.apply(&Change::DiscardPartial { dataset, partial })?;
    if !arguments.json {
        super::print("  thrown away\n")?;
    }
    Ok(Outcome::Success)
}
