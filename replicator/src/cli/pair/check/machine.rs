//! What only this machine can say of itself: its timers, its clock, its locks, the keys that get in, and what lies below
//! mountpoints.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::CWD;
use rustix::fs::Dir;
use rustix::fs::IFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use zfs_core::Zfs;

use crate::cancel::Cancel;
use crate::config::Config;
use crate::config::pair::Pair;
use crate::host::Base;
use crate::host::Host;
use crate::host::local::Local;
use crate::lock;
use crate::pair::check::copies::Sides;
use crate::pair::check::keys;
use crate::pair::check::machine::Directory;
use crate::pair::check::machine::Facts;
use crate::pair::check::machine::PROPERTIES;
use crate::pair::check::machine::TIMERS;
use crate::pair::check::machine::timers;
use crate::policy::Period;
use crate::role::ask;
use crate::role::ask::Answer;
use crate::role::ask::Question;
use crate::role::observation::Seen;
use crate::survey;
use crate::transport::quote::Elevate;

/// Everything of this machine. `hanging` says of a pool that it hangs.
pub(super) fn look(
    pair: &Pair,
    config: &Config,
    roots: &[Sides],
    hanging: Option<&String>,
    cancel: &Cancel,
) -> Facts {
    let timeout = pair.watch.timeout;
    let shown = ["show", PROPERTIES, TIMERS[0], TIMERS[1]];
    let timers = said("systemctl", &shown, timeout, cancel).map(|text| timers(&text));
    let kept = ["show", "--property=NTPSynchronized", "--value"];
    let synchronised = said("timedatectl", &kept, timeout, cancel).and_then(|text| match text.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("timedatectl does not tell".to_string()),
    });
    let goal = match hanging {
        Some(why) => Err(why.clone()),
        None => goal(pair, config),
    };
    Facts {
        timers: timers.into(),
        goal: goal.into(),
        synchronised: synchronised.into(),
        ahead: if hanging.is_some() { None } else { ahead(roots) },
        locks: lock::folder().map_err(|error| error.to_string()).into(),
        agent_user: pair.peer.machine.user.clone(),
        elevated: pair.peer.link.elevate != Elevate::No,
        directories: topmost(roots).into_iter().map(|place| (place.clone(), below(&place).into())).collect(),
    }
}

