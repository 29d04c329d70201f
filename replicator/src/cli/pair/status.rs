//! `replicator pair status`.

use serde_json::json;

use super::Failure;
use super::Outcome;
use super::setup::Common;
use super::setup::Setup;
use super::setup::now;
use crate::cancel::Cancel;
use crate::cli;
use crate::cli::format;
use crate::host::Base;
use crate::host::DatasetState;
use crate::pair::Belief;
use crate::pair::verbs::Node;
use crate::pair::verbs::look::Far;
use crate::pair::verbs::look::Root;
use crate::pair::verbs::look::look;

/// Show both nodes of a pair: who was promoted last, and what would be lost now.
///
/// For each dataset: the newest snapshot that both nodes have, its age, and how much was written since on the active one.
/// That is what a failure of the active node would cost. Which node should be active by the cluster: pair role.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  replicator pair status
  replicator pair status nfs --json

The exit status is 0 when both nodes could be asked and agree on who is active, 3 when they do not, 4 when the other one
could not be asked.";

/// A dataset on both nodes.
struct Line {
    dataset: String,
    /// The newest common snapshot, and its age in seconds.
    common: Option<(String, Option<i64>)>,
    /// Snapshots of the active node that the other one lacks.
    behind: usize,
    /// Bytes written since the newest snapshot of the active node.
    written: u64,
}

pub(super) fn run(arguments: &Arguments, cancel: &Cancel) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(&arguments.common, cancel)?;
    let roots = setup.pair.roots.clone();
    let here = look(setup.node.host(), setup.name.as_str(), &roots)?;
    let far = match setup.connect() {
        Ok(mut host) => match look(host.as_mut(), setup.peer.as_str(), &roots) {
            Ok(side) => Far::Seen(side),
            Err(error) => Far::Away(error.to_string()),
        },
        Err(failure) => Far::Away(failure.message().to_string()),
    };
    let mounts = setup.node.mounts()?;
    let mut agree = true;
    let mut text = format!("{}: {} and {}\n", setup.pair.name, setup.name, setup.peer);
    if let Far::Away(why) = &far {
        text.push_str(&format!("  {} cannot be asked: {why}\n", setup.peer));
    }
    let mut list = Vec::new();
    for root in &here.roots {
        let theirs = far.root(&root.name);
        let holder = holder(root, theirs);
        agree &= holder.is_ok();
        let (active, conflict) = match &holder {
            Ok(active) => (active.as_ref(), None),
            Err(why) => (None, Some(why)),
        };
        let word = match (active, conflict) {
            (_, Some(why)) => why.clone(),
            (Some((number, holder)), None) => format!("{holder} is active, in epoch {number}"),
            (None, None) => "nobody was promoted yet".to_string(),
        };
        text.push_str(&format!("  {}: {word}\n", root.name));
        let mounted = mounts.iter().any(|mount| mount.dataset == root.name);
        let shown = if mounted { ", mounted" } else { "" };
        text.push_str(&format!("    on {}: {}{shown}\n", setup.name, said(root)));
        if let Some(theirs) = theirs {
            text.push_str(&format!("    on {}: {}\n", setup.peer, said(theirs)));
        }
        let active_here = active.is_some_and(|(_, holder)| *holder == setup.name.as_str());
        let mut datasets = Vec::new();
        if let Some(theirs) = theirs {
            let sides = if active_here { (root, theirs) } else { (theirs, root) };
            for line in lines(&mut setup, sides, active_here)? {
                text.push_str(&line.describe());
                datasets.push(line.to_json());
            }
        }
        list.push(json!({
            "root": root.name.as_str(),
            "active": active.map(|(_, name)| name),
            "epoch": active.map(|(number, _)| number.to_string()),
            "conflict": conflict,
            "here": said(root),
            "there": theirs.map(said),
            "mounted_here": mounted,
            "datasets": datasets,
        }));
    }
    let away = if let Far::Away(why) = &far { Some(why) } else { None };
    cli::print(&if arguments.common.json {
        let (pair, node, peer) = (&setup.pair.name, setup.name.as_str(), setup.peer.as_str());
        let json = json!({ "pair": pair, "node": node, "peer": peer, "peer_away": away, "roots": list });
        format!("{json:#}\n")
    } else {
        text
    })?;
    Ok(match (agree, away) {
        (false, _) => Outcome::Conflict,
        (true, Some(_)) => Outcome::Connection,
        (true, None) => Outcome::Success,
    })
}

