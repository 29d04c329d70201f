//! What it costs to read the answer of a listing ioctl, as a tree and in place, and to write a list.

use std::hint::black_box;

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use zfs_core::nvlist::Limits;
use zfs_core::nvlist::NvList;
use zfs_core::nvlist::Value;
use zfs_core::nvlist::view;

const NUMBERS: [&str; 20] = [
    "creation",
    "createtxg",
    "guid",
    "used",
    "referenced",
    "compressratio",
    "refcompressratio",
    "written",
    "logicalreferenced",
    "userrefs",
    "objsetid",
    "defer_destroy",
    "unique",
    "inconsistent",
    "available",
    "usedbysnapshots",
    "usedbydataset",
    "usedbychildren",
    "logicalused",
    "snapshot_count",
];
const TEXTS: [&str; 10] = [
    "mlslabel",
    "org.example:policy",
    "org.example:owner",
    "org.example:retention",
    "org.example:last-run",
    "com.example:ticket",
    "com.example:contact",
    "redact_snaps",
    "keyformat",
    "encryptionroot",
];

/// The properties of one dataset as the listing ioctls give them: 30 of them, each a list of value and source,
/// about 4 KB in native encoding.
fn properties() -> NvList {
    let mut list = NvList::new();
    for (at, name) in NUMBERS.iter().enumerate() {
        let value = 0x1234_5678_9abc_def0_u64.rotate_left(at as u32);
        list.insert(name, NvList::new().with("value", value));
    }
    for name in TEXTS {
        list.insert(name, NvList::new().with("value", "keep 30 days, 12 months").with("source", "tank/data"));
    }
    list
}

/// Four numbers out of an answer, as a listing of snapshots takes them.
fn pick(packed: &[u8], limits: &Limits) -> [u64; 4] {
    let mut picked = [0; 4];
    for pair in view::native(packed, limits).expect("a native list") {
        let pair = pair.expect("a sound list");
        let place = match pair.name {
            b"guid" => 0,
            b"createtxg" => 1,
            b"creation" => 2,
            b"used" => 3,
            _ => continue,
        };
        let value = pair.list().and_then(|list| list.u64("value").ok().flatten());
        picked[place] = value.expect("a number");
    }
    picked
}

fn reading(criterion: &mut Criterion) {
    let limits = Limits::default();
    let list = properties();
    let native = list.encode_native().expect("encodes");
    let xdr = list.encode_xdr().expect("encodes");
    assert!(pick(&native, &limits).iter().all(|value| *value != 0));

    let mut group = criterion.benchmark_group(format!("nvlist of {} native bytes", native.len()));
    group.throughput(Throughput::Bytes(native.len() as u64));
    group.bench_function("tree from native", |bencher| {
        bencher.iter(|| NvList::decode(black_box(&native), &limits));
    });
    group.bench_function("tree from XDR", |bencher| {
        bencher.iter(|| NvList::decode(black_box(&xdr), &limits));
    });
    group.bench_function("four values in place", |bencher| {
        bencher.iter(|| pick(black_box(&native), &limits));
    });
    group.bench_function("to native", |bencher| bencher.iter(|| black_box(&list).encode_native()));
    group.bench_function("to XDR", |bencher| bencher.iter(|| black_box(&list).encode_xdr()));
    group.finish();
}

/// The argument of a batched destroy.
fn long_list(criterion: &mut Criterion) {
    let names: Vec<String> = (0..10_000).map(|at| format!("tank/data@auto-{at}")).collect();
    criterion.bench_function("list of 10,000 names, made and encoded", |bencher| {
        bencher.iter(|| {
            let list: NvList = names.iter().map(|name| (name, Value::Boolean)).collect();
            list.encode_xdr()
        });
    });
}

criterion_group!(nvlist, reading, long_list);
criterion_main!(nvlist);
