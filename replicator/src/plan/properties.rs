//! Which properties the target is to have as the source has them. A stream carries none that are set, so they are set
//! with the stream that makes a dataset, and behind the streams where they differ later. What is set on the source's
//! dataset itself counts, never what it inherits; what the source does not set stays on the target as it is.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use globset::Glob;
use globset::GlobSet;
use globset::GlobSetBuilder;
use zfs_core::name::DatasetName;
use zfs_core::name::PropertyName;
use zfs_core::property::is_settable;
use zfs_core::property::same_value;

use super::steps::Action;
use super::steps::Side;
use super::steps::Step;
use crate::host::Change;
use crate::host::Property;
use crate::host::PropertySource;
use crate::marks;

/// What is replicated unless something else is asked for: how data is stored and read. Not among them is what mounts,
/// shares or runs something (`mountpoint`, `canmount`, `sharenfs`, `setuid`, …), what belongs to the copy (`readonly`),
/// what depends on the devices of a pool (`special_small_blocks`), what takes more space or less care (`copies`,
/// `dedup`, `sync`), and every limit and reservation: the same data has another size on another pool, and a quota that
/// is met there stops the next receive.
pub const DEFAULT: &[&str] = &[
    "aclinherit",
    "aclmode",
    "acltype",
    "atime",
    "compression",
    "dnodesize",
    "logbias",
    "primarycache",
    "recordsize",
    "relatime",
    "secondarycache",
    "xattr",
];

/// What a stream brings by itself, or what is fixed when it makes a dataset.
const OF_THE_STREAM: &[&str] = &[
    "casesensitivity",
    "encryption",
    "keyformat",
    "normalization",
    "pbkdf2iters",
    "utf8only",
    "version",
    "volblocksize",
    "volsize",
];

/// What could keep the data from arriving: set behind it, and raised before it.
const LIMITS: &[&str] =
    &["filesystem_limit", "quota", "refquota", "refreservation", "reservation", "snapshot_limit"];

/// One dataset's properties by name.
type Of = BTreeMap<String, Property>;

/// The properties that are replicated.
#[derive(Clone, Debug)]
pub struct PropertyList {
    names: BTreeSet<String>,
    /// Those that were asked for by their names.
    asked: BTreeSet<String>,
    /// For user properties.
    patterns: Option<GlobSet>,
    excluded: BTreeSet<String>,
    excluded_patterns: Option<GlobSet>,
}

impl Default for PropertyList {
    fn default() -> Self {
        Self {
            names: DEFAULT.iter().map(ToString::to_string).collect(),
            asked: BTreeSet::new(),
            patterns: None,
            excluded: BTreeSet::new(),
            excluded_patterns: None,
        }
    }
}

/// A list of properties that cannot be replicated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyListError {
    /// It is no property, or one that nobody can set.
    #[error("{0:?} is no property that can be set; user properties have a colon in their names")]
    Unknown(String),
    /// It comes with the stream.
    #[error("{0} cannot be set: it comes with the stream that makes a dataset")]
    OfTheStream(String),
    /// It is one of ours.
    #[error("{0} is a mark of this program, which belongs to one dataset only")]
    Ours(String),
    /// A pattern that would stand for properties of ZFS.
    #[error(
        "the pattern {0:?} has no colon: patterns are for user properties, those of ZFS are named one by one"
    )]
    NativePattern(String),
    /// A pattern that cannot be read.
    #[error("the pattern {pattern:?} is not understood: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// `none` beside others.
    #[error("`none` stands alone")]
    NotAlone,
}

