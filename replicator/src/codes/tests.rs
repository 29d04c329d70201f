//! The table is whole, the page in the documentation is made of it, each error has its code, and each code is raised by a
//! test elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::OpenError;
use zfs_core::Operation;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cli::sources;
use crate::compare::walk::WalkError;
use crate::connect::ConnectError;
use crate::endpoint::Endpoint;
use crate::engine::RunError;
use crate::host::Base;
use crate::host::DatasetKind;
use crate::host::HostError;
use crate::host::agent::START;
use crate::jobs::JobError;
use crate::lock::LockError;
use crate::monitor::look::LookError;
use crate::pair::fence;
use crate::pair::verbs::Refused;
use crate::pair::verbs::VerbError;
use crate::plan::Conflict;
use crate::plan::PartialProblem;
use crate::receiver::SetupError;
use crate::receiver::key::BadKey;
use crate::survey::SurveyError;
use crate::transfer::End;
use crate::transfer::StreamError;
use crate::transfer::TransferError;
use crate::transport::TransportError;
use crate::transport::known_hosts::HostKeyError;

#[test]
fn each_code_has_a_status_and_words_that_end() {
    let mut last = 0;
    for code in Code::ALL {
        let number = *code as u16;
        assert!(number > last && (100..1000).contains(&number), "{code}");
        last = number;
        assert_eq!(code.to_string().parse(), Ok(*code));
        assert_eq!(format!("[{}]", code.to_string().to_lowercase()).parse(), Ok(*code));
        let Entry { title, meaning, remedy } = code.entry();
        assert!(!title.ends_with('.') && meaning.ends_with('.') && remedy.ends_with('.'), "{code}");
        assert!(code.explanation().contains(meaning) && list().contains(title));
    }
    for text in ["", "R", "R000", "315", "R3155", "E315"] {
        assert!(text.parse::<Code>().is_err(), "{text:?}");
    }
}

/// Made by `replicator explain --markdown > docs/errors.md`.
#[test]
fn the_page_says_what_the_program_says() {
    let page = fs::read_to_string(sources::workspace().join("docs/errors.md")).expect("docs/errors.md");
    assert!(
        page == markdown(),
        "docs/errors.md is another one: replicator explain --markdown > docs/errors.md"
    );
}

/// Tests that make up the errors whose codes they look at, or only name codes: in them nothing raises one.
const MADE_UP: [&str; 3] =
    ["replicator/src/codes/", "replicator/src/cli/outcome.rs", "replicator/src/cli/explain.rs"];

/// What tests expect of whoever fails: a code by its name in the sources where a function is called, `[R315]` in what the
/// program has printed.
fn expected_by_tests() -> String {
    let folders = ["replicator/src", "replicator/tests", "tests/scenarios/tests"];
    let all = folders.into_iter().flat_map(sources::below);
    let real = all.filter(|one| !MADE_UP.iter().any(|made| one.path.starts_with(made)));
    let mut text: String = real.map(|one| one.tests).collect();
    // What nodes print in an incident is compared line by line.
    let incidents = sources::workspace().join("tests/scenarios/tests/cluster/incidents");
    for entry in fs::read_dir(incidents).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_some_and(|end| end == "log") {
            text.push_str(&fs::read_to_string(&entry).expect("a log"));
        }
    }
    text
}

#[test]
fn every_code_is_raised_by_a_test() {
    let text = expected_by_tests();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').collect();
    let raised = |code: &Code| {
        words.contains(format!("Code::{}", code.name()).as_str()) || text.contains(&format!("[{code}]"))
    };
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !raised(code)).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "no test raises {}", missing.join(", "));
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

fn no() -> String {
    "no".to_string()
}

fn zfs(kind: ErrorKind) -> HostError {
    zfs_core::Error::made_up(Operation::Receive, "tank/a", kind, 5).into()
}

fn said(message: &str) -> HostError {
    HostError::Remote { host: no(), operation: "receive into", subject: no(), message: message.to_string() }
}

