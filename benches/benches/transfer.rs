//! The stages of a transfer between two ends that cost nothing: reading and checking, compressing, decompressing, with much and
//! with little memory. `cargo bench -p benches --bench transfer`.

use benches::data;
use benches::data::Kind;
use benches::sink::Giving;
use benches::sink::Taking;
use bytes::Bytes;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use replicator::cancel::Cancel;
use replicator::transfer::BLOCK;
use replicator::transfer::Budget;
use replicator::transfer::Coding;
use replicator::transfer::Compression;
use replicator::transfer::Expected;
use replicator::transfer::Head;
use replicator::transfer::SAMPLE;
use replicator::transfer::Settings;
use replicator::transfer::Wire;
use replicator::transfer::decide;
use replicator::transfer::transfer;
use zfs_core::Guid;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

const BYTES: usize = 64 << 20;
const RECORD: usize = 128 << 10;

/// A stream of data of this kind.
fn made(kind: Kind) -> Vec<u8> {
    let mut content = Vec::new();
    data::write(kind, BYTES as u64, 1, &mut content).expect("made");
    let begin = Begin::default();
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&begin);
    for (at, block) in content.chunks(RECORD).enumerate() {
        builder = builder.write(1, (at * RECORD) as u64, block);
    }
    builder.end().build()
}

/// Lets a stream pass, and gives how many bytes came out.
fn pass(stream: &Bytes, arrives: Coding, leaves: Coding, settings: &Settings) -> u64 {
    let expected = Expected { to: Guid(Begin::default().to_guid), from: None, raw: false };
    let mut taken = 0;
    let head = Head::unread(Box::new(Giving::new(stream.clone())), arrives, settings);
    let target = Box::new(Taking::new(&mut taken));
    let moved = transfer(head, target, leaves, Wire::Out, expected, settings, &Cancel::new(), &|_| {});
    let moved = moved.expect("moved");
    assert_eq!(moved.wire, taken, "what was handed on is what came");
    moved.plain
}

fn stages(criterion: &mut Criterion) {
    let (text, noise) = (Bytes::from(made(Kind::Text)), Bytes::from(made(Kind::Random)));
    let packed = Bytes::from(zstd::bulk::compress(&text, 3).expect("compressed"));
    let roomy = Settings { compression: Compression::On, ..Settings::default() };
    let narrow = Settings { budget: Budget::new(4 << 20), ..roomy.clone() };
    let mut group = criterion.benchmark_group("transfer of 64 MiB");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    for (what, stream, arrives, leaves, settings) in [
        ("noise, plain", &noise, Coding::Plain, Coding::Plain, &roomy),
        ("noise, plain, 4 MiB of memory", &noise, Coding::Plain, Coding::Plain, &narrow),
        ("text, compressed", &text, Coding::Plain, Coding::Packed, &roomy),
        ("text, compressed, 4 MiB of memory", &text, Coding::Plain, Coding::Packed, &narrow),
        ("noise, compressed", &noise, Coding::Plain, Coding::Packed, &roomy),
        ("text, decompressed", &packed, Coding::Packed, Coding::Plain, &roomy),
    ] {
        assert_eq!(pass(stream, arrives, leaves, settings), text.len() as u64, "{what}");
        group.bench_function(what, |bencher| {
            bencher.iter(|| pass(stream, arrives, leaves, settings));
        });
    }
    group.finish();
}

/// Whether the beginning of a stream is worth compressing.
fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision on 4 MiB");
    group.throughput(Throughput::Bytes(SAMPLE as u64));
    for (what, kind, compresses) in [("text", Kind::Text, true), ("noise", Kind::Random, false)] {
        let mut sample = Vec::new();
        data::write(kind, SAMPLE as u64, 1, &mut sample).expect("made");
        let blocks: Vec<Bytes> = sample.chunks(BLOCK).map(Bytes::copy_from_slice).collect();
        assert_eq!(decide(&blocks).compresses(), compresses);
        group.bench_function(what, |bencher| bencher.iter(|| decide(&blocks)));
    }
    group.finish();
}

criterion_group!(benches, stages, decision);
criterion_main!(benches);
