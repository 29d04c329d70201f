//! What was done and reached: a campaign that never came to a case has shown nothing about it.

use std::collections::BTreeMap;

use replicator::host::Base;
use replicator::host::Change;
use replicator::marks;
use replicator::model::Machine;
use replicator::plan::Action;
use replicator::plan::TreePlan;
use zfs_core::DatasetKind;

/// What every campaign of some length comes to.
const NEEDED: [&str; 35] = [
    "a crash",
    "a first replication",
    "an increment",
    "a bookmark as base",
    "a raw stream",
    "an encrypted dataset sent decrypted",
    "a volume",
    "a clone sent as a clone",
    "a receive gone on with",
    "a partial receive discarded",
    "a rename followed",
    "preserve",
    "preserve, children moved back",
    "preserve, begun by an earlier run",
    "a missing parent",
    "a placeholder",
    "nothing to do",
    "a retry",
    "a cut",
    "a full target",
    "a receive that went on alone",
    "no right to bookmark",
    "no right to rename",
    "meddling after planning",
    "meddling in the middle",
    "an interruption",
    "several datasets at once",
    "a listing that failed",
    "history continued from a crash",
    "conflict: diverged",
    "conflict: no-common-base",
    "conflict: name-clash",
    "conflict: key-not-loaded",
    "conflict: partial-receive",
    "conflict: no-space",
];

/// Numbers of a campaign or of a part of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Effects after which the invariants were checked.
    pub(crate) steps: u64,
    /// Of these, those of histories.
    pub(crate) past: u64,
    /// Replications.
    pub(crate) runs: u64,
    /// Replications that ended in a crash, each with the run after it.
    pub(crate) crashes: u64,
    /// Histories.
    pub(crate) histories: u64,
    reached: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn saw(&mut self, what: &str) {
        match self.reached.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.reached.insert(what.to_string(), 1)),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.past += other.past;
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.histories += other.histories;
        for (what, count) in other.reached {
            *self.reached.entry(what).or_default() += count;
        }
    }

    /// Cases that were never reached.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        NEEDED.into_iter().filter(|what| !self.reached.contains_key(*what)).collect()
    }

    /// What a plan has in it. `here` is the source that it was made for.
    pub(crate) fn saw_plan(&mut self, plan: &TreePlan, here: &Machine) {
        let mut renamed_aside = false;
        for step in &plan.before {
            let Action::Change { change, .. } = &step.action else { continue };
            match change {
                Change::Rename { to, .. } if marks::was_set_aside(to).is_some() => {
                    renamed_aside = true;
                    self.saw("preserve");
                }
                Change::Rename { from, .. }
                    if from.parent().is_some_and(|parent| marks::was_set_aside(&parent).is_some()) =>
                {
                    self.saw("preserve, children moved back");
                }
                Change::Rename { .. } => self.saw("a rename followed"),
                Change::Promote { .. } if !renamed_aside => self.saw("preserve, begun by an earlier run"),
                Change::CreateFilesystem { dataset, .. } if dataset.is_within(&plan.target) => {
                    self.saw("a placeholder");
                }
                Change::CreateFilesystem { .. } => self.saw("a missing parent"),
                _ => {}
            }
        }
        for dataset in &plan.datasets {
            match &dataset.steps {
                Err(conflict) => self.saw(&format!("conflict: {}", conflict.kind())),
                Ok(steps) => {
                    let found = here.dataset(&dataset.source);
                    for step in steps {
                        self.saw_step(
                            &step.action,
                            found.is_some_and(replicator::model::Dataset::is_encrypted),
                        );
                    }
                    if !steps.is_empty() && found.is_some_and(|one| one.kind == DatasetKind::Volume) {
                        self.saw("a volume");
                    }
                }
            }
        }
        if plan.steps().next().is_none() && plan.conflicts().next().is_none() {
            self.saw("nothing to do");
        }
    }

    fn saw_step(&mut self, action: &Action, encrypted: bool) {
        match action {
            Action::Change { change: Change::DiscardPartial { .. }, .. } => {
                self.saw("a partial receive discarded");
            }
            Action::Change { .. } => {}
            Action::Send { spec, origin, .. } => {
                match &spec.from {
                    None => self.saw("a first replication"),
                    Some(Base::Bookmark(..)) => self.saw("a bookmark as base"),
                    Some(Base::Snapshot(..)) => self.saw("an increment"),
                }
                if origin.is_some() {
                    self.saw("a clone sent as a clone");
                }
                if spec.resume.is_some() {
                    self.saw("a receive gone on with");
                }
                if spec.raw {
                    self.saw("a raw stream");
                } else if encrypted {
                    self.saw("an encrypted dataset sent decrypted");
                }
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} steps ({} of histories, {} of runs); {} histories, {} runs, {} crashes",
            self.steps,
            self.past,
            self.steps - self.past,
            self.histories,
            self.runs,
            self.crashes
        )?;
        self.reached.iter().try_for_each(|(what, count)| writeln!(f, "  {count:>9}  {what}"))
    }
}
