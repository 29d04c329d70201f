//! Transfers that are cut: what arrived is kept, the next run goes on from there, and a state that cannot go on is
//! never followed blindly.

use std::time::Duration;

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
}
