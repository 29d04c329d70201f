//! Whether copies are good: of each target some datasets are read on both sides, in turns ([`choose`]), in the newest snapshot
//! that both have, and compared file by file; and where the target is on this machine a clone of its snapshot is restored,
//! read and removed ([`drill`]). What came of it is remembered in the state folder ([`memory`]).

use zfs_core::DatasetKind;

use crate::cancel::Cancel;
use crate::compare;
use crate::compare::content;
use crate::compare::content::Content;
use crate::compare::content::Gathered;
use crate::compare::content::Share;
use crate::compare::walk;
use crate::config::job::Job;
use crate::config::job::Target;
use crate::engine::RunError;
use crate::host::DatasetState;
use crate::host::Depth;
use crate::host::Host;
use crate::host::HostError;
use crate::host::Inventory;
use crate::host::READ;
use crate::host::Snapshot;
use crate::jobs::Connect;
use crate::jobs::JobError;

pub mod choose;
pub mod drill;
pub mod memory;
#[cfg(test)]
mod tests;

use choose::Candidate;
use memory::Checked;
use memory::Drill;
use memory::Verified;

/// How many differences are remembered in words.
const TOLD: usize = 10;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Bytes that are read of each target at most, about.
    pub bytes: u64,
    /// Whether there are restore drills.
    pub drill: bool,
}

/// What a target came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// The datasets that were read, or should have been.
    pub checked: Vec<Checked>,
    /// Volumes that are larger than what may be read.
    pub too_large: Vec<String>,
}

/// A dataset of the source with its copy.
struct Both<'t> {
    here: &'t DatasetState,
    there: Option<&'t DatasetState>,
    target: String,
    /// The newest snapshot that both have, as each has it.
    common: Option<(Snapshot, Snapshot)>,
}

/// Verifies a target. `tell` is called before each dataset is read.
///
/// # Errors
/// When a side cannot be looked at. What could not be read of a dataset is in what is given back.
pub fn target(
    (job, target): (&Job, &Target),
    connect: &dyn Connect,
    memory: &Verified,
    asked: Asked,
    now: i64,
    tell: &mut dyn FnMut(&str),
    cancel: &Cancel,
) -> Result<Looked, JobError> {
    let mut from = connect.host(&job.link, &job.source)?;
    let mut to = connect.host(&target.link, &target.endpoint)?;
    let depth = if job.options.recursive { Depth::All } else { Depth::One };
    let here = match from.inventory(&job.source.dataset, depth).map_err(RunError::from)? {
        Inventory::Present(tree) => tree,
        Inventory::Absent { .. } => {
            let (host, dataset) = (from.label().to_string(), job.source.dataset.clone());
            return Err(RunError::NoSource { host, dataset }.into());
        }
    };
    let there = to.inventory(&target.endpoint.dataset, depth).map_err(RunError::from)?;
    let compared = compare::compare(&here, &there, &target.endpoint.dataset, job.options.recursive);
    let selected =
        |pair: &&compare::Pair| job.options.datasets.select_dataset(&pair.source, &job.source.dataset);
    let both: Vec<Both<'_>> = compared
        .pairs
        .iter()
        .filter(selected)
        .filter_map(|pair| {
            let there = match &there {
                Inventory::Present(tree) => tree.get(&pair.target),
                Inventory::Absent { .. } => None,
            };
            let (target, common) = (pair.target.to_string(), pair.common.last().cloned());
            Some(Both { here: here.get(&pair.source)?, there, target, common })
        })
        .collect();
    let to_name = target.endpoint.to_string();
    let old =
        |both: &Both<'_>| memory.of(&job.name, &to_name).find(|one| one.source == both.here.name.as_str());
    let candidates: Vec<Candidate> = both
        .iter()
        .map(|both| Candidate {
            // What cannot be read costs nothing, and is told in any case.
            bytes: both.common.as_ref().map_or(0, |_| both.here.referenced),
            volume: both.here.kind == DatasetKind::Volume,
            last: old(both).map(|one| one.at),
            share: old(both).and_then(|one| one.share),
        })
        .collect();
    let chosen = choose::choose(&candidates, asked.bytes);
    let near = target.endpoint.machine.is_none();
    let mut looked = Looked::default();
    looked.too_large.extend(chosen.too_large.iter().map(|at| both[*at].here.name.to_string()));
    for (at, share) in chosen.read {
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let one = &both[at];
        tell(&format!("{} and {}", one.here.name, one.target));
        let mut checked = Checked {
            job: job.name.clone(),
            to: to_name.clone(),
            source: one.here.name.to_string(),
            target: one.target.clone(),
            at: now,
            snapshot: one.common.as_ref().map(|(mine, _)| mine.name.short().to_string()),
            share: Some((share.part(), share.of())),
            compared: 0,
            differences: 0,
            first: Vec::new(),
            failed: None,
            drill: None,
        };
        let how = How { share, drill: asked.drill && near, now };
        if let Err(error) = one_dataset(one, (from.as_mut(), to.as_mut()), how, &mut checked) {
            if error.is_cancelled() {
                return Err(RunError::from(error).into());
            }
            checked.failed = Some(error.to_string());
        }
        looked.checked.push(checked);
    }
    Ok(looked)
}

#[derive(Clone, Copy)]
struct How {
    share: Share,
    drill: bool,
    now: i64,
}

fn one_dataset(
    both: &Both<'_>,
    (from, to): (&mut dyn Host, &mut dyn Host),
    how: How,
    checked: &mut Checked,
) -> Result<(), HostError> {
    let (Some(there), Some((mine, theirs))) = (both.there, &both.common) else {
        let what =
            if both.there.is_none() { "it does not exist there" } else { "they have no snapshot in common" };
        checked.failed = Some(what.to_string());
        return Ok(());
    };
    let one = read(from, mine, both.here.kind, how.share)?;
    let other = read(to, theirs, there.kind, how.share)?;
    let differences = content::differences(&one, &other);
    checked.compared = one.len() as u64;
    checked.differences = differences.len() as u64;
    checked.first = differences.iter().take(TOLD).map(|one| format!("{}: {}", one.what, one.how)).collect();
    if how.drill && there.kind == DatasetKind::Filesystem {
        let drilled = drill::drill(to, theirs, how.now, &mut |clone, snapshot| {
            gathered(DatasetKind::Filesystem, &mut |take| {
                walk::files_of_clone(clone, snapshot, how.share, take)
            })
        });
        checked.drill = Some(match drilled {
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => Drill::Failed(error.to_string()),
            Ok(restored) => match content::differences(&one, &restored).len() {
                0 => Drill::Good,
                count => Drill::Differs(count as u64),
            },
        });
    }
    Ok(())
}

fn read(
    host: &mut dyn Host,
    snapshot: &Snapshot,
    kind: DatasetKind,
    share: Share,
) -> Result<Content, HostError> {
    gathered(kind, &mut |take| host.read_share(&snapshot.name, kind, share, take))
}

fn gathered(
    kind: DatasetKind,
    read: &mut dyn FnMut(&mut content::Take<'_>) -> Result<(), HostError>,
) -> Result<Content, HostError> {
    let mut all = Gathered::new(kind);
    let bad = |why: String| HostError::BadAnswer { host: "what was read".to_string(), operation: READ, why };
    read(&mut |piece| all.add(piece).map_err(bad))?;
    all.finish().map_err(bad)
}
