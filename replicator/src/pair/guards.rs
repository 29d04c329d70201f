//! What stands against a step between the nodes of a pair although the planner could make it: the direction, a source of
//! another lineage, sizes that do not fit what is known, the health of a pool, and its space. All of it is pure: what was
//! seen goes in, and each answer says what it rests on. What may not be known is never taken for empty, and datasets are
//! told apart by their whole names.

use std::collections::BTreeMap;
use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::config::pair::Guards;
use crate::host::DatasetState;
use crate::role::Role;

/// What was seen of a dataset on one side.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// It is there.
    Known(&'a DatasetState),
    /// It is proven not to be there.
    Absent,
    /// It could not be looked at. This never reads as absent or empty.
    Failed(&'a str),
}

/// What a step does to the side that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A stream onto a snapshot that both sides have, or into a dataset that does not exist yet: nothing is lost by it.
    Add,
    /// It overwrites or destroys.
    Destroy,
    /// Old snapshots go by the policy.
    Prune,
}

/// Why a step is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only the active side sends and takes snapshots.
    #[error("this node is {0}, and only the active one sends and takes snapshots")]
    NotActive(Role),
    /// Only the standby side receives.
    #[error("this node is {0}, and only the standby receives")]
    NotStandby(Role),
    /// Where nobody knows who is active, nothing is pruned.
    #[error("this node is {0}: nothing is pruned before that is settled")]
    NobodyKnows(Role),
    /// Somebody may write to it.
    #[error("{0} is mounted and writable, so nothing is received into it")]
    Writable(DatasetName),
    /// The service may be running on the side that would receive.
    #[error("the service {} on the side that would receive", if *.known { "runs" } else { "may be running" })]
    Service {
        /// Whether that is known.
        known: bool,
    },
    /// A side could not be looked at.
    #[error("{dataset} could not be looked at: {why}")]
    NotSeen {
        /// The dataset.
        dataset: DatasetName,
        /// Why.
        why: String,
    },
    /// The source does not have what was to be sent.
    #[error("the source has no {0}")]
    NoSource(DatasetName),
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
    /// What the sizes were before is not known on both nodes.
    #[error(
        "the sizes that {0} had before are not known on both nodes, so nothing of it is overwritten or destroyed"
    )]
    NoHistory(DatasetName),
    /// The source has much less than the target.
    #[error(
        "{dataset} refers to {source_bytes} bytes at the source, and to {target} at the target: less than {limit} %"
    )]
    Smaller {
        /// The dataset.
        dataset: DatasetName,
        /// Bytes that the source refers to.
        source_bytes: u64,
        /// Bytes that the target refers to.
        target: u64,
        /// The limit.
        limit: u8,
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
    /// The pool is full.
    #[error("the pool {pool} is full to {used} of {size} bytes, which is more than {limit} %")]
    Full {
        /// The pool.
        pool: String,
        /// Bytes that are used.
        used: u64,
        /// Its size in bytes.
        size: u64,
        /// The limit.
        limit: u8,
    },
}

impl Refusal {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotActive(_) | Self::NotStandby(_) | Self::NobodyKnows(_) => {
                "`replicator pair status` shows who has the service, and what is not known"
            }
            Self::Writable(_) => "stop what uses it, and set readonly=on there",
            Self::Service { .. } => "stop the service there, or find out that it does not run",
            Self::NotSeen { .. } => "nothing is done before it can be looked at again",
            Self::NoSource(_) => "check the roots of the pair",
            Self::Stranger { .. } => {
                "the target's data are safe; turn the direction round by promoting the target, and fill the replaced disk from there"
            }
            Self::NoHistory(_) => "wait for a run in which both nodes have seen the sizes",
            Self::Smaller { .. } => "look at what is missing at the source before anything else",
            Self::Pool { .. } | Self::PoolUnknown(_) => "look at `zpool status`",
            Self::Full { .. } => "make room, or prune more; the service itself goes on",
        }
    }
}

/// What is told and stops nothing by itself.
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
    /// The source has much less than the target: its old snapshots stay for now.
    PruningPaused {
        /// Why.
        why: Box<Refusal>,
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
                write!(f, "{dataset} refers to {now} bytes, and to {before} when it was last seen")
            }
            Self::PruningPaused { why } => write!(f, "nothing is pruned on the target meanwhile: {why}"),
            Self::Degraded { pool } => write!(f, "the pool {pool} is DEGRADED"),
            Self::PoolRoot { pool, bytes } => write!(
                f,
                "{bytes} bytes lie in {pool} itself, whose dataset cannot be replicated to that of another pool: move them into a dataset below it, such as {pool}/data"
            ),
        }
    }
}

/// Whether this node may do what a step needs of it. `service` says whether the service runs on the side that would
/// receive, where that is known.
///
/// # Errors
/// When the role does not allow it.
pub fn may_send(role: Role) -> Result<(), Refusal> {
    if role == Role::Active { Ok(()) } else { Err(Refusal::NotActive(role)) }
}

