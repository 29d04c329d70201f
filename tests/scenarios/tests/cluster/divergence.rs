//! A target that has gone its own way: `stop` changes nothing and shows both sides; `preserve` keeps every snapshot and
//! every file of it under another name and goes on. Each crash on the way is finished by the next run.

use std::collections::BTreeSet;

use lab::Node;

use crate::replicas::*;
use crate::support::long;
use crate::ways::over_every_way;

/// The dataset that was set aside for this one; there is exactly one.
fn aside(node: &Node, target: &str) -> String {
    let list = sh(node, "zfs list -H -o name -r back");
    let found: Vec<_> =
        list.lines().filter(|name| name.starts_with(&format!("{target}_diverged_"))).collect();
    let tops: Vec<_> =
        found.iter().filter(|name| name.matches('/').count() == target.matches('/').count()).collect();
    assert_eq!(tops.len(), 1, "{list}");
    tops[0].to_string()
}

/// GUIDs of all snapshots at or below these datasets, each with its short name.
fn all_guids(node: &Node, datasets: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for dataset in datasets {
        let list = sh(node, &format!("zfs list -Hp -r -t snapshot -o name,guid '{dataset}'"));
        all.extend(list.lines().map(|line| line.split_once('@').expect("a snapshot").1.to_string()));
    }
    all
}

/// What the target itself holds, written since the newest snapshot or not.
fn head(node: &Node, dataset: &str) -> String {
    sh(
        node,
        &format!(
            "at=$(mktemp -d); mount -t zfs -o zfsutil,ro '{dataset}' $at; cd $at
             find . -type f -print0 | sort -z | xargs -0 sha256sum; cd /; umount $at"
        ),
    )
}

/// Writes to a replica, as a person would who made it writable.
fn write_to(node: &Node, dataset: &str, file: &str) {
    sh(
        node,
        &format!(
            "zfs set readonly=off '{dataset}'; at=$(mktemp -d); mount -t zfs -o zfsutil '{dataset}' $at
             seq 1000 > $at/{file}; umount $at; zpool sync"
        ),
    );
}

#[test]
fn a_diverged_child_stops_alone_and_its_siblings_go_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for dataset in ["tank/t", "tank/t/a", "tank/t/b"] {
        fill(a, dataset, 1);
    }
    completely(a, &[a, b], "-r tank/t node2:back/t");
    write_to(b, "back/t/a", "x");
    sh(b, "zfs snapshot back/t/a@theirs");
    for dataset in ["tank/t", "tank/t/a", "tank/t/b"] {
        change(a, dataset, 2);
    }
    let before = (head(b, "back/t/a"), guids(b, "back/t/a"));
    refused(
        a,
        "-r tank/t node2:back/t",
        3,
        &[
            "back/t/a has changed since",
            "back/t/a@theirs",
            "tank/t/a@s2",
            "[R315]",
            "1 of 3 datasets",
            "[R300]",
        ],
    );
    assert_eq!(before, (head(b, "back/t/a"), guids(b, "back/t/a")));
    for dataset in ["tank/t", "tank/t/b"] {
        assert_same((a, dataset), (b, &dataset.replace("tank", "back")));
    }
}

/// F22: the target was written to since its newest snapshot. It stops with what was written; with `preserve` that is
/// kept under another name, and the replica goes on.
#[test]
fn what_was_written_on_the_target_stops_or_is_preserved() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 2);
        route.as_planned("", "");
        write_to(route.to, target, "one");
        change(route.from, source, 3);
        let before = (route.state(), all_guids(route.to, &[target]), head(route.to, target));
        assert!(before.2.contains("./one"));
        let words = ["has changed since", "written on the target", &format!("{source}@s3"), "[R315]"];
        route.refused("", 3, &words);
        assert_eq!(actions(&route.plan("--json", 3).out()), Vec::<String>::new());
        assert_eq!(before.0, route.state());
        let old = files(route.to, target, "s1");
        let plan = route.completely("--divergence preserve");
        assert!(!plan.contains("\"full\""), "{plan}");
        let aside = aside(route.to, target);
        assert_eq!(before.2, head(route.to, &aside));
        assert_eq!(old, files(route.to, target, "s1"));
        assert!(all_guids(route.to, &[target, &aside]).is_superset(&before.1));
        route.assert_same();
    });
}

