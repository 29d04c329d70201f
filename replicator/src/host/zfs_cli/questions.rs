//! What is asked of a machine by its `zfs` command, and [`Host`] by it. Longer answers have files of their own.

use std::collections::HashMap;

use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::NAMES_AT_ONCE;
use super::ZfsCli;
use super::nul;
use super::options;
use super::says_absent;
use super::streams::CliIncoming;
use super::streams::CliOutgoing;
use super::streams::guid_arguments;
use super::streams::send_arguments;
use crate::cancel::Cancel;
use crate::compare::content::Take;
use crate::host::About;
use crate::host::Base;
use crate::host::Change;
use crate::host::DatasetKind;
use crate::host::Deed;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Incoming;
use crate::host::Inventory;
use crate::host::Outgoing;
use crate::host::Properties;
use crate::host::ReceiveSpec;
use crate::host::RemovalCost;
use crate::host::Rights;
use crate::host::SendSpec;
use crate::host::Standing;
use crate::host::Version;
use crate::host::listing;
use crate::host::listing::FIELDS;
use crate::host::listing::PoolListing;
use crate::host::listing::TreeListing;
use crate::host::standing;
use crate::host::standing::Who;
use crate::inspect::holds::Held;
use crate::transport::quote::Elevate;
use crate::transport::quote::Program;
use crate::transport::quote::Script;
use crate::transport::quote::pipes::Codec;

/// How many estimates are asked for in one command line, which must stay below 128 KiB.
const ESTIMATES_AT_ONCE: usize = 60;

/// The most bytes that `zfs allow` may print.
const ALLOW_LIMIT: usize = 1 << 20;

impl ZfsCli {
    /// As whom commands run there, and what time it is.
    fn who(&mut self) -> Result<Who, HostError> {
        let process = self.transport.start(&Script::asking_who())?;
        let mut said = Vec::new();
        let exit = process.finish(&mut |bytes| {
            // Whatever a login shell may print first, the answer is short.
            said.extend_from_slice(&bytes[..bytes.len().min(65536 - said.len().min(65536))]);
            Ok(())
        })?;
        self.check("ask for the user on", "the machine", &exit)?;
        let mut who = Who::default();
        String::from_utf8_lossy(&said).lines().for_each(|line| who.take(line));
        Ok(who)
    }

    fn creation_at_once(&mut self, of: &[Base]) -> Result<Vec<Option<i64>>, HostError> {
        let arguments = ["get", "-Hp", "-o", "name,value", "creation"].into_iter();
        let script = self.script(arguments.chain(of.iter().map(Base::name)))?;
        let mut found = HashMap::new();
        let subject = of.first().map_or("nothing", Base::name).to_string();
        self.list("ask for the date of", &subject, script, &mut |line| {
            let (name, date) = line.split_once('\t').ok_or("a field is missing")?;
            let date: i64 = date.parse().map_err(|_| "the date is not a number".to_string())?;
            found.insert(name.to_string(), date);
            Ok(())
        })?;
        Ok(of.iter().map(|base| found.get(base.name()).copied()).collect())
    }
}

/// The arguments of `zfs` for properties of a tree, as [`listing::property`] reads them.
fn property_arguments<'n>(root: &'n DatasetName, depth: Depth, names: &'n str) -> Vec<&'n str> {
    let how = match depth {
        Depth::One => ["-d", "0"].as_slice(),
        Depth::All => &["-r"],
    };
    let what = ["-t", "filesystem,volume", "-o", "name,property,value,source", names, root.as_str()];
    ["get", "-Hp"].iter().chain(how).chain(&what).copied().collect()
}

impl Host for ZfsCli {
    fn label(&self) -> &str {
        &self.label
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        self.inventory_with(root, depth, &[]).map(|(inventory, _)| inventory)
    }

