//! What is known of both nodes of a pair, as data, and what follows from two listings alone: who was promoted last, and
//! what each dataset has in common with its copy. Nothing here asks anybody; [`super::gather`] does.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::DatasetKind;
use zfs_core::Guid;
use zfs_core::name::DatasetName;

use crate::host::Base;
use crate::host::DatasetState;
use crate::host::SendSpec;
use crate::host::Snapshot;
use crate::pair::Belief;
use crate::pair::paused::Paused;
use crate::pair::verbs::look::Root;
use crate::role::decide::Names;
use crate::role::observation::Observation;

/// Everything that the picture is made of.
pub(super) struct Facts {
    pub(super) pair: String,
    pub(super) names: Names,
    /// How the other node is reached, as it is written before the colon of an endpoint.
    pub(super) machine: String,
    /// In seconds since 1970.
    pub(super) now: i64,
    /// What a role is found from, at one moment.
    pub(super) seen: Observation,
    /// The other node could not be asked.
    pub(super) away: Option<Away>,
    pub(super) roots: Vec<Sides>,
    pub(super) lines: Vec<Line>,
    /// Of roots that both nodes were promoted to in the same epoch: what each has alone.
    pub(super) apart: Vec<Apart>,
    pub(super) asides: Vec<Aside>,
    /// The pools here that are not in order, each with the kernel's word.
    pub(super) pools: Vec<(String, String)>,
    /// The filesystems that a promoted node mounts and this one has not.
    pub(super) unmounted: Vec<DatasetName>,
    /// The datasets whose pruning stands still here, by the newest run that could say so.
    pub(super) paused: Vec<Paused>,
    /// How many per cent the sizes of a dataset may differ by.
    pub(super) drift: u8,
    /// That this node is being promoted again and again.
    pub(super) flapping: Option<String>,
    /// What else could not be found out.
    pub(super) unread: Vec<String>,
}

/// The other node could not be asked.
#[derive(Clone, Debug)]
pub(super) struct Away {
    pub(super) why: String,
    /// When a run of this node reached it last, as far as that is remembered.
    pub(super) reached: Option<i64>,
}

/// A root on both nodes; where it could not be looked at, why.
pub(super) struct Sides {
    pub(super) name: DatasetName,
    pub(super) here: Result<Root, String>,
    pub(super) there: Result<Root, String>,
}

/// A dataset on both nodes.
pub(super) struct Line {
    pub(super) dataset: DatasetName,
    pub(super) basis: Basis,
    /// This node's own snapshot, up to which both have the same; none where there is none, or it is not known.
    pub(super) common: Option<Snapshot>,
    /// When it was taken.
    pub(super) taken: Option<i64>,
    /// Snapshots of the active node that the other one lacks.
    pub(super) behind: Option<usize>,
    /// Snapshots that only the standby has, after the common one.
    pub(super) ahead: usize,
    /// What only the active node has.
    pub(super) lost: Amount,
    /// What has to be estimated for that, on the active node.
    pub(super) stream: Option<SendSpec>,
    pub(super) goal: Goal,
}

/// A dataset that both nodes have gone on with.
pub(super) struct Apart {
    pub(super) dataset: DatasetName,
    pub(super) here: Own,
    pub(super) there: Own,
}

/// What a node has of a dataset since the newest snapshot that both have; all of it where there is none.
pub(super) struct Own {
    pub(super) snapshots: usize,
    pub(super) amount: Amount,
    /// What has to be estimated for that.
    pub(super) stream: Option<SendSpec>,
}

impl Own {
    /// Of a dataset that is not there.
    fn nothing() -> Self {
        Self { snapshots: 0, amount: Amount::NOTHING, stream: None }
    }

    fn of(state: &DatasetState, copy: Option<&DatasetState>) -> Self {
        let has = |one: &Snapshot| {
            copy.is_some_and(|copy| copy.snapshots.iter().any(|other| other.guid == one.guid))
        };
        let line = line(state, state.snapshots.iter().rposition(has), Basis::Both);
        Self { snapshots: line.behind.unwrap_or_default(), amount: line.lost, stream: line.stream }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.snapshots == 0 && self.amount == Amount::NOTHING
    }
}

