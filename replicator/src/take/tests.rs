//! Which names in which calls, and what becomes of names that are refused, on pools that are a table in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::dataset::Known;
use crate::config::place::Source;
use crate::policy::Snapshot;
use crate::pools::Destroyed;
use crate::pools::Fault;
use crate::pools::Pools;
use crate::pools::Refused;
use crate::survey::Seen;
use crate::survey::Survey;

const NOW: &str = "2026-11-22T18:15:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(crate) fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// These datasets with these snapshots, dated by their names, under a configuration.
pub(crate) fn survey(text: &str, datasets: &[(&str, u64, &[&str])]) -> Survey {
    let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text.to_string())]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    let known: Vec<_> = datasets.iter().map(|(dataset, ..)| Known::new(name(dataset))).collect();
    let seen = datasets.iter().map(|(dataset, written, snapshots)| {
        let snapshots = snapshots.iter().enumerate().map(|(n, short)| {
            let time = format!("{}T{}Z", &short[9..19], &short[20..28]);
            Snapshot {
                name: name(dataset).snapshot(short).expect("a name"),
                guid: Guid(n as u64),
                createtxg: Txg(n as u64),
                creation: at(&time).as_second(),
            }
        });
        let seen = Seen {
            name: name(dataset),
            guid: Guid(1),
            kind: DatasetKind::Filesystem,
            written: *written,
            origin: None,
            snapshots: snapshots.collect(),
            cloned: BTreeMap::new(),
            held: BTreeSet::new(),
        };
        (name(dataset), seen)
    });
    Survey { resolved: config.policies.resolve(&known), datasets: seen.collect(), ..Survey::default() }
}

fn planned(survey: &Survey) -> Plan {
    plan(survey, &BTreeSet::new(), at(NOW))
}

fn calls(plan: &Plan) -> Vec<Vec<&str>> {
    plan.calls.iter().map(|call| call.snapshots.iter().map(|(_, name)| name.as_str()).collect()).collect()
}

const ALL: &str = "[template.t]\nhourly = 3\ndaily = 3\n\n[[dataset]]\nname = \"tank\"\nuse = \"t\"\n";

#[test]
fn a_pool_takes_as_many_calls_as_the_most_that_one_dataset_gets() {
    let text = format!(
        "{ALL}recursive = true\n[[dataset]]\nname = \"other\"\nuse = \"t\"\n[[dataset]]\nname = \"tank/b\"\nmonthly = 1\n"
    );
    let taken = "autosnap_2026-11-22_18:00:00_hourly";
    let survey =
        survey(&text, &[("tank", 1, &[]), ("tank/a", 1, &[taken]), ("tank/b", 1, &[]), ("other", 1, &[])]);
    let plan = planned(&survey);
    let t = "2026-11-22_18:15:00";
    assert_eq!(
        calls(&plan),
        [
            vec![format!("other@autosnap_{t}_daily")],
            vec![format!("other@autosnap_{t}_hourly")],
            vec![
                format!("tank@autosnap_{t}_daily"),
                format!("tank/a@autosnap_{t}_daily"),
                format!("tank/b@autosnap_{t}_monthly")
            ],
            vec![format!("tank@autosnap_{t}_hourly"), format!("tank/b@autosnap_{t}_daily")],
            vec![format!("tank/b@autosnap_{t}_hourly")],
        ]
    );
    assert_eq!(plan.count(), 8);
}

#[test]
fn what_belongs_together_is_in_one_call_under_one_name() {
    let text = format!("{ALL}recursive = \"atomic\"\nexclude = [\"x\"]\n");
    let survey =
        survey(&text, &[("tank", 1, &[]), ("tank/a", 1, &[]), ("tank/a/b", 1, &[]), ("tank/x", 1, &[])]);
    let plan = planned(&survey);
    assert_eq!(plan.units.len(), 1);
    let t = "2026-11-22_18:15:00";
    let tree =
        |period| ["tank", "tank/a", "tank/a/b"].map(|one| format!("{one}@autosnap_{t}_{period}")).to_vec();
    assert_eq!(calls(&plan), [tree("daily"), tree("hourly")]);
}

#[test]
fn one_where_nothing_was_written_is_passed_over_if_that_is_wanted() {
    let old = "autosnap_2026-11-20_18:00:00_hourly";
    for (skip, written, snapshots, taken) in [
        (true, 0, vec![old], false),
        (true, 1, vec![old], true),
        // The first one holds what there is.
        (true, 0, vec![], true),
        (false, 0, vec![old], true),
    ] {
        let text = format!("{ALL}skip_unwritten = {skip}\n");
        let plan = planned(&survey(&text, &[("tank", written, &snapshots)]));
        assert_eq!(plan.count() > 0, taken, "{skip} {written} {snapshots:?}");
        assert_eq!(plan.units[0].skipped.is_some(), !taken);
    }
    // Of a tree, something in any part of it counts.
    let text = format!("{ALL}skip_unwritten = true\nrecursive = \"atomic\"\n");
    for (below, taken) in [(0, 0), (1, 4)] {
        let plan = planned(&survey(&text, &[("tank", 0, &[old]), ("tank/a", below, &[old])]));
        assert_eq!(plan.count(), taken);
    }
}

