//! What the sizes of a dataset of a pair say against pruning it. Nothing of it is written down anywhere: what a dataset was
//! before is what its own snapshots refer to, which both nodes have. A dataset that has lost most of its data at once
//! keeps all snapshots from before until a person has looked, and says so by a snapshot ([`ACCEPTED`]) that is sent to the
//! other node as any other; and where the active node has much less of it than the standby, or nothing, the standby prunes
//! nothing of it.
//!
//! Nothing else in a pair destroys or overwrites anything, whatever the sizes are: a stream onto a common snapshot goes
//! on, a source that knows nothing of the target's history is refused by that, and a rejoin sets aside.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zfs_core::Guid;
use zfs_core::Zfs;
use zfs_core::name::DatasetName;

use crate::config::pair::Guards;
use crate::host::HostError;
use crate::pair::guards::Told;
use crate::policy::Need;
use crate::policy::Needed;
use crate::prune::Protections;
use crate::survey::Survey;

/// What the snapshot is called that says that a loss was meant; the epoch follows.
pub const ACCEPTED: &str = "accepted";

/// What is lost in small steps within this many seconds is a sudden loss.
const DAY: i64 = 86_400;

/// Less than this many bytes is nothing that could be lost: a dataset without any files has about as much.
const FLOOR: u64 = 1 << 20;

/// A snapshot with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its name without the dataset.
    pub short: String,
    /// Its identity.
    pub guid: Guid,
    /// When it was taken, in seconds since 1970.
    pub at: i64,
    /// Bytes that it refers to.
    pub bytes: u64,
}

impl Size {
    fn accepts(&self) -> bool {
        self.short.strip_prefix(ACCEPTED).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// A dataset lost most of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The last snapshot from before it.
    pub before: Size,
    /// A snapshot from after it, which proves it.
    pub after: Size,
    /// All that are as old as the last one from before it, or older.
    pub older: Vec<Guid>,
}

impl Loss {
    /// The snapshots that stay as long as nobody has accepted it: those from before it, and the one that proves it. Without
    /// that one, those from before it would be the newest of a dataset that has lost nothing.
    pub fn stay(&self) -> impl Iterator<Item = Guid> {
        self.older.iter().copied().chain([self.after.guid])
    }
}

/// The last loss that nobody has accepted: one snapshot refers to less than so many per cent of what another one did, that
/// was taken at most a day before, or that is the next older one of those that are left, whatever its age. `sizes` are in
/// the order of createtxg, and no clock has to have gone the same way.
///
/// A loss is found again whatever is pruned meanwhile, as long as [`Loss::stay`] stays.
#[must_use]
pub fn loss(sizes: &[Size], guards: &Guards) -> Option<Loss> {
    // What was accepted is the measure for what comes after it.
    let from = sizes.iter().rposition(Size::accepts).unwrap_or(0);
    // Of those that were looked at already, by the time when they were taken: the places of those that have less than all
    // that were taken before them.
    let mut least: BTreeMap<i64, usize> = BTreeMap::new();
    for (at, size) in sizes.iter().enumerate().skip(from).rev() {
        let lost =
            |after: &usize| size.bytes > FLOOR && below(sizes[*after].bytes, size.bytes, guards.source_below);
        let up_to = size.at.saturating_add(DAY);
        let within = least.range(..=up_to).next_back().map(|(_, after)| *after);
        let next = (at + 1 < sizes.len()).then_some(at + 1);
        if let Some(after) = within.into_iter().chain(next).find(lost) {
            let older = sizes[..=at].iter().map(|size| size.guid).collect();
            return Some(Loss { before: size.clone(), after: sizes[after].clone(), older });
        }
        let known = least.range(..=size.at).next_back().map(|(_, known)| sizes[*known].bytes);
        if known.is_none_or(|known| size.bytes <= known) {
            while let Some((time, known)) = least.range(size.at..).next().map(|(time, known)| (*time, *known))
                && sizes[known].bytes >= size.bytes
            {
                least.remove(&time);
            }
            least.insert(size.at, at);
        }
    }
    None
}

/// A size that is far from what it was up to a day before, in either direction.
#[must_use]
pub fn drift(dataset: &DatasetName, sizes: &[Size], guards: &Guards) -> Option<Told> {
    let now = sizes.last()?;
    let within = |size: &&Size| (0..=DAY).contains(&now.at.saturating_sub(size.at));
    let before = sizes.iter().find(within)?;
    let (before, now) = (before.bytes, now.bytes);
    let far = u128::from(before.abs_diff(now)) * 100 > u128::from(before) * u128::from(guards.drift);
    (far && before.max(now) > FLOOR).then(|| Told::Drift { dataset: dataset.clone(), before, now })
}

/// Whether the active node has too little of a dataset for the standby to let go of anything.
#[must_use]
pub fn smaller(dataset: &DatasetName, active: u64, standby: u64, guards: &Guards) -> Option<Told> {
    let limit = guards.source_below;
    let found = standby > FLOOR && below(active, standby, limit);
    found.then(|| Told::Smaller { dataset: dataset.clone(), active, standby, limit })
}

/// Whether `part` is less than so many per cent of `whole`. Of nothing, nothing is less.
fn below(part: u64, whole: u64, per_cent: u8) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(per_cent)
}

