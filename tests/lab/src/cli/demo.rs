//! `cargo lab demo`: the main job, shown on two nodes; with `--host`, the part of it that one machine can show on its own
//! ZFS, on two pools in files.

use super::Zfs;
use clap::Args;
use lab::host_zfs::{self, ScratchPool};
use lab::{Cluster, LabError, Node, Result};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    zfs: Zfs,
    /// Use this machine's own ZFS: two pools in files, replicated locally. No other pool, key or service is touched.
    #[arg(long)]
    host: bool,
}

/// The size of the file whose transfer is cut, in MiB: enough that the cut falls well inside.
const BIG: u64 = 120;

/// The rate of the link while the transfer is to be cut. The receiving pool writes down what arrived about every five
/// seconds, and a power cut loses the rest, so the transfer has to take longer than that.
const SLOW: u64 = 8 << 20;

/// Sums of all files below the current folder, sorted by name.
const SUMS: &str = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";

impl Demo {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let began = Instant::now();
        if self.host {
            on_host()?;
        } else {
            self.on_nodes()?;
        }
        say(&format!("That was all, in {} seconds. Nothing is left behind.", began.elapsed().as_secs()));
        Ok(ExitCode::SUCCESS)
    }

    fn on_nodes(&self) -> Result<()> {
        lab::build::ensure(self.zfs.generation, false)?;
        lab::workspace::build_release("zfs-replicator")?;
        say(
            "Two machines, each with its own disk and pool, joined by a network. node1 has 10 MB of text and programs.",
        );
        let cluster = Cluster::builder().nodes(2).zfs(self.zfs.generation).boot()?;
        let (one, two) = (cluster.node(1), cluster.node(2));
        show(one, "zpool create -O compression=lz4 tank /dev/ubdb")?;
        show(one, "zfs create tank/data && cp -a /usr/share/perl /usr/share/zoneinfo /tank/data")?;
        show(two, "zpool create store /dev/ubdb")?;

        say(
            "The first replication. node2 has sshd and the zfs command, nothing of ours. First only the plan:",
        );
        show(one, "zfs snapshot tank/data@monday")?;
        show(one, "replicator replicate tank/data root@node2:store/data --dry-run")?;
        show(one, "replicator replicate tank/data root@node2:store/data")?;

        say("Files change, a snapshot follows, and only the difference is sent.");
        show(
            one,
            "rm -r /tank/data/zoneinfo/Europe && date > '/tank/data/a new file' && zfs snapshot tank/data@tuesday",
        )?;
        show(one, "replicator replicate tank/data root@node2:store/data")?;

        say(&format!(
            "Now {BIG} MiB that do not compress, over a slower line; and half-way, node2 loses power."
        ));
        show(
            one,
            &format!("head -c {BIG}M /dev/urandom > /tank/data/film && zfs snapshot tank/data@wednesday"),
        )?;
        cut_half_way(&cluster)?;

        say("node2 boots again. What had arrived is there, and the same command goes on from it.");
        cluster.link(1, 2).bandwidth(None);
        two.boot()?;
        show(two, "zpool import -f -d /dev store")?;
        let token = two.check(["zfs", "get", "-Hpo", "value", "receive_resume_token", "store/data"])?.out();
        if token == "-" {
            return Err(LabError::Unfit("the cut left nothing to resume".into()));
        }
        show(one, "replicator replicate tank/data root@node2:store/data")?;

        say("Both sides, snapshot by snapshot and file by file.");
        show(one, "replicator list tank/data --type snapshot -H -o name,guid")?;
        show(two, "replicator list store/data --type snapshot -H -o name,guid")?;
        compare(one, "tank/data@wednesday", two, "store/data@wednesday")
    }
}

