//! What two sides have in common, dataset by dataset, found as a replication finds it: which dataset of the target
//! belongs to which of the source, and the newest snapshot that both have. Whoever prunes asks this.

use zfs_core::name::DatasetName;

use super::base::Bases;
use super::options::Divergence;
use super::options::Options;
use super::tree::Refused;
use super::tree::Sides;
use super::tree::TreePlanner;
use crate::host::Base;

/// What one dataset of the source has in common with its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The dataset of the source.
    pub source: DatasetName,
    /// Where it goes.
    pub target: DatasetName,
    /// The newest snapshot that both sides have, as the source has it; and the newest from which a raw stream can start,
    /// where that is another. None where the target does not exist, or has nothing of the source.
    pub bases: Vec<Base>,
}

/// What each selected dataset of the source has in common with its target.
#[must_use]
pub fn commons(sides: Sides<'_>, options: &Options) -> Vec<Common> {
    // Nothing is set aside for a question.
    let options = Options { divergence: Divergence::Stop, ..options.clone() };
    let refused = Refused::new();
    let mut planner = TreePlanner::new(sides, &options, &refused);
    planner.missing_parents();
    planner.map_all();
    let common = |(at, source): (usize, &&crate::host::DatasetState)| {
        let mapped = planner.mapped.get(at)?;
        let bases = Bases::of(source);
        let mut found = Vec::new();
        if let Some(state) = mapped.state.as_deref() {
            for raw in [false, true] {
                if let Some(base) = bases.newest_common(state, raw).map(|found| found.base)
                    && !found.contains(&base)
                {
                    found.push(base);
                }
            }
        }
        Some(Common { source: source.name.clone(), target: mapped.target.clone(), bases: found })
    };
    planner.selected.iter().enumerate().filter_map(common).collect()
}
