//! Every combination of what can be observed, and every pair of nodes in a world that can be.

use jiff::Timestamp;

use super::*;
use crate::role::observation::Override;

/// The nodes of all tests.
const A: &str = "a";
const B: &str = "b";

fn names(here: &str) -> Names {
    let peer = if here == A { B } else { A };
    Names { here: here.to_string(), peer: peer.to_string() }
}

fn epoch(number: u64, holder: &str) -> Option<Epoch> {
    Some(Epoch { number, holder: holder.to_string() })
}

fn unknown<T>() -> Seen<T> {
    Seen::unknown("it was not said")
}

fn node(name: &str) -> Owner {
    Owner::Node(name.to_string())
}

/// An observation of node a, with the service here and promoted, and the other one following.
fn active() -> Observation {
    Observation {
        reading: Reading {
            owner: Seen::Known(Owner::Here),
            moving: Seen::Known(false),
            quorum: Seen::Known(Quorum::Quorate),
            ha: Seen::Known(Ha::Armed),
        },
        peer: PeerSaid::Answered { role: Seen::Known(Role::Standby), epoch: Seen::Known(epoch(1, A)) },
        epoch: Seen::Known(epoch(1, A)),
        by_hand: Seen::Known(None),
    }
}

/// An observation of node b of the same world.
fn standby() -> Observation {
    let mut seen = active();
    seen.reading.owner = Seen::Known(node(A));
    seen.peer = PeerSaid::Answered { role: Seen::Known(Role::Active), epoch: Seen::Known(epoch(1, A)) };
    seen
}

fn by_hand(role: Role) -> Seen<Option<Override>> {
    Seen::Known(Some(Override { role, until: Timestamp::UNIX_EPOCH }))
}

fn of(here: &str, seen: &Observation) -> Verdict {
    decide(&names(here), std::slice::from_ref(seen), Purpose::Run)
}

/// Every epoch that a pool of node a or b may have.
fn epochs() -> Vec<Seen<Option<Epoch>>> {
    let known = [None, epoch(1, A), epoch(1, B), epoch(2, A), epoch(2, B), epoch(2, "c")];
    known.into_iter().map(Seen::Known).chain([unknown()]).collect()
}

fn readings(here: &str) -> Vec<Reading> {
    let owners = [Owner::Here, node(&names(here).peer), node("c"), Owner::Nowhere].map(Seen::Known);
    let mut all = Vec::new();
    for owner in owners.into_iter().chain([unknown()]) {
        for moving in [Seen::Known(false), Seen::Known(true), unknown()] {
            for quorum in [
                Seen::Known(Quorum::Quorate),
                Seen::Known(Quorum::Lost),
                Seen::Known(Quorum::NoSuch),
                unknown(),
            ] {
                for ha in
                    [Seen::Known(Ha::Armed), Seen::Known(Ha::Disarmed), Seen::Known(Ha::NoHa), unknown()]
                {
                    all.push(Reading {
                        owner: owner.clone(),
                        moving: moving.clone(),
                        quorum: quorum.clone(),
                        ha,
                    });
                }
            }
        }
    }
    all
}

const ROLES: [Role; 4] = [Role::Active, Role::Standby, Role::Isolated, Role::Unknown];

fn answers() -> Vec<PeerSaid> {
    let mut all = vec![PeerSaid::NotAsked, PeerSaid::Unreachable("no route".to_string())];
    for role in ROLES.map(Seen::Known).into_iter().chain([unknown()]) {
        all.extend(epochs().into_iter().map(|epoch| PeerSaid::Answered { role: role.clone(), epoch }));
    }
    all
}

fn words() -> Vec<Seen<Option<Override>>> {
    ROLES.map(by_hand).into_iter().chain([Seen::Known(None), unknown()]).collect()
}

/// Every observation of node a: the product of all that each part may be.
fn everything(mut check: impl FnMut(&Observation)) -> usize {
    let mut count = 0;
    for reading in readings(A) {
        for peer in answers() {
            for epoch in epochs() {
                for by_hand in words() {
                    check(&Observation {
                        reading: reading.clone(),
                        peer: peer.clone(),
                        epoch: epoch.clone(),
                        by_hand,
                    });
                    count += 1;
                }
            }
        }
    }
    count
}

