//! Trees: what goes where, in which order, and what is made, renamed and set aside before.

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::tests::dataset;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::About;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Inventory;
use crate::host::Tree;
use crate::marks;
use crate::marks::Mark;
use crate::marks::TargetId;

pub(super) const NOW: i64 = 1_795_371_300;

pub(super) fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// Datasets in the notation of [`dataset`], the first of them the root.
pub(super) fn tree(datasets: &[(&str, &str)]) -> Tree {
    states(datasets.iter().map(|(name, content)| dataset(name, content)).collect())
}

pub(super) fn states(mut datasets: Vec<DatasetState>) -> Tree {
    for (at, one) in datasets.iter_mut().enumerate() {
        one.guid = Guid(9000 + at as u64);
    }
    let root = datasets[0].name.clone();
    Tree::new(&root, datasets).expect("a tree")
}

pub(super) fn about(guid: u64, version: &str) -> About {
    let features = ["bookmarks", "encryption", "extensible_dataset", "large_blocks", "lz4_compress"];
    let features = features.map(|feature| (feature.to_string(), "active".to_string())).into();
    About { pool: "p".into(), guid: Guid(guid), version: crate::host::Version::parse(version), features }
}

pub(super) fn recursive() -> Options {
    Options { recursive: true, ..Options::default() }
}

pub(super) fn absent() -> Inventory {
    Inventory::Absent { ancestor: Box::new(dataset("dst", "")), children: Vec::new() }
}

pub(super) fn planned(source: &Tree, target: &Inventory, options: &Options) -> TreePlan {
    let root = match target {
        Inventory::Absent { .. } => name("dst/data"),
        Inventory::Present(tree) => tree.root().name.clone(),
    };
    let sides = Sides::new(source, target, &root, NOW);
    let plan = plan(sides, options);
    // Every plan can be printed, and its streams are all among its steps.
    let json = plan.to_json();
    assert_eq!(json["datasets"].as_array().map(Vec::len), Some(plan.datasets.len()));
    assert!(plan.steps().all(|step| !step.reason.is_empty()));
    plan
}

/// The changes before the streams, as they are printed.
pub(super) fn before(plan: &TreePlan) -> Vec<String> {
    let shown = plan.before.iter().map(|step| match &step.action {
        Action::Change { change, .. } => change.to_string(),
        Action::Send { .. } => panic!("a stream before the streams"),
    });
    shown.collect()
}

/// Each dataset with its steps: `src -> dst: full @a, @a>@b`, or its conflict.
pub(super) fn shown(plan: &TreePlan) -> Vec<String> {
    let one = |dataset: &DatasetPlan| {
        let what = match &dataset.steps {
            Err(conflict) => conflict.kind().to_string(),
            Ok(steps) => steps.iter().map(stream).collect::<Vec<_>>().join(", "),
        };
        format!("{} -> {}: {what}", dataset.source, dataset.target)
    };
    plan.datasets.iter().map(one).collect()
}

fn stream(step: &Step) -> String {
    let Action::Send { spec, origin, .. } = &step.action else { return "change".to_string() };
    let to = spec.to.name.short();
    match (&spec.from, origin) {
        (None, _) => format!("full @{to}"),
        (Some(from), None) => format!("{}>@{to}", from.short()),
        (Some(from), Some(origin)) => format!("{}>@{to} as clone of {origin}", from.name()),
    }
}

#[test]
fn children_wait_for_a_parent_that_is_new_and_for_no_other() {
    let source = tree(&[("src", "@a:1"), ("src/x", "@a:2"), ("src/x/y", "@a:3"), ("src/z", "@a:4")]);
    let plan = planned(&source, &absent(), &recursive());
    assert_eq!(
        shown(&plan),
        [
            "src -> dst/data: full @a",
            "src/x -> dst/data/x: full @a",
            "src/x/y -> dst/data/x/y: full @a",
            "src/z -> dst/data/z: full @a"
        ]
    );
    let after: Vec<_> = plan.datasets.iter().map(|one| one.after.clone()).collect();
    assert_eq!(after, [vec![], vec![0], vec![1], vec![0]]);

    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/x", "@a:2")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(plan.datasets[1].after, Vec::<usize>::new());
    assert_eq!(plan.datasets[2].after, Vec::<usize>::new());
    assert_eq!(shown(&plan)[..2], ["src -> dst: ", "src/x -> dst/x: "]);
    // Without -r, only the root.
    assert_eq!(planned(&source, &target, &Options::default()).datasets.len(), 1);
}

