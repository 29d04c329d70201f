//! Setting aside where it must not happen, what a promotion on the source leaves, and features that a pool lacks.

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::tests::dataset;
use super::tree_tests::*;
use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::About;
use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Encryption;
use crate::host::Inventory;
use crate::host::Tree;

/// A plan between trees at `src` and `dst`, with what is known of the pools.
fn with_pools(source: &Tree, target: &Inventory, pools: (&About, &About), options: &Options) -> TreePlan {
    let root = name("dst");
    let sides = Sides { pools: Some(pools), ..Sides::new(source, target, &root, NOW) };
    plan(sides, options)
}

/// A pool on which these features are in another state than usual.
fn having(guid: u64, features: &[(&str, Option<&str>)]) -> About {
    let mut about = About { pool: format!("pool{guid}"), ..about(guid, "2.4.0") };
    for (name, state) in features {
        match state {
            Some(state) => drop(about.features.insert(name.to_string(), state.to_string())),
            None => drop(about.features.remove(*name)),
        }
    }
    about
}

fn present(datasets: &[(&str, &str)]) -> Inventory {
    Inventory::Present(tree(datasets))
}

fn clone_of(mut state: DatasetState, origin: &str) -> DatasetState {
    state.origin = Some(origin.parse().expect("a name"));
    state
}

#[test]
fn what_has_nothing_newer_to_receive_is_not_set_aside() {
    let source = tree(&[("src", "@a:1"), ("src/x", "@a:2 @b:3"), ("src/y", "@a:4 @b:5")]);
    let mut changed =
        vec![dataset("dst", "@a:1"), dataset("dst/x", "@a:2 @own:9"), dataset("dst/y", "@a:4 @b:5")];
    changed[0].written = 512;
    changed[2].written = 512;
    let target = Inventory::Present(states(changed.clone()));
    // A volume or filesystem that was mounted once can say so for ever: x alone goes on.
    let plan = planned(&source, &target, &preserving());
    assert_eq!(
        before(&plan),
        [
            "rename dst/x to dst/x_diverged_20261122T181500Z",
            "clone dst/x_diverged_20261122T181500Z@a to dst/x",
            "promote dst/x"
        ]
    );
    assert_eq!(shown(&plan), ["src -> dst: ", "src/x -> dst/x: @a>@b", "src/y -> dst/y: "]);
    assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
    assert!(plan.notes[0].contains("dst has changed since src@a") && plan.notes[0].contains("nothing newer"));
    // Its base is known all the same, and kept by a bookmark.
    assert_eq!(plan.datasets[2].common.as_ref().map(Base::guid), Some(Guid(5)));
    // Under `stop` it is told as ever.
    assert_eq!(planned(&source, &target, &recursive()).conflicts().count(), 3);
    // A snapshot of the source alone is nothing that the pattern selects.
    let options =
        Options { snapshots: Patterns::new(&[], &["b".into()]).expect("a pattern"), ..preserving() };
    assert!(planned(&source, &target, &options).before.is_empty());
}

