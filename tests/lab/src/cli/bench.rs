//! `cargo lab bench`: runs the suites of `zfs-bench` where each belongs, two nodes or this machine, and has tables and
//! charts made of what comes out, also where some of them failed; then it fails itself in the end. What is measured, and how,
//! is the business of the crate `benches`.

use super::{Zfs, stream_out};
use clap::Args;
use clap::builder::PossibleValuesParser;
use lab::{Cluster, LabError, Result, host_zfs, workspace};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Suites that need ZFS, in the order in which they run without a choice.
const WITH_ZFS: &[&str] =
    &["noop", "increment", "first", "local", "ssh", "memory", "listing", "taking", "slow-link"];

/// Suites that run on this machine in any case: processes and system calls cost there what they cost.
const WITHOUT_ZFS: &[&str] = &["planning", "transport"];

/// What programs of others are compared with, beside those of the root file system. Their dependencies are named as well,
/// because zfs-autobackup asks for an `argparse` that hides Python's own.
const PYTHON: &[&str] = &["bzfs==1.25.0", "zfs-autobackup==3.3", "colorama==0.4.6"];

/// Where a node sees them.
const PYTHON_IN_NODE: &str = "/opt/bench-python";

/// Memory of each node, in MB.
const MEMORY: u64 = 3072;

#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    zfs: Zfs,
    /// What is measured; everything when nothing is named.
    #[arg(value_name = "SUITE", value_parser = PossibleValuesParser::new(WITH_ZFS.iter().chain(WITHOUT_ZFS)))]
    suites: Vec<String>,
    /// How often everyone does everything. Fewer than 5 give no verdict.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// The folder for results.json, results.md and the charts.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Use this machine's own ZFS, on pools in files, instead of nodes.
    #[arg(long)]
    host: bool,
    /// With --host, what counts as the other machine: root must get in there with a key. It may be localhost.
    #[arg(long, value_name = "HOST", requires = "host")]
    far: Option<String>,
    /// Memory of each node, in MB.
    #[arg(long, value_name = "MB", default_value_t = MEMORY)]
    memory: u64,
    /// Sizes, such as `datasets=41 megabytes=800`; `zfs-bench run --help` names them.
    #[arg(last = true, value_name = "NAME=NUMBER")]
    sizes: Vec<String>,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.host && self.wanted(WITH_ZFS).next().is_some() {
            host_zfs::need()?;
        }
        // Whoever names a folder has built what is in it.
        if std::env::var_os("LAB_BIN_DIR").is_none() {
            workspace::build_release("zfs-replicator")?;
            workspace::build_release("benches")?;
        }
        let Some(program) =
            workspace::bin_dir().map(|dir| dir.join("zfs-bench")).filter(|path| path.is_file())
        else {
            return Err(LabError::Unfit("there is no zfs-bench beside replicator".into()));
        };
        let out = self.out.clone().unwrap_or_else(|| workspace::target_dir().join("bench"));
        let out = std::path::absolute(&out).unwrap_or(out);
        io_on("making", &out, fs::create_dir_all(&out))?;
        let (mut parts, mut failures) = (Vec::new(), Vec::new());
        let mut done = |part: PathBuf, ran: Result<()>| {
            if let Err(error) = ran {
                eprintln!("lab: {error}");
                failures.push(error.to_string());
            }
            // What was measured before it failed.
            if part.is_file() {
                parts.push(part);
            }
        };
        let with_zfs: Vec<&str> = self.wanted(WITH_ZFS).collect();
        if !with_zfs.is_empty() {
            let part = fresh(&out, if self.host { "zfs" } else { "nodes" })?;
            let ran = if self.host {
                self.on_host(&program, &part, &with_zfs, true)
            } else {
                self.in_nodes(&out, &with_zfs)
            };
            done(part, ran);
        }
        let without: Vec<&str> = self.wanted(WITHOUT_ZFS).collect();
        if !without.is_empty() {
            let part = fresh(&out, "machine")?;
            let ran = self.on_host(&program, &part, &without, false);
            done(part, ran);
        }
        if !parts.is_empty() {
            succeed(Command::new(&program).args(["report", "--out"]).arg(&out).args(&parts))?;
            for part in &parts {
                io_on("removing", part, fs::remove_file(part))?;
            }
            println!("{}", out.join("results.md").display());
        }
        if failures.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(LabError::Unfit(format!("not all was measured: {}", failures.join("; "))))
    }

    /// Of some suites, those that were asked for.
    fn wanted(&self, of: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
        of.iter()
            .copied()
            .filter(|suite| self.suites.is_empty() || self.suites.iter().any(|wanted| wanted == suite))
    }

    /// The arguments of `zfs-bench run` that are the same everywhere.
    fn arguments(&self, result: &Path, suites: &[&str], more: &[&str]) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["run".into(), "--rounds".into(), self.rounds.to_string().into()];
        all.extend(["--out".into(), result.into()]);
        all.extend(more.iter().chain(suites).map(OsString::from));
        all.push("--".into());
        all.extend(self.sizes.iter().map(OsString::from));
        all
    }

    /// Leaves what it has measured in `nodes.json` in the folder.
    fn in_nodes(&self, out: &Path, suites: &[&str]) -> Result<()> {
        lab::build::ensure(self.zfs.generation, false)?;
        let python = python();
        let mut builder = Cluster::builder().nodes(2).zfs(self.zfs.generation).memory(self.memory).share(out);
        let mut more = vec!["--node", "--far", "root@node2", "--disks", "/dev/ubdb,/dev/ubdc,/dev/ubdb"];
        if let Some(folder) = &python {
            builder = builder.mount(folder, PYTHON_IN_NODE, false);
            more.extend(["--python", PYTHON_IN_NODE]);
        }
        let cluster = builder.boot()?;
        let arguments = self.arguments(Path::new("/share/nodes.json"), suites, &more);
        let command = cluster
            .node(1)
            .command(format!("{}/zfs-bench", lab::cluster::RELEASE_DIR))
            .args(arguments)
            .env("ZFS_BENCH_COMMIT", commit())
            .env("ZFS_BENCH_HOST", machine())
            .limit(None);
        let status = stream_out(command)?;
        if status.success() { Ok(()) } else { failed(&status.to_string()) }
    }

    /// Leaves what it has measured in `result`.
    fn on_host(&self, program: &Path, result: &Path, suites: &[&str], zfs: bool) -> Result<()> {
        let mut more = Vec::new();
        let python = if zfs { python() } else { None };
        if let Some(folder) = python.as_ref().and_then(|folder| folder.to_str()) {
            more.extend(["--python", folder]);
        }
        if let Some(far) = &self.far {
            more.extend(["--far", far]);
        }
        let mut command = Command::new(program);
        command.args(self.arguments(result, suites, &more)).env("ZFS_BENCH_COMMIT", commit());
        succeed(&mut command)
    }
}

