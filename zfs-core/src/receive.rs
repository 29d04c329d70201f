//! Receiving: the caller writes a stream, and the kernel reads it from a pipe on a thread of its own.
//!
//! A receive never forces (which would let the kernel destroy snapshots of the target), never mounts, and is resumable
//! unless asked not to be. Its success is checked by reading the GUID of the new snapshot back.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::error::{Error, ErrorKind, Failure, Operation, Result, failure};
use crate::ffi::{Answer, BEGIN_BYTES, ReceiveCall};
use crate::name::{DatasetName, PropertyName, SnapshotName};
use crate::nvlist::{NvList, Value};
use crate::property::PropertySet;
use crate::stream::BeginRecord;
use crate::{Guid, Zfs, pipe};

/// Where and how to receive.
#[derive(Clone, Debug)]
pub struct ReceiveRequest {
    snapshot: SnapshotName,
    origin: Option<SnapshotName>,
    local: NvList,
    received: NvList,
    resumable: bool,
}

impl ReceiveRequest {
    /// Into this snapshot. A full stream makes its dataset, whose parent must exist; an incremental one needs the
    /// dataset with the incremental source as its newest snapshot and nothing written since.
    pub fn new(snapshot: SnapshotName) -> Self {
        let (local, received) = (NvList::new(), NvList::new());
        Self { snapshot, origin: None, local, received, resumable: true }
    }

    /// The dataset is to be a clone of this snapshot, as it was at the source.
    pub fn origin(self, origin: SnapshotName) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// Sets properties on the receiving dataset, over what a stream brings (`-o` of zfs-receive(8)).
    pub fn set(mut self, properties: &PropertySet) -> Self {
        for (name, value) in properties.list() {
            self.local.insert(name, value.clone());
        }
        self
    }

    /// Keeps the receiving dataset from taking over a property (`-x` of zfs-receive(8)): it is inherited.
    pub fn exclude(mut self, property: &PropertyName) -> Self {
        self.local.insert(property.as_str(), Value::Boolean);
        self
    }

    /// Sets properties as if the stream had brought them: source `received`. Replaces all that earlier receives set.
    pub fn received(mut self, properties: &PropertySet) -> Self {
        self.received = properties.list().clone();
        self
    }

    /// Keep nothing when the stream ends early.
    pub fn not_resumable(self) -> Self {
        Self { resumable: false, ..self }
    }
}

/// A receive that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The new snapshot.
    pub snapshot: SnapshotName,
    /// Its GUID, read back from the target and equal to the stream's.
    pub guid: Guid,
    /// The bytes of the stream.
    pub bytes: u64,
    /// Properties that could not be set. The data is there all the same.
    pub properties_failed: Vec<Failure>,
}

impl Zfs {
    /// Prepares to receive; the kernel starts when the first 312 bytes, the BEGIN record, were written.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use zfs_core::{Zfs, receive::ReceiveRequest};
    /// let zfs = Zfs::open()?;
    /// let mut receiver = zfs.receive(ReceiveRequest::new("backup/home@monday".parse()?));
    /// std::io::copy(&mut std::fs::File::open("monday.zfs")?, &mut receiver)?;
    /// println!("received {}", receiver.finish()?.guid);
    /// # Ok(()) }
    /// ```
    pub fn receive(&self, request: ReceiveRequest) -> Receiver {
        Receiver {
            zfs: self.clone(),
            request,
            bytes: 0,
            state: State::Begin(Vec::with_capacity(BEGIN_BYTES)),
        }
    }

