//! Names of native and user properties, zfsprops(7).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::NameError;
use super::error::NameErrorReason;
use super::error::NameKind;
use super::error::quote_char;

/// Longest property name in bytes (`ZAP_MAXNAMELEN` without its zero byte).
pub const MAX_PROPERTY_NAME_LEN: usize = 255;

const NATIVE: &str =
    "native names are made of a-z, 0-9, '_' and '-', and may end in '@' or '#' and an argument";
const USER: &str = "user property names are made of a-z, 0-9, ':', '.', '_' and '-'";
/// What sets off the argument of a native property: `userquota@joe`, `written@snapshot`, `written#bookmark`.
const ARGUMENT: [char; 2] = ['@', '#'];

/// The name of a property: native (`compression`, `userquota@joe`) or user defined (`org.example:note`).
///
/// Whether a native property of that name exists is for the kernel to say. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PropertyName(Arc<str>);

impl PropertyName {
    /// The name as ZFS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a user property: those, and only those, contain a colon before any `@` or `#`.
    pub fn is_user(&self) -> bool {
        is_user(&self.0)
    }
}

fn is_user(name: &str) -> bool {
    !name.contains(ARGUMENT) && name.contains(':')
}

impl TryFrom<&str> for PropertyName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        let fail = |reason, at| Err(NameError::new(NameKind::Property, name.as_bytes(), reason, at));
        if name.is_empty() {
            return fail(NameErrorReason::Empty, None);
        }
        if name.len() > MAX_PROPERTY_NAME_LEN {
            let reason = NameErrorReason::TooLong { length: name.len(), max: MAX_PROPERTY_NAME_LEN };
            return fail(reason, None);
        }
        let user = is_user(name);
        let allowed = if user { USER } else { NATIVE };
        let (base, argument) = name.split_once(ARGUMENT).unwrap_or((name, "x"));
        let bad = base.bytes().position(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => false,
            b':' | b'.' => !user,
            _ => true,
        });
        let in_argument = argument.bytes().position(|byte| byte < b' ' || byte == 0x7f);
        let at = bad.or(in_argument.map(|at| base.len() + 1 + at));
        if let Some(at) = at {
            return fail(
                NameErrorReason::PropertyCharacter { found: quote_char(name, at), allowed },
                Some(at),
            );
        }
        if base.is_empty() || argument.is_empty() {
            return fail(NameErrorReason::EmptyComponent, None);
        }
        Ok(Self(name.into()))
    }
}

impl FromStr for PropertyName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::try_from(name)
    }
}

impl fmt::Display for PropertyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PropertyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for PropertyName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for PropertyName {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<str> for PropertyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
