//! Takes a snapshot of several datasets of one pool at the same instant, with a note on each.
//!
//! `cargo run --example snapshot -- before-upgrade tank/home tank/mail`

use std::process::ExitCode;

use zfs_core::name::{DatasetName, SnapshotName};
use zfs_core::{PropertySet, Zfs};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, datasets @ ..] = arguments.as_slice() else {
        eprintln!("usage: snapshot NAME DATASET...");
        return ExitCode::from(2);
    };
    match snapshot(name, datasets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("snapshot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn snapshot(name: &str, datasets: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let zfs = Zfs::open()?;
    let snapshots = datasets
        .iter()
        .map(|dataset| dataset.parse::<DatasetName>()?.snapshot(name))
        .collect::<Result<Vec<SnapshotName>, _>>()?;
    zfs.snapshot(&snapshots, &PropertySet::new().text("org.example:reason", "an example"))?;
    for snapshot in snapshots {
        println!("{snapshot}");
    }
    Ok(())
}