impl PropertyList {
    /// Of names, patterns of user properties such as `org.example:*`, `default` for [`DEFAULT`], or `none`; without
    /// any it is the default. What is excluded or `set` by hand is never replicated.
    ///
    /// # Errors
    /// When one of them cannot be replicated.
    pub fn new(
        include: &[String],
        exclude: &[String],
        set: &[(String, String)],
    ) -> Result<Self, PropertyListError> {
        let mut list = Self { names: BTreeSet::new(), ..Self::default() };
        let mut patterns = Vec::new();
        let nothing = include == ["none"];
        for name in include.iter().filter(|_| !nothing) {
            match name.as_str() {
                "none" => return Err(PropertyListError::NotAlone),
                "default" => list.names.extend(DEFAULT.iter().map(ToString::to_string)),
                name if is_pattern(name) => patterns.push(name),
                name => {
                    check(name)?;
                    list.names.insert(name.to_string());
                    list.asked.insert(name.to_string());
                }
            }
        }
        if include.is_empty() {
            list.names = Self::default().names;
        }
        list.patterns = globs(&patterns)?;
        let (patterns, names): (Vec<&str>, Vec<&str>) =
            exclude.iter().map(String::as_str).partition(|name| is_pattern(name));
        names.iter().try_for_each(|name| check(name))?;
        list.excluded_patterns = globs(&patterns)?;
        list.excluded.extend(names.into_iter().map(ToString::to_string));
        list.excluded.extend(set.iter().map(|(name, _)| name.clone()));
        let Self { names, excluded, .. } = &mut list;
        names.retain(|name| !excluded.contains(name));
        Ok(list)
    }

    /// Whether nothing is replicated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_none()
    }

    /// Whether a property is replicated.
    #[must_use]
    pub fn selects(&self, name: &str) -> bool {
        let fits = |globs: &Option<GlobSet>| {
            name.contains(':') && globs.as_ref().is_some_and(|globs| globs.is_match(name))
        };
        let named = self.names.contains(name) || fits(&self.patterns);
        named
            && !self.excluded.contains(name)
            && !fits(&self.excluded_patterns)
            && !marks::is_our_property(name)
    }

    /// Whether a property is only replicated because nobody said otherwise, so that it may be missing.
    #[must_use]
    pub fn is_optional(&self, name: &str) -> bool {
        marks::is_our_property(name)
            || (self.selects(name) && self.names.contains(name) && !self.asked.contains(name))
    }

    /// The names to ask for; `None` where patterns make it necessary to ask for all.
    #[must_use]
    pub fn names(&self) -> Option<Vec<String>> {
        self.patterns.is_none().then(|| self.names.iter().cloned().collect())
    }

    /// What a dataset has set itself of them.
    pub(super) fn set_on(&self, source: &Of) -> Vec<(String, String)> {
        let all = source.iter().filter(|(name, property)| self.selects(name) && is_own(property));
        all.map(|(name, property)| (name.clone(), property.value.clone())).collect()
    }
}

/// Whether a dataset has set it itself.
fn is_own(property: &Property) -> bool {
    matches!(property.source, PropertySource::Local | PropertySource::Received)
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

fn check(name: &str) -> Result<(), PropertyListError> {
    if OF_THE_STREAM.contains(&name) {
        return Err(PropertyListError::OfTheStream(name.to_string()));
    }
    if marks::is_our_property(name) {
        return Err(PropertyListError::Ours(name.to_string()));
    }
    let user = PropertyName::try_from(name).is_ok_and(|name| name.is_user());
    if user || is_settable(name) { Ok(()) } else { Err(PropertyListError::Unknown(name.to_string())) }
}

fn globs(patterns: &[&str]) -> Result<Option<GlobSet>, PropertyListError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    let wrong = |pattern: &str, error: globset::Error| PropertyListError::Pattern {
        pattern: pattern.to_string(),
        why: error.kind().to_string(),
    };
    for pattern in patterns {
        if !pattern.contains(':') {
            return Err(PropertyListError::NativePattern((*pattern).to_string()));
        }
        set.add(Glob::new(pattern).map_err(|error| wrong(pattern, error))?);
    }
    set.build().map(Some).map_err(|error| wrong("", error))
}

