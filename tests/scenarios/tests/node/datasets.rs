//! Creating, renaming and destroying filesystems and volumes.

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::name::DatasetName;

use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::is_mounted;

#[test]
fn filesystem_is_created_with_its_properties_and_not_mounted() {
    let pool = Pool::new();
    let name = pool.dataset("with space");
    let properties = PropertySet::new()
        .text("compression", "zstd-3")
        .number("quota", 64 << 20)
        .text("org.x:note", "ü \" '");
    pool.zfs.create_filesystem(&name, &properties).expect("create");
    let found = pool.zfs.dataset(&name).expect("read back");
    assert_eq!((found.kind, &found.name), (DatasetKind::Filesystem, &name));
    assert!(!is_mounted(&name));
    let value = |property: &str| found.properties.get(property).map(|p| p.text());
    assert_eq!(value("compression").as_deref(), Some("zstd-3"));
    assert_eq!(value("quota").as_deref(), Some("67108864"));
    assert_eq!(value("org.x:note").as_deref(), Some("ü \" '"));
    assert_eq!(pool.zfs_command(&["get", "-Hpo", "value", "compression", name.as_str()]).trim(), "zstd-3");
    assert_eq!(
        pool.zfs_command(&["get", "-Hpo", "value", "guid", name.as_str()]).trim(),
        found.guid.to_string()
    );
}

#[test]
fn volume_has_its_size_and_is_sparse() {
    let pool = Pool::new();
    let name = pool.dataset("volume");
    let properties = PropertySet::new().number("volblocksize", 8192);
    pool.zfs.create_volume(&name, 16 << 20, &properties).expect("create");
    let found = pool.zfs.dataset(&name).expect("read back");
    assert_eq!(found.kind, DatasetKind::Volume);
    assert_eq!(found.properties.number("volsize"), Some(16 << 20));
    assert_eq!(found.properties.number("volblocksize"), Some(8192));
    assert_eq!(pool.zfs_command(&["get", "-Hpo", "value", "refreservation", name.as_str()]).trim(), "0");
    pool.zfs.destroy(&name).expect("destroy");
    assert_eq!(pool.zfs.find_dataset(&name).expect("look"), None);
}

#[test]
fn creating_fails_by_name() {
    let pool = Pool::new();
    let there = pool.filesystem("there");
    let create = |name: &DatasetName| pool.zfs.create_filesystem(name, &PropertySet::new());
    fails(create(&there), Operation::Create, ErrorKind::Exists, there.as_str());
    let orphan = pool.dataset("no/parent");
    fails(create(&orphan), Operation::Create, ErrorKind::ParentNotFound, orphan.as_str());
    let nowhere: DatasetName = "no-such-pool-here/a".parse().expect("valid");
    fails(create(&nowhere), Operation::Create, ErrorKind::ParentNotFound, nowhere.as_str());

    let volume = pool.dataset("volume");
    pool.zfs.create_volume(&volume, 8 << 20, &PropertySet::new()).expect("create");
    let below = pool.dataset("volume/child");
    fails(create(&below), Operation::Create, ErrorKind::WrongType, below.as_str());
}

#[test]
fn creating_with_a_bad_property_names_the_kind() {
    let pool = Pool::new();
    let name = pool.dataset("bad");
    for properties in [
        PropertySet::new().number("recordsize", 1000),
        PropertySet::new().text("no-such-property", "1"),
        PropertySet::new().number("compression", 9999),
        PropertySet::new().number("volsize", 1 << 20),
    ] {
        let result = pool.zfs.create_filesystem(&name, &properties);
        fails(result, Operation::Create, ErrorKind::InvalidProperty, name.as_str());
    }
    // Not a multiple of the block size.
    let result = pool.zfs.create_volume(&name, 1000, &PropertySet::new());
    fails(result, Operation::Create, ErrorKind::InvalidProperty, name.as_str());
    assert_eq!(pool.zfs.find_dataset(&name).expect("look"), None);
}

