//! Reading what `zfs list` of another machine prints, strictly. `cargo bench -p benches --bench listing`.

use std::fmt::Write;
use std::hint::black_box;

use benches::histories::name;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use replicator::host::Depth;
use replicator::host::Tree;
use replicator::host::listing::Lines;
use replicator::host::listing::TreeListing;
use replicator::transport::quote::END;

const DATASETS: usize = 100;
const EACH: usize = 1000;

/// How much is read from a connection at once.
const PIECE: usize = 64 << 10;

/// What a machine says of a tree: of each dataset a line, and one of each of its snapshots and bookmarks.
fn printed() -> String {
    let mut text = String::new();
    for number in 0..DATASETS {
        let dataset = if number == 0 { "tank/data".to_string() } else { format!("tank/data/d{number:05}") };
        let guid = 1_000_000_000_000_000_000 + number as u64;
        let _ = writeln!(
            text,
            "{dataset}\tfilesystem\t{guid}\t{}\t0\t4194304\t1099511627776\t-\t-\t-\t-\t-",
            number + 1
        );
        for at in 0..EACH {
            let (guid, txg) = (2_000_000_000_000_000_000 + (number * EACH + at) as u64, at + 10);
            let snapshot = format!("autosnap_2026-01-01_{at:06}_hourly");
            let _ = writeln!(
                text,
                "{dataset}@{snapshot}\tsnapshot\t{guid}\t{txg}\t4096\t4194304\t-\t-\t-\t-\t-\t-"
            );
        }
        let guid = 2_000_000_000_000_000_000 + (number * EACH) as u64;
        let _ = writeln!(text, "{dataset}#base\tbookmark\t{guid}\t10\t-\t4194304\t-\t-\t-\t-\t-\t-");
    }
    let _ = writeln!(text, "{END}");
    text
}

fn read(text: &str) -> Tree {
    let mut listing = TreeListing::new(name("tank/data"), Depth::All);
    let mut lines = Lines::default();
    for piece in text.as_bytes().chunks(PIECE) {
        lines.push(piece, &mut |line| listing.take(line)).expect("understood");
    }
    lines.finish().expect("whole");
    listing.finish().expect("a tree")
}

fn listing(criterion: &mut Criterion) {
    let text = printed();
    let tree = read(&text);
    assert_eq!(tree.datasets().len(), DATASETS);
    assert!(tree.datasets().iter().all(|one| one.snapshots.len() == EACH && one.bookmarks.len() == 1));
    let mut group = criterion.benchmark_group("zfs list of 100,000 snapshots");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&text))));
    group.finish();
}

criterion_group!(benches, listing);
criterion_main!(benches);
