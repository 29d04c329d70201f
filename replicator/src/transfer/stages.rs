//! The stages, each a loop on a thread of its own: read (and check what is plain), decompress (and check), compress,
//! write. They know their neighbours only by the channels between them.

use bytes::Bytes;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use zstd::stream::raw::InBuffer;

use super::BLOCK;
use super::Moved;
use super::StreamError;
use super::TransferError;
use super::budget::Lane;
use super::budget::Permit;
use super::check::Watch;
use super::compress::Compressor;
use super::compress::Decompressor;
use super::compress::Level;
use super::compress::Slower;
use super::flow::Item;
use super::flow::LookAfter;
use super::flow::Piece;
use super::flow::Received;
use super::flow::Stage;
use super::flow::Stopped;
use super::head::Head;
use super::limit::Limiter;
use super::stall::End;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::transport::TransportError;

fn sender(flow: &Stage<'_>, error: HostError) -> Stopped {
    flow.fail(TransferError::of(error, TransferError::Sender))
}

fn receiver(flow: &Stage<'_>, error: HostError) -> Stopped {
    flow.fail(TransferError::of(error, TransferError::Receiver))
}

/// Takes bytes from the limit, calling `waiting` while it waits. Being held back is no stall.
fn limited(
    limiter: &Limiter,
    bytes: usize,
    flow: &Stage<'_>,
    waiting: &mut dyn FnMut() -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut held = false;
    let taken = limiter.take(bytes, &mut || {
        if !held {
            held = true;
            flow.pulse().held_back(true);
        }
        flow.check()?;
        waiting()
    });
    if held {
        flow.pulse().held_back(false);
    }
    taken
}

/// Reads to the end. `watch` is for what arrives plain.
pub(super) fn read(
    head: Head<'_>,
    to: &Sender<Item>,
    mut watch: Option<Watch>,
    limiter: &Limiter,
    flow: &Stage<'_>,
) -> Result<(), Stopped> {
    let Head { mut outgoing, blocks, mut ended, lane, .. } = head;
    let mut look_after = LookAfter::new();
    let mut idle = |outgoing: &mut dyn Outgoing| {
        if look_after.is_due() {
            outgoing.idle().map_err(|error| sender(flow, error))?;
        }
        Ok(())
    };
    let mut pass = |piece: Piece, outgoing: &mut dyn Outgoing, idle: &mut Idle<'_>| {
        if let Some(watch) = &mut watch {
            watch.pass(&piece.bytes).map_err(|error| flow.fail(error.into()))?;
        }
        limited(limiter, piece.bytes.len(), flow, &mut || idle(outgoing))?;
        flow.send(to, Item::Piece(piece), &mut || idle(outgoing))
    };
    for piece in blocks {
        pass(piece, outgoing.as_mut(), &mut idle)?;
    }
    let mut permit: Option<Permit> = None;
    while !ended {
        flow.check()?;
        let room = match permit.take() {
            Some(room) => room,
            None => lane.acquire(&mut || {
                flow.check()?;
                idle(outgoing.as_mut())
            })?,
        };
        match outgoing.next(limiter.grain()).map_err(|error| sender(flow, error))? {
            Next::End => ended = true,
            Next::Nothing => permit = Some(room),
            Next::Block(block) => {
                flow.pulse().moved();
                let bytes = block.len() as u64;
                pass(Piece::new(block, bytes, bytes, room), outgoing.as_mut(), &mut idle)?;
            }
        }
    }
    drop(permit);
    // The sender's own error says more than "the stream ended early".
    flow.pulse().ending(Some(End::Sender));
    outgoing.finish().map_err(|error| sender(flow, error))?;
    flow.pulse().ending(None);
    if let Some(watch) = watch {
        watch.finish().map_err(|error| flow.fail(error.into()))?;
    }
    flow.send(to, Item::End, &mut || Ok(())).map(drop)
}

type Idle<'i> = dyn FnMut(&mut dyn Outgoing) -> Result<(), Stopped> + 'i;

/// What a codec makes: blocks with room for each, handed on when they are full.
pub(super) struct Made<'m> {
    to: &'m Sender<Item>,
    lane: &'m Lane,
    flow: &'m Stage<'m>,
    block: Option<(Vec<u8>, Permit)>,
    /// What went in since the last block was handed on.
    pub(super) plain: u64,
    pub(super) came: u64,
    /// Bytes that were made, and whether one of the blocks had to wait.
    bytes: u64,
    waited: bool,
}

