//! `replicator pair send`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Lines;
use super::setup::Setup;
use super::watched::Watched;
use crate::cancel::Cancel;
use crate::cli;
use crate::pair::guards;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::watch::Eyes;
use crate::role::watch::Fence;
use crate::role::watch::Fenced;
use crate::role::watch::watch;

/// Send what the other node of a pair lacks, if this one is active.
///
/// Who is active is found as `pair role` does, and looked at again before each step. The other node receives only from the
/// node that was promoted last, and never while it has the service itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair send nfs
  replicator pair send nfs --json

The exit status is 0 when the other node has everything, 3 when it may not receive, 9 when this node is not active.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    // Ended where this node is not any more what it was.
    let own = cancel.child();
    let mut setup = Setup::new(&arguments.common, &own)?;
    let names = Names::of(&setup.pair);
    let mut eyes = Eyes::of(&setup.pair, setup.state.clone()).renewing(&setup.pair);
    let decision = watch(&mut eyes, &names, &setup.pair.watch, Purpose::Run, cancel)
        .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
    if let Err(refusal) = guards::may_send(decision.verdict.role) {
        let remedy = decision.verdict.remedy.text(&setup.pair.name, &names);
        return Err(Failure::new(Outcome::NoRole, refusal.to_string()).hinted(remedy));
    }
    let fenced = |fenced: Fenced| {
        let hint = "nothing more was sent; `replicator pair role` shows what this node is now".to_string();
        Failure::new(Outcome::NoRole, fenced.to_string()).hinted(hint)
    };
    let fence = Fence::new(eyes, names, Purpose::Run, &decision, cancel.clone()).map_err(fenced)?;
    let sent = setup.send(&Watched::new(&Lines, &fence, &own));
    if !cancel.is_cancelled() {
        fence.check().map_err(fenced)?;
    }
    sent?;
    let (pair, node, peer) = (&setup.pair.name, setup.name.as_str(), setup.peer.as_str());
    cli::print(&if arguments.common.json {
        format!("{:#}\n", json!({ "pair": pair, "from": node, "to": peer, "sent": true }))
    } else {
        format!("{pair}: {peer} has all snapshots of {node}\n")
    })?;
    Ok(Outcome::Success)
}
