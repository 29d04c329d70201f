//! The operations that are compared.

use zfs_core::DatasetKind;
use zfs_core::bookmark::BookmarkSource;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;
use zfs_core::send::IncrementalSource;

/// What is done on both.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(DatasetName, DatasetKind),
    Write(DatasetName),
    Set(DatasetName, &'static str),
    Inherit(DatasetName),
    Rename(DatasetName, DatasetName),
    Destroy(DatasetName),
    Clone(SnapshotName, DatasetName),
    Promote(DatasetName),
    Snapshot(Vec<SnapshotName>),
    DestroySnapshot(SnapshotName),
    RenameSnapshot(SnapshotName, SnapshotName),
    Rollback(SnapshotName),
    Hold(SnapshotName, &'static str),
    Release(SnapshotName, &'static str),
    Bookmark(BookmarkName, BookmarkSource),
    DestroyBookmark(BookmarkName),
    Abort(DatasetName),
    Send {
        to: SnapshotName,
        from: Option<IncrementalSource>,
        into: SnapshotName,
        origin: Option<SnapshotName>,
        how: How,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Whole,
    /// The stream ends before its last record is complete.
    Cut,
    /// With the token of the target.
    Resumed,
    /// So, and cut again.
    ResumedAndCut,
}

impl Op {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Create(_, DatasetKind::Filesystem) => "create",
            Self::Create(_, DatasetKind::Volume) => "create volume",
            Self::Write(_) => "write",
            Self::Set(..) => "set",
            Self::Inherit(_) => "inherit",
            Self::Rename(..) => "rename",
            Self::Destroy(_) => "destroy",
            Self::Clone(..) => "clone",
            Self::Promote(_) => "promote",
            Self::Snapshot(_) => "snapshot",
            Self::DestroySnapshot(_) => "destroy snapshot",
            Self::RenameSnapshot(..) => "rename snapshot",
            Self::Rollback(_) => "rollback",
            Self::Hold(..) => "hold",
            Self::Release(..) => "release",
            Self::Bookmark(_, BookmarkSource::Snapshot(_)) => "bookmark",
            Self::Bookmark(_, BookmarkSource::Bookmark(_)) => "copy bookmark",
            Self::DestroyBookmark(_) => "destroy bookmark",
            Self::Abort(_) => "abort",
            Self::Send { how: How::Resumed | How::ResumedAndCut, .. } => "resume",
            Self::Send { from: None, origin: None, .. } => "full",
            Self::Send { from: Some(IncrementalSource::Bookmark(_)), .. } => "incremental from bookmark",
            Self::Send { origin: Some(_), .. } => "receive as clone",
            Self::Send { .. } => "incremental",
        }
    }
}
