//! One job into one of its targets: locks, a look at both sides, and what the engine makes of it.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Connect;
use super::memory::BaseMemory;
use super::memory::TargetMemory;
use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::connect::ConnectError;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Report;
use crate::engine::Request;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::lock::LockError;
use crate::lock::RunLock;
use crate::plan::Action;
use crate::plan::DatasetPlan;
use crate::plan::Divergence;
use crate::plan::TreePlan;
use crate::transfer::Budget;
use crate::transfer::Limiter;
use crate::transfer::Patience;
use crate::transfer::Settings;
use crate::transfer::retry::Backoff;

/// Why a job could not begin, or not go on with any of its datasets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Another run is on its way into this target.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A side cannot be asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A side could not be looked at, or a change before the streams failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl JobError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lock(error) => Some(error.hint()),
            Self::Connect(error) => error.hint(),
            Self::Run(error) => error.hint(),
        }
    }

    /// Whether another run does what this one would.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Lock(LockError::Busy { .. })
                | Self::Run(RunError::Host(HostError::Busy { .. }) | RunError::NotAlone { .. })
                | Self::Connect(ConnectError::Host(HostError::Busy { .. }))
        )
    }

    /// Whether the other machine, or the pool of a target, is just not there.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let away = |error: &HostError| matches!(error, HostError::Transport(_) | HostError::NoPool { .. });
        match self {
            Self::Connect(ConnectError::Host(error)) | Self::Run(RunError::Host(error)) => {
                away(error) && !error.is_cancelled()
            }
            _ => false,
        }
    }
}

/// What a job did for one target.
#[derive(Debug)]
pub struct Done {
    /// What was planned.
    pub plan: TreePlan,
    /// What came of it.
    pub report: Report,
    /// The GUID of the target's pool, if it was asked for.
    pub pool: Option<Guid>,
}

impl Done {
    /// What is to be remembered of the target. `now` is in seconds since 1970.
    #[must_use]
    pub fn seen(&self, job: &Job, target: &Target, now: i64) -> TargetMemory {
        let reached = |dataset: &DatasetPlan| {
            self.report.datasets.iter().any(|one| one.source == dataset.source && one.error.is_none())
        };
        let base = |dataset: &DatasetPlan| {
            let base = match reached(dataset) {
                true => dataset.newest().map(|guid| guid.0),
                // At least that; what has come since has a bookmark. Where a conflict says nothing, nothing new is known.
                false => Some(dataset.common.as_ref()?.guid().0),
            };
            Some(BaseMemory { source: dataset.source.to_string(), target: dataset.target.to_string(), base })
        };
        TargetMemory {
            job: job.name.clone(),
            to: target.endpoint.to_string(),
            pool: self.pool.map(|guid| guid.0),
            seen: now,
            datasets: self.plan.datasets.iter().filter_map(base).collect(),
            partial: true,
        }
    }
}

/// Whether other datasets than the one that is named may be changed on the target.
fn depth(job: &Job) -> Depth {
    // A target that is set aside or renamed takes along what is below it.
    let alone = !job.options.recursive && job.options.divergence == Divergence::Stop;
    if alone { Depth::One } else { Depth::All }
}

fn request(job: &Job, target: &Target, now: i64) -> Request {
    Request {
        source: job.source.dataset.clone(),
        target: target.endpoint.dataset.clone(),
        options: job.options.clone(),
        estimate: true,
        ignore_space: job.ignore_space,
        now,
    }
}

fn run(target: &Target) -> Run {
    let limits = &target.limits;
    let patience = Patience { bytes: limits.stall.map(Duration::from_secs), ..Patience::default() };
    let transfer = Settings {
        budget: Budget::new(limits.buffer),
        limiter: limits.rate.map_or_else(Limiter::none, Limiter::new),
        patience,
        compression: limits.compression,
        ..Settings::default()
    };
    let backoff = Backoff { attempts: limits.retries.saturating_add(1), ..Backoff::default() };
    Run { transfer, jobs: usize::try_from(limits.datasets).unwrap_or(1).max(1), backoff, lock: None }
}

