//! What targets keep at the source, on the ZFS in memory: histories of hours in which targets come and go, runs break off
//! and what was remembered is lost.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Connect;
use super::Done;
use super::bases;
use super::memory::Memory;
use super::retain::retain;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::dataset::Known;
use crate::config::job::Link;
use crate::config::place::Source;
use crate::connect::ConnectError;
use crate::endpoint::Endpoint;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::Request;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Host;
use crate::host::HostError;
use crate::model::Fault;
use crate::model::World;
use crate::plan::Step;
use crate::policy::Snapshot;
use crate::prune;
use crate::prune::Protections;
use crate::survey::Seen;
use crate::survey::Survey;
use crate::take;
use crate::transfer::Moved;

const START: i64 = 1_795_371_300;
const HOUR: i64 = 3600;

struct Quiet;

impl Observer for Quiet {
    fn step_started(&self, _: Place, _: &Step) {}
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: Duration) {}
    fn note(&self, _: &str) {}
}

/// `tank/a` with a child on this machine, and two targets.
struct Lab {
    world: World,
    config: Config,
    dates: HashMap<Guid, i64>,
    memory: Memory,
    now: i64,
    away: BTreeSet<&'static str>,
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

impl Connect for Lab {
    fn host(&self, _: &Link, endpoint: &Endpoint) -> Result<Box<dyn Host>, ConnectError> {
        let machine = endpoint.machine.as_ref().map_or("here", |machine| machine.host.as_str());
        if self.away.contains(machine) {
            let (host, pool) = (machine.to_string(), "back".to_string());
            return Err(HostError::NoPool { host, pool, dataset: endpoint.dataset.to_string() }.into());
        }
        Ok(Box::new(self.world.host(machine)))
    }
}

impl Lab {
    fn new(more: &str) -> Self {
        let world = World::new(5, &["here", "nas", "usb"]);
        world.on("here", |here| {
            here.create_pool("tank");
            for dataset in ["tank/a", "tank/a/x"] {
                here.create(&name(dataset), DatasetKind::Filesystem, &[]).expect("create");
            }
        });
        for far in ["nas", "usb"] {
            world.on(far, |far| far.create_pool("back"));
        }
        let text = format!(
            "[[dataset]]\nname = \"tank/a\"\nrecursive = true\nhourly = 4\n\n[[replication]]\nname = \"out\"\nsource = \"tank/a\"\n\
             recursive = true\n{more}\n[[replication.target]]\nname = \"nas\"\nto = \"nas:back/a\"\n\
             [[replication.target]]\nname = \"usb\"\nto = \"usb:back/a\"\noptional = true\n"
        );
        Self {
            world,
            config: config(&text),
            dates: HashMap::new(),
            memory: Memory::default(),
            now: START,
            away: BTreeSet::new(),
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_second(self.now).expect("a time")
    }

    fn survey(&self) -> Survey {
        let machine = &self.world.machines()["here"];
        let mut survey = Survey::default();
        let mut known = Vec::new();
        for (dataset, state) in machine.datasets() {
            known.push(Known::new(dataset.clone()));
            let mut snapshots: Vec<_> = state
                .snapshots
                .iter()
                .map(|one| Snapshot {
                    name: dataset.snapshot(&one.short).expect("a name"),
                    guid: one.guid,
                    createtxg: one.createtxg,
                    creation: self.dates[&one.guid],
                })
                .collect();
            snapshots.sort_by_key(|one| one.createtxg);
            let seen = Seen {
                name: dataset.clone(),
                guid: Guid(0),
                kind: DatasetKind::Filesystem,
                written: 1,
                origin: None,
                snapshots,
                cloned: BTreeMap::new(),
                held: BTreeSet::new(),
            };
            survey.datasets.insert(dataset.clone(), seen);
        }
        survey.resolved = self.config.policies.resolve(&known);
        survey.datasets.retain(|name, _| survey.resolved.datasets.contains_key(name));
        survey
    }

    /// An hour passes, and what is due is taken.
    fn hour(&mut self) {
        self.now += HOUR;
        let plan = take::plan(&self.survey(), &BTreeSet::new(), self.time());
        let names: Vec<SnapshotName> =
            plan.calls.iter().flat_map(|call| &call.snapshots).map(|(_, name)| name.clone()).collect();
        assert_eq!(names.len(), 2, "one of each dataset is due each hour");
        let now = self.now;
        let dates = self.world.on("here", |here| {
            for name in &names {
                here.write(name.dataset(), 1, now as u64);
            }
            here.snapshot(&names).expect("taken");
            names.iter().map(|name| here.find(name).expect("there").guid).collect::<Vec<_>>()
        });
        self.dates.extend(dates.into_iter().map(|guid| (guid, now)));
    }

    fn replicate(&mut self, to: &str, remember: bool) {
        let job = &self.config.jobs[0];
        let target = job.targets.iter().find(|target| target.name == to).expect("configured");
        let request = Request {
            source: job.source.dataset.clone(),
            target: target.endpoint.dataset.clone(),
            options: job.options.clone(),
            estimate: false,
            ignore_space: true,
            now: self.now,
        };
        let (mut from, mut there) = (self.world.host("here"), self.world.host(to));
        let plan = engine::prepare(&mut from, &mut there, &request).expect("a plan");
        let (run, cancel) = (Run::default(), Cancel::new());
        let report = engine::execute(&plan, &request.options, &mut from, &mut there, &run, &Quiet, &cancel);
        let report = report.expect("a report");
        assert_eq!(report.failures().count(), 0, "{:?}", report.failures().next());
        let pool = Some(self.world.machines()[to].pool_guid("back"));
        let seen = Done { plan, report, pool }.seen(job, target, self.now);
        if remember {
            self.memory.put(seen);
        }
    }

    /// Prunes, and gives how many went.
    fn prune(&mut self) -> (usize, bases::Found) {
        let survey = self.survey();
        let all = BTreeSet::new();
        let nothing = Protections::new();
        let concerned = prune::plan(&survey, &all, &nothing, self.time())
            .datasets
            .iter()
            .filter(|one| one.going().next().is_some())
            .map(|one| one.dataset.clone())
            .collect();
        let found = bases::find(&self.config, &survey, &concerned, self, &self.memory, self.now);
        let plan = prune::plan(&survey, &all, &found.protections, self.time());
        let names: Vec<_> = plan
            .datasets
            .iter()
            .flat_map(prune::DatasetPlan::going)
            .map(|one| one.snapshot.name.clone())
            .collect();
        self.world.on("here", |here| {
            for name in &names {
                here.destroy_snapshot(name).expect("destroyed");
            }
        });
        for seen in found.seen.clone() {
            self.memory.put(seen);
        }
        (names.len(), found)
    }

    fn guids(&self, machine: &str, dataset: &str) -> Vec<Guid> {
        let machines = self.world.machines();
        let found = machines[machine].dataset(&name(dataset));
        found.map(|one| one.snapshots.iter().map(|one| one.guid).collect()).unwrap_or_default()
    }

    /// The newest snapshot that a dataset and its copy have in common.
    fn base(&self, to: &str, below: &str) -> Option<Guid> {
        let here = self.guids("here", &format!("tank/a{below}"));
        let there = self.guids(to, &format!("back/a{below}"));
        there.into_iter().rev().find(|guid| here.contains(guid))
    }
}

fn config(text: &str) -> Config {
    let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text.to_string())]);
    assert_eq!(problems.errors(), 0, "{}", problems.render());
    config
}

