//! Setting aside a dataset of the target that has gone its own way, so that nothing of it is lost: it is renamed with
//! all it has, a clone of the newest common snapshot takes its name and is promoted, and its children move back. The
//! older snapshots, holds and bookmarks go over to the promoted dataset; what is newer stays with the one set aside.
//! Any of the steps may be the last one before a crash: the next plan recognises what was begun by the names, and
//! finishes it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::NameError;
use zfs_core::name::SnapshotName;

use super::base::Bases;
use super::conflict::Conflict;
use super::steps::Side;
use super::steps::Step;
use super::tree::move_tree;
use super::tree::rename_state;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::marks;

/// The target's datasets, under the names that they have after the steps planned so far.
pub(super) type Current<'a> = BTreeMap<DatasetName, Cow<'a, DatasetState>>;

/// Properties that are fixed when a dataset is made, belong to its key, or are about where it is mounted here and now.
const NOT_COPIED: &[&str] = &[
    "canmount",
    "casesensitivity",
    "encryption",
    "keyformat",
    "keylocation",
    "mountpoint",
    "normalization",
    "pbkdf2iters",
    "readonly",
    "sharenfs",
    "sharesmb",
    "utf8only",
    "version",
    "volblocksize",
    "volsize",
];

/// Plans to set a dataset aside and to go on with a copy of its newest common snapshot.
pub(super) fn set_aside(
    source: &DatasetState,
    target: &DatasetName,
    now: i64,
    properties: Option<&Properties>,
    current: &mut Current<'_>,
    steps: &mut Vec<Step>,
) -> Result<(), Conflict> {
    let aside = move_to_aside(
        target,
        now,
        current,
        steps,
        "it has changed since the newest common snapshot: all of it is kept",
    )?;
    if let Some(aside) = aside {
        go_on(source, &aside, target, properties, current, steps);
    }
    Ok(())
}

/// Plans to set a dataset aside whose place is then taken by a stream.
pub(super) fn move_aside(
    target: &DatasetName,
    now: i64,
    current: &mut Current<'_>,
    steps: &mut Vec<Step>,
) -> Result<(), Conflict> {
    let reason =
        "the source's dataset is a clone now, and comes anew as a clone of what is here: all of it is kept";
    move_to_aside(target, now, current, steps, reason).map(drop)
}

fn move_to_aside(
    target: &DatasetName,
    now: i64,
    current: &mut Current<'_>,
    steps: &mut Vec<Step>,
    reason: &str,
) -> Result<Option<DatasetName>, Conflict> {
    let Some(state) = current.get(target) else { return Ok(None) };
    if target.parent().is_none() {
        // A pool's root dataset cannot be renamed: the conflict stays as it is.
        return Ok(None);
    }
    let aside = marks::set_aside(target, now).map_err(|error| too_long(target, error))?;
    let change = Change::Rename { from: target.clone(), guid: state.guid, to: aside.clone() };
    steps.push(Step::change(Side::Target, change, reason));
    move_tree(current, target, &aside);
    Ok(Some(aside))
}

/// What the target will be once it was set aside and goes on: as it was at the common snapshot.
pub(super) fn replica(state: &DatasetState, base: Guid) -> DatasetState {
    let upto = state.snapshots.iter().position(|one| one.guid == base).map_or(0, |at| at + 1);
    DatasetState {
        written: 0,
        partial: None,
        snapshots: state.snapshots[..upto].to_vec(),
        bookmarks: state.bookmarks.clone(),
        name: state.name.clone(),
        encryption: state.encryption.clone(),
        origin: state.origin.clone(),
        ..*state
    }
}

/// Whether the streams need a key that is not loaded any more after the promotion: an encryption root's key stays with
/// the dataset that it was loaded for.
pub(super) fn unloads_key(replica: &DatasetState, steps: &[Step]) -> bool {
    let own = replica.encryption.as_ref().is_some_and(|encryption| encryption.root == replica.name);
    own && steps.iter().filter_map(Step::stream).any(|spec| !spec.raw)
}

/// The conflict that says so.
pub(super) fn would_unload_key(replica: &DatasetState, now: i64) -> Option<Conflict> {
    let base = replica.snapshots.last()?.name.short().to_string();
    Some(match marks::set_aside(&replica.name, now) {
        Ok(aside) => Conflict::SetAsideUnloadsKey { to: replica.name.clone(), base, aside },
        Err(error) => too_long(&replica.name, error),
    })
}

fn too_long(target: &DatasetName, error: NameError) -> Conflict {
    Conflict::NameTooLong {
        to: target.clone(),
        snapshot: "the name under which it would be set aside".to_string(),
        error: Box::new(error),
    }
}

/// The dataset that was set aside for `target`, which itself is missing: the crash came right after the rename.
pub(super) fn interrupted(
    source: &DatasetState,
    target: &DatasetName,
    current: &Current<'_>,
) -> Option<DatasetName> {
    let mut asides = asides(target, current).peekable();
    asides.peek()?;
    let bases = Bases::of(source);
    let common = asides.filter(|there| bases.newest_common(there, false).is_some());
    common.last().map(|there| there.name.clone())
}

/// What was set aside for a dataset, oldest first. Their names begin alike, so that they lie beside each other.
fn asides<'c>(target: &DatasetName, current: &'c Current<'_>) -> impl Iterator<Item = &'c DatasetState> {
    let target = target.clone();
    let from = current.range((Bound::Excluded(target.clone()), Bound::Unbounded));
    let begins = target.clone();
    from.map(|(_, state)| state.as_ref())
        .take_while(move |state| state.name.as_str().starts_with(begins.as_str()))
        .filter(move |state| marks::was_set_aside(&state.name).as_ref() == Some(&target))
}

