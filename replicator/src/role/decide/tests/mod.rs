//! Every combination of what can be observed, with what must hold whatever it is.

use jiff::Timestamp;

use super::*;
use crate::role::epochs::Epochs;
use crate::role::observation::Override;

mod days;
mod several;
mod worlds;

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
        peer: PeerSaid::Answered { role: Seen::Known(Role::Standby), epoch: Seen::Known(epoch(1, A)).into() },
        epoch: Seen::Known(epoch(1, A)).into(),
        by_hand: Seen::Known(None),
    }
}

/// An observation of node b of the same world.
fn standby() -> Observation {
    let mut seen = active();
    seen.reading.owner = Seen::Known(node(A));
    seen.peer =
        PeerSaid::Answered { role: Seen::Known(Role::Active), epoch: Seen::Known(epoch(1, A)).into() };
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
        let answer =
            |epoch: Seen<Option<Epoch>>| PeerSaid::Answered { role: role.clone(), epoch: epoch.into() };
        all.extend(epochs().into_iter().map(answer));
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
                        epoch: epoch.clone().into(),
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
        let whole = seen.epoch.all();
        let ours = whole.known().and_then(Option::as_ref);
        let there = match &seen.peer {
            PeerSaid::Answered { epoch, .. } => epoch.all(),
            _ => unknown(),
        };
        let theirs = there.known().and_then(Option::as_ref);
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
        let doubtful =
            (doubtful.is_some() && said.is_none()) || whole.why().is_some() || seen.by_hand.why().is_some();
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
        // Of a start where the service is already, HA is no doubt either.
        if seen.reading.moving == Seen::Known(true) && seen.reading.ha != Seen::Known(Ha::Disarmed) {
            let change = decide(&names(A), std::slice::from_ref(seen), Purpose::Change);
            assert_eq!(change, of(A, &still), "{seen:?}");
        }
    });
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