#[test]
fn a_target_that_is_away_for_long_keeps_its_base_and_no_more() {
    for bookmarks in [true, false] {
        let mut lab = Lab::new(&format!("bookmarks = {bookmarks}"));
        for _ in 0..3 {
            lab.hour();
        }
        lab.replicate("nas", true);
        lab.replicate("usb", true);
        let base = lab.base("usb", "").expect("common");
        lab.away.insert("usb");
        for _ in 0..50 {
            lab.hour();
            lab.replicate("nas", true);
            lab.prune();
            assert_eq!(lab.base("usb", ""), Some(base));
            let left = lab.guids("here", "tank/a").len();
            assert!(left <= 7, "{left} are left");
        }
        // It comes back and goes on without a full stream.
        lab.away.clear();
        lab.replicate("usb", true);
        assert_eq!(lab.base("usb", ""), lab.base("nas", ""));
        lab.hour();
        lab.prune();
        assert!(!lab.guids("here", "tank/a").contains(&base), "its old base is not needed any more");
    }
}

#[test]
fn without_a_memory_bookmarks_tell_and_without_both_nothing_goes() {
    let mut lab = Lab::new("");
    lab.hour();
    lab.replicate("nas", false);
    lab.replicate("usb", false);
    let base = lab.base("usb", "").expect("common");
    lab.away.extend(["nas", "usb"]);
    for _ in 0..20 {
        lab.hour();
        let (_, found) = lab.prune();
        assert!(found.unasked.is_empty() || found.unasked.len() == 2);
    }
    assert!(lab.guids("here", "tank/a").contains(&base));
    assert!(lab.guids("here", "tank/a").len() <= 6, "what was never sent is up to the rules");

    let mut lab = Lab::new("bookmarks = false");
    lab.hour();
    lab.replicate("nas", false);
    lab.away.insert("nas");
    for _ in 0..20 {
        lab.hour();
        assert_eq!(lab.prune().0, 0, "nobody knows what it has");
    }
    lab.away.clear();
    assert!(lab.prune().0 > 0);
}

