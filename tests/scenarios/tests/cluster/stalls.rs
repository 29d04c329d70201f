//! Machines and programs that stop without a word: stopped processes, connections that are half open, ends that fail
//! while the other one goes on, and receives that an earlier run has left behind.

use std::time::Duration;

use crate::faults::*;
use crate::replicas::*;
use crate::ways::Route;
use crate::ways::over_every_way;

/// Which processes of the far end are stopped.
fn stop(route: &Route<'_>, which: &str) {
    let names = match which {
        "connection" => "sshd-session",
        _ if route.way.far_end == "agent" => "replicator",
        _ => "zfs",
    };
    let found = sh(route.far, &format!("pkill -STOP -x {names}; pgrep -c -x {names}"));
    assert_ne!(found, "0");
}

/// F05: what answers at the far end is stopped in the middle, or its whole connection; the run gives up in time and
/// leaves nothing at this end, and when they go on, the next run does.
#[test]
fn a_far_end_that_is_stopped_is_given_up_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        let mut kept = 0;
        for which in ["program", "connection"] {
            let run = route.begin_until(
                "--retries 0 --stall-timeout 5 --idle-timeout 5 --compress off",
                if which == "program" { 2_000_000 } else { 1_500_000 },
            );
            stop(route, which);
            route.link().bandwidth(None);
            let output = broken_off(run, &[1, 4]);
            let said = output.err();
            assert!(["no byte moved", "no answer", "broke"].iter().any(|word| said.contains(word)), "{said}");
            assert_quiet(route.here);
            sh(route.far, "pkill -CONT -x 'sshd-session|replicator|zfs' || true");
            // One that waits for bytes of a connection that nobody has any more is ended as sshd does it in time.
            if which == "connection" {
                route.hang_up();
            }
            route.assert_quiet();
            let now = route.kept();
            assert!(now > kept, "{which}: {kept} bytes had arrived, now {now}, {:?}\n{said}", route.token());
            kept = now;
        }
        route.assert_goes_on();
    });
}

/// F05: the same while it is waited for: the run tries again by itself, over a new connection, and reaches its end.
#[test]
fn a_far_end_that_is_stopped_is_passed_by_the_same_run_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        let run = route.begin_until("--stall-timeout 2 --idle-timeout 3 --compress off", 2_000_000);
        stop(route, "program");
        route.link().bandwidth(None);
        until("a word of the next try", Duration::from_secs(60), || {
            String::from_utf8_lossy(&run.stderr()).contains("again")
        });
        // The one that is stopped may hold the target as long as it is.
        sh(route.far, "pkill -CONT -x 'replicator|zfs' || true");
        let output = broken_off(run, &[0]);
        assert!(output.err().contains("no byte moved"), "{}", output.err());
        route.assert_quiet();
        route.assert_same();
    });
}

/// F06: the receiver's pool has no room in the middle of a stream that goes on; its error is the one that is told.
#[test]
fn a_receiver_that_fails_is_told_while_the_sender_goes_on_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        // Below a parent that has room for a part of it only.
        let parent = route.target.replacen("back/", "back/q-", 1);
        sh(route.to, &format!("zfs create '{parent}'; zfs set quota=3M '{parent}'"));
        let arguments = route.arguments("", "--retries 0 --ignore-space --compress off");
        let arguments = arguments.replace(&route.target, &format!("{parent}/t"));
        let said = refused(route.here, &arguments, 1, &[&parent, "quota"]);
        assert!(!said.contains("broken pipe"), "{said}");
        route.assert_quiet();
        sh(route.to, &format!("zfs set quota=none '{parent}'; zpool sync"));
        replicate(route.here, &arguments);
        assert_same((route.from, &route.source), (route.to, &format!("{parent}/t")));
    });
}

/// F07: an earlier receive still runs at the target. The next run neither disturbs it nor starts beside it: it waits for
/// its end, and goes on from what it has left.
#[test]
fn a_receive_that_still_runs_is_waited_for_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        for (n, stream) in
            [(1, format!("'{}@s1'", route.source)), (2, format!("-i @s1 '{}@s2'", route.source))]
        {
            if n == 2 {
                route.grow(2);
            }
            // Half of the stream, and then nothing for a while.
            let half = SIZE / 2;
            let to = route.to.name();
            sh(route.from, &format!("zfs send -L -c {stream} | head -c {half} | ssh {to} 'cat > /tmp/half'"));
            sh(
                route.to,
                &format!(
                    "touch /tmp/hold; echo '(cat /tmp/half; while [ -e /tmp/hold ]; do sleep 0.2; done) | \
                     exec -a earlier zfs receive -s -u -o readonly=on -o canmount=noauto {}' > /tmp/earlier
                     setsid bash /tmp/earlier > /dev/null 2>&1 < /dev/null &
                     for i in $(seq 100); do zfs get -H -o value receive_resume_token {0} 2>/dev/null | grep -q ^1- && break
                       zpool sync; sleep 0.1; done",
                    route.target
                ),
            );
            let run = route.begin("--retries 0 --compress off");
            until("it waits", Duration::from_secs(60), || {
                String::from_utf8_lossy(&run.stderr()).contains("again") || run.finished()
            });
            assert!(!run.finished(), "it did not wait: {}", broken_off(run, &[0]).err());
            assert_eq!(sh(route.to, "pgrep -c -f ^earlier"), "1", "the earlier receive was disturbed");
            sh(route.to, "rm /tmp/hold");
            let said = broken_off(run, &[0]).err();
            assert!(said.contains("resume"), "{said}");
            route.assert_quiet();
            route.assert_same();
        }
    });
}
