//! What this machine has of that which policies are about: one listing pass over each pool concerned, and the policy of
//! each dataset found in it. Nothing is decided here and nothing is changed. The listing itself is behind [`Lister`], so
//! that everything else works without ZFS.
//!
//! What could not be looked at is in [`Survey::troubles`] and never reads as "there is nothing": no dataset of such a
//! pool is in [`Survey::datasets`], nor among those that are missing.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use crate::config::Config;
use crate::config::dataset::Known;
use crate::config::resolve::Effective;
use crate::config::resolve::Resolved;
use crate::policy::Snapshot;

mod list;
#[cfg(test)]
mod tests;

pub use list::Lister;

/// A dataset that has a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: DatasetName,
    /// Its GUID.
    pub guid: Guid,
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Bytes written since its newest snapshot.
    pub written: u64,
    /// The snapshot it is a clone of.
    pub origin: Option<SnapshotName>,
    /// All of its snapshots, in the order of createtxg.
    pub snapshots: Vec<Snapshot>,
    /// Which of them are the origin of a clone; with the name of one where the listing has it.
    pub cloned: BTreeMap<Guid, Option<DatasetName>>,
    /// Which of them somebody holds.
    pub held: BTreeSet<Guid>,
}

/// Something that could not be looked at.
#[derive(Debug)]
pub struct Trouble {
    /// The pool, or the one dataset. Of a pool that could not be listed nothing is known at all.
    pub subject: DatasetName,
    /// Why.
    pub error: SurveyError,
}

/// Why something could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// A pool that the configuration names datasets of.
    #[error("the pool {pool} is not imported, and the configuration names datasets of it")]
    NotImported {
        /// The pool.
        pool: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Zfs(#[from] zfs_core::Error),
    /// The kernel left something out that every dataset or snapshot has.
    #[error("{subject} has no property `{property}`")]
    Missing {
        /// Of what.
        subject: String,
        /// What is missing.
        property: &'static str,
    },
}

impl SurveyError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotImported { pool } => Some(format!(
                "import it with `zpool import {pool}`, or take its datasets out of the configuration"
            )),
            Self::Zfs(error) => error.hint().map(str::to_string),
            Self::Missing { .. } => None,
        }
    }
}

/// What there is, and which policy each dataset has.
#[derive(Debug, Default)]
pub struct Survey {
    /// The policies of the datasets that could be looked at, and of those that are named and proven not to exist.
    pub resolved: Resolved,
    /// Each dataset that exists and has a policy, by name.
    pub datasets: BTreeMap<DatasetName, Seen>,
    /// How many percent of each pool are in use, where the kernel says so.
    pub capacity: BTreeMap<String, u8>,
    /// What could not be looked at.
    pub troubles: Vec<Trouble>,
}

impl Survey {
    /// Looks at every pool that the configuration is about, and at no other.
    ///
    /// # Errors
    /// When not even the pools can be told. What is wrong with one pool is in the survey, and the others go on.
    pub fn new(lister: &dyn Lister, config: &Config) -> Result<Self, SurveyError> {
        let (known, mut origins, mut survey) = known(lister, config)?;
        let lost: BTreeSet<String> =
            survey.troubles.iter().map(|trouble| trouble.subject.pool().to_string()).collect();
        let mut resolved =
            config.policies.resolve(&known.values().map(|one| one.known.clone()).collect::<Vec<_>>());
        // What is not known to exist or not is left out, so that nobody takes it for missing.
        resolved.datasets.retain(|name, _| !lost.contains(name.pool()));
        for (name, listed) in known {
            if !resolved.datasets.contains_key(&name) {
                continue;
            }
            match lister.snapshots(&name) {
                Ok(Some(snapshots)) => {
                    let clones = origins.remove(&name).unwrap_or_default();
                    survey.datasets.insert(name, seen(listed, snapshots, &clones));
                }
                // Destroyed since the listing began: nothing is left to be done about it.
                Ok(None) => {
                    if let Some(effective) = resolved.datasets.get_mut(&name) {
                        effective.exists = false;
                    }
                }
                Err(error) => {
                    resolved.datasets.remove(&name);
                    survey.troubles.push(Trouble { subject: name, error });
                }
            }
        }
        survey.resolved = resolved;
        Ok(survey)
    }

