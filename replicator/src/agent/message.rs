//! Messages of the asking side, as JSON in frames. Names travel as text and become validated types while they are read, on both sides;
//! what is not known is an error. The values are those of [`crate::host`].

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::content::Raw;
use crate::host::Base;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Partial;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::host::listing;
use crate::pair::Claim;
use crate::pair::NodeName;

/// What each hello begins with.
pub(crate) const MAGIC: &str = "replicator-agent";

/// The first message of each side. All later versions of it have at least these fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) magic: String,
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) program: String,
}

impl Hello {
    /// That of this program.
    pub(crate) fn ours() -> Self {
        Self {
            magic: MAGIC.to_string(),
            oldest: super::OLDEST,
            newest: super::NEWEST,
            program: env!("CARGO_PKG_VERSION").to_string(),
        }
    }

    /// The version that both speak.
    pub(crate) fn common(&self, other: &Self) -> Option<u16> {
        let version = self.newest.min(other.newest);
        (version >= self.oldest && version >= other.oldest).then_some(version)
    }

    /// For messages: program and versions.
    pub(crate) fn describe(&self) -> String {
        let program = crate::transport::printable(self.program.as_bytes(), 64);
        match (self.oldest, self.newest) {
            (oldest, newest) if oldest == newest => format!("replicator {program} (protocol {newest})"),
            (oldest, newest) => format!("replicator {program} (protocol {oldest} to {newest})"),
        }
    }
}

/// A name as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: std::str::FromStr<Err: std::fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

type Pairs = Vec<(String, String)>;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Inventory {
        root: Text<DatasetName>,
        all: bool,
    },
    About {
        pool: Text<DatasetName>,
    },
    Lock {
        root: Text<DatasetName>,
        all: bool,
        /// From version 3 on: whose runs may meet there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<String>,
    },
    /// All properties, or only these.
    Properties {
        root: Text<DatasetName>,
        all: bool,
        names: Option<Vec<String>>,
    },
    RemovalCost {
        dataset: Text<DatasetName>,
    },
    /// The dates of snapshots.
    Dates {
        root: Text<DatasetName>,
        all: bool,
    },
    SnapshotGuids {
        snapshots: Vec<Text<SnapshotName>>,
    },
    Estimate {
        streams: Vec<SendRequest>,
    },
    Send(SendRequest),
    Receive(ReceiveRequest),
    Apply(ChangeRequest),
    /// From version 4 on: whether this entitles to anything; the root takes over the epoch.
    Claim(WireClaim),
    /// From version 4 on: to become the active node of a pair, which the asking one has just given away.
    TakeOver {
        roots: Vec<Text<DatasetName>>,
        epoch: std::num::NonZeroU64,
        /// From version 5 on: the node that is to become it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receiver: Option<Text<NodeName>>,
    },
    /// From version 5 on: to let go of a root that the agent's node holds, if it has nothing of its own. `both` are the
    /// newest snapshots of the datasets there that the asking end has, too. Since version 8 was known, 0 stands for a dataset
    /// that the pair leaves out; to an agent from before it is no snapshot that it has.
    Overtake {
        claim: WireClaim,
        both: Vec<(Text<DatasetName>, u64)>,
    },
    /// From version 8 on: how much of a root that is received for the first time is here.
    Count {
        claim: WireClaim,
        there: u64,
        of: u64,
    },
    /// From version 4 on: the same as `Apply`, with what entitles to it.
    ApplyFor {
        claim: WireClaim,
        change: ChangeRequest,
    },
    /// From version 2 on.
    Content {
        snapshot: Text<SnapshotName>,
        volume: bool,
        /// From version 5 on: only the files of this part, and of how many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<(u32, std::num::NonZeroU32)>,
    },
    /// From version 2 on.
    Holds {
        root: Text<DatasetName>,
        all: bool,
    },
    /// From version 2 on.
    Release {
        holds: Vec<(Text<SnapshotName>, Raw)>,
    },
    /// From version 5 on: to listen for who has this certificate, and to go on with them there. The answer ends when that
    /// conversation does.
    Door {
        certificate: Raw,
    },
}

impl Request {
    pub(crate) fn inventory(root: &DatasetName, depth: Depth) -> Self {
        Self::Inventory { root: Text(root.clone()), all: depth == Depth::All }
    }

    pub(crate) fn lock(root: &DatasetName, depth: Depth, sender: Option<&String>) -> Self {
        Self::Lock { root: Text(root.clone()), all: depth == Depth::All, sender: sender.cloned() }
    }

    pub(crate) fn properties(root: &DatasetName, depth: Depth, names: Option<&[String]>) -> Self {
        let names = names.map(<[String]>::to_vec);
        Self::Properties { root: Text(root.clone()), all: depth == Depth::All, names }
    }

    pub(crate) fn about(pool: &str) -> Result<Self, zfs_core::name::NameError> {
        Ok(Self::About { pool: Text(DatasetName::try_from(pool)?) })
    }

    pub(crate) fn snapshot_guids(snapshots: &[SnapshotName]) -> Self {
        Self::SnapshotGuids { snapshots: snapshots.iter().cloned().map(Text).collect() }
    }
}