    /// Throws away what an interrupted receive kept: the hidden `%recv` below an existing dataset, or the whole of a
    /// dataset that a first receive did not finish. A dataset with a finished snapshot is never touched.
    ///
    /// Returns whether there was anything to throw away.
    pub fn abort_receive(&self, dataset: &DatasetName) -> Result<bool> {
        let operation = Operation::AbortReceive;
        let Some(found) = self.find_dataset(dataset)? else { return Ok(false) };
        if found.inconsistent {
            if self.snapshots(dataset)?.next().transpose()?.is_some() {
                let detail = "it is inconsistent but has snapshots";
                return Err(Error::found(operation, dataset, ErrorKind::WrongType, detail));
            }
            let errno = self.ffi.destroy(dataset.as_str());
            return if errno == 0 { Ok(true) } else { Err(Error::new(operation, dataset, errno)) };
        }
        let partial = dataset.partial_receive()?;
        match self.ffi.destroy(partial.as_str()) {
            0 => Ok(true),
            libc::ENOENT => Ok(false),
            errno => Err(Error::new(operation, dataset, errno)),
        }
    }
}

/// A stream being received: write it, then [`finish`](Receiver::finish). Dropping a receiver cancels; what arrived is
/// kept for resuming.
#[derive(Debug)]
pub struct Receiver {
    zfs: Zfs,
    request: ReceiveRequest,
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The BEGIN record is not complete yet.
    Begin(Vec<u8>),
    Running {
        writer: File,
        thread: JoinHandle<Answer>,
        guid: Guid,
    },
    Failed(Error),
}

impl Receiver {
    /// How many bytes were written so far.
    pub fn bytes_written(&self) -> u64 {
        self.bytes
    }

    /// Writes what there is room for within `time`; 0 when there was none. As [`Write::write`] otherwise, which waits as
    /// long as it takes: for ever, where a pool does not answer.
    pub fn write_within(&mut self, buffer: &[u8], time: Duration) -> io::Result<usize> {
        if let Some(pipe) = self.pipe()
            && !pipe::wait(pipe, PollFlags::OUT, Some(time))?
        {
            return Ok(0);
        }
        match self.write_now(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    fn write_now(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = match &mut self.state {
            State::Failed(error) => return Err(io::Error::other(error.clone())),
            State::Begin(begin) => {
                let count = buffer.len().min(BEGIN_BYTES - begin.len());
                begin.extend_from_slice(&buffer[..count]);
                if let Ok(begin) = <[u8; BEGIN_BYTES]>::try_from(begin.as_slice())
                    && let Err(error) = self.start(&begin)
                {
                    self.state = State::Failed(error.clone());
                    return Err(io::Error::other(error));
                }
                count
            }
            State::Running { writer, .. } => match writer.write(buffer) {
                Ok(count) => count,
                Err(error) => return Err(self.reason(error)),
            },
        };
        self.bytes += count as u64;
        Ok(count)
    }

    /// Ends the stream and waits for the kernel, which commits the snapshot or says why not.
    pub fn finish(mut self) -> Result<Received> {
        let nothing = Error::found(
            Operation::Receive,
            &self.request.snapshot,
            ErrorKind::StreamTruncated,
            format!("it ended after {} bytes, within its first record", self.bytes),
        );
        match std::mem::replace(&mut self.state, State::Failed(nothing.clone())) {
            State::Begin(_) => Err(nothing),
            State::Failed(error) => Err(error),
            State::Running { writer, thread, guid } => {
                drop(writer);
                let answer = pipe::join(thread);
                self.check(answer, guid)
            }
        }
    }

    fn check(&self, answer: Answer, guid: Guid) -> Result<Received> {
        let snapshot = &self.request.snapshot;
        if answer.errno != 0 {
            return Err(Error::new(Operation::Receive, snapshot, answer.errno));
        }
        let found = self.zfs.find_snapshot(snapshot)?.ok_or_else(|| {
            let detail = "the kernel reported success, but the snapshot is not there";
            Error::found(Operation::Receive, snapshot, ErrorKind::BadAnswer, detail)
        })?;
        if found.guid != guid {
            let detail = format!("the snapshot has GUID {}, the stream {guid}", found.guid);
            return Err(Error::found(Operation::Receive, snapshot, ErrorKind::BadAnswer, detail));
        }
        let failed = answer.list.unwrap_or_default();
        let properties_failed = failed.iter().map(|(name, value)| {
            let errno = if let Value::Int32(errno) = value { *errno } else { 0 };
            failure(Operation::SetProperty, name, errno)
        });
        Ok(Received {
            snapshot: snapshot.clone(),
            guid,
            bytes: self.bytes,
            properties_failed: properties_failed.collect(),
        })
    }

    /// Starts the kernel with a complete BEGIN record.
    fn start(&mut self, begin: &[u8; BEGIN_BYTES]) -> Result<()> {
        let snapshot = &self.request.snapshot;
        let corrupt =
            |detail: String| Error::found(Operation::Receive, snapshot, ErrorKind::StreamCorrupt, detail);
        let record = BeginRecord::parse(begin).map_err(|error| corrupt(error.to_string()))?;
        if record.is_compound() {
            let detail = "it is a package of several streams (`zfs send -R`, `-I` or `-p`); send one snapshot at a time";
            return Err(Error::found(Operation::Receive, snapshot, ErrorKind::StreamMismatch, detail));
        }
        crate::property::check(&self.request.local, Operation::Receive, snapshot)?;
        crate::property::check(&self.request.received, Operation::Receive, snapshot)?;
        let failed = |errno| Error::new(Operation::Receive, snapshot, errno);
        let (reader, writer) = pipe::new().map_err(failed)?;
        pipe::never_wait(&writer).map_err(failed)?;
        let (ffi, request, begin) = (self.zfs.ffi.clone(), self.request.clone(), *begin);
        let raw = record.is_raw();
        let thread = pipe::spawn("zfs-receive", move || {
            let call = ReceiveCall {
                snapshot: request.snapshot.as_str(),
                origin: request.origin.as_ref().map(SnapshotName::as_str),
                received: &request.received,
                local: &request.local,
                resumable: request.resumable,
                raw,
                begin: &begin,
            };
            // The read end closes with this thread, so that a writer learns of a failure at its next write.
            ffi.receive(&call, reader.as_fd())
        });
        let thread = thread.map_err(failed)?;
        self.state = State::Running { writer: File::from(writer), thread, guid: record.to_guid };
        Ok(())
    }

    /// The write end, once the kernel has started.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Running { writer, .. } => Some(writer.as_fd()),
            _ => None,
        }
    }

