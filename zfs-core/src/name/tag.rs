//! Tags of user holds, zfs-hold(8).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::NameError;
use super::error::NameErrorReason;
use super::error::NameKind;
use super::error::escape;

/// Longest tag in bytes that the kernel stores.
pub const MAX_TAG_LEN: usize = 255;

/// The tag of a user hold: 1 to 255 bytes, any but zero.
///
/// The kernel checks nothing but the length, so a tag made by others may hold line breaks or bytes that are
/// no UTF-8. [`fmt::Display`] escapes all that is not printable ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTag(Arc<[u8]>);

impl HoldTag {
    /// The tag as it stands on disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The tag as text, if it is UTF-8. Not escaped.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl TryFrom<&[u8]> for HoldTag {
    type Error = NameError;

    fn try_from(tag: &[u8]) -> Result<Self, NameError> {
        let fail = |reason, at| Err(NameError::new(NameKind::HoldTag, tag, reason, at));
        if tag.is_empty() {
            return fail(NameErrorReason::Empty, None);
        }
        if tag.len() > MAX_TAG_LEN {
            return fail(NameErrorReason::TooLong { length: tag.len(), max: MAX_TAG_LEN }, None);
        }
        if let Some(at) = tag.iter().position(|byte| *byte == 0) {
            return fail(NameErrorReason::Nul, Some(at));
        }
        Ok(Self(tag.into()))
    }
}

impl TryFrom<&str> for HoldTag {
    type Error = NameError;

    fn try_from(tag: &str) -> Result<Self, NameError> {
        Self::try_from(tag.as_bytes())
    }
}

impl FromStr for HoldTag {
    type Err = NameError;

    fn from_str(tag: &str) -> Result<Self, NameError> {
        Self::try_from(tag)
    }
}

impl fmt::Display for HoldTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for HoldTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl AsRef<[u8]> for HoldTag {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
