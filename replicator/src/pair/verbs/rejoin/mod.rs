//! A node that was active, and another one was promoted since: it lets go of what it wrote in between without losing any
//! of it, and follows. A dataset that went its own way is renamed to `<name>-divergent-<epoch>`, a clone of the newest
//! snapshot that the active node has, too, takes its name and is promoted, and its children move back. The epoch is that
//! in which it was written. One dataset after the other, each time from what is there (`next`): so a crash between any
//! two steps is found by the next run, by these names.
//!
//! Before the first of these steps the root gets a mark ([`marks::REJOIN`]), which goes along wherever the root goes, and is
//! taken off at the very end: as long as it is there nobody sends to this node, nothing follows by itself, and a rejoin goes on
//! whatever the epoch says.
//!
//! The same sets aside what somebody wrote to a standby, if that is asked for ([`Asked::aside`]). And a node that has
//! nothing of its own follows without being asked ([`Asked::only_follow`]).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Refused;
use super::Step;
use super::VerbError;
use super::carry_out;
use super::demote;
use super::far::Far;
use super::look::Root;
use super::look::Side;
use super::look::look;
use super::node::Mount;
use super::node::Node;
use super::settle;
use super::working;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::marks;
use crate::marks::FirstCopy;
use crate::marks::Rejoining;
use crate::pair::aside;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::believe;
use crate::pair::epoch::written;
use crate::pair::fence::own;
use crate::pair::fence::unfinished;
use crate::plan::Patterns;

mod keep;
mod next;

pub use keep::Kept;

/// How far a node may go to follow.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A dataset without a common snapshot is set aside as a whole.
    pub full: bool,
    /// Also where this node follows already: what somebody has written to it is set aside.
    pub aside: bool,
    /// Only where nothing has to be set aside, and nobody can write.
    pub only_follow: bool,
    /// The datasets that the pair replicates. The others are this node's own, and stay.
    pub datasets: Patterns,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rejoined {
    /// The epoch that the node follows.
    pub epoch: u64,
    /// The node that is active.
    pub active: String,
    /// What was set aside in this run.
    pub kept: Vec<Kept>,
    /// Datasets whose key is not loaded. What took the place of an encryption root is one of its own, without the key.
    pub locked: Vec<String>,
}

/// A root, and whom it is to follow.
struct Followed {
    root: DatasetName,
    ours: Option<Epoch>,
    lead: Epoch,
    /// An earlier rejoin has begun with it, and broke off.
    begun: Option<Rejoining>,
}

impl Followed {
    /// Whether nothing is left to do, by its epoch.
    fn follows(&self) -> bool {
        let same = |ours: &Epoch| ours.number == self.lead.number && ours.holder == self.lead.holder;
        self.begun.is_none() && self.ours.as_ref().is_some_and(same)
    }

    /// The epoch in the names of what is set aside.
    fn epoch(&self) -> u64 {
        self.begun.map_or_else(|| self.ours.as_ref().map_or(0, |ours| ours.number), |begun| begun.epoch)
    }
}

