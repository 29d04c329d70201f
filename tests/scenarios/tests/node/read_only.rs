//! A pool imported read-only: looking works, every change is refused as such.

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;

use crate::changes;
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

    let mut refused = changes::tried(&pool, &name, &one);
    refused.push((Operation::DestroyBookmarks, zfs.destroy_bookmarks(&[mark])));
    refused.push((Operation::Release, zfs.release(&[(one.clone(), tag("x"))])));
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
