//! The types a value can have, `data_type_t` of `sys/nvpair.h`.

use super::list::NvList;

/// A value in a list. The variants carry the names of the C types.
///
/// Most come by `From`; strings that are not UTF-8 by [`Value::string`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the data type it names")]
pub enum Value {
    /// Presence alone; what `nvlist_add_boolean` makes.
    Boolean,
    BooleanValue(bool),
    Byte(u8),
    Int8(i8),
    UInt8(u8),
    Int16(i16),
    UInt16(u16),
    Int32(i32),
    UInt32(u32),
    Int64(i64),
    UInt64(u64),
    /// Userland only: the kernel refuses it.
    Double(f64),
    /// Bytes without a zero.
    String(Vec<u8>),
    /// Nanoseconds.
    HrTime(i64),
    List(NvList),
    BooleanArray(Vec<bool>),
    ByteArray(Vec<u8>),
    Int8Array(Vec<i8>),
    UInt8Array(Vec<u8>),
    Int16Array(Vec<i16>),
    UInt16Array(Vec<u16>),
    Int32Array(Vec<i32>),
    UInt32Array(Vec<u32>),
    Int64Array(Vec<i64>),
    UInt64Array(Vec<u64>),
    StringArray(Vec<Vec<u8>>),
    ListArray(Vec<NvList>),
}

/// The type of a [`Value`], with the number it has in an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs, reason = "each variant is the data type it names")]
pub enum DataType {
    Boolean = 1,
    Byte = 2,
    Int16 = 3,
    UInt16 = 4,
    Int32 = 5,
    UInt32 = 6,
    Int64 = 7,
    UInt64 = 8,
    String = 9,
    ByteArray = 10,
    Int16Array = 11,
    UInt16Array = 12,
    Int32Array = 13,
    UInt32Array = 14,
    Int64Array = 15,
    UInt64Array = 16,
    StringArray = 17,
    HrTime = 18,
    List = 19,
    ListArray = 20,
    BooleanValue = 21,
    Int8 = 22,
    UInt8 = 23,
    BooleanArray = 24,
    Int8Array = 25,
    UInt8Array = 26,
    Double = 27,
}

impl DataType {
    const ALL: [Self; 27] = [
        Self::Boolean,
        Self::Byte,
        Self::Int16,
        Self::UInt16,
        Self::Int32,
        Self::UInt32,
        Self::Int64,
        Self::UInt64,
        Self::String,
        Self::ByteArray,
        Self::Int16Array,
        Self::UInt16Array,
        Self::Int32Array,
        Self::UInt32Array,
        Self::Int64Array,
        Self::UInt64Array,
        Self::StringArray,
        Self::HrTime,
        Self::List,
        Self::ListArray,
        Self::BooleanValue,
        Self::Int8,
        Self::UInt8,
        Self::BooleanArray,
        Self::Int8Array,
        Self::UInt8Array,
        Self::Double,
    ];

    /// The type of that number.
    pub(super) fn from_raw(raw: i32) -> Option<Self> {
        usize::try_from(raw).ok()?.checked_sub(1).and_then(|at| Self::ALL.get(at)).copied()
    }

    /// Whether a pair of this type can hold any number of elements.
    pub(super) fn is_array(self) -> bool {
        self.element_size().is_some() || matches!(self, Self::StringArray | Self::ListArray)
    }

    /// Bytes of one element of an array of numbers, in memory.
    pub(super) fn element_size(self) -> Option<usize> {
        match self {
            Self::ByteArray | Self::Int8Array | Self::UInt8Array => Some(1),
            Self::Int16Array | Self::UInt16Array => Some(2),
            Self::Int32Array | Self::UInt32Array | Self::BooleanArray => Some(4),
            Self::Int64Array | Self::UInt64Array => Some(8),
            _ => None,
        }
    }

    /// Bytes of a single number, in memory.
    pub(super) fn scalar_size(self) -> Option<usize> {
        match self {
            Self::Byte | Self::Int8 | Self::UInt8 => Some(1),
            Self::Int16 | Self::UInt16 => Some(2),
            Self::BooleanValue | Self::Int32 | Self::UInt32 => Some(4),
            Self::Int64 | Self::UInt64 | Self::HrTime | Self::Double => Some(8),
            _ => None,
        }
    }
}

impl Value {
    /// A string of bytes.
    pub fn string(bytes: impl AsRef<[u8]>) -> Self {
        Self::String(bytes.as_ref().to_vec())
    }

    /// The value's type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::BooleanValue(_) => DataType::BooleanValue,
            Self::Byte(_) => DataType::Byte,
            Self::Int8(_) => DataType::Int8,
            Self::UInt8(_) => DataType::UInt8,
            Self::Int16(_) => DataType::Int16,
            Self::UInt16(_) => DataType::UInt16,
            Self::Int32(_) => DataType::Int32,
            Self::UInt32(_) => DataType::UInt32,
            Self::Int64(_) => DataType::Int64,
            Self::UInt64(_) => DataType::UInt64,
            Self::Double(_) => DataType::Double,
            Self::String(_) => DataType::String,
            Self::HrTime(_) => DataType::HrTime,
            Self::List(_) => DataType::List,
            Self::BooleanArray(_) => DataType::BooleanArray,
            Self::ByteArray(_) => DataType::ByteArray,
            Self::Int8Array(_) => DataType::Int8Array,
            Self::UInt8Array(_) => DataType::UInt8Array,
            Self::Int16Array(_) => DataType::Int16Array,
            Self::UInt16Array(_) => DataType::UInt16Array,
            Self::Int32Array(_) => DataType::Int32Array,
            Self::UInt32Array(_) => DataType::UInt32Array,
            Self::Int64Array(_) => DataType::Int64Array,
            Self::UInt64Array(_) => DataType::UInt64Array,
            Self::StringArray(_) => DataType::StringArray,
            Self::ListArray(_) => DataType::ListArray,
        }
    }

    /// The element count of an encoding: 0 for a bare boolean, 1 for single values.
    pub(super) fn elements(&self) -> usize {
        match self {
            Self::Boolean => 0,
            Self::BooleanArray(array) => array.len(),
            Self::ByteArray(array) | Self::UInt8Array(array) => array.len(),
            Self::Int8Array(array) => array.len(),
            Self::Int16Array(array) => array.len(),
            Self::UInt16Array(array) => array.len(),
            Self::Int32Array(array) => array.len(),
            Self::UInt32Array(array) => array.len(),
            Self::Int64Array(array) => array.len(),
            Self::UInt64Array(array) => array.len(),
            Self::StringArray(array) => array.len(),
            Self::ListArray(array) => array.len(),
            _ => 1,
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

from! {
    bool => |value| Self::BooleanValue(value);
    i32 => |value| Self::Int32(value);
    u32 => |value| Self::UInt32(value);
    i64 => |value| Self::Int64(value);
    u64 => |value| Self::UInt64(value);
    &str => |value| Self::String(value.as_bytes().to_vec());
    String => |value| Self::String(value.into_bytes());
    &String => |value| Self::String(value.as_bytes().to_vec());
    NvList => |value| Self::List(value);
    Vec<NvList> => |value| Self::ListArray(value);
    Vec<u64> => |value| Self::UInt64Array(value);
    &[u64] => |value| Self::UInt64Array(value.to_vec());
    Vec<String> => |value| Self::StringArray(value.into_iter().map(String::into_bytes).collect());
    &[&str] => |value| Self::StringArray(value.iter().map(|text| text.as_bytes().to_vec()).collect());
}
