//! How the program ends: a few kinds, each with an exit status that does not change, and the message that goes with
//! a failure. Errors of the library are folded into these kinds here and nowhere else.

use std::process::ExitCode;

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
use crate::survey::SurveyError;
use crate::transfer::TransferError;
use crate::transfer::retry::Class;
use crate::transfer::retry::Transient;
use crate::transport::TransportError;

/// How the program ended. The numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// All that was asked for is done, or there was nothing to do.
    Success = 0,
    /// Something failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Stopped for safety: going on needs a decision. Nothing was changed.
    Conflict = 3,
    /// The other machine cannot be reached, or is not the one we know, or does not let us in; or it has no agent that
    /// we can speak with, or one that may not do what was asked.
    Connection = 4,
    /// A machine has no ZFS.
    NoZfs = 5,
    /// Interrupted. What arrived is kept, and the same command goes on from there.
    Interrupted = 6,
    /// Another run into the same target, or into what is above or below it, is going on; or another that takes or prunes
    /// snapshots.
    Busy = 7,
    /// The configuration is broken, or somebody else could have written it. Nothing was done.
    Configuration = 8,
    /// Of a pair, this node is neither active nor standby, or what it is is not known.
    NoRole = 9,
}

/// The statuses, for `--help`.
pub const HELP: &str = "\
Exit status:
  0  done, or nothing to do
  1  something failed
  2  the command line is wrong
  3  stopped for safety: source and target conflict; what conflicts was left as it is
  4  the other machine or its agent cannot be reached, is not the one we know, or does not let us in
  5  ZFS is missing on a machine
  6  interrupted; the same command goes on from where it was
  7  another run into this target, or into what is above or below it, is going on, or another takes or prunes snapshots
  8  the configuration is broken; nothing was done
  9  in a pair, this node is isolated, or its role is not known";

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome as u8)
    }
}

impl Outcome {
    /// The status of `sanoid`, which is 1 where something failed, and 255 where it could not even begin.
    #[must_use]
    pub fn as_sanoid(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::NoZfs | Self::Configuration => 255,
            Self::Failed
            | Self::Conflict
            | Self::Connection
            | Self::Interrupted
            | Self::Busy
            | Self::NoRole => 1,
        }
    }
}

/// A failure, as it is told to a person.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub outcome: Outcome,
    message: String,
    hint: Option<String>,
    broken_pipe: bool,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), hint: None, broken_pipe: false }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hinted(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The reader of our output went away, as `head` does.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// The text for standard error.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let (red, bold, plain) = if colour { ("\x1b[31;1m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error:{plain} {}\n", self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{bold}hint:{plain} {hint}\n"));
        }
        text
    }

    /// The message alone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::new(Outcome::Failed, format!("cannot write the output: {error}")) }
    }
}

impl From<zfs_core::OpenError> for Failure {
    fn from(error: zfs_core::OpenError) -> Self {
        let hint = error.hint().to_string();
        Self::new(Outcome::NoZfs, format!("this machine has no usable ZFS: {error}")).hinted(hint)
    }
}

impl From<zfs_core::Error> for Failure {
    fn from(error: zfs_core::Error) -> Self {
        let hint = error.hint().map(str::to_string);
        Self::new(Outcome::Failed, error.to_string()).hinted(hint)
    }
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        Self::new(Outcome::Usage, error.to_string())
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let hint = error.hint();
        Self::new(transport(&error), error.to_string()).hinted(hint)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let outcome = match error {
            LockError::Busy { .. } | LockError::Policies { .. } | LockError::Closed { .. } => Outcome::Busy,
            LockError::File { .. } => Outcome::Failed,
        };
        Self::new(outcome, error.to_string()).hinted(error.hint())
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        let hint = error.hint();
        Self::new(Outcome::Failed, error.to_string()).hinted(hint)
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Host(error) => error.into(),
            error @ LookError::NoSource { .. } => Self::new(Outcome::Failed, error.to_string())
                .hinted("check the name in the configuration".to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NoZfs(error) => error.into(),
            ConnectError::Host(error) => error.into(),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Lock(error) => error.into(),
            JobError::Connect(error) => error.into(),
            JobError::Run(error) => error.into(),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let hint = error.hint();
        Self::new(host(&error), error.to_string()).hinted(hint)
    }
}

impl From<VerbError> for Failure {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Host(error) => error.into(),
            VerbError::Lock(error) => error.into(),
            VerbError::Run(error) => error.into(),
            VerbError::Refused(refused) => {
                let outcome = match *refused {
                    Refused::NotMounted { .. } | Refused::Name(_) => Outcome::Failed,
                    _ => Outcome::Conflict,
                };
                Self::new(outcome, refused.to_string()).hinted(refused.hint())
            }
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::new(of_run(&error), error.to_string()).hinted(error.hint())
    }
}

