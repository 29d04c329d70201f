//! Two machines in memory, and runs of the syncoid front end between them, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;
use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::log::Log;
use super::names::Owner;
use super::options;
use super::options::Asked;
use super::run::End;
use super::run::Run;
use super::run::Side;
use crate::cancel::Cancel;
use crate::model::World;
use crate::transfer::Settings;

pub(super) fn name(text: &str) -> DatasetName {
    text.parse().expect("a name")
}

pub(super) fn snap(text: &str) -> SnapshotName {
    text.parse().expect("a name")
}

/// `tank` on `here` with a few datasets, and an empty pool `back` on `there`.
pub(super) struct Lab {
    pub(super) world: World,
    clock: AtomicI64,
}

/// How a run ended, and what it said.
pub(super) struct Told {
    pub(super) end: Result<u8, End>,
    pub(super) lines: Vec<String>,
}

impl Told {
    #[track_caller]
    pub(super) fn ok(self) -> Self {
        self.status(0)
    }

    #[track_caller]
    pub(super) fn status(self, status: u8) -> Self {
        assert_eq!(self.end, Ok(status), "{:#?}", self.lines);
        self
    }

    #[track_caller]
    pub(super) fn says(self, text: &str) -> Self {
        assert!(self.lines.iter().any(|line| line.contains(text)), "{text}: {:#?}", self.lines);
        self
    }
}

impl Lab {
    pub(super) fn new() -> Self {
        let world = World::new(7, &["here", "there"]);
        world.on("here", |here| {
            here.create_pool("tank");
            here.create(&name("tank/a"), DatasetKind::Filesystem, &[]).expect("create");
        });
        world.on("there", |there| there.create_pool("back"));
        let lab = Self { world, clock: AtomicI64::new(1_800_000_000) };
        lab.snapshot("tank/a@1");
        lab.snapshot("tank/a@2");
        lab
    }

    /// Writes something, and takes a snapshot.
    pub(super) fn snapshot(&self, text: &str) {
        let at = snap(text);
        self.world.on("here", |here| {
            let block = here.dataset(at.dataset()).expect("there").snapshots.len() as u64;
            for value in 0..5 {
                here.write(at.dataset(), block + value, block * 10 + value);
            }
            here.snapshot(&[at]).expect("taken");
        });
    }

    pub(super) fn create(&self, text: &str) {
        self.world.on("here", |here| here.create(&name(text), DatasetKind::Filesystem, &[]).expect("made"));
    }

    /// A snapshot that only the target has.
    pub(super) fn stray(&self, text: &str) {
        self.world.on("there", |there| {
            there.write(snap(text).dataset(), 99, 1);
            there.snapshot(&[snap(text)]).expect("taken");
        });
    }

    /// A run, in which something happens when a line is told.
    pub(super) fn run_and(
        &self,
        line: &str,
        at: &'static str,
        happens: impl Fn(&World) + Send + Sync + 'static,
    ) -> Told {
        let (world, once) = (self.world.clone(), AtomicBool::new(false));
        self.run_with(line, move |told| {
            if told.contains(at) && !once.swap(true, Ordering::Relaxed) {
                happens(&world);
            }
        })
    }

    /// `replicator syncoid LINE SOURCE TARGET` with the model in place of both machines. A plus sign stands for a space
    /// within a word.
    pub(super) fn run(&self, line: &str) -> Told {
        self.run_with(line, |_| {})
    }

    fn run_with(&self, line: &str, seen: impl Fn(&str) + Send + Sync + 'static) -> Told {
        let words: Vec<std::ffi::OsString> =
            line.split_whitespace().map(|word| word.replace('+', " ").into()).collect();
        let Asked::Run(options) = options::read(&words).expect("options") else { panic!("no run") };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let log = Log::to(options.quiet, move |_, line| {
            sink.lock().expect("alone").push(line.to_string());
            seen(line);
        });
        let side =
            |machine: &str| Side { host: Box::new(self.world.host(machine)), machine: None, commands: None };
        let clock = || {
            let at = self.clock.fetch_add(60, Ordering::Relaxed);
            Zoned::new(Timestamp::from_second(at).expect("a time"), TimeZone::UTC)
        };
        let cancel = Cancel::new();
        let mut run = Run {
            options: &options,
            log: &log,
            cancel: &cancel,
            settings: Settings::default(),
            owner: Owner::new(&options.identifier, "me"),
            hostname: "me".to_string(),
            clock: &clock,
            source: side("here"),
            // One machine by two names, where both are in its pool.
            target: side(if options.target.starts_with("tank") { "here" } else { "there" }),
            one_machine: false,
            brought: 0,
            targets: BTreeMap::new(),
            properties: BTreeMap::new(),
            told_compression: false,
            status: 0,
        };
        let end = run.all(&name(&options.source), &name(&options.target));
        let lines = lines.lock().expect("alone").clone();
        Told { end, lines }
    }

    pub(super) fn snapshots(&self, machine: &str, dataset: &str) -> Vec<String> {
        self.world.on(machine, |machine| {
            let found = machine.dataset(&name(dataset));
            found.map(|one| one.snapshots.iter().map(|one| short(&one.short)).collect()).unwrap_or_default()
        })
    }

    pub(super) fn holds(&self, machine: &str, snapshot: &str) -> Vec<String> {
        let found = self.world.on(machine, |machine| machine.find(&snap(snapshot)).cloned());
        found.expect("there").holds.into_iter().collect()
    }

    pub(super) fn bookmarks(&self) -> Vec<String> {
        self.world.on("here", |here| {
            here.dataset(&name("tank/a")).expect("there").bookmarks.keys().cloned().collect()
        })
    }

    /// Both sides have the same under the same names, and nothing of the replications of this program is left.
    #[track_caller]
    pub(super) fn equal(&self, ours: &str, theirs: &str) {
        let of = |machine: &str, dataset: &str| {
            self.world.on(machine, |machine| {
                let found = machine.dataset(&name(dataset)).cloned().expect("there");
                assert!(found.bookmarks.keys().all(|mark| !mark.starts_with("replicator")));
                let one = |snap: &crate::model::Snap| (snap.short.clone(), snap.guid, snap.content.clone());
                found.snapshots.iter().map(one).collect::<Vec<_>>()
            })
        };
        assert_eq!(of("here", ours), of("there", theirs));
    }
}

/// Without the time.
fn short(name: &str) -> String {
    match name.split_once("_20") {
        Some((head, _)) if head.starts_with("syncoid_") => head.to_string(),
        _ => name.to_string(),
    }
}
