//! Snapshots that are taken and destroyed by a policy, on real ZFS: what a survey sees, calls in which one name is bad,
//! and what must not be destroyed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use replicator::cancel::Cancel;
use replicator::config::Config;
use replicator::config::place::Source;
use replicator::pools::Pools;
use replicator::prune;
use replicator::prune::Protections;
use replicator::survey::Survey;
use replicator::survey::SurveyError;
use replicator::take;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::name::SnapshotName;

use crate::pool::*;

fn config(text: &str) -> Config {
    let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text.to_string())]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

fn survey(pool: &Pool, text: &str) -> Survey {
    Survey::new(&pool.zfs, &config(text)).expect("a survey")
}

fn now() -> Timestamp {
    replicator::clock::now()
}

/// Every snapshot of the pool, by the zfs command.
fn listed(pool: &Pool) -> BTreeSet<String> {
    let list = pool.zfs_command(&["list", "-H", "-r", "-t", "snapshot", "-o", "name", pool.root().as_str()]);
    list.lines().map(str::to_string).collect()
}

fn text(pool: &Pool, more: &str) -> String {
    format!("[[dataset]]\nname = \"{}\"\nrecursive = true\n{more}", pool.root())
}

#[test]
fn a_survey_sees_what_the_zfs_command_shows() {
    let pool = Pool::new();
    let (a, folder) = pool.mounted("a");
    pool.filesystem("a/b c");
    pool.snapshot("a@one");
    write_noise(&folder.join("file"), 300_000, 1);
    pool.zpool(&["sync"]);
    pool.snapshot("a@two");
    pool.zfs.hold(&[(pool.snap("a@one"), tag("mine"))]).expect("held");
    pool.zfs_command(&["clone", pool.snap("a@two").as_str(), pool.dataset("clone").as_str()]);
    pool.zfs_command(&["set", "my.own:policy=gold", a.as_str()]);

    let found = survey(&pool, &text(&pool, "hourly = 3\n"));
    assert!(found.troubles.is_empty(), "{:?}", found.troubles);
    assert_eq!(found.datasets.len(), 4);
    let seen = &found.datasets[&a];
    for (at, short) in ["one", "two"].into_iter().enumerate() {
        let name = format!("{a}@{short}");
        let get = pool.zfs_command(&["get", "-Hp", "-o", "value", "guid,creation,createtxg", &name]);
        let values: Vec<u64> = get.lines().map(|line| line.parse().expect("a number")).collect();
        let one = &seen.snapshots[at];
        let creation = u64::try_from(one.creation).expect("a date");
        assert_eq!(
            (one.name.as_str(), one.guid.0, creation, one.createtxg.0),
            (&*name, values[0], values[1], values[2])
        );
    }
    assert_eq!(seen.held, BTreeSet::from([seen.snapshots[0].guid]));
    assert_eq!(seen.cloned.get(&seen.snapshots[1].guid), Some(&Some(pool.dataset("clone"))));
    let written = pool.zfs_command(&["get", "-Hp", "-o", "value", "written", a.as_str()]);
    assert_eq!(seen.written.to_string(), written.trim());
    let capacity = pool.zpool(&["list", "-Hp", "-o", "capacity", pool.root().as_str()]);
    assert_eq!(found.capacity[pool.root().as_str()].to_string(), capacity.trim());

    // By a user property, which is inherited.
    let by_property =
        survey(&pool, "[[dataset]]\nproperty = \"my.own:policy\"\nvalue = \"gold\"\nhourly = 3\n");
    let names: Vec<_> = by_property.datasets.keys().map(ToString::to_string).collect();
    assert_eq!(names, [a.to_string(), format!("{a}/b c")]);

    // A pool that is not there is trouble, and the other one goes on.
    let both = format!("{}\n[[dataset]]\nname = \"nosuchpool/x\"\nhourly = 1\n", text(&pool, "hourly = 3\n"));
    let found = survey(&pool, &both);
    assert_eq!(found.datasets.len(), 4);
    assert!(matches!(found.troubles[0].error, SurveyError::NotImported { .. }));
    assert_eq!(found.missing().count(), 0);
}

