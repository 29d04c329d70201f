//! Lets a request in, for everything that lies at its names and below them, under the lock that a promotion needs.

use std::collections::BTreeMap;

use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use super::Claim;
use super::Permit;
use super::Refusal;
use super::Verdict;
use super::judge;
use super::unfinished::unfinished;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::host::ReceiveSpec;
use crate::marks;
use crate::pair::aside;
use crate::pair::epoch::Belief;
use crate::pair::epoch::Doubt;
use crate::pair::epoch::Epoch;
use crate::pair::epoch::NodeName;
use crate::pair::epoch::believe;
use crate::pair::epoch::written;

/// The names that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Datasets that it changes, or makes.
    into: Vec<DatasetName>,
    /// Those with which all below is changed, too.
    below: Vec<DatasetName>,
    /// The properties that it sets.
    sets_epoch: bool,
}

impl Asked {
    /// By nothing yet: whether a claim would be let in.
    #[must_use]
    pub fn root(root: &DatasetName) -> Self {
        Self { into: vec![root.clone()], ..Self::default() }
    }

    /// By a replication into it and all that is below.
    #[must_use]
    pub fn tree(root: &DatasetName) -> Self {
        Self { below: vec![root.clone()], ..Self::root(root) }
    }

    /// By a stream.
    #[must_use]
    pub fn receive(spec: &ReceiveSpec) -> Self {
        let into = vec![spec.to.dataset().clone()];
        Self { into, sets_epoch: sets_epoch(&spec.set), ..Self::default() }
    }

    /// By a change. `origin` is the dataset whose snapshots a promotion takes. `None` for bookmarks, which change
    /// nothing that a promotion depends on: the active side, too, may be replicated to third machines.
    #[must_use]
    pub fn change(change: &Change, origin: Option<&DatasetName>) -> Option<Self> {
        let one = |dataset: &DatasetName| Self { into: vec![dataset.clone()], ..Self::default() };
        Some(match change {
            Change::Bookmark { .. } | Change::DestroyBookmarks { .. } => return None,
            Change::CreateFilesystem { dataset, set } | Change::SetProperties { dataset, set } => {
                Self { sets_epoch: sets_epoch(set), ..one(dataset) }
            }
            Change::UnsetProperties { dataset, names } => {
                Self { sets_epoch: names.iter().any(|name| name == marks::EPOCH), ..one(dataset) }
            }
            Change::Clone { to, set, .. } => Self { sets_epoch: sets_epoch(set), ..one(to) },
            Change::Rename { from, to, .. } => {
                Self { into: vec![from.clone(), to.clone()], below: vec![from.clone()], sets_epoch: false }
            }
            Change::Promote { dataset } => {
                let into = std::iter::once(dataset).chain(origin).cloned().collect();
                Self { into, ..Self::default() }
            }
            Change::DestroySnapshots { dataset, .. }
            | Change::PruneSnapshots { dataset, .. }
            | Change::DiscardPartial { dataset, .. } => one(dataset),
            Change::Destroy { dataset, .. } => Self { below: vec![dataset.clone()], ..one(dataset) },
        })
    }
}

fn sets_epoch(set: &[(String, String)]) -> bool {
    set.iter().any(|(name, _)| name == marks::EPOCH)
}

/// Why [`admit`] lets a request not in.
#[derive(Debug)]
pub enum NotAdmitted {
    /// It may not.
    Refused(Box<Refusal>),
    /// The host could not be asked.
    Host(Box<HostError>),
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<HostError> for NotAdmitted {
    fn from(error: HostError) -> Self {
        Self::Host(Box::new(error))
    }
}

/// A request that was let in. To be kept until what it asked for is done.
#[must_use = "the datasets can be promoted as soon as it is dropped"]
pub struct Admitted {
    permit: Box<dyn Permit>,
    claim: Option<Claim>,
}

impl Admitted {
    /// Whether it has to give way to a promotion.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_recalled(&self) -> Result<bool, HostError> {
        self.permit.is_recalled()
    }

    /// After a success: the root that the request has made, where it has, takes over the epoch, too.
    ///
    /// # Errors
    /// When it cannot be looked at or written.
    pub fn done(self, host: &mut dyn Host) -> Result<(), HostError> {
        let Some(claim) = &self.claim else { return Ok(()) };
        match look(host, &claim.root)? {
            Looked { exists: true, property: None } => adopt(host, claim, true),
            _ => Ok(()),
        }
    }
}

