//! An agent without ZFS: what it receives it counts, and what it is asked to send and to list it was given. So the whole way of
//! a stream to an agent can be measured where there are no pools: its frames, its checks, its TLS. `zfs-bench sink` is one
//! at the other end of a connection, [`Beside`] one in this process.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use bytes::Bytes;
use replicator::agent::Class;
use replicator::agent::Limits;
use replicator::agent::Listen;
use replicator::agent::ServeError;
use replicator::agent::serve;
use replicator::cancel::TICK;
use replicator::compare::content::Take;
use replicator::host::About;
use replicator::host::Change;
use replicator::host::DatasetKind;
use replicator::host::Depth;
use replicator::host::Host;
use replicator::host::HostError;
use replicator::host::Incoming;
use replicator::host::Inventory;
use replicator::host::Next;
use replicator::host::Outgoing;
use replicator::host::Properties;
use replicator::host::ReceiveSpec;
use replicator::host::RemovalCost;
use replicator::host::SendSpec;
use replicator::host::Tree;
use replicator::inspect::holds::Held;
use replicator::pair::NodeName;
use replicator::transport::Exit;
use replicator::transport::Process;
use replicator::transport::Transport;
use replicator::transport::TransportError;
use zfs_core::Guid;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;

/// How it is called in messages.
const LABEL: &str = "the sink";

/// A host that is none.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// What it has received so far, in bytes.
    taken: u64,
    /// What it lists, whatever it is asked for.
    tree: Option<Tree>,
    /// What it sends.
    stream: Bytes,
}

impl Sink {
    /// One that has this tree.
    #[must_use]
    pub fn with_tree(self, tree: Tree) -> Self {
        Self { tree: Some(tree), ..self }
    }

    /// One that sends this.
    #[must_use]
    pub fn with_stream(self, stream: Bytes) -> Self {
        Self { stream, ..self }
    }

    fn cannot<T>(what: &'static str) -> Result<T, HostError> {
        Err(HostError::Cannot { host: LABEL.to_string(), has: "no ZFS".to_string(), what })
    }
}

/// A stream that ends here.
#[derive(Debug)]
pub struct Taking<'a> {
    taken: &'a mut u64,
}

impl<'a> Taking<'a> {
    /// Counts into `taken`.
    pub fn new(taken: &'a mut u64) -> Self {
        Self { taken }
    }
}

impl Incoming for Taking<'_> {
    fn write(&mut self, block: &Bytes) -> Result<(), HostError> {
        *self.taken += block.len() as u64;
        Ok(())
    }

    fn idle(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        Ok(())
    }
}

/// A stream that was made before.
#[derive(Debug)]
pub struct Giving {
    rest: Bytes,
}

impl Giving {
    /// Gives this.
    pub fn new(stream: Bytes) -> Self {
        Self { rest: stream }
    }
}

impl Outgoing for Giving {
    fn next(&mut self, limit: usize) -> Result<Next, HostError> {
        if self.rest.is_empty() {
            return Ok(Next::End);
        }
        Ok(Next::Block(self.rest.split_to(self.rest.len().min(limit))))
    }

    fn idle(&mut self) -> Result<(), HostError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), HostError> {
        Ok(())
    }
}

impl Host for Sink {
    fn label(&self) -> &str {
        LABEL
    }

    fn inventory(&mut self, _root: &DatasetName, _depth: Depth) -> Result<Inventory, HostError> {
        match &self.tree {
            Some(tree) => Ok(Inventory::Present(tree.clone())),
            None => Self::cannot("list datasets"),
        }
    }

    fn about(&mut self, _pool: &str) -> Result<About, HostError> {
        Self::cannot("tell about a pool")
    }

    fn properties(&mut self, _root: &DatasetName, _depth: Depth) -> Result<Properties, HostError> {
        Ok(Properties::new())
    }

    /// What was received stands for the size of whatever is asked about.
    fn removal_cost(&mut self, _dataset: &DatasetName) -> Result<RemovalCost, HostError> {
        Ok(RemovalCost { bytes: self.taken, mounted: false, held: None, cloned: None })
    }

