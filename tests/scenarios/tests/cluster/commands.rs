//! The commands beside `replicate`: each finds something wrong that was put there, here and on another machine, and
//! changes nothing unless it is told to.

use crate::replicas::*;

/// Runs the program and compares its status and its words.
fn says(node: &lab::Node, arguments: &str, code: i32, words: &[&str]) -> String {
    let output = replicator(node, arguments);
    let text = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "{arguments}\n{text}");
    for word in words {
        assert!(text.contains(word), "{arguments}: {word:?} is not in\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Nothing of ours is mounted, and no folder is left.
fn assert_clean(node: &lab::Node) {
    assert_eq!(
        sh(node, "grep '@' /proc/mounts || true; ls -d /tmp/replicator-* /tmp/tmp.* 2>/dev/null || true"),
        ""
    );
}

#[test]
fn compare_finds_equal_behind_and_diverged_replicas_by_guid() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    fill(a, "tank/data/child", 1);
    replicate(a, "-r tank/data node2:back/data");
    let before = (state(a), state(b));
    for (node, route) in [(a, "tank/data node2:back/data"), (b, "node1:tank/data back/data")] {
        says(node, &format!("compare -r {route}"), 0, &["equal: both have @s2", "equal: both have @s1"]);
        says(node, "compare --json tank/no node2:back/data", 1, &[]);
    }
    assert_eq!(before, (state(a), state(b)));
    change(a, "tank/data", 3);
    says(
        a,
        "compare tank/data node2:back/data",
        0,
        &["behind, and consistent", "from @s2", "only on the source: 1 (@s3)"],
    );
    says(a, "compare tank/data node2:back/new", 0, &["does not exist"]);
    sh(b, "zfs snapshot back/data@s3; zfs create back/data/extra");
    says(
        a,
        "compare -r tank/data node2:back/data",
        3,
        &[
            "WOULD STOP",
            "back/data@s3",
            "the same name and another GUID: 1 (@s3)",
            "back/data/extra: only on the target",
        ],
    );
    let found = says(
        a,
        "compare -r --json tank/data node2:back/data",
        3,
        &["\"verdict\": \"stops\"", "\"diverged\""],
    );
    assert!(found.contains("\"verdict\": \"equal\""), "{found}");
}

#[test]
fn compare_reads_files_and_finds_each_kind_of_change() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(a, BACK);
    fill(a, "tank/data", 1);
    // Names that break scripts, and every kind of file.
    sh(
        a,
        "cd /tank/data; printf x > 'a b'; printf x > \"$(printf 'new\\nline')\"; printf x > \"$(printf 'caf\\351')\"; \
         printf x > '-rf'; printf x > 'it'\"'\"'s \"$HOME\" `x`'; ln -s /etc/passwd link; mkfifo pipe; mkdir -p deep/er; \
         printf x > deep/er/f; : > empty; chmod 4755 empty; touch -d '1969-12-31 12:00:00.25' old; zfs snapshot tank/data@s2",
    );
    replicate(a, "tank/data node2:back/data");
    replicate(a, "tank/data back/data");
    let routes = [
        (a, "tank/data back/data"),
        (a, "tank/data node2:back/data"),
        (a, "tank/data node2:back/data --transport ssh"),
        (b, "node1:tank/data back/data"),
        (a, "node1:tank/data node2:back/data"),
        (a, "tank/data node2:back/data --far-end agent"),
        (b, "node1:tank/data back/data --far-end agent --transport ssh"),
    ];
    for (node, route) in routes {
        says(node, &format!("compare {route} --content"), 0, &["equal: both", " files of ", " are equal"]);
    }
    // The snapshot goes, and another one with its name has other files.
    for node in [a, b] {
        sh(
            node,
            "zfs destroy back/data@s2; zfs set readonly=off back/data; zfs mount back/data; cd /back/data
             printf y > 'a b'; touch -r /back/data/dir1/text 'a b'; rm -- -rf; printf n > more; ln -sf /etc/shadow link
             chmod 600 empty; touch deep/er/f; chown 5:5 old; zfs snapshot back/data@s2",
        );
    }
    for (node, route) in routes {
        let found = says(
            node,
            &format!("compare {route} --content --snapshot s2"),
            3,
            &[
                "DIFFER",
                "\n    a b: content",
                "\n    -rf: only on the source",
                "\n    more: only on the target",
                "\n    link: link target",
                "\n    empty: mode",
                "\n    deep/er/f: time",
                "\n    old: owner",
            ],
        );
        assert!(!found.contains("dir1/text") && !found.contains("pipe"), "{found}");
        // Of the newest snapshot that both have, the files are equal; the datasets have diverged all the same.
        let found =
            says(node, &format!("compare {route} --content"), 3, &["WOULD STOP", "@s1", " are equal"]);
        assert!(!found.contains("DIFFER"), "{found}");
        says(node, &format!("compare {route} --content --snapshot none"), 3, &["NOT COMPARED"]);
    }
    assert_clean(a);
    assert_clean(b);
}

