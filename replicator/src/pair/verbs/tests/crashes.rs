//! A crash before and after every effect of each verb, on either node.

use super::*;

/// Runs a verb with a crash at each of its effects, again until it comes to its end, and looks at what is there then.
/// `between` looks at what the crash has left.
pub(super) fn after_every_effect<T: std::fmt::Debug>(
    case: impl Fn() -> Case,
    verb: impl Fn(&Case) -> Result<T, VerbError>,
    between: impl Fn(&Case),
    end: impl Fn(&Case),
) {
    let whole = case();
    whole.world.restart();
    verb(&whole).unwrap_or_else(|error| panic!("{error}"));
    end(&whole);
    let effects = whole.world.effects();
    assert!(effects > 0, "it did nothing");
    for effect in 1..=effects {
        for moment in [Moment::Before, Moment::After] {
            let case = case();
            case.world.restart();
            case.world.inject(Fault::Crash { effect, moment });
            // The last effect may be done, and nothing asked for after it.
            let crashed = verb(&case);
            assert!(case.world.crashed(), "{moment:?} {effect}: {crashed:?}");
            case.world.restart();
            between(&case);
            verb(&case)
                .unwrap_or_else(|error| panic!("{moment:?} {effect}: {error}\n{:?}", case.world.log()));
            end(&case);
            case.world.restart();
            verb(&case).unwrap_or_else(|error| panic!("once more after {moment:?} {effect}: {error}"));
            assert_eq!(case.world.effects(), 0, "{:?}", case.world.log());
        }
    }
}

#[test]
fn a_promotion_that_breaks_off_is_finished_by_the_next_one() {
    // Something to throw away, and something to keep.
    let case = || {
        let case = Case::new();
        case.write("a", ROOT, 2, 2);
        for block in 10..60 {
            case.write("a", ROOT, block, block);
        }
        case.snapshot("a", "2");
        case.world.inject(Fault::Cut { bytes: 4000 });
        let (mut there, root) = (case.world.host("b"), name(ROOT));
        let (options, cancel) = (Options::default(), Cancel::new());
        let run = Run { backoff: Backoff { attempts: 1, ..quick().backoff }, ..quick() };
        let how = send::Sending {
            options: &options,
            run: &run,
            locks: &BTreeMap::new(),
            observer: &Quiet,
            cancel: &cancel,
            now: 0,
        };
        let who = (1, &node_name("a"), &node_name("b"));
        let sent = send::send(case.node("a").host(), &mut there, &root, who, &how);
        assert!(sent.is_err(), "the line was cut");
        case.write("b", CHILD, 7, 7);
        assert!(case.world.on("b", |b| b.dataset(&name(ROOT)).expect("there").has_partial()), "kept");
        case
    };
    after_every_effect(
        case,
        |case| case.promote_alone("b"),
        |case| {
            // Nobody writes before the epoch is written down.
            let writable = case.value("b", ROOT, "readonly") == "off";
            assert!(!writable || case.epoch("b") == (2, "b".to_string()), "{:?}", case.epoch("b"));
        },
        |case| {
            assert_eq!(case.epoch("b"), (2, "b".to_string()));
            assert_eq!(case.mounted("b"), [ROOT, CHILD]);
            assert!(!case.world.on("b", |b| b.dataset(&name(ROOT)).expect("there").has_partial()));
            assert_eq!(case.snapshots("b", CHILD).last().map(String::as_str), Some("divergent-2"));
        },
    );
}

