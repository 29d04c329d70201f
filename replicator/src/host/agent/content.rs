//! What is in snapshots of a machine with an agent, and what holds them: newer than the agent itself, so one that is
//! older is told apart before it is asked.

use zfs_core::DatasetKind;
use zfs_core::name::DatasetName;
use zfs_core::name::HoldTag;
use zfs_core::name::SnapshotName;

use super::AgentHost;
use super::NAMES_AT_ONCE;
use crate::agent::Part;
use crate::agent::Raw;
use crate::agent::Request;
use crate::agent::Text;
use crate::agent::WireFile;
use crate::compare::content::FILES_LIMIT;
use crate::compare::content::Piece;
use crate::compare::content::Share;
use crate::compare::content::Take;
use crate::host::Depth;
use crate::host::HostError;
use crate::host::READ;
use crate::inspect::holds::Held;

/// The version of the protocol from which on an agent can do this.
const SINCE: u16 = 2;

/// The version from which on it can read a share of the files.
const SHARES: u16 = 6;

/// The most bytes of an answer about one snapshot. They are not kept: what is, whoever takes the pieces bounds.
const CONTENT_LIMIT: usize = 16 << 30;

/// The most parts and pieces of one.
const PIECES_LIMIT: usize = if cfg!(test) { 20_000 } else { 8 * FILES_LIMIT };

impl AgentHost {
    pub(super) fn content(
        &mut self,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        share: Share,
        take: &mut Take<'_>,
    ) -> Result<(), HostError> {
        self.link.needs(SINCE, "read what is in snapshots")?;
        if share != Share::ALL {
            self.link.needs(SHARES, "read a part of the files of a snapshot")?;
        }
        let request = Request::Content {
            snapshot: Text(snapshot.clone()),
            volume: kind == DatasetKind::Volume,
            share: (share != Share::ALL).then(|| (share.part(), share.of())),
        };
        let mut ended = None;
        let mut give = |piece: Piece| {
            take(piece).map_err(|error| {
                ended = Some(error);
                String::new()
            })
        };
        let read =
            self.link.exchange_within(
                &request,
                READ,
                (PIECES_LIMIT, CONTENT_LIMIT),
                &mut |part| match part {
                    Part::Reading(bytes) => give(Piece::Bytes(bytes)).map(|()| 0),
                    Part::Files(files) => {
                        let count = files.len();
                        let mut pieces = files.into_iter().map(WireFile::entry);
                        pieces.try_for_each(|(path, entry)| give(Piece::File(path, entry))).map(|()| count)
                    }
                    Part::Segments(segments) => {
                        let count = segments.len();
                        let mut pieces = segments.into_iter();
                        pieces
                            .try_for_each(|(number, sum)| give(Piece::Segment(number, sum.0)))
                            .map(|()| count)
                    }
                    _ => Err("another answer than what is in a snapshot".to_string()),
                },
            );
        match ended {
            Some(error) => Err(error),
            None => read,
        }
    }

    pub(super) fn held(&mut self, root: &DatasetName, depth: Depth) -> Result<Vec<Held>, HostError> {
        self.link.needs(SINCE, "list holds")?;
        let mut all = Vec::new();
        let request = Request::Holds { root: Text(root.clone()), all: depth == Depth::All };
        self.link.exchange(&request, "list the holds", &mut |part| {
            let Part::Holds(holds) = part else { return Err("another answer than holds".to_string()) };
            let count = holds.len();
            for hold in holds {
                let held = hold.held()?;
                let dataset = held.snapshot.dataset();
                if !dataset.is_within(root) || (depth == Depth::One && dataset != root) {
                    return Err(format!("{}, which was not asked for", held.snapshot));
                }
                all.push(held);
            }
            Ok(count)
        })?;
        Ok(all)
    }

    pub(super) fn release_holds(&mut self, holds: &[(SnapshotName, HoldTag)]) -> Result<(), HostError> {
        self.link.needs(SINCE, "release holds")?;
        holds.chunks(NAMES_AT_ONCE / 2).try_for_each(|some| {
            let wire =
                |(name, tag): &(SnapshotName, HoldTag)| (Text(name.clone()), Raw(tag.as_bytes().to_vec()));
            let request = Request::Release { holds: some.iter().map(wire).collect() };
            self.link.exchange(&request, "release holds", &mut |_| Err("more than how it went".to_string()))
        })
    }
}
