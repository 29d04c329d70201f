//! The pools of both nodes: versions of OpenZFS, features that streams need, and room for what is to come.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytesize::ByteSize;
use zfs_core::name::DatasetName;

use super::copies::Found;
use super::copies::Sides;
use super::unknown;
use crate::check::Finding;
use crate::host::About;
use crate::host::DatasetState;
use crate::host::Version;
use crate::plan;
use crate::role::decide::Names;
use crate::role::observation::Seen;

const DAY: i64 = 86_400;

/// What is written a day is found from so many seconds back.
const LOOKED_AT: i64 = 7 * DAY;

/// For how many days there should be room.
const DAYS: u64 = 7;

/// The oldest OpenZFS that all of this works with.
const OLDEST: Version = Version { major: 2, minor: 1, patch: 0 };

/// A pool on both nodes; where it could not be asked, why.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// On this node.
    pub here: Result<About, String>,
    /// On the other one.
    pub there: Result<About, String>,
}

/// The versions of OpenZFS.
pub(super) fn versions(pools: &[Pool], names: &Names) -> Vec<Finding> {
    let first = |of: &dyn Fn(&Pool) -> Option<Version>| pools.iter().find_map(of);
    let here = first(&|pool: &Pool| pool.here.as_ref().ok()?.version);
    let there = first(&|pool: &Pool| pool.there.as_ref().ok()?.version);
    let mut all = Vec::new();
    for (node, version) in [(&names.here, here), (&names.peer, there)] {
        match version {
            None => {
                let fix = format!("see what `zfs version` prints on {node}");
                let what = format!("the version of OpenZFS on {node}");
                all.push(unknown("version", what, "its kernel module does not say it", fix));
            }
            Some(version) if version < OLDEST => {
                let text = format!("{node} has OpenZFS {version}");
                all.push(Finding::fail("version", text, format!("upgrade it to {OLDEST} or later")));
            }
            Some(_) => {}
        }
    }
    match (here, there) {
        (Some(one), Some(two)) if one == two => {
            all.push(Finding::ok("version", format!("both nodes have OpenZFS {one}")));
        }
        (Some(one), Some(two)) => {
            let (older, newer) =
                if one < two { (&names.here, &names.peer) } else { (&names.peer, &names.here) };
            let text = format!("{} has OpenZFS {one}, {} has {two}", names.here, names.peer);
            let fix = format!("upgrade {older} before pools of {newer} get features that it does not know");
            all.push(Finding::warn("version", text, fix));
        }
        _ => {}
    }
    all
}

/// What streams may need that the pool on the other side does not have.
pub(super) fn features(pools: &[Pool], names: &Names, active: Option<&str>) -> Vec<Finding> {
    let mut all = Vec::new();
    for pool in pools {
        let name = &pool.name;
        let (here, there) = match (&pool.here, &pool.there) {
            (Ok(here), Ok(there)) => (here, there),
            (Err(why), _) => {
                all.push(no_features(name, &names.here, why));
                continue;
            }
            (_, Err(why)) => {
                all.push(no_features(name, &names.peer, why));
                continue;
            }
        };
        let mut lacks = false;
        for (from, to) in
            [((&names.here, here), (&names.peer, there)), ((&names.peer, there), (&names.here, here))]
        {
            let missing = plan::may_lack(from.1, to.1);
            if missing.is_empty() {
                continue;
            }
            lacks = true;
            let list = missing.join(", ");
            let text =
                format!("{name} of {} uses {list}, which {name} of {} does not have enabled", from.0, to.0);
            let set: Vec<_> =
                missing.iter().map(|one| format!("`zpool set feature@{one}=enabled {name}`")).collect();
            let fix = format!(
                "on {}: {}; where it does not know a feature, upgrade OpenZFS first",
                to.0,
                set.join(", ")
            );
            // The other way round it is needed after a takeover.
            let now = active.is_none_or(|active| active == from.0);
            all.push(if now {
                Finding::fail("features", format!("{text}: what has it in it cannot be received there"), fix)
            } else {
                Finding::warn(
                    "features",
                    format!("{text}: after a takeover nothing of it could come back"),
                    fix,
                )
            });
        }
        if !lacks {
            all.push(Finding::ok("features", format!("{name} has on both nodes what streams need")));
        }
    }
    all
}

fn no_features(pool: &str, node: &str, why: &str) -> Finding {
    let fix = format!("on {node}: zpool status {pool}");
    unknown("features", format!("what features {pool} of {node} has"), why, fix)
}

