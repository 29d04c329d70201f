//! A machine with this program, reached over a [`Transport`]: `replicator agent` runs there for as long as this host
//! lives and answers one request at a time. The frames and messages are in [`crate::agent`]; what the agent says is
//! checked and bounded as anything from another machine.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::SnapshotName;

use super::About;
use super::Bookmark;
use super::Change;
use super::DatasetState;
use super::Depth;
use super::Host;
use super::HostError;
use super::Incoming;
use super::Inventory;
use super::Next;
use super::Outgoing;
use super::Properties;
use super::Property;
use super::ReceiveSpec;
use super::RemovalCost;
use super::SendSpec;
use super::Snapshot;
use super::Tree;
use crate::agent::Answer;
use crate::agent::DATA_LIMIT;
use crate::agent::Frame;
use crate::agent::Frames;
use crate::agent::Hello;
use crate::agent::Kind;
use crate::agent::Part;
use crate::agent::ReceiveRequest;
use crate::agent::Request;
use crate::agent::Text;
use crate::agent::header;
use crate::agent::whole;
use crate::transport::Exit;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::printable;
use crate::transport::quote::Elevate;
use crate::transport::quote::program;

mod worker;

use worker::Worker;

/// The most entries (datasets, snapshots, bookmarks, properties) of one answer, as for a list of `zfs`.
const ENTRIES_LIMIT: usize = if cfg!(test) { 20_000 } else { 2_000_000 };

/// The most bytes of one answer that is kept.
const ANSWER_LIMIT: usize = 512 << 20;

/// How much of a stream that was given up is read off before the agent is given up too.
const REST_LIMIT: usize = if cfg!(test) { 8 << 20 } else { 64 << 20 };

/// How many names go into one request.
const NAMES_AT_ONCE: usize = 1000;

/// How many estimates go into one request: each may carry a token of several KiB.
const ESTIMATES_AT_ONCE: usize = 60;

/// How the agent is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The program, looked for in PATH and where `zfs` is looked for.
    pub program: String,
    /// Its arguments. A machine that ties the key to a command of its own does not look at them.
    pub arguments: Vec<String>,
    /// How it gets other rights.
    pub elevate: Elevate,
    /// How long it may take to say hello, from the open connection on.
    pub patience: Duration,
}

impl Default for AgentCommand {
    /// `replicator agent` with all that the user there may do: who may start any command may do that anyway.
    fn default() -> Self {
        Self {
            program: "replicator".to_string(),
            arguments: ["agent", "--everywhere", "--allow", "all"].map(str::to_string).to_vec(),
            elevate: Elevate::No,
            patience: Duration::from_secs(30),
        }
    }
}

/// A machine with an agent.
pub struct AgentHost {
    link: Link,
    /// For another connection to the same machine; never used itself.
    template: Box<dyn Transport>,
    command: AgentCommand,
}

impl AgentHost {
    /// Over this transport. Connects when it is first used.
    ///
    /// # Errors
    /// When the transport has no second connection to offer, or a thread cannot be started.
    pub fn new(transport: Box<dyn Transport>, command: AgentCommand) -> Result<Self, HostError> {
        let label = transport.peer().to_string();
        let template = transport.another()?;
        let worker = Worker::new(transport)?;
        let link = Link { worker, label, command: command.clone(), open: None };
        Ok(Self { link, template, command })
    }

    /// Starts the agent now, to fail early and to fall back to another way.
    ///
    /// # Errors
    /// [`HostError::NoAgent`] when the machine can be reached but has none; [`HostError::AgentVersion`] when it cannot
    /// speak with this program; whatever keeps the connection from being made.
    pub fn start(&mut self) -> Result<(), HostError> {
        self.link.start()
    }
}

/// The connection to a running agent.
struct Link {
    worker: Worker,
    label: String,
    command: AgentCommand,
    open: Option<Open>,
}

