//! What an operation on ZFS can fail with. An error number means something only together with the operation that
//! returned it (`EEXIST` is one thing to a receive and another to a rollback), so an [`Error`] is always made with
//! its [`Operation`], and [`ErrorKind`] is what the pair means. The table itself is in `error/meaning.rs`.

use std::fmt;

use crate::name::NameError;

mod meaning;

/// The result of an operation on ZFS.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was tried when an [`Error`] came up. `Display` reads as in "cannot …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the verb it names")]
pub enum Operation {
    Inspect,
    ListChildren,
    ListSnapshots,
    ListBookmarks,
    ListHolds,
    ListPools,
    SetProperty,
    InheritProperty,
    Create,
    Clone,
    Promote,
    Rename,
    Destroy,
    Snapshot,
    DestroySnapshots,
    Bookmark,
    DestroyBookmarks,
    Hold,
    Release,
    Rollback,
    Send,
    EstimateSend,
    Receive,
    AbortReceive,
    Sync,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Inspect => "read",
            Operation::ListChildren => "list the children of",
            Operation::ListSnapshots => "list the snapshots of",
            Operation::ListBookmarks => "list the bookmarks of",
            Operation::ListHolds => "list the holds of",
            Operation::ListPools => "list",
            Operation::SetProperty => "set properties of",
            Operation::InheritProperty => "inherit a property of",
            Operation::Create => "create",
            Operation::Clone => "clone to",
            Operation::Promote => "promote",
            Operation::Rename => "rename",
            Operation::Destroy => "destroy",
            Operation::Snapshot => "snapshot",
            Operation::DestroySnapshots => "destroy snapshots of",
            Operation::Bookmark => "bookmark",
            Operation::DestroyBookmarks => "destroy bookmarks of",
            Operation::Hold => "hold",
            Operation::Release => "release",
            Operation::Rollback => "roll back",
            Operation::Send => "send",
            Operation::EstimateSend => "estimate the send of",
            Operation::Receive => "receive into",
            Operation::AbortReceive => "abort the partial receive of",
            Operation::Sync => "sync",
        })
    }
}

/// What an error number means for the operation that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The dataset, snapshot, bookmark, hold or pool does not exist.
    NotFound,
    /// The parent of what is to be made does not exist.
    ParentNotFound,
    /// Something of that name exists already.
    Exists,
    /// Mounted, open, being received into, or has dependents that are in use.
    Busy,
    /// A partial receive is kept in the dataset (or one is running); it must be resumed or aborted first.
    PartialReceiveExists,
    /// A snapshot is held.
    Held,
    /// A snapshot has clones.
    HasClones,
    /// A dataset has children or snapshots.
    HasChildren,
    /// The caller lacks the right (see zfs-allow(8)).
    PermissionDenied,
    /// The pool or dataset is read-only.
    ReadOnly,
    /// The pool is out of space.
    NoSpace,
    /// A quota, or a limit on the number of filesystems or snapshots, is reached.
    QuotaExceeded,
    /// The name is not one ZFS accepts.
    InvalidName,
    /// The resulting name would be too long.
    NameTooLong,
    /// A property or its value is not accepted.
    InvalidProperty,
    /// The arguments do not fit together or do not fit the dataset.
    InvalidArgument,
    /// Names of different pools where one pool is required, or an incremental source that is no ancestor.
    CrossesPools,
    /// The incremental source is not an earlier snapshot or bookmark of what is sent.
    NotAnAncestor,
    /// A hold with this tag exists already, or the tag is too long.
    BadTag,
    /// The snapshot is not the newest, or a bookmark is newer than it.
    NotNewest,
    /// The receiving dataset does not have the incremental source of the stream.
    BaseMissing,
    /// The receiving dataset was changed since the incremental source.
    TargetModified,
    /// The stream ended early. A resumable receive kept what arrived.
    StreamTruncated,
    /// The stream is damaged: a checksum or a record is wrong.
    StreamCorrupt,
    /// The stream, or the resume state, does not fit what the dataset holds.
    StreamMismatch,
    /// The stream needs a feature that the pool or the module lacks.
    UnsupportedFeature,
    /// The initialisation vector set of an encrypted incremental source is missing or another one.
    IvSetMismatch,
    /// The encryption key is not loaded, or does not fit.
    KeyNotLoaded,
    /// The dataset type does not allow it (zvol where a filesystem is needed, not a clone, wrong parent).
    WrongType,
    /// An argument or an answer is larger than the kernel allows.
    TooBig,
    /// A signal ended the call, or it was cancelled.
    Interrupted,
    /// The pool is suspended after failed I/O.
    PoolSuspended,
    /// The device below failed to read or write.
    Io,
    /// The loaded ZFS module or library does not know the call.
    NotSupported,
    /// Several names failed for different reasons; see [`Error::failures`].
    Several,
    /// The kernel answered with something this library does not understand.
    BadAnswer,
    /// Anything else; see [`Error::errno`].
    Other,
}

/// One name out of many that an operation failed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The snapshot, bookmark, hold or property that failed, control characters escaped.
    pub name: String,
    /// The error number for this name.
    pub errno: i32,
    /// What it means.
    pub kind: ErrorKind,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

/// A failed operation: what was tried, on what, the raw error number, and its meaning.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    operation: Operation,
    subject: String,
    errno: i32,
    kind: ErrorKind,
    detail: Option<String>,
    failures: Vec<Failure>,
}

