//! Which snapshots of a dataset may go, with a reason for each that stays or goes.
//!
//! Only snapshots that a policy took ([`Naming::period`]) are decided about; those of others are not named at all.
//! One stays when a rule of the [`Retention`] keeps it, when somebody needs it ([`Need`]), or when there is doubt:
//! - The newest stays, whatever it was taken for.
//! - Newer and older is decided by createtxg, and no clock or name can change it.
//! - One dated in the future stays and takes no place of another: neither a clock that was wrong nor a sender that
//!   lies shortens a history.
//! - With a target whose base is not known, nothing goes.
//!
//! Given counts and ages as [`Retention::sanoid`] makes them, this is the rule of sanoid 2.3: a snapshot goes when it is
//! older than so many periods and more than so many of its period are left. Changed, because snapshots were lost: all of
//! the list above. There, the newest snapshot goes when the count of its period is 0, snapshots with a wrong date are
//! counted as the newest, and bases, holds and clones are not looked at.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;
use zfs_core::Guid;

use super::grid::Grid;
use super::grid::Step;
use super::names::Naming;
use super::period::PerPeriod;
use super::period::Period;
use super::protect::Base;
use super::protect::Need;
use super::protect::Needed;
use super::protect::Target;
use super::reason::Reason;
use super::retention::Retention;
use super::snapshot::Snapshot;
use super::zone::Zone;

/// What a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Pruning<'a> {
    /// All snapshots of the dataset, in any order.
    pub snapshots: &'a [Snapshot],
    /// How long they are kept.
    pub retention: &'a Retention,
    /// Which are a policy's.
    pub naming: &'a Naming,
    /// In which zone a day of a grid begins.
    pub zone: &'a Zone,
    /// Who needs which snapshot.
    pub needed: &'a [Needed],
    /// Every configured target of this dataset.
    pub targets: &'a [Target],
    /// How many percent of the pool are in use; `None` when it is not known.
    pub capacity: Option<u8>,
    /// The time.
    pub now: Timestamp,
}

/// Whether a snapshot stays, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: Reason,
}

/// A decision for each snapshot that a policy took, the oldest first.
#[must_use]
pub fn prune<'a>(pruning: Pruning<'a>) -> Vec<Decision<'a>> {
    let ours = ours(pruning.naming, pruning.snapshots);
    let rules = Rules::new(&ours, &pruning);
    let needs = needs(pruning.needed, pruning.targets);
    let unknown = pruning.targets.iter().find(|target| target.base == Base::Unknown);
    let put_off = put_off(pruning.retention, pruning.capacity);
    let decide = |(at, (_, snapshot)): (usize, &(Period, &'a Snapshot))| {
        let (keep, reason) = match rules.keeps(at) {
            Ok(reason) => (true, reason),
            Err(expired) => {
                if let Some(need) = needs.get(&snapshot.guid) {
                    (true, Reason::Needed { by: (*need).clone() })
                } else if let Some(target) = unknown {
                    (true, Reason::BaseUnknown { target: target.name.clone() })
                } else if let Some(put_off) = &put_off {
                    (true, put_off.clone())
                } else {
                    (false, expired)
                }
            }
        };
        Decision { snapshot, keep, reason }
    };
    ours.iter().enumerate().map(decide).collect()
}

/// How long the rules keep a snapshot when the dataset goes on as its schedule says, in seconds since 1970: until then
/// it is not only kept because somebody needs it. `None` when no rule lets it go, or it is not among the snapshots.
///
/// `lengths` are the lengths of the periods in seconds ([`Period::seconds`]), which tell how fast a count is used up.
#[must_use]
pub fn kept_until(pruning: Pruning<'_>, guid: Guid, lengths: &PerPeriod<u64>) -> Option<i64> {
    let ours = ours(pruning.naming, pruning.snapshots);
    let at = ours.iter().position(|(_, snapshot)| snapshot.guid == guid)?;
    let (period, snapshot) = ours[at];
    let retention = pruning.retention;
    let keep = retention.periods[period];
    if keep.is_none() && retention.grid.is_none() {
        return None;
    }
    let counted = keep.map_or(0, |keep| keep.age.max(u64::from(keep.count).saturating_mul(lengths[period])));
    let rules = Rules::new(&ours, &pruning);
    let steps = retention.grid.iter().flat_map(Grid::steps);
    let thinned = steps.filter(|step| rules.grid_firsts(step).contains(&at));
    let lasts = thinned.map(|step| step.width.seconds().saturating_mul(u64::from(step.count.get())));
    let longest = lasts.chain([counted]).max().unwrap_or(0);
    Some(snapshot.creation.saturating_add_unsigned(longest))
}

