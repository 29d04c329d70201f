//! Errors on their way over the connection: what a reader and the classification of retries need of a
//! [`HostError`], and no more. What comes back is the other machine's text, so it is cut and made printable.

use serde::Deserialize;
use serde::Serialize;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;

use super::limits::Refused;
use crate::host::HostError;
use crate::pair::fence;
use crate::transport::printable;

/// The longest text of a fault. An answer stays far below what a connection keeps while nobody reads.
const TEXT: usize = 4096;

/// All kinds, to find one by its name.
const KINDS: &[ErrorKind] = &[
    ErrorKind::NotFound,
    ErrorKind::ParentNotFound,
    ErrorKind::Exists,
    ErrorKind::Busy,
    ErrorKind::PartialReceiveExists,
    ErrorKind::Held,
    ErrorKind::HasClones,
    ErrorKind::HasChildren,
    ErrorKind::PermissionDenied,
    ErrorKind::ReadOnly,
    ErrorKind::NoSpace,
    ErrorKind::QuotaExceeded,
    ErrorKind::InvalidName,
    ErrorKind::NameTooLong,
    ErrorKind::InvalidProperty,
    ErrorKind::InvalidArgument,
    ErrorKind::CrossesPools,
    ErrorKind::NotAnAncestor,
    ErrorKind::BadTag,
    ErrorKind::NotNewest,
    ErrorKind::BaseMissing,
    ErrorKind::TargetModified,
    ErrorKind::StreamTruncated,
    ErrorKind::StreamCorrupt,
    ErrorKind::StreamMismatch,
    ErrorKind::UnsupportedFeature,
    ErrorKind::IvSetMismatch,
    ErrorKind::KeyNotLoaded,
    ErrorKind::WrongType,
    ErrorKind::TooBig,
    ErrorKind::Interrupted,
    ErrorKind::PoolSuspended,
    ErrorKind::Io,
    ErrorKind::NotSupported,
    ErrorKind::Several,
    ErrorKind::BadAnswer,
    ErrorKind::Other,
];

/// All operations, too.
const OPERATIONS: &[Operation] = &[
    Operation::Inspect,
    Operation::ListChildren,
    Operation::ListSnapshots,
    Operation::ListBookmarks,
    Operation::ListHolds,
    Operation::ListPools,
    Operation::SetProperty,
    Operation::InheritProperty,
    Operation::Create,
    Operation::Clone,
    Operation::Promote,
    Operation::Rename,
    Operation::Destroy,
    Operation::Snapshot,
    Operation::DestroySnapshots,
    Operation::Bookmark,
    Operation::DestroyBookmarks,
    Operation::Hold,
    Operation::Release,
    Operation::Rollback,
    Operation::Send,
    Operation::EstimateSend,
    Operation::Receive,
    Operation::AbortReceive,
    Operation::Sync,
];

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// The kernel there refused, or the stream is not one that it may have.
    Zfs {
        operation: String,
        subject: String,
        errno: i32,
        kind: String,
        message: String,
        hint: Option<String>,
    },
    /// Something is not what the plan was made for.
    Changed { name: String, expected: u64, found: Option<u64> },
    /// The pool is not there.
    NoPool { pool: String, dataset: String },
    /// Another run has it.
    Busy { dataset: String, process: Option<u32> },
    /// The limits of the agent do not allow it.
    Refused { why: String },
    /// A root of a pair may not be changed. From version 4 on.
    Fenced { kind: fence::Kind, message: String, hint: String },
    /// The request was not understood, or came out of turn.
    Protocol { why: String },
    /// It was given up.
    Cancelled,
    /// Anything else.
    Other { message: String, hint: Option<String> },
}

impl Fault {
    /// A stream that does not get through.
    pub(super) fn stream(subject: &str, kind: ErrorKind, why: impl std::fmt::Display) -> Self {
        let operation = Operation::Receive;
        Self::Zfs {
            operation: format!("{operation:?}"),
            subject: subject.to_string(),
            errno: 0,
            kind: format!("{kind:?}"),
            message: cut(&format!("cannot {operation} {subject}: the stream is refused: {why}")),
            hint: None,
        }
    }

    /// The same in words that an asking end of this version of the protocol knows.
    pub(super) fn for_version(self, version: u16) -> Self {
        match self {
            Self::Fenced { message, .. } if version < super::FENCES => Self::Refused { why: message },
            fault => fault,
        }
    }

    pub(super) fn protocol(why: impl std::fmt::Display) -> Self {
        Self::Protocol { why: cut(&why.to_string()) }
    }

    /// The error of the asking side.
    pub(crate) fn into_error(self, host: &str, asked: &'static str) -> HostError {
        let host = host.to_string();
        let clean = |text: String| printable(text.as_bytes(), TEXT);
        match self {
            Self::Zfs { operation, subject, errno, kind, message, hint } => HostError::Agent {
                host,
                // A newer agent may know more operations and kinds: the text still tells.
                operation: operation_of(&operation),
                subject: clean(subject),
                errno,
                kind: kind_of(&kind),
                message: clean(message),
                hint: hint.map(clean),
            },
            Self::Changed { name, expected, found } => HostError::Changed {
                host,
                name: clean(name),
                expected: Guid(expected),
                found: found.map(Guid),
            },
            Self::NoPool { pool, dataset } => {
                HostError::NoPool { host, pool: clean(pool), dataset: clean(dataset) }
            }
            Self::Busy { dataset, process } => HostError::Busy { host, dataset: clean(dataset), process },
            Self::Refused { why } => HostError::Refused { host, why: clean(why) },
            Self::Fenced { kind, message, hint } => {
                HostError::Fenced { host, kind, message: clean(message), hint: clean(hint) }
            }
            Self::Protocol { why } => HostError::BadAnswer {
                host,
                operation: asked,
                why: format!("it did not understand the request: {}", clean(why)),
            },
            Self::Cancelled => HostError::Cancelled,
            Self::Other { message, hint } => HostError::Agent {
                host,
                operation: None,
                subject: String::new(),
                errno: 0,
                kind: ErrorKind::Other,
                message: clean(message),
                hint: hint.map(clean),
            },
        }
    }
}

