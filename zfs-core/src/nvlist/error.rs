//! Bounds on what is decoded, and what can be wrong with an encoding.

use super::value::DataType;

/// Bounds on an encoded list, checked before memory is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole encoding.
    pub bytes: usize,
    /// Lists inside lists; a flat list has depth 1. The kernel itself stops at 20.
    pub depth: usize,
    /// Pairs in all lists of the encoding together.
    pub pairs: usize,
    /// Elements of one array.
    pub elements: usize,
}

impl Default for Limits {
    /// Enough for any answer of the kernel: 256 MiB, 20 levels, 4 million pairs, 16 million elements.
    fn default() -> Self {
        Self { bytes: 256 << 20, depth: 20, pairs: 4 << 20, elements: 16 << 20 }
    }
}

impl Limits {
    /// For small lists from outside (resume tokens, the head of a stream): 64 KiB, 4 levels, 1000 pairs,
    /// 8192 elements.
    pub const SMALL: Self = Self { bytes: 64 << 10, depth: 4, pairs: 1000, elements: 8192 };

    /// The same bounds with another number of bytes.
    #[must_use]
    pub const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

/// Why bytes are no list, or a list has no encoding. `offset` counts bytes from the start of the encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvError {
    /// The encoding ends in the middle of something.
    #[error("nvlist cut short: {wanted} more bytes wanted at offset {offset}, {left} left")]
    Truncated {
        /// Where reading stopped.
        offset: usize,
        /// Bytes that should follow.
        wanted: usize,
        /// Bytes that do follow.
        left: usize,
    },
    /// The first byte names no encoding known.
    #[error("not an nvlist: encoding {0} (0 is native, 1 is XDR)")]
    Encoding(u8),
    /// The second byte names no byte order.
    #[error("not an nvlist: byte order {0} (0 is big endian, 1 is little endian)")]
    ByteOrder(u8),
    /// A list of a version other than 0.
    #[error("nvlist of version {version} at offset {offset}; only version 0 is known")]
    Version {
        /// The version found.
        version: i32,
        /// Where it stands.
        offset: usize,
    },
    /// One of the [`Limits`] is exceeded.
    #[error("nvlist exceeds the limit of {limit} {what} at offset {offset}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// Where it was exceeded.
        offset: usize,
    },
    /// A data type unknown or of no use in an encoding.
    #[error("unknown nvlist data type {found} at offset {offset}")]
    Type {
        /// The number found.
        found: i32,
        /// Where the pair begins.
        offset: usize,
    },
    /// A single value with an element count other than one, or an array with a wrong count.
    #[error("{count} elements for {data_type:?} at offset {offset}")]
    Count {
        /// The pair's type.
        data_type: DataType,
        /// The count found.
        count: i64,
        /// Where the pair begins.
        offset: usize,
    },
    /// Sizes inside a pair contradict each other.
    #[error("malformed nvlist pair at offset {offset}: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where the pair begins.
        offset: usize,
    },
    /// One name twice in a list.
    #[error("name \"{name}\" occurs twice in an nvlist")]
    Duplicate {
        /// The name, escaped.
        name: String,
    },
    /// Bytes other than zero after the end of the list.
    #[error("{count} bytes follow the end of the nvlist at offset {offset}")]
    Trailing {
        /// Where the list ends.
        offset: usize,
        /// Bytes after it.
        count: usize,
    },
    /// Encoding: a name or a string holds a zero byte, which would cut it short in C.
    #[error("\"{text}\" holds a zero byte and has no place in an nvlist")]
    ZeroByte {
        /// The name or string, escaped.
        text: String,
    },
    /// Encoding: larger than the 31 bits a size has.
    #[error("nvlist too large to encode: {0} bytes")]
    TooLarge(usize),
    /// Encoding: more levels than the kernel reads.
    #[error("nvlist too deep to encode: more than {0} levels")]
    TooDeep(usize),
}
