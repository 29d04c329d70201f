//! Listing through the three list ioctls, the way the `zfs` command itself does it: one pass, one call an entry,
//! nothing held back and nothing written to the history of the pool.
//!
//! The kernel says "no more entries" and "this dataset does not exist" with the same number. So a list is only
//! believed complete when the dataset it was made of is still there, under the same GUID, after the last entry;
//! otherwise a dataset destroyed in the middle would read as one with fewer snapshots.

use std::ops::RangeInclusive;

use crate::command::{Command, Stats};
use crate::dataset::{Dataset, Snapshot, SnapshotDetails};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ffi::Ioctl;
use crate::name::{DatasetName, SnapshotName};
use crate::nvlist::{Limits, NvError, NvList, view};
use crate::property::Properties;
use crate::{Guid, Txg, Zfs};

type NvResult<T> = std::result::Result<T, NvError>;

/// Large enough for the properties of nearly every dataset; grown when the kernel asks for more.
const ANSWER_BYTES: usize = 16 << 10;
/// More than this the properties of one dataset never take; an answer that wants more is an error.
const ANSWER_LIMIT: usize = 16 << 20;

impl Zfs {
    /// The filesystem or volume of that name.
    pub fn dataset(&self, name: &DatasetName) -> Result<Dataset> {
        let (stats, properties) = self.inspect(name.as_str(), true)?;
        stats.into_dataset(name.clone(), properties)
    }

    /// The filesystem or volume of that name, or `None` where the kernel says that there is none. Any other failure
    /// is an error: not being able to look is never read as absent.
    pub fn find_dataset(&self, name: &DatasetName) -> Result<Option<Dataset>> {
        absent(self.dataset(name))
    }

    /// The snapshot of that name.
    pub fn snapshot_details(&self, name: &SnapshotName) -> Result<SnapshotDetails> {
        let (stats, properties) = self.inspect(name.as_str(), true)?;
        Ok(SnapshotDetails { snapshot: stats.into_snapshot(name.clone()), properties })
    }

    /// The snapshot of that name, or `None` where the kernel says that there is none.
    pub fn find_snapshot(&self, name: &SnapshotName) -> Result<Option<Snapshot>> {
        absent(self.inspect(name.as_str(), false).map(|(stats, _)| stats.into_snapshot(name.clone())))
    }

    /// The children of a dataset, not their children, in no particular order.
    pub fn children(&self, parent: &DatasetName) -> Result<Children> {
        Ok(Children { cursor: Cursor::open(self, parent, Ioctl::DatasetListNext, Operation::ListChildren)? })
    }

    fn children_of(&self, parent: &Dataset) -> Children {
        Children { cursor: Cursor::of(self, parent, Ioctl::DatasetListNext, Operation::ListChildren) }
    }

    /// A dataset and everything below it, each parent before its children.
    pub fn tree(&self, root: &DatasetName) -> Result<Tree> {
        Ok(self.tree_of(self.dataset(root)?))
    }

    /// As [`Zfs::tree`], of a root that was looked at already.
    pub fn tree_of(&self, root: Dataset) -> Tree {
        Tree { zfs: self.clone(), next: Some(root), open: Vec::new() }
    }

    /// The snapshots of a dataset with what a planner needs: GUID and createtxg. In no particular order.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use zfs_core::{Zfs, name::DatasetName};
    /// let zfs = Zfs::open()?;
    /// for pool in zfs.pools()? {
    ///     for snapshot in zfs.snapshots(&pool)? {
    ///         let snapshot = snapshot?;
    ///         println!("{} {}", snapshot.guid, snapshot.name);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn snapshots(&self, dataset: &DatasetName) -> Result<Snapshots> {
        let mut cursor = Cursor::open(self, dataset, Ioctl::SnapshotListNext, Operation::ListSnapshots)?;
        cursor.command.set_simple(true);
        Ok(Snapshots { cursor })
    }

    /// As [`Zfs::snapshots`], of a dataset that was looked at already: one call less. Where another one has its name by now,
    /// the list ends with an error of the kind [`ErrorKind::NotFound`].
    pub fn snapshots_of(&self, dataset: &Dataset) -> Snapshots {
        let mut cursor = Cursor::of(self, dataset, Ioctl::SnapshotListNext, Operation::ListSnapshots);
        cursor.command.set_simple(true);
        Snapshots { cursor }
    }

    /// The snapshots of a dataset with all their properties. In no particular order.
    pub fn snapshots_with_properties(&self, dataset: &DatasetName) -> Result<DetailedSnapshots> {
        let cursor = Cursor::open(self, dataset, Ioctl::SnapshotListNext, Operation::ListSnapshots)?;
        Ok(DetailedSnapshots { cursor })
    }

    /// The snapshots of a dataset, each with the numbers that some of its properties are, `None` for one that the kernel
    /// does not report (see [`SnapshotDetails`] for names and units). In no particular order. Only these numbers are
    /// read of what the kernel says, and nothing else of it is kept; the kernel's own work is that of
    /// [`Zfs::snapshots_with_properties`].
    pub fn snapshots_with_numbers<const N: usize>(
        &self,
        dataset: &DatasetName,
        properties: [&'static str; N],
    ) -> Result<NumberedSnapshots<N>> {
        let cursor = Cursor::open(self, dataset, Ioctl::SnapshotListNext, Operation::ListSnapshots)?;
        Ok(NumberedSnapshots { cursor, properties })
    }

    /// Statistics, and properties where asked for, of a dataset or snapshot.
    fn inspect(&self, name: &str, with_properties: bool) -> Result<(Stats, Properties)> {
        let mut command = Command::new(name);
        command.set_simple(!with_properties);
        let mut answer = vec![0; if with_properties { ANSWER_BYTES } else { 0 }];
        let length =
            call(self, Ioctl::ObjsetStats, &mut command, &mut answer, |command| command.set_name(name))
                .map_err(|errno| Error::new(Operation::Inspect, name, errno))?;
        let properties = if with_properties {
            decode(&answer[..length], name, Operation::Inspect)?
        } else {
            NvList::new()
        };
        Ok((command.stats(), Properties::new(properties, name)))
    }
}

