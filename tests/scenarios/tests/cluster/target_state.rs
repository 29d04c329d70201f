//! What the target can be like when a run comes: full, limited, in use, another one than it was, or with something of
//! its own under the names that a replica would have. And a source that is another one than it was.

use crate::meddle::*;
use crate::replicas::*;
use crate::support::long;
use crate::ways::over_every_way;

/// F13: the pool of the target is full in the middle of a stream. That dataset fails and says so, the others go on;
/// with room again the next run ends it.
#[test]
fn a_target_that_fills_up_stops_one_dataset_and_goes_on_when_there_is_room() {
    over_every_way(|route| {
        let source = &route.source;
        for below in ["", "/a", "/big", "/z"] {
            fill(route.from, &format!("{source}{below}"), 1);
        }
        route.as_planned("-r", "");
        for below in ["/a", "/z"] {
            change(route.from, &format!("{source}{below}"), 2);
        }
        sh(
            route.from,
            &format!("head -c 16000000 /dev/urandom > /{source}/big/big; zfs snapshot {source}/big@s2"),
        );
        // Whatever is free but for a little belongs to another dataset.
        sh(
            route.to,
            "zfs create back/filler; zpool sync
             zfs set reservation=$(($(zfs list -Hp -o available back) - 8000000)) back/filler; zpool sync",
        );
        let old = files(route.to, &format!("{}/big", route.target), "s1");
        fails_with(route, "-r", 3, &[("/big", "no-space")]);
        for below in ["/a", "/z"] {
            assert_same_below(route, below);
        }
        change(route.from, &format!("{source}/a"), 3);
        // Where the estimate is not believed, ZFS itself says no.
        fails_with(route, "-r --ignore-space", 1, &[("/big", "space")]);
        for below in ["/a", "/z"] {
            assert_same_below(route, below);
        }
        let token = sh(route.to, &format!("zfs get -H -o value receive_resume_token {}/big", route.target));
        assert!(token.starts_with("1-"), "what arrived was not kept: {token}");
        assert_eq!(old, files(route.to, &format!("{}/big", route.target), "s1"));
        sh(route.to, "zfs destroy back/filler; zpool sync");
        let plan = route.completely("-r");
        assert_eq!(actions(&plan), ["resume", "destroy-bookmarks"], "{plan}");
        assert_same_below(route, "/big");
    });
}

/// F14: the pool of either side is not imported when a run comes, or goes away while one is under way. It is named,
/// nothing is taken for gone, and once it is back the next run ends the work.
#[test]
fn a_pool_that_is_not_imported_is_named_and_nothing_is_taken_for_gone() {
    over_every_way(|route| {
        let source = &route.source;
        for below in ["", "/a", "/z"] {
            fill(route.from, &format!("{source}{below}"), 1);
        }
        route.as_planned("-r", "");
        for below in ["/a", "/z"] {
            change(route.from, &format!("{source}{below}"), 2);
        }
        let label = |node: &lab::Node| {
            if node.name() == route.here.name() { "this machine".to_string() } else { node.name() }
        };
        for (node, pool) in [(route.from, "tank"), (route.to, "back")] {
            sh(node, &format!("zpool export {pool}"));
            let other = if pool == "tank" { route.to } else { route.from };
            let before = state(other);
            let how = ["-r", "-r --divergence preserve --discard-partial"];
            for more in how {
                let said = route.refused(more, 1, &[&format!("no pool {pool}"), "zpool import", "[R107]"]);
                assert!(said.contains(&label(node)), "{said}");
            }
            assert_eq!(before, state(other));
            sh(node, &format!("zpool import -d /dev {pool}"));
        }
        // In the middle of a run: only a far end that is a command for each step can lose its pool between two.
        if route.way.far_end == "zfs" {
            let (pool, verb) = if route.way.pull { ("tank", "send") } else { ("back", "receive") };
            deceive(
                route.far,
                &format!(
                    "case \"$*\" in *-n*) ;; {verb}*/z@*) [ -e /tmp/exported ] || {{ zpool export {pool} && touch /tmp/exported; }};; esac"
                ),
            );
            let run = route.run("-r --retries 0");
            be_honest(route.far);
            sh(route.far, &format!("rm /tmp/exported; zpool import -d /dev {pool}"));
            assert_eq!(run.code(), 1, "{}", run.err());
            assert!(run.err().contains("/z") && !run.err().contains("panicked"), "{}", run.err());
            assert_same_below(route, "/a");
        }
        route.completely("-r");
        assert_same_below(route, "/z");
    });
}

