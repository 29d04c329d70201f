//! The model's own rules, and that its faults strike where they should.

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::send::IncrementalSource;

use super::*;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Base;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::transfer::Coding;
use crate::transfer::Expected;
use crate::transfer::Head;
use crate::transfer::Settings;
use crate::transfer::TransferError;
use crate::transfer::Wire;
use crate::transfer::transfer;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

fn mark(text: &str) -> BookmarkName {
    text.parse().expect("a name")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refused>, kind: ErrorKind) {
    assert_eq!(result.expect_err("it was allowed").kind, kind);
}

/// `tank/a` on `here` with snapshots `@1` to `@3`, a few blocks in each; an empty pool `backup` on `there`.
fn world() -> World {
    let world = World::new(7, &["here", "there"]);
    world.on("here", |here| {
        here.create_pool("tank");
        here.create(&name("tank/a"), DatasetKind::Filesystem, &[]).expect("create");
        for step in 1..=3 {
            for block in 0..5 {
                here.write(&name("tank/a"), step + block, step * 100 + block);
            }
            here.snapshot(&[snap(&format!("tank/a@{step}"))]).expect("snapshot");
        }
    });
    world.on("there", |there| there.create_pool("backup"));
    world
}

/// One step as the engine makes it: with the token of the target, if there is one.
fn step(world: &World, from: Option<&str>, to: &str, target: &str) -> Result<u64, TransferError> {
    let (mut here, mut there) = (world.host("here"), world.host("there"));
    let list = |host: &mut ModelHost, name: &DatasetName| host.inventory(name, Depth::One);
    let Inventory::Present(tree) = list(&mut here, &name("tank/a")).map_err(TransferError::Sender)? else {
        panic!("tank/a is gone")
    };
    let found =
        |short: &str| tree.root().snapshots.iter().find(|s| s.name.short() == short).expect("there").clone();
    let partial = match list(&mut there, &name(target)).map_err(TransferError::Receiver)? {
        Inventory::Present(tree) => tree.root().partial.clone(),
        Inventory::Absent { .. } => None,
    };
    let to = found(to);
    let from = from.map(found).map(|from| Base::Snapshot(from.name, from.guid));
    let expected = Expected { to: to.guid, from: from.as_ref().map(Base::guid), raw: false };
    let into = name(target).snapshot(to.name.short()).expect("short");
    let spec = SendSpec { to, from, raw: false, flags: None, resume: partial.map(Box::new), compress: false };
    let receive =
        ReceiveSpec { to: into, guid: spec.to.guid, set: Vec::new(), origin: None, compressed: false };
    let outgoing = here.send(&spec).map_err(TransferError::Sender)?;
    let incoming = there.receive(&receive).map_err(TransferError::Receiver)?;
    let settings = Settings::default();
    let head = Head::unread(outgoing, Coding::Plain, &settings);
    let (plain, cancel) = (Coding::Plain, Cancel::default());
    transfer(head, incoming, plain, Wire::Out, expected, &settings, &cancel, &|_| {}).map(|moved| moved.plain)
}

fn equal(world: &World, here: &str, there: &str) -> bool {
    let one = world.on("here", |machine| machine.find(&snap(here)).cloned());
    let other = world.on("there", |machine| machine.find(&snap(there)).cloned());
    matches!((one, other), (Some(one), Some(other)) if one.guid == other.guid && one.content == other.content)
}

#[test]
fn full_and_incremental_bring_guid_and_content() {
    let world = world();
    step(&world, None, "1", "backup/a").expect("full");
    step(&world, Some("1"), "3", "backup/a").expect("incremental");
    for short in ["1", "3"] {
        assert!(equal(&world, &format!("tank/a@{short}"), &format!("backup/a@{short}")));
    }
    world.on("there", |there| {
        assert!(
            !there.is_modified(&name("backup/a"))
                && !there.dataset(&name("backup/a")).expect("there").has_partial()
        );
    });
}

