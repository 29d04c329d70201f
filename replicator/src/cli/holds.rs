//! `replicator holds`.

use serde_json::json;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::format;
use super::places::left_out;
use crate::inspect::holds::Held;
use crate::inspect::holds::Owner;

/// Show the holds on snapshots of this machine: ours by process, and those of others.
///
/// A run holds the snapshots that it sends, and only as long as its process lives, so that none are left behind even
/// by a crash. One of ours whose process is gone is therefore a fault; --release removes those, and never a hold of
/// anybody else.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Datasets whose snapshots to look at; all pools when none is given.
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
}

const EXAMPLES: &str = "\
Examples:
  replicator holds
  replicator holds -r tank/data
  replicator holds -r tank/data --release";

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut roots = Vec::new();
    for name in &arguments.datasets {
        let name = DatasetName::try_from(name.as_str());
        roots.push(name.map_err(|error| Failure::new(Outcome::Usage, error.to_string()))?);
    }
    let zfs = Zfs::open()?;
    let recursive = arguments.recursive || roots.is_empty();
    if roots.is_empty() {
        roots = zfs.pools()?;
    }
    let mut all = Vec::new();
    for root in &roots {
        if recursive {
            for dataset in zfs.tree(root)? {
                of_dataset(&zfs, &dataset?.name, &mut all)?;
            }
        } else {
            of_dataset(&zfs, root, &mut all)?;
        }
    }
    let mut released = 0;
    if arguments.release {
        for held in all.iter().filter(|held| matches!(held.owner, Owner::Gone(_))) {
            zfs.release(&[(held.snapshot.clone(), held.tag.clone())])?;
            released += 1;
        }
    }
    print(&all, left_out(&arguments.datasets, arguments.recursive), released, arguments.json)?;
    Ok(Outcome::Success)
}

fn of_dataset(zfs: &Zfs, dataset: &DatasetName, all: &mut Vec<Held>) -> Result<(), Failure> {
    for found in zfs.snapshots_with_properties(dataset)? {
        let found = found?;
        // Asked for only where there are some; where the count is missing, it is asked for as well.
        if found.properties.number("userrefs") == Some(0) {
            continue;
        }
        let name = found.snapshot.name;
        for hold in zfs.holds(&name)? {
            all.push(Held::new(name.clone(), hold.tag, hold.created, runs));
        }
    }
    Ok(())
}

/// Whether a process of this machine is there. When that cannot be found out, it counts as there.
fn runs(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let Some(process) = process else { return false };
    rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
}

fn print(all: &[Held], left_out: &str, released: usize, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<_> = all.iter().map(Held::to_json).collect();
        return super::print(&format!("{:#}\n", json!({ "holds": list, "released": released })));
    }
    let row = |held: &Held| {
        let whose = match held.owner {
            Owner::Running(process) => format!("process {process}, running"),
            Owner::Gone(process) => format!("process {process}, gone"),
            Owner::Unknown => "of another version".to_string(),
            Owner::Other => String::new(),
        };
        vec![held.snapshot.to_string(), held.tag_text(), format::time(held.created), whose]
    };
    let (ours, others): (Vec<_>, Vec<_>) = all.iter().partition(|held| held.owner != Owner::Other);
    let mut text = String::new();
    if ours.is_empty() {
        text.push_str(&format!("no holds of ours{left_out}\n"));
    } else {
        text.push_str(&format::table(&["SNAPSHOT", "TAG", "CREATED", "OURS"], ours.into_iter().map(row)));
    }
    if !others.is_empty() {
        text.push_str("\nheld by others, which is never touched:\n");
        let rows = others.into_iter().map(|held| row(held)[..3].to_vec());
        text.push_str(&format::table(&["SNAPSHOT", "TAG", "CREATED"], rows));
    }
    if released > 0 {
        text.push_str(&format!("{released} released\n"));
    }
    super::print(&text)
}
