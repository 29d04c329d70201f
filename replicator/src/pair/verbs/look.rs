//! What the verbs go by: the roots of a pair on one side, each with its epoch, its datasets and the properties that
//! matter, in two questions a root.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zfs_core::DatasetKind;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Refused;
use super::VerbError;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::Property;
use crate::host::PropertySource;
use crate::host::Tree;
use crate::marks;
use crate::marks::FirstCopy;
use crate::pair::aside;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::believe;
use crate::plan::Patterns;

/// The properties that the verbs look at.
const NAMES: &[&str] = &["canmount", "mountpoint", "readonly", marks::EPOCH, marks::FIRST];

/// What only a volume has.
const VOLUME: &str = "volsize";

/// A root on one side.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its name.
    pub name: DatasetName,
    /// The GUID of the pool.
    pub pool: Guid,
    /// It and what is below it; none where it is proven not to be there.
    pub tree: Option<Tree>,
    /// Of these, the properties that matter; of a node that rejoins, all.
    pub properties: Properties,
    /// What is believed of its epoch.
    pub belief: Belief,
    /// The nearest dataset above it on which a mountpoint was set, and that; only of this node, and only where it was
    /// looked for.
    pub above: Option<(DatasetName, String)>,
}

/// The roots of one side.
#[derive(Clone, Debug)]
pub struct Side {
    /// The name of the node.
    pub node: String,
    /// In the order of the configuration.
    pub roots: Vec<Root>,
}

impl Root {
    /// The epoch, if it has one.
    #[must_use]
    pub fn epoch(&self) -> Option<&Epoch> {
        match &self.belief {
            Belief::Known(epoch) => Some(epoch),
            Belief::None | Belief::Unknown(_) => None,
        }
    }

    /// Its datasets, parents first, without those that a rejoin has set aside.
    pub fn datasets(&self) -> impl DoubleEndedIterator<Item = &DatasetState> {
        self.tree.iter().flat_map(Tree::datasets).filter(|state| !aside::holds(&self.name, &state.name))
    }

    /// Those of them that the pair replicates.
    pub fn replicated<'r>(&'r self, selected: &'r Patterns) -> impl Iterator<Item = &'r DatasetState> {
        self.datasets().filter(|state| selected.select_dataset(&state.name, &self.name))
    }

    /// How far its first replication to this side was, where that has not come to its end.
    #[must_use]
    pub fn first_copy(&self) -> Option<FirstCopy> {
        if !self.is_local(&self.name, marks::FIRST) {
            return None;
        }
        FirstCopy::read(self.value(&self.name, marks::FIRST))
    }

    /// A property of one of its datasets.
    #[must_use]
    pub fn property(&self, dataset: &DatasetName, name: &str) -> Option<&Property> {
        self.properties.get(dataset)?.get(name)
    }

    /// The same, as text; empty where it has none.
    #[must_use]
    pub fn value(&self, dataset: &DatasetName, name: &str) -> &str {
        self.property(dataset, name).map_or("", |property| property.value.as_str())
    }

    /// Whether it was set on the dataset itself.
    #[must_use]
    pub fn is_local(&self, dataset: &DatasetName, name: &str) -> bool {
        self.property(dataset, name).is_some_and(|property| property.source == PropertySource::Local)
    }

    /// The filesystems that a promoted node mounts, each with its mountpoint.
    ///
    /// # Errors
    /// When one that is to be mounted has no place.
    pub fn places(&self) -> Result<BTreeMap<DatasetName, PathBuf>, Refused> {
        let filesystems = self.datasets().filter(|state| state.kind == DatasetKind::Filesystem);
        self.places_of(filesystems.map(|state| &state.name))
    }

    /// The same of a root whose datasets are known by their properties alone, as after [`glance`].
    ///
    /// # Errors
    /// When one that is to be mounted has no place.
    pub fn places_by_properties(&self) -> Result<BTreeMap<DatasetName, PathBuf>, Refused> {
        let filesystems = self
            .properties
            .iter()
            .filter(|(name, properties)| !aside::holds(&self.name, name) && !properties.contains_key(VOLUME));
        self.places_of(filesystems.map(|(name, _)| name))
    }

    fn places_of<'a>(
        &self,
        filesystems: impl Iterator<Item = &'a DatasetName>,
    ) -> Result<BTreeMap<DatasetName, PathBuf>, Refused> {
        let mut places = BTreeMap::new();
        for dataset in filesystems.filter(|dataset| self.value(dataset, "canmount") != "off") {
            match self.mountpoint(dataset).as_str() {
                // Of what people mount themselves, or not at all, they take care.
                "legacy" | "none" if *dataset != self.name => {}
                place if place.starts_with('/') => drop(places.insert(dataset.clone(), place.into())),
                other => {
                    let (dataset, mountpoint) = (dataset.clone(), other.to_string());
                    return Err(Refused::NoMountpoint { dataset, mountpoint });
                }
            }
        }
        Ok(places)
    }

    /// Where a dataset is to be mounted. The kernel gives an inherited mountpoint as it was set above, and one that
    /// nobody set not at all: what lies between is added here, as the zfs command does.
    pub(crate) fn mountpoint(&self, dataset: &DatasetName) -> String {
        let mut next = Some(dataset.clone());
        let mut set = self.above.clone();
        while let Some(name) = next.filter(|name| name.is_within(&self.name)) {
            let property = self.property(&name, "mountpoint");
            let own = |source| matches!(source, PropertySource::Local | PropertySource::Received);
            if let Some(property) = property.filter(|property| own(property.source)) {
                set = Some((name, property.value.clone()));
                break;
            }
            next = name.parent();
        }
        let Some((owner, value)) = set else { return format!("/{dataset}") };
        match dataset.strip_prefix(&owner).filter(|rest| value.starts_with('/') && !rest.is_empty()) {
            Some(rest) => format!("{}/{rest}", value.trim_end_matches('/')),
            None => value,
        }
    }
}

