//! All of it together: the example of the documentation, and what is left when the other node is away.

use zfs_core::Guid;

use super::copies::Found;
use super::copies::Key;
use super::copies::Mounts;
use super::copies::Sides;
use super::copies_tests::found;
use super::copies_tests::mount;
use super::copies_tests::name;
use super::copies_tests::root;
use super::copies_tests::state;
use super::exports::Nfs;
use super::guest::Guest;
use super::guest::Kind;
use super::machine::Directory;
use super::machine::Timer;
use super::pools::Pool;
use super::*;
use crate::check::Grade;
use crate::check::text;
use crate::check::to_json;
use crate::config::pair::Decider;
use crate::host::About;
use crate::host::Encryption;
use crate::host::Version;
use crate::role::observation::Ha;
use crate::role::observation::Owner;
use crate::role::observation::Quorum;
use crate::role::observation::Reading;

const DOCS: &str = include_str!("../../../../docs/pair.md");

const ROOTS: [&str; 4] = ["zpool1/data-nfs-share", "zpool1/pbs-backups", "zpool2/photos", "zpool2/storage"];

const US: &str = "elitedesk";

const PROGRAM: &str = "replicator 0.1.0 (protocol 1 to 8)";

const GIB: u64 = 1 << 30;

/// What the guest's server prints.
const EXPORTS: &str = "
==== /etc/exports
/data-nfs-share 192.0.2.0/24(rw,sync,no_subtree_check,fsid=1)
/photos 192.0.2.0/24(rw,sync,no_subtree_check)

==== /proc/fs/nfsd/nfsv4leasetime
10

==== /proc/fs/nfsd/nfsv4gracetime
90

==== exportfs 0
/data-nfs-share
\t\t192.0.2.0/24(sync,wdelay,hide,no_subtree_check,fsid=1,sec=sys,rw)
/photos       \t192.0.2.0/24(sync,wdelay,hide,no_subtree_check,sec=sys,rw)
";

const GUEST: &str = "\
hookscript: local:snippets/nfs-pair.sh
mp0: /zpool1/data-nfs-share,mp=/data-nfs-share,shared=1
mp1: /zpool2/photos,mp=/photos
";

const KEYS: &str = "restrict,command=\"replicator agent --node elitedesk --root zpool1/data-nfs-share \
                    --root zpool1/pbs-backups --root zpool2/photos --root zpool2/storage \
                    --allow list,receive,discard,bookmark,take-over\" ssh-ed25519 AAAA root@thinkpad\n";

/// A root on both nodes. That of `zpool2/storage` is encrypted, and its key is not loaded on the standby.
fn sides(dataset: &str) -> Sides {
    let of = |here: bool| -> Found {
        let room = if dataset.starts_with("zpool1") { 5120 * GIB } else { 40 * GIB };
        let mut one = state(dataset, 300 * GIB, room);
        let encrypted = dataset == "zpool2/storage";
        one.encryption = encrypted.then(|| Encryption { root: name(dataset), key_loaded: here });
        let readonly = if here { "off" } else { "on" };
        let mounts = if here { Mounts::All(vec![mount(dataset, true)]) } else { Mounts::Root(false) };
        let mut found = found(root((7, US), readonly, vec![one]), mounts);
        if encrypted {
            let location = Seen::Known("file:///root/storage.key".to_string());
            found.keys.insert(name(dataset), Key { location, file: here.then_some(Ok(())) });
        }
        found
    };
    Sides { name: name(dataset), here: Ok(of(true)), there: Ok(of(false)) }
}

/// What stands in docs/pair.md.
fn documented() -> Facts {
    let about = |pool: &str| About {
        pool: pool.to_string(),
        guid: Guid(1),
        version: Some(Version { major: 2, minor: 3, patch: 4 }),
        features: [("extensible_dataset".to_string(), "active".to_string())].into(),
    };
    let pool = |pool: &str| Pool { name: pool.to_string(), here: Ok(about(pool)), there: Ok(about(pool)) };
    let on = Timer { there: true, enabled: true, active: true, minutes: Some(10) };
    let directory = |root: &str| {
        let immutable = Seen::Known(root != "zpool2/photos");
        (PathBuf::from(format!("/{root}")), Seen::Known(Directory::There { immutable, filled: false }))
    };
    Facts {
        pair: "nfs".to_string(),
        names: Names { here: US.to_string(), peer: "thinkpad".to_string() },
        now: 1_795_874_823,
        root: true,
        roots: ROOTS.iter().map(|root| sides(root)).collect(),
        pools: ["zpool1", "zpool2"].map(pool).into(),
        daily: ROOTS.iter().map(|root| (name(root), Seen::Known(4 * GIB))).collect(),
        way: keys::Way {
            machine: "root@192.0.2.2".to_string(),
            reached: Ok(keys::Spoken { version: 8, program: PROGRAM.to_string() }),
            any_command: Seen::Known(false),
            program: PROGRAM.to_string(),
        },
        keys: Seen::Known(keys::parse(KEYS)),
        machine: machine::Facts {
            timers: Seen::Known(machine::TIMERS.map(|timer| (timer.to_string(), on.clone())).into()),
            goal: Seen::Known(Some(600)),
            synchronised: Seen::Known(true),
            ahead: None,
            locks: Seen::Known(PathBuf::from("/run/lock/replicator")),
            agent_user: Some("root".to_string()),
            elevated: false,
            directories: ROOTS.iter().map(|root| directory(root)).collect(),
        },
        guest: Some(Seen::Known(Guest::parse(103, Kind::Container, GUEST))),
        nfs: Seen::Known(Nfs::read("guest 103", EXPORTS)),
        nfs_by_hand: String::new(),
        cluster: cluster::Facts {
            decider: Decider::Proxmox {
                guest: 103,
                files: PathBuf::from("/etc/pve"),
                pvesh: PathBuf::from("/usr/bin/pvesh"),
            },
            reading: Reading {
                owner: Seen::Known(Owner::Here),
                moving: Seen::Known(false),
                quorum: Seen::Known(Quorum::Quorate),
                ha: Seen::Known(Ha::Armed),
            },
            corosync: Some(Seen::Known(cluster::Corosync { nodes: 3, votes: 3, ..Default::default() })),
            watchdog: Some(Seen::Known(true)),
        },
    }
}

