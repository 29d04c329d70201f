//! The last snapshots that demotions and handovers take, `handover-<epoch>`. No policy knows of them, and each move of the
//! service leaves one in every dataset that was written to: the newest few stay, and of the rest what somebody needs. Only
//! within the roots of pairs, where this program has taken them itself; whoever else uses such a name there is told so in the
//! documentation.

use std::collections::BTreeMap;

use zfs_core::Guid;

use crate::policy::Base;
use crate::policy::Decision;
use crate::policy::Need;
use crate::policy::Reason;
use crate::policy::Snapshot;
use crate::prune::Protection;

/// What the names begin with; the epoch follows, and a number where there are several of one epoch.
pub const HANDOVER: &str = "handover";

/// How many of a dataset stay in any case.
pub const KEPT: u32 = 3;

/// Whether a snapshot is one of these, by its name without the dataset.
#[must_use]
pub fn is_handover(short: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = short.strip_prefix(HANDOVER).and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    match rest.split_once('-') {
        None => number(rest),
        Some((epoch, count)) => number(epoch) && number(count),
    }
}

/// Whether a dataset has more of them than stay in any case, so that it is worth asking who needs them.
#[must_use]
pub fn are_many(snapshots: &[Snapshot]) -> bool {
    snapshots.iter().filter(|one| is_handover(one.name.short())).nth(KEPT as usize).is_some()
}

/// A decision for each of them, the oldest first. `snapshots` are all of the dataset.
#[must_use]
pub fn decide<'a>(snapshots: &'a [Snapshot], protection: &Protection) -> Vec<Decision<'a>> {
    let mut ours: Vec<_> = snapshots.iter().filter(|one| is_handover(one.name.short())).collect();
    ours.sort_by_key(|one| one.createtxg);
    let newest = snapshots.iter().max_by_key(|one| one.createtxg).map(|one| one.guid);
    let needs = needs(protection);
    let unknown = protection.targets.iter().find(|target| target.base == Base::Unknown);
    let decide = |(place, snapshot): (u32, &'a Snapshot)| {
        let (keep, reason) = if Some(snapshot.guid) == newest {
            (true, Reason::Newest)
        } else if place <= KEPT {
            (true, Reason::Among { place, newest: KEPT })
        } else if let Some(need) = needs.get(&snapshot.guid) {
            (true, Reason::Needed { by: need.clone() })
        } else if let Some(target) = unknown {
            (true, Reason::BaseUnknown { target: target.name.clone() })
        } else {
            (false, Reason::Handover { place, newest: KEPT })
        };
        Decision { snapshot, keep, reason }
    };
    let mut decided: Vec<_> = (1..).zip(ours.into_iter().rev()).map(decide).collect();
    decided.reverse();
    decided
}

/// Who needs which snapshot. Of a base that is a bookmark on this side the snapshot stays, too: what is active here follows
/// one day, and then a snapshot is needed.
fn needs(protection: &Protection) -> BTreeMap<Guid, Need> {
    let base = |target: &crate::policy::Target| match target.base {
        Base::Snapshot(guid) | Base::Bookmark(guid) => {
            Some((guid, Need::Base { target: target.name.clone() }))
        }
        Base::None | Base::Unknown => None,
    };
    let others = protection.needed.iter().map(|one| (one.guid, one.by.clone()));
    let mut needs = BTreeMap::new();
    for (guid, need) in protection.targets.iter().filter_map(base).chain(others) {
        needs.entry(guid).or_insert(need);
    }
    needs
}

#[cfg(test)]
mod tests {
    use zfs_core::Txg;

    use super::*;
    use crate::policy::Needed;
    use crate::policy::Target;

    /// Snapshots by name, in the order in which they were taken; their GUIDs count from 1.
    fn taken(names: &[&str]) -> Vec<Snapshot> {
        let one = |(number, name): (u64, &&str)| Snapshot {
            name: format!("zpool1/data@{name}").parse().expect("a name"),
            guid: Guid(number),
            createtxg: Txg(number),
            creation: 1_800_000_000,
        };
        (1..).zip(names).map(one).collect()
    }

    fn gone(snapshots: &[Snapshot], protection: &Protection) -> Vec<String> {
        let decided = decide(snapshots, protection);
        assert!(decided.iter().all(|one| !one.reason.to_string().is_empty()));
        decided.iter().filter(|one| !one.keep).map(|one| one.snapshot.name.short().to_string()).collect()
    }

    const MANY: [&str; 8] = [
        "handover-1",
        "autosnap_2026-11-21_00:00:00_hourly",
        "handover-2",
        "handover-2-2",
        "handover-4",
        "divergent-5",
        "handover-10",
        "autosnap_2026-11-21_01:00:00_hourly",
    ];

    #[test]
    fn the_newest_few_stay_by_the_order_in_which_they_were_taken() {
        let all = taken(&MANY);
        assert_eq!(gone(&all, &Protection::default()), ["handover-1", "handover-2"]);
        let decided = decide(&all, &Protection::default());
        assert_eq!(decided.len(), 5, "the others are no matter of ours");
        assert_eq!(decided[0].reason.to_string(), "number 5 of the last snapshots of demotions, 3 are kept");
        assert!(are_many(&all) && are_many(&all[2..]) && !are_many(&all[3..]));
        // The last one there is stays, whatever number it has.
        let mut old = taken(&["handover-9", "handover-8", "handover-7", "handover-6"]);
        assert_eq!(gone(&old, &Protection::default()), ["handover-9"]);
        old.truncate(3);
        assert_eq!(gone(&old, &Protection::default()), [""; 0]);
    }

    #[test]
    fn what_somebody_needs_stays_and_so_does_all_while_a_base_is_not_known() {
        let all = taken(&MANY);
        let target = |base| Target { name: "thinkpad".to_string(), base };
        for base in [Base::Snapshot(Guid(1)), Base::Bookmark(Guid(1))] {
            let common = Protection { targets: vec![target(base)], ..Protection::default() };
            assert_eq!(gone(&all, &common), ["handover-2"], "the newest common one is never taken away");
        }
        let held = Needed { guid: Guid(3), by: Need::Hold { tag: "mine".to_string() } };
        let held = Protection { needed: vec![held], ..Protection::default() };
        assert_eq!(gone(&all, &held), ["handover-1"]);
        let unknown = Protection { targets: vec![target(Base::Unknown)], ..Protection::default() };
        assert_eq!(gone(&all, &unknown), [""; 0]);
        let nothing_common = Protection { targets: vec![target(Base::None)], ..Protection::default() };
        assert_eq!(gone(&all, &nothing_common).len(), 2);
    }

    #[test]
    fn only_names_that_demotions_give_are_theirs() {
        for name in ["handover-1", "handover-12", "handover-12-2"] {
            assert!(is_handover(name), "{name}");
        }
        for name in [
            "handover",
            "handover-",
            "handover-x",
            "handover-1-",
            "handover-1-x",
            "handover-1-2-3",
            "my-handover-1",
            "divergent-1",
            "accepted-1",
        ] {
            assert!(!is_handover(name), "{name}");
        }
    }
}
