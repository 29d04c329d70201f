//! A node that the service has left, and has nothing of its own, follows without being asked; what it has alone it keeps. And
//! a standby that somebody wrote to.

use super::crashes::after_every_effect;
use super::*;

/// The service has moved to `b`, as the cluster moves it, and `a` could not be told.
fn moved() -> Case {
    let case = Case::new();
    case.write("a", ROOT, 2, 2);
    case.demote("a").expect("demoted");
    case.send("a").expect("everything is sent");
    case.promote_alone("b").expect("promoted");
    case
}

#[test]
fn after_a_planned_move_the_new_active_node_sends_at_once() {
    let case = moved();
    assert_eq!(case.epoch("a"), (1, "a".to_string()), "it has not looked since");
    case.write("b", ROOT, 3, 3);
    case.snapshot("b", "2");
    case.send("b").expect("the other one lets go");
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
    assert!(case.same(ROOT));
    assert_eq!(case.rejoin("a").expect("nothing is left to do").kept, []);
    // And back.
    case.demote("b").expect("demoted");
    case.send("b").expect("sent");
    assert_eq!(case.promote("a", false).expect("promoted").epoch, 3);
    case.snapshot("a", "3");
    case.send("a").expect("the other one lets go");
    assert_eq!(case.epoch("b"), (3, "a".to_string()));
}

#[test]
fn what_a_node_has_alone_keeps_it_from_following_by_itself() {
    let writes = |case: &Case| case.write("a", CHILD, 9, 9);
    let takes = |case: &Case| {
        case.world.on("a", |a| a.snapshot(&[snap("tank/data/x@own")]).expect("snapshot"));
    };
    let makes = |case: &Case| {
        let dataset = name("tank/data/new");
        case.world.on("a", |a| a.create(&dataset, DatasetKind::Filesystem, &[]).expect("create"));
    };
    for (at, has) in [&writes as &dyn Fn(&Case), &takes, &makes].into_iter().enumerate() {
        let case = moved();
        has(&case);
        case.snapshot("b", "2");
        let error = case.send("b").expect_err("it is not received over it");
        assert!(error.to_string().contains("tank/data/"), "{at}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("pair rejoin")), "{at}: {error}");
        assert!(matches!(refused(case.follow("a")), Refused::Own { .. }), "{at}");
        assert_eq!(case.epoch("a"), (1, "a".to_string()), "{at}");
    }
    // Where somebody can still write, too.
    let case = moved();
    case.mount_by_hand("a", ROOT, "/data");
    case.world.on("a", |a| {
        let off = [("readonly".to_string(), "off".to_string())];
        a.set_properties(&name(ROOT), &off).expect("set");
    });
    assert!(matches!(refused(case.follow("a")), Refused::Own { .. }));
    assert_eq!(case.mounted("a"), [ROOT], "nothing was done to it");
}

#[test]
fn a_node_that_follows_by_itself_does_so_after_any_crash() {
    after_every_effect(
        moved,
        |case| case.follow("a"),
        |_| {},
        |case| {
            assert_eq!(case.epoch("a"), (2, "b".to_string()));
            assert_eq!(case.value("a", ROOT, "readonly"), "on");
        },
    );
}

fn aside() -> rejoin::Asked {
    rejoin::Asked { aside: true, ..rejoin::Asked::default() }
}

#[test]
fn what_was_written_to_a_standby_is_set_aside_if_that_is_asked_for_as_often_as_it_happens() {
    let case = Case::new();
    for (count, kept) in [(1, "tank/data/x-divergent-1"), (2, "tank/data/x-divergent-1-2")] {
        case.write("b", CHILD, 50 + count, count);
        case.write("a", CHILD, 60 + count, count);
        case.snapshot("a", &format!("next{count}"));
        let error = case.send("a").expect_err("it was written to");
        assert!(error.hint().is_some_and(|hint| hint.contains("rejoin --aside")), "{error}");
        assert_eq!(case.rejoin("b").expect("it follows already").kept, []);
        let done = case.rejoin_as("b", &aside()).expect("set aside");
        assert_eq!(done.kept.iter().map(|kept| kept.aside.as_str()).collect::<Vec<_>>(), [kept]);
        assert_eq!(case.epoch("b"), (1, "a".to_string()));
        case.send("a").expect("it can receive again");
        assert!(case.same(ROOT) && case.same(CHILD));
        // Once is enough.
        case.world.restart();
        assert_eq!(case.rejoin_as("b", &aside()).expect("nothing is left to do").kept, []);
        assert_eq!(case.world.effects(), 0);
    }
    // The active node has nobody to follow.
    assert!(matches!(refused(case.rejoin_as("a", &aside())), Refused::Newest(_)));
}

#[test]
fn setting_aside_that_breaks_off_is_finished_by_the_next_also_the_second_time() {
    let case = || {
        let case = Case::new();
        case.write("b", ROOT, 50, 1);
        case.rejoin_as("b", &aside()).expect("set aside");
        case.write("a", ROOT, 60, 1);
        case.snapshot("a", "2");
        case.send("a").expect("sent");
        case.write("b", ROOT, 51, 2);
        case
    };
    let content = |case: &Case, dataset: &str| {
        case.world.on("b", |b| b.dataset(&name(dataset)).map(|found| found.content.clone()))
    };
    let second = content(&case(), ROOT).expect("there");
    after_every_effect(
        case,
        |case| case.rejoin_as("b", &aside()),
        |_| {},
        |case| {
            let all = ["tank", ROOT, "tank/data-divergent-1", "tank/data-divergent-1-2", CHILD];
            assert_eq!(case.datasets("b"), all);
            assert_eq!(content(case, "tank/data-divergent-1-2").expect("kept"), second);
            assert_eq!(case.snapshots("b", ROOT), ["1", "2"]);
        },
    );
}
