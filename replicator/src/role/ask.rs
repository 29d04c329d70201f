//! Questions to other programs: each has a time in which it must be answered, after which the program is ended with all
//! that it started, and an answer that is too long is none. A file of a file system that may hang is read through `cat`:
//! a thread of ours that waits for it in the kernel could not be ended, and would keep this process from ending.

use std::io::PipeReader;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::OFlags;
use rustix::fs::fcntl_setfl;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::kill_process_group;
use rustix::process::pidfd_open;
use rustix::process::waitid;

use crate::cancel::Cancel;
use crate::cancel::TICK;

/// The longest answer: a cluster of ten thousand guests fits.
pub(crate) const LONGEST: usize = 16 << 20;

/// How much of what a program says when it fails is kept.
const TOLD: usize = 500;

/// How long a program that was ended may take to be gone; one that waits in the kernel is left to itself.
const GRACE: Duration = Duration::from_millis(500);

/// A program and its arguments.
pub(crate) struct Question<'a> {
    /// The program: a path, or a name that is looked for.
    pub(crate) program: &'a Path,
    /// Its arguments; no shell reads them.
    pub(crate) arguments: &'a [&'a str],
}

/// How a program ended, and what it said until then.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What came on standard output.
    pub(crate) output: Vec<u8>,
    /// The head of what came on standard error, made printable.
    pub(crate) told: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

impl Answer {
    /// What a program said that succeeded.
    pub(crate) fn good(self) -> Result<Vec<u8>, String> {
        if self.status.success() {
            return Ok(self.output);
        }
        let told = if self.told.is_empty() { String::new() } else { format!(": {}", self.told) };
        Err(match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("it ended with status {code}{told}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}{told}"),
            (None, None) => format!("it ended in an unknown way{told}"),
        })
    }
}

/// Asks all of them at once, and waits for each until the time is over or the run is to stop.
pub(crate) fn ask(
    questions: &[Question<'_>],
    timeout: Duration,
    cancel: &Cancel,
) -> Vec<Result<Answer, String>> {
    let until = Instant::now() + timeout;
    let one = |question: &Question<'_>| {
        let mut asked = Asked::start(question).map_err(|error| format!("it cannot be started: {error}"))?;
        asked.finish(until, timeout, cancel)
    };
    let one = &one;
    // Each has somebody who reads what it says: one that says much does not wait for another that says nothing.
    std::thread::scope(|scope| {
        let asked: Vec<_> = questions.iter().map(|question| scope.spawn(move || one(question))).collect();
        let lost = |_| Err("it was lost".to_string());
        asked.into_iter().map(|asked| asked.join().unwrap_or_else(lost)).collect()
    })
}

/// Reads files that may be on a file system which hangs.
pub(crate) fn read(paths: &[&Path], timeout: Duration, cancel: &Cancel) -> Vec<Result<Vec<u8>, String>> {
    let texts: Vec<_> = paths.iter().map(|path| path.to_str()).collect();
    let arguments: Vec<_> = texts.iter().map(|text| ["--", text.unwrap_or_default()]).collect();
    let questions: Vec<_> =
        arguments.iter().map(|list| Question { program: Path::new("cat"), arguments: list }).collect();
    let answers = ask(&questions, timeout, cancel);
    let named = answers.into_iter().zip(paths).zip(&texts);
    named
        .map(|((answer, path), text)| match text {
            None => Err(format!("{}: the name is no text", path.display())),
            Some(_) => answer.and_then(Answer::good).map_err(|why| format!("{}: {why}", path.display())),
        })
        .collect()
}

/// A program that was started. It is ended with this value.
struct Asked {
    child: Child,
    group: Option<Pid>,
    output: Taken,
    told: Taken,
}

/// What came out of one of its pipes.
struct Taken {
    pipe: Option<PipeReader>,
    bytes: Vec<u8>,
    limit: usize,
    /// There was more.
    cut: bool,
}

