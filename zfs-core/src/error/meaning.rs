//! The table from (operation, error number) to meaning. Its facts come from the kernel's sources of each operation
//! (`dmu_recv.c`, `dmu_send.c`, `dsl_dataset.c`, `dsl_userhold.c`, `dsl_bookmark.c`, `zfs_ioctl.c` of OpenZFS 2.1 to
//! 2.4); every row that a test can provoke is provoked in `tests/scenarios`.

use std::fmt;

use super::{ErrorKind, Operation};

/// Error numbers of ZFS's own (`zfs_errno_t` in sys/fs/zfs.h), which start above the system's.
pub(crate) mod zfs {
    pub(crate) const IOC_CMD_UNAVAIL: i32 = zfs_sys::ZFS_ERR_IOC_CMD_UNAVAIL as i32;
    pub(crate) const IOC_ARG_UNAVAIL: i32 = zfs_sys::ZFS_ERR_IOC_ARG_UNAVAIL as i32;
    pub(crate) const WRONG_PARENT: i32 = zfs_sys::ZFS_ERR_WRONG_PARENT as i32;
    pub(crate) const FROM_IVSET_GUID_MISSING: i32 = zfs_sys::ZFS_ERR_FROM_IVSET_GUID_MISSING as i32;
    pub(crate) const FROM_IVSET_GUID_MISMATCH: i32 = zfs_sys::ZFS_ERR_FROM_IVSET_GUID_MISMATCH as i32;
    pub(crate) const SPILL_BLOCK_FLAG_MISSING: i32 = zfs_sys::ZFS_ERR_SPILL_BLOCK_FLAG_MISSING as i32;
    pub(crate) const UNKNOWN_SEND_STREAM_FEATURE: i32 = zfs_sys::ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE as i32;
    pub(crate) const EXPORT_IN_PROGRESS: i32 = zfs_sys::ZFS_ERR_EXPORT_IN_PROGRESS as i32;
    pub(crate) const BOOKMARK_SOURCE_NOT_ANCESTOR: i32 = zfs_sys::ZFS_ERR_BOOKMARK_SOURCE_NOT_ANCESTOR as i32;
    pub(crate) const STREAM_TRUNCATED: i32 = zfs_sys::ZFS_ERR_STREAM_TRUNCATED as i32;
    pub(crate) const STREAM_LARGE_BLOCK_MISMATCH: i32 = zfs_sys::ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH as i32;
    pub(crate) const BADPROP: i32 = zfs_sys::ZFS_ERR_BADPROP as i32;
    pub(crate) const RESUME_EXISTS: i32 = zfs_sys::ZFS_ERR_RESUME_EXISTS as i32;
    pub(crate) const CRYPTO_NOTSUP: i32 = zfs_sys::ZFS_ERR_CRYPTO_NOTSUP as i32;
    pub(crate) const STREAM_LARGE_MICROZAP: i32 = zfs_sys::ZFS_ERR_STREAM_LARGE_MICROZAP as i32;
}

/// `ECKSUM` of ZFS on Linux is `EBADE`, `EFRAGS` is `EBADR`.
const ECKSUM: i32 = libc::EBADE;