    /// In one command.
    fn inventory_with(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<(Inventory, Properties), HostError> {
        let mut listing = TreeListing::new(root.clone(), depth);
        let mut properties = Properties::new();
        let how = match depth {
            Depth::One => ["-d", "1"].as_slice(),
            Depth::All => &["-r"],
        };
        let arguments = ["list", "-Hp"].iter().chain(how).chain(&["-t", "all", "-o", FIELDS]).copied();
        let mut script = self.script(arguments.chain([root.as_str()]))?;
        if !names.is_empty() {
            script = script.and_zfs(property_arguments(root, depth, &names.join(","))).map_err(nul)?;
        }
        let listed = self.list("list", root.as_str(), script, &mut |line| {
            // The second field is a type, or the name of a property, which none of these types is.
            let field = line.split('\t').nth(1);
            if field.is_some_and(|field| names.iter().any(|name| name == field)) {
                listing::property(line, root, &mut properties)
            } else {
                listing.take(line)
            }
        });
        match listed {
            Ok(()) => {
                let tree = listing.finish().map_err(|why| self.misunderstood("list", why))?;
                Ok((Inventory::Present(tree), properties))
            }
            Err(error) if says_absent(&error) => Ok((self.absent(root)?, Properties::new())),
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
        let script = self.script(property_arguments(root, depth, &names.join(",")))?;
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

    fn dates(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        let how = match depth {
            Depth::One => ["-d", "1"].as_slice(),
            Depth::All => &["-r"],
        };
        let arguments = ["list", "-Hp"].iter().chain(how).chain(&["-t", "snapshot", "-o", "name,creation"]);
        let script = self.script(arguments.copied().chain([root.as_str()]))?;
        let mut dates = Vec::new();
        self.list("list the snapshots of", root.as_str(), script, &mut |line| {
            let (name, creation) = line.split_once('\t').ok_or("a field is missing")?;
            let name = SnapshotName::try_from(name).map_err(|error| error.to_string())?;
            if !name.dataset().is_within(root) {
                return Err("a name that was not asked for".to_string());
            }
            dates.push((name, creation.parse().map_err(|_| "the date is not a number".to_string())?));
            Ok(())
        })?;
        Ok(dates)
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        if let [one] = snapshots {
            // It came with the end of the receive, and is good for one answer.
            if let Some((name, guid)) = self.read_back.take()
                && name == *one
            {
                return Ok(vec![Some(guid)]);
            }
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

    fn standing(&mut self, dataset: &DatasetName) -> Result<Standing, HostError> {
        let who = self.who()?;
        let rights = match who.uid {
            _ if self.elevate != Elevate::No => Rights::All,
            Some(0) => Rights::All,
            None => Rights::Unknown { why: "the machine does not say as whom it works".to_string() },
            Some(_) => {
                let mut text = String::new();
                let script = self.script(["allow", dataset.as_str()])?;
                self.list("ask what is allowed on", dataset.as_str(), script, &mut |line| {
                    text.push_str(line);
                    text.push('\n');
                    if text.len() > ALLOW_LIMIT {
                        Err("more than anybody allows".to_string())
                    } else {
                        Ok(())
                    }
                })?;
                let permissions = standing::allowed(&text, dataset, &who);
                Rights::These { user: who.user, permissions }
            }
        };
        Ok(Standing { rights, clock: who.clock })
    }

    fn creation(&mut self, of: &[Base]) -> Result<Vec<Option<i64>>, HostError> {
        let mut dates = Vec::with_capacity(of.len());
        for batch in of.chunks(NAMES_AT_ONCE) {
            match self.creation_at_once(batch) {
                Ok(found) => dates.extend(found),
                // One of them is missing, and zfs does not tell of which one it speaks: one after the other.
                Err(error) if says_absent(&error) => {
                    for one in batch {
                        match self.creation_at_once(std::slice::from_ref(one)) {
                            Ok(found) => dates.extend(found),
                            Err(error) if says_absent(&error) => dates.push(None),
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dates)
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
        self.has(&Codec::ZSTD)
    }

    fn compresses_with(&mut self, codec: &Codec) -> Result<bool, HostError> {
        let has = self.has(codec)?;
        if has {
            self.codec = *codec;
        }
        Ok(has)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        let mut script = self.script(send_arguments(spec, false))?;
        if spec.compress {
            script = script.packing(self.codec);
        }
        let (host, subject) = (self.label.clone(), spec.to.name.to_string());
        let process = match &self.direct {
            None => self.transport.start(&script.command_line())?,
            Some(direct) => {
                let door = direct.listen()?;
                let line = script.to_connection(direct.sends()).command_line();
                direct.reading(self.transport.start(&line)?, door, &host)?
            }
        };
        Ok(Box::new(CliOutgoing { process, host, subject }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let mut arguments = vec!["receive".to_string(), "-s".to_string(), "-u".to_string()];
        arguments.extend(options(&spec.set));
        if let Some(origin) = &spec.origin {
            arguments.extend(["-o".to_string(), format!("origin={origin}")]);
        }
        arguments.push(spec.to.to_string());
        // The GUID is read back in the same command, which saves a chain of small steps half of its commands.
        let mut script = self
            .script(arguments)?
            .and_maybe_zfs(guid_arguments("snapshot", spec.to.as_str()))
            .map_err(nul)?;
        if spec.compressed {
            script = script.unpacking(self.codec);
        }
        let (host, to) = (self.label.clone(), spec.to.clone());
        self.read_back = None;
        let process = match &self.direct {
            None => self.transport.start(&script.command_line())?,
            Some(direct) => {
                let line = script.from_connection(direct.receives()).command_line();
                direct.writing(self.transport.start(&line)?, &host)?
            }
        };
        Ok(Box::new(CliIncoming { process, host, to, read_back: &mut self.read_back }))
    }

    fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.content(snapshot, kind, take)
    }

    fn holds(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        self.held(root, depth)
    }

    fn release(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        let Some((snapshot, tag)) = holds.first() else { return Ok(()) };
        // Nobody there tells whether its process is gone.
        let (host, tag) = (self.label.clone(), crate::transport::printable(tag.as_bytes(), 256));
        Err(HostError::NotStale { host, snapshot: snapshot.clone(), tag })
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        self.change(change)
    }

    fn deed(&mut self, deed: &Deed) -> Result<(), HostError> {
        self.do_deed(deed)
    }

    fn is_far(&self) -> bool {
        self.far
    }

    fn breaker(&self) -> Option<Cancel> {
        self.transport.breaker()
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(Self {
            transport: self.transport.another()?,
            label: self.label.clone(),
            elevate: self.elevate,
            far: self.far,
            codec: self.codec,
            programs: self.programs.clone(),
            // It has one port, where one stream is waited for.
            direct: self.direct.clone(),
            read_back: None,
        }))
    }
}
