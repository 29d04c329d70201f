//! What a stream must be before the receiver may have it: one stream of the snapshot that the plan names, from the
//! base it names, in the mode it names; and whole, with every checksum right, before its end is reported. The records
//! themselves are read by `zfs_core::stream`.

use zfs_core::Guid;
use zfs_core::stream::Policy;
use zfs_core::stream::StreamChecker;

use super::Expected;

/// Why a stream is not handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A record or a checksum is wrong.
    #[error("the stream is damaged: {0}")]
    Damaged(String),
    /// It ended early.
    #[error("the stream was cut short: {0}")]
    Truncated(String),
    /// It is of another snapshot.
    #[error("the stream is of the snapshot with GUID {found}, and {expected} was asked for")]
    OtherSnapshot {
        /// What was asked for.
        expected: Guid,
        /// What came.
        found: Guid,
    },
    /// It starts from another snapshot.
    #[error("the stream starts from {}, and {} was asked for", guid(.found), guid(.expected))]
    OtherBase {
        /// What was asked for.
        expected: Option<Guid>,
        /// What came.
        found: Option<Guid>,
    },
    /// It is raw where it should not be, or the other way round.
    #[error("the stream is {}raw, and the opposite was asked for", if *.raw { "" } else { "not " })]
    OtherMode {
        /// What came.
        raw: bool,
    },
}

fn guid(guid: &Option<Guid>) -> String {
    guid.map_or_else(|| "nothing (a full stream)".to_string(), |guid| format!("GUID {guid}"))
}

fn damage(error: zfs_core::stream::StreamError) -> StreamError {
    match error {
        zfs_core::stream::StreamError::Truncated { .. } => StreamError::Truncated(error.to_string()),
        error => StreamError::Damaged(error.to_string()),
    }
}

/// Watches one stream go by.
pub(super) struct Watch {
    checker: StreamChecker,
    expected: Expected,
    begun: bool,
}

impl Watch {
    pub(super) fn new(expected: Expected) -> Self {
        Self { checker: StreamChecker::new(Policy::default()), expected, begun: false }
    }

    /// Looks at a block before it is handed on.
    pub(super) fn pass(&mut self, block: &[u8]) -> Result<(), StreamError> {
        self.checker.push(block).map_err(damage)?;
        if self.begun {
            return Ok(());
        }
        let Some(begin) = self.checker.begin() else { return Ok(()) };
        self.begun = true;
        let expected = self.expected;
        if begin.to_guid != expected.to {
            return Err(StreamError::OtherSnapshot { expected: expected.to, found: begin.to_guid });
        }
        if begin.from_guid != expected.from {
            return Err(StreamError::OtherBase { expected: expected.from, found: begin.from_guid });
        }
        if begin.is_raw() != expected.raw {
            return Err(StreamError::OtherMode { raw: begin.is_raw() });
        }
        Ok(())
    }

    /// At the end: whether it was the end of the stream too.
    pub(super) fn finish(&self) -> Result<(), StreamError> {
        self.checker.finish().map_err(damage)
    }
}
