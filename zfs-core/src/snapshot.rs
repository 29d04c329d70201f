//! Taking, destroying and going back to snapshots.

use crate::error::{Error, ErrorKind, Failure, Operation, Result, failure};
use crate::name::SnapshotName;
use crate::nvlist::{NvList, Value};
use crate::property::PropertySet;
use crate::{Zfs, ffi};

/// What became of the snapshots that [`Zfs::destroy_snapshots`] was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Gone now (also those that were gone before).
    pub destroyed: Vec<SnapshotName>,
    /// Still there, each with its reason: held, cloned, and so on.
    pub failed: Vec<Failure>,
}

/// What to do with a snapshot that is held or has clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenInUse {
    /// Leave it and report it.
    Keep,
    /// Mark it, so that the kernel destroys it when its last hold or clone goes (`zfs destroy -d`).
    Defer,
}

impl Zfs {
    /// Takes all the snapshots in one transaction group: all of them or none. They must be of one pool, one a
    /// dataset, and `properties` (user properties only) is set on each.
    ///
    /// The error lists the names the kernel refused. See lzc_snapshot in libzfs_core.h.
    pub fn snapshot(&self, snapshots: &[SnapshotName], properties: &PropertySet) -> Result<()> {
        let Some(first) = snapshots.first() else { return Ok(()) };
        let list = flags(snapshots.iter().map(SnapshotName::as_str));
        let properties = (!properties.is_empty()).then(|| properties.list());
        let answer = self.ffi.snapshot(&list, properties);
        per_name(Operation::Snapshot, first, &answer)
    }

    /// Destroys snapshots of one pool, as many as possible in one call, and reports those that could not go.
    ///
    /// The kernel destroys all or none of a call, so after a refusal the rest is tried again without the refused
    /// ones. A snapshot that does not exist counts as destroyed, which is the kernel's own rule. The result is an
    /// error only where nothing can be said of single names (permission, read-only pool, names of several pools).
    pub fn destroy_snapshots(&self, snapshots: &[SnapshotName], in_use: WhenInUse) -> Result<Destroyed> {
        let mut outcome = Destroyed::default();
        let mut left: Vec<&SnapshotName> = snapshots.iter().collect();
        while let Some(first) = left.first() {
            let list = flags(left.iter().map(|name| name.as_str()));
            match per_name(
                Operation::DestroySnapshots,
                first,
                &self.ffi.destroy_snaps(&list, in_use == WhenInUse::Defer),
            ) {
                Ok(()) => {
                    outcome.destroyed.extend(left.into_iter().cloned());
                    break;
                }
                Err(error) => {
                    let before = left.len();
                    left.retain(|name| error.failures().iter().all(|failure| failure.name != name.as_str()));
                    if left.len() == before {
                        return Err(error);
                    }
                    outcome.failed.extend_from_slice(error.failures());
                }
            }
        }
        Ok(outcome)
    }

    /// Destroys snapshots of one pool: all, or none where one of them is held, has clones or is in use. One that does
    /// not exist counts as destroyed.
    pub fn destroy_snapshots_together(&self, snapshots: &[SnapshotName]) -> Result<()> {
        let Some(first) = snapshots.first() else { return Ok(()) };
        let list = flags(snapshots.iter().map(SnapshotName::as_str));
        per_name(Operation::DestroySnapshots, first, &self.ffi.destroy_snaps(&list, false))
    }

    /// Goes back to a snapshot, which must be the newest of its dataset: everything written since is lost.
    ///
    /// Refused with [`ErrorKind::NotNewest`] when a snapshot or bookmark is newer, also when it was made since the
    /// caller looked: newer snapshots are never destroyed by this call.
    pub fn rollback(&self, to: &SnapshotName) -> Result<()> {
        check(Operation::Rollback, to, self.ffi.rollback_to(to.dataset().as_str(), to.as_str()))
    }

    /// The space that destroying the snapshots from `first` to `last` of one dataset would free, in bytes.
    pub fn snapshot_range_space(&self, first: &SnapshotName, last: &SnapshotName) -> Result<u64> {
        self.ffi
            .snaprange_space(first.as_str(), last.as_str())
            .map_err(|errno| Error::new(Operation::Inspect, last, errno))
    }

    /// Renames a snapshot within its dataset.
    pub fn rename_snapshot(&self, from: &SnapshotName, to: &SnapshotName) -> Result<()> {
        if from.dataset() != to.dataset() {
            return Err(Error::found(
                Operation::Rename,
                from,
                ErrorKind::InvalidArgument,
                format!("a snapshot stays in its dataset, and {to} is in another"),
            ));
        }
        match self.ffi.rename(from.as_str(), to.as_str()) {
            libc::ENOENT | libc::ESRCH => {
                Err(Error::found(Operation::Rename, from, ErrorKind::NotFound, format!("wanted as {to}")))
            }
            errno => check(Operation::Rename, from, errno),
        }
    }
}

/// A set of names as the kernel takes it.
pub(crate) fn flags<'a>(names: impl Iterator<Item = &'a str>) -> NvList {
    let mut list = NvList::new();
    for name in names {
        list.insert(name, Value::Boolean);
    }
    list
}

/// An error number as a result.
pub(crate) fn check(operation: Operation, subject: impl std::fmt::Display, errno: i32) -> Result<()> {
    if errno == 0 { Ok(()) } else { Err(Error::new(operation, subject, errno)) }
}

/// An error number and a list of what failed for which name as a result. Some calls succeed as a whole and still
/// list names; those count as failed.
pub(crate) fn per_name(
    operation: Operation,
    subject: impl std::fmt::Display,
    answer: &ffi::Answer,
) -> Result<()> {
    let failures: Vec<Failure> = answer
        .list
        .iter()
        .flat_map(NvList::iter)
        .filter_map(|(name, value)| match value {
            Value::Int32(errno) if name != b"N_MORE_ERRORS".as_slice() => {
                Some(failure(operation, name, *errno))
            }
            _ => None,
        })
        .collect();
    match (answer.errno, failures.first()) {
        (0, None) => Ok(()),
        (0, Some(first)) => {
            let errno = first.errno;
            Err(Error::new(operation, subject, errno).with_failures(failures))
        }
        (errno, _) => Err(Error::new(operation, subject, errno).with_failures(failures)),
    }
}