#[test]
fn what_is_due_is_taken_in_as_few_calls_as_the_kernel_allows() {
    let pool = Pool::new();
    for below in ["a", "a/b", "c"] {
        pool.filesystem(below);
    }
    let text = text(&pool, "hourly = 3\ndaily = 3\nmonthly = 3\n");
    let found = survey(&pool, &text);
    let plan = take::plan(&found, &BTreeSet::new(), now());
    assert_eq!((plan.count(), plan.calls.len()), (12, 3));
    let report = take::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.calls, 3);
    let taken: BTreeSet<_> = report.taken.iter().map(ToString::to_string).collect();
    assert_eq!(taken, listed(&pool));
    // Those of a call share their transaction group.
    let found = survey(&pool, &text);
    let groups: BTreeSet<_> =
        found.datasets.values().flat_map(|seen| &seen.snapshots).map(|one| one.createtxg).collect();
    assert_eq!(groups.len(), 3, "{groups:?}");
    // And then nothing is due.
    assert_eq!(take::plan(&found, &BTreeSet::new(), now()).count(), 0);
}

#[test]
fn a_tree_is_taken_in_one_under_one_name_without_what_is_excluded() {
    let pool = Pool::new();
    for below in ["a", "a/b", "a/scratch", "a/scratch/deep"] {
        pool.filesystem(below);
    }
    let text = format!(
        "[[dataset]]\nname = \"{}\"\nrecursive = \"atomic\"\nexclude = [\"scratch\"]\nhourly = 3\n",
        pool.dataset("a")
    );
    let plan = take::plan(&survey(&pool, &text), &BTreeSet::new(), now());
    let report = take::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    assert!(report.is_success() && report.calls == 1, "{report:?}");
    let datasets: BTreeSet<_> = report.taken.iter().map(|name| name.dataset().clone()).collect();
    assert_eq!(datasets, BTreeSet::from([pool.dataset("a"), pool.dataset("a/b")]));
    let shorts: BTreeSet<_> = report.taken.iter().map(SnapshotName::short).collect();
    assert_eq!(shorts.len(), 1);
}

#[test]
fn a_bad_name_in_a_call_is_told_and_the_others_are_taken() {
    let pool = Pool::new();
    for below in ["a", "b", "c", "d"] {
        pool.filesystem(below);
    }
    let found = survey(&pool, &text(&pool, "hourly = 3\n"));
    let plan = take::plan(&found, &BTreeSet::new(), now());
    assert_eq!((plan.count(), plan.calls.len()), (5, 1));
    // Since it was planned: one is gone, and of one somebody took the same.
    pool.zfs_command(&["destroy", pool.dataset("b").as_str()]);
    let same = plan.calls[0]
        .snapshots
        .iter()
        .find(|(_, name)| *name.dataset() == pool.dataset("c"))
        .expect("planned");
    pool.zfs.snapshot(std::slice::from_ref(&same.1), &PropertySet::new()).expect("taken");
    let report = take::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    let failed: Vec<_> =
        report.failed.iter().map(|(name, fault)| (name.dataset().clone(), fault.kind)).collect();
    assert_eq!(failed, [(pool.dataset("b"), ErrorKind::NotFound)]);
    assert_eq!(report.existing, std::slice::from_ref(&same.1));
    assert_eq!(report.taken.len(), 3);
    assert_eq!(listed(&pool).len(), 4);
}

#[test]
fn hooks_that_hang_fail_print_without_end_or_fork_keep_no_snapshot_from_the_others() {
    let pool = Pool::new();
    let mut text = String::new();
    for (below, hook) in [
        (
            "hangs",
            "{ run = \"sh -c 'trap : TERM; while :; do sleep 1; done'\", timeout = \"1s\", on_failure = \"stop\" }",
        ),
        ("fails", "{ run = \"exit 1\", on_failure = \"stop\" }"),
        ("prints", "{ run = \"head -c 1000000000 /dev/zero\", timeout = \"120s\", on_failure = \"stop\" }"),
        (
            "forks",
            "{ run = \"for i in 1 2 3; do sleep 1234 & done; sleep 1234\", timeout = \"1s\", on_failure = \"stop\" }",
        ),
        ("fine", "\"true\""),
    ] {
        let name = pool.filesystem(below);
        text.push_str(&format!("[[dataset]]\nname = \"{name}\"\nhourly = 3\npre_snapshot = {hook}\n"));
    }
    let plan = take::plan(&survey(&pool, &text), &BTreeSet::new(), now());
    let report = take::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    let taken: BTreeSet<_> = report.taken.iter().map(|name| name.dataset().clone()).collect();
    assert_eq!(taken, BTreeSet::from([pool.dataset("prints"), pool.dataset("fine")]), "{report:?}");
    assert_eq!(report.passed_over.len(), 3);
    let left = Command::new("pgrep").args(["-f", "^sleep 1234$"]).output().expect("pgrep");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "some are still there");
}

