//! Making a node the active one. Whether it may is decided here from what both sides are, and what has to be done for it:
//! what a receive that broke off has kept goes, what somebody wrote to a standby is kept in a snapshot, the epoch is
//! raised on all roots, they become writable, and are mounted. On a node that holds the newest epoch already only what is
//! missing of this is done. In the end the other node is told, if it can be: so it does not go on from what it has, should
//! this one die before it sends.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;

use super::Refused;
use super::Step;
use super::VerbError;
use super::carry_out;
use super::far;
use super::far::Far;
use super::look::Root;
use super::look::Side;
use super::look::look;
use super::look::look_own;
use super::node::Mount;
use super::node::Node;
use super::send;
use super::snapshot_name;
use super::take_together;
use super::working;
use crate::config::pair::Guards;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::marks;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::written;
use crate::pair::fence::Claim;
use crate::pair::fence::Held;
use crate::pair::fence::unfinished;
use crate::pair::guards;
use crate::plan::Patterns;
use crate::role::source::NotTaken;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Goes on although the data are old, or the other node may be active, or nothing is known of the root before.
    pub force: bool,
    /// Limits.
    pub guards: Guards,
    /// The datasets that the pair replicates. What the others are like keeps nobody from being promoted.
    pub datasets: Patterns,
    /// The time in seconds since 1970.
    pub now: i64,
}

/// All that the decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'f> {
    /// This node.
    pub node: &'f NodeName,
    /// Its roots.
    pub here: &'f Side,
    /// The other side's.
    pub there: &'f Far,
    /// The kernel's word for each pool.
    pub health: &'f BTreeMap<String, Option<String>>,
    /// When the newest snapshot of each root was taken, in seconds since 1970.
    pub newest: &'f BTreeMap<DatasetName, i64>,
    /// What is mounted.
    pub mounts: &'f [Mount],
    /// Roots of which a rejoin has set something aside, and was not finished.
    pub unfinished: &'f BTreeSet<DatasetName>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// The epoch of this node.
    pub epoch: u64,
    /// Whether it was raised.
    pub raised: bool,
    /// What is told and is no failure.
    pub told: Vec<String>,
}

/// The steps to the active node, and its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What comes of it.
    pub promoted: Promoted,
}

/// Which epoch the node has afterwards; `None` where it holds the newest already.
///
/// # Errors
/// When it may not become the active one.
pub fn epoch(facts: &Facts<'_>, asked: &Asked) -> Result<Option<u64>, Refused> {
    let Facts { node, here, there, .. } = facts;
    let mut all: Vec<&Epoch> = Vec::new();
    let ours = here.roots.iter().map(|root| (here.node.as_str(), root));
    for (side, root) in ours.chain(there.roots().iter().map(|root| (there.node(), root))) {
        if let Belief::Unknown(doubt) = &root.belief {
            let (node, root, doubt) = (side.to_string(), root.name.clone(), doubt.clone());
            return Err(Refused::Doubtful { node, root, doubt });
        }
        all.extend(root.epoch());
    }
    let newest = all.iter().map(|epoch| epoch.number).max().unwrap_or(0);
    for root in &here.roots {
        let theirs = there.root(&root.name).and_then(Root::epoch).filter(|theirs| theirs.holder != **node);
        if let (Some(ours), Some(theirs)) = (root.epoch(), theirs)
            && ours.holder == **node
            && !asked.force
        {
            if theirs.number == ours.number {
                return Err(Refused::Both { root: root.name.clone(), number: ours.number });
            }
            if theirs.number > ours.number {
                let (ours, theirs) = (ours.into(), theirs.into());
                return Err(Refused::PeerIsNewer { root: root.name.clone(), ours, theirs });
            }
        }
    }
    let mine = |epoch: &&&Epoch| epoch.number == newest && epoch.holder == **node;
    let others = all.iter().any(|epoch| epoch.number == newest && epoch.holder != **node);
    if all.iter().any(|epoch| mine(&epoch)) && !others {
        // Where a crash came between two roots, or the other node has handed it over, some still lack it.
        let has = |root: &Root| root.epoch().is_some_and(|epoch| mine(&&epoch));
        return Ok((!here.roots.iter().all(has)).then_some(newest));
    }
    let name = here.roots.first().map(|root| root.name.clone());
    match (newest.checked_add(1), name) {
        (Some(next), _) => Ok(Some(next)),
        (None, Some(root)) => Err(Refused::NoMoreEpochs(root)),
        (None, None) => Ok(None),
    }
}

