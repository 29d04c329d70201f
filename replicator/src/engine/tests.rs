//! What the engine does when something goes wrong in the middle, on the ZFS in memory: what may pass is tried again from
//! where it stopped, what does not is told, and nothing else suffers. Crashes are the business of the model's campaign.

use std::sync::Mutex;
use std::time::Duration;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Host;
use crate::model::Fault;
use crate::model::Machine;
use crate::model::Meddling;
use crate::model::Moment;
use crate::model::World;
use crate::plan::Action;
use crate::plan::Divergence;
use crate::plan::Options;
use crate::plan::Side;
use crate::plan::TreePlan;

mod company;
mod stall;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

/// `tank/a` with a child, each with snapshots `@1` to `@3`, on `here`; an empty pool `backup` on `there`.
fn world() -> World {
    let world = World::new(11, &["here", "there"]);
    world.on("here", |here| {
        here.create_pool("tank");
        for dataset in ["tank/a", "tank/a/x"] {
            here.create(&name(dataset), DatasetKind::Filesystem, &[]).expect("create");
        }
        for step in 1..=3 {
            for dataset in ["tank/a", "tank/a/x"] {
                for block in 0..20 {
                    here.write(&name(dataset), step + block, step * 100 + block);
                }
                here.snapshot(&[snap(&format!("{dataset}@{step}"))]).expect("snapshot");
            }
        }
    });
    world.on("there", |there| there.create_pool("backup"));
    world
}

/// What a run tells.
#[derive(Default)]
struct Told {
    retries: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
}

impl Observer for Told {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, dataset: &DatasetName, error: &RunError, _: Duration) {
        self.retries.lock().expect("no panic").push(format!("{dataset}: {error}"));
    }
    fn note(&self, text: &str) {
        self.notes.lock().expect("no panic").push(text.to_string());
    }
}

impl Told {
    fn retries(&self) -> usize {
        self.retries.lock().expect("no panic").len()
    }
}

fn request() -> Request {
    Request {
        source: name("tank/a"),
        target: name("backup/a"),
        options: Options { recursive: true, ..Options::default() },
        estimate: false,
        ignore_space: true,
        now: 0,
    }
}

fn planned(source: &mut dyn Host, target: &mut dyn Host) -> TreePlan {
    prepare(source, target, &request()).expect("a plan")
}

fn quick() -> Run {
    let soon = Duration::from_millis(1);
    let backoff = Backoff { first: soon, longest: soon, ..Backoff::default() };
    Run { backoff, ..Run::default() }
}

/// Plans, lets something go wrong, and carries the plan out.
fn run(world: &World, fault: Option<Fault>, told: &Told) -> Report {
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    if let Some(fault) = fault {
        world.inject(fault);
    }
    let options = request().options;
    execute(&plan, &options, &mut source, &mut target, &quick(), told, &Cancel::new()).expect("a report")
}

/// The GUIDs of the snapshots of a dataset.
fn guids(world: &World, machine: &str, dataset: &str) -> Vec<Guid> {
    world.on(machine, |machine| {
        let found = machine.dataset(&name(dataset)).expect("it exists");
        found.snapshots.iter().map(|one| one.guid).collect()
    })
}

fn assert_same(world: &World) {
    for below in ["", "/x"] {
        let (here, there) = (format!("tank/a{below}"), format!("backup/a{below}"));
        assert_eq!(guids(world, "here", &here), guids(world, "there", &there), "{here}");
    }
}

#[test]
fn a_connection_that_breaks_is_tried_again_from_where_it_stopped() {
    for bytes in [0, 100, 1000, 5000] {
        let (world, told) = (world(), Told::default());
        let report = run(&world, Some(Fault::Cut { bytes }), &told);
        world.all_struck();
        assert_eq!(report.failures().count(), 0, "{bytes}: {:?}", told.retries);
        assert_eq!(told.retries(), 1, "{bytes}");
        assert_same(&world);
    }
}

#[test]
fn an_earlier_receive_that_still_runs_is_waited_for() {
    let (world, told) = (world(), Told::default());
    world.inject(Fault::Linger { calls: 6 });
    let report = run(&world, Some(Fault::Cut { bytes: 2000 }), &told);
    world.all_struck();
    assert_eq!(report.failures().count(), 0, "{:?}", told.retries);
    assert_same(&world);
}

