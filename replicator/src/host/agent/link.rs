//! The connection to a running agent: starting it, one request at a time, and the frames of its answer within bounds.
//! What the answers mean is not here.

use super::AgentCommand;
use super::Depth;
use super::HostError;
use super::START;
use super::WAITING;
use super::worker::Worker;
use crate::agent::Answer;
use crate::agent::DATA_LIMIT;
use crate::agent::DOORS;
use crate::agent::Frame;
use crate::agent::Frames;
use crate::agent::Hello;
use crate::agent::Kind;
use crate::agent::OLDEST;
use crate::agent::Part;
use crate::agent::Raw;
use crate::agent::Request;
use crate::agent::header;
use crate::agent::whole;
use crate::tls::Identity;
use crate::transport::Exit;
use crate::transport::TransportError;
use crate::transport::printable;
use crate::transport::quote::program;
use crate::transport::tls;
use crate::transport::tls::Way;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;
use std::time::Instant;
use zfs_core::name::DatasetName;

/// The most entries (datasets, snapshots, bookmarks, properties) of one answer, as for a list of `zfs`.
const ENTRIES_LIMIT: usize = if cfg!(test) { 20_000 } else { 2_000_000 };

/// The most bytes of one answer that is kept.
const ANSWER_LIMIT: usize = 512 << 20;

/// How much of a stream that was given up is read off before the agent is given up too.
const REST_LIMIT: usize = if cfg!(test) { 8 << 20 } else { 64 << 20 };

/// The version from which on an agent tells senders apart.
const SENDERS: u16 = 3;

/// The connection to a running agent.
pub(super) struct Link {
    pub(super) worker: Worker,
    pub(super) label: String,
    pub(super) command: AgentCommand,
    open: Option<Open>,
    /// What each agent that is started keeps other runs out of: all roots of a pair, as they share a connection.
    locked: Vec<Locked>,
}

/// A dataset that the runs of others are kept out of, alone or with all below it, and whose runs may meet there.
type Locked = (DatasetName, Depth, String);

/// What is known of a running agent.
struct Open {
    frames: Frames,
    last: u32,
    /// A request that was given up, whose answer is still to come.
    owed: Option<u32>,
    /// The version that both speak, and what the other end is.
    version: u16,
    program: String,
}

/// What came.
enum Came {
    Frame(Frame),
    Nothing,
    End,
}

impl Link {
    pub(super) fn new(worker: Worker, label: String, command: AgentCommand) -> Self {
        Self { worker, label, command, open: None, locked: Vec::new() }
    }

    pub(super) fn bad(&self, operation: &'static str, why: impl Into<String>) -> HostError {
        HostError::BadAnswer { host: self.label.clone(), operation, why: why.into() }
    }

    /// As [`Self::bad`], and nothing more is asked of this agent.
    pub(super) fn broken(&mut self, operation: &'static str, why: impl Into<String>) -> HostError {
        self.close();
        self.bad(operation, why)
    }

    pub(super) fn close(&mut self) {
        if self.open.take().is_some() {
            self.worker.abandon();
        }
    }

    pub(super) fn transport(&mut self, error: TransportError) -> HostError {
        self.close();
        error.into()
    }

    /// Keeps the runs of others out of a dataset there, now and whenever a new agent has to be started.
    pub(super) fn lock(&mut self, root: &DatasetName, depth: Depth, sender: &str) -> Result<(), HostError> {
        self.start()?;
        let locked = (root.clone(), depth, sender.to_string());
        self.take_lock(&locked)?;
        if !self.locked.contains(&locked) {
            self.locked.push(locked);
        }
        Ok(())
    }

    fn take_lock(&mut self, (root, depth, sender): &Locked) -> Result<(), HostError> {
        // An older agent keeps all other runs out.
        let knows = self.open.as_ref().is_some_and(|open| open.version >= SENDERS);
        let request = Request::lock(root, *depth, knows.then_some(sender));
        self.exchange(&request, LOCK, &mut nothing).map(drop)
    }

    /// Starts the agent, unless it runs.
    pub(super) fn start(&mut self) -> Result<(), HostError> {
        if self.open.is_some() {
            return Ok(());
        }
        self.greet()?;
        let locked = self.locked.clone().iter().try_for_each(|locked| self.take_lock(locked));
        // The agent before it may still be there: without the lock nothing is done, and the next call asks again.
        locked.inspect_err(|_| self.close())
    }

    /// Starts the agent and agrees on a version.
    fn greet(&mut self) -> Result<(), HostError> {
        let AgentCommand { program: name, arguments, elevate, patience, .. } = &self.command;
        let deadline = Instant::now() + *patience;
        let limit = *patience;
        let line = program(*elevate, name, arguments).map_err(|error| TransportError::Local {
            what: "cannot quote a command".to_string(),
            cause: error.to_string(),
        })?;
        self.worker.start(&line)?;
        self.hello(deadline, limit)?;
        match self.command.fast.clone() {
            Some(host) => self.speed_up(&host, deadline, limit),
            None => Ok(()),
        }
    }

