//! Pairs of nodes: what they mean, and what is wrong with them.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use zfs_core::name::DatasetName;

use super::super::job::FarEnd;
use super::super::pair::Decider;
use super::super::pair::Guards;
use super::super::pair::Watch;
use super::super::problem::Severity;
use super::Config;
use super::Source;
use super::good;
use super::known;
use super::name;
use super::of;
use super::ours;
use crate::role::Role;

/// A pair that says no more than it has to.
const LEAST: &str = "[pair.nfs]\nroots = ['tank/a']\npeer = { node = 'b' }\nproxmox = { guest = 103 }\n";

#[test]
fn a_pair_needs_its_roots_the_other_node_and_who_decides() {
    let config = good(ours(LEAST));
    let [pair] = config.pairs.as_slice() else { panic!("one pair") };
    assert_eq!((pair.name.as_str(), pair.place.line, &pair.roots), ("nfs", 1, &vec![name("tank/a")]));
    assert_eq!(
        (&pair.node, pair.peer.node.as_str(), pair.peer.machine.to_string()),
        (&None, "b", "b".to_string())
    );
    assert_eq!(pair.peer.link.far_end, FarEnd::Agent);
    let decider = Decider::Proxmox {
        guest: 103,
        files: PathBuf::from("/etc/pve"),
        pvesh: PathBuf::from("/usr/bin/pvesh"),
    };
    assert_eq!(pair.decider, decider);
    assert_eq!(
        (pair.watch, pair.guards, pair.final_send),
        (Watch::default(), Guards::default(), Duration::from_secs(60))
    );
    assert!(pair.options.recursive);
    assert!(config.jobs.is_empty());
}

#[test]
fn everything_can_be_said() {
    let text = "\
[pair.nfs-data]
roots = ['zpool1/data', 'zpool2/photos']
node = 'elitedesk'
exclude = ['tmp']
final_send = '90s'
rate = '50MB'
command = ['/usr/local/bin/who', 'nfs']
[pair.nfs-data.peer]
node = 'thinkpad'
host = 'root@192.0.2.2'
ssh = { identity = '/root/.ssh/pair', port = 2222 }
[pair.nfs-data.watch]
times = 5
distance = '1s'
timeout = '3s'
[pair.nfs-data.guards]
source_below = 40
drift = 10
promote_age = '1h'
[pair.other]
roots = 'zpool3'
peer = { node = 'thinkpad' }
etcd = { endpoints = ['192.0.2.1:2379', '[2001:db8::1]:2379'], key = 'replicator/other', ttl = '1h' }
[pair.third]
roots = 'zpool4'
peer = { node = 'thinkpad' }
pacemaker = { resource = 'nfs' }
[pair.fourth]
roots = 'zpool5'
peer = { node = 'thinkpad' }
fixed = 'standby'
";
    let config = good(ours(text));
    let names: Vec<_> = config.pairs.iter().map(|pair| pair.name.as_str()).collect();
    assert_eq!(names, ["nfs-data", "other", "third", "fourth"]);
    let pair = &config.pairs[0];
    assert_eq!(
        (pair.node.as_deref(), pair.peer.machine.to_string()),
        (Some("elitedesk"), "root@192.0.2.2".to_string())
    );
    assert_eq!((pair.peer.link.port, pair.peer.link.far_end), (Some(2222), FarEnd::Agent));
    let argv = ["/usr/local/bin/who", "nfs"].map(str::to_string).to_vec();
    assert_eq!(pair.decider, Decider::Command { argv });
    let (one, three) = (Duration::from_secs(1), Duration::from_secs(3));
    assert_eq!(pair.watch, Watch { times: 5, distance: one, timeout: three });
    let promote_age = Some(Duration::from_secs(3600));
    assert_eq!(pair.guards, Guards { source_below: 40, drift: 10, promote_age });
    assert_eq!(
        (pair.final_send, pair.limits.rate.map(std::num::NonZero::get)),
        (Duration::from_secs(90), Some(50_000_000))
    );
    assert!(!pair.options.datasets.select_dataset(&name("zpool1/data/tmp"), &name("zpool1/data")));
    let endpoints: Vec<SocketAddr> =
        ["192.0.2.1:2379", "[2001:db8::1]:2379"].map(|text| text.parse().expect("an address")).to_vec();
    let (key, ttl) = ("replicator/other".to_string(), Duration::from_secs(3600));
    assert_eq!(config.pairs[1].decider, Decider::Etcd { endpoints, key, ttl });
    assert_eq!(config.pairs[2].decider, Decider::Pacemaker { resource: "nfs".to_string() });
    assert_eq!(config.pairs[3].decider, Decider::Fixed(Role::Standby));
    let json = config.pairs[0].to_json();
    assert_eq!(
        (&json["roots"][1], &json["peer"]["host"]),
        (&"zpool2/photos".into(), &"root@192.0.2.2".into())
    );
    assert_eq!(json["watch"]["distance_seconds"], 1);
    for pair in &config.pairs {
        assert!(pair.to_json()["decider"].is_object() && !pair.decider.text().is_empty());
    }
}