/// F23: the target has snapshots of its own after the newest common one, and more in its head. They stop it; with
/// `preserve` each of them is readable under the new name, with its GUID, its holds and its files.
#[test]
fn newer_snapshots_of_the_target_stop_or_are_preserved() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 2);
        route.as_planned("", "");
        write_to(route.to, target, "one");
        sh(
            route.to,
            &format!(
                "zfs snapshot {target}@theirs; zfs hold keep {target}@s1; zfs hold keep {target}@theirs
                 zfs bookmark {target}@s1 {target}#own; zfs set org.example:note=mine {target}
                 zfs set compression=gzip-3 {target}"
            ),
        );
        write_to(route.to, target, "two");
        sh(route.to, &format!("zfs snapshot {target}@newest"));
        write_to(route.to, target, "three");
        change(route.from, source, 3);
        let each = |dataset: &dyn Fn(&str) -> String| {
            ["s1", "s2", "theirs", "newest"].map(|short| files(route.to, &dataset(short), short))
        };
        let before = (route.state(), all_guids(route.to, &[target]), head(route.to, target));
        let old = each(&|_| target.clone());
        assert!(before.2.contains("./three") && old[2].contains("./one") && old[3].contains("./two"));
        let words = [&format!("{target}@theirs"), &format!("{target}@newest"), &format!("{source}@s3")];
        route.refused("", 3, &words.map(String::as_str));
        assert_eq!(actions(&route.plan("--json", 3).out()), Vec::<String>::new());
        assert_eq!(before.0, route.state());
        let preserve = "--divergence preserve";
        route.completely(preserve);
        // Under the new name is everything that is not with the replica again.
        let aside = aside(route.to, target);
        let now = |short: &str| if short.starts_with('s') { target.clone() } else { aside.clone() };
        assert_eq!(old, each(&now));
        assert_eq!(before.2, head(route.to, &aside));
        assert!(all_guids(route.to, &[target, &aside]).is_superset(&before.1));
        assert_eq!(sh(route.to, &format!("zfs get -H -o value origin {aside}")), format!("{target}@s2"));
        route.assert_same();
        assert_eq!(
            sh(
                route.to,
                &format!("zfs get -H -o value readonly,compression,org.example:note,mounted {target}")
            ),
            "on\ngzip-3\nmine\nno"
        );
        let holds =
            sh(route.to, &format!("zfs holds -H {target}@s1 {aside}@theirs | awk '{{print $1, $2}}'"));
        assert_eq!(holds, format!("{target}@s1 keep\n{aside}@theirs keep"));
        assert_eq!(
            sh(route.to, &format!("zfs list -H -o name -t bookmark {target}")),
            format!("{target}#own")
        );
        // And on it goes.
        change(route.from, source, 4);
        route.completely(preserve);
        route.assert_same();
        assert_eq!(before.2, head(route.to, &aside));
    });
}

#[test]
fn preserve_leaves_children_in_their_place_and_works_for_volumes() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for dataset in ["tank/t", "tank/t/child", "tank/t/child/deep"] {
        fill(a, dataset, 2);
    }
    sh(
        a,
        "zfs create -s -V 12M tank/t/vol; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done
         dd if=/dev/urandom of=/dev/zd0 bs=1M count=3 conv=fsync 2>/dev/null; zfs snapshot tank/t/vol@s1",
    );
    let route = "-r tank/t node2:back/t --divergence preserve";
    completely(a, &[a, b], route);
    // One the source does not know, and two levels that diverged; the child between them did not.
    sh(b, "zfs create -o canmount=noauto back/t/theirs; zfs snapshot back/t/theirs@x");
    write_to(b, "back/t", "top");
    write_to(b, "back/t/child/deep", "deep");
    sh(
        b,
        "zfs set readonly=off back/t/vol; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done
         dd if=/dev/urandom of=/dev/zd0 bs=1M count=1 seek=7 conv=fsync 2>/dev/null; zfs snapshot back/t/vol@theirs; zpool sync",
    );
    for dataset in ["tank/t", "tank/t/child", "tank/t/child/deep"] {
        change(a, dataset, 3);
    }
    sh(
        a,
        "dd if=/dev/urandom of=/dev/zd0 bs=1M count=1 seek=5 conv=fsync 2>/dev/null; zfs snapshot tank/t/vol@s2",
    );
    let before = (head(b, "back/t"), head(b, "back/t/child/deep"), all_guids(b, &["back/t"]));
    let plan = completely(a, &[a, b], route);
    assert!(!plan.contains("\"full\""), "{plan}");
    let (top, deep, vol) = (aside(b, "back/t"), aside(b, "back/t/child/deep"), aside(b, "back/t/vol"));
    assert_eq!(before.0, head(b, &top));
    assert_eq!(before.1, head(b, &deep));
    assert!(all_guids(b, &["back/t", &top]).is_superset(&before.2));
    assert_eq!(sh(b, &format!("zfs list -H -o name -r {top}")), top, "children went along");
    assert_eq!(guids(b, "back/t/theirs").len(), 1);
    assert_eq!(guids(b, &vol).iter().filter(|line| line.starts_with("theirs\t")).count(), 1);
    for below in ["", "/child", "/child/deep"] {
        assert_same((a, &format!("tank/t{below}")), (b, &format!("back/t{below}")));
    }
    assert_eq!(guids(a, "tank/t/vol"), guids(b, "back/t/vol"));
    sh(b, &format!("zfs set volsize=13M {vol}"));
    assert_eq!(volume(a, "tank/t/vol"), volume(b, "back/t/vol"));
}

