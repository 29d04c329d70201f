//! What others do to both sides while a run is going on, and streams that break off.

use zfs_core::DatasetKind;

use super::lab::Lab;
use super::lab::name;
use super::lab::snap;
use crate::model::Fault;

/// `tank/a/b` with two snapshots, besides `tank/a`.
fn tree() -> Lab {
    let lab = Lab::new();
    lab.create("tank/a/b");
    lab.snapshot("tank/a/b@1");
    lab.snapshot("tank/a/b@2");
    lab
}

/// The line before the second dataset has its turn.
const TURN: &str = "syncing source tank/a/b to target back/a/b.";

#[test]
fn a_snapshot_that_was_pruned_since_the_listing_stops_nothing() {
    let lab = tree();
    let gone = |short: &'static str| {
        move |world: &crate::model::World| {
            world
                .on("here", |here| here.destroy_snapshot(&snap(&format!("tank/a/b@{short}"))).expect("gone"));
        }
    };
    // The first of a full stream, one in the middle of a chain, and the base.
    lab.run_and("-r --no-sync-snap tank/a back/a", TURN, gone("1")).ok();
    lab.equal("tank/a/b", "back/a/b");
    lab.snapshot("tank/a/b@3");
    lab.snapshot("tank/a/b@4");
    lab.run_and("-r --no-sync-snap tank/a back/a", TURN, gone("3")).ok();
    assert_eq!(lab.snapshots("there", "back/a/b"), ["2", "4"]);
    lab.snapshot("tank/a/b@5");
    lab.run_and("-r --no-sync-snap tank/a back/a", TURN, gone("4")).ok();
    // From the one before, so what had the base is rolled back.
    assert_eq!(lab.snapshots("there", "back/a/b"), ["2", "5"]);
}

#[test]
fn a_snapshot_that_the_target_got_since_the_listing_is_named_and_goes() {
    let lab = tree();
    lab.run("-r --no-sync-snap tank/a back/a").ok();
    lab.snapshot("tank/a/b@3");
    let stray = |world: &crate::model::World| {
        world.on("there", |there| {
            there.write(&name("back/a/b"), 99, 1);
            there.snapshot(&[snap("back/a/b@x")]).expect("taken");
        });
    };
    lab.run_and("-r --no-sync-snap tank/a back/a", TURN, stray)
        .ok()
        .says("WARNING: rolling back to @2: destroying back/a/b@x");
    lab.equal("tank/a/b", "back/a/b");
    lab.snapshot("tank/a/b@4");
    lab.run_and("-r --no-sync-snap --no-rollback tank/a back/a", TURN, stray).status(2);
    assert_eq!(lab.snapshots("there", "back/a/b"), ["1", "2", "3", "x"]);
}

#[test]
fn a_dataset_that_vanished_is_passed_over_once_another_one_is_well() {
    let vanishes = |world: &crate::model::World| {
        world.on("here", |here| {
            for short in ["1", "2"] {
                here.destroy_snapshot(&snap(&format!("tank/a/b@{short}"))).expect("gone");
            }
            here.destroy(&name("tank/a/b")).expect("gone");
        });
    };
    for (line, status) in [
        ("-r --no-sync-snap tank/a back/a", 0),
        ("-r tank/a back/a", 0),
        ("-r --no-sync-snap --skip-parent tank/a back/a", 2),
        ("-r --skip-parent tank/a back/a", 2),
    ] {
        let lab = tree();
        lab.world.on("there", |there| {
            if line.contains("skip") {
                there.create(&name("back/a"), DatasetKind::Filesystem, &[]).expect("made");
            }
        });
        let told = lab.run_and(line, TURN, vanishes).status(status);
        let says = match status {
            0 => "WARNING: Skipping dataset (dataset no longer exists): tank/a/b...",
            _ => "CRITICAL ERROR: cannot open 'tank/a/b': dataset does not exist",
        };
        told.says(says);
    }
}

#[test]
fn a_clone_that_broke_off_is_resumed_and_stays_one() {
    let lab = Lab::new();
    lab.run("-r --no-sync-snap tank/a back/a").ok();
    lab.world.on("here", |here| {
        here.clone_snapshot(&snap("tank/a@2"), &name("tank/a/c"), &[]).expect("cloned");
    });
    lab.snapshot("tank/a/c@1");
    lab.world.inject(Fault::Cut { bytes: 1000 });
    let told = lab.run("-r --no-sync-snap tank/a back/a").ok();
    lab.world.all_struck();
    told.says("clone creation failed, trying ordinary").says("Resuming interrupted");
    assert_eq!(lab.world.on("there", |there| there.origin(&name("back/a/c"))), Some(snap("back/a@2")));
    lab.equal("tank/a/c", "back/a/c");
}

#[test]
fn a_hold_goes_from_a_base_that_was_renamed() {
    let lab = Lab::new();
    lab.run("--no-sync-snap --use-hold tank/a back/a").ok();
    lab.world.on("here", |here| {
        // One that has its name on both sides would be the base.
        here.destroy_snapshot(&snap("tank/a@1")).expect("gone");
        here.rename_snapshot(&snap("tank/a@2"), &snap("tank/a@two")).expect("renamed");
    });
    lab.snapshot("tank/a@3");
    lab.run("--no-sync-snap --use-hold tank/a back/a").ok();
    assert!(lab.holds("here", "tank/a@two").is_empty());
    assert!(lab.holds("there", "back/a@2").is_empty());
    assert_eq!(lab.holds("there", "back/a@3"), ["syncoid_me"]);
}
