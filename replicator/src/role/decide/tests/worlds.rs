//! Two nodes of one world: whatever each of them sees, they are not both active.

use super::*;

/// What is true of the cluster: where the service is, `None` for nowhere.
type Truth = Option<&'static str>;

/// What a node may see of it. With a majority, or where there is no such thing, it sees what is true; without, or where
/// nothing answers, it may see anything. HA and moving only make it more careful and are left at their best.
fn views(here: &str, truth: Truth) -> Vec<Reading> {
    let seen = match truth {
        Some(name) if name == here => Owner::Here,
        Some(name) => node(name),
        None => Owner::Nowhere,
    };
    readings(here)
        .into_iter()
        .filter(|reading| reading.moving == Seen::Known(false) && reading.ha == Seen::Known(Ha::Armed))
        .filter(|reading| match reading.quorum {
            Seen::Known(Quorum::Quorate | Quorum::NoSuch) => {
                reading.owner.known().is_none_or(|owner| *owner == seen)
            }
            _ => true,
        })
        .collect()
}

fn observed(
    reading: &Reading,
    epoch: &Seen<Option<Epoch>>,
    peer: PeerSaid,
    by_hand: &Seen<Option<Override>>,
) -> Observation {
    Observation { reading: reading.clone(), peer, epoch: epoch.clone().into(), by_hand: by_hand.clone() }
}

/// What each node of a world decides: first by itself, which is what it tells the other one, then with what it is told.
fn both_decide(
    views: [&Reading; 2],
    epochs: [&Seen<Option<Epoch>>; 2],
    hears: [bool; 2],
    words: [&Seen<Option<Override>>; 2],
) -> [Role; 2] {
    let alone = |at: usize| {
        let seen = observed(views[at], epochs[at], PeerSaid::NotAsked, words[at]);
        of([A, B][at], &seen).role
    };
    let decided = |at: usize, other: usize| {
        let peer = if hears[at] {
            PeerSaid::Answered { role: Seen::Known(alone(other)), epoch: epochs[other].clone().into() }
        } else {
            PeerSaid::Unreachable("the network is cut".to_string())
        };
        of([A, B][at], &observed(views[at], epochs[at], peer, words[at])).role
    };
    [decided(0, 1), decided(1, 0)]
}

const HEARS: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

#[test]
fn two_nodes_of_one_world_are_never_both_active() {
    let nothing = Seen::Known(None);
    let (mut worlds, mut actives) = (0_usize, 0_usize);
    for truth in [Some(A), Some(B), Some("c"), None] {
        for of_a in views(A, truth) {
            for of_b in views(B, truth) {
                for at_a in epochs() {
                    for at_b in epochs() {
                        for hears in HEARS {
                            let roles =
                                both_decide([&of_a, &of_b], [&at_a, &at_b], hears, [&nothing, &nothing]);
                            assert_ne!(
                                roles,
                                [Role::Active, Role::Active],
                                "{truth:?} {of_a:?} {of_b:?} {at_a:?} {at_b:?} {hears:?}"
                            );
                            worlds += 1;
                            actives += usize::from(roles.contains(&Role::Active));
                        }
                    }
                }
            }
        }
    }
    assert!(worlds > 100_000 && actives > 1000, "{worlds} {actives}");
}

#[test]
fn nodes_that_hear_each_other_are_never_both_active_even_where_the_decider_lies() {
    let (mut worlds, mut lies) = (0_usize, 0_usize);
    let words: Vec<_> = words();
    // The decider tells each of them that the service is there, and people say what they like.
    let here = Reading::of_owner(Seen::Known(Owner::Here));
    for at_a in epochs() {
        for at_b in epochs() {
            for word_a in &words {
                for word_b in &words {
                    let roles = both_decide([&here, &here], [&at_a, &at_b], [true, true], [word_a, word_b]);
                    assert_ne!(
                        roles,
                        [Role::Active, Role::Active],
                        "{at_a:?} {at_b:?} {word_a:?} {word_b:?}"
                    );
                    let alone = both_decide([&here, &here], [&at_a, &at_b], [false, false], [word_a, word_b]);
                    lies += usize::from(alone == [Role::Active, Role::Active]);
                    worlds += 1;
                }
            }
        }
    }
    assert!(
        worlds == 7 * 7 * 36 && lies > 0,
        "{worlds} {lies}: without hearing each other it would have happened"
    );
}

#[test]
fn a_word_by_hand_that_is_true_makes_no_second_active() {
    // A person who says that a node is active has made sure that the other one has no service: it is off, or knows it.
    let nothing = Seen::Known(None);
    let said = by_hand(Role::Active);
    let mut taken = 0;
    let still =
        |reading: &Reading| reading.moving == Seen::Known(false) && reading.ha == Seen::Known(Ha::Armed);
    for of_a in readings(A).into_iter().filter(still) {
        for of_b in views(B, Some(A)).into_iter().chain(views(B, None)) {
            for at_a in epochs() {
                for at_b in epochs() {
                    for hears in HEARS {
                        let roles = both_decide([&of_a, &of_b], [&at_a, &at_b], hears, [&said, &nothing]);
                        // Without a majority of its own b may only be wrong about itself where it does not act on it.
                        assert_ne!(
                            roles,
                            [Role::Active, Role::Active],
                            "{of_a:?} {of_b:?} {at_a:?} {at_b:?}"
                        );
                        taken += usize::from(roles[0] == Role::Active);
                    }
                }
            }
        }
    }
    assert!(taken > 0);
}
