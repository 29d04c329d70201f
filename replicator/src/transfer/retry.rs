//! What a failed step calls for: the same again, a new plan, or a person; and when. Nothing here waits or looks at
//! anything: errors and numbers go in, a class and a delay come out.

use std::time::Duration;

use zfs_core::ErrorKind;
use zfs_core::Operation;

use super::StreamError;
use super::TransferError;
use crate::host::HostError;
use crate::transport::TransportError;

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may pass: the same step again, from where it stopped.
    Transient(Transient),
    /// What the plan relied on is no longer so: look at both sides again.
    Replan(Replan),
    /// It stays until a person does something.
    Operator(Operator),
    /// The run was asked to stop.
    Cancelled,
}

/// What may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is what it names")]
pub enum Transient {
    ConnectionLost,
    Timeout,
    Stalled,
    StreamTruncated,
    /// Of what came before the damage, the target kept something.
    StreamDamaged,
    /// An earlier receive still runs there.
    TargetBusy,
    /// A signal ended a call or a command.
    Interrupted,
    /// This machine was out of threads or other things that come back.
    Resources,
}

/// What makes a plan outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is what it names")]
pub enum Replan {
    BaseGone,
    /// A snapshot, a dataset or its parent.
    Gone,
    Exists,
    TargetModified,
    /// The resume token fits no longer.
    Token,
    NotAnAncestor,
    /// Another lineage of an encrypted dataset.
    IvSet,
    /// The stream is not the one that was planned, or does not fit what the target holds.
    OtherStream,
    Changed,
}

/// What a person must do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is what it names")]
pub enum Operator {
    Space,
    Quota,
    Permission,
    Key,
    Feature,
    HostKey,
    Authentication,
    /// The machine, its address, or what is installed there.
    Host,
    /// The pool is suspended, read-only, not there, or fails to read or write.
    Pool,
    /// The stream was damaged before anything of it was kept.
    StreamDamaged,
    /// What is not known to pass is not tried again.
    Other,
}

impl Class {
    /// Of a transfer that failed. `kept` is what the target kept of it, in bytes, where it kept something.
    #[must_use]
    pub fn of_transfer(error: &TransferError, kept: Option<u64>) -> Self {
        match error {
            TransferError::Sender(error) | TransferError::Receiver(error) => Self::of_host(error, kept),
            TransferError::Stream(StreamError::Truncated(_)) => Self::Transient(Transient::StreamTruncated),
            TransferError::Stream(StreamError::Damaged(_)) => damaged(kept),
            TransferError::Stream(_) => Self::Replan(Replan::OtherStream),
            TransferError::Stalled { .. } => Self::Transient(Transient::Stalled),
            TransferError::Cancelled => Self::Cancelled,
            TransferError::Thread(_) => Self::Transient(Transient::Resources),
            TransferError::Compression { .. } => Self::Operator(Operator::Other),
        }
    }

    /// Of a host that failed.
    #[must_use]
    pub fn of_host(error: &HostError, kept: Option<u64>) -> Self {
        match error {
            HostError::Zfs(error) => of_kind(error.operation(), error.kind(), error.errno(), kept),
            HostError::Transport(error) => Self::of_transport(error),
            HostError::Remote { operation, message, .. } => of_message(operation, message, kept),
            HostError::Agent { operation: Some(operation), kind, errno, .. } => {
                of_kind(*operation, *kind, *errno, kept)
            }
            HostError::Agent { .. } => Self::Operator(Operator::Other),
            HostError::NoAgent { .. } | HostError::AgentVersion { .. } | HostError::Cannot { .. } => {
                Self::Operator(Operator::Host)
            }
            HostError::Walk(_) | HostError::NotStale { .. } => Self::Operator(Operator::Other),
            HostError::Refused { .. } => Self::Operator(Operator::Permission),
            HostError::Changed { .. } | HostError::NotMarked { .. } | HostError::Newest { .. } => {
                Self::Replan(Replan::Changed)
            }
            HostError::Busy { .. } => Self::Transient(Transient::TargetBusy),
            // Who has the service has just changed, or is about to: nothing of that passes by itself.
            HostError::Closed { .. } | HostError::Fenced { .. } | HostError::BookmarkInTheWay { .. } => {
                Self::Operator(Operator::Other)
            }
            HostError::NoPool { .. } => Self::Operator(Operator::Pool),
            HostError::NoZfs { .. } => Self::Operator(Operator::Host),
            HostError::BadAnswer { .. } => Self::Operator(Operator::Other),
            HostError::Cancelled => Self::Cancelled,
        }
    }

