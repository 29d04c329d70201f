//! `replicator restore`, `verify` and notifications on real pools: files come back as they were, rollbacks and swaps lose
//! nothing, also over a power cut, and a copy that was overwritten on its disk is found.

use std::time::Duration;

use lab::Node;

use crate::replicas::*;

/// Puts a configuration where the program looks for it.
fn configure(node: &Node, text: &str) {
    sh(node, "mkdir -p -m 755 /etc/replicator; rm -f /etc/replicator/replicator.toml");
    node.write_file("/etc/replicator/replicator.toml", text).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

/// Runs the program, which must end with this status; gives standard output.
fn run(node: &Node, arguments: &str, code: i32) -> String {
    let output = replicator(node, arguments);
    let text = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "{arguments}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    output.out()
}

/// As [`run`], for what fails with this code; gives what is said about it.
fn fails(node: &Node, arguments: &str, status: i32, code: &str) -> String {
    let output = replicator(node, arguments);
    let err = output.err();
    assert_eq!(output.code(), status, "{arguments}\n{}\n{err}", output.out());
    assert!(err.contains(code) && !err.contains("panicked"), "{arguments}: {code} is not in\n{err}");
    err
}

fn json(node: &Node, arguments: &str, code: i32) -> serde_json::Value {
    serde_json::from_str(&run(node, arguments, code)).expect("JSON")
}

fn exists(node: &Node, dataset: &str) -> bool {
    sh(node, &format!("zfs list -H -o name '{dataset}' 2>/dev/null || true")).trim() == dataset
}

/// What a dataset was set aside as.
fn aside(node: &Node, dataset: &str) -> String {
    let list = sh(node, "zfs list -H -o name");
    let begins = format!("{dataset}_diverged_");
    let found: Vec<_> = list
        .lines()
        .filter(|name| name.starts_with(&begins) && !name[begins.len()..].contains('/'))
        .collect();
    assert_eq!(found.len(), 1, "{list}");
    found[0].to_string()
}

#[test]
fn versions_of_a_file_are_found_here_and_at_targets_and_one_comes_back_as_it_was() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(
        a,
        "zfs create -o xattr=sa -o acltype=posix tank/data; cd /tank/data; mkdir d; echo one > 'd/a b'; chmod 640 'd/a b'
         touch -d 2020-02-02 'd/a b'; chown 1:2 'd/a b'; zfs snapshot tank/data@1; zfs snapshot tank/data@2
         echo second > 'd/a b'; zfs snapshot tank/data@3; rm 'd/a b'; zfs snapshot tank/data@4",
    );
    run(a, "replicate tank/data node2:back/data", 0);
    sh(b, "zfs destroy back/data@3");
    configure(
        a,
        "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n[[replication.target]]\nname = \"nas\"\nto = \"node2:back/data\"\n",
    );
    let found = json(a, "restore versions '/tank/data/d/a b' --json", 0);
    let versions = found["versions"].as_array().expect("versions");
    assert_eq!(versions.len(), 2, "{found:#}");
    assert_eq!(versions[0]["snapshots"][0]["name"], "tank/data@3");
    assert_eq!(versions[0]["targets"], serde_json::json!([]), "the target has lost this one");
    assert_eq!(versions[1]["snapshots"].as_array().map(Vec::len), Some(2));
    assert_eq!(versions[1]["targets"], serde_json::json!(["nas"]));
    run(a, "restore get '/tank/data/d/a b' --at 1", 0);
    let told = sh(a, "cd /tank/data/d; cat 'a b.1'; stat -c '%a %u %g %Y' 'a b.1'");
    let time = sh(a, "date -d 2020-02-02 +%s");
    assert_eq!(told.lines().collect::<Vec<_>>(), ["one", &format!("640 1 2 {}", time.trim())]);
    // Once more is refused, and changes nothing.
    fails(a, "restore get '/tank/data/d/a b' --at 3 --to '/tank/data/d/a b.1'", 3, "[R353]");
    assert_eq!(sh(a, "cat '/tank/data/d/a b.1'"), "one");
    // A folder that is gone as a whole, to another place.
    sh(a, "rm -r /tank/data/d");
    run(a, "restore get /tank/data/d --at @3 --to /root", 0);
    assert_eq!(sh(a, "cat '/root/d/a b'"), "second");
    assert_eq!(sh(a, "ls -A /root | grep replicator-restore || true"), "");
    fails(a, "restore get '/tank/data/d/a b' --at 4", 1, "[R152]");
    run(a, "restore versions /proc/self", 2);
}

#[test]
fn others_than_root_get_their_files_through_zfs() {
    let cluster = alone();
    let a = cluster.node(1);
    sh(
        a,
        "zfs create tank/data; useradd -m -s /bin/bash ann; mkdir /tank/data/ann; echo one > /tank/data/ann/f
         chown -R ann /tank/data/ann; zfs snapshot tank/data@1; echo two > /tank/data/ann/f",
    );
    sh(
        a,
        "su ann -c 'replicator restore versions /tank/data/ann/f; replicator restore get /tank/data/ann/f --at 1'",
    );
    assert_eq!(sh(a, "cat /tank/data/ann/f.1; stat -c %U /tank/data/ann/f.1"), "one\nann");
}

