//! The state of the pools drifts while a run is under way or between two runs: snapshots, datasets and bookmarks go,
//! are renamed, or are in the way. Nothing is sent anew that need not be, and what cannot go on stops alone.

use crate::meddle::*;
use crate::replicas::*;
use crate::ways::Route;
use crate::ways::over_every_way;

/// A root and children that both sides have, with a new snapshot of the first child that takes its time.
fn tree(route: &Route<'_>, children: &[&str]) {
    fill(route.from, &route.source, 1);
    for below in children {
        fill(route.from, &format!("{}{below}", route.source), 1);
    }
}

/// F15: a snapshot is destroyed at the source between the plan and its own stream. A push holds what it will send; a
/// pull leaves it out, and what comes after it arrives.
#[test]
fn a_snapshot_that_is_destroyed_before_its_turn_is_held_or_left_out() {
    over_every_way(|route| {
        let source = &route.source;
        fill(route.from, source, 1);
        route.as_planned("", "");
        change_a_lot(route.from, source, 2);
        change(route.from, source, 3);
        change(route.from, source, 4);
        let mut destroyed = false;
        let run = meanwhile(route, "", || {
            let output = route.from.sh(&format!("zfs destroy '{source}@s3'")).expect("it answers");
            destroyed = output.success();
        });
        assert_eq!(run.code(), 0, "{}", run.err());
        assert_eq!(destroyed, route.way.pull, "only a machine whose own process sends can hold");
        route.assert_same();
        nothing_is_left(route, "");
        assert_eq!(
            sh(route.from, &format!("zfs list -H -o name -t snapshot '{source}' | xargs zfs holds -H")),
            ""
        );
    });
}

/// F16: a dataset is destroyed, or renamed, at the source between the plan and its stream. It fails alone, the target
/// keeps what it has, and the next run follows the one that was renamed.
#[test]
fn a_dataset_that_is_destroyed_or_renamed_before_its_turn_fails_alone() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        let children = ["/a", "/gone", "/moved", "/z"];
        tree(route, &children);
        route.as_planned("-r", "");
        change_a_lot(route.from, &format!("{source}/a"), 2);
        for below in &children[1..] {
            change(route.from, &format!("{source}{below}"), 2);
        }
        let kept = guids(route.to, &format!("{target}/gone"));
        let run = meanwhile(route, "-r --json", || {
            sh(
                route.from,
                &format!("zfs destroy -r '{source}/gone'; zfs rename '{source}/moved' '{source}/new'"),
            );
        });
        assert_eq!(run.code(), 1, "{}", run.err());
        let failed = failures(route, &run);
        let names: Vec<&str> = failed.iter().map(|(below, _)| below.as_str()).collect();
        assert_eq!(names, ["/gone", "/moved"], "{failed:?}");
        for (below, how) in &failed {
            assert!(how.contains(&format!("no dataset {source}{below}")), "{failed:?}");
        }
        for below in ["/a", "/z"] {
            assert_same_below(route, below);
        }
        let plan = route.completely("-r");
        assert!(actions(&plan).contains(&"rename".to_string()) && !plan.contains("\"full\""), "{plan}");
        assert_same_below(route, "/new");
        assert_eq!(kept, guids(route.to, &format!("{target}/gone")));
        assert!(files(route.to, &format!("{target}/gone"), "s1").contains("dir1/text"));
    });
}

