//! Sending: the kernel writes the stream into a pipe on a thread of its own, and the caller reads it.
//!
//! The thread takes no signals, because one would end the send (openzfs #810). Dropping a [`SendStream`] cancels:
//! the read end closes, the kernel's next write fails, and the thread is joined before the drop returns.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ffi::SendCall;
use crate::name::{BookmarkName, SnapshotName};
use crate::token::ResumeToken;
use crate::{Zfs, pipe};

/// What an incremental stream starts from, on the sending side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IncrementalSource {
    /// An earlier snapshot of the same dataset, or of the one it was cloned from.
    Snapshot(SnapshotName),
    /// A bookmark of one.
    Bookmark(BookmarkName),
}

impl IncrementalSource {
    /// The name, with `@` or `#`.
    pub fn as_str(&self) -> &str {
        match self {
            IncrementalSource::Snapshot(name) => name.as_str(),
            IncrementalSource::Bookmark(name) => name.as_str(),
        }
    }
}

impl std::fmt::Display for IncrementalSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SnapshotName> for IncrementalSource {
    fn from(name: SnapshotName) -> Self {
        IncrementalSource::Snapshot(name)
    }
}

impl From<BookmarkName> for IncrementalSource {
    fn from(name: BookmarkName) -> Self {
        IncrementalSource::Bookmark(name)
    }
}

/// What the blocks of a stream look like (the flags `-w`, `-c`, `-L` and `-e` of zfs-send(8)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SendFlags {
    /// Encrypted blocks as they are on disk, so that the target needs no key. Implies the other three as the data
    /// needs them.
    pub raw: bool,
    /// Compressed blocks as they are on disk.
    pub compressed: bool,
    /// Blocks above 128 KiB whole. A chain must be sent with it always or never (openzfs #6224): choose always.
    pub large_blocks: bool,
    /// Tiny blocks inside their pointer. An encrypted target refuses them.
    pub embedded: bool,
}

impl SendFlags {
    /// What suits an unencrypted dataset on pools of today: compressed, large blocks.
    pub const COMPRESSED: Self = Self { raw: false, compressed: true, large_blocks: true, embedded: false };
    /// What suits an encrypted dataset: raw.
    pub const RAW: Self = Self { raw: true, compressed: true, large_blocks: true, embedded: false };

    fn bits(self) -> u32 {
        [
            (self.raw, zfs_sys::LZC_SEND_FLAG_RAW),
            (self.compressed, zfs_sys::LZC_SEND_FLAG_COMPRESS),
            (self.large_blocks, zfs_sys::LZC_SEND_FLAG_LARGE_BLOCK),
            (self.embedded, zfs_sys::LZC_SEND_FLAG_EMBED_DATA),
        ]
        .into_iter()
        .filter_map(|(on, bit)| on.then_some(bit))
        .sum()
    }
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    to: SnapshotName,
    from: Option<IncrementalSource>,
    flags: SendFlags,
    resume: Resume,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Resume {
    object: u64,
    offset: u64,
    bytes: u64,
}

impl SendRequest {
    /// The whole of a snapshot.
    pub fn full(to: SnapshotName) -> Self {
        Self { to, from: None, flags: SendFlags::default(), resume: Resume::default() }
    }

    /// What changed from `from` to the snapshot `to`.
    ///
    /// The kernel accepts some sources that are no ancestors (openzfs #12657): choose one with a smaller createtxg.
    pub fn incremental(from: impl Into<IncrementalSource>, to: SnapshotName) -> Self {
        Self { from: Some(from.into()), ..Self::full(to) }
    }

    /// With these flags.
    pub fn flags(self, flags: SendFlags) -> Self {
        Self { flags, ..self }
    }

    /// The rest of an interrupted transfer of this snapshot from this source.
    ///
    /// Only the position is taken from the token, and the flags of its stream are added to the request's own. Its
    /// names and GUIDs are the word of the receiving side: compare them with what is to be sent before this call.
    pub fn resume(mut self, token: &ResumeToken) -> Self {
        self.resume = Resume { object: token.object, offset: token.offset, bytes: token.bytes };
        self.flags.compressed |= token.compressed;
        self.flags.large_blocks |= token.large_blocks;
        self.flags.embedded |= token.embedded;
        self
    }

    /// The snapshot that is sent.
    pub fn snapshot(&self) -> &SnapshotName {
        &self.to
    }

    /// What the stream starts from, `None` for a full one.
    pub fn source(&self) -> Option<&IncrementalSource> {
        self.from.as_ref()
    }

    fn call(&self) -> SendCall<'_> {
        SendCall {
            to: self.to.as_str(),
            from: self.from.as_ref().map(IncrementalSource::as_str),
            flags: self.flags.bits(),
            object: self.resume.object,
            offset: self.resume.offset,
            bytes_before: self.resume.bytes,
        }
    }
}

