//! What a plan depends on, as data: datasets with their snapshots and bookmarks, and what is known of their pool.
//! Nothing here asks anybody; the answers come from the hosts ([`super::local`], [`super::zfs_cli`]).

use std::collections::BTreeMap;

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

pub use zfs_core::DatasetKind;

/// A snapshot as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its identity, the same on every machine.
    pub guid: Guid,
    /// Its place in the order of this pool.
    pub createtxg: Txg,
    /// For a snapshot of an encrypted dataset: the set of initialisation vectors that a raw stream from it depends
    /// on. Two snapshots with the same GUID and another set cannot be joined by a raw stream (openzfs #8758).
    pub ivset: Option<Guid>,
}

/// A bookmark as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Its name.
    pub name: BookmarkName,
    /// The GUID of the snapshot it stands for.
    pub guid: Guid,
    /// The place of that snapshot in the order of this pool.
    pub createtxg: Txg,
    /// As [`Snapshot::ivset`]; old bookmarks of encrypted datasets lack it.
    pub ivset: Option<Guid>,
}

/// A partial receive that waits to go on, as its token tells. The token comes from the receiving side and is not to
/// be trusted: the planner compares it with what it would send itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The token as text.
    pub token: String,
    /// What it says, or why it cannot be read.
    pub content: Result<PartialContent, String>,
}

/// What a resume token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialContent {
    /// GUID of the snapshot that was being received.
    pub to_guid: Guid,
    /// GUID of its incremental source; `None` for a full stream.
    pub from_guid: Option<Guid>,
    /// Bytes that arrived so far.
    pub bytes: u64,
    /// The stream was raw.
    pub raw: bool,
    /// The stream was redacted, or the token asks for something this program does not know: never sent.
    pub foreign: bool,
}

/// How a dataset is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The dataset whose key it uses; itself or an ancestor.
    pub root: DatasetName,
    /// Whether that key is loaded.
    pub key_loaded: bool,
}

/// One dataset with everything a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetState {
    /// Its name.
    pub name: DatasetName,
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Its GUID, which differs between source and target.
    pub guid: Guid,
    /// How it is encrypted, if it is.
    pub encryption: Option<Encryption>,
    /// The snapshot it is a clone of.
    pub origin: Option<SnapshotName>,
    /// Bytes written since its newest snapshot.
    pub written: u64,
    /// Bytes that it refers to.
    pub referenced: u64,
    /// Bytes that may still be written into it, after quotas and reservations.
    pub available: u64,
    /// A receive that did not end.
    pub partial: Option<Partial>,
    /// Its snapshots, in the order of `createtxg`.
    pub snapshots: Vec<Snapshot>,
    /// Its bookmarks, in the order of `createtxg`.
    pub bookmarks: Vec<Bookmark>,
}

impl DatasetState {
    /// Whether it is encrypted.
    #[must_use]
    pub fn encrypted(&self) -> bool {
        self.encryption.is_some()
    }
}

/// A dataset and, where asked for, everything below it: parents before their children, siblings by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The datasets; the first is the root. Never empty.
    datasets: Vec<DatasetState>,
}

/// A list of datasets that is no tree: it is empty, or holds something that is not below the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of datasets is not a tree: {0}")]
pub struct NoTree(String);

impl Tree {
    /// Sorts the datasets so that each parent stands before its children.
    ///
    /// # Errors
    /// When the root is missing, a dataset comes twice, or one lies outside of the root.
    pub fn new(root: &DatasetName, mut datasets: Vec<DatasetState>) -> Result<Self, NoTree> {
        // By components: as text, `a b` sorts between `a` and `a/b`.
        datasets.sort_by(|a, b| a.name.components().cmp(b.name.components()));
        match datasets.first() {
            Some(first) if first.name == *root => {}
            _ => return Err(NoTree(format!("{root} itself is missing"))),
        }
        for pair in datasets.windows(2) {
            if pair[0].name == pair[1].name {
                return Err(NoTree(format!("{} comes twice", pair[0].name)));
            }
            if !pair[1].name.is_within(root) {
                return Err(NoTree(format!("{} is not below {root}", pair[1].name)));
            }
        }
        Ok(Self { datasets })
    }

    /// The dataset that was asked for.
    #[must_use]
    pub fn root(&self) -> &DatasetState {
        &self.datasets[0]
    }

    /// All datasets, parents first.
    #[must_use]
    pub fn datasets(&self) -> &[DatasetState] {
        &self.datasets
    }

    /// The dataset of that name.
    #[must_use]
    pub fn get(&self, name: &DatasetName) -> Option<&DatasetState> {
        let at = self.datasets.binary_search_by(|one| one.name.components().cmp(name.components()));
        at.ok().map(|at| &self.datasets[at])
    }
}

/// What is known about a tree on one side. An error is never turned into [`Inventory::Absent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inventory {
    /// It is proven not to exist: its nearest ancestor was listed and does not have it.
    Absent {
        /// The nearest ancestor that exists, without its snapshots and bookmarks.
        ancestor: Box<DatasetState>,
        /// The names of the datasets directly below the ancestor.
        children: Vec<DatasetName>,
    },
    /// It exists.
    Present(Tree),
}

/// How much of a tree is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The dataset itself.
    One,
    /// It and everything below it.
    All,
}

