//! `replicator report`: a page for a browser. What is asked is here, the page is in [`page`], its charts in [`chart`].

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use zfs_core::Zfs;

use super::Failure;
use super::Outcome;
use super::config::From;
use super::prune::Prepared;
use super::roles::with_pairs;
use super::status;
use super::status::screen;
use crate::cancel::Cancel;
use crate::cli::finding::Finding;
use crate::cli::finding::Level;
use crate::clock;
use crate::codes::Code;
use crate::config::Config;
use crate::jobs::Network;
use crate::monitor::history;
use crate::monitor::kstat;
use crate::monitor::textfile;
use crate::survey::Survey;
use page::Facts;
use page::Shot;
use page::Timeline;

mod chart;
mod page;
#[cfg(test)]
mod tests;

/// Write a page for a browser: how it is, how far targets were behind and what was sent over time, each snapshot and why it
/// stays or goes, the last runs and their errors.
///
/// It is one file that needs nothing else, and can be read on a phone. What is shown over time comes from the records of
/// runs; why snapshots stay is asked as `prune --explain` does, targets included. Nothing is changed but the file, which is
/// replaced as a whole.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file to write; `-` prints.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// How many seconds pools and targets have to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Examples:
  replicator report --output /var/www/replicator.html
  replicator report | ssh desk 'cat > replicator.html'";

/// How many records of runs are read: all that are kept, and more.
const RECORDS: usize = 10_000;

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let timeout = Duration::from_secs(arguments.timeout);
    let mut seen = status::facts(&config, &arguments.from.location(), timeout)?;
    if let Ok(history) = history::read(&config.folders.state, RECORDS) {
        seen.history = history;
    }
    let mut screen = screen::screen(&seen);
    let timelines = timelines(&config, cancel).unwrap_or_else(|why| {
        let text = format!("Why snapshots stay or go could not be found out: {why}.");
        screen.findings.push(Finding::new(Level::Note, text, []));
        Vec::new()
    });
    let (history, zone) = (seen.history, TimeZone::system());
    let text = page::page(&Facts { screen, history, timelines, zone, version: env!("CARGO_PKG_VERSION") });
    if arguments.output.as_os_str() == "-" {
        super::print(&text)?;
        return Ok(Outcome::Success);
    }
    textfile::write(&arguments.output, &text).map_err(|error| {
        let message = format!("cannot write {}: {error}", arguments.output.display());
        Failure::new(Code::Output, message).hinted("the folder must exist".to_string())
    })?;
    Ok(Outcome::Success)
}

/// The decisions about all snapshots, as a run would make them now.
fn timelines(config: &Config, cancel: &Cancel) -> Result<Vec<Timeline>, String> {
    // A pool that hangs is not asked: whoever does hangs with it.
    let pools = kstat::pools(Path::new(kstat::FOLDER)).map_err(|error| error.to_string())?;
    if let Some((pool, _)) = pools.iter().find(|(_, state)| state.as_deref() == Some("SUSPENDED")) {
        return Err(format!("the pool {pool} is suspended"));
    }
    let zfs = Zfs::open().map_err(|error| error.to_string())?;
    let survey = Survey::new(&zfs, config).map_err(|error| error.to_string())?;
    let network = Network { zfs: zfs.clone(), cancel: cancel.clone() };
    let (config, all) = (with_pairs(config), BTreeSet::new());
    let prepared = Prepared::new(&config, &survey, &all, &zfs, &network, clock::now());
    let plan = prepared.plan(&survey, &all);
    let one = |dataset: &crate::prune::DatasetPlan<'_>| {
        let shot = |decision: &crate::policy::Decision<'_>| Shot {
            name: decision.snapshot.name.short().to_string(),
            taken: decision.snapshot.creation,
            keep: decision.keep,
            why: decision.reason.to_string(),
        };
        Timeline {
            dataset: dataset.dataset.to_string(),
            snapshots: dataset.decisions.iter().map(shot).collect(),
        }
    };
    Ok(plan.datasets.iter().map(one).collect())
}
