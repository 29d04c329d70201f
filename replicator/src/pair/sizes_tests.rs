//! What a dataset has lost and nobody has accepted, through months in which its policy takes and prunes again and again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

use super::guards::Told;
use super::sizes::ACCEPTED;
use super::sizes::Size;
use super::sizes::loss;
use super::sizes::protect;
use crate::config::Config;
use crate::config::dataset::Known;
use crate::config::pair::Guards;
use crate::config::place::Source;
use crate::policy::Snapshot;
use crate::prune;
use crate::prune::Protections;
use crate::survey::Seen;
use crate::survey::Survey;
use crate::take;

const MIB: u64 = 1 << 20;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Noon of some day.
const START: i64 = 1_795_435_200;

fn data() -> DatasetName {
    "zpool1/data".parse().expect("a name")
}

/// A dataset with its policy.
struct Life {
    config: Config,
    sizes: Vec<Size>,
    /// What the clock shows, in seconds since 1970.
    clock: i64,
    count: u64,
}

impl Life {
    fn new(keeps: &str) -> Self {
        let text = format!("[[dataset]]\nname = \"zpool1/data\"\n{keeps}\n");
        let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text)]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        Self { config, sizes: Vec::new(), clock: START, count: 0 }
    }

    fn survey(&self) -> Survey {
        let snapshot = |size: &Size| Snapshot {
            name: data().snapshot(&size.short).expect("a name"),
            guid: size.guid,
            createtxg: Txg(size.guid.0),
            creation: size.at,
        };
        let seen = Seen {
            name: data(),
            guid: Guid(0),
            kind: DatasetKind::Filesystem,
            written: 1,
            origin: None,
            snapshots: self.sizes.iter().map(snapshot).collect(),
            cloned: BTreeMap::new(),
            held: BTreeSet::new(),
        };
        let resolved = self.config.policies.resolve(&[Known::new(data())]);
        Survey { resolved, datasets: BTreeMap::from([(data(), seen)]), ..Survey::default() }
    }

    fn add(&mut self, short: &str, mib: u64) {
        self.count += 1;
        let size =
            Size { short: short.to_string(), guid: Guid(self.count), at: self.clock, bytes: mib * MIB };
        self.sizes.push(size);
    }

    /// The clock goes on by so many seconds, and the dataset has so much then: what is due is taken, and what neither the
    /// policy nor a guard keeps goes. What the guards say of it.
    fn goes_on(&mut self, seconds: i64, mib: u64) -> Vec<Told> {
        self.clock += seconds;
        let now = Timestamp::from_second(self.clock).expect("a time");
        let plan = take::plan(&self.survey(), &BTreeSet::new(), now);
        for (_, name) in plan.calls.iter().flat_map(|call| &call.snapshots) {
            self.add(name.short(), mib);
        }
        let survey = self.survey();
        let mut protections = Protections::new();
        let told = protect(
            &survey,
            &BTreeSet::from([data()]),
            &|_| Ok(self.sizes.clone()),
            &BTreeMap::new(),
            &Guards::default(),
            &mut protections,
        );
        let plan = prune::plan(&survey, &BTreeSet::new(), &protections, now);
        let going = plan.datasets.iter().flat_map(prune::DatasetPlan::going);
        let gone: BTreeSet<Guid> = going.map(|one| one.snapshot.guid).collect();
        self.sizes.retain(|size| !gone.contains(&size.guid));
        told
    }

    /// Snapshots of at least so much.
    fn with(&self, mib: u64) -> Vec<Guid> {
        self.sizes.iter().filter(|size| size.bytes >= mib * MIB).map(|size| size.guid).collect()
    }

    /// Goes on for so many steps without what was lost: each time it is told, and all from before stays; no more than so many
    /// others do. Then it is accepted, and all of that goes.
    fn never_forgets(&mut self, steps: &[i64], times: usize, others: usize) {
        let kept = self.with(100);
        assert!(kept.len() > 3, "{:?}", self.sizes);
        for time in 0..times {
            let told = self.goes_on(steps[time % steps.len()], 10);
            assert!(matches!(told[..], [Told::Lost { .. }]), "after {time} steps: {told:?}");
            assert_eq!(self.with(100), kept, "after {time} steps");
        }
        assert!(self.sizes.len() <= kept.len() + others, "the policy goes on: {:?}", self.sizes);
        self.add(&format!("{ACCEPTED}-1"), 10);
        assert_eq!(loss(&self.sizes, &Guards::default()), None);
        for step in steps.iter().cycle().take(10) {
            assert_eq!(self.goes_on(*step, 10), []);
        }
        assert_eq!(self.with(100), []);
        assert!(self.sizes.len() <= others, "{:?}", self.sizes);
    }
}

#[test]
fn what_was_lost_is_known_for_two_months_of_hourly_and_daily_snapshots() {
    let mut life = Life::new("hourly = 24\ndaily = 7");
    for _ in 0..5 * 24 {
        assert_eq!(life.goes_on(HOUR, 100), []);
    }
    life.never_forgets(&[HOUR], 60 * 24, 40);
}

/// No two of them are within a day: a second more each time, and none over a weekend.
#[test]
fn what_was_lost_is_known_where_there_are_only_daily_snapshots() {
    let mut life = Life::new("daily = 7");
    for _ in 0..10 {
        assert_eq!(life.goes_on(DAY + 1, 100), []);
    }
    life.never_forgets(&[DAY + 1, DAY + 1, DAY + 1, DAY + 1, 3 * DAY], 60, 12);
}

#[test]
fn what_was_lost_while_a_clock_was_wrong_or_a_node_was_off_is_known() {
    for (there, back) in [(400 * DAY, -400 * DAY), (-30 * DAY, 30 * DAY), (30 * DAY, 0)] {
        let mut life = Life::new("hourly = 24\ndaily = 7");
        for _ in 0..3 * 24 {
            assert_eq!(life.goes_on(HOUR, 100), []);
        }
        life.goes_on(there, 60);
        let before = life.with(100);
        life.goes_on(back + HOUR, 10);
        assert_eq!(life.with(100), before, "{there}: {:?}", life.sizes);
        life.never_forgets(&[HOUR], 20 * 24, 45);
    }
}