    /// Of a connection that failed.
    #[must_use]
    pub fn of_transport(error: &TransportError) -> Self {
        match error {
            TransportError::Connect { .. }
            | TransportError::Handshake { .. }
            | TransportError::Lost { .. }
            | TransportError::StdinClosed { .. }
            // A resolver fails like this when the network is gone, too.
            | TransportError::Lookup { .. } => Self::Transient(Transient::ConnectionLost),
            TransportError::Timeout { .. } => Self::Transient(Transient::Timeout),
            TransportError::HostKey(_) | TransportError::HostKeyRefused { .. } => {
                Self::Operator(Operator::HostKey)
            }
            TransportError::Authentication { .. } => Self::Operator(Operator::Authentication),
            TransportError::Refused { .. } | TransportError::NoSsh { .. } => Self::Operator(Operator::Host),
            TransportError::TooMuch { .. } | TransportError::Local { .. } => Self::Operator(Operator::Other),
            TransportError::Cancelled => Self::Cancelled,
        }
    }
}

/// Damage is worth another try only where the tries get shorter.
fn damaged(kept: Option<u64>) -> Class {
    match kept {
        Some(_) => Class::Transient(Transient::StreamDamaged),
        None => Class::Operator(Operator::StreamDamaged),
    }
}

fn of_kind(operation: Operation, kind: ErrorKind, errno: i32, kept: Option<u64>) -> Class {
    use ErrorKind as K;
    use Operation as O;
    match (operation, kind) {
        (O::Receive, K::PartialReceiveExists) => {
            // The kernel says EBUSY while a receive runs, and where a partial one is in the way of another stream. A
            // plan knows of the latter, so it is the former. Its other number is never about a receive that runs.
            if errno == rustix::io::Errno::BUSY.raw_os_error() {
                Class::Transient(Transient::TargetBusy)
            } else {
                Class::Replan(Replan::Token)
            }
        }
        (O::Receive, K::StreamCorrupt) => damaged(kept),
        (O::Receive, K::StreamTruncated) => Class::Transient(Transient::StreamTruncated),
        (O::Receive, K::BaseMissing) => Class::Replan(Replan::BaseGone),
        (O::Receive, K::TargetModified) => Class::Replan(Replan::TargetModified),
        (O::Receive, K::StreamMismatch) => Class::Replan(Replan::OtherStream),
        (O::Receive, K::IvSetMismatch) => Class::Replan(Replan::IvSet),
        (O::Send | O::EstimateSend | O::Bookmark, K::NotAnAncestor) => Class::Replan(Replan::NotAnAncestor),
        (O::Send | O::Receive, K::Interrupted) => Class::Transient(Transient::Interrupted),
        (
            O::Receive | O::AbortReceive | O::Destroy | O::Rename | O::DestroySnapshots | O::Snapshot,
            K::Busy,
        ) => Class::Transient(Transient::TargetBusy),
        (_, K::NotFound | K::ParentNotFound) => Class::Replan(Replan::Gone),
        // A snapshot or bookmark that somebody has to give another name, or destroy.
        (O::Promote, K::Exists) => Class::Operator(Operator::Other),
        (_, K::Exists) => Class::Replan(Replan::Exists),
        (_, K::NoSpace) => Class::Operator(Operator::Space),
        (_, K::QuotaExceeded) => Class::Operator(Operator::Quota),
        (_, K::PermissionDenied) => Class::Operator(Operator::Permission),
        (_, K::KeyNotLoaded) => Class::Operator(Operator::Key),
        (_, K::UnsupportedFeature | K::NotSupported) => Class::Operator(Operator::Feature),
        (_, K::ReadOnly | K::PoolSuspended | K::Io) => Class::Operator(Operator::Pool),
        _ => Class::Operator(Operator::Other),
    }
}

