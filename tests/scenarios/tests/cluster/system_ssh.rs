//! `--transport ssh`: the ssh program in place of libssh2. The same promises hold: both directions, host keys, refusals
//! told apart, cut and interrupted transfers that go on; and what only ssh can do, jump hosts and ssh_config.

use std::time::Duration;

use crate::replicas::*;

const SSH: &str = "--transport ssh";

/// What the ssh program leaves behind: processes and folders.
fn left_over(node: &lab::Node) -> String {
    sh(node, "sleep 1; pgrep -a -x ssh || true; ls -d /tmp/replicator-ssh-* 2>/dev/null || true")
}

fn token(node: &lab::Node, dataset: &str) -> String {
    sh(node, &format!("zfs get -H -o value receive_resume_token '{dataset}'"))
}

/// Big enough to be cut in the middle of one stream.
fn fill_big(node: &lab::Node, dataset: &str) {
    sh(
        node,
        &format!(
            "zfs create '{dataset}'; for i in 1 2 3 4 5 6; do head -c 4000000 /dev/urandom > /{dataset}/f$i; done; \
             zfs snapshot '{dataset}@s1'"
        ),
    );
}

#[test]
fn push_and_pull_over_one_connection_each_and_nothing_stays() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/with a  space", 2);
    let logins = |node| -> u32 {
        let count = "cat /var/log/auth.log /tmp/sshd.log 2>/dev/null | grep -c 'Accepted publickey' || true";
        sh(node, count).parse().expect("a number")
    };
    // A server of our own whose log is counted.
    for node in [a, b] {
        sh(node, "$(command -v sshd) -p 2222 -E /tmp/sshd.log");
        let other = if node.name() == a.name() { "node2" } else { "node1" };
        sh(
            node,
            &format!(
                "ssh-keyscan {other} 2>/dev/null | sed 's/^[^ ]*/[{other}]:2222/' >> /root/.ssh/known_hosts"
            ),
        );
    }
    for round in 3..5 {
        let (at_a, at_b) = (logins(a), logins(b));
        replicate(a, &format!("'tank/with a  space' 'root@node2:back/pushed to' --port 2222 {SSH}"));
        replicate(b, &format!("'node1:tank/with a  space' back/pulled --port 2222 {SSH}"));
        assert_eq!((logins(a) - at_a, logins(b) - at_b), (1, 1));
        assert_same((a, "tank/with a  space"), (b, "back/pushed to"));
        assert_same((a, "tank/with a  space"), (b, "back/pulled"));
        change(a, "tank/with a  space", round);
    }
    for node in [a, b] {
        assert_eq!(left_over(node), "");
    }
}

#[test]
fn an_unknown_and_a_changed_host_key_are_refused_whatever_the_options_say() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let before = state(b);
    sh(
        a,
        "ssh-keygen -q -t ed25519 -N '' -f /tmp/other; echo '# nobody' > /tmp/unknown
           echo \"node2 $(cat /tmp/other.pub)\" > /tmp/changed",
    );
    let route = format!("tank/data root@node2:back/data {SSH} --known-hosts");
    let tricks = "--ssh-option StrictHostKeyChecking=no --ssh-option BatchMode=no";
    for more in ["", tricks] {
        refused(a, &format!("{route} /tmp/unknown {more}"), 4, &["node2", "host key", "once by hand"]);
        refused(a, &format!("{route} /tmp/changed {more}"), 4, &["HAS CHANGED", "/tmp/changed", "SHA256:"]);
    }
    assert_eq!(sh(a, "cat /tmp/unknown; wc -l < /tmp/changed"), "# nobody\n1");
    assert_eq!(before, state(b));
    sh(a, "ssh-keyscan node2 > /tmp/unknown 2>/dev/null");
    replicate(a, &format!("{route} /tmp/unknown"));
    assert_eq!(left_over(a), "");
}

#[test]
fn refusals_are_told_apart() {
    let cluster = pair();
    let a = cluster.node(1);
    fill(a, "tank/data", 1);
    sh(a, "ssh-keygen -q -t ed25519 -N '' -f /tmp/stranger");
    for (route, code, words) in [
        ("node2:back/x --port 9", 4, ["node2 port 9", "refused"]),
        ("nosuchhost.invalid:back/x", 4, ["nosuchhost.invalid", "spelling"]),
        ("root@node2:back/x -i /tmp/stranger", 4, ["/tmp/stranger", "authorized_keys"]),
        ("root@node2:back/x -i /tmp/missing", 4, ["/tmp/missing", "No such file"]),
        ("nobody@node2:back/x", 4, ["nobody@node2", "publickey"]),
        ("node2:back/x --ssh-option Nonsense=1", 1, ["configuration", "nonsense"]),
        ("node2:nopool/x", 1, ["nopool", "node2"]),
    ] {
        refused(a, &format!("tank/data {route} {SSH}"), code, &words);
    }
    refused(a, "tank/data node2:back/x --ssh-option Port=22", 2, &["--transport ssh"]);
    sh(a, "mkdir /tmp/bin; cp $(command -v replicator) /tmp/bin/");
    let output =
        a.sh("PATH=/tmp/bin replicator replicate tank/data node2:back/x --transport ssh").expect("ran");
    assert_eq!(output.code(), 4, "{}", output.err());
    assert!(output.err().contains("openssh-client"), "{}", output.err());
    assert_eq!(left_over(a), "");
}

