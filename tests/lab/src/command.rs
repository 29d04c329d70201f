//! Commands in a node: what to start, and three ways to have it: run to its end, with its output passed on as
//! it comes, or in the background.

use crate::control::{Event, Handle, NodeGone, Remote};
use crate::error::{LabError, Result};
use crate::node::Node;
use crate::output::{Output, Status};
use crate::protocol::Exec;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A command's limit unless it asks for another.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(120);

/// Output kept of one stream; a command that writes more is killed.
const KEPT: usize = 256 << 20;

/// How long a killed command may take to be gone before its node counts as hung.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A command to be started in a node, in the manner of [`std::process::Command`].
#[must_use = "nothing happens before run, stream or spawn"]
pub struct Command {
    node: Node,
    exec: Exec,
    stdin: Input,
    limit: Option<Duration>,
}

/// Standard input, in pieces.
type Input = Option<Box<dyn Iterator<Item = Vec<u8>> + Send>>;

impl Command {
    pub(crate) fn new(node: &Node, program: &OsStr) -> Self {
        let exec = Exec { argv: vec![program.as_bytes().to_vec()], ..Exec::default() };
        Self { node: node.clone(), exec, stdin: None, limit: Some(DEFAULT_LIMIT) }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.exec.argv.push(arg.as_ref().as_bytes().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.exec.argv.extend(args.into_iter().map(|a| a.as_ref().as_bytes().to_vec()));
        self
    }

    /// Sets a variable of its environment, which otherwise holds PATH, HOME, USER, LC_ALL and little more.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.exec.env.push((name.as_ref().as_bytes().to_vec(), value.as_ref().as_bytes().to_vec()));
        self
    }

    /// Its folder, instead of `/root`.
    pub fn cwd(mut self, dir: impl AsRef<OsStr>) -> Self {
        self.exec.cwd = dir.as_ref().as_bytes().to_vec();
        self
    }

    /// What it reads; nothing otherwise.
    pub fn stdin(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(Box::new(std::iter::once(data.into())));
        self
    }

    /// What it reads, in pieces, asked for in a thread of their own as the command takes them.
    pub fn stdin_from(mut self, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        self.stdin = Some(Box::new(pieces));
        self
    }

    /// How long it may take, instead of [`DEFAULT_LIMIT`]; `None` for as long as it likes.
    pub fn limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Gives it a terminal of so many rows and columns; everything it writes is then standard output.
    pub fn terminal(mut self, rows: u16, columns: u16) -> Self {
        self.exec.tty = Some((rows, columns));
        self
    }

    /// Runs it to its end. An exit code other than 0 is no error here (see [`Output::ok`]); a node that dies
    /// or a limit that passes is.
    pub fn run(self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (node, text) = (self.node.name(), self.text());
        let status = self.stream(|stream, data| {
            let kept = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            kept.extend_from_slice(data);
            kept.len() <= KEPT
        })?;
        Ok(Output { status, stdout, stderr, node, command: text })
    }

    /// Runs it to its end and fails unless it succeeds.
    pub fn check(self) -> Result<Output> {
        self.run()?.ok()
    }

    /// Runs it to its end and passes its output on as it comes; it is killed once `sink` returns false.
    pub fn stream(self, mut sink: impl FnMut(Stream, &[u8]) -> bool) -> Result<Status> {
        let text = self.text();
        let (node, limit, stdin) = (self.node, self.limit, self.stdin);
        let handle = node.start(self.exec, &text)?;
        feed(handle.remote(), stdin);
        follow(&node, &text, limit, &handle, &mut sink)
    }

