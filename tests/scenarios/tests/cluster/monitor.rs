//! `replicator monitor` beside the real sanoid: the same text and the same exit status, but where the list of what is
//! fixed says otherwise; and pools that hang.

use std::time::Duration;
use std::time::Instant;

use lab::Node;

use crate::replicas::*;

/// What a check printed and how it ended. Seconds of an age are left out: the two run one after the other.
fn check(node: &Node, command: &str) -> (i32, String) {
    let command = node.script(command).limit(Duration::from_secs(120));
    let output = command.run().expect("the node answers");
    let text = output.out();
    let mut words: Vec<String> = text.split(' ').map(str::to_string).collect();
    for at in 1..words.len() {
        if words[at] == "old" {
            words[at - 1] = "SECONDS".to_string();
        }
    }
    (output.code(), words.join(" ").trim_end().to_string())
}

fn ours(node: &Node, what: &str) -> (i32, String) {
    check(node, &format!("replicator monitor {what} --config /etc/sanoid/sanoid.conf"))
}

fn theirs(node: &Node, what: &str) -> (i32, String) {
    check(
        node,
        &format!(
            "/opt/sanoid/usr/sbin/sanoid --configdir=/etc/sanoid --cache-dir=$(mktemp -d) --run-dir=$(mktemp -d) \
             --force-update --monitor-{what}"
        ),
    )
}

/// Both say the same; gives what.
fn same(node: &Node, what: &str) -> (i32, String) {
    // A minute may end between the two.
    for _ in 0..3 {
        let (a, b) = (theirs(node, what), ours(node, what));
        if a == b {
            println!("{what}: {} {}", b.0, b.1);
            return b;
        }
    }
    assert_eq!(theirs(node, what), ours(node, what), "sanoid and ours differ: {what}");
    unreachable!("they differed before");
}

fn configure(node: &Node, text: &str) {
    node.script("umask 022; mkdir -p /etc/sanoid; cat > /etc/sanoid/sanoid.conf")
        .stdin(text.to_string())
        .run()
        .and_then(lab::Output::ok)
        .expect("written");
}

/// Takes snapshots of these periods so many minutes ago.
fn taken(node: &Node, dataset: &str, minutes: i64, periods: &[&str]) {
    // The kernel refuses two of one dataset in a call.
    let commands: Vec<_> = periods
        .iter()
        .map(|period| format!("zfs snapshot {dataset}@autosnap_$(date +%Y-%m-%d_%H:%M:%S)_{period}"))
        .collect();
    sh(
        node,
        &format!(
            "date -s @$(( $(date +%s) - {minutes} * 60 )) > /dev/null
             {}
             date -s @$(( $(date +%s) + {minutes} * 60 )) > /dev/null",
            commands.join("; ")
        ),
    );
}

