//! Taking, destroying, renaming and going back to snapshots.

use std::fs;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::name::SnapshotName;
use zfs_core::snapshot::WhenInUse;

use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::tag;

#[test]
fn snapshots_of_one_call_share_a_transaction_group_and_the_properties() {
    let pool = Pool::new();
    let names: Vec<SnapshotName> = ["a", "b", "c"]
        .map(|below| {
            pool.filesystem(below);
            pool.snap(&format!("{below}@same moment"))
        })
        .into();
    pool.zfs.snapshot(&names, &PropertySet::new().text("org.x:why", "hourly")).expect("snapshot");
    let found: Vec<_> =
        names.iter().map(|name| pool.zfs.snapshot_details(name).expect("read back")).collect();
    assert!(found.iter().all(|one| one.snapshot.createtxg == found[0].snapshot.createtxg), "{found:?}");
    for one in &found {
        assert_eq!(one.properties.get("org.x:why").map(|p| p.text()).as_deref(), Some("hourly"));
    }
}

#[test]
fn one_refused_name_means_no_snapshot_at_all() {
    let pool = Pool::new();
    pool.filesystem("a");
    pool.filesystem("b");
    pool.snapshot("b@s");
    let names = [pool.snap("a@s"), pool.snap("b@s")];
    let error = fails(
        pool.zfs.snapshot(&names, &PropertySet::new()),
        Operation::Snapshot,
        ErrorKind::Exists,
        names[1].as_str(),
    );
    assert_eq!(error.failures().len(), 1, "{error}");
    assert_eq!(pool.zfs.find_snapshot(&names[0]).expect("look"), None);

    let names = [pool.snap("a@t"), pool.snap("missing@t")];
    fails(
        pool.zfs.snapshot(&names, &PropertySet::new()),
        Operation::Snapshot,
        ErrorKind::NotFound,
        "missing@t",
    );
    assert_eq!(pool.zfs.find_snapshot(&names[0]).expect("look"), None);
}

#[test]
fn snapshotting_refuses_what_cannot_be() {
    let (pool, other) = (Pool::new(), Pool::new());
    pool.filesystem("a");
    other.filesystem("a");
    let across = [pool.snap("a@s"), other.snap("a@s")];
    fails(
        pool.zfs.snapshot(&across, &PropertySet::new()),
        Operation::Snapshot,
        ErrorKind::CrossesPools,
        "@s",
    );
    let twice = [pool.snap("a@s"), pool.snap("a@t")];
    fails(pool.zfs.snapshot(&twice, &PropertySet::new()), Operation::Snapshot, ErrorKind::CrossesPools, "@");
    let native = PropertySet::new().text("compression", "lz4");
    let result = pool.zfs.snapshot(&[pool.snap("a@s")], &native);
    fails(result, Operation::Snapshot, ErrorKind::InvalidArgument, "a@s");
    assert_eq!(pool.zfs.snapshots(&pool.dataset("a")).expect("list").count(), 0);
    pool.zfs.snapshot(&[], &PropertySet::new()).expect("nothing to do");
}

#[test]
fn destroying_says_for_each_name_why_not_and_takes_the_rest() {
    let pool = Pool::new();
    pool.filesystem("a");
    let [free, held, cloned, other] =
        ["a@free", "a@held", "a@cloned", "a@other"].map(|name| pool.snapshot(name));
    let missing = pool.snap("a@missing");
    pool.zfs.hold(&[(held.clone(), tag("keep"))]).expect("hold");
    pool.zfs.clone_snapshot(&cloned, &pool.dataset("clone"), &PropertySet::new()).expect("clone");

    let all = [free.clone(), held.clone(), missing.clone(), cloned.clone(), other.clone()];
    let outcome = pool.zfs.destroy_snapshots(&all, WhenInUse::Keep).expect("per name");
    assert_eq!(outcome.destroyed, [free, missing, other]);
    let mut failed: Vec<_> = outcome.failed.iter().map(|f| (f.name.as_str(), f.kind)).collect();
    failed.sort_by_key(|f| f.0.to_owned());
    assert_eq!(failed, [(cloned.as_str(), ErrorKind::HasClones), (held.as_str(), ErrorKind::Held)]);
    let left: Vec<_> =
        pool.zfs.snapshots(&pool.dataset("a")).expect("list").map(|s| s.expect("entry").name).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    // Deferred, both are marked, and go with what keeps them.
    let outcome =
        pool.zfs.destroy_snapshots(&[held.clone(), cloned.clone()], WhenInUse::Defer).expect("defer");
    assert_eq!(outcome.destroyed.len(), 2);
    let marked = pool.zfs.snapshot_details(&held).expect("still there");
    assert_eq!(marked.properties.get("defer_destroy").map(|p| p.text()).as_deref(), Some("on"));
    pool.zfs.release(&[(held.clone(), tag("keep"))]).expect("release");
    assert_eq!(pool.zfs.find_snapshot(&held).expect("look"), None);
    pool.zfs.destroy(&pool.dataset("clone")).expect("destroy the clone");
    assert_eq!(pool.zfs.find_snapshot(&cloned).expect("look"), None);
}

