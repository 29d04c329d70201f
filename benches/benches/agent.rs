//! What an agent costs: its frames and messages in a long list, and a stream to it and from it, plain, compressed and over TLS.
//! The agent is a thread of this process. `cargo bench -p benches --bench agent`.

use benches::data;
use benches::data::Kind;
use benches::histories::Shape;
use benches::histories::name;
use benches::histories::same;
use benches::sink::Beside;
use benches::sink::Sink;
use benches::stream;
use bytes::Bytes;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use replicator::host::Depth;
use replicator::host::Host;
use replicator::host::Inventory;
use replicator::host::Next;
use replicator::host::ReceiveSpec;
use replicator::host::SendSpec;
use replicator::host::Snapshot;
use replicator::host::agent::AgentCommand;
use replicator::host::agent::AgentHost;
use replicator::transfer::BLOCK;
use zfs_core::Guid;
use zfs_core::Txg;
use zfs_core::name::SnapshotName;

/// How much goes through at a time.
const BYTES: u64 = 64 << 20;

fn agent(sink: Sink, fast: bool) -> AgentHost {
    let listen = fast.then(|| "127.0.0.1:40200-40299".parse().expect("ports"));
    let command = AgentCommand { fast: fast.then(|| "127.0.0.1".to_string()), ..AgentCommand::default() };
    let way = Beside::new(sink, listen).expect("a way");
    let mut agent = AgentHost::new(Box::new(way), command).expect("an agent");
    agent.start().expect("started");
    agent
}

fn snapshot() -> SnapshotName {
    "tank/stream@recorded".parse().expect("a name")
}

fn send(agent: &mut AgentHost, blocks: &[Bytes], compressed: bool) {
    let (set, origin) = (Vec::new(), None);
    let spec = ReceiveSpec { to: snapshot(), guid: Guid(stream::GUID), set, origin, compressed };
    let mut incoming = agent.receive(&spec).expect("received");
    blocks.iter().for_each(|block| incoming.write(block).expect("taken"));
    incoming.finish().expect("whole");
}

fn fetch(agent: &mut AgentHost, compress: bool) -> usize {
    let to = Snapshot { name: snapshot(), guid: Guid(stream::GUID), createtxg: Txg(1), ivset: None };
    let spec = SendSpec { to, from: None, raw: false, flags: None, resume: None, compress };
    let mut outgoing = agent.send(&spec).expect("sent");
    let mut length = 0;
    loop {
        match outgoing.next(BLOCK).expect("a block") {
            Next::Block(block) => length += block.len(),
            Next::Nothing => {}
            Next::End => break,
        }
    }
    outgoing.finish().expect("whole");
    length
}

fn blocks(data: Vec<u8>) -> Vec<Bytes> {
    let data = Bytes::from(data);
    (0..data.len()).step_by(BLOCK).map(|at| data.slice(at..data.len().min(at + BLOCK))).collect()
}

fn list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list of an agent");
    group.sample_size(10);
    let shape = Shape { datasets: 100, each: 1000 };
    let tree = shape.tree("tank/data", 0, same, |at| at);
    let mut agent = agent(Sink::default().with_tree(tree.clone()), false);
    let root = name("tank/data");
    let run = |agent: &mut AgentHost| agent.inventory(&root, Depth::All).expect("listed");
    assert_eq!(run(&mut agent), Inventory::Present(tree));
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("100,000 snapshots", |bencher| bencher.iter(|| run(&mut agent)));
    group.finish();
}

fn streams(criterion: &mut Criterion) {
    let mut plain = Vec::new();
    let length = stream::write(BYTES, 1, &mut plain).expect("made");
    let packed = zstd::bulk::compress(&plain, 1).expect("compressed");
    let mut text = Vec::new();
    data::write(Kind::Text, BYTES, 1, &mut text).expect("made");

    let mut group = criterion.benchmark_group("stream of 64 MiB");
    group.sample_size(10).throughput(Throughput::Bytes(length));
    let (plain, packed) = (blocks(plain), blocks(packed));
    for (what, fast) in [("to an agent", false), ("to an agent, TLS", true)] {
        let mut agent = agent(Sink::default(), fast);
        send(&mut agent, &plain, false);
        let received = agent.removal_cost(snapshot().dataset()).expect("counted").bytes;
        assert_eq!(received, length, "all of it arrives");
        group.bench_function(what, |bencher| bencher.iter(|| send(&mut agent, &plain, false)));
    }
    let mut unpacking = agent(Sink::default(), false);
    group.bench_function("to an agent that decompresses noise", |bencher| {
        bencher.iter(|| send(&mut unpacking, &packed, true));
    });
    for (what, fast) in [("from an agent", false), ("from an agent, TLS", true)] {
        let mut agent = agent(Sink::default().with_stream(Bytes::from(text.clone())), fast);
        assert_eq!(fetch(&mut agent, false) as u64, BYTES);
        group.bench_function(what, |bencher| bencher.iter(|| fetch(&mut agent, false)));
    }
    let mut packing = agent(Sink::default().with_stream(Bytes::from(text)), false);
    assert!((fetch(&mut packing, true) as u64) < BYTES / 2);
    group.bench_function("from an agent that compresses text", |bencher| {
        bencher.iter(|| fetch(&mut packing, true));
    });
    group.finish();
}

criterion_group!(benches, list, streams);
criterion_main!(benches);
