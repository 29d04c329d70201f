//! `replicator pair rejoin`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::owner;
use super::setup::Common;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::format;
use crate::pair::verbs::rejoin::Asked;
use crate::pair::verbs::rejoin::rejoin;
use crate::transport::quote;

/// Let a node follow that was active, after the other one has been promoted.
///
/// What this node wrote since is kept: a dataset that went its own way is renamed to NAME-divergent-EPOCH, and a clone of
/// the newest snapshot that both nodes have goes on under its name. Nothing is destroyed and nothing rolled back. Then this
/// node receives from the active one. What broke off is finished by calling it again.
///
/// Where both nodes were promoted to the same epoch, the one on which this is called is the one that follows. What took
/// the place of an encrypted dataset needs its key to be loaded again: those datasets are named. Where the cluster says that
/// the service is on this node, it is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Where a dataset has no snapshot in common with the active node: set it aside as a whole, and have everything sent
    /// anew. Until that is done, this node has no copy of it under its name.
    #[arg(long)]
    full: bool,

    /// Also where this node follows already: what somebody has written to it as a standby is set aside, so that it can
    /// receive again.
    #[arg(long)]
    aside: bool,

    /// Also where the cluster says that the service is here.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair rejoin nfs
  replicator pair rejoin nfs --json
  replicator pair rejoin nfs --full
  replicator pair rejoin nfs --aside      # somebody wrote to the standby

The exit status is 0 when this node follows, 3 when a person has to decide, 4 when the other node cannot be asked.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    if !arguments.force {
        owner::may_rejoin(&setup, cancel)?;
    }
    let mut there = setup.connect()?;
    let (roots, peer) = (setup.pair.roots.clone(), setup.peer.clone());
    let mut say = |line: &str| cli::say(line);
    let datasets = setup.pair.options.datasets.clone();
    let asked = Asked { full: arguments.full, aside: arguments.aside, only_follow: false, datasets };
    let done = rejoin(&mut setup.node, &roots, there.as_mut(), &peer, &asked, &mut say)?;
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    cli::print(&if arguments.common.json {
        let (epoch, active) = (done.epoch.to_string(), &done.active);
        let json = json!({
            "pair": pair, "node": node, "epoch": epoch, "active": active, "kept": done.kept, "locked": done.locked,
        });
        format!("{json:#}\n")
    } else {
        let mut text = format!("{pair}: {node} follows {}, in epoch {}\n", done.active, done.epoch);
        for kept in &done.kept {
            let bytes = format::bytes(kept.bytes);
            text.push_str(&format!("  {bytes} that only {} had are kept in {}\n", kept.dataset, kept.aside));
        }
        for dataset in &done.locked {
            text.push_str(&format!(
                "  the key of {dataset} has to be loaded before this node can be promoted: zfs load-key {}\n",
                quote::sh(dataset)
            ));
        }
        text
    })?;
    Ok(Outcome::Success)
}
