//! Between who receives into a tree and who promotes it. A receive holds a [`Pass`]: a share of the gate of its dataset
//! and of each one above. Promotion closes the gates of its roots ([`Gate`]): it says that it wants to, which everybody
//! who has a pass looks for now and then, and waits until the last one has left. Whoever comes later is refused. All of
//! it are locks that the kernel releases when a process ends, so that no crash leaves a gate closed.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use zfs_core::name::DatasetName;

use super::LockError;
use super::files::Part;
use super::files::failed;
use super::files::file_name;
use super::files::folder;
use super::files::turn;
use super::run::Locks;

use FlockOperation::NonBlockingLockExclusive as Exclusive;
use FlockOperation::NonBlockingLockShared as Shared;

/// Between two looks whether the last pass was given back.
const LOOK: Duration = Duration::from_millis(50);

/// Leave to receive into datasets of this machine or to change them, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    _held: Locks,
    wanted: Vec<PathBuf>,
}

impl Pass {
    /// Takes a share of the gates of these datasets and of all above them.
    ///
    /// # Errors
    /// [`LockError::Closed`] when one of them is being promoted or given away.
    pub fn take(datasets: &[DatasetName]) -> Result<Self, LockError> {
        Self::take_in(folder()?, datasets)
    }

    pub(crate) fn take_in(folder: PathBuf, datasets: &[DatasetName]) -> Result<Self, LockError> {
        let mut all = BTreeSet::new();
        for dataset in datasets {
            let mut next = Some(dataset.clone());
            while let Some(dataset) = next.filter(|dataset| !all.contains(dataset)) {
                next = dataset.parent();
                all.insert(dataset);
            }
        }
        let mut held = Locks::new(folder);
        let mut wanted = Vec::new();
        let _turn = turn(held.folder())?;
        for dataset in &all {
            let closed = |process| LockError::Closed { dataset: dataset.to_string(), process };
            let want = held.folder().join(file_name(Part::Want, None, dataset));
            if is_locked(&want)? {
                return Err(closed(None));
            }
            wanted.push(want);
            held.need(Part::Gate, None, dataset, Shared, &closed)?;
        }
        Ok(Self { _held: held, wanted })
    }

