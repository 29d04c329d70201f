//! Receiving: new and existing targets, properties, and every reason to refuse.

use std::fs;
use std::io::Write;

use zfs_core::Error;
use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::Source;
use zfs_core::copy::stream_to_receiver;
use zfs_core::receive::ReceiveRequest;
use zfs_core::receive::Received;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;

use crate::child;
use crate::expect::fails;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::is_mounted;
use crate::pool::tree;
use crate::pool::write_noise;
use crate::send::read;

/// Writes all of it and finishes; an error of a write counts as well as one of the end.
pub(crate) fn receive(pool: &Pool, request: ReceiveRequest, bytes: &[u8]) -> Result<Received, Error> {
    let mut receiver = pool.zfs.receive(request);
    match receiver.write_all(bytes) {
        Ok(()) => receiver.finish(),
        Err(error) => {
            let error = inner(&error);
            let again = receiver.finish().expect_err("a receive that failed does not succeed later");
            assert_eq!(again.kind(), error.kind());
            Err(error)
        }
    }
}

#[test]
fn full_and_incremental_give_the_same_files_and_guids_and_nothing_is_mounted() {
    let (from, to) = (Pool::new(), Pool::new());
    let (_, folder, one) = from.filled("a b", 2 << 20);
    let (full, _) = read(&from, &SendRequest::full(one.clone()).flags(SendFlags::COMPRESSED));
    let target = to.dataset("copy of it");
    let done = receive(&to, ReceiveRequest::new(to.snap("copy of it@one")), &full).expect("receive");
    let guid = |name| from.zfs.find_snapshot(name).expect("look").expect("there").guid;
    assert_eq!((done.guid, done.bytes, done.snapshot.short()), (guid(&one), full.len() as u64, "one"));
    assert!(done.properties_failed.is_empty());
    assert!(!is_mounted(&target));

    fs::remove_file(folder.join("empty")).expect("remove");
    fs::create_dir(folder.join("new folder")).expect("create");
    write_noise(&folder.join("new folder/more"), 500_000, 9);
    let two = from.snapshot("a b@two");
    let (increment, _) =
        read(&from, &SendRequest::incremental(one.clone(), two.clone()).flags(SendFlags::COMPRESSED));
    let done = receive(&to, ReceiveRequest::new(to.snap("copy of it@two")), &increment).expect("receive");
    assert_eq!(done.guid, guid(&two));
    assert!(!is_mounted(&target));
    let copy = to.mount(&target);
    assert_eq!(tree(&folder), tree(&copy));
    assert_eq!(tree(&folder).len(), 4);
}

#[test]
fn properties_are_set_excluded_and_marked_as_received() {
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    let parent = pool.filesystem("parent");
    pool.zfs
        .set_properties(&parent, &PropertySet::new().text("atime", "off").text("org.x:e", "parent"))
        .expect("set");
    let request = ReceiveRequest::new(pool.snap("parent/b@one"))
        .received(
            &PropertySet::new().text("compression", "zle").text("org.x:e", "stream").text("atime", "on"),
        )
        .set(&PropertySet::new().text("readonly", "on").text("org.x:y", "local"))
        .exclude(&"org.x:e".parse().expect("valid"))
        .exclude(&"atime".parse().expect("valid"));
    receive(&pool, request, &bytes).expect("receive");
    let found = pool.zfs.dataset(&pool.dataset("parent/b")).expect("read");
    let get = |name: &str| found.properties.get(name).map(|p| (p.text(), p.source));
    let inherited = Source::Inherited(parent.to_string());
    assert_eq!(get("compression"), Some(("zle".into(), Source::Received)));
    assert_eq!(get("readonly"), Some(("on".into(), Source::Local)));
    assert_eq!(get("org.x:y"), Some(("local".into(), Source::Local)));
    assert_eq!(get("org.x:e"), Some(("parent".into(), inherited.clone())));
    assert_eq!(get("atime"), Some(("off".into(), inherited)));
}

#[test]
fn property_that_cannot_be_set_is_reported_and_the_data_are_there() {
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    // More than the pool has: only the pool can know.
    let request =
        ReceiveRequest::new(pool.snap("b@one")).received(&PropertySet::new().number("reservation", 1 << 50));
    let done = receive(&pool, request, &bytes).expect("receive");
    let failed: Vec<_> = done.properties_failed.iter().map(|f| (f.name.as_str(), f.kind)).collect();
    assert_eq!(failed, [("reservation", ErrorKind::NoSpace)]);

    // What no pool would take is refused before anything is received.
    let request = ReceiveRequest::new(pool.snap("c@one")).set(&PropertySet::new().number("recordsize", 1000));
    let error =
        fails(receive(&pool, request, &bytes), Operation::Receive, ErrorKind::InvalidProperty, "c@one");
    assert!(error.to_string().contains("recordsize"), "{error}");
    assert_eq!(pool.zfs.find_dataset(&pool.dataset("c")).expect("look"), None);
}