#[test]
fn a_full_target_is_told_at_once_and_keeps_what_came() {
    let (world, told) = (world(), Told::default());
    let report = run(&world, Some(Fault::Full { bytes: 3000 }), &told);
    world.all_struck();
    assert_eq!(told.retries(), 0, "{:?}", told.retries);
    let failed: Vec<_> =
        report.failures().map(|(dataset, error)| (dataset.source.to_string(), error)).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(failed[0].0, "tank/a");
    // The child was not tried: there was nothing to receive it into.
    assert!(matches!(failed[1].1, RunError::Dependency { .. }), "{failed:?}");
    assert_eq!((failed[0].1.code(), failed[1].1.code()), (Code::NoSpace, Code::Waits));
    // With room again, the same command goes on.
    let report = run(&world, None, &told);
    assert_eq!(report.failures().count(), 0);
    assert_same(&world);
}

#[test]
fn what_may_not_be_thrown_away_from_here_is_told_with_who_can() {
    let (world, told) = (world(), Told::default());
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let once = Run { backoff: Backoff { attempts: 1, ..Backoff::default() }, ..Run::default() };
    let mut carry_out = |options: &Options| {
        let asked = Request { options: options.clone(), ..request() };
        let plan = prepare(&mut source, &mut target, &asked).expect("a plan");
        execute(&plan, options, &mut source, &mut target, &once, &told, &Cancel::new()).expect("a report")
    };
    world.inject(Fault::Cut { bytes: 2000 });
    assert!(carry_out(&request().options).failures().count() > 0);
    world.all_struck();
    // What it was for is gone at the source, so that it cannot go on.
    world.on("here", |here| here.destroy_snapshot(&snap("tank/a@1")).expect("destroyed"));
    let allowed = Options { discard_partial: true, ..request().options };
    world.inject(Fault::Denied { machine: "there".to_string(), kind: "discard-partial" });
    let report = carry_out(&allowed);
    world.all_struck();
    let (dataset, error) = report.failures().next().expect("a failure");
    assert_eq!(dataset.target, name("backup/a"));
    assert!(matches!(error, RunError::NotDiscarded { .. }), "{error}");
    let hint = error.hint().expect("what to do");
    assert!(hint.contains("replicator tokens --discard backup/a") && hint.contains("[[receive]]"), "{hint}");
}

#[test]
fn without_the_right_to_bookmark_it_goes_on_and_says_so() {
    let (world, told) = (world(), Told::default());
    let report = run(&world, Some(Fault::NoBookmarks { machine: "here".into() }), &told);
    world.all_struck();
    assert_eq!(report.failures().count(), 0);
    assert!(told.notes.lock().expect("no panic").iter().any(|note| note.contains("bookmarks")));
    assert_same(&world);
}

#[test]
fn without_the_right_to_bookmark_the_older_bookmarks_stay() {
    let world = world();
    assert_eq!(run(&world, None, &Told::default()).failures().count(), 0);
    let marks = |world: &World| {
        world.on("here", |here| here.dataset(&name("tank/a")).expect("it exists").bookmarks.clone())
    };
    let before = marks(&world);
    assert!(!before.is_empty());
    world.on("here", |here| here.snapshot(&[snap("tank/a@4")]).expect("snapshot"));
    let report = run(&world, Some(Fault::NoBookmarks { machine: "here".into() }), &Told::default());
    world.all_struck();
    assert_eq!(report.failures().count(), 0);
    assert_eq!(marks(&world), before, "nothing newer keeps the base");
}