#[test]
fn fresh_late_and_missing_snapshots_read_as_those_of_sanoid() {
    let cluster = alone();
    let node = cluster.node(1);
    sh(node, "zfs create tank/a; zfs create tank/B; zfs create tank/B/c; zfs create back/copy");
    let templates = "
[template_production]
hourly = 36
daily = 30
monthly = 3
autosnap = yes
autoprune = yes
[template_backup]
hourly = 30
daily = 90
monthly = 12
autosnap = no
hourly_warn = 2880
hourly_crit = 3600
daily_warn = 48
daily_crit = 60
";
    let plain = format!(
        "[tank/a]\nuse_template = production\n[tank/B]\nuse_template = production\nrecursive = yes\n{templates}"
    );
    configure(node, &plain);
    // Nothing was ever taken.
    let (code, said) = same(node, "snapshots");
    assert!(code == 2 && said.contains("CRIT: tank/a has no daily snapshots at all!"), "{said}");

    let periods = ["hourly", "daily", "monthly"];
    for dataset in ["tank/a", "tank/B", "tank/B/c"] {
        taken(node, dataset, 20, &periods);
    }
    let (code, said) = same(node, "snapshots");
    assert_eq!(
        (code, said.as_str()),
        (0, "OK: all monitored datasets (tank/a, tank/B, tank/B/c) have fresh snapshots")
    );

    // Time passes: hourly ones are late first, then all.
    sh(node, "date -s @$(( $(date +%s) + 100 * 60 ))");
    let (code, said) = same(node, "snapshots");
    assert!(code == 1 && said.starts_with("WARN: tank/a newest hourly snapshot is 2h"), "{said}");
    taken(node, "tank/a", 1, &["hourly"]);
    sh(node, "date -s @$(( $(date +%s) + 28 * 3600 ))");
    let (code, said) = same(node, "snapshots");
    assert!(code == 2 && said.contains("CRIT: tank/a newest hourly snapshot is 1d 4h"), "{said}");
    assert!(said.contains("WARN: tank/B newest daily"), "{said}");

    // Levels that do not count, datasets that are not watched, one that does not exist, a copy with limits of its own.
    let odd = format!(
        "[tank/a]\nuse_template = production\nmonitor_dont_crit = yes\n\
         [tank/B]\nuse_template = production\nmonitor_dont_warn = yes\nmonitor_dont_crit = yes\n\
         [tank/B/c]\nuse_template = production\nmonitor = no\n\
         [tank/none]\nuse_template = production\nprocess_children_only = yes\n\
         [back/copy]\nuse_template = backup\n{templates}"
    );
    configure(node, &odd);
    taken(node, "back/copy", 50 * 60, &["hourly", "daily", "monthly"]);
    let (code, said) = same(node, "snapshots");
    assert!(code == 1 && said.contains("WARN: back/copy newest daily snapshot is 2d 2h"), "{said}");
    configure(node, &odd.replace("process_children_only = yes\n", ""));
    let (code, said) = same(node, "snapshots");
    assert!(code == 2 && said.contains("CRIT: tank/none has no hourly snapshots at all!"), "{said}");

    // Fixed: with a limit for a warning alone, sanoid never warns.
    let warns =
        "[tank/a]\nhourly = 0\ndaily = 0\nmonthly = 0\nweekly = 4\nweekly_warn = 1d\nweekly_crit = 0\n";
    configure(node, warns);
    assert_eq!(theirs(node, "snapshots").0, 0);
    assert_eq!(ours(node, "snapshots"), (1, "WARN: tank/a has no weekly snapshots at all!".to_string()));

    // The same as data, with our own configuration as well.
    let own = "[[dataset]]\nname = \"tank/a\"\nhourly = 4\n";
    node.script("umask 022; cat > /root/own.toml").stdin(own.to_string()).run().expect("written");
    let output = replicator(node, "monitor snapshots --config /root/own.toml --json");
    assert_eq!(output.code(), 2, "{}", output.err());
    let json: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
    assert_eq!(json["level"], "critical");
    let hourly = &json["datasets"][0]["periods"]["hourly"];
    assert!(hourly["age_seconds"].as_u64().is_some_and(|age| age > 24 * 3600), "{json:#}");
    assert_eq!((&hourly["count"], &hourly["critical_seconds"]), (&2.into(), &21600.into()), "{json:#}");
}

