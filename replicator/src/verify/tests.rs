//! Drills on the ZFS in memory: what each leaves, also where it breaks off; and what is remembered.

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Asked;
use super::Looked;
use super::drill::drill;
use super::memory::Checked;
use super::memory::Drill;
use super::memory::Overview;
use super::memory::Ran;
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
use crate::model::Machine;
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

/// Makes a dataset with something in it, and a snapshot.
fn fill(machine: &mut Machine, dataset: &str, kind: DatasetKind) {
    machine.create(&name(dataset), kind, &Vec::new()).expect("create");
    for block in 0..20 {
        machine.write(&name(dataset), block, block + 1);
    }
    machine.snapshot(&[snap(&format!("{dataset}@1"))]).expect("snapshot");
}

/// Replicates a dataset of `here` with all below it to `nas`.
fn send(world: &World, (source, target): (&str, &str)) {
    let (mut from, mut to) = (world.host("here"), world.host("nas"));
    let options = Options { recursive: true, ..Options::default() };
    let request = Request {
        source: name(source),
        target: name(target),
        options: options.clone(),
        estimate: false,
        ignore_space: true,
        now: 0,
    };
    let plan = engine::prepare(&mut from, &mut to, &request).expect("planned");
    let cancel = Cancel::new();
    let report = engine::execute(&plan, &options, &mut from, &mut to, &Run::default(), &Quiet, &cancel);
    assert_eq!(report.expect("sent").failures().count(), 0);
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
            fill(here, dataset, kind);
        }
    });
    world.on("nas", |nas| nas.create_pool("back"));
    send(&world, ("tank/a", "back/a"));
    world.on("here", |here| {
        here.create(&name("tank/a/new"), DatasetKind::Filesystem, &Vec::new()).expect("create");
    });
    world.restart();
    world
}

/// What a look at the only target comes to.
fn looked_at(world: &World, config: &Config, memory: &Verified, now: i64) -> Looked {
    look_within(world, config, memory, 1 << 30, now)
}

fn look_within(world: &World, config: &Config, memory: &Verified, bytes: u64, now: i64) -> Looked {
    let job = &config.jobs[0];
    let (machines, asked) = (Machines(world.clone()), Asked { bytes, drill: true });
    let (pair, cancel) = ((job, &job.targets[0]), Cancel::new());
    target(pair, &machines, memory, asked, now, &mut |_| {}, &cancel).expect("both answer")
}

/// Looks at the target, within so many bytes, and remembers it.
fn look(world: &World, memory: &mut Verified, bytes: u64, now: i64) -> Looked {
    let looked = look_within(world, &config(JOB), memory, bytes, now);
    memory.put(looked.clone());
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
        let large: Vec<_> = looked.overview.too_large.iter().map(|one| one.source.as_str()).collect();
        assert_eq!(large, ["tank/a/v"]);
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

const ENCRYPTED: &str = "[[replication]]\nname = \"data\"\nsource = \"tank/s\"\n\
                         [[replication.target]]\nname = \"nas\"\nto = \"nas:back/s\"\n";

/// `tank/s` with a key of its own, sent as it lies on the disk.
fn encrypted() -> World {
    let world = World::new(9, &["here", "nas"]);
    world.on("here", |here| {
        here.create_pool("tank");
        here.create_encrypted(&name("tank/s")).expect("create");
        here.write(&name("tank/s"), 1, 1);
        here.snapshot(&[snap("tank/s@1")]).expect("snapshot");
    });
    world.on("nas", |nas| nas.create_pool("back"));
    send(&world, ("tank/s", "back/s"));
    world.restart();
    world
}

#[test]
fn a_copy_whose_key_is_not_loaded_is_closed_with_the_way_out_and_read_once_it_is() {
    let world = encrypted();
    let config = config(ENCRYPTED);
    let mut memory = Verified::default();
    let mut looks = |now: i64| {
        let looked = looked_at(&world, &config, &memory, now);
        memory.put(looked);
        let one = memory.datasets[0].clone();
        (one.is_good(), one.failed, one.closed)
    };
    let (good, failed, closed) = looks(5);
    assert!(!good);
    assert_eq!(failed.as_deref(), Some("the key of back/s is not loaded on nas"));
    assert_eq!(closed.as_deref(), Some("load it there with `zfs load-key back/s`"));
    world.on("nas", |nas| nas.set_key(&name("back/s"), true));
    assert_eq!(looks(6), (true, None, None));
    // The source can be closed as well.
    world.on("here", |here| here.set_key(&name("tank/s"), false));
    assert_eq!(looks(7).1.as_deref(), Some("the key of tank/s is not loaded on here"));
}

#[test]
fn a_machine_that_does_not_allow_it_is_closed_and_one_that_fails_is_not() {
    let host = || "nas".to_string();
    let why = "the agent was started without --allow read".to_string();
    let refused = HostError::Refused { host: host(), why };
    let old = HostError::Cannot { host: host(), has: "replicator 0.0".to_string(), what: "read snapshots" };
    let remote = |message: &str| HostError::Remote {
        host: host(),
        operation: crate::host::READ,
        subject: "back/a@1".to_string(),
        message: message.to_string(),
    };
    let agent = HostError::Agent {
        host: host(),
        operation: None,
        subject: String::new(),
        errno: 0,
        kind: zfs_core::ErrorKind::Other,
        message: "cannot mount back/a@1: Operation not permitted (os error 1)".to_string(),
        hint: Some("run it as root: mounting needs that".to_string()),
    };
    let superuser = remote("mount: /tmp/x: must be superuser to use mount.");
    let all = [(refused, "--allow read"), (old, "install"), (agent, "as root"), (superuser, "mount")];
    for (error, said) in all {
        let bar = super::barred(&error).unwrap_or_else(|| panic!("{error}"));
        assert!(bar.way_out.contains(said), "{}", bar.way_out);
        // The same for each dataset, so that it is told once.
        assert!(!bar.why.contains("back/a"), "{}", bar.why);
    }
    for error in [HostError::NoZfs { host: host() }, remote("cannot read x: Input/output error")] {
        assert!(super::barred(&error).is_none(), "{error}");
    }
}

#[test]
fn what_never_comes_up_waits_since_it_is_known() {
    let world = World::new(9, &["here", "nas"]);
    world.on("here", |here| {
        here.create_pool("tank");
        for dataset in ["tank/a", "tank/a/x", "tank/a/y"] {
            fill(here, dataset, DatasetKind::Filesystem);
        }
    });
    world.on("nas", |nas| nas.create_pool("back"));
    send(&world, ("tank/a", "back/a"));
    world.restart();
    let mut memory = Verified::default();
    let waiting = |looked: &Looked| -> Vec<(String, i64)> {
        looked.overview.waiting.iter().map(|one| (one.source.clone(), one.since)).collect()
    };
    // Within so few bytes it is one of them each time.
    let looked = look(&world, &mut memory, 40, 100);
    assert_eq!((looked.overview.datasets, looked.overview.rounds, looked.sources.len()), (3, 3, 3));
    assert_eq!(waiting(&looked), [("tank/a/x".to_string(), 100), ("tank/a/y".to_string(), 100)]);
    let looked = look(&world, &mut memory, 40, 200);
    assert_eq!(waiting(&looked), [("tank/a/y".to_string(), 100)]);
    let looked = look(&world, &mut memory, 40, 300);
    assert_eq!(waiting(&looked), []);
    assert_eq!(memory.overview("data", "nas:back/a").map(|one| one.at), Some(300));
}

#[test]
fn a_dataset_that_does_not_exist_any_more_is_forgotten() {
    let world = replicated();
    let mut memory = Verified::default();
    look(&world, &mut memory, 1 << 30, 100);
    let knows = |memory: &Verified| memory.of("data", "nas:back/a").any(|one| one.source == "tank/a/new");
    assert!(knows(&memory));
    world.on("here", |here| here.destroy(&name("tank/a/new")).expect("destroy"));
    look(&world, &mut memory, 1 << 30, 200);
    assert!(!knows(&memory) && memory.datasets.len() == 3);
}

#[test]
fn what_differed_and_cannot_be_read_any_more_is_not_known_to_be_better() {
    let world = encrypted();
    world.on("nas", |nas| {
        nas.set_key(&name("back/s"), true);
        nas.rot(&snap("back/s@1"), 1, 0);
    });
    let mut memory = Verified::default();
    let config = config(ENCRYPTED);
    let mut differences = |now: i64| {
        let looked = looked_at(&world, &config, &memory, now);
        memory.put(looked);
        memory.datasets[0].differences
    };
    assert_eq!(differences(5), 1);
    world.on("nas", |nas| nas.set_key(&name("back/s"), false));
    assert_eq!(differences(6), 1);
    assert!(memory.datasets[0].closed.is_some() && memory.datasets[0].differs());
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
        closed: None,
        drill: Some(Drill::Good),
    }
}

