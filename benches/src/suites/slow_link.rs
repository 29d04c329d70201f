//! A line of 100 Mbit/s with a round trip of 20 or 150 ms, shaped by tc on both nodes, half of the time each way. Only in
//! nodes: a machine's own network is left alone.

use super::replication::Content;
use super::replication::Replication;
use super::replication::Round;
use super::replication::data;
use crate::contender::Contender;
use crate::contender::Way;
use crate::data::Kind;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Far;
use crate::lab::Lab;
use crate::result::Case;
use crate::runner;

/// The line, in bytes a second.
const LINE: f64 = 100e6 / 8.0;

/// Round trips in milliseconds.
const TRIPS: [u32; 2] = [20, 150];

/// Packets that the line holds: enough for 150 ms at its rate, several times over.
const QUEUE: u32 = 10_000;

/// Datasets that are sent side by side.
const SIDE_BY_SIDE: usize = 4;

const PIPE: &str = "zfs send | ssh | zfs receive";
const OURS: &str = "ours";
const PARALLEL: &str = "ours, 4 at once";

/// All cases.
pub(super) fn slow_link(lab: &Lab) -> Result<Vec<Case>> {
    let Some(way) = lab.ssh("slow-link") else { return Ok(Vec::new()) };
    let Some(far) = lab.far.as_ref().filter(|_| lab.node) else {
        lab.leave_out("slow-link is left out: it shapes the network, which is only done in nodes of the lab");
        return Ok(Vec::new());
    };
    let mut cases = Vec::new();
    for trip in TRIPS {
        let _line = Line::shape(lab, far, trip)?;
        for what in ["text-like", "incompressible", "compressed"] {
            cases.push(one(lab, &way, trip, what)?);
        }
        cases.push(side_by_side(lab, &way, trip)?);
    }
    Ok(cases)
}

fn one(lab: &Lab, way: &Way, trip: u32, what: &str) -> Result<Case> {
    let size = lab.sizes.slow_megabytes;
    let bytes = size << 20;
    let fill = match what {
        "text-like" => Some(data(lab, Kind::Text, bytes, 0)),
        // Four times as much text is enough for so many bytes of it compressed. `head` ends the pipe.
        "compressed" => Some(format!(
            "( set +o pipefail; {} | zstd -q | head -c {bytes} )",
            data(lab, Kind::Text, bytes * 6, 0)
        )),
        _ => None,
    };
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours("ours, system ssh", &["--transport", "ssh"]),
        Contender::Syncoid,
        Contender::Bzfs,
    ];
    let limit = if what == "text-like" { 1.0 / 3.0 } else { 1.02 };
    let goals = vec![Goal::ratio(OURS, PIPE, Figure::Seconds, limit)];
    let title = format!("{size} MiB of {what} data, 100 Mbit/s, {trip} ms");
    let content = Content { datasets: 1, snapshots: 1, bytes, fill };
    let mut trial = Replication::new(lab, title, way.clone(), Round::First, content)?;
    runner::run(lab, "slow-link", &mut trial, &lab.present(all), goals)
}

fn side_by_side(lab: &Lab, way: &Way, trip: u32) -> Result<Case> {
    let size = lab.sizes.slow_megabytes.div_ceil(SIDE_BY_SIDE as u64);
    let content = Content { datasets: SIDE_BY_SIDE, snapshots: 1, bytes: size << 20, fill: None };
    let sum = (content.bytes * SIDE_BY_SIDE as u64) as f64;
    let all = vec![
        Contender::Pipe(PIPE, Vec::new()),
        Contender::ours(OURS, &[]),
        Contender::ours(PARALLEL, &["--jobs", "4"]),
        Contender::Syncoid,
        Contender::Bzfs,
    ];
    // Nine tenths of the line.
    let goals = vec![Goal::limit(PARALLEL, Figure::Seconds, sum / LINE / 0.9)];
    let title =
        format!("{SIDE_BY_SIDE} datasets with {size} MiB of incompressible data, 100 Mbit/s, {trip} ms");
    let mut trial = Replication::new(lab, title, way.clone(), Round::First, content)?;
    runner::run(lab, "slow-link", &mut trial, &lab.present(all), goals)
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
