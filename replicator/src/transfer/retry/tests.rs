//! Each class by what leads to it, and the delays by their bounds.

use proptest::prelude::*;

use super::*;

fn remote(operation: &'static str, message: &str) -> HostError {
    let (host, subject) = ("h".to_string(), "tank/a".to_string());
    HostError::Remote { host, operation, subject, message: message.to_string() }
}

#[test]
fn what_the_zfs_of_another_machine_says() {
    use Class::Operator as O;
    use Class::Replan as R;
    use Class::Transient as T;
    let receive = "receive into";
    for (operation, message, class) in [
        (
            receive,
            "cannot receive incremental stream: most recent snapshot of tank/a does not; match incremental source",
            R(Replan::BaseGone),
        ),
        (
            receive,
            "cannot receive incremental stream: destination tank/a has been modified; since most recent snapshot",
            R(Replan::TargetModified),
        ),
        (
            receive,
            "cannot receive new filesystem stream: destination 'tank/a' exists; must specify -F to overwrite it",
            R(Replan::Exists),
        ),
        (receive, "cannot restore to tank/a@s: destination already exists", R(Replan::Exists)),
        (
            receive,
            "cannot receive: destination tank/a contains partially-complete state from \"zfs receive -s\".",
            T(Transient::TargetBusy),
        ),
        (receive, "cannot receive incremental stream: dataset is busy", T(Transient::TargetBusy)),
        (
            receive,
            "cannot receive new filesystem stream: checksum mismatch or incomplete stream.; Partially received snapshot is saved.",
            T(Transient::StreamTruncated),
        ),
        (receive, "cannot receive: failed to read from stream", T(Transient::StreamTruncated)),
        (receive, "cannot receive: invalid stream (checksum mismatch)", T(Transient::StreamDamaged)),
        (receive, "cannot receive incremental stream: inherited key must be loaded", O(Operator::Key)),
        (receive, "destination tank/a space quota exceeded.", O(Operator::Quota)),
        (receive, "cannot receive incremental stream: out of space", O(Operator::Space)),
        (receive, "cannot receive new filesystem stream: permission denied", O(Operator::Permission)),
        (receive, "sudo: a password is required", O(Operator::Permission)),
        (receive, "cannot receive: pool must be upgraded to receive this stream.", O(Operator::Feature)),
        (receive, "cannot receive incremental stream: IV set guid missing. See errata 4", R(Replan::IvSet)),
        ("send", "cannot resume send: 'p/a@s' used in the initial send no longer exists", R(Replan::Token)),
        ("send", "cannot resume send: incremental source 0xa00 no longer exists", R(Replan::Token)),
        (
            "send",
            "warning: cannot send 'p/a@s': incremental source (p/a#b) does not exist",
            R(Replan::BaseGone),
        ),
        ("send", "warning: cannot send 'p/a@s': signal received", T(Transient::Interrupted)),
        ("send", "cannot open 'p/a@s': dataset does not exist", R(Replan::Gone)),
        (
            "send",
            "warning: cannot send 'p/a@s': not an earlier snapshot from the same fs",
            R(Replan::NotAnAncestor),
        ),
        ("send", "warning: cannot send 'p/a@s': source key must be loaded", O(Operator::Key)),
        ("send", "warning: cannot send 'p/a@s': Input/output error", O(Operator::Pool)),
        ("send", "the command was ended by SIGKILL", T(Transient::Interrupted)),
        ("list", "cannot open 'p': no such pool", O(Operator::Pool)),
        ("list", "something new", O(Operator::Other)),
        // Texts of one command say nothing about another.
        ("list", "cannot list: destination already exists", O(Operator::Other)),
    ] {
        assert_eq!(Class::of_host(&remote(operation, message), Some(1)), class, "{operation}: {message}");
    }
}

#[test]
fn names_are_not_what_zfs_says() {
    let error = remote("send", "cannot open 'tank/out of space@is busy': something new");
    assert_eq!(Class::of_host(&error, None), Class::Operator(Operator::Other));
    let error = remote("send", "cannot open 'tank/a': it's out of space");
    assert_eq!(Class::of_host(&error, None), Class::Operator(Operator::Space));
}

#[test]
fn numbers_of_the_kernel_count_only_with_their_operation() {
    use ErrorKind as K;
    use Operation as O;
    let busy = rustix::io::Errno::BUSY.raw_os_error();
    for (operation, kind, errno, class) in [
        (O::Receive, K::PartialReceiveExists, busy, Class::Transient(Transient::TargetBusy)),
        (O::Receive, K::PartialReceiveExists, 1037, Class::Replan(Replan::Token)),
        (O::Receive, K::BaseMissing, 0, Class::Replan(Replan::BaseGone)),
        (O::Receive, K::Exists, 0, Class::Replan(Replan::Exists)),
        (O::Receive, K::StreamTruncated, 0, Class::Transient(Transient::StreamTruncated)),
        (O::Send, K::Interrupted, 0, Class::Transient(Transient::Interrupted)),
        (O::Rollback, K::Interrupted, 0, Class::Operator(Operator::Other)),
        (O::Send, K::Busy, 0, Class::Operator(Operator::Other)),
        (O::Destroy, K::Busy, 0, Class::Transient(Transient::TargetBusy)),
        (O::Receive, K::NoSpace, 0, Class::Operator(Operator::Space)),
        (O::Receive, K::QuotaExceeded, 0, Class::Operator(Operator::Quota)),
        (O::Receive, K::KeyNotLoaded, 0, Class::Operator(Operator::Key)),
        (O::Send, K::NotFound, 0, Class::Replan(Replan::Gone)),
        (O::Rollback, K::NotNewest, 0, Class::Operator(Operator::Other)),
        (O::Receive, K::PoolSuspended, 0, Class::Operator(Operator::Pool)),
        (O::Receive, K::Other, 0, Class::Operator(Operator::Other)),
    ] {
        assert_eq!(of_kind(operation, kind, errno, None), class, "{operation} {kind:?}");
    }
}