/// F17: the base of a stream is destroyed between the plan and the stream. At the source a bookmark takes over. At the
/// target an older base does where nothing else was in it; else the dataset has diverged, which stops it alone.
#[test]
fn a_base_that_is_destroyed_on_either_side_before_its_turn_is_replaced() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        let children = ["/a", "/diverged", "/here", "/there"];
        tree(route, &children);
        change(route.from, &format!("{source}/diverged"), 2);
        sh(route.from, &format!("zfs snapshot '{source}/there@s2'"));
        route.as_planned("-r", "");
        change_a_lot(route.from, &format!("{source}/a"), 3);
        for below in &children[1..] {
            change(route.from, &format!("{source}{below}"), 3);
        }
        let run = meanwhile(route, "-r --json", || {
            sh(route.from, &format!("zfs destroy '{source}/here@s1'"));
            sh(route.to, &format!("zfs destroy '{target}/there@s2'; zfs destroy '{target}/diverged@s2'"));
        });
        assert_eq!(run.code(), 3, "{}", run.err());
        assert_eq!(failures(route, &run), [("/diverged".to_string(), "diverged".to_string())]);
        assert_same_below(route, "/a");
        for below in ["/here", "/there"] {
            let (from, to) = (format!("{source}{below}"), format!("{target}{below}"));
            assert_eq!(guids(route.from, &from).last(), guids(route.to, &to).last());
            assert_eq!(files(route.from, &from, "s3"), files(route.to, &to, "s3"));
        }
        // What was in the destroyed snapshot is kept, and the replica goes on from the older one.
        let kept = files(route.to, &format!("{target}/diverged"), "s1");
        let plan = route.completely("-r --divergence preserve");
        assert!(!plan.contains("\"full\""), "{plan}");
        assert_same_below(route, "/diverged");
        assert_eq!(kept, files(route.to, &format!("{target}/diverged"), "s1"));
        let aside = sh(route.to, &format!("zfs list -H -o name -r '{target}' | grep diverged_diverged_"));
        sh(route.to, &format!("zfs snapshot '{aside}@look'"));
        assert!(files(route.to, &aside, "look").contains("dir2/text"));
    });
}

/// F18: on both sides another process destroys all but the newest snapshot, over and over, while new ones are taken
/// and replicated. Each run ends well, nothing is ever sent in full again, and in the end both sides have the same.
#[test]
fn pruning_on_both_sides_during_runs_never_costs_a_full_stream() {
    const PRUNE: &str = "echo $$ > /tmp/pruner; while [ ! -e /tmp/enough ]; do
        zfs list -H -d 1 -t snapshot -s createtxg -o name DATASET | head -n -1 |
            while read -r s; do zfs destroy \"$s\" && echo \"$s\" >> /tmp/pruned; done
        sleep 0.05; done";
    over_every_way(|route| {
        let rounds = if crate::support::long() { 12 } else { 4 };
        fill(route.from, &route.source, 1);
        route.as_planned("", "");
        for (node, dataset) in [(route.from, &route.source), (route.to, &route.target)] {
            let prune = PRUNE.replace("DATASET", dataset);
            sh(
                node,
                &format!(
                    "rm -f /tmp/enough /tmp/pruned; setsid sh -c '{prune}' > /dev/null 2>&1 < /dev/null &"
                ),
            );
        }
        for round in 0..rounds {
            sh(
                route.from,
                &format!(
                    "for n in 1 2 3; do echo {round}.$n > /{0}/changed; zfs snapshot {0}@r{round}.$n; done",
                    route.source
                ),
            );
            let run = route.run("--json");
            assert_eq!(run.code(), 0, "round {round}: {}\n{}", run.out(), run.err());
            assert!(!run.out().contains("\"full\""), "round {round}: {}", run.out());
        }
        let mut pruned = 0;
        for node in [route.from, route.to] {
            sh(node, "touch /tmp/enough; while kill -0 $(cat /tmp/pruner) 2> /dev/null; do sleep 0.1; done");
            pruned += sh(node, "cat /tmp/pruned | wc -l").parse::<usize>().expect("a number");
        }
        assert!(pruned > rounds, "only {pruned} were destroyed: there was no race");
        route.completely("");
        let (from, to) = (guids(route.from, &route.source), guids(route.to, &route.target));
        assert_eq!(from.last(), to.last());
        let newest = format!("r{}.3", rounds - 1);
        assert_eq!(files(route.from, &route.source, &newest), files(route.to, &route.target, &newest));
    });
}

