//! `replicator check`: what would fail is found before it does, with what to do about it, and doing it helps. And
//! `replicator monitor replication`, which looks at the same jobs.

use lab::Node;

use crate::replicas::*;

const CONFIG: &str = "/root/replicator.toml";

/// `tank/data` to a target, with whatever stands between.
fn configure(node: &Node, target: &str) {
    let text = format!(
        "[[dataset]]\nname = \"tank/data\"\ndaily = 3\n[[replication]]\nname = \"job\"\nsource = \"tank/data\"\n\
         [[replication.target]]\n{target}\n"
    );
    node.script(&format!("umask 022; cat > {CONFIG}")).stdin(text).run().expect("written");
}

/// Runs a command on the configuration; compares the status, and gives what it printed.
fn ends(node: &Node, command: &str, code: i32) -> String {
    let output = replicator(node, &format!("{command} --config {CONFIG}"));
    let text = format!("{}{}", output.out(), output.err());
    println!("{command}: {}\n{text}", output.code());
    assert_eq!(output.code(), code, "{command}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
}

#[test]
fn what_would_fail_is_found_and_what_it_says_helps() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    sh(a, "mkdir -p /var/lib/replicator");
    configure(a, "name = \"nas\"\nto = \"root@node2:back/data\"");
    let before = (state(a), state(b));
    let good = ends(a, "check", 0);
    has(
        &good,
        &[
            "root@node2 answers",
            "it will be made below back",
            "would send 2 streams",
            "the clock of root@node2 agrees",
        ],
    );
    has(&good, &["OpenZFS 2.", "all is good"]);
    let json: serde_json::Value = serde_json::from_str(&ends(a, "check --json", 0)).expect("JSON");
    assert_eq!(json["grade"], "ok", "{json:#}");

    // A clock that is wrong is to be looked at.
    sh(b, "date -s @$(( $(date +%s) - 7200 ))");
    has(&ends(a, "check", 0), &["WARN clock", "s behind", "NTP"]);
    sh(b, "date -s @$(( $(date +%s) + 7200 ))");

    // A user with too few rights; the command that is told gives them.
    sh(
        b,
        "useradd -m -s /bin/bash -p '*' keeper; mkdir -p /home/keeper/.ssh; cp /root/.ssh/authorized_keys /home/keeper/.ssh/
         chown -R keeper /home/keeper/.ssh; chmod 700 /home/keeper/.ssh; chmod 666 /dev/zfs",
    );
    configure(a, "name = \"nas\"\nto = \"keeper@node2:back/data\"");
    let poor = ends(a, "check", 1);
    has(&poor, &["FAIL rights", "keeper on keeper@node2 lacks receive, create, mount on back"]);
    let fix =
        poor.lines().find_map(|line| line.split("as root on keeper@node2: ").nth(1)).expect("what to do");
    sh(b, fix);
    let less = ends(a, "check", 0);
    has(&less, &["WARN rights", "lacks rename, clone, promote, destroy, userprop"]);
    let fix =
        less.lines().find_map(|line| line.split("as root on keeper@node2: ").nth(1)).expect("what to do");
    sh(b, fix);
    has(&ends(a, "check", 0), &["ok   rights: keeper on keeper@node2 has what is needed"]);

    // Names and machines that are wrong.
    configure(a, "name = \"nas\"\nto = \"root@node2:no/data\"");
    has(&ends(a, "check", 1), &["FAIL reach", "has no pool no", "zpool import no"]);
    configure(a, "name = \"nas\"\nto = \"root@node2:no/data\"\noptional = true");
    has(&ends(a, "check", 0), &["WARN reach", "it is optional"]);
    configure(a, "name = \"nas\"\nto = \"root@node9:back/data\"");
    has(&ends(a, "check", 1), &["FAIL reach", "node9"]);
    configure(
        a,
        "name = \"nas\"\nto = \"root@node2:back/data\"\n[replication.target.ssh]\nfar_end = \"agent\"",
    );
    has(&ends(a, "check", 0), &["is not known before it is tried"]);
    assert_eq!(before, (state(a), state(b)), "looking changed something");

    // What the planner knows: the target has gone its own way, or has no room, or lacks features.
    configure(a, "name = \"nas\"\nto = \"root@node2:back/data\"");
    replicate(a, "tank/data root@node2:back/data");
    sh(b, "zfs snapshot back/data@own");
    change(a, "tank/data", 3);
    has(&ends(a, "check", 1), &["FAIL plan", "--divergence preserve"]);
    sh(b, "zfs destroy back/data@own; zfs create back/small; zfs set quota=200K back/small");
    configure(a, "name = \"nas\"\nto = \"root@node2:back/small/data\"");
    has(&ends(a, "check", 1), &["FAIL space", "make room"]);
    sh(b, "truncate -s 100M /tmp/old; zpool create -d -O mountpoint=none old /tmp/old");
    configure(a, "name = \"nas\"\nto = \"root@node2:old/data\"");
    has(&ends(a, "check", 1), &["FAIL features", "zpool set feature@extensible_dataset=enabled old"]);

    // A machine that answers and whose ZFS does not, and another beside it that does.
    let both = "name = \"nas\"\nto = \"root@node2:back/data\"\n[[replication.target]]\nname = \"disk\"\nto = \"tank/copy\"";
    configure(a, both);
    sh(
        b,
        "printf '#!/bin/sh\nexec sleep 600\n' > /tmp/hangs; chmod +x /tmp/hangs; mount --bind /tmp/hangs $(command -v zfs)",
    );
    let silent = ends(a, "check --timeout 8", 1);
    has(&silent, &["FAIL reach", "was answered within 8 seconds", "--timeout"]);
    has(&silent, &["to disk (tank/copy)", "would send"]);
    sh(b, "umount $(command -v zfs)");
    has(&ends(a, "check", 0), &["to nas (root@node2:back/data)", "all is good"]);
    sh(a, "echo '[[dataset' > /root/replicator.toml");
    ends(a, "check", 8);
}

