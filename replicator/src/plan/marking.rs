//! Which bookmarks a plan makes and removes on the source. Every snapshot gets one before it is sent, so that no crash
//! and no pruning loses the base; a bookmark counts as a base only where the target's own list has its GUID. Once a
//! newer base is proven, this target's older ones go. Bookmarks of other targets and of other people are never named.

use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::chain::Chain;
use super::steps::Side;
use super::steps::Step;
use super::steps::TreePlan;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Tree;
use crate::marks::Mark;
use crate::marks::TargetId;

/// How many bookmarks one call makes or removes.
const BATCH: usize = 500;

#[derive(Default)]
pub(super) struct Marking {
    made: Vec<(BookmarkName, SnapshotName, Guid)>,
    removed: Vec<(BookmarkName, Guid)>,
}

impl Marking {
    /// Adds what one dataset needs. `targets` are the names of its target: the one it has after the plan, and the one
    /// it had before, if it is renamed.
    pub(super) fn dataset(
        &mut self,
        source: &DatasetState,
        targets: &[&DatasetName],
        pool: Guid,
        chain: &Chain,
        notes: &mut Vec<String>,
    ) {
        let ids: Vec<TargetId> = targets.iter().map(|name| TargetId::new(pool, name)).collect();
        let Some(&id) = ids.first() else { return };
        let ours: HashMap<(TargetId, Guid), &BookmarkName> = source
            .bookmarks
            .iter()
            .filter_map(|one| Mark::of(one).map(|mark| ((mark.target, mark.guid), &one.name)))
            .collect();
        let sent = chain
            .steps
            .iter()
            .filter_map(Step::stream)
            .map(|spec| (spec.to.name.clone(), spec.to.guid, spec.to.createtxg));
        let common = chain.common.as_ref().and_then(|found| match &found.base {
            Base::Snapshot(name, guid) => Some((name.clone(), *guid, found.createtxg)),
            Base::Bookmark(..) => None,
        });
        let mut newest: Option<(Guid, Txg)> =
            chain.common.as_ref().map(|found| (found.guid(), found.createtxg));
        let mut too_long = false;
        let first = self.made.len();
        for (name, guid, txg) in common.into_iter().chain(sent) {
            newest = Some((guid, txg));
            if ours.contains_key(&(id, guid)) {
                continue;
            }
            match (Mark { target: id, guid }).name(name.dataset()) {
                Ok(bookmark) => self.made.push((bookmark, name, guid)),
                Err(_) => too_long = true,
            }
        }
        if too_long {
            notes.push(format!(
                "{}: its name is too long for bookmarks; only its snapshots can be a base",
                source.name
            ));
        }
        let Some((newest, txg)) = newest else { return };
        // Where the base is only a bookmark, under the target's old name, no other can be made: it stays.
        let kept =
            ours.contains_key(&(id, newest)) || self.made[first..].iter().any(|(_, _, guid)| *guid == newest);
        for one in &source.bookmarks {
            let Some(mark) = Mark::of(one) else { continue };
            let old_name = mark.target != id;
            if ids.contains(&mark.target) && one.createtxg <= txg && (mark.guid != newest || old_name && kept)
            {
                self.removed.push((one.name.clone(), one.guid));
            }
        }
        // Those that this very plan makes for what is not the newest are gone at its end as well.
        let made = self.made[first..].iter().filter(|(_, _, guid)| *guid != newest);
        self.removed.extend(made.map(|(bookmark, _, guid)| (bookmark.clone(), *guid)));
    }

    /// The steps before the streams, and those after them.
    pub(super) fn steps(self) -> (Vec<Step>, Vec<Step>) {
        let made = batches(self.made).map(|bookmarks| {
            let change = Change::Bookmark { bookmarks };
            Step::change(Side::Source, change, "they stay a base when the snapshots are gone")
        });
        let removed = batches(self.removed).map(|bookmarks| {
            let change = Change::DestroyBookmarks { bookmarks };
            Step::change(Side::Source, change, "this target has a newer base by then")
        });
        (made.collect(), removed.collect())
    }
}

/// Whether a plan would gain from knowing the pools: there is something to send, or a base that no bookmark of ours
/// keeps yet. Asking costs a command on the other machine.
#[must_use]
pub fn needs_pools(plan: &TreePlan, source: &Tree) -> bool {
    if plan.steps().next().is_some() {
        return true;
    }
    plan.datasets.iter().any(|dataset| {
        let kept = |guid: Guid| {
            let state = source.get(&dataset.source);
            state.is_some_and(|state| {
                state.bookmarks.iter().any(|one| Mark::of(one).is_some_and(|mark| mark.guid == guid))
            })
        };
        dataset.common.as_ref().is_some_and(|common| !kept(common.guid()))
    })
}

/// Cut into pieces, without a copy of all of it beside them.
fn batches<T>(all: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut rest = all.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<T> = rest.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}