/// The kind of a failure of a run, or of one dataset of it.
pub(super) fn of_run(error: &RunError) -> Outcome {
    match error {
        RunError::Conflict(_) => Outcome::Conflict,
        RunError::Host(error) => host(error),
        error if error.is_busy() => Outcome::Busy,
        RunError::NotRemoved { error, .. } => host(error),
        RunError::Transfer { error, .. } => match &**error {
            // The kernel takes one receive at a time: without an agent that is how another run is met.
            TransferError::Receiver(error)
                if Class::of_host(error, None) == Class::Transient(Transient::TargetBusy) =>
            {
                Outcome::Busy
            }
            TransferError::Sender(error) | TransferError::Receiver(error) => host(error),
            TransferError::Cancelled => Outcome::Interrupted,
            _ => Outcome::Failed,
        },
        RunError::Cancelled => Outcome::Interrupted,
        RunError::Overlap { .. } => Outcome::Usage,
        _ => Outcome::Failed,
    }
}

fn host(error: &HostError) -> Outcome {
    match error {
        HostError::Transport(error) => transport(error),
        HostError::NoZfs { .. } => Outcome::NoZfs,
        HostError::NoAgent { .. }
        | HostError::AgentVersion { .. }
        | HostError::Cannot { .. }
        | HostError::Refused { .. } => Outcome::Connection,
        HostError::Remote { operation, .. } if *operation == START => Outcome::Connection,
        HostError::Cancelled => Outcome::Interrupted,
        HostError::Busy { .. } | HostError::Closed { .. } => Outcome::Busy,
        HostError::Fenced { .. } => Outcome::Conflict,
        // The agent let us in, and what it was asked failed there, as it might have here.
        _ => Outcome::Failed,
    }
}

fn transport(error: &TransportError) -> Outcome {
    match error {
        TransportError::Cancelled => Outcome::Interrupted,
        TransportError::TooMuch { .. }
        | TransportError::StdinClosed { .. }
        | TransportError::Local { .. } => Outcome::Failed,
        _ => Outcome::Connection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_status() {
        for outcome in [
            Outcome::Success,
            Outcome::Failed,
            Outcome::Usage,
            Outcome::Conflict,
            Outcome::Connection,
            Outcome::NoZfs,
            Outcome::Interrupted,
            Outcome::Busy,
            Outcome::Configuration,
            Outcome::NoRole,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", outcome as u8)), "{outcome:?}");
        }
    }

    #[test]
    fn what_keeps_us_from_an_agent_is_a_matter_of_the_connection() {
        let far = || "far".to_string();
        let no = || "no".to_string();
        let errors = [
            HostError::NoAgent { host: far(), program: "replicator".to_string(), message: no() },
            HostError::AgentVersion { host: far(), ours: no(), theirs: no() },
            HostError::Refused { host: far(), why: no() },
            HostError::Remote { host: far(), operation: START, subject: no(), message: no() },
            TransportError::Lost { peer: far(), phase: "waiting for the agent", cause: no() }.into(),
            TransportError::Refused { peer: far(), cause: no() }.into(),
        ];
        for error in errors {
            let shown = error.to_string();
            let failed = TransferError::Receiver(error);
            let to = "tank/a@x".try_into().expect("a name");
            let failure = Failure::from(RunError::Transfer { to, error: Box::new(failed) });
            assert_eq!(failure.outcome, Outcome::Connection, "{shown}");
        }
    }

    #[test]
    fn what_fails_at_an_agent_fails_as_it_would_here() {
        let of_agent = |kind| HostError::Agent {
            host: "far".to_string(),
            operation: Some(zfs_core::Operation::Receive),
            subject: "tank/a".to_string(),
            errno: 0,
            kind,
            message: "it failed".to_string(),
            hint: None,
        };
        for kind in [zfs_core::ErrorKind::PermissionDenied, zfs_core::ErrorKind::NoSpace] {
            assert_eq!(Failure::from(of_agent(kind)).outcome, Outcome::Failed);
        }
        let remote = |operation| HostError::Remote {
            host: "far".to_string(),
            operation,
            subject: "tank".to_string(),
            message: "permission denied".to_string(),
        };
        assert_eq!(Failure::from(remote("list")).outcome, Outcome::Failed);
        assert_eq!(Failure::from(HostError::NoZfs { host: "far".to_string() }).outcome, Outcome::NoZfs);
        let busy = HostError::Busy { host: "far".to_string(), dataset: "tank/a".to_string(), process: None };
        assert_eq!(Failure::from(busy).outcome, Outcome::Busy);
        let busy = HostError::Remote {
            host: "far".to_string(),
            operation: "receive into",
            subject: "tank/a@x".to_string(),
            message: "cannot receive: destination 'tank/a' is busy".to_string(),
        };
        let error = Box::new(TransferError::Receiver(busy));
        let to = "tank/a@x".try_into().expect("a name");
        let failure = Failure::from(RunError::Transfer { to, error });
        assert_eq!(failure.outcome, Outcome::Busy);
        assert!(failure.hint().is_some_and(|hint| hint.contains("another run")));
        assert_eq!(Failure::from(HostError::Cancelled).outcome, Outcome::Interrupted);
    }
}
