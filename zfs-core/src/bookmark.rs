//! Bookmarks: incremental sources that outlive their snapshot (zfs-bookmark(8)).

use crate::dataset::Bookmark;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::{BookmarkName, DatasetName, SnapshotName};
use crate::nvlist::{NvList, Value};
use crate::snapshot::{flags, per_name};
use crate::{Guid, Txg, Zfs};

/// What a bookmark is made of: a snapshot, or another bookmark of the same dataset (from OpenZFS 2.0 on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookmarkSource {
    /// A snapshot.
    Snapshot(SnapshotName),
    /// A bookmark, which is copied.
    Bookmark(BookmarkName),
}

impl BookmarkSource {
    fn as_str(&self) -> &str {
        match self {
            BookmarkSource::Snapshot(name) => name.as_str(),
            BookmarkSource::Bookmark(name) => name.as_str(),
        }
    }
}

impl From<SnapshotName> for BookmarkSource {
    fn from(name: SnapshotName) -> Self {
        BookmarkSource::Snapshot(name)
    }
}

impl From<BookmarkName> for BookmarkSource {
    fn from(name: BookmarkName) -> Self {
        BookmarkSource::Bookmark(name)
    }
}

impl Zfs {
    /// The bookmarks of a dataset, in no particular order.
    pub fn bookmarks(&self, dataset: &DatasetName) -> Result<Vec<Bookmark>> {
        let wanted = flags(["guid", "createtxg", "creation", "ivsetguid"].into_iter());
        let answer = self.ffi.get_bookmarks(dataset.as_str(), &wanted);
        if answer.errno != 0 {
            return Err(Error::new(Operation::ListBookmarks, dataset, answer.errno));
        }
        let list = answer.list.unwrap_or_default();
        list.iter().map(|(short, value)| read(dataset, short, value)).collect()
    }

    /// Makes bookmarks of one pool, all of them or none. The error lists the names the kernel refused.
    pub fn bookmark(&self, bookmarks: &[(BookmarkName, BookmarkSource)]) -> Result<()> {
        let Some((first, _)) = bookmarks.first() else { return Ok(()) };
        let mut list = NvList::new();
        for (name, source) in bookmarks {
            list.insert(name.as_str(), source.as_str());
        }
        per_name(Operation::Bookmark, first, &self.ffi.bookmark(&list))
    }

    /// Destroys bookmarks of one pool. Those that do not exist count as destroyed, which is the kernel's own rule.
    pub fn destroy_bookmarks(&self, bookmarks: &[BookmarkName]) -> Result<()> {
        let Some(first) = bookmarks.first() else { return Ok(()) };
        let list = flags(bookmarks.iter().map(BookmarkName::as_str));
        per_name(Operation::DestroyBookmarks, first, &self.ffi.destroy_bookmarks(&list))
    }
}

fn read(dataset: &DatasetName, short: &[u8], value: &Value) -> Result<Bookmark> {
    let bad = || {
        let short = String::from_utf8_lossy(short);
        Error::found(
            Operation::ListBookmarks,
            dataset,
            ErrorKind::BadAnswer,
            format!("the bookmark {short:?} is not understood"),
        )
    };
    let name =
        std::str::from_utf8(short).ok().and_then(|short| dataset.bookmark(short).ok()).ok_or_else(bad)?;
    let Value::List(properties) = value else { return Err(bad()) };
    let number = |property| properties.list(property).and_then(|pair| pair.u64("value"));
    Ok(Bookmark {
        name,
        guid: Guid(number("guid").ok_or_else(bad)?),
        createtxg: Txg(number("createtxg").ok_or_else(bad)?),
        creation: number("creation").unwrap_or(0),
        ivset_guid: number("ivsetguid").filter(|guid| *guid != 0).map(Guid),
    })
}
