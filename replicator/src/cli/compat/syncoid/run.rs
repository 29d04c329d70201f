//! A whole run: looks at both sides once, and goes over the datasets in the order of syncoid. What happens to one of
//! them is in `dataset`.

use std::collections::BTreeMap;

use jiff::Zoned;
use zfs_core::name::DatasetName;

use super::log::Log;
use super::names::Owner;
use super::options::Options;
use crate::cancel::Cancel;
use crate::host::Base;
use crate::host::DatasetKind;
use crate::host::DatasetState;
use crate::host::Deed;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::Properties;
use crate::host::PropertySource;
use crate::transfer::Settings;

/// One side.
pub(super) struct Side {
    /// Where it is.
    pub(super) host: Box<dyn Host>,
    /// `user@host`, where it is another machine.
    pub(super) machine: Option<String>,
    /// The commands of this machine, for what the kernel alone cannot do.
    pub(super) commands: Option<Box<dyn Host>>,
}

impl Side {
    /// A dataset, snapshot or bookmark as messages name it.
    pub(super) fn name(&self, of: impl std::fmt::Display) -> String {
        match &self.machine {
            Some(machine) => format!("{machine}:{of}"),
            None => of.to_string(),
        }
    }

    /// Does a deed that may need mounts.
    pub(super) fn with_mounts(&mut self, deed: &Deed) -> Result<(), HostError> {
        self.commands.as_deref_mut().unwrap_or(self.host.as_mut()).deed(deed)
    }

    /// A dataset as it is now, without what is below it.
    pub(super) fn look(&mut self, dataset: &DatasetName) -> Result<Option<DatasetState>, HostError> {
        match self.host.inventory(dataset, Depth::One)? {
            Inventory::Present(tree) => Ok(Some(tree.root().clone())),
            Inventory::Absent { .. } => Ok(None),
        }
    }
}

/// Why a run ends before its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What syncoid dies of.
    Dead(String),
    /// It was asked to stop.
    Interrupted,
}

/// Properties that are not preserved: they are worked out by ZFS, or fixed.
#[rustfmt::skip]
const NOT_PRESERVED: [&str; 36] = [
    "available", "casesensitivity", "clones", "compressratio", "createtxg", "creation", "defer_destroy", "encryption",
    "encryptionroot", "filesystem_count", "guid", "keystatus", "logicalreferenced", "logicalused", "mounted",
    "normalization", "objsetid", "origin", "receive_resume_token", "redact_snaps", "refcompressratio", "referenced",
    "snapshot_count", "snapshots_changed", "type", "used", "usedbychildren", "usedbydataset", "usedbyrefreservation",
    "usedbysnapshots", "userrefs", "utf8only", "version", "volblocksize", "volsize", "written",
];

/// The property that says which machines a dataset is replicated by.
pub(in crate::cli) const SYNC: &str = "syncoid:sync";

/// Why a dataset with this value of [`SYNC`] is not for this machine; none where it is.
pub(super) fn passed_over(value: &str, hostname: &str) -> Option<String> {
    match value {
        "" | "-" | "true" => None,
        "false" => Some(format!("{SYNC}=false")),
        hosts if hosts.split(',').any(|host| host == hostname) => None,
        _ => Some(format!("{SYNC} doesn't include {hostname}")),
    }
}

/// What a run has.
pub(super) struct Run<'r> {
    pub(super) options: &'r Options,
    pub(super) log: &'r Log,
    pub(super) cancel: &'r Cancel,
    pub(super) settings: Settings,
    pub(super) owner: Owner,
    /// The name of this machine.
    pub(super) hostname: String,
    pub(super) clock: &'r dyn Fn() -> Zoned,
    pub(super) source: Side,
    pub(super) target: Side,
    /// Both sides are one machine.
    pub(super) one_machine: bool,
    /// How many datasets are well so far.
    pub(super) brought: usize,
    /// The datasets of the target, as far as they are known.
    pub(super) targets: BTreeMap<DatasetName, DatasetState>,
    /// What is set with each receive, by dataset of the source.
    pub(super) properties: BTreeMap<DatasetName, Vec<(String, String)>>,
    /// Whether it was looked for what compresses.
    pub(super) told_compression: bool,
    pub(super) status: u8,
}

