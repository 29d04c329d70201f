//! `replicator pair send`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use super::setup::send_all;
use crate::cancel::Cancel;
use crate::cli;
use crate::pair::guards;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::watch::Eyes;
use crate::role::watch::watch;

/// Send what the other node of a pair lacks, if this one is active.
///
/// Who is active is found as `pair role` does. The other node receives only from the node that was promoted last, and never
/// while it has the service itself.
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
    let setup = Setup::new(&arguments.common, cancel)?;
    let names = Names::of(&setup.pair);
    let mut eyes = Eyes::of(&setup.pair, setup.state.clone());
    let decision = watch(&mut eyes, &names, &setup.pair.watch, Purpose::Run, cancel)
        .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
    if let Err(refusal) = guards::may_send(decision.verdict.role) {
        let remedy = decision.verdict.remedy.text(&setup.pair.name, &names);
        return Err(Failure::new(Outcome::NoRole, refusal.to_string()).hinted(remedy));
    }
    send_all(&arguments.common, cancel)?;
    let (pair, node, peer) = (&setup.pair.name, setup.name.as_str(), setup.peer.as_str());
    cli::print(&if arguments.common.json {
        format!("{:#}\n", json!({ "pair": pair, "from": node, "to": peer, "sent": true }))
    } else {
        format!("{pair}: {peer} has all snapshots of {node}\n")
    })?;
    Ok(Outcome::Success)
}
