//! A place with datasets: this machine (through the kernel, [`local`]) or another one that has only the `zfs`
//! command ([`zfs_cli`]). The trait says what a replication needs of either; what is planned with the answers is in
//! [`crate::plan`], how bytes get from one to the other in [`crate::transfer`].

use bytes::Bytes;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::transport::TransportError;

pub mod listing;
pub mod local;
pub mod zfs_cli;

pub use zfs_core::DatasetKind;

/// A snapshot as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its identity, the same on every machine.
    pub guid: Guid,
    /// Its place in the order of this pool.
    pub createtxg: Txg,
}

/// A bookmark as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Its name.
    pub name: BookmarkName,
    /// The GUID of the snapshot it stands for.
    pub guid: Guid,
    /// The place of that snapshot in the order of this pool.
    pub createtxg: Txg,
}

/// A partial receive that waits to go on, as its token tells. The token comes from the receiving side and is not to
/// be trusted: the planner compares it with what it would send itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The token as text.
    pub token: String,
    /// What it says, or why it cannot be read.
    pub content: Result<PartialContent, String>,
}

/// What a resume token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialContent {
    /// GUID of the snapshot that was being received.
    pub to_guid: Guid,
    /// GUID of its incremental source; `None` for a full stream.
    pub from_guid: Option<Guid>,
    /// Bytes that arrived so far.
    pub bytes: u64,
    /// The stream was raw.
    pub raw: bool,
    /// The stream was redacted, or the token asks for something this program does not know: never sent.
    pub foreign: bool,
}

/// One dataset with everything a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetState {
    /// Its name.
    pub name: DatasetName,
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Its GUID.
    pub guid: Guid,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Bytes written since its newest snapshot.
    pub written: u64,
    /// A receive that did not end.
    pub partial: Option<Partial>,
    /// Its snapshots, in the order of `createtxg`.
    pub snapshots: Vec<Snapshot>,
    /// Its bookmarks, in the order of `createtxg`.
    pub bookmarks: Vec<Bookmark>,
}

/// What is known about a dataset on one side. An error is never turned into [`Inventory::Absent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inventory {
    /// It is proven not to exist: its nearest ancestor was listed and does not have it.
    Absent {
        /// The nearest ancestor that exists.
        ancestor: DatasetName,
        /// Whether that is the parent, so that a receive can make the dataset.
        parent_exists: bool,
    },
    /// It exists.
    Present(DatasetState),
}

/// What an incremental stream starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A snapshot.
    Snapshot(SnapshotName, Guid),
    /// A bookmark, which only the sending side needs.
    Bookmark(BookmarkName, Guid),
}

impl Base {
    /// The GUID, which is the snapshot's in both cases.
    #[must_use]
    pub fn guid(&self) -> Guid {
        match self {
            Self::Snapshot(_, guid) | Self::Bookmark(_, guid) => *guid,
        }
    }

    /// The whole name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Snapshot(name, _) => name.as_str(),
            Self::Bookmark(name, _) => name.as_str(),
        }
    }

    /// `@name` or `#name`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Snapshot(name, _) => format!("@{}", name.short()),
            Self::Bookmark(name, _) => format!("#{}", name.short()),
        }
    }
}

/// One stream to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendSpec {
    /// The snapshot to send.
    pub to: Snapshot,
    /// Where the stream starts; `None` is a full stream.
    pub from: Option<Base>,
    /// Send encrypted blocks as they are.
    pub raw: bool,
    /// Continue a partial receive; checked against `to` and `from` by the planner.
    pub resume: Option<Partial>,
}

/// Where one stream is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveSpec {
    /// The snapshot that shall exist afterwards.
    pub to: SnapshotName,
    /// Properties to set in the same step.
    pub set: Vec<(String, String)>,
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

    /// All that a plan needs to know of one dataset.
    fn inventory(&mut self, dataset: &DatasetName) -> Result<Inventory, HostError>;

    /// The GUID of one snapshot, read anew; `None` when the machine says that there is no such snapshot. For checking
    /// what was just received: nothing destructive may follow from `None`.
    fn snapshot_guid(&mut self, snapshot: &SnapshotName) -> Result<Option<Guid>, HostError>;

    /// The sizes of the streams in bytes, as ZFS estimates them; `None` where it cannot tell.
    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError>;

    /// Starts to send.
    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError>;

    /// Starts to receive. Never with force, never mounting, always resumable.
    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError>;

    /// Throws away what a partial receive has kept.
    fn discard_partial(&mut self, dataset: &DatasetName) -> Result<(), HostError>;
}

/// What a host can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The kernel of this machine refused.
    #[error(transparent)]
    Zfs(#[from] zfs_core::Error),
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

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Zfs(error) => error.hint().map(str::to_string),
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
                Some("an earlier receive may still be running there: wait until it ended, and run the same command again".to_string())
            }
            Self::Remote { message, .. } if message.contains("out of space") || message.contains("quota") => {
                Some(
                    "make room on the target; what arrived is kept, and the same command goes on from there"
                        .to_string(),
                )
            }
            Self::NoPool { host, pool, .. } => Some(format!(
                "check the name with `zpool list` on {host}, or import it with `zpool import {pool}`"
            )),
            _ => None,
        }
    }
}
