//! Verbs of a pair that are broken off at random moments on real nodes: the process is killed, the network is cut, a node
//! loses its power. Then the verb is asked for again. One node is active in the end, both have the same, and whatever was
//! written is on both, or kept under a name of its own.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use lab::Cluster;
use lab::Node;

use crate::faults::Random;
use crate::pair::configure;
use crate::pair::ends;
use crate::pair::paired;
use crate::replicas::*;
use crate::support::long;

/// A verb, and how the pair comes to where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    /// The active node sends.
    Send,
    /// It hands the service over.
    Handover,
    /// It stops, and the other one is promoted afterwards.
    Demote,
    /// It has stopped, and the other one is promoted.
    Promote,
    /// It has lost its power, the other one has gone on, and it comes back.
    Rejoin,
}

const VERBS: [Verb; 5] = [Verb::Send, Verb::Handover, Verb::Rejoin, Verb::Promote, Verb::Demote];

/// How it is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Kill,
    Cut,
    /// The node that the verb runs on loses its power.
    Power,
    /// The other one does.
    FarPower,
}

const BREAKS: [Break; 4] = [Break::Kill, Break::Cut, Break::Power, Break::FarPower];

/// What a broken verb may need to be repeated: what the other node has left of it may have to end first.
const ATTEMPTS: usize = 6;

struct Rounds<'c> {
    cluster: &'c Cluster,
    /// The number of the active node.
    active: usize,
    epoch: u64,
    /// The files that the active node has, with what is in them.
    files: BTreeMap<String, String>,
    /// Files that one node kept under another name: node, dataset, file.
    kept: Vec<(usize, String, String)>,
    /// How long each verb takes.
    spans: BTreeMap<Verb, Duration>,
    broken: usize,
}

