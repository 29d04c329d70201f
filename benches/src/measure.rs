//! Runs one command and tells what it took. A small program waits for it (`zfs-bench-starter`), so that the kernel's sums over
//! "all children" are those of this command alone.

use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde::Deserialize;
use serde::Serialize;

use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;

/// What a command took.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Usage {
    /// From its start to its end, in seconds.
    pub seconds: f64,
    /// CPU time of it and all that it started and waited for, in seconds.
    pub cpu: f64,
    /// The most memory of one of these processes, in bytes.
    pub peak: u64,
}

/// A command, and what it needs round it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who it stands for, in errors.
    pub who: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
}

/// A command that has run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it took.
    pub usage: Usage,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// The program that starts what is measured. It lies beside `zfs-bench`.
pub const STARTER: &str = "zfs-bench-starter";

/// Starts commands under the eyes of a process each.
#[derive(Clone, Debug)]
pub struct Measurer {
    starter: PathBuf,
    scratch: PathBuf,
}

impl Measurer {
    /// `starter` is [`STARTER`], `scratch` a folder for its notes.
    pub fn new(starter: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Self {
        Self { starter: starter.into(), scratch: scratch.into() }
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// Where it fails: a program that failed is no fast program.
    pub fn run(&self, job: &Job) -> Result<Ran> {
        let note = self.scratch.join("usage.json");
        let _ = std::fs::remove_file(&note);
        let output = Command::new(&self.starter)
            .arg(&note)
            .args(&job.argv)
            .envs(job.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .context(|| format!("starting {}", self.starter.display()))?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let said = format!("{}\n{}", job.argv.join(" "), tail(&format!("{out}{err}")));
            return Err(BenchError::Failed {
                what: job.who.clone(),
                status: output.status.to_string(),
                said,
            });
        }
        let text = std::fs::read_to_string(&note).on("reading", &note)?;
        let usage = serde_json::from_str(&text).context(|| format!("reading {}", note.display()))?;
        Ok(Ran { usage, out, err })
    }
}

/// The last of what a program said; the cause is there.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