/// A version of OpenZFS, as far as bugs depend on it: `2.3.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 in 2.3.9.
    pub major: u32,
    /// 3 in 2.3.9.
    pub minor: u32,
    /// 9 in 2.3.9.
    pub patch: u32,
}

impl Version {
    /// Reads `2.3.9`, `2.4.4-1~bpo13+1`, `zfs-kmod-2.2.10-pve1` and the like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| c.is_ascii_digit())?;
        let numbers = text[digits..].split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = numbers.split('.');
        let mut part = || parts.next().map_or(Some(0), |part| part.parse().ok());
        Some(Self { major: part()?, minor: part()?, patch: part()? })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What is known of a pool and the machine it is on. Asked for only when there is something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The pool's name.
    pub pool: String,
    /// The pool's GUID.
    pub guid: Guid,
    /// The version of the kernel's ZFS; `None` when it does not look like a version.
    pub version: Option<Version>,
    /// The state of each feature of the pool by its short name (`large_blocks`): `disabled`, `enabled` or `active`. One
    /// that is missing is not enabled.
    pub features: BTreeMap<String, String>,
}

/// Where the value of a property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertySource {
    /// It was set on this dataset.
    Local,
    /// It came with a stream.
    Received,
    /// An ancestor has it.
    Inherited,
    /// Nobody set it.
    Default,
    /// It cannot be set (`-`).
    None,
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The value, as `zfs get -p` prints it.
    pub value: String,
    /// Where it comes from.
    pub source: PropertySource,
}

/// The properties of the datasets of a tree.
pub type Properties = BTreeMap<DatasetName, BTreeMap<String, Property>>;

/// Properties that a dataset which takes the place of another one does not get from it: they are fixed when it is made, belong
/// to its key, or are set at the end.
pub(crate) const NOT_COPIED: &[&str] = &[
    "canmount",
    "casesensitivity",
    "encryption",
    "keyformat",
    "keylocation",
    "normalization",
    "pbkdf2iters",
    "readonly",
    "utf8only",
    "version",
    "volblocksize",
    "volsize",
];

/// What stands against the removal of a dataset that its listing does not tell, and what would be lost with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalCost {
    /// Bytes that the dataset and its snapshots take, without what is below it.
    pub bytes: u64,
    /// It is mounted.
    pub mounted: bool,
    /// One of its snapshots that has a hold.
    pub held: Option<SnapshotName>,
    /// One of its snapshots that has a clone.
    pub cloned: Option<SnapshotName>,
}

/// What an incremental stream starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A snapshot.
    Snapshot(SnapshotName, Guid),
    /// A bookmark, which only the sending side needs.
    Bookmark(BookmarkName, Guid),
}

impl Base {
    /// The GUID, which is the snapshot's in both cases.
    #[must_use]
    pub fn guid(&self) -> Guid {
        match self {
            Self::Snapshot(_, guid) | Self::Bookmark(_, guid) => *guid,
        }
    }

    /// The whole name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Snapshot(name, _) => name.as_str(),
            Self::Bookmark(name, _) => name.as_str(),
        }
    }

    /// `@name` or `#name`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Snapshot(name, _) => format!("@{}", name.short()),
            Self::Bookmark(name, _) => format!("#{}", name.short()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(name: &str) -> DatasetState {
        DatasetState {
            name: name.parse().expect("a name"),
            kind: DatasetKind::Filesystem,
            guid: Guid(1),
            encryption: None,
            origin: None,
            written: 0,
            referenced: 0,
            available: 0,
            partial: None,
            snapshots: Vec::new(),
            bookmarks: Vec::new(),
        }
    }

    #[test]
    fn a_tree_has_parents_before_children_whatever_their_names() {
        let root = "tank/a".parse().expect("a name");
        let names = ["tank/a/b/c", "tank/a", "tank/a/b b", "tank/a/b", "tank/a/b-"];
        let tree = Tree::new(&root, names.map(dataset).to_vec()).expect("a tree");
        let order: Vec<_> = tree.datasets().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(order, ["tank/a", "tank/a/b", "tank/a/b/c", "tank/a/b b", "tank/a/b-"]);
        for name in names {
            assert_eq!(tree.get(&name.parse().expect("a name")).map(|one| one.name.as_str()), Some(name));
        }
        assert_eq!(tree.get(&"tank/a/x".parse().expect("a name")), None);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let root: DatasetName = "tank/a".parse().expect("a name");
        for names in
            [&[][..], &["tank/a/b"], &["tank/a", "tank/ab"], &["tank/a", "tank/a"], &["tank", "tank/a"]]
        {
            assert!(Tree::new(&root, names.iter().map(|name| dataset(name)).collect()).is_err(), "{names:?}");
        }
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        for (text, expected) in [
            ("2.3.9", version(2, 3, 9)),
            ("zfs-kmod-2.4.4-1~bpo13+1", version(2, 4, 4)),
            ("2.2.10-pve1", version(2, 2, 10)),
            ("zfs-2.1.11-1+deb12u1", version(2, 1, 11)),
            ("2.4", version(2, 4, 0)),
            ("unknown", None),
            ("99999999999.1.1", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
        assert!(version(2, 2, 10) > version(2, 2, 9));
    }
}