/// F24: the target has snapshots under the names of the source's, and they are other ones; or a dataset without any. It
/// stops under either policy, and nothing is overwritten.
#[test]
fn snapshots_of_the_same_name_with_other_guids_are_never_overwritten() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        fill(route.from, &format!("{source}/clash"), 2);
        route.as_planned("-r", "");
        for below in ["/other", "/plain"] {
            fill(route.from, &format!("{source}{below}"), 2);
        }
        sh(
            route.from,
            &format!(
                "zfs destroy {source}/clash@s1; echo y > /{source}/clash/y; zfs snapshot {source}/clash@s1"
            ),
        );
        sh(
            route.to,
            &format!(
                "zfs create -o readonly=off -o mountpoint=/theirs {target}/other; seq 100 > /theirs/file; zfs snapshot {target}/other@s1
                 zfs snapshot {target}/other@s2; zfs create -o readonly=off -o mountpoint=/plain {target}/plain; seq 9 > /plain/file"
            ),
        );
        let before = route.state();
        let expected =
            [("/clash", "name-clash"), ("/other", "no-common-base"), ("/plain", "target-without-snapshots")];
        for policy in ["stop", "preserve"] {
            let more = format!("-r --divergence {policy}");
            let planned = route.plan(&format!("{more} --json"), 3).out();
            assert_eq!(actions(&planned), Vec::<String>::new(), "{planned}");
            fails_with(route, &more, 3, &expected);
        }
        assert_eq!(before, route.state());
    });
}

/// F25: the pools have the same snapshots more than once: a copy of the source within its own pool, a copy of the
/// replica beside it and below it. Each goes on where its name is, and no copy is touched.
#[test]
fn copies_with_the_same_guids_in_one_pool_are_told_apart() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        for below in ["", "/one"] {
            fill(route.from, &format!("{source}{below}"), 2);
        }
        sh(route.from, &format!("zfs send -R {source}/one@s2 | zfs receive {source}/two"));
        route.completely("-r");
        for below in ["/one", "/two"] {
            assert_same_below(route, below);
        }
        sh(
            route.to,
            &format!(
                "zfs send -R {target}/one@s2 | zfs receive -u {target}/copy
                 zfs send -R {target}/one@s2 | zfs receive -u {target}-copy; zpool sync"
            ),
        );
        let copies =
            || [state_of(route.to, &format!("{target}/copy")), state_of(route.to, &format!("{target}-copy"))];
        let before = copies();
        change(route.from, &format!("{source}/one"), 3);
        let plan = route.completely("-r");
        assert!(!plan.contains("\"full\"") && !plan.contains("\"rename\""), "{plan}");
        assert_same_below(route, "/one");
        // Renamed, it could be either of them: it follows neither where that would be a guess.
        sh(route.from, &format!("zfs rename {source}/two {source}/three"));
        let plan = route.completely("-r");
        assert!(!plan.contains("\"rename\""), "{plan}");
        assert_same_below(route, "/three");
        assert_eq!(before, copies());
        assert_eq!(guids(route.from, &format!("{source}/three")), guids(route.to, &format!("{target}/two")));
    });
}

fn state_of(node: &lab::Node, dataset: &str) -> String {
    sh(node, &format!("zfs list -Hp -r -t all -o name,guid,createtxg,written {dataset}"))
}