/// What is known of a running agent.
struct Open {
    frames: Frames,
    last: u32,
    /// A request that was given up, whose answer is still to come.
    owed: Option<u32>,
}

/// What came.
enum Came {
    Frame(Frame),
    Nothing,
    End,
}

impl Link {
    fn bad(&self, operation: &'static str, why: impl Into<String>) -> HostError {
        HostError::BadAnswer { host: self.label.clone(), operation, why: why.into() }
    }

    /// As [`Self::bad`], and nothing more is asked of this agent.
    fn broken(&mut self, operation: &'static str, why: impl Into<String>) -> HostError {
        self.close();
        self.bad(operation, why)
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.worker.abandon();
        }
    }

    fn transport(&mut self, error: TransportError) -> HostError {
        self.close();
        error.into()
    }

    /// Starts the agent, unless it runs.
    fn start(&mut self) -> Result<(), HostError> {
        const ASKED: &str = "the hello";
        if self.open.is_some() {
            return Ok(());
        }
        let AgentCommand { program: name, arguments, elevate, patience } = &self.command;
        let deadline = Instant::now() + *patience;
        let limit = *patience;
        let line = program(*elevate, name, arguments).map_err(|error| TransportError::Local {
            what: "cannot quote a command".to_string(),
            cause: error.to_string(),
        })?;
        self.worker.start(&line)?;
        self.open = Some(Open { frames: Frames::default(), last: 0, owed: None });
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
                    return Err(self.broken(ASKED, format!("it begins with {:?}", frame.kind)));
                }
                Came::Nothing if Instant::now() < deadline => {}
                Came::Nothing => {
                    self.close();
                    let (peer, phase) = (self.label.clone(), "waiting for the agent");
                    return Err(TransportError::Timeout { peer, phase, limit }.into());
                }
                Came::End => return Err(self.not_there()),
            }
        };
        if theirs.magic != ours.magic {
            return Err(self.broken(ASKED, "it is not our agent"));
        }
        if ours.common(&theirs).is_none() {
            self.close();
            let (ours, theirs) = (ours.describe(), theirs.describe());
            return Err(HostError::AgentVersion { host: self.label.clone(), ours, theirs });
        }
        Ok(())
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
            operation: "start the agent",
            subject: self.command.program.clone(),
            message: ended(&exit),
        }
    }

    fn finish(&mut self) -> Result<Exit, HostError> {
        self.open = None;
        Ok(self.worker.finish()?)
    }

    fn parse<T: DeserializeOwned>(&mut self, frame: &Frame, asked: &'static str) -> Result<T, HostError> {
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
                Ok(Some(frame)) => return Ok(Came::Frame(frame)),
                Ok(None) => {}
                Err(error) => {
                    let head = printable(open.frames.head(), 80);
                    return Err(self.broken(asked, format!("{error} (it begins with {head:?})")));
                }
            }
            match self.worker.read() {
                Ok(None) => return Ok(Came::Nothing),
                Ok(Some(piece)) if piece.is_empty() => {
                    let cut = !open.frames.is_empty();
                    let head = printable(open.frames.head(), 80);
                    return if cut {
                        Err(self.broken(asked, format!("it ends in the middle of a frame, {head:?}")))
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

    fn write(&mut self, bytes: Bytes) -> Result<(), HostError> {
        match self.worker.write(bytes) {
            Ok(()) => Ok(()),
            // It has ended; why is still to be read.
            Err(error @ TransportError::StdinClosed { .. }) => Err(error.into()),
            Err(error) => Err(self.transport(error)),
        }
    }

    /// Asks, and gives the id that the answer will have.
    fn ask(&mut self, request: &Request, asked: &'static str) -> Result<u32, HostError> {
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
        loop {
            match self.come(asked)? {
                Came::Nothing => {}
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
    fn give_up(&mut self, id: u32) {
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
    fn reply(&mut self, id: u32, asked: &'static str) -> Result<Option<Frame>, HostError> {
        match self.come(asked)? {
            Came::Nothing => Ok(None),
            Came::End => {
                let exit = self.finish()?;
                let (peer, cause) = (self.label.clone(), ended(&exit));
                Err(TransportError::Lost { peer, phase: "waiting for the agent", cause }.into())
            }
            Came::Frame(frame) if frame.id == id => Ok(Some(frame)),
            // It gives up the whole connection, and says why.
            Came::Frame(frame) if frame.id == 0 && frame.kind == Kind::Answer => {
                let answer: Answer = self.parse(&frame, asked)?;
                self.outcome(answer, asked)?;
                Err(self.broken(asked, "an answer to nothing"))
            }
            Came::Frame(frame) => {
                Err(self.broken(asked, format!("{:?} with the wrong id {}", frame.kind, frame.id)))
            }
        }
    }

    fn outcome(&mut self, answer: Answer, asked: &'static str) -> Result<(), HostError> {
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

    /// Asks, gives each part of the answer to `take`, and says how it ended. The number of entries that `take` counts
    /// and the bytes are bounded.
    fn exchange(
        &mut self,
        request: &Request,
        asked: &'static str,
        take: &mut dyn FnMut(Part) -> Result<usize, String>,
    ) -> Result<(), HostError> {
        let id = self.ask(request, asked)?;
        let (mut entries, mut bytes) = (0usize, 0usize);
        loop {
            let Some(frame) = self.reply(id, asked)? else { continue };
            match frame.kind {
                Kind::Part => {
                    bytes += frame.payload.len();
                    let part = self.parse(&frame, asked)?;
                    entries += 1 + take(part).map_err(|why| self.broken(asked, why))?;
                    if entries > ENTRIES_LIMIT || bytes > ANSWER_LIMIT {
                        return Err(self.broken(
                            asked,
                            format!("more than {ENTRIES_LIMIT} entries or {ANSWER_LIMIT} bytes"),
                        ));
                    }
                }
                Kind::Answer => {
                    let answer = self.parse(&frame, asked)?;
                    return self.outcome(answer, asked);
                }
                kind => return Err(self.broken(asked, format!("{kind:?} instead of an answer"))),
            }
        }
    }
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

/// Puts an inventory together from its parts.
struct Listing {
    root: DatasetName,
    depth: Depth,
    datasets: Vec<DatasetState>,
    absent: Option<(DatasetState, Vec<DatasetName>)>,
}

impl Listing {
    fn take(&mut self, part: Part) -> Result<usize, String> {
        let unasked = |name: &DatasetName| format!("{name}, which was not asked for");
        match part {
            Part::Dataset(dataset) if self.absent.is_none() => {
                let state = dataset.state();
                let wanted = match self.depth {
                    Depth::One => state.name == self.root && self.datasets.is_empty(),
                    Depth::All => state.name.is_within(&self.root),
                };
                if !wanted {
                    return Err(unasked(&state.name));
                }
                self.datasets.push(state);
                Ok(0)
            }
            Part::Snapshots(rows) => {
                let state = self.datasets.last_mut().ok_or("snapshots of nothing")?;
                let count = rows.len();
                for (short, guid, createtxg, ivset) in rows {
                    let name = state.name.snapshot(&short).map_err(|error| error.to_string())?;
                    let ivset = ivset.map(Guid);
                    state.snapshots.push(Snapshot {
                        name,
                        guid: guid.into(),
                        createtxg: createtxg.into(),
                        ivset,
                    });
                }
                Ok(count)
            }
            Part::Bookmarks(rows) => {
                let state = self.datasets.last_mut().ok_or("bookmarks of nothing")?;
                let count = rows.len();
                for (short, guid, createtxg, ivset) in rows {
                    let name = state.name.bookmark(&short).map_err(|error| error.to_string())?;
                    let ivset = ivset.map(Guid);
                    state.bookmarks.push(Bookmark {
                        name,
                        guid: guid.into(),
                        createtxg: createtxg.into(),
                        ivset,
                    });
                }
                Ok(count)
            }
            Part::Ancestor(dataset) if self.absent.is_none() && self.datasets.is_empty() => {
                let state = dataset.state();
                if state.name == self.root || !self.root.is_within(&state.name) {
                    return Err(format!("{} is no ancestor of {}", state.name, self.root));
                }
                self.absent = Some((state, Vec::new()));
                Ok(0)
            }
            Part::Children(names) => {
                let (ancestor, children) = self.absent.as_mut().ok_or("children of nothing")?;
                let count = names.len();
                for name in names {
                    let name = name.0;
                    if name.parent().as_ref() != Some(&ancestor.name) {
                        return Err(unasked(&name));
                    }
                    // It would be there, then.
                    if self.root.is_within(&name) {
                        return Err(format!("{name} is said to be there and not to be there"));
                    }
                    children.push(name);
                }
                Ok(count)
            }
            _ => Err("another answer than an inventory".to_string()),
        }
    }

    fn finish(self) -> Result<Inventory, String> {
        if let Some((ancestor, children)) = self.absent {
            return Ok(Inventory::Absent { ancestor: Box::new(ancestor), children });
        }
        let mut datasets = self.datasets;
        for dataset in &mut datasets {
            dataset.snapshots.sort_by_key(|snapshot| snapshot.createtxg);
            dataset.bookmarks.sort_by_key(|bookmark| bookmark.createtxg);
        }
        Tree::new(&self.root, datasets).map(Inventory::Present).map_err(|error| error.to_string())
    }
}

impl AgentHost {
    fn ask_for_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: Option<&[String]>,
    ) -> Result<Properties, HostError> {
        const ASKED: &str = "get the properties of";
        let mut all = Properties::new();
        let request = Request::properties(root, depth, names);
        self.link.exchange(&request, ASKED, &mut |part| {
            let Part::Properties { dataset, rows } = part else {
                return Err("another answer than properties".to_string());
            };
            let dataset = dataset.0;
            if !dataset.is_within(root) || (depth == Depth::One && dataset != *root) {
                return Err(format!("{dataset}, which was not asked for"));
            }
            let count = rows.len();
            let one: &mut BTreeMap<_, _> = all.entry(dataset).or_default();
            one.extend(
                rows.into_iter()
                    .map(|(name, value, source)| (name, Property { value, source: source.into() })),
            );
            Ok(count)
        })?;
        if all.contains_key(root) { Ok(all) } else { Err(self.link.bad(ASKED, format!("nothing of {root}"))) }
    }
}

impl Host for AgentHost {
    fn label(&self) -> &str {
        &self.link.label
    }

    fn inventory(&mut self, root: &DatasetName, depth: Depth) -> Result<Inventory, HostError> {
        const ASKED: &str = "list";
        let mut listing = Listing { root: root.clone(), depth, datasets: Vec::new(), absent: None };
        let request = Request::inventory(root, depth);
        self.link.exchange(&request, ASKED, &mut |part| listing.take(part))?;
        listing.finish().map_err(|why| self.link.bad(ASKED, why))
    }

    fn about(&mut self, pool: &str) -> Result<About, HostError> {
        const ASKED: &str = "the question about the pool";
        let request = Request::about(pool).map_err(|error| TransportError::Local {
            what: "cannot ask about a pool".to_string(),
            cause: error.to_string(),
        })?;
        let mut found = None;
        self.link.exchange(&request, ASKED, &mut |part| match part {
            Part::About(about) if found.is_none() => {
                found = Some(about.about(pool)?);
                Ok(0)
            }
            _ => Err("another answer than one about a pool".to_string()),
        })?;
        found.ok_or_else(|| self.link.bad(ASKED, "nothing"))
    }

    fn properties(&mut self, root: &DatasetName, depth: Depth) -> Result<Properties, HostError> {
        self.ask_for_properties(root, depth, None)
    }

    fn some_properties(
        &mut self,
        root: &DatasetName,
        depth: Depth,
        names: &[String],
    ) -> Result<Properties, HostError> {
        self.ask_for_properties(root, depth, Some(names))
    }

    fn answers_itself(&self) -> bool {
        true
    }

    fn removal_cost(&mut self, dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        const ASKED: &str = "the question what is in a dataset";
        let mut cost = None;
        let request = Request::RemovalCost { dataset: Text(dataset.clone()) };
        self.link.exchange(&request, ASKED, &mut |part| match part {
            Part::RemovalCost { bytes, mounted, held, cloned } if cost.is_none() => {
                let (held, cloned) = (held.map(|name| name.0), cloned.map(|name| name.0));
                cost = Some(RemovalCost { bytes, mounted, held, cloned });
                Ok(0)
            }
            _ => Err("another answer than one about a dataset".to_string()),
        })?;
        cost.ok_or_else(|| self.link.bad(ASKED, "nothing"))
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        const ASKED: &str = "list";
        let mut all = Vec::with_capacity(snapshots.len());
        for names in snapshots.chunks(NAMES_AT_ONCE) {
            let mut some = Vec::new();
            self.link.exchange(&Request::snapshot_guids(names), ASKED, &mut |part| match part {
                Part::Guids(guids) if some.len() + guids.len() <= names.len() => {
                    some.extend(guids.into_iter().map(|guid| guid.map(Guid)));
                    Ok(0)
                }
                _ => Err("another answer than a GUID for each snapshot".to_string()),
            })?;
            if some.len() != names.len() {
                let why = format!("{} GUIDs for {} snapshots", some.len(), names.len());
                return Err(self.link.bad(ASKED, why));
            }
            all.append(&mut some);
        }
        Ok(all)
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        const ASKED: &str = "estimate";
        let mut all = Vec::with_capacity(streams.len());
        for specs in streams.chunks(ESTIMATES_AT_ONCE) {
            let mut some = Vec::new();
            let request = Request::Estimate { streams: specs.iter().map(Into::into).collect() };
            self.link.exchange(&request, ASKED, &mut |part| match part {
                Part::Sizes(sizes) if some.len() + sizes.len() <= specs.len() => {
                    some.extend(sizes);
                    Ok(0)
                }
                _ => Err("another answer than a size for each stream".to_string()),
            })?;
            if some.len() != specs.len() {
                let why = format!("{} sizes for {} streams", some.len(), specs.len());
                return Err(self.link.bad(ASKED, why));
            }
            all.append(&mut some);
        }
        Ok(all)
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        // Each agent of this version of the protocol does it itself.
        Ok(true)
    }

    fn send<'a>(&'a mut self, spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        let id = self.link.ask(&Request::Send(spec.into()), SEND)?;
        Ok(Box::new(AgentOutgoing { link: &mut self.link, id, rest: Bytes::new(), outcome: None }))
    }

    fn receive<'a>(&'a mut self, spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        let id = self.link.ask(&Request::Receive(ReceiveRequest::from(spec)), RECEIVE)?;
        loop {
            let Some(frame) = self.link.reply(id, RECEIVE)? else { continue };
            match frame.kind {
                Kind::Part if self.link.parse::<Part>(&frame, RECEIVE)? == Part::Ready => {
                    return Ok(Box::new(AgentIncoming { link: &mut self.link, id, settled: None }));
                }
                Kind::Answer => {
                    let answer = self.link.parse(&frame, RECEIVE)?;
                    self.link.outcome(answer, RECEIVE)?;
                    return Err(self.link.broken(RECEIVE, "it is done before it began"));
                }
                kind => return Err(self.link.broken(RECEIVE, format!("{kind:?} instead of an answer"))),
            }
        }
    }

    fn apply(&mut self, change: &Change) -> Result<(), HostError> {
        let request = Request::Apply(change.into());
        self.link.exchange(&request, change.kind(), &mut |_| Err("more than how it went".to_string()))
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(Self::new(self.template.another()?, self.command.clone())?))
    }
}

const SEND: &str = "send";
const RECEIVE: &str = "receive";

struct AgentOutgoing<'a> {
    link: &'a mut Link,
    id: u32,
    /// Of a block that was larger than was asked for.
    rest: Bytes,
    /// How it ended.
    outcome: Option<Result<(), HostError>>,
}

impl Outgoing for AgentOutgoing<'_> {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        if self.rest.is_empty() {
            if self.outcome.is_some() {
                return Ok(Next::End);
            }
            let Some(frame) = self.link.reply(self.id, SEND)? else { return Ok(Next::Nothing) };
            match frame.kind {
                Kind::Data => self.rest = frame.payload,
                Kind::Answer => {
                    let answer = self.link.parse(&frame, SEND)?;
                    self.outcome = Some(self.link.outcome(answer, SEND));
                    return Ok(Next::End);
                }
                kind => return Err(self.link.broken(SEND, format!("{kind:?} in a stream"))),
            }
        }
        Ok(Next::Block(self.rest.split_to(self.rest.len().min(limit))))
    }

    fn idle(&mut self) -> Result<(), HostError> {
        match self.link.worker.idle() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.link.transport(error)),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        match self.outcome.take() {
            Some(outcome) => {
                self.outcome = Some(Ok(()));
                outcome
            }
            None => Err(self.link.broken(SEND, "the stream was not read to its end")),
        }
    }
}

