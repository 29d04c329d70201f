//! The policies of a configuration as they were written: defaults, templates, and the entries that select datasets, in
//! the order of the files. Both kinds of file are read into this. What it means for a dataset is found in
//! [`super::resolve`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use globset::GlobMatcher;
use zfs_core::name::DatasetName;

use super::dataset::Known;
use super::place::Place;
use super::problem::Problems;
use super::problem::Severity;
use super::settings::Settings;
use crate::plan::Patterns;
use crate::policy::Style;

/// Which datasets an entry is for.
#[derive(Clone, Debug)]
pub enum Select {
    /// Those with these names, whether they exist or not.
    Names(Vec<DatasetName>),
    /// Those that exist and whose whole name fits a pattern.
    Patterns(Vec<GlobMatcher>),
    /// Those that exist and have this user property, with this value if one is named.
    Property {
        /// Its name, with a colon.
        name: String,
        /// Its value; `None` stands for all but `-`, `off`, `false`, `no`, `none` and nothing.
        value: Option<String>,
    },
}

/// What an entry says about the datasets below those that it selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// Nothing.
    #[default]
    Nothing,
    /// Each gets the whole policy of the one above, and follows it on its own.
    Each,
    /// Each gets it, but its snapshots are taken in one with those of the one above.
    Atomic,
    /// What was said about them before is taken back: they have no policy.
    Remove,
}

/// What a file says about some datasets.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which ones.
    pub select: Select,
    /// Templates, by name, in the order in which they lie over each other.
    pub templates: Vec<Arc<str>>,
    /// What the entry says itself.
    pub settings: Settings,
    /// What it says about those below.
    pub below: Below,
    /// Datasets that are left as they are: patterns of paths below each selected one, with all below them.
    pub exclude: Patterns,
    /// Where it begins.
    pub place: Place,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Whose rules hold.
    pub style: Style,
    /// What each dataset that is selected for the first time begins with, the defaults of this program included.
    pub defaults: Settings,
    /// Settings to lay over others, by name.
    pub templates: BTreeMap<Arc<str>, Settings>,
    /// What is said about datasets, in order.
    pub entries: Vec<Entry>,
    /// The roots of pairs. What a rejoin has set aside below and beside them has no policy but one that names it.
    pub roots: Vec<DatasetName>,
}

impl Policies {
    /// Nothing said about anything.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self {
            style,
            defaults: Settings::builtin(style),
            templates: BTreeMap::new(),
            entries: Vec::new(),
            roots: Vec::new(),
        }
    }

    /// The user properties that have to be known of each dataset.
    #[must_use]
    pub fn properties(&self) -> BTreeSet<&str> {
        let names = self.entries.iter().filter_map(|entry| match &entry.select {
            Select::Property { name, .. } => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// The pools that the entries are about.
    #[must_use]
    pub fn pools(&self) -> Pools<'_> {
        let mut pools = Pools::default();
        for entry in &self.entries {
            match &entry.select {
                Select::Names(names) => pools.named.extend(names.iter().map(DatasetName::pool)),
                Select::Patterns(patterns) => {
                    for pattern in patterns {
                        let pool = pattern.glob().glob().split('/').next().unwrap_or_default();
                        // What may stand for a slash as well, or begins a choice, may fit any pool.
                        if pool.contains(['*', '?', '[', '{', '\\']) {
                            pools.any = true;
                        } else {
                            pools.fitting.insert(pool);
                        }
                    }
                }
                Select::Property { .. } => pools.any = true,
            }
        }
        pools
    }
}

/// Pools that entries are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools<'a> {
    /// Those of datasets that are named: they have to be there.
    pub named: BTreeSet<&'a str>,
    /// Those in which a pattern may fit something. One that is not there has nothing that fits.
    pub fitting: BTreeSet<&'a str>,
    /// Whether it may be any pool of the machine, by a pattern or a user property.
    pub any: bool,
}

impl Pools<'_> {
    /// Whether an entry may be about a dataset of this pool.
    #[must_use]
    pub fn contains(&self, pool: &str) -> bool {
        self.any || self.named.contains(pool) || self.fitting.contains(pool)
    }
}

impl Policies {
    /// The same dataset named by two entries: most likely one of them is forgotten.
    pub(super) fn named_twice(&self, problems: &mut Problems) {
        let mut seen = BTreeMap::new();
        for entry in &self.entries {
            let Select::Names(names) = &entry.select else { continue };
            for name in names {
                if let Some(first) = seen.insert(name, &entry.place) {
                    let message = format!("{name} has an entry already, at {first}");
                    let fix = "put both together into one".to_string();
                    problems.at_place(Severity::Error, &entry.place, message, fix);
                }
            }
        }
    }

    /// An entry that a later, recursive one makes void.
    pub(super) fn overridden(&self, problems: &mut Problems) {
        for (at, later) in self.entries.iter().enumerate() {
            let Select::Names(parents) = &later.select else { continue };
            if later.below == Below::Nothing {
                continue;
            }
            let reached = |child: &DatasetName, parent: &DatasetName| {
                child != parent && child.is_within(parent) && later.exclude.select_dataset(child, parent)
            };
            for earlier in &self.entries[..at] {
                let Select::Names(children) = &earlier.select else { continue };
                let below = |child: &&DatasetName| parents.iter().any(|parent| reached(child, parent));
                if let Some(child) = children.iter().find(below) {
                    let message = format!(
                        "what is said here about {child} is overridden by the recursive entry at {}",
                        later.place
                    );
                    let fix = "move it below that entry".to_string();
                    problems.at_place(Severity::Warning, &earlier.place, message, fix);
                }
            }
        }
    }
}

impl Select {
    /// Whether a dataset that exists is selected.
    #[must_use]
    pub fn fits(&self, dataset: &Known) -> bool {
        match self {
            Self::Names(names) => names.contains(&dataset.name),
            Self::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern.is_match(dataset.name.as_str()))
            }
            Self::Property { name, value } => match (dataset.properties.get(name), value) {
                (None, _) => false,
                (Some(found), Some(value)) => found == value,
                (Some(found), None) => !matches!(found.as_str(), "" | "-" | "off" | "false" | "no" | "none"),
            },
        }
    }
}
