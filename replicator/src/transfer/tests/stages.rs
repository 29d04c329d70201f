//! All stages together: compressed on either side, slow and stuck ends, cancelled at every stage, and what is left
//! afterwards: nothing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::cancel::TICK;
use crate::transfer::limit::tests::Asleep;

/// An end made of functions.
struct Source<'a> {
    next: Box<dyn FnMut() -> Result<Next, HostError> + Send + 'a>,
    dropped: &'a AtomicU64,
}

impl Outgoing for Source<'_> {
    fn next(&mut self, _limit: usize) -> Result<Next, HostError> {
        (self.next)()
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        Ok(())
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

type Write<'a> = dyn FnMut(&[u8]) -> Result<(), HostError> + Send + 'a;

struct Target<'a> {
    write: Box<Write<'a>>,
    finish: Box<dyn FnMut() -> Result<(), HostError> + Send + 'a>,
    dropped: &'a AtomicU64,
}

impl Incoming for Target<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        (self.write)(block)
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        (self.finish)()
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn target<'a>(dropped: &'a AtomicU64, into: &'a Mutex<Vec<u8>>) -> Box<Target<'a>> {
    let write = |block: &[u8]| {
        into.lock().expect("lock").extend_from_slice(block);
        Ok(())
    };
    Box::new(Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped })
}

/// One block again and again, for ever; the first is the beginning of a stream.
fn endless(dropped: &AtomicU64) -> Box<Source<'_>> {
    let data = stream(5, 4, 2000);
    let begin = Bytes::copy_from_slice(&data[..data.len() - 312]);
    // Records that fit behind it would need right running checksums: the beginning alone, in small pieces.
    let mut at = 0;
    let next = move || {
        if at >= begin.len() {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Next::Nothing);
        }
        let to = (at + 50_000).min(begin.len());
        let block = begin.slice(at..to);
        at = to;
        Ok(Next::Block(block))
    };
    Box::new(Source { next: Box::new(next), dropped })
}

fn pieces<'a>(data: &[u8], piece: usize, dropped: &'a AtomicU64) -> Box<Source<'a>> {
    let mut blocks: std::collections::VecDeque<Bytes> =
        data.chunks(piece).map(Bytes::copy_from_slice).collect();
    let next = move || Ok(blocks.pop_front().map_or(Next::End, Next::Block));
    Box::new(Source { next: Box::new(next), dropped })
}

/// The stream as a far end would send or want it.
fn packed(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).expect("zstd")
}