/// The one error of a file: its line, a piece of the message and of the fix.
type Case = (String, usize, &'static str, &'static str);

#[test]
fn what_is_wrong_is_told_with_line_and_fix() {
    let with = |from: &str, to: &str| {
        assert!(LEAST.contains(from), "{from}");
        LEAST.replace(from, to)
    };
    let and = |more: &str| format!("{LEAST}{more}");
    let job = |source: &str, recursive: bool, to: &str| {
        and(&format!(
            "[[replication]]\nname = 'x'\nsource = '{source}'\nrecursive = {recursive}\n[[replication.target]]\nto = '{to}'\n"
        ))
    };
    let cases: Vec<Case> = vec![
        (with("roots = ['tank/a']\n", ""), 1, "no datasets", "roots"),
        (with("['tank/a']", "[]"), 2, "`roots` is empty", "name something"),
        (with("['tank/a']", "['/tank/a']"), 2, "not the name of a dataset", "not the path"),
        (with("['tank/a']", "['tank/a', 'tank/a/b']"), 2, "one is in the other", "inner one"),
        (with("['tank/a']", "['tank/a/b', 'tank']"), 2, "one is in the other", "inner one"),
        (with("['tank/a']", "['tank/a', 'tank/a']"), 2, "a root twice", "remove one"),
        (with("peer = { node = 'b' }\n", ""), 1, "no other node", "peer"),
        (with("node = 'b'", "host = 'b'"), 3, "the peer has no name", "node"),
        (with("node = 'b'", "node = 'b.example.org'"), 3, "it has a domain", "without a domain"),
        (with("node = 'b'", "node = 'b', host = 'b:tank'"), 3, "IPv6", "USER@HOST"),
        (
            with("node = 'b'", "node = 'b', ssh = { far_end = 'zfs' }"),
            3,
            "our agent on both nodes",
            "remove `far_end`",
        ),
        (and("node = 'b'\n"), 1, "both called b", "other node"),
        (with("proxmox = { guest = 103 }\n", ""), 1, "nobody decides", "proxmox = { guest"),
        (and("fixed = 'active'\n"), 1, "more than one decides", "keep one"),
        (with("guest = 103", "gest = 103"), 4, "", "guest"),
        (with("guest = 103", "guest = 7"), 4, "7 is out of range", "100"),
        (with("guest = 103", "guest = 103, files = 'pve'"), 4, "not an absolute path", "from the root"),
        (with("proxmox = { guest = 103 }", "fixed = 'unknown'"), 4, "cannot be \"unknown\"", "active"),
        (
            with("proxmox = { guest = 103 }", "command = 'who | grep me'"),
            4,
            "without a shell",
            "write a list",
        ),
        (with("proxmox = { guest = 103 }", "command = ['who']"), 4, "not an absolute path", "from the root"),
        (
            with("proxmox = { guest = 103 }", "etcd = { endpoints = 'etcd:2379', key = 'k' }"),
            4,
            "not an address with a port",
            "plain HTTP",
        ),
        (
            with("proxmox = { guest = 103 }", "etcd = { endpoints = '192.0.2.1:2379' }"),
            4,
            "no key is named",
            "same on both nodes",
        ),
        (
            with(
                "proxmox = { guest = 103 }",
                "etcd = { endpoints = '192.0.2.1:2379', key = 'k', ttl = '5s' }",
            ),
            4,
            "`ttl` is out of range",
            "30s",
        ),
        (
            with("proxmox = { guest = 103 }", "pacemaker = { resource = '-x' }"),
            4,
            "not the name of a resource",
            "crm_mon",
        ),
        (and("wach = { times = 3 }\n"), 5, "unknown key `wach`", "`watch`"),
        (and("watch = { times = 0 }\n"), 5, "0 is out of range", "1"),
        (and("watch = { timeout = '5m' }\n"), 5, "`timeout` is out of range", "60s"),
        (and("guards = { drift = 120 }\n"), 5, "120 is out of range", "100"),
        (and("guards = { full = 90 }\n"), 5, "unknown key `full`", ""),
        (and("final_send = 60\n"), 5, "60 has no unit", "60m"),
        (with("[pair.nfs]", "[pair.\"a/b\"]"), 1, "not the name of a pair", "letters"),
        ("pair = 5\n".to_string(), 1, "must be a table", "[pair]"),
        (
            and("[pair.other]\nroots = 'tank'\npeer = { node = 'b' }\nfixed = 'active'\n"),
            5,
            "meets the root tank/a of the pair `nfs`",
            "in one pair",
        ),
        (
            job("tank/a", false, "host:other"),
            5,
            "sends tank/a, which is a root of the pair",
            "remove the job",
        ),
        (job("tank/a/b", false, "host:other"), 5, "sends tank/a", "remove the job"),
        (job("tank", true, "host:other"), 5, "sends tank/a", "remove the job"),
        (job("other", false, "tank/a/copy"), 5, "sends into tank/a", "remove the job"),
        (job("other", false, "root@b:tank/a"), 5, "sends into tank/a", "remove the job"),
    ];
    let mut wrong = Vec::new();
    for (text, line, message, fix) in &cases {
        let (_, problems) = ours(text);
        let said = problems.render();
        let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        let told = errors.iter().any(|problem| {
            problem.place.as_ref().is_some_and(|place| place.line == *line)
                && problem.message.contains(message)
                && problem.fix.contains(fix)
        });
        if !told {
            wrong.push(format!("{text}\nshould say {message:?} in line {line}, and {fix:?}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
    // What has nothing to do with a pair is none of its business.
    good(ours(&job("tank", false, "host:other")));
    good(ours(&job("tank/ab", true, "host:tank/a")));
}

#[test]
fn pairs_of_several_files_meet() {
    let file = |name: &str, text: &str| Source::new(Path::new(name), text);
    let (config, problems) =
        Config::parse(&[file("/a", LEAST), file("/b", &LEAST.replace("tank/a", "tank/b"))]);
    assert_eq!(config.pairs.len(), 2);
    let said = problems.render();
    assert!(said.contains("/b:1:7: there is a pair `nfs` already, at /a:1:7"), "{said}");
}

fn named<'n>(all: impl IntoIterator<Item = &'n DatasetName>) -> Vec<String> {
    all.into_iter().map(ToString::to_string).collect()
}

#[test]
fn what_was_set_aside_has_no_policy_but_one_that_names_it() {
    let text = "\
[[dataset]]
name = 'tank/a'
recursive = true
daily = 1
[[dataset]]
name = 'tank/b'
recursive = 'atomic'
daily = 1
[[dataset]]
pattern = 'back/*'
daily = 1
";
    let time = "_diverged_20261122T181500Z";
    let (below_b, of_back) = (format!("tank/b/x{time}"), format!("back/c{time}"));
    let deep = format!("{of_back}/deep");
    let there = known(&[
        "tank",
        "tank/a",
        "tank/a/x",
        "tank/a/x-divergent-3",
        "tank/a/x-divergent-3/y",
        "tank/a-divergent-2",
        "tank/b",
        "tank/b/x",
        &below_b,
        "back",
        "back/c",
        "back/c-divergent-1",
        &of_back,
        &deep,
    ]);
    // There is no pair of `back`, and nothing selects what lies beside tank/a.
    let resolved = good(ours(&format!("{text}{LEAST}"))).policies.resolve(&there);
    let expected = ["back/c", "back/c-divergent-1", "tank/a", "tank/a/x", "tank/b", "tank/b/x"];
    assert_eq!(named(resolved.datasets.keys()), expected);
    let asides = [of_back.as_str(), "tank/a/x-divergent-3", below_b.as_str()];
    assert_eq!(named(&resolved.asides), asides);
    assert_eq!(named(&of(&resolved, "tank/b").together), ["tank/b/x"]);
    // Without a pair it is a name as any other.
    let resolved = good(ours(text)).policies.resolve(&there);
    assert!(resolved.datasets.contains_key(&name("tank/a/x-divergent-3/y")));
    // Who names it means it, with all that is in it, wherever that stands.
    let explicit =
        format!("[[dataset]]\nname = 'tank/a/x-divergent-3'\nrecursive = true\nhourly = 1\n{text}{LEAST}");
    let resolved = good(ours(&explicit)).policies.resolve(&there);
    assert!(resolved.datasets.contains_key(&name("tank/a/x-divergent-3/y")));
    assert_eq!(named(&resolved.asides), [of_back.as_str(), below_b.as_str()]);
}