/// To which commands a row of [`MESSAGES`] belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Receive,
    Send,
    Any,
}

/// What the `zfs` of another machine says in the C locale, in lower case and one line: versions break lines at
/// different places. The first row that fits counts, so what is said in more words comes first.
const MESSAGES: &[(Of, &str, Class)] = {
    use Class::Operator as O;
    use Class::Replan as R;
    use Class::Transient as T;
    &[
        (Of::Send, "no longer the same snapshot used in the initial send", R(Replan::Token)),
        (Of::Send, "used in the initial send no longer exists", R(Replan::Token)),
        (Of::Send, "resume token is corrupt", R(Replan::Token)),
        (Of::Send, "no longer exists", R(Replan::Token)),
        (Of::Send, "not an earlier snapshot", R(Replan::NotAnAncestor)),
        (Of::Send, "incremental source", R(Replan::BaseGone)),
        (Of::Send, "signal received", T(Transient::Interrupted)),
        (Of::Send, "broken pipe", T(Transient::ConnectionLost)),
        (Of::Receive, "match incremental source", R(Replan::BaseGone)),
        (Of::Receive, "has been modified", R(Replan::TargetModified)),
        (Of::Receive, "to overwrite it", R(Replan::Exists)),
        (Of::Receive, "already exists", R(Replan::Exists)),
        (Of::Receive, "partially-complete state", T(Transient::TargetBusy)),
        (Of::Receive, "iv set guid", R(Replan::IvSet)),
        (Of::Receive, "raw receive on top of existing unencrypted", R(Replan::OtherStream)),
        (Of::Receive, "incompatible embedded data", R(Replan::OtherStream)),
        (Of::Receive, "checksum mismatch or incomplete stream", T(Transient::StreamTruncated)),
        (Of::Receive, "incomplete stream", T(Transient::StreamTruncated)),
        (Of::Receive, "failed to read from stream", T(Transient::StreamTruncated)),
        (Of::Receive, "premature end", T(Transient::StreamTruncated)),
        // Counts as damage: see `of_message`.
        (Of::Receive, "checksum mismatch", T(Transient::StreamDamaged)),
        (Of::Receive, "invalid stream", T(Transient::StreamDamaged)),
        (Of::Receive, "invalid backup stream", T(Transient::StreamDamaged)),
        (Of::Any, "permission denied", O(Operator::Permission)),
        (Of::Any, "operation not permitted", O(Operator::Permission)),
        (Of::Any, "insufficient privileges", O(Operator::Permission)),
        (Of::Any, "password is required", O(Operator::Permission)),
        (Of::Any, "key must be loaded", O(Operator::Key)),
        (Of::Any, "key not loaded", O(Operator::Key)),
        (Of::Any, "key not available", O(Operator::Key)),
        (Of::Any, "quota exceeded", O(Operator::Quota)),
        (Of::Any, "out of space", O(Operator::Space)),
        (Of::Any, "no space left", O(Operator::Space)),
        (Of::Any, "must be upgraded", O(Operator::Feature)),
        (Of::Any, "unsupported feature", O(Operator::Feature)),
        (Of::Any, "unsupported version", O(Operator::Feature)),
        (Of::Any, "operation not supported", O(Operator::Feature)),
        (Of::Any, "is currently suspended", O(Operator::Pool)),
        (Of::Any, "no such pool", O(Operator::Pool)),
        (Of::Any, "read-only", O(Operator::Pool)),
        (Of::Any, "read only", O(Operator::Pool)),
        (Of::Any, "input/output error", O(Operator::Pool)),
        (Of::Any, "i/o error", O(Operator::Pool)),
        (Of::Any, "is busy", T(Transient::TargetBusy)),
        (Of::Any, "does not exist", R(Replan::Gone)),
        (Of::Any, "interrupted system call", T(Transient::Interrupted)),
        (Of::Any, "ended by sig", T(Transient::Interrupted)),
    ]
};

