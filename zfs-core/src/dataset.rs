//! What there is: filesystems, volumes and snapshots as the kernel describes them.

use crate::name::{DatasetName, SnapshotName};
use crate::property::Properties;
use crate::{Guid, Txg};

/// Filesystem or volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetKind {
    /// A filesystem.
    Filesystem,
    /// A volume (zvol).
    Volume,
}

impl std::fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DatasetKind::Filesystem => "filesystem",
            DatasetKind::Volume => "volume",
        })
    }
}

/// A filesystem or volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: DatasetName,
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Its identity. The receive of a full stream makes a new one, so it differs between source and target.
    pub guid: Guid,
    /// When it was created, on the clock of its pool.
    pub createtxg: Txg,
    /// The snapshot it is a clone of. The name as the kernel gives it.
    pub origin: Option<SnapshotName>,
    /// A receive into it did not finish, so that it has no valid content yet.
    pub inconsistent: bool,
    /// Its properties.
    pub properties: Properties,
}

impl Dataset {
    /// The token with which an interrupted receive into this dataset can go on, if there is one.
    pub fn receive_resume_token(&self) -> Option<&str> {
        self.properties.text("receive_resume_token").filter(|token| !token.is_empty() && *token != "-")
    }

    /// Whether the dataset is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.properties.get("encryption").is_some_and(|property| property.text() != "off")
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its identity, the same wherever it was received.
    pub guid: Guid,
    /// When it was taken, on the clock of its pool: the order of snapshots.
    pub createtxg: Txg,
    /// How many clones it has.
    pub clones: u64,
}

/// A snapshot with its properties (`creation` in seconds since 1970, `used`, `referenced` and `written` in bytes,
/// `userrefs`, user properties and so on).
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotDetails {
    /// Name and identity.
    pub snapshot: Snapshot,
    /// What else the kernel says of it.
    pub properties: Properties,
}

/// A bookmark: the memory of a snapshot, enough to be an incremental source on the sending side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Its name.
    pub name: crate::name::BookmarkName,
    /// The GUID of the snapshot it stands for.
    pub guid: Guid,
    /// When that snapshot was taken, on the clock of its pool.
    pub createtxg: Txg,
    /// When that snapshot was taken, in seconds since 1970.
    pub creation: u64,
    /// For encrypted datasets, the set of initialisation vectors a raw stream depends on.
    pub ivset_guid: Option<Guid>,
}

/// A user hold on a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The tag it was placed with.
    pub tag: crate::name::HoldTag,
    /// When it was placed, in seconds since 1970.
    pub created: u64,
}