    /// Starts it in the background. Its limit counts from now.
    pub fn spawn(self) -> Result<Process> {
        let text = self.text();
        let (node, limit, stdin) = (self.node, self.limit, self.stdin);
        let handle = node.start(self.exec, &text)?;
        let remote = handle.remote();
        feed(remote.clone(), stdin);
        let kept = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let (name, command, mine) = (node.name(), text.clone(), Arc::clone(&kept));
        let thread = thread::spawn(move || {
            follow(&node, &text, limit, &handle, &mut |stream, data: &[u8]| {
                let mut kept = mine.lock().unwrap_or_else(PoisonError::into_inner);
                let to = if stream == Stream::Stdout { &mut kept.0 } else { &mut kept.1 };
                to.extend_from_slice(data);
                to.len() <= KEPT
            })
        });
        Ok(Process { name, command, remote, kept, thread })
    }

    /// Starts it with its streams left to the caller.
    pub(crate) fn start(self) -> Result<Handle> {
        let text = self.text();
        self.node.start(self.exec, &text)
    }

    fn text(&self) -> String {
        let words: Vec<_> = self.exec.argv.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        let text = words.join(" ");
        if text.chars().count() > 200 { text.chars().take(200).chain("…".chars()).collect() } else { text }
    }
}

/// Gives a command its standard input from a thread, if it has any.
fn feed(remote: Remote, pieces: Input) {
    let Some(pieces) = pieces else {
        let _ = remote.stdin_end();
        return;
    };
    thread::spawn(move || {
        for piece in pieces {
            if remote.stdin(&piece).is_err() {
                // It ended without reading all of it.
                return;
            }
        }
        let _ = remote.stdin_end();
    });
}

fn follow(
    node: &Node,
    text: &str,
    limit: Option<Duration>,
    handle: &Handle,
    sink: &mut dyn FnMut(Stream, &[u8]) -> bool,
) -> Result<Status> {
    let end = limit.map(|l| Instant::now() + l);
    let mut wanted = true;
    loop {
        let left = end.map(|e| e.saturating_duration_since(Instant::now()));
        let (stream, data) = match handle.next(left) {
            Ok(Some(Event::Stdout(data))) => (Stream::Stdout, data),
            Ok(Some(Event::Stderr(data))) => (Stream::Stderr, data),
            Ok(Some(Event::Exit(code))) => return Ok(Status::from_wire(code)),
            Ok(Some(Event::Refused(reason))) => {
                return Err(LabError::Spawn { node: node.name(), command: text.to_owned(), reason });
            }
            Ok(None) => return Err(kill_late(node, text, limit.unwrap_or_default(), handle)),
            Err(NodeGone) => return Err(node.died(text)),
        };
        if wanted && !sink(stream, &data) {
            wanted = false;
            let _ = handle.remote().signal(Signal::KILL.as_raw());
        }
    }
}

/// Ends a command that passed its limit; a node that cannot even do that is ended, too.
fn kill_late(node: &Node, text: &str, limit: Duration, handle: &Handle) -> LabError {
    let _ = handle.remote().signal(Signal::KILL.as_raw());
    let end = Instant::now() + KILL_LIMIT;
    loop {
        match handle.next(Some(end.saturating_duration_since(Instant::now()))) {
            Ok(Some(Event::Exit(_) | Event::Refused(_))) => break,
            Ok(Some(_)) => {}
            Ok(None) => {
                let hung = node.died(&format!(
                    "`{text}` passed its limit of {limit:?} and could not be killed: the node hangs"
                ));
                node.power_cut();
                return hung;
            }
            Err(NodeGone) => return node.died(text),
        }
    }
    LabError::Timeout { node: node.name(), command: text.to_owned(), limit, console: node.console_tail() }
}

/// A command in the background.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: String,
    remote: Remote,
    kept: Arc<Mutex<(Vec<u8>, Vec<u8>)>>,
    thread: JoinHandle<Result<Status>>,
}

impl Process {
    /// Sends a signal to the command and its descendants in its process group.
    pub fn signal(&self, signal: i32) {
        let _ = self.remote.signal(signal);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        self.signal(Signal::KILL.as_raw());
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Whether it ended.
    pub fn finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<Output> {
        let status = match self.thread.join() {
            Ok(status) => status?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let (stdout, stderr) = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Output { status, stdout, stderr, node: self.name, command: self.command })
    }
}