/// The same for a dataset that went on under an old name of its own: what was set aside, and that name, which no name of
/// the source leads to (`is_free`).
pub(super) fn interrupted_elsewhere(
    source: &DatasetState,
    current: &Current<'_>,
    is_free: impl Fn(&DatasetName) -> bool,
) -> Option<(DatasetName, DatasetName)> {
    // Missing, or a clone that was not promoted yet.
    let is_begun = |there: &DatasetState, old: &DatasetName| {
        current.get(old).is_none_or(|state| {
            let from = state.origin.as_ref().map(SnapshotName::dataset);
            state.snapshots.is_empty() && from == Some(&there.name)
        })
    };
    let begun = current.values().rev().filter_map(|there| {
        let old = marks::was_set_aside(&there.name).filter(|old| is_free(old) && is_begun(there, old))?;
        Some((there, old))
    });
    let mut begun = begun.peekable();
    begun.peek()?;
    let bases = Bases::of(source);
    let mut found = begun.filter(|(there, _)| bases.newest_common(there, false).is_some());
    found.next().map(|(there, old)| (there.name.clone(), old))
}

/// The steps after the rename.
pub(super) fn go_on(
    source: &DatasetState,
    aside: &DatasetName,
    target: &DatasetName,
    properties: Option<&Properties>,
    current: &mut Current<'_>,
    steps: &mut Vec<Step>,
) {
    let Some(state) = current.get(aside) else { return };
    let bases = Bases::of(source);
    let raw = bases.was_raw(state).unwrap_or(source.encrypted() && state.encrypted());
    let Some(base) = bases.newest_common(state, raw).map(|found| found.guid()) else { return };
    let Some(snapshot) = state.snapshots.iter().find(|one| one.guid == base) else { return };
    let mut set = vec![("readonly".to_string(), "on".to_string())];
    if state.kind == DatasetKind::Filesystem {
        set.push(("canmount".to_string(), "noauto".to_string()));
    }
    // Under the name it had when the properties were read, or the one it has now.
    let local = properties.and_then(|all| all.get(target).or_else(|| all.get(aside)));
    for (name, property) in local.into_iter().flatten() {
        if property.source == PropertySource::Local && !NOT_COPIED.contains(&name.as_str()) {
            set.push((name.clone(), property.value.clone()));
        }
    }
    let change =
        Change::Clone { snapshot: snapshot.name.clone(), guid: snapshot.guid, to: target.clone(), set };
    steps.push(Step::change(Side::Target, change, "the replica goes on from the newest common snapshot"));
    let clone = DatasetState {
        name: target.clone(),
        // Not known before it is made, and not needed by any step.
        guid: Guid(0),
        origin: Some(snapshot.name.clone()),
        written: 0,
        partial: None,
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
        encryption: state.encryption.clone(),
        ..**state
    };
    current.insert(target.clone(), Cow::Owned(clone));
    finish_begun(target, current, steps);
}

/// What is left to do where a clone of a dataset that was set aside has the target's name.
pub(super) fn finish_begun(target: &DatasetName, current: &mut Current<'_>, steps: &mut Vec<Step>) {
    let is_aside = |name: &DatasetName| marks::was_set_aside(name).as_ref() == Some(target);
    // What has snapshots or a partial receive was received as a clone, and was not left half done.
    let fresh = current.get(target).filter(|state| state.snapshots.is_empty() && state.partial.is_none());
    let origin = fresh.and_then(|state| state.origin.clone());
    if let Some(origin) = origin.filter(|origin| is_aside(origin.dataset())) {
        promote(target, &origin, current, steps);
    }
    // Children of a dataset that was set aside, as soon as its clone was promoted.
    let asides: Vec<DatasetName> = asides(target, current)
        .filter(|state| state.origin.as_ref().is_some_and(|origin| origin.dataset() == target))
        .map(|state| state.name.clone())
        .collect();
    for aside in asides {
        let children: Vec<(DatasetName, Guid)> = current
            .values()
            .filter(|state| state.name.parent().as_ref() == Some(&aside))
            .map(|state| (state.name.clone(), state.guid))
            .collect();
        for (from, guid) in children {
            let Ok(to) = target.child(from.last()) else { continue };
            if current.contains_key(&to) {
                continue;
            }
            let change = Change::Rename { from: from.clone(), guid, to: to.clone() };
            steps.push(Step::change(
                Side::Target,
                change,
                "it is a dataset of its own and stays in its place",
            ));
            move_tree(current, &from, &to);
        }
    }
}

fn promote(target: &DatasetName, origin: &SnapshotName, current: &mut Current<'_>, steps: &mut Vec<Step>) {
    let change = Change::Promote { dataset: target.clone() };
    steps.push(Step::change(Side::Target, change, "the snapshots up to the common one go over to it"));
    let Some(aside) = current.remove(origin.dataset()) else { return };
    let mut aside = aside.into_owned();
    let count = aside.snapshots.iter().position(|one| one.name == *origin).map_or(0, |at| at + 1);
    let txg = count.checked_sub(1).map(|last| aside.snapshots[last].createtxg);
    let older: Vec<_> = aside.snapshots.drain(..count).collect();
    let (bookmarks, newer) = aside.bookmarks.drain(..).partition(|one| Some(one.createtxg) <= txg);
    aside.bookmarks = newer;
    if let Some(state) = current.get_mut(target).map(Cow::to_mut) {
        state.origin = aside.origin.take();
        state.snapshots.splice(0..0, older);
        state.bookmarks = bookmarks;
        rename_state(state, target);
    }
    aside.origin = target.snapshot(origin.short()).ok();
    current.insert(aside.name.clone(), Cow::Owned(aside));
}
