//! Carries an exchange out on this machine: looks, does the next thing, and looks again, until nothing is left to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Refused;
use super::RestoreError;
use super::exchange::Facts;
use super::exchange::Next;
use super::exchange::Wish;
use super::exchange::mark;
use super::exchange::next;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::marks;
use crate::marks::Exchange;
use crate::pair::verbs::Mount;
use crate::pair::verbs::Node;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::Side;
use crate::pair::verbs::look::look_own;

/// More steps than this would be going round in circles; each child that moves back is one.
const STEPS: usize = 100_000;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// What the old dataset is called now; none where nothing was to do.
    pub aside: Option<DatasetName>,
    /// Changes that were made.
    pub steps: usize,
}

/// Looks at everything that an exchange of a dataset depends on.
///
/// # Errors
/// When it cannot be asked.
pub fn look(
    host: &mut dyn Host,
    dataset: &DatasetName,
    wish: Option<&Wish>,
    now: i64,
) -> Result<Facts, HostError> {
    let mut facts = Facts { now, ..Facts::default() };
    let mut asides = Vec::new();
    match host.inventory(dataset, Depth::All)? {
        Inventory::Present(_) => {
            add(host, dataset, &mut facts)?;
            let found = facts.mark(dataset).and_then(|mark| marks::set_aside(dataset, mark.since).ok());
            asides.extend(found);
        }
        Inventory::Absent { children, .. } => {
            let of = |child: &DatasetName| marks::was_set_aside(child).as_ref() == Some(dataset);
            asides.extend(children.into_iter().filter(of));
        }
    }
    if let Some(Wish::Dataset(new)) = wish {
        add(host, new, &mut facts)?;
    }
    for aside in asides {
        let names = [marks::EXCHANGE.to_string()];
        let Inventory::Present(tree) = host.inventory(&aside, Depth::One)? else { continue };
        // Of the dataset that is there, or its own where the name is free.
        let begun = match facts.mark(dataset) {
            Some(begun) => Some(begun),
            None => mark(host.some_properties(&aside, Depth::One, &names)?.get(&aside)),
        };
        if begun.is_some_and(|begun| is_old(&begun, dataset, &aside, tree.root().guid)) {
            add(host, &aside, &mut facts)?;
            facts.aside = Some(aside);
            break;
        }
    }
    Ok(facts)
}

/// Whether a dataset is the one that a mark is about.
fn is_old(mark: &Exchange, dataset: &DatasetName, aside: &DatasetName, guid: Guid) -> bool {
    mark.old == guid && marks::set_aside(dataset, mark.since).is_ok_and(|name| name == *aside)
}

/// A dataset with what is below it, and their properties; nothing where it is not there.
fn add(host: &mut dyn Host, dataset: &DatasetName, facts: &mut Facts) -> Result<(), HostError> {
    let Inventory::Present(tree) = host.inventory(dataset, Depth::All)? else { return Ok(()) };
    facts.datasets.extend(tree.datasets().iter().map(|state| (state.name.clone(), state.clone())));
    facts.properties.extend(host.properties(dataset, Depth::All)?);
    Ok(())
}

/// Does what is left to do of an exchange, or all of it. `tell` is called after each change.
///
/// # Errors
/// When something stands against it, or a step fails: then the same call goes on from there.
pub fn carry_out(
    node: &mut dyn Node,
    dataset: &DatasetName,
    wish: Option<&Wish>,
    now: i64,
    tell: &mut dyn FnMut(&str),
) -> Result<Exchanged, RestoreError> {
    let _closed = node.close(std::slice::from_ref(dataset))?;
    let mut done = Exchanged::default();
    // What was mounted where, by people as well, while this call goes on.
    let before: Vec<Mount> = ours(node, &[dataset])?;
    for _ in 0..STEPS {
        let facts = look(node.host(), dataset, wish, now)?;
        let Some(next) = next(dataset, wish, &facts)? else { return Ok(done) };
        if let Some(aside) = &facts.aside {
            done.aside = Some(aside.clone());
        }
        let changes = match next {
            Next::Begin(changes) => {
                let new = match wish {
                    Some(Wish::Dataset(new)) => Some(new),
                    _ => None,
                };
                let both: Vec<_> = new.into_iter().chain([dataset]).collect();
                unmount(node, &both, tell)?;
                changes
            }
            Next::Change(changes) => {
                // After a crash something may have been mounted again.
                let moves: Vec<_> = changes.iter().filter_map(moved).collect();
                unmount(node, &moves, tell)?;
                changes
            }
            Next::Finish(change) => {
                mount(node, dataset, &before, tell)?;
                if let Some(change) = change {
                    apply(node, &change, &mut done, tell)?;
                }
                return Ok(done);
            }
        };
        for change in &changes {
            apply(node, change, &mut done, tell)?;
        }
    }
    Err(Refused::Endless(dataset.clone()).into())
}

