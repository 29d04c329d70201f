//! The head of a stream: what is sent, from where, and what it takes to receive it.

use std::fmt;

use super::error::StreamError;
use super::record::Header;
use super::record::RECORD_BYTES;
use super::record::RecordType;
use crate::Guid;
use crate::fletcher::ByteOrder;
use crate::name::escape;

/// `DMU_BACKUP_MAGIC`; the order in which its bytes stand is the byte order of the stream.
pub(super) const MAGIC: u64 = 0x2_f5ba_cbac;
const NAME_AT: usize = 56;

/// The fields of a BEGIN record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeginRecord {
    /// Byte order of the machine that sent.
    pub order: ByteOrder,
    /// A single stream, or a package of several.
    pub kind: StreamKind,
    /// What the receiver has to know of.
    pub features: Features,
    /// When the snapshot was taken, in seconds since 1970 (UTC).
    pub creation_time: u64,
    /// `dmu_objset_type_t`: 2 is a filesystem, 3 a volume.
    pub objset_type: u32,
    /// `drr_flags`: 1 sent from a clone, 2 case-insensitive, 4 with free records, 8 with spill blocks marked.
    pub flags: u32,
    /// The GUID of the snapshot that is sent.
    pub to_guid: Guid,
    /// The GUID of the snapshot or bookmark the stream starts from; none for a full stream.
    pub from_guid: Option<Guid>,
    /// The name of the snapshot on the sending side, as it came: not checked, not escaped.
    pub to_name: Vec<u8>,
    /// Bytes of the name-value list after this record.
    pub payload: u64,
}

/// Whether a stream stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// One snapshot: `DMU_SUBSTREAM`.
    Single,
    /// A package of streams from `zfs send -R`, `-I` or `-p`: `DMU_COMPOUNDSTREAM`.
    Compound,
}

impl BeginRecord {
    /// Reads a BEGIN record of either byte order.
    ///
    /// # Errors
    /// If it is none. Features are not judged here; see [`Features::unknown`].
    pub fn parse(bytes: &[u8; RECORD_BYTES]) -> Result<Self, StreamError> {
        Self::parse_at(bytes, 0)
    }

    pub(super) fn parse_at(bytes: &[u8; RECORD_BYTES], offset: u64) -> Result<Self, StreamError> {
        let orders = [ByteOrder::Little, ByteOrder::Big];
        let header =
            orders.map(|order| Header { bytes, order }).into_iter().find(|header| header.u64(8) == MAGIC);
        let Some(header) = header.filter(|header| header.raw_type() == RecordType::Begin as u32) else {
            let magic = Header { bytes, order: ByteOrder::Little }.u64(8);
            return Err(StreamError::NotAStream { offset, magic });
        };
        let info = header.u64(16);
        let kind = match info & 3 {
            1 => StreamKind::Single,
            2 => StreamKind::Compound,
            found => return Err(StreamError::Kind { offset, found }),
        };
        let name = &bytes[NAME_AT..];
        Ok(Self {
            order: header.order,
            kind,
            features: Features(info >> 2),
            creation_time: header.u64(24),
            objset_type: header.u32(32),
            flags: header.u32(36),
            to_guid: Guid(header.u64(40)),
            from_guid: Some(header.u64(48)).filter(|guid| *guid != 0).map(Guid),
            to_name: name.split(|byte| *byte == 0).next().unwrap_or(name).to_vec(),
            payload: header.begin_payload(),
        })
    }

    /// Whether this is a package of several streams.
    pub fn is_compound(&self) -> bool {
        self.kind == StreamKind::Compound
    }

    /// Whether blocks are sent as they lie on disk, encrypted (`zfs send -w`).
    pub fn is_raw(&self) -> bool {
        self.features.contains(Features::RAW)
    }

    /// Whether this is the rest of a stream that was interrupted.
    pub fn is_resuming(&self) -> bool {
        self.features.contains(Features::RESUMING)
    }

    /// The sender's name of the snapshot, safe to print.
    pub fn to_name_escaped(&self) -> String {
        escape(&self.to_name)
    }
}

/// The feature flags of a stream, `DMU_BACKUP_FEATURE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

macro_rules! features {
    ($($(#[$doc:meta])* $NAME:ident = $bit:literal;)*) => {
        impl Features {
            $($(#[$doc])* pub const $NAME: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$NAME, stringify!($NAME))),*];
            /// Every feature known here.
            pub const KNOWN: Self = Self(0 $(| 1 << $bit)*);
        }
    };
}

features! {
    /// Blocks sent once; no longer readable since OpenZFS 2.0.
    DEDUP = 0;
    /// Blocks sent once, with properties of the deduplication table.
    DEDUPPROPS = 1;
    /// Attributes in spill blocks.
    SA_SPILL = 2;
    /// Blocks stored in their pointers, `zfs send -e`.
    EMBED_DATA = 16;
    /// LZ4 in embedded or compressed blocks.
    LZ4 = 17;
    /// Blocks above 128 KiB, `zfs send -L`.
    LARGE_BLOCKS = 19;
    /// The rest of an interrupted stream.
    RESUMING = 20;
    /// Data left out by redaction.
    REDACTED = 21;
    /// Blocks compressed as on disk, `zfs send -c`.
    COMPRESSED = 22;
    /// Dnodes above 512 bytes.
    LARGE_DNODE = 23;
    /// Blocks as on disk, encrypted, `zfs send -w`.
    RAW = 24;
    /// Zstandard in compressed blocks.
    ZSTD = 25;
    /// Holds are in the package, `zfs send -h`.
    HOLDS = 26;
    /// Large blocks after an earlier stream without them.
    SWITCH_TO_LARGE_BLOCKS = 27;
    /// File names above 255 bytes.
    LONGNAME = 28;
    /// Directories in large blocks.
    LARGE_MICROZAP = 29;
}

impl Features {
    /// What today's OpenZFS receives: all known ones but deduplication.
    pub const RECEIVABLE: Self = Self(Self::KNOWN.0 & !(Self::DEDUP.0 | Self::DEDUPPROPS.0));

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that have no name here.
    #[must_use]
    pub const fn unknown(self) -> Self {
        self.without(Self::KNOWN)
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<String> = Self::NAMES
            .iter()
            .filter(|(feature, _)| self.contains(*feature))
            .map(|(_, name)| name.to_lowercase())
            .collect();
        let unknown = self.unknown().0;
        names.extend((0..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| format!("bit {bit}")));
        f.pad(&if names.is_empty() { "none".to_owned() } else { names.join(", ") })
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}