#[test]
fn a_stream_can_be_cut_anywhere_and_goes_on() {
    let whole = world().on("here", |here| {
        let stream = Stream { to: snap("tank/a@3"), from: None, raw: false, resume: None };
        here.send(&stream).expect("send").len() as u64
    });
    let start = world();
    for bytes in (0..whole).step_by(3) {
        let world = start.copy();
        world.inject(Fault::Cut { bytes });
        let error = step(&world, None, "3", "backup/a").expect_err("cut");
        assert!(matches!(error, TransferError::Sender(HostError::Transport(_))), "{error:?}");
        world.all_struck();
        let kept =
            world.on("there", |there| there.dataset(&name("backup/a")).and_then(Dataset::partial_bytes));
        assert!(kept.is_none_or(|kept| kept <= bytes));
        if bytes < 312 {
            assert_eq!(kept, None);
        }
        let rest = step(&world, None, "3", "backup/a").expect("the rest");
        assert!(kept.is_none_or(|kept| kept < 1000 || rest < whole), "{rest} of {whole}");
        assert!(equal(&world, "tank/a@3", "backup/a@3"), "cut after {bytes}");
    }
}

#[test]
fn the_token_grows_with_each_cut() {
    let world = world();
    let (mut last, mut rounds) = (0, 0);
    loop {
        world.inject(Fault::Cut { bytes: 1200 });
        let done = step(&world, None, "3", "backup/a");
        let left = world.disarm();
        if done.is_ok() {
            assert_eq!(left.len(), 1);
            break;
        }
        let bytes =
            world.on("there", |there| there.dataset(&name("backup/a")).and_then(Dataset::partial_bytes));
        assert!(bytes.is_some_and(|bytes| bytes > last), "{bytes:?} after {last}");
        last = bytes.unwrap_or(0);
        rounds += 1;
        assert!(rounds < 50);
    }
    assert!(rounds > 2, "{rounds}");
    assert!(equal(&world, "tank/a@3", "backup/a@3"));
}

#[test]
fn a_crash_at_every_change_leaves_something_to_go_on_from() {
    let start = world();
    let mut crashes = 0;
    for moment in [Moment::Before, Moment::After] {
        for effect in 1.. {
            let world = start.copy();
            world.inject(Fault::Crash { effect, moment });
            let done = step(&world, None, "2", "backup/a");
            if done.is_ok() && !world.crashed() {
                assert_eq!(world.disarm().len(), 1);
                break;
            }
            assert!(world.crashed() && done.is_err(), "the process lived on after change {effect}");
            world.all_struck();
            assert!(step(&world, None, "2", "backup/a").is_err(), "a dead process did something");
            world.restart();
            if !equal(&world, "tank/a@2", "backup/a@2") {
                step(&world, None, "2", "backup/a").expect("the next run");
            }
            assert!(equal(&world, "tank/a@2", "backup/a@2"), "{moment:?} {effect}");
            crashes += 1;
        }
    }
    assert!(crashes > 8, "{crashes}");
}

#[test]
fn receive_refuses_what_the_kernel_refuses() {
    let world = world();
    let receive = |into: &str, from: Option<IncrementalSource>, to: &str| {
        let stream = Stream { to: snap(to), from, raw: false, resume: None };
        let bytes = world.on("here", |here| here.send(&stream)).expect("send");
        world.on("there", |there| {
            let mut receiver = Receiver::new(snap(into), None, Vec::new());
            receiver.write(there, &bytes)?;
            receiver.finish(there)
        })
    };
    let one = || Some(IncrementalSource::from(snap("tank/a@1")));
    refused(receive("backup/a@2", one(), "tank/a@2"), ErrorKind::ParentNotFound);
    refused(receive("backup/no/a@1", None, "tank/a@1"), ErrorKind::ParentNotFound);
    receive("backup/a@1", None, "tank/a@1").expect("full");
    refused(receive("backup/a@1", None, "tank/a@1"), ErrorKind::Exists);
    refused(receive("backup/a@2", None, "tank/a@2"), ErrorKind::Exists);
    world.on("there", |there| there.write(&name("backup/a"), 9, 9));
    refused(receive("backup/a@2", one(), "tank/a@2"), ErrorKind::TargetModified);
    world.on("there", |there| there.rollback(&snap("backup/a@1"))).expect("roll back");
    // A snapshot of nothing is not in the way of a stream that is not raw.
    world.on("there", |there| there.snapshot(&[snap("backup/a@own")])).expect("snapshot");
    receive("backup/a@2", one(), "tank/a@2").expect("incremental");
    let two = Some(IncrementalSource::from(snap("tank/a@2")));
    world.on("there", |there| there.destroy_snapshot(&snap("backup/a@2"))).expect("destroy");
    refused(receive("backup/a@3", two, "tank/a@3"), ErrorKind::BaseMissing);
}

