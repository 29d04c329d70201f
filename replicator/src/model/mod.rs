//! A ZFS in memory, for tests: machines with pools, datasets, snapshots, bookmarks, holds, clones and partial receives
//! that answer by the kernel's rules, and faults that strike before or after any single change. The rules are compared
//! with a real kernel by `tests/scenarios`. Nothing here is part of a release: it needs the feature `test-support`.

mod datasets;
mod deeds;
mod faults;
mod host;
mod machine;
mod random;
mod receive;
mod send;
mod shelf;
mod snapshots;
mod states;
#[cfg(test)]
mod tests;
mod world;

pub use faults::Fault;
pub use faults::Meddling;
pub use faults::Moment;
pub use faults::When;
pub use host::ModelHost;
pub use machine::Content;
pub use machine::Dataset;
pub use machine::Machine;
pub use machine::Mark;
pub use machine::Refused;
pub use machine::Snap;
pub use random::Random;
pub use receive::Receiver;
pub use send::Stream;
pub use world::Effect;
pub use world::World;
