//! Encrypted datasets: raw by default, there and back, never mixed with streams that are not raw; and what becomes of
//! plain ones under an encrypted parent.

use lab::Node;

use crate::replicas::*;

const KEY: &str = "echo 'a long passphrase'";

/// An encrypted filesystem with some snapshots.
fn fill_secret(node: &Node, dataset: &str, snapshots: usize) {
    sh(node, &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase '{dataset}'"));
    for n in 1..=snapshots {
        change(node, dataset, n);
    }
}

/// Equal, once the replica's key is loaded for the comparison. The key is taken away again.
fn assert_same_secret(source: (&Node, &str), target: (&Node, &str)) {
    sh(target.0, &format!("{KEY} | zfs load-key '{}'", target.1));
    assert_same(source, target);
    sh(target.0, &format!("zfs unload-key '{}'", target.1));
}

fn keystatus(node: &Node, dataset: &str) -> String {
    sh(node, &format!("zfs get -H -o value keystatus '{dataset}'"))
}

#[test]
fn a_raw_replica_goes_there_on_and_back_and_the_target_never_has_the_key() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_secret(a, "tank/secret", 2);
    fill(a, "tank/secret/child", 1);
    let plan = completely(a, &[a, b], "-r tank/secret node2:back/secret");
    assert!(!plan.contains("\"raw\": false"), "{plan}");
    change(a, "tank/secret", 3);
    // Without the key at the source as well.
    sh(a, "zfs unmount tank/secret/child; zfs unmount tank/secret; zfs unload-key tank/secret");
    completely(a, &[a, b], "-r tank/secret node2:back/secret");
    assert_eq!(keystatus(b, "back/secret"), "unavailable");
    sh(a, &format!("{KEY} | zfs load-key tank/secret; zfs mount tank/secret; zfs mount tank/secret/child"));
    assert_same_secret((a, "tank/secret"), (b, "back/secret"));
    // Back, into another name, and then on from there.
    completely(a, &[a, b], "-r node2:back/secret tank/restored");
    assert_eq!(keystatus(a, "tank/restored"), "unavailable");
    assert_same_secret((a, "tank/secret"), (a, "tank/restored"));
    change(a, "tank/secret", 4);
    completely(a, &[a, b], "-r tank/secret node2:back/secret");
    completely(b, &[a, b], "-r back/secret node1:tank/restored");
    assert_same_secret((a, "tank/secret"), (a, "tank/restored"));
    // The lost original is taken from the replica, and the replica goes on from it.
    sh(a, "zfs destroy -r tank/secret");
    completely(a, &[a, b], "-r node2:back/secret tank/secret");
    sh(
        a,
        &format!("{KEY} | zfs load-key tank/secret; zfs set readonly=off tank/secret; zfs mount tank/secret"),
    );
    change(a, "tank/secret", 5);
    completely(a, &[a, b], "-r tank/secret node2:back/secret");
    assert_same_secret((a, "tank/secret"), (b, "back/secret"));
}

#[test]
fn raw_and_decrypted_streams_are_never_mixed() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_secret(a, "tank/secret", 1);
    completely(a, &[a, b], "tank/secret node2:back/raw");
    completely(a, &[a, b], "tank/secret node2:back/plain --decrypt");
    sh(b, &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase back/vault"));
    completely(a, &[a, b], "tank/secret node2:back/vault/again --decrypt");
    assert_eq!(sh(b, "zfs get -H -o value encryption back/plain"), "off");
    assert_eq!(sh(b, "zfs get -H -o value encryptionroot back/vault/again"), "back/vault");
    // What a replica began with is what it goes on with, whatever is asked for later.
    for (n, swap) in [(2, true), (3, false)] {
        change(a, "tank/secret", n);
        for (target, decrypt, raw) in
            [("raw", swap, true), ("plain", !swap, false), ("vault/again", !swap, false)]
        {
            let option = if decrypt { "--decrypt" } else { "" };
            let plan = completely(a, &[a, b], &format!("tank/secret node2:back/{target} {option}"));
            assert!(plan.contains(&format!("\"raw\": {raw}")), "{target}: {plan}");
            assert!(!plan.contains(&format!("\"raw\": {}", !raw)), "{target}: {plan}");
        }
    }
    assert_same((a, "tank/secret"), (b, "back/plain"));
    assert_same((a, "tank/secret"), (b, "back/vault/again"));
    assert_same_secret((a, "tank/secret"), (b, "back/raw"));
    // A raw replica's snapshots are no base for a replica of the decrypted one, and the other way round: from the
    // decrypted copy nothing can be sent on to the raw one.
    sh(
        b,
        "zfs set readonly=off back/plain; zfs mount back/plain; echo x > /back/plain/x; zfs snapshot back/plain@s9",
    );
    let before = state(b);
    let said = replicator(b, "replicate back/plain back/raw");
    assert_ne!(said.code(), 0, "{}", said.out());
    assert_eq!(before, state(b));
}