    /// Lets the conversation go on over a connection of its own. Where that cannot be had, it stays where it is.
    fn speed_up(&mut self, host: &str, deadline: Instant, limit: Duration) -> Result<(), HostError> {
        const ASKED: &str = "open a door";
        if self.open.as_ref().is_none_or(|open| open.version < DOORS) {
            tls::note(&self.label, &"the agent there is too old for it");
            return Ok(());
        }
        let identity = match Identity::new() {
            Ok(identity) => identity,
            Err(error) => {
                tls::note(&self.label, &error);
                return Ok(());
            }
        };
        let id = self.ask(&Request::Door { certificate: Raw(identity.certificate().to_vec()) }, ASKED)?;
        let frame = self.await_reply(id, ASKED)?;
        let part = match frame.kind {
            Kind::Part => self.parse::<Part>(&frame, ASKED)?,
            Kind::Answer => {
                let answer: Answer = self.parse(&frame, ASKED)?;
                let why = match self.outcome(answer, ASKED) {
                    Err(error) if self.open.is_some() => error.to_string(),
                    Err(error) => return Err(error),
                    Ok(()) => "the agent has no door".to_string(),
                };
                tls::note(&self.label, &why);
                return Ok(());
            }
            kind => return Err(self.broken(ASKED, format!("{kind} instead of an answer"))),
        };
        let Part::Door { port, certificate } = part else {
            return Err(self.broken(ASKED, "another answer than a door"));
        };
        let way = Way { host: host.to_string(), port, identity, certificate: certificate.0 };
        match self.worker.speed_up(way, &self.label) {
            Ok(()) => self.hello(deadline.max(Instant::now() + limit), limit),
            Err(error @ TransportError::Cancelled) => Err(self.transport(error)),
            Err(error) => {
                tls::note(&self.label, &error);
                // It waits no longer, and what it says to that is read off before the next request.
                self.give_up(id);
                Ok(())
            }
        }
    }

    /// Agrees on a version.
    fn hello(&mut self, deadline: Instant, limit: Duration) -> Result<(), HostError> {
        const ASKED: &str = "the hello";
        self.open = Some(Open {
            frames: Frames::default(),
            last: 0,
            owed: None,
            version: OLDEST,
            program: String::new(),
        });
        let ours = Hello::ours();
        match self.message(Kind::Hello, 0, &ours, ASKED) {
            // A shell that found no program reads nothing: what it says is worth more.
            Ok(()) | Err(HostError::Transport(TransportError::StdinClosed { .. })) => {}
            Err(error) => return Err(error),
        }
        let theirs: Hello = loop {
            match self.come(ASKED)? {
                Came::Frame(frame) if frame.kind == Kind::Hello => break self.parse(&frame, ASKED)?,
                Came::Frame(frame) => {
                    return Err(self.broken(ASKED, format!("it begins with {}", frame.kind)));
                }
                Came::Nothing if Instant::now() < deadline => {}
                Came::Nothing => return Err(self.silent(limit)),
                Came::End => return Err(self.not_there()),
            }
        };
        if theirs.magic != ours.magic {
            return Err(self.broken(ASKED, "it is not our agent"));
        }
        let Some(version) = ours.common(&theirs) else {
            self.close();
            let (ours, theirs) = (ours.describe(), theirs.describe());
            return Err(HostError::AgentVersion { host: self.label.clone(), ours, theirs });
        };
        if let Some(open) = &mut self.open {
            (open.version, open.program) = (version, theirs.describe());
        }
        Ok(())
    }

    /// The version that both speak, and what the agent is; none before it has said so.
    pub(super) fn spoken(&self) -> Option<(u16, String)> {
        let open = self.open.as_ref().filter(|open| !open.program.is_empty())?;
        Some((open.version, open.program.clone()))
    }

    /// Whether the agent speaks this version of the protocol, which it takes to do `what`.
    pub(super) fn needs(&mut self, version: u16, what: &'static str) -> Result<(), HostError> {
        self.start()?;
        match &self.open {
            Some(open) if open.version < version => {
                Err(HostError::Cannot { host: self.label.clone(), has: open.program.clone(), what })
            }
            _ => Ok(()),
        }
    }

    /// The command ended without a hello.
    fn not_there(&mut self) -> HostError {
        let exit = match self.finish() {
            Ok(exit) => exit,
            Err(error) => return error,
        };
        let message = exit.message();
        let lower = message.to_ascii_lowercase();
        let says_so = ["not found", "no such file", "unknown command", "unrecognized subcommand"];
        if matches!(exit.status, Ok(126 | 127)) || says_so.iter().any(|text| lower.contains(text)) {
            let program = self.command.program.clone();
            return HostError::NoAgent {
                host: self.label.clone(),
                program,
                message: or_status(message, &exit),
            };
        }
        HostError::Remote {
            host: self.label.clone(),
            operation: START,
            subject: self.command.program.clone(),
            message: ended(&exit),
        }
    }

