//! The configuration: our own in TOML, or a sanoid.conf, read into one model. What is wrong with it is told all at
//! once, with file, line, column and what to write instead ([`problem`]); what it means for each dataset, and where
//! each value came from, is found by a pure function ([`resolve`]). Nothing is taken, pruned or sent here.

use std::path::PathBuf;

use crate::policy::Style;

pub(crate) mod age;
pub mod dataset;
pub mod entry;
pub mod import;
pub mod job;
pub mod key;
pub mod load;
mod native;
pub mod notify;
pub mod open;
pub mod pair;
pub mod place;
pub mod problem;
pub mod receive;
pub mod resolve;
mod sanoid;
pub mod settings;
pub mod value;

use entry::Policies;
use job::Job;
use pair::Pair;
use place::Source;
use problem::Problems;
use receive::Receive;

/// Where our own configuration is looked for.
pub const NATIVE: &str = "/etc/replicator/replicator.toml";

/// Where sanoid has its configuration.
pub const SANOID: &str = "/etc/sanoid/sanoid.conf";

/// Folders and files of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Where runs leave their records.
    pub state: PathBuf,
    /// The file for the node exporter of Prometheus, if one is wanted.
    pub metrics: Option<PathBuf>,
}

impl Default for Folders {
    fn default() -> Self {
        Self { state: PathBuf::from("/var/lib/replicator"), metrics: None }
    }
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose rules hold: those of a sanoid.conf differ from ours.
    pub style: Style,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    /// What is said about datasets.
    pub policies: Policies,
    /// Replication jobs; only in our own files.
    pub jobs: Vec<Job>,
    /// Pairs of nodes; only in our own files.
    pub pairs: Vec<Pair>,
    /// What others send into; only in our own files.
    pub receives: Vec<Receive>,
    /// Folders and files of this machine.
    pub folders: Folders,
    /// Who is told of changes; only in our own files.
    pub notify: Option<notify::Notify>,
}

impl Config {
    /// Reads our own configuration out of texts that stand (or could stand) in these files, in order. It can be used
    /// when there are no errors among the problems.
    #[must_use]
    pub fn parse(sources: &[Source]) -> (Self, Problems) {
        sorted(native::parse(sources))
    }

    /// Reads a sanoid.conf, over a sanoid.defaults.conf if there is one, else over the defaults of sanoid 2.3.
    #[must_use]
    pub fn parse_sanoid(main: &Source, defaults: Option<&Source>) -> (Self, Problems) {
        sorted(sanoid::parse(main, defaults))
    }
}

/// Some things are only found when all files are known. A person reads them from the first line to the last one.
fn sorted((config, mut problems): (Config, Problems)) -> (Config, Problems) {
    problems.sort(&config.files);
    (config, problems)
}

#[cfg(test)]
mod tests;