impl<'c> Rounds<'c> {
    fn node(&self, number: usize) -> &'c Node {
        self.cluster.node(number)
    }

    fn other(&self) -> usize {
        3 - self.active
    }

    /// A node that was off comes back, and knows which role it has.
    fn boot(&self, number: usize) {
        let node = self.node(number);
        if !node.is_running() {
            node.boot().expect("it boots");
            sh(node, "zpool import -f -d /dev tank");
        }
        configure(node, if number == self.active { "active" } else { "standby" });
        // A cut is noticed by nothing else.
        sh(
            node,
            "echo 'stall_timeout = \"20s\"' >> /etc/replicator/replicator.toml; replicator config check",
        );
    }

    /// The service writes, and the timer takes a snapshot.
    fn write(&mut self, name: &str) {
        let node = self.node(self.active);
        sh(
            node,
            &format!(
                "echo {name} > /tank/data/{name}; head -c 4000000 /dev/urandom > /tank/data/photos/{name}
                 zfs snapshot -r tank/data@{name}; sync"
            ),
        );
        self.files.insert(name.to_string(), name.to_string());
    }

    /// The other one is active from now on.
    fn switch(&mut self) {
        self.active = self.other();
        self.epoch += 1;
        for number in [1, 2] {
            if self.node(number).is_running() {
                self.boot(number);
            }
        }
    }

    /// Brings the pair to where the verb is asked for: on which node, and in which words.
    fn prepare(&mut self, verb: Verb, round: &str) -> (usize, &'static str) {
        let (old, new) = (self.active, self.other());
        match verb {
            Verb::Send => (old, "send data"),
            Verb::Handover => (old, "handover data"),
            Verb::Demote => (old, "demote data"),
            Verb::Promote => {
                ends(self.node(old), "demote data", 0, &["the other node has everything"]);
                (new, "promote data")
            }
            Verb::Rejoin => {
                self.node(old).power_cut();
                let epoch = self.epoch;
                self.switch();
                ends(self.node(new), "promote data", 0, &["active now"]);
                // What was not sent is not there.
                self.files.remove(round);
                self.kept.push((old, format!("tank/data-divergent-{epoch}"), round.to_string()));
                self.write(&format!("{round}-after"));
                self.boot(old);
                (old, "rejoin data")
            }
        }
    }

    /// Runs it, and breaks it off.
    fn break_off(&mut self, (at, words): (usize, &str), how: Break, after: Duration) {
        let run = self.node(at).script(&format!("exec replicator pair {words}"));
        let run = run.limit(Duration::from_secs(300)).spawn().expect("started");
        let begun = Instant::now();
        while begun.elapsed() < after && !run.finished() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.broken += usize::from(!run.finished());
        let link = self.cluster.link(1, 2);
        match how {
            Break::Kill => run.kill(),
            Break::Cut => link.cut(),
            Break::Power => self.node(at).power_cut(),
            Break::FarPower => self.node(3 - at).power_cut(),
        }
        match run.wait() {
            Ok(output) => assert!(!output.err().contains("panicked"), "{}", output.err()),
            Err(error) => assert_eq!(how, Break::Power, "{error}"),
        }
        link.heal();
    }

    /// Asks again until it is done.
    fn repeat(&mut self, verb: Verb, (at, words): (usize, &str)) {
        for number in [1, 2] {
            self.boot(number);
        }
        let begun = Instant::now();
        for attempt in 1.. {
            // A node that comes back from a power cut mounts nothing before it is promoted, and had the service.
            let output = replicator(self.node(at), &format!("pair {words}"));
            if output.code() == 0 {
                break;
            }
            let said = format!("{}\n{}", output.out(), output.err());
            eprintln!("   attempt {attempt}: status {}: {said}", output.code());
            assert!(attempt < ATTEMPTS, "pair {words} on node{at}\n{said}");
            std::thread::sleep(Duration::from_secs(2));
        }
        self.spans.insert(verb, begun.elapsed());
    }

    /// What comes after the verb, until the other node follows the active one.
    fn finish(&mut self, verb: Verb) {
        match verb {
            Verb::Send | Verb::Rejoin => {}
            Verb::Handover | Verb::Promote => self.switch(),
            Verb::Demote => {
                // The send of a stop may have found no time: the timer goes on with it.
                ends(self.node(self.active), "send data", 0, &[]);
                self.switch();
            }
        }
        ends(self.node(self.active), "promote data", 0, &[&format!("epoch {}", self.epoch)]);
        ends(self.node(self.active), "send data", 0, &["has all snapshots"]);
        self.check();
    }

    fn check(&self) {
        let (active, standby) = (self.node(self.active), self.node(self.other()));
        for node in [active, standby] {
            let epoch = sh(node, "zfs get -H -o value replicator:epoch tank/data");
            let expected = format!("1:{}:node{}:", self.epoch, self.active);
            assert!(epoch.starts_with(&expected), "{epoch} on {}, and not {expected}", node.name());
        }
        let readonly = |node| sh(node, "zfs get -H -o value readonly tank/data");
        assert_eq!((readonly(active), readonly(standby)), ("off".to_string(), "on".to_string()));
        assert_eq!(sh(standby, "grep -c '^tank/data' /proc/mounts || true"), "0", "the standby is mounted");
        for dataset in ["tank/data", "tank/data/photos"] {
            let (ours, theirs) = (guids(active, dataset), guids(standby, dataset));
            assert_eq!(ours.last(), theirs.last(), "{dataset}");
            let newest = ours.last().and_then(|line| line.split('\t').next()).expect("a snapshot");
            assert_eq!(files(active, dataset, newest), files(standby, dataset, newest), "{dataset}");
        }
        for (name, text) in &self.files {
            assert_eq!(sh(active, &format!("cat /tank/data/{name}")), *text);
        }
        for (number, dataset, file) in &self.kept {
            let show = format!(
                "at=$(mktemp -d); mount -t zfs -o zfsutil,ro {dataset} $at; cat $at/{file}; umount $at"
            );
            assert_eq!(sh(self.node(*number), &show), *file, "{dataset} on node{number}");
        }
    }
}

#[test]
fn verbs_that_are_broken_off_at_any_moment_are_finished_and_nothing_is_lost() {
    let mut random = Random::seeded();
    let cluster = paired();
    let mut all = Rounds {
        cluster: &cluster,
        active: 1,
        epoch: 1,
        files: BTreeMap::new(),
        kept: Vec::new(),
        spans: BTreeMap::new(),
        broken: 0,
    };
    let rounds = if long() { 50 } else { 4 };
    for number in [1, 2] {
        all.boot(number);
    }
    for round in 0..rounds {
        // The first ones in turn, so that the short set has one of each.
        let pick = if round < VERBS.len() { round as u64 } else { random.below(VERBS.len() as u64) };
        let verb = VERBS[pick as usize];
        let how = BREAKS[random.below(BREAKS.len() as u64) as usize];
        let span = all.spans.get(&verb).copied().unwrap_or(Duration::from_secs(3));
        let after = Duration::from_millis(random.below(span.as_millis() as u64 + 1));
        eprintln!("-- {round}: {verb:?}, {how:?} after {after:?} of {span:?}");
        let name = format!("r{round}");
        all.write(&name);
        let asked = all.prepare(verb, &name);
        all.break_off(asked, how, after);
        all.repeat(verb, asked);
        all.finish(verb);
    }
    eprintln!("{} of {rounds} verbs were broken off", all.broken);
    assert!(2 * all.broken >= rounds, "only {} of {rounds} verbs were broken off", all.broken);
}
