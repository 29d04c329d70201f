//! A picture of a pair: what is safe, what would be lost, what to do. Pure: facts go in. What stands out is found in
//! [`super::findings`].

use serde::Serialize;

use super::facts::Amount;
use super::facts::Basis;
use super::facts::Facts;
use super::facts::Goal;
use super::facts::Holder;
use super::findings;
use crate::cli::finding;
use crate::cli::finding::Finding;
use crate::cli::finding::Level;
use crate::cli::format::length;
use crate::role::Role;
use crate::role::decide::Purpose;
use crate::role::decide::Remedy;
use crate::role::decide::Verdict;
use crate::role::decide::decide;
use crate::role::epochs::Epochs;
use crate::role::observation::Epoch;
use crate::role::observation::Observation;
use crate::role::observation::Owner;
use crate::role::observation::PeerSaid;
use crate::role::observation::Seen;

/// All that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    pub(super) pair: String,
    pub(super) node: String,
    pub(super) peer: String,
    /// In seconds since 1970.
    pub(super) now: i64,
    /// The gravest of the findings.
    pub(super) level: Level,
    /// The node that was promoted last, where both agree.
    pub(super) active: Option<String>,
    /// Why the other node could not be asked.
    pub(super) peer_away: Option<String>,
    pub(super) nodes: Vec<NodeLine>,
    pub(super) losses: Vec<Loss>,
    pub(super) datasets: Vec<DatasetLine>,
    pub(super) findings: Vec<Finding>,
}

/// A node.
#[derive(Debug, Serialize)]
pub(super) struct NodeLine {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) why: String,
    pub(super) epoch: String,
}

