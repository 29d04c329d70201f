//! Transfers that are cancelled, stuck, limited or broken: whoever is at fault is named, and nothing is left.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::stages::*;
use super::*;
use crate::cancel::TICK;
use crate::transfer::limit::tests::Asleep;

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
    let leaves = if n.is_multiple_of(2) { Coding::Packed } else { Coding::Plain };
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
    for leaves in [Coding::Plain, Coding::Packed] {
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
    let short = Some(Duration::from_secs(1));
    Settings {
        patience: Patience { bytes: short, end: short },
        ends: vec![Cancel::new()],
        ..Settings::default()
    }
}

#[test]
fn a_sender_that_stops_is_named_and_both_ends_are_dropped() {
    for leaves in [Coding::Plain, Coding::Packed] {
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
            let zstd = Coding::Packed;
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
                    let leaves = if n.is_multiple_of(2) { Coding::Packed } else { Coding::Plain };
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
