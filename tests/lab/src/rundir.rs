//! The folders of running clusters: one each, locked while its owner lives, so that whatever an interrupted
//! run left is found and removed by the next one. The locks also count memory: a cluster waits until all
//! clusters of all processes fit into this machine together, and gives each node a processor.

use crate::cache::Cache;
use crate::cpu;
use crate::error::{Context, Result, unfit};
use crate::interrupt;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Guest memory is a file on this file system.
const SHM: &str = "/dev/shm";

/// When waiting for memory says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster's folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// A processor for each node.
    cpus: Vec<usize>,
    _lock: File,
}

impl RunDir {
    /// Makes a folder once so much memory is free, waiting for other clusters to end.
    pub(crate) fn reserve(cache: &Cache, megabytes: u64, nodes: usize) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let budget = budget()?;
        if megabytes > budget {
            return unfit(format!(
                "these nodes want {megabytes} MB of memory, the lab may use {budget} MB here: ask for fewer or smaller nodes"
            ));
        }
        let run = cache.run_dir();
        fs::create_dir_all(&run).on("making", &run)?;
        let start = Instant::now();
        let mut said = false;
        loop {
            let guard = cache.lock("run", || ())?;
            let (used, taken) = sweep(&run)?;
            if used + megabytes <= budget {
                let path =
                    run.join(format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
                fs::create_dir(&path).on("making", &path)?;
                let lock = File::create(path.join("lock")).on("making a lock in", &path)?;
                lock.lock().on("locking", &path)?;
                fs::write(path.join("memory"), megabytes.to_string()).on("writing in", &path)?;
                let cpus = cpu::choose(&cpu::usable()?, &taken, nodes);
                fs::write(path.join("cpus"), cpu::to_text(&cpus)).on("writing in", &path)?;
                interrupt::add(&path);
                return Ok(Self { path, cpus, _lock: lock });
            }
            drop(guard);
            if !said && start.elapsed() > PATIENCE {
                said = true;
                eprintln!(
                    "lab: waiting for memory: {megabytes} MB wanted, {used} of {budget} MB in use by other nodes"
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The processor of a node, counted from 0.
    pub(crate) fn cpu(&self, node: usize) -> Option<usize> {
        self.cpus.get(node).copied()
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        interrupt::remove(&self.path);
    }
}

/// Removes what dead owners left, and returns the memory that the living ones reserved, and the processors of their nodes.
fn sweep(run: &Path) -> Result<(u64, Vec<usize>)> {
    let (mut used, mut cpus) = (0, Vec::new());
    for entry in fs::read_dir(run).on("listing", run)? {
        let path = entry.on("listing", run)?.path();
        let Ok(lock) = File::open(path.join("lock")) else {
            // Being removed by its owner at this moment, or broken: nobody makes folders while we hold the
            // lock.
            let _ = fs::remove_dir_all(&path);
            continue;
        };
        if lock.try_lock().is_err() {
            used += fs::read_to_string(path.join("memory")).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
            cpus.extend(fs::read_to_string(path.join("cpus")).iter().flat_map(|text| cpu::from_text(text)));
            continue;
        }
        for node in fs::read_dir(&path).into_iter().flatten().flatten() {
            kill_left_over(&node.path());
        }
        let _ = fs::remove_dir_all(&path);
    }
    Ok((used, cpus))
}

/// Nodes die with their owner; this is for the case that the system was too slow to do it. The number may
/// belong to someone else by now, so the process must name the folder on its command line.
fn kill_left_over(node: &Path) {
    let Ok(text) = fs::read_to_string(node.join("pid")) else { return };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return };
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let name = format!("LABDIR={}", node.display());
    if line.split(|b| *b == 0).any(|arg| arg == name.as_bytes()) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// What all nodes of all processes together may use, in MB.
pub fn budget() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").context(|| "reading /proc/meminfo")?;
    let total = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let shm = rustix::fs::statvfs(SHM).context(|| format!("asking for the size of {SHM}"))?;
    let shm = shm.f_blocks.saturating_mul(shm.f_frsize) >> 20;
    Ok(total.map_or(shm, |t| shm.min(t >> 10)) * 4 / 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_cluster_waits_until_another_gives_its_memory_back() {
        let dir = std::env::temp_dir().join(format!("lab-budget-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let cache = Cache::at(&dir);
        // More than half, so that two never fit.
        let share = budget().unwrap() * 6 / 10;
        assert!(RunDir::reserve(&cache, budget().unwrap() + 1, 1).is_err());
        let first = RunDir::reserve(&cache, share, 1).unwrap();
        let (done, second) = channel();
        let thread = std::thread::spawn(move || {
            let second = RunDir::reserve(&cache, share, 1).unwrap();
            done.send(second.path().to_owned()).unwrap();
        });
        assert!(second.recv_timeout(Duration::from_millis(500)).is_err(), "both at once");
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
        assert_ne!(second.recv().unwrap(), path);
        thread.join().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
