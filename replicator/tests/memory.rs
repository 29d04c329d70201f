//! The memory that it takes to look at two sides with 100,000 snapshots each and to plan: the real lists, as the `zfs`
//! of two machines prints them, are made line by line and never stood in memory. Each case is measured in a process of
//! its own, as the largest amount that was ever resident, with everything that belongs to a process.

use std::process::Command;

use bytes::Bytes;
use replicator::engine::Request;
use replicator::engine::prepare;
use replicator::host::zfs_cli::ZfsCli;
use replicator::plan::Options;
use replicator::plan::TreePlan;
use replicator::transport::Exit;
use replicator::transport::Process;
use replicator::transport::Transport;
use replicator::transport::TransportError;
use replicator::transport::quote::END;

/// What a run may take beside the buffers of its streams.
const LIMIT: u64 = 64 << 20;

const ALONE: &str = "MEMORY_ALONE";

/// A tree, and how much of it a machine has.
#[derive(Clone, Copy)]
struct Machine {
    pool: &'static str,
    datasets: usize,
    /// Snapshots of each dataset, of which there are this many.
    snapshots: usize,
}

impl Machine {
    fn names(self) -> impl Iterator<Item = String> {
        let below = move |at: usize| match at {
            0 => format!("{}/data", self.pool),
            at => format!("{}/data/d{at:04}", self.pool),
        };
        (0..self.datasets).map(below)
    }

    fn listing(self) -> impl Iterator<Item = String> {
        let Self { pool, datasets, snapshots } = self;
        let numbers = move |dataset: usize| {
            let name =
                if dataset == 0 { format!("{pool}/data") } else { format!("{pool}/data/d{dataset:04}") };
            let own = format!(
                "{name}\tfilesystem\t{}\t5\t0\t1000\t9999999999\t-\t-\t-\t-\t-",
                1_000_000_000 + dataset
            );
            let snapshots = (0..snapshots).map(move |at| {
                // As programs that take snapshots name them, and GUIDs of the usual length.
                let guid = 9_000_000_000_000_000_000 + (dataset * 1_000_000 + at) as u64;
                let (day, hour) = (at / 24, at % 24);
                let short = format!("autosnap_2026-11-22_{hour:02}:00:{day:02}_hourly");
                format!("{name}@{short}\tsnapshot\t{guid}\t{}\t0\t1000\t-\t-\t-\t-\t-\t-", 10 + at)
            });
            std::iter::once(own).chain(snapshots)
        };
        (0..datasets).flat_map(numbers)
    }
}

impl Transport for Machine {
    fn peer(&self) -> &str {
        self.pool
    }

    fn start<'a>(&'a mut self, command: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        let lines: Box<dyn Iterator<Item = String> + Send> = if command.contains("zpool") {
            let features = ["extensible_dataset", "bookmarks", "bookmark_v2", "lz4_compress"];
            let features = features.map(|name| format!("feature@{name}\tactive"));
            let said = ["zfs-2.4.4", "zfs-kmod-2.4.4", "guid\t77"].map(str::to_string);
            Box::new(said.into_iter().chain(features))
        } else if command.contains("name,property,value,source") {
            let lines = self.names().map(|name| format!("{name}\tcompression\tlz4\tlocal"));
            Box::new(lines.collect::<Vec<_>>().into_iter())
        } else if command.contains("-nvP") {
            Box::new((0..command.matches("-nvP").count()).map(|_| "size\t1000".to_string()))
        } else if self.datasets == 0 && command.contains("/data") {
            return Ok(Answer::new(None));
        } else if self.datasets == 0 {
            let pool = self.pool;
            Box::new(std::iter::once(format!("{pool}\tfilesystem\t1\t5\t0\t1000\t9999999999\t-\t-\t-\t-\t-")))
        } else {
            Box::new(self.listing())
        };
        Ok(Answer::new(Some(lines)))
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(*self))
    }
}

