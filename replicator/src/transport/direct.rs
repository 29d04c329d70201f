//! A connection of its own for the bytes of a stream, beside the ssh connection that everything else goes over: faster on
//! a fast network, and not encrypted. A key that is made for one stream and goes over ssh stands before it, so that who
//! else connects to the port, or waits at it, is found out. Nobody is kept from reading along.

use std::collections::VecDeque;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::io::Errno;

use super::Exit;
use super::Process;
use super::TransportError;
use super::quote::pipes::Dial;
use super::quote::pipes::STATUS;
use crate::cancel::TICK;

/// How many that have not shown the key yet are listened to at the same time.
const CANDIDATES: usize = 16;

/// How long one of them has for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may still come whose other end has ended: it may take another way than the word of that end.
const GRACE: Duration = Duration::from_secs(5);

/// How long a port may be in use before that is told.
const FREED: Duration = Duration::from_secs(2);

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);

/// The longest that the other side may be waited for.
const LONGEST: u64 = 24 * 60 * 60;

/// The most that is kept of what a script prints beside its stream.
const SAID: usize = 4096;

/// Where a machine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// A name, an IPv4 address or an IPv6 address in brackets; empty for all addresses.
    host: String,
    port: u16,
}

/// How the data of a replication gets to its target: `IP:PORT[,IP:PORT[,SECONDS[,mbuffer]]]`. The side that receives
/// listens, whichever of the two this machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    connect: Place,
    listen: Place,
    seconds: u64,
    mbuffer: bool,
}

impl FromStr for Direct {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let connect = place(parts.next().unwrap_or_default())?;
        if connect.host.is_empty() {
            return Err("the first address is the one to connect to, and cannot be empty".to_string());
        }
        let listen = match parts.next() {
            None | Some("") => connect.clone(),
            Some(text) => place(text)?,
        };
        let seconds = match parts.next() {
            None | Some("") => 60,
            Some(text) => match text.parse() {
                Ok(seconds) if (1..=LONGEST).contains(&seconds) => seconds,
                _ => return Err(format!("{text:?} is no number of seconds to wait")),
            },
        };
        let mbuffer = match parts.next() {
            None | Some("") => false,
            Some("mbuffer") => true,
            Some(other) => return Err(format!("{other:?} cannot listen; \"mbuffer\" can")),
        };
        match parts.next() {
            None => Ok(Self { connect, listen, seconds, mbuffer }),
            Some(_) => Err("there are more than four parts".to_string()),
        }
    }
}

/// Nothing in it is read as something else by a shell or by the programs that get it.
fn place(text: &str) -> Result<Place, String> {
    let wrong = || format!("{text:?} is no address with a port, as in 10.0.0.1:9000");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match v6 {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.starts_with(['-', '.'])
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        }
    };
    if fits { Ok(Place { host: host.to_string(), port }) } else { Err(wrong()) }
}

impl Place {
    fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            return Ok(vec![(Ipv4Addr::UNSPECIFIED, self.port).into()]);
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        Ok((host, self.port).to_socket_addrs()?.collect())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Direct {
    /// How another machine that sends reaches this one.
    pub(crate) fn sends(&self) -> Dial {
        self.dial(&self.connect)
    }

    /// How another machine that receives waits for this one.
    pub(crate) fn receives(&self) -> Dial {
        self.dial(&self.listen)
    }

    fn dial(&self, place: &Place) -> Dial {
        Dial { host: place.host.clone(), port: place.port, seconds: self.seconds, mbuffer: self.mbuffer }
    }

    /// How long both sides wait for each other.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Listens for the stream of a machine that is told to send afterwards.
    ///
    /// # Errors
    /// When the address is not one of this machine, or the port is taken.
    pub(crate) fn listen(&self) -> Result<Door, TransportError> {
        let failed = |error: std::io::Error| TransportError::Local {
            what: format!("cannot listen at {}", self.listen),
            cause: error.to_string(),
        };
        let addresses = self.listen.addresses().map_err(failed)?;
        let until = Instant::now() + FREED;
        let listener = loop {
            match TcpListener::bind(addresses.as_slice()) {
                // A process that another thread is just starting may hold what listened for the stream before.
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < until => {
                    std::thread::sleep(TICK / 10);
                }
                bound => break bound.map_err(failed)?,
            }
        };
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Door { listener, key: key()?, until: Instant::now() + self.limit(), candidates: VecDeque::new() })
    }

