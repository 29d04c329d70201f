//! The guards, case by case. The names of the tests say which known defect of scripts for such pairs each one is about.

use std::collections::BTreeMap;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::guards::*;
use crate::config::pair::Guards;
use crate::host::Bookmark;
use crate::host::DatasetState;
use crate::host::Snapshot;
use crate::role::Role;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// A dataset with snapshots by these names and GUIDs.
fn state(dataset: &str, referenced: u64, snapshots: &[(&str, u64)]) -> DatasetState {
    let name = name(dataset);
    let snapshots = snapshots.iter().map(|(short, guid)| Snapshot {
        name: name.snapshot(short).expect("a name"),
        guid: Guid(*guid),
        createtxg: Txg(*guid),
        ivset: None,
    });
    DatasetState {
        kind: DatasetKind::Filesystem,
        guid: Guid(1),
        encryption: None,
        origin: None,
        written: 0,
        referenced,
        available: 0,
        partial: None,
        snapshots: snapshots.collect(),
        bookmarks: Vec::new(),
        name,
    }
}

/// Known sizes of `zpool1/data` on both nodes.
fn history(here: u64, there: u64) -> History {
    let one = |bytes| BTreeMap::from([(name("zpool1/data"), bytes)]);
    History { here: one(here), there: one(there) }
}

fn data() -> DatasetName {
    name("zpool1/data")
}

const GUARDS: Guards = Guards { source_below: 50, drift: 20, promote_age: None, full: 95 };

/// 1: a listing that failed.
#[test]
fn what_could_not_be_listed_is_never_empty() {
    let full = state("zpool1/data", 1000, &[("a", 1)]);
    for (source, target) in
        [(Seen::Failed("no answer"), Seen::Known(&full)), (Seen::Known(&full), Seen::Failed("no answer"))]
    {
        assert!(matches!(lineage(&data(), source, target), Err(Refusal::NotSeen { .. })), "{source:?}");
    }
    assert!(matches!(lineage(&data(), Seen::Failed("x"), Seen::Absent), Err(Refusal::NotSeen { .. })));
    assert_eq!(lineage(&data(), Seen::Absent, Seen::Absent), Err(Refusal::NoSource(data())));
}

/// 2: no history, which is what a reinstalled node has.
#[test]
fn without_history_nothing_is_overwritten_or_destroyed() {
    let one = history(1000, 1000);
    for missing in [
        History::default(),
        History { here: BTreeMap::new(), ..one.clone() },
        History { there: BTreeMap::new(), ..one.clone() },
    ] {
        let refused = size(&data(), 1000, Some(1000), &missing, Step::Destroy, &GUARDS);
        assert_eq!(refused, Err(Refusal::NoHistory(data())), "{missing:?}");
        // What takes nothing away goes on.
        assert_eq!(size(&data(), 1000, Some(1000), &missing, Step::Add, &GUARDS), Ok(vec![]));
    }
    assert_eq!(size(&data(), 1000, Some(1000), &one, Step::Destroy, &GUARDS), Ok(vec![]));
}

/// 3: `zpool1/data` is not `zpool1/data2`.
#[test]
fn a_name_that_begins_alike_is_another_dataset() {
    for other in ["zpool1/data2", "zpool1", "zpool1/data/child", "zpool1/dat"] {
        let refused = size(&name(other), 1000, Some(1000), &history(1000, 1000), Step::Destroy, &GUARDS);
        assert_eq!(refused, Err(Refusal::NoHistory(name(other))));
    }
}

