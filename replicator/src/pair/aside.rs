//! The names of what a node sets aside when it lets go of what only it has: `<name>-divergent-<epoch>`, with a number
//! behind it where that is taken by something that was set aside in the same epoch before.

use zfs_core::name::DatasetName;
use zfs_core::name::NameError;

use crate::marks;

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

/// Whether a dataset below `root` was set aside, or lies in one that was. By whatever: none of them is sent.
#[must_use]
pub fn holds(root: &DatasetName, dataset: &DatasetName) -> bool {
    topmost(dataset, Some(root), std::slice::from_ref(root)).is_some()
}

/// The dataset that was set aside and that this one is, or lies in: by a rejoin of a pair with one of these `roots`, by a
/// replication, or by a restore. Of several it is the topmost. Only what lies below a root counts, and below `above`, where
/// that is given: who names a dataset means it, whatever it is.
#[must_use]
pub fn topmost(
    dataset: &DatasetName,
    above: Option<&DatasetName>,
    roots: &[DatasetName],
) -> Option<DatasetName> {
    let by_rejoin = |name: &DatasetName| {
        let below = |root: &DatasetName| name.is_within(root) && is_name(name.last());
        roots.iter().any(|root| below(root) || of(name, root).is_some())
    };
    let counts = |name: &DatasetName| {
        !roots.contains(name) && above.is_none_or(|above| name != above && name.is_within(above))
    };
    let mut found = None;
    let mut next = Some(dataset.clone());
    while let Some(name) = next.filter(&counts) {
        next = name.parent();
        if marks::was_set_aside(&name).is_some() || by_rejoin(&name) {
            found = Some(name);
        }
    }
    found
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
            // By a restore, or a replication that was there before the pair.
            ("tank/a/b_diverged_20261122T181500Z/c", true),
        ] {
            assert_eq!(holds(&root, &dataset(name)), held, "{name}");
        }
        // The root may have such a name itself.
        assert!(!holds(&dataset("tank/a-divergent-1"), &dataset("tank/a-divergent-1/b")));
    }

    #[test]
    fn what_was_set_aside_is_found_from_whatever_lies_in_it() {
        let roots = [dataset("tank/a"), dataset("tank/c-divergent-1")];
        let time = "_diverged_20261122T181500Z";
        for (name, found) in [
            ("tank/a", None),
            ("tank/a/b", None),
            ("tank/a/b-divergent-1", Some("tank/a/b-divergent-1")),
            ("tank/a/b-divergent-1/c", Some("tank/a/b-divergent-1")),
            ("tank/a/b-divergent-1/c-divergent-2", Some("tank/a/b-divergent-1")),
            // Beside a root, and its own children.
            ("tank/a-divergent-2-3", Some("tank/a-divergent-2-3")),
            ("tank/a-divergent-2-3/b", Some("tank/a-divergent-2-3")),
            // Of no root, and a root with such a name.
            ("tank/b-divergent-1", None),
            ("tank/c-divergent-1", None),
            ("tank/c-divergent-1/d", None),
            ("tank/c-divergent-1/d-divergent-2", Some("tank/c-divergent-1/d-divergent-2")),
        ] {
            let found = found.map(dataset);
            assert_eq!(topmost(&dataset(name), None, &roots), found, "{name}");
        }
        // What a replication or a restore leaves is known wherever it is.
        let aside = dataset(&format!("tank/x{time}"));
        for below in ["", "/y", "/y/z"] {
            let name = dataset(&format!("{aside}{below}"));
            assert_eq!(topmost(&name, None, &[]), Some(aside.clone()), "{name}");
            // Whoever names it means it.
            assert_eq!(topmost(&name, Some(&aside), &[]), None, "{name}");
        }
        let deep = dataset(&format!("{aside}/y{time}/z"));
        assert_eq!(topmost(&deep, Some(&aside), &[]), deep.parent());
        assert_eq!(topmost(&deep, Some(&dataset("tank")), &[]), Some(aside.clone()));
        assert_eq!(topmost(&dataset("tank/a/b-divergent-1"), None, &[]), None, "there is no pair");
        // A root that lies in what was set aside has been named.
        assert_eq!(topmost(&deep, None, &[dataset(&format!("{aside}/y{time}"))]), None);
    }
}