#[test]
fn what_was_sent_without_bookmarks_and_never_remembered_is_not_taken_for_nothing() {
    let mut lab = Lab::new("bookmarks = true");
    for _ in 0..8 {
        lab.hour();
    }
    // Both targets are seen, and have nothing yet.
    assert!(lab.prune().0 > 0 && lab.memory.targets.len() == 2);
    // The pool lacks bookmarks, and the run dies before it remembers anything.
    lab.world.inject(Fault::NoBookmarks { machine: "here".to_string() });
    lab.replicate("usb", false);
    let base = lab.base("usb", "").expect("common");
    lab.away.insert("usb");
    for _ in 0..20 {
        lab.hour();
        lab.prune();
        assert_eq!(lab.base("usb", ""), Some(base));
    }
}

#[test]
fn the_time_for_which_a_base_is_kept_ends_with_a_warning_before() {
    let text = "base_limit = \"20h\"\nbase_warn = \"15h\"\n";
    let mut lab = Lab::new("");
    let config_text = format!(
        "[[dataset]]\nname = \"tank/a\"\nrecursive = true\nhourly = 4\n[[replication]]\nname = \"out\"\nsource = \"tank/a\"\n\
         recursive = true\n[[replication.target]]\nname = \"usb\"\nto = \"usb:back/a\"\n{text}"
    );
    lab.config = config(&config_text);
    lab.hour();
    lab.replicate("usb", true);
    let base = lab.base("usb", "").expect("common");
    lab.away.insert("usb");
    let (mut warned, mut lost) = (None, None);
    for hour in 1..30 {
        lab.hour();
        let (_, found) = lab.prune();
        if !found.away.is_empty() {
            warned.get_or_insert(hour);
        }
        if !lab.guids("here", "tank/a").contains(&base) {
            lost.get_or_insert(hour);
        }
    }
    assert_eq!((warned, lost), (Some(15), Some(21)));
    // The bookmark is left, and it is enough to go on from.
    lab.away.clear();
    lab.replicate("usb", true);
    assert!(lab.base("usb", "").is_some());
    // One that can be asked keeps its base, however old: it is not away.
    let mut lab = Lab { config: config(&config_text), ..Lab::new("") };
    lab.hour();
    lab.replicate("usb", true);
    let base = lab.base("usb", "").expect("common");
    for _ in 0..40 {
        lab.hour();
        lab.prune();
    }
    assert!(lab.guids("here", "tank/a").contains(&base));
}

#[test]
fn a_source_that_cannot_be_listed_loses_nothing() {
    let mut lab = Lab::new("");
    for _ in 0..10 {
        lab.hour();
    }
    lab.away.insert("here");
    let (gone, found) = lab.prune();
    assert_eq!(gone, 0);
    assert_eq!(found.unasked.len(), 2);
}