    /// Whether somebody waits for this pass to be given back.
    ///
    /// # Errors
    /// When the files of the locks cannot be looked at. Then nobody knows.
    pub fn is_wanted(&self) -> Result<bool, LockError> {
        for want in &self.wanted {
            if is_locked(want)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether somebody has the lock of a file. One that does not exist nobody has.
fn is_locked(path: &Path) -> Result<bool, LockError> {
    let file = match rustix::fs::open(path, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(failed(path)(errno.into())),
    };
    match rustix::fs::flock(&file, Shared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(failed(path)(errno.into())),
    }
}

/// Closed gates: nobody receives into these roots or below them until this value is dropped.
#[derive(Debug)]
pub struct Gate {
    _held: Locks,
}

impl Gate {
    /// Closes the gates of these roots, and waits for those who have a pass.
    ///
    /// # Errors
    /// [`LockError::Busy`] when somebody has one still after `patience`.
    pub fn close(roots: &[DatasetName], patience: Duration) -> Result<Self, LockError> {
        Self::close_in(folder()?, roots, patience)
    }

    pub(crate) fn close_in(
        folder: PathBuf,
        roots: &[DatasetName],
        patience: Duration,
    ) -> Result<Self, LockError> {
        let deadline = Instant::now() + patience;
        let mut held = Locks::new(folder);
        let all = [Part::Want, Part::Gate].map(|part| roots.iter().map(move |root| (part, root)));
        // First that it is wanted, of all of them.
        for (part, root) in all.into_iter().flatten() {
            loop {
                let turn = turn(held.folder())?;
                match held.add(part, None, root, Exclusive)? {
                    Ok(()) => break,
                    Err(process) if Instant::now() >= deadline => {
                        // What was taken so far is given back in a turn of its own.
                        drop(turn);
                        return Err(LockError::busy(None, root, process));
                    }
                    Err(_) => {}
                }
                drop(turn);
                std::thread::sleep(LOOK);
            }
        }
        Ok(Self { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;
    use crate::codes::Coded;
    use crate::lock::files::own_folder;

    fn names(names: &[&str]) -> Vec<DatasetName> {
        names.iter().map(|name| name.parse().expect("a name")).collect()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().expect("a folder");
        let inner = own_folder(&outer.path().join("locks")).expect("made");
        (outer, inner)
    }

    /// All files but the one that stays.
    fn left(folder: &Path) -> usize {
        let files =
            std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").file_name());
        files.filter(|name| name != "turn.lock").count()
    }

    #[test]
    fn a_pass_is_for_a_dataset_and_keeps_the_gates_above_open() {
        let (_outer, folder) = folder();
        for (into, root, meet) in [
            ("tank/a", "tank/a", true),
            ("tank/a/b/c", "tank/a", true),
            ("tank/a", "tank/a/b", false),
            ("tank/a", "tank/b", false),
            ("tank/ab", "tank/a", false),
            ("tank/a", "tank", true),
        ] {
            let pass = Pass::take_in(folder.clone(), &names(&[into])).expect("a pass");
            let closed = Gate::close_in(folder.clone(), &names(&[root]), Duration::ZERO);
            assert_eq!(closed.is_err(), meet, "{into} {root}");
            drop(pass);
            drop(closed);
            let gate = Gate::close_in(folder.clone(), &names(&[root]), Duration::ZERO).expect("closed");
            let pass = Pass::take_in(folder.clone(), &names(&[into]));
            let code = pass.as_ref().err().map(Coded::code);
            assert_eq!(code, meet.then_some(Code::Closed), "{into} {root}");
            drop(pass);
            drop(gate);
            assert_eq!(left(&folder), 0, "files are left");
        }
    }

    #[test]
    fn who_has_a_pass_learns_that_it_is_wanted_and_the_gate_closes_behind_it() {
        let (_outer, folder) = folder();
        let pass = Pass::take_in(folder.clone(), &names(&["tank/a/b", "tank/a/c"])).expect("a pass");
        let other = Pass::take_in(folder.clone(), &names(&["tank/x"])).expect("a pass");
        assert!(!pass.is_wanted().expect("known"));
        let (inner, root) = (folder.clone(), names(&["tank/a", "other"]));
        let closing = std::thread::spawn(move || Gate::close_in(inner, &root, Duration::from_secs(60)));
        while !pass.is_wanted().expect("known") {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!other.is_wanted().expect("known"), "it is in nobody's way");
        let late = Pass::take_in(folder.clone(), &names(&["tank/a/d"]));
        assert!(matches!(late, Err(LockError::Closed { .. })), "{late:?}");
        drop(pass);
        let gate = closing.join().expect("no panic").expect("closed");
        drop((gate, other));
        assert_eq!(left(&folder), 0, "files are left");
    }

    #[test]
    fn a_gate_that_cannot_be_closed_in_time_lets_everybody_in_again() {
        let (_outer, folder) = folder();
        let pass = Pass::take_in(folder.clone(), &names(&["tank/a"])).expect("a pass");
        let roots = names(&["tank/b", "tank/a"]);
        let closed = Gate::close_in(folder.clone(), &roots, Duration::from_millis(120));
        assert!(matches!(closed, Err(LockError::Busy { process: Some(_), .. })), "{closed:?}");
        assert!(!pass.is_wanted().expect("known"));
        drop(Pass::take_in(folder.clone(), &names(&["tank/b"])).expect("a pass"));
        // Two who promote the same wait for each other.
        drop(pass);
        let gate = Gate::close_in(folder.clone(), &roots, Duration::ZERO).expect("closed");
        assert!(Gate::close_in(folder.clone(), &roots, Duration::ZERO).is_err());
        drop(gate);
        assert_eq!(left(&folder), 0, "files are left");
    }
}
