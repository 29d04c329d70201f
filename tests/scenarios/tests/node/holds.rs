//! Holds: placed, listed, released, and ending with the process.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::Zfs;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use crate::child;
use crate::expect::fails;
use crate::pool::Pool;
use crate::pool::tag;

fn tags(zfs: &Zfs, snapshot: &SnapshotName) -> Vec<HoldTag> {
    let mut tags: Vec<_> = zfs.holds(snapshot).expect("list").into_iter().map(|hold| hold.tag).collect();
    tags.sort();
    tags
}

#[test]
fn holds_are_placed_listed_and_released() {
    let pool = Pool::new();
    pool.filesystem("a");
    pool.filesystem("b");
    let (one, two) = (pool.snapshot("a@one"), pool.snapshot("b@two"));
    let longest = tag(&"t".repeat(255));
    let strange = tag("line\nbreak and space");
    pool.zfs.hold(&[(one.clone(), strange.clone()), (two.clone(), tag("x"))]).expect("two at once");
    pool.zfs.hold(&[(one.clone(), longest.clone())]).expect("the longest tag");
    assert_eq!(tags(&pool.zfs, &one), [strange.clone(), longest.clone()]);
    let held = pool.zfs.holds(&two).expect("list");
    let printed = pool.zfs_command(&["holds", "-Hp", two.as_str()]);
    assert!(printed.contains(&held[0].created.to_string()), "{printed} {held:?}");
    let details = pool.zfs.snapshot_details(&one).expect("read");
    assert_eq!(details.properties.number("userrefs"), Some(2));

    pool.zfs
        .release(&[(one.clone(), strange), (one.clone(), longest), (two.clone(), tag("x"))])
        .expect("release all");
    assert!(tags(&pool.zfs, &one).is_empty() && tags(&pool.zfs, &two).is_empty());
}

#[test]
fn holding_and_releasing_fail_by_name() {
    let pool = Pool::new();
    pool.filesystem("a");
    let (one, missing) = (pool.snapshot("a@one"), pool.snap("a@missing"));
    pool.zfs.hold(&[(one.clone(), tag("x"))]).expect("hold");
    fails(pool.zfs.hold(&[(one.clone(), tag("x"))]), Operation::Hold, ErrorKind::BadTag, one.as_str());
    let result = pool.zfs.hold(&[(missing.clone(), tag("y")), (one.clone(), tag("y"))]);
    let error = fails(result, Operation::Hold, ErrorKind::NotFound, missing.as_str());
    assert_eq!(error.failures().len(), 1, "{error}");
    assert_eq!(tags(&pool.zfs, &one), [tag("x"), tag("y")], "the one that exists is held");

    let unknown = [(one.clone(), tag("z"))];
    fails(pool.zfs.release(&unknown), Operation::Release, ErrorKind::NotFound, one.as_str());
    let gone = [(missing.clone(), tag("x"))];
    fails(pool.zfs.release(&gone), Operation::Release, ErrorKind::NotFound, missing.as_str());
    fails(pool.zfs.holds(&missing), Operation::ListHolds, ErrorKind::NotFound, missing.as_str());
    let twice = [(one.clone(), tag("p")), (one.clone(), tag("q"))];
    fails(pool.zfs.hold(&twice), Operation::Hold, ErrorKind::InvalidArgument, one.as_str());
}

#[test]
fn guard_releases_its_holds_when_dropped() {
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    pool.zfs.hold(&[(one.clone(), tag("stays"))]).expect("hold");
    let guard = pool.zfs.hold_for_now(&[(one.clone(), tag("for now"))]).expect("hold");
    assert_eq!(tags(&pool.zfs, &one), [tag("for now"), tag("stays")]);
    drop(guard);
    assert_eq!(tags(&pool.zfs, &one), [tag("stays")]);
}

/// The child holds and then waits for input that never comes; SIGKILL leaves it no chance to release anything.
#[test]
fn killed_process_leaves_no_hold_behind() {
    const NAME: &str = "holds::killed_process_leaves_no_hold_behind";
    if child::is_alone(NAME, "holder") {
        let snapshot: SnapshotName = std::env::var("HOLD").expect("HOLD").parse().expect("valid");
        let zfs = Zfs::open().expect("ZFS");
        let _guard = zfs.hold_for_now(&[(snapshot, tag("of a child"))]).expect("hold");
        println!("\nholding");
        let _ = std::io::stdin().read_line(&mut String::new());
        unreachable!("the child is killed while it waits");
    }
    let pool = Pool::new();
    pool.filesystem("a");
    let one = pool.snapshot("a@one");
    let mut holder = child::command(NAME, "holder");
    holder.env("HOLD", one.as_str()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().expect("start the holder");
    let lines = BufReader::new(holder.stdout.take().expect("piped")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "holding"), "the holder never held");
    assert_eq!(tags(&pool.zfs, &one), [tag("of a child")]);

    holder.kill().expect("kill");
    holder.wait().expect("reap");
    let patience = Instant::now() + Duration::from_secs(30);
    while !tags(&pool.zfs, &one).is_empty() {
        assert!(Instant::now() < patience, "the hold outlived its process");
        std::thread::sleep(Duration::from_millis(20));
    }
}
