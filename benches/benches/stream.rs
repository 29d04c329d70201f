//! How fast a stream can be checked as it passes, beside a plain copy of the same bytes.

use std::hint::black_box;

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::Fletcher4;
use zfs_core::stream::Policy;
use zfs_core::stream::RecordType;
use zfs_core::stream::StreamChecker;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

/// A stream of about `size` bytes: blocks of `block` bytes, with an OBJECT and a FREE record before every 64th.
fn made_stream(size: usize, block: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..block as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&Begin::default());
    for at in 0..(size / block) as u64 {
        if at % 64 == 0 {
            builder = builder.object(at, &[1; 168]).bare(RecordType::Free, at, 0);
        }
        builder = builder.write(at / 64, at % 64 * block as u64, &data);
    }
    builder.end().build()
}

/// What a pump reads from a pipe at once.
const PIECE: usize = 1 << 20;

fn checksum(criterion: &mut Criterion) {
    for (name, size) in [("in cache", 128 << 10), ("in memory", 64 << 20)] {
        let data = vec![0x5a_u8; size];
        let mut target = vec![0_u8; size];
        let mut group = criterion.benchmark_group(format!("{} KiB {name}", size >> 10));
        group.throughput(Throughput::Bytes(size as u64));
        for (name, order) in [("little", ByteOrder::Little), ("big", ByteOrder::Big)] {
            group.bench_function(format!("fletcher-4, {name} endian"), |bencher| {
                bencher.iter(|| {
                    let mut sum = Fletcher4::new();
                    sum.update(black_box(&data), order);
                    sum
                });
            });
        }
        group.bench_function("memcpy", |bencher| {
            bencher.iter(|| black_box(&mut target).copy_from_slice(black_box(&data)));
        });
        group.finish();
    }
}

fn checker(criterion: &mut Criterion) {
    for block in [128 << 10, 4 << 10, 512] {
        let stream = made_stream(64 << 20, block);
        let mut group = criterion.benchmark_group("stream of 64 MiB checked");
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(format!("blocks of {block} bytes"), |bencher| {
            bencher.iter(|| {
                let mut checker = StreamChecker::new(Policy::default());
                for piece in black_box(&stream).chunks(PIECE) {
                    checker.push(piece).expect("sound");
                }
                checker.finish().expect("whole");
            });
        });
        group.finish();
    }
}

criterion_group!(stream, checksum, checker);
criterion_main!(stream);
