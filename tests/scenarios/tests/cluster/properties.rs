//! Properties that follow the source: which, when, and what becomes of them where they may not be set.

use lab::Node;

use crate::replicas::*;

/// The properties that are set on a dataset itself, one a line.
fn set_on(node: &Node, dataset: &str, names: &str) -> Vec<String> {
    let list = sh(node, &format!("zfs get -Hp -s local -o property,value {names} '{dataset}' | sort"));
    list.lines().map(|line| line.replace('\t', "=")).collect()
}

/// What is looked at in all of these tests.
const NAMES: &str = "atime,compression,recordsize,mountpoint,canmount,readonly,exec,org.example:note";

/// A tree in which much is set, some of it so that it must never get to a copy.
fn fill_tree(node: &Node) {
    fill(node, "tank/tree", 1);
    fill(node, "tank/tree/a b", 1);
    sh(
        node,
        "zfs set compression=zstd-7 atime=off exec=off org.example:note='with  spaces; and $(signs)' tank/tree
         zfs set recordsize=1M mountpoint='/tank/tree/a b' 'tank/tree/a b'
         zfs create -s -V 16M -o compression=gzip tank/tree/vol; zfs snapshot tank/tree/vol@s1",
    );
}

fn follows(here: &Node, there: &Node, nodes: &[&Node], runs_on: &Node, from: &str, to: &str, at_once: bool) {
    fill_tree(here);
    let what = format!("-r {from} {to}");
    completely(runs_on, nodes, &what);
    assert_eq!(
        set_on(there, "back/tree", NAMES),
        ["atime=off", "canmount=noauto", "compression=zstd-7", "readonly=on"]
    );
    assert_eq!(
        set_on(there, "back/tree/a b", NAMES),
        ["canmount=noauto", "readonly=on", "recordsize=1048576"]
    );
    assert_eq!(set_on(there, "back/tree/vol", "compression,readonly"), ["compression=gzip", "readonly=on"]);
    assert_same((here, "tank/tree/a b"), (there, "back/tree/a b"));

    // Changed later, with and without something to send.
    sh(here, "zfs set compression=lz4 tank/tree; zfs set recordsize=512K 'tank/tree/a b'");
    if !at_once {
        let plan = as_planned(runs_on, nodes, &what, "");
        assert_eq!(actions(&plan), Vec::<String>::new(), "{plan}");
        change(here, "tank/tree", 2);
    }
    let plan = completely(runs_on, nodes, &what);
    assert_eq!(actions(&plan).iter().filter(|one| *one == "set-properties").count(), 2, "{plan}");
    assert!(set_on(there, "back/tree", NAMES).contains(&"compression=lz4".to_string()));
    assert!(set_on(there, "back/tree/a b", NAMES).contains(&"recordsize=524288".to_string()));

    // What the source does not set any more stays, and is told.
    sh(here, "zfs inherit compression tank/tree");
    change(here, "tank/tree", 3);
    let said = sh(runs_on, &format!("replicator plan {what}"));
    assert!(said.contains("back/tree keeps compression=lz4"), "{said}");
    completely(runs_on, nodes, &what);
    assert!(set_on(there, "back/tree", NAMES).contains(&"compression=lz4".to_string()));
}

#[test]
fn properties_follow_to_a_machine_with_an_agent() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    follows(a, b, &[a, b], a, "tank/tree", "node2:back/tree --far-end agent", true);
}

#[test]
fn properties_follow_from_a_machine_with_only_zfs() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    follows(a, b, &[a, b], b, "node1:tank/tree", "back/tree", false);
}

#[test]
fn properties_follow_to_another_pool() {
    let cluster = alone();
    let a = cluster.node(1);
    follows(a, a, &[a], a, "tank/tree", "back/tree", true);
}

#[test]
fn what_is_named_is_replicated_and_what_is_excluded_or_set_is_not() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_tree(a);
    completely(a, &[a, b], "tank/tree node2:back/none --properties none");
    assert_eq!(set_on(b, "back/none", NAMES), ["canmount=noauto", "readonly=on"]);
    completely(
        a,
        &[a, b],
        "tank/tree node2:back/some --exclude-properties atime --set compression=gzip --set readonly=off",
    );
    assert_eq!(set_on(b, "back/some", NAMES), ["canmount=noauto", "compression=gzip", "readonly=off"]);
    // User properties by a pattern, and what mounts or runs something by its name only.
    completely(b, &[a, b], "node1:tank/tree back/named --properties 'org.example:*,exec,compression'");
    assert_eq!(
        set_on(b, "back/named", NAMES),
        [
            "canmount=noauto",
            "compression=zstd-7",
            "exec=off",
            "org.example:note=with  spaces; and $(signs)",
            "readonly=on"
        ]
    );
    for (list, said) in [
        ("used", "no property that can be set"),
        ("default,volblocksize", "comes with the stream"),
        ("replicator:gone", "mark of this program"),
        ("'*cache'", "has no colon"),
        ("none,atime", "stands alone"),
    ] {
        refused(a, &format!("tank/tree node2:back/no --properties {list}"), 2, &[said]);
    }
    assert_eq!(sh(b, "zfs list -H -o name | grep -c back/no$ || true"), "0");
}

