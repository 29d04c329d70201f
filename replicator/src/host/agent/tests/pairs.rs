//! What nodes of a pair ask of each other: each request says which node it takes the other end for, and an agent that does
//! not know that is not asked.

use super::*;
use crate::host::PropertySource;
use crate::pair::fence::Kind as Why;

fn node(name: &str) -> NodeName {
    name.parse().expect("a name")
}

fn claim(epoch: u64) -> Claim {
    Claim { root: dataset("tank/in"), epoch, holder: node("node-a"), receiver: node("node-b") }
}

#[test]
fn a_node_that_has_nothing_of_its_own_lets_go_by_the_name_that_the_cluster_has_for_it() {
    let mut root = state("tank/in", 2);
    root.written = 0;
    let both = [(root.name.clone(), root.snapshots[1].guid)];
    let fake = Fake { datasets: vec![root], ..Fake::default() };
    // No machine of this test has that name.
    let held = ("1:3:node-b:000000000000004d".to_string(), PropertySource::Local);
    fake.epochs.lock().expect("no panic").insert(dataset("tank/in"), held);
    let log = fake.log.clone();
    let (mut host, _) = serving(fake);
    let refused = host.present(&claim(4)).expect_err("it holds it itself");
    assert!(matches!(&refused, HostError::Fenced { kind: Why::Active, .. }), "{refused}");
    assert_eq!(refused.code(), Code::Fenced);
    let own = host.overtake(&claim(4), &[]).expect_err("it may have something alone");
    assert!(matches!(&own, HostError::Fenced { kind: Why::Active, .. }), "{own}");
    assert!(own.to_string().contains("tank/in@s2") && own.hint().is_some(), "{own}");
    host.overtake(&claim(4), &both).expect("it lets go");
    host.present(&claim(4)).expect("it follows");
    host.take_over(&[dataset("tank/in")], &node("node-b"), 5).expect("taken over");
    let all = log.all();
    let done: Vec<_> = all.iter().filter(|line| !line.starts_with("inventory")).collect();
    assert_eq!(done, ["epoch 1:4:node-a:000000000000004d on tank/in", "take over epoch 5 as node-b"]);
}

#[test]
fn how_far_a_first_replication_is_and_who_may_write_is_known_through_an_agent() {
    let fake = Fake { datasets: vec![state("tank/in", 2)], ..Fake::default() };
    let (log, writable) = (fake.log.clone(), fake.writable.clone());
    let (mut host, _) = serving(fake);
    host.present(&claim(4)).expect("it follows");
    host.count_first(&claim(4), FirstCopy { there: 1, of: 1 }).expect("counted");
    let all = log.all();
    let done: Vec<_> = all.iter().filter(|line| !line.starts_with("inventory")).collect();
    assert!(done[0].ends_with("on tank/in, replicator:first=1:0:0"), "{done:?}");
    assert!(done.len() == 2 && done[1].contains("UnsetProperties"), "{done:?}");
    // All of the fake is mounted.
    let root = dataset("tank/in");
    assert!(!host.is_mounted_writable(&root).expect("known"), "it is read-only");
    writable.lock().expect("no panic").insert(root.clone());
    assert!(host.is_mounted_writable(&root).expect("known"));
    let error = older(7).count_first(&claim(4), FirstCopy { there: 1, of: 1 }).expect_err("too old");
    assert!(matches!(&error, HostError::Cannot { has, .. } if has.contains("0.0.9")), "{error}");
}

#[test]
fn an_agent_that_does_not_know_whom_it_is_taken_for_is_not_asked() {
    for version in [1, 4] {
        let mut host = older(version);
        for error in [
            host.present(&claim(4)).expect_err("too old"),
            host.overtake(&claim(4), &[]).expect_err("too old"),
            host.take_over(&[dataset("tank/in")], &node("node-b"), 5).expect_err("too old"),
        ] {
            assert!(matches!(&error, HostError::Cannot { has, .. } if has.contains("0.0.9")), "{error}");
        }
    }
}
