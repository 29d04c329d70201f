//! The removal of datasets that are gone at the source, step by step. Right before the first step of each the source is
//! asked once more; what fails for one dataset keeps what is above it, and nothing else.

use std::collections::HashSet;

use zfs_core::name::DatasetName;

use super::RunError;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::plan::TreePlan;

#[derive(Default)]
pub(super) struct Removal {
    asked: HashSet<DatasetName>,
    failed: Vec<DatasetName>,
}

impl Removal {
    /// Makes one step; `None` where an earlier one failed that it depends on.
    pub(super) fn step(
        &mut self,
        plan: &TreePlan,
        source: &mut dyn Host,
        target: &mut dyn Host,
        dataset: &DatasetName,
        change: &Change,
    ) -> Option<Result<(), RunError>> {
        if self.failed.iter().any(|failed| failed.is_within(dataset)) {
            return None;
        }
        let failed = |error| RunError::NotRemoved { dataset: dataset.clone(), error: Box::new(error) };
        let made = self.still_gone(plan, source, dataset).and_then(|()| target.apply(change).map_err(failed));
        if made.is_err() {
            self.failed.push(dataset.clone());
        }
        Some(made)
    }

    /// The source's root is there, and what the target has is not.
    fn still_gone(
        &mut self,
        plan: &TreePlan,
        source: &mut dyn Host,
        dataset: &DatasetName,
    ) -> Result<(), RunError> {
        if !self.asked.insert(dataset.clone()) {
            return Ok(());
        }
        let counterpart = dataset.strip_prefix(&plan.target).and_then(|below| plan.source.child(below).ok());
        let found = source.inventory(counterpart.as_ref().unwrap_or(&plan.source), Depth::One)?;
        let host = source.label().to_string();
        match found {
            Inventory::Absent { ancestor, .. } if ancestor.name.is_within(&plan.source) => Ok(()),
            // A name that does not fit on the source is none that it has, as long as the source is there.
            Inventory::Present(_) if counterpart.is_none() => Ok(()),
            Inventory::Absent { .. } => Err(RunError::NoSource { host, dataset: plan.source.clone() }),
            Inventory::Present(_) => Err(RunError::NotGone { host, dataset: dataset.clone() }),
        }
    }
}
