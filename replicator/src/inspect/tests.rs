use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::HoldTag;

use super::bookmarks;
use super::bookmarks::Standing;
use super::bookmarks::Target;
use super::holds::Held;
use super::holds::Owner;
use super::tokens;
use crate::compare::tests::dataset;
use crate::compare::tests::tree;
use crate::host::Bookmark;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::marks;
use crate::marks::Mark;
use crate::marks::TargetId;

fn partial(to: u64, from: Option<u64>) -> Option<Partial> {
    let content = PartialContent {
        to_guid: Guid(to),
        from_guid: from.map(Guid),
        bytes: 4711,
        raw: false,
        foreign: false,
    };
    Some(Partial { token: "1-x".to_string(), content: Ok(content) })
}

fn resumable(source: &str, target: &str, partial: Option<Partial>) -> Result<String, String> {
    let source = tree(vec![dataset("tank/a", source)]);
    let target = tree(vec![DatasetState { partial, ..dataset("back/a", target) }]);
    let mut found = tokens::against(&source, &target, false);
    assert_eq!((found.len(), &found[0].to_json()["bytes"]), (1, &serde_json::json!(4711)));
    found.remove(0).resumable.expect("asked for")
}

#[test]
fn a_partial_receive_is_resumable_only_while_the_source_has_what_it_needs() {
    assert_eq!(resumable("a:1 b:2", "a:1", partial(2, Some(1))), Ok("@a → @b".to_string()));
    assert_eq!(resumable("a:1", "", partial(1, None)), Ok("@a in full".to_string()));
    let gone = resumable("a:1 c:3", "a:1", partial(2, Some(1))).expect_err("the snapshot is gone");
    assert!(gone.contains("no longer has the snapshot"), "{gone}");
    assert!(resumable("b:2", "a:1", partial(2, Some(1))).is_err(), "the base is gone");
}

#[test]
fn what_nobody_can_go_on_with_is_stuck() {
    let unreadable = Some(Partial { token: "x".to_string(), content: Err("no token".to_string()) });
    for (partial, stuck) in [(partial(1, None), false), (unreadable, true)] {
        let target = tree(vec![DatasetState { partial, ..dataset("back/a", "") }]);
        let found = tokens::waiting(&target);
        assert_eq!(found.iter().map(tokens::Waiting::is_stuck).collect::<Vec<_>>(), [stuck]);
    }
    assert_eq!(tokens::waiting(&tree(vec![dataset("back/a", "")])), []);
    let source = tree(vec![dataset("tank/a", "s:1")]);
    let target = tree(vec![
        dataset("back/a", "s:1"),
        DatasetState { partial: partial(1, None), ..dataset("back/a/x", "") },
    ]);
    assert!(tokens::against(&source, &target, true)[0].is_stuck(), "the source has no such dataset");
}

fn marked(source: &str, marks: &[(TargetId, u64, u64)]) -> DatasetState {
    let mut state = dataset("tank/a", source);
    for (target, guid, txg) in marks {
        let name = Mark { target: *target, guid: Guid(*guid) }.name(&state.name).expect("short enough");
        state.bookmarks.push(Bookmark { name, guid: Guid(*guid), createtxg: Txg(*txg), ivset: None });
    }
    let name = state.name.bookmark("theirs").expect("a name");
    state.bookmarks.push(Bookmark { name, guid: Guid(1), createtxg: Txg(10), ivset: None });
    state
}

