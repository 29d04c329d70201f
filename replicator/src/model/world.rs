//! Several machines, what goes wrong on them, and whether the process that uses them is alive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::host::HostError;
use crate::transport::TransportError;

use super::ModelHost;
use super::faults::Fault;
use super::faults::Faults;
use super::faults::Moment;
use super::faults::When;
use super::machine::Machine;

/// A change that was made, or refused, for whoever watches.
#[derive(Debug)]
pub struct Effect<'w> {
    /// Its number since the last restart.
    pub number: u64,
    /// Where.
    pub machine: &'w str,
    /// What.
    pub name: &'w str,
    /// All machines, as they are afterwards.
    pub machines: &'w BTreeMap<String, Machine>,
}

/// What is called after each change.
type Watcher = Box<dyn FnMut(&Effect<'_>) + Send>;

/// Machines of the model. Cloning gives another handle to the same world.
#[derive(Clone, Debug)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    machines: BTreeMap<String, Machine>,
    pub(super) faults: Faults,
    /// Counts restarts: hosts of an earlier process are dead.
    process: u64,
    dead: bool,
    /// Changes made since the restart.
    effects: u64,
    /// Calls since the restart.
    calls: u64,
    /// The same, of each machine.
    calls_to: BTreeMap<String, u64>,
    /// Machines that do not answer, and for how many more calls.
    cut_off: BTreeMap<String, u64>,
    /// The answer to the call that is going on is lost on its way.
    unanswered: bool,
    /// Receives that go on without anybody writing: the machine, the receive, and for how many calls.
    lingering: Vec<(String, u64, u64)>,
    log: Vec<String>,
    watcher: Watching,
}

#[derive(Default)]
struct Watching(Option<Watcher>);

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "watched" } else { "not watched" })
    }
}

impl World {
    /// Machines by these names, without pools. All GUIDs follow from the seed.
    #[must_use]
    pub fn new(seed: u64, machines: &[&str]) -> Self {
        let machine = |(at, name): (usize, &&str)| {
            let own = seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add((at as u64) << 32);
            ((*name).to_string(), Machine::new(own))
        };
        Self::of(machines.iter().enumerate().map(machine).collect())
    }

    /// Of machines as they are.
    #[must_use]
    pub fn of(machines: BTreeMap<String, Machine>) -> Self {
        let inner = Inner {
            machines,
            faults: Faults::default(),
            process: 1,
            dead: false,
            effects: 0,
            calls: 0,
            calls_to: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            unanswered: false,
            lingering: Vec::new(),
            log: Vec::new(),
            watcher: Watching::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A world of its own that has the same in it, without faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.lock().machines.clone())
    }

    /// The machines as they are now.
    #[must_use]
    pub fn machines(&self) -> BTreeMap<String, Machine> {
        self.lock().machines.clone()
    }

    /// Has each change of a host told from now on, in the order in which they are made. `watcher` must not use this
    /// world.
    pub fn watch(&self, watcher: impl FnMut(&Effect<'_>) + Send + 'static) {
        self.lock().watcher = Watching(Some(Box::new(watcher)));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something on a machine, or looks at it, past all faults. A name that is no machine's is a mistake of the
    /// test.
    pub fn on<T>(&self, machine: &str, what: impl FnOnce(&mut Machine) -> T) -> T {
        what(self.lock().machines.get_mut(machine).expect("a machine of this world"))
    }

    /// A machine as the replication sees it.
    #[must_use]
    pub fn host(&self, machine: &str) -> ModelHost {
        let process = self.lock().process;
        ModelHost::new(self.clone(), machine.to_string(), process)
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// A new process: hosts made before are dead, hosts made from now on live, all machines can be reached, and counting
    /// begins anew. Faults that did not strike stay.
    pub fn restart(&self) {
        let mut inner = self.lock();
        inner.process += 1;
        inner.dead = false;
        inner.effects = 0;
        inner.calls = 0;
        inner.calls_to.clear();
        inner.cut_off.clear();
        inner.unanswered = false;
        inner.log.clear();
    }

    /// Whether a crash has struck since the last restart.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.lock().dead
    }

    /// How many changes were made since the last restart.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.lock().effects
    }

    /// How many calls were made since the last restart.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// How many calls were made to one machine since the last restart.
    #[must_use]
    pub fn calls_to(&self, machine: &str) -> u64 {
        self.lock().calls_to.get(machine).copied().unwrap_or(0)
    }

    /// The changes since the last restart, in words.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Forgets all faults, and gives those that did not strike. For tests that try numbers until none strikes.
    pub fn disarm(&self) -> Vec<Fault> {
        self.lock().faults.disarm()
    }

    /// Fails unless every fault has struck; forgets them.
    ///
    /// # Panics
    /// When one did not.
    pub fn all_struck(&self) {
        let left = self.disarm();
        assert!(left.is_empty(), "these faults never struck, so nothing was tested: {left:?}");
    }
}

impl Inner {
    pub(super) fn machine(&mut self, name: &str) -> &mut Machine {
        self.machines.get_mut(name).expect("a machine of this world")
    }

