//! What syncoid would do with one dataset, from what both sides have: pure, so that each rule can be tried alone.
//!
//! The base is the newest snapshot that both sides have under one name and GUID. Beyond syncoid, a snapshot that was
//! renamed is found by its GUID, before bookmarks are asked. Older and newer is the order of the pool, not of dates.

use zfs_core::Guid;
use zfs_core::name::SnapshotName;

use super::filter::Filter;
use super::names::Owner;
use super::options::Options;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Partial;
use crate::host::Snapshot;

/// Snapshots of the source that a chain of streams goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// How it begins, and what is said of it.
    pub(super) kind: Kind,
    /// What the first stream starts from; `None` is a full stream.
    pub(super) from: Option<Base>,
    /// What is sent, one stream each. Never empty.
    pub(super) to: Vec<Snapshot>,
}

/// The kinds of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first stream of a new target.
    Full,
    /// The first stream of a clone, from its origin.
    Clone,
    /// From a snapshot.
    Incremental,
    /// From a bookmark, one stream.
    Bookmark,
}

/// What is to be done with a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing to send.
    NoSnapshots,
    /// Both sides have nothing in common.
    NoMatch,
    /// The target has the newest.
    UpToDate {
        /// Its short name.
        newest: String,
    },
    /// Streams, and what follows them.
    Go(Work),
}

/// Streams, and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// In this order.
    pub(super) series: Vec<Series>,
    /// What was sent last.
    pub(super) newest: Snapshot,
    /// The base, where there was one.
    pub(super) base: Option<Common>,
    /// Nothing follows: where a bookmark brought the newest, syncoid ends there.
    pub(super) ends: bool,
}

/// The short names of a snapshot that both sides have. They differ where it was renamed on one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) source: String,
    pub(super) target: String,
}

/// Both sides of a dataset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides<'s> {
    /// As it is now, with the snapshot that this run took.
    pub(super) source: &'s DatasetState,
    /// As it is now; `None` where it does not exist.
    pub(super) target: Option<&'s DatasetState>,
    /// The short name of the snapshot that this run took.
    pub(super) taken: Option<&'s str>,
    /// The snapshot that the source is a clone of, if it is to be one on the target.
    pub(super) origin: Option<&'s Base>,
}

/// Decides.
pub(super) fn decide(sides: Sides<'_>, options: &Options) -> Verdict {
    let Sides { source, target, taken, origin } = sides;
    // As it was before the run took one.
    let mut listed: Vec<&Snapshot> = included(source, &options.snapshots);
    listed.retain(|one| Some(one.name.short()) != taken);
    let own = taken.filter(|short| options.snapshots.takes(short));
    let own = own.and_then(|short| source.snapshots.iter().find(|one| one.name.short() == short));
    let Some(newest) = own.or_else(|| listed.last().copied()) else { return Verdict::NoSnapshots };
    let work = |series: Vec<Series>, base: Option<Common>, ends| {
        Verdict::Go(Work { series, newest: newest.clone(), base, ends })
    };
    let Some(target) = target else {
        let oldest = listed.first().copied().unwrap_or(newest);
        let first = if options.no_stream { newest } else { oldest };
        let (kind, from) = match origin {
            Some(origin) => (Kind::Clone, Some(origin.clone())),
            None => (Kind::Full, None),
        };
        let mut series = vec![Series { kind, from, to: vec![first.clone()] }];
        if !options.no_stream && first.guid != newest.guid {
            series.extend(chain(source, &listed, first, newest, options));
        }
        return work(series, None, false);
    };
    let theirs = included(target, &options.snapshots);
    if let Some((base, theirs)) = common(&listed, &theirs) {
        if base.guid == newest.guid {
            return Verdict::UpToDate { newest: newest.name.short().to_string() };
        }
        let series = if options.no_stream {
            Some(step(base, newest))
        } else {
            chain(source, &listed, base, newest, options)
        };
        let base = Common { source: base.name.short().to_string(), target: theirs };
        return work(series.into_iter().collect(), Some(base), false);
    }
    // The newest of the target that the source has a bookmark of.
    let marked = theirs.iter().rev().find_map(|one| {
        source
            .bookmarks
            .iter()
            .find(|mark| mark.guid == one.guid)
            .map(|mark| (mark, one.name.short().to_string()))
    });
    let Some((mark, short)) = marked else { return Verdict::NoMatch };
    let from = Some(Base::Bookmark(mark.name.clone(), mark.guid));
    let same = |short: &str| Common { source: short.to_string(), target: short.to_string() };
    let next = listed.iter().copied().find(|one| one.createtxg >= mark.createtxg);
    match next.filter(|_| !options.no_stream) {
        None => {
            let to = vec![newest.clone()];
            work(vec![Series { kind: Kind::Bookmark, from, to }], Some(same(&short)), false)
        }
        Some(next) => {
            let mut series = vec![Series { kind: Kind::Bookmark, from, to: vec![next.clone()] }];
            let ends = next.guid == newest.guid;
            if !ends {
                series.extend(chain(source, &listed, next, newest, options));
            }
            work(series, Some(same(next.name.short())), ends)
        }
    }
}

fn included<'s>(state: &'s DatasetState, filter: &Filter) -> Vec<&'s Snapshot> {
    state.snapshots.iter().filter(|one| filter.takes(one.name.short())).collect()
}

