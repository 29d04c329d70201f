//! Carrying out a replication: look at both sides and plan ([`prepare`]), then do exactly what the plan says
//! ([`execute`]). Nothing is decided here but when to try again; what is printed meanwhile is the business of an
//! [`Observer`].

use std::sync::Arc;
use std::time::Duration;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::HostError;
use crate::lock::BUSY;
use crate::lock::LockError;
use crate::lock::RunLock;
use crate::plan::Conflict;
use crate::plan::Step;
use crate::transfer::Moved;
use crate::transfer::Settings;
use crate::transfer::TransferError;
use crate::transfer::retry::Backoff;

mod around;
mod execute;
#[cfg(test)]
mod gone_tests;
mod heads;
mod look;
mod removal;
mod schedule;
pub(crate) mod stream;
mod superseded;
#[cfg(test)]
mod tests;

pub use execute::execute;
pub use look::Request;
pub use look::prepare;

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct Run {
    /// Memory, rate, patience and compression of the transfers.
    pub transfer: Settings,
    /// How many datasets at the same time, at least 1.
    pub jobs: usize,
    /// When and how often to try again.
    pub backoff: Backoff,
    /// The lock of the target, which the run shares with others as soon as only datasets are left to be worked on.
    /// Without it the caller sees to it that nothing else is sent there.
    pub lock: Option<Arc<RunLock>>,
}

impl Default for Run {
    fn default() -> Self {
        Self { transfer: Settings::default(), jobs: 1, backoff: Backoff::default(), lock: None }
    }
}

/// Where in a plan something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The place in the plan's datasets; `None` for the steps before and after them.
    pub dataset: Option<usize>,
    /// Which step of these, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// Is told what happens, from several threads.
pub trait Observer: Sync {
    /// A step begins.
    fn step_started(&self, place: Place, step: &Step);
    /// So much more of the step's stream was handed to the receiver.
    fn progress(&self, place: Place, moved: Moved);
    /// The step is done, and what it should bring about was checked.
    fn step_finished(&self, place: Place, step: &Step, moved: Moved);
    /// A step failed with something that may pass, and is tried again.
    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration);
    /// Something that the reader should know, and that is no failure.
    fn note(&self, text: &str);
}

/// What became of one dataset.
#[derive(Debug)]
pub struct DatasetReport {
    /// The dataset of the source.
    pub source: DatasetName,
    /// Where it went.
    pub target: DatasetName,
    /// Steps that were completed and checked.
    pub steps: usize,
    /// What was sent.
    pub moved: Moved,
    /// Why it did not reach its end.
    pub error: Option<RunError>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of the plan.
    pub datasets: Vec<DatasetReport>,
    /// Steps after the datasets that were completed.
    pub steps_after: usize,
    /// What could not be done after the datasets: a dataset that is gone at the source and could not be removed.
    pub errors_after: Vec<RunError>,
}

impl Report {
    /// Steps that were completed and checked.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.datasets.iter().map(|dataset| dataset.steps).sum::<usize>() + self.steps_after
    }

    /// What was sent in all.
    #[must_use]
    pub fn moved(&self) -> Moved {
        self.datasets.iter().fold(Moved::default(), |sum, dataset| Moved {
            plain: sum.plain.saturating_add(dataset.moved.plain),
            wire: sum.wire.saturating_add(dataset.moved.wire),
        })
    }

    /// The datasets that did not reach their end.
    pub fn failures(&self) -> impl Iterator<Item = (&DatasetReport, &RunError)> {
        self.datasets.iter().filter_map(|dataset| Some((dataset, dataset.error.as_ref()?)))
    }
}

