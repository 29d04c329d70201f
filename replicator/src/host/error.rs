//! What can go wrong on a host, and what the reader can do about it.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::compare::walk::WalkError;
use crate::pair::fence;
use crate::transport::TransportError;

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
    /// A clone has a bookmark of the name of one that would come over to it. OpenZFS means to refuse that, and stops the
    /// machine instead.
    #[error(
        "{host}: {dataset} is not promoted: it and {origin} both have a bookmark {name:?}, and nothing was done"
    )]
    BookmarkInTheWay {
        /// The machine.
        host: String,
        /// The clone.
        dataset: DatasetName,
        /// The dataset that it is a clone of.
        origin: DatasetName,
        /// The name after the `#`.
        name: String,
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
            Self::BookmarkInTheWay { dataset, origin, name, .. } => Some(format!(
                "destroy the one that is not needed any more: `zfs destroy '{dataset}#{name}'` or `zfs destroy '{origin}#{name}'`; then run the same command again"
            )),
            Self::Busy { .. } => Some(crate::lock::BUSY.to_string()),
            Self::NoPool { host, pool, .. } => Some(format!(
                "check the name with `zpool list` on {host}, or import it with `zpool import {pool}`"
            )),
            _ => None,
        }
    }
}
