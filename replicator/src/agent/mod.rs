//! The far end of a connection, `replicator agent`: it answers over its standard input and output what a
//! [`crate::host::Host`] is asked, within limits that were set where it was started and that no request can widen. Here
//! are the frames and messages that both ends share and the serving end; the asking one is [`crate::host::agent`].
//!
//! Both ends begin with a hello that names the versions they speak. After it the asking end sends one request at a
//! time. The answer is any number of parts (or the blocks of a stream) and one last frame that says how it went.
//! Nothing that comes in is trusted: each frame has a bound, each name is parsed again, and no text becomes part of a
//! command line.

mod answer;
mod codec;
mod content;
mod fault;
mod frame;
mod limits;
mod message;
mod pass;
mod server;

pub(crate) use answer::Answer;
pub(crate) use answer::Part;
pub(crate) use content::Raw;
pub(crate) use content::WireFile;
pub(crate) use frame::DATA_LIMIT;
pub(crate) use frame::Frame;
pub(crate) use frame::Frames;
pub(crate) use frame::Kind;
pub(crate) use frame::header;
pub(crate) use frame::whole;
pub use limits::Class;
pub use limits::DEFAULT_CLASSES;
pub use limits::Limits;
pub use limits::Refused;
pub(crate) use message::Hello;
pub(crate) use message::MAGIC;
pub(crate) use message::ReceiveRequest;
pub(crate) use message::Request;
pub(crate) use message::Text;
pub(crate) use message::WireClaim;
pub use server::Listen;
pub use server::ServeError;
pub use server::serve;

/// The oldest version of the protocol that this program speaks.
pub const OLDEST: u16 = 1;

/// The newest version of the protocol that this program speaks. 2 can read what is in snapshots, and what holds them;
/// 3 tells senders apart; 4 knows the epochs of pairs; 5 names the node that they are presented to; 6 can read a share of
/// the files of a snapshot; 7 can go on over a connection of its own; 8 knows how far a first replication of a pair is.
pub const NEWEST: u16 = 8;

/// The version from which on an agent takes down how far a first replication of a pair is.
pub(crate) const COUNTS: u16 = 8;

/// The version from which on an agent can open a door.
pub(crate) const DOORS: u16 = 7;

/// The version from which on requests present an epoch as it is done now. Before it nobody said which node the agent is
/// taken for, so that one without a name of its own did not know what it holds itself: it is not asked.
pub(crate) const EPOCHS: u16 = 5;

/// The version from which on an agent says why an epoch does not suffice.
pub(crate) const FENCES: u16 = 4;

/// How many names or streams one request may hold.
pub(crate) const REQUEST_ENTRIES: usize = 10_000;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