/// As [`look`], with what the mountpoints of the roots depend on above them.
///
/// # Errors
/// When the host cannot be asked.
pub fn look_own(host: &mut dyn Host, node: &str, roots: &[DatasetName]) -> Result<Side, VerbError> {
    let mut side = look(host, node, roots)?;
    look_above(host, &mut side)?;
    Ok(side)
}

/// As [`look_own`], without a list of datasets and snapshots: cheap enough to be asked often. A root that is not there has
/// no properties.
///
/// # Errors
/// When the host cannot be asked.
pub fn glance(host: &mut dyn Host, node: &str, roots: &[DatasetName]) -> Result<Side, VerbError> {
    let names: Vec<_> = NAMES.iter().chain([&VOLUME]).map(|name| (*name).to_string()).collect();
    let mut side = Side { node: node.to_string(), roots: Vec::new() };
    for name in roots {
        let pool = host.about(name.pool())?.guid;
        let properties = match host.some_properties(name, Depth::All, &names) {
            Err(error) if error.zfs_kind() == Some(ErrorKind::NotFound) => Properties::new(),
            found => found?,
        };
        let belief = believe(properties.get(name).and_then(|properties| properties.get(marks::EPOCH)), pool);
        side.roots.push(Root { name: name.clone(), pool, tree: None, belief, properties, above: None });
    }
    look_above(host, &mut side)?;
    Ok(side)
}

fn look_above(host: &mut dyn Host, side: &mut Side) -> Result<(), VerbError> {
    for root in side.roots.iter_mut().filter(|root| !root.properties.is_empty()) {
        let mut next = root.name.parent();
        while let Some(name) = next.filter(|_| root.above.is_none()) {
            let mut found = host.some_properties(&name, Depth::One, &["mountpoint".to_string()])?;
            let property = found.get_mut(&name).and_then(|properties| properties.remove("mountpoint"));
            let own = |one: &Property| matches!(one.source, PropertySource::Local | PropertySource::Received);
            root.above = property.filter(own).map(|property| (name.clone(), property.value));
            next = name.parent();
        }
    }
    Ok(())
}

/// Looks at the roots of one side.
///
/// # Errors
/// When it cannot be asked. What is not there is no error.
pub fn look(host: &mut dyn Host, node: &str, roots: &[DatasetName]) -> Result<Side, VerbError> {
    let mut side = Side { node: node.to_string(), roots: Vec::new() };
    for root in roots {
        let pool = host.about(root.pool())?.guid;
        side.roots.push(look_in(host, root, pool)?);
    }
    Ok(side)
}

/// Looks at one root. `pool` is the GUID of its pool.
pub(super) fn look_in(host: &mut dyn Host, name: &DatasetName, pool: Guid) -> Result<Root, HostError> {
    let tree = match host.inventory(name, Depth::All)? {
        Inventory::Present(tree) => Some(tree),
        Inventory::Absent { .. } => None,
    };
    let properties = match &tree {
        Some(_) => host.some_properties(
            name,
            Depth::All,
            &NAMES.iter().map(|name| (*name).to_string()).collect::<Vec<_>>(),
        )?,
        None => Properties::new(),
    };
    let property = properties.get(name).and_then(|properties| properties.get(marks::EPOCH));
    let belief = believe(property, pool);
    Ok(Root { name: name.clone(), pool, tree, belief, properties, above: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel of a real pool gives them.
    #[test]
    fn a_mountpoint_is_where_the_zfs_command_would_mount() {
        let name = |text: &str| -> DatasetName { text.parse().expect("a name") };
        let property = |value: &str, source| Property { value: value.to_string(), source };
        let one = |dataset: &str, value: &str, source| {
            (name(dataset), BTreeMap::from([("mountpoint".to_string(), property(value, source))]))
        };
        let mut root = Root {
            name: name("tank/data"),
            pool: Guid(1),
            tree: None,
            properties: Properties::from([
                one("tank/data", "/tank", PropertySource::Inherited),
                one("tank/data/x", "/srv/x", PropertySource::Local),
                one("tank/data/x/y", "/srv/x", PropertySource::Inherited),
                one("tank/data/z", "none", PropertySource::Local),
                one("tank/data/z/a", "none", PropertySource::Inherited),
            ]),
            belief: Belief::None,
            above: Some((name("tank"), "/tank".to_string())),
        };
        for (dataset, place) in [
            ("tank/data", "/tank/data"),
            ("tank/data/w/w", "/tank/data/w/w"),
            ("tank/data/x", "/srv/x"),
            ("tank/data/x/y", "/srv/x/y"),
            ("tank/data/z/a", "none"),
        ] {
            assert_eq!(root.mountpoint(&name(dataset)), place);
        }
        root.above = Some((name("tank"), "/".to_string()));
        assert_eq!(root.mountpoint(&name("tank/data")), "/data");
        root.above = None;
        assert_eq!(root.mountpoint(&name("tank/data")), "/tank/data");
    }
}