/// 4: sizes of zero, and the largest ones.
#[test]
fn no_size_divides_by_zero_or_overflows() {
    for source in [0, 1, u64::MAX] {
        for target in [None, Some(0), Some(1), Some(u64::MAX)] {
            for (here, there) in [(0, 0), (0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
                for step in [Step::Add, Step::Destroy, Step::Prune] {
                    let answer = size(&data(), source, target, &history(here, there), step, &GUARDS);
                    let smaller = target.is_some_and(|target| source < target);
                    assert_eq!(answer.is_err(), smaller && step != Step::Add, "{source} {target:?} {step:?}");
                }
            }
        }
    }
    assert!(matches!(space("zpool1", 0, 0, &GUARDS), Err(Refusal::PoolUnknown(_))));
}

/// 5: an empty disk on the standby is filled, one on the active is refused, whatever the sizes are.
#[test]
fn an_empty_target_is_filled_and_an_empty_source_refused() {
    let full = state("zpool1/data", 1_000_000, &[("a", 1), ("b", 2)]);
    let empty = state("zpool1/data", 24_576, &[]);
    let fresh = state("zpool1/data", 2_000_000, &[("c", 3)]);
    assert_eq!(lineage(&data(), Seen::Known(&full), Seen::Absent), Ok(()));
    for source in [&empty, &fresh] {
        let refused = lineage(&data(), Seen::Known(source), Seen::Known(&full));
        let Err(refused @ Refusal::Stranger { snapshots: 2, .. }) = refused else { panic!("{refused:?}") };
        assert!(refused.to_string().contains("1000000 bytes") && !refused.hint().is_empty());
    }
    // Also where it looks like growth.
    let larger = state("zpool1/data", u64::MAX, &[("a", 9)]);
    assert!(lineage(&data(), Seen::Known(&larger), Seen::Known(&full)).is_err());
}

/// 6: snapshots and children are no part of the size.
#[test]
fn only_what_a_dataset_refers_to_counts() {
    // Half of the bytes and ten times the snapshots.
    let many: Vec<_> = (1..100).map(|guid| ("s", guid)).collect();
    let one = state("zpool1/data", 500, &many);
    assert_eq!(
        size(&data(), one.referenced, Some(1000), &history(500, 1000), Step::Destroy, &GUARDS),
        Ok(vec![])
    );
    let less = size(&data(), 499, Some(1000), &history(499, 1000), Step::Destroy, &GUARDS);
    assert!(matches!(less, Err(Refusal::Smaller { limit: 50, .. })), "{less:?}");
}

/// 7: a size that is far from what it was when this node was last active.
#[test]
fn drift_is_told_and_refuses_nothing() {
    for (now, told) in [(1200, 0), (1201, 1), (800, 0), (799, 1)] {
        for step in [Step::Add, Step::Destroy, Step::Prune] {
            let answer = size(&data(), 1000, Some(now), &history(1000, 1000), step, &GUARDS);
            assert_eq!(answer.map(|told| told.len()), Ok(told), "{now} {step:?}");
        }
    }
    let told =
        size(&data(), 5000, Some(1000), &history(1000, 1000), Step::Destroy, &GUARDS).expect("allowed");
    assert_eq!(told, [Told::Drift { dataset: data(), before: 1000, now: 5000 }]);
}

/// 8: names and other datasets say nothing.
#[test]
fn what_is_common_is_found_by_guid_in_the_dataset_itself() {
    let source = state("zpool1/data", 1000, &[("a", 1), ("b", 2)]);
    let same_names = state("zpool1/data", 1000, &[("a", 11), ("b", 12)]);
    assert!(lineage(&data(), Seen::Known(&source), Seen::Known(&same_names)).is_err());
    let other_names = state("zpool1/data", 1000, &[("x", 11), ("y", 2)]);
    assert_eq!(lineage(&data(), Seen::Known(&source), Seen::Known(&other_names)), Ok(()));
}

/// 14: the retention has taken the last common snapshot; the way out is a bookmark, or a person.
#[test]
fn a_chain_that_is_lost_is_refused_and_a_bookmark_keeps_it() {
    let target = state("zpool1/data", 1000, &[("old", 1)]);
    let mut source = state("zpool1/data", 1000, &[("new", 5)]);
    assert!(lineage(&data(), Seen::Known(&source), Seen::Known(&target)).is_err());
    let kept = data().bookmark("kept").expect("a name");
    source.bookmarks.push(Bookmark { name: kept, guid: Guid(1), createtxg: Txg(1), ivset: None });
    assert_eq!(lineage(&data(), Seen::Known(&source), Seen::Known(&target)), Ok(()));
}

/// 15: exactly the limit passes.
#[test]
fn a_full_pool_stops_receiving_and_nothing_else() {
    assert_eq!(space("zpool1", 950, 1000, &GUARDS), Ok(()));
    assert!(matches!(space("zpool1", 951, 1000, &GUARDS), Err(Refusal::Full { limit: 95, .. })));
    assert!(space("zpool1", u64::MAX, u64::MAX, &GUARDS).is_err());
    // How the pool is does not depend on it.
    assert_eq!(health("zpool1", Some("ONLINE")), Ok(None));
}

/// 19: data in the root dataset of a pool are told.
#[test]
fn data_in_a_pool_itself_are_told_with_their_bytes() {
    assert_eq!(pool_root(&state("zpool1", 24_576, &[])), None);
    assert_eq!(pool_root(&state("zpool1/data", 1 << 30, &[])), None);
    let told = pool_root(&state("zpool1", 5 << 20, &[])).expect("told");
    assert!(told.to_string().contains("5242880 bytes") && told.to_string().contains("zpool1/data"), "{told}");
}

#[test]
fn a_source_that_shrank_goes_on_adding_and_pauses_pruning() {
    let told = size(&data(), 100, Some(1000), &history(1000, 1000), Step::Add, &GUARDS).expect("it goes on");
    assert!(matches!(&told[..], [Told::PruningPaused { .. }, Told::Drift { .. }]), "{told:?}");
    assert!(size(&data(), 100, Some(1000), &history(1000, 1000), Step::Prune, &GUARDS).is_err());
}

#[test]
fn each_role_does_what_it_may_and_no_more() {
    use Role::Active;
    use Role::Isolated;
    use Role::Standby;
    use Role::Unknown;
    for (role, send, receive, prune) in [
        (Active, true, false, true),
        (Standby, false, true, true),
        (Isolated, false, false, false),
        (Unknown, false, false, false),
    ] {
        assert_eq!(may_send(role).is_ok(), send, "{role}");
        assert_eq!(may_receive(role, None, Some(false)).is_ok(), receive, "{role}");
        assert_eq!(may_prune(role).is_ok(), prune, "{role}");
    }
    assert_eq!(may_receive(Standby, Some(&data()), Some(false)), Err(Refusal::Writable(data())));
    assert_eq!(may_receive(Standby, None, Some(true)), Err(Refusal::Service { known: true }));
    assert_eq!(may_receive(Standby, None, None), Err(Refusal::Service { known: false }));
}

#[test]
fn a_pool_that_does_not_work_or_says_nothing_is_refused() {
    assert!(matches!(health("zpool1", Some("DEGRADED")), Ok(Some(Told::Degraded { .. }))));
    for state in ["SUSPENDED", "FAULTED", "UNAVAIL", "REMOVED", "OFFLINE", "", "whatever"] {
        assert!(matches!(health("zpool1", Some(state)), Err(Refusal::Pool { .. })), "{state}");
    }
    assert!(matches!(health("zpool1", None), Err(Refusal::PoolUnknown(_))));
}