#[test]
fn whatever_is_observed_no_node_is_active_that_must_not_be() {
    let mut found = [0_usize; 4];
    let count = everything(|seen| {
        let verdict = of(A, seen);
        found[verdict.role as usize] += 1;
        assert!(!verdict.reasons.is_empty(), "{seen:?}");
        assert!(verdict.reasons.iter().all(|reason| !reason.text.is_empty()), "{verdict:?}");
        let ours = seen.epoch.known().and_then(Option::as_ref);
        let theirs = match &seen.peer {
            PeerSaid::Answered { epoch, .. } => epoch.known().and_then(Option::as_ref),
            _ => None,
        };
        let said = seen.by_hand.known().and_then(Option::as_ref).map(|said| said.role);
        let reading = &seen.reading;
        let works = matches!(reading.quorum.known(), Some(Quorum::Quorate | Quorum::NoSuch));
        let elsewhere = matches!(reading.owner.known(), Some(Owner::Node(_)));
        let both = matches!((ours, theirs), (Some(ours), Some(theirs)) if ours.number == theirs.number && ours.holder != theirs.holder);
        let higher = matches!((ours, theirs), (Some(ours), Some(theirs)) if ours.number < theirs.number);
        if verdict.role == Role::Active {
            assert_eq!(ours.map(|epoch| &*epoch.holder), Some(A), "{seen:?}");
            assert!(!both && !higher, "{seen:?}");
            assert!(
                !matches!(seen.peer, PeerSaid::Answered { role: Seen::Known(Role::Active), .. }),
                "{seen:?}"
            );
            assert_eq!(verdict.remedy, Remedy::Nothing);
            match said {
                // A person's word goes beyond what a cluster does not know, never against what it does.
                Some(role) => assert!(role == Role::Active && !(works && elsewhere), "{seen:?}"),
                None => {
                    assert!(works, "{seen:?}");
                    assert_eq!(reading.owner, Seen::Known(Owner::Here));
                    assert_eq!(reading.moving, Seen::Known(false));
                    assert!(matches!(reading.ha.known(), Some(Ha::Armed | Ha::NoHa)), "{seen:?}");
                }
            }
        }
        if both {
            assert_eq!((verdict.role, verdict.remedy), (Role::Isolated, Remedy::Choose), "{seen:?}");
        }
        if higher && ours.is_some_and(|epoch| epoch.holder == A) {
            assert_eq!((verdict.role, verdict.remedy), (Role::Isolated, Remedy::Rejoin), "{seen:?}");
        }
        // A doubt about anything of this node's own is never an answer, unless the epochs alone are enough.
        let doubtful =
            reading.owner.why().or(reading.moving.why()).or(reading.quorum.why()).or(reading.ha.why());
        let doubtful = (doubtful.is_some() && said.is_none())
            || seen.epoch.why().is_some()
            || seen.by_hand.why().is_some();
        if doubtful
            && !both
            && !(higher && ours.is_some_and(|epoch| epoch.holder == A))
            && said != Some(Role::Isolated)
        {
            assert_eq!(verdict.role, Role::Unknown, "{seen:?}");
        }
        let lost = reading.quorum == Seen::Known(Quorum::Lost);
        if lost && said.is_none() {
            assert!(matches!(verdict.role, Role::Unknown | Role::Isolated), "{seen:?}");
        }
        // The node that was promoted never becomes a target by itself.
        if ours.is_some_and(|epoch| epoch.holder == A) {
            assert_ne!(verdict.role, Role::Standby, "{seen:?}");
        }
    });
    assert_eq!(count, 5 * 3 * 4 * 4 * (2 + 5 * 7) * 7 * 6);
    // Each role was met, or the test says nothing.
    assert!(found.iter().all(|found| *found > 0), "{found:?}");
    // Being moved is a doubt of the timer's only.
    everything(|seen| {
        let still = Observation {
            reading: Reading { moving: Seen::Known(false), ..seen.reading.clone() },
            ..seen.clone()
        };
        if seen.reading.moving == Seen::Known(true) {
            let change = decide(&names(A), std::slice::from_ref(seen), Purpose::Change);
            assert_eq!(change, of(A, &still), "{seen:?}");
        }
    });
}

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
    Observation { reading: reading.clone(), peer, epoch: epoch.clone(), by_hand: by_hand.clone() }
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
            PeerSaid::Answered { role: Seen::Known(alone(other)), epoch: epochs[other].clone() }
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

