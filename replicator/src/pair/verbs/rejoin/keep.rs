//! Keeps what only this node has: carries out one thing after the other, each from a new look, until nothing is left to do.

use std::collections::BTreeMap;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;

use super::super::Refused;
use super::super::Step;
use super::super::VerbError;
use super::super::carry_out;
use super::super::node::Node;
use super::next::Facts;
use super::next::Next;
use super::next::beside;
use super::next::next;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Inventory;
use crate::host::NOT_COPIED;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::marks;
use crate::marks::Rejoining;
use crate::pair::fence::rejoining;

/// What was kept of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// The dataset.
    pub dataset: String,
    /// What it is called now.
    pub aside: String,
    /// Bytes that were written in it since the common snapshot, about.
    pub bytes: u64,
}

/// One thing after the other, each from a new look. `begun`: the root is marked already.
pub(super) fn set_aside(
    node: &mut dyn Node,
    root: &DatasetName,
    (epoch, theirs): (u64, &BTreeMap<DatasetName, DatasetState>),
    (full, mut begun): (bool, bool),
    kept: &mut Vec<Kept>,
    tell: &mut dyn FnMut(&str),
) -> Result<(), VerbError> {
    // Each dataset takes a few turns; more would be going round in circles.
    let most = theirs.len().saturating_mul(8).saturating_add(1000);
    for _ in 0..most {
        let mut datasets = BTreeMap::new();
        let mut list = |tree: &DatasetName| -> Result<bool, VerbError> {
            let Inventory::Present(tree) = node.host().inventory(tree, Depth::All)? else { return Ok(false) };
            datasets.extend(tree.datasets().iter().map(|state| (state.name.clone(), state.clone())));
            Ok(true)
        };
        list(root)?;
        let mut count = 1;
        while list(&beside(root, epoch, count)?)? {
            count += 1;
        }
        let facts = Facts { datasets, theirs: theirs.clone(), epoch, full };
        let Some(next) = next(root, &facts)? else { return Ok(()) };
        let step = match &next {
            Next::Discard(dataset) => {
                let partial = facts.datasets.get(dataset).and_then(|state| state.partial.clone());
                let Some(partial) = partial else { return Ok(()) };
                vec![Change::DiscardPartial { dataset: dataset.clone(), partial }]
            }
            Next::SetAside { dataset, aside, base } => {
                let state = facts.datasets.get(dataset);
                let bytes = state.map_or(Ok(0), |state| lost_of_sight(node, state, base.as_ref()))?;
                let (dataset_name, aside_name) = (dataset.to_string(), aside.to_string());
                kept.push(Kept { dataset: dataset_name, aside: aside_name, bytes });
                let guid = state.map_or(zfs_core::Guid(0), |state| state.guid);
                let mut changes = Vec::new();
                if !begun {
                    begun = true;
                    let set = vec![(marks::REJOIN.to_string(), Rejoining { epoch }.to_string())];
                    changes.push(Change::SetProperties { dataset: root.clone(), set });
                }
                if state.is_some_and(|state| state.kind == DatasetKind::Filesystem) {
                    // It keeps its mountpoint, and shall not be mounted there by anybody but a person.
                    let set = vec![("canmount".to_string(), "noauto".to_string())];
                    changes.push(Change::SetProperties { dataset: dataset.clone(), set });
                }
                changes.push(Change::Rename { from: dataset.clone(), guid, to: aside.clone() });
                changes
            }
            Next::Clone { dataset, aside, base } => {
                let properties = node.host().properties(aside, Depth::One)?;
                let kind = facts.datasets.get(aside).map(|state| state.kind);
                let set = local(&properties, aside, kind);
                let snapshot = base.name.clone();
                vec![Change::Clone { snapshot, guid: base.guid, to: dataset.clone(), set }]
            }
            Next::Promote(dataset) => vec![Change::Promote { dataset: dataset.clone() }],
            Next::MoveBack { from, to } => {
                let guid = facts.datasets.get(from).map_or(zfs_core::Guid(0), |state| state.guid);
                vec![Change::Rename { from: from.clone(), guid, to: to.clone() }]
            }
        };
        let steps: Vec<_> = step.into_iter().map(Step::Change).collect();
        carry_out(node, &steps, tell)?;
    }
    Err(Refused::Aside { dataset: root.clone(), why: "it does not come to an end".to_string() }.into())
}

/// Takes the mark off again, now that all is done: from the root last, so that what breaks off in between is gone on with.
pub(super) fn finish(
    node: &mut dyn Node,
    root: &DatasetName,
    epoch: u64,
    tell: &mut dyn FnMut(&str),
) -> Result<(), VerbError> {
    let mut places = Vec::new();
    for count in 1.. {
        let aside = beside(root, epoch, count)?;
        match rejoining(node.host(), &aside) {
            Ok(Some(_)) => places.push(aside),
            Ok(None) => {}
            Err(error) if error.zfs_kind() == Some(ErrorKind::NotFound) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match rejoining(node.host(), root) {
        Ok(Some(_)) => places.push(root.clone()),
        Ok(None) => {}
        // All of it was set aside.
        Err(error) if error.zfs_kind() == Some(ErrorKind::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let unset = |dataset| Change::UnsetProperties { dataset, names: vec![marks::REJOIN.to_string()] };
    let steps: Vec<_> = places.into_iter().map(unset).map(Step::Change).collect();
    carry_out(node, &steps, tell)
}

/// What the clone gets beside what comes with its snapshot.
fn local(properties: &Properties, of: &DatasetName, kind: Option<DatasetKind>) -> Vec<(String, String)> {
    let mut set = vec![("readonly".to_string(), "on".to_string())];
    if kind == Some(DatasetKind::Filesystem) {
        set.push(("canmount".to_string(), "noauto".to_string()));
    }
    let own = properties.get(of).into_iter().flatten();
    set.extend(
        own.filter(|(name, property)| {
            property.source == PropertySource::Local && !NOT_COPIED.contains(&name.as_str())
        })
        .map(|(name, property)| (name.clone(), property.value.clone())),
    );
    set
}

/// How many bytes a dataset has that the common snapshot has not, as ZFS estimates it.
fn lost_of_sight(
    node: &mut dyn Node,
    state: &DatasetState,
    base: Option<&Snapshot>,
) -> Result<u64, VerbError> {
    let Some(base) = base else { return Ok(state.referenced) };
    let newest = state.snapshots.last().filter(|newest| newest.guid != base.guid);
    let Some(newest) = newest else { return Ok(state.written) };
    let spec = SendSpec {
        to: newest.clone(),
        from: Some(Base::Snapshot(base.name.clone(), base.guid)),
        raw: state.encrypted(),
        flags: None,
        resume: None,
        compress: false,
    };
    let sizes = node.host().estimate(&[spec])?;
    Ok(state.written.saturating_add(sizes.into_iter().next().flatten().unwrap_or(0)))
}
