//! Runs at work in the same tree at the same time: each dataset is sent by one of them, and none waits for another.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::host::Depth;
use crate::lock::LockError;
use crate::lock::RunLock;

fn lock(folder: &Path) -> Result<Arc<RunLock>, LockError> {
    RunLock::take_in(folder.to_path_buf(), None, &name("backup/a"), Depth::All).map(Arc::new)
}

/// A run as a job makes it: lock, look, plan, do.
fn locked(world: &World, folder: &Path, observer: &dyn Observer) -> Result<Report, RunError> {
    let lock = lock(folder)?;
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let plan = planned(&mut source, &mut target);
    let run = Run { lock: Some(lock), ..quick() };
    execute(&plan, &request().options, &mut source, &mut target, &run, observer, &Cancel::new())
}

type During<'d> = dyn FnMut() + Send + 'd;

/// Lets something happen while a stream of a dataset is on its way, once.
struct While<'w> {
    dataset: &'static str,
    what: Mutex<Option<Box<During<'w>>>>,
    told: Told,
}

impl<'w> While<'w> {
    fn sending(dataset: &'static str, what: impl FnMut() + Send + 'w) -> Self {
        Self { dataset, what: Mutex::new(Some(Box::new(what))), told: Told::default() }
    }
}

impl Observer for While<'_> {
    fn step_started(&self, _: Place, step: &Step) {
        if step.stream().is_some_and(|spec| spec.to.name.dataset().as_str() == self.dataset) {
            let what = self.what.lock().expect("no panic").take();
            if let Some(mut what) = what {
                what();
            }
        }
    }
    fn progress(&self, place: Place, moved: Moved) {
        self.told.progress(place, moved);
    }
    fn step_finished(&self, place: Place, step: &Step, moved: Moved) {
        self.told.step_finished(place, step, moved);
    }
    fn retry(&self, dataset: &DatasetName, error: &RunError, after: Duration) {
        self.told.retry(dataset, error, after);
    }
    fn note(&self, text: &str) {
        self.told.note(text);
    }
}

/// Both sides are equal up to `@3`, and the source has newer ones.
fn behind() -> World {
    let world = world();
    assert_eq!(run(&world, None, &Told::default()).failures().count(), 0);
    newer(&world, 4);
    world
}

fn newer(world: &World, number: u64) {
    world.on("here", |here| {
        for dataset in ["tank/a", "tank/a/x"] {
            here.write(&name(dataset), 1, number * 1000);
            here.snapshot(&[snap(&format!("{dataset}@{number}"))]).expect("snapshot");
        }
    });
}

fn marks(world: &World, dataset: &str) -> Vec<Guid> {
    world.on("here", |here| {
        let bookmarks = &here.dataset(&name(dataset)).expect("it exists").bookmarks;
        bookmarks.values().map(|mark| mark.guid).collect()
    })
}

#[test]
fn what_another_run_is_sending_is_passed_over_and_everything_else_goes_on() {
    let (world, folder) = (behind(), tempfile::tempdir().expect("a folder"));
    let mut passed = 0;
    let first = While::sending("tank/a", || {
        // Each interval of a transfer that takes long.
        for number in 5..8 {
            newer(&world, number);
            let told = Told::default();
            let report = locked(&world, folder.path(), &told).expect("a report");
            let failures: Vec<_> =
                report.failures().map(|(dataset, error)| (&dataset.source, error)).collect();
            assert!(matches!(failures[..], [(_, RunError::Lock(LockError::Busy { .. }))]), "{failures:?}");
            assert_eq!(failures[0].0.as_str(), "tank/a");
            assert_eq!(guids(&world, "here", "tank/a/x"), guids(&world, "there", "backup/a/x"), "{number}");
            // What the first run still needs is not taken from it.
            assert_eq!(told.retries(), 0);
            passed += 1;
        }
    });
    let report = locked(&world, folder.path(), &first).expect("a report");
    assert_eq!(report.failures().count(), 0, "{report:?}");
    drop(first);
    assert_eq!(passed, 3);
    assert_eq!(guids(&world, "there", "backup/a").len(), 4, "what it set out to send");
    assert_eq!(locked(&world, folder.path(), &Told::default()).expect("a report").failures().count(), 0);
    assert_same(&world);
    for dataset in ["tank/a", "tank/a/x"] {
        let newest = guids(&world, "here", dataset).pop().expect("a snapshot");
        assert_eq!(marks(&world, dataset), [newest], "{dataset}");
    }
}

#[test]
fn what_another_run_sent_meanwhile_is_looked_at_again() {
    let (world, folder) = (behind(), tempfile::tempdir().expect("a folder"));
    let first = While::sending("tank/a", || {
        newer(&world, 5);
        assert!(locked(&world, folder.path(), &Told::default()).is_ok());
    });
    let report = locked(&world, folder.path(), &first).expect("a report");
    assert_eq!(report.failures().count(), 0, "{report:?}");
    // tank/a/x was sent by the second run: the first found nothing left to do there, and failed at nothing.
    assert_eq!((report.datasets[1].steps, first.told.retries()), (0, 0));
}

#[test]
fn beside_another_run_no_dataset_is_renamed_or_removed() {
    let (world, folder) = (behind(), tempfile::tempdir().expect("a folder"));
    let mut asked = 0;
    let first = While::sending("tank/a", || {
        world.on("here", |here| here.rename(&name("tank/a/x"), &name("tank/a/y")).expect("rename"));
        let before = world.machines();
        let refused = locked(&world, folder.path(), &Told::default()).expect_err("not alone");
        assert!(
            matches!(&refused, RunError::NotAlone { what, .. } if what.contains("backup/a/x")),
            "{refused}"
        );
        assert!(refused.is_busy() && refused.hint().is_some());
        assert_eq!(world.machines(), before);
        asked += 1;
    });
    drop(locked(&world, folder.path(), &first));
    drop(first);
    assert_eq!(asked, 1);
    assert_eq!(locked(&world, folder.path(), &Told::default()).expect("a report").failures().count(), 0);
    assert_eq!(guids(&world, "here", "tank/a/y"), guids(&world, "there", "backup/a/y"));
}

#[test]
fn while_a_run_looks_and_makes_datasets_others_are_refused() {
    let (world, folder) = (world(), tempfile::tempdir().expect("a folder"));
    let held = lock(folder.path()).expect("free");
    let refused = locked(&world, folder.path(), &Told::default()).expect_err("busy");
    assert!(matches!(refused, RunError::Lock(LockError::Busy { .. })), "{refused}");
    drop(held);
    assert!(locked(&world, folder.path(), &Told::default()).is_ok());
}
