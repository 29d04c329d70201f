//! A pair with two roots, each in a pool of its own: what is wrong with one says nothing of the other.

use super::*;

fn demoted(case: &Case, node: &mut TestNode) -> demote::Demoted {
    demote::demote(node, &case.roots, &case.datasets, &mut |_| {})
}

#[test]
fn a_pool_that_hangs_or_is_gone_keeps_no_other_root_from_being_closed() {
    for gone in [false, true] {
        let case = Case::with_two_pools();
        case.write("a", ROOT, 2, 2);
        case.write("a", OTHER, 2, 2);
        let mut node = case.node("a");
        if gone {
            case.world.on("a", |a| a.lose_pool("big"));
        } else {
            node.hangs = Some("big");
        }
        let done = demoted(&case, &mut node);
        assert!(done.holds, "the other node has to get something");
        let failed: Vec<_> = done.failed.iter().map(|(root, _)| root.as_str()).collect();
        assert_eq!(failed, [OTHER]);
        assert_eq!(case.value("a", ROOT, "readonly"), "on");
        assert_eq!(case.snapshots("a", ROOT), ["1", "handover-1"]);
        assert!(!case.mounted("a").contains(&ROOT.to_string()));
        if !gone {
            // Nobody has touched it.
            assert_eq!(
                (case.value("a", OTHER, "readonly"), case.snapshots("a", OTHER)),
                ("off".into(), vec!["1".into()])
            );
        }
        // Mended, the same verb goes on.
        if !gone {
            let done = demoted(&case, &mut case.node("a"));
            assert!(done.failed.is_empty());
            assert_eq!(case.snapshots("a", OTHER), ["1", "handover-1"]);
            assert_eq!(case.snapshots("a", ROOT), ["1", "handover-1"]);
        }
    }
}

#[test]
fn a_pool_that_hangs_is_not_looked_into() {
    let case = Case::with_two_pools();
    for verb in ["promote", "rejoin", "handover"] {
        case.world.restart();
        let mut node = TestNode { hangs: Some("big"), ..case.node("b") };
        let (mut there, peer) = (case.world.host("a"), node_name("a"));
        let result = match verb {
            "promote" => {
                let there: Result<(&mut dyn Host, &NodeName), String> = Ok((&mut there, &peer));
                promote::promote(&mut node, &case.roots, there, &Case::asked(true), &mut |_| {}).map(drop)
            }
            "rejoin" => {
                let asked = rejoin::Asked::default();
                rejoin::rejoin(&mut node, &case.roots, &mut there, &peer, &asked, &mut |_| {}).map(drop)
            }
            _ => {
                let (options, run, cancel) = (Options::default(), quick(), Cancel::new());
                let how = send::Sending {
                    options: &options,
                    run: &run,
                    locks: &BTreeMap::new(),
                    observer: &Quiet,
                    cancel: &cancel,
                    now: 0,
                };
                let asked = Case::asked(false);
                handover::handover(&mut node, &case.roots, &mut there, &peer, &asked, &how, &mut |_| {})
                    .map(drop)
            }
        };
        let ill = refused(result);
        assert!(matches!(ill, Refused::Guard(guards::Refusal::Pool { .. })), "{verb}: {ill}");
        assert_eq!(case.world.calls_to("b"), 0, "{verb}");
    }
}

/// The disks of one pool of the other node are gone: what the other pool says still counts.
#[test]
fn a_pool_that_is_missing_on_the_other_node_hides_nothing_of_its_others() {
    // It has the service.
    let case = Case::with_two_pools();
    case.world.on("a", |a| a.lose_pool("big"));
    let active = refused(case.promote("b", false));
    assert!(matches!(&active, Refused::PeerIsActive { root, .. } if *root == name(ROOT)), "{active}");
    // It has stopped, and has something that did not come.
    let case = Case::with_two_pools();
    case.write("a", ROOT, 2, 2);
    case.demote("a").expect("demoted");
    case.world.on("a", |a| a.lose_pool("big"));
    assert!(matches!(refused(case.promote("b", false)), Refused::Behind { .. }));
    // It has not, and was promoted later.
    let case = Case::with_two_pools();
    case.promote_alone("b").expect("promoted");
    case.world.on("b", |b| b.lose_pool("big"));
    assert!(matches!(refused(case.promote("a", false)), Refused::PeerIsNewer { .. }));
    // Nothing stands against it: it is said what is not known, and what can be told is told.
    let case = Case::with_two_pools();
    case.demote("a").expect("demoted");
    case.world.on("a", |a| a.lose_pool("big"));
    let (mut there, peer) = (case.world.host("a"), node_name("a"));
    let there: Result<(&mut dyn Host, &NodeName), String> = Ok((&mut there, &peer));
    let mut said = Vec::new();
    let mut tell = |line: &str| said.push(line.to_string());
    let promoted = promote::promote(&mut case.node("b"), &case.roots, there, &Case::asked(false), &mut tell);
    assert_eq!(promoted.expect("promoted").epoch, 2);
    assert!(said.iter().any(|line| line.contains(OTHER) && line.contains("no pool big")), "{said:?}");
    assert_eq!(case.epoch("a"), (2, "b".to_string()));
}

/// Who is there and does not say what it has may be the active one.
#[test]
fn an_error_of_the_other_node_is_not_its_absence() {
    let case = Case::with_two_pools();
    case.world.inject(Fault::Listing { machine: "a".to_string(), number: 1 });
    let unknown = refused(case.promote("b", false));
    assert!(matches!(&unknown, Refused::NotAsked { .. }), "{unknown}");
    assert_eq!(case.epoch("b"), (1, "a".to_string()));
    // A person may know better.
    case.world.inject(Fault::Listing { machine: "a".to_string(), number: 1 });
    assert_eq!(case.promote("b", true).expect("forced").epoch, 2);
    case.world.all_struck();
}

/// A connection that breaks once is made anew: what the other node has to say is heard.
#[test]
fn a_connection_that_breaks_once_is_no_absence_either() {
    let case = Case::with_two_pools();
    case.world.restart();
    assert!(matches!(refused(case.promote("b", false)), Refused::PeerIsActive { .. }));
    for call in 1..=case.world.calls_to("a") {
        for moment in [Moment::Before, Moment::After] {
            case.world.restart();
            case.world.inject(Fault::Partition { machine: "a".to_string(), call, moment, calls: 1 });
            let active = refused(case.promote("b", false));
            assert!(matches!(active, Refused::PeerIsActive { .. }), "{moment:?} {call}: {active}");
            case.world.all_struck();
        }
    }
}
