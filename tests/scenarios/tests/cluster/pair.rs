//! A pair of nodes: what the receiving node refuses, promotion after a power cut in the middle of a send, a rejoin that keeps
//! what was never replicated, and a handover by which nothing is lost.

use std::time::Duration;
use std::time::Instant;

use lab::Cluster;
use lab::Node;
use lab::Output;

use crate::faults::until;
use crate::replicas::*;

/// The configuration of a node; the decider is a word of the test.
pub(crate) fn configure(node: &Node, role: &str) {
    let peer = if node.name() == "node1" { "node2" } else { "node1" };
    let config = format!(
        r#"
        [pair.data]
        roots = ["tank/data"]
        node = "{}"
        peer = {{ node = "{peer}", host = "root@{peer}", ssh = {{ connect_timeout = "5s" }} }}
        fixed = "{role}"
        watch = {{ times = 1, distance = "0s", timeout = "10s" }}
        retries = 0
        compress = "off"
        "#,
        node.name()
    );
    sh(node, "mkdir -p /etc/replicator");
    node.write_file("/etc/replicator/replicator.toml", config).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

fn verb(node: &Node, arguments: &str) -> Output {
    replicator(node, &format!("pair {arguments}"))
}

/// One that must end with this status and say these words.
pub(crate) fn ends(node: &Node, arguments: &str, code: i32, words: &[&str]) -> String {
    let output = verb(node, arguments);
    let said = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "pair {arguments} on {}\n{said}", node.name());
    // Columns and paragraphs are as wide as what else is in them.
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "pair {arguments}: {word:?} is not in\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn epoch(node: &Node) -> String {
    let value = sh(node, "zfs get -H -o value,source replicator:epoch tank/data");
    let (value, source) = value.split_once('\t').expect("value and source");
    assert_eq!(source, "local", "{value}");
    let guid: u64 = sh(node, "zpool get -H -o value guid tank").parse().expect("a GUID");
    let (rest, pool) = value.rsplit_once(':').expect("a pool");
    assert_eq!(pool, format!("{guid:016x}"), "it names the pool of {}", node.name());
    rest.to_string()
}

fn readonly(node: &Node) -> String {
    sh(node, "zfs get -H -o value readonly tank/data")
}

fn is_mounted(node: &Node, dataset: &str) -> bool {
    !sh(node, &format!("grep '^{dataset} ' /proc/mounts || true")).is_empty()
}

/// Sums of all files below the root, as they are now.
fn sums(node: &Node) -> String {
    let sums = sh(node, "cd /tank/data; find . -type f | LC_ALL=C sort | xargs sha256sum");
    assert!(sums.lines().count() > 3, "nothing to compare: {sums}");
    sums
}

/// node1 is active with data in `tank/data` and `tank/data/photos`, node2 has all of it.
pub(crate) fn paired() -> Cluster {
    let cluster = Cluster::boot(2).expect("two nodes");
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, TANK);
    sh(b, TANK);
    fill(a, "tank/data", 1);
    fill(a, "tank/data/photos", 1);
    configure(a, "active");
    configure(b, "standby");
    ends(a, "promote data", 0, &["active now, in epoch 1"]);
    ends(a, "promote", 0, &["active already, in epoch 1"]);
    ends(a, "send data", 0, &["node2 has all snapshots of node1"]);
    assert_eq!((epoch(a), epoch(b)), ("1:1:node1".to_string(), "1:1:node1".to_string()));
    assert_eq!((readonly(a), readonly(b)), ("off".to_string(), "on".to_string()));
    assert!(is_mounted(a, "tank/data/photos") && !is_mounted(b, "tank/data"));
    assert_same((a, "tank/data/photos"), (b, "tank/data/photos"));
    cluster
}

