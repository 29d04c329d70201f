//! The rules of the plan, each alone.

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;

use super::filter::Filter;
use super::names::Owner;
use super::options::Options;
use super::plan::Kind;
use super::plan::Resume;
use super::plan::Sides;
use super::plan::Verdict;
use super::plan::Work;
use super::plan::bookmark;
use super::plan::decide;
use super::plan::obsolete;
use super::plan::only_there;
use super::plan::resume;
use super::plan::roll_back;
use crate::host::Base;
use crate::host::Bookmark;
use crate::host::DatasetState;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::Snapshot;

/// A dataset with snapshots (`name=guid`) and bookmarks (`#name=guid@txg`), in the order of their transaction groups.
pub(super) fn dataset(name: &str, has: &str) -> DatasetState {
    let mut state = DatasetState {
        name: name.parse().expect("a name"),
        kind: DatasetKind::Filesystem,
        guid: Guid(1),
        encryption: None,
        origin: None,
        written: 0,
        referenced: 0,
        available: 0,
        partial: None,
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    };
    for (place, word) in has.split_whitespace().enumerate() {
        let (short, number) = word.split_once('=').expect("a name and a GUID");
        let txg = Txg(10 * (place as u64 + 1));
        match short.strip_prefix('#') {
            None => state.snapshots.push(Snapshot {
                name: state.name.snapshot(short).expect("a name"),
                guid: Guid(number.parse().expect("a GUID")),
                createtxg: txg,
                ivset: None,
            }),
            Some(short) => state.bookmarks.push(Bookmark {
                name: state.name.bookmark(short).expect("a name"),
                guid: Guid(number.parse().expect("a GUID")),
                createtxg: txg,
                ivset: None,
            }),
        }
    }
    state
}

