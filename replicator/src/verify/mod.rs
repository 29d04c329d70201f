//! Whether copies are good: of each target some datasets are read on both sides, in turns ([`choose`]), in the newest snapshot
//! that both have, and compared file by file; and where the target is on this machine a clone of its snapshot is restored,
//! read and removed ([`drill`]). What came of it is remembered in the state folder ([`memory`]).

use std::collections::HashMap;
use std::collections::HashSet;

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
use choose::Chosen;
use memory::Checked;
use memory::Drill;
use memory::Overview;
use memory::TooLarge;
use memory::Verified;
use memory::Waiting;

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
    /// What there is, and what was left out.
    pub overview: Overview,
    /// All datasets of the source that are replicated there.
    pub sources: Vec<String>,
}

/// A dataset of the source with its copy.
struct Both<'t> {
    here: &'t DatasetState,
    there: Option<&'t DatasetState>,
    target: String,
    /// The newest snapshot that both have, as each has it.
    common: Option<(Snapshot, Snapshot)>,
}

/// What keeps a dataset from being read until somebody changes it.
struct Bar {
    why: String,
    way_out: String,
}

impl Both<'_> {
    /// A key that is not loaded. What has nothing to be read needs none.
    fn locked(&self, (here, there): (&str, &str)) -> Option<Bar> {
        self.common.as_ref()?;
        locked(self.there?, there).or_else(|| locked(self.here, here))
    }
}

fn locked(state: &DatasetState, host: &str) -> Option<Bar> {
    let root = &state.encryption.as_ref().filter(|encryption| !encryption.key_loaded)?.root;
    let why = format!("the key of {root} is not loaded on {host}");
    Some(Bar { why, way_out: format!("load it there with `zfs load-key {root}`") })
}

/// What is in the way where a machine does not allow it, or cannot do it for who comes in. The words are the same for each of
/// its datasets.
fn barred(error: &HostError) -> Option<Bar> {
    let denied = |message: &str| {
        let message = message.to_ascii_lowercase();
        ["superuser", "permission denied", "not permitted"].iter().any(|word| message.contains(word))
    };
    let no_mount = |host: &str| format!("{host} does not mount snapshots for who comes in there");
    let (why, way_out) = match error {
        HostError::Refused { host, .. } => {
            let agent = "an agent that comes in as root and was started with `--allow read`";
            let place = format!("`command=` in ~/.ssh/authorized_keys on {host}");
            (error.to_string(), format!("reading takes {agent}: {place}"))
        }
        HostError::Cannot { .. } => (error.to_string(), error.hint()?),
        HostError::Agent { host, message, hint, .. } if message.starts_with("cannot mount ") => {
            (no_mount(host), format!("there: {}", hint.clone()?))
        }
        HostError::Remote { host, operation: READ, message, .. } if denied(message) => {
            (no_mount(host), error.hint()?)
        }
        HostError::Walk(walk::WalkError::Mount { cause, .. })
            if cause.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            ("snapshots cannot be mounted on this machine".to_string(), error.hint()?)
        }
        _ => return None,
    };
    Some(Bar { why, way_out })
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
    let known: HashMap<&str, &Checked> =
        memory.of(&job.name, &to_name).map(|one| (one.source.as_str(), one)).collect();
    let mut bars: Vec<Option<Bar>> = both.iter().map(|one| one.locked((from.label(), to.label()))).collect();
    let candidate = |(one, bar): (&Both<'_>, &Option<Bar>)| {
        let old = known.get(one.here.name.as_str());
        Candidate {
            // What cannot be read costs nothing, and is told in any case.
            bytes: if one.common.is_none() || bar.is_some() { 0 } else { one.here.referenced },
            volume: one.here.kind == DatasetKind::Volume,
            last: old.map(|old| old.at),
            share: old.and_then(|old| old.share),
            again: old.is_some_and(|old| old.differs() || old.failed.is_some()),
        }
    };
    let candidates: Vec<Candidate> = both.iter().zip(&bars).map(candidate).collect();
    let chosen = choose::choose(&candidates, asked.bytes);
    let near = target.endpoint.machine.is_none();
    let before = memory.overview(&job.name, &to_name);
    let mut looked = Looked {
        checked: Vec::new(),
        overview: Overview {
            job: job.name.clone(),
            to: to_name.clone(),
            at: now,
            bytes: asked.bytes,
            ..overview(&both, &candidates, &chosen, before, now)
        },
        sources: both.iter().map(|one| one.here.name.to_string()).collect(),
    };
    for (at, share) in chosen.read {
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let one = &both[at];
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
            closed: None,
            drill: None,
        };
        if let Some(Bar { why, way_out }) = bars[at].take() {
            (checked.failed, checked.closed) = (Some(why), Some(way_out));
            looked.checked.push(checked);
            continue;
        }
        tell(&format!("{} and {}", one.here.name, one.target));
        let how = How { share, drill: asked.drill && near, source_first: job.source.machine.is_some(), now };
        if let Err(error) = one_dataset(one, (from.as_mut(), to.as_mut()), how, &mut checked) {
            if error.is_cancelled() {
                return Err(RunError::from(error).into());
            }
            (checked.failed, checked.closed) = match barred(&error) {
                Some(Bar { why, way_out }) => (Some(why), Some(way_out)),
                None => (Some(error.to_string()), None),
            };
        }
        looked.checked.push(checked);
    }
    Ok(looked)
}

/// What there is at a target, what never came up, and since when that is known.
fn overview(
    both: &[Both<'_>],
    candidates: &[Candidate],
    chosen: &Chosen,
    before: Option<&Overview>,
    now: i64,
) -> Overview {
    let source = |at: usize| both[at].here.name.to_string();
    let waited: HashMap<&str, i64> =
        before.into_iter().flat_map(|all| &all.waiting).map(|one| (one.source.as_str(), one.since)).collect();
    let had_its_turn: HashSet<usize> =
        chosen.read.iter().map(|(at, _)| *at).chain(chosen.too_large.iter().copied()).collect();
    let never = |at: &usize| candidates[*at].last.is_none() && !had_its_turn.contains(at);
    let waiting = (0..both.len()).filter(never).map(|at| {
        let source = source(at);
        // A clock that was set back makes nobody wait from the future on.
        let since = waited.get(source.as_str()).map_or(now, |since| now.min(*since));
        Waiting { source, since }
    });
    let too_large = chosen.too_large.iter();
    let too_large = too_large.map(|at| TooLarge { source: source(*at), bytes: candidates[*at].bytes });
    Overview {
        datasets: both.len() as u64,
        rounds: chosen.rounds,
        waiting: waiting.collect(),
        too_large: too_large.collect(),
        ..Overview::default()
    }
}

#[derive(Clone, Copy)]
struct How {
    share: Share,
    drill: bool,
    /// The source is on another machine.
    source_first: bool,
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
    // Another machine comes first: where it does not let itself be read, nothing was read in vain.
    let (one, other) = if how.source_first {
        let one = read(from, mine, both.here.kind, how.share)?;
        (one, read(to, theirs, there.kind, how.share)?)
    } else {
        let other = read(to, theirs, there.kind, how.share)?;
        (read(from, mine, both.here.kind, how.share)?, other)
    };
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
