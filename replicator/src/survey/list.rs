//! The listing behind a survey: the few questions that it asks, and this machine's kernel as the one that answers them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::ErrorKind;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Listed;
use super::ListedSnapshot;
use super::SurveyError;
use crate::config::dataset::Known;
use crate::policy::Snapshot;

/// Who can be asked what there is.
pub trait Lister {
    /// The root datasets of the imported pools.
    ///
    /// # Errors
    /// When they cannot be told.
    fn pools(&self) -> Result<Vec<DatasetName>, SurveyError>;

    /// Every dataset of a pool, with these user properties.
    ///
    /// # Errors
    /// When the list could not be had in full.
    fn datasets(&self, pool: &DatasetName, properties: &BTreeSet<&str>) -> Result<Vec<Listed>, SurveyError>;

    /// Every snapshot of a dataset; `None` when the dataset is proven to be gone.
    ///
    /// # Errors
    /// When the list could not be had in full.
    fn snapshots(&self, dataset: &DatasetName) -> Result<Option<Vec<ListedSnapshot>>, SurveyError>;

    /// How many percent of a pool are in use, if that can be told.
    ///
    /// # Errors
    /// When the pool cannot be asked.
    fn capacity(&self, pool: &DatasetName) -> Result<Option<u8>, SurveyError>;
}

impl Lister for Zfs {
    fn pools(&self) -> Result<Vec<DatasetName>, SurveyError> {
        Ok(Zfs::pools(self)?)
    }

    fn datasets(&self, pool: &DatasetName, properties: &BTreeSet<&str>) -> Result<Vec<Listed>, SurveyError> {
        let mut all = Vec::new();
        for dataset in self.tree(pool)? {
            let dataset = dataset?;
            let value = |name: &&str| Some(((*name).to_string(), dataset.properties.get(name)?.text()));
            let asked: BTreeMap<_, _> = properties.iter().filter_map(value).collect();
            all.push(Listed {
                guid: dataset.guid,
                kind: dataset.kind,
                written: dataset
                    .properties
                    .number("written")
                    .ok_or_else(|| missing(&dataset.name, "written"))?,
                origin: dataset.origin,
                known: Known { name: dataset.name, properties: asked },
            });
        }
        Ok(all)
    }

    fn snapshots(&self, dataset: &DatasetName) -> Result<Option<Vec<ListedSnapshot>>, SurveyError> {
        let list = || {
            let mut all = Vec::new();
            for found in self.snapshots_with_numbers(dataset, ["creation", "userrefs"])? {
                let (found, [creation, holds]) = found?;
                let creation = creation.ok_or_else(|| missing(&found.name, "creation"))?;
                all.push(ListedSnapshot {
                    clones: found.clones,
                    holds: holds.ok_or_else(|| missing(&found.name, "userrefs"))?,
                    snapshot: Snapshot {
                        guid: found.guid,
                        createtxg: found.createtxg,
                        // Beyond what a date can be, it is in the future in any case.
                        creation: i64::try_from(creation).unwrap_or(i64::MAX),
                        name: found.name,
                    },
                });
            }
            Ok(all)
        };
        match list() {
            Ok(all) => Ok(Some(all)),
            Err(SurveyError::Zfs(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn capacity(&self, pool: &DatasetName) -> Result<Option<u8>, SurveyError> {
        Ok(self.pool(pool.as_str())?.capacity())
    }
}

fn missing(subject: &dyn std::fmt::Display, property: &'static str) -> SurveyError {
    SurveyError::Missing { subject: subject.to_string(), property }
}
