//! The kernel's grammar of dataset, snapshot and bookmark names, checked byte by byte.

use super::error::NameError;
use super::error::NameErrorReason as Reason;
use super::error::NameKind;
use super::error::quote_char;

/// Longest dataset, snapshot or bookmark name in bytes (`ZFS_MAX_DATASET_NAME_LEN` without its zero byte).
pub const MAX_NAME_LEN: usize = 255;

/// Most components a dataset name can have: the default of the kernel's `zfs_max_dataset_nesting`, zfs(4).
pub const MAX_NESTING: usize = 50;

/// Pools the kernel refuses to create or import, `pool_namecheck`. `zpool create` refuses some more, but
/// older pools with such names exist and must stay reachable.
const RESERVED_POOLS: [&str; 3] = ["mirror", "raidz", "draid"];

pub(super) const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b' ')
}

pub(super) fn fail<T>(kind: NameKind, name: &str, reason: Reason, at: Option<usize>) -> Result<T, NameError> {
    Err(NameError::new(kind, name.as_bytes(), reason, at))
}

/// Length of the whole name; every other check may assume it.
pub(super) fn length(kind: NameKind, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return fail(kind, name, Reason::Empty, None);
    }
    if name.len() > MAX_NAME_LEN {
        return fail(kind, name, Reason::TooLong { length: name.len(), max: MAX_NAME_LEN }, None);
    }
    Ok(())
}

/// The dataset part of `name`, which ends at `end`; positions in errors refer to the whole name.
pub(super) fn dataset_part(kind: NameKind, name: &str, end: usize) -> Result<(), NameError> {
    let dataset = &name[..end];
    if dataset.starts_with('/') {
        return fail(kind, name, Reason::LeadingSlash, Some(0));
    }
    if dataset.len() > 1 && dataset.ends_with('/') {
        return fail(kind, name, Reason::TrailingSlash, Some(end - 1));
    }
    let mut start = 0;
    let mut depth = 0;
    for component in dataset.split('/') {
        component_at(kind, name, start, component)?;
        start += component.len() + 1;
        depth += 1;
    }
    pool(kind, name, dataset)?;
    if depth > MAX_NESTING {
        return fail(kind, name, Reason::TooDeep { depth, max: MAX_NESTING }, None);
    }
    Ok(())
}

fn pool(kind: NameKind, name: &str, dataset: &str) -> Result<(), NameError> {
    let pool = dataset.split('/').next().unwrap_or_default();
    if !pool.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return fail(kind, name, Reason::PoolFirstLetter, Some(0));
    }
    if RESERVED_POOLS.contains(&pool) {
        return fail(kind, name, Reason::PoolReserved, Some(0));
    }
    Ok(())
}

/// One component (between slashes, or after `@` or `#`) that starts at byte `start` of `name`.
pub(super) fn component_at(
    kind: NameKind,
    name: &str,
    start: usize,
    component: &str,
) -> Result<(), NameError> {
    if let Some(at) = component.bytes().position(|byte| !is_name_byte(byte)) {
        return fail(kind, name, unexpected(kind, name, start + at), Some(start + at));
    }
    match component {
        "" => fail(kind, name, Reason::EmptyComponent, Some(start)),
        "." | ".." => fail(kind, name, Reason::DotComponent, Some(start)),
        _ => Ok(()),
    }
}

fn unexpected(kind: NameKind, name: &str, at: usize) -> Reason {
    let seen_delimiter = name.as_bytes()[..at].iter().any(|byte| matches!(byte, b'@' | b'#'));
    match name.as_bytes()[at] {
        found @ (b'@' | b'#' | b'/') if seen_delimiter => Reason::AfterDelimiter { found: char::from(found) },
        found @ (b'@' | b'#') if kind == NameKind::Dataset => Reason::Delimiter { found: char::from(found) },
        _ => Reason::Character { found: quote_char(name, at) },
    }
}