impl Taken {
    /// Takes what is there now.
    fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0; 64 << 10];
        // At most a few pieces, so that one that never stops does not keep us from looking at the clock.
        for _ in 0..16 {
            match pipe.read(&mut buffer) {
                Ok(0) => {
                    self.pipe = None;
                    return;
                }
                Ok(count) => {
                    let kept = count.min(self.limit - self.bytes.len());
                    self.bytes.extend_from_slice(&buffer[..kept]);
                    self.cut |= kept < count;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.pipe = None;
                    self.cut = true;
                    return;
                }
            }
        }
    }
}

impl Asked {
    fn start(question: &Question<'_>) -> std::io::Result<Self> {
        let taken = |reader: PipeReader, limit| -> std::io::Result<Taken> {
            fcntl_setfl(&reader, OFlags::NONBLOCK)?;
            Ok(Taken { pipe: Some(reader), bytes: Vec::new(), limit, cut: false })
        };
        let ((output, to_output), (told, to_told)) = (std::io::pipe()?, std::io::pipe()?);
        let (output, told) = (taken(output, LONGEST)?, taken(told, TOLD)?);
        let mut command = Command::new(question.program);
        command.args(question.arguments).stdin(Stdio::null()).stdout(to_output).stderr(to_told);
        // Answers are read by machines.
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        // The value holds our ends for writing: it has to go, or the pipes never end.
        let child = command.spawn();
        drop(command);
        let child = child?;
        let group = Pid::from_raw(child.id().cast_signed());
        Ok(Self { child, group, output, told })
    }

    fn finish(&mut self, until: Instant, timeout: Duration, cancel: &Cancel) -> Result<Answer, String> {
        // An old kernel has no such thing; then its end is looked for now and then.
        let ending = self.group.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let late = loop {
            if self.has_ended() {
                break None;
            }
            if cancel.is_cancelled() {
                break Some("it was not waited for: the run is to stop".to_string());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Some(format!("it did not answer in {} s", timeout.as_secs_f32()));
            }
            if self.output.cut {
                break Some(format!("its answer is longer than {LONGEST} bytes"));
            }
            let tick = if ending.is_some() { TICK } else { TICK / 10 };
            let pipes =
                [self.output.pipe.as_ref().map(AsFd::as_fd), self.told.pipe.as_ref().map(AsFd::as_fd)];
            let fds = pipes.into_iter().chain([ending.as_ref().map(AsFd::as_fd)]).flatten();
            let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            let time = left.min(tick);
            let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
            // Whatever comes of it, the loop looks at everything.
            if poll(&mut fds, Some(&time)).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(fds);
            self.output.take();
            self.told.take();
        };
        // Also what it may have left in the background: nobody who is asked has business there.
        self.end();
        if let Some(why) = late {
            return Err(why);
        }
        // It has ended: this does not wait.
        let status = self.child.wait().map_err(|error| error.to_string())?;
        self.drain();
        if self.output.cut {
            return Err(format!("its answer is longer than {LONGEST} bytes"));
        }
        let output = std::mem::take(&mut self.output.bytes);
        let told = crate::transport::printable(&self.told.bytes, TOLD);
        Ok(Answer { output, told, status })
    }

    /// What it had said before it ended: a pipe holds no more than this takes.
    fn drain(&mut self) {
        for _ in 0..16 {
            self.output.take();
            self.told.take();
        }
    }

