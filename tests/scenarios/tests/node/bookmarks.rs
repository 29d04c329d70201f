//! Bookmarks: made of snapshots and of bookmarks, listed, destroyed.

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::snapshot::WhenInUse;

use crate::expect::fails;
use crate::pool::Pool;

#[test]
fn bookmark_remembers_its_snapshot_after_it_is_gone() {
    let pool = Pool::new();
    let name = pool.filesystem("a b");
    let snapshot = pool.snapshot("a b@s");
    let details = pool.zfs.snapshot_details(&snapshot).expect("read");
    let (mark, copy) = (pool.mark("a b#mark"), pool.mark("a b#copy of it"));
    pool.zfs.bookmark(&[(mark.clone(), snapshot.clone().into())]).expect("of a snapshot");
    pool.zfs.destroy_snapshots(&[snapshot], WhenInUse::Keep).expect("destroy");
    pool.zfs.bookmark(&[(copy.clone(), mark.clone().into())]).expect("of a bookmark");
    let mut found = pool.zfs.bookmarks(&name).expect("list");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!([&found[0].name, &found[1].name], [&copy, &mark]);
    for one in &found {
        assert_eq!((one.guid, one.createtxg), (details.snapshot.guid, details.snapshot.createtxg));
        assert_eq!(Some(one.creation), details.properties.number("creation"));
        assert_eq!(one.ivset_guid, None);
    }
}

#[test]
fn list_equals_what_the_command_prints() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    for at in 0..20 {
        let snapshot = pool.snapshot(&format!("a@{at}"));
        pool.zfs.bookmark(&[(pool.mark(&format!("a#m{at}")), snapshot.into())]).expect("bookmark");
    }
    let printed =
        pool.zfs_command(&["list", "-Hpt", "bookmark", "-o", "name,guid,createtxg,creation", name.as_str()]);
    let mut expected: Vec<&str> = printed.lines().collect();
    let found = pool.zfs.bookmarks(&name).expect("list");
    let mut found: Vec<String> =
        found.iter().map(|b| format!("{}\t{}\t{}\t{}", b.name, b.guid, b.createtxg, b.creation)).collect();
    expected.sort_unstable();
    found.sort();
    assert_eq!(found.len(), 20);
    assert_eq!(found, expected);
}

#[test]
fn bookmark_of_an_encrypted_snapshot_knows_its_ivset() {
    let pool = Pool::new();
    let (name, _) = pool.encrypted("secret");
    let snapshot = pool.snapshot("secret@s");
    pool.zfs.bookmark(&[(pool.mark("secret#m"), snapshot.into())]).expect("bookmark");
    let found = pool.zfs.bookmarks(&name).expect("list");
    let printed = pool.zfs_command(&["get", "-Hpo", "value", "ivsetguid", &format!("{name}#m")]);
    assert_eq!(found[0].ivset_guid.map(|guid| guid.to_string()).as_deref(), Some(printed.trim()));
}

#[test]
fn bookmarking_refuses_by_name_and_makes_none() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    pool.filesystem("b");
    let (one, of_b) = (pool.snapshot("a@one"), pool.snapshot("b@one"));
    let (mark, new) = (pool.mark("a#mark"), pool.mark("a#new"));
    pool.zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");

    let both = [(new.clone(), one.clone().into()), (mark.clone(), pool.snapshot("a@two").into())];
    fails(pool.zfs.bookmark(&both), Operation::Bookmark, ErrorKind::Exists, mark.as_str());
    let missing = pool.snap("a@missing");
    fails(
        pool.zfs.bookmark(&[(new.clone(), missing.into())]),
        Operation::Bookmark,
        ErrorKind::NotFound,
        new.as_str(),
    );
    let gone = pool.mark("a#gone");
    fails(
        pool.zfs.bookmark(&[(new.clone(), gone.into())]),
        Operation::Bookmark,
        ErrorKind::NotFound,
        new.as_str(),
    );
    let foreign = [(new.clone(), of_b.into())];
    fails(pool.zfs.bookmark(&foreign), Operation::Bookmark, ErrorKind::NotAnAncestor, new.as_str());
    assert_eq!(pool.zfs.bookmarks(&name).expect("list").len(), 1);

    let nowhere = pool.dataset("missing");
    fails(pool.zfs.bookmarks(&nowhere), Operation::ListBookmarks, ErrorKind::NotFound, nowhere.as_str());
}

#[test]
fn destroying_bookmarks_is_idempotent() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let marks = [pool.mark("a#x"), pool.mark("a#y"), pool.mark("a#never was")];
    pool.zfs
        .bookmark(&[(marks[0].clone(), one.clone().into()), (marks[1].clone(), one.into())])
        .expect("bookmark");
    pool.zfs.destroy_bookmarks(&marks).expect("destroy");
    assert!(pool.zfs.bookmarks(&name).expect("list").is_empty());
    pool.zfs.destroy_bookmarks(&marks).expect("again");
    pool.zfs.destroy_bookmarks(&[]).expect("nothing to do");
}
