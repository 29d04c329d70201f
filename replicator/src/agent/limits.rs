//! What an agent may be asked, decided where it is started. Every request passes [`Limits::check`] before anything is
//! looked at or done; what is not named there as allowed is refused.

use zfs_core::name::DatasetName;

use super::server::Listen;
use crate::host::Change;
use crate::host::ReceiveSpec;
use crate::host::SendSpec;
use crate::marks;
use crate::pair::NodeName;

/// A kind of request that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[non_exhaustive]
pub enum Class {
    /// List datasets, snapshots, bookmarks and properties, and tell about the pool.
    List,
    /// Send streams, and estimate their sizes.
    Send,
    /// Receive streams and make filesystems (not mounted). Never with force: what is there stays.
    Receive,
    /// Throw away what a receive that broke off has kept. Snapshots are never touched by it.
    Discard,
    /// Make bookmarks.
    Bookmark,
    /// Remove bookmarks.
    DestroyBookmarks,
    /// Set properties of datasets that exist.
    SetProperties,
    /// Rename datasets, make clones and promote them.
    Rearrange,
    /// Mark datasets as gone at the source, and destroy those that are so marked, with their snapshots.
    RemoveGone,
    /// Read what is in snapshots, and answer with sums of their files or blocks (compare --content).
    Read,
    /// Release holds of replicator whose process is gone, and no others.
    Release,
    /// Destroy snapshots that a policy does not keep, never the newest of a dataset.
    Prune,
    /// Become the active node of a pair when the other one hands the service over (pair handover).
    TakeOver,
    /// All of these, and those that later versions add.
    All,
}

impl std::fmt::Display for Class {
    /// As on the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What is allowed where nothing else is said: a receiver that can only add.
pub const DEFAULT_CLASSES: &[Class] = &[Class::List, Class::Receive, Class::Discard, Class::Bookmark];

/// Properties that may be set, with the values that are fine; none stands for every value. What is missing could
/// mount, share or run something, weaken what the administrator wants, or take space from others.
const PROPERTIES: &[(&str, &[&str])] = &[
    ("acltype", &[]),
    ("aclinherit", &[]),
    ("aclmode", &[]),
    ("atime", &[]),
    ("canmount", &["off", "noauto"]),
    ("casesensitivity", &[]),
    ("compression", &[]),
    ("devices", &["off"]),
    ("dnodesize", &[]),
    ("exec", &["off"]),
    ("logbias", &[]),
    ("mountpoint", &["none"]),
    ("normalization", &[]),
    ("primarycache", &[]),
    ("readonly", &["on"]),
    ("recordsize", &[]),
    ("relatime", &[]),
    (marks::REPLICA, &[]),
    ("secondarycache", &[]),
    ("setuid", &["off"]),
    ("utf8only", &[]),
    ("volblocksize", &[]),
    ("xattr", &[]),
];

/// Why a request is refused by the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

fn may_not_be_set(what: &str) -> Refused {
    let shown = crate::transport::printable(what.as_bytes(), 200);
    Refused(format!("{shown} may not be set (--property)"))
}

/// The marks that the removal of what is gone goes by.
const OUR_MARKS: &[&str] = &[marks::REPLICA, marks::GONE];

/// The limits of one agent.
#[derive(Clone, Debug)]
pub struct Limits {
    roots: Option<Vec<DatasetName>>,
    allowed: Vec<Class>,
    properties: Vec<String>,
    node: Option<NodeName>,
    listen: Option<Listen>,
}

impl Limits {
    /// For these datasets and everything below them, with [`DEFAULT_CLASSES`].
    #[must_use]
    pub fn within(roots: Vec<DatasetName>) -> Self {
        Self {
            roots: Some(roots),
            allowed: DEFAULT_CLASSES.to_vec(),
            properties: Vec::new(),
            node: None,
            listen: None,
        }
    }

    /// For every dataset of the machine, with [`DEFAULT_CLASSES`].
    #[must_use]
    pub fn everywhere() -> Self {
        Self {
            roots: None,
            allowed: DEFAULT_CLASSES.to_vec(),
            properties: Vec::new(),
            node: None,
            listen: None,
        }
    }

    /// It may listen there, for who asks it.
    #[must_use]
    pub fn listening(self, listen: Option<Listen>) -> Self {
        Self { listen, ..self }
    }

    /// Where it may listen.
    pub(super) fn listen(&self) -> Result<&Listen, Refused> {
        let refused = || Refused("this agent may not listen anywhere (agent --listen)".to_string());
        self.listen.as_ref().ok_or_else(refused)
    }

