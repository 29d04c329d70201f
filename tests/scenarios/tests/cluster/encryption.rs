//! Encrypted datasets: raw by default, there and back, never mixed with streams that are not raw; and what becomes of
//! plain ones under an encrypted parent.

use lab::Node;

use crate::replicas::*;
use crate::ways::over_every_way;

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

/// F29: a key that a stream needs is not loaded, at the target or at the source. It is said before anything is sent,
/// and nothing is ever sent raw for want of a key, or decrypted for want of another.
#[test]
fn a_key_that_is_missing_is_said_before_anything_is_sent() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill_secret(route.from, source, 1);
        let vault = format!("{target}-vault");
        sh(route.to, &format!("{KEY} | zfs create -o encryption=on -o keyformat=passphrase {vault}"));
        let into = |to: &str, more: &str| {
            route.arguments("", more).replace(&format!("{target}'"), &format!("{to}'"))
        };
        let (copy, both) = (format!("{vault}/copy"), [route.from, route.to]);
        as_planned(route.here, &both, &into(&copy, "--decrypt"), "");
        route.as_planned("", "");
        change(route.from, source, 2);
        sh(
            route.to,
            &format!("zfs unmount {copy} 2>/dev/null || true; zfs unmount {vault}; zfs unload-key {vault}"),
        );
        let before = route.state();
        let (there, load) = (format!("key of {copy}"), format!("zfs load-key {vault}"));
        refused(route.here, &into(&copy, ""), 3, &[&there, &load, "[R304]"]);
        sh(route.to, &format!("{KEY} | zfs load-key {vault}"));
        sh(route.from, &format!("zfs unmount {source}; zfs unload-key {source}"));
        let (here, load) = (format!("key of {source}"), format!("zfs load-key {source}"));
        refused(route.here, &into(&copy, ""), 3, &[&here, &load, "[R304]"]);
        refused(route.here, &into(&format!("{target}-new"), "--decrypt"), 3, &[&here, "[R304]"]);
        assert_eq!(before, route.state());
        // A raw replica needs none, on neither side.
        let plan = route.completely("");
        assert!(plan.contains("\"raw\": true") && !plan.contains("\"raw\": false"), "{plan}");
        sh(route.from, &format!("{KEY} | zfs load-key {source}"));
        completely(route.here, &both, &into(&copy, ""));
        assert_same((route.from, source), (route.to, &copy));
        assert_same_secret((route.from, source), (route.to, target));
    });
}

/// F30: somebody went on with a raw replica by a stream that was not raw, so that its newest snapshot has the GUID of
/// the source's and depends on other initialisation vectors. No raw stream starts there: without the keys it
/// stops, with them it goes on as it is now.
#[test]
fn a_raw_replica_that_was_continued_decrypted_is_never_continued_raw() {
    over_every_way(|route| {
        let (source, target) = (&route.source, &route.target);
        fill_secret(route.from, source, 1);
        route.as_planned("", "");
        change(route.from, source, 2);
        sh(
            route.from,
            &format!(
                "ssh node2 \"{KEY} | zfs load-key {target}\"
                 zfs send -i @s1 {source}@s2 | ssh node2 zfs receive -u {target}"
            ),
        );
        let ivset =
            |node: &Node, dataset: &str| sh(node, &format!("zfs get -Hp -o value ivsetguid {dataset}@s2"));
        assert_eq!(guids(route.from, source), guids(route.to, target));
        assert_ne!(ivset(route.from, source), ivset(route.to, target), "no mixture was made");
        change(route.from, source, 3);
        sh(route.to, &format!("zfs unload-key {target}"));
        let before = route.state();
        route.refused("", 3, &[&format!("key of {target}"), "zfs load-key", "[R304]"]);
        assert_eq!(before, route.state());
        sh(route.to, &format!("{KEY} | zfs load-key {target}"));
        let plan = route.completely("");
        assert!(plan.contains("\"raw\": false") && !plan.contains("\"full\""), "{plan}");
        route.assert_same();
    });
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
