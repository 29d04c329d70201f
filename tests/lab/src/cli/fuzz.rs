//! The fuzz targets of `zfs-core`, for a minute each (`--long`: ten). They are a workspace of their own, built with
//! coverage counters; how is in `zfs-core/fuzz/README.md`.

use lab::workspace;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The targets, each a program in `zfs-core/fuzz/src/bin`.
const TARGETS: &[&str] = &["nvlist", "token", "stream"];

/// How long each runs.
pub(super) fn duration(long: bool) -> Duration {
    Duration::from_secs(if long { 600 } else { 60 })
}

/// Runs all targets at once and gives the names of those with a finding.
pub(super) fn run(time: Duration) -> lab::Result<(usize, Vec<String>)> {
    let target_dir = workspace::target_dir().join("fuzz");
    build(&target_dir)?;
    let mut running = Vec::new();
    for target in TARGETS {
        running.push((target, start(target, &target_dir, time)?));
    }
    let mut broken = Vec::new();
    for (target, mut child) in running {
        let ended =
            child.wait().map_err(|e| lab::LabError::Unfit(format!("the fuzz target {target}: {e}")))?;
        let log = fs::read_to_string(target_dir.join(format!("{target}.log"))).unwrap_or_default();
        let rounds = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("{target}: {} inputs, {ended}", rounds.map_or("no", str::trim));
        // A target that tried nothing has found nothing out.
        if !ended.success() || rounds.is_none() {
            let tail: Vec<_> = log.lines().rev().take(25).collect();
            tail.iter().rev().for_each(|line| println!("    {line}"));
            println!("    the input is {}", target_dir.join(format!("{target}-crash-…")).display());
            broken.push((*target).to_owned());
        }
    }
    Ok((TARGETS.len() - broken.len(), broken))
}

fn build(target_dir: &Path) -> lab::Result<()> {
    let built = cargo(target_dir).args(["build", "--quiet", "--release", "--bins"]).status();
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(lab::LabError::Unfit(format!("building the fuzz targets: {status}"))),
        Err(e) => Err(lab::LabError::Unfit(format!("starting cargo: {e}"))),
    }
}

fn start(target: &str, target_dir: &Path, time: Duration) -> lab::Result<Child> {
    let corpus = target_dir.join("corpus").join(target);
    let fail = |e| lab::LabError::Unfit(format!("starting the fuzz target {target}: {e}"));
    fs::create_dir_all(&corpus).map_err(fail)?;
    let log = fs::File::create(target_dir.join(format!("{target}.log"))).map_err(fail)?;
    cargo(target_dir)
        .args(["run", "--quiet", "--release", "--bin", target, "--"])
        .arg(format!("-max_total_time={}", time.as_secs()))
        .args(["-max_len=65536", "-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/{target}-", target_dir.display()))
        .arg(corpus)
        .arg(format!("seeds/{target}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(fail)
}

/// Its folder decides about the flags, so nothing of ours may.
fn cargo(target_dir: &Path) -> Command {
    let mut command = workspace::cargo();
    command.current_dir(workspace::root().join("zfs-core/fuzz")).env("CARGO_TARGET_DIR", target_dir);
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}
