//! `replicator pair promote`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::cli;
use crate::host::Host;
use crate::pair::NodeName;
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
/// It is refused where it could cost data: the other node is still active or was promoted later, a dataset was never
/// received completely, nothing says that the data here belong to the pair, a pool does not work. The other node is
/// asked if it can be reached; who has the service by the cluster is not asked here (pair role).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Also where the other node may still be active or was promoted later, where the data are older than allowed, and
    /// for the first promotion of a pair whose other node cannot be asked. Nothing is destroyed by it: the other node
    /// keeps aside what it has when it rejoins.
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
    let asked = setup.asked(force);
    let mut there = setup.connect().map_err(|failure| failure.message().to_string());
    if cancel.is_cancelled() {
        return Err(Failure::new(Outcome::Interrupted, "interrupted"));
    }
    let peer = setup.peer.clone();
    let there: Result<(&mut dyn Host, &NodeName), String> = match &mut there {
        Ok(host) => Ok((host.as_mut(), &peer)),
        Err(why) => {
            cli::say(&format!("{peer} cannot be asked: {why}"));
            Err(why.clone())
        }
    };
    let roots = setup.pair.roots.clone();
    let done = promote(&mut setup.node, &roots, there, &asked, &mut |line| cli::say(line))?;
    for line in &done.told {
        cli::say(line);
    }
    for told in setup.pool_roots()? {
        cli::say(&format!("warning: {told}"));
    }
    Ok(done)
}
