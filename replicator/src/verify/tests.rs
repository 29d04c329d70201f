//! Drills on the ZFS in memory: what each leaves, also where it breaks off; and what is remembered.

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Asked;
use super::Looked;
use super::drill::drill;
use super::memory::Checked;
use super::memory::Drill;
use super::memory::Verified;
use super::target;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::job::Link;
use crate::config::place::Source;
use crate::connect::ConnectError;
use crate::endpoint::Endpoint;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::Request;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Snapshot;
use crate::jobs::Connect;
use crate::model::Fault;
use crate::model::Moment;
use crate::model::World;
use crate::plan::Options;
use crate::plan::Step;
use crate::transfer::Moved;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

/// A copy with a snapshot, and a clone that a person has made of it.
fn world() -> World {
    let world = World::new(3, &["b"]);
    world.on("b", |b| {
        b.create_pool("back");
        b.create(&name("back/data"), DatasetKind::Filesystem, &Vec::new()).expect("create");
        b.write(&name("back/data"), 1, 1);
        b.snapshot(&[snap("back/data@1")]).expect("snapshot");
        b.clone_snapshot(&snap("back/data@1"), &name("back/data/mine"), &Vec::new()).expect("clone");
    });
    world.restart();
    world
}

fn newest(world: &World) -> Snapshot {
    match world.host("b").inventory(&name("back/data"), Depth::One).expect("known") {
        Inventory::Present(tree) => tree.root().snapshots[0].clone(),
        Inventory::Absent { .. } => panic!("it is there"),
    }
}

fn datasets(world: &World) -> Vec<String> {
    world.on("b", |b| b.datasets().map(|(name, _)| name.to_string()).collect())
}

#[test]
fn a_drill_leaves_nothing_whether_it_could_be_read_or_not() {
    for well in [true, false] {
        let world = world();
        let before = world.machines();
        let mut seen = Vec::new();
        let done = drill(&mut world.host("b"), &newest(&world), 1000, &mut |clone, of| {
            seen = datasets(&world);
            assert!(seen.contains(&clone.to_string()) && *of == snap("back/data@1"));
            if well { Ok(7) } else { Err(HostError::Cancelled) }
        });
        assert_eq!(done.ok(), well.then_some(7));
        assert_eq!((seen.len(), datasets(&world).len()), (4, 3));
        let kept = |machines: &std::collections::BTreeMap<String, crate::model::Machine>| {
            machines["b"].dataset(&name("back/data")).cloned()
        };
        assert_eq!(kept(&before), kept(&world.machines()));
    }
}

#[test]
fn what_a_crash_leaves_is_removed_by_the_next_drill_and_nothing_else_is() {
    let effects = 2;
    for effect in 1..=effects {
        for moment in [Moment::Before, Moment::After] {
            let world = world();
            world.inject(Fault::Crash { effect, moment });
            let snapshot = newest(&world);
            assert!(drill(&mut world.host("b"), &snapshot, 1000, &mut |_, _| Ok(())).is_err());
            world.restart();
            drill(&mut world.host("b"), &snapshot, 2000, &mut |_, _| Ok(())).expect("goes well");
            assert_eq!(datasets(&world), ["back", "back/data", "back/data/mine"], "{moment:?} {effect}");
        }
    }
}

struct Quiet;

impl Observer for Quiet {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: std::time::Duration) {}
    fn note(&self, _: &str) {}
}

struct Machines(World);

impl Connect for Machines {
    fn host(&self, _: &Link, endpoint: &Endpoint) -> Result<Box<dyn Host>, ConnectError> {
        let machine = endpoint.machine.as_ref().map_or("here", |machine| machine.host.as_str());
        Ok(Box::new(self.0.host(machine)))
    }
}

const JOB: &str = "[[replication]]\nname = \"data\"\nsource = \"tank/a\"\nrecursive = true\n\
                   [[replication.target]]\nname = \"nas\"\nto = \"nas:back/a\"\n";

fn config(text: &str) -> Config {
    let source = Source::new(std::path::Path::new("/etc/x.toml"), text);
    let (config, problems) = Config::parse(&[source]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

/// `tank/a` with a child and a volume, all of it replicated, and a dataset that was not.
fn replicated() -> World {
    let world = World::new(9, &["here", "nas"]);
    world.on("here", |here| {
        here.create_pool("tank");
        for (dataset, kind) in [
            ("tank/a", DatasetKind::Filesystem),
            ("tank/a/x", DatasetKind::Filesystem),
            ("tank/a/v", DatasetKind::Volume),
        ] {
            here.create(&name(dataset), kind, &Vec::new()).expect("create");
            for block in 0..20 {
                here.write(&name(dataset), block, block + 1);
            }
            here.snapshot(&[snap(&format!("{dataset}@1"))]).expect("snapshot");
        }
    });
    world.on("nas", |nas| nas.create_pool("back"));
    let (mut from, mut to) = (world.host("here"), world.host("nas"));
    let options = Options { recursive: true, ..Options::default() };
    let request = Request {
        source: name("tank/a"),
        target: name("back/a"),
        options: options.clone(),
        estimate: false,
        ignore_space: true,
        now: 0,
    };
    let plan = engine::prepare(&mut from, &mut to, &request).expect("planned");
    let cancel = Cancel::new();
    let report = engine::execute(&plan, &options, &mut from, &mut to, &Run::default(), &Quiet, &cancel);
    assert_eq!(report.expect("sent").failures().count(), 0);
    world.on("here", |here| {
        here.create(&name("tank/a/new"), DatasetKind::Filesystem, &Vec::new()).expect("create");
    });
    world.restart();
    world
}

/// Looks at the target, within so many bytes, and remembers it.
fn look(world: &World, memory: &mut Verified, bytes: u64, now: i64) -> Looked {
    let config = config(JOB);
    let job = &config.jobs[0];
    let (machines, asked) = (Machines(world.clone()), Asked { bytes, drill: true });
    let (pair, cancel) = ((job, &job.targets[0]), Cancel::new());
    let looked = target(pair, &machines, memory, asked, now, &mut |_| {}, &cancel).expect("both answer");
    memory.put(looked.checked.clone(), &config);
    assert_eq!(world.effects(), 0, "{:?}", world.log());
    looked
}

fn found<'l>(looked: &'l Looked, source: &str) -> &'l Checked {
    looked.checked.iter().find(|one| one.source == source).unwrap_or_else(|| panic!("{source}: {looked:?}"))
}

