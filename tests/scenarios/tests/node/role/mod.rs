//! Roles of two nodes through days in the life of a pair: files of events in, a log out, which is in the same file. The
//! cluster is a stand-in, the epochs are on real pools, and all between is what every run goes through.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use replicator::cancel::Cancel;
use replicator::config::Config;
use replicator::config::pair::Pair;
use replicator::config::place::Source;
use replicator::host::Host;
use replicator::host::local::Local;
use replicator::pair::Belief;
use replicator::pair::Epoch;
use replicator::pair::epoch;
use replicator::role::Role;
use replicator::role::by_hand;
use replicator::role::decide::Names;
use replicator::role::decide::Purpose;
use replicator::role::epochs::Epochs;
use replicator::role::observation::PeerSaid;
use replicator::role::observation::Seen;
use replicator::role::roots;
use replicator::role::source;
use replicator::role::watch::Decision;
use replicator::role::watch::Eyes;
use replicator::role::watch::Fence;
use replicator::role::watch::watch;
use scenarios::proxmox::Cluster;
use scenarios::proxmox::PVESH;

use crate::pool::*;

/// Long enough for a node on a machine that has much to do.
const TIMEOUT: Duration = Duration::from_secs(50);

/// The two nodes of the pair; a third one has a vote.
const NODES: [&str; 2] = ["a", "b"];

/// When the virtual time begins.
const BEGINNING: i64 = 1_800_000_000;

/// One of the two nodes: its pool, its view of the cluster, and what it was doing.
struct Node {
    pool: Pool,
    folder: tempfile::TempDir,
    pair: Pair,
    fence: Option<Fence>,
}

impl Node {
    fn new(at: usize) -> Self {
        let pool = Pool::new();
        for name in ["data", "more"] {
            pool.filesystem(name);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let pvesh = folder.path().join("pvesh");
        write_program(&pvesh, PVESH);
        let (root, path) = (pool.root(), folder.path().display());
        let text = format!(
            "[pair.nfs]\nroots = ['{root}/data', '{root}/more']\nnode = '{}'\npeer = {{ node = '{}' }}\n\
             proxmox = {{ guest = 103, files = '{path}', pvesh = '{path}/pvesh' }}\nwatch = {{ times = 2, distance = '0' }}\n",
            NODES[at],
            NODES[1 - at]
        );
        let (config, problems) = Config::parse(&[Source::new(Path::new("x.toml"), text)]);
        assert_eq!(problems.errors(), 0, "{}", problems.render());
        let pair = config.pairs.into_iter().next().expect("a pair");
        Self { pool, folder, pair, fence: None }
    }

    fn host(&self) -> Local {
        Local::new(self.pool.zfs.clone())
    }

    /// What the pool says, of all roots.
    fn epochs(&self) -> Epochs {
        roots::epochs(&mut self.host(), &self.pair.roots)
    }

    /// What all roots say alike.
    fn epoch(&self) -> Seen<Option<replicator::role::observation::Epoch>> {
        self.epochs().all()
    }

    /// Writes an epoch down on so many roots.
    fn write_epoch(&self, number: u64, holder: &str, roots: usize) {
        let pool = self.host().about(self.pool.root().pool()).expect("the pool").guid;
        let one = Epoch { number, holder: holder.parse().expect("a name"), pool };
        let (name, value) = epoch::written(&one);
        for root in &self.pair.roots[..roots] {
            self.pool.zfs_command(&["set", &format!("{name}={value}"), root.as_str()]);
        }
    }

    /// Puts the view of the cluster there.
    fn show(&self, files: &[(&str, String)]) {
        for name in [".vmlist", ".members"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
        for (name, text) in files {
            std::fs::write(self.folder.path().join(name), text).expect("written");
        }
    }
}

/// Another process writes it: a file that is open for writing here is busy for whatever a thread starts just then.
fn write_program(path: &Path, text: &str) {
    let line = "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let status = Command::new("/bin/sh").args(["-c", line, "sh", text]).arg(path).status();
    assert!(status.expect("a shell").success());
}

/// Both nodes and what is between them.
struct World {
    cluster: Cluster,
    nodes: [Node; 2],
    /// Whether the nodes reach each other.
    link: Arc<AtomicBool>,
    /// Seconds since the beginning.
    clock: Arc<AtomicI64>,
}

fn now(clock: &AtomicI64) -> Timestamp {
    Timestamp::from_second(BEGINNING + clock.load(Ordering::Relaxed)).expect("a time")
}

fn at(name: &str) -> usize {
    NODES.iter().position(|node| *node == name).expect("a node of the pair")
}

impl World {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(103, &["a", "b", "c"]),
            nodes: [Node::new(0), Node::new(1)],
            link: Arc::new(AtomicBool::new(true)),
            clock: Arc::default(),
        }
    }

