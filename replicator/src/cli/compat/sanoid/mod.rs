//! `sanoid`: its options, its sanoid.conf, what it prints and how it ends. What is decided and done is what every other
//! command does, by sanoid's rules.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::cancel::Cancel;
use crate::cli;
use crate::cli::monitor::Check;
use crate::cli::outcome::Failure;
use crate::cli::outcome::Outcome;
use crate::cli::signals;
use crate::codes::Code;
use crate::config::Config;
use crate::config::NATIVE;
use crate::config::load::Location;
use crate::monitor::Level;

mod act;
mod monitor;
mod options;
mod text;

/// Take and prune snapshots and watch them as sanoid 2.3 does, with its options and its sanoid.conf.
///
/// The same runs when the program is called by the name `sanoid`. Without an option other than folders: --cron --verbose.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, disable_version_flag = true)]
pub(in crate::cli) struct Arguments {
    /// The folder of sanoid.conf.
    #[arg(long, value_name = "DIR", default_value = "/etc/sanoid")]
    configdir: PathBuf,

    /// Accepted and not needed: the kernel is asked each time.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Accepted and not needed: locks are the kernel's and leave nothing behind.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    /// Take the snapshots that are due, then prune those that may go.
    #[arg(long)]
    cron: bool,

    /// Take the snapshots that are due.
    #[arg(long)]
    take_snapshots: bool,

    /// Prune the snapshots that may go.
    #[arg(long)]
    prune_snapshots: bool,

    /// Say whether the pools are healthy, for Nagios.
    #[arg(long)]
    monitor_health: bool,

    /// Say how full the pools are, for Nagios.
    #[arg(long)]
    monitor_capacity: bool,

    /// Say whether there are fresh snapshots, for Nagios.
    #[arg(long)]
    monitor_snapshots: bool,

    /// Say what would be taken and pruned (with --verbose), and do nothing.
    #[arg(long)]
    readonly: bool,

    /// Say what is done.
    #[arg(long)]
    verbose: bool,

    /// With --cron: say nothing but errors.
    #[arg(long)]
    quiet: bool,

    /// Say what each dataset has and should have, and all of --verbose.
    #[arg(long)]
    debug: bool,

    /// Accepted and not needed: what is looked at is never old.
    #[arg(long)]
    force_update: bool,

    /// Accepted and not needed.
    #[arg(long)]
    force_prune: bool,

    /// Accepted and not needed.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    cache_ttl: Option<i64>,

    /// Print the version.
    #[arg(long)]
    version: bool,
}

const HELP: &str = "\
Exit status: 0 done; 1 something failed; 2 the command line is wrong; 255 nothing could be done, as with a broken
configuration. With --monitor-*: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

Examples:
  sanoid --cron
  sanoid --take-snapshots --readonly --verbose
  sanoid --configdir=/etc/sanoid --monitor-snapshots";

// What it is when it is called by its own name.
#[derive(Debug, Parser)]
#[command(
    name = "sanoid",
    about = "Take and prune snapshots and watch them as sanoid 2.3 does, with its options and its sanoid.conf",
    max_term_width = 100
)]
struct Called {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs what was called `sanoid`.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let (options, words) = options::normal(arguments);
    if !words.is_empty() {
        cli::say(&format!("sanoid takes no arguments but options: {} is left aside", words.join(" ")));
    }
    let name = std::iter::once(OsString::from("sanoid"));
    match Called::try_parse_from(name.chain(options)) {
        Ok(called) => run(called.arguments),
        Err(error) => cli::usage::ended(&error),
    }
}

/// Runs it by whatever name it was called.
pub(in crate::cli) fn run(arguments: Arguments) -> ExitCode {
    let arguments = arguments.completed();
    let watches = arguments.check().is_some();
    let cancel = Cancel::new();
    let inner = cancel.clone();
    match signals::run(&cancel, move || arguments.run(&inner)) {
        Ok(status) => status.into(),
        Err(failure) if failure.is_broken_pipe() => Outcome::Success.into(),
        Err(failure) if watches => {
            // Whoever asked reads one line of standard output and this status.
            let _ = cli::print(&format!("{}\n", cli::monitor::unknown(&failure).text));
            Level::Unknown.status().into()
        }
        Err(failure) => {
            cli::complain(&failure);
            failure.outcome.as_sanoid().into()
        }
    }
}

