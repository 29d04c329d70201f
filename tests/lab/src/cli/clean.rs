//! `cargo lab clean`: removes what `cargo lab build` made.

use lab::cache::Cache;
use std::process::ExitCode;

pub(crate) fn run() -> lab::Result<ExitCode> {
    let cache = Cache::open()?;
    let dir = cache.dir().to_owned();
    cache.remove()?;
    eprintln!("removed {}", dir.display());
    Ok(ExitCode::SUCCESS)
}
