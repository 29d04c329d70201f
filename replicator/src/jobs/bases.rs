//! What the targets of jobs need of this machine's snapshots. Each target is asked what it has, and the planner's own
//! rules say what that has in common with the source. A target that cannot be asked keeps what it is known to have had:
//! by what was remembered when it was last seen, and by the bookmarks that runs leave on the source. Only where nothing is
//! known at all, nothing goes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Connect;
use super::memory::BaseMemory;
use super::memory::Memory;
use super::memory::TargetMemory;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::host::Base as HostBase;
use crate::host::Depth;
use crate::host::Inventory;
use crate::host::Tree;
use crate::marks::Mark;
use crate::marks::TargetId;
use crate::plan::Common;
use crate::plan::Sides;
use crate::plan::commons;
use crate::policy::Away;
use crate::policy::Base;
use crate::policy::Need;
use crate::policy::Needed;
use crate::policy::PerPeriod;
use crate::policy::Pruning;
use crate::policy::Target as PolicyTarget;
use crate::policy::kept_until;
use crate::prune::Protections;
use crate::survey::Survey;

/// A target that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unasked {
    /// The job.
    pub job: String,
    /// The target, or the source where that could not be asked.
    pub what: String,
    /// Why.
    pub why: String,
    /// It may be away.
    pub optional: bool,
}

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What stays, dataset by dataset.
    pub protections: Protections,
    /// Who could not be asked.
    pub unasked: Vec<Unasked>,
    /// Targets whose base will soon be kept for nothing but them, or will go: with the dataset.
    pub away: Vec<(DatasetName, Away)>,
    /// What is to be remembered of those that were asked.
    pub seen: Vec<TargetMemory>,
    /// For each job, by its name: bytes that the datasets that it is about refer to here and on another machine where they
    /// have the same name, as those of pairs do; none there where the machine was asked and does not have the dataset.
    pub sizes: BTreeMap<String, BTreeMap<DatasetName, (u64, Option<u64>)>>,
}

/// Asks the targets of all jobs that have to do with `concerned`, which are datasets of this machine of which something
/// would go by the rules. `memory` is what was seen before. `now` is in seconds since 1970.
#[must_use]
pub fn find(
    config: &Config,
    survey: &Survey,
    concerned: &BTreeSet<DatasetName>,
    connect: &dyn Connect,
    memory: &Memory,
    now: i64,
) -> Found {
    let mut found = Found::default();
    for job in &config.jobs {
        let sources = datasets_of_source(job, concerned);
        let mut source = None;
        for target in &job.targets {
            let copies = datasets_of_target(target, concerned);
            if sources.is_empty() && copies.is_empty() {
                continue;
            }
            let source = source.get_or_insert_with(|| look_at_source(job, connect));
            let side = Side { job, target, survey, now, sources: &sources, copies: &copies };
            let tree = match source {
                Ok(tree) => tree,
                Err(why) => {
                    found.unasked.push(side.unasked(job.source.to_string(), why.clone()));
                    side.without_source(memory, &mut found);
                    continue;
                }
            };
            match look_at_target(job, target, connect, memory) {
                Ok((there, pool)) => {
                    if target.endpoint.dataset == job.source.dataset {
                        let sizes = sizes(&sources, tree, &there);
                        found.sizes.entry(job.name.clone()).or_default().extend(sizes);
                    }
                    let all = commons(Sides::new(tree, &there, &target.endpoint.dataset, now), &job.options);
                    side.known(&all, &mut found.protections);
                    found.seen.push(remembered(job, target, pool, &all, now));
                }
                Err(why) => {
                    found.unasked.push(side.unasked(target.endpoint.to_string(), why));
                    side.without_target(tree, memory, &mut found);
                }
            }
        }
    }
    found
}

/// What is to be remembered of a target.
#[must_use]
pub fn remembered(job: &Job, target: &Target, pool: Option<Guid>, all: &[Common], now: i64) -> TargetMemory {
    TargetMemory {
        job: job.name.clone(),
        to: target.endpoint.to_string(),
        pool: pool.map(|guid| guid.0),
        seen: now,
        datasets: all
            .iter()
            .map(|one| BaseMemory {
                source: one.source.to_string(),
                target: one.target.to_string(),
                base: one.bases.first().map(|base| base.guid().0),
            })
            .collect(),
        partial: false,
    }
}

/// Which of these datasets a job sends.
fn datasets_of_source(job: &Job, all: &BTreeSet<DatasetName>) -> BTreeSet<DatasetName> {
    let root = &job.source.dataset;
    let sent = |name: &&DatasetName| {
        let within = if job.options.recursive { name.is_within(root) } else { *name == root };
        within && job.options.datasets.select_dataset(name, root)
    };
    if job.source.machine.is_some() { BTreeSet::new() } else { all.iter().filter(sent).cloned().collect() }
}