#[test]
fn destroying_in_two_pools_at_once_is_refused() {
    let (pool, other) = (Pool::new(), Pool::new());
    pool.filesystem("a");
    other.filesystem("a");
    let names = [pool.snapshot("a@s"), other.snapshot("a@s")];
    let result = pool.zfs.destroy_snapshots(&names, WhenInUse::Keep);
    fails(result, Operation::DestroySnapshots, ErrorKind::CrossesPools, "@s");
    for name in &names {
        assert!(pool.zfs.find_snapshot(name).expect("look").is_some());
    }
}

#[test]
fn rollback_goes_to_the_newest_snapshot_only() {
    let pool = Pool::new();
    let (name, folder, one) = pool.filled("a", 10_000);
    fs::write(folder.join("text with spaces"), "changed").expect("write");
    pool.zfs.rollback(&one).expect("roll back a mounted filesystem");
    assert_eq!(fs::read_to_string(folder.join("text with spaces")).expect("read").len(), 600);

    let two = pool.snapshot("a@two");
    fails(pool.zfs.rollback(&one), Operation::Rollback, ErrorKind::NotNewest, one.as_str());
    assert!(pool.zfs.find_snapshot(&two).expect("look").is_some());
    pool.zfs.rollback(&two).expect("the newest");

    let (missing, nowhere) = (pool.snap("a@missing"), pool.snap("missing@s"));
    fails(pool.zfs.rollback(&missing), Operation::Rollback, ErrorKind::NotFound, missing.as_str());
    fails(pool.zfs.rollback(&nowhere), Operation::Rollback, ErrorKind::NotFound, nowhere.as_str());

    // A bookmark of a destroyed newer snapshot is in the way as well.
    pool.zfs.bookmark(&[(pool.mark("a#two"), two.clone().into())]).expect("bookmark");
    pool.zfs.destroy_snapshots(std::slice::from_ref(&two), WhenInUse::Keep).expect("destroy");
    fails(pool.zfs.rollback(&one), Operation::Rollback, ErrorKind::NotNewest, one.as_str());
    assert_eq!(pool.zfs.bookmarks(&name).expect("list").len(), 1);
}

#[test]
fn snapshot_is_renamed_within_its_dataset() {
    let pool = Pool::new();
    pool.filesystem("a");
    pool.filesystem("b");
    let (old, new) = (pool.snapshot("a@old"), pool.snap("a@new name"));
    let guid = pool.zfs.find_snapshot(&old).expect("look").expect("there").guid;
    pool.zfs.rename_snapshot(&old, &new).expect("rename");
    assert_eq!(pool.zfs.find_snapshot(&new).expect("look").map(|s| s.guid), Some(guid));
    fails(pool.zfs.rename_snapshot(&old, &new), Operation::Rename, ErrorKind::NotFound, old.as_str());
    let taken = pool.snapshot("a@taken");
    fails(pool.zfs.rename_snapshot(&new, &taken), Operation::Rename, ErrorKind::Exists, new.as_str());
    let elsewhere = pool.snap("b@new");
    fails(
        pool.zfs.rename_snapshot(&new, &elsewhere),
        Operation::Rename,
        ErrorKind::InvalidArgument,
        new.as_str(),
    );
}

#[test]
fn range_space_is_what_zfs_says_a_destroy_would_free() {
    let pool = Pool::new();
    let (_, folder, one) = pool.filled("a", 1 << 20);
    fs::remove_file(folder.join("noise")).expect("remove");
    let two = pool.snapshot("a@two");
    pool.snapshot("a@three");
    pool.zpool(&["sync", pool.root().as_str()]);
    let said = pool.zfs_command(&["destroy", "-nvp", &format!("{one}%two")]);
    let expected: u64 = said
        .lines()
        .find_map(|line| line.strip_prefix("reclaim\t"))
        .expect("reclaim")
        .parse()
        .expect("number");
    assert_eq!(pool.zfs.snapshot_range_space(&one, &two).expect("space"), expected);
    assert!(expected >= 1 << 20, "{expected}");
    let missing = pool.snap("a@missing");
    fails(
        pool.zfs.snapshot_range_space(&one, &missing),
        Operation::Inspect,
        ErrorKind::NotFound,
        missing.as_str(),
    );
}
