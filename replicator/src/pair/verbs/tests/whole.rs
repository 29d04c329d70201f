//! What has to be here before a node is promoted: all datasets of the other one, up to what was written last, and where that
//! one cannot be asked, as much as was there once.

use super::*;

/// `a` has the service and two datasets, and nothing was sent yet.
fn first() -> Case {
    Case::before_the_first_send(&[ROOT], &[ROOT, CHILD])
}

/// The network breaks for good at each call of the first replication, and then the node that sends is gone.
#[test]
fn a_first_replication_that_never_finished_is_not_promoted() {
    let whole = first();
    whole.world.restart();
    whole.send("a").expect("sent");
    let calls = whole.world.calls_to("b");
    let (mut not_whole, mut promoted) = (0, 0);
    for (call, moment) in (1..=calls).flat_map(|call| [(call, Moment::Before), (call, Moment::After)]) {
        let case = first();
        case.world.restart();
        let machine = "b".to_string();
        case.world.inject(Fault::Partition { machine, call, moment, calls: u64::MAX });
        let _ = case.send("a");
        case.world.all_struck();
        case.world.restart();
        let copy = case.copy();
        match copy.promote_alone("b") {
            Ok(_) => {
                promoted += 1;
                assert_eq!(copy.snapshots("b", ROOT), ["1"], "{moment:?} {call}");
                assert_eq!(copy.snapshots("b", CHILD), ["1"], "{moment:?} {call}");
            }
            Err(VerbError::Refused(why)) if matches!(*why, Refused::NotWhole { .. }) => {
                not_whole += 1;
                // Who has nothing else makes do with it.
                let (away, asked) = (Err("no route".to_string()), Case::asked(true));
                let forced = promote::promote(&mut copy.node("b"), &copy.roots, away, &asked, &mut |_| {});
                forced.expect("forced");
                assert_eq!(copy.value("b", ROOT, marks::FIRST), "");
            }
            // It has not even begun, or the root itself is not whole, or knows of no pair.
            Err(error) => {
                let known = matches!(
                    &error,
                    VerbError::Refused(why) if matches!(
                        **why,
                        Refused::NoRoot { .. } | Refused::Incomplete(_) | Refused::NoLineage { .. }
                    )
                );
                assert!(known, "{moment:?} {call}: {error}");
            }
        }
        // The next run goes on, and then it may be promoted.
        case.send("a").expect("sent");
        case.promote_alone("b").expect("all of it is there");
    }
    assert!(not_whole > 0 && promoted > 0, "{not_whole} {promoted} of {calls}");
}

#[test]
fn how_much_of_a_first_replication_is_there_is_known() {
    let case = first();
    case.send("a").expect("sent");
    // One more dataset, of which only half came.
    let set = [(marks::FIRST.to_string(), "1:0:0".to_string())];
    case.world.on("b", |b| b.set_properties(&name(ROOT), &set).expect("set"));
    assert!(matches!(refused(case.promote_alone("b")), Refused::NotWhole { there: 0, of: 0, .. }));
    let new = name("tank/data/new");
    case.world.on("a", |a| a.create(&new, DatasetKind::Filesystem, &[]).expect("create"));
    // It has no snapshot that could be sent.
    let _ = case.send("a");
    let partly = refused(case.promote_alone("b"));
    assert!(matches!(&partly, Refused::NotWhole { there: 2, of: 3, .. }), "{partly}");
    assert!(partly.to_string().contains("2 of its 3 datasets"), "{partly}");
    case.world.on("a", |a| a.snapshot(&[snap("tank/data/new@1")]).expect("snapshot"));
    case.send("a").expect("sent");
    assert_eq!(case.value("b", ROOT, marks::FIRST), "");
    case.promote_alone("b").expect("promoted");
}

#[test]
fn a_dataset_that_only_the_other_node_has_keeps_this_one_from_being_promoted() {
    let case = Case::new();
    let new = name("tank/data/new");
    case.world.on("a", |a| a.create(&new, DatasetKind::Filesystem, &[]).expect("create"));
    case.write("a", "tank/data/new", 1, 1);
    case.demote("a").expect("demoted");
    let lacks = refused(case.promote("b", false));
    assert!(matches!(&lacks, Refused::Lacks { dataset, .. } if *dataset == new), "{lacks}");
    assert!(lacks.is_behind());
    case.send("a").expect("sent");
    case.promote("b", false).expect("promoted");
    assert!(case.same("tank/data/new"));
    // What this one has alone is no matter: it was removed there, or nobody had it.
    let case = Case::new();
    case.world.on("b", |b| b.create(&new, DatasetKind::Filesystem, &[]).expect("create"));
    case.demote("a").expect("demoted");
    case.promote("b", false).expect("promoted");
}

#[test]
fn what_the_other_node_wrote_and_took_no_snapshot_of_keeps_this_one_from_being_promoted() {
    let case = Case::new();
    case.demote("a").expect("demoted");
    case.write("a", CHILD, 9, 9);
    let unsnapped = refused(case.promote("b", false));
    assert!(
        matches!(&unsnapped, Refused::Unsnapped { dataset, .. } if *dataset == name(CHILD)),
        "{unsnapped}"
    );
    // A node that only follows has nothing to say about that.
    case.demote("a").expect("demoted");
    case.send("a").expect("sent");
    case.promote("b", false).expect("promoted");
    case.write("a", CHILD, 10, 10);
    assert!(!case.promote("b", false).expect("it is active").raised);
}

#[test]
fn a_key_that_is_missing_counts_unless_it_is_of_what_was_set_aside() {
    let locked = |dataset: &str| {
        let case = Case::new();
        case.world.on("b", |b| {
            b.create_encrypted(&name(dataset)).expect("create");
            b.set_key(&name(dataset), false);
        });
        case.promote_alone("b").map(|done| done.epoch)
    };
    assert_eq!(locked("tank/data/x-divergent-1").expect("promoted"), 2);
    assert!(matches!(refused(locked("tank/data/secret")), Refused::KeyNotLoaded(_)));
}
