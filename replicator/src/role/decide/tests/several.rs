//! Pairs with several roots, as most have: promotions and handovers that were cut off between two of them, and roots of which
//! less is known than of the others.

use super::days::roots;
use super::*;

/// How many roots there are.
const ROOTS: usize = 4;

/// All of them in one epoch.
fn all(epoch: &Option<Epoch>) -> Epochs {
    roots([(); ROOTS].map(|()| Seen::Known(epoch.clone())))
}

/// So many of the first ones in one epoch, the rest in another.
fn cut(first: usize, one: &Option<Epoch>, rest: &Option<Epoch>) -> Epochs {
    let mut at = 0;
    roots([(); ROOTS].map(|()| {
        at += 1;
        Seen::Known(if at <= first { one.clone() } else { rest.clone() })
    }))
}

/// The same as another, but for one of them.
fn but(epochs: &Epochs, at: usize, one: &Seen<Option<Epoch>>) -> Epochs {
    let name = format!("t/{at}");
    Epochs::new(epochs.each().map(|(root, epoch)| {
        let epoch = if root == name { one.clone() } else { epoch.clone() };
        (root.to_string(), epoch)
    }))
}

fn says(epochs: Epochs) -> PeerSaid {
    PeerSaid::Answered { role: unknown(), epoch: epochs }
}

/// Node a with the service, or without, with these epochs, and those of the other node.
fn seen(owner: Owner, ours: &Epochs, peer: PeerSaid) -> Observation {
    let mut seen = active();
    seen.reading.owner = Seen::Known(owner);
    (seen.epoch, seen.peer) = (ours.clone(), peer);
    seen
}

fn starts(seen: &Observation) -> Verdict {
    decide(&names(A), std::slice::from_ref(seen), Purpose::Change)
}

fn left_out(verdict: &Verdict) -> Vec<&str> {
    verdict.without.iter().map(|one| one.root.as_str()).collect()
}

/// What the other node may say while this one is promoted.
fn peers(ours: &Epochs) -> Vec<PeerSaid> {
    vec![
        says(ours.clone()),
        says(all(&epoch(1, B))),
        PeerSaid::Unreachable("off".to_string()),
        PeerSaid::NotAsked,
    ]
}

#[test]
fn a_promotion_that_was_cut_off_between_any_two_roots_is_finished_by_the_next_start() {
    for before in [epoch(1, B), None] {
        for first in 1..ROOTS {
            let ours = cut(first, &epoch(2, A), &before);
            for peer in peers(&all(&before)) {
                let seen = seen(Owner::Here, &ours, peer);
                let start = starts(&seen);
                assert!(start.may_start(), "{ours}: {start:?}");
                assert_eq!((start.role, start.remedy), (Role::Standby, Remedy::Promote), "{ours}");
                assert!(start.why().contains("a promotion that was cut off"), "{start:?}");
                // The timer does nothing of it that a promotion has not finished, and says what to do.
                let run = of(A, &seen);
                assert_eq!(run.remedy, Remedy::Promote, "{ours}");
                if before.is_some() {
                    assert_eq!(run.role, Role::Unknown, "{ours}");
                } else {
                    // Roots that were never in any epoch may have been added.
                    assert_eq!((run.role, left_out(&run).len()), (Role::Active, ROOTS - first), "{run:?}");
                }
            }
        }
        // Before the first and after the last root all is as ever.
        let none = seen(Owner::Here, &all(&before), says(all(&before)));
        assert!(starts(&none).may_start() && of(A, &none).role == Role::Standby);
        let done = seen(Owner::Here, &all(&epoch(2, A)), says(all(&before)));
        assert!(starts(&done).may_start() && of(A, &done).role == Role::Active);
    }
}

#[test]
fn roots_that_this_node_holds_in_different_epochs_are_a_promotion_that_was_cut_off() {
    for first in 1..ROOTS {
        let seen = seen(Owner::Here, &cut(first, &epoch(3, A), &epoch(2, A)), PeerSaid::NotAsked);
        assert!(starts(&seen).may_start(), "{:?}", starts(&seen));
        assert_eq!((of(A, &seen).role, of(A, &seen).remedy), (Role::Unknown, Remedy::Promote));
    }
}

