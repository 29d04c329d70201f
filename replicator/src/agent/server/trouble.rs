//! What ends an agent, and what ends one request of it.

use crate::agent::fault::Fault;
use crate::agent::frame::FrameError;

/// Why an agent ended before the asking end closed the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The connection broke.
    #[error("the connection ended: {0}")]
    Connection(std::io::Error),
    /// What came is not what an asking end sends.
    #[error("the other end does not speak our protocol: {0}")]
    Protocol(String),
    /// There is no version of the protocol that both speak.
    #[error("there is no common protocol: here is {ours}, the other end is {theirs}")]
    Version {
        /// This program.
        ours: String,
        /// The asking one.
        theirs: String,
    },
}

/// What ends a request early.
pub(super) enum Trouble {
    /// The request failed, the connection is fine.
    Fault(Box<Fault>),
    /// The request failed while its stream is still coming in: it is told, and the connection ends with it. That is
    /// what wakes up an asking end that is busy sending.
    Last(Box<Fault>),
    /// Nobody can be told.
    End(ServeError),
}

impl Trouble {
    pub(super) fn last(fault: Fault) -> Self {
        Self::Last(Box::new(fault))
    }
}

impl<E: Into<Fault>> From<E> for Trouble {
    fn from(fault: E) -> Self {
        Self::Fault(Box::new(fault.into()))
    }
}

impl From<ServeError> for Trouble {
    fn from(error: ServeError) -> Self {
        Self::End(error)
    }
}

pub(super) fn protocol(why: impl std::fmt::Display) -> ServeError {
    ServeError::Protocol(crate::transport::printable(why.to_string().as_bytes(), 500))
}

/// Only of zstd while it compresses, which fails where memory does.
impl From<std::io::Error> for ServeError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<FrameError> for ServeError {
    fn from(error: FrameError) -> Self {
        protocol(error)
    }
}