    /// With these kinds of requests and no others.
    #[must_use]
    pub fn allowing(self, allowed: Vec<Class>) -> Self {
        Self { allowed, ..self }
    }

    /// Lets these properties be set to any value, beside those that can do no harm.
    #[must_use]
    pub fn with_properties(self, properties: Vec<String>) -> Self {
        Self { properties, ..self }
    }

    /// As the node of this name, for the epochs of pairs; else it is the one that the asking end calls it by.
    #[must_use]
    pub fn as_node(self, node: NodeName) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Which node this is, for a request to the node of that name; without one, for a request that is of no pair.
    pub(super) fn node(&self, receiver: Option<&NodeName>) -> Result<NodeName, Refused> {
        match (&self.node, receiver) {
            (Some(node), Some(receiver)) if node != receiver => Err(Refused(format!(
                "the request is for {receiver}, and the agent was started for {node} (--node)"
            ))),
            (Some(node), _) | (None, Some(node)) => Ok(node.clone()),
            (None, None) => NodeName::of_this_machine().map_err(|error| Refused(format!("{error} (--node)"))),
        }
    }

    pub(super) fn allows(&self, class: Class) -> Result<(), Refused> {
        if self.allowed.contains(&class) || self.allowed.contains(&Class::All) {
            return Ok(());
        }
        Err(Refused(format!("the agent was started without --allow {class}")))
    }

    /// Whether a name lies within a root.
    pub(super) fn holds(&self, name: &DatasetName) -> bool {
        // A name of ZFS's own is made by nobody but ZFS.
        let free = |roots: &[DatasetName]| roots.iter().any(|root| name.is_within(root));
        !name.is_internal() && self.roots.as_deref().is_none_or(free)
    }

    pub(super) fn name(&self, name: &DatasetName) -> Result<(), Refused> {
        if self.holds(name) {
            return Ok(());
        }
        Err(Refused(format!("{name} is not within what the agent was started for (--root)")))
    }

    pub(super) fn pool(&self, pool: &DatasetName) -> Result<(), Refused> {
        let free = |roots: &[DatasetName]| roots.iter().any(|root| root.pool() == pool.as_str());
        if pool.depth() == 1 && self.roots.as_deref().is_none_or(free) {
            return Ok(());
        }
        Err(Refused(format!("{pool} is not the pool of a dataset that the agent was started for (--root)")))
    }

    /// A stream to be sent, or measured.
    pub(super) fn send(&self, spec: &SendSpec) -> Result<(), Refused> {
        self.allows(Class::Send)?;
        self.name(spec.to.name.dataset())?;
        match &spec.from {
            None => Ok(()),
            Some(crate::host::Base::Snapshot(name, _)) => self.name(name.dataset()),
            Some(crate::host::Base::Bookmark(name, _)) => self.name(name.dataset()),
        }
    }

    /// A stream to be received.
    pub(super) fn receive(&self, spec: &ReceiveSpec) -> Result<(), Refused> {
        self.allows(Class::Receive)?;
        self.name(spec.to.dataset())?;
        if let Some(origin) = &spec.origin {
            self.name(origin.dataset())?;
        }
        self.properties(&spec.set)
    }

    /// A change. That the origin of what is promoted lies within the roots too, the caller sees to.
    pub(super) fn change(&self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::CreateFilesystem { dataset, set } => {
                self.allows(Class::Receive)?;
                self.name(dataset)?;
                self.properties(set)
            }
            Change::Bookmark { bookmarks } => {
                self.allows(Class::Bookmark)?;
                bookmarks.iter().try_for_each(|(name, snapshot, _)| {
                    self.name(name.dataset()).and_then(|()| self.name(snapshot.dataset()))
                })
            }
            Change::DestroyBookmarks { bookmarks } => {
                self.allows(Class::DestroyBookmarks)?;
                bookmarks.iter().try_for_each(|(name, _)| self.name(name.dataset()))
            }
            Change::Rename { from, to, .. } => {
                self.allows(Class::Rearrange)?;
                self.name(from)?;
                self.name(to)
            }
            Change::Clone { snapshot, to, set, .. } => {
                self.allows(Class::Rearrange)?;
                self.name(snapshot.dataset())?;
                self.name(to)?;
                self.properties(set)
            }
            Change::Promote { dataset } => {
                self.allows(Class::Rearrange)?;
                self.name(dataset)
            }
            Change::SetProperties { dataset, set } => {
                self.name(dataset)?;
                if set.iter().all(|(name, _)| OUR_MARKS.contains(&name.as_str())) {
                    return self.allows(Class::RemoveGone);
                }
                self.allows(Class::SetProperties)?;
                self.properties(set)
            }
            Change::UnsetProperties { dataset, names } => {
                self.name(dataset)?;
                // Nothing else is ever asked for: what is inherited instead nobody here can tell.
                match names.iter().find(|name| !OUR_MARKS.contains(&name.as_str())) {
                    Some(name) => Err(may_not_be_set(name)),
                    None => self.allows(Class::RemoveGone),
                }
            }
            Change::DestroySnapshots { dataset, snapshots, .. } => {
                self.allows(Class::RemoveGone)?;
                self.name(dataset)?;
                match snapshots.iter().find(|(name, _)| name.dataset() != dataset) {
                    Some((name, _)) => Err(Refused(format!("{name} is no snapshot of {dataset}"))),
                    None => Ok(()),
                }
            }
            Change::PruneSnapshots { dataset, snapshots } => {
                self.allows(Class::Prune)?;
                self.name(dataset)?;
                match snapshots.iter().find(|(name, _)| name.dataset() != dataset) {
                    Some((name, _)) => Err(Refused(format!("{name} is no snapshot of {dataset}"))),
                    None => Ok(()),
                }
            }
            Change::Destroy { dataset, .. } => {
                self.allows(Class::RemoveGone)?;
                self.name(dataset)
            }
            Change::DiscardPartial { dataset, .. } => {
                self.allows(Class::Discard)?;
                self.name(dataset)
            }
        }
    }

