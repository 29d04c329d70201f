//! The rules of receiving: what is refused at the beginning, what is kept when a stream breaks off, and what is
//! checked once more at the end (`dmu_recv.c` of OpenZFS 2.1 to 2.4 has them for real).

use std::collections::BTreeSet;
use std::sync::Arc;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Operation;
use zfs_core::Txg;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::nvlist::NvList;
use zfs_core::stream::BeginRecord;
use zfs_core::stream::Features;
use zfs_core::stream::Policy;
use zfs_core::stream::RECORD_BYTES;
use zfs_core::stream::StreamChecker;
use zfs_core::token::ResumeToken;

use super::datasets::put;
use super::machine::Crypt;
use super::machine::Dataset;
use super::machine::Machine;
use super::machine::Partial;
use super::machine::Refused;
use super::machine::Snap;
use super::send::CLONE;
use super::send::FROM_IVSET;
use super::send::TO_IVSET;
use super::send::VOLUME;

/// A stream on its way into a machine.
#[derive(Debug)]
pub struct Receiver {
    into: SnapshotName,
    origin: Option<SnapshotName>,
    set: Vec<(String, String)>,
    checker: StreamChecker,
    pending: Vec<u8>,
    taken: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// BEGIN is not complete.
    Waiting,
    /// The kernel works on the receive with this number.
    Running(u64),
    /// It ended with this error, or well.
    Ended(Result<(), ErrorKind>),
}

/// Types of records.
const BEGIN: u32 = 0;
const OBJECT: u32 = 1;
const WRITE: u32 = 3;
const FREE: u32 = 4;
const END: u32 = 5;

impl Receiver {
    /// Into this snapshot.
    #[must_use]
    pub fn new(into: SnapshotName, origin: Option<SnapshotName>, set: Vec<(String, String)>) -> Self {
        let checker = StreamChecker::new(Policy::default());
        Self { into, origin, set, checker, pending: Vec::new(), taken: 0, state: State::Waiting }
    }

    /// Takes bytes of the stream.
    ///
    /// # Errors
    /// When the kernel has stopped to read. A failure at the very end comes up in [`Receiver::finish`] only.
    pub fn write(&mut self, machine: &mut Machine, bytes: &[u8]) -> Result<(), Refused> {
        if let State::Ended(result) = self.state {
            return result.map_err(|kind| self.refused(kind));
        }
        let intact = self.checker.push(bytes).is_ok();
        if intact {
            self.pending.extend_from_slice(bytes);
        }
        let walked = if intact { self.walk(machine) } else { Err(ErrorKind::StreamCorrupt) };
        walked.map_err(|kind| {
            self.stop(machine, Err(kind));
            self.refused(kind)
        })
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// When the snapshot was not made.
    pub fn finish(mut self, machine: &mut Machine) -> Result<(), Refused> {
        self.stop(machine, Err(ErrorKind::StreamTruncated));
        match self.state {
            State::Ended(Ok(())) => Ok(()),
            State::Ended(Err(kind)) => Err(self.refused(kind)),
            State::Waiting | State::Running(_) => Err(self.refused(ErrorKind::StreamTruncated)),
        }
    }

    /// The stream breaks off, or ends with an error of another kind.
    pub fn break_off(&mut self, machine: &mut Machine, kind: ErrorKind) {
        self.stop(machine, Err(kind));
    }

    /// The number of the receive that the kernel works on.
    pub(super) fn running(&self) -> Option<u64> {
        if let State::Running(id) = self.state { Some(id) } else { None }
    }

    /// Leaves the receive running, as a kernel that has not noticed yet that nobody writes any more.
    pub(super) fn linger(&mut self) -> Option<u64> {
        let id = self.running();
        self.state = State::Ended(Err(ErrorKind::StreamTruncated));
        id
    }

    fn refused(&self, kind: ErrorKind) -> Refused {
        Refused::new(Operation::Receive, &self.into, kind)
    }

    fn stop(&mut self, machine: &mut Machine, result: Result<(), ErrorKind>) {
        match self.state {
            State::Ended(_) => return,
            State::Running(id) => machine.receive_stopped(id),
            State::Waiting => {}
        }
        self.state = State::Ended(result);
    }

    /// Works on the records that are complete.
    fn walk(&mut self, machine: &mut Machine) -> Result<(), ErrorKind> {
        while let Some(header) = self.pending.first_chunk::<RECORD_BYTES>().copied() {
            let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
            let short = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default());
            let payload = match short(0) {
                BEGIN => short(4) as usize,
                OBJECT => (short(28) as usize).next_multiple_of(8),
                WRITE => number(32) as usize,
                _ => 0,
            };
            let size = RECORD_BYTES + payload;
            if self.pending.len() < size {
                return Ok(());
            }
            let record: Vec<u8> = self.pending.drain(..size).collect();
            let payload = &record[RECORD_BYTES..];
            self.taken += size as u64;
            let running = self.running();
            match (short(0), running) {
                (BEGIN, _) => {
                    let begin = BeginRecord::parse(&header).map_err(|_| ErrorKind::StreamCorrupt)?;
                    let list = self.checker.begin_list().cloned().unwrap_or_default();
                    let id = machine.receive_begin(&self.into, self.origin.as_ref(), &begin, &list)?;
                    machine.receive_took(id, size as u64);
                    self.state = State::Running(id);
                    if let Some(dataset) = machine.datasets.get_mut(self.into.dataset()) {
                        put(dataset, &self.set);
                    }
                }
                (END, Some(id)) => {
                    machine.receive_took(id, size as u64);
                    let ended = machine.receive_end(id, &self.into);
                    if ended.is_err() {
                        machine.receive_stopped(id);
                    }
                    self.state = State::Ended(ended);
                }
                (WRITE, Some(id)) => {
                    let value = payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                    machine.receive_block(id, number(24), value)?;
                    machine.receive_took(id, size as u64);
                }
                (FREE, Some(id)) => {
                    machine.receive_block(id, number(16), None)?;
                    machine.receive_took(id, size as u64);
                }
                (OBJECT, Some(id)) => {
                    machine.receive_object(id, number(8));
                    machine.receive_took(id, size as u64);
                }
                (_, Some(id)) => machine.receive_took(id, size as u64),
                (_, None) => return Err(ErrorKind::StreamCorrupt),
            }
        }
        Ok(())
    }
}