impl Error {
    /// An error number returned by `operation` on `subject`.
    pub(crate) fn new(operation: Operation, subject: impl fmt::Display, errno: i32) -> Self {
        let kind = meaning::kind(operation, errno);
        Self {
            operation,
            subject: escape(&subject.to_string()),
            errno,
            kind,
            detail: None,
            failures: Vec::new(),
        }
    }

    /// An error that the library found itself, without a call that failed.
    pub(crate) fn found(
        operation: Operation,
        subject: impl fmt::Display,
        kind: ErrorKind,
        detail: impl Into<String>,
    ) -> Self {
        let mut error = Self::new(operation, subject, 0);
        error.kind = kind;
        error.detail = Some(detail.into());
        error
    }

    /// An error as an operation would give it, for tests of what is built on top. Needs the feature `test-support`.
    #[cfg(feature = "test-support")]
    pub fn made_up(operation: Operation, subject: impl fmt::Display, kind: ErrorKind, errno: i32) -> Self {
        let mut error = Self::new(operation, subject, errno);
        error.kind = kind;
        error
    }

    /// The same error with a sentence on what exactly was wrong.
    pub(crate) fn detailed(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with what the kernel said of each name. Where all names failed alike, that is the kind.
    pub(crate) fn with_failures(mut self, failures: Vec<Failure>) -> Self {
        if let Some(first) = failures.first() {
            self.kind =
                if failures.iter().all(|f| f.kind == first.kind) { first.kind } else { ErrorKind::Several };
        }
        self.failures = failures;
        self
    }

    /// What was tried.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The dataset, snapshot, bookmark or pool it was tried on, control characters escaped.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The error number as it came back: an `errno` of the system, or one of ZFS's own from 1024 on. 0 where the
    /// library found the error itself.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What the number means for this operation.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The names that failed, for operations on many.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// What to do next, where there is something general to say.
    pub fn hint(&self) -> Option<&'static str> {
        meaning::hint(self.operation, self.kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.subject, self.kind)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        const SHOWN: usize = 5;
        // The subject of a call on many names is the first of them; alone, it has said everything already.
        let told = self.failures.len() == 1 && self.failures[0].name == self.subject;
        for failure in self.failures.iter().take(if told { 0 } else { SHOWN }) {
            write!(f, "; {failure}")?;
        }
        if self.failures.len() > SHOWN {
            write!(f, "; and {} more", self.failures.len() - SHOWN)?;
        }
        if self.errno != 0 && matches!(self.kind, ErrorKind::Other | ErrorKind::Io) {
            write!(f, " ({})", meaning::describe(self.errno))?;
        }
        Ok(())
    }
}

/// Makes a failure entry out of one name of the kernel's error list.
pub(crate) fn failure(operation: Operation, name: &[u8], errno: i32) -> Failure {
    Failure {
        name: escape(&String::from_utf8_lossy(name)),
        errno,
        kind: meaning::kind_of_member(operation, errno),
    }
}

fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// ZFS cannot be used on this machine at all, or not by this process.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A library is missing, or lacks a function.
    #[error("the ZFS library cannot be used: {reason}")]
    Library {
        /// What the dynamic loader said, with the name of the library.
        reason: String,
    },
    /// `/dev/zfs` is not there: the kernel module is not loaded.
    #[error("the ZFS kernel module is not loaded (there is no /dev/zfs)")]
    ModuleNotLoaded,
    /// `/dev/zfs` may not be opened.
    #[error("/dev/zfs may not be opened by this user")]
    PermissionDenied,
    /// The device or library failed to start in another way.
    #[error("ZFS cannot be opened: {reason}")]
    Other {
        /// The error number as the system returned it.
        errno: i32,
        /// Its text.
        reason: String,
    },
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            OpenError::Library { .. } => {
                "install OpenZFS 2.1 or later (Debian: `apt install zfsutils-linux`, component contrib; Proxmox VE has it)"
            }
            OpenError::ModuleNotLoaded => {
                "load it with `modprobe zfs`; if there is no such module, install it (Debian: `apt install zfs-dkms linux-headers-amd64`)"
            }
            OpenError::PermissionDenied => {
                "run as root, or make /dev/zfs readable and writable for this user (its usual mode is 0666)"
            }
            OpenError::Other { .. } => "see `dmesg` and `zpool status` for what the ZFS module says",
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Error::found(Operation::Inspect, &error, ErrorKind::InvalidName, "the name is not valid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_means_different_things() {
        let receive = Error::new(Operation::Receive, "tank/a", libc::EEXIST);
        let rollback = Error::new(Operation::Rollback, "tank/a", libc::EEXIST);
        assert_eq!(receive.kind(), ErrorKind::Exists);
        assert_eq!(rollback.kind(), ErrorKind::NotNewest);
    }

    #[test]
    fn text_names_operation_subject_and_meaning() {
        let error = Error::new(Operation::Send, "tank/a@1", libc::ENOENT);
        assert_eq!(error.to_string(), "cannot send tank/a@1: it does not exist");
        let error = Error::new(Operation::Send, "tank/a\n@1", 9999);
        assert_eq!(error.to_string(), "cannot send tank/a\\n@1: error (error number 9999)");
    }

    #[test]
    fn names_that_failed_alike_give_the_kind() {
        let list = |errno| {
            vec![
                failure(Operation::DestroySnapshots, b"t@a", libc::EBUSY),
                failure(Operation::DestroySnapshots, b"t@b", errno),
            ]
        };
        let error = Error::new(Operation::DestroySnapshots, "t", libc::EBUSY);
        assert_eq!(error.clone().with_failures(list(libc::EBUSY)).kind(), ErrorKind::Held);
        assert_eq!(error.with_failures(list(libc::EEXIST)).kind(), ErrorKind::Several);
    }
}