/// Lets a request in, or not, under the lock that a promotion needs.
///
/// # Errors
/// When it may not change what it names, or the host cannot be asked.
pub fn admit(
    host: &mut dyn Host,
    node: &NodeName,
    asked: &Asked,
    claim: Option<&Claim>,
) -> Result<Admitted, NotAdmitted> {
    if asked.sets_epoch {
        return Err(Refusal::Forged.into());
    }
    let mut guarded = asked.into.clone();
    for dataset in &asked.below {
        guarded.extend(below(host, dataset)?.into_keys());
    }
    let permit = permit(host, &guarded)?;
    // From here on none of them is promoted.
    let mut roots = BTreeMap::new();
    for dataset in &asked.into {
        roots.extend(above(host, dataset)?);
    }
    for dataset in &asked.below {
        for (root, belief) in below(host, dataset)? {
            if !guarded.contains(&root) {
                return Err(Refusal::Promoting(root).into());
            }
            roots.insert(root, belief);
        }
    }
    let mut adopts = false;
    for (root, belief) in &roots {
        let writable = writable(host, root, asked)?;
        adopts |= judge(node, root, belief, writable.as_ref(), claim)? == Verdict::Adopt;
    }
    if let Some(claim) = claim {
        if !permit.is_seen_by_root() {
            return Err(Refusal::NotRoot(claim.root.clone()).into());
        }
        let within = asked.into.iter().all(|dataset| dataset.is_within(&claim.root));
        if !within {
            let outside = asked.into.iter().find(|dataset| !dataset.is_within(&claim.root));
            let (root, claimed) = (outside.unwrap_or(&claim.root).clone(), claim.root.clone());
            return Err(Refusal::OtherRoot { root, claimed }.into());
        }
        // Before the first replication, and where the root is still without an epoch.
        let first = roots.is_empty();
        if first {
            let writable = writable(host, &claim.root, asked)?;
            judge(node, &claim.root, &Belief::None, writable.as_ref(), Some(claim))?;
            adopts = look(host, &claim.root)?.exists;
        }
        if unfinished(host, &claim.root)?.is_some() {
            return Err(Refusal::Unfinished(claim.root.clone()).into());
        }
        if adopts {
            adopt(host, claim, first)?;
        }
    }
    Ok(Admitted { permit, claim: claim.cloned() })
}

/// Keeps datasets from being promoted.
pub(super) fn permit(host: &mut dyn Host, datasets: &[DatasetName]) -> Result<Box<dyn Permit>, NotAdmitted> {
    let closed = |dataset: &str| dataset.parse().map_or(Refusal::Forged, Refusal::Promoting);
    match host.permit(datasets) {
        Err(HostError::Closed { dataset, .. }) => Err(closed(&dataset).into()),
        permit => Ok(permit?),
    }
}

/// Writes the epoch of a claim down on its root; where it is the first one, also that not all of it may be here yet. What
/// follows is read-only, also where a person has made it, or has had it writable: that is seen to first.
pub(super) fn adopt(host: &mut dyn Host, claim: &Claim, first: bool) -> Result<(), HostError> {
    let root = &claim.root;
    let pool = host.about(root.pool())?.guid;
    for dataset in writables(host, root)? {
        let set = vec![(READONLY.to_string(), "on".to_string())];
        host.apply(&Change::SetProperties { dataset, set })?;
    }
    // Some set it without a word, and it stays off.
    if let Some(dataset) = writables(host, root)?.into_iter().next() {
        let why = format!("{dataset} stays writable: {READONLY}=on has no effect");
        return Err(HostError::BadAnswer {
            host: host.label().to_string(),
            operation: "make read-only",
            why,
        });
    }
    let epoch = Epoch { number: claim.epoch, holder: claim.holder.clone(), pool };
    let mut set = vec![written(&epoch)];
    if first {
        set.push((marks::FIRST.to_string(), marks::FirstCopy { there: 0, of: 0 }.to_string()));
    }
    host.apply(&Change::SetProperties { dataset: root.clone(), set })
}

const READONLY: &str = "readonly";

/// The datasets of a root that can be written to by what is set on them themselves; those below without a setting of
/// their own follow the root.
fn writables(host: &mut dyn Host, root: &DatasetName) -> Result<Vec<DatasetName>, HostError> {
    let found = host.some_properties(root, Depth::All, &[READONLY.to_string()])?;
    let is_off = |name: &DatasetName, property: Option<&crate::host::Property>| match property {
        // Of what nobody set the kernel says nothing, or that it is off.
        None => name == root,
        Some(property) => {
            let own = matches!(property.source, PropertySource::Local | PropertySource::Received);
            property.value != "on" && (name == root || own)
        }
    };
    let all = found
        .iter()
        .filter(|(name, properties)| !aside::holds(root, name) && is_off(name, properties.get(READONLY)));
    Ok(all.map(|(name, _)| name.clone()).collect())
}

