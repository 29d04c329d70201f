//! Setting a dataset aside and putting another one in its place: a clone of one of its snapshots, which is promoted (a
//! rollback that loses nothing), or a dataset that was received beside it (a restore). What is to be done next is found by a
//! pure function out of what there is, one thing after the other: names and one mark tell how far an exchange has come, so
//! that a crash between any two steps is found by whoever looks next.
//!
//! The mark is on both datasets until the new one is mounted, and holds what of the old one is changed on the way.

use std::collections::BTreeMap;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Refused;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::NOT_COPIED;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::Snapshot;
use crate::marks;
use crate::marks::Exchange;

/// What is to take the place of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A clone of this snapshot of it.
    Snapshot(Guid),
    /// This other dataset.
    Dataset(DatasetName),
}

/// All that the decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The dataset with what is below it, what was set aside for it, and the one that is to take its place.
    pub datasets: BTreeMap<DatasetName, DatasetState>,
    /// All properties of these.
    pub properties: Properties,
    /// The dataset that was set aside and not finished, where there is one.
    pub aside: Option<DatasetName>,
    /// The clock, in seconds since 1970.
    pub now: i64,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Marks both, once neither is mounted any more: one that is in use stops everything before anything is changed.
    Begin(Vec<Change>),
    /// Changes, in this order. Any of them may be the last one before a crash.
    Change(Vec<Change>),
    /// Mounts what is in place now, and takes away the mark.
    Finish(Option<Change>),
}

impl Facts {
    fn state(&self, dataset: &DatasetName) -> Option<&DatasetState> {
        self.datasets.get(dataset)
    }

    fn property(&self, dataset: &DatasetName, name: &str) -> Option<&Property> {
        self.properties.get(dataset)?.get(name)
    }

    /// What was set on a dataset itself.
    pub(super) fn local(&self, dataset: &DatasetName, name: &str) -> Option<&str> {
        let found = self.property(dataset, name)?;
        (found.source == PropertySource::Local).then_some(found.value.as_str())
    }

    /// The change that makes a property what it was, if it is not.
    pub(super) fn make(&self, dataset: &DatasetName, name: &str, was: Option<&str>) -> Option<Change> {
        let now = self.local(dataset, name);
        // The kernel does not take this one back (it is not inherited): its default is set.
        let was = if was.is_none() && now.is_some() && name == "canmount" { Some("on") } else { was };
        match (was, now) {
            (Some(was), now) if now != Some(was) => {
                let set = vec![(name.to_string(), was.to_string())];
                Some(Change::SetProperties { dataset: dataset.clone(), set })
            }
            (None, Some(_)) => {
                let names = vec![name.to_string()];
                Some(Change::UnsetProperties { dataset: dataset.clone(), names })
            }
            _ => None,
        }
    }

    /// The mark of a dataset.
    #[must_use]
    pub fn mark(&self, dataset: &DatasetName) -> Option<Exchange> {
        mark(self.properties.get(dataset))
    }

    /// What was set on a dataset itself and goes over to what takes its place.
    fn own(&self, dataset: &DatasetName) -> impl Iterator<Item = (&String, &String)> {
        let all = self.properties.get(dataset).into_iter().flatten();
        all.filter(|(name, property)| {
            let ours = name.as_str() == marks::EXCHANGE;
            property.source == PropertySource::Local && !ours && !NOT_COPIED.contains(&name.as_str())
        })
        .map(|(name, property)| (name, &property.value))
    }
}

/// The mark among the properties of a dataset.
pub(super) fn mark(properties: Option<&BTreeMap<String, Property>>) -> Option<Exchange> {
    let found = properties?.get(marks::EXCHANGE)?;
    if found.source == PropertySource::Local { Exchange::read(&found.value) } else { None }
}

/// What is to be done next for a dataset, if anything. Without a wish only what was begun is gone on with.
///
/// # Errors
/// When something stands against it.
pub fn next(dataset: &DatasetName, wish: Option<&Wish>, facts: &Facts) -> Result<Option<Next>, Refused> {
    let here = facts.state(dataset);
    let aside = facts.aside.as_ref().and_then(|aside| facts.state(aside));
    let begun = facts.mark(dataset).or_else(|| facts.mark(&aside?.name));
    let Some(mark) = begun else {
        let Some(wish) = wish else { return Ok(None) };
        let here = here.ok_or_else(|| Refused::NoDataset(dataset.clone()))?;
        return begin(here, wish, facts).map(Some);
    };
    match (here, aside) {
        (Some(here), _) if here.guid == mark.old => set_aside(here, &mark, wish, facts).map(Some),
        (None, None) => Err(Refused::NoDataset(dataset.clone())),
        (None, Some(aside)) => replace(dataset, aside, &mark, wish, facts).map(Some),
        (Some(here), Some(aside)) => Ok(Some(finish(here, aside, &mark, facts)?)),
        // What was set aside was destroyed by somebody since.
        (Some(here), None) => Ok(Some(open(here, &mark, facts))),
    }
}