fn transfer(error: TransferError) -> RunError {
    RunError::Transfer { to: snap("tank/a@s"), error: Box::new(error) }
}

fn check(samples: Vec<(Code, Box<dyn Coded>)>) {
    assert!(samples.len() > 3);
    for (number, (code, error)) in samples.into_iter().enumerate() {
        assert_eq!(error.code(), code, "sample {number}");
    }
}

#[test]
fn errors_of_zfs_have_the_code_of_what_they_mean() {
    use ErrorKind as K;
    let mut samples: Vec<(Code, Box<dyn Coded>)> = Vec::new();
    for (code, kinds) in [
        (Code::ZfsRefused, vec![K::Exists, K::InvalidProperty, K::Several, K::Other]),
        (Code::Permission, vec![K::PermissionDenied]),
        (Code::NoSpace, vec![K::NoSpace, K::QuotaExceeded]),
        (Code::PoolFault, vec![K::PoolSuspended, K::Io, K::ReadOnly]),
        (Code::NoDataset, vec![K::NotFound, K::ParentNotFound]),
        (Code::BadAnswer, vec![K::BadAnswer]),
        (Code::StreamDamaged, vec![K::StreamCorrupt, K::StreamTruncated]),
        (Code::NotDestroyed, vec![K::Held, K::HasClones]),
        (Code::TargetModified, vec![K::TargetModified, K::BaseMissing]),
        (Code::KeyMissing, vec![K::KeyNotLoaded, K::IvSetMismatch]),
        (Code::Unsupported, vec![K::UnsupportedFeature, K::NotSupported]),
        (Code::InUse, vec![K::PartialReceiveExists]),
    ] {
        for kind in kinds {
            samples.push((code, Box::new(zfs(kind))));
            samples.push((code, Box::new(transfer(TransferError::Sender(zfs(kind))))));
            samples.push((code, Box::new(ConnectError::Host(zfs(kind)))));
            samples.push((code, Box::new(VerbError::Host(zfs(kind)))));
            let agent = HostError::Agent {
                host: no(),
                operation: Some(Operation::Receive),
                subject: no(),
                errno: 5,
                kind,
                message: no(),
                hint: None,
            };
            samples.push((code, Box::new(agent)));
        }
    }
    samples.push((Code::InUse, Box::new(zfs(K::Busy))));
    // The kernel takes one receive at a time.
    samples.push((Code::Busy, Box::new(transfer(TransferError::Receiver(zfs(K::Busy))))));
    for (code, message) in [
        (Code::Permission, "cannot receive: permission denied"),
        (Code::NoSpace, "cannot receive new filesystem stream: out of space"),
        (Code::ZfsRefused, "something that nobody has heard of"),
    ] {
        samples.push((code, Box::new(said(message))));
    }
    let library = OpenError::Library { reason: no() };
    let more: Vec<(Code, Box<dyn Coded>)> = vec![
        (Code::ZfsLibrary, Box::new(library)),
        (Code::ZfsModule, Box::new(OpenError::ModuleNotLoaded)),
        (Code::ZfsDevice, Box::new(OpenError::PermissionDenied)),
        (Code::NoZfs, Box::new(OpenError::Other { errno: 5, reason: no() })),
        (Code::NoZfs, Box::new(HostError::NoZfs { host: no() })),
        (Code::NoPool, Box::new(SurveyError::NotImported { pool: no() })),
        (Code::BadAnswer, Box::new(SurveyError::Missing { subject: no(), property: "guid" })),
    ];
    samples.extend(more);
    check(samples);
}

