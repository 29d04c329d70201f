//! Sending: every kind of stream, what its BEGIN says, its estimate, and what is refused.

use std::io::Read;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::send::IncrementalSource;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;
use zfs_core::stream::Features;
use zfs_core::stream::Policy;
use zfs_core::stream::StreamChecker;

use crate::expect::fails;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::write_noise;

/// The whole stream, checked on its way.
pub(crate) fn read(pool: &Pool, request: &SendRequest) -> (Vec<u8>, StreamChecker) {
    let mut bytes = Vec::new();
    let mut stream = pool.zfs.send(request).expect("send");
    stream.read_to_end(&mut bytes).expect("read");
    assert_eq!(stream.bytes_read(), bytes.len() as u64);
    assert_eq!(stream.finish().expect("whole"), bytes.len() as u64);
    let mut checker = StreamChecker::new(Policy::default());
    checker.push(&bytes).expect("a stream");
    checker.finish().expect("whole, with its checksums");
    (bytes, checker)
}

/// The error of a send that fails before its first byte.
fn refused(pool: &Pool, request: &SendRequest) -> zfs_core::Error {
    let mut stream = pool.zfs.send(request).expect("a pipe and a thread");
    let error = inner(&stream.read(&mut [0; 512]).expect_err("refused"));
    let again = stream.finish().expect_err("still refused");
    assert_eq!(again.kind(), error.kind());
    error
}

fn has(checker: &StreamChecker, feature: u32) -> bool {
    let Features(bits) = checker.begin().expect("BEGIN was seen").features;
    bits & u64::from(feature) != 0
}

#[test]
fn full_stream_names_its_snapshot() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a b", 3 << 20);
    let guid = pool.zfs.find_snapshot(&one).expect("look").expect("there").guid;
    let (bytes, checker) = read(&pool, &SendRequest::full(one.clone()));
    let begin = checker.begin().expect("BEGIN");
    assert_eq!(
        (begin.to_guid, begin.from_guid, begin.is_compound(), begin.is_raw()),
        (guid, None, false, false)
    );
    assert_eq!(begin.to_name, one.as_str().as_bytes());
    assert!(bytes.len() > 3 << 20);

    let estimate = pool.zfs.estimate_send(&SendRequest::full(one)).expect("estimate");
    let ratio = estimate as f64 / bytes.len() as f64;
    assert!((0.8..1.2).contains(&ratio), "estimated {estimate}, sent {}", bytes.len());
}

#[test]
fn stream_is_the_one_the_command_sends() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 1 << 20);
    let (bytes, _) = read(&pool, &SendRequest::full(one.clone()));
    let file = std::env::temp_dir().join(format!("sent-{}", std::process::id()));
    let command = format!("zfs send '{one}' > '{}'", file.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().expect("sh").success());
    let theirs = std::fs::read(&file).expect("read");
    std::fs::remove_file(&file).expect("remove");
    assert!(bytes == theirs, "{} and {} bytes", bytes.len(), theirs.len());
}

#[test]
fn incremental_starts_at_a_snapshot_or_at_its_bookmark() {
    let pool = Pool::new();
    let (_, folder, one) = pool.filled("a", 2 << 20);
    write_noise(&folder.join("more"), 300_000, 2);
    let two = pool.snapshot("a@two");
    let guid = |name| pool.zfs.find_snapshot(name).expect("look").expect("there").guid;
    let (from, to) = (guid(&one), guid(&two));
    let mark = pool.mark("a#one");
    pool.zfs.bookmark(&[(mark.clone(), one.clone().into())]).expect("bookmark");

    let (by_snapshot, checker) = read(&pool, &SendRequest::incremental(one.clone(), two.clone()));
    let begin = checker.begin().expect("BEGIN");
    assert_eq!((begin.to_guid, begin.from_guid), (to, Some(from)));
    assert!((300_000..1 << 20).contains(&by_snapshot.len()), "{}", by_snapshot.len());

    pool.zfs.destroy_snapshots(&[one], WhenInUse::Keep).expect("destroy");
    let request = SendRequest::incremental(mark, two);
    let (by_bookmark, checker) = read(&pool, &request);
    assert_eq!(checker.begin().expect("BEGIN").from_guid, Some(from));
    assert!(by_bookmark.len() >= 300_000);
    assert!(pool.zfs.estimate_send(&request).expect("estimate") >= 250_000);
}

