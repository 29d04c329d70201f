//! The serving end: one request after the other, each within the limits, answered in bounded frames. It works for any
//! [`Host`]; it starts no program, reads no environment, and writes nothing but frames.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use zfs_core::ErrorKind;
use zfs_core::name::DatasetName;

use super::REQUEST_ENTRIES;
use super::codec::Compress;
use super::codec::Decompress;
use super::fault::Fault;
use super::frame::DATA_LIMIT;
use super::frame::Frame;
use super::frame::FrameError;
use super::frame::Frames;
use super::frame::Kind;
use super::frame::header;
use super::frame::whole;
use super::limits::Class;
use super::limits::Limits;
use super::message::Answer;
use super::message::ChangeRequest;
use super::message::Hello;
use super::message::MAGIC;
use super::message::Part;
use super::message::ReceiveRequest;
use super::message::Request;
use super::message::Row;
use super::message::SendRequest;
use super::message::Text;
use super::message::depth;
use super::pass::Pass;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Next;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;

/// How many snapshots, bookmarks or names go into one frame. Names have at most 255 bytes, none of which JSON escapes.
const ROWS: usize = 1000;

/// About how many bytes of properties go into one frame.
const PROPERTY_BYTES: usize = 64 * 1024;

/// Between two looks after a receive that no blocks come for.
const LOOK: Duration = Duration::from_secs(1);

/// Why an agent ended before the asking end closed the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The connection broke.
    #[error("the connection ended: {0}")]
    Connection(std::io::Error),
    /// What came is not what an asking end sends.
    #[error("the other end does not speak our protocol: {0}")]
    Protocol(String),
    /// There is no version of the protocol that both speak.
    #[error("there is no common protocol: here is {ours}, the other end is {theirs}")]
    Version {
        /// This program.
        ours: String,
        /// The asking one.
        theirs: String,
    },
}

/// What ends a request early.
enum Trouble {
    /// The request failed, the connection is fine.
    Fault(Box<Fault>),
    /// The request failed while its stream is still coming in: it is told, and the connection ends with it. That is
    /// what wakes up an asking end that is busy sending.
    Last(Box<Fault>),
    /// Nobody can be told.
    End(ServeError),
}

impl Trouble {
    fn last(fault: Fault) -> Self {
        Self::Last(Box::new(fault))
    }
}

impl<E: Into<Fault>> From<E> for Trouble {
    fn from(fault: E) -> Self {
        Self::Fault(Box::new(fault.into()))
    }
}

impl From<ServeError> for Trouble {
    fn from(error: ServeError) -> Self {
        Self::End(error)
    }
}

/// Answers requests until the asking end closes `input`.
///
/// # Errors
/// When the connection breaks, or what comes in is not the protocol.
pub fn serve<R: Read + AsFd, W: Write>(
    input: R,
    output: W,
    host: &mut dyn Host,
    limits: &Limits,
) -> Result<(), ServeError> {
    let input = Input { reader: input, frames: Frames::default(), piece: vec![0; 64 * 1024] };
    let mut server = Server { input, output: Output { writer: output }, host, limits, last: 0 };
    let ended = server.run();
    if let Err(ServeError::Protocol(why)) = &ended {
        // The asking end learns why, if it still listens.
        let _ = server.output.answer(0, &Answer::Last(Fault::protocol(why)));
    }
    ended
}

struct Server<'h, R, W> {
    input: Input<R>,
    output: Output<W>,
    host: &'h mut dyn Host,
    limits: &'h Limits,
    /// The newest request.
    last: u32,
}