/// Hourly snapshots of the last two days, named as a policy names them, all of now by the kernel's clock.
fn old_ones(pool: &Pool, below: &str, count: usize) -> Vec<SnapshotName> {
    let names: Vec<_> = (0..count)
        .map(|n| {
            let at = now().as_second() - (2 * 86_400 - n as i64 * 60);
            let time = Timestamp::from_second(at).expect("a time").strftime("%Y-%m-%d_%H:%M:%S").to_string();
            pool.snap(&format!("{below}@autosnap_{time}_hourly"))
        })
        .collect();
    for name in &names {
        pool.zfs.snapshot(std::slice::from_ref(name), &PropertySet::new()).expect("taken");
    }
    names
}

/// Four days later, when all of these may go by their age.
fn later() -> Timestamp {
    Timestamp::from_second(now().as_second() + 4 * 86_400).expect("a time")
}

#[test]
fn what_may_go_goes_and_what_is_in_use_stays_and_is_named() {
    let pool = Pool::new();
    pool.filesystem("a");
    pool.filesystem("b");
    let names = old_ones(&pool, "a", 20);
    old_ones(&pool, "b", 5);
    pool.snapshot("a@mine");
    pool.zfs.hold(&[(names[3].clone(), tag("keep"))]).expect("held");
    pool.zfs_command(&["clone", names[5].as_str(), pool.dataset("clone").as_str()]);
    let found = survey(&pool, &text(&pool, "hourly = 2\n"));
    let mut protections = Protections::new();
    prune::own_needs(&found, &std::collections::BTreeMap::new(), &mut protections);
    let plan = prune::plan(&found, &BTreeSet::new(), &protections, later());
    assert_eq!(plan.count(), 16 + 3);
    let in_use: Vec<_> = plan
        .datasets
        .iter()
        .flat_map(replicator::prune::DatasetPlan::in_use)
        .map(|one| one.snapshot.name.clone())
        .collect();
    assert_eq!(in_use, [names[3].clone(), names[5].clone()]);

    // Since it was planned: one is held, one has a clone, and one is another one under the same name.
    pool.zfs.hold(&[(names[7].clone(), tag("late"))]).expect("held");
    pool.zfs_command(&["clone", names[8].as_str(), pool.dataset("clone2").as_str()]);
    pool.zfs_command(&["destroy", names[9].as_str()]);
    pool.zfs.snapshot(std::slice::from_ref(&names[9]), &PropertySet::new()).expect("taken");
    // And one is gone already.
    pool.zfs_command(&["destroy", names[10].as_str()]);
    let report = prune::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    assert!(!report.is_success());
    let failed: BTreeSet<_> = report.failed.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(failed, names[7..10].iter().cloned().collect());
    assert_eq!((report.destroyed.len(), report.calls), (16, 1));
    let left = listed(&pool);
    for kept in [3, 5, 7, 8, 9, 18, 19] {
        assert!(left.contains(names[kept].as_str()), "{} is gone", names[kept]);
    }
    assert!(left.contains(pool.snap("a@mine").as_str()), "it is nobody's to destroy");
    assert_eq!(left.len(), 7 + 1 + 2);
    // Nothing was put off: when the hold goes, the snapshot stays.
    pool.zfs.release(&[(names[7].clone(), tag("late"))]).expect("released");
    assert!(listed(&pool).contains(names[7].as_str()));
    assert_eq!(pool.zfs.holds(&names[7]).expect("read").len(), 0);
}

#[test]
fn of_many_that_go_each_call_takes_a_thousand() {
    let pool = Pool::new();
    pool.filesystem("a");
    let count = 1203;
    old_ones(&pool, "a", count);
    let found = survey(&pool, &text(&pool, "hourly = 2\n"));
    let nothing = Protections::new();
    let plan = prune::plan(&found, &BTreeSet::new(), &nothing, later());
    let report = prune::carry_out(&plan, &pool.zfs, &Cancel::new(), &|_| {});
    assert!(report.is_success(), "{report:?}");
    assert_eq!((report.destroyed.len(), report.calls), (count - 2, 2));
    assert_eq!(listed(&pool).len(), 2);
}

#[test]
fn nothing_is_destroyed_under_a_guid_that_is_not_its_own() {
    let pool = Pool::new();
    pool.filesystem("a");
    let name = pool.snapshot("a@x");
    let outcome = Pools::destroy(&pool.zfs, &[(name.clone(), Guid(1))]);
    assert!(outcome.gone.is_empty() && outcome.failed.len() == 1);
    assert!(listed(&pool).contains(name.as_str()));
}
