//! zstd on the wire, at this end of it and at an agent's: what compresses, with a level that follows whether the
//! processor or the link is slower, and what decompresses, in memory that what comes in has no say in. Both take any
//! input and never give more than there is room for; the stages that carry the blocks are in [`super::stages`].

use std::num::NonZeroU32;

use zstd::stream::raw::CParameter;
use zstd::stream::raw::DParameter;
use zstd::stream::raw::Decoder;
use zstd::stream::raw::Encoder;
use zstd::stream::raw::InBuffer;
use zstd::stream::raw::Operation;
use zstd::stream::raw::OutBuffer;

/// Where the level starts, and between what it stays.
pub(crate) const START_LEVEL: i32 = 3;
const LEVELS: std::ops::RangeInclusive<i32> = 1..=12;

/// The window of what we compress: 2 MiB. It cannot change within a frame, and a larger one saves little on records.
const WINDOW_LOG: u32 = 21;

/// The largest window that is accepted: 8 MiB, which is what the levels up to 19 of the command `zstd` ask for.
const WINDOW_LOG_MAX: u32 = 23;

/// What one worker takes at a time. The default, four windows, would be 8 MiB for each worker and as much again.
const JOB: u32 = 1 << 20;

/// The tables of the higher levels are held to this, or one worker would take 48 MiB.
const TABLE_LOG: u32 = 20;
const TABLE_LOG_FROM_LEVEL: i32 = 9;

/// Memory of a decompressor: its window and what it holds back.
pub(super) const DECOMPRESSOR_MEMORY: u64 = (1 << WINDOW_LOG_MAX) + (1 << 20);

/// The most workers that one transfer can have.
pub const MAX_WORKERS: u32 = 16;

/// Memory of a compressor with so many workers: window, a job's input and output for each, and tables.
pub(super) fn compressor_memory(workers: u32) -> u64 {
    let workers = u64::from(workers);
    (1 << WINDOW_LOG) + (workers + 2) * 2 * u64::from(JOB) + workers * 2 * 4 * (1 << TABLE_LOG)
}

/// Two threads that compress, or one where there is one processor.
pub(crate) fn default_workers() -> NonZeroU32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if processors > 1 { const { NonZeroU32::new(2).unwrap() } } else { NonZeroU32::MIN }
}

/// Takes plain bytes.
pub(crate) struct Compressor {
    encoder: Encoder<'static>,
    /// Something went in that was not flushed out.
    pending: bool,
}

impl Compressor {
    pub(crate) fn new(workers: u32) -> std::io::Result<Self> {
        let mut encoder = Encoder::new(START_LEVEL)?;
        // Never 0: without a worker thread the level could not change within a frame.
        encoder.set_parameter(CParameter::NbWorkers(workers.clamp(1, MAX_WORKERS)))?;
        encoder.set_parameter(CParameter::JobSize(JOB))?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { encoder, pending: false })
    }

    /// From the next job on.
    pub(crate) fn set_level(&mut self, level: i32) -> std::io::Result<()> {
        let level = level.clamp(*LEVELS.start(), *LEVELS.end());
        // 0 is what the level itself says.
        let log = if level >= TABLE_LOG_FROM_LEVEL { TABLE_LOG } else { 0 };
        self.encoder.set_parameter(CParameter::CompressionLevel(level))?;
        self.encoder.set_parameter(CParameter::HashLog(log))?;
        self.encoder.set_parameter(CParameter::ChainLog(log))
    }

    /// Takes some of the input and appends to `out` up to its capacity. True when there is more to do with this input.
    pub(crate) fn step(&mut self, input: &mut InBuffer<'_>, out: &mut Vec<u8>) -> std::io::Result<bool> {
        self.pending = true;
        append(out, |out| self.encoder.run(input, out))?;
        Ok(input.pos() < input.src.len())
    }

    /// Brings out what was taken in. True when there is more to bring out.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        self.pending = append(out, |out| self.encoder.flush(out))? > 0;
        Ok(self.pending)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Ends the frame. True when there is more to bring out.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        Ok(append(out, |out| self.encoder.finish(out, true))? > 0)
    }
}

pub(super) fn append(
    out: &mut Vec<u8>,
    work: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> std::io::Result<usize>,
) -> std::io::Result<usize> {
    let at = out.len();
    work(&mut OutBuffer::around_pos(out, at))
}

/// Takes what a [`Compressor`] or the command `zstd` made: one frame or several.
pub(crate) struct Decompressor {
    decoder: Decoder<'static>,
    /// A frame ended, and no byte came after it.
    whole: bool,
}

impl Decompressor {
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { decoder, whole: false })
    }

    /// Takes some of the input and appends to `out` up to its capacity. True when there is more to do with this input.
    pub(crate) fn step(&mut self, input: &mut InBuffer<'_>, out: &mut Vec<u8>) -> std::io::Result<bool> {
        let hint = append(out, |out| self.decoder.run(input, out))?;
        self.whole = hint == 0;
        Ok(input.pos() < input.src.len() || (!self.whole && out.len() == out.capacity()))
    }

    /// Whether what came ended where a frame ends.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// What a transfer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slower {
    /// What was compressed waits to be taken.
    Link,
    /// There is something to compress, and nothing waits to be taken.
    Processor,
    /// Neither, or who sends is slower than both.
    Neither,
}

/// A level that goes up while the link is slower and down while the processor is.
#[derive(Debug)]
pub(crate) struct Level {
    level: i32,
    plain: u64,
    compressed: u64,
    link: u64,
    processor: u64,
}

/// How many plain bytes are looked at before the level may change.
pub(crate) const ROUND: u64 = 8 << 20;

impl Level {
    pub(crate) fn new() -> Self {
        Self { level: START_LEVEL, plain: 0, compressed: 0, link: 0, processor: 0 }
    }

    #[cfg(test)]
    pub(crate) fn level(&self) -> i32 {
        self.level
    }

    /// So many plain bytes became so many, while this was slower. The new level, when it changes.
    pub(crate) fn saw(&mut self, plain: u64, compressed: u64, slower: Slower) -> Option<i32> {
        self.plain += plain;
        self.compressed += compressed;
        match slower {
            Slower::Link => self.link += plain,
            Slower::Processor => self.processor += plain,
            Slower::Neither => {}
        }
        if self.plain < ROUND {
            return None;
        }
        let level = if self.compressed.saturating_mul(50) > self.plain.saturating_mul(49) {
            // It does not get smaller: no level is worth its time.
            *LEVELS.start()
        } else if self.link > self.plain / 4 * 3 {
            self.level + 1
        } else if self.processor > self.plain / 4 * 3 {
            self.level - 1
        } else {
            self.level
        };
        let level = level.clamp(*LEVELS.start(), *LEVELS.end());
        let before = self.level;
        *self = Self { level, ..Self::new() };
        (level != before).then_some(level)
    }
}

#[cfg(test)]
pub(crate) mod tests;
