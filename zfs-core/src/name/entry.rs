//! Names of snapshots and bookmarks: a dataset, a delimiter and one component.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::check;
use super::dataset::DatasetName;
use super::error::NameError;
use super::error::NameErrorReason;
use super::error::NameKind;

macro_rules! entry_name {
    ($(#[$doc:meta])* $Name:ident, $kind:expr, $delimiter:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $Name {
            full: Arc<str>,
            dataset: DatasetName,
        }

        impl $Name {
            /// The whole name as ZFS writes it.
            pub fn as_str(&self) -> &str {
                &self.full
            }

            /// The dataset it belongs to.
            pub fn dataset(&self) -> &DatasetName {
                &self.dataset
            }

            /// The part after the delimiter.
            pub fn short(&self) -> &str {
                &self.full[self.dataset.as_str().len() + 1..]
            }

            /// The pool's name.
            pub fn pool(&self) -> &str {
                self.dataset.pool()
            }

            pub(super) fn of(dataset: &DatasetName, short: &str) -> Result<Self, NameError> {
                let full = format!("{dataset}{}{short}", $delimiter);
                check::length($kind, &full)?;
                check::component_at($kind, &full, dataset.as_str().len() + 1, short)?;
                Ok(Self { full: full.into(), dataset: dataset.clone() })
            }
        }

        impl TryFrom<&str> for $Name {
            type Error = NameError;

            fn try_from(name: &str) -> Result<Self, NameError> {
                check::length($kind, name)?;
                let Some(at) = name.find($delimiter) else {
                    let reason = NameErrorReason::NoDelimiter { delimiter: $delimiter };
                    return check::fail($kind, name, reason, None);
                };
                check::dataset_part($kind, name, at)?;
                check::component_at($kind, name, at + 1, &name[at + 1..])?;
                Ok(Self { full: name.into(), dataset: DatasetName::checked(&name[..at]) })
            }
        }

        impl TryFrom<String> for $Name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::try_from(name.as_str())
            }
        }

        impl FromStr for $Name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::try_from(name)
            }
        }

        impl PartialEq for $Name {
            fn eq(&self, other: &Self) -> bool {
                self.full == other.full
            }
        }

        impl Eq for $Name {}

        impl PartialOrd for $Name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $Name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.full.cmp(&other.full)
            }
        }

        impl std::hash::Hash for $Name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.full.hash(state);
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.full)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.full, f)
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.full
            }
        }

        impl AsRef<[u8]> for $Name {
            fn as_ref(&self) -> &[u8] {
                self.full.as_bytes()
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.full
            }
        }

        impl PartialEq<str> for $Name {
            fn eq(&self, other: &str) -> bool {
                &*self.full == other
            }
        }

        impl PartialEq<&str> for $Name {
            fn eq(&self, other: &&str) -> bool {
                &*self.full == *other
            }
        }
    };
}

entry_name! {
    /// The name of a snapshot, `pool/dataset@name`. Cheap to clone.
    SnapshotName, NameKind::Snapshot, '@'
}

entry_name! {
    /// The name of a bookmark, `pool/dataset#name`. Cheap to clone.
    BookmarkName, NameKind::Bookmark, '#'
}
