//! The snapshots that a path may be found in: those of its dataset here, and those that targets on this machine have beside
//! them. What other machines have is known by GUID alone: a snapshot of the same GUID has the same in it.

use std::path::Path;

use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use super::Failure;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::config::From;
use crate::codes::Code;
use crate::config::Config;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::connect;
use crate::endpoint::Endpoint;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::local::Local;
use crate::restore::RestoreError;
use crate::restore::folder::Folder;
use crate::restore::place;
use crate::restore::place::Place;
use crate::restore::versions::Of;
use crate::restore::versions::There;

/// A path and where it may be found.
pub(super) struct Candidates {
    pub(super) place: Place,
    /// Oldest first.
    pub(super) snapshots: Vec<Of>,
    pub(super) there: Vec<There>,
}

impl Candidates {
    /// Of a path; without targets where `only_here` says so.
    pub(super) fn new(path: &Path, from: &From, only_here: bool, cancel: &Cancel) -> Result<Self, Failure> {
        let place = place::find(path)?;
        let mut host = Local::new(Zfs::open()?).cancelled_by(cancel.clone());
        let mut snapshots = of(&mut host, &place.dataset, None)?;
        let mut there = Vec::new();
        if !only_here && let Some(config) = any(from) {
            for (job, target) in targets(&config, &place.dataset) {
                there.push(ask(job, target, &place.dataset, &mut snapshots, cancel));
            }
        }
        snapshots.sort_by_key(|one| one.created);
        Ok(Self { place, snapshots, there })
    }

    /// Opens one of them.
    pub(super) fn open(&self, of: &Of) -> Result<Folder, RestoreError> {
        match of.at {
            None => Folder::open(&self.place, &of.name),
            Some(_) => Folder::mounted(&of.name),
        }
    }
}

/// The configuration, where there is one that can be read: without it there is still what is here.
pub(super) fn any(from: &From) -> Option<Config> {
    if !from.is_there() {
        return None;
    }
    match from.usable() {
        Ok((config, _)) => Some(config),
        Err(failure) => {
            cli::say(&format!("warning: targets are not looked at: {}", failure.message()));
            None
        }
    }
}

/// The targets that a dataset of this machine goes to.
pub(super) fn targets<'c>(
    config: &'c Config,
    dataset: &DatasetName,
) -> impl Iterator<Item = (&'c Job, &'c Target)> {
    let covers = |job: &&Job| {
        let source = &job.source;
        let below = job.options.recursive && dataset.is_within(&source.dataset);
        let selected = job.options.datasets.select_dataset(dataset, &source.dataset);
        source.machine.is_none() && selected && (below || source.dataset == *dataset)
    };
    let jobs: Vec<&Job> = config.jobs.iter().filter(covers).collect();
    jobs.into_iter().flat_map(|job| job.targets.iter().map(move |target| (job, target)))
}

/// Where a dataset of a job's source is on a target.
pub(super) fn counterpart(job: &Job, target: &Target, dataset: &DatasetName) -> Result<Endpoint, Failure> {
    let rest = dataset.strip_prefix(&job.source.dataset).unwrap_or_default();
    let root = &target.endpoint.dataset;
    let found = if rest.is_empty() { Ok(root.clone()) } else { root.child(rest) };
    // What has no name that ZFS would take is not there.
    let found = found.map_err(|error| Failure::new(Code::NoDataset, error.to_string()))?;
    Ok(Endpoint { machine: target.endpoint.machine.clone(), dataset: found })
}

/// The snapshots of a dataset that there may not be, with their times.
fn of(host: &mut dyn Host, dataset: &DatasetName, at: Option<&str>) -> Result<Vec<Of>, Failure> {
    let Inventory::Present(tree) = host.inventory(dataset, Depth::One)? else {
        return Ok(Vec::new());
    };
    let dates: std::collections::HashMap<_, _> = host.dates(dataset, Depth::One)?.into_iter().collect();
    let all = tree.root().snapshots.iter();
    Ok(all
        // One that went between the two questions is not there.
        .filter_map(|one| {
            let created = *dates.get(&one.name)?;
            Some(Of { name: one.name.clone(), guid: one.guid, created, at: at.map(str::to_string) })
        })
        .collect())
}

/// Asks a target for its snapshots, and adds those that can be looked into from here.
fn ask(job: &Job, target: &Target, dataset: &DatasetName, all: &mut Vec<Of>, cancel: &Cancel) -> There {
    let mut there = There { target: target.name.clone(), ..There::default() };
    let found = counterpart(job, target, dataset).and_then(|endpoint| {
        let mut host = connect::host(&target.link, &endpoint, None, cancel)?;
        Ok((endpoint.machine.is_none(), of(host.as_mut(), &endpoint.dataset, Some(&target.name))?))
    });
    match found {
        Err(failure) => there.why = Some(failure.message().to_string()),
        Ok((near, found)) => {
            there.guids = found.iter().map(|one| one.guid).collect();
            let here: std::collections::HashSet<_> = all.iter().map(|one| one.guid).collect();
            let more: Vec<_> = found.into_iter().filter(|one| !here.contains(&one.guid)).collect();
            if near && rustix::process::geteuid().is_root() {
                all.extend(more);
            } else if !more.is_empty() {
                there.beyond = more.len();
                let why =
                    if near { "mounting them needs root" } else { "they would have to be mounted there" };
                there.why = Some(why.to_string());
            }
        }
    }
    there
}

/// A line for each target that not everything is known of.
pub(super) fn notes(there: &[There]) -> String {
    let mut text = String::new();
    for one in there {
        match (&one.why, one.beyond) {
            (None, _) => {}
            (Some(why), 0) => text.push_str(&format!("{}: not looked at: {why}\n", one.target)),
            (Some(why), beyond) => {
                let s = if beyond == 1 { "" } else { "s" };
                text.push_str(&format!(
                    "{}: {beyond} snapshot{s} that are not here, not looked into: {why} (`replicator restore dataset` gets one)\n",
                    one.target
                ));
            }
        }
    }
    text
}
