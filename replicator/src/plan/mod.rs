//! What is to be done to bring one dataset to the target: a pure function from two inventories to a list of steps,
//! or to a [`Conflict`] that says why there is none. No I/O and no clock: the same inventories give the same plan,
//! a dry run prints exactly what a run does, and everything here is tested without ZFS.

use std::collections::HashMap;
use std::collections::HashSet;

use serde::Serialize;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Inventory;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::SendSpec;
use crate::host::Snapshot;

mod conflict;
mod json;
#[cfg(test)]
mod tests;

pub use conflict::Conflict;
pub use conflict::PartialProblem;

/// Which snapshots a first replication sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Initial {
    /// All of them: the oldest in full, then one incremental step for each of the others.
    #[default]
    All,
    /// Only the newest.
    Newest,
}

/// What the user decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For a target that does not exist yet.
    pub initial: Initial,
    /// Allows to throw away a partial receive that cannot be continued.
    pub discard_partial: bool,
}

/// What will be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The dataset that is sent.
    pub source: DatasetName,
    /// Where it goes.
    pub target: DatasetName,
    /// The newest snapshot that both sides have already, by its name on the source.
    pub common: Option<Base>,
    /// The steps; none when the target has everything.
    pub steps: Vec<Step>,
}

/// One step with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// How much will be sent, as far as ZFS can tell. Filled in after planning.
    pub estimated_bytes: Option<u64>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Throws away what a partial receive has kept on the target.
    Discard {
        /// What is thrown away.
        partial: Partial,
    },
    /// Sends one snapshot.
    Send {
        /// The stream.
        spec: SendSpec,
        /// The snapshot that shall exist on the target afterwards.
        into: SnapshotName,
        /// The target dataset is made by this step.
        creates: bool,
    },
}

impl Plan {
    /// The streams of the plan, in order.
    pub fn streams(&self) -> impl Iterator<Item = &SendSpec> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Send { spec, .. } => Some(spec),
            Action::Discard { .. } => None,
        })
    }

    /// The sum of the estimates, if there is one for every stream.
    #[must_use]
    pub fn estimated_bytes(&self) -> Option<u64> {
        self.steps
            .iter()
            .filter(|step| matches!(step.action, Action::Send { .. }))
            .try_fold(0u64, |sum, step| step.estimated_bytes.map(|bytes| sum.saturating_add(bytes)))
    }
}

/// Plans one dataset.
///
/// # Errors
/// A [`Conflict`] when there is nothing to send, or when going on would need to destroy something on the target.
pub fn plan(
    source: &DatasetState,
    target_name: &DatasetName,
    target: &Inventory,
    options: Options,
) -> Result<Plan, Conflict> {
    let planner = Planner { source, target_name, options };
    if source.snapshots.is_empty() {
        return Err(Conflict::NoSourceSnapshots { from: source.name.clone() });
    }
    match target {
        Inventory::Absent { ancestor } if target_name.parent().as_ref() != Some(&ancestor.name) => {
            Err(Conflict::TargetParentMissing { to: target_name.clone(), ancestor: ancestor.name.clone() })
        }
        Inventory::Absent { .. } => planner.initial(Vec::new()),
        Inventory::Present(target) => planner.existing(target.root()),
    }
}

struct Planner<'a> {
    source: &'a DatasetState,
    target_name: &'a DatasetName,
    options: Options,
}

