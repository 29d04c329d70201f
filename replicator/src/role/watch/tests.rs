//! With eyes that see what a test has written down for them.

use std::sync::Arc;

use super::*;
use crate::role::observation::Epoch;
use crate::role::observation::Glance;
use crate::role::observation::Owner;
use crate::role::observation::Quorum;
use crate::role::observation::Reading;

/// What there is to see, and how often was looked.
#[derive(Clone)]
struct World {
    reading: Reading,
    epoch: Epochs,
    peer: PeerSaid,
    by_hand: Seen<Option<Override>>,
    observed: u32,
    glanced: u32,
    renewed: u32,
    /// What becomes of the owner with the next looks.
    owners: Vec<Seen<Owner>>,
}

type Shared = Arc<Mutex<World>>;

struct Watched(Shared);

impl Source for Watched {
    fn observe(&mut self, _cancel: &Cancel) -> Reading {
        let mut world = self.0.lock().expect("not poisoned");
        world.observed += 1;
        if !world.owners.is_empty() {
            world.reading.owner = world.owners.remove(0);
        }
        world.reading.clone()
    }

    fn glance(&mut self, _cancel: &Cancel) -> Glance {
        let mut world = self.0.lock().expect("not poisoned");
        world.glanced += 1;
        world.reading.clone().into()
    }

    fn renew(&mut self, _cancel: &Cancel) -> Result<(), String> {
        self.0.lock().expect("not poisoned").renewed += 1;
        Ok(())
    }
}

fn names() -> Names {
    Names { here: "a".to_string(), peer: "b".to_string() }
}

fn of_root(number: u64, holder: &str) -> Seen<Option<Epoch>> {
    Seen::Known(Some(Epoch { number, holder: holder.to_string() }))
}

fn epoch(number: u64, holder: &str) -> Epochs {
    of_root(number, holder).into()
}

/// Of two roots.
fn both(one: Seen<Option<Epoch>>, two: Seen<Option<Epoch>>) -> Epochs {
    Epochs::new([("t/a".to_string(), one), ("t/b".to_string(), two)])
}

fn active() -> Shared {
    let mut reading = Reading::of_owner(Seen::Known(Owner::Here));
    reading.quorum = Seen::Known(Quorum::Quorate);
    Arc::new(Mutex::new(World {
        reading,
        epoch: epoch(3, "a"),
        peer: PeerSaid::Unreachable("it is off".to_string()),
        by_hand: Seen::Known(None),
        observed: 0,
        glanced: 0,
        renewed: 0,
        owners: Vec::new(),
    }))
}

fn eyes(world: &Shared) -> Eyes {
    let of = |world: &Shared| world.clone();
    let (one, two, three) = (of(world), of(world), of(world));
    Eyes {
        source: Box::new(Watched(of(world))),
        epoch: Box::new(move |_| one.lock().expect("not poisoned").epoch.clone()),
        peer: Box::new(move |_| two.lock().expect("not poisoned").peer.clone()),
        by_hand: Box::new(move |_| three.lock().expect("not poisoned").by_hand.clone()),
        keeps: None,
    }
}

/// Those of who works with what is seen; the pools work.
fn renewing(world: &Shared) -> Eyes {
    Eyes { keeps: Some(Box::new(|epochs: &Epochs| epochs.are_of("a"))), ..eyes(world) }
}

const QUICK: Watch = Watch { times: 3, distance: Duration::ZERO, timeout: Duration::from_secs(5) };

fn decided(world: &Shared) -> Decision {
    watch(&mut eyes(world), &names(), &QUICK, Purpose::Run, &Cancel::new()).expect("not interrupted")
}

fn change(world: &Shared, change: impl FnOnce(&mut World)) {
    change(&mut world.lock().expect("not poisoned"));
}

