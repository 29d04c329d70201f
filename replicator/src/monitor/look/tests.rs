//! On the ZFS in memory, where the date of a snapshot follows from its GUID, so that it is the same on both sides.

use zfs_core::DatasetKind;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Place;
use crate::host::Snapshot;
use crate::model::World;
use crate::plan::Step;
use crate::transfer::Moved;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn options() -> Options {
    Options { recursive: true, ..Options::default() }
}

fn snapshot(world: &World, short: &str) {
    world.on("here", |here| {
        for dataset in ["tank/a", "tank/a/x"] {
            here.write(&name(dataset), 1, 7);
            let snapshot: SnapshotName = format!("{dataset}@{short}").parse().expect("a name");
            here.snapshot(&[snapshot]).expect("snapshot");
        }
    });
}

/// Two datasets with a snapshot, one without any, and an empty pool on the other machine.
fn world() -> World {
    let world = World::new(11, &["here", "there"]);
    world.on("here", |here| {
        here.create_pool("tank");
        for dataset in ["tank/a", "tank/a/x", "tank/a/empty"] {
            here.create(&name(dataset), DatasetKind::Filesystem, &[]).expect("create");
        }
    });
    world.on("there", |there| there.create_pool("backup"));
    snapshot(&world, "1");
    world
}

struct Quiet;

impl Observer for Quiet {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &engine::RunError, _: std::time::Duration) {}
    fn note(&self, _: &str) {}
}

fn replicate(world: &World) {
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let request = engine::Request {
        source: name("tank/a"),
        target: name("backup/a"),
        options: options(),
        estimate: false,
        ignore_space: true,
        now: 0,
    };
    let plan = engine::prepare(&mut source, &mut target, &request).expect("a plan");
    let run = engine::Run::default();
    let report = engine::execute(&plan, &options(), &mut source, &mut target, &run, &Quiet, &Cancel::new());
    let report = report.expect("a report");
    let failed: Vec<_> = report.failures().map(|(dataset, _)| dataset.source.as_str()).collect();
    assert_eq!(failed, ["tank/a/empty"], "there is nothing to send of it, and all else is sent");
}

fn look(world: &World) -> Vec<Replicated> {
    let (mut here, mut there) = (world.host("here"), world.host("there"));
    let tree = source(&mut here, &name("tank/a"), &options()).expect("the source");
    match both((&mut here, &tree), (&mut there, &name("backup/a")), &options(), 0).expect("both") {
        Look::Both(datasets) => datasets,
        other => panic!("{other:?}"),
    }
}

/// The date of a snapshot of the source.
fn date(world: &World, snapshot: &str) -> Option<i64> {
    let mut host = world.host("here");
    let tree = source(&mut host, &name("tank/a"), &options()).expect("the source");
    let find = |one: &&Snapshot| one.name.as_str() == snapshot;
    let found = tree.datasets().iter().flat_map(|one| &one.snapshots).find(find).expect("there");
    let base = Base::Snapshot(found.name.clone(), found.guid);
    host.creation(&[base]).expect("dates")[0]
}

#[test]
fn both_sides_tell_the_newest_common_snapshot_of_each_dataset() {
    let world = world();
    let before = look(&world);
    let names: Vec<_> = before.iter().map(|one| (one.source.as_str(), one.target.as_str())).collect();
    assert_eq!(names, [("tank/a", "backup/a"), ("tank/a/x", "backup/a/x")]);
    assert!(before.iter().all(|one| one.common.is_none() && one.behind == Some(true)), "{before:?}");

    replicate(&world);
    let first = look(&world);
    assert_eq!(first[0].common, date(&world, "tank/a@1"));
    assert!(first.iter().all(|one| one.common.is_some() && one.behind == Some(false)), "{first:?}");

    snapshot(&world, "2");
    let late = look(&world);
    assert!(late.iter().all(|one| one.behind == Some(true)), "{late:?}");
    assert_eq!(late[1].common, first[1].common);
    replicate(&world);
    assert_eq!(look(&world)[1].common, date(&world, "tank/a/x@2"));
}

#[test]
fn a_target_that_went_its_own_way_is_told() {
    let world = world();
    replicate(&world);
    world.on("there", |there| {
        let theirs = "backup/a@theirs".parse().expect("a name");
        there.snapshot(&[theirs]).expect("snapshot");
    });
    snapshot(&world, "2");
    let found = look(&world);
    assert!(found[0].conflict.is_some() && found[1].conflict.is_none(), "{found:?}");
    assert_eq!(found[0].behind, None);
    assert_eq!(found[0].common, date(&world, "tank/a@1"));
}

#[test]
fn without_the_target_the_bookmarks_that_are_left_over_tell() {
    let world = world();
    replicate(&world);
    let mut here = world.host("here");
    let tree = source(&mut here, &name("tank/a"), &options()).expect("the source");
    let mut away = |seen: Option<&TargetMemory>| {
        let found = bookmarks(&mut here, &tree, &name("backup/a"), seen, "it is away".to_string());
        match found.expect("the source") {
            Look::Bookmarks { why, datasets } if why == "it is away" => datasets,
            other => panic!("{other:?}"),
        }
    };
    let pool = world.on("there", |there| there.pool_guid("backup"));
    let mut seen = TargetMemory {
        job: "job".to_string(),
        to: "there:backup/a".to_string(),
        partial: false,
        pool: Some(pool.0),
        seen: 0,
        datasets: Vec::new(),
    };
    let found = away(Some(&seen));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].common, found[0].target.as_str()), (date(&world, "tank/a@1"), "backup/a"));
    assert_eq!((found[1].common, found[1].target.as_str()), (date(&world, "tank/a/x@1"), "backup/a/x"));
    // Without the pool nobody knows for whom the bookmarks are.
    assert!(away(None).iter().all(|one| one.common.is_none()));
    seen.pool = Some(pool.0 + 1);
    assert!(away(Some(&seen)).iter().all(|one| one.common.is_none()));
    // What was seen in common counts without bookmarks as well.
    let root = tree.root();
    seen.datasets = vec![BaseMemory {
        source: "tank/a".to_string(),
        target: "backup/a".to_string(),
        base: Some(root.snapshots[0].guid.0),
    }];
    assert_eq!(away(Some(&seen))[0].common, date(&world, "tank/a@1"));
}

#[test]
fn a_source_that_is_gone_is_an_error() {
    let world = world();
    let error = source(&mut world.host("here"), &name("tank/no"), &options()).expect_err("gone");
    assert!(matches!(error, LookError::NoSource { .. }), "{error}");
}
