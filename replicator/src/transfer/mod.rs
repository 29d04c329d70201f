//! One stream from a host that sends to a host that receives: a thread reads and checks the records as they pass,
//! another writes, and a bounded queue of blocks lies between. What is sent is decided elsewhere ([`crate::plan`]).

use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use zfs_core::Guid;

use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Next;
use crate::host::Outgoing;
use crate::transport::TransportError;

mod check;

pub use check::StreamError;
use check::Watch;

/// The size of a block on its way.
pub const BLOCK: usize = 1 << 20;

/// How many blocks may wait between the two threads. With the block in each hand this bounds the memory of a
/// transfer to 18 MiB.
pub const IN_FLIGHT: usize = 16;

/// How long a full queue is left alone before it is looked at again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// The GUIDs that the stream must have, as the plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Of the snapshot that is sent.
    pub to: Guid,
    /// Of the incremental source; `None` for a full stream.
    pub from: Option<Guid>,
    /// Whether the stream shall be raw.
    pub raw: bool,
}

/// Why a transfer ended early. What the target kept of it can be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The sending side failed.
    #[error(transparent)]
    Sender(HostError),
    /// The receiving side failed.
    #[error(transparent)]
    Receiver(HostError),
    /// The stream is not what was to be sent, or is damaged.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl TransferError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sender(error) | Self::Receiver(error) => error.hint(),
            Self::Stream(_) => Some(
                "run the same command again; if it says the same, check both machines' memory and disks"
                    .to_string(),
            ),
            _ => None,
        }
    }

    fn of(error: HostError, side: fn(HostError) -> Self) -> Self {
        if error.is_cancelled() { Self::Cancelled } else { side(error) }
    }
}

/// Moves one stream. `progress` is called with the length of each block that was handed to the receiver.
///
/// # Errors
/// The error of the side that failed first; when the receiver stopped reading, its reason.
pub fn transfer<'a>(
    outgoing: Box<dyn Outgoing + 'a>,
    mut incoming: Box<dyn Incoming + 'a>,
    expected: Expected,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, TransferError> {
    let (blocks, arriving) = mpsc::sync_channel::<Bytes>(IN_FLIGHT);
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("read-stream".to_string())
            // `blocks` goes with the thread: the writer knows by its end that no more will come.
            .spawn_scoped(scope, move || read(outgoing, &blocks, expected, cancel))
            .map_err(TransferError::Thread)?;
        let written = write(incoming.as_mut(), &arriving, cancel, progress);
        // From here on the reader finds nobody to hand a block to, and ends.
        drop(arriving);
        let bytes = match written {
            Ok(bytes) => bytes,
            // The receiver ended before the stream did: what it says says more than "stopped reading".
            Err(stopped @ HostError::Transport(TransportError::StdinClosed { .. })) => {
                return Err(TransferError::Receiver(incoming.finish().err().unwrap_or(stopped)));
            }
            Err(error) => return Err(TransferError::of(error, TransferError::Receiver)),
        };
        // A stream that is not whole must not be ended politely: dropping the receiver keeps the part that came.
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        incoming.finish().map_err(|error| TransferError::of(error, TransferError::Receiver))?;
        Ok(bytes)
    })
}

/// Reads to the end and checks each record, until nobody takes the blocks any more.
fn read<'a>(
    mut outgoing: Box<dyn Outgoing + 'a>,
    blocks: &SyncSender<Bytes>,
    expected: Expected,
    cancel: &Cancel,
) -> Result<(), TransferError> {
    let sender = |error| TransferError::of(error, TransferError::Sender);
    let mut watch = Watch::new(expected);
    loop {
        if cancel.is_cancelled() {
            return Err(TransferError::Cancelled);
        }
        match outgoing.next(BLOCK).map_err(sender)? {
            Next::End => break,
            // An empty block asks whether the writer is still there.
            Next::Nothing => {
                if let Err(TrySendError::Disconnected(_)) = blocks.try_send(Bytes::new()) {
                    return Err(TransferError::Cancelled);
                }
            }
            Next::Block(block) => {
                watch.pass(&block)?;
                if !hand_over(blocks, block, outgoing.as_mut())? {
                    return Err(TransferError::Cancelled);
                }
            }
        }
    }
    // The sender's own error says more than "the stream ended early".
    outgoing.finish().map_err(sender)?;
    watch.finish()?;
    Ok(())
}

/// Puts a block into the queue, keeping the sender's connection alive while the queue is full. False when there is
/// no writer any more.
fn hand_over(
    blocks: &SyncSender<Bytes>,
    mut block: Bytes,
    outgoing: &mut dyn Outgoing,
) -> Result<bool, TransferError> {
    let mut looked_after = Instant::now();
    loop {
        match blocks.try_send(block) {
            Ok(()) => return Ok(true),
            Err(TrySendError::Disconnected(_)) => return Ok(false),
            Err(TrySendError::Full(back)) => block = back,
        }
        std::thread::sleep(FULL_QUEUE_PAUSE);
        if looked_after.elapsed() > Duration::from_secs(1) {
            looked_after = Instant::now();
            outgoing.idle().map_err(|error| TransferError::of(error, TransferError::Sender))?;
        }
    }
}

fn write(
    incoming: &mut (dyn Incoming + '_),
    blocks: &mpsc::Receiver<Bytes>,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, HostError> {
    let mut bytes = 0u64;
    loop {
        if cancel.is_cancelled() {
            return Err(HostError::Cancelled);
        }
        match blocks.recv_timeout(TICK) {
            Ok(block) if block.is_empty() => {}
            Ok(block) => {
                incoming.write(&block)?;
                bytes += block.len() as u64;
                progress(block.len() as u64);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(bytes),
        }
        if incoming.idle()? {
            // It ended by itself: writing to it would say so too, but there may be nothing to write for long.
            return Err(HostError::Transport(TransportError::StdinClosed {
                peer: "the receiving machine".to_string(),
            }));
        }
    }
}

#[cfg(test)]
mod tests;
