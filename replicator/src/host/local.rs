//! This machine, through its kernel. Starts no process.

use std::collections::BTreeMap;

use zfs_core::Dataset;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::token::Limits;
use zfs_core::token::ResumeToken;

use super::About;
use super::Base;
use super::Bookmark;
use super::Change;
use super::DatasetKind;
use super::DatasetState;
use super::Deed;
use super::Depth;
use super::Encryption;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Outgoing;
use super::Properties;
use super::Property;
use super::PropertySource;
use super::ReceiveSpec;
use super::RemovalCost;
use super::Rights;
use super::SendSpec;
use super::Snapshot;
use super::Standing;
use super::Tree;
use super::Version;
use super::listing;
use crate::cancel::Cancel;
use crate::compare::content::Share;
use crate::compare::content::Take;
use crate::inspect::holds::Held;
use crate::lock::LockError;
use crate::lock::Pass;
use crate::lock::RunLock;
use crate::marks;
use crate::pair::NodeName;
use crate::pair::Permit;
use crate::pair::fence::Kind;
use crate::pair::verbs::VerbError;
use crate::pair::verbs::node::LocalNode;
use crate::pair::verbs::promote;
use crate::transport::TransportError;

mod changes;
mod content;
mod deeds;
mod holds;
mod mounts;
mod permit;
mod streams;

use changes::set;
use mounts::is_mounted;
use mounts::is_mounted_writable;
use permit::no_permit;
use streams::LocalIncoming;
use streams::LocalOutgoing;

/// The datasets of this machine.
pub struct Local {
    zfs: Zfs,
    locks: Vec<RunLock>,
    run: Cancel,
    /// This value's own, set with that of the run.
    cancel: Cancel,
}

impl Local {
    /// With an open handle.
    #[must_use]
    pub fn new(zfs: Zfs) -> Self {
        Self { zfs, locks: Vec::new(), run: Cancel::new(), cancel: Cancel::new() }
    }

    /// With a flag that ends the wait for a kernel that does not take or give anything.
    #[must_use]
    pub fn cancelled_by(self, cancel: Cancel) -> Self {
        Self { cancel: cancel.child(), run: cancel, ..self }
    }

    /// The nearest ancestor that exists. The kernel said "no such dataset" for `dataset` itself.
    fn absent(&self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut ancestor = dataset.parent();
        while let Some(name) = ancestor {
            if let Some(found) = self.zfs.find_dataset(&name)? {
                let children = self.zfs.children(&name)?;
                let children = children.map(|child| Ok(child?.name)).collect::<Result<_, HostError>>()?;
                return Ok(Inventory::Absent { ancestor: Box::new(state(&found)?), children });
            }
            ancestor = name.parent();
        }
        Err(HostError::NoPool {
            host: LABEL.to_string(),
            pool: dataset.pool().to_string(),
            dataset: dataset.to_string(),
        })
    }

    /// A dataset with its snapshots and bookmarks.
    fn with_snapshots(&self, dataset: &Dataset) -> Result<DatasetState, HostError> {
        let mut state = state(dataset)?;
        if state.encrypted() {
            // Only here are the properties needed, and they cost the kernel several times the work.
            for found in self.zfs.snapshots_with_numbers(&dataset.name, ["ivsetguid"])? {
                let (zfs_core::Snapshot { name, guid, createtxg, .. }, [ivset]) = found?;
                state.snapshots.push(Snapshot { name, guid, createtxg, ivset: ivset.map(Guid) });
            }
        } else {
            for found in self.zfs.snapshots_of(dataset) {
                let zfs_core::Snapshot { name, guid, createtxg, .. } = found?;
                state.snapshots.push(Snapshot { name, guid, createtxg, ivset: None });
            }
        }
        state.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
        let bookmarks = self.zfs.bookmarks(&dataset.name)?.into_iter().map(|found| Bookmark {
            name: found.name,
            guid: found.guid,
            createtxg: found.createtxg,
            ivset: found.ivset_guid,
        });
        state.bookmarks = bookmarks.collect();
        state.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        Ok(state)
    }