    fn finish(&mut self) -> Result<Exit, HostError> {
        self.open = None;
        Ok(self.worker.finish()?)
    }

    pub(super) fn parse<T: DeserializeOwned>(
        &mut self,
        frame: &Frame,
        asked: &'static str,
    ) -> Result<T, HostError> {
        serde_json::from_slice(&frame.payload)
            .map_err(|error| self.broken(asked, printable(error.to_string().as_bytes(), 500)))
    }

    /// The next frame, or nothing after a moment.
    fn come(&mut self, asked: &'static str) -> Result<Came, HostError> {
        let label = &self.label;
        let gone = || HostError::BadAnswer {
            host: label.clone(),
            operation: asked,
            why: "the agent has ended".to_string(),
        };
        let open = self.open.as_mut().ok_or_else(gone)?;
        loop {
            match open.frames.next() {
                // No answer, and no reason to wait longer for one.
                Ok(Some(frame)) if frame.kind == Kind::Alive => return Ok(Came::Nothing),
                Ok(Some(frame)) => return Ok(Came::Frame(frame)),
                Ok(None) => {}
                Err(error) => {
                    let head = printable(open.frames.head(), 80);
                    return Err(self.broken(asked, format!("{error} (it begins with \"{head}\")")));
                }
            }
            match self.worker.read() {
                Ok(None) => return Ok(Came::Nothing),
                Ok(Some(piece)) if piece.is_empty() => {
                    let cut = !open.frames.is_empty();
                    let head = printable(open.frames.head(), 80);
                    return if cut {
                        Err(self.broken(asked, format!("it ends in the middle of a frame, \"{head}\"")))
                    } else {
                        Ok(Came::End)
                    };
                }
                Ok(Some(piece)) => open.frames.push(&piece),
                Err(error) => return Err(self.transport(error)),
            }
        }
    }

    fn message(
        &mut self,
        kind: Kind,
        id: u32,
        message: &impl serde::Serialize,
        asked: &'static str,
    ) -> Result<(), HostError> {
        let text = serde_json::to_vec(message).map_err(|error| self.bad(asked, error.to_string()))?;
        let frame = whole(kind, id, &text).ok_or_else(|| TransportError::TooMuch {
            peer: "this machine".to_string(),
            what: "in one request to an agent",
            limit: DATA_LIMIT,
        })?;
        self.write(frame)
    }

    pub(super) fn write(&mut self, bytes: Bytes) -> Result<(), HostError> {
        match self.worker.write(bytes) {
            Ok(()) => Ok(()),
            // It has ended; why is still to be read.
            Err(error @ TransportError::StdinClosed { .. }) => Err(error.into()),
            Err(error) => Err(self.transport(error)),
        }
    }

    /// Asks, and gives the id that the answer will have.
    pub(super) fn ask(&mut self, request: &Request, asked: &'static str) -> Result<u32, HostError> {
        self.start()?;
        self.settle(asked)?;
        self.start()?;
        let last = match &mut self.open {
            // All ids are used up: a new agent begins anew.
            Some(open) if open.last == u32::MAX => {
                self.close();
                self.start()?;
                0
            }
            Some(open) => open.last,
            None => 0,
        };
        let id = last + 1;
        if let Some(open) = &mut self.open {
            open.last = id;
        }
        match self.message(Kind::Request, id, request, asked) {
            // What it said before it ended comes with the answer.
            Ok(()) | Err(HostError::Transport(TransportError::StdinClosed { .. })) => Ok(id),
            Err(error) => Err(error),
        }
    }

    /// Reads off what is still to come of a request that was given up. An agent that goes on and on is ended.
    fn settle(&mut self, asked: &'static str) -> Result<(), HostError> {
        let Some(owed) = self.open.as_mut().and_then(|open| open.owed.take()) else { return Ok(()) };
        let mut rest = 0usize;
        let deadline = Instant::now() + self.command.silence;
        loop {
            match self.come(asked)? {
                Came::Nothing if Instant::now() < deadline => {}
                Came::Nothing => return Err(self.silent(self.command.silence)),
                Came::Frame(frame) if frame.id == owed && frame.kind == Kind::Answer => return Ok(()),
                Came::Frame(frame) if frame.id == owed && rest < REST_LIMIT => {
                    rest += frame.payload.len() + 9;
                }
                Came::Frame(_) | Came::End => {
                    self.close();
                    return Ok(());
                }
            }
        }
    }

