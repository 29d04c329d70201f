//! What the front end does alone: options, statuses, and the mistakes that are mended.

use super::*;

#[test]
fn what_fails_shows_in_the_status_and_keeps_nothing_else() {
    let cluster = pools(
        "[POOL/a]\n\tuse_template = production\n[POOL/missing]\n\tuse_template = production\n\
         [POOL/mail]\n\tuse_template = production\n\tpre_snapshot_script = false\n\tno_inconsistent_snapshot = yes\n",
    );
    let node = cluster.node(1);
    let real = at(node, "2026-05-01 12:00:05", "UTC", "real", "--take-snapshots");
    assert!(real.err().contains("CRITICAL ERROR") && real.code() == 0, "{} {}", real.code(), real.err());
    let ours = at(node, "2026-05-01 12:00:05", "UTC", "ours", "--take-snapshots");
    assert_eq!(ours.code(), 1, "{}", ours.err());
    for part in ["CRITICAL ERROR: no snapshot of ours/missing", "WARN: ours/mail: pre_snapshot"] {
        assert!(ours.err().contains(part), "{}", ours.err());
    }
    assert_eq!(ours.out(), "", "nothing is said without --verbose");
    assert_eq!(snapshots(node, "ours"), snapshots(node, "real"));
    assert_eq!(snapshots(node, "ours").len(), 3);
}

#[test]
fn what_is_held_stays_and_is_no_failure() {
    let cluster = pools("[POOL/a]\n\tuse_template = production\n\thourly = 1\n\tdaily = 0\n\tmonthly = 0\n");
    let node = cluster.node(1);
    for hour in 1..5 {
        for pool in ["ours", "real"] {
            sh(
                node,
                &format!(
                    "date --utc -s '2026-05-01 0{hour}:00' >/dev/null; zfs snapshot {pool}/a@autosnap_{hour}_hourly"
                ),
            );
        }
    }
    sh(node, "zfs hold keep ours/a@autosnap_2_hourly; zfs hold keep real/a@autosnap_2_hourly");
    let real = at(node, "2026-05-01 12:00:05", "UTC", "real", "--prune-snapshots");
    assert!(real.err().contains("could not remove") && real.code() == 0, "{}", real.err());
    let ours = at(node, "2026-05-01 12:00:05", "UTC", "ours", "--prune-snapshots --verbose");
    assert_eq!((ours.code(), ours.err()), (0, String::new()));
    assert!(
        ours.out().contains("INFO: keeping ours/a@autosnap_2_hourly: held by \"keep\""),
        "{}",
        ours.out()
    );
    assert_eq!(snapshots(node, "ours"), snapshots(node, "real"));
    assert_eq!(snapshots(node, "ours"), ["/a@autosnap_2_hourly", "/a@autosnap_4_hourly"]);
}

