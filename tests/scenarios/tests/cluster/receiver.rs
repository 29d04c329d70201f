//! `replicator setup receiver`: a user who may receive below one dataset, and what a thief of its key can do: with the key,
//! and even as that user. What such a user may not throw away, its machine does.

use std::time::Duration;

use lab::Node;
use lab::Output;

use crate::replicas::*;

const SETUP: &str = "setup receiver --root back/in --user keeper --key /tmp/stolen.pub";
const KEY: &str = "--far-end agent --identity /root/.ssh/stolen";

/// Noon of some day, in seconds since 1970.
const NOON: u64 = 1_795_435_200;
/// From one look to the next: a day, which is what one counts for, and more than a test takes.
const DAY: u64 = 25 * 3600;

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
    let allowed = "agent --root 'back/in' --allow list,receive,discard,bookmark,set-properties\"";
    assert!(keys().contains(allowed), "{}", keys());
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
    assert!(run(b, &SETUP.replace("stolen.pub", "none"), 2).contains("[R204]"));
    assert!(run(b, &SETUP.replace("/tmp/stolen.pub", "/etc/passwd"), 2).contains("[R203]"));
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
    let to = format!("tank/data keeper@node2:back/in/ssh {KEY}");
    replicate(a, &to);
    assert_same((a, "tank/data"), (b, "back/in/ssh"));

    // What is set on the source later follows, with something to send and without.
    let there = |property: &str| sh(b, &format!("zfs get -Hpo value {property} back/in/ssh"));
    sh(a, "zfs set compression=gzip-3 atime=off tank/data");
    let said = replicate(a, &to);
    assert!(!said.contains("keeps its properties"), "{said}");
    assert_eq!((there("compression"), there("atime")), ("gzip-3".to_string(), "off".to_string()));
    sh(a, "zfs set recordsize=1M tank/data");
    change(a, "tank/data", 3);
    replicate(a, &to);
    assert_eq!(there("recordsize"), "1048576");
    assert_same((a, "tank/data"), (b, "back/in/ssh"));
    // Others do not, whoever asks for them.
    sh(a, "zfs set org.example:note=mine tank/data");
    refused(a, &format!("{to} --properties default,'org.example:*'"), 4, &["may not be set", "--property"]);
    assert_eq!(there("org.example:note"), "-");
}

/// From now on this machine sees to what others send into.
fn receives(node: &Node) {
    sh(node, "mkdir -p -m 755 /etc/replicator");
    let text = "[[receive]]\nroot = \"back/in\"\npartial_for = \"2d\"\n";
    node.write_file("/etc/replicator/replicator.toml", text).expect("written");
    sh(node, "chmod 644 /etc/replicator/replicator.toml; replicator config check");
}

fn token(node: &Node, dataset: &str) -> String {
    sh(node, &format!("zfs get -Hpo value receive_resume_token {dataset}"))
}

/// Sends a part of a stream, and leaves what came of it.
fn break_off(from: &Node, to: &Node, send: &str, dataset: &str) {
    let stream = format!("zfs send {send} | head -c 1500000");
    sh(from, &format!("{stream} | ssh node2 zfs receive -s -u {dataset} || true"));
    assert!(token(to, dataset).starts_with("1-"), "{dataset}");
}

/// The key may not throw away what broke off. The machine does it by itself when nothing more has come for long, and never
/// what is fed now and then, or is just being received into.
#[test]
fn what_broke_off_goes_by_the_machine_itself_and_never_while_it_is_fed() {
    let cluster = nodes();
    let (a, b) = (cluster.node(1), cluster.node(2));
    run(b, SETUP, 0);
    replicate(a, &format!("tank/data keeper@node2:back/in/data {KEY}"));
    sh(
        a,
        "head -c 4000000 /dev/urandom > /tank/data/large; zfs snapshot tank/data@s2
         zfs create tank/large; head -c 6000000 /dev/urandom > /tank/large/file
         for n in 1 2 3 4; do echo $n > /tank/large/$n; done; zfs snapshot tank/large@s1",
    );
    receives(b);
    let day = |n: u64| sh(b, &format!("date --utc --set @{} > /dev/null", NOON + n * DAY));
    let prune = || run(b, "run --only prune", 0);
    let exists =
        |dataset: &str| sh(b, &format!("zfs list -H -o name {dataset} 2> /dev/null || true")) == dataset;
    day(0);
    break_off(a, b, "tank/large@s1", "back/in/left");
    break_off(a, b, "tank/large@s1", "back/in/fed");
    break_off(a, b, "-i @s1 tank/data@s2", "back/in/data");
    break_off(a, b, "tank/large@s1", "back/in-beside/part");
    // One that has got a part of a stream, and waits for the rest.
    sh(a, "zfs send tank/large@s1 | head -c 1500000 | ssh node2 'cat > /tmp/part'");
    let waits = "(cat /tmp/part; exec sleep 900) | zfs receive -s -u back/in/held";
    let held = b.script(waits).limit(Duration::from_secs(900)).spawn().expect("started");
    crate::faults::until("it is being received", Duration::from_secs(60), || exists("back/in/held"));
    let copies = guids(b, "back/in/data");

    assert!(!prune().contains("threw away"));
    day(1);
    assert!(!prune().contains("threw away"));
    // A slow sender comes once a day.
    let before = token(b, "back/in/fed");
    break_off(a, b, &format!("-t {before}"), "back/in/fed");
    assert_ne!(token(b, "back/in/fed"), before);
    day(2);
    let untouched = state(b);
    let said = run(b, "run --dry-run --only prune", 0);
    assert!(said.contains("back/in/left: throw away a receive that broke off"), "{said}");
    assert!(!said.contains("back/in/fed") && untouched == state(b), "{said}");
    let said = prune();
    for dataset in ["back/in/left", "back/in/data"] {
        assert!(said.contains(&format!("{dataset}: threw away a receive that broke off")), "{said}");
    }
    assert!(said.contains("2 partial receives thrown away"), "{said}");
    assert!(!exists("back/in/left") && token(b, "back/in/data") == "-");
    assert_eq!(guids(b, "back/in/data"), copies, "snapshots are never touched");
    assert!(!held.finished() && exists("back/in/held") && exists("back/in-beside/part"));
    assert!(
        said.contains("back/in/held: a receive that has got nothing for long is still going on"),
        "{said}"
    );
    held.kill();
    drop(held.wait());

    // Half of the time is over for what was fed last on the first day: it is told, everywhere.
    day(3);
    prune();
    let keeps = "back/in/fed keeps a receive that broke off";
    assert!(run(b, "check", 0).contains(keeps));
    assert!(run(b, "monitor replication", 1).contains(keeps));
    let screen = run(b, "status", 0).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(screen.contains(keeps), "{screen}");
    // It comes to its end, and is a copy like any other.
    let rest = token(b, "back/in/fed");
    sh(a, &format!("zfs send -t {rest} | ssh node2 zfs receive -s -u back/in/fed"));
    for n in 4..8 {
        day(n);
        prune();
    }
    assert_same((a, "tank/large"), (b, "back/in/fed"));
    assert!(token(b, "back/in-beside/part").starts_with("1-"), "it is none of its business");
    // The sender begins anew by itself where the receive that broke off is gone.
    replicate(a, &format!("tank/data keeper@node2:back/in/data {KEY}"));
    assert_same((a, "tank/data"), (b, "back/in/data"));
}

