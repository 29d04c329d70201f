//! Host keys: known, unknown, changed, revoked, and one of several. A refusal happens before anything was said.

use crate::replicas::*;

/// node1 with a snapshot to push, and a known_hosts file of our own with this content.
fn with_known_hosts(content: &str) -> (lab::Cluster, String) {
    let cluster = pair();
    fill(cluster.node(1), "tank/data", 1);
    sh(cluster.node(1), &format!("{content} > /tmp/known"));
    let before = state(cluster.node(2));
    (cluster, before)
}

const ROUTE: &str = "tank/data node2:back/data --known-hosts /tmp/known";

/// F10: over libssh2, as all of this file.
#[test]
fn an_unknown_host_is_refused_with_file_fingerprint_and_fix() {
    let (cluster, before) = with_known_hosts("echo '# nobody'");
    let said = refused(
        cluster.node(1),
        ROUTE,
        4,
        &["node2", "/tmp/known", "SHA256:", "ssh-keyscan node2 >> /tmp/known", "[R405]"],
    );
    let real = sh(cluster.node(2), "for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done");
    let shown =
        said.split("SHA256:").nth(1).and_then(|rest| rest.split([',', ' ']).next()).expect("a fingerprint");
    assert!(real.contains(shown), "{shown} is none of\n{real}");
    assert_eq!(before, state(cluster.node(2)));
    // The fix that was proposed is one.
    sh(cluster.node(1), "ssh-keyscan node2 >> /tmp/known 2>/dev/null");
    replicate(cluster.node(1), ROUTE);
}

/// F10: somebody else answers.
#[test]
fn a_changed_host_key_is_refused_with_file_and_line() {
    let make = "ssh-keygen -q -t ed25519 -N '' -f /tmp/other; (echo '# comment'; echo \"node2 $(cat /tmp/other.pub)\")";
    let (cluster, before) = with_known_hosts(make);
    refused(
        cluster.node(1),
        ROUTE,
        4,
        &["HAS CHANGED", "/tmp/known, line 2", "SHA256:", "ssh-keygen -f /tmp/known -R 'node2'", "[R406]"],
    );
    assert_eq!(before, state(cluster.node(2)));
    sh(cluster.node(1), "ssh-keygen -f /tmp/known -R node2; ssh-keyscan node2 >> /tmp/known 2>/dev/null");
    replicate(cluster.node(1), ROUTE);
}

#[test]
fn each_single_key_type_and_a_hashed_file_are_enough() {
    let (cluster, _) = with_known_hosts("true");
    let (a, b) = (cluster.node(1), cluster.node(2));
    let kinds = ["rsa", "ecdsa", "ed25519"];
    for kind in kinds {
        sh(b, &format!("ssh-keygen -q -t {kind} -N '' -f /tmp/key_{kind}"));
    }
    let keys = kinds.map(|kind| format!("HostKey /tmp/key_{kind}")).join("\n");
    b.write_file("/tmp/sshd.conf", format!("Port 2222\n{keys}\nPermitRootLogin yes\n")).expect("written");
    sh(b, "$(command -v sshd) -f /tmp/sshd.conf; sleep 1");
    for (n, kind) in kinds.into_iter().enumerate() {
        sh(
            a,
            &format!(
                "ssh-keyscan -p 2222 -t {kind} node2 2>/dev/null | grep -v '^#' > /tmp/known; [ $(wc -l < /tmp/known) = 1 ]"
            ),
        );
        if n % 2 == 1 {
            sh(a, "ssh-keygen -H -f /tmp/known; ! grep -q node2 /tmp/known");
        }
        replicate(a, &format!("{ROUTE} --port 2222"));
    }
}

/// F10: a key that is known to be in wrong hands.
#[test]
fn a_revoked_key_is_refused_although_another_line_has_it() {
    let (cluster, before) =
        with_known_hosts("ssh-keyscan node2 2>/dev/null | tee /tmp/keys; sed 's/^/@revoked /' /tmp/keys");
    refused(cluster.node(1), ROUTE, 4, &["@revoked", "/tmp/known", "[R407]"]);
    assert_eq!(before, state(cluster.node(2)));
}

#[test]
fn another_port_is_looked_up_by_its_own_name() {
    let (cluster, _) = with_known_hosts("true");
    let (a, b) = (cluster.node(1), cluster.node(2));
    sh(b, "$(command -v sshd) -p 2222");
    let route = format!("{ROUTE} --port 2222");
    refused(a, &route, 4, &["[node2]:2222", "ssh-keyscan -p 2222 node2", "[R405]"]);
    sh(a, "ssh-keyscan -p 2222 node2 > /tmp/known 2>/dev/null; grep -qF '[node2]:2222' /tmp/known");
    replicate(a, &route);
    assert_same((a, "tank/data"), (b, "back/data"));
}
