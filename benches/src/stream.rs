//! A send stream to carry where there is no ZFS: right in layout and checksums, so that an agent lets it pass, with noise in
//! its blocks; of no use to a real receive. The layout is that of `dmu_replay_record_t`.

use std::io;
use std::io::Write;

use zfs_core::stream::ByteOrder;
use zfs_core::stream::Fletcher4;
use zfs_core::stream::RECORD_BYTES;
use zfs_core::stream::RecordType;

use crate::random::Random;

/// The GUID of its snapshot.
pub const GUID: u64 = 0xfeed_beef;

/// The name of its snapshot at the source.
const NAME: &[u8] = b"tank/stream@recorded";

/// `DMU_BACKUP_MAGIC`.
const MAGIC: u64 = 0x2_f5ba_cbac;

/// The data of one record: the largest block of a filesystem as it comes.
const BLOCK: usize = 128 << 10;

/// Where the running checksum stands in each header but the first.
const SUM_AT: usize = RECORD_BYTES - 32;

/// Writes a stream with as many whole blocks as `bytes` have room for, at least one. Returns how long it is.
///
/// # Errors
/// Where it cannot be written.
pub fn write(bytes: u64, seed: u64, to: &mut dyn Write) -> io::Result<u64> {
    let mut random = Random::new(seed);
    let mut stream = Stream { sum: Fletcher4::new(), length: 0, to };
    let mut begin = header(RecordType::Begin);
    put(&mut begin, 8, MAGIC);
    // One stream alone, without features.
    put(&mut begin, 16, 1);
    put(&mut begin, 24, 1_700_000_000);
    // A filesystem.
    put(&mut begin, 32, 2);
    put(&mut begin, 40, GUID);
    begin[56..56 + NAME.len()].copy_from_slice(NAME);
    stream.add(&begin, &[])?;
    let mut block = vec![0; BLOCK];
    for at in 0..(bytes / BLOCK as u64).max(1) {
        for word in block.as_chunks_mut::<8>().0 {
            *word = random.draw().to_le_bytes();
        }
        let mut write = header(RecordType::Write);
        // An object for each gigabyte.
        put(&mut write, 8, at / 8192 + 1);
        put(&mut write, 24, at % 8192 * BLOCK as u64);
        put(&mut write, 32, BLOCK as u64);
        put(&mut write, 40, GUID);
        stream.record(write, &block)?;
    }
    let mut end = header(RecordType::End);
    for (at, word) in stream.sum.words.into_iter().enumerate() {
        put(&mut end, 8 + at * 8, word);
    }
    put(&mut end, 40, GUID);
    stream.record(end, &[])?;
    Ok(stream.length)
}

type Header = [u8; RECORD_BYTES];

fn header(record: RecordType) -> Header {
    let mut header = [0; RECORD_BYTES];
    header[..4].copy_from_slice(&(record as u32).to_le_bytes());
    header
}

fn put(header: &mut Header, at: usize, value: u64) {
    header[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

struct Stream<'w> {
    sum: Fletcher4,
    length: u64,
    to: &'w mut dyn Write,
}

impl Stream<'_> {
    /// Fills in the checksum of all that came before it.
    fn record(&mut self, mut header: Header, payload: &[u8]) -> io::Result<()> {
        let mut sum = self.sum;
        sum.update(&header[..SUM_AT], ByteOrder::Little);
        for (at, word) in sum.words.into_iter().enumerate() {
            put(&mut header, SUM_AT + at * 8, word);
        }
        self.add(&header, payload)
    }

    fn add(&mut self, header: &Header, payload: &[u8]) -> io::Result<()> {
        for piece in [&header[..], payload] {
            // All of them are whole words long.
            self.sum.update(piece, ByteOrder::Little);
            self.to.write_all(piece)?;
            self.length += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zfs_core::stream::Policy;
    use zfs_core::stream::StreamChecker;

    use super::*;

    #[test]
    fn a_made_stream_is_sound_and_as_long_as_it_says() {
        let mut made = Vec::new();
        let length = write(1 << 20, 1, &mut made).expect("written");
        assert_eq!(length, made.len() as u64);
        let mut checker = StreamChecker::new(Policy::default());
        checker.push(&made).expect("sound");
        checker.finish().expect("whole");
        assert_eq!(checker.begin().expect("begun").to_guid.0, GUID);
        // One bit in a block, and it is none any more.
        let middle = made.len() / 2;
        made[middle] ^= 1;
        let mut checker = StreamChecker::new(Policy::default());
        assert!(checker.push(&made).is_err());
    }
}
