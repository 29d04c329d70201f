//! What no prune of a pair takes away by itself: what was there before a loss that nobody has accepted, the copy of what was
//! destroyed on the active node, what a rejoin has set aside. And a role that changes in the middle of a run.

use lab::Node;

use crate::pair::configure;
use crate::pair::ends;
use crate::pair::paired;
use crate::replicas::*;

/// Where a hook finds out whether it is to take its time.
const SLOW: &str = "/root/slow";

/// A time to begin at: 20 minutes after the noon of some day.
const NOON: u64 = 1_795_435_200 + 1200;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// From one run to the next: in the next hour, and a minute less than one, so that what is kept for so many hours is not a
/// matter of how long a run takes.
const STEP: u64 = 3540;

/// The configuration of a pair, with a policy that keeps little. Where a node is slow, a person holds the pair back while the
/// hooks of its root run.
fn with_policies(node: &Node, role: &str) {
    configure(node, role);
    let hook =
        format!("! test -e {SLOW} || {{ replicator pair role data --set unknown --for 1h; sleep 2; }}");
    let policies = format!(
        r#"
[template.few]
hourly = 2
[[dataset]]
name = "tank/data"
use = "few"
recursive = true
pre_snapshot = {{ run = "{hook}", timeout = "60s" }}
pre_prune = {{ run = "{hook}", timeout = "60s" }}
[[dataset]]
name = "tank/own"
use = "few"
"#
    );
    let file = "/etc/replicator/replicator.toml";
    let config = sh(node, &format!("cat {file}"));
    node.write_file(file, format!("{config}\n{policies}")).expect("written");
    sh(
        node,
        &format!(
            "chmod 644 {file}; replicator config check; zfs list tank/own > /dev/null 2>&1 || zfs create tank/own"
        ),
    );
}

fn set_clock(node: &Node, after: u64) {
    sh(node, &format!("date --utc --set @{} > /dev/null", NOON + after));
}

/// A run with these arguments, which must end with this status; what it says.
fn runs(node: &Node, arguments: &str, code: i32) -> String {
    let output = replicator(node, &format!("run {arguments}"));
    let said = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "run {arguments} on {}\n{said}", node.name());
    said
}

/// Runs both, so long after noon.
fn both(nodes: [&Node; 2], after: u64) -> [String; 2] {
    nodes.map(|node| {
        set_clock(node, after);
        runs(node, "", 0)
    })
}

/// Names and GUIDs of the snapshots that the policy took, the oldest first.
fn taken(node: &Node, dataset: &str) -> Vec<String> {
    let list =
        format!("zfs list -Hp -t snapshot -d 1 -s createtxg -o name,guid {dataset} | grep _hourly || true");
    sh(node, &list).lines().map(|line| line.split_once('@').expect("a snapshot").1.to_string()).collect()
}

/// What a check says, with its status.
fn check(node: &Node) -> (i32, String) {
    let output = replicator(node, "monitor replication");
    (output.code(), output.out())
}

#[test]
fn what_was_lost_stays_until_it_is_accepted_whatever_time_goes_by() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    with_policies(a, "active");
    with_policies(b, "standby");
    for dataset in ["tank/data", "tank/data/photos"] {
        sh(a, &format!("head -c 8000000 /dev/urandom > /{dataset}/large; sync"));
    }
    both([a, b], 0);
    let before = taken(a, "tank/data");
    assert_eq!((before.len(), &before), (1, &taken(b, "tank/data")));
    assert_eq!(check(b).0, 0, "{}", check(b).1);
    // Hours, days and weeks later, with a clock that was off for a month in between.
    sh(a, "rm /tank/data/large; sync");
    let mut said = [String::new(), String::new()];
    for after in [HOUR, 2 * HOUR, 4 * HOUR, DAY, 9 * DAY, 9 * DAY + HOUR, 40 * DAY, 70 * DAY] {
        said = both([a, b], after);
        for node in [a, b] {
            let left = taken(node, "tank/data");
            assert!(left.starts_with(&before), "{} after {after} s: {left:?}", node.name());
            assert!(left.len() <= 6, "the others go by the policy: {left:?}");
        }
    }
    for (node, said) in [a, b].into_iter().zip(&said) {
        assert!(said.contains("tank/data lost most of its data"), "{said}");
        let (code, text) = check(node);
        assert!(
            code == 2 && text.contains("CRIT: pair data: tank/data lost most of its data"),
            "{code} {text}"
        );
        assert!(text.contains("replicator pair accept data --dataset tank/data"), "{text}");
        let metrics = replicator(node, "monitor metrics").out();
        let number = "replicator_pair_prune_paused{pair=\"data\",dataset=\"tank/data\",cause=\"lost\"} 1\n";
        assert!(metrics.contains(number), "{metrics}");
        assert!(metrics.contains("replicator_check_status{check=\"replication\"} 2\n"), "{metrics}");
        let status = replicator(node, "status").out().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(status.contains("RISK: Pair data: tank/data lost most of its data"), "{status}");
        ends(
            node,
            "status data",
            0,
            &["RISK: tank/data lost most of its data", "pair accept data --dry-run"],
        );
    }
    // It was meant.
    ends(a, "accept data", 0, &["accepted: tank/data"]);
    both([a, b], 70 * DAY + HOUR);
    for node in [a, b] {
        let left = taken(node, "tank/data");
        assert!(!left.contains(&before[0]), "{}: {left:?}", node.name());
        assert_eq!(check(node).0, 0, "{}", check(node).1);
    }
}

