//! A day of a pair that has an NFS server: two power cuts, one of them in the middle of a large send, two failovers, the
//! return of the old master with what nobody else has, and a handover. A client holds a file open all day. What was
//! acknowledged before the last replication is on both nodes in the end, and what was written after it is kept, under a
//! name that says so.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use lab::Cluster;
use lab::Node;

use crate::faults::until;
use crate::nfs::Client;
use crate::nfs::Written;
use crate::nfs::serve;
use crate::nfs::stop;
use crate::pair::ends;
use crate::replicas::*;

/// Six in the morning of some day.
const MORNING: u64 = 1_795_413_600;

/// From one run of the timers to the next, in seconds.
const INTERVAL: u64 = 900;

/// The file that says to a node that the cluster has put the service there.
const OWNER: &str = "/run/service-is-here";

/// What was written in the middle of which the power goes: it takes a while to send.
const LARGE: u64 = 30_000_000;

fn config(node: &Node) -> String {
    let peer = if node.name() == "node1" { "node2" } else { "node1" };
    format!(
        r#"
        [template.day]
        frequently = {{ keep = 40, every = "15m" }}
        [[dataset]]
        name = "tank/data"
        use = "day"
        [pair.data]
        roots = ["tank/data"]
        node = "{}"
        peer = {{ node = "{peer}", host = "root@{peer}", ssh = {{ connect_timeout = "5s" }} }}
        command = ["/usr/bin/test", "-e", "{OWNER}"]
        watch = {{ times = 2, distance = "1s", timeout = "10s" }}
        retries = 0
        compress = "off"
        "#,
        node.name()
    )
}

struct Day<'d> {
    cluster: &'d Cluster,
    client: Client<'d>,
    carried: &'d Path,
    /// How many intervals have gone by.
    interval: u64,
    /// All that the server has now, up to the last line that was looked at.
    written: Written,
    /// What it had when it was replicated last.
    replicated: Written,
}

impl<'d> Day<'d> {
    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(MORNING + self.interval * INTERVAL + 60)
    }

    fn write(&mut self, name: &str, bytes: u64) {
        self.client.put(name, bytes);
        self.written.names.push(name.to_string());
    }

    /// All that was acknowledged until now.
    fn acknowledged(&mut self) -> Written {
        self.written.line = self.client.acknowledged();
        self.written.clone()
    }

    /// The next time at which timers run.
    fn next_interval(&mut self) {
        self.interval += 1;
        for node in self.cluster.nodes().iter().filter(|node| node.is_running()) {
            node.set_time(self.time()).expect("the clock is set");
        }
    }

    /// The timers of both nodes run: what the client has acknowledged is on both afterwards.
    fn replicate(&mut self, active: &Node, standby: &Node) {
        self.next_interval();
        let written = self.acknowledged();
        for node in [active, standby] {
            let run = replicator(node, "run --json");
            assert_eq!(run.code(), 0, "run on {}\n{}\n{}", node.name(), run.out(), run.err());
        }
        self.replicated = written;
        let newest = [active, standby].map(|node| guids(node, "tank/data").pop());
        assert_eq!(newest[0], newest[1], "the newest snapshot is on both");
    }

    /// The power of the active node goes, and the other one takes over: with all that was replicated, while the client waits.
    fn fail_over(&mut self, from: &Node, to: &Node, epoch: u64) {
        assert!(group(to) > group(from), "the pools may give the same handle to two files");
        let cut = Instant::now();
        from.power_cut();
        // What the cluster does.
        sh(to, &format!("touch {OWNER}"));
        ends(to, "promote data", 0, &[&format!("active now, in epoch {epoch}")]);
        let promoted = cut.elapsed();
        let line = self.client.acknowledged();
        serve(to, self.carried, self.client.node);
        let served = cut.elapsed();
        // Nobody has answered the client since.
        self.client.goes_on(line);
        eprintln!(
            "power cut to promoted: {:.1} s, to served again: {:.1} s; the client was without an answer for {:.1} s",
            promoted.as_secs_f64(),
            served.as_secs_f64(),
            self.client.paused(line)
        );
        self.written = self.replicated.clone();
        self.client.assert_there(to, "/tank/data", &self.replicated);
        // What was acknowledged after the last replication is not here. The line that waited for an answer is.
        self.written.lost.push((self.replicated.line + 1, line + 1));
        self.client.assert_mounted(to);
    }

    /// The node that had lost its power comes back, keeps what only it has, and follows. `kept` is what
    /// it had acknowledged until then.
    fn rejoin(&mut self, old: &Node, active: &Node, epoch: u64, kept: &Written) {
        old.boot_at(Some(self.time())).expect("it boots");
        sh(old, "zpool import -f -d /dev tank");
        configure(old);
        let mounted = sh(old, "grep -c '^tank/data ' /proc/mounts || true");
        assert_eq!(mounted, "0", "it was mounted by the import");
        let aside = format!("tank/data-divergent-{epoch}");
        let follows = format!("{} follows {}", old.name(), active.name());
        let said = ends(old, "rejoin data", 0, &[&follows, &aside]);
        eprintln!("{said}");
        self.replicate(active, old);
        // What nobody else has is there, byte by byte, until the moment at which the power went.
        sh(old, &format!("mkdir -p /mnt/kept; mount -t zfs -o ro,zfsutil {aside} /mnt/kept"));
        self.client.assert_there(old, "/mnt/kept", kept);
        sh(old, "umount /mnt/kept");
    }
}