impl<R: Read + AsFd, W: Write> Server<'_, R, W> {
    fn run(&mut self) -> Result<(), ServeError> {
        let ours = Hello::ours();
        self.output.message(Kind::Hello, 0, &ours)?;
        let Some(frame) = self.input.next()? else { return Ok(()) };
        let theirs = match frame.kind {
            Kind::Hello => serde_json::from_slice::<Hello>(&frame.payload).map_err(protocol)?,
            kind => return Err(protocol(format!("it begins with {kind:?}"))),
        };
        if theirs.magic != MAGIC {
            return Err(protocol("its hello is of something else"));
        }
        if ours.common(&theirs).is_none() {
            return Err(ServeError::Version { ours: ours.describe(), theirs: theirs.describe() });
        }
        while let Some(frame) = self.input.next()? {
            match frame.kind {
                Kind::Request if frame.id > self.last => self.last = frame.id,
                // It crossed with the answer.
                Kind::Cancel if frame.id <= self.last => continue,
                kind => return Err(protocol(format!("{kind:?} {} out of turn", frame.id))),
            }
            let id = frame.id;
            let result = match serde_json::from_slice(&frame.payload) {
                Ok(request) => self.request(id, request),
                Err(error) => Err(Fault::protocol(error).into()),
            };
            match result {
                Ok(()) => self.output.answer(id, &Answer::Done)?,
                Err(Trouble::Fault(fault)) => self.output.answer(id, &Answer::Failed(*fault))?,
                Err(Trouble::Last(fault)) => return self.output.answer(id, &Answer::Last(*fault)),
                Err(Trouble::End(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn request(&mut self, id: u32, request: Request) -> Result<(), Trouble> {
        match request {
            Request::Inventory { root, all } => self.inventory(id, &root.0, depth(all)),
            Request::About { pool } => {
                self.limits.allows(Class::List)?;
                self.limits.pool(&pool.0)?;
                let about = self.host.about(pool.0.as_str())?;
                Ok(self.output.part(id, &Part::About(about.into()))?)
            }
            Request::Properties { root, all, names } => {
                bounded(names.as_ref().map_or(0, Vec::len))?;
                self.properties(id, &root.0, depth(all), names.as_deref())
            }
            Request::RemovalCost { dataset } => {
                self.limits.allows(Class::List)?;
                self.limits.name(&dataset.0)?;
                let cost = self.host.removal_cost(&dataset.0)?;
                Ok(self.output.part(id, &cost.into())?)
            }
            Request::SnapshotGuids { snapshots } => {
                self.limits.allows(Class::List)?;
                bounded(snapshots.len())?;
                let snapshots: Vec<_> = snapshots.into_iter().map(|name| name.0).collect();
                snapshots.iter().try_for_each(|name| self.limits.name(name.dataset()))?;
                let guids = self.host.snapshot_guids(&snapshots)?;
                let guids: Vec<_> = guids.into_iter().map(|guid| guid.map(|guid| guid.0)).collect();
                for guids in guids.chunks(ROWS) {
                    self.output.part(id, &Part::Guids(guids.to_vec()))?;
                }
                Ok(())
            }
            Request::Estimate { streams } => {
                bounded(streams.len())?;
                let streams: Vec<_> =
                    streams.into_iter().map(|stream| self.send_spec(stream)).collect::<Result<_, _>>()?;
                let sizes = self.host.estimate(&streams)?;
                for sizes in sizes.chunks(ROWS) {
                    self.output.part(id, &Part::Sizes(sizes.to_vec()))?;
                }
                Ok(())
            }
            Request::Send(request) => {
                let spec = self.send_spec(request)?;
                self.send(id, spec)
            }
            Request::Receive(request) => self.receive(id, request),
            Request::Apply(change) => self.apply(change),
        }
    }

    /// The stream that is asked for, when it is one that may be had.
    fn send_spec(&self, request: SendRequest) -> Result<SendSpec, Fault> {
        let spec = request.spec().map_err(Fault::protocol)?;
        self.limits.send(&spec)?;
        Ok(spec)
    }

    fn inventory(&mut self, id: u32, root: &DatasetName, depth: Depth) -> Result<(), Trouble> {
        self.limits.allows(Class::List)?;
        self.limits.name(root)?;
        match self.host.inventory(root, depth)? {
            Inventory::Absent { mut ancestor, mut children } => {
                if !self.limits.holds(&ancestor.name) {
                    // Above the roots only what the creation of a dataset depends on is anybody's business.
                    ancestor.origin = None;
                    ancestor.partial = None;
                    (ancestor.written, ancestor.referenced) = (0, 0);
                    children.retain(|name| self.limits.holds(name));
                }
                self.output.part(id, &Part::Ancestor((&*ancestor).into()))?;
                for names in children.chunks(ROWS) {
                    self.output.part(id, &Part::Children(names.iter().cloned().map(Text).collect()))?;
                }
            }
            Inventory::Present(tree) => {
                for dataset in tree.datasets() {
                    let mut alone = without_lists(dataset);
                    alone.origin = alone.origin.filter(|origin| self.limits.holds(origin.dataset()));
                    self.output.part(id, &Part::Dataset((&alone).into()))?;
                    for some in dataset.snapshots.chunks(ROWS) {
                        let rows = some.iter().map(|one| {
                            let ivset = one.ivset.map(|guid| guid.0);
                            (one.name.short().to_string(), one.guid.0, one.createtxg.0, ivset)
                        });
                        self.output.part(id, &Part::Snapshots(rows.collect::<Vec<Row>>()))?;
                    }
                    for some in dataset.bookmarks.chunks(ROWS) {
                        let rows = some.iter().map(|one| {
                            let ivset = one.ivset.map(|guid| guid.0);
                            (one.name.short().to_string(), one.guid.0, one.createtxg.0, ivset)
                        });
                        self.output.part(id, &Part::Bookmarks(rows.collect::<Vec<Row>>()))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn properties(
        &mut self,
        id: u32,
        root: &DatasetName,
        depth: Depth,
        names: Option<&[String]>,
    ) -> Result<(), Trouble> {
        self.limits.allows(Class::List)?;
        self.limits.name(root)?;
        let all = match names {
            Some(names) => self.host.some_properties(root, depth, names)?,
            None => self.host.properties(root, depth)?,
        };
        for (dataset, properties) in all {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for (name, property) in properties {
                bytes += name.len() + property.value.len();
                rows.push((name, property.value, property.source.into()));
                if bytes > PROPERTY_BYTES {
                    let rows = std::mem::take(&mut rows);
                    self.output.part(id, &Part::Properties { dataset: Text(dataset.clone()), rows })?;
                    bytes = 0;
                }
            }
            // Also for a dataset without any: it exists.
            self.output.part(id, &Part::Properties { dataset: Text(dataset), rows })?;
        }
        Ok(())
    }

    fn apply(&mut self, change: ChangeRequest) -> Result<(), Trouble> {
        let change = change.change();
        self.limits.change(&change)?;
        if let Change::Promote { dataset } = &change {
            // It takes snapshots away from its origin, which the request does not name.
            if let Inventory::Present(tree) = self.host.inventory(dataset, Depth::One)?
                && let Some(origin) = &tree.root().origin
            {
                self.limits.name(origin.dataset())?;
            }
        }
        Ok(self.host.apply(&change)?)
    }

    fn send(&mut self, id: u32, spec: SendSpec) -> Result<(), Trouble> {
        let mut compress =
            if spec.compress { Some(Compress::new().map_err(|error| zstd(&error))?) } else { None };
        // It is done here, whatever the host can.
        let spec = SendSpec { compress: false, ..spec };
        let Self { input, output, host, .. } = self;
        let mut outgoing = host.send(&spec)?;
        let mut give = |piece: &[u8]| piece.chunks(DATA_LIMIT).try_for_each(|piece| output.data(id, piece));
        loop {
            match (outgoing.next(DATA_LIMIT)?, &mut compress) {
                (Next::End, _) => break,
                (Next::Nothing, _) => {}
                (Next::Block(block), None) => give(&block)?,
                (Next::Block(block), Some(compress)) => compress.block(&block, &mut give)?,
            }
            while let Some(frame) = input.within(Duration::ZERO)? {
                match frame.kind {
                    Kind::Cancel if frame.id == id => return Err(Fault::Cancelled.into()),
                    Kind::Cancel if frame.id < id => {}
                    kind => return Err(protocol(format!("{kind:?} while a stream is sent")).into()),
                }
            }
        }
        outgoing.finish()?;
        if let Some(compress) = &mut compress {
            compress.finish(&mut give)?;
        }
        Ok(())
    }

    fn receive(&mut self, id: u32, request: ReceiveRequest) -> Result<(), Trouble> {
        let guid = zfs_core::Guid(request.guid);
        let spec = request.spec();
        self.limits.receive(&spec)?;
        let mut decompress =
            if spec.compressed { Some(Decompress::new().map_err(|error| zstd(&error))?) } else { None };
        let subject = spec.to.to_string();
        let mut pass = Pass::new(subject.clone(), guid);
        let spec = ReceiveSpec { compressed: false, ..spec };
        let Self { input, output, host, .. } = self;
        let mut incoming = host.receive(&spec)?;
        output.part(id, &Part::Ready)?;
        loop {
            let Some(frame) = input.within(LOOK)? else {
                if incoming.idle()? {
                    return Err(Trouble::last(reason(incoming.finish(), None)));
                }
                continue;
            };
            match frame.kind {
                Kind::Data if frame.id == id => {
                    // What is refused never reaches the kernel, and the receive is not ended as if it were whole.
                    let mut take = |block: Bytes| match pass.block(block)? {
                        Some(block) => {
                            incoming.write(&block).map_err(|error| NotTaken::Host(Box::new(error)))
                        }
                        None => Ok(()),
                    };
                    let taken = match &mut decompress {
                        None => take(frame.payload),
                        Some(decompress) => decompress.block(&frame.payload, &mut take),
                    };
                    match taken {
                        Ok(()) => {}
                        Err(NotTaken::Stream(fault)) => return Err(Trouble::Last(fault)),
                        Err(NotTaken::Zstd(error)) => {
                            let why = format!("zstd: {error}");
                            return Err(Trouble::last(Fault::stream(
                                &subject,
                                ErrorKind::StreamCorrupt,
                                why,
                            )));
                        }
                        Err(NotTaken::Host(error)) => {
                            return Err(Trouble::last(reason(incoming.finish(), Some(*error))));
                        }
                    }
                }
                Kind::End if frame.id == id => break,
                Kind::Cancel if frame.id == id => {
                    // What arrived is kept, to go on from there.
                    drop(incoming);
                    return Err(Fault::Cancelled.into());
                }
                Kind::Cancel if frame.id < id => {}
                kind => return Err(protocol(format!("{kind:?} while a stream is received")).into()),
            }
        }
        pass.finish()?;
        if decompress.is_some_and(|decompress| !decompress.is_whole()) {
            return Err(
                Fault::stream(&subject, ErrorKind::StreamTruncated, "its compression is cut off").into()
            );
        }
        Ok(incoming.finish()?)
    }
}

/// Why a block of a stream was not taken.
enum NotTaken {
    Stream(Box<Fault>),
    Zstd(std::io::Error),
    Host(Box<HostError>),
}

impl From<Fault> for NotTaken {
    fn from(fault: Fault) -> Self {
        Self::Stream(Box::new(fault))
    }
}

impl From<std::io::Error> for NotTaken {
    fn from(error: std::io::Error) -> Self {
        Self::Zstd(error)
    }
}

fn zstd(error: &std::io::Error) -> Fault {
    Fault::Other { message: format!("cannot start zstd: {error}"), hint: None }
}

/// Why a receive ended by itself.
fn reason(finished: Result<(), HostError>, written: Option<HostError>) -> Fault {
    match (finished, written) {
        (Err(error), _) | (Ok(()), Some(error)) => error.into(),
        (Ok(()), None) => {
            Fault::Other { message: "the receive ended before its stream".to_string(), hint: None }
        }
    }
}

/// A copy without the long lists.
fn without_lists(state: &crate::host::DatasetState) -> crate::host::DatasetState {
    crate::host::DatasetState {
        name: state.name.clone(),
        kind: state.kind,
        guid: state.guid,
        encryption: state.encryption.clone(),
        origin: state.origin.clone(),
        written: state.written,
        referenced: state.referenced,
        available: state.available,
        partial: state.partial.clone(),
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    }
}

fn bounded(entries: usize) -> Result<(), Fault> {
    if entries <= REQUEST_ENTRIES {
        return Ok(());
    }
    Err(Fault::protocol(format!("a request holds at most {REQUEST_ENTRIES} entries")))
}

fn protocol(why: impl std::fmt::Display) -> ServeError {
    ServeError::Protocol(crate::transport::printable(why.to_string().as_bytes(), 500))
}

/// Only of zstd while it compresses, which fails where memory does.
impl From<std::io::Error> for ServeError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<FrameError> for ServeError {
    fn from(error: FrameError) -> Self {
        protocol(error)
    }
}

struct Input<R> {
    reader: R,
    frames: Frames,
    piece: Vec<u8>,
}

impl<R: Read + AsFd> Input<R> {
    /// The next frame; none at the end between two frames.
    fn next(&mut self) -> Result<Option<Frame>, ServeError> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            if !self.read()? {
                return if self.frames.is_empty() { Ok(None) } else { Err(gone()) };
            }
        }
    }

    /// The next frame, if it is whole within that time; waits again for every piece of it. Here the end is an error:
    /// somebody waits for an answer.
    fn within(&mut self, limit: Duration) -> Result<Option<Frame>, ServeError> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
            let mut fds = [PollFd::from_borrowed_fd(self.reader.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
                Ok(_) => {}
                Err(errno) => return Err(ServeError::Connection(errno.into())),
            }
            if !self.read()? {
                return Err(gone());
            }
        }
    }

    /// Reads some; false at the end.
    fn read(&mut self) -> Result<bool, ServeError> {
        loop {
            match self.reader.read(&mut self.piece) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.frames.push(&self.piece[..n]);
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ServeError::Connection(error)),
            }
        }
    }
}

fn gone() -> ServeError {
    ServeError::Connection(std::io::ErrorKind::UnexpectedEof.into())
}

struct Output<W> {
    writer: W,
}

impl<W: Write> Output<W> {
    fn message(&mut self, kind: Kind, id: u32, message: &impl serde::Serialize) -> Result<(), ServeError> {
        let text = serde_json::to_vec(message).map_err(protocol)?;
        // Every message is cut so that it fits; one that does not would be refused at the other end anyway.
        let frame =
            whole(kind, id, &text).ok_or_else(|| protocol("an answer is larger than a frame may be"))?;
        self.write(&frame).and_then(|()| self.writer.flush().map_err(ServeError::Connection))
    }

    fn part(&mut self, id: u32, part: &Part) -> Result<(), ServeError> {
        self.message(Kind::Part, id, part)
    }

    fn answer(&mut self, id: u32, answer: &Answer) -> Result<(), ServeError> {
        self.message(Kind::Answer, id, answer)
    }

    fn data(&mut self, id: u32, block: &[u8]) -> Result<(), ServeError> {
        self.write(&header(Kind::Data, id, block.len()))?;
        self.write(block)?;
        self.writer.flush().map_err(ServeError::Connection)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ServeError> {
        self.writer.write_all(bytes).map_err(ServeError::Connection)
    }
}
