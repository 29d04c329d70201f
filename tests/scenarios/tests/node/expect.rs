//! What a failed operation must say.

use std::error::Error as _;
use std::fmt::Debug;
use std::io;

use zfs_core::Error;
use zfs_core::ErrorKind;
use zfs_core::Operation;

/// The operation failed, as this kind of error, and its text names what it was tried on.
#[track_caller]
pub(crate) fn fails<T: Debug>(
    result: Result<T, Error>,
    operation: Operation,
    kind: ErrorKind,
    subject: &str,
) -> Error {
    let error = result.expect_err("the operation succeeded");
    assert_eq!((error.operation(), error.kind()), (operation, kind), "{error} (errno {})", error.errno());
    let text = error.to_string();
    assert!(text.contains(subject), "{text:?} does not name {subject:?}");
    assert!(!error.subject().is_empty(), "{text}");
    error
}

/// A failed read or write of a stream carries the kernel's error; this takes it out.
#[track_caller]
pub(crate) fn inner(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.unwrap_or_else(|| panic!("not an error of ZFS: {error:?} ({:?})", error.source())).clone()
}