#[test]
fn pools_that_are_well_degraded_full_and_missing_read_as_those_of_sanoid() {
    let cluster = lab::Cluster::boot(1).expect("a node");
    let node = cluster.node(1);
    // The smallest disks, so that a pool is full soon.
    sh(
        node,
        "mkdir /tmp/d; for f in a b c; do truncate -s 128M /tmp/d/$f; done
         zpool create -O mountpoint=/tank tank mirror /tmp/d/a /tmp/d/b
         truncate -s 1G /tmp/d/c; zpool create -O mountpoint=/solo -O compression=off solo /tmp/d/c
         zfs create tank/data; zfs snapshot tank/data@autosnap_2026-01-01_00:00:00_daily; zfs snapshot solo@x",
    );
    let both = "[tank/data]\ndaily = 1\n[solo]\ndaily = 1\n";
    let one = "[tank/data]\ndaily = 1\n";
    configure(node, one);
    let (code, said) = same(node, "health");
    assert!(code == 0 && said.starts_with("OK ZPOOL tank : ONLINE {Size:"), "{said}");
    assert_eq!(same(node, "capacity").0, 0);

    // Two pools: sanoid tells them in any order.
    configure(node, both);
    let (code, said) = ours(node, "health");
    let parts: Vec<_> = said.split(", ").map(str::trim_end).collect();
    assert!(code == 0 && parts.len() == 2 && parts[0].starts_with("OK ZPOOL solo : ONLINE"), "{said}");
    let their = theirs(node, "health").1;
    assert!(parts.iter().all(|part| their.contains(part)), "{their}\n{said}");

    configure(node, one);
    sh(node, "zpool offline tank /tmp/d/a");
    let (code, said) = same(node, "health");
    assert!(code == 1 && said.starts_with("*** WARNING *** WARNING ZPOOL tank : DEGRADED"), "{said}");
    assert!(said.contains("<mirror-0:DEGRADED>") && said.contains("/tmp/d/a:OFFLINE"), "{said}");
    sh(
        node,
        "zpool offline -f tank /tmp/d/b 2>/dev/null || true; zpool online tank /tmp/d/a; zpool wait tank",
    );
    sh(node, "zpool clear tank; zpool wait tank");
    assert_eq!(same(node, "health").0, 0);
    // Errors of a device without any harm to the pool.
    sh(
        node,
        "zpool export tank; head -c 60000000 /dev/urandom | dd of=/tmp/d/a bs=1M seek=5 conv=notrunc 2>/dev/null
         zpool import -d /tmp/d tank; zpool scrub -w tank",
    );
    let (code, said) = same(node, "health");
    assert!(code == 1 && said.contains("cksum"), "{said}");
    sh(node, "zpool clear tank; zpool scrub -w tank");

    let capacity = |limits: &str| {
        configure(node, &format!("[solo]\ndaily = 1\n{limits}"));
        same(node, "capacity")
    };
    sh(node, "head -c 500000000 /dev/zero > /solo/f; zpool sync solo");
    let percent: u64 = sh(node, "zpool list -Hp -o cap solo").parse().expect("a number");
    assert!(percent > 40, "{percent}");
    for (limits, code) in [
        (format!("capacity_warn = {percent}\n"), 1),
        (format!("capacity_warn = {}\n", percent + 1), 0),
        (format!("capacity_warn = 1\ncapacity_crit = {percent}\n"), 2),
        (format!("capacity_warn = 0\ncapacity_crit = {}\n", percent + 1), 0),
        ("capacity_warn = 0\ncapacity_crit = 0\n".to_string(), 0),
    ] {
        assert_eq!(capacity(&limits).0, code, "{limits}");
    }
    // As full as it gets.
    sh(node, "head -c 700000000 /dev/zero > /solo/g 2>/dev/null || true; zpool sync solo");
    let (code, said) = capacity("");
    assert!(code == 1 && said.starts_with("*** WARNING *** WARNING ZPOOL solo : 8"), "{code} {said}");
    let (code, said) = same(node, "health");
    assert!(code == 0 && said.contains("Free:"), "{said}");

    // A pool that is away: sanoid stops there, and everything of ours is told.
    configure(node, "[solo]\ndaily = 1\n");
    sh(node, "zpool export solo");
    let gone = "CRITICAL ZPOOL {solo} does not exist and/or is not responding!";
    assert_eq!(theirs(node, "capacity"), (2, gone.to_string()));
    assert_eq!(ours(node, "capacity"), (2, gone.to_string()));
    assert_eq!(ours(node, "health"), (2, gone.to_string()));
    configure(node, both);
    let (code, said) = ours(node, "health");
    assert!(code == 2 && said.starts_with(gone) && said.contains(", OK ZPOOL tank"), "{said}");
}

/// A pool on a file whose file system is full: every write fails, and the pool waits for somebody to do something.
fn suspend(node: &Node, pool: &str) {
    sh(
        node,
        &format!(
            "(head -c 300000000 /dev/zero > /{pool}/f) > /dev/null 2>&1 &
             for i in $(seq 600); do
                 grep -q SUSPENDED /proc/spl/kstat/zfs/{pool}/state && break; sleep 0.1
             done
             grep SUSPENDED /proc/spl/kstat/zfs/{pool}/state"
        ),
    );
}

/// A pool that can be suspended.
fn on_little(node: &Node, pool: &str) {
    sh(
        node,
        &format!(
            "mkdir /tmp/{pool}; mount -t tmpfs -o size=100m tmpfs /tmp/{pool}; truncate -s 400M /tmp/{pool}/disk
             zpool create -o failmode=wait -O mountpoint=/{pool} -O compression=off {pool} /tmp/{pool}/disk
             zfs create {pool}/data; zfs snapshot {pool}/data@autosnap_$(date +%Y-%m-%d_%H:%M:%S)_daily"
        ),
    );
}

