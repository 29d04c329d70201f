//! Names of filesystems and volumes.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::check;
use super::entry::BookmarkName;
use super::entry::SnapshotName;
use super::error::NameError;
use super::error::NameErrorReason;
use super::error::NameKind;

/// The partial state of a resumable receive into an existing dataset lives in a hidden child of this name.
const PARTIAL_RECEIVE: &str = "%recv";

/// The name of a filesystem or volume, `pool` or `pool/path/…`. Cheap to clone.
///
/// Components are made of letters, digits, `-`, `_`, `.`, `:` and space; see zfsconcepts(7). The names ZFS
/// keeps for itself (with `%` or `$`) cannot be parsed; the only one that can be had is the one of a
/// partial receive, through [`DatasetName::partial_receive`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetName(Arc<str>);

impl DatasetName {
    /// The name as ZFS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pool's name: the first component.
    pub fn pool(&self) -> &str {
        self.components().next().unwrap_or_default()
    }

    /// The components, the pool first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn last(&self) -> &str {
        self.components().next_back().unwrap_or_default()
    }

    /// Number of components; a pool's root dataset has 1.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The dataset above, or none for a pool's root dataset.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// The dataset `path` below this one; `path` is one component or several joined by `/`.
    ///
    /// # Errors
    /// If `path` or the joined name breaks the grammar, the length or the nesting limit.
    pub fn child(&self, path: &str) -> Result<Self, NameError> {
        Self::try_from(format!("{}/{path}", self.0).as_str())
    }

    /// The snapshot `name` of this dataset (without `@`).
    ///
    /// # Errors
    /// If `name` breaks the grammar or the whole is too long.
    pub fn snapshot(&self, name: &str) -> Result<SnapshotName, NameError> {
        SnapshotName::of(self, name)
    }

    /// The bookmark `name` of this dataset (without `#`).
    ///
    /// # Errors
    /// If `name` breaks the grammar or the whole is too long.
    pub fn bookmark(&self, name: &str) -> Result<BookmarkName, NameError> {
        BookmarkName::of(self, name)
    }

    /// Whether this is `ancestor` itself or lies anywhere below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.strip_prefix(ancestor).is_some()
    }

    /// The path below `ancestor`: empty for `ancestor` itself, none if this lies elsewhere.
    pub fn strip_prefix(&self, ancestor: &Self) -> Option<&str> {
        let rest = self.0.strip_prefix(ancestor.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The hidden child that holds a partial receive into this dataset, `<dataset>/%recv`.
    ///
    /// It is destroyed to give up such a receive. No input can be parsed into this name.
    ///
    /// # Errors
    /// If the name would be longer than the kernel allows.
    pub fn partial_receive(&self) -> Result<Self, NameError> {
        let name = format!("{}/{PARTIAL_RECEIVE}", self.0);
        check::length(NameKind::Dataset, &name)?;
        Ok(Self(name.into()))
    }

    /// Whether this is a name ZFS keeps for itself, made by [`DatasetName::partial_receive`].
    pub fn is_internal(&self) -> bool {
        self.0.contains('%')
    }

    /// A name the running kernel itself reported: the nesting limit, which is tunable there, is not held
    /// against it.
    ///
    /// # Errors
    /// As for parsing, except for the nesting limit.
    pub fn from_kernel(name: &str) -> Result<Self, NameError> {
        match Self::try_from(name) {
            Err(NameError { reason: NameErrorReason::TooDeep { .. }, .. }) => Ok(Self(name.into())),
            result => result,
        }
    }

    /// The dataset part of a snapshot or bookmark name that has been checked as a whole.
    pub(super) fn checked(name: &str) -> Self {
        Self(name.into())
    }
}

impl TryFrom<&str> for DatasetName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        check::length(NameKind::Dataset, name)?;
        check::dataset_part(NameKind::Dataset, name, name.len())?;
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for DatasetName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::try_from(name.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::try_from(name)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for DatasetName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for DatasetName {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<str> for DatasetName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for DatasetName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for DatasetName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}
