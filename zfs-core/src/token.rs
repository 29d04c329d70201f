//! Resume tokens: where an interrupted receive stands, as the property `receive_resume_token` of the receiving
//! dataset tells it (zfsprops(7), `zfs send -t` in zfs-send(8)). Reading and writing them, with limits.
//!
//! A token comes from the receiving side and is no secret and no proof: whoever makes it can name any snapshot
//! and leave out that the stream was raw (openzfs #14153). So it is read here, compared with what is to be sent,
//! and never handed on as it came.
//!
//! The form is `1-<checksum>-<size>-<data>`, all hexadecimal: data is a zlib stream of a native [`NvList`] of
//! that size, the checksum the first word of Fletcher-4 over the whole 32-bit words of the zlib stream.

use std::fmt;
use std::io::Read;
use std::io::Write;
use std::str::FromStr;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::Guid;
use crate::fletcher::ByteOrder;
use crate::fletcher::Fletcher4;
use crate::name::NameError;
use crate::name::SnapshotName;
use crate::name::escape;
use crate::nvlist;
use crate::nvlist::NvError;
use crate::nvlist::NvList;
use crate::nvlist::Value;

/// The only version there is.
const VERSION: &str = "1";

/// The words of a token, read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumeToken {
    /// The snapshot that was sent, by its name on the sending side as the receiving side has it.
    pub to_name: SnapshotName,
    /// The GUID of that snapshot. Look it up by this, not by the name.
    pub to_guid: Guid,
    /// The GUID of the snapshot or bookmark the stream started from; none for a full stream.
    pub from_guid: Option<Guid>,
    /// The object at which to go on.
    pub object: u64,
    /// The offset in that object in bytes.
    pub offset: u64,
    /// Bytes of the stream received before.
    pub bytes: u64,
    /// The stream has blocks above 128 KiB (`zfs send -L`).
    pub large_blocks: bool,
    /// The stream has embedded blocks (`zfs send -e`).
    pub embedded: bool,
    /// The stream has compressed blocks (`zfs send -c`).
    pub compressed: bool,
    /// The stream is raw (`zfs send -w`).
    pub raw: bool,
    /// GUIDs of the snapshots this stream is redacted for (`zfs send --redact`).
    pub redact_snaps: Option<Vec<u64>>,
    /// GUIDs of the snapshots the bookmark it starts from was redacted for (`book_redact_snaps`).
    pub from_redact_snaps: Option<Vec<u64>>,
    /// Names in the token that this version does not know, escaped. What they ask for would be lost in a resume.
    pub unknown: Vec<String>,
}

/// Bounds on a token, checked before memory is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of the token.
    pub text: usize,
    /// Bytes of the list in it, uncompressed.
    pub packed: usize,
}

impl Default for Limits {
    /// 128 KiB of text, 64 KiB of list. Real tokens are a few hundred characters long.
    fn default() -> Self {
        Self { text: 128 << 10, packed: 64 << 10 }
    }
}

