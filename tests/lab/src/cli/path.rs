//! `cargo lab path`: where parts of the lab are, for scripts and tests.

use lab::cache::{Cache, artifacts};
use lab::{Generation, LabError};
use std::process::ExitCode;

pub(crate) fn run(part: &str, generation: Generation) -> lab::Result<ExitCode> {
    let path = match part {
        "cache" => Cache::open()?.dir().to_owned(),
        "kernel" => artifacts(generation)?.kernel,
        "root" => artifacts(generation)?.root,
        "zfs-source" => artifacts(generation)?.zfs_source,
        "zfs-headers" => artifacts(generation)?.zfs_headers,
        "zfs-2.1-libs" => artifacts(generation)?.old_libs,
        other => {
            return Err(LabError::Unfit(format!(
                "the lab has no part {other:?}: kernel, root, zfs-source, zfs-headers, zfs-2.1-libs, cache"
            )));
        }
    };
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}
