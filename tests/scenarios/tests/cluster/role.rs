//! `replicator pair role` on two real nodes, with real pools, real sshd and an agent at the other end; the cluster that
//! decides is a stand-in.

use lab::Node;
use scenarios::proxmox::Cluster;
use scenarios::proxmox::PVESH;

use crate::replicas::sh;

const CONFIG: &str = "/root/replicator.toml";

/// The nodes as the cluster calls them; a third one has a vote.
const NAMES: [&str; 2] = ["elitedesk", "thinkpad"];

/// A node with a pool, the configuration and the stand-in.
fn prepare(node: &Node, at: usize) {
    sh(node, "zpool create -O mountpoint=/tank tank /dev/ubdb; zfs create tank/data; mkdir -p /root/pve");
    let config = format!(
        "[pair.nfs]\nroots = [\"tank/data\"]\nnode = \"{}\"\npeer = {{ node = \"{}\", host = \"root@node{}\" }}\n\
         proxmox = {{ guest = 103, files = \"/root/pve\", pvesh = \"/root/pve/pvesh\" }}\n\
         watch = {{ times = 2, distance = \"0\", timeout = \"50s\" }}\n",
        NAMES[at],
        NAMES[1 - at],
        2 - at
    );
    node.write_file(CONFIG, config).expect("written");
    node.write_file("/root/pve/pvesh", PVESH).expect("written");
    sh(node, &format!("chmod 755 /root/pve/pvesh; chmod 644 {CONFIG}"));
}

/// What a node sees of the cluster from now on.
fn show(node: &Node, cluster: &Cluster, at: usize) {
    sh(node, "rm -f /root/pve/.vmlist /root/pve/.members");
    for (name, text) in cluster.files(NAMES[at]) {
        node.write_file(&format!("/root/pve/{name}"), text).expect("written");
    }
}

/// As a promotion writes it.
fn promote(node: &Node, number: u64, holder: &str) {
    let pool = sh(node, "printf %016x $(zpool get -Hpo value guid tank)");
    sh(node, &format!("zfs set replicator:epoch=1:{number}:{holder}:{} tank/data", pool.trim()));
}

/// The role of a node, by a command that must end so.
fn role(node: &Node, more: &str, code: i32) -> serde_json::Value {
    let output = crate::replicas::replicator(node, &format!("pair role --config {CONFIG} --json {more}"));
    let text = format!("{}{}", output.out(), output.err());
    println!("{more}: {}\n{text}", output.code());
    assert_eq!(output.code(), code, "{text}");
    let mut all: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
    all["pairs"][0].take()
}

#[test]
fn both_nodes_say_what_they_are_and_why() {
    let nodes = lab::Cluster::boot(2).expect("two nodes");
    let both = [nodes.node(1), nodes.node(2)];
    let mut cluster = Cluster::new(103, &[NAMES[0], NAMES[1], "witness"]);
    for (at, node) in both.into_iter().enumerate() {
        prepare(node, at);
        show(node, &cluster, at);
    }
    let [a, b] = both;
    // Nobody was ever promoted.
    let first = role(a, "", 0);
    assert_eq!(
        (&first["role"], &first["remedy"]["kind"]),
        (&"standby".into(), &"promote".into()),
        "{first:#}"
    );
    assert_eq!(first["observations"][0]["peer"]["answered"]["epoch"]["known"], serde_json::Value::Null);

    promote(a, 1, NAMES[0]);
    let active = role(a, "", 0);
    assert_eq!((&active["role"], &active["remedy"]["kind"]), (&"active".into(), &"nothing".into()));
    assert_eq!(active["observations"].as_array().map(Vec::len), Some(2));
    let standby = role(b, "nfs", 0);
    assert_eq!(standby["role"], "standby");
    let there = &standby["observations"][0]["peer"]["answered"]["epoch"]["known"];
    assert_eq!((&there["number"], &there["holder"]), (&1.into(), &NAMES[0].into()), "{standby:#}");
    let text = crate::replicas::replicator(a, &format!("pair role -c {CONFIG}")).out();
    assert!(text.starts_with("nfs: elitedesk is active\n"), "{text}");
    assert!(text.contains("  peer      answers, epoch none\n"), "{text}");

    // The first node is cut off from the cluster, and its container runs on; the other one takes over.
    cluster.event(&["cut", NAMES[0]]);
    cluster.event(&["guest", "on", NAMES[1]]);
    for (at, node) in both.into_iter().enumerate() {
        show(node, &cluster, at);
    }
    let cut = role(a, "", 9);
    assert_eq!((&cut["role"], &cut["reasons"][0]["about"]), (&"unknown".into(), &"quorum".into()), "{cut:#}");
    promote(b, 2, NAMES[1]);
    // It is told by the epoch there, and needs no cluster for that.
    let isolated = role(a, "", 9);
    assert_eq!((&isolated["role"], &isolated["remedy"]["kind"]), (&"isolated".into(), &"rejoin".into()));
    assert_eq!(role(b, "", 0)["role"], "active");
    assert_eq!(role(a, "--without-peer --once", 9)["role"], "unknown");

    // Both promoted to the same number.
    promote(a, 2, NAMES[0]);
    for node in both {
        let found = role(node, "", 9);
        assert_eq!(
            (&found["role"], &found["remedy"]["kind"]),
            (&"isolated".into(), &"choose".into()),
            "{found:#}"
        );
    }

    // The other node is off: it is not waited for.
    promote(a, 1, NAMES[0]);
    cluster.event(&["heal", NAMES[0]]);
    show(a, &cluster, 0);
    a.power_cut();
    let alone = role(b, "", 0);
    assert_eq!(alone["role"], "active");
    assert!(alone["observations"][0]["peer"]["unreachable"].is_string(), "{alone:#}");

    // A person holds everything back, and lets it go.
    assert_eq!(role(b, "nfs --set unknown --for 2h", 9)["reasons"][0]["about"], "by-hand");
    assert_eq!(role(b, "", 9)["role"], "unknown");
    assert_eq!(role(b, "nfs --clear", 0)["role"], "active");
    // What was said is gone from the disk as well.
    assert_eq!(sh(b, "ls /var/lib/replicator/pairs | wc -l").trim(), "0");
}
