//! What the user decided: which datasets, which snapshots, what a first replication sends, and what happens when the
//! target has gone its own way.

use std::fmt;
use std::time::Duration;

use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;
use serde::Serialize;
use zfs_core::name::DatasetName;

use super::properties::PropertyList;

/// Which snapshots a first replication sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Initial {
    /// All of them: the oldest in full, then one incremental step for each of the others.
    #[default]
    All,
    /// Only the newest.
    Newest,
    /// None: a target that does not exist is a conflict.
    Refuse,
}

/// What happens when the target changed after the newest common snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Divergence {
    /// Nothing is sent, and both sides' extra snapshots are printed.
    #[default]
    Stop,
    /// The target's dataset is renamed aside with everything it has, and the replica goes on from the newest common
    /// snapshot under the old name. Nothing is destroyed.
    Preserve,
}

/// Names to include and to exclude. Nothing to include stands for everything; exclusion wins.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    include: Option<List>,
    exclude: Option<List>,
}

#[derive(Clone, Debug)]
struct List {
    set: GlobSet,
    /// `.` is among them: the root of a tree, which no other pattern stands for.
    root: bool,
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} is not understood: {why}")]
pub struct PatternError {
    pattern: String,
    why: String,
}

impl Patterns {
    /// Of shell patterns: `*` and `?` stand for anything but a slash, `**` for anything, `[a-z]` and `{a,b}` as usual.
    ///
    /// # Errors
    /// When a pattern cannot be read.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, PatternError> {
        Ok(Self { include: List::new(include)?, exclude: List::new(exclude)? })
    }

    /// Whether a single name is selected.
    #[must_use]
    pub fn select(&self, name: &str) -> bool {
        self.decide(|list| list.set.is_match(name))
    }

    /// Whether a dataset below `root` is selected. The patterns are of paths below the root, which itself is `.`; one
    /// that fits a dataset goes for everything below it as well.
    #[must_use]
    pub fn select_dataset(&self, dataset: &DatasetName, root: &DatasetName) -> bool {
        match dataset.strip_prefix(root) {
            None | Some("") => self.decide(|list| list.root),
            Some(below) => {
                let ends = || below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
                self.decide(|list| ends().any(|end| list.set.is_match(&below[..end])))
            }
        }
    }

    fn decide(&self, fits: impl Fn(&List) -> bool) -> bool {
        self.include.as_ref().is_none_or(&fits) && !self.exclude.as_ref().is_some_and(&fits)
    }
}

impl List {
    fn new(patterns: &[String]) -> Result<Option<Self>, PatternError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let wrong = |pattern: &str, error: globset::Error| PatternError {
            pattern: pattern.to_string(),
            why: error.kind().to_string(),
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|error| wrong(pattern, error))?);
        }
        let set = set.build().map_err(|error| wrong("", error))?;
        Ok(Some(Self { set, root: patterns.iter().any(|pattern| pattern == ".") }))
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Preserve => "preserve",
        })
    }
}

/// What the user decided.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything below the source as well.
    pub recursive: bool,
    /// Which datasets, by their path below the source.
    pub datasets: Patterns,
    /// Which snapshots are sent, by their short names. Any snapshot that both sides have can be a base.
    pub snapshots: Patterns,
    /// For a target that does not exist yet.
    pub initial: Initial,
    /// Send every selected snapshot since the base, not only the newest.
    pub intermediates: bool,
    /// What happens when the target has changed.
    pub divergence: Divergence,
    /// Allows to throw away a partial receive that cannot be continued.
    pub discard_partial: bool,
    /// Send encrypted datasets decrypted to a target that does not exist yet. Otherwise they go raw.
    pub decrypt: bool,
    /// Rename the target's dataset where the source's was renamed; otherwise it keeps its old name.
    pub follow_renames: bool,
    /// Keep bookmarks on the source that survive its snapshots.
    pub bookmarks: bool,
    /// Properties for each dataset that a full stream creates on the target.
    pub set: Vec<(String, String)>,
    /// Which properties the target gets from the source.
    pub properties: PropertyList,
    /// How long a dataset of the target stays after the source was found not to have it any more; `None` is for ever.
    pub remove_gone_after: Option<Duration>,
    /// Send encrypted datasets only.
    pub require_encrypted: bool,
    /// Tries a target that is said to have been written to, without a newer snapshot, all the same: the kernel refuses
    /// one that really was, and what it counts as written may be nothing but the cleared intent log of a clone. For
    /// targets that nobody but a replication writes to.
    pub try_written: bool,
    /// The source is a root of a pair: what a rejoin has set aside below it on either node stays as it is, as what a
    /// replication or a restore has set aside does in any case.
    pub pair: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recursive: false,
            datasets: Patterns::default(),
            snapshots: Patterns::default(),
            initial: Initial::All,
            intermediates: true,
            divergence: Divergence::Stop,
            discard_partial: false,
            decrypt: false,
            follow_renames: true,
            bookmarks: true,
            set: Vec::new(),
            properties: PropertyList::default(),
            remove_gone_after: None,
            require_encrypted: false,
            try_written: false,
            pair: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Patterns::new(&owned(include), &owned(exclude)).expect("good patterns")
    }

    #[test]
    fn snapshots_are_selected_by_short_name() {
        assert!(Patterns::default().select("anything"));
        let chosen = patterns(&["autosnap_*"], &["*_hourly"]);
        assert!(chosen.select("autosnap_1_daily"));
        assert!(!chosen.select("autosnap_1_hourly"));
        assert!(!chosen.select("manual"));
    }

    #[test]
    fn datasets_are_selected_with_all_below_them() {
        let root: DatasetName = "tank/a".parse().expect("a name");
        let select =
            |patterns: &Patterns, name: &str| patterns.select_dataset(&name.parse().expect("a name"), &root);
        let without = patterns(&[], &["tmp", "vm/*/swap"]);
        for (name, expected) in [
            ("tank/a", true),
            ("tank/a/tmp", false),
            ("tank/a/tmp/deep/er", false),
            ("tank/a/tmp2", true),
            ("tank/a/vm/1", true),
            ("tank/a/vm/1/swap", false),
            ("tank/a/vm/1/x/swap", true),
        ] {
            assert_eq!(select(&without, name), expected, "{name}");
        }
        let only = patterns(&["vm"], &["vm/2"]);
        for (name, expected) in [
            ("tank/a", false),
            ("tank/a/vm", true),
            ("tank/a/vm/1", true),
            ("tank/a/vm/2/x", false),
            ("tank/a/x", false),
        ] {
            assert_eq!(select(&only, name), expected, "{name}");
        }
        // The root alone is a dot, and does not stand for its children.
        let no_root = patterns(&[], &["."]);
        assert!(!select(&no_root, "tank/a"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let error = Patterns::new(&["a[".to_string()], &[]).expect_err("no pattern");
        assert!(error.to_string().contains("a["), "{error}");
    }
}
