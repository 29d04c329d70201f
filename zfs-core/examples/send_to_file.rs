//! Writes a snapshot into a file, whole or from an earlier snapshot on, and checks every record on the way.
//!
//! `cargo run --example send_to_file -- tank/home@monday monday.zfs [tank/home@sunday]`

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;

use zfs_core::Zfs;
use zfs_core::name::SnapshotName;
use zfs_core::send::{SendFlags, SendRequest};
use zfs_core::stream::{Policy, StreamChecker};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [snapshot, file] => send(snapshot, file, None),
        [snapshot, file, from] => send(snapshot, file, Some(from)),
        _ => {
            eprintln!("usage: send_to_file SNAPSHOT FILE [FROM]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("send_to_file: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(snapshot: &str, file: &str, from: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let zfs = Zfs::open()?;
    let snapshot: SnapshotName = snapshot.parse()?;
    let request = match from {
        Some(from) => SendRequest::incremental(from.parse::<SnapshotName>()?, snapshot),
        None => SendRequest::full(snapshot),
    };
    let request = request.flags(SendFlags::COMPRESSED);
    println!("about {} bytes", zfs.estimate_send(&request)?);

    let mut stream = zfs.send(&request)?;
    let mut checker = StreamChecker::new(Policy::default());
    let mut file = File::create(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        checker.push(&buffer[..count])?;
        file.write_all(&buffer[..count])?;
    }
    checker.finish()?;
    file.sync_all()?;
    println!("{} bytes", stream.finish()?);
    Ok(())
}
