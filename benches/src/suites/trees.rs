//! Many datasets over ssh: nothing to do, one new snapshot each, the first run. What counts here is what a dataset costs:
//! round trips, processes, connections.

use super::replication::Content;
use super::replication::Replication;
use super::replication::Round;
use crate::contender::Contender;
use crate::contender::Way;
use crate::error::Result;
use crate::goal::Figure;
use crate::goal::Goal;
use crate::lab::Lab;
use crate::result::Case;
use crate::runner;

const PIPE: &str = "zfs send -R | ssh | zfs receive";
const OURS: &str = "ours";

/// Nothing to do.
pub(super) fn no_op(lab: &Lab) -> Result<Vec<Case>> {
    let goals = vec![
        Goal::ratio(OURS, "syncoid", Figure::Seconds, 1.0 / 40.0),
        Goal::ratio(OURS, "bzfs", Figure::Seconds, 1.0 / 5.0),
    ];
    tree(lab, "noop", Round::NoOp, "nothing to do", everyone(false), goals)
}

/// One new snapshot of each.
pub(super) fn increment(lab: &Lab) -> Result<Vec<Case>> {
    let goals = vec![
        Goal::ratio(OURS, "syncoid", Figure::Seconds, 1.0 / 4.0),
        Goal::ratio(OURS, PIPE, Figure::Seconds, 1.3),
    ];
    tree(lab, "increment", Round::Increment, "one new snapshot each", everyone(true), goals)
}

/// The first run.
pub(super) fn first(lab: &Lab) -> Result<Vec<Case>> {
    let goals = vec![Goal::ratio(OURS, "syncoid", Figure::Seconds, 1.0)];
    tree(lab, "first", Round::First, "first run", everyone(true), goals)
}

fn everyone(pipe: bool) -> Vec<Contender> {
    let mut all = vec![
        Contender::ours(OURS, &[]),
        Contender::ours("ours, agent", &["--far-end", "agent"]),
        Contender::ours("ours, system ssh", &["--transport", "ssh"]),
        Contender::Syncoid,
        Contender::Bzfs,
        Contender::Autobackup,
    ];
    if pipe {
        all.insert(0, Contender::Pipe(PIPE, Vec::new()));
    }
    all
}

fn tree(
    lab: &Lab,
    suite: &str,
    round: Round,
    what: &str,
    all: Vec<Contender>,
    goals: Vec<Goal>,
) -> Result<Vec<Case>> {
    let Some(way @ Way::Ssh(_)) = lab.ssh(suite) else { return Ok(Vec::new()) };
    let sizes = lab.sizes;
    let bytes = if round == Round::First { sizes.kilobytes << 10 } else { 0 };
    let title = format!("{} datasets with {} snapshots over ssh, {what}", sizes.datasets, sizes.snapshots);
    let content = Content { datasets: sizes.datasets, snapshots: sizes.snapshots, bytes, fill: None };
    let mut trial = Replication::new(lab, title, way, round, content)?;
    Ok(vec![runner::run(lab, suite, &mut trial, &lab.present(all), goals)?])
}