/// What would be lost if a node died now.
#[derive(Debug, Serialize)]
pub(super) struct Loss {
    pub(super) node: String,
    pub(super) kind: LossKind,
    /// What only this node has.
    pub(super) amount: Amount,
    /// Since when that was written, in seconds since 1970; none where nothing was, or it is not known.
    pub(super) since: Option<i64>,
    /// Bytes that a rejoin has set aside there, and that are nowhere else.
    pub(super) aside: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LossKind {
    /// It has the service: what was written and not sent.
    Active,
    /// It has a copy: only that.
    Standby,
    /// Nobody knows which of both has what.
    NotKnown,
}

/// A dataset.
#[derive(Debug, Serialize)]
pub(super) struct DatasetLine {
    pub(super) dataset: String,
    pub(super) basis: Basis,
    pub(super) common: Option<String>,
    pub(super) common_taken: Option<i64>,
    pub(super) age_seconds: Option<u64>,
    pub(super) goal_seconds: Option<u64>,
    pub(super) late: bool,
    pub(super) snapshots_behind: Option<usize>,
    pub(super) only_on_active: Amount,
}

/// Draws it.
pub(super) fn picture(facts: &Facts) -> Picture {
    let (here, there) = verdicts(facts);
    let active = active(facts);
    let findings = findings::find(facts, (&here, &there), active.as_deref());
    let level = finding::worst(&findings);
    let names = [&facts.names.here, &facts.names.peer];
    Picture {
        pair: facts.pair.clone(),
        node: facts.names.here.clone(),
        peer: facts.names.peer.clone(),
        now: facts.now,
        level,
        peer_away: facts.away.as_ref().map(|away| away.why.clone()),
        nodes: vec![
            NodeLine {
                name: facts.names.here.clone(),
                role: here.role,
                why: why(facts, &here, true),
                epoch: epoch(&facts.seen.epoch),
            },
            NodeLine {
                name: facts.names.peer.clone(),
                role: there.role,
                why: why(facts, &there, false),
                epoch: match &facts.seen.peer {
                    PeerSaid::Answered { epoch: known, .. } => epoch(known),
                    PeerSaid::Unreachable(_) | PeerSaid::NotAsked => "?".to_string(),
                },
            },
        ],
        losses: names.into_iter().map(|node| loss(facts, node, active.as_deref())).collect(),
        datasets: lines(facts),
        findings,
        active,
    }
}

/// The node that was promoted last, where all roots say the same.
pub(super) fn active(facts: &Facts) -> Option<String> {
    let mut found = None;
    for root in &facts.roots {
        match root.holder(&facts.names) {
            Holder::One { node, .. } if found.as_ref().is_none_or(|known| *known == node) => {
                found = Some(node);
            }
            Holder::Nobody | Holder::Unseen => {}
            Holder::One { .. } | Holder::Doubt { .. } | Holder::Two { .. } => return None,
        }
    }
    found
}

/// What this node is, and what the other one is as seen from here: its own view of the cluster nobody has asked for.
fn verdicts(facts: &Facts) -> (Verdict, Verdict) {
    let here = decide(&facts.names, std::slice::from_ref(&facts.seen), Purpose::Run);
    let names = crate::role::decide::Names { here: facts.names.peer.clone(), peer: facts.names.here.clone() };
    let owner = |owner| match owner {
        Owner::Here => Owner::Node(facts.names.here.clone()),
        Owner::Node(name) if name == facts.names.peer => Owner::Here,
        other => other,
    };
    let mut reading = facts.seen.reading.clone();
    reading.owner = reading.owner.map(owner);
    let unknown = |why: &str| Epochs::unknown(facts.seen.epoch.each().map(|(root, _)| root.to_string()), why);
    let epoch = match &facts.seen.peer {
        PeerSaid::Answered { epoch, .. } => epoch.clone(),
        PeerSaid::Unreachable(why) => unknown(why),
        PeerSaid::NotAsked => unknown("it was not asked"),
    };
    let peer =
        PeerSaid::Answered { role: Seen::unknown("it was not asked"), epoch: facts.seen.epoch.clone() };
    let there =
        decide(&names, &[Observation { reading, peer, epoch, by_hand: Seen::Known(None) }], Purpose::Run);
    (here, there)
}

/// In a few words; what is wrong is among the findings.
fn why(facts: &Facts, verdict: &Verdict, here: bool) -> String {
    if !here && let Some(away) = &facts.away {
        return match away.reached {
            Some(reached) => format!("does not answer; reached {} ago", age(facts.now, reached)),
            None => "does not answer".to_string(),
        };
    }
    let service = match facts.seen.reading.owner.known() {
        Some(Owner::Here) => format!("the service is {}", if here { "here" } else { "not here" }),
        Some(Owner::Node(name)) if *name == facts.names.peer => {
            format!("the service is {}", if here { "not here" } else { "here" })
        }
        Some(Owner::Node(name)) => format!("the service is on {name}"),
        Some(Owner::Nowhere) => "the service runs nowhere".to_string(),
        None => "nobody knows where the service is".to_string(),
    };
    let more = match (verdict.role, verdict.remedy) {
        _ if !verdict.without.is_empty() => "; a part is left out, see below",
        (Role::Standby, Remedy::Promote | Remedy::Look) => ", and this node was not promoted",
        (Role::Standby, Remedy::Given) => ", and the other node has yet to be promoted",
        (Role::Isolated, Remedy::Rejoin) => ", and the other node has taken over",
        (Role::Isolated, Remedy::Handover) => ", and nobody has taken over",
        (Role::Isolated, Remedy::Choose) => ", and both nodes were promoted",
        (Role::Unknown, _) => "; see below",
        _ => "",
    };
    let said = facts.seen.by_hand.known().and_then(Option::as_ref).filter(|_| here);
    let said = said.map_or_else(String::new, |said| format!(" (set by hand to {})", said.role));
    format!("{service}{more}{said}")
}

/// In one cell: the roots of a node that follows get an epoch one after the other, and it is as far as the last of them.
fn epoch(epochs: &Epochs) -> String {
    let mut all: Vec<Option<&Epoch>> = Vec::new();
    for (_, epoch) in epochs.each() {
        match epoch {
            Seen::Known(epoch) => all.push(epoch.as_ref()),
            Seen::Unknown(_) => return "?".to_string(),
        }
    }
    let mut holders: Vec<&str> =
        all.iter().filter_map(|epoch| epoch.map(|epoch| epoch.holder.as_str())).collect();
    holders.dedup();
    match all.into_iter().min_by_key(|epoch| epoch.map_or(0, |epoch| epoch.number)) {
        _ if holders.len() > 1 => "mixed".to_string(),
        Some(Some(epoch)) => epoch.to_string(),
        Some(None) | None => "none".to_string(),
    }
}

fn loss(facts: &Facts, node: &str, active: Option<&str>) -> Loss {
    let aside = facts.asides.iter().filter(|aside| aside.node == node);
    let aside = aside.fold(0u64, |sum, aside| sum.saturating_add(aside.bytes.unwrap_or(0)));
    let mut loss = Loss {
        node: node.to_string(),
        kind: LossKind::NotKnown,
        amount: Amount::UNKNOWN,
        since: None,
        aside,
    };
    match active {
        None => {}
        Some(active) if active == node => {
            loss.kind = LossKind::Active;
            let seen = facts.roots.iter().all(|root| root.of(&facts.names, node).is_ok());
            let all = facts.lines.iter().map(|line| line.lost);
            let start = if seen { Amount::NOTHING } else { Amount::UNKNOWN };
            loss.amount = all.fold(start, Amount::plus);
            let behind = facts.lines.iter().filter(|line| line.is_behind());
            loss.since = behind.filter_map(|line| line.taken).min();
        }
        Some(_) => {
            loss.kind = LossKind::Standby;
            loss.amount = Amount::NOTHING;
        }
    }
    loss
}

/// What stands out first, and then by name.
fn lines(facts: &Facts) -> Vec<DatasetLine> {
    let mut lines: Vec<_> = facts.lines.iter().collect();
    lines.sort_by_key(|line| (!line.is_late(facts.now), line.common.is_some(), line.dataset.clone()));
    let shown = |line: &&super::facts::Line| DatasetLine {
        dataset: line.dataset.to_string(),
        basis: line.basis,
        common: line.common.as_ref().map(|common| common.name.short().to_string()),
        common_taken: line.taken,
        age_seconds: line.age(facts.now),
        goal_seconds: match line.goal {
            Goal::Every(seconds) => Some(seconds),
            Goal::Never | Goal::Unknown => None,
        },
        late: line.is_late(facts.now),
        snapshots_behind: line.behind,
        only_on_active: line.lost,
    };
    lines.iter().map(shown).collect()
}

/// How long ago something was.
pub(super) fn age(now: i64, then: i64) -> String {
    length(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}