    /// Counts bytes that were moved into the pipe without being written.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// After a failed write: the kernel's reason, which says more than "broken pipe".
    pub(crate) fn reason(&mut self, write: io::Error) -> io::Error {
        if write.kind() != io::ErrorKind::BrokenPipe {
            return write;
        }
        let snapshot = &self.request.snapshot;
        let early = Error::found(
            Operation::Receive,
            snapshot,
            ErrorKind::StreamMismatch,
            "the kernel stopped reading before the end of the stream",
        );
        if let State::Running { writer, thread, .. } =
            std::mem::replace(&mut self.state, State::Failed(early.clone()))
        {
            drop(writer);
            let errno = pipe::join(thread).errno;
            if errno != 0 {
                let error = Error::new(Operation::Receive, snapshot, errno);
                self.state = State::Failed(error.clone());
                return io::Error::other(error);
            }
        }
        io::Error::other(early)
    }
}

impl Write for Receiver {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match self.write_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(pipe) = self.pipe() {
                        pipe::wait(pipe, PollFlags::OUT, None)?;
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let error =
            Error::found(Operation::Receive, &self.request.snapshot, ErrorKind::Interrupted, "dropped");
        if let State::Running { writer, thread, .. } =
            std::mem::replace(&mut self.state, State::Failed(error))
        {
            drop(writer);
            // The kernel writes down what it has before it returns; nothing is left running behind the caller.
            let _ = thread.join();
        }
    }
}
