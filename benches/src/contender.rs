//! Who takes part, each in its best documented setting, and the command line of each for a piece of work.
//!
//! * `zfs send | zfs receive`: the limit; `-R` for a tree. Over ssh the same with the system's ssh between.
//! * syncoid without snapshots of its own (`--no-sync-snap`), with the mbuffer and lzop it uses by itself.
//! * bzfs with `--cache-snapshots` and without estimates, both named by its manual as faster; it keeps an ssh
//!   connection open from run to run by itself.
//! * zfs-autobackup without snapshots, thinning and holds, so that it does no more than the others.
//! * Ours also as the front end that answers to syncoid's name, with the options that syncoid has here.
//! * A bare loop over libssh2 in a pipe, as the limit of what that library reaches.
//!
//! Names here are made by the harness and hold nothing that a shell would read.

use std::path::Path;

use crate::measure::Job;

/// Where the target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// In another pool of this machine.
    Here,
    /// Behind ssh: `root@host`.
    Ssh(String),
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Work {
    /// The root of what is sent.
    pub source: String,
    /// The newest snapshot that the target has.
    pub from: Option<String>,
    /// The newest of the source.
    pub to: String,
    /// Also what is below it.
    pub recursive: bool,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `replicator`.
    pub replicator: String,
    /// `zfs-bench` itself, for the loop over libssh2.
    pub bench: String,
    /// The real syncoid.
    pub syncoid: Option<String>,
    /// The real sanoid.
    pub sanoid: Option<String>,
    /// A folder with the packages of bzfs.
    pub bzfs: Option<String>,
    /// A folder with the packages of zfs-autobackup.
    pub autobackup: Option<String>,
    /// A folder for what they write.
    pub scratch: String,
}

/// One that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// `zfs send | zfs receive`, with options for ssh.
    Pipe(&'static str, Vec<String>),
    /// `zfs send`, a bare loop over libssh2, `zfs receive`, with options for the loop.
    Bare(&'static str, Vec<String>),
    /// `replicator replicate` with further options.
    Ours(&'static str, Vec<String>),
    /// `replicator syncoid`.
    AsSyncoid,
    /// The real syncoid.
    Syncoid,
    /// bzfs.
    Bzfs,
    /// zfs-autobackup.
    Autobackup,
    /// A command that is whole already, for what is no replication.
    Other {
        /// Its name.
        name: String,
        /// Whether it is this project's.
        ours: bool,
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// The job of zfs-autobackup: datasets belong to it by a property, snapshots by their names.
pub const AUTOBACKUP: &str = "bench";

/// Ours, as the front end that answers to syncoid's name.
pub const AS_SYNCOID: &str = "ours, as syncoid";

/// The options of the system's ssh in a pipe.
const SSH: &str = "ssh -o BatchMode=yes";

/// With what `replicator` begins the line that says why data does not go the fast way.
const NOT_FAST: &str = "data goes over ssh and not over a connection of its own";

impl Contender {
    /// Ours with options, under a name.
    pub fn ours(name: &'static str, options: &[&str]) -> Self {
        Self::Ours(name, options.iter().map(|option| (*option).to_string()).collect())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Pipe(name, _) | Self::Bare(name, _) | Self::Ours(name, _) => name,
            Self::AsSyncoid => AS_SYNCOID,
            Self::Syncoid => "syncoid",
            Self::Bzfs => "bzfs",
            Self::Autobackup => "zfs-autobackup",
            Self::Other { name, .. } => name,
        }
    }

    /// Whether it is this project's.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(..) | Self::AsSyncoid | Self::Other { ours: true, .. })
    }

    /// Why a run did not go the way that its name says; nothing where it did. `connections` are those that were opened from
    /// here meanwhile.
    pub fn astray(&self, err: &str, connections: u64) -> Option<String> {
        let (Self::Ours(_, words) | Self::Other { argv: words, .. }) = self else { return None };
        if !words.iter().any(|word| word == "tls") {
            return None;
        }
        match err.lines().find(|line| line.contains(NOT_FAST)) {
            Some(line) => Some(line.to_string()),
            None if connections < 2 => {
                Some(format!("{connections} connections were opened, and ssh and TLS are two"))
            }
            None => None,
        }
    }

    /// Its name as a part of a dataset's name.
    pub fn short(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.name().chars().map(plain).collect()
    }

    /// Whether its program is there.
    ///
    /// # Errors
    /// The line that says why it is left out.
    pub fn available(&self, programs: &Programs) -> Result<(), String> {
        let there = match self {
            Self::Syncoid => programs.syncoid.is_some(),
            Self::Bzfs => programs.bzfs.is_some(),
            Self::Autobackup => programs.autobackup.is_some(),
            Self::Pipe(..) | Self::Bare(..) | Self::Ours(..) | Self::AsSyncoid | Self::Other { .. } => true,
        };
        if there { Ok(()) } else { Err(format!("{} is not there", self.name())) }
    }

    /// The command that brings the work to `parent/NAME-OF-SOURCE`. `parent` is there.
    pub fn job(&self, programs: &Programs, way: &Way, work: &Work, parent: &str) -> Job {
        let target = target(work, parent);
        let mut env = Vec::new();
        let mut python = |folder: &Option<String>| {
            env.push(("PYTHONPATH".to_string(), folder.clone().unwrap_or_default()));
            env.push(("PYTHONDONTWRITEBYTECODE".to_string(), "1".to_string()));
        };
        let there = match way {
            Way::Here => target.clone(),
            Way::Ssh(host) => format!("{host}:{target}"),
        };
        let mut argv: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_string()));
        match self {
            Self::Pipe(_, options) => {
                let options: String = options.iter().map(|option| format!(" {option}")).collect();
                add(&[
                    "/bin/bash",
                    "-c",
                    &pipe(way, work, &target, |host| format!("{SSH}{options} {host} ")),
                ]);
            }
            Self::Bare(_, options) => {
                let bench = &programs.bench;
                let carry = |host: &str| {
                    let (user, host) = host.split_once('@').unwrap_or(("root", host));
                    let options: String = options.iter().map(|option| format!(" {option}")).collect();
                    format!("{bench} carry --by bare --user {user} --host {host}{options} - ")
                };
                add(&["/bin/bash", "-c", &pipe(way, work, &target, carry)]);
            }
            Self::Ours(_, options) => {
                add(&[&programs.replicator, "replicate", "--quiet"]);
                add(if work.recursive { &["-r"] } else { &[] });
                add(&options.iter().map(String::as_str).collect::<Vec<_>>());
                add(&[&work.source, &there]);
            }
            Self::Syncoid => {
                add(&[programs.syncoid.as_deref().unwrap_or("syncoid")]);
                add(&syncoid(work, &there));
            }
            Self::AsSyncoid => {
                add(&[&programs.replicator, "syncoid"]);
                add(&syncoid(work, &there));
            }
            Self::Bzfs => {
                python(&programs.bzfs);
                let log = format!("{}/bzfs-logs", programs.scratch);
                add(&["python3", "-m", "bzfs_main.bzfs", &work.source, &there, "--quiet", "--log-dir", &log]);
                add(&["--cache-snapshots", "--no-estimate-send-size"]);
                add(if work.recursive { &["--recursive"] } else { &[] });
            }
            Self::Autobackup => {
                python(&programs.autobackup);
                add(&[
                    "python3",
                    "-m",
                    "zfs_autobackup.ZfsAutobackup",
                    "--no-snapshot",
                    "--no-thinning",
                    "--no-holds",
                ]);
                add(&["--clear-mountpoint", "--strip-path", "1"]);
                if let Way::Ssh(host) = way {
                    add(&["--ssh-target", host]);
                }
                add(&[AUTOBACKUP, parent]);
            }
            Self::Other { argv: whole, .. } => argv.clone_from(whole),
        }
        Job { who: self.name().to_string(), argv, env }
    }
}

