//! The four bytes before every encoding, and what both decoders share.

use super::cursor::Cursor;
use super::cursor::Order;
use super::error::Limits;
use super::error::NvError;
use super::list::NvList;
use super::native;
use super::value::DataType;
use super::xdr;

/// Bytes of the header: encoding, byte order of the writer, two zeros.
pub(super) const HEADER: usize = 4;
const NATIVE: u8 = 0;
const XDR: u8 = 1;
const BIG: u8 = 0;
const LITTLE: u8 = 1;

/// How the list after the header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Native(Order),
    Xdr,
}

/// The header of an encoding made on this machine.
pub(super) const fn header(encoding: Encoding) -> [u8; HEADER] {
    let host = if cfg!(target_endian = "little") { LITTLE } else { BIG };
    match encoding {
        Encoding::Native(Order::Little) => [NATIVE, LITTLE, 0, 0],
        Encoding::Native(Order::Big) => [NATIVE, BIG, 0, 0],
        Encoding::Xdr => [XDR, host, 0, 0],
    }
}

/// Reads the header and checks the size of the whole.
pub(super) fn read_header(data: &[u8], limits: &Limits) -> Result<Encoding, NvError> {
    if data.len() > limits.bytes {
        return Err(NvError::Limit { what: "bytes", limit: limits.bytes, offset: 0 });
    }
    let [encoding, order, ..] = data else {
        return Err(NvError::Truncated { offset: 0, wanted: HEADER, left: data.len() });
    };
    if data.len() < HEADER {
        return Err(NvError::Truncated { offset: 0, wanted: HEADER, left: data.len() });
    }
    let order = match *order {
        BIG => Order::Big,
        LITTLE => Order::Little,
        other => return Err(NvError::ByteOrder(other)),
    };
    match *encoding {
        NATIVE => Ok(Encoding::Native(order)),
        XDR => Ok(Encoding::Xdr),
        other => Err(NvError::Encoding(other)),
    }
}

/// What is left of the limits while decoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) limits: Limits,
    pub(super) pairs: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, pairs: limits.pairs }
    }

    /// Counts one more pair.
    pub(super) fn pair(&mut self, offset: usize) -> Result<(), NvError> {
        let error = NvError::Limit { what: "pairs", limit: self.limits.pairs, offset };
        self.pairs = self.pairs.checked_sub(1).ok_or(error)?;
        Ok(())
    }

    /// Checks the level a list stands on, 1 for the outermost.
    pub(super) fn depth(&self, depth: usize, offset: usize) -> Result<(), NvError> {
        if depth > self.limits.depth {
            return Err(NvError::Limit { what: "levels", limit: self.limits.depth, offset });
        }
        Ok(())
    }
}

/// Checks the element count that stands beside a type.
pub(super) fn check_count(
    data_type: DataType,
    count: i32,
    limits: &Limits,
    offset: usize,
) -> Result<usize, NvError> {
    let bad = NvError::Count { data_type, count: i64::from(count), offset };
    let Ok(elements) = usize::try_from(count) else { return Err(bad) };
    if data_type.is_array() {
        if elements > limits.elements {
            return Err(NvError::Limit { what: "elements", limit: limits.elements, offset });
        }
    } else if elements != usize::from(data_type != DataType::Boolean) {
        return Err(bad);
    }
    Ok(elements)
}

impl NvList {
    /// Reads an encoding, XDR or native of either byte order.
    ///
    /// Zero bytes may follow the list, as libnvpair leaves them after empty arrays; anything else may not.
    ///
    /// # Errors
    /// If the bytes are no list or exceed `limits`.
    pub fn decode(data: &[u8], limits: &Limits) -> Result<Self, NvError> {
        let encoding = read_header(data, limits)?;
        let mut budget = Budget::new(limits);
        let (list, end) = match encoding {
            Encoding::Native(order) => {
                let mut cursor = Cursor::new(data, HEADER, order);
                (native::decode(&mut cursor, &mut budget)?, cursor.offset)
            }
            Encoding::Xdr => {
                let mut cursor = Cursor::new(data, HEADER, Order::Big);
                (xdr::decode(&mut cursor, &mut budget)?, cursor.offset)
            }
        };
        if data[end..].iter().any(|byte| *byte != 0) {
            return Err(NvError::Trailing { offset: end, count: data.len() - end });
        }
        Ok(list)
    }

    /// The list in XDR, byte for byte as `nvlist_pack(…, NV_ENCODE_XDR, …)` of this machine's libnvpair.
    ///
    /// Meant for libnvpair; an ioctl is better fed with [`NvList::encode_native`], because the kernel's XDR
    /// reader refuses single bytes and shorts that libnvpair writes with their sign extended.
    ///
    /// # Errors
    /// If a name or string holds a zero byte, or the list is too deep or too large.
    pub fn encode_xdr(&self) -> Result<Vec<u8>, NvError> {
        let mut out = header(Encoding::Xdr).to_vec();
        xdr::encode(self, &mut out)?;
        Ok(out)
    }

    /// The list in this machine's native encoding, as `nvlist_pack(…, NV_ENCODE_NATIVE, …)` makes it.
    ///
    /// # Errors
    /// If a name or string holds a zero byte, or the list is too deep or too large.
    pub fn encode_native(&self) -> Result<Vec<u8>, NvError> {
        let order = if cfg!(target_endian = "little") { Order::Little } else { Order::Big };
        native::encode(self, order)
    }
}
