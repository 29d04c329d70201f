//! Looking at both sides, in as few questions as it takes, and planning with the answers.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::stream::Features;

use super::RunError;
use super::heads;
use crate::host::Base;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::RemovalCost;
use crate::host::SendSpec;
use crate::host::Tree;
use crate::marks;
use crate::plan;
use crate::plan::Action;
use crate::plan::Conflict;
use crate::plan::Divergence;
use crate::plan::Options;
use crate::plan::Refused;
use crate::plan::Sides;
use crate::plan::Step;
use crate::plan::TreePlan;
use crate::transfer::retry::Class;
use crate::transfer::retry::Operator;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The dataset to replicate.
    pub source: DatasetName,
    /// Where it goes.
    pub target: DatasetName,
    /// What the user decided.
    pub options: Options,
    /// Ask for the sizes of the streams.
    pub estimate: bool,
    /// Send although the target seems to have too little room.
    pub ignore_space: bool,
    /// The time in seconds since 1970.
    pub now: i64,
}

/// Looks at both sides and plans; changes nothing.
///
/// # Errors
/// When a side cannot be looked at, or the source does not exist. Conflicts of datasets are in the plan.
pub fn prepare(
    source: &mut dyn Host,
    target: &mut dyn Host,
    request: &Request,
) -> Result<TreePlan, RunError> {
    let depth = if request.options.recursive { Depth::All } else { Depth::One };
    let names = compared(&request.options);
    // Two that look for themselves read properties along with the rest. A run with nothing to send shall stay one command on
    // a machine that has only `zfs`.
    let early = source.answers_itself() && target.answers_itself() && !request.options.properties.is_empty();
    let early = names.as_deref().filter(|_| early);
    let (here, here_early) = match seen(source, &request.source, depth, early)? {
        (Inventory::Present(tree), properties) => (tree, properties),
        (Inventory::Absent { .. }, _) => {
            let (host, dataset) = (source.label().to_string(), request.source.clone());
            return Err(RunError::NoSource { host, dataset });
        }
    };
    // Children take part when their parent is set aside, whether they are sent or not.
    let preserves = request.options.divergence == Divergence::Preserve;
    let target_depth = if preserves { Depth::All } else { depth };
    let (there, mut there_early) = seen(target, &request.target, target_depth, early.filter(|_| !preserves))?;
    let mut asides = Vec::new();
    if lacks_children(&here, &there, request) {
        asides = left_beside(target, &request.target)?;
    }
    if asides.is_empty() {
        asides = set_aside(target, &request.target, &there)?;
    }
    let properties = match request.options.divergence {
        Divergence::Preserve => properties_of(target, &there, None, &asides, target_depth, None)?,
        // What is gone at the source is found by its marks, whether there is something to send or not.
        Divergence::Stop if request.options.remove_gone_after.is_some() && request.options.recursive => {
            properties_of(target, &there, there_early.take(), &asides, depth, names.as_deref())?
        }
        Divergence::Stop => None,
    };
    let mut sides = Sides {
        asides: &asides,
        target_properties: properties.as_ref(),
        ..Sides::new(&here, &there, &request.target, request.now)
    };
    let mut plan = plan::plan(sides, &request.options);
    let pools;
    let needs_pools = plan::needs_pools(&plan, &here);
    if needs_pools {
        pools = (source.about(request.source.pool())?, target.about(request.target.pool())?);
        sides.pools = Some((&pools.0, &pools.1));
    }
    let compares = !request.options.properties.is_empty()
        && (plan.streams().next().is_some() || source.answers_itself() && target.answers_itself());
    let here_set;
    let there_set;
    if compares {
        here_set = match here_early {
            Some(properties) => properties,
            None => some(source, &request.source, depth, names.as_deref())?,
        };
        sides.source_properties = Some(&here_set);
        if properties.is_none() {
            there_set = properties_of(target, &there, there_early.take(), &asides, depth, names.as_deref())?;
            sides.target_properties = there_set.as_ref();
        }
    }
    if needs_pools || compares {
        // Two plans of very many steps need not be there at the same time.
        drop(plan);
        plan = plan::plan(sides, &request.options);
    }
    let costs = removal_costs(target, &plan)?;
    if !costs.is_empty() {
        sides.costs = Some(&costs);
        drop(plan);
        plan = plan::plan(sides, &request.options);
    }
    let mut asked = Asked::default();
    let mut refused = Refused::new();
    // What one dataset cannot have changes what is planned for others, and may leave more room for them.
    loop {
        let found = asked.refuse(source, &mut plan, sides, request)?;
        if found.is_empty() {
            return Ok(plan);
        }
        refused.extend(found);
        drop(plan);
        plan = plan::plan_without(sides, &request.options, &refused);
    }
}

/// How many streams are copied at once to ask for their sizes. A host asks for fewer at once.
const ESTIMATES_AT_ONCE: usize = 600;