/// What a program says that ends well.
pub(super) fn said(
    program: &str,
    arguments: &[&str],
    timeout: Duration,
    cancel: &Cancel,
) -> Result<String, String> {
    let answer = ask::ask(&[Question { program: Path::new(program), arguments }], timeout, cancel).pop();
    let answer = answer.unwrap_or_else(|| Err("it was not asked".to_string()));
    let output = answer.and_then(Answer::good).map_err(|why| format!("{program}: {why}"))?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// How often the policies take snapshots of the datasets of a pair; none where they take none.
fn goal(pair: &Pair, config: &Config) -> Result<Option<u64>, String> {
    let zfs = Zfs::open().map_err(|error| error.to_string())?;
    let (known, troubles) = survey::datasets(&zfs, config).map_err(|error| error.to_string())?;
    if let Some(trouble) = troubles.first() {
        return Err(trouble.error.to_string());
    }
    let resolved = config.policies.resolve(&known);
    let ours =
        resolved.datasets.values().filter(|one| pair.roots.iter().any(|root| one.dataset.is_within(root)));
    let schedules = ours.filter(|one| one.policy.snapshot).map(|one| &one.policy.schedule);
    let every = schedules.flat_map(|schedule| {
        let taken = Period::ALL.into_iter().filter(|period| schedule.takes(*period));
        taken.map(|period| period.seconds(schedule.frequently.unwrap_or_default())).min()
    });
    Ok(every.min())
}

/// How many seconds after now the newest snapshot of the pair is dated here.
fn ahead(roots: &[Sides]) -> Option<i64> {
    let newest: Vec<_> = roots
        .iter()
        .filter_map(|root| root.here.as_ref().ok()?.root.tree.as_ref()?.root().snapshots.last())
        .map(|snapshot| Base::Snapshot(snapshot.name.clone(), snapshot.guid))
        .collect();
    let mut host = Local::new(Zfs::open().ok()?);
    let dates = host.creation(&newest).ok()?;
    let now = jiff::Timestamp::now().as_second();
    dates.into_iter().flatten().max().map(|date| date.saturating_sub(now))
}

/// The places of the pair that lie in none of its others.
fn topmost(roots: &[Sides]) -> BTreeSet<PathBuf> {
    let found = roots.iter().filter_map(|root| root.here.as_ref().ok());
    let all: BTreeSet<PathBuf> =
        found.filter_map(|found| found.root.places().ok()).flatten().map(|(_, place)| place).collect();
    let inner = |place: &PathBuf| all.iter().any(|other| place != other && place.starts_with(other));
    all.iter().filter(|place| !inner(place)).cloned().collect()
}

/// What lies at a mountpoint below whatever is mounted there: a view of what it is in, without any other mount.
fn below(place: &Path) -> Result<Directory, String> {
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
        return Err("it is no folder in another one".to_string());
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let view = match rustix::mount::open_tree(CWD, parent, flags) {
        Ok(view) => view,
        Err(Errno::NOENT) => return Ok(Directory::Absent),
        Err(errno) => return Err(std::io::Error::from(errno).to_string()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&view, name, flags, Mode::empty()) {
        Ok(folder) => of_directory(&folder).map_err(|errno| std::io::Error::from(errno).to_string()),
        Err(Errno::NOENT) => Ok(Directory::Absent),
        Err(errno) => Err(std::io::Error::from(errno).to_string()),
    }
}

fn of_directory(folder: &OwnedFd) -> rustix::io::Result<Directory> {
    let flags = rustix::fs::ioctl_getflags(folder);
    let immutable = flags.map(|flags| flags.contains(IFlags::IMMUTABLE));
    let immutable = immutable.map_err(|errno| std::io::Error::from(errno).to_string()).into();
    let mut filled = false;
    for entry in Dir::read_from(folder)? {
        filled |= !matches!(entry?.file_name().to_bytes(), b"." | b"..");
    }
    Ok(Directory::There { immutable, filled })
}

/// The keys that get in here, for the user that the pair is reached as: both nodes are mostly set up alike.
pub(super) fn keys(pair: &Pair, cancel: &Cancel) -> Seen<Vec<keys::Line>> {
    let user = pair.peer.machine.user.as_deref().unwrap_or("root");
    let folder = match home(user) {
        Ok(home) => home.join(".ssh"),
        Err(why) => return Seen::Unknown(why),
    };
    let files = ["authorized_keys", "authorized_keys2"].map(|name| folder.join(name));
    // On Proxmox VE they are links into a file system that may hang.
    let paths: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let read = ask::read(&paths, pair.watch.timeout, cancel);
    let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    if good.is_empty() {
        let why = bad.into_iter().find_map(Result::err);
        return Seen::Unknown(why.unwrap_or_else(|| "it was not read".to_string()));
    }
    let texts = good.into_iter().flatten();
    Seen::Known(texts.flat_map(|text| keys::parse(&String::from_utf8_lossy(&text))).collect())
}

/// Where a user of this machine is at home.
fn home(user: &str) -> Result<PathBuf, String> {
    let text = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    home_in(&text, user).ok_or_else(|| format!("/etc/passwd has no user {user}"))
}

fn home_in(passwd: &str, user: &str) -> Option<PathBuf> {
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|fields| fields.first() == Some(&user))?;
    entry.get(5).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_user_is_in_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbackup:x:34:34::/var/backups:/bin/sh\nodd\n";
        assert_eq!(home_in(passwd, "backup"), Some(PathBuf::from("/var/backups")));
        assert_eq!(home_in(passwd, "odd"), None);
        assert_eq!(home_in(passwd, "back"), None);
    }

    #[test]
    fn what_a_directory_holds_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::open(folder.path(), flags, Mode::empty()).expect("open");
        let filled = || match of_directory(&open()).expect("read") {
            Directory::There { filled, immutable } => {
                assert_ne!(immutable, Seen::Known(true));
                filled
            }
            Directory::Absent => panic!("it is there"),
        };
        assert!(!filled());
        std::fs::write(folder.path().join("file"), "x").expect("written");
        assert!(filled());
    }
}