    /// A call by a host of this process to a machine.
    pub(super) fn enter(&mut self, process: u64, machine: &str) -> Result<(), HostError> {
        if self.dead || process != self.process {
            return Err(died());
        }
        self.calls += 1;
        self.reach(machine)?;
        while let Some((machine, what)) = self.faults.meddle(When::Call(self.calls)) {
            what(self.machine(&machine));
        }
        for (on, _, left) in &mut self.lingering {
            if on == machine {
                *left = left.saturating_sub(1);
            }
        }
        let (over, go_on) =
            std::mem::take(&mut self.lingering).into_iter().partition(|(_, _, left)| *left == 0);
        self.lingering = go_on;
        let over: Vec<(String, u64, u64)> = over;
        for (on, id, _) in over {
            self.machine(&on).receive_stopped(id);
        }
        Ok(())
    }

    /// Whether a call gets to its machine.
    fn reach(&mut self, machine: &str) -> Result<(), HostError> {
        let number = self.calls_to.entry(machine.to_string()).or_default();
        *number += 1;
        let number = *number;
        if let Some(left) = self.cut_off.get_mut(machine).filter(|left| **left > 0) {
            *left -= 1;
            return Err(lost(machine));
        }
        match self.faults.partition(machine, number) {
            None => Ok(()),
            Some((moment, calls)) => {
                self.cut_off.insert(machine.to_string(), calls.saturating_sub(1));
                self.unanswered = moment == Moment::After;
                if self.unanswered { Ok(()) } else { Err(lost(machine)) }
            }
        }
    }

    /// The end of a call: whether its answer comes back.
    pub(super) fn answered(&mut self, machine: &str) -> Result<(), HostError> {
        if std::mem::take(&mut self.unanswered) { Err(lost(machine)) } else { Ok(()) }
    }

    /// A change on a machine: the one place where the process can die.
    pub(super) fn effect<T>(
        &mut self,
        machine: &str,
        name: impl FnOnce() -> String,
        change: impl FnOnce(&mut Machine) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        self.effects += 1;
        let number = self.effects;
        while let Some((machine, what)) = self.faults.meddle(When::Effect(number)) {
            what(self.machine(&machine));
        }
        let name = name();
        self.log.push(format!("{number}: {machine}: {name}"));
        if self.faults.crash(number, Moment::Before) {
            self.dead = true;
            return Err(died());
        }
        let done = change(self.machine(machine));
        if let Some(watcher) = &mut self.watcher.0 {
            watcher(&Effect { number, machine, name: &name, machines: &self.machines });
        }
        if self.faults.crash(number, Moment::After) {
            self.dead = true;
            return Err(died());
        }
        self.answered(machine)?;
        done
    }

    pub(super) fn lingers(&mut self, machine: &str, id: u64, calls: u64) {
        self.lingering.push((machine.to_string(), id, calls));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let waiting: Vec<_> = self.faults.waiting().collect();
        if !std::thread::panicking() {
            assert!(waiting.is_empty(), "these faults never struck, so nothing was tested: {waiting:?}");
        }
    }
}

/// What the near side sees of a network that is broken.
fn lost(machine: &str) -> HostError {
    let (peer, cause) = (machine.to_string(), "the network is cut (a fault of the test)".to_string());
    TransportError::Lost { peer, phase: "waiting for an answer", cause }.into()
}

/// What every call answers after a crash. Not an error that anybody would try again.
fn died() -> HostError {
    HostError::BadAnswer {
        host: "the model".to_string(),
        operation: "anything",
        why: "this process died (a fault of the test)".to_string(),
    }
}