#[test]
fn a_rollback_loses_nothing_and_stops_before_one_that_is_in_use() {
    let cluster = alone();
    let a = cluster.node(1);
    fill(a, "tank/data", 3);
    fill(a, "tank/data/x", 1);
    sh(
        a,
        "zfs set compression=gzip tank/data; zfs hold mine tank/data@s2; zfs bookmark tank/data@s3 tank/data#b; echo x > /tank/data/unsaved",
    );
    let (old, child) = (files(a, "tank/data", "s1"), guids(a, "tank/data/x"));
    let before = state(a);
    let preview = run(a, "restore rollback tank/data@s1 --dry-run", 0);
    for word in ["@s2", "@s3", "mine", "#b", "Nothing of it is destroyed"] {
        assert!(preview.contains(word), "{word}: {preview}");
    }
    fails(a, "restore rollback tank/data@s1", 3, "[R354]");
    assert_eq!(before, state(a), "nobody agreed");
    let busy = a.sh("cd /tank/data/x; replicator restore rollback tank/data@s1 --yes").expect("it answers");
    assert_eq!(busy.code(), 3, "{}", busy.err());
    assert!(busy.err().contains("[R352]"), "{}", busy.err());
    assert_eq!(before, state(a), "it was in use");
    assert!(sh(a, "cat /tank/data/unsaved").contains('x'), "it is mounted still");
    run(a, "restore rollback tank/data@s1 --yes", 0);
    assert_eq!(guids(a, "tank/data").len(), 1);
    assert_eq!(files(a, "tank/data", "s1"), old);
    assert_eq!(guids(a, "tank/data/x"), child);
    let kept = aside(a, "tank/data");
    assert_eq!(guids(a, &kept).len(), 2);
    let told = sh(
        a,
        &format!(
            "findmnt -n -o SOURCE /tank/data; findmnt -n -o SOURCE /tank/data/x; zfs get -H -o value compression tank/data
             zfs get -H -o value readonly,canmount,mounted {kept}; zfs get -H -o value readonly,replicator:exchange tank/data
             zfs holds -H {kept}@s2 | wc -l; zfs list -H -t bookmark -o name {kept}"
        ),
    );
    let bookmark = format!("{kept}#b");
    let expected =
        ["tank/data", "tank/data/x", "gzip", "on", "noauto", "no", "off", "-", "1", bookmark.as_str()];
    assert_eq!(told.lines().map(str::trim).collect::<Vec<_>>(), expected);
    sh(a, "touch /tank/data/written");
    run(a, "restore rollback tank@none --yes", 1);
}

/// Cut off wherever it is, the same command finishes.
#[test]
fn a_rollback_over_a_power_cut_is_finished_by_the_same_command() {
    let cluster = alone();
    let a = cluster.node(1);
    fill(a, "tank/data", 2);
    let old = files(a, "tank/data", "s1");
    for round in 0..3 {
        sh(a, "echo more >> /tank/data/changed; zfs snapshot tank/data@later; sync; zpool sync");
        let process = a.script("replicator restore rollback tank/data@s1 --yes").spawn().expect("started");
        // Wherever that is: before, in the middle, behind.
        std::thread::sleep(Duration::from_millis(40 * (round + 1)));
        a.power_cut();
        let _ = process.wait();
        a.boot().expect("boots again");
        sh(a, "zpool import -a -f -d /dev; zfs mount -a || true");
        run(a, "restore rollback tank/data@s1 --yes", 0);
        assert_eq!(files(a, "tank/data", "s1"), old);
        assert_eq!(sh(a, "zfs get -H -o value replicator:exchange tank/data").trim(), "-");
        assert!(sh(a, "zfs list -H -t snapshot -o name").contains("@later"), "it is kept");
        sh(a, "for d in $(zfs list -H -o name | grep '_diverged_[^/]*$'); do zfs destroy -r $d; done");
    }
}