/// Why a replication did not reach its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Going on would need a decision that only a person can make.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The source does not exist. This never reads as datasets that are gone.
    #[error("{host} has no dataset {dataset}")]
    NoSource {
        /// The machine.
        host: String,
        /// The dataset.
        dataset: DatasetName,
    },
    /// A side could not be looked at, or refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Another run has it in hand.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another run is at work in the tree, and this one would change which datasets there are.
    #[error("another run is at work in {target}, and {what} has to be done alone")]
    NotAlone {
        /// The target.
        target: DatasetName,
        /// The first of the changes.
        what: String,
    },
    /// A stream broke off.
    #[error("{to}: {error}")]
    Transfer {
        /// The snapshot that was being received.
        to: SnapshotName,
        /// Why.
        error: Box<TransferError>,
    },
    /// The target reported success and has something else.
    #[error(
        "{into} was received, but on {host} it {}, where GUID {expected} was sent",
        .found.map_or_else(|| "does not exist".to_string(), |guid| format!("has GUID {guid}"))
    )]
    NotWhatWasSent {
        /// The machine.
        host: String,
        /// The snapshot.
        into: SnapshotName,
        /// What was sent.
        expected: Guid,
        /// What is there.
        found: Option<Guid>,
    },
    /// The target reported success and does not have the properties that were asked for.
    #[error("{dataset} was received, but {host} did not set {}", .missing.join(", "))]
    PropertiesNotSet {
        /// The machine.
        host: String,
        /// The dataset.
        dataset: DatasetName,
        /// Names of properties.
        missing: Vec<String>,
    },
    /// A dataset that is gone at the source was to be removed, and the source has it again.
    #[error("{dataset} is not removed: {host} has it again")]
    NotGone {
        /// The machine of the source.
        host: String,
        /// The dataset of the target.
        dataset: DatasetName,
    },
    /// A dataset that is gone at the source could not be removed.
    #[error("{dataset} is not removed: {error}")]
    NotRemoved {
        /// The dataset of the target.
        dataset: DatasetName,
        /// Why.
        error: Box<HostError>,
    },
    /// What a receive that broke off has kept may not be thrown away from here.
    #[error(
        "{dataset} keeps a receive that broke off and cannot go on, and it may not be thrown away: {error}"
    )]
    NotDiscarded {
        /// The dataset of the target.
        dataset: DatasetName,
        /// Why.
        error: Box<HostError>,
    },
    /// A dataset that this one needs failed.
    #[error("{waits_for} has to be sent first, and was not")]
    Dependency {
        /// The dataset of the source.
        waits_for: DatasetName,
    },
    /// The same dataset on both sides, or one inside of the other.
    #[error("{source_name} and {target} are the same, or one is below the other")]
    Overlap {
        /// The source.
        source_name: DatasetName,
        /// The target.
        target: DatasetName,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl RunError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict(conflict) => Some(conflict.hint()),
            Self::NoSource { host, .. } => Some(format!("`zfs list` on {host} shows what there is")),
            Self::Host(error) => error.hint(),
            Self::Lock(error) => Some(error.hint()),
            Self::NotAlone { .. } => Some(BUSY.to_string()),
            Self::Transfer { error, .. } => error.hint(),
            Self::NotRemoved { error, .. } => error.hint(),
            Self::NotDiscarded { dataset, .. } => Some(format!(
                "as root on the target's machine: `replicator tokens --discard {dataset}`; or name it in a [[receive]] of the configuration there, and its own runs do it when nothing more has come for long"
            )),
            Self::NotWhatWasSent { .. } => {
                Some("nothing more is sent to it; compare both sides with `replicator compare`".to_string())
            }
            Self::PropertiesNotSet { dataset, .. } => Some(format!(
                "give the receiving user the right to set them (zfs-allow(8)), or set them yourself on {dataset}"
            )),
            Self::Dependency { .. } => Some("its own message says why".to_string()),
            Self::Cancelled => {
                Some("what arrived is kept; run the same command again to go on from there".to_string())
            }
            _ => None,
        }
    }

    /// Whether another run does what this one would.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Lock(LockError::Busy { .. }) | Self::NotAlone { .. } | Self::Host(HostError::Busy { .. })
        )
    }

    fn of_transfer(to: &SnapshotName, error: TransferError) -> Self {
        match error {
            TransferError::Cancelled => Self::Cancelled,
            error => Self::Transfer { to: to.clone(), error: Box::new(error) },
        }
    }
}