/// Marks both, with everything that is going to be changed.
fn begin(here: &DatasetState, wish: &Wish, facts: &Facts) -> Result<Next, Refused> {
    let dataset = &here.name;
    if dataset.parent().is_none() {
        return Err(Refused::PoolRoot(dataset.clone()));
    }
    if here.partial.is_some() {
        return Err(Refused::Partial(dataset.clone()));
    }
    marks::set_aside(dataset, facts.now)
        .map_err(|error| Refused::Name(dataset.clone(), error.to_string()))?;
    let (new, other) = match wish {
        Wish::Snapshot(guid) => {
            snapshot(here, *guid).ok_or_else(|| Refused::NoSnapshot(dataset.clone()))?;
            (*guid, None)
        }
        Wish::Dataset(name) => {
            let other = fits(here, name, facts)?;
            (other.guid, Some(other))
        }
    };
    let local = |name| facts.local(dataset, name).map(str::to_string);
    let mark = Exchange {
        since: facts.now,
        old: here.guid,
        new,
        canmount: local("canmount"),
        readonly: local("readonly"),
    };
    let marked =
        |of: &DatasetState| Change::SetProperties { dataset: of.name.clone(), set: vec![as_set(&mark)] };
    // The one that is to be set aside last: from then on it counts as begun.
    Ok(Next::Begin(other.into_iter().chain([here]).map(marked).collect()))
}

fn as_set(mark: &Exchange) -> (String, String) {
    (marks::EXCHANGE.to_string(), mark.to_string())
}

fn snapshot(of: &DatasetState, guid: Guid) -> Option<&Snapshot> {
    of.snapshots.iter().find(|one| one.guid == guid)
}

/// Whether another dataset can take the place.
fn fits<'f>(here: &DatasetState, name: &DatasetName, facts: &'f Facts) -> Result<&'f DatasetState, Refused> {
    let not =
        |why: &str| Refused::DoesNotFit { new: name.clone(), old: here.name.clone(), why: why.to_string() };
    let other = facts.state(name).ok_or_else(|| Refused::NoDataset(name.clone()))?;
    if name.pool() != here.name.pool() {
        return Err(not("it is in another pool"));
    }
    if name.is_within(&here.name) || here.name.is_within(name) {
        return Err(not("one of them is below the other"));
    }
    if other.kind != here.kind {
        return Err(not("one is a filesystem, the other a volume"));
    }
    if other.snapshots.is_empty() || other.partial.is_some() {
        return Err(not("it has not been received completely"));
    }
    let locked = other.encryption.as_ref().filter(|encryption| !encryption.key_loaded);
    if let Some(encryption) = locked {
        return Err(Refused::KeyNotLoaded(encryption.root.clone()));
    }
    Ok(other)
}

/// Whether an exchange that was begun is the one that is wished for.
fn same(dataset: &DatasetName, mark: &Exchange, wish: Option<&Wish>, facts: &Facts) -> Result<(), Refused> {
    let other = match wish {
        None => false,
        Some(Wish::Snapshot(guid)) => *guid != mark.new,
        Some(Wish::Dataset(name)) => facts.state(name).is_some_and(|state| state.guid != mark.new),
    };
    if other { Err(Refused::Another { dataset: dataset.clone(), new: mark.new }) } else { Ok(()) }
}

fn set_aside(
    here: &DatasetState,
    mark: &Exchange,
    wish: Option<&Wish>,
    facts: &Facts,
) -> Result<Next, Refused> {
    same(&here.name, mark, wish, facts)?;
    let name = marks::set_aside(&here.name, mark.since);
    let aside = name.map_err(|error| Refused::Name(here.name.clone(), error.to_string()))?;
    if facts.state(&aside).is_some() {
        return Err(Refused::Taken { dataset: here.name.clone(), aside });
    }
    Ok(Next::Change(vec![Change::Rename { from: here.name.clone(), guid: here.guid, to: aside }]))
}

/// The name is free: a clone or the other dataset takes it.
fn replace(
    dataset: &DatasetName,
    aside: &DatasetState,
    mark: &Exchange,
    wish: Option<&Wish>,
    facts: &Facts,
) -> Result<Next, Refused> {
    same(dataset, mark, wish, facts)?;
    if let Some(snapshot) = snapshot(aside, mark.new) {
        let mut set = vec![("readonly".to_string(), "on".to_string()), as_set(mark)];
        if aside.kind == DatasetKind::Filesystem {
            // Nothing mounts it before everything is in place.
            set.push(("canmount".to_string(), "noauto".to_string()));
        }
        set.extend(facts.own(&aside.name).map(|(name, value)| (name.clone(), value.clone())));
        let (snapshot, guid) = (snapshot.name.clone(), snapshot.guid);
        return Ok(Next::Change(vec![Change::Clone { snapshot, guid, to: dataset.clone(), set }]));
    }
    let other = facts.datasets.values().find(|state| state.guid == mark.new);
    match other {
        Some(other) => {
            let change = Change::Rename { from: other.name.clone(), guid: other.guid, to: dataset.clone() };
            Ok(Next::Change(vec![change]))
        }
        None => Err(Refused::Lost { dataset: dataset.clone(), aside: aside.name.clone(), new: mark.new }),
    }
}

