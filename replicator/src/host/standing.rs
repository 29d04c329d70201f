//! How this program stands on a machine: by whose rights it works there, what these allow, and what the clock there
//! says. Asked before the first run, to tell what would fail.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::name::DatasetName;

/// What a user may do with a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Anything: it is root, or becomes root.
    All,
    /// What zfs-allow(8) gives.
    These {
        /// The user.
        user: String,
        /// The names of the permissions.
        permissions: BTreeSet<String>,
    },
    /// It cannot be told before it is tried.
    Unknown {
        /// Why.
        why: String,
    },
}

/// How this program stands on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it may do with the dataset that was asked about.
    pub rights: Rights,
    /// The clock there, in seconds since 1970, somewhere between question and answer.
    pub clock: Option<i64>,
}

/// Who a command runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) uid: Option<u32>,
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) clock: Option<i64>,
}

impl Who {
    /// Takes a line of the answer; others, which a login shell may print, mean nothing.
    pub(crate) fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("uid", number)) => self.uid = number.trim().parse().ok(),
            Some(("user", name)) => self.user = name.trim().to_string(),
            Some(("groups", names)) => self.groups = names.split_whitespace().map(str::to_string).collect(),
            Some(("time", seconds)) => self.clock = seconds.trim().parse().ok(),
            _ => {}
        }
    }
}

/// Reads what `zfs allow` prints about a dataset: the permissions that a user has there, by its own name, by its
/// groups, or as everyone.
pub(crate) fn allowed(text: &str, dataset: &DatasetName, who: &Who) -> BTreeSet<String> {
    let mut sets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found: BTreeSet<&str> = BTreeSet::new();
    // Whether the block is about the dataset itself, and whether its entries hold for it.
    let (mut own, mut holds, mut defines) = (false, false, false);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("---- Permissions on ") {
            own = rest.trim_end_matches('-').trim_end() == dataset.as_str();
            (holds, defines) = (false, false);
        } else if !line.starts_with(['\t', ' ']) {
            defines = line.starts_with("Permission sets");
            holds = line.starts_with("Local+Descend")
                || (own && line.starts_with("Local perm"))
                || (!own && line.starts_with("Descend"));
        } else {
            let words: Vec<&str> = line.split_whitespace().collect();
            let concerned = match words[..] {
                [set, list] if defines => {
                    sets.entry(set).or_default().extend(list.split(','));
                    false
                }
                ["user", name, _] => holds && name == who.user,
                ["group", name, _] => holds && who.groups.iter().any(|group| group == name),
                ["everyone", _] => holds,
                _ => false,
            };
            if let Some(list) = words.last().filter(|_| concerned) {
                found.extend(list.split(','));
            }
        }
    }
    let expand = |one: &str| match sets.get(one) {
        Some(list) => list.iter().map(ToString::to_string).collect(),
        None => vec![one.to_string()],
    };
    found.into_iter().flat_map(expand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
---- Permissions on tank/a -------------------------------------------
Permission sets:
\t@send hold,send
Create time permissions:
\tdestroy
Local permissions:
\tuser backup bookmark
Descendent permissions:
\tuser backup rollback
Local+Descendent permissions:
\tuser backup @send,mount
\tuser other destroy
\tgroup staff snapshot
\teveryone diff
---- Permissions on tank --------------------------------------------
Local permissions:
\tuser backup promote
Descendent permissions:
\tuser backup rename
Local+Descendent permissions:
\tgroup wheel receive
\tuser backup create
";

    #[test]
    fn what_holds_for_a_dataset_is_found_and_nothing_else() {
        let mut who = Who::default();
        for line in ["welcome", "uid 1000", "user backup", "groups backup staff", "time 1800000000"] {
            who.take(line);
        }
        assert_eq!((who.uid, who.clock), (Some(1000), Some(1_800_000_000)));
        let found = allowed(TEXT, &"tank/a".parse().expect("a name"), &who);
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["bookmark", "create", "diff", "hold", "mount", "rename", "send", "snapshot"]);
        assert!(allowed("", &"tank/a".parse().expect("a name"), &who).is_empty());
    }
}
