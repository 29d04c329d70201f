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

/// Snapshots of each dataset; their number is what grows.
const EACH: usize = 1000;

fn name(text: &str) -> DatasetName {
    text.parse().expect("a valid name")
}

/// So many datasets below `root`, each with [`EACH`] snapshots, of which the target lacks the newest `behind`.
fn tree(root: &str, datasets: usize, behind: usize) -> Tree {
    let state = |name: DatasetName, number: u64| {
        let snapshots = (0..EACH - behind).map(|at| Snapshot {
            name: name.snapshot(&format!("autosnap_{at:06}")).expect("a valid name"),
            guid: Guid(number * 1_000_000 + at as u64 + 1),
            createtxg: Txg(at as u64 + 10),
            ivset: None,
        });
        DatasetState {
            snapshots: snapshots.collect(),
            bookmarks: Vec::<Bookmark>::new(),
            kind: DatasetKind::Filesystem,
            guid: Guid(number),
            encryption: None,
            origin: None,
            written: 0,
            referenced: 0,
            available: 1 << 40,
            partial: None,
            name,
        }
    };
    let mut all = vec![state(name(root), 1)];
    all.extend((1..datasets).map(|at| state(name(&format!("{root}/d{at}")), at as u64 + 1)));
    Tree::new(&name(root), all).expect("a tree")
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    for snapshots in [100_000, 1_000_000] {
        for (what, behind) in [("up to date", 0), ("ten behind", 10)] {
            let source = tree("tank/data", snapshots / EACH, 0);
            let target_root = name("back/data");
            let target = Inventory::Present(tree("back/data", snapshots / EACH, behind));
            let sides = Sides {
                source: &source,
                target: &target,
                asides: &[],
                target_root: &target_root,
                pools: None,
                target_properties: None,
                now: 0,
            };
            let options = Options { recursive: true, ..Options::default() };
            assert_eq!(plan(sides, &options).streams().count(), snapshots / EACH * behind);
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
