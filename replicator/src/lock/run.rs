//! Locks of runs into a dataset or a tree. There are three kinds of them:
//!
//! * Which datasets there are is changed by one run at a time: it has the **tree** from its root on alone while it looks,
//!   plans, and makes or renames datasets. Then it shares the tree with others, and is one of them.
//! * Into each **dataset** one run at a time sends: a run that comes into a tree on which another one is at work passes
//!   over those datasets only that this one is sending just now.
//! * An agent keeps the runs of one **sender** apart from those of other machines, and leaves it to the sender to keep its
//!   own ones in order.
//!
//! A lock of a dataset takes a share of each tree that it lies in, so that runs into trees above and below meet, and
//! whoever is at work in one above looks again.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rustix::fs::FlockOperation;
use zfs_core::name::DatasetName;

use super::LockError;
use super::files;
use super::files::Part;
use super::files::file_name;
use super::files::folder;
use super::files::lock_file;
use super::files::turn;
use crate::host::Depth;

use FlockOperation::NonBlockingLockExclusive as Exclusive;
use FlockOperation::NonBlockingLockShared as Shared;

/// The lock of a run, released when this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    held: Locks,
    machine: Option<String>,
    root: DatasetName,
    depth: Depth,
    /// The place of the root's tree in what is held; none for the lock of an agent.
    tree: Option<usize>,
    visiting: bool,
    /// How many visits there were when it was taken.
    visits: u64,
    party: String,
    alone: AtomicBool,
}

/// The lock of one dataset, for as long as it is worked on.
#[derive(Debug)]
pub struct DatasetLock {
    _held: Option<Locks>,
}

/// Files that are locked.
#[derive(Debug)]
pub(super) struct Locks {
    folder: PathBuf,
    held: Vec<(File, PathBuf)>,
    /// Where it is told who came into the tree; it goes with the tree's own file.
    visits: Option<PathBuf>,
}

/// What is known of the runs that are at work in a tree at the same time.
struct Visits {
    /// How many came while another one was there.
    count: u64,
    party: String,
}

impl Visits {
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (count, party) = text.trim_end().split_once(' ')?;
        Some(Self { count: count.parse().ok()?, party: party.to_string() })
    }

    fn write(&self, path: &Path) -> Result<(), LockError> {
        files::write(&files::open(path)?, path, &format!("{} {}\n", self.count, self.party))
    }
}

/// Stands for the owner where runs of several senders are below.
const SEVERAL: &str = "*";

/// The mark of an owner who has everything below, too.
const WHOLE: &str = "whole";

impl RunLock {
    /// Takes the lock of a dataset, alone or with everything below it. `machine` is how the machine was named; none
    /// is this one. Where other runs of this user are at work in the tree it is a visit: see [`Self::is_visit`].
    ///
    /// # Errors
    /// [`LockError::Busy`] at once when another process has the dataset, or changes which datasets there are, or sends
    /// here for another machine.
    pub fn take(machine: Option<&str>, root: &DatasetName, depth: Depth) -> Result<Self, LockError> {
        Self::take_in(folder()?, machine, root, depth)
    }

