//! Which snapshots are taken now. All that are due for one dataset share one time, and those of a pool go into as few
//! calls as the kernel allows: it takes one of a dataset in a call, so there are as many as the most that any one dataset
//! gets. Datasets whose snapshots belong together are in the same call, under the same name.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::config::dataset::Hooks;
use crate::policy::Due;
use crate::policy::Period;
use crate::policy::Style;
use crate::policy::due;
use crate::survey::Survey;

/// A snapshot that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueName {
    /// What stands behind the `@`.
    pub short: String,
    /// What for.
    pub period: Period,
}

/// A dataset that snapshots are taken of for its own sake, with those that go along with it.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The dataset.
    pub dataset: DatasetName,
    /// Those below it whose snapshots are taken in one with its own.
    pub together: Vec<DatasetName>,
    /// For each period of its schedule whether it is due, and why; the longest first.
    pub periods: Vec<Due>,
    /// Why none is taken although some are due.
    pub skipped: Option<&'static str>,
    /// What is taken, the longest period first.
    pub names: Vec<DueName>,
    /// What runs before and after.
    pub hooks: Hooks,
    /// Whose rules hold.
    pub style: Style,
}

impl Unit {
    /// The dataset and those that go along with it.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetName> {
        std::iter::once(&self.dataset).chain(&self.together)
    }
}

/// One call to the kernel: snapshots of one pool, at most one of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Each with the place of its unit in the plan.
    pub snapshots: Vec<(usize, SnapshotName)>,
}

/// What is taken now.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The time that all names share, in seconds since 1970.
    pub time: Timestamp,
    /// Every dataset whose policy takes snapshots, by name.
    pub units: Vec<Unit>,
    /// The calls, those of a pool one after the other.
    pub calls: Vec<Call>,
    /// Names that cannot be: the dataset, the name and why.
    pub impossible: Vec<(usize, String)>,
}

impl Plan {
    /// How many snapshots are to be taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.calls.iter().map(|call| call.snapshots.len()).sum()
    }

    /// For JSON: times in seconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let units: Vec<_> = self
            .units
            .iter()
            .map(|unit| {
                json!({
                    "dataset": unit.dataset.as_str(),
                    "together_with": unit.together.iter().map(DatasetName::as_str).collect::<Vec<_>>(),
                    "periods": unit.periods,
                    "skipped": unit.skipped,
                    "names": unit.names.iter().map(|name| name.short.as_str()).collect::<Vec<_>>(),
                })
            })
            .collect();
        let calls: Vec<Vec<_>> = self
            .calls
            .iter()
            .map(|call| call.snapshots.iter().map(|(_, name)| name.as_str()).collect())
            .collect();
        json!({ "time": self.time.as_second(), "datasets": units, "calls": calls })
    }
}

/// Why a dataset with nothing new is passed over.
pub(super) const UNWRITTEN: &str = "nothing was written since the newest snapshot";

/// Decides what is taken. `wanted` are the datasets that it is about; none stands for all.
#[must_use]
pub fn plan(survey: &Survey, wanted: &BTreeSet<DatasetName>, now: Timestamp) -> Plan {
    // Names have whole seconds; a fraction would only move a slot's beginning.
    let time = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut plan = Plan { time, units: Vec::new(), calls: Vec::new(), impossible: Vec::new() };
    for (seen, effective) in survey.each() {
        let policy = &effective.policy;
        if !policy.snapshot || !(wanted.is_empty() || wanted.contains(&seen.name)) {
            continue;
        }
        let periods = due(&policy.schedule, policy.naming.style, &policy.naming, &seen.snapshots, time);
        let taken: BTreeSet<&str> = seen.snapshots.iter().map(|one| one.name.short()).collect();
        let due = periods.iter().filter(|one| one.due).map(|one| one.period);
        let mut unit = Unit {
            dataset: seen.name.clone(),
            together: effective.together.clone(),
            names: due
                .map(|period| {
                    let short = policy.naming.name(time, period, |name| taken.contains(name));
                    DueName { short, period }
                })
                .collect(),
            periods,
            skipped: None,
            hooks: policy.hooks.clone(),
            style: policy.naming.style,
        };
        if policy.skip_unwritten && !unit.names.is_empty() && unwritten(survey, &unit) {
            unit.skipped = Some(UNWRITTEN);
            unit.names.clear();
        }
        plan.units.push(unit);
    }
    fill_calls(&mut plan);
    plan
}

/// Whether no dataset of a unit has anything that its newest snapshot has not. One that is not known has something.
fn unwritten(survey: &Survey, unit: &Unit) -> bool {
    unit.datasets().all(|name| {
        survey.datasets.get(name).is_some_and(|seen| seen.written == 0 && !seen.snapshots.is_empty())
    })
}

/// Puts each name of each unit into the first call after that of the name before which has none of its datasets yet.
fn fill_calls(plan: &mut Plan) {
    // For each pool its calls, and for each dataset the first call that has no snapshot of it.
    let mut pools: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
    let mut free: BTreeMap<&DatasetName, usize> = BTreeMap::new();
    for (at, unit) in plan.units.iter().enumerate() {
        let calls = pools.entry(unit.dataset.pool()).or_default();
        for name in &unit.names {
            let call = unit.datasets().filter_map(|one| free.get(one)).max().copied().unwrap_or(0);
            if calls.len() <= call {
                calls.resize(call + 1, Call { snapshots: Vec::new() });
            }
            for dataset in unit.datasets() {
                match dataset.snapshot(&name.short) {
                    Ok(snapshot) => calls[call].snapshots.push((at, snapshot)),
                    Err(error) => plan.impossible.push((at, format!("{dataset}@{}: {error}", name.short))),
                }
                free.insert(dataset, call + 1);
            }
        }
    }
    plan.calls = pools.into_values().flatten().filter(|call| !call.snapshots.is_empty()).collect();
}
