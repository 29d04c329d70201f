//! The fast path: the conversation with an agent over TLS, beside the ssh session that the agent was started in. That
//! session stays: it is what the agent's life hangs on, and its end is the end of both.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use rustls::ClientConnection;

use super::Exit;
use super::Process;
use super::TransportError;
use crate::tls;
use crate::tls::Identity;
use crate::tls::TlsError;
use crate::tls::stream::Got;
use crate::tls::stream::TlsStream;

/// How long one address may take to answer.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long the handshake may take.
const HANDSHAKE: Duration = if cfg!(test) { Duration::from_secs(1) } else { Duration::from_secs(10) };

const OPENING: &str = "opening the fast path";
const SENDING: &str = "sending over the fast path";
const RECEIVING: &str = "receiving over the fast path";

/// Who hears that a conversation did not go over to the fast path.
static NOTES: OnceLock<fn(&str)> = OnceLock::new();

/// Lets notes of this module be told. Without it nobody is told; the first one counts.
pub fn notes_to(sink: fn(&str)) {
    let _ = NOTES.set(sink);
}

/// Notes why the conversation with a machine stays in its ssh session.
pub(crate) fn note(machine: &str, why: &dyn Display) {
    if let Some(sink) = NOTES.get() {
        sink(&format!("{machine}: data goes over ssh and not over a connection of its own: {why}"));
    }
}

/// Where an agent listens for us, and what both ends show.
pub(crate) struct Way {
    /// The machine.
    pub(crate) host: String,
    /// The port there.
    pub(crate) port: u16,
    /// What this end shows.
    pub(crate) identity: Identity,
    /// What the other end must show.
    pub(crate) certificate: Vec<u8>,
}

impl Way {
    /// Connects, and makes sure that it is the right one.
    ///
    /// # Errors
    /// When nobody answers in time, or somebody else does.
    pub(crate) fn open(self) -> Result<TlsStream, TransportError> {
        let Self { host, port, identity, certificate } = self;
        let failed = |cause: String| TransportError::Connect { host: host.clone(), port, cause };
        let tls_failed = |error: TlsError| failed(error.to_string());
        let config = identity.connecting(&certificate).map_err(tls_failed)?;
        let mut cause = "it has no address".to_string();
        for address in (host.as_str(), port).to_socket_addrs().map_err(|error| failed(error.to_string()))? {
            let socket = match TcpStream::connect_timeout(&address, ATTEMPT) {
                Ok(socket) => socket,
                Err(error) => {
                    cause = error.to_string();
                    continue;
                }
            };
            let connection = ClientConnection::new(config.clone(), tls::name());
            let connection = connection.map_err(|error| tls_failed(error.into()))?;
            let mut stream = TlsStream::new(connection, socket).map_err(|error| failed(error.to_string()))?;
            let until = Instant::now() + HANDSHAKE;
            while !stream.handshake().map_err(|error| failed(error.to_string()))? {
                if Instant::now() >= until {
                    return Err(TransportError::Timeout {
                        peer: host.clone(),
                        phase: OPENING,
                        limit: HANDSHAKE,
                    });
                }
                stream.wait(true).map_err(|error| failed(error.to_string()))?;
            }
            return Ok(stream);
        }
        Err(failed(cause))
    }
}

/// Lets the conversation go on over the connection.
pub(crate) fn over<'a>(ssh: Box<dyn Process + 'a>, tls: TlsStream, peer: &str) -> Box<dyn Process + 'a> {
    Box::new(Fast { ssh, tls, peer: peer.to_string() })
}

struct Fast<'a> {
    ssh: Box<dyn Process + 'a>,
    tls: TlsStream,
    peer: String,
}

impl Fast<'_> {
    /// A failure to write: what the other end said before it went is still to be read.
    fn not_written(&self, error: &std::io::Error) -> TransportError {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                TransportError::StdinClosed { peer: self.peer.clone() }
            }
            _ => self.lost(SENDING, error),
        }
    }

    fn lost(&self, phase: &'static str, error: &std::io::Error) -> TransportError {
        TransportError::Lost { peer: self.peer.clone(), phase, cause: error.to_string() }
    }
}

