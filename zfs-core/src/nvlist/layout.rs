//! Sizes of a pair as it lies in memory on every 64-bit system (`nvpair_t` and `nvlist_t` of `sys/nvpair.h`).
//! The native encoding is this layout; XDR mentions it as the "decoded size" of each pair.

use super::error::NvError;
use super::value::Value;
use crate::name::escape;

/// Bytes of `nvpair_t`: size, name size, padding, element count, type; the name follows.
pub(super) const PAIR_HEADER: usize = 16;
/// Bytes of `nvlist_t`: version, flags, a pointer, private flags, padding.
pub(super) const LIST_HEADER: usize = 24;
/// Bytes of a pointer, for which arrays of strings and lists leave room.
pub(super) const POINTER: usize = 8;
/// `NV_UNIQUE_NAME`, the one kind of list made here.
pub(super) const UNIQUE_NAME: u32 = 1;
/// Deepest list that is encoded; the kernel's own bound on reading.
pub(super) const MAX_ENCODED_DEPTH: usize = 20;

/// Rounds up to a multiple of 8.
pub(super) const fn align8(size: usize) -> usize {
    size.saturating_add(7) & !7
}

/// Rounds up to a multiple of 4.
pub(super) const fn align4(size: usize) -> usize {
    size.saturating_add(3) & !3
}

/// Where the value begins, counted from the start of the pair; `name` without its zero byte.
pub(super) const fn value_offset(name: usize) -> usize {
    align8(PAIR_HEADER + name + 1)
}

/// Bytes of the whole pair in memory.
pub(super) fn pair_size(name: &[u8], value: &Value) -> usize {
    value_offset(name.len()) + align8(value_size(value))
}

fn value_size(value: &Value) -> usize {
    let data_type = value.data_type();
    if let Some(size) = data_type.scalar_size() {
        return size;
    }
    if let Some(size) = data_type.element_size() {
        return size * value.elements();
    }
    match value {
        Value::String(text) => text.len() + 1,
        Value::StringArray(texts) => texts.iter().map(|text| POINTER + text.len() + 1).sum(),
        Value::List(_) => LIST_HEADER,
        Value::ListArray(lists) => lists.len() * (POINTER + LIST_HEADER),
        _ => 0,
    }
}

/// Refuses what C would silently cut short.
pub(super) fn check_text(text: &[u8]) -> Result<(), NvError> {
    if text.contains(&0) { Err(NvError::ZeroByte { text: escape(text) }) } else { Ok(()) }
}

/// A size as the 31-bit number it is in an encoding.
pub(super) fn size31(size: usize) -> Result<i32, NvError> {
    i32::try_from(size).map_err(|_| NvError::TooLarge(size))
}
