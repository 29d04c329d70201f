//! Runs one command and tells what it took. A process of its own waits for it (`zfs-bench measured`), so that the kernel's
//! sums over "all children" are those of this command alone.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::rusage;

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

/// Starts commands under the eyes of a process each.
#[derive(Clone, Debug)]
pub struct Measurer {
    /// The program `zfs-bench`.
    program: PathBuf,
    scratch: PathBuf,
}

impl Measurer {
    /// `program` is `zfs-bench`, `scratch` a folder for its notes.
    pub fn new(program: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), scratch: scratch.into() }
    }

    /// Runs a command to its end. Returns what it took and what it wrote to standard output.
    ///
    /// # Errors
    /// Where it fails: a program that failed is no fast program.
    pub fn run(&self, job: &Job) -> Result<(Usage, String)> {
        let note = self.scratch.join("usage.json");
        let _ = std::fs::remove_file(&note);
        let output = Command::new(&self.program)
            .arg("measured")
            .arg(&note)
            .arg("--")
            .args(&job.argv)
            .envs(job.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .context(|| format!("starting {}", self.program.display()))?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let err = String::from_utf8_lossy(&output.stderr);
            let said = format!("{}\n{}", job.argv.join(" "), tail(&format!("{out}{err}")));
            return Err(BenchError::Failed {
                what: job.who.clone(),
                status: output.status.to_string(),
                said,
            });
        }
        let text = std::fs::read_to_string(&note).on("reading", &note)?;
        let usage = serde_json::from_str(&text).context(|| format!("reading {}", note.display()))?;
        Ok((usage, out))
    }
}

/// The last of what a program said; the cause is there.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The other side of [`Measurer::run`]: runs the command, writes the note, hands the exit status on.
///
/// # Errors
/// Where it does not start, or the note cannot be written.
pub fn measured(note: &Path, argv: &[String]) -> Result<i32> {
    let Some((program, args)) = argv.split_first() else {
        return crate::error::unfit("no command to measure");
    };
    let began = Instant::now();
    let status = Command::new(program).args(args).status().context(|| format!("starting {program}"))?;
    let seconds = began.elapsed().as_secs_f64();
    let (cpu, peak) = rusage::of_children().context(|| "asking for the usage".to_string())?;
    let usage = Usage { seconds, cpu, peak };
    let text = serde_json::to_string(&usage).context(|| "writing the usage".to_string())?;
    std::fs::write(note, text).on("writing", note)?;
    use std::os::unix::process::ExitStatusExt;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