impl Machine {
    /// Throws away what a receive that broke off has kept; tells whether there was anything.
    ///
    /// # Errors
    /// As the kernel.
    pub fn abort_receive(&mut self, name: &DatasetName) -> Result<bool, Refused> {
        let refused = |kind| Err(Refused::new(Operation::AbortReceive, name, kind));
        let children = self.has_children(name);
        let Some(dataset) = self.datasets.get_mut(name) else { return Ok(false) };
        let running = dataset.partial.as_ref().is_some_and(|partial| partial.running.is_some());
        match (dataset.inconsistent, &dataset.partial) {
            (false, None) => Ok(false),
            _ if running => refused(ErrorKind::Busy),
            (true, _) if !dataset.snapshots.is_empty() => refused(ErrorKind::WrongType),
            (true, _) if children => refused(ErrorKind::Exists),
            (true, _) => {
                self.datasets.remove(name);
                Ok(true)
            }
            (false, Some(_)) => {
                dataset.partial = None;
                Ok(true)
            }
        }
    }

    /// The resume token of a dataset.
    #[must_use]
    pub fn token(&self, name: &DatasetName) -> Option<String> {
        let partial = self.datasets.get(name)?.partial.as_ref()?;
        // The type is open for more words: a token is made of one that is read.
        let mut token: ResumeToken = TEMPLATE.with(Clone::clone);
        token.to_name = partial.to_name.clone();
        token.to_guid = partial.to_guid;
        token.from_guid = partial.from_guid;
        token.object = partial.object;
        token.offset = partial.offset;
        token.bytes = partial.bytes;
        token.large_blocks = true;
        token.compressed = partial.compressed;
        token.raw = partial.raw;
        Some(token.encode())
    }

    fn receive_begin(
        &mut self,
        into: &SnapshotName,
        origin: Option<&SnapshotName>,
        begin: &BeginRecord,
        list: &NvList,
    ) -> Result<u64, ErrorKind> {
        let ivset = |name| list.u64(name).map(Guid);
        let name = into.dataset();
        for (flag, feature) in [(Features::LARGE_BLOCKS, "large_blocks"), (Features::RAW, "encryption")] {
            if begin.features.contains(flag)
                && !self.has_feature(name.pool(), feature, &["enabled", "active"])
            {
                return Err(ErrorKind::UnsupportedFeature);
            }
        }
        let id = self.id();
        if begin.is_resuming() {
            let dataset = self.datasets.get_mut(name).ok_or(ErrorKind::ParentNotFound)?;
            let partial = dataset.partial.as_mut().ok_or(ErrorKind::StreamMismatch)?;
            if partial.to_guid != begin.to_guid || partial.from_guid != begin.from_guid {
                return Err(ErrorKind::StreamMismatch);
            }
            if partial.running.is_some() {
                return Err(ErrorKind::PartialReceiveExists);
            }
            if list.u64("resume_offset").is_none_or(|offset| offset > partial.offset) {
                return Err(ErrorKind::StreamMismatch);
            }
            partial.running = Some(id);
            return Ok(id);
        }
        let mut partial = Partial {
            to_name: String::from_utf8_lossy(&begin.to_name).parse().map_err(|_| ErrorKind::StreamCorrupt)?,
            to_guid: begin.to_guid,
            from_guid: begin.from_guid,
            to_ivset: begin.is_raw().then(|| ivset(TO_IVSET)).flatten(),
            raw: begin.is_raw(),
            compressed: begin.features.contains(Features::COMPRESSED),
            object: 0,
            offset: 0,
            bytes: 0,
            content: Arc::default(),
            prev: None,
            running: Some(id),
        };
        if let Some(dataset) = self.datasets.get(name) {
            if list.flag(CLONE) || origin.is_some() {
                return Err(ErrorKind::StreamMismatch);
            }
            if dataset.partial.is_none()
                && dataset.snapshot(into.short()).is_none()
                && list.flag(VOLUME)
                && self.has_children(name)
            {
                return Err(ErrorKind::WrongType);
            }
            let newest = self.check_existing(name, dataset, into, &partial, ivset(FROM_IVSET))?;
            partial.prev = Some(newest.id);
            partial.content = newest.content;
            if let Some(dataset) = self.datasets.get_mut(name) {
                dataset.partial = Some(partial);
            }
            return Ok(id);
        }
        self.begin_new(name, origin, partial, list)?;
        Ok(id)
    }