/// The step as a command, from what the plan prints.
fn by_hand(node: &Node, what: &str) {
    let script = match what.split(' ').collect::<Vec<_>>().as_slice() {
        ["rename", from, "to", to] => format!("zfs rename -u {from} {to}"),
        ["clone", from, "to", to] => format!("zfs clone -o readonly=on -o canmount=noauto {from} {to}"),
        ["promote", dataset] => format!("zfs promote {dataset}"),
        other => panic!("a step that this test does not know: {other:?}"),
    };
    sh(node, &script);
}

#[test]
fn a_crash_between_any_two_steps_of_preserve_is_finished_by_the_next_run() {
    let cluster = alone();
    let node = cluster.node(1);
    let mut broken_off = 0;
    // Each place takes a while in a node; all of them are tried on inventories in the planner's own tests.
    let every = if long() { 1 } else { 3 };
    for done in (0..).step_by(every) {
        let (source, target) = (format!("tank/d{done}"), format!("back/d{done}"));
        let route = format!("-r {source} {target}");
        for below in ["", "/child", "/child/deep"] {
            fill(node, &format!("{source}{below}"), 2);
        }
        completely(node, &[node], &route);
        for below in ["", "/child"] {
            write_to(node, &format!("{target}{below}"), "theirs");
            sh(node, &format!("zfs snapshot {target}{below}@theirs"));
            write_to(node, &format!("{target}{below}"), "more");
        }
        for below in ["", "/child", "/child/deep"] {
            change(node, &format!("{source}{below}"), 3);
        }
        let before = (
            head(node, &target),
            head(node, &format!("{target}/child")),
            files(node, &target, "theirs"),
            all_guids(node, &[&target]),
        );
        let planned = sh(node, &format!("replicator plan {route} --divergence preserve --json"));
        let planned: serde_json::Value = serde_json::from_str(&planned).expect("JSON");
        let steps: Vec<String> = planned["plan"]["before"]
            .as_array()
            .expect("steps")
            .iter()
            .filter(|step| step["side"] == "target")
            .map(|step| step["what"].as_str().expect("text").to_string())
            .collect();
        if done > steps.len() {
            break;
        }
        for step in &steps[..done] {
            by_hand(node, step);
        }
        // A second later, under another name than the plan above would choose.
        sh(node, "sleep 1.1");
        // Half done under `stop`, where nothing more diverges, or under the policy that began it.
        completely(node, &[node], &format!("{route} --divergence preserve"));
        let list = sh(node, &format!("zfs list -H -o name -r back | grep '^{target}'"));
        let (top, child) = (aside(node, &target), aside(node, &format!("{target}/child")));
        assert_eq!(before.0, head(node, &top), "after {done} of {steps:?}\n{list}");
        assert_eq!(before.1, head(node, &child), "after {done} of {steps:?}\n{list}");
        assert_eq!(before.2, files(node, &top, "theirs"), "after {done} of {steps:?}\n{list}");
        assert!(
            all_guids(node, &[&target, &top]).is_superset(&before.3),
            "after {done} of {steps:?}\n{list}"
        );
        for below in ["", "/child", "/child/deep"] {
            assert_same((node, &format!("{source}{below}")), (node, &format!("{target}{below}")));
        }
        assert_eq!(list.lines().count(), 5, "after {done} of {steps:?}\n{list}");
        broken_off += 1;
    }
    assert!(broken_off >= 7 / every, "only {broken_off} places were tried");
}

