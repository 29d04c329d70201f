//! `replicator pair check` on real nodes: what would keep a takeover from working is found before a node dies, doing what it
//! says helps, and what cannot be found out is never good.

use lab::Node;

use crate::pair::paired;
use crate::replicas::*;

/// Looks at the pair from a node; what it says, which has to end with this status.
fn checks(node: &Node, code: i32, words: &[&str]) -> String {
    let output = replicator(node, "pair check data");
    let text = format!("{}{}", output.out(), output.err());
    println!("{}: {}\n{text}", node.name(), output.code());
    assert_eq!(output.code(), code, "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    text
}

/// What chattr(1) does with `+i` and `-i`, which the nodes have not: the flags of an inode, by ioctl(2).
fn immutable(node: &Node, folder: &str, is: bool) {
    let flags = if is { "0x10" } else { "0" };
    let call = format!(
        "my $flags = pack('l!', {flags}); open(F, '<', '{folder}') && ioctl(F, 0x40086602, $flags) or die $!"
    );
    sh(node, &format!("perl -e \"{}\"", call.replace('$', "\\$")));
}

#[test]
fn what_would_keep_a_takeover_from_working_is_found_and_what_it_says_helps() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for node in [a, b] {
        sh(
            node,
            "printf '[[dataset]]\\nname = \"tank/data\"\\nrecursive = true\\nhourly = 24\\n' >> /etc/replicator/replicator.toml
             : > /etc/exports; replicator config check",
        );
    }
    let before = (state(a), state(b));
    // No systemd runs in these nodes, and their key is one that may do anything.
    let text = checks(
        a,
        0,
        &[
            "pair data: node1, this node, active",
            "pair data: node2, the other node, standby",
            "ok   mounted: all that is to be mounted on node1 is",
            "WARN timers: what starts runs on node1 is not known",
            "WARN mountpoint: what is written on node1 to /tank/data while nothing is mounted there",
            "ok   readonly: all of it is read-only on node2",
            "ok   mounted: nothing of it is mounted on node2",
            "WARN key: the key starts any command on node2",
            "ok   version: both nodes have OpenZFS 2.",
            "ok   features: tank has on both nodes what streams need",
            "WARN compare",
            "exports no dataset of the pair",
        ],
    );
    assert!(!text.contains("FAIL"), "{text}");
    let json = replicator(a, "pair check --json").out();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["grade"], "warn", "{json:#}");
    checks(b, 0, &["pair data: node2, this node, standby", "ok   mountpoint: nothing can be written"]);
    assert_eq!(before, (state(a), state(b)), "looking changed something");

    // The folder below a mountpoint, with nothing mounted there, and below what is mounted.
    sh(b, "mkdir -p /tank/data");
    checks(b, 0, &["WARN mountpoint: what is written on node2 to /tank/data", "chattr +i /tank/data"]);
    immutable(b, "/tank/data", true);
    checks(b, 0, &["ok   mountpoint: nothing can be written to the mountpoints on node2"]);
    sh(b, "zfs mount tank/data");
    checks(b, 0, &["ok   mountpoint: nothing can be written to the mountpoints on node2", "WARN mounted"]);
    sh(b, "zfs unmount tank/data");
    immutable(b, "/tank/data", false);
    sh(b, "touch /tank/data/stray");
    checks(b, 0, &["WARN mountpoint: something lies on node2 in /tank/data itself"]);
    sh(b, "rm /tank/data/stray");
    immutable(b, "/tank/data", true);

    // A standby that can be written to shows on both nodes.
    sh(b, "zfs set readonly=off tank/data; zfs mount tank/data");
    checks(b, 1, &["FAIL readonly: tank/data is not read-only on node2", "where it can be written to"]);
    checks(
        a,
        1,
        &[
            "FAIL readonly: tank/data is not read-only on node2",
            "FAIL mounted: tank/data is mounted on node2",
        ],
    );
    sh(b, "zfs unmount tank/data; zfs set readonly=on tank/data");
    // An active node that lost a mount.
    sh(a, "zfs unmount tank/data/photos");
    checks(a, 1, &["FAIL mounted: tank/data/photos is not mounted: /tank/data/photos is only a directory"]);
    sh(a, "zfs mount tank/data/photos");

    // An NFS server of the node itself.
    sh(a, "mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd");
    sh(a, "echo '/tank/data *(rw,no_subtree_check)' > /etc/exports; exportfs -ra");
    checks(a, 1, &["FAIL exports: /tank/data is exported by node1 without fsid="]);
    sh(a, "echo '/tank/data *(rw,no_subtree_check,fsid=7)' > /etc/exports");
    checks(a, 0, &["WARN exports: what node1 exports of /tank/data now", "on node1: exportfs -ra"]);
    sh(a, "exportfs -ra");
    checks(
        a,
        0,
        &[
            "ok   exports: /tank/data is exported by node1 with fsid=7",
            "fsid /tank/data=7; mountpoints /tank/data",
        ],
    );

    // A key that starts the agent and nothing else.
    let agent =
        "replicator agent --node node2 --root tank/data --allow list,receive,discard,bookmark,take-over";
    sh(b, &format!("sed -i 's|^ssh-|restrict,command=\"{agent}\" ssh-|' /root/.ssh/authorized_keys"));
    checks(a, 0, &["ok   key: the key starts the agent on node2 and nothing else"]);
    checks(b, 0, &["ok   key: a key on node2 starts the agent of the pair and nothing else"]);

    // Who looks at everything looks at the pair.
    let all = replicator(a, "check");
    assert_eq!(all.code(), 0, "{}{}", all.out(), all.err());
    assert!(all.out().contains("pair data: node1, this node, active"), "{}", all.out());

    b.power_cut();
    checks(a, 1, &["FAIL reach: node2 cannot be asked, and everything about it is not known"]);
    let all = replicator(a, "check");
    assert_eq!(all.code(), 1, "{}{}", all.out(), all.err());
}
