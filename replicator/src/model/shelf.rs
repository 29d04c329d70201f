//! The datasets of a machine by name. Copies share each dataset until one of them changes it: a test that keeps the
//! state after every single effect would otherwise do little else than copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use zfs_core::name::DatasetName;

use super::machine::Dataset;

/// Datasets by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shelf(BTreeMap<DatasetName, Arc<Dataset>>);

impl Shelf {
    pub(super) fn get(&self, name: &DatasetName) -> Option<&Dataset> {
        self.0.get(name).map(Arc::as_ref)
    }

    pub(super) fn get_mut(&mut self, name: &DatasetName) -> Option<&mut Dataset> {
        self.0.get_mut(name).map(Arc::make_mut)
    }

    pub(super) fn contains_key(&self, name: &DatasetName) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn insert(&mut self, name: DatasetName, dataset: Dataset) {
        self.0.insert(name, Arc::new(dataset));
    }

    pub(super) fn remove(&mut self, name: &DatasetName) {
        self.0.remove(name);
    }

    /// Puts a dataset under another name.
    pub(super) fn rename(&mut self, from: &DatasetName, to: DatasetName) {
        if let Some(dataset) = self.0.remove(from) {
            self.0.insert(to, dataset);
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &DatasetName> {
        self.0.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Dataset> {
        self.0.values().map(Arc::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&DatasetName, &Dataset)> {
        self.0.iter().map(|(name, dataset)| (name, dataset.as_ref()))
    }

    /// What is not the same in a copy that was made earlier: for each name the dataset then and now.
    pub(super) fn changed<'a>(
        &'a self,
        before: &'a Self,
    ) -> Vec<(&'a DatasetName, Option<&'a Dataset>, Option<&'a Dataset>)> {
        let mut changed = Vec::new();
        for (name, was) in &before.0 {
            match self.0.get(name) {
                Some(is) if Arc::ptr_eq(was, is) || was == is => {}
                is => changed.push((name, Some(was.as_ref()), is.map(Arc::as_ref))),
            }
        }
        let new = self.0.iter().filter(|(name, _)| !before.0.contains_key(*name));
        changed.extend(new.map(|(name, is)| (name, None, Some(is.as_ref()))));
        changed
    }
}
