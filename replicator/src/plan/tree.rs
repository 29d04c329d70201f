//! A whole tree: in which order its datasets go, what each waits for, and the plan in the end. Which dataset goes where
//! and what must be made before is in [`super::mapping`], each dataset's own steps come from [`super::chain`]; a conflict
//! of one never keeps the others from going on.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::bugs;
use super::chain;
use super::chain::Chain;
use super::chain::Origin;
use super::conflict::Conflict;
use super::features;
use super::mapping::Mapped;
use super::mapping::Strays;
use super::marking;
use super::options::Options;
use super::preserve::Current;
use super::properties::Inheritance;
use super::steps::Action;
use super::steps::DatasetPlan;
use super::steps::Step;
use super::steps::TreePlan;
use super::upkeep::ReadAs;
use super::upkeep::read_as;
use crate::host::About;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::RemovalCost;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::host::Tree;
use crate::marks;
use crate::pair::aside;

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
    /// The properties of the source's datasets, as far as they are replicated. Without them none is.
    pub source_properties: Option<&'a Properties>,
    /// The properties of the target's datasets: all of them for setting one aside, else those that are compared, and
    /// our marks.
    pub target_properties: Option<&'a Properties>,
    /// What it costs to remove datasets of the target that are due for it.
    pub costs: Option<&'a BTreeMap<DatasetName, RemovalCost>>,
    /// The time in seconds since 1970, for the names of datasets that are set aside.
    pub now: i64,
}

/// Datasets of the source that cannot be sent for reasons that are not in the inventories: what is found out about
/// their streams once there is a plan.
pub type Refused = BTreeMap<DatasetName, Conflict>;

impl<'a> Sides<'a> {
    /// Both sides, and nothing else that was asked.
    #[must_use]
    pub fn new(source: &'a Tree, target: &'a Inventory, target_root: &'a DatasetName, now: i64) -> Self {
        Self {
            source,
            target,
            asides: &[],
            target_root,
            pools: None,
            source_properties: None,
            target_properties: None,
            costs: None,
            now,
        }
    }
}

/// Plans a tree.
#[must_use]
pub fn plan(sides: Sides<'_>, options: &Options) -> TreePlan {
    plan_without(sides, options, &Refused::new())
}

/// Plans a tree of which some datasets are not to be sent: nothing is changed for these on the target.
#[must_use]
pub fn plan_without(sides: Sides<'_>, options: &Options, refused: &Refused) -> TreePlan {
    let mut planner = TreePlanner::new(sides, options, refused);
    planner.missing_parents();
    planner.map_all();
    let chains = planner.all_chains();
    planner.finish(chains)
}

pub(super) struct TreePlanner<'a> {
    pub(super) sides: Sides<'a>,
    pub(super) options: &'a Options,
    pub(super) refused: &'a Refused,
    pub(super) selected: Vec<&'a DatasetState>,
    /// The place of each selected dataset.
    pub(super) places: HashMap<&'a DatasetName, usize>,
    /// The target's datasets under the names they have after the steps planned so far.
    pub(super) current: Current<'a>,
    /// Made when a dataset is missing for the first time.
    pub(super) strays: Option<Strays>,
    /// Whether the target has anything that was set aside.
    pub(super) asides: bool,
    /// Where on the target there are snapshots that the source has clones of; made when a clone is missing.
    origins: OnceCell<HashMap<Guid, Vec<DatasetName>>>,
    /// Filesystems that `before` makes.
    pub(super) made: HashSet<DatasetName>,
    pub(super) mapped: Vec<Mapped<'a>>,
    pub(super) before: Vec<Step>,
    pub(super) notes: Vec<String>,
    pub(super) read_as: ReadAs<'a>,
}

/// The chain of a dataset, as far as it is planned.
enum Progress {
    Open,
    Busy,
    Done(Result<Chain, Conflict>, Vec<usize>),
}

