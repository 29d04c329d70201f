//! Progress of a build: one line a phase with its time, the output of every program in a log file, and the
//! log's name and end when one fails.

use crate::error::{Context, LabError, Result};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a long phase says that it is still at work.
const STILL: Duration = Duration::from_secs(60);

/// The log and the clock of one build.
pub(crate) struct Progress {
    log: PathBuf,
    start: Instant,
    phase: String,
}

impl Progress {
    /// Starts a build's log.
    pub(crate) fn start(dir: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(dir).on("making", dir)?;
        let log = dir.join(format!("{name}.log"));
        File::create(&log).on("creating", &log)?;
        Ok(Self { log, start: Instant::now(), phase: String::new() })
    }

    /// Begins a phase and says so.
    pub(crate) fn phase(&mut self, text: impl Into<String>) {
        self.phase = text.into();
        self.say(&self.phase.clone());
        let banner = format!("\n==== {} ({})\n", self.phase, clock(self.start.elapsed()));
        if let Ok(mut log) = File::options().append(true).open(&self.log) {
            let _ = log.write_all(banner.as_bytes());
        }
    }

    /// Prints a line with the time since the start.
    pub(crate) fn say(&self, text: &str) {
        eprintln!("[{}] {text}", clock(self.start.elapsed()));
    }

    /// Runs a program with its output in the log.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let mut log = File::options().append(true).open(&self.log).on("opening", &self.log)?;
        let _ = writeln!(log, "+ {command:?}");
        let clone = || log.try_clone().on("opening", &self.log);
        let what = || format!("starting {:?}", command_name(command.get_program()));
        let (out, err) = (clone()?, clone()?);
        let text = what();
        let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().context(|| text)?;
        let mut said = Instant::now();
        let mut pause = Duration::from_millis(5);
        let status = loop {
            if let Some(status) = child.try_wait().context(|| "waiting for a program")? {
                break status;
            }
            if said.elapsed() > STILL {
                said = Instant::now();
                self.say(&format!("  still: {}", self.phase));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        };
        if status.success() { Ok(()) } else { Err(self.failed(&status.to_string())) }
    }

    /// Runs a program and returns what it printed; its complaints go to the log.
    pub(crate) fn output(&self, command: &mut Command) -> Result<String> {
        let mut log = File::options().append(true).open(&self.log).on("opening", &self.log)?;
        let _ = writeln!(log, "+ {command:?}");
        let text = format!("starting {:?}", command_name(command.get_program()));
        let output = command.stdin(Stdio::null()).stderr(log).output().context(|| text)?;
        if !output.status.success() {
            return Err(self.failed(&output.status.to_string()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The error of the present phase.
    pub(crate) fn failed(&self, status: &str) -> LabError {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        LabError::Build { step: self.phase.clone(), status: status.to_owned(), log: self.log.clone(), tail }
    }
}

fn command_name(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

fn clock(elapsed: Duration) -> String {
    let s = elapsed.as_secs();
    format!("{:2}:{:02}", s / 60, s % 60)
}
