//! A host for tests: a few datasets, streams made in memory, and a record of what it was asked to do.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

use crate::compare::content::Piece;
use crate::compare::content::Take;
use crate::host::About;
use crate::host::Bookmark;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Encryption;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Inventory;
use crate::host::Next;
use crate::host::Outgoing;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::ReceiveSpec;
use crate::host::RemovalCost;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::host::Tree;
use crate::host::Version;
use crate::inspect::holds::Held;
use crate::marks;
use crate::pair::NodeName;
use crate::pair::Permit;

pub(crate) fn dataset(name: &str) -> DatasetName {
    name.parse().expect("a name")
}

pub(crate) fn snapshot(name: &str) -> SnapshotName {
    name.parse().expect("a name")
}

/// A stream with so many blocks that no compression makes small.
pub(crate) fn stream(begin: &Begin, blocks: u64) -> Vec<u8> {
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(begin);
    let mut random = 1u64;
    for n in 0..blocks {
        let block: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as u8
        })
        .take(8192)
        .collect();
        builder = builder.write(1, n * 8192, &block);
    }
    builder.end().build()
}

pub(crate) fn begin(guid: u64) -> Begin {
    Begin { to_guid: guid, to_name: "tank/a@s".to_string(), ..Begin::default() }
}

pub(crate) fn send_spec(name: &str, guid: u64) -> SendSpec {
    let to = Snapshot { name: snapshot(name), guid: Guid(guid), createtxg: 7u64.into(), ivset: None };
    SendSpec { to, from: None, raw: false, flags: None, resume: None, compress: false }
}

pub(crate) fn receive_spec(name: &str) -> ReceiveSpec {
    ReceiveSpec { to: snapshot(name), guid: Guid(5), set: Vec::new(), origin: None, compressed: false }
}

pub(crate) fn state(name: &str, snapshots: u64) -> DatasetState {
    let name = dataset(name);
    let snapshots = (1..=snapshots).map(|n| Snapshot {
        name: name.snapshot(&format!("s{n}")).expect("a name"),
        guid: Guid(u64::MAX - n),
        createtxg: n.into(),
        ivset: (n % 2 == 0).then_some(Guid(n)),
    });
    DatasetState {
        kind: if name.as_str().ends_with("vol") { DatasetKind::Volume } else { DatasetKind::Filesystem },
        guid: Guid(5),
        encryption: Some(Encryption { root: name.clone(), key_loaded: true }),
        origin: None,
        written: 1,
        referenced: 2,
        available: u64::MAX,
        partial: crate::host::listing::partial("1-nonsense"),
        snapshots: snapshots.collect(),
        bookmarks: vec![Bookmark {
            name: name.bookmark("b").expect("a name"),
            guid: Guid(9),
            createtxg: 3u64.into(),
            ivset: None,
        }],
        name,
    }
}

/// What was done, shared by all that come of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic").push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) datasets: Vec<DatasetState>,
    pub(crate) log: Log,
    /// What is sent.
    pub(crate) stream: Bytes,
    /// The stream never ends.
    pub(crate) endless: bool,
    /// What was received.
    pub(crate) received: Arc<Mutex<Vec<u8>>>,
    /// A receive fails after so many bytes.
    pub(crate) full_after: Option<usize>,
    /// What is in each snapshot.
    pub(crate) content: Vec<Piece>,
    /// The last of it comes again and again.
    pub(crate) never_done: bool,
    pub(crate) holds: Vec<Held>,
    /// The value of the epoch on a dataset, and where it comes from.
    pub(crate) epochs: Arc<Mutex<BTreeMap<DatasetName, (String, PropertySource)>>>,
    /// What is mounted and writable.
    pub(crate) mounted: Vec<DatasetName>,
    /// What is not read-only.
    pub(crate) writable: Arc<Mutex<BTreeSet<DatasetName>>>,
    /// It stays so, whatever is set.
    pub(crate) stays_writable: bool,
    /// Somebody promotes.
    pub(crate) promotes: Arc<AtomicBool>,
    /// A promotion begins as soon as a permit was given.
    pub(crate) promotes_then: bool,
    /// It does not run as root.
    pub(crate) not_root: bool,
    /// The kernel takes nothing of a stream.
    pub(crate) stuck: bool,
    /// What stands on a dataset beside its epoch.
    pub(crate) marks: Arc<Mutex<BTreeMap<(DatasetName, String), String>>>,
}

/// A permit of the fake, which says when it is given back to somebody who promotes.
struct FakePermit {
    promotes: Arc<AtomicBool>,
    log: Log,
    not_root: bool,
}

impl Permit for FakePermit {
    fn is_recalled(&self) -> Result<bool, HostError> {
        Ok(self.promotes.load(Ordering::Relaxed))
    }

    fn is_seen_by_root(&self) -> bool {
        !self.not_root
    }
}

impl Drop for FakePermit {
    fn drop(&mut self) {
        if self.promotes.load(Ordering::Relaxed) {
            self.log.note("permit given back");
        }
    }
}

