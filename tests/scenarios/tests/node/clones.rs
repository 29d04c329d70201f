//! Clones and their promotion.

use std::collections::BTreeSet;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::bookmark::BookmarkSource;
use zfs_core::name::DatasetName;

use crate::expect::fails;
use crate::pool::Pool;

#[test]
fn clone_and_promotion_swap_roles() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let (one, two) = (pool.snapshot("a@one"), pool.snapshot("a@two"));
    let clone = pool.dataset("c c");
    pool.zfs.clone_snapshot(&one, &clone, &PropertySet::new().text("org.x:y", "z")).expect("clone");
    let found = pool.zfs.dataset(&clone).expect("read");
    assert_eq!(found.origin.as_ref(), Some(&one));
    assert_eq!(found.properties.get("org.x:y").map(|p| p.text()).as_deref(), Some("z"));
    assert_eq!(pool.zfs.find_snapshot(&one).expect("look").map(|s| s.clones), Some(1));

    pool.zfs.promote(&clone).expect("promote");
    assert_eq!(pool.zfs.dataset(&clone).expect("read").origin, None);
    assert_eq!(pool.zfs.dataset(&name).expect("read").origin, Some(pool.snap("c c@one")));
    assert!(pool.zfs.find_snapshot(&two).expect("look").is_some(), "newer snapshots stay where they are");
}

#[test]
fn cloning_fails_by_name() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let (one, missing) = (pool.snapshot("a@one"), pool.snap("a@missing"));
    let to = |origin, name: &DatasetName| pool.zfs.clone_snapshot(origin, name, &PropertySet::new());
    let new = pool.dataset("new");
    fails(to(&missing, &new), Operation::Clone, ErrorKind::NotFound, missing.as_str());
    fails(to(&one, &name), Operation::Clone, ErrorKind::Exists, name.as_str());
    let orphan = pool.dataset("no/parent");
    fails(to(&one, &orphan), Operation::Clone, ErrorKind::ParentNotFound, orphan.as_str());
    let other = Pool::new();
    fails(to(&one, &other.dataset("x")), Operation::Clone, ErrorKind::CrossesPools, "x");
    let bad = pool.zfs.clone_snapshot(&one, &new, &PropertySet::new().number("recordsize", 1000));
    fails(bad, Operation::Clone, ErrorKind::InvalidProperty, new.as_str());
    assert_eq!(pool.zfs.find_dataset(&new).expect("look"), None);
}

#[test]
fn promotion_names_the_snapshot_in_the_way() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    fails(pool.zfs.promote(&name), Operation::Promote, ErrorKind::WrongType, name.as_str());
    let missing = pool.dataset("missing");
    fails(pool.zfs.promote(&missing), Operation::Promote, ErrorKind::NotFound, missing.as_str());

    let one = pool.snapshot("a@one");
    let clone = pool.dataset("clone");
    pool.zfs.clone_snapshot(&one, &clone, &PropertySet::new()).expect("clone");
    pool.snapshot("clone@one");
    let error = fails(pool.zfs.promote(&clone), Operation::Promote, ErrorKind::Exists, clone.as_str());
    assert!(error.to_string().contains("\"one\""), "{error}");
}

/// A kernel that is asked for this stops. What comes after would not run.
#[test]
fn promotion_names_the_bookmark_in_the_way() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let keep = |name: &str, snapshot| {
        pool.zfs.bookmark(&[(pool.mark(name), BookmarkSource::from(snapshot))]).expect("bookmark");
    };
    keep("a#old", pool.snapshot("a@one"));
    let origin = pool.snapshot("a@two");
    keep("a#at", origin.clone());
    let clone = pool.dataset("clone");
    pool.zfs.clone_snapshot(&origin, &clone, &PropertySet::new()).expect("clone");
    keep("a#new", pool.snapshot("a@three"));
    let own = pool.snapshot("clone@own");
    // Older than the origin, and the origin itself.
    for short in ["old", "at"] {
        keep(&format!("clone#{short}"), own.clone());
        let error = fails(pool.zfs.promote(&clone), Operation::Promote, ErrorKind::Exists, clone.as_str());
        assert!(error.to_string().contains(&format!("{name} have a bookmark named \"{short}\"")), "{error}");
        pool.zfs.destroy_bookmarks(&[pool.mark(&format!("clone#{short}"))]).expect("destroy");
    }
    // What stays with the dataset is in nobody's way.
    keep("clone#new", own);
    pool.zfs.promote(&clone).expect("promote");
    let shorts = |name: &DatasetName| {
        let all = pool.zfs.bookmarks(name).expect("list");
        all.iter().map(|one| one.name.short().to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(shorts(&clone), ["at", "new", "old"].map(String::from).into());
    assert_eq!(shorts(&name), ["new".to_string()].into());
}
