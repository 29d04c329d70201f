//! The names of what a node sets aside when it lets go of what only it has: `<name>-divergent-<epoch>`, with a number
//! behind it where that is taken by something that was set aside in the same epoch before.

use zfs_core::name::DatasetName;
use zfs_core::name::NameError;

/// Between the name of a dataset and the epoch.
const WORD: &str = "-divergent-";

/// The name under which a dataset is set aside for the `count`th time in an epoch; the first is 1.
///
/// # Errors
/// When it would be too long.
pub fn name(dataset: &DatasetName, epoch: u64, count: u64) -> Result<DatasetName, NameError> {
    match count {
        0 | 1 => format!("{dataset}{WORD}{epoch}").parse(),
        _ => format!("{dataset}{WORD}{epoch}-{count}").parse(),
    }
}

/// Epoch and count in the name of what was set aside for `dataset`.
#[must_use]
pub fn of(name: &DatasetName, dataset: &DatasetName) -> Option<(u64, u64)> {
    let rest = name.as_str().strip_prefix(dataset.as_str())?.strip_prefix(WORD)?;
    let (epoch, count) = match rest.split_once('-') {
        None => (rest.parse().ok()?, 1),
        Some((epoch, count)) => (epoch.parse().ok()?, count.parse().ok().filter(|count| *count > 1)?),
    };
    // Nothing but what is written here, to the letter.
    (self::name(dataset, epoch, count).ok()? == *name).then_some((epoch, count))
}

/// Whether the last part of a name is one that is given here.
#[must_use]
pub fn is_name(last: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((_, rest)) = last.rsplit_once(WORD) else { return false };
    match rest.split_once('-') {
        None => digits(rest),
        Some((epoch, count)) => digits(epoch) && digits(count),
    }
}

/// Whether a dataset below `root` was set aside, or lies in one that was.
#[must_use]
pub fn holds(root: &DatasetName, dataset: &DatasetName) -> bool {
    dataset.strip_prefix(root).unwrap_or_default().split('/').any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(text: &str) -> DatasetName {
        text.parse().expect("a name")
    }

    #[test]
    fn names_are_read_as_they_are_given() {
        let root = dataset("tank/a");
        for (epoch, count, expected) in
            [(3, 1, "tank/a-divergent-3"), (3, 2, "tank/a-divergent-3-2"), (12, 10, "tank/a-divergent-12-10")]
        {
            let given = name(&root, epoch, count).expect("a name");
            assert_eq!(given.as_str(), expected);
            assert_eq!(of(&given, &root), Some((epoch, count)));
            assert!(is_name(given.last()));
        }
        for other in [
            "tank/a",
            "tank/a-divergent-",
            "tank/a-divergent-x",
            "tank/a-divergent-03",
            "tank/a-divergent-3-",
            "tank/a-divergent-3-1",
            "tank/a-divergent-3-02",
            "tank/a-divergent-3-2-2",
            "tank/ab-divergent-3",
            "tank/a/b-divergent-3",
        ] {
            assert_eq!(of(&dataset(other), &root), None, "{other}");
        }
        assert!(name(&dataset(&format!("tank/{}", "x".repeat(245))), 1, 1).is_err());
    }

    #[test]
    fn what_lies_in_something_that_was_set_aside_belongs_to_it() {
        let root = dataset("tank/a");
        for (name, held) in [
            ("tank/a", false),
            ("tank/a/b", false),
            ("tank/a/b-divergent-1", true),
            ("tank/a/b-divergent-1-2/c", true),
            ("tank/a/b-divergent-x", false),
        ] {
            assert_eq!(holds(&root, &dataset(name)), held, "{name}");
        }
        // The root may have such a name itself.
        assert!(!holds(&dataset("tank/a-divergent-1"), &dataset("tank/a-divergent-1/b")));
    }
}
