//! What each event does, and what is said then.

use std::time::Duration;

use lab::Output;
use lab::Process;
use scenarios::proxmox::Cluster;

use super::look::Both;
use super::look::Seen;
use super::look::datasets;
use super::look::role;
use super::mask::masked;
use super::nodes::NAMES;
use super::nodes::Nodes;
use super::nodes::place;
use super::script::Event;
use super::script::Given;
use crate::faults::until;

/// The guest that both nodes go by.
const GUEST: u32 = 103;

/// A command that runs while other things happen.
struct Begun {
    node: usize,
    process: Process,
    /// What had gone over the network before.
    bytes: u64,
}

/// The nodes, the cluster, and what was told of them.
pub(super) struct Stage {
    nodes: Nodes,
    cluster: Cluster,
    /// What each node sees of the cluster.
    shown: [Vec<(&'static str, String)>; 2],
    told: Both,
    begun: Option<Begun>,
    /// Seconds since the first midnight; none before the first event.
    now: Option<u64>,
}

impl Stage {
    pub(super) fn set(given: &Given) -> Self {
        let cluster = Cluster::new(GUEST, &[NAMES[0], NAMES[1], "witness"]);
        let (shown, told) = (Default::default(), Both::new());
        Self { nodes: Nodes::new(given), cluster, shown, told, begun: None, now: None }
    }

    /// Lets an event happen. What is said then, masked.
    pub(super) fn play(&mut self, event: &Event) -> Vec<String> {
        self.cluster.at(event.at);
        if self.now.replace(event.at) != Some(event.at) {
            for at in [0, 1] {
                self.nodes.set_clock(at, event.at);
            }
        }
        let words: Vec<&str> = event.words.iter().map(String::as_str).collect();
        let is_clusters = self.cluster.event(&words);
        if let ["pvesh", node, how] = words.as_slice() {
            self.nodes.hangs(place(node), *how == "hangs");
        }
        if let ["off", node] = words.as_slice() {
            self.nodes.node(place(node)).power_cut();
        }
        if let ["on", node] = words.as_slice() {
            self.nodes.boot(place(node), event.at);
            self.shown[place(node)].clear();
        }
        self.show();
        let said = if is_clusters { Vec::new() } else { self.happen(&words, event.at) };
        masked(&said)
    }

    /// Puts the view of the cluster onto both nodes, where it has changed.
    fn show(&mut self) {
        for (at, name) in NAMES.into_iter().enumerate() {
            if !self.nodes.node(at).is_running() {
                continue;
            }
            let files = self.cluster.files(name);
            if files == self.shown[at] {
                continue;
            }
            // One after the other and not at once, as pmxcfs and pvesh are two things; each as a whole.
            let mut script = String::from("cd /root/pve; rm -f .vmlist .members\n");
            for (file, text) in &files {
                script.push_str(&format!("cat > {file}.new <<'END'\n{text}END\nmv {file}.new {file}\n"));
            }
            self.nodes.must(at, &script);
            self.shown[at] = files;
        }
    }

    /// What is no business of the cluster's.
    fn happen(&mut self, words: &[&str], now: u64) -> Vec<String> {
        match words {
            ["wait"] => {}
            ["link", "down"] => self.nodes.link().cut(),
            ["link", "up"] => self.nodes.meet_again(),
            ["link", "slow", bytes] => {
                self.nodes.link().bandwidth(Some(bytes.parse().expect("a number")));
            }
            ["link", "fast"] => self.nodes.link().bandwidth(None),
            ["clock", node, hours] => {
                self.nodes.ahead[place(node)] = hours.parse().expect("hours");
                self.nodes.set_clock(place(node), now);
            }
            ["disk", node] => {
                self.nodes.replace_disk(place(node), now);
                self.shown[place(node)].clear();
                self.show();
            }
            ["passes", megabytes] => self.passes(megabytes.parse().expect("a number")),
            [node, "begins", command @ ..] => {
                let (node, bytes) = (place(node), self.nodes.link().counters().payload);
                let script = format!("exec {}", command.join(" "));
                let script = self.nodes.node(node).script(&script).limit(Duration::from_secs(600));
                let process = script.spawn().expect("started");
                let before = self.begun.replace(Begun { node, process, bytes });
                assert!(before.is_none(), "something has not ended yet");
            }
            [node, how @ ("ends" | "kills")] => {
                let begun = self.begun.take().expect("something has begun");
                assert_eq!(begun.node, place(node));
                if *how == "kills" {
                    begun.process.kill();
                }
                return said(&begun.process.wait().expect("it ends"));
            }
            [node, rest @ ..] => return self.on(place(node), rest),
            [] => panic!("nothing happens"),
        }
        Vec::new()
    }

    /// What somebody does on a node.
    fn on(&self, at: usize, words: &[&str]) -> Vec<String> {
        let hook = |phase| format!("replicator pair hook nfs {GUEST} {phase}");
        let script = match words {
            ["starts"] => hook("pre-start"),
            ["stops"] => hook("post-stop"),
            ["replicator", ..] => words.join(" "),
            ["sh", rest @ ..] => rest.join(" "),
            ["writes", file, text @ ..] => format!("printf '%s\\n' '{}' > {file} && sync", text.join(" ")),
            ["fills", file, megabytes] => format!("head -c {megabytes}000000 /dev/urandom > {file} && sync"),
            ["reads", file] => format!("cat {file}"),
            other => panic!("what is {other:?}?"),
        };
        let output = self.nodes.sh(at, &script);
        match words {
            // Of what goes well nothing needs to be told but what was read.
            ["sh" | "writes" | "fills" | "reads", ..] if output.success() => {
                output.lines().into_iter().filter(|line| !line.is_empty()).collect()
            }
            _ => said(&output),
        }
    }

    /// Waits until so much has gone over the network since something has begun.
    fn passes(&self, megabytes: u64) {
        let begun = self.begun.as_ref().expect("something has begun");
        until("bytes pass", Duration::from_secs(300), || {
            let passed = self.nodes.link().counters().payload - begun.bytes;
            passed > megabytes * 1_000_000 || begun.process.finished()
        });
        assert!(
            !begun.process.finished(),
            "it was over before: {}",
            String::from_utf8_lossy(&begun.process.stderr())
        );
    }

    /// Looks at both nodes after an event. Their roles are asked for where something has changed that these go by: of the
    /// cluster, of the network, of power, or of the epochs.
    pub(super) fn look(&self, event: &Event) -> Both {
        let list = |at: usize| {
            let node = self.nodes.node(at);
            node.is_running().then(|| datasets(node))
        };
        let mut lists = both(&list);
        let known = |at: usize| self.told.get(NAMES[at]).and_then(Option::as_ref);
        let is_of_a_node = NAMES.contains(&event.words[0].as_str());
        let anew = !is_of_a_node
            || (0..2).any(|at| match (known(at), &lists[at]) {
                (Some(known), Some(list)) => known.differs(list),
                (None, None) => false,
                _ => true,
            });
        let roles = both(&|at: usize| {
            lists[at].as_ref()?;
            Some(match known(at).filter(|_| !anew) {
                Some(known) => (known.role.clone(), known.reasons.clone()),
                None => role(self.nodes.node(at)),
            })
        });
        let mut seen = Both::new();
        for (at, role) in roles.into_iter().enumerate() {
            let whole = role.zip(lists[at].take());
            let whole = whole.map(|((role, reasons), datasets)| Seen { role, reasons, datasets });
            seen.insert(NAMES[at].to_string(), whole);
        }
        seen
    }

    /// What is new of it, for the log.
    pub(super) fn changed(&mut self, seen: Both) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, now) in &seen {
            if self.told.get(name) == Some(now) {
                continue;
            }
            match now {
                None => lines.push(format!("{name}: off")),
                Some(now) => lines.extend(now.lines(name)),
            }
        }
        self.told = seen;
        lines
    }

    /// Nothing is left running.
    pub(super) fn ended(self) {
        assert!(self.begun.is_none(), "something has not ended");
    }
}

/// Of both nodes, side by side.
fn both<T: Send>(one: &(dyn Fn(usize) -> T + Sync)) -> [T; 2] {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| one(1));
        [one(0), other.join().expect("looked at")]
    })
}

/// What a command has said, and how it ended.
fn said(output: &Output) -> Vec<String> {
    let (err, out) = (output.err(), output.out());
    assert!(!err.contains("panicked"), "{err}");
    let mut lines: Vec<_> = err.lines().chain(out.lines()).map(str::to_string).collect();
    lines.push(format!("status {}", output.code()));
    lines
}