    /// Whether it has ended. It stays a zombie, so that its group cannot become that of somebody else.
    fn has_ended(&self) -> bool {
        let Some(pid) = self.group else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), options).map_or(true, |status| status.is_some())
    }

    /// Ends it and all that it started. It only asks questions: there is nothing to clean up.
    fn end(&self) {
        let Some(group) = self.group else { return };
        let _ = kill_process_group(group, Signal::KILL);
        let until = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(line: &str, timeout: Duration) -> Result<Answer, String> {
        let question = Question { program: Path::new("/bin/sh"), arguments: &["-c", line] };
        ask(&[question], timeout, &Cancel::new()).remove(0)
    }

    /// Whether a process is there and no zombie.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
    }

    fn gone(pids: &str) {
        for _ in 0..1000 {
            if !pids.lines().any(lives) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("some of {pids:?} are still there");
    }

    #[test]
    fn an_answer_has_its_output_and_its_status() {
        let answer = shell("echo out; echo err >&2; exit 3", LONG).expect("it ended");
        assert_eq!((&*answer.output, &*answer.told, answer.status.code()), (&b"out\n"[..], "err", Some(3)));
        assert_eq!(answer.good(), Err("it ended with status 3: err".to_string()));
        assert_eq!(shell("printf x", LONG).and_then(Answer::good), Ok(b"x".to_vec()));
        assert_eq!(
            shell("kill -9 $$", LONG).and_then(Answer::good),
            Err("it was ended by signal 9".to_string())
        );
        let nowhere = Question { program: Path::new("/no/such/program"), arguments: &[] };
        let why = ask(&[nowhere], LONG, &Cancel::new()).remove(0).expect_err("nothing there");
        assert!(why.starts_with("it cannot be started"), "{why}");
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        let line = format!(
            "echo $$ >> {0}; for i in 1 2; do sh -c \"trap '' TERM HUP; echo \\$\\$ >> {0}; while :; do sleep 1; done\" & done; sleep 1000",
            pids.display()
        );
        let why = shell(&line, Duration::from_secs(2)).expect_err("it hangs");
        assert_eq!(why, "it did not answer in 2 s");
        let pids = std::fs::read_to_string(&pids).expect("they were started");
        assert_eq!(pids.lines().count(), 3);
        gone(&pids);
    }

    #[test]
    fn what_goes_on_in_the_background_is_ended_too_and_keeps_nobody_waiting() {
        let answer = shell("sleep 1000 & echo $!", LONG).and_then(Answer::good).expect("it ended");
        gone(std::str::from_utf8(&answer).expect("a number"));
    }

    #[test]
    fn an_answer_that_is_too_long_is_none() {
        let line = format!("head -c {LONGEST} /dev/zero");
        let whole = shell(&line, LONG).and_then(Answer::good).expect("just as long as it may be");
        assert_eq!(whole.len(), LONGEST);
        let why = shell("cat /dev/zero", LONG).expect_err("it has no end");
        assert!(why.contains("longer than"), "{why}");
        // Errors are cut and never make it fail.
        let answer = shell("head -c 100000 /dev/zero | tr '\\0' x >&2", LONG).expect("it ended");
        assert!(answer.told.len() <= TOLD + 4, "{}", answer.told.len());
    }

    #[test]
    fn questions_are_asked_side_by_side_and_end_with_the_run() {
        let script = |line| Question { program: Path::new("/bin/sh"), arguments: line };
        let (one, two) = (["-c", "sleep 1000"], ["-c", "echo here"]);
        let cancel = Cancel::new();
        let answers = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&[script(&one), script(&two)], LONG, &cancel));
            std::thread::sleep(Duration::from_millis(300));
            cancel.cancel();
            asking.join().expect("no panic")
        });
        assert!(answers[0].as_ref().is_err_and(|why| why.contains("to stop")), "{answers:?}");
        assert!(answers[1].as_ref().is_ok_and(|answer| answer.output == b"here\n"), "{answers:?}");
    }

    #[test]
    fn a_file_is_read_and_one_that_hangs_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, pipe) = (folder.path().join("a b"), folder.path().join("pipe"));
        std::fs::write(&file, "text").expect("written");
        // A pipe that nobody writes to is a file that is never opened.
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("made");
        let missing = folder.path().join("none");
        let answers = read(&[&file, &pipe, &missing], Duration::from_secs(1), &Cancel::new());
        assert_eq!(answers[0], Ok(b"text".to_vec()));
        assert!(answers[1].as_ref().is_err_and(|why| why.ends_with("did not answer in 1 s")), "{answers:?}");
        assert!(answers[2].as_ref().is_err_and(|why| why.contains("No such file")), "{answers:?}");
    }
}
