//! `--monitor-…`: one line and the statuses of Nagios, by the checks that `replicator monitor` makes.

use std::time::Duration;

use crate::cli::monitor::Check;
use crate::cli::monitor::Gatherer;
use crate::cli::outcome::Failure;
use crate::cli::print;
use crate::config::Config;
use crate::config::load::Location;

/// How long an answer may take. Checks of Nagios are given up after a minute.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Checks, says so, and gives the exit status.
pub(super) fn run(check: Check, config: &Config, location: &Location) -> Result<u8, Failure> {
    let report = Gatherer::new(config, location, TIMEOUT)?.report(check);
    print(&format!("{}\n", report.text))?;
    Ok(report.level.status())
}