/// Lists the sizes of a dataset of this machine.
///
/// # Errors
/// When one of its snapshots does not say what it refers to, or they cannot be listed.
pub fn list(zfs: &Zfs, dataset: &DatasetName) -> Result<Vec<Size>, HostError> {
    let mut all = Vec::new();
    for found in zfs.snapshots_with_numbers(dataset, ["creation", "referenced"])? {
        let (snapshot, [Some(creation), Some(bytes)]) = found? else {
            return Err(HostError::BadAnswer {
                host: "this machine".to_string(),
                operation: "the question for the sizes of snapshots",
                why: format!("a snapshot of {dataset} does not say when it was taken, or what it refers to"),
            });
        };
        let at = i64::try_from(creation).unwrap_or(i64::MAX);
        let short = snapshot.name.short().to_string();
        all.push((snapshot.createtxg, Size { short, guid: snapshot.guid, at, bytes }));
    }
    all.sort_by_key(|(createtxg, _)| *createtxg);
    Ok(all.into_iter().map(|(_, size)| size).collect())
}

/// Keeps what the sizes of these datasets of a pair say against pruning. `there` are the bytes that each refers to here and
/// on the other node, where this one is the standby and the other one could be asked; none there stands for a dataset that
/// the other one does not have.
pub fn protect(
    survey: &Survey,
    concerned: &BTreeSet<DatasetName>,
    list: &dyn Fn(&DatasetName) -> Result<Vec<Size>, HostError>,
    there: &BTreeMap<DatasetName, (u64, Option<u64>)>,
    guards: &Guards,
    protections: &mut Protections,
) -> Vec<Told> {
    let mut all = Vec::new();
    for seen in concerned.iter().filter_map(|dataset| survey.datasets.get(dataset)) {
        let dataset = &seen.name;
        let mut keep = |guids: &mut dyn Iterator<Item = Guid>, told: Told| {
            let by = Need::Guard { why: told.to_string() };
            let needed = &mut protections.entry(dataset.clone()).or_default().needed;
            needed.extend(guids.map(|guid| Needed { guid, by: by.clone() }));
            all.push(told);
        };
        let every = || seen.snapshots.iter().map(|one| one.guid);
        let mut drifts = None;
        match list(dataset) {
            Err(error) => {
                keep(&mut every(), Told::NoSizes { dataset: dataset.clone(), why: error.to_string() });
            }
            Ok(sizes) => match loss(&sizes, guards) {
                None => drifts = drift(dataset, &sizes, guards),
                Some(loss) => {
                    let loss = Box::new(loss);
                    keep(&mut loss.stay(), Told::Lost { dataset: dataset.clone(), loss: loss.clone() });
                }
            },
        }
        let less = there.get(dataset).and_then(|(here, there)| match there {
            None => Some(Told::Missing { dataset: dataset.clone(), standby: *here }),
            Some(there) => smaller(dataset, *there, *here, guards),
        });
        if let Some(told) = less {
            keep(&mut every(), told);
        }
        all.extend(drifts);
    }
    all
}

/// A number before a test says which known defect of scripts for such pairs it is about.
#[cfg(test)]
mod tests {
    use super::*;

    const GUARDS: Guards = Guards { source_below: 50, drift: 20, promote_age: None };
    const MIB: u64 = 1 << 20;
    const HOUR: i64 = 3600;

    fn data() -> DatasetName {
        "zpool1/data".parse().expect("a name")
    }

    /// Snapshots by hour and MiB; their GUIDs count from 1.
    fn sizes(of: &[(i64, u64)]) -> Vec<Size> {
        let one = |(place, (hour, mib)): (usize, &(i64, u64))| Size {
            short: format!("s{}", place + 1),
            guid: Guid(place as u64 + 1),
            at: 1_800_000_000 + hour * HOUR,
            bytes: mib * MIB,
        };
        of.iter().enumerate().map(one).collect()
    }

