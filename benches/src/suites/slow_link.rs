//! A line of 100 Mbit/s with a round trip of 20 or 150 ms, shaped by tc on both nodes, half of the time each way. Only in
//! nodes: a machine's own network is left alone.
//!
//! Connecting and looking take some twenty round trips, more than three seconds of 150 ms each. Where a few percent are what is
//! asked for, a run is judged by what is left of it when its first MiB is over the line; the table has both times.

use super::replication::Content;
use super::replication::Replication;
use super::replication::Round;
use super::replication::data;
use crate::contender::Contender;
use crate::contender::Way;
use crate::data::Kind;
use crate::error::Result;
use crate::flow;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Far;
use crate::lab::Lab;
use crate::result::Case;
use crate::runner;
use crate::runner::Looks;

/// The line, in bytes a second.
const LINE: f64 = 100e6 / 8.0;

/// Round trips in milliseconds.
const TRIPS: [u32; 2] = [20, 150];

/// Packets that the line holds: enough for 150 ms at its rate, several times over.
const QUEUE: u32 = 10_000;

/// Datasets that are sent side by side.
const SIDE_BY_SIDE: usize = 4;

/// How much more text than compressed data is made: zstd makes about a sixth of it.
const TEXT: u64 = 12;

const PIPE: &str = "zfs send | ssh | zfs receive";
const OURS: &str = "ours";
const SYSTEM: &str = "ours, system ssh";
const PARALLEL: &str = "ours, 4 at once";

/// All cases.
pub(super) fn slow_link(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let Some(way) = lab.ssh("slow-link") else { return Ok(()) };
    let Some(far) = lab.far.as_ref().filter(|_| lab.node) else {
        lab.leave_out("slow-link is left out: it shapes the network, which is only done in nodes of the lab");
        return Ok(());
    };
    for trip in TRIPS {
        let _line = Line::shape(lab, far, trip)?;
        cases.push(text(lab, &way, trip)?);
        for what in ["incompressible", "compressed"] {
            cases.push(full(lab, &way, trip, what)?);
        }
        cases.push(side_by_side(lab, &way, trip)?);
    }
    Ok(())
}

/// What becomes much smaller.
fn text(lab: &Lab, way: &Way, trip: u32) -> Result<Case> {
    let bytes = lab.sizes.slow_megabytes << 20;
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours(SYSTEM, &["--transport", "ssh"]),
        Contender::Syncoid,
        Contender::Bzfs,
    ];
    let goals = vec![Goal::ratio(OURS, PIPE, Figure::Seconds, 1.0 / 3.0)];
    one(lab, way, trip, "text-like", Some(data(lab, Kind::Text, bytes, 0)), all, goals)
}

/// What does not become smaller, and fills the line.
fn full(lab: &Lab, way: &Way, trip: u32, what: &str) -> Result<Case> {
    let bytes = lab.sizes.slow_megabytes << 20;
    // `head` ends the pipe.
    let packed = format!(
        "( set +o pipefail; {} | zstd -q | head -c {bytes} )",
        data(lab, Kind::Text, bytes * TEXT, 0)
    );
    // Those that only cost time here are left out: they fill the line as the pipe does.
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours(SYSTEM, &["--transport", "ssh"]),
    ];
    let goals = vec![Goal::ratio(OURS, PIPE, Figure::Flow, 1.02)];
    one(lab, way, trip, what, (what == "compressed").then_some(packed), all, goals)
}

fn one(
    lab: &Lab,
    way: &Way,
    trip: u32,
    what: &str,
    fill: Option<String>,
    all: Vec<Contender>,
    goals: Vec<Goal>,
) -> Result<Case> {
    let size = lab.sizes.slow_megabytes;
    let title = format!("{size} MiB of {what} data, 100 Mbit/s, {trip} ms");
    let content = Content { datasets: 1, snapshots: 1, bytes: size << 20, fill };
    let trial = Replication::new(lab, title, way.clone(), Round::First, content)?;
    let mut trial = looking(trial, trip, size << 20);
    runner::run(lab, "slow-link", &mut trial, &lab.present(all), goals)
}

fn side_by_side(lab: &Lab, way: &Way, trip: u32) -> Result<Case> {
    let size = lab.sizes.slow_megabytes.div_ceil(SIDE_BY_SIDE as u64);
    let content = Content { datasets: SIDE_BY_SIDE, snapshots: 1, bytes: size << 20, fill: None };
    let sum = content.bytes * SIDE_BY_SIDE as u64;
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours(PARALLEL, &["--jobs", "4"]),
    ];
    // Nine tenths of the line, for all that is left when the first MiB is over it.
    let goals =
        vec![Goal::limit(PARALLEL, Figure::Flow, sum.saturating_sub(flow::FIRST) as f64 / LINE / 0.9)];
    let title =
        format!("{SIDE_BY_SIDE} datasets with {size} MiB of incompressible data, 100 Mbit/s, {trip} ms");
    let trial = Replication::new(lab, title, way.clone(), Round::First, content)?;
    let mut trial = looking(trial, trip, sum);
    runner::run(lab, "slow-link", &mut trial, &lab.present(all), goals)
}

/// When data flows is looked at, and what that leaves out is told.
fn looking(trial: Replication, trip: u32, bytes: u64) -> Replication {
    let looks = Looks { flow: true, ..Looks::default() };
    let note = format!(
        "As it is, the data takes the line {:.1} s; each round trip before it flows takes {trip} ms on top, and each program \
         makes a number of its own. The time from the first MiB on is without them, and with those after the last byte.",
        bytes as f64 / LINE
    );
    trial.looking(looks, &note)
}

/// The line as long as it is shaped.
struct Line<'a> {
    lab: &'a Lab,
    far: &'a Far,
}

impl<'a> Line<'a> {
    fn shape(lab: &'a Lab, far: &'a Far, trip: u32) -> Result<Self> {
        let line = Self { lab, far };
        let script =
            format!("tc qdisc replace dev vec0 root netem delay {}ms rate 100mbit limit {QUEUE}", trip / 2);
        line.both(&script)?;
        // A line that was not shaped would make everything fast. The first packet may also ask for an address.
        let host = far.host.rsplit('@').next().unwrap_or(&far.host);
        lab.here.borrow_mut().run(&format!(
            "ping -c 1 {host} > /dev/null
             time=$(ping -c 3 {host} | sed -n 's,^rtt[^=]*= [^/]*/\\([0-9]*\\).*,\\1,p')
             [ \"$time\" -ge {trip} ] || {{ echo \"the round trip takes $time ms, not {trip}\"; exit 1; }}"
        ))?;
        Ok(line)
    }

    fn both(&self, script: &str) -> Result<()> {
        self.lab.here.borrow_mut().run(script)?;
        self.far.shell.borrow_mut().run(script)?;
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.both("tc qdisc del dev vec0 root") {
            eprintln!("zfs-bench: the line stays slow: {error}");
        }
    }
}
