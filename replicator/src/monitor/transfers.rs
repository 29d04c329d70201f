//! What runs are sending just now: each writes it into a file of its own beside the locks, which it holds locked for as long
//! as it lives. A file that nobody holds is that of a run that was cut off, and says nothing. Nothing depends on these files:
//! a run that cannot write its own goes on without.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use serde::Deserialize;
use serde::Serialize;

/// How often a file is written at most.
const EVERY: Duration = Duration::from_secs(2);

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The most transfers that are told of one run.
const TOLD: usize = 100;

/// The most files that are looked at.
const FILES: usize = 1000;

/// One stream on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Of what: `JOB to TARGET`.
    pub title: String,
    /// The dataset that is sent.
    pub dataset: String,
    /// The snapshot, behind the `@`.
    pub snapshot: String,
    /// Bytes that the receiver has taken.
    pub bytes: u64,
    /// Bytes in all, as ZFS estimates.
    pub total: Option<u64>,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// When the receiver last took something.
    pub moved: i64,
}

/// A run that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub process: u32,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// What it is doing: `snapshot`, `replicate`, `prune`, `check`.
    pub phase: String,
    /// What it sends.
    pub transfers: Vec<Transfer>,
}

impl Transfer {
    /// Bytes a second since it began; none before anything has moved.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        let seconds = u64::try_from(self.moved.saturating_sub(self.started)).ok()?;
        self.bytes.checked_div(seconds).filter(|rate| *rate > 0)
    }

    /// In how many seconds it will have ended if it goes on as it does.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.total?.checked_sub(self.bytes)?;
        Some(left.div_ceil(self.rate()?))
    }
}

/// Where a run tells what it does.
#[derive(Debug)]
pub struct Board {
    file: File,
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    running: Running,
    /// By title and place in the plan.
    transfers: BTreeMap<(String, Option<usize>), Transfer>,
    written: Option<Instant>,
}

