//! A port of an agent at which one other end is waited for, and only that one: who shows the certificate that came over
//! ssh before a byte is read from it. Others may connect meanwhile, say nothing or anything; they get nothing, and keep
//! nobody out.

use std::collections::VecDeque;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustls::ServerConfig;
use rustls::ServerConnection;

use super::Server;
use super::serve_alive;
use super::trouble::ServeError;
use super::trouble::Trouble;
use super::trouble::protocol;
use crate::agent::answer::Part;
use crate::agent::content::Raw;
use crate::agent::fault::Fault;
use crate::agent::frame::Kind;
use crate::tls::Identity;
use crate::tls::TlsError;
use crate::tls::stream::Got;
use crate::tls::stream::TlsStream;
use crate::tls::stream::is_for_later;
use crate::tls::stream::pause;

/// How long the other end has to come and to show its certificate.
const DEADLINE: Duration = if cfg!(test) { Duration::from_secs(5) } else { Duration::from_secs(15) };

/// How many may be in the handshake at the same time.
const CANDIDATES: usize = 16;

/// The most that is carried at a time.
const PIECE: usize = 256 * 1024;

/// Where an agent may listen: `[ADDRESS:]PORT[-PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    address: IpAddr,
    ports: RangeInclusive<u16>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no [ADDRESS:]PORT[-PORT]");
        let (address, ports) = match text.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), text),
            Some((address, ports)) => {
                let v6 = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
                let address = match v6 {
                    Some(v6) => v6.parse().map(IpAddr::V6),
                    None => address.parse().map(IpAddr::V4),
                };
                (address.map_err(|_| wrong())?, ports)
            }
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let ports = port(first)?..=port(last)?;
        if ports.is_empty() { Err(wrong()) } else { Ok(Self { address, ports }) }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last) = (self.ports.start(), self.ports.end());
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{first}-{last}"),
            IpAddr::V6(address) => write!(f, "[{address}]:{first}-{last}"),
        }
    }
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
enum DoorError {
    /// No port is free.
    #[error("no port of {listen} can be listened at: {cause}")]
    Ports { listen: Listen, cause: std::io::Error },
    /// The certificates do not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Waiting failed.
    #[error("cannot wait for a connection: {0}")]
    Wait(#[from] std::io::Error),
}

/// A port where one other end is waited for.
struct Door {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    until: Instant,
    candidates: VecDeque<TlsStream>,
    /// Its number, and the certificate that is shown there.
    port: u16,
    certificate: Vec<u8>,
}

impl Door {
    /// Listens for who has this certificate.
    fn open(listen: &Listen, peer: &[u8]) -> Result<Self, DoorError> {
        let identity = Identity::new()?;
        let certificate = identity.certificate().to_vec();
        let config = identity.listening(peer)?;
        let mut cause = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        for port in listen.ports.clone() {
            let bound = TcpListener::bind((listen.address, port));
            let listener = match bound.and_then(|one| one.set_nonblocking(true).map(|()| one)) {
                Ok(listener) => listener,
                Err(error) => {
                    cause = error;
                    continue;
                }
            };
            let until = Instant::now() + DEADLINE;
            return Ok(Self { listener, config, until, candidates: VecDeque::new(), port, certificate });
        }
        Err(DoorError::Ports { listen: listen.clone(), cause })
    }

    /// Whether the time is over.
    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Waits for a moment. Who is the right one is given out, and then nobody else can come.
    fn wait(&mut self) -> Result<Option<TlsStream>, DoorError> {
        let listener = PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN);
        let others = self.candidates.iter().map(|one| PollFd::from_borrowed_fd(one.as_fd(), one.wants(true)));
        let mut fds: Vec<_> = others.chain([listener]).collect();
        pause(&mut fds, Duration::MAX)?;
        drop(fds);
        for _ in 0..CANDIDATES {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    if self.candidates.len() == CANDIDATES {
                        self.candidates.pop_front();
                    }
                    let connection = ServerConnection::new(self.config.clone()).map_err(TlsError::from)?;
                    self.candidates.push_back(TlsStream::new(connection, socket)?);
                }
                Err(error) if is_for_later(&error) => break,
                // Who went away before it was taken in is no reason to stop.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut at = 0;
        while let Some(one) = self.candidates.get_mut(at) {
            match one.handshake() {
                Ok(false) => at += 1,
                Ok(true) => return Ok(self.candidates.remove(at)),
                // Another one, or no TLS at all.
                Err(_) => drop(self.candidates.remove(at)),
            }
        }
        Ok(None)
    }
}

