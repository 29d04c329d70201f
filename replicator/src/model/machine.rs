//! What a machine of the model has. The rules by which it changes are in the neighbouring modules.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;
use zfs_core::Txg;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::host::PropertySource;
use crate::host::Version;

use super::random::Random;
use super::shelf::Shelf;

/// The data of a dataset: numbered blocks with a number in each.
pub type Content = Arc<BTreeMap<u64, u64>>;

/// Tells snapshots apart also when they have the same GUID, and stays the same when they are renamed or promoted.
pub(super) type Id = u64;

/// An operation that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub subject: String,
    /// Why not.
    pub kind: ErrorKind,
}

impl Refused {
    pub(super) fn new(operation: Operation, subject: impl std::fmt::Display, kind: ErrorKind) -> Self {
        Self { operation, subject: subject.to_string(), kind }
    }
}

impl From<Refused> for zfs_core::Error {
    fn from(refused: Refused) -> Self {
        // The one number that is looked at beside the kind: whether a receive is in the way or the rest of one.
        let errno = match refused.kind {
            ErrorKind::PartialReceiveExists => rustix::io::Errno::BUSY.raw_os_error(),
            _ => 0,
        };
        Self::made_up(refused.operation, refused.subject, refused.kind, errno)
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snap {
    pub(super) id: Id,
    /// Its name behind the `@`.
    pub short: String,
    /// Its GUID.
    pub guid: Guid,
    /// When it was taken.
    pub createtxg: Txg,
    /// For encrypted datasets.
    pub ivset: Option<Guid>,
    /// The data.
    pub content: Content,
    /// The tags of its holds.
    pub holds: BTreeSet<String>,
    /// As of its dataset.
    pub(super) log: bool,
    /// As of its dataset.
    pub(super) reset: Txg,
    /// When the data in it was last written.
    pub(super) modified: Txg,
}

impl Snap {
    /// When the head of the log was cleared in what is made of it in this transaction group.
    pub(super) fn reset_in(&self, txg: Txg) -> Txg {
        if self.log { txg } else { self.reset }
    }
}

/// A bookmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The GUID of its snapshot.
    pub guid: Guid,
    /// When that was taken.
    pub createtxg: Txg,
    /// For encrypted datasets.
    pub ivset: Option<Guid>,
    /// What the snapshot had: real bookmarks find the difference by the age of blocks instead.
    pub(super) content: Content,
}

/// How a dataset is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crypt {
    /// Whether it has a key of its own; else it uses that of the nearest ancestor that has one.
    pub own: bool,
    /// Whether its own key is loaded.
    pub loaded: bool,
}

/// A receive that runs or broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partial {
    pub to_name: SnapshotName,
    pub to_guid: Guid,
    pub from_guid: Option<Guid>,
    pub to_ivset: Option<Guid>,
    pub raw: bool,
    pub compressed: bool,
    pub object: u64,
    pub offset: u64,
    pub bytes: u64,
    pub content: Content,
    /// The newest snapshot when it began.
    pub prev: Option<Id>,
    /// Which receiver works on it; none after it broke off.
    pub running: Option<u64>,
}

/// A filesystem or volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Its GUID.
    pub guid: Guid,
    /// The data of today.
    pub content: Content,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snap>,
    /// Its bookmarks by the name behind the `#`.
    pub bookmarks: BTreeMap<String, Mark>,
    /// A first receive into it did not finish.
    pub inconsistent: bool,
    /// What was set on it, with its source: local or received.
    pub set: BTreeMap<String, (String, PropertySource)>,
    pub(super) origin: Option<Id>,
    pub(super) modified: Txg,
    /// It was mounted, so that it has the head of an intent log.
    pub(super) log: bool,
    /// When the head of that log was last cleared, by a clone, a rollback or a receive: the kernel counts this as
    /// written, and takes receives all the same.
    pub(super) reset: Txg,
    pub(super) crypt: Option<Crypt>,
    pub(super) partial: Option<Partial>,
}

impl Dataset {
    /// The snapshot of that name.
    #[must_use]
    pub fn snapshot(&self, short: &str) -> Option<&Snap> {
        self.snapshots.iter().find(|snap| snap.short == short)
    }

    /// Whether a receive into it runs or broke off.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// How many bytes of the stream of the partial receive arrived.
    #[must_use]
    pub fn partial_bytes(&self) -> Option<u64> {
        self.partial.as_ref().map(|partial| partial.bytes)
    }

