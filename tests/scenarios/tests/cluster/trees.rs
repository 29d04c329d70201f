//! Whole trees: what is in them arrives in its order and under its name, what is left out stays out, and a dataset
//! that cannot be sent keeps none of the others from going on.

use crate::replicas::*;

/// Children, a volume, and a clone that is listed before the dataset of its origin.
fn fill_tree(node: &lab::Node) {
    for dataset in ["tank/tree", "tank/tree/data", "tank/tree/data/deep"] {
        fill(node, dataset, 2);
    }
    sh(
        node,
        "zfs create -s -V 12M tank/tree/vol; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done
         dd if=/dev/urandom of=/dev/zd0 bs=1M count=3 conv=fsync 2>/dev/null; zfs snapshot tank/tree/vol@s1
         zfs clone -o mountpoint=/tank/tree/clone tank/tree/data@s1 tank/tree/clone",
    );
    change(node, "tank/tree/clone", 3);
}

#[test]
fn a_tree_with_children_a_volume_and_a_clone_arrives_as_it_is_and_goes_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_tree(a);
    let filesystems = ["", "/data", "/data/deep", "/clone"];
    let check = || {
        for below in filesystems {
            assert_same((a, &format!("tank/tree{below}")), (b, &format!("back/tree{below}")));
        }
        assert_eq!(guids(a, "tank/tree/vol"), guids(b, "back/tree/vol"));
        assert_eq!(volume(a, "tank/tree/vol"), volume(b, "back/tree/vol"));
        assert_eq!(sh(b, "zfs get -H -o value origin back/tree/clone"), "back/tree/data@s1");
        assert_eq!(sh(b, "zfs list -H -o name -r back/tree | wc -l"), "5");
        let set =
            sh(b, "zfs get -H -o value -s local readonly -r back/tree -t filesystem,volume | sort | uniq -c");
        assert_eq!(set.split_whitespace().collect::<Vec<_>>(), ["5", "on"]);
        assert_eq!(sh(b, "zfs list -H -o mounted -t filesystem -r back/tree | sort -u"), "no");
    };
    completely(a, &[a, b], "-r tank/tree node2:back/tree");
    check();
    // New snapshots of some, and a new child.
    change(a, "tank/tree/data", 3);
    change(a, "tank/tree/clone", 4);
    sh(
        a,
        "dd if=/dev/urandom of=/dev/zd0 bs=1M count=2 seek=5 conv=fsync 2>/dev/null; zfs snapshot tank/tree/vol@s2",
    );
    completely(b, &[a, b], "-r node1:tank/tree back/tree");
    check();
    fill(a, "tank/tree/data/new", 1);
    completely(a, &[a, b], "-r tank/tree node2:back/tree");
    assert_same((a, "tank/tree/data/new"), (b, "back/tree/data/new"));
}

#[test]
fn a_clone_of_a_promoted_dataset_is_sent_from_where_its_origin_is_now() {
    let cluster = alone();
    let node = cluster.node(1);
    fill_tree(node);
    sh(node, "zfs promote tank/tree/clone");
    completely(node, &[node], "-r tank/tree back/tree");
    for below in ["", "/data", "/data/deep", "/clone"] {
        assert_same((node, &format!("tank/tree{below}")), (node, &format!("back/tree{below}")));
    }
    assert_eq!(sh(node, "zfs get -H -o value origin back/tree/data"), "back/tree/clone@s1");
    // Turned round once more after it was sent: nothing is sent twice, and what is new arrives.
    sh(node, "zfs promote tank/tree/data");
    change(node, "tank/tree/data", 5);
    change(node, "tank/tree/clone", 6);
    let said = replicator(node, "replicate -r tank/tree back/tree");
    assert_eq!(said.code(), 0, "{}", said.err());
    for dataset in ["data", "clone"] {
        let (from, to) = (format!("tank/tree/{dataset}"), format!("back/tree/{dataset}"));
        assert_eq!(guids(node, &from).last(), guids(node, &to).last());
    }
    assert_eq!(files(node, "tank/tree/clone", "s6"), files(node, "back/tree/clone", "s6"));
    assert_eq!(files(node, "tank/tree/data", "s5"), files(node, "back/tree/data", "s5"));
}

