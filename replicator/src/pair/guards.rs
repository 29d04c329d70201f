//! What stands against a step between the nodes of a pair although the planner could make it: the direction, a source of
//! another lineage, the health of a pool. What the sizes of datasets say is in [`super::sizes`]. All of it is pure: what was
//! seen goes in, and each answer says what it rests on. What could not be seen comes as an error of the one who looked, and
//! is never taken for empty; datasets are told apart by their whole names.
//!
//! Whether there is room for a stream needs no guard of its own: before it begins, its size is compared with what is
//! available in the dataset that receives it. And nothing is received where somebody may write: the agent there sees to
//! that ([`super::fence`]), as only it can.

use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::sizes::Loss;
use crate::host::DatasetState;
use crate::role::Role;

/// Why a step is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only the active side sends and takes snapshots.
    #[error("this node is {0}, and only the active one sends and takes snapshots")]
    NotActive(Role),
    /// The target has a history that the source knows nothing of: an empty disk, or another one, on the source.
    #[error(
        "the target of {dataset} has {snapshots} snapshots ({target} bytes), none of which the source ({source_bytes} bytes) knows: its disk may have been replaced"
    )]
    Stranger {
        /// The dataset of the source.
        dataset: DatasetName,
        /// How many snapshots the target has.
        snapshots: usize,
        /// Bytes that the target refers to.
        target: u64,
        /// Bytes that the source refers to.
        source_bytes: u64,
    },
    /// The pool does not work.
    #[error("the pool {pool} is {state}")]
    Pool {
        /// The pool.
        pool: String,
        /// The word of the kernel.
        state: String,
    },
    /// Nobody can say how the pool is.
    #[error("how the pool {0} is could not be found out")]
    PoolUnknown(String),
}

impl Refusal {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotActive(_) => "`replicator pair status` shows who has the service, and what is not known",
            Self::Stranger { .. } => {
                "nothing was changed: each node has a history that the other one does not know, and only one of them is the pair's. `replicator pair status` shows the epochs and snapshots of both. The one that is a stranger, as on a replaced disk, is put out of the way by `zfs rename` on its node; then promote the node that has the data, and the next run fills the other one from there"
            }
            Self::Pool { .. } | Self::PoolUnknown(_) => "look at `zpool status`",
        }
    }
}

/// What is told and stops nothing but pruning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The size is far from what it was.
    Drift {
        /// The dataset.
        dataset: DatasetName,
        /// Bytes that it referred to before.
        before: u64,
        /// Bytes that it refers to now.
        now: u64,
    },
    /// It lost most of its data at once: what is from before stays.
    Lost {
        /// The dataset.
        dataset: DatasetName,
        /// When, and how much.
        loss: Box<Loss>,
    },
    /// The active node has much less of it than the standby, which lets go of nothing.
    Smaller {
        /// The dataset.
        dataset: DatasetName,
        /// Bytes that it refers to on the active node.
        active: u64,
        /// Bytes that it refers to on the standby.
        standby: u64,
        /// The limit in per cent.
        limit: u8,
    },
    /// The active node does not have it at all: the standby lets go of nothing of its copy.
    Missing {
        /// The dataset.
        dataset: DatasetName,
        /// Bytes that it refers to on the standby.
        standby: u64,
    },
    /// How large its snapshots are is not known: none of them goes.
    NoSizes {
        /// The dataset.
        dataset: DatasetName,
        /// Why.
        why: String,
    },
    /// The pool works, and has lost some of its redundancy.
    Degraded {
        /// The pool.
        pool: String,
    },
    /// Data in the root dataset of a pool, which cannot be received into another pool's.
    PoolRoot {
        /// The pool.
        pool: String,
        /// Bytes that it refers to.
        bytes: u64,
    },
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Drift { dataset, before, now } => {
                write!(f, "{dataset} refers to {now} bytes, and to {before} up to a day before")
            }
            Self::Lost { dataset, loss } => {
                let (before, after) = (&loss.before, &loss.after);
                write!(
                    f,
                    "{dataset} lost most of its data: {} bytes at @{}, {} at @{}; what is as old as the first or older stays until it is accepted (`replicator pair accept`)",
                    before.bytes, before.short, after.bytes, after.short
                )
            }
            Self::Smaller { dataset, active, standby, limit } => write!(
                f,
                "{dataset} refers to {active} bytes on the active node, and to {standby} here: less than {limit} %, so nothing of it is pruned here"
            ),
            Self::Missing { dataset, standby } => write!(
                f,
                "{dataset} is not there on the active node, and refers to {standby} bytes here: nothing of it is pruned here"
            ),
            Self::NoSizes { dataset, why } => {
                write!(f, "nothing of {dataset} is pruned, as its sizes are not known: {why}")
            }
            Self::Degraded { pool } => write!(f, "the pool {pool} is DEGRADED"),
            Self::PoolRoot { pool, bytes } => write!(
                f,
                "{bytes} bytes lie in {pool} itself, whose dataset cannot be replicated to that of another pool: move them into a dataset below it, such as {pool}/data"
            ),
        }
    }
}

/// Whether this node may send.
///
/// # Errors
/// When the role does not allow it.
pub fn may_send(role: Role) -> Result<(), Refusal> {
    if role == Role::Active { Ok(()) } else { Err(Refusal::NotActive(role)) }
}

/// Whether the source may be the origin of what the target has. By GUIDs, for each dataset of its own: a name that both
/// have says nothing, and neither does what another dataset has.
///
/// # Errors
/// When the target has a history of which the source has nothing, whatever their sizes.
pub fn lineage(source: &DatasetState, target: &DatasetState) -> Result<(), Refusal> {
    if target.snapshots.is_empty() {
        return Ok(());
    }
    let known: HashSet<Guid> = source
        .snapshots
        .iter()
        .map(|one| one.guid)
        .chain(source.bookmarks.iter().map(|one| one.guid))
        .collect();
    if target.snapshots.iter().any(|one| known.contains(&one.guid)) {
        return Ok(());
    }
    Err(Refusal::Stranger {
        dataset: source.name.clone(),
        snapshots: target.snapshots.len(),
        target: target.referenced,
        source_bytes: source.referenced,
    })
}

/// Whether a pool works. `state` is the kernel's word for it.
///
/// # Errors
/// When it does not, or nobody knows.
pub fn health(pool: &str, state: Option<&str>) -> Result<Option<Told>, Refusal> {
    match state {
        Some("ONLINE") => Ok(None),
        // It has all data, and there may be no other node to turn to.
        Some("DEGRADED") => Ok(Some(Told::Degraded { pool: pool.to_string() })),
        Some(state) => Err(Refusal::Pool { pool: pool.to_string(), state: state.to_string() }),
        None => Err(Refusal::PoolUnknown(pool.to_string())),
    }
}

/// What the root dataset of a pool refers to when there is nothing in it, with room to spare.
const EMPTY: u64 = 1 << 20;

/// Data in the root dataset of a pool whose other datasets are replicated.
#[must_use]
pub fn pool_root(root: &DatasetState) -> Option<Told> {
    let told = || Told::PoolRoot { pool: root.name.pool().to_string(), bytes: root.referenced };
    (root.name.depth() == 1 && root.referenced > EMPTY).then(told)
}
