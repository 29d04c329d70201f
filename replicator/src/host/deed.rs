//! What a replication of this program never does, and the syncoid front end does because syncoid does: it takes
//! snapshots, holds them, goes back to one, and destroys what is in the way. Each deed names all that it destroys, and
//! is done only where that is still what is there. An agent does none of them.

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::DatasetState;
use super::Tree;

/// One deed on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Takes a snapshot.
    Snapshot {
        /// Its name.
        snapshot: SnapshotName,
    },
    /// Places a hold that stays until it is released.
    Hold {
        /// On what.
        snapshot: SnapshotName,
        /// Its tag.
        tag: HoldTag,
    },
    /// Releases a hold.
    Release {
        /// On what.
        snapshot: SnapshotName,
        /// Its tag.
        tag: HoldTag,
    },
    /// Goes back to a snapshot: what was written since is lost, and so are the newer snapshots, which are all named.
    /// With another one newer than it nothing is done.
    RollBack {
        /// The snapshot.
        to: SnapshotName,
        /// Its GUID.
        guid: Guid,
        /// Those that go, each with the GUID it must have.
        newer: Vec<(SnapshotName, Guid)>,
    },
    /// Destroys snapshots of a dataset, the newest too: all or none, and none unless each that is there has the GUID it
    /// must have.
    DestroySnapshots {
        /// The dataset.
        dataset: DatasetName,
        /// Each with the GUID it must have.
        snapshots: Vec<(SnapshotName, Guid)>,
    },
    /// Destroys a dataset with everything below it, and with its snapshots. With anything there that is not named,
    /// nothing is done.
    DestroyTree {
        /// The dataset.
        dataset: DatasetName,
        /// Each dataset with its GUID and the GUIDs of its snapshots.
        doomed: Vec<Doomed>,
    },
    /// Mounts a filesystem as its properties say.
    Mount {
        /// The filesystem.
        dataset: DatasetName,
    },
}

/// A dataset that is to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Its name.
    pub name: DatasetName,
    /// Its GUID.
    pub guid: Guid,
    /// All its snapshots.
    pub snapshots: Vec<(SnapshotName, Guid)>,
}

impl From<&DatasetState> for Doomed {
    fn from(state: &DatasetState) -> Self {
        let snapshots = state.snapshots.iter().map(|one| (one.name.clone(), one.guid)).collect();
        Self { name: state.name.clone(), guid: state.guid, snapshots }
    }
}

impl Deed {
    /// What it is, after "cannot".
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Snapshot { .. } => "take a snapshot",
            Self::Hold { .. } => "hold a snapshot",
            Self::Release { .. } => "release a snapshot",
            Self::RollBack { .. } => "roll back",
            Self::DestroySnapshots { .. } => "destroy snapshots for syncoid",
            Self::DestroyTree { .. } => "destroy a tree",
            Self::Mount { .. } => "mount a filesystem",
        }
    }
}

/// What of a tree is not among the doomed, or is not what it was.
pub(super) fn unexpected(tree: &Tree, doomed: &[Doomed]) -> Option<String> {
    tree.datasets().iter().find_map(|state| {
        let Some(named) = doomed.iter().find(|one| one.name == state.name && one.guid == state.guid) else {
            return Some(state.name.to_string());
        };
        let stranger =
            state.snapshots.iter().find(|one| !named.snapshots.contains(&(one.name.clone(), one.guid)));
        stranger.map(|one| one.name.to_string())
    })
}
