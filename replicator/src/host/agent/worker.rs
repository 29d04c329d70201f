//! A thread that owns a transport and runs one command at a time on it. A running command borrows its transport, and
//! both are needed for as long as the host lives; here they live on one stack, and everybody else has the channels to
//! it. Each call waits for its answer, so nothing piles up.

use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::transport::Exit;
use crate::transport::Process;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::tls;
use crate::transport::tls::Way;

/// The most that is read at a time.
const PIECE: usize = 256 * 1024;

/// The most that a command may say after it was told to end.
const LATE: usize = 1 << 20;

enum Call {
    Start(String),
    Write(Bytes),
    Read,
    Idle,
    /// The command goes on, over a connection of its own.
    SpeedUp(Box<Way>, String),
    Finish,
    Abandon,
}

enum Reply {
    Nothing,
    Read(Option<Bytes>),
    Ended(bool),
    Exit(Exit),
}

/// The owner of a transport, seen from outside.
pub(super) struct Worker {
    /// None while it is dropped.
    calls: Option<SyncSender<Call>>,
    replies: Receiver<Result<Reply, TransportError>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn new(transport: Box<dyn Transport>) -> Result<Self, TransportError> {
        let (calls, incoming) = sync_channel(1);
        let (answers, replies) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("agent".to_string())
            .spawn(move || work(transport, &incoming, &answers))
            .map_err(|error| TransportError::Local {
                what: "cannot start a thread".to_string(),
                cause: error.to_string(),
            })?;
        Ok(Self { calls: Some(calls), replies, thread: Some(thread) })
    }

    fn call(&mut self, call: Call) -> Result<Reply, TransportError> {
        let sent = self.calls.as_ref().is_some_and(|calls| calls.send(call).is_ok());
        match self.replies.recv() {
            Ok(reply) if sent => reply,
            _ => Err(local("its thread has ended")),
        }
    }

    /// Starts a command. What was running is abandoned.
    pub(super) fn start(&mut self, command_line: &str) -> Result<(), TransportError> {
        self.call(Call::Start(command_line.to_string())).map(drop)
    }

    /// As [`Process::write`].
    pub(super) fn write(&mut self, data: Bytes) -> Result<(), TransportError> {
        self.call(Call::Write(data)).map(drop)
    }

    /// Lets the conversation with the command go on over a connection of its own. After an error it goes on as before.
    pub(super) fn speed_up(&mut self, way: Way, peer: &str) -> Result<(), TransportError> {
        self.call(Call::SpeedUp(Box::new(way), peer.to_string())).map(drop)
    }

    /// As [`Process::read`]: an empty piece is the end.
    pub(super) fn read(&mut self) -> Result<Option<Bytes>, TransportError> {
        match self.call(Call::Read)? {
            Reply::Read(piece) => Ok(piece),
            _ => Err(local("its thread answered another question")),
        }
    }

    /// As [`Process::idle`].
    pub(super) fn idle(&mut self) -> Result<bool, TransportError> {
        match self.call(Call::Idle)? {
            Reply::Ended(ended) => Ok(ended),
            _ => Err(local("its thread answered another question")),
        }
    }

    /// As [`Process::finish`].
    pub(super) fn finish(&mut self) -> Result<Exit, TransportError> {
        match self.call(Call::Finish)? {
            Reply::Exit(exit) => Ok(exit),
            _ => Err(local("its thread answered another question")),
        }
    }

    /// Ends the command by closing what leads to it.
    pub(super) fn abandon(&mut self) {
        // There may be none, or its thread is gone: all the same.
        let _ = self.call(Call::Abandon);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // It panicked, then: there is nobody to tell.
            let _ = thread.join();
        }
    }
}

fn local(cause: &str) -> TransportError {
    TransportError::Local { what: "cannot talk to the agent".to_string(), cause: cause.to_string() }
}

fn work(
    mut transport: Box<dyn Transport>,
    calls: &Receiver<Call>,
    replies: &SyncSender<Result<Reply, TransportError>>,
) {
    let mut next = calls.recv().ok();
    while let Some(call) = next.take() {
        let reply = match call {
            Call::Start(command_line) => match transport.start(&command_line) {
                Ok(process) => {
                    if replies.send(Ok(Reply::Nothing)).is_err() {
                        return;
                    }
                    next = run(process, calls, replies);
                    if next.is_none() {
                        return;
                    }
                    continue;
                }
                Err(error) => Err(error),
            },
            Call::Abandon => Ok(Reply::Nothing),
            _ => Err(local("it was not started")),
        };
        if replies.send(reply).is_err() {
            return;
        }
        next = calls.recv().ok();
    }
}

/// Works for one command. Gives the first call that is no longer for it, or none when nobody calls any more.
fn run(
    mut process: Box<dyn Process + '_>,
    calls: &Receiver<Call>,
    replies: &SyncSender<Result<Reply, TransportError>>,
) -> Option<Call> {
    let mut buffer = vec![0; PIECE];
    loop {
        let reply = match calls.recv().ok()? {
            Call::Write(data) => process.write(&data).map(|()| Reply::Nothing),
            Call::Read => process
                .read(&mut buffer)
                .map(|read| Reply::Read(read.map(|length| Bytes::copy_from_slice(&buffer[..length])))),
            Call::Idle => process.idle().map(Reply::Ended),
            Call::SpeedUp(way, peer) => match way.open() {
                Ok(stream) => {
                    process = tls::over(process, stream, &peer);
                    Ok(Reply::Nothing)
                }
                Err(error) => Err(error),
            },
            Call::Finish => {
                let mut late = 0;
                let exit = process.finish(&mut |bytes| {
                    late += bytes.len();
                    if late > LATE { Err(local("it does not end")) } else { Ok(()) }
                });
                replies.send(exit.map(Reply::Exit)).ok()?;
                return calls.recv().ok();
            }
            // The process is dropped before that call is answered.
            call @ (Call::Start(_) | Call::Abandon) => return Some(call),
        };
        replies.send(reply).ok()?;
    }
}
