//! Planning large histories: time must grow with the number of snapshots and no faster. `cargo bench -p benches --bench
//! plan`.

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use replicator::host::Bookmark;
use replicator::host::DatasetKind;
use replicator::host::DatasetState;
use replicator::host::Inventory;
use replicator::host::Snapshot;
use replicator::host::Tree;
use replicator::plan::Options;
use replicator::plan::Sides;
use replicator::plan::plan;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::DatasetName;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a valid name")
}

/// A history: so many datasets with so many snapshots each.
#[derive(Clone, Copy)]
struct Shape {
    datasets: usize,
    each: usize,
}

impl Shape {
    /// The tree at `root`, without the newest `behind` snapshots of each dataset. `called` names the datasets below the
    /// root by their number; `guid` tells datasets apart whose snapshots are not the same.
    fn tree(self, root: &str, behind: usize, called: fn(usize) -> String, guid: fn(usize) -> usize) -> Tree {
        let state = |name: DatasetName, number: usize| {
            let snapshots = (0..self.each - behind).map(|at| Snapshot {
                name: name.snapshot(&format!("autosnap_{at:07}")).expect("a valid name"),
                guid: Guid((guid(number) * 10_000_000 + at + 1) as u64),
                createtxg: Txg(at as u64 + 10),
                ivset: None,
            });
            DatasetState {
                snapshots: snapshots.collect(),
                bookmarks: Vec::<Bookmark>::new(),
                kind: DatasetKind::Filesystem,
                guid: Guid(number as u64 + 1),
                encryption: None,
                origin: None,
                written: 0,
                referenced: 0,
                available: 1 << 40,
                partial: None,
                name,
            }
        };
        let mut all = vec![state(name(root), 0)];
        all.extend((1..self.datasets).map(|at| state(name(&format!("{root}/{}", called(at))), at)));
        Tree::new(&name(root), all).expect("a tree")
    }
}

fn same(number: usize) -> String {
    format!("d{number}")
}

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
