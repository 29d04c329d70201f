//! A machine that has only the `zfs` command, reached over a [`Transport`]. What it prints is read strictly
//! ([`super::listing`]), what it is told is quoted by one function ([`crate::transport::quote`]).

use std::collections::BTreeSet;
use std::collections::HashMap;

use bytes::Bytes;
use bytes::BytesMut;
use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::About;
use super::Base;
use super::Change;
use super::DatasetKind;
use super::Depth;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Next;
use super::Outgoing;
use super::Properties;
use super::PropertySource;
use super::ReceiveSpec;
use super::RemovalCost;
use super::SendSpec;
use super::Version;
use super::listing;
use super::listing::FIELDS;
use super::listing::Lines;
use super::listing::Misunderstood;
use super::listing::PoolListing;
use super::listing::TreeListing;
use crate::marks;
use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::quote::END;
use crate::transport::quote::Elevate;
use crate::transport::quote::NO_ZFS;
use crate::transport::quote::Program;
use crate::transport::quote::Script;

/// How many estimates are asked for in one command line, which must stay below 128 KiB.
const ESTIMATES_AT_ONCE: usize = 60;

/// A machine with a `zfs` command.
pub struct ZfsCli {
    transport: Box<dyn Transport>,
    label: String,
    elevate: Elevate,
    has_zstd: Option<bool>,
}

