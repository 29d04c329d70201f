//! Finding what both sides have: identity is the GUID (and for raw streams the set of initialisation vectors), order
//! is createtxg, names mean nothing.

use std::cell::OnceCell;
use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::SnapshotName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::Snapshot;

/// A base with its place in the order of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) base: Base,
    pub(super) createtxg: Txg,
    ivset: Option<Guid>,
}

impl Found {
    pub(super) fn snapshot(name: SnapshotName, guid: Guid, createtxg: Txg) -> Self {
        Self { base: Base::Snapshot(name, guid), createtxg, ivset: None }
    }

    pub(super) fn guid(&self) -> Guid {
        self.base.guid()
    }
}

/// What a source can start an incremental stream from, by GUID. The names stay where they are: a source may have very
/// many of them.
pub(super) struct Bases<'s> {
    source: &'s DatasetState,
    /// Made when something is looked for that is none of the newest.
    places: OnceCell<HashMap<Guid, Place>>,
}

/// Where in the lists of the source.
#[derive(Clone, Copy)]
enum Place {
    Snapshot(u32),
    Bookmark(u32),
}

/// How many of the newest snapshots are looked through before a table of all is made. A target is rarely further
/// behind, and a table of a million, in which each access misses the processor's caches, would cost more than the rest.
const NEWEST: usize = 4096;

impl<'s> Bases<'s> {
    pub(super) fn of(source: &'s DatasetState) -> Self {
        Self { source, places: OnceCell::new() }
    }

    fn places(&self) -> &HashMap<Guid, Place> {
        self.places.get_or_init(|| {
            let source = self.source;
            let mut places = HashMap::with_capacity(source.snapshots.len() + source.bookmarks.len());
            for (at, one) in (0..).zip(&source.bookmarks) {
                places.insert(one.guid, Place::Bookmark(at));
            }
            // Snapshots last: where both exist, the snapshot is the better source (openzfs #18491 for raw streams).
            for (at, one) in (0..).zip(&source.snapshots) {
                places.insert(one.guid, Place::Snapshot(at));
            }
            places
        })
    }

    fn place(&self, guid: Guid) -> Option<Place> {
        if self.places.get().is_none() {
            let mut newest = self.source.snapshots.iter().enumerate().rev().take(NEWEST);
            if let Some((at, _)) = newest.find(|(_, one)| one.guid == guid) {
                return u32::try_from(at).ok().map(Place::Snapshot);
            }
        }
        self.places().get(&guid).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Found> {
        self.places().values().filter_map(|place| self.at(*place))
    }

    pub(super) fn get(&self, guid: Guid) -> Option<Found> {
        self.at(self.place(guid)?)
    }

    fn at(&self, place: Place) -> Option<Found> {
        match place {
            Place::Snapshot(at) => self.source.snapshots.get(at as usize).map(|one| Found {
                base: Base::Snapshot(one.name.clone(), one.guid),
                createtxg: one.createtxg,
                ivset: one.ivset,
            }),
            Place::Bookmark(at) => self.source.bookmarks.get(at as usize).map(|one| Found {
                base: Base::Bookmark(one.name.clone(), one.guid),
                createtxg: one.createtxg,
                ivset: one.ivset,
            }),
        }
    }

    /// The newest snapshot of the target that the source knows, as a snapshot or a bookmark. For a raw stream it must
    /// depend on the same initialisation vectors on both sides.
    pub(super) fn newest_common(&self, target: &DatasetState, raw: bool) -> Option<Found> {
        target.snapshots.iter().rev().find_map(|there| {
            let here = self.get(there.guid)?;
            (!raw || joins_raw(&here, there)).then_some(here)
        })
    }

    /// Whether the newest snapshot that both sides have shows that the target was received raw. `None` when there is
    /// no common snapshot, or nothing is known of its initialisation vectors.
    pub(super) fn was_raw(&self, target: &DatasetState) -> Option<bool> {
        let there = target.snapshots.iter().rev().find_map(|there| Some((there, self.get(there.guid)?)));
        let (there, here) = there?;
        Some(here.ivset? == there.ivset?)
    }
}

fn joins_raw(here: &Found, there: &Snapshot) -> bool {
    match (here.ivset, there.ivset) {
        (Some(here), Some(there)) => here == there,
        // Bookmarks of old pools lack it, and the kernel refuses a raw stream from them.
        (None, _) => matches!(here.base, Base::Snapshot(..)),
        (Some(_), None) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::plan::tests::dataset;

    /// More than are looked through before a table is made.
    const MANY: usize = NEWEST + 1000;

    fn many(name: &str, guids: impl Iterator<Item = usize>) -> DatasetState {
        let content = guids.fold(String::new(), |mut content, guid| {
            write!(content, "@s{guid}:{guid}:{guid} ").expect("a string");
            content
        });
        dataset(name, &content)
    }

    #[test]
    fn the_newest_base_is_found_however_far_the_target_is_behind() {
        let mut source = many("tank/a", 1..=MANY);
        source.bookmarks = dataset("tank/a", "#only:9000000:1 #both:7:7").bookmarks;
        let newest = |last: &[usize]| {
            let target = many("back/a", last.iter().copied());
            Bases::of(&source).newest_common(&target, false).map(|found| (found.guid().0, found.createtxg.0))
        };
        for behind in [0, 1, 10, NEWEST - 1, NEWEST, NEWEST + 1, MANY - 1] {
            let at = MANY - behind;
            assert_eq!(newest(&[at]), Some((at as u64, at as u64)), "{behind} behind");
            // The target has something of its own after that.
            assert_eq!(newest(&[at, MANY + 1]), Some((at as u64, at as u64)), "{behind} behind");
        }
        assert_eq!(newest(&[9_000_000]), Some((9_000_000, 1)), "a bookmark");
        let bases = Bases::of(&source);
        assert!(bases.get(Guid(9_000_000)).is_some_and(|found| matches!(found.base, Base::Bookmark(..))));
        // Before and after the table is made.
        for bases in [Bases::of(&source), bases] {
            assert!(bases.get(Guid(7)).is_some_and(|found| matches!(found.base, Base::Snapshot(..))));
        }
        assert_eq!(newest(&[MANY + 1]), None);
        assert_eq!(newest(&[]), None);
    }
}