    /// The GUID of the snapshot that the partial receive is for.
    #[must_use]
    pub fn partial_guid(&self) -> Option<Guid> {
        self.partial.as_ref().map(|partial| partial.to_guid)
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.crypt.is_some()
    }

    /// Whether it is a clone.
    #[must_use]
    pub fn is_clone(&self) -> bool {
        self.origin.is_some()
    }
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    pub guid: Guid,
    pub txg: u64,
    pub version: Version,
    pub features: Arc<BTreeMap<String, String>>,
    pub available: u64,
}

/// A machine with its pools. Cloning it gives an independent copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) pools: BTreeMap<String, Pool>,
    pub(super) datasets: Shelf,
    /// The filesystems that are mounted. Nothing here mounts any by itself.
    mounted: BTreeSet<DatasetName>,
    pub(super) random: Random,
    pub(super) next_id: Id,
}

impl Machine {
    /// Without pools. The GUIDs it gives follow from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            pools: BTreeMap::new(),
            datasets: Shelf::default(),
            mounted: BTreeSet::new(),
            random: Random::new(seed),
            next_id: 1,
        }
    }

    /// Makes a pool with its root dataset. A name that is no pool's, or one that exists, is a mistake of the test.
    pub fn create_pool(&mut self, name: &str) {
        let root: DatasetName = name.parse().expect("the name of a pool");
        assert!(root.depth() == 1 && !self.pools.contains_key(name), "{name}");
        let features = [
            ("bookmarks", "enabled"),
            ("encryption", "enabled"),
            ("extensible_dataset", "active"),
            ("large_blocks", "active"),
            ("lz4_compress", "active"),
            ("zstd_compress", "enabled"),
        ];
        let pool = Pool {
            guid: self.guid(),
            txg: 10,
            version: Version { major: 2, minor: 4, patch: 4 },
            features: Arc::new(features.map(|(name, state)| (name.to_string(), state.to_string())).into()),
            available: 1 << 30,
        };
        self.pools.insert(name.to_string(), pool);
        let dataset = self.fresh(DatasetKind::Filesystem, name);
        self.datasets.insert(root, dataset);
    }

    /// Whether the machine has a pool of that name.
    #[must_use]
    pub fn has_pool(&self, name: &str) -> bool {
        self.pools.contains_key(name)
    }

    /// The version of ZFS that the machine says it has.
    pub fn set_version(&mut self, version: Version) {
        for pool in self.pools.values_mut() {
            pool.version = version;
        }
    }

    /// The state of a feature of all pools: `disabled`, `enabled` or `active`.
    pub fn set_feature(&mut self, feature: &str, state: &str) {
        for pool in self.pools.values_mut() {
            Arc::make_mut(&mut pool.features).insert(feature.to_string(), state.to_string());
        }
    }

    /// Whether a feature of a pool is in one of these states.
    pub(super) fn has_feature(&self, pool: &str, feature: &str, states: &[&str]) -> bool {
        let state = self.pools.get(pool).and_then(|pool| pool.features.get(feature));
        state.is_some_and(|state| states.contains(&state.as_str()))
    }

    /// How many bytes the machine says are free.
    pub fn set_available(&mut self, bytes: u64) {
        for pool in self.pools.values_mut() {
            pool.available = bytes;
        }
    }

    /// Mounts a filesystem, or ends its mount, for what is told of it.
    pub fn set_mounted(&mut self, name: &DatasetName, mounted: bool) {
        if mounted {
            self.mounted.insert(name.clone());
        } else {
            self.mounted.remove(name);
        }
    }

    /// Whether a filesystem that exists is mounted.
    #[must_use]
    pub fn is_mounted(&self, name: &DatasetName) -> bool {
        self.mounted.contains(name) && self.datasets.contains_key(name)
    }

    /// Takes a pool away, as one whose disks are gone. A pool that does not exist is a mistake of the test.
    pub fn lose_pool(&mut self, name: &str) {
        self.pools.remove(name).expect("a pool of this machine");
        let lost: Vec<_> = self.datasets.keys().filter(|dataset| dataset.pool() == name).cloned().collect();
        for dataset in lost {
            self.datasets.remove(&dataset);
        }
    }

    /// The dataset of that name.
    #[must_use]
    pub fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.datasets.get(name)
    }

    /// All datasets, by name.
    pub fn datasets(&self) -> impl Iterator<Item = (&DatasetName, &Dataset)> {
        self.datasets.iter()
    }

    /// What is not the same as in a copy that was made earlier: for each name the dataset then and now.
    #[must_use]
    pub fn changed<'a>(
        &'a self,
        before: &'a Self,
    ) -> Vec<(&'a DatasetName, Option<&'a Dataset>, Option<&'a Dataset>)> {
        self.datasets.changed(&before.datasets)
    }

    /// The GUID of a pool. A pool that does not exist is a mistake of the test.
    #[must_use]
    pub fn pool_guid(&self, pool: &str) -> Guid {
        self.pools.get(pool).expect("a pool of this machine").guid
    }

    /// The snapshot of that name.
    #[must_use]
    pub fn find(&self, name: &SnapshotName) -> Option<&Snap> {
        self.datasets.get(name.dataset())?.snapshot(name.short())
    }

    /// The snapshot that a dataset is a clone of.
    #[must_use]
    pub fn origin(&self, name: &DatasetName) -> Option<SnapshotName> {
        let (dataset, snap) = self.by_id(self.datasets.get(name)?.origin?)?;
        dataset.snapshot(&snap.short).ok()
    }

    /// How many datasets and partial receives have grown out of a snapshot.
    #[must_use]
    pub fn clones(&self, name: &SnapshotName) -> usize {
        self.find(name).map_or(0, |snap| self.clones_of(snap.id))
    }

    pub(super) fn clones_of(&self, id: Id) -> usize {
        let own = |dataset: &&Dataset| dataset.origin == Some(id);
        let partial = |dataset: &&Dataset| {
            // The first receive of a clone is the clone itself.
            !dataset.inconsistent && dataset.partial.as_ref().is_some_and(|partial| partial.prev == Some(id))
        };
        self.datasets.values().filter(own).count() + self.datasets.values().filter(partial).count()
    }

    pub(super) fn by_id(&self, id: Id) -> Option<(&DatasetName, &Snap)> {
        let mut all =
            self.datasets.iter().flat_map(|(name, one)| one.snapshots.iter().map(move |s| (name, s)));
        all.find(|(_, snap)| snap.id == id)
    }

    /// The newest snapshot of a dataset, or its origin.
    pub(super) fn newest(&self, dataset: &Dataset) -> Option<Snap> {
        match dataset.snapshots.last() {
            Some(snap) => Some(snap.clone()),
            None => self.by_id(dataset.origin?).map(|(_, snap)| snap.clone()),
        }
    }

    /// Whether a dataset was written to after its newest snapshot.
    #[must_use]
    pub fn is_modified(&self, name: &DatasetName) -> bool {
        let Some(dataset) = self.datasets.get(name) else { return false };
        self.newest(dataset).is_none_or(|snap| dataset.modified > snap.createtxg)
    }

    /// Whether the property `written` is above zero, which does not always mean that a receive would refuse.
    #[must_use]
    pub fn has_written(&self, name: &DatasetName) -> bool {
        let Some(dataset) = self.datasets.get(name) else { return false };
        self.newest(dataset).is_none_or(|snap| dataset.modified.max(dataset.reset) > snap.createtxg)
    }

    /// The nearest dataset from here upwards that has a key of its own.
    pub(super) fn encryption_root(&self, name: &DatasetName) -> Option<(DatasetName, bool)> {
        let mut at = Some(name.clone());
        while let Some(name) = at {
            match self.datasets.get(&name)?.crypt.as_ref()? {
                crypt if crypt.own => return Some((name, crypt.loaded)),
                _ => at = name.parent(),
            }
        }
        None
    }

    /// Whether the data of an encrypted dataset can be read.
    pub(super) fn key_loaded(&self, name: &DatasetName) -> bool {
        self.encryption_root(name).is_some_and(|(_, loaded)| loaded)
    }

    pub(super) fn guid(&mut self) -> Guid {
        Guid(self.random.number().max(1))
    }

    pub(super) fn id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    /// The next transaction group of a pool.
    pub(super) fn txg(&mut self, pool: &str) -> Txg {
        self.pools.get_mut(pool).map_or(Txg(0), |pool| {
            pool.txg += 1;
            Txg(pool.txg)
        })
    }

    /// A dataset without anything in it.
    pub(super) fn fresh(&mut self, kind: DatasetKind, pool: &str) -> Dataset {
        Dataset {
            kind,
            guid: self.guid(),
            content: Content::default(),
            snapshots: Vec::new(),
            bookmarks: BTreeMap::new(),
            inconsistent: false,
            set: BTreeMap::new(),
            origin: None,
            modified: self.txg(pool),
            log: false,
            reset: Txg(0),
            crypt: None,
            partial: None,
        }
    }
}
