//! Why a request is refused, in words and in kinds that go over the connection, and what can be done about it.

use std::fmt;

use zfs_core::name::DatasetName;

use crate::marks;
use crate::pair::epoch::Doubt;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The root has an epoch, and the request presents none.
    #[error("{root} belongs to a pair ({held}), and the request does not say for which epoch it comes")]
    NoClaim {
        /// The root.
        root: DatasetName,
        /// What the root says.
        held: Held,
    },
    /// What stands there as an epoch is not believed.
    #[error("the epoch of {root} is not known: {doubt}")]
    Unknown {
        /// The root.
        root: DatasetName,
        /// Why it is not believed.
        doubt: Doubt,
    },
    /// The request comes for an epoch that is over.
    #[error("{holder} comes for epoch {presented} of {root}, and it is in {held}")]
    Lower {
        /// The root.
        root: DatasetName,
        /// The epoch of the request.
        presented: u64,
        /// Who presents it.
        holder: NodeName,
        /// What the root says.
        held: Held,
    },
    /// Two nodes were promoted to the same epoch.
    #[error("both {holder} and {} were promoted to epoch {} of {root}", held.holder, held.number)]
    Both {
        /// The root.
        root: DatasetName,
        /// Who presents it.
        holder: NodeName,
        /// What the root says.
        held: Held,
    },
    /// The node itself holds the epoch: it has the service, or had it and does not know better.
    #[error("{root} is held by this node itself ({held}): nothing is received into the active side")]
    Active {
        /// The root.
        root: DatasetName,
        /// What the root says.
        held: Held,
    },
    /// The other node was promoted after this one, which may have something of its own.
    #[error("{root} is held by this node itself ({held}), and {dataset} {why}")]
    Keeps {
        /// The root.
        root: DatasetName,
        /// What the root says.
        held: Held,
        /// The dataset.
        dataset: DatasetName,
        /// What it may have alone.
        why: String,
    },
    /// Both nodes have the same name.
    #[error("the request comes from a node that is called {0}, as this one is")]
    SameName(NodeName),
    /// The dataset is writable and mounted: somebody may write there.
    #[error("{0} is mounted and writable: somebody may write there")]
    Writable(DatasetName),
    /// The request is about another root than the one that lies there.
    #[error("the request comes for {claimed}, and the root of the pair is {root}")]
    OtherRoot {
        /// The root that lies there.
        root: DatasetName,
        /// The root that was presented.
        claimed: DatasetName,
    },
    /// The number is further ahead than promotions can have brought it.
    #[error("epoch {presented} of {root} is too far ahead of {held} to be true")]
    TooFar {
        /// The root.
        root: DatasetName,
        /// The epoch of the request.
        presented: u64,
        /// The newest epoch known here; 0 where there is none.
        held: u64,
    },
    /// The request would set the epoch itself.
    #[error("{} is set by promotions and by nobody else", marks::EPOCH)]
    Forged,
    /// The root is being promoted or given away.
    #[error("{0} is just being promoted on this node, or given away")]
    Promoting(DatasetName),
    /// Who answers is not root, and a promotion would not see what it receives.
    #[error(
        "{0} belongs to a pair, and the agent here does not run as root: a promotion would not see what it receives"
    )]
    NotRoot(DatasetName),
    /// A rejoin of the root broke off.
    #[error("a rejoin of {0} broke off on this node, and has set a part of it aside that belongs there")]
    Unfinished(DatasetName),
}

/// An epoch and its holder, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The epoch.
    pub number: u64,
    /// Its holder.
    pub holder: NodeName,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} of {}", self.number, self.holder)
    }
}

impl From<&Epoch> for Held {
    fn from(epoch: &Epoch) -> Self {
        Self { number: epoch.number, holder: epoch.holder.clone() }
    }
}

/// The kinds of refusals, as they go over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the variant of `Refusal` of that name")]
pub enum Kind {
    NoClaim,
    Unknown,
    Lower,
    Both,
    Active,
    SameName,
    Writable,
    OtherRoot,
    TooFar,
    Forged,
    Promoting,
    Unfinished,
    /// Anything else, and what this version does not know.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoClaim { .. } => Kind::NoClaim,
            Self::Unknown { .. } => Kind::Unknown,
            Self::Lower { .. } => Kind::Lower,
            Self::Both { .. } => Kind::Both,
            Self::Active { .. } | Self::Keeps { .. } => Kind::Active,
            Self::SameName(_) => Kind::SameName,
            Self::Writable(_) => Kind::Writable,
            Self::OtherRoot { .. } => Kind::OtherRoot,
            Self::TooFar { .. } => Kind::TooFar,
            Self::Forged => Kind::Forged,
            Self::Promoting(_) => Kind::Promoting,
            Self::Unfinished(_) => Kind::Unfinished,
            // Nobody does anything but tell it.
            Self::NotRoot(_) => Kind::Other,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoClaim { root, .. } => format!(
                "replicate it as a pair of the configuration; where {root} is part of no pair any more, `zfs inherit {} {root}`",
                marks::EPOCH
            ),
            Self::Unknown { root, .. } => format!(
                "`zfs get all {root}` shows it; where it is a copy that belongs to no pair, `zfs inherit -S {0} {root}` or `zfs inherit {0} {root}` removes it",
                marks::EPOCH
            ),
            Self::Lower { holder, .. } => format!(
                "{holder} was active before; `replicator pair rejoin` there keeps what it wrote since, and lets it follow"
            ),
            Self::Both { .. } => {
                "neither receives from the other; decide which one goes on, stop the service on the other one, and `replicator pair rejoin` there: its writes are set aside".to_string()
            }
            Self::Active { .. } => {
                "`replicator pair status` shows who has the service; if it is the other node, `replicator pair rejoin` here lets this one follow".to_string()
            }
            Self::Keeps { .. } => {
                "`replicator pair rejoin` there keeps what it has alone, and lets it follow".to_string()
            }
            Self::SameName(_) => "give the nodes different names in the configuration of the pair".to_string(),
            Self::Writable(dataset) => format!(
                "stop what uses it, and `zfs set readonly=on {dataset}`; what was written there since is set aside by `replicator pair rejoin --aside`"
            ),
            Self::OtherRoot { .. } => "give the pair the same roots on both nodes".to_string(),
            Self::TooFar { .. } => "look at the epochs of both nodes with `replicator pair status`".to_string(),
            Self::Forged => "use `replicator pair promote`".to_string(),
            Self::Promoting(_) => crate::lock::CLOSED.to_string(),
            Self::NotRoot(_) => {
                "let the key of the pair log in as root on that machine, with the agent as its only command; a user with rights of its own can receive backups, and no pair".to_string()
            }
            Self::Unfinished(_) => {
                "`replicator pair rejoin` there goes on with it; nothing is received before that, and nothing is lost".to_string()
            }
        }
    }
}
