//! A bash that stays: here, or on the other machine over one ssh connection. What it is asked costs no new connection,
//! so that looking at counters does not move them. Its scripts are this harness's own; nothing measured goes through it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use crate::counters::Counters;
use crate::counters::QUESTION;
use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::error::unfit;

/// The line before an exit status. It does not look like anything `zfs` prints.
const MARK: &str = "\u{1}end of zfs-bench";

/// Bash on a machine.
#[derive(Debug)]
pub struct Shell {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    /// On this machine.
    ///
    /// # Errors
    /// Where bash does not start.
    pub fn here() -> Result<Self> {
        Self::start("this machine", &mut Command::new("/bin/bash"))
    }

    /// On another machine, or as if on another, by the system's ssh.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn far(host: &str) -> Result<Self> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", host, "exec /bin/bash"]);
        let mut shell = Self::start(host, &mut ssh)?;
        match shell.run("true") {
            Ok(_) => Ok(shell),
            Err(error) => unfit(format!(
                "{host} cannot be used as the other machine: root must get in with a key and without a question ({error})"
            )),
        }
    }

    fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context(|| format!("starting a shell on {name}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return unfit("a shell without pipes");
        };
        Ok(Self { name: name.to_string(), child, input: Some(input), output: BufReader::new(output) })
    }

    /// Runs a script that must succeed, each command of it, and returns what it printed.
    ///
    /// # Errors
    /// What it said, where it failed.
    pub fn run(&mut self, script: &str) -> Result<String> {
        self.ask(&format!("(set -euo pipefail\n{script}\n) </dev/null 2>&1"), script)
    }

    /// The counters of its machine.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn counters(&mut self) -> Result<Counters> {
        Counters::parse(&self.ask(QUESTION, "reading the counters")?)
    }

    /// The figure of `zpool sync`: everything so far is on disk, and what was destroyed does not compete with the next run.
    ///
    /// # Errors
    /// Where the pool hangs or is gone.
    pub fn settle(&mut self, pool: &str) -> Result<()> {
        self.run(&format!("zpool sync {pool}; zpool wait -t free {pool}")).map(drop)
    }

    fn ask(&mut self, script: &str, what: &str) -> Result<String> {
        let gone = || format!("the shell on {}", self.name);
        let input = self.input.as_mut().ok_or_else(|| BenchError::Unfit(gone()))?;
        write!(input, "{script}\nprintf '\\n%s %s\\n' '{MARK}' $?\n")
            .and_then(|()| input.flush())
            .context(gone)?;
        let mut said = String::new();
        loop {
            let from = said.len();
            if self.output.read_line(&mut said).context(gone)? == 0 {
                return Err(BenchError::Failed { what: gone(), status: "its end".into(), said });
            }
            let Some(status) = said[from..].strip_prefix(MARK).map(|status| status.trim().to_string()) else {
                continue;
            };
            // The newline before the mark is ours.
            said.truncate(from.saturating_sub(1));
            if status == "0" {
                return Ok(said);
            }
            let what = format!("`{what}` on {}", self.name);
            return Err(BenchError::Failed { what, status: format!("exit code {status}"), said });
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Bash ends at the end of its input.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_answer_and_fail_and_the_shell_goes_on() {
        let mut shell = Shell::here().expect("a shell");
        assert_eq!(shell.run("echo one; printf two").unwrap(), "one\ntwo");
        let error = shell.run("echo before; false; echo after").unwrap_err().to_string();
        assert!(
            error.contains("exit code 1") && error.contains("before") && !error.contains("after\n"),
            "{error}"
        );
        assert!(shell.run("false | true").is_err(), "the first command of a pipe failed");
        assert_eq!(shell.run("cat").unwrap(), "", "a script has no input");
    }

    #[test]
    fn looking_at_the_counters_starts_nothing() {
        let mut shell = Shell::here().expect("a shell");
        // Other programs start some now and then; a question that did would do it every time.
        let quiet = (0..200).any(|_| {
            let before = shell.counters().expect("counters");
            shell.counters().expect("counters").since(&before).tasks == 0
        });
        assert!(quiet);
    }
}