    pub(crate) fn take_in(
        folder: PathBuf,
        machine: Option<&str>,
        root: &DatasetName,
        depth: Depth,
    ) -> Result<Self, LockError> {
        let mut locks = Locks::new(folder);
        let _turn = turn(&locks.folder)?;
        let busy = |process| LockError::busy(machine, root, process);
        if machine.is_none() {
            let owner = files::own_id(&locks.folder)?;
            locks.owner(root, depth, &owner, &busy)?;
        }
        locks.above(machine, root, &busy)?;
        let tree = locks.held.len();
        let mut visiting = false;
        match depth {
            Depth::All => match locks.add(Part::Tree, machine, root, Exclusive)? {
                Ok(()) => {}
                Err(_) => {
                    locks.need(Part::Tree, machine, root, Shared, &busy)?;
                    visiting = true;
                }
            },
            Depth::One => {
                locks.need(Part::Tree, machine, root, Shared, &busy)?;
                locks.need(Part::Alone, machine, root, Exclusive, &busy)?;
            }
        }
        let mut party = files::random_id()?;
        if depth == Depth::All {
            let path = locks.folder.join(file_name(Part::Visits, machine, root));
            let known = if visiting { Visits::read(&path) } else { None };
            let visits = known.map(|known| Visits { count: known.count.saturating_add(1), ..known });
            let visits = visits.unwrap_or_else(|| Visits { count: 0, party: party.clone() });
            visits.write(&path)?;
            party = visits.party;
            locks.visits = Some(path);
        }
        // Whoever is at work in a tree above looks again before it begins with a dataset.
        let mut above = if depth == Depth::All { root.parent() } else { Some(root.clone()) };
        while let Some(dataset) = above {
            let path = locks.folder.join(file_name(Part::Visits, machine, &dataset));
            if let Some(visits) = Visits::read(&path) {
                Visits { count: visits.count.saturating_add(1), ..visits }.write(&path)?;
            }
            above = dataset.parent();
        }
        let (machine, root) = (machine.map(str::to_string), root.clone());
        let alone = AtomicBool::new(depth == Depth::All && !visiting);
        let visits = locks.visits();
        Ok(Self { held: locks, machine, root, depth, tree: Some(tree), visiting, visits, party, alone })
    }

    /// Takes the lock of an agent, for the runs of a sender that is told apart from others by `sender`.
    ///
    /// # Errors
    /// [`LockError::Busy`] at once when a run of this machine or of another sender has the dataset.
    pub fn of_sender(sender: &str, root: &DatasetName, depth: Depth) -> Result<Self, LockError> {
        Self::of_sender_in(folder()?, sender, root, depth)
    }

    pub(crate) fn of_sender_in(
        folder: PathBuf,
        sender: &str,
        root: &DatasetName,
        depth: Depth,
    ) -> Result<Self, LockError> {
        let mut locks = Locks::new(folder);
        let _turn = turn(&locks.folder)?;
        let busy = |process| LockError::busy(None, root, process);
        locks.owner(root, depth, sender, &busy)?;
        if depth == Depth::One {
            locks.need(Part::Alone, None, root, Exclusive, &busy)?;
        }
        let (root, alone) = (root.clone(), AtomicBool::new(false));
        let (visiting, visits, party) = (false, 0, sender.to_string());
        Ok(Self { held: locks, machine: None, root, depth, tree: None, visiting, visits, party, alone })
    }

    /// What this run has in common with those of this user that are at work in the same tree at the same time, and with
    /// no others: by this an agent tells them from what an earlier run may have left, and from other machines.
    #[must_use]
    pub fn party(&self) -> &str {
        &self.party
    }

    /// Whether other runs are at work in the tree. Then no dataset may be made above others, renamed or removed.
    #[must_use]
    pub fn is_visit(&self) -> bool {
        self.visiting
    }

