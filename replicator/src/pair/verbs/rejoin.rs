//! A node that was active, and another one was promoted since: it lets go of what it wrote in between without losing any
//! of it, and follows. A dataset that went its own way is renamed to `<name>-divergent-<epoch>`, a clone of the newest
//! snapshot that the active node has, too, takes its name and is promoted, and its children move back. The epoch is that
//! in which it was written. One dataset after the other, each time from what is there: so a crash between any two
//! steps is found by the next run, by these names.

use std::collections::BTreeMap;

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;

use super::Refused;
use super::Step;
use super::VerbError;
use super::carry_out;
use super::demote;
use super::look::Far;
use super::look::Root;
use super::look::is_name_aside;
use super::look::look;
use super::node::Node;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::marks;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::believe;
use crate::pair::epoch::written;

/// Properties that are fixed when a dataset is made, or belong to its key.
const FIXED: &[&str] = &[
    "canmount",
    "casesensitivity",
    "encryption",
    "keyformat",
    "keylocation",
    "normalization",
    "pbkdf2iters",
    "readonly",
    "utf8only",
    "version",
    "volblocksize",
    "volsize",
];

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

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rejoined {
    /// The epoch that the node follows.
    pub epoch: u64,
    /// The node that is active.
    pub active: String,
    /// What was set aside in this run.
    pub kept: Vec<Kept>,
}

/// The name under which a dataset is set aside.
///
/// # Errors
/// When it would be too long.
pub fn aside(dataset: &DatasetName, epoch: u64) -> Result<DatasetName, Refused> {
    format!("{dataset}-divergent-{epoch}").parse().map_err(|error: zfs_core::name::NameError| {
        Refused::Aside { dataset: dataset.clone(), why: error.to_string() }
    })
}

/// The epoch in the name of a dataset that was set aside for `dataset`.
fn epoch_of(name: &DatasetName, dataset: &DatasetName) -> Option<u64> {
    let digits = name.as_str().strip_prefix(dataset.as_str())?.strip_prefix("-divergent-")?;
    digits.parse().ok().filter(|epoch: &u64| epoch.to_string() == digits)
}

/// What is there of a root and of what was set aside for it.
#[derive(Debug)]
pub struct Facts {
    /// All datasets, by name.
    pub datasets: BTreeMap<DatasetName, DatasetState>,
    /// Those of the active node's root.
    pub theirs: BTreeMap<DatasetName, DatasetState>,
    /// The epoch that this node was active in.
    pub epoch: u64,
    /// Whether a dataset without a common snapshot is set aside, too.
    pub full: bool,
}

/// The next thing to do in a tree.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Rename it aside. What is lost of sight is `from` the common snapshot on, where there is one.
    SetAside {
        /// The dataset.
        dataset: DatasetName,
        /// What it will be called.
        aside: DatasetName,
        /// The newest common snapshot.
        base: Option<Snapshot>,
    },
    /// Clone the common snapshot of what was set aside.
    Clone {
        /// Whose name the clone gets.
        dataset: DatasetName,
        /// What was set aside.
        aside: DatasetName,
        /// The newest common snapshot.
        base: Snapshot,
    },
    /// Promote the clone.
    Promote(DatasetName),
    /// Move a child back.
    MoveBack {
        /// Where it is.
        from: DatasetName,
        /// Where it belongs.
        to: DatasetName,
    },
    /// Throw away what a receive has kept, which would stand in the way.
    Discard(DatasetName),
}

/// What is to be done next with a root, if anything.
///
/// # Errors
/// When something has no way out that loses nothing.
pub fn next(root: &DatasetName, facts: &Facts) -> Result<Option<Next>, Refused> {
    // Parents first: what lies below moves back before it is looked at.
    for (dataset, theirs) in &facts.theirs {
        if !dataset.is_within(root) {
            continue;
        }
        let there = aside(dataset, facts.epoch)?;
        let (ours, gone) = (facts.datasets.get(dataset), facts.datasets.get(&there));
        let next = match (ours, gone) {
            // Not here, or never received.
            (None, None) => None,
            (None, Some(gone)) => common(gone, theirs).map(|base| Next::Clone {
                dataset: dataset.clone(),
                aside: there.clone(),
                base: base.clone(),
            }),
            (Some(ours), Some(gone)) if is_unpromoted(ours, gone) => Some(Next::Promote(dataset.clone())),
            (Some(_), Some(_)) => None,
            (Some(ours), None) => diverged(dataset, ours, theirs, there.clone(), facts.full)?,
        };
        if next.is_some() {
            return Ok(next);
        }
        if gone.is_some() && ours.is_some() {
            let below = facts.datasets.keys().find(|name| {
                // One that was set aside itself, in this epoch or before, is no dataset of its own any more.
                name.parent().as_ref() == Some(&there) && !is_name_aside(name.last())
            });
            if let Some(from) = below {
                let to = dataset
                    .child(from.last())
                    .map_err(|error| Refused::Aside { dataset: from.clone(), why: error.to_string() })?;
                if !facts.datasets.contains_key(&to) {
                    return Ok(Some(Next::MoveBack { from: from.clone(), to }));
                }
            }
        }
    }
    Ok(None)
}

