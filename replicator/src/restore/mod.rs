//! Getting data back: versions of a file in the snapshots of this machine ([`versions`]), one of them copied out
//! ([`copy`]), a dataset set aside and another one put in its place ([`exchange`], which rollbacks and restored datasets
//! go through, carried out by [`carry`]). Nothing here destroys anything, and nothing that exists is written over.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::HostError;
use crate::lock::LockError;
use crate::marks;

pub mod carry;
pub mod copy;
pub mod exchange;
pub mod folder;
pub mod place;
pub mod rollback;
#[cfg(test)]
mod tests;
pub mod versions;
pub mod when;

/// Why a dataset is not exchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not there.
    #[error("there is no dataset {0}")]
    NoDataset(DatasetName),
    /// It does not have the snapshot.
    #[error("{0} does not have this snapshot any more")]
    NoSnapshot(DatasetName),
    /// A pool's own dataset cannot be renamed.
    #[error("{0} is the root dataset of its pool, which cannot be set aside")]
    PoolRoot(DatasetName),
    /// A receive into it has not come to its end.
    #[error("{0} waits for the rest of a stream")]
    Partial(DatasetName),
    /// A name would be too long.
    #[error("{0} cannot be renamed: {1}")]
    Name(DatasetName, String),
    /// The name under which it would be set aside is taken.
    #[error("{dataset} cannot be set aside: there is a dataset {aside}")]
    Taken {
        /// The dataset.
        dataset: DatasetName,
        /// The name.
        aside: DatasetName,
    },
    /// A dataset cannot take the place of another one.
    #[error("{new} cannot take the place of {old}: {why}")]
    DoesNotFit {
        /// The one that was restored.
        new: DatasetName,
        /// The one that is there.
        old: DatasetName,
        /// Why.
        why: String,
    },
    /// The key is not loaded.
    #[error("the key of {0} is not loaded")]
    KeyNotLoaded(DatasetName),
    /// Another exchange was begun and not finished.
    #[error("something else was begun for {dataset} and is not finished: GUID {new} is to take its place")]
    Another {
        /// The dataset.
        dataset: DatasetName,
        /// What is to take its place: a snapshot or a dataset.
        new: Guid,
    },
    /// What was to take the place is gone.
    #[error("{dataset} was set aside as {aside}, and what was to take its place (GUID {new}) is not found")]
    Lost {
        /// The name that is free.
        dataset: DatasetName,
        /// What was set aside.
        aside: DatasetName,
        /// The GUID that was looked for.
        new: Guid,
    },
    /// It does not come to an end.
    #[error("the exchange of {0} does not come to an end")]
    Endless(DatasetName),
}

impl Refused {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoDataset(_) => "check the name with `zfs list`".to_string(),
            Self::NoSnapshot(dataset) => format!("see what there is with `zfs list -t snapshot {dataset}`"),
            Self::PoolRoot(_) => "move what is in it into a dataset below it".to_string(),
            Self::Partial(dataset) => format!(
                "let the replication that sends it finish, or throw it away with `zfs receive -A {dataset}`"
            ),
            Self::Name(..) | Self::Taken { .. } => {
                "rename what is in the way, and run the same command again".to_string()
            }
            Self::DoesNotFit { .. } => "choose another name with --as".to_string(),
            Self::KeyNotLoaded(dataset) => {
                format!("`zfs load-key {dataset}`, then run the same command again")
            }
            Self::Another { dataset, .. } => format!(
                "run the command again that was begun, or `zfs inherit {} {dataset}` to forget about it: nothing is lost by either",
                marks::EXCHANGE
            ),
            Self::Lost { dataset, aside, .. } => format!(
                "run the same command again, with the same names; or go back with `zfs rename '{aside}' '{dataset}'`"
            ),
            Self::Endless(dataset) => format!("look at `zfs list -r -t all {dataset}`, and report this"),
        }
    }
}

/// Why nothing was brought back, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Something stands against it.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// A host could not be asked, or refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Somebody receives into it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A mount that is in use.
    #[error("{dataset} is in use: {cause}")]
    InUse {
        /// The filesystem.
        dataset: DatasetName,
        /// Why it was not unmounted.
        cause: String,
    },
    /// What is in place now is not mounted.
    #[error("{dataset} is in place, and is not mounted: {cause}")]
    NotMounted {
        /// The filesystem.
        dataset: DatasetName,
        /// Why.
        cause: String,
    },
    /// The path is in no filesystem of ZFS.
    #[error("{path} {why}")]
    Path {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A snapshot cannot be looked into.
    #[error("cannot look into {snapshot}: {cause}")]
    Snapshot {
        /// The snapshot.
        snapshot: SnapshotName,
        /// Why.
        cause: String,
    },
    /// Something cannot be copied.
    #[error("cannot {what}: {cause}")]
    Copy {
        /// What was tried: `write /tank/x`.
        what: String,
        /// Why.
        cause: std::io::Error,
    },
    /// What is to be written exists.
    #[error("{0} exists, and nothing is written over")]
    Exists(String),
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl From<Refused> for RestoreError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl RestoreError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refused) => Some(refused.hint()),
            Self::Host(error) => error.hint(),
            Self::Lock(error) => Some(error.hint()),
            Self::InUse { dataset, .. } => Some(format!(
                "end what uses it (`fuser -vm` with its mountpoint shows who does), and run the same command again; {dataset} was not changed"
            )),
            Self::NotMounted { .. } => Some(
                "load its key with `zfs load-key` if it is encrypted, and run the same command again: it does what is left".to_string(),
            ),
            Self::Path { .. } => Some("name a file or folder in a mounted filesystem of ZFS; it need not exist any more".to_string()),
            Self::Snapshot { .. } => Some("run it as root; the key of an encrypted dataset must be loaded".to_string()),
            Self::Exists(_) => Some("name another place with --to".to_string()),
            Self::Copy { .. } | Self::Cancelled => None,
        }
    }
}