#[test]
fn what_had_room_when_it_began_has_room_to_go_on() {
    let weighed = Request { estimate: true, ignore_space: false, ..request() };
    let plan =
        |world: &World| prepare(&mut world.host("here"), &mut world.host("there"), &weighed).expect("a plan");
    let start = world();
    let needed = plan(&start).estimated_bytes().expect("sizes");
    let once = Run { backoff: Backoff { attempts: 1, ..quick().backoff }, ..quick() };
    for bytes in [700, 1500, 3000] {
        let world = start.copy();
        world.on("there", |there| there.set_available(needed));
        let begun = plan(&world);
        assert_eq!(begun.conflicts().count(), 0);
        world.inject(Fault::Cut { bytes });
        let (mut source, mut target) = (world.host("here"), world.host("there"));
        let told = Told::default();
        let (options, cancel) = (weighed.options.clone(), Cancel::new());
        let report = execute(&begun, &options, &mut source, &mut target, &once, &told, &cancel);
        assert_eq!(report.expect("a report").failures().count(), 2);
        world.all_struck();
        let again = plan(&world);
        assert_eq!(again.conflicts().count(), 0, "{bytes}: {:?}", again.conflicts().next());
        assert!(again.streams().any(|spec| spec.resume.is_some()), "{bytes}");
        assert!(again.estimated_bytes() < Some(needed), "{bytes}: {:?} of {needed}", again.estimated_bytes());
    }
    // One byte less is too little.
    start.on("there", |there| there.set_available(needed - 1));
    assert_eq!(plan(&start).conflicts().count(), 1);
}

/// What somebody does on the target while a run sends `@4`, and which bookmarks `tank/a` has before and after it.
fn marks_of_a_run(meddle: impl FnOnce(&mut Machine) + Send + 'static, told: &Told) -> [Vec<Guid>; 2] {
    let world = world();
    assert_eq!(run(&world, None, &Told::default()).failures().count(), 0);
    let marks = |world: &World| {
        let of = |here: &mut Machine| here.dataset(&name("tank/a")).expect("it exists").bookmarks.clone();
        world.on("here", of).values().map(|mark| mark.guid).collect::<Vec<_>>()
    };
    let before = marks(&world);
    world.on("here", |here| here.snapshot(&[snap("tank/a@4")]).expect("snapshot"));
    world.restart();
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    // Right after @4 came and was read back, when the run turns to its last step.
    let sends = plan.datasets.iter().position(|one| one.streams().next().is_some()).expect("a stream");
    let meddling =
        Somebody { world: world.clone(), at: sends, what: Mutex::new(Some(Box::new(meddle))), told };
    let run = quick();
    let options = request().options;
    let report = execute(&plan, &options, &mut source, &mut target, &run, &meddling, &Cancel::new());
    assert_eq!(report.expect("a report").failures().count(), 0, "{:?}", told.retries);
    assert!(meddling.what.lock().expect("no panic").is_none(), "nothing was done, so nothing was tested");
    [before, marks(&world)]
}

/// Does something on the target when a dataset's step is finished.
struct Somebody<'t> {
    world: World,
    at: usize,
    what: Mutex<Option<Meddling>>,
    told: &'t Told,
}

impl Observer for Somebody<'_> {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, place: Place, _: &Step, _: Moved) {
        if place.dataset == Some(self.at)
            && let Some(what) = self.what.lock().expect("no panic").take()
        {
            self.world.on("there", what);
        }
    }
    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        self.told.retry(dataset, error, after);
    }
    fn note(&self, text: &str) {
        self.told.note(text);
    }
}

#[test]
fn older_bookmarks_stay_where_the_newer_base_is_gone_from_the_target() {
    let told = Told::default();
    let [before, after] = marks_of_a_run(|_| {}, &told);
    assert!(before.iter().all(|guid| !after.contains(guid)), "{before:?} {after:?}");
    assert!(told.notes.lock().expect("no panic").is_empty(), "{:?}", told.notes);
    let destroy = |there: &mut Machine| there.destroy_snapshot(&snap("backup/a@4")).expect("destroy");
    let rename = |there: &mut Machine| there.rename(&name("backup/a"), &name("backup/b")).expect("rename");
    let replace = |there: &mut Machine| {
        there.destroy_snapshot(&snap("backup/a@4")).expect("destroy");
        there.snapshot(&[snap("backup/a@4")]).expect("snapshot");
    };
    let all: [Meddling; 3] = [Box::new(destroy), Box::new(rename), Box::new(replace)];
    for (number, meddle) in all.into_iter().enumerate() {
        let told = Told::default();
        let [before, after] = marks_of_a_run(meddle, &told);
        assert!(before.iter().all(|guid| after.contains(guid)), "{number}: {before:?} {after:?}");
        let notes = told.notes.lock().expect("no panic");
        assert!(notes.iter().any(|note| note.contains("the older bookmarks of tank/a stay")), "{notes:?}");
    }
}

