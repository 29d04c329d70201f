//! Reading numbers and byte runs from a slice with every bound checked.

use super::error::NvError;

/// The byte order of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    pub(super) offset: usize,
    pub(super) order: Order,
}

macro_rules! number {
    ($name:ident, $type:ty) => {
        #[inline]
        pub(super) fn $name(&mut self) -> Result<$type, NvError> {
            let bytes = self.array()?;
            Ok(match self.order {
                Order::Little => <$type>::from_le_bytes(bytes),
                Order::Big => <$type>::from_be_bytes(bytes),
            })
        }
    };
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8], offset: usize, order: Order) -> Self {
        Self { data, offset, order }
    }

    /// Bytes not yet read.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.data.len().saturating_sub(self.offset)
    }

    /// The next `count` bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], NvError> {
        let data = self.data;
        let end = self.offset.checked_add(count).filter(|end| *end <= data.len());
        let Some(end) = end else {
            return Err(NvError::Truncated { offset: self.offset, wanted: count, left: self.left() });
        };
        let taken = &data[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], NvError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    number!(u16, u16);
    number!(i32, i32);
    number!(u32, u32);
    number!(u64, u64);

    /// A size or count, which must not be negative.
    #[inline]
    pub(super) fn size(&mut self, what: &'static str) -> Result<usize, NvError> {
        let offset = self.offset;
        usize::try_from(self.i32()?).map_err(|_| NvError::Malformed { what, offset })
    }
}
