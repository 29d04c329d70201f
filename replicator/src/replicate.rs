//! One replication of one dataset: look at both sides, plan, and carry out exactly that plan. What is printed while
//! this goes on is the business of an [`Observer`].

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::cancel::Cancel;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::plan;
use crate::plan::Action;
use crate::plan::Conflict;
use crate::plan::Options;
use crate::plan::Plan;
use crate::plan::Step;
use crate::transfer::Coding;
use crate::transfer::Expected;
use crate::transfer::Head;
use crate::transfer::Moved;
use crate::transfer::Settings;
use crate::transfer::TransferError;
use crate::transfer::Wire;
use crate::transfer::transfer;

/// A place with datasets, and one dataset in it.
pub struct Side<'a> {
    /// The place.
    pub host: &'a mut dyn Host,
    /// The dataset.
    pub dataset: DatasetName,
}

/// Is told what happens.
pub trait Observer: Sync {
    /// A step begins; `number` counts from 1 to `of`.
    fn step_started(&self, number: usize, of: usize, step: &Step);
    /// So many more bytes of the step were handed to the receiver.
    fn progress(&self, bytes: u64);
    /// The step is done, and what it should bring about was checked.
    fn step_finished(&self, step: &Step, bytes: u64);
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps that were completed and checked.
    pub steps: usize,
    /// Bytes of the streams.
    pub bytes: u64,
}

/// Why a replication did not reach its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicateError {
    /// Going on would need a decision that only a person can make.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The source does not exist.
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
    /// The same dataset on both sides.
    #[error("source and target are the same dataset: {0}")]
    SameDataset(DatasetName),
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl ReplicateError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict(conflict) => Some(conflict.hint()),
            Self::NoSource { host, .. } => Some(format!("`zfs list` on {host} shows what there is")),
            Self::Host(error) => error.hint(),
            Self::Transfer { error, .. } => error.hint(),
            _ => None,
        }
    }
}

/// Looks at both sides and plans; changes nothing. The sizes of the streams are asked for with `estimate`.
///
/// # Errors
/// When a side cannot be looked at, or with the conflict that keeps a plan from being made.
pub fn prepare(
    source: &mut Side<'_>,
    target: &mut Side<'_>,
    options: Options,
    estimate: bool,
) -> Result<Plan, ReplicateError> {
    let state = match source.host.inventory(&source.dataset, Depth::One)? {
        Inventory::Present(tree) => tree.root().clone(),
        Inventory::Absent { .. } => {
            let (host, dataset) = (source.host.label().to_string(), source.dataset.clone());
            return Err(ReplicateError::NoSource { host, dataset });
        }
    };
    let inventory = target.host.inventory(&target.dataset, Depth::One)?;
    let mut plan = plan::plan(&state, &target.dataset, &inventory, options)?;
    if estimate {
        let streams: Vec<SendSpec> = plan.streams().cloned().collect();
        let mut sizes = source.host.estimate(&streams)?.into_iter();
        for step in &mut plan.steps {
            if matches!(step.action, Action::Send { .. }) {
                step.estimated_bytes = sizes.next().flatten();
            }
        }
    }
    Ok(plan)
}

/// Carries out a plan, step by step. Each received snapshot is read back from the target before the next step.
///
/// # Errors
/// At the first step that fails; what the target kept of it is continued by the next run.
pub fn execute(
    plan: &Plan,
    source: &mut dyn Host,
    target: &mut dyn Host,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Report, ReplicateError> {
    let mut report = Report::default();
    for (at, step) in plan.steps.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(ReplicateError::Cancelled);
        }
        observer.step_started(at + 1, plan.steps.len(), step);
        let bytes = match &step.action {
            Action::Discard { partial } => {
                let (dataset, partial) = (plan.target.clone(), partial.clone());
                target.apply(&Change::DiscardPartial { dataset, partial })?;
                0
            }
            Action::Send { spec, into, creates } => {
                let bytes = stream(spec, into, *creates, source, target, observer, cancel)?;
                check_received(spec, into, target)?;
                bytes
            }
        };
        report.steps += 1;
        report.bytes = report.bytes.saturating_add(bytes);
        observer.step_finished(step, bytes);
    }
    Ok(report)
}

fn stream(
    spec: &SendSpec,
    into: &SnapshotName,
    creates: bool,
    source: &mut dyn Host,
    target: &mut dyn Host,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<u64, ReplicateError> {
    // A replica that is written to cannot be continued: a new one is read-only until somebody decides otherwise.
    let set = if creates { vec![("readonly".to_string(), "on".to_string())] } else { Vec::new() };
    let expected =
        Expected { to: spec.to.guid, from: spec.from.as_ref().map(crate::host::Base::guid), raw: spec.raw };
    let outgoing = source.send(spec)?;
    let incoming = target.receive(&ReceiveSpec { to: into.clone(), set, origin: None, compressed: false })?;
    let settings = Settings::default();
    let head = Head::unread(outgoing, Coding::Plain, &settings);
    let progress = |moved: Moved| observer.progress(moved.plain);
    let moved =
        transfer(head, incoming, Coding::Plain, Wire::Out, expected, &settings, cancel, &progress);
    moved.map(|moved| moved.plain).map_err(|error| match error {
        TransferError::Cancelled => ReplicateError::Cancelled,
        error => ReplicateError::Transfer { to: into.clone(), error: Box::new(error) },
    })
}

fn check_received(spec: &SendSpec, into: &SnapshotName, target: &mut dyn Host) -> Result<(), ReplicateError> {
    let found = target.snapshot_guids(std::slice::from_ref(into))?.into_iter().next().flatten();
    if found == Some(spec.to.guid) {
        return Ok(());
    }
    let host = target.label().to_string();
    Err(ReplicateError::NotWhatWasSent { host, into: into.clone(), expected: spec.to.guid, found })
}
