//! Which error has which code. A failure that wraps another one has the code of what is inside.

use zfs_core::ErrorKind;

use super::Code;
use crate::compare::walk::WalkError;
use crate::connect::ConnectError;
use crate::endpoint::EndpointError;
use crate::engine::RunError;
use crate::host::HostError;
use crate::host::agent::START;
use crate::jobs::JobError;
use crate::lock::LockError;
use crate::monitor::look::LookError;
use crate::pair::verbs::Refused;
use crate::pair::verbs::VerbError;
use crate::plan::Conflict;
use crate::restore::RestoreError;
use crate::survey::SurveyError;
use crate::transfer::StreamError;
use crate::transfer::TransferError;
use crate::transfer::retry::Class;
use crate::transfer::retry::Operator;
use crate::transfer::retry::Replan;
use crate::transfer::retry::Transient;
use crate::transport::TransportError;
use crate::transport::known_hosts::HostKeyError;

/// An error that has a code.
pub trait Coded {
    /// Its code.
    fn code(&self) -> Code;
}

impl Coded for ErrorKind {
    fn code(&self) -> Code {
        match self {
            Self::NotFound | Self::ParentNotFound => Code::NoDataset,
            Self::Busy | Self::PartialReceiveExists => Code::InUse,
            Self::Held | Self::HasClones | Self::HasChildren => Code::NotDestroyed,
            Self::PermissionDenied => Code::Permission,
            Self::NoSpace | Self::QuotaExceeded => Code::NoSpace,
            Self::ReadOnly | Self::PoolSuspended | Self::Io => Code::PoolFault,
            Self::BaseMissing | Self::TargetModified | Self::NotNewest => Code::TargetModified,
            Self::StreamTruncated | Self::StreamCorrupt | Self::StreamMismatch => Code::StreamDamaged,
            Self::UnsupportedFeature | Self::NotSupported => Code::Unsupported,
            Self::KeyNotLoaded | Self::IvSetMismatch => Code::KeyMissing,
            Self::BadAnswer => Code::BadAnswer,
            _ => Code::ZfsRefused,
        }
    }
}

impl Coded for zfs_core::Error {
    fn code(&self) -> Code {
        self.kind().code()
    }
}

impl Coded for zfs_core::OpenError {
    fn code(&self) -> Code {
        match self {
            Self::Library { .. } => Code::ZfsLibrary,
            Self::ModuleNotLoaded => Code::ZfsModule,
            Self::PermissionDenied => Code::ZfsDevice,
            _ => Code::NoZfs,
        }
    }
}

impl Coded for EndpointError {
    fn code(&self) -> Code {
        Code::Endpoint
    }
}

impl Coded for WalkError {
    fn code(&self) -> Code {
        Code::Unreadable
    }
}

impl Coded for HostKeyError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::HostKeyUnknown,
            Self::Changed { .. } => Code::HostKeyChanged,
            Self::Revoked { .. } | Self::Unreadable { .. } => Code::HostKeyUnusable,
        }
    }
}

impl Coded for TransportError {
    fn code(&self) -> Code {
        match self {
            Self::Lookup { .. } => Code::Lookup,
            Self::Connect { .. } => Code::Connect,
            Self::Handshake { .. } => Code::Handshake,
            Self::Timeout { .. } => Code::Timeout,
            Self::HostKey(error) => error.code(),
            Self::HostKeyRefused { .. } => Code::HostKeyUnusable,
            Self::NoSsh { .. } => Code::NoSsh,
            Self::Authentication { .. } => Code::Authentication,
            Self::Lost { .. } => Code::Lost,
            Self::Refused { .. } => Code::NoCommands,
            Self::StdinClosed { .. } => Code::Ended,
            Self::TooMuch { .. } => Code::BadAnswer,
            Self::Cancelled => Code::Interrupted,
            Self::Local { .. } => Code::Local,
        }
    }
}

impl Coded for HostError {
    fn code(&self) -> Code {
        match self {
            Self::Zfs(error) => error.code(),
            Self::Walk(error) => error.code(),
            Self::Transport(error) => error.code(),
            Self::NoZfs { .. } => Code::NoZfs,
            Self::Remote { operation, .. } if *operation == START => Code::Connection,
            // The words of the zfs command are read in one place.
            Self::Remote { .. } => match Class::of_host(self, None) {
                Class::Operator(Operator::Permission) => Code::Permission,
                Class::Operator(Operator::Space | Operator::Quota) => Code::NoSpace,
                Class::Operator(Operator::Pool) => Code::PoolFault,
                Class::Operator(Operator::Key) => Code::KeyMissing,
                Class::Operator(Operator::Feature) => Code::Unsupported,
                Class::Replan(Replan::TargetModified) => Code::TargetModified,
                _ => Code::ZfsRefused,
            },
            Self::BadAnswer { .. } => Code::BadAnswer,
            Self::Agent { operation: Some(_), kind, .. } => kind.code(),
            Self::Agent { .. } => Code::ZfsRefused,
            Self::NoAgent { .. } => Code::NoAgent,
            Self::AgentVersion { .. } => Code::AgentVersion,
            Self::Cannot { .. } => Code::Cannot,
            Self::Refused { .. } => Code::NotAllowed,
            Self::NotStale { .. } | Self::NotMarked { .. } | Self::Newest { .. } => Code::NotDestroyed,
            Self::Changed { .. } => Code::Changed,
            Self::Busy { .. } => Code::Busy,
            Self::Closed { .. } => Code::Closed,
            Self::Fenced { .. } => Code::Fenced,
            Self::BookmarkInTheWay { .. } => Code::BookmarkInTheWay,
            Self::NoPool { .. } => Code::NoPool,
            Self::Cancelled => Code::Interrupted,
        }
    }
}