fn of_message(operation: &str, message: &str, kept: Option<u64>) -> Class {
    let of = match operation {
        "send" => Of::Send,
        "receive into" => Of::Receive,
        _ => Of::Any,
    };
    // Names are in it, and names may say anything: what is in quotes is not what zfs says.
    let said = without_quoted(&message.to_ascii_lowercase());
    let row = MESSAGES.iter().find(|(row, text, _)| (*row == Of::Any || *row == of) && said.contains(text));
    match row {
        Some((_, _, Class::Transient(Transient::StreamDamaged))) => damaged(kept),
        Some((_, _, class)) => *class,
        None => Class::Operator(Operator::Other),
    }
}

fn without_quoted(text: &str) -> String {
    // An odd quote (an apostrophe) ends nothing: the rest after it stays.
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\'') {
        out.push_str(before);
        out.push('\'');
        match after.split_once('\'') {
            Some((_, after)) => rest = after,
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// How often and how soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try; it doubles from try to try.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// Failures in a row, without progress between them, after which it is given up.
    pub attempts: u32,
    /// How long to wait in all for a target that is busy.
    pub busy: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            attempts: 6,
            busy: Duration::from_secs(300),
        }
    }
}

impl Backoff {
    /// The delay after so many failures (1 is the first): between half of it and all of it, as `random` says, which
    /// is from 0 to 1.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let delay = doubled.min(self.longest);
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
        delay / 2 + (delay / 2).mul_f64(random)
    }
}

/// What to do next with a step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// The same step, from what the target kept.
    Again {
        /// Not sooner than this.
        after: Duration,
    },
    /// Look at both sides and plan again.
    PlanAgain {
        /// Not sooner than this.
        after: Duration,
    },
    /// Nothing: it was tried often enough, or does not pass by itself.
    GiveUp,
}

/// The failures of one step.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    backoff: Backoff,
    failures: u32,
    plans: u32,
    busy: u32,
    waited: Duration,
    /// The most that the target ever kept.
    kept: u64,
}

impl Attempts {
    /// None so far.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, ..Self::default() }
    }

    /// Counts a failure. `kept` is what the target kept of the stream, in bytes, as its token says: when that grew,
    /// the failures before are forgotten. `random` gives a number from 0 to 1.
    pub fn failed(&mut self, class: Class, kept: Option<u64>, random: &mut dyn FnMut() -> f64) -> NextTry {
        if kept.is_some_and(|kept| kept > self.kept) {
            self.kept = kept.unwrap_or_default();
            self.failures = 0;
        }
        match class {
            Class::Operator(_) | Class::Cancelled => NextTry::GiveUp,
            Class::Transient(Transient::TargetBusy) => {
                self.busy = self.busy.saturating_add(1);
                let after = self.backoff.delay(self.busy, random());
                self.waited = self.waited.saturating_add(after);
                if self.waited > self.backoff.busy { NextTry::GiveUp } else { NextTry::Again { after } }
            }
            Class::Transient(_) => match count(&mut self.failures, self.backoff, random) {
                Some(after) => NextTry::Again { after },
                None => NextTry::GiveUp,
            },
            // Counted apart: a new plan may begin anew, and its progress must not make a circle endless.
            Class::Replan(_) => match count(&mut self.plans, self.backoff, random) {
                Some(after) => NextTry::PlanAgain { after },
                None => NextTry::GiveUp,
            },
        }
    }
}

fn count(failures: &mut u32, backoff: Backoff, random: &mut dyn FnMut() -> f64) -> Option<Duration> {
    *failures = failures.saturating_add(1);
    (*failures < backoff.attempts).then(|| backoff.delay(*failures, random()))
}

#[cfg(test)]
mod tests;
