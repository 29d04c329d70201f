//! What can be wrong with a stream. Offsets count bytes from the start of the stream to the record concerned.

use super::begin::Features;
use super::record::RecordType;
use crate::nvlist::NvError;

/// Why a stream is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// No BEGIN record where one must be.
    #[error("not a send stream: no BEGIN record at offset {offset} (magic number {magic:#x})")]
    NotAStream {
        /// Where the record begins.
        offset: u64,
        /// What stands in place of the magic number, read in little endian.
        magic: u64,
    },
    /// Neither a single stream nor a package.
    #[error("BEGIN at offset {offset}: unknown kind of stream ({found})")]
    Kind {
        /// Where the record begins.
        offset: u64,
        /// The two bits that tell the kind.
        found: u64,
    },
    /// A package, where only single streams are allowed.
    #[error(
        "BEGIN at offset {offset}: a package of several streams (zfs send -R, -I or -p) is not accepted here; \
         send one snapshot at a time"
    )]
    Compound {
        /// Where the record begins.
        offset: u64,
    },
    /// Features that are not allowed.
    #[error("BEGIN at offset {offset}: the stream needs features that are not accepted: {features}")]
    Features {
        /// Where the record begins.
        offset: u64,
        /// Those features.
        features: Features,
    },
    /// A record type that does not exist.
    #[error("unknown record type {found} at offset {offset}: the stream is damaged")]
    UnknownRecord {
        /// Where the record begins.
        offset: u64,
        /// The number found.
        found: u32,
    },
    /// A record where it cannot be.
    #[error("unexpected {record} at offset {offset}: the stream is damaged")]
    Unexpected {
        /// Where the record begins.
        offset: u64,
        /// Its type.
        record: RecordType,
    },
    /// More payload than a record can have.
    #[error("{record} at offset {offset}: {size} bytes of payload; at most {max} are accepted")]
    Payload {
        /// Where the record begins.
        offset: u64,
        /// Its type.
        record: RecordType,
        /// Bytes it announces.
        size: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// The payload of BEGIN is no list.
    #[error("BEGIN at offset {offset}: {error}")]
    BeginPayload {
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        error: NvError,
    },
    /// The running checksum in a header is not that of the bytes before it.
    #[error(
        "{record} at offset {offset}: the checksum does not fit; the stream was damaged before this record ends"
    )]
    Checksum {
        /// Where the record begins.
        offset: u64,
        /// Its type.
        record: RecordType,
        /// The checksum in the record.
        stated: [u64; 4],
        /// The checksum of the bytes that came.
        computed: [u64; 4],
    },
    /// END names another snapshot than BEGIN.
    #[error("END at offset {offset}: it belongs to the snapshot of guid {found}, the stream to {begun}")]
    ToGuid {
        /// Where the record begins.
        offset: u64,
        /// The GUID in END.
        found: u64,
        /// The GUID in BEGIN.
        begun: u64,
    },
    /// Bytes after the end.
    #[error("more bytes after the end of the stream at offset {offset}")]
    Trailing {
        /// Where the stream ends.
        offset: u64,
    },
    /// The stream ended before its END record.
    #[error("the stream ends at offset {offset} without an END record: it was cut short")]
    Truncated {
        /// Bytes that came.
        offset: u64,
    },
}
