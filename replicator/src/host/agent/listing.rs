//! An inventory from the parts in which an agent gives it. A part that was not asked for is an error.

use crate::agent::Part;
use crate::host::Bookmark;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Inventory;
use crate::host::Snapshot;
use crate::host::Tree;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

/// Puts an inventory together from its parts.
pub(super) struct Listing {
    root: DatasetName,
    depth: Depth,
    datasets: Vec<DatasetState>,
    absent: Option<(DatasetState, Vec<DatasetName>)>,
}

impl Listing {
    pub(super) fn new(root: DatasetName, depth: Depth) -> Self {
        Self { root, depth, datasets: Vec::new(), absent: None }
    }

    pub(super) fn take(&mut self, part: Part) -> Result<usize, String> {
        let unasked = |name: &DatasetName| format!("{name}, which was not asked for");
        match part {
            Part::Dataset(dataset) if self.absent.is_none() => {
                let state = dataset.state();
                let wanted = match self.depth {
                    Depth::One => state.name == self.root && self.datasets.is_empty(),
                    Depth::All => state.name.is_within(&self.root),
                };
                if !wanted {
                    return Err(unasked(&state.name));
                }
                self.datasets.push(state);
                Ok(0)
            }
            Part::Snapshots(rows) => {
                let state = self.datasets.last_mut().ok_or("snapshots of nothing")?;
                let count = rows.len();
                for (short, guid, createtxg, ivset) in rows {
                    let name = state.name.snapshot(&short).map_err(|error| error.to_string())?;
                    let ivset = ivset.map(Guid);
                    state.snapshots.push(Snapshot {
                        name,
                        guid: guid.into(),
                        createtxg: createtxg.into(),
                        ivset,
                    });
                }
                Ok(count)
            }
            Part::Bookmarks(rows) => {
                let state = self.datasets.last_mut().ok_or("bookmarks of nothing")?;
                let count = rows.len();
                for (short, guid, createtxg, ivset) in rows {
                    let name = state.name.bookmark(&short).map_err(|error| error.to_string())?;
                    let ivset = ivset.map(Guid);
                    state.bookmarks.push(Bookmark {
                        name,
                        guid: guid.into(),
                        createtxg: createtxg.into(),
                        ivset,
                    });
                }
                Ok(count)
            }
            Part::Ancestor(dataset) if self.absent.is_none() && self.datasets.is_empty() => {
                let state = dataset.state();
                if state.name == self.root || !self.root.is_within(&state.name) {
                    return Err(format!("{} is no ancestor of {}", state.name, self.root));
                }
                self.absent = Some((state, Vec::new()));
                Ok(0)
            }
            Part::Children(names) => {
                let (ancestor, children) = self.absent.as_mut().ok_or("children of nothing")?;
                let count = names.len();
                for name in names {
                    let name = name.0;
                    if name.parent().as_ref() != Some(&ancestor.name) {
                        return Err(unasked(&name));
                    }
                    // It would be there, then.
                    if self.root.is_within(&name) {
                        return Err(format!("{name} is said to be there and not to be there"));
                    }
                    children.push(name);
                }
                Ok(count)
            }
            _ => Err("another answer than an inventory".to_string()),
        }
    }

    pub(super) fn finish(self) -> Result<Inventory, String> {
        if let Some((ancestor, children)) = self.absent {
            return Ok(Inventory::Absent { ancestor: Box::new(ancestor), children });
        }
        let mut datasets = self.datasets;
        for dataset in &mut datasets {
            dataset.snapshots.shrink_to_fit();
            dataset.bookmarks.shrink_to_fit();
            dataset.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
            dataset.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        }
        Tree::new(&self.root, datasets).map(Inventory::Present).map_err(|error| error.to_string())
    }
}