fn absent<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Calls again after a signal, and with a larger buffer where the kernel asks for one; `rewind` puts the command back.
fn call(
    zfs: &Zfs,
    ioctl: Ioctl,
    command: &mut Command,
    answer: &mut Vec<u8>,
    mut rewind: impl FnMut(&mut Command),
) -> Result<usize, i32> {
    loop {
        match zfs.ffi.ioctl(ioctl, command, answer) {
            Ok(()) => return Ok(command.answer_length().min(answer.len())),
            Err(libc::ENOMEM)
                if command.answer_length() > answer.len() && command.answer_length() <= ANSWER_LIMIT =>
            {
                answer.resize(command.answer_length().next_power_of_two(), 0);
            }
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        rewind(command);
    }
}

fn decode(bytes: &[u8], name: &str, operation: Operation) -> Result<NvList> {
    NvList::decode(bytes, &Limits::default())
        .map_err(|error| Error::found(operation, name, ErrorKind::BadAnswer, error.to_string()))
}

/// One list in progress.
struct Cursor {
    zfs: Zfs,
    parent: DatasetName,
    parent_guid: Guid,
    ioctl: Ioctl,
    operation: Operation,
    command: Command,
    answer: Vec<u8>,
    done: bool,
}

struct Entry {
    name: String,
    stats: Stats,
    length: usize,
}

impl Cursor {
    fn open(zfs: &Zfs, parent: &DatasetName, ioctl: Ioctl, operation: Operation) -> Result<Self> {
        let (stats, _) =
            zfs.inspect(parent.as_str(), false).map_err(|e| Error::new(operation, parent, e.errno()))?;
        Ok(Self::new(zfs, parent, stats.guid, ioctl, operation))
    }

    /// Of a dataset that was looked at already.
    fn of(zfs: &Zfs, parent: &Dataset, ioctl: Ioctl, operation: Operation) -> Self {
        Self::new(zfs, &parent.name, parent.guid, ioctl, operation)
    }

    fn new(zfs: &Zfs, parent: &DatasetName, parent_guid: Guid, ioctl: Ioctl, operation: Operation) -> Self {
        Self {
            zfs: zfs.clone(),
            parent: parent.clone(),
            parent_guid,
            ioctl,
            operation,
            command: Command::new(parent.as_str()),
            answer: Vec::new(),
            done: false,
        }
    }

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.done {
            return None;
        }
        if self.answer.is_empty() && !self.command.is_simple() {
            self.answer.resize(ANSWER_BYTES, 0);
        }
        let place = self.command.place();
        let parent = self.parent.as_str();
        self.command.set_name(parent);
        let called = call(&self.zfs, self.ioctl, &mut self.command, &mut self.answer, |command| {
            command.set_name(parent);
            command.set_place(place);
        });
        match called {
            Ok(length) => match self.command.name() {
                Some(name) => Some(Ok(Entry { name, stats: self.command.stats(), length })),
                None => self.fail(ErrorKind::BadAnswer, "a name is not text"),
            },
            Err(libc::ESRCH) => self.end(),
            Err(errno) => {
                self.done = true;
                Some(Err(Error::new(self.operation, &self.parent, errno)))
            }
        }
    }

    /// The kernel has no more entries: believed only if the parent is still the one that was opened.
    fn end(&mut self) -> Option<Result<Entry>> {
        self.done = true;
        match self.zfs.inspect(self.parent.as_str(), false) {
            Ok((stats, _)) if stats.guid == self.parent_guid => None,
            Ok(_) => {
                self.fail(ErrorKind::NotFound, "it was replaced by another dataset while it was being listed")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.fail(ErrorKind::NotFound, "it went away while it was being listed")
            }
            Err(error) => Some(Err(Error::new(self.operation, &self.parent, error.errno()))),
        }
    }

    fn fail(&mut self, kind: ErrorKind, detail: &str) -> Option<Result<Entry>> {
        self.done = true;
        Some(Err(Error::found(self.operation, &self.parent, kind, detail)))
    }

    fn properties(&self, entry: &Entry) -> Result<Properties> {
        Ok(Properties::new(decode(&self.answer[..entry.length], &entry.name, self.operation)?, &*entry.name))
    }

    fn bad_name(&self, name: &str) -> Error {
        Error::found(
            self.operation,
            &self.parent,
            ErrorKind::BadAnswer,
            format!("the name {name:?} is not understood"),
        )
    }
}

