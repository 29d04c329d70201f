use proptest::prelude::*;
use zfs_core::Txg;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::chain::Chain;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Base;
use crate::host::Bookmark;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::Snapshot;
use crate::host::Tree;

/// A dataset in a small notation: `"@a:1 @b:2 #a:1"` has the snapshots a and b with GUIDs 1 and 2 and a bookmark of
/// the first. The transaction group is the place in the list, or what stands behind a second colon.
pub(super) fn dataset(name: &str, content: &str) -> DatasetState {
    let name = DatasetName::try_from(name).expect("a name");
    let mut state = DatasetState {
        name: name.clone(),
        kind: DatasetKind::Filesystem,
        guid: Guid(77),
        encryption: None,
        origin: None,
        written: 0,
        referenced: 0,
        available: 1 << 40,
        partial: None,
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    };
    for (place, word) in content.split_whitespace().enumerate() {
        let mut parts = word[1..].split(':');
        let short = parts.next().expect("a name");
        let guid = Guid(parts.next().expect("a guid").parse().expect("a number"));
        let createtxg = Txg(parts.next().map_or(place as u64 + 100, |t| t.parse().expect("a number")));
        if word.starts_with('@') {
            let name = name.snapshot(short).expect("a name");
            state.snapshots.push(Snapshot { name, guid, createtxg, ivset: None });
        } else {
            let name = name.bookmark(short).expect("a name");
            state.bookmarks.push(Bookmark { name, guid, createtxg, ivset: None });
        }
    }
    state.snapshots.sort_by_key(|s| s.createtxg);
    state.bookmarks.sort_by_key(|b| b.createtxg);
    state
}

fn source(content: &str) -> DatasetState {
    dataset("src/data", content)
}

fn target(content: &str) -> Inventory {
    there(dataset("dst/data", content))
}

fn there(state: DatasetState) -> Inventory {
    Inventory::Present(Tree::new(&state.name.clone(), vec![state]).expect("a tree"))
}

fn encrypted(mut state: DatasetState) -> DatasetState {
    state.encryption = Some(Encryption { root: state.name.clone(), key_loaded: false });
    state
}

fn name() -> DatasetName {
    DatasetName::try_from("dst/data").expect("a name")
}

fn absent() -> Inventory {
    Inventory::Absent { ancestor: Box::new(dataset("dst", "")), children: Vec::new() }
}

/// One dataset.
fn plan(
    source: &DatasetState,
    name: &DatasetName,
    target: &Inventory,
    options: &Options,
) -> Result<Chain, Conflict> {
    let target = match target {
        Inventory::Absent { .. } => None,
        Inventory::Present(tree) => Some(tree.root()),
    };
    chain::plan(source, None, name, target, options)
}

/// The plan in a small notation: `full @a`, `@a>@b`, `resume @a>@b`, `discard`, with `raw ` before where it is.
fn shown(plan: &Chain) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match &step.action {
            Action::Change { change, .. } => {
                assert!(matches!(change, Change::DiscardPartial { .. }), "{change:?}");
                "discard".to_string()
            }
            Action::Send { spec, into, creates, .. } => {
                assert_eq!(into.short(), spec.to.name.short());
                assert_eq!(creates.is_some(), spec.from.is_none());
                let raw = if spec.raw { "raw " } else { "" };
                let resume = if spec.resume.is_some() { "resume " } else { "" };
                match &spec.from {
                    None => format!("{raw}{resume}full @{}", spec.to.name.short()),
                    Some(from) => format!("{raw}{resume}{}>@{}", from.short(), spec.to.name.short()),
                }
            }
        })
        .collect()
}

fn steps(source: &DatasetState, target: &Inventory) -> Vec<String> {
    shown(&plan(source, &name(), target, &Options::default()).expect("a plan"))
}

fn conflict(source: &DatasetState, target: &Inventory) -> Conflict {
    let conflict = plan(source, &name(), target, &Options::default()).expect_err("a conflict");
    // Every conflict can be printed, and says what to do.
    assert!(!conflict.to_string().is_empty() && !conflict.hint().is_empty());
    assert_eq!(conflict.to_json()["kind"], conflict.kind());
    conflict
}

