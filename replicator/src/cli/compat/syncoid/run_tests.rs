//! Whole runs on the ZFS in memory: what both sides have afterwards, what was said, and how it ended.

use zfs_core::DatasetKind;

use super::lab::Lab;
use super::lab::name;
use super::lab::snap;
use super::run::End;
use crate::model::Fault;

#[test]
fn each_run_takes_a_snapshot_and_leaves_the_newest_only() {
    let lab = Lab::new();
    lab.run("tank/a back/a")
        .ok()
        .says("INFO: Sending oldest full snapshot tank/a@1 to new target filesystem back/a (~ ");
    lab.equal("tank/a", "back/a");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "syncoid_me"]);
    lab.snapshot("tank/a@3");
    lab.run("tank/a back/a").ok().says("INFO: Sending incremental tank/a@syncoid_me_");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "3", "syncoid_me"]);
    lab.equal("tank/a", "back/a");
    lab.run("--identifier=off --keep-sync-snap tank/a back/a").ok();
    lab.run("--identifier=off --keep-sync-snap tank/a back/a").ok();
    lab.run("tank/a back/a").ok();
    let all = ["1", "2", "3", "syncoid_off_me", "syncoid_off_me", "syncoid_me"];
    assert_eq!(lab.snapshots("here", "tank/a"), all);
    lab.equal("tank/a", "back/a");
    // One that is held keeps no other.
    lab.run("tank/a back/b").ok();
    lab.world.on("here", |here| {
        let held = here.dataset(&name("tank/a")).expect("there").snapshots.last().expect("one").short.clone();
        here.hold(&snap(&format!("tank/a@{held}")), "keep").expect("held");
    });
    lab.run("--keep-sync-snap tank/a back/b").ok();
    lab.run("tank/a back/b").ok().says("WARNING: zfs destroy tank/a@syncoid_me_");
    assert_eq!(lab.snapshots("here", "tank/a").iter().filter(|one| *one == "syncoid_me").count(), 2);
}

#[test]
fn what_is_there_is_sent_without_a_snapshot_of_its_own() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2"]);
    lab.run("--no-sync-snap tank/a back/a").ok().says("Nothing to do, not syncing.");
    lab.snapshot("tank/a@3");
    lab.snapshot("tank/a@4");
    lab.run("--no-sync-snap --no-stream tank/a back/a").ok();
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "4"]);
    lab.run("--no-sync-snap --no-stream tank/a back/new").ok().says("--no-stream selected; sending newest");
    assert_eq!(lab.snapshots("there", "back/new"), ["4"]);
}

#[test]
fn newer_snapshots_of_the_target_are_named_before_they_go() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    lab.stray("back/a@x");
    lab.stray("back/a@y");
    lab.snapshot("tank/a@3");
    // Nothing goes while nothing is sent, nor where it is not allowed.
    lab.run("--no-sync-snap --no-rollback tank/a back/a").status(2).says("CRITICAL ERROR: zfs send tank/a");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "x", "y"]);
    let told = lab.run("--no-sync-snap --quiet tank/a back/a").ok();
    assert_eq!(
        told.lines,
        ["x", "y"].map(|one| format!("WARNING: rolling back to @2: destroying back/a@{one}"))
    );
    lab.equal("tank/a", "back/a");
    // What was written goes, too, and there is no name to tell.
    lab.world.on("there", |there| there.write(&name("back/a"), 1, 1));
    lab.snapshot("tank/a@4");
    assert!(lab.run("--no-sync-snap --quiet tank/a back/a").ok().lines.is_empty());
    lab.equal("tank/a", "back/a");
}

#[test]
fn held_snapshots_of_the_target_stop_it() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    lab.stray("back/a@x");
    lab.world.on("there", |there| there.hold(&snap("back/a@x"), "keep").expect("held"));
    lab.snapshot("tank/a@3");
    lab.run("--no-sync-snap tank/a back/a").status(2);
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "x"]);
}

#[test]
fn nothing_in_common_stops_it_unless_it_may_destroy() {
    let lab = Lab::new();
    lab.world.on("there", |there| {
        there.create(&name("back/a"), DatasetKind::Filesystem, &[]).expect("made");
        there.create(&name("back/a/below"), DatasetKind::Filesystem, &[]).expect("made");
    });
    lab.stray("back/a@x");
    lab.stray("back/a/below@y");
    lab.run("--no-sync-snap tank/a back/a")
        .status(2)
        .says("Cowardly refusing to destroy your existing target.");
    assert_eq!(lab.snapshots("there", "back/a"), ["x"]);
    let told = lab.run("--force-delete tank/a back/a").ok();
    let gone: Vec<_> = told.lines.iter().filter(|line| line.contains("destroying")).collect();
    assert_eq!(gone.len(), 4, "{gone:?}");
    lab.equal("tank/a", "back/a");
    // The snapshot of the run was taken once.
    assert_eq!(lab.snapshots("here", "tank/a").iter().filter(|one| *one == "syncoid_me").count(), 1);
    // The root of a pool never goes.
    lab.world.on("there", |there| there.snapshot(&[snap("back@x")]).expect("taken"));
    lab.run("--no-sync-snap --force-delete tank/a back").status(2);
    assert_eq!(lab.snapshots("there", "back"), ["x"]);
}

