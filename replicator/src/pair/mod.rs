//! Two nodes with the same datasets on pools of their own, of which one has the service at a time. Here is what keeps
//! them from harming each other: the [`epoch`] that each root carries, the [`fence`] that a receiving agent puts every
//! request through, the [`guards`] before a step that could cost data, the [`sizes`] that stand against pruning, the
//! [`rules`] that a role makes for policies. Who has the service is found in [`crate::role`].

pub mod aside;
pub mod epoch;
pub mod fence;
pub mod guards;
#[cfg(test)]
mod guards_tests;
pub mod rules;
pub mod sizes;
pub mod verbs;

pub use epoch::Belief;
pub use epoch::Doubt;
pub use epoch::Epoch;
pub use epoch::NodeName;
pub use fence::Claim;
pub use fence::Permit;
pub use fence::Refusal;
