//! What the last look into each dataset of each target came to, in one file of the state folder that is written as a whole.
//! Without it everything counts as never looked at.

use std::num::NonZeroU32;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::config::Config;
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

    /// Whether something differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.differences > 0 || matches!(self.drill, Some(Drill::Differs(_)))
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

    /// Puts in what was found now, in the place of what was. What is of no job any more goes.
    pub fn put(&mut self, found: Vec<Checked>, config: &Config) {
        for one in found {
            self.datasets.retain(|old| !(old.job == one.job && old.to == one.to && old.source == one.source));
            self.datasets.push(one);
        }
        self.datasets.retain(|one| {
            config.jobs.iter().any(|job| {
                job.name == one.job && job.targets.iter().any(|target| target.endpoint.to_string() == one.to)
            })
        });
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
}
