//! What people install: the package, put into a node by dpkg, and a day by its timers under systemd; the tarball; and what
//! either leaves alone until it is told.

use std::path::Path;
use std::time::Duration;

use lab::Cluster;
use lab::Node;
use lab::Process;
use lab::package;
use lab::package::Program;

use crate::faults::until;
use crate::replicas::*;
use crate::support::long;

/// 20:59 of some day, in seconds since 1970.
const BEGIN: u64 = 1_795_467_540;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

const CONFIGURATION: &str = "\
[[dataset]]
name = \"tank/data\"
hourly = 36
daily = 7

[[replication]]
name = \"data\"
source = \"tank/data\"

[[replication.target]]
name = \"disk\"
to = \"back/data\"
";

/// Somebody who is told, and something to tell.
const NOTIFY: &str = "\
[notify]
mail = \"root\"
command = [\"/usr/bin/touch\", \"/var/tmp/told\"]

[[dataset]]
name = \"tank/none\"
daily = 1
";

/// systemd as the first process of namespaces of its own in a node: the node's agent stays outside, and both see the same
/// files and the same pools.
const SYSTEMD: &str = r#"
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/machine
exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private sh -c '
    echo 0 > /sys/fs/cgroup/machine/cgroup.procs
    exec unshare --cgroup sh -c "
        mount -t cgroup2 none /sys/fs/cgroup
        mount -t tmpfs -o mode=755 tmpfs /run
        mkdir -p /run/lock
        exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=false"'
"#;

struct Systemd<'n> {
    node: &'n Node,
    pid: String,
    // It ends with this.
    process: Process,
}

impl<'n> Systemd<'n> {
    fn boot(node: &'n Node) -> Self {
        let process = node.script(SYSTEMD).limit(Duration::from_secs(1200)).spawn().expect("started");
        let find = || sh(node, "pgrep -o -x systemd || true");
        until("systemd is there", Duration::from_secs(60), || {
            assert!(!process.finished(), "{}", String::from_utf8_lossy(&process.stderr()));
            !find().is_empty()
        });
        let systemd = Self { node, pid: find(), process };
        until("systemd has come up", Duration::from_secs(120), || {
            systemd.try_run("systemctl is-active basic.target").0 == 0
        });
        systemd
    }

    /// Runs a script beside it; status and everything that it said.
    fn try_run(&self, script: &str) -> (i32, String) {
        let inside = [
            "--target",
            self.pid.as_str(),
            "--root",
            "--wd",
            "--mount",
            "--pid",
            "--cgroup",
            "--",
            "/bin/sh",
            "-ec",
            script,
        ];
        let command = self.node.command("nsenter").args(inside).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.limit(Duration::from_secs(120)).run().expect("the node answers");
        (output.code(), format!("{}\n{}", output.out(), output.err()).trim().to_string())
    }

    fn run(&self, script: &str) -> String {
        let (code, said) = self.try_run(script);
        assert_eq!(code, 0, "{script}\n{said}");
        said
    }

    /// Sets the node's clock and waits until a timer that this passes has done its work.
    fn at(&self, time: u64, what: &str, holds: impl FnMut() -> bool) {
        sh(self.node, &format!("date --utc --set @{time} > /dev/null"));
        until(what, Duration::from_secs(90), holds);
    }
}

/// The timers that there are of this program.
fn timers(systemd: &Systemd<'_>) -> Vec<String> {
    let list = systemd.run("systemctl list-unit-files --type=timer --no-legend --plain 'replicator*'");
    let name = |line: &str| line.split_whitespace().next().map(str::to_string);
    let timers: Vec<String> = list.lines().filter_map(name).collect();
    assert!(timers.len() >= 5, "{list}");
    timers
}

/// What of this program is turned on, or waits for its time.
fn turned_on(systemd: &Systemd<'_>) -> String {
    systemd.run(
        "find /etc/systemd -name 'replicator*'
         systemctl list-units --type=timer --state=active --no-legend --plain 'replicator*'",
    )
}

impl Drop for Systemd<'_> {
    /// Says what systemd has to say where a test fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for script in
                ["date", "systemctl list-timers --all", "systemctl status --all --full 'replicator*' || true"]
            {
                println!("{script}\n{}", self.try_run(script).1);
            }
            println!("{}", String::from_utf8_lossy(&self.process.stderr()));
        }
    }
}

