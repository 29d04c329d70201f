//! Every operation of `zfs_core` on real ZFS: its success, and each error it names.
//!
//! Runs as root where `/dev/zfs` is: in a node of the lab. Every test makes its own pool on a file and destroys it again.

mod bookmarks;
mod cancellation;
mod changes;
mod child;
mod clones;
mod datasets;
mod expect;
mod holds;
mod listing;
mod many_snapshots;
mod model;
mod nvlist;
mod permissions;
mod policies;
mod pool;
mod pool_status;
mod properties;
mod read_only;
mod receive;
mod resume;
mod role;
mod sanoid;
mod send;
mod signals;
mod smoke;
mod snapshots;
mod space;
