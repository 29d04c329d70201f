//! Send streams: what their records say, and checking one as it passes.
//!
//! [`StreamChecker`] takes a stream in pieces of any size while it is on its way somewhere else. It walks the
//! records without keeping their contents, checks the running checksum, refuses what a [`Policy`] does not
//! allow, and knows at the end whether the stream was whole. What is in the blocks is not looked at.
//!
//! A stream is a row of records: a header of [`RECORD_BYTES`] bytes and, for some, a payload. Layouts are those
//! of `dmu_replay_record_t` in `sys/zfs_ioctl.h`; numbers are in the byte order of the machine that sent.
//!
//! ```
//! use zfs_core::stream::{Policy, StreamChecker, StreamError};
//!
//! let mut checker = StreamChecker::new(Policy::default());
//! let refused = checker.push(&[0_u8; 400]).unwrap_err();
//! assert!(matches!(refused, StreamError::NotAStream { .. }));
//! ```

mod begin;
#[cfg(any(test, feature = "test-support"))]
pub mod build;
mod checker;
mod error;
mod record;
#[cfg(test)]
mod samples;
mod stats;
mod sum;
#[cfg(test)]
mod tests;

pub use begin::BeginRecord;
pub use begin::Features;
pub use begin::StreamKind;
pub use checker::Policy;
pub use checker::StreamChecker;
pub use error::StreamError;
pub use record::MAX_PAYLOAD;
pub use record::RECORD_BYTES;
pub use record::RecordType;
pub use stats::RecordCount;
pub use stats::StreamStats;

pub use crate::fletcher::ByteOrder;
pub use crate::fletcher::Fletcher4;
