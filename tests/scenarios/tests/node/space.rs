//! A full pool, and quotas and limits that are reached.

use std::fs;
use std::io::Write;

use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendRequest;

use crate::expect::fails;
use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::noise;

fn stream(pool: &Pool, bytes: usize) -> Vec<u8> {
    let (_, _, one) = pool.filled("source", bytes);
    let mut out = Vec::new();
    std::io::copy(&mut pool.zfs.send(&SendRequest::full(one)).expect("send"), &mut out).expect("read");
    out
}

fn receive(pool: &Pool, bytes: &[u8], below: &str) -> zfs_core::Result<zfs_core::receive::Received> {
    let mut receiver = pool.zfs.receive(ReceiveRequest::new(pool.snap(below)));
    match receiver.write_all(bytes) {
        Ok(()) => receiver.finish(),
        Err(error) => Err(inner(&error)),
    }
}

#[test]
fn full_pool_is_told_as_such() {
    let (big, small) = (Pool::new(), Pool::sized(80 << 20));
    let bytes = stream(&big, 90 << 20);
    let error = receive(&small, &bytes, "target@one");
    fails(error, Operation::Receive, ErrorKind::NoSpace, "target@one");

    // Filled to the brim by what was kept of it, nothing else goes in either.
    let volume = small.dataset("volume");
    let thick = PropertySet::new().number("refreservation", 60 << 20);
    let result = small.zfs.create_volume(&volume, 60 << 20, &thick);
    fails(result, Operation::Create, ErrorKind::NoSpace, volume.as_str());
    assert!(small.zfs.abort_receive(&small.dataset("target")).expect("abort"));
    small.zfs.create_filesystem(&small.dataset("fine"), &PropertySet::new()).expect("room again");
}

#[test]
fn snapshot_that_would_break_a_reservation_is_refused() {
    let pool = Pool::sized(256 << 20);
    let volume = pool.dataset("volume");
    // A thick volume has its written part reserved once more by a snapshot: half of the pool, twice, and more.
    let root = pool.zfs.dataset(&pool.root()).expect("read");
    let available = root.properties.number("available").expect("available");
    let size = (available * 7 / 10) & !0xf_ffff;
    let thick = PropertySet::new().number("refreservation", size).text("compression", "off");
    pool.zfs.create_volume(&volume, size, &thick).expect("create");
    write_device(&pool, &format!("/dev/zvol/{volume}"), usize::try_from(available / 2).expect("small"));
    let snapshot = pool.snap("volume@s");
    let result = pool.zfs.snapshot(std::slice::from_ref(&snapshot), &PropertySet::new());
    fails(result, Operation::Snapshot, ErrorKind::NoSpace, snapshot.as_str());
}

/// Without udev there are no links under /dev/zvol; then the device is the last one the kernel made.
fn write_device(pool: &Pool, link: &str, bytes: usize) {
    let device = if fs::exists(link).expect("look") {
        link.to_owned()
    } else {
        let mut found: Vec<_> = fs::read_dir("/dev")
            .expect("/dev")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                name.strip_prefix("zd").is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n % 16 == 0))
            })
            .collect();
        found.sort_by_key(|name| name[2..].parse::<u32>().unwrap_or(0));
        format!("/dev/{}", found.last().expect("a device of the volume"))
    };
    let mut file = fs::OpenOptions::new().write(true).open(&device).expect("open the volume");
    file.write_all(&noise(bytes, 7)).expect("write");
    file.sync_all().expect("sync");
    drop(file);
    pool.zpool(&["sync", pool.root().as_str()]);
}

#[test]
fn quotas_and_limits_are_told_apart_from_a_full_pool() {
    let pool = Pool::new();
    let bytes = stream(&pool, 20 << 20);
    let parent = pool.filesystem("limited");
    pool.zfs.set_properties(&parent, &PropertySet::new().number("quota", 8 << 20)).expect("set");
    fails(
        receive(&pool, &bytes, "limited/target@one"),
        Operation::Receive,
        ErrorKind::QuotaExceeded,
        "limited/target@one",
    );

    let counted = pool.filesystem("counted");
    let limits = PropertySet::new().number("snapshot_limit", 1).number("filesystem_limit", 1);
    pool.zfs.set_properties(&counted, &limits).expect("set");
    pool.filesystem("counted/one");
    // The limits do not bind root on its own; a user with delegated rights meets them.
    pool.zfs_command(&["allow", "nobody", "snapshot,create,mount", counted.as_str()]);
    crate::child::unprivileged(|| {
        let two = pool.dataset("counted/two");
        let result = pool.zfs.create_filesystem(&two, &PropertySet::new());
        fails(result, Operation::Create, ErrorKind::QuotaExceeded, two.as_str());
        pool.zfs.snapshot(&[pool.snap("counted@1")], &PropertySet::new()).expect("the first");
        let result = pool.zfs.snapshot(&[pool.snap("counted@2")], &PropertySet::new());
        fails(result, Operation::Snapshot, ErrorKind::QuotaExceeded, "counted@2");
    });
}
