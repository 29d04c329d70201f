//! The rules for filesystems and volumes: made, written, renamed, cloned, promoted, destroyed.

use std::collections::BTreeMap;
use std::sync::Arc;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Operation;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::machine::Crypt;
use super::machine::Dataset;
use super::machine::Machine;
use super::machine::Refused;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;

/// Properties that children do not inherit.
const OWN: [&str; 6] = ["canmount", "quota", "refquota", "reservation", "refreservation", "volsize"];

/// What holds where nobody set anything.
const DEFAULTS: [(&str, &str); 8] = [
    ("readonly", "off"),
    ("canmount", "on"),
    ("compression", "on"),
    ("recordsize", "131072"),
    ("atime", "on"),
    ("mountpoint", "none"),
    ("quota", "0"),
    ("snapdir", "hidden"),
];

/// Names and values to set.
type Set = [(String, String)];

impl Machine {
    /// Creates a filesystem or volume.
    ///
    /// # Errors
    /// As the kernel.
    pub fn create(&mut self, name: &DatasetName, kind: DatasetKind, set: &Set) -> Result<(), Refused> {
        self.room_for(name, Operation::Create)?;
        let mut dataset = self.fresh(kind, name.pool());
        let parent = name.parent().and_then(|parent| self.datasets.get(&parent));
        if parent.is_some_and(Dataset::is_encrypted) {
            dataset.crypt = Some(Crypt { own: false, loaded: false });
        }
        put(&mut dataset, set);
        self.datasets.insert(name.clone(), dataset);
        Ok(())
    }

    /// Creates a filesystem with a key of its own, which is loaded.
    ///
    /// # Errors
    /// As the kernel.
    pub fn create_encrypted(&mut self, name: &DatasetName) -> Result<(), Refused> {
        self.create(name, DatasetKind::Filesystem, &[])?;
        if let Some(dataset) = self.datasets.get_mut(name) {
            dataset.crypt = Some(Crypt { own: true, loaded: true });
        }
        Ok(())
    }

    /// Loads or unloads the key of a dataset that has one of its own. A dataset that has none is a mistake of the test.
    pub fn set_key(&mut self, name: &DatasetName, loaded: bool) {
        let crypt = self.datasets.get_mut(name).and_then(|dataset| dataset.crypt.as_mut());
        crypt.filter(|crypt| crypt.own).expect("a dataset with a key of its own").loaded = loaded;
    }

    /// Whether the key of a dataset is loaded; `None` where it has none of its own.
    #[must_use]
    pub fn has_key(&self, name: &DatasetName) -> Option<bool> {
        self.datasets.get(name)?.crypt.as_ref().filter(|crypt| crypt.own).map(|crypt| crypt.loaded)
    }

    /// Writes a number into a block. A dataset that does not exist is a mistake of the test.
    pub fn write(&mut self, name: &DatasetName, block: u64, value: u64) {
        let txg = self.txg(name.pool());
        let dataset = self.datasets.get_mut(name).expect("a dataset to write to");
        Arc::make_mut(&mut dataset.content).insert(block, value);
        dataset.modified = txg;
        dataset.log = true;
    }

    /// Frees a block. A dataset that does not exist is a mistake of the test.
    pub fn free(&mut self, name: &DatasetName, block: u64) {
        let txg = self.txg(name.pool());
        let dataset = self.datasets.get_mut(name).expect("a dataset to write to");
        Arc::make_mut(&mut dataset.content).remove(&block);
        dataset.modified = txg;
    }

