//! What a plan and its carrying out do beside the rules, whose tests are in `policy`: batches, refusals, hooks, and what
//! the survey itself shows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::*;
use crate::cancel::Cancel;
use crate::policy::Base;
use crate::policy::Need;
use crate::policy::Needed;
use crate::policy::Target;
use crate::pools::Destroyed;
use crate::pools::Fault;
use crate::pools::Pools;
use crate::pools::Refused;
use crate::survey::Survey;
use crate::take::tests::at;
use crate::take::tests::name;
use crate::take::tests::survey;

const NOW: &str = "2026-11-22T18:15:00Z";

/// Ten hourly ones of the day before, and one that is nobody's.
const OLD: [&str; 10] = [
    "autosnap_2026-11-21_00:00:00_hourly",
    "autosnap_2026-11-21_01:00:00_hourly",
    "autosnap_2026-11-21_02:00:00_hourly",
    "autosnap_2026-11-21_03:00:00_hourly",
    "autosnap_2026-11-21_04:00:00_hourly",
    "autosnap_2026-11-21_05:00:00_hourly",
    "autosnap_2026-11-21_06:00:00_hourly",
    "autosnap_2026-11-21_07:00:00_hourly",
    "autosnap_2026-11-21_08:00:00_hourly",
    "autosnap_2026-11-21_09:00:00_hourly",
];

/// Of the ten of each of these, seven may go.
fn three_are_kept(datasets: &[&str], more: &str) -> Survey {
    let list: Vec<(&str, u64, &[&str])> = datasets.iter().map(|name| (*name, 0, &OLD[..])).collect();
    survey(&format!("[[dataset]]\npattern = \"*/*\"\nhourly = 3\n{more}"), &list)
}

/// Refuses some names and knows what was destroyed.
#[derive(Default)]
struct Table {
    refuses: BTreeSet<String>,
    calls: RefCell<Vec<Vec<(String, u64)>>>,
}

impl Pools for Table {
    fn take(&self, _: &[SnapshotName]) -> Result<(), Refused> {
        panic!("nothing is taken")
    }

    fn destroy(&self, snapshots: &[(SnapshotName, Guid)]) -> Destroyed {
        assert!(snapshots.len() <= BATCH && !snapshots.is_empty());
        assert!(snapshots.iter().all(|(name, _)| name.pool() == snapshots[0].0.pool()), "one pool a call");
        self.calls
            .borrow_mut()
            .push(snapshots.iter().map(|(name, guid)| (name.to_string(), guid.0)).collect());
        let mut outcome = Destroyed::default();
        for (name, _) in snapshots {
            if self.refuses.contains(name.as_str()) {
                let fault = Fault { kind: ErrorKind::Held, text: "it is held".to_string(), hint: None };
                outcome.failed.push((name.clone(), fault));
            } else {
                outcome.gone.push(name.clone());
            }
        }
        outcome
    }

    fn holds(&self, _: &SnapshotName) -> Result<Vec<String>, Fault> {
        panic!("nobody asks")
    }
}

fn planned<'a>(survey: &'a Survey, protections: &'a Protections) -> Plan<'a> {
    plan(survey, &BTreeSet::new(), protections, at(NOW))
}

fn carried(survey: &Survey, protections: &Protections, table: &Table) -> Report {
    carry_out(&planned(survey, protections), table, &Cancel::new(), &|_| {})
}

fn going(plan: &Plan<'_>) -> Vec<u64> {
    plan.datasets.iter().flat_map(DatasetPlan::going).map(|one| one.snapshot.guid.0).collect()
}

#[test]
fn what_may_go_goes_in_one_call_a_pool_with_its_guids() {
    let survey = three_are_kept(&["tank/a", "tank/b", "other/x"], "");
    let table = Table::default();
    let report = carried(&survey, &Protections::new(), &table);
    assert!(report.is_success());
    assert_eq!((report.destroyed.len(), report.calls), (21, 2));
    let calls = table.calls.borrow();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [7, 14]);
    assert!(calls.iter().flatten().all(|(name, guid)| name.ends_with(&format!("{guid:02}:00:00_hourly"))));
}

#[test]
fn one_that_cannot_go_is_told_and_the_others_go() {
    let survey = three_are_kept(&["tank/a"], "");
    let refused = format!("tank/a@{}", OLD[2]);
    let table = Table { refuses: BTreeSet::from([refused.clone()]), ..Table::default() };
    let report = carried(&survey, &Protections::new(), &table);
    assert!(!report.is_success());
    assert_eq!(report.destroyed.len(), 6);
    assert_eq!(report.failed.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), [refused]);
}

