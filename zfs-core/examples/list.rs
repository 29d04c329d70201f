//! Lists a dataset and everything below it with its snapshots.
//!
//! `cargo run --example list -- tank`

use std::process::ExitCode;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

fn main() -> ExitCode {
    let Some(root) = std::env::args().nth(1) else {
        eprintln!("usage: list DATASET");
        return ExitCode::from(2);
    };
    match list(&root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("list: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list(root: &str) -> Result<(), Box<dyn std::error::Error>> {
    let root: DatasetName = root.parse()?;
    let zfs = Zfs::open()?;
    for dataset in zfs.tree(&root)? {
        let dataset = dataset?;
        let used = dataset.properties.number("used").unwrap_or(0);
        println!("{} {} {used} bytes", dataset.kind, dataset.name);
        let mut snapshots = zfs.snapshots(&dataset.name)?.collect::<Result<Vec<_>, _>>()?;
        snapshots.sort_by_key(|snapshot| snapshot.createtxg);
        for snapshot in snapshots {
            println!("  @{} guid {}", snapshot.name.short(), snapshot.guid);
        }
    }
    Ok(())
}
