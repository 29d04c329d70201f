//! What may go: single cases, and properties of random histories against a second, slow way to decide.

use jiff::Timestamp;
use proptest::prelude::*;
use zfs_core::Guid;
use zfs_core::Txg;

use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn text<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is valid"))
}

/// One that was taken `age` seconds ago. Its GUID is its transaction group.
fn snapshot(txg: u64, age: i64, period: &str) -> Snapshot {
    let name = match period {
        "manual" => format!("tank/a@manual-{txg}"),
        _ => format!("tank/a@autosnap_2026-01-01_00:00:00_{period}"),
    };
    Snapshot { name: text(&name), guid: Guid(txg), createtxg: Txg(txg), creation: NOW - age }
}

/// So many, an hour apart, the newest of now.
fn hourlies(count: u64) -> Vec<Snapshot> {
    (1..=count).map(|txg| snapshot(txg, (count - txg) as i64 * HOUR, "hourly")).collect()
}

fn keeping(period: Period, keep: Keep) -> Retention {
    let mut retention = Retention::default();
    retention.periods[period] = Some(keep);
    retention
}

struct Case {
    snapshots: Vec<Snapshot>,
    retention: Retention,
    needed: Vec<Needed>,
    targets: Vec<Target>,
    capacity: Option<u8>,
    naming: Naming,
    zone: Zone,
}

impl Case {
    fn new(snapshots: Vec<Snapshot>, retention: Retention) -> Self {
        let (needed, targets) = (Vec::new(), Vec::new());
        let (naming, zone) = (Naming::default(), Zone::utc());
        Self { snapshots, retention, needed, targets, capacity: None, naming, zone }
    }

    fn pruning(&self) -> Pruning<'_> {
        Pruning {
            snapshots: &self.snapshots,
            retention: &self.retention,
            naming: &self.naming,
            zone: &self.zone,
            needed: &self.needed,
            targets: &self.targets,
            capacity: self.capacity,
            now: Timestamp::from_second(NOW).expect("a time"),
        }
    }

    fn decisions(&self) -> Vec<Decision<'_>> {
        prune(self.pruning())
    }

    /// GUIDs of those that go.
    fn gone(&self) -> Vec<u64> {
        self.decisions().iter().filter(|one| !one.keep).map(|one| one.snapshot.guid.0).collect()
    }

    /// What is said about one.
    fn says(&self, guid: u64) -> String {
        let decisions = self.decisions();
        let one = decisions.iter().find(|one| one.snapshot.guid.0 == guid).expect("a decision");
        format!("{} {}", if one.keep { "keep:" } else { "destroy:" }, one.reason)
    }
}

#[test]
fn a_count_keeps_so_many_and_so_long() {
    let keep = Keep::times(48, Period::Hourly, Every::default());
    assert_eq!(keep, Keep { count: 48, age: 48 * 3600 });
    let case = Case::new(hourlies(60), keeping(Period::Hourly, keep));
    assert_eq!(case.gone(), (1..=11).collect::<Vec<_>>());
    assert_eq!(case.says(60), "keep: the newest always stays");
    assert_eq!(case.says(13), "keep: number 48 of 48 hourly");
    assert_eq!(case.says(12), "keep: 2d old, hourly ones are kept for 2d");
    assert_eq!(case.says(11), "destroy: number 50 of 48 hourly and 2d 1h old, kept for 2d");
    let json = serde_json::to_value(&case.decisions()[0].reason).expect("JSON");
    assert_eq!(json["kind"], "expired");
}

#[test]
fn with_counts_alone_and_ages_alone() {
    let count = Case::new(hourlies(60), keeping(Period::Hourly, Keep { count: 2, age: 0 }));
    assert_eq!(count.gone(), (1..=58).collect::<Vec<_>>());
    let age = Case::new(hourlies(60), keeping(Period::Hourly, Keep { count: 0, age: 7200 }));
    assert_eq!(age.gone(), (1..=57).collect::<Vec<_>>());
}

#[test]
fn foreign_snapshots_are_not_named_and_other_periods_not_touched() {
    let mut snapshots = hourlies(3);
    snapshots.push(snapshot(10, 400 * DAY, "manual"));
    snapshots.push(snapshot(0, 400 * DAY, "daily"));
    snapshots.push(snapshot(12, 400 * DAY, "manual"));
    let case = Case::new(snapshots, keeping(Period::Hourly, Keep::NONE));
    assert_eq!(case.gone(), [1, 2]);
    assert_eq!(case.decisions().len(), 4);
    assert_eq!(case.says(0), "keep: nothing says how long daily ones are kept");
    // A foreign one that is the newest does not stand in for the newest of ours.
    assert_eq!(case.says(3), "keep: the newest always stays");
    let nothing_said = Case::new(case.snapshots, Retention::default());
    assert!(nothing_said.gone().is_empty());
    assert_eq!(nothing_said.says(1), "keep: nothing says how long hourly ones are kept");
}