/// Both are where they belong; what is left are snapshots, children, properties.
fn finish(
    here: &DatasetState,
    aside: &DatasetState,
    mark: &Exchange,
    facts: &Facts,
) -> Result<Next, Refused> {
    let dataset = &here.name;
    let unpromoted = here.origin.as_ref().is_some_and(|origin| *origin.dataset() == aside.name);
    if unpromoted {
        return Ok(Next::Change(vec![Change::Promote { dataset: dataset.clone() }]));
    }
    // A dataset of its own stays in its place, unless that is taken by one that was restored.
    let below = facts.datasets.values().filter(|state| state.name.parent().as_ref() == Some(&aside.name));
    for child in below {
        let to = dataset.child(child.name.last());
        let to = to.map_err(|error| Refused::Name(child.name.clone(), error.to_string()))?;
        if facts.state(&to).is_none() {
            let change = Change::Rename { from: child.name.clone(), guid: child.guid, to };
            return Ok(Next::Change(vec![change]));
        }
    }
    // Only what the old one had: what came with the new one, and nobody has set here, stays.
    let set: Vec<_> = facts
        .own(&aside.name)
        .filter(|(name, value)| facts.local(dataset, name) != Some(value.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let marked = facts.mark(&aside.name).is_some();
    if !set.is_empty() && marked {
        return Ok(Next::Change(vec![Change::SetProperties { dataset: dataset.clone(), set }]));
    }
    let twins: Vec<_> = twins(here, aside, facts).collect();
    for (below, old) in twins.iter().filter(|_| marked) {
        let changes = as_before(below, old, facts);
        if !changes.is_empty() {
            return Ok(Next::Change(changes));
        }
    }
    let mut kept = vec![("readonly", "on")];
    if aside.kind == DatasetKind::Filesystem {
        // It keeps its mountpoint, and shall not be mounted there by anybody but a person.
        kept.push(("canmount", "noauto"));
    }
    kept.retain(|(name, value)| facts.local(&aside.name, name) != Some(*value));
    if !kept.is_empty() {
        let set = kept.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        return Ok(Next::Change(vec![Change::SetProperties { dataset: aside.name.clone(), set }]));
    }
    if marked {
        return Ok(Next::Change(vec![unmarked(&aside.name)]));
    }
    // From here on nothing is read of what was set on them.
    let mounts = |old: &&DatasetState| {
        let canmount = facts.property(&old.name, "canmount").map_or("on", |found| found.value.as_str());
        old.kind == DatasetKind::Filesystem && canmount == "on"
    };
    let still = twins.iter().map(|(_, old)| *old).filter(mounts);
    let changes: Vec<_> = still
        .map(|old| {
            let set = vec![("canmount".to_string(), "noauto".to_string())];
            Change::SetProperties { dataset: old.name.clone(), set }
        })
        .collect();
    if !changes.is_empty() && facts.mark(dataset).is_some() {
        return Ok(Next::Change(changes));
    }
    Ok(open(here, mark, facts))
}

/// What is below both: the new one and what it takes the place of.
fn twins<'f>(
    here: &'f DatasetState,
    aside: &'f DatasetState,
    facts: &'f Facts,
) -> impl Iterator<Item = (&'f DatasetState, &'f DatasetState)> {
    facts.datasets.values().filter_map(move |below| {
        let rest = below.name.strip_prefix(&here.name).filter(|rest| !rest.is_empty())?;
        let old = facts.state(&aside.name.child(rest).ok()?)?;
        (old.kind == below.kind).then_some((below, old))
    })
}

/// Makes what was set on a dataset the same as on the one whose place it takes.
fn as_before(below: &DatasetState, old: &DatasetState, facts: &Facts) -> Vec<Change> {
    let dataset = &below.name;
    let set: Vec<(String, String)> = facts
        .own(&old.name)
        .filter(|(name, value)| facts.local(dataset, name) != Some(value.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut changes = Vec::new();
    if !set.is_empty() {
        changes.push(Change::SetProperties { dataset: dataset.clone(), set });
    }
    let both = ["readonly", "canmount"];
    changes.extend(both.iter().filter_map(|name| facts.make(dataset, name, facts.local(&old.name, name))));
    changes
}

fn unmarked(dataset: &DatasetName) -> Change {
    Change::UnsetProperties { dataset: dataset.clone(), names: vec![marks::EXCHANGE.to_string()] }
}

/// The new one becomes what the old one was: writable, and mounted by itself.
fn open(here: &DatasetState, mark: &Exchange, facts: &Facts) -> Next {
    let dataset = &here.name;
    let mut wanted = vec![("readonly", mark.readonly.as_deref())];
    if here.kind == DatasetKind::Filesystem {
        wanted.push(("canmount", mark.canmount.as_deref()));
    }
    let changes: Vec<_> =
        wanted.into_iter().filter_map(|(name, value)| facts.make(dataset, name, value)).collect();
    match changes.is_empty() {
        false => Next::Change(changes),
        true => Next::Finish(facts.mark(dataset).map(|_| unmarked(dataset))),
    }
}
