//! Datasets that the source does not have any more: they stay for ever, or are removed after a grace period, and only
//! what is a copy of this source and was left alone.

use lab::Node;

use crate::replicas::*;

const GRACE: &str = "--remove-gone-after 30d";

/// Moves the clock of the node that a run is made on.
fn days_later(node: &Node, days: u64) {
    sh(node, &format!("date --utc --set @$(($(date +%s) + {days} * 86400)) >/dev/null"));
}

fn names(node: &Node) -> Vec<String> {
    sh(node, "zfs list -H -o name -r back/tree").lines().map(str::to_string).collect()
}

fn fill_tree(node: &Node) {
    for dataset in ["tank/tree", "tank/tree/stays", "tank/tree/lost", "tank/tree/lost/below it"] {
        fill(node, dataset, 2);
    }
    sh(node, "zfs create -s -V 12M tank/tree/vol; zfs snapshot tank/tree/vol@s1");
}

fn removed(here: &Node, there: &Node, nodes: &[&Node], on: &Node, from: &str, to: &str) {
    let what = format!("-r {from} {to} {GRACE}");
    fill_tree(here);
    completely(on, nodes, &what);
    let all = names(there);
    assert_eq!(all.len(), 5);

    sh(here, "zfs destroy -r tank/tree/lost; zfs destroy -r tank/tree/vol");
    let plan = completely(on, nodes, &what);
    assert_eq!(actions(&plan), ["set-properties"; 3], "{plan}");
    days_later(on, 29);
    assert_eq!(actions(&completely(on, nodes, &what)), Vec::<String>::new());
    assert_eq!(names(there), all);
    // Without the option nothing is removed, however late it is.
    days_later(on, 2);
    completely(on, nodes, &what.replace(GRACE, ""));
    assert_eq!(names(there), all);

    let text = sh(on, &format!("replicator plan {what}"));
    for word in
        ["2 snapshots of back/tree/lost: @s1, @s2", "destroy back/tree/vol", "bytes are lost", "grace period"]
    {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    let plan = completely(on, nodes, &what);
    let destroys = ["destroy-snapshots", "destroy"];
    assert_eq!(actions(&plan), destroys.repeat(3), "{plan}");
    assert_eq!(names(there), ["back/tree", "back/tree/stays"]);
    // What stays goes on.
    change(here, "tank/tree/stays", 3);
    completely(on, nodes, &what);
    assert_same((here, "tank/tree/stays"), (there, "back/tree/stays"));
}

#[test]
fn what_is_gone_is_removed_after_its_time_through_an_agent() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    removed(a, b, &[a, b], a, "tank/tree", "node2:back/tree --far-end agent");
}

#[test]
fn what_is_gone_is_removed_after_its_time_on_a_machine_with_only_zfs() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    removed(a, b, &[a, b], a, "tank/tree", "node2:back/tree");
}

#[test]
fn what_is_gone_at_a_machine_with_only_zfs_is_removed_after_its_time() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    removed(a, b, &[a, b], b, "node1:tank/tree", "back/tree");
}

#[test]
fn what_is_gone_is_removed_after_its_time_from_another_pool() {
    let cluster = alone();
    let a = cluster.node(1);
    removed(a, a, &[a], a, "tank/tree", "back/tree");
}

#[test]
fn whatever_speaks_for_a_dataset_keeps_it() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for (far, on, what) in [
        ("zfs", b, "-r node1:tank/tree back/tree"),
        ("agent", a, "-r tank/tree node2:back/tree --far-end agent"),
    ] {
        fill(a, "tank/tree", 1);
        let cases = ["held", "cloned", "written", "own", "mounted", "parent", "plain", "old"];
        for case in cases {
            fill(a, &format!("tank/tree/{case}"), 1);
        }
        fill(a, "tank/tree/parent/child", 1);
        let what = format!("{what} {GRACE}");
        completely(on, &[a, b], &what);
        // It was there before, and nobody knows whose copy it is.
        sh(b, "zfs inherit replicator:replica back/tree/old");
        for case in cases {
            sh(a, &format!("zfs destroy -r tank/tree/{case}"));
        }
        completely(on, &[a, b], &what);
        days_later(on, 31);
        sh(
            b,
            "zfs hold theirs back/tree/held@s1
             zfs clone -o mountpoint=none back/tree/cloned@s1 back/clone
             zfs set readonly=off mountpoint=/back/written back/tree/written; zfs mount back/tree/written
             echo x > /back/written/new; zfs unmount back/tree/written
             zfs snapshot back/tree/own@theirs
             zfs set mountpoint=/back/mounted back/tree/mounted; zfs mount back/tree/mounted
             zfs set replicator:gone=no back/tree/parent/child",
        );
        let plan = sh(on, &format!("replicator plan {what}"));
        for (case, why) in [
            ("held", "has a hold"),
            ("cloned", "has a clone"),
            ("written", "was changed here"),
            ("own", "was changed here"),
            ("mounted", "is mounted"),
            ("parent", "below it stays"),
            ("old", "not marked as a copy"),
        ] {
            let line = plan.lines().find(|line| line.contains(&format!("stays: back/tree/{case} ")));
            assert!(line.is_some_and(|line| line.contains(why)), "{far}: {case}: {why}:\n{plan}");
        }
        as_planned(on, &[a, b], &what, "");
        let left = names(b);
        for case in cases.iter().filter(|case| **case != "plain") {
            let name = format!("back/tree/{case}");
            assert!(left.contains(&name), "{far}: {case} is gone: {left:?}");
            assert_eq!(guids(b, &name).first().map(|line| line.starts_with("s1\t")), Some(true), "{case}");
        }
        assert!(!left.contains(&"back/tree/plain".to_string()), "{far}: {left:?}");
        sh(b, "zfs release theirs back/tree/held@s1; zfs destroy back/clone; zfs unmount back/tree/mounted");
        sh(b, "zfs destroy -r back/tree");
        sh(a, "zfs destroy -r tank/tree");
    }
}