#[test]
fn a_grid_keeps_the_first_of_each_place() {
    let grid = Retention { grid: Some(text("1h:3,1d:2")), ..Retention::default() };
    // 2027-01-15 08:00 UTC is now; the days begin 8 and 32 hours ago.
    let case = Case::new(hourlies(50), grid);
    let kept: Vec<_> =
        case.decisions().iter().filter(|one| one.keep).map(|one| one.snapshot.guid.0).collect();
    assert_eq!(kept, [18, 42, 48, 49, 50]);
    assert_eq!(case.says(18), "keep: the first of its place in the grid, 1d:2");
    // A day begins when the zone says.
    let case = Case { zone: text("UTC+3"), ..case };
    let kept: Vec<_> =
        case.decisions().iter().filter(|one| one.keep).map(|one| one.snapshot.guid.0).collect();
    assert_eq!(kept, [21, 45, 48, 49, 50]);
}

#[test]
fn the_places_of_a_grid_survive_a_wrong_clock() {
    let grid = Retention { grid: Some(text("1h:3,1d:2")), ..Retention::default() };
    let ahead = |case: &Case| {
        let now = Timestamp::from_second(NOW + 1000 * DAY).expect("a time");
        let decisions = prune(Pruning { now, ..case.pruning() });
        decisions.iter().filter(|one| one.keep).map(|one| one.snapshot.guid.0).collect::<Vec<_>>()
    };
    assert_eq!(ahead(&Case::new(hourlies(50), grid)), [18, 42, 48, 49, 50]);
}

#[test]
fn snapshots_dated_in_the_future_stay_and_take_no_place() {
    let mut snapshots = hourlies(10);
    for txg in 11..30 {
        snapshots.push(snapshot(txg, -(txg as i64) * DAY, "hourly"));
    }
    let case = Case::new(snapshots, keeping(Period::Hourly, Keep { count: 3, age: 0 }));
    assert_eq!(case.gone(), (1..=7).collect::<Vec<_>>());
    assert_eq!(case.says(10), "keep: the newest always stays");
    assert_eq!(case.says(29), "keep: the newest always stays");
    assert!(case.says(20).starts_with("keep: dated in the future, 2027-"), "{}", case.says(20));
    // Neither does a flood of them in a grid.
    let grid = Retention { grid: Some(text("1d:1")), ..Retention::default() };
    let case = Case::new(case.snapshots, grid);
    assert_eq!(case.says(2), "keep: the first of its place in the grid, 1d:1");
}

#[test]
fn order_is_by_createtxg_where_dates_are_equal_or_wrong() {
    let mut snapshots = vec![snapshot(3, 10 * DAY, "daily"), snapshot(1, 10 * DAY, "daily")];
    snapshots.push(snapshot(2, 10 * DAY, "daily"));
    // The newest, taken by a clock that was behind.
    snapshots.push(snapshot(4, 9000 * DAY, "daily"));
    let case = Case::new(snapshots, keeping(Period::Daily, Keep { count: 2, age: 0 }));
    assert_eq!(case.gone(), [1, 2]);
}

#[test]
fn what_is_needed_stays_and_says_for_whom() {
    let mut case = Case::new(hourlies(8), keeping(Period::Hourly, Keep { count: 1, age: 0 }));
    assert_eq!(case.gone().len(), 7);
    let need = |guid, by| Needed { guid: Guid(guid), by };
    case.needed = vec![
        need(2, Need::Hold { tag: "backup\n".to_string() }),
        need(3, Need::Clone { dataset: "tank/c".to_string() }),
        need(4, Need::Pending { target: "b".to_string() }),
        need(99, Need::Pending { target: "b".to_string() }),
    ];
    let target = |name: &str, base| Target { name: name.to_string(), base };
    case.targets = vec![
        target("b", Base::Snapshot(Guid(5))),
        target("c", Base::Bookmark(Guid(6))),
        target("d", Base::None),
    ];
    assert_eq!(case.gone(), [1, 6, 7]);
    assert_eq!(case.says(2), "keep: held by \"backup\\n\"");
    assert_eq!(case.says(3), "keep: the origin of tank/c");
    assert_eq!(case.says(4), "keep: waits to be sent to target b");
    assert_eq!(case.says(5), "keep: the newest common base of target b");
    case.targets.push(target("e", Base::Unknown));
    assert!(case.gone().is_empty());
    assert_eq!(case.says(1), "keep: it is not known what target e has");
}

