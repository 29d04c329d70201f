//! This machine: who its users are, what they may do, and the files that sshd reads. Everything is asked of the programs
//! whose business it is, without a shell, and each has a time to answer. Files are opened name by name below the user's
//! folder and no link is followed there, since the folder may be the user's and this is root.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Gid;
use rustix::process::Uid;

use super::Found;
use super::Guarded;
use super::Password;
use super::SetupError;
use super::Step;
use super::User;
use super::Wanted;
use super::key;
use super::key::BadKey;
use super::key::PublicKey;
use crate::cancel::Cancel;
use crate::host::Change;
use crate::host::Depth;
use crate::host::Host;
use crate::host::Inventory;
use crate::host::standing;
use crate::host::standing::Who;
use crate::role::ask::Question;
use crate::role::ask::ask;

/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest key file, and the largest authorized_keys.
const LARGEST: u64 = 1 << 20;

/// The public key in a file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read_key(path: &Path) -> Result<PublicKey, SetupError> {
    let bad = |error| SetupError::Key { path: path.to_path_buf(), error };
    let file = File::open(path).map_err(|error| bad(BadKey::Io(error.to_string())))?;
    let text = whole(file).map_err(|why| bad(BadKey::Io(why)))?;
    text.parse().map_err(bad)
}

/// Looks at everything that a receiver needs. Nothing is changed.
///
/// # Errors
/// When there is no such user, or something cannot be asked.
pub fn look(wanted: &Wanted, host: &mut dyn Host) -> Result<Found, SetupError> {
    let user = user(&wanted.user)?;
    let who = Who { uid: Some(user.uid), user: user.name.clone(), groups: user.groups.clone(), clock: None };
    let mut rights = BTreeMap::new();
    let mut version = None;
    for root in &wanted.roots {
        version = host.about(root.pool())?.version;
        if let Inventory::Present(_) = host.inventory(root, Depth::One)? {
            let text = run("zfs", &["allow", root.as_str()])?;
            rights.insert(root.clone(), standing::allowed(&text, root, &who));
        }
    }
    let mut guarded = Vec::new();
    let mut entries = Vec::new();
    if let Some(home) = open_home(&user.home)? {
        guarded.push(guard(&user.home, &home)?);
        let place = user.home.join(".ssh");
        if let Some(folder) = open_below(&home, ".ssh", OFlags::DIRECTORY, &place)? {
            guarded.push(guard(&place, &folder)?);
            let path = place.join("authorized_keys");
            if let Some(file) = open_below(&folder, "authorized_keys", OFlags::empty(), &path)? {
                guarded.push(guard(&path, &file)?);
                let text =
                    whole(File::from(file)).map_err(|why| failed(format!("read {}", path.display()), why))?;
                entries = key::entries(&text, &wanted.key);
            }
        }
    }
    Ok(Found { user, rights, entries, guarded, version })
}

/// Does one step.
///
/// # Errors
/// When it fails; the steps before it are done, and the same command does what is left.
pub fn carry_out(step: &Step, user: &User, host: &mut dyn Host) -> Result<(), SetupError> {
    match step {
        Step::NoPassword { user } => run("usermod", &["--password", "*", "--", user]).map(drop),
        Step::Create(dataset) => {
            let set = [("canmount", "off"), ("mountpoint", "none")];
            let set = set.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
            Ok(host.apply(&Change::CreateFilesystem { dataset: dataset.clone(), set })?)
        }
        Step::Allow { user, permissions, dataset } => {
            run("zfs", &["allow", "-u", user, &permissions.join(","), dataset.as_str()]).map(drop)
        }
        Step::Key { home, line } => add_line(home, line, user),
    }
}

/// Whether the user can use ZFS at all: lists its root as that user.
///
/// # Errors
/// In words, when it cannot.
pub fn try_as(wanted: &Wanted) -> Result<(), String> {
    let Some(root) = wanted.roots.first() else { return Ok(()) };
    let arguments = ["-u", &wanted.user, "--", &wanted.program, "list", root.as_str()];
    run("runuser", &arguments).map(drop).map_err(|error| error.to_string())
}

fn failed(what: impl Into<String>, why: impl std::fmt::Display) -> SetupError {
    SetupError::Failed { what: what.into(), why: why.to_string() }
}

/// Runs a program that has to succeed, and gives what it said.
fn run(program: &str, arguments: &[&str]) -> Result<String, SetupError> {
    let question = Question { program: Path::new(program), arguments };
    let answer = ask(&[question], PATIENCE, &Cancel::new()).pop();
    let said = answer
        .unwrap_or_else(|| Err("it was not started".to_string()))
        .and_then(crate::role::ask::Answer::good);
    let said = said.map_err(|why| failed(format!("run {program} {}", arguments.join(" ")), why))?;
    String::from_utf8(said).map_err(|_| failed(format!("run {program}"), "what it says is no text"))
}