fn apply(
    node: &mut dyn Node,
    change: &Change,
    done: &mut Exchanged,
    tell: &mut dyn FnMut(&str),
) -> Result<(), RestoreError> {
    node.host().apply(change)?;
    done.steps += 1;
    tell(&change.to_string());
    Ok(())
}

/// What a change renames.
fn moved(change: &Change) -> Option<&DatasetName> {
    match change {
        Change::Rename { from, .. } => Some(from),
        _ => None,
    }
}

/// Ends the mounts of these datasets and of what is below them, all or none.
fn unmount(
    node: &mut dyn Node,
    datasets: &[&DatasetName],
    tell: &mut dyn FnMut(&str),
) -> Result<(), RestoreError> {
    if datasets.is_empty() {
        return Ok(());
    }
    let mut ended: Vec<Mount> = Vec::new();
    // What was mounted last comes off first.
    for mount in ours(node, datasets)?.into_iter().rev() {
        if let Err(error) = node.unmount(&mount) {
            for back in ended.iter().rev() {
                if let Err(error) = node.mount(&back.dataset, &back.at) {
                    tell(&format!("{} stays unmounted: {error}", back.dataset));
                }
            }
            return Err(RestoreError::InUse { dataset: mount.dataset, cause: error.to_string() });
        }
        tell(&format!("unmount {} from {}", mount.dataset, mount.at.display()));
        ended.push(mount);
    }
    Ok(())
}

/// The mounts of these datasets and of what is below them.
fn ours(node: &mut dyn Node, datasets: &[&DatasetName]) -> Result<Vec<Mount>, HostError> {
    let mut mounts = node.mounts()?;
    mounts.retain(|mount| datasets.iter().any(|dataset| mount.dataset.is_within(dataset)));
    Ok(mounts)
}

/// Mounts what was mounted before, and what mounts by itself.
fn mount(
    node: &mut dyn Node,
    dataset: &DatasetName,
    before: &[Mount],
    tell: &mut dyn FnMut(&str),
) -> Result<(), RestoreError> {
    let name = node.name().as_str().to_string();
    let side = look_own(node.host(), &name, std::slice::from_ref(dataset))
        .map_err(|error| RestoreError::NotMounted { dataset: dataset.clone(), cause: error.to_string() })?;
    let mut places: BTreeMap<DatasetName, PathBuf> = by_themselves(&side);
    places.extend(before.iter().map(|mount| (mount.dataset.clone(), mount.at.clone())));
    let there = |dataset: &DatasetName| {
        let mut all = side.roots.iter().flat_map(Root::datasets);
        all.any(|state| state.name == *dataset && state.kind == DatasetKind::Filesystem)
    };
    // Parents before their children.
    for (dataset, at) in places.iter().filter(|(dataset, _)| there(dataset)) {
        if node.mounts()?.iter().any(|mount| mount.dataset == *dataset) {
            continue;
        }
        node.mount(dataset, at).map_err(|error| RestoreError::NotMounted {
            dataset: dataset.clone(),
            cause: error.to_string(),
        })?;
        tell(&format!("mount {dataset} on {}", at.display()));
    }
    Ok(())
}

/// The filesystems that `zfs mount -a` would mount, each with its mountpoint.
fn by_themselves(side: &Side) -> BTreeMap<DatasetName, PathBuf> {
    let mut places = BTreeMap::new();
    for root in &side.roots {
        for state in root.datasets().filter(|state| state.kind == DatasetKind::Filesystem) {
            let at = root.mountpoint(&state.name);
            // The kernel does not tell what nobody set: it is on then.
            if at.starts_with('/') && matches!(root.value(&state.name, "canmount"), "on" | "") {
                places.insert(state.name.clone(), at.into());
            }
        }
    }
    places
}

/// Makes a dataset usable that was received where nothing was: writable and mounted, with all below it. What was received
/// is read-only and mounts by nobody, so that nothing of it changes while it comes.
///
/// # Errors
/// When it cannot be changed or mounted: then the same call goes on from there.
pub fn open_new(
    node: &mut dyn Node,
    dataset: &DatasetName,
    tell: &mut dyn FnMut(&str),
) -> Result<Exchanged, RestoreError> {
    let mut done = Exchanged::default();
    let mut facts = Facts::default();
    add(node.host(), dataset, &mut facts)?;
    if facts.datasets.is_empty() {
        return Err(Refused::NoDataset(dataset.clone()).into());
    }
    for state in facts.datasets.values() {
        for (name, value) in [("readonly", "on"), ("canmount", "noauto")] {
            if facts.local(&state.name, name) == Some(value)
                && let Some(change) = facts.make(&state.name, name, None)
            {
                apply(node, &change, &mut done, tell)?;
            }
        }
    }
    mount(node, dataset, &[], tell)?;
    Ok(done)
}