/// F32: the replica is mounted, a process works in it and has a file of it open; the volume of another one is open.
/// The run goes on, and takes neither away.
#[test]
fn a_replica_that_is_mounted_and_in_use_goes_on() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill(route.from, source, 1);
        sh(route.from, &format!("zfs create -s -V 24M {source}/vol; zfs snapshot {source}/vol@s1"));
        route.as_planned("-r", "");
        sh(
            route.to,
            &format!(
                "zfs mount {target}; size=0; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done; ls /dev/zd*
                 cd /{target}; setsid sleep 300 < dir1/text > /dev/null 2>&1 & echo $! > /tmp/in-use
                 for d in /dev/zd*; do setsid sleep 300 < $d > /dev/null 2>&1 & echo $! >> /tmp/in-use; done"
            ),
        );
        change(route.from, source, 2);
        sh(route.from, &format!("zfs snapshot {source}/vol@s2"));
        route.completely("-r");
        assert_eq!(sh(route.to, "for p in $(cat /tmp/in-use); do kill -0 $p || echo gone; done"), "");
        assert_eq!(
            sh(route.to, &format!("zfs get -H -o value mounted {target}; ls -d /{target}/dir2")),
            format!("yes\n/{target}/dir2")
        );
        sh(route.to, &format!("kill $(cat /tmp/in-use); sleep 0.2; zfs unmount {target}"));
        route.assert_same();
        let vol = "/vol";
        assert_eq!(guids(route.from, &format!("{source}{vol}")), guids(route.to, &format!("{target}{vol}")));
        sh(route.from, &format!("zfs destroy -r {source}/vol"));
        sh(route.to, &format!("zfs destroy -r {target}/vol"));
    });
}

/// F33: a quota or reference quota of the target's dataset is reached. That dataset stops and keeps what it has, its
/// siblings go on; without the limit it does, too. (A receive in progress is held to the former only.)
#[test]
fn a_quota_that_is_reached_stops_its_dataset_alone() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        for below in ["", "/quota", "/refquota", "/z"] {
            fill(route.from, &format!("{source}{below}"), 1);
        }
        route.as_planned("-r", "");
        for below in ["/quota", "/refquota"] {
            sh(route.to, &format!("zfs set {}=3M {target}{below}", &below[1..]));
            sh(
                route.from,
                &format!(
                    "head -c 8000000 /dev/urandom > /{source}{below}/big; zfs snapshot {source}{below}@s2"
                ),
            );
        }
        change(route.from, &format!("{source}/z"), 2);
        let old: Vec<_> = ["/quota", "/refquota"]
            .iter()
            .map(|below| files(route.to, &format!("{target}{below}"), "s1"))
            .collect();
        fails_with(route, "-r", 3, &[("/quota", "no-space"), ("/refquota", "no-space")]);
        assert_same_below(route, "/z");
        fails_with(route, "-r --ignore-space", 1, &[("/quota", "quota")]);
        assert_same_below(route, "/refquota");
        for (below, old) in ["/quota", "/refquota"].iter().zip(&old) {
            assert_eq!(old, &files(route.to, &format!("{target}{below}"), "s1"));
            sh(route.to, &format!("zfs set {}=none {target}{below}", &below[1..]));
        }
        route.completely("-r");
        for below in ["/quota", "/refquota"] {
            assert_same_below(route, below);
        }
    });
}

/// F33: the number of snapshots that the receiving user may have is reached. (No such limit holds for root.)
#[test]
fn a_limit_of_snapshots_is_told_to_a_user_who_has_one() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(
        b,
        "useradd -m -s /bin/bash -p '*' keeper; mkdir -p /home/keeper/.ssh; cp /root/.ssh/authorized_keys /home/keeper/.ssh/
         chown -R keeper /home/keeper/.ssh; chmod 700 /home/keeper/.ssh
         zfs allow -u keeper receive,create,mount,readonly,canmount back",
    );
    for far_end in ["zfs", "agent"] {
        let (source, route) = (
            format!("tank/{far_end}"),
            format!("tank/{far_end} keeper@node2:back/{far_end} --far-end {far_end}"),
        );
        fill(a, &source, 1);
        completely(a, &[a, b], &route);
        sh(b, &format!("zfs set snapshot_limit=1 back/{far_end}"));
        change(a, &source, 2);
        refused(a, &route, 1, &["node2", &format!("back/{far_end}"), "quota"]);
        sh(b, &format!("zfs set snapshot_limit=none back/{far_end}"));
        completely(a, &[a, b], &route);
        assert_same((a, &source), (b, &format!("back/{far_end}")));
    }
}

