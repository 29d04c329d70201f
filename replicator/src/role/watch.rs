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
use super::decide::Without;
use super::decide::decide;
use super::epochs::Epochs;
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

/// Of the epochs here: whether this node is still to have the service, where this program takes it itself.
pub type Keeps = Box<dyn FnMut(&Epochs) -> bool + Send>;

/// Everything that is looked at.
pub struct Eyes {
    /// Who decides.
    pub source: Box<dyn Source>,
    /// The epochs of the pools here.
    pub epoch: Ask<Epochs>,
    /// The other node.
    pub peer: Ask<PeerSaid>,
    /// What a person has said.
    pub by_hand: Ask<Seen<Option<Override>>>,
    /// Who looks in order to work with it renews what this node has of the service, as long as this says so; who only looks
    /// has none, and changes nothing.
    pub keeps: Option<Keeps>,
}

impl Eyes {
    /// Those of a pair. `state` is the folder in which runs leave their records.
    #[must_use]
    pub fn of(pair: &Pair, state: PathBuf) -> Self {
        let (roots, name) = (pair.roots.clone(), pair.name.clone());
        let mut local: Option<Local> = None;
        let epoch = move |cancel: &Cancel| {
            let host = match &mut local {
                Some(host) => host,
                None => match Zfs::open() {
                    Ok(zfs) => local.insert(Local::new(zfs).cancelled_by(cancel.clone())),
                    Err(error) => {
                        let why = format!("this machine has no usable ZFS: {error}");
                        return Epochs::unknown(roots.iter().map(ToString::to_string), &why);
                    }
                },
            };
            roots::epochs_here(host, &roots)
        };
        let mut other = roots::Other::new(pair);
        Self {
            source: source::of(pair),
            epoch: Box::new(epoch),
            peer: Box::new(move |cancel| other.ask(cancel)),
            by_hand: Box::new(move |_| by_hand::read(&state, &name, Timestamp::now())),
            keeps: None,
        }
    }

    /// The same, of a node that goes on with the service if it has it: with each look it renews what it has taken. Only
    /// where it holds the epoch of every root and all their pools work: a node that cannot serve lets it end.
    #[must_use]
    pub fn renewing(self, pair: &Pair) -> Self {
        let (here, roots) = (Names::of(pair).here, pair.roots.clone());
        let keeps = move |epochs: &Epochs| epochs.are_of(&here) && roots::work(&roots).is_ok();
        Self { keeps: Some(Box::new(keeps)), ..self }
    }

    /// One look at everything. What the pools say comes first: the service is renewed or not by that.
    pub fn observe(&mut self, cancel: &Cancel) -> Observation {
        let epoch = (self.epoch)(cancel);
        self.renew(&epoch, cancel);
        let reading = self.source.observe(cancel);
        Observation { reading, epoch, peer: (self.peer)(cancel), by_hand: (self.by_hand)(cancel) }
    }

    fn renew(&mut self, epoch: &Epochs, cancel: &Cancel) {
        if self.keeps.as_mut().is_some_and(|keeps| keeps(epoch)) {
            // Whether that was in time shows in the look that follows.
            let _ = self.source.renew(cancel);
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

/// What is asked before each step: whether the node still is what it was when the work began. Shared by all that is done
/// at the same time. Once it has said no it goes on to say no: what the node is now, the next run finds out.
pub struct Fence {
    names: Names,
    purpose: Purpose,
    holds: Holds,
    /// The last of the observations that the work goes by.
    decided: Observation,
    role: Role,
    without: Vec<Without>,
    cancel: Cancel,
    state: Mutex<State>,
}

/// What has to hold for the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// The role and the roots that it counts for are the same, and nobody was promoted.
    Same,
    /// The service may still be started here. What a promotion itself changes is no difference.
    Start,
    /// This node may still send: that the service leaves it meanwhile is no difference.
    Give,
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
    /// Of a decision and what it was found with. Where it was asked for in order to change the role, the change may go on
    /// as long as the service may be started here; else everything has to be as it was. The first step looks again, too.
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
        let verdict = &decision.verdict;
        let (holds, good) = match purpose {
            Purpose::Run => (Holds::Same, verdict.role != Role::Unknown),
            Purpose::Change => (Holds::Start, verdict.may_start()),
        };
        Self::of(eyes, names, (purpose, holds, good), decision, cancel)
    }

    /// Of a node that stops and gives the service away: it may send as long as nobody has taken over.
    ///
    /// # Errors
    /// Where it is not known that it may.
    pub fn giving(eyes: Eyes, names: Names, decision: &Decision, cancel: Cancel) -> Result<Self, Fenced> {
        let good = decision.verdict.may_give();
        Self::of(eyes, names, (Purpose::Change, Holds::Give, good), decision, cancel)
    }

    fn of(
        eyes: Eyes,
        names: Names,
        (purpose, holds, good): (Purpose, Holds, bool),
        decision: &Decision,
        cancel: Cancel,
    ) -> Result<Self, Fenced> {
        let (role, without) = (decision.verdict.role, decision.verdict.without.clone());
        let decided = match decision.observations.last() {
            Some(last) if good => last.clone(),
            _ => return Err(Fenced { was: role, now: decision.verdict.why() }),
        };
        let state = Mutex::new(State { eyes, looked: None, fenced: None });
        Ok(Self { names, purpose, holds, decided, role, without, cancel, state })
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
        let mut seen = self.decided.clone();
        seen.epoch = (eyes.epoch)(&self.cancel);
        eyes.renew(&seen.epoch, &self.cancel);
        let glance = eyes.source.glance(&self.cancel);
        seen.reading.owner = glance.owner;
        seen.reading.quorum = glance.quorum;
        seen.by_hand = (eyes.by_hand)(&self.cancel);
        let verdict = decide(&self.names, std::slice::from_ref(&seen), self.purpose);
        let now = || format!("{} ({})", verdict.role, verdict.why());
        let same = match self.holds {
            Holds::Start => verdict.may_start(),
            Holds::Give => verdict.may_give(),
            // A root that is not known any more, or is known again, is a matter of the next run.
            Holds::Same => {
                let roots = |all: &[Without]| all.iter().map(|one| one.root.clone()).collect::<Vec<_>>();
                verdict.role == self.role && roots(&verdict.without) == roots(&self.without)
            }
        };
        if !same {
            return Err(now());
        }
        // The same role of another epoch is another one: somebody was promoted in between.
        if self.holds == Holds::Same && self.role == Role::Active && !seen.epoch.agrees(&self.decided.epoch) {
            return Err(format!("it was promoted again: {}", now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
