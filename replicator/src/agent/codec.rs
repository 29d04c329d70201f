//! zstd at the far end, with what the near one has for it ([`crate::transfer::compress`]): what is sent is compressed
//! before it goes on the wire, with a level that follows what is slower, and what comes in is decompressed before it is
//! checked. The memory of both is bounded, whatever comes in.

use std::io;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use zstd::stream::raw::InBuffer;

use crate::transfer::compress::Compressor;
use crate::transfer::compress::Decompressor;
use crate::transfer::compress::Level;
use crate::transfer::compress::ROUND;
use crate::transfer::compress::Slower;
use crate::transfer::compress::default_workers;

/// How much comes out of compression at a time: as much as a block that goes in, or what is ready would wait in zstd.
const PACKED: usize = 1 << 20;

/// How much comes out of decompression at a time.
const PIECE: usize = 256 * 1024;

/// The time since a moment that stays the same.
type Clock = Box<dyn FnMut() -> Duration>;

/// Compresses one stream into one frame of zstd. One thread reads, gives to zstd's own threads and writes: what it spends
/// the most time with is what the stream waits for.
pub(super) struct Compress {
    compressor: Compressor,
    level: Level,
    out: Vec<u8>,
    clock: Clock,
    /// Until when all time is counted.
    counted: Duration,
    /// Of this round: a line takes what fits into its windows at once, and then nothing for long. Only the sum tells.
    spent: Spent,
    plain: u64,
    packed: u64,
}

/// Where the time of a round went.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    reading: Duration,
    packing: Duration,
    giving: Duration,
}

impl Spent {
    fn slower(self) -> Slower {
        if self.giving > self.packing.max(self.reading) {
            Slower::Link
        } else if self.packing > self.reading {
            Slower::Processor
        } else {
            Slower::Neither
        }
    }
}

impl Compress {
    pub(super) fn new() -> io::Result<Self> {
        let start = Instant::now();
        Self::with_clock(Box::new(move || start.elapsed()))
    }

    fn with_clock(mut clock: Clock) -> io::Result<Self> {
        let counted = clock();
        Ok(Self {
            compressor: Compressor::new(default_workers().get())?,
            level: Level::new(),
            out: Vec::with_capacity(PACKED),
            clock,
            counted,
            spent: Spent::default(),
            plain: 0,
            packed: 0,
        })
    }

    /// Time since the last call.
    fn lap(&mut self) -> Duration {
        let now = (self.clock)();
        let lap = now.saturating_sub(self.counted);
        self.counted = now;
        lap
    }

    /// Takes a block and gives out what is ready. The time since the last call counts as the sender's.
    pub(super) fn block<E: From<io::Error>>(
        &mut self,
        block: &[u8],
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let lap = self.lap();
        self.spent.reading += lap;
        self.plain += block.len() as u64;
        let mut input = InBuffer::around(block);
        let mut more = true;
        while more {
            more = self.compressor.step(&mut input, &mut self.out)?;
            if self.out.len() == self.out.capacity() {
                self.hand_on(give)?;
            }
        }
        let lap = self.lap();
        self.spent.packing += lap;
        Ok(())
    }

    /// The sender pauses: what was taken in is brought out.
    pub(super) fn pause<E: From<io::Error>>(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let lap = self.lap();
        self.spent.reading += lap;
        while self.compressor.is_pending() {
            self.compressor.flush(&mut self.out)?;
            self.hand_on(give)?;
        }
        if self.out.is_empty() { Ok(()) } else { self.hand_on(give) }
    }

    /// Ends the frame.
    pub(super) fn finish<E: From<io::Error>>(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.compressor.finish(&mut self.out)? {
            self.hand_on(give)?;
        }
        self.hand_on(give)
    }

    fn hand_on<E: From<io::Error>>(&mut self, give: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let lap = self.lap();
        self.spent.packing += lap;
        give(&self.out)?;
        let lap = self.lap();
        self.spent.giving += lap;
        self.packed += self.out.len() as u64;
        self.out.clear();
        if self.plain < ROUND {
            return Ok(());
        }
        let (plain, packed) = (std::mem::take(&mut self.plain), std::mem::take(&mut self.packed));
        let slower = std::mem::take(&mut self.spent).slower();
        if let Some(level) = self.level.saw(plain, packed, slower) {
            self.compressor.set_level(level)?;
        }
        Ok(())
    }
}

/// Decompresses one stream of one or more frames of zstd.
pub(super) struct Decompress {
    decompressor: Decompressor,
}