impl<'m> Made<'m> {
    pub(super) fn new(to: &'m Sender<Item>, lane: &'m Lane, flow: &'m Stage<'m>) -> Self {
        Self { to, lane, flow, block: None, plain: 0, came: 0, bytes: 0, waited: false }
    }

    /// Where to append.
    pub(super) fn out(&mut self) -> Result<&mut Vec<u8>, Stopped> {
        if self.block.is_none() {
            let permit = match self.lane.try_acquire() {
                Some(permit) => permit,
                None => {
                    self.waited = true;
                    self.lane.acquire(&mut || self.flow.check())?
                }
            };
            self.block = Some((Vec::with_capacity(BLOCK), permit));
        }
        match &mut self.block {
            Some((block, _)) => Ok(block),
            None => Err(Stopped),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.block.as_ref().is_some_and(|(block, _)| block.len() == block.capacity())
    }

    /// Hands on what there is.
    pub(super) fn hand_on(&mut self) -> Result<(), Stopped> {
        let Some((block, permit)) = self.block.take_if(|(block, _)| !block.is_empty()) else { return Ok(()) };
        self.bytes += block.len() as u64;
        let (plain, came) = (std::mem::take(&mut self.plain), std::mem::take(&mut self.came));
        let piece = Piece::new(Bytes::from(block), plain, came, permit);
        self.waited |= self.flow.send(self.to, Item::Piece(piece), &mut || Ok(()))?;
        Ok(())
    }
}

/// Compresses to the end, with a level that follows what is slower.
pub(super) fn compress(
    from: &Receiver<Item>,
    to: &Sender<Item>,
    lane: &Lane,
    workers: u32,
    flow: &Stage<'_>,
) -> Result<(), Stopped> {
    let failed = |error: std::io::Error| flow.fail(TransferError::Compression { cause: error.to_string() });
    let mut compressor = Compressor::new(workers).map_err(failed)?;
    let mut level = Level::new();
    let mut made = Made::new(to, lane, flow);
    loop {
        match flow.receive(from)? {
            // The sender pauses or failed: what it gave so far should not wait for more.
            received @ (Received::Nothing | Received::Cut) => {
                while compressor.is_pending() {
                    compressor.flush(made.out()?).map_err(failed)?;
                    made.hand_on()?;
                }
                made.hand_on()?;
                if matches!(received, Received::Cut) {
                    return Err(Stopped);
                }
            }
            Received::Piece(piece) => {
                let before = made.bytes;
                made.came += piece.came;
                made.plain += piece.plain;
                let mut input = InBuffer::around(piece.bytes.as_ref());
                while compressor.step(&mut input, made.out()?).map_err(failed)? {
                    if made.is_full() {
                        made.hand_on()?;
                    }
                    flow.check()?;
                }
                flow.pulse().moved();
                let slower = if std::mem::take(&mut made.waited) {
                    Slower::Link
                } else if !from.is_empty() && to.is_empty() {
                    Slower::Processor
                } else {
                    Slower::Neither
                };
                if let Some(level) = level.saw(piece.plain, made.bytes - before, slower) {
                    compressor.set_level(level).map_err(failed)?;
                }
            }
            Received::End => break,
        }
    }
    while compressor.finish(made.out()?).map_err(failed)? {
        if made.is_full() {
            made.hand_on()?;
        }
    }
    made.hand_on()?;
    flow.send(to, Item::End, &mut || Ok(())).map(drop)
}

/// Decompresses to the end and checks what comes out.
pub(super) fn decompress(
    from: &Receiver<Item>,
    to: &Sender<Item>,
    lane: &Lane,
    mut watch: Watch,
    flow: &Stage<'_>,
) -> Result<(), Stopped> {
    let damaged = |what: String| flow.fail(StreamError::Damaged(what).into());
    let failed = |error: std::io::Error| flow.fail(TransferError::Compression { cause: error.to_string() });
    let mut decompressor = Decompressor::new().map_err(failed)?;
    let mut made = Made::new(to, lane, flow);
    loop {
        match flow.receive(from)? {
            Received::Nothing => {}
            Received::Cut => return Err(Stopped),
            Received::Piece(piece) => {
                made.came += piece.came;
                let mut input = InBuffer::around(piece.bytes.as_ref());
                let mut more = true;
                while more {
                    flow.check()?;
                    let out = made.out()?;
                    let before = out.len();
                    more = decompressor
                        .step(&mut input, out)
                        .map_err(|error| damaged(format!("it cannot be decompressed: {error}")))?;
                    watch.pass(&out[before..]).map_err(|error| flow.fail(error.into()))?;
                    let plain = out.len() - before;
                    made.plain += plain as u64;
                    flow.pulse().moved();
                    if made.is_full() {
                        made.hand_on()?;
                    }
                }
                // What is known to be right goes on at once: blocks that are not full are few.
                made.hand_on()?;
            }
            Received::End => break,
        }
    }
    if !decompressor.is_whole() {
        let error = StreamError::Truncated("the compressed stream ends within a frame".to_string());
        return Err(flow.fail(error.into()));
    }
    watch.finish().map_err(|error| flow.fail(error.into()))?;
    flow.send(to, Item::End, &mut || Ok(())).map(drop)
}

/// Writes to the end, and waits for the receiver's word on it.
pub(super) fn write<'a>(
    mut incoming: Box<dyn Incoming + 'a>,
    from: &Receiver<Item>,
    limiter: &Limiter,
    out_is_wire: bool,
    progress: &(dyn Fn(Moved) + Sync),
    flow: &Stage<'_>,
) -> Result<Moved, Stopped> {
    let mut all = Moved::default();
    loop {
        match flow.receive(from)? {
            Received::Cut => return Err(Stopped),
            Received::Nothing => {
                if incoming.idle().map_err(|error| receiver(flow, error))? {
                    // It ended by itself: writing to it would say so too, but there may be nothing to write for long.
                    return Err(stopped_reading(incoming, None, flow));
                }
            }
            Received::Piece(piece) => {
                let mut rest = piece.bytes.clone();
                let mut moved = Moved { plain: piece.plain, wire: if out_is_wire { 0 } else { piece.came } };
                while !rest.is_empty() {
                    let part = rest.split_to(rest.len().min(limiter.grain()));
                    let mut ended = false;
                    let mut look_after = LookAfter::new();
                    let room = limited(limiter, part.len(), flow, &mut || {
                        if look_after.is_due() {
                            ended = incoming.idle().map_err(|error| receiver(flow, error))?;
                        }
                        if ended { Err(Stopped) } else { Ok(()) }
                    });
                    if ended {
                        return Err(stopped_reading(incoming, None, flow));
                    }
                    room?;
                    flow.check()?;
                    flow.pulse().writing(true);
                    let written = incoming.write(&part);
                    flow.pulse().writing(false);
                    match written {
                        Ok(()) => {}
                        Err(stopped @ HostError::Transport(TransportError::StdinClosed { .. })) => {
                            return Err(stopped_reading(incoming, Some(stopped), flow));
                        }
                        Err(error) => return Err(receiver(flow, error)),
                    }
                    if out_is_wire {
                        moved.wire += part.len() as u64;
                    }
                    if rest.is_empty() {
                        all.plain += moved.plain;
                    }
                    all.wire += moved.wire;
                    progress(if rest.is_empty() { moved } else { Moved { plain: 0, ..moved } });
                    moved.wire = 0;
                }
            }
            Received::End => break,
        }
    }
    flow.pulse().ending(Some(End::Receiver));
    incoming.finish().map_err(|error| receiver(flow, error))?;
    Ok(all)
}

/// The receiver ended before the stream did: what it says says more than "stopped reading".
fn stopped_reading<'a>(
    incoming: Box<dyn Incoming + 'a>,
    said: Option<HostError>,
    flow: &Stage<'_>,
) -> Stopped {
    flow.pulse().ending(Some(End::Receiver));
    let reason = incoming.finish().err();
    flow.pulse().ending(None);
    let closed =
        || HostError::Transport(TransportError::StdinClosed { peer: "the receiving machine".to_string() });
    receiver(flow, reason.or(said).unwrap_or_else(closed))
}