/// Plans a job for a target; changes nothing. `now` is in seconds since 1970.
///
/// # Errors
/// When a side cannot be looked at. Conflicts of datasets are in the plan.
pub fn plan(job: &Job, target: &Target, connect: &dyn Connect, now: i64) -> Result<TreePlan, JobError> {
    let mut from = connect.host(&job.link, &job.source)?;
    let mut to = connect.host(&target.link, &target.endpoint)?;
    Ok(engine::prepare(from.as_mut(), to.as_mut(), &request(job, target, now))?)
}

/// Carries a job out for one target. `with_pool` asks for the GUID of its pool, too. `now` is in seconds since 1970.
///
/// # Errors
/// When it could not begin. What became of each dataset is in the report.
pub fn replicate(
    job: &Job,
    target: &Target,
    connect: &dyn Connect,
    observer: &dyn Observer,
    with_pool: bool,
    now: i64,
    cancel: &Cancel,
) -> Result<Done, JobError> {
    let depth = depth(job);
    let to_dataset = &target.endpoint.dataset;
    let machine = target.endpoint.machine.as_ref().map(|machine| machine.host.as_str());
    let lock = Arc::new(RunLock::take(machine, to_dataset, depth)?);
    let mut request = request(job, target, now);
    let mut from = connect.host(&job.link, &job.source)?;
    let mut to = connect.host(&target.link, &target.endpoint)?;
    if machine.is_some() {
        keep_others_out(to.as_mut(), to_dataset, depth, &lock, cancel).map_err(RunError::from)?;
    }
    let run = Run { lock: Some(lock), ..run(target) };
    let plan = engine::prepare(from.as_mut(), to.as_mut(), &request)?;
    let done = engine::execute(&plan, &request.options, from.as_mut(), to.as_mut(), &run, observer, cancel);
    // What cannot be told now can be told another time.
    let pool = |to: &mut Box<dyn Host>| {
        if with_pool { to.about(to_dataset.pool()).ok().map(|about| about.guid) } else { None }
    };
    match done {
        Err(RunError::Host(error)) if request.options.follow_renames && may_not_rename(&plan, &error) => {
            // Without the right to rename there, the old names go on.
            request.options.follow_renames = false;
            let plan = engine::prepare(from.as_mut(), to.as_mut(), &request)?;
            let (options, from) = (&request.options, from.as_mut());
            let report = engine::execute(&plan, options, from, to.as_mut(), &run, observer, cancel)?;
            Ok(Done { plan, report, pool: pool(&mut to) })
        }
        done => Ok(Done { report: done?, plan, pool: pool(&mut to) }),
    }
}

/// How long an agent of an earlier run, whose end was lost, may take to find that out.
const FAREWELL: Duration = Duration::from_secs(15);

/// Takes the lock on the target's machine: it keeps out runs from other machines, where there is an agent. The zfs
/// command cannot hold a lock; there the kernel takes one receive at a time.
pub(crate) fn keep_others_out(
    to: &mut dyn Host,
    root: &DatasetName,
    depth: Depth,
    lock: &RunLock,
    cancel: &Cancel,
) -> Result<(), HostError> {
    let deadline = Instant::now() + FAREWELL;
    loop {
        match to.lock(root, depth, lock.party()) {
            Err(HostError::Busy { .. }) if Instant::now() < deadline && !cancel.is_cancelled() => {
                std::thread::sleep(TICK);
            }
            locked => return locked,
        }
    }
}

/// Whether a run ended because the target's user may not rename what the source has renamed.
pub(crate) fn may_not_rename(plan: &TreePlan, error: &HostError) -> bool {
    let renames = plan
        .before
        .iter()
        .any(|step| matches!(&step.action, Action::Change { change: Change::Rename { .. }, .. }));
    let denied = match error {
        HostError::Zfs(error) => error.kind() == ErrorKind::PermissionDenied,
        HostError::Remote { message, operation, .. } => {
            *operation == "rename" && message.contains("permission denied")
        }
        _ => false,
    };
    renames && denied
}
