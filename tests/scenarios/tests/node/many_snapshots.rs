//! 20,000 snapshots: equal to what the command prints, in bounded memory. Making them takes minutes in a node, so that the
//! short set has 2,000 and only the long one (`LAB_LONG=1`) all of them.

use std::time::Instant;

use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::SnapshotName;

use crate::child;
use crate::pool::Pool;

const DATASETS: usize = 100;

/// Snapshots of each dataset.
fn each() -> usize {
    if std::env::var_os("LAB_LONG").is_some() { 200 } else { 20 }
}

const FIELDS: &str = "name,guid,createtxg,creation,used,referenced,written,userrefs";

fn make(pool: &Pool) {
    let datasets: Vec<_> = (0..DATASETS).map(|at| pool.filesystem(&format!("d{at}"))).collect();
    for at in 0..each() {
        let names: Vec<SnapshotName> =
            datasets.iter().map(|name| name.snapshot(&format!("autosnap {at:04}")).expect("valid")).collect();
        pool.zfs.snapshot(&names, &PropertySet::new()).expect("snapshot");
    }
    pool.zpool(&["sync", pool.root().as_str()]);
}

/// The same line the command prints, made of what the library reads.
fn lines(zfs: &Zfs, pool: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for dataset in zfs.tree(&pool.parse().expect("valid")).expect("tree") {
        let dataset = dataset.expect("entry").name;
        for one in zfs.snapshots_with_properties(&dataset).expect("list") {
            let one = one.expect("entry");
            let mut line = one.snapshot.name.to_string();
            for property in FIELDS.split(',').skip(1) {
                line.push('\t');
                line.push_str(&one.properties.get(property).map_or("-".into(), |found| found.text()));
            }
            lines.push(line);
        }
    }
    lines
}

#[test]
fn many_snapshots_equal_what_the_command_prints() {
    const NAME: &str = "many_snapshots::many_snapshots_equal_what_the_command_prints";
    if child::is_alone(NAME, "list") {
        // Only lists, so that time and memory are those of listing.
        let zfs = Zfs::open().expect("ZFS");
        let start = Instant::now();
        let lines = lines(&zfs, &std::env::var("POOL").expect("POOL"));
        let time = start.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).expect("VmHWM").to_owned();
        println!("\nlisted {} in {time:?}, {peak}", lines.len());
        std::fs::write(std::env::var("OUT").expect("OUT"), lines.join("\n")).expect("write");
        return;
    }
    let pool = Pool::new();
    let start = Instant::now();
    make(&pool);
    println!("made in {:?}", start.elapsed());

    let start = Instant::now();
    let printed = pool.zfs_command(&["list", "-Hprt", "snapshot", "-o", FIELDS, pool.root().as_str()]);
    println!("zfs list took {:?}", start.elapsed());

    let out = std::env::temp_dir().join(format!("{}-list", pool.root()));
    let mut list = child::command(NAME, "list");
    let said = list.env("POOL", pool.root().as_str()).env("OUT", &out).output().expect("run");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    println!("{said}");
    let ours = std::fs::read_to_string(&out).unwrap_or_else(|error| panic!("{error}: {said}"));
    std::fs::remove_file(&out).expect("remove");

    let mut expected: Vec<&str> = printed.lines().collect();
    let mut found: Vec<&str> = ours.lines().collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found.len(), DATASETS * each());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    // All lines are kept in memory here, and still it is little.
    let peak: u64 = said
        .split("VmHWM:")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .expect("peak");
    assert!(peak < 64 << 10, "listing took {peak} KiB");
}