/// A sender that may not throw away what stands in its way says so, and who can.
#[test]
fn a_sender_that_may_not_throw_away_says_who_can() {
    let cluster = nodes();
    let (a, b) = (cluster.node(1), cluster.node(2));
    run(b, SETUP, 0);
    // Of a snapshot that the source does not have any more.
    sh(
        a,
        "zfs create tank/large; head -c 6000000 /dev/urandom > /tank/large/file
         for n in 1 2 3 4; do echo $n > /tank/large/$n; done; zfs snapshot tank/large@s1",
    );
    break_off(a, b, "tank/large@s1", "back/in/part");
    sh(a, "mkdir -p -m 755 /etc/replicator");
    let configure = |more: &str| {
        let text = format!(
            "[[replication]]\nname = \"data\"\nsource = \"tank/data\"\n{more}\n[[replication.target]]\nname = \"nas\"\n\
             to = \"keeper@node2:back/in/part\"\n[replication.target.ssh]\nfar_end = \"agent\"\n\
             identity = \"/root/.ssh/stolen\"\n"
        );
        a.write_file("/etc/replicator/replicator.toml", text).expect("written");
        sh(a, "chmod 644 /etc/replicator/replicator.toml");
    };
    let who = "replicator tokens --discard back/in/part";
    let before = state(b);
    configure("");
    for (command, code) in [("run --only replicate", 3), ("check", 1)] {
        let said = run(a, command, code);
        assert!(said.contains("cannot go on") && said.contains(who), "{said}");
    }
    // To be allowed by the sender's own configuration is not enough.
    configure("discard_partial = true");
    let said = run(a, "check", 0);
    assert!(said.contains("a run throws away what arrived of it") && said.contains(who), "{said}");
    let said = run(a, "run --only replicate", 1);
    assert!(
        said.contains("may not be thrown away") && said.contains(who) && said.contains("[R103]"),
        "{said}"
    );
    assert_eq!(before, state(b));
    // Who has the machine does it.
    run(b, "tokens --discard back/in/part", 0);
    run(a, "run --only replicate", 0);
    assert_same((a, "tank/data"), (b, "back/in/part"));
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
    // A stream that goes on from the older snapshot, as if the newer one were not there.
    change(a, "tank/data", 3);
    sh(a, "zfs send -i @s1 tank/data@s3 | ssh node2 'cat > /tmp/forced; chmod 644 /tmp/forced'");
    let force = "zfs receive -F -u back/in/data < /tmp/forced";
    let as_keeper = |command: &str| {
        b.sh(&format!("runuser -u keeper -- sh -c '{command}' > /dev/null")).expect("it ends").code()
    };
    let before = state(b);
    for command in [
        force,
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
        assert_ne!(as_keeper(command), 0, "{command}");
        assert_eq!(before, state(b), "{command}");
    }
    assert_eq!(sh(b, "grep '^back/in[/ ]\\| /back/in[/ ]' /proc/mounts || true"), "");
    // With the wider right of older versions it is another matter: by force it destroys what is newer. The check tells.
    sh(b, "zfs allow -u keeper receive back/in");
    let said = run(b, &format!("{SETUP} --check"), 0);
    assert!(said.contains("more than a receiver needs on back/in: receive"), "{said}");
    assert_eq!(as_keeper(force), 0);
    let left: Vec<_> =
        guids(b, "back/in/data").iter().map(|line| line.split('\t').next().map(str::to_string)).collect();
    assert_eq!(left, [Some("s1".to_string()), Some("s3".to_string())]);
}
