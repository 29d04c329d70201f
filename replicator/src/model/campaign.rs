//! The campaign: random histories on both sides, a replication, a crash before and after every single change it makes,
//! and the next run, which must bring what the first would have. After each the invariants are asserted that the
//! project promises. `CAMPAIGN_SEED` repeats a failure, `CAMPAIGN_STEPS` says how many runs are tried.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Fault;
use super::Moment;
use super::World;
use super::machine::Random;
use crate::cancel::Cancel;
use crate::engine;
use crate::engine::Observer;
use crate::engine::Place;
use crate::engine::Request;
use crate::engine::Run;
use crate::engine::RunError;
use crate::host::Change;
use crate::host::PropertySource;
use crate::marks::Mark;
use crate::plan::Action;
use crate::plan::Divergence;
use crate::plan::Options;
use crate::plan::Step;
use crate::plan::TreePlan;
use crate::transfer::Moved;
use crate::transfer::retry::Backoff;

const ROOT: &str = "tank/a";
const TARGET: &str = "backup/a";
const CHILDREN: [&str; 3] = ["x", "y y", "x/deep"];

/// Notes which steps were begun.
#[derive(Default)]
struct Begun(Mutex<Vec<Action>>);

impl Observer for Begun {
    fn step_started(&self, _: Place, step: &Step) {
        self.0.lock().expect("no panic").push(step.action.clone());
    }
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: Duration) {}
    fn note(&self, _: &str) {}
}

/// What one run did.
struct Outcome {
    plan: Option<TreePlan>,
    begun: Vec<Action>,
    /// The datasets that reached their end, with the newest GUID that they should have.
    reached: BTreeMap<DatasetName, Option<Guid>>,
    error: Option<String>,
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// One replication, as the command makes it.
fn replicate(world: &World, options: &Options, now: i64) -> Outcome {
    let (mut source, mut target) = (world.host("here"), world.host("there"));
    let request = Request {
        source: name(ROOT),
        target: name(TARGET),
        options: options.clone(),
        estimate: false,
        ignore_space: true,
        now,
    };
    let mut outcome = Outcome { plan: None, begun: Vec::new(), reached: BTreeMap::new(), error: None };
    let plan = match engine::prepare(&mut source, &mut target, &request) {
        Ok(plan) => plan,
        Err(error) => {
            outcome.error = Some(error.to_string());
            return outcome;
        }
    };
    // Nothing is tried again: what a retry would do, the next run has to do.
    let backoff =
        Backoff { first: Duration::ZERO, longest: Duration::ZERO, attempts: 1, busy: Duration::ZERO };
    let run = Run { backoff, ..Run::default() };
    let begun = Begun::default();
    let done = engine::execute(&plan, options, &mut source, &mut target, &run, &begun, &Cancel::new());
    match done {
        Ok(report) => {
            for (planned, report) in plan.datasets.iter().zip(&report.datasets) {
                match &report.error {
                    None => drop(outcome.reached.insert(planned.target.clone(), planned.newest())),
                    Some(error) => outcome.error = Some(format!("{}: {error}", planned.source)),
                }
            }
        }
        Err(error) => outcome.error = Some(error.to_string()),
    }
    outcome.begun = begun.0.into_inner().expect("no panic");
    outcome.plan = Some(plan);
    outcome
}

/// What must still be there afterwards: everything that we did not make for ourselves.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    datasets: BTreeSet<Guid>,
    /// With their holds. The same snapshot can be there twice.
    snapshots: BTreeMap<(u64, Guid), BTreeSet<String>>,
    /// By their dataset: where a rename took it, the bookmark is still there.
    bookmarks: BTreeSet<(Guid, String)>,
}