impl Run<'_> {
    /// The status is at least this.
    pub(super) fn at_least(&mut self, status: u8) {
        self.status = self.status.max(status);
    }

    /// Goes over all datasets, and gives the status.
    ///
    /// # Errors
    /// What ends the whole run at once.
    pub(super) fn all(&mut self, source: &DatasetName, target: &DatasetName) -> Result<u8, End> {
        let depth = if self.options.recursive { Depth::All } else { Depth::One };
        // In one question: of a run that finds nothing to do, each costs as much as all the rest.
        let (found, sync) = match self.source.host.inventory_with(source, depth, &[SYNC.to_string()]) {
            Ok((Inventory::Present(tree), sync)) => (tree.datasets().to_vec(), sync),
            Ok((Inventory::Absent { .. }, _)) | Err(HostError::NoPool { .. }) => {
                self.log.critical(format!("cannot open '{source}': dataset does not exist"));
                (Vec::new(), Properties::new())
            }
            Err(error) => return Err(self.dead(source, &error)),
        };
        let datasets: Vec<DatasetState> = match depth {
            Depth::One => found,
            Depth::All => found
                .into_iter()
                .filter(|one| !(self.options.skip_parent && one.name == *source))
                .filter(|one| self.options.datasets.takes(one.name.as_str()))
                .collect(),
        };
        if datasets.is_empty() {
            if self.options.recursive {
                self.log.critical("no datasets found");
            }
            self.at_least(2);
            return Ok(self.status);
        }
        if self.one_machine && overlap(&datasets, source, target, self.options) {
            self.log.critical(format!(
                "{source} and {target} are the same, or one is below the other and not left out by --exclude-datasets"
            ));
            self.at_least(2);
            return Ok(self.status);
        }
        match self.target.host.inventory(target, depth) {
            Ok(Inventory::Present(tree)) => {
                self.targets.extend(tree.datasets().iter().map(|one| (one.name.clone(), one.clone())));
            }
            Ok(Inventory::Absent { .. }) | Err(HostError::NoPool { .. }) => {}
            Err(error) => return Err(self.dead(target, &error)),
        }
        let skipped = self.skipped(&sync);
        self.read_properties(source, depth)?;
        let (clones, others): (Vec<_>, Vec<_>) = datasets.iter().partition(|one| {
            self.options.recursive && !self.options.no_clones && self.origin(&datasets, one).is_some()
        });
        let clones = clones.into_iter().map(|one| (one, self.origin(&datasets, one)));
        let order: Vec<_> = others.into_iter().map(|one| (one, None)).chain(clones).collect();
        for (one, origin) in order {
            if self.cancel.is_cancelled() {
                return Err(End::Interrupted);
            }
            let Some(name) = mapped(&one.name, source, target) else {
                self.log.critical(format!("{} has no name below {target}", one.name));
                self.at_least(2);
                continue;
            };
            if let Some(why) = skipped.get(&one.name) {
                self.log.info(format!("Skipping dataset ({why}): {}...", one.name));
                continue;
            }
            self.one(one, &name, origin)?;
        }
        Ok(self.status)
    }

    fn dead(&self, of: &DatasetName, error: &HostError) -> End {
        if error.is_cancelled() || self.cancel.is_cancelled() {
            return End::Interrupted;
        }
        End::Dead(format!("CRITICAL ERROR: snapshots couldn't be listed for {of}: {error}"))
    }

    /// Where the origin of a clone is among the datasets of the run, its snapshot there.
    fn origin(&self, datasets: &[DatasetState], of: &DatasetState) -> Option<Base> {
        let origin = of.origin.as_ref()?;
        let from = datasets.iter().find(|one| one.name == *origin.dataset())?;
        let snapshot = from.snapshots.iter().find(|one| one.name == *origin)?;
        Some(Base::Snapshot(snapshot.name.clone(), snapshot.guid))
    }

    /// The datasets that are not for this machine, with the reason.
    fn skipped(&self, all: &Properties) -> BTreeMap<DatasetName, String> {
        let mut skipped = BTreeMap::new();
        for (dataset, properties) in all {
            let value = properties.get(SYNC).map_or("", |property| property.value.as_str());
            let Some(why) = passed_over(value, &self.hostname) else { continue };
            skipped.insert(dataset.clone(), why);
        }
        skipped
    }

    /// What is set with each receive.
    fn read_properties(&mut self, root: &DatasetName, depth: Depth) -> Result<(), End> {
        let recordsize = ["recordsize".to_string(), "type".to_string()];
        let all = if self.options.preserve_properties {
            self.source.host.properties(root, depth)
        } else if self.options.preserve_recordsize {
            self.source.host.some_properties(root, depth, &recordsize)
        } else {
            return Ok(());
        };
        let all = match all {
            Ok(all) => all,
            Err(error) if error.is_cancelled() => return Err(End::Interrupted),
            Err(error) => {
                self.log.warn(format!("getlocalzfsvalues failed for {root}: {error}"));
                self.at_least(1);
                return Ok(());
            }
        };
        for (dataset, properties) in all {
            let kept = properties.into_iter().filter(|(name, property)| {
                if self.options.preserve_properties {
                    property.source == PropertySource::Local && !NOT_PRESERVED.contains(&name.as_str())
                } else {
                    // Volumes have none.
                    name == "recordsize" && property.value.parse::<u64>().is_ok()
                }
            });
            let kept = kept.map(|(name, property)| (name, property.value)).collect();
            self.properties.insert(dataset, kept);
        }
        Ok(())
    }

    /// What is set when a dataset of the source is received.
    pub(super) fn set_of(&self, source: &DatasetState) -> Vec<(String, String)> {
        let mut set = self.options.receive.set.clone();
        let kept = self.properties.get(&source.name).into_iter().flatten();
        let fits = |name: &str| source.kind == DatasetKind::Filesystem || name != "recordsize";
        let kept = kept.filter(|(name, _)| !self.options.receive.kept_out.contains(name));
        for (name, value) in kept.filter(|(name, _)| fits(name)) {
            set.retain(|(one, _)| one != name);
            set.push((name.clone(), value.clone()));
        }
        set
    }
}