/// What has diverged is kept for ever, although its snapshots have the names of the policy, and are old.
#[test]
fn what_was_set_aside_lives_through_every_take_prune_and_send() {
    for (pair, short) in [(true, "x-divergent-3"), (false, "x_diverged_20261122T181500Z")] {
        let aside = format!("tank/a/{short}");
        let mut lab = Lab::new("");
        if pair {
            lab.config.policies.roots.push(name("tank/a"));
            lab.config.jobs[0].options.pair = true;
        }
        lab.hour();
        let old: Vec<SnapshotName> = (0..8)
            .map(|hour| {
                let short = format!("autosnap_2026-11-21_0{hour}:00:00_hourly");
                name(&aside).snapshot(&short).expect("a name")
            })
            .collect();
        lab.world.on("here", |here| {
            here.create(&name(&aside), DatasetKind::Filesystem, &[]).expect("create");
            for snapshot in &old {
                here.write(&name(&aside), 1, 1);
                here.snapshot(std::slice::from_ref(snapshot)).expect("taken");
            }
        });
        let kept = lab.guids("here", &aside);
        assert_eq!(kept.len(), 8);
        lab.dates.extend(kept.iter().map(|guid| (*guid, START - 24 * HOUR)));
        for _ in 0..30 {
            // Nothing of it is taken.
            lab.hour();
            lab.replicate("nas", true);
            lab.prune();
            assert_eq!(lab.guids("here", &aside), kept, "{aside}");
        }
        assert_eq!(lab.survey().resolved.asides, BTreeSet::from([name(&aside)]));
        assert!(lab.world.machines()["nas"].dataset(&name(&format!("back/a/{short}"))).is_none());
        // Where somebody names it, it is a dataset as any other.
        lab.config = config(&format!("[[dataset]]\nname = \"{aside}\"\nhourly = 2\n"));
        assert!(lab.prune().0 > 0);
        assert!(lab.guids("here", &aside).len() < 8);
    }
}

#[test]
fn what_the_other_node_of_a_pair_does_not_have_is_told_from_what_cannot_be_looked_at() {
    let text = "[[dataset]]\nname = \"tank/a\"\nrecursive = true\nhourly = 4\n\
                [pair.p]\nroots = [\"tank/a\"]\npeer = { node = \"nas\" }\nfixed = \"standby\"\n";
    let mut lab = Lab { config: config(text), ..Lab::new("") };
    lab.config.jobs = lab.config.pairs[0].jobs();
    lab.hour();
    let (root, child) = (name("tank/a"), name("tank/a/x"));
    let there = |lab: &Lab| {
        let concerned = BTreeSet::from([root.clone(), child.clone()]);
        let found = bases::find(&lab.config, &lab.survey(), &concerned, lab, &lab.memory, lab.now);
        let of = found.sizes.get("pair p: tank/a")?;
        Some((of.get(&root)?.1.is_some(), of.get(&child)?.1.is_some()))
    };
    // A pool that is not there says nothing about what was in it.
    assert_eq!(there(&lab), None);
    lab.world.on("nas", |nas| nas.create_pool("tank"));
    assert_eq!(there(&lab), Some((false, false)));
    lab.world.on("nas", |nas| nas.create(&root, DatasetKind::Filesystem, &[]).expect("create"));
    assert_eq!(there(&lab), Some((true, false)));
    lab.away.insert("nas");
    assert_eq!(there(&lab), None);
}

