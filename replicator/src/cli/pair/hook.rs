//! `replicator pair hook`: what a guest of Proxmox VE calls when it starts and stops.

use std::sync::Arc;

use super::Failure;
use super::Outcome;
use super::demote::Sent;
use super::demote::demote_here;
use super::promote::promote_when_sent;
use super::setup::Setup;
use super::setup::named;
use super::setup::now;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::config::pair::Decider;
use crate::config::pair::Watch;
use crate::pair::flapping;
use crate::pair::flapping::Pace;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::decide::Remedy;
use crate::role::observation::PeerSaid;
use crate::role::watch::Eyes;
use crate::role::watch::Fence;
use crate::role::watch::watch;

/// Answer a hook of a Proxmox guest: before it starts the node is promoted, after it has stopped it is demoted.
///
/// Where promotion is not safe the start is refused, with the reason; what the other node is still sending is waited for as
/// long as it may take (final_send). A start on the node that is active already changes nothing, and is allowed also while HA
/// is disarmed. After the stop the roots become read-only and are unmounted, and what the other node lacks is sent within the
/// time that the pair has for it (final_send); the timer sends the rest. Other phases do nothing.
///
/// Before each step it is looked again whether the service still is this node's. A node that hooks have promoted 5 times
/// within an hour is not promoted by them again before that hour is over; a person can promote it at any time.
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
    let mut eyes = Eyes::of(&setup.pair, setup.state.clone()).renewing(&setup.pair);
    let decision = watch(&mut eyes, &names, &setup.pair.watch, Purpose::Change, cancel)
        .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
    let (pair, verdict) = (setup.pair.name.clone(), &decision.verdict);
    if !verdict.may_start() {
        let message = format!(
            "{pair}: the guest is not started on {}, which is {}: {}",
            names.here,
            verdict.role,
            verdict.why()
        );
        let hint = match verdict.remedy {
            // Nothing is wrong with the pair: it is the start that is out of place.
            Remedy::Nothing => format!("start it on {}, or have the cluster move it here first", names.peer),
            remedy => remedy.text(&pair, &names),
        };
        return Err(Failure::new(Outcome::NoRole, message).hinted(hint));
    }
    if verdict.role != Role::Active {
        not_too_often(setup, &names)?;
    }
    // Until the last step of the promotion the service can be moved away again.
    let fence = Fence::new(eyes, names, Purpose::Change, &decision, cancel.clone())
        .map_err(|fenced| Failure::new(Outcome::NoRole, format!("{pair}: {fenced}")))?;
    setup.fence_by(Arc::new(fence));
    let done = promote_when_sent(setup, cancel)?;
    let word = if done.raised { "now" } else { "already" };
    cli::say(&format!("{pair}: {} is active {word}, in epoch {}", setup.name, done.epoch));
    if done.raised {
        remember(setup);
    }
    Ok(Outcome::Success)
}

/// Whether this node may be promoted once more by a hook.
fn not_too_often(setup: &Setup, names: &Names) -> Result<(), Failure> {
    let (pair, here) = (&setup.pair.name, &names.here);
    let promotions = flapping::read(&setup.state, pair).unwrap_or_else(|why| {
        cli::say(&format!("warning: {pair}: how often {here} was promoted is not known: {why}"));
        Vec::new()
    });
    let Pace::TooOften { count, until } = flapping::pace(&promotions, now()) else { return Ok(()) };
    let until = jiff::Timestamp::from_second(until).map_or_else(|_| "later".to_string(), |at| at.to_string());
    let message = format!(
        "{pair}: the guest is not started on {here}, which was promoted {count} times within an hour: something moves the service back and forth"
    );
    let hint = format!(
        "find out what moves it (`ha-manager status`, the log of the cluster). It can be started again from {until} on, and at once after `replicator pair promote {pair}` on {here}"
    );
    Err(Failure::new(Outcome::NoRole, message).hinted(hint))
}

/// Writes a promotion down, and tells of it where there are many.
fn remember(setup: &Setup) {
    let (pair, here) = (&setup.pair.name, &setup.name);
    if let Err(error) = flapping::add(&setup.state, pair, now()) {
        cli::say(&format!("warning: {pair}: that {here} was promoted is not written down: {error}"));
        return;
    }
    if let Some(told) = flapping::look(&setup.state, pair, here.as_str(), now()) {
        cli::say(&format!("warning: {pair}: {told}"));
    }
}

fn after_stop(setup: &mut Setup, cancel: &Cancel) -> Result<Outcome, Failure> {
    // What is not written any more is closed in any case. It is sent by a node that has the service, or had it.
    let refused = gives(setup, cancel).err();
    let (_, sent) = demote_here(setup, refused.is_some(), cancel)?;
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    cli::say(&match (sent, refused) {
        (Sent::Nothing, _) => format!("{pair}: {node} had nothing to give"),
        (Sent::All, _) => {
            format!("{pair}: {node} writes nothing any more, and the other node has everything")
        }
        (Sent::Not(why), refused) => format!(
            "{pair}: {node} writes nothing any more; not everything was sent yet ({})",
            refused.unwrap_or(why)
        ),
    });
    Ok(Outcome::Success)
}

/// Looks once whether this node may send what it has; the last send looks again before each of its steps. Why not, if not.
fn gives(setup: &mut Setup, cancel: &Cancel) -> Result<(), String> {
    let names = Names::of(&setup.pair);
    let mut eyes = Eyes::of(&setup.pair, setup.state.clone());
    // The other node says itself what it lets in.
    eyes.peer = Box::new(|_| PeerSaid::NotAsked);
    let once = Watch { times: 1, ..setup.pair.watch };
    let decision =
        watch(&mut eyes, &names, &once, Purpose::Change, cancel).map_err(|error| error.to_string())?;
    let fence = Fence::giving(eyes, names, &decision, cancel.clone()).map_err(|_| decision.verdict.why())?;
    setup.gives = Some(Arc::new(fence));
    Ok(())
}