fn is_unpromoted(ours: &DatasetState, gone: &DatasetState) -> bool {
    ours.snapshots.is_empty() && ours.origin.as_ref().is_some_and(|origin| *origin.dataset() == gone.name)
}

fn diverged(
    dataset: &DatasetName,
    ours: &DatasetState,
    theirs: &DatasetState,
    aside: DatasetName,
    full: bool,
) -> Result<Option<Next>, Refused> {
    let base = common(ours, theirs);
    if ours.written == 0
        && base.is_some()
        && base.map(|one| one.guid) == ours.snapshots.last().map(|one| one.guid)
    {
        return Ok(None);
    }
    if ours.partial.is_some() {
        return Ok(Some(Next::Discard(dataset.clone())));
    }
    if dataset.depth() == 1 {
        return Err(Refused::PoolRoot(dataset.clone()));
    }
    if base.is_none() && !full {
        return Err(Refused::NoBase(dataset.clone()));
    }
    Ok(Some(Next::SetAside { dataset: dataset.clone(), aside, base: base.cloned() }))
}

/// The newest snapshot of ours that is on the other node, too. Where both say so, with the same initialisation vectors.
fn common<'o>(ours: &'o DatasetState, theirs: &DatasetState) -> Option<&'o Snapshot> {
    let same = |one: &Snapshot| {
        let fits = |other: &Snapshot| {
            other.guid == one.guid
                && (one.ivset.is_none() || other.ivset.is_none() || one.ivset == other.ivset)
        };
        theirs.snapshots.iter().any(fits)
    };
    ours.snapshots.iter().rev().find(|one| same(one))
}

