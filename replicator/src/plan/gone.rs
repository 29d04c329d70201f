//! Datasets of the target that the source does not have any more. They stay, for ever or, where that was asked for,
//! until a grace period is over that begins with a mark on the dataset. Only what carries our mark of being a copy of
//! this source is ever removed, and only while the source's root is there and the same as it was; whatever speaks
//! against it keeps the dataset, with that reason in the plan.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::Duration;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::options::Options;
use super::steps::Kept;
use super::steps::Side;
use super::steps::Step;
use super::tree::Sides;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Property;
use crate::host::PropertySource;
use crate::marks;
use crate::marks::Gone;
use crate::marks::Replica;

/// How many snapshots one step destroys.
const BATCH: usize = 100;

/// What is said of a dataset that the source does not have, where nothing is ever removed.
pub(super) const NOT_THERE: &str = "the source has no such dataset, or it is not selected";

/// The value of one of our marks, if it is set on the dataset itself.
fn mark<'p>(of: Option<&'p BTreeMap<String, Property>>, name: &str) -> Option<&'p str> {
    let found = of?.get(name)?;
    (found.source == PropertySource::Local).then_some(found.value.as_str())
}

/// The mark that a copy is to have.
pub(super) fn replica(sides: &Sides<'_>, source: &DatasetState) -> (String, String) {
    let mark = Replica { root: sides.source.root().guid, dataset: source.guid };
    (marks::REPLICA.to_string(), mark.to_string())
}

/// The step that takes the mark of being gone off a dataset that is there again.
pub(super) fn back(target: &DatasetName, there: Option<&BTreeMap<String, Property>>) -> Option<Step> {
    mark(there, marks::GONE)?;
    let change = Change::UnsetProperties { dataset: target.clone(), names: vec![marks::GONE.to_string()] };
    Some(Step::change(Side::Target, change, "the source has it again"))
}

/// What becomes of the datasets that nothing of the source leads to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) steps: Vec<Step>,
    pub(super) kept: Vec<Kept>,
}

/// Why a dataset stays, or what is done about it.
enum Fate {
    Stays(String),
    Marked(Box<Step>, String),
    Due,
    Removed(Vec<Step>),
}

/// Decides about datasets of the target, all of those that nothing of the source leads to. `properties` gives what is
/// set on each.
pub(super) fn decide<'p>(
    sides: &Sides<'_>,
    options: &Options,
    grace: Duration,
    gone: &[&DatasetState],
    properties: &dyn Fn(&DatasetState) -> Option<&'p BTreeMap<String, Property>>,
) -> Decided {
    let decider = Decider { sides, options, grace };
    let mut fates: BTreeMap<&DatasetName, Fate> = BTreeMap::new();
    // Or due for it: with a look at what is below, its parent is looked at as well.
    let mut removed: HashSet<&DatasetName> = HashSet::new();
    // Children first: one that stays keeps what is above it.
    let mut order = gone.to_vec();
    order.sort_by_key(|state| (std::cmp::Reverse(state.name.depth()), state.name.clone()));
    let mut steps = Vec::new();
    for state in order {
        let stays = gone
            .iter()
            .map(|other| &other.name)
            .find(|name| **name != state.name && name.is_within(&state.name) && !removed.contains(name));
        let mut fate = decider.fate(state, properties(state), stays);
        match &mut fate {
            Fate::Removed(its) => {
                removed.insert(&state.name);
                steps.append(its);
            }
            Fate::Marked(step, _) => steps.push((**step).clone()),
            Fate::Due => drop(removed.insert(&state.name)),
            Fate::Stays(_) => {}
        }
        fates.insert(&state.name, fate);
    }
    let kept = fates.into_iter().filter_map(|(name, fate)| {
        let (reason, due) = match fate {
            Fate::Stays(reason) | Fate::Marked(_, reason) => (reason, false),
            Fate::Due => ("it is to be removed, after a look at what that costs".to_string(), true),
            Fate::Removed(_) => return None,
        };
        Some(Kept { dataset: name.clone(), reason, due })
    });
    Decided { kept: kept.collect(), steps }
}

struct Decider<'d> {
    sides: &'d Sides<'d>,
    options: &'d Options,
    grace: Duration,
}

