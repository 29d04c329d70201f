//! A whole tree: which dataset goes where, in which order, and what must be made before. Each dataset's own steps come
//! from [`super::chain`]; a conflict of one never keeps the others from going on.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::base::Bases;
use super::bugs;
use super::chain;
use super::chain::Chain;
use super::chain::Origin;
use super::conflict::Conflict;
use super::marking;
use super::options::Divergence;
use super::options::Options;
use super::preserve;
use super::steps::DatasetPlan;
use super::steps::Kept;
use super::steps::Side;
use super::steps::Step;
use super::steps::TreePlan;
use crate::host::About;
use crate::host::Change;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::Tree;
use crate::marks;

/// Everything a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// The source and, for a recursive plan, everything below it.
    pub source: &'a Tree,
    /// The target.
    pub target: &'a Inventory,
    /// Datasets that were set aside for the root of the target: they lie beside it.
    pub asides: &'a [Tree],
    /// The name of the target.
    pub target_root: &'a DatasetName,
    /// The pools of source and target, once they are known. Without them there are no bookmarks and no version gates.
    pub pools: Option<(&'a About, &'a About)>,
    /// The properties of the target's datasets, for setting one aside.
    pub target_properties: Option<&'a Properties>,
    /// The time in seconds since 1970, for the names of datasets that are set aside.
    pub now: i64,
}

/// Plans a tree.
#[must_use]
pub fn plan(sides: Sides<'_>, options: &Options) -> TreePlan {
    let mut planner = TreePlanner::new(sides, options);
    planner.missing_parents();
    planner.map_all();
    let chains = planner.all_chains();
    planner.finish(chains)
}

/// Where a dataset of the source goes, and what is there when its own steps begin.
#[derive(Debug)]
struct Mapped {
    target: DatasetName,
    /// `None` where it does not exist.
    state: Option<DatasetState>,
    /// Another name under which bookmarks were kept, where the target was renamed.
    known_as: Option<DatasetName>,
    refused: Option<Conflict>,
}

struct TreePlanner<'a> {
    sides: Sides<'a>,
    options: &'a Options,
    selected: Vec<&'a DatasetState>,
    /// The place of each selected dataset.
    places: HashMap<&'a DatasetName, usize>,
    /// The target's datasets under the names they have after the steps planned so far.
    current: BTreeMap<DatasetName, DatasetState>,
    /// Filesystems that `before` makes.
    made: HashSet<DatasetName>,
    mapped: Vec<Mapped>,
    before: Vec<Step>,
    notes: Vec<String>,
}

/// The chain of a dataset, as far as it is planned.
enum Progress {
    Open,
    Busy,
    Done(Result<Chain, Conflict>, Vec<usize>),
}

