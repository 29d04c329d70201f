//! The benchmark harness on two nodes, with sizes that say nothing: that everyone does what is measured, and that a target
//! which is not equal is an error.

use std::collections::BTreeSet;

use lab::Cluster;

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

#[test]
fn the_suites_run_and_compare_with_syncoid() {
    let cluster = boot(2);
    let node = cluster.node(1);
    let sizes = "datasets=2 snapshots=2 kilobytes=16 megabytes=2 listing=200";
    let suites = "noop increment first local listing";
    let limit = std::time::Duration::from_secs(600);
    node.script(&format!("{RUN} --out /tmp/results.json {suites} -- {sizes}"))
        .limit(limit)
        .check()
        .expect("measured");
    let text = node.read_file("/tmp/results.json").expect("results");
    let results: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let cases = results["runs"][0]["cases"].as_array().expect("cases");
    let found: BTreeSet<&str> = cases.iter().filter_map(|case| case["suite"].as_str()).collect();
    assert_eq!(found, suites.split(' ').collect::<BTreeSet<_>>());
    for case in cases {
        let series = case["series"].as_array().expect("series");
        let names: Vec<&str> = series.iter().filter_map(|one| one["name"].as_str()).collect();
        let other = if case["suite"] == "listing" { "zfs list" } else { "syncoid" };
        assert!(names.contains(&"ours") && names.contains(&other), "{names:?}");
        for one in series {
            let sample = &one["samples"][0];
            assert!(sample["seconds"].as_f64() > Some(0.0) && sample["peak"].as_u64() > Some(0), "{one}");
            if case["suite"] == "noop" {
                assert!(sample["connections"].as_u64() >= Some(1), "{one}");
                assert!(sample["wire"].as_u64() > Some(1000), "{one}");
            }
        }
    }
    // Without python there are two fewer, and the results say so.
    let left_out = results["runs"][0]["left_out"].to_string();
    assert!(left_out.contains("bzfs") && left_out.contains("zfs-autobackup"), "{left_out}");
    assert_eq!(sh(node, "zpool list -Ho name"), "", "its pools are gone");
}

#[test]
fn a_program_that_sends_nothing_is_an_error() {
    let cluster = boot(1);
    let node = cluster.node(1);
    // A syncoid that claims to have done it.
    sh(node, "printf '#!/bin/sh\\nexit 0\\n' > /tmp/syncoid && chmod +x /tmp/syncoid");
    let run = RUN.replace("--far root@node2 ", "");
    let output = node
        .sh(&format!("{run} --syncoid /tmp/syncoid --out /tmp/results.json local -- megabytes=1"))
        .expect("started");
    assert!(!output.success());
    assert!(output.err().contains("syncoid did not do what is measured"), "{}", output.err());
    assert_eq!(sh(node, "test -e /tmp/results.json && echo there || true"), "");
    assert_eq!(sh(node, "zpool list -Ho name"), "", "its pools are gone");
}