#[test]
fn preserve_leaves_a_changed_target_as_it_is_while_there_is_nothing_newer() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/t", 2);
    completely(node, &[node], "tank/t back/t");
    write_to(node, "back/t", "theirs");
    let route = "tank/t back/t --divergence preserve";
    let before = (state(node), head(node, "back/t"));
    for _ in 0..2 {
        assert_eq!(actions(&as_planned(node, &[node], route, "")), Vec::<String>::new());
        let said = replicate(node, route);
        assert!(
            said.contains("back/t has changed since tank/t@s2") && said.contains("nothing newer"),
            "{said}"
        );
    }
    assert_eq!(before, (state(node), head(node, "back/t")));
    refused(node, "tank/t back/t", 3, &["back/t has changed since", "[R315]"]);
    // With something newer it is set aside once, and then there is nothing left to do.
    change(node, "tank/t", 3);
    completely(node, &[node], route);
    assert_eq!(before.1, head(node, &aside(node, "back/t")));
    assert_same((node, "tank/t"), (node, "back/t"));
    // The copy is mounted, writable, and nothing is written: no reason to set it aside.
    sh(node, "zfs set readonly=off back/t; zfs mount back/t; zfs unmount back/t; zpool sync");
    change(node, "tank/t", 4);
    completely(node, &[node], route);
    aside(node, "back/t");
}

#[test]
fn a_snapshot_of_the_target_that_changes_nothing_stops_and_is_preserved() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/t", 2);
    completely(node, &[node], "tank/t back/t");
    sh(node, "zfs snapshot back/t@theirs");
    change(node, "tank/t", 3);
    let before = state(node);
    refused(node, "tank/t back/t", 3, &["back/t@theirs", "0 bytes", "[R315]"]);
    assert_eq!(before, state(node));
    let theirs = all_guids(node, &["back/t"]);
    completely(node, &[node], "tank/t back/t --divergence preserve");
    assert!(all_guids(node, &["back/t", &aside(node, "back/t")]).is_superset(&theirs));
    assert_same((node, "tank/t"), (node, "back/t"));
}

#[test]
fn what_cannot_go_on_is_not_set_aside() {
    let cluster = alone();
    let node = cluster.node(1);
    sh(node, "truncate -s 80M /tmp/small.img; zpool create -O mountpoint=none small /tmp/small.img");
    fill(node, "tank/t", 1);
    completely(node, &[node], "tank/t small/t");
    sh(
        node,
        "zfs snapshot small/t@theirs; head -c 90000000 /dev/urandom > /tank/t/big; zfs snapshot tank/t@s2",
    );
    let before = state(node);
    refused(
        node,
        "tank/t small/t --divergence preserve",
        3,
        &["small/t has", "bytes are to be sent", "[R308]"],
    );
    assert_eq!(before, state(node));
    // A name that an older snapshot of the target has, of which the source knows nothing.
    fill(node, "tank/u", 1);
    completely(node, &[node], "tank/u back/u");
    change(node, "tank/u", 2);
    sh(node, "zfs snapshot back/u@theirs; zfs rename back/u@s1 s2");
    let before = state(node);
    refused(node, "tank/u back/u --divergence preserve", 3, &["names of some", "tank/u@s2", "[R317]"]);
    assert_eq!(before, state(node));
}

/// Where a key is kept: the same for all pools of a node.
const KEY: &str = "head -c 32 /dev/urandom > /root/key";

#[test]
fn preserve_goes_on_with_what_the_target_encrypts_itself() {
    let cluster = alone();
    let node = cluster.node(1);
    let encrypted = "-o encryption=on -o keyformat=raw -o keylocation=file:///root/key";
    sh(node, &format!("{KEY}; zfs create {encrypted} back/vault"));
    // Below an encrypted parent, and as an encryption root of its own, which only another tool makes of a plain stream.
    fill(node, "tank/below", 2);
    fill(node, "tank/root", 2);
    fill(node, "tank/root/child", 1);
    sh(
        node,
        &format!(
            "zfs send -L -c tank/root@s1 | zfs receive -u {encrypted} -o readonly=on -o canmount=noauto back/root"
        ),
    );
    for (source, target) in [("tank/below", "back/vault/below"), ("tank/root", "back/root")] {
        let route = format!("-r {source} {target} --divergence preserve");
        completely(node, &[node], &route);
        assert_eq!(sh(node, &format!("zfs get -H -o value encryption {target}")), "aes-256-gcm");
        write_to(node, target, "one");
        sh(node, &format!("zfs snapshot {target}@theirs"));
        write_to(node, target, "two");
        change(node, source, 3);
        let before = (all_guids(node, &[target]), head(node, target), files(node, target, "theirs"));
        if target == "back/root" {
            // Its key would be gone after the promotion, and nobody here can load it: what to do is told, and works.
            let before = state(node);
            let said =
                refused(node, &route, 3, &["would unload its key", "`zfs load-key back/root`", "[R316]"]);
            assert_eq!(before, state(node));
            for command in said.split('`').filter(|part| part.starts_with("zfs ")) {
                sh(node, &command.replace("zfs rename", "zfs rename -u"));
            }
        }
        completely(node, &[node], &route);
        let aside = aside(node, target);
        assert_eq!(before.1, head(node, &aside));
        assert_eq!(before.2, files(node, &aside, "theirs"));
        assert!(all_guids(node, &[target, &aside]).is_superset(&before.0));
        assert_same((node, source), (node, target));
        // The key is taken away and given back, as a reboot does; and on it goes.
        let root = sh(node, &format!("zfs get -H -o value encryptionroot {target}"));
        sh(node, &format!("zfs unmount {root} 2>/dev/null || true; zfs unload-key -r {root}"));
        change(node, source, 4);
        refused(node, &format!("-r {source} {target}"), 3, &["key of", "zfs load-key", "[R304]"]);
        sh(node, &format!("zfs load-key -L file:///root/key {root}"));
        completely(node, &[node], &route);
        assert_same((node, source), (node, target));
        assert_eq!(before.1, head(node, &aside));
    }
    assert_same((node, "tank/root/child"), (node, "back/root/child"));
}

