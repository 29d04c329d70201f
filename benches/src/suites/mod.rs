//! The suites: each a question with those who can answer it, and what is wanted of ours.

mod listing;
mod memory;
mod planning;
mod replication;
mod slow_link;
mod streams;
mod taking;
mod transport;
mod trees;

pub use planning::plan;

use crate::error::Result;
use crate::lab::Lab;
use crate::result::Case;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Suite {
    /// Many datasets over ssh, nothing to do.
    Noop,
    /// Many datasets over ssh, one new snapshot each.
    Increment,
    /// Many datasets over ssh, first run.
    First,
    /// One stream between two pools.
    Local,
    /// One stream over ssh, by each transport and cipher.
    Ssh,
    /// A line of 100 Mbit/s with 20 and 150 ms.
    SlowLink,
    /// What the processes of both machines need, by stream size and way.
    Memory,
    /// Listing many snapshots.
    Listing,
    /// Taking and destroying many snapshots.
    Taking,
    /// Planning large histories; needs no ZFS.
    Planning,
    /// The transport alone, with a real sshd on loopback; needs no ZFS.
    Transport,
}

impl Suite {
    /// Whether it makes pools.
    pub fn needs_zfs(self) -> bool {
        !matches!(self, Self::Planning | Self::Transport)
    }

    /// Runs it. Each case that comes to its end is added to `cases`, also where a later one fails.
    ///
    /// # Errors
    /// Where a run failed or did not do what is measured.
    pub fn run(self, lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
        match self {
            Self::Noop => trees::no_op(lab, cases),
            Self::Increment => trees::increment(lab, cases),
            Self::First => trees::first(lab, cases),
            Self::Local => streams::local(lab, cases),
            Self::Ssh => streams::ssh(lab, cases),
            Self::SlowLink => slow_link::slow_link(lab, cases),
            Self::Memory => memory::memory(lab, cases),
            Self::Listing => listing::listing(lab, cases),
            Self::Taking => taking::taking(lab, cases),
            Self::Planning => planning::planning(lab, cases),
            Self::Transport => transport::transport(lab, cases),
        }
    }

    /// Its name, as it is called with.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or(String::new(), |value| value.get_name().to_string())
    }
}
