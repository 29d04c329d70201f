//! Names that are no names, machines without ZFS, and everything else that must end in a clear message with nothing
//! changed on either side.

use crate::replicas::*;

/// F49: what is no name, of a dataset or of a machine, as people and scripts may write it.
#[test]
fn names_that_zfs_would_not_take_are_refused_before_anything_happens() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let before = (state(a), state(b));
    let long = format!("back/{}", "x".repeat(251));
    assert_eq!(long.len(), 256);
    let deep = format!("back{}", "/x".repeat(50));
    let mut tried = 0;
    for name in [
        "back/x;touch /tmp/pwned",
        "back/$(touch /tmp/pwned)",
        "back/`touch /tmp/pwned`",
        "back/x|touch /tmp/pwned",
        "back/x&touch /tmp/pwned",
        "back/x\ntouch /tmp/pwned",
        "back/x'y",
        "back/x\"y",
        "back/x\\y",
        "back/x@y",
        "back/x#y",
        "back/x%y",
        "back/%recv",
        "back/x/%recv",
        "back/x\ty",
        "back/x\u{1b}[31my",
        "back/-x -o y=*",
        "back/../x",
        "back/./x",
        "back//x",
        "back/",
        "/back",
        "",
        "back/é",
        long.as_str(),
        deep.as_str(),
    ] {
        for argument in [name.to_string(), format!("root@node2:{name}")] {
            for arguments in [vec!["tank/data", &argument], vec![&argument, "tank/data"]] {
                let output = a
                    .command("replicator")
                    .args(["replicate", "--"].into_iter().chain(arguments.iter().copied()))
                    .run()
                    .expect("the node answers");
                assert_eq!(output.code(), 2, "{arguments:?}\n{}", output.err());
                assert!(output.err().starts_with("error: "), "{arguments:?}\n{}", output.err());
                assert!(output.err().lines().count() <= 2, "a name broke the message: {}", output.err());
                tried += 1;
            }
        }
    }
    for machine in [
        "-oProxyCommand=x:back/x",
        "ro ot@node2:back/x",
        "node;2:back/x",
        "@node2:back/x",
        "node2:",
        "$(touch /tmp/pwned)@node2:back/x",
        "`touch /tmp/pwned`:back/x",
        "node2|touch /tmp/pwned:back/x",
        "root;touch@node2:back/x",
        "-l@node2:back/x",
        "root@-oProxyCommand=touch:back/x",
        "root@node2\nHost x:back/x",
    ] {
        let output =
            a.command("replicator").args(["replicate", "--", "tank/data", machine]).run().expect("answers");
        assert_eq!(output.code(), 2, "{machine}\n{}", output.err());
        tried += 1;
    }
    assert_eq!(tried, 116);
    assert_eq!(before, (state(a), state(b)));
    for node in [a, b] {
        assert_eq!(sh(node, "ls /tmp | grep pwned || true"), "");
    }
}

#[test]
fn a_source_or_a_pool_that_does_not_exist_is_named() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    sh(a, "zfs create tank/empty");
    let before = (state(a), state(b));
    refused(a, "tank/nothing node2:back/x", 1, &["tank/nothing", "this machine"]);
    refused(b, "node1:tank/nothing back/x", 1, &["tank/nothing", "root@node1"]);
    refused(a, "nopool/data node2:back/x", 1, &["nopool"]);
    refused(a, "tank/data node2:nopool/x", 1, &["nopool", "root@node2"]);
    refused(a, "tank/data nopool/x", 1, &["nopool", "this machine"]);
    refused(a, "tank/empty node2:back/x", 3, &["tank/empty", "zfs snapshot"]);
    refused(a, "tank/data tank/data", 2, &["are the same"]);
    refused(a, "node2:back/a node1:tank/b", 1, &["root@node2", "no dataset back/a"]);
    assert_eq!(before, (state(a), state(b)));
}

#[test]
fn a_machine_without_the_zfs_command_is_named_with_the_fix() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let before = state(a);
    sh(
        b,
        "for f in /sbin/zfs /usr/sbin/zfs /usr/local/sbin/zfs /bin/zfs /usr/bin/zfs; do [ ! -e $f ] || mv $f $f.away; done",
    );
    refused(a, "tank/data node2:back/data", 5, &["root@node2 has no zfs command", "install OpenZFS"]);
    refused(a, "node2:back/data tank/new", 5, &["root@node2 has no zfs command"]);
    sh(b, "for f in /sbin/zfs /usr/sbin/zfs /usr/local/sbin/zfs; do [ ! -e $f.away ] || mv $f.away $f; done");
    assert_eq!(sh(b, "zfs list -H -o name"), "back");
    assert_eq!(before, state(a));
}

#[test]
fn without_zfs_every_command_says_what_is_missing() {
    let cluster = lab::Cluster::boot(1).expect("a node");
    let node = cluster.node(1);
    for (setup, word) in [
        ("mv /dev/zfs /dev/zfs.away", "/dev/zfs"),
        (
            "mv /dev/zfs.away /dev/zfs; mkdir /root/away
             mv $(dirname $(ldconfig -p | grep -oE '/[^ ]*libzfs_core[.]so[.]3$'))/libzfs_core.so* /root/away/; ldconfig",
            "libzfs_core",
        ),
    ] {
        sh(node, setup);
        for arguments in ["list", "list -H tank", "replicate a/b c/d", "replicate a/b root@node1:c/d --dry-run"] {
            let output = replicator(node, arguments);
            assert_eq!(output.code(), 5, "{arguments}: {}", output.err());
            assert!(output.err().contains("hint: ") && output.err().contains(word), "{arguments}: {}", output.err());
        }
        for arguments in ["--version", "--help", "completion bash", "man replicate"] {
            assert_eq!(replicator(node, arguments).code(), 0, "{arguments}");
        }
    }
}

#[test]
fn output_into_a_closed_pipe_is_no_failure() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 2);
    let said = sh(
        node,
        "replicator list -r --type all tank | head -1; echo ${PIPESTATUS[0]}; replicator man | true; echo ${PIPESTATUS[0]}",
    );
    let codes: Vec<_> = said.lines().skip(1).collect();
    assert_eq!(codes, ["0", "0"], "{said}");
}
