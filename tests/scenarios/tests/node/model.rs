//! The model of ZFS that the replication is tested with, against the real one: the same random operations on both must
//! be allowed or refused alike, for the same reason, and leave the same behind. `LAB_SEED` repeats a failure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use replicator::host::PropertySource;
use replicator::model::Machine;
use replicator::model::Receiver;
use replicator::model::Refused;
use replicator::model::Stream;
use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::Source;
use zfs_core::bookmark::BookmarkSource;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::IncrementalSource;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::snapshot::WhenInUse;
use zfs_core::token::ResumeToken;

use crate::expect::inner;
use crate::pool::Pool;
use crate::pool::tag;
use crate::pool::write_noise;
use crate::receive::receive;

/// Operations in one sequence.
const LENGTH: usize = 40;

const DATASETS: [&str; 4] = ["a", "b", "a/x", "c d"];
const SNAPSHOTS: [&str; 4] = ["s0", "s1", "s2", "s 3"];
const BOOKMARKS: [&str; 3] = ["m0", "m1", "m 2"];
const TAGS: [&str; 2] = ["t0", "t1"];

#[test]
fn agrees_with_the_kernel_on_random_sequences() {
    // The short set is always the same, so that it fails for what was changed; the long one looks for what is new.
    let long = std::env::var_os("LAB_LONG").is_some();
    let count = if long { 2_000 } else { 50 };
    let seed = std::env::var("LAB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        if long { now.as_secs() } else { 1 }
    });
    println!("LAB_SEED={seed}");
    let mut pools = [Pool::new(), Pool::new()];
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    for seed in seed..seed + count {
        let run = || Sequence::new(seed, [&pools[0], &pools[1]]).run(&mut counts);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        if ended.is_err() {
            failed.push(seed);
        }
        if !ended.is_ok_and(|cleared| cleared) {
            // What it left is in the way of the next one.
            pools = [Pool::new(), Pool::new()];
        }
    }
    let Counts { allowed, refused } = counts;
    // A comparison of refusals only, or of one kind of operation only, would show nothing.
    println!("allowed {allowed:?}\nrefused {refused:?}");
    let kinds: BTreeSet<_> = allowed.keys().copied().collect();
    assert!(failed.is_empty(), "the kernel and the model differ; LAB_SEED is one of {failed:?}");
    assert!(kinds.len() >= 18, "only {kinds:?} were ever allowed");
}