#[test]
fn it_looks_as_often_as_it_has_to() {
    let world = active();
    let decision = decided(&world);
    assert_eq!((decision.verdict.role, decision.observations.len()), (Role::Active, 3));
    change(&world, |world| assert_eq!(world.observed, 3));
    // The service leaves between the second look and the third.
    let away = Owner::Node("b".to_string());
    let owners = [Owner::Here, Owner::Here, away].map(Seen::Known).to_vec();
    change(&world, |world| world.owners = owners);
    let decision = decided(&world);
    assert_eq!((decision.verdict.role, decision.observations.len()), (Role::Unknown, 3));
    // Where one look is enough not to know, the others are left out.
    change(&world, |world| world.reading.owner = Seen::unknown("no answer"));
    let decision = decided(&world);
    assert_eq!((decision.verdict.role, decision.observations.len()), (Role::Unknown, 1));
}

#[test]
fn it_stops_when_the_run_does() {
    let world = active();
    let cancel = Cancel::new();
    let slow = Watch { distance: Duration::from_secs(3600), ..QUICK };
    let result = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&mut eyes(&world), &names(), &slow, Purpose::Run, &cancel));
        while world.lock().expect("not poisoned").observed == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        watching.join().expect("no panic")
    });
    assert!(matches!(result, Err(Interrupted)));
}

fn fence(world: &Shared) -> Fence {
    let decision = decided(world);
    Fence::new(eyes(world), names(), Purpose::Run, &decision, Cancel::new()).expect("it is known")
}

/// As if so much time had gone by.
fn wait(fence: &Fence) {
    fence.state.lock().expect("not poisoned").looked = None;
}

#[test]
fn each_step_looks_again_and_those_that_begin_together_share_a_look() {
    let world = active();
    let fence = fence(&world);
    assert_eq!(fence.role(), Role::Active);
    change(&world, |world| assert_eq!(world.glanced, 0));
    for _ in 0..100 {
        fence.check().expect("nothing has changed");
    }
    change(&world, |world| assert!((1..=20).contains(&world.glanced), "{}", world.glanced));
    let before = world.lock().expect("not poisoned").glanced;
    wait(&fence);
    fence.check().expect("nothing has changed");
    change(&world, |world| assert_eq!((world.glanced, world.observed), (before + 1, 3)));
}

#[test]
fn whatever_changes_stops_the_run_for_good() {
    type Change = fn(&mut World);
    let until = Timestamp::UNIX_EPOCH;
    let said = |role| Seen::Known(Some(Override { role, until }));
    let changes: [(&str, Change); 8] = [
        ("the service has left", |world| world.reading.owner = Seen::Known(Owner::Node("b".to_string()))),
        ("it is not known where it is", |world| world.reading.owner = Seen::unknown("hangs")),
        ("it is nowhere", |world| world.reading.owner = Seen::Known(Owner::Nowhere)),
        ("the majority is lost", |world| world.reading.quorum = Seen::Known(Quorum::Lost)),
        ("whether there is a majority is not known", |world| world.reading.quorum = Seen::unknown("hangs")),
        ("the epoch is gone", |world| world.epoch = Seen::Known(None).into()),
        ("somebody was promoted here", |world| world.epoch = epoch(4, "a")),
        ("the epoch cannot be read", |world| world.epoch = Seen::unknown("suspended").into()),
    ];
    for (name, what) in changes {
        let world = active();
        let fence = fence(&world);
        fence.check().expect("nothing has changed");
        let before = world.lock().expect("not poisoned").clone();
        change(&world, what);
        wait(&fence);
        let fenced = fence.check().expect_err(name);
        assert!(fenced.was == Role::Active && !fenced.now.is_empty(), "{name}: {fenced}");
        // That it is as it was makes no difference any more.
        change(&world, |world| *world = before);
        wait(&fence);
        assert_eq!(fence.check(), Err(fenced), "{name}");
    }
    for role in [Role::Unknown, Role::Isolated, Role::Standby] {
        let world = active();
        let fence = fence(&world);
        change(&world, |world| world.by_hand = said(role));
        fence.check().expect_err("a person has said something else");
    }
}