#[test]
fn only_older_bookmarks_of_ours_for_that_very_target_are_stale() {
    let root = "back/a".parse().expect("a name");
    let (pool, elsewhere) = (Guid(5), TargetId::new(Guid(6), &root));
    let id = TargetId::new(pool, &root);
    // The snapshot with GUID 1 is gone; the target has 2, and 3 is on its way.
    let marks = [(id, 1, 9), (id, 2, 10), (id, 3, 11), (elsewhere, 1, 9)];
    let source = tree(vec![marked("b:2 c:3", &marks)]);
    let standing = |target: &str| {
        let there = Inventory::Present(tree(vec![dataset("back/a", target)]));
        let target = Target { found: &there, root: &root, formerly: None, pool };
        let found = bookmarks::against(&source, target, false).remove(0);
        assert_eq!((found.ours.len(), found.foreign), (4, 1));
        found
    };
    let found = standing("a:1 b:2");
    let all: Vec<_> = found.ours.iter().map(|one| one.standing.expect("known")).collect();
    assert_eq!(all, [Standing::Stale, Standing::Needed, Standing::Needed, Standing::OtherTarget]);
    assert_eq!(found.stale().map(|(_, guid)| guid.0).collect::<Vec<_>>(), [1]);
    assert_eq!(found.ours.iter().map(|one| one.has_snapshot).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(found.ours.iter().map(|one| one.superseded).collect::<Vec<_>>(), [true, true, false, false]);
    // The target is where the oldest is: nothing is stale. Nor where it has gone another way, or has nothing.
    for target in ["a:1", "a:1 b:2 other:9", "x:9"] {
        assert_eq!(standing(target).stale().count(), 0, "{target}");
    }
}

#[test]
fn bookmarks_under_an_earlier_name_are_stale_once_one_of_today_keeps_a_newer_base() {
    let (root, former) = ("back/new".parse().expect("a name"), "back/old".parse().expect("a name"));
    let pool = Guid(5);
    let (id, old) = (TargetId::new(pool, &root), TargetId::new(pool, &former));
    let stale = |source: &str, marks: &[(TargetId, u64, u64)], target: &str, formerly| {
        let source = tree(vec![marked(source, marks)]);
        let there = Inventory::Present(tree(vec![dataset("back/new", target)]));
        let target = Target { found: &there, root: &root, formerly, pool };
        let found = bookmarks::against(&source, target, false).remove(0);
        let others = found.ours.iter().filter(|one| one.standing == Some(Standing::OtherTarget)).count();
        (found.stale().map(|(name, guid)| (name.to_string(), guid.0)).collect::<Vec<_>>(), others)
    };
    let name = |target, guid| {
        let mark = Mark { target, guid: Guid(guid) };
        (mark.name(&"tank/a".parse().expect("a name")).expect("short").to_string(), guid)
    };
    // The target was renamed while 1 was the base and only a bookmark; then 2 was received under the name of today.
    let marks = [(old, 1, 9), (id, 2, 10)];
    assert_eq!(stale("b:2 c:3", &marks, "a:1 b:2", Some(&former)), (vec![name(old, 1)], 0));
    // Nobody said that this was its name: it may be that of another target.
    assert_eq!(stale("b:2 c:3", &marks, "a:1 b:2", None), (vec![], 1));
    // It is the only base.
    assert_eq!(stale("b:2 c:3", &marks, "a:1", Some(&former)), (vec![], 0));
    // The newer base is only a snapshot, which may be pruned: the bookmark would be the only base then.
    assert_eq!(stale("b:2 c:3", &[(old, 1, 9)], "a:1 b:2", Some(&former)), (vec![], 0));
    // What keeps the base is for another base, or for another target.
    let elsewhere = TargetId::new(Guid(6), &root);
    for other in [(id, 1, 9), (id, 3, 11), (elsewhere, 2, 10), (old, 2, 10)] {
        let (found, _) = stale("b:2 c:3", &[(old, 1, 9), other], "a:1 b:2", Some(&former));
        assert!(!found.contains(&name(old, 1)) && !found.contains(&name(old, 2)), "{other:?}: {found:?}");
    }
    // Of the base itself one is enough.
    let twice = [(old, 2, 10), (id, 2, 10)];
    assert_eq!(stale("b:2 c:3", &twice, "a:1 b:2", Some(&former)), (vec![name(old, 2)], 0));
    // Nothing is stale where it has gone another way, and nothing that is newer than the base.
    assert_eq!(stale("b:2 c:3", &marks, "a:1 b:2 other:9", Some(&former)).0, []);
    assert_eq!(stale("b:2 c:3", &[(old, 3, 11), (id, 2, 10)], "a:1 b:2", Some(&former)).0, []);
}

#[test]
fn holds_are_ours_only_with_a_process_that_can_be_asked_for() {
    let snapshot = || "tank/a@b".parse().expect("a name");
    let owner = |tag: HoldTag, runs: bool| Held::new(snapshot(), tag, Some(1), |_| Some(runs)).owner;
    assert_eq!(owner(marks::hold_tag(42), true), Owner::Running(42));
    assert_eq!(owner(marks::hold_tag(42), false), Owner::Gone(42));
    let unseen = Held::new(snapshot(), marks::hold_tag(42), None, |_| None);
    assert_eq!((unseen.owner, unseen.to_json()["created"].is_null()), (Owner::Unseen(42), true));
    let tag = |text: &str| HoldTag::try_from(text.as_bytes()).expect("a tag");
    assert_eq!(owner(tag("replicator:2:42:0"), false), Owner::Unknown);
    assert_eq!(owner(tag("keep"), false), Owner::Other);
}
