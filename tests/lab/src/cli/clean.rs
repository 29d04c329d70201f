//! `cargo lab clean`: removes what `cargo lab build` made.

use lab::Generation;
use lab::cache::Cache;
use std::process::ExitCode;

/// Everything, or what only this generation uses.
pub(crate) fn run(generation: Option<Generation>) -> lab::Result<ExitCode> {
    let cache = Cache::open()?;
    let dir = cache.dir().to_owned();
    match generation {
        Some(generation) => {
            cache.remove_generation(generation)?;
            eprintln!("removed {generation} from {}", dir.display());
        }
        None => {
            cache.remove()?;
            eprintln!("removed {}", dir.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