#[test]
fn plans() {
    for (source_has, target_has, expected) in [
        // Up to date is a plan without steps.
        ("@a:1", "@a:1", vec![]),
        ("@a:1 @b:2", "@a:1 @b:2", vec![]),
        ("@a:1 @b:2", "@a:1", vec!["@a>@b"]),
        ("@a:1 @b:2 @c:3", "@a:1", vec!["@a>@b", "@b>@c"]),
        // The order is that of the transaction groups, whatever the names.
        ("@z:1:10 @a:2:20 @m:3:30", "@z:1", vec!["@z>@a", "@a>@m"]),
        // Old snapshots that only one side has are no divergence.
        ("@b:2 @c:3", "@a:1 @b:2", vec!["@b>@c"]),
        ("@a:1 @b:2 @c:3", "@b:2", vec!["@b>@c"]),
        // The same snapshot under another name is the same snapshot.
        ("@new:1 @b:2", "@old:1", vec!["@new>@b"]),
        // A bookmark stands in for a snapshot that the source has destroyed.
        ("#a:1:5 @b:2:6 @c:3:7", "@a:1", vec!["#a>@b", "@b>@c"]),
        ("#a:1:5 @a:1:5 @b:2:6", "@a:1", vec!["@a>@b"]),
        ("#a:1:5", "@a:1", vec!["conflict"]),
        // A bookmark that is newer than all snapshots leaves nothing to do, and nothing to break.
        ("@a:1:5 #b:2:6", "@a:1 @b:2", vec![]),
        // Snapshots named like numbers and like options are names.
        ("@0:1 @-rf:2", "@0:1", vec!["@0>@-rf"]),
    ] {
        let outcome = plan(&source(source_has), &name(), &target(target_has), &Options::default());
        let shown = outcome.map_or_else(|_| vec!["conflict".to_string()], |plan| shown(&plan));
        assert_eq!(shown, expected, "{source_has} -> {target_has}");
    }
}

#[test]
fn a_first_replication_sends_all_or_only_the_newest() {
    let source = source("@b:2:20 @a:1:10 @c:3:30");
    assert_eq!(steps(&source, &absent()), ["full @a", "@a>@b", "@b>@c"]);
    let newest = Options { initial: Initial::Newest, ..Options::default() };
    assert_eq!(shown(&plan(&source, &name(), &absent(), &newest).expect("a plan")), ["full @c"]);
}

#[test]
fn no_snapshots_and_no_parent_are_conflicts() {
    assert_eq!(conflict(&source(""), &absent()).code(), Code::NoSourceSnapshots);
    assert!(matches!(conflict(&source("#a:1"), &target("@a:1")), Conflict::NoSourceSnapshots { .. }));
}

#[test]
fn a_target_that_is_no_replica_is_left_alone() {
    let found = conflict(&source("@a:1"), &target(""));
    assert_eq!(found.code(), Code::TargetWithoutSnapshots);
    let found = conflict(&source("@a:1"), &target("@a:9"));
    assert!(matches!(&found, Conflict::NoCommonBase { from_snapshots, to_snapshots, .. }
        if from_snapshots.len() == 1 && to_snapshots.len() == 1));
    assert_eq!(found.code(), Code::NoCommonBase);
    assert!(
        found.to_string().contains("src/data@a (GUID 1)")
            && found.to_string().contains("dst/data@a (GUID 9)")
    );
    let mut volume = dataset("dst/data", "@a:1");
    volume.kind = DatasetKind::Volume;
    assert_eq!(conflict(&source("@a:1"), &there(volume)).code(), Code::KindMismatch);
}

