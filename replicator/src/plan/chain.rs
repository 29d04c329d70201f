//! What is to be done for one dataset: from what both sides have to a list of steps, or to a [`Conflict`] that says
//! why there is none. How datasets of a tree depend on each other is in [`super::tree`].

use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::base::Bases;
use super::base::Found;
use super::conflict::Conflict;
use super::conflict::PartialProblem;
use super::options::Initial;
use super::options::Options;
use super::steps::Action;
use super::steps::Side;
use super::steps::Step;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Partial;
use crate::host::PartialContent;
use crate::host::SendSpec;
use crate::host::Snapshot;

/// The snapshot that a clone was made of, where the target has it too or will have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// On the source.
    pub(super) name: SnapshotName,
    pub(super) guid: Guid,
    pub(super) createtxg: Txg,
    /// On the target.
    pub(super) into: SnapshotName,
}

/// The steps for one dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// The newest snapshot that both sides have already.
    pub(super) common: Option<Found>,
    pub(super) steps: Vec<Step>,
    /// What the reader should know.
    pub(super) notes: Vec<String>,
}

/// Plans one dataset. `target` is `None` where it is known not to exist.
pub(super) fn plan(
    source: &DatasetState,
    origin: Option<&Origin>,
    target_name: &DatasetName,
    target: Option<&DatasetState>,
    options: &Options,
) -> Result<Chain, Conflict> {
    if options.require_encrypted && !source.encrypted() {
        return Err(Conflict::NotEncrypted { from: source.name.clone() });
    }
    let planner = Planner::new(source, origin, target_name, options);
    match target {
        None => planner.initial(Vec::new()),
        Some(target) => planner.existing(target),
    }
}

/// Whether a first receive broke off that can go on, and is not that of a clone.
pub(super) fn goes_on_in_full(source: &DatasetState, target: &DatasetState, options: &Options) -> bool {
    let Some(partial) = target.partial.as_ref().filter(|_| target.snapshots.is_empty()) else { return false };
    let planner = Planner::new(source, None, &target.name, options);
    planner.resumable(target, partial).is_ok_and(|(_, from, _)| from.is_none())
}

/// What a dataset is made with on the target, before what the user sets: it is a copy, and a copy that is written to
/// or mounted over something cannot be continued.
fn created_with(kind: DatasetKind, options: &Options) -> Vec<(String, String)> {
    let mut set = vec![("readonly".to_string(), "on".to_string())];
    if kind == DatasetKind::Filesystem {
        set.push(("canmount".to_string(), "noauto".to_string()));
    }
    for (name, value) in &options.set {
        set.retain(|(known, _)| known != name);
        set.push((name.clone(), value.clone()));
    }
    set
}

struct Planner<'a> {
    source: &'a DatasetState,
    origin: Option<&'a Origin>,
    target_name: &'a DatasetName,
    options: &'a Options,
    bases: Bases<'a>,
    /// The snapshots that may be sent, in the order of createtxg.
    wanted: Vec<&'a Snapshot>,
}

impl<'a> Planner<'a> {
    fn new(
        source: &'a DatasetState,
        origin: Option<&'a Origin>,
        target_name: &'a DatasetName,
        options: &'a Options,
    ) -> Self {
        let wanted = source.snapshots.iter().filter(|one| options.snapshots.select(one.name.short()));
        Self { source, origin, target_name, options, bases: Bases::of(source), wanted: wanted.collect() }
    }

