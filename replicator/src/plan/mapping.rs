//! Where each dataset of the source goes, and what must be made, renamed or set aside on the target before the streams:
//! the first half of planning a tree. What is sent is decided afterwards, in [`super::tree`], with the target as it is
//! after these changes.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::base::Bases;
use super::chain::Origin;
use super::conflict::Conflict;
use super::options::Divergence;
use super::preserve;
use super::steps::Side;
use super::steps::Step;
use super::tree::TreePlanner;
use super::tree::move_tree;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::marks;
use crate::pair::aside;

/// Where a dataset of the source goes, and what is there when its own steps begin.
#[derive(Debug)]
pub(super) struct Mapped<'a> {
    pub(super) target: DatasetName,
    /// `None` where it does not exist.
    pub(super) state: Option<Cow<'a, DatasetState>>,
    /// Another name under which bookmarks were kept, where the target was renamed.
    pub(super) known_as: Option<DatasetName>,
    pub(super) refused: Option<Conflict>,
}

/// Which datasets of the target that no name of the source leads to have a snapshot: by its GUID, the GUIDs of the
/// datasets.
pub(super) type Strays = HashMap<Guid, Vec<Guid>>;

impl<'a> TreePlanner<'a> {
    /// The name on the target that belongs to one on the source.
    fn target_of(&self, source: &DatasetName) -> Result<DatasetName, Conflict> {
        let below = source.strip_prefix(&self.sides.source.root().name).unwrap_or_default();
        if below.is_empty() {
            return Ok(self.sides.target_root.clone());
        }
        self.sides.target_root.child(below).map_err(|error| Conflict::NameTooLong {
            to: self.sides.target_root.clone(),
            snapshot: below.to_string(),
            error: Box::new(error),
        })
    }

    /// Filesystems above the target that do not exist.
    pub(super) fn missing_parents(&mut self) {
        let Inventory::Absent { ancestor, .. } = self.sides.target else { return };
        let mut missing = Vec::new();
        let mut parent = self.sides.target_root.parent();
        while let Some(name) = parent.filter(|name| *name != ancestor.name) {
            parent = name.parent();
            missing.push(name);
        }
        let encryption = match &ancestor.encryption {
            Some(encryption) => format!("; it inherits the encryption of {}", encryption.root),
            None => String::new(),
        };
        for name in missing.into_iter().rev() {
            self.make(name, &format!("the target needs it as a parent{encryption}"));
        }
    }

    /// A filesystem that only holds others.
    fn make(&mut self, dataset: DatasetName, reason: &str) {
        if self.made.insert(dataset.clone()) {
            let set = vec![("canmount".to_string(), "off".to_string())];
            let change = Change::CreateFilesystem { dataset, set };
            self.before.push(Step::change(Side::Target, change, reason));
        }
    }

    pub(super) fn map_all(&mut self) {
        for at in 0..self.selected.len() {
            let source = self.selected[at];
            let mut mapped = match self.target_of(&source.name) {
                Ok(target) => self.map(source, target),
                Err(conflict) => Mapped {
                    target: self.sides.target_root.clone(),
                    state: None,
                    known_as: None,
                    refused: Some(conflict),
                },
            };
            if let Some(conflict) = self.refused.get(&source.name) {
                mapped.refused = Some(conflict.clone());
            }
            self.mapped.push(mapped);
        }
    }

