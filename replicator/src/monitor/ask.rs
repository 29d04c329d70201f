//! Questions that may never be answered: each is put by a process of its own, which says what it finds line by line,
//! and what was said in time counts. A thread would not do: one that waits in the kernel for a pool that hangs cannot be
//! ended, and a process is not gone before its last thread is, so that whoever waits for the check would hang with it.

use std::ffi::OsString;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;

/// The most bytes that are taken of one answer. A line for each of a hundred thousand datasets fits.
const LIMIT: u64 = 64 << 20;

/// The most bytes of an error that are taken.
const ERROR_LIMIT: u64 = 4096;

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All was said.
    Well,
    /// The process failed, and this is what it said about it.
    Failed(String),
    /// It did not end in time.
    Late,
}

/// What was said to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lines that came in time, whole ones only.
    pub lines: Vec<String>,
    /// How it ended.
    pub ended: Ended,
}

enum Said {
    Line(String),
    End {
        how: Result<(), String>,
        /// What came on standard error.
        told: String,
    },
}

/// Starts a process of this program for each list of arguments, all at once, and waits for all of them until the time is
/// up. What has not ended then is ended, and not waited for.
#[must_use]
pub fn ask(program: &Path, questions: &[Vec<OsString>], timeout: Duration) -> Vec<Answer> {
    let until = Instant::now() + timeout;
    let asked: Vec<_> = questions.iter().map(|arguments| start(program, arguments)).collect();
    asked.into_iter().map(|asked| finish(asked, until)).collect()
}

type Asked = Result<(Child, Receiver<Said>), String>;

fn start(program: &Path, arguments: &[OsString]) -> Asked {
    let failed = |error: std::io::Error| format!("cannot start {}: {error}", program.display());
    // By its own name, whatever the one was that it was called by.
    let mut command = Command::new(program);
    command.arg0("replicator").args(arguments).stdin(Stdio::null());
    // Nothing of ours may stay open in a process that cannot be ended: who reads our output would wait for it.
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let (said, answer) = crossbeam_channel::unbounded();
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("a pipe is missing".to_string());
    };
    let reader = std::thread::Builder::new().name("answer".to_string());
    reader.spawn(move || read(out, err, &said)).map_err(failed)?;
    Ok((child, answer))
}

/// Passes lines on until the process has closed its output.
fn read(out: impl Read, mut err: impl Read, said: &Sender<Said>) {
    let mut lines = BufReader::new(out.take(LIMIT));
    let end = loop {
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => break Ok(()),
            // A line without its end is one that was cut.
            Ok(_) if !line.ends_with('\n') => break Err("an answer was cut short".to_string()),
            Ok(_) => {
                line.pop();
                if said.send(Said::Line(line)).is_err() {
                    return;
                }
            }
            Err(error) => break Err(error.to_string()),
        }
    };
    // Who goes on after the limit finds nobody listening.
    drop(lines);
    let mut told = Vec::new();
    // What it says when it fails; a process that does not fail says nothing there.
    let _ = err.by_ref().take(ERROR_LIMIT).read_to_end(&mut told);
    let told = String::from_utf8_lossy(&told).trim().to_string();
    let _ = said.send(Said::End { how: end, told });
}

fn finish(asked: Asked, until: Instant) -> Answer {
    let (mut child, answer) = match asked {
        Ok(asked) => asked,
        Err(why) => return Answer { lines: Vec::new(), ended: Ended::Failed(why) },
    };
    let mut lines = Vec::new();
    let ended = loop {
        match answer.recv_deadline(until) {
            Ok(Said::Line(line)) => lines.push(line),
            Ok(Said::End { how: Ok(()), told }) => break status(&mut child, &told, until),
            Ok(Said::End { how: Err(why), told }) => {
                break Ended::Failed(if told.is_empty() { why } else { told });
            }
            Err(RecvTimeoutError::Disconnected) => break Ended::Failed("no answer".to_string()),
            Err(RecvTimeoutError::Timeout) => break Ended::Late,
        }
    };
    if ended == Ended::Late {
        // It may wait in the kernel, where nothing ends it: it is not waited for.
        let _ = child.kill();
    }
    let _ = child.try_wait();
    Answer { lines, ended }
}

/// How a process ended that has closed its output.
fn status(child: &mut Child, told: &str, until: Instant) -> Ended {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ended::Well,
            Ok(Some(status)) if told.is_empty() => return Ended::Failed(format!("it ended with {status}")),
            Ok(Some(_)) => return Ended::Failed(told.to_string()),
            Ok(None) if Instant::now() >= until => return Ended::Late,
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Ended::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(scripts: &[&str], timeout: Duration) -> Vec<Answer> {
        let arguments = |script: &&str| vec![OsString::from("-c"), OsString::from(script)];
        ask(Path::new("/bin/sh"), &scripts.iter().map(arguments).collect::<Vec<_>>(), timeout)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn all_that_is_said_is_taken_and_a_failure_with_its_words() {
        let answers = shell(&["echo a; echo b", "echo a; echo 'error: no' >&2; exit 3", "exit 4"], LONG);
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(answers[0], Answer { lines: lines(&["a", "b"]), ended: Ended::Well });
        let failed = Ended::Failed("error: no".to_string());
        assert_eq!(answers[1], Answer { lines: lines(&["a"]), ended: failed });
        assert!(matches!(&answers[2].ended, Ended::Failed(why) if why.contains('4')), "{answers:?}");
    }

    #[test]
    fn who_does_not_end_is_not_waited_for_and_what_was_said_counts() {
        let answers =
            shell(&["echo first; printf half; sleep 600", "echo other"], Duration::from_millis(300));
        assert_eq!(answers[0], Answer { lines: vec!["first".to_string()], ended: Ended::Late });
        assert_eq!(answers[1].lines, ["other"]);
    }

    #[test]
    fn a_half_line_and_a_missing_program_are_failures() {
        let answers = shell(&["echo first; printf half"], LONG);
        assert_eq!(answers[0].lines, ["first"]);
        assert!(matches!(answers[0].ended, Ended::Failed(_)));
        let missing = ask(Path::new("/no/such/program"), &[Vec::new()], LONG);
        assert!(matches!(&missing[0].ended, Ended::Failed(why) if why.contains("/no/such/program")));
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut endless = std::iter::repeat_n(b"0123456789abcde\n", (LIMIT / 16) as usize + 5).flatten();
        struct Bytes<'a>(&'a mut dyn Iterator<Item = &'a u8>);
        impl Read for Bytes<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let mut count = 0;
                for (place, byte) in buffer.iter_mut().zip(&mut self.0) {
                    *place = *byte;
                    count += 1;
                }
                Ok(count)
            }
        }
        let (said, answer) = crossbeam_channel::unbounded();
        read(Bytes(&mut endless), std::io::empty(), &said);
        drop(said);
        let lines = answer.iter().filter(|said| matches!(said, Said::Line(_))).count();
        assert_eq!(lines as u64, LIMIT / 16);
    }
}
