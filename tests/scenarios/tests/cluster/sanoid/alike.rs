//! Both do the same with the same pools.

use super::*;

/// Makes the same history in both pools: hourly, daily and monthly ones, about as they would have come by 2026-03-13.
fn history(node: &Node) {
    let script = "set -e
         for h in $(seq 0 24 1679) $(seq 1680 1 1704); do
             date --utc -s \"2026-01-01 00:00:02 $h hours\" > /dev/null
             names=autosnap_${h}_hourly
             [ $((h % 6)) -ne 0 ] || names=\"$names autosnap_${h}_daily\"
             [ $((h % 360)) -ne 0 ] || names=\"$names autosnap_${h}_monthly\"
             for n in $names; do zfs snapshot -r ours@$n; zfs snapshot -r real@$n; done
         done
         zfs snapshot ours/a@manual; zfs snapshot real/a@manual";
    let done = node.script(script).limit(std::time::Duration::from_secs(600)).run();
    done.and_then(Output::ok).expect("a history");
}

#[test]
fn both_say_take_and_prune_the_same() {
    let cluster = pools(
        "[POOL/a]\n\tuse_template = production\n\trecursive = zfs\n\
         [POOL/mail]\n\tuse_template = production\n\thourly_min = 30\n\tdaily_hour = 3\n\tfrequently = 4\n\
         [POOL/back]\n\tuse_template = backup\n\trecursive = yes\n\tprocess_children_only = yes\n",
    );
    let node = cluster.node(1);
    history(node);
    let before = snapshots(node, "ours");
    assert_eq!(before, snapshots(node, "real"));
    both_say_the_same(node, "2026-03-13 01:00:05");
    assert_eq!(before, snapshots(node, "ours"), "something was done");
    let mut pruned = 0;
    for time in [
        "2026-03-13 01:15:05",
        "2026-03-13 04:15:05",
        // Days away.
        "2026-03-16 12:00:05",
        "2026-04-01 00:00:05",
        "2026-04-01 00:15:05",
        "2026-04-09 00:00:05",
    ] {
        let before = snapshots(node, "ours").len();
        for pool in ["ours", "real"] {
            let done = at(node, time, "UTC", pool, "--cron --verbose --cache-ttl=1");
            assert_eq!(done.code(), 0, "{pool} {time}: {}\n{}", done.out(), done.err());
            for line in ["INFO: taking snapshots...", "INFO: pruning snapshots..."] {
                assert!(done.lines().iter().any(|one| one == line), "{pool}: {}", done.out());
            }
        }
        let (ours, real) = (snapshots(node, "ours"), snapshots(node, "real"));
        assert_eq!(ours, real, "{time}");
        pruned += usize::from(ours.len() < before);
    }
    assert!(pruned > 0, "nothing was ever pruned");
    let names = snapshots(node, "ours").join("\n");
    for part in [
        "/a/b/c@autosnap_2026-04-09_00:00:_hourly",
        "/mail@autosnap_2026-04-09_00:00:_frequently",
        "/a@manual",
    ] {
        assert!(names.contains(part), "{part} is missing:\n{names}");
    }
    assert!(!names.contains("/back@autosnap_2026-03"), "the parent or a replica got snapshots:\n{names}");
}

/// What each would do, line for line.
fn both_say_the_same(node: &Node, time: &str) {
    let lines = |pool: &str| {
        let done = at(node, time, "UTC", pool, "--cron --readonly --verbose --force-update");
        assert_eq!(done.code(), 0, "{}", done.err());
        let mut lines = done.lines();
        // It tells of its cache, which we have not, and visits datasets in any order.
        lines.retain(|line| !line.contains("cache"));
        lines.sort();
        let second = |line: String| without_seconds(&line.replace(pool, "POOL"));
        lines.into_iter().map(second).collect::<Vec<_>>()
    };
    let ours = lines("ours");
    assert_eq!(ours, lines("real"));
    for part in [
        "taking snapshot POOL/a@autosnap_2026-03-13_01:00:_hourly (zfs recursive)",
        "INFO: pruning POOL/back/x@",
    ] {
        assert!(ours.iter().any(|line| line.starts_with(part)), "{part}: {ours:#?}");
    }
}

/// The hour that comes twice: one name for two snapshots.
#[test]
fn both_take_the_hour_that_comes_twice() {
    let cluster =
        pools("[POOL/a]\n\tuse_template = production\n\trecursive = zfs\n\tdaily = 0\n\tmonthly = 0\n");
    let node = cluster.node(1);
    for time in ["2026-10-24 23:00:05", "2026-10-25 00:00:05", "2026-10-25 01:00:05", "2026-10-25 02:00:05"] {
        for pool in ["ours", "real"] {
            let done = at(node, time, "Europe/Berlin", pool, "--take-snapshots --cache-ttl=1");
            assert_eq!(done.code(), 0, "{pool} {time}: {}\n{}", done.out(), done.err());
        }
        let without = |pool: &str| {
            snapshots(node, pool).into_iter().map(|name| name.replace("dst", "")).collect::<Vec<_>>()
        };
        assert_eq!(without("ours"), without("real"), "{time}");
    }
    let ours = snapshots(node, "ours");
    assert_eq!(ours.len(), 4 * 3, "{ours:?}");
    // Only when both are of the same second the name exists and the second gets another; then by its time it is clear.
    let hours = sh(
        node,
        "zfs list -Hp -t snapshot -o creation -s creation ours/a | awk '{ print int($1/3600) }' | uniq",
    );
    assert_eq!(hours.lines().count(), 4, "{hours}");
}

#[test]
fn both_watch_alike() {
    let cluster = pools(
        "[POOL/a]\n\tuse_template = production\n\trecursive = yes\n[POOL/back]\n\tuse_template = backup\n",
    );
    let node = cluster.node(1);
    for snapshot in ["hourly", "daily", "monthly"] {
        sh(
            node,
            &format!(
                "date --utc -s '2026-05-01 12:00:00' >/dev/null; zfs snapshot -r ours@autosnap_x_{snapshot}"
            ),
        );
    }
    let mut statuses = Vec::new();
    for (time, options) in [
        ("2026-05-01 12:30:00", "--monitor-snapshots"),
        // An hour late, then a day.
        ("2026-05-01 14:00:00", "--monitor-snapshots"),
        ("2026-05-02 17:00:00", "--monitor-snapshots --force-update"),
        ("2026-05-02 17:00:00", "--monitor-health"),
        ("2026-05-02 17:00:00", "--monitor-capacity"),
    ] {
        // One pool and one configuration for both: neither changes anything.
        let said = |program: &str| {
            let script = format!(
                "date --utc -s '{time}' >/dev/null; {program} --configdir=/etc/ours {options} --cache-ttl=1 2>/tmp/err"
            );
            let done = node.sh(&script).expect("it runs");
            let text = done.out();
            // The clock goes on from one to the other.
            let words = text.split(' ').map(|word| {
                let digits = word.trim_end_matches(',').strip_suffix('s').unwrap_or("x");
                if digits.bytes().all(|b| b.is_ascii_digit()) { "Ns" } else { word }
            });
            (words.collect::<Vec<_>>().join(" "), done.code())
        };
        let ours = said("sanoid");
        assert_eq!(ours, said(REAL), "{time} {options}");
        statuses.push(ours.1);
    }
    assert_eq!(statuses, [0, 1, 2, 0, 0]);
}