#[test]
fn what_holds_the_source_is_never_destroyed_by_whatever_name_the_machine_goes() {
    let lab = Lab::new();
    lab.create("tank/backup");
    lab.create("tank/backup/a");
    lab.snapshot("tank/backup/a@1");
    lab.snapshot("tank/backup@x");
    let told = lab.run("--no-sync-snap --force-delete tank/backup/a tank/backup").status(2);
    let told = told.says("Cowardly refusing to destroy your existing target.");
    assert!(!told.lines.iter().any(|line| line.contains("destroying tank")), "{:?}", told.lines);
    assert_eq!(lab.snapshots("here", "tank/backup"), ["x"]);
    assert_eq!(lab.snapshots("here", "tank/backup/a"), ["1"]);
}

#[test]
fn one_snapshot_in_the_way_of_a_name_stops_it_unless_it_may_go() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    lab.stray("back/a@3");
    lab.snapshot("tank/a@3");
    lab.run("--no-sync-snap tank/a back/a").status(2).says("destination already exists");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "3"]);
    let told = lab.run("--no-sync-snap --force-delete tank/a back/a").ok();
    told.says("WARNING: removing existing destination: back/a@3");
    lab.equal("tank/a", "back/a");
}

#[test]
fn holds_move_on_with_each_run() {
    let lab = Lab::new();
    lab.run("--no-sync-snap --use-hold tank/a back/a").ok();
    lab.snapshot("tank/a@3");
    lab.run("--no-sync-snap --use-hold --identifier=x tank/a back/a").ok();
    lab.snapshot("tank/a@4");
    lab.run("--no-sync-snap --use-hold --identifier=x tank/a back/a").ok();
    for (machine, dataset) in [("here", "tank/a"), ("there", "back/a")] {
        assert_eq!(lab.holds(machine, &format!("{dataset}@2")), ["syncoid_me"]);
        assert!(lab.holds(machine, &format!("{dataset}@3")).is_empty());
        assert_eq!(lab.holds(machine, &format!("{dataset}@4")), ["syncoid_x_me"]);
    }
}

#[test]
fn holds_go_with_what_is_sent_where_asked() {
    let held = |lab: &Lab, text: &str, tag: &str| {
        lab.world.on("here", |here| here.hold(&snap(text), tag).expect("held"));
    };
    for (options, sent) in [
        ("--sendoptions=h", true),
        ("--sendoptions=Lh --recvoptions=u", true),
        ("--sendoptions=h --recvoptions=h", false),
        ("", false),
    ] {
        let lab = Lab::new();
        held(&lab, "tank/a@1", "keep me");
        held(&lab, "tank/a@2", "other");
        lab.run(&format!("--no-sync-snap {options} tank/a back/a")).ok();
        lab.snapshot("tank/a@3");
        held(&lab, "tank/a@3", "new");
        // What was there before gets nothing: no stream has it.
        held(&lab, "tank/a@2", "later");
        lab.run(&format!("--no-sync-snap {options} tank/a back/a")).ok();
        for (snapshot, tag) in [("1", "keep me"), ("2", "other"), ("3", "new")] {
            let tags = lab.holds("there", &format!("back/a@{snapshot}"));
            assert_eq!(tags, sent.then_some(tag).into_iter().collect::<Vec<_>>(), "{options} @{snapshot}");
        }
    }
}

#[test]
fn bookmarks_are_left_where_asked_and_lead_on() {
    let lab = Lab::new();
    lab.run("--no-sync-snap --create-bookmark tank/a back/a").ok();
    assert_eq!(lab.bookmarks(), ["2"]);
    lab.world.on("here", |here| {
        here.destroy_snapshot(&snap("tank/a@1")).expect("gone");
        here.destroy_snapshot(&snap("tank/a@2")).expect("gone");
    });
    lab.snapshot("tank/a@3");
    lab.snapshot("tank/a@4");
    lab.run("--no-sync-snap --create-bookmark tank/a back/a")
        .ok()
        .says("Sending incremental tank/a#2 ... 3 to back/a:");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2", "3", "4"]);
    assert_eq!(lab.bookmarks(), ["2", "4"]);
    // Another of the name.
    lab.snapshot("tank/a@5");
    lab.world.on("here", |here| {
        here.bookmark(&[("tank/a#5".parse().expect("a name"), snap("tank/a@3").into())]).expect("made");
    });
    lab.run("--no-sync-snap --create-bookmark tank/a back/a").ok().says("retrying with guid based suffix");
    let marks = lab.bookmarks();
    assert!(
        marks.len() == 4 && marks.iter().any(|mark| mark.len() == 7 && mark.starts_with('5')),
        "{marks:?}"
    );
}