/// The model's transaction groups are its seconds: what it has is from the first hour of 1970.
#[test]
fn a_target_is_pruned_from_here_by_rules_of_its_own_and_keeps_its_base() {
    let text = "[[dataset]]\nname = \"tank/a\"\nrecursive = true\nhourly = 40\n\n[[replication]]\nname = \"out\"\nsource = \"tank/a\"\n\
                recursive = true\n[[replication.target]]\nname = \"nas\"\nto = \"nas:back/a\"\nretention = { hourly = 2 }\n";
    let mut lab = Lab { config: config(text), ..Lab::new("") };
    for _ in 0..6 {
        lab.hour();
    }
    lab.replicate("nas", true);
    for _ in 0..2 {
        lab.hour();
    }
    // Somebody's own, which no policy took.
    lab.world.on("here", |here| here.snapshot(&["tank/a@mine".parse().expect("a name")]).expect("taken"));
    let mine =
        lab.world.machines()["here"].find(&"tank/a@mine".parse().expect("a name")).expect("there").guid;
    lab.dates.insert(mine, lab.now);
    lab.replicate("nas", true);
    lab.hour();
    let (job, survey) = (&lab.config.jobs[0], lab.survey());
    let base = lab.base("nas", "/x");
    let run = |dry_run| {
        let done = retain(job, &job.targets[0], &survey, &lab, lab.time(), dry_run);
        done.expect("it can be asked").expect("the sender prunes")
    };
    let before = lab.guids("nas", "back/a");
    let planned = run(true);
    assert_eq!(lab.guids("nas", "back/a"), before, "a dry run");
    let going = planned.decided.iter().filter(|one| !one.keep).count();
    let done = run(false);
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    assert_eq!((done.destroyed.len(), going), (12, 12));
    assert_eq!(lab.guids("nas", "back/a").len(), 3, "two by the rule, and one that is nobody's");
    assert!(lab.guids("nas", "back/a").contains(&mine));
    assert_eq!(lab.base("nas", "/x"), base);
    assert_eq!(lab.guids("here", "tank/a").len(), 10, "nothing goes here");
    // A copy that has nothing in common with its source any more loses nothing.
    let of_x = &lab.survey().datasets["tank/a/x"];
    let names: Vec<SnapshotName> = of_x.snapshots.iter().map(|one| one.name.clone()).collect();
    lab.world.on("here", |here| {
        for name in &names {
            here.destroy_snapshot(name).expect("destroyed");
        }
        for mark in
            here.dataset(&name("tank/a/x")).expect("there").bookmarks.keys().cloned().collect::<Vec<_>>()
        {
            here.destroy_bookmarks(&[name("tank/a/x").bookmark(&mark).expect("a name")]);
        }
    });
    let found =
        retain(job, &job.targets[0], &survey, &lab, lab.time(), true).expect("asked").expect("the sender");
    let of_x = found.decided.iter().filter(|one| one.name.dataset().as_str() == "back/a/x");
    assert!(of_x.clone().count() > 0 && of_x.into_iter().all(|one| one.keep));
}

#[derive(Clone, Debug)]
enum Act {
    Hour,
    Replicate { usb: bool, remember: bool },
    Prune,
    Away { usb: bool, away: bool },
    Forget,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => Just(Act::Hour),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(usb, remember)| Act::Replicate { usb, remember }),
        4 => Just(Act::Prune),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(usb, away)| Act::Away { usb, away }),
        1 => Just(Act::Forget),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// I5: whatever comes and goes, no prune takes the newest common snapshot of any target, nor the newest of all.
    #[test]
    fn no_prune_takes_a_base(acts in acts(), bookmarks in any::<bool>()) {
        let mut lab = Lab::new(&format!("bookmarks = {bookmarks}"));
        for act in acts {
            match act {
                Act::Hour => lab.hour(),
                Act::Replicate { usb, remember } => {
                    let to = if usb { "usb" } else { "nas" };
                    // Without bookmarks only what is remembered tells of a run.
                    if !lab.away.contains(to) && !lab.guids("here", "tank/a").is_empty() {
                        lab.replicate(to, remember || !bookmarks);
                    }
                }
                Act::Away { usb, away } => {
                    let to = if usb { "usb" } else { "nas" };
                    if away { lab.away.insert(to); } else { lab.away.remove(to); }
                }
                Act::Forget if bookmarks => lab.memory = Memory::default(),
                Act::Forget => {}
                Act::Prune => {
                    let places = [("nas", ""), ("nas", "/x"), ("usb", ""), ("usb", "/x")];
                    let before: Vec<_> = places.iter().map(|(to, below)| lab.base(to, below)).collect();
                    let newest = lab.guids("here", "tank/a").last().copied();
                    lab.prune();
                    let after: Vec<_> = places.iter().map(|(to, below)| lab.base(to, below)).collect();
                    prop_assert_eq!(before, after);
                    prop_assert_eq!(newest, lab.guids("here", "tank/a").last().copied());
                }
            }
        }
    }
}
