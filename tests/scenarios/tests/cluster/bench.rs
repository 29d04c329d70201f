//! The benchmark harness on two nodes, with sizes that say nothing: that everyone does what is measured, and that a target
//! which is not equal is an error.

use std::collections::BTreeSet;

use lab::Cluster;
use lab::Node;

use crate::support::sh;

const RUN: &str = "/opt/replicator/release/zfs-bench run --node --far root@node2 --disks /dev/ubdb,/dev/ubdc,/dev/ubdb --rounds 1";

/// Nodes that have `zfs-bench` beside the program, wherever `LAB_BIN_DIR` points.
fn boot(nodes: usize) -> Cluster {
    for package in ["zfs-replicator", "benches"] {
        lab::workspace::build_release(package).expect("built");
    }
    let folder = lab::workspace::target_dir().join("release");
    Cluster::builder().nodes(nodes).bin_dir(folder).boot().expect("nodes boot")
}

/// Runs suites on two nodes, and gives the results.
fn measured(node: &Node, suites: &str, sizes: &str) -> serde_json::Value {
    let limit = std::time::Duration::from_secs(1500);
    node.script(&format!("{RUN} --out /tmp/results.json {suites} -- {sizes}"))
        .limit(limit)
        .check()
        .expect("measured");
    let text = node.read_file("/tmp/results.json").expect("results");
    let results: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let cases = results["runs"][0]["cases"].as_array().expect("cases");
    let found: BTreeSet<&str> = cases.iter().filter_map(|case| case["suite"].as_str()).collect();
    assert_eq!(found, suites.split(' ').collect::<BTreeSet<_>>());
    for one in cases.iter().flat_map(|case| case["series"].as_array().expect("series")) {
        let sample = &one["samples"][0];
        assert!(sample["seconds"].as_f64() > Some(0.0) && sample["peak"].as_u64() > Some(0), "{one}");
    }
    // A limit for something that nobody measured would never be met.
    for case in cases {
        for goal in case["goals"].as_array().expect("goals") {
            let names = names(case);
            let absent = |name: &serde_json::Value| {
                let name = name.as_str().expect("a name");
                // Without python there are two fewer.
                name != "bzfs" && !names.contains(&name)
            };
            assert!(!absent(&goal["ours"]), "{goal} {names:?}");
            assert!(goal["against"].is_null() || !absent(&goal["against"]), "{goal} {names:?}");
        }
    }
    assert_eq!(sh(node, "zpool list -Ho name"), "", "its pools are gone");
    results
}

/// Those that took part in a case.
fn names(case: &serde_json::Value) -> Vec<&str> {
    case["series"].as_array().expect("series").iter().filter_map(|one| one["name"].as_str()).collect()
}

/// The cases of a suite.
fn cases<'r>(results: &'r serde_json::Value, suite: &str) -> Vec<&'r serde_json::Value> {
    let all = results["runs"][0]["cases"].as_array().expect("cases");
    all.iter().filter(|case| case["suite"] == suite).collect()
}

/// The first sample of one that took part in a case.
fn sample<'r>(case: &'r serde_json::Value, name: &str) -> &'r serde_json::Value {
    let series = case["series"].as_array().expect("series");
    let one = series.iter().find(|one| one["name"] == name);
    &one.unwrap_or_else(|| panic!("{name} in {:?}", names(case)))["samples"][0]
}

