//! Destroying the snapshots that may go: a pure plan ([`plan`]) says which, with a reason for each that stays or goes, and
//! [`carry_out`] does that in batches, with the hooks round it. What keeps snapshots beside the rules is a
//! [`Protection`]: bases of targets come from [`crate::jobs`], holds and clones from the survey ([`own_needs`]).

mod carry;
mod plan;
#[cfg(test)]
mod tests;

pub use carry::BATCH;
pub use carry::Report;
pub use carry::carry_out;
pub use plan::DatasetPlan;
pub use plan::Plan;
pub use plan::Protection;
pub use plan::Protections;
pub use plan::own_needs;
pub use plan::plan;
