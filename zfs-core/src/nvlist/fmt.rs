//! Lists for the eyes of people: on one line with `{}` and `{:?}`, indented with `{:#}` and `{:#?}`. Everything
//! that is not printable ASCII is escaped, because contents may come from elsewhere.

use std::fmt;
use std::fmt::Write as _;

use super::list::NvList;
use super::value::Value;
use crate::name::escape;

/// Long arrays are shown up to this many elements.
const SHOWN: usize = 32;

impl fmt::Display for NvList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self {
            map.entry(&format_args!("{}", Name(name)), &Shown(value));
        }
        map.finish()
    }
}

impl fmt::Debug for NvList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name; quoted only where it is not plain.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = escape(self.0);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@#".contains(c);
        if !text.is_empty() && text.chars().all(plain) { f.write_str(&text) } else { write!(f, "\"{text}\"") }
    }
}

struct Shown<'a>(&'a Value);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Boolean => f.write_str("present"),
            Value::BooleanValue(value) => write!(f, "{value}"),
            Value::Byte(value) | Value::UInt8(value) => write!(f, "{value}"),
            Value::Int8(value) => write!(f, "{value}"),
            Value::Int16(value) => write!(f, "{value}"),
            Value::UInt16(value) => write!(f, "{value}"),
            Value::Int32(value) => write!(f, "{value}"),
            Value::UInt32(value) => write!(f, "{value}"),
            Value::Int64(value) => write!(f, "{value}"),
            Value::UInt64(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value}"),
            Value::HrTime(value) => write!(f, "{value} ns"),
            Value::String(text) => write!(f, "\"{}\"", escape(text)),
            Value::List(list) => fmt::Display::fmt(list, f),
            Value::BooleanArray(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::ByteArray(array) | Value::UInt8Array(array) => {
                shown(f, array, |one, f| write!(f, "{one}"))
            }
            Value::Int8Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::Int16Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::UInt16Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::Int32Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::UInt32Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::Int64Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::UInt64Array(array) => shown(f, array, |one, f| write!(f, "{one}")),
            Value::StringArray(array) => shown(f, array, |one, f| write!(f, "\"{}\"", escape(one))),
            Value::ListArray(array) => shown(f, array, fmt::Display::fmt),
        }
    }
}

fn shown<T>(
    f: &mut fmt::Formatter<'_>,
    array: &[T],
    one: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_char('[')?;
    for (at, element) in array.iter().take(SHOWN).enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        one(element, f)?;
    }
    if array.len() > SHOWN {
        write!(f, ", … {} in all", array.len())?;
    }
    f.write_char(']')
}
