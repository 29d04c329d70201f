//! Which operation comes next: mostly one that has a chance of being allowed.

use std::collections::BTreeSet;

use replicator::model::Dataset;
use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::send::IncrementalSource;
use zfs_core::token::ResumeToken;

use super::Sequence;
use super::op::How;
use super::op::Op;

const DATASETS: [&str; 4] = ["a", "b", "a/x", "c d"];
const SNAPSHOTS: [&str; 4] = ["s0", "s1", "s2", "s 3"];
const BOOKMARKS: [&str; 3] = ["m0", "m1", "m 2"];
const TAGS: [&str; 2] = ["t0", "t1"];

impl Sequence<'_> {
    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        if list.is_empty() { None } else { Some(list[self.below(list.len())].clone()) }
    }

    fn any<T: Copy, const N: usize>(&mut self, list: [T; N]) -> T {
        list[self.below(N)]
    }

    /// A name in one of the pools, whether there is such a dataset or not.
    fn some_name(&mut self) -> DatasetName {
        let (pool, below) = (self.below(2), self.any(DATASETS));
        self.roots()[pool].child(below).expect("short")
    }

    fn all(&self) -> Vec<DatasetName> {
        let inside = |name: &&DatasetName| name.depth() > 2;
        self.model.datasets().map(|(name, _)| name).filter(inside).cloned().collect()
    }

    /// Mostly one that exists.
    fn dataset(&mut self) -> DatasetName {
        let all = self.all();
        match self.one_of(&all) {
            Some(name) if self.below(8) > 0 => name,
            _ => self.some_name(),
        }
    }

    fn some_snapshot(&mut self) -> SnapshotName {
        let (dataset, short) = (self.dataset(), self.any(SNAPSHOTS));
        dataset.snapshot(short).expect("short")
    }

    fn snapshots(&self) -> Vec<SnapshotName> {
        let of = |(name, dataset): (&DatasetName, &Dataset)| {
            dataset
                .snapshots
                .iter()
                .map(|snap| name.snapshot(&snap.short).expect("short"))
                .collect::<Vec<_>>()
        };
        self.model.datasets().flat_map(of).collect()
    }

    fn snapshot(&mut self) -> SnapshotName {
        let all = self.snapshots();
        match self.one_of(&all) {
            Some(name) if self.below(8) > 0 => name,
            _ => self.some_snapshot(),
        }
    }

    fn bookmarks(&self) -> Vec<BookmarkName> {
        let of = |(name, dataset): (&DatasetName, &Dataset)| {
            dataset.bookmarks.keys().map(|short| name.bookmark(short).expect("short")).collect::<Vec<_>>()
        };
        self.model.datasets().flat_map(of).collect()
    }

    fn bookmark(&mut self) -> BookmarkName {
        let all = self.bookmarks();
        match self.one_of(&all) {
            Some(name) if self.below(4) > 0 => name,
            _ => {
                let (dataset, short) = (self.dataset(), self.any(BOOKMARKS));
                dataset.bookmark(short).expect("short")
            }
        }
    }

    pub(super) fn choose(&mut self) -> Option<Op> {
        if self.all().len() < 2 {
            return Some(Op::Create(self.some_name(), DatasetKind::Filesystem));
        }
        Some(match self.below(52) {
            0 | 1 => Op::Create(self.some_name(), DatasetKind::Filesystem),
            2 => Op::Create(self.some_name(), DatasetKind::Volume),
            3..=7 => {
                let fit = |name: &DatasetName| {
                    let dataset = self.model.dataset(name).expect("there");
                    dataset.kind == DatasetKind::Filesystem && !dataset.inconsistent
                };
                let all: Vec<_> = self.all().into_iter().filter(fit).collect();
                Op::Write(self.one_of(&all)?)
            }
            8 => Op::Set(self.dataset(), self.any(["v0", "v1"])),
            9 => Op::Inherit(self.dataset()),
            10 => Op::Rename(self.dataset(), self.some_name()),
            11 => Op::Destroy(self.dataset()),
            12 | 13 => Op::Clone(self.snapshot(), self.some_name()),
            14 | 15 => {
                let clones: Vec<_> =
                    self.all().into_iter().filter(|name| self.model.origin(name).is_some()).collect();
                match self.one_of(&clones) {
                    Some(name) if self.below(4) > 0 => Op::Promote(name),
                    _ => Op::Promote(self.dataset()),
                }
            }
            16..=20 => Op::Snapshot(vec![self.some_snapshot()]),
            21 => {
                let (one, two) = (self.dataset(), self.dataset());
                let short = self.any(SNAPSHOTS);
                let names = BTreeSet::from([one, two]);
                Op::Snapshot(names.iter().map(|name| name.snapshot(short).expect("short")).collect())
            }
            22 | 23 => Op::DestroySnapshot(self.snapshot()),
            24 => {
                let from = self.snapshot();
                let to = from.dataset().snapshot(self.any(SNAPSHOTS)).expect("short");
                Op::RenameSnapshot(from, to)
            }
            25 | 26 => {
                let newest = self.all().into_iter().filter_map(|name| {
                    let snap = self.model.dataset(&name)?.snapshots.last()?;
                    name.snapshot(&snap.short).ok()
                });
                let newest: Vec<_> = newest.collect();
                match self.one_of(&newest) {
                    Some(name) if self.below(4) > 0 => Op::Rollback(name),
                    _ => Op::Rollback(self.snapshot()),
                }
            }
            27 => Op::Hold(self.snapshot(), self.any(TAGS)),
            28 => Op::Release(self.snapshot(), self.any(TAGS)),
            29 | 30 => {
                let from = self.snapshot();
                let on = if self.below(4) > 0 { from.dataset().clone() } else { self.dataset() };
                Op::Bookmark(on.bookmark(self.any(BOOKMARKS)).expect("short"), from.into())
            }
            31 => {
                let from = self.bookmark();
                Op::Bookmark(from.dataset().bookmark(self.any(BOOKMARKS)).expect("short"), from.into())
            }
            32 => Op::DestroyBookmark(self.bookmark()),
            33 => Op::Abort(self.dataset()),
            _ => return self.choose_send(),
        })
    }

    fn choose_send(&mut self) -> Option<Op> {
        let how = self.any([How::Whole, How::Whole, How::Whole, How::Cut]);
        // Go on with something that broke off.
        let partial: Vec<_> =
            self.all().into_iter().filter(|name| self.model.token(name).is_some()).collect();
        if let Some(name) = self.one_of(&partial)
            && self.below(3) > 0
        {
            let how = self.any([How::Resumed, How::Resumed, How::ResumedAndCut, How::Whole]);
            let token: ResumeToken = self.model.token(&name)?.parse().expect("a token");
            let snap = |guid: Guid| {
                self.snapshots()
                    .into_iter()
                    .find(|s| self.model.find(s).is_some_and(|snap| snap.guid == guid))
            };
            let to = snap(token.to_guid).filter(|_| how != How::Whole);
            let from = token.from_guid.and_then(snap).map(IncrementalSource::from);
            if let Some(to) = to {
                let into = name.snapshot(if self.below(6) > 0 { to.short() } else { "s0" }).expect("short");
                return Some(Op::Send { to, from, into, origin: None, how });
            }
        }
        // An increment that fits somewhere.
        let (snapshots, bookmarks) = (self.snapshots(), self.bookmarks());
        let mut fitting = Vec::new();
        for name in self.all() {
            let Some(newest) = self.model.dataset(&name).and_then(|dataset| dataset.snapshots.last()) else {
                continue;
            };
            let sources =
                snapshots.iter().filter(|s| self.model.find(s).is_some_and(|s| s.guid == newest.guid));
            let sources = sources.map(|s| (s.dataset().clone(), IncrementalSource::from(s.clone())));
            let marks =
                bookmarks.iter().filter(|b| self.model.mark(b).is_some_and(|b| b.guid == newest.guid));
            let marks = marks.map(|b| (b.dataset().clone(), IncrementalSource::from(b.clone())));
            for (dataset, from) in sources.chain(marks) {
                let newer = self.model.dataset(&dataset).and_then(|dataset| dataset.snapshots.last());
                if dataset != name
                    && let Some(newer) = newer
                    && newer.guid != newest.guid
                {
                    fitting.push((dataset.snapshot(&newer.short).expect("short"), from, name.clone()));
                }
            }
        }
        if let Some((to, from, name)) = self.one_of(&fitting)
            && self.below(3) > 0
        {
            let into = name.snapshot(to.short()).expect("short");
            return Some(Op::Send { to, from: Some(from), into, origin: None, how });
        }
        let to = self.snapshot();
        let into = self.some_name().snapshot(to.short()).expect("short");
        let from: Option<IncrementalSource> = match self.below(5) {
            0 => Some(self.snapshot().into()),
            1 => Some(self.bookmark().into()),
            _ => None,
        };
        let mut origin = None;
        if self.below(3) == 0 {
            let guid = from.as_ref().and_then(|from| match from {
                IncrementalSource::Snapshot(name) => self.model.find(name).map(|snap| snap.guid),
                IncrementalSource::Bookmark(name) => self.model.mark(name).map(|mark| mark.guid),
            });
            let same = |name: &SnapshotName| {
                name.pool() == into.pool() && self.model.find(name).map(|snap| snap.guid) == guid
            };
            let all: Vec<_> = snapshots.into_iter().filter(same).collect();
            origin = self.one_of(&all);
        }
        // What the kernel makes of the stream of a clone without its origin is nothing that anybody does.
        let clone = |from: &IncrementalSource| match from {
            IncrementalSource::Snapshot(name) => name.dataset() != to.dataset(),
            IncrementalSource::Bookmark(name) => name.dataset() != to.dataset(),
        };
        if origin.is_none()
            && from.as_ref().is_some_and(clone)
            && self.model.dataset(into.dataset()).is_none()
        {
            return None;
        }
        Some(Op::Send { to, from, into, origin, how })
    }
}
