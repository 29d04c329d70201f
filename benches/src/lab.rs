//! What a benchmark has at hand: shells on the machines, pools to make, programs to call, and what was left out.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use tempfile::TempDir;

use crate::contender::Contender;
use crate::contender::Programs;
use crate::contender::Way;
use crate::error::Context;
use crate::error::Result;
use crate::measure::Measurer;
use crate::pool::Device;
use crate::pool::Pool;
use crate::shell::Shell;
use crate::sizes::Sizes;

/// The pools' names. One run at a time on a machine: a second one fails, as these exist.
const SOURCE: &str = "zfsbenchsrc";
const TARGET: &str = "zfsbenchdst";

/// The surroundings of a benchmark.
#[derive(Debug)]
pub struct Lab {
    /// Bash on this machine.
    pub here: Rc<RefCell<Shell>>,
    /// The other machine, where there is one.
    pub far: Option<Far>,
    /// Whether this is a node of the lab.
    pub node: bool,
    /// How much is measured.
    pub sizes: Sizes,
    /// How often.
    pub rounds: usize,
    /// The programs.
    pub programs: Programs,
    /// Runs commands.
    pub measurer: Measurer,
    /// This program.
    pub me: PathBuf,
    /// What was left out, and why.
    pub left_out: RefCell<Vec<String>>,
    /// For pools: the source, a target here, a target there.
    pub devices: [Device; 3],
    /// A folder that goes with this.
    pub scratch: TempDir,
}

/// The other machine.
#[derive(Debug)]
pub struct Far {
    /// As ssh calls it: `root@node2`.
    pub host: String,
    /// Bash there.
    pub shell: Rc<RefCell<Shell>>,
    /// Whether it is in fact this machine: then its counters are those of this one.
    pub same: bool,
}

impl Far {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn connect(host: &str, here: &Rc<RefCell<Shell>>) -> Result<Self> {
        let boot = "cat /proc/sys/kernel/random/boot_id";
        let mut shell = Shell::far(host)?;
        let same = shell.run(boot)? == here.borrow_mut().run(boot)?;
        Ok(Self { host: host.to_string(), shell: Rc::new(RefCell::new(shell)), same })
    }
}

impl Lab {
    /// A file of this run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Notes what is left out.
    pub fn leave_out(&self, why: impl Into<String>) {
        let why = why.into();
        let mut all = self.left_out.borrow_mut();
        if !all.contains(&why) {
            eprintln!("zfs-bench: {why}");
            all.push(why);
        }
    }

    /// Of those that would take part, the ones that are there.
    pub fn present(&self, wanted: Vec<Contender>) -> Vec<Contender> {
        wanted.into_iter().filter(|one| one.available(&self.programs).is_ok()).collect()
    }

    /// A pool for what is sent.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn source_pool(&self) -> Result<Pool> {
        Pool::create(&self.here, SOURCE, &self.devices[0])
    }

    /// A pool for what is received, here or there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn target_pool(&self, way: &Way) -> Result<Pool> {
        match (way, &self.far) {
            (Way::Ssh(_), Some(far)) => Pool::create(&far.shell, TARGET, &self.devices[2]),
            _ => Pool::create(&self.here, TARGET, &self.devices[1]),
        }
    }

    /// The way to the other machine; `None`, with a note, where there is none.
    pub fn ssh(&self, suite: &str) -> Option<Way> {
        if self.far.is_none() {
            self.leave_out(format!("{suite} is left out: no other machine was named (--far root@HOST)"));
        }
        self.far.as_ref().map(|far| Way::Ssh(far.host.clone()))
    }

    /// Writes a file for the programs.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).on("making", folder)?;
        }
        std::fs::write(&path, text).on("writing", &path)?;
        Ok(path)
    }
}