#[test]
fn only_what_is_wanted_is_taken() {
    let survey = survey(&format!("{ALL}recursive = true\n"), &[("tank", 1, &[]), ("tank/a", 1, &[])]);
    let plan = plan(&survey, &BTreeSet::from([name("tank/a")]), at(NOW));
    assert!(calls(&plan).iter().flatten().all(|name| name.starts_with("tank/a@")));
    assert_eq!(plan.count(), 2);
}

#[test]
fn the_second_of_an_hour_that_comes_twice_has_a_name_of_its_own() {
    let text = "[[dataset]]\nname = \"tank\"\nhourly = 3\ntimezone = \"Europe/Berlin\"\nname_timezone = \"Europe/Berlin\"\n";
    // 02:00 came at 00:00 UTC, and comes again at 01:00 UTC.
    let mut survey = survey(text, &[("tank", 1, &["autosnap_2026-10-25_02:00:00_hourly"])]);
    let first = &mut survey.datasets.get_mut("tank").expect("there").snapshots[0];
    first.creation = at("2026-10-25T00:00:00Z").as_second();
    let plan = plan(&survey, &BTreeSet::new(), at("2026-10-25T01:00:00Z"));
    assert_eq!(calls(&plan), [["tank@autosnap_2026-10-25_02:00:00dst_hourly"]]);
}

/// Refuses some datasets, with or without naming them, and knows what was taken.
#[derive(Default)]
struct Table {
    refuses: BTreeMap<&'static str, ErrorKind>,
    silent: bool,
    taken: RefCell<Vec<String>>,
    calls: RefCell<usize>,
}

fn fault(kind: ErrorKind) -> Fault {
    Fault { kind, text: kind.to_string(), hint: None }
}

impl Pools for Table {
    fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused> {
        *self.calls.borrow_mut() += 1;
        let datasets: BTreeSet<_> = snapshots.iter().map(SnapshotName::dataset).collect();
        assert_eq!(datasets.len(), snapshots.len(), "the kernel takes one of a dataset in a call");
        assert!(!snapshots.is_empty() && datasets.iter().all(|one| one.pool() == snapshots[0].pool()));
        let kind = |name: &SnapshotName| self.refuses.get(name.dataset().as_str()).copied();
        let bad: Vec<_> =
            snapshots.iter().filter_map(|name| Some((name.to_string(), fault(kind(name)?)))).collect();
        match bad.first() {
            None => {
                self.taken.borrow_mut().extend(snapshots.iter().map(ToString::to_string));
                Ok(())
            }
            Some((_, whole)) => {
                Err(Refused { whole: whole.clone(), names: if self.silent { Vec::new() } else { bad } })
            }
        }
    }

    fn destroy(&self, _: &[(SnapshotName, Guid)]) -> Destroyed {
        panic!("nothing is destroyed")
    }

    fn holds(&self, _: &SnapshotName) -> Result<Vec<String>, Fault> {
        panic!("nobody asks")
    }
}

fn hourly(datasets: usize) -> Survey {
    let names: Vec<String> = (0..datasets).map(|n| format!("tank/d{n}")).collect();
    let list: Vec<(&str, u64, &[&str])> = names.iter().map(|name| (name.as_str(), 1, &[][..])).collect();
    survey("[[dataset]]\npattern = \"tank/*\"\nhourly = 3\n", &list)
}

fn carried(table: &Table, plan: &Plan) -> Report {
    carry_out(plan, table, &Cancel::new(), &|_| {})
}

#[test]
fn a_name_that_is_refused_is_told_and_the_others_are_taken() {
    for silent in [false, true] {
        let refuses = BTreeMap::from([
            ("tank/d2", ErrorKind::NotFound),
            ("tank/d5", ErrorKind::QuotaExceeded),
            ("tank/d6", ErrorKind::Exists),
        ]);
        let table = Table { refuses, silent, ..Table::default() };
        let report = carried(&table, &planned(&hourly(8)));
        assert_eq!(report.taken.len(), 5, "{report:?}");
        let failed: BTreeSet<_> = report.failed.iter().map(|(name, _)| name.dataset().as_str()).collect();
        assert_eq!(failed, BTreeSet::from(["tank/d2", "tank/d5"]));
        assert_eq!(report.existing.len(), 1, "somebody else took it");
        assert!(!report.is_success());
        assert_eq!(report.calls, *table.calls.borrow());
        assert_eq!(table.taken.borrow().len(), 5);
    }
}

