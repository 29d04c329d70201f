//! `replicator pair demote`.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Lines;
use super::setup::Setup;
use super::watched::Watched;
use crate::cancel::Cancel;
use crate::cli;
use crate::codes::Coded;
use crate::pair::verbs::VerbError;
use crate::pair::verbs::demote::Demoted;
use crate::pair::verbs::demote::demote;
use crate::pair::verbs::demote::give_back;
use crate::pair::verbs::working;

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

The exit status is 0 when nothing is written any more, whether all could be sent or not; what was sent is said. Where a root
could not be closed, as one whose pool is gone, it says why, and the others are closed and sent all the same.";

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
///
/// # Errors
/// When a root could not be closed. The others are, and what there is of them was sent. The service is given back unless a
/// pool works of which a root could not be closed.
pub(super) fn demote_here(
    setup: &mut Setup,
    without_send: bool,
    cancel: &Cancel,
) -> Result<(bool, Sent), Failure> {
    let (roots, datasets) = (setup.pair.roots.clone(), setup.pair.options.datasets.clone());
    let Demoted { holds, failed } = demote(&mut setup.node, &roots, &datasets, &mut |line| cli::say(line));
    let sent = match (holds, without_send) {
        (false, _) => Sent::Nothing,
        (true, true) => Sent::Not("it was not asked for".to_string()),
        (true, false) => within(setup.pair.final_send, cancel, |cancel| last(setup, cancel)),
    };
    // Until here nobody else was let in. What could not be closed, and can still be written to, keeps it so.
    let open = failed.iter().find(|(root, _)| working(&mut setup.node, root.pool()).is_ok());
    match open {
        Some((root, _)) => cli::say(&format!("the service is not given back: {root} could not be closed")),
        None => give_back(&mut setup.node, &mut |line| cli::say(line)),
    }
    match failure(&setup.pair.name, roots.len(), &failed, &sent) {
        Some(failure) => Err(failure),
        None => Ok((holds, sent)),
    }
}

/// What is said of roots that could not be closed.
fn failure(pair: &str, of: usize, failed: &[(DatasetName, VerbError)], sent: &Sent) -> Option<Failure> {
    let (_, first) = failed.first()?;
    let mut message = format!("{pair}: {} of {of} roots could not be closed", failed.len());
    for (root, error) in failed {
        message.push_str(&format!("\n  {root}: {error}"));
    }
    message.push_str(&match sent {
        Sent::Nothing => String::new(),
        Sent::All => "\n  of the others the other node has everything".to_string(),
        Sent::Not(why) => format!("\n  of the others not everything was sent ({why}): the next run does"),
    });
    Some(Failure::new(first.code(), message).hinted(first.hint()))
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
    let other = Setup::of(setup.state.clone(), setup.pair.clone(), cancel);
    let sent = other.and_then(|mut other| match &setup.gives {
        Some(fence) => other.send(&Watched::new(&Lines, fence, cancel)),
        None => other.send(&Lines),
    });
    match sent {
        Ok(_) => Sent::All,
        Err(failure) => Sent::Not(failure.message().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;
    use crate::pair::guards;
    use crate::pair::verbs::Refused;

    #[test]
    fn each_root_that_is_not_closed_is_named_with_its_reason() {
        assert!(failure("nfs", 2, &[], &Sent::All).is_none());
        let root = |text: &str| -> DatasetName { text.parse().expect("a name") };
        let gone = || {
            let guard = guards::Refusal::Pool { pool: "zpool2".to_string(), state: "SUSPENDED".to_string() };
            VerbError::from(Refused::from(guard))
        };
        let failed = [(root("zpool2/photos"), gone()), (root("zpool2/storage"), gone())];
        let failure = failure("nfs", 4, &failed, &Sent::All).expect("two");
        assert_eq!((failure.code, failure.outcome), (Code::PairRefused, Outcome::Conflict));
        let lines: Vec<_> = failure.message().lines().collect();
        assert_eq!(lines[0], "nfs: 2 of 4 roots could not be closed");
        assert_eq!(lines[1], "  zpool2/photos: the pool zpool2 is SUSPENDED");
        assert_eq!(lines[3], "  of the others the other node has everything");
    }
}