#[test]
fn compare_reads_volumes_and_finds_the_segment_that_differs() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(
        a,
        "zfs create -s -V 32M tank/vol; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done
         head -c 9000000 /dev/urandom > /dev/zd0; zfs snapshot tank/vol@s1",
    );
    replicate(a, "tank/vol node2:back/vol");
    let routes = [
        (a, "tank/vol node2:back/vol"),
        (b, "node1:tank/vol back/vol"),
        (a, "tank/vol node2:back/vol --far-end agent"),
    ];
    for (node, route) in routes {
        says(node, &format!("compare {route} --content"), 0, &["3 segments of 4 MiB", "are equal"]);
    }
    sh(
        b,
        "zfs set readonly=off back/vol; for i in $(seq 50); do [ -b /dev/zd0 ] && break; sleep 0.1; done
         printf x | dd of=/dev/zd0 bs=1 seek=5000000 conv=notrunc 2>/dev/null; zfs snapshot back/vol@s2",
    );
    sh(a, "zfs snapshot tank/vol@s2");
    for (node, route) in routes {
        says(
            node,
            &format!("compare {route} --content --snapshot s2"),
            3,
            &["DIFFER in 1 of segments", "bytes 4194304 to 8388607: content"],
        );
    }
}

#[test]
fn compare_says_when_a_side_cannot_be_read() {
    let cluster = alone();
    let node = cluster.node(1);
    sh(
        node,
        "echo 'a long passphrase' | zfs create -o encryption=on -o keyformat=passphrase tank/secret
         echo x > /tank/secret/x; zfs snapshot tank/secret@s1",
    );
    replicate(node, "tank/secret back/secret");
    says(node, "compare tank/secret back/secret", 0, &["equal"]);
    says(
        node,
        "compare tank/secret back/secret --content",
        1,
        &["back/secret@s1", "zfs load-key back/secret"],
    );
    says(node, "compare tank/secret localhost:back/secret --content", 1, &["back/secret@s1", "key"]);
    says(
        node,
        "compare tank/secret localhost:back/secret --content --far-end agent",
        1,
        &["localhost", "back/secret@s1", "zfs load-key back/secret"],
    );
    assert_clean(node);
    sh(node, "echo 'a long passphrase' | zfs load-key back/secret");
    says(node, "compare tank/secret localhost:back/secret --content", 0, &["are equal"]);
    says(node, "compare tank/secret localhost:back/secret --content --far-end agent", 0, &["are equal"]);
    assert_clean(node);
}

