//! What a target has beside the snapshots: which properties and marks each dataset is to have, and what becomes of
//! those that nothing of the source leads to. The rules are in [`super::properties`] and [`super::gone`].

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::gone;
use super::mapping::Mapped;
use super::properties;
use super::properties::Inheritance;
use super::properties::There;
use super::steps::Kept;
use super::steps::Step;
use super::tree::Sides;
use super::tree::TreePlanner;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Property;
use crate::host::Tree;
use crate::marks;

/// The names that the target's datasets had when their properties were read, by their GUIDs.
pub(super) type ReadAs<'a> = HashMap<Guid, &'a DatasetName>;

pub(super) fn read_as<'a>(sides: &Sides<'a>) -> ReadAs<'a> {
    if sides.target_properties.is_none() {
        return ReadAs::new();
    }
    let present = match sides.target {
        Inventory::Absent { .. } => None,
        Inventory::Present(tree) => Some(tree),
    };
    let all = present.into_iter().chain(sides.asides).flat_map(Tree::datasets);
    all.map(|one| (one.guid, &one.name)).collect()
}

impl<'a> TreePlanner<'a> {
    /// The name that a dataset of the target had when its properties were read.
    fn read_as<'s>(&'s self, state: &'s DatasetState) -> &'s DatasetName {
        self.read_as.get(&state.guid).copied().unwrap_or(&state.name)
    }

    /// What is set on a dataset of the target, as far as that was asked for.
    fn properties_of(&self, state: &DatasetState) -> Option<&'a BTreeMap<String, Property>> {
        self.sides.target_properties?.get(self.read_as(state))
    }

    /// What the target's dataset is to have: properties of the source's, and the mark of being a copy. Gives what the
    /// reader should know.
    pub(super) fn add_properties(
        &self,
        source: &DatasetState,
        mapped: &Mapped<'_>,
        inheritance: &mut Inheritance,
        steps: &mut Vec<Step>,
    ) -> Option<String> {
        let list = &self.options.properties;
        let here = self.sides.source_properties.and_then(|all| all.get(&source.name));
        let state = mapped.state.as_deref();
        let has = state.and_then(|state| self.properties_of(state));
        let moved = state.is_some_and(|state| *self.read_as(state) != mapped.target);
        let mut wanted = here.map(|here| list.set_on(here)).unwrap_or_default();
        if self.options.remove_gone_after.is_some() && source.name != self.sides.source.root().name {
            wanted.push(gone::replica(&self.sides, source));
        }
        properties::add(wanted, &There { name: &mapped.target, has, moved }, inheritance, steps);
        let left = properties::left_over(list, here?, has?);
        (!left.is_empty())
            .then(|| format!("{} keeps {}, which the source does not set", mapped.target, left.join(", ")))
    }

    /// What the target has and the source has not.
    pub(super) fn gone(&self) -> gone::Decided {
        if !self.options.recursive {
            return gone::Decided::default();
        }
        // What is received into, and everything above that.
        let mut needed: HashSet<DatasetName> = HashSet::new();
        for one in &self.mapped {
            let mut name = Some(one.target.clone());
            while let Some(next) = name.filter(|name| !needed.contains(name)) {
                name = next.parent();
                needed.insert(next);
            }
        }
        let others = || self.current.iter().filter(|(name, _)| !needed.contains(*name));
        let Some(grace) = self.options.remove_gone_after else {
            return gone::Decided { steps: Vec::new(), kept: kept(others().map(|(name, _)| name)) };
        };
        let root = self.sides.target_root;
        let (within, beside): (Vec<_>, Vec<_>) =
            others().partition(|(name, _)| name.is_within(root) && *name != root);
        let gone: Vec<&DatasetState> = within.into_iter().map(|(_, state)| state.as_ref()).collect();
        let properties = |state: &DatasetState| self.properties_of(state);
        let mut decided = gone::decide(&self.sides, self.options, grace, &gone, &properties);
        decided.kept.extend(kept(beside.into_iter().map(|(name, _)| name)));
        let back = self.mapped.iter().filter_map(|mapped| {
            let there = self.properties_of(mapped.state.as_ref()?);
            gone::back(&mapped.target, there)
        });
        decided.steps.splice(0..0, back);
        decided
    }
}

/// Where nothing is removed, only the topmost of each: what is below goes with it.
fn kept<'n>(names: impl Iterator<Item = &'n DatasetName>) -> Vec<Kept> {
    let mut kept: Vec<Kept> = Vec::new();
    for name in names {
        if kept.last().is_some_and(|last| name.is_within(&last.dataset)) {
            continue;
        }
        let reason = match marks::was_set_aside(name) {
            Some(of) => format!("what {of} was before it diverged"),
            None => gone::NOT_THERE.to_string(),
        };
        kept.push(Kept { dataset: name.clone(), reason, due: false });
    }
    kept
}