/// Those that are not good, with what they are about.
fn told(facts: &Facts) -> Vec<(Grade, &'static str, String)> {
    let all = sections(facts).into_iter().flat_map(|section| section.findings);
    all.filter(|one| one.grade > Grade::Ok).map(|one| (one.grade, one.aspect, one.text)).collect()
}

#[test]
fn the_check_is_the_one_in_the_documentation() {
    let shown = text(&sections(&documented()));
    let example = DOCS.split("\n```text\n").find(|part| part.starts_with("pair nfs: elitedesk"));
    let example = example.and_then(|part| part.split_once("```")).map(|(text, _)| text);
    assert_eq!(example, Some(shown.as_str()), "docs/pair.md should show this:\n{shown}");
}

#[test]
fn each_finding_that_is_not_good_says_what_to_do() {
    let mut facts = documented();
    facts.root = false;
    facts.guest = Some(Seen::unknown("no such file"));
    facts.nfs = Seen::unknown("it runs elsewhere");
    facts.nfs_by_hand = "look there".to_string();
    facts.cluster.reading = Reading::unknown("pvesh: it did not answer");
    facts.cluster.corosync = Some(Seen::unknown("no such file"));
    facts.keys = Seen::unknown("denied");
    let all: Vec<_> = sections(&facts).into_iter().flat_map(|section| section.findings).collect();
    let bad: Vec<_> = all.iter().filter(|one| one.grade > Grade::Ok).collect();
    assert!(bad.len() >= 10, "{bad:#?}");
    for one in bad {
        assert!(one.fix.as_ref().is_some_and(|fix| !fix.is_empty()), "{one:#?}");
    }
    let json = to_json(&sections(&facts));
    assert_eq!((&json["grade"], json["sections"].as_array().map(Vec::len)), (&"fail".into(), Some(5)));
}

#[test]
fn a_node_that_is_away_is_one_failure_and_nothing_of_it_is_good() {
    let mut facts = documented();
    for root in &mut facts.roots {
        root.there = Err("no route to host".to_string());
    }
    for pool in &mut facts.pools {
        pool.there = Err("no route to host".to_string());
    }
    let unreached = keys::Unreached { why: "no route to host".to_string(), fix: Some("look".to_string()) };
    facts.way.reached = Err(unreached);
    let found = sections(&facts);
    let [_, theirs, both, ..] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(theirs.findings.iter().map(|one| one.grade).collect::<Vec<_>>(), [Grade::Fail]);
    assert!(theirs.findings[0].text.contains("everything about it is not known"), "{theirs:#?}");
    assert_eq!(both.findings.iter().map(|one| one.aspect).collect::<Vec<_>>(), ["compare"]);
}

#[test]
fn before_the_first_promotion_nobody_is_active() {
    let mut facts = documented();
    for root in &mut facts.roots {
        for found in [&mut root.here, &mut root.there].into_iter().flatten() {
            found.root.belief = crate::pair::Belief::None;
        }
    }
    let found = told(&facts);
    let epoch = found.iter().find(|(_, aspect, _)| *aspect == "epoch").expect("it is said");
    assert!(epoch.0 == Grade::Warn && epoch.2.contains("no node was promoted yet"), "{epoch:?}");
    assert!(sections(&facts)[0].subject.contains("elitedesk, this node, not promoted"));
    // Two that were promoted to the same epoch are grave.
    let mut facts = documented();
    let split = facts.roots[0].there.as_mut().expect("found");
    split.root.belief = root((7, "thinkpad"), "on", vec![state(ROOTS[0], 1, 1)]).belief;
    let found = told(&facts);
    assert!(found.iter().any(|(grade, aspect, _)| (*grade, *aspect) == (Grade::Fail, "epoch")), "{found:?}");
}

#[test]
fn a_server_of_the_node_itself_is_compared_with_that_of_the_other_one() {
    let mut facts = documented();
    facts.guest = None;
    facts.nfs = Seen::Known(Nfs::read(
        US,
        &EXPORTS.replace("/photos", "/zpool2/photos").replace("/data-nfs-share", "/zpool1/data-nfs-share"),
    ));
    let all: Vec<_> = sections(&facts).into_iter().flat_map(|section| section.findings).collect();
    let compare = all.iter().find(|one| one.aspect == "compare").expect("it is said");
    let fix = compare.fix.as_deref().unwrap_or_default();
    assert!(fix.contains("fsid /zpool1/data-nfs-share=1 /zpool2/photos=none; mountpoints"), "{fix}");
    let exported = all.iter().filter(|one| one.aspect == "exports").map(|one| one.grade).collect::<Vec<_>>();
    assert_eq!(exported, [Grade::Ok, Grade::Fail]);
}