/// What [`Depth`] is.
pub(crate) fn depth(all: bool) -> Depth {
    if all { Depth::All } else { Depth::One }
}

/// A [`SendSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendRequest {
    to: Text<SnapshotName>,
    guid: u64,
    createtxg: u64,
    ivset: Option<u64>,
    from: Option<WireBase>,
    raw: bool,
    resume: Option<String>,
    compress: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum WireBase {
    Snapshot(Text<SnapshotName>, u64),
    Bookmark(Text<BookmarkName>, u64),
}

impl From<&SendSpec> for SendRequest {
    fn from(spec: &SendSpec) -> Self {
        Self {
            to: Text(spec.to.name.clone()),
            guid: spec.to.guid.0,
            createtxg: spec.to.createtxg.0,
            ivset: spec.to.ivset.map(|guid| guid.0),
            from: spec.from.as_ref().map(|base| match base {
                Base::Snapshot(name, guid) => WireBase::Snapshot(Text(name.clone()), guid.0),
                Base::Bookmark(name, guid) => WireBase::Bookmark(Text(name.clone()), guid.0),
            }),
            raw: spec.raw,
            resume: spec.resume.as_ref().map(|partial| partial.token.clone()),
            compress: spec.compress,
        }
    }
}

impl SendRequest {
    /// The stream that is meant. What a token says is read from the token, and must be what the rest asks for.
    pub(super) fn spec(self) -> Result<SendSpec, String> {
        let from = self.from.map(|base| match base {
            WireBase::Snapshot(name, guid) => Base::Snapshot(name.0, Guid(guid)),
            WireBase::Bookmark(name, guid) => Base::Bookmark(name.0, Guid(guid)),
        });
        let resume = match self.resume {
            None => None,
            Some(token) => {
                let partial = listing::partial(&token).ok_or("an empty resume token")?;
                let content = partial.content.as_ref().map_err(|why| format!("the resume token: {why}"))?;
                let fits = content.to_guid.0 == self.guid
                    && content.from_guid == from.as_ref().map(Base::guid)
                    && content.raw == self.raw
                    && !content.foreign;
                if !fits {
                    return Err("the resume token is of another stream than the one asked for".to_string());
                }
                Some(partial)
            }
        };
        let to = Snapshot {
            name: self.to.0,
            guid: Guid(self.guid),
            createtxg: Txg(self.createtxg),
            ivset: self.ivset.map(Guid),
        };
        Ok(SendSpec {
            to,
            from,
            raw: self.raw,
            flags: None,
            resume: resume.map(Box::new),
            compress: self.compress,
        })
    }
}

/// A [`ReceiveSpec`], and which snapshot the stream is to bring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiveRequest {
    to: Text<SnapshotName>,
    set: Pairs,
    origin: Option<Text<SnapshotName>>,
    compressed: bool,
    /// A stream with another one is refused.
    pub(crate) guid: u64,
    /// From version 4 on: what entitles to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<WireClaim>,
}

/// A [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireClaim {
    root: Text<DatasetName>,
    epoch: std::num::NonZeroU64,
    holder: Text<NodeName>,
    /// From version 5 on, and never missing there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver: Option<Text<NodeName>>,
}

impl WireClaim {
    /// `None` for epoch 0, which no promotion leads to.
    pub(crate) fn new(claim: &Claim) -> Option<Self> {
        let epoch = std::num::NonZeroU64::new(claim.epoch)?;
        let (holder, receiver) = (Text(claim.holder.clone()), Some(Text(claim.receiver.clone())));
        Some(Self { root: Text(claim.root.clone()), epoch, holder, receiver })
    }

    /// `None` for one that does not say whom it is for.
    pub(super) fn claim(self) -> Option<Claim> {
        let receiver = self.receiver?.0;
        Some(Claim { root: self.root.0, epoch: self.epoch.get(), holder: self.holder.0, receiver })
    }
}

impl From<&ReceiveSpec> for ReceiveRequest {
    fn from(spec: &ReceiveSpec) -> Self {
        Self {
            to: Text(spec.to.clone()),
            set: spec.set.clone(),
            origin: spec.origin.clone().map(Text),
            compressed: spec.compressed,
            guid: spec.guid.0,
            claim: None,
        }
    }
}

impl ReceiveRequest {
    /// The same, with what entitles to it.
    pub(crate) fn claiming(self, claim: Option<WireClaim>) -> Self {
        Self { claim, ..self }
    }

    pub(super) fn spec(self) -> ReceiveSpec {
        ReceiveSpec {
            to: self.to.0,
            guid: Guid(self.guid),
            set: self.set,
            origin: self.origin.map(|name| name.0),
            compressed: self.compressed,
        }
    }
}

