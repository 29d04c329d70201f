//! What the timer of each node of a pair does: only the active one takes snapshots and sends, both prune and keep what they
//! have in common, and where the role is not known nothing is done.

use lab::Node;

use crate::pair::configure;
use crate::pair::ends;
use crate::pair::paired;
use crate::replicas::*;

const POLICIES: &str = r#"
[template.few]
hourly = 2
[[dataset]]
name = "tank/data"
use = "few"
recursive = true
[[dataset]]
name = "tank/own"
use = "few"
"#;

/// A time to begin at: noon of some day, and 20 minutes.
const NOON: usize = 1_795_435_200 + 1200;
/// From one run to the next: in the next hour, and a minute less than one, so that what is kept for so many hours is not a
/// matter of how long a run takes.
const STEP: usize = 3540;

/// The configuration of a pair, and policies.
fn with_policies(node: &Node, role: &str) {
    configure(node, role);
    let file = "/etc/replicator/replicator.toml";
    let config = sh(node, &format!("cat {file}"));
    node.write_file(file, format!("{config}\n{POLICIES}")).expect("written");
    sh(node, &format!("chmod 644 {file}; replicator config check"));
}

fn set_clock(node: &Node, hour: usize) {
    sh(node, &format!("date --utc --set @{} > /dev/null", NOON + hour * STEP));
}

/// A run, which must end with this status; what it says of the pair.
fn run(node: &Node, code: i32) -> serde_json::Value {
    let output = replicator(node, "run --json");
    assert_eq!(output.code(), code, "run on {}\n{}\n{}", node.name(), output.out(), output.err());
    serde_json::from_str(&output.out()).expect("JSON")
}

/// Short names and GUIDs of the snapshots that policies took.
fn taken(node: &Node, dataset: &str) -> Vec<String> {
    let list =
        format!("zfs list -Hp -t snapshot -d 1 -s createtxg -o name,guid {dataset} | grep hourly || true");
    sh(node, &list).lines().map(|line| line.split_once('@').expect("a snapshot").1.to_string()).collect()
}

#[test]
fn the_runs_of_both_nodes_go_by_their_roles() {
    let cluster = paired();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for (node, role) in [(a, "active"), (b, "standby")] {
        with_policies(node, role);
        sh(node, "zfs create tank/own");
        set_clock(node, 0);
    }
    let record = run(a, 0);
    assert_eq!(record["pairs"][0]["role"], "active", "{record:#}");
    assert_eq!(record["phases"]["replicate"]["jobs"][0]["to"], "node2", "{record:#}");
    assert_eq!((taken(a, "tank/data").len(), taken(a, "tank/own").len()), (1, 1));
    assert_eq!(taken(a, "tank/data"), taken(b, "tank/data"));
    // The other node takes snapshots of its own datasets, and none of those that it receives.
    let record = run(b, 0);
    assert_eq!(record["pairs"][0]["role"], "standby", "{record:#}");
    assert_eq!((taken(b, "tank/data"), taken(b, "tank/own").len()), (taken(a, "tank/data"), 1));
    // Both prune what they have.
    for hour in 1..5 {
        change(a, "tank/data", hour + 10);
        for node in [a, b] {
            set_clock(node, hour);
            run(node, 0);
        }
        // Two by the rule, and one more that is not two hours old yet.
        assert!((1..=3).contains(&taken(a, "tank/data").len()), "{:?}", taken(a, "tank/data"));
        assert_eq!(taken(a, "tank/data/photos"), taken(b, "tank/data/photos"));
    }
    let common = taken(b, "tank/data").pop().expect("a snapshot");
    // The other node is away: what both have in common stays on both, whatever the rules say.
    let link = cluster.link(1, 2);
    link.cut();
    for hour in 5..10 {
        change(a, "tank/data", hour + 10);
        for node in [a, b] {
            set_clock(node, hour);
            let output = replicator(node, "run");
            // To send nothing is a failure of the active node only.
            assert_eq!(output.code(), if node.name() == "node1" { 4 } else { 0 }, "{}", output.err());
        }
        assert!(taken(a, "tank/data").contains(&common), "{:?}", taken(a, "tank/data"));
    }
    assert!(taken(a, "tank/data").len() <= 4, "the others go: {:?}", taken(a, "tank/data"));
    assert!(taken(b, "tank/data").contains(&common), "{:?}", taken(b, "tank/data"));
    link.heal();
    let record = run(a, 0);
    let bytes = record["phases"]["replicate"]["jobs"][0]["bytes"].as_u64().expect("a number");
    assert!(bytes < 10_000_000, "it goes on from there: {record:#}");
    assert_eq!(taken(a, "tank/data").last(), taken(b, "tank/data").last());
    run(b, 0);
    assert_same((a, "tank/data/photos"), (b, "tank/data/photos"));
    // Where the role is not known nothing of the pair is touched.
    set_clock(a, 12);
    ends(a, "role data --set unknown --for 1h", 9, &["unknown"]);
    let before = taken(a, "tank/data");
    let record = run(a, 9);
    assert_eq!(record["pairs"][0]["role"], "unknown", "{record:#}");
    assert_eq!(taken(a, "tank/data"), before);
    assert_eq!(taken(a, "tank/own").last().map(|name| name.contains("_hourly")), Some(true));
    ends(a, "role data --clear", 0, &["active"]);
    run(a, 0);
    assert_ne!(taken(a, "tank/data"), before);
}