    fn dates(&mut self, _root: &DatasetName, _depth: Depth) -> Result<Vec<(SnapshotName, i64)>, HostError> {
        Self::cannot("tell dates")
    }

    fn snapshot_guids(&mut self, snapshots: &[SnapshotName]) -> Result<Vec<Option<Guid>>, HostError> {
        Ok(vec![None; snapshots.len()])
    }

    fn estimate(&mut self, streams: &[SendSpec]) -> Result<Vec<Option<u64>>, HostError> {
        Ok(vec![None; streams.len()])
    }

    fn has_zstd(&mut self) -> Result<bool, HostError> {
        Ok(false)
    }

    fn send<'a>(&'a mut self, _spec: &SendSpec) -> Result<Box<dyn Outgoing + 'a>, HostError> {
        Ok(Box::new(Giving::new(self.stream.clone())))
    }

    fn receive<'a>(&'a mut self, _spec: &ReceiveSpec) -> Result<Box<dyn Incoming + 'a>, HostError> {
        Ok(Box::new(Taking::new(&mut self.taken)))
    }

    fn read(
        &mut self,
        _snapshot: &SnapshotName,
        _kind: DatasetKind,
        _take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        Self::cannot("read what is in a snapshot")
    }

    fn holds(&mut self, _root: &DatasetName, _depth: Depth) -> Result<Vec<Held>, HostError> {
        Self::cannot("list holds")
    }

    fn release(&mut self, _holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        Self::cannot("release holds")
    }

    fn apply(&mut self, _change: &Change) -> Result<(), HostError> {
        Self::cannot("change anything")
    }

    fn another(&self) -> Result<Box<dyn Host>, HostError> {
        Ok(Box::new(self.clone()))
    }
}

/// The limits of such an agent: none, as it has nothing.
fn limits(listen: Option<Listen>) -> Result<Limits> {
    let node = "zfs-bench".parse::<NodeName>().map_err(|error| BenchError::Unfit(error.to_string()))?;
    Ok(Limits::everywhere().allowing(vec![Class::All]).listening(listen).as_node(node))
}

/// `zfs-bench sink`: an agent on standard input and output, until the other end goes.
///
/// # Errors
/// Where the connection breaks, or what comes is no conversation with an agent.
pub fn sink(listen: Option<Listen>) -> Result<()> {
    // The unbuffered descriptors: what is read ahead has to be known to the agent.
    let copy = |end: BorrowedFd<'_>| {
        end.try_clone_to_owned().map(File::from).context(|| "taking standard input and output".to_string())
    };
    let (input, output) = (copy(std::io::stdin().as_fd())?, copy(std::io::stdout().as_fd())?);
    serve(input, output, &mut Sink::default(), &limits(listen)?)
        .map_err(|error| BenchError::Unfit(error.to_string()))
}

/// The way to an agent in a thread of this process, over a pair of sockets.
#[derive(Clone, Debug)]
pub struct Beside {
    sink: Sink,
    limits: Limits,
}

impl Beside {
    /// To one that has what this sink has, and listens there where it is asked to.
    ///
    /// # Errors
    /// Never, as long as the name of its node is one.
    pub fn new(sink: Sink, listen: Option<Listen>) -> Result<Self> {
        Ok(Self { sink, limits: limits(listen)? })
    }
}

fn local(error: &std::io::Error) -> TransportError {
    TransportError::Local { what: "cannot talk to the agent".to_string(), cause: error.to_string() }
}

impl Transport for Beside {
    fn peer(&self) -> &str {
        LABEL
    }

    fn start<'a>(&'a mut self, _command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError> {
        let (near, far) = UnixStream::pair().map_err(|error| local(&error))?;
        near.set_read_timeout(Some(TICK)).map_err(|error| local(&error))?;
        let output = far.try_clone().map_err(|error| local(&error))?;
        let (mut sink, limits) = (self.sink.clone(), self.limits.clone());
        let thread = std::thread::spawn(move || serve(far, output, &mut sink, &limits));
        Ok(Box::new(Conversation { near, thread }))
    }