impl ZfsCli {
    /// Over this transport.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let label = transport.peer().to_string();
        Self { transport, label, elevate: Elevate::No, has_zstd: None }
    }

    /// Runs the commands there with other rights.
    #[must_use]
    pub fn elevated(self, elevate: Elevate) -> Self {
        Self { elevate, ..self }
    }

    fn script<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Script, HostError> {
        Script::elevated(self.elevate).and_zfs(arguments).map_err(nul)
    }

    /// Runs a script and gives each line of its output to `take`; the answer is whole, or there is an error.
    fn list(
        &mut self,
        operation: &'static str,
        subject: &str,
        script: Script,
        take: &mut dyn FnMut(&str) -> Result<(), Misunderstood>,
    ) -> Result<(), HostError> {
        let process = self.transport.start(&script.marking_end().command_line())?;
        let mut lines = Lines::default();
        let mut misunderstood = None;
        let exit = process.finish(&mut |bytes| {
            if let Err(why) = lines.push(bytes, take) {
                misunderstood = Some(why);
                // Ends the command: there is nothing more to learn from it.
                return Err(TransportError::Cancelled);
            }
            Ok(())
        });
        let bad = |host: &str, why| HostError::BadAnswer { host: host.to_string(), operation, why };
        if let Some(why) = misunderstood {
            return Err(bad(&self.label, why));
        }
        self.check(operation, subject, &exit?)?;
        lines.finish().map_err(|why| bad(&self.label, why))
    }

    fn check(&self, operation: &'static str, subject: &str, exit: &Exit) -> Result<(), HostError> {
        check(&self.label, operation, subject, exit)
    }

    /// Proves that a dataset does not exist: the list of its parent does not have it, or the parent does not exist
    /// either, up to the pool. The words "does not exist" alone prove nothing.
    fn absent(&mut self, dataset: &DatasetName) -> Result<Inventory, HostError> {
        let mut wanted = dataset.clone();
        while let Some(parent) = wanted.parent() {
            let mut children = Vec::new();
            let mut listing = TreeListing::new(parent.clone(), Depth::One);
            let arguments =
                ["list", "-Hp", "-d", "1", "-t", "filesystem,volume", "-o", FIELDS, parent.as_str()];
            let script = self.script(arguments)?;
            let listed = self.list("list", parent.as_str(), script, &mut |line| {
                listing.take(line)?;
                let name = line.split('\t').next().unwrap_or_default();
                let name = DatasetName::try_from(name).map_err(|error| error.to_string())?;
                if name != parent {
                    children.push(name);
                }
                Ok(())
            });
            match listed {
                Ok(()) if children.contains(&wanted) => {
                    let why = format!("{wanted} is in the list of {parent} and cannot be opened");
                    return Err(self.misunderstood("list", why));
                }
                Ok(()) => {
                    let tree = listing.finish().map_err(|why| self.misunderstood("list", why))?;
                    return Ok(Inventory::Absent { ancestor: Box::new(tree.root().clone()), children });
                }
                Err(error) if says_absent(&error) => wanted = parent,
                Err(error) => return Err(error),
            }
        }
        Err(HostError::NoPool {
            host: self.label.clone(),
            pool: dataset.pool().to_string(),
            dataset: dataset.to_string(),
        })
    }

    fn misunderstood(&self, operation: &'static str, why: Misunderstood) -> HostError {
        HostError::BadAnswer { host: self.label.clone(), operation, why }
    }

    /// Runs a script that prints nothing of interest.
    fn run(&mut self, operation: &'static str, subject: &str, script: Script) -> Result<(), HostError> {
        self.list(operation, subject, script, &mut |_| Ok(()))
    }

    /// The bookmarks of some datasets, with their GUIDs.
    fn bookmark_guids<'n>(
        &mut self,
        names: impl Iterator<Item = &'n BookmarkName>,
    ) -> Result<HashMap<BookmarkName, Guid>, HostError> {
        let datasets: BTreeSet<&DatasetName> = names.map(BookmarkName::dataset).collect();
        let mut there = HashMap::new();
        for batch in datasets.into_iter().collect::<Vec<_>>().chunks(NAMES_AT_ONCE) {
            let arguments = ["list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "name,guid"];
            let script = self.script(arguments.into_iter().chain(batch.iter().map(|name| name.as_str())))?;
            self.list("list the bookmarks of", batch[0].as_str(), script, &mut |line| {
                let (name, guid) = line.split_once('\t').ok_or("a field is missing")?;
                let name = BookmarkName::try_from(name).map_err(|error| error.to_string())?;
                let guid = guid.parse().map_err(|_| "the guid is not a number".to_string())?;
                there.insert(name, Guid(guid));
                Ok(())
            })?;
        }
        Ok(there)
    }

    /// Refuses to go on with something that is not what the plan was made for.
    fn need_guid(&self, name: &str, expected: Guid, found: Option<Guid>) -> Result<(), HostError> {
        if found == Some(expected) {
            return Ok(());
        }
        Err(HostError::Changed { host: self.label.clone(), name: name.to_string(), expected, found })
    }

    fn bookmark(&mut self, bookmarks: &[(BookmarkName, SnapshotName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, ..)| name))?;
        let mut missing = Vec::new();
        for (name, snapshot, guid) in bookmarks {
            match there.get(name) {
                Some(found) => self.need_guid(name.as_str(), *guid, Some(*found))?,
                None => missing.push((name, snapshot)),
            }
        }
        for batch in missing.chunks(NAMES_AT_ONCE) {
            let mut script = Script::elevated(self.elevate);
            for (name, snapshot) in batch {
                script = script.and_zfs(["bookmark", snapshot.as_str(), name.as_str()]).map_err(nul)?;
            }
            self.run("bookmark", batch[0].1.as_str(), script)?;
        }
        Ok(())
    }

    fn destroy_bookmarks(&mut self, bookmarks: &[(BookmarkName, Guid)]) -> Result<(), HostError> {
        let there = self.bookmark_guids(bookmarks.iter().map(|(name, _)| name))?;
        let doomed: Vec<_> = bookmarks.iter().filter(|(name, guid)| there.get(name) == Some(guid)).collect();
        for batch in doomed.chunks(NAMES_AT_ONCE) {
            let mut script = Script::elevated(self.elevate);
            for (name, _) in batch {
                script = script.and_zfs(["destroy", name.as_str()]).map_err(nul)?;
            }
            self.run("remove the bookmark", batch[0].0.as_str(), script)?;
        }
        Ok(())
    }

    fn destroy_snapshots(
        &mut self,
        dataset: &DatasetName,
        newest: Guid,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        if self.guid_of("filesystem,volume", dataset.as_str())?.is_none() {
            return Ok(());
        }
        self.need_mark(dataset)?;
        let mut there = HashMap::new();
        let mut last: Option<(String, Guid)> = None;
        let list = ["list", "-Hp", "-d", "1", "-t", "snapshot", "-s", "createtxg", "-o", "name,guid"];
        let script = self.script(list.into_iter().chain([dataset.as_str()]))?;
        self.list("list the snapshots of", dataset.as_str(), script, &mut |line| {
            let (name, guid) = line.split_once('\t').ok_or("a field is missing")?;
            let guid = Guid(guid.parse().map_err(|_| "the guid is not a number".to_string())?);
            last = Some((name.to_string(), guid));
            there.insert(name.to_string(), guid);
            Ok(())
        })?;
        if let Some((name, guid)) = last {
            self.need_guid(&name, newest, Some(guid))?;
        }
        let mut doomed = Vec::new();
        for (name, guid) in snapshots {
            if let Some(found) = there.get(name.as_str()) {
                self.need_guid(name.as_str(), *guid, Some(*found))?;
                doomed.push(name.short());
            }
        }
        for batch in doomed.chunks(NAMES_AT_ONCE) {
            // One call of the kernel, which destroys all of them or none.
            let names = format!("{dataset}@{}", batch.join(","));
            let script = self.script(["destroy", &names])?;
            self.run("destroy snapshots of", dataset.as_str(), script)?;
        }
        Ok(())
    }

    /// Nothing is destroyed that is not marked as gone at the source.
    fn need_mark(&mut self, dataset: &DatasetName) -> Result<(), HostError> {
        let all = self.some_properties(dataset, Depth::One, &[marks::GONE.to_string()])?;
        let mark = all.get(dataset).and_then(|there| there.get(marks::GONE));
        let mark = mark.filter(|mark| mark.source == PropertySource::Local);
        match mark.and_then(|mark| marks::Gone::read(&mark.value)) {
            Some(_) => Ok(()),
            None => Err(HostError::NotMarked { host: self.label.clone(), dataset: dataset.clone() }),
        }
    }

    /// What a dataset is, after a look at its GUID.
    fn kind_of(&mut self, dataset: &DatasetName, guid: Guid) -> Result<DatasetKind, HostError> {
        let name = dataset.as_str();
        let mut found = None;
        let script = self.script(["list", "-Hp", "-t", "filesystem,volume", "-o", "name,guid,type", name])?;
        let listed = self.list("list", name, script, &mut |line| {
            let mut fields = line.split('\t');
            let listed = fields.next();
            let number = fields.next().filter(|_| listed == Some(name));
            let kind = match fields.next() {
                Some("filesystem") => DatasetKind::Filesystem,
                Some("volume") => DatasetKind::Volume,
                _ => return Err("a line that was not asked for".to_string()),
            };
            let number = number.ok_or("a line that was not asked for")?;
            let number = number.parse().map_err(|_| "the guid is not a number".to_string())?;
            found = Some((Guid(number), kind));
            Ok(())
        });
        match listed {
            Err(error) if !says_absent(&error) => return Err(error),
            _ => {}
        }
        self.need_guid(name, guid, found.map(|(guid, _)| guid))?;
        // Without an answer there was no GUID to agree with, and the line above returned.
        Ok(found.map_or(DatasetKind::Filesystem, |(_, kind)| kind))
    }

    /// The GUID of one dataset or snapshot, read anew.
    fn guid_of(&mut self, kind: &str, name: &str) -> Result<Option<Guid>, HostError> {
        let mut guid = None;
        let script = self.script(["list", "-Hp", "-t", kind, "-o", "name,guid", name])?;
        let listed = self.list("list", name, script, &mut |line| match line.split_once('\t') {
            Some((found, number)) if found == name && guid.is_none() => {
                guid = Some(Guid(number.parse().map_err(|_| "the guid is not a number".to_string())?));
                Ok(())
            }
            _ => Err("a line that was not asked for".to_string()),
        });
        match listed {
            Ok(()) => Ok(guid),
            Err(error) if says_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How many names stand in one command line, which must stay below 128 KiB.
const NAMES_AT_ONCE: usize = 100;

/// `-o name=value` for each property.
fn options(properties: &[(String, String)]) -> impl Iterator<Item = String> {
    properties.iter().flat_map(|(name, value)| ["-o".to_string(), format!("{name}={value}")])
}

fn nul(error: crate::transport::quote::NulArgument) -> HostError {
    TransportError::Local { what: "cannot make a command".to_string(), cause: error.to_string() }.into()
}

/// Whether zfs said that what was asked for does not exist. Only a reason to look further up.
fn says_absent(error: &HostError) -> bool {
    matches!(error, HostError::Remote { message, .. } if message.contains("dataset does not exist"))
}

fn check(host: &str, operation: &'static str, subject: &str, exit: &Exit) -> Result<(), HostError> {
    if exit.success() {
        return Ok(());
    }
    let host = host.to_string();
    let said = exit.message();
    if exit.status == Ok(127) && said.contains(NO_ZFS) {
        return Err(HostError::NoZfs { host });
    }
    let message = match (&exit.status, said.is_empty()) {
        (Ok(status), true) => format!("the command ended with status {status}"),
        (Ok(_), false) => said,
        (Err(signal), true) => format!("the command was ended by SIG{signal}"),
        (Err(signal), false) => format!("{said} (ended by SIG{signal})"),
    };
    Err(HostError::Remote { host, operation, subject: subject.to_string(), message })
}

/// The arguments of `zfs send` for a stream.
fn send_arguments(spec: &SendSpec, dry: bool) -> Vec<String> {
    let mut arguments = vec!["send".to_string()];
    if dry {
        arguments.push("-nvP".to_string());
    }
    if let Some(partial) = &spec.resume {
        // The planner compared the token with the stream; it carries the flags of the stream itself.
        arguments.extend(["-t".to_string(), partial.token.clone()]);
        return arguments;
    }
    // The same flags as the native sender: a chain must be sent with large blocks always or never (openzfs #6224).
    arguments.extend(["-L", "-c"].map(str::to_string));
    if spec.raw {
        arguments.push("-w".to_string());
    }
    if let Some(from) = &spec.from {
        let name = match from {
            Base::Snapshot(name, _) => name.as_str(),
            Base::Bookmark(name, _) => name.as_str(),
        };
        arguments.extend(["-i".to_string(), name.to_string()]);
    }
    arguments.push(spec.to.name.to_string());
    arguments
}

impl Host for ZfsCli {
    fn label(&self) -> &str {
        &self.label
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        let mut listing = TreeListing::new(root.clone(), depth);
        let how = match depth {
            Depth::One => ["-d", "1"].as_slice(),
            Depth::All => &["-r"],
        };
        let arguments = ["list", "-Hp"].iter().chain(how).chain(&["-t", "all", "-o", FIELDS]).copied();
        let script = self.script(arguments.chain([root.as_str()]))?;
        match self.list("list", root.as_str(), script, &mut |line| listing.take(line)) {
            Ok(()) => {
                let tree = listing.finish();
                tree.map(Inventory::Present).map_err(|why| self.misunderstood("list", why))
            }
            Err(error) if says_absent(&error) => self.absent(root),
            Err(error) => Err(error),
        }
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        let mut versions = Vec::new();
        let mut listing = PoolListing::default();
        let script = self.script(["version"])?;
        let script = script.and(Program::Zpool, ["get", "-Hp", "-o", "property,value", "all", pool]);
        self.list("ask about the pool", pool, script.map_err(nul)?, &mut |line| {
            if line.contains('\t') {
                return listing.take(line);
            }
            versions.push(line.to_string());
            if versions.len() > 4 { Err("more versions than ZFS has parts".to_string()) } else { Ok(()) }
        })?;
        // The kernel's counts; an old `zfs` prints only its own.
        let kernel = versions.iter().find(|line| line.starts_with("zfs-kmod")).or(versions.first());
        let version = kernel.and_then(|line| Version::parse(line));
        listing.finish(pool, version).map_err(|why| self.misunderstood("the question about the pool", why))
    }

    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError> {
        self.some_properties(root, depth, &["all".to_string()])
    }

    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        let names = names.join(",");
        let how = match depth {
            Depth::One => ["-d", "0"].as_slice(),
            Depth::All => &["-r"],
        };
        let what = ["-t", "filesystem,volume", "-o", "name,property,value,source", &names];
        let arguments = ["get", "-Hp"].iter().chain(how).chain(&what).copied().chain([root.as_str()]);
        let script = self.script(arguments)?;
        let mut all = Properties::new();
        self.list("get the properties of", root.as_str(), script, &mut |line| {
            listing::property(line, root, &mut all)
        })?;
        Ok(all)
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        let name = dataset.as_str();
        let own =
            ["list", "-Hp", "-t", "filesystem,volume", "-o", "name,usedbydataset,usedbysnapshots,mounted"];
        let script = self.script(own.into_iter().chain([name]))?;
        let snapshots = ["list", "-Hp", "-d", "1", "-t", "snapshot", "-o", "name,userrefs,clones", name];
        let script = script.and_zfs(snapshots).map_err(nul)?;
        let mut listing = listing::CostListing::new(dataset.clone());
        self.list("ask what is in", name, script, &mut |line| listing.take(line))?;
        listing.finish().map_err(|why| self.misunderstood("the question what is in a dataset", why))
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        if let [one] = snapshots {
            return Ok(vec![self.guid_of("snapshot", one.as_str())?]);
        }
        let mut guids = Vec::with_capacity(snapshots.len());
        for batch in snapshots.chunks(NAMES_AT_ONCE) {
            let mut found = HashMap::new();
            let arguments = ["list", "-Hp", "-t", "snapshot", "-o", "name,guid"].into_iter();
            let script = self.script(arguments.chain(batch.iter().map(SnapshotName::as_str)))?;
            let listed = self.list("list", batch[0].as_str(), script, &mut |line| {
                let (name, guid) = line.split_once('\t').ok_or("a field is missing")?;
                let guid = guid.parse().map_err(|_| "the guid is not a number".to_string())?;
                found.insert(name.to_string(), Guid(guid));
                Ok(())
            });
            match listed {
                Ok(()) => guids.extend(batch.iter().map(|name| found.get(name.as_str()).copied())),
                // One of them is missing, and zfs does not tell of which one it speaks: one after the other.
                Err(error) if says_absent(&error) => {
                    for name in batch {
                        guids.push(self.guid_of("snapshot", name.as_str())?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(guids)
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        let mut sizes = Vec::with_capacity(streams.len());
        for batch in streams.chunks(ESTIMATES_AT_ONCE) {
            let mut script = Script::elevated(self.elevate);
            for spec in batch {
                script = script.and_zfs(send_arguments(spec, true)).map_err(nul)?;
            }
            let mut found = Vec::new();
            let answer = self.list("estimate", batch[0].to.name.as_str(), script, &mut |line| {
                if let Some(size) = line.strip_prefix("size\t") {
                    found.push(size.trim().parse::<u64>().ok());
                }
                Ok(())
            });
            match answer {
                Ok(()) if found.len() == batch.len() => sizes.extend(found),
                // An estimate that cannot be had is no reason not to send.
                Ok(()) | Err(HostError::Remote { .. } | HostError::BadAnswer { .. }) => {
                    sizes.extend(batch.iter().map(|_| None));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sizes)
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        if let Some(known) = self.has_zstd {
            return Ok(known);
        }
        let process = self.transport.start(&Script::asking_for_zstd())?;
        let mut said = Vec::new();
        let exit = process.finish(&mut |bytes| {
            // Whatever a login shell may print first, the answer is short.
            said.extend_from_slice(&bytes[..bytes.len().min(4096)]);
            Ok(())
        })?;
        self.check("ask for zstd on", "the machine", &exit)?;
        let found = String::from_utf8_lossy(&said).lines().any(|line| line == END);
        self.has_zstd = Some(found);
        Ok(found)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        let mut script = self.script(send_arguments(spec, false))?;
        if spec.compress {
            script = script.printing_zstd();
        }
        let (host, subject) = (self.label.clone(), spec.to.name.to_string());
        let process = self.transport.start(&script.command_line())?;
        Ok(Box::new(CliOutgoing { process, host, subject }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let mut arguments = vec!["receive".to_string(), "-s".to_string(), "-u".to_string()];
        arguments.extend(options(&spec.set));
        if let Some(origin) = &spec.origin {
            arguments.extend(["-o".to_string(), format!("origin={origin}")]);
        }
        arguments.push(spec.to.to_string());
        let mut script = self.script(arguments)?;
        if spec.compressed {
            script = script.reading_zstd();
        }
        let (host, subject) = (self.label.clone(), spec.to.to_string());
        let process = self.transport.start(&script.command_line())?;
        Ok(Box::new(CliIncoming { process, host, subject }))
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        match change {
            Change::CreateFilesystem { dataset, set } => {
                // `-p` takes a filesystem that is there already for success.
                let mut arguments = vec!["create".to_string(), "-p".to_string(), "-u".to_string()];
                arguments.extend(options(set));
                arguments.push(dataset.to_string());
                let script = self.script(arguments)?;
                self.run("create", dataset.as_str(), script)
            }
            Change::Bookmark { bookmarks } => self.bookmark(bookmarks),
            Change::DestroyBookmarks { bookmarks } => self.destroy_bookmarks(bookmarks),
            Change::Rename { from, guid, to } => {
                let kind = self.kind_of(from, *guid)?;
                // `-u` leaves mounted what is mounted, and mounts nothing; zfs refuses it for volumes.
                let unmounted = (kind == DatasetKind::Filesystem).then_some("-u");
                let arguments = ["rename"].into_iter().chain(unmounted).chain([from.as_str(), to.as_str()]);
                let script = self.script(arguments)?;
                self.run("rename", from.as_str(), script)
            }
            Change::Clone { snapshot, guid, to, set } => {
                let found = self.guid_of("snapshot", snapshot.as_str())?;
                self.need_guid(snapshot.as_str(), *guid, found)?;
                let mut arguments = vec!["clone".to_string()];
                arguments.extend(options(set));
                arguments.extend([snapshot.to_string(), to.to_string()]);
                let script = self.script(arguments)?;
                self.run("clone", snapshot.as_str(), script)
            }
            Change::Promote { dataset } => {
                let script = self.script(["promote", dataset.as_str()])?;
                self.run("promote", dataset.as_str(), script)
            }
            Change::SetProperties { dataset, set } => {
                let values = set.iter().map(|(name, value)| format!("{name}={value}"));
                let arguments = ["set".to_string()].into_iter().chain(values);
                let script = self.script(arguments.chain([dataset.to_string()]))?;
                self.run("set properties of", dataset.as_str(), script)
            }
            Change::UnsetProperties { dataset, names } => {
                let mut script = Script::elevated(self.elevate);
                for name in names {
                    script = script.and_zfs(["inherit", name, dataset.as_str()]).map_err(nul)?;
                }
                self.run("remove properties of", dataset.as_str(), script)
            }
            Change::DestroySnapshots { dataset, newest, snapshots } => {
                self.destroy_snapshots(dataset, *newest, snapshots)
            }
            Change::Destroy { dataset, guid, .. } => {
                let Some(found) = self.guid_of("filesystem,volume", dataset.as_str())? else { return Ok(()) };
                self.need_guid(dataset.as_str(), *guid, Some(found))?;
                self.need_mark(dataset)?;
                // Without -r, zfs refuses what has children or snapshots.
                let script = self.script(["destroy", dataset.as_str()])?;
                self.run("destroy", dataset.as_str(), script)
            }
            Change::DiscardPartial { dataset, .. } => {
                let script = self.script(["receive", "-A", dataset.as_str()])?;
                self.run("throw away the partial receive of", dataset.as_str(), script)
            }
        }
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(Self {
            transport: self.transport.another()?,
            label: self.label.clone(),
            elevate: self.elevate,
            has_zstd: self.has_zstd,
        }))
    }
}

struct CliOutgoing<'a> {
    process: Box<dyn Process + 'a>,
    host: String,
    subject: String,
}

impl Outgoing for CliOutgoing<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let mut block = BytesMut::zeroed(limit);
        let mut filled = 0;
        while filled < limit {
            match self.process.read(&mut block[filled..])? {
                Some(0) if filled == 0 => return Ok(Next::End),
                Some(0) | None => break,
                Some(n) => filled += n,
            }
        }
        block.truncate(filled);
        Ok(if filled == 0 { Next::Nothing } else { Next::Block(block.freeze()) })
    }

    fn idle(&mut self) -> Result<(), HostError> {
        self.process.idle()?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "send", &self.subject, &exit)
    }
}

struct CliIncoming<'a> {
    process: Box<dyn Process + 'a>,
    host: String,
    subject: String,
}

impl Incoming for CliIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        Ok(self.process.write(block)?)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(self.process.idle()?)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        let exit = self.process.finish(&mut |_| Ok(()))?;
        check(&self.host, "receive into", &self.subject, &exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: Result<i32, &str>, stderr: &str) -> Exit {
        Exit { status: status.map_err(str::to_string), stderr: stderr.as_bytes().to_vec() }
    }

    #[test]
    fn exits_become_errors_that_name_machine_and_subject() {
        assert!(check("h", "list", "p", &exit(Ok(0), "a warning")).is_ok());
        let error = check("h", "list", "p", &exit(Ok(1), "cannot open 'p': \u{1b}[31mno\n")).expect_err("1");
        assert_eq!(error.to_string(), "h: list p: cannot open 'p': \\u{1b}[31mno");
        let error = check("h", "list", "p", &exit(Err("KILL"), "")).expect_err("killed");
        assert!(error.to_string().contains("SIGKILL"), "{error}");
        let error = check("h", "list", "p", &exit(Ok(127), &format!("{NO_ZFS}\n"))).expect_err("none");
        assert!(matches!(error, HostError::NoZfs { .. }) && error.hint().is_some());
        // Another program that ends with 127 is not "no zfs".
        assert!(matches!(check("h", "list", "p", &exit(Ok(127), "x")), Err(HostError::Remote { .. })));
    }
}
