//! Names and numbers at the edges of what ZFS takes: spaces, depth, length, tags and properties with tabs and newlines,
//! numbers of 64 bits. They arrive as they are, or are refused before anything happens.

use crate::meddle::*;
use crate::replicas::*;
use crate::ways::over_every_way;

/// F49: names with everything that ZFS allows, forty levels deep, and as long as may be; what has no room on the target
/// is a conflict of its dataset alone.
#[test]
fn names_with_spaces_depth_and_length_arrive_or_are_refused() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        sh(route.from, &format!("zfs snapshot '{source}@daily 12:00 -x'"));
        let odd = "/with a  space -- %x:y._";
        fill(route.from, &format!("{source}/spaces -- x:y._"), 1);
        assert!(!route.from.sh(&format!("zfs create '{source}{odd}'")).expect("it answers").success());
        let deep = format!("/d{}", "/e".repeat(39));
        sh(route.from, &format!("zfs create -u -p '{source}{deep}'; zfs snapshot -r '{source}/d@s1'"));
        // As long as it can be at the source; the target's names are as long, and a longer root has no room.
        let long = "l".repeat(255 - source.len() - "@s1".len() - 1);
        sh(route.from, &format!("zfs create -u '{source}/{long}'; zfs snapshot '{source}/{long}@s1'"));
        let fits = target.len() <= source.len();
        assert!(fits, "{target} is longer than {source}");
        route.completely("-r");
        route.assert_same();
        assert_same_below(route, "/spaces -- x:y._");
        for below in [deep, format!("/{long}")] {
            assert_eq!(
                guids(route.from, &format!("{source}{below}")),
                guids(route.to, &format!("{target}{below}"))
            );
        }
        let (from, to) = (format!("'{source}/{long}'"), format!("'{target}/a/{long}'"));
        let arguments = route.arguments("", "").replace(&format!("{source}'"), &from[1..]);
        let arguments = arguments.replace(&format!("{target}'"), &to[1..]);
        let before = route.state();
        let output = replicator(route.here, &format!("replicate {arguments}"));
        assert!([2, 3].contains(&output.code()), "{}\n{}", output.code(), output.err());
        assert!(output.err().contains("256") || output.err().contains("255"), "{}", output.err());
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
            assert!(
                list.out().contains("a\\ttab\\n") && !list.out().contains("newline\n@"),
                "{}",
                list.out()
            );
            let json = replicator(node, &format!("list -r --type all --json {dataset}"));
            assert_eq!(json.code(), 0, "{}", json.err());
            for line in json.out().lines() {
                serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
            }
        }
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