/// Why a text is no resume token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than the limit.
    #[error("resume token of {length} characters; at most {max} are read")]
    TooLong {
        /// Characters in the text.
        length: usize,
        /// Characters allowed.
        max: usize,
    },
    /// Not four fields joined by `-`.
    #[error("not a resume token: the form is 1-checksum-size-data")]
    Form,
    /// A version other than 1.
    #[error("resume token of version \"{0}\"; only version 1 is known")]
    Version(String),
    /// A character that is no hexadecimal digit, or half a byte.
    #[error("resume token: the {field} is not hexadecimal")]
    Hex {
        /// The field in which it stands.
        field: &'static str,
    },
    /// The data are not those the checksum was made for.
    #[error("resume token: checksum {stated:x} does not fit the data; was the token copied in full?")]
    Checksum {
        /// The checksum in the token.
        stated: u64,
    },
    /// The list in it is larger than the limit.
    #[error("resume token: {size} bytes of content; at most {max} are read")]
    TooLarge {
        /// The size in the token.
        size: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// The data cannot be uncompressed, or not to the size stated.
    #[error("resume token: the data do not uncompress to the {size} bytes stated")]
    Compression {
        /// The size in the token.
        size: u64,
    },
    /// The content is no list.
    #[error("resume token: {0}")]
    List(#[from] NvError),
    /// A value that every token has is missing or of another type.
    #[error("resume token: \"{0}\" is missing or of the wrong type")]
    Field(&'static str),
    /// The name in it is no snapshot name.
    #[error("resume token: {0}")]
    Name(#[from] NameError),
}

impl ResumeToken {
    /// Reads a token.
    ///
    /// # Errors
    /// If the text is no token or exceeds `limits`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, TokenError> {
        if text.len() > limits.text {
            return Err(TokenError::TooLong { length: text.len(), max: limits.text });
        }
        let mut fields = text.trim_ascii().splitn(4, '-');
        let mut field = || fields.next().ok_or(TokenError::Form);
        let (version, checksum, size, data) = (field()?, field()?, field()?, field()?);
        if version != VERSION {
            return Err(TokenError::Version(escape(
                version.as_bytes().get(..16).unwrap_or(version.as_bytes()),
            )));
        }
        let stated = number(checksum, "checksum")?;
        let size = number(size, "size")?;
        let compressed = unhex(data)?;
        if ![ByteOrder::Little, ByteOrder::Big].iter().any(|order| first_word(&compressed, *order) == stated)
        {
            return Err(TokenError::Checksum { stated });
        }
        let packed = uncompress(&compressed, size, limits.packed)?;
        Self::from_list(&NvList::decode(&packed, &nvlist::Limits::SMALL.with_bytes(limits.packed))?)
    }

    fn from_list(list: &NvList) -> Result<Self, TokenError> {
        let number = |name| list.u64(name).ok_or(TokenError::Field(name));
        let guids = |name| match list.get(name) {
            None => Ok(None),
            Some(Value::UInt64Array(guids)) => Ok(Some(guids.clone())),
            Some(_) => Err(TokenError::Field(name)),
        };
        let from_guid = match list.get("fromguid") {
            None => None,
            Some(Value::UInt64(guid)) => Some(Guid(*guid)),
            Some(_) => return Err(TokenError::Field("fromguid")),
        };
        let unknown = list.iter().map(|(name, _)| name).filter(|name| !KNOWN.contains(name));
        Ok(Self {
            to_name: SnapshotName::try_from(list.str("toname").ok_or(TokenError::Field("toname"))?)?,
            to_guid: Guid(number("toguid")?),
            from_guid,
            object: number("object")?,
            offset: number("offset")?,
            bytes: number("bytes")?,
            large_blocks: list.flag("largeblockok"),
            embedded: list.flag("embedok"),
            compressed: list.flag("compressok"),
            raw: list.flag("rawok"),
            redact_snaps: guids("redact_snaps")?,
            from_redact_snaps: guids("book_redact_snaps")?,
            unknown: unknown.map(escape).collect(),
        })
    }

    /// Writes a token that reads as this one. Unknown names are not kept.
    ///
    /// The kernel takes no tokens; they are for `zfs send -t` and for tests.
    pub fn encode(&self) -> String {
        let mut list = NvList::new();
        if let Some(guid) = self.from_guid {
            list.insert("fromguid", guid.0);
        }
        list.insert("object", self.object);
        list.insert("offset", self.offset);
        list.insert("bytes", self.bytes);
        list.insert("toguid", self.to_guid.0);
        list.insert("toname", self.to_name.as_str());
        let flags = [self.large_blocks, self.embedded, self.compressed, self.raw];
        for (name, _) in FLAGS.iter().zip(flags).filter(|(_, set)| *set) {
            list.insert(name, Value::Boolean);
        }
        let arrays = [("redact_snaps", &self.redact_snaps), ("book_redact_snaps", &self.from_redact_snaps)];
        for (name, guids) in arrays {
            if let Some(guids) = guids {
                list.insert(name, guids.as_slice());
            }
        }
        // A name without zero bytes and one level deep always has an encoding, and a vector takes every write.
        let packed = list.encode_native().unwrap_or_default();
        wrap(&packed)
    }
}

/// Makes a token around an encoded list, right in form and checksum whatever the bytes are. Public for tests and
/// fuzzing with the feature `test-support`.
#[cfg(feature = "test-support")]
pub fn wrap_packed(packed: &[u8]) -> String {
    wrap(packed)
}

fn wrap(packed: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(packed).and_then(|()| encoder.finish()).unwrap_or_default();
    let native = if cfg!(target_endian = "little") { ByteOrder::Little } else { ByteOrder::Big };
    let mut text = format!("{VERSION}-{:x}-{:x}-", first_word(&compressed, native), packed.len());
    for byte in compressed {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

const FLAGS: [&str; 4] = ["largeblockok", "embedok", "compressok", "rawok"];
const KNOWN: [&[u8]; 12] = [
    b"fromguid",
    b"object",
    b"offset",
    b"bytes",
    b"toguid",
    b"toname",
    b"largeblockok",
    b"embedok",
    b"compressok",
    b"rawok",
    b"redact_snaps",
    b"book_redact_snaps",
];

fn first_word(data: &[u8], order: ByteOrder) -> u64 {
    let mut sum = Fletcher4::new();
    sum.update(data, order);
    sum.words[0]
}

fn number(digits: &str, field: &'static str) -> Result<u64, TokenError> {
    let valid = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(TokenError::Hex { field })
}

fn unhex(digits: &str) -> Result<Vec<u8>, TokenError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(TokenError::Hex { field: "data" });
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TokenError::Hex { field: "data" });
    }
    pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

/// Uncompresses to exactly `size` bytes, with nothing left over on either side.
fn uncompress(data: &[u8], size: u64, max: usize) -> Result<Vec<u8>, TokenError> {
    let Some(expected) = usize::try_from(size).ok().filter(|size| *size <= max) else {
        return Err(TokenError::TooLarge { size, max });
    };
    let mut decoder = ZlibDecoder::new(data);
    let mut packed = Vec::new();
    // One byte more than stated shows that there is more.
    let read = (&mut decoder).take(size + 1).read_to_end(&mut packed);
    if read.is_err() || packed.len() != expected || decoder.total_in() != data.len() as u64 {
        return Err(TokenError::Compression { size });
    }
    Ok(packed)
}

impl FromStr for ResumeToken {
    type Err = TokenError;

    /// [`ResumeToken::parse`] with the default limits.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::parse(text, &Limits::default())
    }
}

/// For people; see [`ResumeToken::encode`] for the token itself.
impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (guid {})", self.to_name, self.to_guid)?;
        if let Some(guid) = self.from_guid {
            write!(f, " from guid {guid}")?;
        }
        write!(f, " at object {} offset {}, {} bytes received", self.object, self.offset, self.bytes)?;
        let flags = [
            (self.raw, ", raw"),
            (self.compressed, ", compressed"),
            (self.large_blocks, ", large blocks"),
            (self.embedded, ", embedded"),
            (self.redact_snaps.is_some(), ", redacted"),
        ];
        flags.iter().filter(|(set, _)| *set).try_for_each(|(_, text)| f.write_str(text))
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
