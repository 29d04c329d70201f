//! The XDR encoding (RFC 4506): everything in big endian units of four bytes. Each pair names its encoded size
//! and its size in memory; a list ends with two zeros in their place.

use std::ffi::c_char;

use super::codec::Budget;
use super::codec::check_count;
use super::cursor::Cursor;
use super::error::NvError;
use super::layout;
use super::list::NvList;
use super::value::DataType;
use super::value::Value;

/// Bytes of a pair without name and data: two sizes, length of the name, type, element count.
const PAIR_OVERHEAD: usize = 20;
/// Bytes of a list without pairs: version, flags, two zeros.
const LIST_OVERHEAD: usize = 16;

/// Reads a list as a tree.
pub(super) fn decode(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<NvList, NvError> {
    decode_list(cursor, budget, 1)
}

fn decode_list(cursor: &mut Cursor<'_>, budget: &mut Budget, depth: usize) -> Result<NvList, NvError> {
    let offset = cursor.offset;
    budget.depth(depth, offset)?;
    let version = cursor.i32()?;
    if version != 0 {
        return Err(NvError::Version { version, offset });
    }
    cursor.u32()?;
    let mut list = NvList::new();
    loop {
        let offset = cursor.offset;
        cursor.size("negative encoded size")?;
        if cursor.size("negative decoded size")? == 0 {
            return Ok(list);
        }
        budget.pair(offset)?;
        let name = text(cursor)?;
        let raw_type = cursor.i32()?;
        let count = cursor.i32()?;
        let data_type = DataType::from_raw(raw_type).ok_or(NvError::Type { found: raw_type, offset })?;
        let elements = check_count(data_type, count, &budget.limits, offset)?;
        let value = decode_value(cursor, budget, data_type, elements, depth)?;
        list.push_decoded(name, value)?;
    }
}

fn decode_value(
    cursor: &mut Cursor<'_>,
    budget: &mut Budget,
    data_type: DataType,
    elements: usize,
    depth: usize,
) -> Result<Value, NvError> {
    // Bytes and shorts fill a whole unit, with their sign extended or not depending on who wrote them.
    macro_rules! narrow {
        ($type:ty) => {
            cursor.u32()? as $type
        };
    }
    macro_rules! narrows {
        ($type:ty) => {{
            let mut array = counted(cursor, elements, 4)?;
            (0..elements).map(|_| Ok(array.u32()? as $type)).collect::<Result<_, NvError>>()?
        }};
    }
    macro_rules! wides {
        ($type:ty) => {{
            let mut array = counted(cursor, elements, 8)?;
            (0..elements).map(|_| Ok(array.u64()? as $type)).collect::<Result<_, NvError>>()?
        }};
    }
    Ok(match data_type {
        DataType::Boolean => Value::Boolean,
        DataType::BooleanValue => Value::BooleanValue(cursor.u32()? != 0),
        DataType::Byte => Value::Byte(narrow!(u8)),
        DataType::Int8 => Value::Int8(narrow!(i8)),
        DataType::UInt8 => Value::UInt8(narrow!(u8)),
        DataType::Int16 => Value::Int16(narrow!(i16)),
        DataType::UInt16 => Value::UInt16(narrow!(u16)),
        DataType::Int32 => Value::Int32(cursor.i32()?),
        DataType::UInt32 => Value::UInt32(cursor.u32()?),
        DataType::Int64 => Value::Int64(cursor.u64()? as i64),
        DataType::UInt64 => Value::UInt64(cursor.u64()?),
        DataType::HrTime => Value::HrTime(cursor.u64()? as i64),
        DataType::Double => Value::Double(f64::from_bits(cursor.u64()?)),
        DataType::String => Value::String(text(cursor)?.to_vec()),
        DataType::BooleanArray => {
            let mut array = counted(cursor, elements, 4)?;
            let values = (0..elements).map(|_| Ok(array.u32()? != 0));
            Value::BooleanArray(values.collect::<Result<_, NvError>>()?)
        }
        DataType::ByteArray => Value::ByteArray(padded(cursor, elements)?.to_vec()),
        DataType::Int8Array => Value::Int8Array(narrows!(i8)),
        DataType::UInt8Array => Value::UInt8Array(narrows!(u8)),
        DataType::Int16Array => Value::Int16Array(narrows!(i16)),
        DataType::UInt16Array => Value::UInt16Array(narrows!(u16)),
        DataType::Int32Array => Value::Int32Array(narrows!(i32)),
        DataType::UInt32Array => Value::UInt32Array(narrows!(u32)),
        DataType::Int64Array => Value::Int64Array(wides!(i64)),
        DataType::UInt64Array => Value::UInt64Array(wides!(u64)),
        DataType::StringArray => {
            enough(cursor, elements, 4)?;
            let texts = (0..elements).map(|_| Ok(text(cursor)?.to_vec()));
            Value::StringArray(texts.collect::<Result<_, NvError>>()?)
        }
        DataType::List => Value::List(decode_list(cursor, budget, depth + 1)?),
        DataType::ListArray => {
            enough(cursor, elements, LIST_OVERHEAD)?;
            let lists = (0..elements).map(|_| decode_list(cursor, budget, depth + 1));
            Value::ListArray(lists.collect::<Result<_, _>>()?)
        }
    })
}

/// Refuses a count that what is left cannot hold, before memory is set aside for it.
fn enough(cursor: &Cursor<'_>, elements: usize, least: usize) -> Result<(), NvError> {
    let wanted = elements.saturating_mul(least);
    if wanted > cursor.left() {
        return Err(NvError::Truncated { offset: cursor.offset, wanted, left: cursor.left() });
    }
    Ok(())
}

/// The numbers of an array, which repeats its count; libnvpair writes nothing at all for an empty one.
fn counted<'a>(cursor: &mut Cursor<'a>, elements: usize, unit: usize) -> Result<Cursor<'a>, NvError> {
    let offset = cursor.offset;
    if elements != 0 && cursor.size("negative array length")? != elements {
        return Err(NvError::Malformed { what: "two different array lengths", offset });
    }
    let start = cursor.offset;
    let bytes = cursor.take(elements.saturating_mul(unit))?;
    debug_assert_eq!(cursor.offset, start + bytes.len());
    Ok(Cursor::new(bytes, 0, cursor.order))
}

