//! `--host`: the machine's own ZFS instead of a node. Nothing but the command is run, in a scratch folder
//! that goes away; whoever makes pools there makes them on files, under an altroot, without a cache file and
//! under a name no pool has ([`ScratchPool`]).

use crate::error::{Context, LabError, Result, unfit};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Fails unless this machine has ZFS.
pub fn need() -> Result<()> {
    if Path::new("/dev/zfs").exists() {
        return Ok(());
    }
    unfit(
        "--host needs this machine's own ZFS, and there is no /dev/zfs: load the zfs module, or leave --host out to use the lab's nodes",
    )
}

/// Runs a command in a scratch folder (also `LAB_SCRATCH` in its environment); 124 after the limit.
pub fn run(program: &OsString, args: &[OsString], limit: Option<Duration>) -> Result<i32> {
    need()?;
    let scratch = Scratch::new()?;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(&scratch.0)
        .env("LAB_SCRATCH", &scratch.0)
        .env("LAB_HOST", "1")
        .spawn()
        .context(|| format!("starting {}", program.to_string_lossy()))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context(|| "waiting for the command")? {
            use std::os::unix::process::ExitStatusExt;
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if limit.is_some_and(|l| start.elapsed() > l) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(124);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A pool on a file of the machine's own ZFS, destroyed when dropped.
#[derive(Debug)]
pub struct ScratchPool {
    name: String,
    scratch: Scratch,
}

impl ScratchPool {
    /// Makes a pool whose name begins with `replicator-lab-` and that no import ever finds by itself.
    pub fn create(purpose: &str, megabytes: u64) -> Result<Self> {
        need()?;
        let scratch = Scratch::new()?;
        let unique = scratch.0.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{unique}-{purpose}");
        let (file, altroot) = (scratch.0.join("vdev"), scratch.0.join("root"));
        fs::File::create(&file).and_then(|f| f.set_len(megabytes << 20)).on("making", &file)?;
        // `create` fails when a pool of that name exists, and touches nothing then.
        let output = Command::new("zpool")
            .args(["create", "-o", "cachefile=none", "-R"])
            .arg(&altroot)
            .args(["-O", "mountpoint=none", &name])
            .arg(&file)
            .output()
            .context(|| "starting zpool")?;
        if !output.status.success() {
            return Err(LabError::Unfit(format!(
                "zpool create {name}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        Ok(Self { name, scratch })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its datasets are mounted, once they have a mount point.
    pub fn altroot(&self) -> PathBuf {
        self.scratch.0.join("root")
    }
}

impl Drop for ScratchPool {
    fn drop(&mut self) {
        let _ = Command::new("zpool").args(["destroy", "-f", &self.name]).status();
    }
}

#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("replicator-lab-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).on("making", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
