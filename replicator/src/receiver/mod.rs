//! A user of this machine who may receive into some datasets and nothing else: which rights it needs, and what is written
//! to authorized_keys for the key that comes in as it. What there is, is looked at in `machine`; what has to be done follows
//! from that here, and is carried out there. Such a user may not throw away a receive that broke off: this machine does it
//! ([`partials`], [`clear`]).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use zfs_core::name::DatasetName;

use crate::check::Finding;
use crate::check::Section;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::HostError;
use crate::host::Version;

pub mod clear;
pub mod key;
pub mod machine;
pub mod partials;
#[cfg(test)]
mod tests;

use key::BadKey;
use key::Entry;
use key::PublicKey;

/// What a receiver needs beside the right to receive. `mount` is asked for by the kernel with every new dataset; nothing is
/// mounted by it.
const NEEDED: &[&str] = &["create", "mount", "bookmark", "readonly", "canmount"];

/// The right to receive, with which `zfs receive -F` also destroys snapshots that are newer (openzfs #16943), and since OpenZFS
/// 2.3.2 one that cannot do that.
const RECEIVE: &str = "receive";
const APPEND: &str = "receive:append";
const APPEND_SINCE: Version = Version { major: 2, minor: 3, patch: 2 };

/// What a receiver should not have: by these it could take something away, read it out, or have it mounted where it runs.
const TOO_MUCH: &[&str] = &[
    "allow",
    "change-key",
    "clone",
    "destroy",
    "devices",
    "diff",
    "exec",
    "mountpoint",
    "promote",
    "rename",
    "rollback",
    "send",
    "send:raw",
    "setuid",
    "share",
    "sharenfs",
    "sharesmb",
];

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The datasets that may be received into, with everything below them.
    pub roots: Vec<DatasetName>,
    /// The user.
    pub user: String,
    /// The key that comes in as this user.
    pub key: PublicKey,
    /// Where this program is.
    pub program: String,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// What sshd starts its commands with.
    pub shell: String,
    /// All of its groups.
    pub groups: Vec<String>,
    /// What stands in place of its password.
    pub password: Password,
}

/// What stands in place of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// One, or none that would fit: sshd lets keys in.
    Fine,
    /// None was ever set, and sshd without PAM takes that for a locked account.
    NeverSet,
    /// Somebody has locked it.
    Locked,
}

impl Password {
    /// Of the second field of shadow(5).
    #[must_use]
    pub fn of_shadow(field: &str) -> Self {
        match field {
            "!" | "!!" | "!*" => Self::NeverSet,
            locked if locked.starts_with('!') => Self::Locked,
            _ => Self::Fine,
        }
    }
}

/// A file or folder that sshd looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Where it is.
    pub path: PathBuf,
    /// Its owner.
    pub owner: u32,
    /// Its permissions.
    pub mode: u32,
}

/// What there is on this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// The user.
    pub user: User,
    /// The roots that exist, with the rights that the user has there.
    pub rights: BTreeMap<DatasetName, BTreeSet<String>>,
    /// What authorized_keys holds about the key.
    pub entries: Vec<Entry>,
    /// The home folder, the one for ssh and the file, as far as they exist.
    pub guarded: Vec<Guarded>,
    /// The version of OpenZFS.
    pub version: Option<Version>,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Gives the user a password that nothing fits, in place of none.
    NoPassword {
        /// The user.
        user: String,
    },
    /// Makes a dataset that is never mounted.
    Create(DatasetName),
    /// Gives the user rights.
    Allow {
        /// The user.
        user: String,
        /// The rights.
        permissions: Vec<String>,
        /// On which dataset, and all below it.
        dataset: DatasetName,
    },
    /// Adds a line to authorized_keys.
    Key {
        /// Below this folder.
        home: PathBuf,
        /// The line.
        line: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPassword { user } => {
                write!(f, "usermod --password '*' {user}  (no password fits it, and keys are let in)")
            }
            Self::Create(dataset) => write!(f, "zfs create -o canmount=off -o mountpoint=none {dataset}"),
            Self::Allow { user, permissions, dataset } => {
                write!(f, "zfs allow -u {user} {} {dataset}", permissions.join(","))
            }
            Self::Key { home, line } => {
                write!(f, "add to {}/.ssh/authorized_keys:\n  {line}", home.display())
            }
        }
    }
}