#[test]
fn a_quota_comes_behind_the_data_and_is_raised_before_it() {
    for far in ["zfs", "agent"] {
        let cluster = pair();
        let (a, b) = (cluster.node(1), cluster.node(2));
        fill(a, "tank/data", 2);
        // Less than what is to be sent needs on the way, with its snapshots.
        sh(a, "zfs set refquota=8M quota=60M tank/data");
        let what = format!("tank/data node2:back/data --far-end {far} --properties default,refquota,quota");
        let plan = completely(a, &[a, b], &what);
        let last = actions(&plan).into_iter().rfind(|one| one != "destroy-bookmarks");
        assert_eq!(last.as_deref(), Some("set-properties"), "{plan}");
        assert_eq!(set_on(b, "back/data", "quota,refquota"), ["quota=62914560", "refquota=8388608"]);
        // What is sent next fits under the new limit only.
        sh(a, "zfs set refquota=40M tank/data; head -c 20M /dev/urandom > /tank/data/large");
        change(a, "tank/data", 3);
        completely(a, &[a, b], &what);
        assert_eq!(set_on(b, "back/data", "refquota"), ["refquota=41943040"]);
        assert_same((a, "tank/data"), (b, "back/data"));
    }
}

#[test]
fn without_the_right_to_set_them_the_data_still_goes_on() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill(a, "tank/data", 1);
    fill(a, "tank/data/child", 1);
    sh(a, "zfs set compression=zstd tank/data");
    sh(
        b,
        "useradd -m -s /bin/bash -p '*' keeper; mkdir -p /home/keeper/.ssh; cp /root/.ssh/authorized_keys /home/keeper/.ssh/
         chown -R keeper: /home/keeper/.ssh; chmod 700 /home/keeper/.ssh; zfs create back/keeper; chmod 666 /dev/zfs
         zfs allow keeper create,mount,receive,readonly,canmount back/keeper",
    );
    // Nobody asked for compression: it is told, and nothing fails.
    let said = replicate(a, "-r tank/data keeper@node2:back/keeper/data");
    assert!(said.contains("compression"), "{said}");
    assert_same((a, "tank/data"), (b, "back/keeper/data"));
    assert_same((a, "tank/data/child"), (b, "back/keeper/data/child"));
    change(a, "tank/data", 2);
    let said = replicate(a, "-r tank/data keeper@node2:back/keeper/data");
    assert!(said.contains("keeps its properties"), "{said}");
    assert_same((a, "tank/data"), (b, "back/keeper/data"));
    // Asked for by its name, it is missed.
    change(a, "tank/data", 3);
    refused(
        a,
        "-r tank/data keeper@node2:back/keeper/data --properties compression",
        1,
        &["keeper@node2", "back/keeper/data", "zfs allow"],
    );
    refused(
        a,
        "tank/data keeper@node2:back/keeper/new --properties compression",
        1,
        &["did not set compression", "[R111]"],
    );
    sh(b, "zfs allow keeper compression back/keeper");
    change(a, "tank/data", 4);
    completely(a, &[a, b], "-r tank/data keeper@node2:back/keeper/data --properties compression");
    assert_eq!(set_on(b, "back/keeper/data", "compression"), ["compression=zstd"]);
}

#[test]
fn an_agent_that_may_only_add_takes_them_with_a_stream_and_says_no_later() {
    let cluster = pair();
    let (a, b) = (cluster.node(1), cluster.node(2));
    fill_tree(a);
    let to = |may: &str| {
        sh(a, "[ -f /tmp/limited ] || ssh-keygen -q -t ed25519 -N '' -f /tmp/limited");
        let key = sh(a, "cat /tmp/limited.pub");
        sh(
            b,
            &format!(
                "sed -i '/restrict,command/d' /root/.ssh/authorized_keys
                 echo 'restrict,command=\"replicator agent --root back/in {may}\" {key}' >> /root/.ssh/authorized_keys
                 zfs list back/in >/dev/null 2>&1 || zfs create back/in"
            ),
        );
    };
    to("");
    let what = "-r tank/tree node2:back/in/tree --far-end agent --identity /tmp/limited";
    replicate(a, what);
    assert!(set_on(b, "back/in/tree", NAMES).contains(&"compression=zstd-7".to_string()));
    sh(a, "zfs set compression=lz4 tank/tree");
    change(a, "tank/tree", 2);
    let said = replicate(a, what);
    assert!(said.contains("keeps its properties") && said.contains("set-properties"), "{said}");
    assert_same((a, "tank/tree"), (b, "back/in/tree"));
    to("--allow list,receive,discard,set-properties");
    completely(a, &[a, b], what);
    assert!(set_on(b, "back/in/tree", NAMES).contains(&"compression=lz4".to_string()));
}

#[test]
fn only_encrypted_datasets_go_where_that_is_asked_for() {
    let cluster = alone();
    let a = cluster.node(1);
    sh(a, "echo 'a long passphrase' | zfs create -o encryption=on -o keyformat=passphrase tank/secret");
    change(a, "tank/secret", 1);
    fill(a, "tank/plain", 1);
    completely(a, &[a], "tank/secret back/secret --require-encrypted");
    let before = state(a);
    refused(
        a,
        "tank/plain back/plain --require-encrypted",
        3,
        &["tank/plain is not encrypted", "--exclude", "[R310]"],
    );
    assert_eq!(before, state(a));
}
