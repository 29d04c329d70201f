//! The guards, case by case. The names of the tests say which known defect of scripts for such pairs each one is about.

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::guards::*;
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

fn data() -> DatasetName {
    name("zpool1/data")
}

/// 5: an empty disk on the standby is filled, one on the active is refused, whatever the sizes are.
#[test]
fn an_empty_target_is_filled_and_an_empty_source_refused() {
    let full = state("zpool1/data", 1_000_000, &[("a", 1), ("b", 2)]);
    let empty = state("zpool1/data", 24_576, &[]);
    let fresh = state("zpool1/data", 2_000_000, &[("c", 3)]);
    assert_eq!(lineage(&full, &empty), Ok(()));
    for source in [&empty, &fresh] {
        let refused = lineage(source, &full);
        let Err(refused @ Refusal::Stranger { snapshots: 2, .. }) = refused else { panic!("{refused:?}") };
        assert!(refused.to_string().contains("1000000 bytes"), "{refused}");
        // Which of the two is the stranger is not known here, so neither is called the one to promote.
        let hint = refused.hint();
        assert!(hint.contains("`replicator pair status`") && hint.contains("`zfs rename`"), "{hint}");
        assert!(!hint.contains("destroy") && !hint.contains("promote the target"), "{hint}");
    }
    // Also where it looks like growth.
    let larger = state("zpool1/data", u64::MAX, &[("a", 9)]);
    assert!(lineage(&larger, &full).is_err());
}

/// 8: names and other datasets say nothing.
#[test]
fn what_is_common_is_found_by_guid_in_the_dataset_itself() {
    let source = state("zpool1/data", 1000, &[("a", 1), ("b", 2)]);
    let same_names = state("zpool1/data", 1000, &[("a", 11), ("b", 12)]);
    assert!(lineage(&source, &same_names).is_err());
    let other_names = state("zpool1/data", 1000, &[("x", 11), ("y", 2)]);
    assert_eq!(lineage(&source, &other_names), Ok(()));
}

/// 14: the retention has taken the last common snapshot; the way out is a bookmark, or a person.
#[test]
fn a_chain_that_is_lost_is_refused_and_a_bookmark_keeps_it() {
    let target = state("zpool1/data", 1000, &[("old", 1)]);
    let mut source = state("zpool1/data", 1000, &[("new", 5)]);
    assert!(lineage(&source, &target).is_err());
    let kept = data().bookmark("kept").expect("a name");
    source.bookmarks.push(Bookmark { name: kept, guid: Guid(1), createtxg: Txg(1), ivset: None });
    assert_eq!(lineage(&source, &target), Ok(()));
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
fn only_the_active_node_sends() {
    for (role, may) in
        [(Role::Active, true), (Role::Standby, false), (Role::Isolated, false), (Role::Unknown, false)]
    {
        assert_eq!(may_send(role).is_ok(), may, "{role}");
    }
}

#[test]
fn a_pool_that_does_not_work_or_says_nothing_is_refused() {
    assert!(matches!(health("zpool1", Some("DEGRADED")), Ok(Some(Told::Degraded { .. }))));
    for state in ["SUSPENDED", "FAULTED", "UNAVAIL", "REMOVED", "OFFLINE", "", "whatever"] {
        assert!(matches!(health("zpool1", Some(state)), Err(Refusal::Pool { .. })), "{state}");
    }
    assert!(matches!(health("zpool1", None), Err(Refusal::PoolUnknown(_))));
}
