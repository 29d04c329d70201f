//! What is in a snapshot of another machine, read with what is there beside `zfs`: files with find(1) and sha256sum(1)
//! in a folder of their own, volumes from a stream.

use zfs_core::DatasetKind;
use zfs_core::name::SnapshotName;

use super::ZfsCli;
use super::check;
use super::nul;
use crate::compare::blocks::Blocks;
use crate::compare::content::Piece;
use crate::compare::content::Take;
use crate::compare::found::Found;
use crate::host::HostError;
use crate::host::READ;
use crate::transport::TransportError;
use crate::transport::quote;
use crate::transport::quote::Script;

impl ZfsCli {
    pub(super) fn content(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        match kind {
            DatasetKind::Filesystem => {
                let command = quote::file_list(self.elevate, snapshot.as_str()).map_err(nul)?;
                let mut found = Found::default();
                self.reading(&command, snapshot, take, &mut |bytes| found.push(bytes))?;
                let files = found.finish().map_err(|why| self.misunderstood(READ, why))?;
                files.into_iter().try_for_each(|(path, entry)| take(Piece::File(path, entry)))
            }
            DatasetKind::Volume => {
                let script = Script::elevated(self.elevate).and_zfs(["send", "-L", snapshot.as_str()]);
                let command = script.map_err(nul)?.command_line();
                let mut blocks = Blocks::default();
                self.reading(&command, snapshot, take, &mut |bytes| blocks.push(bytes))?;
                let sums = blocks.finish().map_err(|why| self.misunderstood(READ, why))?;
                sums.into_iter().try_for_each(|(number, sum)| take(Piece::Segment(number, sum)))
            }
        }
    }

    /// Runs a command there and gives its output to `push`. However long it takes: it may have much to read.
    fn reading(
        &mut self,
        command: &str,
        snapshot: &SnapshotName,
        take: &mut Take<'_>,
        push: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), HostError> {
        let mut ended = None;
        let exit = self.transport.start(command)?.finish(&mut |bytes| {
            let pushed = push(bytes).map_err(|why| HostError::BadAnswer {
                host: self.label.clone(),
                operation: READ,
                why,
            });
            pushed.and_then(|()| take(Piece::Bytes(bytes.len() as u64))).map_err(|error| {
                ended = Some(error);
                // Ends the command: there is nothing more to learn from it.
                TransportError::Cancelled
            })
        });
        match ended {
            Some(error) => Err(error),
            None => check(&self.label, READ, snapshot.as_str(), &exit?),
        }
    }
}
