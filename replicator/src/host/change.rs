//! The small changes that a plan makes beside sending: each is one call, safe to repeat, and names what it relies on.
//! A snapshot or a dataset is destroyed by three of them only, which name each one: two where it carries the mark of
//! being gone at the source, and one for a policy.

use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::Partial;

/// One change on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a filesystem that is not mounted. One that exists already is fine.
    CreateFilesystem {
        /// Its name; its parent exists.
        dataset: DatasetName,
        /// Properties to set.
        set: Vec<(String, String)>,
    },
    /// Makes bookmarks, all of one pool, all or none. Those that exist with the same GUID are fine.
    Bookmark {
        /// Each with the snapshot it is made of and that snapshot's GUID.
        bookmarks: Vec<(BookmarkName, SnapshotName, Guid)>,
    },
    /// Removes bookmarks of ours. Those that are gone already are fine; one with another GUID stays.
    DestroyBookmarks {
        /// Each with the GUID it must have.
        bookmarks: Vec<(BookmarkName, Guid)>,
    },
    /// Renames a dataset, with everything below it.
    Rename {
        /// Its name now.
        from: DatasetName,
        /// Its GUID, which is checked first.
        guid: Guid,
        /// Its new name, whose parent exists.
        to: DatasetName,
    },
    /// Makes a clone, not mounted.
    Clone {
        /// The snapshot.
        snapshot: SnapshotName,
        /// The snapshot's GUID, which is checked first.
        guid: Guid,
        /// The name of the clone.
        to: DatasetName,
        /// Properties to set.
        set: Vec<(String, String)>,
    },
    /// Turns a clone and its origin round: the older snapshots go over to the clone.
    Promote {
        /// The clone.
        dataset: DatasetName,
    },
    /// Sets properties.
    SetProperties {
        /// The dataset.
        dataset: DatasetName,
        /// Names and values.
        set: Vec<(String, String)>,
    },
    /// Removes what was set of properties on the dataset itself.
    UnsetProperties {
        /// The dataset.
        dataset: DatasetName,
        /// Their names.
        names: Vec<String>,
    },
    /// Destroys snapshots of a dataset that is marked as gone at the source: all or none, and none unless each that
    /// is there has the GUID it must have and the newest of the dataset is the one that was planned with. Those that
    /// do not exist are fine.
    DestroySnapshots {
        /// The dataset.
        dataset: DatasetName,
        /// The GUID of its newest snapshot.
        newest: Guid,
        /// Each with the GUID it must have.
        snapshots: Vec<(SnapshotName, Guid)>,
    },
    /// Destroys snapshots of a dataset that no rule of a policy keeps: all or none, and none unless each that is there
    /// has the GUID it must have. Those that do not exist are fine. The newest of a dataset never goes.
    PruneSnapshots {
        /// The dataset.
        dataset: DatasetName,
        /// Each with the GUID it must have.
        snapshots: Vec<(SnapshotName, Guid)>,
    },
    /// Destroys a dataset that is marked as gone at the source, and has neither snapshots nor children by then. One
    /// that does not exist is fine.
    Destroy {
        /// The dataset.
        dataset: DatasetName,
        /// Its GUID, which is checked first.
        guid: Guid,
        /// How many bytes are lost with it and its snapshots.
        bytes: u64,
    },
    /// Throws away what a receive that broke off has kept. Snapshots are never touched by it.
    DiscardPartial {
        /// The dataset that was being received.
        dataset: DatasetName,
        /// What is thrown away.
        partial: Partial,
    },
}

impl Change {
    /// A short word for each kind, for `--json`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateFilesystem { .. } => "create",
            Self::Bookmark { .. } => "bookmark",
            Self::DestroyBookmarks { .. } => "destroy-bookmarks",
            Self::Rename { .. } => "rename",
            Self::Clone { .. } => "clone",
            Self::Promote { .. } => "promote",
            Self::SetProperties { .. } => "set-properties",
            Self::UnsetProperties { .. } => "unset-properties",
            Self::DestroySnapshots { .. } => "destroy-snapshots",
            Self::PruneSnapshots { .. } => "prune-snapshots",
            Self::Destroy { .. } => "destroy",
            Self::DiscardPartial { .. } => "discard-partial",
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CreateFilesystem { dataset, .. } => write!(f, "create {dataset}, not mounted"),
            Self::Bookmark { bookmarks } => write!(f, "bookmark {}", several(bookmarks.len(), "snapshot")),
            Self::DestroyBookmarks { bookmarks } => {
                write!(f, "remove {} of ours", several(bookmarks.len(), "older bookmark"))
            }
            Self::Rename { from, to, .. } => write!(f, "rename {from} to {to}"),
            Self::Clone { snapshot, to, .. } => write!(f, "clone {snapshot} to {to}"),
            Self::Promote { dataset } => write!(f, "promote {dataset}"),
            Self::SetProperties { dataset, set } => {
                let names: Vec<_> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "set {} on {dataset}", names.join(", "))
            }
            Self::UnsetProperties { dataset, names } => {
                write!(f, "remove {} from {dataset}", names.join(", "))
            }
            Self::DestroySnapshots { dataset, snapshots, .. } => {
                let names: Vec<_> = snapshots.iter().map(|(name, _)| format!("@{}", name.short())).collect();
                let count = several(snapshots.len(), "snapshot");
                write!(f, "destroy {count} of {dataset}: {}", names.join(", "))
            }
            Self::PruneSnapshots { dataset, snapshots } => {
                write!(f, "prune {} of {dataset}", several(snapshots.len(), "snapshot"))
            }
            Self::Destroy { dataset, bytes, .. } => write!(f, "destroy {dataset} ({bytes} bytes are lost)"),
            Self::DiscardPartial { dataset, .. } => write!(f, "throw away the partial receive of {dataset}"),
        }
    }
}

fn several(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
