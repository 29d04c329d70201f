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
use crate::compare::content::Take;
use crate::compare::walk::WalkError;
use crate::inspect::holds::Held;
use crate::pair::Claim;
use crate::pair::NodeName;
use crate::pair::Permit;
use crate::pair::fence;
use crate::transport::TransportError;

pub mod agent;
pub mod change;
pub mod deed;
pub mod listing;
pub mod local;
pub mod standing;
pub mod state;
pub mod zfs_cli;

pub use change::Change;
pub use deed::Deed;
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
    /// Compress it with zstd at the sending machine. Only for hosts that said they can.
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
    /// The stream arrives as zstd frames, and is to be decompressed there. Only for hosts that said they can.
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

    /// Promotes these roots of a pair there to this epoch, which the other node has given away; `node` is the name of the
    /// node, which an agent knows itself.
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

/// The operation of an error in reading what is in a snapshot.
pub const READ: &str = "read";

/// What a host can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The kernel of this machine refused.
    #[error(transparent)]
    Zfs(#[from] zfs_core::Error),
    /// The files of a snapshot of this machine could not be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The connection to the other machine failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no `zfs` on the other machine.
    #[error("{host} has no zfs command (looked in PATH, /usr/local/sbin, /usr/sbin and /sbin)")]
    NoZfs {
        /// The machine.
        host: String,
    },
    /// The `zfs` of the other machine refused.
    #[error("{host}: {operation} {subject}: {message}")]
    Remote {
        /// The machine.
        host: String,
        /// What was tried, as `cannot …`.
        operation: &'static str,
        /// On what.
        subject: String,
        /// What zfs said, made printable.
        message: String,
    },
    /// The other machine said something that is no answer.
    #[error("{host} answered {operation} with something that is not understood: {why}")]
    BadAnswer {
        /// The machine.
        host: String,
        /// What was asked.
        operation: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// The agent of the other machine failed.
    #[error("{host}: {message}")]
    Agent {
        /// The machine.
        host: String,
        /// What the kernel there was asked, where it was that which failed.
        operation: Option<zfs_core::Operation>,
        /// On what.
        subject: String,
        /// The error number there; 0 where there was none.
        errno: i32,
        /// What it means.
        kind: zfs_core::ErrorKind,
        /// The whole text, made printable.
        message: String,
        /// What the agent says can be done about it, made printable.
        hint: Option<String>,
    },
    /// The other machine cannot start an agent; it may still have the `zfs` command.
    #[error("{host} has no {program} that could be an agent: {message}")]
    NoAgent {
        /// The machine.
        host: String,
        /// The program that was looked for.
        program: String,
        /// What was said instead.
        message: String,
    },
    /// The agent of the other machine speaks other versions of the protocol.
    #[error("{host} has {theirs}, which does not speak with {ours} of this machine")]
    AgentVersion {
        /// The machine.
        host: String,
        /// This program and what it speaks.
        ours: String,
        /// The other one.
        theirs: String,
    },
    /// What answers there is not able to do this.
    #[error("{host} has {has}, which cannot {what}")]
    Cannot {
        /// The machine.
        host: String,
        /// What answers there.
        has: String,
        /// What was asked for.
        what: &'static str,
    },
    /// A hold is not one of ours whose process is gone.
    #[error("{host}: the hold {tag} on {snapshot} is not one that was left behind, so it stays")]
    NotStale {
        /// The machine.
        host: String,
        /// The snapshot.
        snapshot: SnapshotName,
        /// The tag, made printable.
        tag: String,
    },
    /// The agent of the other machine may not do this.
    #[error("{host} does not allow it: {why}")]
    Refused {
        /// The machine.
        host: String,
        /// Which limit was met.
        why: String,
    },
    /// Something is not what the plan was made for, so the change was not made.
    #[error(
        "{host}: {name} is not what it was when the plan was made (GUID {expected}, now {})",
        .found.map_or_else(|| "gone".to_string(), |guid| guid.to_string())
    )]
    Changed {
        /// The machine.
        host: String,
        /// What was looked at.
        name: String,
        /// The GUID it had.
        expected: Guid,
        /// The GUID it has.
        found: Option<Guid>,
    },
    /// A dataset does not carry the mark without which it is not destroyed.
    #[error("{host}: {dataset} is not marked as gone at the source, so it is not destroyed")]
    NotMarked {
        /// The machine.
        host: String,
        /// The dataset.
        dataset: DatasetName,
    },
    /// The newest snapshot of a dataset was to be pruned.
    #[error("{host}: {snapshot} is the newest of its dataset, and is not pruned")]
    Newest {
        /// The machine.
        host: String,
        /// The snapshot.
        snapshot: SnapshotName,
    },
    /// Another run has what this one needs for itself.
    #[error(
        "{host}: another run into {dataset}, or into what is above or below it, is going on{}",
        .process.map_or_else(String::new, |process| format!(", process {process} there"))
    )]
    Busy {
        /// The machine.
        host: String,
        /// The dataset.
        dataset: String,
        /// The process that has it, where that is known.
        process: Option<u32>,
    },
    /// It is being promoted there, or given away.
    #[error(
        "{host}: {dataset} is just being promoted, or given away{}",
        .process.map_or_else(String::new, |process| format!(", by process {process} there"))
    )]
    Closed {
        /// The machine.
        host: String,
        /// The root.
        dataset: String,
        /// The process that does it, where that is known.
        process: Option<u32>,
    },
    /// A root of a pair may not be changed.
    #[error("{host}: {message}")]
    Fenced {
        /// The machine.
        host: String,
        /// Why.
        kind: fence::Kind,
        /// The whole text, made printable.
        message: String,
        /// What can be done about it, made printable.
        hint: String,
    },
    /// The pool is not there.
    #[error("{host} has no pool {pool} (wanted for {dataset})")]
    NoPool {
        /// The machine.
        host: String,
        /// The pool.
        pool: String,
        /// What was looked for.
        dataset: String,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl HostError {
    /// Whether this is the answer to a wish to stop, and no failure.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Transport(TransportError::Cancelled))
    }

    /// What the error of a kernel means, here or at an agent.
    #[must_use]
    pub fn zfs_kind(&self) -> Option<zfs_core::ErrorKind> {
        match self {
            Self::Zfs(error) => Some(error.kind()),
            Self::Agent { kind, .. } => Some(*kind),
            _ => None,
        }
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Zfs(error) => error.hint().map(str::to_string),
            Self::Agent { hint, .. } => hint.clone(),
            Self::Fenced { hint, .. } => Some(hint.clone()),
            Self::Closed { .. } => Some(crate::lock::CLOSED.to_string()),
            Self::Walk(error) => error.hint(),
            Self::Cannot { host, .. } => {
                Some(format!("install this version of replicator on {host}, or run the command there"))
            }
            Self::Remote { host, operation: READ, .. } => Some(format!(
                "{host} needs GNU find and sha256sum and the right to mount; the key of an encrypted dataset must be loaded there"
            )),
            Self::NoAgent { host, .. } => {
                Some(format!("install replicator on {host}, or use its zfs command without an agent"))
            }
            Self::AgentVersion { .. } => {
                Some("install the same version of replicator on both machines, or use the zfs command there without an agent".to_string())
            }
            Self::Refused { host, .. } => Some(format!(
                "what is allowed stands where the agent is started: `command=` in ~/.ssh/authorized_keys on {host}"
            )),
            Self::Transport(error) => error.hint(),
            Self::NoZfs { host } => Some(format!(
                "install OpenZFS on {host} (Debian: zfsutils-linux from contrib), or check that you named the right machine"
            )),
            Self::Remote { message, .. } if message.to_ascii_lowercase().contains("permission denied") => Some(
                "log in as root there, or give the user rights with `zfs allow` (zfs-allow(8)); /dev/zfs must be readable and writable for it"
                    .to_string(),
            ),
            Self::Remote { message, .. }
                if message.contains("partially-complete state") || message.contains("is busy") =>
            {
                Some("another run may be receiving there, or an earlier one still be: wait until it has ended, and run the same command again".to_string())
            }
            Self::Remote { message, .. } if message.contains("out of space") || message.contains("quota") => {
                Some(
                    "make room on the target; what arrived is kept, and the same command goes on from there"
                        .to_string(),
                )
            }
            Self::Changed { .. } | Self::NotMarked { .. } => Some("run the same command again: it makes a new plan".to_string()),
            Self::Busy { .. } => Some(crate::lock::BUSY.to_string()),
            Self::NoPool { host, pool, .. } => Some(format!(
                "check the name with `zpool list` on {host}, or import it with `zpool import {pool}`"
            )),
            _ => None,
        }
    }
}
