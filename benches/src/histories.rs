//! Histories for the planner: so many datasets with so many snapshots each, as two sides see them.

use replicator::host::Bookmark;
use replicator::host::DatasetKind;
use replicator::host::DatasetState;
use replicator::host::Snapshot;
use replicator::host::Tree;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

/// A name that is known to be valid.
///
/// # Panics
/// Where it is not.
pub fn name(text: &str) -> DatasetName {
    text.parse().expect("a valid name")
}

/// A history: so many datasets with so many snapshots each.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Datasets, the root included.
    pub datasets: usize,
    /// Snapshots of each.
    pub each: usize,
}

impl Shape {
    /// The tree at `root`, without the newest `behind` snapshots of each dataset. `called` names the datasets below the
    /// root by their number; `guid` tells datasets apart whose snapshots are not the same.
    ///
    /// # Panics
    /// Never, as long as the names are valid.
    pub fn tree(
        self,
        root: &str,
        behind: usize,
        called: fn(usize) -> String,
        guid: fn(usize) -> usize,
    ) -> Tree {
        let state = |name: DatasetName, number: usize| {
            let snapshots = (0..self.each - behind).map(|at| Snapshot {
                name: name.snapshot(&format!("autosnap_{at:07}")).expect("a valid name"),
                guid: Guid((guid(number) * 10_000_000 + at + 1) as u64),
                createtxg: Txg(at as u64 + 10),
                ivset: None,
            });
            DatasetState {
                snapshots: snapshots.collect(),
                bookmarks: Vec::<Bookmark>::new(),
                kind: DatasetKind::Filesystem,
                guid: Guid(number as u64 + 1),
                encryption: None,
                origin: None,
                written: 0,
                referenced: 0,
                available: 1 << 40,
                partial: None,
                name,
            }
        };
        let mut all = vec![state(name(root), 0)];
        all.extend((1..self.datasets).map(|at| state(name(&format!("{root}/{}", called(at))), at)));
        Tree::new(&name(root), all).expect("a tree")
    }
}

/// The same name on both sides.
pub fn same(number: usize) -> String {
    format!("d{number}")
}
