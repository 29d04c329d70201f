//! Results as they are kept: who ran on what machine, round by round. Everything shown is made of this.

use serde::Deserialize;
use serde::Serialize;

use crate::goal::Goal;
use crate::machine::Machine;

/// All runs of one call, as they are kept in `results.json`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Results {
    /// One for each machine that took part: nodes of the lab, and the machine itself.
    pub runs: Vec<Run>,
}

/// What was measured on one machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    /// Where.
    pub machine: Machine,
    /// What.
    pub cases: Vec<Case>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Suites that did not come to their end. What they had measured until then is among the cases.
    #[serde(default)]
    pub failed: Vec<Failed>,
}

/// A suite that failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its name.
    pub suite: String,
    /// Why.
    pub why: String,
}

/// One question, answered by several programs in turns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Case {
    /// The suite.
    pub suite: String,
    /// What is done, with its size.
    pub title: String,
    /// Bytes of data that each run has to move, where it moves data.
    pub bytes: Option<u64>,
    /// What else one has to know of it, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Who did it.
    pub series: Vec<Series>,
    /// What is wanted.
    pub goals: Vec<Goal>,
}

/// The runs of one program, in the order of the rounds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Series {
    /// A short name.
    pub name: String,
    /// Whether it is this project's.
    pub ours: bool,
    /// The command line of the last round.
    pub command: String,
    /// One for each round.
    pub samples: Vec<Sample>,
}

/// One run.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// Time by the clock.
    pub seconds: f64,
    /// Of this time, what was left when the first MiB was over the line ([`crate::flow`]); nothing where that was not looked
    /// at.
    pub flow: Option<f64>,
    /// CPU time of the program and all it started here, in seconds.
    pub cpu: f64,
    /// CPU time of this whole machine meanwhile: what the kernel did on threads of its own is the difference.
    pub cpu_here: f64,
    /// CPU time of the whole other machine meanwhile; nothing where there is none or it is this one.
    pub cpu_far: Option<f64>,
    /// The most memory that one of its processes here had, in bytes.
    pub peak: u64,
    /// The most memory that one of the processes had that were started on the other machine meanwhile ([`crate::memory`]);
    /// nothing where that was not looked at.
    pub peak_far: Option<u64>,
    /// Processes and threads that were started here meanwhile, the kernel's included.
    pub tasks_here: u64,
    /// The same on the other machine.
    pub tasks_far: Option<u64>,
    /// TCP connections that were opened from here.
    pub connections: u64,
    /// TCP connections that were opened from the other machine.
    pub connections_far: Option<u64>,
    /// Bytes on the wire, both directions, headers included.
    pub wire: u64,
}

impl Case {
    /// A series by its name.
    pub fn series(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }
}

impl Series {
    /// A figure of every round.
    pub fn values(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }
}