fn configure(node: &Node) {
    sh(node, "mkdir -p /etc/replicator");
    node.write_file("/etc/replicator/replicator.toml", config(node)).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

/// A handle of a file is the number of its object and of the transaction group in which it was made. The number of a file that
/// is lost is given to a new one, and two pools that were made in the same minute, as here, may well come to the same
/// group: then a handle that should be stale is that of the new file. So the pool of one node counts ahead.
fn count_apart(slow: &Node, fast: &Node) {
    sh(slow, "echo 30 > /sys/module/zfs/parameters/zfs_txg_timeout");
    sh(
        fast,
        "echo 1 > /sys/module/zfs/parameters/zfs_txg_timeout; for i in $(seq 50); do zpool sync tank; done",
    );
}

/// The newest transaction group of a node's pool.
fn group(node: &Node) -> u64 {
    let found = sh(node, "tail -n 1 /proc/spl/kstat/zfs/tank/txgs | cut -d' ' -f1");
    found.parse().expect("a number")
}

#[test]
fn a_day_with_two_power_cuts_and_a_handover_loses_nothing_that_was_replicated() {
    let share = tempfile::tempdir().expect("a folder");
    let carried = share.path().join("nfs");
    let cluster = Cluster::builder().nodes(3).memory(1536).share(share.path()).boot().expect("three nodes");
    let (a, b, witness) = (cluster.node(1), cluster.node(2), cluster.node(3));
    sh(a, "cp -a /var/lib/nfs /share/nfs");
    for node in [a, b] {
        sh(node, TANK);
        configure(node);
    }
    count_apart(a, b);
    sh(a, &format!("zfs create tank/data; touch {OWNER}"));
    ends(a, "promote data", 0, &["active now, in epoch 1"]);
    serve(a, &carried, witness);
    let mut day = Day {
        cluster: &cluster,
        client: Client::begin(witness),
        carried: &carried,
        interval: 0,
        written: Written::default(),
        replicated: Written::default(),
    };

    // The morning.
    for hour in ["six", "seven", "eight"] {
        day.write(hour, 400_000);
        day.replicate(a, b);
    }

    // A large file, and the power goes in the middle of its send.
    day.write("large", LARGE);
    day.next_interval();
    let link = cluster.link(1, 2);
    link.bandwidth(Some(2_000_000));
    let before = link.counters().payload;
    let run = a.script("exec replicator run").limit(Duration::from_secs(300)).spawn().expect("started");
    until("bytes pass", Duration::from_secs(120), || {
        link.counters().payload - before > LARGE / 5 || run.finished()
    });
    day.write("late", 300_000);
    let newer = day.client.hold_newer("newer");
    assert!(!run.finished(), "it was over before the power was cut");
    until("the receive is there", Duration::from_secs(60), || {
        !sh(b, "pgrep -x replicator || true").is_empty()
    });
    let only_there = day.acknowledged();
    day.fail_over(a, b, 2);
    drop(run);
    link.bandwidth(None);
    // Others get the object numbers of what is gone.
    for name in ["nine", "ten", "eleven", "noon"] {
        day.write(name, 200_000);
    }
    day.client.is_stale("newer", newer);

    // The other node is away: snapshots are taken, nothing is sent.
    day.next_interval();
    let alone = replicator(b, "run");
    assert_eq!(alone.code(), 4, "{}{}", alone.out(), alone.err());
    day.write("one", 200_000);

    // The old master comes back.
    day.rejoin(a, b, 1, &only_there);
    day.write("two", 500_000);
    day.replicate(b, a);

    // Back, as planned: with what no run has sent yet.
    day.write("three", 500_000);
    let stopped = Instant::now();
    stop(b);
    let all = day.acknowledged();
    let said = ends(b, "handover data", 0, &["node1 is active now, in epoch 3"]);
    sh(a, &format!("touch {OWNER}"));
    sh(b, &format!("rm {OWNER}"));
    serve(a, &carried, witness);
    eprintln!("{said}\nstopped to served again: {:.1} s", stopped.elapsed().as_secs_f64());
    day.client.assert_there(a, "/tank/data", &all);
    day.client.goes_on(all.line);
    eprintln!("the client was without an answer for {:.1} s", day.client.paused(all.line));
    day.client.assert_mounted(a);
    day.write("four", 500_000);
    day.replicate(a, b);

    // One more cut, between two runs.
    day.write("five", 300_000);
    let newer = day.client.hold_newer("newest");
    let only_there = day.acknowledged();
    day.fail_over(a, b, 4);
    day.write("evening", 200_000);
    day.client.is_stale("newest", newer);
    day.rejoin(a, b, 3, &only_there);
    day.write("night", 100_000);
    day.replicate(b, a);

    // The end of the day.
    let newest = guids(b, "tank/data").pop().expect("a snapshot");
    assert_eq!(guids(a, "tank/data").last(), Some(&newest));
    let newest = newest.split('\t').next().expect("a name");
    assert_eq!(files(a, "tank/data", newest), files(b, "tank/data", newest));
    for node in [a, b] {
        sh(node, &format!("mkdir -p /mnt/newest; mount -t zfs -o ro tank/data@{newest} /mnt/newest"));
        day.client.assert_there(node, "/mnt/newest", &day.replicated);
        sh(node, "umount /mnt/newest");
    }
    let aside = sh(a, "zfs list -H -o name -d 1 tank | grep divergent");
    assert_eq!(aside, "tank/data-divergent-1\ntank/data-divergent-3");
    assert_eq!(sh(b, "zfs list -H -o name -d 1 tank | grep divergent || true"), "");
    ends(b, "status data", 0, &["node2 active 4 of node2"]);
    day.client.assert_mounted(b);
    let lost = sh(witness, "dmesg | grep 'lock reclaim failed' || true");
    assert_eq!(lost, "", "a lock of the client");
}
