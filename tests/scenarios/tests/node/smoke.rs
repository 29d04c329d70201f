//! The main road in a few minutes: what every supported version must do. Run with `smoke` as the filter.

use std::fs;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::copy::stream_to_receiver;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::IncrementalSource;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;

use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::tag;
use crate::pool::tree;
use crate::pool::write_noise;
use crate::receive::receive;
use crate::send::read;

fn transfer(from: &Pool, to: &Pool, request: &SendRequest, target: &str) {
    let mut stream = from.zfs.send(request).expect("send");
    let mut receiver = to.zfs.receive(ReceiveRequest::new(to.snap(target)));
    stream_to_receiver(&mut stream, &mut receiver, |_| true).expect("transfer");
    let done = receiver.finish().expect("receive");
    assert_eq!(stream.finish().expect("send"), done.bytes);
    let guid = from.zfs.find_snapshot(request.snapshot()).expect("look").map(|s| s.guid);
    assert_eq!(Some(done.guid), guid);
}

#[test]
fn replication_from_first_to_resumed() {
    let (from, to) = (Pool::new(), Pool::new());
    println!("OpenZFS {}", from.zfs.version());
    let (_, folder, one) = from.filled("a b", 2 << 20);
    transfer(&from, &to, &SendRequest::full(one.clone()).flags(SendFlags::COMPRESSED), "copy@one");

    write_noise(&folder.join("more"), 4 << 20, 2);
    let two = from.snapshot("a b@two");
    let mark = from.mark("a b#one");
    from.zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");
    from.zfs.destroy_snapshots(&[one], WhenInUse::Keep).expect("destroy");
    let request = SendRequest::incremental(IncrementalSource::from(mark), two).flags(SendFlags::COMPRESSED);
    let (bytes, _) = read(&from, &request);
    let into = || ReceiveRequest::new(to.snap("copy@two"));
    fails(
        receive(&to, into(), &bytes[..3 << 20]),
        Operation::Receive,
        ErrorKind::StreamTruncated,
        "copy@two",
    );
    let target = to.dataset("copy");
    let token =
        to.zfs.dataset(&target).expect("read").receive_resume_token().map(str::to_owned).expect("a token");
    let (rest, _) = read(&from, &request.resume(&token.parse().expect("understood")));
    assert!(rest.len() < bytes.len() / 2);
    receive(&to, into(), &rest).expect("the rest");
    assert_eq!(tree(&folder), tree(&to.mount(&target)));
}

#[test]
fn raw_replication_of_an_encrypted_dataset() {
    let (from, to) = (Pool::new(), Pool::new());
    let (_, folder) = from.encrypted("secret");
    write_noise(&folder.join("file"), 1 << 20, 1);
    let one = from.snapshot("secret@one");
    transfer(&from, &to, &SendRequest::full(one.clone()).flags(SendFlags::RAW), "copy@one");
    write_noise(&folder.join("more"), 1 << 20, 2);
    let two = from.snapshot("secret@two");
    transfer(&from, &to, &SendRequest::incremental(one, two).flags(SendFlags::RAW), "copy@two");
    to.zfs_with_input(&["load-key", to.dataset("copy").as_str()], "a passphrase\n");
    assert_eq!(tree(&folder), tree(&to.mount(&to.dataset("copy"))));
}

#[test]
fn everything_else_once() {
    let pool = Pool::new();
    let (name, folder, one) = pool.filled("a", 100_000);
    pool.zfs.set_properties(&name, &PropertySet::new().text("compression", "gzip-3")).expect("set");
    let found = pool.zfs.dataset(&name).expect("read");
    assert_eq!(found.properties.get("compression").map(|p| p.text()).as_deref(), Some("gzip-3"));
    pool.zfs.inherit_property(&name, "compression").expect("inherit");

    let guard = pool.zfs.hold_for_now(&[(one.clone(), tag("x"))]).expect("hold");
    let kept = pool.zfs.destroy_snapshots(std::slice::from_ref(&one), WhenInUse::Keep).expect("per name");
    assert_eq!(kept.failed.iter().map(|f| f.kind).collect::<Vec<_>>(), [ErrorKind::Held]);
    drop(guard);

    fs::remove_file(folder.join("noise")).expect("remove");
    pool.zfs.rollback(&one).expect("roll back");
    assert!(folder.join("noise").exists());

    let clone = pool.dataset("clone");
    pool.zfs.clone_snapshot(&one, &clone, &PropertySet::new()).expect("clone");
    pool.zfs.promote(&clone).expect("promote");
    pool.zfs.rename(&clone, &pool.dataset("renamed")).expect("rename");
    let tree: Vec<_> = pool.zfs.tree(&pool.root()).expect("tree").map(|d| d.expect("entry").name).collect();
    assert_eq!(tree.len(), 3, "{tree:?}");
    assert_eq!(pool.zfs.snapshots(&pool.dataset("renamed")).expect("list").filter(Result::is_ok).count(), 1);
    fails(pool.zfs.destroy(&pool.dataset("renamed")), Operation::Destroy, ErrorKind::HasChildren, "renamed");
    assert_eq!(pool.zfs.find_dataset(&pool.dataset("missing")).expect("look"), None);
}
