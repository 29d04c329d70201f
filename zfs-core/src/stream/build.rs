//! Making streams for tests and benchmarks: right in layout and checksums, of no use to a real receive. Needs the
//! feature `test-support`.

use super::begin::Features;
use super::begin::MAGIC;
use super::record::CHECKSUM_AT;
use super::record::RECORD_BYTES;
use super::record::RecordType;
use super::sum::RunningSum;
use crate::fletcher::ByteOrder;

/// Builds a stream record by record.
#[derive(Debug, Clone)]
pub struct StreamBuilder {
    out: Vec<u8>,
    sum: RunningSum,
    to_guid: u64,
    objset_type: u32,
}

/// What to put into BEGIN.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields of BeginRecord")]
pub struct Begin {
    pub compound: bool,
    pub features: Features,
    pub creation_time: u64,
    pub to_guid: u64,
    pub from_guid: u64,
    pub to_name: String,
    /// The packed list that follows, or nothing.
    pub payload: Vec<u8>,
}

impl Default for Begin {
    /// A full stream of `tank/a@b` without features.
    fn default() -> Self {
        Self {
            compound: false,
            features: Features::default(),
            creation_time: 1_700_000_000,
            to_guid: 0xfeed_beef,
            from_guid: 0,
            to_name: "tank/a@b".into(),
            payload: Vec::new(),
        }
    }
}

impl StreamBuilder {
    /// An empty stream.
    pub fn new(order: ByteOrder) -> Self {
        Self { out: Vec::new(), sum: RunningSum::new(order), to_guid: 0, objset_type: 2 }
    }

    /// Makes the streams that begin after this those of a volume.
    #[must_use]
    pub fn of_volume(self) -> Self {
        Self { objset_type: 3, ..self }
    }

    /// Adds a BEGIN record; the checksum starts anew.
    #[must_use]
    pub fn begin(mut self, begin: &Begin) -> Self {
        self.sum = RunningSum::new(self.sum.order);
        self.to_guid = begin.to_guid;
        let mut header = self.header(RecordType::Begin);
        self.u32(&mut header, 4, begin.payload.len() as u32);
        self.u64(&mut header, 8, MAGIC);
        self.u64(&mut header, 16, begin.features.0 << 2 | if begin.compound { 2 } else { 1 });
        self.u64(&mut header, 24, begin.creation_time);
        self.u32(&mut header, 32, self.objset_type);
        self.u64(&mut header, 40, begin.to_guid);
        self.u64(&mut header, 48, begin.from_guid);
        let name = &begin.to_name.as_bytes()[..begin.to_name.len().min(255)];
        header[56..56 + name.len()].copy_from_slice(name);
        self.put(&header, &begin.payload)
    }

    /// Adds an OBJECT with a bonus buffer.
    #[must_use]
    pub fn object(self, object: u64, bonus: &[u8]) -> Self {
        let mut header = self.header(RecordType::Object);
        self.u64(&mut header, 8, object);
        self.u32(&mut header, 28, bonus.len() as u32);
        self.u64(&mut header, 40, self.to_guid);
        let mut payload = bonus.to_vec();
        payload.resize(bonus.len().next_multiple_of(8), 0);
        self.record(header, &payload)
    }

    /// Adds a WRITE of a block as it is.
    #[must_use]
    pub fn write(self, object: u64, offset: u64, block: &[u8]) -> Self {
        let mut header = self.header(RecordType::Write);
        self.u64(&mut header, 8, object);
        self.u64(&mut header, 24, offset);
        self.u64(&mut header, 32, block.len() as u64);
        self.u64(&mut header, 40, self.to_guid);
        self.record(header, block)
    }

    /// Adds a WRITE of a compressed block.
    #[must_use]
    pub fn write_compressed(self, object: u64, offset: u64, logical: u64, data: &[u8]) -> Self {
        let mut header = self.header(RecordType::Write);
        self.u64(&mut header, 8, object);
        self.u64(&mut header, 24, offset);
        self.u64(&mut header, 32, logical);
        self.u64(&mut header, 40, self.to_guid);
        header[50] = 15;
        self.u64(&mut header, 96, data.len() as u64);
        self.record(header, data)
    }

    /// Adds a WRITE_EMBEDDED.
    #[must_use]
    pub fn write_embedded(self, object: u64, data: &[u8]) -> Self {
        let mut header = self.header(RecordType::WriteEmbedded);
        self.u64(&mut header, 8, object);
        self.u32(&mut header, 52, data.len() as u32);
        let mut payload = data.to_vec();
        payload.resize(data.len().next_multiple_of(8), 0);
        self.record(header, &payload)
    }

    /// Adds a SPILL.
    #[must_use]
    pub fn spill(self, object: u64, data: &[u8]) -> Self {
        let mut header = self.header(RecordType::Spill);
        self.u64(&mut header, 8, object);
        self.u64(&mut header, 16, data.len() as u64);
        self.record(header, data)
    }

    /// Adds a record without payload: FREE, FREEOBJECTS, OBJECT_RANGE or REDACT.
    #[must_use]
    pub fn bare(self, record: RecordType, first: u64, count: u64) -> Self {
        let mut header = self.header(record);
        self.u64(&mut header, 8, first);
        self.u64(&mut header, 16, count);
        self.record(header, &[])
    }

    /// Adds the END of a stream.
    #[must_use]
    pub fn end(self) -> Self {
        let mut header = self.header(RecordType::End);
        for (at, word) in self.sum.words().into_iter().enumerate() {
            self.u64(&mut header, 8 + at * 8, word);
        }
        self.u64(&mut header, 40, self.to_guid);
        self.record(header, &[])
    }

    /// Adds the END of a package.
    #[must_use]
    pub fn package_end(mut self) -> Self {
        let header = self.header(RecordType::End);
        self.out.extend_from_slice(&header);
        self
    }

    /// The bytes of the stream.
    pub fn build(self) -> Vec<u8> {
        self.out
    }

    fn header(&self, record: RecordType) -> [u8; RECORD_BYTES] {
        let mut header = [0; RECORD_BYTES];
        self.u32(&mut header, 0, record as u32);
        header
    }

    fn u32(&self, header: &mut [u8; RECORD_BYTES], at: usize, value: u32) {
        header[at..at + 4].copy_from_slice(&match self.sum.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        });
    }

    fn u64(&self, header: &mut [u8; RECORD_BYTES], at: usize, value: u64) {
        header[at..at + 8].copy_from_slice(&match self.sum.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        });
    }

    /// Fills in the running checksum and adds the record.
    fn record(mut self, mut header: [u8; RECORD_BYTES], payload: &[u8]) -> Self {
        let before = self.sum;
        self.sum.add(&header[..CHECKSUM_AT]);
        for (at, word) in self.sum.words().into_iter().enumerate() {
            self.u64(&mut header, CHECKSUM_AT + at * 8, word);
        }
        self.sum = before;
        self.put(&header, payload)
    }

    fn put(mut self, header: &[u8; RECORD_BYTES], payload: &[u8]) -> Self {
        self.sum.add(header);
        self.sum.add(payload);
        self.sum.end();
        self.out.extend_from_slice(header);
        self.out.extend_from_slice(payload);
        self
    }
}
