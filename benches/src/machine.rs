//! The machine that results come from: what they cannot be read without.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use crate::error::Context;
use crate::error::Result;
use crate::stats;

/// How many processes the cost of one is measured with.
const FORKS: usize = 40;

/// How many system calls the cost of one is measured with.
const CALLS: u32 = 100_000;

/// A machine and what ran on it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// Whether it is a node of the lab, where processes and system calls are dear.
    pub node: bool,
    /// Of a node: the machine that it is a process of, with its load before.
    pub host: Option<String>,
    /// The processor.
    pub cpu: String,
    /// How many of them.
    pub cpus: usize,
    /// Memory in MB.
    pub memory: u64,
    /// The kernel.
    pub kernel: String,
    /// OpenZFS, in the program and in the kernel.
    pub zfs: String,
    /// ssh here.
    pub ssh: String,
    /// The commit of this project.
    pub commit: String,
    /// When, in UTC.
    pub date: String,
    /// The load of the machine just before: what else was going on.
    pub load: String,
    /// What starting a small program and waiting for it costs, in milliseconds.
    pub fork_exec_ms: f64,
    /// What a small system call costs, in microseconds.
    pub system_call_us: f64,
    /// What it is compared with: names and versions.
    pub programs: Vec<(String, String)>,
}

impl Machine {
    /// Describes this one.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn here(node: bool, programs: Vec<(String, String)>) -> Result<Self> {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |text: &str, name: &str| {
            text.lines().find_map(|line| {
                Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_string())
            })
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Self {
            node,
            host: std::env::var("ZFS_BENCH_HOST").ok(),
            cpu: field(&cpuinfo, "model name")
                .or_else(|| field(&cpuinfo, "host"))
                .unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
            zfs: first_lines("zfs", &["version"]).unwrap_or_else(|| "none".into()),
            ssh: first_lines("ssh", &["-V"]).unwrap_or_else(|| "none".into()),
            commit: std::env::var("ZFS_BENCH_COMMIT").unwrap_or_else(|_| "unknown".into()),
            date: jiff::Timestamp::now().strftime("%F %H:%M UTC").to_string(),
            load: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            fork_exec_ms: fork_exec()? * 1e3,
            system_call_us: system_call() * 1e6,
            programs,
        })
    }
}

/// The median time of `/bin/true`.
fn fork_exec() -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..FORKS {
        let began = Instant::now();
        Command::new("/bin/true").status().context(|| "starting /bin/true".to_string())?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(stats::median(&times).unwrap_or(0.0))
}

fn system_call() -> f64 {
    let began = Instant::now();
    for _ in 0..CALLS {
        black_box(rustix::process::getppid());
    }
    began.elapsed().as_secs_f64() / f64::from(CALLS)
}

/// The first two lines that a program says of itself, on either stream; nothing where it is not there.
pub fn first_lines(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    let text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described() {
        let machine = Machine::here(false, Vec::new()).expect("a machine");
        assert!(machine.fork_exec_ms > 0.0 && machine.system_call_us > 0.0);
        assert!(machine.memory > 0 && !machine.kernel.is_empty(), "{machine:?}");
        assert_eq!(first_lines("/no/such/program", &[]), None);
    }
}
