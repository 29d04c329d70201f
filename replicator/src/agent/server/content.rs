//! The request for what is in a snapshot: files and segments in parts of bounded size, while they are read. A part that
//! only says how much was read keeps an asking end from giving up while one file is long.

use super::ROWS;
use super::Server;
use super::trouble::Trouble;
use super::trouble::protocol;
use super::wire::Input;
use super::wire::Output;
use crate::agent::answer::Part;
use crate::agent::content::WireFile;
use crate::agent::content::WireSum;
use crate::agent::fault::Fault;
use crate::agent::frame::Kind;
use crate::agent::limits::Class;
use crate::compare::content::Piece;
use crate::compare::content::Share;
use crate::host::DatasetKind;
use crate::host::HostError;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;
use zfs_core::name::SnapshotName;

/// About how many bytes of paths go into one part.
const PATH_BYTES: usize = 64 * 1024;

/// Between two looks whether the asking end has given up.
const LOOK: Duration = Duration::from_millis(200);

impl<R: Read + AsFd, W: Write> Server<'_, R, W> {
    pub(super) fn content(
        &mut self,
        id: u32,
        snapshot: &SnapshotName,
        kind: DatasetKind,
        share: Share,
    ) -> Result<(), Trouble> {
        self.limits.allows(Class::Read)?;
        self.limits.name(snapshot.dataset())?;
        let Self { input, output, host, .. } = self;
        let mut parts = Parts::new(id, input, output);
        let mut trouble = None;
        let read = host.read_share(snapshot, kind, share, &mut |piece| {
            parts.take(piece).map_err(|why| {
                trouble = Some(why);
                HostError::Cancelled
            })
        });
        match trouble {
            Some(why) => return Err(why),
            None => read?,
        }
        Ok(parts.flush()?)
    }
}

/// What was read and is not sent yet.
struct Parts<'o, R, W> {
    id: u32,
    input: &'o mut Input<R>,
    output: &'o mut Output<W>,
    files: Vec<WireFile>,
    paths: usize,
    segments: Vec<(u64, WireSum)>,
    /// Bytes that were read since the last part.
    bytes: u64,
    looked: Instant,
}

impl<'o, R: Read + AsFd, W: Write> Parts<'o, R, W> {
    fn new(id: u32, input: &'o mut Input<R>, output: &'o mut Output<W>) -> Self {
        let (files, segments) = (Vec::new(), Vec::new());
        Self { id, input, output, files, paths: 0, segments, bytes: 0, looked: Instant::now() }
    }

    fn take(&mut self, piece: Piece) -> Result<(), Trouble> {
        match piece {
            Piece::Bytes(bytes) => self.bytes = self.bytes.saturating_add(bytes),
            Piece::Segment(number, sum) => {
                self.segments.push((number, WireSum(sum)));
                if self.segments.len() >= ROWS {
                    self.flush()?;
                }
            }
            Piece::File(path, entry) => {
                let file = WireFile::new(path, entry);
                if self.files.len() >= ROWS || self.paths + file.bytes() > PATH_BYTES {
                    self.flush()?;
                }
                self.paths += file.bytes();
                self.files.push(file);
            }
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Trouble> {
        while let Some(frame) = self.input.within(Duration::ZERO)? {
            match frame.kind {
                Kind::Cancel if frame.id == self.id => return Err(Fault::Cancelled.into()),
                Kind::Cancel if frame.id < self.id => {}
                kind => return Err(protocol(format!("{kind} while a snapshot is read")).into()),
            }
        }
        if self.output.is_due() {
            self.flush()?;
            self.output.part(self.id, &Part::Reading(std::mem::take(&mut self.bytes)))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), super::ServeError> {
        self.paths = 0;
        if !self.files.is_empty() {
            self.output.part(self.id, &Part::Files(std::mem::take(&mut self.files)))?;
        }
        if !self.segments.is_empty() {
            self.output.part(self.id, &Part::Segments(std::mem::take(&mut self.segments)))?;
        }
        Ok(())
    }
}