#[test]
fn what_is_excluded_is_never_sent_and_what_is_below_it_gets_a_placeholder() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for dataset in ["tank/t", "tank/t/tmp", "tank/t/tmp/x", "tank/t/vm", "tank/t/vm/1", "tank/t/vm/2"] {
        fill(a, dataset, 1);
    }
    let names = |node: &lab::Node, root: &str| sh(node, &format!("zfs list -H -o name -r {root}"));
    completely(a, &[a, b], "-r tank/t node2:back/out --exclude tmp --exclude vm/2");
    assert_eq!(names(b, "back/out"), "back/out\nback/out/vm\nback/out/vm/1");
    for below in ["", "/vm", "/vm/1"] {
        assert_same((a, &format!("tank/t{below}")), (b, &format!("back/out{below}")));
    }
    // Only two of them: what is above is made, empty and not mounted, and no snapshot of it is sent.
    completely(b, &[a, b], "-r node1:tank/t back/some --include vm/1 --include tmp/x");
    assert_eq!(
        names(b, "back/some"),
        "back/some\nback/some/tmp\nback/some/tmp/x\nback/some/vm\nback/some/vm/1"
    );
    for below in ["/tmp/x", "/vm/1"] {
        assert_same((a, &format!("tank/t{below}")), (b, &format!("back/some{below}")));
    }
    for placeholder in ["back/some", "back/some/tmp", "back/some/vm"] {
        assert_eq!(sh(b, &format!("zfs list -H -d 1 -t snapshot -o name {placeholder}")), "");
        assert_eq!(sh(b, &format!("zfs get -H -o value canmount,mounted {placeholder}")), "off\nno");
    }
}

#[test]
fn snapshots_that_are_excluded_are_never_sent_but_can_be_a_base() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    sh(a, "zfs snapshot tank/data@hourly-1");
    change(a, "tank/data", 3);
    completely(a, &[a, b], "tank/data node2:back/data --exclude-snapshots 'hourly-*'");
    let names = |node: &lab::Node, dataset: &str| -> Vec<String> {
        guids(node, dataset).iter().map(|line| line.split('\t').next().expect("a name").to_string()).collect()
    };
    assert_eq!(names(b, "back/data"), ["s1", "s2", "s3"]);
    assert_eq!(files(a, "tank/data", "s3"), files(b, "back/data", "s3"));
    sh(a, "zfs snapshot tank/data@hourly-2");
    change(a, "tank/data", 4);
    completely(a, &[a, b], "tank/data node2:back/data --include-snapshots 's*'");
    assert_eq!(names(b, "back/data"), ["s1", "s2", "s3", "s4"]);
    assert_eq!(files(a, "tank/data", "s4"), files(b, "back/data", "s4"));
    // Nothing selected is said, and is no success.
    refused(
        a,
        "tank/data node2:back/none --include-snapshots 'weekly-*'",
        3,
        &["selected", "patterns", "[R302]"],
    );
}

#[test]
fn only_the_newest_is_sent_where_that_was_asked_for() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 3);
    let before = state(b);
    refused(
        a,
        "tank/data node2:back/data --initial refuse",
        3,
        &["back/data does not exist", "--initial", "[R303]"],
    );
    assert_eq!(before, state(b));
    completely(a, &[a, b], "tank/data node2:back/data --newest-only");
    completely(a, &[a, b], "tank/data node2:back/then-all --initial newest");
    for n in 4..=6 {
        change(a, "tank/data", n);
    }
    completely(a, &[a, b], "tank/data node2:back/data --newest-only --initial refuse");
    completely(a, &[a, b], "tank/data node2:back/then-all");
    let (from, to) = (guids(a, "tank/data"), guids(b, "back/data"));
    assert_eq!([&from[2], &from[5]], [&to[0], &to[1]]);
    assert_eq!(to.len(), 2);
    assert_eq!(guids(b, "back/then-all"), from[2..]);
    for target in ["back/data", "back/then-all"] {
        assert_eq!(files(a, "tank/data", "s3"), files(b, target, "s3"));
        assert_eq!(files(a, "tank/data", "s6"), files(b, target, "s6"));
    }
}

