//! What each verb decides and leaves, without anything going wrong in between.

use super::*;
use crate::codes::Code;
use crate::codes::Coded;

#[test]
fn the_first_promotion_of_a_pair_is_asked_for_and_all_later_ones_count_on() {
    let world = World::new(3, &["a", "b"]);
    world.on("a", |a| {
        a.create_pool("tank");
        let place = vec![("mountpoint".to_string(), "/data".to_string())];
        a.create(&name(ROOT), DatasetKind::Filesystem, &place).expect("create");
    });
    world.on("b", |b| b.create_pool("tank"));
    let case = Case::in_world(world);
    assert!(matches!(refused(case.promote_alone("a")), Refused::NoLineage { .. }));
    // With the other one there, and empty, nothing can be lost.
    let first = case.promote("a", false).expect("promoted");
    assert!(first.raised && first.epoch == 1);
    assert_eq!(case.epoch("a"), (1, "a".to_string()));
    // A second one changes nothing.
    case.world.restart();
    let again = case.promote("a", false).expect("promoted");
    assert!(!again.raised && again.epoch == 1);
    assert_eq!(case.world.effects(), 0);
    // Nor one with nobody else to ask, as after a power cut; but what is not mounted is.
    case.mounts[0].lock().expect("no panic").clear();
    assert!(!case.promote_alone("a").expect("promoted").raised);
    assert_eq!(case.mounted("a"), [ROOT]);
}

#[test]
fn a_standby_is_not_writable_and_becomes_so_by_promotion() {
    let case = Case::new();
    assert_eq!(case.epoch("b"), (1, "a".to_string()));
    assert_eq!(case.value("b", ROOT, "readonly"), "on");
    assert_eq!(case.mounted("b"), Vec::<String>::new());
    let promoted = case.promote_alone("b").expect("promoted");
    assert_eq!((promoted.epoch, promoted.raised), (2, true));
    assert_eq!(case.epoch("b"), (2, "b".to_string()));
    for dataset in [ROOT, CHILD] {
        assert_eq!(case.value("b", dataset, "readonly"), "off");
        assert_ne!(case.value("b", dataset, "canmount"), "on");
    }
    assert_eq!(case.mounted("b"), [ROOT, CHILD]);
    // From now on nothing is received there, whatever the old one says.
    case.write("a", ROOT, 9, 9);
    case.snapshot("a", "2");
    let fenced = case.send("a");
    assert!(matches!(&fenced, Err(VerbError::Run(_) | VerbError::Host(_))), "{fenced:?}");
    assert!(fenced.expect_err("refused").to_string().contains("epoch 2 of b"));
    assert_eq!(case.snapshots("b", ROOT), ["1"]);
}

#[test]
fn what_the_other_node_could_not_send_yet_keeps_this_one_from_being_promoted() {
    let case = Case::new();
    case.write("a", ROOT, 9, 9);
    case.snapshot("a", "2");
    case.demote("a").expect("demoted");
    let behind = refused(case.promote("b", false));
    assert!(matches!(&behind, Refused::Behind { missing, .. } if *missing > 0), "{behind:?}");
    // Once it is sent it is no hindrance.
    case.send("a").expect("sent");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
}

#[test]
fn who_is_still_active_keeps_the_other_one_from_being_promoted() {
    let case = Case::new();
    assert!(matches!(refused(case.promote("b", false)), Refused::PeerIsActive { .. }));
    case.demote("a").expect("demoted");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    // And forced it is done anyway.
    let case = Case::new();
    assert_eq!(case.promote("b", true).expect("promoted").epoch, 2);
}

#[test]
fn an_old_active_node_is_promoted_again_only_if_forced() {
    let case = Case::new();
    case.promote_alone("b").expect("promoted");
    assert!(matches!(refused(case.promote("a", false)), Refused::PeerIsNewer { .. }));
    let forced = case.promote("a", true).expect("forced");
    assert_eq!((forced.epoch, case.epoch("a")), (3, (3, "a".to_string())));
    // Now it is the other one that has to follow.
    let found = refused(case.rejoin("a"));
    assert!(matches!(found, Refused::Newest(_)), "{found}");
    assert_eq!(found.code(), Code::PairRefused);
    assert_eq!(case.rejoin("b").expect("follows").epoch, 3);
}

#[test]
fn what_is_mounted_and_cannot_be_written_to_is_not_mounted_as_it_should_be() {
    let case = Case::new();
    case.world.on("b", |b| {
        b.set_properties(&name(ROOT), &[("readonly".to_string(), "on".to_string())]).expect("set");
    });
    let steps = [Step::Mount { dataset: name(ROOT), at: Path::new("/tank/data").to_path_buf() }];
    let error = carry_out(&mut case.node("b"), &steps, &mut |_| {}).expect_err("it is read-only");
    assert_eq!(error.code(), Code::NotMounted, "{error}");
}

