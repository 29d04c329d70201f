//! Holds: marks that keep a snapshot from being destroyed (zfs-hold(8)), for good or until this process ends.

use crate::Zfs;
use crate::dataset::Hold;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ffi::Device;
use crate::name::{HoldTag, SnapshotName};
use crate::nvlist::{NvList, Value};
use crate::snapshot::{flags, per_name};

/// Holds that end when this value is dropped or the process ends, however it ends: the kernel ties them to an open
/// file.
#[derive(Debug)]
pub struct HoldGuard {
    _device: Device,
}

impl Zfs {
    /// The holds on a snapshot.
    pub fn holds(&self, snapshot: &SnapshotName) -> Result<Vec<Hold>> {
        let answer = self.ffi.get_holds(snapshot.as_str());
        if answer.errno != 0 {
            return Err(Error::new(Operation::ListHolds, snapshot, answer.errno));
        }
        let list = answer.list.unwrap_or_default();
        list.iter()
            .map(|(tag, value)| match (HoldTag::try_from(tag), value) {
                (Ok(tag), Value::UInt64(created)) => Ok(Hold { tag, created: *created }),
                _ => Err(Error::found(
                    Operation::ListHolds,
                    snapshot,
                    ErrorKind::BadAnswer,
                    format!("the hold {:?} is not understood", String::from_utf8_lossy(tag)),
                )),
            })
            .collect()
    }

    /// Places a hold on each snapshot, all of one pool, that stays until it is released.
    ///
    /// Snapshots that do not exist are in the error's list while the others are held, which is the kernel's own rule.
    pub fn hold(&self, holds: &[(SnapshotName, HoldTag)]) -> Result<()> {
        self.place(holds, None)
    }

    /// Places holds that end with the returned guard or with this process.
    pub fn hold_for_now(&self, holds: &[(SnapshotName, HoldTag)]) -> Result<HoldGuard> {
        let subject = || holds.first().map(|hold| hold.0.to_string()).unwrap_or_default();
        let device =
            Device::open_exclusive().map_err(|errno| Error::new(Operation::Hold, subject(), errno))?;
        self.place(holds, Some(&device))?;
        Ok(HoldGuard { _device: device })
    }

    fn place(&self, holds: &[(SnapshotName, HoldTag)], until: Option<&Device>) -> Result<()> {
        let Some((first, _)) = holds.first() else { return Ok(()) };
        let mut list = NvList::new();
        for (snapshot, tag) in holds {
            if list.get(snapshot.as_str()).is_some() {
                let detail = "one call places one hold a snapshot";
                return Err(Error::found(Operation::Hold, snapshot, ErrorKind::InvalidArgument, detail));
            }
            list.insert(snapshot.as_str(), Value::String(tag.as_bytes().to_vec()));
        }
        per_name(Operation::Hold, first, &self.ffi.hold(&list, until))
    }

    /// Releases holds on snapshots of one pool.
    pub fn release(&self, holds: &[(SnapshotName, HoldTag)]) -> Result<()> {
        let Some((first, _)) = holds.first() else { return Ok(()) };
        let mut list = NvList::new();
        for (snapshot, tag) in holds {
            let mut tags = list.list(snapshot.as_str()).cloned().unwrap_or_else(|| flags(std::iter::empty()));
            tags.insert(tag.as_bytes(), Value::Boolean);
            list.insert(snapshot.as_str(), Value::List(tags));
        }
        per_name(Operation::Release, first, &self.ffi.release(&list))
    }
}
