//! What `zfs promote` at the source leaves: a dataset and its clone change places, and the snapshots up to where they
//! part belong to the other one from then on.

use lab::Node;

use crate::replicas::*;

/// `tank/t/a` with `snapshots` snapshots, and `tank/t/b`, a clone of its first, with one of its own.
fn fill_clone(node: &Node, snapshots: usize) {
    fill(node, "tank/t", 1);
    fill(node, "tank/t/a", snapshots);
    sh(node, "zfs clone tank/t/a@s1 tank/t/b");
    change(node, "tank/t/b", 3);
}

/// Promoted, and both have something new.
fn promote(node: &Node) {
    sh(node, "zfs promote tank/t/b");
    change(node, "tank/t/a", 5);
    change(node, "tank/t/b", 6);
}

/// The newest snapshots are the same, with the same files.
fn newest_same(node: &Node, dataset: &str, snapshot: &str) {
    let (from, to) = (format!("tank/{dataset}"), format!("back/{dataset}"));
    assert_eq!(guids(node, &from).last(), guids(node, &to).last(), "{dataset}");
    assert_eq!(files(node, &from, snapshot), files(node, &to, snapshot), "{dataset}");
}

/// Nothing is sent in full.
fn without_full(plan: &str) {
    assert!(!actions(plan).contains(&"full".to_string()), "{plan}");
}

#[test]
fn a_promotion_that_leaves_both_a_common_snapshot_goes_on_and_back() {
    let cluster = alone();
    let node = cluster.node(1);
    fill_clone(node, 2);
    completely(node, &[node], "-r tank/t back/t");
    assert_eq!(sh(node, "zfs get -H -o value origin back/t/b"), "back/t/a@s1");
    let before = guids(node, "back/t/a");
    promote(node);
    without_full(&completely(node, &[node], "-r tank/t back/t"));
    newest_same(node, "t/a", "s5");
    newest_same(node, "t/b", "s6");
    assert!(guids(node, "back/t/a").starts_with(&before), "a snapshot of the target is gone");
    // Turned back, and pruned: the bookmarks went along with the snapshots.
    sh(node, "zfs promote tank/t/a; zfs destroy tank/t/a@s5; zfs destroy tank/t/b@s6");
    change(node, "tank/t/a", 7);
    change(node, "tank/t/b", 8);
    without_full(&completely(node, &[node], "-r tank/t back/t"));
    newest_same(node, "t/a", "s7");
    newest_same(node, "t/b", "s8");
}

#[test]
fn a_promotion_that_takes_all_common_snapshots_stops_and_preserve_goes_on() {
    let cluster = alone();
    let node = cluster.node(1);
    fill_clone(node, 1);
    completely(node, &[node], "-r tank/t back/t");
    promote(node);
    let before = (guids(node, "back/t/a"), files(node, "back/t/a", "s1"));
    refused(
        node,
        "-r tank/t back/t",
        3,
        &[
            "tank/t/a starts at tank/t/b@s1",
            "tank/t/b was promoted",
            "[R307]",
            "--divergence preserve",
            "clone of back/t/a@s1",
            "1 of 3 datasets",
        ],
    );
    assert_eq!(before, (guids(node, "back/t/a"), files(node, "back/t/a", "s1")));
    newest_same(node, "t/b", "s6");

    let route = "-r tank/t back/t --divergence preserve";
    without_full(&completely(node, &[node], route));
    newest_same(node, "t/a", "s5");
    let aside = sh(node, "zfs list -H -o name | grep '^back/t/a_diverged_'");
    assert_eq!(before, (guids(node, &aside), files(node, &aside, "s1")));
    assert_eq!(sh(node, "zfs get -H -o value origin back/t/a"), format!("{aside}@s1"));
    // And on it goes, under either policy.
    change(node, "tank/t/a", 7);
    change(node, "tank/t/b", 8);
    without_full(&completely(node, &[node], "-r tank/t back/t"));
    newest_same(node, "t/a", "s7");
    newest_same(node, "t/b", "s8");
    assert_eq!(before, (guids(node, &aside), files(node, &aside, "s1")));
}

