//! Lets go of a root that this node holds while the other one was promoted after it, as after a planned move: this node
//! has nothing of its own then, and follows without anybody's help. Whatever it may have alone keeps it from that, and
//! is a matter of a rejoin.

use std::collections::BTreeMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::AHEAD;
use super::Claim;
use super::Refusal;
use super::admit::NotAdmitted;
use super::admit::above;
use super::admit::adopt;
use super::admit::permit;
use super::judge;
use super::unfinished::unfinished;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::pair::aside;
use crate::pair::epoch::Belief;
use crate::pair::epoch::NodeName;

/// In the place of a snapshot of a dataset that the pair leaves out: what is in it is no matter of the pair.
pub const LEFT_OUT: Guid = Guid(0);

/// Lets the root of a claim follow whoever presents it. `both` are the newest snapshots of the datasets here which the other
/// node says that it has, too; [`LEFT_OUT`] for those that the pair leaves out. Where the claim is good anyway there is nothing
/// to do.
///
/// # Errors
/// Where the claim is not newer, or this node may have something of its own; when the host cannot be asked.
pub fn overtake(
    host: &mut dyn Host,
    node: &NodeName,
    claim: &Claim,
    both: &BTreeMap<DatasetName, Guid>,
) -> Result<(), NotAdmitted> {
    let root = &claim.root;
    // Until the epoch is written down nobody is promoted.
    let permit = permit(host, std::slice::from_ref(root))?;
    if !permit.is_seen_by_root() {
        return Err(Refusal::NotRoot(root.clone()).into());
    }
    let (found, belief) = above(host, root)?.unwrap_or_else(|| (root.clone(), Belief::None));
    let held = match judge(node, &found, &belief, None, Some(claim)) {
        Err(Refusal::Active { held, .. }) => held,
        Err(refusal) => return Err(refusal.into()),
        Ok(_) => return Ok(()),
    };
    if claim.epoch.saturating_sub(held.number) > AHEAD {
        let (presented, held) = (claim.epoch, held.number);
        return Err(Refusal::TooFar { root: root.clone(), presented, held }.into());
    }
    if unfinished(host, root)?.is_some() {
        return Err(Refusal::Unfinished(root.clone()).into());
    }
    let Inventory::Present(tree) = settled(host, root)? else {
        return Err(Refusal::Active { root: root.clone(), held }.into());
    };
    for state in tree.datasets().iter().filter(|state| !aside::holds(root, &state.name)) {
        if host.is_mounted_writable(&state.name)? {
            return Err(Refusal::Writable(state.name.clone()).into());
        }
        let there = both.get(&state.name).copied();
        if there == Some(LEFT_OUT) {
            continue;
        }
        if let Some(why) = own(state, there) {
            let (root, dataset) = (root.clone(), state.name.clone());
            return Err(Refusal::Keeps { root, held, dataset, why }.into());
        }
    }
    Ok(adopt(host, claim, false)?)
}

/// What a dataset may have that the other node has not. `there` is the newest snapshot that both have.
#[must_use]
pub fn own(state: &DatasetState, there: Option<Guid>) -> Option<String> {
    let Some(newest) = state.snapshots.last() else { return Some("has no snapshot".to_string()) };
    if there != Some(newest.guid) {
        return Some(format!("has {}, which the other node does not have", newest.name));
    }
    (state.written > 0).then(|| format!("was written to since {}", newest.name))
}

/// What lies there, with all that was written.
fn settled(host: &mut dyn Host, root: &DatasetName) -> Result<Inventory, HostError> {
    host.settle(root.pool())?;
    host.inventory(root, Depth::All)
}
