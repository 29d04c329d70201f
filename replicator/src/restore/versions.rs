//! The distinct versions of a file or folder, out of what each snapshot has. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;
use zfs_core::Guid;
use zfs_core::name::SnapshotName;

use super::folder::Found;

/// A snapshot that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// The snapshot.
    pub name: SnapshotName,
    /// Its identity, the same on every machine.
    pub guid: Guid,
    /// When it was taken, in seconds since 1970.
    pub created: i64,
    /// Where it is, where that is not the dataset itself: the name of a target.
    pub at: Option<String>,
}

/// What a snapshot has at the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Missing,
    /// This.
    Found(Found),
    /// It could not be found out, and why.
    Unknown(String),
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it is.
    pub found: Found,
    /// The snapshots that have it, newest first.
    pub snapshots: Vec<Of>,
}

/// A target that has snapshots of the dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct There {
    /// Its name.
    pub target: String,
    /// The GUIDs of its snapshots.
    pub guids: Vec<Guid>,
    /// How many of them are not here, and were not looked into.
    pub beyond: usize,
    /// Why it was not looked at, or not looked into.
    pub why: Option<String>,
}

/// All versions, that of the newest snapshot first. What was seen comes in the order in which it was taken, which tells apart
/// what is of one second; of equal ones that which is here goes first.
#[must_use]
pub fn versions(mut seen: Vec<(Of, Look)>) -> Vec<Version> {
    seen.reverse();
    seen.sort_by_key(|(of, _)| (Reverse(of.created), of.at.is_some()));
    let mut all: Vec<Version> = Vec::new();
    let mut places: HashMap<Found, usize> = HashMap::new();
    for (of, look) in seen {
        let Look::Found(found) = look else { continue };
        let at = *places.entry(found.clone()).or_insert_with(|| {
            all.push(Version { found, snapshots: Vec::new() });
            all.len() - 1
        });
        let version = &mut all[at];
        // A snapshot that is on a target as well is one.
        if !version.snapshots.iter().any(|one| one.guid == of.guid) {
            version.snapshots.push(of);
        }
    }
    all
}

impl Version {
    /// The targets that have it, too: a snapshot of the same GUID has the same in it.
    pub fn targets<'t>(&self, there: &'t [There]) -> impl Iterator<Item = &'t str> {
        there
            .iter()
            .filter(move |target| {
                self.snapshots
                    .iter()
                    .any(|one| target.guids.contains(&one.guid) || one.at.as_ref() == Some(&target.target))
            })
            .map(|target| target.target.as_str())
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self, there: &[There]) -> Value {
        let snapshots: Vec<_> = self
            .snapshots
            .iter()
            .map(|one| json!({ "name": one.name.as_str(), "created": one.created, "at": one.at }))
            .collect();
        json!({
            "kind": char::from(self.found.kind).to_string(),
            "size": self.found.size,
            "modified": self.found.modified.0,
            "entries": self.found.entries,
            "sum": self.found.sum.map(|sum| hexadecimal(&sum)),
            "snapshots": snapshots,
            "targets": self.targets(there).collect::<Vec<_>>(),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, guid: u64, created: i64, at: Option<&str>) -> Of {
        let name = format!("tank/a@{name}").parse().expect("a name");
        Of { name, guid: Guid(guid), created, at: at.map(str::to_string) }
    }

    fn found(size: u64, sum: Option<u8>) -> Look {
        let sum = sum.map(|sum| [sum; 32]);
        Look::Found(Found { kind: b'f', size, modified: (5, 0), entries: 1, sum })
    }

    #[test]
    fn each_version_comes_once_with_all_that_have_it_newest_first() {
        let seen = vec![
            (of("1", 1, 10, None), found(3, None)),
            (of("2", 2, 20, None), Look::Missing),
            (of("3", 3, 30, None), found(4, None)),
            (of("4", 4, 40, None), found(3, None)),
            (of("5", 5, 50, None), Look::Unknown("no key".to_string())),
            (of("1", 1, 10, Some("nas")), found(3, None)),
            (of("0", 9, 5, Some("nas")), found(9, None)),
        ];
        let all = versions(seen);
        let short = |version: &Version| -> Vec<String> {
            version.snapshots.iter().map(|one| one.name.short().to_string()).collect()
        };
        let told: Vec<_> = all.iter().map(|one| (one.found.size, short(one))).collect();
        let expected = [(3, vec!["4", "1"]), (4, vec!["3"]), (9, vec!["0"])];
        let expected = expected.map(|(size, names)| (size, names.into_iter().map(str::to_string).collect()));
        assert_eq!(told, expected);
        let there = [There { target: "nas".to_string(), guids: vec![Guid(3)], ..There::default() }];
        let has = |at: usize| all[at].targets(&there).count();
        assert_eq!((has(0), has(1), has(2)), (0, 1, 1));
    }

    #[test]
    fn of_one_second_the_last_is_the_newest() {
        let seen = vec![
            (of("1", 1, 10, None), found(3, None)),
            (of("2", 2, 10, None), found(4, None)),
            (of("3", 3, 10, None), found(3, None)),
        ];
        let all = versions(seen);
        let names: Vec<_> = all.iter().flat_map(|one| &one.snapshots).map(|one| one.name.short()).collect();
        assert_eq!(names, ["3", "1", "2"]);
    }

    #[test]
    fn content_tells_apart_what_size_and_time_do_not() {
        let seen = vec![
            (of("1", 1, 10, None), found(3, Some(1))),
            (of("2", 2, 20, None), found(3, Some(2))),
            (of("3", 3, 30, None), found(3, Some(1))),
        ];
        assert_eq!(versions(seen).len(), 2);
    }
}
