//! The files that locks are: where they are, what they are called, and what stands in them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest;
use sha2::Sha256;
use zfs_core::name::DatasetName;

use super::LockError;

/// The most that is read from a lock file.
const CONTENT_BYTES: u64 = 256;

/// How long another process may be about to take or to leave its locks, which is a matter of a few system calls.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What one file stands for.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// A dataset alone.
    Alone,
    /// A dataset and everything below it: held alone by who changes which datasets there are.
    Tree,
    /// The same: which sender has it.
    Owner,
    /// How many runs came into a tree in which another one was at work.
    Visits,
    /// Shared by who receives into a dataset or below it, held alone by who promotes it.
    Gate,
    /// Held by who waits to hold the gate alone.
    Want,
}

/// Locks are taken and left by one process at a time. Held only for that moment.
pub(super) fn turn(folder: &Path) -> Result<File, LockError> {
    let path = folder.join("turn.lock");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock_file(&path, FlockOperation::NonBlockingLockExclusive)? {
            Ok(file) => return Ok(file),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Err(process) => {
                let who = process.map_or_else(String::new, |process| format!(" {process}"));
                let cause = format!("process{who} has it for more than {} s", PATIENCE.as_secs());
                return Err(LockError::File { path, cause });
            }
        }
    }
}

pub(super) fn failed(path: &Path) -> impl Fn(std::io::Error) -> LockError + '_ {
    |error| LockError::File { path: path.to_path_buf(), cause: error.to_string() }
}

pub(super) fn open(path: &Path) -> Result<File, LockError> {
    // NOFOLLOW: where others may write to the folder, a link must not lead us to another file.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    fd.map(File::from).map_err(|errno| failed(path)(errno.into()))
}

/// Locks an open file; false when another process has it.
pub(super) fn lock(file: &File, path: &Path, how: FlockOperation) -> Result<bool, LockError> {
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(failed(path)(errno.into())),
    }
}

/// Opens and locks a file; or the process that has it, where it says so.
pub(super) fn lock_file(path: &Path, how: FlockOperation) -> Result<Result<File, Option<u32>>, LockError> {
    let file = open(path)?;
    if !lock(&file, path, how)? {
        return Ok(Err(holder(&file)));
    }
    // Of a file that several hold, the last one stands in it.
    write(&file, path, &format!("{}\n", std::process::id()))?;
    Ok(Ok(file))
}

pub(super) fn write(file: &File, path: &Path, content: &str) -> Result<(), LockError> {
    file.set_len(0).and_then(|()| file.write_all_at(content.as_bytes(), 0)).map_err(failed(path))
}

/// What stands in a file; nothing where that is no text.
pub(super) fn read(mut file: &File) -> String {
    let mut text = String::new();
    let start = std::io::Seek::rewind(&mut file);
    let read = start.and_then(|()| file.take(CONTENT_BYTES).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

/// The process that has the lock. It may be about to write that, so that there is none for a moment.
pub(super) fn holder(file: &File) -> Option<u32> {
    read(file).split_whitespace().next()?.parse().ok()
}

/// The file of the visits to a tree; nothing where `path` is not that of a tree.
pub(super) fn visits_of(path: &Path) -> Option<PathBuf> {
    let rest = path.file_name()?.to_str()?.strip_prefix("tree-")?;
    Some(path.with_file_name(format!("visits-{rest}")))
}

/// What sets the runs of this user of this machine apart from those of others, until the machine starts anew. To be
/// called in [`turn`].
pub(super) fn own_id(folder: &Path) -> Result<String, LockError> {
    let path = folder.join("id");
    let file = open(&path)?;
    let known = read(&file);
    let known = known.trim();
    if known.len() == ID_BYTES * 2 {
        return Ok(known.to_string());
    }
    let id = random_id()?;
    write(&file, &path, &id)?;
    Ok(id)
}

/// A name that nothing else has.
pub(super) fn random_id() -> Result<String, LockError> {
    let source = Path::new("/dev/urandom");
    let mut random = [0; ID_BYTES];
    let filled = File::open(source).and_then(|mut source| source.read_exact(&mut random));
    filled.map_err(failed(source))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

const ID_BYTES: usize = 16;

/// The first of these that can be had. The same for each run of a user, in a login session or not, wherever there is a
/// `/run/lock` that all may use.
///
/// No folder is shared between users: whoever may open a lock can hold it for ever, and any user of the machine could keep
/// root from promoting it. So what another user receives no promotion sees, and an agent that is not root's lets nothing of
/// a pair in (`Permit::is_seen_by_root`).
pub(crate) fn folder() -> Result<PathBuf, LockError> {
    let user = rustix::process::geteuid();
    let name =
        if user.is_root() { "replicator".to_string() } else { format!("replicator-{}", user.as_raw()) };
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut tried = own_folder(&Path::new("/run/lock").join(&name));
    for parent in session.into_iter().chain([std::env::temp_dir()]) {
        tried = tried.or_else(|_| own_folder(&parent.join(&name)));
    }
    tried
}

/// Makes the folder, or checks that the one that is there is really a folder and ours.
pub(super) fn own_folder(folder: &Path) -> Result<PathBuf, LockError> {
    let failed = |cause: String| LockError::File { path: folder.to_path_buf(), cause };
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(std::io::Error::from(errno).to_string())),
    }
    let found = std::fs::symlink_metadata(folder).map_err(|error| failed(error.to_string()))?;
    if !found.is_dir() {
        return Err(failed("it is not a folder".to_string()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(failed("it belongs to somebody else".to_string()));
    }
    Ok(folder.to_path_buf())
}

/// `tree-<hash of machine and dataset>.lock`.
pub(super) fn file_name(part: Part, machine: Option<&str>, dataset: &DatasetName) -> String {
    let mut hash = Sha256::new();
    // Neither holds a NUL, so no two pairs are the same text.
    hash.update(machine.unwrap_or_default().as_bytes());
    hash.update(b"\0");
    hash.update(dataset.as_str().as_bytes());
    let digest = hash.finalize();
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let part = match part {
        Part::Alone => "alone",
        Part::Tree => "tree",
        Part::Owner => "owner",
        Part::Visits => "visits",
        Part::Gate => "gate",
        Part::Want => "want",
    };
    format!("{part}-{hex}.lock")
}