impl Board {
    /// Makes the file of this process in a folder, and removes those that runs before have left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path, now: i64) -> io::Result<Self> {
        for path in files(folder)? {
            if let Ok(file) = File::open(&path)
                && is_left(&file)
            {
                // Whoever else removes it is as right.
                let _ = std::fs::remove_file(&path);
            }
        }
        let process = std::process::id();
        let path = folder.join(format!("{PREFIX}{process}.json"));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?);
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let running = Running { process, started: now, phase: String::new(), transfers: Vec::new() };
        let inner = Mutex::new(Inner { running, transfers: BTreeMap::new(), written: None });
        Ok(Self { file, path, inner })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A phase begins.
    pub fn phase(&self, word: &str) {
        let mut inner = self.inner();
        inner.running.phase = word.to_string();
        self.write(&mut inner);
    }

    /// A stream begins at a place of a plan; an earlier one there has ended.
    pub fn begins(&self, place: Option<usize>, transfer: Transfer) {
        let mut inner = self.inner();
        inner.transfers.insert((transfer.title.clone(), place), transfer);
        self.write(&mut inner);
    }

    /// So many bytes more were taken.
    pub fn moves(&self, title: &str, place: Option<usize>, bytes: u64, now: i64) {
        let mut inner = self.inner();
        if let Some(transfer) = inner.transfers.get_mut(&(title.to_string(), place)) {
            transfer.bytes = transfer.bytes.saturating_add(bytes);
            transfer.moved = now;
        }
        if inner.written.is_none_or(|written| written.elapsed() >= EVERY) {
            self.write(&mut inner);
        }
    }

    /// A stream has ended.
    pub fn ends(&self, title: &str, place: Option<usize>) {
        let mut inner = self.inner();
        if inner.transfers.remove(&(title.to_string(), place)).is_some() {
            self.write(&mut inner);
        }
    }

    /// All streams of a job have ended, however they did.
    pub fn is_over(&self, title: &str) {
        let mut inner = self.inner();
        inner.transfers.retain(|(of, _), _| of != title);
        self.write(&mut inner);
    }

    /// What cannot be written is not shown, and that is all.
    fn write(&self, inner: &mut Inner) {
        inner.running.transfers = inner.transfers.values().take(TOLD).cloned().collect();
        inner.written = Some(Instant::now());
        let Ok(text) = serde_json::to_vec(&inner.running) else { return };
        let written = self.file.write_all_at(&text, 0);
        let _ = written.and_then(|()| self.file.set_len(text.len() as u64));
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

const PREFIX: &str = "sending-";

/// The files of runs in a folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let of_process = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".json"));
        if of_process.is_some_and(|process| process.parse::<u32>().is_ok()) && found.len() < FILES {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Nobody holds it any more.
fn is_left(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}

/// The runs that are going on, in a folder.
///
/// # Errors
/// When the folder, or the file of a run that lives, cannot be read.
pub fn running(folder: &Path) -> io::Result<Vec<Running>> {
    let mut all = Vec::new();
    for path in files(folder)? {
        let file = match File::open(&path) {
            // It has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        if !is_left(&file) {
            all.extend(read(&file)?);
        }
    }
    all.sort_by_key(|one: &Running| one.started);
    Ok(all)
}

/// Reads a file that is being written, which may be half of one and half of another. None where it says nothing yet.
fn read(file: &File) -> io::Result<Option<Running>> {
    let mut last = None;
    for _ in 0..5 {
        let length = file.metadata()?.len().min(LONGEST);
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut text, 0).or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(()),
            _ => Err(error),
        })?;
        if text.is_empty() {
            return Ok(None);
        }
        // What is behind the first value is the end of a longer one.
        match serde_json::Deserializer::from_slice(&text).into_iter::<Running>().next() {
            Some(Ok(running)) => return Ok(Some(running)),
            Some(Err(error)) => last = Some(error),
            None => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(last.map_or_else(|| io::ErrorKind::InvalidData.into(), Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(dataset: &str) -> Transfer {
        Transfer {
            title: "data to nas".to_string(),
            dataset: dataset.to_string(),
            snapshot: "s".to_string(),
            bytes: 0,
            total: Some(1000),
            started: 100,
            moved: 100,
        }
    }

    #[test]
    fn what_a_run_sends_is_seen_as_long_as_it_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        assert_eq!(running(&path.join("none")).expect("nothing is nothing"), []);
        // What a run that was cut off has left, and what is somebody else's.
        std::fs::write(path.join("sending-1.json"), "{}").expect("written");
        std::fs::write(path.join("notes.json"), "x").expect("written");
        let board = Board::open(path, 90).expect("made");
        assert!(!path.join("sending-1.json").exists() && path.join("notes.json").exists());
        assert_eq!(running(path).expect("read"), [], "it has said nothing yet");
        board.phase("replicate");
        board.begins(Some(0), transfer("tank/a"));
        board.begins(Some(1), Transfer { total: None, ..transfer("tank/b") });
        board.moves("data to nas", Some(0), 400, 104);
        // The next thing that is told brings what was moved with it.
        board.ends("data to nas", Some(1));
        let seen = running(path).expect("read");
        assert_eq!(
            (seen.len(), seen[0].process, seen[0].phase.as_str()),
            (1, std::process::id(), "replicate")
        );
        assert_eq!(seen[0].transfers, [Transfer { bytes: 400, moved: 104, ..transfer("tank/a") }]);
        board.is_over("data to nas");
        assert_eq!(running(path).expect("read")[0].transfers, []);
        drop(board);
        assert_eq!(running(path).expect("read"), []);
    }

    #[test]
    fn a_rate_and_the_time_left_are_told_only_where_they_are_known() {
        let mut one = transfer("tank/a");
        assert_eq!((one.rate(), one.seconds_left()), (None, None));
        (one.bytes, one.moved) = (400, 104);
        assert_eq!((one.rate(), one.seconds_left()), (Some(100), Some(6)));
        // An estimate that was too low, a clock that went back.
        one.bytes = 1001;
        assert_eq!(one.seconds_left(), None);
        one.moved = 10;
        assert_eq!(one.rate(), None);
        assert_eq!(Transfer { total: None, ..one }.seconds_left(), None);
    }

    #[test]
    fn a_file_that_is_being_written_is_read_up_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let running = Running { process: 7, started: 1, phase: "prune".to_string(), transfers: Vec::new() };
        let text = serde_json::to_string(&running).expect("JSON");
        let path = folder.path().join("one");
        std::fs::write(&path, format!("{text}oking\"}}]}}")).expect("written");
        assert_eq!(read(&File::open(&path).expect("open")).expect("read"), Some(running));
        std::fs::write(&path, "{\"process\":").expect("written");
        assert!(read(&File::open(&path).expect("open")).is_err());
    }
}