#[test]
fn nothing_is_set_aside_for_what_cannot_go_on() {
    let source = tree(&[("src", "@a:1"), ("src/x", "@a:2 @b:3")]);
    let diverged = || vec![dataset("dst", "@a:1"), dataset("dst/x", "@a:2 @own:9")];
    let kinds = |plan: &TreePlan| plan.conflicts().map(|(_, conflict)| conflict.kind()).collect::<Vec<_>>();
    let fine = having(4, &[]);

    // A name that the target's own, older snapshots have taken.
    let mut target = diverged();
    target[1] = dataset("dst/x", "@b:7 @a:2 @own:9");
    let plan = planned(&source, &Inventory::Present(states(target)), &preserving());
    assert_eq!((before(&plan), kinds(&plan)), (vec![], vec!["name-clash"]));
    // A feature.
    let target = Inventory::Present(states(diverged()));
    let lacking = having(5, &[("lz4_compress", Some("disabled"))]);
    let plan = with_pools(&source, &target, (&fine, &lacking), &preserving());
    let codes = |plan: &TreePlan| plan.conflicts().map(|(_, conflict)| conflict.code()).collect::<Vec<_>>();
    assert_eq!((kinds(&plan), codes(&plan)), (vec!["feature-missing"], vec![Code::FeatureMissing]));
    assert!(
        plan.before.iter().all(|step| matches!(step.action, Action::Change { side: Side::Source, .. })),
        "{plan:?}"
    );
    // A key.
    let mut target = diverged();
    target[1].encryption = Some(Encryption { root: name("dst/x"), key_loaded: false });
    let plan = planned(&source, &Inventory::Present(states(target.clone())), &preserving());
    assert_eq!((before(&plan), kinds(&plan)), (vec![], vec!["key-not-loaded"]));
    // A key that is loaded, and would not be after the promotion.
    target[1].encryption = Some(Encryption { root: name("dst/x"), key_loaded: true });
    let plan = planned(&source, &Inventory::Present(states(target.clone())), &preserving());
    assert_eq!((before(&plan), kinds(&plan)), (vec![], vec!["set-aside-unloads-key"]));
    assert_eq!(codes(&plan), [Code::SetAsideUnloadsKey]);
    let hint = plan.conflicts().next().expect("a conflict").1.hint();
    assert!(hint.contains("dst/x_diverged_20261122T181500Z@a dst/x`, `zfs promote dst/x`"), "{hint}");
    // One that belongs to the dataset above stays loaded.
    target[1].encryption = Some(Encryption { root: name("dst"), key_loaded: true });
    let plan = planned(&source, &Inventory::Present(states(target.clone())), &preserving());
    assert_eq!((plan.before.len(), kinds(&plan)), (3, vec![]));
    // A bug.
    target[1].encryption = Some(Encryption { root: name("dst/x"), key_loaded: true });
    let (new, old) = (about(4, "2.4.0"), about(5, "2.1.6"));
    let plan = with_pools(&source, &Inventory::Present(states(target)), (&new, &old), &preserving());
    assert_eq!(kinds(&plan), ["zfs-bug"]);
    assert!(
        plan.before.iter().all(|step| matches!(step.action, Action::Change { side: Side::Source, .. })),
        "{plan:?}"
    );
    // What only its stream told, or the space on the target.
    let target = Inventory::Present(states(diverged()));
    let root = name("dst");
    let refused =
        Refused::from([(name("src/x"), Conflict::NoSpace { to: name("dst/x"), needed: 2, available: 1 })]);
    let sides = Sides::new(&source, &target, &root, NOW);
    let plan = plan_without(sides, &preserving(), &refused);
    assert_eq!((before(&plan), kinds(&plan)), (vec![], vec!["no-space"]));
    assert_eq!(shown(&plan)[0], "src -> dst: ");
}

#[test]
fn siblings_and_parent_and_child_diverge_at_once() {
    let source = tree(&[
        ("src", "@a:1 @b:2"),
        ("src/x", "@a:3 @b:4"),
        ("src/x/deep", "@a:5 @b:6"),
        ("src/y", "@a:7 @b:8"),
    ]);
    let target = present(&[
        ("dst/data", "@a:1 @own:91"),
        ("dst/data/x", "@a:3 @own:92"),
        ("dst/data/x/deep", "@a:5"),
        ("dst/data/y", "@a:7 @own:93"),
    ]);
    let plan = planned(&source, &target, &preserving());
    let at = "_diverged_20261122T181500Z";
    assert_eq!(
        before(&plan),
        [
            format!("rename dst/data to dst/data{at}"),
            format!("clone dst/data{at}@a to dst/data"),
            "promote dst/data".to_string(),
            format!("rename dst/data{at}/x to dst/data/x"),
            format!("rename dst/data{at}/y to dst/data/y"),
            format!("rename dst/data/x to dst/data/x{at}"),
            format!("clone dst/data/x{at}@a to dst/data/x"),
            "promote dst/data/x".to_string(),
            format!("rename dst/data/x{at}/deep to dst/data/x/deep"),
            format!("rename dst/data/y to dst/data/y{at}"),
            format!("clone dst/data/y{at}@a to dst/data/y"),
            "promote dst/data/y".to_string(),
        ]
    );
    assert!(shown(&plan).iter().all(|one| one.ends_with(": @a>@b")), "{:?}", shown(&plan));
    // A child of the source was renamed as well.
    let source = tree(&[("src", "@a:1 @b:2"), ("src/new", "@a:3 @b:4")]);
    let target = present(&[("dst/data", "@a:1 @own:91"), ("dst/data/old", "@a:3")]);
    let plan = planned(&source, &target, &preserving());
    assert_eq!(
        before(&plan),
        [
            format!("rename dst/data to dst/data{at}"),
            format!("clone dst/data{at}@a to dst/data"),
            "promote dst/data".to_string(),
            format!("rename dst/data{at}/old to dst/data/old"),
            "rename dst/data/old to dst/data/new".to_string(),
        ]
    );
    assert_eq!(shown(&plan)[1], "src/new -> dst/data/new: @a>@b");
}