#[test]
fn a_cut_network_is_noticed_and_the_transfer_goes_on_both_ways() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    let link = cluster.link(1, 2);
    for (node, route, target, peer) in [
        (a, "tank/data node2:back/pushed", "back/pushed", "node2"),
        (b, "node1:tank/data back/pulled", "back/pulled", "node1"),
    ] {
        link.drop_after(12_000_000);
        refused(node, &format!("{route} --idle-timeout 4 --retries 0 {SSH}"), 4, &[peer, "again"]);
        assert!(link.wait_silent(Duration::from_secs(1)), "the cut did not happen");
        link.heal();
        sh(b, "pkill -x sshd-session || true; sleep 1");
        assert!(token(b, target).starts_with("1-"));
        let said = replicate(node, &format!("{route} {SSH}"));
        assert!(said.contains("resume full @s1"), "{said}");
        assert_same((a, "tank/data"), (b, target));
        assert_eq!(left_over(node), "");
    }
}

#[test]
fn ctrl_c_leaves_nothing_running_and_the_next_run_goes_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    cluster.link(1, 2).bandwidth(Some(3_000_000));
    for (node, other, route, target) in [
        (a, b, "tank/data node2:back/pushed", "back/pushed"),
        (b, a, "node1:tank/data back/pulled", "back/pulled"),
    ] {
        let process = node
            .command("replicator")
            .args(["replicate"].into_iter().chain(route.split(' ')).chain(SSH.split(' ')))
            .limit(Duration::from_secs(100))
            .spawn()
            .expect("started");
        sh(
            b,
            &format!(
                "for i in $(seq 100); do zfs list {target} >/dev/null 2>&1 && break; sleep 0.1; done; sleep 2"
            ),
        );
        process.signal(2);
        let output = process.wait().expect("it ends");
        assert_eq!(output.code(), 6, "{}", output.err());
        sh(
            b,
            &format!(
                "for i in $(seq 50); do zfs get -H -o value receive_resume_token {target} | grep -q ^1- && break; sleep 0.2; done"
            ),
        );
        assert!(token(b, target).starts_with("1-"));
        assert_eq!(left_over(node), "");
        assert_eq!(sh(other, "pgrep -a -x zfs || true"), "");
        let said = replicate(node, &format!("{route} {SSH}"));
        assert!(said.contains("resume full @s1"), "{said}");
        assert_same((a, "tank/data"), (b, target));
    }
}

#[test]
fn a_jump_host_and_a_name_of_ssh_config_work_and_it_cannot_ask() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    // Through this very machine to the other, under a name that only ssh_config knows.
    sh(
        a,
        "printf 'Host vault\\n HostName node2\\n User root\\n ProxyJump root@localhost\\n HostKeyAlias node2\\n' > /root/.ssh/config
         chmod 600 /root/.ssh/config",
    );
    replicate(a, &format!("tank/data vault:back/data {SSH}"));
    assert_same((a, "tank/data"), (b, "back/data"));
    // A jump host that would ask for a password or for its host key: there is nobody to ask.
    sh(a, "sed -i 's/root@localhost/nobody@localhost/' /root/.ssh/config");
    let said = refused(a, &format!("tank/data vault:back/data {SSH}"), 4, &["vault"]);
    assert!(!said.contains("assword:"), "{said}");
    assert_eq!(left_over(a), "");
}

#[test]
fn a_command_that_ends_with_255_or_by_a_signal_is_no_broken_connection_and_the_other_way_round() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    sh(b, "z=$(command -v zfs); echo $z > /tmp/where; mv $z $z.real");
    for (last, word) in [("exit 255", "odd"), ("kill -9 $$", "odd"), ("exec 2>&-; exit 255", "255")] {
        let odd = if word == "odd" { "echo odd >&2; " } else { "" };
        sh(b, &format!("z=$(cat /tmp/where); echo '#!/bin/sh' > $z; echo '{odd}{last}' >> $z; chmod +x $z"));
        refused(a, &format!("tank/data node2:back/data {SSH}"), 1, &["node2", word]);
    }
    sh(b, "z=$(cat /tmp/where); mv $z.real $z");
    cluster.link(1, 2).bandwidth(Some(3_000_000));
    let process = a
        .script(&format!("replicator replicate tank/data node2:back/data --retries 0 {SSH}"))
        .limit(Duration::from_secs(100))
        .spawn()
        .expect("started");
    sh(b, "for i in $(seq 100); do zfs list back/data >/dev/null 2>&1 && break; sleep 0.1; done; sleep 2");
    sh(a, "pkill -9 -x ssh");
    let output = process.wait().expect("it ends");
    assert_eq!(output.code(), 4, "{}", output.err());
    assert!(output.err().contains("again"), "{}", output.err());
    assert_eq!(left_over(a), "");
}

#[test]
fn a_run_that_was_killed_leaves_no_connection_for_long() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_big(a, "tank/data");
    cluster.link(1, 2).bandwidth(Some(3_000_000));
    let process = a
        .script(&format!("replicator replicate tank/data node2:back/data {SSH}"))
        .limit(Duration::from_secs(100))
        .spawn()
        .expect("started");
    sh(b, "for i in $(seq 100); do zfs list back/data >/dev/null 2>&1 && break; sleep 0.1; done; sleep 2");
    assert!(sh(a, "pgrep -c -x ssh; pkill -9 -x replicator").parse::<u32>().expect("a number") >= 2);
    assert_ne!(process.wait().expect("it ends").code(), 0);
    let ends =
        "for i in $(seq 200); do pgrep -x ssh > /dev/null || exit 0; sleep 1; done; pgrep -a -x ssh; exit 1";
    let output = a.script(ends).limit(Duration::from_secs(250)).run().expect("the node answers");
    assert_eq!(output.code(), 0, "{}", output.out());
    let said = replicate(a, &format!("tank/data node2:back/data {SSH}"));
    assert!(said.contains("resume full @s1"), "{said}");
    assert_same((a, "tank/data"), (b, "back/data"));
}
