//! Runs that meet: into the same target from two machines, and into a tree and a part of it from one.

use std::time::Duration;

use lab::Node;
use lab::Process;

use crate::replicas::*;

/// One snapshot that takes long enough over a slow link for another run to meet it.
fn fill_big(node: &Node, dataset: &str) {
    sh(
        node,
        &format!(
            "zfs create '{dataset}'; for i in 1 2 3; do head -c 4000000 /dev/urandom > /{dataset}/f$i; done; \
             zfs snapshot '{dataset}@s1'"
        ),
    );
}

/// A run that is under way: its target is there.
fn under_way(here: &Node, route: &str, there: &Node, target: &str) -> Process {
    let process = here
        .command("replicator")
        .args(["replicate"].into_iter().chain(route.split(' ')))
        .limit(Duration::from_secs(200))
        .spawn()
        .expect("started");
    sh(
        there,
        &format!("for i in $(seq 300); do zfs list {target} >/dev/null 2>&1 && exit 0; sleep 0.1; done"),
    );
    assert!(!process.finished(), "{}", String::from_utf8_lossy(&process.stderr()));
    process
}

fn ends_well(process: Process) {
    let output = process.wait().expect("it ends");
    assert_eq!(output.code(), 0, "{}\n{}", output.out(), output.err());
}

/// What is left of locks.
fn locks(node: &Node) -> String {
    sh(node, "find /run/lock/replicator /tmp/replicator -name '*.lock' ! -name turn.lock 2>/dev/null || true")
}

#[test]
fn of_two_machines_that_write_to_one_target_one_wins_and_the_other_says_so() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    fill_big(one, "tank/data");
    cluster.link(1, 2).bandwidth(Some(1_000_000));

    // The first comes from the other machine, through the agent; the second is started on the target's.
    let push = "tank/data node2:back/data --far-end agent";
    let pull = "node1:tank/data back/data";
    let first = under_way(one, push, two, "back/data");
    refused(two, pull, 7, &["back/data", "another run", "process", "[R700]"]);
    refused(two, "-r node1:tank/data back", 7, &["another run", "[R700]"]);
    ends_well(first);
    assert_same((one, "tank/data"), (two, "back/data"));

    // And the other way about.
    sh(two, "zfs destroy -r back/data");
    // Who comes second through an agent waits for the first a while: this one takes longer.
    cluster.link(1, 2).bandwidth(Some(250_000));
    let first = under_way(two, pull, two, "back/data");
    refused(one, push, 7, &["node2", "back/data", "another run", "process", "[R700]"]);
    cluster.link(1, 2).bandwidth(None);
    ends_well(first);
    assert_same((one, "tank/data"), (two, "back/data"));
    replicate(one, push);
    // Locks end with their runs, and so do their files.
    for node in [one, two] {
        assert_eq!(locks(node), "");
    }
}

#[test]
fn a_run_into_a_part_of_a_tree_goes_beside_one_into_the_tree_that_sends_something_else() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    fill_big(one, "tank/data");
    fill(one, "tank/data/part", 1);
    sh(one, "zfs snapshot tank/data/part@s9");
    fill(one, "tank/other", 1);
    cluster.link(1, 2).bandwidth(Some(250_000));
    let first = under_way(one, "-r tank/data node2:back/data", two, "back/data");
    // What the first is sending is its own, alone or with what is below; what is beside it is nobody's business.
    refused(one, "tank/data node2:back/data", 7, &["node2:back/data", "another run", "process", "[R700]"]);
    replicate(one, "tank/data/part node2:back/data/part");
    replicate(one, "tank/other node2:back/other");
    assert!(!first.finished(), "{}", String::from_utf8_lossy(&first.stderr()));
    cluster.link(1, 2).bandwidth(None);
    ends_well(first);
    for below in ["", "/part"] {
        assert_same((one, &format!("tank/data{below}")), (two, &format!("back/data{below}")));
    }
    let said = replicate(one, "-r tank/data node2:back/data");
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(locks(one), "");
}

#[test]
fn what_a_killed_run_leaves_of_its_locks_keeps_nobody_out() {
    let cluster = pair();
    let (one, two) = (cluster.node(1), cluster.node(2));
    fill_big(one, "tank/data");
    cluster.link(1, 2).bandwidth(Some(1_000_000));
    let route = "tank/data node2:back/data --far-end agent";
    let first = under_way(one, route, two, "back/data");
    sh(one, "pkill -KILL -x replicator");
    assert_ne!(first.wait().expect("it ends").code(), 0);
    assert_ne!(locks(one), "", "there was nothing to leave behind");
    cluster.link(1, 2).bandwidth(None);
    replicate(one, route);
    assert_same((one, "tank/data"), (two, "back/data"));
    assert_eq!(locks(one), "");
}
