//! `replicator setup receiver`: a user who may receive below one dataset, and what a thief of its key can do: with the key,
//! and even as that user.

use lab::Node;
use lab::Output;

use crate::replicas::*;

const SETUP: &str = "setup receiver --root back/in --user keeper --key /tmp/stolen.pub";
const KEY: &str = "--far-end agent --identity /root/.ssh/stolen";

/// Runs the program, which must end with this status; everything that it said.
fn run(node: &Node, arguments: &str, code: i32) -> String {
    judged(arguments, &replicator(node, arguments), code)
}

fn judged(what: &str, output: &Output, code: i32) -> String {
    let said = format!("{}\n{}", output.out(), output.err());
    assert_eq!(output.code(), code, "{what}\n{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Two nodes: one with data and a key, and one with a user who has never logged in, and with data that are not for it.
fn nodes() -> lab::Cluster {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let key =
        sh(a, "ssh-keygen -q -t ed25519 -N '' -C thief -f /root/.ssh/stolen; cat /root/.ssh/stolen.pub");
    sh(
        b,
        "useradd --system --create-home --shell /bin/sh keeper; zfs create back/secret; echo 1 > /back/secret/file",
    );
    sh(b, "zfs snapshot back/secret@s; zfs create back/in-beside");
    b.write_file("/tmp/stolen.pub", format!("{key}\n")).expect("written");
    cluster
}

#[test]
fn a_receiver_is_set_up_once_shown_before_and_checked_after() {
    let cluster = nodes();
    let (a, b) = (cluster.node(1), cluster.node(2));
    let keys = || sh(b, "cat /home/keeper/.ssh/authorized_keys 2>/dev/null || true");
    let before = (state(b), keys());
    let shown = run(b, &format!("{SETUP} --dry-run"), 0);
    for step in ["usermod", "zfs create -o canmount=off", "zfs allow -u keeper receive", "restrict,command="]
    {
        assert!(shown.contains(step), "{step:?} is not in\n{shown}");
    }
    assert!(run(b, &format!("{SETUP} --check"), 1).contains("[R131]"));
    assert_eq!(before, (state(b), keys()));
    let done = run(b, SETUP, 0);
    assert!(done.contains("all is good"), "{done}");
    assert!(keys().contains("agent --root 'back/in'\""), "{}", keys());
    // Again it has nothing to do.
    let before = (state(b), keys());
    let done = run(b, SETUP, 0);
    assert!(!done.contains("zfs allow") && !done.contains("authorized_keys:"), "{done}");
    assert!(run(b, &format!("{SETUP} --dry-run"), 0).contains("nothing is left to do"));
    run(b, &format!("{SETUP} --check"), 0);
    assert_eq!(before, (state(b), keys()));
    // The same key for something else is no line of its own, and nobody becomes more than a receiver.
    assert!(run(b, &SETUP.replace("back/in", "back/other"), 3).contains("[R340]"));
    assert!(run(b, &SETUP.replace("keeper", "nobody-at-all"), 1).contains("[R130]"));
    assert!(run(b, &SETUP.replace("keeper", "root"), 2).contains("root"));
    assert!(run(b, &SETUP.replace("stolen.pub", "none"), 2).contains("[R203]"));
    sh(b, "zfs allow -u keeper destroy back/in");
    assert!(
        run(b, &format!("{SETUP} --check"), 0).contains("more than a receiver needs on back/in: destroy")
    );
    sh(b, "zfs unallow -u keeper destroy back/in");

    // And it receives, properties with it.
    sh(a, "zfs set compression=zstd tank/data");
    for transport in ["libssh2", "ssh"] {
        let to = format!("keeper@node2:back/in/{transport}");
        let said = replicate(a, &format!("tank/data {to} {KEY} --transport {transport}"));
        assert!(!said.contains("keeps its properties"), "{said}");
        assert_same((a, "tank/data"), (b, &format!("back/in/{transport}")));
        let compression = sh(b, &format!("zfs get -Hpo value compression back/in/{transport}"));
        assert_eq!(compression, "zstd");
    }
    change(a, "tank/data", 2);
    replicate(a, &format!("tank/data keeper@node2:back/in/ssh {KEY}"));
    assert_same((a, "tank/data"), (b, "back/in/ssh"));
}

/// With the key alone, whatever the asking end starts.
#[test]
fn a_stolen_key_adds_nothing_outside_destroys_nothing_and_reads_nothing() {
    let cluster = nodes();
    let (a, b) = (cluster.node(1), cluster.node(2));
    run(b, SETUP, 0);
    replicate(a, &format!("tank/data keeper@node2:back/in/data {KEY}"));
    change(a, "tank/data", 2);
    // What broke off is kept, and the key cannot take it away.
    sh(a, "zfs send tank/data@s1 | head -c 600000 | ssh node2 zfs receive -s -u back/in/part || true");
    assert_ne!(sh(b, "zfs get -Hpo value receive_resume_token back/in/part"), "-");
    let before = (state(b), sh(b, "cat /home/keeper/.ssh/authorized_keys; ls /tmp"));
    // Nothing is added outside.
    for target in ["back/secret", "back/other", "back/in-beside", "back/in-beside/x", "back"] {
        refused(
            a,
            &format!("tank/data keeper@node2:{target} {KEY}"),
            4,
            &["does not allow", "--root", "[R415]"],
        );
    }
    for more in ["--set mountpoint=/etc", "--set sharenfs=on", "--set setuid=on"] {
        refused(a, &format!("tank/data keeper@node2:back/in/x {KEY} {more}"), 4, &["--property"]);
    }
    // Nothing is listed outside.
    for command in ["tokens -r", "bookmarks -r", "holds -r"] {
        for outside in ["back", "back/secret", "back/in-beside"] {
            let said = run(a, &format!("{command} keeper@node2:{outside} {KEY}"), 4);
            assert!(!said.contains("secret@s") && !said.contains("secret/"), "{said}");
        }
    }
    // Nothing is read.
    refused(a, &format!("keeper@node2:back/in/data tank/stolen {KEY}"), 4, &["--allow send"]);
    refused(a, &format!("keeper@node2:back/secret tank/stolen {KEY}"), 4, &["does not allow"]);
    let said =
        run(a, &format!("compare tank/data keeper@node2:back/in/data --content --snapshot s1 {KEY}"), 4);
    assert!(said.contains("--allow read"), "{said}");
    // Nothing is destroyed, renamed or rolled back.
    sh(b, "zfs snapshot back/in/data@theirs");
    let before_rest = state(b);
    refused(a, &format!("tank/data keeper@node2:back/in/data {KEY} --divergence preserve"), 4, &["--allow"]);
    assert_eq!(before_rest, state(b));
    sh(b, "zfs destroy back/in/data@theirs");
    let said = run(a, &format!("tokens keeper@node2:back/in/part {KEY}"), 0);
    assert!(said.contains("back/in/part"), "{said}");
    assert_ne!(replicator(a, &format!("tokens --discard keeper@node2:back/in/part {KEY}")).code(), 0);
    // Nor is there a shell, a file or the zfs command.
    for asked in
        ["id; touch /tmp/pwned", "zfs list", "cat /etc/shadow", "replicator agent --everywhere --allow all"]
    {
        let said = sh(
            a,
            &format!(
                "timeout 5 ssh -i /root/.ssh/stolen -o IdentitiesOnly=yes keeper@node2 '{asked}' < /dev/null | tr -d '\\0' || true"
            ),
        );
        assert!(said.contains("replicator-agent"), "{asked}: {said}");
        assert!(
            !said.contains("uid=") && !said.contains("root:") && !said.contains("back/"),
            "{asked}: {said}"
        );
    }
    let forward = "timeout 5 ssh -i /root/.ssh/stolen -o IdentitiesOnly=yes -o ExitOnForwardFailure=yes -W 127.0.0.1:22 keeper@node2 < /dev/null";
    assert_ne!(a.sh(forward).expect("it ends").code(), 0);
    let after = (state(b), sh(b, "cat /home/keeper/.ssh/authorized_keys; ls /tmp"));
    assert_eq!(before, after);
    // Who has the machine throws away what the key may not.
    run(b, "tokens --discard back/in/part", 0);
}

/// Should a thief become the user by another way, the rights of ZFS are what is left: they are those of a receiver.
#[test]
fn as_the_user_itself_a_thief_destroys_reads_and_leaves_nothing() {
    let cluster = nodes();
    let (a, b) = (cluster.node(1), cluster.node(2));
    run(b, SETUP, 0);
    replicate(a, &format!("tank/data keeper@node2:back/in/data {KEY}"));
    change(a, "tank/data", 2);
    replicate(a, &format!("tank/data keeper@node2:back/in/data {KEY}"));
    let before = state(b);
    for command in [
        "zfs destroy back/in/data@s1",
        "zfs destroy -r back/in/data",
        "zfs destroy back/secret@s",
        "zfs rollback -r back/in/data@s1",
        "zfs rename back/in/data back/in/gone",
        "zfs promote back/in/data",
        "zfs clone back/in/data@s2 back/in/clone",
        "zfs send back/in/data@s2",
        "zfs send back/secret@s",
        "zfs diff back/in/data@s1 back/in/data@s2",
        "zfs set mountpoint=/etc back/in/data",
        "zfs set setuid=on back/in/data",
        "zfs set sharenfs=on back/in/data",
        "zfs mount back/in/data",
        "zfs create back/outside",
        "zfs snapshot back/secret@mine",
        "zfs allow -u keeper destroy back/in",
        "zpool export back",
    ] {
        let output = b.sh(&format!("runuser -u keeper -- {command} > /dev/null")).expect("it ends");
        assert_ne!(output.code(), 0, "{command}");
        assert_eq!(before, state(b), "{command}");
    }
    assert_eq!(sh(b, "grep '^back/in[/ ]\\| /back/in[/ ]' /proc/mounts || true"), "");
}
