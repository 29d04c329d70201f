//! Record headers: their types, the fields that matter on the way, and how much payload follows them.

use std::fmt;

use crate::fletcher::ByteOrder;

/// Bytes of every record header, `sizeof (dmu_replay_record_t)`.
pub const RECORD_BYTES: usize = 312;

/// Most bytes that can follow one header: the largest block ZFS has, `SPA_MAXBLOCKSIZE`.
pub const MAX_PAYLOAD: u64 = 16 << 20;

/// Where the running checksum stands in every header but BEGIN's: at its very end.
pub(super) const CHECKSUM_AT: usize = RECORD_BYTES - 32;

/// The types of records, `drr_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum RecordType {
    /// The head of a stream. Payload: a packed name-value list, or nothing.
    Begin = 0,
    /// A file or other object. Payload: its bonus buffer.
    Object = 1,
    /// A range of object numbers that are not in use.
    FreeObjects = 2,
    /// One block. Payload: its data.
    Write = 3,
    /// A hole in an object.
    Free = 4,
    /// The end of a stream, with its checksum.
    End = 5,
    /// A block equal to an earlier one; only in deduplicated streams, which OpenZFS 2.0 ended.
    WriteByref = 6,
    /// A block of attributes. Payload: its data.
    Spill = 7,
    /// A block stored in its pointer. Payload: its data.
    WriteEmbedded = 8,
    /// Encryption parameters of a range of objects; only in raw streams.
    ObjectRange = 9,
    /// A range of data left out; only in redacted streams.
    Redact = 10,
}

impl RecordType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Begin,
        Self::Object,
        Self::FreeObjects,
        Self::Write,
        Self::Free,
        Self::End,
        Self::WriteByref,
        Self::Spill,
        Self::WriteEmbedded,
        Self::ObjectRange,
        Self::Redact,
    ];

    pub(super) fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(raw).ok()?).copied()
    }
}

impl fmt::Display for RecordType {
    /// The name as `zstream dump` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Begin => "BEGIN",
            Self::Object => "OBJECT",
            Self::FreeObjects => "FREEOBJECTS",
            Self::Write => "WRITE",
            Self::Free => "FREE",
            Self::End => "END",
            Self::WriteByref => "WRITE_BYREF",
            Self::Spill => "SPILL",
            Self::WriteEmbedded => "WRITE_EMBEDDED",
            Self::ObjectRange => "OBJECT_RANGE",
            Self::Redact => "REDACT",
        })
    }
}

/// A header and the byte order to read it in. Offsets count from the start of the record.
#[derive(Clone, Copy)]
pub(super) struct Header<'a> {
    pub(super) bytes: &'a [u8; RECORD_BYTES],
    pub(super) order: ByteOrder,
}

impl Header<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        // Every offset is a constant below and lies inside the header; zeros stand in for a panic.
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        match self.order {
            ByteOrder::Little => u32::from_le_bytes(self.array(at)),
            ByteOrder::Big => u32::from_be_bytes(self.array(at)),
        }
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        match self.order {
            ByteOrder::Little => u64::from_le_bytes(self.array(at)),
            ByteOrder::Big => u64::from_be_bytes(self.array(at)),
        }
    }

    pub(super) fn words(&self, at: usize) -> [u64; 4] {
        [0, 8, 16, 24].map(|step| self.u64(at + step))
    }

    pub(super) fn raw_type(&self) -> u32 {
        self.u32(0)
    }

    /// `drr_payloadlen`, which means something in BEGIN only.
    pub(super) fn begin_payload(&self) -> u64 {
        u64::from(self.u32(4))
    }

    /// Bytes that follow the header of this type.
    pub(super) fn payload(&self, record: RecordType) -> u64 {
        match record {
            RecordType::Begin => self.begin_payload(),
            RecordType::Object => match self.u32(36) {
                0 => round_up_8(u64::from(self.u32(28))),
                raw_bonus => u64::from(raw_bonus),
            },
            RecordType::Write => match self.bytes[50] {
                0 => self.u64(32),
                _compression => self.u64(96),
            },
            RecordType::Spill => match self.u64(40) {
                0 => self.u64(16),
                compressed => compressed,
            },
            RecordType::WriteEmbedded => round_up_8(u64::from(self.u32(52))),
            RecordType::FreeObjects
            | RecordType::Free
            | RecordType::End
            | RecordType::WriteByref
            | RecordType::ObjectRange
            | RecordType::Redact => 0,
        }
    }

    /// END: the checksum of all that came before it.
    pub(super) fn end_checksum(&self) -> [u64; 4] {
        self.words(8)
    }

    /// END: the GUID of the snapshot that was sent.
    pub(super) fn end_to_guid(&self) -> u64 {
        self.u64(40)
    }

    /// All but BEGIN: the checksum of all that came before this field; zeros if the sender made none.
    pub(super) fn checksum(&self) -> [u64; 4] {
        self.words(CHECKSUM_AT)
    }
}

fn round_up_8(size: u64) -> u64 {
    size.div_ceil(8) * 8
}