/// How many bytes of a dataset are written a day, by its snapshots in the order of their taking, each with its date and with
/// `written` in zfsprops(7); none where there are too few. What was there with the first one was not written since.
#[must_use]
pub fn written_a_day(snapshots: &[(i64, u64)], now: i64) -> Option<u64> {
    let [first, rest @ ..] = snapshots else { return None };
    if rest.is_empty() {
        return None;
    }
    let begin = now.saturating_sub(LOOKED_AT);
    let span = now.saturating_sub(first.0.max(begin)).clamp(DAY, LOOKED_AT);
    let written =
        rest.iter().filter(|(at, _)| *at > begin).fold(0u128, |sum, (_, bytes)| sum + u128::from(*bytes));
    let daily = written.saturating_mul(DAY.unsigned_abs().into()) / u128::from(span.unsigned_abs());
    Some(u64::try_from(daily).unwrap_or(u64::MAX))
}

/// What has to fit into something.
struct Need {
    what: String,
    /// Bytes that may still be written there.
    available: u64,
    missing: u64,
    daily: Seen<u64>,
}

/// Whether there is room on the standby for what is missing there, and for what is written.
pub(super) fn room(
    roots: &[Sides],
    daily: &BTreeMap<DatasetName, Seen<u64>>,
    names: &Names,
    active: Option<&str>,
) -> Vec<Finding> {
    let Some(active) = active else { return Vec::new() };
    let standby = if active == names.here { &names.peer } else { &names.here };
    let pools: BTreeSet<_> = roots.iter().map(|root| root.name.pool()).collect();
    let mut all = Vec::new();
    for pool in pools {
        let (mut needs, mut known) = (Vec::new(), false);
        for root in roots.iter().filter(|root| root.name.pool() == pool) {
            let (from, to) =
                if active == names.here { (&root.here, &root.there) } else { (&root.there, &root.here) };
            // What could not be looked at is told as such.
            let (Ok(from), Ok(to)) = (from, to) else { continue };
            let daily = daily.get(&root.name).cloned();
            known |= to.root.tree.is_some();
            needs.push(Need {
                what: format!("{} of {standby}", root.name),
                available: available(to),
                missing: missing(from, to),
                daily: daily.unwrap_or_else(|| Seen::unknown("it was not looked for")),
            });
        }
        let Some(most) = needs.iter().map(|need| need.available).max() else { continue };
        if !known {
            let fix = format!("on {standby}: zpool list {pool}");
            let why = "nothing of the pair is there yet";
            all.push(unknown("space", format!("how much room {pool} of {standby} has"), why, fix));
            continue;
        }
        // Those that have less than their pool have a quota.
        all.extend(needs.iter().filter(|need| need.available > 0 && need.available < most).filter_map(tight));
        all.push(fits(&Need {
            what: format!("{pool} of {standby}"),
            available: most,
            missing: needs.iter().fold(0, |sum: u64, need| sum.saturating_add(need.missing)),
            daily: needs.into_iter().map(|need| need.daily).reduce(both).unwrap_or(Seen::Known(0)),
        }));
    }
    all
}

/// Bytes that may still be written into a root; 0 where it is not there.
fn available(found: &Found) -> u64 {
    found.root.tree.as_ref().map_or(0, |tree| tree.root().available)
}

/// Bytes that the active node's datasets refer to and their copies do not.
fn missing(from: &Found, to: &Found) -> u64 {
    let copy = |state: &DatasetState| to.root.tree.as_ref().and_then(|tree| tree.get(&state.name));
    let lacks =
        |state: &DatasetState| state.referenced.saturating_sub(copy(state).map_or(0, |copy| copy.referenced));
    from.root.datasets().fold(0, |sum: u64, state| sum.saturating_add(lacks(state)))
}

fn both(one: Seen<u64>, two: Seen<u64>) -> Seen<u64> {
    match (one, two) {
        (Seen::Known(one), Seen::Known(two)) => Seen::Known(one.saturating_add(two)),
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => Seen::Unknown(why),
    }
}

/// Of one that has a quota, only what does not fit.
fn tight(need: &Need) -> Option<Finding> {
    Some(fits(need)).filter(|finding| finding.grade > crate::check::Grade::Ok)
}