    fn request(spec: &SendSpec) -> SendRequest {
        let ours = if spec.raw { SendFlags::RAW } else { SendFlags::COMPRESSED };
        let flags = spec.flags.unwrap_or(ours);
        let to = spec.to.name.clone();
        let request = match &spec.from {
            None => SendRequest::full(to),
            Some(Base::Snapshot(from, _)) => SendRequest::incremental(from.clone(), to),
            Some(Base::Bookmark(from, _)) => SendRequest::incremental(from.clone(), to),
        };
        let token = spec
            .resume
            .as_ref()
            .and_then(|partial| ResumeToken::parse(&partial.token, &Limits::default()).ok());
        let request = request.flags(flags);
        match token {
            // The planner compared the token with the stream; only the position is taken from it.
            Some(token) => request.resume(&token),
            None => request,
        }
    }
}

/// The most locks of one host. A run needs one, that of a pair one for each root.
const LOCKS_LIMIT: usize = 256;

const LABEL: &str = "this machine";

/// A number that a dataset must have. Taken for 0, a missing `written` would say "unchanged since the newest snapshot",
/// and a missing size that nothing is lost: nobody knows.
fn number(dataset: &Dataset, name: &str) -> Result<u64, HostError> {
    dataset.properties.number(name).ok_or_else(|| HostError::BadAnswer {
        host: LABEL.to_string(),
        operation: "the question for its properties",
        why: format!("{} has no property `{name}`", dataset.name),
    })
}

/// What a dataset's own properties say.
fn state(dataset: &Dataset) -> Result<DatasetState, HostError> {
    let properties = &dataset.properties;
    let number = |name: &str| number(dataset, name);
    let encryption = dataset.is_encrypted().then(|| Encryption {
        root: properties
            .text("encryptionroot")
            .and_then(|root| root.parse().ok())
            .unwrap_or_else(|| dataset.name.clone()),
        key_loaded: properties.get("keystatus").is_some_and(|status| status.text() == "available"),
    });
    Ok(DatasetState {
        name: dataset.name.clone(),
        kind: dataset.kind,
        guid: dataset.guid,
        encryption,
        origin: dataset.origin.clone(),
        written: number("written")?,
        referenced: number("referenced")?,
        available: number("available")?,
        partial: dataset.receive_resume_token().and_then(listing::partial),
        snapshots: Vec::new(),
        bookmarks: Vec::new(),
    })
}

impl Host for Local {
    fn label(&self) -> &str {
        LABEL
    }

    fn is_far(&self) -> bool {
        false
    }

    fn lock(&mut self, root: &DatasetName, depth: Depth, sender: &str) -> Result<(), HostError> {
        let lock = RunLock::of_sender(sender, root, depth).map_err(|error| match error {
            LockError::Busy { process, .. } => {
                HostError::Busy { host: LABEL.to_string(), dataset: root.to_string(), process }
            }
            error => TransportError::Local {
                what: "cannot keep other runs out".to_string(),
                cause: error.to_string(),
            }
            .into(),
        })?;
        if self.locks.len() >= LOCKS_LIMIT {
            return Err(HostError::Busy {
                host: LABEL.to_string(),
                dataset: root.to_string(),
                process: None,
            });
        }
        self.locks.push(lock);
        Ok(())
    }

    fn take_over(&mut self, roots: &[DatasetName], node: &NodeName, epoch: u64) -> Result<(), HostError> {
        let mut node = LocalNode::new(node.clone(), self.zfs.clone(), self.run.clone());
        promote::take_over(&mut node, roots, epoch).map_err(|error| match error {
            VerbError::Host(error) => error,
            error => HostError::Fenced {
                host: LABEL.to_string(),
                kind: Kind::Other,
                message: error.to_string(),
                hint: error.hint().unwrap_or_default(),
            },
        })
    }

    fn settle(&mut self, pool: &str) -> Result<(), HostError> {
        let pool = DatasetName::try_from(pool).map_err(|error| HostError::BadAnswer {
            host: LABEL.to_string(),
            operation: "sync",
            why: error.to_string(),
        })?;
        Ok(self.zfs.sync(&pool)?)
    }

