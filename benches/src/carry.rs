//! `zfs-bench carry`: a stream through one connection to a program on the other side; nothing but the transport. Ours, each
//! way that a stream can go, and for comparison the shortest loop over libssh2 that keeps it busy.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use replicator::agent::Listen;
use replicator::cancel::Cancel;
use replicator::config::job::Carrier;
use replicator::config::job::Link;
use replicator::connect;
use replicator::endpoint::Machine;
use replicator::host::Host;
use replicator::host::HostError;
use replicator::host::ReceiveSpec;
use replicator::host::agent::AgentCommand;
use replicator::host::agent::AgentHost;
use replicator::transfer::BLOCK;
use replicator::transport::Transport;
use replicator::transport::TransportError;
use replicator::transport::tls;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::poll;
use ssh2::BlockDirections;
use ssh2::Session;
use zfs_core::Guid;
use zfs_core::name::SnapshotName;

use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::error::unfit;
use crate::stream;

/// What reads everything and says how much it was.
pub const SINK: &str = "exec wc -c";

/// Where what an agent counts is said to go.
const INTO: &str = "sink/stream@recorded";

/// What carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Our transport over libssh2.
    Libssh2,
    /// Our transport over the system's ssh.
    Ssh,
    /// Our agent, in the session of libssh2. It takes nothing but a sound send stream.
    Agent,
    /// Our agent, over TLS. It takes nothing but a sound send stream.
    Tls,
    /// A bare loop over libssh2. It looks at no host key.
    Bare,
}

/// What and whereto.
#[derive(Clone, Debug, clap::Args)]
pub struct Carry {
    /// What carries.
    #[arg(long, value_enum)]
    by: By,
    /// The machine.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port of sshd there.
    #[arg(long, default_value_t = 22)]
    port: u16,
    /// The user there.
    #[arg(long)]
    user: String,
    /// The key; the first one of the ssh agent where none is named.
    #[arg(long)]
    identity: Option<PathBuf>,
    /// The host key.
    #[arg(long)]
    known_hosts: Option<PathBuf>,
    /// Where an agent may listen there.
    #[arg(long)]
    listen: Option<Listen>,
    /// What is carried; `-` is standard input.
    file: PathBuf,
    /// What is started there, in place of what only counts.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Something went over ssh that should have gone over TLS.
static NOT_FAST: AtomicBool = AtomicBool::new(false);

fn note(line: &str) {
    eprintln!("zfs-bench: {line}");
    NOT_FAST.store(true, Ordering::Release);
}

fn lost(error: &TransportError) -> BenchError {
    BenchError::Unfit(error.to_string())
}

fn refused(error: &HostError) -> BenchError {
    BenchError::Unfit(error.to_string())
}

impl Carry {
    /// Carries it, and returns what the other side said.
    ///
    /// # Errors
    /// Where the connection fails or the program there does.
    pub fn run(&self) -> Result<String> {
        let mut file = self.open()?;
        match self.by {
            By::Bare => {
                self.bare(&mut file).map_err(|error| BenchError::Unfit(format!("the bare loop: {error}")))
            }
            By::Libssh2 => self.ours(Carrier::Libssh2, &mut file),
            By::Ssh => self.ours(Carrier::Ssh, &mut file),
            By::Agent => self.to_agent(false, &mut file),
            By::Tls => self.to_agent(true, &mut file),
        }
    }

    fn open(&self) -> Result<File> {
        if self.file == Path::new("-") {
            let input = std::io::stdin().as_fd().try_clone_to_owned();
            return input.map(File::from).context(|| "taking standard input".to_string());
        }
        File::open(&self.file).on("opening", &self.file)
    }

    fn command(&self) -> String {
        if self.command.is_empty() { SINK.to_string() } else { self.command.join(" ") }
    }

    /// As the stages of a transfer hand their blocks over; none at the end.
    fn block(&self, file: &mut File) -> Result<Option<Bytes>> {
        let mut block = Vec::with_capacity(BLOCK);
        Read::by_ref(file).take(BLOCK as u64).read_to_end(&mut block).on("reading", &self.file)?;
        Ok((!block.is_empty()).then(|| Bytes::from(block)))
    }