#[test]
fn what_only_the_target_has_goes_where_asked() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    lab.world.on("here", |here| here.destroy_snapshot(&snap("tank/a@1")).expect("gone"));
    // Only after something was sent.
    lab.run("--no-sync-snap --delete-target-snapshots tank/a back/a").ok();
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2"]);
    lab.snapshot("tank/a@3");
    lab.run("--no-sync-snap --delete-target-snapshots tank/a back/a").ok().says("destroying back/a@1");
    lab.equal("tank/a", "back/a");
}

#[test]
fn trees_go_with_their_clones_and_without_what_is_left_out() {
    let lab = Lab::new();
    for one in ["tank/a/b", "tank/a/skip", "tank/a/not me", "tank/a/off"] {
        lab.create(one);
        lab.snapshot(&format!("{one}@1"));
    }
    lab.world.on("here", |here| {
        here.clone_snapshot(&snap("tank/a@2"), &name("tank/a/a clone"), &[]).expect("cloned");
        let set = |value: &str| vec![("syncoid:sync".to_string(), value.to_string())];
        here.set_properties(&name("tank/a/off"), &set("false")).expect("set");
        here.set_properties(&name("tank/a/not me"), &set("you,they")).expect("set");
        here.set_properties(&name("tank/a/b"), &set("you,me")).expect("set");
    });
    lab.snapshot("tank/a/a clone@1");
    let told = lab.run("-r --no-sync-snap --exclude-datasets=/skip$ tank/a back/a").ok();
    let told = told.says("INFO: Skipping dataset (syncoid:sync=false): tank/a/off...");
    let told = told.says("INFO: Skipping dataset (syncoid:sync doesn't include me): tank/a/not me...");
    told.says("Clone is recreated on target back/a/a clone based on tank/a@2");
    let has =
        lab.world.on("there", |there| there.datasets().map(|(name, _)| name.to_string()).collect::<Vec<_>>());
    assert_eq!(has, ["back", "back/a", "back/a/a clone", "back/a/b"]);
    assert_eq!(lab.world.on("there", |there| there.origin(&name("back/a/a clone"))), Some(snap("back/a@2")));
    lab.equal("tank/a/a clone", "back/a/a clone");
    lab.run("-r --no-sync-snap --no-clone-handling tank/a back/full").ok();
    assert_eq!(lab.world.on("there", |there| there.origin(&name("back/full/a clone"))), None);
    lab.world.on("there", |there| there.create(&name("back/p"), DatasetKind::Filesystem, &[]).expect("made"));
    lab.run("-r --no-sync-snap --skip-parent tank/a back/p").ok();
    assert!(lab.snapshots("there", "back/p").is_empty());
    lab.equal("tank/a/b", "back/p/b");
}

#[test]
fn a_clone_whose_origin_did_not_arrive_is_sent_in_full() {
    let lab = Lab::new();
    lab.world.on("here", |here| {
        here.clone_snapshot(&snap("tank/a@1"), &name("tank/a/c"), &[]).expect("cloned");
    });
    lab.snapshot("tank/a/c@1");
    lab.run("-r --no-sync-snap --no-stream tank/a back/a")
        .ok()
        .says("clone creation failed, trying ordinary");
    lab.equal("tank/a/c", "back/a/c");
}

#[test]
fn the_origin_of_a_clone_is_found_anywhere_in_the_pool_of_the_target() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/elsewhere").ok();
    lab.world.on("here", |here| {
        here.clone_snapshot(&snap("tank/a@1"), &name("tank/a/c"), &[]).expect("cloned");
    });
    lab.snapshot("tank/a/c@1");
    // The newest snapshot alone goes to back/a, and the origin is the one before.
    lab.run("-r --no-sync-snap --no-stream tank/a back/a").ok().says("Clone is recreated on target back/a/c");
    assert_eq!(
        lab.world.on("there", |there| there.origin(&name("back/a/c"))),
        Some(snap("back/elsewhere@1"))
    );
    lab.equal("tank/a/c", "back/a/c");
}

