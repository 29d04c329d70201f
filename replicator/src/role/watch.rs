//! Looks several times before anything is decided, and once more, cheaply, before each step: a service can leave while a
//! stream is on its way.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use zfs_core::Zfs;

use super::Role;
use super::by_hand;
use super::decide::Names;
use super::decide::Purpose;
use super::decide::Verdict;
use super::decide::decide;
use super::observation::Epoch;
use super::observation::Observation;
use super::observation::Override;
use super::observation::PeerSaid;
use super::observation::Seen;
use super::roots;
use super::source;
use super::source::Source;
use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::config::pair::Pair;
use crate::config::pair::Watch;
use crate::host::local::Local;

/// How old a look may be that a step goes by: steps that begin together share one.
pub const FRESH: Duration = Duration::from_secs(1);

/// Asks for one part of an observation.
pub type Ask<T> = Box<dyn FnMut(&Cancel) -> T + Send>;

/// Everything that is looked at.
pub struct Eyes {
    /// Who decides.
    pub source: Box<dyn Source>,
    /// The epoch of the pools here.
    pub epoch: Ask<Seen<Option<Epoch>>>,
    /// The other node.
    pub peer: Ask<PeerSaid>,
    /// What a person has said.
    pub by_hand: Ask<Seen<Option<Override>>>,
}

impl Eyes {
    /// Those of a pair. `state` is the folder in which runs leave their records.
    #[must_use]
    pub fn of(pair: &Pair, state: PathBuf) -> Self {
        let (here, roots, name) = (Names::of(pair).here, pair.roots.clone(), pair.name.clone());
        let mut local: Option<Local> = None;
        let epoch = move |cancel: &Cancel| {
            let host = match &mut local {
                Some(host) => host,
                None => match Zfs::open() {
                    Ok(zfs) => local.insert(Local::new(zfs).cancelled_by(cancel.clone())),
                    Err(error) => return Seen::unknown(format!("this machine has no usable ZFS: {error}")),
                },
            };
            roots::epoch_here(host, &here, &roots)
        };
        let mut other = roots::Other::new(pair);
        Self {
            source: source::of(pair),
            epoch: Box::new(epoch),
            peer: Box::new(move |cancel| other.ask(cancel)),
            by_hand: Box::new(move |_| by_hand::read(&state, &name, Timestamp::now())),
        }
    }

    /// One look at everything.
    pub fn observe(&mut self, cancel: &Cancel) -> Observation {
        Observation {
            reading: self.source.observe(cancel),
            epoch: (self.epoch)(cancel),
            peer: (self.peer)(cancel),
            by_hand: (self.by_hand)(cancel),
        }
    }
}

/// A role, and what it was found from.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What was observed, in its order; never empty.
    pub observations: Vec<Observation>,
    /// What follows from it.
    pub verdict: Verdict,
}

/// Somebody asked to stop before anything was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted before the role was known")]
pub struct Interrupted;

/// Looks as often as it is configured, and decides. Where one look is enough not to know the role there is no second one,
/// which could change nothing.
///
/// # Errors
/// When the run is to stop.
pub fn watch(
    eyes: &mut Eyes,
    names: &Names,
    watch: &Watch,
    purpose: Purpose,
    cancel: &Cancel,
) -> Result<Decision, Interrupted> {
    let mut observations = Vec::new();
    loop {
        observations.push(eyes.observe(cancel));
        if cancel.is_cancelled() {
            return Err(Interrupted);
        }
        let verdict = decide(names, &observations, purpose);
        let enough = observations.len() >= usize::try_from(watch.times).unwrap_or(usize::MAX);
        if enough || verdict.role == Role::Unknown {
            return Ok(Decision { observations, verdict });
        }
        let until = Instant::now() + watch.distance;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if cancel.is_cancelled() {
                return Err(Interrupted);
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// What is asked before each step: whether the node still is what it was when the run began. Shared by all that a run
/// does at the same time. Once it has said no it goes on to say no: what the node is now, the next run finds out.
pub struct Fence {
    names: Names,
    purpose: Purpose,
    /// The last of the observations that the run goes by.
    decided: Observation,
    role: Role,
    cancel: Cancel,
    state: Mutex<State>,
}

struct State {
    eyes: Eyes,
    /// When the last look began that found everything as it was.
    looked: Option<Instant>,
    fenced: Option<Fenced>,
}

/// Why a step must not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node was {was} when the run began, and now: {now}")]
pub struct Fenced {
    /// What it was.
    pub was: Role,
    /// What is different, in words.
    pub now: String,
}

impl Fence {
    /// Of a decision and what it was found with. The first step looks again, too.
    ///
    /// # Errors
    /// Where nothing was decided on which a step could go by.
    pub fn new(
        eyes: Eyes,
        names: Names,
        purpose: Purpose,
        decision: &Decision,
        cancel: Cancel,
    ) -> Result<Self, Fenced> {
        let (role, reasons) = (decision.verdict.role, &decision.verdict.reasons);
        let decided = match (role, decision.observations.last()) {
            (Role::Active | Role::Standby | Role::Isolated, Some(last)) => last.clone(),
            (Role::Unknown, _) | (_, None) => {
                let now = reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ");
                return Err(Fenced { was: Role::Unknown, now });
            }
        };
        let state = Mutex::new(State { eyes, looked: None, fenced: None });
        Ok(Self { names, purpose, decided, role, cancel, state })
    }

    /// What the node is, as long as [`Self::check`] says so.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether a step may be taken now. Who decides is asked by the cheapest way that is current, and so are the epoch
    /// and the word of a person; the other node is not.
    ///
    /// # Errors
    /// When anything of it is different, or not known.
    pub fn check(&self) -> Result<(), Fenced> {
        // A look that panicked has found nothing.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fenced) = &state.fenced {
            return Err(fenced.clone());
        }
        if state.looked.is_some_and(|looked| looked.elapsed() < FRESH) {
            return Ok(());
        }
        let began = Instant::now();
        match self.look(&mut state.eyes) {
            Ok(()) => {
                state.looked = Some(began);
                Ok(())
            }
            Err(now) => {
                let fenced = Fenced { was: self.role, now };
                state.fenced = Some(fenced.clone());
                Err(fenced)
            }
        }
    }

    fn look(&self, eyes: &mut Eyes) -> Result<(), String> {
        let glance = eyes.source.glance(&self.cancel);
        let mut seen = self.decided.clone();
        seen.reading.owner = glance.owner;
        seen.reading.quorum = glance.quorum;
        seen.epoch = (eyes.epoch)(&self.cancel);
        seen.by_hand = (eyes.by_hand)(&self.cancel);
        let verdict = decide(&self.names, std::slice::from_ref(&seen), self.purpose);
        let reasons = || {
            let texts: Vec<_> = verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
            format!("{} ({})", verdict.role, texts.join("; "))
        };
        if verdict.role != self.role {
            return Err(reasons());
        }
        // The same role of another epoch is another one: somebody was promoted in between.
        if !seen.epoch.agrees(&self.decided.epoch) && self.role == Role::Active {
            return Err(format!("it was promoted again: {}", reasons()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
