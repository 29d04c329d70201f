//! Commands to `/dev/zfs` that libzfs_core has no function for.
//!
//! One function, one enum of the commands in use, and the zeroed command block. What to put into the block, how to grow
//! buffers and what an errno means belongs to the caller.

use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use crate::bindings as raw;

/// The device all commands go to.
pub const DEV_ZFS: &str = "/dev/zfs";

/// A command of the ZFS driver. The comments name what goes in and out of the block beside `zc_name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Ioctl {
    /// Configurations of all imported pools. In: `zc_cookie`, generation already known. Out: nvlist pool → config.
    PoolConfigs = raw::ZFS_IOC_POOL_CONFIGS,
    /// Configuration and health of one pool. Out: nvlist.
    PoolStats = raw::ZFS_IOC_POOL_STATS,
    /// Statistics and, with a destination buffer, properties of one dataset. Out: `zc_objset_stats`, nvlist.
    ObjsetStats = raw::ZFS_IOC_OBJSET_STATS,
    /// The properties fixed at creation (`utf8only`, `normalization`, `casesensitivity`, `version`). Out: nvlist.
    ObjsetZplProps = raw::ZFS_IOC_OBJSET_ZPLPROPS,
    /// The next child of a filesystem. In and out: `zc_cookie`. Out: name, statistics, nvlist. `ESRCH` ends the list.
    DatasetListNext = raw::ZFS_IOC_DATASET_LIST_NEXT,
    /// The next snapshot of a dataset. As [`Self::DatasetListNext`]; the source nvlist may bound `createtxg`.
    SnapshotListNext = raw::ZFS_IOC_SNAPSHOT_LIST_NEXT,
    /// Sets properties. In: nvlist property → value; `zc_cookie` is true for received values. Out: nvlist of errors.
    SetProp = raw::ZFS_IOC_SET_PROP,
    /// Renames. In: `zc_value`, the new name; `zc_cookie` bit 0: the snapshots of all descendants too.
    Rename = raw::ZFS_IOC_RENAME,
    /// Properties of one pool. Out: nvlist.
    PoolGetProps = raw::ZFS_IOC_POOL_GET_PROPS,
    /// Clears a property. In: `zc_value`, its name; `zc_cookie` is true to fall back to the received value.
    InheritProp = raw::ZFS_IOC_INHERIT_PROP,
    /// The received properties only. Out: nvlist.
    ObjsetRecvdProps = raw::ZFS_IOC_OBJSET_RECVD_PROPS,
    /// Space written since a snapshot. In: `zc_value`, the snapshot. Out: `zc_cookie`, bytes.
    SpaceWritten = raw::ZFS_IOC_SPACE_WRITTEN,
    /// How far a send came. In: `zc_cookie`, its file descriptor. Out: `zc_cookie`, bytes; `zc_objset_type`, logical bytes.
    SendProgress = raw::ZFS_IOC_SEND_PROGRESS,
    /// Adds a line to the pool's history. In: nvlist `{message}`.
    LogHistory = raw::ZFS_IOC_LOG_HISTORY,
}

impl raw::zfs_cmd {
    /// A block of zeros, as every command expects it before its own fields are set. On the heap: it has 13744 bytes.
    pub fn zeroed() -> Box<Self> {
        // SAFETY: all fields are integers, or arrays and structures of them, for which all zeros is a value.
        Box::new(unsafe { std::mem::zeroed() })
    }
}

/// Issues one command. `Err` is the errno.
///
/// The errno is the operating system's or one of `ZFS_ERR_*`; what it means depends on the command.
///
/// # Errors
/// The errno, always positive.
///
/// # Safety
/// `fd` must be `/dev/zfs`. Every address in `block` (`zc_nvlist_src`, `zc_nvlist_dst`, `zc_nvlist_conf`, `zc_history`)
/// must be zero or point to memory of at least the size given beside it, valid until this returns and, for destinations,
/// not referenced by anything else meanwhile.
pub unsafe fn ioctl(fd: BorrowedFd<'_>, command: Ioctl, block: &mut raw::zfs_cmd) -> Result<(), i32> {
    // SAFETY: the block is a valid `zfs_cmd_t`, which the driver copies in and out whole; the caller vouches for the
    // addresses in it and for the file.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), command as libc::Ioctl, std::ptr::from_mut(block)) };
    if result == 0 {
        return Ok(());
    }
    // A ZFS number above 1023 reaches user space in errno like any other.
    Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn zeroed_block_is_all_zeros() {
        let block = raw::zfs_cmd::zeroed();
        assert!(block.zc_name.iter().all(|&c| c == 0));
        assert_eq!((block.zc_cookie, block.zc_simple, block.zc_zoneid), (0, 0, 0));
    }

    #[test]
    fn errno_of_a_refused_command_is_returned() {
        let file = File::open("/dev/null").expect("/dev/null");
        let mut block = raw::zfs_cmd::zeroed();
        // SAFETY: not /dev/zfs, but a device that refuses every command without looking at the block.
        let result = unsafe { ioctl(file.as_fd(), Ioctl::ObjsetStats, &mut block) };
        assert_eq!(result, Err(libc::ENOTTY));
    }
}