/// What `errno` means when `operation` as a whole returned it.
pub(super) fn kind(operation: Operation, errno: i32) -> ErrorKind {
    use ErrorKind as K;
    use Operation as O;
    match (operation, errno) {
        (O::Receive, libc::ENODEV) => K::BaseMissing,
        (O::Receive, libc::ETXTBSY) => K::TargetModified,
        (O::Receive, libc::EBUSY) => K::PartialReceiveExists,
        (O::Receive, libc::EINVAL) => K::StreamMismatch,
        (O::Receive, libc::EACCES) => K::KeyNotLoaded,
        (O::Receive, zfs::RESUME_EXISTS) => K::PartialReceiveExists,
        (O::Receive, libc::ENOENT) => K::ParentNotFound,
        (O::Create | O::Clone | O::Rename, libc::ENOENT) => K::ParentNotFound,
        (O::Create | O::Clone, zfs::WRONG_PARENT) => K::WrongType,
        (O::Rollback, libc::EEXIST) => K::NotNewest,
        (O::Rollback, libc::ESRCH) => K::NotFound,
        (O::Rollback, libc::EXDEV) => K::NotNewest,
        (O::Destroy, libc::EEXIST) => K::HasChildren,
        (O::DestroySnapshots, libc::EBUSY) => K::Held,
        (O::DestroySnapshots, libc::EEXIST) => K::HasClones,
        (O::Promote, libc::EINVAL) => K::WrongType,
        (O::Release, libc::ESRCH | libc::ENOENT) => K::NotFound,
        (O::Hold, libc::EEXIST) => K::BadTag,
        (O::Hold, libc::E2BIG) => K::BadTag,
        (O::Snapshot, libc::ETXTBSY) => K::Busy,
        (O::Send | O::EstimateSend | O::Bookmark, libc::EXDEV) => K::NotAnAncestor,
        (O::Bookmark, zfs::BOOKMARK_SOURCE_NOT_ANCESTOR) => K::NotAnAncestor,
        (O::Send, libc::ESRCH) => K::NotFound,
        (O::Send, libc::EACCES) => K::KeyNotLoaded,
        (O::Send | O::EstimateSend, libc::ENOTSUP) => K::UnsupportedFeature,
        (O::SetProperty | O::InheritProperty, libc::EINVAL) => K::InvalidProperty,
        (O::Create, libc::EINVAL) => K::InvalidProperty,
        (O::SetProperty, libc::ENAMETOOLONG | libc::E2BIG) => K::InvalidProperty,
        _ => common(errno),
    }
}

/// What `errno` means for one name in the list of names that failed.
pub(super) fn kind_of_member(operation: Operation, errno: i32) -> ErrorKind {
    match (operation, errno) {
        // In the list of a hold, EEXIST is about the tag; in the list of a snapshot or bookmark, about the name.
        (Operation::Snapshot | Operation::Bookmark, libc::EEXIST) => ErrorKind::Exists,
        _ => kind(operation, errno),
    }
}

fn common(errno: i32) -> ErrorKind {
    use ErrorKind as K;
    match errno {
        libc::ENOENT | libc::ESRCH => K::NotFound,
        libc::EEXIST => K::Exists,
        libc::EBUSY => K::Busy,
        libc::EPERM | libc::EACCES => K::PermissionDenied,
        libc::EROFS => K::ReadOnly,
        libc::ENOSPC => K::NoSpace,
        libc::EDQUOT => K::QuotaExceeded,
        libc::ENAMETOOLONG => K::NameTooLong,
        libc::EINVAL => K::InvalidArgument,
        libc::EXDEV => K::CrossesPools,
        libc::EINTR => K::Interrupted,
        libc::EAGAIN => K::PoolSuspended,
        libc::EIO | libc::ENXIO => K::Io,
        libc::ENOTSUP => K::UnsupportedFeature,
        libc::E2BIG | libc::ENOMEM => K::TooBig,
        libc::EPIPE => K::Interrupted,
        ECKSUM => K::StreamCorrupt,
        zfs::STREAM_TRUNCATED => K::StreamTruncated,
        zfs::FROM_IVSET_GUID_MISSING | zfs::FROM_IVSET_GUID_MISMATCH => K::IvSetMismatch,
        zfs::UNKNOWN_SEND_STREAM_FEATURE
        | zfs::CRYPTO_NOTSUP
        | zfs::STREAM_LARGE_MICROZAP
        | zfs::SPILL_BLOCK_FLAG_MISSING => K::UnsupportedFeature,
        zfs::STREAM_LARGE_BLOCK_MISMATCH => K::StreamMismatch,
        zfs::BADPROP => K::InvalidProperty,
        zfs::WRONG_PARENT => K::WrongType,
        zfs::EXPORT_IN_PROGRESS => K::Busy,
        zfs::IOC_CMD_UNAVAIL | zfs::IOC_ARG_UNAVAIL => K::NotSupported,
        _ => K::Other,
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ErrorKind as K;
        f.write_str(match self {
            K::NotFound => "it does not exist",
            K::ParentNotFound => "its parent does not exist",
            K::Exists => "it exists already",
            K::Busy => "it is busy",
            K::PartialReceiveExists => "a partial or running receive is in the way",
            K::Held => "it is held",
            K::HasClones => "it has clones",
            K::HasChildren => "it has children or snapshots",
            K::PermissionDenied => "permission denied",
            K::ReadOnly => "the pool or dataset is read-only",
            K::NoSpace => "there is no space left in the pool",
            K::QuotaExceeded => "a quota or limit is reached",
            K::InvalidName => "the name is not valid",
            K::NameTooLong => "the name is too long",
            K::InvalidProperty => "a property or its value is not accepted",
            K::InvalidArgument => "the arguments do not fit",
            K::CrossesPools => "the names are not all in one pool",
            K::NotAnAncestor => "the incremental source is not an earlier state of the same dataset",
            K::BadTag => "the hold tag is in use or too long",
            K::NotNewest => "a newer snapshot or bookmark exists",
            K::BaseMissing => "the incremental source of the stream is not there",
            K::TargetModified => "it was modified since the incremental source",
            K::StreamTruncated => "the stream ended early",
            K::StreamCorrupt => "the stream is damaged",
            K::StreamMismatch => "the stream does not fit the dataset",
            K::UnsupportedFeature => "a needed feature is not supported or not enabled",
            K::IvSetMismatch => "the encrypted incremental source is of another lineage",
            K::KeyNotLoaded => "the encryption key is not loaded or does not fit",
            K::WrongType => "the dataset is not of the needed type",
            K::TooBig => "an argument or answer is too large",
            K::Interrupted => "interrupted",
            K::PoolSuspended => "the pool is suspended or the call must be tried again",
            K::Io => "input/output error",
            K::NotSupported => "the loaded ZFS does not know this call",
            K::Several => "several names failed",
            K::BadAnswer => "the answer of the kernel was not understood",
            K::Other => "error",
        })
    }
}