impl Zfs {
    /// Starts to send. The errors of the kernel come up when the stream is read.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use zfs_core::{Zfs, send::{SendFlags, SendRequest}};
    /// let zfs = Zfs::open()?;
    /// let request = SendRequest::full("tank/home@monday".parse()?).flags(SendFlags::COMPRESSED);
    /// let mut stream = zfs.send(&request)?;
    /// std::io::copy(&mut stream, &mut std::fs::File::create("monday.zfs")?)?;
    /// println!("{} bytes", stream.finish()?);
    /// # Ok(()) }
    /// ```
    pub fn send(&self, request: &SendRequest) -> Result<SendStream> {
        let error = |errno| Error::new(Operation::Send, &request.to, errno);
        let (reader, writer) = pipe::new().map_err(error)?;
        let ffi = self.ffi.clone();
        let call = request.clone();
        // The thread owns the write end: when the kernel is done, dropping it is what ends the stream.
        let thread =
            pipe::spawn("zfs-send", move || ffi.send(&call.call(), writer.as_fd())).map_err(error)?;
        Ok(SendStream {
            to: request.to.clone(),
            reader: Some(reader),
            thread: Some(thread),
            bytes: 0,
            failed: None,
        })
    }

    /// About how many bytes the stream will have. An estimate: real streams differ by some percent, and by more where
    /// blocks are small.
    pub fn estimate_send(&self, request: &SendRequest) -> Result<u64> {
        let space = self.ffi.send_space(&request.call());
        space.map_err(|errno| Error::new(Operation::EstimateSend, &request.to, errno))
    }
}

/// A stream being sent. Reading gives its bytes; at its end, reading fails where the kernel failed, so that a broken
/// stream never looks complete.
#[derive(Debug)]
pub struct SendStream {
    to: SnapshotName,
    reader: Option<File>,
    thread: Option<JoinHandle<i32>>,
    bytes: u64,
    failed: Option<Error>,
}

impl SendStream {
    /// How many bytes were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Waits until there is something to read, or the stream is over: a read then returns at once. `false` when the
    /// time passed before. The kernel may take long before its first byte, and while a pool does not answer.
    pub fn wait(&self, time: Duration) -> io::Result<bool> {
        match &self.reader {
            Some(reader) => pipe::wait(reader.as_fd(), PollFlags::IN, Some(time)),
            None => Ok(true),
        }
    }

    /// The number of bytes of a stream that was read to its end. Before its end, this cancels the send and is an
    /// error of kind [`ErrorKind::Interrupted`].
    pub fn finish(mut self) -> Result<u64> {
        let whole = self.reader.is_none();
        self.close();
        match self.failed.take() {
            Some(error) => Err(error),
            None if whole => Ok(self.bytes),
            None => {
                let detail = "the stream was not read to its end";
                Err(Error::found(Operation::Send, &self.to, ErrorKind::Interrupted, detail))
            }
        }
    }

    /// As [`Read::read`], behind what is in `buffer`, up to its capacity: memory that is filled anyway need not be filled
    /// with zeros first. Gives 0 at the end of the stream, and when the buffer is full.
    pub fn append_to(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            return Ok(0);
        }
        let Some(reader) = &self.reader else { return self.outcome().map(|()| 0) };
        let count = rustix::io::read(reader, rustix::buffer::spare_capacity(buffer))?;
        if count == 0 {
            self.outcome()?;
        }
        self.bytes += count as u64;
        Ok(count)
    }

    /// Counts bytes that were moved out of the pipe without being read.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// Closes the read end first: a send that waits for room in the pipe would otherwise never return.
    pub(crate) fn close(&mut self) {
        self.reader = None;
        if let Some(thread) = self.thread.take() {
            let errno = pipe::join(thread);
            if errno != 0 {
                self.failed = Some(Error::new(Operation::Send, &self.to, errno));
            }
        }
    }

    /// Whether all of a stream was moved out of the pipe. Takes a byte out of it where not: ask only to give up.
    pub(crate) fn at_end(&mut self) -> io::Result<bool> {
        loop {
            match self.read(&mut [0]) {
                Ok(count) => return Ok(count == 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What the kernel said at the end of the stream.
    pub(crate) fn outcome(&mut self) -> io::Result<()> {
        self.close();
        self.failed.clone().map_or(Ok(()), |error| Err(io::Error::other(error)))
    }
}

impl Read for SendStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return self.outcome().map(|()| 0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = reader.read(buffer)?;
        if count == 0 {
            self.outcome()?;
        }
        self.bytes += count as u64;
        Ok(count)
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.close();
    }
}
