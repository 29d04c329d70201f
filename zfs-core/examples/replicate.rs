//! Replicates the newest snapshot of a dataset to a dataset in another pool of this machine: the whole snapshot where
//! there is no target yet, and what changed since the newest common snapshot where there is.
//!
//! `cargo run --example replicate -- tank/home backup/home`

use std::collections::HashSet;
use std::process::ExitCode;

use zfs_core::copy::stream_to_receiver;
use zfs_core::name::DatasetName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::{SendFlags, SendRequest};
use zfs_core::{Snapshot, Zfs};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = arguments.as_slice() else {
        eprintln!("usage: replicate SOURCE TARGET");
        return ExitCode::from(2);
    };
    match replicate(source, target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replicate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replicate(source: &str, target: &str) -> Result<(), Box<dyn std::error::Error>> {
    let zfs = Zfs::open()?;
    let (source, target): (DatasetName, DatasetName) = (source.parse()?, target.parse()?);
    let have = snapshots(&zfs, &source)?;
    let newest = have.last().ok_or("the source has no snapshot")?;

    let request = match zfs.find_dataset(&target)? {
        None => SendRequest::full(newest.name.clone()),
        Some(_) => {
            let there: HashSet<_> =
                snapshots(&zfs, &target)?.into_iter().map(|snapshot| snapshot.guid).collect();
            let base = have.iter().rev().find(|snapshot| there.contains(&snapshot.guid));
            let base = base.ok_or("the two have no snapshot in common; nothing was changed")?;
            if base.guid == newest.guid {
                println!("{target} is up to date");
                return Ok(());
            }
            SendRequest::incremental(base.name.clone(), newest.name.clone())
        }
    };

    let mut stream = zfs.send(&request.flags(SendFlags::COMPRESSED))?;
    let mut receiver = zfs.receive(ReceiveRequest::new(target.snapshot(newest.name.short())?));
    stream_to_receiver(&mut stream, &mut receiver, |_bytes| true)?;
    let received = receiver.finish()?;
    println!("{} guid {} from {} bytes", received.snapshot, received.guid, received.bytes);
    Ok(())
}

/// Oldest first.
fn snapshots(zfs: &Zfs, dataset: &DatasetName) -> Result<Vec<Snapshot>, zfs_core::Error> {
    let mut snapshots = zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
    snapshots.sort_by_key(|snapshot| snapshot.createtxg);
    Ok(snapshots)
}
