//! A pair whose service this program takes itself, by a lease: who has it after each verb, and after a crash at any of its
//! effects.

use super::crashes::after_every_effect;
use super::*;

fn has(node: &str) -> Option<String> {
    Some(node.to_string())
}

#[test]
fn a_promotion_takes_the_service_before_anything_and_is_refused_where_another_node_has_it() {
    let case = Case::leased();
    for force in [false, true] {
        let mut node = case.node("b");
        let away = Err("no route".to_string());
        let result = promote::promote(&mut node, &[name(ROOT)], away, &Case::asked(force), &mut |_| {});
        let held = refused(result);
        assert!(matches!(&held, Refused::Service(NotTaken::Held { node, .. }) if node == "a"), "{held}");
    }
    assert_eq!(case.epoch("b"), (1, "a".to_string()));
    assert_eq!((case.holder(), case.value("b", ROOT, "readonly")), (has("a"), "on".to_string()));
    // The one that has it gives it back, and the other one can have it.
    case.demote("a").expect("demoted");
    assert_eq!(case.holder(), None);
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    assert_eq!(case.holder(), has("b"));
    // One that has not got it gives nothing back.
    case.demote("a").expect("demoted");
    assert_eq!(case.holder(), has("b"));
}

#[test]
fn a_node_that_is_active_already_takes_a_lease_that_ran_out() {
    let case = Case::leased();
    case.lease.as_ref().expect("a lease").lock().expect("no panic").take();
    assert!(!case.promote_alone("a").expect("promoted").raised);
    assert_eq!(case.holder(), has("a"));
}

#[test]
fn a_handover_gives_the_service_to_the_other_node() {
    let case = Case::leased();
    case.write("a", ROOT, 4, 4);
    case.handover("a").expect("handed over");
    assert_eq!(case.holder(), has("b"));
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    assert_eq!(case.holder(), has("b"));
    // What a third one has it does not touch, and this node does not go on as if it had it.
    let case = Case::leased();
    *case.lease.as_ref().expect("a lease").lock().expect("no panic") = has("c");
    assert!(matches!(refused(case.handover("a")), Refused::Service(_)));
    assert_eq!((case.holder(), case.epoch("a")), (has("c"), (1, "a".to_string())));
    assert_eq!(case.mounted("a"), [ROOT, CHILD], "nothing was begun");
}

#[test]
fn a_handover_that_cannot_send_keeps_the_service() {
    let case = Case::leased();
    // What is sent does not fit there.
    case.write("b", ROOT, 5, 5);
    case.write("a", ROOT, 4, 4);
    let error = case.handover("a").expect_err("it does not fit");
    assert!(matches!(error, VerbError::Run(_)), "{error}");
    assert_eq!((case.holder(), case.epoch("a")), (has("a"), (1, "a".to_string())));
    assert_eq!(case.mounted("a"), [ROOT, CHILD]);
}

#[test]
fn a_promotion_and_a_demotion_that_break_off_leave_the_service_where_the_next_finds_it() {
    let free = || {
        let case = Case::leased();
        case.demote("a").expect("demoted");
        case
    };
    after_every_effect(
        free,
        |case| case.promote("b", false),
        |case| {
            // Nobody is promoted who does not have it.
            assert!(case.epoch("b").0 == 1 || case.holder() == has("b"), "{:?}", case.holder());
        },
        |case| assert_eq!((case.epoch("b").0, case.holder()), (2, has("b"))),
    );
    let case = || {
        let case = Case::leased();
        case.write("a", ROOT, 2, 2);
        case
    };
    after_every_effect(
        case,
        |case| case.demote("a"),
        |case| {
            // Nobody else gets it before all is closed.
            assert!(case.holder().is_some() || case.value("a", ROOT, "readonly") == "on");
        },
        |case| assert_eq!((case.holder(), case.mounted("a")), (None, vec![])),
    );
}

#[test]
fn a_handover_that_breaks_off_never_leaves_the_service_to_nobody() {
    let case = || {
        let case = Case::leased();
        case.write("a", ROOT, 2, 2);
        case.write("a", CHILD, 3, 3);
        case
    };
    after_every_effect(
        case,
        |case| case.handover("a"),
        |case| {
            let given = case.holder() == has("b");
            assert!(given || case.holder() == has("a"), "{:?}", case.holder());
            // The data are there before the service, and the service before the epoch.
            assert!(!given || case.same(ROOT) && case.same(CHILD));
            assert!(given || case.epoch("a") == (1, "a".to_string()));
        },
        |case| {
            assert_eq!((case.epoch("a"), case.holder()), ((2, "b".to_string()), has("b")));
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
}

#[test]
fn a_rejoin_hands_on_what_is_left_of_the_service() {
    let case = || {
        let case = Case::leased();
        // By force, while nobody could be asked who has it.
        let mut node = TestNode { lease: None, ..case.node("b") };
        let away = Err("no route".to_string());
        promote::promote(&mut node, &[name(ROOT)], away, &Case::asked(true), &mut |_| {}).expect("promoted");
        case.write("a", ROOT, 3, 3);
        case
    };
    after_every_effect(
        case,
        |case| case.rejoin("a"),
        |case| assert!(case.holder().is_some()),
        |case| assert_eq!((case.epoch("a"), case.holder()), ((2, "b".to_string()), has("b"))),
    );
}