/// The receiving kernel is done with the last record, which can be before the sending side has closed its end.
#[test]
fn receiver_that_is_done_first_is_no_error() {
    child::alone("receive::receiver_that_is_done_first_is_no_error", || {
        let pool = Pool::new();
        let (_, _, one) = pool.filled("a", 100_000);
        let request = SendRequest::full(one);
        let (bytes, _) = read(&pool, &request);
        let mut stream = pool.zfs.send(&request).expect("send");
        let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap("b@one")));
        let mut waited = false;
        let moved = stream_to_receiver(&mut stream, &mut receiver, |moved| {
            if moved == bytes.len() as u64 {
                waited = true;
                while child::has_thread("zfs-receive") {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            true
        });
        assert!(waited, "the whole stream was never seen");
        assert_eq!(moved.expect("transfer"), bytes.len() as u64);
        receiver.finish().expect("receive");
        stream.finish().expect("send");
    });
}

#[test]
fn volume_is_received() {
    let pool = Pool::new();
    let name = pool.dataset("volume");
    pool.zfs.create_volume(&name, 8 << 20, &PropertySet::new().text("org.x:y", "z")).expect("create");
    let one = pool.snapshot("volume@one");
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    receive(&pool, ReceiveRequest::new(pool.snap("copy@one")), &bytes).expect("receive");
    let found = pool.zfs.dataset(&pool.dataset("copy")).expect("read");
    assert_eq!(
        (found.kind, found.properties.number("volsize")),
        (zfs_core::DatasetKind::Volume, Some(8 << 20))
    );
}

#[test]
fn raw_stream_keeps_its_encryption() {
    let (from, to) = (Pool::new(), Pool::new());
    let (name, folder) = from.encrypted("secret");
    write_noise(&folder.join("file"), 1 << 20, 3);
    let one = from.snapshot("secret@one");
    let (bytes, _) = read(&from, &SendRequest::full(one.clone()).flags(SendFlags::RAW));
    receive(&to, ReceiveRequest::new(to.snap("copy@one")), &bytes).expect("receive");
    let target = to.dataset("copy");
    let found = to.zfs.dataset(&target).expect("read");
    assert!(found.is_encrypted());
    assert_eq!(found.properties.get("keystatus").map(|p| p.text()).as_deref(), Some("unavailable"));

    write_noise(&folder.join("more"), 200_000, 4);
    let two = from.snapshot("secret@two");
    let (bytes, _) = read(&from, &SendRequest::incremental(one.clone(), two.clone()).flags(SendFlags::RAW));
    receive(&to, ReceiveRequest::new(to.snap("copy@two")), &bytes).expect("receive");
    to.zfs_with_input(&["load-key", target.as_str()], "a passphrase\n");
    let copy = to.mount(&target);
    assert_eq!(tree(&folder), tree(&copy));

    // A stream that is not raw into an encrypted dataset whose key is gone.
    to.unmount(&target);
    to.zfs.rollback(&to.snap("copy@two")).expect("forget the access times");
    to.zfs_command(&["unload-key", target.as_str()]);
    from.snapshot("secret@three");
    let (plain, _) = read(&from, &SendRequest::incremental(two, from.snap("secret@three")));
    let result = receive(&to, ReceiveRequest::new(to.snap("copy@three")), &plain);
    fails(result, Operation::Receive, ErrorKind::KeyNotLoaded, "copy@three");
    assert!(from.zfs.find_dataset(&name).expect("look").is_some());
}

#[test]
fn clone_is_received_as_a_clone() {
    let (from, to) = (Pool::new(), Pool::new());
    let (_, _, one) = from.filled("a", 1 << 20);
    let (full, _) = read(&from, &SendRequest::full(one.clone()));
    receive(&to, ReceiveRequest::new(to.snap("a@one")), &full).expect("receive");
    from.zfs.clone_snapshot(&one, &from.dataset("clone"), &PropertySet::new()).expect("clone");
    let folder = from.mount(&from.dataset("clone"));
    fs::write(folder.join("own"), "of the clone").expect("write");
    let two = from.snapshot("clone@two");
    let (bytes, _) = read(&from, &SendRequest::incremental(one, two));
    assert!(bytes.len() < 500_000, "{}", bytes.len());
    let request = ReceiveRequest::new(to.snap("clone@two")).origin(to.snap("a@one"));
    receive(&to, request, &bytes).expect("receive");
    let found = to.zfs.dataset(&to.dataset("clone")).expect("read");
    assert_eq!(found.origin, Some(to.snap("a@one")));
    assert_eq!(tree(&to.mount(&to.dataset("clone"))), tree(&folder));
}

