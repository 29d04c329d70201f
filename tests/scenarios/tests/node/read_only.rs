//! A pool imported read-only: looking works, every change is refused as such.

use zfs_core::Error;
use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;

use crate::expect::fails;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::tag;

#[test]
fn read_only_pool_is_listed_and_refuses_changes() {
    let pool = Pool::new();
    let (name, _, one) = pool.filled("a", 100_000);
    let mark = pool.mark("a#m");
    pool.zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");
    pool.zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
    pool.zfs.clone_snapshot(&one, &pool.dataset("clone"), &PropertySet::new()).expect("clone");
    let mut bytes = Vec::new();
    std::io::copy(&mut pool.zfs.send(&SendRequest::full(one.clone())).expect("send"), &mut bytes)
        .expect("read");
    pool.import_again(&["-o", "readonly=on", "-N"]);

    let zfs = &pool.zfs;
    assert_eq!(zfs.snapshots(&name).expect("list").filter(Result::is_ok).count(), 1);
    assert_eq!(zfs.bookmarks(&name).expect("list").len(), 1);
    assert_eq!(zfs.holds(&one).expect("list").len(), 1);

    let (none, new, two) = (PropertySet::new(), pool.dataset("new"), pool.snap("a@two"));
    let refused: Vec<(Operation, Result<(), Error>)> = vec![
        (Operation::Create, zfs.create_filesystem(&new, &none)),
        (Operation::Create, zfs.create_volume(&new, 8 << 20, &none)),
        (Operation::SetProperty, zfs.set_properties(&name, &PropertySet::new().text("org.x:y", "1"))),
        (Operation::InheritProperty, zfs.inherit_property(&name, "compression")),
        (Operation::Snapshot, zfs.snapshot(std::slice::from_ref(&two), &none)),
        (
            Operation::DestroySnapshots,
            zfs.destroy_snapshots(std::slice::from_ref(&one), WhenInUse::Keep).map(drop),
        ),
        (Operation::Rename, zfs.rename(&name, &new)),
        (Operation::Rename, zfs.rename_snapshot(&one, &two)),
        (Operation::Clone, zfs.clone_snapshot(&one, &new, &none)),
        (Operation::Promote, zfs.promote(&pool.dataset("clone"))),
        (Operation::Rollback, zfs.rollback(&one)),
        (Operation::Bookmark, zfs.bookmark(&[(pool.mark("a#n"), one.clone().into())])),
        (Operation::DestroyBookmarks, zfs.destroy_bookmarks(&[mark])),
        (Operation::Hold, zfs.hold(&[(one.clone(), tag("y"))])),
        (Operation::Release, zfs.release(&[(one.clone(), tag("x"))])),
        (Operation::Destroy, zfs.destroy(&pool.dataset("clone"))),
    ];
    for (operation, result) in refused {
        let error = fails(result, operation, ErrorKind::ReadOnly, "");
        assert!(error.hint().is_some_and(|hint| hint.contains("readonly")), "{error}");
    }

    let target = pool.snap("b@one");
    let mut receiver = zfs.receive(ReceiveRequest::new(target.clone()));
    let error = match std::io::copy(&mut bytes.as_slice(), &mut receiver) {
        Ok(_) => receiver.finish().expect_err("read-only"),
        Err(error) => inner(&error),
    };
    fails(Err::<(), _>(error), Operation::Receive, ErrorKind::ReadOnly, target.as_str());

    // A read-only pool can still be a source.
    let mut stream = zfs.send(&SendRequest::full(one)).expect("send");
    let mut again = Vec::new();
    std::io::copy(&mut stream, &mut again).expect("read");
    assert_eq!(again.len(), bytes.len());
}
