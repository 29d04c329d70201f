//! Giving the service away: the roots become read-only first, then they are unmounted, and what was written since the
//! newest snapshot goes into a last one. What an unmount still writes, such as times of access, is waited for. The epoch stays with this node until another one is promoted. A node that is not
//! active has nothing to give, and takes no snapshot.

use zfs_core::name::DatasetName;

use super::Refused;
use super::Step;
use super::VerbError;
use super::carry_out;
use super::look::Root;
use super::look::Side;
use super::look::look;
use super::node::Mount;
use super::node::Node;
use super::settle;
use super::snapshot_name;
use super::take_together;
use crate::host::Change;
use crate::pair::epoch::NodeName;

/// The steps until nothing is written any more.
#[must_use]
pub fn close(side: &Side, mounts: &[Mount], must: bool) -> Vec<Step> {
    let ours = |mount: &&Mount| side.roots.iter().any(|root| mount.dataset.is_within(&root.name));
    let written = mounts.iter().filter(ours).filter(|mount| mount.writable);
    let mut steps: Vec<_> = written.map(|mount| Step::Flush(mount.clone())).collect();
    for root in &side.roots {
        for state in root.datasets() {
            let dataset = &state.name;
            let own = *dataset == root.name || root.is_local(dataset, "readonly");
            if own && root.value(dataset, "readonly") != "on" {
                let set = vec![("readonly".to_string(), "on".to_string())];
                steps.push(Step::Change(Change::SetProperties { dataset: dataset.clone(), set }));
            }
        }
    }
    // What was mounted last comes off first.
    steps.extend(mounts.iter().rev().filter(ours).map(|mount| Step::Unmount { mount: mount.clone(), must }));
    steps
}

/// The last snapshot of what was written, where this node is the one that was promoted last.
///
/// # Errors
/// When a name would be too long.
pub fn last_snapshots(side: &Side, node: &NodeName) -> Result<Vec<Step>, Refused> {
    let mut snapshots = Vec::new();
    for root in &side.roots {
        let Some(epoch) = root.epoch().filter(|epoch| epoch.holder == *node) else { continue };
        for state in root.datasets().filter(|state| state.written > 0 || state.snapshots.is_empty()) {
            let name = snapshot_name(state, "handover", epoch.number)
                .map_err(|error| Refused::Aside { dataset: state.name.clone(), why: error.to_string() })?;
            snapshots.push(name);
        }
    }
    Ok(take_together(snapshots))
}

/// Demotes a node; what it gives is what the other one has to get: whether this node holds the newest epoch that it knows.
///
/// # Errors
/// When a step fails: then the same verb goes on from there.
pub fn demote(
    node: &mut dyn Node,
    roots: &[DatasetName],
    tell: &mut dyn FnMut(&str),
) -> Result<bool, VerbError> {
    let name = node.name().clone();
    let side = look(node.host(), name.as_str(), roots)?;
    let mounts = node.mounts()?;
    carry_out(node, &close(&side, &mounts, false), tell)?;
    settle(node, roots)?;
    // With nobody writing any more.
    let side = look(node.host(), name.as_str(), roots)?;
    carry_out(node, &last_snapshots(&side, &name)?, tell)?;
    Ok(side.roots.iter().any(|root| is_ours(root, &name)))
}

/// Gives the service back, after all was done that the other node needs. Where that fails it ends by itself.
pub fn give_back(node: &mut dyn Node, tell: &mut dyn FnMut(&str)) {
    if let Err(why) = node.release() {
        tell(&format!("the service could not be given back, and ends by itself: {why}"));
    }
}

/// Whether a root is held by this node.
#[must_use]
pub fn is_ours(root: &Root, node: &NodeName) -> bool {
    root.epoch().is_some_and(|epoch| epoch.holder == *node)
}
