//! Runs the real sanoid on a case, with a stand-in for `zfs` and `zpool`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::case::Case;

const SANOID: &str = "/opt/sanoid/usr/sbin/sanoid";
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Answers the three questions that sanoid asks, in the shapes of zfs-get(8), zfs-list(8) and zpool-list(8), and notes
/// what else it is told. Without another process, which would be most of the time.
const ZFS: &str = r#"#!/bin/sh
case "$1" in
get) exec cat "$CASE/snapshots" ;;
list)
    for under; do :; done
    while read -r name; do
        case "$name" in "$under" | "$under"/*) echo "$name" ;; esac
    done < "$CASE/datasets"
    ;;
*) echo "$*" >> "$CASE/log" ;;
esac
"#;
const ZPOOL: &str = "#!/bin/sh\necho \"$CASE_CAPACITY%\"\n";

/// What it did, or said that it would do.
pub(super) struct Real {
    /// Names of snapshots to take, and whether with all below.
    pub(super) takes: BTreeSet<(String, bool)>,
    pub(super) prunes: BTreeSet<String>,
    pub(super) status: Option<i32>,
    pub(super) errors: String,
}

/// Runs it. With `act` it does what it decides, and what it told the stand-in is what counts.
pub(super) fn run(case: &Case, act: bool) -> Real {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| fs::write(at(name), text).expect("written");
    let mut datasets: Vec<_> = case.datasets.iter().map(ToString::to_string).collect();
    datasets.push(String::new());
    write("sanoid.conf", &case.config);
    write("snapshots", &case.listing());
    write("datasets", &datasets.join("\n"));
    write("log", "");
    program(&at("zfs"), ZFS);
    program(&at("zpool"), ZPOOL);
    let mut command = Command::new(SANOID);
    command
        .arg(format!("--configdir={}", folder.path().display()))
        .arg(format!("--cache-dir={}", at("cache").display()))
        .arg(format!("--run-dir={}", at("run").display()))
        .args(["--cron", "--verbose"])
        .args((!act).then_some("--readonly"))
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("TZ", case.zone)
        .env("CASE", folder.path())
        .env("CASE_CAPACITY", case.capacity.to_string())
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME_FMT", "%s")
        .env("FAKETIME", case.now.to_string());
    let output = command.output().expect("sanoid runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let mut real = Real {
        takes: BTreeSet::new(),
        prunes: BTreeSet::new(),
        status: output.status.code(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("taking snapshot ") {
            let (name, all) = match name.strip_suffix(" (zfs recursive)") {
                Some(name) => (name, true),
                None => (name, false),
            };
            assert!(real.takes.insert((name.to_string(), all)), "{name} is taken twice");
        } else if let Some(name) =
            line.strip_prefix("INFO: pruning ").and_then(|rest| rest.strip_suffix(" ... "))
        {
            assert!(real.prunes.insert(name.to_string()), "{name} is destroyed twice");
        }
    }
    if act {
        real.same_as_done(&fs::read_to_string(at("log")).expect("the log"));
    }
    real
}

impl Real {
    fn same_as_done(&self, log: &str) {
        let (mut takes, mut prunes) = (BTreeSet::new(), BTreeSet::new());
        for line in log.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["snapshot", "-r", name] => drop(takes.insert((name.to_string(), true))),
                ["snapshot", name] => drop(takes.insert((name.to_string(), false))),
                ["destroy", name] => drop(prunes.insert(name.to_string())),
                _ => panic!("the stand-in does not know {line:?}"),
            }
        }
        assert_eq!((&self.takes, &self.prunes), (&takes, &prunes), "said and done");
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}