/// The dataset that a work becomes.
pub fn target(work: &Work, parent: &str) -> String {
    let name = work.source.rsplit('/').next().unwrap_or(&work.source);
    format!("{parent}/{name}")
}

/// What syncoid is called with, whoever answers to its name.
fn syncoid<'w>(work: &'w Work, there: &'w str) -> Vec<&'w str> {
    let tree = work.recursive.then_some("-r");
    ["--no-sync-snap", "--quiet"].into_iter().chain(tree).chain([work.source.as_str(), there]).collect()
}

/// `zfs send | zfs receive`, the latter on another machine by what `there` makes of its name.
fn pipe(way: &Way, work: &Work, target: &str, there: impl Fn(&str) -> String) -> String {
    let tree = if work.recursive { "-R " } else { "" };
    let from = match &work.from {
        Some(from) if work.recursive => format!("-I @{from} "),
        Some(from) => format!("-i @{from} "),
        None => String::new(),
    };
    let send = format!("zfs send {tree}{from}{}@{}", work.source, work.to);
    let by = match way {
        Way::Here => String::new(),
        Way::Ssh(host) => there(host),
    };
    format!("set -o pipefail; {send} | {by}zfs receive -u {target}")
}

/// The name of the n-th snapshot of a tree: of the form that zfs-autobackup takes for its own, a minute apart.
pub fn snapshot_name(at: usize) -> String {
    let (minute, hour) = (at % 60, at / 60 % 24);
    let (day, month) = (at / 1440 % 28 + 1, at / 1440 / 28 % 12 + 1);
    let year = 2025 + at / 1440 / 28 / 12;
    format!("{AUTOBACKUP}-{year:04}{month:02}{day:02}{hour:02}{minute:02}00")
}

