//! Which snapshots go now, of all datasets whose policy prunes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeStruct;
use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::config::dataset::Hooks;
use crate::policy::Decision;
use crate::policy::Naming;
use crate::policy::Need;
use crate::policy::Needed;
use crate::policy::Pruning;
use crate::policy::Reason;
use crate::policy::Target;
use crate::policy::prune;
use crate::survey::Survey;

/// What keeps snapshots of a dataset that no rule keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// What each target has in common with it.
    pub targets: Vec<Target>,
    /// Who else needs which snapshot.
    pub needed: Vec<Needed>,
}

/// By dataset.
pub type Protections = BTreeMap<DatasetName, Protection>;

/// A dataset that nothing else is known about.
static NOTHING: Protection = Protection { targets: Vec::new(), needed: Vec::new() };

/// What is decided about one dataset.
#[derive(Clone, Debug)]
pub struct DatasetPlan<'a> {
    /// The dataset.
    pub dataset: &'a DatasetName,
    /// For each snapshot that its policy took, the oldest first.
    pub decisions: Vec<Decision<'a>>,
    /// How its names are read.
    pub naming: &'a Naming,
    /// What runs before and after.
    pub hooks: &'a Hooks,
}

impl<'a> DatasetPlan<'a> {
    /// What goes, the oldest first.
    pub fn going(&self) -> impl Iterator<Item = &Decision<'a>> {
        self.decisions.iter().filter(|one| !one.keep)
    }

    /// What no rule keeps and somebody needs: holds and clones, which the administrator should know of.
    pub fn in_use(&self) -> impl Iterator<Item = &Decision<'a>> {
        let in_use = |one: &&Decision<'_>| {
            matches!(&one.reason, Reason::Needed { by: Need::Hold { .. } | Need::Clone { .. } })
        };
        self.decisions.iter().filter(in_use)
    }
}

/// What is decided about all of them.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The time that ages are counted to.
    pub time: Timestamp,
    /// Every dataset whose policy prunes, by name.
    pub datasets: Vec<DatasetPlan<'a>>,
}

impl<'a> Plan<'a> {
    /// How many go.
    #[must_use]
    pub fn count(&self) -> usize {
        self.datasets.iter().map(|one| one.going().count()).sum()
    }
}

/// Times are in seconds since 1970. One decision is made into JSON at a time: there can be very many.
impl Serialize for Plan<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Plan", 2)?;
        fields.serialize_field("time", &self.time.as_second())?;
        fields.serialize_field("datasets", &self.datasets)?;
        fields.end()
    }
}

impl Serialize for DatasetPlan<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("DatasetPlan", 2)?;
        fields.serialize_field("dataset", self.dataset.as_str())?;
        fields.serialize_field("snapshots", &Decisions(&self.decisions))?;
        fields.end()
    }
}

struct Decisions<'d, 'a>(&'d [Decision<'a>]);

impl Serialize for Decisions<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|one| {
            json!({
                "snapshot": one.snapshot.name.as_str(),
                "guid": one.snapshot.guid.0,
                "creation": one.snapshot.creation,
                "keep": one.keep,
                "reason": one.reason,
                "why": one.reason.to_string(),
            })
        }))
    }
}

/// Decides which snapshots go. `wanted` are the datasets that it is about; none stands for all.
#[must_use]
pub fn plan<'a>(
    survey: &'a Survey,
    wanted: &BTreeSet<DatasetName>,
    protections: &'a Protections,
    now: Timestamp,
) -> Plan<'a> {
    let mut datasets = Vec::new();
    for (seen, effective) in survey.each() {
        let policy = &effective.policy;
        if !policy.prune || !(wanted.is_empty() || wanted.contains(&seen.name)) {
            continue;
        }
        let protection = protections.get(&seen.name).unwrap_or(&NOTHING);
        let decisions = prune(Pruning {
            snapshots: &seen.snapshots,
            retention: &policy.retention,
            naming: &policy.naming,
            zone: &policy.schedule.zone,
            needed: &protection.needed,
            targets: &protection.targets,
            capacity: survey.capacity.get(seen.name.pool()).copied(),
            now,
        });
        datasets.push(DatasetPlan {
            dataset: &seen.name,
            decisions,
            naming: &policy.naming,
            hooks: &policy.hooks,
        });
    }
    Plan { time: now, datasets }
}

/// Adds what the survey itself shows: holds, with their tags as far as they are known, and origins of clones.
pub fn own_needs(
    survey: &Survey,
    tags: &BTreeMap<(DatasetName, Guid), String>,
    protections: &mut Protections,
) {
    for seen in survey.datasets.values().filter(|seen| !(seen.held.is_empty() && seen.cloned.is_empty())) {
        let needed = &mut protections.entry(seen.name.clone()).or_default().needed;
        for guid in &seen.held {
            let tag = tags.get(&(seen.name.clone(), *guid)).cloned().unwrap_or_else(|| "?".to_string());
            needed.push(Needed { guid: *guid, by: Need::Hold { tag } });
        }
        for (guid, clone) in &seen.cloned {
            let dataset = clone.as_ref().map_or_else(|| "a clone".to_string(), ToString::to_string);
            needed.push(Needed { guid: *guid, by: Need::Clone { dataset } });
        }
    }
}
