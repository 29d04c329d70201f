//! Properties that follow the source, and the removal of what the source does not have any more, carried out on the
//! ZFS in memory; the removal with a crash at each of its changes.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::host::Depth;
use crate::lock::RunLock;
use crate::marks;
use crate::model::Fault;
use crate::model::Moment;
use crate::model::When;
use crate::model::World;
use crate::plan::Options;
use crate::plan::PropertyList;
use crate::plan::TreePlan;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_371_300;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: Duration) {}
    fn note(&self, text: &str) {
        self.0.lock().expect("no panic").push(text.to_string());
    }
}

struct Case {
    world: World,
    options: Options,
    plain: bool,
    lock: Option<Arc<RunLock>>,
}

impl Case {
    /// `tank/a` with two children and one below, each with two snapshots, on `here`; an empty pool on `there`.
    fn new() -> Self {
        let world = World::new(23, &["here", "there"]);
        world.on("there", |there| there.create_pool("backup"));
        world.on("here", |here| here.create_pool("tank"));
        let case = Self {
            world,
            options: Options { recursive: true, ..Options::default() },
            plain: false,
            lock: None,
        };
        for dataset in ["tank/a", "tank/a/x", "tank/a/y", "tank/a/y/deep"] {
            case.world.on("here", |here| {
                here.create(&name(dataset), DatasetKind::Filesystem, &[]).expect("create");
            });
            case.take(dataset, "1");
            case.take(dataset, "2");
        }
        case
    }

    fn take(&self, dataset: &str, short: &str) {
        self.world.on("here", |here| {
            here.write(&name(dataset), 1, short.len() as u64);
            here.snapshot(&[snap(&format!("{dataset}@{short}"))]).expect("snapshot");
        });
    }

    fn set(&self, machine: &str, dataset: &str, property: &str, value: &str) {
        let set = [(property.to_string(), value.to_string())];
        self.world.on(machine, |one| one.set_properties(&name(dataset), &set).expect("set"));
    }

    /// A property of the target, if it is set there.
    fn there(&self, dataset: &str, property: &str) -> Option<String> {
        let found = self.world.on("there", |there| there.property(&name(dataset), property))?;
        (found.source == crate::host::PropertySource::Local).then_some(found.value)
    }

    fn exists(&self, dataset: &str) -> bool {
        self.world.on("there", |there| there.dataset(&name(dataset)).is_some())
    }

    fn lose(&self, dataset: &str) {
        self.world.on("here", |here| {
            let short: Vec<_> =
                here.dataset(&name(dataset)).expect("it").snapshots.iter().map(|s| s.short.clone()).collect();
            for short in short {
                here.destroy_snapshot(&snap(&format!("{dataset}@{short}"))).expect("destroy");
            }
            here.destroy(&name(dataset)).expect("destroy");
        });
    }

    fn run(&self, now: i64) -> (TreePlan, Result<Report, RunError>, Vec<String>) {
        let (mut source, mut target) = (self.world.host("here"), self.world.host("there"));
        if self.plain {
            target = target.plain();
        }
        let request = Request {
            source: name("tank/a"),
            target: name("backup/a"),
            options: self.options.clone(),
            estimate: false,
            ignore_space: true,
            now,
        };
        let told = Told::default();
        let plan = match prepare(&mut source, &mut target, &request) {
            Ok(plan) => plan,
            Err(error) => return (empty_plan(), Err(error), Vec::new()),
        };
        let backoff = Backoff { attempts: 1, ..Backoff::default() };
        let run = Run { backoff, lock: self.lock.clone(), ..Run::default() };
        let done = execute(&plan, &self.options, &mut source, &mut target, &run, &told, &Cancel::new());
        (plan, done, told.0.into_inner().expect("no panic"))
    }

    /// A run in which nothing fails; its changes.
    fn good(&self, now: i64) -> Vec<String> {
        let (plan, report, _) = self.run(now);
        let report = report.expect("a report");
        assert_eq!(report.failures().count(), 0, "{report:?}");
        assert!(report.errors_after.is_empty(), "{report:?}");
        plan.steps()
            .filter_map(|step| match &step.action {
                crate::plan::Action::Change { change, .. } => Some(change.to_string()),
                crate::plan::Action::Send { .. } => None,
            })
            .filter(|change| !change.contains("bookmark") && !change.contains(" snapshots"))
            .collect()
    }
}