/// Decides whether the node may become the active one, and plans it.
///
/// # Errors
/// When it may not.
pub fn plan(facts: &Facts<'_>, asked: &Asked) -> Result<Plan, Refused> {
    let raised = epoch(facts, asked)?;
    let Facts { node, here, .. } = facts;
    let held = here.roots.iter().filter_map(Root::epoch).map(|epoch| epoch.number).max();
    let number = raised.or(held).unwrap_or(0);
    let mut told = Vec::new();
    for (pool, state) in facts.health {
        told.extend(guards::health(pool, state.as_deref())?.map(|told| told.to_string()));
    }
    let (mut discards, mut keeps, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut opens, mut mounts) = (Vec::new(), Vec::new());
    for root in &here.roots {
        safe(facts, asked, root, raised.is_some())?;
        // Before the first promotion of a pair there was no standby either.
        let stood_by = root.epoch().is_some_and(|epoch| epoch.holder != **node);
        let mut gone = BTreeSet::new();
        for state in root.datasets() {
            let replicated = asked.datasets.select_dataset(&state.name, &root.name);
            if !replicated && is_closed(state) {
                // It is somebody else's, and there is nothing of it yet, or no key.
                gone.insert(state.name.clone());
                continue;
            }
            if let Some(partial) = state.partial.as_ref().filter(|_| replicated) {
                told.push(format!("a partial receive of {} is thrown away ({})", state.name, partial.token));
                let (dataset, partial) = (state.name.clone(), partial.clone());
                discards.push(Step::Change(Change::DiscardPartial { dataset, partial }));
                if state.snapshots.is_empty() {
                    // There is nothing else of it.
                    gone.insert(state.name.clone());
                    continue;
                }
            }
            // On a node that is active already, what is written is no divergence.
            let standby = raised.is_some() && stood_by && replicated;
            if standby && state.written > 0 && !state.snapshots.is_empty() {
                let name = snapshot_name(state, "divergent", number).map_err(|error| Refused::Aside {
                    dataset: state.name.clone(),
                    why: error.to_string(),
                })?;
                told.push(format!("{} was written to as a standby: kept in {name}", state.name));
                keeps.push(name);
            }
            opens.extend(open(root, &state.name).map(Step::Change));
        }
        let ours = Epoch { number, holder: (*node).clone(), pool: root.pool };
        if root.epoch() != Some(&ours) {
            let change = Change::SetProperties { dataset: root.name.clone(), set: vec![written(&ours)] };
            epochs.push(Step::Change(change));
        }
        // From now on this is what there is of it.
        let mut over = Vec::new();
        over.extend(root.first_copy().map(|_| marks::FIRST.to_string()));
        over.extend(facts.unfinished.contains(&root.name).then(|| marks::REJOIN.to_string()));
        if !over.is_empty() {
            let change = Change::UnsetProperties { dataset: root.name.clone(), names: over };
            epochs.push(Step::Change(change));
        }
        for (dataset, at) in root.places()?.into_iter().filter(|(dataset, _)| !gone.contains(dataset)) {
            let on_top = facts.mounts.iter().rev().find(|mount| mount.at == at);
            if !on_top.is_some_and(|mount| mount.dataset == dataset && mount.writable) {
                mounts.push(Step::Mount { dataset, at });
            }
        }
    }
    let mut steps = discards;
    steps.extend(take_together(keeps));
    steps.extend(epochs);
    steps.extend(opens);
    steps.extend(mounts);
    Ok(Plan { steps, promoted: Promoted { epoch: number, raised: raised.is_some(), told } })
}

/// Whether nothing of a dataset can be mounted: nothing of it has arrived as a whole, or its key is not loaded.
fn is_closed(state: &DatasetState) -> bool {
    let incomplete = state.partial.is_some() && state.snapshots.is_empty();
    incomplete || state.encryption.as_ref().is_some_and(|encryption| !encryption.key_loaded)
}