/// `src/b` was a clone of `src/a@s1` and was promoted: it has that snapshot now, and `src/a` is its clone.
fn promoted(a: &str, b: &str) -> Tree {
    states(vec![dataset("src", "@r:1"), clone_of(dataset("src/a", a), "src/b@s1"), dataset("src/b", b)])
}

#[test]
fn a_promotion_at_the_source_that_leaves_common_snapshots_goes_on() {
    let source = promoted("@s2:12:30 @s5:15:50", "@s1:11:10 @s3:13:40 @s6:16:60");
    let b = clone_of(dataset("dst/b", "@s3:13"), "dst/a@s1");
    let target =
        Inventory::Present(states(vec![dataset("dst", "@r:1"), dataset("dst/a", "@s1:11 @s2:12"), b]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(shown(&plan)[1..], ["src/a -> dst/a: @s2>@s5", "src/b -> dst/b: @s3>@s6"]);
    assert!(before(&plan).is_empty());
}

#[test]
fn a_promotion_that_took_all_common_snapshots_is_told_and_goes_on_under_preserve() {
    let source = promoted("@s5:15:50", "@s1:11:10 @s3:13:40 @s6:16:60");
    let b = clone_of(dataset("dst/b", "@s3:13"), "dst/a@s1");
    let target = Inventory::Present(states(vec![dataset("dst", "@r:1"), dataset("dst/a", "@s1:11"), b]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(shown(&plan)[1..], ["src/a -> dst/a: promoted", "src/b -> dst/b: @s3>@s6"]);
    let (_, conflict) = plan.conflicts().next().expect("a conflict");
    assert_eq!(conflict.code(), Code::Promoted);
    let text = format!("{conflict} {}", conflict.hint());
    for part in
        ["src/a starts at src/b@s1", "src/b was promoted", "dst/a", "--divergence preserve", "dst/a@s1"]
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(conflict.to_json()["details"]["origin_on_target"], "dst/a@s1");

    let plan = planned(&source, &target, &preserving());
    let aside = "dst/a_diverged_20261122T181500Z";
    assert_eq!(before(&plan), [format!("rename dst/a to {aside}")]);
    let expected = format!("src/a -> dst/a: src/b@s1>@s5 as clone of {aside}@s1");
    assert_eq!(shown(&plan)[1..], [expected.as_str(), "src/b -> dst/b: @s3>@s6"]);

    // Broken off after the rename: the same streams, and nothing is sent in full.
    let b = clone_of(dataset("dst/b", "@s3:13"), &format!("{aside}@s1"));
    let left = vec![dataset("dst", "@r:1"), dataset(aside, "@s1:11"), b.clone()];
    let plan = planned(&source, &Inventory::Present(states(left)), &recursive());
    assert_eq!(shown(&plan)[1..], [expected.as_str(), "src/b -> dst/b: @s3>@s6"]);
    assert!(before(&plan).is_empty());
    // And when all is done, nothing is left to do: what was set aside stays the origin.
    let a = clone_of(dataset("dst/a", "@s5:15"), &format!("{aside}@s1"));
    let b = dataset("dst/b", "@s3:13 @s6:16");
    let done = vec![dataset("dst", "@r:1"), a, dataset(aside, "@s1:11"), b];
    let plan = planned(&source, &Inventory::Present(states(done)), &preserving());
    assert_eq!(plan.steps().count(), 0, "{:?}", before(&plan));

    // Promoted on the target as well, which leaves a clone without snapshots.
    let a = clone_of(dataset("dst/a", ""), "dst/b@s1");
    let target =
        Inventory::Present(states(vec![dataset("dst", "@r:1"), a, dataset("dst/b", "@s1:11 @s3:13")]));
    assert_eq!(shown(&planned(&source, &target, &recursive()))[1], "src/a -> dst/a: promoted");
    let plan = planned(&source, &target, &preserving());
    assert_eq!(shown(&plan)[1], "src/a -> dst/a: src/b@s1>@s5 as clone of dst/b@s1");
}

/// `src/c` was made of a snapshot of `src`, `src/d` of one of `src/c`, and `src/d` was promoted: it has what was of
/// `src/c`, and its origin is that of `src`, which is not sent.
#[test]
fn what_was_promoted_starts_under_its_clone_where_its_own_origin_is_not_replicated() {
    let source = states(vec![
        dataset("src", "@s2:2:10"),
        clone_of(dataset("src/c", "@s15:15:50"), "src/d@s9"),
        clone_of(dataset("src/d", "@s9:9:30 @s11:11:40"), "src@s2"),
    ]);
    let target = present(&[("dst", ""), ("dst/c", "@s9:9:30")]);
    let only = Patterns::new(&["c".to_string(), "d".to_string()], &[]).expect("patterns");
    let plan = planned(&source, &target, &Options { datasets: only, ..recursive() });
    let shown = shown(&plan);
    assert!(shown.contains(&"src/d -> dst/d: src/d@s9>@s11 as clone of dst/c@s9".to_string()), "{shown:?}");
}

/// What is received without encryption stays so, and nothing encrypted becomes a clone of it.
#[test]
fn no_raw_stream_makes_a_clone_of_what_goes_plain() {
    let encrypted = |mut state: DatasetState| {
        state.encryption = Some(Encryption { root: name("src"), key_loaded: true });
        state
    };
    let clone = clone_of(dataset("src/clone", "@x:4:70"), "src@b");
    let source = states(vec![encrypted(dataset("src", "@a:1:10 @b:2:20")), encrypted(clone)]);
    // The target was received without encryption, and the origin comes in this run, or came before.
    for there in ["@a:1", "@a:1 @b:2"] {
        let plan = planned(&source, &present(&[("dst", there)]), &recursive());
        assert_eq!(shown(&plan)[1], "src/clone -> dst/clone: full @x", "{there}");
        assert!(plan.datasets[1].streams().all(|spec| spec.raw));
    }
    // Where it goes raw, so does its clone.
    let plan = planned(&source, &absent(), &recursive());
    assert_eq!(shown(&plan)[1], "src/clone -> dst/data/clone: src@b>@x as clone of dst/data@b");
}

#[test]
fn what_was_promoted_and_is_new_on_the_target_starts_where_its_clone_has_the_snapshot() {
    let source = promoted("@s2:12:30 @s5:15:50", "@s0:10:5 @s1:11:10 @s6:16:60");
    let target = present(&[("dst", "@r:1"), ("dst/a", "@s0:10 @s1:11 @s2:12")]);
    let plan = planned(&source, &target, &recursive());
    assert_eq!(
        shown(&plan)[1..],
        ["src/a -> dst/a: @s2>@s5", "src/b -> dst/b: src/b@s1>@s6 as clone of dst/a@s1"]
    );
    // Without the snapshot there, in full.
    let target = present(&[("dst", "@r:1"), ("dst/a", "@s2:12")]);
    assert_eq!(
        shown(&planned(&source, &target, &recursive()))[2],
        "src/b -> dst/b: full @s0, @s0>@s1, @s1>@s6"
    );
}

#[test]
fn a_clone_waits_for_an_origin_that_is_kept_from_being_sent() {
    let clone = clone_of(dataset("src/clone", "@x:4:70"), "src/base@o");
    let source = states(vec![dataset("src", "@r:1"), dataset("src/base", "@o:2:50"), clone]);
    let target = present(&[("dst", "@r:1"), ("dst/base", "@z:9")]);
    let plan = planned(&source, &target, &recursive());
    assert_eq!(
        shown(&plan)[1..],
        ["src/base -> dst/base: no-common-base", "src/clone -> dst/clone: origin-not-replicated"]
    );
    let codes: Vec<_> = plan.conflicts().map(|(_, conflict)| conflict.code()).collect();
    assert_eq!(codes, [Code::NoCommonBase, Code::OriginNotReplicated]);
}

#[test]
fn a_new_dataset_below_an_encrypted_one_needs_its_key() {
    let source = tree(&[("src", "@r:1"), ("src/x", "@a:2"), ("src/x/y", "@a:3")]);
    let mut root = dataset("dst", "@r:1");
    root.encryption = Some(Encryption { root: name("dst"), key_loaded: false });
    let target = Inventory::Present(states(vec![root.clone()]));
    let plan = planned(&source, &target, &recursive());
    assert_eq!(
        shown(&plan)[1..],
        ["src/x -> dst/x: key-not-loaded", "src/x/y -> dst/x/y: parent-not-replicated"]
    );
    root.encryption = Some(Encryption { root: name("dst"), key_loaded: true });
    let plan = planned(&source, &Inventory::Present(states(vec![root])), &recursive());
    assert_eq!(plan.conflicts().count(), 0);
    // Where nothing is yet, as its nearest ancestor.
    let mut ancestor = dataset("dst", "");
    ancestor.encryption = Some(Encryption { root: name("dst"), key_loaded: false });
    let target = Inventory::Absent { ancestor: Box::new(ancestor), children: Vec::new() };
    assert_eq!(shown(&planned(&source, &target, &recursive()))[0], "src -> dst/data: key-not-loaded");
    // Below one that a raw stream makes, whose key nobody has loaded yet.
    let mut datasets = vec![dataset("src", "@r:1"), dataset("src/plain", "@a:2")];
    datasets[0].encryption = Some(Encryption { root: name("src"), key_loaded: true });
    let plan = planned(&states(datasets), &absent(), &recursive());
    assert_eq!(shown(&plan), ["src -> dst/data: full @r", "src/plain -> dst/data/plain: key-not-loaded"]);
}

#[test]
fn features_that_every_stream_needs_are_looked_for_on_the_target() {
    let source = tree(&[("src", "@a:1 @b:2")]);
    let mut secret = dataset("src", "@a:1 @b:2");
    secret.encryption = Some(Encryption { root: name("src"), key_loaded: true });
    let secret = states(vec![secret]);
    let target = Inventory::Absent { ancestor: Box::new(dataset("dst", "")), children: Vec::new() };
    let missing = |source: &Tree, from: &About, to: &About| {
        let plan = with_pools(source, &target, (from, to), &recursive());
        plan.conflicts().next().map(|(_, conflict)| (conflict.to_string(), conflict.hint()))
    };
    let from = having(1, &[]);
    for source in [&source, &secret] {
        assert_eq!(missing(source, &from, &having(2, &[("lz4_compress", Some("enabled"))])), None);
    }
    // A feature that nothing needs is no reason to stop.
    assert_eq!(missing(&source, &from, &having(2, &[("encryption", Some("disabled"))])), None);
    let unused = having(1, &[("lz4_compress", Some("enabled"))]);
    assert_eq!(missing(&source, &unused, &having(2, &[("lz4_compress", None)])), None);
    for (source, feature) in
        [(&source, "extensible_dataset"), (&source, "lz4_compress"), (&secret, "encryption")]
    {
        for state in [None, Some("disabled")] {
            let (text, hint) = missing(source, &from, &having(2, &[(feature, state)])).expect("a conflict");
            assert!(
                text.contains(&format!("feature {feature} (pool pool1)")) && text.contains("pool2"),
                "{text}"
            );
            assert!(hint.contains(&format!("zpool set feature@{feature}=enabled pool2")), "{hint}");
        }
    }
}

#[test]
fn streams_are_looked_at_only_where_a_feature_may_be_missing() {
    use zfs_core::stream::Features;
    let source = tree(&[("src", "@a:1 @b:2"), ("src/x", "@a:3")]);
    let target = present(&[("dst", "@a:1"), ("dst/x", "@a:3")]);
    let from = having(1, &[("zstd_compress", Some("enabled"))]);
    let lacking = having(2, &[("large_blocks", Some("disabled"))]);
    let with = having(2, &[("large_blocks", Some("enabled"))]);
    let plan = with_pools(&source, &target, (&from, &lacking), &recursive());
    let asked: Vec<_> =
        doubtful(&plan, (&from, &lacking)).iter().map(|(at, spec)| (*at, spec.to.guid)).collect();
    assert_eq!(asked, [(0, Guid(2))]);
    assert!(doubtful(&plan, (&from, &with)).is_empty());
    let (here, there): (DatasetName, DatasetName) = (name("src"), name("dst"));
    let judge = |stream| missing(&here, &there, stream, (&from, &lacking));
    assert_eq!(judge(Features::COMPRESSED), None);
    let found = judge(Features::LARGE_BLOCKS.with(Features::ZSTD)).expect("a conflict").to_string();
    assert!(found.contains("features large_blocks, zstd_compress"), "{found}");
}

#[test]
fn without_the_feature_bookmarks_none_are_planned() {
    let source = tree(&[("src", "@a:1 @b:2")]);
    let target = present(&[("dst", "@a:1")]);
    let to = about(2, "2.4.0");
    let plan = with_pools(&source, &target, (&having(1, &[]), &to), &recursive());
    assert_eq!((plan.before.len(), plan.notes.len()), (1, 0), "{plan:?}");
    let plan =
        with_pools(&source, &target, (&having(1, &[("bookmarks", Some("disabled"))]), &to), &recursive());
    assert_eq!((plan.steps().count(), plan.notes.len()), (1, 1));
    assert!(plan.notes[0].contains("bookmarks"), "{:?}", plan.notes);
}

#[test]
fn an_unknown_version_is_told_once() {
    let source = tree(&[("src", "@a:1 @b:2"), ("src/x", "@a:3 @b:4")]);
    let target = present(&[("dst", "@a:1"), ("dst/x", "@a:3")]);
    let plan = with_pools(&source, &target, (&about(1, "unknown"), &about(2, "2.4.0")), &recursive());
    assert_eq!(plan.notes.iter().filter(|note| note.contains("version of OpenZFS at the source")).count(), 1);
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
}