/// One node with `tank` and `back`, a dataset in the first, nothing of this checkout on its PATH, and the files beside
/// this one at /mnt/package.
fn clean(file: &Path) -> Cluster {
    let folder = file.parent().expect("a folder");
    let cluster = Cluster::builder().mount(folder, "/mnt/package", false).boot().expect("a node");
    let node = cluster.node(1);
    sh(node, &format!("date --utc --set @{BEGIN} > /dev/null; {TANK}; {BACK}; rm -f /opt/replicator/bin/*"));
    sh(
        node,
        "zfs create tank/data; seq 1 1000 > /tank/data/file; mkdir /tank/data/folder; echo one > /tank/data/folder/one; ! command -v replicator",
    );
    cluster
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).expect("a name")
}

fn snapshots(node: &Node, dataset: &str) -> Vec<String> {
    let list =
        sh(node, &format!("zfs list -H -t snapshot -d 1 -s createtxg -o name {dataset} 2>/dev/null || true"));
    list.lines().filter_map(|line| line.split_once('@')).map(|(_, short)| short.to_string()).collect()
}

#[test]
fn the_package_does_nothing_until_it_is_told_and_then_a_day_by_its_timers() {
    let made = package::debian(&|text| eprintln!("{text}")).expect("the packages");
    let cluster = clean(&made.deb);
    let node = cluster.node(1);
    let contents = sh(node, &format!("dpkg-deb --contents /mnt/package/{}", name(&made.deb)));
    for file in [
        "/usr/sbin/replicator",
        "/usr/share/man/man8/replicator.8.gz",
        "/usr/share/man/man8/replicator-pair-promote.8.gz",
        "/usr/share/bash-completion/completions/replicator",
        "/usr/share/zsh/vendor-completions/_replicator",
        "/usr/share/fish/vendor_completions.d/replicator.fish",
        "/usr/share/doc/zfs-replicator/quick-start.md",
        "/usr/share/doc/zfs-replicator/replicator.toml",
        "/usr/share/doc/zfs-replicator/monitoring/grafana.json",
        "/usr/share/doc/zfs-replicator/monitoring/replicator.rules.yml",
        "/etc/replicator/replicator.toml",
    ] {
        assert!(
            contents.lines().any(|line| line.ends_with(&format!(".{file}"))),
            "{file} is not in\n{contents}"
        );
    }
    assert!(!contents.contains("/sanoid") && !contents.contains("/syncoid"), "{contents}");

    let systemd = Systemd::boot(node);
    let before = state(node);
    systemd.run(&format!("dpkg --install /mnt/package/{}", name(&made.deb)));
    systemd.run("systemd-analyze verify --man=no --recursive-errors=no /usr/lib/systemd/system/replicator*");
    let timers = timers(&systemd);
    assert_eq!(turned_on(&systemd), "");
    // What the units would do, with the configuration as it comes: nothing.
    systemd.run("replicator config check && replicator run && systemctl start replicator.service");
    assert_eq!(before, state(node));
    let user = systemd.run("getent passwd replicator-receive; stat -c %U:%a /var/lib/replicator-receive");
    assert!(user.contains(":/var/lib/replicator-receive:/bin/sh") && user.ends_with("root:755"), "{user}");
    systemd.run("bash -c '. /usr/share/bash-completion/completions/replicator && complete -p replicator'");
    systemd.run("fish --no-execute /usr/share/fish/vendor_completions.d/replicator.fish");
    let version = systemd.run("replicator version --check");
    assert!(version.contains("zfs-replicator") && version.contains("nothing newer"), "{version}");

    // The day, or its hours around midnight: an hour at a time, first past the snapshots and then past the replication.
    let all = if long() { 24 } else { 6 };
    node.write_file("/etc/replicator/replicator.toml", CONFIGURATION).expect("written");
    sh(node, &format!("date --utc --set @{BEGIN} > /dev/null"));
    systemd.run(&format!("replicator config check && systemctl enable --now {}", timers.join(" ")));
    let on = turned_on(&systemd);
    assert!(timers.iter().all(|timer| on.matches(timer.as_str()).count() >= 2), "{on}");
    for hour in 0..all {
        let full = BEGIN + MINUTE + hour * HOUR;
        sh(node, &format!("echo {hour} >> /tank/data/file"));
        let count = snapshots(node, "tank/data").len();
        systemd.at(full + 20, "a snapshot is taken", || snapshots(node, "tank/data").len() > count);
        systemd.at(full + 2 * MINUTE + 20, "it is replicated", || {
            snapshots(node, "back/data").last() == snapshots(node, "tank/data").last()
        });
    }
    let taken = snapshots(node, "tank/data");
    let hours = taken.iter().filter(|name| name.ends_with("_hourly")).count();
    let days = taken.iter().filter(|name| name.ends_with("_daily")).count();
    assert_eq!((hours as u64, days), (all, 2), "{taken:?}");
    assert_eq!(snapshots(node, "back/data"), taken);
    assert_same((node, "tank/data"), (node, "back/data"));
    // The checks were started as well, and find nothing: a unit that fails would not be started with success.
    sh(node, &format!("date --utc --set @{} > /dev/null", BEGIN + all * HOUR + 10 * MINUTE));
    let triggered = "systemctl show --property LastTriggerUSec --value replicator-monitor.timer";
    until("the checks were started", Duration::from_secs(60), || {
        !matches!(systemd.run(triggered).as_str(), "" | "n/a" | "0")
    });
    systemd.run("systemctl start replicator-monitor.service");
    let failed = systemd.run("systemctl list-units --failed --plain --no-legend 'replicator*'");
    assert_eq!(failed, "");

    // The others too, with what their limits leave them: what is read is good, and who is to be told is told.
    systemd.run("systemctl start replicator-verify.service");
    let verified = systemd.run("replicator monitor verified");
    assert!(verified.contains("OK: all copies were found good"), "{verified}");
    sh(node, "mkdir -p -m 755 /etc/replicator/conf.d");
    node.write_file("/etc/replicator/conf.d/notify.toml", NOTIFY).expect("written");
    node.write_file("/usr/sbin/sendmail", "#!/bin/sh\ncat > /var/tmp/mail\n").expect("written");
    sh(node, "chmod 644 /etc/replicator/conf.d/notify.toml; chmod 755 /usr/sbin/sendmail");
    systemd.run("replicator config check");
    // One that its timer started a moment ago knows nothing of it yet.
    let told = "systemctl start replicator-notify.service && grep -q tank/none /var/tmp/mail && [ -e /var/tmp/told ]";
    until("it is told", Duration::from_secs(90), || systemd.try_run(told).0 == 0);

    // The names are a package of their own.
    assert_eq!(systemd.run("command -v sanoid syncoid || true"), "");
    systemd.run(&format!("dpkg --install /mnt/package/{}", name(&made.names)));
    let names = systemd.run("readlink -f /usr/sbin/sanoid /usr/sbin/syncoid; syncoid --version");
    assert!(names.starts_with("/usr/sbin/replicator\n/usr/sbin/replicator\n"), "{names}");
    // When it goes, its timers go, and what it made stays.
    let before = state(node);
    systemd.run("dpkg --remove zfs-replicator-names zfs-replicator");
    assert_eq!(turned_on(&systemd), "");
    assert_eq!(before, state(node));
    systemd.run("[ -e /etc/replicator/replicator.toml ] && ! command -v replicator");
}