fn cut(text: &str) -> String {
    printable(text.as_bytes(), TEXT)
}

fn operation_of(name: &str) -> Option<Operation> {
    OPERATIONS.iter().copied().find(|operation| format!("{operation:?}") == name)
}

fn kind_of(name: &str) -> ErrorKind {
    KINDS.iter().copied().find(|kind| format!("{kind:?}") == name).unwrap_or(ErrorKind::Other)
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        if error.is_cancelled() {
            return Self::Cancelled;
        }
        match error {
            HostError::Zfs(error) => Self::Zfs {
                operation: format!("{:?}", error.operation()),
                subject: cut(error.subject()),
                errno: error.errno(),
                kind: format!("{:?}", error.kind()),
                message: cut(&error.to_string()),
                hint: error.hint().map(str::to_string),
            },
            HostError::Agent { operation, subject, errno, kind, message, hint, .. } => Self::Zfs {
                operation: operation.map(|operation| format!("{operation:?}")).unwrap_or_default(),
                subject: cut(&subject),
                errno,
                kind: format!("{kind:?}"),
                message: cut(&message),
                hint: hint.map(|hint| cut(&hint)),
            },
            HostError::Changed { name, expected, found, .. } => {
                Self::Changed { name: cut(&name), expected: expected.0, found: found.map(|guid| guid.0) }
            }
            HostError::Busy { dataset, process, .. } => Self::Busy { dataset: cut(&dataset), process },
            HostError::Fenced { kind, message, hint, .. } => {
                Self::Fenced { kind, message: cut(&message), hint: cut(&hint) }
            }
            HostError::NoPool { pool, dataset, .. } => {
                Self::NoPool { pool: cut(&pool), dataset: cut(&dataset) }
            }
            HostError::NotStale { snapshot, tag, .. } => {
                let message = cut(&format!("the hold {tag} on {snapshot} is not one that was left behind"));
                Self::Other { message, hint: None }
            }
            error => {
                Self::Other { message: cut(&error.to_string()), hint: error.hint().map(|hint| cut(&hint)) }
            }
        }
    }
}

impl From<&fence::Refusal> for Fault {
    fn from(refusal: &fence::Refusal) -> Self {
        let (message, hint) = (cut(&refusal.to_string()), cut(&refusal.hint()));
        Self::Fenced { kind: refusal.kind(), message, hint }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused { why: cut(&refused.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name() {
        for kind in KINDS {
            assert_eq!(kind_of(&format!("{kind:?}")), *kind);
        }
        assert_eq!(kind_of("FromTheFuture"), ErrorKind::Other);
        for operation in OPERATIONS {
            assert_eq!(operation_of(&format!("{operation:?}")), Some(*operation));
        }
        assert_eq!(operation_of("FromTheFuture"), None);
    }

    #[test]
    fn what_matters_of_an_error_survives_the_way_and_is_printable() {
        let fault = Fault::Zfs {
            operation: "Receive".to_string(),
            subject: "tank/a".to_string(),
            errno: 28,
            kind: "NoSpace".to_string(),
            message: format!("no \u{1b}[31mspace {}", "x".repeat(100_000)),
            hint: Some("make room".to_string()),
        };
        let text = serde_json::to_string(&fault).expect("JSON");
        let error = serde_json::from_str::<Fault>(&text).expect("a fault").into_error("h", "receive");
        assert_eq!(error.zfs_kind(), Some(ErrorKind::NoSpace));
        assert_eq!(error.hint().as_deref(), Some("make room"));
        let shown = error.to_string();
        assert!(shown.starts_with("h: no \\u{1b}[31mspace") && shown.len() < 2 * TEXT, "{shown}");

        let error = Fault::from(HostError::NoPool {
            host: "x".to_string(),
            pool: "tank".to_string(),
            dataset: "tank/a".to_string(),
        });
        assert!(matches!(error.into_error("h", "list"), HostError::NoPool { host, .. } if host == "h"));
        let error = Fault::from(HostError::Changed {
            host: "x".to_string(),
            name: "tank/a@b".to_string(),
            expected: Guid(1),
            found: None,
        });
        assert!(matches!(
            error.into_error("h", "x"),
            HostError::Changed { expected: Guid(1), found: None, .. }
        ));
        let busy = HostError::Busy { host: "x".to_string(), dataset: "tank/a".to_string(), process: Some(7) };
        assert!(matches!(
            Fault::from(busy).into_error("h", "x"),
            HostError::Busy { host, process: Some(7), .. } if host == "h"
        ));
        assert!(Fault::from(HostError::Cancelled).into_error("h", "x").is_cancelled());
    }
}
