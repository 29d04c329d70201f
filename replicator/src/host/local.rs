//! This machine, through its kernel. Starts no process.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use zfs_core::Dataset;
use zfs_core::ErrorKind;
use zfs_core::Guid;
use zfs_core::PropertySet;
use zfs_core::Zfs;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;
use zfs_core::receive::ReceiveRequest;
use zfs_core::receive::Receiver;
use zfs_core::send::SendFlags;
use zfs_core::send::SendRequest;
use zfs_core::send::SendStream;
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
use super::Next;
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
use crate::cancel::TICK;
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

mod content;
mod deeds;
mod holds;

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
            for found in self.zfs.snapshots_with_properties(&dataset.name)? {
                let found = found?;
                let ivset = found.properties.number("ivsetguid").map(Guid);
                let zfs_core::Snapshot { name, guid, createtxg, .. } = found.snapshot;
                state.snapshots.push(Snapshot { name, guid, createtxg, ivset });
            }
        } else {
            for found in self.zfs.snapshots(&dataset.name)? {
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

    /// Refuses to go on with something that is not what the plan was made for.
    fn need_guid(&self, name: &str, expected: Guid, found: Option<Guid>) -> Result<(), HostError> {
        if found == Some(expected) {
            return Ok(());
        }
        Err(HostError::Changed { host: LABEL.to_string(), name: name.to_string(), expected, found })
    }
}

/// The most locks of one host. A run needs one.
const LOCKS_LIMIT: usize = 16;

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

fn set(properties: &[(String, String)]) -> PropertySet {
    properties.iter().fold(PropertySet::new(), |set, (name, value)| set.text(name, value))
}

/// Whether a change failed because what it makes is there already.
fn exists(error: &zfs_core::Error) -> bool {
    error.kind() == ErrorKind::Exists
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

    fn permit(&mut self, datasets: &[DatasetName]) -> Result<Box<dyn Permit>, HostError> {
        Ok(Box::new(Pass::take(datasets).map_err(no_permit)?))
    }

    fn is_mounted_writable(&mut self, dataset: &DatasetName) -> Result<bool, HostError> {
        let mounts = mounts()?;
        Ok(mounts.lines().any(|line| is_mount_of(line, dataset.as_str()) && is_writable(line)))
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
        let Some(dataset) = self.zfs.find_dataset(root)? else { return self.absent(root) };
        let mut datasets = Vec::new();
        match depth {
            Depth::One => datasets.push(self.with_snapshots(&dataset)?),
            Depth::All => {
                for dataset in self.zfs.tree(root)? {
                    datasets.push(self.with_snapshots(&dataset?)?);
                }
            }
        }
        Tree::new(root, datasets).map(Inventory::Present).map_err(|error| HostError::BadAnswer {
            host: LABEL.to_string(),
            operation: "the question for its datasets",
            why: error.to_string(),
        })
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
        for snapshot in self.zfs.snapshots_with_properties(dataset)? {
            let snapshot = snapshot?;
            if snapshot.properties.number("userrefs").is_none_or(|holds| holds > 0) {
                cost.held.get_or_insert(snapshot.snapshot.name.clone());
            }
            if snapshot.snapshot.clones > 0 {
                cost.cloned.get_or_insert(snapshot.snapshot.name);
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
            for found in self.zfs.snapshots_with_properties(&dataset)? {
                let found = found?;
                let creation = found.properties.number("creation").ok_or_else(|| HostError::BadAnswer {
                    host: LABEL.to_string(),
                    operation: "the question for the dates of snapshots",
                    why: format!("{} has no date", found.snapshot.name),
                })?;
                dates.push((found.snapshot.name, i64::try_from(creation).unwrap_or(i64::MAX)));
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
        let cancel = self.cancel.clone();
        content::read(&self.zfs, snapshot, kind, &mut |piece| {
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
        match change {
            Change::CreateFilesystem { dataset, set: properties } => {
                match self.zfs.create_filesystem(dataset, &set(properties)) {
                    Err(error) if exists(&error) && self.zfs.find_dataset(dataset)?.is_some() => {}
                    made => made.map(drop)?,
                }
            }
            Change::Bookmark { bookmarks } => self.bookmark(bookmarks)?,
            Change::DestroyBookmarks { bookmarks } => self.destroy_bookmarks(bookmarks)?,
            Change::Rename { from, guid, to } => {
                let found = self.zfs.find_dataset(from)?.map(|found| found.guid);
                self.need_guid(from.as_str(), *guid, found)?;
                self.zfs.rename(from, to)?;
            }
            Change::Clone { snapshot, guid, to, set: properties } => {
                let found = self.zfs.find_snapshot(snapshot)?.map(|found| found.guid);
                self.need_guid(snapshot.as_str(), *guid, found)?;
                self.zfs.clone_snapshot(snapshot, to, &set(properties))?;
            }
            Change::Promote { dataset } => self.zfs.promote(dataset)?,
            Change::SetProperties { dataset, set: properties } => {
                self.zfs.set_properties(dataset, &set(properties))?;
            }
            Change::UnsetProperties { dataset, names } => {
                for name in names {
                    self.zfs.inherit_property(dataset, name)?;
                }
            }
            Change::DestroySnapshots { dataset, newest, snapshots } => {
                self.destroy_snapshots(dataset, *newest, snapshots)?;
            }
            Change::PruneSnapshots { dataset, snapshots } => self.prune_snapshots(dataset, snapshots)?,
            Change::Destroy { dataset, guid, .. } => {
                let Some(found) = self.zfs.find_dataset(dataset)? else { return Ok(()) };
                self.need_guid(dataset.as_str(), *guid, Some(found.guid))?;
                need_mark(&found)?;
                self.zfs.destroy(dataset)?;
            }
            Change::DiscardPartial { dataset, .. } => drop(self.zfs.abort_receive(dataset)?),
        }
        Ok(())
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
        let source = |source: &zfs_core::Source| match source {
            zfs_core::Source::Local => PropertySource::Local,
            zfs_core::Source::Inherited(_) => PropertySource::Inherited,
            zfs_core::Source::Received => PropertySource::Received,
            zfs_core::Source::Default => PropertySource::Default,
            zfs_core::Source::None => PropertySource::None,
        };
        let read = |dataset: Dataset| {
            let all = dataset.properties.iter().filter(|one| wanted(one.name()));
            let all = all.map(|one| {
                (one.name().to_string(), Property { value: one.text(), source: source(&one.source) })
            });
            (dataset.name.clone(), all.collect())
        };
        match depth {
            Depth::One => Ok(Properties::from([read(self.zfs.dataset(root)?)])),
            Depth::All => self.zfs.tree(root)?.map(|dataset| Ok(read(dataset?))).collect(),
        }
    }

    fn bookmark(&self, bookmarks: &[(BookmarkName, SnapshotName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, ..)| name))?;
        let mut missing = Vec::new();
        for (name, snapshot, guid) in bookmarks {
            match there.get(name) {
                Some(found) => self.need_guid(name.as_str(), *guid, Some(*found))?,
                None => missing.push((name.clone(), snapshot.clone().into())),
            }
        }
        Ok(self.zfs.bookmark(&missing)?)
    }

    fn destroy_bookmarks(&self, bookmarks: &[(BookmarkName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, _)| name))?;
        let doomed = bookmarks.iter().filter(|(name, guid)| there.get(name) == Some(guid));
        Ok(self.zfs.destroy_bookmarks(&doomed.map(|(name, _)| name.clone()).collect::<Vec<_>>())?)
    }

    fn destroy_snapshots(
        &self,
        dataset: &DatasetName,
        newest: Guid,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        let Some(found) = self.zfs.find_dataset(dataset)? else { return Ok(()) };
        need_mark(&found)?;
        let there = self.zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = there.iter().max_by_key(|one| one.createtxg) {
            self.need_guid(last.name.as_str(), newest, Some(last.guid))?;
        }
        let there: HashMap<&SnapshotName, Guid> = there.iter().map(|one| (&one.name, one.guid)).collect();
        for (name, guid) in snapshots {
            if let Some(found) = there.get(name) {
                self.need_guid(name.as_str(), *guid, Some(*found))?;
            }
        }
        let names: Vec<SnapshotName> = snapshots.iter().map(|(name, _)| name.clone()).collect();
        Ok(self.zfs.destroy_snapshots_together(&names)?)
    }

    fn prune_snapshots(
        &self,
        dataset: &DatasetName,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        if self.zfs.find_dataset(dataset)?.is_none() {
            return Ok(());
        }
        let there = self.zfs.snapshots(dataset)?.collect::<Result<Vec<_>, _>>()?;
        let newest = there.iter().max_by_key(|one| one.createtxg).map(|one| &one.name);
        let there: HashMap<&SnapshotName, Guid> = there.iter().map(|one| (&one.name, one.guid)).collect();
        for (name, guid) in snapshots {
            if let Some(found) = there.get(name) {
                self.need_guid(name.as_str(), *guid, Some(*found))?;
            }
            if newest == Some(name) {
                return Err(HostError::Newest { host: LABEL.to_string(), snapshot: name.clone() });
            }
        }
        let names: Vec<SnapshotName> = snapshots.iter().map(|(name, _)| name.clone()).collect();
        Ok(self.zfs.destroy_snapshots_together(&names)?)
    }

    /// All bookmarks of the datasets in question.
    fn bookmark_guids<'n>(
        &self,
        names: impl Iterator<Item = &'n BookmarkName>,
    ) -> Result<HashMap<BookmarkName, Guid>, HostError> {
        let datasets: HashSet<&DatasetName> = names.map(BookmarkName::dataset).collect();
        let mut there = HashMap::new();
        for dataset in datasets {
            there.extend(self.zfs.bookmarks(dataset)?.into_iter().map(|found| (found.name, found.guid)));
        }
        Ok(there)
    }
}

/// Nothing is destroyed that is not marked as gone at the source, whoever asks.
fn need_mark(dataset: &Dataset) -> Result<(), HostError> {
    let mark = dataset.properties.get(marks::GONE);
    let mark = mark.filter(|mark| mark.source == zfs_core::Source::Local);
    match mark.and_then(|mark| marks::Gone::read(&mark.text())) {
        Some(_) => Ok(()),
        None => Err(HostError::NotMarked { host: LABEL.to_string(), dataset: dataset.name.clone() }),
    }
}

impl Permit for Pass {
    fn is_recalled(&self) -> Result<bool, HostError> {
        self.is_wanted().map_err(no_permit)
    }
}

fn no_permit(error: LockError) -> HostError {
    match error {
        LockError::Closed { dataset, process } => {
            HostError::Closed { host: LABEL.to_string(), dataset, process }
        }
        error => TransportError::Local {
            what: "cannot look after promotions".to_string(),
            cause: error.to_string(),
        }
        .into(),
    }
}

/// Whether a filesystem is mounted where this process sees it.
fn is_mounted(dataset: &str) -> Result<bool, HostError> {
    Ok(mounts()?.lines().any(|line| is_mount_of(line, dataset)))
}

fn mounts() -> Result<String, HostError> {
    std::fs::read_to_string("/proc/self/mounts").map_err(|error| {
        let what = "cannot read /proc/self/mounts".to_string();
        TransportError::Local { what, cause: error.to_string() }.into()
    })
}

/// Whether the options in a line of /proc/self/mounts say so. The property `readonly` shows there, too.
fn is_writable(line: &str) -> bool {
    line.split(' ').nth(3).is_none_or(|options| !options.split(',').any(|option| option == "ro"))
}

/// Whether a line of /proc/self/mounts is of this dataset: it writes spaces and the like as backslash and octal digits.
fn is_mount_of(line: &str, dataset: &str) -> bool {
    let mut fields = line.split(' ');
    let (source, kind) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
    kind == "zfs" && source.replace("\\040", " ") == dataset
}

/// The typed error inside an I/O error, where there is one.
fn unwrap(error: std::io::Error, doing: &'static str) -> HostError {
    match error.downcast::<zfs_core::Error>() {
        Ok(error) => HostError::Zfs(error),
        Err(error) => {
            TransportError::Local { what: format!("cannot {doing}"), cause: error.to_string() }.into()
        }
    }
}

/// How long a block that has begun waits for more: the kernel fills the pipe again as soon as there is room.
const GATHER: Duration = Duration::from_millis(20);

struct LocalOutgoing {
    stream: SendStream,
}

impl Outgoing for LocalOutgoing {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let failed = |error| unwrap(error, "read the stream");
        if !self.stream.wait(TICK).map_err(failed)? {
            return Ok(Next::Nothing);
        }
        // A read gives at most what is in the pipe; a block is what a few of them bring.
        let mut block = Vec::with_capacity(limit);
        while block.len() < limit && (block.is_empty() || self.stream.wait(GATHER).map_err(failed)?) {
            match self.stream.append_to(&mut block) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(if block.is_empty() { Next::End } else { Next::Block(block.into()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.stream.finish()?;
        Ok(())
    }
}

struct LocalIncoming {
    receiver: Receiver,
    cancel: Cancel,
}

impl Incoming for LocalIncoming {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        let mut rest = block.as_ref();
        while !rest.is_empty() {
            if self.cancel.is_cancelled() {
                return Err(HostError::Cancelled);
            }
            match self.receiver.write_within(rest, TICK) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unwrap(error, "write the stream")),
            }
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.receiver.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_whatever_its_name() {
        let line = "tank/a\\040b /mnt/x\\040y zfs rw,relatime,xattr 0 0";
        assert!(is_mount_of(line, "tank/a b"));
        assert!(!is_mount_of(line, "tank/a"));
        assert!(!is_mount_of("tank/a /mnt tmpfs rw 0 0", "tank/a"));
        assert!(!is_mount_of("tank/a@s /mnt zfs ro 0 0", "tank/a"));
        assert!(!is_mount_of("", ""));
        assert!(is_writable(line) && is_writable("tank/a /ro zfs rw,xattr,nor 0 0"));
        assert!(!is_writable("tank/a /mnt zfs ro,relatime 0 0"));
        assert!(is_writable(""), "what is not understood may be written to");
    }
}
