//! Pairs of nodes in a run: the active node sends, and looks again before each step whether it still is the active one.

use serde_json::json;

use super::Context;
use super::Failure;
use super::Outcome;
use super::phases::Lines;
use super::phases::Replication;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::pair::setup::Setup;
use crate::cli::pair::watched::Watched;
use crate::cli::roles::InPair;
use crate::cli::roles::Roles;
use crate::cli::roles::with_pairs;
use crate::config::Config;
use crate::jobs::memory::Memory;
use crate::role::Role;
use crate::role::decide::Remedy;
use crate::role::watch::Fence;

/// Lets this node follow in each pair whose service has left it, where it has nothing of its own: after a planned move
/// that is so. Else it stays isolated, and the remedy is told with its role.
///
/// # Errors
/// When the run is to stop.
pub(super) fn follow<'c>(config: &'c Config, roles: &mut Roles<'c>, cancel: &Cancel) -> Result<(), Failure> {
    for one in &mut roles.pairs {
        let verdict = &one.decision.verdict;
        if verdict.role != Role::Isolated || verdict.remedy != Remedy::Rejoin {
            continue;
        }
        let title = format!("pair {}", one.pair.name);
        let mut tell = |line: &str| cli::say(&format!("{title}: {line}"));
        let setup = Setup::of(config.folders.state.clone(), one.pair.clone(), cancel);
        let followed = setup.and_then(|mut setup| {
            if let Some(fence) = &one.fence {
                setup.fence_by(fence.clone());
            }
            setup.follow(&mut tell)
        });
        match followed {
            Ok(done) => {
                let (here, active) = (&one.names.here, &done.active);
                cli::say(&format!(
                    "{title}: {here} has nothing of its own, and follows {active} now, in epoch {}",
                    done.epoch
                ));
                *one = InPair::look(config, one.pair, true, cancel)?;
            }
            Err(failure) => cli::say(&format!("{title}: {}", failure.message())),
        }
    }
    Ok(())
}

/// Sends what the other nodes lack, of each pair in which this node is active.
pub(super) fn replicate(context: &Context<'_>, all: &mut Replication) {
    for one in &context.roles.pairs {
        if context.cancel.is_cancelled() {
            all.failures.push(Outcome::Interrupted);
            return;
        }
        let title = format!("pair {}", one.pair.name);
        let role = one.now();
        // A node that gave the service away and could not send everything in time goes on to, as long as nobody has taken
        // over: the other node lets it in only until then.
        let gives = role == Role::Isolated && one.decision.verdict.remedy == Remedy::Handover;
        let (true, Some(fence)) = (role == Role::Active || gives, &one.fence) else {
            // What is wrong with a role was told, and counted, when it was found.
            all.json.push(json!({ "pair": one.pair.name, "role": role, "state": "nothing is sent" }));
            continue;
        };
        if context.dry_run {
            context.show(&format!("{title}: would send to {}\n", one.pair.peer.node));
            continue;
        }
        all.jobs += 1;
        if gives && fence.check().is_ok() {
            close(context, one, &title);
        }
        if let Err(failure) = send(context, one, fence, &title, all) {
            all.json.push(json!({ "pair": one.pair.name, "role": role, "state": "failed", "message": failure.message() }));
            all.failures.push(failure.outcome);
            cli::complain(&failure);
        }
    }
}

/// The service has left this node, which was not stopped in order, as when its power went: what was written last is in no
/// snapshot yet, and keeps the other node from being promoted.
fn close(context: &Context<'_>, one: &InPair<'_>, title: &str) {
    let mut tell = |line: &str| cli::say(&format!("{title}: {line}"));
    let setup = Setup::of(context.config.folders.state.clone(), one.pair.clone(), context.cancel);
    let closed = setup.and_then(|mut setup| {
        if let Some(fence) = &one.fence {
            setup.fence_by(fence.clone());
        }
        setup.close_what_was_left(&mut tell)
    });
    if let Err(failure) = closed {
        cli::say(&format!("{title}: what was left could not be closed: {}", failure.message()));
    }
}

fn send(
    context: &Context<'_>,
    one: &InPair<'_>,
    fence: &Fence,
    title: &str,
    all: &mut Replication,
) -> Result<(), Failure> {
    let cancel = context.cancel.child();
    let state = &context.config.folders.state;
    let mut setup = Setup::of(state.clone(), one.pair.clone(), &cancel)?;
    let lines = Lines { title, board: context.board };
    let sent = setup.send(&Watched::new(&lines, fence, &cancel));
    if let Err(fenced) = fence.check() {
        let hint = "nothing more was sent; the next run finds out what this node is now".to_string();
        return Err(Failure::new(Outcome::NoRole, format!("{title}: {fenced}")).hinted(hint));
    }
    let (mut bytes, mut wire, mut steps, mut datasets) = (0u64, 0u64, 0, 0);
    let now = jiff::Timestamp::now().as_second();
    let jobs = one.pair.jobs();
    let mut seen = Vec::new();
    for (root, done) in sent? {
        let moved = done.report.moved();
        bytes = bytes.saturating_add(moved.plain);
        wire = wire.saturating_add(moved.wire);
        steps += done.report.steps();
        datasets += done.report.datasets.len();
        let job = jobs.iter().find(|job| job.source.dataset == root);
        seen.extend(job.and_then(|job| Some(done.seen(job, job.targets.first()?, now))));
    }
    if let Err(problem) = Memory::remember(state, &with_pairs(context.config), seen) {
        cli::say(&format!("warning: {problem}"));
    }
    all.up_to_date += 1;
    all.moved.plain = all.moved.plain.saturating_add(bytes);
    all.moved.wire = all.moved.wire.saturating_add(wire);
    all.json.push(json!({
        "pair": one.pair.name,
        "role": one.decision.verdict.role,
        "to": one.pair.peer.node,
        "datasets": datasets,
        "steps": steps,
        "bytes": bytes,
        "bytes_on_the_wire": wire,
    }));
    Ok(())
}