#[test]
fn tokens_finds_partial_receives_and_says_which_cannot_go_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    fill(a, "tank/gone", 1);
    says(b, "tokens", 0, &["no partial receives"]);
    for dataset in ["data", "gone"] {
        sh(
            a,
            &format!(
                "zfs send tank/{dataset}@s1 | head -c 600000 | ssh node2 zfs receive -s -u back/{dataset} || true"
            ),
        );
    }
    // All pools of a machine, and one of another.
    says(b, "tokens", 0, &["back/data", "back/gone", "a full stream", "have arrived"]);
    says(a, "tokens -r node2:back", 0, &["node2:back/data", "node2:back/gone"]);
    let json = says(b, "tokens back/data --json", 0, &["\"raw\": false", "\"from_guid\": null"]);
    assert!(json.contains(&guids(a, "tank/data")[0]["s1\t".len()..]), "{json}");
    says(a, "tokens node2:back/data --source tank/data", 0, &["can go on with it: @s1 in full"]);
    says(b, "tokens back/data --source node1:tank/data", 0, &["can go on with it"]);
    let before = (state(a), state(b));
    sh(a, "zfs destroy tank/gone@s1; zfs snapshot tank/gone@s2");
    for (node, arguments) in
        [(a, "node2:back/gone --source tank/gone"), (b, "back/gone --source node1:tank/gone")]
    {
        says(node, &format!("tokens {arguments}"), 3, &["cannot go on", "no longer has the snapshot"]);
    }
    assert_eq!(before.1, state(b), "looking changed something");
    says(a, "tokens --discard node2:back/gone", 0, &["node2:back/gone", "thrown away"]);
    says(a, "tokens --discard node2:back/data", 0, &["thrown away"]);
    says(b, "tokens", 0, &["no partial receives"]);
    says(b, "tokens --discard back", 1, &["no partial receive"]);
}

#[test]
fn bookmarks_finds_stale_ones_and_removes_only_those() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 3);
    replicate(a, "tank/data node2:back/data");
    replicate(a, "tank/data node2:back/other");
    let ours = |node: &lab::Node| sh(node, "zfs list -H -o name -t bookmark -d 1 tank/data | sort");
    let lines = ours(a);
    let names: Vec<&str> = lines.lines().collect();
    assert_eq!(names.len(), 2, "one for each target: {names:?}");
    // A stale one for each target, as a run that was cut before its end leaves it, and one of somebody else.
    let guid = |short: &str| sh(a, &format!("printf %016x $(zfs get -Hp -o value guid tank/data@{short})"));
    let (first, newest) = (guid("s1"), guid("s3"));
    for name in &names {
        let stale = name.replace(&newest, &first);
        assert_ne!(&stale, name);
        sh(a, &format!("zfs bookmark tank/data@s1 '{stale}'"));
    }
    sh(a, "zfs bookmark tank/data@s1 tank/data#mine; zfs destroy tank/data@s1");
    says(a, "bookmarks", 0, &["superseded", "gone", "1 of others"]);
    let before = ours(a);
    for (node, arguments) in [
        (a, "bookmarks tank/data --target node2:back/data"),
        (b, "bookmarks node1:tank/data --target back/data"),
    ] {
        let found = says(
            node,
            arguments,
            0,
            &["the id of its target is", "stale", "needed", "other target", "1 of others"],
        );
        let stale: Vec<_> = found.lines().filter(|line| line.contains("stale")).collect();
        assert_eq!(stale.len(), 1, "{found}");
        let id = found.split("target is ").nth(1).expect("an id").split(',').next().expect("an id");
        assert!(stale[0].contains(&format!("replicator_1_{id}_{first}")), "{found}");
    }
    says(a, "bookmarks tank/data --target node2:back/data --release-stale", 2, &["--yes"]);
    assert_eq!(before, ours(a));
    // A target that cannot be compared makes nothing stale.
    says(a, "bookmarks tank/data --target node2:back/new --release-stale --yes", 0, &["no base in common"]);
    assert_eq!(before, ours(a));
    says(b, "bookmarks node1:tank/data --target back/data --release-stale --yes", 0, &["1 stale removed"]);
    let after = ours(a);
    assert_eq!(before.lines().count(), after.lines().count() + 1, "{before}\n\n{after}");
    assert!(after.contains("tank/data#mine"), "{after}");
    says(a, "bookmarks tank/data --target node2:back/other", 0, &["stale"]);
    let found = says(a, "bookmarks tank/data --target node2:back/data", 0, &["needed"]);
    assert!(!found.contains("stale"), "{found}");
}

