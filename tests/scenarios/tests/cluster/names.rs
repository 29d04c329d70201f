//! Names and numbers at the edges of what ZFS takes: spaces, depth, length, tags and properties with tabs and newlines,
//! numbers of 64 bits. They arrive as they are, or are refused before anything happens.

use crate::meddle::*;
use crate::replicas::*;
use crate::support::long as long_set;
use crate::ways::over_every_way;

/// F49: names with everything that ZFS allows, many levels deep, and as long as may be; what has no room on the target
/// is refused with its length.
#[test]
fn names_with_spaces_depth_and_length_arrive_or_are_refused() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        let spaces = "/with a  space -- x:y._";
        fill(route.from, source, 1);
        fill(route.from, &format!("{source}{spaces}"), 1);
        sh(route.from, &format!("zfs snapshot '{source}{spaces}@daily 12:00 -x'"));
        // As long as it can be at the source.
        let long = format!("/{}", "l".repeat(255 - source.len() - "/@s1".len()));
        sh(route.from, &format!("zfs create -u '{source}{long}'; zfs snapshot '{source}{long}@s1'"));
        assert!(target.len() <= source.len(), "{target} is longer than {source}");
        route.completely("-r");
        assert_same_below(route, spaces);
        assert_eq!(
            guids(route.from, &format!("{source}{long}")),
            guids(route.to, &format!("{target}{long}"))
        );
        // Parents and all.
        let deep = "/d".repeat(if long_set() { 45 } else { 12 });
        sh(route.from, &format!("zfs create -u -p '{source}{deep}'; zfs snapshot '{source}{deep}@s1'"));
        as_planned(route.here, &[route.from, route.to], &route.arguments(&deep, ""), "");
        assert_eq!(
            guids(route.from, &format!("{source}{deep}")),
            guids(route.to, &format!("{target}{deep}"))
        );
        // The dataset's name fits, the snapshot's does not.
        let arguments = route.arguments(&long, "").replace(&format!("{target}/"), &format!("{target}/ll"));
        let before = route.state();
        let output = replicator(route.here, &format!("replicate {arguments}"));
        assert_eq!(output.code(), 3, "{}", output.err());
        assert!(output.err().contains("@s1 cannot be received into"), "{}", output.err());
        assert_eq!(before, route.state());
    });
}

/// F50: tags of holds and values of user properties with tabs and newlines, at both ends. Lists are read as they are, a
/// replication goes on, and on a terminal they break no line.
#[test]
fn tags_and_properties_with_tabs_and_newlines_break_no_list() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 2);
        let odd = |dataset: &str| {
            format!(
                "zfs hold \"$(printf 'a\\ttab\\nand {dataset}@s1\\treplicator:1:1:0\\tnewline')\" '{dataset}@s1'
                 zfs set \"org.example:odd=$(printf 'a\\tb\\n{dataset}\\treadonly\\toff\\tlocal\\n\\033[31m')\" '{dataset}'
                 zfs set \"org.example:tab=$(printf 'a\\tlocal')\" '{dataset}'"
            )
        };
        sh(route.from, &odd(source));
        route.completely("");
        sh(route.to, &odd(target));
        change(route.from, source, 3);
        route.completely("");
        route.assert_same();
        for (node, dataset) in [(route.from, source), (route.to, target)] {
            let list = replicator(node, &format!("holds {dataset}"));
            assert_eq!(list.code(), 0, "{}", list.err());
            let line = list.out().lines().find(|line| line.contains("a\\ttab")).map(str::to_string);
            assert!(line.is_some_and(|line| line.contains("\\tnewline")), "{}", list.out());
            let json = replicator(node, &format!("list -r --type all --json {dataset}"));
            assert_eq!(json.code(), 0, "{}", json.err());
            for line in json.out().lines() {
                serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
            }
        }
        // What stands behind a newline looks like another property in the words of a plain zfs: then nothing is done with
        // any of them. Who is told of them one by one goes on.
        sh(
            route.to,
            &format!(
                "zfs snapshot {target}@theirs
                 zfs set \"org.example:forged=$(printf 'x\\tlocal\\n{target}\\tmountpoint\\t/forged')\" {target}"
            ),
        );
        change(route.from, source, 4);
        let preserve = "--divergence preserve";
        if !route.way.pull && route.way.far_end == "zfs" {
            for property in ["org.example:odd", "org.example:forged"] {
                let before = route.state();
                route.refused(preserve, 1, &["get the properties", "not understood"]);
                assert_eq!(before, route.state());
                sh(route.to, &format!("zfs inherit {property} {target}"));
            }
        }
        route.completely(preserve);
        route.assert_same();
        assert_eq!(sh(route.to, &format!("zfs get -H -o value mountpoint {target}")), format!("/{target}"));
    });
}

/// F37: GUIDs above 2^63 pass through plans, bookmarks, lists and another machine digit for digit.
#[test]
fn numbers_of_64_bits_stay_what_they_are() {
    over_every_way(|route| {
        let source = &route.source;
        fill(route.from, source, 1);
        route.as_planned("", "");
        // Every other GUID has its highest bit set.
        let big = sh(
            route.from,
            &format!(
                "for n in $(seq 64); do zfs snapshot {source}@n$n; g=$(zfs get -Hp -o value guid {source}@n$n)
                 [ ${{#g}} -lt 20 ] || {{ echo $g; exit 0; }}; done; exit 1"
            ),
        );
        assert!(big.parse::<u64>().expect("a number") > i64::MAX as u64 && big.len() == 20, "{big}");
        let planned = route.plan("--json", 0).out();
        let json: serde_json::Value = serde_json::from_str(&planned).expect("JSON");
        let steps = json["plan"]["datasets"][0]["steps"].as_array().expect("steps");
        assert_eq!(steps.last().expect("one")["to"]["guid"], big.as_str(), "{planned}");
        route.completely("");
        route.assert_same();
        let mark = format!("_{:016x}", big.parse::<u64>().expect("a number"));
        assert!(our_bookmarks(route.from, source).pop().expect("one").ends_with(&mark));
        let listed = replicator(route.to, &format!("list --type snapshot --json {}", route.target)).out();
        assert!(listed.contains(&big), "{listed}");
        let compared = replicator(route.here, &format!("compare --json {}", route.arguments("", "")));
        assert!(compared.code() == 0 && compared.out().contains(&big), "{}", compared.out());
    });
}
