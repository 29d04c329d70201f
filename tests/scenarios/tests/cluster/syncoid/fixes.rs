//! Where both differ on purpose, each shown on both; and what the front end says and how it ends.

use super::*;

/// The pools with `src` in each, with the snapshots `a` and `b`, and a target that has both.
fn synced() -> Cluster {
    let cluster = pools();
    for (pool, _) in BOTH {
        sh(
            cluster.node(1),
            &format!(
                "zfs create {pool}/src; zfs snapshot {pool}/src@a; zfs snapshot {pool}/src@b
                 zfs send {pool}/src@a | zfs receive -u {pool}/dst
                 zfs send -i @a {pool}/src@b | zfs receive -u {pool}/dst"
            ),
        );
    }
    cluster
}

/// Runs both, and gives statuses and all that was said.
fn both(node: &Node, options: &str, target: &str) -> [(i32, String); 2] {
    BOTH.map(|(pool, program)| {
        let done = node.sh(&format!("{program} {options} {pool}/src {pool}/{target}")).expect("it runs");
        (done.code(), format!("{}{}", done.out(), done.err()))
    })
}

/// Both were successful.
fn well(both: [(i32, String); 2]) {
    for (code, said) in both {
        assert_eq!(code, 0, "{said}");
    }
}

fn has(node: &Node, name: &str) -> bool {
    node.sh(&format!("zfs list '{name}'")).expect("it runs").success()
}

#[test]
fn snapshots_of_a_host_whose_name_only_begins_the_same_stay() {
    let cluster = synced();
    let node = cluster.node(1);
    let strange = "syncoid_node12_2026-01-01:00:00:00-GMT00:00";
    for (pool, _) in BOTH {
        sh(node, &format!("zfs snapshot {pool}/src@{strange}"));
    }
    for _ in 0..2 {
        well(both(node, "", "dst"));
        sh(node, "sleep 1.1");
    }
    assert!(has(node, &format!("ours/src@{strange}")) && has(node, &format!("ours/dst@{strange}")));
    assert!(!has(node, &format!("real/src@{strange}")), "the mistake of syncoid is not there any more");
}

#[test]
fn a_base_that_was_renamed_is_found_by_its_guid() {
    let cluster = synced();
    let node = cluster.node(1);
    for (pool, _) in BOTH {
        sh(
            node,
            &format!(
                "zfs destroy {pool}/src@a; zfs rename {pool}/src@b {pool}/src@c; zfs snapshot {pool}/src@d"
            ),
        );
    }
    let [ours, real] = both(node, "--no-sync-snap", "dst");
    assert_eq!((ours.0, real.0), (0, 2), "{}\n{}", ours.1, real.1);
    assert!(has(node, "ours/dst@d") && has(node, "ours/dst@b"));
}

