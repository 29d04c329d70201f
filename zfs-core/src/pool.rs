//! The pools of this machine: which are imported, the identity and features of one, and how well it is.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ffi::Ioctl;
use crate::name::DatasetName;
use crate::nvlist::{Limits, NvList, Value};
use crate::{Guid, Zfs};

mod status;

pub use status::{Health, PoolStatus, Vdev, VdevRole};

/// More than this the configuration of pools never takes.
const ANSWER_LIMIT: usize = 64 << 20;

/// An imported pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its root dataset.
    pub name: DatasetName,
    /// Its identity.
    pub guid: Guid,
    /// The features that are enabled, by the kernel's name (`org.open-zfs:large_blocks`, see zpool-features(7)), each
    /// with the number of its users: 0 is enabled, more is active.
    pub features: BTreeMap<String, u64>,
    /// Bytes that are in use, and bytes that there are, both before any redundancy: what `zpool list` shows as ALLOC and
    /// SIZE. `None` where the kernel does not say so.
    pub space: Option<(u64, u64)>,
}

impl Pool {
    /// How many percent of it are in use, as `zpool list` shows it: rounded down.
    pub fn capacity(&self) -> Option<u8> {
        let (used, size) = self.space?;
        u8::try_from(u128::from(used).saturating_mul(100).checked_div(u128::from(size))?).ok()
    }
}

impl Zfs {
    /// The root datasets of the imported pools, sorted by name.
    pub fn pools(&self) -> Result<Vec<DatasetName>> {
        let list = self.configuration(Ioctl::PoolConfigs, "", "the pools")?;
        let name = |name: &[u8]| {
            let text = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok());
            let shown = String::from_utf8_lossy(name).into_owned();
            text.ok_or_else(|| bad("the pools", format!("the pool name {shown:?} is not understood")))
        };
        let mut pools = list.iter().map(|(pool, _)| name(pool)).collect::<Result<Vec<DatasetName>>>()?;
        pools.sort();
        Ok(pools)
    }

    /// Waits until all that was written to a pool is on its disks. After that the numbers of its datasets, such as
    /// `written`, say all of it. See lzc_sync in libzfs_core.h.
    pub fn sync(&self, pool: &DatasetName) -> Result<()> {
        match self.ffi.sync(pool.pool()) {
            0 => Ok(()),
            errno => Err(Error::new(Operation::Sync, pool, errno)),
        }
    }

    /// The pool of that name, which is the first component of a dataset's name.
    pub fn pool(&self, name: &str) -> Result<Pool> {
        let root: DatasetName = name.parse().map_err(|error| bad(name, format!("{error}")))?;
        let list = self.configuration(Ioctl::PoolStats, name, name)?;
        let guid = list.u64("pool_guid").ok_or_else(|| bad(name, "it has no GUID".to_owned()))?;
        let stats = list.list("feature_stats");
        let features = stats.into_iter().flat_map(NvList::iter).filter_map(|(feature, users)| {
            let Value::UInt64(users) = users else { return None };
            Some((std::str::from_utf8(feature).ok()?.to_owned(), *users))
        });
        // `vdev_stat_t`: time, state, cause, allocated, size, and more.
        let space = match list.list("vdev_tree").and_then(|top| top.get("vdev_stats")) {
            Some(Value::UInt64Array(stats)) => stats.get(3).copied().zip(stats.get(4).copied()),
            _ => None,
        };
        Ok(Pool { name: root, guid: Guid(guid), features: features.collect(), space })
    }

    fn configuration(&self, ioctl: Ioctl, name: &str, subject: &str) -> Result<NvList> {
        let mut command = Command::new(name);
        let mut answer = vec![0; 256 << 10];
        loop {
            match self.ffi.ioctl(ioctl, &mut command, &mut answer) {
                Ok(()) => break,
                Err(libc::ENOMEM) if (answer.len()..ANSWER_LIMIT).contains(&command.answer_length()) => {
                    answer.resize(command.answer_length() + 1, 0);
                }
                Err(libc::EINTR) => {}
                Err(errno) => return Err(Error::new(Operation::ListPools, subject, errno)),
            }
            command.set_cookie(0);
        }
        let length = command.answer_length().min(answer.len());
        NvList::decode(&answer[..length], &Limits::default()).map_err(|error| bad(subject, error.to_string()))
    }
}

fn bad(subject: &str, what: String) -> Error {
    Error::found(Operation::ListPools, subject, ErrorKind::BadAnswer, what)
}