#[test]
fn the_copy_of_what_was_destroyed_is_not_pruned_and_that_is_told() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    with_policies(a, "active");
    with_policies(b, "standby");
    for n in 0..3 {
        change(a, "tank/data/photos", n + 2);
        both([a, b], n as u64 * STEP);
    }
    // Two by the rule, and one more that is not two hours old yet.
    let copies = taken(b, "tank/data/photos");
    assert_eq!(copies.len(), 3);
    sh(a, "zfs destroy -r tank/data/photos");
    let mut said = String::new();
    for after in [5 * HOUR, 9 * DAY, 40 * DAY] {
        [_, said] = both([a, b], after);
        assert_eq!(taken(b, "tank/data/photos"), copies, "after {after} s");
    }
    assert!(said.contains("tank/data/photos is not there on the active node"), "{said}");
    let (code, text) = check(b);
    assert!(code == 2 && text.contains("CRIT: pair data: tank/data/photos is not there"), "{code} {text}");
    assert_eq!(check(a).0, 0, "{}", check(a).1);
    ends(b, "status data", 0, &["RISK: tank/data/photos is only on node2"]);
    // Here it is what the hint says for one that was meant.
    sh(b, "zfs destroy -r tank/data/photos");
    both([a, b], 40 * DAY + HOUR);
    assert_eq!(check(b).0, 0, "{}", check(b).1);
}

#[test]
fn what_was_set_aside_below_a_root_is_neither_taken_nor_pruned_nor_sent() {
    const ASIDE: &str = "tank/data/photos-divergent-1";
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    with_policies(a, "active");
    with_policies(b, "standby");
    both([a, b], 0);
    // Somebody writes to the copy, and its snapshots have names of the policy, as those of a former active node have.
    sh(
        b,
        "zfs set readonly=off tank/data/photos; mkdir /own; mount -t zfs -o zfsutil tank/data/photos /own
         for hour in 13 14 15; do
             echo $hour > /own/$hour; sync
             zfs snapshot tank/data/photos@autosnap_2026-11-23_$hour:30:00_hourly
         done
         umount /own; zfs inherit readonly tank/data/photos",
    );
    ends(b, "rejoin data --aside", 0, &[ASIDE]);
    let kept = guids(b, ASIDE);
    assert_eq!(kept.len(), 3, "{kept:?}");
    change(a, "tank/data/photos", 2);
    both([a, b], HOUR);
    // The service moves there, and days go by.
    ends(a, "handover data", 0, &["node2 is active now, in epoch 2"]);
    with_policies(a, "standby");
    with_policies(b, "active");
    for after in [2 * HOUR, 5 * HOUR, 9 * DAY, 40 * DAY] {
        change(b, "tank/data", usize::try_from(after / HOUR).expect("small") + 10);
        let [said, of_standby] = both([b, a], after);
        assert_eq!(guids(b, ASIDE), kept, "after {after} s");
        assert_eq!(said.matches(&format!("{ASIDE} was set aside and is left alone")).count(), 1, "{said}");
        assert_eq!(said.matches(&format!("{ASIDE} was set aside, and is not sent")).count(), 1, "{said}");
        assert!(!of_standby.contains("divergent"), "{of_standby}");
        assert_eq!(sh(a, "zfs list -H -o name -r tank | grep divergent || true"), "");
        assert!(taken(b, "tank/data/photos").len() <= 4, "the others go by the policy");
    }
    let snapshots = replicator(b, "monitor snapshots");
    assert!(!snapshots.out().contains("divergent"), "nobody waits for new ones: {}", snapshots.out());
    sh(
        b,
        &format!(
            "mount -t zfs -o ro,zfsutil {ASIDE} /own; test \"$(cat /own/13 /own/14 /own/15)\" = \"$(seq 13 15)\""
        ),
    );
}

#[test]
fn a_role_that_changes_while_a_hook_runs_stops_what_comes_after_it() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    with_policies(a, "active");
    with_policies(b, "standby");
    for after in [0, STEP, 2 * STEP] {
        both([a, b], after);
    }
    let all = ["tank/data", "tank/data/photos", "tank/own"];
    let before = all.map(|dataset| taken(a, dataset));
    sh(a, &format!("touch {SLOW}"));
    // What is not of the pair goes on.
    set_clock(a, 3 * HOUR);
    let said = runs(a, "--only snapshot", 9);
    let gone = "this node was active when the run began, and now: unknown";
    assert!(said.contains("pair data: 2 snapshots are not taken") && said.contains(gone), "{said}");
    assert_eq!(taken(a, "tank/data"), before[0]);
    assert_eq!(taken(a, "tank/data/photos"), before[1]);
    assert_eq!(taken(a, "tank/own").len(), before[2].len() + 1);
    ends(a, "role data --clear", 0, &["active"]);
    // The same before snapshots go.
    set_clock(a, 9 * HOUR);
    let before = taken(a, "tank/data");
    let said = runs(a, "--only prune", 9);
    assert!(said.contains("snapshots are not destroyed") && said.contains(gone), "{said}");
    assert_eq!(taken(a, "tank/data"), before);
    assert!(taken(a, "tank/own").len() < 3, "{:?}", taken(a, "tank/own"));
    ends(a, "role data --clear", 0, &["active"]);
    sh(a, &format!("rm {SLOW}"));
    runs(a, "--only prune", 0);
    assert!(taken(a, "tank/data").len() < before.len());
}
