//! `replicator replicate` where everything goes well: here, to and from another machine, first and again; that a
//! dry run says what a run does; and the conflicts that stop it.

use crate::replicas::*;

#[test]
fn a_dataset_goes_to_another_pool_first_whole_and_then_in_steps() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 3);
    replicate(node, "tank/data back/data");
    assert_same((node, "tank/data"), (node, "back/data"));
    assert_eq!(sh(node, "zfs get -H -o value readonly,mounted back/data"), "on\nno");
    change(node, "tank/data", 4);
    change(node, "tank/data", 5);
    let said = replicate(node, "tank/data back/data");
    assert!(said.contains("[1/2] @s3 → @s4") && said.contains("[2/2] @s4 → @s5"), "{said}");
    assert_same((node, "tank/data"), (node, "back/data"));
    assert!(replicate(node, "tank/data back/data").contains("up to date"));
}

#[test]
fn a_local_replication_and_a_list_start_no_other_program() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 2);
    sh(
        node,
        "strace -f -e trace=execve,execveat -o /tmp/trace replicator replicate tank/data back/data
         strace -f -e trace=execve,execveat -o /tmp/trace2 replicator list -r --type all tank back > /tmp/listed",
    );
    assert_same((node, "tank/data"), (node, "back/data"));
    assert!(sh(node, "cat /tmp/listed").contains("back/data@s2"));
    for trace in ["/tmp/trace", "/tmp/trace2"] {
        let started = sh(node, &format!("grep -c 'execve' {trace}"));
        assert_eq!(started, "1", "{}", sh(node, &format!("cat {trace}")));
    }
}

#[test]
fn a_dataset_is_pushed_to_a_machine_that_has_only_zfs() {
    let cluster = pair();
    let (here, there) = (cluster.node(1), cluster.node(2));
    fill(here, "tank/data", 2);
    replicate(here, "tank/data root@node2:back/data");
    assert_same((here, "tank/data"), (there, "back/data"));
    change(here, "tank/data", 3);
    replicate(here, "tank/data node2:back/data");
    assert_same((here, "tank/data"), (there, "back/data"));
    assert!(replicate(here, "tank/data node2:back/data").contains("up to date"));
}

#[test]
fn a_dataset_is_pulled_from_a_machine_that_has_only_zfs() {
    let cluster = pair();
    let (there, here) = (cluster.node(1), cluster.node(2));
    fill(there, "tank/data", 2);
    replicate(here, "root@node1:tank/data back/data");
    assert_same((there, "tank/data"), (here, "back/data"));
    change(there, "tank/data", 3);
    replicate(here, "node1:tank/data back/data");
    assert_same((there, "tank/data"), (here, "back/data"));
}

#[test]
fn a_bookmark_stands_in_for_a_snapshot_that_the_source_destroyed() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    replicate(a, "tank/data node2:back/push --no-bookmarks");
    sh(a, "zfs bookmark tank/data@s2 tank/data#kept; zfs destroy tank/data@s2");
    change(a, "tank/data", 3);
    let said = replicate(a, "tank/data node2:back/push");
    assert!(said.contains("#kept → @s3"), "{said}");
    let pulled = replicate(b, "node1:tank/data back/push");
    assert!(pulled.contains("up to date"), "{pulled}");
    assert_eq!(files(a, "tank/data", "s3"), files(b, "back/push", "s3"));
}

#[test]
fn volumes_and_encrypted_datasets_arrive() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(
        a,
        "zfs create -s -V 32M tank/vol; udevadm settle 2>/dev/null || true
         zfs snapshot tank/vol@s1
         echo 'a long passphrase' | zfs create -o encryption=on -o keyformat=passphrase tank/secret
         seq 1 100000 > /tank/secret/file; zfs snapshot tank/secret@s1; zfs snapshot tank/secret@s2",
    );
    replicate(a, "tank/vol node2:back/vol");
    replicate(a, "tank/secret node2:back/pushed");
    replicate(b, "node1:tank/secret back/pulled");
    assert_eq!(guids(a, "tank/vol"), guids(b, "back/vol"));
    assert_eq!(sh(b, "zfs get -H -o value type back/vol"), "volume");
    for copy in ["back/pushed", "back/pulled"] {
        assert_eq!(guids(a, "tank/secret"), guids(b, copy));
        // Raw: the target never had the key, and opens with the one of the source.
        assert_eq!(sh(b, &format!("zfs get -H -o value keystatus {copy}")), "unavailable");
        let sum = format!(
            "echo 'a long passphrase' | zfs load-key {copy}; zfs mount {copy}; sha256sum < /{copy}/file"
        );
        assert_eq!(sh(b, &sum), sh(a, "sha256sum < /tank/secret/file"));
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_the_run_does() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    sh(a, BACK);
    let mut compared = 0;
    for round in 0..2 {
        for (node, route) in [
            (a, "tank/data back/local"),
            (a, "tank/data node2:back/pushed"),
            (b, "node1:tank/data back/pulled"),
        ] {
            let before = (state(a), state(b));
            let dry = plan_in(&sh(node, &format!("replicator replicate {route} --dry-run --json")));
            assert_eq!(before, (state(a), state(b)), "the dry run of {route} changed something");
            let run = plan_in(&sh(node, &format!("replicator replicate {route} --json")));
            let streams = if round == 0 { vec!["full", "incremental"] } else { vec!["incremental"] };
            let expected = [vec!["bookmark"], streams, vec!["destroy-bookmarks"]].concat();
            assert_eq!(actions(&dry), expected, "{dry}");
            assert_eq!(dry, run, "{route}");
            compared += 1;
        }
        change(a, "tank/data", 3 + round);
    }
    assert_eq!(compared, 6);
}