impl Coded for LockError {
    fn code(&self) -> Code {
        match self {
            Self::Policies { .. } => Code::Policies,
            Self::Busy { .. } => Code::Busy,
            Self::Closed { .. } => Code::Closed,
            Self::File { .. } => Code::Local,
        }
    }
}

impl Coded for SurveyError {
    fn code(&self) -> Code {
        match self {
            Self::NotImported { .. } => Code::NoPool,
            Self::Zfs(error) => error.code(),
            Self::Missing { .. } => Code::BadAnswer,
        }
    }
}

impl Coded for Conflict {
    fn code(&self) -> Code {
        match self {
            Self::NoSourceSnapshots { .. } => Code::NoSourceSnapshots,
            Self::NothingSelected { .. } => Code::NothingSelected,
            Self::InitialRefused { .. } => Code::InitialRefused,
            Self::KeyNotLoaded { .. } => Code::KeyNotLoaded,
            Self::ParentNotReplicated { .. } => Code::ParentNotReplicated,
            Self::OriginNotReplicated { .. } => Code::OriginNotReplicated,
            Self::Promoted { .. } => Code::Promoted,
            Self::NoSpace { .. } => Code::TargetTooSmall,
            Self::Bug { .. } => Code::ZfsBug,
            Self::NotEncrypted { .. } => Code::NotEncrypted,
            Self::FeatureMissing { .. } => Code::FeatureMissing,
            Self::KindMismatch { .. } => Code::KindMismatch,
            Self::TargetWithoutSnapshots { .. } => Code::TargetWithoutSnapshots,
            Self::NoCommonBase { .. } => Code::NoCommonBase,
            Self::Diverged { .. } => Code::Diverged,
            Self::SetAsideUnloadsKey { .. } => Code::SetAsideUnloadsKey,
            Self::NameClash { .. } => Code::NameClash,
            Self::NameTooLong { .. } => Code::NameTooLong,
            Self::Partial { .. } => Code::Partial,
        }
    }
}

impl Coded for TransferError {
    fn code(&self) -> Code {
        match self {
            // The kernel takes one receive at a time: without an agent that is how another run is met.
            Self::Receiver(error)
                if Class::of_host(error, None) == Class::Transient(Transient::TargetBusy) =>
            {
                Code::Busy
            }
            Self::Sender(error) | Self::Receiver(error) => error.code(),
            // The sender has told that it had sent all: what was left of it was on its way when the connection broke.
            Self::Stream(StreamError::Truncated(_)) => Code::Lost,
            Self::Stream(_) => Code::StreamDamaged,
            Self::Stalled { .. } => Code::Stalled,
            Self::Compression { .. } | Self::Thread(_) => Code::Local,
            Self::Cancelled => Code::Interrupted,
        }
    }
}

impl Coded for RunError {
    fn code(&self) -> Code {
        match self {
            Self::Conflict(conflict) => conflict.code(),
            Self::NoSource { .. } => Code::NoDataset,
            Self::Host(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::NotAlone { .. } => Code::Busy,
            Self::Transfer { error, .. } => error.code(),
            Self::NotWhatWasSent { .. } => Code::NotWhatWasSent,
            Self::PropertiesNotSet { .. } => Code::PropertiesNotSet,
            Self::NotGone { .. } => Code::NotDestroyed,
            Self::NotRemoved { error, .. } | Self::NotDiscarded { error, .. } => error.code(),
            Self::Dependency { .. } => Code::Waits,
            Self::Overlap { .. } => Code::Overlap,
            Self::Cancelled => Code::Interrupted,
        }
    }
}

impl Coded for LookError {
    fn code(&self) -> Code {
        match self {
            Self::NoSource { .. } => Code::NoDataset,
            Self::Host(error) => error.code(),
        }
    }
}

impl Coded for ConnectError {
    fn code(&self) -> Code {
        match self {
            Self::NoZfs(error) => error.code(),
            Self::Host(error) => error.code(),
        }
    }
}

impl Coded for JobError {
    fn code(&self) -> Code {
        match self {
            Self::Lock(error) => error.code(),
            Self::Connect(error) => error.code(),
            Self::Run(error) => error.code(),
        }
    }
}

impl Coded for RestoreError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(_) | Self::InUse { .. } => Code::RestoreRefused,
            Self::Host(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::NotMounted { .. } => Code::NotMounted,
            Self::Path { .. } => Code::Usage,
            Self::Snapshot { .. } => Code::Unreadable,
            Self::Copy { .. } => Code::Local,
            Self::Exists(_) => Code::DestinationExists,
            Self::Cancelled => Code::Interrupted,
        }
    }
}

impl Coded for Refused {
    fn code(&self) -> Code {
        match self {
            Self::NotMounted { .. } => Code::NotMounted,
            Self::Name(_) => Code::NodeName,
            Self::Fenced(_) => Code::NoRole,
            _ => Code::PairRefused,
        }
    }
}

impl Coded for VerbError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Host(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Run(error) => error.code(),
        }
    }
}
