//! Moving over from sanoid and syncoid: what a machine runs at times becomes a configuration, which works; and where both
//! would differ is told, and only there.

use lab::Cluster;
use lab::Node;

use crate::replicas::pair;
use crate::support::sh;

const CRONTAB: &str = "\
PATH=/usr/sbin:/usr/bin:/sbin:/bin
*/10 * * * * root syncoid -r --no-sync-snap --exclude-datasets=/tmp$ tank/a root@node2:back/a >/dev/null 2>&1
";

const SCRIPT: &str = "\
#!/bin/sh
set -e
flock -n /run/replicate.lock syncoid --no-sync-snap \\
    --include-snaps='^(one|two|autosnap_.*)$' tank/b back/b
";

const SANOID: &str = "\
[tank/b]
    use_template = few
[template_few]
    hourly = 2
    daily = 1
    monthly = 0
    yearly = 0
    autosnap = yes
    autoprune = yes
";

/// A machine that replicates to another one by cron, a timer and a script, and takes snapshots with sanoid.
fn machine() -> Cluster {
    let cluster = pair();
    let node = cluster.node(1);
    sh(
        node,
        "zpool create -O mountpoint=/back back /dev/ubdc
         for d in a b c; do zfs create tank/$d; date > /tank/$d/f; zfs snapshot tank/$d@one; date > /tank/$d/g; zfs snapshot tank/$d@two; done
         zfs create tank/a/x; zfs create tank/a/tmp; zfs snapshot -r tank/a@three
         mkdir -p /etc/cron.d /etc/systemd/system /usr/local/bin /etc/sanoid
         printf '[Service]\\nType=oneshot\\nExecStart=/usr/local/bin/replicate.sh\\n' > /etc/systemd/system/r.service
         printf '[Timer]\\nOnCalendar=hourly\\n' > /etc/systemd/system/r.timer",
    );
    for (file, text) in [
        ("/etc/cron.d/replicate", CRONTAB),
        ("/usr/local/bin/replicate.sh", SCRIPT),
        ("/etc/sanoid/sanoid.conf", SANOID),
    ] {
        node.write_file(file, text).expect("written");
    }
    sh(
        node,
        "chmod 755 /usr/local/bin/replicate.sh; chmod 644 /etc/cron.d/replicate /etc/sanoid/sanoid.conf",
    );
    cluster
}

fn json(node: &Node, command: &str) -> (i32, serde_json::Value) {
    let done = node.sh(command).expect("it runs");
    let value = serde_json::from_str(&done.out()).unwrap_or_else(|error| {
        panic!("{command}: {error}\n{}{}", done.out(), done.err());
    });
    (done.code(), value)
}

/// The kinds of differences that are found, each with its dataset.
fn shadow(node: &Node, more: &str) -> (i32, Vec<String>) {
    let (status, found) = json(node, &format!("replicator shadow --json {more}"));
    assert_eq!(found["not_compared"], serde_json::json!([]), "{found:#}");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_string();
    let differences = found["differences"].as_array().expect("a list");
    (
        status,
        differences.iter().map(|one| format!("{} {}", text(&one["dataset"]), text(&one["kind"]))).collect(),
    )
}