impl Planner<'_> {
    fn existing(&self, target: &DatasetState) -> Result<Plan, Conflict> {
        if target.kind != self.source.kind {
            return Err(Conflict::KindMismatch {
                from: self.source.name.clone(),
                from_kind: self.source.kind,
                to: target.name.clone(),
                to_kind: target.kind,
            });
        }
        if let Some(partial) = &target.partial {
            return self.partial(target, partial);
        }
        if target.snapshots.is_empty() {
            return Err(Conflict::TargetWithoutSnapshots {
                to: target.name.clone(),
                written: target.written,
            });
        }
        let base = self.common_base(target)?;
        self.check_undiverged(target, &base)?;
        let steps = self.steps_after(target, &base.base, base.createtxg, Vec::new())?;
        Ok(self.plan_of(Some(base.base), steps))
    }

    /// A first replication, after `steps`.
    fn initial(&self, mut steps: Vec<Step>) -> Result<Plan, Conflict> {
        let snapshots = &self.source.snapshots;
        let first = match self.options.initial {
            Initial::All => snapshots.first(),
            Initial::Newest => snapshots.last(),
        };
        let Some(first) = first else {
            return Err(Conflict::NoSourceSnapshots { from: self.source.name.clone() });
        };
        let raw = self.source.encrypted();
        let reason = match self.options.initial {
            _ if snapshots.len() == 1 => "the target does not exist; this is the only snapshot",
            Initial::All => "the target does not exist; the oldest snapshot goes first",
            Initial::Newest => "the target does not exist; only the newest snapshot was asked for",
        };
        steps.push(self.send(first, None, raw, None, true, reason.to_string())?);
        let mut from = Base::Snapshot(first.name.clone(), first.guid);
        for to in snapshots.iter().filter(|s| s.createtxg > first.createtxg) {
            steps.push(self.increment(to, &from, raw)?);
            from = Base::Snapshot(to.name.clone(), to.guid);
        }
        Ok(self.plan_of(None, steps))
    }

    /// A target with a partial receive: continue it, if it is what we would send; else discard it, if allowed.
    fn partial(&self, target: &DatasetState, partial: &Partial) -> Result<Plan, Conflict> {
        match self.resumable(target, partial) {
            Ok((to, from, content)) => {
                let reason = format!(
                    "a receive of {to} broke off after {} bytes",
                    content.bytes,
                    to = to.name.short()
                );
                let creates = from.is_none();
                let first =
                    self.send(&to, from.clone(), content.raw, Some(partial.clone()), creates, reason)?;
                let done = Base::Snapshot(to.name.clone(), to.guid);
                let mut steps = vec![first];
                steps = self.steps_after_with(target, &done, to.createtxg, content.raw, steps)?;
                Ok(self.plan_of(from, steps))
            }
            Err(problem) if self.options.discard_partial => {
                let discard = Step {
                    action: Action::Discard { partial: partial.clone() },
                    reason: format!("the partial receive cannot go on: {problem}"),
                    estimated_bytes: None,
                };
                if target.snapshots.is_empty() {
                    // What a first receive left is all there is of the dataset: it goes with the partial state.
                    return self.initial(vec![discard]);
                }
                let base = self.common_base(target)?;
                self.check_undiverged(target, &base)?;
                let steps = self.steps_after(target, &base.base, base.createtxg, vec![discard])?;
                Ok(self.plan_of(Some(base.base), steps))
            }
            Err(problem) => Err(Conflict::Partial { to: target.name.clone(), problem }),
        }
    }

    /// Whether a token asks for a stream that we would send ourselves. The token comes from the target, which may
    /// be wrong or hostile: nothing in it is believed that the source does not confirm.
    fn resumable<'p>(
        &self,
        target: &DatasetState,
        partial: &'p Partial,
    ) -> Result<(Snapshot, Option<Base>, &'p PartialContent), PartialProblem> {
        let content = partial.content.as_ref().map_err(|why| PartialProblem::Unreadable(why.clone()))?;
        if content.foreign {
            return Err(PartialProblem::ForeignMode);
        }
        let to = self.source.snapshots.iter().find(|s| s.guid == content.to_guid);
        let to = to.ok_or(PartialProblem::SnapshotGone(content.to_guid))?;
        let from = match content.from_guid {
            None if !target.snapshots.is_empty() => return Err(PartialProblem::FullOverExisting),
            None => None,
            Some(guid) => {
                let newest = target.snapshots.last().map(|s| s.guid);
                if newest != Some(guid) {
                    return Err(PartialProblem::BaseNotNewest(guid));
                }
                let base = self.source_base(guid).ok_or(PartialProblem::BaseGone(guid))?;
                if base.createtxg >= to.createtxg {
                    return Err(PartialProblem::WrongOrder);
                }
                Some(base.base)
            }
        };
        let raw = self.raw_into(target, from.is_none());
        if content.raw != raw {
            return Err(PartialProblem::RawMismatch { token: content.raw, plan: raw });
        }
        Ok((to.clone(), from, content))
    }

    /// Encrypted datasets go raw, unless the target was received without: the two must never be mixed.
    fn raw_into(&self, target: &DatasetState, creating: bool) -> bool {
        self.source.encrypted() && (creating || target.encrypted())
    }

    /// A snapshot or, failing that, a bookmark of the source with this GUID.
    fn source_base(&self, guid: Guid) -> Option<FoundBase> {
        let snapshot = self.source.snapshots.iter().find(|s| s.guid == guid);
        if let Some(found) = snapshot {
            return Some(FoundBase::new(Base::Snapshot(found.name.clone(), guid), found.createtxg, guid));
        }
        let bookmark = self.source.bookmarks.iter().find(|b| b.guid == guid)?;
        Some(FoundBase::new(Base::Bookmark(bookmark.name.clone(), guid), bookmark.createtxg, guid))
    }

    /// The newest snapshot of the target that the source still knows, as a snapshot or a bookmark.
    fn common_base(&self, target: &DatasetState) -> Result<FoundBase, Conflict> {
        let mut known: HashMap<Guid, FoundBase> = HashMap::new();
        for bookmark in &self.source.bookmarks {
            let base = Base::Bookmark(bookmark.name.clone(), bookmark.guid);
            known.insert(bookmark.guid, FoundBase::new(base, bookmark.createtxg, bookmark.guid));
        }
        // Snapshots last: where both exist, the snapshot is the better source.
        for snapshot in &self.source.snapshots {
            let base = Base::Snapshot(snapshot.name.clone(), snapshot.guid);
            known.insert(snapshot.guid, FoundBase::new(base, snapshot.createtxg, snapshot.guid));
        }
        let found = target.snapshots.iter().rev().find_map(|s| known.remove(&s.guid));
        found.ok_or_else(|| Conflict::NoCommonBase {
            from: self.source.name.clone(),
            to: target.name.clone(),
            from_snapshots: self.source.snapshots.clone(),
            to_snapshots: target.snapshots.clone(),
        })
    }

    /// Nothing may have happened to the target after the base.
    fn check_undiverged(&self, target: &DatasetState, base: &FoundBase) -> Result<(), Conflict> {
        let after = target.snapshots.iter().position(|s| s.guid == base.guid).map_or(0, |at| at + 1);
        let target_only: Vec<_> = target.snapshots[after..].to_vec();
        if target_only.is_empty() && target.written == 0 {
            return Ok(());
        }
        Err(Conflict::Diverged {
            from: self.source.name.clone(),
            to: target.name.clone(),
            base: Box::new(base.base.clone()),
            source_only: self.newer_than(base.createtxg).cloned().collect(),
            target_only,
            target_written: target.written,
        })
    }

    fn newer_than(&self, txg: zfs_core::Txg) -> impl Iterator<Item = &Snapshot> {
        self.source.snapshots.iter().filter(move |s| s.createtxg > txg)
    }

    fn steps_after(
        &self,
        target: &DatasetState,
        base: &Base,
        txg: zfs_core::Txg,
        steps: Vec<Step>,
    ) -> Result<Vec<Step>, Conflict> {
        self.steps_after_with(target, base, txg, self.raw_into(target, false), steps)
    }

    /// One incremental step for each snapshot of the source after the base. Names that the target has already for
    /// something else are found now, not when half of the work is done.
    fn steps_after_with(
        &self,
        target: &DatasetState,
        base: &Base,
        txg: zfs_core::Txg,
        raw: bool,
        mut steps: Vec<Step>,
    ) -> Result<Vec<Step>, Conflict> {
        let taken: HashSet<&str> = target.snapshots.iter().map(|s| s.name.short()).collect();
        let clashes: Vec<_> =
            self.newer_than(txg).filter(|s| taken.contains(s.name.short())).cloned().collect();
        if !clashes.is_empty() {
            return Err(Conflict::NameClash {
                from: self.source.name.clone(),
                to: target.name.clone(),
                snapshots: clashes,
            });
        }
        let mut from = base.clone();
        for to in self.newer_than(txg) {
            steps.push(self.increment(to, &from, raw)?);
            from = Base::Snapshot(to.name.clone(), to.guid);
        }
        Ok(steps)
    }

    fn increment(&self, to: &Snapshot, from: &Base, raw: bool) -> Result<Step, Conflict> {
        let reason = match from {
            Base::Snapshot(name, _) => format!("the target has @{} by then", name.short()),
            Base::Bookmark(name, _) => {
                format!("the target has the snapshot that is only the bookmark #{} here", name.short())
            }
        };
        self.send(to, Some(from.clone()), raw, None, false, reason)
    }

    fn send(
        &self,
        to: &Snapshot,
        from: Option<Base>,
        raw: bool,
        resume: Option<Partial>,
        creates: bool,
        reason: String,
    ) -> Result<Step, Conflict> {
        let into = self.target_name.snapshot(to.name.short()).map_err(|error| Conflict::NameTooLong {
            to: self.target_name.clone(),
            snapshot: to.name.short().to_string(),
            error: Box::new(error),
        })?;
        let spec = SendSpec { to: to.clone(), from, raw, resume, compress: false };
        Ok(Step { action: Action::Send { spec, into, creates }, reason, estimated_bytes: None })
    }

    fn plan_of(&self, common: Option<Base>, steps: Vec<Step>) -> Plan {
        Plan { source: self.source.name.clone(), target: self.target_name.clone(), common, steps }
    }
}

/// A base with its place in the order of the source.
#[derive(Clone, Debug)]
struct FoundBase {
    base: Base,
    createtxg: zfs_core::Txg,
    guid: Guid,
}

impl FoundBase {
    fn new(base: Base, createtxg: zfs_core::Txg, guid: Guid) -> Self {
        Self { base, createtxg, guid }
    }
}
