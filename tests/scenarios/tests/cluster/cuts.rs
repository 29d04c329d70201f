//! Streams that are cut at any byte: by the network, and by either machine losing its power.

use std::time::Duration;

use crate::bent::Bend;
use crate::faults::*;
use crate::replicas::*;
use crate::support::long;
use crate::ways::Route;
use crate::ways::over_every_way;

/// F01: five cuts for each of four ways in the short set, twenty for each of all in the long one. The first of each
/// way is noticed by nobody but those who wait for bytes, the others by both ends at once.
#[test]
fn a_stream_that_is_cut_at_random_bytes_goes_on_from_there_over_every_way() {
    let cuts = if long() { 20 } else { 5 };
    let random = std::cell::RefCell::new(Random::seeded());
    let more = "--retries 0 --idle-timeout 5 --compress off";
    over_every_way(|route| {
        let link = route.link();
        let (mut round, mut kept, mut advanced, mut slow) = (1, 0, 0, 0);
        route.grow(round);
        let mut cut = 0;
        // By chance all may come before the first data are written down, or after the last byte: then some more.
        while cut < cuts || advanced == 0 && cut < 4 * cuts {
            // So that the cuts are spread over a stream, wherever the one before came to.
            let after = random.borrow_mut().below((SIZE - kept.min(SIZE - 1)) / 2 + 100_000);
            let silenced = link.counters().silenced;
            link.drop_after(after);
            let run = route.begin(more);
            until("a cut", Duration::from_secs(140), || {
                link.counters().silenced > silenced || run.finished()
            });
            let was_cut = link.counters().silenced > silenced;
            let said = if !was_cut {
                link.heal();
                // It was done before; or the machine is so busy that nothing moved for as long as the run waits.
                broken_off(run, &[0, 4])
            } else if cut == 0 {
                let output = broken_off(run, &[4]);
                link.heal();
                output
            } else {
                route.tear();
                link.heal();
                broken_off(run, &[0, 4])
            };
            route.tear();
            cut += u32::from(was_cut);
            route.assert_quiet();
            if route.has(round) {
                // It lived through that, or the cut came after the last byte, so that only the success was not told.
                route.assert_same();
                (round, kept) = (round + 1, 0);
                route.grow(round);
                continue;
            }
            assert!(!said.success(), "success was told, and s{round} is not there: {}", said.err());
            let now = route.kept();
            // The record of a file at the beginning of each stream sets ZFS back to the beginning of that file, until the
            // first of its data is written down.
            let beginning = kept - kept % FILE;
            assert!(now >= beginning, "{kept} bytes had arrived, now {now}: {}", said.err());
            if was_cut {
                // What was on its way through pipes and windows does not count; more than that must have been kept.
                assert!(
                    now > kept || after < 4_000_000,
                    "cut after {after}: nothing new arrived, {}",
                    said.err()
                );
                advanced += u32::from(now > kept);
            } else {
                slow += 1;
                assert!(slow < 20, "no cut, and no success either: {}", said.err());
            }
            kept = now;
        }
        assert!(advanced > 0, "no cut fell into a stream, so nothing was tested");
        route.assert_goes_on();
    });
}

/// F02: a sample of the first 4096 bytes, which hold the record that begins a stream and the first of what it is about.
#[test]
fn a_stream_that_is_cut_before_its_beginning_leaves_nothing_over_every_way() {
    let mut bytes = vec![0, 311, 312, 4096];
    if long() {
        let mut random = Random::seeded();
        bytes.extend((0..14).map(|_| random.below(4096)));
    }
    over_every_way(|route| {
        fill(route.from, &route.source, 1);
        for &at in &bytes {
            let before = state(route.to);
            route.bend(Bend::Cut(at));
            let output = route.run("--retries 0 --compress off");
            assert!(
                [1, 4].contains(&output.code()),
                "cut at {at}: status {}\n{}",
                output.code(),
                output.err()
            );
            assert!(!output.err().contains("panicked"), "{}", output.err());
            route.straighten();
            route.assert_quiet();
            if at <= 312 {
                assert_eq!(before, state(route.to), "cut at {at} left something");
            }
        }
        route.as_planned("", "");
        route.assert_same();
    });
}

/// What a node that was off needs to go on. Moments a second apart do not differ for ZFS, which writes down what it has
/// every few seconds; so the pool is told to do so every second.
fn back_on(node: &lab::Node) {
    node.boot().expect("boots again");
    sh(node, "echo 1 > /sys/module/zfs/parameters/zfs_txg_timeout; zpool import -a -f -d /dev");
}