#[test]
fn a_target_that_was_set_aside_under_an_old_name_is_gone_on_with() {
    let world = world();
    assert_eq!(run(&world, None, &Told::default()).failures().count(), 0);
    world.on("there", |there| {
        there.rename(&name("backup/a/x"), &name("backup/a/old")).expect("rename");
        there.write(&name("backup/a/old"), 1, 1);
    });
    world.on("here", |here| here.snapshot(&[snap("tank/a/x@4")]).expect("snapshot"));
    let mut request = request();
    request.options.divergence = Divergence::Preserve;
    request.options.follow_renames = false;
    let again = |world: &World| {
        let (mut source, mut target) = (world.host("here"), world.host("there"));
        let plan = prepare(&mut source, &mut target, &request).expect("a plan");
        let told = Told::default();
        let done =
            execute(&plan, &request.options, &mut source, &mut target, &quick(), &told, &Cancel::new());
        (plan, done)
    };
    for (effect, what) in [(1, "rename backup/a/old to "), (2, "clone "), (3, "promote backup/a/old")] {
        let world = world.copy();
        world.inject(Fault::Crash { effect, moment: Moment::After });
        assert!(again(&world).1.is_err());
        assert!(world.log().last().expect("an effect").contains(what), "{:?}", world.log());
        world.restart();
        let (plan, done) = again(&world);
        assert!(plan.streams().all(|spec| spec.from.is_some()), "{plan:#?}");
        assert_eq!(done.expect("a report").failures().count(), 0);
        assert_eq!(guids(&world, "here", "tank/a/x"), guids(&world, "there", "backup/a/old"));
    }
}

/// The target is a clone, not promoted yet, of what was set aside last; what was set aside before has the child.
#[test]
fn a_child_that_was_left_with_what_was_set_aside_before_is_not_sent_again() {
    let (world, told) = (world(), Told::default());
    run(&world, None, &told);
    let [before, last] = ["backup/a_diverged_20270101T000000Z", "backup/a_diverged_20270102T000000Z"];
    world.on("there", |there| {
        there.rename(&name("backup/a"), &name(before)).expect("rename");
        there.clone_snapshot(&snap(&format!("{before}@3")), &name(last), &[]).expect("clone");
        there.promote(&name(last)).expect("promote");
        there.clone_snapshot(&snap(&format!("{last}@3")), &name("backup/a"), &[]).expect("clone");
    });
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    assert_eq!(plan.streams().count(), 0, "{plan:?}");
    assert_eq!(run(&world, None, &told).failures().count(), 0);
    assert_same(&world);
}

#[test]
fn a_snapshot_that_somebody_destroys_after_planning_costs_only_itself() {
    let (world, told) = (world(), Told::default());
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    world.on("here", |here| here.destroy_snapshot(&snap("tank/a@2")).expect("destroy"));
    let options = request().options;
    let report = execute(&plan, &options, &mut source, &mut target, &quick(), &told, &Cancel::new());
    let report = report.expect("a report");
    assert_eq!(report.failures().count(), 0, "{:?}", told.retries);
    assert_same(&world);
    // The newest of each has its bookmark, whatever became of the batch.
    let newest = *guids(&world, "here", "tank/a").last().expect("a snapshot");
    let marked = world.on("here", |here| {
        let found = here.dataset(&name("tank/a")).expect("it exists");
        found.bookmarks.keys().any(|short| short.ends_with(&format!("_{:016x}", newest.0)))
    });
    assert!(marked);
}