/// Which of these datasets may be copies that a job receives.
fn datasets_of_target(target: &Target, all: &BTreeSet<DatasetName>) -> BTreeSet<DatasetName> {
    let within = |name: &&DatasetName| name.is_within(&target.endpoint.dataset);
    if target.endpoint.machine.is_some() {
        BTreeSet::new()
    } else {
        all.iter().filter(within).cloned().collect()
    }
}

fn look_at_source(job: &Job, connect: &dyn Connect) -> Result<Tree, String> {
    let mut host = connect.host(&job.link, &job.source).map_err(|error| error.to_string())?;
    let depth = if job.options.recursive { Depth::All } else { Depth::One };
    match host.inventory(&job.source.dataset, depth) {
        Ok(Inventory::Present(tree)) => Ok(tree),
        Ok(Inventory::Absent { .. }) => {
            Err(format!("{} has no dataset {}", host.label(), job.source.dataset))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// How large these datasets are here and there. What could not be looked at is not among them, and never missing.
fn sizes<'s>(
    sources: &'s BTreeSet<DatasetName>,
    here: &'s Tree,
    there: &'s Inventory,
) -> impl Iterator<Item = (DatasetName, (u64, Option<u64>))> + 's {
    let of = move |name: &DatasetName| match there {
        Inventory::Present(tree) => tree.get(name).map(|state| state.referenced),
        Inventory::Absent { .. } => None,
    };
    sources.iter().filter_map(move |name| Some((name.clone(), (here.get(name)?.referenced, of(name)))))
}

/// What there is, and the pool's GUID where it is not remembered.
fn look_at_target(
    job: &Job,
    target: &Target,
    connect: &dyn Connect,
    memory: &Memory,
) -> Result<(Inventory, Option<Guid>), String> {
    let mut host = connect.host(&target.link, &target.endpoint).map_err(|error| error.to_string())?;
    let depth = if job.options.recursive { Depth::All } else { Depth::One };
    let there = host.inventory(&target.endpoint.dataset, depth).map_err(|error| error.to_string())?;
    let known = memory.of(&job.name, &target.endpoint.to_string()).and_then(|one| one.pool);
    let pool = match known {
        Some(pool) => Some(Guid(pool)),
        // It is only asked for the time when there is nobody to ask.
        None => host.about(target.endpoint.dataset.pool()).ok().map(|about| about.guid),
    };
    Ok((there, pool))
}

/// One job and one target, with the datasets of this machine that they are about.
struct Side<'s> {
    job: &'s Job,
    target: &'s Target,
    survey: &'s Survey,
    now: i64,
    sources: &'s BTreeSet<DatasetName>,
    copies: &'s BTreeSet<DatasetName>,
}