impl Process for Fast<'_> {
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError> {
        let mut rest = data.as_ref();
        while !rest.is_empty() {
            // It ends when its receive does, and said why before that.
            if self.tls.has_ended().map_err(|error| self.not_written(&error))? {
                return Err(TransportError::StdinClosed { peer: self.peer.clone() });
            }
            match self.tls.write(rest).map_err(|error| self.not_written(&error))? {
                0 => {
                    self.tls.wait(true).map_err(|error| self.not_written(&error))?;
                    if self.ssh.idle()? {
                        return Err(TransportError::StdinClosed { peer: self.peer.clone() });
                    }
                }
                n => rest = &rest[n..],
            }
        }
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        for turn in 0..2 {
            match self.tls.read(buf).map_err(|error| self.lost(RECEIVING, &error))? {
                Got::Bytes(n) => return Ok(Some(n)),
                Got::End => return Ok(Some(0)),
                Got::Nothing if turn == 0 => {
                    self.tls.flush().map_err(|error| self.lost(SENDING, &error))?;
                    self.tls.wait(true).map_err(|error| self.lost(RECEIVING, &error))?;
                }
                Got::Nothing => {}
            }
        }
        self.ssh.idle()?;
        Ok(None)
    }

    fn idle(&mut self) -> Result<bool, TransportError> {
        self.tls.flush().map_err(|error| self.lost(SENDING, &error))?;
        self.ssh.idle()
    }

    fn finish(
        mut self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError> {
        let until = Instant::now() + HANDSHAKE;
        // Where it is gone, the ssh session says how the agent ended.
        while matches!(self.tls.close(), Ok(false)) && Instant::now() < until {
            if self.tls.wait(false).is_err() {
                break;
            }
        }
        let Self { ssh, tls, .. } = *self;
        drop(tls);
        ssh.finish(sink)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Connects to somebody who does this with each connection, and gives why that is not the right one.
    fn refused(answers: impl Fn(&mut TcpStream) + Send) -> TransportError {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut socket, _) = listener.accept().expect("it connects");
                answers(&mut socket);
                // Until the other end has gone.
                let _ = socket.read_to_end(&mut Vec::new());
            });
            let other = Identity::new().expect("a certificate");
            let way = Way {
                host: "127.0.0.1".to_string(),
                port,
                identity: Identity::new().expect("a certificate"),
                certificate: other.certificate().to_vec(),
            };
            way.open().err().expect("nobody is there who could be the right one")
        })
    }

    #[test]
    fn who_sends_garbage_or_nothing_or_goes_away_is_not_the_other_end() {
        let garbage = refused(|socket| socket.write_all(&[0xaa; 100_000]).unwrap_or_default());
        assert!(matches!(garbage, TransportError::Connect { .. }), "{garbage}");
        let web = refused(|socket| socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("said"));
        assert!(matches!(web, TransportError::Connect { .. }), "{web}");
        let silent = refused(|_| {});
        assert!(matches!(silent, TransportError::Timeout { phase: OPENING, .. }), "{silent}");
        let gone = refused(|socket| socket.shutdown(std::net::Shutdown::Both).expect("shut"));
        assert!(matches!(gone, TransportError::Connect { .. }), "{gone}");
    }

    #[test]
    fn a_port_that_is_closed_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let way = Way {
            host: "127.0.0.1".to_string(),
            port,
            identity: Identity::new().expect("a certificate"),
            certificate: Identity::new().expect("a certificate").certificate().to_vec(),
        };
        let error = way.open().err().expect("closed");
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1 port"), "{error}");
    }

    #[test]
    fn a_certificate_that_is_none_is_told_before_anybody_connects() {
        for certificate in [Vec::new(), vec![0; tls::CERTIFICATE_LIMIT + 1]] {
            let identity = Identity::new().expect("a certificate");
            let way = Way { host: "127.0.0.1".to_string(), port: 9, identity, certificate };
            assert!(way.open().err().expect("none").to_string().contains("has"));
        }
    }
}