/// What to do next.
pub(super) fn hint(operation: Operation, kind: ErrorKind) -> Option<&'static str> {
    use ErrorKind as K;
    use Operation as O;
    Some(match (operation, kind) {
        (_, K::PermissionDenied) => "run as root, or delegate the right with `zfs allow`",
        (_, K::NoSpace) => {
            "free space in the pool (`zpool list`, `zfs list -o space`); nothing was destroyed to make room"
        }
        (_, K::QuotaExceeded) => {
            "raise the quota or limit (`zfs get quota,refquota,snapshot_limit,filesystem_limit`)"
        }
        (O::Promote, K::Exists) => {
            "destroy one of the two of that name, or give the snapshot another; nothing was promoted"
        }
        (_, K::Held) => "see `zfs holds`; release the hold first if it is yours",
        (_, K::HasClones) => "see the `clones` property; promote or destroy the clones first",
        (_, K::ReadOnly) => "import the pool writable (`zpool import` without `-o readonly=on`)",
        (_, K::PoolSuspended) => {
            "see `zpool status`; `zpool clear` resumes a pool after its devices are back"
        }
        (O::Receive, K::PartialReceiveExists) => "resume it with its receive_resume_token, or abort it",
        (O::Receive, K::TargetModified) => {
            "the target was written to since its last snapshot; nothing was changed. Compare both sides, then roll back or set the changes aside"
        }
        (O::Receive, K::BaseMissing) => {
            "list the snapshots of both sides again; another common snapshot is needed"
        }
        (O::Receive, K::StreamTruncated) => "what arrived is kept; run again to resume",
        (O::Receive | O::Send, K::KeyNotLoaded) => "load the key (`zfs load-key`), or send raw",
        (_, K::UnsupportedFeature) => "upgrade ZFS, or enable the feature on the pool (`zpool get all`)",
        (O::Destroy | O::Rename, K::Busy) => "unmount it first, and see that no process uses it",
        (O::Rollback, K::NotNewest) => {
            "only the newest snapshot can be rolled back to; newer snapshots and bookmarks stay untouched"
        }
        (O::Create | O::Clone | O::Rename | O::Receive, K::ParentNotFound) => {
            "create the parent dataset first"
        }
        _ => return None,
    })
}

/// The system's text for an error number.
pub(super) fn describe(errno: i32) -> String {
    if (1..1024).contains(&errno) {
        std::io::Error::from_raw_os_error(errno).to_string()
    } else {
        format!("error number {errno}")
    }
}