#[test]
fn a_demotion_that_breaks_off_is_finished_by_the_next_one() {
    let case = || {
        let case = Case::new();
        case.write("a", ROOT, 2, 2);
        case.write("a", CHILD, 2, 2);
        case
    };
    after_every_effect(
        case,
        |case| case.demote("a"),
        |case| {
            // A snapshot is taken of what nobody can change any more.
            let taken = case.snapshots("a", ROOT).len() + case.snapshots("a", CHILD).len() > 2;
            assert!(!taken || case.value("a", ROOT, "readonly") == "on" && case.mounted("a").is_empty());
        },
        |case| {
            for dataset in [ROOT, CHILD] {
                assert_eq!(case.snapshots("a", dataset), ["1", "handover-1"]);
            }
            assert_eq!(case.mounted("a"), Vec::<String>::new());
            assert_eq!(case.epoch("a"), (1, "a".to_string()));
        },
    );
}

#[test]
fn a_handover_that_breaks_off_is_finished_by_the_next_one() {
    let case = || {
        let case = Case::new();
        case.write("a", ROOT, 2, 2);
        case.snapshot("a", "2");
        case.write("a", CHILD, 3, 3);
        case
    };
    after_every_effect(
        case,
        |case| case.handover("a"),
        |case| {
            // The epoch is given away only when all is there.
            let given = case.epoch("a") == (2, "b".to_string());
            assert!(!given || case.same(ROOT) && case.same(CHILD));
        },
        |case| {
            assert_eq!(case.epoch("a"), (2, "b".to_string()));
            assert!(case.same(ROOT) && case.same(CHILD));
            assert_eq!(case.mounted("a"), Vec::<String>::new());
        },
    );
}

/// Both have gone on: what `a` wrote since is kept, and it follows.
#[test]
fn a_rejoin_that_breaks_off_is_finished_by_the_next_one_and_nothing_is_lost() {
    let case = || {
        let case = Case::new();
        // Snapshots that were not sent, and writes after them, in one dataset; writes alone in the other.
        case.write("a", ROOT, 30, 30);
        case.world.on("a", |a| a.snapshot(&[snap("tank/data@lost")]).expect("snapshot"));
        case.write("a", ROOT, 31, 31);
        case.write("a", CHILD, 32, 32);
        case.promote_alone("b").expect("promoted");
        case.write("b", ROOT, 40, 40);
        case.snapshot("b", "2");
        case
    };
    let content = |case: &Case, dataset: &str| {
        case.world.on("a", |a| a.dataset(&name(dataset)).map(|found| (found.guid, found.content.clone())))
    };
    let whole = case();
    let (root, child) = (content(&whole, ROOT).expect("there"), content(&whole, CHILD).expect("there"));
    let lost = |case: &Case| {
        let datasets = case.world.on("a", |a| {
            a.datasets().map(|(_, found)| (found.guid, found.content.clone())).collect::<Vec<_>>()
        });
        assert!(datasets.contains(&root) && datasets.contains(&child), "{:?}", case.datasets("a"));
    };
    after_every_effect(
        case,
        |case| case.rejoin("a"),
        |case| lost(case),
        |case| {
            lost(case);
            assert_eq!(case.epoch("a"), (2, "b".to_string()));
            assert_eq!(
                case.datasets("a"),
                ["tank", ROOT, "tank/data-divergent-1", CHILD, "tank/data/x-divergent-1"]
            );
            assert_eq!(case.snapshots("a", ROOT), ["1"]);
            assert_eq!(case.snapshots("a", "tank/data-divergent-1"), ["lost"]);
            assert_eq!(content(case, "tank/data-divergent-1").expect("kept"), root);
            assert_eq!(content(case, "tank/data/x-divergent-1").expect("kept"), child);
            for dataset in [ROOT, "tank/data-divergent-1"] {
                assert_eq!(case.value("a", dataset, marks::REJOIN), "", "{dataset}");
            }
            for dataset in [ROOT, CHILD] {
                assert_eq!(case.value("a", dataset, "readonly"), "on");
                assert_eq!(case.value("a", dataset, "mountpoint"), format!("/{dataset}"));
            }
            // And it follows.
            let copy = case.copy();
            copy.send("b").expect("goes on from the common snapshot");
            assert!(copy.same(ROOT) && copy.same(CHILD));
        },
    );
}