#[test]
fn a_damaged_stream_is_corrupt_and_a_short_one_is_kept() {
    let world = world();
    let stream = Stream { to: snap("tank/a@1"), from: None, raw: false, resume: None };
    let bytes = world.on("here", |here| here.send(&stream)).expect("send");
    world.on("there", |there| {
        let mut damaged = bytes.clone();
        let at = bytes.len() - 400;
        damaged[at] ^= 1;
        let mut receiver = Receiver::new(snap("backup/b@1"), None, Vec::new());
        let written = damaged.chunks(100).try_for_each(|piece| receiver.write(there, piece));
        refused(written.and_then(|()| receiver.finish(there)), ErrorKind::StreamCorrupt);

        let mut receiver = Receiver::new(snap("backup/a@1"), None, Vec::new());
        receiver.write(there, &bytes[..bytes.len() - 400]).expect("write");
        let busy = there.destroy(&name("backup/a")).expect_err("it is received into");
        assert_eq!(busy.kind, ErrorKind::Busy);
        assert_eq!(HostError::Zfs(busy.into()).code(), Code::InUse);
        refused(there.abort_receive(&name("backup/a")), ErrorKind::Busy);
        refused(receiver.finish(there), ErrorKind::StreamTruncated);
        refused(there.snapshot(&[snap("backup/a@x")]), ErrorKind::Busy);
        let mut again = Receiver::new(snap("backup/a@1"), None, Vec::new());
        refused(again.write(there, &bytes), ErrorKind::PartialReceiveExists);
        let token: zfs_core::token::ResumeToken =
            there.token(&name("backup/a")).expect("a token").parse().expect("a real one");
        assert_eq!(token.to_name, snap("tank/a@1"));
        assert!(there.abort_receive(&name("backup/a")).expect("abort"));
        assert!(there.dataset(&name("backup/a")).is_none());
        assert!(!there.abort_receive(&name("backup/a")).expect("nothing"));
    });
}

#[test]
fn promotion_turns_clone_and_origin_round() {
    let world = world();
    world.on("here", |here| {
        here.bookmark(&[(mark("tank/a#1"), snap("tank/a@1").into())]).expect("bookmark");
        here.clone_snapshot(&snap("tank/a@2"), &name("tank/c"), &[]).expect("clone");
        refused(here.destroy_snapshot(&snap("tank/a@2")), ErrorKind::HasClones);
        here.snapshot(&[snap("tank/c@1")]).expect("snapshot");
        refused(here.promote(&name("tank/c")), ErrorKind::Exists);
        here.rename_snapshot(&snap("tank/c@1"), &snap("tank/c@own")).expect("rename");
        here.bookmark(&[(mark("tank/c#1"), snap("tank/c@own").into())]).expect("bookmark");
        refused(here.promote(&name("tank/c")), ErrorKind::Exists);
        here.destroy_bookmarks(&[mark("tank/c#1")]);
        here.promote(&name("tank/c")).expect("promote");
        refused(here.promote(&name("tank/c")), ErrorKind::WrongType);
        let shorts = |machine: &Machine, text: &str| {
            let dataset = machine.dataset(&name(text)).expect("there");
            dataset.snapshots.iter().map(|snap| snap.short.clone()).collect::<Vec<_>>()
        };
        assert_eq!(shorts(here, "tank/c"), ["1", "2", "own"]);
        assert_eq!(shorts(here, "tank/a"), ["3"]);
        assert_eq!(
            (here.origin(&name("tank/a")), here.origin(&name("tank/c"))),
            (Some(snap("tank/c@2")), None)
        );
        here.rename(&name("tank/a"), &name("tank/c/below")).expect("rename");
        refused(here.rename(&name("tank/c"), &name("tank/c/below/x")), ErrorKind::InvalidArgument);
        assert_eq!(here.origin(&name("tank/c/below")), Some(snap("tank/c@2")));
    });
}