#[test]
fn a_promotion_whose_setting_aside_breaks_off_is_finished_without_a_full_stream() {
    let cluster = alone();
    let node = cluster.node(1);
    fill_clone(node, 1);
    completely(node, &[node], "-r tank/t back/t");
    promote(node);
    sh(node, "zfs rename -u back/t/a back/t/a_diverged_20260101T000000Z");
    without_full(&completely(node, &[node], "-r tank/t back/t"));
    newest_same(node, "t/a", "s5");
    newest_same(node, "t/b", "s6");
    // Promoted on the target by hand as well, before anything was sent: nothing is lost, nothing sent twice.
    sh(node, "zfs destroy -r back/t; zfs destroy -r tank/t");
    fill_clone(node, 1);
    completely(node, &[node], "-r tank/t back/t");
    promote(node);
    sh(node, "zfs promote back/t/b");
    refused(node, "-r tank/t back/t", 3, &["tank/t/a starts at tank/t/b@s1", "back/t/b@s1", "[R307]"]);
    without_full(&completely(node, &[node], "-r tank/t back/t --divergence preserve"));
    newest_same(node, "t/a", "s5");
    newest_same(node, "t/b", "s6");
}

#[test]
fn a_clone_that_takes_the_place_of_its_origin_goes_on_from_their_common_snapshot() {
    let cluster = alone();
    let node = cluster.node(1);
    let replace = "zfs promote tank/t/b; zfs destroy -r tank/t/a; zfs rename tank/t/b tank/t/a";
    fill_clone(node, 1);
    completely(node, &[node], "-r tank/t back/t");
    let before = guids(node, "back/t/b");
    sh(node, replace);
    change(node, "tank/t/a", 6);
    without_full(&completely(node, &[node], "-r tank/t back/t"));
    assert_same((node, "tank/t/a"), (node, "back/t/a"));
    assert_eq!(before, guids(node, "back/t/b"), "what the source does not have any more stays");

    // The one that is gone had a newer snapshot, which the target has.
    sh(node, "zfs destroy -r back/t; zfs destroy -r tank/t");
    fill_clone(node, 2);
    completely(node, &[node], "-r tank/t back/t");
    let before = (guids(node, "back/t/a"), files(node, "back/t/a", "s2"));
    sh(node, replace);
    change(node, "tank/t/a", 6);
    refused(
        node,
        "-r tank/t back/t",
        3,
        &["back/t/a has changed since tank/t/a@s1", "back/t/a@s2", "[R315]"],
    );
    assert_eq!(before, (guids(node, "back/t/a"), files(node, "back/t/a", "s2")));
    without_full(&completely(node, &[node], "-r tank/t back/t --divergence preserve"));
    assert_same((node, "tank/t/a"), (node, "back/t/a"));
    let aside = sh(node, "zfs list -H -o name | grep '^back/t/a_diverged_'");
    assert_eq!(before.1, files(node, &aside, "s2"));
}

#[test]
fn a_promoted_clone_that_the_target_never_had_starts_from_what_it_has() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/t", 1);
    fill(a, "tank/t/a", 2);
    completely(a, &[a, b], "-r tank/t node2:back/t");
    sh(a, "zfs clone tank/t/a@s1 tank/t/b; zfs promote tank/t/b");
    change(a, "tank/t/a", 5);
    change(a, "tank/t/b", 6);
    without_full(&completely(a, &[a, b], "-r tank/t node2:back/t"));
    assert_eq!(sh(b, "zfs get -H -o value origin back/t/b"), "back/t/a@s1");
    for (dataset, snapshot) in [("a", "s5"), ("b", "s6")] {
        let (from, to) = (format!("tank/t/{dataset}"), format!("back/t/{dataset}"));
        assert_eq!(guids(a, &from).last(), guids(b, &to).last());
        assert_eq!(files(a, &from, snapshot), files(b, &to, snapshot));
    }
    // Pulled, from a source that was changed round once more.
    sh(a, "zfs promote tank/t/a");
    change(a, "tank/t/a", 7);
    change(a, "tank/t/b", 8);
    without_full(&completely(b, &[a, b], "-r node1:tank/t back/t"));
    assert_eq!(files(a, "tank/t/b", "s8"), files(b, "back/t/b", "s8"));
    assert_eq!(files(a, "tank/t/a", "s7"), files(b, "back/t/a", "s7"));
}