#[test]
fn a_conflict_stops_its_dataset_and_what_would_be_received_into_it() {
    let source = tree(&[("src", "@a:1"), ("src/x", ""), ("src/x/y", "@a:3"), ("src/z", "@a:4 @b:5")]);
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/z", "@a:4")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(
        shown(&plan),
        [
            "src -> dst: ",
            "src/x -> dst/x: no-source-snapshots",
            "src/x/y -> dst/x/y: parent-not-replicated",
            "src/z -> dst/z: @a>@b"
        ]
    );
    let codes: Vec<_> = plan.conflicts().map(|(_, conflict)| conflict.code()).collect();
    assert_eq!(codes, [Code::NoSourceSnapshots, Code::ParentNotReplicated]);
}

#[test]
fn missing_parents_are_made_from_the_top() {
    let source = tree(&[("src", "@a:1")]);
    let mut ancestor = dataset("dst", "");
    ancestor.encryption = Some(Encryption { root: name("dst"), key_loaded: true });
    let target = Inventory::Absent { ancestor: Box::new(ancestor), children: Vec::new() };
    let root = name("dst/one/two/data");
    let sides = Sides::new(&source, &target, &root, NOW);
    let plan = plan(sides, &Options::default());
    assert_eq!(before(&plan), ["create dst/one, not mounted", "create dst/one/two, not mounted"]);
    assert!(plan.before[0].reason.contains("encryption of dst"), "{}", plan.before[0].reason);
}

#[test]
fn datasets_left_out_are_never_sent_and_their_children_get_a_placeholder() {
    let source = tree(&[
        ("src", "@a:1"),
        ("src/tmp", "@a:2"),
        ("src/vm", "@a:3"),
        ("src/vm/1", "@a:4"),
        ("src/vm/2", "@a:5"),
    ]);
    let patterns = |include: &[&str], exclude: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Options {
            datasets: Patterns::new(&owned(include), &owned(exclude)).expect("patterns"),
            ..recursive()
        }
    };
    let plan = planned(&source, &absent(), &patterns(&[], &["tmp", "vm/2"]));
    let sent: Vec<_> = plan.streams().map(|spec| spec.to.name.dataset().to_string()).collect();
    assert_eq!(sent, ["src", "src/vm", "src/vm/1"]);

    let plan = planned(&source, &absent(), &patterns(&["vm/1"], &[]));
    assert_eq!(before(&plan), ["create dst/data, not mounted", "create dst/data/vm, not mounted"]);
    assert_eq!(shown(&plan), ["src/vm/1 -> dst/data/vm/1: full @a"]);
    assert_eq!(plan.datasets[0].after, Vec::<usize>::new());
}

#[test]
fn a_clone_is_sent_from_its_origin() {
    let mut datasets = vec![
        dataset("src", "@a:1"),
        dataset("src/base", "@o:2:50 @p:3:60"),
        dataset("src/clone", "@x:4:70 @y:5:80"),
    ];
    datasets[2].origin = Some("src/base@o".parse().expect("a name"));
    let source = states(datasets.clone());
    let plan = planned(&source, &absent(), &recursive());
    assert_eq!(
        shown(&plan)[2],
        "src/clone -> dst/data/clone: src/base@o>@x as clone of dst/data/base@o, @x>@y"
    );
    assert_eq!(plan.datasets[2].after, [0, 1]);

    // The target has the origin under another name.
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/base", "@other:2 @p:3")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(shown(&plan)[2], "src/clone -> dst/clone: src/base@o>@x as clone of dst/base@other, @x>@y");
    assert_eq!(plan.datasets[2].after, Vec::<usize>::new());

    // An origin that is not replicated: in full.
    let options =
        Options { datasets: Patterns::new(&[], &["base".to_string()]).expect("a pattern"), ..recursive() };
    let plan = planned(&source, &absent(), &options);
    assert_eq!(shown(&plan)[1], "src/clone -> dst/data/clone: full @x, @x>@y");

    // A clone whose origin is below it would wait for itself.
    datasets[0].origin = Some("src/base@o".parse().expect("a name"));
    datasets[0].snapshots[0].createtxg = Txg(90);
    let plan = planned(&states(datasets), &absent(), &recursive());
    assert_eq!(shown(&plan)[0], "src -> dst/data: full @a");
    assert!(plan.datasets.iter().enumerate().all(|(at, one)| !one.after.contains(&at)));
    assert!(ends(&plan), "the datasets wait for each other");
}

