//! The verbs on the ZFS in memory: what each leaves, that a second call changes nothing, and a crash before and after every
//! single effect, after which the same verb comes to the same end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use zfs_core::DatasetKind;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::config::pair::Guards;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::Run;
use crate::host::Deed;
use crate::host::Host;
use crate::marks;
use crate::model::Fault;
use crate::model::ModelHost;
use crate::model::Moment;
use crate::model::World;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::written;
use crate::plan::Options;
use crate::plan::Patterns;
use crate::role::source::NotTaken;
use crate::transfer::Moved;
use crate::transfer::retry::Backoff;

mod accepting;
mod asides;
mod crashes;
mod decisions;
mod following;
mod leases;
mod leaving;
mod left_out;
mod partitions;
mod pools;
mod several;
mod told;
mod unfinished;
mod whole;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

fn node_name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

struct Quiet;

impl Observer for Quiet {
    fn step_started(&self, _: Place, _: &crate::plan::Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &crate::plan::Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: Duration) {}
    fn note(&self, _: &str) {}
}

/// What is mounted on a machine: it outlives the process.
type Mounts = Arc<Mutex<Vec<Mount>>>;

/// Who has the service by a lease, of which both nodes know. A pair without one has none.
type Lease = Arc<Mutex<Option<String>>>;

struct TestNode {
    name: NodeName,
    host: ModelHost,
    world: World,
    mounts: Mounts,
    health: &'static str,
    /// A pool that hangs: whoever looks into it does not come back, which a test cannot wait for.
    hangs: Option<&'static str>,
    lease: Option<Lease>,
}

impl TestNode {
    /// Changes the lease, where the process can die as at any other effect.
    fn change(&self, what: &str, to: Option<&str>) -> Result<(), String> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let done = self.host.effect(
            || format!("lease: {what}"),
            |_| {
                *lease.lock().expect("no panic") = to.map(str::to_string);
                Ok(())
            },
        );
        done.map_err(|error| error.to_string())
    }

    fn has(&self) -> Option<String> {
        self.lease.as_ref().and_then(|lease| lease.lock().expect("no panic").clone())
    }
}

impl Node for TestNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    fn host(&mut self) -> &mut dyn Host {
        &mut self.host
    }

    fn close(&mut self, _: &[DatasetName]) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(()))
    }

    fn health(&mut self, pool: &str) -> Result<Option<String>, HostError> {
        if self.hangs == Some(pool) {
            return Ok(Some("SUSPENDED".to_string()));
        }
        let there = self.world.on(self.name.as_str(), |machine| machine.has_pool(pool));
        Ok(there.then(|| self.health.to_string()))
    }

    fn take(&mut self, snapshots: &[SnapshotName]) -> Result<(), HostError> {
        snapshots
            .iter()
            .try_for_each(|snapshot| self.host.deed(&Deed::Snapshot { snapshot: snapshot.clone() }))
    }

    fn mounts(&mut self) -> Result<Vec<Mount>, HostError> {
        let readonly = |mount: &Mount| {
            let found = self.host.clone().some_properties(
                &mount.dataset,
                crate::host::Depth::One,
                &["readonly".to_string()],
            );
            let found = found.ok().and_then(|mut all| all.get_mut(&mount.dataset)?.remove("readonly"));
            found.is_some_and(|one| one.value == "on")
        };
        let mounts = self.mounts.lock().expect("no panic").clone();
        Ok(mounts.into_iter().map(|mount| Mount { writable: !readonly(&mount), ..mount }).collect())
    }

    fn mount(&mut self, dataset: &DatasetName, at: &Path) -> Result<(), HostError> {
        let mount = Mount { dataset: dataset.clone(), at: at.to_path_buf(), writable: true };
        self.mounts.lock().expect("no panic").push(mount);
        self.world.on(self.name.as_str(), |machine| machine.set_mounted(dataset, true));
        Ok(())
    }

    fn unmount(&mut self, mount: &Mount) -> Result<(), HostError> {
        self.mounts.lock().expect("no panic").retain(|one| one.at != mount.at);
        self.world.on(self.name.as_str(), |machine| machine.set_mounted(&mount.dataset, false));
        Ok(())
    }

    fn flush(&mut self, _: &Mount) -> Result<(), HostError> {
        Ok(())
    }

    fn claim(&mut self) -> Result<(), NotTaken> {
        match self.has() {
            Some(node) if node == self.name.as_str() => Ok(()),
            Some(node) => Err(NotTaken::Held { key: "lease".to_string(), node }),
            None => self.change("claim", Some(self.name.as_str())).map_err(NotTaken::NotKnown),
        }
    }

    fn hand_over(&mut self) -> Result<bool, String> {
        let peer = other(self.name.as_str());
        match self.has() {
            _ if self.lease.is_none() => Ok(true),
            Some(node) if node == peer => Ok(true),
            Some(node) if node == self.name.as_str() => self.change("hand over", Some(peer)).map(|()| true),
            Some(node) => Err(format!("{node} has it")),
            None => Ok(false),
        }
    }

    fn release(&mut self) -> Result<(), String> {
        if self.has().as_deref() == Some(self.name.as_str()) {
            return self.change("release", None);
        }
        Ok(())
    }
}

