//! The planned switch, by which nothing is lost: the active node stops writing, takes a last snapshot and sends it; when
//! all of it is proven to be on the other node, the service is given to it, then the epoch, and only then the other node
//! is promoted. If anything fails before that, this node goes on as the active one.

use zfs_core::name::DatasetName;

use super::Refused;
use super::Step;
use super::VerbError;
use super::carry_out;
use super::demote;
use super::far::Far;
use super::look::look;
use super::node::Node;
use super::promote;
use super::send;
use super::send::Sending;
use super::settle;
use super::working;
use crate::host::Change;
use crate::host::Host;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::written;
use crate::role::source::NotTaken;

/// What a handover came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The epoch of the other node.
    pub epoch: u64,
    /// Whether this run has given anything; else the other node had it already.
    pub now: bool,
}

/// Hands all roots over to `peer`.
///
/// # Errors
/// When this node does not have the service, or something is not on the other one: then this node is as it was.
pub fn handover(
    node: &mut dyn Node,
    roots: &[DatasetName],
    there: &mut dyn Host,
    peer: &NodeName,
    asked: &promote::Asked,
    how: &Sending<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Given, VerbError> {
    let name = node.name().clone();
    roots.iter().try_for_each(|root| working(node, root.pool()).map(drop))?;
    let side = look(node.host(), name.as_str(), roots)?;
    let newest = side.roots.iter().filter_map(|root| root.epoch()).max_by_key(|epoch| epoch.number).cloned();
    let Some(newest) = newest else { return Err(Refused::NotHolder.into()) };
    let given = |root: &super::look::Root, number| {
        root.epoch().is_some_and(|epoch| epoch.number == number && epoch.holder == *peer)
    };
    if newest.holder == *peer && side.roots.iter().all(|root| given(root, newest.number)) {
        // An earlier run has done it.
        return Ok(Given { epoch: newest.number, now: false });
    }
    // Where a crash came between two roots, the first of them are given away, and all was sent before.
    let number = if newest.holder == *peer { newest.number.checked_sub(1) } else { Some(newest.number) };
    let ours = side.roots.iter().all(|root| demote::is_ours(root, &name) || given(root, newest.number));
    let (Some(number), true) = (number, ours) else { return Err(Refused::NotHolder.into()) };
    let first = roots.first().cloned();
    let Some(next) = number.checked_add(1) else {
        return Err(first.map_or(Refused::NotHolder, Refused::NoMoreEpochs).into());
    };
    if newest.holder != *peer {
        // What this node does not have it cannot give.
        match node.claim() {
            // An earlier run has given it, and broke off before it gave the epoch.
            Err(NotTaken::Held { node, .. }) if node == peer.as_str() => {}
            claimed => claimed.map_err(Refused::from)?,
        }
        let sent = give(node, roots, there, peer, number, how, tell).and_then(|()| pass_on(node));
        if let Err(error) = sent {
            tell("nothing was switched: this node goes on");
            let back = promote::promote(node, roots, Err("nothing was switched".to_string()), asked, tell);
            return match back {
                Ok(_) => Err(error),
                Err(back) => {
                    tell(&format!("it could not go on: {back}"));
                    Err(error)
                }
            };
        }
    }
    for root in &side.roots {
        let epoch = Epoch { number: next, holder: peer.clone(), pool: root.pool };
        if root.epoch() != Some(&epoch) {
            let set = vec![written(&epoch)];
            let step = Step::Change(Change::SetProperties { dataset: root.name.clone(), set });
            carry_out(node, &[step], tell)?;
        }
    }
    Ok(Given { epoch: next, now: true })
}

/// Gives the service to the other node, before its epoch: from here on nobody else can take it.
fn pass_on(node: &mut dyn Node) -> Result<(), VerbError> {
    if node.hand_over().map_err(Refused::NotHanded)? {
        return Ok(());
    }
    // It has run out while the last of it was sent.
    node.claim().map_err(Refused::from)?;
    if node.hand_over().map_err(Refused::NotHanded)? {
        return Ok(());
    }
    Err(Refused::NotHanded("it has run out".to_string()).into())
}

fn give(
    node: &mut dyn Node,
    roots: &[DatasetName],
    there: &mut dyn Host,
    peer: &NodeName,
    number: u64,
    how: &Sending<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<(), VerbError> {
    let name = node.name().clone();
    // Most of it, while the service still runs.
    for root in roots {
        send::send(node.host(), there, root, (number, &name, peer), how)?;
    }
    let side = look(node.host(), name.as_str(), roots)?;
    let mounts = node.mounts()?;
    carry_out(node, &demote::close(&side, &mounts, true), tell)?;
    settle(node, roots)?;
    // A snapshot that somebody else takes after the last one would be missing there.
    let _others = node.keep_from_taking()?;
    let side = look(node.host(), name.as_str(), roots)?;
    let selected = &how.options.datasets;
    carry_out(node, &demote::last_snapshots(&side, &name, selected)?, tell)?;
    for root in roots {
        send::send(node.host(), there, root, (number, &name, peer), how)?;
    }
    let side = look(node.host(), name.as_str(), roots)?;
    let far = Far::seen(look(there, peer.as_str(), roots)?);
    Ok(send::all_there(&side, &far, selected)?)
}
