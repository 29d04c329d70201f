//! Runs that are told to stop, or are stopped: their own status, nothing left at either end, and the next one goes on.

use std::time::Duration;

use crate::faults::*;
use crate::replicas::*;
use crate::support::long;
use crate::ways::over_every_way;

/// F08: each signal in the middle of a stream, and one while it connects.
#[test]
fn a_signal_ends_a_run_with_its_own_status_and_nothing_stays_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        let mut kept = 0;
        let middle = 2_000_000;
        for (signal, at, code) in
            [(15, 2000, 6), (2, middle, 6), (15, middle, 6), (1, middle, 6), (13, middle, 0)]
        {
            let run = route.begin_until("--compress off", at);
            run.signal(signal);
            if signal == 13 {
                // A pipe that broke is an error of a write, and by itself no reason to end.
                route.link().bandwidth(None);
            }
            let output = broken_off(run, &[code]);
            route.link().bandwidth(None);
            route.assert_quiet();
            if code == 6 {
                assert!(at < middle || output.err().contains("go on from there"), "{}", output.err());
                let now = route.kept();
                assert!(now >= kept, "{kept} bytes had arrived, now {now}");
                kept = now;
            }
        }
        assert!(kept > 0, "nothing was interrupted");
        route.assert_same();
    });
}

/// F08: signals that do not end a process, every few milliseconds for a whole run, at both ends, disturb nothing.
#[test]
fn a_storm_of_signals_disturbs_nothing_over_every_way() {
    let storm = "for i in $(seq 400); do pkill -PIPE -x replicator; pkill -CHLD -x replicator; pkill -WINCH -x 'zfs|replicator'; \
                 pkill -CONT -x 'zfs|replicator|sshd-session'; [ -e /tmp/storm ] || exit 0; sleep 0.01; done";
    over_every_way(|route| {
        route.grow(1);
        for node in [route.here, route.far] {
            sh(
                node,
                &format!("touch /tmp/storm; (setsid bash -c \"{storm}\" > /dev/null 2>&1 < /dev/null &)"),
            );
        }
        route.link().bandwidth(Some(8_000_000));
        route.as_planned("", "");
        route.link().bandwidth(None);
        for node in [route.here, route.far] {
            sh(node, "rm /tmp/storm");
        }
        route.assert_same();
    });
}

/// F39: a second run at the same time ends at once with its own status. F08: the first is killed then, which leaves nothing
/// running at the far end for long, and nothing locked.
#[test]
fn a_second_run_is_refused_and_a_killed_one_leaves_nothing_for_long_over_every_way() {
    over_every_way(|route| {
        route.grow(1);
        let run = route.begin_until("--compress off", 500_000);
        // It shall still be there after all of these.
        route.link().bandwidth(Some(100_000));
        let process = sh(route.here, "pgrep -o -x replicator");
        let said = route.refused("", 7, &["another run", &route.target, "[R700]"]);
        assert!(said.contains(&format!("process {process}")), "{said}");
        // What only looks goes on, and so does another target.
        route.plan("", 0);
        let other =
            route.arguments("", "--dry-run").replace(&route.target, &format!("{}-other", route.target));
        replicate(route.here, &other);
        route.link().bandwidth(Some(4_000_000));
        let before = route.link().counters().payload;
        until("the first goes on", Duration::from_secs(60), || {
            route.link().counters().payload - before > 1_500_000 || run.finished()
        });
        run.signal(9);
        assert_ne!(run.wait().expect("it ends").code(), 0);
        route.link().bandwidth(None);
        // The ssh of the background is the one thing that outlives it here, for a minute after its last command.
        let far = "for i in $(seq 100); do pgrep -x 'zfs|replicator' > /dev/null || break; sleep 0.1; done; pgrep -a -x 'zfs|replicator' || true";
        assert_eq!(sh(route.far, far), "", "something still runs at the far end");
        assert_not_held(route.from);
        if route.way.transport == "ssh" {
            if long() {
                let ends = "for i in $(seq 200); do pgrep -x ssh > /dev/null || exit 0; sleep 1; done; pgrep -a -x ssh; exit 1";
                let output =
                    route.here.script(ends).limit(Duration::from_secs(250)).run().expect("the node answers");
                assert_eq!(output.code(), 0, "{}", output.out());
            } else {
                sh(route.here, "pkill -x ssh || true");
            }
            sh(route.here, "rm -rf /tmp/replicator-ssh-*");
        }
        assert!(route.assert_goes_on() > 0, "nothing had arrived");
    });
}

/// F09: what many runs leave behind at either end: nothing, but for the files of their last one.
#[test]
fn many_runs_leave_nothing_behind_over_every_way() {
    let runs = if long() { 200 } else { 12 };
    let count = "pgrep -c -x 'zfs|zstd|replicator|ssh|sshd-session' || true; ls -A /tmp /run /dev/shm | wc -l; zfs list -H -t bookmark -o name | wc -l
                 zfs list -H -o name -t snapshot | while read -r s; do zfs holds -H \"$s\"; done | wc -l";
    over_every_way(|route| {
        fill(route.from, &route.source, 1);
        route.as_planned("", "");
        change(route.from, &route.source, 2);
        route.as_planned("", "");
        route.assert_quiet();
        let before = (sh(route.from, count), sh(route.to, count));
        let one = format!("replicator replicate {} --quiet", route.arguments("", ""));
        let n = "$(cat /tmp/n 2>/dev/null || echo 2)";
        for _ in 0..runs / 4 {
            // New snapshots in between, so that it is not only runs without anything to do.
            let round = format!(
                "n=$(({n} + 1)); echo $n > /tmp/n; echo $n > '/{0}/changed'; zfs snapshot '{0}@n'$n",
                route.source
            );
            sh(route.from, &round);
            sh(route.here, &format!("for i in 1 2 3 4; do {one}; done"));
        }
        sh(route.from, "rm /tmp/n");
        route.assert_quiet();
        let after = (sh(route.from, count), sh(route.to, count));
        assert_eq!(before, after, "processes, files, bookmarks and holds at each end");
        assert_eq!(guids(route.from, &route.source), guids(route.to, &route.target));
    });
}