impl Arguments {
    /// With what they stand for when nothing but folders is given.
    fn completed(mut self) -> Self {
        let asked = [
            self.cron,
            self.take_snapshots,
            self.prune_snapshots,
            self.monitor_health,
            self.monitor_capacity,
            self.monitor_snapshots,
            self.readonly,
            self.verbose,
            self.quiet,
            self.debug,
            self.force_update,
            self.force_prune,
            self.cache_ttl.is_some(),
            self.version,
        ];
        if !asked.contains(&true) {
            (self.cron, self.verbose) = (true, true);
        }
        self.verbose |= self.debug;
        if self.cron && self.quiet {
            self.verbose = false;
        }
        self
    }

    /// The check that is asked for. It is the last thing that is done, whatever else is.
    fn check(&self) -> Option<Check> {
        let asked = [
            (self.monitor_snapshots, Check::Snapshots),
            (self.monitor_health, Check::Health),
            (self.monitor_capacity, Check::Capacity),
        ];
        asked.into_iter().find(|(asked, _)| *asked).map(|(_, check)| check)
    }

    /// Where there is no sanoid.conf, it is another folder that may have one.
    fn located(&self, failure: Failure) -> Failure {
        if failure.code != Code::NoConfiguration {
            return failure;
        }
        let folder = self.configdir.display();
        failure.hinted(format!(
            "put a sanoid.conf into {folder}, or name the folder that has one with --configdir"
        ))
    }

    fn run(&self, cancel: &Cancel) -> Result<u8, Failure> {
        if self.version {
            cli::print(&text::version())?;
            return Ok(0);
        }
        if self.cache_ttl.is_some_and(|seconds| seconds < 0) {
            return Err(Failure::new(Outcome::Configuration, "cache-ttl needs to be positive!")
                .hinted("leave it out: nothing is cached".to_string()));
        }
        if self.force_prune {
            cli::say("WARN: --force-prune argument is deprecated and its behavior is now standard");
        }
        let location = Location::Sanoid(self.configdir.join("sanoid.conf"));
        let usable = match self.check() {
            // That is shown in one line.
            Some(_) => cli::config::usable_or_first(&location),
            None => cli::config::usable(&location),
        };
        let (mut config, _) = usable.map_err(|failure| self.located(failure))?;
        if self.debug {
            cli::print(&act::debug(&config)?)?;
        }
        if let Some(check) = self.check() {
            return monitor::run(check, &config, &location);
        }
        let (take, prune) = (self.cron || self.take_snapshots, self.cron || self.prune_snapshots);
        if !take && !prune {
            if !self.force_update && !self.debug {
                cli::say("nothing was asked for, and nothing is done: see sanoid --help");
            }
            return Ok(0);
        }
        // While it is not known what targets need, nothing goes; snapshots are taken all the same.
        let known = if prune { jobs(&mut config) } else { Ok(()) };
        let prune = prune && known.is_ok();
        let asked = act::Asked { take, prune, readonly: self.readonly, verbose: self.verbose };
        let outcome = act::run(asked, &config, cancel)?;
        known?;
        Ok(outcome.as_sanoid())
    }
}

/// Adds the replications of this machine, which a sanoid.conf knows nothing of: what their targets need stays.
fn jobs(config: &mut Config) -> Result<(), Failure> {
    let native = Path::new(NATIVE);
    // Only a file that is surely not there has none.
    if matches!(native.try_exists(), Ok(false)) {
        return Ok(());
    }
    let (ours, _) = cli::config::usable(&Location::Native(native.to_path_buf()))?;
    config.jobs = ours.jobs;
    config.folders = ours.folders;
    Ok(())
}
