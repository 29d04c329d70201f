//! Real OpenZFS on a machine that has none: nodes with a real kernel, disks and a network, as ordinary
//! processes. Start with [`Cluster`]:
//!
//! ```no_run
//! let cluster = lab::Cluster::boot(2)?;
//! cluster.node(1).check(["zpool", "create", "tank", "/dev/ubdb"])?;
//! let output = cluster.node(1).sh("zfs send tank@a | ssh node2 zfs receive pool/a")?;
//! cluster.node(2).power_cut();
//! # Ok::<(), lab::LabError>(())
//! ```
//!
//! The nodes' kernel and root file system are made by `cargo lab build` and kept in a cache (`cache`); what
//! they consist of is in `recipe`.

pub mod agent;
mod apt;
mod bootconf;
pub mod build;
pub mod cache;
pub mod cluster;
pub mod command;
mod control;
mod cpu;
pub mod error;
mod host;
pub mod host_zfs;
pub mod interrupt;
mod kernel;
mod link;
mod node;
mod output;
pub mod package;
mod progress;
mod protocol;
pub mod recipe;
mod rootfs;
mod rundir;
mod spawner;
mod switch;
mod sys;
pub mod terminal;
pub mod time;
pub mod workspace;

pub use cache::{Artifacts, artifacts};
pub use cluster::{Builder, Cluster};
pub use command::{Command, Process, Stream};
pub use error::{LabError, Result};
pub use link::{Counters, Link};
pub use node::{DISK_SIZE, Node};
pub use output::{Output, Status};
pub use recipe::Generation;
pub use rundir::budget as memory_budget;
