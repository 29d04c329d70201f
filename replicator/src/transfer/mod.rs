//! One stream from a host that sends to a host that receives: read, check the records as they pass, compress or
//! decompress, write; a thread a stage, and bounded queues between them whose blocks come out of one budget of memory
//! for the whole run. What is sent is decided elsewhere ([`crate::plan`]), and what to do after a failure, too
//! ([`retry`] says only what kind of failure it is).

use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::thread::Builder;
use std::thread::Scope;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use zfs_core::Guid;

use crate::cancel::Cancel;
use crate::host::HostError;
use crate::host::Incoming;
use crate::transport::quote::pipes::Codec;

pub mod budget;
mod check;
pub(crate) mod compress;
mod flow;
mod head;
pub mod limit;
mod program;
pub mod retry;
mod stages;
mod stall;
mod worth_it;

pub use budget::Budget;
use budget::Lane;
pub use check::StreamError;
use check::Watch;
pub use compress::MAX_WORKERS;
use flow::Flow;
use flow::Item;
use flow::Place;
use flow::Stage;
use flow::Stopped;
pub use head::Head;
pub use limit::Limiter;
pub use stall::End;
pub use stall::Patience;
pub use worth_it::Decision;
pub use worth_it::SAMPLE;
pub use worth_it::decide;

/// The largest block on its way.
pub const BLOCK: usize = 1 << 20;

/// How many blocks may wait between two stages, where the budget allows as many.
pub const QUEUE: usize = 128;

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
    /// Nothing moved for too long.
    #[error("no byte moved for {} s; {end} was waited for", .still.as_secs())]
    Stalled {
        /// The side that should have done something.
        end: End,
        /// How long it did nothing.
        still: Duration,
    },
    /// What compresses failed on this machine.
    #[error("cannot compress or decompress: {cause}")]
    Compression {
        /// What it said.
        cause: String,
    },
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
            Self::Stream(StreamError::Truncated(_)) => Some(
                "the connection broke before the last of it was here; run the same command again, and it goes on from there"
                    .to_string(),
            ),
            Self::Stream(_) => Some(
                "run the same command again; if it says the same, check both machines' memory and disks"
                    .to_string(),
            ),
            Self::Stalled { end, .. } => Some(format!(
                "see what {end} does (`zpool status`, `zpool events`); what arrived is kept, and the same command goes on from there"
            )),
            _ => None,
        }
    }

    fn of(error: HostError, side: fn(HostError) -> Self) -> Self {
        if error.is_cancelled() { Self::Cancelled } else { side(error) }
    }
}

/// How the bytes of a stream look where they go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As ZFS made them.
    #[default]
    Plain,
    /// Compressed, by the codec of the settings.
    Packed,
}

/// Which side is far away: there bytes are counted as bytes on the wire, and the limit of the rate holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// The one that sends.
    In,
    /// The one that receives; or both, or neither.
    #[default]
    Out,
}

/// Whether a stream is compressed on its way to a target that can decompress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Never.
    Off,
    /// Always.
    On,
    /// When the beginning of the stream shows that it is worth it.
    #[default]
    Auto,
}

/// What the transfers of a run have in common. Clones share the budget and the limit.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory for blocks on their way.
    pub budget: Budget,
    /// Bytes per second on the wire.
    pub limiter: Limiter,
    /// When a transfer counts as stalled.
    pub patience: Patience,
    /// Whether to compress; looked at by [`Head`].
    pub compression: Compression,
    /// What compresses.
    pub codec: Codec,
    /// Threads of each transfer that compress with zstd, up to [`MAX_WORKERS`]. Each takes up to 10 MiB out of the budget.
    pub workers: NonZeroU32,
    /// Set when a transfer stalls, so that an end that hangs in a call gets out of it: the
    /// [breakers](crate::host::Host::breaker) of the two hosts. Without them, such a call is waited for.
    pub ends: Vec<Cancel>,
}

impl Default for Settings {
    /// Everything bounded, nothing limited, and two threads that compress, or one where there is one processor.
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            limiter: Limiter::none(),
            patience: Patience::default(),
            compression: Compression::default(),
            codec: Codec::ZSTD,
            workers: compress::default_workers(),
            ends: Vec::new(),
        }
    }
}

/// Bytes that were handed to the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Of the stream as ZFS made it.
    pub plain: u64,
    /// On the wire.
    pub wire: u64,
}

/// Moves one stream. The target gets it as `leaves` says, which should be what [`Head::decision`] advised.
/// `progress` is called with what each piece stands for that the receiver took.
///
/// Whatever happens, both ends are dropped and all threads have ended when this returns. Only a stream that came
/// whole is ended towards the receiver; in all other cases it keeps what came, to be resumed.
///
/// # Errors
/// The error of the side that failed first; when the receiver stopped reading, its reason.
#[allow(clippy::too_many_arguments, reason = "each is another concern, and none has a default that is right")]
pub fn transfer<'a>(
    source: Head<'a>,
    target: Box<dyn Incoming + 'a>,
    leaves: Coding,
    wire: Wire,
    expected: Expected,
    settings: &Settings,
    cancel: &Cancel,
    progress: &(dyn Fn(Moved) + Sync),
) -> Result<Moved, TransferError> {
    let flow = Flow::new(cancel, &settings.ends, settings.patience);
    let written = std::thread::scope(|scope| {
        let moved = run(scope, source, target, leaves, wire, expected, settings, progress, &flow);
        moved.map_err(|error| flow.end_all(error))
    });
    match (written, flow.into_error()) {
        (Ok(Ok(moved)), _) => Ok(moved),
        (_, Some(error)) => Err(error),
        // Every stage that stops says why, or panicked, which was passed on.
        (_, None) => Err(TransferError::Cancelled),
    }
}

