//! A place with datasets: this machine (through the kernel, [`local`]), another one with this program ([`agent`]), or
//! one that has only the `zfs` command ([`zfs_cli`]). The trait says what a replication needs of either; what is planned with the answers is in
//! [`crate::plan`], how bytes get from one to the other in [`crate::transfer`].

use bytes::Bytes;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;
use zfs_core::send::SendFlags;

use crate::cancel::Cancel;
use crate::compare::content::Piece;
use crate::compare::content::Share;
use crate::compare::content::Take;
use crate::inspect::holds::Held;
use crate::marks::FirstCopy;
use crate::pair::Claim;
use crate::pair::NodeName;
use crate::pair::Permit;
use crate::transport::quote::pipes::Codec;

pub mod agent;
pub mod change;
pub mod deed;
pub mod error;
pub mod listing;
pub mod local;
pub mod standing;
pub mod state;
pub mod zfs_cli;

pub use change::Change;
pub use deed::Deed;
pub use error::HostError;
pub use error::READ;
pub use standing::Rights;
pub use standing::Standing;
pub use state::About;
pub use state::Base;
pub use state::Bookmark;
pub use state::DatasetKind;
pub use state::DatasetState;
pub use state::Depth;
pub use state::Encryption;
pub use state::Inventory;
pub(crate) use state::NOT_COPIED;
pub use state::Partial;
pub use state::PartialContent;
pub use state::Properties;
pub use state::Property;
pub use state::PropertySource;
pub use state::RemovalCost;
pub use state::Snapshot;
pub use state::Tree;
pub use state::Version;

/// One stream to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendSpec {
    /// The snapshot to send.
    pub to: Snapshot,
    /// Where the stream starts; `None` is a full stream.
    pub from: Option<Base>,
    /// Send encrypted blocks as they are.
    pub raw: bool,
    /// The form of the blocks, where it is not the one that this program chooses. An agent knows only that one.
    pub flags: Option<SendFlags>,
    /// Continue a partial receive; checked against `to` and `from` by the planner. In a box: of very many streams only
    /// the first has one.
    pub resume: Option<Box<Partial>>,
    /// Compress it at the sending machine. Only for hosts that said they can.
    pub compress: bool,
}

/// Where one stream is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveSpec {
    /// The snapshot that shall exist afterwards.
    pub to: SnapshotName,
    /// Its GUID, as the stream must say. The far end checks it where it is able to.
    pub guid: Guid,
    /// Properties to set in the same step.
    pub set: Vec<(String, String)>,
    /// For the full copy of a clone: the snapshot on this side that it becomes a clone of.
    pub origin: Option<SnapshotName>,
    /// The stream arrives compressed, and is to be decompressed there. Only for hosts that said they can.
    pub compressed: bool,
}

/// What [`Outgoing::next`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A block, not empty.
    Block(Bytes),
    /// Nothing came for a moment. Ask again.
    Nothing,
    /// The stream is over.
    End,
}

/// A stream on its way out of a host.
pub trait Outgoing: Send {
    /// The next block, not larger than `limit`.
    fn next(&mut self, limit: usize) -> Result<Next, HostError>;

    /// To be called now and then while nobody takes blocks.
    fn idle(&mut self) -> Result<(), HostError>;

    /// Whether the sender ended well. To be called after the last block.
    fn finish(self: Box<Self>) -> Result<(), HostError>;
}

/// A stream on its way into a host. Dropping it without [`Incoming::finish`] leaves a partial receive to resume.
pub trait Incoming: Send {
    /// Takes one block. An error says that the receiver takes no more; its reason is had from [`Incoming::finish`].
    fn write(&mut self, block: &Bytes) -> Result<(), HostError>;

    /// Takes as much of one block as there is room for, and gives how many bytes that are: after a moment without room, 0.
    /// Where the host cannot tell it waits for all of it. An error is as that of [`Incoming::write`].
    fn offer(&mut self, block: &Bytes) -> Result<usize, HostError> {
        self.write(block)?;
        Ok(block.len())
    }

    /// To be called now and then while there are no blocks; true when the receiver has ended by itself.
    fn idle(&mut self) -> Result<bool, HostError>;

    /// Waits for the receive to end.
    fn finish(self: Box<Self>) -> Result<(), HostError>;
}

/// A place with datasets.
pub trait Host: Send {
    /// How messages name it: `this machine`, `user@host`.
    fn label(&self) -> &str;