/// Two nodes with a pool `tank` each.
struct Case {
    world: World,
    mounts: [Mounts; 2],
    lease: Option<Lease>,
    roots: Vec<DatasetName>,
    /// The datasets that the pair replicates.
    datasets: Patterns,
}

const ROOT: &str = "tank/data";
const CHILD: &str = "tank/data/x";

/// The root in another pool, of a pair that has two.
const OTHER: &str = "big/more";

impl Case {
    /// `a` was promoted, has written, and `b` has all of it.
    fn new() -> Self {
        Self::of(&[ROOT], &[ROOT, CHILD])
    }

    /// The same with two roots, each in a pool of its own.
    fn with_two_pools() -> Self {
        Self::of(&[ROOT, OTHER], &[ROOT, CHILD, OTHER])
    }

    fn of(roots: &[&str], datasets: &[&str]) -> Self {
        let case = Self::before_the_first_send(roots, datasets);
        case.send("a").expect("everything is sent");
        case.world.on("b", |b| {
            for dataset in datasets {
                let place = vec![("mountpoint".to_string(), format!("/{dataset}"))];
                b.set_properties(&name(dataset), &place).expect("set");
            }
        });
        case.world.restart();
        case
    }

    /// `a` was promoted and has written, and `b` has empty pools.
    fn before_the_first_send(roots: &[&str], datasets: &[&str]) -> Self {
        let world = World::new(7, &["a", "b"]);
        let pools = |machine: &mut crate::model::Machine| {
            for root in roots {
                let pool = name(root).pool().to_string();
                if !machine.has_pool(&pool) {
                    machine.create_pool(&pool);
                }
            }
        };
        world.on("a", |a| {
            pools(a);
            for dataset in datasets {
                let place = vec![("mountpoint".to_string(), format!("/{dataset}"))];
                a.create(&name(dataset), DatasetKind::Filesystem, &place).expect("create");
                a.write(&name(dataset), 1, 1);
            }
            for dataset in datasets {
                a.snapshot(&[snap(&format!("{dataset}@1"))]).expect("snapshot");
            }
        });
        world.on("b", pools);
        let roots = roots.iter().map(|root| name(root)).collect();
        let case = Self { roots, ..Self::in_world(world) };
        case.promote("a", true).expect("the first promotion");
        case
    }

    /// A pair of the usual root, nothing of which is mounted.
    fn in_world(world: World) -> Self {
        Self {
            world,
            mounts: Default::default(),
            lease: None,
            roots: vec![name(ROOT)],
            datasets: Patterns::default(),
        }
    }

    /// The same pair, as it is now, for a look at what would come of it. Nothing is mounted.
    fn copy(&self) -> Self {
        let (roots, datasets) = (self.roots.clone(), self.datasets.clone());
        Self { roots, datasets, ..Self::in_world(self.world.copy()) }
    }

    /// The same, with a lease that the active node has.
    fn leased() -> Self {
        Self { lease: Some(Arc::new(Mutex::new(Some("a".to_string())))), ..Self::new() }
    }

