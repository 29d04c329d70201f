//! What a root says of itself that stands against receiving into it, or against relying on it: that a rejoin broke off, and
//! that its first replication did.
//!
//! A rejoin sets a whole root aside, puts a clone in its place and moves the children back, one step after the other. In
//! between the root may be missing, or stand there without its children, and look as if it followed: the next stream would
//! bring everything in full, and what was set aside would stay behind. So a mark is on the root before the first of these
//! steps, goes with it when it is renamed, comes with its properties to the clone, and is the last thing to go.

use zfs_core::name::DatasetName;

use super::Claim;
use super::Refusal;
use super::admit::NotAdmitted;
use super::admit::above;
use super::admit::is_missing;
use super::admit::permit;
use super::judge;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Property;
use crate::host::PropertySource;
use crate::marks;
use crate::marks::FirstCopy;
use crate::marks::Rejoining;
use crate::pair::aside;
use crate::pair::epoch::Belief;
use crate::pair::epoch::NodeName;

/// The mark of a rejoin of this root that was begun and has not come to its end: on the root, or where it is not there, on
/// what it was set aside as.
///
/// # Errors
/// When the host cannot be asked. A root that is not there is no error.
pub fn unfinished(host: &mut dyn Host, root: &DatasetName) -> Result<Option<Rejoining>, HostError> {
    match rejoining(host, root) {
        Err(error) if is_missing(&error) => {}
        found => return found,
    }
    let Inventory::Absent { children, .. } = host.inventory(root, Depth::One)? else { return Ok(None) };
    for child in children.iter().filter(|child| aside::of(child, root).is_some()) {
        if let Some(mark) = rejoining(host, child)? {
            return Ok(Some(mark));
        }
    }
    Ok(None)
}

/// The mark of a rejoin on this dataset.
///
/// # Errors
/// When the host cannot be asked, or the dataset is not there.
pub fn rejoining(host: &mut dyn Host, dataset: &DatasetName) -> Result<Option<Rejoining>, HostError> {
    let found = local(host, dataset, marks::REJOIN)?;
    Ok(found.and_then(|property| Rejoining::read(&property.value)))
}

/// Whether the first replication of a root has not come to its end, as far as is known there.
///
/// # Errors
/// When the host cannot be asked, or the root is not there.
pub fn first_copy(host: &mut dyn Host, root: &DatasetName) -> Result<Option<FirstCopy>, HostError> {
    let found = local(host, root, marks::FIRST)?;
    Ok(found.and_then(|property| FirstCopy::read(&property.value)))
}

/// A property, where it was set on the dataset itself.
fn local(host: &mut dyn Host, dataset: &DatasetName, name: &str) -> Result<Option<Property>, HostError> {
    let mut found = host.some_properties(dataset, Depth::One, &[name.to_string()])?;
    let property = found.get_mut(dataset).and_then(|properties| properties.remove(name));
    Ok(property.filter(|property| property.source == PropertySource::Local))
}

/// Takes down how much of a root that is received for the first time is here, as who sends it has seen: with all of it the
/// first replication is over.
///
/// # Errors
/// Where the claim does not entitle to anything; when the host cannot be asked.
pub fn counted(
    host: &mut dyn Host,
    node: &NodeName,
    claim: &Claim,
    count: FirstCopy,
) -> Result<(), NotAdmitted> {
    let root = &claim.root;
    let permit = permit(host, std::slice::from_ref(root))?;
    if !permit.is_seen_by_root() {
        return Err(Refusal::NotRoot(root.clone()).into());
    }
    let (found, belief) = above(host, root)?.unwrap_or_else(|| (root.clone(), Belief::None));
    judge(node, &found, &belief, None, Some(claim))?;
    if unfinished(host, root)?.is_some() {
        return Err(Refusal::Unfinished(root.clone()).into());
    }
    let Some(known) = first_copy(host, root)? else { return Ok(()) };
    if count.there >= count.of {
        let names = vec![marks::FIRST.to_string()];
        host.apply(&Change::UnsetProperties { dataset: root.clone(), names })?;
    } else if known != count {
        let set = vec![(marks::FIRST.to_string(), count.to_string())];
        host.apply(&Change::SetProperties { dataset: root.clone(), set })?;
    }
    Ok(())
}