#[test]
fn who_only_looks_renews_nothing_and_who_works_does_while_it_can_serve() {
    let world = active();
    let count = || world.lock().expect("not poisoned").renewed;
    let decision = decided(&world);
    let looks = Fence::new(eyes(&world), names(), Purpose::Run, &decision, Cancel::new()).expect("known");
    looks.check().expect("nothing has changed");
    assert_eq!(count(), 0);
    let work = || watch(&mut renewing(&world), &names(), &QUICK, Purpose::Run, &Cancel::new());
    let decision = work().expect("not interrupted");
    assert_eq!(count(), 3);
    let fence = Fence::new(renewing(&world), names(), Purpose::Run, &decision, Cancel::new()).expect("known");
    fence.check().expect("nothing has changed");
    assert_eq!(count(), 4);
    // A pool is gone, or was replaced, or the other node was promoted: it ends by itself.
    for (gone, role) in [
        (both(of_root(3, "a"), Seen::unknown("the pool is suspended")), Role::Active),
        (both(of_root(3, "a"), Seen::Known(None)), Role::Active),
        (both(of_root(4, "a"), of_root(3, "b")), Role::Unknown),
        (epoch(3, "b"), Role::Standby),
        (Seen::unknown("the pool is suspended").into(), Role::Unknown),
    ] {
        change(&world, |world| world.epoch = gone);
        assert_eq!(work().expect("not interrupted").verdict.role, role);
        assert_eq!(count(), 4, "{role}");
    }
}

#[test]
fn a_promotion_goes_on_while_it_raises_the_epochs_and_stops_when_the_service_leaves() {
    let start = || {
        let world = active();
        change(&world, |world| world.epoch = both(of_root(3, "b"), of_root(3, "b")));
        let looked = watch(&mut eyes(&world), &names(), &QUICK, Purpose::Change, &Cancel::new());
        let decision = looked.expect("not interrupted");
        assert!(decision.verdict.may_start() && decision.verdict.role == Role::Standby, "{decision:?}");
        let fence = Fence::new(eyes(&world), names(), Purpose::Change, &decision, Cancel::new());
        (world, fence.expect("it may start"))
    };
    let (world, fence) = start();
    for done in [both(of_root(4, "a"), of_root(3, "b")), both(of_root(4, "a"), of_root(4, "a"))] {
        fence.check().expect("it belongs here");
        change(&world, |world| world.epoch = done);
        wait(&fence);
    }
    fence.check().expect("it belongs here");
    type Change = fn(&mut World);
    let changes: [Change; 4] = [
        |world| world.reading.owner = Seen::Known(Owner::Node("b".to_string())),
        |world| world.reading.quorum = Seen::Known(Quorum::Lost),
        |world| world.epoch = both(of_root(4, "a"), Seen::unknown("the pool is suspended")),
        |world| {
            world.by_hand = Seen::Known(Some(Override { role: Role::Unknown, until: Timestamp::UNIX_EPOCH }));
        },
    ];
    for what in changes {
        let (world, fence) = start();
        fence.check().expect("it belongs here");
        change(&world, what);
        wait(&fence);
        let fenced = fence.check().expect_err("it does not any more");
        assert!(fenced.was == Role::Standby && !fenced.now.is_empty(), "{fenced}");
    }
    // Where it may not be started there is no fence to go by.
    let world = active();
    change(&world, |world| world.reading.owner = Seen::Known(Owner::Node("b".to_string())));
    let looked = watch(&mut eyes(&world), &names(), &QUICK, Purpose::Change, &Cancel::new());
    let decision = looked.expect("not interrupted");
    assert!(Fence::new(eyes(&world), names(), Purpose::Change, &decision, Cancel::new()).is_err());
}

