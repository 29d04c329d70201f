//! What the last look into each dataset of each target came to, and what each target still waits for, in one file of the
//! state folder that is written as a whole. Without it everything counts as never looked at.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use super::Looked;
use crate::config::Config;
use crate::config::job::Target;
use crate::jobs::memory::read_versioned;
use crate::jobs::memory::write_atomically;

/// The name of the file.
pub const FILE: &str = "verified.json";

/// The version of what is written today.
const VERSION: u32 = 1;

/// The longest file that is read.
const LONGEST: u64 = 256 << 20;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    version: u32,
    /// In no order that means anything.
    pub datasets: Vec<Checked>,
    /// What is known of each target as a whole. Earlier versions did not write it.
    #[serde(default)]
    pub targets: Vec<Overview>,
    /// The last run. Earlier versions did not write it.
    #[serde(default)]
    pub last: Option<Ran>,
}

/// A run of `replicator verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: i64,
    /// How many things went wrong.
    pub failures: u64,
    /// In a few words.
    pub summary: String,
}

/// What the last look at a target showed of it as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The name of the job.
    pub job: String,
    /// Where it goes, as endpoints are written.
    pub to: String,
    /// When it was looked at, in seconds since 1970.
    pub at: i64,
    /// About how many bytes a look may read.
    pub bytes: u64,
    /// How many datasets there are.
    pub datasets: u64,
    /// In about how many looks each of them comes up once.
    pub rounds: u64,
    /// Those that never came up.
    pub waiting: Vec<Waiting>,
    /// Volumes that never come up with so many bytes.
    pub too_large: Vec<TooLarge>,
}

/// A dataset that was not read yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The dataset of the source.
    pub source: String,
    /// Since when it is known, in seconds since 1970.
    pub since: i64,
}

/// A volume that is larger than what a look may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLarge {
    /// The dataset of the source.
    pub source: String,
    /// Bytes that it refers to.
    pub bytes: u64,
}

/// What a look into a dataset came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The name of the job.
    pub job: String,
    /// Where it goes, as endpoints are written.
    pub to: String,
    /// The dataset of the source.
    pub source: String,
    /// Its copy.
    pub target: String,
    /// When it was looked at, in seconds since 1970.
    pub at: i64,
    /// The short name of the snapshot that was read on both sides.
    pub snapshot: Option<String>,
    /// Which share of the files was read, and of how many.
    pub share: Option<(u32, NonZeroU32)>,
    /// Files or segments that were compared.
    pub compared: u64,
    /// How many of them differ.
    pub differences: u64,
    /// The first of those, in words.
    pub first: Vec<String>,
    /// Why it could not be read.
    pub failed: Option<String>,
    /// What would open it, where it cannot be read here as things are: a key is not loaded, or a machine does not allow it.
    #[serde(default)]
    pub closed: Option<String>,
    /// What became of the restore drill; none where there was none.
    pub drill: Option<Drill>,
}

/// What became of a restore drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drill {
    /// What came back was the same.
    Good,
    /// So many files differ.
    Differs(u64),
    /// It could not be done, and why.
    Failed(String),
}

impl Checked {
    /// Whether both sides were read and are the same.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed.is_none() && self.differences == 0 && matches!(self.drill, None | Some(Drill::Good))
    }

    /// How many files or segments differ, in the copy or in what a restore drill brought back, whichever are more.
    #[must_use]
    pub fn differing(&self) -> u64 {
        match self.drill {
            Some(Drill::Differs(count)) => self.differences.max(count),
            _ => self.differences,
        }
    }

    /// Whether something differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.differing() > 0
    }
}

impl Verified {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// With a text that names the file, when it cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        read_versioned(folder, FILE, LONGEST, (VERSION, |all: &Self| all.version))
    }

    /// Puts in what was found at a target now, in the place of what was. Datasets that its source does not have any more go.
    pub fn put(&mut self, looked: Looked) {
        let Looked { mut checked, overview, sources } = looked;
        // What differed and could not be read this time is not known to be better.
        for one in checked.iter_mut().filter(|one| one.failed.is_some()) {
            let before = self.of(&overview.job, &overview.to).find(|old| old.source == one.source);
            if let Some(old) = before.filter(|old| old.differs()) {
                (one.differences, one.first) = (old.differing(), old.first.clone());
                (one.snapshot, one.share) = (old.snapshot.clone(), old.share);
            }
        }
        let there: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
        let new: BTreeSet<&str> = checked.iter().map(|one| one.source.as_str()).collect();
        let stays = |old: &Checked| {
            let source = old.source.as_str();
            old.job != overview.job
                || old.to != overview.to
                || (there.contains(source) && !new.contains(source))
        };
        self.datasets.retain(stays);
        self.datasets.extend(checked);
        self.targets.retain(|old| old.job != overview.job || old.to != overview.to);
        self.targets.push(overview);
    }

    /// Forgets what is of no job any more, or is not to be verified.
    pub fn forget(&mut self, config: &Config) {
        let wanted = |name: &str, to: &str| {
            config.jobs.iter().any(|job| {
                let is = |target: &Target| target.verify && target.endpoint.to_string() == to;
                job.name == name && job.targets.iter().any(is)
            })
        };
        self.datasets.retain(|one| wanted(&one.job, &one.to));
        self.targets.retain(|one| wanted(&one.job, &one.to));
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays then.
    pub fn write(&mut self, folder: &Path) -> std::io::Result<()> {
        self.version = VERSION;
        write_atomically(folder, FILE, &serde_json::to_vec(self)?)
    }

    /// What was found of a target.
    pub fn of<'v>(&'v self, job: &str, to: &str) -> impl Iterator<Item = &'v Checked> {
        let (job, to) = (job.to_string(), to.to_string());
        self.datasets.iter().filter(move |one| one.job == job && one.to == to)
    }

    /// What was found of a target as a whole.
    #[must_use]
    pub fn overview(&self, job: &str, to: &str) -> Option<&Overview> {
        self.targets.iter().find(|one| one.job == job && one.to == to)
    }
}