/// Starts the stages and waits for all of them.
#[allow(clippy::too_many_arguments, reason = "those of `transfer`, and what its threads share")]
fn run<'s, 'e: 's, 'a: 's>(
    scope: &'s Scope<'s, 'e>,
    source: Head<'a>,
    target: Box<dyn Incoming + 'a>,
    leaves: Coding,
    wire: Wire,
    expected: Expected,
    settings: &'e Settings,
    progress: &(dyn Fn(Moved) + Sync),
    flow: &'e Flow<'e>,
) -> Result<Result<Moved, Stopped>, TransferError> {
    let unlimited = Limiter::none();
    let (limit_in, limit_out) = match wire {
        Wire::In => (settings.limiter.clone(), unlimited),
        Wire::Out => (unlimited, settings.limiter.clone()),
    };
    let mut stages = Vec::with_capacity(6);
    // Counted before the first thread starts: the watching thread ends with the last stage.
    let here = flow.stage(Place::Write);
    let account = source.account.clone();
    let mut aside = Vec::new();
    let watch = Watch::new(expected);
    let (to, mut from) = crossbeam_channel::bounded(QUEUE);
    let (reading, decompressing) = match source.arrives {
        Coding::Plain => (Some(watch), None),
        Coding::Packed => (None, Some(watch)),
    };
    stages.push(start(scope, Place::Read, flow, move |stage| {
        stages::read(source, &to, reading, &limit_in, stage)
    })?);
    let codec = settings.codec;
    match decompressing {
        Some(watch) if !codec.is_zstd() => {
            let lane = account.lane();
            from = through(scope, Place::Decompress, &codec, Some(watch), from, lane, flow, &mut stages)?;
        }
        Some(watch) => {
            aside.push(account.set_aside(compress::DECOMPRESSOR_MEMORY));
            let lane = account.lane();
            let (to, next) = crossbeam_channel::bounded(QUEUE);
            let from = std::mem::replace(&mut from, next);
            stages.push(start(scope, Place::Decompress, flow, move |stage| {
                stages::decompress(&from, &to, &lane, watch, stage)
            })?);
        }
        None => {}
    }
    if leaves == Coding::Packed && !codec.is_zstd() {
        let lane = account.lane();
        from = through(scope, Place::Compress, &codec, None, from, lane, flow, &mut stages)?;
    } else if leaves == Coding::Packed {
        let workers = settings.workers.get().min(MAX_WORKERS);
        aside.push(account.set_aside(compress::compressor_memory(workers)));
        let lane = account.lane();
        let (to, next) = crossbeam_channel::bounded(QUEUE);
        let from = std::mem::replace(&mut from, next);
        stages.push(start(scope, Place::Compress, flow, move |stage| {
            stages::compress(&from, &to, &lane, workers, stage)
        })?);
    }
    let watching = Builder::new().name("watch-stream".to_string()).spawn_scoped(scope, move || flow.watch());
    let watching = watching.map_err(TransferError::Thread)?;
    let written = stages::write(target, &from, &limit_out, wire == Wire::Out, progress, &here);
    // From here on nobody takes a block, and each stage before ends.
    drop(from);
    drop(here);
    for stage in stages {
        // What it says is in the flow.
        let _ = stage.join().unwrap_or_else(|panic| resume_unwind(panic));
    }
    watching.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(written)
}

type Handles<'s> = Vec<ScopedJoinHandle<'s, Result<(), Stopped>>>;

/// Starts a program that compresses or decompresses, with a thread that feeds it and one that takes what it makes.
#[allow(clippy::too_many_arguments, reason = "what the two threads need")]
fn through<'s, 'e: 's>(
    scope: &'s Scope<'s, 'e>,
    place: Place,
    codec: &Codec,
    watch: Option<Watch>,
    from: Receiver<Item>,
    lane: Lane,
    flow: &'e Flow<'e>,
    stages: &mut Handles<'s>,
) -> Result<Receiver<Item>, TransferError> {
    let arguments = if place == Place::Compress { codec.pack } else { codec.unpack };
    let started = program::start(codec.program, arguments);
    let (feed, made) = started.map_err(|error| TransferError::Compression {
        cause: format!("{} cannot be started: {error}", codec.program),
    })?;
    let (to, next) = crossbeam_channel::bounded(QUEUE);
    stages.push(start(scope, place, flow, move |stage| program::feed(&from, feed, stage))?);
    stages.push(start(scope, place, flow, move |stage| program::take(made, &to, &lane, watch, stage))?);
    Ok(next)
}

fn start<'s, 'e: 's>(
    scope: &'s Scope<'s, 'e>,
    place: Place,
    flow: &'e Flow<'e>,
    work: impl FnOnce(&Stage<'e>) -> Result<(), Stopped> + Send + 's,
) -> Result<ScopedJoinHandle<'s, Result<(), Stopped>>, TransferError> {
    let name = match place {
        Place::Read => "read-stream",
        Place::Decompress => "decompress",
        Place::Compress => "compress",
        Place::Write => "write-stream",
    };
    let stage = flow.stage(place);
    let thread = Builder::new().name(name.to_string()).spawn_scoped(scope, move || work(&stage));
    thread.map_err(TransferError::Thread)
}

#[cfg(test)]
mod tests;
