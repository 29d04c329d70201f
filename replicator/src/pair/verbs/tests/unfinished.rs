//! A rejoin that breaks off, and what the timers of both nodes and people do before somebody calls it again: whatever is there
//! looks as if the node followed, or had nothing at all, and is neither.

use std::cell::Cell;

use super::*;
use crate::model::Content;

/// Both have gone on: what `a` wrote since is in the root and in what lies below it.
fn split() -> Case {
    let case = Case::new();
    case.write("a", ROOT, 30, 30);
    case.world.on("a", |a| a.snapshot(&[snap("tank/data@lost")]).expect("snapshot"));
    case.write("a", CHILD, 32, 32);
    case.promote_alone("b").expect("promoted");
    case.write("b", ROOT, 40, 40);
    case.write("b", CHILD, 41, 41);
    case.snapshot("b", "2");
    case
}

/// Whether a rejoin has left its mark on a node.
fn is_marked(case: &Case, on: &str) -> bool {
    case.world.on(on, |machine| machine.datasets().any(|(_, found)| found.set.contains_key(marks::REJOIN)))
}

/// What is in all datasets of a node.
fn contents(case: &Case, on: &str) -> Vec<Content> {
    case.world.on(on, |machine| machine.datasets().map(|(_, found)| found.content.clone()).collect())
}

/// Breaks a verb off before and after each of its effects; `then` looks at what it has left.
fn at_every_effect(
    case: impl Fn() -> Case,
    verb: impl Fn(&Case) -> Result<rejoin::Rejoined, VerbError>,
    then: impl Fn(&Case),
) {
    let whole = case();
    whole.world.restart();
    verb(&whole).expect("nothing goes wrong");
    for effect in 1..=whole.world.effects() {
        for moment in [Moment::Before, Moment::After] {
            let case = case();
            case.world.restart();
            case.world.inject(Fault::Crash { effect, moment });
            // The last effect may be done, and nothing asked for after it.
            let _ = verb(&case);
            assert!(case.world.crashed(), "{moment:?} {effect}");
            case.world.restart();
            then(&case);
        }
    }
}

/// What the timers do on both nodes: the active one sends, and the other one follows if it can.
fn timers(case: &Case, active: &str) {
    let before = (case.datasets(other(active)), contents(case, other(active)));
    let marked = is_marked(case, other(active));
    let (sent, followed) = (case.send(active), case.follow(other(active)));
    if marked {
        let error = sent.expect_err("nothing is let in");
        assert!(error.to_string().contains("a rejoin of tank/data broke off"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("pair rejoin")), "{error}");
        let held = refused(followed);
        assert!(matches!(held, Refused::Unfinished(_)), "{held}");
        assert_eq!(before, (case.datasets(other(active)), contents(case, other(active))));
    }
    case.world.restart();
}

#[test]
fn nothing_is_sent_to_a_node_and_it_follows_nobody_before_its_rejoin_is_finished() {
    let first = split();
    let kept = contents(&first, "a");
    let marked = Cell::new(0);
    at_every_effect(
        split,
        |case| case.rejoin("a"),
        |case| {
            marked.set(marked.get() + u32::from(is_marked(case, "a")));
            timers(case, "b");
            case.rejoin("a").expect("it is finished");
            assert!(!is_marked(case, "a"));
            let now = contents(case, "a");
            assert!(kept.iter().all(|one| now.contains(one)), "{:?}", case.datasets("a"));
            let all = ["tank", ROOT, "tank/data-divergent-1", CHILD, "tank/data/x-divergent-1"];
            assert_eq!(case.datasets("a"), all);
            case.send("b").expect("goes on from the common snapshot");
            assert!(case.same(ROOT) && case.same(CHILD));
            // Nothing of it came in full: what is aside goes on from what both have.
            let origin = |of: &str| case.world.on("a", |a| a.origin(&name(of)).map(|one| one.to_string()));
            assert_eq!(origin("tank/data-divergent-1").as_deref(), Some("tank/data@1"));
            assert_eq!(origin("tank/data/x-divergent-1").as_deref(), Some("tank/data/x@1"));
        },
    );
    assert!(marked.get() > 5, "{} states of it were seen", marked.get());
}

/// The node follows already, so that its epoch says nothing.
#[test]
fn a_plain_rejoin_goes_on_with_what_was_begun_to_set_aside() {
    let case = || {
        let case = Case::new();
        case.write("b", ROOT, 50, 1);
        case.write("a", ROOT, 60, 1);
        case.snapshot("a", "2");
        case
    };
    let aside = || rejoin::Asked { aside: true, ..rejoin::Asked::default() };
    let plain = Cell::new(0);
    at_every_effect(
        case,
        |case| case.rejoin_as("b", &aside()),
        |case| {
            let begun = is_marked(case, "b");
            if begun {
                timers(case, "a");
            }
            let again = if begun { rejoin::Asked::default() } else { aside() };
            plain.set(plain.get() + u32::from(begun));
            case.rejoin_as("b", &again).expect("it is finished");
            assert_eq!(case.datasets("b"), ["tank", ROOT, "tank/data-divergent-1", CHILD]);
            assert!(!is_marked(case, "b"));
            case.send("a").expect("it can receive again");
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
    assert!(plain.get() > 3, "{} states of it were seen", plain.get());
}

#[test]
fn a_root_that_is_set_aside_as_a_whole_comes_in_full_when_that_is_finished_and_not_before() {
    let case = || {
        let case = Case::new();
        case.promote_alone("b").expect("promoted");
        case.snapshot("b", "2");
        case.snapshot("a", "own");
        for dataset in [ROOT, CHILD] {
            case.world.on("b", |b| b.destroy_snapshot(&snap(&format!("{dataset}@1"))).expect("gone"));
        }
        case
    };
    let full = || rejoin::Asked { full: true, ..rejoin::Asked::default() };
    let marked = Cell::new(0);
    at_every_effect(
        case,
        |case| case.rejoin_as("a", &full()),
        |case| {
            marked.set(marked.get() + u32::from(is_marked(case, "a")));
            if is_marked(case, "a") {
                timers(case, "b");
            }
            case.rejoin_as("a", &full()).expect("it is finished");
            assert!(!is_marked(case, "a"));
            case.send("b").expect("sent in full");
            assert_eq!(case.snapshots("a", "tank/data-divergent-1"), ["1", "own"]);
            assert!(case.same(ROOT) && case.same(CHILD));
        },
    );
    assert!(marked.get() > 1, "{} states of it were seen", marked.get());
}

#[test]
fn a_node_is_not_promoted_with_half_of_what_it_had() {
    let (marked, forced) = (Cell::new(0), Cell::new(0));
    at_every_effect(
        split,
        |case| case.rejoin("a"),
        |case| {
            if !is_marked(case, "a") {
                return;
            }
            marked.set(marked.get() + 1);
            let held = refused(case.promote_alone("a"));
            assert!(matches!(held, Refused::Unfinished(_)), "{held}");
            // The other node may be lost for good: then a person has the last word, if there is anything to promote.
            let away = Err("no route".to_string());
            let asked = Case::asked(true);
            let done = promote::promote(&mut case.node("a"), &case.roots, away, &asked, &mut |_| {});
            if case.datasets("a").contains(&ROOT.to_string()) {
                done.expect("forced");
                forced.set(forced.get() + 1);
                assert_eq!(case.value("a", ROOT, marks::REJOIN), "");
            } else {
                assert!(matches!(refused(done), Refused::Unfinished(_)));
            }
        },
    );
    assert!(marked.get() > forced.get() && forced.get() > 3, "{} {}", marked.get(), forced.get());
}
