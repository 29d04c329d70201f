//! Who we are to the other machine, whether it answers, and which shell reads our commands there.

use crate::replicas::*;

#[test]
fn a_refused_connection_and_an_unknown_name_are_told_apart() {
    let cluster = pair();
    let node = cluster.node(1);
    fill(node, "tank/data", 1);
    refused(node, "tank/data node2:back/x --port 9", 4, &["node2 port 9", "refused", "--port", "[R402]"]);
    refused(
        node,
        "tank/data nosuchhost.invalid:back/x --connect-timeout 20",
        4,
        &["nosuchhost.invalid", "spelling", "[R401]"],
    );
}

/// F05: while it connects.
#[test]
fn a_machine_that_is_silent_is_given_up_in_time() {
    let cluster = pair();
    let node = cluster.node(1);
    fill(node, "tank/data", 1);
    cluster.link(1, 2).cut();
    refused(node, "tank/data node2:back/x --connect-timeout 3", 4, &["node2", "timed out"]);
}

#[test]
fn a_server_that_starts_no_commands_is_told_from_a_connection_that_ends() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    sh(b, "$(command -v sshd) -p 2222 -o MaxSessions=0");
    let key = "ssh-keyscan node2 2>/dev/null | sed 's/^[^ ]*/[node2]:2222/' >> /root/.ssh/known_hosts";
    sh(a, key);
    refused(a, "tank/data node2:back/x --port 2222", 4, &["root@node2", "does not start commands", "[R411]"]);
}

#[test]
fn keys_come_from_files_and_from_the_agent_and_refusals_name_them() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    let before = state(b);
    sh(
        a,
        "ssh-keygen -q -t ed25519 -N '' -f /tmp/stranger
         ssh-keygen -q -t ed25519 -N secret -f /tmp/locked
         ssh node2 'cat >> /root/.ssh/authorized_keys' < /tmp/locked.pub
         cp /tmp/stranger /tmp/open; chmod 644 /tmp/open",
    );
    refused(
        a,
        "tank/data node2:back/x --identity /tmp/stranger",
        4,
        &["/tmp/stranger", "authorized_keys", "[R409]"],
    );
    refused(
        a,
        "tank/data node2:back/x -i /tmp/locked",
        4,
        &["/tmp/locked", "passphrase", "ssh-add", "[R409]"],
    );
    refused(a, "tank/data node2:back/x -i /tmp/open", 4, &["/tmp/open", "chmod 600"]);
    refused(a, "tank/data node2:back/x -i /tmp/missing", 4, &["/tmp/missing", "No such file"]);
    refused(a, "tank/data nobody@node2:back/x", 4, &["nobody@node2", "[R409]"]);
    assert_eq!(before, state(b));
    // With the agent the locked key works, named and unnamed.
    let said = sh(
        a,
        "printf '#!/bin/sh\\necho secret\\n' > /tmp/ask; chmod +x /tmp/ask; eval $(ssh-agent) >/dev/null
         SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=/tmp/ask ssh-add -q /tmp/locked
         replicator replicate tank/data node2:back/named -i /tmp/locked
         mkdir /tmp/home; mkdir /tmp/home/.ssh; cp /root/.ssh/known_hosts /tmp/home/.ssh/ 2>/dev/null || true
         HOME=/tmp/home replicator replicate tank/data root@node2:back/unnamed
         ssh-agent -k >/dev/null",
    );
    assert_eq!(said.matches("up to date now").count(), 2, "{said}");
    assert_same((a, "tank/data"), (b, "back/named"));
    assert_same((a, "tank/data"), (b, "back/unnamed"));
}

#[test]
fn any_login_shell_will_do() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/it has space", 1);
    for (n, shell) in ["/bin/sh", "/bin/bash", "/usr/bin/tcsh", "/usr/bin/fish"].into_iter().enumerate() {
        sh(b, &format!("[ -x {shell} ]; usermod -s {shell} root"));
        assert!(sh(a, "ssh node2 'echo $0 $version'").contains("sh") || n > 0);
        let target = format!("back/shell {n}");
        replicate(a, &format!("'tank/it has space' 'node2:{target}'"));
        assert_same((a, "tank/it has space"), (b, &target));
    }
}

#[test]
fn rights_that_were_delegated_are_enough_and_missing_ones_are_named() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    sh(
        b,
        "useradd -m -s /bin/bash -p '*' keeper; mkdir -p /home/keeper/.ssh; cp /root/.ssh/authorized_keys /home/keeper/.ssh/
         chown -R keeper: /home/keeper/.ssh; chmod 700 /home/keeper/.ssh; zfs create back/keeper; chmod 666 /dev/zfs",
    );
    let before = state(b);
    refused(
        a,
        "tank/data keeper@node2:back/keeper/data",
        1,
        &["keeper@node2", "back/keeper/data", "zfs allow", "[R103]"],
    );
    assert_eq!(before, state(b));
    sh(b, "zfs allow keeper create,mount,receive,readonly,canmount back/keeper");
    replicate(a, "tank/data keeper@node2:back/keeper/data");
    assert_same((a, "tank/data"), (b, "back/keeper/data"));
}
