//! The checkout this program was compiled from, and what cargo makes of it: the agent that runs in nodes and
//! the release binaries.

use crate::error::{Context, Result, unfit};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|v| !v.is_empty()) {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Cargo, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the release binaries of a package; silent when they are up to date and when it succeeds.
pub fn build_release(package: &str) -> Result<()> {
    let status = cargo()
        .args(["build", "--quiet", "--release", "--bins", "--package", package])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context(|| "starting cargo")?;
    if status.success() {
        Ok(())
    } else {
        unfit(format!("`cargo build --release --package {package}` failed ({status})"))
    }
}

/// The folder of the release binaries: `LAB_BIN_DIR`, else cargo's, if `replicator` is in it.
pub fn bin_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("LAB_BIN_DIR").map_or_else(|| target_dir().join("release"), PathBuf::from);
    dir.join("replicator").is_file().then_some(dir)
}

/// The `lab` program, which is also the agent in a node: `LAB_AGENT`, else this program if it is that, else
/// built once.
pub fn agent() -> Result<PathBuf> {
    static BUILT: Mutex<bool> = Mutex::new(false);
    if let Some(path) = std::env::var_os("LAB_AGENT") {
        return Ok(path.into());
    }
    let me = std::env::current_exe().context(|| "asking for this program's path")?;
    if me.file_name().is_some_and(|n| n == "lab") {
        return Ok(me);
    }
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !*built {
        build_release("lab")?;
        *built = true;
    }
    Ok(target_dir().join("release/lab"))
}