fn not_found(subject: &str) -> HostError {
    HostError::Agent {
        host: "fake".to_string(),
        operation: Some(Operation::Inspect),
        subject: subject.to_string(),
        errno: 2,
        kind: ErrorKind::NotFound,
        message: format!("there is no {subject}"),
        hint: None,
    }
}

pub(crate) fn no_space(subject: &str) -> HostError {
    HostError::Agent {
        host: "fake".to_string(),
        operation: Some(Operation::Receive),
        subject: subject.to_string(),
        errno: 28,
        kind: ErrorKind::NoSpace,
        message: format!("cannot receive into {subject}: out of space"),
        hint: Some("make room".to_string()),
    }
}

impl Host for Fake {
    fn label(&self) -> &str {
        "fake"
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        self.log.note(format!("inventory {root}"));
        let all = self.datasets.iter().filter(|one| match depth {
            Depth::One => one.name == *root,
            Depth::All => one.name.is_within(root),
        });
        if let Ok(tree) = Tree::new(root, all.cloned().collect()) {
            return Ok(Inventory::Present(tree));
        }
        let mut name = root.parent();
        while let Some(above) = name {
            if let Some(found) = self.datasets.iter().find(|one| one.name == above) {
                let children = self.datasets.iter().map(|one| &one.name);
                let children = children.filter(|name| name.parent().as_ref() == Some(&above));
                let children = children.cloned().collect();
                let ancestor = DatasetState { snapshots: vec![], bookmarks: vec![], ..found.clone() };
                return Ok(Inventory::Absent { ancestor: Box::new(ancestor), children });
            }
            name = above.parent();
        }
        Err(HostError::NoPool {
            host: "fake".to_string(),
            pool: root.pool().to_string(),
            dataset: root.to_string(),
        })
    }

    fn lock(&mut self, root: &DatasetName, depth: Depth, sender: &str) -> Result<(), HostError> {
        let sender = if sender.starts_with("process-") { "nobody" } else { sender };
        self.log.note(format!("lock {root} {depth:?} for {sender}"));
        if !root.as_str().ends_with("/busy") {
            return Ok(());
        }
        Err(HostError::Busy { host: "fake".to_string(), dataset: root.to_string(), process: Some(7) })
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        let features = BTreeMap::from([("large_blocks".to_string(), "active".to_string())]);
        let version = Version::parse("2.3.9");
        Ok(About { pool: pool.to_string(), guid: Guid(77), version, features })
    }

