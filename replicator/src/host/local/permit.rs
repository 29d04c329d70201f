//! The right to write to datasets of a pair, kept while nobody is promoted.

use super::LABEL;
use crate::host::HostError;
use crate::lock::LockError;
use crate::lock::Pass;
use crate::pair::Permit;
use crate::transport::TransportError;

impl Permit for Pass {
    fn is_recalled(&self) -> Result<bool, HostError> {
        self.is_wanted().map_err(no_permit)
    }

    /// The locks of another user lie in a folder of that user's own (`lock/files.rs`), where root does not look.
    fn is_seen_by_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// Why there is no permit, as an error of this host.
pub(super) fn no_permit(error: LockError) -> HostError {
    match error {
        LockError::Closed { dataset, process } => {
            HostError::Closed { host: LABEL.to_string(), dataset, process }
        }
        error => TransportError::Local {
            what: "cannot look after promotions".to_string(),
            cause: error.to_string(),
        }
        .into(),
    }
}