/// Whether something is on both sides, which are on one machine: what a run brings would be what it, or the next one,
/// reads.
fn overlap(datasets: &[DatasetState], source: &DatasetName, target: &DatasetName, options: &Options) -> bool {
    // The target itself, or what will be made in it: the next run would send that again.
    let of_target = || datasets.iter().filter_map(|one| mapped(&one.name, source, target));
    let taken = |name: &DatasetName| options.datasets.takes(name.as_str());
    let reads_target = target.is_within(source) && (taken(target) || of_target().any(|name| taken(&name)));
    let in_target = || datasets.iter().any(|one| one.name.is_within(target));
    source == target || options.recursive && (reads_target || in_target())
}

/// Where a dataset of the source goes.
pub(super) fn mapped(name: &DatasetName, source: &DatasetName, target: &DatasetName) -> Option<DatasetName> {
    match name.strip_prefix(source)? {
        "" => Some(target.clone()),
        rest => target.child(rest).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::World;

    #[test]
    fn trees_of_one_machine_may_meet_only_where_the_target_is_left_out() {
        let name = |text: &str| text.parse::<DatasetName>().expect("a name");
        let world = World::new(7, &["here"]);
        world.on("here", |here| {
            here.create_pool("tank");
            for one in ["tank/a", "tank/backup", "tank/backup/a"] {
                here.create(&name(one), DatasetKind::Filesystem, &[]).expect("made");
            }
        });
        let overlap = |line: &str| {
            let words: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
            let Ok(super::super::options::Asked::Run(options)) = super::super::options::read(&words) else {
                panic!("{line}")
            };
            let (source, target) = (name(&options.source), name(&options.target));
            let depth = if options.recursive { Depth::All } else { Depth::One };
            let Inventory::Present(tree) = world.host("here").inventory(&source, depth).expect("listed")
            else {
                panic!("{line}")
            };
            let taken = tree.datasets().iter().filter(|one| options.datasets.takes(one.name.as_str()));
            let taken: Vec<_> = taken.cloned().collect();
            super::overlap(&taken, &source, &target, &options)
        };
        assert!(overlap("tank tank") && overlap("-r tank tank/backup") && overlap("-r tank/backup tank"));
        assert!(overlap("-r --exclude-datasets=^tank/backup$ tank tank/backup"));
        // Nothing is in it yet, but will be after the first run.
        world.on("here", |here| {
            here.create(&name("tank/new"), DatasetKind::Filesystem, &[]).expect("made");
        });
        assert!(overlap("-r --exclude-datasets=^tank/new$ tank tank/new"));
        assert!(!overlap("-r --exclude-datasets=^tank/(new|backup) tank tank/new"));
        assert!(!overlap("-r --exclude-datasets=^tank/backup tank tank/backup"));
        assert!(!overlap("tank tank/backup") && !overlap("tank/backup/a tank/backup"));
        assert!(!overlap("-r tank/a tank/backup"));
    }
}
