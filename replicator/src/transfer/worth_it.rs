//! Whether a stream is worth compressing: its beginning is compressed, and what that saves is looked at. Datasets
//! that are compressed or encrypted on disk are sent as they are, and do not get much smaller.

use bytes::Bytes;
use zstd::stream::raw::Encoder;
use zstd::stream::raw::InBuffer;
use zstd::stream::raw::Operation;

use super::compress::append;

/// How much of the beginning of a stream is compressed to see whether that is worth it.
pub const SAMPLE: usize = 4 << 20;

/// Whether a stream is compressed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is.
    Compress,
    /// It is not: nobody asked for it.
    Off,
    /// It is not: a raw stream of an encrypted dataset does not get smaller.
    Raw,
    /// It is not: of the beginning, so many bytes became so many.
    NotWorthIt {
        /// Bytes of the beginning.
        plain: u64,
        /// Bytes after compression.
        compressed: u64,
    },
}

impl Decision {
    /// Whether the wire carries zstd.
    #[must_use]
    pub fn compresses(self) -> bool {
        self == Self::Compress
    }
}

/// Compresses up to [`SAMPLE`] bytes at the lowest level and looks whether that saves a tenth at least. Nothing at
/// all is worth it: an empty stream costs nothing either way.
#[must_use]
pub fn decide(sample: &[Bytes]) -> Decision {
    // A failure of the trial is found again, with its reason, by the compression itself.
    let Ok((plain, compressed)) = trial(sample) else { return Decision::Compress };
    if compressed.saturating_mul(10) <= plain.saturating_mul(9) || plain == 0 {
        Decision::Compress
    } else {
        Decision::NotWorthIt { plain, compressed }
    }
}

fn trial(sample: &[Bytes]) -> std::io::Result<(u64, u64)> {
    let mut encoder = Encoder::new(1)?;
    let mut out = Vec::with_capacity(128 << 10);
    let (mut plain, mut compressed) = (0usize, 0);
    for block in sample {
        let block = &block[..block.len().min(SAMPLE - plain)];
        plain += block.len();
        let mut input = InBuffer::around(block);
        while input.pos() < block.len() {
            append(&mut out, |out| encoder.run(&mut input, out))?;
            compressed += out.len() as u64;
            out.clear();
        }
    }
    while append(&mut out, |out| encoder.finish(out, true))? > 0 {
        compressed += out.len() as u64;
        out.clear();
    }
    Ok((plain as u64, compressed + out.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::compress::tests::noise;

    fn blocks(data: &[u8]) -> Vec<Bytes> {
        data.chunks(100_000).map(Bytes::copy_from_slice).collect()
    }

    #[test]
    fn text_is_worth_it_and_noise_is_not() {
        let text = "a record of some text, again and again; ".repeat(100_000);
        assert_eq!(decide(&blocks(text.as_bytes())), Decision::Compress);
        let noise = noise(3 << 20);
        assert!(matches!(
            decide(&blocks(&noise)),
            Decision::NotWorthIt { plain, compressed } if plain == 3 << 20 && compressed > plain / 10 * 9
        ));
        assert_eq!(decide(&[]), Decision::Compress);
    }

    #[test]
    fn no_more_than_the_sample_is_looked_at() {
        let mut data = noise(SAMPLE);
        data.resize(SAMPLE * 3, 0);
        assert!(
            matches!(decide(&blocks(&data)), Decision::NotWorthIt { plain, .. } if plain == SAMPLE as u64)
        );
    }

    #[test]
    fn a_tenth_is_where_it_begins() {
        for (zeroes, worth) in [(5, false), (15, true)] {
            let mut data = noise(1 << 20);
            let length = data.len();
            data[..length / 100 * zeroes].fill(0);
            assert_eq!(decide(&blocks(&data)).compresses(), worth, "{zeroes} %");
        }
    }
}
