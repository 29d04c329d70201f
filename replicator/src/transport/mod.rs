//! Running one command on another machine, with bytes in and bytes out. What the commands mean is known in
//! [`crate::host`]; how a command line is quoted is in [`quote`]; this module and its children only carry bytes,
//! an exit status and a bounded piece of standard error.

use std::time::Duration;

use bytes::Bytes;

use crate::cancel::Cancel;

pub mod direct;
pub mod here;
pub mod known_hosts;
pub mod quote;
pub mod ssh;
pub mod system_ssh;
pub mod tls;

/// The most of a command's standard error that is kept: the head is worth more than the tail, which repeats.
pub const STDERR_LIMIT: usize = 64 * 1024;

/// A way to run commands on one other machine.
pub trait Transport: Send {
    /// The machine as people know it, `user@host`, for messages.
    fn peer(&self) -> &str;

    /// Starts a command line, which is read by the login shell there. One command at a time: a process must be
    /// finished or dropped before the next is started.
    fn start<'a>(&'a mut self, command_line: &str) -> Result<Box<dyn Process + 'a>, TransportError>;

    /// A flag of this transport alone: while it is set, everything that waits here ends as if the run were to stop.
    /// Who sets it takes it back when the command is dropped.
    fn breaker(&self) -> Option<Cancel> {
        None
    }

    /// Another way to the same machine, for commands at the same time. Connects when it is first used.
    fn another(&self) -> Result<Box<dyn Transport>, TransportError>;
}

/// A command that runs on the other machine. Dropping it closes its standard input and output.
pub trait Process: Send {
    /// Writes all of `data` to standard input.
    ///
    /// # Errors
    /// [`TransportError::StdinClosed`] when the command ended or stopped reading; its reason is in [`Process::finish`].
    fn write(&mut self, data: &Bytes) -> Result<(), TransportError>;

    /// Reads some of standard output into `buf`: `Some(0)` at its end, `None` when nothing came for a moment
    /// ([`crate::cancel::TICK`]), so that the caller can look at other things.
    fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError>;

    /// To be called every second or so while there is nothing to write: keeps the connection alive, takes in what
    /// the command says, and tells whether the command has ended.
    fn idle(&mut self) -> Result<bool, TransportError>;

    /// Closes standard input, reads what is left of standard output into `sink` and waits for the command's end.
    fn finish(
        self: Box<Self>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<Exit, TransportError>;
}

/// How a command on the other machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit status, or the name of the signal that ended it (without `SIG`).
    pub status: Result<i32, String>,
    /// The head of its standard error, not more than [`STDERR_LIMIT`] bytes.
    pub stderr: Vec<u8>,
}

impl Exit {
    /// Whether the command ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Ok(0)
    }

    /// Standard error as one safe text: trimmed, control characters escaped, never longer than 2 KiB.
    #[must_use]
    pub fn message(&self) -> String {
        printable(&self.stderr, 2048)
    }
}

/// Text from the other side made safe to print: control characters other than newlines between lines are escaped,
/// what is longer than `limit` bytes is cut with a mark.
#[must_use]
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for (n, line) in text.trim().lines().enumerate() {
        if n > 0 {
            out.push_str("; ");
        }
        for c in line.trim_end().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
            if out.len() >= limit {
                out.push('…');
                return out;
            }
        }
    }
    out
}

/// How long each phase of a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Looking up the name and connecting, for each address.
    pub connect: Duration,
    /// From the open connection to the end of authentication.
    pub handshake: Duration,
    /// Between two signs of life (a byte of the command, or an answer to a keepalive) while a command runs.
    pub idle: Duration,
    /// Between two keepalives.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            handshake: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(10),
        }
    }
}