/// What a dataset of the target inherits at the end of a run: not what was read, where it moves, or where something
/// above it gets another value in the same run.
#[derive(Default)]
pub(super) struct Inheritance {
    /// The properties that are set on each dataset.
    set: BTreeMap<DatasetName, BTreeSet<String>>,
}

impl Inheritance {
    fn changes(&self, dataset: &DatasetName, property: &str) -> bool {
        let mut above = dataset.parent().filter(|_| !self.set.is_empty());
        while let Some(name) = above {
            if self.set.get(&name).is_some_and(|set| set.contains(property)) {
                return true;
            }
            above = name.parent();
        }
        false
    }
}

/// A dataset of the target whose properties are looked at.
pub(super) struct There<'a> {
    pub(super) name: &'a DatasetName,
    /// What it has; `None` where that is not known.
    pub(super) has: Option<&'a Of>,
    /// It had another name when that was read.
    pub(super) moved: bool,
}

/// Puts what the target is to have into the steps of one dataset: into the stream that makes it, and else into steps
/// of their own. Datasets come after those above them.
pub(super) fn add(
    wanted: Vec<(String, String)>,
    there: &There<'_>,
    inheritance: &mut Inheritance,
    steps: &mut Vec<Step>,
) {
    let target = there.name;
    let is_limit = |(name, _): &(String, String)| LIMITS.contains(&name.as_str());
    let creates = steps.iter_mut().find_map(|step| match &mut step.action {
        Action::Send { creates: Some(set), .. } => Some(set),
        _ => None,
    });
    let (raised, behind) = match (creates, there.has) {
        (Some(set), _) => {
            let (limits, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_limit);
            for (name, value) in others {
                set.retain(|(known, _)| *known != name);
                set.push((name, value));
            }
            (Vec::new(), limits)
        }
        (None, Some(has)) => {
            let differs = |(name, value): &(String, String)| {
                has.get(name).is_none_or(|found| {
                    let changes = !is_own(found) && (there.moved || inheritance.changes(target, name));
                    changes || !same_value(name, &found.value, value)
                })
            };
            let raises = |pair: &(String, String)| is_limit(pair) && raises(pair, has);
            wanted.into_iter().filter(differs).partition(raises)
        }
        // A clone that the steps before make: what it takes over is not looked into.
        (None, None) => (Vec::new(), wanted),
    };
    if !behind.is_empty() {
        let names = behind.iter().map(|(name, _)| name.clone()).collect();
        inheritance.set.insert(target.clone(), names);
    }
    let change = |set| Change::SetProperties { dataset: target.clone(), set };
    if !raised.is_empty() {
        let reason = "the source has a higher limit, which what is sent may need";
        steps.insert(0, Step::change(Side::Target, change(raised), reason));
    }
    if !behind.is_empty() {
        let reason = if behind.iter().all(|(name, _)| marks::is_our_property(name)) {
            "it says whose copy this is, for the day when the source has it no more"
        } else {
            "they are set so on the source, and are no part of a stream"
        };
        steps.push(Step::change(Side::Target, change(behind), reason));
    }
}

/// Whether a limit is higher than the one that is there. Nothing is higher than none.
fn raises((name, value): &(String, String), there: &Of) -> bool {
    let limit = |text: &str| match text.parse::<u64>() {
        Ok(0) | Err(_) => u64::MAX,
        Ok(number) => number,
    };
    there.get(name).is_some_and(|found| limit(value) > limit(&found.value))
}

