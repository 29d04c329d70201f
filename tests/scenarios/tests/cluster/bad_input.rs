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
                assert!(output.err().contains(" [R201]"), "{arguments:?}\n{}", output.err());
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
        assert!(output.err().contains(" [R201]"), "{machine}\n{}", output.err());
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
    refused(a, "tank/nothing node2:back/x", 1, &["tank/nothing", "this machine", "[R106]"]);
    refused(b, "node1:tank/nothing back/x", 1, &["tank/nothing", "root@node1", "[R106]"]);
    refused(a, "nopool/data node2:back/x", 1, &["nopool"]);
    refused(a, "tank/data node2:nopool/x", 1, &["nopool", "root@node2", "[R107]"]);
    refused(a, "tank/data nopool/x", 1, &["nopool", "this machine", "[R107]"]);
    refused(a, "tank/empty node2:back/x", 3, &["tank/empty", "zfs snapshot", "[R301]"]);
    refused(a, "tank/data tank/data", 2, &["are the same", "[R202]"]);
    refused(a, "node2:back/a node1:tank/b", 1, &["root@node2", "no dataset back/a", "[R106]"]);
    let none = replicator(a, "tokens --discard tank/data");
    assert!(
        none.code() == 1 && none.err().contains("tank/data has no partial receive [R126]"),
        "{}",
        none.err()
    );
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
    refused(
        a,
        "tank/data node2:back/data",
        5,
        &["root@node2 has no zfs command", "install OpenZFS", "[R500]"],
    );
    refused(a, "node2:back/data tank/new", 5, &["root@node2 has no zfs command"]);
    sh(b, "for f in /sbin/zfs /usr/sbin/zfs /usr/local/sbin/zfs; do [ ! -e $f.away ] || mv $f.away $f; done");
    assert_eq!(sh(b, "zfs list -H -o name"), "back");
    assert_eq!(before, state(a));
}

#[test]
fn without_zfs_every_command_says_what_is_missing() {
    let cluster = lab::Cluster::boot(1).expect("a node");
    let node = cluster.node(1);
    // A user who may not.
    sh(node, "chmod 600 /dev/zfs");
    let denied = node.sh("runuser -u nobody -- replicator list").expect("the node answers");
    assert_eq!(denied.code(), 5, "{}", denied.err());
    assert!(denied.err().contains("[R503]\nhint: "), "{}", denied.err());
    sh(node, "chmod 666 /dev/zfs");
    for (setup, word, code) in [
        ("mv /dev/zfs /dev/zfs.away", "/dev/zfs", "[R502]"),
        (
            "mv /dev/zfs.away /dev/zfs; mkdir /root/away
             mv $(dirname $(ldconfig -p | grep -oE '/[^ ]*libzfs_core[.]so[.]3$'))/libzfs_core.so* /root/away/; ldconfig",
            "libzfs_core",
            "[R501]",
        ),
    ] {
        sh(node, setup);
        for arguments in ["list", "list -H tank", "replicate a/b c/d", "replicate a/b root@node1:c/d --dry-run"] {
            let output = replicator(node, arguments);
            assert_eq!(output.code(), 5, "{arguments}: {}", output.err());
            for part in ["hint: ", word, code] {
                assert!(output.err().contains(part), "{arguments}: {}", output.err());
            }
        }
        for arguments in ["--version", "--help", "completion bash", "man replicate"] {
            assert_eq!(replicator(node, arguments).code(), 0, "{arguments}");
        }
    }
}

/// A dataset with late snapshots, of which somebody is told, and a job.
const CONFIGURATION: &str = "[notify]\ncommand = \"echo $REPLICATOR_CHECK >> /root/told\"\n\
    [[dataset]]\nname = \"tank/data\"\nhourly = 2\n\
    [[replication]]\nname = \"copy\"\nsource = \"tank/data\"\n[[replication.target]]\nto = \"back/data\"\n";

/// A line for each command that prints something there.
const PRINTING: [&str; 43] = [
    "list -r --type all tank",
    "list --json tank",
    "plan tank/data back/new",
    "replicate tank/data back/data",
    "replicate --json tank/data back/data",
    "compare tank/data back/data",
    "tokens",
    "bookmarks tank/data",
    "holds tank",
    "restore versions /tank/data/changed --only-here",
    "restore rollback tank/data@s1 --dry-run",
    "run --dry-run",
    "run --json --only check",
    "snapshot --dry-run",
    "prune --dry-run",
    "prune --explain tank/data",
    "pair resource-agent",
    "config check",
    "config show",
    "config import --root /root/old",
    "shadow --root /root/old",
    "status",
    "status --json",
    "report",
    "monitor snapshots",
    "monitor health",
    "monitor health --json",
    "monitor capacity",
    "monitor replication",
    "monitor verified",
    "monitor metrics",
    "monitor notify --dry-run",
    "check",
    "verify",
    "sanoid --version",
    "sanoid --configdir=/root/old/etc/sanoid --monitor-health",
    "syncoid -- --help",
    "setup receiver --root back/in --user keeper --key /root/k.pub --dry-run",
    "explain R315",
    "version",
    "completion bash",
    "man",
    "man replicate",
];

/// What speaks with another program, and what the parser adds.
const NOT_PRINTING: [&str; 2] = ["agent", "help"];

#[test]
fn output_into_a_closed_pipe_is_no_failure() {
    let cluster = alone();
    let node = cluster.node(1);
    fill(node, "tank/data", 2);
    sh(
        node,
        "umask 022; mkdir -p /etc/replicator /root/old/etc/sanoid; chmod 755 /root
         printf '[tank/data]\\n\\tdaily = 1\\n' > /root/old/etc/sanoid/sanoid.conf
         useradd --system --create-home --shell /bin/sh keeper; ssh-keygen -q -t ed25519 -N '' -f /root/k",
    );
    node.write_file("/etc/replicator/replicator.toml", CONFIGURATION).expect("written");
    sh(
        node,
        "chmod 644 /etc/replicator/replicator.toml; replicator replicate tank/data back/data; replicator verify",
    );
    // A pipe whose reader has gone before the first byte is written.
    node.write_file(
        "/root/closed",
        "rm -f /root/pipe; mkfifo /root/pipe; exec 3<>/root/pipe 4>/root/pipe 3>&-; exec \"$@\" >&4 4>&-\n",
    )
    .expect("written");
    let closed = |arguments: &str| {
        let output = node.sh(&format!("bash /root/closed replicator {arguments}")).expect("the node answers");
        let err = output.err();
        for word in ["Broken pipe", "R101", "panicked"] {
            assert!(!err.contains(word), "{arguments}: {err}");
        }
        output.code()
    };
    for arguments in PRINTING.into_iter().chain(["--help", "--version"]) {
        let read = replicator(node, arguments);
        assert!(
            !read.out().is_empty(),
            "{arguments} prints nothing, so that nothing is tested: {}",
            read.err()
        );
        assert_eq!(closed(arguments), read.code(), "{arguments}: {}", read.err());
    }
    // Who is to be told is told, whoever reads the output.
    sh(node, "rm -f /root/told");
    assert_eq!(closed("monitor notify"), 0);
    assert!(sh(node, "cat /root/told").contains("snapshots"));
    // No command is left out.
    let help = replicator(node, "--help").out();
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named: Vec<_> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(named.len() > 20, "{help}");
    for command in named {
        let known = PRINTING.iter().any(|line| line.split(' ').next() == Some(command));
        assert!(known || NOT_PRINTING.contains(&command), "{command} is not tested");
    }
}
