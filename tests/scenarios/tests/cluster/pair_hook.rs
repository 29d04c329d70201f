//! The hook of a Proxmox guest: its start promotes the node or is refused, its stop demotes it. The cluster is a stand-in.

use lab::Node;
use lab::Output;
use scenarios::proxmox::Cluster;
use scenarios::proxmox::PVESH;

use crate::replicas::*;

const NAMES: [&str; 2] = ["elitedesk", "thinkpad"];

fn prepare(node: &Node, at: usize) {
    sh(node, &format!("{TANK}; mkdir -p /root/pve /etc/replicator"));
    let config = format!(
        "[pair.nfs]\nroots = [\"tank/data\"]\nnode = \"{}\"\n\
         peer = {{ node = \"{}\", host = \"root@node{}\", ssh = {{ connect_timeout = \"5s\" }} }}\n\
         proxmox = {{ guest = 103, files = \"/root/pve\", pvesh = \"/root/pve/pvesh\" }}\n\
         watch = {{ times = 2, distance = \"0\", timeout = \"50s\" }}\nretries = 0\n",
        NAMES[at],
        NAMES[1 - at],
        2 - at
    );
    node.write_file("/etc/replicator/replicator.toml", config).expect("written");
    node.write_file("/root/pve/pvesh", PVESH).expect("written");
    sh(node, "chmod 755 /root/pve/pvesh; chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

/// What both nodes see of the cluster from now on.
fn show(nodes: &[(&Node, usize)], cluster: &Cluster) {
    for (node, at) in nodes {
        sh(node, "rm -f /root/pve/.vmlist /root/pve/.members");
        for (name, text) in cluster.files(NAMES[*at]) {
            node.write_file(&format!("/root/pve/{name}"), text).expect("written");
        }
    }
}

fn hook(node: &Node, phase: &str) -> Output {
    replicator(node, &format!("pair hook nfs 103 {phase}"))
}

fn ends(node: &Node, phase: &str, code: i32, words: &str) {
    let output = hook(node, phase);
    let said = format!("{}{}", output.out(), output.err());
    assert_eq!(output.code(), code, "{phase} on {}: {said}", node.name());
    assert!(said.contains(words), "{phase} on {}: {words:?} is not in {said}", node.name());
}

fn readonly(node: &Node) -> String {
    sh(node, "zfs get -H -o value readonly tank/data; grep -c ' /tank/data ' /proc/mounts || true")
}

#[test]
fn a_guest_starts_only_where_its_data_are_and_leaves_nothing_behind_when_it_stops() {
    let nodes = lab::Cluster::boot(2).expect("two nodes");
    let (a, b) = (nodes.node(1), nodes.node(2));
    let mut cluster = Cluster::new(103, &[NAMES[0], NAMES[1], "witness"]);
    prepare(a, 0);
    prepare(b, 1);
    fill(a, "tank/data", 1);
    let both = [(a, 0), (b, 1)];
    show(&both, &cluster);
    // The first start; one more changes nothing.
    ends(a, "pre-start", 0, "elitedesk is active now, in epoch 1");
    ends(a, "pre-start", 0, "elitedesk is active already, in epoch 1");
    ends(a, "post-start", 0, "");
    ends(b, "pre-start", 9, "the guest is not started on thinkpad");
    let sent = replicator(a, "run --json");
    assert_eq!(sent.code(), 0, "{}{}", sent.out(), sent.err());
    assert_same((a, "tank/data"), (b, "tank/data"));
    assert_eq!((readonly(a), readonly(b)), ("off\n1".to_string(), "on\n0".to_string()));
    // It moves, as people or the cluster move it: what was written last goes along.
    sh(a, "echo 'the last words' > /tank/data/late");
    ends(a, "pre-stop", 0, "");
    ends(a, "post-stop", 0, "the other node has everything");
    ends(a, "post-stop", 0, "");
    assert_eq!(readonly(a), "on\n0");
    cluster.event(&["guest", "on", NAMES[1]]);
    show(&both, &cluster);
    ends(b, "pre-start", 0, "thinkpad is active now, in epoch 2");
    assert_eq!(sh(b, "cat /tank/data/late"), "the last words");
    ends(a, "pre-start", 9, "the guest is not started on elitedesk");
    let back = replicator(b, "run");
    assert_eq!(back.code(), 0, "{}{}", back.out(), back.err());
    // Cut off from the others nobody starts anything, whatever the node had.
    cluster.event(&["cut", NAMES[1]]);
    show(&both, &cluster);
    ends(b, "pre-start", 9, "the guest is not started on thinkpad");
    // The node is gone, and the cluster starts the guest on the other one.
    b.power_cut();
    cluster.event(&["guest", "on", NAMES[0]]);
    show(&[(a, 0)], &cluster);
    ends(a, "pre-start", 0, "elitedesk is active now, in epoch 3");
    assert_eq!(sh(a, "cat /tank/data/late"), "the last words");
    // The hook of another guest.
    let other = replicator(a, "pair hook nfs 104 pre-start");
    assert_eq!(other.code(), 2, "{}", other.err());
    assert!(other.err().contains("goes by the guest 103"), "{}", other.err());
}
