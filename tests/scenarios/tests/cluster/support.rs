//! What many of these tests need: two nodes with a pool each, data with some variety, and the comparison of two trees.

use lab::{Cluster, Node};

/// Two nodes, `tank` on the first and `store` on the second, each on the disk that outlives a power cut.
pub(crate) fn two_pools() -> Cluster {
    let cluster = Cluster::builder().nodes(2).memory(1536).boot().expect("two nodes");
    cluster
        .node(1)
        .sh("zpool create -O compression=lz4 tank /dev/ubdb")
        .and_then(lab::Output::ok)
        .expect("tank");
    cluster
        .node(2)
        .sh("zpool create -O compression=lz4 store /dev/ubdb")
        .and_then(lab::Output::ok)
        .expect("store");
    cluster
}

/// Runs a script that must succeed, and returns what it printed.
pub(crate) fn sh(node: &Node, script: &str) -> String {
    node.sh(script).and_then(lab::Output::ok).expect("the script succeeds").out()
}

/// The files of a snapshot with their sums, one a line.
pub(crate) fn files(node: &Node, snapshot: &str) -> Vec<String> {
    let script = format!(
        "mkdir -p /mnt/s && mount -t zfs -o ro '{snapshot}' /mnt/s && cd /mnt/s && \
         find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum; cd / && umount /mnt/s"
    );
    let lines = sh(node, &script).lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(!lines.is_empty(), "{snapshot} has no files: comparing it would prove nothing");
    lines
}

/// Names (without the dataset) and GUIDs of all snapshots of a dataset, oldest first.
pub(crate) fn snapshots(node: &Node, dataset: &str) -> Vec<String> {
    let listed = sh(node, &format!("zfs list -Hp -d 1 -t snapshot -s createtxg -o name,guid '{dataset}'"));
    listed.lines().map(|line| line.split_once('@').expect("a snapshot").1.to_owned()).collect()
}

/// Whether this is the long set.
pub(crate) fn long() -> bool {
    std::env::var_os("LAB_LONG").is_some()
}
