//! Many datasets over ssh: nothing to do, one new snapshot each, the first run. What counts here is what a dataset costs:
//! round trips, processes, connections.

use super::replication::Content;
use super::replication::Replication;
use super::replication::Round;
use crate::contender::AS_SYNCOID;
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
const AGENT: &str = "ours, agent";

/// Nothing to do.
pub(super) fn no_op(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let mut goals = vec![Goal::ratio(AGENT, OURS, Figure::Seconds, 1.0)];
    for ours in [OURS, AS_SYNCOID] {
        goals.push(Goal::ratio(ours, "syncoid", Figure::Seconds, 1.0 / 40.0));
        goals.push(Goal::ratio(ours, "bzfs", Figure::Seconds, 1.0 / 5.0));
    }
    let mut all = everyone();
    all.push(Contender::AsSyncoid);
    cases.extend(tree(lab, "noop", Round::NoOp, "nothing to do", all, goals)?);
    Ok(())
}

/// One new snapshot of each.
pub(super) fn increment(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let mut goals = vec![Goal::ratio(AGENT, OURS, Figure::Seconds, 1.0)];
    for ours in [OURS, AS_SYNCOID] {
        goals.push(Goal::ratio(ours, "syncoid", Figure::Seconds, 1.0 / 4.0));
        goals.push(Goal::ratio(ours, PIPE, Figure::Seconds, 1.3));
    }
    let mut all = everyone();
    all.insert(0, Contender::Pipe(PIPE, Vec::new()));
    all.push(Contender::AsSyncoid);
    cases.extend(tree(lab, "increment", Round::Increment, "one new snapshot each", all, goals)?);
    Ok(())
}

/// The first run.
pub(super) fn first(lab: &Lab, cases: &mut Vec<Case>) -> Result<()> {
    let goals = vec![
        Goal::ratio(OURS, "syncoid", Figure::Seconds, 1.0),
        Goal::ratio(AGENT, OURS, Figure::Seconds, 1.0),
    ];
    let mut all = everyone();
    all.insert(0, Contender::Pipe(PIPE, Vec::new()));
    cases.extend(tree(lab, "first", Round::First, "first run", all, goals)?);
    Ok(())
}

/// Those that know trees.
fn everyone() -> Vec<Contender> {
    vec![
        Contender::ours(OURS, &[]),
        Contender::ours(AGENT, &["--far-end", "agent"]),
        Contender::ours("ours, system ssh", &["--transport", "ssh"]),
        Contender::Syncoid,
        Contender::Bzfs,
        Contender::Autobackup,
    ]
}

fn tree(
    lab: &Lab,
    suite: &str,
    round: Round,
    what: &str,
    all: Vec<Contender>,
    goals: Vec<Goal>,
) -> Result<Option<Case>> {
    let Some(way @ Way::Ssh(_)) = lab.ssh(suite) else { return Ok(None) };
    let sizes = lab.sizes;
    let bytes = if round == Round::First { sizes.kilobytes << 10 } else { 0 };
    let title = format!("{} datasets with {} snapshots over ssh, {what}", sizes.datasets, sizes.snapshots);
    let content = Content { datasets: sizes.datasets, snapshots: sizes.snapshots, bytes, fill: None };
    let mut trial = Replication::new(lab, title, way, round, content)?;
    runner::run(lab, suite, &mut trial, &lab.present(all), goals).map(Some)
}