#[test]
fn pruning_is_put_off_while_the_pool_has_room() {
    let mut case = Case::new(hourlies(3), keeping(Period::Hourly, Keep::NONE));
    for (defer, capacity, gone) in [
        (0, None, 2),
        (0, Some(0), 2),
        (60, Some(60), 0),
        (60, Some(61), 2),
        (60, None, 0),
        (100, Some(100), 0),
    ] {
        case.retention.defer = Defer::new(defer).expect("percent");
        case.capacity = capacity;
        assert_eq!(case.gone().len(), gone, "{defer} {capacity:?}");
    }
    assert_eq!(case.says(1), "keep: put off: 100% of the pool are in use, pruning begins above 100%");
    assert_eq!(case.says(3), "keep: the newest always stays");
}

#[test]
fn how_long_the_rules_keep_a_base() {
    let lengths = PerPeriod::new(|period| period.seconds(Every::default()));
    let until = |case: &Case, guid| kept_until(case.pruning(), Guid(guid), &lengths).map(|at| at - NOW);
    let case =
        Case::new(hourlies(3), keeping(Period::Hourly, Keep::times(24, Period::Hourly, Every::default())));
    assert_eq!(until(&case, 3), Some(DAY));
    assert_eq!(until(&case, 1), Some(DAY - 2 * HOUR));
    assert_eq!(until(&case, 9), None);
    let case = Case::new(hourlies(3), keeping(Period::Hourly, Keep { count: 10, age: 60 }));
    assert_eq!(until(&case, 3), Some(10 * HOUR));
    let case = Case::new(hourlies(3), Retention { grid: Some(text("1h:24,1d:7")), ..Retention::default() });
    assert_eq!(until(&case, 1), Some(7 * DAY - 2 * HOUR), "the first of its day");
    assert_eq!(until(&case, 2), Some(DAY - HOUR));
    let case = Case::new(hourlies(3), Retention::default());
    assert_eq!(until(&case, 1), None);
}

/// Sanoid's loop as its rule says: oldest first, a snapshot goes when it is too old and too many are left.
fn sanoid(snapshots: &[Snapshot], counts: PerPeriod<u32>, every: Every) -> Vec<u64> {
    let mut gone = Vec::new();
    for (period, count) in counts.iter() {
        let suffix = format!("_{period}");
        let mut of: Vec<_> = snapshots.iter().filter(|one| one.name.short().ends_with(&suffix)).collect();
        of.sort_by_key(|one| (one.creation, one.createtxg));
        let mut left = of.len();
        for one in of {
            let oldest = NOW - i64::from(*count) * period.seconds(every) as i64;
            if one.creation < oldest && left > *count as usize {
                gone.push(one.guid.0);
                left -= 1;
            }
        }
    }
    gone.sort_unstable();
    gone
}

fn period() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["yearly", "monthly", "weekly", "daily", "hourly", "frequently", "manual"])
}

/// Histories whose dates mostly grow with createtxg, with equal ones, wrong ones, and ones in the future.
fn history() -> impl Strategy<Value = Vec<Snapshot>> {
    let gap = prop_oneof![Just(0), 0..2 * HOUR, 0..3 * DAY, 0..40 * DAY];
    let wrong = prop_oneof![8 => Just(0), 1 => -50 * DAY..50 * DAY];
    let one = (period(), gap, wrong);
    prop::collection::vec(one, 0..40).prop_map(|list| {
        let mut age = 0;
        let count = list.len() as u64;
        let newest_first = list.into_iter().enumerate().map(|(at, (period, gap, wrong))| {
            age += gap;
            snapshot(count - at as u64, age - wrong, period)
        });
        newest_first.collect()
    })
}

/// As they are when no clock was ever wrong.
fn orderly() -> impl Strategy<Value = Vec<Snapshot>> {
    history().prop_map(|mut list| {
        list.sort_by_key(|one| one.createtxg);
        let mut latest = i64::MIN;
        for one in &mut list {
            latest = latest.max(one.creation).min(NOW);
            one.creation = latest;
        }
        list
    })
}

fn keep() -> impl Strategy<Value = Option<Keep>> {
    prop::option::weighted(0.8, (0..6_u32, 0..60 * DAY as u64).prop_map(|(count, age)| Keep { count, age }))
}