/// The node that was promoted last, as far as both know.
fn holder(here: &Root, there: Option<&Root>) -> Result<Option<(u64, String)>, String> {
    let mut newest: Option<(u64, String)> = None;
    for root in std::iter::once(here).chain(there) {
        let epoch = match &root.belief {
            Belief::None => continue,
            Belief::Unknown(doubt) => return Err(format!("the epoch is not known: {doubt}")),
            Belief::Known(epoch) => (epoch.number, epoch.holder.to_string()),
        };
        newest = match newest {
            Some(known) if known.0 == epoch.0 && known.1 != epoch.1 => {
                return Err(format!("both {} and {} were promoted to epoch {}", known.1, epoch.1, known.0));
            }
            Some(known) if known.0 >= epoch.0 => Some(known),
            _ => Some(epoch),
        };
    }
    Ok(newest)
}

/// What a root says on one node.
fn said(root: &Root) -> String {
    if root.tree.is_none() {
        return "not there".to_string();
    }
    let epoch = match &root.belief {
        Belief::None => "no epoch".to_string(),
        Belief::Unknown(doubt) => format!("unknown epoch: {doubt}"),
        Belief::Known(epoch) => format!("epoch {} of {}", epoch.number, epoch.holder),
    };
    match root.value(&root.name, "readonly") {
        "on" => format!("{epoch}, read-only"),
        _ => format!("{epoch}, writable"),
    }
}

fn lines(
    setup: &mut Setup,
    (active, standby): (&Root, &Root),
    active_here: bool,
) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for state in active.datasets() {
        let other = standby.tree.as_ref().and_then(|tree| tree.get(&state.name));
        let at = other.and_then(|other| newest_common(state, other));
        let behind = at.map_or(state.snapshots.len(), |at| state.snapshots.len() - at - 1);
        let mut common = None;
        if let (Some(at), Some(other)) = (at, other) {
            let one = &state.snapshots[at];
            // This node's own, whichever side it is: the date is the same.
            let ours = if active_here { state } else { other };
            let ours = ours.snapshots.iter().find(|ours| ours.guid == one.guid);
            let base = ours.map(|ours| Base::Snapshot(ours.name.clone(), ours.guid));
            let date = match base {
                Some(base) => setup.node.host().creation(&[base])?.into_iter().next().flatten(),
                None => None,
            };
            common = Some((one.name.short().to_string(), date.map(|date| now() - date)));
        }
        lines.push(Line { dataset: state.name.to_string(), common, behind, written: state.written });
    }
    Ok(lines)
}

/// The place of the newest snapshot that the other one has, too.
fn newest_common(state: &DatasetState, other: &DatasetState) -> Option<usize> {
    state.snapshots.iter().rposition(|one| other.snapshots.iter().any(|there| there.guid == one.guid))
}

impl Line {
    fn describe(&self) -> String {
        let lost = match (self.behind, self.written) {
            (0, 0) => "nothing would be lost".to_string(),
            (behind, written) => {
                format!("would be lost: {behind} snapshots and {} written since", format::bytes(written))
            }
        };
        match &self.common {
            None => format!("    {}: nothing in common; {lost}\n", self.dataset),
            Some((common, age)) => {
                let age = age.map_or_else(|| "unknown".to_string(), |age| format!("{age} s"));
                format!("    {}: both have @{common} (age {age}); {lost}\n", self.dataset)
            }
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "dataset": self.dataset,
            "common": self.common.as_ref().map(|(name, _)| name),
            "age_seconds": self.common.as_ref().and_then(|(_, age)| *age),
            "snapshots_behind": self.behind,
            "written_bytes": self.written,
        })
    }
}