fn belongings(world: &World, machine: &str) -> Belongings {
    let mut all =
        Belongings { datasets: BTreeSet::new(), snapshots: BTreeMap::new(), bookmarks: BTreeSet::new() };
    world.on(machine, |machine| {
        for (name, dataset) in machine.datasets() {
            // What a first receive left may be thrown away.
            if !dataset.inconsistent {
                all.datasets.insert(dataset.guid);
            }
            for snap in &dataset.snapshots {
                all.snapshots.insert((snap.id, snap.guid), snap.holds.clone());
            }
            for (short, mark) in &dataset.bookmarks {
                let Ok(full) = name.bookmark(short) else { continue };
                let bookmark = crate::host::Bookmark {
                    name: full,
                    guid: mark.guid,
                    createtxg: mark.createtxg,
                    ivset: mark.ivset,
                };
                if Mark::of(&bookmark).is_none() {
                    all.bookmarks.insert((mark.guid, short.clone()));
                }
            }
        }
    });
    all
}

impl Belongings {
    /// What is in `self` and not in `other`.
    fn lost(&self, other: &Self) -> Vec<String> {
        let datasets = self.datasets.difference(&other.datasets).map(|guid| format!("dataset {guid}"));
        let snapshots = self
            .snapshots
            .iter()
            .filter(|(key, holds)| other.snapshots.get(key).is_none_or(|there| !holds.is_subset(there)));
        let snapshots = snapshots.map(|((_, guid), holds)| format!("snapshot {guid} with {holds:?}"));
        let bookmarks = self.bookmarks.difference(&other.bookmarks).map(|one| format!("bookmark {one:?}"));
        datasets.chain(snapshots).chain(bookmarks).collect()
    }
}

/// A history in the making.
struct History {
    seed: u64,
    random: Random,
    world: World,
    count: u64,
    log: Vec<String>,
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::new(seed, &["here", "there"]);
        world.on("here", |here| {
            here.create_pool("tank");
            here.create(&name(ROOT), DatasetKind::Filesystem, &[]).expect("create");
        });
        world.on("there", |there| there.create_pool("backup"));
        let mut history = Self { seed, random: Random(seed), world, count: 0, log: Vec::new() };
        for _ in 0..3 {
            history.at_source();
        }
        history.take(ROOT);
        history
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    fn note(&mut self, text: String) {
        self.log.push(text);
    }

    fn datasets(&self, machine: &str, root: &str) -> Vec<DatasetName> {
        let root = name(root);
        self.world.on(machine, |machine| {
            machine.datasets().map(|(name, _)| name).filter(|name| name.is_within(&root)).cloned().collect()
        })
    }

    fn pick(&mut self, machine: &str, root: &str) -> Option<DatasetName> {
        let all = self.datasets(machine, root);
        if all.is_empty() { None } else { Some(all[self.below(all.len() as u64) as usize].clone()) }
    }

    fn pick_snapshot(&mut self, machine: &str, root: &str) -> Option<SnapshotName> {
        let dataset = self.pick(machine, root)?;
        let all = self.world.on(machine, |machine| {
            let dataset = machine.dataset(&dataset)?;
            Some(dataset.snapshots.iter().map(|snap| snap.short.clone()).collect::<Vec<_>>())
        })?;
        if all.is_empty() {
            return None;
        }
        dataset.snapshot(&all[self.below(all.len() as u64) as usize]).ok()
    }

    /// Writes a little and takes a snapshot.
    fn take(&mut self, dataset: &str) {
        self.count += 1;
        let (count, block, dataset) = (self.count, self.below(6), name(dataset));
        let snapshot = dataset.snapshot(&format!("s{count}")).expect("short");
        self.note(format!("here: write, then snapshot {snapshot}"));
        self.world.on("here", |here| {
            here.write(&dataset, block, count);
            // A dataset that is being received is none of the source's.
            drop(here.snapshot(std::slice::from_ref(&snapshot)));
        });
    }