fn step() -> impl Strategy<Value = Step> {
    let units = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Year];
    let width = (1..5_u32, prop::sample::select(units.to_vec()));
    let width = width.prop_map(|(number, unit)| Length::new(number, unit).expect("a length"));
    (width, 1..6_u32).prop_map(|(width, count)| Step { width, count: count.try_into().expect("not 0") })
}

fn retention() -> impl Strategy<Value = Retention> {
    let grid = prop::option::of(
        prop::collection::vec(step(), 1..4).prop_map(|steps| Grid::new(steps).expect("steps")),
    );
    (prop::array::uniform6(keep()), grid, 0..4_u32).prop_map(|(keeps, grid, newest)| {
        let periods = PerPeriod::new(|period| keeps[period as usize]);
        Retention { periods, grid, newest, defer: Defer::default() }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let zone = prop::sample::select(vec!["UTC", "CET-1CEST,M3.5.0,M10.5.0/3"]);
    (history(), retention(), zone).prop_map(|(snapshots, retention, zone)| {
        let mut case = Case::new(snapshots, retention);
        case.zone = text(zone);
        case
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for one in &self.snapshots {
            writeln!(f, "{} {} {}", one.createtxg, one.creation - NOW, one.name.short())?;
        }
        write!(f, "{:?} {:?} {:?}", self.retention, self.needed, self.targets)
    }
}

/// Whether a rule keeps a snapshot, found by counting anew for each one.
fn a_rule_keeps(case: &Case, one: &Snapshot) -> bool {
    let period = |one: &Snapshot| case.naming.period(one.name.short());
    let ours = || case.snapshots.iter().filter(|other| period(other).is_some());
    let dated = || ours().filter(|other| other.creation <= NOW);
    let newer = |other: &&Snapshot| other.createtxg > one.createtxg;
    if ours().filter(newer).count() == 0 || one.creation > NOW || dated().filter(newer).count() == 0 {
        return true;
    }
    let keep = case.retention.periods[period(one).expect("one of ours")];
    if keep.is_none() && case.retention.grid.is_none() {
        return true;
    }
    let keep = keep.unwrap_or(Keep::NONE);
    let newer_of_period = dated().filter(newer).filter(|other| period(other) == period(one)).count();
    let by_step = |step: &Step| {
        let place = |at: i64| place(step.width, at, &case.zone);
        let first = !dated()
            .any(|other| !newer(&other) && other != one && place(other.creation) == place(one.creation));
        let mut later: Vec<_> =
            dated().map(|other| place(other.creation)).filter(|other| *other > place(one.creation)).collect();
        later.sort_unstable();
        later.dedup();
        let count = step.count.get();
        first && (later.len() < count as usize || place(NOW) - place(one.creation) < i64::from(count))
    };
    newer_of_period < keep.count as usize
        || NOW - one.creation <= keep.age as i64
        || dated().filter(newer).count() < case.retention.newest as usize
        || case.retention.grid.iter().any(|grid| grid.steps().iter().any(by_step))
}

/// The place in a grid, by what a calendar on the wall shows.
fn place(width: Length, at: i64, zone: &Zone) -> i64 {
    let shown = Timestamp::from_second(at).expect("a time").to_zoned(zone.jiff().clone());
    let days = shown.date().duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
    let number = i64::from(width.number());
    let months = i64::from(shown.year()) * 12 + i64::from(shown.month()) - 1;
    match width.unit() {
        Unit::Minute => at / 60 / number,
        Unit::Hour => at / HOUR / number,
        Unit::Day => days / number,
        // Weeks since Monday, the 5th of January 1970.
        Unit::Week => (days - 4) / 7 / number,
        Unit::Month => months / number,
        Unit::Year => i64::from(shown.year()) / number,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Nothing goes that a rule keeps, and nothing else stays.
    #[test]
    fn decisions_are_what_the_rules_say(case in case()) {
        for decision in case.decisions() {
            let expected = a_rule_keeps(&case, decision.snapshot);
            prop_assert_eq!(decision.keep, expected, "{} {}", decision.snapshot.name, decision.reason);
        }
    }

    #[test]
    fn ours_are_decided_once_each_and_the_newest_stays(case in case()) {
        let decisions = case.decisions();
        let ours: Vec<_> = decisions.iter().map(|one| one.snapshot.guid).collect();
        let mut expected: Vec<_> = case.snapshots.iter().filter(|one| !one.name.short().starts_with("manual")).collect();
        expected.sort_by_key(|one| one.createtxg);
        prop_assert_eq!(&ours, &expected.iter().map(|one| one.guid).collect::<Vec<_>>());
        prop_assert!(decisions.last().is_none_or(|newest| newest.keep));
        // The order in which they are given changes nothing.
        let mut turned = Case::new(case.snapshots.iter().rev().cloned().collect(), case.retention.clone());
        turned.zone = case.zone.clone();
        prop_assert_eq!(case.gone(), turned.gone());
    }

    /// A longer count, age, grid or number of newest never destroys more.
    #[test]
    fn longer_never_destroys_more(case in case(), which in 0..6_usize, count in 0..3_u32, age in 0..DAY as u64, newest in 0..3_u32, places in 0..3_u32) {
        let before = case.gone();
        let mut longer = Case::new(case.snapshots.clone(), case.retention.clone());
        longer.zone = case.zone.clone();
        let period = Period::ALL[which];
        if let Some(keep) = &mut longer.retention.periods[period] {
            keep.count += count;
            keep.age += age;
        }
        longer.retention.newest += newest;
        let wider = |step: &Step| Step { count: step.count.checked_add(places).expect("small"), ..*step };
        longer.retention.grid =
            case.retention.grid.as_ref().and_then(|grid| Grid::new(grid.steps().iter().map(wider).collect()));
        let after = longer.gone();
        prop_assert!(after.iter().all(|gone| before.contains(gone)), "{:?} {:?}", before, after);
    }

    /// A second run at the same time has nothing to do.
    #[test]
    fn what_is_left_stays(case in case()) {
        let gone = case.gone();
        let left = case.snapshots.iter().filter(|one| !gone.contains(&one.guid.0)).cloned();
        let mut again = Case::new(left.collect(), case.retention.clone());
        again.zone = case.zone.clone();
        prop_assert_eq!(again.gone(), Vec::<u64>::new());
    }

    /// I5, holds and clones: what is needed stays, whatever the rules; nothing else changes.
    #[test]
    fn bases_and_needed_snapshots_stay(case in case(), picks in prop::collection::vec((any::<prop::sample::Index>(), 0..6_u8), 0..6)) {
        let mut case = case;
        let without = case.gone();
        let mut stays = Vec::new();
        let mut unknown = false;
        for (pick, how) in picks {
            if case.snapshots.is_empty() {
                break;
            }
            let guid = pick.get(&case.snapshots).guid;
            let mut target = |base| case.targets.push(Target { name: format!("t{how}"), base });
            match how {
                0 => target(Base::Snapshot(guid)),
                1 => target(Base::Bookmark(guid)),
                2 => target(Base::None),
                3 => target(Base::Unknown),
                4 => case.needed.push(Needed { guid, by: Need::Hold { tag: "t".to_string() } }),
                _ => case.needed.push(Needed { guid, by: Need::Pending { target: "t".to_string() } }),
            }
            unknown |= how == 3;
            if ![1, 2, 3].contains(&how) {
                stays.push(guid.0);
            }
        }
        let expected: Vec<_> = without.into_iter().filter(|gone| !unknown && !stays.contains(gone)).collect();
        prop_assert_eq!(case.gone(), expected);
    }

    /// Snapshots dated in the future, however many, push nothing out.
    #[test]
    fn the_future_shortens_no_history(case in case(), flood in prop::collection::vec((period(), 1..1000 * DAY), 0..20)) {
        let before = case.gone();
        let mut flooded = Case::new(case.snapshots.clone(), case.retention.clone());
        flooded.zone = case.zone.clone();
        for (at, (period, ahead)) in flood.into_iter().enumerate() {
            flooded.snapshots.push(snapshot(1000 + at as u64, -ahead, period));
        }
        let after = flooded.gone();
        prop_assert!(after.iter().all(|gone| before.contains(gone)), "{:?} {:?}", before, after);
    }

    /// With sanoid's counts and a clock that was never wrong, what goes is what sanoid destroys, except the newest.
    #[test]
    fn with_counts_of_sanoid_its_list_is_ours(snapshots in orderly(), counts in prop::array::uniform6(0..6_u32)) {
        let counts = PerPeriod::new(|period| counts[period as usize]);
        let expected = sanoid(&snapshots, counts, Every::default());
        let mut case = Case::new(snapshots, Retention::sanoid(counts, Every::default(), Defer::default()));
        case.naming.style = Style::Sanoid;
        let newest = case.decisions().last().map(|one| one.snapshot.guid.0);
        let expected: Vec<_> = expected.into_iter().filter(|gone| Some(*gone) != newest).collect();
        prop_assert_eq!(case.gone(), expected);
    }
}