/// A user by its name, as the machine knows it from wherever it has its users.
fn user(name: &str) -> Result<User, SetupError> {
    let Ok(line) = run("getent", &["passwd", name]) else {
        return Err(SetupError::NoUser(name.to_string()));
    };
    let groups = run("id", &["-Gn", "--", name])?;
    // Not every user has a line there, and only root may ask.
    let shadow = run("getent", &["shadow", name]).unwrap_or_default();
    let password = shadow.split(':').nth(1).map_or(Password::Fine, Password::of_shadow);
    parse_user(&line, &groups, password)
        .ok_or_else(|| failed(format!("ask for the user {name}"), format!("{line:?} is not understood")))
}

/// Reads a line of passwd(5).
pub(super) fn parse_user(line: &str, groups: &str, password: Password) -> Option<User> {
    let fields: Vec<_> = line.lines().next()?.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
    Some(User {
        name: name.to_string(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: PathBuf::from(home),
        // passwd(5): without one it is this.
        shell: if shell.is_empty() { "/bin/sh".to_string() } else { shell.to_string() },
        groups: groups.split_whitespace().map(str::to_string).collect(),
        password,
    })
}

fn whole(file: File) -> Result<String, String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST { Err(format!("it is larger than {LARGEST} bytes")) } else { Ok(text) }
}

/// The home folder; on the way to it links are the administrator's.
fn open_home(home: &Path) -> Result<Option<OwnedFd>, SetupError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(home, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(format!("open {}", home.display()), errno)),
    }
}

/// What is below a folder, and no link.
fn open_below(
    folder: &OwnedFd,
    name: &str,
    kind: OFlags,
    shown: &Path,
) -> Result<Option<OwnedFd>, SetupError> {
    // A pipe does not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | kind;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(SetupError::Unsafe {
            what: shown.display().to_string(),
            why: "it is a link, or not what it should be".to_string(),
        }),
        Err(errno) => Err(failed(format!("open {}", shown.display()), errno)),
    }
}

fn guard(path: &Path, open: &OwnedFd) -> Result<Guarded, SetupError> {
    let stat =
        rustix::fs::fstat(open).map_err(|errno| failed(format!("look at {}", path.display()), errno))?;
    Ok(Guarded { path: path.to_path_buf(), owner: stat.st_uid, mode: stat.st_mode & 0o7777 })
}

/// Writes authorized_keys anew with one more line, as a whole or not at all. Folder and file belong to whom the home
/// folder belongs: where that is root, the user cannot change what its own key may do.
pub(super) fn add_line(home: &Path, line: &str, user: &User) -> Result<(), SetupError> {
    let (place, path) = (home.join(".ssh"), home.join(".ssh/authorized_keys"));
    let what = || format!("write {}", path.display());
    let io = |error: std::io::Error| failed(what(), error);
    let at = |errno: Errno| failed(what(), errno);
    let top = open_home(home)?
        .ok_or_else(|| failed(what(), format!("the folder {} does not exist", home.display())))?;
    let of_root = guard(home, &top)?.owner == 0;
    let (owner, group) = if of_root { (0, 0) } else { (user.uid, user.gid) };
    let (for_folder, for_file) = if of_root { (0o755, 0o644) } else { (0o700, 0o600) };
    let owned = |fd: &OwnedFd, mode| {
        rustix::fs::fchown(fd, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
    };
    let folder = match open_below(&top, ".ssh", OFlags::DIRECTORY, &place)? {
        Some(folder) => folder,
        None => {
            rustix::fs::mkdirat(&top, ".ssh", Mode::RWXU).map_err(at)?;
            let made = open_below(&top, ".ssh", OFlags::DIRECTORY, &place)?;
            let made = made.ok_or_else(|| failed(what(), "its folder is gone again"))?;
            owned(&made, for_folder).map_err(at)?;
            made
        }
    };
    let before = open_below(&folder, "authorized_keys", OFlags::empty(), &path)?;
    let mut text = match before {
        Some(file) => whole(File::from(file)).map_err(|why| failed(what(), why))?,
        None => String::new(),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    // A name of its own, which nobody can have put a link under.
    let new = format!(".authorized_keys.{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, &new, flags, Mode::RUSR | Mode::WUSR).map_err(at)?;
    let written = owned(&file, for_file).map_err(std::io::Error::from).and_then(|()| {
        let mut file = File::from(file);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(rustix::fs::renameat(&folder, &new, &folder, "authorized_keys")?)
    });
    if written.is_err() {
        let _ = rustix::fs::unlinkat(folder.as_fd(), &new, AtFlags::empty());
    }
    written.map_err(io)
}
