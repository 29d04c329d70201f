//! The native encoding: pairs as they lie in the memory of a 64-bit machine, pointers zeroed. The pairs of a
//! list inside a pair follow that pair; every list ends with a zero where the next pair's size would be.

use super::codec::Budget;
use super::codec::Encoding;
use super::codec::check_count;
use super::codec::header;
use super::cursor::Cursor;
use super::cursor::Order;
use super::error::Limits;
use super::error::NvError;
use super::layout;
use super::layout::LIST_HEADER;
use super::layout::PAIR_HEADER;
use super::layout::POINTER;
use super::list::NvList;
use super::value::DataType;
use super::value::Value;

/// One pair of an encoding, its sizes checked, its value not yet read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPair<'a> {
    pub(super) name: &'a [u8],
    pub(super) data_type: DataType,
    pub(super) elements: usize,
    /// The value's bytes with padding; at least as many as type and count ask for.
    pub(super) value: &'a [u8],
    pub(super) offset: usize,
}

/// Reads version and flags of the outermost list.
pub(super) fn read_list_header(cursor: &mut Cursor<'_>) -> Result<(), NvError> {
    let offset = cursor.offset;
    let version = cursor.i32()?;
    cursor.u32()?;
    check_version(version, offset)
}

fn check_version(version: i32, offset: usize) -> Result<(), NvError> {
    if version == 0 { Ok(()) } else { Err(NvError::Version { version, offset }) }
}

/// Reads the next pair, or none at the end of a list.
#[inline]
pub(super) fn read_pair<'a>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
) -> Result<Option<RawPair<'a>>, NvError> {
    let offset = cursor.offset;
    let malformed = |what| NvError::Malformed { what, offset };
    let size = cursor.size("negative size")?;
    if size == 0 {
        return Ok(None);
    }
    let body = size.checked_sub(PAIR_HEADER).ok_or(malformed("size below that of a pair"))?;
    let name_size = usize::from(cursor.u16()?);
    cursor.u16()?;
    let count = cursor.i32()?;
    let raw_type = cursor.i32()?;
    let body = cursor.take(body)?;

    let Some((0, name)) = body.get(..name_size).and_then(<[u8]>::split_last) else {
        return Err(malformed("the name does not end inside the pair"));
    };
    if name.contains(&0) {
        return Err(malformed("the name's length is wrong"));
    }
    let data_type = DataType::from_raw(raw_type).ok_or(NvError::Type { found: raw_type, offset })?;
    let elements = check_count(data_type, count, limits, offset)?;
    let value = body.get(layout::value_offset(name.len()) - PAIR_HEADER..).unwrap_or_default();
    if value.len() < least_value_size(data_type, elements) {
        return Err(malformed("the value does not fit the pair"));
    }
    if matches!(data_type, DataType::List | DataType::ListArray) {
        check_embedded(cursor.order, data_type, elements, value, offset)?;
    }
    Ok(Some(RawPair { name, data_type, elements, value, offset }))
}

/// Bytes a value needs; those of strings are only known once their ends are found.
fn least_value_size(data_type: DataType, elements: usize) -> usize {
    if let Some(size) = data_type.scalar_size() {
        return size;
    }
    if let Some(size) = data_type.element_size() {
        return elements.saturating_mul(size);
    }
    match data_type {
        DataType::String => 1,
        DataType::StringArray => elements.saturating_mul(POINTER + 1),
        DataType::List => LIST_HEADER,
        DataType::ListArray => elements.saturating_mul(POINTER + LIST_HEADER),
        _ => 0,
    }
}

/// The versions of lists inside a pair stand in the pair itself.
fn check_embedded(
    order: Order,
    data_type: DataType,
    elements: usize,
    value: &[u8],
    offset: usize,
) -> Result<(), NvError> {
    let pointers = if data_type == DataType::ListArray { elements * POINTER } else { 0 };
    for at in 0..elements {
        let version = Cursor::new(value, pointers + at * LIST_HEADER, order).i32()?;
        check_version(version, offset)?;
    }
    Ok(())
}

/// Skips the pairs of `lists` lists, whatever they hold. Lists inside them only add to the number of ends to
/// come, so this needs no recursion.
pub(super) fn skip_lists(
    cursor: &mut Cursor<'_>,
    mut lists: usize,
    budget: &mut Budget,
) -> Result<(), NvError> {
    while lists > 0 {
        match skip_pair(cursor, &budget.limits)? {
            None => lists -= 1,
            Some(inside) => {
                budget.pair(cursor.offset)?;
                lists += inside;
            }
        }
    }
    Ok(())
}