    /// Something happens on the source.
    fn at_source(&mut self) {
        let Some(dataset) = self.pick("here", ROOT) else { return };
        match self.below(13) {
            0 | 1 => {
                let child = CHILDREN[self.below(3) as usize];
                let made = name(ROOT).child(child).expect("short");
                self.note(format!("here: create {made}"));
                drop(self.world.on("here", |here| here.create(&made, DatasetKind::Filesystem, &[])));
            }
            2..=6 => self.take(dataset.as_str()),
            12 => {
                let value = ["lz4", "zstd", "gzip"][self.below(3) as usize];
                self.note(format!("here: compression={value} on {dataset}"));
                let set = [("compression".to_string(), value.to_string())];
                self.world.on("here", |here| here.set_properties(&dataset, &set)).expect("it exists");
            }
            7 => {
                let Some(snapshot) = self.pick_snapshot("here", ROOT) else { return };
                self.note(format!("here: prune {snapshot}"));
                drop(self.world.on("here", |here| here.destroy_snapshot(&snapshot)));
            }
            8 => {
                let Some(snapshot) = self.pick_snapshot("here", ROOT) else { return };
                self.count += 1;
                let to = name(ROOT).child(&format!("c{}", self.count)).expect("short");
                self.note(format!("here: clone {snapshot} to {to}"));
                drop(self.world.on("here", |here| here.clone_snapshot(&snapshot, &to, &[])));
                self.take(to.as_str());
            }
            9 => {
                if dataset.as_str() == ROOT {
                    return;
                }
                self.count += 1;
                let to = name(ROOT).child(&format!("r{}", self.count)).expect("short");
                self.note(format!("here: rename {dataset} to {to}"));
                drop(self.world.on("here", |here| here.rename(&dataset, &to)));
            }
            10 => {
                if dataset.as_str() == ROOT {
                    return;
                }
                self.note(format!("here: destroy {dataset}"));
                self.world.on("here", |here| {
                    let snapshots = here.dataset(&dataset).map(|d| d.snapshots.clone()).unwrap_or_default();
                    for snap in snapshots {
                        drop(here.destroy_snapshot(&dataset.snapshot(&snap.short).expect("short")));
                    }
                    drop(here.destroy(&dataset));
                });
            }
            _ => {
                let Some(snapshot) = self.pick_snapshot("here", ROOT) else { return };
                self.note(format!("here: hold and bookmark {snapshot}"));
                let mark = snapshot.dataset().bookmark("theirs").expect("short");
                self.world.on("here", |here| {
                    drop(here.hold(&snapshot, "theirs"));
                    drop(here.bookmark(&[(mark, snapshot.clone().into())]));
                });
            }
        }
    }

