//! Asks both nodes of a pair for what a picture of it is made of. What cannot be had is left open with its reason, and
//! keeps nothing else from being shown.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::facts::Amount;
use super::facts::Apart;
use super::facts::Aside;
use super::facts::Away;
use super::facts::Facts;
use super::facts::Goal;
use super::facts::Holder;
use super::facts::Line;
use super::facts::Own;
use super::facts::Sides;
use crate::cancel::Cancel;
use crate::cli::pair::setup::Setup;
use crate::cli::pair::setup::now;
use crate::config::Config;
use crate::config::pair::Pair;
use crate::host::Base;
use crate::host::Depth;
use crate::host::Host;
use crate::jobs::memory::Memory;
use crate::monitor::history;
use crate::monitor::kstat;
use crate::pair::Belief;
use crate::pair::NodeName;
use crate::pair::aside::is_name;
use crate::pair::flapping;
use crate::pair::paused::Paused;
use crate::pair::verbs::Node;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::look;
use crate::policy::Period;
use crate::policy::Schedule;
use crate::role::decide::Names;
use crate::role::epochs::Epochs;
use crate::role::observation::Epoch;
use crate::role::observation::Observation;
use crate::role::observation::PeerSaid;
use crate::role::observation::Seen;
use crate::role::watch::Eyes;
use crate::survey;

/// Everything about one pair, from this node.
pub(super) fn gather(setup: &mut Setup, config: &Config, cancel: &Cancel) -> Facts {
    let names = Names { here: setup.name.to_string(), peer: setup.peer.to_string() };
    let pair = setup.pair.clone();
    let mut unread = Unread::default();
    let memory = Remembered::read(setup, &pair, &mut unread);
    let mut there = setup.connect().map_err(|failure| failure.message().to_string());
    let mut pools = BTreeMap::new();
    let mut roots = Vec::new();
    for name in &pair.roots {
        let here = look_here(&mut setup.node, &setup.name, name, &mut pools);
        let theirs = match &mut there {
            Ok(host) => one(host.as_mut(), setup.peer.as_str(), name),
            Err(why) => Err(why.clone()),
        };
        roots.push(Sides { name: name.clone(), here, there: theirs });
    }
    let seen = observe(setup, &pair, &roots, there.as_ref().err(), cancel);
    let mut lines: Vec<Line> =
        roots.iter().flat_map(|root| root.lines(&names, &|dataset| memory.base(dataset))).collect();
    let goals = Goals(unread.had("how often snapshots are taken", goals(config)));
    for line in &mut lines {
        line.goal = goals.of(&line.dataset);
        line.taken = taken(setup.node.host(), line);
    }
    let active = |root: &Sides| matches!(root.holder(&names), Holder::One { node, .. } if node == names.here);
    let (here, far): (Vec<&Sides>, Vec<&Sides>) = roots.iter().partition(|root| active(root));
    estimate(setup.node.host(), &mut lines, &here);
    let mut apart: Vec<Apart> = roots.iter().flat_map(|root| root.apart(&names)).collect();
    measure(setup.node.host(), apart.iter_mut().map(|one| &mut one.here));
    if let Ok(host) = &mut there {
        estimate(host.as_mut(), &mut lines, &far);
        measure(host.as_mut(), apart.iter_mut().map(|one| &mut one.there));
    }
    let unmounted = unread.had("what is mounted", unmounted(&mut setup.node, &here)).unwrap_or_default();
    let mut asides = Vec::new();
    for root in roots.iter().filter(|root| root.here.is_ok()) {
        let beside = asides_beside(&names.here, &root.name);
        asides.extend(unread.had("what is set aside beside the roots", beside).unwrap_or_default());
    }
    for root in &roots {
        asides.extend(asides_within(setup.node.host(), &names.here, root.here.as_ref().ok()));
        if let Ok(host) = &mut there {
            asides.extend(asides_within(host.as_mut(), &names.peer, root.there.as_ref().ok()));
        }
    }
    let paused = unread.had("what is not pruned", paused(&setup.state, &pair.name)).unwrap_or_default();
    // The kernel lists them in the order of their hashes.
    asides.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    Facts {
        machine: pair.peer.machine.to_string(),
        now: now(),
        seen,
        away: there.err().map(|why| Away { why, reached: memory.reached }),
        pools: pools.into_iter().filter(|(_, state)| state != "ONLINE").collect(),
        paused,
        drift: pair.guards.drift,
        flapping: flapping::look(&setup.state, &pair.name, &names.here, now()),
        pair: pair.name,
        names,
        roots,
        lines,
        apart,
        asides,
        unmounted,
        unread: unread.0,
    }
}

