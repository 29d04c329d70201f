//! One or several nodes with a network between them: built, booted together, gone with their folder when
//! dropped.

use crate::bootconf::{BIN_DIR, Mount};
use crate::cache::{self, Cache};
use crate::error::{Result, unfit};
use crate::link::Link;
use crate::node::{Machine, Node};
use crate::recipe::{Generation, MAX_NODES};
use crate::rundir::RunDir;
use crate::switch::Switch;
use crate::workspace;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

/// Where the release binaries are seen in a node.
pub const RELEASE_DIR: &str = "/opt/replicator/release";

/// Front ends that `replicator` can be called as; each becomes a link in [`BIN_DIR`] once the binary supports
/// it.
const FRONT_ENDS: &[&str] = &["sanoid", "syncoid"];

/// The memory of a node unless asked otherwise, in MB.
pub const DEFAULT_MEMORY: u64 = 2048;

/// What a cluster will be.
#[derive(Clone, Debug)]
#[must_use = "nothing is booted before boot()"]
pub struct Builder {
    nodes: usize,
    generation: Generation,
    memory: u64,
    time: Option<SystemTime>,
    share: Option<PathBuf>,
    mounts: Vec<Mount>,
    bin_dir: Option<PathBuf>,
    off: bool,
}

/// Running nodes.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    switch: Switch,
    generation: Generation,
    // Last: the nodes use it.
    _dir: RunDir,
}

impl Cluster {
    /// One node of the generation that `LAB_ZFS` names (newest without it), unless changed.
    pub fn builder() -> Builder {
        Builder {
            nodes: 1,
            generation: Generation::from_env(),
            memory: DEFAULT_MEMORY,
            time: None,
            share: None,
            mounts: Vec::new(),
            bin_dir: None,
            off: false,
        }
    }

    /// Boots so many nodes with nothing special about them.
    pub fn boot(nodes: usize) -> Result<Self> {
        Self::builder().nodes(nodes).boot()
    }

    /// A node by its number, counted from 1 as in its name.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// All nodes, `node1` first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The link between two nodes, by their numbers.
    ///
    /// # Panics
    /// When there is no such pair.
    pub fn link(&self, a: usize, b: usize) -> Link {
        assert!(
            a != b && a.min(b) >= 1 && a.max(b) <= self.nodes.len(),
            "no link between node{a} and node{b}"
        );
        self.switch.link(a - 1, b - 1).clone()
    }

    /// Which OpenZFS the nodes run.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() && std::env::var_os("LAB_CONSOLE").is_some() {
            for node in &self.nodes {
                eprintln!("{}", node.console_tail());
            }
        }
        self.nodes.iter().for_each(Node::power_cut);
    }
}

impl Builder {
    /// How many nodes.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Which OpenZFS.
    pub fn zfs(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }

    /// Memory of each node, in MB.
    pub fn memory(mut self, megabytes: u64) -> Self {
        self.memory = megabytes;
        self
    }

    /// Where the nodes' clocks start, instead of the host's time.
    pub fn node_time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// A folder of this machine that every node sees as `/share`, writable.
    pub fn share(self, dir: impl Into<PathBuf>) -> Self {
        let mut new = self;
        new.share = Some(dir.into());
        new
    }

    /// A folder of this machine that every node sees at a place of its own.
    pub fn mount(mut self, host: impl Into<PathBuf>, guest: impl Into<PathBuf>, writable: bool) -> Self {
        self.mounts.push(Mount { host: host.into(), guest: guest.into(), writable });
        self
    }

    /// The folder of the release binaries, instead of `LAB_BIN_DIR` or the one cargo fills.
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Leaves the nodes off; each is booted by [`Node::boot`].
    pub fn powered_off(mut self) -> Self {
        self.off = true;
        self
    }

    /// Waits for memory, makes the nodes and boots them all at once.
    pub fn boot(self) -> Result<Cluster> {
        if self.nodes == 0 || self.nodes > MAX_NODES {
            return unfit(format!("a cluster has 1 to {MAX_NODES} nodes, not {}", self.nodes));
        }
        let artifacts = cache::artifacts(self.generation)?;
        let agent = workspace::agent()?;
        let mut mounts = vec![Mount { host: workspace::root(), guest: "/src".into(), writable: false }];
        if let Some(share) = &self.share {
            let host = std::path::absolute(share).unwrap_or_else(|_| share.clone());
            if !host.is_dir() {
                return unfit(format!("{} is no folder, so it cannot be /share", host.display()));
            }
            mounts.push(Mount { host, guest: "/share".into(), writable: true });
        }
        let mut links = Vec::new();
        if let Some(dir) = self.bin_dir.clone().or_else(workspace::bin_dir) {
            let target = format!("{RELEASE_DIR}/replicator");
            links.push(("replicator".to_owned(), target.clone()));
            links.extend(FRONT_ENDS.iter().map(|name| ((*name).to_owned(), target.clone())));
            mounts.push(Mount { host: dir, guest: RELEASE_DIR.into(), writable: false });
        }
        mounts.extend(self.mounts.iter().cloned());
        if let Some(bad) = mounts.iter().find(|m| !plain(&m.host) || !plain(&m.guest)) {
            return unfit(format!(
                "a node cannot see {:?}: the path must be UTF-8 without control characters",
                bad.host
            ));
        }
        let dir = RunDir::reserve(&Cache::open()?, self.memory * self.nodes as u64, self.nodes)?;
        let switch = Switch::new(self.nodes);
        let machine = Machine { artifacts, agent, memory: self.memory, mounts, links, network: true };
        let mut cluster = Cluster { nodes: Vec::new(), switch, generation: self.generation, _dir: dir };
        for index in 1..=self.nodes {
            let place = cluster._dir.path().join(format!("node{index}"));
            let cpu = cluster._dir.cpu(index - 1);
            cluster.nodes.push(Node::create(index, place, machine.clone(), cpu, cluster.switch.clone())?);
        }
        if !self.off {
            boot_all(&cluster.nodes, self.time)?;
        }
        Ok(cluster)
    }
}

fn boot_all(nodes: &[Node], time: Option<SystemTime>) -> Result<()> {
    thread::scope(|scope| {
        let boots: Vec<_> = nodes.iter().map(|node| scope.spawn(move || node.boot_at(time))).collect();
        let ends: Vec<_> =
            boots.into_iter().map(|b| b.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect();
        ends.into_iter().try_for_each(|end| end.map(drop))
    })
}

fn plain(path: &Path) -> bool {
    path.to_str().is_some_and(|p| !p.chars().any(char::is_control))
}

/// First on a node's PATH.
pub fn node_bin_dir() -> &'static str {
    BIN_DIR
}
