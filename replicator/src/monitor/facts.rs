//! What checks are made of, as far as it is on this machine: gathered by a process that may hang ([`ask`](super::ask)),
//! which tells each fact as soon as it has it, one a line.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;
use zfs_core::ErrorKind;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::health::Pool;
use super::health::Status;
use super::lag::Look;
use super::snapshots::Seen;
use super::snapshots::Watched;
use crate::config::Config;
use crate::policy::PerPeriod;
use crate::survey;
use crate::survey::Listed;
use crate::survey::ListedSnapshot;
use crate::survey::Lister;
use crate::survey::Survey;
use crate::survey::SurveyError;

/// Something that was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// How the pool is that was asked about.
    Pool(Pool),
    /// A dataset with a policy, and its snapshots where these were asked for.
    Dataset(Box<Watched>),
    /// Something that could not be looked at, and why.
    Trouble(String),
    /// What is known about a target. A later one is better.
    Target(Look),
}

impl Fact {
    /// As one line.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| format!("an answer that is not understood: {error}"))
    }
}

/// One pool of those that there are.
struct Only<'z> {
    zfs: &'z Zfs,
    pool: DatasetName,
}

impl Lister for Only<'_> {
    fn pools(&self) -> Result<Vec<DatasetName>, SurveyError> {
        Ok(vec![self.pool.clone()])
    }

    fn datasets(&self, pool: &DatasetName, properties: &BTreeSet<&str>) -> Result<Vec<Listed>, SurveyError> {
        self.zfs.datasets(pool, properties)
    }

    fn snapshots(&self, dataset: &DatasetName) -> Result<Option<Vec<ListedSnapshot>>, SurveyError> {
        Lister::snapshots(self.zfs, dataset)
    }

    fn capacity(&self, _pool: &DatasetName) -> Result<Option<u8>, SurveyError> {
        Ok(None)
    }
}

/// How a pool is.
///
/// # Errors
/// When the kernel does not say so.
pub fn pool(zfs: &Zfs, name: &str) -> Result<Fact, zfs_core::Error> {
    match zfs.pool_status(name) {
        Ok(status) => Ok(Fact::Pool(Pool::Known(Status::from(&status)))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Fact::Pool(Pool::Missing)),
        Err(error) => Err(error),
    }
}

/// The datasets of a pool that have a policy, without their snapshots.
///
/// # Errors
/// When the pool cannot be listed.
pub fn policies(zfs: &Zfs, config: &Config, pool: &DatasetName) -> Result<Vec<Fact>, SurveyError> {
    let (known, troubles) = survey::datasets(&Only { zfs, pool: pool.clone() }, config)?;
    let lost = troubles.into_iter().filter(|trouble| trouble.subject.pool() == pool.as_str());
    let lost = lost.map(|trouble| Fact::Trouble(trouble.error.to_string()));
    let resolved = config.policies.resolve(&known);
    let here = resolved.datasets.into_values().filter(|one| one.dataset.pool() == pool.as_str());
    let datasets = here.map(|effective| {
        Fact::Dataset(Box::new(Watched {
            dataset: effective.dataset.to_string(),
            exists: effective.exists,
            monitor: effective.policy.monitor,
            seen: PerPeriod::default(),
        }))
    });
    Ok(lost.chain(datasets).collect())
}

/// The same, with their snapshots.
///
/// # Errors
/// When the pool cannot be listed.
pub fn snapshots(zfs: &Zfs, config: &Config, pool: &DatasetName, now: i64) -> Result<Vec<Fact>, SurveyError> {
    let survey = Survey::new(&Only { zfs, pool: pool.clone() }, config)?;
    let lost = survey.troubles.iter().filter(|trouble| trouble.subject.pool() == pool.as_str());
    let mut facts: Vec<_> = lost.map(|trouble| Fact::Trouble(trouble.error.to_string())).collect();
    for effective in survey.resolved.datasets.values().filter(|one| one.dataset.pool() == pool.as_str()) {
        let mut seen = PerPeriod::<Seen>::default();
        let found = survey.datasets.get(&effective.dataset);
        for snapshot in found.into_iter().flat_map(|found| &found.snapshots) {
            if let Some(period) = effective.policy.naming.period(snapshot.name.short()) {
                seen[period].add(snapshot.creation, now);
            }
        }
        facts.push(Fact::Dataset(Box::new(Watched {
            dataset: effective.dataset.to_string(),
            exists: effective.exists,
            monitor: effective.policy.monitor.clone(),
            seen,
        })));
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_lines_that_read_back() {
        let facts = [
            Fact::Pool(Pool::Missing),
            Fact::Pool(Pool::State { state: Some("ONLINE".to_string()), why: "a\nb".to_string() }),
            Fact::Trouble("it is \"away\"".to_string()),
            Fact::Target(Look::Nothing { why: "no".to_string() }),
        ];
        for fact in facts {
            assert!(!fact.line().contains('\n'));
            assert_eq!(Fact::read(&fact.line()), Ok(fact));
        }
        assert!(Fact::read("{}").is_err());
        assert!(Fact::read("").is_err());
    }
}