/// What was asked about streams already, for a plan that is not the last one.
#[derive(Default)]
struct Asked {
    sizes: HashMap<Key, Option<u64>>,
    features: HashMap<Key, Option<Features>>,
}

/// A stream: where it starts, its snapshot, and whether it is raw.
type Key = (Option<Guid>, SnapshotName, bool);

fn key(spec: &SendSpec) -> Key {
    (spec.from.as_ref().map(Base::guid), spec.to.name.clone(), spec.raw)
}

impl Asked {
    /// The datasets whose streams will not be received, each with the reason. Puts the estimates into the plan.
    fn refuse(
        &mut self,
        source: &mut dyn Host,
        plan: &mut TreePlan,
        sides: Sides<'_>,
        request: &Request,
    ) -> Result<Refused, RunError> {
        let mut refused = Refused::new();
        if let Some(pools) = sides.pools {
            for (at, spec) in plan::doubtful(plan, pools) {
                let features =
                    self.features.entry(key(spec)).or_insert_with(|| heads::features(source, spec));
                let dataset = &plan.datasets[at];
                let conflict =
                    features.and_then(|found| plan::missing(&dataset.source, &dataset.target, found, pools));
                refused.extend(conflict.map(|conflict| (dataset.source.clone(), conflict)));
            }
        }
        if !request.estimate || !refused.is_empty() {
            return Ok(refused);
        }
        let count = plan.streams().count();
        let mut estimates: Vec<Option<u64>> = Vec::with_capacity(count);
        while estimates.len() < count {
            // Two copies of very many streams need not be there at the same time.
            let some: Vec<&SendSpec> = plan.streams().skip(estimates.len()).take(ESTIMATES_AT_ONCE).collect();
            let is_new = |spec: &&&SendSpec| !self.sizes.contains_key(&key(spec));
            let new: Vec<SendSpec> = some.iter().filter(is_new).map(|spec| (*spec).clone()).collect();
            let mut found = if new.is_empty() { Vec::new() } else { source.estimate(&new)? }.into_iter();
            estimates.extend(some.iter().map(|spec| match self.sizes.get(&key(spec)) {
                Some(known) => *known,
                None => below_zero_is_nothing(found.next().flatten()),
            }));
        }
        plan.set_estimates(&estimates);
        if !request.ignore_space {
            refused = do_not_fit(plan, sides.target);
        }
        if !refused.is_empty() {
            self.sizes.extend(plan.streams().map(key).zip(estimates));
        }
        Ok(refused)
    }
}

/// ZFS takes what has arrived from its estimate of the whole, also where that was too small: the difference is below zero
/// then, which it tells as a number close to 2^64.
fn below_zero_is_nothing(size: Option<u64>) -> Option<u64> {
    size.map(|size| if i64::try_from(size).is_ok() { size } else { 0 })
}

/// The names of the properties that are looked at on both sides; `None` where that takes all of them.
fn compared(options: &Options) -> Option<Vec<String>> {
    let mut names = options.properties.names()?;
    if options.remove_gone_after.is_some() {
        names.extend([marks::REPLICA, marks::GONE].map(str::to_string));
    }
    Some(names)
}

fn some(
    host: &mut dyn Host,
    root: &DatasetName,
    depth: Depth,
    names: Option<&[String]>,
) -> Result<Properties, RunError> {
    Ok(match names {
        Some(names) => host.some_properties(root, depth, names)?,
        None => host.properties(root, depth)?,
    })
}

/// A dataset, or a tree, and these properties along with it where they are named.
fn seen(
    host: &mut dyn Host,
    root: &DatasetName,
    depth: Depth,
    names: Option<&[String]>,
) -> Result<(Inventory, Option<Properties>), RunError> {
    Ok(match names {
        Some(names) => {
            let (inventory, properties) = host.inventory_with(root, depth, names)?;
            (inventory, Some(properties))
        }
        None => (host.inventory(root, depth)?, None),
    })
}

/// What the target has of them, and what was set aside for it, where there is anything.
fn properties_of(
    host: &mut dyn Host,
    found: &Inventory,
    read: Option<Properties>,
    asides: &[Tree],
    depth: Depth,
    names: Option<&[String]>,
) -> Result<Option<Properties>, RunError> {
    let mut all = match (found, read) {
        (Inventory::Absent { .. }, _) => None,
        (Inventory::Present(_), Some(read)) => Some(read),
        (Inventory::Present(tree), None) => Some(some(host, &tree.root().name, depth, names)?),
    };
    for aside in asides {
        let more = some(host, &aside.root().name, Depth::All, names)?;
        all.get_or_insert_with(Properties::new).extend(more);
    }
    Ok(all)
}

/// What it would cost to remove what is due for it.
fn removal_costs(
    host: &mut dyn Host,
    plan: &TreePlan,
) -> Result<BTreeMap<DatasetName, RemovalCost>, RunError> {
    let due = plan.kept.iter().filter(|kept| kept.due);
    due.map(|kept| Ok((kept.dataset.clone(), host.removal_cost(&kept.dataset)?))).collect()
}