impl<'a> TreePlanner<'a> {
    fn new(sides: Sides<'a>, options: &'a Options) -> Self {
        let root = &sides.source.root().name;
        let all = sides.source.datasets().iter().take(if options.recursive { usize::MAX } else { 1 });
        let selected: Vec<_> = all.filter(|one| options.datasets.select_dataset(&one.name, root)).collect();
        let places = selected.iter().enumerate().map(|(at, one)| (&one.name, at)).collect();
        let present = match sides.target {
            Inventory::Absent { .. } => None,
            Inventory::Present(tree) => Some(tree),
        };
        let trees = present.into_iter().chain(sides.asides);
        let current = trees.flat_map(Tree::datasets).map(|one| (one.name.clone(), one.clone())).collect();
        Self {
            sides,
            options,
            selected,
            places,
            current,
            made: HashSet::new(),
            mapped: Vec::new(),
            before: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The name on the target that belongs to one on the source.
    fn target_of(&self, source: &DatasetName) -> Result<DatasetName, Conflict> {
        let below = source.strip_prefix(&self.sides.source.root().name).unwrap_or_default();
        if below.is_empty() {
            return Ok(self.sides.target_root.clone());
        }
        self.sides.target_root.child(below).map_err(|error| Conflict::NameTooLong {
            to: self.sides.target_root.clone(),
            snapshot: below.to_string(),
            error: Box::new(error),
        })
    }

    /// Filesystems above the target that do not exist.
    fn missing_parents(&mut self) {
        let Inventory::Absent { ancestor, .. } = self.sides.target else { return };
        let mut missing = Vec::new();
        let mut parent = self.sides.target_root.parent();
        while let Some(name) = parent.filter(|name| *name != ancestor.name) {
            parent = name.parent();
            missing.push(name);
        }
        let encryption = match &ancestor.encryption {
            Some(encryption) => format!("; it inherits the encryption of {}", encryption.root),
            None => String::new(),
        };
        for name in missing.into_iter().rev() {
            self.make(name, &format!("the target needs it as a parent{encryption}"));
        }
    }

    /// A filesystem that only holds others.
    fn make(&mut self, dataset: DatasetName, reason: &str) {
        if self.made.insert(dataset.clone()) {
            let set = vec![("canmount".to_string(), "off".to_string())];
            let change = Change::CreateFilesystem { dataset, set };
            self.before.push(Step::change(Side::Target, change, reason));
        }
    }

    fn map_all(&mut self) {
        for at in 0..self.selected.len() {
            let source = self.selected[at];
            let mapped = match self.target_of(&source.name) {
                Ok(target) => self.map(source, target),
                Err(conflict) => Mapped {
                    target: self.sides.target_root.clone(),
                    state: None,
                    known_as: None,
                    refused: Some(conflict),
                },
            };
            self.mapped.push(mapped);
        }
    }

    fn map(&mut self, source: &'a DatasetState, target: DatasetName) -> Mapped {
        let mut mapped = Mapped { target, state: None, known_as: None, refused: None };
        if self.current.contains_key(&mapped.target) {
            preserve::finish_begun(&mapped.target, &mut self.current, &mut self.before);
        } else if let Some(aside) = preserve::interrupted(source, &mapped.target, &self.current) {
            let properties = self.sides.target_properties;
            preserve::go_on(source, &aside, &mapped.target, properties, &mut self.current, &mut self.before);
        } else if let Some((aside, old)) =
            preserve::interrupted_elsewhere(source, &self.current, |name| self.is_free(name))
        {
            let properties = self.sides.target_properties;
            if self.current.contains_key(&old) {
                preserve::finish_begun(&old, &mut self.current, &mut self.before);
            } else {
                preserve::go_on(source, &aside, &old, properties, &mut self.current, &mut self.before);
            }
            self.follow(old, &mut mapped);
        } else if let Some(old) = self.renamed(source, &mapped.target) {
            self.follow(old, &mut mapped);
        } else if self.needs_placeholder(source)
            && let Some(parent) = mapped.target.parent()
        {
            self.placeholders(parent);
        }
        if self.options.divergence == Divergence::Preserve {
            self.preserve(source, &mut mapped);
        }
        mapped.state = self.current.get(&mapped.target).cloned();
        mapped
    }

    /// Whether the dataset above is left out, so that nobody else makes it on the target.
    fn needs_placeholder(&self, source: &DatasetState) -> bool {
        source.name != self.sides.source.root().name
            && source.name.parent().is_some_and(|parent| !self.places.contains_key(&parent))
    }

    fn placeholders(&mut self, parent: DatasetName) {
        let mut missing = Vec::new();
        let mut next = Some(parent);
        while let Some(name) = next {
            let planned = self.mapped.iter().any(|one| one.target == name);
            if planned || self.current.contains_key(&name) || !name.is_within(self.sides.target_root) {
                break;
            }
            next = name.parent();
            missing.push(name);
        }
        for name in missing.into_iter().rev() {
            self.make(name, "the dataset itself is not selected, but one below it is");
        }
    }

    /// A dataset of the target that no name of the source leads to, and that has snapshots of this one.
    fn renamed(&self, source: &DatasetState, wanted: &DatasetName) -> Option<DatasetName> {
        let bases = Bases::of(source);
        let free = self.current.values().filter(|there| {
            self.is_free(&there.name)
                && marks::was_set_aside(&there.name).is_none()
                && !there.snapshots.is_empty()
        });
        let found = free.filter_map(|there| {
            let base = bases.newest_common(there, false)?;
            Some((base.createtxg, there.name.clone()))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        match found.as_slice() {
            [.., (second, _), (first, _)] if first == second => None,
            [.., (_, name)] if name != wanted && !wanted.is_within(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Whether no name of the source leads to this one of the target.
    fn is_free(&self, target: &DatasetName) -> bool {
        let root = &self.sides.source.root().name;
        let name = match target.strip_prefix(self.sides.target_root) {
            Some("") => Some(root.clone()),
            Some(below) => root.child(below).ok(),
            None => None,
        };
        name.is_none_or(|name| self.sides.source.get(&name).is_none())
    }

    fn follow(&mut self, old: DatasetName, mapped: &mut Mapped) {
        let parent = mapped.target.parent();
        let can = parent.is_none_or(|parent| {
            self.current.contains_key(&parent)
                || self.made.contains(&parent)
                || !parent.is_within(self.sides.target_root)
        });
        mapped.known_as = Some(old.clone());
        let Some(state) = self.current.get(&old) else { return };
        if self.options.follow_renames && can {
            let change = Change::Rename { from: old.clone(), guid: state.guid, to: mapped.target.clone() };
            let reason = "the source's dataset was renamed; it is the same by the GUIDs of its snapshots";
            self.before.push(Step::change(Side::Target, change, reason));
            move_tree(&mut self.current, &old, &mapped.target);
        } else {
            self.notes.push(format!("{} goes on under its old name, {old}", mapped.target));
            mapped.target = old;
        }
    }

    /// With the policy `preserve`, a target that diverged is set aside.
    fn preserve(&mut self, source: &DatasetState, mapped: &mut Mapped) {
        let Some(state) = self.current.get(&mapped.target) else { return };
        let planned = chain::plan(source, None, &mapped.target, Some(state), self.options);
        if !matches!(planned, Err(Conflict::Diverged { .. })) {
            return;
        }
        let properties = self.sides.target_properties;
        let (target, now) = (&mapped.target, self.sides.now);
        let set_aside =
            preserve::set_aside(source, target, now, properties, &mut self.current, &mut self.before);
        if let Err(conflict) = set_aside {
            mapped.refused = Some(conflict);
        }
    }

    fn all_chains(&self) -> Vec<(Result<Chain, Conflict>, Vec<usize>)> {
        let mut progress: Vec<Progress> = self.selected.iter().map(|_| Progress::Open).collect();
        for at in 0..self.selected.len() {
            self.chain(at, &mut progress);
        }
        let done = progress.into_iter().map(|one| match one {
            Progress::Done(chain, after) => (chain, after),
            // Not reached: every place was planned by the loop above.
            Progress::Open | Progress::Busy => (Ok(Chain { common: None, steps: Vec::new() }), Vec::new()),
        });
        done.collect()
    }

    /// Plans one dataset after those that it depends on.
    fn chain(&self, at: usize, progress: &mut Vec<Progress>) {
        if !matches!(progress[at], Progress::Open) {
            return;
        }
        progress[at] = Progress::Busy;
        let (source, mapped) = (self.selected[at], &self.mapped[at]);
        let mut after = Vec::new();
        let mut planned = match &mapped.refused {
            Some(conflict) => Err(conflict.clone()),
            None => Ok(()),
        };
        let parent = source.name.parent().and_then(|parent| self.places.get(&parent).copied());
        if let Some(parent) = parent.filter(|_| mapped.state.is_none()) {
            self.chain(parent, progress);
            if self.mapped[parent].state.is_none() {
                after.push(parent);
                let refused = matches!(&progress[parent], Progress::Done(Err(_), _));
                if refused && planned.is_ok() {
                    let (from, parent) = (source.name.clone(), self.selected[parent].name.clone());
                    planned = Err(Conflict::ParentNotReplicated { from, parent });
                }
            }
        }
        let origin = self.origin(at, progress, &mut after);
        let planned = planned.and_then(|()| {
            chain::plan(source, origin.as_ref(), &mapped.target, mapped.state.as_ref(), self.options)
        });
        let planned = planned.and_then(|chain| {
            bugs::check(source, mapped.state.as_ref(), &chain.steps, self.sides.pools)?;
            Ok(chain)
        });
        progress[at] = Progress::Done(planned, after);
    }

    /// The origin of a clone, where the target has it or gets it in this run.
    fn origin(&self, at: usize, progress: &mut Vec<Progress>, after: &mut Vec<usize>) -> Option<Origin> {
        let begun = self.mapped[at].state.as_ref().is_none_or(|state| state.snapshots.is_empty());
        let name = self.selected[at].origin.clone().filter(|_| begun)?;
        let place = *self.places.get(name.dataset())?;
        let origin = self.selected[place].snapshots.iter().find(|one| one.name == name)?;
        self.chain(place, progress);
        // It waits for this one itself, so that this one cannot wait for it, and goes in full.
        if waits(progress, place) {
            return None;
        }
        let Progress::Done(planned, _) = &progress[place] else { return None };
        let there = self.mapped[place].state.as_ref();
        let has = there.and_then(|there| there.snapshots.iter().find(|one| one.guid == origin.guid));
        let into = match has {
            Some(there) => there.name.clone(),
            None => {
                let steps = &planned.as_ref().ok()?.steps;
                let sent =
                    steps.iter().any(|step| step.stream().is_some_and(|spec| spec.to.guid == origin.guid));
                after.push(place);
                self.mapped[place].target.snapshot(name.short()).ok().filter(|_| sent)?
            }
        };
        Some(Origin { name, guid: origin.guid, createtxg: origin.createtxg, into })
    }

    fn finish(mut self, chains: Vec<(Result<Chain, Conflict>, Vec<usize>)>) -> TreePlan {
        let mut datasets = Vec::with_capacity(chains.len());
        let mut marking = marking::Marking::default();
        for ((source, mapped), (chain, after)) in self.selected.iter().zip(&self.mapped).zip(chains) {
            if let (Ok(chain), Some((_, pool)), true) = (&chain, self.sides.pools, self.options.bookmarks) {
                let names: Vec<_> =
                    [Some(&mapped.target), mapped.known_as.as_ref()].into_iter().flatten().collect();
                marking.dataset(source, &names, pool.guid, chain, &mut self.notes);
            }
            let common = chain.as_ref().ok().and_then(|chain| Some(chain.common.as_ref()?.base.clone()));
            datasets.push(DatasetPlan {
                source: source.name.clone(),
                target: mapped.target.clone(),
                common,
                after,
                steps: chain.map(|chain| chain.steps),
            });
        }
        let kept = self.kept();
        let (marks, after) = marking.steps();
        self.before.extend(marks);
        let mut plan = TreePlan {
            source: self.sides.source.root().name.clone(),
            target: self.sides.target_root.clone(),
            before: self.before,
            datasets,
            after,
            kept,
            notes: self.notes,
        };
        plan.drop_what_is_in_vain();
        plan
    }

    /// What the target has and the source has not. Only the topmost of each: what is below goes with it.
    fn kept(&self) -> Vec<Kept> {
        if !self.options.recursive {
            return Vec::new();
        }
        let mapped: HashSet<&DatasetName> = self.mapped.iter().map(|one| &one.target).collect();
        let holds = |name: &DatasetName| mapped.iter().any(|one| one.is_within(name));
        let mut kept: Vec<Kept> = Vec::new();
        for name in self.current.keys().filter(|name| !holds(name)) {
            if kept.last().is_some_and(|last| name.is_within(&last.dataset)) {
                continue;
            }
            let reason = match marks::was_set_aside(name) {
                Some(of) => format!("what {of} was before it diverged"),
                None => "the source has no such dataset, or it is not selected".to_string(),
            };
            kept.push(Kept { dataset: name.clone(), reason });
        }
        kept
    }
}

/// Whether a dataset waits for one that is being planned right now, directly or through others.
fn waits(progress: &[Progress], place: usize) -> bool {
    match &progress[place] {
        Progress::Open | Progress::Busy => true,
        Progress::Done(_, after) => after.iter().any(|next| waits(progress, *next)),
    }
}

/// Renames a dataset of the target with everything below it.
pub(super) fn move_tree(
    current: &mut BTreeMap<DatasetName, DatasetState>,
    from: &DatasetName,
    to: &DatasetName,
) {
    let moved: Vec<DatasetName> = current.keys().filter(|name| name.is_within(from)).cloned().collect();
    for old in moved {
        let below = old.strip_prefix(from).unwrap_or_default();
        let new = if below.is_empty() { Some(to.clone()) } else { to.child(below).ok() };
        let (Some(new), Some(mut state)) = (new, current.remove(&old)) else { continue };
        rename_state(&mut state, &new);
        current.insert(new, state);
    }
    // Clones name their origin by its dataset.
    for state in current.values_mut() {
        let Some(origin) = &state.origin else { continue };
        let Some(below) = origin.dataset().strip_prefix(from) else { continue };
        let dataset = if below.is_empty() { Some(to.clone()) } else { to.child(below).ok() };
        state.origin = dataset.and_then(|dataset| dataset.snapshot(origin.short()).ok());
    }
}

pub(super) fn rename_state(state: &mut DatasetState, to: &DatasetName) {
    for snapshot in &mut state.snapshots {
        if let Ok(name) = to.snapshot(snapshot.name.short()) {
            snapshot.name = name;
        }
    }
    for bookmark in &mut state.bookmarks {
        if let Ok(name) = to.bookmark(bookmark.name.short()) {
            bookmark.name = name;
        }
    }
    state.name = to.clone();
}

/// Whether a plan would gain from knowing the pools: there is something to send, or a base that no bookmark of ours
/// keeps yet. Asking costs a command on the other machine.
#[must_use]
pub fn needs_pools(plan: &TreePlan, source: &Tree) -> bool {
    if plan.steps().next().is_some() {
        return true;
    }
    plan.datasets.iter().any(|dataset| {
        let kept = |guid: Guid| {
            let state = source.get(&dataset.source);
            state.is_some_and(|state| {
                state.bookmarks.iter().any(|one| marks::Mark::of(one).is_some_and(|mark| mark.guid == guid))
            })
        };
        dataset.common.as_ref().is_some_and(|common| !kept(common.guid()))
    })
}