#[test]
fn nothing_is_received_but_from_the_node_that_was_promoted_last() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    change(a, "tank/data", 2);
    let before = state(b);
    // Without an epoch, through an agent; also into what lies below.
    let plain = "-r tank/data root@node2:tank/data --far-end agent";
    refused(a, plain, 3, &["epoch 1 of node1", "does not say for which epoch", "[R331]"]);
    let below = "tank/data/photos root@node2:tank/data/new --far-end agent";
    refused(a, below, 3, &["does not say for which epoch"]);
    assert_eq!(before, state(b));
    // Into the active one, whoever comes.
    let active = state(a);
    refused(b, "-r tank/data root@node1:tank/data/copy --far-end agent", 3, &["tank/data belongs to a pair"]);
    assert_eq!(active, state(a));
    // An old line of a crontab, on the node that has become the active one.
    let old = a.sh("replicator syncoid --no-sync-snap -r root@node2:tank/data tank/data").expect("it runs");
    assert_eq!(old.code(), 2, "{}", old.err());
    assert!(old.err().contains("CRITICAL ERROR: tank/data belongs to a pair"), "{}", old.err());
    assert_eq!(active, state(a));
    // Somebody may write to the standby.
    sh(b, "zfs set readonly=off tank/data; zfs mount tank/data");
    ends(a, "send data", 3, &["tank/data is mounted and writable"]);
    sh(b, "zfs umount tank/data; zfs set readonly=on tank/data");
    // What it has is another pool's, or came with a stream.
    let value = sh(b, "zfs get -H -o value replicator:epoch tank/data");
    sh(b, "zfs set replicator:epoch=1:1:node1:0000000000000001 tank/data");
    ends(a, "send data", 3, &["epoch of tank/data is not known", "another pool"]);
    sh(b, &format!("zfs set replicator:epoch={value} tank/data"));
    ends(a, "send data", 0, &[]);
    assert_same((a, "tank/data"), (b, "tank/data"));
    // Once the other one is promoted, this one sends no more, although nothing has told it so.
    ends(b, "promote data", 3, &["can still be written to on node1"]);
    ends(b, "promote data --force", 0, &["active now, in epoch 2"]);
    change(a, "tank/data", 3);
    let before = state(b);
    let sent = verb(a, "send data");
    assert!([3, 9].contains(&sent.code()), "{}", sent.err());
    ends(a, "promote data", 3, &["promoted later", "pair rejoin"]);
    assert_eq!(before, state(b));
    ends(
        a,
        "status data",
        0,
        &["node1 isolated 1 of node1", "node2 isolated 2 of node2", "pair rejoin data"],
    );
}