    /// What is no business of the cluster's.
    fn event(&mut self, words: &[&str]) {
        let number = |node: usize| {
            let seen = self.nodes[node].epoch();
            seen.known().and_then(Option::as_ref).map_or(0, |epoch| epoch.number)
        };
        match words {
            // By the rule of a promotion: above what is known of both.
            ["promote", name] => {
                let (node, other) = (at(name), 1 - at(name));
                let reaches = self.link.load(Ordering::Relaxed) && self.cluster.is_on(NODES[other]);
                let highest = number(node).max(if reaches { number(other) } else { 0 });
                self.nodes[node].write_epoch(highest + 1, name, 2);
            }
            // It was cut off after the first root.
            ["promote", name, "half"] => {
                let highest = number(0).max(number(1));
                self.nodes[at(name)].write_epoch(highest + 1, name, 1);
            }
            // What the other one sends arrives, or this node follows it again: it takes over its epoch.
            ["receive" | "rejoin", name] => {
                let (node, other) = (at(name), 1 - at(name));
                let seen = self.nodes[other].epoch();
                let epoch = seen.known().and_then(Option::as_ref).expect("an epoch").clone();
                self.nodes[node].write_epoch(epoch.number, &epoch.holder, 2);
            }
            // Another disk, on which nobody was promoted.
            ["disk", name] => {
                let node = &self.nodes[at(name)];
                for root in &node.pair.roots {
                    node.pool.zfs_command(&["inherit", replicator::marks::EPOCH, root.as_str()]);
                }
            }
            // The property of the other pool, as it would come with a stream that carries properties.
            ["copied", name] => {
                let (node, other) = (&self.nodes[at(name)], &self.nodes[1 - at(name)]);
                let get = ["get", "-Hpo", "value", replicator::marks::EPOCH, other.pair.roots[0].as_str()];
                let set = format!("{}={}", replicator::marks::EPOCH, node.pool.zfs_command(&get).trim());
                node.pool.zfs_command(&["set", &set, node.pair.roots[0].as_str()]);
            }
            ["link", how @ ("up" | "down")] => self.link.store(*how == "up", Ordering::Relaxed),
            ["say", name, role, seconds] => {
                let role = [Role::Active, Role::Standby, Role::Isolated, Role::Unknown]
                    .into_iter()
                    .find(|one| one.word() == *role)
                    .expect("a role");
                let from = now(&self.clock);
                let until = from + Duration::from_secs(seconds.parse().expect("a number"));
                let folder = self.nodes[at(name)].folder.path();
                by_hand::set(folder, "nfs", role, from, until).expect("written");
            }
            ["clock", "back", seconds] => {
                self.clock.fetch_sub(seconds.parse().expect("a number"), Ordering::Relaxed);
            }
            ["begin" | "wait"] => {}
            other => panic!("what is {other:?}?"),
        }
    }

    /// The eyes of a node. Who the other one takes itself for is what it decides without asking back.
    fn eyes(&self, node: usize, other_is: Option<Role>) -> Eyes {
        let (this, other) = (&self.nodes[node], &self.nodes[1 - node]);
        let mut pair = this.pair.clone();
        // A question that hangs is waited for only where one does.
        let mode = std::fs::read_to_string(this.folder.path().join("mode")).unwrap_or_default();
        pair.watch.timeout = if mode.trim() == "hangs" { Duration::from_secs(5) } else { TIMEOUT };
        let (mut host, mut far) = (this.host(), other.host());
        let (roots, far_roots) = (pair.roots.clone(), other.pair.roots.clone());
        let names: Vec<String> = roots.iter().map(ToString::to_string).collect();
        let (clock, link, state) = (self.clock.clone(), self.link.clone(), this.folder.path().to_path_buf());
        let is_on = self.cluster.is_on(NODES[1 - node]);
        Eyes {
            source: source::of(&pair),
            epoch: Box::new(move |_| roots::epochs_here(&mut host, &roots)),
            peer: Box::new(move |_| match other_is {
                None => PeerSaid::NotAsked,
                Some(_) if !is_on || !link.load(Ordering::Relaxed) => {
                    PeerSaid::Unreachable("no route to host".to_string())
                }
                Some(role) => {
                    // The roots of a pair have the same names on both nodes, and the pools of this test have not.
                    let far = roots::epochs(&mut far, &far_roots);
                    let named =
                        names.iter().zip(far.each()).map(|(name, (_, epoch))| (name.clone(), epoch.clone()));
                    PeerSaid::Answered { role: Seen::Known(role), epoch: Epochs::new(named) }
                }
            }),
            by_hand: Box::new(move |_| by_hand::read(&state, "nfs", now(&clock))),
            keeps: None,
        }
    }

    fn decide(&self, node: usize, other_is: Option<Role>) -> Decision {
        let (mut eyes, pair) = (self.eyes(node, other_is), &self.nodes[node].pair);
        let names = Names::of(pair);
        watch(&mut eyes, &names, &pair.watch, Purpose::Run, &Cancel::new()).expect("not interrupted")
    }

    /// A text without the names and numbers that are others each time.
    fn plain(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (node, name) in self.nodes.iter().zip(NODES) {
            text = text.replace(&node.folder.path().display().to_string(), "/etc/pve");
            let pool = node.host().about(node.pool.root().pool()).expect("the pool").guid;
            text = text.replace(&pool.to_string(), &format!("<that of {name}>"));
            text = text.replace(node.pool.root().as_str(), "pool");
        }
        text
    }