/// The datasets of a root by name.
fn states(root: &Root) -> BTreeMap<&DatasetName, &DatasetState> {
    root.datasets().map(|state| (&state.name, state)).collect()
}

/// What a line rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Basis {
    /// Both nodes were looked at.
    Both,
    /// This node is active, and the other one as a run has seen it last.
    Remembered,
    /// This node is standby, and the active one could not be asked.
    OwnCopy,
    /// The active one has it, and nothing else is known.
    Unknown,
}

/// Bytes that are not known exactly where a part of them could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) exact: bool,
}

impl Amount {
    pub(super) const NOTHING: Self = Self { bytes: 0, exact: true };
    pub(super) const UNKNOWN: Self = Self { bytes: 0, exact: false };

    pub(super) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), exact: self.exact && other.exact }
    }
}

/// How often snapshots of a dataset are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Every so many seconds.
    Every(u64),
    /// No policy takes any.
    Never,
    /// The policies could not be found out.
    Unknown,
}

/// A dataset that a rejoin has set aside.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) node: String,
    pub(super) dataset: DatasetName,
    /// What its removal would free; none where that is not known.
    pub(super) bytes: Option<u64>,
    pub(super) kind: DatasetKind,
}

/// Who was promoted last, by the epochs of one root on both nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// As far as could be looked, nobody.
    Nobody,
    One {
        epoch: u64,
        node: String,
    },
    /// An epoch that is not believed.
    Doubt {
        node: String,
        why: String,
    },
    /// Both were, to the same epoch.
    Two {
        epoch: u64,
    },
    /// No side could be looked at.
    Unseen,
}

impl Sides {
    pub(super) fn of<'a>(&'a self, names: &Names, node: &str) -> Result<&'a Root, &'a str> {
        let side = if node == names.here { &self.here } else { &self.there };
        side.as_ref().map_err(String::as_str)
    }

    pub(super) fn holder(&self, names: &Names) -> Holder {
        let sides = [(&names.here, &self.here), (&names.peer, &self.there)];
        let mut found = Holder::Unseen;
        for (node, root) in sides.iter().filter_map(|(node, side)| Some((node, side.as_ref().ok()?))) {
            let new = match &root.belief {
                Belief::None => Holder::Nobody,
                Belief::Known(epoch) => Holder::One { epoch: epoch.number, node: epoch.holder.to_string() },
                Belief::Unknown(doubt) => {
                    return Holder::Doubt { node: (*node).clone(), why: doubt.to_string() };
                }
            };
            found = match (found, new) {
                (Holder::One { epoch, node }, Holder::One { epoch: other, node: to })
                    if epoch == other && node != to =>
                {
                    return Holder::Two { epoch };
                }
                (Holder::One { epoch, node }, Holder::One { epoch: other, .. }) if epoch >= other => {
                    Holder::One { epoch, node }
                }
                (known @ Holder::One { .. }, Holder::Nobody) => known,
                (_, new) => new,
            };
        }
        found
    }

    /// What each node has alone, of a root that both were promoted to in the same epoch.
    pub(super) fn apart(&self, names: &Names) -> Vec<Apart> {
        let (Holder::Two { .. }, Ok(here), Ok(there)) = (self.holder(names), &self.here, &self.there) else {
            return Vec::new();
        };
        let (ours, theirs) = (states(here), states(there));
        let all: BTreeSet<&DatasetName> = ours.keys().chain(theirs.keys()).copied().collect();
        let own = |of: &BTreeMap<&DatasetName, &DatasetState>,
                   copies: &BTreeMap<&DatasetName, &DatasetState>,
                   name: &DatasetName| {
            let copy = copies.get(name).copied();
            of.get(name).map_or_else(Own::nothing, |state| Own::of(state, copy))
        };
        let apart = all.into_iter().map(|name| Apart {
            dataset: name.clone(),
            here: own(&ours, &theirs, name),
            there: own(&theirs, &ours, name),
        });
        apart.filter(|one| !(one.here.is_nothing() && one.there.is_nothing())).collect()
    }

    /// Its datasets, each with what it has in common with its copy. `remembered` gives what a run has last seen there.
    pub(super) fn lines(
        &self,
        names: &Names,
        remembered: &dyn Fn(&DatasetName) -> Option<Guid>,
    ) -> Vec<Line> {
        let Holder::One { node, .. } = self.holder(names) else { return Vec::new() };
        let active_here = node == names.here;
        let (active, standby) =
            if active_here { (&self.here, &self.there) } else { (&self.there, &self.here) };
        match (active, standby) {
            (Ok(active), Ok(standby)) => {
                let copy = |state: &DatasetState| standby.tree.as_ref()?.get(&state.name);
                active.datasets().map(|state| both(state, copy(state), active_here)).collect()
            }
            (Ok(active), Err(_)) => {
                let line = |state: &DatasetState| {
                    let guid = remembered(&state.name).filter(|_| active_here);
                    let at = state.snapshots.iter().rposition(|one| Some(one.guid) == guid);
                    let basis = if at.is_some() { Basis::Remembered } else { Basis::Unknown };
                    Line { common: at.map(|at| state.snapshots[at].clone()), ..line(state, at, basis) }
                };
                active.datasets().map(line).collect()
            }
            (Err(_), Ok(standby)) => {
                let line = |state: &DatasetState| Line {
                    common: state.snapshots.last().cloned(),
                    behind: None,
                    lost: Amount::UNKNOWN,
                    stream: None,
                    ..line(state, None, Basis::OwnCopy)
                };
                standby.datasets().map(line).collect()
            }
            (Err(_), Err(_)) => Vec::new(),
        }
    }
}

