//! What people and clusters ask of a pair: to promote a node, to demote it, to let one follow that was active, to hand
//! the service over. Each verb looks at what there is ([`look`]), makes a list of steps of it by a pure function
//! ([`promote`], [`demote`], [`rejoin`]), and carries these out on the [`Node`]. None keeps a state of its own: after a
//! crash between any two steps the same verb looks again and finds what is left to do.

use std::fmt;
use std::path::PathBuf;

use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;
use zfs_core::name::NameError;
use zfs_core::name::SnapshotName;

use super::guards;
use crate::engine::RunError;
use crate::host::Change;
use crate::host::HostError;
use crate::lock::LockError;
use crate::plan::Conflict;
use crate::transfer::TransferError;

pub mod accept;
pub mod demote;
pub mod far;
pub mod handover;
pub mod look;
pub mod node;
pub mod promote;
mod refused;
pub mod rejoin;
pub mod send;
#[cfg(test)]
mod tests;

pub use node::Mount;
pub use node::Node;
pub use refused::Refused;

/// One step of a verb on the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes snapshots of one pool in one call.
    Take(Vec<SnapshotName>),
    /// A change as replications make them, or the epoch.
    Change(Change),
    /// Hands to the pool what the kernel still has in memory of what was written to a mount.
    Flush(Mount),
    /// Ends a mount. Where it `must` be, one that is in use stops the verb; else it stays, read-only.
    Unmount {
        /// Which.
        mount: Mount,
        /// Whether it is an error if it stays.
        must: bool,
    },
    /// Mounts a filesystem where it belongs, and checks that it is on top there and can be written to.
    Mount {
        /// The filesystem.
        dataset: DatasetName,
        /// Its mountpoint.
        at: PathBuf,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(snapshots) => {
                let names: Vec<_> = snapshots.iter().map(SnapshotName::as_str).collect();
                write!(f, "take {}", names.join(", "))
            }
            Self::Change(change) => change.fmt(f),
            Self::Flush(mount) => write!(f, "write out what was written to {}", mount.at.display()),
            Self::Unmount { mount, .. } => write!(f, "unmount {} from {}", mount.dataset, mount.at.display()),
            Self::Mount { dataset, at } => write!(f, "mount {dataset} on {}", at.display()),
        }
    }
}

/// Why a verb did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerbError {
    /// It is not safe. Nothing was changed, or what was is said.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// A node could not be asked, or refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Somebody still receives.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A stream failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Refused> for VerbError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl VerbError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refused) => Some(refused.hint()),
            Self::Host(error) => error.hint(),
            Self::Lock(error) => Some(error.hint()),
            Self::Run(error) => of_pair(error).map(str::to_string).or_else(|| error.hint()),
        }
    }
}

/// What can be done about a stream within a pair. What the planner knows for it is for replications that are no pair's: one
/// side of those is a copy, and here either may have what counts.
fn of_pair(error: &RunError) -> Option<&'static str> {
    const DIVERGED: &str = "nothing was changed on either node; `replicator pair status` shows what only one of them has. Where this node goes on, `replicator pair rejoin --aside` on the other one keeps what only that one has under another name, and lets it receive again. Where the other one has what counts, stop the service here, `replicator pair demote` here, `replicator pair promote` there, and `replicator pair rejoin` here: then what only this one has is kept";
    const STRANGE: &str = "nothing was changed on either node, and either may have what counts: look into both. Where this node goes on, `replicator pair rejoin --aside --full` on the other one keeps the whole of what is there under another name, and everything is sent anew. Where the other one has what counts, take it from there first: it stays as it is";
    const PARTIAL: &str = "`replicator pair status` shows it; on the other node `replicator tokens` lists what was received of it, and `replicator tokens --discard` there throws that away, which touches no snapshot: then the next run sends it anew";
    const NO_SPACE: &str = "make room on the other node: `zpool list` and `zfs list -o space` there show what needs it; nothing was sent, and the next run tries again";
    match error {
        RunError::Conflict(Conflict::Diverged { .. }) => Some(DIVERGED),
        RunError::Conflict(
            Conflict::NoCommonBase { .. }
            | Conflict::TargetWithoutSnapshots { .. }
            | Conflict::KindMismatch { .. }
            | Conflict::Promoted { .. },
        ) => Some(STRANGE),
        RunError::Conflict(Conflict::Partial { .. }) => Some(PARTIAL),
        RunError::Conflict(Conflict::NoSpace { .. }) => Some(NO_SPACE),
        RunError::Transfer { error, .. } => {
            let modified = |error: &HostError| error.zfs_kind() == Some(ErrorKind::TargetModified);
            matches!(&**error, TransferError::Receiver(error) if modified(error)).then_some(DIVERGED)
        }
        _ => None,
    }
}

