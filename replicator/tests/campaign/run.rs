//! One replication on the model, as the command makes it, with everything that is looked at afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use replicator::cancel::Cancel;
use replicator::engine;
use replicator::engine::Observer;
use replicator::engine::Place;
use replicator::engine::Request;
use replicator::engine::Run;
use replicator::engine::RunError;
use replicator::host::Host;
use replicator::model::Machine;
use replicator::model::ModelHost;
use replicator::model::World;
use replicator::plan::Action;
use replicator::plan::Options;
use replicator::plan::Step;
use replicator::plan::TreePlan;
use replicator::transfer::Moved;
use replicator::transfer::Settings;
use replicator::transfer::budget::Budget;
use replicator::transfer::retry::Backoff;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::invariants::Guard;

/// All machines of a world at one moment.
pub(crate) type Machines = BTreeMap<String, Machine>;

/// Memory for blocks on their way, in bytes.
const BUDGET: u64 = 12 << 20;

/// How replications of one history are made.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) source: DatasetName,
    pub(crate) target: DatasetName,
    pub(crate) options: Options,
    /// Whether source and target have only the `zfs` command.
    pub(crate) plain: [bool; 2],
    pub(crate) jobs: usize,
    /// How often a step is tried.
    pub(crate) attempts: u32,
    /// Whether the target must have room for the estimates.
    pub(crate) weigh: bool,
    /// The time in seconds since 1970.
    pub(crate) now: i64,
    /// Interrupt the run when this step begins.
    pub(crate) interrupt: Option<usize>,
}

impl Setup {
    pub(crate) fn hosts(&self, world: &World) -> (ModelHost, ModelHost) {
        let host = |name: &str, plain: bool| {
            let host = world.host(name);
            if plain { host.plain() } else { host }
        };
        (host("here", self.plain[0]), host("there", self.plain[1]))
    }

    fn request(&self) -> Request {
        Request {
            source: self.source.clone(),
            target: self.target.clone(),
            options: self.options.clone(),
            estimate: self.weigh,
            ignore_space: !self.weigh,
            now: self.now,
        }
    }

    /// A look at both sides and a plan; nothing is carried out.
    pub(crate) fn plan(&self, source: &mut dyn Host, target: &mut dyn Host) -> Result<TreePlan, RunError> {
        engine::prepare(source, target, &self.request())
    }
}

/// What one run did.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) plan: Option<TreePlan>,
    /// The steps that were begun, in their order.
    pub(crate) begun: Vec<Action>,
    /// The datasets that reached their end, by their names on the target, with the newest GUID that they should have.
    pub(crate) reached: BTreeMap<DatasetName, Option<Guid>>,
    /// What went wrong, one line each.
    pub(crate) errors: Vec<String>,
    pub(crate) retries: u64,
    /// Effects, and what they were.
    pub(crate) effects: u64,
    pub(crate) log: Vec<String>,
    /// The machines after each effect, where that was asked for.
    pub(crate) states: Vec<Machines>,
    /// What an effect did that it must not do.
    pub(crate) violation: Option<String>,
}

/// Notes which steps were begun.
struct Watcher {
    begun: Arc<Mutex<Vec<Action>>>,
    retries: Mutex<u64>,
    interrupt: Option<usize>,
    cancel: Cancel,
}

impl Observer for Watcher {
    fn step_started(&self, _: Place, step: &Step) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push(step.action.clone());
        if self.interrupt == Some(begun.len()) {
            self.cancel.cancel();
        }
    }
    fn progress(&self, _: Place, _: Moved) {}
    fn step_finished(&self, _: Place, _: &Step, _: Moved) {}
    fn retry(&self, _: &DatasetName, _: &RunError, _: Duration) {
        *self.retries.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
    fn note(&self, _: &str) {}
}

/// Is told where the guard is, which answers for nothing that somebody else does.
type Guarded<'b> = dyn Fn(&World, &Arc<Mutex<Guard>>) + 'b;

/// What happens besides a replication.
#[derive(Default)]
pub(crate) struct Besides<'b> {
    /// Between the plan and its execution.
    pub(crate) after_planning: Option<&'b dyn Fn(&World)>,
    /// Once the guard stands, before the first effect.
    pub(crate) guarded: Option<&'b Guarded<'b>>,
    /// Keep the state after each effect.
    pub(crate) keep_states: bool,
}

impl Besides<'_> {
    /// Whether somebody else changes something, too.
    pub(crate) fn meddled(&self) -> bool {
        self.after_planning.is_some() || self.guarded.is_some()
    }
}

/// One replication.
pub(crate) fn replicate(world: &World, setup: &Setup, besides: &Besides<'_>) -> Outcome {
    let (mut source, mut target) = setup.hosts(world);
    let mut outcome = Outcome::default();
    let before = world.machines();
    let plan = match setup.plan(&mut source, &mut target) {
        Ok(plan) => plan,
        Err(error) => {
            outcome.errors.push(error.to_string());
            outcome.effects = world.effects();
            outcome.log = world.log();
            return outcome;
        }
    };
    if !world.crashed() && world.machines() != before {
        outcome.violation = Some("I4: looking and planning changed something".to_string());
    }
    if let Some(meddle) = besides.after_planning {
        meddle(world);
    }
    let begun = Arc::new(Mutex::new(Vec::new()));
    let guard = Guard::new(world.machines(), setup, &plan, begun.clone(), besides);
    let guard = Arc::new(Mutex::new(guard));
    if let Some(guarded) = besides.guarded {
        guarded(world, &guard);
    }
    let watching = guard.clone();
    world.watch(move |effect| watching.lock().unwrap_or_else(PoisonError::into_inner).look(effect));
    let cancel = Cancel::new();
    let watcher =
        Watcher { begun, retries: Mutex::new(0), interrupt: setup.interrupt, cancel: cancel.clone() };
    let budget = Budget::new(BUDGET);
    let transfer = Settings { budget: budget.clone(), ..Settings::default() };
    let backoff = Backoff {
        first: Duration::ZERO,
        longest: Duration::ZERO,
        attempts: setup.attempts,
        busy: Duration::ZERO,
    };
    let run = Run { transfer, jobs: setup.jobs, backoff, lock: None };
    let done = engine::execute(&plan, &setup.options, &mut source, &mut target, &run, &watcher, &cancel);
    match done {
        Ok(report) => {
            for (planned, report) in plan.datasets.iter().zip(&report.datasets) {
                match &report.error {
                    None => drop(outcome.reached.insert(planned.target.clone(), planned.newest())),
                    Some(error) => outcome.errors.push(format!("{}: {error}", planned.source)),
                }
            }
        }
        Err(error) => outcome.errors.push(error.to_string()),
    }
    let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.begun = watcher.begun.lock().unwrap_or_else(PoisonError::into_inner).clone();
    outcome.retries = *watcher.retries.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.effects = world.effects();
    outcome.log = world.log();
    outcome.states = std::mem::take(&mut guard.states);
    outcome.violation = outcome.violation.take().or_else(|| guard.violation.take());
    if budget.peak() > BUDGET || budget.used() > 0 {
        let (peak, used) = (budget.peak(), budget.used());
        outcome.violation = Some(format!("I8: {peak} bytes of {BUDGET} were in use, and {used} are still"));
    }
    outcome.plan = Some(plan);
    outcome
}