/// Lines, or that there is no such dataset.
struct Answer<'a> {
    lines: Option<Box<dyn Iterator<Item = String> + Send + 'a>>,
    /// What is left of a line that was begun.
    rest: Vec<u8>,
    ended: bool,
}

impl<'a> Answer<'a> {
    fn new(lines: Option<Box<dyn Iterator<Item = String> + Send + 'a>>) -> Box<Self> {
        Box::new(Self { lines, rest: Vec::new(), ended: false })
    }
}

impl Process for Answer<'_> {
    fn write(&mut self, _: &Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        if self.rest.is_empty() {
            let next = match &mut self.lines {
                Some(lines) if !self.ended => lines.next(),
                _ => return Ok(Some(0)),
            };
            self.ended = next.is_none();
            self.rest = next.unwrap_or_else(|| END.to_string()).into_bytes();
            self.rest.push(b'\n');
        }
        let length = self.rest.len().min(buf.len());
        buf[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(Some(length))
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn finish(
        mut self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        let mut buf = [0; 4096];
        while let Some(length @ 1..) = self.read(&mut buf)? {
            sink(&buf[..length])?;
        }
        match self.lines {
            Some(_) => Ok(Exit { status: Ok(0), stderr: Vec::new() }),
            None => Ok(Exit { status: Ok(1), stderr: b"cannot open 'x': dataset does not exist".to_vec() }),
        }
    }
}

fn planned(source: Machine, target: Machine) -> TreePlan {
    let request = Request {
        source: "tank/data".parse().expect("a name"),
        target: "back/data".parse().expect("a name"),
        options: Options { recursive: true, ..Options::default() },
        estimate: true,
        ignore_space: true,
        now: 0,
    };
    let (mut from, mut to) = (ZfsCli::new(Box::new(source)), ZfsCli::new(Box::new(target)));
    prepare(&mut from, &mut to, &request).expect("a plan")
}

/// The most that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Plans in a process of its own; `streams` is how many there must be in the plan.
fn measured(test: &str, datasets: usize, here: usize, there: usize, streams: usize, limit: u64) {
    if std::env::var(ALONE).is_ok_and(|value| value == test) {
        let source = Machine { pool: "tank", datasets, snapshots: here };
        let target =
            Machine { pool: "back", datasets: if there == 0 { 0 } else { datasets }, snapshots: there };
        let before = peak();
        let plan = planned(source, target);
        assert_eq!(plan.conflicts().count(), 0);
        assert_eq!(plan.streams().count(), streams);
        println!("\npeak {} before {before}", peak());
        return;
    }
    let again = Command::new(std::env::current_exe().expect("own path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .output()
        .expect("start again");
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}\n{}", String::from_utf8_lossy(&again.stderr));
    let line = said.lines().find_map(|line| line.strip_prefix("peak ")).expect("the child tells");
    let peak: u64 = line.split(' ').next().and_then(|peak| peak.parse().ok()).expect("a number");
    println!("{test}: {} MiB", peak >> 20);
    assert!(peak < limit, "{} MiB", peak >> 20);
}

#[test]
fn nothing_to_do_for_many_datasets() {
    measured("nothing_to_do_for_many_datasets", 100, 1000, 1000, 0, LIMIT);
}

#[test]
fn nothing_to_do_for_one_dataset() {
    measured("nothing_to_do_for_one_dataset", 1, 100_000, 100_000, 0, LIMIT);
}

#[test]
fn a_tenth_is_new() {
    measured("a_tenth_is_new", 100, 1000, 900, 10_000, LIMIT);
}

#[test]
fn all_of_it_is_new() {
    // A plan of 100,000 steps, each with its reason, and as many bookmarks: still less than with the smallest buffer,
    // of which planning uses nothing.
    measured("all_of_it_is_new", 100, 1000, 0, 100_000, LIMIT + (32 << 20));
}
