//! The suites: each a question with those who can answer it, and what is wanted of ours.

mod listing;
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

    /// Runs it.
    ///
    /// # Errors
    /// Where a run failed or did not do what is measured.
    pub fn run(self, lab: &Lab) -> Result<Vec<Case>> {
        match self {
            Self::Noop => trees::no_op(lab),
            Self::Increment => trees::increment(lab),
            Self::First => trees::first(lab),
            Self::Local => streams::local(lab),
            Self::Ssh => streams::ssh(lab),
            Self::SlowLink => slow_link::slow_link(lab),
            Self::Listing => listing::listing(lab),
            Self::Taking => taking::taking(lab),
            Self::Planning => planning::planning(lab),
            Self::Transport => transport::transport(lab),
        }
    }
}
