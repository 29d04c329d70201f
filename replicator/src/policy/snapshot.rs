//! A snapshot as policies see it.

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::SnapshotName;

/// A snapshot as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its identity, the same on every machine.
    pub guid: Guid,
    /// Its place in the order of this pool, which no clock can change.
    pub createtxg: Txg,
    /// When it was taken by the clock of the machine that took it, in seconds since 1970 (`creation` in zfsprops(7)).
    pub creation: i64,
}