    /// The last snapshot before the loss, and one after it.
    fn lost(of: &[Size]) -> Option<(u64, u64)> {
        let loss = loss(of, &GUARDS)?;
        let older: Vec<_> = (1..=loss.before.guid.0).map(Guid).collect();
        assert_eq!(loss.older, older, "all that are older stay");
        Some((loss.before.guid.0, loss.after.guid.0))
    }

    /// 2: there is no history that could be missing. 4: no size divides by zero or overflows. 6: only what a dataset refers
    /// to itself counts.
    #[test]
    fn half_of_the_data_within_a_day_or_from_one_snapshot_to_the_next_is_a_loss() {
        for (of, expected) in [
            (&[][..], None),
            (&[(0, 100)], None),
            (&[(0, 100), (1, 50)], None),
            (&[(0, 100), (1, 49)], Some((1, 2))),
            // In small steps as well, and not over a longer time.
            (&[(0, 100), (8, 80), (16, 60), (24, 45)], Some((1, 4))),
            (&[(0, 100), (10, 80), (20, 60), (30, 45)], None),
            // One snapshot and the next, whatever lies between them: a day and a second, a weekend, a year.
            (&[(0, 100), (25, 10)], Some((1, 2))),
            (&[(0, 100), (24 * 365, 49)], Some((1, 2))),
            (&[(0, 100), (24 * 365, 50)], None),
            // What was written again since changes nothing about it.
            (&[(0, 100), (1, 10), (2, 100), (3, 120)], Some((1, 2))),
            // The last of several.
            (&[(0, 100), (1, 10), (2, 100), (50, 90), (51, 5)], Some((4, 5))),
            // What was in between stays, too.
            (&[(0, 100), (1, 70), (2, 34)], Some((2, 3))),
            (&[(0, 10), (1, 100)], None),
            // Sizes of nothing.
            (&[(0, 0), (1, 0)], None),
            (&[(0, 1), (1, 0)], None),
        ] {
            assert_eq!(lost(&sizes(of)), expected, "{of:?}");
        }
        // The largest numbers there are.
        let mut large = sizes(&[(0, 1), (1, 0)]);
        large[0].bytes = u64::MAX;
        for at in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, i64::MIN)] {
            (large[0].at, large[1].at) = at;
            assert_eq!(lost(&large), Some((1, 2)), "{at:?}");
        }
    }

    /// The order is that of transaction groups: a clock that was wrong for a while hides nothing between two that were right.
    #[test]
    fn a_clock_that_goes_its_own_way_hides_no_loss() {
        let year = 24 * 365;
        for between in [year, -year, 30 * year] {
            assert_eq!(lost(&sizes(&[(0, 100), (between, 70), (2, 45)])), Some((1, 3)), "{between}");
            assert_eq!(lost(&sizes(&[(0, 100), (1, 10), (between, 10), (3, 10)])), Some((1, 2)), "{between}");
        }
        // It was ahead before, and was set right.
        assert_eq!(lost(&sizes(&[(year, 100), (year + 1, 90), (2, 80), (3, 39)])), Some((3, 4)));
    }

    #[test]
    fn a_loss_is_accepted_by_a_snapshot_after_it_and_only_that_one() {
        let mut of = sizes(&[(0, 100), (1, 40), (2, 40), (3, 40)]);
        assert_eq!(lost(&of), Some((1, 2)));
        of[2].short = "accepted-4".to_string();
        assert_eq!(lost(&of), None);
        // Its own name only.
        for other in ["accepted", "acceptedly-4", "s-accepted-4"] {
            of[2].short = other.to_string();
            assert_eq!(lost(&of), Some((1, 2)), "{other}");
        }
        // The next one is another.
        let mut of = sizes(&[(0, 100), (1, 40), (2, 40), (3, 10)]);
        of[2].short = "accepted-4-2".to_string();
        assert_eq!(lost(&of), Some((3, 4)));
    }

    #[test]
    fn what_it_finds_is_what_a_plain_look_at_all_pairs_finds() {
        let mut random = 7u64;
        let mut next = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % most
        };
        let mut losses = 0;
        for _ in 0..300 {
            let mut hour = 0;
            let of: Vec<_> = (0..next(12))
                .map(|_| {
                    hour += i64::try_from(next(14)).expect("few");
                    // At times the clock is wrong for one of them.
                    let wrong = [0, 0, 0, 0, 40, -40][usize::try_from(next(6)).expect("few")];
                    (hour + wrong, next(9))
                })
                .collect();
            let of = sizes(&of);
            let mut plain = None;
            for (after, small) in of.iter().enumerate() {
                for (before, large) in of[..after].iter().enumerate() {
                    let near = small.at - large.at <= DAY || after == before + 1;
                    let is = large.bytes > FLOOR && near && small.bytes * 2 < large.bytes;
                    if is && plain.is_none_or(|known| known < before) {
                        plain = Some(before);
                    }
                }
            }
            losses += u32::from(plain.is_some());
            assert_eq!(lost(&of).map(|(before, _)| before - 1), plain.map(|at| at as u64), "{of:?}");
        }
        assert!((30..290).contains(&losses), "{losses}");
    }

    /// 7: a size that is far from what it was, by the dataset's own snapshots, whoever was active when they were taken.
    #[test]
    fn drift_is_told_against_the_day_before() {
        let told = |of: &[(i64, u64)]| drift(&data(), &sizes(of), &GUARDS);
        for (now, is) in [(120, false), (121, true), (80, false), (79, true)] {
            assert_eq!(told(&[(0, 7), (30, 100), (40, 100), (54, now)]).is_some(), is, "{now}");
        }
        let far = Told::Drift { dataset: data(), before: 100 * MIB, now: 500 * MIB };
        assert_eq!(told(&[(0, 100), (1, 500)]), Some(far));
        assert_eq!((told(&[]), told(&[(0, 5)]), told(&[(0, 0), (1, 0)])), (None, None, None));
    }

    /// 4 again.
    #[test]
    fn a_standby_lets_go_of_nothing_where_the_active_node_has_much_less() {
        assert_eq!(smaller(&data(), 50 * MIB, 100 * MIB, &GUARDS), None);
        let told = smaller(&data(), 49 * MIB, 100 * MIB, &GUARDS).expect("told");
        assert!(told.to_string().contains("less than 50 %"), "{told}");
        assert_eq!((smaller(&data(), 0, 0, &GUARDS), smaller(&data(), 0, MIB, &GUARDS)), (None, None));
        assert!(smaller(&data(), 0, u64::MAX, &GUARDS).is_some());
        assert_eq!(smaller(&data(), u64::MAX, u64::MAX, &GUARDS), None);
    }

    #[test]
    fn what_stands_against_pruning_keeps_each_snapshot_that_it_is_about() {
        use crate::policy::Snapshot;
        use crate::survey::Seen;
        let name = data();
        let snapshots = (1..=4u64).map(|n| Snapshot {
            name: name.snapshot(&format!("s{n}")).expect("a name"),
            guid: Guid(n),
            createtxg: n.into(),
            creation: 0,
        });
        let seen = Seen {
            name: name.clone(),
            guid: Guid(99),
            kind: zfs_core::DatasetKind::Filesystem,
            written: 0,
            origin: None,
            snapshots: snapshots.collect(),
            cloned: BTreeMap::new(),
            held: BTreeSet::new(),
        };
        let survey = Survey { datasets: BTreeMap::from([(name.clone(), seen)]), ..Survey::default() };
        let concerned = BTreeSet::from([name.clone(), "zpool1/data2".parse().expect("a name")]);
        let kept = |list: &dyn Fn(&DatasetName) -> Result<Vec<Size>, HostError>,
                    there: Option<(u64, Option<u64>)>| {
            let there = there.into_iter().map(|sizes| (name.clone(), sizes)).collect();
            let mut protections = Protections::new();
            let told = protect(&survey, &concerned, list, &there, &GUARDS, &mut protections);
            let needed = protections.remove(&name).unwrap_or_default().needed;
            assert!(needed.iter().all(|one| matches!(one.by, Need::Guard { .. })));
            (needed.iter().map(|one| one.guid.0).collect::<Vec<_>>(), told.len())
        };
        let even = |_: &DatasetName| Ok(sizes(&[(0, 100), (1, 100), (2, 100), (3, 100)]));
        let fell = |_: &DatasetName| Ok(sizes(&[(0, 100), (1, 100), (2, 10), (3, 10)]));
        let fails = |_: &DatasetName| Err(HostError::Cancelled);
        assert_eq!(kept(&even, None), (vec![], 0));
        assert_eq!(kept(&even, Some((100 * MIB, Some(100 * MIB)))), (vec![], 0));
        // Those from before, and the one by which it is seen.
        assert_eq!(kept(&fell, None), (vec![1, 2, 3], 1));
        assert_eq!(kept(&even, Some((100 * MIB, Some(MIB)))), (vec![1, 2, 3, 4], 1));
        // What the other node does not have at all is less than any size, also where there is little to be lost.
        assert_eq!(kept(&even, Some((100 * MIB, None))), (vec![1, 2, 3, 4], 1));
        assert_eq!(kept(&even, Some((0, None))), (vec![1, 2, 3, 4], 1));
        assert_eq!(kept(&fails, Some((MIB, None))).1, 2);
        // What could not be listed is never small, nor empty.
        assert_eq!(kept(&fails, None), (vec![1, 2, 3, 4], 1));
    }
}
