//! The hook of a Proxmox guest: its start promotes the node or is refused, its stop demotes it. The cluster is a stand-in.

use lab::Node;
use lab::Output;
use scenarios::proxmox::Cluster;
use scenarios::proxmox::PVESH;

use crate::replicas::*;

const NAMES: [&str; 2] = ["elitedesk", "thinkpad"];

fn prepare(node: &Node, at: usize, roots: &[&str]) {
    sh(node, &format!("{TANK}; mkdir -p /root/pve /etc/replicator"));
    let config = format!(
        "[pair.nfs]\nroots = {roots:?}\nnode = \"{}\"\n\
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
    prepare(a, 0, &["tank/data"]);
    prepare(b, 1, &["tank/data"]);
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

/// As most pairs have them: several roots, in two pools.
const FOUR: [&str; 4] = ["tank/data", "tank/more", "back/photos", "back/storage"];

/// The epochs of all roots, without the pools that they name.
fn epochs(node: &Node) -> Vec<String> {
    let list = sh(node, &format!("zfs get -H -o value replicator:epoch {}", FOUR.join(" ")));
    list.lines().map(|line| line.rsplit_once(':').map_or(line, |(epoch, _)| epoch).to_string()).collect()
}

/// As a promotion leaves it that was cut off after so many roots.
fn promoted_halfway(node: &Node, roots: usize, number: u64, name: &str) {
    for root in &FOUR[..roots] {
        let pool = root.split('/').next().expect("a pool");
        let guid = sh(node, &format!("printf %016x $(zpool get -Hpo value guid {pool})"));
        sh(node, &format!("zfs set replicator:epoch=1:{number}:{name}:{guid} {root}"));
    }
}

/// Everything is mounted and can be written to.
fn is_up(node: &Node) {
    for root in FOUR {
        sh(node, &format!("[ $(zfs get -H -o value readonly {root}) = off ]; echo up > /{root}/up"));
    }
}

#[test]
fn a_start_finishes_a_promotion_of_several_roots_that_was_cut_off_and_one_that_was_handed_over() {
    let nodes = lab::Cluster::boot(2).expect("two nodes");
    let all = [nodes.node(1), nodes.node(2)];
    let mut cluster = Cluster::new(103, &[NAMES[0], NAMES[1], "witness"]);
    for (at, node) in all.into_iter().enumerate() {
        prepare(node, at, &FOUR);
        sh(node, BACK);
    }
    for root in FOUR {
        fill(all[0], root, 1);
    }
    let both = [(all[0], 0), (all[1], 1)];
    show(&both, &cluster);
    ends(all[0], "pre-start", 0, "elitedesk is active now, in epoch 1");
    let mut active = 0;
    // After each of the roots but the last.
    for cut in 1..FOUR.len() {
        let (from, to, number) = (active, 1 - active, cut as u64 + 1);
        let sent = replicator(all[from], "run");
        assert_eq!(sent.code(), 0, "{}{}", sent.out(), sent.err());
        ends(all[from], "post-stop", 0, "the other node has everything");
        cluster.event(&["guest", "on", NAMES[to]]);
        show(&both, &cluster);
        promoted_halfway(all[to], cut, number, NAMES[to]);
        // Until then nothing is done, and it is said what is to be done.
        let seen = replicator(all[to], "pair status nfs");
        let flat = seen.out().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("as after a promotion that was cut off"), "{flat}{}", seen.err());
        assert!(flat.contains("replicator pair promote nfs"), "{flat}");
        assert_eq!(replicator(all[to], "run").code(), 9);
        ends(all[to], "pre-start", 0, &format!("{} is active now, in epoch {number}", NAMES[to]));
        assert_eq!(epochs(all[to]), [(); 4].map(|()| format!("1:{number}:{}", NAMES[to])));
        is_up(all[to]);
        active = to;
    }
    // It is handed over, and the cluster is to promote the other one: there, or here again.
    let (from, to) = (active, 1 - active);
    let sent = replicator(all[from], "run");
    assert_eq!(sent.code(), 0, "{}{}", sent.out(), sent.err());
    let given = replicator(all[from], "pair handover nfs --without-promotion");
    assert_eq!(given.code(), 0, "{}{}", given.out(), given.err());
    assert_eq!(epochs(all[from]), [(); 4].map(|()| format!("1:5:{}", NAMES[to])));
    let role = replicator(all[from], "pair role nfs");
    assert!(role.out().contains("is standby"), "{}", role.out());
    cluster.event(&["guest", "on", NAMES[to]]);
    show(&both, &cluster);
    let role = replicator(all[from], "pair role nfs");
    assert!(role.out().contains("this node has handed it over"), "{}", role.out());
    ends(all[to], "pre-start", 0, &format!("{} is active now, in epoch 5", NAMES[to]));
    is_up(all[to]);
    let sent = replicator(all[to], "run");
    assert_eq!(sent.code(), 0, "{}{}", sent.out(), sent.err());
}

#[test]
fn a_pool_that_is_gone_keeps_no_other_from_being_sent_and_everything_from_being_started() {
    let nodes = lab::Cluster::boot(2).expect("two nodes");
    let (a, b) = (nodes.node(1), nodes.node(2));
    let cluster = Cluster::new(103, &[NAMES[0], NAMES[1], "witness"]);
    for (at, node) in [a, b].into_iter().enumerate() {
        prepare(node, at, &FOUR);
        sh(node, BACK);
    }
    for root in FOUR {
        fill(a, root, 1);
    }
    show(&[(a, 0), (b, 1)], &cluster);
    ends(a, "pre-start", 0, "elitedesk is active now, in epoch 1");
    assert_eq!(replicator(a, "run").code(), 0);
    sh(a, "zpool export -f back");
    change(a, "tank/data", 2);
    let role = replicator(a, "pair role nfs");
    assert_eq!(role.code(), 9, "{}{}", role.out(), role.err());
    assert!(role.out().starts_with("nfs: elitedesk is active\n"), "{}", role.out());
    for root in ["back/photos", "back/storage"] {
        assert!(role.out().contains(&format!("{root} is left out")), "{}", role.out());
    }
    let run = replicator(a, "run");
    assert_ne!(run.code(), 0, "{}{}", run.out(), run.err());
    assert_same((a, "tank/data"), (b, "tank/data"));
    // The service needs all of it.
    ends(a, "pre-start", 9, "the guest is not started on elitedesk");
    // The same on the standby: what it can receive it receives.
    sh(a, "zpool import -d /dev back; zfs mount back/photos; zfs mount back/storage");
    sh(b, "zpool export -f back");
    change(a, "tank/data", 3);
    assert_ne!(replicator(a, "run").code(), 0);
    assert_same((a, "tank/data"), (b, "tank/data"));
    sh(b, "zpool import -d /dev back");
    let run = replicator(a, "run");
    assert_eq!(run.code(), 0, "{}{}", run.out(), run.err());
}

#[test]
fn a_service_that_goes_back_and_forth_is_held_up_and_a_person_can_start_it() {
    let nodes = lab::Cluster::boot(2).expect("two nodes");
    let all = [nodes.node(1), nodes.node(2)];
    let mut cluster = Cluster::new(103, &[NAMES[0], NAMES[1], "witness"]);
    for (at, node) in all.into_iter().enumerate() {
        prepare(node, at, &["tank/data"]);
    }
    fill(all[0], "tank/data", 1);
    let both = [(all[0], 0), (all[1], 1)];
    show(&both, &cluster);
    ends(all[0], "pre-start", 0, "elitedesk is active now, in epoch 1");
    assert_eq!(replicator(all[0], "run").code(), 0);
    let mut active = 0;
    for number in 2..=9 {
        let (from, to) = (active, 1 - active);
        sh(all[from], &format!("echo {number} > /tank/data/{number}"));
        ends(all[from], "post-stop", 0, "the other node has everything");
        cluster.event(&["guest", "on", NAMES[to]]);
        show(&both, &cluster);
        // The third time of each of them, and from then on.
        let told = if number >= 5 { "something moves the service back and forth" } else { "is active now" };
        ends(all[to], "pre-start", 0, told);
        active = to;
    }
    // Five times it was promoted on the first one.
    assert_eq!(active, 0);
    ends(all[0], "post-stop", 0, "the other node has everything");
    cluster.event(&["guest", "on", NAMES[1]]);
    show(&both, &cluster);
    ends(all[1], "pre-start", 0, "is active now, in epoch 10");
    ends(all[1], "post-stop", 0, "");
    cluster.event(&["guest", "on", NAMES[0]]);
    show(&both, &cluster);
    ends(all[0], "pre-start", 9, "was promoted 5 times within an hour");
    let status = replicator(all[0], "pair status nfs");
    let flat = status.out().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("5 times within an hour"), "{flat}");
    // A restart is no promotion, and a person decides.
    let promoted = replicator(all[0], "pair promote nfs");
    assert_eq!(promoted.code(), 0, "{}{}", promoted.out(), promoted.err());
    ends(all[0], "pre-start", 0, "elitedesk is active already, in epoch 11");
    // Nothing that was written on the way is lost.
    let run = replicator(all[0], "run");
    assert_eq!(run.code(), 0, "{}{}", run.out(), run.err());
    for number in 2..=9 {
        assert_eq!(sh(all[0], &format!("cat /tank/data/{number}")), number.to_string());
    }
}
