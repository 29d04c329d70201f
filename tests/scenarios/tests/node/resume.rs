//! Interrupted receives: their tokens, going on from them, and throwing away what they kept.

use std::io::Write;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::name::DatasetName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::token::ResumeToken;

use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::tree;
use crate::pool::write_noise;
use crate::receive::receive;
use crate::send::read;

fn token(pool: &Pool, name: &DatasetName) -> Option<ResumeToken> {
    let found = pool.zfs.dataset(name).expect("read");
    found.receive_resume_token().map(|text| text.parse().expect("the kernel's own token is understood"))
}

#[test]
fn interrupted_first_receive_goes_on_where_it_stood() {
    let (from, to) = (Pool::new(), Pool::new());
    let (_, folder, one) = from.filled("a", 8 << 20);
    let request = SendRequest::full(one.clone()).flags(SendFlags::COMPRESSED);
    let (bytes, _) = read(&from, &request);
    let target = to.dataset("b");
    let into = || ReceiveRequest::new(to.snap("b@one"));
    fails(receive(&to, into(), &bytes[..5 << 20]), Operation::Receive, ErrorKind::StreamTruncated, "b@one");
    let kept = to.zfs.dataset(&target).expect("kept");
    assert!(kept.inconsistent);
    let state = token(&to, &target).expect("a token");
    let guid = from.zfs.find_snapshot(&one).expect("look").expect("there").guid;
    assert_eq!((state.to_guid, state.from_guid, &state.to_name), (guid, None, &one));
    assert!(state.compressed && !state.raw && state.unknown.is_empty(), "{state:?}");
    assert!(state.bytes > 3 << 20, "{state:?}");

    // A fresh stream is refused as long as there is something to resume.
    let fresh = receive(&to, into(), &bytes).expect_err("in the way");
    assert!(matches!(fresh.kind(), ErrorKind::PartialReceiveExists | ErrorKind::Exists), "{fresh:?}");

    let rest = request.resume(&state);
    let estimate = to.zfs.estimate_send(&rest).expect("estimate of the rest");
    let (bytes, checker) = read(&from, &rest);
    assert!(checker.begin().expect("BEGIN").is_resuming());
    assert!(bytes.len() < 4 << 20, "only the rest is sent: {}", bytes.len());
    assert!(estimate < 6 << 20, "{estimate}");
    let done = receive(&to, into(), &bytes).expect("receive the rest");
    assert_eq!(done.guid, guid);
    assert!(token(&to, &target).is_none());
    assert_eq!(tree(&folder), tree(&to.mount(&target)));
}

#[test]
fn interrupted_incremental_goes_on_from_snapshot_and_bookmark() {
    let (from, to) = (Pool::new(), Pool::new());
    let (_, folder, one) = from.filled("a", 500_000);
    let (full, _) = read(&from, &SendRequest::full(one.clone()));
    receive(&to, ReceiveRequest::new(to.snap("b@one")), &full).expect("receive");
    write_noise(&folder.join("more"), 6 << 20, 3);
    let two = from.snapshot("a@two");
    let mark = from.mark("a#one");
    from.zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");
    let request = SendRequest::incremental(one, two.clone());
    let (increment, _) = read(&from, &request);
    let into = || ReceiveRequest::new(to.snap("b@two"));
    fails(
        receive(&to, into(), &increment[..4 << 20]),
        Operation::Receive,
        ErrorKind::StreamTruncated,
        "b@two",
    );

    let state = token(&to, &to.dataset("b")).expect("a token");
    assert!(state.from_guid.is_some());
    let partial = to.zfs.find_dataset(&to.dataset("b")).expect("look").expect("there");
    assert!(!partial.inconsistent, "the part is kept beside the dataset, which stays as it was");
    let (rest, _) = read(&from, &SendRequest::incremental(mark, two).resume(&state));
    assert!(rest.len() < 4 << 20, "{}", rest.len());
    receive(&to, into(), &rest).expect("receive the rest");
    assert_eq!(tree(&folder), tree(&to.mount(&to.dataset("b"))));
}

