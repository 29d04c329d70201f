//! Two nodes with the same datasets on pools of their own, of which one has the service at a time. Here is what keeps
//! them from harming each other: the [`epoch`] that each root carries, the [`fence`] that a receiving agent puts every
//! request through, the [`guards`] before a step that could cost data, the [`sizes`] that stand against pruning and
//! what is told where it is [`paused`] by them, the [`rules`] that a role makes for policies, and what becomes of the last
//! snapshots of [`handovers`] and of a service that goes back and forth ([`flapping`]). Who has the service is found in
//! [`crate::role`]; whether all is set up so that a takeover works, in [`check`].

pub mod aside;
pub mod check;
pub mod epoch;
pub mod fence;
pub mod flapping;
pub mod guards;
#[cfg(test)]
mod guards_tests;
pub mod handovers;
pub mod paused;
pub mod rules;
pub mod sizes;
#[cfg(test)]
mod sizes_tests;
pub mod verbs;

pub use epoch::Belief;
pub use epoch::Doubt;
pub use epoch::Epoch;
pub use epoch::NodeName;
pub use fence::Claim;
pub use fence::Permit;
pub use fence::Refusal;
