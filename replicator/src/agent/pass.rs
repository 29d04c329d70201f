//! What a stream passes before the kernel gets it: each record is checked, and the first is held back until it is
//! whole and known to be allowed.

use bytes::Bytes;
use bytes::BytesMut;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::stream::Features;
use zfs_core::stream::Policy;
use zfs_core::stream::StreamChecker;
use zfs_core::stream::StreamError;

use super::fault::Fault;

/// Single streams only, without the features that OpenZFS cannot receive or that leave data out.
fn policy() -> Policy {
    Policy {
        allow_compound: false,
        allowed_features: Features::RECEIVABLE.without(Features::REDACTED).without(Features::HOLDS),
        ..Policy::default()
    }
}

/// Watches one stream that comes in.
pub(super) struct Pass {
    checker: StreamChecker,
    subject: String,
    guid: Guid,
    /// What came before the first record was whole; none after that.
    head: Option<BytesMut>,
}

impl Pass {
    pub(super) fn new(subject: String, guid: Guid) -> Self {
        Self { checker: StreamChecker::new(policy()), subject, guid, head: Some(BytesMut::new()) }
    }

    /// What may be handed on now. Nothing of a block with something wrong in it is.
    pub(super) fn block(&mut self, block: Bytes) -> Result<Option<Bytes>, Fault> {
        self.checker.push(&block).map_err(|error| self.refuse(&error))?;
        let Some(head) = &mut self.head else { return Ok(Some(block)) };
        head.extend_from_slice(&block);
        // At most a record and a block are kept.
        let Some(begin) = self.checker.begin() else { return Ok(None) };
        if begin.to_guid != self.guid {
            let (found, expected) = (begin.to_guid, self.guid);
            let why = format!("it is of the snapshot with GUID {found}, and {expected} was announced");
            return Err(Fault::stream(&self.subject, ErrorKind::StreamMismatch, why));
        }
        Ok(self.head.take().map(BytesMut::freeze))
    }

    /// At the end: whether it is the end of the stream too.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        self.checker.finish().map_err(|error| self.refuse(&error))
    }

    fn refuse(&self, error: &StreamError) -> Fault {
        let kind = match error {
            StreamError::Compound { .. } | StreamError::Features { .. } => ErrorKind::UnsupportedFeature,
            StreamError::Truncated { .. } => ErrorKind::StreamTruncated,
            _ => ErrorKind::StreamCorrupt,
        };
        Fault::stream(&self.subject, kind, error)
    }
}