fn padded<'a>(cursor: &mut Cursor<'a>, length: usize) -> Result<&'a [u8], NvError> {
    let bytes = cursor.take(length)?;
    cursor.take(layout::align4(length) - length)?;
    Ok(bytes)
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], NvError> {
    let offset = cursor.offset;
    let length = cursor.size("negative string length")?;
    let bytes = padded(cursor, length)?;
    if bytes.contains(&0) {
        return Err(NvError::Malformed { what: "a string with a zero byte", offset });
    }
    Ok(bytes)
}

/// Writes a list after the four bytes of header.
pub(super) fn encode(list: &NvList, out: &mut Vec<u8>) -> Result<(), NvError> {
    let start = out.len();
    encode_list(list, out, 1)?;
    // libnvpair counts a length for every empty array but writes none, so its result ends in that many zeros.
    out.resize(start + list_size(list), 0);
    layout::size31(out.len())?;
    Ok(())
}

fn encode_list(list: &NvList, out: &mut Vec<u8>, depth: usize) -> Result<(), NvError> {
    if depth > layout::MAX_ENCODED_DEPTH {
        return Err(NvError::TooDeep(layout::MAX_ENCODED_DEPTH));
    }
    put(out, 0);
    put(out, layout::UNIQUE_NAME);
    for (name, value) in list {
        put(out, layout::size31(pair_size(name, value))? as u32);
        put(out, layout::size31(layout::pair_size(name, value))? as u32);
        put_text(out, name)?;
        put(out, value.data_type() as u32);
        put(out, layout::size31(value.elements())? as u32);
        encode_value(value, out, depth)?;
    }
    put(out, 0);
    put(out, 0);
    Ok(())
}

