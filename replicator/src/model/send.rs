//! Streams of the model: real records with real checksums, that carry the numbers in the blocks. What a real stream
//! keeps in the flags of its BEGIN record stands in the list after it here.

use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::name::SnapshotName;
use zfs_core::nvlist::NvList;
use zfs_core::nvlist::Value;
use zfs_core::send::IncrementalSource;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::Features;
use zfs_core::stream::RecordType;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;
use zfs_core::token::ResumeToken;

use super::machine::Content;
use super::machine::Machine;
use super::machine::Refused;

/// The object that holds all blocks.
pub(super) const OBJECT: u64 = 1;

/// Names in the list after BEGIN.
pub(super) const VOLUME: &str = "model_volume";
pub(super) const CLONE: &str = "model_clone";
pub(super) const TO_IVSET: &str = "to_ivset_guid";
pub(super) const FROM_IVSET: &str = "from_ivset_guid";

/// What to send.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The snapshot.
    pub to: SnapshotName,
    /// Where it starts.
    pub from: Option<IncrementalSource>,
    /// Encrypted blocks as they are.
    pub raw: bool,
    /// Where to go on.
    pub resume: Option<ResumeToken>,
}

impl Machine {
    /// The bytes of a stream.
    ///
    /// # Errors
    /// As the kernel.
    pub fn send(&self, stream: &Stream) -> Result<Vec<u8>, Refused> {
        let refused = |kind| Refused::new(Operation::Send, &stream.to, kind);
        let missing = || refused(ErrorKind::NotFound);
        let name = stream.to.dataset();
        let (dataset, to) =
            (self.dataset(name).ok_or_else(missing)?, self.find(&stream.to).ok_or_else(missing)?);
        if dataset.is_encrypted() && !stream.raw && !self.key_loaded(name) {
            return Err(refused(ErrorKind::KeyNotLoaded));
        }
        let mut list = NvList::new();
        let mut base = None;
        if let Some(source) = &stream.from {
            if !source.as_str().starts_with(&format!("{}/", stream.to.pool())) {
                return Err(refused(ErrorKind::NotAnAncestor));
            }
            let (from, txg, guid, ivset, content) = match source {
                IncrementalSource::Snapshot(from) => {
                    let snap = self.find(from).ok_or_else(missing)?;
                    (from.dataset(), snap.createtxg, snap.guid, snap.ivset, snap.content.clone())
                }
                IncrementalSource::Bookmark(from) => {
                    let mark = self.mark(from).ok_or_else(missing)?;
                    (from.dataset(), mark.createtxg, mark.guid, mark.ivset, mark.content.clone())
                }
            };
            if !self.comes_before(name, Some(to.createtxg), from, txg) {
                return Err(refused(ErrorKind::NotAnAncestor));
            }
            if from != name {
                list.insert(CLONE, Value::Boolean);
            }
            if let Some(ivset) = ivset {
                list.insert(FROM_IVSET, ivset.0);
            }
            base = Some((guid, content));
        }
        if let Some(ivset) = to.ivset {
            list.insert(TO_IVSET, ivset.0);
        }
        if dataset.kind == DatasetKind::Volume {
            list.insert(VOLUME, Value::Boolean);
        }
        // Plain datasets are sent raw as well, which changes nothing for them.
        let raw = stream.raw && dataset.is_encrypted();
        let mut features = Features::COMPRESSED;
        // Of the dataset in truth; here all datasets of a pool have large blocks, or none has.
        if self.has_feature(name.pool(), "large_blocks", &["active"]) {
            features = features.with(Features::LARGE_BLOCKS);
        }
        if raw {
            features = features.with(Features::RAW);
        }
        let mut from_offset = 0;
        if let Some(token) = &stream.resume {
            features = features.with(Features::RESUMING);
            list.insert("resume_object", token.object);
            list.insert("resume_offset", token.offset);
            from_offset = token.offset;
        }
        let begin = Begin {
            features,
            to_guid: to.guid.0,
            from_guid: base.as_ref().map_or(0, |(guid, _)| guid.0),
            to_name: stream.to.to_string(),
            payload: list.encode_native().unwrap_or_default(),
            ..Begin::default()
        };
        let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&begin);
        let incremental = base.is_some();
        let before = base.map(|(_, content)| content).unwrap_or_default();
        let changed = difference(&before, &to.content);
        // An increment without changes has nothing between its first and its last record.
        if !incremental || !changed.is_empty() {
            builder = builder.object(OBJECT, &[0; 8]);
        }
        for (offset, value) in changed {
            if offset < from_offset {
                continue;
            }
            builder = match value {
                Some(value) => builder.write(OBJECT, offset, &value.to_le_bytes()),
                None => builder.bare(RecordType::Free, OBJECT, offset),
            };
        }
        Ok(builder.end().build())
    }
}

/// The blocks of `after` that `before` does not have, and those of `before` that are gone.
fn difference(before: &Content, after: &Content) -> Vec<(u64, Option<u64>)> {
    let blocks: BTreeSet<u64> = before.keys().chain(after.keys()).copied().collect();
    let changed = blocks.into_iter().filter(|block| before.get(block) != after.get(block));
    changed.map(|block| (block, after.get(&block).copied())).collect()
}