#[test]
fn what_broke_off_is_resumed_or_thrown_away() {
    for (line, resumes) in [("--no-sync-snap", true), ("--no-sync-snap --no-resume", false)] {
        let lab = Lab::new();
        lab.run("--no-sync-snap tank/a back/a").ok();
        lab.snapshot("tank/a@3");
        lab.world.inject(Fault::Cut { bytes: 1000 });
        lab.run(&format!("{line} tank/a back/a")).status(2);
        lab.world.all_struck();
        let partial =
            lab.world.on("there", |there| there.dataset(&name("back/a")).expect("there").has_partial());
        assert_eq!(partial, resumes);
        lab.snapshot("tank/a@4");
        let told = lab.run(&format!("{line} tank/a back/a")).ok();
        assert_eq!(told.lines.iter().any(|line| line.contains("Resuming interrupted")), resumes);
        lab.equal("tank/a", "back/a");
    }
}

#[test]
fn a_token_of_what_is_gone_is_reset() {
    let lab = Lab::new();
    lab.run("--no-sync-snap tank/a back/a").ok();
    lab.snapshot("tank/a@3");
    lab.world.inject(Fault::Cut { bytes: 1000 });
    lab.run("--no-sync-snap tank/a back/a").status(2);
    lab.world.on("here", |here| here.destroy_snapshot(&snap("tank/a@3")).expect("gone"));
    lab.snapshot("tank/a@4");
    lab.run("--no-sync-snap tank/a back/a").ok().says("WARNING: resetting partially receive state");
    lab.equal("tank/a", "back/a");
}

#[test]
fn nothing_to_send_is_told_by_the_status() {
    let lab = Lab::new();
    lab.create("tank/empty");
    let told = lab.run("--no-sync-snap tank/empty back/e");
    assert!(matches!(&told.end, Err(End::Dead(text)) if text.starts_with("CRIT: --no-sync-snap is set")));
    lab.run("-r --no-sync-snap --skip-parent tank back").status(2).says("Continuing.");
    assert_eq!(lab.snapshots("there", "back/a"), ["1", "2"], "the others went on");
    lab.run("--exclude-snaps=. tank/empty back/e").status(1).says("CRITICAL: no snapshots exist on source");
    lab.run("tank/missing back/m").status(2).says("does not exist");
    lab.run("-r tank/missing back/m").status(2).says("CRITICAL ERROR: no datasets found");
}

#[test]
fn an_error_in_a_listing_is_no_empty_side() {
    let mut struck = 0;
    for machine in ["here", "there"] {
        for number in 1..=6 {
            let lab = Lab::new();
            lab.world.on("there", |there| {
                there.create(&name("back/a"), DatasetKind::Filesystem, &[]).expect("made");
            });
            lab.stray("back/a@x");
            lab.world.inject(Fault::Listing { machine: machine.to_string(), number });
            let told = lab.run("--no-sync-snap --force-delete tank/a back/a");
            if !lab.world.disarm().is_empty() {
                continue;
            }
            struck += 1;
            // What was not yet destroyed stays, and no listing that failed counts as one of nothing.
            let stays = lab.snapshots("there", "back/a");
            match &told.end {
                Err(End::Dead(text)) => assert!(text.contains("couldn't be listed"), "{text}"),
                Ok(status) => assert!(*status > 0, "{:#?}", told.lines),
                Err(End::Interrupted) => panic!("nobody interrupted it"),
            }
            assert!(stays == ["x"] || stays.is_empty() || stays[0] == "1", "{stays:?}");
            if matches!(told.end, Err(End::Dead(_))) {
                assert_eq!(stays, ["x"]);
            }
        }
    }
    assert!(struck >= 5, "{struck}");
}

#[test]
fn properties_are_kept_where_asked() {
    let lab = Lab::new();
    lab.world.on("here", |here| {
        let set = [("recordsize", "8192"), ("atime", "off"), ("org.example:x", "y")];
        let set: Vec<_> =
            set.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
        here.set_properties(&name("tank/a"), &set).expect("set");
    });
    let has = |dataset: &str| {
        lab.world.on("there", |there| {
            let set = &there.dataset(&name(dataset)).expect("there").set;
            set.iter().map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>()
        })
    };
    lab.run("--no-sync-snap tank/a back/none").ok();
    assert!(has("back/none").is_empty());
    lab.run("--no-sync-snap --preserve-recordsize tank/a back/size").ok();
    assert_eq!(has("back/size"), ["recordsize=8192"]);
    lab.run("--no-sync-snap --preserve-properties tank/a back/all").ok();
    assert_eq!(has("back/all"), ["atime=off", "org.example:x=y", "recordsize=8192"]);
    let options = "--preserve-properties --recvoptions=o+compression=zstd+x+atime";
    lab.run(&format!("--no-sync-snap {options} tank/a back/some")).ok();
    assert_eq!(has("back/some"), ["compression=zstd", "org.example:x=y", "recordsize=8192"]);
}
