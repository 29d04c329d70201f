//! What is done before and after the datasets: bookmarks on the source, datasets made and renamed on the target, and what
//! is gone at the source. Where other runs are at work in the same tree, only what is no matter of theirs.

use std::borrow::Cow;
use std::collections::HashSet;

use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Place;
use super::Report;
use super::RunError;
use super::execute::Work;
use super::removal::Removal;
use super::superseded::superseded;
use crate::host::Change;
use crate::host::Host;
use crate::host::HostError;
use crate::lock::LockError;
use crate::plan::Action;
use crate::plan::DatasetPlan;
use crate::plan::Side;
use crate::plan::Step;
use crate::transfer::Moved;
use crate::transfer::retry::Class;
use crate::transfer::retry::Operator;

impl Work<'_> {
    /// Gives the datasets of the source of which a bookmark was not made: their older ones are still needed.
    pub(super) fn before(
        &self,
        source: &mut dyn Host,
        target: &mut dyn Host,
    ) -> Result<HashSet<DatasetName>, RunError> {
        let in_hand = self.in_hand()?;
        let mut unmarked = in_hand.clone();
        let of = self.plan.before.len();
        for (at, step) in self.plan.before.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(RunError::Cancelled);
            }
            let Action::Change { side, change } = &step.action else { continue };
            let Some(change) = without(change, &in_hand) else { continue };
            let change = change.as_ref();
            let place = Place { dataset: None, number: at + 1, of };
            self.observer.step_started(place, step);
            let host: &mut dyn Host = match side {
                Side::Source => &mut *source,
                Side::Target => &mut *target,
            };
            let made = match (host.apply(change), change) {
                (Err(error), Change::Bookmark { bookmarks })
                    if matches!(Class::of_host(&error, None), Class::Replan(_)) =>
                {
                    one_by_one(host, bookmarks).map(|missing| unmarked.extend(missing))
                }
                (made, _) => made,
            };
            match made {
                Ok(()) => self.observer.step_finished(place, step, Moved::default()),
                Err(error) if Class::of_host(&error, None) == Class::Operator(Operator::Permission) => {
                    let Change::Bookmark { bookmarks } = change else { return Err(error.into()) };
                    unmarked.extend(bookmarks.iter().map(|(name, ..)| name.dataset().clone()));
                    self.observer.note(&format!(
                        "no bookmarks are kept ({error}): only snapshots can be the base of the next run"
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(unmarked)
    }

    /// The datasets of the source that another run is sending just now.
    fn in_hand(&self) -> Result<HashSet<DatasetName>, RunError> {
        let mut in_hand = HashSet::new();
        let Some(lock) = self.run.lock.as_ref().filter(|lock| lock.is_visit()) else { return Ok(in_hand) };
        let changes = |step: &Step| match &step.action {
            Action::Change { side: Side::Target, change } => Some(change.to_string()),
            _ => None,
        };
        if let Some(what) = self.plan.before.iter().find_map(changes) {
            return Err(RunError::NotAlone { target: self.plan.target.clone(), what });
        }
        let has_steps = |one: &&DatasetPlan| one.steps.as_ref().is_ok_and(|steps| !steps.is_empty());
        for dataset in self.plan.datasets.iter().filter(has_steps) {
            match lock.dataset(&dataset.target) {
                Ok(_) => {}
                Err(LockError::Busy { .. }) => drop(in_hand.insert(dataset.source.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(in_hand)
    }

    /// Bookmarks that are not needed any more, except of what is `unmarked`; what is gone at the source.
    pub(super) fn after(
        &self,
        source: &mut dyn Host,
        target: &mut dyn Host,
        unmarked: &HashSet<DatasetName>,
        report: &mut Report,
    ) {
        let of = self.plan.after.len();
        let mut removal = Removal::default();
        for (at, step) in self.plan.after.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return;
            }
            let Action::Change { side, change } = &step.action else { continue };
            let place = Place { dataset: None, number: at + 1, of };
            match change {
                Change::DestroyBookmarks { bookmarks } => {
                    let note = &mut |text: &str| self.observer.note(text);
                    let mut bookmarks = bookmarks.clone();
                    bookmarks.retain(|(name, _)| !unmarked.contains(name.dataset()));
                    let bookmarks = superseded(self.plan, report, &bookmarks, &mut *target, note);
                    if bookmarks.is_empty() {
                        continue;
                    }
                    self.observer.step_started(place, step);
                    let host: &mut dyn Host = match side {
                        Side::Source => &mut *source,
                        Side::Target => &mut *target,
                    };
                    match host.apply(&Change::DestroyBookmarks { bookmarks }) {
                        Ok(()) => self.observer.step_finished(place, step, Moved::default()),
                        // They do no harm, and the next run removes them.
                        Err(error) => self.observer.note(&format!("older bookmarks stay for now: {error}")),
                    }
                }
                Change::SetProperties { dataset, .. } | Change::UnsetProperties { dataset, .. } => {
                    self.observer.step_started(place, step);
                    match target.apply(change) {
                        Ok(()) => {
                            report.steps_after += 1;
                            self.observer.step_finished(place, step, Moved::default());
                        }
                        // Nothing is removed without it.
                        Err(error) => self.observer.note(&format!("the marks of {dataset} stay: {error}")),
                    }
                }
                Change::DestroySnapshots { dataset, .. } | Change::Destroy { dataset, .. } => {
                    match self.run.lock.as_ref().map_or(Ok(true), |lock| lock.alone()) {
                        Ok(true) => {}
                        Ok(false) => {
                            let text = "stays until a run that nobody else is at work beside";
                            self.observer.note(&format!("{dataset} {text}"));
                            continue;
                        }
                        Err(error) => {
                            report.errors_after.push(error.into());
                            continue;
                        }
                    }
                    self.observer.step_started(place, step);
                    match removal.step(self.plan, source, target, dataset, change) {
                        Some(Ok(())) => {
                            report.steps_after += 1;
                            self.observer.step_finished(place, step, Moved::default());
                        }
                        Some(Err(error)) => report.errors_after.push(error),
                        None => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// A change without the bookmarks of these datasets; nothing where that leaves nothing to do.
fn without<'c>(change: &'c Change, datasets: &HashSet<DatasetName>) -> Option<Cow<'c, Change>> {
    let Change::Bookmark { bookmarks } = change else { return Some(Cow::Borrowed(change)) };
    if datasets.is_empty() {
        return Some(Cow::Borrowed(change));
    }
    let left = bookmarks.iter().filter(|(name, ..)| !datasets.contains(name.dataset()));
    let bookmarks: Vec<_> = left.cloned().collect();
    (!bookmarks.is_empty()).then_some(Cow::Owned(Change::Bookmark { bookmarks }))
}

/// Some of the snapshots were destroyed since the plan was made: the others still get their bookmarks, and the streams
/// of those that are gone are planned again. Gives the datasets of which one is missing.
fn one_by_one(
    host: &mut dyn Host,
    bookmarks: &[(BookmarkName, SnapshotName, Guid)],
) -> Result<Vec<DatasetName>, HostError> {
    let mut missing = Vec::new();
    for one in bookmarks {
        match host.apply(&Change::Bookmark { bookmarks: vec![one.clone()] }) {
            Err(error) if matches!(Class::of_host(&error, None), Class::Replan(_)) => {
                missing.push(one.0.dataset().clone());
            }
            made => made?,
        }
    }
    Ok(missing)
}