/// Finds the programs. `replicator` lies beside this one; the others in the lab's places or in those of a package.
///
/// What is called syncoid may be ours under that name, so only a script counts.
pub fn programs(
    beside: &Path,
    syncoid: Option<&str>,
    python: Option<&str>,
    scratch: &Path,
) -> (Programs, Vec<String>) {
    let mut left_out = Vec::new();
    let script = |path: &str| std::fs::read(path).is_ok_and(|text| text.starts_with(b"#!"));
    let perl = |name: &str| {
        let folders = ["/opt/sanoid/usr/sbin", "/usr/sbin", "/usr/local/sbin"];
        folders.iter().map(|folder| format!("{folder}/{name}")).find(|path| script(path))
    };
    let syncoid = syncoid.map(str::to_string).filter(|path| script(path)).or_else(|| perl("syncoid"));
    if syncoid.is_none() {
        left_out.push("syncoid is left out: there is none".to_string());
    }
    let mut package = |name: &str, module: &str| {
        let Some(folder) = python else {
            left_out.push(format!("{name} is left out: no folder with it was given"));
            return None;
        };
        // zfs-autobackup tells its version with a failure.
        let import = format!("import {module}");
        let mut command = std::process::Command::new("python3");
        command.args(["-c", &import]).env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
        match command.output() {
            Ok(output) if output.status.success() => Some(folder.to_string()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or_default().to_string();
                left_out.push(format!("{name} is left out: python3 cannot run it here ({last})"));
                None
            }
            Err(_) => {
                left_out.push(format!("{name} is left out: there is no python3"));
                None
            }
        }
    };
    let bzfs = package("bzfs", "bzfs_main.bzfs");
    let autobackup = package("zfs-autobackup", "zfs_autobackup.ZfsAutobackup");
    let programs = Programs {
        replicator: beside.join("replicator").to_string_lossy().into_owned(),
        bench: beside.join("zfs-bench").to_string_lossy().into_owned(),
        sanoid: syncoid.as_ref().map(|path| path.replace("syncoid", "sanoid")).or_else(|| perl("sanoid")),
        syncoid,
        bzfs,
        autobackup,
        scratch: scratch.to_string_lossy().into_owned(),
    };
    (programs, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs {
            replicator: "replicator".into(),
            bench: "zfs-bench".into(),
            syncoid: Some("/opt/syncoid".into()),
            sanoid: None,
            bzfs: Some("/py".into()),
            autobackup: Some("/py".into()),
            scratch: "/scratch".into(),
        }
    }

    fn line(who: &Contender, way: &Way, from: Option<&str>, recursive: bool) -> String {
        let work =
            Work { source: "a/tree".into(), from: from.map(str::to_string), to: "two".into(), recursive };
        who.job(&programs(), way, &work, "b/x").argv.join(" ")
    }

    #[test]
    fn every_program_gets_the_same_work() {
        let far = Way::Ssh("root@node2".into());
        let pipe = Contender::Pipe("pipe", vec!["-p 22".into()]);
        assert_eq!(
            line(&pipe, &Way::Here, None, false),
            "/bin/bash -c set -o pipefail; zfs send a/tree@two | zfs receive -u b/x/tree"
        );
        assert_eq!(
            line(&pipe, &far, Some("one"), true),
            "/bin/bash -c set -o pipefail; zfs send -R -I @one a/tree@two | ssh -o BatchMode=yes -p 22 root@node2 zfs receive -u b/x/tree"
        );
        let ours = Contender::ours("ours", &["--far-end", "agent"]);
        assert_eq!(
            line(&ours, &far, None, true),
            "replicator replicate --quiet -r --far-end agent a/tree root@node2:b/x/tree"
        );
        assert_eq!(
            line(&Contender::Syncoid, &Way::Here, None, false),
            "/opt/syncoid --no-sync-snap --quiet a/tree b/x/tree"
        );
        assert_eq!(
            line(&Contender::AsSyncoid, &far, None, true),
            "replicator syncoid --no-sync-snap --quiet -r a/tree root@node2:b/x/tree"
        );
        let bare = Contender::Bare("bare", vec!["--port 2201".into()]);
        assert_eq!(
            line(&bare, &far, None, false),
            "/bin/bash -c set -o pipefail; zfs send a/tree@two | zfs-bench carry --by bare --user root --host node2 --port 2201 - zfs receive -u b/x/tree"
        );
        assert!(line(&Contender::Bzfs, &far, None, true).contains("a/tree root@node2:b/x/tree"));
        assert!(
            line(&Contender::Autobackup, &far, None, true).ends_with("--ssh-target root@node2 bench b/x")
        );
    }

    #[test]
    fn a_fast_way_that_was_not_taken_is_no_result() {
        let fast = Contender::ours("ours, agent, tls", &["--far-end", "agent", "--streams", "tls"]);
        assert_eq!(fast.astray("", 2), None);
        assert!(fast.astray("", 1).is_some());
        let said = "node2: data goes over ssh and not over a connection of its own: no port is free";
        assert_eq!(fast.astray(said, 2).as_deref(), Some(said));
        assert_eq!(Contender::ours("ours", &[]).astray(said, 0), None);
        assert_eq!(Contender::Syncoid.astray(said, 0), None);
    }

    #[test]
    fn snapshot_names_are_dates_in_order() {
        let names: Vec<String> = (0..100_000).map(snapshot_name).collect();
        assert_eq!(names[0], "bench-20250101000000");
        assert_eq!(names[1441], "bench-20250102000100");
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let none = Programs { syncoid: None, ..programs() };
        assert!(Contender::Syncoid.available(&none).is_err());
        assert!(Contender::Bzfs.available(&none).is_ok());
    }
}