/// Whether one root may become the active one.
fn safe(facts: &Facts<'_>, asked: &Asked, root: &Root, raised: bool) -> Result<(), Refused> {
    // Of a root that is not there nothing can be promoted, whatever is forced.
    if facts.unfinished.contains(&root.name) && (root.tree.is_none() || !asked.force) {
        return Err(Refused::Unfinished(root.name.clone()));
    }
    if root.tree.is_none() {
        return Err(Refused::NoRoot { node: facts.here.node.clone(), root: root.name.clone() });
    }
    // What the pair leaves out keeps nobody from being promoted.
    for state in root.replicated(&asked.datasets) {
        let incomplete = state.partial.is_some() && state.snapshots.is_empty();
        if incomplete && (state.name == root.name || !asked.force) {
            return Err(Refused::Incomplete(state.name.clone()));
        }
        let locked = state.encryption.as_ref().filter(|encryption| !encryption.key_loaded);
        if let Some(encryption) = locked {
            return Err(Refused::KeyNotLoaded(encryption.root.clone()));
        }
    }
    let there = facts.there.root(&root.name);
    let theirs = there.and_then(|there| there.tree.as_ref());
    // This one is to be the source from now on.
    for state in root.replicated(&asked.datasets) {
        if let Some(theirs) = theirs.and_then(|theirs| theirs.get(&state.name)) {
            guards::lineage(state, theirs)?;
        }
    }
    if asked.force || !raised {
        return Ok(());
    }
    if root.belief == Belief::None
        && let Some(why) = facts.there.unseen().get(&root.name)
    {
        // Where it was seen its data are common with those here, or there are none there.
        let why = format!("the other node cannot be asked: {why}");
        return Err(Refused::NoLineage { root: root.name.clone(), why });
    }
    // The other node, where it is the one that was promoted last as far as its root knows.
    let holder = there.filter(|there| there.epoch().is_some_and(|epoch| epoch.holder != *facts.node));
    if facts.there.writable(&root.name).is_some() {
        let holder = facts.there.node().to_string();
        return Err(Refused::PeerIsActive { root: root.name.clone(), holder });
    }
    for state in root.replicated(&asked.datasets) {
        if let Some(theirs) = theirs.and_then(|theirs| theirs.get(&state.name)) {
            caught_up(state, theirs)?;
        }
    }
    match holder.filter(|holder| holder.tree.is_some()) {
        Some(holder) => nothing_left(root, holder, facts.there.node(), &asked.datasets)?,
        // Nobody says what there has to be.
        None => {
            if let Some(first) = root.first_copy() {
                let (there, of) = (first.there, first.of);
                return Err(Refused::NotWhole { root: root.name.clone(), there, of });
            }
        }
    }
    let limit = asked.guards.promote_age;
    if let (Some(limit), Some(newest)) = (limit, facts.newest.get(&root.name)) {
        let age = u64::try_from(asked.now.saturating_sub(*newest)).unwrap_or(0);
        let limit = limit.as_secs();
        let standby = root.epoch().is_none_or(|epoch| epoch.holder != *facts.node);
        if age > limit && standby {
            return Err(Refused::TooOld { root: root.name.clone(), age, limit });
        }
    }
    Ok(())
}

/// Whether this node has what the other one took last, which can be asked and has not been able to send it yet.
fn caught_up(ours: &DatasetState, theirs: &DatasetState) -> Result<(), Refused> {
    let has = |guid| ours.snapshots.iter().any(|one| one.guid == guid);
    let Some(common) = theirs.snapshots.iter().rposition(|one| has(one.guid)) else { return Ok(()) };
    let missing = theirs.snapshots.len() - common - 1;
    // Where this one went on from there itself, that is the history that counts.
    let is_newest = ours.snapshots.last().is_some_and(|one| one.guid == theirs.snapshots[common].guid);
    if missing > 0 && is_newest {
        return Err(Refused::Behind { dataset: ours.name.clone(), missing });
    }
    Ok(())
}

/// Whether the node that was promoted last has nothing that could not come here yet: no dataset that is not here, and
/// nothing written that is in no snapshot.
fn nothing_left(ours: &Root, theirs: &Root, holder: &str, selected: &Patterns) -> Result<(), Refused> {
    for state in theirs.replicated(selected) {
        let (dataset, holder) = (state.name.clone(), holder.to_string());
        if ours.tree.as_ref().is_none_or(|tree| tree.get(&state.name).is_none()) {
            return Err(Refused::Lacks { dataset, holder });
        }
        if state.written > 0 {
            return Err(Refused::Unsnapped { dataset, holder, bytes: state.written });
        }
    }
    Ok(())
}

/// Makes a dataset writable. It is mounted by promotions and not by a boot: a node that comes back from a power cut
/// shall not write before it is known who is active.
fn open(root: &Root, dataset: &DatasetName) -> Option<Change> {
    let mut set = Vec::new();
    let is_root = *dataset == root.name;
    if root.value(dataset, "readonly") != "off" && (is_root || root.is_local(dataset, "readonly")) {
        set.push(("readonly".to_string(), "off".to_string()));
    }
    let kind = root.tree.as_ref().and_then(|tree| tree.get(dataset)).map(|state| state.kind);
    // The kernel does not tell what nobody set: it is on then.
    if kind == Some(DatasetKind::Filesystem) && matches!(root.value(dataset, "canmount"), "on" | "") {
        set.push(("canmount".to_string(), "noauto".to_string()));
    }
    (!set.is_empty()).then(|| Change::SetProperties { dataset: dataset.clone(), set })
}

