//! `replicator holds`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::connect::SshArguments;
use super::format;
use super::places::left_out;
use super::places::places;
use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use crate::endpoint::Machine;
use crate::inspect::holds::Held;
use crate::inspect::holds::Owner;

/// Show the holds on snapshots: ours by process, and those of others.
///
/// A run holds the snapshots that it sends, and only as long as its process lives, so that none are left behind even
/// by a crash. One of ours whose process is gone is therefore a fault; --release removes those, and never a hold of
/// anybody else.
///
/// Whether a process of another machine runs only an agent there can tell (--far-end agent; --release needs one that
/// was started with --allow release). Without it those of ours are listed, and stay.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Datasets whose snapshots to look at, here or as HOST:POOL/DATASET; all pools of this machine when none is given.
    #[arg(value_name = "DATASET")]
    datasets: Vec<String>,

    /// Also everything below them.
    #[arg(short, long)]
    recursive: bool,

    /// Release the holds of ours whose process is gone.
    #[arg(long)]
    release: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ssh: SshArguments,
}

const EXAMPLES: &str = "\
Examples:
  replicator holds
  replicator holds -r tank/data
  replicator holds -r tank/data --release
  replicator holds -r root@nas:tank/data --far-end agent";

/// A hold, and the machine that it is on.
type Shown = (Option<Machine>, Held);

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut all: Vec<Shown> = Vec::new();
    let mut released = 0;
    for place in &mut places(&arguments.datasets, arguments.recursive, &arguments.ssh, cancel)? {
        let found = place.holds()?;
        let gone = found.iter().filter(|held| matches!(held.owner, Owner::Gone(_)));
        let gone: Vec<_> = gone.map(|held| (held.snapshot.clone(), held.tag.clone())).collect();
        all.extend(found.into_iter().map(|held| (place.endpoint.machine.clone(), held)));
        if arguments.release && !gone.is_empty() {
            place.host.release(&gone)?;
            released += gone.len();
        }
    }
    print(&all, left_out(&arguments.datasets, arguments.recursive), released, arguments.json)?;
    Ok(Outcome::Success)
}

/// As it is named on the command line.
fn name((machine, held): &Shown) -> String {
    let dataset = held.snapshot.dataset().clone();
    format!("{}@{}", Endpoint { machine: machine.clone(), dataset }, held.snapshot.short())
}

fn print(all: &[Shown], left_out: &str, released: usize, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<_> = all
            .iter()
            .map(|shown| {
                let mut value = shown.1.to_json();
                value["snapshot"] = json!(name(shown));
                value
            })
            .collect();
        return super::print(&format!("{:#}\n", json!({ "holds": list, "released": released })));
    }
    let row = |shown: &Shown| {
        let held = &shown.1;
        let whose = match held.owner {
            Owner::Running(process) => format!("process {process}, running"),
            Owner::Gone(process) => format!("process {process}, gone"),
            Owner::Unseen(process) => format!("process {process} there, not known whether it runs"),
            Owner::Unknown => "of another version".to_string(),
            Owner::Other => String::new(),
        };
        vec![name(shown), held.tag_text(), held.created.map_or_else(|| "-".to_string(), format::time), whose]
    };
    let (ours, others): (Vec<_>, Vec<_>) = all.iter().partition(|(_, held)| held.owner != Owner::Other);
    let mut text = String::new();
    if ours.is_empty() {
        text.push_str(&format!("no holds of ours{left_out}\n"));
    } else {
        text.push_str(&format::table(&["SNAPSHOT", "TAG", "CREATED", "OURS"], ours.into_iter().map(row)));
    }
    if !others.is_empty() {
        text.push_str("\nheld by others, which is never touched:\n");
        let rows = others.into_iter().map(|shown| row(shown)[..3].to_vec());
        text.push_str(&format::table(&["SNAPSHOT", "TAG", "CREATED"], rows));
    }
    if released > 0 {
        text.push_str(&format!("{released} released\n"));
    }
    super::print(&text)
}