#[test]
fn a_source_that_is_gone_itself_or_another_one_removes_nothing() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/tree", 1);
    fill(a, "tank/tree/lost", 1);
    fill(a, "tank/tree/stays", 1);
    let what = format!("-r tank/tree node2:back/tree {GRACE}");
    completely(a, &[a, b], &what);
    sh(a, "zfs destroy -r tank/tree/lost");
    completely(a, &[a, b], &what);
    days_later(a, 40);
    let all = names(b);
    // The pool is away, then the dataset is.
    sh(a, "cd /; zpool export tank");
    refused(a, &what, 1, &["tank"]);
    sh(a, "zpool import -d /dev/ubdb tank; zfs rename tank/tree tank/elsewhere");
    refused(a, &what, 1, &["tank/tree", "[R106]"]);
    // Another dataset has its name.
    fill(a, "tank/tree", 1);
    refused(a, &what, 3, &["back/tree"]);
    assert_eq!(names(b), all);
    // Excluded is not gone.
    sh(a, "zfs destroy -r tank/tree; zfs rename tank/elsewhere tank/tree");
    completely(a, &[a, b], &format!("{what} --exclude lost --exclude stays"));
    assert_eq!(names(b), all);
    // The clock was wrong when it was marked: it waits from now on.
    let other = "-r tank/tree node2:back/other --remove-gone-after 1h";
    fill(a, "tank/tree/late", 1);
    completely(a, &[a, b], other);
    sh(a, "zfs destroy -r tank/tree/late; date --utc --set '2040-01-01' >/dev/null");
    completely(a, &[a, b], other);
    sh(a, "date --utc --set '2030-01-01' >/dev/null");
    let plan = completely(a, &[a, b], other);
    assert_eq!(actions(&plan), ["set-properties"], "{plan}");
    assert!(sh(b, "zfs list -H -o name -r back/other").contains("back/other/late"));
}

#[test]
fn what_comes_back_stays() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/tree", 1);
    fill(a, "tank/tree/lost", 2);
    let what = format!("-r tank/tree node2:back/tree {GRACE}");
    completely(a, &[a, b], &what);
    sh(a, "zfs destroy -r tank/tree/lost");
    completely(a, &[a, b], &what);
    assert!(sh(b, "zfs get -H -o value replicator:gone back/tree/lost").starts_with("1:"));
    // Restored from the copy, and replicated again.
    replicate(a, "node2:back/tree/lost tank/tree/lost --set readonly=off");
    days_later(a, 31);
    let plan = completely(a, &[a, b], &what);
    assert!(actions(&plan).contains(&"unset-properties".to_string()), "{plan}");
    assert_eq!(sh(b, "zfs get -H -o value replicator:gone back/tree/lost"), "-");
    sh(a, "zfs set mountpoint=/tank/tree/lost canmount=on tank/tree/lost; zfs mount tank/tree/lost || true");
    change(a, "tank/tree/lost", 3);
    completely(a, &[a, b], &what);
    assert_eq!(guids(a, "tank/tree/lost"), guids(b, "back/tree/lost"));
}

#[test]
fn an_agent_removes_nothing_unless_it_was_started_so() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/tree", 1);
    fill(a, "tank/tree/lost", 1);
    let start = |allow: &str| {
        sh(a, "[ -f /tmp/limited ] || ssh-keygen -q -t ed25519 -N '' -f /tmp/limited");
        let key = sh(a, "cat /tmp/limited.pub");
        sh(
            b,
            &format!(
                "sed -i '/restrict,command/d' /root/.ssh/authorized_keys
                 echo 'restrict,command=\"replicator agent --root back {allow}\" {key}' >> /root/.ssh/authorized_keys"
            ),
        );
    };
    let what = format!("-r tank/tree node2:back/tree --far-end agent --identity /tmp/limited {GRACE}");
    start("");
    replicate(a, &what);
    sh(a, "zfs destroy -r tank/tree/lost");
    // It may not even be marked.
    let said = replicate(a, &what);
    assert!(said.contains("remove-gone"), "{said}");
    assert_eq!(sh(b, "zfs get -H -o value replicator:gone back/tree/lost"), "-");
    start("--allow list,receive,remove-gone");
    completely(a, &[a, b], &what);
    days_later(a, 31);
    start("");
    refused(a, &what, 4, &["back/tree/lost is not removed", "remove-gone"]);
    assert_eq!(guids(b, "back/tree/lost").len(), 1);
    start("--allow list,receive,remove-gone");
    completely(a, &[a, b], &what);
    assert_eq!(names(b), ["back/tree"]);
}