/// What can go wrong between this machine and the other one. `Display` says what was tried, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The name has no address.
    #[error("cannot find an address of {host}: {cause}")]
    Lookup {
        /// The host that was asked for.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// No address took the connection.
    #[error("cannot connect to {host} port {port}: {cause}")]
    Connect {
        /// The host that was asked for.
        host: String,
        /// The port.
        port: u16,
        /// The reason for each address that was tried.
        cause: String,
    },
    /// The connection stood, but the SSH protocol could not be agreed on.
    #[error("{host} port {port} took the connection, but the SSH handshake failed: {cause}")]
    Handshake {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What libssh2 said.
        cause: String,
    },
    /// A phase took too long.
    #[error("{peer}: no answer within {} s while {phase}", .limit.as_secs())]
    Timeout {
        /// The machine.
        peer: String,
        /// What was going on.
        phase: &'static str,
        /// The limit that was passed.
        limit: Duration,
    },
    /// The host key is not one we know.
    #[error(transparent)]
    HostKey(#[from] known_hosts::HostKeyError),
    /// The `ssh` program does not accept the host key.
    #[error("ssh does not accept the host key of {host}: {cause}")]
    HostKeyRefused {
        /// The host.
        host: String,
        /// What ssh said.
        cause: String,
        /// What to do about it.
        hint: String,
    },
    /// The `ssh` program cannot be started.
    #[error("cannot start {}: {cause}", .program.display())]
    NoSsh {
        /// The program that was tried.
        program: std::path::PathBuf,
        /// Why.
        cause: String,
    },
    /// The server refused all we have.
    #[error("{peer} refused every key that was offered ({}; the server takes: {methods})", list_tried(.tried))]
    Authentication {
        /// `user@host`.
        peer: String,
        /// Each thing that was tried, with its outcome.
        tried: Vec<String>,
        /// The methods that the server offers.
        methods: String,
    },
    /// The connection ended or broke while it was used.
    #[error("the connection to {peer} broke while {phase}: {cause}")]
    Lost {
        /// The machine.
        peer: String,
        /// What was going on.
        phase: &'static str,
        /// What libssh2 or the system said.
        cause: String,
    },
    /// The command does not read its standard input any more.
    #[error("the command on {peer} stopped reading")]
    StdinClosed {
        /// The machine.
        peer: String,
    },
    /// The server let us in but does not run commands for us.
    #[error("{peer} does not start commands for this user: {cause}")]
    Refused {
        /// The machine.
        peer: String,
        /// What libssh2 said.
        cause: String,
    },
    /// A command said more than it may.
    #[error("{peer} sent more than the {limit} bytes that are allowed {what}")]
    TooMuch {
        /// The machine.
        peer: String,
        /// What was being read.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A failure on this machine (a file, a thread, a library).
    #[error("{what}: {cause}")]
    Local {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: String,
    },
}

fn list_tried(tried: &[String]) -> String {
    if tried.is_empty() {
        "there was no key in an agent or in ~/.ssh to offer".to_string()
    } else {
        tried.join("; ")
    }
}

impl TransportError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lookup { host, .. } => {
                Some(format!("check the spelling of `{host}`, or give its IP address"))
            }
            Self::Connect { host, port, .. } => Some(format!(
                "check that sshd runs on {host} and that port {port} is the right one (--port) and open in its firewall"
            )),
            Self::Handshake { .. } => {
                Some("check that an SSH server answers at this port (--port)".to_string())
            }
            Self::HostKey(error) => Some(error.hint()),
            Self::HostKeyRefused { hint, .. } => Some(hint.clone()),
            Self::NoSsh { .. } => Some(
                "install the OpenSSH client (in most systems the package openssh-client or openssh-clients), or use the built-in one"
                    .to_string(),
            ),
            Self::Authentication { peer, .. } => Some(format!(
                "make `ssh {peer}` work without a password first: load the key into ssh-agent, or name it with --identity, and add its public half to ~/.ssh/authorized_keys there"
            )),
            Self::Timeout { phase: "agreeing on a protocol" | "authenticating", .. } => Some(
                "check that an SSH server answers at this port (--port), and that it is not overloaded"
                    .to_string(),
            ),
            Self::Timeout { .. } | Self::Lost { .. } => Some(
                "run the same command again: what arrived is kept, and the transfer goes on from there"
                    .to_string(),
            ),
            _ => None,
        }
    }
}