/// Bytes of a pair in XDR as libnvpair counts them.
fn pair_size(name: &[u8], value: &Value) -> usize {
    PAIR_OVERHEAD
        + layout::align4(name.len())
        + match value {
            Value::Boolean => 0,
            Value::String(text) => 4 + layout::align4(text.len()),
            Value::ByteArray(array) => layout::align4(array.len()),
            Value::StringArray(texts) => texts.iter().map(|text| 4 + layout::align4(text.len())).sum(),
            Value::List(list) => list_size(list),
            Value::ListArray(lists) => lists.iter().map(list_size).sum(),
            Value::Int64Array(_) | Value::UInt64Array(_) => 4 + 8 * value.elements(),
            _ if value.data_type().is_array() => 4 + 4 * value.elements(),
            _ if value.data_type().scalar_size() == Some(8) => 8,
            _ => 4,
        }
}

fn list_size(list: &NvList) -> usize {
    LIST_OVERHEAD + list.iter().map(|(name, value)| pair_size(name, value)).sum::<usize>()
}

fn encode_value(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), NvError> {
    match value {
        Value::Boolean => {}
        Value::BooleanValue(value) => put(out, u32::from(*value)),
        Value::Byte(value) | Value::UInt8(value) => put(out, char_unit(*value)),
        Value::Int8(value) => put(out, char_unit(*value as u8)),
        Value::Int16(value) => put(out, i32::from(*value) as u32),
        Value::UInt16(value) => put(out, u32::from(*value)),
        Value::Int32(value) => put(out, *value as u32),
        Value::UInt32(value) => put(out, *value),
        Value::Int64(value) | Value::HrTime(value) => put_wide(out, *value as u64),
        Value::UInt64(value) => put_wide(out, *value),
        Value::Double(value) => put_wide(out, value.to_bits()),
        Value::String(text) => put_text(out, text)?,
        Value::ByteArray(array) => put_padded(out, array),
        Value::BooleanArray(array) => put_array(out, array, |value| u32::from(*value)),
        Value::UInt8Array(array) => put_array(out, array, |value| char_unit(*value)),
        Value::Int8Array(array) => put_array(out, array, |value| char_unit(*value as u8)),
        Value::Int16Array(array) => put_array(out, array, |value| i32::from(*value) as u32),
        Value::UInt16Array(array) => put_array(out, array, |value| u32::from(*value)),
        Value::Int32Array(array) => put_array(out, array, |value| *value as u32),
        Value::UInt32Array(array) => put_array(out, array, |value| *value),
        Value::Int64Array(array) => put_wide_array(out, array, |value| *value as u64),
        Value::UInt64Array(array) => put_wide_array(out, array, |value| *value),
        Value::StringArray(texts) => texts.iter().try_for_each(|text| put_text(out, text))?,
        Value::List(list) => encode_list(list, out, depth + 1)?,
        Value::ListArray(lists) => lists.iter().try_for_each(|list| encode_list(list, out, depth + 1))?,
    }
    Ok(())
}

/// One byte as libnvpair's `xdr_char` writes it: as this machine's C widens a `char`.
fn char_unit(byte: u8) -> u32 {
    i32::from(byte as c_char) as u32
}

fn put(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_wide(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_array<T>(out: &mut Vec<u8>, array: &[T], unit: impl Fn(&T) -> u32) {
    if !array.is_empty() {
        put(out, array.len() as u32);
        array.iter().for_each(|value| put(out, unit(value)));
    }
}

fn put_wide_array<T>(out: &mut Vec<u8>, array: &[T], unit: impl Fn(&T) -> u64) {
    if !array.is_empty() {
        put(out, array.len() as u32);
        array.iter().for_each(|value| put_wide(out, unit(value)));
    }
}

fn put_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + layout::align4(bytes.len()) - bytes.len(), 0);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), NvError> {
    layout::check_text(text)?;
    put(out, layout::size31(text.len())? as u32);
    put_padded(out, text);
    Ok(())
}