#[test]
fn a_handover_or_a_take_over_that_was_cut_off_is_finished_by_a_start_of_either_node() {
    let (before, given) = (epoch(1, B), epoch(2, A));
    // Node a takes over, root by root.
    for first in 0..=ROOTS {
        let seen = seen(Owner::Here, &cut(first, &given, &before), says(all(&given)));
        assert!(starts(&seen).may_start(), "{first}: {:?}", starts(&seen));
    }
    // Node a gives away, root by root, and the service is started on it again, before the other one was promoted.
    let (before, given) = (epoch(1, A), epoch(2, B));
    for first in 1..=ROOTS {
        let ours = cut(first, &given, &before);
        let here = seen(Owner::Here, &ours, says(all(&before)));
        assert!(starts(&here).may_start(), "{first}: {:?}", starts(&here));
        assert_ne!(of(A, &here).role, Role::Active, "{first}");
        // Where the service has left, it may still have to give away the rest.
        let away = of(A, &seen(node(B), &ours, says(all(&before))));
        let expected =
            if first == ROOTS { (Role::Standby, Remedy::Given) } else { (Role::Isolated, Remedy::Handover) };
        assert_eq!((away.role, away.remedy), expected, "{first}: {away:?}");
        // And once the other one was promoted, it follows, with what it has not given.
        let over = of(A, &seen(node(B), &ours, says(all(&given))));
        let expected =
            if first == ROOTS { (Role::Standby, Remedy::Nothing) } else { (Role::Isolated, Remedy::Rejoin) };
        assert_eq!((over.role, over.remedy), expected, "{first}: {over:?}");
    }
}

#[test]
fn a_pool_that_is_gone_keeps_no_other_from_being_snapshotted_and_sent() {
    for at in 1..=ROOTS {
        let ours = but(&all(&epoch(1, A)), at, &Seen::unknown("the pool is suspended"));
        for peer in [says(all(&epoch(1, A))), says(ours.clone()), PeerSaid::Unreachable("off".to_string())] {
            let seen = seen(Owner::Here, &ours, peer);
            let run = of(A, &seen);
            assert_eq!((run.role, run.remedy), (Role::Active, Remedy::Wait), "{run:?}");
            assert_eq!(left_out(&run), [format!("t/{at}")]);
            assert!(run.why().contains("the pool is suspended") && run.without[0].why.contains("suspended"));
            // A service that needs all of them is not started.
            assert!(!starts(&seen).may_start(), "{:?}", starts(&seen));
        }
        // The same on a standby.
        let copy = but(&all(&epoch(1, B)), at, &Seen::unknown("the pool is suspended"));
        let run = of(A, &seen(node(B), &copy, says(all(&epoch(1, B)))));
        assert_eq!((run.role, left_out(&run)), (Role::Standby, vec![&*format!("t/{at}")]), "{run:?}");
    }
    // All of them gone is nothing known.
    let none = seen(Owner::Here, &roots([unknown(), unknown()]), PeerSaid::NotAsked);
    assert_eq!((of(A, &none).role, of(A, &none).without), (Role::Unknown, vec![]));
}

#[test]
fn a_root_whose_pool_is_another_one_is_left_out_and_never_promoted() {
    let whole = all(&epoch(3, A));
    for one in [Seen::Known(None), Seen::Known(epoch(1, B)), Seen::Known(epoch(2, "c"))] {
        let seen = seen(Owner::Here, &but(&whole, 2, &one), says(whole.clone()));
        let run = of(A, &seen);
        assert_eq!((run.role, run.remedy), (Role::Active, Remedy::Look), "{run:?}");
        assert_eq!(left_out(&run), ["t/2"]);
        assert!(!starts(&seen).may_start() && starts(&seen).remedy == Remedy::Look, "{:?}", starts(&seen));
    }
    // Seen by the standby: it has what the active node has lost.
    let ours = all(&epoch(3, B));
    let run = of(A, &seen(node(B), &ours, says(but(&ours, 2, &Seen::Known(None)))));
    assert_eq!((run.role, run.remedy, left_out(&run)), (Role::Standby, Remedy::Look, vec!["t/2"]), "{run:?}");
}