    /// Into a dataset that exists: the snapshot that the receive builds upon.
    fn check_existing(
        &self,
        name: &DatasetName,
        dataset: &Dataset,
        into: &SnapshotName,
        partial: &Partial,
        from_ivset: Option<Guid>,
    ) -> Result<Snap, ErrorKind> {
        if dataset.partial.is_some() {
            return Err(ErrorKind::PartialReceiveExists);
        }
        if dataset.snapshot(into.short()).is_some() {
            return Err(ErrorKind::Exists);
        }
        let from = partial.from_guid.ok_or(ErrorKind::Exists)?;
        if partial.raw && !dataset.is_encrypted() {
            return Err(ErrorKind::StreamMismatch);
        }
        let base = dataset.snapshots.iter().rev().find(|snap| snap.guid == from);
        let base = base.ok_or(ErrorKind::BaseMissing)?;
        let newest = dataset.snapshots.last().ok_or(ErrorKind::BaseMissing)?;
        if dataset.modified > base.createtxg || (partial.raw && newest.id != base.id) {
            return Err(ErrorKind::TargetModified);
        }
        if partial.raw && base.ivset != from_ivset {
            return Err(ErrorKind::IvSetMismatch);
        }
        if !partial.raw && dataset.is_encrypted() && !self.key_loaded(name) {
            return Err(ErrorKind::KeyNotLoaded);
        }
        Ok(newest.clone())
    }

    /// Into a dataset that the receive makes.
    fn begin_new(
        &mut self,
        name: &DatasetName,
        origin: Option<&SnapshotName>,
        mut partial: Partial,
        list: &NvList,
    ) -> Result<(), ErrorKind> {
        if partial.from_guid.is_some() && origin.is_none() && !list.flag(CLONE) {
            return Err(ErrorKind::ParentNotFound);
        }
        self.room_for(name, Operation::Receive).map_err(|refused| refused.kind)?;
        let base = match origin {
            None => None,
            Some(origin) => Some(self.find(origin).cloned().ok_or(ErrorKind::ParentNotFound)?),
        };
        if let (Some(base), Some(from)) = (&base, partial.from_guid)
            && base.guid != from
        {
            return Err(ErrorKind::BaseMissing);
        }
        // A clone is encrypted as its origin is.
        let plain =
            |origin: &SnapshotName| self.dataset(origin.dataset()).is_some_and(|one| !one.is_encrypted());
        if partial.raw && origin.is_some_and(plain) {
            return Err(ErrorKind::StreamMismatch);
        }
        let parent = name.parent().ok_or(ErrorKind::ParentNotFound)?;
        let inherits = !partial.raw && self.datasets.get(&parent).is_some_and(Dataset::is_encrypted);
        if inherits && !self.key_loaded(&parent) {
            return Err(ErrorKind::KeyNotLoaded);
        }
        let kind = if list.flag(VOLUME) { DatasetKind::Volume } else { DatasetKind::Filesystem };
        let mut dataset = self.fresh(kind, name.pool());
        dataset.crypt = match (partial.raw, inherits) {
            (true, _) => Some(Crypt { own: true, loaded: false }),
            (false, true) => Some(Crypt { own: false, loaded: false }),
            (false, false) => None,
        };
        dataset.inconsistent = true;
        dataset.origin = base.as_ref().map(|base| base.id);
        if let Some(base) = base {
            partial.prev = Some(base.id);
            partial.content = base.content;
        }
        dataset.partial = Some(partial);
        self.datasets.insert(name.clone(), dataset);
        Ok(())
    }