    /// Makes a clone.
    ///
    /// # Errors
    /// As the kernel.
    pub fn clone_snapshot(
        &mut self,
        origin: &SnapshotName,
        name: &DatasetName,
        set: &Set,
    ) -> Result<(), Refused> {
        let refused = |kind| Refused::new(Operation::Clone, name, kind);
        let found = self.find(origin).cloned();
        match self.room_for(name, Operation::Clone) {
            // The kernel does not look at what the parent of a clone is.
            Err(error) if error.kind == ErrorKind::WrongType => {}
            Err(error) if error.kind == ErrorKind::ParentNotFound && found.is_none() => {
                return Err(refused(ErrorKind::NotFound));
            }
            other => other?,
        }
        if origin.pool() != name.pool() {
            return Err(refused(ErrorKind::CrossesPools));
        }
        let snap = found.ok_or_else(|| refused(ErrorKind::NotFound))?;
        let from = self.datasets.get(origin.dataset()).ok_or_else(|| refused(ErrorKind::NotFound))?;
        let (kind, encrypted) = (from.kind, from.is_encrypted());
        let mut dataset = self.fresh(kind, name.pool());
        dataset.origin = Some(snap.id);
        dataset.reset = snap.reset_in(dataset.modified);
        dataset.modified = snap.modified;
        dataset.content = snap.content;
        // A clone uses the key of its origin; the model keeps it as one of its own.
        dataset.crypt = encrypted.then_some(Crypt { own: true, loaded: self.key_loaded(origin.dataset()) });
        put(&mut dataset, set);
        self.datasets.insert(name.clone(), dataset);
        Ok(())
    }

