//! The datasets of a pair on each of its nodes: who was promoted last, whether the standby is closed and the active node
//! open, what is really mounted, and whether keys are there.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;

use super::are;
use super::arguments;
use super::some;
use super::unknown;
use crate::check::Finding;
use crate::host::DatasetState;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Epoch;
use crate::pair::verbs::Mount;
use crate::pair::verbs::look::Root;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::observation::Seen;

/// A root on both nodes; where it could not be looked at, why.
#[derive(Clone, Debug)]
pub struct Sides {
    /// Its name.
    pub name: DatasetName,
    /// On this node.
    pub here: Result<Found, String>,
    /// On the other one.
    pub there: Result<Found, String>,
}

/// A root as one node has it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its datasets and their properties.
    pub root: Root,
    /// What is mounted.
    pub mounts: Seen<Mounts>,
    /// The datasets that have a key, each with where that comes from.
    pub keys: BTreeMap<DatasetName, Key>,
}

/// What is known of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// All of this machine, in the order of their mounting.
    All(Vec<Mount>),
    /// What an agent says: whether the root is mounted and not read-only.
    Root(bool),
}

/// Where the key of a dataset comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `keylocation` in zfsprops(7).
    pub location: Seen<String>,
    /// Whether the file that it names is there; none where it names no file, or only the node itself could look.
    pub file: Option<Result<(), String>>,
}

/// A node, as its datasets are judged.
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) pair: &'a str,
}

impl Node<'_> {
    fn promote(&self) -> String {
        format!("on {}: replicator pair promote {}", self.name, self.pair)
    }
}

/// The node that was promoted last, where all roots say the same; none where nobody was.
///
/// # Errors
/// With the reason, where that is not known.
pub fn active(roots: &[Sides], names: &Names) -> Result<Option<String>, String> {
    let mut found: Option<(&DatasetName, Option<String>)> = None;
    for root in roots.iter().filter(|root| root.here.is_ok() || root.there.is_ok()) {
        let mut newest: Option<&Epoch> = None;
        for (node, side) in [(&names.here, &root.here), (&names.peer, &root.there)] {
            let Ok(side) = side else { continue };
            let epoch = match &side.root.belief {
                Belief::None => continue,
                Belief::Known(epoch) => epoch,
                Belief::Unknown(doubt) => {
                    return Err(format!("the epoch of {} on {node}: {doubt}", root.name));
                }
            };
            match newest {
                Some(known) if known.number == epoch.number && known.holder != epoch.holder => {
                    return Err(format!(
                        "both nodes were promoted to epoch {} of {}",
                        epoch.number, root.name
                    ));
                }
                Some(known) if known.number >= epoch.number => {}
                _ => newest = Some(epoch),
            }
        }
        let holder = newest.map(|epoch| epoch.holder.to_string());
        match &found {
            None => found = Some((&root.name, holder)),
            Some((_, known)) if *known == holder => {}
            Some((first, _)) => {
                return Err(format!("it is not the same one for {first} and {}", root.name));
            }
        }
    }
    Ok(found.and_then(|(_, holder)| holder))
}

/// What there is to say of the roots of a node.
pub(super) fn findings(node: &Node<'_>, roots: &[(&DatasetName, Result<&Found, &String>)]) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut seen = Vec::new();
    for (name, found) in roots {
        match found {
            Err(why) => {
                let text = format!("{name} cannot be looked at on {}: {why}", node.name);
                let fix = format!("on {}: zpool status {}", node.name, name.pool());
                all.push(Finding::fail("dataset", text, fix));
            }
            Ok(found) if found.root.tree.is_none() => all.push(not_there(node, name)),
            Ok(found) => seen.push(*found),
        }
    }
    if seen.is_empty() {
        return all;
    }
    all.extend(readonly(node, &seen));
    all.push(canmount(node, &seen));
    all.extend(mounted(node, &seen));
    all.extend(keys(node, &seen));
    all
}

fn not_there(node: &Node<'_>, name: &DatasetName) -> Finding {
    if node.role == Role::Active {
        let text = format!("{name} is not there on {}, which was promoted last", node.name);
        let fix =
            format!("start the service on the other node; `replicator pair status {}` shows both", node.pair);
        Finding::fail("dataset", text, fix)
    } else {
        let text = format!("{name} is not there on {} yet", node.name);
        let fix = "on the active node: replicator run --only replicate".to_string();
        Finding::warn("dataset", text, fix)
    }
}

