//! Why a verb does not do what it was asked, and what can be done about it.

use zfs_core::name::DatasetName;

use crate::marks;
use crate::pair::epoch::BadNodeName;
use crate::pair::epoch::Doubt;
use crate::pair::fence::Held;
use crate::pair::guards;
use crate::role::source::NotTaken;
use crate::role::watch::Fenced;

/// Why a verb does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The other node does not say what it has, and is not just away.
    #[error("what {node} has is not known, and nothing says that it is gone: {why}")]
    NotAsked {
        /// The other node.
        node: String,
        /// Why.
        why: String,
        /// What can be done about that.
        hint: String,
    },
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
    /// The first replication of a root has not come to its end, and the other node does not say what is missing.
    #[error(
        "{root} has not been received as a whole yet: {}",
        if *of == 0 { "how much is missing was not counted".to_string() } else { format!("{there} of its {of} datasets are here") }
    )]
    NotWhole {
        /// The root.
        root: DatasetName,
        /// How many datasets are here up to their newest snapshot.
        there: u64,
        /// How many the other node has; 0 where nobody has counted them.
        of: u64,
    },
    /// A rejoin broke off.
    #[error("a rejoin of {0} broke off: a part of it is still set aside that belongs there")]
    Unfinished(DatasetName),
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
    /// The other node can be asked, and has a dataset that is not here.
    #[error("{dataset} is on {holder}, and not here")]
    Lacks {
        /// The dataset.
        dataset: DatasetName,
        /// The other node.
        holder: String,
    },
    /// The other node can be asked, and has written what is in no snapshot yet.
    #[error("{dataset} was written to on {holder} since its newest snapshot there ({bytes} bytes)")]
    Unsnapped {
        /// The dataset.
        dataset: DatasetName,
        /// The other node.
        holder: String,
        /// How much, as ZFS says it.
        bytes: u64,
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
    /// What was begun is not this node's to go on with.
    #[error(transparent)]
    Fenced(#[from] Fenced),
}

impl Refused {
    /// Whether it is only that the other node has not sent all that it has: that may still be on its way.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Lacks { .. } | Self::Unsnapped { .. })
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotAsked { hint, .. } => format!("{hint}; --force goes on without what it has to say"),
            Self::NotWhole { .. } => {
                "start the service on the node that has the data; if that one is lost, --force makes do with what is here".to_string()
            }
            Self::Unfinished(root) => format!(
                "`replicator pair rejoin` goes on with it; if the other node is lost for good, see what is where with `zfs list -r {}`, move it back with `zfs rename`, and then --force",
                root.pool()
            ),
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
            Self::Lacks { holder, .. } => format!(
                "`replicator run` on {holder} sends it; --force goes on without, and it is kept there"
            ),
            Self::Unsnapped { holder, .. } => format!(
                "`replicator pair demote` on {holder} takes a last snapshot, and sends it; --force goes on without, and it is kept there"
            ),
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
            Self::Fenced(_) => {
                "nothing more was done; what was done stays, and the next run or start finds out what this node is now".to_string()
            }
        }
    }
}
