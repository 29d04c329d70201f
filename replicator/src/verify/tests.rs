//! Drills on the ZFS in memory: what each leaves, also where it breaks off; and what is remembered.

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::drill::drill;
use super::memory::Checked;
use super::memory::Drill;
use super::memory::Verified;
use crate::config::Config;
use crate::config::place::Source;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Snapshot;
use crate::model::Fault;
use crate::model::Moment;
use crate::model::World;

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
    let text = "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n[[replication.target]]\nto = \"back/data\"\n";
    let (config, problems) =
        Config::parse(&[Source::new(std::path::Path::new("/etc/x.toml"), text.to_string())]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = Verified::read(folder.path()).expect("nothing");
    all.put(vec![checked("tank/data", "data"), checked("tank/data", "gone")], &config);
    let bad = Checked { differences: 2, at: 9, ..checked("tank/data", "data") };
    all.put(vec![bad.clone()], &config);
    all.write(folder.path()).expect("written");
    let read = Verified::read(folder.path()).expect("read");
    assert_eq!(read.datasets, [bad.clone()]);
    assert!(bad.differs() && !bad.is_good() && checked("a", "b").is_good());
    std::fs::write(folder.path().join(super::memory::FILE), "{").expect("written");
    assert!(Verified::read(folder.path()).is_err());
}