/// Why it cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no such user.
    #[error("this machine has no user {0}")]
    NoUser(String),
    /// It is root, who needs no rights and would have all of them.
    #[error("{0} is root: a receiver without rights of its own is what this is for")]
    Root(String),
    /// Its account is locked.
    #[error("the account {0} is locked")]
    Locked(String),
    /// It has no shell.
    #[error("the shell of {user} is {shell}, so that sshd starts nothing for it")]
    NoShell {
        /// The user.
        user: String,
        /// Its shell.
        shell: String,
    },
    /// Other lines hold the key.
    #[error("line {line} of {}/.ssh/authorized_keys has this key already, {}", .home.display(), of_options(.options))]
    KeyInUse {
        /// The user's folder.
        home: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands before the key.
        options: String,
    },
    /// It is no public key.
    #[error("{}: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: BadKey,
    },
    /// Others could change who comes in.
    #[error("{what}: {why}")]
    Unsafe {
        /// Which file or folder.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something could not be asked or done.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// ZFS refused.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn of_options(options: &str) -> String {
    if options.is_empty() {
        "without any limit".to_string()
    } else {
        format!("with other options: {}", crate::transport::printable(options.as_bytes(), 300))
    }
}

impl SetupError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoUser(user) => {
                Some(format!("useradd --system --create-home --shell /bin/sh {user}; then run this again"))
            }
            Self::Root(_) => Some("name another user, such as replicator-receive of the package".to_string()),
            Self::Locked(user) => Some(format!("`usermod --unlock {user}`, if it may be used again")),
            Self::NoShell { user, .. } => Some(format!(
                "usermod --shell /bin/sh {user}; the key starts nothing but the agent, and without a key nobody comes in"
            )),
            Self::KeyInUse { .. } => {
                Some(
                    "remove that line, where it is of an earlier version of this program or not needed any more, and run this again; or make another key for this"
                        .to_string(),
                )
            }
            Self::Key { error: BadKey::Io(_), .. } => Some("check its path, and who may read it".to_string()),
            Self::Key { .. } => Some("name the file that ends in .pub".to_string()),
            Self::Unsafe { .. } => None,
            Self::Failed { .. } => Some("run it as root".to_string()),
            Self::Host(error) => error.hint(),
        }
    }
}

impl Coded for SetupError {
    fn code(&self) -> Code {
        match self {
            Self::NoUser(_) => Code::NoUser,
            Self::Root(_) => Code::Usage,
            Self::Locked(_) | Self::NoShell { .. } | Self::Unsafe { .. } => Code::NotReady,
            Self::KeyInUse { .. } => Code::KeyInUse,
            Self::Key { error: BadKey::Io(_), .. } => Code::KeyFile,
            Self::Key { .. } => Code::PublicKey,
            Self::Failed { .. } => Code::Local,
            Self::Host(error) => error.code(),
        }
    }
}

/// The rights that a receiver gets.
fn permissions(version: Option<Version>) -> Vec<&'static str> {
    let receive = if version >= Some(APPEND_SINCE) { APPEND } else { RECEIVE };
    let mut all = vec![receive];
    all.extend(NEEDED);
    all.extend(crate::plan::properties::DEFAULT);
    all
}

/// Which of these the user lacks. Where there is a narrower right to receive, the wider one is not enough: with both, that one
/// can be taken back at any time.
fn lacking(has: &BTreeSet<String>, version: Option<Version>) -> Vec<String> {
    permissions(version).into_iter().filter(|one| !has.contains(*one)).map(str::to_string).collect()
}

/// Which of these it should not have.
fn too_much(has: &BTreeSet<String>, version: Option<Version>) -> Vec<&'static str> {
    let wider = (version >= Some(APPEND_SINCE)).then_some(RECEIVE);
    wider.into_iter().chain(TOO_MUCH.iter().copied()).filter(|one| has.contains(*one)).collect()
}

/// Whether sshd starts commands with it.
fn is_shell(shell: &str) -> bool {
    !matches!(shell.rsplit('/').next(), Some("nologin" | "false"))
}

