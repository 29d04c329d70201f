//! The replication jobs of a configuration: carried out one by one ([`replicate`]), and asked what their targets have, so
//! that no prune takes away what the next stream starts from ([`bases`]). Targets are
//! pruned from here where a job says so ([`retain`]). What was seen of a target is remembered in the
//! state folder ([`memory`]), for the time when it cannot be asked.

use zfs_core::Zfs;

use crate::cancel::Cancel;
use crate::config::job::Link;
use crate::connect;
use crate::connect::ConnectError;
use crate::endpoint::Endpoint;
use crate::host::Host;

pub mod bases;
pub mod memory;
mod replicate;
pub mod retain;
#[cfg(test)]
mod tests;

pub use replicate::Done;
pub use replicate::JobError;
pub(crate) use replicate::keep_others_out;
pub(crate) use replicate::may_not_rename;
pub use replicate::plan;
pub use replicate::replicate;

/// Who makes hosts of endpoints.
pub trait Connect {
    /// The host of an endpoint.
    ///
    /// # Errors
    /// When nobody there can be asked.
    fn host(&self, link: &Link, endpoint: &Endpoint) -> Result<Box<dyn Host>, ConnectError>;
}

/// The hosts that there really are.
#[derive(Clone)]
pub struct Network {
    /// This machine's ZFS.
    pub zfs: Zfs,
    /// Ends every wait.
    pub cancel: Cancel,
}

impl Connect for Network {
    fn host(&self, link: &Link, endpoint: &Endpoint) -> Result<Box<dyn Host>, ConnectError> {
        connect::host(link, endpoint, Some(&self.zfs), &self.cancel)
    }
}
