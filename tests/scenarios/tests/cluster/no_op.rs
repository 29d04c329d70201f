//! A run that finds nothing to do: what it costs the other machine.

use lab::Node;

use crate::replicas::*;

const DATASETS: usize = 40;
const SNAPSHOTS: usize = 10;

/// How many processes were started on a node since it booted; the kernel's own threads count as well.
fn started(node: &Node) -> u64 {
    sh(node, "awk '/^processes/ { print $2 }' /proc/stat").parse().expect("a number")
}

/// How many logins the server on port 2222 has seen.
fn logins(node: &Node) -> u64 {
    sh(node, "grep -c 'Accepted publickey' /tmp/sshd.log || true").parse().expect("a number")
}

/// The least that was started on `there` by some runs of a script on `here`: now and then something else starts too.
fn least(here: &Node, there: &Node, script: &str) -> u64 {
    let one = || {
        let before = started(there);
        sh(here, script);
        // The question itself starts some, always as many.
        started(there) - before
    };
    (0..5).map(|_| one()).min().expect("some runs")
}

#[test]
fn forty_one_datasets_up_to_date_cost_one_connection_and_two_processes() {
    let cluster = pair();
    let (here, there) = (cluster.node(1), cluster.node(2));
    sh(there, "$(command -v sshd) -p 2222 -E /tmp/sshd.log");
    let key = "ssh-keyscan node2 2>/dev/null | sed 's/^[^ ]*/[node2]:2222/' >> /root/.ssh/known_hosts";
    sh(here, key);
    let make = format!(
        "zfs create -o mountpoint=none tank/tree
         for d in $(seq {DATASETS}); do zfs create tank/tree/d$d; done
         for s in $(seq {SNAPSHOTS}); do zfs snapshot -r tank/tree@s$s; done"
    );
    sh(here, &make);
    let run = "replicator replicate -r --initial newest tank/tree root@node2:back/tree --port 2222";
    sh(here, run);

    let connection = least(here, there, "ssh -p 2222 root@node2 exec true");
    let before = logins(there);
    let said = sh(here, run);
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(logins(there) - before, 1, "connections");
    let zfs = least(here, there, run);
    // `exec true` is one process, the login shell itself.
    assert!(zfs + 1 - connection <= 2, "{zfs} processes were started, {connection} of them by ssh itself");

    let agent = least(here, there, &format!("{run} --far-end agent"));
    assert!(
        agent + 1 - connection <= 1,
        "{agent} processes were started, {connection} of them by ssh itself"
    );
}