#[test]
fn a_power_cut_in_a_send_promotion_rejoin_and_handover_back_lose_nothing() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    // A large send; the active node loses its power in the middle of it.
    sh(a, "head -c 30000000 /dev/urandom > /tank/data/large; zfs snapshot -r tank/data@s2");
    sh(a, "zfs snapshot tank/data@never; echo 'acknowledged' > /tank/data/late; sync; zpool sync");
    let late = sums(a);
    let link = cluster.link(1, 2);
    link.bandwidth(Some(2_000_000));
    let before = link.counters().payload;
    let run =
        a.script("exec replicator pair send data").limit(Duration::from_secs(120)).spawn().expect("started");
    until("bytes pass", Duration::from_secs(60), || {
        link.counters().payload - before > 6_000_000 || run.finished()
    });
    assert!(!run.finished(), "it was over before the power was cut");
    until("the receive is there", Duration::from_secs(20), || {
        !sh(b, "pgrep -x replicator || true").is_empty()
    });
    a.power_cut();
    drop(run);
    link.bandwidth(None);
    // The receive of a sender that is gone still waits for bytes.
    assert!(!sh(b, "pgrep -x replicator || true").is_empty(), "the agent has ended by itself");
    let started = Instant::now();
    let said = ends(b, "promote data", 0, &["active now, in epoch 2", "node1 cannot be asked"]);
    eprintln!("promoted after {:?}: {said}", started.elapsed());
    assert_eq!(epoch(b), "1:2:node2");
    assert_eq!(readonly(b), "off");
    assert_eq!(sh(b, "zfs get -H -o value receive_resume_token tank/data"), "-");
    assert!(is_mounted(b, "tank/data") && is_mounted(b, "tank/data/photos"));
    sh(b, "echo 'after the failover' > /tank/data/new; echo 'here, too' > /tank/data/photos/new");
    sh(b, "zfs snapshot -r tank/data@b1; echo more > /tank/data/more");

    // The old one comes back, and mounts nothing by itself.
    a.boot().expect("it boots");
    sh(a, "zpool import -f -d /dev tank");
    assert!(!is_mounted(a, "tank/data"), "it was mounted by the import");
    configure(a, "standby");
    configure(b, "active");
    ends(a, "status data", 0, &["node2 active 2 of node2", "node1 isolated 1 of node1", "pair rejoin data"]);
    ends(b, "send data", 3, &["held by this node itself", "pair rejoin"]);
    let said = ends(a, "rejoin data", 0, &["node1 follows node2, in epoch 2", "tank/data-divergent-1"]);
    eprintln!("{said}");
    ends(a, "rejoin data", 0, &["node1 follows node2"]);
    assert_eq!(epoch(a), "1:2:node2");
    // All that was never replicated is there, under the other name.
    assert!(sh(a, "zfs list -H -o name -t snapshot -d 1 tank/data-divergent-1").contains("@never"));
    sh(
        a,
        "mkdir /mnt/kept; zfs set mountpoint=/mnt/kept tank/data-divergent-1; zfs mount tank/data-divergent-1",
    );
    let kept = sh(a, "cd /mnt/kept; find . -type f | LC_ALL=C sort | xargs sha256sum");
    let own: Vec<&str> = late.lines().filter(|line| !line.contains("./photos/")).collect();
    assert_eq!(kept.lines().collect::<Vec<_>>(), own, "what node1 had acknowledged");
    sh(a, "zfs umount tank/data-divergent-1");
    // And it follows, from the common snapshot on.
    let plan = ends(b, "send data", 0, &["node1 has all snapshots of node2"]);
    eprintln!("{plan}");
    assert_same((b, "tank/data"), (a, "tank/data"));
    assert_same((b, "tank/data/photos"), (a, "tank/data/photos"));

    // And back, with writes that no snapshot has.
    sh(b, "echo last > /tank/data/last; head -c 5000000 /dev/urandom > /tank/data/photos/last");
    let all = sums(b);
    ends(a, "handover data", 0, &["node2 had the service already, in epoch 2"]);
    let said = ends(b, "handover data", 0, &["node1 is active now, in epoch 3"]);
    eprintln!("{said}");
    assert_eq!((epoch(a), epoch(b)), ("1:3:node1".to_string(), "1:3:node1".to_string()));
    assert_eq!((readonly(a), readonly(b)), ("off".to_string(), "on".to_string()));
    assert!(!is_mounted(b, "tank/data") && is_mounted(a, "tank/data/photos"));
    assert_eq!(sums(a), all, "every byte went along");
    configure(a, "active");
    configure(b, "standby");
    change(a, "tank/data", 7);
    ends(a, "send data", 0, &[]);
    assert_same((a, "tank/data"), (b, "tank/data"));
    ends(
        a,
        "status data",
        0,
        &["node1 active 3 of node1", "node2 standby 3 of node1", "if node1 died: nothing;"],
    );
    // The service is stopped on node1, and started on it again.
    sh(a, "echo once more > /tank/data/again");
    ends(a, "demote data", 0, &["the other node has everything"]);
    assert!(!is_mounted(a, "tank/data"));
    assert_same((a, "tank/data"), (b, "tank/data"));
    ends(a, "promote data", 0, &["active already, in epoch 3"]);
    assert_eq!(sh(a, "cat /tank/data/again"), "once more");
}
