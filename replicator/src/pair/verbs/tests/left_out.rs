//! Datasets that the pair leaves out (`exclude`): each node has its own, and they are nobody's business.

use super::*;

const TMP: &str = "tank/data/tmp";

/// Both nodes have a dataset of that name, and nothing in common in it.
fn case() -> Case {
    let datasets = Patterns::new(&[], &["tmp".to_string()]).expect("a pattern");
    let case = Case { datasets, ..Case::new() };
    for (on, value) in [("a", 1), ("b", 2)] {
        case.world.on(on, |machine| {
            machine.create(&name(TMP), DatasetKind::Filesystem, &[]).expect("create");
            machine.write(&name(TMP), 1, value);
            machine.snapshot(&[snap("tank/data/tmp@own")]).expect("snapshot");
            machine.write(&name(TMP), 2, value);
        });
    }
    case
}

fn is_left_alone(case: &Case) {
    for on in ["a", "b"] {
        assert_eq!(case.snapshots(on, TMP), ["own"], "{on}");
    }
    assert!(!case.same(TMP));
}

#[test]
fn a_handover_goes_there_and_back() {
    let case = case();
    for (from, value) in [("a", 21), ("b", 22)] {
        case.write(from, ROOT, 4, value);
        case.handover(from).expect("handed over");
        assert!(case.same(ROOT) && case.same(CHILD));
        // What is left out is there to be used all the same.
        case.promote(other(from), false).expect("promoted");
        assert!(case.mounted(other(from)).contains(&TMP.to_string()));
        assert_eq!(case.rejoin(from).expect("follows").kept, []);
    }
    is_left_alone(&case);
}

#[test]
fn a_node_follows_by_itself_although_it_has_its_own() {
    let moved = || {
        let case = case();
        case.write("a", ROOT, 2, 2);
        case.demote("a").expect("demoted");
        case.send("a").expect("sent");
        case.promote_alone("b").expect("promoted");
        case
    };
    // In its own next run, or when the other one sends.
    let case = moved();
    assert_eq!(case.follow("a").expect("follows").active, "b");
    is_left_alone(&case);
    let case = moved();
    case.write("b", CHILD, 3, 3);
    case.snapshot("b", "2");
    case.send("b").expect("it lets go");
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
    is_left_alone(&case);
}

#[test]
fn a_rejoin_that_sets_the_root_aside_moves_them_back() {
    let case = case();
    case.write("a", ROOT, 30, 30);
    case.promote_alone("b").expect("promoted");
    case.write("b", ROOT, 40, 40);
    case.snapshot("b", "2");
    assert_eq!(case.rejoin("a").expect("follows").kept.len(), 1);
    assert_eq!(case.datasets("a"), ["tank", ROOT, "tank/data-divergent-1", TMP, CHILD]);
    case.send("b").expect("sent");
    assert!(case.same(ROOT) && case.same(CHILD));
    is_left_alone(&case);
}
