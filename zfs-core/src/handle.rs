//! The handle through which everything else is reached.

use std::sync::Arc;

use crate::error::OpenError;
use crate::ffi::Ffi;

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
}
