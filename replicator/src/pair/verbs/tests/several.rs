//! A pair with four roots in two pools, as the pairs of most have: a verb that breaks off between two of them leaves what the
//! next start of the service finishes by itself. What the start goes by is found from the epochs that are there.

use super::crashes::after_every_effect;
use super::*;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::decide::Verdict;
use crate::role::decide::decide;
use crate::role::epochs::Epochs;
use crate::role::observation::Observation;
use crate::role::observation::Owner;
use crate::role::observation::PeerSaid;
use crate::role::observation::Reading;
use crate::role::observation::Seen;
use crate::role::roots;

const FOUR: [&str; 4] = ["tank/data", "tank/more", "big/photos", "big/storage"];

/// `a` is active, and `b` has all of it.
fn four() -> Case {
    Case::of(&FOUR, &FOUR)
}

fn epochs(case: &Case, on: &str) -> Epochs {
    roots::epochs(&mut case.world.host(on), &case.roots)
}

/// What a node is where the service is to be started on it. `hears`: the other one can be asked.
fn on_its_own(case: &Case, on: &str, hears: bool, purpose: Purpose) -> Verdict {
    let names = Names { here: on.to_string(), peer: other(on).to_string() };
    let peer = match hears {
        true => {
            PeerSaid::Answered { role: Seen::unknown("it was not asked"), epoch: epochs(case, other(on)) }
        }
        false => PeerSaid::Unreachable("no route".to_string()),
    };
    let (epoch, by_hand) = (epochs(case, on), Seen::Known(None));
    let reading = Reading::of_owner(Seen::Known(Owner::Here));
    decide(&names, &[Observation { reading, peer, epoch, by_hand }], purpose)
}

/// The next start goes on from here, whether or not the other node can be asked.
fn starts(case: &Case, on: &str) {
    for hears in [true, false] {
        let verdict = on_its_own(case, on, hears, Purpose::Change);
        assert!(verdict.may_start(), "{on}: {verdict:?}");
    }
}

fn is_active(case: &Case, on: &str, number: u64) {
    for hears in [true, false] {
        let verdict = on_its_own(case, on, hears, Purpose::Run);
        assert_eq!((verdict.role, verdict.without.len()), (Role::Active, 0), "{on}: {verdict:?}");
    }
    let all = epochs(case, on).all();
    let epoch = all.known().and_then(Option::as_ref).expect("one epoch");
    assert_eq!((epoch.number, epoch.holder.as_str()), (number, on));
    assert_eq!(case.mounted(on), FOUR);
}

#[test]
fn a_promotion_that_breaks_off_between_any_two_roots_is_finished_by_the_next_start() {
    let case = || {
        let case = four();
        case.demote("a").expect("demoted");
        case
    };
    let cut = std::cell::Cell::new(0);
    after_every_effect(
        case,
        |case| case.promote_alone("b"),
        |case| {
            starts(case, "b");
            let mixed = epochs(case, "b").all().known().is_none();
            cut.set(cut.get() + usize::from(mixed));
            if mixed {
                // The timer waits for that, and says so.
                let verdict = on_its_own(case, "b", true, Purpose::Run);
                assert_eq!(verdict.role, Role::Unknown, "{verdict:?}");
                assert!(verdict.why().contains("a promotion that was cut off"), "{verdict:?}");
            }
        },
        |case| is_active(case, "b", 2),
    );
    assert!(cut.get() >= 3, "it never broke off between two roots");
}

#[test]
fn the_first_promotion_that_breaks_off_is_finished_as_well() {
    let case = || {
        let case = four();
        case.world.on("a", |a| {
            for root in FOUR {
                a.inherit_property(&name(root), marks::EPOCH).expect("unset");
            }
        });
        case
    };
    after_every_effect(
        case,
        |case| {
            let away = Err("no route".to_string());
            promote::promote(&mut case.node("a"), &case.roots, away, &case.asks(true), &mut |_| {})
        },
        |case| assert!(on_its_own(case, "a", false, Purpose::Change).may_start()),
        |case| {
            let verdict = on_its_own(case, "a", false, Purpose::Run);
            assert_eq!((verdict.role, verdict.without.len()), (Role::Active, 0), "{verdict:?}");
        },
    );
}

#[test]
fn a_handover_that_breaks_off_between_any_two_roots_leaves_both_nodes_a_way_to_start() {
    let case = || {
        let case = four();
        for root in FOUR {
            case.write("a", root, 2, 2);
        }
        case
    };
    after_every_effect(
        case,
        |case| case.handover("a"),
        |case| {
            for on in ["a", "b"] {
                starts(case, on);
            }
        },
        |case| {
            // Nobody was promoted yet: the one that got it, and the one that gave it, can still have it.
            for on in ["a", "b"] {
                starts(case, on);
            }
            let given = on_its_own(case, "b", true, Purpose::Change);
            assert!(given.why().contains("a has handed it over, in epoch 2 of b"), "{given:?}");
        },
    );
}

#[test]
fn a_take_over_that_breaks_off_is_finished_by_a_start_and_one_whose_answer_is_lost_was_none_the_less() {
    let case = || {
        let case = four();
        case.handover("a").expect("handed over");
        case
    };
    after_every_effect(
        case,
        |case| promote::take_over(&mut case.node("b"), &case.roots, 2),
        |case| starts(case, "b"),
        |case| {
            is_active(case, "b", 2);
            // The old node finds what came of it.
            let names = Names { here: "a".to_string(), peer: "b".to_string() };
            let peer = PeerSaid::Answered { role: Seen::unknown("not asked"), epoch: epochs(case, "b") };
            let reading = Reading::of_owner(Seen::Known(Owner::Node("b".to_string())));
            let (epoch, by_hand) = (epochs(case, "a"), Seen::Known(None));
            let verdict = decide(&names, &[Observation { reading, peer, epoch, by_hand }], Purpose::Run);
            assert_eq!(verdict.role, Role::Standby, "{verdict:?}");
        },
    );
}

#[test]
fn a_handover_without_a_promotion_is_followed_by_one_of_the_other_node() {
    let case = four();
    case.write("a", FOUR[2], 2, 2);
    case.handover("a").expect("handed over");
    starts(&case, "b");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    is_active(&case, "b", 2);
    case.send("b").expect("sent");
    // Back, and this time taken back before anybody was promoted.
    case.handover("b").expect("handed over");
    starts(&case, "b");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 4);
    is_active(&case, "b", 4);
    case.send("b").expect("sent");
}
