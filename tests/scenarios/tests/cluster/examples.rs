//! The example programs of `zfs-core`, run as a reader would run them.

use lab::{Cluster, workspace};

use crate::support::{files, sh};

#[test]
fn the_five_examples_do_what_they_say() {
    let built = workspace::cargo()
        .args(["build", "--quiet", "--release", "--package", "replicator-zfs-core", "--examples"])
        .status()
        .expect("cargo starts");
    assert!(built.success());
    let programs = workspace::target_dir().join("release/examples");
    let cluster = Cluster::builder().mount(programs, "/mnt/examples", false).boot().expect("a node");
    let node = cluster.node(1);
    sh(node, "zpool create tank /dev/ubdb && zpool create backup /dev/ubdc && zfs create tank/home");
    sh(node, "cp -a /usr/share/zoneinfo /tank/home");

    let taken = sh(node, "/mnt/examples/snapshot monday tank/home tank");
    assert_eq!(taken, "tank/home@monday\ntank@monday");
    assert_eq!(sh(node, "zfs get -Hpo value org.example:reason tank/home@monday"), "an example");
    let listed = sh(node, "/mnt/examples/list tank");
    let guid = sh(node, "zfs get -Hpo value guid tank/home@monday");
    assert!(
        listed.contains("filesystem tank/home") && listed.contains(&format!("@monday guid {guid}")),
        "{listed}"
    );

    sh(node, "/mnt/examples/send_to_file tank/home@monday /tmp/monday.zfs");
    sh(node, "rm -r /tank/home/zoneinfo/Europe && /mnt/examples/snapshot tuesday tank/home");
    sh(node, "/mnt/examples/send_to_file tank/home@tuesday /tmp/tuesday.zfs tank/home@monday");
    sh(node, "/mnt/examples/receive_from_file /tmp/monday.zfs backup/from-file@monday");
    sh(node, "/mnt/examples/receive_from_file /tmp/tuesday.zfs backup/from-file@tuesday");
    assert_eq!(files(node, "tank/home@tuesday"), files(node, "backup/from-file@tuesday"));

    sh(node, "/mnt/examples/replicate tank/home backup/home");
    sh(node, "date > /tank/home/new && /mnt/examples/snapshot wednesday tank/home");
    sh(node, "/mnt/examples/replicate tank/home backup/home");
    assert_eq!(files(node, "tank/home@wednesday"), files(node, "backup/home@wednesday"));
    let idle = sh(node, "/mnt/examples/replicate tank/home backup/home");
    assert!(idle.contains("up to date"), "{idle}");
}