#[test]
fn damage_is_tried_again_only_with_something_kept() {
    let damaged = TransferError::Stream(StreamError::Damaged("x".to_string()));
    assert_eq!(Class::of_transfer(&damaged, Some(1)), Class::Transient(Transient::StreamDamaged));
    assert_eq!(Class::of_transfer(&damaged, None), Class::Operator(Operator::StreamDamaged));
    let corrupt = |kept| of_kind(Operation::Receive, ErrorKind::StreamCorrupt, 0, kept);
    assert_eq!(corrupt(Some(1)), Class::Transient(Transient::StreamDamaged));
    assert_eq!(corrupt(None), Class::Operator(Operator::StreamDamaged));
    let cut = TransferError::Stream(StreamError::Truncated("x".to_string()));
    assert_eq!(Class::of_transfer(&cut, None), Class::Transient(Transient::StreamTruncated));
    let other = TransferError::Stream(StreamError::OtherMode { raw: true });
    assert_eq!(Class::of_transfer(&other, None), Class::Replan(Replan::OtherStream));
}

#[test]
fn connections() {
    let lost = TransportError::Lost { peer: "h".to_string(), phase: "sending", cause: String::new() };
    assert_eq!(Class::of_transport(&lost), Class::Transient(Transient::ConnectionLost));
    let refused =
        TransportError::Authentication { peer: "h".to_string(), tried: Vec::new(), methods: String::new() };
    assert_eq!(Class::of_transport(&refused), Class::Operator(Operator::Authentication));
    let error = TransferError::Receiver(HostError::Transport(TransportError::Cancelled));
    assert_eq!(Class::of_transfer(&error, None), Class::Cancelled);
    assert_eq!(Class::of_transfer(&TransferError::Cancelled, None), Class::Cancelled);
}

const LOST: Class = Class::Transient(Transient::ConnectionLost);
const BUSY: Class = Class::Transient(Transient::TargetBusy);
const GONE: Class = Class::Replan(Replan::BaseGone);

#[test]
fn delays_double_up_to_the_longest() {
    let mut attempts = Attempts::new(Backoff { attempts: 10, ..Backoff::default() });
    let seconds: Vec<u64> = std::iter::from_fn(|| match attempts.failed(LOST, None, &mut || 1.0) {
        NextTry::Again { after } => Some(after.as_secs()),
        _ => None,
    })
    .collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn progress_forgets_the_failures_and_only_progress_does() {
    let mut attempts = Attempts::new(Backoff { attempts: 3, ..Backoff::default() });
    let mut fail = |kept| attempts.failed(LOST, kept, &mut || 1.0);
    for kept in 1..50 {
        assert_eq!(fail(Some(kept * 100)), NextTry::Again { after: Duration::from_secs(1) });
    }
    assert_eq!(fail(Some(4900)), NextTry::Again { after: Duration::from_secs(2) });
    assert_eq!(fail(None), NextTry::GiveUp);
    assert_eq!(fail(Some(100)), NextTry::GiveUp, "less than before is no progress");
}

#[test]
fn a_busy_target_is_waited_for_but_not_for_ever() {
    let mut attempts = Attempts::new(Backoff::default());
    let mut waited = Duration::ZERO;
    while let NextTry::Again { after } = attempts.failed(BUSY, None, &mut || 0.5) {
        waited += after;
    }
    assert!(waited > Duration::from_secs(200) && waited <= Duration::from_secs(300), "{waited:?}");
    // It did not use up the tries of other failures.
    assert!(matches!(attempts.failed(LOST, None, &mut || 0.0), NextTry::Again { .. }));
}

#[test]
fn new_plans_are_bounded_even_with_progress() {
    let mut attempts = Attempts::new(Backoff::default());
    let mut plans = 0;
    for kept in 0.. {
        match attempts.failed(GONE, Some(kept), &mut || 1.0) {
            NextTry::PlanAgain { .. } => plans += 1,
            next => {
                assert_eq!(next, NextTry::GiveUp);
                break;
            }
        }
    }
    assert_eq!(plans, 5);
    let space = Class::Operator(Operator::Space);
    assert_eq!(Attempts::default().failed(space, Some(9), &mut || 1.0), NextTry::GiveUp);
    assert_eq!(Attempts::default().failed(Class::Cancelled, Some(9), &mut || 1.0), NextTry::GiveUp);
}

proptest! {
    #[test]
    fn delays_stay_within_their_bounds(failures in any::<u32>(), random in any::<f64>()) {
        let backoff = Backoff::default();
        let delay = backoff.delay(failures, random);
        prop_assert!(delay >= backoff.first / 2 && delay <= backoff.longest);
    }
}