fn options(line: &str) -> Options {
    let words: Vec<std::ffi::OsString> = format!("{line} a b").split_whitespace().map(Into::into).collect();
    match super::options::read(&words).expect("options") {
        super::options::Asked::Run(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn verdict(source: &str, target: Option<&str>, taken: Option<&str>, line: &str) -> Verdict {
    let source = dataset("tank/a", source);
    let target = target.map(|has| dataset("back/a", has));
    decide(Sides { source: &source, target: target.as_ref(), taken, origin: None }, &options(line))
}

/// The series in short: `full s1; s1>s2,s3`.
fn go(source: &str, target: Option<&str>, taken: Option<&str>, line: &str) -> (String, Work) {
    let Verdict::Go(work) = verdict(source, target, taken, line) else {
        panic!("{:?}", verdict(source, target, taken, line))
    };
    let series = work.series.iter().map(|series| {
        let from = match (&series.kind, &series.from) {
            (Kind::Full, None) => "full ".to_string(),
            (Kind::Bookmark, Some(base @ Base::Bookmark(..))) => format!("{}>", base.short()),
            (_, Some(base)) => format!("{}>", base.short().trim_start_matches('@')),
            other => panic!("{other:?}"),
        };
        let to: Vec<_> = series.to.iter().map(|one| one.name.short()).collect();
        format!("{from}{}", to.join(","))
    });
    (series.collect::<Vec<_>>().join("; "), work)
}

fn sends(source: &str, target: Option<&str>, taken: Option<&str>, line: &str) -> String {
    go(source, target, taken, line).0
}

#[test]
fn a_new_target_gets_the_oldest_and_then_all() {
    assert_eq!(sends("a=1 b=2 new=3", None, Some("new"), ""), "full a; a>b,new");
    assert_eq!(sends("a=1 b=2", None, None, "--no-sync-snap"), "full a; a>b");
    assert_eq!(sends("a=1", None, None, "--no-sync-snap"), "full a");
    assert_eq!(sends("new=1", None, Some("new"), ""), "full new");
    assert_eq!(sends("a=1 b=2 new=3", None, Some("new"), "--no-stream"), "full new");
    assert_eq!(sends("a=1 b=2", None, None, "--no-stream --no-sync-snap"), "full b");
    assert_eq!(verdict("", None, None, "--no-sync-snap"), Verdict::NoSnapshots);
}

/// The name of the base on the target.
fn base(work: &Work) -> Option<&str> {
    work.base.as_ref().map(|base| base.target.as_str())
}

#[test]
fn the_base_is_the_newest_of_one_name_and_guid() {
    assert_eq!(sends("a=1 b=2 c=3", Some("a=1 b=2"), None, "--no-sync-snap"), "b>c");
    assert_eq!(sends("a=1 b=2 c=3 d=4", Some("a=1 c=9"), None, "--no-sync-snap"), "a>b,c,d");
    assert_eq!(sends("a=1 b=2 c=3 d=4", Some("a=1"), None, "--no-stream --no-sync-snap"), "a>d");
    let (_, work) = go("a=1 b=2", Some("a=1"), None, "--no-sync-snap");
    assert_eq!((base(&work), work.newest.name.short(), work.ends), (Some("a"), "b", false));
    // A newer one that was renamed on one side counts only where no other does.
    assert_eq!(sends("a=1 b=2 c=3", Some("a=1 x=2"), None, "--no-sync-snap"), "a>b,c");
    let (sent, work) = go("b=2 c=3", Some("a=1 x=2"), None, "--no-sync-snap");
    assert_eq!((sent.as_str(), base(&work)), ("b>c", Some("x")));
}

#[test]
fn what_is_up_to_date_or_has_nothing_in_common_is_told() {
    let same = Verdict::UpToDate { newest: "b".to_string() };
    assert_eq!(verdict("a=1 b=2", Some("a=1 b=2 c=3"), None, "--no-sync-snap"), same);
    assert_eq!(verdict("a=1 new=2", Some("x=5"), Some("new"), ""), Verdict::NoMatch);
    assert_eq!(verdict("a=1", Some(""), None, "--no-sync-snap"), Verdict::NoMatch);
}

#[test]
fn bookmarks_are_asked_last_and_by_the_newest_of_the_target() {
    // Streams from a bookmark bring one snapshot, the first after it.
    let (sent, work) = go("#m=1 #n=2 c=3 d=4", Some("a=1 b=2"), None, "--no-sync-snap");
    assert_eq!((sent.as_str(), base(&work), work.ends), ("#n>c; c>d", Some("c"), false));
    assert_eq!(sends("#m=1 c=3 d=4", Some("a=1 b=2"), None, "--no-stream --no-sync-snap"), "#m>d");
    // It ends where that is the newest, except for one that the run has taken itself.
    assert!(go("#m=1 c=3", Some("a=1"), None, "--no-sync-snap").1.ends);
    let (sent, work) = go("#m=1 new=3", Some("a=1"), Some("new"), "");
    assert_eq!((sent.as_str(), work.ends), ("#m>new", false));
    // A snapshot of both sides wins.
    assert_eq!(sends("a=1 #m=2 c=3", Some("a=1 b=2"), None, "--no-sync-snap"), "a>c");
}

#[test]
fn patterns_count_on_both_sides() {
    let line = "--no-sync-snap --include-snaps=^d --exclude-snaps=x$";
    assert_eq!(sends("d1=1 h=2 d2=3 d3x=4 d4=5 h2=6", Some("d1=1 h=2"), None, line), "d1>d2,d4");
    assert_eq!(sends("h=2 d2=3 d4=5", None, None, line), "full d2; d2>d4");
    assert_eq!(verdict("h=2 d1=3", Some("h=2"), None, line), Verdict::NoMatch);
    // The snapshot of the run itself: left out, or the last of the chain.
    assert_eq!(sends("d1=1 d2=2 new=3", Some("d1=1"), Some("new"), "--exclude-snaps=new"), "d1>d2");
    assert_eq!(sends("d1=1 h=2 new=3", Some("d1=1"), Some("new"), "--exclude-snaps=h"), "d1>new");
}

#[test]
fn a_clone_begins_at_its_origin() {
    let (source, origin) = (dataset("tank/c", "c1=5 c2=6"), dataset("tank/a", "o=3"));
    let base = Base::Snapshot(origin.snapshots[0].name.clone(), Guid(3));
    let sides = Sides { source: &source, target: None, taken: None, origin: Some(&base) };
    let Verdict::Go(work) = decide(sides, &options("--no-sync-snap")) else { panic!("no work") };
    assert_eq!((work.series[0].kind, work.series[0].from.as_ref()), (Kind::Clone, Some(&base)));
    assert_eq!(work.series.len(), 2);
}

#[test]
fn what_goes_is_what_is_newer_than_the_base() {
    let mut target = dataset("back/a", "a=1 b=2 c=3");
    assert_eq!(roll_back(&target, Guid(3)), None);
    target.written = 1;
    assert!(roll_back(&target, Guid(3)).expect("written to").newer.is_empty());
    let back = roll_back(&target, Guid(1)).expect("two are newer");
    assert_eq!(back.to.name.short(), "a");
    assert_eq!(back.newer.iter().map(|(name, _)| name.short()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(roll_back(&target, Guid(9)), None);
}

#[test]
fn a_token_is_believed_only_where_the_source_has_what_it_names() {
    let source = dataset("tank/a", "#m=1 b=2 c=3");
    let partial = |to: u64, from: Option<u64>, foreign: bool| Partial {
        token: "1-x".to_string(),
        content: Ok(PartialContent {
            to_guid: Guid(to),
            from_guid: from.map(Guid),
            bytes: 5,
            raw: true,
            foreign,
        }),
    };
    let from = |partial: &Partial| match resume(&source, None, partial) {
        Resume::On { to, from, raw } => {
            assert!(raw);
            format!("{}>{}", from.map_or_else(String::new, |base| base.short()), to.name.short())
        }
        other => format!("{other:?}"),
    };
    assert_eq!(from(&partial(3, Some(2), false)), "@b>c");
    assert_eq!(from(&partial(2, Some(1), false)), "#m>b");
    assert_eq!(from(&partial(2, None, false)), ">b");
    assert_eq!(from(&partial(9, Some(2), false)), "Gone");
    assert_eq!(from(&partial(3, Some(9), false)), "Gone");
    assert!(from(&partial(3, Some(2), true)).starts_with("Unreadable"));
    let broken = Partial { token: "x".to_string(), content: Err("broken".to_string()) };
    assert_eq!(from(&broken), "Unreadable(\"broken\")");
}

#[test]
fn only_snapshots_of_this_machine_and_identifier_are_obsolete() {
    let stamp = |host: &str, day: u8| format!("syncoid_{host}_2026-11-{day:02}:01:36:00-GMT00:00");
    let has: Vec<_> = [("nas", 1), ("nas2", 2), ("off_nas", 3), ("nas", 4), ("nas", 5)]
        .iter()
        .enumerate()
        .map(|(guid, (host, day))| format!("{}={}", stamp(host, *day), guid + 1))
        .collect();
    let state = dataset("tank/a", &format!("{} other=9", has.join(" ")));
    let gone = |owner: Owner, filter: &Filter| {
        let all = obsolete(&state, &owner, filter, &stamp("nas", 5));
        all.iter().map(|(_, guid)| guid.0).collect::<Vec<_>>()
    };
    assert_eq!(gone(Owner::new("", "nas"), &Filter::default()), [1, 4]);
    assert_eq!(gone(Owner::new("off_", "nas"), &Filter::default()), [3]);
    let some = options("--exclude-snaps=-04:").snapshots;
    assert_eq!(gone(Owner::new("", "nas"), &some), [1]);
}

#[test]
fn what_only_the_target_has_is_found_by_name() {
    let (source, target) = (dataset("tank/a", "b=2 c=3"), dataset("back/a", "a=1 b=7 x=9"));
    let names = |line: &str| {
        let all = only_there(&source, &target, &options(line).snapshots);
        all.iter().map(|(name, _)| name.short().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["a", "x"]);
    assert_eq!(names("--exclude-snaps=x"), ["a"]);
}

#[test]
fn a_bookmark_has_the_name_of_its_snapshot_or_one_with_digits() {
    let named = |has: &str| {
        let state = dataset("tank/a", has);
        bookmark(&state, &state.snapshots[0])
    };
    assert_eq!(named("s=1234567890"), Some(("s".to_string(), false)));
    assert_eq!(named("s=1234567890 #s=5"), Some(("s123456".to_string(), true)));
    assert_eq!(named("s=1234567890 #s=5 #s123456=6"), None);
}