#[test]
fn one_that_exists_already_is_no_failure() {
    let table = Table { refuses: BTreeMap::from([("tank/d1", ErrorKind::Exists)]), ..Table::default() };
    let report = carried(&table, &planned(&hourly(3)));
    assert!(report.is_success(), "{report:?}");
    assert_eq!((report.taken.len(), report.existing.len(), report.calls), (2, 1, 2));
}

#[test]
fn a_pool_that_is_full_is_not_asked_for_each_dataset() {
    let refuses = [0, 1, 2, 3].map(|n| (["tank/d0", "tank/d1", "tank/d2", "tank/d3"][n], ErrorKind::NoSpace));
    let table = Table { refuses: refuses.into(), silent: true, ..Table::default() };
    let report = carried(&table, &planned(&hourly(4)));
    assert_eq!((report.failed.len(), report.calls), (4, 1));
}

/// The configuration with hooks that write their names to a file, and what they wrote.
fn with_hooks(settings: &str) -> (Report, Vec<String>, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let text = settings.replace(
        "LOG",
        &format!("echo $REPLICATOR_SCRIPT $SANOID_TARGET $SANOID_PRE_FAILURE >> {}", file.display()),
    );
    let text = format!("[[dataset]]\nname = [\"tank/a\", \"tank/b\"]\nhourly = 3\n{text}");
    let survey = survey(&text, &[("tank/a", 1, &[]), ("tank/b", 1, &[])]);
    let table = Table::default();
    let report = carried(&table, &planned(&survey));
    let log = std::fs::read_to_string(&file).unwrap_or_default();
    let taken = table.taken.borrow().len();
    (report, log.lines().map(|line| line.trim().to_string()).collect(), taken)
}

#[test]
fn hooks_run_before_and_after_and_stop_what_they_stand_before_if_that_is_wanted() {
    let (report, log, taken) = with_hooks("pre_snapshot = \"LOG\"\npost_snapshot = \"LOG\"\n");
    assert!(report.is_success() && report.happenings.is_empty(), "{report:?}");
    assert_eq!(log, ["pre tank/a", "pre tank/b", "post tank/a 0", "post tank/b 0"]);
    assert_eq!(taken, 2);

    let fails = "{ run = \"LOG; [ $SANOID_TARGET != tank/a ]\", on_failure = \"stop\" }";
    let (report, log, taken) = with_hooks(&format!("pre_snapshot = {fails}\npost_snapshot = \"LOG\"\n"));
    assert!(!report.is_success());
    assert_eq!(report.passed_over, BTreeSet::from([name("tank/a")]));
    assert_eq!(log, ["pre tank/a", "pre tank/b", "post tank/b 0"]);
    assert_eq!(taken, 1);

    // One that is always wanted runs after a failure as well.
    let always = "{ run = \"LOG\", always = true }";
    let (_, log, _) = with_hooks(&format!("pre_snapshot = {fails}\npost_snapshot = {always}\n"));
    assert_eq!(log, ["pre tank/a", "pre tank/b", "post tank/a 1", "post tank/b 0"]);

    // A failure that does not matter is told, and no failure.
    let (report, _, taken) = with_hooks("pre_snapshot = \"echo no; exit 1\"\n");
    assert!(report.is_success());
    assert_eq!(report.happenings[0].text, "pre_snapshot ended with status 1: no");
    assert_eq!((report.happenings.len(), taken), (2, 2));
}

#[test]
fn a_run_that_is_to_stop_takes_nothing_more_and_still_runs_what_comes_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let text = format!(
        "[[dataset]]\nname = \"tank/a\"\nhourly = 3\npre_snapshot = \"true\"\npost_snapshot = \"echo x >> {}\"\n",
        file.display()
    );
    let survey = survey(&text, &[("tank/a", 1, &[])]);
    let plan = planned(&survey);
    /// Is told to stop by the first call.
    struct Stops(Cancel, Table);
    impl Pools for Stops {
        fn take(&self, snapshots: &[SnapshotName]) -> Result<(), Refused> {
            self.0.cancel();
            self.1.take(snapshots)
        }
        fn destroy(&self, _: &[(SnapshotName, Guid)]) -> Destroyed {
            Destroyed::default()
        }
        fn holds(&self, _: &SnapshotName) -> Result<Vec<String>, Fault> {
            Ok(Vec::new())
        }
    }
    let stops = Stops(Cancel::new(), Table::default());
    let mut twice = plan.clone();
    twice.calls.push(plan.calls[0].clone());
    let report = carry_out(&twice, &stops, &stops.0, &|_| {});
    assert!(report.interrupted && !report.is_success());
    assert_eq!(report.calls, 1);
    assert_eq!(std::fs::read_to_string(&file).expect("it ran"), "x\n");
}
