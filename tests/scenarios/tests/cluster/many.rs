//! Very many datasets and snapshots on one machine: what deciding takes of memory and calls, and how long it takes beside
//! the zfs command. Times are printed and not judged.

use std::time::Duration;
use std::time::Instant;

use lab::Node;
use lab::Output;

use crate::memory::watch;
use crate::memory::watched;
use crate::replicas::*;
use crate::support::long;

/// A time to begin at: noon of some day.
const NOON: u64 = 1_795_435_200;
const HOUR: u64 = 3600;

/// What deciding may take, in KiB.
const MEMORY: u64 = 100 << 10;

fn run(node: &Node, script: &str) -> (Output, Duration) {
    let began = Instant::now();
    let command = node.script(&format!("set -e\n{script}")).limit(Duration::from_secs(1800));
    let output = command.run().expect("the node answers").ok().expect("the script succeeds");
    (output, began.elapsed())
}

fn configure(node: &Node, text: &str) {
    sh(node, "mkdir -p -m 755 /etc/replicator");
    node.write_file("/etc/replicator/replicator.toml", text).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

/// A thousand datasets in the long set.
#[test]
fn many_datasets_are_decided_on_in_little_memory_and_taken_in_one_call() {
    const EACH: usize = 50;
    let count = if long() { 1000 } else { 20 };
    let cluster = alone();
    let node = cluster.node(1);
    configure(
        node,
        "[[dataset]]\nname = \"tank/all\"\nrecursive = true\nchildren_only = true\nhourly = 24\n",
    );
    run(node, &format!("zfs create tank/all; for d in $(seq {count}); do zfs create -u tank/all/d$d; done"));
    run(
        node,
        &format!(
            "for h in $(seq {EACH}); do
               date --utc --set @$(({NOON} + h * {HOUR} + 10)) > /dev/null
               zfs snapshot -r tank/all@autosnap_$(date --utc +%Y-%m-%d_%H:%M:%S)_hourly
             done
             date --utc --set @$(({NOON} + ({EACH} + 1) * {HOUR} + 60)) > /dev/null"
        ),
    );
    watch(node);
    let (due, taking) = run(node, "replicator snapshot --dry-run --json");
    let (going, pruning) = run(node, "replicator prune --dry-run --json");
    let peak = watched(node);
    let (_, listing) = run(
        node,
        "zfs list -H -r -t filesystem,volume,snapshot -o name,guid,createtxg,creation tank > /dev/null",
    );
    let [due, going] =
        [due, going].map(|plan| -> serde_json::Value { serde_json::from_str(&plan.out()).expect("JSON") });
    println!(
        "{count} datasets with {EACH} snapshots: due in {taking:.1?}, what goes in {pruning:.1?} (zfs list: {listing:.1?}), {peak:?} KiB
of that, in seconds: due {}, what goes {}",
        due["seconds"], going["seconds"]
    );
    assert!(peak.is_none_or(|peak| peak < MEMORY), "{peak:?} KiB");
    assert!(peak.is_some() || !long(), "nothing was measured");
    // Nothing was done so far, and each of the datasets is in both plans.
    for plan in [due, going] {
        assert!(plan.to_string().matches("tank/all/d").count() >= count);
    }
    let (taken, _) = run(node, "replicator run --json --only snapshot,prune,check");
    let record: serde_json::Value = serde_json::from_str(&taken.out()).expect("JSON");
    assert_eq!(record["phases"]["snapshot"]["taken"], count);
    assert_eq!(record["phases"]["snapshot"]["calls"], 1, "of one dataset no more than one is due");
    // Of 51, 24 are kept.
    assert_eq!(record["phases"]["prune"]["destroyed"], count * (EACH + 1 - 24));
    let left = sh(node, "zfs list -H -t snapshot -o name -r tank/all | grep -c /all/d");
    assert_eq!(left.trim(), (count * 24).to_string());
}

/// Ten thousand in the long set.
#[test]
fn many_snapshots_go_in_few_calls() {
    const DATASETS: usize = 100;
    let each = if long() { 100 } else { 5 };
    let cluster = alone();
    let node = cluster.node(1);
    configure(
        node,
        "[[dataset]]\nname = \"tank/ours\"\nrecursive = true\nchildren_only = true\nhourly = 1\n",
    );
    run(
        node,
        &format!(
            "for name in ours theirs; do
               zfs create -u tank/$name; for d in $(seq {DATASETS}); do zfs create -u tank/$name/d$d; done
             done
             for h in $(seq 0 {each}); do
               date --utc --set @$(({NOON} + h * {HOUR} + 10)) > /dev/null
               for name in ours theirs; do
                 zfs snapshot -r tank/$name@autosnap_$(date --utc +%Y-%m-%d_%H:00:00)_hourly
               done
             done
             date --utc --set @$(({NOON} + ({each} + 2) * {HOUR})) > /dev/null"
        ),
    );
    let (ours, took) = run(node, "replicator prune --json");
    let (_, theirs) = run(
        node,
        "all=$(zfs list -H -d 1 -t snapshot -s createtxg -o name tank/theirs | head -n -1 | cut -d @ -f 2)
         zfs destroy -r \"tank/theirs@$(head -1 <<< \"$all\")%$(tail -1 <<< \"$all\")\"",
    );
    let ratio = took.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "{} snapshots: decided on and destroyed in {took:.1?}, zfs destroy -r a%b {theirs:.1?}: ratio {ratio:.2}",
        DATASETS * each
    );
    let json: serde_json::Value = serde_json::from_str(&ours.out()).expect("JSON");
    assert_eq!(json["result"]["destroyed"].as_array().map(Vec::len), Some(DATASETS * each), "{json:#}");
    for (name, left) in [("ours", DATASETS + each + 1), ("theirs", DATASETS + 1)] {
        let all = sh(node, &format!("zfs list -H -r -t snapshot -o name tank/{name} | wc -l"));
        assert_eq!(all.trim(), left.to_string(), "{name}");
    }
}