/// Whether the order can be satisfied.
fn ends(plan: &TreePlan) -> bool {
    let mut done = vec![false; plan.datasets.len()];
    for _ in 0..plan.datasets.len() {
        for (at, one) in plan.datasets.iter().enumerate() {
            done[at] |= one.after.iter().all(|place| done[*place]);
        }
    }
    done.into_iter().all(|done| done)
}

#[test]
fn a_renamed_dataset_is_followed_by_its_guids() {
    let source = tree(&[("src", "@a:1"), ("src/new", "@a:2 @b:3"), ("src/new/child", "@a:4")]);
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/old", "@a:2"), ("dst/old/child", "@a:4")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(before(&plan), ["rename dst/old to dst/new"]);
    assert_eq!(shown(&plan)[1..], ["src/new -> dst/new: @a>@b", "src/new/child -> dst/new/child: "]);
    assert!(plan.kept.is_empty());

    // Without the right to rename, under the old name.
    let stays = Options { follow_renames: false, ..recursive() };
    let plan = planned(&source, &target, &stays);
    assert!(before(&plan).is_empty());
    assert_eq!(shown(&plan)[1..], ["src/new -> dst/old: @a>@b", "src/new/child -> dst/old/child: "]);

    // A dataset that the source still has is not taken for another one's old name.
    let source = tree(&[("src", "@a:1"), ("src/copy", "@a:2"), ("src/old", "@a:2")]);
    let plan = planned(&source, &target, &recursive());
    assert!(before(&plan).is_empty());
    assert_eq!(shown(&plan)[1], "src/copy -> dst/copy: full @a");
}

