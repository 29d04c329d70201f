//! What two sides have, beside each other: by GUID from their inventories (here), and by content from snapshots that
//! are read ([`content`]). Comparing changes nothing on either side. Whether a difference matters is the planner's
//! word: what it would stop at is a difference, what it would send is not.

use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Snapshot;
use crate::host::Tree;
use crate::plan;
use crate::plan::Conflict;
use crate::plan::Options;
use crate::plan::Sides;

pub mod blocks;
pub mod content;
pub mod found;
pub mod walk;

#[cfg(test)]
pub(crate) mod tests;

/// Two trees beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The datasets of the source, parents first.
    pub pairs: Vec<Pair>,
    /// Datasets of the target that the source does not have.
    pub only_target: Vec<DatasetName>,
}

/// A dataset of the source and its counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The dataset of the source.
    pub source: DatasetName,
    /// Where its replica is or would be.
    pub target: DatasetName,
    /// What it comes to.
    pub verdict: Verdict,
    /// Snapshots that both sides have, by GUID, in the order of the target: here and there.
    pub common: Vec<(Snapshot, Snapshot)>,
    /// The newest base in common, as the source has it: a snapshot or a bookmark.
    pub base: Option<Base>,
    /// Snapshots that the target does not have.
    pub source_only: Vec<Snapshot>,
    /// Snapshots that the source does not have.
    pub target_only: Vec<Snapshot>,
    /// Snapshots with the same name and another GUID: here and there.
    pub same_name: Vec<(Snapshot, Snapshot)>,
    /// Bytes written since the newest snapshot, on the source.
    pub source_written: u64,
    /// Bytes written since the newest snapshot, on the target.
    pub target_written: u64,
    /// The target waits for the rest of a stream.
    pub partial: bool,
}

/// What the comparison of two datasets comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest snapshot of both is the same.
    Equal,
    /// The target lacks the newest snapshots, and a replication brings them.
    Behind,
    /// The target does not exist, and a replication makes it.
    Missing,
    /// A replication would stop.
    Stops(Box<Conflict>),
}

impl Verdict {
    /// A word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Behind => "behind",
            Self::Missing => "missing",
            Self::Stops(_) => "stops",
        }
    }
}

/// Compares two trees by GUID.
#[must_use]
pub fn compare(source: &Tree, target: &Inventory, root: &DatasetName, recursive: bool) -> Comparison {
    let sides = Sides::new(source, target, root, 0);
    // By name: a renamed dataset is shown where it is.
    let plan = plan::plan(sides, &Options { recursive, follow_renames: false, ..Options::default() });
    let there = match target {
        Inventory::Absent { .. } => None,
        Inventory::Present(tree) => Some(tree),
    };
    let pairs: Vec<Pair> = plan
        .datasets
        .iter()
        .filter_map(|planned| {
            let here = source.get(&planned.source)?;
            let there = there.and_then(|tree| tree.get(&planned.target));
            Some(pair(here, there, planned))
        })
        .collect();
    let known: HashSet<&DatasetName> = pairs.iter().map(|pair| &pair.target).collect();
    let others = there.into_iter().flat_map(Tree::datasets).map(|one| &one.name);
    let only_target = others.filter(|name| !known.contains(name)).cloned().collect();
    Comparison { pairs, only_target }
}

fn pair(here: &DatasetState, there: Option<&DatasetState>, planned: &plan::DatasetPlan) -> Pair {
    let theirs = there.map_or(&[][..], |there| &there.snapshots);
    let by_guid: HashMap<Guid, &Snapshot> = here.snapshots.iter().map(|one| (one.guid, one)).collect();
    let by_name: HashMap<&str, &Snapshot> =
        here.snapshots.iter().map(|one| (one.name.short(), one)).collect();
    let in_target: HashSet<Guid> = theirs.iter().map(|one| one.guid).collect();
    let newest = |list: &[Snapshot]| list.last().map(|one| one.guid);
    let verdict = match (&planned.steps, there) {
        (Err(conflict), _) => Verdict::Stops(Box::new(conflict.clone())),
        (Ok(_), None) => Verdict::Missing,
        (Ok(_), Some(there)) if newest(&here.snapshots) == newest(&there.snapshots) => Verdict::Equal,
        (Ok(_), Some(_)) => Verdict::Behind,
    };
    Pair {
        source: here.name.clone(),
        target: planned.target.clone(),
        verdict,
        common: theirs
            .iter()
            .filter_map(|one| Some(((*by_guid.get(&one.guid)?).clone(), one.clone())))
            .collect(),
        base: planned.common.clone(),
        source_only: here.snapshots.iter().filter(|one| !in_target.contains(&one.guid)).cloned().collect(),
        target_only: theirs.iter().filter(|one| !by_guid.contains_key(&one.guid)).cloned().collect(),
        same_name: theirs
            .iter()
            .filter_map(|one| {
                let here = by_name.get(one.name.short()).filter(|here| here.guid != one.guid)?;
                Some(((*here).clone(), one.clone()))
            })
            .collect(),
        source_written: here.written,
        target_written: there.map_or(0, |there| there.written),
        partial: there.is_some_and(|there| there.partial.is_some()),
    }
}

impl Pair {
    /// Which snapshots to read for a comparison of contents: those of this name on both sides, whatever their GUIDs,
    /// or the newest that both have.
    #[must_use]
    pub fn to_read(&self, name: Option<&str>) -> Option<(SnapshotName, SnapshotName)> {
        let names = |(here, there): &(Snapshot, Snapshot)| (here.name.clone(), there.name.clone());
        let Some(name) = name else { return self.common.last().map(names) };
        let named =
            |(here, there): &&(Snapshot, Snapshot)| here.name.short() == name && there.name.short() == name;
        self.common.iter().find(named).or_else(|| self.same_name.iter().find(named)).map(names)
    }

    /// As JSON. GUIDs are strings, because many readers of JSON keep numbers in 53 bits.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let list = |list: &[Snapshot]| -> Vec<Value> {
            list.iter()
                .map(|one| json!({ "name": one.name.as_str(), "guid": one.guid.to_string() }))
                .collect()
        };
        let both = |list: &[(Snapshot, Snapshot)]| -> Vec<Value> {
            list.iter()
                .map(|(here, there)| {
                    json!({
                        "source": here.name.as_str(),
                        "source_guid": here.guid.to_string(),
                        "target": there.name.as_str(),
                        "target_guid": there.guid.to_string(),
                    })
                })
                .collect()
        };
        let mut value = json!({
            "source": self.source.as_str(),
            "target": self.target.as_str(),
            "verdict": self.verdict.word(),
            "common": both(&self.common),
            "base": self.base.as_ref().map(Base::name),
            "source_only": list(&self.source_only),
            "target_only": list(&self.target_only),
            "same_name_other_guid": both(&self.same_name),
            "source_written": self.source_written,
            "target_written": self.target_written,
            "partial_receive": self.partial,
        });
        if let Verdict::Stops(conflict) = &self.verdict {
            value["conflict"] = conflict.to_json();
        }
        value
    }
}