    /// The dataset that a receive works on, under whatever name it has by now.
    fn receiving(&mut self, id: u64) -> Option<(DatasetName, &mut Dataset)> {
        let running = |dataset: &Dataset| dataset.partial.as_ref().is_some_and(|p| p.running == Some(id));
        let name = self.datasets.iter().find(|(_, dataset)| running(dataset))?.0.clone();
        Some((name.clone(), self.datasets.get_mut(&name)?))
    }

    fn receive_block(&mut self, id: u64, offset: u64, value: Option<u64>) -> Result<(), ErrorKind> {
        let (_, dataset) = self.receiving(id).ok_or(ErrorKind::Interrupted)?;
        let partial = dataset.partial.as_mut().ok_or(ErrorKind::Interrupted)?;
        let content = Arc::make_mut(&mut partial.content);
        match value {
            Some(value) => content.insert(offset, value),
            None => content.remove(&offset),
        };
        partial.object = super::send::OBJECT;
        partial.offset = offset + 1;
        Ok(())
    }

    fn receive_object(&mut self, id: u64, object: u64) {
        if let Some(partial) = self.receiving(id).and_then(|(_, dataset)| dataset.partial.as_mut()) {
            partial.object = partial.object.max(object);
        }
    }

    fn receive_took(&mut self, id: u64, bytes: u64) {
        if let Some(partial) = self.receiving(id).and_then(|(_, dataset)| dataset.partial.as_mut()) {
            partial.bytes += bytes;
        }
    }

    /// The end of the stream came: everything is looked at once more, and the snapshot made.
    fn receive_end(&mut self, id: u64, into: &SnapshotName) -> Result<(), ErrorKind> {
        let (name, _) = self.receiving(id).ok_or(ErrorKind::Interrupted)?;
        let dataset = self.datasets.get(&name).ok_or(ErrorKind::Interrupted)?;
        let partial = dataset.partial.clone().ok_or(ErrorKind::Interrupted)?;
        let newest = self.newest(dataset);
        // A stream without anything in it writes nothing.
        let base = newest.clone();
        let unchanged = newest.as_ref().filter(|_| partial.object == 0).map(|newest| newest.modified);
        if !dataset.inconsistent {
            if newest.as_ref().map(|snap| snap.id) != partial.prev {
                return Err(ErrorKind::StreamMismatch);
            }
            if newest.is_some_and(|snap| dataset.modified > snap.createtxg) {
                return Err(ErrorKind::TargetModified);
            }
        }
        if dataset.snapshot(into.short()).is_some() {
            return Err(ErrorKind::Exists);
        }
        let (snap_id, txg, ivset) = (self.id(), self.txg(name.pool()), self.guid());
        let Some(dataset) = self.datasets.get_mut(&name) else { return Err(ErrorKind::Interrupted) };
        dataset.partial = None;
        dataset.inconsistent = false;
        dataset.reset = base.map_or(Txg(0), |base| base.reset_in(txg));
        dataset.log = false;
        dataset.content = partial.content.clone();
        dataset.modified = unchanged.unwrap_or(txg);
        dataset.snapshots.push(Snap {
            id: snap_id,
            short: into.short().to_string(),
            guid: partial.to_guid,
            createtxg: txg,
            ivset: dataset.is_encrypted().then_some(partial.to_ivset.unwrap_or(ivset)),
            content: partial.content,
            holds: BTreeSet::new(),
            log: false,
            reset: dataset.reset,
            modified: dataset.modified,
        });
        Ok(())
    }

    /// Nobody writes any more into any of the receives that run: the process that did is dead.
    pub fn end_receives(&mut self) {
        let running = |dataset: &Dataset| dataset.partial.as_ref().and_then(|partial| partial.running);
        let all: Vec<u64> = self.datasets.values().filter_map(running).collect();
        for id in all {
            self.receive_stopped(id);
        }
    }

    /// Nobody writes any more: what came is kept, if there is anything to keep.
    pub(super) fn receive_stopped(&mut self, id: u64) {
        let Some((name, dataset)) = self.receiving(id) else { return };
        let Some(partial) = dataset.partial.as_mut() else { return };
        partial.running = None;
        // Before its first record there is nothing to keep.
        if partial.object == 0 {
            dataset.partial = None;
            if dataset.inconsistent {
                self.datasets.remove(&name);
            }
        }
    }
}

thread_local! {
    static TEMPLATE: ResumeToken = template();
}

fn template() -> ResumeToken {
    let list = NvList::new()
        .with("object", 0u64)
        .with("offset", 0u64)
        .with("bytes", 0u64)
        .with("toguid", 1u64)
        .with("toname", "a@b");
    let packed = list.encode_native().expect("a list without zero bytes");
    zfs_core::token::wrap_packed(&packed).parse().expect("a token")
}
