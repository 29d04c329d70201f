//! zstd at the far end: what is sent is compressed before it goes on the wire, what comes in is decompressed before it
//! is checked. The memory of both is bounded, whatever comes in.

use std::io;

use bytes::Bytes;
use bytes::BytesMut;
use zstd::stream::raw::CParameter;
use zstd::stream::raw::DParameter;
use zstd::stream::raw::Decoder;
use zstd::stream::raw::Encoder;
use zstd::stream::raw::InBuffer;
use zstd::stream::raw::Operation;
use zstd::stream::raw::OutBuffer;

/// Fast enough for most lines; the far end does not know how fast the line is.
const LEVEL: i32 = 3;

/// The largest window that is accepted: 8 MiB, which the levels up to 19 keep to.
const WINDOW_LOG_MAX: u32 = 23;

/// How much comes out at a time.
const PIECE: usize = 256 * 1024;

/// Compresses one stream into one frame of zstd.
pub(super) struct Compress {
    encoder: Encoder<'static>,
}

impl Compress {
    pub(super) fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { encoder })
    }

    /// Takes a block and gives out what is ready. With a pause in the stream, what was taken in is brought out.
    pub(super) fn block<E: From<io::Error>>(
        &mut self,
        block: &[u8],
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = Vec::with_capacity(PIECE);
        let mut input = InBuffer::around(block);
        while input.pos() < block.len() {
            out.clear();
            self.encoder.run(&mut input, &mut OutBuffer::around(&mut out))?;
            give(&out)?;
        }
        Ok(())
    }

    /// Ends the frame.
    pub(super) fn finish<E: From<io::Error>>(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = Vec::with_capacity(PIECE);
        loop {
            out.clear();
            let left = self.encoder.finish(&mut OutBuffer::around(&mut out), true)?;
            give(&out)?;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// Decompresses one stream of one or more frames of zstd.
pub(super) struct Decompress {
    decoder: Decoder<'static>,
    whole: bool,
}

impl Decompress {
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { decoder, whole: false })
    }

    /// Takes a block and gives out what it holds, piece by piece.
    pub(super) fn block<E: From<io::Error>>(
        &mut self,
        block: &[u8],
        give: &mut dyn FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = InBuffer::around(block);
        loop {
            let mut out = Vec::with_capacity(PIECE);
            let hint = self.decoder.run(&mut input, &mut OutBuffer::around(&mut out))?;
            self.whole = hint == 0;
            let full = out.len() == out.capacity();
            if !out.is_empty() {
                give(BytesMut::from(&out[..]).freeze())?;
            }
            // A full piece may not have been all there was to give.
            if input.pos() == block.len() && (self.whole || !full) {
                return Ok(());
            }
        }
    }

    /// Whether what came ended where a frame ends.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
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

    fn decompress(packed: &[u8], piece: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut data = Vec::new();
        let mut decompress = Decompress::new()?;
        for block in packed.chunks(piece) {
            decompress.block(block, &mut |out| {
                assert!(!out.is_empty() && out.len() <= PIECE);
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