fn empty_plan() -> TreePlan {
    TreePlan {
        source: name("x"),
        target: name("y"),
        before: Vec::new(),
        datasets: Vec::new(),
        after: Vec::new(),
        kept: Vec::new(),
        notes: Vec::new(),
    }
}

fn pairs(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_set_on_the_source_is_set_with_the_first_stream_and_follows_later() {
    let mut case = Case::new();
    case.set("here", "tank/a", "compression", "zstd");
    case.set("here", "tank/a", "mountpoint", "/somewhere");
    case.set("here", "tank/a/x", "recordsize", "1048576");
    assert_eq!(case.good(NOW), Vec::<String>::new(), "all of it comes with the streams");
    assert_eq!(case.there("backup/a", "compression").as_deref(), Some("zstd"));
    assert_eq!(case.there("backup/a/x", "compression"), None, "inherited is not set");
    assert_eq!(case.there("backup/a/x", "recordsize").as_deref(), Some("1048576"));
    assert_eq!(case.there("backup/a", "mountpoint"), None);
    assert_eq!(case.there("backup/a", "readonly").as_deref(), Some("on"));
    // Between machines with this program a change follows at once, and nothing is left then.
    case.set("here", "tank/a", "compression", "gzip-9");
    assert_eq!(case.good(NOW), ["set compression=gzip-9 on backup/a"]);
    assert_eq!(case.good(NOW), Vec::<String>::new());
    // What the source does not set any more stays, and that is told.
    case.world.on("here", |here| here.inherit_property(&name("tank/a"), "compression").expect("inherit"));
    let (plan, ..) = case.run(NOW);
    assert_eq!(plan.notes, ["backup/a keeps compression=gzip-9, which the source does not set"]);
    assert_eq!(case.there("backup/a", "compression").as_deref(), Some("gzip-9"));
    // A machine with the zfs command only is asked when there is something to send.
    case.plain = true;
    case.set("here", "tank/a/x", "atime", "off");
    assert_eq!(case.good(NOW), Vec::<String>::new());
    case.take("tank/a", "3");
    assert_eq!(case.good(NOW), ["set atime=off on backup/a/x"]);
    assert_eq!(case.there("backup/a/x", "atime").as_deref(), Some("off"));
}

#[test]
fn nothing_is_replicated_that_was_not_asked_for_and_limits_come_last() {
    let mut case = Case::new();
    case.set("here", "tank/a", "compression", "zstd");
    case.set("here", "tank/a", "atime", "off");
    case.set("here", "tank/a", "quota", "1000000");
    case.set("here", "tank/a", "org.example:note", "daily");
    case.set("here", "tank/a", marks::GONE, "not ours to copy");
    let list = pairs(&["default", "quota", "*:*"]);
    case.options.properties = PropertyList::new(&list, &pairs(&["atime"]), &[]).expect("a list");
    assert_eq!(case.good(NOW), ["set quota=1000000 on backup/a"]);
    for (property, value) in [
        ("compression", Some("zstd")),
        ("atime", None),
        ("quota", Some("1000000")),
        ("org.example:note", Some("daily")),
        (marks::GONE, None),
    ] {
        assert_eq!(case.there("backup/a", property).as_deref(), value, "{property}");
    }
    let mut case = Case::new();
    case.set("here", "tank/a", "compression", "zstd");
    case.options.properties = PropertyList::new(&pairs(&["none"]), &[], &[]).expect("none");
    assert_eq!(case.good(NOW), Vec::<String>::new());
    assert_eq!(case.there("backup/a", "compression"), None);
}

#[test]
fn a_stream_that_broke_off_still_brings_its_properties() {
    let mut case = Case::new();
    case.set("here", "tank/a", "compression", "zstd");
    case.set("here", "tank/a", "quota", "1000000");
    case.options.properties = PropertyList::new(&pairs(&["default", "quota"]), &[], &[]).expect("a list");
    case.world.inject(Fault::Cut { bytes: 700 });
    let (mut source, mut target) = (case.world.host("here"), case.world.host("there"));
    let request = Request {
        source: name("tank/a"),
        target: name("backup/a"),
        options: case.options.clone(),
        estimate: false,
        ignore_space: true,
        now: NOW,
    };
    let plan = prepare(&mut source, &mut target, &request).expect("a plan");
    let soon = Duration::from_millis(1);
    let run = Run { backoff: Backoff { first: soon, longest: soon, ..Backoff::default() }, ..Run::default() };
    let told = Told::default();
    let report = execute(&plan, &case.options, &mut source, &mut target, &run, &told, &Cancel::new());
    case.world.all_struck();
    assert_eq!(report.expect("a report").failures().count(), 0);
    assert_eq!(case.there("backup/a", "compression").as_deref(), Some("zstd"));
    assert_eq!(case.there("backup/a", "quota").as_deref(), Some("1000000"));
    assert_eq!(case.good(NOW), Vec::<String>::new());
}

/// Everything arrived with its marks, and `y` with what is below it is gone at the source.
fn gone() -> Case {
    let mut case = Case::new();
    case.options.remove_gone_after = Some(Duration::from_secs(30 * DAY as u64));
    assert_eq!(case.good(NOW), Vec::<String>::new());
    assert!(
        case.there("backup/a/y", marks::REPLICA).is_some()
            && case.there("backup/a", marks::REPLICA).is_none()
    );
    case.lose("tank/a/y/deep");
    case.lose("tank/a/y");
    case
}

#[test]
fn what_is_gone_is_marked_waits_and_goes() {
    let case = gone();
    let marked = case.good(NOW + DAY);
    assert_eq!(marked.len(), 2, "{marked:?}");
    assert!(marked.iter().all(|change| change.starts_with("set replicator:gone=1:20261123T")), "{marked:?}");
    for days in [2, 30] {
        assert_eq!(case.good(NOW + days * DAY), Vec::<String>::new());
        assert!(case.exists("backup/a/y/deep"));
    }
    let removed = case.good(NOW + 31 * DAY);
    assert!(removed.iter().all(|change| change.starts_with("destroy backup/a/y")), "{removed:?}");
    assert!(!case.exists("backup/a/y") && case.exists("backup/a/x"));
    assert_eq!(case.good(NOW + 32 * DAY), Vec::<String>::new());
}

#[test]
fn beside_another_run_it_stays() {
    let mut case = gone();
    case.good(NOW + DAY);
    let folder = tempfile::tempdir().expect("a folder");
    let lock = || {
        let folder = folder.path().to_path_buf();
        Arc::new(RunLock::take_in(folder, None, &name("backup/a"), Depth::All).expect("not busy"))
    };
    let other = lock();
    other.share().expect("shared");
    case.lock = Some(lock());
    let (_, report, notes) = case.run(NOW + 40 * DAY);
    assert!(report.expect("a report").errors_after.is_empty());
    assert!(notes.iter().any(|note| note.starts_with("backup/a/y/deep stays until ")), "{notes:?}");
    assert!(case.exists("backup/a/y/deep"));
    drop(other);
    case.lock = Some(lock());
    case.good(NOW + 41 * DAY);
    assert!(!case.exists("backup/a/y") && case.exists("backup/a/x"));
}

#[test]
fn what_comes_back_is_not_gone_and_waits_anew_when_it_goes_again() {
    let mut case = Case::new();
    case.options.remove_gone_after = Some(Duration::from_secs(30 * DAY as u64));
    case.good(NOW);
    // Out of the tree, and in again: it is the same dataset.
    let rename = |from: &str, to: &str| {
        case.world.on("here", |here| here.rename(&name(from), &name(to)).expect("rename"));
    };
    rename("tank/a/y", "tank/y");
    assert_eq!(case.good(NOW + DAY).len(), 2);
    rename("tank/y", "tank/a/y");
    let back = case.good(NOW + 40 * DAY);
    assert_eq!(
        back,
        ["remove replicator:gone from backup/a/y", "remove replicator:gone from backup/a/y/deep"]
    );
    rename("tank/a/y", "tank/y");
    assert_eq!(case.good(NOW + 41 * DAY).len(), 2, "marked anew");
    assert_eq!(case.good(NOW + 70 * DAY), Vec::<String>::new());
    assert!(case.exists("backup/a/y/deep"));
}

#[test]
fn a_source_that_is_not_there_or_another_one_removes_nothing() {
    let case = gone();
    case.good(NOW + DAY);
    let before = case.world.copy();
    // The root is gone: an error, not an empty tree.
    case.lose("tank/a/x");
    case.lose("tank/a");
    let (_, done, _) = case.run(NOW + 40 * DAY);
    assert!(matches!(done, Err(RunError::NoSource { .. })), "{done:?}");
    assert!(case.exists("backup/a/y") && case.exists("backup/a/x"));
    // A new root of the same name.
    case.world.on("here", |here| here.create(&name("tank/a"), DatasetKind::Filesystem, &[]).expect("create"));
    case.take("tank/a", "new");
    let (_, _, _) = case.run(NOW + 40 * DAY);
    assert!(case.exists("backup/a/y/deep") && case.exists("backup/a/x"));
    // A listing that fails.
    let case = Case { world: before, ..case };
    case.world.inject(Fault::Listing { machine: "here".to_string(), number: 1 });
    let (_, done, _) = case.run(NOW + 40 * DAY);
    assert!(done.is_err());
    case.world.all_struck();
    assert!(case.exists("backup/a/y/deep"));
}

#[test]
fn a_hold_that_comes_between_keeps_everything() {
    let case = gone();
    case.good(NOW + DAY);
    case.world.on("there", |there| there.hold(&snap("backup/a/y/deep@1"), "theirs").expect("hold"));
    let (plan, report, _) = case.run(NOW + 40 * DAY);
    assert!(
        plan.kept.iter().any(|kept| kept.reason.contains("backup/a/y/deep@1 has a hold")),
        "{:?}",
        plan.kept
    );
    assert!(report.expect("a report").errors_after.is_empty());
    assert!(case.exists("backup/a/y/deep") && case.exists("backup/a/y"));
    case.world.on("there", |there| there.release(&snap("backup/a/y/deep@1"), "theirs").expect("release"));
    // Held after the plan was made: the step fails, and with it what is above.
    let calls = case.world.calls();
    let copy = case.world.copy();
    case.good(NOW + 40 * DAY);
    let all = case.world.calls() - calls;
    let mut refused = 0;
    for call in 1..=all {
        let case = Case { world: copy.copy(), options: case.options.clone(), plain: false, lock: None };
        case.world.inject(Fault::Meddle {
            when: When::Call(call),
            machine: "there".to_string(),
            what: Box::new(|there| drop(there.hold(&snap("backup/a/y/deep@2"), "theirs"))),
        });
        let (plan, report, _) = case.run(NOW + 40 * DAY);
        let held = case.exists("backup/a/y/deep");
        if held {
            assert!(case.exists("backup/a/y"), "its parent went before it");
            let there = case.world.on("there", |there| there.find(&snap("backup/a/y/deep@1")).is_some());
            assert!(there, "call {call}: a part of the snapshots went");
        }
        let failed = !report.expect("a report").errors_after.is_empty();
        assert!(!failed || held);
        refused += u64::from(failed);
        drop(plan);
        case.world.disarm();
    }
    assert!(refused > 0, "the hold never came between");
}

#[test]
fn a_removal_that_is_cut_anywhere_is_finished_by_the_next_run() {
    for plain in [false, true] {
        let mut case = gone();
        case.plain = plain;
        for now in [NOW + DAY, NOW + 40 * DAY] {
            let start = case.world.copy();
            case.world.restart();
            case.good(now);
            let effects = case.world.effects();
            assert!(effects >= 2, "{effects}");
            for effect in 1..=effects {
                for moment in [Moment::Before, Moment::After] {
                    let world = start.copy();
                    world.inject(Fault::Crash { effect, moment });
                    let cut = Case { world, options: case.options.clone(), plain, lock: None };
                    let _ = cut.run(now);
                    cut.world.all_struck();
                    let next =
                        Case { world: cut.world.copy(), options: case.options.clone(), plain, lock: None };
                    next.good(now + 60);
                    for dataset in ["backup/a", "backup/a/x", "backup/a/y", "backup/a/y/deep"] {
                        assert_eq!(
                            next.exists(dataset),
                            case.exists(dataset),
                            "{dataset} after a crash {moment:?} change {effect}"
                        );
                        let marked = |case: &Case| case.there(dataset, marks::GONE).is_some();
                        assert_eq!(marked(&next), marked(&case), "{dataset} {moment:?} {effect}");
                    }
                }
            }
        }
        assert!(!case.exists("backup/a/y"));
    }
}