/// A case by name: the node, what makes it differ from the usual, and what is to come of it.
type Case = (&'static str, &'static str, Box<dyn Fn(&mut Observation)>, Role, Remedy, &'static str);

fn case(
    name: &'static str,
    here: &'static str,
    change: impl Fn(&mut Observation) + 'static,
    role: Role,
    remedy: Remedy,
    says: &'static str,
) -> Case {
    (name, here, Box::new(change), role, remedy, says)
}

fn answer(role: Role, epoch: Option<Epoch>) -> PeerSaid {
    PeerSaid::Answered { role: Seen::Known(role), epoch: Seen::Known(epoch) }
}

#[test]
fn days_in_the_life_of_a_pair() {
    let gone = || PeerSaid::Unreachable("no route to host".to_string());
    let cases = [
        case("all is well", A, |_| {}, Role::Active, Remedy::Nothing, "the service is here"),
        case("all is well there", B, |_| {}, Role::Standby, Remedy::Nothing, "the service is on a"),
        case("the other one is off", A, move |o| o.peer = gone(), Role::Active, Remedy::Nothing, "no route"),
        case(
            "never promoted",
            A,
            |o| {
                o.epoch = Seen::Known(None);
                o.peer = answer(Role::Standby, None);
            },
            Role::Standby,
            Remedy::Promote,
            "was not promoted",
        ),
        case(
            "the cluster has moved it here, and nobody has promoted",
            B,
            |o| {
                o.reading.owner = Seen::Known(Owner::Here);
                o.peer = PeerSaid::Unreachable("off".into());
            },
            Role::Standby,
            Remedy::Promote,
            "was not promoted: it has the epoch 1 of a",
        ),
        case(
            "cut off from the majority, the container still running here",
            A,
            |o| {
                o.reading.quorum = Seen::Known(Quorum::Lost);
                o.peer = PeerSaid::Unreachable("cut".into());
            },
            Role::Unknown,
            Remedy::Wait,
            "cut off from the majority",
        ),
        case(
            "cut off from the cluster, and the other one has taken over",
            A,
            |o| {
                o.reading.quorum = Seen::Known(Quorum::Lost);
                o.peer = answer(Role::Active, epoch(2, B));
            },
            Role::Isolated,
            Remedy::Rejoin,
            "b has taken over",
        ),
        case(
            "the old master comes back",
            A,
            |o| {
                o.reading.owner = Seen::Known(node(B));
                o.peer = answer(Role::Active, epoch(2, B));
            },
            Role::Isolated,
            Remedy::Rejoin,
            "this node still has 1 of a",
        ),
        case(
            "the old master comes back and does not reach the new one",
            A,
            |o| {
                o.reading.owner = Seen::Known(node(B));
                o.peer = PeerSaid::Unreachable("cut".into());
            },
            Role::Isolated,
            Remedy::Handover,
            "nobody is known to have taken over",
        ),
        case(
            "it has rejoined",
            A,
            |o| {
                o.reading.owner = Seen::Known(node(B));
                o.epoch = Seen::Known(epoch(2, B));
                o.peer = answer(Role::Active, epoch(2, B));
            },
            Role::Standby,
            Remedy::Nothing,
            "the service is on b",
        ),
        case(
            "both promoted to the same number, seen by one",
            A,
            |o| o.peer = answer(Role::Active, epoch(1, B)),
            Role::Isolated,
            Remedy::Choose,
            "both nodes were promoted to epoch 1",
        ),
        case(
            "and by the other",
            B,
            |o| {
                o.epoch = Seen::Known(epoch(1, B));
                o.reading.owner = Seen::Known(Owner::Here);
            },
            Role::Isolated,
            Remedy::Choose,
            "both nodes were promoted to epoch 1",
        ),
        case(
            "an old master that does not know yet still takes itself for active",
            A,
            |o| {
                o.epoch = Seen::Known(epoch(2, A));
                o.peer = answer(Role::Active, epoch(1, B));
            },
            Role::Unknown,
            Remedy::Wait,
            "for active too",
        ),
        case(
            "HA is disarmed",
            A,
            |o| o.reading.ha = Seen::Known(Ha::Disarmed),
            Role::Unknown,
            Remedy::Wait,
            "HA is disarmed",
        ),
        case(
            "moved by people only",
            A,
            |o| o.reading.ha = Seen::Known(Ha::NoHa),
            Role::Active,
            Remedy::Nothing,
            "by people only",
        ),
        case(
            "pvesh hangs",
            A,
            |o| o.reading.owner = Seen::unknown("pvesh: no answer in 5 s"),
            Role::Unknown,
            Remedy::Wait,
            "no answer in 5 s",
        ),
        case(
            "the guest is migrating",
            A,
            |o| o.reading.moving = Seen::Known(true),
            Role::Unknown,
            Remedy::Wait,
            "is being moved",
        ),
        case(
            "on a third node",
            A,
            |o| o.reading.owner = Seen::Known(node("c")),
            Role::Unknown,
            Remedy::Look,
            "not of this pair",
        ),
        case(
            "stopped everywhere, here it was last",
            A,
            |o| o.reading.owner = Seen::Known(Owner::Nowhere),
            Role::Isolated,
            Remedy::Handover,
            "the service is nowhere",
        ),
        case(
            "stopped everywhere, the other one had it",
            B,
            |o| o.reading.owner = Seen::Known(Owner::Nowhere),
            Role::Standby,
            Remedy::Nothing,
            "the service is nowhere",
        ),
        case(
            "a new disk where the service is",
            A,
            |o| {
                o.epoch = Seen::Known(None);
                o.peer = answer(Role::Standby, epoch(1, A));
            },
            Role::Standby,
            Remedy::Look,
            "is not the one that was promoted",
        ),
        case(
            "the same, seen by the other",
            B,
            |o| o.peer = answer(Role::Standby, None),
            Role::Unknown,
            Remedy::Look,
            "the pool there is not the one",
        ),
        case(
            "a new disk on the standby",
            A,
            |o| o.peer = answer(Role::Standby, None),
            Role::Active,
            Remedy::Nothing,
            "the epoch 1 of a",
        ),
        case(
            "the same, seen by itself",
            B,
            |o| o.epoch = Seen::Known(None),
            Role::Standby,
            Remedy::Nothing,
            "no epoch",
        ),
        case(
            "a promotion that was cut off",
            A,
            |o| o.epoch = Seen::unknown("tank/a has 2 and tank/b 1"),
            Role::Unknown,
            Remedy::Wait,
            "tank/b",
        ),
        case(
            "the other one's pool is suspended",
            A,
            |o| {
                o.peer =
                    PeerSaid::Answered { role: Seen::Known(Role::Unknown), epoch: Seen::unknown("suspended") }
            },
            Role::Active,
            Remedy::Nothing,
            "the service is here",
        ),
        case(
            "the cluster is gone for good, and a person says so",
            A,
            |o| {
                o.reading = Reading::unknown("pmxcfs is not mounted");
                o.by_hand = by_hand(Role::Active);
                o.peer = PeerSaid::Unreachable("off".into());
            },
            Role::Active,
            Remedy::Nothing,
            "active was set by hand",
        ),
        case(
            "a person says so, and it is not true",
            B,
            |o| o.by_hand = by_hand(Role::Active),
            Role::Unknown,
            Remedy::Look,
            "and the service is on a",
        ),
        case(
            "a person says so of a node that was not promoted",
            B,
            |o| {
                o.reading = Reading::unknown("x");
                o.by_hand = by_hand(Role::Active);
                o.peer = PeerSaid::NotAsked;
            },
            Role::Standby,
            Remedy::Promote,
            "was not promoted",
        ),
        case(
            "a person pauses it",
            A,
            |o| o.by_hand = by_hand(Role::Unknown),
            Role::Unknown,
            Remedy::Wait,
            "set by hand",
        ),
        case(
            "whether a person has said something cannot be read",
            A,
            |o| o.by_hand = Seen::unknown("the clock was set back"),
            Role::Unknown,
            Remedy::Wait,
            "the clock was set back",
        ),
    ];
    for (name, here, change, role, remedy, says) in &cases {
        let mut seen = if *here == A { active() } else { standby() };
        change(&mut seen);
        let verdict = of(here, &seen);
        assert_eq!((verdict.role, verdict.remedy), (*role, *remedy), "{name}: {verdict:?}");
        assert!(verdict.reasons.iter().any(|reason| reason.text.contains(says)), "{name}: {verdict:?}");
        assert!(!verdict.remedy.text("nfs", &names(here)).is_empty());
    }
}

#[test]
fn observations_that_differ_are_none() {
    let (one, mut other) = (active(), active());
    other.reading.owner = Seen::Known(node(B));
    let verdict = decide(&names(A), &[one.clone(), one.clone(), other], Purpose::Run);
    assert_eq!((verdict.role, verdict.remedy), (Role::Unknown, Remedy::Wait));
    assert_eq!(verdict.reasons.len(), 1);
    assert_eq!(verdict.reasons[0].about, About::Owner);
    assert!(verdict.reasons[0].text.ends_with("here / here / on b"), "{verdict:?}");
    // Every other part counts as well.
    everything(|seen| {
        if !seen.differs(&one).is_empty() {
            assert_eq!(decide(&names(A), &[one.clone(), seen.clone()], Purpose::Run).role, Role::Unknown);
        }
    });
    assert_eq!(decide(&names(A), &[one.clone(), one.clone(), one], Purpose::Run).role, Role::Active);
    assert_eq!(decide(&names(A), &[], Purpose::Run).role, Role::Unknown);
}
