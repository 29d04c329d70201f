//! The roles of this node in all pairs of a configuration, for commands that go by its policies and jobs.

use std::sync::Arc;
use std::thread;

use serde_json::json;
use zfs_core::name::DatasetName;

use super::Failure;
use super::Outcome;
use crate::cancel::Cancel;
use crate::codes::Code;
use crate::config::Config;
use crate::config::pair::Pair;
use crate::pair::flapping;
use crate::pair::rules;
use crate::role::Role;
use crate::role::decide::Names;
use crate::role::decide::Purpose;
use crate::role::watch::Decision;
use crate::role::watch::Eyes;
use crate::role::watch::Fence;
use crate::role::watch::watch;
use crate::survey::Survey;

/// What this node is in a pair, as long as the fence says so.
pub(super) struct InPair<'c> {
    pub(super) pair: &'c Pair,
    pub(super) names: Names,
    pub(super) decision: Decision,
    /// None where the role is not known.
    pub(super) fence: Option<Arc<Fence>>,
    /// That it is being promoted again and again.
    flapping: Option<String>,
}

/// What this node is in each pair.
#[derive(Default)]
pub(super) struct Roles<'c> {
    pub(super) pairs: Vec<InPair<'c>>,
}

impl<'c> Roles<'c> {
    /// Looks as often as each pair says; all pairs side by side, since most of it is waiting. `works`: something is done
    /// then, and a lease of this node is renewed; else nothing is changed.
    ///
    /// # Errors
    /// When the run is to stop.
    pub(super) fn look(config: &'c Config, works: bool, cancel: &Cancel) -> Result<Self, Failure> {
        let look = |pair: &'c Pair| InPair::look(config, pair, works, cancel);
        let lost = |_| Err(Failure::new(Code::Defect, "a defect of this program: a look panicked"));
        let pairs = thread::scope(|scope| {
            let looking: Vec<_> = config.pairs.iter().map(|pair| scope.spawn(move || look(pair))).collect();
            looking.into_iter().map(|look| look.join().unwrap_or_else(lost)).collect::<Result<Vec<_>, _>>()
        });
        Ok(Self { pairs: pairs? })
    }

    /// Tells each role on standard error, with the reasons where it is not as it should be.
    pub(super) fn tell(&self) {
        for one in &self.pairs {
            let verdict = &one.decision.verdict;
            let head = format!("pair {}: {} is {}", one.pair.name, one.names.here, verdict.role);
            if let Some(flapping) = &one.flapping {
                super::say(&format!("warning: pair {}: {flapping}", one.pair.name));
            }
            if one.is_settled() {
                super::say(&head);
                continue;
            }
            let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
            super::say(&format!("{head}: {}", reasons.join("; ")));
            super::say(&format!("  what to do: {}", verdict.remedy.text(&one.pair.name, &one.names)));
        }
    }

    /// Takes from the policies of a survey what the roles do not allow now. What a node was when the run began may be over.
    pub(super) fn restrict(&self, survey: &mut Survey) {
        for one in &self.pairs {
            let (out, with): (Vec<_>, Vec<_>) =
                one.pair.roots.iter().cloned().partition(|root| one.is_left_out(root));
            rules::restrict(survey, &with, one.now());
            rules::restrict(survey, &out, Role::Unknown);
        }
    }

    /// Whether all roles are known and allow something.
    pub(super) fn are_settled(&self) -> bool {
        self.pairs.iter().all(InPair::is_settled)
    }

    /// For the record of a run.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let one = |one: &InPair<'_>| {
            let verdict = &one.decision.verdict;
            let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.text.as_str()).collect();
            json!({
                "pair": one.pair.name,
                "node": one.names.here,
                "role": verdict.role,
                "reasons": reasons,
                "without": verdict.without,
                "warning": one.flapping,
            })
        };
        self.pairs.iter().map(one).collect()
    }
}

impl<'c> InPair<'c> {
    /// Looks as often as the pair says. `works` as in [`Roles::look`].
    ///
    /// # Errors
    /// When the run is to stop.
    pub(super) fn look(
        config: &Config,
        pair: &'c Pair,
        works: bool,
        cancel: &Cancel,
    ) -> Result<Self, Failure> {
        let (names, state) = (Names::of(pair), &config.folders.state);
        let eyes = Eyes::of(pair, state.clone());
        let mut eyes = if works { eyes.renewing(pair) } else { eyes };
        let decision = watch(&mut eyes, &names, &pair.watch, Purpose::Run, cancel)
            .map_err(|error| Failure::new(Outcome::Interrupted, error.to_string()))?;
        let fence = Fence::new(eyes, names.clone(), Purpose::Run, &decision, cancel.clone()).ok();
        let now = jiff::Timestamp::now().as_second();
        let flapping = flapping::look(state, &pair.name, &names.here, now);
        Ok(Self { pair, names, decision, fence: fence.map(Arc::new), flapping })
    }

    /// Whether the role does not count for a root.
    fn is_left_out(&self, root: &DatasetName) -> bool {
        self.decision.verdict.without.iter().any(|one| one.root == root.as_str())
    }

    /// What it is now, by one cheap look.
    pub(super) fn now(&self) -> Role {
        match &self.fence {
            Some(fence) if fence.check().is_ok() => fence.role(),
            _ => Role::Unknown,
        }
    }

    fn is_settled(&self) -> bool {
        let verdict = &self.decision.verdict;
        matches!(verdict.role, Role::Active | Role::Standby) && verdict.without.is_empty()
    }
}

/// The configuration with the roots of pairs as jobs, for who decides what both sides need.
pub(super) fn with_pairs(config: &Config) -> Config {
    let mut all = config.clone();
    all.jobs.extend(config.pairs.iter().flat_map(Pair::jobs));
    all
}