#[test]
fn errors_of_the_way_have_codes_of_the_connection() {
    let (key, file) = (|| "ssh-ed25519".to_string(), || PathBuf::from("/known_hosts"));
    let place = || Box::new(crate::transport::known_hosts::Place { file: file(), line: 1 });
    let unknown = HostKeyError::Unknown {
        name: no(),
        key_type: key(),
        fingerprint: no(),
        files: vec![file()],
        port: 22,
        authorities: 0,
    };
    let changed =
        HostKeyError::Changed { name: no(), key_type: key(), fingerprint: no(), place: place(), known: no() };
    let revoked = HostKeyError::Revoked { name: no(), key_type: key(), fingerprint: no(), place: place() };
    let timeout = TransportError::Timeout { peer: no(), phase: "waiting", limit: Duration::from_secs(1) };
    let transports = [
        (Code::Lookup, TransportError::Lookup { host: no(), cause: no() }),
        (Code::Connect, TransportError::Connect { host: no(), port: 22, cause: no() }),
        (Code::Handshake, TransportError::Handshake { host: no(), port: 22, cause: no() }),
        (Code::Timeout, timeout),
        (Code::HostKeyUnknown, unknown.into()),
        (Code::HostKeyChanged, changed.into()),
        (Code::HostKeyUnusable, revoked.into()),
        (Code::HostKeyUnusable, HostKeyError::Unreadable { file: file(), cause: no() }.into()),
        (Code::HostKeyUnusable, TransportError::HostKeyRefused { host: no(), cause: no(), hint: no() }),
        (Code::NoSsh, TransportError::NoSsh { program: file(), cause: no() }),
        (
            Code::Authentication,
            TransportError::Authentication { peer: no(), tried: Vec::new(), methods: no() },
        ),
        (Code::Lost, TransportError::Lost { peer: no(), phase: "waiting", cause: no() }),
        (Code::NoCommands, TransportError::Refused { peer: no(), cause: no() }),
        (Code::Ended, TransportError::StdinClosed { peer: no() }),
        (Code::BadAnswer, TransportError::TooMuch { peer: no(), what: "in a line", limit: 1 }),
        (Code::Interrupted, TransportError::Cancelled),
        (Code::Local, TransportError::Local { what: no(), cause: no() }),
    ];
    let mut samples: Vec<(Code, Box<dyn Coded>)> = Vec::new();
    for (code, error) in transports {
        samples.push((code, Box::new(HostError::from(error))));
    }
    let remote = HostError::Remote { host: no(), operation: START, subject: no(), message: no() };
    let more: Vec<(Code, Box<dyn Coded>)> = vec![
        (Code::Connection, Box::new(remote)),
        (Code::NoAgent, Box::new(HostError::NoAgent { host: no(), program: no(), message: no() })),
        (Code::AgentVersion, Box::new(HostError::AgentVersion { host: no(), ours: no(), theirs: no() })),
        (Code::Cannot, Box::new(HostError::Cannot { host: no(), has: no(), what: "read" })),
        (Code::NotAllowed, Box::new(HostError::Refused { host: no(), why: no() })),
        (Code::BadAnswer, Box::new(HostError::BadAnswer { host: no(), operation: "list", why: no() })),
        (Code::Endpoint, Box::new("host:".parse::<Endpoint>().expect_err("no dataset"))),
    ];
    samples.extend(more);
    check(samples);
}

