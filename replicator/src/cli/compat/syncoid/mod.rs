//! `syncoid`: its options, the snapshots it takes, what it makes of a target, what it prints and how it ends. What a
//! stream is and how it goes over is what every other command does.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cancel::Cancel;
use crate::cli;
use crate::cli::outcome::Outcome;
use crate::cli::signals;

mod after;
mod carry_over;
#[cfg(test)]
mod changes_tests;
mod dataset;
mod endpoint;
mod filter;
mod foresee;
#[cfg(test)]
mod lab;
mod log;
mod lost;
mod names;
mod options;
mod plan;
#[cfg(test)]
mod plan_tests;
mod reach;
mod run;
#[cfg(test)]
mod run_tests;
mod send;
mod special;

pub(in crate::cli) use carry_over::CarriedOver;
pub(in crate::cli) use carry_over::carry_over;
pub(in crate::cli) use foresee::Foreseen;
pub(in crate::cli) use foresee::Machine;
pub(in crate::cli) use foresee::foresee;
use options::Asked;
use run::End;
pub(in crate::cli) use run::SYNC;

/// Replicate as syncoid 2.3 does, with its options, its snapshots and its way with targets.
///
/// The same runs when the program is called by the name `syncoid`; `replicator syncoid -- --help` tells all options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(in crate::cli) struct Arguments {
    /// The options, the source and the target, as syncoid takes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS SOURCE TARGET")]
    rest: Vec<OsString>,
}

const EXAMPLES: &str = "\
Snapshots of the target that are newer than the common one are destroyed, each named before it goes, unless
--no-rollback is given. `replicator replicate` never does that.

Examples:
  syncoid tank/data backup/data
  syncoid --recursive --no-sync-snap root@master:tank/photos tank/photos
  syncoid --no-rollback --identifier=offsite tank/data root@store:backup/data";

const USAGE: &str = "\
Usage:
     syncoid [options]... SOURCE TARGET
     or   syncoid [options]... SOURCE [[USER]@]HOST:TARGET
     or   syncoid [options]... [[USER]@]HOST:SOURCE TARGET
     or   syncoid [options]... [[USER]@]HOST:SOURCE [[USER]@]HOST:TARGET
";

const HELP: &str = "
Options:
  --recursive, -r            also everything below SOURCE
  --skip-parent              with --recursive: not SOURCE itself
  --exclude-datasets=REGEX   not the datasets that fit; several times. --exclude is its old name
  --include-snaps=REGEX      only the snapshots that fit; several times
  --exclude-snaps=REGEX      not the snapshots that fit, whatever includes them; several times
  --no-stream                the newest snapshot only, not those between
  --no-sync-snap             takes no snapshot, and sends what there is
  --keep-sync-snap           leaves the snapshots that earlier runs took
  --identifier=EXTRA         goes into the names of snapshots and holds: one for each target
  --create-bookmark          with --no-sync-snap: leaves a bookmark of what was sent
  --use-hold                 holds what was sent on both sides until the next run
  --no-rollback              newer snapshots and changes of the target stop the run; else they are destroyed
  --force-delete             a target without anything in common is destroyed with all below it
  --delete-target-snapshots  what the source has not is destroyed on the target
  --preserve-recordsize      sets the record size of the source on the target
  --preserve-properties      sets what is set on the source on the target
  --no-clone-handling        clones are sent in full
  --no-resume                what breaks off begins anew
  --sendoptions=LETTERS      L, c, e, w and h as zfs send has them; P, V and v mean nothing here
  --recvoptions=LETTERS      u, h, and o and x with a word behind them, as zfs receive has them; v means nothing here
  --compress=FORMAT          none, gzip, pigz-fast, pigz-slow, zstd-fast, zstdmt-fast, zstd-slow, zstdmt-slow, xz, lzo,
                             lz4, where both machines have it; else, and where nothing is said, zstd
  --source-bwlimit=RATE, --target-bwlimit=RATE
                             bytes per second, with k, m, g or t; the lower one holds
  --sshconfig=FILE, --sshkey=FILE, --sshport=PORT, --sshcipher=CIPHER (-c), --sshoption=OPTION (-o)
                             for the ssh program; host keys are always checked
  --no-privilege-elevation   not through sudo where the user is not root
  --quiet                    errors only, and what is destroyed unasked
  --debug, --dumpsnaps       more
  --mbuffer-size, --pv-options, --monitor-version, --no-command-checks
                             taken and not needed
  --insecure-direct-connection=IP:PORT[,IP:PORT[,SECONDS[,mbuffer]]]
                             data goes over a connection of its own, not encrypted: where the source connects to, and
                             where the target listens
  --help, --version

Exit status: 0 done; 1 the target is being received into, there is nothing to send, or what followed a full stream
failed; 2 a stream failed, nothing in common, no such source, wrong command line; 255 it could not go on at all;
130 interrupted.

";

/// Runs what was called `syncoid`.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let options = match options::read(arguments) {
        Ok(Asked::Help) => return printed(&format!("{USAGE}{HELP}{EXAMPLES}\n")),
        Ok(Asked::Version) => {
            return printed(&format!(
                "syncoid version 2.3.0\n(by replicator {}, with the options and rules of that)\n",
                env!("CARGO_PKG_VERSION")
            ));
        }
        Ok(Asked::Run(options)) => options,
        Err(refused) => {
            refused.lines.iter().for_each(|line| cli::say(line));
            cli::say(USAGE.trim_end());
            return Outcome::Usage.into();
        }
    };
    let cancel = Cancel::new();
    let inner = cancel.clone();
    match signals::run(&cancel, move || Ok(reach::run(&options, &inner))) {
        Ok(Ok(status)) => status.into(),
        Ok(Err(End::Interrupted)) => 130.into(),
        Ok(Err(End::Dead(text))) => {
            cli::say(&text);
            255.into()
        }
        Err(failure) => {
            cli::complain(&failure);
            255.into()
        }
    }
}

fn printed(text: &str) -> ExitCode {
    // A reader that went away is no failure.
    let _ = cli::print(text);
    ExitCode::SUCCESS
}

/// Runs it as `replicator syncoid`.
pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    main(&arguments.rest)
}