    /// Tells the agent that the answer is not wanted any more.
    pub(super) fn give_up(&mut self, id: u32) {
        if self.open.is_none() {
            return;
        }
        if self.write(Bytes::copy_from_slice(&header(Kind::Cancel, id, 0))).is_err() {
            return self.close();
        }
        if let Some(open) = &mut self.open {
            open.owed = Some(id);
        }
    }

    /// The next frame of an answer: `None` after a moment in which nothing came.
    pub(super) fn reply(&mut self, id: u32, asked: &'static str) -> Result<Option<Frame>, HostError> {
        match self.come(asked)? {
            Came::Nothing => Ok(None),
            Came::End => {
                let exit = self.finish()?;
                let (peer, cause) = (self.label.clone(), ended(&exit));
                Err(TransportError::Lost { peer, phase: WAITING, cause }.into())
            }
            Came::Frame(frame) if frame.id == id => Ok(Some(frame)),
            // It gives up the whole connection, and says why.
            Came::Frame(frame) if frame.id == 0 && frame.kind == Kind::Answer => {
                let answer: Answer = self.parse(&frame, asked)?;
                self.outcome(answer, asked)?;
                Err(self.broken(asked, "an answer to nothing"))
            }
            Came::Frame(frame) => {
                Err(self.broken(asked, format!("{} with the wrong number {}", frame.kind, frame.id)))
            }
        }
    }

    pub(super) fn outcome(&mut self, answer: Answer, asked: &'static str) -> Result<(), HostError> {
        match answer {
            Answer::Done => Ok(()),
            Answer::Failed(fault) => Err(fault.into_error(&self.label, asked)),
            Answer::Last(fault) => {
                // How it ended was told; waiting for it lets the connection be used again.
                if self.finish().is_err() {
                    self.worker.abandon();
                }
                Err(fault.into_error(&self.label, asked))
            }
        }
    }

    /// Waits for the next frame of an answer.
    pub(super) fn await_reply(&mut self, id: u32, asked: &'static str) -> Result<Frame, HostError> {
        let limit = self.command.silence;
        let deadline = Instant::now() + limit;
        loop {
            match self.reply(id, asked)? {
                Some(frame) => return Ok(frame),
                None if Instant::now() < deadline => {}
                None => return Err(self.silent(limit)),
            }
        }
    }

    /// It runs, and says nothing: stopped, or waiting for a pool that does not answer.
    fn silent(&mut self, limit: Duration) -> HostError {
        self.close();
        TransportError::Timeout { peer: self.label.clone(), phase: WAITING, limit }.into()
    }

    /// Asks, gives each part of the answer to `take`, and says how it ended. The number of entries that `take` counts
    /// and the bytes are bounded.
    pub(super) fn exchange(
        &mut self,
        request: &Request,
        asked: &'static str,
        take: &mut dyn FnMut(Part) -> Result<usize, String>,
    ) -> Result<(), HostError> {
        self.exchange_within(request, asked, (ENTRIES_LIMIT, ANSWER_LIMIT), take)
    }

    /// The same, with at most so many entries and bytes.
    pub(super) fn exchange_within(
        &mut self,
        request: &Request,
        asked: &'static str,
        (most_entries, most_bytes): (usize, usize),
        take: &mut dyn FnMut(Part) -> Result<usize, String>,
    ) -> Result<(), HostError> {
        let id = self.ask(request, asked)?;
        let (mut entries, mut bytes) = (0usize, 0usize);
        loop {
            let frame = self.await_reply(id, asked)?;
            match frame.kind {
                Kind::Part => {
                    bytes += frame.payload.len();
                    let part = self.parse(&frame, asked)?;
                    entries += 1 + take(part).map_err(|why| self.broken(asked, why))?;
                    if entries > most_entries || bytes > most_bytes {
                        return Err(self.broken(
                            asked,
                            format!("more than {most_entries} entries or {most_bytes} bytes"),
                        ));
                    }
                }
                Kind::Answer => {
                    let answer = self.parse(&frame, asked)?;
                    return self.outcome(answer, asked);
                }
                kind => return Err(self.broken(asked, format!("{kind} instead of an answer"))),
            }
        }
    }
}

const LOCK: &str = "lock";

/// The parts of an answer that has none.
fn nothing(_: Part) -> Result<usize, String> {
    Err("more than how it went".to_string())
}

/// What was said, or where nothing was said, how it ended.
fn or_status(message: String, exit: &Exit) -> String {
    if message.is_empty() { ended(exit) } else { message }
}

/// What it means that the agent has ended.
fn ended(exit: &Exit) -> String {
    let status = match &exit.status {
        Ok(status) => format!("the agent ended with status {status}"),
        Err(signal) => format!("the agent was ended by SIG{signal}"),
    };
    match exit.message() {
        said if said.is_empty() => status,
        said => format!("{said} ({status})"),
    }
}
