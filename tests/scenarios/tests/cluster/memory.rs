//! The memory of runs that move much more than they may hold: what was ever resident, as the kernel counts it, of every
//! process of the program on either machine.

use std::time::Duration;

use lab::Node;

use crate::replicas::*;
use crate::support::long;

/// The buffer of the runs, in KiB.
const BUFFER: u64 = 16 << 10;

/// What a run may take beside it, in KiB.
const BESIDE: u64 = 64 << 10;

/// A filesystem and a volume with data that goes over as it is, or, in the long set, 20 GB of a file that takes little
/// on disk. Nothing of it is empty: holes are not sent.
fn fill_much(node: &Node) {
    let (compression, megabytes) = if long() { ("lz4", 20 << 10) } else { ("off", 160) };
    slow(
        node,
        &format!(
            "zfs create -o compression={compression} -o recordsize=1M tank/much; \
             yes 'all work and no play' | head -c {megabytes}M > /tank/much/file; zfs snapshot tank/much@s1"
        ),
    );
    let written = sh(node, "zfs get -Hp -o value logicalreferenced tank/much");
    let written: u64 = written.trim().parse().expect("a number");
    assert!(written >= megabytes << 20, "{written} bytes are not much");
}

/// Runs a script that must succeed and may take long.
fn slow(node: &Node, script: &str) -> String {
    let limit = Duration::from_secs(if long() { 3600 } else { 280 });
    let command = node.script(&format!("set -e\n{script}")).limit(limit);
    command.run().expect("the node answers").ok().expect("the script succeeds").out()
}

/// Notes, every now and then, the most that each process of the program ever had: that number only grows.
pub(crate) fn watch(node: &Node) {
    sh(
        node,
        "rm -f /tmp/peaks /tmp/watched; \
         nohup sh -c 'until [ -e /tmp/watched ]; do for p in $(pgrep -x replicator); do \
         awk \"/VmHWM/ { print \\$2 }\" /proc/$p/status; done; sleep 0.1; done' > /tmp/peaks 2>/dev/null < /dev/null &",
    );
}

/// The most of all, in KiB.
pub(crate) fn watched(node: &Node) -> Option<u64> {
    let peak = sh(node, "touch /tmp/watched; sort -n /tmp/peaks | tail -n 1");
    (!peak.trim().is_empty()).then(|| peak.trim().parse().expect("a number"))
}

fn stays_small(nodes: &[&Node], here: &Node, route: &str) {
    nodes.iter().for_each(|node| watch(node));
    let said = slow(here, &format!("replicator replicate {route} --buffer 16M --compress off 2>&1"));
    assert!(said.contains("full @s1"), "{said}");
    for node in nodes {
        let peak = watched(node);
        println!("{route}, {}: {peak:?} KiB", node.name());
        assert!(node.name() != here.name() || peak.is_some(), "nothing was measured");
        assert!(peak.is_none_or(|peak| peak < BESIDE + BUFFER), "{route}: {peak:?} KiB on {}", node.name());
    }
}

#[test]
fn a_long_stream_between_two_pools_takes_little_memory() {
    let cluster = alone();
    let node = cluster.node(1);
    fill_much(node);
    stays_small(&[node], node, "tank/much back/much");
}

#[test]
fn a_long_stream_between_two_machines_takes_little_memory() {
    let cluster = pair();
    let (here, there) = (cluster.node(1), cluster.node(2));
    fill_much(here);
    for how in ["--transport libssh2", "--transport ssh", "--transport libssh2 --far-end agent"] {
        stays_small(&[here, there], here, &format!("tank/much node2:back/much {how}"));
        sh(there, "zfs destroy -r back/much");
    }
}

/// Both sides have the same snapshots, in two pools that were one: a hundred thousand in the long set.
#[test]
fn very_many_snapshots_on_both_sides_take_little_memory() {
    let (datasets, rounds, more) = if long() { (100, 1000, 10) } else { (10, 90, 3) };
    let cluster = alone();
    let node = cluster.node(1);
    let slow = |script: &str| slow(node, script);
    sh(node, "zpool destroy back; zpool attach -f tank /dev/ubdb /dev/ubdc; zfs create -u tank/a");
    slow(&format!(
        "for d in $(seq $(({datasets} - 1))); do zfs create -u tank/a/d$d; done
         for s in $(seq {rounds}); do zfs snapshot -r tank/a@s$s; done
         zpool wait -t resilver tank; zpool split tank back; zpool import -N back; zfs set readonly=on back/a"
    ));
    let count =
        |pool: &str| slow(&format!("zfs list -H -t snapshot -r -o guid {pool}/a | sort | uniq | wc -l"));
    assert_eq!(
        (count("tank").trim(), count("back").trim()),
        (&*(datasets * rounds).to_string(), &*(datasets * rounds).to_string())
    );
    let steps = format!("{} steps", more * datasets);
    let take = format!("for s in $(seq {more}); do zfs snapshot -r tank/a@n$s; done");
    // Nothing to do, and then some new ones for each dataset.
    for (what, expected) in [("true", "up to date"), (&*take, &*steps)] {
        slow(what);
        watch(node);
        let said = slow(
            "replicator plan -r tank/a back/a > /dev/null; replicator replicate -r --buffer 16M tank/a back/a 2>&1",
        );
        let peak = watched(node).expect("something was measured");
        println!("{} snapshots a side, {expected}: {peak} KiB", datasets * rounds);
        assert!(said.contains(expected), "{said}");
        assert!(peak < BESIDE + BUFFER, "{peak} KiB");
    }
}
