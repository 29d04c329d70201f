//! Features of pools: where a plan says that the target's pool cannot receive a stream, the kernel would have refused
//! it, and where it does not say so, the stream arrives.

use lab::Node;

use crate::replicas::*;
use crate::support::long;

/// Two small pools beside the others: `none` without any feature, `few` with what every stream needs and no more.
fn old_pools(node: &Node) {
    sh(
        node,
        "truncate -s 100M /tmp/none.img /tmp/few.img
         zpool create -d -O mountpoint=none none /tmp/none.img
         zpool create -d -o feature@extensible_dataset=enabled -o feature@lz4_compress=enabled \
           -O mountpoint=none few /tmp/few.img",
    );
}

/// Datasets that use a feature each, and one that uses none.
fn fill_features(node: &Node) {
    sh(
        node,
        "zfs create tank/f; zfs create tank/f/plain; seq 5000 > /tank/f/plain/text
         zfs create -o recordsize=1M tank/f/large_blocks; head -c 3000000 /dev/urandom > /tank/f/large_blocks/x
         zfs create -o compression=zstd tank/f/zstd_compress; seq 50000 > /tank/f/zstd_compress/x
         zfs create -o dnodesize=1k tank/f/large_dnode; seq 10 > /tank/f/large_dnode/x
         zfs create -o longname=on tank/f/longname; seq 10 > /tank/f/longname/$(printf 'x%.0s' $(seq 300))
         echo 'a long passphrase' | zfs create -o encryption=on -o keyformat=passphrase tank/f/encryption
         seq 10 > /tank/f/encryption/x; zfs snapshot -r tank/f@s1; zpool sync",
    );
}

/// What the kernel says to the same stream; leaves nothing behind.
fn kernel_takes(source: &Node, dataset: &str, target: &Node, pool: &str) -> bool {
    let raw = if dataset.ends_with("encryption") { "-w" } else { "" };
    sh(source, &format!("zfs send -L -c {raw} {dataset}@s1 > /tmp/stream"));
    let stream = sh(source, "base64 -w0 < /tmp/stream | head -c 200");
    assert!(!stream.is_empty());
    let to = if std::ptr::eq(source, target) { String::new() } else { "ssh node2 ".to_string() };
    let run = source.sh(&format!("{to}zfs receive -s -u {pool}/probe < /tmp/stream")).expect("an answer");
    sh(target, &format!("zfs destroy -r {pool}/probe 2>/dev/null || true"));
    run.code() == 0
}

const DATASETS: [(&str, Option<&str>); 6] = [
    ("plain", None),
    ("large_blocks", Some("large_blocks")),
    ("zstd_compress", Some("zstd_compress")),
    ("large_dnode", Some("large_dnode")),
    ("longname", Some("longname")),
    ("encryption", Some("encryption")),
];

#[test]
fn the_planner_refuses_what_the_kernel_would_and_nothing_else() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_features(a);
    old_pools(b);
    let mut turn = 0;
    for (dataset, feature) in DATASETS {
        let source = format!("tank/f/{dataset}");
        for pool in ["none", "few", "back"] {
            let needed = match (pool, feature) {
                ("none", _) => Some("lz4_compress"),
                ("few", feature) => feature,
                _ => None,
            };
            assert_eq!(kernel_takes(a, &source, b, pool), needed.is_none(), "{source} into {pool}");
            let before = state(b);
            let routes = [
                (a, format!("{source} node2:{pool}/push-{dataset}")),
                (b, format!("node1:{source} {pool}/pull-{dataset}")),
            ];
            // By turns; both ways of each in the long set.
            turn = 1 - turn;
            for (_, (node, route)) in routes.iter().enumerate().filter(|(at, _)| long() || *at == turn) {
                match needed {
                    None => drop(completely(node, &[a, b], route)),
                    Some(feature) => {
                        let words =
                            ["(pool tank)", &format!("the pool {pool}"), "zpool upgrade", feature, "[R311]"];
                        refused(node, route, 3, &words);
                        assert_eq!(before, state(b), "{route}");
                        assert!(our_bookmarks(a, &source).is_empty());
                    }
                }
            }
        }
    }
    // With the feature, the same command goes on; increments are judged as well.
    sh(b, "zpool set feature@zstd_compress=enabled few");
    completely(a, &[a, b], "tank/f/zstd_compress node2:few/zstd");
    completely(a, &[a, b], "tank/f/plain node2:few/plain");
    sh(
        a,
        "zfs set recordsize=1M tank/f/plain; head -c 3000000 /dev/urandom > /tank/f/plain/x; zfs snapshot tank/f/plain@s2",
    );
    let before = state(b);
    refused(
        a,
        "tank/f/plain node2:few/plain",
        3,
        &["feature large_blocks", "feature@large_blocks=enabled few", "[R311]"],
    );
    assert_eq!(before, state(b));
}

#[test]
fn one_dataset_that_needs_a_feature_keeps_no_other_from_going_and_sets_nothing_aside() {
    let cluster = alone();
    let node = cluster.node(1);
    old_pools(node);
    for dataset in ["tank/t", "tank/t/a", "tank/t/b"] {
        fill(node, dataset, 1);
    }
    completely(node, &[node], "-r tank/t few/t");
    sh(
        node,
        "zfs set recordsize=1M tank/t/a; head -c 3000000 /dev/urandom > /tank/t/a/big; zfs snapshot tank/t/a@s2
         zfs set readonly=off few/t/a; zfs snapshot few/t/a@theirs; zpool sync",
    );
    change(node, "tank/t/b", 2);
    let theirs = guids(node, "few/t/a");
    refused(
        node,
        "-r tank/t few/t --divergence preserve",
        3,
        &["tank/t/a cannot be received into few/t/a", "feature large_blocks", "[R311]", "1 of 3 datasets"],
    );
    assert_eq!(theirs, guids(node, "few/t/a"));
    assert_eq!(sh(node, "zfs list -H -o name -r few/t"), "few/t\nfew/t/a\nfew/t/b");
    assert_same((node, "tank/t/b"), (node, "few/t/b"));
    sh(node, "zpool set feature@large_blocks=enabled few");
    completely(node, &[node], "-r tank/t few/t --divergence preserve");
    assert_eq!(guids(node, "tank/t/a"), guids(node, "few/t/a"));
}

#[test]
fn a_source_without_bookmarks_is_replicated_with_snapshots_as_bases() {
    let cluster = alone();
    let node = cluster.node(1);
    sh(
        node,
        "truncate -s 100M /tmp/few.img
         zpool create -d -o feature@extensible_dataset=enabled -o feature@lz4_compress=enabled \
           -O mountpoint=/few few /tmp/few.img",
    );
    fill(node, "few/data", 2);
    let said = replicate(node, "few/data back/data");
    assert!(said.contains("the pool few does not have the feature bookmarks"), "{said}");
    change(node, "few/data", 3);
    completely(node, &[node], "few/data back/data");
    assert_same((node, "few/data"), (node, "back/data"));
}
