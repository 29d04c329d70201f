//! `--transport ssh`: the ssh program in place of libssh2. The same promises hold: both directions, host keys, refusals
//! told apart; and what only ssh can do, jump hosts and ssh_config. Cut and interrupted transfers are in `cuts` and others.

use std::time::Duration;

use crate::faults::grow;
use crate::replicas::*;

const SSH: &str = "--transport ssh";

/// What the ssh program leaves behind: processes and folders.
fn left_over(node: &lab::Node) -> String {
    sh(node, "sleep 1; pgrep -a -x ssh || true; ls -d /tmp/replicator-ssh-* 2>/dev/null || true")
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

/// F10: over the ssh program.
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
        refused(
            a,
            &format!("{route} /tmp/unknown {more}"),
            4,
            &["node2", "host key", "once by hand", "[R407]"],
        );
        refused(
            a,
            &format!("{route} /tmp/changed {more}"),
            4,
            &["HAS CHANGED", "/tmp/changed", "SHA256:", "[R407]"],
        );
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
        ("node2:back/x --port 9", 4, ["node2 port 9", "refused", "[R402]"]),
        ("nosuchhost.invalid:back/x", 4, ["nosuchhost.invalid", "spelling", "[R401]"]),
        ("root@node2:back/x -i /tmp/stranger", 4, ["/tmp/stranger", "authorized_keys", "[R409]"]),
        ("root@node2:back/x -i /tmp/missing", 4, ["/tmp/missing", "No such file", "[R409]"]),
        ("nobody@node2:back/x", 4, ["nobody@node2", "publickey", "[R409]"]),
        ("node2:back/x --ssh-option Nonsense=1", 1, ["configuration", "nonsense", "[R118]"]),
        ("node2:nopool/x", 1, ["nopool", "node2", "[R107]"]),
    ] {
        refused(a, &format!("tank/data {route} {SSH}"), code, &words);
    }
    refused(a, "tank/data node2:back/x --ssh-option Port=22", 2, &["--transport ssh"]);
    sh(a, "mkdir /tmp/bin; cp $(command -v replicator) /tmp/bin/");
    let output =
        a.sh("PATH=/tmp/bin replicator replicate tank/data node2:back/x --transport ssh").expect("ran");
    assert_eq!(output.code(), 4, "{}", output.err());
    assert!(output.err().contains("openssh-client") && output.err().contains("[R408]"), "{}", output.err());
    assert_eq!(left_over(a), "");
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
    grow(a, "tank/data", 1);
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
    sh(b, "for i in $(seq 100); do zfs list back/data >/dev/null 2>&1 && break; sleep 0.1; done; sleep 1");
    sh(a, "pkill -9 -x ssh");
    let output = process.wait().expect("it ends");
    assert_eq!(output.code(), 4, "{}", output.err());
    assert!(output.err().contains("again"), "{}", output.err());
    assert_eq!(left_over(a), "");
}
