//! A person says that a dataset was meant to lose most of its data ([`sizes::loss`]): by a snapshot after it, which both
//! nodes have after the next replication. From then on what is older goes by the policies again.

use zfs_core::name::DatasetName;

use super::Refused;
use super::VerbError;
use super::carry_out;
use super::demote::is_ours;
use super::look::look;
use super::node::Node;
use super::snapshot_name;
use super::take_together;
use crate::config::pair::Guards;
use crate::host::HostError;
use crate::pair::sizes;
use crate::pair::sizes::ACCEPTED;
use crate::pair::sizes::Loss;
use crate::pair::sizes::Size;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Only these datasets; none stands for all.
    pub only: Vec<DatasetName>,
    /// Only says what would be accepted.
    pub dry_run: bool,
    /// What a loss is.
    pub guards: Guards,
}

/// Accepts the losses of all datasets of these roots. `list` gives the sizes of a dataset's snapshots, the oldest first.
///
/// # Errors
/// When this node is not the one that was promoted last, or a dataset cannot be looked at.
pub fn accept(
    node: &mut dyn Node,
    roots: &[DatasetName],
    list: &dyn Fn(&DatasetName) -> Result<Vec<Size>, HostError>,
    asked: &Asked,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<(DatasetName, Loss)>, VerbError> {
    let name = node.name().clone();
    let side = look(node.host(), name.as_str(), roots)?;
    let (mut found, mut snapshots) = (Vec::new(), Vec::new());
    for root in &side.roots {
        // Of the other node's data a snapshot here would be in the way of the next receive.
        let Some(epoch) = root.epoch().filter(|_| is_ours(root, &name)) else {
            return Err(Refused::NotAccepted(root.name.clone()).into());
        };
        let wanted = |dataset: &DatasetName| asked.only.is_empty() || asked.only.contains(dataset);
        for state in root.datasets().filter(|state| wanted(&state.name)) {
            let Some(loss) = sizes::loss(&list(&state.name)?, &asked.guards) else { continue };
            let snapshot = snapshot_name(state, ACCEPTED, epoch.number)
                .map_err(|error| Refused::Aside { dataset: state.name.clone(), why: error.to_string() })?;
            snapshots.push(snapshot);
            found.push((state.name.clone(), loss));
        }
    }
    if !asked.dry_run {
        carry_out(node, &take_together(snapshots), tell)?;
    }
    Ok(found)
}