/// Lets a node follow. `there` is the host of the other one.
///
/// # Errors
/// When it may not, or a step fails: then the same verb goes on from there.
pub fn rejoin(
    node: &mut dyn Node,
    roots: &[DatasetName],
    there: &mut dyn Host,
    peer: &NodeName,
    full: bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Rejoined, VerbError> {
    let name = node.name().clone();
    let far = Far::Seen(look(there, peer.as_str(), roots)?);
    let mut followed = Vec::new();
    let here = look(node.host(), name.as_str(), roots)?;
    for root in &here.roots {
        let ours = own_epoch(node, root, &name)?;
        followed.push((root.name.clone(), ours.clone(), leader(ours.as_ref(), root, &far, &name, peer)?));
    }
    // Before anything is looked at closely nobody writes any more, and until the end nobody receives.
    let mounts = node.mounts()?;
    let behind: Vec<_> = followed
        .iter()
        .filter(|(_, ours, lead)| ours.as_ref().map(|ours| ours.number) != Some(lead.number))
        .collect();
    let mut done = Rejoined::default();
    let _closed = node.close(roots)?;
    for (_, _, lead) in &followed {
        done.epoch = done.epoch.max(lead.number);
        done.active = lead.holder.to_string();
    }
    if behind.is_empty() {
        return Ok(done);
    }
    carry_out(node, &demote::close(&here, &mounts, true), tell)?;
    for (root, ours, lead) in behind {
        let epoch = ours.as_ref().map_or(0, |ours| ours.number);
        let theirs = far.root(root).into_iter().flat_map(Root::datasets);
        let theirs: BTreeMap<_, _> = theirs.map(|state| (state.name.clone(), state.clone())).collect();
        set_aside(node, root, (epoch, &theirs), full, &mut done, tell)?;
        let pool = node.host().about(root.pool())?.guid;
        let exists = matches!(node.host().inventory(root, Depth::One)?, Inventory::Present(_));
        // Where it is set aside as a whole, the first receive brings the epoch.
        if exists {
            let set = vec![written(&Epoch { number: lead.number, holder: lead.holder.clone(), pool })];
            carry_out(node, &[Step::Change(Change::SetProperties { dataset: root.clone(), set })], tell)?;
        }
    }
    Ok(done)
}

/// The epoch of a root here; where a crash came right after it was set aside, that which it was set aside for.
fn own_epoch(node: &mut dyn Node, root: &Root, name: &NodeName) -> Result<Option<Epoch>, VerbError> {
    if let Belief::Unknown(doubt) = &root.belief {
        let (root, doubt) = (root.name.clone(), doubt.clone());
        return Err(Refused::Doubtful { node: name.to_string(), root, doubt }.into());
    }
    if root.tree.is_some() {
        return Ok(root.epoch().cloned());
    }
    let Inventory::Absent { children, .. } = node.host().inventory(&root.name, Depth::One)? else {
        return Ok(None);
    };
    let newest = children.iter().filter_map(|child| Some((epoch_of(child, &root.name)?, child))).max();
    let Some((_, found)) = newest else { return Ok(None) };
    let names = [marks::EPOCH.to_string()];
    let properties = node.host().some_properties(found, Depth::One, &names)?;
    let property = properties.get(found).and_then(|properties| properties.get(marks::EPOCH));
    match believe(property, root.pool) {
        Belief::Known(epoch) if epoch_of(found, &root.name) == Some(epoch.number) => Ok(Some(epoch)),
        _ => Ok(None),
    }
}

/// The epoch that a root has to follow.
fn leader(
    ours: Option<&Epoch>,
    root: &Root,
    far: &Far,
    name: &NodeName,
    peer: &NodeName,
) -> Result<Epoch, Refused> {
    let theirs = far.root(&root.name);
    let lead = match theirs.map(|theirs| &theirs.belief) {
        Some(Belief::Known(epoch)) => epoch,
        Some(Belief::Unknown(doubt)) => {
            let (root, doubt) = (root.name.clone(), doubt.clone());
            return Err(Refused::Doubtful { node: peer.to_string(), root, doubt });
        }
        Some(Belief::None) | None => return Err(Refused::NobodyIsActive(root.name.clone())),
    };
    if theirs.is_none_or(|theirs| theirs.tree.is_none()) {
        return Err(Refused::NoRoot { node: peer.to_string(), root: root.name.clone() });
    }
    if let Some(ours) = ours {
        if ours.number == lead.number && ours.holder != lead.holder {
            return Err(Refused::Both { root: root.name.clone(), number: ours.number });
        }
        if ours.number > lead.number {
            return Err(Refused::Newest(ours.into()));
        }
    }
    // Both agree on who it is.
    if lead.holder == *name {
        return Err(Refused::Newest(lead.into()));
    }
    Ok(lead.clone())
}

/// One thing after the other, each from a new look.
fn set_aside(
    node: &mut dyn Node,
    root: &DatasetName,
    (epoch, theirs): (u64, &BTreeMap<DatasetName, DatasetState>),
    full: bool,
    done: &mut Rejoined,
    tell: &mut dyn FnMut(&str),
) -> Result<(), VerbError> {
    let beside = aside(root, epoch)?;
    // Each dataset takes a few turns; more would be going round in circles.
    let most = theirs.len().saturating_mul(8).saturating_add(1000);
    for _ in 0..most {
        let mut datasets = BTreeMap::new();
        for tree in [root, &beside] {
            if let Inventory::Present(tree) = node.host().inventory(tree, Depth::All)? {
                datasets.extend(tree.datasets().iter().map(|state| (state.name.clone(), state.clone())));
            }
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
                done.kept.push(Kept { dataset: dataset_name, aside: aside_name, bytes });
                let guid = state.map_or(zfs_core::Guid(0), |state| state.guid);
                let mut changes = Vec::new();
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

/// What the clone gets beside what comes with its snapshot.
fn local(properties: &Properties, of: &DatasetName, kind: Option<DatasetKind>) -> Vec<(String, String)> {
    let mut set = vec![("readonly".to_string(), "on".to_string())];
    if kind == Some(DatasetKind::Filesystem) {
        set.push(("canmount".to_string(), "noauto".to_string()));
    }
    let own = properties.get(of).into_iter().flatten();
    set.extend(
        own.filter(|(name, property)| {
            property.source == PropertySource::Local && !FIXED.contains(&name.as_str())
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
