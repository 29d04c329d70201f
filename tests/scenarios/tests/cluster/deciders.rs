//! What the tests of a pair beside a real cluster program share: two nodes that go by it, a third one that has a vote, and
//! what each of the two says that it is.

use std::time::Duration;

use lab::Cluster;
use lab::Node;

use crate::faults::until;
use crate::pair::ends;
use crate::replicas::*;

/// How long a cluster program may take for something: on a busy machine all of them are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Three nodes, the first two with a pool.
pub(crate) fn three() -> Cluster {
    let cluster = Cluster::builder().nodes(3).memory(1536).boot().expect("three nodes");
    for number in [1, 2] {
        sh(cluster.node(number), TANK);
    }
    cluster
}

/// The configuration of a node of the pair; `decider` is the line that says who decides.
pub(crate) fn configure(node: &Node, decider: &str) {
    let peer = if node.name() == "node1" { "node2" } else { "node1" };
    let config = format!(
        r#"
        [pair.data]
        roots = ["tank/data"]
        node = "{}"
        peer = {{ node = "{peer}", host = "root@{peer}", ssh = {{ connect_timeout = "5s" }} }}
        {decider}
        watch = {{ times = 2, distance = "1s", timeout = "30s" }}
        retries = 0
        "#,
        node.name()
    );
    sh(node, "mkdir -p /etc/replicator");
    node.write_file("/etc/replicator/replicator.toml", config).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

/// The first promotion, of the first node, and the first replication.
pub(crate) fn begin(cluster: &Cluster) {
    let a = cluster.node(1);
    fill(a, "tank/data", 1);
    ends(a, "promote data", 0, &["active now, in epoch 1"]);
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
}

/// What a node says that it is: the role, what to do about it, and all in full.
pub(crate) fn role(node: &Node) -> (String, String, String) {
    let output = node.script("replicator pair role data --json").limit(PATIENCE).run().expect("it answers");
    let said = format!("{}{}", output.out(), output.err());
    let json: serde_json::Value =
        serde_json::from_str(&output.out()).unwrap_or_else(|error| panic!("{error}: {said}"));
    let found = &json["pairs"][0];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_else(|| panic!("{said}")).to_string();
    let (role, remedy) = (word(&found["role"]), word(&found["remedy"]["kind"]));
    let code = if ["active", "standby"].contains(&&*role) { 0 } else { 9 };
    assert_eq!(output.code(), code, "{said}");
    (role, remedy, said)
}

/// A node is this, with this to do and these words, now.
pub(crate) fn is(node: &Node, role: (&str, &str), words: &[&str]) {
    let (found, remedy, said) = self::role(node);
    assert_eq!((&*found, &*remedy), role, "{}: {said}", node.name());
    for word in words {
        assert!(said.contains(word), "{}: {word:?} is not in {said}", node.name());
    }
}

/// A node becomes this: a cluster takes its time. Until then it must never be `never`.
pub(crate) fn becomes(node: &Node, role: (&str, &str), never: Option<&str>) {
    let mut last = String::new();
    until(&format!("{} becomes {}", node.name(), role.0), PATIENCE, || {
        let (found, remedy, said) = self::role(node);
        assert!(never != Some(&*found), "{}: {said}", node.name());
        if last != said {
            eprintln!("{} is {found}, {remedy}", node.name());
        }
        last = said;
        (&*found, &*remedy) == role
    });
}
