//! A plan as data: what will be done, in which order, each step with its reason. `Display`, JSON and execution all
//! read this one value.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Conflict;
use crate::host::Base;
use crate::host::Change;
use crate::host::SendSpec;

/// On which side a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the snapshots come from.
    Source,
    /// Where they go.
    Target,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a small change.
    Change {
        /// Where.
        side: Side,
        /// What.
        change: Change,
    },
    /// Sends one snapshot.
    Send {
        /// The stream.
        spec: SendSpec,
        /// The snapshot that shall exist on the target afterwards.
        into: SnapshotName,
        /// The properties with which this step makes the target's dataset; `None` when it exists already.
        creates: Option<Vec<(String, String)>>,
        /// For a clone: the snapshot of the target that the new dataset is a clone of.
        origin: Option<SnapshotName>,
    },
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

impl Step {
    /// A small change.
    #[must_use]
    pub fn change(side: Side, change: Change, reason: impl Into<String>) -> Self {
        Self { action: Action::Change { side, change }, reason: reason.into(), estimated_bytes: None }
    }

    /// The stream, if this is one.
    #[must_use]
    pub fn stream(&self) -> Option<&SendSpec> {
        match &self.action {
            Action::Send { spec, .. } => Some(spec),
            Action::Change { .. } => None,
        }
    }
}

/// What is to be done for one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetPlan {
    /// The dataset that is sent.
    pub source: DatasetName,
    /// Where it goes.
    pub target: DatasetName,
    /// The newest snapshot that both sides have already, by its name on the source.
    pub common: Option<Base>,
    /// The same by its name on the target, under the name that the dataset has when its steps begin.
    pub common_there: Option<SnapshotName>,
    /// The places in [`TreePlan::datasets`] that must have succeeded before this one begins: the parent where it is
    /// new, and the dataset of a clone's origin. All are smaller than this one's own place, except for a clone's.
    pub after: Vec<usize>,
    /// The steps, none when the target has everything; or why there are none.
    pub steps: Result<Vec<Step>, Conflict>,
}

impl DatasetPlan {
    /// The streams, in order.
    pub fn streams(&self) -> impl Iterator<Item = &SendSpec> {
        self.steps.iter().flatten().filter_map(Step::stream)
    }

    /// The GUID of the newest snapshot that the target has when this plan was carried out.
    #[must_use]
    pub fn newest(&self) -> Option<Guid> {
        let sent = self.streams().last().map(|spec| spec.to.guid);
        sent.or(self.common.as_ref().map(Base::guid))
    }

    /// The snapshot of the target that has the GUID [`Self::newest`] when this plan was carried out.
    #[must_use]
    pub fn newest_there(&self) -> Option<&SnapshotName> {
        let mut into = self.steps.iter().flatten().filter_map(|step| match &step.action {
            Action::Send { into, .. } => Some(into),
            Action::Change { .. } => None,
        });
        into.next_back().or(self.common_there.as_ref())
    }
}

/// A dataset of the target that the source does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub dataset: DatasetName,
    /// Why it stays.
    pub reason: String,
    /// It is to be removed as soon as [`super::Sides::costs`] has it. Never in a plan that is carried out.
    pub due: bool,
}

/// What is to be done for a dataset and everything below it. The parts are carried out in this order; the datasets
/// side by side, as far as [`DatasetPlan::after`] allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePlan {
    /// The root of what is sent.
    pub source: DatasetName,
    /// Where it goes.
    pub target: DatasetName,
    /// Changes that the streams need: missing parents, renames, datasets set aside, bookmarks.
    pub before: Vec<Step>,
    /// Each selected dataset of the source, parents first.
    pub datasets: Vec<DatasetPlan>,
    /// Changes at the end: bookmarks that are not needed any more go, of datasets that succeeded; what is gone at the
    /// source is marked, or removed.
    pub after: Vec<Step>,
    /// What stays on the target although the source does not have it.
    pub kept: Vec<Kept>,
    /// What the reader should know, beside the steps.
    pub notes: Vec<String>,
}

impl TreePlan {
    /// The streams of all datasets.
    pub fn streams(&self) -> impl Iterator<Item = &SendSpec> {
        self.datasets.iter().flat_map(DatasetPlan::streams)
    }

    /// All steps, in the order in which they are printed.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let datasets = self.datasets.iter().flat_map(|dataset| dataset.steps.iter().flatten());
        self.before.iter().chain(datasets).chain(&self.after)
    }

    /// The conflicts, each with its dataset of the source.
    pub fn conflicts(&self) -> impl Iterator<Item = (&DatasetName, &Conflict)> {
        self.datasets.iter().filter_map(|dataset| Some((&dataset.source, dataset.steps.as_ref().err()?)))
    }

    /// Where no dataset can go on, nothing is changed for any of them.
    pub(super) fn drop_what_is_in_vain(&mut self) {
        if !self.datasets.is_empty() && self.datasets.iter().all(|dataset| dataset.steps.is_err()) {
            self.before.clear();
            self.after.clear();
        }
    }

    /// The sum of the estimates, if there is one for every stream.
    #[must_use]
    pub fn estimated_bytes(&self) -> Option<u64> {
        self.steps()
            .filter(|step| step.stream().is_some())
            .try_fold(0u64, |sum, step| step.estimated_bytes.map(|bytes| sum.saturating_add(bytes)))
    }

    /// Puts the sizes of the streams, in the order of [`Self::streams`], to their steps.
    pub fn set_estimates(&mut self, sizes: &[Option<u64>]) {
        let mut sizes = sizes.iter().copied();
        for step in self.datasets.iter_mut().flat_map(|dataset| dataset.steps.iter_mut().flatten()) {
            if step.stream().is_some() {
                step.estimated_bytes = sizes.next().flatten();
            }
        }
    }
}