#[test]
fn options_and_statuses_are_those_of_sanoid() {
    let cluster = pools("[POOL/a]\n\tuse_template = production\n");
    let node = cluster.node(1);
    let ours = |options: &str| {
        let done = node.sh(&format!("sanoid {options}")).expect("it runs");
        (done.code(), done.out(), done.err())
    };
    let (code, out, _) = ours("--version");
    assert!(code == 0 && out.starts_with("sanoid version 2.3.0\n"), "{out}");
    let (code, _, err) = ours("--nonsense");
    assert!(code == 2 && err.contains("[R200]"), "{err}");
    assert_eq!(ours("--help").0, 0);
    for option in ["--configdir", "--cache-dir", "--run-dir", "--cron", "--verbose", "--readonly", "--quiet"]
    {
        assert!(ours("--help").1.contains(option), "{option}");
    }
    // With nothing but a folder it takes and prunes and says so; one dash and a few letters are enough.
    let (code, out, err) = ours("-conf /etc/ours");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("taking snapshot ours/a@autosnap_") && out.contains("INFO: pruning snapshots"),
        "{out}"
    );
    let (code, out, _) = ours("--configdir=/etc/ours --cron --quiet --verbose");
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(ours("--configdir=/etc/ours --verbose --readonly").0, 0);
    assert_eq!(ours("--configdir=/etc/ours --force-update --cache-dir=/x --run-dir=/y --cache-ttl=5").0, 0);
    let (code, _, err) = ours("--configdir=/etc/ours --prune-snapshots --force-prune");
    assert!(code == 0 && err.contains("WARN: --force-prune argument is deprecated"), "{err}");
    let (_, out, _) = ours("--configdir=/etc/ours --debug");
    assert!(out.contains("Filesystem ours/a has:\n     3 total snapshots (newest: 0.0 hours old)"), "{out}");
    // It cannot even begin; a monitor hears of it in its own way.
    let (code, _, err) = ours("--configdir=/nowhere --cron");
    assert!(code == 255 && err.contains("/nowhere/sanoid.conf does not exist [R801]"), "{err}");
    assert!(err.contains("hint: ") && err.contains("--configdir") && !err.contains("--config "), "{err}");
    assert_eq!(ours("--configdir=/etc/ours --cron --cache-ttl=-1").0, 255);
    let (code, out, _) = ours("--configdir=/nowhere --monitor-snapshots");
    assert!(code == 3 && out.starts_with("UNKNOWN") && out.contains("/nowhere/sanoid.conf"), "{out}");
    sh(node, "echo '\thourli = 3' >> /etc/ours/sanoid.conf");
    let before = snapshots(node, "ours");
    let (code, _, err) = ours("--configdir=/etc/ours --cron");
    assert!(code == 255 && err.contains("`hourly`") && err.contains("/etc/ours/sanoid.conf:"), "{err}");
    assert!(err.contains("[R800]"), "{err}");
    let (code, out, _) = ours("--configdir=/etc/ours --monitor-snapshots");
    assert!(code == 3 && out.contains("/etc/ours/sanoid.conf:") && out.contains("`hourli`"), "{out}");
    assert_eq!(snapshots(node, "ours"), before);
    // The same by the name of the program.
    let done = node.sh("replicator sanoid --configdir=/etc/real --take-snapshots").expect("it runs");
    assert_eq!((done.code(), snapshots(node, "real").len()), (0, 3), "{}", done.err());
}

/// Replications of this machine are in our own configuration; what their targets need stays.
#[test]
fn the_base_of_a_target_stays() {
    let cluster = pools("[POOL/a]\n\tuse_template = production\n\thourly = 1\n\tdaily = 0\n\tmonthly = 0\n");
    let node = cluster.node(1);
    let native = "[[replication]]\nname = \"copy\"\nsource = \"ours/a\"\nbookmarks = false\n\
                  [[replication.target]]\nto = \"real/copy\"\n";
    sh(node, "mkdir -p /etc/replicator");
    node.write_file("/etc/replicator/replicator.toml", native).expect("written");
    sh(node, "date --utc -s '2026-05-01 01:00' >/dev/null; zfs snapshot ours/a@autosnap_1_hourly");
    sh(node, "replicator replicate --no-bookmarks ours/a real/copy");
    for hour in 2..6 {
        sh(
            node,
            &format!(
                "date --utc -s '2026-05-01 0{hour}:00' >/dev/null; zfs snapshot ours/a@autosnap_{hour}_hourly"
            ),
        );
    }
    let done = at(node, "2026-05-01 12:00:05", "UTC", "ours", "--prune-snapshots");
    assert_eq!(done.code(), 0, "{}", done.err());
    assert_eq!(snapshots(node, "ours"), ["/a@autosnap_1_hourly", "/a@autosnap_5_hourly"]);
    // While our own configuration is broken, nothing is known of targets.
    sh(node, "echo nonsense >> /etc/replicator/replicator.toml");
    let done = at(node, "2026-05-02 12:00:05", "UTC", "ours", "--prune-snapshots");
    assert_eq!((done.code(), snapshots(node, "ours").len()), (255, 2), "{}", done.err());
    let done = at(node, "2026-05-02 12:00:05", "UTC", "ours", "--cron");
    assert_eq!((done.code(), snapshots(node, "ours").len()), (255, 3), "{}", done.err());
}