#[test]
fn bookmarks_stand_in_for_their_snapshots_on_the_sending_side() {
    let world = world();
    step(&world, None, "1", "backup/a").expect("full");
    world.on("here", |here| {
        here.bookmark(&[(mark("tank/a#one"), snap("tank/a@1").into())]).expect("bookmark");
        refused(here.bookmark(&[(mark("tank/a#one"), snap("tank/a@1").into())]), ErrorKind::Exists);
        here.hold(&snap("tank/a@1"), "x").expect("hold");
        refused(here.destroy_snapshot(&snap("tank/a@1")), ErrorKind::Held);
        here.release(&snap("tank/a@1"), "x").expect("release");
        here.destroy_snapshot(&snap("tank/a@1")).expect("destroy");
        let stream = |to: &str| Stream {
            to: snap(to),
            from: Some(mark("tank/a#one").into()),
            raw: false,
            resume: None,
        };
        let bytes = here.send(&stream("tank/a@3")).expect("send");
        world_receives(&bytes);
        here.bookmark(&[(mark("tank/a#three"), snap("tank/a@3").into())]).expect("bookmark");
        let stream = Stream { from: Some(mark("tank/a#three").into()), ..stream("tank/a@2") };
        refused(here.send(&stream), ErrorKind::NotAnAncestor);
    });

    /// The stream is whole.
    fn world_receives(bytes: &[u8]) {
        let mut checker = zfs_core::stream::StreamChecker::new(zfs_core::stream::Policy::default());
        checker.push(bytes).expect("a stream");
        checker.finish().expect("whole");
    }
}

#[test]
fn raw_streams_keep_their_encryption_and_its_lineage() {
    let world = world();
    let send = |to: &str, from: Option<&str>, raw| {
        let from = from.map(|from| IncrementalSource::from(snap(from)));
        let stream = Stream { to: snap(to), from, raw, resume: None };
        world.on("here", |here| here.send(&stream))
    };
    let receive = |into: &str, bytes: &[u8]| {
        world.on("there", |there| {
            let mut receiver = Receiver::new(snap(into), None, Vec::new());
            receiver.write(there, bytes)?;
            receiver.finish(there)
        })
    };
    world.on("here", |here| {
        here.create_encrypted(&name("tank/s")).expect("create");
        for short in ["1", "2", "3"] {
            here.write(&name("tank/s"), 1, 1);
            here.snapshot(&[snap(&format!("tank/s@{short}"))]).expect("snapshot");
        }
    });
    receive("backup/s@1", &send("tank/s@1", None, true).expect("send")).expect("raw");
    let plain = send("tank/s@2", Some("tank/s@1"), false).expect("send");
    refused(receive("backup/s@2", &plain), ErrorKind::KeyNotLoaded);
    world.on("there", |there| there.set_key(&name("backup/s"), true));
    receive("backup/s@2", &plain).expect("with the key");
    // The GUIDs are equal now and the sets of initialisation vectors are not.
    refused(
        receive("backup/s@3", &send("tank/s@3", Some("tank/s@2"), true).expect("send")),
        ErrorKind::IvSetMismatch,
    );
    world.on("here", |here| here.set_key(&name("tank/s"), false));
    refused(send("tank/s@3", None, false), ErrorKind::KeyNotLoaded);
}

