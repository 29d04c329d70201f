//! Planning large histories: time must grow with the number of snapshots and no faster. `cargo bench -p benches --bench
//! plan`.

use benches::histories::Shape;
use benches::histories::name;
use benches::histories::same;
use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use replicator::host::Inventory;
use replicator::plan::Options;
use replicator::plan::Sides;
use replicator::plan::plan;

/// Every second dataset has another name there.
fn renamed(number: usize) -> String {
    if number.is_multiple_of(2) { same(number) } else { format!("old{number}") }
}

/// Those that are called otherwise also have other snapshots.
fn strange(number: usize) -> usize {
    if number.is_multiple_of(2) { number } else { number + 100_000 }
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    for snapshots in [100_000, 1_000_000] {
        let many = Shape { datasets: snapshots / 1000, each: 1000 };
        let single = Shape { datasets: 1, each: snapshots };
        let there = |shape: Shape, behind, called: fn(usize) -> String, guid: fn(usize) -> usize| {
            (shape, Inventory::Present(shape.tree("back/data", behind, called, guid)))
        };
        let ancestor = Shape { datasets: 1, each: 1 }.tree("back", 1, same, |at| at).root().clone();
        let nothing = Inventory::Absent { ancestor: Box::new(ancestor), children: Vec::new() };
        for (what, (shape, target), streams) in [
            ("up to date", there(many, 0, same, |at| at), 0),
            ("ten behind", there(many, 10, same, |at| at), many.datasets * 10),
            ("one dataset, ten behind", there(single, 10, same, |at| at), 10),
            ("one dataset, all behind", there(single, snapshots - 1, same, |at| at), snapshots - 1),
            ("first run", (many, nothing), snapshots),
            ("half renamed", there(many, 10, renamed, |at| at), many.datasets * 10),
            ("half unknown", there(many, 0, renamed, strange), many.datasets / 2 * 1000),
        ] {
            let source = shape.tree("tank/data", 0, same, |at| at);
            let target_root = name("back/data");
            let sides = Sides::new(&source, &target, &target_root, 0);
            let options = Options { recursive: true, ..Options::default() };
            assert_eq!(plan(sides, &options).streams().count(), streams, "{what}");
            group.throughput(Throughput::Elements(snapshots as u64));
            group.bench_function(BenchmarkId::new(what, snapshots), |bencher| {
                bencher.iter(|| plan(sides, &options));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, planning);
criterion_main!(benches);