impl<'a> TreePlanner<'a> {
    pub(super) fn new(sides: Sides<'a>, options: &'a Options, refused: &'a Refused) -> Self {
        let root = &sides.source.root().name;
        let all = sides.source.datasets().iter().take(if options.recursive { usize::MAX } else { 1 });
        let all = all.filter(|one| options.datasets.select_dataset(&one.name, root));
        let (selected, left_alone) = in_place(all, root, options);
        let places = selected.iter().enumerate().map(|(at, one)| (&one.name, at)).collect();
        let present = match sides.target {
            Inventory::Absent { .. } => None,
            Inventory::Present(tree) => Some(tree),
        };
        let trees = present.into_iter().chain(sides.asides);
        let current: Current<'a> =
            trees.flat_map(Tree::datasets).map(|one| (one.name.clone(), Cow::Borrowed(one))).collect();
        let asides = current.keys().any(|name| marks::was_set_aside(name).is_some());
        Self {
            sides,
            options,
            refused,
            strays: None,
            asides,
            origins: OnceCell::new(),
            selected,
            places,
            current,
            made: HashSet::new(),
            mapped: Vec::new(),
            before: Vec::new(),
            notes: left_alone.iter().map(|aside| format!("{aside} was set aside, and is not sent")).collect(),
            read_as: read_as(&sides),
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
            Progress::Open | Progress::Busy => (Ok(Chain::default()), Vec::new()),
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
        let state = mapped.state.as_deref();
        let planned = planned.and_then(|()| {
            let origin = self.origin(at, progress, &mut after)?;
            let encryption = match state {
                Some(state) => state.encryption.clone(),
                None => self.inherited(at, progress),
            };
            self.judged(source, origin.as_ref(), &mapped.target, state, encryption.as_ref())
        });
        let planned = planned.map_err(|conflict| self.or_promoted(conflict, source, state));
        progress[at] = Progress::Done(planned, after);
    }

    /// Says why there is no common snapshot, where that is known.
    fn or_promoted(
        &self,
        conflict: Conflict,
        source: &DatasetState,
        there: Option<&DatasetState>,
    ) -> Conflict {
        if !matches!(conflict, Conflict::NoCommonBase { .. } | Conflict::TargetWithoutSnapshots { .. }) {
            return conflict;
        }
        match there.and_then(|there| Some((there, self.start_of_promoted(source, there)?))) {
            Some((there, Origin { name: origin, into, .. })) => {
                Conflict::Promoted { from: source.name.clone(), to: there.name.clone(), origin, there: into }
            }
            None => conflict,
        }
    }

    /// The steps of one dataset, if nothing that is known before they are carried out speaks against them.
    /// `encryption` is the target's, or what it inherits when it is made.
    pub(super) fn judged(
        &self,
        source: &DatasetState,
        origin: Option<&Origin>,
        target: &DatasetName,
        state: Option<&DatasetState>,
        encryption: Option<&Encryption>,
    ) -> Result<Chain, Conflict> {
        let mut chain = chain::plan(source, origin, target, state, self.options)?;
        let encrypts = |step: &Step| {
            matches!(&step.action, Action::Send { spec, creates: Some(set), .. }
            if !spec.raw && set.iter().all(|(name, _)| name != "encryption"))
        };
        if let Some(encryption) = encryption.filter(|one| !one.key_loaded)
            && chain.steps.iter().any(encrypts)
        {
            let (dataset, root) = (target.clone(), encryption.root.clone());
            return Err(Conflict::KeyNotLoaded { dataset, root });
        }
        chain.notes = bugs::check(source, state, encryption, &chain.steps, self.sides.pools)?;
        features::check(source, target, &chain.steps, self.sides.pools)?;
        Ok(chain)
    }

    /// How a dataset is encrypted that does not exist yet: as the nearest one above it that exists, or that a raw
    /// stream makes before.
    fn inherited(&self, at: usize, progress: &[Progress]) -> Option<Encryption> {
        let above = |at: usize| self.places.get(&self.selected[at].name.parent()?).copied();
        let mut place = above(at);
        while let Some(at) = place {
            let mapped = &self.mapped[at];
            if let Some(state) = &mapped.state {
                return state.encryption.clone();
            }
            let Progress::Done(Ok(chain), _) = &progress[at] else { return None };
            if chain.steps.iter().find_map(Step::stream).is_some_and(|spec| spec.raw) {
                return Some(Encryption { root: mapped.target.clone(), key_loaded: false });
            }
            place = above(at);
        }
        let mut above = self.mapped[at].target.parent();
        while let Some(name) = above {
            if let Some(state) = self.current.get(&name) {
                return state.encryption.clone();
            }
            above = name.parent();
        }
        match self.sides.target {
            Inventory::Absent { ancestor, .. } => ancestor.encryption.clone(),
            Inventory::Present(_) => None,
        }
    }

    /// What a dataset that is to be made on the target becomes a clone of: the origin of a clone, where the target has
    /// it or gets it in this run; and for one that was promoted, the snapshot that the target has elsewhere.
    fn origin(
        &self,
        at: usize,
        progress: &mut Vec<Progress>,
        after: &mut Vec<usize>,
    ) -> Result<Option<Origin>, Conflict> {
        let source = self.selected[at];
        let state = self.mapped[at].state.as_ref();
        let goes_on = |state: &DatasetState| {
            !state.snapshots.is_empty() || chain::goes_on_in_full(source, state, self.options)
        };
        if state.is_some_and(|state| goes_on(state)) {
            return Ok(None);
        }
        let Some(name) = source.origin.clone() else { return Ok(self.start_under_clone(source)) };
        let Some(origin) = self.source_snapshot(&name) else { return Ok(self.start_under_clone(source)) };
        let place = self.places.get(name.dataset()).copied();
        let found =
            |into| Some(Origin { guid: origin.guid, createtxg: origin.createtxg, name: name.clone(), into });
        let beside = place.and_then(|place| self.mapped[place].state.as_ref());
        if let Some(into) = beside.and_then(|there| self.suits(source, origin, there)) {
            return Ok(found(into));
        }
        if let Some(into) = self.on_target(source, origin) {
            return Ok(found(into));
        }
        // Rather a newer start that is there than an older one that may come.
        let start = self.start_under_clone(source);
        let Some(place) = place.filter(|_| start.is_none()) else { return Ok(start) };
        self.chain(place, progress);
        // It waits for this one itself, so that this one cannot wait for it, and goes in full.
        if waits(progress, place) {
            return Ok(None);
        }
        let Progress::Done(planned, _) = &progress[place] else { return Ok(None) };
        let Ok(chain) = planned else {
            return Err(Conflict::OriginNotReplicated { from: source.name.clone(), origin: name });
        };
        // A raw stream makes no clone of what goes without encryption.
        let raw = source.encrypted() && !self.options.decrypt;
        let suits = |spec: &SendSpec| spec.to.guid == origin.guid && (spec.raw || !raw);
        let sent = chain.steps.iter().filter_map(Step::stream).any(suits);
        after.push(place);
        Ok(self.mapped[place].target.snapshot(name.short()).ok().filter(|_| sent).and_then(found))
    }

    /// For a dataset that was promoted and is new on the target: the newest of its snapshots that the target has under
    /// a dataset that was its origin before, and is its clone now.
    fn start_under_clone(&self, source: &DatasetState) -> Option<Origin> {
        let clones = self.selected.iter().filter_map(|one| one.origin.as_ref());
        let of_this = clones.filter(|origin| *origin.dataset() == source.name);
        let found = of_this.filter_map(|origin| {
            let snapshot = self.source_snapshot(origin)?;
            let into = self.on_target(source, snapshot)?;
            let (guid, createtxg) = (snapshot.guid, snapshot.createtxg);
            Some(Origin { name: origin.clone(), guid, createtxg, into })
        });
        found.max_by_key(|origin| origin.createtxg)
    }

    /// A snapshot anywhere on the target that is the same as this one of the source, where some dataset of the source
    /// is a clone of it.
    fn on_target(&self, source: &DatasetState, origin: &Snapshot) -> Option<SnapshotName> {
        let origins = self.origins.get_or_init(|| {
            let all = self.sides.source.datasets().iter().filter_map(|one| one.origin.as_ref());
            let guids: HashSet<Guid> =
                all.filter_map(|name| Some(self.source_snapshot(name)?.guid)).collect();
            let mut there: HashMap<Guid, Vec<DatasetName>> = HashMap::new();
            for state in self.current.values() {
                for snapshot in state.snapshots.iter().filter(|one| guids.contains(&one.guid)) {
                    there.entry(snapshot.guid).or_default().push(state.name.clone());
                }
            }
            there
        });
        let names = origins.get(&origin.guid)?;
        names.iter().find_map(|name| self.suits(source, origin, self.current.get(name)?))
    }

    /// The snapshot of this dataset of the target that a clone of `origin` can be made of.
    pub(super) fn suits(
        &self,
        source: &DatasetState,
        origin: &Snapshot,
        there: &DatasetState,
    ) -> Option<SnapshotName> {
        let raw = source.encrypted() && !self.options.decrypt;
        let found = there.snapshots.iter().find(|one| one.guid == origin.guid)?;
        let joins = !raw
            || there.encrypted()
                && (origin.ivset.is_none() || found.ivset.is_none() || origin.ivset == found.ivset);
        joins.then(|| found.name.clone())
    }

    fn finish(mut self, chains: Vec<(Result<Chain, Conflict>, Vec<usize>)>) -> TreePlan {
        let mut datasets = Vec::with_capacity(chains.len());
        let mut marking = marking::Marking::default();
        let mut inheritance = Inheritance::default();
        let bookmarks = self.options.bookmarks && self.can_bookmark();
        for ((source, mapped), (mut chain, after)) in self.selected.iter().zip(&self.mapped).zip(chains) {
            if let Ok(chain) = &chain {
                self.notes.extend(chain.notes.iter().cloned());
            }
            if let (Ok(chain), Some((_, pool)), true) = (&chain, self.sides.pools, bookmarks) {
                let names: Vec<_> =
                    [Some(&mapped.target), mapped.known_as.as_ref()].into_iter().flatten().collect();
                marking.dataset(source, &names, pool.guid, chain, &mut self.notes);
            }
            if let Ok(chain) = &mut chain {
                self.notes.extend(self.add_properties(source, mapped, &mut inheritance, &mut chain.steps));
            }
            let common = chain.as_ref().ok().and_then(|chain| Some(chain.common.as_ref()?.base.clone()));
            let common_there = common.as_ref().zip(mapped.state.as_ref()).and_then(|(base, there)| {
                there.snapshots.iter().rev().find(|one| one.guid == base.guid()).map(|one| one.name.clone())
            });
            datasets.push(DatasetPlan {
                source: source.name.clone(),
                target: mapped.target.clone(),
                common,
                common_there,
                after,
                steps: chain.map(|chain| chain.steps),
            });
        }
        if let Some(pools) =
            self.sides.pools.filter(|_| datasets.iter().any(|one| one.streams().next().is_some()))
        {
            self.notes.extend(bugs::unknown_versions(pools));
        }
        let gone = self.gone();
        let (marks, mut after) = marking.steps();
        after.extend(gone.steps);
        self.before.extend(marks);
        let mut plan = TreePlan {
            source: self.sides.source.root().name.clone(),
            target: self.sides.target_root.clone(),
            before: self.before,
            datasets,
            after,
            kept: gone.kept,
            notes: self.notes,
        };
        plan.drop_what_is_in_vain();
        plan
    }

    /// Whether the source's pool can have bookmarks at all.
    fn can_bookmark(&mut self) -> bool {
        let without = self.sides.pools.is_some_and(|(from, _)| features::lacks(from, "bookmarks"));
        if without {
            self.notes.push(format!(
                "the pool {} does not have the feature bookmarks enabled: only snapshots can be the base of the next run",
                self.sides.source.root().name.pool()
            ));
        }
        !without
    }
}

/// Of these datasets of the source those that are where they belong; and what was set aside below the root, the topmost of
/// each. Who wants to send that names it as the root.
fn in_place<'a>(
    all: impl Iterator<Item = &'a DatasetState>,
    root: &DatasetName,
    options: &Options,
) -> (Vec<&'a DatasetState>, BTreeSet<DatasetName>) {
    let roots: &[DatasetName] = if options.pair { std::slice::from_ref(root) } else { &[] };
    let mut asides = BTreeSet::new();
    let mut selected = Vec::new();
    for one in all {
        match aside::topmost(&one.name, Some(root), roots) {
            None => selected.push(one),
            Some(aside) => drop(asides.insert(aside)),
        }
    }
    (selected, asides)
}