/// Datasets that an earlier run set aside for the root of the target: they lie beside it, where its own list does not
/// reach. Asked for only where something says that they are there.
fn set_aside(host: &mut dyn Host, root: &DatasetName, found: &Inventory) -> Result<Vec<Tree>, RunError> {
    let is_aside = |name: &DatasetName| marks::was_set_aside(name).as_ref() == Some(root);
    let names: BTreeSet<DatasetName> = match found {
        Inventory::Absent { children, .. } => {
            children.iter().filter(|name| is_aside(name)).cloned().collect()
        }
        Inventory::Present(tree) => {
            let origins = tree.datasets().iter().filter_map(|one| one.origin.as_ref());
            // Of those in the tree itself there is no need to ask.
            let outside = origins.map(SnapshotName::dataset).filter(|name| !name.is_within(root));
            outside.filter_map(|name| above(name, &is_aside)).collect()
        }
    };
    trees(host, names)
}

/// The name itself, or the nearest above it, that something is true of.
fn above(name: &DatasetName, is: &dyn Fn(&DatasetName) -> bool) -> Option<DatasetName> {
    let mut next = Some(name.clone());
    while let Some(name) = next {
        if is(&name) {
            return Some(name);
        }
        next = name.parent();
    }
    None
}

/// Whether the target exists and the source has something below it that the target does not have.
fn lacks_children(source: &Tree, target: &Inventory, request: &Request) -> bool {
    let Inventory::Present(target) = target else { return false };
    let below = |name: &DatasetName| request.target.child(name.strip_prefix(&request.source)?).ok();
    request.options.recursive
        && source
            .datasets()
            .iter()
            .skip(1)
            .any(|one| below(&one.name).is_some_and(|name| target.get(&name).is_none()))
}

/// All that was set aside for a target that exists. After a crash between promoting its clone and moving the children
/// back, nothing on the target itself says so, and what it grew out of before says nothing of what is older still: the
/// children would be sent anew.
fn left_beside(host: &mut dyn Host, root: &DatasetName) -> Result<Vec<Tree>, RunError> {
    // No run makes this name: looking for it lists what lies beside the target.
    let (Some(_), Ok(free)) = (root.parent(), marks::set_aside(root, 0)) else { return Ok(Vec::new()) };
    let children = match host.inventory(&free, Depth::One) {
        Ok(Inventory::Absent { children, .. }) => children,
        Ok(Inventory::Present(_)) => Vec::new(),
        // Who may not look there has set nothing aside there.
        Err(error) if Class::of_host(&error, None) == Class::Operator(Operator::Permission) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    trees(host, children.into_iter().filter(|name| marks::was_set_aside(name).as_ref() == Some(root)))
}

fn trees(host: &mut dyn Host, names: impl IntoIterator<Item = DatasetName>) -> Result<Vec<Tree>, RunError> {
    let mut trees = Vec::new();
    for name in names {
        if let Inventory::Present(tree) = host.inventory(&name, Depth::All)? {
            trees.push(tree);
        }
    }
    Ok(trees)
}

/// Before the streams that is only done for more room.
fn sets_properties(step: &Step) -> bool {
    matches!(&step.action, Action::Change { change: Change::SetProperties { .. }, .. })
}

/// Streams are weighed in their order against what the target has left. An estimate that is missing weighs nothing.
fn do_not_fit(plan: &TreePlan, target: &Inventory) -> Refused {
    let known: HashMap<&DatasetName, u64> = match target {
        Inventory::Absent { .. } => HashMap::new(),
        Inventory::Present(tree) => tree.datasets().iter().map(|one| (&one.name, one.available)).collect(),
    };
    let above = match target {
        Inventory::Absent { ancestor, .. } => ancestor.available,
        Inventory::Present(tree) => tree.root().available,
    };
    let mut refused = Refused::new();
    let mut before = 0u64;
    for dataset in &plan.datasets {
        let Ok(steps) = &dataset.steps else { continue };
        let needed = steps.iter().filter_map(|step| step.estimated_bytes).fold(0, u64::saturating_add);
        // What is left under a limit that is raised first says nothing.
        let raised = steps.iter().take_while(|step| step.stream().is_none()).any(sets_properties);
        if needed == 0 || raised {
            continue;
        }
        let available = known.get(&dataset.target).copied().unwrap_or(above).saturating_sub(before);
        if needed > available {
            let to = dataset.target.clone();
            refused.insert(dataset.source.clone(), Conflict::NoSpace { to, needed, available });
        } else {
            before = before.saturating_add(needed);
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_below_zero_is_nothing() {
        let all = [None, Some(0), Some(5), Some(1 << 62), Some(18_446_744_073_709_531_960), Some(u64::MAX)];
        let expected = [None, Some(0), Some(5), Some(1 << 62), Some(0), Some(0)];
        assert_eq!(all.map(below_zero_is_nothing), expected);
    }
}