/// A [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum ChangeRequest {
    CreateFilesystem { dataset: Text<DatasetName>, set: Pairs },
    Bookmark { bookmarks: Vec<(Text<BookmarkName>, Text<SnapshotName>, u64)> },
    DestroyBookmarks { bookmarks: Vec<(Text<BookmarkName>, u64)> },
    Rename { from: Text<DatasetName>, guid: u64, to: Text<DatasetName> },
    Clone { snapshot: Text<SnapshotName>, guid: u64, to: Text<DatasetName>, set: Pairs },
    Promote { dataset: Text<DatasetName> },
    SetProperties { dataset: Text<DatasetName>, set: Pairs },
    UnsetProperties { dataset: Text<DatasetName>, names: Vec<String> },
    DestroySnapshots { dataset: Text<DatasetName>, newest: u64, snapshots: Vec<(Text<SnapshotName>, u64)> },
    PruneSnapshots { dataset: Text<DatasetName>, snapshots: Vec<(Text<SnapshotName>, u64)> },
    Destroy { dataset: Text<DatasetName>, guid: u64, bytes: u64 },
    DiscardPartial { dataset: Text<DatasetName>, token: String },
}

impl From<&Change> for ChangeRequest {
    fn from(change: &Change) -> Self {
        match change.clone() {
            Change::CreateFilesystem { dataset, set } => {
                Self::CreateFilesystem { dataset: Text(dataset), set }
            }
            Change::Bookmark { bookmarks } => {
                let wire = |(name, snapshot, guid): (_, _, Guid)| (Text(name), Text(snapshot), guid.0);
                Self::Bookmark { bookmarks: bookmarks.into_iter().map(wire).collect() }
            }
            Change::DestroyBookmarks { bookmarks } => {
                let wire = |(name, guid): (_, Guid)| (Text(name), guid.0);
                Self::DestroyBookmarks { bookmarks: bookmarks.into_iter().map(wire).collect() }
            }
            Change::Rename { from, guid, to } => {
                Self::Rename { from: Text(from), guid: guid.0, to: Text(to) }
            }
            Change::Clone { snapshot, guid, to, set } => {
                Self::Clone { snapshot: Text(snapshot), guid: guid.0, to: Text(to), set }
            }
            Change::Promote { dataset } => Self::Promote { dataset: Text(dataset) },
            Change::SetProperties { dataset, set } => Self::SetProperties { dataset: Text(dataset), set },
            Change::UnsetProperties { dataset, names } => {
                Self::UnsetProperties { dataset: Text(dataset), names }
            }
            Change::DestroySnapshots { dataset, newest, snapshots } => {
                let wire = |(name, guid): (_, Guid)| (Text(name), guid.0);
                let snapshots = snapshots.into_iter().map(wire).collect();
                Self::DestroySnapshots { dataset: Text(dataset), newest: newest.0, snapshots }
            }
            Change::PruneSnapshots { dataset, snapshots } => {
                let wire = |(name, guid): (_, Guid)| (Text(name), guid.0);
                let snapshots = snapshots.into_iter().map(wire).collect();
                Self::PruneSnapshots { dataset: Text(dataset), snapshots }
            }
            Change::Destroy { dataset, guid, bytes } => {
                Self::Destroy { dataset: Text(dataset), guid: guid.0, bytes }
            }
            Change::DiscardPartial { dataset, partial } => {
                Self::DiscardPartial { dataset: Text(dataset), token: partial.token }
            }
        }
    }
}

impl ChangeRequest {
    pub(super) fn change(self) -> Change {
        match self {
            Self::CreateFilesystem { dataset, set } => Change::CreateFilesystem { dataset: dataset.0, set },
            Self::Bookmark { bookmarks } => Change::Bookmark {
                bookmarks: bookmarks.into_iter().map(|(a, b, guid)| (a.0, b.0, Guid(guid))).collect(),
            },
            Self::DestroyBookmarks { bookmarks } => Change::DestroyBookmarks {
                bookmarks: bookmarks.into_iter().map(|(name, guid)| (name.0, Guid(guid))).collect(),
            },
            Self::Rename { from, guid, to } => Change::Rename { from: from.0, guid: Guid(guid), to: to.0 },
            Self::Clone { snapshot, guid, to, set } => {
                Change::Clone { snapshot: snapshot.0, guid: Guid(guid), to: to.0, set }
            }
            Self::Promote { dataset } => Change::Promote { dataset: dataset.0 },
            Self::SetProperties { dataset, set } => Change::SetProperties { dataset: dataset.0, set },
            Self::UnsetProperties { dataset, names } => Change::UnsetProperties { dataset: dataset.0, names },
            Self::DestroySnapshots { dataset, newest, snapshots } => Change::DestroySnapshots {
                dataset: dataset.0,
                newest: Guid(newest),
                snapshots: snapshots.into_iter().map(|(name, guid)| (name.0, Guid(guid))).collect(),
            },
            Self::PruneSnapshots { dataset, snapshots } => Change::PruneSnapshots {
                dataset: dataset.0,
                snapshots: snapshots.into_iter().map(|(name, guid)| (name.0, Guid(guid))).collect(),
            },
            Self::Destroy { dataset, guid, bytes } => {
                Change::Destroy { dataset: dataset.0, guid: Guid(guid), bytes }
            }
            Self::DiscardPartial { dataset, token } => {
                let content = Err("not read".to_string());
                let partial = listing::partial(&token).unwrap_or(Partial { token, content });
                Change::DiscardPartial { dataset: dataset.0, partial }
            }
        }
    }
}