impl Decider<'_> {
    fn fate(
        &self,
        state: &DatasetState,
        properties: Option<&BTreeMap<String, Property>>,
        below: Option<&DatasetName>,
    ) -> Fate {
        if let Some(reason) = self.not_ours(state, properties) {
            return Fate::Stays(reason);
        }
        if state.partial.is_some() {
            return Fate::Stays("it is gone at the source, and keeps a receive that broke off".to_string());
        }
        let found = mark(properties, marks::GONE).and_then(Gone::read);
        let root = self.sides.source.root().guid;
        // A mark from the future says that a clock was wrong: the time begins anew.
        match found.filter(|mark| mark.root == root && mark.since <= self.sides.now) {
            None => self.begin(state, root),
            Some(mark) => self.marked(state, mark, below),
        }
    }

    /// Why a dataset is none that may be removed at all.
    fn not_ours(
        &self,
        state: &DatasetState,
        properties: Option<&BTreeMap<String, Property>>,
    ) -> Option<String> {
        let mut above = Some(state.name.clone());
        while let Some(name) = above {
            if let Some(of) = marks::was_set_aside(&name) {
                return Some(format!("what {of} was before it diverged"));
            }
            above = name.parent();
        }
        let source = self.sides.source;
        let below = state.name.strip_prefix(self.sides.target_root)?;
        let Ok(counterpart) = source.root().name.child(below) else { return Some(NOT_THERE.to_string()) };
        if source.get(&counterpart).is_some() {
            return Some(format!("{counterpart} is not selected"));
        }
        if !self.options.datasets.select_dataset(&counterpart, &source.root().name) {
            return Some("it is not selected".to_string());
        }
        let Some(replica) = mark(properties, marks::REPLICA).and_then(Replica::read) else {
            return Some("it is not marked as a copy of anything that the source had".to_string());
        };
        if replica.root != source.root().guid {
            return Some(format!("it is a copy from another source than {}", source.root().name));
        }
        let renamed = source.datasets().iter().find(|one| one.guid == replica.dataset);
        renamed.map(|renamed| format!("it is a copy of {}", renamed.name))
    }

    /// Marks a dataset, with what it is now.
    fn begin(&self, state: &DatasetState, root: Guid) -> Fate {
        if state.written > 0 {
            return Fate::Stays(format!(
                "it is gone at the source, and {} bytes were written to it after its newest snapshot",
                state.written
            ));
        }
        let Some(newest) = state.snapshots.last().map(|one| one.guid) else {
            return Fate::Stays("it is gone at the source, and has no snapshots".to_string());
        };
        let mark = Gone { since: self.sides.now, root, newest, referenced: state.referenced };
        let set = vec![(marks::GONE.to_string(), mark.to_string())];
        let change = Change::SetProperties { dataset: state.name.clone(), set };
        let step = Step::change(Side::Target, change, "the source does not have it any more");
        Fate::Marked(Box::new(step), self.later(mark.since))
    }

    /// When a dataset goes that is gone since this moment.
    fn later(&self, since: i64) -> String {
        format!("gone at the source since {}, to be removed after {}", day(since), day(self.end(since)))
    }

    fn end(&self, since: i64) -> i64 {
        since.saturating_add(i64::try_from(self.grace.as_secs()).unwrap_or(i64::MAX))
    }

    fn marked(&self, state: &DatasetState, mark: Gone, below: Option<&DatasetName>) -> Fate {
        let as_it_was = match state.snapshots.last() {
            Some(newest) => newest.guid == mark.newest && state.written == 0,
            // Its snapshots went, and the removal broke off there.
            None => state.referenced == mark.referenced,
        };
        if !as_it_was {
            let since = day(mark.since);
            return Fate::Stays(format!("gone at the source since {since}, and was changed here after that"));
        }
        if self.sides.now < self.end(mark.since) {
            return Fate::Stays(self.later(mark.since));
        }
        if let Some(below) = below {
            return Fate::Stays(format!("gone at the source, and {below} below it stays"));
        }
        let Some(cost) = self.sides.costs.and_then(|costs| costs.get(&state.name)) else { return Fate::Due };
        let against = match (&cost.held, &cost.cloned) {
            (Some(held), _) => Some(format!("{held} has a hold")),
            (None, Some(cloned)) => Some(format!("{cloned} has a clone")),
            (None, None) => cost.mounted.then(|| "it is mounted".to_string()),
        };
        if let Some(against) = against {
            return Fate::Stays(format!("gone at the source since {}, and {against}", day(mark.since)));
        }
        Fate::Removed(self.remove(state, mark, cost.bytes))
    }

    fn remove(&self, state: &DatasetState, mark: Gone, bytes: u64) -> Vec<Step> {
        let reason = format!(
            "gone at the source since {}, and its grace period ended on {}",
            day(mark.since),
            day(self.end(mark.since))
        );
        // The oldest first: as long as the newest is there, it is known that nothing changed.
        let mut steps: Vec<Step> = state
            .snapshots
            .chunks(BATCH)
            .map(|batch| {
                let change = Change::DestroySnapshots {
                    dataset: state.name.clone(),
                    newest: mark.newest,
                    snapshots: batch.iter().map(|one| (one.name.clone(), one.guid)).collect(),
                };
                Step::change(Side::Target, change, reason.clone())
            })
            .collect();
        let change = Change::Destroy { dataset: state.name.clone(), guid: state.guid, bytes };
        steps.push(Step::change(Side::Target, change, reason));
        steps
    }
}

fn day(time: i64) -> String {
    jiff::Timestamp::from_second(time)
        .map_or_else(|_| "never".to_string(), |time| time.strftime("%F").to_string())
}