/// F34: the target's disk was replaced by an empty one. A pool that is missing is an error; one that is there and empty
/// gets everything anew, unless a first replication is not allowed.
#[test]
fn an_empty_replacement_disk_of_the_target_gets_everything_anew() {
    over_every_way(|route| {
        let source = &route.source;
        for below in ["", "/child"] {
            fill(route.from, &format!("{source}{below}"), 2);
        }
        route.as_planned("-r", "");
        change(route.from, source, 3);
        sh(route.to, "zpool destroy back");
        let before = state(route.from);
        route.refused("-r", 1, &["no pool back", "[R107]"]);
        sh(route.to, BACK);
        fails_with(
            route,
            "-r --initial refuse",
            3,
            &[("", "initial-refused"), ("/child", "parent-not-replicated")],
        );
        assert_eq!(before, state(route.from));
        route.completely("-r");
        for below in ["", "/child"] {
            assert_same_below(route, below);
        }
    });
}

/// F35: the source is another one under the same name: empty, or with snapshots of its own, or not there at all. It is
/// refused under either policy, and the replica keeps everything.
#[test]
fn a_source_that_was_made_anew_under_its_name_changes_nothing_on_the_target() {
    over_every_way(|route| {
        let source = &route.source;
        for below in ["", "/child"] {
            fill(route.from, &format!("{source}{below}"), 2);
        }
        route.as_planned("-r", "");
        let before = state(route.to);
        let all = ["stop", "preserve"].map(|policy| format!("-r --discard-partial --divergence {policy}"));
        sh(route.from, &format!("zfs destroy -r {source}"));
        for more in &all {
            route.refused(more, 1, &["no dataset", "[R106]"]);
        }
        sh(route.from, &format!("zfs create {source}; zfs create {source}/child"));
        for more in &all {
            fails_with(route, more, 3, &[("", "no-source-snapshots"), ("/child", "no-source-snapshots")]);
        }
        sh(route.from, &format!("zfs snapshot -r {source}@s1; zfs snapshot -r {source}@s3"));
        for more in &all {
            assert_eq!(actions(&route.plan(&format!("{more} --json"), 3).out()), Vec::<String>::new());
            fails_with(route, more, 3, &[("", "no-common-base"), ("/child", "no-common-base")]);
        }
        assert_eq!(before, state(route.to));
    });
}

/// F36: many datasets, and many snapshots of one; a thousand of each in the long set.
#[test]
fn many_datasets_and_many_snapshots_arrive_and_are_known_again() {
    let (datasets, snapshots) = if long() { (1000, 1000) } else { (60, 100) };
    let cluster = pair();
    let route = crate::ways::Route::new(&cluster, crate::ways::WAYS[0]);
    sh(
        route.from,
        &format!(
            "zfs create -o mountpoint=none {0}; for d in $(seq {datasets}); do zfs create -u {0}/d$d; done
             zfs snapshot -r {0}@s1; zfs create -u {0}/many
             for s in $(seq {snapshots}); do zfs snapshot {0}/many@n$s; done; zfs snapshot -r {0}@s2",
            route.source
        ),
    );
    // All at once, and then one by one in an order that GUIDs know and names do not.
    as_planned(route.here, &[], &route.arguments("", "-r --exclude many"), "--jobs 4");
    as_planned(route.here, &[], &route.arguments("", "-r"), "--jobs 4");
    nothing_is_left(&route, "-r");
    let all = |node: &lab::Node, root: &str| {
        let list = sh(node, &format!("zfs list -Hp -r -t snapshot -o name,guid {root} | sort"));
        list.lines().map(|line| line.replacen(root, "", 1)).collect::<Vec<_>>()
    };
    let (from, to) = (all(route.from, &route.source), all(route.to, &route.target));
    assert_eq!(from.len(), 2 * (datasets + 1) + snapshots + 1);
    assert_eq!(from, to);
}
