//! What a promotion tells the other node, and what it asks of one that was not stopped in order.

use super::*;

#[test]
fn the_node_that_had_the_service_goes_by_the_new_epoch_at_once() {
    let case = Case::new();
    case.demote("a").expect("demoted");
    case.promote("b", false).expect("promoted");
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
    assert_eq!(case.value("a", ROOT, "readonly"), "on");
    // `b` dies with what it wrote, and `a` is to start: it knows that it is not the one that was promoted last.
    case.write("b", ROOT, 2, 2);
    let guards = Guards { promote_age: Some(Duration::from_secs(60)), ..Guards::default() };
    let asked = promote::Asked { guards, ..Case::asked(false) };
    let away = Err("no route".to_string());
    let old = promote::promote(&mut case.node("a"), &case.roots, away, &asked, &mut |_| {});
    assert!(matches!(refused(old), Refused::TooOld { .. }));
    let promoted = case.promote_alone("a").expect("promoted");
    assert_eq!((promoted.raised, promoted.epoch), (true, 3));
    // So it is clear who has to follow.
    assert_eq!(case.rejoin("b").expect("follows").kept.len(), 1);
}

/// Promotes `b` by force, and gives what is said.
fn forced(case: &Case) -> Vec<String> {
    let (mut there, peer) = (case.world.host("a"), node_name("a"));
    let there: Result<(&mut dyn Host, &NodeName), String> = Ok((&mut there, &peer));
    let mut said = Vec::new();
    let mut tell = |line: &str| said.push(line.to_string());
    promote::promote(&mut case.node("b"), &case.roots, there, &Case::asked(true), &mut tell).expect("forced");
    said
}

#[test]
fn a_node_that_may_have_something_alone_keeps_its_epoch_and_that_is_no_failure() {
    // It can still be written to there.
    let case = Case::new();
    let said = forced(&case);
    assert!(said.iter().any(|line| line.contains("a does not go by epoch 2")), "{said:?}");
    assert_eq!((case.epoch("a"), case.mounted("a")), ((1, "a".to_string()), vec![ROOT.into(), CHILD.into()]));
    // It has a snapshot that never came.
    let case = Case::new();
    case.write("a", ROOT, 3, 3);
    case.demote("a").expect("demoted");
    let said = forced(&case);
    assert!(said.iter().any(|line| line.contains("handover-1")), "{said:?}");
    assert_eq!((case.epoch("a"), case.epoch("b")), ((1, "a".to_string()), (2, "b".to_string())));
}

/// Its datasets are not read-only, as nobody has set them so, and nobody can write there.
#[test]
fn a_node_that_is_back_after_a_power_cut_stands_in_nobodys_way() {
    let case = Case::new();
    case.power_cut("a");
    assert_eq!(case.value("a", ROOT, "readonly"), "off");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    assert_eq!(
        (case.epoch("a"), case.value("a", ROOT, "readonly")),
        ((2, "b".to_string()), "on".to_string())
    );
}

#[test]
fn what_was_written_before_a_power_cut_comes_first() {
    let case = Case::new();
    case.write("a", CHILD, 7, 7);
    let close = || {
        let mut node = case.node("a");
        demote::close_what_was_left(&mut node, &case.roots, &case.datasets, &mut |_| {}).expect("closed")
    };
    // As long as it can be written to it is left alone.
    case.world.restart();
    assert!(close().is_none());
    assert_eq!((case.world.effects(), case.mounted("a")), (0, vec![ROOT.to_string(), CHILD.to_string()]));
    case.power_cut("a");
    let unsnapped = refused(case.promote("b", false));
    assert!(
        matches!(&unsnapped, Refused::Unsnapped { dataset, .. } if *dataset == name(CHILD)),
        "{unsnapped}"
    );
    assert!(unsnapped.is_behind());
    // What its timer does.
    let done = close().expect("nothing is mounted");
    assert!(done.holds && done.failed.is_empty());
    assert_eq!(
        (case.value("a", ROOT, "readonly"), case.snapshots("a", CHILD)),
        ("on".to_string(), vec!["1".to_string(), "handover-1".to_string()])
    );
    assert!(refused(case.promote("b", false)).is_behind());
    case.send("a").expect("sent");
    assert_eq!(case.promote("b", false).expect("promoted").epoch, 2);
    assert!(case.same(ROOT) && case.same(CHILD));
}

/// Nobody can see who has a volume open.
#[test]
fn a_volume_can_be_written_to_unless_it_is_read_only() {
    let case = Case::new();
    let volume = name("tank/data/volume");
    case.world.on("a", |a| a.create(&volume, DatasetKind::Volume, &[]).expect("create"));
    case.power_cut("a");
    let writable = |readonly: &str| {
        let set = [("readonly".to_string(), readonly.to_string())];
        case.world.on("a", |a| a.set_properties(&name(ROOT), &set).expect("set"));
        let (here, there) = (node_name("b"), node_name("a"));
        let seen = far::ask(&mut case.world.host("a"), (&here, &there), &case.roots, false).expect("asked");
        seen.writable(&name(ROOT)).cloned()
    };
    assert_eq!((writable("off"), writable("on")), (Some(volume.clone()), None));
}
