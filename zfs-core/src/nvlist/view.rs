//! Reading a native encoding in place: walk the pairs, look at names, and take only the values wanted. The
//! kernel's answers to the listing ioctls are read this way, where building a tree for each of 100,000 snapshots
//! would cost more than the ioctls do.
//!
//! Nothing is checked beyond what has been walked over; duplicate names are seen as they come.
//!
//! ```
//! use zfs_core::nvlist::{Limits, NvList, view};
//!
//! let packed = NvList::new().with("guid", NvList::new().with("value", 42_u64)).encode_native()?;
//! let limits = Limits::default();
//! for pair in view::native(&packed, &limits)? {
//!     let pair = pair?;
//!     assert_eq!(pair.name, b"guid");
//!     let inner = pair.list().expect("a list");
//!     assert_eq!(inner.u64("value")?, Some(42));
//! }
//! # Ok::<(), zfs_core::nvlist::NvError>(())
//! ```

use super::codec::Budget;
use super::codec::Encoding;
use super::codec::HEADER;
use super::codec::read_header;
use super::cursor::Cursor;
use super::error::Limits;
use super::error::NvError;
use super::list::NvList;
use super::native;
use super::native::RawPair;
use super::value::DataType;
use super::value::Value;

/// Begins to read a native encoding of either byte order.
///
/// # Errors
/// If the header is not that of a native list. XDR is refused: decode it with [`NvList::decode`].
pub fn native<'a>(data: &'a [u8], limits: &Limits) -> Result<View<'a>, NvError> {
    let Encoding::Native(order) = read_header(data, limits)? else {
        return Err(NvError::Encoding(1));
    };
    let mut cursor = Cursor::new(data, HEADER, order);
    native::read_list_header(&mut cursor)?;
    Ok(View { cursor, budget: Budget::new(limits), depth: 1, done: false })
}

/// A list in a native encoding; iterates over its pairs. Copying it is how to walk twice.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    cursor: Cursor<'a>,
    budget: Budget,
    depth: usize,
    done: bool,
}

/// One pair of a [`View`].
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The name, without its zero byte.
    pub name: &'a [u8],
    raw: RawPair<'a>,
    /// Just behind the pair: where the pairs of lists in it begin.
    view: View<'a>,
}

impl<'a> View<'a> {
    /// The first pair of that name among those not yet walked over.
    ///
    /// # Errors
    /// If the encoding is broken before that pair.
    pub fn find(mut self, name: &str) -> Result<Option<Pair<'a>>, NvError> {
        self.find_map(|pair| match pair {
            Ok(pair) if pair.name != name.as_bytes() => None,
            other => Some(other),
        })
        .transpose()
    }

    /// The value of that name if it is a `UInt64`.
    ///
    /// # Errors
    /// If the encoding is broken before that pair.
    pub fn u64(self, name: &str) -> Result<Option<u64>, NvError> {
        Ok(self.find(name)?.and_then(|pair| pair.u64()))
    }

    /// The value of that name if it is a string.
    ///
    /// # Errors
    /// If the encoding is broken up to and with that pair.
    pub fn bytes(self, name: &str) -> Result<Option<&'a [u8]>, NvError> {
        Ok(self.find(name)?.and_then(|pair| pair.bytes()))
    }

    /// The value of that name if it is a list.
    ///
    /// # Errors
    /// If the encoding is broken before that pair.
    pub fn list(self, name: &str) -> Result<Option<Self>, NvError> {
        Ok(self.find(name)?.and_then(|pair| pair.list()))
    }

    /// What is not yet walked over, as a tree.
    ///
    /// # Errors
    /// If the encoding is broken.
    pub fn to_list(mut self) -> Result<NvList, NvError> {
        if self.done {
            return Ok(NvList::new());
        }
        native::decode_pairs(&mut self.cursor, &mut self.budget, self.depth)
    }

    fn advance(&mut self) -> Result<Option<Pair<'a>>, NvError> {
        let Some(raw) = native::read_pair(&mut self.cursor, &self.budget.limits)? else {
            return Ok(None);
        };
        self.budget.pair(raw.offset)?;
        let mut pair = Pair { name: raw.name, raw, view: *self };
        if matches!(raw.data_type, DataType::List | DataType::ListArray) {
            pair.view.depth += 1;
            self.budget.depth(pair.view.depth, raw.offset)?;
            native::skip_lists(&mut self.cursor, raw.elements, &mut self.budget)?;
        }
        Ok(Some(pair))
    }
}

impl<'a> Iterator for View<'a> {
    type Item = Result<Pair<'a>, NvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<'a> Pair<'a> {
    /// The type of the value.
    pub fn data_type(&self) -> DataType {
        self.raw.data_type
    }

    /// Number of elements: 0 for a bare boolean, 1 for single values.
    pub fn elements(&self) -> usize {
        self.raw.elements
    }

    /// The bytes of the value as they are encoded, with padding.
    pub fn raw(&self) -> &'a [u8] {
        self.raw.value
    }

    /// The value if it is a `UInt64`.
    #[inline]
    pub fn u64(&self) -> Option<u64> {
        match self.raw.data_type {
            DataType::UInt64 => Cursor::new(self.raw.value, 0, self.view.cursor.order).u64().ok(),
            _ => None,
        }
    }

    /// The value if it is a string.
    #[inline]
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.raw.data_type {
            DataType::String => native::string(&self.raw).ok(),
            _ => None,
        }
    }

    /// The value if it is a string in UTF-8.
    #[inline]
    pub fn str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The value if it is a list.
    #[inline]
    pub fn list(&self) -> Option<View<'a>> {
        match self.raw.data_type {
            DataType::List => Some(self.view),
            _ => None,
        }
    }

    /// The value with all that belongs to it.
    ///
    /// # Errors
    /// If its encoding is broken.
    pub fn value(&self) -> Result<Value, NvError> {
        let mut view = self.view;
        let mut inner = || native::decode_pairs(&mut view.cursor, &mut view.budget, view.depth);
        match self.raw.data_type {
            DataType::List => Ok(Value::List(inner()?)),
            DataType::ListArray => {
                Ok(Value::ListArray((0..self.raw.elements).map(|_| inner()).collect::<Result<_, _>>()?))
            }
            _ => native::flat_value(&self.raw, self.view.cursor.order),
        }
    }
}