#[test]
fn whoever_was_overtaken_on_one_root_was_on_all() {
    // The promotion of the other node was cut off, or its other pools cannot be looked at.
    for at in 1..=ROOTS {
        let ours = all(&epoch(1, A));
        let newer = Seen::Known(epoch(2, B));
        let most = Epochs::new(all(&epoch(1, A)).each().map(|(root, _)| (root.to_string(), unknown())));
        for theirs in [but(&ours, at, &newer), but(&most, at, &newer)] {
            let seen = seen(Owner::Here, &ours, says(theirs));
            assert_eq!((of(A, &seen).role, of(A, &seen).remedy), (Role::Isolated, Remedy::Rejoin));
            assert!(!starts(&seen).may_start());
            // Also where just that root cannot be looked at here.
            let lost = but(&ours, at, &unknown());
            let seen = Observation { epoch: lost, ..seen };
            assert_eq!((of(A, &seen).role, of(A, &seen).remedy), (Role::Isolated, Remedy::Rejoin));
        }
        let equal = but(&ours, at, &Seen::Known(epoch(1, B)));
        let seen = seen(Owner::Here, &ours, says(equal));
        assert_eq!((of(A, &seen).role, of(A, &seen).remedy), (Role::Isolated, Remedy::Choose));
        assert!(of(A, &seen).why().contains(&format!("t/{at}: both nodes")), "{:?}", of(A, &seen));
    }
}

/// Every epoch of two roots on both nodes: whatever they are, the node is active only for roots that it holds and nobody
/// has taken over.
#[test]
fn no_node_is_active_for_a_root_that_is_not_its_own() {
    let (mut actives, mut parts) = (0_usize, 0_usize);
    for one in epochs() {
        for two in epochs() {
            let ours = roots([one.clone(), two.clone()]);
            let there = epochs()
                .into_iter()
                .flat_map(|one| epochs().into_iter().map(move |two| roots([one.clone(), two])));
            for peer in there.map(says).chain([PeerSaid::NotAsked]) {
                let seen = seen(Owner::Here, &ours, peer);
                for purpose in [Purpose::Run, Purpose::Change] {
                    let verdict = decide(&names(A), std::slice::from_ref(&seen), purpose);
                    assert!(!verdict.reasons.is_empty(), "{seen:?}");
                    if verdict.role != Role::Active {
                        continue;
                    }
                    let counts = |root: &&str| !left_out(&verdict).contains(root);
                    for root in ["t/1", "t/2"].iter().filter(|root| counts(root)) {
                        let held = seen.epoch.of(root).and_then(Seen::known).and_then(Option::as_ref);
                        let held =
                            held.filter(|epoch| epoch.holder == A).unwrap_or_else(|| panic!("{seen:?}"));
                        if let PeerSaid::Answered { epoch, .. } = &seen.peer
                            && let Some(Some(theirs)) = epoch.of(root).and_then(Seen::known)
                        {
                            assert!(theirs.number <= held.number, "{seen:?}");
                        }
                    }
                    assert!(left_out(&verdict).len() < 2, "{seen:?}");
                    assert!(purpose == Purpose::Run || verdict.without.is_empty(), "{seen:?}");
                    actives += 1;
                    parts += verdict.without.len();
                }
            }
        }
    }
    assert!(actives > 100 && parts > 20, "{actives} {parts}");
}

#[test]
fn a_restart_where_the_service_is_needs_no_ha_that_is_armed() {
    let disarmed = |owner, ours: &Epochs, peer| {
        let mut seen = seen(owner, ours, peer);
        seen.reading.ha = Seen::Known(Ha::Disarmed);
        seen
    };
    let (own, follows) = (all(&epoch(2, A)), all(&epoch(2, B)));
    for peer in [says(own.clone()), PeerSaid::Unreachable("off".to_string())] {
        let seen = disarmed(Owner::Here, &own, peer);
        let start = starts(&seen);
        assert!(start.may_start() && start.why().contains("HA is disarmed"), "{start:?}");
        // The timer waits as before.
        assert_eq!((of(A, &seen).role, of(A, &seen).remedy), (Role::Unknown, Remedy::Wait));
    }
    for refused in [
        // It would be a promotion, or one that has to be finished.
        disarmed(Owner::Here, &follows, says(follows.clone())),
        disarmed(Owner::Here, &cut(2, &epoch(3, A), &epoch(2, B)), says(follows.clone())),
        disarmed(node(B), &own, says(own.clone())),
        // The other one was promoted, takes itself for active, or nobody knows anything of a root.
        disarmed(Owner::Here, &own, says(all(&epoch(3, B)))),
        disarmed(
            Owner::Here,
            &own,
            PeerSaid::Answered { role: Seen::Known(Role::Active), epoch: own.clone() },
        ),
        disarmed(Owner::Here, &but(&own, 3, &unknown()), says(own.clone())),
    ] {
        assert!(!starts(&refused).may_start(), "{refused:?}");
    }
}