    /// A dataset with its snapshots and bookmarks, alone or with everything below it. One listing for all of it.
    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError>;

    /// As [`Self::inventory`], with these properties of each filesystem and volume. None where it is absent.
    fn inventory_with(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<(Inventory, Properties), HostError> {
        let inventory = self.inventory(root, depth)?;
        let properties = match &inventory {
            Inventory::Present(_) => self.some_properties(root, depth, names)?,
            Inventory::Absent { .. } => Properties::new(),
        };
        Ok((inventory, properties))
    }

    /// Whether it is another machine, so that what is sent to it or from it goes over a line.
    fn is_far(&self) -> bool {
        true
    }

    /// A flag of this host alone: while it is set, a call that waits for the other machine or for the kernel's pipe
    /// ends as if the run were to stop. Who sets it takes it back when the streams are dropped.
    fn breaker(&self) -> Option<Cancel> {
        None
    }

    /// Keeps the runs of other senders out of a dataset, or of a whole tree, for as long as this host lives, where the host
    /// is able to. `sender` tells the one who asks apart from others.
    ///
    /// # Errors
    /// [`HostError::Busy`] at once when another run has it.
    fn lock(&mut self, _root: &DatasetName, _depth: Depth, _sender: &str) -> Result<(), HostError> {
        Ok(())
    }

    /// Keeps snapshots from being destroyed until the returned value is dropped or this process ends, where the host
    /// is able to: a hold that outlives its process would be left behind by a crash.
    fn protect(&mut self, _snapshots: &[SnapshotName]) -> Result<Option<Box<dyn Send>>, HostError> {
        Ok(None)
    }

    /// Presents the epoch of a pair along with each change and each receive that this host is asked for from now on, also
    /// by [`Self::another`]; a host that is no agent of a pair cannot. A root that is there takes over a newer epoch at once.
    ///
    /// # Errors
    /// [`HostError::Cannot`] where what answers there knows nothing of pairs; [`HostError::Fenced`] where the epoch does not
    /// entitle to anything.
    fn present(&mut self, _claim: &Claim) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.label().to_string(),
            has: "no agent in use".to_string(),
            what: "check the epoch of a pair",
        })
    }

    /// Lets the root of a claim, which this node holds, follow the other one, where nothing is only here: `both` are the
    /// newest snapshots of its datasets that the other node has, too, and [`LEFT_OUT`](crate::pair::fence::LEFT_OUT) for
    /// those that are no matter of the pair.
    ///
    /// # Errors
    /// [`HostError::Fenced`] where the claim is not newer, or something may be only here; [`HostError::Cannot`] where what
    /// answers there knows nothing of pairs.
    fn overtake(&mut self, _claim: &Claim, _both: &[(DatasetName, Guid)]) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.label().to_string(),
            has: "no agent in use".to_string(),
            what: "let another node of a pair go on",
        })
    }

    /// Takes down how much of the root of a claim is there, while its first replication has not come to its end
    /// ([`FIRST`](crate::marks::FIRST)); with all of it that is over.
    ///
    /// # Errors
    /// [`HostError::Fenced`] where the claim does not entitle to anything; [`HostError::Cannot`] where what answers there
    /// keeps no such count.
    fn count_first(&mut self, _claim: &Claim, _count: FirstCopy) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.label().to_string(),
            has: "no agent in use".to_string(),
            what: "count what has come of a pair",
        })
    }

    /// Waits until all that was written to a pool is on its disks, so that what its datasets say of themselves is all of
    /// it; where the host is able to.
    ///
    /// # Errors
    /// When the pool cannot be waited for.
    fn settle(&mut self, _pool: &str) -> Result<(), HostError> {
        Ok(())
    }

    /// Promotes these roots of a pair there to this epoch, which the other node has given away; `node` is the name of the
    /// node there.
    ///
    /// # Errors
    /// When it is not safe, and [`HostError::Cannot`] where what answers there knows nothing of pairs.
    fn take_over(&mut self, _roots: &[DatasetName], _node: &NodeName, _epoch: u64) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.label().to_string(),
            has: "no agent in use".to_string(),
            what: "take over a pair",
        })
    }

    /// Keeps these datasets, and what they lie in, from being promoted for as long as the value lives, where the host is
    /// able to. What is asked of the host in the meantime counts for that long.
    ///
    /// # Errors
    /// [`HostError::Closed`] at once when one of them is being promoted.
    fn permit(&mut self, _datasets: &[DatasetName]) -> Result<Box<dyn Permit>, HostError> {
        Ok(Box::new(Unwatched))
    }

    /// Whether a filesystem is mounted where it can be written to. False for one that does not exist.
    fn is_mounted_writable(&mut self, _dataset: &DatasetName) -> Result<bool, HostError> {
        Ok(false)
    }

    /// What is known of a pool and of ZFS there.
    fn about(&mut self, pool: &str) -> Result<About, HostError>;

    /// The properties of each filesystem and volume of a tree, with their sources.
    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError>;

    /// As [`Self::properties`], and only these. One that a dataset has not may be missing.
    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        let mut all = self.properties(root, depth)?;
        for properties in all.values_mut() {
            properties.retain(|name, _| names.contains(name));
        }
        Ok(all)
    }

    /// The version of the protocol that an agent there and this program have agreed on, and what the agent says that it is;
    /// none before one has answered, and where there is none.
    fn spoken(&self) -> Option<(u16, String)> {
        None
    }

    /// Whether a question more starts no process there.
    fn answers_itself(&self) -> bool {
        false
    }

    /// By whose rights this works with a dataset that exists, and what the clock of the machine says.
    fn standing(&mut self, _dataset: &DatasetName) -> Result<Standing, HostError> {
        let why = "an agent may do what it is allowed where it is started".to_string();
        Ok(Standing { rights: Rights::Unknown { why }, clock: None })
    }

    /// What the removal of a dataset would cost, and what stands against it.
    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError>;

    /// When each snapshot of a dataset, alone or with everything below it, was taken, by the machine that took it: in
    /// seconds since 1970 (`creation` in zfsprops(7)).
    fn dates(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError>;

    /// The GUID of each snapshot, read anew; `None` where the machine says that there is no such snapshot. For
    /// checking what was just received: nothing destructive may follow from `None`.
    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError>;

    /// When snapshots or bookmarks were taken, in seconds since 1970, the same on every machine that has them; `None`
    /// where one is not there any more, or where this host cannot tell.
    fn creation(&mut self, of: &[Base]) -> Result<Vec<Option<i64>>, HostError> {
        Ok(vec![None; of.len()])
    }

    /// The sizes of the streams in bytes, as ZFS estimates them; `None` where it cannot tell.
    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError>;

    /// Whether it can compress what it sends and decompress what it receives.
    fn has_zstd(&mut self) -> Result<bool, HostError>;

    /// Whether it can do so with this program, which it uses from then on.
    fn compresses_with(&mut self, codec: &Codec) -> Result<bool, HostError> {
        Ok(codec.is_zstd() && self.has_zstd()?)
    }

    /// Starts to send.
    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError>;

    /// Starts to receive. Never with force, never mounting, always resumable.
    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError>;

    /// Gives what is in a snapshot of a dataset of this kind, piece by piece. Changes nothing, and nothing stays mounted.
    ///
    /// # Errors
    /// When anything of it cannot be read, and what `take` fails with.
    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError>;

    /// As [`Self::read`], and of the regular files of a filesystem only those of a share. Where the host cannot pick them
    /// out it reads all.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_share(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        share: Share,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.read(snapshot, kind, &mut |piece| match &piece {
            Piece::File(path, entry) if entry.kind == b'f' && !share.has(path) => Ok(()),
            _ => take(piece),
        })
    }

    /// The holds on the snapshots of a dataset, alone or with everything below it.
    fn holds(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError>;

    /// Releases holds of ours whose process is gone; the machine itself looks whether each is one.
    ///
    /// # Errors
    /// [`HostError::NotStale`] when one is not, and none is released then.
    fn release(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError>;

    /// Makes one change.
    fn apply(&mut self, change: &Change) -> Result<(), HostError>;

    /// Does one thing for the syncoid front end.
    ///
    /// # Errors
    /// [`HostError::Cannot`] where such things are never done.
    fn deed(&mut self, deed: &Deed) -> Result<(), HostError> {
        Err(HostError::Cannot {
            host: self.label().to_string(),
            has: "an agent".to_string(),
            what: deed.what(),
        })
    }

    /// The same place once more, for work at the same time; connections are made when they are first needed.
    fn another(&self) -> Result<Box<dyn Host>, HostError>;
}

/// For hosts on which nobody promotes.
struct Unwatched;

impl Permit for Unwatched {
    fn is_recalled(&self) -> Result<bool, HostError> {
        Ok(false)
    }
}
