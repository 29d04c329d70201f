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
<<<<<<< HEAD
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
=======
fn a_push_that_the_network_cut_is_resumed() {
    let cluster = pair();
    let (here, there) = (cluster.node(1), cluster.node(2));
    fill_big(here, "tank/data");
    let link = cluster.link(1, 2);
    link.drop_after(12_000_000);
    refused(here, "tank/data node2:back/data --idle-timeout 4 --retries 0", 4, &["node2", "again"]);
    assert!(link.wait_silent(Duration::from_secs(1)), "the cut did not happen");
    link.heal();
    // The far end has to notice as well; until then it still holds the dataset.
    sh(there, "pkill -x sshd-session || true; sleep 1");
    assert!(token(there, "back/data").starts_with("1-"));
    let said = replicate(here, "tank/data node2:back/data");
    assert!(said.contains("resume full @s1"), "{said}");
    assert_same((here, "tank/data"), (there, "back/data"));
    assert_eq!(sh(there, "zfs get -H -o value readonly back/data"), "on");
}

#[test]
fn a_pull_that_the_network_cut_is_resumed_and_the_rest_follows() {
    let cluster = pair();
    let (there, here) = (cluster.node(1), cluster.node(2));
    fill_big(there, "tank/data");
    replicate(here, "node1:tank/data back/data");
    sh(
        there,
        "for i in 2 4 6; do head -c 4000000 /dev/urandom > /tank/data/f$i; done; zfs snapshot tank/data@s2",
    );
    change(there, "tank/data", 3);
    let link = cluster.link(1, 2);
    link.drop_after(8_000_000);
    refused(here, "node1:tank/data back/data --idle-timeout 4 --retries 0", 4, &["node1"]);
    assert!(link.wait_silent(Duration::from_secs(1)), "the cut did not happen");
    link.heal();
    assert!(token(here, "back/data").starts_with("1-"));
    let said = replicate(here, "node1:tank/data back/data");
    assert!(said.contains("[1/2] resume @s1 → @s2") && said.contains("[2/2] @s2 → @s3"), "{said}");
    assert_same((there, "tank/data"), (here, "back/data"));
}

#[test]
fn ctrl_c_ends_a_run_with_its_own_status_and_the_next_one_goes_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    cluster.link(1, 2).bandwidth(Some(3_000_000));
    for (node, route, holder, target) in [
        (a, "tank/data node2:back/pushed", b, "back/pushed"),
        (b, "node1:tank/data back/pulled", b, "back/pulled"),
    ] {
        let process = node
            .command("replicator")
            .args(["replicate"].into_iter().chain(route.split(' ')))
            .limit(Duration::from_secs(100))
            .spawn()
            .expect("started");
        // Until a part is on the target; the receive that is under way shows no token before it was written out.
        sh(
            holder,
            &format!(
                "for i in $(seq 100); do zfs list {target} >/dev/null 2>&1 && break; sleep 0.1; done; sleep 2"
            ),
        );
        process.signal(2);
        let output = process.wait().expect("it ends");
        assert_eq!(output.code(), 6, "{}", output.err());
        assert!(output.err().contains("go on from there"), "{}", output.err());
        sh(
            holder,
            &format!(
                "for i in $(seq 50); do zfs get -H -o value receive_resume_token {target} | grep -q ^1- && break; sleep 0.2; done"
            ),
        );
        assert!(token(holder, target).starts_with("1-"));
        let said = replicate(node, route);
        assert!(said.contains("resume full @s1"), "{said}");
        assert_same((a, "tank/data"), (b, target));
    }
>>>>>>> eee8aba
}
