//! Bytes to put into datasets: like text, or without any order. The same for the same seed, and made faster than they
//! can be sent.

use std::io;
use std::io::Write;

/// Words of the made-up language.
const WORDS: usize = 4096;

/// What data is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Words, the frequent ones far more often than the rare ones: zstd makes about a third of it.
    Text,
    /// Nothing that compresses.
    Random,
}

/// Writes so many bytes.
///
/// # Errors
/// Where they cannot be written.
pub fn write(kind: Kind, bytes: u64, seed: u64, to: &mut dyn Write) -> io::Result<()> {
    let mut random = Random(seed | 1);
    let words = words(&mut random);
    let mut left = bytes;
    let mut block = Vec::with_capacity(1 << 16);
    while left > 0 {
        block.clear();
        while block.len() < 1 << 16 {
            match kind {
                Kind::Random => block.extend_from_slice(&random.next().to_le_bytes()),
                Kind::Text => {
                    block.extend_from_slice(&words[random.rank()]);
                    block.push(if random.next().is_multiple_of(11) { b'\n' } else { b' ' });
                }
            }
        }
        let now = left.min(block.len() as u64);
        to.write_all(&block[..now as usize])?;
        left -= now;
    }
    Ok(())
}

fn words(random: &mut Random) -> Vec<Vec<u8>> {
    let letter = |random: &mut Random| {
        b"etaoinshrdlucmfwypvbgkjqxz"[(random.next() % 26 * (random.next() % 26) / 26) as usize]
    };
    (0..WORDS).map(|_| (0..2 + random.next() % 9).map(|_| letter(random)).collect()).collect()
}

/// xorshift64*: good enough that nothing compresses it, and several bytes a nanosecond.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The rank of a word; each twice as high is half as likely, as in languages.
    fn rank(&mut self) -> usize {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((WORDS as f64).powf(uniform) as usize - 1).min(WORDS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(kind: Kind) -> f64 {
        let mut data = Vec::new();
        write(kind, 1 << 20, 7, &mut data).expect("written");
        assert_eq!(data.len(), 1 << 20);
        let mut again = Vec::new();
        write(kind, 1 << 20, 7, &mut again).expect("written");
        assert!(data == again, "the same seed");
        zstd::bulk::compress(&data, 3).expect("compressed").len() as f64 / data.len() as f64
    }

    #[test]
    fn text_compresses_like_text_and_noise_does_not() {
        let text = packed(Kind::Text);
        assert!((0.2..0.5).contains(&text), "{text}");
        assert!(packed(Kind::Random) > 0.99);
    }
}