/// The datasets that something is true of.
fn each(seen: &[&Found], is: impl Fn(&Root, &DatasetState) -> bool) -> Vec<DatasetName> {
    let mut all = Vec::new();
    for root in seen.iter().map(|found| &found.root) {
        all.extend(root.datasets().filter(|state| is(root, state)).map(|state| state.name.clone()));
    }
    all
}

fn readonly(node: &Node<'_>, seen: &[&Found]) -> Option<Finding> {
    let name = node.name;
    match node.role {
        Role::Active => {
            let wrong = each(seen, |root, state| root.value(&state.name, "readonly") == "on");
            Some(if wrong.is_empty() {
                Finding::ok("readonly", format!("{name} is active, and can write to all of it"))
            } else {
                let text =
                    format!("{} read-only on {name}, which is active: the service cannot write", are(&wrong));
                Finding::fail("readonly", text, node.promote())
            })
        }
        Role::Standby => {
            // What is inherited is told with what it comes from.
            let wrong = each(seen, |root, state| {
                let own = state.name == root.name || root.is_local(&state.name, "readonly");
                own && root.value(&state.name, "readonly") != "on"
            });
            Some(if wrong.is_empty() {
                Finding::ok("readonly", format!("all of it is read-only on {name}"))
            } else {
                let text = format!(
                    "{} not read-only on {name}: what is written there stops replication",
                    are(&wrong)
                );
                Finding::fail(
                    "readonly",
                    text,
                    format!("on {name}: zfs set readonly=on {}", arguments(&wrong)),
                )
            })
        }
        Role::Isolated | Role::Unknown => None,
    }
}

fn canmount(node: &Node<'_>, seen: &[&Found]) -> Finding {
    let wrong = each(seen, |root, state| {
        // The kernel does not tell what nobody set: it is on then.
        state.kind == DatasetKind::Filesystem && matches!(root.value(&state.name, "canmount"), "on" | "")
    });
    if wrong.is_empty() {
        return Finding::ok("canmount", format!("a restart of {} mounts nothing of it", node.name));
    }
    let text = format!(
        "canmount of {} on {} is on: a restart mounts it before anybody knows which node is active",
        some(&wrong),
        node.name
    );
    Finding::warn(
        "canmount",
        text,
        format!("on {}: zfs set canmount=noauto {}", node.name, arguments(&wrong)),
    )
}

/// Whether what is to be mounted is, and what is not to be is not.
fn mounted(node: &Node<'_>, seen: &[&Found]) -> Vec<Finding> {
    let active = match node.role {
        Role::Active => true,
        Role::Standby => false,
        Role::Isolated | Role::Unknown => return Vec::new(),
    };
    let mut all = Vec::new();
    for found in seen.iter().filter(|found| is_mountable(&found.root)) {
        let root = &found.root;
        match (&found.mounts, active) {
            (Seen::Unknown(why), _) => {
                let fix = format!("on {}: grep {} /proc/self/mounts", node.name, root.name);
                let what = format!("whether {} is mounted on {}", root.name, node.name);
                all.push(unknown("mounted", what, why, fix));
            }
            (Seen::Known(Mounts::All(mounts)), true) => all.extend(hidden(node, root, mounts)),
            (Seen::Known(Mounts::All(mounts)), false) => {
                let ours = mounts.iter().filter(|mount| mount.dataset.is_within(&root.name));
                all.extend(ours.map(|mount| open(node, mount)));
            }
            (Seen::Known(Mounts::Root(false)), true) => {
                let text = format!("{} is active, and {} is not mounted there", node.name, root.name);
                all.push(Finding::fail("mounted", text, node.promote()));
            }
            (Seen::Known(Mounts::Root(true)), false) => {
                let text = format!("{} is mounted on {} where it can be written to", root.name, node.name);
                all.push(Finding::fail(
                    "mounted",
                    text,
                    format!("on {}: zfs unmount {}", node.name, root.name),
                ));
            }
            (Seen::Known(Mounts::Root(_)), _) => {}
        }
    }
    if all.is_empty() {
        let text = if active {
            format!("all that is to be mounted on {} is", node.name)
        } else {
            format!("nothing of it is mounted on {}", node.name)
        };
        all.push(Finding::ok("mounted", text));
    }
    all
}