impl Side<'_> {
    fn unasked(&self, what: String, why: String) -> Unasked {
        Unasked { job: self.job.name.clone(), what, why, optional: self.target.optional }
    }

    fn has(&self, dataset: &DatasetName, guid: Guid) -> bool {
        let seen = self.survey.datasets.get(dataset);
        seen.is_some_and(|seen| seen.snapshots.iter().any(|one| one.guid == guid))
    }

    /// Both sides were looked at.
    fn known(&self, all: &[Common], protections: &mut Protections) {
        for one in all {
            if self.sources.contains(&one.source) {
                let targets = &mut protections.entry(one.source.clone()).or_default().targets;
                let base = |base: &HostBase| match base {
                    HostBase::Snapshot(_, guid) => Base::Snapshot(*guid),
                    HostBase::Bookmark(_, guid) => Base::Bookmark(*guid),
                };
                let name = &self.target.name;
                targets
                    .extend(one.bases.iter().map(|one| PolicyTarget { name: name.clone(), base: base(one) }));
            }
            for guid in one.bases.iter().map(HostBase::guid) {
                // By the snapshot, whatever the copy is called now.
                for copy in self.copies.iter().filter(|copy| self.has(copy, guid)) {
                    let name = self.job.source.to_string();
                    let targets = &mut protections.entry(copy.clone()).or_default().targets;
                    targets.push(PolicyTarget { name, base: Base::Snapshot(guid) });
                }
            }
        }
    }

    /// The source cannot be asked: its copies here keep what was last common.
    fn without_source(&self, memory: &Memory, found: &mut Found) {
        let seen = memory.of(&self.job.name, &self.target.endpoint.to_string());
        let name = self.job.source.to_string();
        for copy in self.copies {
            let protection = found.protections.entry(copy.clone()).or_default();
            match seen.and_then(|seen| seen.of_target(copy)).and_then(|one| one.base) {
                Some(guid) => {
                    let by = Need::LastBase { target: name.clone() };
                    protection.needed.push(Needed { guid: Guid(guid), by });
                }
                None => protection.targets.push(PolicyTarget { name: name.clone(), base: Base::Unknown }),
            }
        }
        // Of a source here, which is there by the survey and cannot be listed, nothing is known.
        for source in self.sources {
            let protection = found.protections.entry(source.clone()).or_default();
            protection.targets.push(PolicyTarget { name: self.target.name.clone(), base: Base::Unknown });
        }
    }

    /// The target cannot be asked.
    fn without_target(&self, tree: &Tree, memory: &Memory, found: &mut Found) {
        let seen = memory.of(&self.job.name, &self.target.endpoint.to_string());
        for source in self.sources {
            let bases = last_known(self.job, tree, source, seen);
            let protection = found.protections.entry(source.clone()).or_default();
            let name = self.target.name.clone();
            let Some(bases) = bases else {
                protection.targets.push(PolicyTarget { name, base: Base::Unknown });
                continue;
            };
            let (away, over) = self.away(source, &bases);
            found.away.extend(away.map(|away| (source.clone(), away)));
            if over {
                continue;
            }
            for guid in bases {
                protection.needed.push(Needed { guid, by: Need::LastBase { target: name.clone() } });
            }
        }
        // Copies on a pool that is not there are in no survey; this is for one that cannot be listed.
        for copy in self.copies {
            let name = self.job.source.to_string();
            let protection = found.protections.entry(copy.clone()).or_default();
            protection.targets.push(PolicyTarget { name, base: Base::Unknown });
        }
    }

    /// Whether there is to be a warning, and whether the time for which the base is kept is over.
    fn away(&self, source: &DatasetName, bases: &BTreeSet<Guid>) -> (Option<Away>, bool) {
        let Some(seen) = self.survey.datasets.get(source) else { return (None, false) };
        let Some(effective) = self.survey.resolved.datasets.get(source) else { return (None, false) };
        let newest = seen.snapshots.iter().rev().find(|one| bases.contains(&one.guid));
        let Some(newest) = newest else { return (None, false) };
        let away = u64::try_from(self.now.saturating_sub(newest.creation)).unwrap_or(0);
        let name = &self.target.name;
        if let Some(limit) = self.target.base_limit {
            let warn = self.target.base_warn.unwrap_or(limit - limit / 7);
            let told = (away >= warn).then(|| Away { target: name.clone(), away, limit });
            return (told, away > limit);
        }
        if self.target.optional {
            return (None, false);
        }
        // Without a limit of its own it is kept for ever; there is a word when the rules alone would not.
        let policy = &effective.policy;
        let every = policy.schedule.frequently.unwrap_or_default();
        let lengths = PerPeriod::new(|period| period.seconds(every));
        let pruning = Pruning {
            snapshots: &seen.snapshots,
            retention: &policy.retention,
            naming: &policy.naming,
            zone: &policy.schedule.zone,
            needed: &[],
            targets: &[],
            capacity: None,
            now: jiff::Timestamp::from_second(self.now).unwrap_or_default(),
        };
        let until = kept_until(pruning, newest.guid, &lengths);
        let limit = until.and_then(|until| u64::try_from(until.saturating_sub(newest.creation)).ok());
        (limit.and_then(|limit| Away::look(name, newest.creation, limit, self.now)), false)
    }
}

/// The snapshots of which one is the newest that a target has, as far as is known without it: what was remembered, and
/// the newest bookmark that was made for it. `None` when nothing at all is known.
fn last_known(
    job: &Job,
    tree: &Tree,
    source: &DatasetName,
    seen: Option<&TargetMemory>,
) -> Option<BTreeSet<Guid>> {
    let state = tree.get(source)?;
    let memory = seen.and_then(|seen| seen.of_source(source));
    let mut bases: BTreeSet<Guid> = memory.and_then(|one| one.base).map(Guid).into_iter().collect();
    let id = seen.and_then(|seen| seen.pool).zip(memory).and_then(|(pool, memory)| {
        let target: DatasetName = memory.target.parse().ok()?;
        Some(TargetId::new(Guid(pool), &target))
    });
    // The newest of each target; where its id is not known, it may be any of them.
    let mut newest = BTreeMap::new();
    for bookmark in &state.bookmarks {
        if let Some(mark) = Mark::of(bookmark)
            && id.is_none_or(|id| id == mark.target)
        {
            newest.insert(mark.target, mark.guid);
        }
    }
    bases.extend(newest.into_values());
    // Where runs make bookmarks, nothing can have been sent since it was seen that left none. That they are wanted is not
    // enough: a pool may lack the feature, or a user the right.
    let makes_bookmarks = || {
        let all = tree.datasets().iter().flat_map(|one| &one.bookmarks);
        job.options.bookmarks && all.filter_map(Mark::of).next().is_some()
    };
    let nothing_was_sent = memory.is_some() && makes_bookmarks();
    (!bases.is_empty() || nothing_was_sent).then_some(bases)
}