#[test]
fn what_the_source_has_not_stays_and_is_named_once() {
    let source = tree(&[("src", "@a:1")]);
    let target =
        Inventory::Present(tree(&[("dst", "@a:1"), ("dst/gone", "@a:2"), ("dst/gone/child", "@a:3")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(plan.steps().count(), 0);
    let kept: Vec<_> = plan.kept.iter().map(|kept| kept.dataset.as_str()).collect();
    assert_eq!(kept, ["dst/gone"]);
}

#[test]
fn a_name_that_is_another_dataset_on_the_target_is_a_conflict() {
    let source = tree(&[("src", "@a:1"), ("src/x", "@a:2")]);
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/x", "@a:7")]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(shown(&plan), ["src -> dst: ", "src/x -> dst/x: no-common-base"]);
    let mut volume = dataset("dst/x", "@a:2");
    volume.kind = DatasetKind::Volume;
    let target = Inventory::Present(states(vec![dataset("dst", "@a:1"), volume]));
    assert_eq!(shown(&planned(&source, &target, &recursive()))[1], "src/x -> dst/x: kind-mismatch");
}

#[test]
fn bookmarks_are_made_before_and_older_ones_of_this_target_go_after() {
    let id = TargetId::new(Guid(5), &name("dst"));
    let other = TargetId::new(Guid(6), &name("dst"));
    let mark = |target, guid: u64| {
        Mark { target, guid: Guid(guid) }.name(&name("src")).expect("short").short().to_string()
    };
    // The base and an older one are marked for this target, another is for another target, one is somebody else's.
    let content = format!(
        "@a:1:10 @b:2:20 @c:3:30 #{}:1:10 #{}:9:5 #{}:1:10 #mine:1:10",
        mark(id, 1),
        mark(id, 9),
        mark(other, 1)
    );
    let source = tree(&[("src", &content)]);
    let target = Inventory::Present(tree(&[("dst", "@a:1")]));
    let pools = (about(4, "2.4.0"), about(5, "2.4.0"));
    let root = name("dst");
    let sides = Sides { pools: Some((&pools.0, &pools.1)), ..Sides::new(&source, &target, &root, NOW) };
    let plan = plan(sides, &Options::default());
    let made: Vec<u64> = plan.before.iter().flat_map(made).collect();
    assert_eq!(made, [2, 3]);
    let removed: Vec<String> = plan.after.iter().flat_map(removed).collect();
    assert_eq!(removed, [mark(id, 9), mark(id, 1), mark(id, 2)]);

    // With nothing to send, the base is marked if it is not yet, and nothing goes that is not older.
    let target = Inventory::Present(tree(&[("dst", "@a:1 @b:2 @c:3")]));
    let sides = Sides { target: &target, ..sides };
    let again = super::plan(sides, &Options::default());
    assert_eq!(again.before.iter().flat_map(self::made).collect::<Vec<_>>(), [3]);
    assert!(needs_pools(&again, &source));
    let off = super::plan(sides, &Options { bookmarks: false, ..Options::default() });
    assert_eq!(off.steps().count(), 0);
    // A conflict removes nothing.
    let target = Inventory::Present(tree(&[("dst", "@z:77")]));
    assert_eq!(super::plan(Sides { target: &target, ..sides }, &Options::default()).steps().count(), 0);
}

#[test]
fn a_base_that_is_only_a_bookmark_under_the_old_name_stays() {
    let mark = Mark { target: TargetId::new(Guid(5), &name("dst/old")), guid: Guid(2) };
    let short = mark.name(&name("src/new")).expect("short").short().to_string();
    let source = tree(&[("src", "@a:1"), ("src/new", &format!("@x:8:5 #{short}:2:10"))]);
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/old", "@s:2")]));
    let pools = (about(4, "2.4.0"), about(5, "2.4.0"));
    let root = name("dst");
    let sides = Sides { pools: Some((&pools.0, &pools.1)), ..Sides::new(&source, &target, &root, NOW) };
    let plan = plan(sides, &recursive());
    assert!(before(&plan).contains(&"rename dst/old to dst/new".to_string()), "{:?}", before(&plan));
    assert_eq!(plan.after.len(), 0, "nothing else keeps the base: {:?}", plan.after);
}

fn made(step: &Step) -> Vec<u64> {
    match &step.action {
        Action::Change { side: Side::Source, change: Change::Bookmark { bookmarks } } => {
            bookmarks.iter().map(|(_, _, guid)| guid.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn removed(step: &Step) -> Vec<String> {
    match &step.action {
        Action::Change { side: Side::Source, change: Change::DestroyBookmarks { bookmarks } } => {
            bookmarks.iter().map(|(name, _)| name.short().to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn preserving() -> Options {
    Options { divergence: Divergence::Preserve, ..recursive() }
}

#[test]
fn what_was_set_aside_at_the_source_is_not_sent_unless_it_is_named() {
    let aside = "src/x_diverged_20261122T181500Z";
    let child = format!("{aside}/y");
    let source = tree(&[
        ("src", "@a:1"),
        ("src/x", "@a:2"),
        ("src/x-divergent-3", "@b:7"),
        (aside, "@b:5"),
        (&child, "@b:6"),
    ]);
    let plan = planned(&source, &absent(), &recursive());
    let all = [
        "src -> dst/data: full @a",
        "src/x -> dst/data/x: full @a",
        "src/x-divergent-3 -> dst/data/x-divergent-3: full @b",
    ];
    assert_eq!(shown(&plan), all);
    assert_eq!(plan.notes, [format!("{aside} was set aside, and is not sent")]);
    // In a pair a rejoin leaves such names.
    let pair = Options { pair: true, ..recursive() };
    let plan = planned(&source, &absent(), &pair);
    assert_eq!(shown(&plan), all[..2]);
    assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
    // Who names it means it.
    let plan = planned(&tree(&[(aside, "@b:5"), (&child, "@b:6")]), &absent(), &pair);
    assert_eq!((plan.datasets.len(), plan.notes.len()), (2, 0));
}

#[test]
fn what_a_rejoin_has_set_aside_at_the_target_is_no_dataset_that_was_renamed() {
    let source = tree(&[("src", "@a:1"), ("src/back", "@own:9")]);
    let target = Inventory::Present(tree(&[("dst", "@a:1"), ("dst/x-divergent-3", "@own:9")]));
    assert_eq!(before(&planned(&source, &target, &recursive())), ["rename dst/x-divergent-3 to dst/back"]);
    let plan = planned(&source, &target, &Options { pair: true, ..recursive() });
    assert!(plan.before.is_empty(), "{:?}", plan.before);
    assert_eq!(shown(&plan), ["src -> dst: ", "src/back -> dst/back: full @own"]);
}

#[test]
fn a_target_that_diverged_is_set_aside_with_all_it_has() {
    let source = tree(&[("src", "@a:1:10 @b:2:20 @c:3:30"), ("src/x", "@a:5")]);
    let target =
        Inventory::Present(tree(&[("dst/data", "@a:1:10 @b:2:20 @own:8:30"), ("dst/data/x", "@a:5")]));
    let stop = planned(&source, &target, &recursive());
    assert_eq!(shown(&stop), ["src -> dst/data: diverged", "src/x -> dst/data/x: "]);
    assert!(stop.before.is_empty());

    let plan = planned(&source, &target, &preserving());
    assert_eq!(
        before(&plan),
        [
            "rename dst/data to dst/data_diverged_20261122T181500Z",
            "clone dst/data_diverged_20261122T181500Z@b to dst/data",
            "promote dst/data",
            "rename dst/data_diverged_20261122T181500Z/x to dst/data/x"
        ]
    );
    assert_eq!(shown(&plan), ["src -> dst/data: @b>@c", "src/x -> dst/data/x: "]);
}

#[test]
fn setting_aside_is_finished_after_a_crash_between_any_two_of_its_steps() {
    let source = tree(&[("src", "@a:1:10 @b:2:20 @c:3:30"), ("src/x", "@a:5")]);
    let aside_name = marks::set_aside(&name("dst/data"), NOW).expect("short");
    let aside = aside_name.as_str();
    let child = format!("{aside}/x");
    let root = name("dst/data");
    let plan_with = |target: &Inventory, asides: &[Tree]| {
        let sides = Sides { asides, ..Sides::new(&source, target, &root, NOW + 60) };
        // Whatever the policy is now: what was begun is finished.
        super::plan(sides, &recursive())
    };
    // After the rename.
    let asides = [tree(&[(aside, "@a:1:10 @b:2:20 @own:8:30"), (&child, "@a:5")])];
    let plan = plan_with(&absent(), &asides);
    assert_eq!(
        before(&plan),
        [
            format!("clone {aside}@b to dst/data"),
            "promote dst/data".into(),
            format!("rename {child} to dst/data/x")
        ]
    );
    assert_eq!(shown(&plan), ["src -> dst/data: @b>@c", "src/x -> dst/data/x: "]);
    // After the clone.
    let mut clone = dataset("dst/data", "");
    clone.origin = Some(format!("{aside}@b").parse().expect("a name"));
    let plan = plan_with(&Inventory::Present(states(vec![clone])), &asides);
    assert_eq!(before(&plan), ["promote dst/data".to_string(), format!("rename {child} to dst/data/x")]);
    assert_eq!(shown(&plan), ["src -> dst/data: @b>@c", "src/x -> dst/data/x: "]);
    // After the promotion.
    let mut set_aside =
        states(vec![dataset(aside, "@own:8:30"), dataset(&child, "@a:5")]).datasets().to_vec();
    set_aside[0].origin = Some("dst/data@b".parse().expect("a name"));
    let asides = [states(set_aside)];
    let target = Inventory::Present(tree(&[("dst/data", "@a:1:10 @b:2:20")]));
    let plan = plan_with(&target, &asides);
    assert_eq!(before(&plan), [format!("rename {child} to dst/data/x")]);
    assert_eq!(shown(&plan), ["src -> dst/data: @b>@c", "src/x -> dst/data/x: "]);
}

#[test]
fn versions_with_a_dangerous_bug_are_refused_where_it_matters() {
    let mut state = dataset("src", "@a:1");
    state.encryption = Some(Encryption { root: name("src"), key_loaded: true });
    let source = states(vec![state]);
    let target = absent();
    let root = name("dst/data");
    let check = |versions: (&str, &str), options: &Options| {
        let pools = (about(4, versions.0), about(5, versions.1));
        let sides = Sides { pools: Some((&pools.0, &pools.1)), ..Sides::new(&source, &target, &root, NOW) };
        shown(&super::plan(sides, options))[0].clone()
    };
    let raw = Options::default();
    let decrypt = Options { decrypt: true, ..Options::default() };
    for (versions, options, refused) in [
        (("2.1.11", "2.4.0"), &raw, false),
        (("2.4.0", "2.1.2"), &raw, true),
        (("2.4.0", "2.1.6"), &raw, true),
        (("2.4.0", "2.1.7"), &raw, false),
        (("2.3.2", "2.4.0"), &decrypt, true),
        (("2.3.3", "2.4.0"), &decrypt, false),
        (("2.2.7", "2.4.0"), &decrypt, true),
        (("2.3.2", "2.4.0"), &raw, false),
        // A version that is not understood is no reason to stop.
        (("unknown", "unknown"), &decrypt, false),
    ] {
        let found = check(versions, options);
        assert_eq!(found.ends_with("zfs-bug"), refused, "{versions:?}: {found}");
    }
}

#[test]
fn estimates_and_their_sum_belong_to_the_streams_in_order() {
    let source = tree(&[("src", "@a:1 @b:2"), ("src/x", "@a:3")]);
    let mut plan = planned(&source, &absent(), &recursive());
    plan.set_estimates(&[Some(10), Some(20), Some(30)]);
    assert_eq!(plan.estimated_bytes(), Some(60));
    plan.set_estimates(&[Some(10), None, Some(30)]);
    assert_eq!(plan.estimated_bytes(), None);
}