#[test]
fn what_a_machine_does_becomes_a_configuration_that_does_it() {
    let cluster = machine();
    let (node, other) = (cluster.node(1), cluster.node(2));
    let (status, report) = json(node, "replicator config import --json");
    assert_eq!((status, &report["open"]), (0, &serde_json::json!(0)), "{report:#}");
    let calls = report["calls"].as_array().expect("a list");
    let jobs: Vec<_> = calls.iter().map(|call| call["becomes"]["job"].to_string()).collect();
    assert_eq!(jobs, ["\"tank-a to node2\"", "\"tank-b to back\""], "{report:#}");
    let said =
        sh(node, "mkdir -p /etc/replicator; replicator config import -o /etc/replicator/replicator.toml");
    for part in [
        "/etc/cron.d/replicate:2  */10 * * * * as root",
        "/usr/local/bin/replicate.sh:3  r.timer: OnCalendar=hourly",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // An import never costs a configuration.
    let again = node.sh("replicator config import -o /etc/replicator/replicator.toml").expect("it runs");
    assert!(!again.success() && again.err().contains("move it away"), "{}", again.err());
    sh(node, "replicator config check && replicator run");
    let guids = |node: &Node, of: &str| {
        let list =
            format!("zfs list -Hp -t snapshot -o name,guid -r {of} | sed 's,^[^/]*/,,' | grep -v /tmp");
        sh(node, &list)
    };
    assert_eq!(guids(node, "tank/a"), guids(other, "back/a"));
    assert_eq!(guids(node, "tank/b"), guids(node, "back/b"));
    assert!(guids(node, "tank/b").contains("autosnap_"), "the policy of sanoid.conf is carried out");
    assert_eq!(sh(other, "zfs list -H -o name -r back/a"), "back/a\nback/a/x");
}

#[test]
fn a_planted_difference_is_found_and_none_where_there_is_none() {
    let cluster = machine();
    let (node, other) = (cluster.node(1), cluster.node(2));
    // At the beginning, with something to send, and with nothing to do, both would do the same.
    assert_eq!(shadow(node, ""), (0, Vec::new()));
    sh(
        node,
        "syncoid -r --no-sync-snap --exclude-datasets=/tmp$ tank/a root@node2:back/a > /dev/null 2>&1
         /usr/local/bin/replicate.sh > /dev/null 2>&1; sanoid --cron",
    );
    assert_eq!(shadow(node, ""), (0, Vec::new()));
    sh(node, "/usr/local/bin/replicate.sh > /dev/null 2>&1; date > /tank/a/h; zfs snapshot -r tank/a@four");
    assert_eq!(shadow(node, ""), (0, Vec::new()));
    let text = sh(node, "replicator shadow");
    assert!(text.contains("syncoid tank/a root@node2:back/a: no difference\n"), "{text}");
    // A snapshot of the target that syncoid would destroy.
    sh(other, "zfs snapshot back/a/x@mine");
    assert_eq!(shadow(node, ""), (3, vec!["back/a/x kept".to_string(), "back/a/x stops".to_string()]));
    let text = node.sh("replicator shadow").expect("it runs").out();
    assert!(text.contains("back/a/x: syncoid destroys @mine; replicator keeps it"), "{text}");
    sh(other, "zfs destroy back/a/x@mine");
    // A configuration that was changed after the import.
    sh(node, "replicator config import > /tmp/new.toml");
    assert_eq!(shadow(node, "--config /tmp/new.toml"), (0, Vec::new()));
    sh(
        node,
        "sed -i 's/^hourly = .*/hourly = 0/; /^exclude = /d; s/^include_snapshots = .*/include_snapshots = [\"one\"]/' /tmp/new.toml
         zfs snapshot tank/b@autosnap_2020-01-01_00:00:00_hourly",
    );
    let (status, found) = shadow(node, "--config /tmp/new.toml");
    assert_eq!(status, 3);
    for one in ["back/a/tmp added", "back/b not-sent"] {
        assert!(found.iter().any(|line| line == one), "{one}: {found:?}");
    }
    assert!(found.iter().any(|line| line.starts_with("tank/b ")), "the policy: {found:?}");
    // A job that is missing, and a snapshot that nobody would take any more.
    let few = "[[replication]]\nname = \"x\"\nsource = \"tank/c\"\n[[replication.target]]\nto = \"back/c\"\n";
    node.write_file("/tmp/few.toml", few).expect("written");
    sh(
        node,
        "chmod 644 /tmp/few.toml; mv /etc/sanoid /etc/sanoid.old
         echo '5 * * * * root syncoid tank/c back/c' >> /etc/cron.d/replicate",
    );
    let (status, found) = shadow(node, "--config /tmp/few.toml");
    let expected = ["root@node2:back/a no-job", "tank/c no-policy", "back/b no-job"].map(str::to_string);
    assert_eq!((status, found), (3, expected.to_vec()));
    // What cannot be looked at is no "no difference".
    sh(node, "echo '5 * * * * root syncoid $X back/c' >> /etc/cron.d/replicate");
    let done = node.sh("replicator shadow --config /tmp/few.toml").expect("it runs");
    assert_eq!(done.code(), 1, "{}", done.out());
    assert!(done.out().contains("not compared"), "{}", done.out());
}