    fn permit(&mut self, datasets: &[DatasetName]) -> Result<Box<dyn Permit>, HostError> {
        Ok(Box::new(Pass::take(datasets).map_err(no_permit)?))
    }

    fn is_mounted_writable(&mut self, dataset: &DatasetName) -> Result<bool, HostError> {
        is_mounted_writable(dataset.as_str())
    }

    fn breaker(&self) -> Option<Cancel> {
        Some(self.cancel.clone())
    }

    fn protect(&mut self, snapshots: &[SnapshotName]) -> Result<Option<Box<dyn Send>>, HostError> {
        let tag = marks::hold_tag(std::process::id());
        let holds: Vec<_> = snapshots.iter().map(|snapshot| (snapshot.clone(), tag.clone())).collect();
        Ok(Some(Box::new(self.zfs.hold_for_now(&holds)?)))
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        self.look(root, depth, &mut |_| {})
    }

    fn inventory_with(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<(Inventory, Properties), HostError> {
        let mut properties = Properties::new();
        let wanted = |name: &str| names.iter().any(|one| one == name);
        let inventory = self.look(root, depth, &mut |dataset| {
            properties.insert(dataset.name.clone(), properties_of(dataset, &wanted));
        })?;
        Ok((inventory, properties))
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        let found = self.zfs.pool(pool)?;
        let state = |users: u64| if users > 0 { "active" } else { "enabled" }.to_string();
        let short = |name: &str| name.rsplit(':').next().unwrap_or(name).to_string();
        Ok(About {
            pool: pool.to_string(),
            guid: found.guid,
            version: Version::parse(&self.zfs.version()),
            features: found.features.iter().map(|(name, users)| (short(name), state(*users))).collect(),
        })
    }

    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError> {
        self.read_properties(root, depth, &|_| true)
    }

    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        self.read_properties(root, depth, &|name| names.iter().any(|one| one == name))
    }

    fn answers_itself(&self) -> bool {
        true
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        let found = self.zfs.dataset(dataset)?;
        let bytes = number(&found, "usedbydataset")?.saturating_add(number(&found, "usedbysnapshots")?);
        let mut cost =
            RemovalCost { bytes, mounted: is_mounted(dataset.as_str())?, held: None, cloned: None };
        for found in self.zfs.snapshots_with_numbers(dataset, ["userrefs"])? {
            let (snapshot, [holds]) = found?;
            if holds.is_none_or(|holds| holds > 0) {
                cost.held.get_or_insert(snapshot.name.clone());
            }
            if snapshot.clones > 0 {
                cost.cloned.get_or_insert(snapshot.name);
            }
        }
        Ok(cost)
    }

    fn dates(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        let datasets = match depth {
            Depth::One => vec![root.clone()],
            Depth::All => {
                self.zfs.tree(root)?.map(|found| Ok(found?.name)).collect::<Result<Vec<_>, HostError>>()?
            }
        };
        let mut dates = Vec::new();
        for dataset in datasets {
            for found in self.zfs.snapshots_with_numbers(&dataset, ["creation"])? {
                let (snapshot, [creation]) = found?;
                let creation = creation.ok_or_else(|| HostError::BadAnswer {
                    host: LABEL.to_string(),
                    operation: "the question for the dates of snapshots",
                    why: format!("{} has no date", snapshot.name),
                })?;
                dates.push((snapshot.name, i64::try_from(creation).unwrap_or(i64::MAX)));
            }
        }
        Ok(dates)
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        let find = |name| Ok(self.zfs.find_snapshot(name)?.map(|found| found.guid));
        snapshots.iter().map(find).collect()
    }

    fn standing(&mut self, _dataset: &DatasetName) -> Result<Standing, HostError> {
        let user = rustix::process::geteuid();
        let rights = if user.is_root() {
            Rights::All
        } else {
            Rights::Unknown { why: format!("this runs as user {}, not as root", user.as_raw()) }
        };
        Ok(Standing { rights, clock: Some(jiff::Timestamp::now().as_second()) })
    }