/// Whether a root is a filesystem that a promotion mounts.
fn is_mountable(root: &Root) -> bool {
    let first = root.datasets().next();
    first.is_some_and(|state| state.kind == DatasetKind::Filesystem)
        && root.value(&root.name, "canmount") != "off"
}

/// Something of the pair that is mounted on a standby.
fn open(node: &Node<'_>, mount: &Mount) -> Finding {
    let (dataset, at) = (&mount.dataset, mount.at.display());
    let fix = format!("on {}: zfs unmount {dataset}", node.name);
    if mount.writable {
        let text = format!("{dataset} is mounted on {at} of {} where it can be written to", node.name);
        return Finding::fail("mounted", text, fix);
    }
    let text = format!(
        "{dataset} is mounted on {at} of {}, read-only: its files change below those who read them",
        node.name
    );
    Finding::warn("mounted", text, fix)
}

/// The filesystems that are not what is seen at their mountpoints.
fn hidden(node: &Node<'_>, root: &Root, mounts: &[Mount]) -> Vec<Finding> {
    let places = match root.places() {
        Ok(places) => places,
        Err(refused) => return vec![Finding::fail("mounted", refused.to_string(), refused.hint())],
    };
    let mut all = Vec::new();
    for (dataset, at) in &places {
        let top = mounts.iter().rev().find(|mount| mount.at == *at);
        let at = at.display();
        let wrong = match top {
            Some(mount) if mount.dataset == *dataset && mount.writable => continue,
            Some(mount) if mount.dataset == *dataset => format!("{dataset} is mounted on {at} read-only"),
            Some(_) => format!("something else than {dataset} is mounted on {at}"),
            None => format!(
                "{dataset} is not mounted: {at} is only a directory, and what is written there is no part of the pair"
            ),
        };
        all.push(Finding::fail("mounted", wrong, node.promote()));
    }
    all
}

/// The keys, by the dataset that has them.
fn keys(node: &Node<'_>, seen: &[&Found]) -> Vec<Finding> {
    let (mut locked, mut places) = (BTreeSet::new(), BTreeMap::new());
    for found in seen {
        for how in found.root.datasets().filter_map(|state| state.encryption.as_ref()) {
            if !how.key_loaded {
                locked.insert(&how.root);
            }
            places.insert(&how.root, found.keys.get(&how.root));
        }
    }
    places.iter().map(|(dataset, key)| of_key(node, dataset, !locked.contains(*dataset), *key)).collect()
}

fn of_key(node: &Node<'_>, dataset: &DatasetName, loaded: bool, key: Option<&Key>) -> Finding {
    let name = node.name;
    let load = format!("on {name}: zfs load-key {dataset}");
    let from = match key.map(|key| (&key.location, &key.file)) {
        None => Err("it was not asked for".to_string()),
        Some((Seen::Unknown(why), _)) => Err(why.clone()),
        Some((Seen::Known(location), Some(Err(why)))) => {
            let text =
                format!("the key of {dataset} is in {location}, which cannot be read on {name}: {why}");
            let fix = format!("put the file there on {name}, readable by root alone: a restart needs it");
            return Finding::fail("keys", text, fix);
        }
        Some((Seen::Known(location), _)) => Ok(location.clone()),
    };
    if !loaded {
        let so = match node.role {
            Role::Active => "the service cannot use it".to_string(),
            _ => format!("{name} cannot take over"),
        };
        let how = match &from {
            Ok(location) if location == "prompt" => "somebody has to enter it".to_string(),
            Ok(location) => format!("it comes from {location}"),
            Err(why) => format!("where it comes from is not known: {why}"),
        };
        let text = format!("the key of {dataset} is not loaded on {name}, so {so}; {how}");
        return Finding::fail("keys", text, load);
    }
    match from {
        Ok(location) if location == "prompt" => {
            let text =
                format!("the key of {dataset} is loaded on {name}; after a restart somebody has to enter it");
            Finding::warn(
                "keys",
                text,
                format!("{load} after each restart, before anything is promoted there"),
            )
        }
        Ok(location) => Finding::ok(
            "keys",
            format!("the key of {dataset} is loaded on {name}, and comes from {location}"),
        ),
        Err(why) => {
            let fix = format!("on {name}: zfs get keylocation {dataset}");
            unknown(
                "keys",
                format!("the key of {dataset} is loaded on {name}; where it comes from"),
                &why,
                fix,
            )
        }
    }
}