/// How many records of runs are read: two timers that never do the same leave all parts in a few.
const RECORDS: usize = 64;

/// What the runs of this node say of its pruning.
fn paused(state: &Path, pair: &str) -> Result<Vec<Paused>, String> {
    let history = history::read(state, RECORDS).map_err(|error| error.to_string())?;
    Ok(history.paused(pair).cloned().collect())
}

/// What could not be found out, with the reason; it is shown, and never taken for nothing.
#[derive(Default)]
struct Unread(Vec<String>);

impl Unread {
    fn had<T>(&mut self, what: &str, found: Result<T, String>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(why) => {
                let line = format!("{what} could not be found out: {why}");
                if !self.0.contains(&line) {
                    self.0.push(line);
                }
                None
            }
        }
    }
}

fn one(host: &mut dyn Host, node: &str, root: &DatasetName) -> Result<Root, String> {
    let side = look(host, node, std::slice::from_ref(root)).map_err(|error| error.to_string())?;
    side.roots.into_iter().next().ok_or_else(|| "nothing was said of it".to_string())
}

/// A root here. A pool that hangs is not asked: whoever does hangs with it.
fn look_here(
    node: &mut dyn Node,
    name: &NodeName,
    root: &DatasetName,
    pools: &mut BTreeMap<String, String>,
) -> Result<Root, String> {
    if let Ok(Some(state)) = node.health(root.pool()) {
        pools.insert(root.pool().to_string(), state.clone());
        if state == "SUSPENDED" {
            return Err(format!("the pool {} is suspended", root.pool()));
        }
    }
    one(node.host(), name.as_str(), root)
}

/// One look at what a role is found from. What the pools say was asked already.
fn observe(
    setup: &Setup,
    pair: &Pair,
    roots: &[Sides],
    away: Option<&String>,
    cancel: &Cancel,
) -> Observation {
    let epochs = |side: &dyn Fn(&Sides) -> Seen<Option<Epoch>>| {
        Epochs::new(roots.iter().map(|root| (root.name.to_string(), side(root))))
    };
    // Nothing is renewed by it.
    let mut eyes = Eyes::of(pair, setup.state.clone());
    Observation {
        reading: eyes.source.observe(cancel),
        peer: match away {
            Some(why) => PeerSaid::Unreachable(why.clone()),
            None => PeerSaid::Answered {
                role: Seen::unknown("it was not asked"),
                epoch: epochs(&|root| epoch(&root.there)),
            },
        },
        epoch: epochs(&|root| epoch(&root.here)),
        by_hand: (eyes.by_hand)(cancel),
    }
}

fn epoch(side: &Result<Root, String>) -> Seen<Option<Epoch>> {
    match side.as_ref().map(|root| &root.belief) {
        Err(why) => Seen::unknown(why.clone()),
        Ok(Belief::None) => Seen::Known(None),
        Ok(Belief::Known(epoch)) => {
            Seen::Known(Some(Epoch { number: epoch.number, holder: epoch.holder.to_string() }))
        }
        Ok(Belief::Unknown(doubt)) => Seen::unknown(doubt.to_string()),
    }
}

/// What runs of this node have seen on the other one.
struct Remembered {
    reached: Option<i64>,
    bases: BTreeMap<String, Guid>,
}

impl Remembered {
    fn read(setup: &Setup, pair: &Pair, unread: &mut Unread) -> Self {
        let memory = unread.had("what runs have seen", Memory::read(&setup.state)).unwrap_or_default();
        let (mut reached, mut bases) = (None, BTreeMap::new());
        for job in pair.jobs() {
            let found = job.targets.iter().filter_map(|to| memory.of(&job.name, &to.endpoint.to_string()));
            for target in found {
                reached = reached.max(Some(target.seen));
                let known = target.datasets.iter();
                bases.extend(known.filter_map(|one| Some((one.source.clone(), Guid(one.base?)))));
            }
        }
        Self { reached, bases }
    }

    fn base(&self, dataset: &DatasetName) -> Option<Guid> {
        self.bases.get(dataset.as_str()).copied()
    }
}

