//! The blocks of a volume, read from a send stream: no device is needed, which a snapshot of a volume has only where
//! `snapdev` makes it visible. The stream is plain (not raw, not compressed), so that the blocks are what a reader of
//! the device would see, however each side stores them.

use std::collections::BTreeMap;

use sha2::Digest;
use sha2::Sha256;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::Policy;
use zfs_core::stream::RECORD_BYTES;
use zfs_core::stream::RecordType;
use zfs_core::stream::StreamChecker;

use super::content::SEGMENT;
use super::content::SEGMENTS_LIMIT;
use super::content::Sum;

/// The object of a volume that holds its data.
const DATA: u64 = 1;

/// Bytes of a segment.
const SEGMENT_BYTES: usize = SEGMENT as usize;

/// Where fields of a WRITE record stand.
const OBJECT_AT: usize = 8;
const OFFSET_AT: usize = 24;
const COMPRESSION_AT: usize = 50;

/// `dmu_objset_type_t` of a volume.
const VOLUME: u32 = 3;

/// Sums the segments of a volume up as its stream passes.
pub struct Blocks {
    checker: StreamChecker,
    header: Vec<u8>,
    /// Where the payload at hand belongs, if it is data of the volume.
    write_at: Option<u64>,
    segments: BTreeMap<u64, Sum>,
    /// The segment at hand, and its bytes.
    open: Option<u64>,
    buffer: Vec<u8>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            checker: StreamChecker::new(Policy::default()),
            header: Vec::with_capacity(RECORD_BYTES),
            write_at: None,
            segments: BTreeMap::new(),
            open: None,
            buffer: vec![0; SEGMENT_BYTES],
        }
    }
}

impl Blocks {
    /// Takes a piece of the stream.
    ///
    /// # Errors
    /// When it is damaged, or is not a plain stream of a volume.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let left = self.checker.payload_left();
            let room = if left > 0 {
                usize::try_from(left).unwrap_or(usize::MAX)
            } else {
                RECORD_BYTES - self.header.len()
            };
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.checker.push(now).map_err(|error| error.to_string())?;
            if left > 0 {
                self.payload(now)?;
            } else {
                self.header.extend_from_slice(now);
                if self.header.len() == RECORD_BYTES {
                    self.record()?;
                    self.header.clear();
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Looks at a whole header, which the checker has accepted.
    fn record(&mut self) -> Result<(), String> {
        self.write_at = None;
        let Some(begin) = self.checker.begin() else { return Ok(()) };
        if begin.objset_type != VOLUME || begin.is_compound() || begin.is_raw() || begin.from_guid.is_some() {
            return Err("this is not a full, plain stream of a volume".to_string());
        }
        let order = begin.order;
        if self.u32(0, order) == RecordType::WriteEmbedded as u32 {
            return Err("a block stands in its pointer, which was not asked for".to_string());
        }
        if self.u32(0, order) != RecordType::Write as u32 || self.u64(OBJECT_AT, order) != DATA {
            return Ok(());
        }
        if self.header[COMPRESSION_AT] != 0 {
            return Err("a block is compressed, which was not asked for".to_string());
        }
        self.write_at = Some(self.u64(OFFSET_AT, order));
        Ok(())
    }

    fn payload(&mut self, mut data: &[u8]) -> Result<(), String> {
        let Some(mut at) = self.write_at else { return Ok(()) };
        while !data.is_empty() {
            self.turn_to(at / SEGMENT)?;
            // Less than a segment, so it fits into any integer.
            let inside = (at % SEGMENT) as usize;
            let (now, rest) = data.split_at(data.len().min(SEGMENT_BYTES - inside));
            self.buffer[inside..inside + now.len()].copy_from_slice(now);
            at = at.checked_add(now.len() as u64).ok_or("a block beyond the end of all volumes")?;
            data = rest;
        }
        self.write_at = Some(at);
        Ok(())
    }

    fn turn_to(&mut self, segment: u64) -> Result<(), String> {
        if self.open == Some(segment) {
            return Ok(());
        }
        self.close();
        if self.segments.len() >= SEGMENTS_LIMIT {
            return Err("the volume has more than 64 TiB of data".to_string());
        }
        // Streams have their blocks in order; a segment that is opened twice would be summed up by halves.
        if self.segments.last_key_value().is_some_and(|(last, _)| *last >= segment) {
            return Err("its blocks are not in order".to_string());
        }
        self.open = Some(segment);
        Ok(())
    }

    fn close(&mut self) {
        let Some(segment) = self.open.take() else { return };
        // Zeros that were written are what a hole reads as.
        if self.buffer.iter().any(|byte| *byte != 0) {
            self.segments.insert(segment, Sha256::digest(&self.buffer).into());
            self.buffer.fill(0);
        }
    }

    /// The sums.
    ///
    /// # Errors
    /// When the stream is not whole.
    pub fn finish(mut self) -> Result<BTreeMap<u64, Sum>, String> {
        self.checker.finish().map_err(|error| error.to_string())?;
        self.close();
        Ok(self.segments)
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.header.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u32(&self, at: usize, order: ByteOrder) -> u32 {
        match order {
            ByteOrder::Little => u32::from_le_bytes(self.bytes(at)),
            ByteOrder::Big => u32::from_be_bytes(self.bytes(at)),
        }
    }

    fn u64(&self, at: usize, order: ByteOrder) -> u64 {
        match order {
            ByteOrder::Little => u64::from_le_bytes(self.bytes(at)),
            ByteOrder::Big => u64::from_be_bytes(self.bytes(at)),
        }
    }
}