#[test]
fn a_dataset_comes_back_from_a_target_beside_the_old_one_and_in_its_place() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    fill(a, "tank/data/x", 1);
    run(a, "replicate -r tank/data node2:back/data", 0);
    configure(
        a,
        "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\nrecursive = true\n[[replication.target]]\nname = \"nas\"\nto = \"node2:back/data\"\n",
    );
    sh(
        a,
        "zfs set mountpoint=/srv/data tank/data; rm -rf /srv/data/dir1 /srv/data/changed; zfs snapshot tank/data@bad",
    );
    let before = (state(a), state(b));
    run(a, "restore dataset -r tank/data --from nas --dry-run", 0);
    assert_eq!(before, (state(a), state(b)), "a dry run changes nothing");
    run(a, "restore dataset -r tank/data --from nas", 0);
    assert_same((b, "back/data"), (a, "tank/data_restored"));
    run(a, "restore dataset tank/data --from nas --at s1 --as tank/first", 0);
    assert_eq!(guids(a, "tank/first").len(), 1);
    run(a, "restore dataset -r tank/data --from nas --swap --yes", 0);
    assert_same((b, "back/data"), (a, "tank/data"));
    assert_same((b, "back/data/x"), (a, "tank/data/x"));
    assert!(!exists(a, "tank/data_restored"));
    let kept = aside(a, "tank/data");
    assert!(exists(a, &format!("{kept}/x")) && guids(a, &kept).len() == 3);
    assert_eq!(
        sh(
            a,
            "findmnt -n -o SOURCE /srv/data; findmnt -n -o SOURCE /srv/data/x; touch /srv/data/t /srv/data/x/t; ls /srv/data/changed"
        ),
        "tank/data\ntank/data/x\n/srv/data/changed"
    );
    // Replication goes on from there; what was set aside is another dataset.
    sh(a, "zfs snapshot tank/data@next");
    run(a, "replicate tank/data node2:back/data", 0);
    // The disk is dead: nothing is there any more.
    sh(a, "zfs destroy -r tank/data");
    run(a, "restore dataset -r tank/data --from root@node2:back/data --swap", 0);
    assert_eq!(files(a, "tank/data", "next"), files(b, "back/data", "next"));
    sh(a, "touch /tank/data/writable");
    run(a, "restore dataset tank/data --from elsewhere", 2);
}

#[test]
fn a_copy_that_was_overwritten_on_its_disk_is_found_and_told_once() {
    let cluster = alone();
    let a = cluster.node(1);
    sh(
        a,
        "zfs create -o compression=off tank/data; seq 1 400000 > /tank/data/text; echo fine > /tank/data/other; zfs snapshot tank/data@1",
    );
    sh(a, "zfs create -o mountpoint=none -o compression=off back/copies");
    configure(
        a,
        "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n[[replication.target]]\nname = \"disk\"\nto = \"back/copies/data\"\n\
         [notify]\ncommand = \"echo $REPLICATOR_CHECK $REPLICATOR_WAS $REPLICATOR_LEVEL >> /root/told\"\n",
    );
    run(a, "run --only replicate", 0);
    let record = json(a, "verify --json", 0);
    let one = &record["phases"]["verify"]["targets"][0]["datasets"][0];
    assert_eq!(
        (&one["differences"], &one["drill"]),
        (&serde_json::json!(0), &serde_json::json!("good")),
        "{record:#}"
    );
    assert!(one["compared"].as_u64().is_some_and(|compared| compared >= 3), "{record:#}");
    assert_eq!(sh(a, "zfs list -H -o name -r back | grep drill || true"), "", "the drill leaves nothing");
    run(a, "monitor verified", 0);
    // Wherever the text lies on the disk, something else is there now.
    sh(
        a,
        "zpool export back; at=$(grep -obaF -m1 199999 /dev/ubdc | head -1 | cut -d: -f1); [ -n \"$at\" ]
         printf '999999' | dd of=/dev/ubdc bs=1 seek=$at conv=notrunc 2>/dev/null; sync; zpool import back",
    );
    let record = json(a, "verify --json", 1);
    let one = &record["phases"]["verify"]["targets"][0]["datasets"][0];
    assert!(one["failed"].as_str().is_some_and(|why| why.contains("text")), "{record:#}");
    assert_ne!(replicator(a, "monitor verified").code(), 0);
    run(a, "monitor notify", 0);
    run(a, "monitor notify", 0);
    let told = sh(a, "grep verified /root/told");
    assert_eq!(told.lines().collect::<Vec<_>>(), ["verified OK WARNING"], "once");
    // It is on the screen, in the report and in the numbers.
    let status = json(a, "status --json", 0);
    let row = status["runs"].as_array().and_then(|rows| rows.iter().find(|row| row["part"] == "verify"));
    assert_eq!(row.map(|row| row["failed"].clone()), Some(serde_json::json!(true)), "{status:#}");
    assert!(status["findings"].to_string().contains("data to disk: tank/data: not verified"), "{status:#}");
    assert!(run(a, "report", 0).contains("data to disk: tank/data: not verified"));
    let numbers = run(a, "monitor metrics --output -", 0);
    for number in ["check_status{check=\"verified\"} 1", "last_run_success{part=\"verify\"} 0"] {
        assert!(numbers.contains(&format!("replicator_{number}\n")), "{number} is not in\n{numbers}");
    }
    // Nobody is to read it any more: nothing is read, and nothing is wrong.
    configure(
        a,
        "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\nverify = false\n\
         [[replication.target]]\nname = \"disk\"\nto = \"back/copies/data\"\n",
    );
    assert!(run(a, "verify", 0).contains("nothing to verify"));
    run(a, "monitor verified", 0);
    run(a, "verify --target none", 2);
}
