//! What tests need that know nothing of replications: scripts, and the comparison of two trees.

use lab::Node;

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

/// Whether this is the long set.
pub(crate) fn long() -> bool {
    std::env::var_os("LAB_LONG").is_some()
}
