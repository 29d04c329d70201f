//! Giving the service away: the roots become read-only first, then they are unmounted, and what was written since the
//! newest snapshot goes into a last one. What an unmount still writes, such as times of access, is waited for. The epoch stays
//! with this node until another one is promoted. A node that is not active has nothing to give, and takes no snapshot.
//!
//! One root after the other: what fails with one, whose pool may be gone or hang, keeps no other from being closed.

use std::collections::BTreeSet;

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
use super::snapshot_name;
use super::take_together;
use super::working;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::pair::epoch::NodeName;
use crate::plan::Patterns;

/// The steps until nothing is written any more.
#[must_use]
pub fn close(side: &Side, mounts: &[Mount], must: bool) -> Vec<Step> {
    let mut steps = quiet(side, mounts);
    steps.extend(unmount(side.roots.iter().map(|root| &root.name), mounts, must));
    steps
}

/// Of these, those after which nothing can be written any more.
fn quiet(side: &Side, mounts: &[Mount]) -> Vec<Step> {
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
    steps
}

/// The steps that end the mounts of these roots: what was mounted last comes off first.
fn unmount<'r>(roots: impl Iterator<Item = &'r DatasetName>, mounts: &[Mount], must: bool) -> Vec<Step> {
    let roots: Vec<_> = roots.collect();
    let ours = mounts.iter().rev().filter(|mount| roots.iter().any(|root| mount.dataset.is_within(root)));
    ours.map(|mount| Step::Unmount { mount: mount.clone(), must }).collect()
}

/// The last snapshot of what was written, where this node is the one that was promoted last. Of what the pair leaves out
/// there is none.
///
/// # Errors
/// When a name would be too long.
pub fn last_snapshots(side: &Side, node: &NodeName, selected: &Patterns) -> Result<Vec<Step>, Refused> {
    let mut snapshots = Vec::new();
    for root in &side.roots {
        let Some(epoch) = root.epoch().filter(|epoch| epoch.holder == *node) else { continue };
        let last = root.replicated(selected);
        for state in last.filter(|state| state.written > 0 || state.snapshots.is_empty()) {
            let name = snapshot_name(state, "handover", epoch.number)
                .map_err(|error| Refused::Aside { dataset: state.name.clone(), why: error.to_string() })?;
            snapshots.push(name);
        }
    }
    Ok(take_together(snapshots))
}

/// What a demotion came to.
#[derive(Debug, Default)]
pub struct Demoted {
    /// Whether the other node has to get something: this one holds the newest epoch that it knows, of any root.
    pub holds: bool,
    /// The roots that could not be closed, or whose last snapshot could not be taken, each with the reason.
    pub failed: Vec<(DatasetName, VerbError)>,
}

impl Demoted {
    /// Does something with each root that has not failed before, and takes down what fails.
    fn each(
        &mut self,
        open: &mut Vec<DatasetName>,
        mut what: impl FnMut(&DatasetName) -> Result<(), VerbError>,
    ) {
        open.retain(|root| match what(root) {
            Ok(()) => true,
            Err(error) => {
                self.failed.push((root.clone(), error));
                false
            }
        });
    }
}

/// Demotes a node. What fails is told by the result; the same verb goes on from there.
pub fn demote(
    node: &mut dyn Node,
    roots: &[DatasetName],
    selected: &Patterns,
    tell: &mut dyn FnMut(&str),
) -> Demoted {
    let name = node.name().clone();
    let mut done = Demoted::default();
    let mut open = roots.to_vec();
    // Whoever looks into a pool that hangs, hangs with it.
    done.each(&mut open, |root| working(node, root.pool()).map(drop));
    // What is dirty cannot be written out, nor unmounted, without. They are made read-only, and that is not all.
    let mounts = match node.mounts() {
        Ok(mounts) => mounts,
        Err(error) => {
            tell(&format!("it is not known what is mounted: {error}"));
            done.failed.extend(open.first().map(|root| (root.clone(), error.into())));
            Vec::new()
        }
    };
    done.each(&mut open, |root| {
        let side = look(node.host(), name.as_str(), std::slice::from_ref(root))?;
        carry_out(node, &quiet(&side, &mounts), tell)
    });
    // One may be mounted within another.
    for step in unmount(open.iter(), &mounts, false) {
        if let Err(error) = carry_out(node, &[step], tell) {
            tell(&error.to_string());
        }
    }
    let mut settled = BTreeSet::new();
    done.each(&mut open, |root| {
        if settled.insert(root.pool().to_string()) {
            node.host().settle(root.pool())?;
        }
        Ok(())
    });
    // A snapshot that somebody else takes after the last one would not be on the other node.
    let _others = node
        .keep_from_taking()
        .inspect_err(|error| tell(&format!("others may take snapshots meanwhile: {error}")));
    let mut holds = false;
    done.each(&mut open, |root| {
        // With nobody writing any more.
        let side = look(node.host(), name.as_str(), std::slice::from_ref(root))?;
        holds |= side.roots.iter().any(|root| is_ours(root, &name));
        carry_out(node, &last_snapshots(&side, &name, selected)?, tell)
    });
    Demoted { holds, ..done }
}

/// Closes a node that the service has left, as after its power went: where nothing is mounted that could be written to, what
/// was written before gets its last snapshot, for the other node to have. Where anything is, nothing is done.
///
/// # Errors
/// When somebody promotes this node just now, or its mounts are not known.
pub fn close_what_was_left(
    node: &mut dyn Node,
    roots: &[DatasetName],
    selected: &Patterns,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<Demoted>, VerbError> {
    // As long as this is held nobody opens it.
    let _closed = node.close(roots)?;
    let within = |mount: &Mount| roots.iter().any(|root| mount.dataset.is_within(root));
    if node.mounts()?.iter().any(|mount| mount.writable && within(mount)) {
        return Ok(None);
    }
    // Nobody knows who has a volume open.
    let name = node.name().clone();
    for root in roots {
        if working(node, root.pool()).is_err() {
            continue;
        }
        let side = look(node.host(), name.as_str(), std::slice::from_ref(root))?;
        let open = side.roots.iter().flat_map(|root| root.datasets().map(move |state| (root, state))).find(
            |(root, state)| state.kind == DatasetKind::Volume && root.value(&state.name, "readonly") != "on",
        );
        if let Some((_, state)) = open {
            let volume = &state.name;
            tell(&format!(
                "{volume} is a volume that may be in use: nothing is closed; where it is not, `replicator pair demote`"
            ));
            return Ok(None);
        }
    }
    Ok(Some(demote(node, roots, selected, tell)))
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
