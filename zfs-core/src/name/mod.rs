//! Names of datasets, snapshots, bookmarks, hold tags and properties, as validated types.
//!
//! A value of one of these types obeys the kernel's own grammar (`zfs_namecheck.c`; zfsconcepts(7),
//! zpool-create(8)), so it can be handed to an ioctl or printed without a further look. Nothing here asks
//! whether the thing exists; that is what listing is for.
//!
//! Names order and compare as plain strings, which is also the order in which `zfs list` prints them.
//!
//! ```
//! use zfs_core::name::{DatasetName, SnapshotName};
//!
//! let home: DatasetName = "tank/home dirs".parse()?; // spaces are legal
//! let snapshot: SnapshotName = home.snapshot("2026-11-22")?;
//! assert_eq!(snapshot.as_str(), "tank/home dirs@2026-11-22");
//! assert_eq!(snapshot.dataset(), &home);
//!
//! let refused = DatasetName::try_from("tank/$(reboot)").unwrap_err();
//! assert_eq!(refused.position, Some(5));
//! # Ok::<(), zfs_core::name::NameError>(())
//! ```

mod check;
mod dataset;
mod entry;
mod error;
mod property;
mod tag;
#[cfg(test)]
mod tests;

pub use check::MAX_NAME_LEN;
pub use check::MAX_NESTING;
pub use dataset::DatasetName;
pub use entry::BookmarkName;
pub use entry::SnapshotName;
pub use error::NameError;
pub use error::NameErrorReason;
pub use error::NameKind;
pub use property::MAX_PROPERTY_NAME_LEN;
pub use property::PropertyName;
pub use tag::HoldTag;
pub use tag::MAX_TAG_LEN;

pub(crate) use error::escape;