    fn holder(&self) -> Option<String> {
        self.lease.as_ref().and_then(|lease| lease.lock().expect("no panic").clone())
    }

    fn node(&self, on: &str) -> TestNode {
        let (mounts, lease) = (self.mounts[usize::from(on == "b")].clone(), self.lease.clone());
        let (name, host, world) = (node_name(on), self.world.host(on), self.world.clone());
        TestNode { name, host, world, mounts, health: "ONLINE", hangs: None, lease }
    }

    fn asked(force: bool) -> promote::Asked {
        promote::Asked { force, guards: Guards::default(), datasets: Patterns::default(), now: 1_000_000 }
    }

    /// As the configuration of this pair has it.
    fn asks(&self, force: bool) -> promote::Asked {
        promote::Asked { datasets: self.datasets.clone(), ..Self::asked(force) }
    }

    /// Somebody mounts a filesystem by hand, or its node was not stopped in order.
    fn mount_by_hand(&self, on: &str, dataset: &str, at: &str) {
        let mount = Mount { dataset: name(dataset), at: at.into(), writable: true };
        self.mounts[usize::from(on == "b")].lock().expect("no panic").push(mount);
        self.world.on(on, |machine| machine.set_mounted(&name(dataset), true));
    }

    /// The power of a node goes, and it is back: nothing is mounted, and nothing else was done.
    fn power_cut(&self, on: &str) {
        let mounted = std::mem::take(&mut *self.mounts[usize::from(on == "b")].lock().expect("no panic"));
        self.world.on(on, |machine| {
            for mount in &mounted {
                machine.set_mounted(&mount.dataset, false);
            }
        });
    }

    /// Each is told of the other one.
    fn promote(&self, on: &str, force: bool) -> Result<promote::Promoted, VerbError> {
        let mut there = self.world.host(other(on));
        let peer = node_name(other(on));
        let there: Result<(&mut dyn Host, &NodeName), String> = Ok((&mut there, &peer));
        promote::promote(&mut self.node(on), &self.roots, there, &self.asks(force), &mut |_| {})
    }

    /// The other one has lost its power.
    fn promote_alone(&self, on: &str) -> Result<promote::Promoted, VerbError> {
        let away = Err("no route".to_string());
        promote::promote(&mut self.node(on), &self.roots, away, &self.asks(false), &mut |_| {})
    }

    fn demote(&self, on: &str) -> Result<bool, VerbError> {
        let mut node = self.node(on);
        let done = demote::demote(&mut node, &self.roots, &self.datasets, &mut |_| {});
        if let Some((_, error)) = done.failed.into_iter().next() {
            return Err(error);
        }
        demote::give_back(&mut node, &mut |_| {});
        // A crash while it was given back is one of the verb.
        node.host().inventory(&name(ROOT), crate::host::Depth::One)?;
        Ok(done.holds)
    }

    fn rejoin(&self, on: &str) -> Result<rejoin::Rejoined, VerbError> {
        self.rejoin_as(on, &rejoin::Asked::default())
    }

    fn rejoin_as(&self, on: &str, asked: &rejoin::Asked) -> Result<rejoin::Rejoined, VerbError> {
        let (mut there, peer) = (self.world.host(other(on)), node_name(other(on)));
        let mut node = self.node(on);
        let asked = rejoin::Asked { datasets: self.datasets.clone(), ..asked.clone() };
        let done = rejoin::rejoin(&mut node, &self.roots, &mut there, &peer, &asked, &mut |_| {})?;
        // A crash while the service was handed on is one of the verb.
        node.host().inventory(&name(ROOT), crate::host::Depth::One)?;
        Ok(done)
    }

    /// What a run does on a node that the service has left.
    fn follow(&self, on: &str) -> Result<rejoin::Rejoined, VerbError> {
        self.rejoin_as(on, &rejoin::Asked { only_follow: true, ..rejoin::Asked::default() })
    }

