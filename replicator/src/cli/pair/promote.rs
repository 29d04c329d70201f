//! `replicator pair promote`.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::owner;
use super::setup::Common;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::cli;
use crate::host::Host;
use crate::pair::NodeName;
use crate::pair::verbs::VerbError;
use crate::pair::verbs::promote::Promoted;
use crate::pair::verbs::promote::promote;

/// Make this node the active one of a pair.
///
/// A receive that is in flight is ended, what it has kept is thrown away, the epoch is raised on all roots, they become
/// writable and are mounted. What somebody has written to this node while it was a standby is kept in a snapshot
/// divergent-EPOCH. On a node that is active already only what is missing of this is done.
///
/// With a lease in etcd this node takes it first, and another node that has it keeps this one from being promoted.
///
/// It is refused where it could cost data: the other node is still active, was promoted later or has what did not come here
/// yet, the first replication has not come to its end, a rejoin broke off, nothing says that the data here belong to the
/// pair, a pool does not work, the cluster says that the service is on the other node. That one is asked if it can be
/// reached; where it answers and cannot be asked, as without an agent or with another key, that is a refusal, too. Once this
/// node is promoted the other one is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Also where the other node may still be active or was promoted later, or cannot be asked, where the data are older than
    /// allowed or not all of them here, and for the first promotion of a pair whose other node is away. Nothing is destroyed
    /// by it: the other node keeps aside what it has when it rejoins.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair promote nfs
  replicator pair promote nfs --json
  replicator pair promote nfs --force

The exit status is 0 when this node is active, 3 when that is not safe, 7 while a receive does not end.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    if !arguments.force {
        owner::may_promote(&setup, cancel)?;
    }
    let done = promote_here(&mut setup, arguments.force, cancel)?;
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    cli::print(&if arguments.common.json {
        let (epoch, raised, told) = (done.epoch.to_string(), done.raised, &done.told);
        let json = json!({ "pair": pair, "node": node, "epoch": epoch, "raised": raised, "told": told });
        format!("{json:#}\n")
    } else if done.raised {
        format!("{pair}: {node} is active now, in epoch {}\n", done.epoch)
    } else {
        format!("{pair}: {node} was active already, in epoch {}\n", done.epoch)
    })?;
    Ok(Outcome::Success)
}

/// Promotes this node, and tells what is done.
pub(super) fn promote_here(setup: &mut Setup, force: bool, cancel: &Cancel) -> Result<Promoted, Failure> {
    promote_within(setup, force, Duration::ZERO, cancel)
}

/// The same for a cluster, which starts the service right after it has stopped it on the other node: what that one still has
/// to send is waited for as long as its last send may take.
pub(super) fn promote_when_sent(setup: &mut Setup, cancel: &Cancel) -> Result<Promoted, Failure> {
    promote_within(setup, false, setup.pair.final_send, cancel)
}

/// Between two looks whether it has come.
const LOOK: Duration = Duration::from_secs(2);

fn promote_within(
    setup: &mut Setup,
    force: bool,
    patience: Duration,
    cancel: &Cancel,
) -> Result<Promoted, Failure> {
    let asked = setup.asked(force);
    let mut there = setup.reach(force)?;
    let interrupted = || Failure::new(Outcome::Interrupted, "interrupted");
    if cancel.is_cancelled() {
        return Err(interrupted());
    }
    let peer = setup.peer.clone();
    if let Err(why) = &there {
        cli::say(&format!("{peer} cannot be asked: {why}"));
    }
    let roots = setup.pair.roots.clone();
    let begun = Instant::now();
    let mut waits = false;
    let done = loop {
        let far: Result<(&mut dyn Host, &NodeName), String> = match &mut there {
            Ok(host) => Ok((host.as_mut(), &peer)),
            Err(why) => Err(why.clone()),
        };
        match promote(&mut setup.node, &roots, far, &asked, &mut |line| cli::say(line)) {
            Err(VerbError::Refused(refused)) if refused.is_behind() && begun.elapsed() < patience => {
                if !waits {
                    waits = true;
                    cli::say(&format!("{refused}: waits for it, {} s at most", patience.as_secs()));
                }
            }
            done => break done?,
        }
        let until = Instant::now() + LOOK;
        while Instant::now() < until {
            if cancel.is_cancelled() {
                return Err(interrupted());
            }
            std::thread::sleep(TICK);
        }
    };
    for line in &done.told {
        cli::say(line);
    }
    for told in setup.pool_roots() {
        cli::say(&format!("warning: {told}"));
    }
    Ok(done)
}