    fn properties(&mut self, root: &DatasetName, _: Depth) -> Result<Properties, HostError> {
        // Values that JSON makes much longer, and more of them than one frame holds.
        let value =
            |n: u32| Property { value: "\u{1}".repeat(8000 + n as usize), source: PropertySource::Local };
        let one = (0..100).map(|n| (format!("org:p{n}"), value(n))).collect();
        Ok(Properties::from([(root.clone(), one)]))
    }

    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        if names == ["readonly"] {
            let writable = self.writable.lock().expect("no panic");
            let within = self.datasets.iter().map(|one| &one.name).filter(|name| name.is_within(root));
            let of = |name: &DatasetName| {
                let value = if writable.contains(name) { "off" } else { "on" }.to_string();
                let one = ("readonly".to_string(), Property { value, source: PropertySource::Local });
                (name.clone(), BTreeMap::from([one]))
            };
            return Ok(within.map(of).collect());
        }
        if let [name] = names
            && [marks::REJOIN, marks::FIRST].contains(&name.as_str())
        {
            if !self.datasets.iter().any(|one| one.name == *root) {
                return Err(not_found(root.as_str()));
            }
            let marks = self.marks.lock().expect("no panic");
            let found = marks.get(&(root.clone(), name.clone()));
            let one = found.map(|value| {
                (name.clone(), Property { value: value.clone(), source: PropertySource::Local })
            });
            return Ok(Properties::from([(root.clone(), one.into_iter().collect())]));
        }
        if names != [marks::EPOCH] {
            let mut all = self.properties(root, depth)?;
            all.values_mut().for_each(|one| one.retain(|name, _| names.contains(name)));
            return Ok(all);
        }
        if !self.datasets.iter().any(|one| one.name == *root) {
            return Err(not_found(root.as_str()));
        }
        let epochs = self.epochs.lock().expect("no panic");
        let of = |dataset: &DatasetName| {
            let above = epochs.iter().filter(|(root, _)| dataset.is_within(root));
            let nearest = above.max_by_key(|(root, _)| root.depth());
            let found = nearest.map(|(root, (value, source))| {
                let source = if root == dataset { *source } else { PropertySource::Inherited };
                (marks::EPOCH.to_string(), Property { value: value.clone(), source })
            });
            (dataset.clone(), found.into_iter().collect())
        };
        let asked = self.datasets.iter().map(|one| &one.name).filter(|name| match depth {
            Depth::One => *name == root,
            Depth::All => name.is_within(root),
        });
        Ok(asked.map(of).collect())
    }

    fn take_over(&mut self, roots: &[DatasetName], node: &NodeName, epoch: u64) -> Result<(), HostError> {
        assert!(!roots.is_empty());
        self.log.note(format!("take over epoch {epoch} as {node}"));
        Ok(())
    }

    fn permit(&mut self, datasets: &[DatasetName]) -> Result<Box<dyn Permit>, HostError> {
        if self.promotes.load(Ordering::Relaxed) {
            let dataset = datasets[0].to_string();
            return Err(HostError::Closed { host: "fake".to_string(), dataset, process: None });
        }
        self.promotes.store(self.promotes_then, Ordering::Relaxed);
        let (promotes, log) = (self.promotes.clone(), self.log.clone());
        Ok(Box::new(FakePermit { promotes, log, not_root: self.not_root }))
    }

    fn is_mounted_writable(&mut self, dataset: &DatasetName) -> Result<bool, HostError> {
        Ok(self.mounted.contains(dataset))
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        let held = dataset.snapshot("held").ok();
        Ok(RemovalCost { bytes: 4711, mounted: true, held, cloned: None })
    }

    fn dates(&mut self, root: &DatasetName, _: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        let of = self.datasets.iter().filter(|one| one.name.is_within(root)).flat_map(|one| &one.snapshots);
        Ok(of.map(|one| (one.name.clone(), one.createtxg.0.cast_signed())).collect())
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        let find = |name: &SnapshotName| {
            self.datasets
                .iter()
                .flat_map(|one| &one.snapshots)
                .find(|one| one.name == *name)
                .map(|one| one.guid)
        };
        Ok(snapshots.iter().map(find).collect())
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        Ok(streams.iter().map(|spec| spec.from.is_none().then_some(123)).collect())
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        assert!(!spec.compress, "the agent compresses itself");
        self.log.note(format!("send {}", spec.to.name));
        Ok(Box::new(Out { host: self, at: 0 }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        assert!(!spec.compressed, "the agent decompresses itself");
        self.log.note(format!("receive {}", spec.to));
        Ok(Box::new(In { host: self, full: false, ended: false }))
    }

    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.log.note(format!("read {snapshot} {kind:?}"));
        self.content.iter().cloned().try_for_each(&mut *take)?;
        if !self.never_done {
            return Ok(());
        }
        loop {
            std::thread::sleep(std::time::Duration::from_millis(1));
            take(Piece::Bytes(1)).inspect_err(|_| self.log.note("stopped reading"))?;
        }
    }

    fn holds(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        let all = self.holds.iter().filter(|held| match depth {
            Depth::One => held.snapshot.dataset() == root,
            Depth::All => held.snapshot.dataset().is_within(root),
        });
        Ok(all.cloned().collect())
    }

    fn release(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        holds.iter().for_each(|(name, tag)| self.log.note(format!("release {name} {tag}")));
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        if let Change::SetProperties { dataset, set } = change
            && let [(name, value), others @ ..] = set.as_slice()
            && name == marks::EPOCH
        {
            let mut line = format!("epoch {value} on {dataset}");
            for (name, value) in others {
                line.push_str(&format!(", {name}={value}"));
                let key = (dataset.clone(), name.clone());
                self.marks.lock().expect("no panic").insert(key, value.clone());
            }
            self.log.note(line);
            let mut epochs = self.epochs.lock().expect("no panic");
            epochs.insert(dataset.clone(), (value.clone(), PropertySource::Local));
            return Ok(());
        }
        if let Change::UnsetProperties { dataset, names } = change {
            let mut marks = self.marks.lock().expect("no panic");
            names.iter().for_each(|name| drop(marks.remove(&(dataset.clone(), name.clone()))));
        }
        if let Change::SetProperties { dataset, set } = change
            && set.iter().any(|(name, value)| name == "readonly" && value == "on")
            && !self.stays_writable
        {
            self.writable.lock().expect("no panic").remove(dataset);
        }
        self.log.note(format!("apply {change:?}"));
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(self.clone()))
    }
}

struct Out<'a> {
    host: &'a Fake,
    at: usize,
}

impl Outgoing for Out<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let stream = &self.host.stream;
        if self.host.endless {
            self.at = 0;
        }
        // One byte more than a block now and then, to have odd pieces.
        let end = stream.len().min(self.at + limit.min(100_001));
        let block = stream.slice(self.at..end);
        self.at = end;
        Ok(if block.is_empty() { Next::End } else { Next::Block(block) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.host.log.note("sent");
        Ok(())
    }
}

struct In<'a> {
    host: &'a Fake,
    full: bool,
    ended: bool,
}

impl Incoming for In<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        let mut received = self.host.received.lock().expect("no panic");
        received.extend_from_slice(block);
        if self.host.full_after.is_some_and(|limit| received.len() > limit) {
            self.full = true;
            return Err(no_space("tank/a@s"));
        }
        Ok(())
    }

    fn offer(&mut self, block: &Bytes) -> Result<usize, HostError> {
        if self.host.stuck {
            std::thread::sleep(std::time::Duration::from_millis(5));
            return Ok(0);
        }
        self.write(block)?;
        Ok(block.len())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        self.ended = true;
        if self.full {
            return Err(no_space("tank/a@s"));
        }
        self.host.log.note("received");
        Ok(())
    }
}

impl Drop for In<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.host.log.note("left partial");
        }
    }
}