#[test]
fn a_key_that_is_missing_is_said_before_anything_is_sent() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_secret(a, "tank/secret", 1);
    sh(b, &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase back/vault"));
    completely(a, &[a, b], "tank/secret node2:back/vault/copy --decrypt");
    change(a, "tank/secret", 2);
    sh(
        b,
        "zfs unmount back/vault/copy 2>/dev/null || true; zfs unmount back/vault; zfs unload-key back/vault",
    );
    let before = (state(a), state(b));
    refused(
        a,
        "tank/secret node2:back/vault/copy",
        3,
        &["key of back/vault/copy", "zfs load-key back/vault"],
    );
    sh(b, &format!("{KEY} | zfs load-key back/vault"));
    sh(a, "zfs unmount tank/secret; zfs unload-key tank/secret");
    refused(a, "tank/secret node2:back/vault/copy", 3, &["key of tank/secret", "zfs load-key tank/secret"]);
    refused(a, "tank/secret node2:back/new --decrypt", 3, &["key of tank/secret"]);
    assert_eq!(before, (state(a), state(b)));
    sh(a, &format!("{KEY} | zfs load-key tank/secret"));
    completely(a, &[a, b], "tank/secret node2:back/vault/copy");
    assert_same((a, "tank/secret"), (b, "back/vault/copy"));
}

#[test]
fn a_plain_dataset_under_an_encrypted_parent_becomes_encrypted_with_it() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 2);
    fill(a, "tank/data/child", 1);
    sh(b, &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase back/vault"));
    completely(a, &[a, b], "-r tank/data node2:back/vault/below/data");
    change(a, "tank/data", 3);
    completely(a, &[a, b], "-r tank/data node2:back/vault/below/data");
    for below in ["", "/child"] {
        let (from, to) = (format!("tank/data{below}"), format!("back/vault/below/data{below}"));
        assert_same((a, &from), (b, &to));
        assert_eq!(sh(b, &format!("zfs get -H -o value encryptionroot {to}")), "back/vault");
    }
}

#[test]
fn preserve_keeps_a_raw_replica_that_diverged() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_secret(a, "tank/secret", 2);
    fill(a, "tank/secret/child", 1);
    let route = "-r tank/secret node2:back/secret --divergence preserve";
    completely(a, &[a, b], route);
    // A snapshot of their own; the key was loaded for a look and is away again.
    sh(
        b,
        &format!(
            "{KEY} | zfs load-key back/secret; zfs set readonly=off back/secret; zfs mount back/secret
             seq 1000 > /back/secret/theirs; zfs snapshot back/secret@theirs; zfs unmount back/secret
             zfs unload-key back/secret; zpool sync"
        ),
    );
    change(a, "tank/secret", 3);
    let before = guids(b, "back/secret");
    completely(a, &[a, b], route);
    let aside = sh(b, "zfs list -H -o name | grep '^back/secret_diverged_[^/]*$'");
    change(a, "tank/secret", 4);
    change(a, "tank/secret/child", 2);
    completely(a, &[a, b], route);
    assert_same_secret((a, "tank/secret"), (b, "back/secret"));
    let after: Vec<String> = [guids(b, "back/secret"), guids(b, &aside)].concat();
    assert!(before.iter().all(|guid| after.contains(guid)), "{before:?}\n{after:?}");
    // The one set aside opens with the same key, in one way or the other.
    sh(b, &format!("root=$(zfs get -H -o value encryptionroot {aside}); {KEY} | zfs load-key $root"));
    assert!(files(b, &aside, "theirs").contains("./theirs"));
}