    fn creation(&mut self, of: &[Base]) -> Result<Vec<Option<i64>>, HostError> {
        let date = |seconds: u64| i64::try_from(seconds).ok();
        let one = |base: &Base| match base {
            Base::Snapshot(name, _) => match self.zfs.snapshot_details(name) {
                Ok(found) => Ok(found.properties.number("creation").and_then(date)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Base::Bookmark(name, _) => {
                let found = self.zfs.bookmarks(name.dataset())?;
                let found = found.into_iter().find(|one| one.name == *name);
                Ok(found.and_then(|one| date(one.creation)).filter(|seconds| *seconds > 0))
            }
        };
        of.iter().map(one).collect()
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        // An estimate that cannot be had is no reason not to send.
        Ok(streams.iter().map(|spec| self.zfs.estimate_send(&Self::request(spec)).ok()).collect())
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        // Between two pools of one machine there is no line to save.
        Ok(false)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        Ok(Box::new(LocalOutgoing { stream: self.zfs.send(&Self::request(spec))? }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let mut request = ReceiveRequest::new(spec.to.clone());
        if !spec.set.is_empty() {
            request = request.set(&set(&spec.set));
        }
        if let Some(origin) = &spec.origin {
            request = request.origin(origin.clone());
        }
        Ok(Box::new(LocalIncoming { receiver: self.zfs.receive(request), cancel: self.cancel.clone() }))
    }

    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.read_share(snapshot, kind, Share::ALL, take)
    }

    fn read_share(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        share: Share,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        let cancel = self.cancel.clone();
        content::read(&self.zfs, snapshot, kind, share, &mut |piece| {
            if cancel.is_cancelled() { Err(HostError::Cancelled) } else { take(piece) }
        })
    }

    fn holds(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        holds::list(&self.zfs, root, depth)
    }

    fn release(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        holds::release(&self.zfs, holds)
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        self.change(change)
    }

    fn deed(&mut self, deed: &Deed) -> Result<(), HostError> {
        self.do_deed(deed)
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(Self::new(self.zfs.clone()).cancelled_by(self.run.clone())))
    }
}

impl Local {
    fn read_properties(
        &self,
        root: &DatasetName,
        depth: Depth,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Properties, HostError> {
        let read = |dataset: Dataset| (dataset.name.clone(), properties_of(&dataset, wanted));
        match depth {
            Depth::One => Ok(Properties::from([read(self.zfs.dataset(root)?)])),
            Depth::All => self.zfs.tree(root)?.map(|dataset| Ok(read(dataset?))).collect(),
        }
    }

    /// A dataset, or a tree, with what is read of each besides.
    fn look(
        &self,
        root: &DatasetName,
        depth: Depth,
        each: &mut dyn FnMut(&Dataset),
    ) -> Result<Inventory, HostError> {
        let Some(dataset) = self.zfs.find_dataset(root)? else { return self.absent(root) };
        let mut datasets = Vec::new();
        let mut one = |dataset: &Dataset| {
            each(dataset);
            datasets.push(self.with_snapshots(dataset)?);
            Ok::<(), HostError>(())
        };
        match depth {
            Depth::One => one(&dataset)?,
            Depth::All => {
                for dataset in self.zfs.tree_of(dataset) {
                    one(&dataset?)?;
                }
            }
        }
        Tree::new(root, datasets).map(Inventory::Present).map_err(|error| HostError::BadAnswer {
            host: LABEL.to_string(),
            operation: "the question for its datasets",
            why: error.to_string(),
        })
    }
}

/// The properties of a dataset that are wanted.
fn properties_of(dataset: &Dataset, wanted: &dyn Fn(&str) -> bool) -> BTreeMap<String, Property> {
    let source = |source: &zfs_core::Source| match source {
        zfs_core::Source::Local => PropertySource::Local,
        zfs_core::Source::Inherited(_) => PropertySource::Inherited,
        zfs_core::Source::Received => PropertySource::Received,
        zfs_core::Source::Default => PropertySource::Default,
        zfs_core::Source::None => PropertySource::None,
    };
    let all = dataset.properties.iter().filter(|one| wanted(one.name()));
    all.map(|one| (one.name().to_string(), Property { value: one.text(), source: source(&one.source) }))
        .collect()
}