#[test]
fn parents_siblings_and_renamed_children_diverge_at_once() {
    let cluster = alone();
    let node = cluster.node(1);
    let all = ["", "/a", "/a/deep", "/b", "/c"];
    for below in all {
        fill(node, &format!("tank/t{below}"), 1);
    }
    let route = "-r tank/t back/t --divergence preserve";
    completely(node, &[node], route);
    let diverged = ["", "/a", "/a/deep", "/b"];
    let mut before = Vec::new();
    for below in diverged {
        let target = format!("back/t{below}");
        write_to(node, &target, "theirs");
        sh(node, &format!("zfs snapshot {target}@theirs"));
        before.push((all_guids(node, &[&target]), head(node, &target)));
    }
    for below in all {
        change(node, &format!("tank/t{below}"), 2);
    }
    sh(node, "zfs rename tank/t/c tank/t/renamed");
    let plan = completely(node, &[node], route);
    assert!(!actions(&plan).contains(&"full".to_string()), "{plan}");
    for below in ["", "/a", "/a/deep", "/b", "/renamed"] {
        assert_same((node, &format!("tank/t{below}")), (node, &format!("back/t{below}")));
    }
    for (below, (guids, files)) in diverged.iter().zip(before) {
        let target = format!("back/t{below}");
        let aside = aside(node, &target);
        assert_eq!(files, head(node, &aside));
        assert!(all_guids(node, &["back/t", &aside]).is_superset(&guids));
    }
    assert_eq!(sh(node, "zfs list -H -o name -r back | grep -c diverged"), "4");
}

/// A bookmark of a clone that is about to be promoted may have the name of one that would come over to it. The kernel of
/// the target would stop at that; so it is not asked.
#[test]
fn a_bookmark_in_the_way_of_a_promotion_is_named_and_stops_no_machine() {
    let cluster = pair();
    let (node, far) = (cluster.node(1), cluster.node(2));
    for far_end in ["zfs", "agent"] {
        let (source, target) = (format!("tank/{far_end}"), format!("back/{far_end}"));
        let route = format!("{source} node2:{target} --far-end {far_end} --divergence preserve");
        fill(node, &source, 2);
        completely(node, &[node, far], &route);
        change(node, &source, 3);
        // As a run leaves it that ended before it promoted; then somebody made bookmarks.
        let aside = format!("{target}_diverged_20261122T181500Z");
        sh(
            far,
            &format!(
                "zfs rename {target} {aside}; zfs clone -o readonly=on -o canmount=noauto {aside}@s2 {target}
                 zfs bookmark {aside}@s1 '{aside}#mine'
                 zfs snapshot {target}@x; zfs bookmark {target}@x '{target}#mine'; zfs destroy {target}@x"
            ),
        );
        let before = state(far);
        let said = refused(node, &route, 1, &["both", &target, &aside, "mine", "destroy"]);
        assert!(!said.contains("destroyed"), "{said}");
        assert!(far_end == "agent" || said.contains("[R116]"), "{said}");
        assert_eq!(state(far), before, "{far_end}");
        sh(far, &format!("zfs destroy '{target}#mine'"));
        completely(node, &[node, far], &route);
        assert_same((node, &source), (far, &target));
    }
}