/// Whether a dataset waits for one that is being planned right now, directly or through others.
fn waits(progress: &[Progress], place: usize) -> bool {
    match &progress[place] {
        Progress::Open | Progress::Busy => true,
        Progress::Done(_, after) => after.iter().any(|next| waits(progress, *next)),
    }
}

/// Renames a dataset of the target with everything below it.
pub(super) fn move_tree(current: &mut Current<'_>, from: &DatasetName, to: &DatasetName) {
    let moved: Vec<DatasetName> = current.keys().filter(|name| name.is_within(from)).cloned().collect();
    for old in moved {
        let below = old.strip_prefix(from).unwrap_or_default();
        let new = if below.is_empty() { Some(to.clone()) } else { to.child(below).ok() };
        let (Some(new), Some(mut state)) = (new, current.remove(&old)) else { continue };
        rename_state(state.to_mut(), &new);
        current.insert(new, state);
    }
    // Clones name their origin by its dataset.
    for state in current.values_mut() {
        let Some(origin) = &state.origin else { continue };
        let Some(below) = origin.dataset().strip_prefix(from) else { continue };
        let dataset = if below.is_empty() { Some(to.clone()) } else { to.child(below).ok() };
        state.to_mut().origin = dataset.and_then(|dataset| dataset.snapshot(origin.short()).ok());
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
