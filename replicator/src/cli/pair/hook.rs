//! `replicator pair hook`: what a guest of Proxmox VE calls when it starts and stops.

use super::Failure;
use super::Outcome;
use super::demote::Sent;
use super::demote::demote_here;
use super::promote::promote_here;
use super::setup::Setup;
use super::setup::named;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::config::pair::Decider;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::decide::Remedy;
use crate::role::watch::Decision;
use crate::role::watch::Eyes;
use crate::role::watch::watch;

/// Answer a hook of a Proxmox guest: before it starts the node is promoted, after it has stopped it is demoted.
///
/// Where promotion is not safe the start is refused, with the reason. A start on the node that is active already changes
/// nothing. After the stop the roots become read-only and are unmounted, and what the other node lacks is sent within the
/// time that the pair has for it (final_send); the timer sends the rest. Other phases do nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The pair, as the configuration calls it.
    #[arg(value_name = "PAIR")]
    pair: String,

    /// The guest, as Proxmox VE passes it.
    #[arg(value_name = "GUEST")]
    guest: u32,

    /// The phase, as Proxmox VE passes it: pre-start, post-start, pre-stop, post-stop.
    #[arg(value_name = "PHASE")]
    phase: String,

    #[command(flatten)]
    from: From,
}

const EXAMPLES: &str = "\
Set it on the guest with a script on a storage for snippets that both nodes have:

  #!/bin/sh
  exec replicator pair hook nfs \"$1\" \"$2\"

Examples:
  pct set 103 --hookscript local:snippets/nfs-pair.sh
  replicator pair hook nfs 103 pre-start
  replicator pair hook nfs 103 post-stop

The exit status is 0 when the guest may go on; any other one refuses the start.";

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (config, _) = arguments.from.usable()?;
    let pair = named(&config, Some(&arguments.pair))?.clone();
    if let Decider::Proxmox { guest, .. } = &pair.decider
        && *guest != arguments.guest
    {
        let message =
            format!("the pair {} goes by the guest {guest}, and not by {}", pair.name, arguments.guest);
        let hint = format!("take the hook from {}, or correct `guest` of the pair", arguments.guest);
        return Err(Failure::new(Outcome::Usage, message).hinted(hint));
    }
    let mut setup = Setup::of(config.folders.state.clone(), pair, cancel)?;
    match arguments.phase.as_str() {
        "pre-start" => before_start(&mut setup, cancel),
        "post-stop" => after_stop(&mut setup, cancel),
        _ => Ok(Outcome::Success),
    }
}

fn before_start(setup: &mut Setup, cancel: &Cancel) -> Result<Outcome, Failure> {
    let names = Names::of(&setup.pair);
    let mut eyes = Eyes::of(&setup.pair, setup.state.clone());
    let decision = watch(&mut eyes, &names, &setup.pair.watch, Purpose::Change, cancel)
        .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
    if !may_start(&decision) {
        let reasons: Vec<_> = decision.verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let (pair, node) = (&setup.pair.name, &names.here);
        let message = format!(
            "{pair}: the guest is not started on {node}, which is {}: {}",
            decision.verdict.role,
            reasons.join("; ")
        );
        let hint = match decision.verdict.remedy {
            // Nothing is wrong with the pair: it is the start that is out of place.
            Remedy::Nothing => format!("start it on {}, or have the cluster move it here first", names.peer),
            remedy => remedy.text(pair, &names),
        };
        return Err(Failure::new(Outcome::NoRole, message).hinted(hint));
    }
    let done = promote_here(setup, false, cancel)?;
    let word = if done.raised { "now" } else { "already" };
    cli::say(&format!("{}: {} is active {word}, in epoch {}", setup.pair.name, setup.name, done.epoch));
    Ok(Outcome::Success)
}

/// The service belongs here, and nothing but the promotion is missing.
fn may_start(decision: &Decision) -> bool {
    let verdict = &decision.verdict;
    match verdict.role {
        Role::Active => true,
        Role::Standby => verdict.remedy == Remedy::Promote,
        Role::Isolated | Role::Unknown => false,
    }
}

fn after_stop(setup: &mut Setup, cancel: &Cancel) -> Result<Outcome, Failure> {
    let (_, sent) = demote_here(setup, false, cancel)?;
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    cli::say(&match sent {
        Sent::Nothing => format!("{pair}: {node} had nothing to give"),
        Sent::All => format!("{pair}: {node} writes nothing any more, and the other node has everything"),
        Sent::Not(why) => {
            format!("{pair}: {node} writes nothing any more; not everything was sent yet ({why})")
        }
    });
    Ok(Outcome::Success)
}