const WATCHED: &str = "[[dataset]]\nname = [\"tank/data\", \"stuck/data\"]\ndaily = 4\n\
                       [[replication]]\nname = \"job\"\nsource = \"stuck/data\"\n\
                       [[replication.target]]\nto = \"tank/copy\"\n";

/// A check that has three seconds; its status and all that it printed.
fn in_time(node: &Node, what: &str) -> (i32, String) {
    let begun = Instant::now();
    let output = replicator(node, &format!("monitor {what} --config /root/m.toml --timeout 3"));
    let text = format!("{}{}", output.out(), output.err());
    println!("{what} after {:?}: {} {text}", begun.elapsed(), output.code());
    // Before the node's own bound of two minutes; how long exactly is a matter of the machine.
    assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {text}");
    (output.code(), text)
}

fn prepared(node: &Node) {
    sh(node, "zfs create tank/data; zfs snapshot tank/data@autosnap_$(date +%Y-%m-%d_%H:%M:%S)_daily");
    node.script("umask 022; cat > /root/m.toml").stdin(WATCHED).run().expect("written");
}

#[test]
fn a_suspended_pool_is_told_at_once_and_the_others_beside_it() {
    let cluster = alone();
    let node = cluster.node(1);
    prepared(node);
    on_little(node, "stuck");
    assert_eq!(in_time(node, "health").0, 0);
    suspend(node, "stuck");
    let (code, said) = in_time(node, "health");
    assert!(
        code == 2 && said.contains("ZPOOL stuck : SUSPENDED") && said.contains("OK ZPOOL tank"),
        "{said}"
    );
    let (code, said) = in_time(node, "snapshots");
    assert!(code == 2 && said.contains("CRIT: stuck: ") && said.contains("suspended"), "{said}");
    let (code, said) = in_time(node, "replication");
    assert!(code == 3 && said.contains("job to tank/copy") && said.contains("suspended"), "{said}");
    let (code, text) = in_time(node, "metrics");
    assert!(
        code == 0 && text.contains("replicator_pool_state{pool=\"stuck\",state=\"SUSPENDED\"} 1"),
        "{text}"
    );
    assert!(text.contains("replicator_snapshots{dataset=\"tank/data\",period=\"daily\"} 1"), "{text}");
    let check = replicator(node, "check --config /root/m.toml");
    assert_eq!(check.code(), 1);
    assert!(check.out().contains("the pool stuck is SUSPENDED"), "{}", check.out());
}

#[test]
fn a_pool_that_hangs_does_not_hang_a_check() {
    let cluster = alone();
    let node = cluster.node(1);
    prepared(node);
    // The disk of one pool is a file of another, which is suspended: what is written to it never comes back, and
    // nobody says so. A command that waits for that keeps every question about any pool waiting.
    on_little(node, "under");
    sh(
        node,
        "truncate -s 256M /under/disk; zpool create -O mountpoint=/stuck -O compression=off stuck /under/disk
         zfs create stuck/data; zfs snapshot stuck/data@autosnap_$(date +%Y-%m-%d_%H:%M:%S)_daily; zpool sync
         truncate -s 200M /tmp/log",
    );
    suspend(node, "under");
    sh(
        node,
        "(head -c 50000000 /dev/zero > /stuck/data/f; sync) > /dev/null 2>&1 &
         (zpool add stuck log /tmp/log > /dev/null 2>&1 &); sleep 5",
    );
    // That the checks answer proves something only if others do not: a process that hangs there cannot be ended.
    sh(node, "(zpool list > /dev/null 2>&1; touch /tmp/listed) > /dev/null 2>&1 &");
    for what in ["health", "snapshots", "capacity", "replication"] {
        let (code, said) = in_time(node, what);
        assert_eq!(code, 3, "{what}: {said}");
        assert!(said.contains("no answer within 3 s"), "{what}: {said}");
    }
    let (code, text) = in_time(node, "metrics");
    assert!(code == 0 && text.contains("replicator_check_status{check=\"health\"} 3"), "{text}");
    assert_eq!(sh(node, "ls /tmp/listed 2>/dev/null || echo hangs"), "hangs");
}
