//! The pipeline between ends that misbehave. Streams are made by the builder of `zfs_core`; no ZFS is pretended.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use zfs_core::stream::ByteOrder;
use zfs_core::stream::build::Begin;
use zfs_core::stream::build::StreamBuilder;

use super::*;
use crate::codes::Code;
use crate::codes::Coded;
use crate::host::Next;
use crate::host::Outgoing;
use crate::transport::TransportError;

mod ending;
mod programs;
mod stages;
mod stuck;

fn stream(to: u64, from: u64, blocks: u64) -> Vec<u8> {
    let begin = Begin { to_guid: to, from_guid: from, to_name: "a/b@c".to_string(), ..Begin::default() };
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&begin);
    for n in 0..blocks {
        builder = builder.write(1, n * 4096, &[n as u8; 4096]);
    }
    builder.end().build()
}

fn failure(text: &str) -> HostError {
    HostError::BadAnswer { host: "h".to_string(), operation: "test", why: text.to_string() }
}

/// Sends `data` in pieces, then does what `end` says.
struct From {
    data: Vec<u8>,
    at: usize,
    piece: usize,
    end: fn() -> Result<Next, HostError>,
    finish: fn() -> Result<(), HostError>,
}

impl From {
    fn new(data: Vec<u8>) -> Self {
        Self { data, at: 0, piece: 1000, end: || Ok(Next::End), finish: || Ok(()) }
    }
}

impl Outgoing for From {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        let n = self.piece.min(limit).min(self.data.len() - self.at);
        if n == 0 {
            return (self.end)();
        }
        self.at += n;
        Ok(Next::Block(Bytes::copy_from_slice(&self.data[self.at - n..self.at])))
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        (self.finish)()
    }
}

/// What became of a receiver.
#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
    finished: AtomicU64,
}

struct To<'a> {
    seen: &'a Seen,
    stop_after: u64,
    finish: fn() -> Result<(), HostError>,
}

impl<'a> To<'a> {
    fn new(seen: &'a Seen) -> Self {
        Self { seen, stop_after: u64::MAX, finish: || Ok(()) }
    }
}

impl Incoming for To<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        let bytes = self.seen.bytes.fetch_add(block.len() as u64, Ordering::SeqCst) + block.len() as u64;
        if bytes > self.stop_after {
            return Err(TransportError::StdinClosed { peer: "h".to_string() }.into());
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        self.seen.finished.fetch_add(1, Ordering::SeqCst);
        (self.finish)()
    }
}

const EXPECTED: Expected = Expected { to: Guid(5), from: Some(Guid(4)), raw: false };

fn run(from: From, to: To<'_>) -> Result<u64, TransferError> {
    go(Box::new(from), Box::new(to), Coding::Plain, Coding::Plain, &Settings::default(), &Cancel::new())
        .map(|moved| moved.plain)
}

fn go<'a>(
    from: Box<dyn Outgoing + 'a>,
    to: Box<dyn Incoming + 'a>,
    arrives: Coding,
    leaves: Coding,
    settings: &Settings,
    cancel: &Cancel,
) -> Result<Moved, TransferError> {
    let head = Head::unread(from, arrives, settings);
    transfer(head, to, leaves, Wire::Out, EXPECTED, settings, cancel, &|_| {})
}

#[test]
fn a_whole_stream_arrives_and_is_ended() {
    let seen = Seen::default();
    let data = stream(5, 4, 100);
    let length = data.len() as u64;
    assert_eq!(run(From::new(data), To::new(&seen)).expect("good"), length);
    assert_eq!((seen.bytes.into_inner(), seen.finished.into_inner()), (length, 1));
}

#[test]
fn a_cut_stream_is_never_ended_politely_wherever_it_is_cut() {
    let data = stream(5, 4, 3);
    for cut in 0..data.len() {
        let seen = Seen::default();
        let error = run(From::new(data[..cut].to_vec()), To::new(&seen)).expect_err("cut");
        assert!(matches!(error, TransferError::Stream(StreamError::Truncated(_))), "{cut}: {error}");
        assert_eq!(error.code(), Code::Lost, "the sender had told that all was sent");
        assert_eq!(seen.finished.into_inner(), 0, "cut at {cut}");
    }
}

#[test]
fn a_changed_byte_stops_the_transfer() {
    let data = stream(5, 4, 3);
    for at in [0, 8, 300, 312 + 8, 312 + 400, data.len() - 400, data.len() - 1] {
        let seen = Seen::default();
        let mut data = data.clone();
        data[at] ^= 1;
        assert!(run(From::new(data), To::new(&seen)).is_err(), "changed at {at}");
        assert_eq!(seen.finished.into_inner(), 0, "changed at {at}");
    }
}

#[test]
fn a_stream_of_something_else_does_not_reach_the_receiver() {
    for (to, from) in [(6, 4), (5, 3), (5, 0)] {
        let seen = Seen::default();
        let error = run(From::new(stream(to, from, 1)), To::new(&seen)).expect_err("not asked for");
        assert!(
            matches!(
                error,
                TransferError::Stream(StreamError::OtherSnapshot { .. } | StreamError::OtherBase { .. })
            ),
            "{error}"
        );
        assert_eq!((seen.bytes.into_inner(), seen.finished.into_inner()), (0, 0));
    }
}

#[test]
fn the_senders_error_is_reported_and_the_receiver_not_ended() {
    let seen = Seen::default();
    let mut from = From::new(stream(5, 4, 3)[..2000].to_vec());
    from.end = || Err(failure("disk on fire"));
    let error = run(from, To::new(&seen)).expect_err("failed");
    assert!(
        matches!(&error, TransferError::Sender(_)) && error.to_string().contains("disk on fire"),
        "{error}"
    );
    assert_eq!(seen.finished.into_inner(), 0);

    // A sender that says it failed after a stream that looks whole is believed.
    let seen = Seen::default();
    let mut from = From::new(stream(5, 4, 3));
    from.finish = || Err(failure("late"));
    assert!(matches!(run(from, To::new(&seen)), Err(TransferError::Sender(_))));
    assert_eq!(seen.finished.into_inner(), 0);
}

#[test]
fn the_receivers_reason_is_reported_while_the_sender_never_ends() {
    let seen = Seen::default();
    let mut from = From::new(stream(5, 4, 100));
    from.end = || {
        std::thread::sleep(Duration::from_millis(1));
        Ok(Next::Nothing)
    };
    let mut to = To::new(&seen);
    to.stop_after = 10_000;
    to.finish = || Err(failure("out of space"));
    let error = run(from, to).expect_err("failed");
    assert!(
        matches!(&error, TransferError::Receiver(_)) && error.to_string().contains("out of space"),
        "{error}"
    );
}

#[test]
fn cancelling_ends_both_sides_without_ending_the_receive() {
    let seen = Seen::default();
    let mut from = From::new(stream(5, 4, 3)[..2000].to_vec());
    from.end = || {
        std::thread::sleep(Duration::from_millis(1));
        Ok(Next::Nothing)
    };
    let cancel = Cancel::new();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            while seen.bytes.load(Ordering::SeqCst) < 2000 {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        let (plain, settings) = (Coding::Plain, Settings::default());
        let outcome = go(Box::new(from), Box::new(To::new(&seen)), plain, plain, &settings, &cancel);
        waiting.join().expect("no panic");
        outcome
    });
    assert!(matches!(outcome, Err(TransferError::Cancelled)));
    assert_eq!(seen.finished.into_inner(), 0);
}