#[test]
fn snapshots_of_the_target_after_the_base_stop_the_plan() {
    let found = conflict(&source("@a:1 @b:2"), &target("@a:1 @x:9 @y:8"));
    let Conflict::Diverged { base, source_only, target_only, .. } = &found else { panic!("{found:?}") };
    assert_eq!(base.name(), "src/data@a");
    assert_eq!(source_only.iter().map(|s| s.name.short()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(target_only.iter().map(|s| s.name.short()).collect::<Vec<_>>(), ["x", "y"]);
    assert!(found.to_string().contains("dst/data@x (GUID 9)"));
}

#[test]
fn writes_to_the_target_stop_the_plan_even_when_nothing_is_to_be_sent() {
    for source_has in ["@a:1", "@a:1 @b:2"] {
        let mut written = dataset("dst/data", "@a:1");
        written.written = 4096;
        let found = conflict(&source(source_has), &there(written));
        assert!(matches!(found, Conflict::Diverged { target_written: 4096, .. }));
        assert_eq!(found.code(), Code::Diverged);
    }
}

#[test]
fn a_name_that_the_target_uses_for_something_else_is_found_before_anything_is_sent() {
    let found = conflict(&source("@a:2:10 @c:3:20 @x:4:30"), &target("@x:9:1 @a:2:2"));
    assert!(matches!(&found, Conflict::NameClash { snapshots, .. } if snapshots.len() == 1), "{found:?}");
    assert_eq!(found.code(), Code::NameClash);
    // Whichever side has more of them.
    for (source_has, target_has, clashing) in [
        ("@c:1 @a:2 @b:3 @d:4", "@a:9 @c:1", vec!["a"]),
        ("@c:1 @a:2 @b:3", "@a:7 @b:8 @x:9 @y:10 @c:1", vec!["a", "b"]),
    ] {
        let found = plan(&source(source_has), &name(), &target(target_has), &Options::default());
        let Err(Conflict::NameClash { snapshots, .. }) = found else { panic!("{found:?}") };
        assert_eq!(snapshots.iter().map(|one| one.name.short()).collect::<Vec<_>>(), clashing);
    }
}

#[test]
fn a_name_that_gets_too_long_on_the_target_is_found_before_anything_is_sent() {
    let long = "x".repeat(240);
    let source = dataset("s", &format!("@a:1 @{long}:2"));
    let target_name = DatasetName::try_from("a/rather/long/name").expect("a name");
    let found = plan(&source, &target_name, &absent(), &Options::default()).expect_err("too long");
    assert_eq!(found.code(), Code::NameTooLong);
}

fn content(to: u64, from: Option<u64>) -> PartialContent {
    PartialContent { to_guid: Guid(to), from_guid: from.map(Guid), bytes: 4711, raw: false, foreign: false }
}

fn interrupted(has: &str, content: Result<PartialContent, String>) -> DatasetState {
    let mut state = dataset("dst/data", has);
    state.partial = Some(Partial { token: "1-abc".to_string(), content });
    state
}

#[test]
fn a_partial_receive_is_continued_and_the_rest_follows() {
    let source = source("#z:9:1 @a:1 @b:2 @c:3");
    for (has, content, expected) in [
        ("", content(1, None), vec!["resume full @a", "@a>@b", "@b>@c"]),
        ("@a:1", content(2, Some(1)), vec!["resume @a>@b", "@b>@c"]),
        ("@a:1 @b:2", content(3, Some(2)), vec!["resume @b>@c"]),
        ("@z:9", content(1, Some(9)), vec!["resume #z>@a", "@a>@b", "@b>@c"]),
        // Another tool skipped b: its stream is one we can send, and what follows is ours.
        ("@a:1", content(3, Some(1)), vec!["resume @a>@c"]),
    ] {
        let target = there(interrupted(has, Ok(content)));
        assert_eq!(steps(&source, &target), expected);
    }
}

#[test]
fn a_token_that_is_not_ours_is_never_followed() {
    let source = source("@a:1 @b:2 @c:3");
    let cases: Vec<(&str, Result<PartialContent, String>, PartialProblem)> = vec![
        ("@a:1", Err("no".into()), PartialProblem::Unreadable("no".into())),
        ("@a:1", Ok(content(99, Some(1))), PartialProblem::SnapshotGone(Guid(99))),
        ("@q:98", Ok(content(2, Some(98))), PartialProblem::BaseGone(Guid(98))),
        ("@a:1 @b:2", Ok(content(3, Some(1))), PartialProblem::BaseNotNewest(Guid(1))),
        ("@c:3", Ok(content(2, Some(3))), PartialProblem::WrongOrder),
        ("@a:1", Ok(content(1, Some(1))), PartialProblem::WrongOrder),
        ("@a:1", Ok(content(2, None)), PartialProblem::FullOverExisting),
        (
            "@a:1",
            Ok(PartialContent { raw: true, ..content(2, Some(1)) }),
            PartialProblem::RawMismatch { token: true, plan: false },
        ),
        ("@a:1", Ok(PartialContent { foreign: true, ..content(2, Some(1)) }), PartialProblem::ForeignMode),
    ];
    for (has, content, expected) in cases {
        let target = there(interrupted(has, content));
        let found = conflict(&source, &target);
        assert!(matches!(&found, Conflict::Partial { problem, .. } if *problem == expected), "{found:?}");
        assert_eq!(found.code(), Code::Partial);
    }
}

#[test]
fn a_partial_receive_is_discarded_only_when_that_is_allowed() {
    let source = source("@a:1 @b:2");
    let allowed = Options { discard_partial: true, ..Options::default() };
    for (has, expected) in [("@a:1", vec!["discard", "@a>@b"]), ("", vec!["discard", "full @a", "@a>@b"])] {
        let target = there(interrupted(has, Ok(content(99, None))));
        assert_eq!(shown(&plan(&source, &name(), &target, &allowed).expect("a plan")), expected);
    }
    // It is never an excuse to pass over a divergence.
    let target = there(interrupted("@a:1 @x:9", Ok(content(99, None))));
    let found = plan(&source, &name(), &target, &allowed).expect_err("diverged");
    assert!(matches!(found, Conflict::Diverged { .. }));
    // A partial receive that can go on is not thrown away.
    let target = there(interrupted("@a:1", Ok(content(2, Some(1)))));
    assert_eq!(shown(&plan(&source, &name(), &target, &allowed).expect("a plan")), ["resume @a>@b"]);
}

#[test]
fn encrypted_datasets_go_raw_unless_the_chain_is_not() {
    let mut source = source("@a:1 @b:2");
    source = encrypted(source);
    assert_eq!(steps(&source, &absent()), ["raw full @a", "raw @a>@b"]);
    let replica = dataset("dst/data", "@a:1");
    // A stream that is not raw is decrypted, which takes the key.
    assert_eq!(conflict(&source, &there(replica.clone())).code(), Code::KeyNotLoaded);
    let open = with_key(source.clone());
    assert_eq!(steps(&open, &there(replica.clone())), ["@a>@b"]);
    assert_eq!(steps(&source, &there(encrypted(replica.clone()))), ["raw @a>@b"]);

    // The same GUID with other initialisation vectors: the target was received without -w, and stays so.
    let mut other = encrypted(replica);
    let mut source = open;
    source.snapshots[0].ivset = Some(Guid(10));
    other.snapshots[0].ivset = Some(Guid(11));
    assert!(
        matches!(conflict(&source, &there(other.clone())), Conflict::KeyNotLoaded { dataset, .. } if dataset.as_str() == "dst/data")
    );
    assert_eq!(steps(&source, &there(with_key(other.clone()))), ["@a>@b"]);
    other.snapshots[0].ivset = Some(Guid(10));
    assert_eq!(steps(&source, &there(other)), ["raw @a>@b"]);
}

#[test]
fn a_bookmark_without_its_initialisation_vectors_is_no_base_for_a_raw_stream() {
    let source = encrypted(source("#a:1:5 @b:2:6"));
    let target = there(encrypted(dataset("dst/data", "@a:1")));
    assert!(matches!(conflict(&source, &target), Conflict::NoCommonBase { .. }));
}

#[test]
fn a_first_replication_can_be_refused_and_snapshots_left_out() {
    let source = source("@daily_1:1 @hourly_1:2 @daily_2:3 @hourly_2:4");
    let refuse = Options { initial: Initial::Refuse, ..Options::default() };
    let refused =
        |options: &Options| plan(&source, &name(), &absent(), options).map_err(|found| found.code());
    assert_eq!(refused(&refuse).err(), Some(Code::InitialRefused));

    let pattern = |text: &str| vec![text.to_string()];
    let daily = Options {
        snapshots: Patterns::new(&pattern("daily_*"), &[]).expect("a pattern"),
        ..Options::default()
    };
    let made = plan(&source, &name(), &absent(), &daily).expect("a plan");
    assert_eq!(shown(&made), ["full @daily_1", "@daily_1>@daily_2"]);
    // What is not sent can still be the base.
    let made = plan(&source, &name(), &target("@hourly_1:2"), &daily).expect("a plan");
    assert_eq!(shown(&made), ["@hourly_1>@daily_2"]);
    let none = Options {
        snapshots: Patterns::new(&pattern("weekly_*"), &[]).expect("a pattern"),
        ..Options::default()
    };
    assert_eq!(refused(&none).err(), Some(Code::NothingSelected));

    let newest = Options { intermediates: false, ..Options::default() };
    let made = plan(&source, &name(), &target("@daily_1:1"), &newest).expect("a plan");
    assert_eq!(shown(&made), ["@daily_1>@hourly_2"]);
}

fn with_key(mut state: DatasetState) -> DatasetState {
    state.encryption = state.encryption.map(|one| Encryption { key_loaded: true, ..one });
    state
}

#[test]
fn numbers_of_64_bits_survive_json() {
    let big = u64::MAX - 1;
    let plan = plan(&source(&format!("@a:1 @b:{big}:{big}")), &name(), &target("@a:1"), &Options::default());
    let steps: Vec<_> = plan.expect("a plan").steps.iter().map(Step::to_json).collect();
    let text = serde_json::to_string(&steps).expect("JSON");
    assert!(text.contains(&format!("\"{big}\"")), "{text}");
    assert!(!text.contains(&format!(":{big}")), "{text}");
}

/// Histories: each snapshot is on the source, on the target, or on both, and the source may keep a bookmark.
fn history() -> impl Strategy<Value = Vec<(bool, bool, bool)>> {
    prop::collection::vec(any::<(bool, bool, bool)>(), 0..12)
}

proptest! {
    /// Whatever the history: a plan ends with the newest snapshot of the source, each step starts where the one
    /// before ended, the first starts at the target's newest snapshot, and no name is used twice.
    #[test]
    fn a_plan_is_a_chain_from_the_newest_snapshot_of_the_target(
        history in history(), extra in 0usize..3, newest in any::<bool>(),
    ) {
        let mut from = dataset("src/data", "");
        let mut to = dataset("dst/data", "");
        for (i, (on_source, on_target, bookmarked)) in history.iter().enumerate() {
            let (guid, createtxg) = (Guid(i as u64 + 1), Txg(i as u64 + 1));
            if *on_source {
                let name = from.name.snapshot(&format!("s{i}")).expect("a name");
                from.snapshots.push(Snapshot { name, guid, createtxg, ivset: None });
            }
            if *bookmarked {
                let name = from.name.bookmark(&format!("s{i}")).expect("a name");
                from.bookmarks.push(Bookmark { name, guid, createtxg, ivset: None });
            }
            if *on_target {
                let name = to.name.snapshot(&format!("s{i}")).expect("a name");
                to.snapshots.push(Snapshot { name, guid, createtxg: Txg(i as u64 + 1000), ivset: None });
            }
        }
        for i in 0..extra {
            let name = to.name.snapshot(&format!("x{i}")).expect("a name");
            to.snapshots.push(Snapshot { name, guid: Guid(9000 + i as u64), createtxg: Txg(9000 + i as u64), ivset: None });
        }
        let newest_of_target = to.snapshots.last().map(|s| s.guid);
        let present = !to.snapshots.is_empty();
        let target = if present { there(to.clone()) } else { absent() };
        let options = Options { initial: if newest { Initial::Newest } else { Initial::All }, ..Options::default() };
        match plan(&from, &name(), &target, &options) {
            Ok(made) => {
                prop_assert_eq!(extra == 0 || !present, true);
                let mut at = if present { newest_of_target } else { None };
                let mut txg = Txg(0);
                for spec in made.steps.iter().filter_map(Step::stream) {
                    prop_assert_eq!(spec.from.as_ref().map(Base::guid), at);
                    prop_assert!(spec.to.createtxg > txg);
                    prop_assert!(from.snapshots.contains(&spec.to));
                    txg = spec.to.createtxg;
                    at = Some(spec.to.guid);
                }
                let last = from.snapshots.last().map(|s| s.createtxg);
                let reached = made.steps.iter().filter_map(Step::stream).next_back().map(|s| s.to.createtxg);
                prop_assert!(reached.is_none() || reached == last);
                if reached.is_none() {
                    // Nothing to do: the source has nothing newer than what the target ends with.
                    let base = made.common.as_ref().map(base::Found::guid);
                    prop_assert_eq!(base, newest_of_target);
                    prop_assert!(from.snapshots.iter().all(|s| s.guid.0 <= newest_of_target.map_or(0, |g| g.0)));
                }
            }
            Err(Conflict::NoSourceSnapshots { .. }) => prop_assert!(from.snapshots.is_empty()),
            Err(Conflict::NoCommonBase { .. }) => {
                let known = |guid| from.snapshots.iter().any(|s| s.guid == guid)
                    || from.bookmarks.iter().any(|b| b.guid == guid);
                prop_assert!(!to.snapshots.iter().any(|s| known(s.guid)));
            }
            Err(Conflict::Diverged { target_only, .. }) => prop_assert!(!target_only.is_empty()),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    /// A token is hostile input: whatever it says, a stream is resumed only between snapshots that the source has,
    /// from what the target ends with.
    #[test]
    fn no_token_makes_the_source_send_what_it_would_not(
        to in 0u64..6, base in prop::option::of(0u64..6), raw in any::<bool>(), foreign in any::<bool>(),
        has in prop::sample::select(vec!["", "@a:1", "@a:1 @b:2", "@x:9"]), discard in any::<bool>(),
    ) {
        let from = source("@a:1 @b:2 @c:3");
        let state = interrupted(has, Ok(PartialContent { raw, foreign, ..content(to, base) }));
        let options = Options { discard_partial: discard, ..Options::default() };
        if let Ok(made) = plan(&from, &name(), &there(state.clone()), &options) {
            for spec in made.steps.iter().filter_map(Step::stream) {
                prop_assert!(from.snapshots.contains(&spec.to));
                if spec.resume.is_some() {
                    prop_assert_eq!(spec.from.as_ref().map(Base::guid), state.snapshots.last().map(|s| s.guid));
                    prop_assert!(!spec.raw && !foreign);
                }
            }
        }
    }
}
