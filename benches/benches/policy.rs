//! Deciding what is due and what may go, for many datasets. `cargo bench -p benches --bench policy`.

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use jiff::Timestamp;
use replicator::policy::Base;
use replicator::policy::Defer;
use replicator::policy::Every;
use replicator::policy::Minute;
use replicator::policy::Monthly;
use replicator::policy::Naming;
use replicator::policy::PerPeriod;
use replicator::policy::Period;
use replicator::policy::Pruning;
use replicator::policy::Retention;
use replicator::policy::Schedule;
use replicator::policy::Snapshot;
use replicator::policy::Style;
use replicator::policy::Target;
use replicator::policy::TimeOfDay;
use replicator::policy::Weekly;
use replicator::policy::Yearly;
use replicator::policy::due;
use replicator::policy::prune;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

const DATASETS: usize = 1000;
const EACH: usize = 50;

/// So many hourly snapshots, the newest an hour ago.
fn history(dataset: &DatasetName, now: Timestamp) -> Vec<Snapshot> {
    let one = |at: usize| {
        let creation = now.as_second() - (EACH - at) as i64 * 3600;
        let taken = Timestamp::from_second(creation).expect("a time");
        let name = dataset.snapshot(&Naming::default().name(taken, Period::Hourly, |_| false));
        let number = at as u64 + 1;
        Snapshot { name: name.expect("a name"), guid: Guid(number), createtxg: Txg(number), creation }
    };
    (0..EACH).map(one).collect()
}

fn policies(criterion: &mut Criterion) {
    let now: Timestamp = "2026-11-22T12:00:30Z".parse().expect("a time");
    let datasets: Vec<_> = (0..DATASETS)
        .map(|number| history(&format!("tank/data/d{number}").parse().expect("a name"), now))
        .collect();
    let schedule = Schedule {
        zone: "CET-1CEST,M3.5.0,M10.5.0/3".parse().expect("a zone"),
        frequently: Some(Every::default()),
        hourly: Some(Minute::default()),
        daily: Some(TimeOfDay::default()),
        weekly: Some(Weekly::default()),
        monthly: Some(Monthly::default()),
        yearly: Some(Yearly::default()),
    };
    let naming = Naming::default();
    let counts = PerPeriod::new(|period| if period == Period::Hourly { 24 } else { 10 });
    let thinned = "1h:12,1d:2,1w:8".parse().expect("a grid");
    let counted = Retention::sanoid(counts, Every::default(), Defer::default());
    let grid = Retention { grid: Some(thinned), ..counted.clone() };
    let targets = [Target { name: "backup".to_string(), base: Base::Snapshot(Guid(3)) }];

    let mut group = criterion.benchmark_group("policy");
    group.sample_size(10).throughput(Throughput::Elements((DATASETS * EACH) as u64));
    for style in [Style::Ours, Style::Sanoid] {
        let run = || {
            let due = datasets.iter().flat_map(|snapshots| due(&schedule, style, &naming, snapshots, now));
            due.filter(|due| due.due).count()
        };
        assert_eq!(run(), DATASETS * 6);
        group.bench_function(format!("due, {style:?}"), |bencher| bencher.iter(run));
    }
    for (what, retention, gone) in [("counts", &counted, 25), ("counts and grid", &grid, 23)] {
        let run = || {
            let decisions = datasets.iter().flat_map(|snapshots| {
                prune(Pruning {
                    snapshots,
                    retention,
                    naming: &naming,
                    zone: &schedule.zone,
                    needed: &[],
                    targets: &targets,
                    capacity: None,
                    now,
                })
            });
            decisions.filter(|one| !one.keep).count()
        };
        assert_eq!(run(), DATASETS * gone);
        group.bench_function(format!("prune, {what}"), |bencher| bencher.iter(run));
    }
    group.finish();
}

criterion_group!(benches, policies);
criterion_main!(benches);