    fn handover(&self, from: &str) -> Result<handover::Given, VerbError> {
        let (mut there, peer) = (self.world.host(other(from)), node_name(other(from)));
        let (options, run, cancel) = (self.options(), quick(), Cancel::new());
        let how = send::Sending {
            options: &options,
            run: &run,
            locks: &BTreeMap::new(),
            observer: &Quiet,
            cancel: &cancel,
            now: 0,
        };
        let (roots, asked) = (&self.roots, self.asks(false));
        handover::handover(&mut self.node(from), roots, &mut there, &peer, &asked, &how, &mut |_| {})
    }

    fn options(&self) -> Options {
        Options { datasets: self.datasets.clone(), ..Options::default() }
    }

    /// What the timer does on the active node.
    fn send(&self, from: &str) -> Result<(), VerbError> {
        let mut there = self.world.host(other(from));
        let (options, run, cancel) = (self.options(), quick(), Cancel::new());
        let how = send::Sending {
            options: &options,
            run: &run,
            locks: &BTreeMap::new(),
            observer: &Quiet,
            cancel: &cancel,
            now: 0,
        };
        let mut node = self.node(from);
        for root in &self.roots {
            let side = look::look(node.host(), from, std::slice::from_ref(root))?;
            let epoch = side.roots[0].epoch().map_or(0, |epoch| epoch.number);
            let who = (epoch, &node_name(from), &node_name(other(from)));
            send::send(node.host(), &mut there, root, who, &how)?;
        }
        Ok(())
    }

    fn write(&self, on: &str, dataset: &str, block: u64, value: u64) {
        self.world.on(on, |machine| machine.write(&name(dataset), block, value));
    }

    fn snapshot(&self, on: &str, short: &str) {
        let all = [ROOT, CHILD].map(|dataset| snap(&format!("{dataset}@{short}")));
        self.world.on(on, |machine| machine.snapshot(&all).expect("snapshot"));
    }

    fn value(&self, on: &str, dataset: &str, property: &str) -> String {
        let found = self.world.on(on, |machine| machine.property(&name(dataset), property));
        found.map_or_else(String::new, |property| property.value)
    }

    /// Number and holder of the root.
    fn epoch(&self, on: &str) -> (u64, String) {
        let value = self.value(on, ROOT, marks::EPOCH);
        let epoch = Epoch::read(&value).unwrap_or_else(|| panic!("{value:?}"));
        let pool = self.world.on(on, |machine| machine.pool_guid("tank"));
        assert_eq!(epoch.pool, pool, "it names its own pool");
        (epoch.number, epoch.holder.to_string())
    }

    fn mounted(&self, on: &str) -> Vec<String> {
        let mounts = self.node(on).mounts().expect("known");
        mounts.iter().filter(|mount| mount.writable).map(|mount| mount.dataset.to_string()).collect()
    }

    fn datasets(&self, on: &str) -> Vec<String> {
        self.world.on(on, |machine| machine.datasets().map(|(name, _)| name.to_string()).collect())
    }

    fn snapshots(&self, on: &str, dataset: &str) -> Vec<String> {
        self.world.on(on, |machine| {
            let found = machine.dataset(&name(dataset)).unwrap_or_else(|| panic!("{dataset} on {on}"));
            found.snapshots.iter().map(|snap| snap.short.clone()).collect()
        })
    }

    fn same(&self, dataset: &str) -> bool {
        let of = |on: &str| {
            self.world.on(on, |machine| machine.dataset(&name(dataset)).map(|found| found.content.clone()))
        };
        let (a, b) = (of("a"), of("b"));
        assert!(a.is_some(), "there is nothing to compare");
        a == b
    }
}

fn other(node: &str) -> &'static str {
    if node == "a" { "b" } else { "a" }
}

fn quick() -> Run {
    let soon = Duration::from_millis(1);
    Run { backoff: Backoff { first: soon, longest: soon, ..Backoff::default() }, ..Run::default() }
}

fn refused(result: Result<impl std::fmt::Debug, VerbError>) -> Refused {
    match result {
        Err(VerbError::Refused(refused)) => {
            assert!(!refused.hint().is_empty());
            *refused
        }
        other => panic!("{other:?}"),
    }
}