fn small(total: u64) -> Settings {
    Settings { budget: Budget::new(total), ..Settings::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_stream_arrives_whole_however_it_is_carried(
        blocks in 0u64..600,
        piece in 1usize..200_000,
        arrives in prop::bool::ANY,
        leaves in prop::bool::ANY,
        budget in prop_oneof![Just(0u64), Just(3 << 20), Just(128 << 20)],
    ) {
        let data = stream(5, 4, blocks);
        let coding = |zstd| if zstd { Coding::Zstd } else { Coding::Plain };
        let sent = if arrives { packed(&data) } else { data.clone() };
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let settings = small(budget);
        let piece = piece.max(sent.len() / 500);
        let moved = go(
            pieces(&sent, piece, &dropped),
            target(&dropped, &into),
            coding(arrives),
            coding(leaves),
            &settings,
            &Cancel::new(),
        ).expect("good");
        let came = into.into_inner().expect("lock");
        prop_assert_eq!(moved, Moved { plain: data.len() as u64, wire: came.len() as u64 });
        let plain = if leaves { zstd::decode_all(came.as_slice()).expect("zstd") } else { came };
        prop_assert!(plain == data);
        prop_assert_eq!(dropped.into_inner(), 2);
        prop_assert_eq!(settings.budget.used(), 0);
    }
}

/// What came before a failure must not come again: a link that breaks each minute would never bring anything.
#[test]
fn what_came_before_the_sender_failed_reaches_the_receiver() {
    let data = stream(5, 4, 2000);
    let cut = &data[..data.len() - 5000];
    for (arrives, leaves) in [
        (Coding::Plain, Coding::Plain),
        (Coding::Plain, Coding::Zstd),
        (Coding::Zstd, Coding::Plain),
        (Coding::Zstd, Coding::Zstd),
    ] {
        let sent = if arrives == Coding::Zstd { packed(cut) } else { cut.to_vec() };
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let mut from = pieces(&sent, 100_000, &dropped);
        let mut next = std::mem::replace(&mut from.next, Box::new(|| Ok(Next::End)));
        from.next = Box::new(move || match next()? {
            Next::End => Err(failure("the line broke")),
            next => Ok(next),
        });
        // Slow enough that most of it waits in between when the sender fails.
        let write = |block: &[u8]| {
            std::thread::sleep(Duration::from_millis(2));
            into.lock().expect("lock").extend_from_slice(block);
            Ok(())
        };
        let finish = || panic!("ended politely");
        let to = Target { write: Box::new(write), finish: Box::new(finish), dropped: &dropped };
        let error = go(from, Box::new(to), arrives, leaves, &Settings::default(), &Cancel::new());
        assert!(matches!(error, Err(TransferError::Sender(_))), "{error:?}");
        let came = into.into_inner().expect("lock");
        let came = if leaves == Coding::Zstd { unfinished(&came) } else { came };
        assert!(came == cut, "{arrives:?} to {leaves:?}: {} of {}", came.len(), cut.len());
    }
}

/// What can be had of frames that are not whole.
fn unfinished(mut packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(&mut packed).expect("zstd");
    let error = std::io::Read::read_to_end(&mut decoder, &mut plain).expect_err("not whole");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    plain
}

#[test]
fn a_compressed_stream_that_is_cut_or_damaged_is_never_ended() {
    let data = stream(5, 4, 20);
    let whole = packed(&data);
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for sent in [&whole[..at], changed.as_slice()] {
            let seen = Seen::default();
            let from = From::new(sent.to_vec());
            let settings = Settings::default();
            let (zstd, plain) = (Coding::Zstd, Coding::Plain);
            let moved = go(Box::new(from), Box::new(To::new(&seen)), zstd, plain, &settings, &Cancel::new());
            assert!(matches!(moved, Err(TransferError::Stream(_))), "at {at}: {moved:?}");
            assert_eq!(seen.finished.into_inner(), 0, "at {at}");
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_first_bytes() {
    let bomb = packed(&vec![0; 64 << 20]);
    let seen = Seen::default();
    let settings = small(4 << 20);
    let (zstd, plain) = (Coding::Zstd, Coding::Plain);
    let from = From::new(bomb);
    let error = go(Box::new(from), Box::new(To::new(&seen)), zstd, plain, &settings, &Cancel::new());
    assert!(matches!(error, Err(TransferError::Stream(StreamError::Damaged(_)))), "{error:?}");
    assert_eq!(seen.bytes.into_inner(), 0);
}

#[test]
fn what_is_reported_adds_up_on_both_sides_of_the_wire() {
    let data = stream(5, 4, 500);
    let sent = packed(&data);
    for (from, arrives, leaves, wire) in
        [(&data, Coding::Plain, Coding::Zstd, Wire::Out), (&sent, Coding::Zstd, Coding::Plain, Wire::In)]
    {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (plain, over) = (AtomicU64::new(0), AtomicU64::new(0));
        let settings = Settings::default();
        let head = Head::unread(pieces(from, 1000, &dropped), arrives, &settings);
        let progress = |moved: Moved| {
            plain.fetch_add(moved.plain, Ordering::SeqCst);
            over.fetch_add(moved.wire, Ordering::SeqCst);
        };
        let cancel = Cancel::new();
        let target = target(&dropped, &into);
        let all =
            transfer(head, target, leaves, wire, EXPECTED, &settings, &cancel, &progress).expect("good");
        let came = into.into_inner().expect("lock").len() as u64;
        let wire = if wire == Wire::Out { came } else { from.len() as u64 };
        assert_eq!(all, Moved { plain: data.len() as u64, wire });
        assert_eq!((plain.into_inner(), over.into_inner()), (all.plain, all.wire));
        assert!(all.wire < all.plain / 2);
    }
}

#[test]
fn the_head_decides_and_is_sent_first() {
    let auto = Settings { compression: Compression::Auto, ..Settings::default() };
    let noise = crate::transfer::compress::tests::noise;
    let mut builder = StreamBuilder::new(ByteOrder::Little).begin(&Begin {
        to_guid: 5,
        from_guid: 4,
        to_name: "a/b@c".to_string(),
        ..Begin::default()
    });
    for (n, block) in noise(6 << 20).chunks(65536).enumerate() {
        builder = builder.write(1, n as u64 * 65536, block);
    }
    let noisy = builder.end().build();
    for (data, compresses) in [(stream(5, 4, 2000), true), (noisy, false), (stream(5, 4, 1), true)] {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let from = pieces(&data, 100_000, &dropped);
        let head = Head::read(from, Coding::Plain, false, &auto, &Cancel::new()).expect("good");
        assert_eq!(head.decision().compresses(), compresses, "{:?}", head.decision());
        assert!(auto.budget.used() > 0);
        let leaves = if compresses { Coding::Zstd } else { Coding::Plain };
        let cancel = Cancel::new();
        let to = target(&dropped, &into);
        transfer(head, to, leaves, Wire::Out, EXPECTED, &auto, &cancel, &|_| {}).expect("good");
        let came = into.into_inner().expect("lock");
        let plain = if compresses { zstd::decode_all(came.as_slice()).expect("zstd") } else { came };
        assert!(plain == data);
    }
    // Nothing is read where nothing has to be decided.
    let never = || panic!("read");
    for (raw, settings, decision) in [
        (true, auto.clone(), Decision::Raw),
        (false, Settings { compression: Compression::Off, ..auto.clone() }, Decision::Off),
        (true, Settings { compression: Compression::On, ..auto.clone() }, Decision::Compress),
    ] {
        let dropped = AtomicU64::new(0);
        let from = Box::new(Source { next: Box::new(never), dropped: &dropped });
        let head = Head::read(from, Coding::Plain, raw, &settings, &Cancel::new()).expect("good");
        assert_eq!(head.decision(), decision);
    }
}

#[test]
fn a_head_fits_into_any_budget() {
    let settings = Settings { compression: Compression::Auto, ..small(0) };
    let data = stream(5, 4, 2000);
    let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let from = pieces(&data, 1 << 20, &dropped);
    let head = Head::read(from, Coding::Plain, false, &settings, &Cancel::new()).expect("good");
    assert_eq!(settings.budget.used(), 1 << 20);
    let to = target(&dropped, &into);
    let cancel = Cancel::new();
    transfer(head, to, Coding::Plain, Wire::Out, EXPECTED, &settings, &cancel, &|_| {}).expect("good");
    assert!(into.into_inner().expect("lock") == data);
}

/// The names of this process's threads that are those of stages.
fn stage_threads() -> Vec<String> {
    let mut names = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").expect("proc") {
        // A thread may end between the listing and the reading.
        let name = std::fs::read_to_string(task.expect("task").path().join("comm")).unwrap_or_default();
        names.push(name.trim().to_string());
    }
    names
}

/// In a process of its own: other tests have threads of the same names.
#[test]
fn two_hundred_cancelled_transfers_leave_no_thread() {
    const ALONE: &str = "ZFS_REPLICATOR_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let me = std::env::current_exe().expect("this test");
        let test = std::thread::current().name().expect("a name").to_string();
        let done = std::process::Command::new(me)
            .args(["--exact", &test, "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .expect("start");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let before = stage_threads().len();
    // Each waits for a tick or so: a few at a time.
    std::thread::scope(|scope| {
        for first in 0..8 {
            scope.spawn(move || (0..25).for_each(|n| one_cancelled_transfer(n * 8 + first)));
        }
    });
    // A thread that was joined may be listed for a moment yet.
    for _ in 0..1000 {
        if stage_threads().len() <= before {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("left over: {:?}", stage_threads());
}

fn one_cancelled_transfer(n: u64) {
    let (dropped, cancel) = (AtomicU64::new(0), Cancel::new());
    let steps = AtomicU64::new(0);
    let settings = small((n % 5) << 20);
    let leaves = if n.is_multiple_of(2) { Coding::Zstd } else { Coding::Plain };
    // Cancelled at another place each time: before the first byte, while blocks come and go, or after the last.
    let step = || {
        if steps.fetch_add(1, Ordering::SeqCst) >= n * 2 {
            cancel.cancel();
        }
    };
    let mut from = endless(&dropped);
    let mut next = std::mem::replace(&mut from.next, Box::new(|| Ok(Next::End)));
    from.next = Box::new(move || {
        step();
        next()
    });
    let write = |_: &[u8]| {
        step();
        Ok(())
    };
    let to = Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped: &dropped };
    let error = go(from, Box::new(to), Coding::Plain, leaves, &settings, &cancel);
    assert!(matches!(error, Err(TransferError::Cancelled)), "{n}: {error:?}");
    assert_eq!(dropped.load(Ordering::SeqCst), 2, "{n}");
    assert_eq!(settings.budget.used(), 0, "{n}");
}

#[test]
fn cancelling_is_seen_by_every_stage_while_it_waits() {
    // A receiver that takes nothing until the run is cancelled: everything before it is full and waits.
    for leaves in [Coding::Plain, Coding::Zstd] {
        for total in [0, 64 << 20] {
            let (dropped, cancel) = (AtomicU64::new(0), Cancel::new());
            let write = |_: &[u8]| {
                cancel.cancel();
                while !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                Err(HostError::Cancelled)
            };
            let to = Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped: &dropped };
            let settings = small(total);
            let error = go(endless(&dropped), Box::new(to), Coding::Plain, leaves, &settings, &cancel);
            assert!(matches!(error, Err(TransferError::Cancelled)), "{error:?}");
            assert_eq!((dropped.load(Ordering::SeqCst), settings.budget.used()), (2, 0));
        }
    }
}

#[test]
fn cancelling_ends_the_wait_for_the_limit() {
    let (dropped, cancel, into) = (AtomicU64::new(0), Cancel::new(), Mutex::new(Vec::new()));
    let limiter = Limiter::new(std::num::NonZeroU64::MIN);
    let settings = Settings { limiter, ..Settings::default() };
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while into.lock().expect("lock").is_empty() {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        go(endless(&dropped), target(&dropped, &into), Coding::Plain, Coding::Plain, &settings, &cancel)
    });
    assert!(matches!(outcome, Err(TransferError::Cancelled)), "{outcome:?}");
}

#[test]
fn the_limit_holds_for_what_goes_over_the_wire() {
    let data = stream(5, 4, 500);
    for wire in [Wire::In, Wire::Out] {
        let clock = Arc::new(Asleep::default());
        let rate = std::num::NonZeroU64::new(100_000).expect("not zero");
        let settings = Settings { limiter: Limiter::with_clock(rate, clock.clone()), ..Settings::default() };
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let head = Head::unread(pieces(&data, 10_000, &dropped), Coding::Plain, &settings);
        let (to, cancel) = (target(&dropped, &into), Cancel::new());
        transfer(head, to, Coding::Plain, wire, EXPECTED, &settings, &cancel, &|_| {}).expect("good");
        let expected = data.len() as f64 / 100_000.0;
        let took = limit::Clock::now(&*clock).as_secs_f64();
        assert!((took - expected).abs() < 0.5, "{wire:?}: {took} s, expected {expected}");
    }
}

fn impatient() -> Settings {
    let short = Some(Duration::from_millis(300));
    Settings {
        patience: Patience { bytes: short, end: short },
        ends: vec![Cancel::new()],
        ..Settings::default()
    }
}

#[test]
fn a_sender_that_stops_is_named_and_both_ends_are_dropped() {
    for leaves in [Coding::Plain, Coding::Zstd] {
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (settings, cancel) = (impatient(), Cancel::new());
        let to = target(&dropped, &into);
        let error =
            go(endless(&dropped), to, Coding::Plain, leaves, &settings, &cancel).expect_err("stalled");
        assert!(matches!(error, TransferError::Stalled { end: End::Sender, .. }), "{error}");
        assert!(error.to_string().contains("the sending side"), "{error}");
        assert_eq!(dropped.into_inner(), 2);
        assert!(!cancel.is_cancelled(), "only this transfer");
        assert!(!into.into_inner().expect("lock").is_empty(), "what came went on");
    }
}

#[test]
fn a_receiver_that_hangs_in_a_call_is_named_and_got_out_of_it() {
    for at_end in [false, true] {
        let dropped = AtomicU64::new(0);
        let settings = impatient();
        let ends = settings.ends[0].clone();
        let hang = || {
            while !ends.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(HostError::Cancelled)
        };
        let write = |_: &[u8]| if at_end { Ok(()) } else { hang() };
        let to = Target { write: Box::new(write), finish: Box::new(hang), dropped: &dropped };
        let from = pieces(&stream(5, 4, 10), 1000, &dropped);
        let error = go(from, Box::new(to), Coding::Plain, Coding::Plain, &settings, &Cancel::new());
        let error = error.expect_err("stalled");
        assert!(matches!(error, TransferError::Stalled { end: End::Receiver, .. }), "{error}");
        assert_eq!(dropped.into_inner(), 2);
    }
}

#[test]
fn a_slow_side_is_no_stalled_side() {
    for slow_sender in [true, false] {
        let data = stream(5, 4, 10);
        let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        // Longer in all than the patience, and far shorter in each step.
        let settings = Settings {
            patience: Patience { bytes: Some(TICK * 10), end: Some(TICK * 10) },
            ..Settings::default()
        };
        let pause = move |slow: bool| std::thread::sleep(Duration::from_millis(if slow { 60 } else { 0 }));
        let mut blocks = data.chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>().into_iter();
        let next = move || {
            pause(slow_sender);
            Ok(blocks.next().map_or(Next::End, Next::Block))
        };
        let write = |block: &[u8]| {
            pause(!slow_sender);
            into.lock().expect("lock").extend_from_slice(block);
            Ok(())
        };
        let from = Box::new(Source { next: Box::new(next), dropped: &dropped });
        let to = Box::new(Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped: &dropped });
        go(from, to, Coding::Plain, Coding::Plain, &settings, &Cancel::new()).expect("slow and good");
        assert!(into.into_inner().expect("lock") == data);
    }
}

#[test]
fn a_panic_in_a_stage_is_passed_on_and_leaves_nothing() {
    for in_sender in [true, false] {
        let dropped = AtomicU64::new(0);
        let settings = Settings::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut endless = endless(&dropped);
            let mut next = std::mem::replace(&mut endless.next, Box::new(|| Ok(Next::End)));
            let mut calls = 0;
            endless.next = Box::new(move || {
                calls += 1;
                assert!(!in_sender || calls < 5, "on purpose");
                next()
            });
            let write = |_: &[u8]| {
                assert!(in_sender, "on purpose");
                Ok(())
            };
            let to = Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped: &dropped };
            let zstd = Coding::Zstd;
            go(endless, Box::new(to), Coding::Plain, zstd, &settings, &Cancel::new())
        }));
        let panic = panicked.map(|_| ()).expect_err("a panic");
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(|s| &**s));
        assert!(text.is_some_and(|text| text.contains("on purpose")), "{text:?}");
        assert_eq!((dropped.into_inner(), settings.budget.used()), (2, 0));
    }
}