#[test]
fn two_that_were_promoted_to_the_same_epoch_both_stop() {
    let case = Case::new();
    case.promote_alone("b").expect("promoted");
    // `a` was promoted as well, by somebody who knew nothing of that.
    let pool = case.world.on("a", |a| a.pool_guid("tank"));
    let epoch = Epoch { number: 2, holder: node_name("a"), pool };
    case.world.on("a", |a| a.set_properties(&name(ROOT), &[written(&epoch)]).expect("set"));
    for on in ["a", "b"] {
        assert!(matches!(refused(case.promote(on, false)), Refused::Both { .. }));
        // Not by itself.
        assert!(matches!(refused(case.follow(on)), Refused::Both { .. }));
        // Although there is nothing to send.
        assert!(case.send(on).expect_err("refused").to_string().contains("both"), "{on}");
    }
    // What is advised is done: the one that rejoins is the one that follows, and what it wrote is kept.
    case.write("b", ROOT, 8, 8);
    let done = case.rejoin("b").expect("follows");
    assert_eq!((done.epoch, done.active.as_str(), done.kept.len()), (2, "a", 1));
    assert_eq!(case.epoch("b"), (2, "a".to_string()));
    assert!(case.datasets("b").contains(&"tank/data-divergent-2".to_string()), "{:?}", case.datasets("b"));
    assert_eq!(case.mounted("b"), Vec::<String>::new());
    case.write("a", ROOT, 3, 3);
    case.snapshot("a", "after");
    case.send("a").expect("goes on");
    assert!(case.same(ROOT));
}

#[test]
fn an_epoch_that_is_not_believed_stops_every_verb() {
    for (on, value) in [("a", "nonsense"), ("b", "1:1:a:0000000000000001")] {
        let case = Case::new();
        let set = vec![(marks::EPOCH.to_string(), value.to_string())];
        case.world.on(on, |machine| machine.set_properties(&name(ROOT), &set).expect("set"));
        assert!(matches!(refused(case.promote("a", false)), Refused::Doubtful { .. }), "{on}");
        assert!(matches!(refused(case.promote("b", true)), Refused::Doubtful { .. }), "{on}");
        assert!(matches!(refused(case.rejoin("a")), Refused::Doubtful { .. }), "{on}");
    }
}

#[test]
fn an_empty_disk_is_never_promoted_over_data() {
    let case = Case::new();
    case.world.on("b", |b| {
        for dataset in [CHILD, ROOT] {
            b.destroy_snapshot(&snap(&format!("{dataset}@1"))).expect("gone");
            b.destroy(&name(dataset)).expect("gone");
        }
    });
    assert!(matches!(refused(case.promote("b", true)), Refused::NoRoot { .. }));
    case.world.on("b", |b| {
        let place = vec![("mountpoint".to_string(), "/data".to_string())];
        b.create(&name(ROOT), DatasetKind::Filesystem, &place).expect("create");
    });
    assert!(matches!(refused(case.promote_alone("b")), Refused::NoLineage { .. }));
    let stranger = refused(case.promote("b", true));
    assert!(matches!(stranger, Refused::Guard(guards::Refusal::Stranger { .. })), "{stranger}");
}

#[test]
fn a_pool_that_does_not_work_is_not_promoted() {
    let case = Case::new();
    let mut node = TestNode { health: "SUSPENDED", ..case.node("b") };
    let away = Err("no route".to_string());
    let result = promote::promote(&mut node, &[name(ROOT)], away, &Case::asked(true), &mut |_| {});
    assert!(matches!(refused(result), Refused::Guard(guards::Refusal::Pool { .. })));
}

#[test]
fn old_data_are_promoted_only_if_forced() {
    let case = Case::new();
    let guards = Guards { promote_age: Some(Duration::from_secs(60)), ..Guards::default() };
    let asked = |force| promote::Asked { guards, ..Case::asked(force) };
    let promote = |force| {
        let away = Err("no route".to_string());
        promote::promote(&mut case.node("b"), &[name(ROOT)], away, &asked(force), &mut |_| {})
    };
    assert!(matches!(refused(promote(false)), Refused::TooOld { limit: 60, .. }));
    promote(true).expect("forced");
}

#[test]
fn what_was_written_to_a_standby_is_kept_in_a_snapshot() {
    let case = Case::new();
    case.write("b", CHILD, 5, 5);
    let promoted = case.promote_alone("b").expect("promoted");
    assert!(promoted.told.iter().any(|line| line.contains("tank/data/x@divergent-2")), "{:?}", promoted.told);
    assert_eq!(case.snapshots("b", CHILD), ["1", "divergent-2"]);
    assert_eq!(case.snapshots("b", ROOT), ["1"]);
}