#[test]
fn missing_parents_of_the_target_are_made_and_not_mounted() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    let plan = completely(a, &[a, b], "tank/data node2:back/'of node1'/deep/data");
    assert_eq!(actions(&plan), ["create", "create", "bookmark", "full", "incremental", "destroy-bookmarks"]);
    assert_same((a, "tank/data"), (b, "back/of node1/deep/data"));
    for parent in ["back/of node1", "back/of node1/deep"] {
        assert_eq!(sh(b, &format!("zfs get -H -o value canmount,mounted '{parent}'")), "off\nno");
    }
    // And here, without the zfs command.
    sh(a, BACK);
    completely(a, &[a], "tank/data back/x/y/data");
    assert_same((a, "tank/data"), (a, "back/x/y/data"));
    assert_eq!(sh(a, "zfs get -H -o value canmount,mounted back/x"), "off\nno");
}

#[test]
fn a_dataset_that_is_gone_at_the_source_stays_and_a_source_that_is_gone_is_an_error() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    for dataset in ["tank/t", "tank/t/gone", "tank/t/gone/child", "tank/t/here"] {
        fill(a, dataset, 1);
    }
    completely(a, &[a, b], "-r tank/t node2:back/t");
    let kept = (guids(b, "back/t/gone"), files(b, "back/t/gone/child", "s1"));
    sh(a, "zfs destroy -r tank/t/gone");
    change(a, "tank/t/here", 2);
    let plan = completely(a, &[a, b], "-r tank/t node2:back/t");
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!(plan["kept"][0]["dataset"], "back/t/gone", "{plan}");
    assert_eq!(kept, (guids(b, "back/t/gone"), files(b, "back/t/gone/child", "s1")));
    assert_same((a, "tank/t/here"), (b, "back/t/here"));
    let before = state(b);
    sh(a, "zfs rename tank/t tank/elsewhere");
    refused(a, "-r tank/t node2:back/t", 1, &["no dataset tank/t", "[R106]"]);
    sh(a, "zpool export tank");
    refused(a, "-r tank/t node2:back/t", 1, &["tank"]);
    refused(b, "-r node1:tank/t back/t", 1, &["tank"]);
    assert_eq!(before, state(b));
}

#[test]
fn one_broken_dataset_of_twenty_keeps_none_of_the_others_from_going_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/t", 1);
    for n in 1..=19 {
        fill(a, &format!("tank/t/d{n:02}"), 1);
    }
    as_planned(a, &[a, b], "-r tank/t node2:back/t", "--jobs 4");
    for n in 1..=19 {
        sh(a, &format!("echo more > /tank/t/d{n:02}/more; zfs snapshot tank/t/d{n:02}@s2"));
    }
    sh(b, "zfs snapshot back/t/d07@theirs");
    let broken = (state_of(a, "tank/t/d07"), state_of(b, "back/t/d07"));
    for (node, route) in [(a, "-r tank/t node2:back/t"), (b, "-r node1:tank/t back/t")] {
        let err = refused(
            node,
            &format!("{route} --jobs 4"),
            3,
            &["back/t/d07@theirs", "[R315]", "1 of 20 datasets", "[R300]"],
        );
        assert_eq!(err.matches("error: ").count(), 2, "{err}");
    }
    assert_eq!(broken, (state_of(a, "tank/t/d07"), state_of(b, "back/t/d07")));
    let mut compared = 0;
    for n in (1..=19).filter(|n| *n != 7) {
        assert_same((a, &format!("tank/t/d{n:02}")), (b, &format!("back/t/d{n:02}")));
        compared += 1;
    }
    assert_eq!(compared, 18);
    // A child waits for its parent: with the parent in the way, the child is named, and the rest goes on.
    sh(b, "zfs destroy back/t/d07@theirs; zfs create back/t/p; touch /back/t/p/x 2>/dev/null || true");
    fill(a, "tank/t/p", 1);
    fill(a, "tank/t/p/child", 1);
    fill(a, "tank/t/q", 1);
    refused(a, "-r tank/t node2:back/t --jobs 4", 3, &["back/t/p exists and has no snapshots", "[R313]"]);
    assert_same((a, "tank/t/q"), (b, "back/t/q"));
    assert_same((a, "tank/t/d07"), (b, "back/t/d07"));
}

/// Everything of one dataset.
fn state_of(node: &lab::Node, dataset: &str) -> String {
    sh(node, &format!("zfs list -Hp -d 1 -t all -o name,guid,createtxg,written '{dataset}'"))
}
