//! The two nodes: their disks with a pool each, the configuration as docs/pair.md has it, the key that may start the agent and
//! nothing else, and their clocks.

use std::fs::File;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use lab::Cluster;
use lab::DISK_SIZE;
use lab::Link;
use lab::Node;
use lab::Output;
use scenarios::proxmox::PVESH;

use super::script::Given;
use crate::faults::until;

/// As the cluster calls them; node1 and node2 of the lab.
pub(super) const NAMES: [&str; 2] = ["elitedesk", "thinkpad"];

/// The first midnight of a file of events, in seconds since 1970.
const MIDNIGHT: u64 = 1_795_392_000;

/// A node may be slow, and what it was asked is not the matter of these tests.
const PATIENCE: Duration = Duration::from_secs(600);

/// Prints what the kernel puts into an NFS file handle for a file, beside the `fsid=` of the export.
const HANDLE: &str = r#"#!/usr/bin/perl
my ($path, $handle, $mount) = ($ARGV[0], pack("LlC128", 128, 0), pack("l", 0));
syscall(303, -100, $path, $handle, $mount, 0) == 0 or die "$path: $!\n";
print unpack("H*", substr($handle, 0, 8 + unpack("L", $handle))), "\n";
"#;

/// The nodes and what belongs to each.
pub(super) struct Nodes {
    cluster: Cluster,
    roots: Vec<String>,
    pair: Vec<String>,
    policy: Vec<String>,
    /// Hours that a clock is ahead.
    pub(super) ahead: [i64; 2],
    /// A question to `pvesh` that hangs is not waited for as long as one that is slow.
    hangs: [bool; 2],
}

/// The place of a node by its name.
pub(super) fn place(name: &str) -> usize {
    NAMES.iter().position(|one| *one == name).unwrap_or_else(|| panic!("{name} is no node of the pair"))
}

impl Nodes {
    /// Both are on; the first one has the roots, with a file in each.
    pub(super) fn new(given: &Given) -> Self {
        let cluster = Cluster::boot(2).expect("two nodes");
        let (roots, pair, policy) = (given.roots.clone(), given.pair.clone(), given.policy.clone());
        let nodes = Self { cluster, roots, pair, policy, ahead: [0; 2], hangs: [false; 2] };
        for at in [0, 1] {
            nodes.make_pool(at);
            nodes.prepare(at);
        }
        let key = "-o encryption=on -o keyformat=passphrase -o keylocation=file:///root/key";
        for root in &nodes.roots {
            let how = if given.encrypted { key } else { "" };
            nodes.must(0, &format!("zfs create -p {how} {root}; echo first > /{root}/first"));
        }
        nodes
    }

    pub(super) fn node(&self, at: usize) -> &Node {
        self.cluster.node(at + 1)
    }

    pub(super) fn link(&self) -> Link {
        self.cluster.link(1, 2)
    }

    /// The link carries again, and they reach each other over it: until then it depends on when one looks.
    pub(super) fn meet_again(&self) {
        self.link().heal();
        for (at, other) in [(0, "node2"), (1, "node1")] {
            until("they reach each other", PATIENCE, || {
                self.sh(at, &format!("timeout 2 bash -c '</dev/tcp/{other}/22' 2> /dev/null")).success()
            });
        }
    }

    /// Runs a script, and does not judge.
    pub(super) fn sh(&self, at: usize, script: &str) -> Output {
        self.node(at).script(script).limit(PATIENCE).run().expect("the node answers")
    }

    /// Runs a script that must succeed.
    pub(super) fn must(&self, at: usize, script: &str) {
        self.sh(at, &format!("set -e\n{script}")).ok().expect("the script succeeds");
    }

    fn make_pool(&self, at: usize) {
        self.must(at, "zpool create -O mountpoint=/zpool1 zpool1 /dev/ubdb");
    }

    /// What a node has on the disk that it boots from. That of the lab is the same at each boot.
    fn prepare(&self, at: usize) {
        let allowed: String = self.roots.iter().map(|root| format!(" --root {root}")).collect();
        let agent = format!(
            "replicator agent --node {}{allowed} --allow list,receive,discard,bookmark,take-over",
            NAMES[at]
        );
        self.must(
            at,
            &format!(
                "mkdir -p /root/pve /etc/replicator; echo 'a long passphrase' > /root/key
                 sed -i 's|^ssh-|restrict,command=\"{agent}\" ssh-|' /root/.ssh/authorized_keys"
            ),
        );
        self.node(at).write_file("/root/pve/pvesh", PVESH).expect("written");
        self.node(at).write_file("/root/handle", HANDLE).expect("written");
        self.configure(at);
    }

    fn configure(&self, at: usize) {
        let roots: Vec<_> = self.roots.iter().map(|root| format!("{root:?}")).collect();
        let (roots, timeout) = (roots.join(", "), if self.hangs[at] { 5 } else { 50 });
        let config = format!(
            r#"
[template.nfs]
{}

[[dataset]]
name = [{roots}]
use = "nfs"
recursive = true

[pair.nfs]
roots = [{roots}]
node = "{}"
peer = {{ node = "{}", host = "root@node{}", ssh = {{ connect_timeout = "5s" }} }}
proxmox = {{ guest = 103, files = "/root/pve", pvesh = "/root/pve/pvesh" }}
watch = {{ times = 2, distance = "0s", timeout = "{timeout}s" }}
retries = 0
jobs = 1
compress = "off"
stall_timeout = "20s"
{}
"#,
            self.policy.join("\n"),
            NAMES[at],
            NAMES[1 - at],
            2 - at,
            self.pair.join("\n"),
        );
        self.node(at).write_file("/etc/replicator/replicator.toml", config).expect("written");
        self.must(
            at,
            "chmod 755 /root/pve/pvesh /root/handle; chmod 644 /etc/replicator/replicator.toml; replicator config check",
        );
    }

    /// Whether questions to `pvesh` hang on a node from now on.
    pub(super) fn hangs(&mut self, at: usize, hangs: bool) {
        if std::mem::replace(&mut self.hangs[at], hangs) != hangs {
            self.configure(at);
        }
    }

    fn time(&self, at: usize, seconds: u64) -> SystemTime {
        let shift = self.ahead[at] * 3600;
        UNIX_EPOCH + Duration::from_secs((MIDNIGHT + seconds).checked_add_signed(shift).expect("a time"))
    }

    /// Sets the clock of a node that is on, to so many seconds since midnight of the first day as it sees it.
    pub(super) fn set_clock(&self, at: usize, seconds: u64) {
        if self.node(at).is_running() {
            self.node(at).set_time(self.time(at, seconds)).expect("set");
        }
    }

    /// Boots a node that was off, and imports its pool, as its system does.
    pub(super) fn boot(&self, at: usize, seconds: u64) {
        self.node(at).boot_at(Some(self.time(at, seconds))).expect("it boots");
        self.prepare(at);
        self.must(at, "zpool import -f -d /dev zpool1");
    }

    /// Gives a node a new disk, and makes an empty pool on it.
    pub(super) fn replace_disk(&self, at: usize, seconds: u64) {
        self.node(at).power_cut();
        let disk = File::options().write(true).open(&self.node(at).disks()[0]).expect("a disk");
        disk.set_len(0).and_then(|()| disk.set_len(DISK_SIZE)).expect("emptied");
        self.node(at).boot_at(Some(self.time(at, seconds))).expect("it boots");
        self.make_pool(at);
        self.prepare(at);
    }
}