#[test]
fn the_tarball_needs_nothing_but_glibc_and_zfs() {
    // With OpenSSL inside everything is built once more; the short run looks at the rest.
    let program = if long() { Program::SelfContained } else { Program::AsBuilt };
    let tarball = package::tarball(program, &|text| eprintln!("{text}")).expect("the tarball");
    let cluster = clean(&tarball);
    let node = cluster.node(1);
    sh(
        node,
        &format!(
            "tar -C /usr/local --strip-components=1 --no-same-owner -xf /mnt/package/{}
             install -D -m 644 /usr/local/share/doc/zfs-replicator/etc/replicator.toml /etc/replicator/replicator.toml
             cd /usr/local/share/doc/zfs-replicator; ls monitoring/grafana.json monitoring/replicator.rules.yml quick-start.md
             cmp replicator.toml examples/replicator.toml",
            name(&tarball)
        ),
    );
    let needs = sh(node, "ldd /usr/local/sbin/replicator");
    for line in needs.lines() {
        let known: &[&str] = match program {
            Program::SelfContained => &["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "ld-linux"],
            Program::AsBuilt => &[
                "linux-vdso",
                "libc.so",
                "libm.so",
                "libgcc_s.so",
                "ld-linux",
                "libssl",
                "libcrypto",
                "libz",
            ],
        };
        assert!(known.iter().any(|library| line.contains(library)), "{needs}");
    }
    let before = state(node);
    sh(node, "replicator config check; replicator run; [ -e /usr/local/share/man/man8/replicator-run.8.gz ]");
    assert_eq!(before, state(node));
    node.write_file("/etc/replicator/replicator.toml", CONFIGURATION).expect("written");
    sh(node, "replicator run");
    assert_same((node, "tank/data"), (node, "back/data"));
    let said = replicator(node, "version --check");
    assert_eq!(said.code(), 1, "{}", said.out());
    assert!(said.err().contains("[R140]"), "{}", said.err());
}
