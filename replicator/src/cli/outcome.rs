//! How the program ends: a few kinds, each with an exit status that does not change, and the message that goes with
//! a failure. Errors of the library are folded into these kinds here and nowhere else.

use std::process::ExitCode;

use crate::codes::Code;
use crate::codes::Coded;
use crate::connect::ConnectError;
use crate::endpoint::EndpointError;
use crate::engine::RunError;
use crate::host::HostError;
use crate::jobs::JobError;
use crate::lock::LockError;
use crate::monitor::look::LookError;
use crate::pair::verbs::VerbError;
use crate::survey::SurveyError;
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

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        match code.status() {
            2 => Self::Usage,
            3 => Self::Conflict,
            4 => Self::Connection,
            5 => Self::NoZfs,
            6 => Self::Interrupted,
            7 => Self::Busy,
            8 => Self::Configuration,
            9 => Self::NoRole,
            _ => Self::Failed,
        }
    }
}

/// The general code of a kind, where nothing more is known.
impl From<Outcome> for Code {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success | Outcome::Failed => Self::Failed,
            Outcome::Usage => Self::Usage,
            Outcome::Conflict => Self::Stopped,
            Outcome::Connection => Self::Connection,
            Outcome::NoZfs => Self::NoZfs,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Busy => Self::Busy,
            Outcome::Configuration => Self::Configuration,
            Outcome::NoRole => Self::NoRole,
        }
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
    /// What `replicator explain` knows about it.
    pub code: Code,
    message: String,
    hint: Option<String>,
    broken_pipe: bool,
}

impl Failure {
    /// A failure with this code, or of a kind that has nothing more to say.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        let code: Code = code.into();
        Self { outcome: code.into(), code, message: message.into(), hint: None, broken_pipe: false }
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

    /// The text for standard error. The code stands at the end of the first line, before any list.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let (red, bold, plain) = if colour { ("\x1b[31;1m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let (first, rest) = self.message.split_once('\n').unwrap_or((&self.message, ""));
        let mut text = format!("{red}error:{plain} {first} [{}]\n", self.code);
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
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
        Self { broken_pipe, ..Self::new(Code::Output, format!("cannot write the output: {error}")) }
    }
}

impl From<zfs_core::OpenError> for Failure {
    fn from(error: zfs_core::OpenError) -> Self {
        let hint = error.hint().to_string();
        Self::new(error.code(), format!("this machine has no usable ZFS: {error}")).hinted(hint)
    }
}

impl From<zfs_core::Error> for Failure {
    fn from(error: zfs_core::Error) -> Self {
        let hint = error.hint().map(str::to_string);
        Self::new(error.code(), error.to_string()).hinted(hint)
    }
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let hint = error.hint();
        Self::new(error.code(), error.to_string()).hinted(hint)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::new(error.code(), error.to_string()).hinted(error.hint())
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        let hint = error.hint();
        Self::new(error.code(), error.to_string()).hinted(hint)
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Host(error) => error.into(),
            error @ LookError::NoSource { .. } => Self::new(error.code(), error.to_string())
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
        Self::new(error.code(), error.to_string()).hinted(hint)
    }
}

impl From<VerbError> for Failure {
    fn from(error: VerbError) -> Self {
        // What a pair can do about it is not what a replication can: the hint is that of the verb.
        let hint = error.hint();
        Self::new(error.code(), error.to_string()).hinted(hint)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::new(error.code(), error.to_string()).hinted(error.hint())
    }
}

/// The kind of a failure of a run, or of one dataset of it.
pub(super) fn of_run(error: &RunError) -> Outcome {
    error.code().into()
}

#[cfg(test)]
mod tests {
    use zfs_core::Guid;
    use zfs_core::Txg;
    use zfs_core::name::DatasetName;

