//! What changes a machine by its `zfs` command, each after a look whether it is still what the plan was made for.

use super::NAMES_AT_ONCE;
use super::ZfsCli;
use super::guid_arguments;
use super::nul;
use super::options;
use super::says_absent;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::PropertySource;
use crate::marks;
use crate::transport::quote::Script;
use std::collections::BTreeSet;
use std::collections::HashMap;
use zfs_core::Guid;
use zfs_core::name::BookmarkName;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

/// Snapshots by name, and the newest of them.
type Listed = (HashMap<String, Guid>, Option<(String, Guid)>);

impl ZfsCli {
    /// As [`Host::apply`].
    pub(super) fn change(&mut self, change: &Change) -> Result<(), HostError> {
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
                self.no_bookmark_in_the_way(dataset)?;
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
            Change::PruneSnapshots { dataset, snapshots } => self.prune_snapshots(dataset, snapshots),
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

    /// As [`zfs_core::Zfs::promote`] does itself: bookmarks of one name stop a machine whose `zfs promote` meets them.
    fn no_bookmark_in_the_way(&mut self, dataset: &DatasetName) -> Result<(), HostError> {
        let own = self.bookmarks_until(dataset, u64::MAX)?;
        if own.is_empty() {
            return Ok(());
        }
        let origin = self.value("origin", dataset.as_str())?;
        if origin == "-" {
            // No clone, which zfs then says itself.
            return Ok(());
        }
        let origin = SnapshotName::try_from(origin.as_str()).map_err(|_| self.not_understood(&origin))?;
        let until = self.value("createtxg", origin.as_str())?;
        let until = until.parse().map_err(|_| self.not_understood(&until))?;
        let moving = self.bookmarks_until(origin.dataset(), until)?;
        match own.into_iter().find(|short| moving.contains(short)) {
            None => Ok(()),
            Some(name) => Err(HostError::BookmarkInTheWay {
                host: self.label.clone(),
                dataset: dataset.clone(),
                origin: origin.dataset().clone(),
                name,
            }),
        }
    }

    /// The short names of the bookmarks of a dataset whose snapshots are no younger than that.
    fn bookmarks_until(&mut self, dataset: &DatasetName, until: u64) -> Result<BTreeSet<String>, HostError> {
        let arguments =
            ["list", "-Hp", "-d", "1", "-t", "bookmark", "-o", "createtxg,name", dataset.as_str()];
        let script = self.script(arguments)?;
        let mut all = BTreeSet::new();
        self.list("list the bookmarks of", dataset.as_str(), script, &mut |line| {
            // What is not understood is no sign that there is nothing.
            let (txg, name) = line.split_once('\t').ok_or("a field is missing")?;
            let txg: u64 = txg.parse().map_err(|_| "the createtxg is not a number".to_string())?;
            let (_, short) = name.split_once('#').ok_or("a name is not a bookmark's")?;
            if txg <= until {
                all.insert(short.to_string());
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn not_understood(&self, line: &str) -> HostError {
        HostError::BadAnswer {
            host: self.label.clone(),
            operation: "the question for what a promotion would move",
            why: format!("{line:?}"),
        }
    }

    /// One property of one dataset or snapshot.
    fn value(&mut self, property: &str, of: &str) -> Result<String, HostError> {
        let script = self.script(["get", "-Hp", "-o", "value", property, of])?;
        let mut found = None;
        self.list("ask for a property of", of, script, &mut |line| match found.replace(line.to_string()) {
            None => Ok(()),
            Some(_) => Err("more than the one value asked for".to_string()),
        })?;
        found.ok_or_else(|| self.misunderstood("the question for a property", "no value".to_string()))
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
    pub(super) fn need_guid(&self, name: &str, expected: Guid, found: Option<Guid>) -> Result<(), HostError> {
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
        let (there, last) = self.snapshots_of(dataset)?;
        if let Some((name, guid)) = last {
            self.need_guid(&name, newest, Some(guid))?;
        }
        self.destroy_together(dataset, &there, snapshots)
    }

    fn prune_snapshots(
        &mut self,
        dataset: &DatasetName,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
        if self.guid_of("filesystem,volume", dataset.as_str())?.is_none() {
            return Ok(());
        }
        let (there, last) = self.snapshots_of(dataset)?;
        let newest = last.map(|(name, _)| name);
        if let Some((name, _)) = snapshots.iter().find(|(name, _)| newest.as_deref() == Some(name.as_str())) {
            return Err(HostError::Newest { host: self.label.clone(), snapshot: name.clone() });
        }
        self.destroy_together(dataset, &there, snapshots)
    }

    /// The snapshots of a dataset by name, and the newest of them.
    pub(super) fn snapshots_of(&mut self, dataset: &DatasetName) -> Result<Listed, HostError> {
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
        Ok((there, last))
    }

    /// Destroys those that are there, if each has the GUID it must have.
    pub(super) fn destroy_together(
        &mut self,
        dataset: &DatasetName,
        there: &HashMap<String, Guid>,
        snapshots: &[(SnapshotName, Guid)],
    ) -> Result<(), HostError> {
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
    pub(super) fn guid_of(&mut self, kind: &str, name: &str) -> Result<Option<Guid>, HostError> {
        let mut guid = None;
        let script = self.script(guid_arguments(kind, name))?;
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
