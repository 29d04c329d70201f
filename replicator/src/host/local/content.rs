//! What is in a snapshot of this machine.

use std::io::Read;

use zfs_core::DatasetKind;
use zfs_core::Zfs;
use zfs_core::name::SnapshotName;
use zfs_core::send::SendRequest;

use super::LABEL;
use crate::compare::blocks::Blocks;
use crate::compare::content::Piece;
use crate::compare::content::Share;
use crate::compare::content::Take;
use crate::compare::walk;
use crate::host::HostError;
use crate::host::READ;

pub(super) fn read(
    zfs: &Zfs,
    snapshot: &SnapshotName,
    kind: DatasetKind,
    share: Share,
    take: &mut Take<'_>,
) -> Result<(), HostError> {
    match kind {
        DatasetKind::Filesystem => walk::files(snapshot, share, take),
        DatasetKind::Volume => blocks(zfs, snapshot, take),
    }
}

fn blocks(zfs: &Zfs, snapshot: &SnapshotName, take: &mut Take<'_>) -> Result<(), HostError> {
    let bad = |why: String| HostError::BadAnswer { host: LABEL.to_string(), operation: READ, why };
    let mut stream = zfs.send(&SendRequest::full(snapshot.clone()))?;
    let mut blocks = Blocks::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                blocks.push(&buffer[..count]).map_err(bad)?;
                take(Piece::Bytes(count as u64))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match error.downcast::<zfs_core::Error>() {
                    Ok(error) => error.into(),
                    Err(error) => bad(error.to_string()),
                });
            }
        }
    }
    stream.finish()?;
    let sums = blocks.finish().map_err(bad)?;
    sums.into_iter().try_for_each(|(number, sum)| take(Piece::Segment(number, sum)))
}