/// Those of a policy, the oldest first.
fn ours<'a>(naming: &Naming, snapshots: &'a [Snapshot]) -> Vec<(Period, &'a Snapshot)> {
    let period = |one: &'a Snapshot| Some((naming.period(one.name.short())?, one));
    let mut ours: Vec<_> = snapshots.iter().filter_map(period).collect();
    ours.sort_by_key(|(_, one)| (one.createtxg, one.creation));
    ours
}

/// By whom a snapshot is needed; by the first, when by several.
fn needs(needed: &[Needed], targets: &[Target]) -> BTreeMap<Guid, Need> {
    let base = |target: &Target| match target.base {
        Base::Snapshot(guid) => Some((guid, Need::Base { target: target.name.clone() })),
        Base::Bookmark(_) | Base::None | Base::Unknown => None,
    };
    let mut needs = BTreeMap::new();
    let others = needed.iter().map(|one| (one.guid, one.by.clone()));
    for (guid, need) in targets.iter().filter_map(base).chain(others) {
        needs.entry(guid).or_insert(need);
    }
    needs
}

fn put_off(retention: &Retention, capacity: Option<u8>) -> Option<Reason> {
    let limit = retention.defer.percent();
    match capacity {
        _ if limit == 0 => None,
        None => Some(Reason::CapacityUnknown { limit }),
        Some(capacity) => (capacity <= limit).then_some(Reason::Deferred { capacity, limit }),
    }
}

/// The rules, with the place that each snapshot has in them.
struct Rules<'a> {
    ours: &'a [(Period, &'a Snapshot)],
    retention: &'a Retention,
    zone: &'a Zone,
    now: i64,
    /// For each snapshot, the place among all and among its period, from the newest, which is 1. 0 for those that are
    /// dated in the future and have none.
    places: Vec<(u32, u32)>,
    /// For each snapshot, the step of the grid that keeps it.
    grid: Vec<Option<Step>>,
}

impl<'a> Rules<'a> {
    fn new(ours: &'a [(Period, &'a Snapshot)], pruning: &Pruning<'a>) -> Self {
        let now = pruning.now.as_second();
        let mut places = vec![(0, 0); ours.len()];
        let (mut all, mut of_period) = (0, PerPeriod::<u32>::default());
        for (at, (period, snapshot)) in ours.iter().enumerate().rev() {
            if snapshot.creation <= now {
                all += 1;
                of_period[*period] += 1;
                places[at] = (all, of_period[*period]);
            }
        }
        let grid = vec![None; ours.len()];
        let mut rules = Self { ours, retention: pruning.retention, zone: pruning.zone, now, places, grid };
        for step in pruning.retention.grid.iter().flat_map(Grid::steps) {
            for at in rules.grid_firsts(step) {
                rules.grid[at].get_or_insert(*step);
            }
        }
        rules
    }

    /// The snapshots that a step of a grid keeps: the first of each place, of the newest places that have any and of
    /// those that are not older than the step goes back. A count of places survives a clock that is ahead, the age of a
    /// place survives a flood of snapshots.
    fn grid_firsts(&self, step: &Step) -> BTreeSet<usize> {
        let mut firsts = BTreeMap::new();
        for (at, (_, snapshot)) in self.ours.iter().enumerate() {
            if snapshot.creation <= self.now {
                firsts.entry(step.place(snapshot.creation, self.zone)).or_insert(at);
            }
        }
        let oldest = step.place(self.now, self.zone).saturating_sub(i64::from(step.count.get()));
        let count = step.count.get() as usize;
        let newest = firsts.iter().rev().enumerate();
        newest.filter(|(nth, (place, _))| *nth < count || **place > oldest).map(|(_, (_, at))| *at).collect()
    }

    /// The rule that keeps a snapshot, or why none does.
    fn keeps(&self, at: usize) -> Result<Reason, Reason> {
        let (period, snapshot) = self.ours[at];
        let (place, of_period) = self.places[at];
        // The newest whose date can be right as well: a snapshot dated in the future does not stand in for it.
        if at + 1 == self.ours.len() || place == 1 {
            return Ok(Reason::Newest);
        }
        if snapshot.creation > self.now {
            return Ok(Reason::Future { creation: snapshot.creation });
        }
        let keep = self.retention.periods[period];
        if keep.is_none() && self.retention.grid.is_none() {
            return Ok(Reason::NoRule { period });
        }
        let keep = keep.unwrap_or_default();
        // Not below 0, see above.
        let age = self.now.abs_diff(snapshot.creation);
        if of_period <= keep.count {
            return Ok(Reason::Count { period, place: of_period, count: keep.count });
        }
        if age <= keep.age {
            return Ok(Reason::Age { period, age, limit: keep.age });
        }
        if place <= self.retention.newest {
            return Ok(Reason::Among { place, newest: self.retention.newest });
        }
        if let Some(step) = self.grid[at] {
            return Ok(Reason::Grid { step });
        }
        Err(Reason::Expired { period, place: of_period, count: keep.count, age, limit: keep.age })
    }
}
