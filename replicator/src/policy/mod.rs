//! What a policy says about the snapshots of a dataset: which are due now, which may go, and why. All of it is pure: the
//! snapshots, the clock and what protects a snapshot are passed in, and every answer carries its reason. Reading a
//! configuration, taking and destroying are elsewhere.
//!
//! The clock that is passed in should not run ahead of the kernel's, which dates snapshots by its coarse clock: with
//! `CLOCK_REALTIME_COARSE` a snapshot taken right after a slot began is never dated before it.

mod due;
mod grid;
mod length;
mod names;
mod parse;
mod period;
mod protect;
mod prune;
mod reason;
mod retention;
mod sanoid;
mod schedule;
mod slots;
mod snapshot;
mod zone;

#[cfg(test)]
mod due_tests;
#[cfg(test)]
mod prune_tests;
#[cfg(test)]
mod year_tests;

pub use due::Due;
pub use due::DueReason;
pub use due::SnapshotText;
pub use due::due;
pub use grid::Grid;
pub use grid::Step;
pub use length::Length;
pub use length::Unit;
pub use names::Naming;
pub use names::Prefix;
pub use parse::ParseError;
pub use parse::Problem;
pub use period::PerPeriod;
pub use period::Period;
pub use protect::Away;
pub use protect::Base;
pub use protect::Need;
pub use protect::Needed;
pub use protect::Target;
pub use prune::Decision;
pub use prune::Pruning;
pub use prune::kept_until;
pub use prune::prune;
pub use reason::Reason;
pub use retention::Defer;
pub use retention::Keep;
pub use retention::Retention;
pub use schedule::Every;
pub use schedule::Minute;
pub use schedule::Month;
pub use schedule::MonthDay;
pub use schedule::Monthly;
pub use schedule::Schedule;
pub use schedule::TimeOfDay;
pub use schedule::Weekday;
pub use schedule::Weekly;
pub use schedule::Yearly;
pub use slots::Slot;
pub use snapshot::Snapshot;
pub use zone::Zone;
pub use zone::ZoneError;

/// By whose rules, where they differ: how names are recognised, and when a snapshot is due. How long one is kept is
/// the same in both, given the same [`Retention`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// By ours.
    #[default]
    Ours,
    /// By sanoid's, for those who keep its configuration.
    Sanoid,
}