    fn connect(&self, carrier: Carrier) -> Result<Box<dyn Transport>> {
        let link = Link {
            carrier,
            port: Some(self.port),
            identities: self.identity.iter().cloned().collect(),
            known_hosts: self.known_hosts.iter().cloned().collect(),
            ..Link::default()
        };
        let machine = Machine { user: Some(self.user.clone()), host: self.host.clone() };
        connect::transport(&link, &machine, &Cancel::new()).map_err(|error| lost(&error))
    }

    fn ours(&self, carrier: Carrier, file: &mut File) -> Result<String> {
        let mut transport = self.connect(carrier)?;
        let command = self.command();
        let mut process = transport.start(&command).map_err(|error| lost(&error))?;
        let mut said = Vec::new();
        while let Some(block) = self.block(file)? {
            process.write(&block).map_err(|error| lost(&error))?;
        }
        let mut sink = |data: &[u8]| {
            said.extend_from_slice(data);
            Ok(())
        };
        let exit = process.finish(&mut sink).map_err(|error| lost(&error))?;
        if !exit.success() {
            return unfit(format!("`{command}` failed: {}", exit.message()));
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// To `zfs-bench sink` there, which is this program, under the same path.
    fn to_agent(&self, fast: bool, file: &mut File) -> Result<String> {
        let me = std::env::current_exe().context(|| "asking for this program's path".to_string())?;
        let listen = self.listen.iter().flat_map(|listen| ["--listen".to_string(), listen.to_string()]);
        let command = AgentCommand {
            program: me.to_string_lossy().into_owned(),
            arguments: ["sink".to_string()].into_iter().chain(listen).collect(),
            fast: fast.then(|| self.host.clone()),
            ..AgentCommand::default()
        };
        tls::notes_to(note);
        let mut agent =
            AgentHost::new(self.connect(Carrier::Libssh2)?, command).map_err(|error| refused(&error))?;
        agent.start().map_err(|error| refused(&error))?;
        if NOT_FAST.load(Ordering::Acquire) {
            return unfit("the stream would have gone over ssh: that is another measurement");
        }
        let into = INTO.parse::<SnapshotName>().map_err(|error| BenchError::Unfit(error.to_string()))?;
        let spec = ReceiveSpec {
            to: into.clone(),
            guid: Guid(stream::GUID),
            set: Vec::new(),
            origin: None,
            compressed: false,
        };
        let mut incoming = agent.receive(&spec).map_err(|error| refused(&error))?;
        while let Some(block) = self.block(file)? {
            if let Err(error) = incoming.write(&block) {
                // Why it stopped reading is had from its end.
                incoming.finish().map_err(|error| refused(&error))?;
                return Err(refused(&error));
            }
        }
        incoming.finish().map_err(|error| refused(&error))?;
        // What it has received stands for the size of the dataset.
        Ok(agent.removal_cost(into.dataset()).map_err(|error| refused(&error))?.bytes.to_string())
    }

    fn bare(&self, file: &mut File) -> std::io::Result<String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port))?;
        socket.set_nodelay(true)?;
        let mut session = Session::new()?;
        session.set_tcp_stream(socket.try_clone()?);
        session.handshake()?;
        match &self.identity {
            Some(identity) => session.userauth_pubkey_file(&self.user, None, identity, None)?,
            None => session.userauth_agent(&self.user)?,
        }
        let mut channel = session.channel_session()?;
        channel.exec(&self.command())?;
        session.set_blocking(false);
        let mut block = vec![0; BLOCK];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            let mut rest = &block[..read];
            while !rest.is_empty() {
                match channel.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&session, &socket)?,
                    Err(error) => return Err(error),
                }
            }
        }
        session.set_blocking(true);
        channel.send_eof()?;
        let mut said = String::new();
        channel.read_to_string(&mut said)?;
        channel.wait_close()?;
        match channel.exit_status()? {
            0 => Ok(said),
            status => Err(std::io::Error::other(format!("the program there ended with {status}"))),
        }
    }
}

fn wait(session: &Session, socket: &TcpStream) -> std::io::Result<()> {
    let flags = match session.block_directions() {
        BlockDirections::Inbound => PollFlags::IN,
        BlockDirections::Outbound => PollFlags::OUT,
        BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
        BlockDirections::None => return Ok(()),
    };
    poll(&mut [PollFd::new(socket, flags)], None)?;
    Ok(())
}
