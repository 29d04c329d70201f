//! One of each change to a pool that could be refused: for the tests of what a user or a pool does not allow.

use zfs_core::Error;
use zfs_core::Operation;
use zfs_core::PropertySet;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::snapshot::WhenInUse;

use crate::pool::Pool;
use crate::pool::tag;

/// Tries each change on a filesystem, its snapshot `one`, and the pool's dataset `clone`, which is a clone of it. Were
/// they allowed, each would work.
pub(crate) fn tried(
    pool: &Pool,
    name: &DatasetName,
    one: &SnapshotName,
) -> Vec<(Operation, Result<(), Error>)> {
    let zfs = &pool.zfs;
    let (none, new, two) = (PropertySet::new(), pool.dataset("new"), pool.snap("a@two"));
    vec![
        (Operation::Create, zfs.create_filesystem(&new, &none)),
        (Operation::Create, zfs.create_volume(&new, 8 << 20, &none)),
        (Operation::SetProperty, zfs.set_properties(name, &PropertySet::new().text("org.x:y", "1"))),
        (Operation::SetProperty, zfs.set_properties(name, &PropertySet::new().text("compression", "lz4"))),
        (Operation::InheritProperty, zfs.inherit_property(name, "compression")),
        (Operation::Snapshot, zfs.snapshot(std::slice::from_ref(&two), &none)),
        (
            Operation::DestroySnapshots,
            zfs.destroy_snapshots(std::slice::from_ref(one), WhenInUse::Keep).map(drop),
        ),
        (Operation::Rename, zfs.rename(name, &new)),
        (Operation::Rename, zfs.rename_snapshot(one, &two)),
        (Operation::Clone, zfs.clone_snapshot(one, &new, &none)),
        (Operation::Promote, zfs.promote(&pool.dataset("clone"))),
        (Operation::Rollback, zfs.rollback(one)),
        (Operation::Bookmark, zfs.bookmark(&[(pool.mark("a#new"), one.clone().into())])),
        (Operation::Hold, zfs.hold(&[(one.clone(), tag("new"))])),
        (Operation::Destroy, zfs.destroy(&pool.dataset("clone"))),
    ]
}