    fn map(&mut self, source: &'a DatasetState, target: DatasetName) -> Mapped<'a> {
        let mut mapped = Mapped { target, state: None, known_as: None, refused: None };
        if self.current.contains_key(&mapped.target) {
            preserve::finish_begun(&mapped.target, &mut self.current, &mut self.before);
        } else if let Some(aside) = preserve::interrupted(source, &mapped.target, &self.current) {
            let properties = self.sides.target_properties;
            preserve::go_on(source, &aside, &mapped.target, properties, &mut self.current, &mut self.before);
        } else if self.asides
            && let Some((aside, old)) =
                preserve::interrupted_elsewhere(source, &self.current, |name| self.is_free(name))
        {
            let properties = self.sides.target_properties;
            if self.current.contains_key(&old) {
                preserve::finish_begun(&old, &mut self.current, &mut self.before);
            } else {
                preserve::go_on(source, &aside, &old, properties, &mut self.current, &mut self.before);
            }
            self.follow(old, &mut mapped);
        } else if let Some(old) = self.renamed(source, &mapped.target) {
            self.follow(old, &mut mapped);
        } else if self.needs_placeholder(source)
            && let Some(parent) = mapped.target.parent()
        {
            self.placeholders(parent);
        }
        if self.options.divergence == Divergence::Preserve && !self.refused.contains_key(&source.name) {
            self.preserve(source, &mut mapped);
        }
        if mapped.state.is_none() {
            mapped.state = self.current.get(&mapped.target).cloned();
        }
        mapped
    }

    /// Whether the dataset above is left out, so that nobody else makes it on the target.
    fn needs_placeholder(&self, source: &DatasetState) -> bool {
        source.name != self.sides.source.root().name
            && source.name.parent().is_some_and(|parent| !self.places.contains_key(&parent))
    }

    fn placeholders(&mut self, parent: DatasetName) {
        let mut missing = Vec::new();
        let mut next = Some(parent);
        while let Some(name) = next {
            let planned = self.mapped.iter().any(|one| one.target == name);
            if planned || self.current.contains_key(&name) || !name.is_within(self.sides.target_root) {
                break;
            }
            next = name.parent();
            missing.push(name);
        }
        for name in missing.into_iter().rev() {
            self.make(name, "the dataset itself is not selected, but one below it is");
        }
    }

    /// Whether no name of the source leads to this one of the target.
    fn is_free(&self, target: &DatasetName) -> bool {
        let root = &self.sides.source.root().name;
        let name = target.strip_prefix(self.sides.target_root).and_then(|below| match below {
            "" => Some(root.clone()),
            below => root.child(below).ok(),
        });
        name.is_none_or(|name| self.sides.source.get(&name).is_none())
    }

    /// Whether no name of the source leads to this dataset of the target, and it is nothing that was set aside.
    fn is_stray(&self, there: &DatasetState) -> bool {
        self.is_free(&there.name)
            && marks::was_set_aside(&there.name).is_none()
            && !(self.options.pair && aside::holds(self.sides.target_root, &there.name))
            && !there.snapshots.is_empty()
    }

    fn strays(&mut self) -> &Strays {
        if self.strays.is_none() {
            let mut strays = Strays::new();
            for there in self.current.values().filter(|there| self.is_stray(there)) {
                for snapshot in &there.snapshots {
                    strays.entry(snapshot.guid).or_default().push(there.guid);
                }
            }
            self.strays = Some(strays);
        }
        self.strays.get_or_insert_default()
    }

    /// A dataset of the target that no name of the source leads to, and that has snapshots of this one.
    fn renamed(&mut self, source: &DatasetState, wanted: &DatasetName) -> Option<DatasetName> {
        if self.strays().is_empty() {
            return None;
        }
        let bases = Bases::of(source);
        let mut guids: Vec<_> = bases.all().map(|base| (Reverse(base.createtxg), base.guid())).collect();
        guids.sort();
        for (_, guid) in guids {
            let Some(found) = self.strays().get(&guid).cloned() else { continue };
            let free =
                self.current.values().filter(|there| found.contains(&there.guid) && self.is_stray(there));
            let mut free = free.map(|there| &there.name);
            match (free.next(), free.next()) {
                (None, _) => {}
                (Some(name), None) if name != wanted && !wanted.is_within(name) => return Some(name.clone()),
                // Which of several it is cannot be told.
                _ => return None,
            }
        }
        None
    }

    fn follow(&mut self, old: DatasetName, mapped: &mut Mapped<'a>) {
        let parent = mapped.target.parent();
        let can = parent.is_none_or(|parent| {
            self.current.contains_key(&parent)
                || self.made.contains(&parent)
                || !parent.is_within(self.sides.target_root)
        });
        mapped.known_as = Some(old.clone());
        let Some(state) = self.current.get(&old) else { return };
        if self.options.follow_renames && can {
            let change = Change::Rename { from: old.clone(), guid: state.guid, to: mapped.target.clone() };
            let reason = "the source's dataset was renamed; it is the same by the GUIDs of its snapshots";
            self.before.push(Step::change(Side::Target, change, reason));
            move_tree(&mut self.current, &old, &mapped.target);
        } else {
            self.notes.push(format!("{} goes on under its old name, {old}", mapped.target));
            mapped.target = old;
        }
    }

    /// With the policy `preserve`, a target that diverged is set aside, if it can go on afterwards and there is
    /// something to go on with.
    fn preserve(&mut self, source: &DatasetState, mapped: &mut Mapped<'a>) {
        let Some(state) = self.current.get(&mapped.target) else { return };
        let (target, now, properties) = (&mapped.target, self.sides.now, self.sides.target_properties);
        match self.judged(source, None, target, Some(state), state.encryption.as_ref()) {
            Err(Conflict::Diverged { base, .. }) => {
                let replica = preserve::replica(state, base.guid());
                match self.judged(source, None, target, Some(&replica), replica.encryption.as_ref()) {
                    Err(conflict) => mapped.refused = Some(conflict),
                    Ok(chain) if chain.steps.is_empty() => {
                        self.notes.push(format!(
                            "{target} has changed since {}, and {} has nothing newer to send: it stays as it is",
                            base.name(),
                            source.name
                        ));
                        mapped.state = Some(Cow::Owned(replica));
                    }
                    Ok(chain) if preserve::unloads_key(&replica, &chain.steps) => {
                        mapped.refused = preserve::would_unload_key(&replica, now);
                    }
                    Ok(_) => {
                        let (current, steps) = (&mut self.current, &mut self.before);
                        let done = preserve::set_aside(source, target, now, properties, current, steps);
                        mapped.refused = done.err();
                        self.strays = None;
                    }
                }
            }
            // A clone that was promoted took the snapshots along; this one is a clone of it now.
            Err(Conflict::NoCommonBase { .. } | Conflict::TargetWithoutSnapshots { .. }) => {
                let Some(origin) = self.start_of_promoted(source, state) else { return };
                match self.judged(source, Some(&origin), target, None, state.encryption.as_ref()) {
                    Err(conflict) => mapped.refused = Some(conflict),
                    Ok(_) => {
                        let (current, steps) = (&mut self.current, &mut self.before);
                        mapped.refused = preserve::move_aside(target, now, current, steps).err();
                        // What was below it has other names now.
                        self.strays = None;
                    }
                }
            }
            _ => {}
        }
    }

    /// The snapshot that the source is a clone of since another dataset was promoted, where this dataset of the target
    /// has it as its own, or is a clone of it without any snapshot, and a clone can be made of it.
    pub(super) fn start_of_promoted(&self, source: &DatasetState, there: &DatasetState) -> Option<Origin> {
        let name = source.origin.clone()?;
        let origin = self.source_snapshot(&name)?;
        let into = self.suits(source, origin, there).or_else(|| {
            let start = there.origin.as_ref().filter(|_| there.snapshots.is_empty())?;
            let into = self.suits(source, origin, self.current.get(start.dataset())?);
            into.filter(|into| into == start)
        })?;
        Some(Origin { name, guid: origin.guid, createtxg: origin.createtxg, into })
    }

    pub(super) fn source_snapshot(&self, name: &SnapshotName) -> Option<&'a crate::host::Snapshot> {
        self.sides.source.get(name.dataset())?.snapshots.iter().find(|one| one.name == *name)
    }
}
