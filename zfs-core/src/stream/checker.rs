//! Walking the records of a stream that comes in pieces.

use super::begin::BeginRecord;
use super::begin::Features;
use super::error::StreamError;
use super::record::CHECKSUM_AT;
use super::record::Header;
use super::record::MAX_PAYLOAD;
use super::record::RECORD_BYTES;
use super::record::RecordType;
use super::stats::StreamStats;
use super::sum::RunningSum;
use crate::nvlist::Limits;
use crate::nvlist::NvList;

/// What a stream may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether packages of several streams pass (`zfs send -R`, `-I`, `-p`).
    pub allow_compound: bool,
    /// Most bytes after one header, other than BEGIN's.
    pub max_payload: u64,
    /// Most bytes after BEGIN. They are kept in memory and decoded.
    pub max_begin_payload: u64,
    /// Features a stream may need.
    pub allowed_features: Features,
}

impl Default for Policy {
    /// Single streams with any feature of today's OpenZFS, 16 MiB a record, 1 MiB of list after BEGIN.
    fn default() -> Self {
        Self {
            allow_compound: false,
            max_payload: MAX_PAYLOAD,
            max_begin_payload: 1 << 20,
            allowed_features: Features::RECEIVABLE,
        }
    }
}

/// Checks a stream as it passes. Its memory is bounded by the policy, whatever the stream holds.
///
/// After the first error every further call gives that error again.
#[derive(Debug)]
pub struct StreamChecker {
    policy: Policy,
    state: State,
    /// Bytes taken so far.
    offset: u64,
    /// Where the record at hand begins.
    record_at: u64,
    header: [u8; RECORD_BYTES],
    /// Bytes of `header` in use.
    filled: usize,
    /// None before the first BEGIN.
    sum: Option<RunningSum>,
    begin: Option<BeginRecord>,
    begin_bytes: Vec<u8>,
    begin_list: Option<NvList>,
    stats: StreamStats,
    /// Whether the outermost BEGIN was that of a package.
    compound: bool,
    error: Option<StreamError>,
}

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A BEGIN; inside a package also its END.
    Begin,
    /// A record inside a stream.
    Record,
    /// So many bytes of payload; of BEGIN's list if `begin`.
    Payload { left: u64, begin: bool },
    /// Nothing.
    Done,
}