#[test]
fn faults_strike_once_and_are_missed_when_they_do_not() {
    let world = world();
    let mut here = world.host("here");
    world.inject(Fault::Listing { machine: "here".to_string(), number: 2 });
    here.inventory(&name("tank/a"), Depth::All).expect("the first");
    assert!(here.inventory(&name("tank/a"), Depth::All).is_err(), "an error, and not an empty list");
    here.inventory(&name("tank/a"), Depth::All).expect("the third");

    world.inject(Fault::NoBookmarks { machine: "here".to_string() });
    let guid = world.on("here", |here| here.find(&snap("tank/a@1")).expect("there").guid);
    let change = Change::Bookmark { bookmarks: vec![(mark("tank/a#x"), snap("tank/a@1"), guid)] };
    for _ in 0..2 {
        let error = here.apply(&change).expect_err("without the right");
        assert!(matches!(&error, HostError::Zfs(e) if e.kind() == ErrorKind::PermissionDenied), "{error}");
        assert_eq!(error.code(), Code::Permission);
    }
    world.all_struck();
    here.apply(&change).expect("with the right");
    here.apply(&change).expect("again");

    world.restart();
    assert!(here.inventory(&name("tank/a"), Depth::One).is_err(), "a host of an earlier process");
    let mut here = world.host("here");
    world.inject(Fault::Meddle {
        when: When::Call(2),
        machine: "here".to_string(),
        what: Box::new(|here| here.destroy_snapshot(&snap("tank/a@1")).expect("destroy")),
    });
    let names = [snap("tank/a@1")];
    assert_eq!(here.snapshot_guids(&names).expect("look"), [Some(guid)]);
    assert_eq!(here.snapshot_guids(&names).expect("look"), [None]);

    world.inject(Fault::Full { bytes: 1 << 40 });
    let waiting = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.all_struck()));
    assert!(waiting.is_err(), "a fault that never struck was not noticed");
}

#[test]
fn a_full_target_keeps_what_came_and_a_receive_can_go_on_alone() {
    let world = world();
    world.inject(Fault::Full { bytes: 1500 });
    let error = step(&world, None, "3", "backup/a").expect_err("full");
    assert!(
        matches!(&error, TransferError::Receiver(HostError::Zfs(e)) if e.kind() == ErrorKind::NoSpace),
        "{error:?}"
    );
    assert_eq!(error.code(), Code::NoSpace);
    world.inject(Fault::Cut { bytes: 600 });
    world.inject(Fault::Linger { calls: 4 });
    step(&world, None, "3", "backup/a").expect_err("cut");
    world.all_struck();
    // Two calls to the target each time: the listing and the start of the receive.
    let error = step(&world, None, "3", "backup/a").expect_err("it still runs");
    assert!(
        matches!(&error, TransferError::Receiver(HostError::Zfs(e)) if e.kind() == ErrorKind::PartialReceiveExists),
        "{error:?}"
    );
    step(&world, None, "3", "backup/a").expect("it ended");
    assert!(equal(&world, "tank/a@3", "backup/a@3"));
}

#[test]
fn properties_are_inherited_and_say_from_where() {
    let world = world();
    let set = |name: &str, value: &str| vec![(name.to_string(), value.to_string())];
    let mut here = world.host("here");
    let made = Change::CreateFilesystem { dataset: name("tank/a/b"), set: set("canmount", "noauto") };
    here.apply(&made).expect("create");
    here.apply(&made).expect("again");
    here.apply(&Change::SetProperties { dataset: name("tank/a"), set: set("readonly", "on") }).expect("set");
    let all = here.properties(&name("tank/a"), Depth::All).expect("read");
    let get = |dataset: &str, property: &str| {
        let found = &all[&name(dataset)][property];
        (found.value.clone(), found.source)
    };
    use crate::host::PropertySource as S;
    assert_eq!(get("tank/a", "readonly"), ("on".to_string(), S::Local));
    assert_eq!(get("tank/a/b", "readonly"), ("on".to_string(), S::Inherited));
    assert_eq!(get("tank/a/b", "canmount"), ("noauto".to_string(), S::Local));
    assert_eq!(get("tank/a", "canmount"), ("on".to_string(), S::Default));
}