/// How often each operation was allowed, and refused for which reason.
#[derive(Default)]
struct Counts {
    allowed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<(&'static str, String), u64>,
}

/// What is done on both.
#[derive(Clone, Debug)]
enum Op {
    Create(DatasetName, DatasetKind),
    Write(DatasetName),
    Set(DatasetName, &'static str),
    Inherit(DatasetName),
    Rename(DatasetName, DatasetName),
    Destroy(DatasetName),
    Clone(SnapshotName, DatasetName),
    Promote(DatasetName),
    Snapshot(Vec<SnapshotName>),
    DestroySnapshot(SnapshotName),
    RenameSnapshot(SnapshotName, SnapshotName),
    Rollback(SnapshotName),
    Hold(SnapshotName, &'static str),
    Release(SnapshotName, &'static str),
    Bookmark(BookmarkName, BookmarkSource),
    DestroyBookmark(BookmarkName),
    Abort(DatasetName),
    Send {
        to: SnapshotName,
        from: Option<IncrementalSource>,
        into: SnapshotName,
        origin: Option<SnapshotName>,
        how: How,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Whole,
    /// The stream ends before its last record is complete.
    Cut,
    /// With the token of the target.
    Resumed,
    /// So, and cut again.
    ResumedAndCut,
}

impl Op {
    fn kind(&self) -> &'static str {
        match self {
            Self::Create(_, DatasetKind::Filesystem) => "create",
            Self::Create(_, DatasetKind::Volume) => "create volume",
            Self::Write(_) => "write",
            Self::Set(..) => "set",
            Self::Inherit(_) => "inherit",
            Self::Rename(..) => "rename",
            Self::Destroy(_) => "destroy",
            Self::Clone(..) => "clone",
            Self::Promote(_) => "promote",
            Self::Snapshot(_) => "snapshot",
            Self::DestroySnapshot(_) => "destroy snapshot",
            Self::RenameSnapshot(..) => "rename snapshot",
            Self::Rollback(_) => "rollback",
            Self::Hold(..) => "hold",
            Self::Release(..) => "release",
            Self::Bookmark(_, BookmarkSource::Snapshot(_)) => "bookmark",
            Self::Bookmark(_, BookmarkSource::Bookmark(_)) => "copy bookmark",
            Self::DestroyBookmark(_) => "destroy bookmark",
            Self::Abort(_) => "abort",
            Self::Send { how: How::Resumed | How::ResumedAndCut, .. } => "resume",
            Self::Send { from: None, origin: None, .. } => "full",
            Self::Send { from: Some(IncrementalSource::Bookmark(_)), .. } => "incremental from bookmark",
            Self::Send { origin: Some(_), .. } => "receive as clone",
            Self::Send { .. } => "incremental",
        }
    }
}

/// One sequence with what it has done so far.
struct Sequence<'p> {
    seed: u64,
    random: u64,
    pools: [&'p Pool; 2],
    model: Machine,
    /// GUIDs of the kernel and of the model that mean the same.
    guids: BTreeMap<Guid, Guid>,
    written: u64,
    log: String,
}

impl<'p> Sequence<'p> {
    fn new(seed: u64, pools: [&'p Pool; 2]) -> Self {
        let mut model = Machine::new(seed);
        for pool in pools {
            model.create_pool(pool.root().as_str());
            let root = pool.dataset("w");
            // Devices of volumes come and go by themselves, and would make them busy.
            pool.zfs.create_filesystem(&root, &PropertySet::new().text("volmode", "none")).expect("create");
            model.create(&root, DatasetKind::Filesystem, &[]).expect("create");
        }
        let (guids, log) = (BTreeMap::new(), String::new());
        let mut sequence = Self { seed, random: seed, pools, model, guids, written: 0, log };
        for _ in 0..20 {
            sequence.below(2);
        }
        sequence
    }

    /// Tells whether the pools could be cleared: clones can depend on each other in a circle that `zfs destroy -R`
    /// does not get out of.
    fn run(mut self, counts: &mut Counts) -> bool {
        for _ in 0..LENGTH {
            let Some(op) = self.choose() else { continue };
            let kind = op.kind();
            let _ = writeln!(self.log, "{op:?}");
            let (real, model) = self.apply(&op);
            let _ = writeln!(self.log, "    {real:?}");
            assert_eq!(
                real, model,
                "the kernel (left) and the model differ; LAB_SEED={}\n{}",
                self.seed, self.log
            );
            match real {
                Ok(()) => *counts.allowed.entry(kind).or_default() += 1,
                Err(error) => *counts.refused.entry((kind, format!("{error:?}"))).or_default() += 1,
            }
            self.compare();
        }
        for pool in self.pools {
            self.release_all(pool);
        }
        self.pools.iter().all(|pool| {
            let mut destroy = std::process::Command::new("zfs");
            let output = destroy.args(["destroy", "-R", pool.dataset("w").as_str()]).output();
            output.expect("zfs").status.success()
        })
    }

    fn release_all(&self, pool: &Pool) {
        for (name, dataset) in self.model.datasets().filter(|(name, _)| name.is_within(&pool.root())) {
            for snap in &dataset.snapshots {
                let name = name.snapshot(&snap.short).expect("short");
                let holds: Vec<_> = snap.holds.iter().map(|hold| (name.clone(), tag(hold))).collect();
                pool.zfs.release(&holds).expect("release");
            }
        }
    }

    // ---- chance ----

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
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
        self.pools[pool].dataset(&format!("w/{below}"))
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
        let of = |(name, dataset): (&DatasetName, &replicator::model::Dataset)| {
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
        let of = |(name, dataset): (&DatasetName, &replicator::model::Dataset)| {
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

    fn choose(&mut self) -> Option<Op> {
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

    // ---- the same on both ----

    fn pool_of(&self, name: &str) -> &'p Pool {
        self.pools.into_iter().find(|pool| pool.root().as_str() == name).expect("one of the pools")
    }

    fn apply(&mut self, op: &Op) -> (Outcome, Outcome) {
        let zfs = &self.pools[0].zfs;
        let none = PropertySet::new();
        let model = &mut self.model;
        match op {
            Op::Create(name, DatasetKind::Filesystem) => {
                let real = zfs.create_filesystem(name, &none);
                (kind(real), refused(model.create(name, DatasetKind::Filesystem, &[])))
            }
            Op::Create(name, DatasetKind::Volume) => {
                let real = zfs.create_volume(name, 1 << 20, &none);
                (kind(real), refused(model.create(name, DatasetKind::Volume, &[])))
            }
            Op::Write(name) => {
                self.written += 1;
                let (number, pool) = (self.written, self.pool_of(name.pool()));
                let folder = pool.mount(name);
                write_noise(&folder.join(format!("f{}", number % 3)), 100_000, self.seed ^ (number << 32));
                pool.unmount(name);
                self.model.write(name, number % 3, number);
                (Ok(()), Ok(()))
            }
            Op::Set(name, value) => {
                let real = zfs.set_properties(name, &PropertySet::new().text("org.x:p", value));
                let set = [("org.x:p".to_string(), (*value).to_string())];
                (kind(real), refused(model.set_properties(name, &set)))
            }
            Op::Inherit(name) => (
                kind(zfs.inherit_property(name, "org.x:p")),
                refused(model.inherit_property(name, "org.x:p")),
            ),
            Op::Rename(from, to) => (kind(zfs.rename(from, to)), refused(model.rename(from, to))),
            Op::Destroy(name) => (kind(zfs.destroy(name)), refused(model.destroy(name))),
            Op::Clone(snapshot, name) => {
                let real = zfs.clone_snapshot(snapshot, name, &none);
                (kind(real), refused(model.clone_snapshot(snapshot, name, &[])))
            }
            Op::Promote(name) => (kind(zfs.promote(name)), refused(model.promote(name))),
            Op::Snapshot(names) => (kind(zfs.snapshot(names, &none)), refused(model.snapshot(names))),
            Op::DestroySnapshot(name) => {
                let outcome = zfs.destroy_snapshots(std::slice::from_ref(name), WhenInUse::Keep);
                let real = match outcome {
                    Ok(outcome) => outcome.failed.first().map_or(Ok(()), |failed| Err(failed.kind)),
                    Err(error) => Err(error.kind()),
                };
                (real, refused(model.destroy_snapshot(name)))
            }
            Op::RenameSnapshot(from, to) => {
                (kind(zfs.rename_snapshot(from, to)), refused(model.rename_snapshot(from, to)))
            }
            Op::Rollback(to) => (kind(zfs.rollback(to)), refused(model.rollback(to))),
            Op::Hold(name, text) => {
                (kind(zfs.hold(&[(name.clone(), tag(text))])), refused(model.hold(name, text)))
            }
            Op::Release(name, text) => {
                (kind(zfs.release(&[(name.clone(), tag(text))])), refused(model.release(name, text)))
            }
            Op::Bookmark(name, source) => {
                let pair = [(name.clone(), source.clone())];
                (kind(zfs.bookmark(&pair)), refused(model.bookmark(&pair)))
            }
            Op::DestroyBookmark(name) => {
                let real = zfs.destroy_bookmarks(std::slice::from_ref(name));
                model.destroy_bookmarks(std::slice::from_ref(name));
                (kind(real), Ok(()))
            }
            Op::Abort(name) => {
                let (real, model) = (zfs.abort_receive(name), model.abort_receive(name));
                if let (Ok(real), Ok(model)) = (&real, &model) {
                    assert_eq!(real, model, "whether there was something to abort\n{}", self.log);
                }
                (kind(real), refused(model))
            }
            Op::Send { to, from, into, origin, how } => {
                let real = self.send_real(to, from.as_ref(), into, origin.as_ref(), *how);
                (real, self.send_model(to, from.as_ref(), into, origin.as_ref(), *how))
            }
        }
    }

    fn send_real(
        &self,
        to: &SnapshotName,
        from: Option<&IncrementalSource>,
        into: &SnapshotName,
        origin: Option<&SnapshotName>,
        how: How,
    ) -> Outcome {
        use std::io::Read;
        let pool = self.pools[0];
        let mut request = match from {
            None => SendRequest::full(to.clone()),
            Some(from) => SendRequest::incremental(from.clone(), to.clone()),
        };
        request = request.flags(SendFlags::COMPRESSED);
        if matches!(how, How::Resumed | How::ResumedAndCut) {
            let found = pool.zfs.dataset(into.dataset()).expect("there");
            let token = found.receive_resume_token().expect("a token").parse::<ResumeToken>().expect("read");
            request = request.resume(&token);
        }
        let mut bytes = Vec::new();
        let mut stream = pool.zfs.send(&request).expect("a pipe");
        if let Err(error) = stream.read_to_end(&mut bytes) {
            return Err(inner(&error).kind());
        }
        stream.finish().map_err(|error| error.kind())?;
        if matches!(how, How::Cut | How::ResumedAndCut) {
            bytes.truncate(bytes.len() - 200);
        }
        let mut request = ReceiveRequest::new(into.clone());
        if let Some(origin) = origin {
            request = request.origin(origin.clone());
        }
        kind(receive(pool, request, &bytes))
    }

    fn send_model(
        &mut self,
        to: &SnapshotName,
        from: Option<&IncrementalSource>,
        into: &SnapshotName,
        origin: Option<&SnapshotName>,
        how: How,
    ) -> Outcome {
        let resumed = matches!(how, How::Resumed | How::ResumedAndCut);
        let token = self.model.token(into.dataset()).filter(|_| resumed);
        let resume = token.map(|token| token.parse().expect("a token"));
        let stream = Stream { to: to.clone(), from: from.cloned(), raw: false, resume };
        let mut bytes = self.model.send(&stream).map_err(|refused| refused.kind)?;
        if matches!(how, How::Cut | How::ResumedAndCut) {
            bytes.truncate(bytes.len() - 200);
        }
        let mut receiver = Receiver::new(into.clone(), origin.cloned(), Vec::new());
        let written = receiver.write(&mut self.model, &bytes);
        refused(written.and_then(|()| receiver.finish(&mut self.model)))
    }

    // ---- what is there afterwards ----

    /// Notes that two GUIDs mean the same; fails if either means something else already.
    fn same(&mut self, real: Guid, model: Guid, what: &str) {
        let known = *self.guids.entry(real).or_insert(model);
        let twice = self.guids.values().filter(|guid| **guid == model).count();
        assert!(
            known == model && twice == 1,
            "{what} has another GUID than it should; LAB_SEED={}\n{}",
            self.seed,
            self.log
        );
    }

    fn compare(&mut self) {
        let mut real = String::new();
        let mut pairs = Vec::new();
        for pool in self.pools {
            let tree = pool.zfs.tree(&pool.dataset("w")).expect("list");
            let mut datasets: Vec<_> = tree.map(|dataset| dataset.expect("an entry")).collect();
            // The kernel's own order of siblings is that of a hash.
            datasets.sort_by(|a, b| a.name.components().cmp(b.name.components()));
            for dataset in datasets {
                let name = &dataset.name;
                let token: Option<ResumeToken> =
                    dataset.receive_resume_token().map(|token| token.parse().expect("a token"));
                let property = dataset.properties.get("org.x:p").map(|found| {
                    (found.text(), if found.source == Source::Local { "local" } else { "inherited" })
                });
                let modified = dataset.properties.number("written").expect("written") > 0;
                let _ = writeln!(
                    real,
                    "{name} {} origin {:?} inconsistent {} modified {} token {:?} property {property:?}",
                    dataset.kind,
                    dataset.origin.as_ref().map(SnapshotName::as_str),
                    dataset.inconsistent,
                    // Of a dataset that is not complete nobody relies on it.
                    modified && !dataset.inconsistent,
                    token.as_ref().map(|token| (
                        token.to_name.as_str(),
                        token.from_guid.is_some(),
                        token.raw
                    )),
                );
                let model = self.model.dataset(name);
                if let Some(model) = model {
                    pairs.push((dataset.guid, model.guid, name.to_string()));
                }
                let mut snapshots: Vec<_> =
                    pool.zfs.snapshots(name).expect("list").map(|snap| snap.expect("an entry")).collect();
                snapshots.sort_by_key(|snap| snap.createtxg);
                for snap in snapshots {
                    let mut holds: Vec<_> = pool
                        .zfs
                        .holds(&snap.name)
                        .expect("list")
                        .iter()
                        .map(|hold| hold.tag.to_str().unwrap_or_default().to_string())
                        .collect();
                    holds.sort();
                    let _ = writeln!(real, "  {} clones {} holds {holds:?}", snap.name, snap.clones);
                    if let Some(model) = self.model.find(&snap.name) {
                        pairs.push((snap.guid, model.guid, snap.name.to_string()));
                    }
                }
                let mut bookmarks = pool.zfs.bookmarks(name).expect("list");
                bookmarks.sort_by(|a, b| a.name.cmp(&b.name));
                for bookmark in bookmarks {
                    let _ = writeln!(real, "  {}", bookmark.name);
                    if let Some(model) = self.model.mark(&bookmark.name) {
                        pairs.push((bookmark.guid, model.guid, bookmark.name.to_string()));
                    }
                }
            }
        }
        let model = self.model_listing();
        let line = real.lines().zip(model.lines()).find(|(real, model)| real != model);
        assert!(
            real == model,
            "LAB_SEED={}\n{}\nfirst difference: {line:#?}\nthe kernel has\n{real}\nthe model has\n{model}",
            self.seed,
            self.log
        );
        for (real, model, what) in pairs {
            self.same(real, model, &what);
        }
    }

    /// The same text as of the kernel.
    fn model_listing(&self) -> String {
        let mut out = String::new();
        let mut names: Vec<_> =
            self.model.datasets().map(|(name, _)| name).filter(|name| name.depth() > 1).collect();
        let place =
            |name: &DatasetName| self.pools.iter().position(|pool| pool.root().as_str() == name.pool());
        names.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.components().cmp(b.components())));
        for name in names {
            let dataset = self.model.dataset(name).expect("there");
            let token: Option<ResumeToken> =
                self.model.token(name).map(|token| token.parse().expect("a token"));
            let property = self.model.property(name, "org.x:p").map(|found| {
                (found.value, if found.source == PropertySource::Local { "local" } else { "inherited" })
            });
            let _ = writeln!(
                out,
                "{name} {} origin {:?} inconsistent {} modified {} token {:?} property {property:?}",
                dataset.kind,
                self.model.origin(name).as_ref().map(SnapshotName::as_str),
                dataset.inconsistent,
                self.model.has_written(name) && !dataset.inconsistent,
                token.as_ref().map(|token| (token.to_name.as_str(), token.from_guid.is_some(), token.raw)),
            );
            for snap in &dataset.snapshots {
                let full = name.snapshot(&snap.short).expect("short");
                let holds: Vec<_> = snap.holds.iter().collect();
                let _ = writeln!(out, "  {full} clones {} holds {holds:?}", self.model.clones(&full));
            }
            for short in dataset.bookmarks.keys() {
                let _ = writeln!(out, "  {}", name.bookmark(short).expect("short"));
            }
        }
        out
    }
}

/// Done, or why not.
type Outcome = Result<(), ErrorKind>;

fn kind<T>(result: Result<T, zfs_core::Error>) -> Outcome {
    result.map(drop).map_err(|error| error.kind())
}

fn refused<T>(result: Result<T, Refused>) -> Outcome {
    result.map(drop).map_err(|refused| refused.kind)
}
