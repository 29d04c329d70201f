//! Bookmarks of ours: for which target each is kept, whether its snapshot is still there, and which of them a target
//! does not need any more. Those of others are counted and nothing else.

use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Tree;
use crate::marks::Mark;
use crate::marks::TargetId;
use crate::plan;
use crate::plan::DatasetPlan;
use crate::plan::Options;
use crate::plan::Sides;

/// One bookmark of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Its name.
    pub name: BookmarkName,
    /// What the name says.
    pub mark: Mark,
    /// Its place in the order of the pool.
    pub createtxg: Txg,
    /// The snapshot it stands for is still there.
    pub has_snapshot: bool,
    /// There is a newer one for the same target. The target may still need this one, if it did not get the newer one.
    pub superseded: bool,
    /// What is known against the target that was named.
    pub standing: Option<Standing>,
}

/// How a bookmark stands to the target that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is kept for another target.
    OtherTarget,
    /// It is kept for this target, which has nothing newer in common with the source.
    Needed,
    /// It is kept for this target, which has a newer snapshot in common: nothing starts at it any more. Under an earlier
    /// name of the target it is stale only once a bookmark under the name of today keeps that base.
    Stale,
}

impl Standing {
    /// A word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::OtherTarget => "other target",
            Self::Needed => "needed",
            Self::Stale => "stale",
        }
    }
}

/// The bookmarks of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDataset {
    /// The dataset.
    pub dataset: DatasetName,
    /// Ours, in the order of createtxg.
    pub ours: Vec<Ours>,
    /// How many are somebody else's.
    pub foreign: usize,
    /// The id of the target that was named, and the base it has in common with this dataset.
    pub target: Option<(TargetId, Option<Guid>)>,
}

impl OfDataset {
    /// Those that the named target does not need any more, with their GUIDs.
    pub fn stale(&self) -> impl Iterator<Item = (BookmarkName, Guid)> {
        let stale = self.ours.iter().filter(|one| one.standing == Some(Standing::Stale));
        stale.map(|one| (one.name.clone(), one.mark.guid))
    }

    /// As JSON. GUIDs are strings, because many readers of JSON keep numbers in 53 bits.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "dataset": self.dataset.as_str(),
            "foreign": self.foreign,
            "target_id": self.target.map(|(id, _)| id.to_string()),
            "newest_common": self.target.and_then(|(_, guid)| guid).map(|guid| guid.to_string()),
            "ours": self.ours.iter().map(|one| json!({
                "name": one.name.as_str(),
                "target_id": one.mark.target.to_string(),
                "guid": one.mark.guid.to_string(),
                "createtxg": one.createtxg.0.to_string(),
                "has_snapshot": one.has_snapshot,
                "superseded": one.superseded,
                "standing": one.standing.map(Standing::word),
            })).collect::<Vec<_>>(),
        })
    }
}

/// The bookmarks of each dataset of a tree.
#[must_use]
pub fn of_tree(tree: &Tree) -> Vec<OfDataset> {
    tree.datasets().iter().map(of_dataset).collect()
}

fn of_dataset(state: &DatasetState) -> OfDataset {
    let snapshots: HashSet<Guid> = state.snapshots.iter().map(|one| one.guid).collect();
    let mut newest: HashMap<TargetId, Txg> = HashMap::new();
    for (mark, createtxg) in state.bookmarks.iter().filter_map(|one| Some((Mark::of(one)?, one.createtxg))) {
        let entry = newest.entry(mark.target).or_insert(createtxg);
        *entry = (*entry).max(createtxg);
    }
    let ours: Vec<Ours> = state
        .bookmarks
        .iter()
        .filter_map(|one| {
            let mark = Mark::of(one)?;
            Some(Ours {
                name: one.name.clone(),
                mark,
                createtxg: one.createtxg,
                has_snapshot: snapshots.contains(&mark.guid),
                superseded: newest.get(&mark.target).is_some_and(|newest| one.createtxg < *newest),
                standing: None,
            })
        })
        .collect();
    let foreign = state.bookmarks.len() - ours.len();
    OfDataset { dataset: state.name.clone(), ours, foreign, target: None }
}

/// The target that bookmarks are held against.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// What is there.
    pub found: &'t Inventory,
    /// Its name.
    pub root: &'t DatasetName,
    /// A name that it had earlier, and that nothing has now.
    pub formerly: Option<&'t DatasetName>,
    /// The GUID of its pool.
    pub pool: Guid,
}

impl Target<'_> {
    /// The id that a dataset of the target had under the earlier name.
    fn former_id(&self, dataset: &DatasetName) -> Option<TargetId> {
        let (former, below) = (self.formerly?, dataset.strip_prefix(self.root)?);
        let name = if below.is_empty() { former.clone() } else { former.child(below).ok()? };
        Some(TargetId::new(self.pool, &name))
    }
}

/// As [`of_tree`], and how each stands to one target. A bookmark is stale only where the planner sees no conflict and
/// names a base in common that is newer.
#[must_use]
pub fn against(source: &Tree, target: Target<'_>, recursive: bool) -> Vec<OfDataset> {
    let sides = Sides::new(source, target.found, target.root, 0);
    let plan = plan::plan(sides, &Options { recursive, follow_renames: false, ..Options::default() });
    let planned: HashMap<&DatasetName, &DatasetPlan> =
        plan.datasets.iter().map(|planned| (&planned.source, planned)).collect();
    let mut all = of_tree(source);
    for (one, state) in all.iter_mut().zip(source.datasets()) {
        let Some(planned) = planned.get(&one.dataset) else { continue };
        let id = TargetId::new(target.pool, &planned.target);
        let former = target.former_id(&planned.target);
        let base = planned.steps.as_ref().ok().and(planned.common.as_ref()).map(Base::guid);
        let txg = base.and_then(|guid| place(state, guid));
        // What keeps the base however the snapshots are pruned.
        let kept = one.ours.iter().any(|mark| mark.mark.target == id && Some(mark.mark.guid) == base);
        one.target = Some((id, base));
        for mark in &mut one.ours {
            let of = mark.mark.target;
            mark.standing = Some(match txg {
                _ if of != id && Some(of) != former => Standing::OtherTarget,
                Some(txg) if of == id && mark.createtxg < txg => Standing::Stale,
                Some(txg) if of != id && kept && mark.createtxg <= txg => Standing::Stale,
                _ => Standing::Needed,
            });
        }
    }
    all
}

/// Where a GUID stands in the order of a dataset.
fn place(state: &DatasetState, guid: Guid) -> Option<Txg> {
    let snapshots = state.snapshots.iter().map(|one| (one.guid, one.createtxg));
    let bookmarks = state.bookmarks.iter().map(|one| (one.guid, one.createtxg));
    snapshots.chain(bookmarks).find(|(found, _)| *found == guid).map(|(_, txg)| txg)
}
