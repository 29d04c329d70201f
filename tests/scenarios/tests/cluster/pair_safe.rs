//! A pair after something went wrong: a rejoin that broke off, a node that is back before the other one was promoted, and one
//! that is there and cannot be asked.

use lab::Cluster;
use lab::Node;

use crate::pair::configure;
use crate::pair::ends;
use crate::pair::paired;
use crate::replicas::*;

/// Boots a node whose power went, with its pool imported and nothing mounted.
fn back(node: &Node, role: &str) {
    node.boot().expect("it boots");
    sh(node, "zpool import -f -d /dev tank");
    configure(node, role);
}

/// node1 has lost its power with something that was never sent, node2 has gone on, and node1 is back.
fn split() -> Cluster {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, "echo 'only here' > /tank/data/late; echo 'here, too' > /tank/data/photos/late; sync; zpool sync");
    a.power_cut();
    ends(b, "promote data", 0, &["active now, in epoch 2"]);
    configure(b, "active");
    change(b, "tank/data", 5);
    change(b, "tank/data/photos", 5);
    back(a, "standby");
    cluster
}

/// What a crash leaves right after the root was set aside: to the other node this one has nothing at all.
#[test]
fn nothing_is_sent_in_full_to_a_node_whose_rejoin_broke_off() {
    let cluster = split();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(
        a,
        "zfs set readonly=on tank/data
         zfs set replicator:rejoin=1:1 tank/data; zfs set canmount=noauto tank/data
         zfs rename -u tank/data tank/data-divergent-1",
    );
    let before = state(a);
    ends(b, "send data", 3, &["a rejoin of tank/data broke off", "pair rejoin"]);
    assert_eq!(state(a), before);
    ends(a, "rejoin data", 0, &["node1 follows node2, in epoch 2"]);
    ends(b, "send data", 0, &["node1 has all snapshots of node2"]);
    assert_same((b, "tank/data"), (a, "tank/data"));
    assert_same((b, "tank/data/photos"), (a, "tank/data/photos"));
    // It goes on from what both had, and the children are where they belong.
    for dataset in ["tank/data-divergent-1", "tank/data/photos-divergent-1"] {
        let origin = sh(a, &format!("zfs get -H -o value origin {dataset}"));
        assert!(origin.starts_with("tank/data"), "{dataset} is a copy of its own: {origin:?}");
        let mark = sh(a, &format!("zfs get -H -s local,received -o value replicator:rejoin {dataset}"));
        assert_eq!(mark, "", "{dataset} is still marked");
    }
    let kept = "mount -t zfs -o ro,zfsutil tank/data-divergent-1 /mnt; cat /mnt/late; umount /mnt";
    assert_eq!(sh(a, kept), "only here");
}

/// As after a watchdog: the node that had the service is back, with what it wrote last in no snapshot.
#[test]
fn a_node_that_is_back_too_early_gives_what_it_has_and_stands_in_nobodys_way() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, "echo 'the last words' > /tank/data/late; sync; zpool sync");
    a.power_cut();
    back(a, "standby");
    assert_eq!(sh(a, "zfs get -H -o value readonly tank/data"), "off");
    ends(b, "promote data", 3, &["tank/data was written to on node1 since its newest snapshot"]);
    // What its timer does.
    let run = replicator(a, "run");
    assert!([0, 9].contains(&run.code()), "{}\n{}", run.out(), run.err());
    assert_eq!(sh(a, "zfs get -H -o value readonly tank/data"), "on");
    ends(b, "promote data", 0, &["active now, in epoch 2"]);
    assert_eq!(sh(b, "cat /tank/data/late"), "the last words");
    // And it was told: nothing has to be rejoined.
    let epoch = sh(a, "zfs get -H -o value replicator:epoch tank/data");
    assert!(epoch.starts_with("1:2:node2:"), "{epoch}");
}

/// Who answers and is not the one we know, or has no agent for us, may well be the active node.
#[test]
fn a_node_that_is_there_and_cannot_be_asked_keeps_the_other_one_from_being_promoted() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(b, "mv /root/.ssh/known_hosts /root/known");
    ends(b, "promote data", 3, &["what node1 has is not known", "--force"]);
    sh(b, "mv /root/known /root/.ssh/known_hosts");
    // A key that may start something else.
    sh(
        a,
        "cp /root/.ssh/authorized_keys /root/kept; sed -i 's|^ssh-|restrict,command=\"false\" ssh-|' /root/.ssh/authorized_keys",
    );
    ends(b, "promote data", 3, &["what node1 has is not known", "--force"]);
    sh(a, "cp /root/kept /root/.ssh/authorized_keys");
    ends(b, "promote data", 3, &["can still be written to on node1"]);
    assert_eq!(sh(b, "zfs get -H -o value readonly tank/data"), "on");
    // One that is gone is no hindrance.
    a.power_cut();
    ends(b, "promote data", 0, &["active now, in epoch 2", "node1 cannot be asked"]);
}
