//! The bookmarks on the source: they carry a replication over the loss of all its snapshots and over a killed run,
//! the older ones of this target go, and nobody else's are ever touched.

use std::time::Duration;

use crate::replicas::*;

#[test]
fn a_run_goes_on_from_a_bookmark_after_all_common_snapshots_were_destroyed() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for (node, route, target) in
        [(a, "-r tank/push node2:back/push", "back/push"), (b, "-r node1:tank/pull back/pull", "back/pull")]
    {
        let source = target.replace("back", "tank");
        fill(a, &source, 3);
        fill(a, &format!("{source}/child"), 1);
        completely(node, &[a, b], route);
        sh(a, &format!("zfs destroy {source}@s1%s3; zfs destroy {source}/child@s1"));
        change(a, &source, 4);
        change(a, &format!("{source}/child"), 2);
        let plan = completely(node, &[a, b], route);
        assert!(plan.contains("#replicator_1_") && !plan.contains("\"full\""), "{plan}");
        assert_eq!(files(a, &source, "s4"), files(b, target, "s4"));
        assert_eq!(files(a, &format!("{source}/child"), "s2"), files(b, &format!("{target}/child"), "s2"));
        assert_eq!(guids(b, target).len(), 4);
        assert_eq!(guids(a, &source).last(), guids(b, target).last());
    }
}

#[test]
fn older_bookmarks_of_this_target_go_and_all_others_stay() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    completely(a, &[a, b], "tank/data node2:back/one");
    completely(a, &[a, b], "tank/data node2:back/two");
    // A person's own, and some that only look like ours: of another version, with a GUID that is not its own.
    sh(
        a,
        "zfs bookmark tank/data@s1 tank/data#mine; zfs bookmark tank/data@s2 tank/data#syncoid_node2_1
         zfs bookmark tank/data@s1 tank/data#replicator_9_0000000000000001_0000000000000002
         id=$(zfs list -H -t bookmark -o name tank/data | sed -n 's/.*#replicator_1_\\(................\\)_.*/\\1/p' | head -1)
         zfs bookmark tank/data@s1 tank/data#replicator_1_${id}_0000000000000002",
    );
    let all =
        || sh(a, "zfs list -H -t bookmark -o name tank/data").lines().map(str::to_string).collect::<Vec<_>>();
    let before = all();
    assert_eq!(before.len(), 6, "{before:?}");
    change(a, "tank/data", 3);
    change(a, "tank/data", 4);
    completely(a, &[a, b], "tank/data node2:back/one");
    let after = all();
    let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    let new: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
    assert_eq!((gone.len(), new.len()), (1, 1), "{before:?}\n{after:?}");
    let newest: u64 = sh(a, "zfs get -Hp -o value guid tank/data@s4").parse().expect("a number");
    assert!(new[0].ends_with(&format!("{newest:016x}")), "{new:?} {newest:x}");
    let id = |name: &str| name.rsplit('_').nth(1).map(str::to_string);
    assert_eq!(id(gone[0]), id(new[0]));
    // The other target's is still good.
    sh(a, "zfs destroy tank/data@s1%s3");
    completely(a, &[a, b], "tank/data node2:back/two");
    assert_eq!(files(a, "tank/data", "s4"), files(b, "back/two", "s4"));
    assert_eq!(all().len(), 6);
    assert_eq!(our_bookmarks(a, "tank/data").len(), 3);
}

#[test]
fn without_bookmarks_none_is_made_and_none_is_needed() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    completely(a, &[a, b], "tank/data node2:back/data --no-bookmarks");
    change(a, "tank/data", 2);
    completely(a, &[a, b], "tank/data node2:back/data --no-bookmarks");
    assert_eq!(sh(a, "zfs list -H -t bookmark -o name -r tank"), "");
    assert_same((a, "tank/data"), (b, "back/data"));
    // A run that keeps them makes one for what is there already.
    as_planned(a, &[a, b], "tank/data node2:back/data", "");
    assert_eq!(our_bookmarks(a, "tank/data").len(), 1);
}

#[test]
fn a_run_that_was_killed_leaves_bases_from_which_the_next_one_goes_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/t", 1);
    fill(a, "tank/t/big", 1);
    completely(a, &[a, b], "-r tank/t node2:back/t");
    for n in 2..=5 {
        sh(a, &format!("head -c 3000000 /dev/urandom > /tank/t/big/f{n}; zfs snapshot tank/t/big@s{n}"));
    }
    cluster.link(1, 2).bandwidth(Some(2_000_000));
    let process = a
        .command("replicator")
        .args(["replicate", "-r", "tank/t", "node2:back/t"])
        .limit(Duration::from_secs(100))
        .spawn()
        .expect("started");
    sh(
        b,
        "for i in $(seq 300); do zfs list -H -o name back/t/big@s3 >/dev/null 2>&1 && break; sleep 0.1; done
         zfs list back/t/big@s3; sleep 0.5",
    );
    process.signal(9);
    assert_ne!(process.wait().map(|output| output.code()).unwrap_or(137), 0);
    assert!(our_bookmarks(a, "tank/t/big").len() >= 4, "{:?}", our_bookmarks(a, "tank/t/big"));
    cluster.link(1, 2).bandwidth(None);
    sh(b, "for i in $(seq 100); do pgrep -x zfs >/dev/null || break; sleep 0.1; done");
    // The source forgets what it sent before it was killed, as pruning would.
    let newest = sh(b, "zfs list -H -d 1 -t snapshot -s createtxg -o name back/t/big | tail -1");
    let newest = newest.split_once('@').expect("a snapshot").1.to_string();
    assert_ne!(newest, "s5", "the run was over before it was killed");
    sh(a, &format!("zfs destroy tank/t/big@s1%{newest}"));
    change(a, "tank/t/big", 6);
    let plan = completely(a, &[a, b], "-r tank/t node2:back/t");
    assert!(!plan.contains("\"full\"") && plan.contains("#replicator_1_"), "{plan}");
    assert_eq!(guids(b, "back/t/big").len(), 6);
    assert_eq!(files(a, "tank/t/big", "s6"), files(b, "back/t/big", "s6"));
    assert_eq!(our_bookmarks(a, "tank/t/big").len(), 1, "{:?}", our_bookmarks(a, "tank/t/big"));
}

#[test]
fn without_the_right_to_bookmark_a_pull_goes_on_with_snapshots_and_says_so() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    sh(
        a,
        "useradd -m -s /bin/bash -p '*' reader; mkdir -p /home/reader/.ssh; cp /root/.ssh/authorized_keys /home/reader/.ssh/
         chown -R reader /home/reader/.ssh; chmod 700 /home/reader/.ssh; zfs allow -u reader send tank/data",
    );
    let said = replicate(b, "reader@node1:tank/data back/data");
    assert!(said.contains("bookmarks"), "{said}");
    assert_same((a, "tank/data"), (b, "back/data"));
    change(a, "tank/data", 3);
    replicate(b, "reader@node1:tank/data back/data");
    assert_same((a, "tank/data"), (b, "back/data"));
    assert_eq!(sh(a, "zfs list -H -t bookmark -o name -r tank"), "");
}