impl StreamChecker {
    /// Expects a stream from its first byte.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Begin,
            offset: 0,
            record_at: 0,
            header: [0; RECORD_BYTES],
            filled: 0,
            sum: None,
            begin: None,
            begin_bytes: Vec::new(),
            begin_list: None,
            stats: StreamStats::default(),
            compound: false,
            error: None,
        }
    }

    /// Takes the next bytes of the stream, however they are cut.
    ///
    /// # Errors
    /// As soon as the stream is known to be damaged or not allowed. Bytes handed in before, and the part of
    /// `data` before that point, were fine up to the last checksum.
    pub fn push(&mut self, data: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let result = self.walk(data);
        if let Err(error) = &result {
            self.error = Some(error.clone());
        }
        result
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// If there was an error before, or the stream is not whole.
    pub fn finish(&self) -> Result<(), StreamError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None if self.is_complete() => Ok(()),
            None => Err(StreamError::Truncated { offset: self.offset }),
        }
    }

    /// Whether the final END was seen and its checksum fits.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done && self.error.is_none()
    }

    /// The newest BEGIN record; none before it is complete. In a package these are one for the package and one
    /// for each stream in it.
    pub fn begin(&self) -> Option<&BeginRecord> {
        self.begin.as_ref()
    }

    /// The list after that BEGIN, once it has passed.
    pub fn begin_list(&self) -> Option<&NvList> {
        self.begin_list.as_ref()
    }

    /// Counts of what has passed.
    pub fn stats(&self) -> &StreamStats {
        &self.stats
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the payload of the record at hand that are still to come; 0 where a header is next.
    pub fn payload_left(&self) -> u64 {
        match self.state {
            State::Payload { left, .. } => left,
            State::Begin | State::Record | State::Done => 0,
        }
    }

    /// Where the next record begins; while a header is incomplete, where that header ends.
    pub fn next_boundary(&self) -> u64 {
        match self.state {
            State::Payload { left, .. } => self.offset + left,
            State::Done => self.offset,
            State::Begin | State::Record => self.offset + (RECORD_BYTES - self.filled) as u64,
        }
    }

    fn walk(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let taken = match self.state {
                State::Done => return Err(StreamError::Trailing { offset: self.offset }),
                State::Payload { left, begin } => self.payload(data, left, begin)?,
                State::Begin | State::Record => self.header(data)?,
            };
            data = &data[taken..];
        }
        Ok(())
    }

    fn payload(&mut self, data: &[u8], left: u64, begin: bool) -> Result<usize, StreamError> {
        let taken = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
        let part = &data[..taken];
        if let Some(sum) = &mut self.sum {
            sum.add(part);
        }
        if begin {
            self.begin_bytes.extend_from_slice(part);
        }
        self.offset += taken as u64;
        let left = left - taken as u64;
        self.state = State::Payload { left, begin };
        if left == 0 {
            self.record_done(begin)?;
        }
        Ok(taken)
    }

    fn header(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        if self.filled == 0 {
            self.record_at = self.offset;
        }
        let taken = data.len().min(RECORD_BYTES - self.filled);
        self.header[self.filled..self.filled + taken].copy_from_slice(&data[..taken]);
        self.filled += taken;
        self.offset += taken as u64;
        if self.filled == RECORD_BYTES {
            self.filled = 0;
            self.complete_header()?;
        }
        Ok(taken)
    }

    fn complete_header(&mut self) -> Result<(), StreamError> {
        let bytes = self.header;
        let offset = self.record_at;
        if self.state == State::Begin {
            // Inside a package there is a byte order, and an END instead of a BEGIN ends the whole.
            let end = self.sum.map(|sum| Header { bytes: &bytes, order: sum.order });
            if let Some(end) = end.filter(|end| end.raw_type() == RecordType::End as u32) {
                return self.package_end(end);
            }
            return self.start(&bytes);
        }
        let Some(mut sum) = self.sum else { return Err(StreamError::NotAStream { offset, magic: 0 }) };
        let header = Header { bytes: &bytes, order: sum.order };
        let found = header.raw_type();
        let record = RecordType::from_raw(found).ok_or(StreamError::UnknownRecord { offset, found })?;
        if record == RecordType::Begin {
            return Err(StreamError::Unexpected { offset, record });
        }
        if record == RecordType::End {
            check_sum(offset, record, header.end_checksum(), sum.words())?;
        }
        sum.add(&bytes[..CHECKSUM_AT]);
        let stated = header.checksum();
        if stated == [0; 4] {
            self.stats.without_checksum += 1;
        } else {
            check_sum(offset, record, stated, sum.words())?;
        }
        sum.add(&bytes[CHECKSUM_AT..]);
        self.sum = Some(sum);

        let size = header.payload(record);
        if size > self.policy.max_payload {
            return Err(StreamError::Payload { offset, record, size, max: self.policy.max_payload });
        }
        self.stats.add(record, size);
        match record {
            RecordType::End => self.end(header),
            _ if size == 0 => Ok(()),
            _ => {
                self.state = State::Payload { left: size, begin: false };
                Ok(())
            }
        }
    }

    fn start(&mut self, bytes: &[u8; RECORD_BYTES]) -> Result<(), StreamError> {
        let offset = self.record_at;
        let begin = BeginRecord::parse_at(bytes, offset)?;
        let inside_package = self.compound;
        if begin.is_compound() {
            if inside_package {
                return Err(StreamError::Unexpected { offset, record: RecordType::Begin });
            }
            if !self.policy.allow_compound {
                return Err(StreamError::Compound { offset });
            }
            self.compound = true;
        }
        let refused = begin.features.without(self.policy.allowed_features);
        if !refused.is_empty() {
            return Err(StreamError::Features { offset, features: refused });
        }
        let (size, max) = (begin.payload, self.policy.max_begin_payload);
        if size > max {
            return Err(StreamError::Payload { offset, record: RecordType::Begin, size, max });
        }
        let mut sum = RunningSum::new(begin.order);
        sum.add(bytes);
        self.sum = Some(sum);
        self.stats.add(RecordType::Begin, size);
        self.begin = Some(begin);
        self.begin_list = None;
        self.begin_bytes = Vec::new();
        self.state = if size == 0 { State::Record } else { State::Payload { left: size, begin: true } };
        Ok(())
    }

    /// The payload of a record is complete.
    fn record_done(&mut self, begin: bool) -> Result<(), StreamError> {
        if let Some(sum) = &mut self.sum {
            sum.end();
        }
        if begin {
            let bytes = std::mem::take(&mut self.begin_bytes);
            let limits = Limits { depth: 8, ..Limits::default() }.with_bytes(bytes.len());
            let list = NvList::decode(&bytes, &limits);
            let offset = self.record_at;
            self.begin_list = Some(list.map_err(|error| StreamError::BeginPayload { offset, error })?);
        }
        self.state = State::Record;
        Ok(())
    }

    /// The END of a single stream, or of the head of a package.
    fn end(&mut self, header: Header<'_>) -> Result<(), StreamError> {
        let begin = self.begin.as_ref();
        let head_of_package = begin.is_some_and(BeginRecord::is_compound);
        let begun = begin.map_or(0, |begin| begin.to_guid.0);
        let found = header.end_to_guid();
        if !head_of_package && found != begun {
            return Err(StreamError::ToGuid { offset: self.record_at, found, begun });
        }
        self.state = if self.compound { State::Begin } else { State::Done };
        Ok(())
    }

    /// The END after the last stream of a package: all zero but for its type.
    fn package_end(&mut self, header: Header<'_>) -> Result<(), StreamError> {
        let record = RecordType::End;
        if header.end_checksum() != [0; 4] || header.end_to_guid() != 0 {
            return Err(StreamError::Unexpected { offset: self.record_at, record });
        }
        self.stats.add(record, 0);
        self.state = State::Done;
        Ok(())
    }
}

fn check_sum(
    offset: u64,
    record: RecordType,
    stated: [u64; 4],
    computed: [u64; 4],
) -> Result<(), StreamError> {
    if stated == computed { Ok(()) } else { Err(StreamError::Checksum { offset, record, stated, computed }) }
}