const TARGET: &str = "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n\
                      [[replication.target]]\nto = \"back/data\"\n";

#[test]
fn what_an_earlier_version_wrote_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"{"version":1,"datasets":[{"job":"data","to":"back/data","source":"tank/data","target":"back/data",
        "at":5,"snapshot":"1","share":[0,1],"compared":3,"differences":0,"first":[],"failed":null,"drill":"good"}]}"#;
    std::fs::write(folder.path().join(super::memory::FILE), text).expect("written");
    let read = Verified::read(folder.path()).expect("it is understood");
    let share = std::num::NonZeroU32::new(1).map(|of| (0, of));
    assert_eq!(read.datasets, [Checked { share, ..checked("tank/data", "data") }]);
    assert!(read.targets.is_empty() && read.last.is_none());
}

#[test]
fn what_was_found_is_remembered_for_the_jobs_that_there_are() {
    let config = config(TARGET);
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = Verified::read(folder.path()).expect("nothing");
    let put = |all: &mut Verified, one: Checked| {
        let (job, to) = (one.job.clone(), one.to.clone());
        let overview = Overview { job, to, at: one.at, ..Overview::default() };
        all.put(Looked { sources: vec![one.source.clone()], checked: vec![one], overview });
    };
    put(&mut all, checked("tank/data", "data"));
    put(&mut all, checked("tank/data", "gone"));
    let bad = Checked { differences: 2, at: 9, ..checked("tank/data", "data") };
    put(&mut all, bad.clone());
    assert_eq!((all.datasets.len(), all.targets.len()), (2, 2));
    all.forget(&config);
    all.last = Some(Ran { started: 1, ended: 9, failures: 1, summary: "x".to_string() });
    all.write(folder.path()).expect("written");
    let read = Verified::read(folder.path()).expect("read");
    assert_eq!(read.datasets, std::slice::from_ref(&bad));
    assert_eq!((read.targets.len(), read.targets[0].at), (1, 9));
    assert_eq!(read.last, all.last);
    assert!(bad.differs() && !bad.is_good() && checked("a", "b").is_good());
    let silenced = TARGET.replace("to =", "verify = false\nto =");
    all.forget(&super::tests::config(&silenced));
    assert_eq!((all.datasets.len(), all.targets.len()), (0, 0));
    std::fs::write(folder.path().join(super::memory::FILE), "{").expect("written");
    assert!(Verified::read(folder.path()).is_err());
}