/// One cut of the receiver's or the sender's power, and what comes of it.
fn power_cut(route: &Route<'_>, round: usize, receiver: bool, moment: u64) -> u64 {
    route.grow(round);
    sh(route.from, "zpool sync");
    let run = route.begin_until("--idle-timeout 3 --connect-timeout 3 --retries 0 --compress off", moment);
    assert!(!run.finished(), "the transfer ended before the cut");
    let (dead, alive) = if receiver { (route.to, route.from) } else { (route.from, route.to) };
    dead.power_cut();
    route.link().bandwidth(None);
    if dead.name() == route.here.name() {
        assert!(run.wait().is_err(), "the command died with its node");
    } else {
        let output = run.wait().expect("it ends by itself");
        assert!(!output.success(), "success was reported over a dead node: {}", output.err());
    }
    back_on(dead);
    if alive.name() == route.far.name() {
        route.hang_up();
    }
    route.assert_quiet();
    route.assert_goes_on()
}

/// F03: at a random moment, the receiver or the sender of each way; in the long set both of them, and three times, which
/// is more than twenty of each.
#[test]
fn a_power_cut_of_either_node_at_random_moments_is_lived_through_over_every_way() {
    let rounds = if long() { 6 } else { 1 };
    let random = std::cell::RefCell::new(Random::seeded());
    let resumed = std::cell::Cell::new(0);
    over_every_way(|route| {
        sh(route.to, "echo 1 > /sys/module/zfs/parameters/zfs_txg_timeout");
        fill(route.from, &route.source, 1);
        route.as_planned("", "");
        for round in 0.. {
            // One that comes before anything was kept is lived through like any other; but the last one shows more.
            if round >= rounds && (resumed.get() > 0 || round >= rounds + 5) {
                break;
            }
            // In the first round: the far one and this one, each as receiver and as sender.
            let receiver = (round % 2 == 0) == (route.way.transport == "libssh2");
            let moment = random.borrow_mut().below(SIZE * 9 / 10);
            let kept = power_cut(route, round + 2, receiver, moment);
            resumed.set(resumed.get() + u32::from(kept > 0));
        }
    });
    assert!(resumed.get() > 0, "no cut fell into a transfer, so nothing was tested");
}

/// F04: one snapshot arrived and the next is on its way when the run is killed, or the target loses its power: the
/// bookmarks are still there, and what arrived is known by its GUID, although the source has none of its snapshots.
#[test]
fn what_arrived_before_a_run_died_is_a_base_by_its_guid_over_every_way() {
    over_every_way(|route| {
        fill(route.from, &route.source, 1);
        route.as_planned("", "");
        let mut last = 1;
        for power in [false, true] {
            let (first, second) = (last + 1, last + 2);
            change(route.from, &route.source, first);
            route.grow(second);
            sh(route.from, "zpool sync");
            route.link().bandwidth(Some(4_000_000));
            let run = route.begin("--retries 0 --idle-timeout 3 --connect-timeout 3 --compress off");
            let exists = format!(
                "for i in $(seq 1000); do zfs list '{}@s{first}' >/dev/null 2>&1 && zpool sync && exit 0; done; exit 1",
                route.target
            );
            sh(route.to, &exists);
            assert!(!run.finished(), "the run is done already");
            if power {
                route.to.power_cut();
                assert!(run.wait().map_or(true, |output| !output.success()), "its target is gone");
            } else {
                route.kill(run);
            }
            route.link().bandwidth(None);
            if power {
                back_on(route.to);
            }
            route.hang_up();
            route.assert_quiet();
            let bookmarks = our_bookmarks(route.from, &route.source);
            assert!(bookmarks.len() >= 3, "of the old base and of both snapshots: {bookmarks:?}");
            // Only their bookmarks are left.
            sh(route.from, &format!("zfs destroy '{0}@s{last}'; zfs destroy '{0}@s{first}'", route.source));
            let plan = route.as_planned("", "");
            assert!(!actions(&plan).iter().any(|action| action == "full"), "{plan}");
            let (from, to) = (guids(route.from, &route.source), guids(route.to, &route.target));
            assert_eq!(from, to[to.len() - 1..], "{plan}");
            let newest = format!("s{second}");
            assert_eq!(
                files(route.from, &route.source, &newest),
                files(route.to, &route.target, &newest),
                "{plan}"
            );
            assert_eq!(our_bookmarks(route.from, &route.source).len(), 1, "the older ones went");
            last = second;
        }
    });
}