    /// The output of a process, which comes to the door.
    pub(crate) fn reading<'a>(
        &self,
        mut process: Box<dyn Process + 'a>,
        door: Door,
        peer: &str,
    ) -> Result<Box<dyn Process + 'a>, TransportError> {
        tell(process.as_mut(), &door.key)?;
        let (peer, limit) = (peer.to_string(), self.limit());
        Ok(Box::new(Reading { process, from: Input::Door(door), peer, limit, ended: None }))
    }

    /// The input of a process that waits for it.
    pub(crate) fn writing<'a>(
        &self,
        mut process: Box<dyn Process + 'a>,
        peer: &str,
    ) -> Result<Box<dyn Process + 'a>, TransportError> {
        let key = key()?;
        tell(process.as_mut(), &key)?;
        let until = Instant::now() + self.limit();
        let to = self.connect.clone();
        Ok(Box::new(Writing { process, to, key, until, stream: None, writes: 0, peer: peer.to_string() }))
    }
}

/// 64 hexadecimal digits that nobody can guess.
fn key() -> Result<String, TransportError> {
    let mut bytes = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| TransportError::Local {
        what: "cannot make a key for the connection".to_string(),
        cause: error.to_string(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Tells a script the key. One that has ended says why when it is asked how.
fn tell(process: &mut dyn Process, key: &str) -> Result<(), TransportError> {
    match process.write(&line(key)) {
        Err(TransportError::StdinClosed { .. }) => Ok(()),
        told => told,
    }
}

fn line(key: &str) -> Bytes {
    Bytes::from(format!("{key}\n"))
}

/// Who connected and has not shown the key yet.
struct Candidate {
    stream: TcpStream,
    said: Vec<u8>,
    since: Instant,
}

/// A port where one stream is waited for.
pub(crate) struct Door {
    listener: TcpListener,
    key: String,
    until: Instant,
    candidates: VecDeque<Candidate>,
}

impl Door {
    /// Waits for at most `limit` for the one who shows the key.
    fn wait(&mut self, limit: Duration) -> std::io::Result<Option<TcpStream>> {
        let open = self.candidates.iter().map(|one| one.stream.as_fd()).chain([self.listener.as_fd()]);
        let mut fds: Vec<_> = open.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        pause(&mut fds, limit)?;
        drop(fds);
        // Not more at a time than are listened to: who floods the port shall not hold us here.
        for _ in 0..CANDIDATES {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    if self.candidates.len() == CANDIDATES {
                        self.candidates.pop_front();
                    }
                    let since = Instant::now();
                    self.candidates.push_back(Candidate { stream, said: Vec::new(), since });
                }
                Err(error) if is_for_later(&error) => break,
                // Who went away before it was taken in is no reason to stop.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        let expected = line(&self.key);
        let mut found = None;
        self.candidates.retain_mut(|one| {
            let stays = one.listen(&expected);
            if stays && one.said.len() == expected.len() && found.is_none() {
                found = one.stream.try_clone().ok();
                return false;
            }
            stays && one.since.elapsed() < PATIENCE
        });
        Ok(found)
    }
}

impl Candidate {
    /// Whether what it says may still be, or is, what is expected. Not a byte behind that is taken.
    fn listen(&mut self, expected: &[u8]) -> bool {
        let mut buffer = [0; 128];
        while self.said.len() < expected.len() {
            match self.stream.read(&mut buffer[..expected.len() - self.said.len()]) {
                Ok(0) => return false,
                Ok(n) => self.said.extend_from_slice(&buffer[..n]),
                Err(error) if is_for_later(&error) => return true,
                Err(_) => return false,
            }
        }
        self.said == expected
    }
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}

fn pause(fds: &mut [PollFd<'_>], limit: Duration) -> std::io::Result<()> {
    let limit = Timespec { tv_sec: 0, tv_nsec: limit.min(TICK).subsec_nanos().into() };
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

enum Input {
    Door(Door),
    Stream(TcpStream),
    Nothing,
}

struct Reading<'a> {
    process: Box<dyn Process + 'a>,
    from: Input,
    peer: String,
    limit: Duration,
    /// When its process was first seen to have ended.
    ended: Option<Instant>,
}

const RECEIVING: &str = "receiving over a connection of its own";
const SENDING: &str = "sending over a connection of its own";

fn lost(peer: &str, phase: &'static str, error: &dyn std::fmt::Display) -> TransportError {
    TransportError::Lost { peer: peer.to_string(), phase, cause: error.to_string() }
}

impl Process for Reading<'_> {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        self.process.write(data)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        if let Input::Door(door) = &mut self.from {
            if self.process.idle()? && self.ended.is_none() {
                self.ended = Some(Instant::now());
            }
            match door.wait(TICK).map_err(|error| lost(&self.peer, RECEIVING, &error))? {
                Some(stream) => self.from = Input::Stream(stream),
                // It says itself why, when it is asked how it ended.
                None if self.ended.is_some_and(|ended| ended.elapsed() >= GRACE) => {
                    self.from = Input::Nothing;
                }
                None if Instant::now() >= door.until => {
                    let (peer, phase) = (self.peer.clone(), "waiting for it to connect");
                    return Err(TransportError::Timeout { peer, phase, limit: self.limit });
                }
                None => return Ok(None),
            }
        }
        let Input::Stream(stream) = &mut self.from else { return Ok(Some(0)) };
        for turn in 0..2 {
            match stream.read(buf) {
                Ok(0) => break,
                Ok(n) => return Ok(Some(n)),
                Err(error) if is_for_later(&error) && turn == 0 => {
                    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
                    pause(&mut fds, TICK).map_err(|error| lost(&self.peer, RECEIVING, &error))?;
                }
                Err(error) if is_for_later(&error) => {
                    self.process.idle()?;
                    return Ok(None);
                }
                Err(error) => return Err(lost(&self.peer, RECEIVING, &error)),
            }
        }
        self.from = Input::Nothing;
        Ok(Some(0))
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        self.process.idle()
    }

    fn finish(
        self: Box<Self>,
        _: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        drop(self.from);
        let mut said = Vec::new();
        let exit = self.process.finish(&mut |bytes| {
            said.extend_from_slice(&bytes[..bytes.len().min(SAID - said.len())]);
            Ok(())
        })?;
        Ok(Exit { status: exit.status.map(|status| own_status(status, &said)), ..exit })
    }
}

/// The status of what made the stream, where what carried it ended well.
fn own_status(status: i32, said: &[u8]) -> i32 {
    let said = String::from_utf8_lossy(said);
    let own = said.lines().filter_map(|line| line.strip_prefix(STATUS)).next_back();
    match (status, own.and_then(|own| own.trim().parse().ok())) {
        (0, Some(own)) => own,
        // It did not come so far.
        (0, None) => 1,
        (status, _) => status,
    }
}

struct Writing<'a> {
    process: Box<dyn Process + 'a>,
    to: Place,
    key: String,
    until: Instant,
    stream: Option<TcpStream>,
    writes: u32,
    peer: String,
}

