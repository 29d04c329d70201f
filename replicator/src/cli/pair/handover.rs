//! `replicator pair handover`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Lines;
use super::setup::Setup;
use super::setup::now;
use crate::cancel::Cancel;
use crate::cli;
use crate::pair::verbs::handover::handover;
use crate::pair::verbs::send::Sending;

/// Hand the service of a pair over to the other node, without losing anything.
///
/// Run it on the active node, with the service stopped. What was written is sent while this node is still active; then it
/// becomes read-only, is unmounted, and the rest is sent in a last snapshot. Only when all of it is proven to be on the
/// other node, that one is promoted. If anything fails before, this node goes on as the active one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Leave the promotion of the other node to somebody else, such as the cluster.
    #[arg(long)]
    without_promotion: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair handover nfs
  replicator pair handover nfs --without-promotion

The agent of the other node has to be allowed to take over (replicator agent --allow take-over,…).";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    let mut there = setup.connect()?;
    let (roots, peer, asked) = (setup.pair.roots.clone(), setup.peer.clone(), setup.asked(false));
    let locks = setup.locks(there.as_mut())?;
    let (options, run) = (setup.pair.options.clone(), setup.sending());
    let how = Sending { options: &options, run: &run, locks: &locks, observer: &Lines, cancel, now: now() };
    let mut say = |line: &str| cli::say(line);
    let given = handover(&mut setup.node, &roots, there.as_mut(), &peer, &asked, &how, &mut say)?;
    let (epoch, promoted) = (given.epoch, !arguments.without_promotion);
    if promoted {
        there.take_over(&roots, &peer, epoch).map_err(|error| {
            let message = format!("everything is on {peer}, which could not be promoted: {error}");
            Failure::new(Failure::from(error).outcome, message)
                .hinted(format!("`replicator pair promote` on {peer}; or here, to go on here"))
        })?;
    }
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    cli::print(&if arguments.common.json {
        let (to, epoch) = (peer.as_str(), epoch.to_string());
        let json = json!({
            "pair": pair, "from": node, "to": to, "epoch": epoch, "given_now": given.now, "promoted": promoted,
        });
        format!("{json:#}\n")
    } else if !given.now {
        format!("{pair}: {peer} had the service already, in epoch {epoch}\n")
    } else if promoted {
        format!("{pair}: {peer} is active now, in epoch {epoch}; it has everything that {node} had\n")
    } else {
        format!("{pair}: {peer} has everything that {node} had, and may be promoted to epoch {epoch}\n")
    })?;
    Ok(Outcome::Success)
}
