//! What transfers that were cut can leave behind: a state that cannot go on is never followed blindly. Those that go on
//! are in `cuts`, `stalls`, `killed` and `retries`.

use crate::replicas::*;

/// Big enough to be cut in the middle of one stream.
fn fill_big(node: &lab::Node, dataset: &str) {
    sh(
        node,
        &format!(
            "zfs create '{dataset}'; for i in 1 2 3 4 5 6; do head -c 4000000 /dev/urandom > /{dataset}/f$i; done; \
             zfs snapshot '{dataset}@s1'"
        ),
    );
}

fn token(node: &lab::Node, dataset: &str) -> String {
    sh(node, &format!("zfs get -H -o value receive_resume_token '{dataset}'"))
}

#[test]
fn a_partial_receive_of_a_destroyed_snapshot_stops_and_is_discarded_only_on_request() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 1);
    replicate(node, "tank/data back/incremental");
    change(node, "tank/data", 2);
    // Made with the zfs command, so that the state is not of our own making.
    sh(
        node,
        "zfs send -i @s1 tank/data@s2 | head -c 600000 | zfs receive -s -u back/incremental || true
         zfs send tank/data@s2 | head -c 600000 | zfs receive -s -u back/full || true
         zfs destroy tank/data@s2",
    );
    change(node, "tank/data", 3);
    for target in ["back/incremental", "back/full"] {
        assert!(token(node, target).starts_with("1-"), "{target}");
        let before = state(node);
        refused(
            node,
            &format!("tank/data {target}"),
            3,
            &["broke off", "no longer has", "--discard-partial"],
        );
        refused(node, &format!("tank/data localhost:{target}"), 3, &["--discard-partial"]);
        assert_eq!(before, state(node));
    }
    replicate(node, "tank/data localhost:back/incremental --discard-partial");
    replicate(node, "tank/data back/full --discard-partial");
    assert_same((node, "tank/data"), (node, "back/incremental"));
    assert_same((node, "tank/data"), (node, "back/full"));
}

#[test]
fn a_partial_receive_of_another_dataset_is_not_continued() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 1);
    fill(node, "tank/other", 1);
    sh(node, "zfs send tank/other@s1 | head -c 600000 | zfs receive -s -u back/data || true");
    assert!(token(node, "back/data").starts_with("1-"));
    let before = state(node);
    refused(node, "tank/data back/data", 3, &["cannot go on"]);
    refused(node, "tank/data localhost:back/data", 3, &["cannot go on"]);
    assert_eq!(before, state(node));
}

#[test]
fn a_full_target_is_an_error_that_names_it_and_room_lets_it_go_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    // Whatever is free but for a little belongs to another dataset.
    sh(
        b,
        "zfs create back/filler; zfs set reservation=$(($(zfs list -Hp -o available back) - 12000000)) back/filler; zpool sync",
    );
    let source = state(a);
    let target = state(b);
    refused(a, "tank/data node2:back/pushed", 3, &["back/pushed", "bytes left", "room"]);
    refused(b, "node1:tank/data back/pulled", 3, &["back/pulled", "bytes left", "room"]);
    assert_eq!((&source, &target), (&state(a), &state(b)));
    // Where the estimate is not believed, ZFS itself says no.
    refused(a, "tank/data node2:back/pushed --ignore-space", 1, &["node2", "back/pushed", "space"]);
    refused(b, "node1:tank/data back/pulled --ignore-space", 1, &["back/pulled", "space"]);
    let without_bookmarks = |state: &str| -> Vec<String> {
        state.lines().filter(|line| !line.contains("#replicator_1_")).map(str::to_string).collect()
    };
    assert_eq!(without_bookmarks(&source), without_bookmarks(&state(a)));
    assert_eq!(sh(b, "zfs list -H -t snapshot -o name -r back"), "");
    sh(b, "zfs destroy back/filler; zpool sync");
    replicate(a, "tank/data node2:back/pushed");
    replicate(b, "node1:tank/data back/pulled");
    assert_same((a, "tank/data"), (b, "back/pushed"));
    assert_same((a, "tank/data"), (b, "back/pulled"));
}