    /// Lets others into the tree: from now on only datasets are worked on, each with its [`Self::dataset`].
    ///
    /// # Errors
    /// When the kernel cannot.
    pub fn share(&self) -> Result<(), LockError> {
        match self.tree.and_then(|at| self.held.held.get(at)) {
            Some((file, path)) if self.alone.swap(false, Ordering::Relaxed) => {
                files::lock(file, path, Shared).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes the tree back, to change which datasets there are; false where others are at work in it.
    ///
    /// # Errors
    /// When the files cannot be locked.
    pub fn alone(&self) -> Result<bool, LockError> {
        if self.alone.load(Ordering::Relaxed) || self.depth == Depth::One {
            return Ok(true);
        }
        let Some((file, path)) = self.tree.and_then(|at| self.held.held.get(at)) else { return Ok(false) };
        let _turn = turn(&self.held.folder)?;
        let alone = files::lock(file, path, Exclusive)?;
        if !alone {
            // A lock that cannot be changed is lost; in this turn nobody else takes it.
            files::lock(file, path, Shared)?;
        }
        self.alone.store(alone, Ordering::Relaxed);
        Ok(alone)
    }

    /// The lock of a dataset in the tree, to work on it.
    ///
    /// # Errors
    /// [`LockError::Busy`] at once when another run works on it.
    pub fn dataset(&self, dataset: &DatasetName) -> Result<DatasetLock, LockError> {
        if self.tree.is_none() || self.depth == Depth::One && *dataset == self.root {
            return Ok(DatasetLock { _held: None });
        }
        let machine = self.machine.as_deref();
        let busy = |process| LockError::busy(machine, dataset, process);
        let mut locks = Locks::new(self.held.folder.clone());
        let _turn = turn(&locks.folder)?;
        if *dataset != self.root {
            let mut next = Some(dataset.clone());
            while let Some(tree) = next.filter(|name| *name != self.root && name.is_within(&self.root)) {
                locks.need(Part::Tree, machine, &tree, Shared, &busy)?;
                next = tree.parent();
            }
        }
        locks.need(Part::Alone, machine, dataset, Exclusive, &busy)?;
        Ok(DatasetLock { _held: Some(locks) })
    }

    /// Whether others have been at work in the tree since this run began: they may have done what it planned.
    #[must_use]
    pub fn had_company(&self) -> bool {
        self.visiting || self.held.visits() > self.visits
    }
}

impl Locks {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, held: Vec::new(), visits: None }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn visits(&self) -> u64 {
        self.visits.as_deref().and_then(Visits::read).map_or(0, |visits| visits.count)
    }

    /// A share of all trees above.
    fn above(
        &mut self,
        machine: Option<&str>,
        root: &DatasetName,
        busy: &dyn Fn(Option<u32>) -> LockError,
    ) -> Result<(), LockError> {
        let mut above = root.parent();
        while let Some(dataset) = above {
            self.need(Part::Tree, machine, &dataset, Shared, busy)?;
            above = dataset.parent();
        }
        Ok(())
    }

    /// Sees that everything in which the run is belongs to its sender, or to nobody in particular.
    fn owner(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        owner: &str,
        busy: &dyn Fn(Option<u32>) -> LockError,
    ) -> Result<(), LockError> {
        let mut next = Some((root.clone(), depth == Depth::All));
        while let Some((dataset, whole)) = next {
            let path = self.folder.join(file_name(Part::Owner, None, &dataset));
            let file = files::open(&path)?;
            let fresh = files::lock(&file, &path, Exclusive)?;
            let mut known = (owner.to_string(), whole);
            if !files::lock(&file, &path, Shared)? {
                return Err(busy(files::holder(&file)));
            }
            if !fresh {
                let text = files::read(&file);
                let mut words = text.split_whitespace().skip(1);
                let (other, held) = (words.next().unwrap_or(SEVERAL), words.next() == Some(WHOLE));
                if other != owner {
                    if whole || held {
                        return Err(busy(files::holder(&file)));
                    }
                    known.0 = SEVERAL.to_string();
                }
                known.1 = whole || held;
            }
            let part = if known.1 { WHOLE } else { "" };
            files::write(&file, &path, &format!("{} {} {part}\n", std::process::id(), known.0))?;
            self.held.push((file, path));
            next = dataset.parent().map(|parent| (parent, false));
        }
        Ok(())
    }

    pub(super) fn need(
        &mut self,
        part: Part,
        machine: Option<&str>,
        dataset: &DatasetName,
        how: FlockOperation,
        busy: &dyn Fn(Option<u32>) -> LockError,
    ) -> Result<(), LockError> {
        self.add(part, machine, dataset, how)?.map_err(busy)
    }

    /// One more file; or the process that has it.
    pub(super) fn add(
        &mut self,
        part: Part,
        machine: Option<&str>,
        dataset: &DatasetName,
        how: FlockOperation,
    ) -> Result<Result<(), Option<u32>>, LockError> {
        let path = self.folder.join(file_name(part, machine, dataset));
        Ok(lock_file(&path, how)?.map(|file| self.held.push((file, path))))
    }
}

impl Drop for Locks {
    /// Removes the files that nobody else holds, and releases all.
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        // Only in a turn, or a file could go that somebody has opened and is about to lock. One that stays does no harm:
        // the next run takes it.
        let Ok(_turn) = turn(&self.folder) else { return };
        for (file, path) in self.held.drain(..).rev() {
            if files::lock(&file, &path, Exclusive).unwrap_or(false) {
                let _ = std::fs::remove_file(&path);
                if let Some(visits) = files::visits_of(&path) {
                    let _ = std::fs::remove_file(visits);
                }
            }
        }
    }
}