#[test]
fn dropped_receiver_keeps_what_arrived() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 4 << 20);
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap("b@one")));
    receiver.write_all(&bytes[..3 << 20]).expect("write");
    drop(receiver);
    assert!(token(&pool, &pool.dataset("b")).is_some_and(|state| state.bytes > 1 << 20));
}

#[test]
fn running_receive_is_in_the_way_of_another() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 4 << 20);
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    let into = || ReceiveRequest::new(pool.snap("b@one"));
    let mut first = pool.zfs.receive(into());
    // More than the pipe holds, so that the kernel has begun.
    first.write_all(&bytes[..2 << 20]).expect("write");
    let second = receive(&pool, into(), &bytes).expect_err("in the way");
    assert!(matches!(second.kind(), ErrorKind::PartialReceiveExists | ErrorKind::Exists), "{second:?}");
    first.write_all(&bytes[2 << 20..]).expect("write");
    first.finish().expect("the first is undisturbed");
}

#[test]
fn abort_throws_away_the_part_and_nothing_else() {
    let pool = Pool::new();
    let (_, folder, one) = pool.filled("a", 2 << 20);
    let (full, _) = read(&pool, &SendRequest::full(one.clone()));
    let target = pool.dataset("b");

    let _ = receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &full[..1 << 20]).expect_err("cut");
    assert!(pool.zfs.abort_receive(&target).expect("abort"));
    assert_eq!(pool.zfs.find_dataset(&target).expect("look"), None);
    assert!(!pool.zfs.abort_receive(&target).expect("nothing there"));

    receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &full).expect("receive");
    assert!(!pool.zfs.abort_receive(&target).expect("nothing to abort"));
    write_noise(&folder.join("more"), 3 << 20, 3);
    let two = pool.snapshot("a@two");
    let (increment, _) = read(&pool, &SendRequest::incremental(one, two));
    let into = || ReceiveRequest::new(pool.snap("b@two"));
    let _ = receive(&pool, into(), &increment[..2 << 20]).expect_err("cut");
    assert!(token(&pool, &target).is_some());
    assert_eq!(pool.zfs.children(&target).expect("list").count(), 0, "the part is not listed as a child");
    assert!(pool.zfs.abort_receive(&target).expect("abort"));
    assert!(token(&pool, &target).is_none());
    assert!(pool.zfs.find_snapshot(&pool.snap("b@one")).expect("look").is_some());
    receive(&pool, into(), &increment).expect("the whole stream fits again");
}

#[test]
fn token_and_stream_that_do_not_belong_together_are_refused() {
    let pool = Pool::new();
    let (_, folder, one) = pool.filled("a", 3 << 20);
    let request = SendRequest::full(one);
    let (bytes, _) = read(&pool, &request);
    let _ = receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &bytes[..2 << 20]).expect_err("cut");
    let state = token(&pool, &pool.dataset("b")).expect("a token");

    write_noise(&folder.join("more"), 3 << 20, 8);
    let two = pool.snapshot("a@two");
    let (other, _) = read(&pool, &SendRequest::full(two).resume(&state));
    let result = receive(&pool, ReceiveRequest::new(pool.snap("b@two")), &other);
    fails(result, Operation::Receive, ErrorKind::StreamMismatch, "b@two");
    assert_eq!(token(&pool, &pool.dataset("b")).map(|t| t.to_guid), Some(state.to_guid), "still resumable");
    let (rest, _) = read(&pool, &request.resume(&state));
    receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &rest).expect("the right one");
}

#[test]
fn token_survives_an_export_and_import() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 3 << 20);
    let request = SendRequest::full(one);
    let (bytes, _) = read(&pool, &request);
    let _ = receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &bytes[..2 << 20]).expect_err("cut");
    let before = token(&pool, &pool.dataset("b"));
    pool.import_again(&[]);
    assert_eq!(token(&pool, &pool.dataset("b")), before);
    let (rest, _) = read(&pool, &request.resume(&before.expect("a token")));
    receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &rest).expect("receive the rest");
}