    /// What both nodes are, as lines of the log. Never both active.
    fn look(&mut self) -> String {
        let mut log = String::new();
        for (node, name) in NODES.into_iter().enumerate() {
            if self.cluster.is_on(name) {
                self.nodes[node].show(&self.cluster.files(name));
            }
        }
        // What was going on when it happened looks once more before its next step.
        for (node, name) in NODES.into_iter().enumerate() {
            if let Some(fence) = self.nodes[node].fence.take()
                && self.cluster.is_on(name)
                && let Err(fenced) = fence.check()
            {
                log.push_str(&format!("    {name}: what it did as {} stops\n", fenced.was));
            }
        }
        let alone: Vec<_> = (0..2)
            .map(|node| self.cluster.is_on(NODES[node]).then(|| self.decide(node, None).verdict.role))
            .collect();
        let mut roles = Vec::new();
        for (node, name) in NODES.into_iter().enumerate() {
            if !self.cluster.is_on(name) {
                log.push_str(&format!("    {name}: off\n"));
                continue;
            }
            let other_is = alone[1 - node].unwrap_or(Role::Unknown);
            let decision = self.decide(node, Some(other_is));
            let verdict = &decision.verdict;
            let reasons: Vec<_> = verdict.reasons.iter().map(|reason| self.plain(&reason.text)).collect();
            log.push_str(&format!("    {name}: {} ({})\n", verdict.role, reasons.join("; ")));
            roles.push(verdict.role);
            let names = Names::of(&self.nodes[node].pair);
            let eyes = self.eyes(node, Some(other_is));
            self.nodes[node].fence = Fence::new(eyes, names, Purpose::Run, &decision, Cancel::new()).ok();
        }
        assert_ne!(roles, [Role::Active, Role::Active], "{log}");
        log
    }
}

/// Plays the events of a file, and holds the log against it.
fn play(name: &str, text: &str) {
    let mut world = World::new();
    let mut log = String::new();
    let mut events = 0;
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        log.push_str(line);
        log.push('\n');
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let mut words: Vec<_> = line.split_whitespace().collect();
        let (minutes, seconds) = words.remove(0).split_once(':').expect("a time");
        let time = 60 * minutes.parse::<u64>().expect("minutes") + seconds.parse::<u64>().expect("seconds");
        world.cluster.at(time);
        world.clock.store(i64::try_from(time).expect("a short time"), Ordering::Relaxed);
        if !world.cluster.event(&words) {
            world.event(&words);
        }
        log.push_str(&world.look());
        events += 1;
    }
    assert!(events > 5, "{name} has only {events} events");
    if log != text {
        let difference = log.lines().zip(text.lines()).find(|(ours, theirs)| ours != theirs);
        panic!("{name} is not what came of it, from {difference:?} on. What came of it:\n{log}");
    }
}

#[test]
fn a_day() {
    play("day.txt", include_str!("day.txt"));
}

#[test]
fn a_split_cluster() {
    play("split.txt", include_str!("split.txt"));
}

#[test]
fn doubts() {
    play("doubts.txt", include_str!("doubts.txt"));
}

#[test]
fn an_epoch_is_read_from_the_pool_and_believed_only_there() {
    let node = Node::new(0);
    assert_eq!(node.epoch(), Seen::Known(None));
    node.write_epoch(4, "a", 2);
    let seen = node.epoch();
    let epoch = seen.known().and_then(Option::as_ref).expect("known");
    assert_eq!((epoch.number, epoch.holder.as_str()), (4, "a"));
    let pool = node.host().about(node.pool.root().pool()).expect("the pool").guid;
    let property = node
        .host()
        .some_properties(
            &node.pair.roots[0],
            replicator::host::Depth::One,
            &[replicator::marks::EPOCH.to_string()],
        )
        .expect("read")
        .remove(&node.pair.roots[0])
        .and_then(|mut all| all.remove(replicator::marks::EPOCH));
    assert!(matches!(epoch::believe(property.as_ref(), pool), Belief::Known(_)));
    // A root that is gone has none, one of a pool that is gone is not known.
    node.pool.zfs_command(&["destroy", node.pair.roots[1].as_str()]);
    let left = node.epochs();
    let of = |at: usize| left.of(node.pair.roots[at].as_str());
    assert_eq!((of(0), of(1)), (Some(&seen), Some(&Seen::Known(None))));
    assert!(left.all().known().is_none() && !left.are_of("a"), "{left}");
    let nowhere = ["nowhere/data".parse().expect("a name")];
    assert!(roots::epochs(&mut node.host(), &nowhere).all().known().is_none());
    // Inherited from above it says nothing.
    let (name, value) = epoch::written(&Epoch { number: 4, holder: "a".parse().expect("a name"), pool });
    node.pool.zfs_command(&["set", &format!("{name}={value}"), node.pool.root().as_str()]);
    node.pool.zfs_command(&["inherit", &name, node.pair.roots[0].as_str()]);
    let below = roots::epochs(&mut node.host(), &node.pair.roots[..1]).all();
    assert!(below.why().is_some_and(|why| why.contains("dataset above")), "{below:?}");
}
