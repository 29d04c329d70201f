//! `zfs-bench carry`: a file through one connection to a program that counts it on the other side; nothing but the
//! transport. Ours, and for comparison the shortest loop over libssh2 that keeps it busy.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;

use bytes::Bytes;
use replicator::cancel::Cancel;
use replicator::config::job::Carrier;
use replicator::config::job::Link;
use replicator::connect;
use replicator::endpoint::Machine;
use replicator::transfer::BLOCK;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::poll;
use ssh2::BlockDirections;
use ssh2::Session;

use crate::error::BenchError;
use crate::error::Context;
use crate::error::Result;
use crate::error::unfit;

/// What reads everything and says how much it was.
pub const SINK: &str = "exec wc -c";

/// What carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Our transport over libssh2.
    Libssh2,
    /// Our transport over the system's ssh.
    Ssh,
    /// A bare loop over libssh2.
    Bare,
}

/// What and whereto.
#[derive(Clone, Debug, clap::Args)]
pub struct Carry {
    /// What carries.
    #[arg(long, value_enum)]
    by: By,
    /// The port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// The user there.
    #[arg(long)]
    user: String,
    /// The key.
    #[arg(long)]
    identity: PathBuf,
    /// The host key.
    #[arg(long)]
    known_hosts: PathBuf,
    /// What is carried.
    file: PathBuf,
}

impl Carry {
    /// Carries it, and returns what the other side said.
    ///
    /// # Errors
    /// Where the connection fails or the program there does.
    pub fn run(&self) -> Result<String> {
        let mut file = File::open(&self.file).on("opening", &self.file)?;
        match self.by {
            By::Bare => {
                self.bare(&mut file).map_err(|error| BenchError::Unfit(format!("the bare loop: {error}")))
            }
            By::Libssh2 => self.ours(Carrier::Libssh2, &mut file),
            By::Ssh => self.ours(Carrier::Ssh, &mut file),
        }
    }

    fn ours(&self, carrier: Carrier, file: &mut File) -> Result<String> {
        let link = Link {
            carrier,
            port: Some(self.port),
            identities: vec![self.identity.clone()],
            known_hosts: vec![self.known_hosts.clone()],
            ..Link::default()
        };
        let machine = Machine { user: Some(self.user.clone()), host: "127.0.0.1".into() };
        let failed = |error: replicator::transport::TransportError| BenchError::Unfit(error.to_string());
        let mut transport = connect::transport(&link, &machine, &Cancel::new()).map_err(failed)?;
        let mut process = transport.start(SINK).map_err(failed)?;
        let mut said = Vec::new();
        loop {
            // As the stages of a transfer hand their blocks over.
            let mut block = Vec::with_capacity(BLOCK);
            Read::by_ref(&mut *file).take(BLOCK as u64).read_to_end(&mut block).on("reading", &self.file)?;
            if block.is_empty() {
                break;
            }
            process.write(&Bytes::from(block)).map_err(failed)?;
        }
        let mut sink = |data: &[u8]| {
            said.extend_from_slice(data);
            Ok(())
        };
        let exit = process.finish(&mut sink).map_err(failed)?;
        if !exit.success() {
            return unfit(format!("`{SINK}` failed: {}", exit.message()));
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    fn bare(&self, file: &mut File) -> std::io::Result<String> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        let mut session = Session::new()?;
        session.set_tcp_stream(socket.try_clone()?);
        session.handshake()?;
        session.userauth_pubkey_file(&self.user, None, Path::new(&self.identity), None)?;
        let mut channel = session.channel_session()?;
        channel.exec(SINK)?;
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
        Ok(said)
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