#[test]
fn what_a_host_refuses_has_a_code() {
    let changed = HostError::Changed { host: no(), name: no(), expected: Guid(1), found: None };
    let (dataset, snapshot) = (name("tank/a"), snap("tank/a@s"));
    let busy = || HostError::Busy { host: no(), dataset: no(), process: None };
    let in_the_way = HostError::BookmarkInTheWay {
        host: no(),
        dataset: dataset.clone(),
        origin: name("tank/b"),
        name: no(),
    };
    let fenced = HostError::Fenced { host: no(), kind: fence::Kind::Lower, message: no(), hint: no() };
    let marked = HostError::NotMarked { host: no(), dataset: dataset.clone() };
    let newest = HostError::Newest { host: no(), snapshot: snapshot.clone() };
    let stale = HostError::NotStale { host: no(), snapshot: snapshot.clone(), tag: no() };
    let removed = RunError::NotRemoved { dataset: dataset.clone(), error: Box::new(busy()) };
    let denied = Box::new(zfs(ErrorKind::PermissionDenied));
    let kept = RunError::NotDiscarded { dataset: dataset.clone(), error: denied };
    let pool = HostError::NoPool { host: no(), pool: no(), dataset: no() };
    let file = LockError::File { path: PathBuf::from("/x"), cause: no() };
    let closed = || LockError::Closed { dataset: no(), process: None };
    check(vec![
        (Code::Changed, Box::new(changed)),
        (Code::BookmarkInTheWay, Box::new(in_the_way)),
        (Code::Fenced, Box::new(fenced)),
        (Code::NotDestroyed, Box::new(marked)),
        (Code::NotDestroyed, Box::new(newest)),
        (Code::NotDestroyed, Box::new(stale)),
        (Code::NotDestroyed, Box::new(RunError::NotGone { host: no(), dataset: dataset.clone() })),
        (Code::Busy, Box::new(removed)),
        (Code::Permission, Box::new(kept)),
        (Code::Busy, Box::new(busy())),
        (Code::Busy, Box::new(RunError::NotAlone { target: dataset.clone(), what: no() })),
        (Code::Closed, Box::new(HostError::Closed { host: no(), dataset: no(), process: None })),
        (Code::Closed, Box::new(JobError::Lock(closed()))),
        (Code::Policies, Box::new(LockError::Policies { process: None })),
        (Code::Local, Box::new(file)),
        (Code::NoPool, Box::new(LookError::Host(pool))),
        (Code::NoDataset, Box::new(LookError::NoSource { host: no(), dataset: dataset.clone() })),
        (Code::Unreadable, Box::new(HostError::from(WalkError::TooMany { snapshot }))),
        (Code::Interrupted, Box::new(HostError::Cancelled)),
        (
            Code::NotMounted,
            Box::new(VerbError::from(Refused::NotMounted { dataset: dataset.clone(), at: no() })),
        ),
        (Code::PairRefused, Box::new(VerbError::from(Refused::NotHolder))),
        (Code::NodeName, Box::new(Refused::Name("".parse::<crate::pair::NodeName>().expect_err("no name")))),
    ]);
}

#[test]
fn what_ends_a_run_has_a_code() {
    let wrong = StreamError::Damaged(no());
    let stalled = TransferError::Stalled { end: End::Receiver, still: Duration::from_secs(1) };
    let other = RunError::NotWhatWasSent { host: no(), into: snap("a@s"), expected: Guid(1), found: None };
    let unset = RunError::PropertiesNotSet { host: no(), dataset: name("a"), missing: vec![no()] };
    check(vec![
        (Code::StreamDamaged, Box::new(transfer(wrong.into()))),
        (Code::Stalled, Box::new(transfer(stalled))),
        (Code::Local, Box::new(transfer(TransferError::Compression { cause: no() }))),
        (Code::Local, Box::new(transfer(TransferError::Thread(io::Error::other("no"))))),
        (Code::Interrupted, Box::new(transfer(TransferError::Cancelled))),
        (Code::Interrupted, Box::new(RunError::Cancelled)),
        (Code::NotWhatWasSent, Box::new(other)),
        (Code::PropertiesNotSet, Box::new(unset)),
        (Code::NoDataset, Box::new(RunError::NoSource { host: no(), dataset: name("a") })),
        (Code::Waits, Box::new(RunError::Dependency { waits_for: name("a") })),
        (Code::Overlap, Box::new(RunError::Overlap { source_name: name("a"), target: name("a/b") })),
    ]);
}