#[test]
fn a_node_that_stops_sends_until_somebody_else_was_promoted() {
    let world = active();
    let looked = watch(&mut eyes(&world), &names(), &QUICK, Purpose::Change, &Cancel::new());
    let decision = looked.expect("not interrupted");
    let fence = Fence::giving(eyes(&world), names(), &decision, Cancel::new()).expect("it may");
    fence.check().expect("it has the service");
    change(&world, |world| world.reading.owner = Seen::Known(Owner::Node("b".to_string())));
    wait(&fence);
    fence.check().expect("nobody has taken over");
    change(&world, |world| world.epoch = epoch(4, "b"));
    wait(&fence);
    fence.check().expect_err("it follows now");
    let decision = decided(&world);
    assert!(Fence::giving(eyes(&world), names(), &decision, Cancel::new()).is_err());
}

#[test]
fn a_run_stops_when_a_root_is_lost_and_the_next_one_goes_on_without_it() {
    let world = active();
    let whole = both(of_root(3, "a"), of_root(3, "a"));
    change(&world, |world| world.epoch = whole.clone());
    let fence = self::fence(&world);
    fence.check().expect("nothing has changed");
    let broken = both(of_root(3, "a"), Seen::unknown("the pool is suspended"));
    change(&world, |world| world.epoch = broken);
    wait(&fence);
    let fenced = fence.check().expect_err("one is lost");
    assert!(fenced.now.contains("t/b is left out"), "{fenced}");
    let next = decided(&world);
    assert_eq!(next.verdict.role, Role::Active);
    assert_eq!(next.verdict.without.iter().map(|one| one.root.as_str()).collect::<Vec<_>>(), ["t/b"]);
    let fence = self::fence(&world);
    fence.check().expect("it is as it was");
    change(&world, |world| world.epoch = whole);
    wait(&fence);
    fence.check().expect_err("it is back, which the next run finds out");
}

#[test]
fn what_was_said_by_hand_counts_until_its_time_is_over() {
    let world = active();
    change(&world, |world| {
        world.reading = Reading::unknown("the cluster is gone");
        world.by_hand = Seen::Known(Some(Override { role: Role::Active, until: Timestamp::UNIX_EPOCH }));
    });
    let fence = fence(&world);
    assert_eq!(fence.role(), Role::Active);
    fence.check().expect("it counts");
    change(&world, |world| world.by_hand = Seen::Known(None));
    wait(&fence);
    let fenced = fence.check().expect_err("its time is over");
    assert!(fenced.to_string().contains("the cluster is gone"), "{fenced}");
}

#[test]
fn a_standby_stays_one_when_the_other_was_promoted_once_more() {
    let world = active();
    change(&world, |world| {
        world.reading.owner = Seen::Known(Owner::Node("b".to_string()));
        world.epoch = epoch(3, "b");
    });
    let fence = fence(&world);
    assert_eq!(fence.role(), Role::Standby);
    change(&world, |world| world.epoch = epoch(4, "b"));
    fence.check().expect("what arrives raises it");
    change(&world, |world| world.reading.owner = Seen::Known(Owner::Here));
    wait(&fence);
    // Still no source, and no target either for long: it is about to be promoted.
    assert_eq!(fence.check(), Ok(()));
    change(&world, |world| world.epoch = epoch(5, "a"));
    wait(&fence);
    assert!(fence.check().expect_err("it is active now").now.starts_with("active"));
}

#[test]
fn without_a_role_there_is_nothing_to_go_by() {
    let world = active();
    change(&world, |world| world.reading.owner = Seen::unknown("pvesh hangs"));
    let decision = decided(&world);
    let fence = Fence::new(eyes(&world), names(), Purpose::Run, &decision, Cancel::new());
    let Err(fenced) = fence else { panic!("nothing is known") };
    assert!(fenced.was == Role::Unknown && fenced.now.contains("pvesh hangs"), "{fenced}");
}