/// The newest of the source that the target has: under the same name, or else under another one. With it the name on
/// the target.
fn common<'s>(ours: &[&'s Snapshot], theirs: &[&Snapshot]) -> Option<(&'s Snapshot, String)> {
    let find = |same_name: bool| {
        ours.iter().rev().find_map(|one| {
            let fits = |other: &&&Snapshot| {
                other.guid == one.guid && (!same_name || other.name.short() == one.name.short())
            };
            theirs.iter().find(fits).map(|other| (*one, other.name.short().to_string()))
        })
    };
    find(true).or_else(|| find(false))
}

fn base_of(snapshot: &Snapshot) -> Base {
    Base::Snapshot(snapshot.name.clone(), snapshot.guid)
}

fn step(from: &Snapshot, to: &Snapshot) -> Series {
    Series { kind: Kind::Incremental, from: Some(base_of(from)), to: vec![to.clone()] }
}

/// All that lies between two snapshots, the later one included; with patterns, only what they take. None where a
/// pattern leaves nothing.
fn chain(
    source: &DatasetState,
    listed: &[&Snapshot],
    from: &Snapshot,
    to: &Snapshot,
    options: &Options,
) -> Option<Series> {
    let between = |one: &&Snapshot| one.createtxg > from.createtxg && one.createtxg <= to.createtxg;
    let mut all: Vec<Snapshot> = if options.snapshots.is_empty() {
        source.snapshots.iter().filter(between).cloned().collect()
    } else {
        listed.iter().copied().filter(between).cloned().collect()
    };
    if all.last().is_none_or(|last| last.guid != to.guid) && options.snapshots.takes(to.name.short()) {
        all.push(to.clone());
    }
    let series = Series { kind: Kind::Incremental, from: Some(base_of(from)), to: all };
    (!series.to.is_empty()).then_some(series)
}

/// What becomes of a receive that broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// It goes on.
    On {
        /// The stream that goes on.
        to: Snapshot,
        /// What it starts from.
        from: Option<Base>,
        /// It is raw.
        raw: bool,
    },
    /// What it was made of is gone at the source: it is thrown away.
    Gone,
    /// Nobody here can go on with it.
    Unreadable(String),
}

/// Decides about a receive that broke off. The token is the word of the target: what it names is looked for by GUID
/// among what the source has.
pub(super) fn resume(source: &DatasetState, origin: Option<&Base>, partial: &Partial) -> Resume {
    let content = match &partial.content {
        Ok(content) if content.foreign => {
            return Resume::Unreadable("it asks for a stream of a kind that is not sent".to_string());
        }
        Ok(content) => content,
        Err(why) => return Resume::Unreadable(why.clone()),
    };
    let Some(to) = source.snapshots.iter().find(|one| one.guid == content.to_guid) else {
        return Resume::Gone;
    };
    let from = match content.from_guid {
        None => None,
        Some(guid) => {
            let snapshot = source.snapshots.iter().find(|one| one.guid == guid).map(base_of);
            let mark = source.bookmarks.iter().find(|one| one.guid == guid);
            let mark = mark.map(|one| Base::Bookmark(one.name.clone(), one.guid));
            let origin = origin.filter(|origin| origin.guid() == guid).cloned();
            match snapshot.or(origin).or(mark) {
                Some(base) => Some(base),
                None => return Resume::Gone,
            }
        }
    };
    Resume::On { to: to.clone(), from, raw: content.raw }
}

/// What goes from a target before a stream from a base can be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RollBack {
    /// Where it goes back to.
    pub(super) to: Snapshot,
    /// What goes.
    pub(super) newer: Vec<(SnapshotName, Guid)>,
}

/// What a target has to give up for a stream from a base with this GUID. None where it has nothing to give up, and where
/// it has not the base: the receive says so then.
pub(super) fn roll_back(target: &DatasetState, base: Guid) -> Option<RollBack> {
    let at = target.snapshots.iter().position(|one| one.guid == base)?;
    let newer: Vec<_> = target.snapshots[at + 1..].iter().map(|one| (one.name.clone(), one.guid)).collect();
    if newer.is_empty() && target.written == 0 {
        return None;
    }
    Some(RollBack { to: target.snapshots[at].clone(), newer })
}

/// The snapshots of a side that runs of this machine and identifier took before, without the one that stays.
pub(super) fn obsolete(
    state: &DatasetState,
    owner: &Owner,
    filter: &Filter,
    stays: &str,
) -> Vec<(SnapshotName, Guid)> {
    let mine = |one: &&&Snapshot| owner.took(one.name.short()) && one.name.short() != stays;
    included(state, filter).iter().filter(mine).map(|one| (one.name.clone(), one.guid)).collect()
}

/// The snapshots of a target whose names the source has not, oldest first.
pub(super) fn only_there(
    source: &DatasetState,
    target: &DatasetState,
    filter: &Filter,
) -> Vec<(SnapshotName, Guid)> {
    let ours = included(source, filter);
    let missing = |one: &&&Snapshot| !ours.iter().any(|other| other.name.short() == one.name.short());
    included(target, filter).iter().filter(missing).map(|one| (one.name.clone(), one.guid)).collect()
}

/// The short name of the bookmark for a snapshot, and whether the plain name was taken. None where there is no name left.
pub(super) fn bookmark(source: &DatasetState, snapshot: &Snapshot) -> Option<(String, bool)> {
    let is_free = |name: &str| !source.bookmarks.iter().any(|mark| mark.name.short() == name);
    let plain = snapshot.name.short();
    if is_free(plain) {
        return Some((plain.to_string(), false));
    }
    let other = format!("{plain}{}", suffix(snapshot.guid));
    is_free(&other).then_some((other, true))
}

/// The first six digits of a GUID.
pub(super) fn suffix(guid: Guid) -> String {
    guid.0.to_string().chars().take(6).collect()
}
