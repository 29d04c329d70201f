//! Everything that can go wrong with one replication: a crash after every single effect, and faults of other kinds. After
//! each the next run must bring what the undisturbed one brings.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use replicator::model::Fault;
use replicator::model::Moment;
use replicator::model::When;
use replicator::model::World;

use crate::counts::Counts;
use crate::history::History;
use crate::history::meddle;
use crate::invariants::Guard;
use crate::results;
use crate::run::Besides;
use crate::run::Machines;
use crate::run::Outcome;
use crate::run::Setup;
use crate::run::replicate;

/// Seconds until the run after a run.
const LATER: i64 = 60;

/// The machines once the process that replicated is dead.
fn after_a_crash(mut machines: Machines) -> Machines {
    machines.values_mut().for_each(replicator::model::Machine::end_receives);
    machines
}

/// One replication from where a history stands, and everything that can go wrong with it.
pub(crate) struct Explorer<'h> {
    pub(crate) history: &'h mut History,
    pub(crate) counts: &'h mut Counts,
}

impl Explorer<'_> {
    /// Fails the campaign.
    fn require(&self, found: Result<(), String>, when: &str) {
        if let Err(what) = found {
            self.history.fail(&format!("{when}: {what}"));
        }
    }

    /// One run with the checks that every run must pass.
    fn run(&mut self, world: &World, setup: &Setup, besides: &Besides<'_>, when: &str) -> Outcome {
        let start = world.machines();
        let outcome = replicate(world, setup, besides);
        self.counts.runs += 1;
        self.counts.steps += outcome.effects;
        if let Some(plan) = &outcome.plan {
            self.counts.saw_plan(plan, &start["here"]);
        }
        if outcome.retries > 0 {
            self.counts.saw("a retry");
        }
        let checked = match &outcome.violation {
            Some(violation) => Err(violation.clone()),
            None => {
                results::check(&start, &world.machines(), setup, &outcome, world.crashed(), besides.meddled())
            }
        };
        if let Err(what) = checked {
            let (errors, log) = (outcome.errors.join("\n"), outcome.log.join("\n"));
            self.history.fail(&format!("{when}: {what}\nerrors:\n{errors}\neffects:\n{log}"));
        }
        outcome
    }

    fn later(setup: &Setup) -> Setup {
        Setup { now: setup.now + LATER, ..setup.clone() }
    }

    /// The run after something went wrong: it must bring what `whole` brought, and the one after it has nothing to do.
    fn mend(&mut self, machines: &Machines, whole: &Outcome, when: &str) -> (World, Outcome) {
        let setup = Self::later(&self.history.setup);
        let when = format!("the run after {when}");
        let world = World::of(machines.clone());
        let next = self.run(&world, &setup, &Besides::default(), &when);
        let found = results::check_mended(machines, &world.machines(), whole, &next);
        if let Err(what) = found {
            let (errors, log) = (next.errors.join("\n"), next.log.join("\n"));
            self.history.fail(&format!("{when}: {what}\nerrors:\n{errors}\neffects:\n{log}"));
        }
        (world, next)
    }

    /// Where everything has arrived there is nothing to do.
    fn idle(&mut self, world: &World, before: &Outcome, when: &str) {
        let world = world.copy();
        let setup = Setup { now: self.history.setup.now + 2 * LATER, ..self.history.setup.clone() };
        let (mut source, mut target) = setup.hosts(&world);
        let Ok(plan) = setup.plan(&mut source, &mut target) else { return };
        self.require(results::check_idle(&plan, before), &format!("another run after {when}"));
    }

    /// All of it. The history goes on from one of the states that were reached.
    pub(crate) fn explore(&mut self) {
        let setup = self.history.setup.clone();
        let start = self.history.world.machines();
        let clean = World::of(start.clone());
        let mut whole =
            self.run(&clean, &setup, &Besides { keep_states: true, ..Besides::default() }, "undisturbed");
        self.require(results::check_printed(&whole), "undisturbed");
        self.idle(&clean, &whole, "the undisturbed run");
        let states = std::mem::take(&mut whole.states);
        let log = whole.log.clone();
        let mut crashed = Vec::new();
        for (state, effect) in states.into_iter().zip(&log) {
            self.counts.crashes += 1;
            self.counts.saw("a crash");
            let state = after_a_crash(state);
            let mended = self.mend(&state, &whole, &format!("a crash after {effect}"));
            crashed.push((state, mended));
        }
        if !crashed.is_empty() {
            let at = self.history.random.below(crashed.len() as u64) as usize;
            let when = format!("the run that mended a crash after {}", log[at]);
            let (world, outcome) = &crashed[at].1;
            self.idle(world, outcome, &when);
            self.real_crash(&start, at as u64 + 1, &crashed[at].0);
        }
        self.listings(&start);
        for _ in 0..3 {
            self.disturb(&start, &whole);
        }
        self.history.note(format!("replicated: {:?}", whole.errors));
        self.history.world = match (self.history.random.below(8), crashed.is_empty()) {
            (0..=2, false) => {
                let at = self.history.random.below(crashed.len() as u64) as usize;
                self.history.note(format!("… and crashed after {}", log[at]));
                self.counts.saw("history continued from a crash");
                World::of(crashed.swap_remove(at).0)
            }
            _ => clean,
        };
    }

    /// The states that are looked at are those that a process leaves that dies.
    fn real_crash(&mut self, start: &Machines, effect: u64, expected: &Machines) {
        let world = World::of(start.clone());
        let moment = Moment::After;
        world.inject(Fault::Crash { effect, moment });
        let setup = self.history.setup.clone();
        self.run(&world, &setup, &Besides::default(), &format!("a process that dies after effect {effect}"));
        world.all_struck();
        if world.machines() != *expected {
            self.history.fail(&format!("a process that died after effect {effect} left something else"));
        }
    }

    /// I3: what comes after a listing that failed.
    fn listings(&mut self, start: &Machines) {
        for machine in ["here", "there"] {
            let extra = 2 + self.history.random.below(12);
            for number in [1, extra] {
                let world = World::of(start.clone());
                world.inject(Fault::Listing { machine: machine.to_string(), number });
                let when = format!("listing {number} of {machine} failing");
                let setup = self.history.setup.clone();
                let outcome = self.run(&world, &setup, &Besides::default(), &when);
                if world.disarm().is_empty() {
                    self.counts.saw("a listing that failed");
                    self.require(results::check_listing_failed(&outcome), &when);
                }
            }
        }
    }

    /// One disturbance of another kind, and the run after it.
    fn disturb(&mut self, start: &Machines, whole: &Outcome) {
        let mut setup = self.history.setup.clone();
        let world = World::of(start.clone());
        let there = || "there".to_string();
        let mut stray = false;
        let kind = match self.history.random.below(10) {
            0 | 1 => {
                setup.attempts = 3;
                let first = self.history.random.below(2500);
                world.inject(Fault::Cut { bytes: first });
                if self.history.random.once_in(2) {
                    world.inject(Fault::Cut { bytes: self.history.random.below(2500) });
                }
                "a cut"
            }
            2 => {
                world.inject(Fault::Full { bytes: self.history.random.below(2500) });
                "a full target"
            }
            3 => {
                setup.attempts = 1 + self.history.random.below(3) as u32;
                world.inject(Fault::Cut { bytes: 400 + self.history.random.below(1500) });
                world.inject(Fault::Linger { calls: 1 + self.history.random.below(8) });
                "a receive that went on alone"
            }
            4 => {
                world.inject(Fault::NoBookmarks { machine: "here".to_string() });
                "no right to bookmark"
            }
            5 => {
                let kinds = ["rename", "clone", "promote"];
                let at = self.history.random.below(kinds.len() as u64 * 2) as usize;
                world.inject(Fault::Denied {
                    machine: there(),
                    kind: kinds.get(at).copied().unwrap_or("rename"),
                });
                "no right to rename"
            }
            6 => {
                setup.interrupt = Some(1 + self.history.random.below(12) as usize);
                "an interruption"
            }
            7 => {
                setup.jobs = 3;
                "several datasets at once"
            }
            8 => {
                stray = true;
                "meddling after planning"
            }
            _ => {
                stray = true;
                "meddling in the middle"
            }
        };
        let seed = self.history.random.number();
        let roots = [setup.source.clone(), setup.target.clone()];
        let after_planning = |world: &World| {
            for (machine, root) in ["here", "there"].into_iter().zip(&roots) {
                world.on(machine, |machine| meddle(machine, root, seed));
            }
        };
        let middle = 1 + seed % 24;
        let guarded = |world: &World, guard: &Arc<Mutex<Guard>>| {
            for (machine, root) in ["here", "there"].into_iter().zip(roots.clone()) {
                let guard = guard.clone();
                let (name, when) = (machine.to_string(), When::Effect(middle));
                world.inject(Fault::Meddle {
                    when,
                    machine: machine.to_string(),
                    what: Box::new(move |machine| {
                        meddle(machine, &root, seed);
                        guard.lock().unwrap_or_else(PoisonError::into_inner).excuse(&name, machine);
                    }),
                });
            }
        };
        let mut besides = Besides::default();
        match kind {
            "meddling after planning" => besides.after_planning = Some(&after_planning),
            "meddling in the middle" => besides.guarded = Some(&guarded),
            _ => {}
        }
        let when = format!("{kind} (seed {seed})");
        let outcome = self.run(&world, &setup, &besides, &when);
        let struck = world.disarm().is_empty();
        match kind {
            "an interruption" if outcome.begun.len() < setup.interrupt.unwrap_or_default() => {}
            "several datasets at once" if whole.reached.len() < 2 => {}
            kind if struck => self.counts.saw(kind),
            _ => {}
        }
        if !stray {
            let left = after_a_crash(world.machines());
            self.mend(&left, whole, &when);
        }
    }
}
