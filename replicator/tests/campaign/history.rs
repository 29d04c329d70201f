//! A history: two machines, how they are replicated, and what happens to them, all of it from one seed.

use replicator::model::Machine;
use replicator::model::Random;
use replicator::model::World;
use replicator::plan::Divergence;
use replicator::plan::Initial;
use replicator::plan::Options;
use replicator::plan::Patterns;
use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;

use crate::counts::Counts;
use crate::past::Past;
use crate::results;
use crate::run::Setup;

/// When histories begin, in seconds since 1970; each round is an hour later.
const BEGINNING: i64 = 1_800_000_000;

pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) random: Random,
    pub(crate) world: World,
    pub(crate) setup: Setup,
    count: u64,
    log: Vec<String>,
}

fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

/// Somebody else does something on one side.
pub(crate) fn meddle(machine: &mut Machine, root: &DatasetName, seed: u64) {
    // Numbers of its own, so that its names are new as well.
    let (mut random, mut count) = (Random::new(seed), 1_000_000 + seed % 1_000_000);
    let is_source = root.pool() == "tank";
    let mut past = Past { machine, random: &mut random, root, count: &mut count, said: Vec::new() };
    if is_source { past.at_source() } else { past.at_target() }
}

impl History {
    pub(crate) fn new(seed: u64, counts: &mut Counts) -> Self {
        let mut random = Random::new(seed);
        let world = World::new(seed, &["here", "there"]);
        let source = name("tank/a");
        let target = match random.below(6) {
            0 => name("backup/deep/er/a"),
            1 => name("backup/safe/a"),
            _ => name("backup/a"),
        };
        let encrypted = random.once_in(4);
        world.on("here", |here| {
            here.create_pool("tank");
            let made = if encrypted {
                here.create_encrypted(&source)
            } else {
                here.create(&source, DatasetKind::Filesystem, &[])
            };
            made.expect("create");
        });
        world.on("there", |there| {
            there.create_pool("backup");
            if target.as_str() == "backup/safe/a" {
                there.create_encrypted(&name("backup/safe")).expect("create");
            }
        });
        let setup = Setup {
            source,
            target,
            options: Options::default(),
            plain: [random.once_in(2), random.once_in(2)],
            jobs: 1,
            attempts: 1 + random.below(2) as u32,
            weigh: random.once_in(4),
            now: BEGINNING,
            interrupt: None,
        };
        let mut history = Self { seed, random, world, setup, count: 0, log: Vec::new() };
        history.choose_options();
        let Setup { target, plain, attempts, weigh, .. } = &history.setup;
        let said = format!(
            "to {target}, plain {plain:?}, attempts {attempts}, weigh {weigh}, encrypted {encrypted}"
        );
        history.note(said);
        for _ in 0..4 {
            history.pass("here", counts);
        }
        if history.random.once_in(12) {
            // Somebody made the target before us.
            let target = history.setup.target.clone();
            let made = |there: &mut Machine| there.create(&target, DatasetKind::Filesystem, &[]);
            drop(history.world.on("there", made));
            history.note(format!("there: create {target}"));
            history.pass("there", counts);
        }
        let root = history.setup.source.clone();
        history.past("here", |past| past.snapshot(&root, "s"));
        history
    }

    pub(crate) fn note(&mut self, text: String) {
        self.log.push(text);
    }

    fn past(&mut self, machine: &str, what: impl FnOnce(&mut Past<'_>)) {
        let root = if machine == "here" { self.setup.source.clone() } else { self.setup.target.clone() };
        let Self { random, world, count, .. } = self;
        let said = world.on(machine, |machine| {
            let mut past = Past { machine, random, root: &root, count, said: Vec::new() };
            what(&mut past);
            past.said
        });
        self.log.extend(said.into_iter().map(|text| format!("{machine}: {text}")));
    }

    /// Something happens on a machine.
    pub(crate) fn pass(&mut self, machine: &str, counts: &mut Counts) {
        self.past(machine, |past| if machine == "here" { past.at_source() } else { past.at_target() });
        counts.steps += 1;
        counts.past += 1;
        if let Err(what) = results::check_world(&self.world.machines()) {
            self.fail(&what);
        }
    }

    /// What happens until the next replication.
    pub(crate) fn go_on(&mut self, counts: &mut Counts) {
        self.setup.now += 3600;
        for _ in 0..self.random.below(5) {
            self.pass("here", counts);
        }
        if self.random.once_in(2) {
            for _ in 0..=self.random.below(2) {
                self.pass("there", counts);
            }
        }
        if self.random.once_in(8) {
            self.choose_options();
        }
        let room = if self.setup.weigh && self.random.once_in(4) { 1000 } else { 1 << 30 };
        self.world.on("there", |there| there.set_available(room));
    }

    pub(crate) fn fail(&self, what: &str) -> ! {
        panic!("{what}\nCAMPAIGN_SEED={}\n{}", self.seed, self.log.join("\n"))
    }

    /// How datasets are replicated from now on.
    fn choose_options(&mut self) {
        let random = &mut self.random;
        let (included, excluded): (&[&str], &[&str]) = match random.below(10) {
            0 => (&[], &["y y"]),
            1 => (&[], &["."]),
            2 => (&["x/deep", "x/vol", "c*"], &[]),
            _ => (&[], &[]),
        };
        let (wanted, unwanted): (&[&str], &[&str]) = match random.below(10) {
            0 => (&["s*"], &[]),
            1 => (&[], &["*3", "*7"]),
            _ => (&[], &[]),
        };
        let options = Options {
            recursive: !random.once_in(8),
            initial: match random.below(10) {
                0 => Initial::Refuse,
                1 | 2 => Initial::Newest,
                _ => Initial::All,
            },
            intermediates: !random.once_in(4),
            divergence: if random.once_in(2) { Divergence::Stop } else { Divergence::Preserve },
            discard_partial: random.once_in(2),
            decrypt: random.once_in(4),
            follow_renames: !random.once_in(4),
            bookmarks: !random.once_in(4),
            set: if random.once_in(4) {
                vec![("compression".to_string(), "off".to_string())]
            } else {
                Vec::new()
            },
            ..Options::default()
        };
        self.log.push(format!(
            "datasets {included:?} not {excluded:?}, snapshots {wanted:?} not {unwanted:?}, {options:?}"
        ));
        let (datasets, snapshots) = (patterns(included, excluded), patterns(wanted, unwanted));
        self.setup.options = Options { datasets, snapshots, ..options };
    }
}

fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    Patterns::new(&owned(include), &owned(exclude)).expect("good patterns")
}
