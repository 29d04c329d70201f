//! One command, run by one `ssh`, or by a shell of this machine: three pipes that never block, looked after by poll(2), and how it ended. Standard
//! error is taken in whenever something is waited for, so that a command that floods it cannot stop either side.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::process::Child;
use std::process::ChildStderr;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::io::Errno;

use super::SystemSsh;
use super::control;
use crate::cancel::Cancel;
use crate::cancel::TICK;
use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::STDERR_LIMIT;
use crate::transport::TransportError;

/// More than this on standard output is not expected from a command that is being written to.
const EARLY_STDOUT_LIMIT: usize = 64 * 1024;
/// What a pipe holds, so that few turns move much.
const PIPE: usize = 1 << 20;
/// Between two looks at whether ssh has ended, once its pipes say so.
const ENDING: Duration = Duration::from_millis(5);

/// What a command is run for.
pub(in crate::transport) trait Owner: Sync {
    /// How messages name the machine.
    fn name(&self) -> &str;
    /// Ends what waits.
    fn cancel(&self) -> &Cancel;
    /// How long the output may stay open once the program has ended.
    fn idle(&self) -> Duration;
    /// Whether an end was no end of the command, but of what carried it.
    fn judge(&self, status: ExitStatus, phase: &'static str) -> Option<TransportError>;
}

impl Owner for SystemSsh {
    fn name(&self) -> &str {
        &self.peer
    }

    fn cancel(&self) -> &Cancel {
        &self.options.cancel
    }

    fn idle(&self) -> Duration {
        self.options.timeouts.idle
    }

    fn judge(&self, status: ExitStatus, phase: &'static str) -> Option<TransportError> {
        self.own_failure(status, phase)
    }
}

pub(in crate::transport) struct SystemProcess<'a> {
    owner: &'a dyn Owner,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// The head of standard error.
    said: Vec<u8>,
    /// What the command printed while we were writing; kept for whoever reads, bounded.
    early: Vec<u8>,
    reads: u32,
    /// Somebody reads standard output: what comes there is theirs, and must not be drained away.
    reading: bool,
    ended: Option<(ExitStatus, Instant)>,
    /// The exit status was found to be the command's.
    judged: bool,
}

impl<'a> SystemProcess<'a> {
    pub(super) fn start(owner: &'a SystemSsh, command_line: &str) -> Result<Self, TransportError> {
        if owner.options.cancel.is_cancelled() {
            return Err(TransportError::Cancelled);
        }
        let log = owner.control.command_log();
        drop(control::fresh(&log)?);
        let mut command = owner.command();
        owner.sharing(&mut command);
        command.arg("-E").arg(&log);
        owner.host(&mut command);
        command.arg(command_line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| owner.no_program(&error))?;
        Self::of(owner, child)
    }

    /// A program that runs, with three pipes.
    pub(in crate::transport) fn of(owner: &'a dyn Owner, mut child: Child) -> Result<Self, TransportError> {
        let process = Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            owner,
            child,
            said: Vec::new(),
            early: Vec::new(),
            reads: 0,
            reading: false,
            ended: None,
            judged: false,
        };
        let pipes = [
            process.stdin.as_ref().map(AsFd::as_fd),
            process.stdout.as_ref().map(AsFd::as_fd),
            process.stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            prepare(pipe)?;
        }
        Ok(process)
    }

    fn lost(&self, phase: &'static str, cause: &dyn std::fmt::Display) -> TransportError {
        TransportError::Lost { peer: self.owner.name().to_string(), phase, cause: cause.to_string() }
    }

    fn stdin_closed(&self) -> TransportError {
        TransportError::StdinClosed { peer: self.owner.name().to_string() }
    }

    fn look_at_cancel(&self) -> Result<(), TransportError> {
        if self.owner.cancel().is_cancelled() { Err(TransportError::Cancelled) } else { Ok(()) }
    }

    /// Whether ssh has ended.
    fn has_ended(&mut self) -> Result<bool, TransportError> {
        if self.ended.is_none() {
            let status = self.child.try_wait().map_err(|error| control::waiting(&error))?;
            self.ended = status.map(|status| (status, Instant::now()));
        }
        Ok(self.ended.is_some())
    }

    /// Waits until something can be done, for at most `limit`, and takes in what nobody else reads.
    fn turn(&mut self, phase: &'static str, writing: bool, limit: Duration) -> Result<(), TransportError> {
        self.look_at_cancel()?;
        let mut fds = Vec::with_capacity(3);
        if let (Some(stdin), true) = (&self.stdin, writing) {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT));
        }
        // While writing, what somebody else will read later is no reason to wake up.
        if let (Some(stdout), false) = (&self.stdout, writing && self.reading) {
            fds.push(PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN));
        }
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.min(TICK).subsec_nanos().into() };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(self.lost(phase, &errno)),
        }
        self.take_in(phase)
    }

    fn take_in(&mut self, phase: &'static str) -> Result<(), TransportError> {
        let mut failed = drain(&mut self.stderr, &mut self.said, STDERR_LIMIT);
        if !self.reading {
            failed = failed.and(drain(&mut self.stdout, &mut self.early, EARLY_STDOUT_LIMIT));
        }
        failed.map_err(|error| self.lost(phase, &error))
    }

    /// Tells the end of standard output from a connection that broke: both close the pipe, and only ssh's exit
    /// status says which it was.
    fn is_over(&mut self, phase: &'static str) -> Result<bool, TransportError> {
        if !self.has_ended()? {
            return Ok(false);
        }
        let Some((status, since)) = self.ended else { return Ok(false) };
        if self.stdout.is_some() {
            // Somebody still holds the pipe: the ssh in the background may have more for us.
            if since.elapsed() > self.owner.idle() {
                return Err(self.lost(phase, &"ssh has ended, but its output was not closed"));
            }
            return Ok(false);
        }
        if !self.judged {
            if let Some(error) = self.owner.judge(status, phase) {
                return Err(error);
            }
            self.judged = true;
        }
        Ok(true)
    }

    fn read_in(&mut self, buf: &mut [u8], phase: &'static str) -> Result<Option<usize>, TransportError> {
        self.reading = true;
        if !self.early.is_empty() {
            let n = buf.len().min(self.early.len());
            buf[..n].copy_from_slice(&self.early[..n]);
            self.early.drain(..n);
            return Ok(Some(n));
        }
        let deadline = Instant::now() + TICK;
        loop {
            if let Some(stdout) = &mut self.stdout {
                match stdout.read(buf) {
                    Ok(0) => self.stdout = None,
                    Ok(n) => {
                        self.reads = self.reads.wrapping_add(1);
                        if self.reads.is_multiple_of(64) {
                            self.take_in(phase)?;
                            self.look_at_cancel()?;
                        }
                        return Ok(Some(n));
                    }
                    Err(error) if is_for_later(&error) => {}
                    Err(error) => return Err(self.lost(phase, &error)),
                }
            }
            if self.is_over(phase)? {
                self.take_in(phase)?;
                return Ok(Some(0));
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let mut limit = deadline - now;
            if self.stdout.is_none() {
                // No pipe tells when a process ends, and standard error may be at its end, which poll(2) repeats.
                limit = limit.min(ENDING);
                if self.stderr.is_none() {
                    self.look_at_cancel()?;
                    std::thread::sleep(limit);
                    continue;
                }
            }
            self.turn(phase, false, limit)?;
        }
    }
}

