//! The memory of runs that move much more than they may hold: what was ever resident, as the kernel counts it, of every
//! process of the program on either machine.

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
    let (compression, megabytes) = if long() { ("lz4", 20 << 10) } else { ("off", 320) };
    sh(
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

/// Notes, every now and then, the most that each process of the program ever had: that number only grows.
fn watch(node: &Node) {
    sh(
        node,
        "rm -f /tmp/peaks /tmp/watched; \
         nohup sh -c 'until [ -e /tmp/watched ]; do for p in $(pgrep -x replicator); do \
         awk \"/VmHWM/ { print \\$2 }\" /proc/$p/status; done; sleep 0.1; done' > /tmp/peaks 2>/dev/null < /dev/null &",
    );
}

/// The most of all, in KiB.
fn watched(node: &Node) -> Option<u64> {
    let peak = sh(node, "touch /tmp/watched; sort -n /tmp/peaks | tail -n 1");
    (!peak.trim().is_empty()).then(|| peak.trim().parse().expect("a number"))
}

fn stays_small(nodes: &[&Node], here: &Node, route: &str) {
    nodes.iter().for_each(|node| watch(node));
    let said = replicate(here, &format!("{route} --buffer 16M --compress off"));
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