impl Drop for AgentOutgoing<'_> {
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.link.give_up(self.id);
        }
    }
}

struct AgentIncoming<'a> {
    link: &'a mut Link,
    id: u32,
    /// How it ended, where that was read already.
    settled: Option<Result<(), HostError>>,
}

impl AgentIncoming<'_> {
    /// Looks for the answer: true when it is there.
    fn look(&mut self) -> Result<bool, HostError> {
        if self.settled.is_some() {
            return Ok(true);
        }
        match self.link.reply(self.id, RECEIVE) {
            Ok(None) => return Ok(false),
            Ok(Some(frame)) if frame.kind == Kind::Answer => {
                let answer = self.link.parse(&frame, RECEIVE)?;
                self.settled = Some(self.link.outcome(answer, RECEIVE));
            }
            Ok(Some(frame)) => {
                let error = self.link.broken(RECEIVE, format!("{:?} while a stream is received", frame.kind));
                self.settled = Some(Err(error));
            }
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => self.settled = Some(Err(error)),
        }
        Ok(true)
    }

    fn stopped(&self) -> HostError {
        TransportError::StdinClosed { peer: self.link.label.clone() }.into()
    }
}

impl Incoming for AgentIncoming<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        if self.settled.is_some() {
            return Err(self.stopped());
        }
        let mut rest = block.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(DATA_LIMIT));
            // An agent whose receive fails ends, and by that the writing, too.
            self.link.write(Bytes::copy_from_slice(&header(Kind::Data, self.id, piece.len())))?;
            self.link.write(piece)?;
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        self.look()
    }

    fn finish(mut self: Box<Self>) -> Result<(), HostError> {
        if self.settled.is_none() {
            match self.link.write(Bytes::copy_from_slice(&header(Kind::End, self.id, 0))) {
                Ok(()) | Err(HostError::Transport(TransportError::StdinClosed { .. })) => {}
                Err(error) => {
                    self.settled = Some(Ok(()));
                    return Err(error);
                }
            }
            while !self.look()? {}
        }
        match self.settled.replace(Ok(())) {
            Some(outcome) => outcome,
            None => Ok(()),
        }
    }
}

impl Drop for AgentIncoming<'_> {
    fn drop(&mut self) {
        // What arrived is kept there, to go on from.
        if self.settled.is_none() {
            self.link.give_up(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
