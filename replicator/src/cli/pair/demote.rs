//! `replicator pair demote`.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Lines;
use super::setup::Setup;
use crate::cancel::Cancel;
use crate::cli;
use crate::pair::verbs::demote::demote;
use crate::pair::verbs::demote::give_back;

/// Give the service of a pair away: end all writing on this node, and send what was written.
///
/// The roots become read-only and are unmounted, a last snapshot is taken of what was written, and it is sent to the other
/// node for as long as the pair allows (final_send); the rest is for the next run. Where the other node is not there it is
/// no failure. Nobody is promoted by it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Send nothing.
    #[arg(long)]
    without_send: bool,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair demote nfs
  replicator pair demote nfs --without-send

The exit status is 0 when nothing is written any more, whether all could be sent or not; what was sent is said.";

/// What became of the last send.
pub(super) enum Sent {
    /// There is nothing that the other node had to get from this one.
    Nothing,
    All,
    Not(String),
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    let (holds, sent) = demote_here(&mut setup, arguments.without_send, cancel)?;
    let (pair, node) = (&setup.pair.name, setup.name.as_str());
    let why = match &sent {
        Sent::Nothing | Sent::All => None,
        Sent::Not(why) => Some(why),
    };
    cli::print(&if arguments.common.json {
        let all = why.is_none();
        format!("{:#}\n", json!({ "pair": pair, "node": node, "held": holds, "sent": all, "why_not": why }))
    } else {
        let sent = match &sent {
            Sent::Nothing => "it had nothing to give".to_string(),
            Sent::All => "the other node has everything".to_string(),
            Sent::Not(why) => format!("not everything was sent ({why}): the next run does"),
        };
        format!("{pair}: {node} writes nothing any more; {sent}\n")
    })?;
    Ok(Outcome::Success)
}

/// Demotes this node, and sends what the other one lacks within the time that the pair has for it.
pub(super) fn demote_here(
    setup: &mut Setup,
    without_send: bool,
    cancel: &Cancel,
) -> Result<(bool, Sent), Failure> {
    let roots = setup.pair.roots.clone();
    let holds = demote(&mut setup.node, &roots, &mut |line| cli::say(line))?;
    let sent = match (holds, without_send) {
        (false, _) => Sent::Nothing,
        (true, true) => Sent::Not("it was not asked for".to_string()),
        (true, false) => within(setup.pair.final_send, cancel, |cancel| last(setup, cancel)),
    };
    // Until here nobody else was let in.
    give_back(&mut setup.node, &mut |line| cli::say(line));
    Ok((holds, sent))
}

/// Does something that is told to stop after this time.
fn within(limit: Duration, cancel: &Cancel, what: impl FnOnce(&Cancel) -> Sent) -> Sent {
    let inner = cancel.child();
    let (done, over) = channel::<()>();
    std::thread::scope(|scope| {
        let flag = inner.clone();
        scope.spawn(move || {
            if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                flag.cancel();
            }
        });
        let sent = what(&inner);
        drop(done);
        match sent {
            Sent::Not(_) if inner.is_cancelled() && !cancel.is_cancelled() => {
                Sent::Not(format!("it took longer than {} seconds", limit.as_secs()))
            }
            sent => sent,
        }
    })
}

fn last(setup: &Setup, cancel: &Cancel) -> Sent {
    let sent =
        Setup::of(setup.state.clone(), setup.pair.clone(), cancel).and_then(|mut setup| setup.send(&Lines));
    match sent {
        Ok(_) => Sent::All,
        Err(failure) => Sent::Not(failure.message().to_string()),
    }
}
