//! Native ZFS replication as a library.
//!
//! A [`host`] is a place with datasets, here or reached over a [`transport`]. A [`plan`] is made of what two hosts
//! have, by a pure function, and [`engine`] carries it out, stream by stream, with [`transfer`]. The command line
//! is in [`cli`]. What talks to the ZFS of this machine is the crate `zfs_core`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod agent;
pub mod cancel;
pub mod check;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod compare;
pub mod config;
pub mod connect;
pub mod endpoint;
pub mod engine;
pub mod hook;
pub mod host;
pub mod inspect;
pub mod jobs;
pub mod lock;
pub mod marks;
#[cfg(any(test, feature = "test-support"))]
pub mod model;
pub mod monitor;
pub mod notify;
pub mod pair;
pub mod plan;
pub mod policy;
pub mod pools;
pub mod prune;
pub mod receiver;
pub mod restore;
pub mod role;
pub mod survey;
pub mod take;
mod tls;
pub mod transfer;
pub mod transport;
pub mod verify;