#[test]
fn what_a_disk_has_changed_is_found_and_what_was_not_sent_is_told() {
    let world = replicated();
    let mut memory = Verified::default();
    let looked = look(&world, &mut memory, 1 << 30, 5);
    for dataset in ["tank/a", "tank/a/x", "tank/a/v"] {
        let one = found(&looked, dataset);
        assert!(one.is_good() && one.compared >= 20, "{one:?}");
        assert_eq!(one.drill, None, "it is on another machine");
    }
    assert!(found(&looked, "tank/a/new").failed.as_ref().is_some_and(|why| why.contains("not exist")));
    world.on("nas", |nas| {
        nas.rot(&snap("back/a/x@1"), 7, 0);
        nas.rot(&snap("back/a/v@1"), 3, 0);
    });
    let looked = look(&world, &mut memory, 1 << 30, 6);
    assert!(found(&looked, "tank/a").is_good());
    let (file, segment) = (found(&looked, "tank/a/x"), found(&looked, "tank/a/v"));
    assert!(file.differs() && segment.differs());
    assert_eq!((file.differences, file.first.as_slice()), (1, &["7: content".to_string()][..]));
    assert_eq!(memory.datasets.len(), 4);
}

#[test]
fn within_few_bytes_every_file_is_read_in_time() {
    let world = replicated();
    world.on("nas", |nas| nas.rot(&snap("back/a@1"), 11, 0));
    let mut memory = Verified::default();
    let (mut rounds, mut read) = (0, 0);
    // Each of them is larger than this: a share of one of the two filesystems is read each time.
    while !memory.datasets.iter().any(Checked::differs) {
        let looked = look(&world, &mut memory, 40, rounds);
        assert_eq!(looked.too_large, ["tank/a/v"]);
        read += looked.checked.iter().filter(|one| one.failed.is_none()).count();
        rounds += 1;
        assert!(rounds < 40, "it is never found: {memory:?}");
    }
    assert!(read >= 1 && memory.of("data", "nas:back/a").any(|one| one.source == "tank/a" && one.differs()));
}

#[test]
fn a_side_that_cannot_be_listed_is_an_error_and_no_good_copy() {
    let world = replicated();
    let config = config(JOB);
    let job = &config.jobs[0];
    world.inject(Fault::Listing { machine: "nas".to_string(), number: 1 });
    let asked = Asked { bytes: 1 << 30, drill: false };
    let machines = Machines(world.clone());
    let (pair, cancel) = ((job, &job.targets[0]), Cancel::new());
    let looked = target(pair, &machines, &Verified::default(), asked, 5, &mut |_| {}, &cancel);
    assert!(looked.is_err(), "{looked:?}");
    world.all_struck();
}

fn checked(source: &str, job: &str) -> Checked {
    Checked {
        job: job.to_string(),
        to: "back/data".to_string(),
        source: source.to_string(),
        target: "back/data".to_string(),
        at: 5,
        snapshot: Some("1".to_string()),
        share: None,
        compared: 3,
        differences: 0,
        first: Vec::new(),
        failed: None,
        drill: Some(Drill::Good),
    }
}

#[test]
fn what_was_found_is_remembered_for_the_jobs_that_there_are() {
    let config = config(
        "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n[[replication.target]]\nto = \"back/data\"\n",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = Verified::read(folder.path()).expect("nothing");
    all.put(vec![checked("tank/data", "data"), checked("tank/data", "gone")], &config);
    let bad = Checked { differences: 2, at: 9, ..checked("tank/data", "data") };
    all.put(vec![bad.clone()], &config);
    all.write(folder.path()).expect("written");
    let read = Verified::read(folder.path()).expect("read");
    assert_eq!(read.datasets, std::slice::from_ref(&bad));
    assert!(bad.differs() && !bad.is_good() && checked("a", "b").is_good());
    std::fs::write(folder.path().join(super::memory::FILE), "{").expect("written");
    assert!(Verified::read(folder.path()).is_err());
}