#[test]
fn every_conflict_has_a_code_of_its_own() {
    let (from, to) = (|| name("tank/a"), || name("back/a"));
    let base = || Box::new(Base::Snapshot(snap("tank/a@s"), Guid(1)));
    let long = Box::new("a".repeat(300).parse::<DatasetName>().expect_err("too long"));
    let conflicts = [
        (Code::NoSourceSnapshots, Conflict::NoSourceSnapshots { from: from() }),
        (Code::NothingSelected, Conflict::NothingSelected { from: from() }),
        (Code::InitialRefused, Conflict::InitialRefused { from: from(), to: to() }),
        (Code::KeyNotLoaded, Conflict::KeyNotLoaded { dataset: from(), root: from() }),
        (Code::ParentNotReplicated, Conflict::ParentNotReplicated { from: from(), parent: name("tank") }),
        (Code::OriginNotReplicated, Conflict::OriginNotReplicated { from: from(), origin: snap("tank/b@s") }),
        (
            Code::Promoted,
            Conflict::Promoted { from: from(), to: to(), origin: snap("tank/b@s"), there: snap("back/a@s") },
        ),
        (Code::TargetTooSmall, Conflict::NoSpace { to: to(), needed: 2, available: 1 }),
        (Code::ZfsBug, Conflict::Bug { from: from(), why: no() }),
        (Code::NotEncrypted, Conflict::NotEncrypted { from: from() }),
        (
            Code::FeatureMissing,
            Conflict::FeatureMissing {
                from: from(),
                to: to(),
                features: vec![no()],
                from_pool: no(),
                to_pool: no(),
            },
        ),
        (
            Code::KindMismatch,
            Conflict::KindMismatch {
                from: from(),
                from_kind: DatasetKind::Filesystem,
                to: to(),
                to_kind: DatasetKind::Volume,
            },
        ),
        (Code::TargetWithoutSnapshots, Conflict::TargetWithoutSnapshots { to: to(), written: 1 }),
        (
            Code::NoCommonBase,
            Conflict::NoCommonBase {
                from: from(),
                to: to(),
                from_snapshots: Vec::new(),
                to_snapshots: Vec::new(),
            },
        ),
        (
            Code::Diverged,
            Conflict::Diverged {
                from: from(),
                to: to(),
                base: base(),
                source_only: Vec::new(),
                target_only: Vec::new(),
                target_written: 1,
            },
        ),
        (
            Code::SetAsideUnloadsKey,
            Conflict::SetAsideUnloadsKey { to: to(), base: no(), aside: name("back/b") },
        ),
        (Code::NameClash, Conflict::NameClash { from: from(), to: to(), snapshots: Vec::new() }),
        (Code::NameTooLong, Conflict::NameTooLong { to: to(), snapshot: no(), error: long }),
        (Code::Partial, Conflict::Partial { to: to(), problem: PartialProblem::WrongOrder }),
    ];
    let different: BTreeSet<_> = conflicts.iter().map(|(code, _)| *code).collect();
    assert_eq!(different.len(), conflicts.len());
    let boxed = |(code, conflict)| (code, Box::new(RunError::Conflict(conflict)) as Box<dyn Coded>);
    check(conflicts.into_iter().map(boxed).collect());
}

#[test]
fn what_keeps_a_receiver_from_being_set_up_has_a_code() {
    let in_use = SetupError::KeyInUse { home: PathBuf::from("/home/a"), line: 1, options: String::new() };
    check(vec![
        (Code::NoUser, Box::new(SetupError::NoUser(no()))),
        (Code::Usage, Box::new(SetupError::Root(no()))),
        (Code::NotReady, Box::new(SetupError::Locked(no()))),
        (Code::NotReady, Box::new(SetupError::Unsafe { what: no(), why: no() })),
        (Code::KeyInUse, Box::new(in_use)),
        (Code::PublicKey, Box::new(SetupError::Key { path: PathBuf::from("/x"), error: BadKey::NoKey })),
        (Code::Local, Box::new(SetupError::Failed { what: no(), why: no() })),
        (Code::Permission, Box::new(SetupError::Host(zfs(ErrorKind::PermissionDenied)))),
    ]);
}
