//! ZFS from Rust, without the `zfs` command: datasets, snapshots, bookmarks, holds, properties, send and receive.
//!
//! Everything goes through [`Zfs`], the handle to the ZFS of this machine. The libraries of OpenZFS (2.1 or later) are
//! loaded when the handle is made, so that a program that uses this crate starts and can explain itself also where
//! there is none.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use zfs_core::{PropertySet, Zfs, name::DatasetName};
//!
//! let zfs = Zfs::open()?;
//! for pool in zfs.pools()? {
//!     for dataset in zfs.tree(&pool)? {
//!         println!("{}", dataset?.name);
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! What this crate does not do: mount, share, ask for keys, make or import pools, decide what to snapshot, send or
//! destroy, and print. What it never does: pass the kernel's `force` to a receive, roll back over newer snapshots, or
//! read an error as "there is nothing".
//!
//! Operations name what they work on with checked types ([`name`]) and fail with an [`Error`] that carries operation,
//! subject, error number and meaning. Facts about the kernel rest on zfs-send(8), zfs-receive(8), zfsprops(7) and their
//! neighbours, and on the public headers `libzfs_core.h` and `sys/fs/zfs.h`.

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod bookmark;
mod command;
pub mod copy;
pub mod dataset;
pub mod error;
mod ffi;
mod fletcher;
mod handle;
pub mod hold;
mod id;
mod list;
mod manage;
pub mod name;
pub mod nvlist;
mod pipe;
pub mod pool;
pub mod property;
pub mod receive;
pub mod send;
pub mod snapshot;
pub mod stream;
pub mod token;

pub use dataset::{Bookmark, Dataset, DatasetKind, Hold, Snapshot, SnapshotDetails};
pub use error::{Error, ErrorKind, OpenError, Operation, Result};
pub use handle::Zfs;
pub use id::{Guid, Txg};
pub use list::{Children, DetailedSnapshots, NumberedSnapshots, Snapshots, Tree};
pub use property::{PropertySet, Source};