/// When the common snapshot was taken: it is on this node, whichever side that is, and the date is the same.
fn taken(host: &mut dyn Host, line: &Line) -> Option<i64> {
    let common = line.common.as_ref()?;
    host.creation(&[Base::Snapshot(common.name.clone(), common.guid)]).ok()?.into_iter().next()?
}

/// What the snapshots that were not sent would be as streams. An agent that may not send does not tell.
fn estimate(host: &mut dyn Host, lines: &mut [Line], roots: &[&Sides]) {
    let of_roots = |line: &Line| roots.iter().any(|root| line.dataset.is_within(&root.name));
    let wanted: Vec<_> = lines.iter_mut().filter(|line| line.stream.is_some() && of_roots(line)).collect();
    let streams: Vec<_> = wanted.iter().filter_map(|line| line.stream.clone()).collect();
    let Ok(sizes) = host.estimate(&streams) else { return };
    for (line, size) in wanted.into_iter().zip(sizes) {
        if let Some(bytes) = size {
            line.lost = Amount { exact: true, ..line.lost }.plus(Amount { bytes, exact: true });
        }
    }
}

/// The same of what each node has alone.
fn measure<'o>(host: &mut dyn Host, of: impl Iterator<Item = &'o mut Own>) {
    let wanted: Vec<_> = of.filter(|own| own.stream.is_some()).collect();
    let streams: Vec<_> = wanted.iter().filter_map(|own| own.stream.clone()).collect();
    let Ok(sizes) = host.estimate(&streams) else { return };
    for (own, size) in wanted.into_iter().zip(sizes) {
        if let Some(bytes) = size {
            own.amount = Amount { exact: true, ..own.amount }.plus(Amount { bytes, exact: true });
        }
    }
}

/// The filesystems that this node, being active, mounts, and has not.
fn unmounted(node: &mut dyn Node, roots: &[&Sides]) -> Result<Vec<DatasetName>, String> {
    let mounts = node.mounts().map_err(|error| error.to_string())?;
    let mounted: BTreeSet<_> = mounts.into_iter().map(|mount| mount.dataset).collect();
    let mut all = Vec::new();
    for root in roots.iter().filter_map(|root| root.here.as_ref().ok()) {
        all.extend(root.places().map_err(|error| error.to_string())?.into_keys());
    }
    all.retain(|dataset| !mounted.contains(dataset));
    Ok(all)
}

/// What is set aside below a root, without what lies in it.
fn asides_within(host: &mut dyn Host, node: &str, root: Option<&Root>) -> Vec<Aside> {
    let all = root.and_then(|root| root.tree.as_ref()).map_or(&[][..], |tree| tree.datasets());
    let mut found: Vec<Aside> = Vec::new();
    for state in all {
        let known = found.iter().any(|one| state.name.is_within(&one.dataset));
        if known || !is_name(state.name.last()) {
            continue;
        }
        let used = host.some_properties(&state.name, Depth::One, &["used".to_string()]).ok();
        let used = used.and_then(|mut all| all.remove(&state.name)?.remove("used"));
        let bytes = used.and_then(|used| used.value.parse().ok());
        found.push(Aside { node: node.to_string(), dataset: state.name.clone(), bytes, kind: state.kind });
    }
    found
}

/// What is set aside beside a root of this node. On the other one that lies outside of what its agent may show.
fn asides_beside(node: &str, root: &DatasetName) -> Result<Vec<Aside>, String> {
    let Some(parent) = root.parent() else { return Ok(Vec::new()) };
    let zfs = Zfs::open().map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for child in zfs.children(&parent).map_err(|error| error.to_string())? {
        let child = child.map_err(|error| error.to_string())?;
        let rest = child.name.as_str().strip_prefix(root.as_str()).unwrap_or_default();
        if rest.starts_with("-divergent-") && is_name(child.name.last()) {
            let bytes = child.properties.number("used");
            found.push(Aside { node: node.to_string(), dataset: child.name, bytes, kind: child.kind });
        }
    }
    Ok(found)
}

/// How often snapshots are taken of the datasets of this node; none where that could not be found out.
struct Goals(Option<BTreeMap<DatasetName, Option<u64>>>);

impl Goals {
    fn of(&self, dataset: &DatasetName) -> Goal {
        match self.0.as_ref().and_then(|all| all.get(dataset)) {
            None => Goal::Unknown,
            Some(None) => Goal::Never,
            Some(Some(seconds)) => Goal::Every(*seconds),
        }
    }
}

