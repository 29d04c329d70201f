//! The handle through which everything else is reached.

use std::sync::Arc;

use crate::command::Command;
use crate::error::{Error, ErrorKind, OpenError, Operation, Result};
use crate::ffi::{Ffi, Ioctl};
use crate::name::DatasetName;
use crate::nvlist::{Limits, NvList};

/// ZFS on this machine. Cheap to clone, and usable from any thread.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let zfs = zfs_core::Zfs::open()?;
/// println!("OpenZFS {}", zfs.version());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Zfs {
    pub(crate) ffi: Arc<Ffi>,
}

/// Where the module tells its version.
const VERSION_FILE: &str = "/sys/module/zfs/version";

impl Zfs {
    /// Loads the ZFS libraries and opens `/dev/zfs`.
    ///
    /// The error says what is missing, and [`OpenError::hint`] how to get it.
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { ffi: Arc::new(Ffi::open()?) })
    }

    /// The version of the loaded kernel module, such as `2.3.9-1`, or `unknown` where the module does not tell.
    pub fn version(&self) -> String {
        match std::fs::read_to_string(VERSION_FILE) {
            Ok(version) => version.trim().to_owned(),
            Err(_) => "unknown".to_owned(),
        }
    }

    /// The root datasets of the imported pools, sorted by name.
    pub fn pools(&self) -> Result<Vec<DatasetName>> {
        let mut command = Command::new("");
        let mut answer = vec![0; 256 << 10];
        loop {
            match self.ffi.ioctl(Ioctl::PoolConfigs, &mut command, &mut answer) {
                Ok(()) => break,
                Err(libc::ENOMEM) if (answer.len()..64 << 20).contains(&command.answer_length()) => {
                    answer.resize(command.answer_length() + 1, 0);
                }
                Err(libc::EINTR) => {}
                Err(errno) => return Err(Error::new(Operation::ListPools, "the pools", errno)),
            }
            command.set_cookie(0);
        }
        let bad = |what: String| Error::found(Operation::ListPools, "the pools", ErrorKind::BadAnswer, what);
        let length = command.answer_length().min(answer.len());
        let list =
            NvList::decode(&answer[..length], &Limits::default()).map_err(|error| bad(error.to_string()))?;
        let name = |name: &[u8]| {
            let text = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok());
            text.ok_or_else(|| {
                bad(format!("the pool name {:?} is not understood", String::from_utf8_lossy(name)))
            })
        };
        let mut pools = list.iter().map(|(pool, _)| name(pool)).collect::<Result<Vec<DatasetName>>>()?;
        pools.sort();
        Ok(pools)
    }
}