/// A dataset that both nodes were asked for.
fn both(active: &DatasetState, copy: Option<&DatasetState>, active_here: bool) -> Line {
    let has = |side: &DatasetState, one: &Snapshot| side.snapshots.iter().any(|other| other.guid == one.guid);
    let at = copy.and_then(|copy| active.snapshots.iter().rposition(|one| has(copy, one)));
    let on_copy = copy.and_then(|copy| copy.snapshots.iter().rposition(|one| has(active, one)));
    let ahead = copy.map_or(0, |copy| copy.snapshots.len() - on_copy.map_or(0, |at| at + 1));
    let own = match (active_here, copy) {
        (true, _) => at.map(|at| active.snapshots[at].clone()),
        (false, Some(copy)) => on_copy.map(|at| copy.snapshots[at].clone()),
        (false, None) => None,
    };
    Line { common: own, ahead, ..line(active, at, Basis::Both) }
}

/// What a dataset of the active node has since the snapshot at this place; all of it where there is none.
fn line(state: &DatasetState, at: Option<usize>, basis: Basis) -> Line {
    let behind = state.snapshots.len() - at.map_or(0, |at| at + 1);
    let stream = match (at, state.snapshots.last()) {
        (Some(at), Some(newest)) if behind > 0 => {
            let base = &state.snapshots[at];
            Some(SendSpec {
                to: newest.clone(),
                from: Some(Base::Snapshot(base.name.clone(), base.guid)),
                raw: state.encrypted(),
                flags: None,
                resume: None,
                compress: false,
            })
        }
        _ => None,
    };
    let lost = match (at, basis) {
        (None, Basis::Unknown) => Amount::UNKNOWN,
        (None, _) => Amount { bytes: state.referenced, exact: true },
        (Some(_), _) => Amount { bytes: state.written, exact: stream.is_none() },
    };
    Line {
        dataset: state.name.clone(),
        basis,
        common: None,
        taken: None,
        behind: (basis != Basis::Unknown).then_some(behind),
        ahead: 0,
        lost,
        stream,
        goal: Goal::Unknown,
    }
}

impl Line {
    /// Whether the active node has something that the other one lacks; true also where that is not known.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.is_none_or(|behind| behind > 0) || self.lost != Amount::NOTHING
    }

    /// How old the newest common snapshot is, in seconds. One that is dated in the future has no age.
    pub(super) fn age(&self, now: i64) -> Option<u64> {
        self.taken.map(|taken| u64::try_from(now.saturating_sub(taken)).unwrap_or(0))
    }

    /// The next snapshot and the next run have both passed, and what was written has not arrived.
    pub(super) fn is_late(&self, now: i64) -> bool {
        let Goal::Every(goal) = self.goal else { return false };
        self.is_behind() && self.age(now).is_some_and(|age| age > goal.saturating_mul(2))
    }
}
