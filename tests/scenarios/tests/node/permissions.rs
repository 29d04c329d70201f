//! What a user without rights may do, and what it is told.

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;

use crate::changes;
use crate::child::unprivileged;
use crate::expect::fails;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::tag;

#[test]
fn looking_needs_no_rights() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let one = pool.snapshot("a@one");
    pool.zfs.bookmark(&[(pool.mark("a#m"), one.clone().into())]).expect("bookmark");
    pool.zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
    unprivileged(|| {
        let zfs = zfs_core::Zfs::open().expect("open without rights");
        assert!(zfs.pools().expect("pools").contains(&pool.root()));
        assert_eq!(zfs.tree(&pool.root()).expect("tree").filter(Result::is_ok).count(), 2);
        assert_eq!(zfs.snapshots(&name).expect("snapshots").filter(Result::is_ok).count(), 1);
        assert_eq!(zfs.bookmarks(&name).expect("bookmarks").len(), 1);
        assert_eq!(zfs.holds(&one).expect("holds").len(), 1);
        assert!(zfs.snapshot_details(&one).expect("details").properties.number("creation").is_some());
    });
}

#[test]
fn everything_else_is_denied_and_says_so() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let mark = pool.mark("a#m");
    pool.zfs.clone_snapshot(&one, &pool.dataset("clone"), &PropertySet::new()).expect("clone");
    let zfs = &pool.zfs;
    let denied = unprivileged(|| changes::tried(&pool, &name, &one));
    for (operation, result) in denied {
        let error = fails(result, operation, ErrorKind::PermissionDenied, "");
        assert!(error.hint().is_some_and(|hint| hint.contains("zfs allow")), "{error}");
    }
    // Nothing happened.
    assert!(zfs.find_snapshot(&one).expect("look").is_some());
    assert_eq!(zfs.find_dataset(&pool.dataset("new")).expect("look"), None);
    assert!(zfs.holds(&one).expect("list").is_empty());

    // With something to destroy or release.
    zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");
    zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
    let (marks, held) = unprivileged(|| {
        (zfs.destroy_bookmarks(std::slice::from_ref(&mark)), zfs.release(&[(one.clone(), tag("x"))]))
    });
    fails(marks, Operation::DestroyBookmarks, ErrorKind::PermissionDenied, mark.as_str());
    fails(held, Operation::Release, ErrorKind::PermissionDenied, one.as_str());
}

#[test]
fn sending_and_receiving_are_denied_and_say_so() {
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let sent = unprivileged(|| {
        let mut stream = pool.zfs.send(&SendRequest::full(one.clone())).expect("a pipe and a thread");
        std::io::copy(&mut stream, &mut std::io::sink()).expect_err("denied")
    });
    fails(Err::<(), _>(inner(&sent)), Operation::Send, ErrorKind::PermissionDenied, one.as_str());

    let mut bytes = Vec::new();
    let mut stream = pool.zfs.send(&SendRequest::full(one)).expect("send");
    std::io::copy(&mut stream, &mut bytes).expect("read");
    let target = pool.snap("b@one");
    let received = unprivileged(|| {
        let mut receiver = pool.zfs.receive(ReceiveRequest::new(target.clone()));
        // A short stream fits into the pipe: then only `finish` tells.
        match std::io::copy(&mut bytes.as_slice(), &mut receiver) {
            Ok(_) => receiver.finish().expect_err("denied"),
            Err(error) => inner(&error),
        }
    });
    fails(Err::<(), _>(received), Operation::Receive, ErrorKind::PermissionDenied, target.as_str());
    assert_eq!(pool.zfs.find_dataset(target.dataset()).expect("look"), None);
}

#[test]
fn delegated_rights_suffice() {
    let pool = Pool::new();
    let name = pool.filesystem("a");
    pool.zfs_command(&[
        "allow",
        "nobody",
        "snapshot,send,hold,release,bookmark,destroy,mount",
        name.as_str(),
    ]);
    let one = pool.snap("a@one");
    unprivileged(|| {
        let zfs = &pool.zfs;
        zfs.snapshot(std::slice::from_ref(&one), &PropertySet::new()).expect("snapshot");
        zfs.bookmark(&[(pool.mark("a#m"), one.clone().into())]).expect("bookmark");
        zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
        zfs.release(&[(one.clone(), tag("x"))]).expect("release");
        let mut stream = zfs.send(&SendRequest::full(one.clone())).expect("send");
        std::io::copy(&mut stream, &mut std::io::sink()).expect("read");
        assert!(stream.finish().expect("whole") > 312);
        let gone = zfs.destroy_snapshots(std::slice::from_ref(&one), WhenInUse::Keep).expect("destroy");
        assert_eq!(gone.destroyed.len(), 1);
    });
}
