//! Compression by another program, where a machine without an agent has only that one: what goes in and what comes out of
//! it, each on a thread of its own, so that neither waits for the other.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::io::Errno;

use super::StreamError;
use super::TransferError;
use super::budget::Lane;
use super::check::Watch;
use super::flow::Item;
use super::flow::Received;
use super::flow::Stage;
use super::flow::Stopped;
use super::stages::Made;
use crate::cancel::TICK;

/// What is read at a time.
const PIECE: usize = 64 * 1024;

/// Between two looks at whether the program has ended, once its output has.
const ENDING: Duration = Duration::from_millis(5);

/// What both threads know.
#[derive(Default)]
struct Shared {
    /// All that there is went in.
    whole: AtomicBool,
    /// What went in and was not yet counted with what came out.
    plain: AtomicU64,
    came: AtomicU64,
}

/// Where it reads.
pub(super) struct Feed {
    stdin: ChildStdin,
    shared: Arc<Shared>,
}

/// What it makes.
pub(super) struct Output {
    stdout: ChildStdout,
    program: String,
    child: Running,
    shared: Arc<Shared>,
}

/// A program that does not outlive its stream.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it.
pub(super) fn start(program: &str, arguments: &[&str]) -> std::io::Result<(Feed, Output)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Ctrl-C in a terminal is for us, who end it in order.
    command.process_group(0);
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let child = Running(child);
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(std::io::Error::other("it has no pipes"));
    };
    rustix::io::ioctl_fionbio(&stdin, true)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    let shared = Arc::<Shared>::default();
    let feed = Feed { stdin, shared: shared.clone() };
    Ok((feed, Output { stdout, program: program.to_string(), child, shared }))
}

fn failed(flow: &Stage<'_>, cause: impl std::fmt::Display) -> Stopped {
    flow.fail(TransferError::Compression { cause: cause.to_string() })
}

fn wait(fd: impl AsFd, flags: PollFlags, flow: &Stage<'_>) -> Result<(), Stopped> {
    let limit = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    match poll(&mut [PollFd::new(&fd, flags)], Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => flow.check(),
        Err(errno) => Err(failed(flow, errno)),
    }
}

/// Gives it what comes. Where it reads no more, what it made tells why.
pub(super) fn feed(from: &Receiver<Item>, feed: Feed, flow: &Stage<'_>) -> Result<(), Stopped> {
    // Closed at the end, which the program sees.
    let Feed { stdin, shared } = feed;
    loop {
        match flow.receive(from)? {
            Received::Nothing => {}
            // It still makes an end of what it has.
            Received::Cut => return Err(Stopped),
            Received::End => {
                shared.whole.store(true, Ordering::Release);
                return Ok(());
            }
            Received::Piece(piece) => {
                shared.plain.fetch_add(piece.plain, Ordering::AcqRel);
                shared.came.fetch_add(piece.came, Ordering::AcqRel);
                let mut rest = piece.bytes.as_ref();
                while !rest.is_empty() {
                    match rustix::io::write(&stdin, rest) {
                        Ok(n) => {
                            rest = &rest[n..];
                            flow.pulse().moved();
                        }
                        Err(Errno::AGAIN) => wait(&stdin, PollFlags::OUT, flow)?,
                        Err(Errno::INTR) => {}
                        Err(Errno::PIPE) => return Err(Stopped),
                        Err(errno) => return Err(failed(flow, errno)),
                    }
                }
            }
        }
    }
}

/// Hands on what it makes, to its end. `watch` is for what comes out plain.
pub(super) fn take(
    mut output: Output,
    to: &Sender<Item>,
    lane: &Lane,
    mut watch: Option<Watch>,
    flow: &Stage<'_>,
) -> Result<(), Stopped> {
    let mut made = Made::new(to, lane, flow);
    let mut buffer = vec![0; PIECE];
    loop {
        flow.check()?;
        let out = made.out()?;
        let room = buffer.len().min(out.capacity() - out.len());
        match output.stdout.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(n) => {
                out.extend_from_slice(&buffer[..n]);
                flow.pulse().moved();
                made.came += output.shared.came.swap(0, Ordering::AcqRel);
                let plain = output.shared.plain.swap(0, Ordering::AcqRel);
                made.plain += if watch.is_some() { n as u64 } else { plain };
                if let Some(watch) = &mut watch {
                    watch.pass(&buffer[..n]).map_err(|error| flow.fail(error.into()))?;
                }
                if made.is_full() {
                    made.hand_on()?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // What there is should not wait for more.
                made.hand_on()?;
                wait(&output.stdout, PollFlags::IN, flow)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(flow, error)),
        }
    }
    made.hand_on()?;
    let status = ended(&mut output.child, flow)?;
    let whole = output.shared.whole.load(Ordering::Acquire);
    if !status.success() || !whole {
        // Where the stream was cut before it, that is the reason, and was told first.
        let cause = format!("{} ended before the stream did ({status})", output.program);
        return Err(match &watch {
            Some(_) => flow.fail(StreamError::Damaged(cause).into()),
            None => failed(flow, cause),
        });
    }
    if let Some(watch) = watch {
        watch.finish().map_err(|error| flow.fail(error.into()))?;
    }
    flow.send(to, Item::End, &mut || Ok(())).map(drop)
}

fn ended(child: &mut Running, flow: &Stage<'_>) -> Result<ExitStatus, Stopped> {
    loop {
        match child.0.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {
                flow.check()?;
                std::thread::sleep(ENDING);
            }
            Err(error) => return Err(failed(flow, error)),
        }
    }
}