impl Decompress {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()? })
    }

    /// Takes a block and gives out what it holds, piece by piece.
    pub(super) fn block<E: From<io::Error>>(
        &mut self,
        block: &[u8],
        give: &mut dyn FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = InBuffer::around(block);
        let mut more = true;
        while more {
            let mut out = Vec::with_capacity(PIECE);
            more = self.decompressor.step(&mut input, &mut out)?;
            if !out.is_empty() {
                give(Bytes::copy_from_slice(&out))?;
            }
        }
        Ok(())
    }

    /// Whether what came ended where a frame ends.
    pub(super) fn is_whole(&self) -> bool {
        self.decompressor.is_whole()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(data: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut give = |out: &[u8]| {
            packed.extend_from_slice(out);
            Ok::<(), io::Error>(())
        };
        let mut compress = Compress::new().expect("zstd");
        for block in data.chunks(100_000) {
            compress.block(block, &mut give).expect("compressed");
        }
        compress.finish(&mut give).expect("ended");
        packed
    }

    /// Compresses blocks on a clock that runs only while a piece is given away, or only elsewhere. The levels after each.
    fn levels(blocks: &[&[u8]], link: bool) -> Vec<i32> {
        let giving = std::rc::Rc::new(std::cell::Cell::new(false));
        let (in_give, mut time) = (giving.clone(), Duration::ZERO);
        let clock = move || {
            // Each look at the clock is a second later, while this is the time that counts.
            if in_give.take() == link {
                time += Duration::from_secs(1);
            }
            time
        };
        let mut compress = Compress::with_clock(Box::new(clock)).expect("zstd");
        let mut give = |_: &[u8]| {
            giving.set(true);
            Ok::<(), io::Error>(())
        };
        let mut level_after = |block: &&[u8]| {
            compress.block(block, &mut give).expect("compressed");
            compress.level.level()
        };
        blocks.iter().map(&mut level_after).collect()
    }

    #[test]
    fn the_level_follows_the_link_and_the_processor() {
        let start = crate::transfer::compress::START_LEVEL;
        // All of it differs, or it would be found again and hardly anything would come out.
        let letters: Vec<u8> = crate::transfer::compress::tests::noise(30 << 20)
            .into_iter()
            .map(|byte| b'a' + byte % 16)
            .collect();
        let blocks: Vec<&[u8]> = letters.chunks(1 << 20).collect();
        let slow = levels(&blocks, true);
        assert!(slow.last() > Some(&start) && !slow.contains(&(start - 1)), "{slow:?}");
        let busy = levels(&blocks, false);
        assert!(busy.last() < Some(&start) && !busy.contains(&(start + 1)), "{busy:?}");
    }

    #[test]
    fn a_pause_brings_out_what_was_taken_in() {
        let mut compress = Compress::new().expect("zstd");
        let mut packed = Vec::new();
        let mut give = |out: &[u8]| {
            packed.extend_from_slice(out);
            Ok::<(), io::Error>(())
        };
        compress.block(b"a few bytes", &mut give).expect("compressed");
        compress.pause(&mut give).expect("brought out");
        let (data, whole) = decompress(&packed, 1000).expect("so far");
        assert_eq!((data.as_slice(), whole), (&b"a few bytes"[..], false));
    }

    fn decompress(packed: &[u8], piece: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut data = Vec::new();
        let mut decompress = Decompress::new()?;
        for block in packed.chunks(piece) {
            decompress.block(block, &mut |out| {
                assert!(!out.is_empty() && out.len() <= PIECE, "{}", out.len());
                data.extend_from_slice(&out);
                Ok::<(), io::Error>(())
            })?;
        }
        Ok((data, decompress.is_whole()))
    }

    #[test]
    fn what_goes_in_comes_out_in_bounded_pieces() {
        let data: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = compress(&data);
        assert!(packed.len() < data.len() / 2);
        for piece in [1000, 99_999, packed.len()] {
            let (found, whole) = decompress(&packed, piece).expect("zstd");
            assert!(whole && found == data);
        }
        let (_, whole) = decompress(&packed[..packed.len() - 1], 1000).expect("so far");
        assert!(!whole, "a cut stream is not whole");
        assert!(decompress(b"this is no frame of zstd at all", 7).is_err());
        // Two frames are one stream.
        let twice = [packed.clone(), packed].concat();
        assert_eq!(decompress(&twice, 5000).expect("zstd").0.len(), 2 * data.len());
    }
}
