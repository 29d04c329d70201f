//! Why a name was refused, in words an operator can act on. Names from outside are hostile: they are
//! escaped and shortened before they reach a message, so that no log line can be forged through them.

use std::fmt;

/// How many bytes of a refused name are shown in a message.
const SHOWN: usize = 80;

/// A name that does not follow the grammar of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} \"{name}\" is not valid: {}", self.explain())]
#[non_exhaustive]
pub struct NameError {
    /// What the name was meant to be.
    pub kind: NameKind,
    /// The name as given, escaped and shortened to be safe in a message or a log.
    pub name: String,
    /// Which rule it breaks.
    pub reason: NameErrorReason,
    /// Byte offset into the name as given, where the rule is about one place.
    pub position: Option<usize>,
}

impl NameError {
    pub(super) fn new(kind: NameKind, name: &[u8], reason: NameErrorReason, position: Option<usize>) -> Self {
        Self { kind, name: shorten(name), reason, position }
    }

    fn explain(&self) -> String {
        match self.position {
            Some(at) => format!("at byte {at}: {}", self.reason),
            None => self.reason.to_string(),
        }
    }
}

/// The kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameKind {
    /// A filesystem or volume, `pool/path`.
    Dataset,
    /// A snapshot, `pool/path@name`.
    Snapshot,
    /// A bookmark, `pool/path#name`.
    Bookmark,
    /// A hold tag.
    HoldTag,
    /// A native or user property.
    Property,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dataset => "dataset name",
            Self::Snapshot => "snapshot name",
            Self::Bookmark => "bookmark name",
            Self::HoldTag => "hold tag",
            Self::Property => "property name",
        })
    }
}

/// The rule a name breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameErrorReason {
    /// The name is the empty string.
    #[error("it is empty")]
    Empty,
    /// More bytes than the kernel keeps for a name.
    #[error("it is {length} bytes long, at most {max} are allowed")]
    TooLong {
        /// Bytes in the name.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More levels than the kernel's `zfs_max_dataset_nesting` allows.
    #[error("it has {depth} levels, at most {max} are allowed")]
    TooDeep {
        /// Components in the name.
        depth: usize,
        /// Components allowed.
        max: usize,
    },
    /// The name starts with `/`; dataset names are not paths.
    #[error("a dataset name has no leading '/'; write the dataset, not its mount point")]
    LeadingSlash,
    /// The name ends with `/`.
    #[error("a dataset name has no trailing '/'")]
    TrailingSlash,
    /// Two delimiters in a row, or one at an end.
    #[error("a component is empty")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("the components '.' and '..' are not allowed")]
    DotComponent,
    /// A character outside the kernel's set.
    #[error("{found} is not allowed; letters A-Z and a-z, digits, '-', '_', '.', ':' and space are")]
    Character {
        /// The character, quoted and escaped.
        found: String,
    },
    /// `@` or `#` where only a dataset is expected.
    #[error("'{found}' begins a snapshot or bookmark name; a dataset alone is expected here")]
    Delimiter {
        /// The delimiter found.
        found: char,
    },
    /// No `@` in a snapshot name, no `#` in a bookmark name.
    #[error("'{delimiter}' is missing; the form is pool/dataset{delimiter}name")]
    NoDelimiter {
        /// The delimiter expected.
        delimiter: char,
    },
    /// A second `@` or `#`, or a `/` after one.
    #[error("'{found}' is not allowed after the '@' or '#'")]
    AfterDelimiter {
        /// The character found.
        found: char,
    },
    /// The pool's name does not begin with a letter.
    #[error("the pool's name must begin with a letter A-Z or a-z")]
    PoolFirstLetter,
    /// The pool's name is one the kernel keeps for itself.
    #[error("no pool can be called 'mirror', 'raidz' or 'draid'")]
    PoolReserved,
    /// A character that a property's name cannot have where it stands.
    #[error("{found} is not allowed in a property name; {allowed}")]
    PropertyCharacter {
        /// The character, quoted and escaped.
        found: String,
        /// What would be allowed.
        allowed: &'static str,
    },
    /// A zero byte, which ends a string in the kernel.
    #[error("it contains a zero byte")]
    Nul,
}

/// Makes bytes from outside safe to print: printable ASCII stays, all else becomes an escape.
pub(crate) fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn shorten(name: &[u8]) -> String {
    match name.get(..SHOWN) {
        Some(head) if name.len() > SHOWN => format!("{}...", escape(head)),
        _ => escape(name),
    }
}

/// One character of a name, for a message.
pub(super) fn quote_char(name: &str, at: usize) -> String {
    match name.get(at..).and_then(|rest| rest.chars().next()) {
        Some(found) => format!("'{}'", found.escape_default()),
        None => "a broken character".to_owned(),
    }
}