/// Lets a node follow. `there` is the host of the other one.
///
/// # Errors
/// When it may not, or a step fails: then the same verb goes on from there.
pub fn rejoin(
    node: &mut dyn Node,
    roots: &[DatasetName],
    there: &mut dyn Host,
    peer: &NodeName,
    asked: &Asked,
    tell: &mut dyn FnMut(&str),
) -> Result<Rejoined, VerbError> {
    let name = node.name().clone();
    roots.iter().try_for_each(|root| working(node, root.pool()).map(drop))?;
    let far = Far::seen(look(there, peer.as_str(), roots)?);
    let mut followed = Vec::new();
    let here = look(node.host(), name.as_str(), roots)?;
    for root in &here.roots {
        let begun = unfinished(node.host(), &root.name)?;
        if begun.is_some() && asked.only_follow {
            return Err(Refused::Unfinished(root.name.clone()).into());
        }
        let ours = own_epoch(node, root, &name)?;
        let lead = leader(ours.as_ref(), root, &far, &name, peer)?;
        if let Some(ours) =
            ours.as_ref().filter(|ours| ours.number == lead.number && ours.holder != lead.holder)
            && asked.only_follow
        {
            return Err(Refused::Both { root: root.name.clone(), number: ours.number }.into());
        }
        followed.push(Followed { root: root.name.clone(), ours, lead, begun });
    }
    // Before anything is looked at closely nobody writes any more, and until the end nobody receives.
    let mounts = node.mounts()?;
    let behind: Vec<_> = followed.iter().filter(|one| asked.aside || !one.follows()).collect();
    let mut done = Rejoined::default();
    let _closed = node.close(roots)?;
    for one in &followed {
        done.epoch = done.epoch.max(one.lead.number);
        done.active = one.lead.holder.to_string();
    }
    if behind.is_empty() {
        hand_on(node, tell);
        done.locked = locked(&here);
        return Ok(done);
    }
    settle(node, roots)?;
    if asked.only_follow {
        let here = look(node.host(), name.as_str(), roots)?;
        let behind: Vec<_> = behind.iter().map(|one| &one.root).collect();
        nothing_own(&here, &far, &node.mounts()?, &behind, &asked.datasets)?;
    }
    // Where nobody can write, nothing has to be unmounted either.
    carry_out(node, &demote::close(&here, &mounts, !asked.only_follow), tell)?;
    settle(node, roots)?;
    for one in behind {
        let (root, epoch) = (&one.root, one.epoch());
        let theirs = far.root(root).into_iter().flat_map(|root| root.replicated(&asked.datasets));
        let theirs: BTreeMap<_, _> = theirs.map(|state| (state.name.clone(), state.clone())).collect();
        if !asked.only_follow {
            let begun = one.begun.is_some();
            keep::set_aside(node, root, (epoch, &theirs), (asked.full, begun), &mut done.kept, tell)?;
        }
        let now = look(node.host(), name.as_str(), std::slice::from_ref(root))?;
        // Where it is set aside as a whole, the first receive brings the epoch.
        for now in now.roots.iter().filter(|now| now.tree.is_some()) {
            let lead = Epoch { number: one.lead.number, holder: one.lead.holder.clone(), pool: now.pool };
            if now.epoch() != Some(&lead) {
                let mut set = vec![written(&lead)];
                if now.epoch().is_none() {
                    // Nobody knows whether all of it has ever been here.
                    set.push((marks::FIRST.to_string(), FirstCopy { there: 0, of: 0 }.to_string()));
                }
                let step = Step::Change(Change::SetProperties { dataset: root.clone(), set });
                carry_out(node, &[step], tell)?;
            }
        }
        keep::finish(node, root, epoch, tell)?;
    }
    hand_on(node, tell);
    done.locked = locked(&look(node.host(), name.as_str(), roots)?);
    Ok(done)
}

/// What is left of the service goes to the node that is active, where this program takes it itself.
fn hand_on(node: &mut dyn Node, tell: &mut dyn FnMut(&str)) {
    if let Err(why) = node.hand_over() {
        tell(&format!("the service could not be handed on: {why}"));
    }
}

/// Whether these roots have nothing that the other node lacks.
fn nothing_own(
    here: &Side,
    far: &Far,
    mounts: &[Mount],
    roots: &[&DatasetName],
    selected: &Patterns,
) -> Result<(), Refused> {
    for root in here.roots.iter().filter(|root| roots.contains(&&root.name)) {
        let theirs = far.root(&root.name).and_then(|root| root.tree.as_ref());
        for state in root.datasets() {
            let refused = |why: String| Err(Refused::Own { dataset: state.name.clone(), why });
            if mounts.iter().any(|mount| mount.writable && mount.dataset == state.name) {
                return refused("is mounted and writable".to_string());
            }
            if !selected.select_dataset(&state.name, &root.name) {
                continue;
            }
            let newest: Option<Guid> = state.snapshots.last().map(|newest| newest.guid);
            let there = theirs.and_then(|tree| tree.get(&state.name));
            let has =
                |guid: &Guid| there.is_some_and(|there| there.snapshots.iter().any(|one| one.guid == *guid));
            if let Some(why) = own(state, newest.filter(has)) {
                return refused(why);
            }
        }
    }
    Ok(())
}

/// The encryption roots whose key is not loaded.
fn locked(here: &Side) -> Vec<String> {
    let encryptions =
        here.roots.iter().flat_map(Root::datasets).filter_map(|state| state.encryption.as_ref());
    let locked: BTreeSet<_> =
        encryptions.filter(|how| !how.key_loaded).map(|how| how.root.to_string()).collect();
    locked.into_iter().collect()
}