impl Process for SystemProcess<'_> {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        const PHASE: &str = "sending";
        let mut rest = data.as_ref();
        while !rest.is_empty() {
            let Some(stdin) = &self.stdin else { return Err(self.stdin_closed()) };
            match rustix::io::write(stdin, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::AGAIN) => {
                    self.turn(PHASE, true, TICK)?;
                    // The ssh in the background may hold the pipe a little longer.
                    if self.has_ended()? {
                        return Err(self.stdin_closed());
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Err(self.stdin_closed()),
                Err(errno) => return Err(self.lost(PHASE, &errno)),
            }
        }
        // A stream that never makes us wait must still notice Ctrl-C.
        self.look_at_cancel()
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        self.read_in(buf, "receiving")
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        self.look_at_cancel()?;
        self.take_in("waiting for data to send")?;
        self.has_ended()
    }

    fn finish(
        mut self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        const PHASE: &str = "waiting for the command to end";
        self.stdin = None;
        let mut buf = vec![0; 64 * 1024];
        loop {
            match self.read_in(&mut buf, PHASE)? {
                Some(0) => break,
                Some(n) => sink(&buf[..n])?,
                None => {}
            }
        }
        // `own_failure` sorted out that there is a code.
        let code = self.ended.and_then(|(status, _)| status.code()).unwrap_or(255);
        Ok(Exit { status: Ok(code), stderr: std::mem::take(&mut self.said) })
    }
}

impl Drop for SystemProcess<'_> {
    fn drop(&mut self) {
        self.stdin = None;
        if self.ended.is_none() {
            // The ssh in the background closes the command's input and output when this one is gone.
            control::kill(&mut self.child);
        }
    }
}

fn prepare(pipe: BorrowedFd<'_>) -> Result<(), TransportError> {
    // The system may not grant so much to everybody: then it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
    // Each end of a pipe has this flag for itself: ssh's ends are not touched.
    rustix::io::ioctl_fionbio(pipe, true).map_err(|errno| TransportError::Local {
        what: "cannot set up a pipe to ssh".to_string(),
        cause: errno.to_string(),
    })
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}

/// Reads what there is, keeps what fits below `limit`, and forgets the pipe at its end.
fn drain(pipe: &mut Option<impl Read>, kept: &mut Vec<u8>, limit: usize) -> std::io::Result<()> {
    let Some(open) = pipe else { return Ok(()) };
    let mut buf = [0; 16 * 1024];
    // A pipe that is filled as fast as it is read must not hold us here.
    for _ in 0..2 * PIPE / buf.len() {
        match open.read(&mut buf) {
            Ok(0) => {
                *pipe = None;
                return Ok(());
            }
            Ok(n) => kept.extend_from_slice(&buf[..n.min(limit.saturating_sub(kept.len()))]),
            Err(error) if is_for_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