#[test]
fn rename_takes_children_and_snapshots_along() {
    let pool = Pool::new();
    pool.filesystem("a");
    let child = pool.filesystem("a/child");
    let guid = pool.zfs.dataset(&child).expect("read").guid;
    pool.snapshot("a/child@s");
    pool.zfs.rename(&pool.dataset("a"), &pool.dataset("b b")).expect("rename");
    assert_eq!(pool.zfs.dataset(&pool.dataset("b b/child")).expect("read").guid, guid);
    assert!(pool.zfs.find_snapshot(&pool.snap("b b/child@s")).expect("look").is_some());
    assert_eq!(pool.zfs.find_dataset(&child).expect("look"), None);
}

#[test]
fn renaming_fails_by_name() {
    let pool = Pool::new();
    let (a, b, missing) = (pool.filesystem("a"), pool.filesystem("b"), pool.dataset("missing"));
    let rename = |from: &DatasetName, to: &DatasetName| pool.zfs.rename(from, to);
    fails(rename(&a, &b), Operation::Rename, ErrorKind::Exists, a.as_str());
    fails(rename(&missing, &pool.dataset("c")), Operation::Rename, ErrorKind::NotFound, missing.as_str());
    fails(rename(&a, &pool.dataset("x/y")), Operation::Rename, ErrorKind::ParentNotFound, a.as_str());
    fails(rename(&a, &pool.dataset("a/below")), Operation::Rename, ErrorKind::InvalidArgument, a.as_str());
    let other = Pool::new();
    fails(rename(&a, &other.dataset("a")), Operation::Rename, ErrorKind::CrossesPools, a.as_str());
}

#[test]
fn destroying_fails_by_name_and_destroys_nothing() {
    let pool = Pool::new();
    let missing = pool.dataset("missing");
    fails(pool.zfs.destroy(&missing), Operation::Destroy, ErrorKind::NotFound, missing.as_str());

    let parent = pool.filesystem("parent");
    pool.filesystem("parent/child");
    fails(pool.zfs.destroy(&parent), Operation::Destroy, ErrorKind::HasChildren, parent.as_str());
    assert!(pool.zfs.find_dataset(&pool.dataset("parent/child")).expect("look").is_some());

    let kept = pool.filesystem("kept");
    pool.snapshot("kept@s");
    fails(pool.zfs.destroy(&kept), Operation::Destroy, ErrorKind::HasChildren, kept.as_str());

    let (mounted, _) = pool.mounted("mounted");
    fails(pool.zfs.destroy(&mounted), Operation::Destroy, ErrorKind::Busy, mounted.as_str());
    pool.unmount(&mounted);
    pool.zfs.destroy(&mounted).expect("destroy once unmounted");
    assert_eq!(pool.zfs.find_dataset(&mounted).expect("look"), None);
}

#[test]
fn names_at_the_limits_are_what_the_kernel_takes() {
    let pool = Pool::new();
    let room = 255 - pool.root().as_str().len() - 1;
    let longest = pool.filesystem(&"x".repeat(room));
    assert_eq!(longest.as_str().len(), 255);
    assert!(pool.root().child(&"x".repeat(room + 1)).is_err(), "256 bytes");
    for name in ["a:b.c-d_e", "1", " x", "x ", "x y  z"] {
        // Whether ours or the kernel's grammar refuses, both must agree.
        match pool.root().child(name) {
            Ok(dataset) => pool.zfs.create_filesystem(&dataset, &PropertySet::new()).expect(name),
            Err(error) => panic!("{name:?}: {error}"),
        }
    }
    for name in [
        "a@b", "a#b", "a%b", "a$b", "a/../b", "a/./b", "a//b", "/a", "a/", "a\nb", "a;b", "`a`", "a'b", "ü",
        "",
    ] {
        assert!(format!("{}/{name}", pool.root()).parse::<DatasetName>().is_err(), "{name:?}");
    }
}