#[test]
fn a_listing_that_fails_is_not_taken_for_a_target_that_is_not_there() {
    let cluster = synced();
    let node = cluster.node(1);
    // A `zfs` that fails in any question about the target, as an overloaded machine does.
    sh(node, "mkdir -p /tmp/bent; z=$(command -v zfs)
        printf '#!/bin/sh\\ncase \"$*\" in *\"get -H name real/dst\"*) exit 1 ;; esac\\nexec %s \"$@\"\\n' $z > /tmp/bent/zfs
        chmod +x /tmp/bent/zfs; zfs snapshot real/src@c");
    let real = node
        .sh(&format!("PATH=/tmp/bent:$PATH timeout -k 5 30 {REAL} --no-sync-snap real/src real/dst"))
        .expect("runs");
    // It goes for a full stream into what is there.
    assert!(real.out().contains("new target filesystem"), "{}{}", real.out(), real.err());
    let missing = node.sh("syncoid --no-sync-snap ours/src nopool/dst").expect("runs");
    assert_eq!(missing.code(), 2, "{}", missing.err());
    // The same seen by ours, which asks that command on another machine: here this one, by ssh.
    sh(
        node,
        "z=$(command -v zfs); cp $z /tmp/zfs.real; zfs snapshot ours/src@c
         printf '#!/bin/sh\\ncase \"$*\" in *list*dst*) echo overloaded >&2; exit 1 ;; esac\\nexec /tmp/zfs.real \"$@\"\\n' > /tmp/zfs.bent
         chmod +x /tmp/zfs.bent; mount --bind /tmp/zfs.bent $z",
    );
    let before = sh(node, "/tmp/zfs.real list -H -t all -o name,guid -r ours/dst");
    let failed = node.sh("syncoid --no-sync-snap --force-delete ours/src root@node1:ours/dst").expect("runs");
    assert_eq!(failed.code(), 255, "{}{}", failed.out(), failed.err());
    assert!(failed.err().contains("snapshots couldn't be listed for ours/dst"), "{}", failed.err());
    assert_eq!(sh(node, "/tmp/zfs.real list -H -t all -o name,guid -r ours/dst"), before);
}

#[test]
fn another_receive_into_the_target_is_no_failure_of_a_stream() {
    let cluster = synced();
    let node = cluster.node(1);
    for (pool, program) in BOTH {
        sh(
            node,
            &format!(
                "zfs set mountpoint=/mnt/{pool} {pool}/src; zfs mount {pool}/src 2>/dev/null
                 head -c 900000 /dev/urandom > /mnt/{pool}/f; zfs snapshot {pool}/src@c"
            ),
        );
        for (number, saves) in ["-u", "-s -u"].iter().enumerate() {
            // One that waits for the rest of its stream.
            let foreign = format!("zfs receive {saves} {pool}/dst");
            let other = node
                .script(&format!("(zfs send -i @b {pool}/src@c | head -c 1000; sleep 60) | exec {foreign}"))
                .spawn()
                .expect("it starts");
            sh(node, "sleep 2");
            let done = node.sh(&format!("{program} --no-sync-snap {pool}/src {pool}/dst")).expect("it runs");
            let said = format!("{}{}", done.out(), done.err());
            assert_eq!(done.code(), 1, "{program} {number}: {said}");
            assert!(said.contains("Cannot sync now"), "{program}: {said}");
            assert!(!has(node, &format!("{pool}/dst@c")));
            sh(
                node,
                "pkill -f '[z]fs receive'; for i in $(seq 200); do pgrep -f '[z]fs receive' >/dev/null || break; sleep 0.05; done",
            );
            drop(other);
        }
        well_one(node, &format!("{program} --no-sync-snap {pool}/src {pool}/dst"));
        assert!(has(node, &format!("{pool}/dst@c")));
    }
}

fn well_one(node: &Node, line: &str) {
    let done = node.sh(line).expect("it runs");
    assert_eq!(done.code(), 0, "{}{}", done.out(), done.err());
}

#[test]
fn filters_see_the_whole_of_a_name_with_a_space() {
    let cluster = synced();
    let node = cluster.node(1);
    for (pool, _) in BOTH {
        sh(node, &format!("zfs snapshot '{pool}/src@c keep'; zfs snapshot '{pool}/src@d drop'"));
    }
    let [ours, _] = both(node, "--no-sync-snap --exclude-snaps=drop$", "dst");
    assert_eq!(ours.0, 0, "{}", ours.1);
    assert!(has(node, "ours/dst@c keep") && !has(node, "ours/dst@d drop"));
    assert!(has(node, "real/dst@d drop"), "the mistake of syncoid is not there any more");
}

#[test]
fn what_goes_is_named_first_and_a_held_one_stays() {
    let cluster = synced();
    let node = cluster.node(1);
    for (pool, _) in BOTH {
        sh(
            node,
            &format!("zfs snapshot {pool}/dst@x; zfs hold keep {pool}/dst@x; zfs snapshot {pool}/src@c"),
        );
    }
    let [ours, real] = both(node, "--no-sync-snap --quiet", "dst");
    assert_eq!((ours.0, real.0), (2, 2), "{}\n{}", ours.1, real.1);
    assert!(ours.1.contains("WARNING: rolling back to @b: destroying ours/dst@x"), "{}", ours.1);
    // The real one has sent all of it by then, and keeps what it could not take in.
    let real = state(node, "real", "dst").join("\n");
    assert!(real.contains(" partial"), "the mistake of syncoid is not there any more: {real}");
    assert_eq!(state(node, "ours", "dst").join("\n"), real.replace(" partial", ""));
    sh(node, "zfs release keep ours/dst@x; zfs release keep real/dst@x");
    well(both(node, "--no-sync-snap", "dst"));
    assert_eq!(state(node, "ours", "dst"), state(node, "real", "dst"));
}

#[test]
fn what_was_received_is_mounted_unless_asked_otherwise() {
    let cluster = synced();
    let node = cluster.node(1);
    for (pool, _) in BOTH {
        sh(node, &format!("zfs create -o mountpoint=/mnt/{pool} {pool}/m"));
    }
    well(both(node, "", "m/t"));
    well(both(node, "--recvoptions=u", "m/u"));
    let mounted = |name: &str| sh(node, &format!("zfs get -H -o value mounted {name}"));
    for (pool, _) in BOTH {
        assert_eq!(
            (mounted(&format!("{pool}/m/t")), mounted(&format!("{pool}/m/u"))),
            ("yes".into(), "no".into())
        );
    }
    // And it is destroyed although it is mounted, with --force-delete.
    for (pool, _) in BOTH {
        sh(node, &format!("zfs destroy -r {pool}/src; zfs create {pool}/src; zfs snapshot {pool}/src@new"));
    }
    well(both(node, "--no-sync-snap --force-delete", "m/t"));
    assert_eq!(state(node, "ours", "m"), state(node, "real", "m"));
}

#[test]
fn who_is_not_root_works_through_sudo() {
    let cluster = synced();
    let node = cluster.node(1);
    sh(
        node,
        "useradd -m keeper; echo 'keeper ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/keeper
         zfs snapshot ours/src@c; zfs snapshot real/src@c; zfs snapshot ours/dst@x; zfs snapshot real/dst@x",
    );
    for (options, target) in [("", "dst"), ("", "new"), ("--use-hold --no-stream", "dst")] {
        for (pool, program) in BOTH {
            let line = format!("sleep 1.1; cd /; {program} {options} {pool}/src {pool}/{target}");
            let done = node.sh(&format!("su keeper -c '{line}'")).expect("it runs");
            assert_eq!(done.code(), 0, "{}{}", done.out(), done.err());
        }
        assert_eq!(state(node, "ours", target), state(node, "real", target));
    }
    let done = node.sh("su keeper -c 'syncoid --no-privilege-elevation ours/src ours/no'").expect("it runs");
    assert_ne!(done.code(), 0);
}

#[test]
fn help_version_and_what_is_wrong() {
    let cluster = synced();
    let node = cluster.node(1);
    let run = |line: &str| {
        let done = node.sh(line).expect("it runs");
        (done.code(), done.out(), done.err())
    };
    for program in ["syncoid", "replicator syncoid --", "replicator syncoid", REAL] {
        let (code, out, _) = run(&format!("{program} --version"));
        assert!(code == 0 && out.contains("2.3.0"), "{program}: {out}");
        let (code, out, err) = run(&format!("{program} --nonsense a b"));
        assert_eq!((code, out.as_str()), (2, ""), "{program}");
        assert!(err.starts_with("Unknown option: nonsense\nUsage:"), "{program}: {err}");
    }
    for line in [
        "",
        "ours/src",
        "--compress",
        "--no-s ours/src ours/x",
        "--sshport=x ours/src ours/x",
        "--identifier='a b' ours/src ours/x",
        "--sendoptions=R -r ours/src ours/x",
        "ours/missing ours/x",
        "-r ours/missing ours/x",
        "ours/src nopool/x",
        "ours/src ours/no/parent",
    ] {
        let [ours, real] = ["syncoid", REAL].map(|program| run(&format!("timeout -k 5 20 {program} {line}")));
        if [124, 137].contains(&real.0) {
            // Where the receive ends at once, mbuffer can hang for ever.
            assert!(line.contains("/x") || line.contains("parent"), "{line}");
            assert_eq!(ours.0, 2, "{line}: {ours:?}");
            continue;
        }
        assert_eq!(ours.0, real.0, "{line}: {ours:?} {real:?}");
        let first = |said: &str| said.lines().next().unwrap_or_default().to_string();
        if ours.2.starts_with("Option") || ours.2.starts_with("WARNING") {
            assert_eq!(first(&ours.2), first(&real.2), "{line}");
        }
    }
    let help = run("syncoid --help");
    let theirs = run(&format!("{REAL} --help")).1;
    assert_eq!(help.0, 0);
    let options = theirs.split_whitespace().filter(|word| word.starts_with("--"));
    let options: Vec<_> =
        options.filter_map(|word| word.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next()).collect();
    assert!(options.len() > 35, "{options:?}");
    for option in options {
        assert!(help.1.contains(option), "{option}");
    }
}

#[test]
fn names_and_options_reach_no_shell() {
    let cluster = synced();
    let node = cluster.node(1);
    let bad = "touch${IFS}/tmp/hit";
    for line in [
        format!("'ours/src$({bad})' ours/x"),
        format!("ours/src 'ours/x`{bad}`'"),
        format!("ours/src 'root@node1;{bad};:ours/x'"),
        format!("ours/src '$({bad})@node1:ours/x'"),
        format!("--identifier='$({bad})' ours/src ours/x"),
        format!("--mbuffer-size='1M;{bad}' --pv-options='$({bad})' ours/src ours/y"),
        format!("--recvoptions='o org.example:x=$({bad})' ours/src ours/z"),
        format!("--sshport='1;{bad}' ours/src ours/w"),
    ] {
        node.sh(&format!("syncoid {line}")).expect("it runs");
        assert!(node.sh("ls /tmp/hit").expect("it runs").code() != 0, "{line}");
    }
}