/// What has to be done, in this order; nothing where all is there.
///
/// # Errors
/// When it would not be safe, or would not work.
pub fn plan(wanted: &Wanted, found: &Found) -> Result<Vec<Step>, SetupError> {
    let user = &found.user;
    if user.uid == 0 {
        return Err(SetupError::Root(user.name.clone()));
    }
    if user.password == Password::Locked {
        return Err(SetupError::Locked(user.name.clone()));
    }
    if !is_shell(&user.shell) {
        return Err(SetupError::NoShell { user: user.name.clone(), shell: user.shell.clone() });
    }
    if let Some((what, why)) = found.guarded.iter().find_map(|one| unsafe_file(one, user)) {
        return Err(SetupError::Unsafe { what, why });
    }
    let line = key::line(wanted);
    if let Some(other) = found.entries.iter().find(|entry| entry.text != line) {
        return Err(SetupError::KeyInUse {
            home: user.home.clone(),
            line: other.line,
            options: other.options.clone(),
        });
    }
    let mut steps = Vec::new();
    if user.password == Password::NeverSet {
        steps.push(Step::NoPassword { user: user.name.clone() });
    }
    let nothing = BTreeSet::new();
    for root in &wanted.roots {
        let has = found.rights.get(root);
        if has.is_none() {
            steps.push(Step::Create(root.clone()));
        }
        let permissions = lacking(has.unwrap_or(&nothing), found.version);
        if !permissions.is_empty() {
            steps.push(Step::Allow { user: user.name.clone(), permissions, dataset: root.clone() });
        }
    }
    if found.entries.is_empty() {
        steps.push(Step::Key { home: user.home.clone(), line });
    }
    Ok(steps)
}

/// What is wrong with a file that decides who comes in: sshd takes none that others can write to.
fn unsafe_file(one: &Guarded, user: &User) -> Option<(String, String)> {
    let what = one.path.display().to_string();
    if one.owner != 0 && one.owner != user.uid {
        return Some((
            what,
            format!("it belongs to user {}, neither to {} nor to root", one.owner, user.name),
        ));
    }
    (one.mode & 0o022 != 0).then(|| (what, format!("others can write to it (mode {:04o})", one.mode)))
}

/// How it stands, for people.
#[must_use]
pub fn judge(wanted: &Wanted, found: &Found) -> Section {
    let user = &found.user;
    let mut section = Section::new(format!("receiver {}", user.name));
    let findings = &mut section.findings;
    findings.push(match (user.uid, user.password, is_shell(&user.shell)) {
        (0, ..) => {
            let error = SetupError::Root(user.name.clone());
            Finding::fail("user", error.to_string(), error.hint())
        }
        (_, Password::Locked, _) => {
            let error = SetupError::Locked(user.name.clone());
            Finding::fail("user", error.to_string(), error.hint())
        }
        (_, Password::NeverSet, _) => Finding::warn(
            "user",
            format!("{} has no password set, which sshd without PAM takes for locked", user.name),
            Step::NoPassword { user: user.name.clone() }.to_string(),
        ),
        (_, _, false) => {
            let error = SetupError::NoShell { user: user.name.clone(), shell: user.shell.clone() };
            Finding::fail("user", error.to_string(), error.hint())
        }
        _ => Finding::ok("user", format!("{} exists and can be logged in as with a key", user.name)),
    });
    for root in &wanted.roots {
        let Some(has) = found.rights.get(root) else {
            findings.push(Finding::fail(
                "dataset",
                format!("{root} does not exist"),
                Step::Create(root.clone()).to_string(),
            ));
            continue;
        };
        let missing = lacking(has, found.version);
        let much = too_much(has, found.version);
        if !missing.is_empty() {
            let text = format!("{} lacks {} on {root}", user.name, missing.join(", "));
            let step = Step::Allow { user: user.name.clone(), permissions: missing, dataset: root.clone() };
            findings.push(Finding::fail("rights", text, step.to_string()));
        } else if much.is_empty() {
            findings.push(Finding::ok("rights", format!("{} has what it needs on {root}", user.name)));
        }
        if !much.is_empty() {
            findings.push(Finding::warn(
                "rights",
                format!("{} has more than a receiver needs on {root}: {}", user.name, much.join(", ")),
                format!(
                    "take it back where it was given: zfs unallow -u {} {} DATASET",
                    user.name,
                    much.join(",")
                ),
            ));
        }
    }
    let line = key::line(wanted);
    let other = found.entries.iter().find(|entry| entry.text != line);
    findings.push(match (other, found.entries.is_empty()) {
        (Some(other), _) => {
            let error = SetupError::KeyInUse {
                home: user.home.clone(),
                line: other.line,
                options: other.options.clone(),
            };
            Finding::fail("key", error.to_string(), error.hint())
        }
        (None, true) => Finding::fail(
            "key",
            format!("authorized_keys of {} has no line for the key", user.name),
            Step::Key { home: user.home.clone(), line }.to_string(),
        ),
        (None, false) => Finding::ok("key", "the key starts the agent and nothing else".to_string()),
    });
    for (what, why) in found.guarded.iter().filter_map(|one| unsafe_file(one, user)) {
        findings.push(Finding::fail(
            "files",
            format!("{what}: {why}"),
            format!("chmod go-w {what}, and see who owns it"),
        ));
    }
    section
}