/// The children of a dataset; see [`Zfs::children`].
pub struct Children {
    cursor: Cursor,
}

impl Iterator for Children {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.cursor.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            // `$ORIGIN` and the like, and the `%recv` of a receive in progress, are the kernel's own.
            if entry.name.contains(['$', '%']) {
                continue;
            }
            return Some((|| {
                let name = entry.name.parse().map_err(|_| self.cursor.bad_name(&entry.name))?;
                let properties = self.cursor.properties(&entry)?;
                entry.stats.into_dataset(name, properties)
            })());
        }
    }
}

/// A dataset and all below it; see [`Zfs::tree`].
pub struct Tree {
    zfs: Zfs,
    next: Option<Dataset>,
    open: Vec<Children>,
}

impl Iterator for Tree {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Self::Item> {
        let dataset = match self.next.take() {
            Some(root) => root,
            None => loop {
                match self.open.last_mut()?.next() {
                    Some(Ok(dataset)) => break dataset,
                    // A child that goes away during a walk is one that is not there; only the root must stay.
                    Some(Err(error)) if error.kind() == ErrorKind::NotFound && self.open.len() > 1 => {
                        self.open.pop();
                    }
                    Some(Err(error)) => {
                        self.open.clear();
                        return Some(Err(error));
                    }
                    None => {
                        self.open.pop();
                    }
                }
            },
        };
        self.open.push(self.zfs.children_of(&dataset));
        Some(Ok(dataset))
    }
}

impl Cursor {
    fn created_in(&mut self, range: RangeInclusive<Txg>) {
        let mut filter = NvList::new();
        filter.insert("snap_iter_min_txg", range.start().0);
        filter.insert("snap_iter_max_txg", range.end().0);
        // Two numbers always fit; without the filter the kernel would only list more than was asked for.
        self.command.set_input(filter.encode_xdr().unwrap_or_default());
    }

    fn next_snapshot(&mut self) -> Option<Result<(Snapshot, Entry)>> {
        Some(self.next()?.and_then(|entry| {
            let name: SnapshotName = entry.name.parse().map_err(|_| self.bad_name(&entry.name))?;
            Ok((entry.stats.clone().into_snapshot(name), entry))
        }))
    }
}

/// The snapshots of a dataset; see [`Zfs::snapshots`].
pub struct Snapshots {
    cursor: Cursor,
}

impl Snapshots {
    /// Only those taken in this range of transaction groups; the kernel leaves out the others.
    pub fn created_in(mut self, range: RangeInclusive<Txg>) -> Self {
        self.cursor.created_in(range);
        self
    }
}

impl Iterator for Snapshots {
    type Item = Result<Snapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.cursor.next_snapshot()?.map(|(snapshot, _)| snapshot))
    }
}

/// The snapshots of a dataset with their properties; see [`Zfs::snapshots_with_properties`].
pub struct DetailedSnapshots {
    cursor: Cursor,
}

impl DetailedSnapshots {
    /// Only those taken in this range of transaction groups; the kernel leaves out the others.
    pub fn created_in(mut self, range: RangeInclusive<Txg>) -> Self {
        self.cursor.created_in(range);
        self
    }
}

impl Iterator for DetailedSnapshots {
    type Item = Result<SnapshotDetails>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.cursor.next_snapshot()?.and_then(|(snapshot, entry)| {
            Ok(SnapshotDetails { snapshot, properties: self.cursor.properties(&entry)? })
        }))
    }
}

/// The snapshots of a dataset with a few numbers; see [`Zfs::snapshots_with_numbers`].
pub struct NumberedSnapshots<const N: usize> {
    cursor: Cursor,
    properties: [&'static str; N],
}

impl<const N: usize> Iterator for NumberedSnapshots<N> {
    type Item = Result<(Snapshot, [Option<u64>; N])>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.cursor.next_snapshot()?.and_then(|(snapshot, entry)| {
            let found = numbers(&self.cursor.answer[..entry.length], &self.properties);
            let numbers = found.map_err(|error| {
                Error::found(self.cursor.operation, &entry.name, ErrorKind::BadAnswer, error.to_string())
            })?;
            Ok((snapshot, numbers))
        }))
    }
}

/// The numbers of these properties, of a list in the kernel's own encoding.
fn numbers<const N: usize>(answer: &[u8], properties: &[&str; N]) -> NvResult<[Option<u64>; N]> {
    let mut numbers = [None; N];
    let mut left = N;
    for pair in view::native(answer, &Limits::default())? {
        let pair = pair?;
        let wanted = properties.iter().position(|property| property.as_bytes() == pair.name);
        let (Some(at), Some(list)) = (wanted, pair.list()) else { continue };
        numbers[at] = list.u64("value")?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(numbers)
}
