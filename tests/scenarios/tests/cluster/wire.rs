//! What goes over the line: compressed where both sides can, plain where one cannot, and not faster than allowed.

use lab::Node;

use crate::replicas::*;

/// The result that `--json` prints.
fn result(node: &Node, arguments: &str) -> serde_json::Value {
    let output = replicator(node, &format!("replicate {arguments} --json"));
    assert_eq!(output.code(), 0, "{arguments}\n{}", output.err());
    let json: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
    json["result"].clone()
}

fn sizes(node: &Node, arguments: &str) -> (u64, u64) {
    let result = result(node, arguments);
    let number = |name: &str| result[name].as_u64().unwrap_or_else(|| panic!("{name} in {result}"));
    (number("bytes"), number("bytes_on_the_wire"))
}

#[test]
fn a_stream_is_compressed_both_ways_where_the_far_end_has_zstd_and_goes_plain_where_not() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, "zfs set compression=off tank; zfs create tank/text; seq 1000000 > /tank/text/numbers; cp /tank/text/numbers /tank/text/again
           mkdir /tank/text/dir; seq 5 > /tank/text/dir/five; zfs snapshot tank/text@s1");
    let mut compared = 0;
    let link = cluster.link(1, 2);
    for there in [true, false] {
        if !there {
            sh(a, "mv $(command -v zstd) /root/zstd");
            sh(b, "mv $(command -v zstd) /root/zstd");
        }
        for (node, route, at) in
            [(a, "tank/text node2:back/push", "push"), (b, "node1:tank/text back/pull", "pull")]
        {
            for compress in ["on", "auto", "off"] {
                let before = link.counters().payload;
                let (plain, wire) = sizes(node, &format!("{route}-{there}-{compress} --compress {compress}"));
                let passed = link.counters().payload - before;
                // Nobody can look into a stream from far away before it was sent: `auto` sends it as it is.
                let smaller = there && (compress == "on" || compress == "auto" && at == "push");
                let what = format!("{at} {compress} zstd:{there}: {plain} {wire} {passed}");
                assert!(plain > 13_000_000, "{what}");
                assert_eq!(wire < plain / 2, smaller, "{what}");
                assert_eq!(passed < plain / 2, smaller, "{what}");
                assert_same((a, "tank/text"), (b, &format!("back/{at}-{there}-{compress}")));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 12);
}

#[test]
fn a_rate_is_kept_over_all_datasets_together() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, "zfs create tank/t");
    for n in 1..=3 {
        sh(
            a,
            &format!(
                "zfs create tank/t/d{n}; mkdir /tank/t/d{n}/x; seq 9 > /tank/t/d{n}/x/y; seq 8 > /tank/t/d{n}/x/z
                 head -c 3000000 /dev/urandom > /tank/t/d{n}/random; zfs snapshot tank/t/d{n}@s1"
            ),
        );
    }
    fill(a, "tank/small", 1);
    sh(a, "zfs snapshot tank/t@s1");
    let sizes = sizes(a, "-r tank/t node2:back/t --jobs 3 --rate 1500KB --compress off");
    // How fast it may be is tested where the clock is a test's own; here, that a limit held in common loses nothing.
    assert!(sizes.1 > 9_000_000, "{sizes:?}");
    for n in 1..=3 {
        assert_same((a, &format!("tank/t/d{n}")), (b, &format!("back/t/d{n}")));
    }
}