/// Promotes a node. `there` gives the host of the other one, or says why it cannot be asked.
///
/// # Errors
/// When it is not safe, or a step fails: then the same verb goes on from there.
pub fn promote(
    node: &mut dyn Node,
    roots: &[DatasetName],
    there: Result<(&mut dyn Host, &NodeName), String>,
    asked: &Asked,
    tell: &mut dyn FnMut(&str),
) -> Result<Promoted, VerbError> {
    let name = node.name().clone();
    let health = health(node, roots)?;
    let (far, there) = match there {
        Err(why) => (Far::away(roots, &why), None),
        Ok((host, peer)) => {
            let far = far::ask(host, (&name, peer), roots, asked.force)?;
            for (root, why) in far.unseen() {
                tell(&format!("what {peer} has of {root} is not known: {why}"));
            }
            (far, Some((host, peer)))
        }
    };
    // What would be refused anyway ends no receive.
    planned(node, &name, roots, &far, &health, asked)?;
    let _closed = node.close(roots)?;
    // The receive that was in flight has left something, or has come to its end.
    let plan = planned(node, &name, roots, &far, &health, asked)?;
    // Before anything says that this node has it. What breaks off from here on is gone on with by the same verb.
    match node.claim() {
        Err(NotTaken::NotKnown(why)) if asked.force => tell(&format!("the service was not taken: {why}")),
        claimed => claimed.map_err(Refused::from)?,
    }
    carry_out(node, &plan.steps, tell)?;
    if plan.promoted.raised
        && let Some((host, peer)) = there
    {
        announce(node, host, peer, &far, (plan.promoted.epoch, &asked.datasets), tell);
    }
    Ok(plan.promoted)
}

/// How the pools of these roots are, by the kernel's word.
fn health(node: &mut dyn Node, roots: &[DatasetName]) -> Result<BTreeMap<String, Option<String>>, VerbError> {
    let mut health = BTreeMap::new();
    for root in roots {
        if !health.contains_key(root.pool()) {
            working(node, root.pool())?;
            health.insert(root.pool().to_string(), node.health(root.pool())?);
        }
    }
    Ok(health)
}

/// Tells the other node of the promotion: what follows, or has nothing of its own, goes by the new epoch from now on. Where
/// that fails the next send tells it.
fn announce(
    node: &mut dyn Node,
    host: &mut dyn Host,
    peer: &NodeName,
    far: &Far,
    (epoch, selected): (u64, &Patterns),
    tell: &mut dyn FnMut(&str),
) {
    let holder = node.name().clone();
    for root in far.roots().iter().filter(|root| root.tree.is_some()) {
        let (holder, receiver) = (holder.clone(), peer.clone());
        let claim = Claim { root: root.name.clone(), epoch, holder, receiver };
        if let Err(error) = send::enter(node.host(), host, &claim, selected) {
            tell(&format!("{peer} does not go by epoch {epoch} of {} yet: {error}", root.name));
        }
    }
}

/// Promotes a node to an epoch that the other one has just given away.
///
/// # Errors
/// When its roots are not in the epoch before that one, or already in it; when it is not safe otherwise.
pub fn take_over(node: &mut dyn Node, roots: &[DatasetName], number: u64) -> Result<(), VerbError> {
    let name = node.name().clone();
    health(node, roots)?;
    let side = look(node.host(), name.as_str(), roots)?;
    for root in &side.roots {
        let follows = root.epoch().is_some_and(|epoch| {
            epoch.number.checked_add(1) == Some(number) || epoch.number == number && epoch.holder == name
        });
        if !follows {
            let ours = root.epoch().map(Held::from);
            return Err(Refused::NotNext { root: root.name.clone(), number, ours }.into());
        }
    }
    let asked = Asked { force: false, guards: Guards::default(), datasets: Patterns::default(), now: 0 };
    let why = "it has given the service away".to_string();
    promote(node, roots, Err(why), &asked, &mut |_| {}).map(drop)
}

fn planned(
    node: &mut dyn Node,
    name: &NodeName,
    roots: &[DatasetName],
    there: &Far,
    health: &BTreeMap<String, Option<String>>,
    asked: &Asked,
) -> Result<Plan, VerbError> {
    let here = look_own(node.host(), name.as_str(), roots)?;
    let mut newest = BTreeMap::new();
    if asked.guards.promote_age.is_some() {
        for root in here.roots.iter().filter(|root| root.tree.is_some()) {
            let dates = node.host().dates(&root.name, Depth::One)?;
            newest
                .extend(dates.into_iter().map(|(_, date)| date).max().map(|date| (root.name.clone(), date)));
        }
    }
    let mut begun = BTreeSet::new();
    for root in roots {
        if unfinished(node.host(), root)?.is_some() {
            begun.insert(root.clone());
        }
    }
    let mounts = node.mounts()?;
    let (newest, unfinished) = (&newest, &begun);
    let facts = Facts { node: name, here: &here, there, health, newest, mounts: &mounts, unfinished };
    Ok(plan(&facts, asked)?)
}
