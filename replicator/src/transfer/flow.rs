//! What the stages of one transfer share: the blocks that go from one to the next, and the reason why they stop.
//! The first failure is the one that is told. It ends its own stage and those before it; the stages after it still
//! bring to the receiver what came before the failure, because the receiver keeps it. A wish to stop ends all of them.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::SendTimeoutError;
use crossbeam_channel::Sender;

use super::BLOCK;
use super::TransferError;
use super::budget::Permit;
use super::stall::Patience;
use super::stall::Pulse;
use crate::cancel::Cancel;
use crate::cancel::TICK;

/// How often an end is looked after while nothing is asked of it.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A block on its way, and what it stands for.
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// Bytes of the stream that it carries, compressed or not.
    pub(super) plain: u64,
    /// Bytes that came over the wire for it.
    pub(super) came: u64,
    /// Its room, given back with it.
    pub(super) _permit: Permit,
}

impl Piece {
    /// The block as it came. A block that is much smaller than its memory gets memory of its own size.
    pub(super) fn new(bytes: Bytes, plain: u64, came: u64, mut permit: Permit) -> Self {
        if bytes.len() > BLOCK / 2 {
            return Self { bytes, plain, came, _permit: permit };
        }
        permit.shrink(bytes.len());
        Self { bytes: Bytes::copy_from_slice(&bytes), plain, came, _permit: permit }
    }
}

/// What goes from one stage to the next.
pub(super) enum Item {
    Piece(Piece),
    /// All of it came, and who sent it says that all is well. A channel that closes without it was cut.
    End,
}

/// What a stage gets from the one before.
pub(super) enum Received {
    Piece(Piece),
    /// For a [`TICK`].
    Nothing,
    End,
    /// The stage before failed, and nothing more will come.
    Cut,
}

/// The transfer is over; the reason is in the [`Flow`].
#[derive(Debug)]
pub(super) struct Stopped;

/// The stages in the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Read = 1,
    Decompress = 2,
    Compress = 3,
    Write = 4,
}

/// All stages.
const ALL: usize = usize::MAX;

/// What the stages of one transfer share.
pub(super) struct Flow<'t> {
    pub(super) pulse: Pulse,
    cancel: &'t Cancel,
    ends: &'t [Cancel],
    /// The stages up to this one stop.
    over: AtomicUsize,
    first: Mutex<Option<TransferError>>,
    stages: Mutex<usize>,
    stage_ended: Condvar,
}

impl<'t> Flow<'t> {
    pub(super) fn new(cancel: &'t Cancel, ends: &'t [Cancel], patience: Patience) -> Self {
        Self {
            pulse: Pulse::new(patience),
            cancel,
            ends,
            over: AtomicUsize::new(0),
            first: Mutex::new(None),
            stages: Mutex::new(0),
            stage_ended: Condvar::new(),
        }
    }

    /// Notes why the transfer is over, unless it is over already, and stops the stages up to `place`.
    fn end(&self, error: TransferError, place: usize) -> Stopped {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.over.fetch_max(place, Ordering::AcqRel);
        Stopped
    }

    /// Stops all stages.
    pub(super) fn end_all(&self, error: TransferError) -> Stopped {
        self.end(error, ALL)
    }

    pub(super) fn into_error(self) -> Option<TransferError> {
        self.first.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held by each stage while it runs, on its own thread.
    pub(super) fn stage(&self, place: Place) -> Stage<'_> {
        *self.stages() += 1;
        Stage { flow: self, place }
    }

    fn stages(&self) -> MutexGuard<'_, usize> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether anything moves, until the last stage has ended. After a failure too: a stage may hang in a call to
    /// its end, and only `ends` gets it out of there.
    pub(super) fn watch(&self) {
        let mut stages = self.stages();
        while *stages > 0 {
            stages = self.stage_ended.wait_timeout(stages, TICK).unwrap_or_else(PoisonError::into_inner).0;
            if let Some((end, still)) = self.pulse.stalled(Instant::now()) {
                self.end_all(TransferError::Stalled { end, still });
                self.ends.iter().for_each(Cancel::cancel);
            }
        }
    }
}

/// A stage that runs.
pub(super) struct Stage<'f> {
    flow: &'f Flow<'f>,
    place: Place,
}

impl Stage<'_> {
    pub(super) fn pulse(&self) -> &Pulse {
        &self.flow.pulse
    }

    /// Notes why the transfer is over, and stops the stages up to this one.
    pub(super) fn fail(&self, error: TransferError) -> Stopped {
        let place = if matches!(error, TransferError::Cancelled) { ALL } else { self.place as usize };
        self.flow.end(error, place)
    }

    /// Whether to go on.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.flow.over.load(Ordering::Acquire) >= self.place as usize {
            Err(Stopped)
        } else if self.flow.cancel.is_cancelled() {
            Err(self.fail(TransferError::Cancelled))
        } else {
            Ok(())
        }
    }

    /// Hands an item on; while there is no room, `waiting` is called each [`TICK`]. True when it had to wait.
    pub(super) fn send(
        &self,
        to: &Sender<Item>,
        item: Item,
        waiting: &mut dyn FnMut() -> Result<(), Stopped>,
    ) -> Result<bool, Stopped> {
        self.check()?;
        let waits = to.is_full();
        let mut item = item;
        loop {
            match to.send_timeout(item, TICK) {
                Ok(()) => return Ok(waits),
                Err(SendTimeoutError::Disconnected(_)) => return Err(Stopped),
                Err(SendTimeoutError::Timeout(back)) => item = back,
            }
            self.check()?;
            waiting()?;
        }
    }

    /// What the stage before has to say.
    pub(super) fn receive(&self, from: &Receiver<Item>) -> Result<Received, Stopped> {
        self.check()?;
        Ok(match from.recv_timeout(TICK) {
            Ok(Item::Piece(piece)) => Received::Piece(piece),
            Ok(Item::End) => Received::End,
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::Cut,
        })
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic is the reason; it is told by whoever joins this thread.
            self.flow.over.store(ALL, Ordering::Release);
        }
        *self.flow.stages() -= 1;
        self.flow.stage_ended.notify_all();
    }
}

/// Says when it is time again to look after an end.
pub(super) struct LookAfter {
    last: Instant,
}

impl LookAfter {
    pub(super) fn new() -> Self {
        Self { last: Instant::now() }
    }

    pub(super) fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= LOOK_AFTER;
        if due {
            self.last = Instant::now();
        }
        due
    }
}
