//! What keeps a snapshot that no rule keeps: targets that need it as their base, sends that wait for it, holds and
//! clones. And the warning before a target's base is kept for nothing but the target.

use std::fmt;

use serde::Serialize;
use zfs_core::Guid;

/// Somebody who needs a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Need {
    /// It is the newest that this target has as well: what the next incremental stream starts from.
    Base {
        /// The target.
        target: String,
    },
    /// It is the newest that this target was last known to have, or may have got since: it cannot be asked now.
    LastBase {
        /// The target.
        target: String,
    },
    /// It is about to be sent, or is being sent, to this target.
    Pending {
        /// The target.
        target: String,
    },
    /// A hold.
    Hold {
        /// Its tag.
        tag: String,
    },
    /// A clone has it as its origin.
    Clone {
        /// The clone.
        dataset: String,
    },
    /// A guard keeps it.
    Guard {
        /// Why, in a whole sentence.
        why: String,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { target } => write!(f, "the newest common base of target {target}"),
            Self::LastBase { target } => {
                write!(f, "the last known base of target {target}, which cannot be asked now")
            }
            Self::Pending { target } => write!(f, "waits to be sent to target {target}"),
            Self::Hold { tag } => write!(f, "held by {tag:?}"),
            Self::Clone { dataset } => write!(f, "the origin of {dataset}"),
            Self::Guard { why } => f.write_str(why),
        }
    }
}

/// A snapshot that is needed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The snapshot.
    pub guid: Guid,
    /// Who needs it.
    pub by: Need,
}

/// The newest snapshot that this side and a target have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// This snapshot must stay.
    Snapshot(Guid),
    /// There is a bookmark of it, and on this side that is enough: it is the source of a one-way job.
    Bookmark(Guid),
    /// There is none: nothing was ever sent, or the two have nothing in common. It was looked at and is known.
    None,
    /// Nobody knows. Nothing may be destroyed.
    Unknown,
}

/// A configured target, or, seen from a target, its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called in messages.
    pub name: String,
    /// What it has in common with this side.
    pub base: Base,
}

/// A target is away for long: the newest snapshot it has is old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Away {
    /// The target.
    pub target: String,
    /// For how long, in seconds.
    pub away: u64,
    /// How long it may be, in seconds.
    pub limit: u64,
}

impl Away {
    /// Whether `target`, whose newest common snapshot is of `since`, is away for more than six sevenths of `limit`
    /// seconds. Times are in seconds since 1970; a date in the future is no absence.
    ///
    /// The limit is the target's own, where it has one, as a removable disk may; else how long the rules keep the base
    /// ([`super::kept_until`]).
    #[must_use]
    pub fn look(target: &str, since: i64, limit: u64, now: i64) -> Option<Self> {
        let away = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
        // Without an overflow, whatever was configured.
        let warn_from = limit - limit / 7;
        (away >= warn_from && away > 0).then(|| Self { target: target.to_string(), away, limit })
    }

    /// Whether the limit is over: what is left of the base is kept only for this target.
    #[must_use]
    pub fn over(&self) -> bool {
        self.away >= self.limit
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) = match self.limit {
            172_800.. => ("days", 86_400),
            7200.. => ("hours", 3600),
            _ => ("minutes", 60),
        };
        let (away, limit) = (self.away / seconds, self.limit / seconds);
        write!(f, "target {} away {away} of {limit} {unit}", self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_target_is_reported_before_its_limit_is_over() {
        let look = |days: u64| Away::look("x", 1_000_000, 7 * DAY, 1_000_000 + (days * DAY) as i64);
        assert_eq!(look(5), None);
        let near = look(6).expect("a warning");
        assert_eq!(near.to_string(), "target x away 6 of 7 days");
        assert!(!near.over());
        assert!(look(7).expect("an alarm").over());
        assert_eq!(look(30).expect("an alarm").to_string(), "target x away 30 of 7 days");
    }

    #[test]
    fn absurd_times_do_no_harm() {
        assert_eq!(Away::look("x", i64::MAX, 1, 0), None);
        assert_eq!(Away::look("x", i64::MAX, 0, 0), None);
        assert_eq!(Away::look("x", i64::MIN, u64::MAX, 0), None);
        assert!(Away::look("x", i64::MIN, 1, i64::MAX).expect("an alarm").over());
        assert_eq!(
            Away::look("x", 0, 5400, 5000).expect("a warning").to_string(),
            "target x away 83 of 90 minutes"
        );
    }
}