/// The file for a part of the results. One that an earlier run left behind is not taken for what this one measures.
fn fresh(out: &Path, name: &str) -> Result<PathBuf> {
    let part = out.join(format!("{name}.json"));
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => io_on("removing", &part, Err(error)),
        _ => Ok(part),
    }
}

/// The folder with the Python packages, filled once; none, with a line that says why, where that fails.
fn python() -> Option<PathBuf> {
    let folder =
        workspace::target_dir().join(format!("bench-python-{}", lab::recipe::hash(&PYTHON.concat())));
    if folder.is_dir() {
        return Some(folder);
    }
    let new = folder.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    eprintln!("lab: fetching {} from PyPI into {}", PYTHON.join(", "), folder.display());
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]);
    pip.arg("--target").arg(&new).args(PYTHON).stdin(Stdio::null());
    let done = pip.status().is_ok_and(|status| status.success()) && fs::rename(&new, &folder).is_ok();
    if !done {
        eprintln!("lab: bzfs and zfs-autobackup are left out: pip could not install them");
    }
    done.then_some(folder)
}

/// The commit of this checkout, marked where something in it was changed.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(workspace::root()).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    match (git(&["rev-parse", "--short", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        (None, _) => "unknown".into(),
    }
}

/// This machine, as far as a node cannot see it.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "{}, {processors} processors, load before {}",
        model.unwrap_or("an unknown processor"),
        load.join(" ")
    )
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = io_on("starting", Path::new(command.get_program()), status)?;
    if status.success() { Ok(()) } else { failed(&status.to_string()) }
}

fn failed<T>(status: &str) -> Result<T> {
    Err(LabError::Unfit(format!("zfs-bench failed ({status}); what it says is above")))
}

fn io_on<T>(verb: &str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| LabError::Io { what: format!("{verb} {}", path.display()), source })
}