/// The epoch of a root here; where a crash came right after it was set aside, that which it was set aside for.
fn own_epoch(node: &mut dyn Node, root: &Root, name: &NodeName) -> Result<Option<Epoch>, VerbError> {
    if let Belief::Unknown(doubt) = &root.belief {
        let (root, doubt) = (root.name.clone(), doubt.clone());
        return Err(Refused::Doubtful { node: name.to_string(), root, doubt }.into());
    }
    if root.tree.is_some() {
        return Ok(root.epoch().cloned());
    }
    let Inventory::Absent { children, .. } = node.host().inventory(&root.name, Depth::One)? else {
        return Ok(None);
    };
    let newest = children.iter().filter_map(|child| Some((aside::of(child, &root.name)?, child))).max();
    let Some(((number, _), found)) = newest else { return Ok(None) };
    let names = [marks::EPOCH.to_string()];
    let properties = node.host().some_properties(found, Depth::One, &names)?;
    let property = properties.get(found).and_then(|properties| properties.get(marks::EPOCH));
    match believe(property, root.pool) {
        Belief::Known(epoch) if number == epoch.number => Ok(Some(epoch)),
        _ => Ok(None),
    }
}

/// The epoch that a root has to follow.
fn leader(
    ours: Option<&Epoch>,
    root: &Root,
    far: &Far,
    name: &NodeName,
    peer: &NodeName,
) -> Result<Epoch, Refused> {
    let theirs = far.root(&root.name);
    let lead = match theirs.map(|theirs| &theirs.belief) {
        Some(Belief::Known(epoch)) => epoch,
        Some(Belief::Unknown(doubt)) => {
            let (root, doubt) = (root.name.clone(), doubt.clone());
            return Err(Refused::Doubtful { node: peer.to_string(), root, doubt });
        }
        Some(Belief::None) | None => return Err(Refused::NobodyIsActive(root.name.clone())),
    };
    if theirs.is_none_or(|theirs| theirs.tree.is_none()) {
        return Err(Refused::NoRoot { node: peer.to_string(), root: root.name.clone() });
    }
    // Where both were promoted to the same epoch, whoever is told to rejoin is the one that follows.
    if let Some(ours) = ours.filter(|ours| ours.number > lead.number) {
        return Err(Refused::Newest(ours.into()));
    }
    // Both agree on who it is.
    if lead.holder == *name {
        return Err(Refused::Newest(lead.into()));
    }
    Ok(lead.clone())
}

#[cfg(test)]
mod tests {
    use zfs_core::DatasetKind;

    use super::*;
    use crate::host::DatasetState;
    use crate::host::Encryption;
    use crate::host::Properties;
    use crate::host::Tree;

    #[test]
    fn each_encryption_root_without_its_key_is_named_once() {
        let name = |text: &str| -> DatasetName { text.parse().expect("a name") };
        let state = |dataset: &str, encryption: Option<(&str, bool)>| DatasetState {
            name: name(dataset),
            kind: DatasetKind::Filesystem,
            guid: Guid(1),
            encryption: encryption.map(|(root, key_loaded)| Encryption { root: name(root), key_loaded }),
            origin: None,
            written: 0,
            referenced: 0,
            available: 0,
            partial: None,
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
        };
        let states = vec![
            state("tank/a", Some(("tank/a", false))),
            state("tank/a/b", Some(("tank/a", false))),
            state("tank/a/c", Some(("tank/a/c", true))),
            state("tank/a/d", Some(("tank/a/d", false))),
            state("tank/a/e", None),
            // What was set aside nobody promotes.
            state("tank/a/f-divergent-3", Some(("tank/a/f-divergent-3", false))),
        ];
        let root = Root {
            name: name("tank/a"),
            pool: Guid(1),
            tree: Some(Tree::new(&name("tank/a"), states).expect("a tree")),
            properties: Properties::new(),
            belief: Belief::None,
            above: None,
        };
        let side = Side { node: "a".to_string(), roots: vec![root] };
        assert_eq!(locked(&side), ["tank/a", "tank/a/d"]);
    }
}
