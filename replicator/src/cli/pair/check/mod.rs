//! `replicator pair check`: what is asked for is gathered here ([`gather`], [`machine`], [`service`]), what follows from it
//! is in [`crate::pair::check`].

mod gather;
mod machine;
mod service;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use super::setup::named;
use crate::cancel::Cancel;
use crate::check;
use crate::check::Finding;
use crate::check::Grade;
use crate::check::Section;
use crate::cli;
use crate::config::Config;
use crate::config::pair::Pair;
use crate::pair::check::sections;

/// Look whether a pair is set up so that a takeover works, and say what to fix.
///
/// Looks at this node, at what the agent of the other one tells, at the guest and its bind mounts, at what is exported by
/// NFS, and at the cluster. Nothing is changed. What cannot be found out is said with the reason, and is never taken for
/// good. An agent does not tell everything: run it on both nodes.
///
/// To see whether the key of the pair starts more than the agent, a command that only prints a word is tried on the other
/// node. In a container that runs here, a command reads what it exports.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair check
  replicator pair check nfs --json

The exit status is 0 when nothing will fail, also with warnings; 1 when something will.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.common.from.usable()?;
    let pair = named(&config, arguments.common.pair.as_deref())?.clone();
    let mut setup = Setup::of(config.folders.state.clone(), pair, cancel)?;
    let found = sections(&gather::gather(&mut setup, &config, cancel));
    if cancel.is_cancelled() {
        return Err(Failure::new(Outcome::Interrupted, "interrupted"));
    }
    let text =
        if arguments.common.json { format!("{:#}\n", check::to_json(&found)) } else { check::text(&found) };
    cli::print(&text)?;
    let fails = found.iter().any(|section| section.grade() == Grade::Fail);
    Ok(if fails { Outcome::Failed } else { Outcome::Success })
}

/// The same for who looks at everything that the configuration is about.
pub(in crate::cli) fn of_pair(config: &Config, pair: &Pair, cancel: &Cancel) -> Vec<Section> {
    match Setup::of(config.folders.state.clone(), pair.clone(), cancel) {
        Ok(mut setup) => sections(&gather::gather(&mut setup, config, cancel)),
        Err(failure) => {
            let mut section = Section::new(format!("pair {}", pair.name));
            let hint = failure.hint().map(str::to_string);
            section.findings.push(Finding::fail("pair", failure.message(), hint));
            vec![section]
        }
    }
}
