//! `replicator monitor metrics`.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::Check;
use super::DAYS;
use super::Failure;
use super::From;
use super::Gatherer;
use super::Outcome;
use super::gather::OfPool;
use super::gather::to_verify;
use crate::codes::Code;
use crate::config::Config;
use crate::config::load::Location;
use crate::monitor::Level;
use crate::monitor::metrics;
use crate::monitor::metrics::Facts;
use crate::monitor::runs;
use crate::monitor::textfile;
use crate::verify::memory::Verified;

/// Write numbers for Prometheus, as its node exporter collects them from files.
///
/// The file goes where the configuration says (`metrics_file`), and is replaced as a whole; without one, and without
/// --output, it is printed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  replicator monitor metrics\n  replicator monitor metrics --output /var/lib/prometheus/node-exporter/replicator.prom"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    from: From,

    /// The file to write; `-` prints.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How many seconds all of it may take. What did not answer by then is not in the file, and the check that needs it
    /// is UNKNOWN or CRITICAL there.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let text = text(&config, &arguments.from.location(), Duration::from_secs(arguments.timeout))?;
    let output = arguments.output.as_ref().or(config.folders.metrics.as_ref());
    match output.filter(|path| path.as_os_str() != "-") {
        None => crate::cli::print(&text)?,
        Some(path) => write(path, &text)?,
    }
    Ok(Outcome::Success)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    textfile::write(path, text).map_err(|error| {
        let hint = "the folder must exist; it is the one that the node exporter looks into".to_string();
        Failure::new(Code::Output, format!("cannot write {}: {error}", path.display())).hinted(hint)
    })
}

/// Writes the file that the configuration wants, at the end of a run.
pub(in crate::cli) fn refresh(config: &Config, location: &Location) -> Result<(), Failure> {
    let Some(path) = &config.folders.metrics else { return Ok(()) };
    write(path, &text(config, location, Duration::from_secs(60))?)
}

/// The numbers of this machine.
fn text(config: &Config, location: &Location, timeout: Duration) -> Result<String, Failure> {
    let gatherer = Gatherer::new(config, location, timeout)?;
    let (pools, ways) = gatherer.everything()?;
    let level = |check| gatherer.judge(check, &pools).level;
    // Only root may read it.
    let memory = Verified::read(&config.folders.state).unwrap_or_default();
    let copies = to_verify(config, &memory);
    let verified: Vec<_> =
        copies.iter().flat_map(|one| one.checked.iter().map(move |checked| (one.target, *checked))).collect();
    let checks: [(&str, Level); 5] = [
        ("snapshots", level(Check::Snapshots)),
        ("health", level(Check::Health)),
        ("capacity", level(Check::Capacity)),
        ("replication", gatherer.replication(&ways).level),
        ("verified", gatherer.report(Check::Verified(DAYS)).level),
    ];
    let datasets: Vec<_> = pools.iter().flat_map(|one: &OfPool| one.datasets.iter().cloned()).collect();
    let states: Vec<_> = pools.iter().map(|one| (one.name.clone(), one.pool.clone())).collect();
    // Only root may read these.
    let mut runs = runs::last(&config.folders.state).unwrap_or_default();
    runs::with_verify(&mut runs, memory.last.as_ref());
    let paused = gatherer.paused().unwrap_or_default();
    Ok(metrics::render(&Facts {
        datasets: &datasets,
        pools: &states,
        ways: &ways,
        checks: &checks,
        runs: &runs,
        verified: &verified,
        paused: &paused,
        now: gatherer.now(),
    }))
}