/// Steps over a pair without a look at its name and value, and gives the number of lists that follow it.
fn skip_pair(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Option<usize>, NvError> {
    let offset = cursor.offset;
    let size = cursor.size("negative size")?;
    if size == 0 {
        return Ok(None);
    }
    cursor.u32()?;
    let count = cursor.i32()?;
    let raw_type = cursor.i32()?;
    let body = size.checked_sub(PAIR_HEADER);
    cursor.take(body.ok_or(NvError::Malformed { what: "size below that of a pair", offset })?)?;
    match DataType::from_raw(raw_type) {
        Some(data_type @ (DataType::List | DataType::ListArray)) => {
            check_count(data_type, count, limits, offset).map(Some)
        }
        _ => Ok(Some(0)),
    }
}

/// Reads a list as a tree.
pub(super) fn decode(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<NvList, NvError> {
    read_list_header(cursor)?;
    decode_pairs(cursor, budget, 1)
}

/// Reads the pairs of a list that stands on level `depth`; the levels are bounded, so may the recursion be.
pub(super) fn decode_pairs(
    cursor: &mut Cursor<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<NvList, NvError> {
    budget.depth(depth, cursor.offset)?;
    let mut list = NvList::new();
    while let Some(pair) = read_pair(cursor, &budget.limits)? {
        budget.pair(pair.offset)?;
        let value = match pair.data_type {
            DataType::List => Value::List(decode_pairs(cursor, budget, depth + 1)?),
            DataType::ListArray => {
                let lists = (0..pair.elements).map(|_| decode_pairs(cursor, budget, depth + 1));
                Value::ListArray(lists.collect::<Result<_, _>>()?)
            }
            _ => flat_value(&pair, cursor.order)?,
        };
        list.push_decoded(pair.name, value)?;
    }
    Ok(list)
}

/// Any value but lists.
pub(super) fn flat_value(pair: &RawPair<'_>, order: Order) -> Result<Value, NvError> {
    macro_rules! number {
        ($type:ty) => {
            numbers!($type).next().unwrap_or_default()
        };
    }
    macro_rules! numbers {
        ($type:ty) => {
            pair.value.chunks_exact(size_of::<$type>()).take(pair.elements).map(|bytes| {
                // The chunks have the size asked for; a default stands in for a panic that cannot happen.
                let bytes = bytes.try_into().unwrap_or_default();
                match order {
                    Order::Little => <$type>::from_le_bytes(bytes),
                    Order::Big => <$type>::from_be_bytes(bytes),
                }
            })
        };
    }
    Ok(match pair.data_type {
        DataType::Boolean => Value::Boolean,
        DataType::BooleanValue => Value::BooleanValue(number!(u32) != 0),
        DataType::Byte => Value::Byte(number!(u8)),
        DataType::Int8 => Value::Int8(number!(i8)),
        DataType::UInt8 => Value::UInt8(number!(u8)),
        DataType::Int16 => Value::Int16(number!(i16)),
        DataType::UInt16 => Value::UInt16(number!(u16)),
        DataType::Int32 => Value::Int32(number!(i32)),
        DataType::UInt32 => Value::UInt32(number!(u32)),
        DataType::Int64 => Value::Int64(number!(i64)),
        DataType::UInt64 => Value::UInt64(number!(u64)),
        DataType::Double => Value::Double(f64::from_bits(number!(u64))),
        DataType::HrTime => Value::HrTime(number!(i64)),
        DataType::String => Value::String(string(pair)?.to_vec()),
        DataType::BooleanArray => Value::BooleanArray(numbers!(u32).map(|value| value != 0).collect()),
        DataType::ByteArray => Value::ByteArray(numbers!(u8).collect()),
        DataType::Int8Array => Value::Int8Array(numbers!(i8).collect()),
        DataType::UInt8Array => Value::UInt8Array(numbers!(u8).collect()),
        DataType::Int16Array => Value::Int16Array(numbers!(i16).collect()),
        DataType::UInt16Array => Value::UInt16Array(numbers!(u16).collect()),
        DataType::Int32Array => Value::Int32Array(numbers!(i32).collect()),
        DataType::UInt32Array => Value::UInt32Array(numbers!(u32).collect()),
        DataType::Int64Array => Value::Int64Array(numbers!(i64).collect()),
        DataType::UInt64Array => Value::UInt64Array(numbers!(u64).collect()),
        DataType::StringArray => Value::StringArray(strings(pair)?),
        DataType::List | DataType::ListArray => {
            return Err(NvError::Malformed { what: "a list where none can be", offset: pair.offset });
        }
    })
}

/// The string in a pair, without its zero byte.
#[inline]
pub(super) fn string<'a>(pair: &RawPair<'a>) -> Result<&'a [u8], NvError> {
    let end = pair.value.iter().position(|byte| *byte == 0);
    let end = end.ok_or(NvError::Malformed { what: "a string without end", offset: pair.offset })?;
    Ok(&pair.value[..end])
}

fn strings(pair: &RawPair<'_>) -> Result<Vec<Vec<u8>>, NvError> {
    let mut rest = pair.value.get(pair.elements * POINTER..).unwrap_or_default();
    let mut texts = Vec::with_capacity(pair.elements);
    for _ in 0..pair.elements {
        let text = string(&RawPair { value: rest, ..*pair })?;
        rest = &rest[text.len() + 1..];
        texts.push(text.to_vec());
    }
    Ok(texts)
}

/// Writes a list with its header.
pub(super) fn encode(list: &NvList, order: Order) -> Result<Vec<u8>, NvError> {
    let mut writer = Writer { out: header(Encoding::Native(order)).to_vec(), order };
    writer.i32(0);
    writer.u32(layout::UNIQUE_NAME);
    writer.list(list, 1)?;
    layout::size31(writer.out.len())?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    order: Order,
}

macro_rules! write_number {
    ($($name:ident: $type:ty;)*) => {
        $(fn $name(&mut self, value: $type) {
            match self.order {
                Order::Little => self.out.extend_from_slice(&value.to_le_bytes()),
                Order::Big => self.out.extend_from_slice(&value.to_be_bytes()),
            }
        })*
    };
}

impl Writer {
    write_number! {
        u16: u16; u32: u32; u64: u64; i8: i8; i16: i16; i32: i32; i64: i64;
    }

    fn list(&mut self, list: &NvList, depth: usize) -> Result<(), NvError> {
        if depth > layout::MAX_ENCODED_DEPTH {
            return Err(NvError::TooDeep(layout::MAX_ENCODED_DEPTH));
        }
        for (name, value) in list {
            self.pair(name, value)?;
            match value {
                Value::List(inner) => self.list(inner, depth + 1)?,
                Value::ListArray(inner) => inner.iter().try_for_each(|one| self.list(one, depth + 1))?,
                _ => {}
            }
        }
        self.i32(0);
        Ok(())
    }

    fn pair(&mut self, name: &[u8], value: &Value) -> Result<(), NvError> {
        layout::check_text(name)?;
        let name_size = i16::try_from(name.len() + 1).map_err(|_| NvError::TooLarge(name.len()))?;
        let start = self.out.len();
        let end = start + layout::pair_size(name, value);
        self.i32(layout::size31(end - start)?);
        self.i16(name_size);
        self.i16(0);
        self.i32(layout::size31(value.elements())?);
        self.i32(value.data_type() as i32);
        self.out.extend_from_slice(name);
        self.out.resize(start + layout::value_offset(name.len()), 0);
        self.value(value)?;
        self.out.resize(end, 0);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), NvError> {
        match value {
            Value::Boolean => {}
            Value::BooleanValue(value) => self.u32(u32::from(*value)),
            Value::Byte(value) | Value::UInt8(value) => self.out.push(*value),
            Value::Int8(value) => self.i8(*value),
            Value::Int16(value) => self.i16(*value),
            Value::UInt16(value) => self.u16(*value),
            Value::Int32(value) => self.i32(*value),
            Value::UInt32(value) => self.u32(*value),
            Value::Int64(value) | Value::HrTime(value) => self.i64(*value),
            Value::UInt64(value) => self.u64(*value),
            Value::Double(value) => self.u64(value.to_bits()),
            Value::String(text) => self.text(text)?,
            Value::BooleanArray(array) => array.iter().for_each(|value| self.u32(u32::from(*value))),
            Value::ByteArray(array) | Value::UInt8Array(array) => self.out.extend_from_slice(array),
            Value::Int8Array(array) => array.iter().for_each(|value| self.i8(*value)),
            Value::Int16Array(array) => array.iter().for_each(|value| self.i16(*value)),
            Value::UInt16Array(array) => array.iter().for_each(|value| self.u16(*value)),
            Value::Int32Array(array) => array.iter().for_each(|value| self.i32(*value)),
            Value::UInt32Array(array) => array.iter().for_each(|value| self.u32(*value)),
            Value::Int64Array(array) => array.iter().for_each(|value| self.i64(*value)),
            Value::UInt64Array(array) => array.iter().for_each(|value| self.u64(*value)),
            Value::StringArray(texts) => {
                self.out.resize(self.out.len() + texts.len() * POINTER, 0);
                texts.iter().try_for_each(|text| self.text(text))?;
            }
            Value::List(_) => self.list_header(),
            Value::ListArray(lists) => {
                self.out.resize(self.out.len() + lists.len() * POINTER, 0);
                lists.iter().for_each(|_| self.list_header());
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<(), NvError> {
        layout::check_text(text)?;
        self.out.extend_from_slice(text);
        self.out.push(0);
        Ok(())
    }

    /// An `nvlist_t`: version, flags, and zeros where its pointer and private flags are.
    fn list_header(&mut self) {
        let end = self.out.len() + LIST_HEADER;
        self.i32(0);
        self.u32(layout::UNIQUE_NAME);
        self.out.resize(end, 0);
    }
}