    fn another(&self) -> Result<Box<dyn Transport>, TransportError> {
        Ok(Box::new(self.clone()))
    }
}

struct Conversation {
    near: UnixStream,
    /// It ends when this end of the pair is closed.
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Conversation {
    /// What there is, or nothing after a moment.
    fn next(&self, buffer: &mut [u8]) -> Result<Option<usize>, TransportError> {
        match (&self.near).read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(local(&error)),
            },
        }
    }
}

impl Process for Conversation {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        self.near.write_all(data).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => TransportError::StdinClosed { peer: LABEL.to_string() },
            _ => local(&error),
        })
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        self.next(buf)
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn finish(
        self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        self.near.shutdown(Shutdown::Write).map_err(|error| local(&error))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.next(&mut buffer)? {
                Some(0) => break,
                Some(count) => sink(&buffer[..count])?,
                None => {}
            }
        }
        let ended = match self.thread.join() {
            Ok(Ok(())) => (0, Vec::new()),
            Ok(Err(error)) => (1, error.to_string().into_bytes()),
            Err(_) => (101, b"it panicked".to_vec()),
        };
        Ok(Exit { status: Ok(ended.0), stderr: ended.1 })
    }
}

#[cfg(test)]
mod tests {
    use replicator::host::agent::AgentCommand;
    use replicator::host::agent::AgentHost;

    use super::*;
    use crate::histories::Shape;
    use crate::histories::name;
    use crate::histories::same;
    use crate::stream;

    /// A stream to an agent of this process, and how much of it the agent says it has.
    fn sent(fast: bool, cut: usize) -> Result<u64, HostError> {
        let mut data = Vec::new();
        stream::write(1 << 20, 1, &mut data).expect("made");
        data.truncate(data.len() - cut);
        // Where it cannot go the fast way, it goes the other one, and says so.
        replicator::transport::tls::notes_to(|note| panic!("{note}"));
        let listen = fast.then(|| "127.0.0.1:41000-41099".parse().expect("ports"));
        let command = AgentCommand { fast: fast.then(|| "127.0.0.1".to_string()), ..AgentCommand::default() };
        let way = Beside::new(Sink::default(), listen).expect("a way");
        let mut agent = AgentHost::new(Box::new(way), command)?;
        let to: SnapshotName = "back/stream@recorded".parse().expect("a name");
        let spec = ReceiveSpec {
            to: to.clone(),
            guid: Guid(stream::GUID),
            set: Vec::new(),
            origin: None,
            compressed: false,
        };
        let mut incoming = agent.receive(&spec)?;
        for piece in data.chunks(300_000) {
            incoming.write(&Bytes::copy_from_slice(piece))?;
        }
        incoming.finish()?;
        Ok(agent.removal_cost(to.dataset())?.bytes)
    }

    #[test]
    fn what_is_sent_is_counted_over_either_way() {
        let whole = (1 << 20) + 312 * 10;
        assert_eq!(sent(false, 0).expect("sent"), whole);
        assert_eq!(sent(true, 0).expect("sent"), whole);
    }

    #[test]
    fn a_stream_that_is_cut_is_no_fast_stream() {
        assert!(sent(false, 1).is_err());
        assert!(sent(true, 100).is_err());
    }

    #[test]
    fn a_list_comes_as_it_was_given() {
        let tree = Shape { datasets: 3, each: 5 }.tree("tank/data", 0, same, |at| at);
        let way = Beside::new(Sink::default().with_tree(tree.clone()), None).expect("a way");
        let mut agent = AgentHost::new(Box::new(way), AgentCommand::default()).expect("an agent");
        let listed = agent.inventory(&name("tank/data"), Depth::All).expect("listed");
        assert_eq!(listed, Inventory::Present(tree));
    }
}