/// Whether a pool works, by the kernel's word. To be asked before anything of it is looked at: whoever looks into a pool that
/// hangs, hangs with it.
///
/// # Errors
/// When it does not, or nobody knows.
pub fn working(node: &mut dyn Node, pool: &str) -> Result<Option<guards::Told>, VerbError> {
    let state = node.health(pool)?;
    Ok(guards::health(pool, state.as_deref()).map_err(Refused::from)?)
}

/// Carries steps out, one after the other. `tell` is called after each; `note` with what did not work and is no failure.
///
/// # Errors
/// When a step fails. Those before it are done.
pub fn carry_out(node: &mut dyn Node, steps: &[Step], tell: &mut dyn FnMut(&str)) -> Result<(), VerbError> {
    for step in steps {
        node.still()?;
        match step {
            Step::Take(snapshots) => node.take(snapshots)?,
            Step::Change(change) => node.host().apply(change)?,
            Step::Flush(mount) => node.flush(mount)?,
            Step::Unmount { mount, must } => match node.unmount(mount) {
                Err(error) if !must => {
                    tell(&format!("{} stays mounted, read-only: {error}", mount.dataset));
                    continue;
                }
                unmounted => unmounted?,
            },
            Step::Mount { dataset, at } => {
                let is_there = |mounts: &[Mount]| {
                    let on_top = mounts.iter().rev().find(|mount| mount.at == *at);
                    on_top.is_some_and(|mount| mount.dataset == *dataset && mount.writable)
                };
                if !is_there(&node.mounts()?) {
                    node.mount(dataset, at)?;
                }
                if !is_there(&node.mounts()?) {
                    let at = at.display().to_string();
                    return Err(Refused::NotMounted { dataset: dataset.clone(), at }.into());
                }
            }
        }
        tell(&step.to_string());
    }
    Ok(())
}

/// Waits until all that was written to the pools of these roots is on their disks.
pub(super) fn settle(node: &mut dyn Node, roots: &[DatasetName]) -> Result<(), HostError> {
    let pools: std::collections::BTreeSet<_> = roots.iter().map(DatasetName::pool).collect();
    pools.into_iter().try_for_each(|pool| node.host().settle(pool))
}

/// The name of a snapshot of ours, or of one more where that is taken: `divergent-7`, `divergent-7-2`.
pub(super) fn snapshot_name(
    state: &crate::host::DatasetState,
    what: &str,
    epoch: u64,
) -> Result<SnapshotName, NameError> {
    let mut short = format!("{what}-{epoch}");
    let mut count = 1;
    while state.snapshots.iter().any(|one| one.name.short() == short) {
        count += 1;
        short = format!("{what}-{epoch}-{count}");
    }
    state.name.snapshot(&short)
}

/// Snapshots in calls of one pool each.
pub(super) fn take_together(snapshots: Vec<SnapshotName>) -> Vec<Step> {
    let mut pools: std::collections::BTreeMap<String, Vec<SnapshotName>> = std::collections::BTreeMap::new();
    for snapshot in snapshots {
        pools.entry(snapshot.dataset().pool().to_string()).or_default().push(snapshot);
    }
    pools.into_values().map(Step::Take).collect()
}