/// F26: datasets and snapshots are renamed, on one side or on both. What is the same by its GUIDs goes on.
#[test]
fn renamed_datasets_and_snapshots_are_known_by_their_guids() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        tree(route, &["/old", "/old/child"]);
        change(route.from, source, 2);
        route.as_planned("-r", "");
        // Of the snapshots both are the base: one side knows it as x, the other as y.
        sh(
            route.from,
            &format!("zfs rename '{source}@s2' '{source}@x'; zfs rename '{source}/old' '{source}/new'"),
        );
        sh(
            route.to,
            &format!("zfs rename '{target}@s2' '{target}@y'; zfs rename '{target}@s1' '{target}@s2'"),
        );
        change(route.from, source, 3);
        change(route.from, &format!("{source}/new"), 2);
        change(route.from, &format!("{source}/new/child"), 2);
        let plan = route.completely("-r");
        assert!(actions(&plan).contains(&"rename".to_string()) && !plan.contains("\"full\""), "{plan}");
        for below in ["/new", "/new/child"] {
            assert_same_below(route, below);
        }
        let numbers = |list: Vec<String>| -> Vec<String> {
            list.iter().map(|line| line.split('\t').nth(1).expect("a GUID").to_string()).collect()
        };
        let (from, to) = (guids(route.from, source), guids(route.to, target));
        assert_eq!(numbers(from.clone()), numbers(to.clone()), "{from:?} {to:?}");
        assert_eq!(files(route.from, source, "x"), files(route.to, target, "y"));
        assert_eq!(files(route.from, source, "s3"), files(route.to, target, "s3"));
        assert_eq!(our_bookmarks(route.from, &format!("{source}/new")).len(), 1);
    });
}

/// F28: a bookmark has the name that a run needs, of the same snapshot or of another one; and snapshots are held by
/// others on both sides. All of it stays as it is, and the run goes on.
#[test]
fn bookmarks_that_are_there_already_and_holds_of_others_are_left_alone() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        route.as_planned("", "");
        let ours = our_bookmarks(route.from, source).pop().expect("one of ours");
        let named = |short: &str| {
            let guid =
                sh(route.from, &format!("printf %016x $(zfs get -Hp -o value guid '{source}@{short}')"));
            format!("{}_{guid}", ours.rsplit_once('_').expect("a GUID at its end").0)
        };
        for n in 2..=4 {
            change(route.from, source, n);
        }
        // As a run leaves it that was cut after the bookmarks; and a stranger under the name of @s3, which is no
        // bookmark of @s3.
        let (same, stranger) = (named("s2"), named("s3"));
        sh(
            route.from,
            &format!(
                "zfs bookmark '{source}@s2' '{same}'; zfs bookmark '{source}@s1' '{stranger}'
                 zfs hold -r foreign '{source}@s1' '{source}@s3'"
            ),
        );
        sh(route.to, &format!("zfs hold keep '{target}@s1'"));
        let plan = route.as_planned("", "");
        assert!(!plan.contains("\"full\""), "{plan}");
        route.assert_same();
        let stays = |name: &str| sh(route.from, &format!("zfs get -Hp -o value guid '{name}'"));
        assert_eq!(stays(&stranger), stays(&format!("{source}@s1")), "it is still the stranger");
        assert_eq!(
            sh(route.from, &format!("zfs holds -H '{source}@s1' '{source}@s3' | cut -f 1,2")),
            format!("{source}@s1\tforeign\n{source}@s3\tforeign")
        );
        assert_eq!(sh(route.to, &format!("zfs holds -H '{target}@s1' | cut -f 2")), "keep");
        // And from the bookmark of the newest it goes on, whatever the stranger is.
        sh(route.from, &format!("zfs destroy '{source}@s4'"));
        change(route.from, source, 5);
        let plan = route.as_planned("", "");
        assert!(plan.contains("#replicator_1_") && !plan.contains("\"full\""), "{plan}");
        assert_eq!(files(route.from, source, "s5"), files(route.to, target, "s5"));
        nothing_is_left(route, "");
    });
}