    /// Something happens on the target.
    fn at_target(&mut self) {
        let Some(dataset) = self.pick("there", TARGET) else { return };
        self.count += 1;
        let count = self.count;
        match self.below(6) {
            0 => {
                self.note(format!("there: write to {dataset}"));
                self.world.on("there", |there| there.write(&dataset, 7, count));
            }
            1 => {
                let snapshot = dataset.snapshot(&format!("t{count}")).expect("short");
                self.note(format!("there: write, then snapshot {snapshot}"));
                self.world.on("there", |there| {
                    there.write(&dataset, 8, count);
                    drop(there.snapshot(&[snapshot]));
                });
            }
            2 | 3 => {
                let Some(snapshot) = self.pick_snapshot("there", TARGET) else { return };
                self.note(format!("there: prune {snapshot}"));
                drop(self.world.on("there", |there| there.destroy_snapshot(&snapshot)));
            }
            4 => {
                let Some(snapshot) = self.pick_snapshot("there", TARGET) else { return };
                self.note(format!("there: hold {snapshot}"));
                drop(self.world.on("there", |there| there.hold(&snapshot, "theirs")));
            }
            _ => {}
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{what}\nCAMPAIGN_SEED={}\n{}", self.seed, self.log.join("\n"))
    }
}

/// I7: what was reported to have reached its end has.
fn check_reached(history: &History, world: &World, outcome: &Outcome, when: &str) {
    for (target, guid) in &outcome.reached {
        let there = world.on("there", |there| {
            there.dataset(target).is_some_and(|d| d.snapshots.iter().any(|snap| Some(snap.guid) == *guid))
        });
        if guid.is_some() && !there {
            history.fail(&format!("{when}: {target} was reported to be complete, and is not"));
        }
    }
}

/// What is set on the source is set on a target that reached its end.
fn check_properties(history: &History, world: &World, outcome: &Outcome, when: &str) {
    let Some(plan) = &outcome.plan else { return };
    let local = |machine: &str, name: &DatasetName| {
        let found = world.on(machine, |machine| machine.property(name, "compression"));
        found.filter(|found| found.source == PropertySource::Local).map(|found| found.value)
    };
    for dataset in plan.datasets.iter().filter(|one| outcome.reached.contains_key(&one.target)) {
        let (here, there) = (local("here", &dataset.source), local("there", &dataset.target));
        if here.is_some() && here != there {
            history.fail(&format!(
                "{when}: {} has compression={here:?}, and {} {there:?}",
                dataset.source, dataset.target
            ));
        }
    }
}

/// What has the same GUID has the same data, wherever it is.
fn check_content(history: &History, world: &World, when: &str) {
    let of = |machine: &str| {
        world.on(machine, |machine| {
            let all = machine.datasets().flat_map(|(_, dataset)| dataset.snapshots.clone());
            all.map(|snap| (snap.guid, snap.content)).collect::<Vec<_>>()
        })
    };
    let here: BTreeMap<_, _> = of("here").into_iter().collect();
    for (guid, content) in of("there") {
        if here.get(&guid).is_some_and(|same| *same != content) {
            history.fail(&format!("{when}: the snapshot with GUID {guid} has other data on the target"));
        }
    }
}

/// I2: nothing is sent in full for which the target has a base already.
fn check_no_full_resend(history: &History, before: &World, outcome: &Outcome, when: &str) {
    let Some(plan) = &outcome.plan else { return };
    for dataset in &plan.datasets {
        let full = dataset.streams().any(|spec| spec.from.is_none() && spec.resume.is_none());
        let guids = |world: &World, machine: &str, name: &DatasetName| {
            world.on(machine, |machine| {
                machine
                    .dataset(name)
                    .map(|dataset| dataset.snapshots.iter().map(|snap| snap.guid).collect::<BTreeSet<_>>())
            })
        };
        let here = guids(before, "here", &dataset.source).unwrap_or_default();
        let there = guids(before, "there", &dataset.target).unwrap_or_default();
        if full && here.intersection(&there).next().is_some() {
            history
                .fail(&format!("{when}: {} is sent in full although both sides have a base", dataset.source));
        }
    }
}

/// The dataset in whose turn a step is made; nothing for those before and after the datasets.
fn dataset_of(action: &Action) -> Option<DatasetName> {
    match action {
        Action::Send { into, .. } => Some(into.dataset().clone()),
        Action::Change {
            change: Change::DiscardPartial { dataset, .. } | Change::SetProperties { dataset, .. },
            ..
        } => Some(dataset.clone()),
        Action::Change { .. } => None,
    }
}

/// A crash at every change of one replication. Gives the number of runs.
fn crash_everywhere(history: &mut History, options: &Options, now: i64) -> u64 {
    let start = history.world.copy();
    let mine = [belongings(&start, "here"), belongings(&start, "there")];
    let check_lost = |history: &History, world: &World, when: &str| {
        for (machine, before) in ["here", "there"].into_iter().zip(&mine) {
            let lost = before.lost(&belongings(world, machine));
            if !lost.is_empty() {
                history.fail(&format!("{when}: lost on {machine}: {lost:?}"));
            }
        }
    };
    // Undisturbed.
    let clean = start.copy();
    let whole = replicate(&clean, options, now);
    check_lost(history, &clean, "undisturbed");
    check_reached(history, &clean, &whole, "undisturbed");
    check_properties(history, &clean, &whole, "undisturbed");
    check_content(history, &clean, "undisturbed");
    check_no_full_resend(history, &start, &whole, "undisturbed");
    // I4: what was printed is what was done.
    if let (Some(plan), None) = (&whole.plan, &whole.error) {
        // Datasets go side by side: their order is the schedule's, that within each is the plan's.
        let mut printed: Vec<_> = plan.steps().map(|step| step.action.clone()).collect();
        let mut begun = whole.begun.clone();
        printed.sort_by_key(dataset_of);
        begun.sort_by_key(dataset_of);
        if printed != begun {
            history.fail(&format!("printed {printed:#?}\nand did {begun:#?}"));
        }
    }
    let (effects, log) = (clean.effects(), clean.log());
    let mut runs = 1;
    for effect in 1..=effects {
        for moment in [Moment::Before, Moment::After] {
            let world = start.copy();
            let when = format!("crash {moment:?} {}", log[effect as usize - 1]);
            world.inject(Fault::Crash { effect, moment });
            replicate(&world, options, now);
            world.all_struck();
            check_lost(history, &world, &when);
            let crashed = world.copy();
            let next = replicate(&crashed, options, now + 60);
            runs += 2;
            check_lost(history, &crashed, &when);
            check_reached(history, &crashed, &next, &when);
            check_properties(history, &crashed, &next, &when);
            check_content(history, &crashed, &when);
            check_no_full_resend(history, &world, &next, &when);
            // I2: all that the undisturbed run brought is there.
            for (target, guid) in &whole.reached {
                if next.reached.get(target) != Some(guid) && !newest_is(&crashed, target, *guid) {
                    history.fail(&format!(
                        "{when}: the next run did not bring {target} to where it should be: {:?}",
                        next.error
                    ));
                }
            }
        }
    }
    // I3: a listing that fails changes nothing that was planned with it.
    for machine in ["here", "there"] {
        let world = start.copy();
        world.inject(Fault::Listing { machine: machine.to_string(), number: 1 });
        let outcome = replicate(&world, options, now);
        world.all_struck();
        runs += 1;
        if world.effects() > 0 || outcome.error.is_none() {
            history
                .fail(&format!("the listing of {machine} failed, and something was done: {:?}", world.log()));
        }
    }
    history.world = clean;
    history.note(format!("replicated: {:?}", whole.error));
    runs
}

fn newest_is(world: &World, target: &DatasetName, guid: Option<Guid>) -> bool {
    world.on("there", |there| {
        let newest = there.dataset(target).and_then(|dataset| dataset.snapshots.last()).map(|snap| snap.guid);
        guid.is_none() || newest == guid
    })
}

#[test]
fn every_crash_is_mended_by_the_next_run() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let wanted = number("CAMPAIGN_STEPS").unwrap_or(2_000);
    let mut seed = number("CAMPAIGN_SEED").unwrap_or(1);
    let (mut runs, mut incremental) = (0, 0);
    while runs < wanted {
        let mut history = History::new(seed);
        let divergence = if history.below(2) == 0 { Divergence::Stop } else { Divergence::Preserve };
        let options = Options {
            recursive: true,
            divergence,
            discard_partial: history.below(2) == 0,
            ..Options::default()
        };
        history.note(format!("{divergence}, discard {}", options.discard_partial));
        for round in 0..4 {
            runs += crash_everywhere(&mut history, &options, 1_800_000_000 + round * 3600);
            for _ in 0..=history.below(4) {
                history.at_source();
            }
            if history.below(2) == 0 {
                history.at_target();
            }
            let here = name(ROOT);
            incremental +=
                u64::from(history.world.on("there", |there| there.dataset(&name(TARGET)).is_some()));
            if history.world.on("here", |there| there.dataset(&here).is_none()) {
                break;
            }
        }
        seed += 1;
    }
    assert!(incremental > 0, "there was never more than a first replication");
    println!("{runs} runs, histories up to {seed}");
}
