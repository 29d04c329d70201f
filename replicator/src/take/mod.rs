//! Taking the snapshots that are due: a pure plan ([`plan`]) says which, in which calls to the kernel and why, and
//! [`carry_out`] does that with the hooks round it. What one dataset or one name fails with keeps no other from being
//! taken.

mod carry;
mod plan;
#[cfg(test)]
pub(crate) mod tests;

pub use carry::Happening;
pub use carry::Report;
pub use carry::carry_out;
pub(crate) use carry::said;
pub use plan::Call;
pub use plan::DueName;
pub use plan::Plan;
pub use plan::Unit;
pub use plan::plan;