#[test]
fn transfers_that_share_a_tiny_budget_all_end_though_one_of_them_is_stuck() {
    let settings = small(0);
    let data = stream(5, 4, 1500);
    let (stuck, cancel) = (AtomicBool::new(true), Cancel::new());
    std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            let dropped = AtomicU64::new(0);
            let write = |_: &[u8]| {
                while stuck.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            };
            let to = Target { write: Box::new(write), finish: Box::new(|| Ok(())), dropped: &dropped };
            let from = pieces(&data, 100_000, &dropped);
            go(from, Box::new(to), Coding::Plain, Coding::Plain, &settings, &cancel).expect("at last");
        });
        let others: Vec<_> = (0..12u32)
            .map(|n| {
                let (settings, data, cancel) = (&settings, &data, &cancel);
                scope.spawn(move || {
                    let (dropped, into) = (AtomicU64::new(0), Mutex::new(Vec::new()));
                    let leaves = if n.is_multiple_of(2) { Coding::Zstd } else { Coding::Plain };
                    let from = pieces(data, 700_000, &dropped);
                    let to = target(&dropped, &into);
                    go(from, to, Coding::Plain, leaves, settings, cancel).expect("good");
                })
            })
            .collect();
        for other in others {
            other.join().expect("no panic");
        }
        stuck.store(false, Ordering::SeqCst);
        held.join().expect("no panic");
    });
    assert_eq!(settings.budget.used(), 0);
    // One block for each lane: 13 that read, 6 that compress.
    assert!(settings.budget.peak() <= 19 << 20, "{}", settings.budget.peak());
}