#[test]
fn target_that_does_not_fit_is_named_and_untouched() {
    let pool = Pool::new();
    let (_, folder, one) = pool.filled("a", 500_000);
    write_noise(&folder.join("more"), 100_000, 5);
    let two = pool.snapshot("a@two");
    let (full, _) = read(&pool, &SendRequest::full(one.clone()));
    let (increment, _) = read(&pool, &SendRequest::incremental(one.clone(), two));
    let into = |below: &str| ReceiveRequest::new(pool.snap(below));

    // Full stream over a dataset that exists, with and without that snapshot.
    fails(receive(&pool, into("a@one"), &full), Operation::Receive, ErrorKind::Exists, "a@one");
    pool.filesystem("other");
    fails(receive(&pool, into("other@one"), &full), Operation::Receive, ErrorKind::Exists, "other@one");
    fails(
        receive(&pool, into("no/parent@one"), &full),
        Operation::Receive,
        ErrorKind::ParentNotFound,
        "no/parent@one",
    );

    // Incremental: target missing, without the base, modified since, with a newer snapshot.
    let missing = receive(&pool, into("missing@two"), &increment).expect_err("no dataset");
    assert!(
        matches!(missing.kind(), ErrorKind::BaseMissing | ErrorKind::NotFound | ErrorKind::ParentNotFound),
        "{missing:?}"
    );
    pool.snapshot("other@unrelated");
    fails(
        receive(&pool, into("other@two"), &increment),
        Operation::Receive,
        ErrorKind::BaseMissing,
        "other@two",
    );
    receive(&pool, into("b@one"), &full).expect("receive");
    let copy = pool.mount(&pool.dataset("b"));
    fs::write(copy.join("stray"), "x").expect("write");
    pool.zpool(&["sync", pool.root().as_str()]);
    fails(receive(&pool, into("b@two"), &increment), Operation::Receive, ErrorKind::TargetModified, "b@two");
    assert!(copy.join("stray").exists());
    pool.snapshot("b@local");
    let diverged = receive(&pool, into("b@two"), &increment).expect_err("diverged");
    assert!(matches!(diverged.kind(), ErrorKind::TargetModified | ErrorKind::BaseMissing), "{diverged:?}");
    let names: Vec<_> = pool
        .zfs
        .snapshots(&pool.dataset("b"))
        .expect("list")
        .map(|s| s.expect("entry").name.short().to_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn damaged_stream_is_told_from_a_short_one() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 2 << 20);
    let (bytes, _) = read(&pool, &SendRequest::full(one));
    let into = |below: &str| ReceiveRequest::new(pool.snap(below));

    let mut damaged = bytes.clone();
    damaged[1 << 20] ^= 1;
    fails(
        receive(&pool, into("damaged@one"), &damaged),
        Operation::Receive,
        ErrorKind::StreamCorrupt,
        "damaged@one",
    );
    assert_eq!(pool.zfs.find_snapshot(&pool.snap("damaged@one")).expect("look"), None);

    let short = &bytes[..bytes.len() / 2];
    fails(
        receive(&pool, into("short@one"), short),
        Operation::Receive,
        ErrorKind::StreamTruncated,
        "short@one",
    );
    assert!(pool.zfs.dataset(&pool.dataset("short")).expect("kept").receive_resume_token().is_some());
    let nothing_kept = into("short2@one").not_resumable();
    fails(receive(&pool, nothing_kept, short), Operation::Receive, ErrorKind::StreamTruncated, "short2@one");
    assert_eq!(pool.zfs.find_dataset(&pool.dataset("short2")).expect("look"), None);

    for length in [0, 1, 311] {
        let result = receive(&pool, into("short3@one"), &bytes[..length]);
        fails(result, Operation::Receive, ErrorKind::StreamTruncated, "short3@one");
    }
    let result = receive(&pool, into("short3@one"), &[7; 4096]);
    fails(result, Operation::Receive, ErrorKind::StreamCorrupt, "short3@one");
    assert_eq!(pool.zfs.find_dataset(&pool.dataset("short3")).expect("look"), None);
}

#[test]
fn package_of_streams_is_refused_before_the_kernel_sees_it() {
    let pool = Pool::new();
    let (_, _, one) = pool.filled("a", 100_000);
    let file = std::env::temp_dir().join(format!("package-{}", std::process::id()));
    let command = format!("zfs send -R '{one}' > '{}'", file.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().expect("sh").success());
    let bytes = fs::read(&file).expect("read");
    fs::remove_file(&file).expect("remove");
    let result = receive(&pool, ReceiveRequest::new(pool.snap("b@one")), &bytes);
    fails(result, Operation::Receive, ErrorKind::StreamMismatch, "b@one");
    assert_eq!(pool.zfs.find_dataset(&pool.dataset("b")).expect("look"), None);
}

#[test]
fn embedded_blocks_do_not_go_into_an_encrypted_target() {
    let pool = Pool::new();
    let name = pool.dataset("a");
    pool.zfs.create_filesystem(&name, &PropertySet::new().text("compression", "lz4")).expect("create");
    let folder = pool.mount(&name);
    fs::write(folder.join("tiny"), "x".repeat(100)).expect("write");
    let one = pool.snapshot("a@one");
    let flags = SendFlags { embedded: true, compressed: true, ..SendFlags::default() };
    let (bytes, _) = read(&pool, &SendRequest::full(one).flags(flags));
    pool.encrypted("secret");
    let result = receive(&pool, ReceiveRequest::new(pool.snap("secret/b@one")), &bytes);
    fails(result, Operation::Receive, ErrorKind::StreamMismatch, "secret/b@one");
}
