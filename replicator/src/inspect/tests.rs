use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::HoldTag;

use super::bookmarks;
use super::bookmarks::Standing;
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
        let found = bookmarks::against(&source, &there, &root, pool, false).remove(0);
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