    fn existing(&self, target: &DatasetState) -> Result<Chain, Conflict> {
        if target.kind != self.source.kind {
            return Err(Conflict::KindMismatch {
                from: self.source.name.clone(),
                from_kind: self.source.kind,
                to: target.name.clone(),
                to_kind: target.kind,
            });
        }
        if self.source.snapshots.is_empty() {
            return Err(Conflict::NoSourceSnapshots { from: self.source.name.clone() });
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
        self.continued(target, Vec::new())
    }

    /// From the newest common snapshot to the newest of the source, after `steps`.
    fn continued(&self, target: &DatasetState, steps: Vec<Step>) -> Result<Chain, Conflict> {
        let raw = self.raw_into(target);
        let base = self.common_base(target, raw)?;
        self.check_undiverged(target, &base)?;
        let steps = self.increments(Some(target), &base.base, base.createtxg, raw, steps)?;
        Ok(Chain { common: Some(base), steps, notes: Vec::new() })
    }

    /// A first replication, after `steps`.
    fn initial(&self, mut steps: Vec<Step>) -> Result<Chain, Conflict> {
        if self.source.snapshots.is_empty() {
            return Err(Conflict::NoSourceSnapshots { from: self.source.name.clone() });
        }
        // What is older than its origin belongs to the origin's dataset.
        let after = self.origin.map_or(Txg(0), |origin| origin.createtxg);
        let mut wanted = self.wanted.iter().filter(|one| one.createtxg > after);
        let (first, why) = match self.options.initial {
            Initial::Refuse => {
                return Err(Conflict::InitialRefused {
                    from: self.source.name.clone(),
                    to: self.target_name.clone(),
                });
            }
            _ if self.wanted.len() == 1 => (wanted.next(), "this is the only snapshot"),
            Initial::All if self.options.intermediates => (wanted.next(), "the oldest snapshot goes first"),
            Initial::All | Initial::Newest => (wanted.next_back(), "only the newest snapshot was asked for"),
        };
        let Some(first) = first else {
            return Err(Conflict::NothingSelected { from: self.source.name.clone() });
        };
        let raw = self.source.encrypted() && !self.options.decrypt;
        if !raw {
            self.need_source_key()?;
        }
        let (from, why) = match self.origin {
            Some(origin) => (
                Some(Base::Snapshot(origin.name.clone(), origin.guid)),
                format!(
                    "the target does not exist; it becomes a clone of {}, as it is on the source",
                    origin.into
                ),
            ),
            None => (None, format!("the target does not exist; {why}")),
        };
        steps.push(self.send(first, from, raw, None, true, why)?);
        let base = Base::Snapshot(first.name.clone(), first.guid);
        let steps = self.increments(None, &base, first.createtxg, raw, steps)?;
        Ok(Chain { common: None, steps, notes: Vec::new() })
    }

    /// A target with a partial receive: continue it, if it is what we would send; else discard it, if allowed.
    fn partial(&self, target: &DatasetState, partial: &Partial) -> Result<Chain, Conflict> {
        match self.resumable(target, partial) {
            Ok((to, from, content)) => {
                let reason = format!(
                    "a receive of {to} broke off after {} bytes",
                    content.bytes,
                    to = to.name.short()
                );
                let creates = target.snapshots.is_empty();
                let base = from.as_ref().map(|found| found.base.clone());
                let first = self.send(&to, base, content.raw, Some(partial.clone()), creates, reason)?;
                let done = Base::Snapshot(to.name.clone(), to.guid);
                let steps = self.increments(Some(target), &done, to.createtxg, content.raw, vec![first])?;
                // For a new clone the source of its first stream is on another dataset, and no common base.
                Ok(Chain { common: from.filter(|_| !creates), steps, notes: Vec::new() })
            }
            Err(problem) if self.options.discard_partial => {
                let change =
                    Change::DiscardPartial { dataset: target.name.clone(), partial: partial.clone() };
                let discard = Step::change(
                    Side::Target,
                    change,
                    format!("the partial receive cannot go on: {problem}"),
                );
                if target.snapshots.is_empty() {
                    // What a first receive left is all there is of the dataset: it goes with the partial state.
                    return self.initial(vec![discard]);
                }
                self.continued(target, vec![discard])
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
    ) -> Result<(Snapshot, Option<Found>, &'p PartialContent), PartialProblem> {
        let content = partial.content.as_ref().map_err(|why| PartialProblem::Unreadable(why.clone()))?;
        if content.foreign {
            return Err(PartialProblem::ForeignMode);
        }
        let to = self.source.snapshots.iter().find(|s| s.guid == content.to_guid);
        let to = to.ok_or(PartialProblem::SnapshotGone(content.to_guid))?;
        if !self.wanted.iter().any(|one| one.guid == to.guid) {
            return Err(PartialProblem::Excluded(to.name.short().to_string()));
        }
        let origin = self.origin.filter(|origin| Some(origin.guid) == content.from_guid);
        let from = match (content.from_guid, origin) {
            (None, _) if !target.snapshots.is_empty() => return Err(PartialProblem::FullOverExisting),
            (None, _) => None,
            (Some(_), Some(origin)) if target.snapshots.is_empty() => {
                Some(Found::snapshot(origin.name.clone(), origin.guid, origin.createtxg))
            }
            (Some(guid), _) => {
                let newest = target.snapshots.last().map(|s| s.guid);
                if newest != Some(guid) {
                    return Err(PartialProblem::BaseNotNewest(guid));
                }
                Some(self.bases.get(guid).ok_or(PartialProblem::BaseGone(guid))?)
            }
        };
        if from.as_ref().is_some_and(|found| found.createtxg >= to.createtxg) {
            return Err(PartialProblem::WrongOrder);
        }
        let raw = if target.snapshots.is_empty() {
            self.source.encrypted() && !self.options.decrypt
        } else {
            self.raw_into(target)
        };
        if content.raw != raw {
            return Err(PartialProblem::RawMismatch { token: content.raw, plan: raw });
        }
        Ok((to.clone(), from, content))
    }

    /// Encrypted datasets go raw, unless the target was received without: the two must never be mixed.
    fn raw_into(&self, target: &DatasetState) -> bool {
        self.source.encrypted() && target.encrypted() && self.bases.was_raw(target).unwrap_or(true)
    }

    /// A stream that is not raw is decrypted on its way.
    fn need_source_key(&self) -> Result<(), Conflict> {
        match &self.source.encryption {
            Some(encryption) if !encryption.key_loaded => Err(Conflict::KeyNotLoaded {
                dataset: self.source.name.clone(),
                root: encryption.root.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The newest snapshot of the target that the source still knows, as a snapshot or a bookmark.
    fn common_base(&self, target: &DatasetState, raw: bool) -> Result<Found, Conflict> {
        if !raw {
            self.need_source_key()?;
            if let Some(encryption) = target.encryption.as_ref().filter(|encryption| !encryption.key_loaded) {
                let (dataset, root) = (target.name.clone(), encryption.root.clone());
                return Err(Conflict::KeyNotLoaded { dataset, root });
            }
        }
        if let Some(found) = self.bases.newest_common(target, raw) {
            return Ok(found);
        }
        Err(Conflict::NoCommonBase {
            from: self.source.name.clone(),
            to: target.name.clone(),
            from_snapshots: self.source.snapshots.clone(),
            to_snapshots: target.snapshots.clone(),
        })
    }

    /// Nothing may have happened to the target after the base.
    fn check_undiverged(&self, target: &DatasetState, base: &Found) -> Result<(), Conflict> {
        let after = target.snapshots.iter().position(|s| s.guid == base.guid()).map_or(0, |at| at + 1);
        let target_only: Vec<_> = target.snapshots[after..].to_vec();
        if target_only.is_empty() && (target.written == 0 || self.options.try_written) {
            return Ok(());
        }
        let newer = self.source.snapshots.iter().filter(|s| s.createtxg > base.createtxg);
        Err(Conflict::Diverged {
            from: self.source.name.clone(),
            to: target.name.clone(),
            base: Box::new(base.base.clone()),
            source_only: newer.cloned().collect(),
            target_only,
            target_written: target.written,
        })
    }

    /// One incremental step for each wanted snapshot after the base, or one to the newest. Names that the target has
    /// already for something else are found now, not when half of the work is done.
    fn increments(
        &self,
        target: Option<&DatasetState>,
        base: &Base,
        txg: Txg,
        raw: bool,
        mut steps: Vec<Step>,
    ) -> Result<Vec<Step>, Conflict> {
        let mut newer: Vec<&Snapshot> =
            self.wanted.iter().copied().filter(|one| one.createtxg > txg).collect();
        if !self.options.intermediates {
            newer.drain(..newer.len().saturating_sub(1));
        }
        let clashes = target.map(|target| clashes(&newer, &target.snapshots)).unwrap_or_default();
        if !clashes.is_empty() {
            return Err(Conflict::NameClash {
                from: self.source.name.clone(),
                to: self.target_name.clone(),
                snapshots: clashes,
            });
        }
        let mut from = base.clone();
        for to in newer {
            let reason = match &from {
                Base::Snapshot(name, _) => format!("the target has @{} by then", name.short()),
                Base::Bookmark(name, _) => {
                    format!("the target has the snapshot that is only the bookmark #{} here", name.short())
                }
            };
            steps.push(self.send(to, Some(from), raw, None, false, reason)?);
            from = Base::Snapshot(to.name.clone(), to.guid);
        }
        Ok(steps)
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
        let spec = SendSpec {
            to: to.clone(),
            from,
            raw,
            flags: None,
            resume: resume.map(Box::new),
            compress: false,
        };
        let origin = self.origin.filter(|_| creates).map(|origin| origin.into.clone());
        let creates = creates.then(|| created_with(self.source.kind, self.options));
        Ok(Step { action: Action::Send { spec, into, creates, origin }, reason, estimated_bytes: None })
    }
}

/// Those of `newer` whose names are among those of `there`. A table is made of the shorter list only: a target may have
/// a million snapshots and be ten behind.
fn clashes(newer: &[&Snapshot], there: &[Snapshot]) -> Vec<Snapshot> {
    let wanted = newer.iter().map(|one| one.name.short());
    let taken = there.iter().map(|one| one.name.short());
    let both: HashSet<&str> = if newer.len() < there.len() {
        let few: HashSet<&str> = wanted.collect();
        taken.filter(|name| few.contains(name)).collect()
    } else {
        let few: HashSet<&str> = taken.collect();
        wanted.filter(|name| few.contains(name)).collect()
    };
    newer.iter().filter(|one| both.contains(one.name.short())).map(|one| (*one).clone()).collect()
}