    fn properties(&self, set: &[(String, String)]) -> Result<(), Refused> {
        // Without any limit, as it is started by who may start any command.
        if self.roots.is_none() && self.allowed.contains(&Class::All) {
            return Ok(());
        }
        for (name, value) in set {
            let harmless = PROPERTIES
                .iter()
                .any(|(one, values)| one == name && (values.is_empty() || values.contains(&value.as_str())));
            if !harmless && !self.properties.contains(name) {
                return Err(may_not_be_set(&format!("{name}={value}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zfs_core::Guid;

    use super::*;

    fn dataset(name: &str) -> DatasetName {
        name.parse().expect("a name")
    }

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_string(), value.to_string())]
    }

    #[test]
    fn only_what_lies_within_a_root_is_held() {
        let limits = Limits::within(vec![dataset("tank/backup"), dataset("pool/x")]);
        for name in ["tank/backup", "tank/backup/a", "tank/backup/a/b", "pool/x/y"] {
            assert!(limits.name(&dataset(name)).is_ok(), "{name}");
        }
        for name in ["tank", "tank/backup2", "tank/backup.old/a", "tank/other", "pool", "pool/xy", "backup"] {
            assert!(limits.name(&dataset(name)).is_err(), "{name}");
        }
        let partial = dataset("tank/backup").partial_receive().expect("a name");
        assert!(limits.name(&partial).is_err() && Limits::everywhere().name(&partial).is_err());
        assert!(limits.pool(&dataset("tank")).is_ok() && limits.pool(&dataset("pool")).is_ok());
        assert!(limits.pool(&dataset("rpool")).is_err() && limits.pool(&dataset("tank/backup")).is_err());
        assert!(Limits::within(Vec::new()).name(&dataset("tank")).is_err(), "no roots are no datasets");
        assert!(Limits::everywhere().name(&dataset("tank")).is_ok());
    }

    #[test]
    fn a_node_goes_by_the_name_it_was_started_with_or_is_asked_by() {
        let name = |text: &str| -> NodeName { text.parse().expect("a name") };
        let (named, free) = (Limits::everywhere().as_node(name("a")), Limits::everywhere());
        assert_eq!(named.node(None), Ok(name("a")));
        assert_eq!(named.node(Some(&name("a"))), Ok(name("a")));
        assert!(named.node(Some(&name("b"))).is_err());
        assert_eq!(free.node(Some(&name("b"))), Ok(name("b")));
        assert!(free.node(None).is_ok());
    }

    #[test]
    fn by_default_nothing_is_taken_away_and_nothing_read_out() {
        let limits = Limits::within(vec![dataset("tank")]);
        let tank = dataset("tank/a");
        let snapshot = tank.snapshot("s").expect("a name");
        let bookmark = tank.bookmark("b").expect("a name");
        let to = dataset("tank/b");
        for change in [
            Change::DestroyBookmarks { bookmarks: vec![(bookmark, Guid(1))] },
            Change::Rename { from: tank.clone(), guid: Guid(1), to: to.clone() },
            Change::Clone { snapshot, guid: Guid(1), to, set: Vec::new() },
            Change::Promote { dataset: tank.clone() },
            Change::SetProperties { dataset: tank.clone(), set: pair("readonly", "on") },
            Change::SetProperties { dataset: tank.clone(), set: pair(marks::GONE, "1") },
            Change::UnsetProperties { dataset: tank.clone(), names: vec![marks::GONE.to_string()] },
            Change::DestroySnapshots { dataset: tank.clone(), newest: Guid(1), snapshots: Vec::new() },
            Change::PruneSnapshots { dataset: tank.clone(), snapshots: Vec::new() },
            Change::Destroy { dataset: tank, guid: Guid(1), bytes: 0 },
        ] {
            assert!(limits.change(&change).is_err(), "{change}");
            assert!(limits.clone().allowing(vec![Class::All]).change(&change).is_ok(), "{change}");
        }
        assert!(limits.allows(Class::Send).is_err());
        assert!(limits.allows(Class::Read).is_err() && limits.allows(Class::Release).is_err());
        assert!(limits.allows(Class::Receive).is_ok());
    }

    #[test]
    fn every_name_of_a_change_counts() {
        let limits = Limits::within(vec![dataset("tank/in")]).allowing(vec![Class::All]);
        let (inside, outside) = (dataset("tank/in/a"), dataset("tank/out"));
        let mark = |of: &DatasetName| of.bookmark("b").expect("a name");
        let snap = |of: &DatasetName| of.snapshot("s").expect("a name");
        for (a, b, good) in [(&inside, &inside, true), (&inside, &outside, false), (&outside, &inside, false)]
        {
            let changes = [
                Change::Bookmark { bookmarks: vec![(mark(a), snap(b), Guid(1))] },
                Change::Rename { from: a.clone(), guid: Guid(1), to: b.clone() },
                Change::Clone { snapshot: snap(a), guid: Guid(1), to: b.clone(), set: Vec::new() },
                Change::DestroyBookmarks { bookmarks: vec![(mark(a), Guid(1)), (mark(b), Guid(1))] },
            ];
            for change in changes {
                assert_eq!(limits.change(&change).is_ok(), good, "{change}");
            }
            let spec = ReceiveSpec {
                to: snap(a),
                guid: Guid(1),
                set: Vec::new(),
                origin: Some(snap(b)),
                compressed: false,
            };
            assert_eq!(limits.receive(&spec).is_ok(), good);
        }
        let stray = vec![(snap(&outside), Guid(1))];
        for change in [
            Change::PruneSnapshots { dataset: inside.clone(), snapshots: stray.clone() },
            Change::PruneSnapshots { dataset: outside.clone(), snapshots: Vec::new() },
            Change::DestroySnapshots { dataset: inside.clone(), newest: Guid(1), snapshots: stray },
            Change::DestroySnapshots { dataset: outside.clone(), newest: Guid(1), snapshots: Vec::new() },
            Change::Destroy { dataset: outside.clone(), guid: Guid(1), bytes: 0 },
            Change::UnsetProperties { dataset: outside.clone(), names: Vec::new() },
            Change::UnsetProperties { dataset: inside.clone(), names: vec!["readonly".to_string()] },
            Change::CreateFilesystem { dataset: outside.clone(), set: Vec::new() },
            Change::Promote { dataset: outside.clone() },
            Change::SetProperties { dataset: outside.clone(), set: Vec::new() },
        ] {
            assert!(limits.change(&change).is_err(), "{change}");
        }
    }

    #[test]
    fn properties_that_could_do_harm_are_refused() {
        let limits = Limits::everywhere();
        for (name, value) in
            [("readonly", "on"), ("canmount", "noauto"), ("mountpoint", "none"), ("atime", "off")]
        {
            assert!(limits.properties(&pair(name, value)).is_ok(), "{name}={value}");
        }
        for (name, value) in [
            ("readonly", "off"),
            ("canmount", "on"),
            ("mountpoint", "/etc"),
            ("sharenfs", "on"),
            ("setuid", "on"),
            ("keylocation", "https://x/"),
            ("reservation", "1T"),
            ("org:user", "x"),
            ("replicator:gone", "x"),
            ("Mountpoint", "none"),
            ("", ""),
        ] {
            assert!(limits.properties(&pair(name, value)).is_err(), "{name}={value}");
        }
        let within = Limits::within(vec![dataset("tank")]).allowing(vec![Class::All]);
        assert!(within.properties(&pair("org:user", "x")).is_err());
        assert!(Limits::everywhere().allowing(vec![Class::All]).properties(&pair("org:user", "x")).is_ok());
        let wider = limits.with_properties(vec!["sharenfs".to_string()]);
        assert!(wider.properties(&pair("sharenfs", "on")).is_ok());
        assert!(wider.properties(&pair("sharesmb", "on")).is_err());
    }
}