    use super::*;
    use crate::host::Base;
    use crate::host::Snapshot;
    use crate::host::agent::START;
    use crate::pair::verbs::Refused;
    use crate::plan::Conflict;
    use crate::transfer::TransferError;

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
    fn kinds_and_their_general_codes_agree() {
        for (outcome, code) in [
            (Outcome::Failed, Code::Failed),
            (Outcome::Usage, Code::Usage),
            (Outcome::Conflict, Code::Stopped),
            (Outcome::Connection, Code::Connection),
            (Outcome::NoZfs, Code::NoZfs),
            (Outcome::Interrupted, Code::Interrupted),
            (Outcome::Busy, Code::Busy),
            (Outcome::Configuration, Code::Configuration),
            (Outcome::NoRole, Code::NoRole),
        ] {
            let failure = Failure::new(outcome, "no");
            assert_eq!((failure.code, failure.outcome), (code, outcome));
        }
        for code in Code::ALL {
            assert_eq!(Outcome::from(*code) as u8, code.status(), "{code}");
        }
        let failure = Failure::from(std::io::Error::other("the disk is full"));
        assert_eq!((failure.code, failure.is_broken_pipe()), (Code::Output, false));
    }

    #[test]
    fn the_code_stands_at_the_end_of_the_first_line() {
        let failure =
            Failure::new(Code::Diverged, "it has changed\n  only there: 1").hinted("do".to_string());
        assert_eq!(failure.outcome, Outcome::Conflict);
        let text = "error: it has changed [R315]\n  only there: 1\nhint: do\n";
        assert_eq!(failure.render(false), text);
        assert!(failure.render(true).contains("it has changed [R315]\n"));
    }

    /// What is printed where a stream of a pair meets something: either node may have what counts, so nothing is said of
    /// destroying or rolling back, nor of options that only a replication has.
    #[test]
    fn conflicts_within_a_pair_point_to_its_verbs() {
        let name = |text: &str| text.parse::<DatasetName>().expect("a name");
        let snapshot = |number: u64| Snapshot {
            name: name("tank/data").snapshot(&format!("s{number}")).expect("a name"),
            guid: Guid(number),
            createtxg: Txg(number),
            ivset: None,
        };
        let (from, to) = (name("tank/data"), name("tank/data"));
        let base = Box::new(Base::Snapshot(snapshot(1).name, Guid(1)));
        let diverged = |target_only: Vec<Snapshot>, target_written| Conflict::Diverged {
            from: from.clone(),
            to: to.clone(),
            base: base.clone(),
            source_only: vec![snapshot(3)],
            target_only,
            target_written,
        };
        let conflicts = [
            (diverged(vec![snapshot(2)], 0), "`replicator pair rejoin --aside` on the other one"),
            (diverged(Vec::new(), 4096), "`replicator pair promote` there"),
            (
                Conflict::NoCommonBase {
                    from: from.clone(),
                    to: to.clone(),
                    from_snapshots: vec![snapshot(3)],
                    to_snapshots: vec![snapshot(4)],
                },
                "`replicator pair rejoin --aside --full` on the other one",
            ),
            (Conflict::TargetWithoutSnapshots { to: to.clone(), written: 1 }, "take it from there first"),
            (Conflict::NoSpace { to: to.clone(), needed: 2, available: 1 }, "make room on the other node"),
        ];
        let count = conflicts.len();
        for (conflict, says) in conflicts {
            let code = conflict.code();
            let failure = Failure::from(VerbError::from(RunError::Conflict(conflict)));
            let printed = failure.render(false);
            assert!(printed.contains(&format!("[{code}]")) && printed.contains("\nhint: "), "{printed}");
            assert!(printed.contains(says), "{printed}");
            for wrong in ["destroy", "rollback", "--divergence", "--ignore-space", "zfs rename"] {
                assert!(!printed.contains(wrong), "{wrong}: {printed}");
            }
        }
        assert_eq!(count, 5);
        // What is no matter of a pair is said as ever.
        let cut = VerbError::from(RunError::Host(HostError::NoZfs { host: "far".to_string() }));
        assert_eq!(Failure::from(cut).outcome, Outcome::NoZfs);
        let refused = VerbError::from(Refused::NotHolder);
        assert!(Failure::from(refused).render(false).contains("hint: `replicator pair status`"));
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