    /// The datasets that exist, each with its policy, by name.
    pub fn each(&self) -> impl Iterator<Item = (&Seen, &Effective)> {
        self.datasets.values().filter_map(|seen| Some((seen, self.resolved.datasets.get(&seen.name)?)))
    }

    /// The policies of datasets that are named and proven not to exist.
    pub fn missing(&self) -> impl Iterator<Item = &Effective> {
        self.resolved.datasets.values().filter(|effective| !effective.exists)
    }

    /// Why nothing can be said about this dataset, if that is so.
    #[must_use]
    pub fn trouble(&self, dataset: &DatasetName) -> Option<&Trouble> {
        let concerns = |one: &&Trouble| one.subject == *dataset || one.subject.as_str() == dataset.pool();
        self.troubles.iter().find(concerns)
    }
}

/// The datasets of this machine that policies may be about, with the user properties that entries ask for, and what could
/// not be looked at. No snapshots are listed.
///
/// # Errors
/// When not even the pools can be told.
pub fn datasets(lister: &dyn Lister, config: &Config) -> Result<(Vec<Known>, Vec<Trouble>), SurveyError> {
    let (known, _, survey) = known(lister, config)?;
    Ok((known.into_values().map(|listed| listed.known).collect(), survey.troubles))
}

/// A dataset as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name and the user properties that were asked for.
    pub known: Known,
    /// Its GUID.
    pub guid: Guid,
    /// Filesystem or volume.
    pub kind: DatasetKind,
    /// Bytes written since its newest snapshot.
    pub written: u64,
    /// The snapshot it is a clone of.
    pub origin: Option<SnapshotName>,
}

/// A snapshot as it is listed.
#[derive(Clone, Debug)]
pub struct ListedSnapshot {
    /// What policies see of it.
    pub snapshot: Snapshot,
    /// How many clones it has.
    pub clones: u64,
    /// How many holds it has.
    pub holds: u64,
}

/// For each dataset with snapshots that are the origin of others: which clone has which.
type Origins = BTreeMap<DatasetName, BTreeMap<SnapshotName, DatasetName>>;

fn known(
    lister: &dyn Lister,
    config: &Config,
) -> Result<(BTreeMap<DatasetName, Listed>, Origins, Survey), SurveyError> {
    let about = config.policies.pools();
    let properties = config.policies.properties();
    let mut survey = Survey::default();
    let mut known = BTreeMap::new();
    let mut origins = Origins::new();
    let imported = lister.pools()?;
    for pool in imported.iter().filter(|pool| about.contains(pool.as_str())) {
        let listed = lister.datasets(pool, &properties);
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                survey.troubles.push(Trouble { subject: pool.clone(), error });
                continue;
            }
        };
        if let Ok(Some(capacity)) = lister.capacity(pool) {
            survey.capacity.insert(pool.to_string(), capacity);
        }
        for one in listed {
            if let Some(origin) = &one.origin {
                let clones = origins.entry(origin.dataset().clone()).or_default();
                clones.insert(origin.clone(), one.known.name.clone());
            }
            known.insert(one.known.name.clone(), one);
        }
    }
    for pool in about.named {
        if imported.iter().any(|one| one.as_str() == pool) {
            continue;
        }
        if let Ok(subject) = DatasetName::try_from(pool) {
            let error = SurveyError::NotImported { pool: pool.to_string() };
            survey.troubles.push(Trouble { subject, error });
        }
    }
    Ok((known, origins, survey))
}

fn seen(
    listed: Listed,
    snapshots: Vec<ListedSnapshot>,
    clones: &BTreeMap<SnapshotName, DatasetName>,
) -> Seen {
    let mut seen = Seen {
        name: listed.known.name,
        guid: listed.guid,
        kind: listed.kind,
        written: listed.written,
        origin: listed.origin,
        snapshots: Vec::with_capacity(snapshots.len()),
        cloned: BTreeMap::new(),
        held: BTreeSet::new(),
    };
    for one in snapshots {
        if one.clones > 0 {
            seen.cloned.insert(one.snapshot.guid, clones.get(&one.snapshot.name).cloned());
        }
        if one.holds > 0 {
            seen.held.insert(one.snapshot.guid);
        }
        seen.snapshots.push(one.snapshot);
    }
    seen.snapshots.sort_by_key(|one| one.createtxg);
    seen
}