fn fits(need: &Need) -> Finding {
    let Need { what, available, missing, daily } = need;
    let has = format!("{what} has {} of room", ByteSize::b(*available));
    let lacks = match missing {
        0 => "nothing is missing there".to_string(),
        missing => format!("{} are missing there", ByteSize::b(*missing)),
    };
    let make_room =
        "make room: `zfs list -o space` shows what takes it; a quota shows in `zfs get quota,refquota`";
    let Some(left) = available.checked_sub(*missing) else {
        return Finding::fail("space", format!("{has}, and {lacks}"), make_room.to_string());
    };
    let daily = match daily {
        Seen::Known(daily) => *daily,
        Seen::Unknown(why) => {
            let text = format!("{has}, and {lacks}; how much is written a day is not known: {why}");
            return Finding::warn(
                "space",
                text,
                "look again when there are snapshots of some days".to_string(),
            );
        }
    };
    let written = format!("{has}, {lacks}, and {} are written a day", ByteSize::b(daily));
    match left.checked_div(daily) {
        Some(days) if days < DAYS => {
            let text = format!("{written}: without what pruning frees that lasts for {days} days");
            Finding::warn("space", text, make_room.to_string())
        }
        _ => Finding::ok("space", written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Grade;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn what_is_written_a_day_is_found_from_the_last_week() {
        assert_eq!(written_a_day(&[], NOW), None);
        assert_eq!(written_a_day(&[(NOW - 100, 5)], NOW), None);
        // All within an hour: as much in a day, at least.
        assert_eq!(written_a_day(&[(NOW - 3600, 1000), (NOW - 1800, 30), (NOW, 12)], NOW), Some(42));
        // What was there from the beginning does not count, nor what is older than a week.
        let days = |n: i64| NOW - n * DAY;
        assert_eq!(written_a_day(&[(days(2), 1 << 40), (days(1), 100), (NOW, 100)], NOW), Some(100));
        let old = [(days(30), 1), (days(20), 1 << 40), (days(6), 70), (NOW, 70)];
        assert_eq!(written_a_day(&old, NOW), Some(20));
        // A clock that went back, and a number that is no size.
        assert_eq!(written_a_day(&[(NOW + 5000, 1), (NOW + 6000, 7)], NOW), Some(7));
        assert_eq!(written_a_day(&[(days(1), 1), (NOW, u64::MAX), (NOW, u64::MAX)], NOW), Some(u64::MAX));
    }

    #[test]
    fn room_has_to_last_for_a_week() {
        let fits = |available, missing, daily| {
            fits(&Need { what: "tank of b".to_string(), available, missing, daily: Seen::Known(daily) })
        };
        assert_eq!(fits(1000, 1001, 0).grade, Grade::Fail);
        assert_eq!(fits(1000, 1000, 0).grade, Grade::Ok);
        assert_eq!(fits(1000, 300, 100).grade, Grade::Ok);
        let tight = fits(1000, 301, 100);
        assert_eq!(tight.grade, Grade::Warn);
        assert!(tight.text.contains("lasts for 6 days"), "{}", tight.text);
        let need =
            Need { what: String::new(), available: 9, missing: 0, daily: Seen::unknown("no snapshots") };
        let found = super::fits(&need);
        assert_eq!(found.grade, Grade::Warn, "what is not known is not good");
        assert!(found.text.contains("not known: no snapshots"), "{}", found.text);
    }

    #[test]
    fn features_are_needed_in_both_directions() {
        let names = Names { here: "a".to_string(), peer: "b".to_string() };
        let about = |features: &[(&str, &str)]| About {
            pool: "tank".to_string(),
            guid: zfs_core::Guid(1),
            version: Some(Version { major: 2, minor: 3, patch: 0 }),
            features: features
                .iter()
                .map(|(name, state)| ((*name).to_string(), (*state).to_string()))
                .collect(),
        };
        let all = [("extensible_dataset", "active"), ("large_blocks", "active"), ("lz4_compress", "active")];
        let pool = |here: &[(&str, &str)], there: &[(&str, &str)]| {
            vec![Pool { name: "tank".to_string(), here: Ok(about(here)), there: Ok(about(there)) }]
        };
        let grades = |pools: &[Pool], active: &str| {
            let found = features(pools, &names, Some(active));
            found.into_iter().map(|one| one.grade).collect::<Vec<_>>()
        };
        assert_eq!(grades(&pool(&all, &all), "a"), [Grade::Ok]);
        let without = pool(&all, &[("extensible_dataset", "enabled"), ("lz4_compress", "enabled")]);
        assert_eq!(grades(&without, "a"), [Grade::Fail]);
        assert_eq!(grades(&without, "b"), [Grade::Warn]);
        let found = features(&without, &names, Some("a"));
        let fix = found[0].fix.as_deref().unwrap_or_default();
        assert!(fix.contains("on b: `zpool set feature@large_blocks=enabled tank`"), "{fix}");
        let unseen =
            vec![Pool { name: "tank".to_string(), here: Ok(about(&all)), there: Err("gone".to_string()) }];
        assert_eq!(grades(&unseen, "a"), [Grade::Warn]);
    }
}
