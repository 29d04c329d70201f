//! What is to be done to bring a tree of datasets to the target: a pure function from two inventories to a
//! [`TreePlan`], in which a dataset has either steps or a [`Conflict`] that says why there are none. No I/O and no
//! clock: the same inventories give the same plan, a dry run prints exactly what a run does, and everything here is
//! tested without ZFS.

mod base;
mod bugs;
mod chain;
mod commons;
mod conflict;
mod features;
mod gone;
mod json;
mod mapping;
mod marking;
mod options;
mod preserve;
pub(crate) mod properties;
mod steps;
mod tree;
mod upkeep;

#[cfg(test)]
mod diverged_tests;
#[cfg(test)]
mod gone_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree_tests;

pub use commons::Common;
pub use commons::commons;
pub use conflict::Conflict;
pub use conflict::PartialProblem;
pub use features::doubtful;
pub use features::may_lack;
pub use features::missing;
pub use marking::needs_pools;
pub use options::Divergence;
pub use options::Initial;
pub use options::Options;
pub use options::PatternError;
pub use options::Patterns;
pub use properties::DEFAULT as DEFAULT_PROPERTIES;
pub use properties::PropertyList;
pub use properties::PropertyListError;
pub use steps::Action;
pub use steps::DatasetPlan;
pub use steps::Kept;
pub use steps::Side;
pub use steps::Step;
pub use steps::TreePlan;
pub use tree::Refused;
pub use tree::Sides;
pub use tree::plan;
pub use tree::plan_without;
