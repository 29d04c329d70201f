//! A pair that goes by a lease in a real etcd of three members: a promotion takes the lease, a handover gives it over, and a
//! node without a majority of members knows nothing. A lease that nobody renews runs out, and makes nobody active.

use std::time::Duration;
use std::time::Instant;

use lab::Cluster;
use lab::Node;

use crate::deciders::*;
use crate::faults::until;
use crate::pair::ends;
use crate::replicas::*;

const KEY: &str = "replicator/data";

fn endpoints(scheme: &str) -> Vec<String> {
    (1..=3).map(|number| format!("{scheme}10.77.0.{number}:2379")).collect()
}

/// Goes by the lease, which lives so many seconds.
fn by_lease(cluster: &Cluster, ttl: u64) {
    let decider = format!("etcd = {{ endpoints = {:?}, key = \"{KEY}\", ttl = \"{ttl}s\" }}", endpoints(""));
    for number in [1, 2] {
        configure(cluster.node(number), &decider);
    }
}

/// Starts a member, with what it has kept.
fn start(node: &Node) {
    let (name, address) = (node.name(), node.address());
    let members: Vec<String> =
        (1..=3).map(|number| format!("node{number}=http://10.77.0.{number}:2380")).collect();
    sh(
        node,
        &format!(
            "setsid etcd --name {name} --data-dir /root/etcd --unsafe-no-fsync \
             --heartbeat-interval 500 --election-timeout 5000 \
             --listen-client-urls http://{address}:2379 --advertise-client-urls http://{address}:2379 \
             --listen-peer-urls http://{address}:2380 --initial-advertise-peer-urls http://{address}:2380 \
             --initial-cluster {} > /tmp/etcd.log 2>&1 < /dev/null &",
            members.join(",")
        ),
    );
}

fn end(node: &Node) {
    sh(node, "pkill -9 -x etcd; while pgrep -x etcd > /dev/null; do sleep 0.1; done");
}

/// Asks etcd by its own client, through any member that answers.
fn etcdctl(node: &Node, arguments: &str) -> lab::Output {
    let all = endpoints("http://").join(",");
    let asked = format!("etcdctl --endpoints={all} --dial-timeout=5s --command-timeout=20s {arguments}");
    node.script(&asked).limit(PATIENCE).run().expect("the node answers")
}

/// Waits until the majority answers.
fn answers(node: &Node) {
    until("etcd answers", PATIENCE, || etcdctl(node, "get nothing").success());
}

/// Whom the key names; nobody where it is not there.
fn holder(node: &Node) -> String {
    let found = etcdctl(node, &format!("get {KEY} --print-value-only"));
    assert!(found.success(), "{}", found.err());
    found.out()
}

#[test]
fn the_lease_in_a_real_etcd_says_who_may_be_active() {
    let cluster = three();
    let (a, b, witness) = (cluster.node(1), cluster.node(2), cluster.node(3));
    for node in cluster.nodes() {
        start(node);
    }
    answers(witness);
    by_lease(&cluster, 600);

    // Nobody has it, until a promotion takes it.
    is(a, ("standby", "nothing"), &["nowhere"]);
    assert_eq!(holder(witness), "");
    begin(&cluster);
    assert_eq!(holder(witness), "node1");
    is(a, ("active", "nothing"), &[]);
    is(b, ("standby", "nothing"), &["node1"]);
    // The other one cannot take it, and nothing has changed by its trying.
    let before = state(b);
    let refused = replicator(b, "pair promote data --force");
    assert_ne!(refused.code(), 0, "{}", refused.out());
    assert!(refused.err().contains("node1 has it"), "{}", refused.err());
    assert_eq!((state(b), holder(witness)), (before, "node1".to_string()));

    // It goes along with the service.
    change(a, "tank/data", 2);
    ends(a, "handover data", 0, &["node2 is active now, in epoch 2"]);
    assert_eq!(holder(witness), "node2");
    is(b, ("active", "nothing"), &[]);
    is(a, ("standby", "nothing"), &["node2"]);

    // One member is enough to go away; with two, nobody knows anything, whoever was active.
    end(witness);
    is(b, ("active", "nothing"), &[]);
    is(a, ("standby", "nothing"), &["node2"]);
    end(a);
    is(b, ("unknown", "wait"), &["etcd key"]);
    is(a, ("unknown", "wait"), &["etcd key"]);
    start(a);
    start(witness);
    answers(witness);
    becomes(b, ("active", "nothing"), None);
    is(a, ("standby", "nothing"), &["node2"]);

    // A lease that nobody renews runs out. Then nobody is active, and a promotion takes it again.
    by_lease(&cluster, 60);
    ends(b, "demote data", 0, &["the other node has everything"]);
    assert_eq!(holder(witness), "");
    is(b, ("isolated", "handover"), &["nowhere"]);
    ends(b, "promote data", 0, &["active already, in epoch 2"]);
    assert_eq!(holder(witness), "node2");
    until("the lease runs out", PATIENCE, || holder(witness).is_empty());
    is(b, ("isolated", "handover"), &["nowhere"]);
    is(a, ("standby", "nothing"), &["nowhere"]);
    ends(b, "promote data", 0, &["active already, in epoch 2"]);
    is(b, ("active", "nothing"), &[]);
    // Runs renew it, for longer than it lives by itself; those of a node whose pool is gone do not, so that the other one can
    // be promoted.
    let begun = Instant::now();
    until("it would have run out", PATIENCE, || {
        assert_eq!(replicator(b, "run").code(), 0);
        assert_eq!(holder(witness), "node2");
        begun.elapsed() > Duration::from_secs(90)
    });
    sh(b, "zpool export -f tank");
    until("the lease runs out", PATIENCE, || {
        assert_ne!(replicator(b, "run").code(), 0);
        replicator(b, "pair status data");
        holder(witness).is_empty()
    });
    sh(b, "zpool import -d /dev tank");
    ends(b, "promote data", 0, &["active already, in epoch 2"]);

    // Cut off from both others it knows nothing, and cannot take anything; they go on once its lease has run out.
    let links = [cluster.link(2, 1), cluster.link(2, 3)];
    for link in &links {
        link.cut();
    }
    is(b, ("unknown", "wait"), &["etcd key"]);
    let alone = replicator(b, "pair promote data");
    assert_ne!(alone.code(), 0, "{}", alone.out());
    assert!(alone.err().contains("etcd key"), "{}", alone.err());
    until("the lease runs out", PATIENCE, || holder(witness).is_empty());
    ends(a, "promote data", 0, &["active now, in epoch 3"]);
    assert_eq!(holder(witness), "node1");
    is(a, ("active", "nothing"), &[]);
    is(b, ("unknown", "wait"), &["etcd key"]);
    for link in &links {
        link.heal();
    }
    becomes(b, ("isolated", "rejoin"), Some("active"));
    ends(b, "rejoin data", 0, &["node2 follows node1, in epoch 3"]);
    is(b, ("standby", "nothing"), &["node1"]);
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
    assert_same((a, "tank/data"), (b, "tank/data"));
}
