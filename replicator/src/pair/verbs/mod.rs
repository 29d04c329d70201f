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

use super::epoch::BadNodeName;
use super::epoch::Doubt;
use super::fence::Held;
use super::guards;
use crate::engine::RunError;
use crate::host::Change;
use crate::host::HostError;
use crate::lock::LockError;
use crate::marks;
use crate::plan::Conflict;
use crate::role::source::NotTaken;
use crate::transfer::TransferError;

pub mod accept;
pub mod demote;
pub mod handover;
pub mod look;
pub mod node;
pub mod promote;
pub mod rejoin;
pub mod send;
#[cfg(test)]
mod tests;

pub use node::Mount;
pub use node::Node;

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

/// Why a verb does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A root is not there.
    #[error("{node} has no {root}")]
    NoRoot {
        /// Where.
        node: String,
        /// The root.
        root: DatasetName,
    },
    /// An epoch is not believed.
    #[error("the epoch of {root} on {node} is not known: {doubt}")]
    Doubtful {
        /// Where.
        node: String,
        /// The root.
        root: DatasetName,
        /// Why.
        doubt: Doubt,
    },
    /// Nothing says that the data here are those of the pair.
    #[error("{root} has never been in this pair as far as this node knows, and {why}")]
    NoLineage {
        /// The root.
        root: DatasetName,
        /// What else is not known.
        why: String,
    },
    /// A guard stands against it.
    #[error(transparent)]
    Guard(#[from] guards::Refusal),
    /// The first receive of a dataset has not come to its end.
    #[error("{0} has not been received completely yet")]
    Incomplete(DatasetName),
    /// The key is not loaded.
    #[error("the key of {0} is not loaded")]
    KeyNotLoaded(DatasetName),
    /// The data are older than they may be.
    #[error("the newest snapshot of {root} is {age} seconds old, and the limit is {limit}")]
    TooOld {
        /// The root.
        root: DatasetName,
        /// Its age in seconds.
        age: u64,
        /// The limit in seconds.
        limit: u64,
    },
    /// The other node was promoted later, and this one has not caught up.
    #[error("the other node was promoted later ({theirs}), and {root} here is still in {ours}")]
    PeerIsNewer {
        /// The root.
        root: DatasetName,
        /// Here.
        ours: Held,
        /// There.
        theirs: Held,
    },
    /// Both were promoted to the same epoch.
    #[error("both nodes were promoted to epoch {number} of {root}")]
    Both {
        /// The root.
        root: DatasetName,
        /// The epoch.
        number: u64,
    },
    /// The other node can still write.
    #[error("{root} can still be written to on {holder}, which is active")]
    PeerIsActive {
        /// The root.
        root: DatasetName,
        /// The other node.
        holder: String,
    },
    /// The other node can be asked, and has what was not sent yet.
    #[error("{dataset} lacks {missing} snapshot{} that the other node has", if *missing == 1 { "" } else { "s" })]
    Behind {
        /// The dataset.
        dataset: DatasetName,
        /// How many are missing.
        missing: usize,
    },
    /// There are no more epochs.
    #[error("the epoch of {0} is the last one there is")]
    NoMoreEpochs(DatasetName),
    /// What was mounted is not there, or cannot be written to, or something lies over it.
    #[error("{dataset} was mounted on {at}, and is not there to be written to")]
    NotMounted {
        /// The filesystem.
        dataset: DatasetName,
        /// Its mountpoint.
        at: String,
    },
    /// It has a mountpoint that is not a place for the program.
    #[error("{dataset} has no mountpoint (it is {mountpoint:?})")]
    NoMountpoint {
        /// The filesystem.
        dataset: DatasetName,
        /// The property.
        mountpoint: String,
    },
    /// This node is the active one.
    #[error("this node was promoted last ({0}): there is nobody that it could follow")]
    Newest(Held),
    /// Nobody was promoted yet.
    #[error("{0} has no epoch on the other node: it was not promoted yet")]
    NobodyIsActive(DatasetName),
    /// The other node gives away another epoch than the one that would be next here.
    #[error(
        "{root} was to take over epoch {number}, and is {}",
        .ours.as_ref().map_or_else(|| "in none".to_string(), |ours| format!("in {ours}"))
    )]
    NotNext {
        /// The root.
        root: DatasetName,
        /// The epoch that was given away.
        number: u64,
        /// Here.
        ours: Option<Held>,
    },
    /// This node does not have the service to give away.
    #[error("this node is not the one that was promoted last, so it has nothing to hand over")]
    NotHolder,
    /// It is for the active node to say.
    #[error(
        "{0} is not held by this node: what is accepted is said on the active one, and comes here with the next run"
    )]
    NotAccepted(DatasetName),
    /// Nothing is common.
    #[error("{0} has no snapshot in common with the other node")]
    NoBase(DatasetName),
    /// A pool's own dataset cannot be renamed.
    #[error("{0} is the root dataset of its pool, which cannot be set aside")]
    PoolRoot(DatasetName),
    /// The name under which something would be set aside is taken, or too long.
    #[error("{dataset} cannot be set aside: {why}")]
    Aside {
        /// The dataset.
        dataset: DatasetName,
        /// Why.
        why: String,
    },
    /// Something is not on the other node.
    #[error("{dataset} is not on the other node as it is here: {why}")]
    NotSent {
        /// The dataset.
        dataset: DatasetName,
        /// Why.
        why: String,
    },
    /// The service is not this node's to have.
    #[error("the service cannot be taken for this node: {0}")]
    Service(#[from] NotTaken),
    /// The service stays with this node.
    #[error("the service cannot be given to the other node: {0}")]
    NotHanded(String),
    /// A node that is to follow by itself may have something of its own.
    #[error("{dataset} {why}, so this node does not follow by itself")]
    Own {
        /// The dataset.
        dataset: DatasetName,
        /// What it may have alone.
        why: String,
    },
    /// The node has no name that could be written down.
    #[error(transparent)]
    Name(#[from] BadNodeName),
}

impl Refused {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoRoot { .. } => "check the roots of the pair; a new disk is filled from the other node".to_string(),
            Self::Doubtful { root, .. } => format!(
                "`zfs get {0} {root}` shows it; `zfs inherit -S {0} {root}` takes one away that came with a stream, `zfs inherit {0} {root}` one that is another pool's",
                marks::EPOCH
            ),
            Self::NoLineage { .. } => {
                "for the first promotion of a new pair, and only then, --force".to_string()
            }
            Self::Guard(refusal) => refusal.hint().to_string(),
            Self::Incomplete(_) => "start the service on the node that has the data".to_string(),
            Self::KeyNotLoaded(dataset) => format!("zfs load-key {dataset}"),
            Self::TooOld { .. } => "--force, if what was written since may be missing here; it is kept on the other node".to_string(),
            Self::PeerIsNewer { .. } => {
                "`replicator pair rejoin` lets this node follow first; --force makes it the active one, and the other one's writes have to be set aside then".to_string()
            }
            Self::Both { .. } => "decide which node goes on, stop the service on the other one, and `replicator pair rejoin` there: what it wrote is set aside".to_string(),
            Self::PeerIsActive { holder, .. } => format!("`replicator pair demote` on {holder}, or --force if nothing can write there"),
            Self::Behind { .. } => {
                "`replicator run` on the other node sends them; --force goes on without, and they are kept there".to_string()
            }
            Self::NoMoreEpochs(_) => "look at the epochs with `replicator pair status`".to_string(),
            Self::NotMounted { .. } => "see what else is mounted there (`findmnt`), and promote again".to_string(),
            Self::NoMountpoint { dataset, .. } => format!("zfs set mountpoint=PATH {dataset}"),
            Self::Newest(_) | Self::NobodyIsActive(_) | Self::NotHolder | Self::NotNext { .. } | Self::NotAccepted(_) => "`replicator pair status` shows who has the service".to_string(),
            Self::NoBase(_) => "--full sets it aside, and everything is sent anew".to_string(),
            Self::PoolRoot(_) => "move what is in it into a dataset below it".to_string(),
            Self::Aside { .. } => "rename what is in the way".to_string(),
            Self::NotSent { .. } => "nothing was switched, and this node goes on; try again".to_string(),
            Self::Service(NotTaken::Held { node, .. }) => format!(
                "`replicator pair demote` on {node} gives it back, and `replicator pair handover` there gives it over; of a node that is gone it ends by itself when its time (`ttl`) is over"
            ),
            Self::Service(NotTaken::NotKnown(_)) => {
                "mend what is named; --force goes on without, and nothing is sent before this node has the service".to_string()
            }
            Self::NotHanded(_) => "mend what is named, and hand over again: what was sent stays there".to_string(),
            Self::Own { .. } => {
                "`replicator pair rejoin` keeps what only this node has, and lets it follow".to_string()
            }
            Self::Name(_) => "name the node in the configuration of the pair".to_string(),
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
            // What the planner knows for it is for replications that are no pair's.
            Self::Run(error) if is_of_standby(error) => Some(
                "`replicator pair rejoin --aside` on the other node sets aside what was written to it, and lets it receive again"
                    .to_string(),
            ),
            Self::Run(error) => error.hint(),
        }
    }
}

/// Whether somebody has written to what a stream was to go into.
fn is_of_standby(error: &RunError) -> bool {
    match error {
        RunError::Conflict(Conflict::Diverged { .. }) => true,
        RunError::Transfer { error, .. } => {
            let modified = |error: &HostError| error.zfs_kind() == Some(ErrorKind::TargetModified);
            matches!(&**error, TransferError::Receiver(error) if modified(error))
        }
        _ => false,
    }
}

/// Carries steps out, one after the other. `tell` is called after each; `note` with what did not work and is no failure.
///
/// # Errors
/// When a step fails. Those before it are done.
pub fn carry_out(node: &mut dyn Node, steps: &[Step], tell: &mut dyn FnMut(&str)) -> Result<(), VerbError> {
    for step in steps {
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
