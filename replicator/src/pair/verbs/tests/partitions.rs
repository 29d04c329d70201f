//! The network to the other node breaks at each call that a verb makes to it: before the call gets there, or after it was
//! done and before its answer is back; for this one call, or until the verb has ended. Then the verb is asked for again. In
//! between, at every change of either node, the laws hold.

use std::collections::BTreeSet;

use zfs_core::Guid;

use super::*;
use crate::host::PropertySource;
use crate::model::Content;
use crate::model::Effect;
use crate::model::Machine;

/// What must hold whatever breaks.
struct Laws {
    /// The snapshots that a machine had at first: none is destroyed (I1), so what both have in common stays (I2, I5).
    snapshots: Vec<(&'static str, BTreeSet<Guid>)>,
    /// What the datasets of a machine had in them at first: no write is lost of sight.
    content: Vec<(&'static str, Vec<(Guid, Content)>)>,
    /// The highest epoch of each machine so far.
    epochs: BTreeMap<&'static str, u64>,
}

const NODES: [&str; 2] = ["a", "b"];

fn guids(machine: &Machine) -> BTreeSet<Guid> {
    machine.datasets().flat_map(|(_, found)| found.snapshots.iter().map(|snap| snap.guid)).collect()
}

fn contents(machine: &Machine) -> Vec<(Guid, Content)> {
    let written = machine.datasets().filter(|(_, found)| !found.content.is_empty());
    written.map(|(_, found)| (found.guid, found.content.clone())).collect()
}

/// Of the root of a machine; none while a rejoin has it aside.
fn epoch(machine: &Machine) -> Option<Epoch> {
    machine.dataset(&name(ROOT))?;
    let property = machine.property(&name(ROOT), marks::EPOCH)?;
    (property.source == PropertySource::Local).then(|| Epoch::read(&property.value).expect("an epoch"))
}

impl Laws {
    /// `writes` are the machines whose datasets have what is nowhere else.
    fn of(case: &Case, writes: &[&'static str]) -> Self {
        let machines = case.world.machines();
        Self {
            snapshots: NODES.map(|on| (on, guids(&machines[on]))).into(),
            content: writes.iter().map(|on| (*on, contents(&machines[*on]))).collect(),
            epochs: BTreeMap::new(),
        }
    }

    fn hold(&mut self, machines: &BTreeMap<String, Machine>, at: &str) {
        for (on, before) in &self.snapshots {
            let now = guids(&machines[*on]);
            assert!(before.is_subset(&now), "a snapshot of {on} is gone after {at}");
        }
        for (on, before) in &self.content {
            let now = contents(&machines[*on]);
            assert!(before.iter().all(|one| now.contains(one)), "what {on} wrote is gone after {at}");
        }
        let known: Vec<_> = NODES.iter().filter_map(|on| Some((*on, epoch(&machines[*on])?))).collect();
        for (on, epoch) in &known {
            let highest = self.epochs.entry(*on).or_default();
            assert!(epoch.number >= *highest, "the epoch of {on} went back after {at}");
            *highest = epoch.number;
        }
        if let [(_, a), (_, b)] = known.as_slice() {
            assert!(a.number != b.number || a.holder == b.holder, "{a:?} and {b:?} after {at}");
        }
    }

    /// Also what depends on the change itself: nothing is received by who has the service (I6).
    fn watch(&mut self, effect: &Effect<'_>) {
        let Effect { number, machine, name, machines } = effect;
        let at = format!("{number}: {machine}: {name}");
        self.hold(machines, &at);
        let held = epoch(&machines[*machine]).is_some_and(|epoch| epoch.holder.as_str() == *machine);
        assert!(!held || !name.starts_with("receive "), "{at}");
    }
}

/// Runs a verb with the network to `far` broken at each of its calls, and again until it comes to its end. `end` looks at
/// what there is after each success.
fn at_every_call<T: std::fmt::Debug>(
    case: impl Fn() -> Case,
    (far, writes): (&str, &[&'static str]),
    verb: impl Fn(&Case) -> Result<T, VerbError>,
    between: impl Fn(&Case),
    end: impl Fn(&Case),
) {
    let whole = case();
    whole.world.restart();
    verb(&whole).unwrap_or_else(|error| panic!("{error}"));
    let calls = whole.world.calls_to(far);
    assert!(calls > 2, "it hardly asks the other node: {calls} calls");
    end(&whole);
    let mut failed = 0;
    let ways =
        [(Moment::Before, 1), (Moment::Before, u64::MAX), (Moment::After, 1), (Moment::After, u64::MAX)];
    for (call, (moment, many)) in (1..=calls).flat_map(|call| ways.map(|way| (call, way))) {
        let case = case();
        case.world.restart();
        let mut laws = Laws::of(&case, writes);
        laws.hold(&case.world.machines(), "nothing");
        case.world.watch(move |effect| laws.watch(effect));
        case.world.inject(Fault::Partition { machine: far.to_string(), call, moment, calls: many });
        let broken = verb(&case);
        case.world.all_struck();
        match broken {
            // It was tried again, or not needed. Success is success (I7).
            Ok(_) => end(&case),
            Err(_) => failed += 1,
        }
        between(&case);
        case.world.restart();
        verb(&case).unwrap_or_else(|error| {
            panic!("{moment:?} call {call}, {many} calls: {error}\n{:?}", case.world.log())
        });
        end(&case);
        case.world.restart();
        verb(&case).unwrap_or_else(|error| panic!("once more after {moment:?} call {call}: {error}"));
        assert_eq!(case.world.effects(), 0, "{:?}", case.world.log());
    }
    println!("{calls} calls, {failed} of {} times the verb was broken off", 4 * calls);
}

/// `a` has snapshots and writes that `b` lacks.
fn written() -> Case {
    let case = Case::new();
    for block in 10..40 {
        case.write("a", ROOT, block, block);
    }
    case.snapshot("a", "2");
    case.write("a", CHILD, 3, 3);
    case.snapshot("a", "3");
    case
}

/// The newest snapshot of both datasets is on both nodes, and so is the one that they had in common first.
fn has_all(case: &Case) {
    for dataset in [ROOT, CHILD] {
        let of = |on: &str| {
            case.world.on(on, |machine| {
                let found = machine.dataset(&name(dataset)).expect("there");
                found.snapshots.iter().map(|snap| (snap.short.clone(), snap.guid)).collect::<Vec<_>>()
            })
        };
        let (a, b) = (of("a"), of("b"));
        assert_eq!(a.last(), b.last(), "{dataset}");
        assert_eq!(
            (a.first(), &a[0].0),
            (b.first(), &"1".to_string()),
            "{dataset}: nothing is sent in full again"
        );
    }
}

#[test]
fn a_send_whose_network_breaks_at_any_call_is_finished_by_the_next_one() {
    at_every_call(
        written,
        ("b", &["a"]),
        |case| case.send("a"),
        |case| assert_eq!(case.mounted("a"), [ROOT, CHILD], "the service went on"),
        |case| {
            has_all(case);
            assert!(case.same(ROOT) && case.same(CHILD));
            assert_eq!((case.epoch("a"), case.epoch("b")), ((1, "a".to_string()), (1, "a".to_string())));
        },
    );
}

/// The first one, into a node that has nothing.
#[test]
fn a_first_send_whose_network_breaks_at_any_call_is_finished_by_the_next_one() {
    let case = || {
        let world = World::new(11, &NODES);
        world.on("a", |a| {
            a.create_pool("tank");
            for dataset in [ROOT, CHILD] {
                let place = vec![("mountpoint".to_string(), format!("/{dataset}"))];
                a.create(&name(dataset), DatasetKind::Filesystem, &place).expect("create");
                a.write(&name(dataset), 1, 1);
            }
            a.snapshot(&[ROOT, CHILD].map(|dataset| snap(&format!("{dataset}@1")))).expect("snapshot");
        });
        world.on("b", |b| b.create_pool("tank"));
        let case = Case::in_world(world);
        case.promote("a", true).expect("the first promotion");
        case
    };
    at_every_call(
        case,
        ("b", &["a"]),
        |case| case.send("a"),
        |_| (),
        |case| {
            has_all(case);
            assert_eq!(case.epoch("b"), (1, "a".to_string()));
            assert_eq!(case.value("b", ROOT, marks::FIRST), "", "it is known that all of it is there");
        },
    );
}

#[test]
fn a_demotion_whose_last_send_breaks_at_any_call_keeps_all_and_sends_it_later() {
    let case = || {
        let case = written();
        case.write("a", ROOT, 50, 50);
        case
    };
    at_every_call(
        case,
        ("b", &["a"]),
        |case| {
            case.demote("a")?;
            case.send("a")
        },
        |case| {
            // Whether it could be sent or not: nothing is written any more, and what was written is in a snapshot.
            assert_eq!(case.mounted("a"), Vec::<String>::new());
            assert_eq!(case.snapshots("a", ROOT).last().map(String::as_str), Some("handover-1"));
            assert_eq!(case.epoch("a"), (1, "a".to_string()));
        },
        |case| {
            has_all(case);
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
}

/// The agent of the other node takes over, if the word gets there.
fn handed_over(case: &Case) -> Result<u64, VerbError> {
    let given = case.handover("a")?;
    case.world.host("b").about("tank")?;
    promote::take_over(&mut case.node("b"), &[name(ROOT)], given.epoch)?;
    Ok(given.epoch)
}

#[test]
fn a_handover_whose_network_breaks_at_any_call_leaves_one_node_active_and_is_finished_by_the_next_one() {
    let case = || {
        let case = written();
        case.write("a", ROOT, 50, 50);
        case
    };
    at_every_call(
        case,
        ("b", &["a"]),
        handed_over,
        |case| {
            let (a, b) = (case.mounted("a"), case.mounted("b"));
            assert!(a.is_empty() || b.is_empty(), "both write");
            // Before all of it is there this node goes on; then it has given the service away for good.
            match case.epoch("a") {
                (1, _) => assert_eq!(a, [ROOT, CHILD], "nobody has the service"),
                (2, holder) => {
                    assert_eq!(holder, "b");
                    assert!(a.is_empty() && case.same(ROOT) && case.same(CHILD));
                }
                other => panic!("{other:?}"),
            }
        },
        |case| {
            assert_eq!((case.epoch("a"), case.epoch("b")), ((2, "b".to_string()), (2, "b".to_string())));
            assert_eq!((case.mounted("a"), case.mounted("b")), (vec![], vec![ROOT.into(), CHILD.into()]));
            has_all(case);
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
}

#[test]
fn a_promotion_whose_network_breaks_at_any_call_is_one_without_the_other_node() {
    let case = || {
        let case = written();
        case.send("a").expect("sent");
        case.demote("a").expect("demoted");
        case.send("a").expect("sent");
        case
    };
    at_every_call(
        case,
        ("a", &["a", "b"]),
        |case| case.promote("b", false),
        |case| assert!(case.mounted("a").is_empty()),
        |case| {
            assert_eq!(case.epoch("b"), (2, "b".to_string()));
            assert_eq!(case.mounted("b"), [ROOT, CHILD]);
            // It is told of it where that is possible.
            let known = case.epoch("a");
            assert!([(1, "a".to_string()), (2, "b".to_string())].contains(&known), "{known:?}");
        },
    );
}

/// With a network that works it would have waited for what the other node has: what it lacks is kept there.
#[test]
fn a_promotion_that_could_not_ask_for_what_it_lacks_costs_nothing_that_was_written() {
    let case = || {
        let case = written();
        case.demote("a").expect("demoted");
        case
    };
    let whole = case();
    whole.world.restart();
    assert!(matches!(refused(whole.promote("b", false)), Refused::Behind { .. }));
    let calls = whole.world.calls_to("a");
    let (mut away, mut waited) = (0, 0);
    for call in 1..=calls {
        let case = case();
        case.world.restart();
        let mut laws = Laws::of(&case, &["a"]);
        case.world.watch(move |effect| laws.watch(effect));
        let machine = "a".to_string();
        case.world.inject(Fault::Partition { machine, call, moment: Moment::Before, calls: u64::MAX });
        match case.promote("b", false) {
            Ok(promoted) => {
                away += 1;
                assert_eq!(promoted.epoch, 2);
                case.write("b", ROOT, 60, 60);
                case.world.restart();
                // The old one comes back: it sends nothing, follows, and keeps what it had.
                assert!(case.send("a").expect_err("refused").to_string().contains("epoch 2 of b"));
                case.world.restart();
                assert_eq!(case.rejoin("a").expect("follows").kept.len(), 2);
                assert_eq!(case.snapshots("a", "tank/data-divergent-1"), ["2", "3"]);
                case.snapshot("b", "4");
                case.send("b").expect("goes on from what both have");
                assert!(case.same(ROOT) && case.same(CHILD));
            }
            Err(error) => {
                waited += 1;
                assert!(error.to_string().contains("lacks"), "{error}");
            }
        }
        case.world.all_struck();
    }
    assert!(away > 0, "{waited} times of {calls} it was known what is missing");
}

/// Both have gone on: what `a` wrote since is kept, and it follows.
fn split() -> Case {
    let case = written();
    case.write("a", CHILD, 51, 51);
    case.promote_alone("b").expect("promoted");
    case.write("b", ROOT, 60, 60);
    case.snapshot("b", "4");
    case
}

#[test]
fn a_rejoin_whose_network_breaks_at_any_call_is_finished_by_the_next_one() {
    at_every_call(
        split,
        ("b", &["a", "b"]),
        |case| case.rejoin("a"),
        |_| (),
        |case| {
            assert_eq!(case.epoch("a"), (2, "b".to_string()));
            assert_eq!(case.value("a", ROOT, marks::REJOIN), "", "and it is finished");
            assert!(case.datasets("a").contains(&"tank/data-divergent-1".to_string()));
            assert_eq!((case.snapshots("a", ROOT), case.mounted("a")), (vec!["1".to_string()], vec![]));
        },
    );
}

#[test]
fn the_first_send_after_a_rejoin_whose_network_breaks_at_any_call_is_finished_by_the_next_one() {
    let case = || {
        let case = split();
        case.rejoin("a").expect("follows");
        case
    };
    at_every_call(
        case,
        ("a", &["b"]),
        |case| case.send("b"),
        |case| assert!(case.datasets("a").contains(&"tank/data/x-divergent-1".to_string())),
        |case| {
            has_all(case);
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
}