#[test]
fn flags_shape_the_stream() {
    let pool = Pool::new();
    let name = pool.dataset("a");
    let properties = PropertySet::new().number("recordsize", 1 << 20).text("compression", "lz4");
    pool.zfs.create_filesystem(&name, &properties).expect("create");
    let folder = pool.mount(&name);
    std::fs::write(folder.join("compressible"), "0123456789".repeat(400_000)).expect("write");
    std::fs::write(folder.join("tiny"), "x".repeat(60)).expect("write");
    let one = pool.snapshot("a@one");

    let plain = SendFlags::default();
    let (all, checker) = read(&pool, &SendRequest::full(one.clone()));
    assert!(
        !has(&checker, zfs_sys::DMU_BACKUP_FEATURE_COMPRESSED)
            && !has(&checker, zfs_sys::DMU_BACKUP_FEATURE_LARGE_BLOCKS)
    );
    assert!(all.len() > 4_000_000);

    let large = SendFlags { large_blocks: true, ..plain };
    let (_, checker) = read(&pool, &SendRequest::full(one.clone()).flags(large));
    assert!(has(&checker, zfs_sys::DMU_BACKUP_FEATURE_LARGE_BLOCKS));

    let request = SendRequest::full(one.clone()).flags(SendFlags::COMPRESSED);
    let (small, checker) = read(&pool, &request);
    assert!(has(&checker, zfs_sys::DMU_BACKUP_FEATURE_COMPRESSED));
    assert!(small.len() < 1_000_000, "{}", small.len());
    let estimate = pool.zfs.estimate_send(&request).expect("estimate");
    assert!(estimate < 1_000_000, "the estimate knows of compression: {estimate}");

    let embedded = SendFlags { embedded: true, ..SendFlags::COMPRESSED };
    let (_, checker) = read(&pool, &SendRequest::full(one).flags(embedded));
    assert!(has(&checker, zfs_sys::DMU_BACKUP_FEATURE_EMBED_DATA));
}

#[test]
fn encrypted_dataset_is_sent_raw_without_its_key() {
    let pool = Pool::new();
    let (name, folder) = pool.encrypted("secret");
    std::fs::write(folder.join("file"), "the plain text ".repeat(10_000)).expect("write");
    let one = pool.snapshot("secret@one");
    assert!(pool.zfs.dataset(&name).expect("read").is_encrypted());
    pool.unmount(&name);
    pool.zfs_command(&["unload-key", name.as_str()]);

    let error = refused(&pool, &SendRequest::full(one.clone()));
    let error = fails(Err::<(), _>(error), Operation::Send, ErrorKind::KeyNotLoaded, one.as_str());
    assert!(error.hint().is_some_and(|hint| hint.contains("raw")), "{error}");

    let (bytes, checker) = read(&pool, &SendRequest::full(one).flags(SendFlags::RAW));
    assert!(checker.begin().expect("BEGIN").is_raw() && has(&checker, zfs_sys::DMU_BACKUP_FEATURE_RAW));
    assert!(!bytes.windows(14).any(|window| window == b"the plain text"), "plain text in a raw stream");
}

#[test]
fn volume_is_sent() {
    let pool = Pool::new();
    let name = pool.dataset("volume");
    pool.zfs.create_volume(&name, 8 << 20, &PropertySet::new()).expect("create");
    let one = pool.snapshot("volume@one");
    let (_, checker) = read(&pool, &SendRequest::full(one));
    assert_eq!(checker.begin().expect("BEGIN").objset_type, zfs_sys::DMU_OST_ZVOL);
}

#[test]
fn sending_is_refused_by_name() {
    let pool = Pool::new();
    pool.filesystem("a");
    pool.filesystem("b");
    let (one, two, of_b) = (pool.snapshot("a@one"), pool.snapshot("a@two"), pool.snapshot("b@one"));
    let missing = pool.snap("a@missing");
    let check = |request: SendRequest, kind: ErrorKind, subject: &str| {
        fails(Err::<(), _>(refused(&pool, &request)), Operation::Send, kind, subject);
        fails(pool.zfs.estimate_send(&request), Operation::EstimateSend, kind, subject);
    };
    check(SendRequest::full(missing.clone()), ErrorKind::NotFound, missing.as_str());
    check(SendRequest::incremental(missing, two.clone()), ErrorKind::NotFound, two.as_str());
    check(SendRequest::incremental(pool.mark("a#missing"), two.clone()), ErrorKind::NotFound, two.as_str());
    check(SendRequest::incremental(of_b, two.clone()), ErrorKind::NotAnAncestor, two.as_str());
    check(SendRequest::incremental(two.clone(), one.clone()), ErrorKind::NotAnAncestor, one.as_str());
    let nowhere = pool.snap("missing@one");
    check(SendRequest::full(nowhere.clone()), ErrorKind::NotFound, nowhere.as_str());
    let elsewhere: IncrementalSource =
        "no-such-pool-here/a@one".parse::<zfs_core::name::SnapshotName>().expect("valid").into();
    let request = SendRequest::incremental(elsewhere, two.clone());
    let error = refused(&pool, &request);
    assert!(
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotAnAncestor | ErrorKind::CrossesPools),
        "{error:?}"
    );
}

#[test]
fn stream_left_early_is_not_whole() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 8 << 20);
    let mut stream = pool.zfs.send(&SendRequest::full(one.clone())).expect("send");
    let mut some = vec![0; 100_000];
    stream.read_exact(&mut some).expect("read");
    fails(stream.finish(), Operation::Send, ErrorKind::Interrupted, one.as_str());
}