impl Writing<'_> {
    /// Connects, as soon as the other side listens.
    fn open(&mut self) -> Result<TcpStream, TransportError> {
        loop {
            if self.process.idle()? {
                return Err(TransportError::StdinClosed { peer: self.peer.clone() });
            }
            let mut cause = "it has no address".to_string();
            for address in self.to.addresses().unwrap_or_default() {
                match TcpStream::connect_timeout(&address, ATTEMPT) {
                    Ok(stream) => {
                        stream.set_nonblocking(true).map_err(|error| lost(&self.peer, SENDING, &error))?;
                        return Ok(stream);
                    }
                    Err(error) => cause = error.to_string(),
                }
            }
            if Instant::now() >= self.until {
                return Err(TransportError::Connect {
                    host: self.to.host.clone(),
                    port: self.to.port,
                    cause,
                });
            }
            std::thread::sleep(TICK);
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), TransportError> {
        let mut rest = data;
        while !rest.is_empty() {
            let Some(stream) = &self.stream else {
                return Err(TransportError::StdinClosed { peer: self.peer.clone() });
            };
            match rustix::io::write(stream, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::OUT)];
                    pause(&mut fds, TICK).map_err(|error| lost(&self.peer, SENDING, &error))?;
                    if self.process.idle()? {
                        return Err(TransportError::StdinClosed { peer: self.peer.clone() });
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    return Err(TransportError::StdinClosed { peer: self.peer.clone() });
                }
                Err(errno) => return Err(lost(&self.peer, SENDING, &errno)),
            }
        }
        Ok(())
    }
}

impl Process for Writing<'_> {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        if self.stream.is_none() {
            self.stream = Some(self.open()?);
            let line = line(&self.key);
            self.push(&line)?;
        }
        self.writes = self.writes.wrapping_add(1);
        if self.writes.is_multiple_of(64) {
            self.process.idle()?;
        }
        self.push(data)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        self.process.read(buf)
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        self.process.idle()
    }

    fn finish(
        self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        // Closed whole only when the other side has ended: what it did not read yet would be lost.
        let stream = self.stream;
        if let Some(stream) = &stream {
            // Where it is gone, the other side says why.
            let _ = stream.shutdown(Shutdown::Write);
        }
        let exit = self.process.finish(sink);
        drop(stream);
        exit
    }
}

#[cfg(test)]
mod tests;