/// What the target has set itself and the source has not: it stays, and somebody should know.
pub(super) fn left_over(list: &PropertyList, source: &Of, there: &Of) -> Vec<String> {
    let same = |name: &str, value: &str| {
        source.get(name).is_some_and(|found| is_own(found) || same_value(name, &found.value, value))
    };
    let all = there.iter().filter(|(name, property)| {
        property.source == PropertySource::Local && list.selects(name) && !same(name, &property.value)
    });
    all.map(|(name, property)| format!("{name}={}", property.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn list(include: &[&str], exclude: &[&str]) -> PropertyList {
        PropertyList::new(&owned(include), &owned(exclude), &[]).expect("a list")
    }

    fn of(properties: &[(&str, &str, PropertySource)]) -> Of {
        let pair = |(name, value, source): &(&str, &str, PropertySource)| {
            ((*name).to_string(), Property { value: (*value).to_string(), source: *source })
        };
        properties.iter().map(pair).collect()
    }

    #[test]
    fn the_default_list_can_be_set_and_does_no_harm() {
        for name in DEFAULT {
            assert!(check(name).is_ok(), "{name}");
        }
        let default = PropertyList::default();
        for name in [
            "mountpoint",
            "canmount",
            "sharenfs",
            "sharesmb",
            "keylocation",
            "readonly",
            "setuid",
            "devices",
            "exec",
            "quota",
            "refquota",
            "reservation",
            "refreservation",
            "sync",
            "copies",
            "org.example:x",
        ] {
            assert!(!default.selects(name), "{name}");
        }
        assert!(default.selects("compression") && default.is_optional("compression"));
    }

    #[test]
    fn names_patterns_and_exclusions_make_a_list() {
        let all = list(&["default", "mountpoint", "org.example:*"], &["atime", "org.example:secret"]);
        for (name, selected, optional) in [
            ("compression", true, true),
            ("atime", false, false),
            ("mountpoint", true, false),
            ("canmount", false, false),
            ("org.example:note", true, false),
            ("org.example:secret", false, false),
            ("com.example:note", false, false),
            ("replicator:replica", false, true),
        ] {
            assert_eq!((all.selects(name), all.is_optional(name)), (selected, optional), "{name}");
        }
        assert_eq!(all.names(), None);
        assert!(!list(&["*:*"], &[]).selects("replicator:gone"));
        assert!(!list(&["*:*"], &[]).selects("compression"));
        assert!(list(&["none"], &[]).is_empty() && !list(&[], &[]).is_empty());
        assert_eq!(list(&["quota", "x:y"], &["x:y"]).names(), Some(owned(&["quota"])));
        let set = [("compression".to_string(), "zstd".to_string())];
        let by_hand = PropertyList::new(&[], &[], &set).expect("a list");
        assert!(!by_hand.selects("compression") && by_hand.selects("atime"));
        assert!(!by_hand.is_optional("compression"), "what was set by hand must be there");
    }

    #[test]
    fn what_cannot_be_replicated_is_refused_with_its_reason() {
        use PropertyListError as E;
        let refused = |include: &[&str], exclude: &[&str]| {
            PropertyList::new(&owned(include), &owned(exclude), &[]).expect_err("refused")
        };
        for name in ["used", "no_such", "Compression", "mounted", "guid", ""] {
            assert_eq!(refused(&[name], &[]), E::Unknown(name.to_string()));
        }
        for name in ["encryption", "casesensitivity", "volblocksize", "volsize", "version"] {
            assert_eq!(refused(&["default", name], &[]), E::OfTheStream(name.to_string()));
        }
        assert_eq!(refused(&["replicator:gone"], &[]), E::Ours("replicator:gone".to_string()));
        assert_eq!(refused(&["*cache"], &[]), E::NativePattern("*cache".to_string()));
        assert!(matches!(refused(&["x:["], &[]), E::Pattern { .. }));
        assert_eq!(refused(&["none", "atime"], &[]), E::NotAlone);
        assert!(matches!(refused(&[], &["atiem"]), E::Unknown(_)));
    }

    #[test]
    fn only_what_the_source_has_set_itself_counts() {
        use PropertySource as S;
        let source = of(&[
            ("compression", "zstd", S::Local),
            ("atime", "off", S::Received),
            ("recordsize", "131072", S::Default),
            ("xattr", "sa", S::Inherited),
            ("mountpoint", "/x", S::Local),
        ]);
        let list = PropertyList::default();
        let set = list.set_on(&source);
        let names: Vec<_> = set.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["atime", "compression"]);
        let there = of(&[
            ("recordsize", "1048576", S::Local),
            ("xattr", "sa", S::Local),
            ("atime", "on", S::Local),
            ("readonly", "on", S::Local),
            ("logbias", "throughput", S::Received),
        ]);
        assert_eq!(left_over(&list, &source, &there), ["recordsize=1048576"]);
    }

    #[test]
    fn only_differences_become_steps_and_limits_come_behind_the_data() {
        use PropertySource as S;
        let target: DatasetName = "dst/data".parse().expect("a name");
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
        };
        let shown = |wanted: &[(&str, &str)], there: &Of| {
            let mut steps = vec![Step::change(
                Side::Target,
                Change::Promote { dataset: target.clone() },
                "stands for the streams",
            )];
            let there = There { name: &target, has: Some(there), moved: false };
            add(pairs(wanted), &there, &mut Inheritance::default(), &mut steps);
            steps
                .iter()
                .map(|step| match &step.action {
                    Action::Change { change: Change::SetProperties { set, .. }, .. } => set
                        .iter()
                        .map(|(name, value)| format!("{name}={value}"))
                        .collect::<Vec<_>>()
                        .join(" "),
                    _ => "streams".to_string(),
                })
                .collect::<Vec<_>>()
        };
        let there = of(&[
            ("compression", "gzip", S::Inherited),
            ("atime", "on", S::Default),
            ("refquota", "100", S::Local),
            ("quota", "100", S::Local),
        ]);
        assert_eq!(shown(&[("compression", "gzip-6"), ("refquota", "100")], &there), ["streams"]);
        assert_eq!(
            shown(&[("atime", "off"), ("quota", "50"), ("refquota", "200"), ("x:y", "1")], &there),
            ["refquota=200", "streams", "atime=off quota=50 x:y=1"]
        );
        assert_eq!(shown(&[("refquota", "0")], &there), ["refquota=0", "streams"]);
        assert_eq!(shown(&[("quota", "50")], &of(&[("quota", "0", S::Default)])), ["streams", "quota=50"]);
    }

    /// What is inherited and the same by chance does not stay the same where the value comes from changes.
    #[test]
    fn what_is_inherited_is_set_where_it_would_change_in_the_same_run() {
        use PropertySource as S;
        let name = |text: &str| -> DatasetName { text.parse().expect("a name") };
        let pair = |name: &str, value: &str| vec![(name.to_string(), value.to_string())];
        let has = |source| of(&[("compression", "lz4", source), ("atime", "off", source)]);
        let (parent, child) = (name("dst/a"), name("dst/a/b/c"));
        let count = |source, moved, above: Option<Vec<(String, String)>>| {
            let mut inheritance = Inheritance::default();
            if let Some(above) = above {
                let there = There { name: &parent, has: Some(&has(S::Local)), moved: false };
                add(above, &there, &mut inheritance, &mut Vec::new());
            }
            let mut steps = Vec::new();
            let there = There { name: &child, has: Some(&has(source)), moved };
            add(pair("compression", "lz4"), &there, &mut inheritance, &mut steps);
            steps.len()
        };
        for source in [S::Inherited, S::Default] {
            assert_eq!(count(source, false, None), 0);
            assert_eq!(count(source, false, Some(pair("compression", "lz4"))), 0, "the same above");
            assert_eq!(count(source, false, Some(pair("atime", "on"))), 0, "another one above");
            assert_eq!(count(source, false, Some(pair("compression", "zstd"))), 1);
            assert_eq!(count(source, true, None), 1);
        }
        assert_eq!(count(S::Local, true, Some(pair("compression", "zstd"))), 0);
    }
}