#[test]
fn the_suites_run_and_compare_with_syncoid() {
    let cluster = boot(2);
    let node = cluster.node(1);
    let sizes = "datasets=2 snapshots=2 kilobytes=16 megabytes=2 listing=200 taking=10";
    let results = measured(node, "noop increment first local listing taking", sizes);
    for (suite, other) in [
        ("noop", "syncoid"),
        ("increment", "syncoid"),
        ("first", "syncoid"),
        ("local", "syncoid"),
        ("listing", "zfs list"),
        ("taking", "sanoid"),
    ] {
        for case in cases(&results, suite) {
            let names = names(case);
            let ours = if suite == "taking" { "ours, as sanoid" } else { "ours" };
            assert!(names.contains(&ours) && names.contains(&other), "{suite}: {names:?}");
        }
    }
    for suite in ["noop", "increment"] {
        sample(cases(&results, suite)[0], "ours, as syncoid");
    }
    let noop = cases(&results, "noop")[0];
    for name in names(noop) {
        let sample = sample(noop, name);
        assert!(sample["connections"].as_u64() >= Some(1), "{name}: {sample}");
        assert!(sample["connections_far"].is_u64(), "{name}: {sample}");
        assert!(sample["wire"].as_u64() > Some(1000), "{name}: {sample}");
    }
    // Without python there are two fewer, and the results say so.
    let left_out = results["runs"][0]["left_out"].to_string();
    assert!(left_out.contains("bzfs") && left_out.contains("zfs-autobackup"), "{left_out}");
}

#[test]
fn streams_go_every_way_that_is_measured() {
    let cluster = boot(2);
    let node = cluster.node(1);
    let sizes = "megabytes=4 slow-megabytes=2 transport=2";
    let results = measured(node, "ssh memory slow-link transport", sizes);
    // As the machines agree, and with each of three ciphers.
    let ssh = cases(&results, "ssh");
    assert_eq!(ssh.len(), 4);
    let (tls, agent) = (sample(ssh[0], "ours, agent, tls"), sample(ssh[0], "ours, agent"));
    assert!(tls["connections"].as_u64() > agent["connections"].as_u64(), "{tls} {agent}");
    for case in &ssh[1..] {
        sample(case, "zfs send | bare loop over libssh2 | zfs receive");
    }
    let memory = cases(&results, "memory");
    assert_eq!(memory.len(), 2);
    for size in ["1 MiB", "4 MiB"] {
        assert!(sample(memory[0], &format!("ours, {size}"))["peak_far"].is_null());
        for way in ["ours", "ours, agent", "ours, agent, tls"] {
            let sample = sample(memory[1], &format!("{way}, {size}"));
            assert!(sample["peak_far"].as_u64() > Some(1_000_000), "{way}: {sample}");
        }
    }
    // Two round trips, each with text, noise, compressed data and several datasets at once.
    let slow = cases(&results, "slow-link");
    assert_eq!(slow.len(), 8);
    for case in &slow {
        let text = case["title"].as_str().expect("a title").contains("text-like");
        // Of 2 MiB of text so little is left that it says nothing.
        assert!(text || sample(case, "ours")["flow"].as_f64() > Some(0.0), "{case}");
        assert_eq!(text, case["notes"].to_string().contains("zstd") && names(case).contains(&"syncoid"));
    }
    let transport = cases(&results, "transport");
    assert_eq!(transport.len(), 3);
    for case in transport {
        assert!(sample(case, "ours, agent, tls")["connections"].as_u64() >= Some(2), "{case}");
    }
}

#[test]
fn a_program_that_sends_nothing_is_an_error_and_the_next_suite_goes_on() {
    let cluster = boot(1);
    let node = cluster.node(1);
    // A syncoid that claims to have done it.
    sh(node, "printf '#!/bin/sh\\nexit 0\\n' > /tmp/syncoid && chmod +x /tmp/syncoid");
    let run = RUN.replace("--far root@node2 ", "");
    let suites = "local listing -- megabytes=1 listing=100";
    let output =
        node.sh(&format!("{run} --syncoid /tmp/syncoid --out /tmp/results.json {suites}")).expect("started");
    assert!(!output.success());
    assert!(output.err().contains("syncoid did not do what is measured"), "{}", output.err());
    let text = node.read_file("/tmp/results.json").expect("results");
    let results: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let failed = &results["runs"][0]["failed"];
    assert_eq!(failed[0]["suite"], "local");
    assert!(failed[1].is_null() && cases(&results, "local").is_empty(), "{failed}");
    assert!(!cases(&results, "listing").is_empty(), "what came after it was measured");
    assert_eq!(sh(node, "zpool list -Ho name"), "", "its pools are gone");
}
