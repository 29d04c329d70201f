//! Which snapshots of a dataset are due now.
//!
//! The period is due when no snapshot was taken in the present slot ([`Schedule::slot`]). So a run that comes late
//! takes the snapshot late, runs that never came cost one snapshot each slot and no more, and a clock that jumps forward
//! is nothing but a late run.
//!
//! Dates are not trusted: a clock may have been wrong for a while.
//! - A snapshot counts for the slot that it is dated in, also when that is a little ahead of the clock: a clock that
//!   steps back makes no second one. One dated after the present slot counts for nothing now.
//! - A snapshot that is older by createtxg than another which is dated before the slot cannot have been taken in the
//!   slot, whatever its own date says. So snapshots dated in the future do not suppress others when their time comes.
//! - Where a snapshot is dated in the future, the clock was ahead when it was taken, by that much at least, and as long
//!   before as dates go on without a jump as wide. Those snapshots count as that much older.
//!
//! When two dates contradict each other and either may be the wrong one, this errs towards one snapshot more.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use serde::Serialize;

use super::Style;
use super::names::Naming;
use super::period::Period;
use super::sanoid;
use super::schedule::Schedule;
use super::slots::Slot;
use super::snapshot::Snapshot;

/// Whether the snapshot of a period is due, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The period.
    pub period: Period,
    /// Whether one is to be taken now.
    pub due: bool,
    /// When the present slot began, in seconds since 1970.
    pub slot: i64,
    /// Why.
    pub reason: DueReason,
}

/// Why a snapshot is due or not. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum DueReason {
    /// Due: there is none of this period yet.
    First,
    /// Due: the newest one was taken before the slot began.
    Began {
        /// The newest one.
        newest: SnapshotText,
    },
    /// Due: the only ones of this slot are dated wrongly. They are older than a snapshot of before the slot, or dated
    /// after its end.
    Misdated {
        /// One of them.
        snapshot: SnapshotText,
    },
    /// Not due: the snapshot of this slot exists.
    Taken {
        /// It.
        snapshot: SnapshotText,
    },
}

/// A snapshot in a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotText {
    /// What stands behind the `@` of its name.
    pub name: String,
    /// Its date, in seconds since 1970.
    pub creation: i64,
}

impl From<&Snapshot> for SnapshotText {
    fn from(snapshot: &Snapshot) -> Self {
        Self { name: snapshot.name.short().to_string(), creation: snapshot.creation }
    }
}

/// An answer for each period that the schedule takes, the longest period first.
///
/// `snapshots` are all of the dataset, in any order: those of nobody's policy say something about dates as well.
#[must_use]
pub fn due(
    schedule: &Schedule,
    style: Style,
    naming: &Naming,
    snapshots: &[Snapshot],
    now: Timestamp,
) -> Vec<Due> {
    let known = Known::new(naming, snapshots, now.as_second());
    let answer = |period| {
        let slot = match style {
            Style::Ours => schedule.slot(period, now),
            Style::Sanoid => sanoid::slot(schedule, period, now),
        };
        let slot = slot?;
        let reason = known.reason(period, slot, now.as_second());
        let due = !matches!(reason, DueReason::Taken { .. });
        Some(Due { period, due, slot: slot.start, reason })
    };
    Period::ALL.into_iter().filter_map(answer).collect()
}

/// Snapshots of policies, the newest first, each with the latest time at which it can have been taken.
struct Known<'a>(Vec<(Period, &'a Snapshot, i64)>);

impl<'a> Known<'a> {
    fn new(naming: &Naming, snapshots: &'a [Snapshot], now: i64) -> Self {
        let mut order: Vec<_> = snapshots.iter().collect();
        order.sort_by_key(|one| Reverse((one.createtxg, one.creation)));
        let (wrong, ahead) = ahead(&order, now);
        let mut earliest = i64::MAX;
        let mut known = Vec::new();
        for (at, one) in order.into_iter().enumerate() {
            if let Some(period) = naming.period(one.name.short()) {
                let shifted = one.creation.saturating_sub(if wrong.contains(&at) { ahead } else { 0 });
                known.push((period, one, earliest.min(shifted)));
            }
            earliest = earliest.min(one.creation);
        }
        Self(known)
    }

    fn reason(&self, period: Period, slot: Slot, now: i64) -> DueReason {
        let of_period = || self.0.iter().filter(|(of, ..)| *of == period);
        // Of sanoid's slots, one can be over before the next is seen.
        let end = slot.next.max(now + 1);
        let taken = |(_, one, latest): &&(Period, &Snapshot, i64)| {
            (slot.start..end).contains(&one.creation) && *latest >= slot.start
        };
        if let Some((_, one, _)) = of_period().find(taken) {
            return DueReason::Taken { snapshot: (*one).into() };
        }
        match of_period().next() {
            None => DueReason::First,
            Some((_, newest, _)) if newest.creation < slot.start => {
                DueReason::Began { newest: (*newest).into() }
            }
            Some((_, newest, _)) => DueReason::Misdated { snapshot: (*newest).into() },
        }
    }
}

/// Which of the snapshots, the newest first, were taken while the clock was ahead, and by how many seconds: the one
/// that is dated furthest in the future, and those before it up to a gap in which the clock may have gone wrong.
fn ahead(order: &[&Snapshot], now: i64) -> (Range<usize>, i64) {
    let furthest = order.iter().enumerate().max_by_key(|(at, one)| (one.creation, Reverse(*at)));
    let Some((first, furthest)) = furthest.filter(|(_, one)| one.creation > now) else { return (0..0, 0) };
    let ahead = furthest.creation.saturating_sub(now);
    let goes_on = |pair: &&[&Snapshot]| pair[0].creation.saturating_sub(pair[1].creation) < ahead;
    let before = order[first..].windows(2).take_while(goes_on).count();
    (first..first + before + 1, ahead)
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (period, slot) = (self.period, Utc(self.slot));
        match &self.reason {
            DueReason::First => write!(f, "{period}: due, there is none yet"),
            DueReason::Began { newest } => {
                write!(f, "{period}: due since {slot}, the newest is of {}", Utc(newest.creation))
            }
            DueReason::Misdated { snapshot } => write!(
                f,
                "{period}: due since {slot}; {} is dated {}, which cannot be right",
                snapshot.name,
                Utc(snapshot.creation)
            ),
            DueReason::Taken { snapshot } => {
                write!(f, "{period}: not due, {} was taken since {slot}", snapshot.name)
            }
        }
    }
}

/// A time in messages.
pub(super) struct Utc(pub(super) i64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "second {}", self.0),
        }
    }
}