    /// Turns a clone and its origin round.
    ///
    /// # Errors
    /// As the kernel.
    pub fn promote(&mut self, name: &DatasetName) -> Result<(), Refused> {
        let refused = |kind| Refused::new(Operation::Promote, name, kind);
        let clone = self.datasets.get(name).ok_or_else(|| refused(ErrorKind::NotFound))?;
        let origin = clone.origin.ok_or_else(|| refused(ErrorKind::WrongType))?;
        let (parent_name, snap) = self.by_id(origin).ok_or_else(|| refused(ErrorKind::NotFound))?;
        let (parent_name, txg) = (parent_name.clone(), snap.createtxg);
        let parent = self.datasets.get(&parent_name).ok_or_else(|| refused(ErrorKind::NotFound))?;
        let (moved, kept): (Vec<_>, Vec<_>) =
            parent.snapshots.iter().cloned().partition(|snap| snap.createtxg <= txg);
        if moved.iter().any(|snap| clone.snapshot(&snap.short).is_some()) {
            return Err(refused(ErrorKind::Exists));
        }
        let (marks_moved, marks_kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            parent.bookmarks.clone().into_iter().partition(|(_, mark)| mark.createtxg <= txg);
        // The kernel means to refuse this too, and panics; what asks it looks first, here as there.
        if marks_moved.keys().any(|short| clone.bookmarks.contains_key(short)) {
            return Err(refused(ErrorKind::Exists));
        }
        let grandparent = parent.origin;
        self.txg(name.pool());
        if let Some(parent) = self.datasets.get_mut(&parent_name) {
            parent.snapshots = kept;
            parent.bookmarks = marks_kept;
            parent.origin = Some(origin);
        }
        if let Some(clone) = self.datasets.get_mut(name) {
            clone.snapshots.splice(0..0, moved);
            clone.bookmarks.extend(marks_moved);
            clone.origin = grandparent;
        }
        Ok(())
    }

    /// Renames a dataset with everything below it.
    ///
    /// # Errors
    /// As the kernel.
    pub fn rename(&mut self, from: &DatasetName, to: &DatasetName) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(Operation::Rename, from, kind));
        if !self.datasets.contains_key(from) {
            return refused(ErrorKind::NotFound);
        }
        if from.pool() != to.pool() {
            return refused(ErrorKind::CrossesPools);
        }
        match self.room_for(to, Operation::Rename) {
            Ok(()) => {}
            Err(error) => return refused(error.kind),
        }
        if to.is_within(from) {
            return refused(ErrorKind::InvalidArgument);
        }
        self.txg(from.pool());
        let moved: Vec<_> = self.datasets.keys().filter(|name| name.is_within(from)).cloned().collect();
        for name in moved {
            let new = match name.strip_prefix(from) {
                Some("") | None => to.clone(),
                Some(rest) => to.child(rest).expect("a name that is not too long"),
            };
            self.datasets.rename(&name, new);
        }
        Ok(())
    }

    /// Destroys a dataset that has neither children nor snapshots.
    ///
    /// # Errors
    /// As the kernel.
    pub fn destroy(&mut self, name: &DatasetName) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(Operation::Destroy, name, kind));
        let Some(dataset) = self.datasets.get(name) else { return refused(ErrorKind::NotFound) };
        if !dataset.snapshots.is_empty() || self.has_children(name) {
            return refused(ErrorKind::HasChildren);
        }
        if dataset.partial.as_ref().is_some_and(|partial| partial.running.is_some()) {
            return refused(ErrorKind::Busy);
        }
        self.txg(name.pool());
        self.datasets.remove(name);
        Ok(())
    }

    /// Sets properties.
    ///
    /// # Errors
    /// As the kernel.
    pub fn set_properties(&mut self, name: &DatasetName, set: &Set) -> Result<(), Refused> {
        let refused = || Refused::new(Operation::SetProperty, name, ErrorKind::NotFound);
        put(self.datasets.get_mut(name).ok_or_else(refused)?, set);
        Ok(())
    }

    /// Removes what was set of a property.
    ///
    /// # Errors
    /// As the kernel.
    pub fn inherit_property(&mut self, name: &DatasetName, property: &str) -> Result<(), Refused> {
        let refused = || Refused::new(Operation::InheritProperty, name, ErrorKind::NotFound);
        self.datasets.get_mut(name).ok_or_else(refused)?.set.remove(property);
        Ok(())
    }

    /// The properties of a dataset, those of its ancestors among them.
    pub(super) fn properties(&self, names: impl Iterator<Item = DatasetName>) -> Properties {
        names.map(|name| (name.clone(), self.properties_of(&name))).collect()
    }

    /// One property of a dataset, as it is in force; `None` for one that nobody set and that has no default.
    #[must_use]
    pub fn property(&self, name: &DatasetName, property: &str) -> Option<Property> {
        self.properties_of(name).remove(property)
    }

    fn properties_of(&self, name: &DatasetName) -> BTreeMap<String, Property> {
        let defaults = DEFAULTS.map(|(name, value)| {
            (name.to_string(), Property { value: value.to_string(), source: PropertySource::Default })
        });
        let mut all = BTreeMap::from(defaults);
        let mut line = vec![name.clone()];
        while let Some(parent) = line.last().and_then(DatasetName::parent) {
            line.push(parent);
        }
        for at in line.iter().rev() {
            let Some(dataset) = self.datasets.get(at) else { continue };
            for (property, (value, source)) in &dataset.set {
                let source = if at == name { *source } else { PropertySource::Inherited };
                if at == name || !OWN.contains(&property.as_str()) {
                    all.insert(property.clone(), Property { value: value.clone(), source });
                }
            }
        }
        all
    }

    pub(super) fn has_children(&self, name: &DatasetName) -> bool {
        self.datasets.keys().any(|other| other != name && other.is_within(name))
    }

    /// Whether a dataset of that name can be made.
    pub(super) fn room_for(&self, name: &DatasetName, operation: Operation) -> Result<(), Refused> {
        let refused = |kind| Err(Refused::new(operation, name, kind));
        if self.datasets.contains_key(name) {
            return refused(ErrorKind::Exists);
        }
        match name.parent().map(|parent| self.datasets.get(&parent)) {
            None | Some(None) => refused(ErrorKind::ParentNotFound),
            Some(Some(parent)) if parent.kind == DatasetKind::Volume => refused(ErrorKind::WrongType),
            Some(Some(_)) => Ok(()),
        }
    }
}

pub(super) fn put(dataset: &mut Dataset, set: &Set) {
    for (name, value) in set {
        dataset.set.insert(name.clone(), (value.clone(), PropertySource::Local));
    }
}