fn goals(config: &Config) -> Result<BTreeMap<DatasetName, Option<u64>>, String> {
    let pools = kstat::pools(Path::new(kstat::FOLDER)).map_err(|error| error.to_string())?;
    if let Some((pool, _)) = pools.iter().find(|(_, state)| state.as_deref() == Some("SUSPENDED")) {
        return Err(format!("the pool {pool} is suspended"));
    }
    let zfs = Zfs::open().map_err(|error| error.to_string())?;
    let (known, troubles) = survey::datasets(&zfs, config).map_err(|error| error.to_string())?;
    if let Some(trouble) = troubles.first() {
        return Err(trouble.error.to_string());
    }
    let mut goals: BTreeMap<_, _> = known.iter().map(|one| (one.name.clone(), None)).collect();
    for effective in config.policies.resolve(&known).datasets.into_values() {
        let Some(seconds) = interval(&effective.policy.schedule).filter(|_| effective.policy.snapshot) else {
            continue;
        };
        for dataset in std::iter::once(effective.dataset).chain(effective.together) {
            let goal = goals.entry(dataset).or_insert(None);
            *goal = Some(goal.map_or(seconds, |known| seconds.min(known)));
        }
    }
    Ok(goals)
}

/// The shortest time between two snapshots of a schedule, in seconds.
pub(super) fn interval(schedule: &Schedule) -> Option<u64> {
    let taken = Period::ALL.into_iter().filter(|period| schedule.takes(*period));
    taken.map(|period| period.seconds(schedule.frequently.unwrap_or_default())).min()
}

#[cfg(test)]
mod tests {
    use zfs_core::DatasetKind;

    use super::*;
    use crate::host::Tree;
    use crate::model::World;

    /// The ZFS in memory, of which the other side has the first snapshot alone.
    #[test]
    fn what_was_not_sent_is_dated_and_measured_and_what_is_set_aside_is_found() {
        let name = |text: &str| -> DatasetName { text.parse().expect("a name") };
        let world = World::new(7, &["a"]);
        world.on("a", |a| {
            a.create_pool("tank");
            let all = [
                "tank/data",
                "tank/data/x-divergent-3",
                "tank/data/x-divergent-3/y-divergent-2",
                "tank/data/y",
            ];
            for dataset in all {
                a.create(&name(dataset), DatasetKind::Filesystem, &[]).expect("created");
            }
            for number in 1..=3 {
                a.write(&name("tank/data"), number, number);
                let snapshot = name("tank/data").snapshot(&number.to_string()).expect("a name");
                a.snapshot(&[snapshot]).expect("taken");
            }
            let epoch = crate::pair::Epoch {
                number: 7,
                holder: "a".parse().expect("a name"),
                pool: a.pool_guid("tank"),
            };
            a.set_properties(&name("tank/data"), &[crate::pair::epoch::written(&epoch)]).expect("set");
        });
        let mut host = world.host("a");
        let here = one(&mut host, "a", &name("tank/data")).expect("seen");
        let mut there = here.clone();
        let mut copies = here.tree.as_ref().expect("a tree").datasets().to_vec();
        copies[0].snapshots.truncate(1);
        there.tree = Some(Tree::new(&name("tank/data"), copies).expect("a tree"));
        let asides = asides_within(&mut host, "a", Some(&here));
        let found: Vec<_> = asides.iter().map(|aside| aside.dataset.as_str()).collect();
        assert_eq!(found, ["tank/data/x-divergent-3"], "what lies in it goes with it");
        let sides = Sides { name: name("tank/data"), here: Ok(here), there: Ok(there) };
        let names = Names { here: "a".to_string(), peer: "b".to_string() };
        let mut lines = sides.lines(&names, &|_| None);
        let datasets: Vec<_> = lines.iter().map(|line| line.dataset.as_str()).collect();
        assert_eq!(datasets, ["tank/data", "tank/data/y"]);
        assert!(taken(&mut host, &lines[0]).is_some());
        let before = lines[0].lost;
        assert!(!before.exact);
        // Of another root nothing is asked.
        estimate(&mut host, &mut lines, &[]);
        assert_eq!(lines[0].lost, before);
        estimate(&mut host, &mut lines, &[&sides]);
        assert!(lines[0].lost.exact && lines[0].lost.bytes > before.bytes, "{:?}", lines[0].lost);
        assert_eq!(taken(&mut host, &lines[1]), None);
    }
}
