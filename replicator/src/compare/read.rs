//! From a snapshot, here or on a machine that has only the `zfs` command, to its [`Content`].

use std::io::Read;

use zfs_core::DatasetKind;
use zfs_core::Zfs;
use zfs_core::name::SnapshotName;
use zfs_core::send::SendRequest;

use super::blocks::Blocks;
use super::content::Content;
use super::found::Found;
use super::walk;
use super::walk::WalkError;
use crate::cancel::Cancel;
use crate::transport::Transport;
use crate::transport::TransportError;
use crate::transport::quote;
use crate::transport::quote::Elevate;
use crate::transport::quote::Script;

/// A place whose snapshots can be read.
pub enum Reader {
    /// This machine.
    Here(Zfs),
    /// Another one.
    There(Box<dyn Transport>, Elevate),
}

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// On this machine, as files.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// On this machine, as blocks.
    #[error(transparent)]
    Zfs(#[from] zfs_core::Error),
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The other machine could not do it.
    #[error("{host}: cannot read {snapshot}: {message}")]
    Remote {
        /// The machine.
        host: String,
        /// What was read.
        snapshot: SnapshotName,
        /// What was said there, made printable.
        message: String,
    },
    /// What came is no answer.
    #[error("{host}: what came as the content of {snapshot} is not understood: {why}")]
    BadAnswer {
        /// The machine.
        host: String,
        /// What was read.
        snapshot: SnapshotName,
        /// What is wrong.
        why: String,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl ReadError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Walk(error) => error.hint(),
            Self::Zfs(error) => error.hint().map(str::to_string),
            Self::Transport(error) => error.hint(),
            Self::Remote { host, .. } => Some(format!(
                "{host} needs GNU find and sha256sum and the right to mount; the key of an encrypted dataset must be loaded there"
            )),
            _ => None,
        }
    }
}

impl Reader {
    /// Reads a snapshot of a dataset of this kind.
    ///
    /// # Errors
    /// When anything of it cannot be read.
    pub fn read(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        cancel: &Cancel,
    ) -> Result<Content, ReadError> {
        match (self, kind) {
            (Self::Here(_), DatasetKind::Filesystem) => Ok(Content::Files(walk::files(snapshot, cancel)?)),
            (Self::Here(zfs), DatasetKind::Volume) => blocks_here(zfs, snapshot, cancel),
            (Self::There(transport, elevate), DatasetKind::Filesystem) => {
                let command = quote::file_list(*elevate, snapshot.as_str()).map_err(nul)?;
                let mut found = Found::default();
                run(transport.as_mut(), &command, snapshot, &mut |bytes| found.push(bytes))?;
                let files = found.finish();
                files.map(Content::Files).map_err(|why| bad(transport.peer(), snapshot, why))
            }
            (Self::There(transport, elevate), DatasetKind::Volume) => {
                let script = Script::elevated(*elevate).and_zfs(["send", "-L", snapshot.as_str()]);
                let command = script.map_err(nul)?.command_line();
                let mut blocks = Blocks::default();
                run(transport.as_mut(), &command, snapshot, &mut |bytes| blocks.push(bytes))?;
                let sums = blocks.finish();
                sums.map(Content::Blocks).map_err(|why| bad(transport.peer(), snapshot, why))
            }
        }
    }
}

const HERE: &str = "this machine";

fn blocks_here(zfs: &Zfs, snapshot: &SnapshotName, cancel: &Cancel) -> Result<Content, ReadError> {
    let mut stream = zfs.send(&SendRequest::full(snapshot.clone()))?;
    let mut blocks = Blocks::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        if cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => blocks.push(&buffer[..count]).map_err(|why| bad(HERE, snapshot, why))?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match error.downcast::<zfs_core::Error>() {
                    Ok(error) => error.into(),
                    Err(error) => bad(HERE, snapshot, error.to_string()),
                });
            }
        }
    }
    stream.finish()?;
    blocks.finish().map(Content::Blocks).map_err(|why| bad(HERE, snapshot, why))
}

/// Runs a command there and gives its output to `take`.
fn run(
    transport: &mut dyn Transport,
    command: &str,
    snapshot: &SnapshotName,
    take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), ReadError> {
    let host = transport.peer().to_string();
    let mut misunderstood = None;
    let exit = transport.start(command)?.finish(&mut |bytes| {
        take(bytes).map_err(|why| {
            misunderstood = Some(why);
            // Ends the command: there is nothing more to learn from it.
            TransportError::Cancelled
        })
    });
    if let Some(why) = misunderstood {
        return Err(bad(&host, snapshot, why));
    }
    let exit = exit?;
    if exit.success() {
        return Ok(());
    }
    Err(ReadError::Remote { host, snapshot: snapshot.clone(), message: exit.message() })
}

fn bad(host: &str, snapshot: &SnapshotName, why: String) -> ReadError {
    ReadError::BadAnswer { host: host.to_string(), snapshot: snapshot.clone(), why }
}

fn nul(error: quote::NulArgument) -> TransportError {
    TransportError::Local { what: "cannot make a command".to_string(), cause: error.to_string() }
}