#[test]
fn the_last_base_stays_where_its_new_bookmark_could_not_be_made() {
    let (world, told) = (world(), Told::default());
    assert_eq!(run(&world, None, &told).failures().count(), 0);
    // The target follows, so that bookmarks for it get another name.
    world.on("here", |here| here.rename(&name("tank/a/x"), &name("tank/a/y")).expect("rename"));
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    let base = *guids(&world, "here", "tank/a/y").last().expect("a snapshot");
    world.on("here", |here| {
        let dataset = here.dataset(&name("tank/a/y")).expect("it exists");
        let all: Vec<_> = dataset.snapshots.iter().map(|one| one.short.clone()).collect();
        for short in all {
            here.destroy_snapshot(&snap(&format!("tank/a/y@{short}"))).expect("destroy");
        }
    });
    let options = request().options;
    let report = execute(&plan, &options, &mut source, &mut target, &quick(), &told, &Cancel::new());
    assert!(report.is_ok());
    assert!(guids(&world, "there", "backup/a/y").contains(&base));
    let left = world.on("here", |here| {
        let dataset = here.dataset(&name("tank/a/y")).expect("it exists");
        dataset.bookmarks.values().any(|mark| mark.guid == base)
    });
    assert!(left, "nothing is left that the next run could start at");
}

/// Everything that both machines have.
fn everything(world: &World) -> [Machine; 2] {
    ["here", "there"].map(|machine| world.on(machine, |machine| machine.clone()))
}

#[test]
fn a_feature_that_only_the_streams_tell_of_is_a_conflict_before_anything_changes() {
    let (world, told) = (world(), Told::default());
    world.on("there", |there| there.set_feature("large_blocks", "disabled"));
    let before = everything(&world);
    let plan = planned(&mut world.host("here"), &mut world.host("there"));
    let kinds: Vec<_> = plan.conflicts().map(|(_, conflict)| conflict.kind()).collect();
    assert_eq!(kinds, ["feature-missing", "feature-missing"]);
    assert_eq!(plan.steps().count(), 0);
    let report = run(&world, None, &told);
    assert_eq!(report.failures().count(), 2);
    assert!(before == everything(&world), "something was changed");
    // A source that has no large blocks is not refused.
    world.on("here", |here| here.set_feature("large_blocks", "enabled"));
    assert_eq!(run(&world, None, &told).failures().count(), 0);
    assert_same(&world);
}

#[test]
fn a_feature_that_is_lost_meanwhile_is_not_tried_again() {
    let (world, told) = (world(), Told::default());
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    world.on("there", |there| there.set_feature("large_blocks", "disabled"));
    let options = request().options;
    let report = execute(&plan, &options, &mut source, &mut target, &quick(), &told, &Cancel::new());
    let report = report.expect("a report");
    assert_eq!((report.failures().count(), told.retries()), (2, 0));
}

#[test]
fn nothing_is_set_aside_where_there_is_no_room_to_go_on() {
    let (world, told) = (world(), Told::default());
    assert_eq!(run(&world, None, &told).failures().count(), 0);
    world.on("there", |there| {
        there.snapshot(&[snap("backup/a@theirs"), snap("backup/a/x@theirs")]).expect("snapshot");
    });
    world.on("here", |here| {
        here.write(&name("tank/a"), 7, 7);
        here.snapshot(&[snap("tank/a@4")]).expect("snapshot");
    });
    let options = Options { divergence: Divergence::Preserve, ..request().options };
    let request = Request { options, estimate: true, ignore_space: false, ..request() };
    let plan =
        |world: &World| prepare(&mut world.host("here"), &mut world.host("there"), &request).expect("a plan");
    let on_target = |plan: &TreePlan| {
        let target = |step: &&Step| matches!(step.action, Action::Change { side: Side::Target, .. });
        plan.before.iter().filter(target).count()
    };
    world.on("there", |there| there.set_available(1));
    let full = plan(&world);
    let kinds: Vec<_> =
        full.conflicts().map(|(source, conflict)| (source.as_str(), conflict.kind())).collect();
    assert_eq!((kinds, on_target(&full)), (vec![("tank/a", "no-space")], 0));
    assert!(full.conflicts().all(|(_, conflict)| conflict.code() == Code::TargetTooSmall));
    // With room it is set aside and goes on; the child has nothing newer and stays.
    world.on("there", |there| there.set_available(1 << 30));
    let roomy = plan(&world);
    assert_eq!((roomy.conflicts().count(), on_target(&roomy)), (0, 4));
    assert!(roomy.notes.iter().any(|note| note.contains("backup/a/x has changed")), "{:?}", roomy.notes);
}
