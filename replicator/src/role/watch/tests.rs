//! With eyes that see what a test has written down for them.

use std::sync::Arc;

use super::*;
use crate::role::observation::Glance;
use crate::role::observation::Owner;
use crate::role::observation::Quorum;
use crate::role::observation::Reading;

/// What there is to see, and how often was looked.
#[derive(Clone)]
struct World {
    reading: Reading,
    epoch: Seen<Option<Epoch>>,
    peer: PeerSaid,
    by_hand: Seen<Option<Override>>,
    observed: u32,
    glanced: u32,
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
}

fn names() -> Names {
    Names { here: "a".to_string(), peer: "b".to_string() }
}

fn epoch(number: u64, holder: &str) -> Seen<Option<Epoch>> {
    Seen::Known(Some(Epoch { number, holder: holder.to_string() }))
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
    }
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
        ("the epoch is gone", |world| world.epoch = Seen::Known(None)),
        ("somebody was promoted here", |world| world.epoch = epoch(4, "a")),
        ("the epoch cannot be read", |world| world.epoch = Seen::unknown("suspended")),
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