#[test]
fn how_far_a_target_is_behind_goes_by_common_snapshots_also_while_it_is_away() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let target = "name = \"nas\"\nto = \"root@node2:back/data\"\nlag_warn = \"2h\"\nlag_critical = \"6h\"";
    configure(a, target);
    let lag = |code: i32, words: &[&str]| has(&ends(a, "monitor replication", code), words);
    lag(2, &["CRIT: job to nas: tank/data has no common snapshot with back/data"]);
    ends(a, "run --only replicate", 0);
    lag(0, &["OK: no target is too far behind (job to nas: "]);
    // Snapshots go on, and the target does not: its age is that of the last one it got.
    let later = |hours: u32| {
        for node in [a, b] {
            sh(node, &format!("date -s @$(( $(date +%s) + {hours} * 3600 ))"));
        }
    };
    later(3);
    change(a, "tank/data", 2);
    lag(1, &["WARN: job to nas: newest common snapshot of tank/data is 3h", "(should be < 2h 0m 0s)"]);
    let json: serde_json::Value =
        serde_json::from_str(&ends(a, "monitor replication --json", 1)).expect("JSON");
    let found = &json["targets"][0];
    assert_eq!(found["look"]["both"][0]["behind"], true, "{json:#}");
    assert!(found["lag_seconds"].as_u64().is_some_and(|lag| lag > 3 * 3600), "{json:#}");
    // It goes away: what it had is remembered.
    sh(b, "zpool export back");
    lag(1, &["newest common snapshot of tank/data is 3h", "has no pool back"]);
    later(4);
    b.power_cut();
    let (code, words) = (2, ["newest common snapshot of tank/data is 7h", "by the bookmarks kept for it"]);
    has(&ends(a, "monitor replication --timeout 5", code), &words);
    // Without the memory nobody knows for whom the bookmarks are, and nothing is made up.
    sh(a, "rm /var/lib/replicator/bases.json");
    has(&ends(a, "monitor replication --timeout 5", 3), &["nothing tells how far back/data is behind"]);
    // One that may be away, and has no limit.
    configure(a, "name = \"nas\"\nto = \"root@node2:back/data\"\noptional = true");
    has(&ends(a, "monitor replication --timeout 5", 0), &["OK: no target is too far behind"]);
}