/// A dataset that the request is about, or its root, which is mounted and writable.
fn writable(
    host: &mut dyn Host,
    root: &DatasetName,
    asked: &Asked,
) -> Result<Option<DatasetName>, HostError> {
    for dataset in std::iter::once(root).chain(asked.into.iter().filter(|dataset| dataset.is_within(root))) {
        if host.is_mounted_writable(dataset)? {
            return Ok(Some(dataset.clone()));
        }
    }
    Ok(None)
}

/// What a dataset says.
struct Looked {
    exists: bool,
    property: Option<crate::host::Property>,
}

fn look(host: &mut dyn Host, dataset: &DatasetName) -> Result<Looked, HostError> {
    let mut found = match host.some_properties(dataset, Depth::One, &[marks::EPOCH.to_string()]) {
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(Looked { exists: false, property: None }),
        Err(error) => return Err(error),
    };
    let property = found.get_mut(dataset).and_then(|properties| properties.remove(marks::EPOCH));
    Ok(Looked { exists: true, property: property.filter(|one| one.source != PropertySource::None) })
}

pub(super) fn is_missing(error: &HostError) -> bool {
    matches!(error.zfs_kind(), Some(ErrorKind::NotFound | ErrorKind::ParentNotFound))
        || matches!(error, HostError::NoPool { .. })
}

/// The root that a dataset lies in, whether the dataset exists or not, with what is believed of its epoch.
pub(super) fn above(
    host: &mut dyn Host,
    dataset: &DatasetName,
) -> Result<Option<(DatasetName, Belief)>, HostError> {
    let mut next = Some(dataset.clone());
    let mut inherited = None;
    while let Some(name) = next {
        next = name.parent();
        let looked = look(host, &name)?;
        match looked.property {
            Some(property) if property.source == PropertySource::Inherited => inherited = Some(name),
            Some(property) => {
                let pool = host.about(name.pool())?.guid;
                return Ok(Some((name, believe(Some(&property), pool))));
            }
            // Nothing lies below a root without inheriting from it.
            None if looked.exists => break,
            None => {}
        }
    }
    Ok(inherited.map(|name| (name, Belief::Unknown(Doubt::Inherited))))
}

/// The roots below a dataset.
fn below(host: &mut dyn Host, dataset: &DatasetName) -> Result<BTreeMap<DatasetName, Belief>, HostError> {
    let found: Properties = match host.some_properties(dataset, Depth::All, &[marks::EPOCH.to_string()]) {
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut roots = BTreeMap::new();
    let mut pool: Option<Guid> = None;
    for (name, properties) in &found {
        let Some(property) = properties.get(marks::EPOCH) else { continue };
        if matches!(property.source, PropertySource::Inherited | PropertySource::None) {
            continue;
        }
        let pool = match pool {
            Some(pool) => pool,
            None => *pool.insert(host.about(name.pool())?.guid),
        };
        roots.insert(name.clone(), believe(Some(property), pool));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatasetName {
        text.parse().expect("a name")
    }

    #[test]
    fn bookmarks_are_for_everybody_and_the_rest_names_what_it_changes() {
        let set = vec![(marks::EPOCH.to_string(), "1".to_string())];
        let dataset = name("tank/a");
        assert_eq!(Asked::change(&Change::Bookmark { bookmarks: Vec::new() }, None), None);
        assert_eq!(Asked::change(&Change::DestroyBookmarks { bookmarks: Vec::new() }, None), None);
        for change in [
            Change::CreateFilesystem { dataset: dataset.clone(), set: set.clone() },
            Change::SetProperties { dataset: dataset.clone(), set: set.clone() },
            Change::UnsetProperties { dataset: dataset.clone(), names: vec![marks::EPOCH.to_string()] },
            Change::Clone {
                snapshot: dataset.snapshot("s").expect("a name"),
                guid: Guid(1),
                to: dataset.clone(),
                set,
            },
        ] {
            let asked = Asked::change(&change, None).expect("it changes something");
            assert!(asked.sets_epoch && asked.into == [dataset.clone()], "{change}");
        }
        let promote = Change::Promote { dataset: dataset.clone() };
        let asked = Asked::change(&promote, Some(&name("tank/b"))).expect("it changes something");
        assert_eq!(asked.into, [dataset, name("tank/b")]);
    }
}
