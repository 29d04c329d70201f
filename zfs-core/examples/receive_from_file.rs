//! Receives a stream from a file into a snapshot. The dataset is not mounted, and stays read-only.
//!
//! `cargo run --example receive_from_file -- monday.zfs backup/home@monday`

use std::fs::File;
use std::process::ExitCode;

use zfs_core::receive::ReceiveRequest;
use zfs_core::{PropertySet, Zfs};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, snapshot] = arguments.as_slice() else {
        eprintln!("usage: receive_from_file FILE SNAPSHOT");
        return ExitCode::from(2);
    };
    match receive(file, snapshot) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receive_from_file: {error}");
            ExitCode::FAILURE
        }
    }
}

fn receive(file: &str, snapshot: &str) -> Result<(), Box<dyn std::error::Error>> {
    let zfs = Zfs::open()?;
    let read_only = PropertySet::new().text("readonly", "on");
    let mut receiver = zfs.receive(ReceiveRequest::new(snapshot.parse()?).set(&read_only));
    std::io::copy(&mut File::open(file)?, &mut receiver)?;
    let received = receiver.finish()?;
    println!("{} guid {} from {} bytes", received.snapshot, received.guid, received.bytes);
    Ok(())
}