impl<R: Read + AsFd, W: Write> Server<'_, R, W> {
    /// Waits for the one who has this certificate, and answers there until they leave. What this agent may do does not
    /// change by that, but that it listens no second time.
    pub(super) fn door(&mut self, id: u32, certificate: &[u8]) -> Result<(), Trouble> {
        let failed = |error: DoorError| Fault::Other { message: error.to_string(), hint: None };
        let listen = self.limits.listen()?.clone();
        let mut door = Door::open(&listen, certificate).map_err(failed)?;
        let certificate = Raw(door.certificate.clone());
        self.output.part(id, &Part::Door { port: door.port, certificate })?;
        let tls = loop {
            if let Some(tls) = door.wait().map_err(failed)? {
                break tls;
            }
            if door.is_late() {
                let message = format!("nobody came to port {} within {} s", door.port, DEADLINE.as_secs());
                return Err(Fault::Other { message, hint: None }.into());
            }
            while let Some(frame) = self.input.within(Duration::ZERO)? {
                match frame.kind {
                    Kind::Cancel if frame.id == id => return Err(Fault::Cancelled.into()),
                    Kind::Cancel if frame.id < id => {}
                    kind => return Err(protocol(format!("{kind} while a door is open")).into()),
                }
            }
        };
        drop(door);
        let limits = self.limits.clone().listening(None);
        let (alive, host) = (self.output.every(), &mut *self.host);
        let (inner, far) = UnixStream::pair().map_err(ServeError::Connection)?;
        std::thread::scope(|scope| {
            let carrying = scope.spawn(move || carry(tls, far));
            let output = inner.try_clone().map_err(ServeError::Connection);
            let served = output.and_then(|output| serve_alive(inner, output, host, &limits, alive));
            // Both ends of the pair are closed now, and so it ends. Why it did says what was served.
            let _ = carrying.join();
            served
        })?;
        Ok(())
    }
}

/// Carries bytes between a connection and a socket of this process, until one of the two ends. What came before the end
/// is brought over.
fn carry(mut tls: TlsStream, mut inner: UnixStream) -> std::io::Result<()> {
    inner.set_nonblocking(true)?;
    let mut inward = Way::default();
    let mut outward = Way::default();
    loop {
        let mut moved = false;
        tls.flush()?;
        if inward.is_empty() && !inward.ended {
            match tls.read(inward.room())? {
                Got::Bytes(n) => inward.filled(n),
                Got::Nothing => {}
                Got::End => inward.ended = true,
            }
        }
        if !inward.is_empty() {
            match inner.write(inward.rest()) {
                Ok(n) => {
                    inward.at += n;
                    moved = true;
                }
                Err(error) if is_for_later(&error) => {}
                // The agent has ended: nothing more is for it, and what it said last still goes out.
                Err(error) if is_gone(&error) => {
                    inward.filled(0);
                    (inward.at, inward.ended) = (0, true);
                }
                Err(error) => return Err(error),
            }
        } else if inward.ended {
            // The agent sees the end, and what it says to it still goes out.
            let _ = inner.shutdown(std::net::Shutdown::Write);
        }
        if outward.is_empty() {
            match inner.read(outward.room()) {
                Ok(0) => return finish(tls),
                Ok(n) => outward.filled(n),
                Err(error) if is_for_later(&error) => {}
                // It left something unread.
                Err(error) if is_gone(&error) => return finish(tls),
                Err(error) => return Err(error),
            }
        }
        if !outward.is_empty() {
            let n = tls.write(outward.rest())?;
            outward.at += n;
            moved |= n > 0;
        }
        if moved {
            continue;
        }
        let inner_wants = match (inward.is_empty(), outward.is_empty()) {
            (true, true) => PollFlags::IN,
            (false, true) => PollFlags::IN | PollFlags::OUT,
            (false, false) => PollFlags::OUT,
            (true, false) => PollFlags::empty(),
        };
        let tls_wants = tls.wants(inward.is_empty() && !inward.ended);
        let mut fds = [PollFd::new(&inner, inner_wants), PollFd::new(&tls, tls_wants)];
        pause(&mut fds, Duration::MAX)?;
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset)
}

/// Brings out what waits, says that there is no more, and passes over what still comes: with something unread the system
/// would cut the connection, and the other end might lose what it was told last.
fn finish(mut tls: TlsStream) -> std::io::Result<()> {
    let until = Instant::now() + DEADLINE;
    let mut buffer = vec![0; PIECE];
    while Instant::now() < until {
        tls.close()?;
        match tls.read(&mut buffer) {
            Ok(Got::Bytes(_)) => {}
            Ok(Got::Nothing) => tls.wait(true)?,
            // Whether it says so or just goes does not matter any more.
            Ok(Got::End) | Err(_) => break,
        }
    }
    Ok(())
}

/// Bytes on their way.
#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
    ended: bool,
}

impl Way {
    fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..self.end]
    }

    fn room(&mut self) -> &mut [u8] {
        self.bytes.resize(PIECE, 0);
        (self.at, self.end) = (0, 0);
        &mut self.bytes
    }

    fn filled(&mut self, n: usize) {
        self.end = n;
    }
}

#[cfg(test)]
mod tests;