#[test]
fn holds_finds_those_of_a_process_that_is_gone_and_releases_no_others() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 1);
    says(node, "holds", 0, &["no holds of ours"]);
    // Placed by hand: our own end with their process.
    sh(
        node,
        "setsid sleep 300 < /dev/null > /dev/null 2>&1 & echo $! > /tmp/pid
         zfs hold replicator:1:4194300:0 tank/data@s1; zfs hold replicator:1:$(cat /tmp/pid):0 tank/data@s1
         zfs hold replicator:9:x tank/data@s1; zfs hold keep tank/data@s1",
    );
    let words = ["process 4194300, gone", "running", "of another version", "held by others", "keep"];
    says(node, "holds", 0, &words);
    says(node, "holds tank/data", 0, &words);
    says(node, "holds tank/data --json", 0, &["\"gone\"", "\"running\"", "\"unknown\"", "\"other\""]);
    let count = |node: &lab::Node| sh(node, "zfs holds -H tank/data@s1 | wc -l");
    assert_eq!(count(node), "4");
    says(node, "holds -r tank --release", 0, &["1 released"]);
    assert_eq!(count(node), "3");
    let left = sh(node, "zfs holds -H tank/data@s1");
    assert!(!left.contains("4194300"), "{left}");
    let found = says(node, "holds -r tank --release", 0, &["keep"]);
    assert!(!found.contains("released"), "{found}");
    sh(node, "kill $(cat /tmp/pid)");
}

/// The holds of another machine: its `zfs` names them, and cannot tell whose process is gone; an agent can, and looks
/// itself before it releases one.
#[test]
fn holds_of_another_machine_are_shown_and_only_an_agent_releases_those_left_behind() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    fill(a, "tank/data/below", 1);
    sh(
        a,
        "setsid sleep 300 < /dev/null > /dev/null 2>&1 & echo $! > /tmp/pid
         zfs hold replicator:1:4194300:0 tank/data@s1; zfs hold replicator:1:$(cat /tmp/pid):0 tank/data@s1
         zfs hold replicator:1:4194301:0 tank/data/below@s1; zfs hold 'k e	ep' tank/data@s1",
    );
    let count = || sh(a, "zfs holds -H tank/data@s1 tank/data/below@s1 | wc -l");
    for transport in ["libssh2", "ssh"] {
        let more = format!("--transport {transport}");
        let words = ["node1:tank/data@s1", "process 4194300 there, not known", "held by others", "k e\\tep"];
        let found = says(b, &format!("holds node1:tank/data {more}"), 0, &words);
        assert!(!found.contains("below"), "{found}");
        says(b, &format!("holds -r node1:tank {more}"), 0, &["node1:tank/data/below@s1"]);
        let json = says(b, &format!("holds -r node1:tank --json {more}"), 0, &["\"unseen\"", "\"other\""]);
        assert!(!json.contains("\"gone\""), "{json}");
        let found = says(b, &format!("holds -r node1:tank --release {more}"), 0, &[]);
        assert!(!found.contains("released") && count() == "4", "{found}");
        says(b, &format!("holds node1:tank/none {more}"), 1, &["none"]);
    }
    let agent = "--far-end agent";
    says(
        b,
        &format!("holds -r node1:tank {agent}"),
        0,
        &["process 4194300, gone", "process 4194301, gone", "running"],
    );
    says(b, &format!("holds node1:tank/data --release {agent}"), 0, &["1 released"]);
    assert_eq!(count(), "3");
    says(b, &format!("holds -r node1:tank --release {agent}"), 0, &["1 released"]);
    assert_eq!(count(), "2");
    let left = says(b, &format!("holds -r node1:tank {agent}"), 0, &["running", "held by others"]);
    assert!(!left.contains("gone"), "{left}");
    // A line break in a tag is beyond what `zfs` prints, and never a hold less.
    sh(a, "zfs hold \"$(printf 'line\\nbreak')\" tank/data@s1");
    says(b, "holds node1:tank/data", 1, &["line break"]);
    says(b, &format!("holds node1:tank/data {agent}"), 0, &["line; break"]);
    sh(a, "kill $(cat /tmp/pid)");
}
