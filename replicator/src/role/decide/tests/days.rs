//! Days in the life of a pair, each with its role, what to do, and what is said about it.

use super::*;

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

/// Of several roots, `t/1` and so on.
pub(super) fn roots<const N: usize>(all: [Seen<Option<Epoch>>; N]) -> Epochs {
    Epochs::new(all.into_iter().enumerate().map(|(at, one)| (format!("t/{}", at + 1), one)))
}

fn answer(role: Role, epoch: Option<Epoch>) -> PeerSaid {
    PeerSaid::Answered { role: Seen::Known(role), epoch: Seen::Known(epoch).into() }
}

/// No remedy asks for anything to be destroyed, and where a person has to choose it says what each choice costs.
#[test]
fn what_to_do_names_the_verbs_of_the_pair_and_destroys_nothing() {
    let all = [
        Remedy::Nothing,
        Remedy::Wait,
        Remedy::Promote,
        Remedy::Rejoin,
        Remedy::Handover,
        Remedy::Given,
        Remedy::Choose,
        Remedy::Look,
    ];
    for remedy in all {
        let text = remedy.text("nfs", &names(A));
        assert!(!["destroy", "preserve", "rollback"].iter().any(|word| text.contains(word)), "{text}");
    }
    let choose = Remedy::Choose.text("nfs", &names(A));
    let needed =
        ["only a has", "only b has", "`replicator pair status nfs`", "`replicator pair rejoin nfs`", "kept"];
    assert!(needed.iter().all(|part| choose.contains(part)), "{choose}");
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
                o.epoch = Seen::Known(None).into();
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
                o.epoch = Seen::Known(epoch(2, B)).into();
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
                o.epoch = Seen::Known(epoch(1, B)).into();
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
                o.epoch = Seen::Known(epoch(2, A)).into();
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
            "people move it",
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
                o.epoch = Seen::Known(None).into();
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
            |o| o.epoch = Seen::Known(None).into(),
            Role::Standby,
            Remedy::Nothing,
            "no epoch",
        ),
        case(
            "a promotion that was cut off",
            A,
            |o| o.epoch = roots([Seen::Known(epoch(2, A)), Seen::Known(epoch(1, A))]),
            Role::Unknown,
            Remedy::Promote,
            "t/1: 2 of a; t/2: 1 of a",
        ),
        case(
            "the epoch cannot be read",
            A,
            |o| o.epoch = Seen::unknown("it came with a stream").into(),
            Role::Unknown,
            Remedy::Wait,
            "it came with a stream",
        ),
        case(
            "it was handed over to this node, and nobody has promoted",
            B,
            |o| {
                o.reading.owner = Seen::Known(Owner::Here);
                o.peer = answer(Role::Standby, epoch(2, B));
            },
            Role::Standby,
            Remedy::Promote,
            "a has handed it over, in epoch 2 of b",
        ),
        case(
            "the same, where the service was not moved yet",
            B,
            |o| {
                o.reading.owner = Seen::Known(Owner::Nowhere);
                o.peer = answer(Role::Standby, epoch(2, B));
            },
            Role::Standby,
            Remedy::Nothing,
            "this node has the epoch 1 of a",
        ),
        case(
            "the same, seen by the one that gave it away",
            A,
            |o| {
                o.reading.owner = Seen::Known(node(B));
                o.epoch = Seen::Known(epoch(2, B)).into();
                o.peer = answer(Role::Standby, epoch(1, A));
            },
            Role::Standby,
            Remedy::Given,
            "this node has handed it over",
        ),
        case(
            "and it is to be started there again",
            A,
            |o| {
                o.epoch = Seen::Known(epoch(2, B)).into();
                o.peer = answer(Role::Standby, epoch(1, A));
            },
            Role::Standby,
            Remedy::Promote,
            "was not promoted: it has the epoch 2 of b",
        ),
        case(
            "an old disk where the service is, which is more than one promotion behind",
            A,
            |o| {
                o.epoch = Seen::Known(epoch(1, B)).into();
                o.peer = answer(Role::Standby, epoch(3, A));
            },
            Role::Standby,
            Remedy::Look,
            "is not the one that was promoted",
        ),
        case(
            "the other one's pool is suspended",
            A,
            |o| {
                let (role, epoch) = (Seen::Known(Role::Unknown), Seen::unknown("suspended").into());
                o.peer = PeerSaid::Answered { role, epoch };
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