#[test]
fn what_is_held_cloned_or_a_base_stays_with_its_reason() {
    let mut survey = three_are_kept(&["tank/a"], "");
    let seen = survey.datasets.get_mut("tank/a").expect("there");
    seen.held.insert(Guid(0));
    seen.held.insert(Guid(1));
    seen.cloned.insert(Guid(2), Some(name("tank/clone")));
    seen.cloned.insert(Guid(3), None);
    let mut protections = Protections::new();
    let tags = BTreeMap::from([((name("tank/a"), Guid(1)), "keep".to_string())]);
    own_needs(&survey, &tags, &mut protections);
    let protection = protections.entry(name("tank/a")).or_default();
    protection.targets.push(Target { name: "nas".to_string(), base: Base::Snapshot(Guid(4)) });
    let by = Need::LastBase { target: "usb".to_string() };
    protection.needed.push(Needed { guid: Guid(5), by });
    let plan = planned(&survey, &protections);
    assert_eq!(going(&plan), [6]);
    let reasons: Vec<_> = plan.datasets[0].decisions[..6].iter().map(|one| one.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "held by \"?\"",
            "held by \"keep\"",
            "the origin of tank/clone",
            "the origin of a clone",
            "the newest common base of target nas",
            "the last known base of target usb, which cannot be asked now"
        ]
    );
    assert_eq!(plan.datasets[0].in_use().count(), 4);
}

#[test]
fn one_dataset_that_is_not_known_keeps_no_other() {
    let survey = three_are_kept(&["tank/a", "tank/b"], "");
    let mut protections = Protections::new();
    let target = Target { name: "nas".to_string(), base: Base::Unknown };
    protections.entry(name("tank/a")).or_default().targets.push(target);
    let plan = planned(&survey, &protections);
    assert!(plan.datasets[0].going().next().is_none());
    assert_eq!(plan.datasets[1].going().count(), 7);
}

#[test]
fn nothing_goes_where_a_policy_does_not_prune_or_the_pool_has_room() {
    assert_eq!(
        planned(&three_are_kept(&["tank/a"], "prune = false\n"), &Protections::new()).datasets.len(),
        0
    );
    let mut survey = three_are_kept(&["tank/a"], "prune_above = 70\n");
    for (capacity, count) in [(None, 0), (Some(70), 0), (Some(71), 7)] {
        survey.capacity = capacity.map(|percent| ("tank".to_string(), percent)).into_iter().collect();
        assert_eq!(planned(&survey, &Protections::new()).count(), count, "{capacity:?}");
    }
}

#[test]
fn a_hook_keeps_a_snapshot_and_hears_of_each_that_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let line = format!("echo $SANOID_SCRIPT $SANOID_TARGET $SANOID_SNAPNAME >> {}", log.display());
    let more =
        format!("pre_prune = \"case $SANOID_SNAPNAME in *_03:*) exit 1;; esac\"\npost_prune = \"{line}\"\n");
    let survey = three_are_kept(&["tank/a"], &more);
    let table = Table::default();
    let report = carried(&survey, &Protections::new(), &table);
    assert!(report.is_success(), "a hook that says no is no failure: {report:?}");
    assert_eq!(report.kept_by_hook, [name("tank/a").snapshot(OLD[3]).expect("a name")]);
    assert_eq!(report.destroyed.len(), 6);
    let log = std::fs::read_to_string(&log).expect("it ran");
    assert_eq!(log.lines().count(), 6);
    assert_eq!(log.lines().next(), Some(&*format!("prune tank/a {}", OLD[0])));
    // One that hangs keeps it as well, and that is a failure.
    let survey = three_are_kept(&["tank/a"], "pre_prune = { run = \"sleep 100\", timeout = \"1s\" }\n");
    let mut short = survey;
    short.datasets.get_mut("tank/a").expect("there").snapshots.drain(..6);
    let report = carried(&short, &Protections::new(), &Table::default());
    assert!(!report.is_success() && report.destroyed.is_empty(), "{report:?}");
}

#[test]
fn a_run_that_is_to_stop_destroys_nothing_more() {
    let survey = three_are_kept(&["tank/a"], "");
    let cancel = Cancel::new();
    cancel.cancel();
    let nothing = Protections::new();
    let report = carry_out(&planned(&survey, &nothing), &Table::default(), &cancel, &|_| {});
    assert!(report.interrupted && report.calls == 0);
    let names: Vec<DatasetName> =
        planned(&survey, &nothing).datasets.iter().map(|one| one.dataset.clone()).collect();
    assert_eq!(names, [name("tank/a")]);
}