/// Whether a side may be received into. `writable` is a dataset of it that is mounted and writable, `service` whether the
/// service runs there; `None` where that is not known.
///
/// # Errors
/// When it may be the active one.
pub fn may_receive(role: Role, writable: Option<&DatasetName>, service: Option<bool>) -> Result<(), Refusal> {
    if role != Role::Standby {
        return Err(Refusal::NotStandby(role));
    }
    if let Some(dataset) = writable {
        return Err(Refusal::Writable(dataset.clone()));
    }
    match service {
        Some(false) => Ok(()),
        known => Err(Refusal::Service { known: known.is_some() }),
    }
}

/// Whether a side may prune.
///
/// # Errors
/// When it is not known which one it is.
pub fn may_prune(role: Role) -> Result<(), Refusal> {
    match role {
        Role::Active | Role::Standby => Ok(()),
        Role::Isolated | Role::Unknown => Err(Refusal::NobodyKnows(role)),
    }
}

/// Whether the source may be the origin of what the target has. By GUIDs, for each dataset of its own: a name that both
/// have says nothing, and neither does what another dataset has.
///
/// # Errors
/// When the target has a history of which the source has nothing, whatever their sizes; when a side was not seen.
pub fn lineage(dataset: &DatasetName, source: Seen<'_>, target: Seen<'_>) -> Result<(), Refusal> {
    let not_seen = |why: &str| Refusal::NotSeen { dataset: dataset.clone(), why: why.to_string() };
    let source = match source {
        Seen::Known(state) => state,
        Seen::Absent => return Err(Refusal::NoSource(dataset.clone())),
        Seen::Failed(why) => return Err(not_seen(why)),
    };
    let target = match target {
        Seen::Known(state) => state,
        // A new disk on the standby is filled without asking.
        Seen::Absent => return Ok(()),
        Seen::Failed(why) => return Err(not_seen(why)),
    };
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
        dataset: dataset.clone(),
        snapshots: target.snapshots.len(),
        target: target.referenced,
        source_bytes: source.referenced,
    })
}

/// Bytes that datasets referred to when they were last seen, as each node has it written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// On this node.
    pub here: BTreeMap<DatasetName, u64>,
    /// On the other one.
    pub there: BTreeMap<DatasetName, u64>,
}

/// Whether sizes stand against a step on the target. Bytes are those that a dataset refers to itself, without its
/// snapshots and children.
///
/// # Errors
/// Only for a step that overwrites or destroys: when the source has too little, or it is not known what it had. Pruning is
/// refused where the source has too little.
pub fn size(
    dataset: &DatasetName,
    source: u64,
    target: Option<u64>,
    history: &History,
    step: Step,
    guards: &Guards,
) -> Result<Vec<Told>, Refusal> {
    let (here, there) = (history.here.get(dataset).copied(), history.there.get(dataset).copied());
    let smaller = target.filter(|target| below(source, *target, guards.source_below)).map(|target| {
        let limit = guards.source_below;
        Refusal::Smaller { dataset: dataset.clone(), source_bytes: source, target, limit }
    });
    match (step, smaller) {
        (Step::Destroy | Step::Prune, Some(smaller)) => return Err(smaller),
        (Step::Destroy, None) if here.is_none() || there.is_none() => {
            return Err(Refusal::NoHistory(dataset.clone()));
        }
        (Step::Add, Some(smaller)) => {
            let mut told = vec![Told::PruningPaused { why: Box::new(smaller) }];
            told.extend(drift(dataset, here, source, guards.drift));
            return Ok(told);
        }
        _ => {}
    }
    let target = target.and_then(|target| drift(dataset, there, target, guards.drift));
    Ok(drift(dataset, here, source, guards.drift).into_iter().chain(target).collect())
}

/// Whether `part` is less than so many per cent of `whole`. Of nothing, nothing is less.
fn below(part: u64, whole: u64, per_cent: u8) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(per_cent)
}

fn drift(dataset: &DatasetName, before: Option<u64>, now: u64, limit: u8) -> Option<Told> {
    let before = before?;
    let far = u128::from(before.abs_diff(now)) * 100 > u128::from(before) * u128::from(limit);
    far.then(|| Told::Drift { dataset: dataset.clone(), before, now })
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

/// Whether a pool has room to receive. It is asked of the side that receives and of nothing else: a full pool is no reason
/// to stop a service, whose other copy is as full.
///
/// # Errors
/// When it is fuller than the limit, or its size is not known.
pub fn space(pool: &str, used: u64, size: u64, guards: &Guards) -> Result<(), Refusal> {
    if size == 0 {
        return Err(Refusal::PoolUnknown(pool.to_string()));
    }
    if u128::from(used) * 100 > u128::from(size) * u128::from(guards.full) {
        return Err(Refusal::Full { pool: pool.to_string(), used, size, limit: guards.full });
    }
    Ok(())
}

/// What the root dataset of a pool refers to when there is nothing in it, with room to spare.
const EMPTY: u64 = 1 << 20;

/// Data in the root dataset of a pool whose other datasets are replicated.
#[must_use]
pub fn pool_root(root: &DatasetState) -> Option<Told> {
    let told = || Told::PoolRoot { pool: root.name.pool().to_string(), bytes: root.referenced };
    (root.name.depth() == 1 && root.referenced > EMPTY).then(told)
}