/// Starts the transfer and cuts the power of node2 when half of it has passed.
fn cut_half_way(cluster: &Cluster) -> Result<()> {
    let (one, two, link) = (cluster.node(1), cluster.node(2), cluster.link(1, 2));
    let script = "replicator replicate tank/data root@node2:store/data --idle-timeout 5 --retries 0";
    prompt(one, script);
    link.bandwidth(Some(SLOW));
    let before = link.counters().payload;
    let transfer = one.script(script).limit(Duration::from_secs(100)).spawn()?;
    while link.counters().payload - before < (BIG << 20) / 2 {
        if transfer.finished() {
            let output = transfer.wait()?;
            return Err(LabError::Unfit(format!("the transfer ended before it was cut: {}", output.err())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    two.power_cut();
    println!("      -- node2: power cut after {} MiB --", (link.counters().payload - before) >> 20);
    let output = transfer.wait()?;
    print_indented(&output.stderr);
    println!("      -- exit code {} --", output.code());
    if output.success() {
        return Err(LabError::Unfit("the transfer claims to have succeeded".into()));
    }
    Ok(())
}

/// Compares the files of two snapshots by their SHA-256 sums.
fn compare(one: &Node, first: &str, two: &Node, second: &str) -> Result<()> {
    let sums = |node: &Node, snapshot: &str| -> Result<Vec<String>> {
        let script =
            format!("mkdir -p /mnt/s && mount -t zfs -o ro '{snapshot}' /mnt/s && cd /mnt/s && {SUMS}");
        Ok(node.script(&script).check()?.lines())
    };
    let (first, second) = (sums(one, first)?, sums(two, second)?);
    verdict(&first, &second)
}

fn verdict(first: &[String], second: &[String]) -> Result<()> {
    let different: Vec<_> = first.iter().filter(|line| !second.contains(line)).collect();
    if first.is_empty() || first.len() != second.len() || !different.is_empty() {
        return Err(LabError::Unfit(format!(
            "the trees differ: {} and {} files, {} without an equal, such as {:?}",
            first.len(),
            second.len(),
            different.len(),
            different.first()
        )));
    }
    println!("      {} files on either side, every SHA-256 sum equal", first.len());
    Ok(())
}

/// The same on one machine with ZFS of its own, without ssh, power cuts and a network.
fn on_host() -> Result<()> {
    host_zfs::need()?;
    lab::workspace::build_release("zfs-replicator")?;
    say("Two pools in files on this machine. They go away at the end; no other pool is touched.");
    let (from, to) = (ScratchPool::create("from", 512)?, ScratchPool::create("to", 512)?);
    let (tank, store) = (from.name(), to.name());
    let replicator = lab::workspace::target_dir().join("release/replicator");
    let replicate = format!("{} replicate {tank}/data {store}/data", replicator.display());
    let run = |script: String| -> Result<()> {
        println!("    $ {script}");
        let argv = ["-ec".into(), script.into()];
        let code = host_zfs::run(&"/bin/bash".into(), &argv, Some(Duration::from_secs(300)))?;
        if code == 0 { Ok(()) } else { Err(LabError::Unfit(format!("exit code {code}"))) }
    };
    let data = from.altroot().join("data");
    let data = data.display();
    run(format!(
        "zfs create -o mountpoint=/data {tank}/data && cp -a /usr/share/zoneinfo {data}/ && zfs snapshot {tank}/data@monday"
    ))?;
    run(format!("{replicate} --dry-run && {replicate}"))?;
    say("Files change, a snapshot follows, and only the difference is sent.");
    run(format!(
        "rm -r {data}/zoneinfo/Europe && date > '{data}/a new file' && zfs snapshot {tank}/data@tuesday"
    ))?;
    run(replicate)?;
    say("Both sides, file by file.");
    let target = to.altroot().join("data");
    run(format!(
        "zfs set mountpoint=/data {store}/data && {{ zfs mount {store}/data 2>/dev/null || mountpoint -q {}; }}",
        target.display()
    ))?;
    run(format!("diff -r --no-dereference {data} {} && echo '      no difference'", target.display()))
}

fn say(text: &str) {
    let (bold, plain) = if io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}{text}{plain}");
}

fn prompt(node: &Node, script: &str) {
    println!("{}# {script}", node.name());
}

/// Runs a script on a node and shows both; fails where it fails.
fn show(node: &Node, script: &str) -> Result<()> {
    prompt(node, script);
    let mut line = Vec::new();
    let status = node.script(script).limit(Duration::from_secs(120)).stream(|_, data| {
        for byte in data {
            line.push(*byte);
            if *byte == b'\n' {
                print_indented(&line);
                line.clear();
            }
        }
        true
    })?;
    print_indented(&line);
    if status.success() {
        Ok(())
    } else {
        Err(LabError::Unfit(format!("`{script}` on {} failed", node.name())))
    }
}

fn print_indented(text: &[u8]) {
    let mut out = io::stdout().lock();
    for line in String::from_utf8_lossy(text).lines() {
        let _ = writeln!(out, "      {line}");
    }
}