/// What a program wrote and the kernel has in memory would be lost once the dataset is read-only.
#[test]
fn what_was_written_is_written_out_before_anything_becomes_read_only() {
    let case = Case::new();
    let mut node = case.node("a");
    let side = look::look(node.host(), "a", &[name(ROOT)]).expect("looked");
    let mut mounts = node.mounts().expect("known");
    mounts.push(Mount { dataset: name("tank/other"), at: "/other".into(), writable: true });
    let steps: Vec<_> = demote::close(&side, &mounts, true).iter().map(ToString::to_string).collect();
    let expected = [
        "write out what was written to /tank/data",
        "write out what was written to /tank/data/x",
        "set readonly=on on tank/data",
        "unmount tank/data/x from /tank/data/x",
        "unmount tank/data from /tank/data",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_demotion_ends_all_writing_and_keeps_it() {
    let case = Case::new();
    case.write("a", ROOT, 2, 2);
    assert!(case.demote("a").expect("demoted"));
    assert_eq!(case.mounted("a"), Vec::<String>::new());
    assert_eq!(case.value("a", ROOT, "readonly"), "on");
    assert_eq!(case.snapshots("a", ROOT), ["1", "handover-1"]);
    assert_eq!(case.snapshots("a", CHILD), ["1"], "nothing was written there");
    assert_eq!(case.epoch("a"), (1, "a".to_string()), "nobody else has it yet");
    // Twice is once, and a standby has nothing to give.
    case.world.restart();
    assert!(case.demote("a").expect("demoted"));
    assert!(!case.demote("b").expect("demoted"));
    assert_eq!(case.world.effects(), 0);
    // It still sends what it has kept.
    case.send("a").expect("sent");
    assert!(case.same(ROOT));
}

#[test]
fn a_handover_loses_nothing_and_goes_back() {
    let case = Case::new();
    for (from, value) in [("a", 21), ("b", 22), ("a", 23)] {
        let number = case.epoch(from).0;
        case.write(from, ROOT, 4, value);
        case.write(from, CHILD, 4, value);
        let given = case.handover(from).expect("handed over");
        assert_eq!(given, handover::Given { epoch: number + 1, now: true });
        assert_eq!(case.epoch(from), (number + 1, other(from).to_string()));
        assert!(case.same(ROOT) && case.same(CHILD));
        assert_eq!(case.mounted(from), Vec::<String>::new());
        let given = case.handover(from).expect("done already");
        assert_eq!(given, handover::Given { epoch: number + 1, now: false });
        let promoted = case.promote(other(from), false).expect("promoted");
        assert_eq!(promoted.epoch, number + 1);
        assert_eq!(case.mounted(other(from)), [ROOT, CHILD]);
        // Nothing is to be rejoined.
        assert_eq!(case.rejoin(from).expect("follows").kept, []);
    }
}

#[test]
fn a_handover_that_cannot_send_leaves_the_node_active() {
    let case = Case::new();
    case.write("a", ROOT, 4, 4);
    // Somebody wrote to the standby: what is sent would not fit.
    case.write("b", ROOT, 5, 5);
    let error = case.handover("a").expect_err("it does not fit");
    assert!(matches!(error, VerbError::Run(_)), "{error}");
    assert_eq!(case.epoch("a"), (1, "a".to_string()));
    assert_eq!(case.mounted("a"), [ROOT, CHILD]);
    assert_eq!(case.value("a", ROOT, "readonly"), "off");
}

#[test]
fn a_node_that_lost_nothing_follows_without_setting_anything_aside() {
    let case = Case::new();
    case.promote_alone("b").expect("promoted");
    let done = case.rejoin("a").expect("follows");
    assert_eq!((done.epoch, done.active.as_str(), done.kept.len()), (2, "b", 0));
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
    assert_eq!(case.mounted("a"), Vec::<String>::new());
    case.write("b", ROOT, 6, 6);
    case.snapshot("b", "2");
    case.send("b").expect("sent");
    assert!(case.same(ROOT));
    case.world.restart();
    case.rejoin("a").expect("follows");
    assert_eq!(case.world.effects(), 0);
}

#[test]
fn what_nobody_has_in_common_is_set_aside_only_if_asked() {
    let case = Case::new();
    case.promote_alone("b").expect("promoted");
    case.snapshot("b", "2");
    case.snapshot("a", "own");
    case.world.on("b", |b| b.destroy_snapshot(&snap("tank/data@1")).expect("gone"));
    case.world.on("b", |b| b.destroy_snapshot(&snap("tank/data/x@1")).expect("gone"));
    assert!(matches!(refused(case.rejoin("a")), Refused::NoBase(_)));
    assert_eq!(case.epoch("a"), (1, "a".to_string()));
    let (mut there, peer) = (case.world.host("b"), node_name("b"));
    let full = rejoin::Asked { full: true, ..rejoin::Asked::default() };
    let done = rejoin::rejoin(&mut case.node("a"), &[name(ROOT)], &mut there, &peer, &full, &mut |_| {});
    assert_eq!(done.expect("follows").kept.len(), 1);
    assert_eq!(case.snapshots("a", "tank/data-divergent-1"), ["1", "own"]);
    assert_eq!(case.snapshots("a", "tank/data-divergent-1/x"), ["1", "own"]);
    case.send("b").expect("sent in full");
    assert!(case.same(ROOT) && case.same(CHILD));
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
}
