//! The epochs of a node, root by root. A promotion raises them one after the other, and a pool can be missing while the
//! others work: what is not known of one root says nothing of another, and is never taken for none.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap;

use super::observation::Epoch;
use super::observation::Seen;

/// What each root of a node says, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epochs(Vec<(String, Seen<Option<Epoch>>)>);

impl Epochs {
    /// Of these roots.
    pub fn new(roots: impl IntoIterator<Item = (String, Seen<Option<Epoch>>)>) -> Self {
        Self(roots.into_iter().collect())
    }

    /// Nothing is known of any of these roots, for one reason.
    pub fn unknown(roots: impl IntoIterator<Item = String>, why: &str) -> Self {
        Self::new(roots.into_iter().map(|root| (root, Seen::unknown(why))))
    }

    /// Each root with what it says.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Seen<Option<Epoch>>)> {
        self.0.iter().map(|(root, epoch)| (root.as_str(), epoch))
    }

    /// What one root says; nothing where it is none of these.
    #[must_use]
    pub fn of(&self, root: &str) -> Option<&Seen<Option<Epoch>>> {
        self.0.iter().find(|(name, _)| name == root).map(|(_, epoch)| epoch)
    }

    /// What all of them say alike.
    #[must_use]
    pub fn all(&self) -> Seen<Option<Epoch>> {
        match self.0.split_first() {
            Some(((_, first @ Seen::Known(_)), others)) if others.iter().all(|(_, one)| one == first) => {
                first.clone()
            }
            _ => Seen::Unknown(self.to_string()),
        }
    }

    /// Whether every root is known to be held by this node, in one epoch. One that has none may have been added to the pair, or
    /// be on a disk that was replaced: a promotion finds out.
    #[must_use]
    pub fn are_of(&self, node: &str) -> bool {
        matches!(self.all(), Seen::Known(Some(epoch)) if epoch.holder == node)
    }

    /// Whether two say the same of the same roots. What is not known on either side is the same, whatever its reason.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| one.0 == two.0 && one.1.agrees(&two.1))
    }
}

/// Of a pair that has one root.
impl From<Seen<Option<Epoch>>> for Epochs {
    fn from(epoch: Seen<Option<Epoch>>) -> Self {
        Self(vec![(String::new(), epoch)])
    }
}

/// Roots that say the same stand together; where all do, they are not named.
impl fmt::Display for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for (root, epoch) in self.each() {
            let said = match epoch {
                Seen::Known(None) => "none".to_string(),
                Seen::Known(Some(epoch)) => epoch.to_string(),
                Seen::Unknown(why) => format!("not known: {why}"),
            };
            match groups.iter_mut().find(|(known, _)| *known == said) {
                Some((_, roots)) => roots.push(root),
                None => groups.push((said, vec![root])),
            }
        }
        match groups.as_slice() {
            [] => f.write_str("not known: the pair has no roots"),
            [(said, _)] => f.write_str(said),
            many => {
                let one = |(said, roots): &(String, Vec<&str>)| format!("{}: {said}", roots.join(", "));
                f.write_str(&many.iter().map(one).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// As one answer, with the roots beside it where there are several.
impl Serialize for Epochs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.all() {
            Seen::Known(epoch) => map.serialize_entry("known", &epoch)?,
            Seen::Unknown(why) => map.serialize_entry("unknown", &why)?,
        }
        if self.0.len() > 1 {
            map.serialize_entry("roots", &self.each().collect::<BTreeMap<_, _>>())?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64, holder: &str) -> Seen<Option<Epoch>> {
        Seen::Known(Some(Epoch { number, holder: holder.to_string() }))
    }

    fn epochs(all: &[(&str, Seen<Option<Epoch>>)]) -> Epochs {
        Epochs::new(all.iter().map(|(root, epoch)| (root.to_string(), epoch.clone())))
    }

    #[test]
    fn all_is_what_every_root_says_and_a_failed_look_is_not_none() {
        let same = epochs(&[("t/a", of(3, "a")), ("t/b", of(3, "a"))]);
        assert_eq!((same.all(), same.to_string()), (of(3, "a"), "3 of a".to_string()));
        assert!(same.are_of("a") && !same.are_of("b"));
        let none = epochs(&[("t/a", Seen::Known(None)), ("t/b", Seen::Known(None))]);
        assert_eq!((none.all(), none.to_string()), (Seen::Known(None), "none".to_string()));
        for other in [of(2, "a"), of(3, "b"), Seen::Known(None), Seen::unknown("it is suspended")] {
            for both in
                [[("t/a", of(3, "a")), ("t/b", other.clone())], [("t/a", other.clone()), ("t/b", of(3, "a"))]]
            {
                let mixed = epochs(&both);
                assert!(mixed.all().why().is_some_and(|why| why.contains("t/b: ")), "{mixed}");
                assert!(!mixed.are_of("a") && !mixed.are_of("b"), "{mixed}");
            }
        }
        let broken = epochs(&[("t/a", of(4, "a")), ("t/b", Seen::unknown("gone")), ("t/c", of(4, "a"))]);
        assert_eq!(broken.to_string(), "t/a, t/c: 4 of a; t/b: not known: gone");
        assert!(epochs(&[]).all().known().is_none() && !epochs(&[]).are_of("a"));
    }

    #[test]
    fn they_agree_root_by_root_whatever_the_reasons() {
        let one = epochs(&[("t/a", of(3, "a")), ("t/b", Seen::unknown("after 3.1 s"))]);
        assert!(one.agrees(&epochs(&[("t/a", of(3, "a")), ("t/b", Seen::unknown("after 2.9 s"))])));
        assert!(!one.agrees(&epochs(&[("t/a", of(3, "a")), ("t/b", Seen::Known(None))])));
        assert!(!one.agrees(&epochs(&[("t/a", of(3, "a"))])));
        assert!(!one.agrees(&epochs(&[("t/a", of(3, "a")), ("t/c", Seen::unknown("after 3.1 s"))])));
    }

    #[test]
    fn programs_read_one_answer_and_the_roots_where_there_are_several() {
        let json = |epochs: &Epochs| serde_json::to_value(epochs).expect("JSON");
        let one = Epochs::from(of(3, "a"));
        assert_eq!(json(&one), serde_json::json!({ "known": { "number": 3, "holder": "a" } }));
        let none: Seen<Option<Epoch>> = Seen::Known(None);
        assert_eq!(json(&none.into()), serde_json::json!({ "known": null }));
        let cut = json(&epochs(&[("t/a", of(4, "a")), ("t/b", Seen::Known(None))]));
        assert_eq!(cut["unknown"], "t/a: 4 of a; t/b: none");
        assert_eq!(
            (&cut["roots"]["t/a"]["known"]["number"], &cut["roots"]["t/b"]["known"]),
            (&4.into(), &serde_json::Value::Null)
        );
    }
}
